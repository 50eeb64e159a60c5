"""Streaming quality control that gives the flags of a batch run: a pure function of history and block.

`qc(history, block, limits)` puts a block's samples into the history in order of time, judges every sample whose
surroundings have changed, and returns what is new (inserts) and what is now known better (corrections: a spike test
that waited for the next sample, a late sample's neighbours) together with the next history. A sample's flags depend
on the samples right before and after it and, for the flat line, on those of the flat-line time before it; so only
those are looked at, and the history need not be long. How much lateness it bears is `HISTORY_VALUES`; what comes
later still is judged with the samples it came with.

All parameters of an instrument, and all cells of a profile, are columns of one matrix and judged together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from central.changes import Op
from central.qc import tests
from central.qc.settings import QcTable, thresholds
from tidegate.clock import NAT
from tidegate.frame import Frame, Schema, concatenate

Flags = npt.NDArray[np.uint8]
Judged = tuple[Op, str, Frame, dict[str, Flags]]

HISTORY_VALUES = 200_000
"""Values kept of an instrument: 14 hours of a CTD with four parameters at 1 Hz."""
_HISTORY_ROWS = 64


@dataclass(frozen=True, slots=True)
class Limits:
    """Thresholds of all columns of an instrument as arrays (columns,), NaN where not set; and the times they look
    back."""

    gross_fail: npt.NDArray[np.float64]
    gross_suspect: npt.NDArray[np.float64]
    spike: npt.NDArray[np.float64]
    rate: npt.NDArray[np.float64]
    flat_s: npt.NDArray[np.float64]
    tolerance: npt.NDArray[np.float64]
    gap_s: float
    flat_back_s: float


def limits(tables: Sequence[QcTable], platform: str, instrument: str, schema: Schema) -> Limits:
    """The limits of an instrument's columns, profile cells one after the other."""
    rows: list[list[float]] = []
    gap_s = 0.0
    nothing = (np.nan, np.nan)
    for f in schema.fields:
        t = thresholds(tables, platform, instrument, f.name)
        row = [
            *(t.gross_range_fail or nothing),
            *(t.gross_range_suspect or nothing),
            *(t.spike or nothing),
            t.rate_of_change or np.nan,
            *(t.flat_line_s or nothing),
            f.resolution / 2,
        ]
        rows += [row] * schema.width(f)
        gap_s = max(gap_s, t.gap_s or 0.0)
    table = np.array(rows, np.float64).reshape(-1, 10).T
    flat = table[7:9]
    flat_back_s = float(np.nanmax(flat)) if np.isfinite(flat).any() else 0.0
    return Limits(table[0:2], table[2:4], table[4:6], table[6], flat, table[9], gap_s, flat_back_s)


@dataclass(frozen=True, slots=True)
class History:
    """The newest samples of one instrument: `time` (h,), `values` and `flags` (h, columns)."""

    time: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    flags: Flags


def empty(columns: int) -> History:
    """No history yet."""
    return History(np.zeros(0, np.int64), np.zeros((0, columns)), np.zeros((0, columns), np.uint8))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one block changed: the stretch of the series around it, and what happened to each row of the stretch."""

    time: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    flags: Flags
    inserted: npt.NDArray[np.bool_]
    corrected: npt.NDArray[np.bool_]


def qc(
    history: History, time: npt.NDArray[np.int64], values: npt.NDArray[np.float64], lim: Limits
) -> tuple[Outcome, History]:
    """Judges a block (time (n,), n > 0, strictly rising; values (n, columns)) against history; see the module's text.

    A sample whose time the history already has takes the place of the one there: a correction.
    """
    series, known, new, replaced = _merge(history, time, values)
    # Rows whose flags the block can change: its own, one to either side, and for the flat line what follows.
    first = max(int(new[0]) - 1, 0)
    following = min(int(new[-1]) + 1, len(series.time) - 1)
    reach_ns = series.time[following] + int(lim.flat_back_s * 1e9)
    end = min(max(int(np.searchsorted(series.time, reach_ns, "right")), int(new[-1]) + 2), len(series.time))
    # What they must see: one row more to either side, and the whole flat-line time before.
    back_ns = series.time[first] - int(lim.flat_back_s * 1e9)
    start = max(min(int(np.searchsorted(series.time, back_ns, "right")) - 1, first - 1), 0)
    seen = slice(start, min(end + 1, len(series.time)))
    stretch = slice(first, end)
    flags = judge(series.time[seen], series.values[seen], lim)[first - start : end - start]
    if first == 0 and known[0] and new[0] > 0 and len(history.time):
        # The oldest sample kept has lost what came before it: its flags stand.
        flags[0] = series.flags[0]
    changed = (flags != series.flags[stretch]).any(axis=1)
    series.flags[stretch] = flags
    was = known[stretch]
    outcome = Outcome(series.time[stretch], series.values[stretch], flags, ~was, was & (changed | replaced[stretch]))
    return outcome, _trimmed(series, lim)


def _merge(
    history: History, time: npt.NDArray[np.int64], values: npt.NDArray[np.float64]
) -> tuple[History, npt.NDArray[np.bool_], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """(series, which rows the history had, rows of the block, rows whose values the block replaced)."""
    if not len(history.time) or time[0] > history.time[-1]:
        h, n = len(history.time), len(time)
        series = History(
            np.concatenate([history.time, time]),
            np.concatenate([history.values, values]),
            np.concatenate([history.flags, np.zeros(values.shape, np.uint8)]),
        )
        known = np.arange(h + n) < h
        return series, known, np.arange(h, h + n), np.zeros(h + n, np.bool_)
    merged = np.union1d(history.time, time)
    old, new = np.searchsorted(merged, history.time), np.searchsorted(merged, time)
    series = History(
        merged, np.empty((len(merged), values.shape[1])), np.zeros((len(merged), values.shape[1]), np.uint8)
    )
    series.values[old], series.flags[old] = history.values, history.flags
    known, replaced = np.zeros(len(merged), np.bool_), np.zeros(len(merged), np.bool_)
    known[old] = True
    again = new[known[new]]
    theirs = values[known[new]]
    replaced[again] = ~((series.values[again] == theirs) | (np.isnan(series.values[again]) & np.isnan(theirs))).all(
        axis=1
    )
    series.values[new] = values
    return series, known, new, replaced


def _trimmed(series: History, lim: Limits) -> History:
    rows = max(_HISTORY_ROWS, HISTORY_VALUES // max(series.values.shape[1], 1))
    if len(series.time) <= rows + rows // 4:
        return series
    # Never shorter than the flat-line time, which the flags depend on.
    needed_ns = series.time[-1] - int(2 * lim.flat_back_s * 1e9)
    keep = slice(min(len(series.time) - rows, int(np.searchsorted(series.time, needed_ns))), None)
    return History(series.time[keep].copy(), series.values[keep].copy(), series.flags[keep].copy())


def judge(time: npt.NDArray[np.int64], values: npt.NDArray[np.float64], lim: Limits) -> Flags:
    """The aggregate flags of a whole series: the batch run that streaming must equal."""
    return tests.roll_up(
        values,
        tests.gross_range(values, *lim.gross_fail, *lim.gross_suspect),
        tests.spike(time, values, lim.gap_s, *lim.spike),
        tests.rate_of_change(time, values, lim.gap_s, lim.rate),
        tests.flat_line(time, values, lim.gap_s, lim.tolerance, *lim.flat_s),
    )


class Engine:
    """The histories of all instruments, and what to judge them by."""

    def __init__(self, tables: Sequence[QcTable] = ()) -> None:
        self._tables = tuple(tables)
        self._streams: dict[tuple[str, str, bytes], tuple[Limits, History]] = {}
        self.untimed: dict[tuple[str, str], int] = {}
        """Samples without a time, by platform and instrument: they have no place in any series and are not stored."""
        self.doubled: dict[tuple[str, str], int] = {}
        """Samples that came with a time that the same block already had; the last of them counts."""

    def judge(self, blocks: Sequence[tuple[str, Frame]]) -> list[Judged]:
        """Judges Frames in the order of their coming; returns inserts and corrections, with flags of every column."""
        judged: list[Judged] = []
        for platform, frame in _joined(blocks):
            judged += self._judge(platform, self._ordered(platform, frame))
        return judged

    def remember(self, platform: str, frame: Frame, flags: Mapping[str, Flags]) -> None:
        """Takes up what was judged before (at a start, from the change log), so that the series go on where they
        were."""
        if not len(frame):
            return
        key, lim, history = self._stream(platform, frame.schema, frame.instrument)
        order = np.argsort(frame.time, kind="stable")
        time = frame.time[order]
        last = np.append(time[1:] != time[:-1], True)
        rows = order[last]
        series, _, new, _ = _merge(history, frame.time[rows], _matrix(frame)[rows])
        series.flags[new] = _flag_matrix(frame, flags)[rows]
        self._streams[key] = lim, _trimmed(series, lim)

    def _stream(self, platform: str, schema: Schema, instrument: str) -> tuple[tuple[str, str, bytes], Limits, History]:
        key = (platform, instrument, schema.id)
        if key not in self._streams:
            lim = limits(self._tables, platform, instrument, schema)
            self._streams[key] = lim, empty(len(lim.rate))
        return key, *self._streams[key]

    def _ordered(self, platform: str, frame: Frame) -> Frame:
        """The Frame's samples in order of time, each time once."""
        timed = frame.time != NAT
        if not timed.all():
            name = (platform, frame.instrument)
            self.untimed[name] = self.untimed.get(name, 0) + int((~timed).sum())
            frame = frame.take(timed)
        if (np.diff(frame.time) > 0).all():
            return frame
        order = np.argsort(frame.time, kind="stable")
        time = frame.time[order]
        last = np.append(time[1:] != time[:-1], True)
        name = (platform, frame.instrument)
        if not last.all():
            self.doubled[name] = self.doubled.get(name, 0) + int((~last).sum())
        return frame.take(order[last])

    def _judge(self, platform: str, frame: Frame) -> list[Judged]:
        if not len(frame):
            return []
        key, lim, history = self._stream(platform, frame.schema, frame.instrument)
        outcome, following = qc(history, frame.time, _matrix(frame), lim)
        self._streams[key] = lim, following
        judged: list[Judged] = []
        at = np.searchsorted(outcome.time, frame.time)
        for op, rows in ((Op.INSERT, outcome.inserted), (Op.CORRECT, outcome.corrected)):
            came = rows[at]
            if came.any():
                judged.append((op, platform, frame.take(came), _by_name(frame.schema, outcome.flags[at[came]])))
        rows = outcome.corrected.copy()
        rows[at] = False
        if rows.any():
            earlier = _frame_of(frame, outcome.time[rows], outcome.values[rows])
            judged.append((Op.CORRECT, platform, earlier, _by_name(frame.schema, outcome.flags[rows])))
        return judged


def _joined(blocks: Sequence[tuple[str, Frame]]) -> list[tuple[str, Frame]]:
    """Frames of one instrument that follow each other are judged as one; the order within an instrument stays."""
    groups: list[tuple[str, list[Frame]]] = []
    open_groups: dict[tuple[str, str], list[Frame]] = {}
    for platform, frame in blocks:
        group = open_groups.get((platform, frame.instrument))
        if group and frame.follows(group[-1]) and len(group[-1]) and len(frame) and frame.time[0] > group[-1].time[-1]:
            group.append(frame)
        else:
            group = [frame]
            groups.append((platform, group))
            open_groups[platform, frame.instrument] = group
    return [(platform, concatenate(group)) for platform, group in groups]


def _matrix(frame: Frame) -> npt.NDArray[np.float64]:
    """All columns as float64 (n, columns), NaN where missing."""
    parts = []
    for f in frame.schema.fields:
        column = frame.columns[f.name].astype(np.float64)
        absent = frame.missing(f.name) != 0
        if absent.any():
            column = np.where(absent, np.nan, column)
        parts.append(column.reshape(len(frame), frame.schema.width(f)))
    return np.hstack(parts) if parts else np.zeros((len(frame), 0))


def _flag_matrix(frame: Frame, flags: Mapping[str, Flags]) -> Flags:
    parts = [flags[f.name].reshape(len(frame), frame.schema.width(f)) for f in frame.schema.fields]
    return np.hstack(parts) if parts else np.zeros((len(frame), 0), np.uint8)


def _by_name(schema: Schema, flags: Flags) -> dict[str, Flags]:
    found, at = {}, 0
    for f in schema.fields:
        width = schema.width(f)
        part = flags[:, at : at + width]
        found[f.name] = part if f.profile else part[:, 0]
        at += width
    return found


def _frame_of(like: Frame, time: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> Frame:
    """A Frame of earlier samples, rebuilt from the history: what is missing there has lost its reason to the earlier
    entry."""
    columns, at = {}, 0
    for f in like.schema.fields:
        width = like.schema.width(f)
        part = values[:, at : at + width]
        if f.integer:
            part = np.where(np.isnan(part), float(NAT), part).astype(np.int64)
        columns[f.name] = np.ascontiguousarray(part if f.profile else part[:, 0])
        at += width
    return Frame(like.instrument, like.schema, time, columns, like.source, like.arrival)
