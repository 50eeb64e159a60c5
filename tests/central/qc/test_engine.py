"""Streaming equals batch: the engine's final flags, for any cutting and order, are those of one run over the series."""

from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from central.changes import Op
from central.qc.engine import Engine, Judged, judge, limits
from central.qc.settings import QcTable
from tidegate.clock import NAT, Arrival, TimeSource
from tidegate.frame import Cells, Column, Field, Frame, Schema

LEVEL = "water_surface_height_above_reference_datum"
GAUGE = Schema("tide_gauge", (Field.of(LEVEL), Field.of("sea_water_temperature"), Field.of("device_status")))
ADCP = Schema("adcp", (Field.of("eastward_sea_water_velocity", profile=True),), Cells(3, 1.0, 1.0))
TABLES = (
    QcTable(parameter=LEVEL, gross_range_suspect=(-1.0, 4.0), flat_line_s=(4.0, 8.0), gap_s=5.0),
    QcTable(parameter="sea_water_temperature", flat_line_s=(3.0, 6.0), rate_of_change=0.5, gap_s=5.0),
)
ARRIVAL = Arrival(0, 0, "00" * 8, True)


def gauge(time_s: Iterable[float], level: Sequence[float], temperature: Sequence[float]) -> Frame:
    time = (np.array(list(time_s)) * 1e9).astype(np.int64)
    values: dict[str, Column] = {
        LEVEL: np.array(level, np.float64),
        "sea_water_temperature": np.array(temperature, np.float64),
        "device_status": np.zeros(len(time), np.int64),
    }
    return Frame("g", GAUGE, time, values, TimeSource.INSTRUMENT, ARRIVAL)


@st.composite
def series(draw: st.DrawFn) -> Frame:
    """Smooth values with steps, spikes, stuck stretches, missing values, gaps and sub-second sampling."""
    n = draw(st.integers(1, 40))
    steps = draw(st.lists(st.sampled_from([0.25, 1.0, 1.0, 1.5, 9.0]), min_size=n, max_size=n))
    level = draw(st.lists(st.sampled_from([1.0, 1.0, 1.0, 1.01, 1.3, 5.0, -200.0, np.nan]), min_size=n, max_size=n))
    temp = draw(st.lists(st.sampled_from([28.0, 28.0, 28.1, 31.0, 50.0, np.nan]), min_size=n, max_size=n))
    return gauge(np.cumsum(steps), level, temp)


def final(judged: Sequence[Judged]) -> dict[tuple[int, str], int]:
    """What a view holds that applies the changes in order; a sample is inserted once, before any correction of it."""
    found: dict[tuple[int, str], int] = {}
    for op, _, frame, flags in judged:
        for name, column in flags.items():
            assert column.shape == frame.columns[name].shape
            for t, flag in zip(frame.time.tolist(), column.tolist(), strict=True):
                assert ((t, name) in found) == (op is Op.CORRECT)
                found[t, name] = flag
    return found


def batch(frame: Frame) -> dict[tuple[int, str], int]:
    values = np.column_stack([frame.columns[f.name].astype(np.float64) for f in GAUGE.fields])
    flags = judge(frame.time, values, limits(TABLES, "p", "g", GAUGE))
    return {
        (t, f.name): int(flags[i, k]) for i, t in enumerate(frame.time.tolist()) for k, f in enumerate(GAUGE.fields)
    }


@given(series(), st.lists(st.integers(1, 6), max_size=20))
@settings(max_examples=400)
def test_any_cutting_gives_the_flags_of_one_run(frame: Frame, sizes: list[int]) -> None:
    engine, judged, at = Engine(TABLES), [], 0
    for size in [*sizes, len(frame)]:
        judged += engine.judge([("p", frame.take(slice(at, at + size)))])
        at += size
    assert final(judged) == batch(frame)


@given(series(), st.randoms(use_true_random=False), st.integers(1, 5))
@settings(max_examples=400)
def test_any_order_gives_the_flags_of_one_run(frame: Frame, random: object, size: int) -> None:
    pieces = [frame.take(slice(at, at + size)) for at in range(0, len(frame), size)]
    random.shuffle(pieces)  # type: ignore[attr-defined]
    engine = Engine(TABLES)
    judged = [j for piece in pieces for j in engine.judge([("p", piece)])]
    assert final(judged) == batch(frame)


@given(series(), st.integers(1, 8))
def test_doubles_change_nothing(frame: Frame, size: int) -> None:
    engine = Engine(TABLES)
    pieces = [frame.take(slice(at, at + size)) for at in range(0, len(frame), size)]
    judged = [j for piece in pieces for j in engine.judge([("p", piece)])]
    again = [j for piece in pieces for j in engine.judge([("p", piece)])]
    assert final(judged) == batch(frame)
    assert again == []


@given(series(), st.integers(1, 39))
def test_a_restart_goes_on_where_it_was(frame: Frame, cut: int) -> None:
    judged = Engine(TABLES).judge([("p", frame.take(slice(0, cut)))])
    engine = Engine(TABLES)
    for _, platform, piece, flags in judged:
        engine.remember(platform, piece, flags)
    judged += engine.judge([("p", frame.take(slice(cut, None)))])
    assert final(judged) == batch(frame)


def test_the_newest_samples_spike_waits_for_its_successor() -> None:
    """QARTOD water level, test 6: the newest sample is 2 until n+1 comes, then it is final; both are changes."""
    only_spikes = (QcTable(parameter=LEVEL, rate_of_change=100.0, flat_line_s=(1e6, 2e6)),)
    engine = Engine(only_spikes)
    engine.judge([("p", gauge([0, 1], [1.0, 1.0], [28, 28]))])
    ((op, _, new, flags), _) = engine.judge([("p", gauge([2], [1.5], [28]))])
    assert (op, flags[LEVEL].tolist()) == (Op.INSERT, [1])  # range and rate have judged; the spike test has not
    judged = engine.judge([("p", gauge([3], [1.0], [28]))])
    corrected = {
        int(t): int(f) for op, _, fr, fl in judged if op is Op.CORRECT for t, f in zip(fr.time, fl[LEVEL], strict=True)
    }
    assert corrected[int(new.time[0])] == 4


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 1.0, 9.0, 1.0], [1, 3, 4, 1]),  # 8 above the mean of its neighbours; the newest has none after it yet
        ([1.0, 1.1, 1.2, 1.3], [1, 1, 1, 1]),
        ([1.0, 120.0, 1.0, np.nan], [1, 4, 1, 9]),
    ],
)
def test_flags_by_hand(values: list[float], expected: list[int]) -> None:
    tables = (QcTable(parameter=LEVEL, spike=(3.0, 6.0), rate_of_change=1e3, flat_line_s=(1e6, 2e6)),)
    engine = Engine(tables)
    (insert, *_) = engine.judge([("p", gauge(range(4), values, [28.0] * 4))])
    assert insert[3][LEVEL].tolist() == expected


def test_a_stuck_sensor_is_suspect_and_then_fails() -> None:
    engine = Engine(TABLES)
    ((_, _, _, flags),) = engine.judge([("p", gauge(range(12), [1.0] * 12, [28.0 + k / 10 for k in range(12)]))])
    assert flags[LEVEL].tolist() == [1] * 4 + [3] * 4 + [4] * 4


def test_profiles_are_judged_cell_by_cell() -> None:
    values = np.array([[0.1, 0.2, np.nan], [0.1, 99.0, 0.3]])
    frame = Frame("a", ADCP, np.array([1, 2]) * 10**9, {"eastward_sea_water_velocity": values}, arrival=ARRIVAL)
    ((_, _, _, flags),) = Engine().judge([("p", frame)])
    assert flags["eastward_sea_water_velocity"].tolist() == [[1, 1, 9], [1, 4, 1]]


def test_samples_without_a_time_are_counted_and_have_no_place() -> None:
    frame = gauge([1, 2], [1.0, 1.0], [28.0, 28.0])
    frame = Frame("g", GAUGE, np.array([NAT, 2 * 10**9]), frame.columns, TimeSource.NONE, ARRIVAL)
    engine = Engine()
    ((_, _, kept, _),) = engine.judge([("p", frame)])
    assert kept.time.tolist() == [2 * 10**9]
    assert engine.untimed == {("p", "g"): 1}
