"""The tide at a gauge for its page: fitted to what the archive holds, predicted across now, and kept for a while."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from central.changes import Flag
from central.feed import snapshot
from central.forecast.tide import TideExtremes, TideModel, extremes, fit_snapshot, predict
from central.store import Stream
from central.store.duckdb import DuckDBStore
from tidegate.frame import Times

LEVEL = "water_surface_height_above_reference_datum"
LEAST_SPAN_S = 25.6 * 3600
"""Below this, no record tells the daily from the half-daily tide (`forecast.tide.select_constituents`)."""
_STEP_NS = 360_000_000_000
_MOST_SPAN_NS = 190 * 240 * _STEP_NS
_NOT_ENOUGH = "Not enough data yet for a tide prediction: it needs 25.6 h of good levels, and there are {:.1f} h."
_SHOWN_S = (3 * 86_400, 86_400)
_KEEP_S = 120.0

Values = npt.NDArray[np.float64]
Positions = Mapping[str, tuple[float, float]]


@dataclass(frozen=True, eq=False)
class GaugeTide:
    """Observed and predicted level of one gauge, m, and the next turns of the tide. `note` says on what it rests, or
    why there is no prediction; `predicted` is empty then."""

    note: str
    time: Times
    observed: Values
    predicted_time: Times
    predicted: Values
    turns: TideExtremes | None = None


class Tides:
    """The tides of all gauges of the archive, fitted together from one snapshot, and again after two minutes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._model: TideModel | None = None
        self._fitted_s = float("-inf")

    def of(self, archive: DuckDBStore, stream: Stream, positions: Positions, now_ns: int) -> GaugeTide:
        """The tide of a gauge. `positions` are latitude and longitude of the platforms that stay."""
        with self._lock:
            if time.monotonic() - self._fitted_s > _KEEP_S:
                self._model = fit_gauges(archive, positions, now_ns)
                self._fitted_s = time.monotonic()
            model = self._model
        return gauge_tide(archive, stream, model, now_ns)


def fit_gauges(archive: DuckDBStore, positions: Positions, now_ns: int) -> TideModel | None:
    """The tides of all gauges that the archive knows, from a snapshot of six-minute levels; None where it knows
    none."""
    gauges = [stream for stream in archive.streams() if stream.parameter == LEVEL]
    if not gauges:
        return None
    end_ns = now_ns // _STEP_NS * _STEP_NS
    levels = snapshot(archive, gauges, end_ns - _MOST_SPAN_NS, end_ns, _STEP_NS / 1e9, positions=positions)
    return fit_snapshot(levels, LEVEL)


def gauge_tide(archive: DuckDBStore, stream: Stream, model: TideModel | None, now_ns: int) -> GaugeTide:
    """What was observed of late at one gauge, and what the model of all says of it."""
    shown_ns = [int(s * 1e9) for s in _SHOWN_S]
    observed = _good_levels(archive, stream, now_ns - shown_ns[0], now_ns)
    none = np.empty(0, np.int64), np.empty(0)
    name = f"{stream.platform}/{stream.instrument}"
    at = model.ids.index(name) if model is not None and name in model.ids else None
    span_s = 0.0 if model is None or at is None else float(np.nan_to_num(model.span_s[at]))
    if model is None or at is None or (span_s == 0.0 and not len(observed[0])):
        return GaugeTide(_NOT_ENOUGH.format(0.0), *observed, *none)
    if not model.samples[at] and len(observed[0]):
        return GaugeTide("No tide prediction: the position of the gauge is not known.", *observed, *none)
    if span_s < LEAST_SPAN_S:
        return GaugeTide(_NOT_ENOUGH.format(span_s / 3600), *observed, *none)
    fitted = int(np.isfinite(model.amplitude[at]).sum())
    if not fitted:
        return GaugeTide("No tide prediction: the record has too many gaps to tell its tides apart.", *observed, *none)
    start_ns = (now_ns - shown_ns[0]) // _STEP_NS * _STEP_NS
    ahead = start_ns + np.arange(sum(shown_ns) // _STEP_NS + 1, dtype=np.int64) * _STEP_NS
    predicted = predict(model, ahead)[at]
    note = (
        f"{fitted} constituents fitted to {span_s / 86_400:.1f} d of levels; what they leave has an"
        f" rms of {100 * float(model.rmse[at]):.1f} cm."
    )
    return GaugeTide(note, *observed, ahead, predicted, extremes(ahead, predicted[None, :]))


def _good_levels(archive: DuckDBStore, stream: Stream, start_ns: int, end_ns: int) -> tuple[Times, Values]:
    """Levels that neither failed nor are suspect or missing."""
    good = [
        (series.time[rows], series.value[rows])
        for series in archive.read([stream], start_ns, end_ns + 1)
        if series.form.unit == "m" and series.form.cells is None
        for rows in [(series.flag <= Flag.NOT_EVALUATED) & np.isfinite(series.value)]
    ]
    if not good:
        return np.empty(0, np.int64), np.empty(0)
    times, levels = zip(*good, strict=True)
    return np.concatenate(times), np.concatenate(levels)
