"""What the page draws of one instrument: the newest from memory, and what is older than that from the archive."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from central.changes import Flags
from central.store import Stream
from central.store.duckdb import DuckDBStore
from central.web.window import Recent
from tidegate.frame import Schema, Times


@dataclass(frozen=True, eq=False)
class Track:
    """One parameter: `time` int64 ns (n,), `values` float64 and `flags` uint8 (n,) or (n, cells)."""

    time: Times
    values: npt.NDArray[np.float64]
    flags: Flags


def archived(
    archive: DuckDBStore, platform: str, instrument: str, schema: Schema, start_ns: int, end_ns: int
) -> dict[str, Track]:
    """What the archive has with start_ns <= time < end_ns, of parameters that have the unit and cells of `schema`."""
    fields = schema.by_name
    older = {}
    streams = [Stream(platform, instrument, name) for name in fields]
    for series in archive.read(streams, start_ns, end_ns):
        f = fields[series.stream.parameter]
        if series.form.unit == f.unit and series.form.cells == (schema.cells if f.profile else None):
            older[f.name] = Track(series.time, series.value, series.flag)
    return older


def nothing(schema: Schema) -> Recent:
    """No samples of an instrument that has this schema."""
    width = sum(schema.width(f) for f in schema.fields)
    return Recent(
        schema, np.empty(0, np.int64), np.empty((0, width)), np.empty((0, width), np.uint8), np.empty((0, 4), np.int64)
    )


def tracks(recent: Recent, older: Mapping[str, Track], start_ns: int) -> dict[str, Track]:
    """Every parameter since `start_ns`: what is older, and then what is recent."""
    first = int(np.searchsorted(recent.time, start_ns))
    found = {}
    for f in recent.schema.fields:
        values, flags = recent.column(f.name)
        own = Track(recent.time[first:], values[first:], flags[first:])
        before = older.get(f.name)
        found[f.name] = own if before is None else _joined(before, own)
    return found


def _joined(a: Track, b: Track) -> Track:
    return Track(
        np.concatenate([a.time, b.time]),
        np.concatenate([a.values, b.values]),
        np.concatenate([a.flags, b.flags]),
    )
