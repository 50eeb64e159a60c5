"""The whole hub as its own process, killed and stopped while platforms publish."""

import asyncio
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from central.changes import ChangeLog, Op
from central.store.duckdb import DuckDBStore
from tests.central.station import CTD, birth, ctd, envelope
from tests.central.test_ingest import Station, until
from tests.servers import Mosquitto, free_port, mosquitto
from tidegate.ranges import RangeSet

ROOT = Path(__file__).parents[2]


class Process:
    """`tidegate hub run` as a child process."""

    def __init__(self, folder: Path, broker: Mosquitto) -> None:
        self.folder, self.port = folder, free_port()
        self.config = folder / "hub.toml"
        self.config.write_text(
            f'[hub]\nname = "centre"\ndirectory = "data"\n[broker]\nhost = "{broker.host}"\nport = {broker.port}\n'
            f"[http]\nport = {self.port}\n"
        )
        self.child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "hub.log").open("ab") as log:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "tidegate", "hub", "run", str(self.config)], cwd=ROOT, stdout=log, stderr=log
            )

    def end(self, how: signal.Signals) -> int:
        assert self.child is not None
        self.child.send_signal(how)
        code = self.child.wait(10)
        self.child = None
        return code

    @property
    def log(self) -> str:
        return (self.folder / "hub.log").read_text()


@pytest.fixture
def broker() -> Iterator[Mosquitto]:
    with mosquitto() as server:
        yield server


@pytest.fixture
def process(tmp_path: Path, broker: Mosquitto) -> Iterator[Process]:
    hub = Process(tmp_path, broker)
    yield hub
    if hub.child is not None:
        hub.end(signal.SIGKILL)


def stored(folder: Path) -> Counter[tuple[int, int]]:
    """(seq, time) of every sample in the change log, and how often it was inserted."""
    with ChangeLog(folder / "data" / "changes") as log:
        return Counter((c.seq, t) for _, c in log.read() if c.op is Op.INSERT for t in c.frame.time.tolist())


class Gateway:
    """Sends Envelopes 1 to `last`, those without an ack again, until all have one."""

    def __init__(self, station: Station, last: int) -> None:
        self.station, self.last = station, last
        self.acked = RangeSet()

    async def run(self) -> None:
        sent_s: dict[int, float] = {}
        while self.acked.through(1) < self.last:
            for ack in self.station.acks:
                for first, last in [(1, ack.through), *ack.ranges]:
                    if last:
                        self.acked.add(first, last)
            self.station.acks.clear()
            now_s = time.monotonic()
            missing = (seq for a, b in self.acked.missing(1, self.last) for seq in range(a, b + 1))
            window = [seq for seq, _ in zip(missing, range(64), strict=False)]
            due = [seq for seq in window if now_s - sent_s.get(seq, 0.0) > 1.0]
            sent_s.update(dict.fromkeys(due, now_s))
            place = f"tidegate/1/{self.station.platform}/backfill"
            await asyncio.gather(*(self.station.client.publish(place, envelope(seq), qos=1) for seq in due))
            await asyncio.sleep(0.005)


async def test_killed_again_and_again_it_loses_nothing_and_doubles_nothing(process: Process, broker: Mosquitto) -> None:
    last = 1200
    async with Station.at(broker) as station:
        station.client.pending_calls_threshold = 100
        await station.send(birth(CTD, next_seq=1))
        process.start()
        gateway = Gateway(station, last)
        sending = asyncio.create_task(gateway.run())
        for part in (1, 2):
            await until(lambda part=part: gateway.acked.through(1) > last * part // 3, 20)  # type: ignore[misc]
            assert process.end(signal.SIGKILL) == -signal.SIGKILL
            process.start()
        await asyncio.wait_for(sending, 30)
    started_s = time.monotonic()
    assert process.end(signal.SIGTERM) == 0
    assert time.monotonic() - started_s < 5
    expected = Counter({(seq, t): 1 for seq in range(1, last + 1) for t in ctd(seq).time.tolist()})
    assert stored(process.folder) == expected
    archive = DuckDBStore(process.folder / "data" / "archive.duckdb")
    assert archive.count() == 5 * last * 2
    archive.close()
    assert "Traceback" not in process.log


async def test_it_stops_within_seconds_and_says_where_it_serves(process: Process, broker: Mosquitto) -> None:
    process.start()
    address = f"http://127.0.0.1:{process.port}"
    await until(lambda: address in process.log, 20)
    with await asyncio.to_thread(urllib.request.urlopen, f"{address}/health", timeout=20) as answer:
        assert answer.status == 200
    async with Station.at(broker) as station:
        await station.send(birth(CTD), *(envelope(seq) for seq in range(1, 200)))
        await until(lambda: bool(station.acks))
        for _ in range(10):  # what the view shows may be a second old
            status = await asyncio.to_thread(
                subprocess.run,
                [sys.executable, "-m", "tidegate", "hub", "status", "--url", address],
                cwd=ROOT, capture_output=True, text=True, timeout=20,
            )  # fmt: skip
            assert status.returncode == 0, status.stderr
            if "quay-3" in status.stdout:
                break
        assert "quay-3" in status.stdout
        started_s = time.monotonic()
        assert await asyncio.to_thread(process.end, signal.SIGINT) == 0
        assert time.monotonic() - started_s < 5
        through = max((ack.through for ack in station.acks), default=0)
    assert {seq for seq, _ in stored(process.folder)} >= set(range(1, through + 1))
    assert "Traceback" not in process.log


async def test_a_second_hub_on_the_same_folder_is_refused_with_the_reason(process: Process, tmp_path: Path) -> None:
    process.start()
    await until(lambda: "http://" in process.log, 20)
    text = process.config.read_text().replace(f"port = {process.port}", "port = 0")
    (tmp_path / "second.toml").write_text(text)
    second = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "tidegate", "hub", "run", str(tmp_path / "second.toml")],
        cwd=ROOT, capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    assert second.returncode == 1
    assert "open for writing elsewhere" in second.stderr
    third = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "tidegate", "hub", "run", str(process.config)],
        cwd=ROOT, capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    assert third.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {process.port} (Address already in use)" in third.stderr
