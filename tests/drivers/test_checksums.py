"""Checksums: the check values of the catalogue of CRCs, a manual's sentence, and many lines as each line."""

from functools import reduce
from operator import xor

from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.checksums import crc16_ccitt, crc16_modbus, exclusive_or, exclusive_ors, sums


def test_check_values() -> None:
    """Of `123456789` by the catalogue of parametrised CRC algorithms, and of a sentence in the NMEA 0183 standard."""
    assert crc16_ccitt(b"123456789") == 0x29B1
    assert crc16_modbus([b"123456789"]).tolist() == [0x4B37]
    assert exclusive_or(b"GPGLL,5057.970,N,00146.110,E,142451,A") == 0x27


@settings(max_examples=50, derandomize=True, deadline=None)
@given(st.lists(st.binary(max_size=20), min_size=1, max_size=20))
def test_many_lines_are_as_each(lines: list[bytes]) -> None:
    lines = [line.replace(b"\0", b"0") for line in lines]
    assert exclusive_ors(lines).tolist() == [reduce(xor, line, 0) for line in lines]
    assert sums(lines).tolist() == [sum(line) for line in lines]
    assert crc16_modbus(lines).tolist() == [int(crc16_modbus([line])[0]) for line in lines]
