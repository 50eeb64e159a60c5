"""One instrument on a real port: raw bytes first, polls on time, and nothing that happens to it reaches the others."""

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest

from drivers.driver import Driver
from drivers.sdi12 import Sdi12
from drivers.seabird.sbe37 import Sbe37
from drivers.simulators.sbe37 import Sbe37Simulator
from drivers.simulators.sdi12 import Sdi12Simulator
from gateway.acquire import Acquisition
from gateway.config import Endpoint, Port, SerialPort, TcpPort
from gateway.health import InstrumentHealth
from gateway.rawlog import Direction, Position, RawLog, Utterance
from gateway.simulate import host
from gateway.transports import Heard, Transport, open_transport
from tests.gateway.counting import Counting, Pty, numbers
from tidegate.frame import Frame


@dataclass
class Run:
    """A running acquisition and what it delivered."""

    raw: RawLog
    health: InstrumentHealth
    frames: list[Frame] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    def take(self, frames: list[Frame], position: Position) -> None:
        kept = list(self.raw.read(position.number - 1))
        assert kept[-1][0] == position.number  # the newest record of the raw log, and there before its Frames are
        self.frames += frames

    @property
    def numbers(self) -> list[int]:
        return numbers(self.frames)

    def said(self) -> list[Utterance]:
        return [u for _, u in self.raw.read(0) if u.direction is Direction.SAID]

    async def until(self, condition: Callable[[], bool], within_s: float = 5.0) -> None:
        async with asyncio.timeout(within_s):
            while not condition():  # noqa: ASYNC110 - what is waited for happens on a serial line
                await asyncio.sleep(0.005)


@asynccontextmanager
async def running(
    driver: Driver, port: Port | Transport, raw: RawLog, interval_s: float | None = 1.0
) -> AsyncIterator[Run]:
    run = Run(raw, InstrumentHealth(interval_s))
    transport = port if isinstance(port, Transport) else open_transport(port)
    run.task = asyncio.create_task(Acquisition(driver, transport, raw, run.health, run.take).run(run.stop))
    try:
        yield run
    finally:
        run.stop.set()
        await asyncio.wait_for(run.task, 3)


@pytest.fixture
def raw(tmp_path: Path) -> RawLog:
    return RawLog(tmp_path / "raw", 10_000_000)


@pytest.fixture
def pty(tmp_path: Path) -> Pty:
    return Pty(tmp_path / "tty")


def serial(pty: Pty) -> SerialPort:
    return SerialPort(serial=pty.link)


def polled(**settings: bool) -> Counting:
    return Counting("gauge", Counting.Settings(polled=True, **settings))


async def test_a_simulated_ctd_is_read_as_its_ledger_says(tmp_path: Path, raw: RawLog) -> None:
    stop = asyncio.Event()
    link = tmp_path / "ctd"
    hosting = host(Sbe37Simulator(interval_s=1.0), ledger=tmp_path / "ledger", stop=stop, serial_link=link)
    simulator = asyncio.create_task(hosting)
    async with running(Sbe37("ctd"), SerialPort(serial=link), raw) as run:
        await run.until(lambda: run.health.samples >= 2, 8)
        assert run.health.link == "up"
    stop.set()
    await simulator
    times = [int(t) for frame in run.frames for t in frame.time]
    assert times == sorted(set(times))
    assert run.health.samples == len(times) == (tmp_path / "ledger").read_text().count("sea_water_temperature")


async def test_a_conversation_goes_on_between_the_polls(tmp_path: Path, raw: RawLog) -> None:
    stop = asyncio.Event()
    link = tmp_path / "bus"
    radar = {"address": "0", "sensor": "campbell-cs475", "measurement": "MC"}
    away = {"address": "7", "parameters": ["air_temperature"]}
    simulated = Sdi12Simulator(sensors=[radar], takes_s=1)
    hosting = host(simulated, ledger=tmp_path / "ledger", stop=stop, serial_link=link)
    simulator = asyncio.create_task(hosting)
    settings = Sdi12.Settings.model_validate({"sensors": [radar, away], "timeout_s": 0.4, "retries": 1})
    async with running(Sdi12("bus", settings), SerialPort(serial=link), raw, 3.0) as run:
        await run.until(lambda: run.health.samples >= 2 and "no_answer" in run.health.problems, 15)
        said = [u.data for u in run.said()]
    stop.set()
    await simulator
    asked = [data for data, _ in groupby(said)]  # a busy machine may answer late and be asked again
    assert asked[:5] == [b"0I!", b"7I!", b"0MC!", b"0D0!", b"7M!"]
    assert asked[5:7] == [b"7I!", b"0MC!"]  # the next round
    levels = [frame.columns["distance_from_sensor_to_water_surface"][0] for frame in run.frames]
    assert all(
        f'"distance_from_sensor_to_water_surface": {level}' in (tmp_path / "ledger").read_text() for level in levels
    )


async def test_a_person_at_the_console_is_not_talked_over(tmp_path: Path, raw: RawLog, pty: Pty) -> None:
    settings = Sdi12.Settings.model_validate(
        {"sensors": [{"address": "0", "parameters": ["depth"]}], "timeout_s": 0.05}
    )
    run = Run(raw, InstrumentHealth(0.2))
    acquisition = Acquisition(Sdi12("bus", settings), open_transport(serial(pty)), raw, run.health, run.take)
    run.task = asyncio.create_task(acquisition.run(run.stop))
    await run.until(lambda: len(run.said()) >= 3)
    acquisition.polls_held = True
    await asyncio.sleep(0.1)
    before = len(run.said())
    await asyncio.sleep(0.5)
    assert len(run.said()) == before
    acquisition.polls_held = False
    await run.until(lambda: len(run.said()) > before)
    run.stop.set()
    await asyncio.wait_for(run.task, 3)


async def test_set_up_then_polls_on_the_schedule(pty: Pty, raw: RawLog) -> None:
    async with running(polled(), serial(pty), raw, 0.05) as run:
        await run.until(lambda: len(run.said()) >= 12)
        said = run.said()
    assert [u.data for u in said[:2]] == [b"SETUP 1\r", b"?\r"]
    times = [u.at.monotonic_ns / 1e9 for u in said[1:]]
    assert pty.heard().startswith(b"SETUP 1\r?\r?\r")
    drift = [t - times[0] - 0.05 * k for k, t in enumerate(times)]
    assert max(map(abs, drift)) < 0.04  # on the grid: no delay adds to the next
    assert "poll_skipped" not in run.health.problems


async def test_polls_that_are_late_are_left_out_and_counted_never_made_up_for(pty: Pty, raw: RawLog) -> None:
    async with running(polled(), serial(pty), raw, 0.1) as run:
        await run.until(lambda: len(run.said()) >= 3)
        time.sleep(0.55)  # noqa: ASYNC251 - the whole gateway stands still
        await run.until(lambda: len(run.said()) >= 7)
        said = run.said()
    times = [u.at.monotonic_ns / 1e9 for u in said[1:]]
    gaps = [b - a for a, b in pairwise(times)]
    assert max(gaps) > 0.5
    assert sum(gap < 0.05 for gap in gaps) <= 1  # the one that was due, then the grid again; no burst
    assert 3 <= run.health.problems["poll_skipped"] <= 6
    assert times[-1] - times[0] == pytest.approx(0.1 * (len(times) - 1 + run.health.problems["poll_skipped"]), abs=0.06)


async def test_an_unplugged_instrument_goes_on_when_it_is_back_and_is_set_up_again(pty: Pty, raw: RawLog) -> None:
    async with running(polled(), serial(pty), raw, 0.1) as run:
        await run.until(lambda: b"?" in pty.heard())
        pty.say(b"1\n2\n3")
        await run.until(lambda: run.numbers == [1, 2])
        pty.unplug()
        await run.until(lambda: run.health.link == "down")
        assert "unplugged" in run.health.last_problem or "is not there" in run.health.last_problem
        assert run.health.problems["truncated"] == 1  # the 3 may have been the beginning of a 34
        polls = len(run.said())
        await asyncio.sleep(0.3)
        assert len(run.said()) == polls  # nothing is said into the void, nor noted as said
        pty.plug_in()
        await run.until(lambda: pty.heard().startswith(b"SETUP 1\r"))
        pty.say(b"4\n")
        await run.until(lambda: run.numbers == [1, 2, 4])
        assert run.health.link == "up"
        assert "poll_skipped" not in run.health.problems
    directions = [u.direction for _, u in raw.read(0) if u.direction is not Direction.SAID]
    heard, ended = Direction.HEARD, Direction.ENDED
    assert [d for d, after in pairwise([*directions, None]) if d is not after] == [heard, ended, heard, ended]


async def test_a_silent_port_becomes_stale_after_three_intervals_and_says_what_to_check(pty: Pty, raw: RawLog) -> None:
    async with running(Counting("gauge"), serial(pty), raw, 0.1) as run:
        await run.until(lambda: run.health.link == "starting")
        pty.say(b"1\n")
        await run.until(lambda: run.health.link == "up")
        quiet_s = time.monotonic()
        await run.until(lambda: run.health.link == "stale")
        assert 0.28 < time.monotonic() - quiet_s < 1.2
        assert "silent for more than 0.3 s: check power, wiring and baud rate" in run.health.last_problem
        pty.say(b"2\n")
        await run.until(lambda: run.health.link == "up")
        assert run.health.problems["silent"] == 1


async def test_one_that_is_dead_mute_or_does_not_read_never_delays_another(
    tmp_path: Path, pty: Pty, raw: RawLog
) -> None:
    (tmp_path / "file").touch()
    deaf = socket.create_server(("127.0.0.1", 0), backlog=1)  # takes connections and reads nothing

    class Flooding(Counting):
        def poll(self) -> bytes:
            return bytes(1 << 20)

    others: list[tuple[Driver, Port]] = [
        (polled(), SerialPort(serial=tmp_path / "nothing")),
        (polled(), SerialPort(serial=Path("/dev/null"))),
        (Flooding("deaf"), TcpPort(tcp=Endpoint("127.0.0.1", deaf.getsockname()[1]))),
        (polled(), TcpPort(tcp=Endpoint("192.0.2.1", 4001))),  # TEST-NET: nobody answers
    ]
    stop = asyncio.Event()
    scrap = RawLog(tmp_path / "scrap", 100_000_000)
    dead = [Acquisition(d, open_transport(p), scrap, InstrumentHealth(0.05), lambda *_: None) for d, p in others]
    tasks = [asyncio.create_task(acquisition.run(stop)) for acquisition in dead]
    async with running(polled(), serial(pty), raw, 0.05) as run:
        await run.until(lambda: len(run.said()) >= 25)
        times = [u.at.monotonic_ns / 1e9 for u in run.said()[1:]]
        assert max(b - a for a, b in pairwise(times)) < 0.15
        stop.set()
        start_s = time.monotonic()
        await asyncio.gather(*tasks)
        assert time.monotonic() - start_s < 1.6
    deaf.close()


async def test_stopping_waits_for_the_record_in_flight(pty: Pty, raw: RawLog) -> None:
    async with running(Counting("gauge"), serial(pty), raw) as run:
        pty.say(b"1\n23")
        await run.until(lambda: run.numbers == [1])
        run.stop.set()
        await asyncio.sleep(0.15)
        pty.say(b"4\n")
        start_s = time.monotonic()
        assert run.task is not None
        await run.task
        assert time.monotonic() - start_s < 0.8
    assert run.numbers == [1, 234]
    assert not run.health.problems


async def test_stopping_does_not_wait_for_one_that_never_ends(pty: Pty, raw: RawLog) -> None:
    async def babble() -> None:
        while True:
            pty.say(b"7")
            await asyncio.sleep(0.02)

    async with running(Counting("gauge"), serial(pty), raw) as run:
        pty.say(b"1\n")
        await run.until(lambda: run.numbers == [1])
        babbling = asyncio.create_task(babble())
        await asyncio.sleep(0.1)
        run.stop.set()
        start_s = time.monotonic()
        assert run.task is not None
        await run.task
        assert time.monotonic() - start_s < 1.5
        babbling.cancel()
    assert run.health.problems == {"truncated": 1}


async def test_a_driver_that_fails_costs_what_it_failed_on_and_says_so(
    pty: Pty, raw: RawLog, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(Counting("gauge"), serial(pty), raw) as run:
        await run.until(lambda: pty.heard() == b"SETUP 1\r")
        pty.say(b"1\n")
        await run.until(lambda: run.numbers == [1])
        pty.say(b"!\n")
        await run.until(lambda: run.health.problems["driver_fault"] == 1)
        await run.until(lambda: pty.heard() == b"SETUP 1\r")  # the new driver does not know what it replied before
        pty.say(b"2\n")
        await run.until(lambda: run.numbers == [1, 2])
        assert "RuntimeError: no idea what b'!' is (counting.py:" in run.health.state().last_problem
    heard = b"".join(u.data for _, u in raw.read(0) if u.direction is Direction.HEARD)
    assert heard == b"1\n!\n2\n"
    assert any(record.levelno == logging.ERROR and record.exc_info for record in caplog.records)


async def test_set_up_is_repeated_with_growing_pauses_where_the_driver_keeps_failing(
    pty: Pty, raw: RawLog, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(Counting("gauge"), serial(pty), raw) as run:
        await run.until(lambda: pty.heard() == b"SETUP 1\r")
        for k in range(20):
            pty.say(b"!\n")
            await run.until(lambda k=k: run.health.problems["driver_fault"] == k + 1)  # type: ignore[misc]
        assert len(run.said()) <= 3
    assert sum(record.exc_info is not None for record in caplog.records) == 1  # the log is not flooded


@pytest.mark.parametrize("bad", ["bad_start", "bad_poll"])
async def test_a_driver_that_cannot_say_what_to_send_is_still_heard(pty: Pty, raw: RawLog, bad: str) -> None:
    async with running(Counting("gauge", Counting.Settings(**{bad: True})), serial(pty), raw, 0.1) as run:
        await run.until(lambda: run.health.problems["driver_fault"] >= 1)
        pty.say(b"1\n")
        await run.until(lambda: run.numbers == [1])


async def test_a_transport_with_a_bug_is_told_and_tried_again(raw: RawLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.acquire._BACK_OFF_S", (0.05, 0.1))

    class Buggy(Transport):
        name = "buggy"

        def __init__(self) -> None:
            self.reads = 0

        async def read(self, wait_s: float) -> Heard:
            self.reads += 1
            raise ValueError("no such thing")

        async def write(self, data: bytes) -> None: ...

        async def close(self) -> None:
            raise OSError("cannot even be closed")

    buggy: Any = Buggy()
    async with running(Counting("gauge"), buggy, raw) as run:
        await run.until(lambda: buggy.reads > 3)
        assert run.health.last_problem == "gateway_fault: ValueError: no such thing"


async def test_a_raw_log_that_refuses_is_told_and_the_samples_go_their_way(
    pty: Pty, raw: RawLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(Counting("gauge"), serial(pty), raw) as run:
        pty.say(b"1\n2")
        await run.until(lambda: run.numbers == [1])
        append = raw.journal.append

        def refuse(payload: bytes, *, critical: bool = False) -> int:
            raise OSError(28, "no space left on device")

        monkeypatch.setattr(raw.journal, "append", refuse)
        pty.say(b"3\n4")
        await run.until(lambda: run.numbers == [1, 23])
        assert "no space left" in run.health.last_problem
        monkeypatch.setattr(raw.journal, "append", append)
        pty.say(b"5\n")
        await run.until(lambda: run.numbers == [1, 23, 45])
    # Who reads the raw log never joins the 2 and the 5 that have a hole between them.
    pieces = [(u.direction, u.data) for _, u in raw.read(0) if u.direction is not Direction.SAID][:3]
    assert pieces == [
        (Direction.HEARD, b"1\n2"),
        (Direction.ENDED, b"bytes are missing here"),
        (Direction.HEARD, b"5\n"),
    ]
