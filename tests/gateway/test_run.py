"""The gateway as a process, between real simulated instruments, a real broker and a real hub, with all of them killed:
what was heard is in the database, once."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from demo import archive
from demo.ledger import Comparison, Said, compare, read_ledger
from drivers.driver import Driver
from drivers.modbus_map import ModbusMap
from drivers.nmea.nmea0183 import Nmea0183
from drivers.register_map import Settings
from drivers.seabird.sbe37 import Sbe37
from drivers.trdi.pd0 import Pd0
from gateway.config import load
from gateway.decode import decoded, recorded
from gateway.run import Gateway
from tests.gateway.counting import Pty, sentence
from tests.servers import Mosquitto, free_port, mosquitto
from tidegate.clock import NAT
from tidegate.envelope import decode_envelope
from tidegate.frame import Frame

STATION = """
[platform]
name = "jetty"
latitude = 1.2
longitude = 103.8
[broker]
host = "127.0.0.1"
port = {broker}
[storage]
directory = "station"
raw_log = "50 MB"
spool = "50 MB"
[instruments.ctd]
driver = "sbe37"
interval_s = 1.0
port = {{ serial = "ports/ctd", baud = 9600 }}
[instruments.adcp]
driver = "trdi_pd0"
interval_s = 1.0
port = {{ serial = "ports/adcp", baud = 38400 }}
[instruments.nav]
driver = "nmea0183"
interval_s = 1.0
port = {{ serial = "ports/nav", baud = 4800 }}
[instruments.radar]
driver = "modbus"
interval_s = 0.1
port = {{ modbus_tcp = "127.0.0.1:{radar}", timeout_s = 0.5 }}
settings = {{ map = "vegapuls-61", device = 1 }}
"""

HUB = """
[hub]
name = "centre"
directory = "hub"
[broker]
host = "127.0.0.1"
port = {broker}
[http]
host = "127.0.0.1"
port = {http}
"""

DRIVERS: dict[str, Callable[[], Driver]] = {
    "ctd": lambda: Sbe37("ctd"),
    "adcp": lambda: Pd0("adcp"),
    "nav": lambda: Nmea0183("nav"),
    "radar": lambda: ModbusMap("radar", Settings.model_validate({"map": "vegapuls-61", "device": 1})),
}


class Rig:
    """The processes of a test, in one folder."""

    def __init__(self, folder: Path, broker: Mosquitto) -> None:
        self.folder, self.broker = folder, broker
        self.http, self.radar = free_port(), free_port()
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        for name, text in (("station", STATION), ("hub", HUB)):
            config = text.format(broker=broker.port, http=self.http, radar=self.radar)
            (folder / f"{name}.toml").write_text(config)

    def start(self, name: str, *arguments: object) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tidegate", *map(str, arguments)]
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.running[name] = process
        return process

    def gateway(self) -> subprocess.Popen[bytes]:
        return self.start("gateway", "gateway", "run", "station.toml")

    def hub(self) -> None:
        self.start("hub", "hub", "run", "hub.toml")

    def simulators(self) -> None:
        for name, kind, *where in (
            ("ctd", "sbe37", "--serial", "ports/ctd", "--interval", 1),
            ("adcp", "workhorse", "--serial", "ports/adcp", "--interval", 1),
            ("nav", "ship", "--serial", "ports/nav", "--interval", 1),
            ("radar", "radar", "--modbus-tcp", f"127.0.0.1:{self.radar}"),
        ):
            self.start(name, "gateway", "simulate", kind, "--ledger", f"{name}.ledger", "--instrument", name, *where)

    def kill(self, name: str) -> None:
        self.running[name].kill()
        self.running.pop(name).wait()

    def end(self, name: str, number: int = signal.SIGTERM, within_s: float = 5.0) -> float:
        process = self.running.pop(name)
        start_s = time.monotonic()
        process.send_signal(number)
        try:
            assert process.wait(within_s) == 0, self.log(name)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        return time.monotonic() - start_s

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def overview(self) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/platforms", timeout=5) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except (urllib.error.URLError, OSError):
            return {"platforms": [], "hub": {}}

    def samples(self) -> dict[str, int]:
        return {i["name"]: i["samples"] for p in self.overview()["platforms"] for i in p["instruments"]}

    def until(self, condition: Callable[[], bool], within_s: float = 20.0) -> None:
        end_s = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < end_s, f"not within {within_s} s; {self.log('gateway')[-2000:]}"
            time.sleep(0.05)

    def wind_down(self) -> None:
        """The instruments fall silent, the gateway ends, the hub stores all it has, and everything ends."""
        for name in DRIVERS:
            self.running[name].send_signal(signal.SIGUSR1)
        time.sleep(0.5)
        self.end("gateway")
        for name in DRIVERS:
            self.end(name)

        self.until(self.stored)
        self.end("hub", within_s=10.0)

    def stored(self) -> bool:
        hub = self.overview()["hub"]
        return bool(hub) and not hub["unjudged"] and not any(f["lag"] for f in hub["followers"])

    def compare(self, ledgered: bool) -> dict[str, Comparison]:
        """What the database holds, by instrument, against what the raw log says, or against the ledgers."""
        stored = archive.stored(self.folder / "hub/archive.duckdb")
        return {
            name: compare(
                name,
                read_ledger(self.folder / f"{name}.ledger") if ledgered else heard(self.folder / "station/raw", name),
                stored.get(("jetty", name), []),
            )
            for name in DRIVERS
        }


def heard(raw: Path, name: str) -> list[Said]:
    """The samples of an instrument in the raw log."""
    return heard_in(raw, DRIVERS[name](), name)


def heard_in(recording: Path, driver: Driver, name: str | None = None) -> list[Said]:
    """The samples in a recording, as `tidegate decode` finds them; those without any time are left out."""
    said = []
    for frame in decoded(driver, recorded(recording, None, name)):
        if not isinstance(frame, Frame):
            continue
        for i, time_ns in enumerate(frame.time.tolist()):
            if time_ns == NAT:
                continue
            values: dict[str, Any] = {}
            for f in frame.schema.fields:
                absent, value = frame.missing(f.name)[i] != 0, frame.columns[f.name][i]
                if f.profile:
                    values[f.name] = [None if a else float(v) for a, v in zip(absent, value, strict=True)]
                else:
                    values[f.name] = None if absent else float(value)
            said.append(Said(driver.instrument, time_ns, time_ns, values))
    return said


@contextmanager
def rigged(folder: Path) -> Iterator[Rig]:
    with mosquitto() as broker:
        rig = Rig(folder, broker)
        try:
            yield rig
        finally:
            for process in rig.running.values():
                process.kill()
                process.wait()


def test_gateway_hub_and_broker_are_killed_again_and_again_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    chance = random.Random(1)
    with rigged(tmp_path) as rig:
        rig.simulators()
        rig.until(lambda: all((tmp_path / "ports" / name).is_symlink() for name in ("ctd", "adcp", "nav")))
        rig.gateway()  # the hub is not there yet
        time.sleep(2.5)
        rig.hub()
        rig.until(lambda: all(rig.samples().get(name, 0) > 2 for name in DRIVERS))
        kills = 0
        for what in ("gateway", "gateway", "hub", "gateway", "broker", "gateway", "gateway"):
            if what == "gateway":
                rig.kill("gateway")
                kills += 1
                rig.gateway()
            elif what == "hub":
                rig.kill("hub")
                time.sleep(1.0)
                rig.hub()
            else:
                rig.broker.kill()
                time.sleep(0.5)
                rig.broker.start()
            time.sleep(chance.uniform(1.0, 2.2))
        before = rig.samples()
        rig.until(lambda: all(rig.samples().get(name, 0) > before.get(name, 0) for name in DRIVERS))
        rig.wind_down()
        for name, result in rig.compare(ledgered=False).items():
            assert (result.lost, result.duplicated) == (0, 0), result.remarks
            assert result.acquired > 10, name
        for result in rig.compare(ledgered=True).values():
            # What the kernel had handed over, and the raw log not yet taken, dies with the process.
            assert result.duplicated == 0, result.remarks
            assert result.lost <= kills, result.remarks
        assert "Traceback" not in rig.log("gateway")
        assert "have been taken up" in rig.log("gateway")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_and_what_the_hub_has_not_waits_in_the_spool(tmp_path: Path, number: int) -> None:
    with rigged(tmp_path) as rig:
        if number == signal.SIGINT:
            rig.broker.stop()  # nobody to send it to
        rig.simulators()
        rig.gateway()
        raw = tmp_path / "station/raw"
        rig.until(lambda: raw.is_dir() and all(_spoken(raw, name) for name in DRIVERS))
        time.sleep(0.5)
        rig.end("gateway", number)
        assert "stay in the spool until the next start" in rig.log("gateway")
        if number == signal.SIGINT:
            rig.broker.start()
        rig.hub()
        rig.gateway()
        rig.until(lambda: all(rig.samples().get(name, 0) > 1 for name in DRIVERS))
        rig.wind_down()
        for result in rig.compare(ledgered=True).values():
            assert (result.lost, result.duplicated) == (0, 0), result.remarks
        assert "Traceback" not in rig.log("gateway")


def _spoken(raw: Path, name: str) -> bool:
    try:
        return len(heard(raw, name)) >= 2
    except (OSError, ValueError):
        return False


async def test_a_schema_that_appears_later_is_in_the_birth_before_its_data(tmp_path: Path) -> None:
    pty = Pty(tmp_path / "nav")
    with mosquitto() as broker:
        (tmp_path / "station.toml").write_text(
            f"""
            [platform]
            name = "ship"
            moving = true
            [broker]
            host = "127.0.0.1"
            port = {broker.port}
            [storage]
            directory = "station"
            [instruments.nav]
            driver = "nmea0183"
            interval_s = 1.0
            port = {{ serial = "nav" }}
            """
        )
        stop = asyncio.Event()
        told: list[tuple[str, bytes]] = []
        async with aiomqtt.Client(broker.host, broker.port, protocol=aiomqtt.ProtocolVersion.V5) as client:
            await client.subscribe("tidegate/1/ship/+", qos=1)
            running = asyncio.create_task(Gateway(load(tmp_path / "station.toml")).run(stop))
            async with asyncio.timeout(15):
                async for message in client.messages:
                    assert isinstance(message.payload, bytes)
                    told.append((str(message.topic).rsplit("/", 1)[1], message.payload))
                    lives = sum(what in ("live", "backfill") for what, _ in told)
                    if len(told) == 1:
                        pty.say(sentence(b"HEHDT,251.5,T"))
                    elif told[-1][0] == "live" and lives == 1:
                        pty.say(sentence(b"IIMTW,19.5,C"))
                    elif lives == 2:
                        break
            stop.set()
            await asyncio.wait_for(running, 5)
    schemas: dict[bytes, str] = {}
    kinds = []
    for what, payload in told:
        if what == "birth":
            from tidegate.messages import Birth

            nav = Birth.model_validate_json(payload).instruments["nav"].by_id()
            schemas |= {key: schema.kind for key, schema in nav.items()}
        elif what in ("live", "backfill"):
            frames, undecoded = decode_envelope(payload, "ship").decode({"nav": nav})
            assert not undecoded
            kinds += [frame.schema.kind for frame in frames]
    assert kinds == ["heading", "water_temperature"]
    assert [what for what, _ in told].count("birth") == 3 if len(schemas) == 2 else len(schemas) > 2


def test_a_second_gateway_on_the_same_folder_is_refused_in_words(tmp_path: Path) -> None:
    with rigged(tmp_path) as rig:
        rig.gateway()
        rig.until(lambda: (tmp_path / "station/spool/epoch").exists())
        second = subprocess.run(
            [sys.executable, "-m", "tidegate", "gateway", "run", "station.toml"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        assert second.returncode == 1
        assert f"a gateway is already running on {tmp_path}/station: end that one first" in second.stderr
        assert "Traceback" not in second.stderr
        rig.end("gateway")
