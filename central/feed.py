"""The feed: what the hub knows, as arrays for programs. Pure functions over the change log and the archive.

Two questions have an answer here. *What is new?* Changes in long form, a row for each value (`changes_table`), as an
Arrow IPC stream or as NDJSON. *What was the sea like?* A `Snapshot`: for each parameter a dense array of stations by
times, with mask, flags and ages. A sample fills the grid time at or just after it, the last one in (t - step, t];
nothing is interpolated, averaged or filled in. A snapshot depends on nothing but its arguments, and the archive never
forgets what it knew, so the same `as_of` gives the same bytes, this year and next.

**A snapshot as an Arrow IPC stream** (`snapshot_to_arrow`): a record batch for each parameter in alphabetical order,
and in it a row for each station, by platform and instrument in alphabetical order. Columns: `parameter`, `unit`,
`platform`, `instrument`, `latitude`, `longitude`; `cells`, `first_m`, `size_m`, `upward` (the station's cell geometry,
null where it measures at a point); and the lists `value` (float64, NaN where masked), `mask` (bool, true where there is
no value), `flag` (uint8, 9 where masked) and `age_s` (float64, NaN where there was no sample). A list has times x width
values, the cells of one time together; width is the same for all rows of a batch, so that
`np.asarray(batch["value"].values).reshape(stations, times, width)` is the array. The schema's metadata has
`tidegate.snapshot` = `1`, `as_of`, `start_ns`, `step_ns`, `times`, `widths` (JSON: parameter → width, null for scalars)
and `left_out` (JSON). `snapshot_from_arrow` reads it back.

**As NetCDF-4** (`snapshot_to_netcdf`): CF-1.11 discrete sampling geometries; flags and ages are ancillary variables.
"""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import h5netcdf
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from central.changes import Change, Flag, Flags, Op
from central.store import Stream
from central.store.duckdb import DuckDBStore, Series
from tidegate.frame import Cells, Missing, Times
from tidegate.vocabulary import PARAMETERS

Values = npt.NDArray[np.float64]

_TEXT = pa.dictionary(pa.int32(), pa.string())
_TIME = pa.timestamp("ns", "UTC")

CHANGES = pa.schema(
    [
        ("cursor", pa.int64()),
        ("op", _TEXT),
        ("platform", _TEXT),
        ("instrument", _TEXT),
        ("parameter", _TEXT),
        ("unit", _TEXT),
        ("cell", pa.int16()),
        ("time", _TIME),
        ("value", pa.float64()),
        ("flag", pa.uint8()),
        ("reason", _TEXT),
        ("made", _TIME),
        ("received", _TIME),
        ("journaled", _TIME),
        ("processed", _TIME),
        ("epoch", _TEXT),
        ("seq", pa.int64()),
    ]
)
"""Columns of changes in long form. `op` is `insert`, `correct` or `retract`; `cell` counts from 1 at the transducer and
is null for scalars; `value` is null where it is missing, and `reason` says why (`not_given`, `invalid`, …)."""

_OPS = ["", *(op.name.lower() for op in Op)]
_REASONS = ["", *(reason.name.lower() for reason in list(Missing)[1:])]

_JSON_ROWS = 20_000
"""Lines of JSON made at a time, so that the pieces stay in the processor's cache."""

_MOST_CELLS = 1 << 25
"""Of all arrays of a snapshot together; each costs 18 bytes."""


class FeedError(ValueError):
    """A question that has no sensible answer; the message says why."""


# --- changes ----------------------------------------------------------------------------------------------------------


def changes_table(changes: Iterable[tuple[int, Change]]) -> pa.RecordBatch:
    """Changes in long form, columns as `CHANGES`: in order of cursor, then the schema's fields, samples, and cells."""
    texts = {name: _Texts() for name in ("platform", "instrument", "parameter", "unit", "epoch")}
    blocks: list[tuple[int, ...]] = []
    columns: list[tuple[Times, npt.NDArray[np.int16], Values, Flags, npt.NDArray[np.uint8]]] = []
    for cursor, change in changes:
        frame, stages = change.frame, change.stages
        for f in frame.schema.fields:
            width = frame.schema.width(f)
            blocks.append(
                (
                    len(frame) * width,
                    cursor,
                    int(change.op),
                    texts["platform"].number(change.platform),
                    texts["instrument"].number(frame.instrument),
                    texts["parameter"].number(f.name),
                    texts["unit"].number(f.unit),
                    texts["epoch"].number(change.epoch),
                    change.seq,
                    stages.made_ns,
                    stages.received_ns,
                    stages.journaled_ns,
                    stages.processed_ns,
                )
            )
            cells = np.arange(1, width + 1) if f.profile else np.zeros(1)
            columns.append(
                (
                    np.repeat(frame.time, width),
                    np.tile(cells.astype(np.int16), len(frame)),
                    frame.columns[f.name].ravel().astype(np.float64),
                    change.flags[f.name].ravel(),
                    frame.missing(f.name).ravel(),
                )
            )
    if not blocks:
        return pa.RecordBatch.from_pylist([], schema=CHANGES)
    rows, *blockwise = np.array(blocks, np.int64).T
    cursor_, op, platform, instrument, parameter, unit, epoch, seq, *stages_ = (np.repeat(c, rows) for c in blockwise)
    time, cell, value, flag, reason = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    return pa.record_batch(
        [
            pa.array(cursor_),
            _texts(op, _OPS),
            texts["platform"].array(platform),
            texts["instrument"].array(instrument),
            texts["parameter"].array(parameter),
            texts["unit"].array(unit),
            pa.array(cell, mask=cell == 0),
            _timestamps(time),
            pa.array(value, mask=reason != 0),
            pa.array(flag),
            _texts(reason, _REASONS),
            *(_timestamps(stage) for stage in stages_),
            texts["epoch"].array(epoch),
            pa.array(seq),
        ],
        schema=CHANGES,
    )


def to_arrow(batch: pa.RecordBatch) -> bytes:
    """A record batch as an Arrow IPC stream, zstd inside."""
    return _stream(batch.schema, [batch])


def to_ndjson(batch: pa.RecordBatch) -> bytes:
    """A record batch as lines of JSON, a member for each column: times in ISO 8601 with nanoseconds, null for null."""
    return b"".join(_json_lines(batch.slice(at, _JSON_ROWS)) for at in range(0, batch.num_rows, _JSON_ROWS))


def _json_lines(rows: pa.RecordBatch) -> bytes:
    members: list[Any] = []
    for name, column in zip(rows.schema.names, rows.columns, strict=True):
        members += [f"{',' if members else '{'}{json.dumps(name)}:", pc.fill_null(_json(column), "null")]
    _, offsets, content = pc.binary_join_element_wise(*members, "}\n", "").buffers()
    return bytes(content[: int(np.frombuffer(offsets, np.int32)[rows.num_rows])].to_pybytes())


class _Texts:
    """Texts as numbers, in order of first appearance."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        return self._numbers.setdefault(text, len(self._numbers) + 1)

    def array(self, numbers: npt.NDArray[np.int64]) -> pa.DictionaryArray:
        return _texts(numbers, ["", *self._numbers])


def _texts(numbers: npt.NDArray[Any], texts: Sequence[str]) -> pa.DictionaryArray:
    """Numbers into `texts` as a dictionary array; 0 is null."""
    indices = pa.array(numbers.astype(np.int32) - 1, mask=numbers == 0)
    return pa.DictionaryArray.from_arrays(indices, pa.array(texts[1:], pa.string()))


def _timestamps(utc_ns: Times) -> pa.Array:
    # As datetime64 rather than as integers, so that NAT becomes null.
    return pa.array(utc_ns.view("M8[ns]"), _TIME)


def _json(column: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        return pa.array([json.dumps(text) for text in column.dictionary.to_pylist()], pa.string()).take(column.indices)
    if pa.types.is_timestamp(column.type):
        times = column.cast(pa.timestamp("ns")).dictionary_encode()  # most come many times
        text = pc.binary_join_element_wise('"', pc.strftime(times.dictionary, "%Y-%m-%dT%H:%M:%SZ"), '"', "")
        return text.take(times.indices)
    if pa.types.is_floating(column.type):
        return pc.if_else(pc.is_finite(column), pc.cast(column, pa.string()), None)  # JSON has no infinity
    return pc.cast(column, pa.string())


def _stream(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue()


# --- snapshots --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Station:
    """One instrument on its platform. Degrees north and east, NaN where nobody knows.

    Of a platform that moves, where it was last in the snapshot's time; its way is in the parameters `latitude` and
    `longitude` of the instrument that tells it.
    """

    platform: str
    instrument: str
    latitude: float
    longitude: float


@dataclass(frozen=True, eq=False)
class Variable:
    """One parameter at all stations and times: arrays (stations, times), or (stations, times, cells) where any station
    profiles; a station with fewer cells has its own first, one that measures at a point has one.

    `value` float64, NaN where masked; `mask` bool, true where there is no value; `flag` uint8, 9 where masked; `age_s`
    float64, how long before the grid time the sample was taken, NaN where there was none. Where a sample came without
    a value it is masked and has an age. `cells` is the geometry at each station, None at a point.
    """

    name: str
    unit: str
    value: Values
    mask: npt.NDArray[np.bool_]
    flag: Flags
    age_s: Values
    cells: tuple[Cells | None, ...]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Dense arrays of what was known at cursor `as_of`. `time` int64 ns UTC, `step_ns` apart."""

    as_of: int
    time: Times
    step_ns: int
    stations: tuple[Station, ...]
    variables: Mapping[str, Variable]
    left_out: tuple[str, ...]
    """Samples that fit none of the arrays, in words: their unit or their cells are others than the array's."""


def snapshot(
    store: DuckDBStore,
    streams: Iterable[Stream],
    start_ns: int,
    end_ns: int,
    step_s: float,
    as_of: int | None = None,
    *,
    positions: Mapping[str, tuple[float, float]] | None = None,
) -> Snapshot:
    """The streams on the grid start_ns, start_ns + step, … up to end_ns at most, as known at `as_of` (now if None).

    `positions` are latitude and longitude of platforms that stay; of others the archive is asked. Stations and
    parameters are those of `streams`, whether there are samples or not. An array's unit is the vocabulary's, and its
    cells at a station those that the station had last. Raises `FeedError` where the grid is impossible or too large,
    and `StoreError` where the archive has not come to `as_of` yet.
    """
    wanted = sorted(set(streams))
    if not wanted:
        raise FeedError("a snapshot of no streams: name at least one")
    step_ns = round(step_s * 1e9)
    if step_ns <= 0 or end_ns < start_ns:
        raise FeedError(f"no grid from {start_ns} to {end_ns} in steps of {step_s} s: the step must be positive")
    count = (end_ns - start_ns) // step_ns + 1
    names = sorted({stream.parameter for stream in wanted})
    keys = sorted({(stream.platform, stream.instrument) for stream in wanted})
    if count * len(names) * len(keys) > _MOST_CELLS:
        raise FeedError(
            f"{len(keys)} stations by {count} times by {len(names)} parameters are more than {_MOST_CELLS} values: ask"
            " for a shorter time, a longer step or fewer streams"
        )
    as_of = store.cursor() if as_of is None else as_of
    span = (start_ns - step_ns + 1, start_ns + (count - 1) * step_ns + 1)
    found = store.read(wanted, *span, as_of)
    row = {key: i for i, key in enumerate(keys)}
    left_out: list[str] = []
    variables = {}
    for name in names:
        own = [series for series in found if series.stream.parameter == name]
        variables[name] = _variable(name, own, row, start_ns, step_ns, count, left_out)
    return Snapshot(
        as_of,
        start_ns + np.arange(count, dtype=np.int64) * step_ns,
        step_ns,
        _stations(store, keys, span, as_of, positions or {}),
        variables,
        tuple(left_out),
    )


def _variable(
    name: str,
    found: Sequence[Series],
    row: Mapping[tuple[str, str], int],
    start_ns: int,
    step_ns: int,
    count: int,
    left_out: list[str],
) -> Variable:
    known = PARAMETERS.get(name)
    unit = known.unit if known else found[0].form.unit if found else ""
    fitting: list[Series] = []
    for stream, several in groupby(found, key=lambda series: series.stream):
        by_age = sorted(several, key=lambda series: int(series.time[-1]), reverse=True)
        best = next((series for series in by_age if series.form.unit == unit), None)
        for series in by_age:
            if series is best:
                fitting.append(series)
            else:
                odd = f"are in {series.form.unit!r}" if series.form.unit != unit else f"have {series.form.cells}"
                left_out.append(f"{len(series.time)} samples of {'/'.join(stream)} {odd}")
    cells: list[Cells | None] = [None] * len(row)
    width = max((series.form.cells.count for series in fitting if series.form.cells), default=None)
    shape = (len(row), count, width or 1)
    if int(np.prod(shape)) > _MOST_CELLS:
        raise FeedError(f"{name}: {shape} values are more than {_MOST_CELLS}: ask for a shorter time or a longer step")
    value = np.full(shape, np.nan)
    flag = np.full(shape, Flag.MISSING, np.uint8)
    age_s = np.full(shape, np.nan)
    for series in fitting:
        station = row[series.stream.platform, series.stream.instrument]
        cells[station] = series.form.cells
        at = -((start_ns - series.time) // step_ns)  # the grid time at or just after each sample
        last = np.append(at[1:] != at[:-1], True)
        at = at[last]
        own = slice(series.form.cells.count if series.form.cells else 1)
        value[station, at, own] = series.value[last].reshape(len(at), -1)
        flag[station, at, own] = series.flag[last].reshape(len(at), -1)
        age_s[station, at, own] = ((start_ns + at * step_ns - series.time[last]) / 1e9)[:, None]
    mask = np.isnan(value)
    flag[mask] = Flag.MISSING
    if width is None:
        value, mask, flag, age_s = value[..., 0], mask[..., 0], flag[..., 0], age_s[..., 0]
    return Variable(name, unit, value, mask, flag, age_s, tuple(cells))


def _stations(
    store: DuckDBStore,
    keys: Sequence[tuple[str, str]],
    span: tuple[int, int],
    as_of: int,
    positions: Mapping[str, tuple[float, float]],
) -> tuple[Station, ...]:
    moving = {platform for platform, _ in keys} - positions.keys()
    ways = [s for s in store.streams() if s.platform in moving and s.parameter in ("latitude", "longitude")]
    found = {series.stream: series for series in store.read(ways, *span, as_of)}
    fixes: dict[tuple[str, str], tuple[float, float]] = {}
    for stream, latitude in found.items():
        longitude = found.get(stream._replace(parameter="longitude"))
        if stream.parameter == "latitude" and longitude is not None:
            _, i, j = np.intersect1d(latitude.time, longitude.time, assume_unique=True, return_indices=True)
            a, b = latitude.value[i], longitude.value[j]
            good = (latitude.flag[i] < Flag.FAIL) & (longitude.flag[j] < Flag.FAIL) & np.isfinite(a) & np.isfinite(b)
            if good.any():
                last = int(np.flatnonzero(good)[-1])
                fixes[stream.platform, stream.instrument] = (float(a[last]), float(b[last]))
    stations = []
    for platform, instrument in keys:
        others = [fix for (ship, _), fix in sorted(fixes.items()) if ship == platform]
        nowhere = (float("nan"), float("nan"))
        fix = positions.get(platform) or fixes.get((platform, instrument)) or (others[0] if others else nowhere)
        stations.append(Station(platform, instrument, *fix))
    return tuple(stations)


# --- snapshots as bytes -----------------------------------------------------------------------------------------------

_VARIABLE = pa.schema(
    [
        ("parameter", pa.string()),
        ("unit", pa.string()),
        ("platform", pa.string()),
        ("instrument", pa.string()),
        ("latitude", pa.float64()),
        ("longitude", pa.float64()),
        ("cells", pa.int32()),
        ("first_m", pa.float64()),
        ("size_m", pa.float64()),
        ("upward", pa.bool_()),
        ("value", pa.list_(pa.float64())),
        ("mask", pa.list_(pa.bool_())),
        ("flag", pa.list_(pa.uint8())),
        ("age_s", pa.list_(pa.float64())),
    ]
)


def snapshot_to_arrow(snap: Snapshot) -> bytes:
    """A snapshot as an Arrow IPC stream, zstd inside, in the layout that the head of this module describes."""
    widths = {v.name: v.value.shape[2] if v.value.ndim == 3 else None for v in snap.variables.values()}
    metadata = {
        "tidegate.snapshot": "1",
        "as_of": str(snap.as_of),
        "start_ns": str(int(snap.time[0])),
        "step_ns": str(snap.step_ns),
        "times": str(len(snap.time)),
        "widths": json.dumps(widths),
        "left_out": json.dumps(snap.left_out),
    }
    batches = []
    for v in snap.variables.values():
        ends = np.arange(len(snap.stations) + 1, dtype=np.int32) * v.value[0].size
        lists = [pa.ListArray.from_arrays(ends, pa.array(a.ravel())) for a in (v.value, v.mask, v.flag, v.age_s)]
        rows = [
            (v.name, v.unit, s.platform, s.instrument, s.latitude, s.longitude)
            + ((c.count, c.first_m, c.size_m, c.upward) if c else (None,) * 4)
            for s, c in zip(snap.stations, v.cells, strict=True)
        ]
        plain = [pa.array(column, f.type) for column, f in zip(zip(*rows, strict=True), _VARIABLE, strict=False)]
        batches.append(pa.record_batch([*plain, *lists], schema=_VARIABLE.with_metadata(metadata)))
    return _stream(_VARIABLE.with_metadata(metadata), batches)


def snapshot_from_arrow(data: bytes) -> Snapshot:
    """The snapshot that `snapshot_to_arrow` wrote."""
    with pa.ipc.open_stream(data) as reader:
        metadata = {key.decode(): value.decode() for key, value in (reader.schema.metadata or {}).items()}
        if metadata.get("tidegate.snapshot") != "1":
            raise FeedError("not a snapshot of Tidegate: the metadata of the Arrow schema do not say so")
        batches = list(reader)
    times, step_ns = int(metadata["times"]), int(metadata["step_ns"])
    widths = json.loads(metadata["widths"])
    stations: tuple[Station, ...] = ()
    variables = {}
    for batch in batches:
        columns = {name: batch.column(name) for name in _VARIABLE.names}
        plain = batch.select(_VARIABLE.names[:10]).to_pylist()
        stations = tuple(Station(r["platform"], r["instrument"], r["latitude"], r["longitude"]) for r in plain)
        name, unit = plain[0]["parameter"], plain[0]["unit"]
        shape = (len(plain), times) if widths[name] is None else (len(plain), times, widths[name])
        value, mask, flag, age_s = (
            columns[key].values.to_numpy(zero_copy_only=False).reshape(shape)
            for key in ("value", "mask", "flag", "age_s")
        )
        cells = tuple(
            None if r["cells"] is None else Cells(r["cells"], r["first_m"], r["size_m"], r["upward"]) for r in plain
        )
        variables[name] = Variable(name, unit, value, mask, flag, age_s, cells)
    return Snapshot(
        int(metadata["as_of"]),
        int(metadata["start_ns"]) + np.arange(times, dtype=np.int64) * step_ns,
        step_ns,
        stations,
        variables,
        tuple(json.loads(metadata["left_out"])),
    )


def snapshot_to_netcdf(snap: Snapshot) -> bytes:
    """A snapshot as a NetCDF-4 file: CF-1.11, flags and ages as ancillary variables, no stamp of when it was made.

    The parameter `p` becomes `p (station, time)` or `p (station, time, p_cell)`, with `p_flag` and `p_age`; where
    stations profile, also `p_distance` (from the transducer to the middle of the cell) and `p_looks` (up or down).
    """
    sink = io.BytesIO()
    with h5netcdf.File(sink, "w") as file:
        _describe(file, snap)
        for v in snap.variables.values():
            _write_variable(file, v)
    return sink.getvalue()


def _describe(file: Any, snap: Snapshot) -> None:
    profiles = {v.value.ndim == 3 for v in snap.variables.values()}
    file.attrs["Conventions"] = "CF-1.11"
    if profiles == {False}:
        # CF knows one feature type for a file, and none for scalars and profiles side by side.
        file.attrs["featureType"] = "timeSeries"
    file.attrs["title"] = "Ocean measurements on a regular grid of times"
    file.attrs["source"] = "in-situ instruments"
    file.attrs["comment"] = (
        f"Each value is the last sample in the {snap.step_ns / 1e9:g} s up to and including the grid time; nothing is"
        " interpolated. As known at the given cursor of the change log."
    )
    file.attrs["change_log_cursor"] = np.int64(snap.as_of)
    if snap.left_out:
        file.attrs["left_out"] = "\n".join(snap.left_out)
    names = [f"{s.platform}/{s.instrument}".encode() for s in snap.stations]
    length = max(map(len, names))
    file.dimensions = {"station": len(snap.stations), "time": len(snap.time), "station_strlen": length}
    text = np.array(names, f"S{length}").view("S1").reshape(len(names), length)
    _put(
        file,
        "station_name",
        ("station", "station_strlen"),
        text,
        cf_role="timeseries_id",
        long_name="Platform/instrument",
    )
    _put(
        file,
        "time",
        ("time",),
        snap.time / 1e9,
        standard_name="time",
        long_name="Grid time",
        units="seconds since 1970-01-01T00:00:00Z",
        calendar="standard",
        axis="T",
    )
    for name, values in (
        ("lat", [s.latitude for s in snap.stations]),
        ("lon", [s.longitude for s in snap.stations]),
    ):
        standard_name, direction = ("latitude", "north") if name == "lat" else ("longitude", "east")
        _put(
            file,
            name,
            ("station",),
            np.array(values, np.float64),
            fill=np.nan,
            standard_name=standard_name,
            long_name=f"Station {standard_name}",
            units=f"degrees_{direction}",
        )


def _write_variable(file: Any, v: Variable) -> None:
    known = PARAMETERS.get(v.name)
    label = known.label if known else v.name
    dimensions: tuple[str, ...] = ("station", "time")
    coordinates = "station_name lat lon"
    if v.value.ndim == 3:
        dimensions = (*dimensions, f"{v.name}_cell")
        file.dimensions[f"{v.name}_cell"] = v.value.shape[2]
        coordinates += f" {v.name}_distance"
        _put_geometry(file, v, label)
    standard_name = {"standard_name": known.standard_name} if known and known.standard_name else {}
    _put(
        file,
        v.name,
        dimensions,
        v.value,
        fill=np.nan,
        **standard_name,
        long_name=label,
        units=v.unit,
        coordinates=coordinates,
        cell_methods="time: point",
        ancillary_variables=f"{v.name}_flag {v.name}_age",
    )
    _put(
        file,
        f"{v.name}_flag",
        dimensions,
        v.flag,
        standard_name="quality_flag",
        long_name=f"{label}, QARTOD flag",
        flag_values=np.array(list(Flag), np.uint8),
        flag_meanings=" ".join(flag.name.lower() for flag in Flag),
        coordinates=coordinates,
    )
    _put(
        file,
        f"{v.name}_age",
        dimensions,
        v.age_s,
        fill=np.nan,
        long_name=f"{label}, time from the sample to the grid time",
        units="s",
        coordinates=coordinates,
    )


def _put_geometry(file: Any, v: Variable, label: str) -> None:
    place = np.arange(v.value.shape[2])
    distance = np.array(
        [np.where(place < c.count, c.first_m + place * c.size_m, np.nan) if c else place * np.nan for c in v.cells]
    ).reshape(len(v.cells), len(place))
    looks = [-1 if c is None or c.upward is None else int(c.upward) for c in v.cells]
    _put(
        file,
        f"{v.name}_distance",
        ("station", f"{v.name}_cell"),
        distance,
        fill=np.nan,
        long_name=f"{label}, distance from the transducer to the middle of the cell",
        units="m",
    )
    _put(
        file,
        f"{v.name}_looks",
        ("station",),
        np.array(looks, np.int8),
        long_name=f"{label}, where the instrument looks",
        flag_values=np.array([-1, 0, 1], np.int8),
        flag_meanings="unknown downward upward",
    )


def _put(
    file: Any, name: str, dimensions: tuple[str, ...], values: npt.NDArray[Any], fill: Any = None, **attributes: Any
) -> None:
    packing = {"compression": "gzip", "compression_opts": 1, "shuffle": True} if values.size > 1000 else {}
    variable = file.create_variable(name, dimensions, values.dtype, data=values, fillvalue=fill, **packing)
    variable.attrs.update(attributes)
