"""The tide at a gauge for its page: fitted to what the archive holds, predicted across now, and kept for a while."""

import threading
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from central.changes import Flag
from central.forecast.tide import TideExtremes, extremes, fit, predict
from central.store import Stream
from central.store.duckdb import DuckDBStore
from tidegate.frame import Times

LEVEL = "water_surface_height_above_reference_datum"
LEAST_SPAN_S = 25.6 * 3600
"""Below this, no record tells the daily from the half-daily tide (`forecast.tide.select_constituents`)."""
_MOST_SPAN_S = 190 * 86_400
_STEP_NS = 360_000_000_000
_SHOWN_S = (3 * 86_400, 86_400)
_KEEP_S = 120.0

Values = npt.NDArray[np.float64]


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
    """The tides of all gauges that somebody looks at."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[Stream, tuple[float, GaugeTide]] = {}

    def of(self, archive: DuckDBStore, stream: Stream, latitude: float | None, now_ns: int) -> GaugeTide:
        """The tide of a gauge, at most two minutes old."""
        with self._lock:
            kept = self._kept.get(stream)
            if kept is None or time.monotonic() - kept[0] > _KEEP_S:
                kept = self._kept[stream] = time.monotonic(), gauge_tide(archive, stream, latitude, now_ns)
            return kept[1]


def gauge_tide(archive: DuckDBStore, stream: Stream, latitude: float | None, now_ns: int) -> GaugeTide:
    """Fit and predict. Levels that failed, are suspect or missing have no part in it; of samples closer than six
    minutes, one of each six minutes has."""
    found = archive.read([stream], now_ns - int(_MOST_SPAN_S * 1e9), now_ns + 1)
    good = [
        (series.time[rows], series.value[rows])
        for series in found
        if series.form.unit == "m" and series.form.cells is None
        for rows in [(series.flag <= Flag.NOT_EVALUATED) & np.isfinite(series.value)]
    ]
    none = np.empty(0, np.int64), np.empty(0)
    at, level = (np.concatenate(parts) for parts in zip(*good, strict=True)) if good else none
    recent = at >= now_ns - int(_SHOWN_S[0] * 1e9)
    observed = at[recent], level[recent]
    if latitude is None:
        return GaugeTide("No tide prediction: the position of the gauge is not known.", *observed, *none)
    span_s = (int(at[-1]) - int(at[0])) / 1e9 if len(at) else 0.0
    if span_s < LEAST_SPAN_S:
        return GaugeTide(
            "Not enough data yet for a tide prediction: it needs 25.6 h of good levels, and there are"
            f" {span_s / 3600:.1f} h.",
            *observed,
            *none,
        )  # fmt: skip
    slot = at // _STEP_NS
    one = np.append(True, slot[1:] != slot[:-1])
    model = fit(at[one], level[one][None, :], [latitude], ["/".join(stream)], infer=True)
    if not model.constituents:
        return GaugeTide("No tide prediction: the record has too many gaps to tell its tides apart.", *observed, *none)
    start_ns = (now_ns - int(_SHOWN_S[0] * 1e9)) // _STEP_NS * _STEP_NS
    ahead = start_ns + np.arange(int(sum(_SHOWN_S) * 1e9) // _STEP_NS + 1, dtype=np.int64) * _STEP_NS
    predicted = predict(model, ahead)
    note = (
        f"{len(model.constituents)} constituents fitted to {span_s / 86_400:.1f} d of levels; what they leave has an"
        f" rms of {100 * float(model.rmse[0]):.1f} cm."
    )
    return GaugeTide(note, *observed, ahead, predicted[0], extremes(ahead, predicted))
