"""What the scenarios share: a hub with its broker, stations whose gateway is a child process, and the comparison.

Everything listens on the loopback (or in network namespaces of the rig's own), lives in a folder of its own, waits
with a bound, and is ended by the process that was started.
"""

import ctypes
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from benchmarks.rig import hub, mosquitto
from drivers import driver as drivers
from gateway.config import load
from gateway.decode import decoded, recorded
from tests.faults.clocked import COUNTS
from tests.faults.compare import Row, Tally, tally
from tests.faults.controlled_clock import Clock
from tests.faults.instruments import Quay, Sample
from tests.servers import Mosquitto
from tidegate.clock import NAT
from tidegate.frame import Frame

PATIENCE_S = 30.0


class Skipped(Exception):
    """This machine cannot run the scenario; the message says why."""


class TooSlow(RuntimeError):
    """Something did not happen in time; the message says what."""


@dataclass
class Outcome:
    """What a scenario gives: one line of JSON."""

    name: str
    rounds: int
    seed: int
    acquired: int = 0
    stored: int = 0
    lost: int = 0
    duplicated: int = 0
    passed: bool = False
    figures: dict[str, Any] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    """For people: the first few samples that are wrong, and each expectation that was not met."""

    def count(self, result: Tally) -> None:
        """Takes over the counts of a comparison with the ledger."""
        self.acquired, self.stored = result.acquired, result.stored
        self.lost, self.duplicated = result.lost, result.duplicated
        self.figures |= {"altered": result.altered, "mistimed": result.mistimed}
        self.remarks += result.remarks

    def judge(self, expectations: Mapping[str, bool]) -> "Outcome":
        """Passed where every expectation holds; the others are named."""
        self.passed = all(expectations.values())
        self.remarks += [f"not so: {what}" for what, holds in expectations.items() if not holds]
        return self

    def line(self) -> str:
        """One line of JSON."""
        told = {k: v for k, v in asdict(self).items() if k not in ("figures", "remarks")}
        rounded = {k: round(v, 3) if isinstance(v, float) else v for k, v in self.figures.items()}
        return json.dumps(told | rounded)


def until(condition: Callable[[], object], what: str, within_s: float = PATIENCE_S, every_s: float = 0.05) -> float:
    """Waits for the condition and returns how long that took. Raises TooSlow."""
    begin_s = time.monotonic()
    while not condition():
        if time.monotonic() - begin_s > within_s:
            raise TooSlow(f"not within {within_s:g} s: {what}")
        time.sleep(every_s)
    return time.monotonic() - begin_s


# ---- the centre ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Centre:
    """A broker, and a hub that listens to it."""

    broker: Mosquitto
    url: str

    def get(self, path: str) -> Any:
        """A JSON answer of the hub."""
        with urllib.request.urlopen(self.url + path, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    def platform(self, name: str) -> dict[str, Any]:
        """How the hub sees a platform; empty where it has never heard of it."""
        found: dict[str, Any] = next((p for p in self.get("/platforms")["platforms"] if p["name"] == name), {})
        return found

    def settle(self) -> None:
        """Returns when the hub has judged and passed on all that it has."""

        def settled() -> bool:
            told = self.get("/platforms")["hub"]
            return not told["unjudged"] and not any(follower["lag"] for follower in told["followers"])

        until(settled, "the hub has judged everything")

    def changes(self, platform: str, after: int = 0) -> Iterator[tuple[int, pa.Table]]:
        """The pages of the feed of one platform, each with the cursor behind it."""
        while True:
            query = urllib.parse.urlencode(
                {"after": after, "platform": platform, "limit": 10_000, "format": "arrow", "wait": 0}
            )
            with urllib.request.urlopen(f"{self.url}/feed/changes?{query}", timeout=120) as answer:
                page = pa.ipc.open_stream(answer.read()).read_all()
                after, newest = int(answer.headers["Next-Cursor"]), int(answer.headers["Newest-Cursor"])
            yield after, page
            if after >= newest:
                return

    def rows(self, platform: str) -> dict[str, dict[int, Row]]:
        """All that the hub's change log says of a platform, by instrument and time."""
        found: dict[str, dict[int, Row]] = defaultdict(lambda: defaultdict(Row))
        for _, page in self.changes(platform):
            times = page["time"].cast(pa.int64()).to_pylist()
            columns = [page[name].to_pylist() for name in ("op", "instrument", "parameter", "cell", "value")]
            for op, instrument, parameter, cell, value, time_ns in zip(*columns, times, strict=True):
                row = found[instrument][time_ns]
                row.inserts[parameter] += op == "insert" and cell in (None, 1)
                if cell is None:
                    row.values[parameter] = value
                else:
                    cells = row.values.setdefault(parameter, [])
                    cells += [None] * (cell - len(cells))
                    cells[cell - 1] = value
        return found


@contextmanager
def centre() -> Iterator[Centre]:
    """A running broker and hub."""
    with mosquitto() as broker, hub(broker, "") as running:
        yield Centre(broker, running.url)


# ---- a station -------------------------------------------------------------------------------------------------------

_STATION = """
[platform]
name = "{platform}"
latitude = 1.2
longitude = 103.8
[broker]
host = "{host}"
port = {port}
[storage]
directory = "{storage}"
raw_log = "{raw_log}"
spool = "{spool}"
"""
_PR_SET_PDEATHSIG = 1
_STOP_S = 20.0


class Station:
    """A gateway as a child process, with its folder. `port` is where it thinks the broker is."""

    def __init__(
        self,
        folder: Path,
        platform: str,
        instruments: Mapping[str, str],
        port: int,
        *,
        host: str = "127.0.0.1",
        storage: Path | None = None,
        raw_log: str = "500 MB",
        spool: str = "500 MB",
        clock: Clock | None = None,
        within: Sequence[str] = (),
    ) -> None:
        self.folder, self.platform = folder, platform
        self.storage = storage or folder / "station"
        self.config = folder / "station.toml"
        tables = "".join(f"[instruments.{name}]\n{text}\n" for name, text in instruments.items())
        head = _STATION.format(
            platform=platform, host=host, port=port, storage=self.storage, raw_log=raw_log, spool=spool
        )
        self.config.write_text(head + tables)
        self.instruments = list(instruments)
        self.log_file = folder / "gateway.log"
        self.counts_file = folder / "counts"
        self.starts_s: list[float] = []
        self.starts_cpu_s: list[float] = []
        self._drivers = {name: drivers.load(one.driver) for name, one in load(self.config).instruments.items()}
        self.process: subprocess.Popen[bytes] | None = None
        self._clock = clock
        self._within = list(within)

    def start(self, *, wait: bool = True) -> None:
        """Starts the gateway, and returns when it answers at its control socket; `starts_s` notes how long that took,
        `starts_cpu_s` how much processor time."""
        begin_s = time.monotonic()
        module = ["tidegate"]
        if self._clock is not None:
            module = ["tests.faults.clocked", str(self._clock.path), str(self.counts_file)]
        command = [
            *self._within,
            sys.executable,
            "-X",
            "faulthandler",
            "-m",
            *module,
            "gateway",
            "run",
            str(self.config),
        ]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent,
                cwd=Path(__file__).parents[2],
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )
        if wait:
            until(self._answers, f"the gateway of {self.platform} answers; {self.log()[-1500:]}", every_s=0.02)
            self.starts_s.append(time.monotonic() - begin_s)
            ran = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
            self.starts_cpu_s.append((int(ran[11]) + int(ran[12])) / os.sysconf("SC_CLK_TCK"))

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise RuntimeError(f"the gateway has ended with {self.process.returncode}:\n{self.log()[-3000:]}")
        try:
            return bool(self.status()["pid"] == self.process.pid)
        except (OSError, ValueError):
            return False

    def status(self) -> dict[str, Any]:
        """What the gateway says of itself. Raises OSError where none answers."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5.0)
            sock.connect(str(self.storage / "control.sock"))
            sock.sendall(b'{"id": 1, "do": "status"}\n')
            with sock.makefile("rb") as answers:
                answer: dict[str, Any] = json.loads(answers.readline())
        status: dict[str, Any] = answer["ok"]
        return status

    def kill(self) -> None:
        """Ends it as a crash does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(_STOP_S)
            self.process = None

    def stop(self) -> None:
        """Ends it as a service manager does. Raises TooSlow."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # its threads' stacks go to its log
            self.process.wait(_STOP_S)
            self.process = None
            raise TooSlow(f"the gateway did not stop within {_STOP_S:g} s:\n{self.log()[-6000:]}") from None
        self.process = None
        if code:
            raise RuntimeError(f"the gateway has ended with {code}:\n{self.log()[-3000:]}")

    def drain(self, within_s: float = PATIENCE_S) -> float:
        """Waits until the hub has acknowledged everything; how long that took."""
        time.sleep(1.2)  # what was said last goes into an Envelope

        def empty() -> bool:
            link = self.status()["link"]
            return bool(link["connected"]) and not link["live"] + link["backfill"]

        return until(empty, f"{self.platform} has delivered everything", within_s)

    def log(self) -> str:
        """All that the gateway has logged."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def logged_no_fault(self, outcome: Outcome) -> bool:
        """Whether nothing went wrong that the gateway has no words for; the log goes to the remarks otherwise."""
        before, found, told = self.log().partition("Traceback")
        if found:
            outcome.remarks.append(f"{before[-500:]}{found}{told[:3000]}")
        return not found

    def rss_bytes(self) -> int:
        """Memory that the gateway uses."""
        assert self.process is not None
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    def written(self) -> tuple[int, int]:
        """(bytes that it has written to files, syncs), of a gateway that follows a clock."""
        written, synced = COUNTS.unpack(self.counts_file.read_bytes())
        return written, synced

    def accepted(self) -> dict[str, list[Sample]]:
        """The samples in the raw log, by instrument: all that the gateway has ever accepted."""
        config = load(self.config)
        return {name: list(self._accepted(name, config.instruments[name])) for name in self.instruments}

    def _accepted(self, name: str, instrument: Any) -> Iterator[Sample]:
        driver = self._drivers[name](name, instrument.settings)
        try:
            recording = recorded(self.storage / "raw", None, name)
            for frame in decoded(driver, recording):
                if isinstance(frame, Frame):
                    yield from samples_of(frame)
        except ValueError:
            return  # nothing was ever heard of it


def samples_of(frame: Frame) -> Iterator[Sample]:
    """The samples of a Frame that have a time."""
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
        yield Sample(time_ns, time_ns, values)


def _die_with_parent() -> None:
    """Should the rig be killed, the kernel ends its children too."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


# ---- a scenario ------------------------------------------------------------------------------------------------------


@contextmanager
def scene(clocked: bool = False) -> Iterator[tuple[Path, Quay]]:
    """A folder and a quay of a scenario's own. The quay shows the time of a clock in the folder; `clocked`: which the
    scenario will set."""
    with TemporaryDirectory(prefix="faults-") as name:
        folder = Path(name)
        with Quay(Clock(folder / "clock", create=True)) as quay:
            yield folder, quay


def against_ledger(quay: Quay, rows: Mapping[str, Mapping[int, Row]], most_late_s: float | None = 2.0) -> Tally:
    """All instruments' ledgers against the hub."""
    total = Tally()
    for name, one in quay.instruments.items():
        total += tally(name, one.ledger, rows.get(name, {}), most_late_s)
    return total


def against_raw_log(station: Station, rows: Mapping[str, Mapping[int, Row]]) -> Tally:
    """All that the gateway accepted against the hub."""
    total = Tally()
    for name, samples in station.accepted().items():
        total += tally(name, samples, rows.get(name, {}))
    return total


def wind_down(quay: Quay, station: Station, centre: Centre, within_s: float = PATIENCE_S) -> dict[str, dict[int, Row]]:
    """The instruments fall silent, the gateway delivers everything and ends, the hub judges it; then what the hub
    has."""
    quay.fall_silent()
    station.drain(within_s)
    station.stop()
    centre.settle()
    return centre.rows(station.platform)


def kinds(status: Mapping[str, Any], instrument: str) -> Counter[str]:
    """The problems of one instrument, by kind."""
    return Counter({p["kind"]: p["count"] for p in status["instruments"][instrument]["problems"]})
