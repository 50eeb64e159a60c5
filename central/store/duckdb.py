"""The archive in one DuckDB file: every value as it was first known and as it was corrected, with the cursor of each.

Nothing is ever overwritten. A row says that at `cursor` the hub came to know this of a sample; what was known at
cursor C is, for each stream and time, the last row with `cursor <= C`, unless that row is a retraction. So any past
state can be read again, and a forecast be run again on exactly the numbers it had.

Tables: `streams` (platform, instrument, parameter) and `forms` (unit, cell geometry) are dictionaries; `samples` has
a row for each scalar value and `profiles` one for each profile, values of all cells in a list. `measurements` and
`profile_measurements` are views for people: names instead of numbers, and only what is known now. A batch and its
cursor are one transaction, so a crash leaves both or neither.

A row is the key (stream, time): of two samples of one instrument that bear the same time, the later one is read back.
Whole numbers are kept as float64, exact to 2**53, which is what the wire carries too.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from central.changes import Change, Flags, Op
from central.store import Batch, StoreError, StoreUnavailable, Stream
from tidegate.frame import Cells, Field, Reasons, Schema, Times

Values = npt.NDArray[np.float64]

_MEMORY_LIMIT = "1GB"
"""The archive lives inside the hub's process, and a careless query must not take the hub's memory."""

_KNOWN = """
    SELECT streams.platform, streams.instrument, streams.parameter, forms.unit, {geometry}
        make_timestamp_ns(time) AS time, value, flag, reason, cursor
    FROM (SELECT * FROM {table}
          QUALIFY row_number() OVER (PARTITION BY stream, time ORDER BY {table}.rowid DESC) = 1) known
    JOIN streams ON streams.id = known.stream JOIN forms ON forms.id = known.form
    WHERE op <> 3
"""

_TABLES = f"""
CREATE TABLE IF NOT EXISTS streams (
    id INTEGER, platform VARCHAR, instrument VARCHAR, parameter VARCHAR, profile BOOLEAN);
CREATE TABLE IF NOT EXISTS forms (
    id INTEGER, unit VARCHAR, cells INTEGER, first_m DOUBLE, size_m DOUBLE, upward BOOLEAN);
CREATE TABLE IF NOT EXISTS samples (
    cursor BIGINT, op UTINYINT, stream INTEGER, form INTEGER, time BIGINT,
    value DOUBLE, flag UTINYINT, reason UTINYINT);
CREATE TABLE IF NOT EXISTS profiles (
    cursor BIGINT, op UTINYINT, stream INTEGER, form INTEGER, time BIGINT,
    value DOUBLE[], flag UTINYINT[], reason UTINYINT[]);
CREATE TABLE IF NOT EXISTS state (cursor BIGINT);
CREATE VIEW IF NOT EXISTS measurements AS {_KNOWN.format(table="samples", geometry="")};
CREATE VIEW IF NOT EXISTS profile_measurements AS
    {_KNOWN.format(table="profiles", geometry="forms.cells, forms.first_m, forms.size_m, forms.upward,")};
"""

_TABLE_OF_PROFILE = (("samples", False), ("profiles", True))

_HEADS = """
    WITH own AS (SELECT *, rowid FROM {table} WHERE stream IN (SELECT unnest(?::INTEGER[]))),
    withdrawn AS (
        SELECT stream, time FROM own SEMI JOIN (FROM own WHERE op = 3) retracted USING (stream, time)
        GROUP BY stream, time HAVING arg_max(op, cursor) = 3),
    last AS (SELECT stream, max(time) AS time FROM own ANTI JOIN withdrawn USING (stream, time) GROUP BY stream)
    SELECT rowid, stream, form, time, op, value, flag, reason FROM own SEMI JOIN last USING (stream, time)
"""


@dataclass(frozen=True, slots=True)
class Form:
    """How a stream's values are given: their unit, and of a profile its cells."""

    unit: str
    cells: Cells | None = None

    @classmethod
    def of(cls, schema: Schema, f: Field) -> "Form":
        """The form of a field of `schema`."""
        return cls(f.unit, schema.cells if f.profile else None)


@dataclass(frozen=True, eq=False)
class Series:
    """Samples of one stream in one form, in ascending time, each time once.

    `time` int64 ns UTC (n,); `value` float64, NaN where missing, `flag` uint8 and `reason` uint8 (`Missing`), all
    (n,), or (n, cells) where `form.cells` is set.
    """

    stream: Stream
    form: Form
    time: Times
    value: Values
    flag: Flags
    reason: Reasons


_Key = tuple[Stream, bool]
"""A stream, and whether its values are profiles."""


class DuckDBStore:
    """The archive. One thread writes; any number of others may read at the same time."""

    def __init__(self, path: Path | str, name: str = "archive") -> None:
        """Opens the file at `path`, or makes it. Raises `StoreUnavailable` where it cannot be opened."""
        self.name = name
        self._path = str(path)
        self._lock = threading.Lock()
        """Guards what is in memory, for moments only: readers never wait for a write."""
        self._cursor = 0
        self._open()

    def write(self, batch: Batch) -> None:
        """Append a batch with its cursor, in one transaction. Changes at or below the stored cursor are skipped."""
        new = [(cursor, change) for cursor, change in batch if cursor > self._cursor]
        if not new:
            return
        cursors = [cursor for cursor, _ in new]
        if any(b <= a for a, b in pairwise(cursors)):
            raise ValueError(f"{self.name}: cursors of a batch must ascend, not {cursors}")
        rows = _Rows(new, self._streams, self._forms)
        try:
            self._commit(rows, cursors[-1])
        except duckdb.Error as error:
            self._heal()
            raise StoreUnavailable(
                f"{self.name}: {self._path} did not take changes {cursors[0]} to {cursors[-1]}: {error}."
                " Look whether the disk is full and the file writable; the same changes are tried again"
            ) from error
        with self._lock:
            self._streams.update(rows.new_streams)
            self._forms.update(rows.new_forms)
            self._cursor = cursors[-1]
            self._follow(new)

    def cursor(self) -> int:
        """The cursor of the last change that is in the archive, 0 where there is none."""
        return self._cursor

    def streams(self) -> list[Stream]:
        """Every stream that was ever written, in order of their names."""
        with self._lock:
            return sorted({stream for stream, _ in self._streams})

    def read(self, streams: Iterable[Stream], start_ns: int, end_ns: int, as_of: int | None = None) -> list[Series]:
        """What is known of the samples with start_ns <= time < end_ns, or was known at cursor `as_of`.

        In the order of `streams`; one Series for each form that a stream had in this time, so usually one. Streams
        without samples there are left out. Raises `StoreError` where `as_of` lies ahead of the archive: the same
        question would have another answer later.
        """
        wanted = list(dict.fromkeys(streams))
        with self._lock:
            if as_of is not None and as_of > self._cursor:
                raise StoreError(
                    f"{self.name}: asked for the state at cursor {as_of}, and the archive stands at {self._cursor}:"
                    " wait until it has caught up"
                )
            cursor = self._cursor if as_of is None else as_of
            keys = [key for stream in wanted for key in ((stream, False), (stream, True)) if key in self._streams]
            numbers = {self._streams[key]: key for key in keys}
            forms = {number: form for form, number in self._forms.items()}
            reader = self._database.cursor()
        with reader:
            found = [
                series
                for table, profile in _TABLE_OF_PROFILE
                if (own := [number for number, key in numbers.items() if key[1] is profile])
                for series in _series(_rows_of(reader, table, own, start_ns, end_ns, cursor), numbers, forms)
            ]
        order = {stream: i for i, stream in enumerate(wanted)}
        return sorted(found, key=lambda series: order[series.stream])

    def latest(self) -> list[Series]:
        """The sample of the latest time of every stream, as Series of length 1, in order of the streams' names.

        Kept in memory, so that it costs next to nothing to ask of hundreds of streams. A stream of which every sample
        was retracted has none.
        """
        with self._lock:
            for key in self._beheaded:
                self._heads.pop(key, None)
                self._heads.update(self._find_heads(key))
            self._beheaded.clear()
            return [series for _, series in sorted(self._heads.items(), key=lambda item: item[0])]

    def count(self) -> int:
        """Rows: every value or profile, once for each time that something came to be known of it."""
        with self._lock:
            reader = self._database.cursor()
        with reader:
            return int(_one(reader, "SELECT (SELECT count(*) FROM samples) + (SELECT count(*) FROM profiles)"))

    def close(self) -> None:
        """Write what is in the log beside the file into it, and close it."""
        with self._lock:
            self._writer.close()
            self._database.close()

    def _open(self) -> None:
        try:
            self._database = duckdb.connect(self._path, config={"memory_limit": _MEMORY_LIMIT})
            self._database.execute(_TABLES)
        except duckdb.Error as error:
            raise StoreUnavailable(
                f"{self.name}: cannot open {self._path}: {error}. Only one program at a time can have it open"
            ) from error
        self._writer = self._database.cursor()
        rows = self._writer.execute("SELECT platform, instrument, parameter, profile, id FROM streams").fetchall()
        self._streams = {(Stream(*names), profile): number for *names, profile, number in rows}
        rows = self._writer.execute("SELECT unit, cells, first_m, size_m, upward, id FROM forms").fetchall()
        self._forms = {
            Form(unit, None if cells is None else Cells(cells, *geometry)): number
            for unit, cells, *geometry, number in rows
        }
        self._cursor = int(_one(self._writer, "SELECT coalesce(max(cursor), 0) FROM state"))
        self._heads = self._find_heads(None)
        self._beheaded: set[_Key] = set()

    def _heal(self) -> None:
        # After a failed commit DuckDB may refuse all further work on this instance ("database has been invalidated"),
        # and only opening the file again helps.
        with self._lock:
            self._writer.close()
            self._database.close()
            self._open()

    def _commit(self, rows: "_Rows", cursor: int) -> None:
        self._writer.begin()
        for table, content in rows.tables():
            self._writer.register("incoming", content)
            self._writer.execute(f"INSERT INTO {table} SELECT * FROM incoming")
            self._writer.unregister("incoming")
        self._writer.execute("DELETE FROM state")
        self._writer.execute("INSERT INTO state VALUES (?)", [cursor])
        self._writer.commit()

    def _follow(self, batch: Batch) -> None:
        """Bring the heads up to date with a batch that is in the file."""
        for _, change in batch:
            frame = change.frame
            if not len(frame):
                continue
            last = len(frame) - 1 - int(np.argmax(frame.time[::-1]))
            row = slice(last, last + 1)
            time = frame.time[row].copy()
            for f in frame.schema.fields:
                key = (Stream(change.platform, frame.instrument, f.name), f.profile)
                head = self._heads.get(key)
                if change.op is Op.RETRACT:
                    if head is not None and (frame.time == head.time[0]).any():
                        self._beheaded.add(key)
                elif head is None or time[0] >= head.time[0]:
                    reason = frame.missing(f.name)[row]
                    value = np.where(reason, np.nan, frame.columns[f.name][row])
                    flag = change.flags[f.name][row].copy()
                    self._heads[key] = Series(key[0], Form.of(frame.schema, f), time, value, flag, reason)

    def _find_heads(self, only: _Key | None) -> dict[_Key, Series]:
        """The heads of all streams, or of one, from the file."""
        forms = {number: form for form, number in self._forms.items()}
        found: dict[_Key, Series] = {}
        for table, profile in _TABLE_OF_PROFILE:
            numbers = {n: k for k, n in self._streams.items() if k[1] is profile and only in (None, k)}
            if numbers:
                last = self._writer.sql(_HEADS.format(table=table), params=[list(numbers)]).to_arrow_table()
                found |= {(series.stream, profile): series for series in _series(last, numbers, forms)}
        return found


class _Rows:
    """A batch as rows of the tables, with the streams and forms that the file does not know yet."""

    def __init__(self, batch: Batch, streams: Mapping[_Key, int], forms: Mapping[Form, int]) -> None:
        self.new_streams: dict[_Key, int] = {}
        self.new_forms: dict[Form, int] = {}
        self._streams, self._forms = streams, forms
        samples, profiles = _Parts(), _Parts()
        numbers: dict[tuple[str, str, bytes], list[tuple[Field, int, int]]] = {}
        for cursor, change in batch:
            frame = change.frame
            key = (change.platform, frame.instrument, frame.schema.id)
            if key not in numbers:
                numbers[key] = [self._number(change, f) for f in frame.schema.fields]
            for f, stream, form in numbers[key]:
                part = profiles if f.profile else samples
                part.rows.append((cursor, int(change.op), stream, form, len(frame), frame.schema.width(f)))
                part.time.append(frame.time)
                part.value.append(frame.columns[f.name].ravel().astype(np.float64, copy=False))
                part.flag.append(change.flags[f.name].ravel())
                part.reason.append(frame.missing(f.name).ravel())
        self._parts = {"samples": samples, "profiles": profiles}

    def tables(self) -> Iterator[tuple[str, pa.Table]]:
        """What to insert, by table."""
        if self.new_streams:
            rows = [(number, *stream, profile) for (stream, profile), number in self.new_streams.items()]
            yield "streams", pa.table(list(zip(*rows, strict=True)), ["id", *Stream._fields, "profile"])
        if self.new_forms:
            yield (
                "forms",
                pa.Table.from_pylist(
                    [
                        {
                            "id": number,
                            "unit": form.unit,
                            "cells": form.cells and form.cells.count,
                            "first_m": form.cells and form.cells.first_m,
                            "size_m": form.cells and form.cells.size_m,
                            "upward": form.cells and form.cells.upward,
                        }
                        for form, number in self.new_forms.items()
                    ]
                ),
            )
        for table, parts in self._parts.items():
            if parts.rows:
                yield table, parts.table(lists=table == "profiles")

    def _number(self, change: Change, f: Field) -> tuple[Field, int, int]:
        key = (Stream(change.platform, change.frame.instrument, f.name), f.profile)
        form = Form.of(change.frame.schema, f)
        stream_number = self._streams.get(key)
        if stream_number is None:
            stream_number = self.new_streams.setdefault(key, len(self._streams) + len(self.new_streams))
        form_number = self._forms.get(form)
        if form_number is None:
            form_number = self.new_forms.setdefault(form, len(self._forms) + len(self.new_forms))
        return f, stream_number, form_number


@dataclass
class _Parts:
    """Columns in the making. A row of `rows`: cursor, op, stream, form, samples, values a sample."""

    rows: list[tuple[int, int, int, int, int, int]] = field(default_factory=list)
    time: list[Times] = field(default_factory=list)
    value: list[Values] = field(default_factory=list)
    flag: list[Flags] = field(default_factory=list)
    reason: list[Reasons] = field(default_factory=list)

    def table(self, *, lists: bool) -> pa.Table:
        cursor, op, stream, form, samples, width = np.array(self.rows, np.int64).T
        reason = np.concatenate(self.reason)
        values = [
            pa.array(np.concatenate(self.value), mask=reason != 0),
            pa.array(np.concatenate(self.flag)),
            pa.array(reason),
        ]
        if lists:
            offsets = np.concatenate([[0], np.cumsum(np.repeat(width, samples))])
            values = [pa.LargeListArray.from_arrays(pa.array(offsets), column) for column in values]
        return pa.table(
            [
                np.repeat(cursor, samples),
                np.repeat(op.astype(np.uint8), samples),
                np.repeat(stream.astype(np.int32), samples),
                np.repeat(form.astype(np.int32), samples),
                np.concatenate(self.time),
                *values,
            ],
            ["cursor", "op", "stream", "form", "time", "value", "flag", "reason"],
        )


def open_for_reading(path: Path | str) -> duckdb.DuckDBPyConnection:
    """The archive as a DuckDB connection that can only read, for people: `SELECT * FROM measurements`.

    Raises `StoreError` where the file is not there, or the hub has it open (DuckDB lets nobody else in then).
    """
    try:
        return duckdb.connect(str(path), read_only=True)
    except duckdb.Error as error:
        raise StoreError(
            f"cannot open {path} for reading: {error}. While the hub runs, the file is its own: ask the hub's feed,"
            " or stop the hub"
        ) from error


def _rows_of(
    reader: duckdb.DuckDBPyConnection, table: str, streams: Sequence[int], start_ns: int, end_ns: int, as_of: int
) -> pa.Table:
    return reader.sql(
        f"SELECT rowid, stream, form, time, op, value, flag, reason FROM {table}"
        " WHERE stream IN (SELECT unnest(?::INTEGER[])) AND time >= ? AND time < ? AND cursor <= ?",
        params=[list(streams), start_ns, end_ns, as_of],
    ).to_arrow_table()


def _series(rows: pa.Table, keys: Mapping[int, _Key], forms: Mapping[int, Form]) -> Iterator[Series]:
    """Rows → what is known after the last of them. Row ids ascend as the rows were written: nothing is deleted."""
    if not rows.num_rows:
        return
    row, stream, form, time, op = (rows[name].to_numpy() for name in ("rowid", "stream", "form", "time", "op"))
    by_sample = np.lexsort((row, time, stream))
    stream_, time_ = stream[by_sample], time[by_sample]
    last = np.append((stream_[1:] != stream_[:-1]) | (time_[1:] != time_[:-1]), True)
    known = by_sample[last]
    known = known[op[known] != Op.RETRACT]
    known = known[np.lexsort((time[known], form[known], stream[known]))]
    stream_, form_ = stream[known], form[known]
    ends = np.flatnonzero((stream_[1:] != stream_[:-1]) | (form_[1:] != form_[:-1])) + 1
    columns = [rows[name].combine_chunks() for name in ("value", "flag", "reason")]
    for own in np.split(known, ends) if len(known) else ():
        shape = forms[int(form[own[0]])]
        value, flag, reason = (_array(column.take(pa.array(own)), shape) for column in columns)
        yield Series(keys[int(stream[own[0]])][0], shape, time[own], value, flag, reason)


def _array(column: pa.Array, form: Form) -> Any:
    """A column as an array (n,), or (n, cells); null becomes NaN."""
    if form.cells is None:
        return column.to_numpy(zero_copy_only=False)
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), form.cells.count)


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
    ((value,),) = connection.execute(query).fetchall()
    return value
