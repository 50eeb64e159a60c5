"""The rig itself: its comparison sees what is wrong, its clock can be set, its power cut finds a missing sync."""

import time
from collections import Counter
from pathlib import Path
from unittest.mock import patch

from tests.faults import powercut
from tests.faults.compare import Row, tally
from tests.faults.controlled_clock import Clock
from tests.faults.instruments import Sample
from tidegate.journal import Journal

LEVEL = "level"


def said(time_ns: int | None, value: float, *, doubtful: bool = False) -> Sample:
    return Sample(time_ns or 0, time_ns, {LEVEL: value}, doubtful)


def row(value: float, inserts: int = 1) -> Row:
    return Row({LEVEL: value}, Counter({LEVEL: inserts}))


def test_what_is_there_once_is_clean() -> None:
    result = tally("x", [said(1, 1.0), said(2, 2.0), said(None, 3.0)], {1: row(1.0), 2: row(2.0), 9: row(3.0)})
    assert result.clean
    assert (result.acquired, result.stored) == (3, 3)


def test_lost_doubled_altered_and_invented_samples_are_told_apart() -> None:
    samples = [said(1, 1.0), said(2, 2.0), said(3, 3.0), said(None, 7.0)]
    result = tally("x", samples, {2: row(2.0, inserts=2), 3: row(3.5), 4: row(4.0)})
    assert (result.lost, result.duplicated, result.altered) == (2, 2, 1)
    assert [one.values[LEVEL] for one in result.lost_samples] == [1.0, 7.0]


def test_two_equal_samples_without_a_time_need_two_rows() -> None:
    assert tally("x", [said(None, 1.0), said(None, 1.0)], {5: row(1.0)}).lost == 1


def test_a_doubtful_sample_may_be_missing_but_not_be_there_with_another_value() -> None:
    doubtful = [said(1, 1.0, doubtful=True)]
    assert tally("x", doubtful, {}).clean
    assert tally("x", doubtful, {1: row(1.0)}).clean
    assert tally("x", doubtful, {1: row(1.1)}).duplicated == 1


def test_a_sample_that_stands_far_from_when_it_was_said_is_mistimed() -> None:
    sample = Sample(10**9, None, {LEVEL: 1.0})
    assert tally("x", [sample], {2 * 10**9: row(1.0)}, 2.0).clean
    assert tally("x", [sample], {4 * 10**9: row(1.0)}, 2.0).mistimed == 1


def test_the_wall_clock_is_set_and_the_monotonic_clock_goes_on(tmp_path: Path) -> None:
    clock, other = Clock(tmp_path / "clock", create=True), Clock(tmp_path / "clock")
    before = other.monotonic_ns()
    clock.set_wall(100)
    assert 100 <= other.time_ns() < 10**9
    assert 0 <= other.monotonic_ns() - before < 10**9
    clock.run_at(1000.0)
    time.sleep(0.01)
    assert other.monotonic_ns() - before > 9 * 10**9


def test_a_power_cut_finds_a_sync_that_is_missing() -> None:
    with patch.object(Journal, "_sync", lambda self: setattr(self, "_durable", self._next - 1)):
        outcome = powercut.run(None, 1, 1)
    assert not outcome.passed
    assert outcome.lost > 0
