"""Whenever the gateway is cut off, the next one takes up exactly the samples that are in no Envelope: none twice."""

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.driver import Driver
from drivers.seabird.sbe37 import Sbe37
from gateway import rawlog
from gateway import spool as spools
from gateway.guard import Guarded
from gateway.rawlog import Direction, Mark, RawLog, Utterance
from gateway.recover import recover
from gateway.spool import Spool
from tests.gateway.counting import Counting, numbers
from tests.gateway.samples import LEVEL
from tidegate.clock import Arrival
from tidegate.envelope import decode_envelope
from tidegate.frame import Frame, Schema

NAMES = ("a", "b")


class Crash(Exception):
    """The gateway is gone."""


class Station:
    """The path from bytes to Envelopes as the gateway has it, without ports: each `hear` is what a port gave."""

    def __init__(self, folder: Path, drivers: Callable[[], dict[str, Driver]], crash_in: int = 10**9) -> None:
        self.raw = RawLog(folder / "raw", 10_000_000)
        self.spool = Spool("tioman-1", folder / "spool", 10_000_000)
        self.left = crash_in
        self.drivers = {name: Guarded(driver) for name, driver in drivers().items()}
        mark = self.raw.find_mark(self.spool.newest)
        if mark is not None:
            self.spool.resume(mark.position, mark.beyond)
        for frames, heard in recover(self.raw, mark, drivers()):
            self.spool.put(*frames, heard=heard)
        self.spool.close_batch(self.mark)
        self.spool.resume(self.raw.position)
        self.raw.mark(Mark(self.spool.newest, self.raw.position, {}))

    def step(self) -> None:
        if self.left == 0:
            raise Crash
        self.left -= 1

    def mark(self, mark: Mark) -> None:
        self.step()
        self.raw.mark(mark)
        self.step()

    def hear(self, name: str, data: bytes) -> None:
        position = self.raw.append(Utterance(name, Direction.HEARD, Arrival(len(data), 0, "00" * 8, True), data))
        self.step()
        frames = [item for item in self.drivers[name].feed(data, Arrival.now()) if isinstance(item, Frame)]
        if frames:
            self.spool.put(*frames, heard=position)

    def end(self, name: str) -> None:
        position = self.raw.append(Utterance(name, Direction.ENDED, Arrival.now(), b"unplugged"))
        self.step()
        frames = [item for item in self.drivers[name].finish() if isinstance(item, Frame)]
        if frames:
            self.spool.put(*frames, heard=position)

    def close(self) -> None:
        self.spool.close()
        self.raw.close()


def accepted(folder: Path, name: str, schemas: dict[bytes, Schema]) -> Iterator[Frame]:
    spool = Spool("tioman-1", folder / "spool", 10_000_000)
    for _, payload in spool.journal.read():
        frames, undecoded = decode_envelope(payload, spool.platform).decode({name: schemas})
        assert all(one.instrument != name for one in undecoded)
        yield from frames
    spool.close()


def counting() -> dict[str, Driver]:
    return {name: Counting(name) for name in NAMES}


def lines(chunks: list[tuple[str, int, bool]], said: dict[str, int]) -> Iterator[tuple[str, bytes]]:
    """What two instruments say: numbered lines, in pieces of any size, some with a line that is a driver's bug."""
    pending = dict.fromkeys(NAMES, b"")
    for name, size, bug in chunks:
        while len(pending[name]) < size:
            said[name] += 1
            pending[name] += b"%d\n" % said[name] + b"!\n" * bug
        yield name, pending[name][:size]
        pending[name] = pending[name][size:]


ACTS = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(1, 40), st.integers(0, 19)), min_size=1, max_size=30)


def decoded(folder: Path, driver: Driver) -> list[Frame]:
    """What the raw log says, read from its beginning in one go."""
    guarded = Guarded(driver)
    found = []
    for utterance in rawlog.read(folder / "raw", driver.instrument):
        if utterance.direction is Direction.HEARD:
            found += guarded.feed(utterance.data, utterance.at)
        elif utterance.direction is Direction.ENDED:
            found += guarded.finish()
    return [item for item in found if isinstance(item, Frame)]


@settings(max_examples=120)
@given(st.lists(st.tuples(ACTS, st.integers(0, 60)), min_size=1, max_size=4), st.booleans(), st.booleans())
def test_every_line_that_was_heard_is_accepted_once(
    lives: list[tuple[list[tuple[str, int, int]], int]], small: bool, bugs: bool
) -> None:
    said = dict.fromkeys(NAMES, 0)
    expected: dict[str, list[int]] = {name: [] for name in NAMES}
    before = spools._ENVELOPE_BYTES
    spools._ENVELOPE_BYTES = 40 if small else before  # many Envelopes of one batch
    folder = Path(tempfile.mkdtemp())
    logging.disable(logging.CRITICAL)
    try:
        for acts, crash_in in lives:
            station = Station(folder, counting)
            station.left = crash_in
            kept = dict.fromkeys(NAMES, b"")
            spoken = lines([(name, size, bugs and what == 7) for name, size, what in acts], said)
            try:
                for (name, data), (_, _, what) in zip(spoken, acts, strict=True):
                    kept[name] += data
                    station.hear(name, data)
                    if what > 14:
                        station.spool.close_batch(station.mark)
                    if what == 3:
                        kept[name] += b"|"  # what was begun is over
                        station.end(name)
            except Crash:
                pass
            for name in NAMES:
                whole = [part.rpartition(b"\n")[0].split(b"\n") for part in kept[name].split(b"|")]
                expected[name] += [int(line) for part in whole for line in part if line.isdigit()]
            station.close()
        Station(folder, counting).close()
        for name in NAMES:
            got = numbers(list(accepted(folder, name, {LEVEL.id: LEVEL})))
            assert got == numbers(decoded(folder, Counting(name)))
            assert bugs or got == expected[name]
    finally:
        logging.disable(logging.NOTSET)
        spools._ENVELOPE_BYTES = before
        shutil.rmtree(folder)


def test_what_the_set_up_taught_the_driver_holds_after_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.recover.HEAD_RECORDS", 3)
    monkeypatch.setattr("gateway.recover.TAIL_RECORDS", 6)
    reply = (
        b"GetCD\r\n<ConfigurationData DeviceType='SBE37SM' SerialNumber='03709999'>\r\n<PressureUnits>psi"
        b"</PressureUnits>\r\n</ConfigurationData>\r\nS>"
    )
    line = b"  18.1234,  4.56789,   14.504, 01 Jan 2024, 00:%02d:%02d\r\n"

    def driver() -> dict[str, Driver]:
        return {"ctd": Sbe37("ctd")}

    station = Station(tmp_path, driver)
    station.hear("ctd", reply[:50])
    station.hear("ctd", reply[50:])
    for k in range(40):
        station.hear("ctd", (line % (0, k))[:30])
        station.hear("ctd", (line % (0, k))[30:])
        if k == 30:
            station.spool.close_batch(station.mark)
    station.close()
    Station(tmp_path, driver).close()
    schemas = {frame.schema.id: frame.schema for frame in decoded(tmp_path, Sbe37("ctd"))}
    frames = list(accepted(tmp_path, "ctd", schemas))
    assert [int(t) // 10**9 % 60 for frame in frames for t in frame.time] == list(range(40))
    pressures = {float(p) for frame in frames for p in frame.columns["sea_water_pressure_due_to_sea_water"]}
    assert pressures == {10.0002}  # 14.504 psi, never 14.504 dbar


def heard(folder: Path, *words: bytes, batch: bool = False) -> None:
    station = Station(folder, counting)
    for word in words:
        station.hear("a", word)
    if batch:
        station.spool.close_batch(station.mark)
    station.close()


def taken_up(folder: Path) -> list[int]:
    Station(folder, counting).close()
    return numbers(list(accepted(folder, "a", {LEVEL.id: LEVEL})))


def test_a_spool_that_was_put_away_is_not_filled_again(tmp_path: Path) -> None:
    heard(tmp_path, b"1\n", b"2\n", batch=True)
    shutil.rmtree(tmp_path / "spool")
    assert taken_up(tmp_path) == []
    heard(tmp_path, b"3\n")
    assert taken_up(tmp_path) == [3]


def test_a_raw_log_that_was_put_away_costs_only_what_was_in_it(tmp_path: Path) -> None:
    heard(tmp_path, b"1\n", batch=True)
    heard(tmp_path, b"2\n")
    shutil.rmtree(tmp_path / "raw")
    assert taken_up(tmp_path) == [1]
    heard(tmp_path, b"3\n")
    assert taken_up(tmp_path) == [1, 3]


def test_an_envelope_that_the_hub_has_is_not_made_again_where_it_was_damaged(tmp_path: Path) -> None:
    heard(tmp_path, b"1\n", batch=True)
    heard(tmp_path, b"2\n", batch=True)
    spool = Spool("tioman-1", tmp_path / "spool", 10_000_000)
    spool.acknowledge(2, [])
    spool.close()
    (segment,) = (tmp_path / "spool").glob("*.segment")
    data = bytearray(segment.read_bytes())
    data[-10] ^= 0xFF
    segment.write_bytes(data)
    assert taken_up(tmp_path) == [1]


def test_an_envelope_that_was_torn_is_made_again(tmp_path: Path) -> None:
    heard(tmp_path, b"1\n", batch=True)
    heard(tmp_path, b"2\n", b"3\n", batch=True)
    (segment,) = (tmp_path / "spool").glob("*.segment")
    segment.write_bytes(segment.read_bytes()[:-10])  # a power cut before it was on disk
    assert taken_up(tmp_path) == [1, 2, 3]


def test_more_than_can_be_taken_up_is_left_in_the_raw_log_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gateway.recover.MOST_BYTES", 9)
    heard(tmp_path, *(b"%d\n" % k for k in range(8)))
    assert taken_up(tmp_path) == [0, 1, 2, 3]
    assert "tidegate replay" in caplog.text
    heard(tmp_path, b"9\n")
    assert taken_up(tmp_path) == [0, 1, 2, 3, 9]


def test_an_instrument_that_is_no_longer_configured_is_no_hindrance(tmp_path: Path) -> None:
    heard(tmp_path, b"1\n", b"2")
    Station(tmp_path, lambda: {"b": Counting("b")}).close()
    assert [u.direction for u in rawlog.read(tmp_path / "raw", "a")][-1] is Direction.ENDED
    assert taken_up(tmp_path) == []
