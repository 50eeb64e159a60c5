"""Real ports with simulated instruments behind them: each is found, nothing is invented, nothing but hails is sent."""

import asyncio
import os
import tomllib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from drivers.driver import load, names
from drivers.simulators.modbus_map import ModbusMapSimulator
from drivers.simulators.radar import RadarSimulator
from drivers.simulators.simulator import Simulator
from gateway import simulate, survey
from gateway.cli import app
from gateway.config import ModbusRtuPort, ModbusTcpPort, SerialPort, TcpPort, UdpPort, parse_endpoint
from gateway.config import load as load_config
from gateway.found import Found, PortUnusable
from gateway.modbus_scan import Block, readings, scan
from gateway.modbus_server import ModbusServer
from gateway.ports import Serial, holder_of, serial_ports, stable_name, with_line
from gateway.probe import hails, interval_s, line_settings, probe
from gateway.simulate import KINDS, build, host
from gateway.talk import shown
from gateway.transports.serialport import open_serial
from tests.gateway.samples import LEVEL
from tests.gateway.stations import CTD, simulated, station, until, written
from tests.gateway.uart import UartPort, misheard
from tests.servers import free_port
from tidegate.clock import Arrival, TimeSource
from tidegate.frame import Frame

ALL_HAILS = {load(name).hail() for name in names()}


@dataclass(kw_only=True)
class Overhearing(Simulator):
    """An instrument, and all that was ever said to it."""

    inner: Simulator

    def __post_init__(self) -> None:
        self.heard = b""

    def tick(self, now_ns: int) -> bytes:
        return self.inner.tick(now_ns)

    def receive(self, data: bytes, now_ns: int) -> bytes:
        self.heard += data
        return self.inner.receive(data, now_ns)


@dataclass(kw_only=True)
class Saying(Simulator):
    """Says this and that over and over, whatever it is told."""

    utterances: tuple[bytes, ...] = ()
    interval_s: float = 0.2

    def __post_init__(self) -> None:
        self._due_ns, self._next = 0, 0

    def tick(self, now_ns: int) -> bytes:
        if not self.utterances or now_ns < self._due_ns:
            return b""
        self._due_ns = now_ns + int(self.interval_s * 1e9)
        self._next += 1
        return self.utterances[self._next % len(self.utterances)]


@asynccontextmanager
async def hosted(simulator: Simulator | ModbusServer, folder: Path, **where: Any) -> AsyncIterator[str]:
    """A running instrument; gives the name of its port."""
    stop, up, told = asyncio.Event(), asyncio.Event(), list[str]()

    def ready(name: str) -> None:
        told.append(name)
        up.set()

    task = asyncio.create_task(host(simulator, ledger=folder / "ledger", stop=stop, ready=ready, **where))
    try:
        await asyncio.wait_for(up.wait(), 5.0)
        yield told[0]
    finally:
        stop.set()
        await task


async def on_a_pty(simulator: Simulator, folder: Path, listen_s: float = 1.6) -> tuple[list[Found], list[str]]:
    """What is found of an instrument on a serial port, and all that was told meanwhile."""
    lines = list[str]()
    async with hosted(simulator, folder, serial_link=folder / "port"):
        found = await probe(SerialPort(serial=folder / "port"), listen_s=listen_s, tell=lines.append)
    return found, lines


def as_hails(heard: bytes) -> list[bytes]:
    """These bytes as hails of drivers, one after the other, and last what is none."""
    asked = []
    while heard:
        asked.append(max((h for h in ALL_HAILS if h and heard.startswith(h)), key=len, default=heard))
        heard = heard[len(asked[-1]) :]
    return asked


# ---- each instrument -------------------------------------------------------------------------------------------------

# Simulator, its settings -> the driver, the settings that it needs, the interval of its samples (None: was not heard)
EXPECTED: dict[tuple[str, ...], tuple[str, dict[str, Any], float | None]] = {
    ("aml",): ("aml", {"mode": "monitor"}, 0.5),
    ("aml", "monitoring=false"): ("aml", {}, None),
    ("aquadopp",): ("nortek_classic", {}, 1.0),
    ("ascii", "pattern=knudsen"): ("ascii", {"pattern": "knudsen"}, 0.5),
    ("dvl",): ("trdi_dvl", {}, 0.5),
    ("gill",): ("gill", {}, 0.5),
    ("paroscientific",): ("paroscientific", {"mode": "polled"}, None),
    ("paroscientific", "running=true"): ("paroscientific", {"mode": "continuous"}, 0.5),
    ("rbr",): ("rbr", {}, 0.5),
    ("rbr", "streaming=false"): ("rbr", {"mode": "polled"}, None),
    ("rbr", "outputformat=gen4", "streaming=false"): ("rbr", {}, None),
    ("sbe16plus",): ("sbe16plus", {"columns": ["temperature", "conductivity", "pressure", "salinity", "time"]}, 1.0),
    ("sbe16plus", "logging=false"): ("sbe16plus", {}, None),
    ("sbe26plus",): ("sbe26plus", {}, None),
    ("sbe37",): ("sbe37", {}, 1.0),
    ("sbe37", "logging=false"): ("sbe37", {}, None),
    ("sbe39plus",): ("sbe39plus", {}, 1.0),
    ("sbe45",): ("sbe45", {}, 1.0),
    ("sbe54",): ("sbe54", {}, 1.0),
    ("sbe54", "logging=false"): ("sbe54", {}, None),
    ("seafet",): ("seafet", {}, 1.0),
    ("ship",): ("nmea0183", {}, 1.0),
    ("signature",): ("nortek_ad2cp", {}, 1.0),
    ("signature", "telemetry=102"): ("nortek_nmea", {}, 1.0),
    ("vaisala_ptu",): ("vaisala_ptu", {}, 1.0),
    ("vaisala_wxt",): ("vaisala_wxt", {}, 1.0),
    ("valeport",): ("valeport", {}, 1.0),
    ("valeport", "kind=minictd"): ("valeport", {"columns": ["pressure", "temperature", "conductivity"]}, 0.5),
    ("workhorse",): ("trdi_pd0", {}, 1.0),
}
ON_MODBUS = {"modbus", "radar"}
NEED_FILES = {"sbe911plus", "sdi12"}
"""What no line tells: a calibration file, a bus adapter's kind."""


async def test_every_simulated_instrument_is_found_with_what_the_gateway_needs(tmp_path: Path) -> None:
    assert {kind for kind, *_ in EXPECTED} | ON_MODBUS | NEED_FILES == set(KINDS)

    async def one(number: int, case: tuple[str, ...]) -> tuple[list[Found], list[str], bytes]:
        every_s = EXPECTED[case][2]
        inner = build(case[0], None if case[0] == "sbe26plus" else every_s or 1.0, case[1:])
        instrument = Overhearing(inner=inner)
        found, lines = await on_a_pty(instrument, tmp_path / str(number), 2.6)
        return found, lines, instrument.heard

    outcomes = await asyncio.gather(*(one(n, case) for n, case in enumerate(EXPECTED)))
    for case, (found, lines, heard) in zip(EXPECTED, outcomes, strict=True):
        driver, settings, every_s = EXPECTED[case]
        assert found, (case, lines)
        best = found[0]
        stated = best.settings.model_dump(mode="json", exclude_defaults=True)
        assert (best.driver, stated) == (driver, settings), (case, lines)
        assert (best.interval_s is None) == (every_s is None), (case, lines)
        # That many instruments in one process do not all keep to their seconds.
        assert every_s is None or every_s / 2 <= (best.interval_s or 0) <= every_s * 2, (case, best.interval_s)
        assert best.confidence >= 0.8, case
        assert best.samples or best.told, case
        asked = as_hails(heard)
        assert set(asked) <= ALL_HAILS, (case, heard)
        told = [line.partition(": sent ")[2] for line in lines if ": sent " in line]
        assert all(line.startswith(f"{shown(hail)}: ") for hail, line in zip(asked, told, strict=True)), (case, told)
        table = survey.table("it", best)
        path = tmp_path / "station.toml"
        path.write_text(f"{HEAD}{table}")
        assert load_config(path).instruments["it"].settings == best.settings, table


HEAD = '[platform]\nname = "p"\nmoving = true\n[broker]\nhost = "h"\n[storage]\ndirectory = "d"\n'


def test_the_interval_of_samples() -> None:
    def every(*seconds: float) -> float | None:
        time = (np.array(seconds) * 1e9).astype(np.int64)
        arrival = Arrival(int(time[0]), 0, "00" * 8, True)
        values = {"water_surface_height_above_reference_datum": np.zeros(len(time))}
        return interval_s([Frame("it", LEVEL, time, values, TimeSource.ARRIVAL, arrival)])

    assert every(5) is None
    assert every(5, 15.2) == 10.0
    assert every(0, 1.02, 2.01, 4.0, 5.0) == 1.0  # one was missed
    assert every(0, 0, 1, 1, 2, 2, 3) == 0.5  # by a clock that counts seconds
    assert every(0, 0.3334, 0.6666) == 0.33


# ---- the line --------------------------------------------------------------------------------------------------------


def test_a_receiver_at_another_speed_hears_other_bytes() -> None:
    text = b"$GPZDA,000000.70,01,08,2014,,*6F\r\n"
    assert misheard(text, 4800, 4800) == text
    assert len(misheard(text, 4800, 9600)) > len(text)
    assert b"GPZDA" not in misheard(text, 4800, 9600) + misheard(text, 9600, 4800) + misheard(text, 9600, 19200)
    # By hand: 0x55 sent at half the speed reads start, then pairs of equal bits 1 1 0 0 1 1 0, and 0 for its stop bit.
    assert misheard(b"\x55", 4800, 9600)[:1] == bytes([0b01100110])


async def test_the_speed_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Fast(UartPort):
        baud = 38400

    monkeypatch.setattr(simulate, "PtyPort", Fast)
    monkeypatch.setattr("gateway.probe.line_settings", lambda: ["9600 8N1", "115200 8N1", "38400 8N1"])
    found, lines = await on_a_pty(build("workhorse", 1.0, ()), tmp_path, 1.2)
    assert found[0].driver == "trdi_pd0", lines
    assert isinstance(found[0].port, SerialPort)
    assert found[0].port.baud == 38400
    assert len(lines) > 1
    assert lines[0].startswith("9600 8N1: ")
    assert "recognised" not in "".join(lines[:-1])


async def test_a_silent_instrument_is_hailed_at_its_own_speed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Fast(UartPort):
        baud = 19200

    monkeypatch.setattr(simulate, "PtyPort", Fast)
    monkeypatch.setattr("gateway.probe.line_settings", lambda: ["2400 8N1", "19200 8N1"])
    found, lines = await on_a_pty(build("paroscientific", None, ()), tmp_path, 0.3)
    assert [f.driver for f in found] == ["paroscientific"], lines
    assert isinstance(found[0].port, SerialPort)
    assert found[0].port.baud == 19200


def test_the_likeliest_settings_come_first_and_all_of_them() -> None:
    lines = line_settings()
    assert lines[0] == "9600 8N1"
    assert len(lines) == len(set(lines))
    assert set(lines) == {line for name in names() for line in load(name).lines if "serial" in load(name).transports}
    port = with_line(SerialPort(serial=Path("/dev/null")), "4800 7E2")
    assert (port.baud, port.data_bits, port.parity, port.stop_bits) == (4800, 7, "even", 2)
    for line in lines:
        with_line(SerialPort(serial=Path("/dev/null")), line)


def test_each_question_is_asked_once() -> None:
    everybody = [name for name in names() if "serial" in load(name).transports]
    asked = hails(everybody, None)
    assert len(asked) == len(set(asked))
    assert all(any(load(name).hail() in hail for hail in asked) for name in everybody)
    assert asked[0] == load("sbe37").hail()
    assert hails(["rbr"], "4800 8N1") == []


# ---- nothing to be found ---------------------------------------------------------------------------------------------


async def test_nothing_there_is_said_with_what_to_look_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.probe.line_settings", lambda: ["9600 8N2"])  # nobody hails at that
    nobody = Overhearing(inner=Saying())
    found, lines = await on_a_pty(nobody, tmp_path, 0.3)
    assert found == []
    assert nobody.heard == b""
    assert lines[0] == "9600 8N2: silence"
    assert "Nothing was heard" in lines[1]
    assert any("--modbus" in line for line in lines)


async def test_garbage_is_nobody_and_is_never_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.probe.line_settings", lambda: ["9600 8N1", "115200 8N1"])
    random = Random(7)
    garbage = Overhearing(inner=Saying(utterances=tuple(random.randbytes(random.randint(1, 300)) for _ in range(9))))
    found, lines = await on_a_pty(garbage, tmp_path, 0.5)
    assert found == []
    assert garbage.heard == b""
    assert [line.split(":")[0] for line in lines[:2]] == ["9600 8N1", "115200 8N1"]
    assert any("no text" in line and "entropy" in line for line in lines)


async def test_lines_that_nobody_knows_are_shown_and_end_the_search(tmp_path: Path) -> None:
    found, lines = await on_a_pty(Saying(utterances=(b"wind;12.5;271;ok\r\n", b"wind;12.7;270;ok\r\n")), tmp_path, 0.6)
    assert found == []
    assert not any("sent" in line or line.startswith("115200") for line in lines)
    told = "\n".join(lines)
    assert "wind;12.7;270;ok" in told
    assert "Lines of 4 values between semicolons" in told
    assert "docs/how-to/write-a-driver.md" in told


async def test_raw_scans_of_a_deck_unit_are_told_to_need_their_file(tmp_path: Path) -> None:
    simulator = build("sbe911plus", None, ())
    _, lines = await on_a_pty(simulator, tmp_path, 0.5)
    assert any("hexadecimal digits" in line and "calibration file" in line for line in lines)


# ---- other ports -----------------------------------------------------------------------------------------------------


async def test_tcp_and_udp(tmp_path: Path) -> None:
    async with hosted(build("sbe37", 0.5, ("logging=false",)), tmp_path / "a", tcp="127.0.0.1:0") as name:
        found = await probe(TcpPort(tcp=parse_endpoint(name)), listen_s=0.3)
    assert [(f.driver, f.port) for f in found] == [("sbe37", TcpPort(tcp=parse_endpoint(name)))]
    number = free_port()
    async with hosted(build("ship", 1.0, ()), tmp_path / "b", udp=f"127.0.0.1:{number}"):
        found = await probe(UdpPort(udp=number), listen_s=1.0)
    assert [f.driver for f in found] == ["nmea0183"]


async def test_a_port_that_cannot_be_opened_is_named_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(PortUnusable, match="is not there"):
        await probe(SerialPort(serial=tmp_path / "nix"))
    with pytest.raises(PortUnusable, match="refuses the connection"):
        await probe(TcpPort(tcp=parse_endpoint(f"127.0.0.1:{free_port()}")))


async def test_a_port_that_another_program_has_is_left_alone(tmp_path: Path) -> None:
    instrument = Overhearing(inner=build("ship", None, ()))
    async with hosted(instrument, tmp_path, serial_link=tmp_path / "port"):
        handle = open_serial(SerialPort(serial=tmp_path / "port"))
        try:
            with pytest.raises(PortUnusable, match="in use by another program"):
                await probe(SerialPort(serial=tmp_path / "port"))
        finally:
            handle.close()


def test_who_has_a_port_open_is_named(tmp_path: Path) -> None:
    master, slave = os.openpty()
    child = os.fork()
    if child == 0:
        os.read(master, 1)  # for ever
        os._exit(0)
    try:
        device = Path(os.ttyname(slave))
        assert f"(process {child})" in holder_of(device)
        assert holder_of(tmp_path / "nix") == ""
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(master)
        os.close(slave)


def test_a_stable_name_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, slave = os.openpty()
    device = Path(os.ttyname(slave))
    (tmp_path / "by-id").mkdir()
    (tmp_path / "by-id" / "usb-FTDI_A9").symlink_to(device)
    (tmp_path / "ours").symlink_to(device)
    monkeypatch.setattr("gateway.ports._STABLE", (str(tmp_path / "by-id"), str(tmp_path / "by-path")))
    assert stable_name(tmp_path / "ours") == tmp_path / "by-id" / "usb-FTDI_A9"
    assert stable_name(tmp_path / "nix") == tmp_path / "nix"
    assert [(p.name, p.holder, p.permitted) for p in serial_ports() if p.device == device] == [
        (tmp_path / "by-id" / "usb-FTDI_A9", "", True)
    ]


# ---- Modbus ----------------------------------------------------------------------------------------------------------


async def test_a_radar_behind_a_gateway_is_found_by_its_map(tmp_path: Path) -> None:
    server = ModbusServer({3: RadarSimulator(), 19: RadarSimulator(byte_order=3)}, rtu=False)
    lines = list[str]()
    async with hosted(server, tmp_path, modbus_tcp="127.0.0.1:0") as name:
        devices = await scan(ModbusTcpPort(modbus_tcp=parse_endpoint(name)), tell=lines.append)
    assert [device.unit for device in devices] == [3, 19]
    assert "units 3, 19 answered" in lines[0]
    for device in devices:
        best = device.found[0]
        assert best.settings.model_dump(exclude_defaults=True) == {"map": "vegapuls-61", "device": device.unit}
        assert best.confidence > 0.6
        assert best.samples == 2
        (level,) = {frame.columns["water_surface_height_above_reference_datum"][-1] for frame in best.frames[-1:]}
        (marked,) = [r for block in device.blocks for r in readings(block, device.found) if r.address == 2002]
        assert (marked.type, marked.order) == ("float32", "ABCD")
        assert abs(marked.value - level) < 0.2


# map of the device -> further maps whose registers the same devices have, with the same meaning
MAPS: dict[str, set[str]] = {
    "aqua-troll-600": {"aqua-troll-600-level"},
    "aquaread-leveline-ctd": {"aquaread-leveline"},
    "geolux-lx80": set(),
    "keller": set(),
    "keller-early": set(),
    "rdo-pro-x": set(),
    "yosemitech-do": set(),
}


async def test_devices_are_told_apart_by_the_shipped_maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.modbus_scan.LAST_UNIT", 9)
    monkeypatch.setattr("gateway.modbus_scan._AGAIN_S", 0.2)
    units = dict(enumerate(MAPS, start=2))
    server = ModbusServer({unit: ModbusMapSimulator(map=name) for unit, name in units.items()}, rtu=False)
    async with hosted(server, tmp_path, modbus_tcp="127.0.0.1:0") as name:
        devices = await scan(ModbusTcpPort(modbus_tcp=parse_endpoint(name)))
    assert [device.unit for device in devices] == list(units)
    for device in devices:
        fits = [found.settings.model_dump()["map"] for found in device.found]
        assert fits[0] == units[device.unit]
        assert set(fits[1:]) == MAPS[units[device.unit]]


async def test_an_rtu_bus_is_found_at_its_speed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Fast(UartPort):
        baud = 19200

    monkeypatch.setattr(simulate, "PtyPort", Fast)
    monkeypatch.setattr("gateway.modbus_scan.LAST_UNIT", 3)
    server = ModbusServer({246: RadarSimulator(), 2: RadarSimulator()}, rtu=True)
    async with hosted(server, tmp_path, modbus_rtu=tmp_path / "bus"):
        devices = await scan(ModbusRtuPort(modbus_rtu=tmp_path / "bus"))
    assert [device.unit for device in devices] == [2, 246]
    assert {device.port.baud for device in devices if isinstance(device.port, ModbusRtuPort)} == {19200}
    assert devices[1].found[0].settings.model_dump(exclude_defaults=True) == {"map": "vegapuls-61"}


@pytest.mark.parametrize(("begin", "byte_order", "order"), [(2100, 0, "DCBA"), (1300, 3, "BADC"), (1400, 0, "CDAB")])
async def test_the_right_order_is_marked_without_any_map(
    tmp_path: Path, begin: int, byte_order: int, order: str
) -> None:
    server = ModbusServer({17: RadarSimulator(byte_order=byte_order)}, rtu=False)
    async with hosted(server, tmp_path, modbus_tcp="127.0.0.1:0") as name:
        port = ModbusTcpPort(modbus_tcp=parse_endpoint(name))
        (device,) = await scan(port, registers=(begin, begin + 3))
    (block,) = device.blocks
    assert (block.function, block.address) == (4, begin)
    assert [(r.address, r.type, r.order) for r in readings(block, ())] == [(begin + 2, "float32", order)]
    assert "changes a little between two reads" in readings(block, ())[0].why


def test_readings_of_noise_and_of_nothing() -> None:
    assert readings(Block(3, 0, (0,) * 8, (0,) * 8), ()) == []
    jumps = Block(3, 0, (16256, 0, 17000, 0), (49024, 0, 18800, 5))  # 1.0 -> -1.0; 516 -> 262144
    assert [r for r in readings(jumps, ()) if r.type == "float32" and r.order == "ABCD"] == []


async def test_a_server_of_one_device_answers_to_every_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.modbus_scan.LAST_UNIT", 12)
    radar = RadarSimulator()
    server = ModbusServer(dict.fromkeys(range(256), radar), rtu=False)
    lines = list[str]()
    async with hosted(server, tmp_path, modbus_tcp="127.0.0.1:0") as name:
        devices = await probe(ModbusTcpPort(modbus_tcp=parse_endpoint(name)), tell=lines.append)
    assert len(devices) == 1
    assert any("every unit id" in line for line in lines)


# ---- the command -----------------------------------------------------------------------------------------------------


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["probe", *arguments])


async def in_thread(work: Callable[[], Any]) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, work)


async def test_the_command_tells_what_is_there_and_what_to_write(tmp_path: Path) -> None:
    async with hosted(build("sbe37", 0.5, ()), tmp_path, serial_link=tmp_path / "port"):
        done = await in_thread(lambda: run(str(tmp_path / "port"), "--listen-s", "1.2"))
    assert done.exit_code == 0
    assert "SBE37SMP-RS232, serial number 03709999 (driver sbe37)" in done.stdout
    assert "Temperature" in done.stdout
    assert "degC" in done.stdout
    assert "sent" in done.stderr
    table = done.stdout[done.stdout.index("[instruments.") :]
    assert tomllib.loads(table) == {
        "instruments": {
            "ctd-1": {
                "driver": "sbe37",
                "interval_s": 1.0,
                "port": {"serial": str(tmp_path / "port"), "baud": 9600},
            }
        }
    }


async def test_the_command_shows_registers_in_every_order(tmp_path: Path) -> None:
    server = ModbusServer({1: RadarSimulator()}, rtu=False)
    async with hosted(server, tmp_path, modbus_tcp="127.0.0.1:0") as name:
        done = await in_thread(lambda: run(name, "--registers", "2100-2103"))
    assert done.exit_code == 0
    for word in ("int16", "uint16", "float32", "int32", "uint32", "int64", "float64", "ABCD", "CDAB", "BADC", "DCBA"):
        assert word in done.stdout
    assert "* 2102 float32 DCBA" in done.stdout
    assert 'map = "vegapuls-61"' in done.stdout


async def test_what_the_running_gateway_has_is_named_and_refused(tmp_path: Path) -> None:
    config = written(tmp_path, CTD)
    async with simulated(tmp_path, "ctd"), station(config) as gateway:
        await until(lambda: gateway.instruments["ctd"].health.samples)
        device = Path(os.readlink(tmp_path / "ports" / "ctd"))
        for name in (tmp_path / "ports" / "ctd", device):
            done = await in_thread(partial(run, str(name), "--config", str(config)))
            assert done.exit_code == 1
            assert "is ctd (sbe37) of the running gateway" in done.stderr
        theirs, _ = await survey.running_gateway(config)
        assert theirs.at(device) == "ctd (sbe37)"
        # Without the gateway's file it is still nobody's to take.
        done = await in_thread(lambda: run(str(device), "--config", str(tmp_path / "nix.toml")))
        assert done.exit_code == 1
        assert "in use by another program" in done.stderr


def test_ports_are_listed_with_their_state(capsys: pytest.CaptureFixture[str]) -> None:
    ports = [
        Serial(Path("/dev/serial/by-id/usb-A"), Path("/dev/ttyUSB0"), "FT232R USB UART", "", True),
        Serial(Path("/dev/ttyUSB1"), Path("/dev/ttyUSB1"), "", "minicom (process 812)", True),
        Serial(Path("/dev/full"), Path("/dev/full"), "", "", False),
    ]
    assert survey.list_ports(ports, survey.Gateway())
    told = capsys.readouterr().out
    assert "/dev/serial/by-id/usb-A\n    /dev/ttyUSB0, FT232R USB UART: free\n" in told
    assert "in use by minicom (process 812)" in told
    assert "no permission" in told
    assert "tidegate gateway probe /dev/serial/by-id/usb-A" in told
    assert not survey.list_ports([], survey.Gateway())
    told = capsys.readouterr().out
    assert all(word in told for word in ("no serial port", "lsusb", "dmesg", "container"))


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("nix",), 2, ["neither a device", "host:port", "udp:PORT"]),
        (("/dev/ttyNIX",), 1, ["is not there"]),
        (("/dev/null",), 1, ["not a serial device"]),
        (("/etc/passwd",), 2, ["ordinary file"]),
        (("127.0.0.1:502", "--registers", "31-0"), 2, ["0-31"]),
        (("udp:99999",), 2, ["65535"]),
    ],
)
def test_mistakes_name_the_remedy(arguments: tuple[str, ...], code: int, words: list[str]) -> None:
    done = run(*arguments)
    assert done.exit_code == code
    assert all(word in done.stderr for word in words), done.stderr
