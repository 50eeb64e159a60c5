"""Every kind that can be simulated, under every fault, read by its real driver: what is decoded is what the ledger
says, and of that all that is not marked as damaged."""

import asyncio
import atexit
import json
import math
import struct
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest

from drivers.aml import Aml
from drivers.driver import Decoded, Driver, load, names
from drivers.modbus_map import ModbusMap
from drivers.simulators.sbe911plus import Sbe911plusSimulator
from drivers.simulators.simulator import Said, Simulator
from gateway.config import ModbusRtuPort, ModbusTcpPort, Port, SerialPort, TcpPort, UdpPort, parse_endpoint
from gateway.modbus_server import ModbusServer, Slave, crc16
from gateway.simulate import KINDS, Faults, Speaker, _BadLine, build, falsifier, host
from gateway.transports import Data, open_transport
from tests.drivers.decoded import frames, problems
from tests.drivers.line_drivers import START_NS
from tests.servers import free_port
from tidegate.clock import Arrival
from tidegate.frame import Frame
from tidegate.vocabulary import PARAMETERS

Way = tuple[str, str, tuple[str, ...], Mapping[str, Any]]
"""A kind, the driver that reads it, the settings of the simulator and those of the driver."""

_UTTERANCES = 40
_NO_ANSWER = 0x0B

_RBR = {"channels": ("conductivity_00", "temperature_00", "pressure_00")}
DRIVERS: Mapping[str, Mapping[str, Any]] = {
    "aml": {"columns": ("Date", "Time", "Cond", "TempCT", "Pressure", "SV", "Depth")},
    "ascii": {"pattern": "tsg"},
    "modbus": {"map": "vegapuls-61", "device": 1},
    "radar": {"map": "vegapuls-61", "device": 1},
    "paroscientific": {"unit": "psi"},
    "rbr": _RBR,
    "sdi12": {"sensors": [{"address": "0", "sensor": "campbell-cs475"}]},
    # Without it, one line cut behind its temperature and run into the next reads as one with salinity.
    "sbe45": {"columns": ("temperature", "conductivity")},
}
"""What the driver of a kind must be told; the others know their simulators as they come."""
MORE: tuple[Way, ...] = (
    ("aml", "aml", ("outputformat=amlx",), {}),
    ("ascii", "ascii", ("pattern=satlantic_par",), {"pattern": "satlantic_par"}),
    ("dvl", "trdi_dvl", ("output=PD5",), {}),
    ("rbr", "rbr", ("outputformat=gen4",), {"generation": 4, **_RBR}),
    ("sbe37", "sbe37", ("xml=true",), {}),
    ("seafet", "seafet", ("model=seaphox",), {}),
    ("seafet", "seafet", ("model=deep_seaphox",), {}),
    ("valeport", "valeport", ("kind=miniips2",), {}),
    ("workhorse", "trdi_pd0", ("hexadecimal=true", "bottom_track=true"), {}),
)
"""Beside the kinds as they come: the other ways to speak that have a checksum, or a grammar of their own."""
SPEAK_UNASKED = {"paroscientific": ("running=true",)}
WAYS: list[Way] = [
    *(
        (kind, driver, tuple(settings), DRIVERS.get(kind, {}))
        for kind in KINDS
        for driver, *settings in build(kind, None, []).drivers
    ),
    *MORE,
]


def name_of(way: Way) -> str:
    return " ".join([way[0], way[1], *way[2]])


every_way = pytest.mark.parametrize("way", WAYS, ids=name_of)


@dataclass
class Heard:
    """A run: what was said, each with whether it was damaged, and what the driver made of it."""

    said: list[tuple[Said, bool]] = field(default_factory=list)
    rows: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    problems: list[tuple[str, int, int]] = field(default_factory=list)
    damaged_utterances: int = 0


@cache
def configuration() -> Path:
    """The file that a driver of a profiling CTD wants."""
    with tempfile.NamedTemporaryFile("w", suffix=".xmlcon", delete=False) as file:
        file.write(Sbe911plusSimulator().configuration())
    atexit.register(Path(file.name).unlink)
    return Path(file.name)


def run(way: Way, settings: Sequence[str] = (), faults: Faults | None = None) -> Heard:
    """The simulator and its driver, with nothing but the bad line between them."""
    kind, driver_name, own, told = way
    simulator = build(kind, None, [*SPEAK_UNASKED.get(kind, ()), *own, *settings])
    cls = load(driver_name)
    if driver_name == "sbe911plus":
        told = {"xmlcon": configuration()}
    driver = cls("it", cls.Settings.model_validate(told))
    is_bus = hasattr(simulator, "registers")
    speaker: Speaker = ModbusServer({1: cast(Slave, simulator)}, rtu=True) if is_bus else simulator
    line = _BadLine(faults or Faults(), falsifier(simulator, rtu=is_bus))
    heard, now_ns = Heard(), START_NS + 3_000_000
    decoded: list[Decoded] = []
    step_ns = round(min(simulator.interval_s, 0.2 if kind == "ship" else math.inf) * 1e9)

    def hear(data: bytes, at_ns: int, *, through: _BadLine | None) -> None:
        if not data:
            return
        out, damaged = through.pass_on(data, at_ns / 1e9) if through else (data, False)
        heard.damaged_utterances += damaged and bool(out)
        said = speaker.take_said()
        if out:
            heard.said.extend((replace(one, at_ns=at_ns), damaged) for one in said)
        fed = _record(request, out) if is_bus else out
        decoded.extend(driver.feed(fed, Arrival(at_ns, at_ns, "boot", True)))

    request = b""
    if not is_bus:
        hear(speaker.receive(driver.start(), now_ns), now_ns, through=None)
    for n in range(_UTTERANCES):
        now_ns += step_ns
        if is_bus:
            asked = driver.poll()
            for request in (asked[i : i + 6] for i in range(0, len(asked), 6)):
                hear(speaker.receive(request + crc16(request).to_bytes(2, "little"), now_ns), now_ns, through=line)
        else:
            # What it says first, a few tell but once: the shape of all that follows.
            hear(speaker.tick(now_ns), now_ns, through=line if n > 1 else None)
            said = driver.poll()
            for _ in range(8):
                hear(speaker.receive(said, now_ns), now_ns, through=line)
                turn = driver.turn(now_ns)
                decoded.extend(turn.problems)
                if not (said := turn.data):
                    break
    decoded += driver.finish()
    heard.problems = problems(decoded)
    heard.rows = [row for frame in frames(decoded) for row in _rows(frame)]
    unexplained = {kind for kind, _, _ in heard.problems} - set(cls.problems)
    assert not unexplained, f"problems that {driver_name} does not explain: {unexplained}"
    return heard


@cache
def clean(index: int) -> Heard:
    """The run of `WAYS[index]` without any fault."""
    return run(WAYS[index])


def _record(request: bytes, answer: bytes) -> bytes:
    """The exchange as the transport gives it to the driver."""
    if len(answer) < 5 or crc16(answer[:-2]).to_bytes(2, "little") != answer[-2:] or answer[:2] != request[:2]:
        unit, function, rest = request[0], request[1], request[2:]
        return struct.pack(">BB", unit, function | 0x80) + rest + bytes([_NO_ANSWER])
    return request + answer[3:-2]


def _rows(frame: Frame) -> Iterator[tuple[int, dict[str, Any]]]:
    absent = {name: frame.missing(name) != 0 for name in frame.columns}
    for i in range(len(frame)):
        values: dict[str, Any] = {}
        for name, column in frame.columns.items():
            cell, gone = column[i], absent[name][i]
            if cell.ndim:
                values[name] = tuple(
                    None if no else _plain(v) for v, no in zip(cell.tolist(), gone.tolist(), strict=True)
                )
            else:
                values[name] = None if gone.any() else _plain(cell.item())
        yield int(frame.time[i]), values


def _plain(value: Any) -> float:
    return round(float(value), 7) + 0.0


def _expected(name: str, value: Any) -> Any:
    """What a driver makes of a value that was said: nothing, where it cannot be."""
    if isinstance(value, list | tuple):
        return tuple(_expected(name, one) for one in value)
    if value is None:
        return None
    known = PARAMETERS.get(name)
    return _plain(value) if known is None or known.plausible[0] <= value <= known.plausible[1] else None


def agree(heard: Heard, *, within_ns: int = 0, strictly: bool = False) -> None:
    """Each row is one that was said, and all that was said and not damaged is there. Of what was damaged, a row may
    lack values, but has no others; `strictly`: nothing of it is there."""
    at: dict[int, list[int]] = {}
    for i, (said, damaged) in enumerate(heard.said):
        known_by = {said.at_ns if said.time_ns is None else said.time_ns} | ({said.at_ns} if damaged else set())
        for time_ns in known_by:
            at.setdefault(time_ns // (within_ns or 1), []).append(i)
    found: set[int] = set()
    for time_ns, values in heard.rows:
        near = [i for i in at.get(time_ns // (within_ns or 1), []) if i not in found]
        fitting = [i for i in near if fits(*heard.said[i], values)]
        assert fitting, f"decoded, but not said: {time_ns} {values}; said was {[heard.said[i] for i in near]}"
        found.add(min(fitting, key=lambda i: len(values) - len(heard.said[i][0].values)))
    assert [said for i, (said, damaged) in enumerate(heard.said) if not damaged and i not in found] == []
    if strictly:
        assert [heard.said[i] for i in found if heard.said[i][1]] == []


def fits(said: Said, damaged: bool, values: Mapping[str, Any]) -> bool:
    wanted = {name: _expected(name, value) for name, value in said.values.items()}
    if damaged:
        return all(_is_part(values[name], value) for name, value in wanted.items() if name in values)
    return wanted.keys() <= values.keys() and all(values[name] == value for name, value in wanted.items())


def _is_part(value: Any, of: Any) -> bool:
    if isinstance(value, tuple) and isinstance(of, tuple):
        return all(_is_part(v, o) for v, o in zip(value, of, strict=False))
    return value is None or value == of


# ---- the kinds


def test_every_driver_has_its_simulator() -> None:
    assert {way[1] for way in WAYS} == set(names())


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_says_what_reads_it_and_what_it_spoils(kind: str) -> None:
    simulator = build(kind, None, [])
    assert simulator.drivers
    assert simulator.spoils
    for _, *settings in simulator.drivers:
        assert isinstance(build(kind, None, settings), Simulator)


@every_way
def test_a_good_line_gives_all_of_the_ledger(way: Way) -> None:
    heard = clean(WAYS.index(way))
    assert len(heard.said) >= 8
    assert not any(damaged for _, damaged in heard.said)
    agree(heard)
    assert heard.problems == []


# ---- faults of the line


@every_way
@pytest.mark.parametrize("fault", ["noise", "cut", "flip", "mute"])
def test_a_bad_line_costs_what_is_damaged_and_nothing_else(way: Way, fault: str) -> None:
    within_ns = 10**9 if way[0] == "sbe911plus" else 0  # its times count the scans of each second
    heard = run(way, faults=Faults(**{fault: 0.2}, mute_s=0.1 if within_ns else 1.0, seed=4))
    agree(heard, within_ns=within_ns)
    assert not all(damaged for _, damaged in heard.said)
    if fault == "mute":
        assert len(heard.said) < len(clean(WAYS.index(way)).said)
        assert not any(damaged for _, damaged in heard.said)
    else:
        assert heard.damaged_utterances
        assert heard.problems


def _falsifier(way: Way) -> Callable[[bytes], bytes] | None:
    simulator = build(way[0], None, way[2])
    return falsifier(simulator, rtu=hasattr(simulator, "registers"))


@pytest.mark.parametrize("way", [way for way in WAYS if _falsifier(way)], ids=name_of)
def test_wrong_checksums_are_refused(way: Way) -> None:
    heard = run(way, faults=Faults(checksum=0.3, seed=2))
    agree(heard, strictly=True)
    assert 0 < heard.damaged_utterances <= len(heard.problems)
    wanted = "no_answer" if way[1] == "modbus" else "checksum"
    assert wanted in {kind for kind, _, _ in heard.problems}


@pytest.mark.parametrize("way", [way for way in WAYS if not _falsifier(way)], ids=name_of)
async def test_what_has_no_checksum_cannot_have_a_wrong_one(way: Way, tmp_path: Path) -> None:
    simulator = build(way[0], None, way[2])
    with pytest.raises(ValueError, match="without checksums; take the fault `flip`"):
        await host(simulator, ledger=None, stop=asyncio.Event(), serial_link=tmp_path / "x", faults=Faults(checksum=1))


# ---- faults of the value and of the clock


@every_way
def test_a_value_that_is_wrong_is_in_the_ledger_as_it_was_said(way: Way) -> None:
    spikes = ["mischief.spikes=[3]", "mischief.spike_by=0.5", "mischief.stuck=[5,7]", "mischief.wild=[9]"]
    heard = run(way, [*spikes, "mischief.wild_value=99"])
    assert {said.mischief for said, _ in heard.said} - {"lost_echo"} == {"", "spike", "stuck", "wild"}
    agree(heard)
    assert {kind for kind, _, _ in heard.problems} <= {"implausible"}


@every_way
def test_a_value_drifts_by_the_hour(way: Way) -> None:
    before, heard = clean(WAYS.index(way)), run(way, ["mischief.drift_per_h=60"])
    agree(heard)
    name = build(way[0], None, way[2]).spoils.split()[0]
    drifts: list[tuple[float, Said]] = []
    for (right, _), (wrong, _) in zip(before.said, heard.said, strict=True):
        if isinstance(right.values.get(name), float) and isinstance(wrong.values.get(name), float):
            drifts.append((wrong.values[name] - right.values[name], wrong))
    if drifts and way[0] not in ("paroscientific", "ship"):  # in a unit of its own; a heading that turns round
        by, said = drifts[-1]
        assert by == pytest.approx((said.at_ns - heard.said[0][0].at_ns) / 6e10, abs=0.1)
    assert [a.values for a, _ in before.said] != [b.values for b, _ in heard.said]
    assert {said.mischief for said, _ in heard.said} == {"", "drift"}


@every_way
def test_a_clock_goes_wrong(way: Way) -> None:
    before, heard = clean(WAYS.index(way)), run(way, ["clock.ahead_s=7200", "clock.gain_s_per_day=8640"])
    agree(heard)
    ahead_s = [(said.time_ns - said.at_ns) / 1e9 for said, _ in heard.said if said.time_ns is not None]
    right_s = [(said.time_ns - said.at_ns) / 1e9 for said, _ in before.said if said.time_ns is not None]
    assert len(ahead_s) > 0 or not right_s
    if right_s:
        gained_s = 0.1 * (heard.said[-1][0].at_ns - heard.said[0][0].at_ns) / 1e9
        assert ahead_s[0] == pytest.approx(7200 + right_s[0], abs=1.6)
        assert ahead_s[-1] == pytest.approx(7200 + right_s[-1] + gained_s, abs=1.6)


# ---- the same over real ports


async def through(port: Port, driver: Driver, for_s: float) -> list[Decoded]:
    """What the driver makes of what comes in at the port."""
    line, decoded, until_s = open_transport(port), [], time.monotonic() + for_s
    while time.monotonic() < until_s:
        got = await line.read(0.05)
        if isinstance(got, Data):
            decoded += driver.feed(got.data, got.at)
    await line.close()
    return decoded + driver.finish()


def ledger_of(path: Path) -> list[tuple[Said, bool]]:
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        (Said(entry["at_ns"], entry["time_ns"], entry["values"], entry["mischief"]), entry.get("damaged", False))
        for entry in entries
    ]


@asynccontextmanager
async def hosted(simulator: Simulator, ledger: Path, **options: Any) -> AsyncIterator[str]:
    stop, up = asyncio.Event(), asyncio.get_running_loop().create_future()
    task = asyncio.create_task(host(simulator, ledger=ledger, stop=stop, ready=up.set_result, **options))
    try:
        await asyncio.wait({task, up}, return_when=asyncio.FIRST_COMPLETED)
        yield up.result()
    finally:
        stop.set()
        await task


@pytest.mark.parametrize("way", ["serial", "tcp", "udp"])
async def test_over_a_real_port_all_that_is_not_damaged_arrives(way: str, tmp_path: Path) -> None:
    free = free_port()
    port: Port
    options: dict[str, Any]
    if way == "serial":
        port, options = SerialPort(serial=tmp_path / "p"), {"serial_link": tmp_path / "p"}
    elif way == "tcp":
        port, options = TcpPort(tcp=parse_endpoint(f"127.0.0.1:{free}")), {"tcp": f"127.0.0.1:{free}"}
    else:
        port, options = UdpPort(udp=free), {"udp": f"127.0.0.1:{free}"}
    simulator = build("aml", 0.1, ["outputformat=amlx", "clock.ahead_s=3600", "mischief.drift_per_h=100"])
    faults = Faults(noise=0.2, cut=0.2, checksum=0.3, seed=5)
    reading = asyncio.create_task(through(port, Aml("it"), 2.0)) if way == "udp" else None
    async with hosted(simulator, tmp_path / "ledger", faults=faults, **options):
        decoded = await (reading or through(port, Aml("it"), 2.0))
        simulator.speaking = False
    said = ledger_of(tmp_path / "ledger")
    heard = Heard(said, [row for frame in frames(decoded) for row in _rows(frame)], problems(decoded))
    assert {damaged for _, damaged in said} == {True, False}
    assert all(one.time_ns - one.at_ns > 3590e9 for one, _ in said if one.time_ns is not None)
    assert heard.problems
    last_ns = max(time_ns for time_ns, _ in heard.rows)
    heard.said = [(one, damaged or (one.time_ns or 0) > last_ns) for one, damaged in said]  # the last is not closed
    agree(heard)


@pytest.mark.parametrize("fault", ["checksum", "mute"])
async def test_a_gauge_on_a_real_bus_is_silent_where_it_is_damaged(fault: str, tmp_path: Path) -> None:
    rtu = fault == "checksum"
    simulator = build("radar", None, [])
    driver = ModbusMap("it", ModbusMap.Settings.model_validate({"map": "vegapuls-61"}))
    where: dict[str, Any] = {"modbus_rtu": tmp_path / "bus"} if rtu else {"modbus_tcp": "127.0.0.1:0"}
    faults = Faults(**{fault: 0.4}, mute_s=0.2, seed=1)
    async with hosted(simulator, tmp_path / "ledger", unit=246, faults=faults, **where) as name:
        port: Port
        if rtu:
            port = ModbusRtuPort(modbus_rtu=tmp_path / "bus", timeout_s=0.1)
        else:
            port = ModbusTcpPort(modbus_tcp=parse_endpoint(name), timeout_s=0.1)
        line, decoded = open_transport(port), []
        await line.read(1.0)
        for _ in range(16):
            await line.write(driver.poll())
            got = await line.read(1.0)
            assert isinstance(got, Data)
            decoded += driver.feed(got.data, got.at)
        await line.close()
    level = "water_surface_height_above_reference_datum"
    levels = [values[level] for frame in frames(decoded) for _, values in _rows(frame)]
    said = ledger_of(tmp_path / "ledger")
    assert levels == [one.values[level] for one, damaged in said if not damaged]
    refused = [kind for kind, _, _ in problems(decoded)]
    assert set(refused) == {"no_answer"}
    assert len(levels) + len(refused) == 16
    assert any(damaged for _, damaged in said) == rtu  # what was never said is not in the ledger
