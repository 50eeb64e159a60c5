import asyncio
import dataclasses
import json
import math
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.driver import Problem
from drivers.modbus_map import ModbusMap
from drivers.nmea.nmea0183 import Nmea0183
from drivers.simulators.radar import RadarSimulator
from drivers.simulators.sbe37 import Sbe37Simulator
from drivers.simulators.ship import ShipSimulator
from drivers.simulators.simulator import Mischief, Said, Simulator
from gateway.config import ModbusRtuPort, ModbusTcpPort, Port, SerialPort, parse_endpoint
from gateway.modbus_server import ModbusServer, crc16
from gateway.simulate import KINDS, Faults, build, host, listing, simulate
from gateway.transports import Data, Transport, open_transport
from tidegate.frame import Frame


@dataclass
class Counter(Simulator):
    """Says a numbered, checksummed line each `interval_s`; answers `?` with the last number."""

    interval_s: float = 0.02
    size: int = 0
    mischief: Mischief = field(default_factory=Mischief)

    def __post_init__(self) -> None:
        self._due_ns: int | None = None
        self._count = 0

    def tick(self, now_ns: int) -> bytes:
        if not self.speaking or (self._due_ns is not None and now_ns < self._due_ns):
            return b""
        self._due_ns = now_ns + int(self.interval_s * 1e9)
        return self._line(now_ns)

    def receive(self, data: bytes, now_ns: int) -> bytes:
        return b"".join(self._line(now_ns) for _ in range(data.count(b"?")))

    def _line(self, now_ns: int) -> bytes:
        self.said.append(Said(now_ns, None, {"count": self._count}))
        body = f"{self._count}:{'x' * self.size}"
        self._count += 1
        return f"{body}*{sum(body.encode()) % 251}\r\n".encode()


def counts(data: bytes) -> list[int]:
    """The numbers of the whole lines in `data` whose checksum is right."""
    found = []
    for line in data.split(b"\r\n"):
        body, star, check = line.rpartition(b"*")
        if star and check.isdigit() and int(check) == sum(body) % 251 and body.partition(b":")[0].isdigit():
            found.append(int(body.partition(b":")[0]))
    return found


def entries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@asynccontextmanager
async def hosted(
    simulator: Simulator | ModbusServer, tmp_path: Path, **options: Any
) -> AsyncIterator[Callable[[], str]]:
    """A running host; gives the name of its port."""
    stop, up = asyncio.Event(), asyncio.Event()
    names: list[str] = []

    def ready(name: str) -> None:
        names.append(name)
        up.set()

    task = asyncio.create_task(host(simulator, ledger=tmp_path / "ledger", stop=stop, ready=ready, **options))
    waiting = asyncio.create_task(up.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED, timeout=2.0)
    waiting.cancel()
    try:
        yield lambda: names[0]
    finally:
        stop.set()
        await task


async def heard(line: Transport, for_s: float) -> bytes:
    data, until_s = b"", time.monotonic() + for_s
    while time.monotonic() < until_s:
        got = await line.read(0.05)
        if isinstance(got, Data):
            data += got.data
    return data


async def test_the_ledger_holds_exactly_what_went_out_and_only_while_somebody_listens(tmp_path: Path) -> None:
    link, ledger = tmp_path / "dev" / "ctd", tmp_path / "ledger"
    quiet = asyncio.Event()
    async with hosted(Counter(), tmp_path, serial_link=link, instrument="ctd-1", quiet=quiet):
        assert os.readlink(link).startswith("/dev/pts/")
        await asyncio.sleep(0.2)
        assert entries(ledger) == []  # nobody has it open
        data = b""
        for _ in range(3):  # a reader that goes and comes back loses nothing
            line = open_transport(SerialPort(serial=link))
            data += await heard(line, 0.3)
            await line.close()
            await asyncio.sleep(0.1)
        line = open_transport(SerialPort(serial=link))
        data += await heard(line, 0.1)
        quiet.set()
        data += await heard(line, 0.1)
        assert entries(ledger)[-1] == {"quiet": True}
        before = len(entries(ledger))
        await line.write(b"??")
        data += await heard(line, 0.1)
        assert len(entries(ledger)) == before + 2  # it still answers
        await line.close()
    assert not link.is_symlink()
    said = [entry for entry in entries(ledger) if "quiet" not in entry]
    assert [entry["values"]["count"] for entry in said] == counts(data) == list(range(len(said)))
    assert len(said) > 20
    assert set(said[0]) == {"instrument", "at_ns", "time_ns", "values", "mischief"}
    assert said[0]["instrument"] == "ctd-1"


async def test_a_reader_that_does_not_read_makes_the_instrument_wait(tmp_path: Path) -> None:
    link, ledger = tmp_path / "ctd", tmp_path / "ledger"
    async with hosted(Counter(interval_s=0.0, size=5000), tmp_path, serial_link=link):
        descriptor = os.open(link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        await asyncio.sleep(0.5)
        held = len(entries(ledger))
        assert 0 < held < 20  # what the line holds, no more
        await asyncio.sleep(0.2)
        assert len(entries(ledger)) == held
        data = b""
        while len(counts(data)) < 50:
            await asyncio.sleep(0.005)
            data += os.read(descriptor, 65536)
        assert counts(data)[:50] == list(range(50))
        os.close(descriptor)


async def test_a_new_host_takes_over_the_name(tmp_path: Path) -> None:
    link = tmp_path / "ctd"
    async with hosted(Counter(), tmp_path, serial_link=link):
        first = os.readlink(link)
        async with hosted(Counter(), tmp_path, serial_link=link):
            assert os.readlink(link) != first
        assert not link.is_symlink()
        link.symlink_to("/dev/null")
    assert os.readlink(link) == "/dev/null"  # what another has put there stays


async def test_tcp_serves_one_after_the_other(tmp_path: Path) -> None:
    async with hosted(Counter(), tmp_path, tcp="127.0.0.1:0") as name:
        endpoint = parse_endpoint(name())
        received = []
        for _ in range(2):
            client = await asyncio.to_thread(socket.create_connection, endpoint, 2.0)
            client.settimeout(2.0)
            await asyncio.sleep(0.2)
            received.append(counts(await asyncio.to_thread(client.recv, 65536)))
            client.close()
            await asyncio.sleep(0.1)
    said = [entry["values"]["count"] for entry in entries(tmp_path / "ledger")]
    assert received[0][:5] == [0, 1, 2, 3, 4]
    assert received[1][0] > received[0][-1]
    assert set(received[0]) | set(received[1]) <= set(said)
    assert said == sorted(said)


@pytest.mark.parametrize("fault", ["noise", "cut", "flip", "mute"])
async def test_faults_damage_only_what_the_ledger_calls_damaged(tmp_path: Path, fault: str) -> None:
    link, ledger = tmp_path / "ctd", tmp_path / "ledger"
    faults = Faults(**{fault: 0.3}, mute_s=0.05, seed=5)
    async with hosted(Counter(interval_s=0.0), tmp_path, serial_link=link, faults=faults):
        line = open_transport(SerialPort(serial=link))
        data = await heard(line, 0.6)
        await line.close()
    said = entries(ledger)
    whole = [entry["values"]["count"] for entry in said if not entry.get("damaged")]
    damaged = {entry["values"]["count"] for entry in said if entry.get("damaged")}
    got = counts(data)
    assert len(whole) > 10
    assert set(whole[:-5]) <= set(got)
    assert set(got) <= set(whole) | damaged
    if fault == "mute":
        assert not damaged
        assert len(said) < said[-1]["values"]["count"]  # what was never said is not in the ledger
    else:
        assert len(damaged - set(got)) > 5


async def test_the_same_seed_gives_the_same_faults(tmp_path: Path) -> None:
    from gateway.simulate import _BadLine

    said = [f"{k}: a record of the instrument\r\n".encode() for k in range(500)]
    faults = Faults(noise=0.1, cut=0.1, flip=0.1, seed=3)
    lines = [_BadLine(faults), _BadLine(faults), _BadLine(Faults(seed=3))]
    one, two, clean = ([line.pass_on(data, 0.0) for data in said] for line in lines)
    assert one == two
    assert clean == [(data, False) for data in said]
    assert 100 < sum(damaged for _, damaged in one) < 300
    assert all(out == data for (out, damaged), data in zip(one, said, strict=True) if not damaged)
    with pytest.raises(ValueError, match="share from 0 to 1"):
        Faults(noise=2)


async def test_a_ship_over_a_bad_serial_line_is_decoded_as_its_ledger_says(tmp_path: Path) -> None:
    link = tmp_path / "bridge"
    faults = Faults(noise=0.05, flip=0.05, seed=1)
    driver, samples, problems = Nmea0183("bridge"), 0, 0
    async with hosted(ShipSimulator(heading_hz=10), tmp_path, serial_link=link, faults=faults, instrument="bridge"):
        line = open_transport(SerialPort(serial=link))
        until_s = time.monotonic() + 2.5
        decoded = []
        while time.monotonic() < until_s:
            got = await line.read(0.05)
            if isinstance(got, Data):
                decoded += driver.feed(got.data, got.at)
        await line.close()
    decoded += driver.finish()
    headings = []
    for item in decoded:
        if isinstance(item, Frame):
            samples += len(item)
            if "platform_orientation" in item.columns:
                headings += item.columns["platform_orientation"].tolist()
        problems += isinstance(item, Problem)
    said = [e for e in entries(tmp_path / "ledger") if "platform_orientation" in e["values"]]
    sure = [e["values"]["platform_orientation"] for e in said if not e.get("damaged")]
    every = [e["values"]["platform_orientation"] for e in said]
    assert len(sure) > 10
    assert is_subsequence(sure, headings)
    assert is_subsequence(headings, every)


def is_subsequence(part: list[float], whole: list[float]) -> bool:
    rest = iter(round(value, 6) for value in whole)
    return all(any(round(value, 6) == other for other in rest) for value in part)


# ---- modbus


class Gauge(Simulator):
    """Register k of function 4 holds 100 + k; each read is a sample."""

    def tick(self, now_ns: int) -> bytes:
        return b""

    def registers(self, function: int, address: int, count: int, now_ns: int) -> list[int] | int:
        if function != 4:
            return 1
        self.said.append(Said(now_ns, None, {"count": address}))
        return [100 + address + k for k in range(count)]


def rtu(body: bytes) -> bytes:
    return body + crc16(body).to_bytes(2, "little")


def test_crc_of_the_specification() -> None:
    # MODBUS over Serial Line V1.02, appendix B: 02 07 gives 1241h, sent as 41 12.
    assert rtu(b"\x02\x07") == b"\x02\x07\x41\x12"


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.lists(st.integers(0, 7), max_size=6), st.binary(max_size=20))
def test_rtu_requests_are_answered_however_they_are_cut_and_after_noise(cuts: list[int], noise: bytes) -> None:
    server = ModbusServer({3: Gauge()}, rtu=True)
    now_ns = 10**18
    server.receive(noise, now_ns)
    request = rtu(struct.pack(">BBHH", 3, 4, 7, 2))
    now_ns += 10**9  # the line was silent, so the noise is no part of what follows
    answers = b""
    places = sorted({0, 8, *cuts})
    for start, end in pairwise(places):
        now_ns += 1_000_000
        answers += server.receive(request[start:end], now_ns)
    assert answers == rtu(b"\x03\x04\x04" + struct.pack(">HH", 107, 108))


@pytest.mark.parametrize(
    ("pdu", "answer"),
    [
        (b"\x04\xff\xff\x00\x02", b"\x84\x02"),
        (b"\x04\x00\x00\x00\x00", b"\x84\x03"),
        (b"\x04\x00\x00\x00\x7e", b"\x84\x03"),
        (b"\x04\x00", b"\x84\x03"),
        (b"\x03\x00\x00\x00\x01", b"\x83\x01"),
        (b"\x10\x00\x00\x00\x01\x02\x00\x00", b"\x90\x01"),
    ],
)
def test_exceptions(pdu: bytes, answer: bytes) -> None:
    assert ModbusServer({3: Gauge()}, rtu=True).receive(rtu(b"\x03" + pdu), 1) == rtu(b"\x03" + answer)
    mbap = struct.pack(">HHHB", 9, 0, len(pdu) + 1, 3)
    server = ModbusServer({3: Gauge()}, rtu=False)
    assert server.receive(mbap + pdu, 1) == struct.pack(">HHHB", 9, 0, len(answer) + 1, 3) + answer


async def test_samples_read_over_modbus_are_in_the_ledger(tmp_path: Path) -> None:
    async with hosted(Gauge(), tmp_path, modbus_tcp="127.0.0.1:0", unit=3, instrument="gauge") as name:
        reader, writer = await asyncio.open_connection(*parse_endpoint(name()))
        for transaction in (1, 2):
            writer.write(struct.pack(">HHHBBHH", transaction, 0, 6, 3, 4, transaction, 1))
        answer = await asyncio.wait_for(reader.readexactly(22), 2.0)
        assert answer[:11] == struct.pack(">HHHBBBH", 1, 0, 5, 3, 4, 2, 101)
        assert answer[11:] == struct.pack(">HHHBBBH", 2, 0, 5, 3, 4, 2, 102)
        writer.close()
    assert [entry["values"]["count"] for entry in entries(tmp_path / "ledger")] == [1, 2]


@pytest.mark.parametrize("interface", ["modbus_rtu", "modbus_tcp"])
async def test_a_radar_gauge_is_read_as_its_ledger_says(tmp_path: Path, interface: str) -> None:
    where = {"modbus_rtu": tmp_path / "bus", "modbus_tcp": "127.0.0.1:0"}[interface]
    radar = RadarSimulator(lost_echoes=(3,))
    async with hosted(radar, tmp_path, unit=17, **{interface: where}) as name:
        port: Port
        if interface == "modbus_rtu":
            port = ModbusRtuPort(modbus_rtu=tmp_path / "bus")
        else:
            port = ModbusTcpPort(modbus_tcp=parse_endpoint(name()))
        driver = ModbusMap("radar", ModbusMap.Settings.model_validate({"map": "vegapuls-61", "device": 17}))
        line = open_transport(port)
        await line.read(1.0)
        decoded = []
        for _ in range(8):
            await line.write(driver.poll())
            got = await line.read(1.0)
            assert isinstance(got, Data)
            decoded += driver.feed(got.data, got.at)
        await line.close()
    level = "water_surface_height_above_reference_datum"
    levels = [float(frame.columns[level][0]) for frame in decoded if isinstance(frame, Frame)]
    said = [entry["values"][level] for entry in entries(tmp_path / "ledger")]
    assert len(said) == 8
    assert said[3] is None
    assert [None if math.isnan(value) else round(value, 6) for value in levels] == said


async def test_what_cannot_be_hosted_is_refused(tmp_path: Path) -> None:
    async def refused(simulator: Simulator, **options: Any) -> str:
        with pytest.raises(ValueError, match=r".") as caught:
            await host(simulator, ledger=tmp_path / "ledger", stop=asyncio.Event(), **options)
        return str(caught.value)

    assert "name one interface" in await refused(Counter())
    assert "name one interface" in await refused(Counter(), tcp="h:1", serial_link=tmp_path / "x")
    assert "has no Modbus registers" in await refused(Counter(), modbus_rtu=tmp_path / "x")
    assert "only the fault `mute`" in await refused(Gauge(), modbus_tcp="127.0.0.1:0", faults=Faults(flip=0.1))
    assert "has no port" in await refused(Counter(), tcp="localhost")


# ---- the command


def test_settings_reach_the_simulator() -> None:
    given = ["depth_m=7.5", "serial=37012", "logging=false", 'mischief={"period": 60, "wild": [3, 4]}']
    simulator = build("sbe37", 2.0, [*given, "mischief.wild_value=-9"])
    assert isinstance(simulator, Sbe37Simulator)
    assert (simulator.interval_s, simulator.depth_m, simulator.serial, simulator.logging) == (2, 7.5, "37012", False)
    assert simulator.mischief == Mischief(period=60, wild=(3, 4), wild_value=-9.0)
    for setting, words in {
        "deep=1": "has no 'deep'; it has sea, interval_s",
        "depth_m=deep": "depth_m='deep': Input should be a valid number",
        "mischief.wild=x": "mischief.wild='x'",
        "depth_m": "write name=value",
        "said=[]": "has no 'said'",
    }.items():
        with pytest.raises(ValueError, match=r".") as caught:
            build("sbe37", None, [setting])
        assert words in str(caught.value)
    with pytest.raises(ValueError, match=f"these can: {', '.join(KINDS)}"):
        build("sbe73", None, [])


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    code = "import typer; from gateway.simulate import simulate; typer.run(simulate)"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


async def test_the_command_and_its_signals(tmp_path: Path) -> None:
    link, ledger = tmp_path / "ctd", tmp_path / "ledger"
    arguments = ("sbe37", "--serial", str(link), "--ledger", str(ledger), "--interval", "1", "--set", "depth_m=3")
    with running(*arguments) as process:
        assert process.stdout is not None
        assert f"sbe37 on {link}" in await asyncio.to_thread(process.stdout.readline)
        line = open_transport(SerialPort(serial=link))
        data = await heard(line, 2.2)
        process.send_signal(signal.SIGUSR1)
        data += await heard(line, 1.2)
        said = entries(ledger)
        assert said[-1] == {"quiet": True}
        assert len(said) >= 3
        await line.write(b"TS\r")
        data += await heard(line, 1.2)
        await line.close()
        said = [entry for entry in entries(ledger) if "quiet" not in entry]
        assert len(said) == len(entries(ledger)) - 1
        printed = [text for text in data.decode().split("\r\n") if text.count(",") == 4]
        assert [float(text.strip("S>").split(",")[0]) for text in printed] == [
            entry["values"]["sea_water_temperature"] for entry in said
        ]
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 3.0) == 0
        assert not link.is_symlink()


def test_the_command_names_what_is_wrong(tmp_path: Path) -> None:
    with running("sbe37", "--ledger", str(tmp_path / "l")) as process:
        _, told = process.communicate(timeout=10)
        assert process.returncode == 1
        assert told == "sbe37: name one interface: --serial, --tcp, --udp, --modbus-rtu or --modbus-tcp\n"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_and_its_settings_are_listed(kind: str) -> None:
    simulator = build(kind, None, [])
    row = next(line for line in listing("").splitlines() if line.split()[0] == kind)
    assert all(way[0] in row for way in simulator.drivers)
    told = listing(kind)
    assert simulator.spoils in told
    shown = dict(line.strip().split("=", 1) for line in told.splitlines() if line.startswith("  "))
    assert build(kind, None, [f"{name}={value}" for name, value in shown.items()]) == simulator
    given = {f.name for f in dataclasses.fields(simulator) if f.init}
    assert {name.partition(".")[0] for name in shown} == given


def test_faults_are_plain_options(tmp_path: Path) -> None:
    ledger, link = tmp_path / "ledger", tmp_path / "ctd"
    wrong_values = ("--drift", "3600", "--spike", "1", "2.5", "--wild", "2", "80")
    wrong_times = ("--clock-error", "-86400", "--clock-drift", "10")
    where = ("--serial", str(link), "--ledger", str(ledger), "--interval", "1")
    with running("sbe37", *where, *wrong_values, *wrong_times) as process:
        until_s = time.monotonic() + 10
        while not link.exists() and time.monotonic() < until_s:
            time.sleep(0.05)
        descriptor = os.open(link, os.O_RDWR | os.O_NOCTTY)
        while len(entries(ledger)) < 4 and time.monotonic() < until_s:
            time.sleep(0.05)
        os.close(descriptor)
        process.terminate()
        assert process.wait(3.0) == 0
    said = entries(ledger)[:4]
    assert [entry["mischief"] for entry in said] == ["", "spike", "wild", "drift"]
    first, spike, wild, drifting = (entry["values"]["sea_water_temperature"] for entry in said)
    assert (spike - first, wild, drifting - first) == (pytest.approx(3.5, abs=0.3), 80, pytest.approx(3, abs=0.3))
    assert all(entry["time_ns"] - entry["at_ns"] == pytest.approx(-86400e9, abs=2e9) for entry in said)


def test_kinds_are_listed_without_a_port(tmp_path: Path) -> None:
    with running("--list") as process:
        told, _ = process.communicate(timeout=10)
    assert (process.returncode, told) == (0, listing("") + "\n")
    with running("sbe73", "--list") as process:
        _, complaint = process.communicate(timeout=10)
    assert process.returncode == 1
    assert complaint.startswith("sbe73: 'sbe73' cannot be simulated; these can: ")


def test_every_kind_and_option_is_described() -> None:
    text = (Path(__file__).parents[2] / "docs" / "reference" / "simulators.md").read_text()
    rows = {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `")}
    assert sorted(set(KINDS) - set(rows)) == []
    for kind in KINDS:
        assert all(f"drivers/{way[0]}.md" in rows[kind] for way in build(kind, None, []).drivers)
    app = typer.Typer(add_completion=False)
    app.command()(simulate)
    command: Any = typer.main.get_command(app)
    options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
    assert [option for option in sorted(options) if f"`{option}" not in text] == []
