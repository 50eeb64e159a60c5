import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from central.changes import Change, ChangeLog, Flag, Op, Stages
from central.followers import Follower
from central.quarantine import Quarantine, Reason
from central.store import Batch, Refusal, StoreRefused, StoreUnavailable
from tests.central.station import EPOCH, ctd


def changes(first: int, last: int) -> list[Change]:
    found = []
    for seq in range(first, last + 1):
        frame = ctd(seq, 1)
        flags = {name: np.full(1, Flag.PASS, np.uint8) for name in frame.columns}
        found.append(Change(Op.INSERT, "quay-3", frame, flags, Stages(1, 2, 3, 4), EPOCH, seq))
    return found


class Memory:
    """A store in memory that fails when told to."""

    name = "memory"

    def __init__(self) -> None:
        self.got: list[int] = []
        self.fails = ""
        self.hold = threading.Event()
        self.hold.set()
        self.closed = False
        self.thread: int | None = None

    def write(self, batch: Batch) -> None:
        self.thread = threading.get_ident()
        self.hold.wait(10)
        if self.fails:
            raise StoreUnavailable(self.fails)
        self.got += [change.seq for _, change in batch]

    def close(self) -> None:
        self.closed = True


class Transactional(Memory):
    """A store that keeps the cursor with the data."""

    def __init__(self, kept: int) -> None:
        super().__init__()
        self.kept = kept

    def cursor(self) -> int:
        return self.kept

    def write(self, batch: Batch) -> None:
        super().write(batch)
        self.kept = batch[-1][0]


class Parts:
    def __init__(self, folder: Path) -> None:
        self.log = ChangeLog(folder / "changes")
        self.quarantine = Quarantine(folder / "quarantine")

    def append(self, first: int, last: int) -> None:
        self.log.append(changes(first, last))
        self.log.sync()

    def follower(self, open_store: Callable[[], Memory], name: str = "memory") -> Follower:
        follower = Follower(name, open_store, self.log, self.quarantine)
        follower.start()
        return follower


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parts]:
    monkeypatch.setattr("central.followers._BACK_OFF_S", (0.01, 0.05))
    opened = Parts(tmp_path)
    yield opened
    opened.log.close()
    opened.quarantine.close()


def until(condition: Callable[[], bool], within_s: float = 5.0) -> None:
    end_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end_s, "it did not happen in time"
        time.sleep(0.002)


def test_it_catches_up_follows_and_goes_on_where_it_was(parts: Parts) -> None:
    parts.append(1, 2500)
    first = Memory()
    follower = parts.follower(lambda: first)
    until(lambda: first.got == list(range(1, 2501)))
    parts.append(2501, 2502)
    until(lambda: follower.standing.lag == 0)
    assert follower.standing.cursor == 2502
    assert first.thread != threading.get_ident()
    assert follower.stop(within_s=1)
    assert first.closed
    parts.append(2503, 2505)
    second = Memory()
    follower = parts.follower(lambda: second)
    until(lambda: second.got == [2503, 2504, 2505])
    assert follower.stop(within_s=1)


def test_a_store_that_fails_is_tried_for_ever_and_nobody_else_notices(parts: Parts) -> None:
    sick, well = Memory(), Memory()
    sick.fails = "it is down: start it"
    sick_one, well_one = parts.follower(lambda: sick, "sick"), parts.follower(lambda: well, "well")
    parts.append(1, 3)
    until(lambda: well.got == [1, 2, 3] and bool(sick_one.standing.error))
    standing = sick_one.standing
    assert (standing.error, standing.lag, standing.cursor) == ("it is down: start it", 3, 0)
    assert standing.since_ns is not None
    assert well_one.standing.error == ""
    sick.fails = ""
    until(lambda: sick.got == [1, 2, 3])
    until(lambda: sick_one.standing.error == "" and sick_one.standing.since_ns is None)
    assert sick_one.stop(within_s=1)
    assert well_one.stop(within_s=1)


def test_a_store_that_cannot_be_opened_is_opened_later(parts: Parts) -> None:
    store, attempts = Memory(), []

    def open_store() -> Memory:
        attempts.append(1)
        if len(attempts) < 3:
            raise OSError("no such folder")
        return store

    parts.append(1, 1)
    follower = parts.follower(open_store)
    assert follower.wait_until_open(5)
    until(lambda: store.got == [1])
    assert len(attempts) == 3
    assert follower.stop(within_s=1)


def test_the_cursor_that_a_store_keeps_itself_counts(parts: Parts) -> None:
    parts.append(1, 5)
    store = Transactional(kept=3)
    follower = parts.follower(lambda: store)
    until(lambda: store.got == [4, 5])
    assert follower.stop(within_s=1)
    assert parts.log.cursor("memory").position == 0
    ahead = Transactional(kept=9)
    follower = parts.follower(lambda: ahead)
    until(lambda: "it stands at change 9" in follower.standing.error)
    assert ahead.got == []
    assert follower.stop(within_s=1)


def test_what_a_store_never_takes_is_noted_and_passed(parts: Parts) -> None:
    class Picky(Memory):
        def write(self, batch: Batch) -> None:
            bad = [Refusal(cursor, change, 1, "type conflict") for cursor, change in batch if change.seq % 2 == 0]
            super().write([entry for entry in batch if entry[1].seq % 2])
            if bad:
                raise StoreRefused("picky", bad)

    parts.append(1, 4)
    store = Picky()
    follower = parts.follower(lambda: store, "picky")
    until(lambda: follower.standing.lag == 0)
    assert store.got == [1, 3]
    assert follower.standing.refused == 2
    cases = parts.quarantine.newest(10)
    assert [case.reason for case in cases] == [Reason.REFUSED, Reason.REFUSED]
    assert cases[0].detail == "picky: 1 points of change 2: type conflict"
    assert follower.stop(within_s=1)


def test_a_store_that_hangs_does_not_hold_up_the_stop(parts: Parts) -> None:
    store = Memory()
    store.hold.clear()
    parts.append(1, 1)
    follower = parts.follower(lambda: store)
    until(lambda: store.thread is not None)
    started_s = time.monotonic()
    assert not follower.stop(within_s=0.1)
    assert time.monotonic() - started_s < 2
    store.hold.set()
    until(lambda: not follower.alive)


def test_a_stop_lets_it_catch_up_first(parts: Parts) -> None:
    class Slow(Memory):
        def write(self, batch: Batch) -> None:
            time.sleep(0.05)
            super().write(batch)

    store = Slow()
    follower = parts.follower(lambda: store)
    parts.append(1, 3000)
    assert follower.stop(within_s=3)
    assert store.got == list(range(1, 3001))
    assert parts.log.cursor("memory").position == 3000
