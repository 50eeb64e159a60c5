"""Checksums that instruments print behind their lines: of one line, and of many lines at once."""

from binascii import crc_hqx
from collections.abc import Sequence
from functools import reduce
from operator import xor

import numpy as np

from drivers.arrivals import Ints


def exclusive_or(data: bytes) -> int:
    """All bytes combined by exclusive or (NMEA 0183, and many others that print two digits behind `*`)."""
    return reduce(xor, data, 0)


def crc16_ccitt(data: bytes) -> int:
    """CRC-16/CCITT-FALSE: polynomial 1021, start FFFF, not reflected; 29B1 of `123456789`."""
    return crc_hqx(data, 0xFFFF)


def exclusive_ors(lines: Sequence[bytes]) -> Ints:
    """(n,) the `exclusive_or` of each."""
    return _reduced(np.bitwise_xor, lines)


def sums(lines: Sequence[bytes]) -> Ints:
    """(n,) the sum of the bytes of each."""
    return _reduced(np.add, lines)


def crc16_modbus(lines: Sequence[bytes]) -> Ints:
    """(n,) the CRC-16 of each as Modbus has it (Modbus over serial line 1.02, 6.2.2): polynomial 8005 reflected, start
    FFFF; 4B37 of `123456789`."""
    lengths = np.array([len(line) for line in lines], np.int64)
    octets = np.array(lines, f"S{max(1, int(lengths.max()))}").view(np.uint8).reshape(len(lines), -1)
    crc = np.full(len(lines), 0xFFFF, np.int64)
    for place in range(int(lengths.max())):
        stepped = crc ^ octets[:, place]
        for _ in range(8):
            stepped = np.where(stepped & 1, stepped >> 1 ^ 0xA001, stepped >> 1)
        crc = np.where(lengths > place, stepped, crc)
    return crc


def _reduced(operation: np.ufunc, lines: Sequence[bytes]) -> Ints:
    lengths = np.array([len(line) for line in lines], np.int64)
    result = np.zeros(len(lines), np.int64)
    full = np.flatnonzero(lengths)
    if len(full):
        octets = np.frombuffer(b"".join(lines), np.uint8).astype(np.int64)
        result[full] = operation.reduceat(octets, (np.cumsum(lengths) - lengths)[full])
    return result
