"""Starts the demo's processes, watches them, and stops them in the order of the data.

Every part is the product's own command in a process of its own, in a session of its own too, so that Ctrl-C reaches
only the demo, which then winds down: the instruments fall silent, the gateways finish what is on the line and drain,
the hub stores the rest; then the simulators' ledgers are compared with the database.
"""

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from demo import archive, influx, journal
from demo.ledger import Comparison, Stored, compare, read_ledger

_HERE = Path(__file__).parent
_START_S = 30.0
_QUIET_S = 3.0


@dataclass(frozen=True, slots=True)
class Simulated:
    """One simulated instrument: whose it is, its kind, and the options of `tidegate gateway simulate`."""

    platform: str
    instrument: str
    kind: str
    options: tuple[str, ...]


def _mischief(**faults: Any) -> str:
    return f"mischief={json.dumps(faults)}"


def instruments(run: Path, radar_port: int) -> list[Simulated]:
    """The demo's instruments, a few of them up to mischief: spikes, a stuck sensor, a value out of range."""
    ports = run / "ports"
    gauge = _mischief(period=60, spikes=[7, 33], spike_by=0.9, stuck=[12, 19], wild=[27], wild_value=99.0)
    spiky = _mischief(period=60, spikes=[5, 41], spike_by=4.0)
    return [
        Simulated("strait-station", "ctd", "sbe37", ("--serial", f"{ports}/ctd", "--interval", "1", "--set", spiky)),
        Simulated("strait-station", "adcp", "workhorse", ("--serial", f"{ports}/adcp", "--interval", "2")),
        Simulated("strait-station", "radar", "radar", ("--modbus-tcp", f"127.0.0.1:{radar_port}", "--set", gauge)),
        Simulated("strait-station", "radar-rtu", "radar", ("--modbus-rtu", f"{ports}/radar-rtu", "--set", "seed=2")),
        Simulated("strait-station", "pressure", "sbe26plus", ("--serial", f"{ports}/pressure", "--interval", "2")),
        Simulated("survey-ship", "nav", "ship", ("--serial", f"{ports}/nav", "--interval", "1")),
        Simulated("survey-ship", "ctd", "sbe37", ("--serial", f"{ports}/ship-ctd", "--set", "seed=3")),
    ]


class DemoFailed(RuntimeError):
    """A part of the demo did not do its work; the message says which, and where its log is."""


class Demo:
    """The running demo. Use as a context manager: whatever happens, no process is left behind."""

    def __init__(
        self, run: Path, http_port: int, influxdb: Mapping[str, str] | None = None, *, embedded_broker: bool = False
    ) -> None:
        self.run = run
        self.http_port = http_port
        self.broker_port = free_port()
        self.radar_port = free_port()
        self.influxdb = influxdb
        self._embedded = ("--embedded",) if embedded_broker else ()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.instruments = instruments(run, self.radar_port)
        for folder in ("ports", "ledgers", "logs"):
            (run / folder).mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        """Where the hub's page is."""
        return f"http://127.0.0.1:{self.http_port}"

    def __enter__(self) -> "Demo":
        return self

    def __exit__(self, *exc: object) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.terminate()
        deadline_s = time.monotonic() + 5.0
        for process in self.processes.values():
            try:
                process.wait(max(deadline_s - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start(self) -> None:
        """Starts all parts and returns when the hub answers and every instrument has been heard of."""
        for name in ("hub", "station", "ship"):
            (self.run / f"{name}.toml").write_text(self._configuration(name))
        self._spawn("broker", "-m", "demo.broker", str(self.broker_port), str(self.run / "broker"), *self._embedded)
        for one in self.instruments:
            name = f"{one.platform}.{one.instrument}"
            ledger = ("--ledger", str(self.run / "ledgers" / f"{name}.jsonl"), "--instrument", one.instrument)
            self._tidegate(name, "gateway", "simulate", one.kind, *ledger, *one.options)
        self._wait_for_port(self.broker_port, "broker")
        self._tidegate("hub", "hub", "run", str(self.run / "hub.toml"))
        self._wait_for_port(self.http_port, "hub")
        self._tidegate("station", "gateway", "run", str(self.run / "station.toml"))
        self._tidegate("ship", "gateway", "run", str(self.run / "ship.toml"))
        deadline_s = time.monotonic() + _START_S
        while not self._all_heard():
            self.check()
            if time.monotonic() > deadline_s:
                raise DemoFailed(f"not every instrument was heard within {_START_S:g} s; see {self.run / 'logs'}")
            time.sleep(0.2)

    def _all_heard(self) -> bool:
        overview = self.get("/platforms")
        samples = {
            (platform["name"], instrument["name"]): instrument["samples"]
            for platform in (overview or {"platforms": []})["platforms"]
            for instrument in platform["instruments"]
        }
        return all(samples.get((one.platform, one.instrument)) for one in self.instruments)

    def get(self, path: str) -> Any:
        """A JSON answer of the hub; None while it does not answer."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return json.load(answer)
        except (urllib.error.URLError, OSError, ValueError):
            return None

    def check(self) -> None:
        """Raises `DemoFailed` where a part has ended."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                log = self.run / "logs" / f"{name}.log"
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
                raise DemoFailed(f"{name} ended with {process.returncode}; {log} ends with:\n{tail}")

    def stop(self) -> float:
        """Winds down in the order of the data; nothing that was said is left behind on the way.

        Returns what 99 of 100 samples needed from their arrival at the gateway to the database, in milliseconds.
        """
        simulators = [self.processes[f"{one.platform}.{one.instrument}"] for one in self.instruments]
        for process in simulators:
            process.send_signal(signal.SIGUSR1)
        self._wait_until_quiet()
        self._end("station", "ship")
        for process in simulators:
            process.terminate()
        overview = self._when_stored()
        self._end("hub")
        self._end("broker", *(f"{one.platform}.{one.instrument}" for one in self.instruments))
        store = "influxdb" if self.influxdb else "archive"
        delays = {f["name"]: f["delay_p99_s"] for f in overview["hub"]["followers"]}
        return round(1000 * (delays.get(store) or float("nan")), 1)

    def _wait_until_quiet(self) -> None:
        """Until every simulator has noted in its ledger that nothing unasked comes any more."""
        ledgers = [self.run / "ledgers" / f"{one.platform}.{one.instrument}.jsonl" for one in self.instruments]
        deadline_s = time.monotonic() + _QUIET_S
        while time.monotonic() < deadline_s and not all('"quiet"' in ledger.read_text()[-4000:] for ledger in ledgers):
            time.sleep(0.05)

    def _when_stored(self) -> dict[str, Any]:
        """The hub's overview as soon as its stores have all that it has."""
        deadline_s = time.monotonic() + 10.0
        while time.monotonic() < deadline_s:
            overview: dict[str, Any] | None = self.get("/platforms")
            if overview and not overview["hub"]["unjudged"] and not any(f["lag"] for f in overview["hub"]["followers"]):
                return overview
            time.sleep(0.1)
        raise DemoFailed(f"the hub did not store everything within 10 s; see {self.run / 'logs'}/hub.log")

    def journaled(self) -> int:
        """Samples in the hub's journal, counted from the journal itself; after `stop`."""
        return journal.samples(self.run / "hub" / "journal")

    def _end(self, *names: str) -> None:
        for name in names:
            self.processes[name].terminate()
        for name in names:
            try:
                self.processes[name].wait(8)
            except subprocess.TimeoutExpired:
                raise DemoFailed(f"{name} did not stop within 8 s; see {self.run / 'logs' / name}.log") from None

    def compare(self) -> Comparison:
        """The ledgers of all simulators against the database; after `stop`."""
        total = Comparison()
        stored = self._stored()
        for one in self.instruments:
            name = f"{one.platform}.{one.instrument}"
            said = read_ledger(self.run / "ledgers" / f"{name}.jsonl")
            total += compare(name, said, stored.get((one.platform, one.instrument), []))
        return total

    def _stored(self) -> dict[tuple[str, str], list[Stored]]:
        if self.influxdb:
            return influx.stored(self.influxdb)
        return archive.stored(self.run / "hub" / "archive.duckdb")

    def _configuration(self, name: str) -> str:
        values = {
            "RUN": str(self.run),
            "BROKER": str(self.broker_port),
            "HTTP": str(self.http_port),
            "RADAR_TCP": str(self.radar_port),
        }
        text = Template((_HERE / f"{name}.toml").read_text()).safe_substitute(values)
        if name == "hub" and self.influxdb:
            settings = "\n".join(f"{k} = {v if v.isdigit() else json.dumps(v)}" for k, v in self.influxdb.items())
            text += f"\n[influxdb]\n{settings}\n"
        return text

    def _tidegate(self, name: str, *arguments: str) -> None:
        self._spawn(name, "-m", "tidegate", *arguments)

    def _spawn(self, name: str, *arguments: str) -> None:
        with (self.run / "logs" / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent,
                env=os.environ | {"PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"},
            )

    def _wait_for_port(self, port: int, name: str) -> None:
        deadline_s = time.monotonic() + _START_S
        while time.monotonic() < deadline_s:
            self.check()
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        raise DemoFailed(f"{name} does not listen on port {port}; see {self.run / 'logs' / name}.log")


def free_port() -> int:
    """A TCP port of the loopback that nobody has at this moment."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


def port_is_free(port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) != 0


_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    """Should the demo be killed, the kernel ends its parts too."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def remove(run: Path) -> None:
    """Deletes a demo's folder."""
    shutil.rmtree(run, ignore_errors=True)
