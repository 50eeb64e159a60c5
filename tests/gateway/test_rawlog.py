"""The raw log has all that was heard and said, in order and bounded, and says again what was decoded live."""

import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.driver import Driver
from drivers.simulators.simulator import Simulator
from drivers.simulators.workhorse import WorkhorseSimulator
from drivers.trdi.pd0 import Pd0
from gateway import rawlog
from gateway.acquire import Acquisition
from gateway.config import SerialPort
from gateway.health import InstrumentHealth
from gateway.rawlog import START, Direction, Mark, Position, RawLog, Utterance
from gateway.simulate import Faults, host
from gateway.transports import open_transport
from tests.gateway.counting import Counting, Pty, numbers
from tidegate.clock import Arrival
from tidegate.frame import Frame, rows

HEARD, SAID, ENDED = Direction.HEARD, Direction.SAID, Direction.ENDED


def utterance(k: int, name: str = "ctd", direction: Direction = HEARD, size: int = 20) -> Utterance:
    return Utterance(name, direction, Arrival(k * 10**9, k * 7, "ab" * 8, k % 2 == 0), b"%d " % k + bytes(size))


def test_everything_comes_back_as_it_went_in(tmp_path: Path) -> None:
    given_in = [utterance(k, ("ctd", "adcp")[k % 2], (HEARD, SAID, HEARD, ENDED)[k % 4]) for k in range(60)]
    raw = RawLog(tmp_path, 10_000_000)
    numbers = [raw.append(u).number for u in given_in[:30]]
    raw.close()
    raw = RawLog(tmp_path, 10_000_000)
    numbers += [raw.append(u).number for u in given_in[30:]]
    assert numbers == list(range(1, 61))
    # Also while it is being written, and of one instrument alone.
    assert [u for u in rawlog.read(tmp_path) if u.data != b"bytes are missing here"] == given_in
    assert list(rawlog.read(tmp_path, "adcp")) == [u for u in given_in if u.instrument == "adcp"]
    raw.close()


def test_marks_are_found_and_are_no_utterances(tmp_path: Path) -> None:
    raw = RawLog(tmp_path, 10_000_000)
    assert raw.find_mark(b"1" * 16) is None
    for k in range(1000):
        position = raw.append(utterance(k))
        if k % 10 == 0:
            raw.mark(Mark(b"%016d" % (k % 50), position, {"ctd": k}))
    assert raw.find_mark(b"%016d" % 40) == Mark(
        b"%016d" % 40, Position(raw.journal.last - 10, {"ctd": 1}), {"ctd": 990}
    )
    assert raw.find_mark(b"%016d" % 41) is None
    assert len(list(rawlog.read(tmp_path))) == 1000
    assert raw.journal.durable == raw.journal.last - 9  # a mark is on disk with all before it
    raw.close()


def test_positions_know_which_streams_are_open(tmp_path: Path) -> None:
    raw = RawLog(tmp_path, 10_000_000)
    assert raw.position == START
    for k, (name, direction, streams) in enumerate(
        [
            ("ctd", SAID, {}),
            ("ctd", HEARD, {"ctd": 2}),
            ("adcp", HEARD, {"ctd": 2, "adcp": 3}),
            ("ctd", HEARD, {"ctd": 2, "adcp": 3}),
            ("ctd", ENDED, {"adcp": 3}),
            ("ctd", HEARD, {"adcp": 3, "ctd": 6}),
        ]
    ):
        assert raw.append(utterance(k, name, direction)) == (k + 1, streams) == raw.position
    raw.close()


@pytest.mark.parametrize("size", [30, 300, 5000, 20_000])
def test_it_stays_within_its_bound_and_drops_the_oldest(tmp_path: Path, size: int) -> None:
    bound, count = 400_000, 1_500_000 // size
    raw = RawLog(tmp_path, bound)
    for k in range(count):
        raw.append(utterance(k, size=size))
        assert raw.journal.bytes <= bound
        if k == count // 2:
            raw.close()
            raw = RawLog(tmp_path, bound)
    raw.close()
    kept = list(rawlog.read(tmp_path))
    assert [int(u.data.split()[0]) for u in kept] == list(range(count - len(kept), count))
    assert len(kept) * (size + 80) > 0.8 * bound  # nearly all that fits
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= bound + 1000


@settings(max_examples=40)
@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=3), st.integers(1, 255))
def test_damage_costs_its_records_and_joins_nothing_across_them(places: list[int], flip: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        raw = RawLog(Path(folder), 10_000_000)
        arrival = Arrival(0, 0, "00" * 8, True)
        for k in range(100, 300):
            for name in ("a", "b"):  # each line in two pieces, the pieces of two instruments between each other
                raw.append(Utterance(name, HEARD, arrival, b"%d" % (k // 10)))
            for name in ("a", "b"):
                raw.append(Utterance(name, HEARD, arrival, b"%d%d\n" % (k % 10, k)))
        raw.close()
        (segment,) = Path(folder).glob("*.segment")
        data = bytearray(segment.read_bytes())
        for place in places:
            data[64 + place % (len(data) - 64)] ^= flip
        segment.write_bytes(data)
        for name in ("a", "b"):
            driver, frames = Counting(name), []
            for u in rawlog.read(Path(folder), name):
                frames += driver.finish() if u.direction is ENDED else driver.feed(u.data, u.at)
            got = numbers([f for f in frames if isinstance(f, Frame)])
            assert set(got) <= {k * 1001 for k in range(100, 300)} | {k % 10 * 1000 + k for k in range(100, 300)}
            assert len(set(got) & {k * 1001 for k in range(100, 300)}) >= 200 - 2 * len(places)


def test_a_folder_that_is_no_raw_log_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no raw log"):
        list(rawlog.read(tmp_path))
    from tidegate.journal import Journal

    with Journal(tmp_path / "other") as journal:
        journal.append(b"something else")
    with pytest.raises(ValueError, match="name the folder `raw`"):
        list(rawlog.read(tmp_path / "other"))


# ---- what was decoded live is decoded again


async def live(driver: Driver, raw: RawLog, link: Path, seconds: float) -> list[Frame]:
    """What an acquisition delivers in so many seconds, unplugged and stopped on the way."""
    frames: list[Frame] = []
    for part in (0.4, 0.6):
        stop = asyncio.Event()
        acquisition = Acquisition(
            driver,
            open_transport(SerialPort(serial=link)),
            raw,
            InstrumentHealth(0.1),
            lambda new, _: frames.extend(new),
        )
        task = asyncio.create_task(acquisition.run(stop))
        await asyncio.sleep(seconds * part)
        stop.set()
        await task
        driver = type(driver)(driver.instrument, driver.settings)
    return frames


def decoded(raw: Path, driver: str, *more: str) -> tuple[list[dict[str, object]], str]:
    command = [sys.executable, "-m", "tidegate", "decode", str(raw), "--driver", driver, *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


async def test_decoding_the_raw_log_gives_the_samples_of_the_live_line(tmp_path: Path) -> None:
    stop = asyncio.Event()
    simulator: Simulator = WorkhorseSimulator(interval_s=1)
    link = tmp_path / "adcp"
    hosting = host(
        simulator,
        ledger=tmp_path / "ledger",
        stop=stop,
        serial_link=link,
        faults=Faults(noise=0.3, cut=0.1, flip=0.1, seed=3),
    )
    task = asyncio.create_task(hosting)
    raw = RawLog(tmp_path / "raw", 10_000_000)
    gauge = Pty(tmp_path / "gauge")
    gauge.say(b"1\n2\n3")
    frames, other = await asyncio.gather(
        live(Pd0("adcp"), raw, link, 6.0), live(Counting("gauge"), raw, gauge.link, 1.0)
    )
    stop.set()
    await task
    raw.close()
    assert numbers(other) == [1, 2]
    assert sum(map(len, frames)) >= 3
    again, err = await asyncio.to_thread(decoded, tmp_path / "raw", "trdi_pd0", "--instrument", "adcp")
    assert again == [{"kind": frame.schema.kind, **row} for frame in frames for row in rows([frame])]
    assert "ended: the gateway was stopped" in err


def test_an_instrument_is_chosen_by_name(tmp_path: Path) -> None:
    raw = RawLog(tmp_path / "raw", 10_000_000)
    for k in range(4):
        raw.append(utterance(k, ("ctd", "adcp")[k % 2]))
    raw.close()
    for more, words in (((), "name one by --instrument: adcp, ctd"), (("--instrument", "gps"), "it holds: adcp, ctd")):
        command = [sys.executable, "-m", "tidegate", "decode", str(tmp_path / "raw"), "--driver", "sbe37", *more]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert words in done.stderr
