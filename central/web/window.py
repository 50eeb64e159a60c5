"""The newest samples of every instrument, in memory: what the page draws and health is judged by.

A view of the change log like every other, only that it keeps nothing on disk: after a start it is filled again from the
end of the log. Samples of one instrument are rows, in order of time, each time once; the columns of all its parameters
(of a profile one for each cell) stand side by side. At most `MOST_ROWS` rows and `MOST_VALUES` values are kept of each
instrument, so memory is bounded by the number of instruments and not by their cadence.
"""

import logging
import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from central.changes import Change, ChangeLog, Flags, Op, Stages
from central.store import Batch
from tidegate.clock import NAT
from tidegate.codec import CodecError
from tidegate.frame import Frame, Schema, Times

_log = logging.getLogger(__name__)

MOST_ROWS = 8192
MOST_VALUES = 1 << 18
_LEARN_FROM = 10
REPLAY = 20_000
"""Changes at the end of the log that fill the window at a start."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Recent:
    """Newest samples of one instrument in one schema, oldest first: n rows, one column for each value of a sample.

    `time` int64 ns UTC (n,); `values` float64 (n, columns), NaN where missing; `flags` uint8 (n, columns); `stages`
    int64 ns (n, 4): made, received, journaled, processed, 0 where nobody noted it.
    """

    schema: Schema
    time: Times
    values: Values
    flags: Flags
    stages: npt.NDArray[np.int64]

    def column(self, name: str) -> tuple[Values, Flags]:
        """Values and flags of one parameter: (n,), or (n, cells) where it is a profile."""
        at = 0
        for f in self.schema.fields:
            width = self.schema.width(f)
            if f.name == name:
                part = slice(at, at + width)
                values, flags = self.values[:, part], self.flags[:, part]
                return (values, flags) if f.profile else (values[:, 0], flags[:, 0])
            at += width
        raise KeyError(name)


class Window:
    """The window over all instruments. One thread writes, any others read; reads are copies."""

    name = "page"

    def __init__(self, *, most_rows: int = MOST_ROWS, most_values: int = MOST_VALUES) -> None:
        self._most_rows, self._most_values = most_rows, most_values
        self._lock = threading.Lock()
        self._rings: dict[tuple[str, str], dict[bytes, _Ring]] = {}
        self._newest: dict[tuple[str, str], bytes] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.cursor = 0
        self.error = ""

    def write(self, batch: Batch) -> None:
        """Take a batch of changes. One that comes again leaves the same state."""
        with self._lock:
            for cursor, change in batch:
                self._take(change)
                self.cursor = max(self.cursor, cursor)

    def follow(self, log: ChangeLog) -> None:
        """Follow the log in a thread of its own until `close`."""
        self.cursor = max(log.first - 1, log.last - REPLAY, 0)
        self._thread = threading.Thread(target=self._follow, args=(log,), name="page window", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop following."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(5)

    def recent(self, platform: str, instrument: str, start_ns: int = NAT) -> list[Recent]:
        """The samples from `start_ns` on, one `Recent` for each schema that has some: one may speak in several
        at a time, as a ship's receiver does. Of one that has none since then, the schema that came last."""
        key = (platform, instrument)
        with self._lock:
            rings = self._rings.get(key, {})
            own = [ring for ring in rings.values() if ring.n and ring.time[ring.n - 1] >= start_ns]
            if not own and key in self._newest:
                own = [rings[self._newest[key]]]
            return [ring.read(start_ns) for ring in sorted(own, key=lambda ring: (ring.schema.kind, ring.schema.id))]

    def oldest_ns(self, platform: str, instrument: str) -> int | None:
        """The time of the oldest sample that is held."""
        with self._lock:
            rings = self._rings.get((platform, instrument), {}).values()
            return min((int(ring.time[0]) for ring in rings if ring.n), default=None)

    def version(self, platform: str, instrument: str, schema: Schema) -> int:
        """A number that rises with each change to the samples of a schema."""
        with self._lock:
            ring = self._rings.get((platform, instrument), {}).get(schema.id)
            return 0 if ring is None else ring.version

    def cadence_s(self, platform: str, instrument: str, schema: Schema) -> float | None:
        """How far apart its newest samples of a schema are, the median of up to 200; None where they are too few to
        say."""
        with self._lock:
            ring = self._rings.get((platform, instrument), {}).get(schema.id)
            if ring is None or ring.n < _LEARN_FROM:
                return None
            steps = np.diff(ring.time[max(ring.n - 200, 0) : ring.n])
        return round(float(np.median(steps)) / 1e9, 3) or None

    def _follow(self, log: ChangeLog) -> None:
        while not self._stop.is_set():
            if not log.block(self.cursor, 0.5):
                continue
            batch = []
            try:
                for entry in log.read(self.cursor, limit=1000):
                    batch.append(entry)
            except CodecError as error:
                # The page must not go blind for one record; the stores stop at it, and the page shows that.
                self.error = str(error)
                _log.error("the page leaves out what cannot be read: %s", error)
                self.cursor = max([self.cursor, *(cursor for cursor, _ in batch)]) + 1
            self.write(batch)

    def _take(self, change: Change) -> None:
        frame = change.frame
        if not len(frame):
            return
        key = (change.platform, frame.instrument)
        rings = self._rings.setdefault(key, {})
        ring = rings.get(frame.schema.id)
        if ring is None:
            width = sum(frame.schema.width(f) for f in frame.schema.fields)
            most = max(min(self._most_rows, self._most_values // max(width, 1)), 16)
            ring = rings[frame.schema.id] = _Ring(frame.schema, width, most)
        if change.op is Op.INSERT or key not in self._newest:
            self._newest[key] = frame.schema.id
        ring.take(change)


class _Ring:
    """Rows of one instrument in one schema. `time[:n]` ascends strictly."""

    def __init__(self, schema: Schema, width: int, most: int) -> None:
        self.schema = schema
        self.most = most
        self.version = 0
        self.n = 0
        self._allocate(min(64, most), width)

    def _allocate(self, rows: int, width: int) -> None:
        self.time = np.empty(rows, np.int64)
        self.values = np.empty((rows, width))
        self.flags = np.empty((rows, width), np.uint8)
        self.stages = np.empty((rows, 4), np.int64)

    def read(self, start_ns: int) -> Recent:
        rows = slice(int(np.searchsorted(self.time[: self.n], start_ns)), self.n)
        return Recent(
            self.schema,
            self.time[rows].copy(),
            self.values[rows].copy(),
            self.flags[rows].copy(),
            self.stages[rows].copy(),
        )

    def take(self, change: Change) -> None:
        frame = change.frame
        self.version += 1
        if change.op is Op.RETRACT:
            keep = ~np.isin(self.time[: self.n], frame.time)
            self._set(*(part[: self.n][keep] for part in self._parts()))
            return
        block = (frame.time, _values(frame), _flags(change), _stages(change.stages, len(frame)))
        ascending = bool((np.diff(frame.time) > 0).all())
        if ascending and (not self.n or frame.time[0] > self.time[self.n - 1]):
            self._append(*block)
        else:
            self._merge(*block)

    def _append(self, *block: npt.NDArray[np.generic]) -> None:
        block = tuple(part[-self.most :] for part in block)
        end = self.n + len(block[0])
        if end > len(self.time):
            if len(self.time) < self.most:
                old = [part[: self.n] for part in self._parts()]
                self._allocate(min(max(2 * len(self.time), end), self.most), self.values.shape[1])
                for part, kept in zip(self._parts(), old, strict=True):
                    part[: self.n] = kept
            if end > len(self.time):
                # A quarter goes at once, so that a row costs the same however full the ring is.
                keep = min(self.n, self.most - max(len(block[0]), self.most // 4))
                for part in self._parts():
                    part[:keep] = part[self.n - keep : self.n].copy()
                self.n = keep
        end = self.n + len(block[0])
        for part, new in zip(self._parts(), block, strict=True):
            part[self.n : end] = new
        self.n = end

    def _merge(self, *block: npt.NDArray[np.generic]) -> None:
        """The block's values and flags stand for those of the same time; when a sample first came is kept."""
        both = [np.concatenate([part[: self.n], new]) for part, new in zip(self._parts(), block, strict=True)]
        order = np.argsort(both[0], kind="stable")
        time = both[0][order]
        last = np.append(time[1:] != time[:-1], True)
        first = np.append(True, time[1:] != time[:-1])
        kept = order[last]
        self._set(both[0][kept], both[1][kept], both[2][kept], both[3][order[first]])

    def _set(self, *parts: npt.NDArray[np.generic]) -> None:
        n = len(parts[0])
        if n > len(self.time):
            self._allocate(min(max(2 * len(self.time), n), self.most), self.values.shape[1])
        self.n = min(n, len(self.time))
        for part, new in zip(self._parts(), parts, strict=True):
            part[: self.n] = new[n - self.n :]

    def _parts(self) -> tuple[npt.NDArray[np.generic], ...]:
        return self.time, self.values, self.flags, self.stages


def _values(frame: Frame) -> Values:
    parts = []
    for f in frame.schema.fields:
        column = np.where(frame.missing(f.name) != 0, np.nan, frame.columns[f.name].astype(np.float64))
        parts.append(column.reshape(len(frame), frame.schema.width(f)))
    return np.hstack(parts) if parts else np.empty((len(frame), 0))


def _flags(change: Change) -> Flags:
    schema = change.frame.schema
    parts = [change.flags[f.name].reshape(len(change.frame), schema.width(f)) for f in schema.fields]
    return np.hstack(parts) if parts else np.empty((len(change.frame), 0), np.uint8)


def _stages(stages: Stages, n: int) -> npt.NDArray[np.int64]:
    row = np.array([stages.made_ns, stages.received_ns, stages.journaled_ns, stages.processed_ns], np.int64)
    return np.broadcast_to(row, (n, 4))
