"""The server's side of Modbus reads, without a port of its own: bytes of requests in, bytes of answers out.

pymodbus' server opens its serial device by path, so it cannot stand on the master end of a pseudo-terminal, and keeps
silence (a slave that is not there, a damaged answer) out of reach. The part needed here is small: functions 1 to 4
over MBAP (TCP) or address and CRC-16 (RTU), after "MODBUS Application Protocol Specification V1.1b3" and "MODBUS over
Serial Line V1.02".
"""

import struct
from collections.abc import Mapping
from typing import Protocol

from drivers.simulators.simulator import Said

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3
_MOST = {1: 2000, 2: 2000, 3: 125, 4: 125}
_SILENCE_NS = 50_000_000
_MBAP = struct.Struct(">HHHB")


class Slave(Protocol):
    """A simulated instrument with registers."""

    speaking: bool

    def registers(self, function: int, address: int, count: int, now_ns: int) -> list[int] | int:
        """`count` registers (functions 3, 4) or bits (1, 2) from `address` on, or the code of an exception."""

    def take_said(self) -> list[Said]:
        """The ledger since the last call."""


def crc16(data: bytes) -> int:
    """The CRC of Modbus RTU: polynomial 0xA001 reflected, from 0xFFFF; sent low byte first."""
    crc = 0xFFFF
    for octet in data:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


def _whole(frame: bytes) -> bool:
    return len(frame) >= 4 and crc16(frame[:-2]).to_bytes(2, "little") == frame[-2:]


def answer(slave: Slave, pdu: bytes, now_ns: int) -> bytes:
    """The PDU with which `slave` answers the PDU of a request."""
    function = pdu[0]
    if function not in _MOST:
        return bytes([function | 0x80, ILLEGAL_FUNCTION])
    if len(pdu) != 5:
        return bytes([function | 0x80, ILLEGAL_VALUE])
    address, count = struct.unpack(">HH", pdu[1:])
    if not 1 <= count <= _MOST[function]:
        return bytes([function | 0x80, ILLEGAL_VALUE])
    if address + count > 0x10000:
        return bytes([function | 0x80, ILLEGAL_ADDRESS])
    values = slave.registers(function, address, count, now_ns)
    if isinstance(values, int):
        return bytes([function | 0x80, values])
    if function in (1, 2):
        payload = sum(bool(bit) << i for i, bit in enumerate(values)).to_bytes((count + 7) // 8, "little")
    else:
        payload = struct.pack(f">{count}H", *values)
    return bytes([function, len(payload)]) + payload


class ModbusServer:
    """Slaves by their unit numbers, on one line. It has the shape of a simulator, so the same host serves it; it never
    speaks unasked. A unit that is not there is not answered (RTU), or answered by the gateway's exception 0x0B (TCP).
    """

    def __init__(self, slaves: Mapping[int, Slave], *, rtu: bool) -> None:
        self.slaves = slaves
        self._rtu = rtu
        self._pending = b""
        self._heard_ns = 0

    @property
    def speaking(self) -> bool:
        return any(slave.speaking for slave in self.slaves.values())

    @speaking.setter
    def speaking(self, value: bool) -> None:
        for slave in self.slaves.values():
            slave.speaking = value

    def tick(self, now_ns: int) -> bytes:
        return b""

    def take_said(self) -> list[Said]:
        return [said for slave in self.slaves.values() for said in slave.take_said()]

    def receive(self, data: bytes, now_ns: int) -> bytes:
        return self._receive_rtu(data, now_ns) if self._rtu else self._receive_tcp(data, now_ns)

    def _receive_rtu(self, data: bytes, now_ns: int) -> bytes:
        if now_ns - self._heard_ns > _SILENCE_NS:
            self._pending = b""
        self._heard_ns = now_ns
        self._pending = (self._pending + data)[-256:]
        if _whole(self._pending):
            frame, self._pending = self._pending, b""
            return self._answer_rtu(frame, now_ns)
        for end in range(len(self._pending), 7, -1):
            frame = self._pending[end - 8 : end]
            if frame[1] in _MOST and _whole(frame):
                self._pending = self._pending[end:]
                return self._answer_rtu(frame, now_ns)
        return b""

    def _answer_rtu(self, frame: bytes, now_ns: int) -> bytes:
        slave = self.slaves.get(frame[0])
        if slave is None:
            return b""
        body = frame[:1] + answer(slave, frame[1:-2], now_ns)
        return body + crc16(body).to_bytes(2, "little")

    def _receive_tcp(self, data: bytes, now_ns: int) -> bytes:
        self._pending += data
        answers = b""
        while len(self._pending) >= _MBAP.size + 1:
            transaction, protocol, length, unit = _MBAP.unpack_from(self._pending)
            if protocol != 0 or not 2 <= length <= 254:
                self._pending = b""  # not Modbus; nothing in it tells where a request could begin
                break
            if len(self._pending) < 6 + length:
                break
            pdu, self._pending = self._pending[7 : 6 + length], self._pending[6 + length :]
            slave = self.slaves.get(unit)
            said = bytes([pdu[0] | 0x80, 0x0B]) if slave is None else answer(slave, pdu, now_ns)
            answers += _MBAP.pack(transaction, 0, len(said) + 1, unit) + said
        return answers
