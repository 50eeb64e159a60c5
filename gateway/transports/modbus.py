"""Modbus TCP and RTU, by pymodbus, as a stream of exchange records that a driver decodes like any other bytes.

Theory of operation. What is written are requests of 6 bytes, `>BBHH`: unit, function (1 to 4), address, count. For
each, one record is read back, in the order of the requests:

* the answer: the same 6 bytes, then the registers (2 x count bytes) or, for functions 1 and 2, the bits packed as on
  the wire (count / 8 bytes, rounded up);
* an exception: the 6 bytes with 0x80 added to the function, then the exception code;
* no valid answer in time: the same with code 0x0B ("gateway target device failed to respond").

Instruments on the same bus or server share one connection. An exchange holds it for at most its own deadline, set
around pymodbus' call, and those who wait take turns request by request, so a mute or babbling slave costs only its
own time. RTU answers carry no number that ties them to their question. So after a failed exchange the bus is let
fall quiet before anybody speaks, and the same instrument asks again only when its deadline has passed once more: an
answer that comes late then meets no question, and cannot pass for the answer to another.
"""

import asyncio
import contextlib
import logging
import struct
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from pymodbus import FramerType, ModbusException
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.client.base import ModbusBaseClient
from pymodbus.pdu import ModbusPDU
from pymodbus.transaction import TransactionManager

from gateway.config import ModbusRtuPort, ModbusTcpPort
from gateway.transports.network import CONNECT_S, keep_alive
from gateway.transports.serialport import SerialHandle, open_serial
from gateway.transports.transport import Data, Reconnecting, Unreachable, in_words
from tidegate.clock import Arrival

# All that pymodbus would log (a refused connection, a stray frame) is said here, once, with its reason.
logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)

REQUEST = struct.Struct(">BBHH")
MOST = {1: 2000, 2: 2000, 3: 125, 4: 125}
"""The most that one request of a function may ask for."""
NO_ANSWER = 0x0B
_NEVER_S = 120.0
"""pymodbus' own timeout; longer than any deadline of ours, so that ours is the one that counts."""


@dataclass(frozen=True, slots=True)
class _Request:
    unit: int
    function: int
    address: int
    count: int

    def answered(self, payload: bytes) -> bytes:
        return REQUEST.pack(self.unit, self.function, self.address, self.count) + payload

    def refused(self, code: int) -> bytes:
        return REQUEST.pack(self.unit, self.function | 0x80, self.address, self.count) + bytes([code])


def _requests(data: bytes) -> list[_Request]:
    if len(data) % REQUEST.size:
        raise ValueError(f"{len(data)} bytes are no whole number of {REQUEST.size}-byte Modbus requests")
    requests = [_Request(*fields) for fields in REQUEST.iter_unpack(data)]
    for request in requests:
        if not 1 <= request.count <= MOST.get(request.function, 0):
            raise ValueError(f"{request} is no Modbus read: functions 1 to 4, of at most {MOST}")
    return requests


class _Bus:
    """One connection, shared by all transports of one event loop that name the same bus or server."""

    _all: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, "_Bus"]]] = WeakKeyDictionary()

    def __init__(self, key: str, port: ModbusTcpPort | ModbusRtuPort) -> None:
        self.key = key
        self.members: set[ModbusLine] = set()
        self.lock = asyncio.Lock()
        self._attempt: asyncio.Task[None] | None = None
        self._failure: OSError | None = None
        self._quiet_s = max(0.02, 44 / port.baud) if isinstance(port, ModbusRtuPort) else 0.0
        self._disturbed = False
        self._heard_s = 0.0
        self._first: Arrival | None = None
        self._port = port
        self._rtu = isinstance(port, ModbusRtuPort)
        self._client = self._make_client(port)
        self._create = self._client.ctx.call_create
        self._client.ctx.call_create = self._create_link

    @classmethod
    def of(cls, port: ModbusTcpPort | ModbusRtuPort) -> "_Bus":
        buses = cls._all.setdefault(asyncio.get_running_loop(), {})
        key = where(port)
        if key not in buses:
            buses[key] = cls(key, port)
        return buses[key]

    def _make_client(self, port: ModbusTcpPort | ModbusRtuPort) -> ModbusBaseClient:
        common: dict[str, Any] = {
            "timeout": _NEVER_S,
            "retries": 0,
            "reconnect_delay": 0,
            "trace_packet": self._packet,
            "trace_connect": self._connection,
        }
        if isinstance(port, ModbusTcpPort):
            return AsyncModbusTcpClient(port.modbus_tcp.host, port=port.modbus_tcp.port, **common)
        return AsyncModbusSerialClient(str(port.modbus_rtu), framer=FramerType.RTU, **common)

    async def _create_link(self) -> tuple[asyncio.BaseTransport, asyncio.BaseProtocol]:
        # In the place of pymodbus' own, which logs why it could not connect and tells only that it could not, and
        # whose serial port blocks the loop while it opens and fails on a pseudo-terminal with parity.
        try:
            if isinstance(self._port, ModbusTcpPort):
                link: tuple[asyncio.BaseTransport, asyncio.BaseProtocol] = await self._create()
                return link
            handle = await asyncio.to_thread(open_serial, self._port)
            return _SerialLink(handle, self._client.ctx), self._client.ctx
        except OSError as error:
            self._failure = error
            raise

    def _packet(self, sending: bool, data: bytes) -> bytes:
        if sending:
            self._first = None
        else:
            self._heard_s = time.monotonic()
            self._first = self._first or Arrival.now()
        return data

    def _connection(self, up: bool) -> None:
        if not up:
            what = "was unplugged or switched off" if self._rtu else "closed the connection"
            for member in list(self.members):
                member.lost(f"{self.key} {what}")

    async def join(self, member: "ModbusLine") -> None:
        """Opens the connection where it is not open; all who want it share one attempt. Raises `Unreachable`."""
        self.members.add(member)
        if not self._client.connected:
            if self._attempt is None or self._attempt.done():
                self._attempt = asyncio.create_task(self._connect(), name=f"connect {self.key}")
                # Looked at even where the one who waited for it has given up.
                self._attempt.add_done_callback(lambda attempt: attempt.cancelled() or attempt.exception())
            await asyncio.shield(self._attempt)

    async def _connect(self) -> None:
        self._failure = None
        try:
            async with asyncio.timeout(CONNECT_S):
                connected = await self._client.connect()
        except TimeoutError as error:
            raise Unreachable(in_words(error, self.key)) from error
        if not connected:
            raise Unreachable(in_words(self._failure or TimeoutError(), self.key))
        sock = self._client.ctx.transport.get_extra_info("socket")
        if sock is not None:
            keep_alive(sock)

    def leave(self, member: "ModbusLine") -> None:
        self.members.discard(member)
        if not self.members:
            if self._attempt is not None:
                self._attempt.cancel()
            self._client.close()
            self._all[asyncio.get_running_loop()].pop(self.key, None)

    async def exchange(self, request: _Request, deadline_s: float) -> Data:
        """One request and its answer, exception or silence as a record."""
        async with self.lock:
            if self._disturbed:
                await self._settle(deadline_s)
            self._disturbed = self._rtu
            record = await self._ask(request, deadline_s)
            at = self._first
            if record is None:
                await self._settle(deadline_s)
            self._disturbed = False
        if record is None or at is None:
            return Data(request.refused(NO_ANSWER), Arrival.now())
        return Data(record, at)

    async def _ask(self, request: _Request, deadline_s: float) -> bytes | None:
        client = self._client
        ask = {
            1: client.read_coils,
            2: client.read_discrete_inputs,
            3: client.read_holding_registers,
            4: client.read_input_registers,
        }[request.function]
        try:
            async with asyncio.timeout(deadline_s):
                answer = await ask(request.address, count=request.count, device_id=request.unit)
        except (TimeoutError, ModbusException):
            return None
        return _record(request, answer)

    async def _settle(self, at_most_s: float) -> None:
        """Lets what is still being said end."""
        until_s = time.monotonic() + at_most_s
        while self._rtu and self._client.connected:
            now_s = time.monotonic()
            quiet_at_s = self._heard_s + self._quiet_s
            if now_s >= min(quiet_at_s, until_s):
                return
            await asyncio.sleep(min(quiet_at_s, until_s) - now_s)


class _SerialLink(asyncio.Transport):
    """A serial device as the transport of pymodbus' protocol."""

    def __init__(self, handle: SerialHandle, protocol: TransactionManager) -> None:
        super().__init__()
        self._handle = handle
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._unsent = b""
        self._closing = False
        self._loop.add_reader(handle.fileno(), self._readable)
        protocol.connection_made(self)

    def _readable(self) -> None:
        try:
            data = self._handle.receive()
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._protocol.connection_lost(error)
            return
        # What pymodbus cannot make sense of is no answer; the deadline tells.
        with contextlib.suppress(ModbusException, struct.error, IndexError):
            self._protocol.data_received(data)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._unsent += data
        self._writable()

    def _writable(self) -> None:
        try:
            self._unsent = self._unsent[self._handle.send(memoryview(self._unsent)) :]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self._protocol.connection_lost(error)
            return
        if self._unsent:
            self._loop.add_writer(self._handle.fileno(), self._writable)
        else:
            self._loop.remove_writer(self._handle.fileno())

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._loop.remove_reader(self._handle.fileno())
            self._loop.remove_writer(self._handle.fileno())
            self._handle.close()


def _record(request: _Request, answer: ModbusPDU) -> bytes | None:
    """The record of a slave's answer; None where it is no answer to the request."""
    if answer.function_code == request.function | 0x80:
        return request.refused(answer.exception_code)
    if answer.function_code != request.function:
        return None
    if request.function in (3, 4):
        if len(answer.registers) != request.count:
            return None
        return request.answered(struct.pack(f">{request.count}H", *answer.registers))
    size = (request.count + 7) // 8
    if len(answer.bits) != size * 8:
        return None
    return request.answered(
        bytes(sum(bit << i for i, bit in enumerate(answer.bits[k : k + 8])) for k in range(0, size * 8, 8))
    )


def where(port: ModbusTcpPort | ModbusRtuPort) -> str:
    """The server or device; one bus has one."""
    return str(port.modbus_tcp) if isinstance(port, ModbusTcpPort) else str(port.modbus_rtu)


class ModbusLine(Reconnecting):
    """The Modbus slaves of one instrument. A poll that comes while requests of the same poll before it still wait is
    left out: slaves that answer slower than they are polled are polled as fast as they can."""

    def __init__(self, port: ModbusTcpPort | ModbusRtuPort) -> None:
        if isinstance(port, ModbusTcpPort):
            super().__init__(f"modbus tcp {port.modbus_tcp}")
        else:
            super().__init__(f"modbus rtu {port.modbus_rtu} {port.baud} 8{port.parity[0].upper()}{port.stop_bits}")
            self.longest_pause_s = 2.0
        self._port = port
        self._bus: _Bus | None = None
        self._waiting: deque[_Request] = deque()
        self._last_written = b""
        self._asked = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._room = asyncio.Event()
        self._room.set()

    async def _open(self) -> None:
        self._bus = _Bus.of(self._port)
        await self._bus.join(self)
        self._worker = asyncio.create_task(self._work(self._bus), name=self.name)

    def _release(self) -> None:
        if self._worker is not None:
            self._worker.cancel()
            self._worker = None
        self._waiting.clear()
        if self._bus is not None:
            self._bus.leave(self)
            self._bus = None

    def _hold(self, full: bool) -> None:
        if full:
            self._room.clear()
        else:
            self._room.set()

    def lost(self, reason: str) -> None:
        """The connection that it shares broke."""
        self._lose(reason)

    async def write(self, data: bytes) -> None:
        requests = _requests(data)
        unfinished = self._waiting and data == self._last_written
        if self._open_now and not self._loss and not unfinished:
            self._last_written = data
            self._waiting.extend(requests)
            self._asked.set()

    async def _work(self, bus: _Bus) -> None:
        self._room.set()
        while True:
            self._asked.clear()
            if not self._waiting:
                await self._asked.wait()
            await self._room.wait()
            request = self._waiting.popleft()
            data = await bus.exchange(request, self._port.timeout_s)
            if self._loss:
                return
            self._take(data)
            if isinstance(self._port, ModbusRtuPort) and data.data == request.refused(NO_ANSWER):
                await asyncio.sleep(self._port.timeout_s)
