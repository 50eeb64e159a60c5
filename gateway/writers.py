"""Samples as text and as files: NDJSON, CSV, CF NetCDF and Parquet.

A writer takes the Frames of one recording as they are decoded. NDJSON goes out at once; the others need all samples
to know their columns. NetCDF and Parquet make one file for each kind of sample and cell geometry, since each has a
time axis of its own: `RECORDING.KIND.nc`. Columns that some Frames lack, and cells that some profiles lack, are
missing there, with the reason.
"""

import csv
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np

from tidegate.clock import NAT, TimeSource
from tidegate.frame import MISSING_INT, Cells, Column, Field, Frame, Missing, Reasons, Times
from tidegate.vocabulary import PARAMETERS


class Form(Enum):
    """What samples are written as."""

    NDJSON = "ndjson"
    CSV = "csv"
    NETCDF = "netcdf"
    PARQUET = "parquet"


class About(NamedTuple):
    """What is said in a file of the samples in it."""

    recording: str
    driver: str
    instrument: Mapping[str, Any]
    problems: Mapping[str, int]


class Writer(ABC):
    """Writes the samples of one recording."""

    @abstractmethod
    def add(self, frame: Frame) -> None:
        """Takes samples."""

    @abstractmethod
    def close(self, about: About) -> list[Path]:
        """All samples are there; the files that were made."""


# ---- text -----------------------------------------------------------------------------------------------------------


class NdjsonWriter(Writer):
    """One JSON object a sample, one a line, as they are decoded: `time`, `kind`, then the values."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def add(self, frame: Frame) -> None:
        """Writes them at once."""
        fields = frame.schema.fields
        values = "".join(f",{json.dumps(f.name)}:%s" for f in fields)
        line = f'{{"time":%s,"kind":{json.dumps(frame.schema.kind)}{values}}}\n'
        times = [f'"{t}"' if t else "null" for t in _times(frame)]
        columns = [_joined(_values(frame, f, "null"), frame.schema.width(f) if f.profile else 0) for f in fields]
        self._out.write("".join(map(line.__mod__, zip(times, *columns, strict=True))))

    def close(self, about: About) -> list[Path]:
        """Nothing is left to write."""
        self._out.flush()
        return []


def _joined(values: list[str], width: int) -> list[str]:
    if not width:
        return values
    return [f"[{','.join(values[i : i + width])}]" for i in range(0, len(values), width)]


class CsvWriter(Writer):
    """One line a sample under one header: the columns of all records, the cells of profiles numbered from 1."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._frames: list[Frame] = []

    def add(self, frame: Frame) -> None:
        """Keeps them until the header is known."""
        self._frames.append(frame)

    def close(self, about: About) -> list[Path]:
        """Writes all."""
        widths: dict[str, int] = {}
        for frame in self._frames:
            for f in frame.schema.fields:
                widths[f.name] = max(widths.get(f.name, 0), frame.schema.width(f) if f.profile else 0)
        writer = csv.writer(self._out, lineterminator="\n")
        writer.writerow(
            [
                "time",
                "kind",
                *(n for name, w in widths.items() for n in ([f"{name}_{i + 1}" for i in range(w)] or [name])),
            ]
        )
        for frame in self._frames:
            columns: list[list[str]] = [_times(frame), [frame.schema.kind] * len(frame)]
            for name, width in widths.items():
                columns += _cells(frame, name, width)
            writer.writerows(zip(*columns, strict=True))
        self._out.flush()
        return []


def _cells(frame: Frame, name: str, width: int) -> list[list[str]]:
    """A field's columns of a table, empty ones where the Frame has less of them."""
    absent = [""] * len(frame)
    f = frame.schema.by_name.get(name)
    if f is None:
        return [absent] * max(width, 1)
    values, own = _values(frame, f, ""), frame.schema.width(f) if f.profile else 1
    return [values[i::own] for i in range(own)] + [absent] * (max(width, 1) - own)


def _times(frame: Frame) -> list[str]:
    """ISO 8601 with nanoseconds, UTC; empty where there is none."""
    texts: list[str] = np.datetime_as_string(frame.time.view("M8[ns]"), unit="ns").tolist()
    return [text + "Z" if ns != NAT else "" for text, ns in zip(texts, frame.time.tolist(), strict=True)]


def _values(frame: Frame, f: Field, missing: str) -> list[str]:
    """A column's values (the cells of a sample after each other) as the shortest text that gives the same number."""
    column = frame.columns[f.name]
    texts = list(map(repr, _rounded(column, f).ravel().tolist()))
    for i in np.flatnonzero((frame.missing(f.name) != 0) | ~np.isfinite(column)).tolist():
        texts[i] = missing
    return texts


def _rounded(column: Column, f: Field) -> Column:
    if f.integer:
        return column
    return np.asarray(np.round(column, f.decimals) + 0.0, np.float64)  # no minus zero


# ---- tables ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """All samples of one kind and cell geometry: `time` (n,), columns (n,) or (n, cells), `Missing` codes alike."""

    kind: str
    cells: Cells | None
    fields: tuple[Field, ...]
    time: Times
    sources: tuple[TimeSource, ...]
    columns: Mapping[str, Column]
    missing: Mapping[str, Reasons]


def tables(frames: Sequence[Frame]) -> list[Table]:
    """The Frames of one recording as few tables: columns and numbers of cells may differ within one."""
    alike: dict[tuple[str, Cells | None], list[Frame]] = {}
    for frame in frames:
        cells = frame.schema.cells
        alike.setdefault((frame.schema.kind, cells and replace(cells, count=0)), []).append(frame)
    return [_table(group) for group in alike.values()]


def _table(frames: Sequence[Frame]) -> Table:
    fields: dict[str, Field] = {}
    for schema in {frame.schema.id: frame.schema for frame in frames}.values():
        for f in schema.fields:
            known = fields.get(f.name, f)
            fields[f.name] = replace(known, resolution=min(known.resolution, f.resolution))
    time = np.concatenate([frame.time for frame in frames])
    cells = frames[0].schema.cells
    if cells:
        cells = replace(cells, count=max(frame.schema.cells.count for frame in frames if frame.schema.cells))
    columns: dict[str, Column] = {}
    missing: dict[str, Reasons] = {}
    for f in fields.values():
        shape = (len(time), cells.count) if f.profile and cells else (len(time),)
        column: Column = np.full(shape, MISSING_INT, np.int64) if f.integer else np.full(shape, np.nan)
        reasons = np.full(shape, Missing.NOT_GIVEN, np.uint8)
        at = 0
        for frame in frames:
            if f.name in frame.columns:
                own = frame.columns[f.name]
                part = (slice(at, at + len(frame)), *(slice(0, width) for width in own.shape[1:]))
                column[part], reasons[part] = _rounded(own, f), frame.missing(f.name)
            at += len(frame)
        columns[f.name], missing[f.name] = column, reasons
    sources = tuple(sorted({frame.source for frame in frames}))
    return Table(frames[0].schema.kind, cells, tuple(fields.values()), time, sources, columns, missing)


class TableWriter(Writer):
    """Keeps the samples and writes them as one file for each table."""

    suffix: str

    def __init__(self, base: Path) -> None:
        self._base = base
        self._frames: list[Frame] = []

    def add(self, frame: Frame) -> None:
        """Keeps them until all columns are known."""
        self._frames.append(frame)

    def close(self, about: About) -> list[Path]:
        """Writes the files; each appears whole or not at all."""
        made: list[Path] = []
        for table in tables(self._frames):
            same = sum(path.name.startswith(f"{self._base.name}.{table.kind}") for path in made)
            number = f"-{same + 1}" if same else ""
            path = self._base.with_name(f"{self._base.name}.{table.kind}{number}.{self.suffix}")
            part = path.with_name(path.name + ".part")
            self.write(table, about, part)
            part.rename(path)
            made.append(path)
        return made

    @abstractmethod
    def write(self, table: Table, about: About, path: Path) -> None:
        """Writes one table."""


def _attributes(f: Field) -> dict[str, str]:
    """What CF says of a variable."""
    known = PARAMETERS.get(f.name)
    attributes = {"long_name": known.label if known else f.name, "units": f.unit}
    if known and known.standard_name:
        attributes["standard_name"] = known.standard_name
    return attributes


def _told(table: Table, about: About) -> dict[str, str]:
    """What is said of a whole table."""
    told = {
        "title": f"{table.kind} of {about.recording}",
        "source": f"{about.recording}, decoded by tidegate's driver {about.driver}",
        "time_source": ", ".join(source.name.lower() for source in table.sources),
        "problems": ", ".join(f"{kind}: {count}" for kind, count in sorted(about.problems.items())) or "none",
    }
    for name, value in about.instrument.items():
        told[f"instrument_{name}"] = value if isinstance(value, str) else json.dumps(value, default=str)
    return told


class NetcdfWriter(TableWriter):
    """CF NetCDF-4. A value that is missing has its reason in `…_missing`."""

    suffix = "nc"

    def write(self, table: Table, about: About, path: Path) -> None:
        """One file with the dimensions `time` and, for profiles, `cell`."""
        import h5netcdf

        with h5netcdf.File(path, "w") as file:
            file.attrs["Conventions"] = "CF-1.11"
            for name, text in _told(table, about).items():
                file.attrs[name] = text
            file.dimensions = {"time": len(table.time)} | ({"cell": table.cells.count} if table.cells else {})
            time = {"standard_name": "time", "long_name": "Time", "calendar": "standard", "axis": "T"}
            _put(
                file,
                "time",
                ("time",),
                table.time,
                NAT,
                **time,
                units="nanoseconds since 1970-01-01T00:00:00Z",
            )
            if table.cells:
                looks = {True: " (up)", False: " (down)", None: ""}[table.cells.upward]
                distance = table.cells.first_m + table.cells.size_m * np.arange(table.cells.count)
                name = f"Distance from the transducer to the middle of the cell{looks}"
                _put(file, "distance", ("cell",), distance, None, long_name=name, units="m")
            for f in table.fields:
                self._write_field(file, table, f)

    def _write_field(self, file: Any, table: Table, f: Field) -> None:
        dimensions = ("time", "cell")[: table.columns[f.name].ndim]
        attributes = _attributes(f)
        if len(dimensions) == 2:
            attributes["coordinates"] = "distance"
        missing = table.missing[f.name]
        if missing.any():
            attributes["ancillary_variables"] = f"{f.name}_missing"
        fill = MISSING_INT if f.integer else np.nan
        _put(file, f.name, dimensions, table.columns[f.name], fill, **attributes)
        if missing.any():
            flags = np.array([int(code) for code in Missing], np.uint8)
            meanings = " ".join(code.name.lower() for code in Missing)
            name = f"Why {attributes['long_name']} is missing"
            variable = _put(file, f"{f.name}_missing", dimensions, missing, None, long_name=name)
            variable.attrs["flag_values"], variable.attrs["flag_meanings"] = flags, meanings


def _put(file: Any, name: str, dimensions: tuple[str, ...], values: Any, fill: Any, **attributes: str) -> Any:
    packed = {"compression": "gzip", "shuffle": True} if values.size else {}
    variable = file.create_variable(name, dimensions, values.dtype, data=values, fillvalue=fill, **packed)
    for key, text in attributes.items():
        variable.attrs[key] = text
    return variable


class ParquetWriter(TableWriter):
    """Apache Parquet: a column a field, lists for profiles; null where missing, with the reason in `…_missing`."""

    suffix = "parquet"

    def write(self, table: Table, about: About, path: Path) -> None:
        """One file; units and CF names are in the metadata of the columns."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        time = pa.array(table.time, pa.int64(), mask=table.time == NAT).cast(pa.timestamp("ns", "UTC"))
        arrays, fields = [time], [pa.field("time", time.type)]
        for f in table.fields:
            absent = table.missing[f.name] != 0
            array = pa.array(table.columns[f.name].ravel(), mask=absent.ravel())
            reasons = pa.array(table.missing[f.name].ravel())
            if table.cells and f.profile:
                array, reasons = (pa.FixedSizeListArray.from_arrays(a, table.cells.count) for a in (array, reasons))
            arrays.append(array)
            fields.append(pa.field(f.name, array.type, metadata=_attributes(f)))
            if absent.any():
                arrays.append(reasons)
                fields.append(pa.field(f"{f.name}_missing", reasons.type))
        told = _told(table, about)
        if table.cells:
            told |= {"first_cell_m": str(table.cells.first_m), "cell_size_m": str(table.cells.size_m)}
        pq.write_table(pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata=told)), path)
