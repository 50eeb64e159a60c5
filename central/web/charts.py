"""Traces, profiles and tides as options of ECharts: pure functions of arrays, with no more points than a screen shows.

Colours are named, not fixed: `":color": "tg('--trace')"` is looked up in the browser, so that charts follow its light
and dark. Where flags are drawn, shape and colour both tell them apart.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from central.changes import Flag, Flags
from tidegate.frame import Cells, Times

MOST_POINTS = 600
_MOST_MARKS = 300
_MOST_COLUMNS = 240
_MS = 1_000_000

Values = npt.NDArray[np.float64]
Options = dict[str, Any]

_TIMES = {
    "month": "{d} {MMM}",
    "day": "{d} {MMM}",
    "hour": "{HH}:{mm}",
    "minute": "{HH}:{mm}",
    "second": "{HH}:{mm}:{ss}",
}

_MARKS = (
    (Flag.NOT_EVALUATED, "2 not evaluated", "emptyCircle", 4, "--not_evaluated"),
    (Flag.SUSPECT, "3 suspect", "triangle", 9, "--suspect"),
    (Flag.FAIL, "4 fail", "diamond", 10, "--fail"),
)

# Crameri's and cividis-like ramps, told apart by lightness alone.
_SPEED = ["#00224e", "#35456c", "#666970", "#948e77", "#c8b866", "#fee838"]
_SIGNED = ["#2b4c8c", "#6f93c9", "#c9d6ea", "#f2efe9", "#efcdb0", "#cf8a55", "#8c4a17"]


def thin(values: Values, most: int = MOST_POINTS) -> npt.NDArray[np.int64]:
    """Indices that draw a series (n,) as well as all of it would: of equal stretches the first, least and greatest, and
    of every run of missing values the first."""
    n = len(values)
    if n <= most:
        return np.arange(n)
    width = -(-3 * n // most)
    rows = -(-n // width)
    padded = np.full(rows * width, np.nan)
    padded[:n] = values
    grid = padded.reshape(rows, width)
    start = np.arange(rows) * width
    low = start + np.argmin(np.where(np.isnan(grid), np.inf, grid), axis=1)
    high = start + np.argmax(np.where(np.isnan(grid), -np.inf, grid), axis=1)
    missing = np.isnan(values)
    holes = np.flatnonzero(missing[1:] & ~missing[:-1]) + 1
    kept = np.unique(np.concatenate([start, low, high, holes, [n - 1]]))
    return kept[kept < n]


def trace(
    time: Times, values: Values, flags: Flags, *, decimals: int, interval_s: float | None,
    start_ns: int, end_ns: int,
) -> Options:  # fmt: skip
    """One parameter against time: a line that breaks where samples are missing, and a mark for each flag but a pass."""
    kept = thin(values)
    line = _pairs(time, values, kept, decimals)
    # A line across time in which nothing was measured would show what nobody saw.
    alone = kept[:0]
    if interval_s and len(kept):
        broken = np.diff(time[kept]) > _break_ns(time, kept, interval_s)
        alone = kept[np.append(True, broken) & np.append(broken, True)]
        for at in np.flatnonzero(broken)[::-1].tolist():
            line.insert(at + 1, [int(time[kept[at]]) // _MS + 1, None])
    series: list[Options] = [_line("value", line, "--trace")]
    if len(alone):  # a line of one point shows nothing
        series.append(
            {
                "name": "value", "type": "scatter", "symbol": "circle", "symbolSize": 4, "z": 2,
                "data": _pairs(time, values, alone, decimals), "itemStyle": {":color": "tg('--trace')"},
            }
        )  # fmt: skip
    for flag, name, symbol, size, colour in _MARKS:
        marked = np.flatnonzero((flags == flag) & np.isfinite(values))
        marked = marked[:: max(-(-len(marked) // (_MOST_MARKS if flag != Flag.NOT_EVALUATED else 60)), 1)]
        series.append(
            {
                "name": name, "type": "scatter", "symbol": symbol, "symbolSize": size, "z": 3 + int(flag),
                "data": _pairs(time, values, marked, decimals), "itemStyle": {":color": f"tg('{colour}')"},
            }
        )  # fmt: skip
    missing = np.flatnonzero(flags == Flag.MISSING)
    missing = missing[:: max(-(-len(missing) // _MOST_MARKS), 1)]
    series.append(
        {
            "name": "9 missing", "type": "scatter", "symbol": "rect", "symbolSize": [2, 7], "yAxisIndex": 1,
            "data": [[t // _MS, 0] for t in time[missing].tolist()], "itemStyle": {":color": "tg('--ink-3')"},
            "tooltip": {"show": False},
        }
    )  # fmt: skip
    return {
        **_frame(start_ns, end_ns),
        "yAxis": [_axis(), {"type": "value", "min": 0, "max": 1, "show": False}],
        "series": series,
    }


def _break_ns(time: Times, kept: npt.NDArray[np.int64], interval_s: float) -> npt.NDArray[np.float64]:
    """Longest step between kept points that still is one stretch of samples."""
    return (np.diff(kept) + 2.0) * interval_s * 1e9


def heat(
    time: Times, values: Values, cells: Cells, *, signed: bool, interval_s: float | None, start_ns: int, end_ns: int
) -> Options:
    """A profile against time: values (n, cells) as colours, the transducer below where the instrument looks up. Of
    samples that fall into one column the last is shown; a column without any stays empty."""
    step_ns = max(round((interval_s or 0) * 1e9), -(-(end_ns - start_ns) // _MOST_COLUMNS), 1)
    columns = (end_ns - start_ns) // step_ns + 1
    at = (time - start_ns) // step_ns
    last = np.append(at[1:] != at[:-1], True) if len(at) else np.zeros(0, np.bool_)
    at, shown = at[last], values[last]
    distance = distances(cells)
    finite = np.abs(shown[np.isfinite(shown)])
    most = float(np.percentile(finite, 99)) if len(finite) else 1.0
    data = [
        [int(at[i]), int(j), round(float(shown[i, j]), 3)] for i, j in zip(*np.nonzero(np.isfinite(shown)), strict=True)
    ]
    labels = [hour_minute(start_ns + (k + 1) * step_ns) for k in range(columns)]
    return {
        "animation": False,
        "grid": {"left": 48, "right": 76, "top": 20, "bottom": 26},
        "tooltip": {**_tooltip(), "trigger": "item"},
        "xAxis": {
            "type": "category", "data": labels, "axisTick": {"show": False}, "axisLine": {"show": False},
            "axisLabel": {**_label(), "hideOverlap": True},
        },
        "yAxis": {
            "type": "category", "data": [f"{d:g}" for d in distance.tolist()], "inverse": cells.upward is False,
            "axisTick": {"show": False}, "axisLine": {"show": False},
            "axisLabel": {**_label(), "interval": max(cells.count // 7, 1) - 1},
            "name": "m", "nameLocation": "end", "nameGap": 4, "nameTextStyle": _label(),
        },
        "visualMap": {
            "min": -most if signed else 0, "max": most, "calculable": False, "orient": "vertical", "right": 2,
            "top": "middle", "itemHeight": 150, "itemWidth": 10, "precision": 2,
            "text": [f"{most:.2f}", f"{-most if signed else 0:.2f}"], "textStyle": _label(),
            "inRange": {"color": _SIGNED if signed else _SPEED},
        },
        "series": [{"type": "heatmap", "data": data, "progressive": 0, "name": "profile"}],
    }  # fmt: skip


def profile(lines: Sequence[tuple[str, str, Values]], cells: Cells) -> Options:
    """The newest profile: (name, colour, values (cells,)) against the distance from the transducer."""
    distance = distances(cells).tolist()
    return {
        "animation": False,
        "grid": {"left": 40, "right": 14, "top": 28, "bottom": 26},
        "legend": {"top": 0, "left": 34, "itemWidth": 16, "itemHeight": 2, "icon": "rect", "textStyle": _label()},
        "tooltip": {**_tooltip(), "trigger": "item"},
        "xAxis": _axis(),
        "yAxis": {
            "type": "value", "min": 0, "inverse": cells.upward is False,
            "axisLine": {"show": False, "onZero": False}, "axisTick": {"show": False},
            "axisLabel": _label(), "splitLine": _rule(),
            "name": "m", "nameLocation": "end", "nameGap": 4, "nameTextStyle": _label(),
        },
        "series": [
            {
                **_line(name, [[_rounded(v, 3), d] for v, d in zip(values.tolist(), distance, strict=True)], colour),
                "showSymbol": True, "symbol": symbol, "symbolSize": 4,
            }
            for (name, colour, values), symbol in zip(lines, ("circle", "rect", "triangle"), strict=False)
        ],
    }  # fmt: skip


def tide(
    time: Times, observed: Values, predicted_time: Times, predicted: Values, *, now_ns: int
) -> tuple[Options, Options]:
    """(observed and predicted level, residual) against time; the prediction goes on beyond now."""
    start_ns, end_ns = int(predicted_time[0]), int(predicted_time[-1])
    # Where nothing was measured for half an hour no line is drawn.
    holes = np.flatnonzero(np.diff(time) > 1_800_000_000_000) + 1
    time = np.insert(time, holes, time[holes] - 1)
    observed = np.insert(observed, holes, np.nan)
    kept = thin(observed)
    residual = observed - np.interp(time, predicted_time, predicted)
    now = {
        "silent": True, "symbol": "none", "label": {"formatter": "now", "position": "insideEndTop", **_label()},
        "lineStyle": {":color": "tg('--ink-3')", "type": "solid", "width": 1}, "data": [{"xAxis": now_ns // _MS}],
    }  # fmt: skip
    every = thin(predicted)
    level = {
        **_frame(start_ns, end_ns),
        "grid": {"left": 48, "right": 14, "top": 30, "bottom": 24},
        "legend": {"top": 0, "left": 42, "itemWidth": 18, "itemHeight": 2, "textStyle": _label()},
        "yAxis": _axis(),
        "series": [
            {
                **_line("predicted tide", _pairs(predicted_time, predicted, every, 3), "--trace-2"),
                "lineStyle": {":color": "tg('--trace-2')", "width": 1.5, "type": "dashed"}, "markLine": now,
            },
            _line("observed", _pairs(time, observed, kept, 3), "--trace"),
        ],
    }  # fmt: skip
    rest = thin(residual)
    return level, {
        **_frame(start_ns, end_ns),
        "yAxis": _axis(),
        "series": [
            {
                **_line("observed minus predicted", _pairs(time, residual, rest, 3), "--trace"),
                "areaStyle": {":color": "tg('--trace')", "opacity": 0.12},
            }
        ],
    }


def distances(cells: Cells) -> Values:
    """Distance of the middle of each cell from the transducer, m."""
    return np.asarray(cells.first_m + np.arange(cells.count) * cells.size_m, np.float64)


def _frame(start_ns: int, end_ns: int) -> Options:
    return {
        "animation": False,
        "useUTC": True,
        "grid": {"left": 48, "right": 14, "top": 14, "bottom": 24},
        "tooltip": {**_tooltip(), "trigger": "axis", "axisPointer": {"type": "line", "snap": True}},
        "xAxis": {
            "type": "time", "min": start_ns // _MS, "max": end_ns // _MS, "axisLine": {"show": False},
            "axisTick": {"show": False}, "splitNumber": 6,
            "axisLabel": {**_label(), "hideOverlap": True, "formatter": _TIMES},
        },
    }  # fmt: skip


def _axis() -> Options:
    return {"type": "value", "scale": True, "splitNumber": 3, "axisLabel": _label(), "splitLine": _rule()}


def _tooltip() -> Options:
    return {
        "confine": True, ":backgroundColor": "tg('--card')", ":borderColor": "tg('--line')",
        "textStyle": {":color": "tg('--ink')", "fontSize": 12},
    }  # fmt: skip


def _label() -> Options:
    return {":color": "tg('--ink-2')", "fontSize": 11}


def _rule() -> Options:
    return {"lineStyle": {":color": "tg('--line')"}}


def _line(name: str, data: list[list[Any]], colour: str) -> Options:
    return {
        "name": name, "type": "line", "data": data, "showSymbol": False, "symbolSize": 4,
        "lineStyle": {":color": f"tg('{colour}')", "width": 1.3}, "itemStyle": {":color": f"tg('{colour}')"},
    }  # fmt: skip


def _pairs(time: Times, values: Values, rows: npt.NDArray[np.int64], decimals: int) -> list[list[Any]]:
    return [[t // _MS, _rounded(v, decimals)] for t, v in zip(time[rows].tolist(), values[rows].tolist(), strict=True)]


def _rounded(value: float, decimals: int) -> float | None:
    return round(value, decimals) if np.isfinite(value) else None


def hour_minute(utc_ns: int) -> str:
    """The time of day, UTC."""
    seconds = utc_ns // 1_000_000_000 % 86_400
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}"
