from pathlib import Path

import numpy as np
import numpy.typing as npt

from central.changes import Change, Op, Stages
from central.forecast.tide import TideModel, predict
from central.store import Stream
from central.store.duckdb import DuckDBStore
from central.web.tides import LEVEL, fit_gauges, gauge_tide
from tidegate.frame import Field, Frame, Schema, Times

S = 1_000_000_000
NOW = 1_770_000_000 * S
GAUGE = Schema("tide_gauge", (Field.of(LEVEL),))
STREAM = Stream("quay", "tide-1", LEVEL)
QUAY = {"quay": (1.26, 103.8)}

# As in the Singapore Strait. What a month cannot tell apart stands in the ratios of the equilibrium tide.
_AMPLITUDES = {
    "M2": 0.79, "S2": 0.33, "K1": 0.30, "O1": 0.29, "P1": 0.30 * 0.3315, "K2": 0.33 * 0.2716, "N2": 0.15,
    "T2": 0.33 * 0.0585, "NU2": 0.15 * 0.19,
}  # fmt: skip
_PHASES = {
    "M2": 310.0, "S2": 355.0, "K1": 102.0, "O1": 52.0, "P1": 102.0, "K2": 355.0, "N2": 290.0, "T2": 355.0, "NU2": 290.0,
}  # fmt: skip


def sea(time: Times) -> npt.NDArray[np.float64]:
    """The level of a sea that has a tide and nothing else."""
    k, nan = len(_AMPLITUDES), np.full(1, np.nan)
    truth = TideModel(
        ids=("sea",), latitude=np.array([1.26]), constituents=tuple(_AMPLITUDES), mean=np.array([1.65]),
        amplitude=np.array([list(_AMPLITUDES.values())]), phase=np.array([[_PHASES[name] for name in _AMPLITUDES]]),
        inferred=np.zeros((1, k), np.bool_), rmse=nan, samples=np.ones(1, np.int64), span_s=nan,
    )  # fmt: skip
    level: npt.NDArray[np.float64] = predict(truth, time)[0]
    return level


def archive(folder: Path, days: float, step_s: int = 360) -> DuckDBStore:
    time = NOW - np.arange(int(days * 86_400 / step_s), 0, -1, dtype=np.int64) * step_s * S
    level = sea(time)
    level[len(level) // 2] += 3.0
    flags = np.ones(len(time), np.uint8)
    flags[len(level) // 2] = 4
    store = DuckDBStore(folder / "archive.duckdb")
    change = Change(Op.INSERT, "quay", Frame("tide-1", GAUGE, time, {LEVEL: level}), {LEVEL: flags}, Stages(1, 2, 3, 4))
    store.write([(1, change)])
    return store


def test_a_month_of_levels_predicts_the_next_day(tmp_path: Path) -> None:
    store = archive(tmp_path, 31)
    tide = gauge_tide(store, STREAM, fit_gauges(store, QUAY, NOW), NOW)
    store.close()
    ahead = tide.predicted_time > NOW
    assert 86_000 < (tide.predicted_time[-1] - NOW) / S <= 86_400
    error = tide.predicted[ahead] - sea(tide.predicted_time[ahead])
    assert float(np.sqrt(np.mean(error**2))) < 0.01
    assert tide.turns is not None
    assert 2 <= np.count_nonzero(tide.turns.time_ns > NOW) <= 5
    assert float(np.max(tide.observed)) < 4  # what failed is not shown as a level


def test_a_day_is_not_enough_and_it_says_so(tmp_path: Path) -> None:
    store = archive(tmp_path, 1.0)
    tide = gauge_tide(store, STREAM, fit_gauges(store, QUAY, NOW), NOW)
    assert len(tide.predicted) == 0
    assert tide.note.startswith("Not enough data yet for a tide prediction: it needs 25.6 h of good levels, and there")
    assert len(tide.observed) == 239
    assert "position" in gauge_tide(store, STREAM, fit_gauges(store, {}, NOW), NOW).note
    none = gauge_tide(store, Stream("quay", "none", LEVEL), fit_gauges(store, QUAY, NOW), NOW)
    assert len(none.observed) == 0
    assert "there are 0.0 h" in none.note
    store.close()
