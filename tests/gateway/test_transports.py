import asyncio
import errno
import os
import socket
import struct
import time
import tty
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from drivers.simulators.simulator import Said
from gateway.config import Endpoint, ModbusRtuPort, ModbusTcpPort, SerialPort, TcpPort, UdpPort
from gateway.modbus_server import ModbusServer, crc16
from gateway.simulate import host
from gateway.transports import Data, Gone, Heard, Nothing, Transport, open_transport
from gateway.transports.modbus import NO_ANSWER, REQUEST
from gateway.transports.transport import HOLD_BYTES, MOST_AT_ONCE, in_words


class Pty:
    """The instrument's end of a serial line, behind a link with a stable name."""

    def __init__(self, link: Path) -> None:
        self.link = link
        self.plug_in()

    def plug_in(self) -> None:
        self.master, slave = os.openpty()
        tty.setraw(slave)
        self.link.unlink(missing_ok=True)
        self.link.symlink_to(os.ttyname(slave))
        os.close(slave)

    def unplug(self) -> None:
        self.link.unlink()
        os.close(self.master)


async def opened(transport: Transport, times: int = 1, within_s: float = 5.0) -> list[Heard]:
    """Reads until the transport has opened `times` times; what it gave until then."""
    until_s = time.monotonic() + within_s
    heard: list[Heard] = []
    while transport.opened < times:
        assert time.monotonic() < until_s, f"still not open: {heard}"
        heard.append(await transport.read(0.05))
    return heard


async def hear(transport: Transport, size: int, within_s: float = 5.0) -> bytes:
    until_s = time.monotonic() + within_s
    data = b""
    while len(data) < size:
        assert time.monotonic() < until_s, data
        heard = await transport.read(0.1)
        assert not isinstance(heard, Gone), heard
        if isinstance(heard, Data):
            data += heard.data
    return data


async def gone(transport: Transport, within_s: float = 2.0) -> str:
    """Reads until the loss, and checks that it is told once; the reason."""
    until_s = time.monotonic() + within_s
    while not isinstance(heard := await transport.read(0.05), Gone):
        assert time.monotonic() < until_s
    for _ in range(8):
        assert await transport.read(0.05) == Nothing()
    return heard.reason


@asynccontextmanager
async def closing(transport: Transport) -> AsyncIterator[Transport]:
    try:
        yield transport
    finally:
        await transport.close()


# ---- serial


async def test_serial_bytes_come_as_they_are_with_the_time_of_the_first(tmp_path: Path) -> None:
    pty = Pty(tmp_path / "ctd")
    every = bytes(range(256))
    os.write(pty.master, every)  # before anybody opened it
    async with closing(open_transport(SerialPort(serial=pty.link, baud=4800, parity="even", data_bits=8))) as line:
        assert line.name == f"serial {pty.link} 4800 8E1"
        assert await line.read(1.0) == Nothing()
        assert line.opened == 1
        assert await hear(line, 256) == every
        before = time.monotonic_ns()
        os.write(pty.master, b"one")
        await asyncio.sleep(0.2)  # nobody reads meanwhile; the time is that of the bytes all the same
        heard = await line.read(0.0)
        assert isinstance(heard, Data)
        assert heard.data == b"one"
        assert 0 <= heard.at.monotonic_ns - before < 100_000_000
        await line.write(every)
        assert os.read(pty.master, 1000) == every
    os.close(pty.master)


async def test_a_silent_port_is_nothing_and_waits_as_told(tmp_path: Path) -> None:
    pty = Pty(tmp_path / "ctd")
    async with closing(open_transport(SerialPort(serial=pty.link))) as line:
        await opened(line)
        start_s = time.monotonic()
        assert await line.read(0.3) == Nothing()
        assert 0.25 < time.monotonic() - start_s < 0.6
        assert [await line.read(0.01) for _ in range(50)] == [Nothing()] * 50
        assert line.opened == 1
    os.close(pty.master)


async def test_unplugged_and_plugged_in_again_under_another_number(tmp_path: Path) -> None:
    pty = Pty(tmp_path / "ctd")
    async with closing(open_transport(SerialPort(serial=pty.link))) as line:
        await opened(line)
        other_slave = os.open(os.readlink(pty.link), os.O_RDWR | os.O_NOCTTY)  # holds the old number
        os.write(pty.master, b"last words")
        await asyncio.sleep(0.05)
        pty.unplug()
        assert await hear(line, 10) == b"last words"  # before the loss is told
        assert "unplugged" in await gone(line)
        assert "is not there" in line.reason
        await line.write(b"into the void")
        pty.plug_in()
        assert not [heard for heard in await opened(line, 2) if heard != Nothing()]
        assert line.reason == ""
        os.write(pty.master, b"back")
        assert await hear(line, 4) == b"back"
        os.close(other_slave)
    os.close(pty.master)


async def test_a_port_in_use_is_left_to_its_user_until_it_is_free(tmp_path: Path) -> None:
    pty = Pty(tmp_path / "ctd")
    first, second = (open_transport(SerialPort(serial=pty.link)) for _ in range(2))
    await opened(first)
    async with closing(second):
        assert "in use by another program" in await gone(second)
        os.write(pty.master, b"mine")
        assert await hear(first, 4) == b"mine"
        await first.close()
        await opened(second)
    os.close(pty.master)


async def test_what_is_not_there_or_no_serial_device_is_said_in_words(tmp_path: Path) -> None:
    async with closing(open_transport(SerialPort(serial=tmp_path / "none"))) as line:
        assert f"{tmp_path / 'none'} is not there" in await gone(line)
    async with closing(open_transport(SerialPort(serial=Path("/dev/null")))) as line:
        assert "is not a serial device" in await gone(line)


def test_permission_denied_names_the_group(tmp_path: Path) -> None:
    device = tmp_path / "tty"
    device.touch()
    device.chmod(0o660)
    group = device.group()
    reason = in_words(PermissionError(errno.EACCES, "x"), str(device))
    assert f"belongs to the group {group}" in reason
    assert f"usermod -aG {group}" in reason
    device.chmod(0o600)
    assert f"chmod g+rw {device}" in in_words(PermissionError(errno.EACCES, "x"), str(device))


async def test_memory_stays_bounded_while_nobody_reads_and_nothing_is_lost() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    payload = os.urandom(1 << 20) * 8
    async with closing(open_transport(TcpPort(tcp=Endpoint("127.0.0.1", server.getsockname()[1])))) as line:
        await opened(line)
        client, _ = server.accept()
        sending = asyncio.create_task(asyncio.to_thread(client.sendall, payload))
        await asyncio.sleep(0.5)
        assert line._pending_bytes <= HOLD_BYTES + MOST_AT_ONCE  # type: ignore[attr-defined]
        received = bytearray()
        while len(received) < len(payload):
            heard = await line.read(2.0)
            assert isinstance(heard, Data)
            assert len(heard.data) <= MOST_AT_ONCE
            received += heard.data
        assert received == payload
        await sending
        client.close()
    server.close()


async def test_a_port_that_takes_no_byte_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.transports.transport.WRITE_S", 0.2)
    pty = Pty(tmp_path / "ctd")
    async with closing(open_transport(SerialPort(serial=pty.link))) as line:
        await opened(line)
        await line.write(bytes(100_000))  # nobody reads at the other end
        assert "takes no more bytes" in await gone(line)
    os.close(pty.master)


# ---- network


async def test_tcp_refused_then_there_then_gone_then_back() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        endpoint = Endpoint("127.0.0.1", probe.getsockname()[1])
    async with closing(open_transport(TcpPort(tcp=endpoint))) as line:
        assert f"{endpoint} refuses the connection" in await gone(line)
        for times in (1, 2):
            server = socket.create_server(tuple(endpoint))
            await opened(line, times)
            client, _ = server.accept()
            server.close()
            client.sendall(b"$GPZDA\r\n")
            assert await hear(line, 8) == b"$GPZDA\r\n"
            await line.write(b"hello")
            assert client.recv(5) == b"hello"
            client.close()
            assert f"{endpoint} closed the connection" in await gone(line)


async def test_a_reset_by_the_other_side_is_told() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    async with closing(open_transport(TcpPort(tcp=Endpoint("127.0.0.1", server.getsockname()[1])))) as line:
        await opened(line)
        client, _ = server.accept()
        server.close()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        assert "broke the connection" in await gone(line)


async def test_pauses_between_attempts_grow_and_stay_below_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.transports.transport.FIRST_PAUSE_S", 0.02)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        endpoint = Endpoint("127.0.0.1", probe.getsockname()[1])
    line = open_transport(TcpPort(tcp=endpoint))
    line.longest_pause_s = 0.2  # type: ignore[attr-defined]
    attempts = []
    connect = line._connect  # type: ignore[attr-defined]

    async def counted() -> object:
        attempts.append(time.monotonic())
        return await connect()

    line._connect = counted  # type: ignore[attr-defined]
    async with closing(line):
        until_s = time.monotonic() + 1.2
        while time.monotonic() < until_s:
            await line.read(0.1)
    pauses = [b - a for a, b in pairwise(attempts)]
    assert max(pauses) < 0.35
    assert all(pause > 0.15 for pause in pauses[5:])
    assert len(pauses) >= 6


async def test_an_unknown_name_is_told() -> None:
    async with closing(open_transport(TcpPort(tcp=Endpoint("no-such-host.invalid", 4001)))) as line:
        assert "the name in no-such-host.invalid:4001 is not known" in await gone(line, 8.0)


async def test_each_datagram_is_a_data_of_its_own_and_answers_go_to_its_sender() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    async with closing(open_transport(UdpPort(udp=port))) as line:
        await opened(line)
        await line.write(b"nobody to hear it")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            said = [b"$GPGGA,1*00\r\n", b"", b"x" * 60_000, b"$GPRMC,2*00\r\n"]
            for datagram in said:
                sender.sendto(datagram, ("127.0.0.1", port))
            heard = [await line.read(1.0) for _ in range(3)]
            assert [h.data for h in heard if isinstance(h, Data)] == [said[0], said[2], said[3]]
            await line.write(b"reply")
            sender.settimeout(2.0)
            assert sender.recv(100) == b"reply"
            other = open_transport(UdpPort(udp=port))
            assert "in use" in await gone(other)
            await other.close()


# ---- modbus


class Registers:
    """A slave whose register `k` holds `base + k`, and whose coil `k` is on where k is a multiple of 3."""

    def __init__(self, base: int = 0) -> None:
        self.base = base
        self.speaking = True
        self.asked: list[float] = []

    def registers(self, function: int, address: int, count: int, now_ns: int) -> list[int] | int:
        self.asked.append(time.monotonic())
        if address >= 1000:
            return 2
        if function in (1, 2):
            return [int((address + k) % 3 == 0) for k in range(count)]
        return [self.base + address + k for k in range(count)]

    def take_said(self) -> list[Said]:
        return []


class Neighbours(ModbusServer):
    """Slaves of which unit 66 answers anything with a babble of noise."""

    def receive(self, data: bytes, now_ns: int) -> bytes:
        if data[:1] == b"\x42":
            return os.urandom(400)
        return super().receive(data, now_ns)


@asynccontextmanager
async def serving(
    server: ModbusServer, tmp_path: Path, *, rtu: bool, endpoint: str = "127.0.0.1:0"
) -> AsyncIterator[Callable[..., Transport]]:
    """A real Modbus server; gives the maker of transports to it."""
    stop, up = asyncio.Event(), asyncio.Event()
    names: list[str] = []

    def ready(name: str) -> None:
        names.append(name)
        up.set()

    link = tmp_path / "bus"
    where = {"modbus_rtu": link} if rtu else {"modbus_tcp": endpoint}
    task = asyncio.create_task(host(server, ledger=tmp_path / "ledger", stop=stop, ready=ready, **where))
    await asyncio.wait_for(up.wait(), 2.0)

    def make(timeout_s: float = 0.3) -> Transport:
        if rtu:
            return open_transport(ModbusRtuPort(modbus_rtu=link, timeout_s=timeout_s))
        return open_transport(
            ModbusTcpPort(modbus_tcp=Endpoint("127.0.0.1", int(names[0].rpartition(":")[2])), timeout_s=timeout_s)
        )

    try:
        yield make
    finally:
        stop.set()
        await task


async def records(line: Transport, count: int, within_s: float = 5.0) -> list[bytes]:
    until_s = time.monotonic() + within_s
    found: list[bytes] = []
    while len(found) < count:
        assert time.monotonic() < until_s, found
        heard = await line.read(0.1)
        assert not isinstance(heard, Gone), heard
        if isinstance(heard, Data):
            found.append(heard.data)
    return found


@pytest.mark.parametrize("rtu", [False, True])
async def test_modbus_exchange_records(tmp_path: Path, rtu: bool) -> None:
    async with (
        serving(ModbusServer({7: Registers(500)}, rtu=rtu), tmp_path, rtu=rtu) as make,
        closing(make()) as line,
    ):
        await opened(line)
        asked = [(7, 3, 10, 125), (7, 4, 0, 1), (7, 1, 5, 11), (7, 2, 0, 2000), (7, 3, 1000, 2), (9, 3, 0, 1)]
        before = time.monotonic_ns()
        await line.write(b"".join(REQUEST.pack(*request) for request in asked))
        found = await records(line, 6)
        assert found[0] == REQUEST.pack(*asked[0]) + struct.pack(">125H", *range(510, 635))
        assert found[1] == REQUEST.pack(*asked[1]) + struct.pack(">H", 500)
        # coils 5 … 15, of which 6, 9, 12, 15 are on: first coil in the lowest bit
        assert found[2] == REQUEST.pack(*asked[2]) + bytes([0b10010010, 0b00000100])
        assert len(found[3]) == 6 + 250
        assert found[4] == REQUEST.pack(7, 0x83, 1000, 2) + b"\x02"
        assert found[5] == REQUEST.pack(9, 0x83, 0, 1) + bytes([NO_ANSWER])
        await line.write(REQUEST.pack(7, 3, 0, 1))
        heard = await line.read(1.0)
        assert isinstance(heard, Data)
        assert before < heard.at.monotonic_ns <= time.monotonic_ns()
        with pytest.raises(ValueError, match="no Modbus read"):
            await line.write(REQUEST.pack(7, 3, 0, 126))
        with pytest.raises(ValueError, match="whole number"):
            await line.write(b"12345")


async def test_a_mute_and_a_babbling_slave_cost_the_others_only_their_own_time(tmp_path: Path) -> None:
    good = Registers(100)
    async with serving(Neighbours({1: good}, rtu=True), tmp_path, rtu=True) as make:
        lines = [make(), make(0.2), make(0.2)]
        for line in lines:
            await opened(line)
        stop_s = time.monotonic() + 2.5

        async def poll(line: Transport, unit: int) -> list[bytes]:
            found = []
            while time.monotonic() < stop_s:
                await line.write(REQUEST.pack(unit, 3, 0, 2))
                heard = await line.read(1.0)
                if isinstance(heard, Data):
                    found.append(heard.data)
            return found

        ours, mute, babble = await asyncio.gather(
            *(poll(line, unit) for line, unit in zip(lines, (1, 5, 0x42), strict=True))
        )
        assert set(ours) == {REQUEST.pack(1, 3, 0, 2) + struct.pack(">HH", 100, 101)}
        assert set(mute) == {REQUEST.pack(5, 0x83, 0, 2) + bytes([NO_ANSWER])}
        assert set(babble) == {REQUEST.pack(0x42, 0x83, 0, 2) + bytes([NO_ANSWER])}
        assert len(mute) >= 3
        assert len(babble) >= 3
        waits = [b - a for a, b in pairwise(good.asked)]
        assert max(waits) < 0.2 + 0.2 + 0.2 + 0.1  # one mute turn, one babbling turn and its settling; never more
        for line in lines:
            await line.close()


async def test_a_late_answer_never_passes_for_the_answer_to_the_next_question(tmp_path: Path) -> None:
    pty = Pty(tmp_path / "bus")
    os.set_blocking(pty.master, False)

    async def slow_slave() -> None:
        """Answers each request truly, the first one 1.5 deadlines late."""
        late_s = 0.3
        while True:
            await asyncio.sleep(0.005)
            try:
                request = os.read(pty.master, 100)
            except OSError:
                continue
            await asyncio.sleep(late_s)
            late_s = 0.0
            address = int.from_bytes(request[2:4], "big")
            body = request[:2] + b"\x02" + address.to_bytes(2, "big")
            os.write(pty.master, body + crc16(body).to_bytes(2, "little"))

    slave = asyncio.create_task(slow_slave())
    async with closing(open_transport(ModbusRtuPort(modbus_rtu=pty.link, timeout_s=0.2))) as line:
        await opened(line)
        await line.write(REQUEST.pack(1, 3, 11, 1) + REQUEST.pack(1, 3, 22, 1) + REQUEST.pack(1, 3, 33, 1))
        found = await records(line, 3)
    slave.cancel()
    os.close(pty.master)
    assert found[0] == REQUEST.pack(1, 0x83, 11, 1) + bytes([NO_ANSWER])
    assert found[1:] == [REQUEST.pack(1, 3, k, 1) + k.to_bytes(2, "big") for k in (22, 33)]


async def test_the_connection_to_a_shared_server_is_lost_for_all_and_comes_back(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        endpoint = f"127.0.0.1:{probe.getsockname()[1]}"
    port = ModbusTcpPort(modbus_tcp=Endpoint("127.0.0.1", int(endpoint.rpartition(":")[2])), timeout_s=0.3)
    lines = [open_transport(port), open_transport(port)]
    assert all("refuses the connection" in reason for reason in await asyncio.gather(*map(gone, lines)))
    for times in (1, 2):
        server = ModbusServer({1: Registers(times)}, rtu=False)
        async with serving(server, tmp_path, rtu=False, endpoint=endpoint):
            await asyncio.gather(*(opened(line, times) for line in lines))
            for line in lines:
                await line.write(REQUEST.pack(1, 4, 0, 1))
                assert await records(line, 1) == [REQUEST.pack(1, 4, 0, 1) + struct.pack(">H", times)]
        assert all("closed the connection" in reason for reason in await asyncio.gather(*map(gone, lines)))
    for line in lines:
        await line.close()


async def test_an_unplugged_bus_is_told_and_comes_back(tmp_path: Path) -> None:
    first = ModbusServer({1: Registers(1)}, rtu=True)
    async with serving(first, tmp_path, rtu=True) as make:
        line = make()
        await opened(line)
    assert "unplugged or switched off" in await gone(line)
    async with serving(ModbusServer({1: Registers(2)}, rtu=True), tmp_path, rtu=True):
        await opened(line, 2)
        await line.write(REQUEST.pack(1, 3, 0, 1))
        assert (await records(line, 1))[0][6:] == b"\x00\x02"
    await line.close()


async def test_a_poll_is_left_out_while_the_same_one_is_unfinished(tmp_path: Path) -> None:
    async with (
        serving(ModbusServer({1: Registers()}, rtu=True), tmp_path, rtu=True) as make,
        closing(make(0.1)) as line,
    ):
        await opened(line)
        poll = REQUEST.pack(5, 3, 0, 1) + REQUEST.pack(1, 3, 7, 1)  # the first of them is mute
        for _ in range(50):
            await line.write(poll)
        found = await records(line, 2)
        assert [record[1] for record in found] == [0x83, 0x03]
        assert await line.read(0.4) == Nothing()
