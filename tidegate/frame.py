"""The Frame: a columnar block of consecutive samples of one instrument. Everything in Tidegate passes Frames.

A `Schema` says what an instrument measures: its fields with unit and resolution, and the geometry of its cells where it
profiles. A `Frame` holds `time` (int64 nanoseconds UTC, shape (n,)) and for each field an array: float64, or int64 for
counts; shape (n,), or (n, cells) for profile fields.

A value that is missing is NaN in a float column and `MISSING_INT` in an integer one, and says why: `reasons[name]`,
uint8 and shaped as the column, holds a `Missing` code there and 0 where the value is present.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tidegate.clock import NAT, UNKNOWN, Arrival, TimeSource
from tidegate.vocabulary import parameter

Times = npt.NDArray[np.int64]
Column = npt.NDArray[np.float64] | npt.NDArray[np.int64]
Reasons = npt.NDArray[np.uint8]

MISSING_INT = NAT
MOST_CELLS = 4096
"""Of a profile: an echo sounder's ping is the longest there is. What claims more is not believed."""


class Missing(IntEnum):
    """Why a value is missing."""

    PRESENT = 0
    NOT_GIVEN = 1
    """The record has no value in this place (an empty field)."""
    INVALID = 2
    """The instrument itself marked the value as bad (-32768 in PD0, status bit of a radar, `Error-14`)."""
    UNREADABLE = 3
    """There was a value and it could not be understood."""
    NO_ANSWER = 4
    """The device did not answer a poll in time."""
    REFUSED = 5
    """The device answered a poll with an exception."""
    IMPLAUSIBLE = 6
    """The number lies outside what is possible on Earth."""


@dataclass(frozen=True, slots=True)
class Field:
    """One column: a parameter of the vocabulary as this instrument gives it. Profile fields have a value per cell."""

    name: str
    unit: str
    resolution: float
    integer: bool = False
    profile: bool = False

    @classmethod
    def of(cls, name: str, *, resolution: float | None = None, profile: bool = False) -> "Field":
        """The vocabulary's parameter `name` as a field, in its unit; `resolution` where the instrument's differs."""
        p = parameter(name)
        return cls(p.name, p.unit, p.resolution if resolution is None else resolution, p.integer, profile)

    @property
    def decimals(self) -> int:
        """Decimal places that print a value of this field without loss."""
        for decimals in range(16):
            steps = self.resolution * 10**decimals
            if abs(steps - round(steps)) < 1e-9 * max(steps, 1.0) and round(steps) > 0:
                return decimals
        return 16


@dataclass(frozen=True, slots=True)
class Cells:
    """Geometry of a profile: `count` cells of `size_m`, the middle of the first `first_m` from the transducer.

    `upward` is True where the instrument looks to the surface, None where it is not known.
    """

    count: int
    first_m: float
    size_m: float
    upward: bool | None = None


@dataclass(frozen=True)
class Schema:
    """What the Frames of one instrument hold. `kind` is its family: `ctd`, `adcp`, `tide_gauge`, `navigation`, …"""

    kind: str
    fields: tuple[Field, ...]
    cells: Cells | None = None

    @cached_property
    def id(self) -> bytes:
        """8 bytes that stand for this schema on the wire: a BLAKE2b hash of its canonical JSON."""
        return hashlib.blake2b(
            json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":")).encode(), digest_size=8
        ).digest()

    @cached_property
    def by_name(self) -> dict[str, Field]:
        """Fields by name, in order."""
        return {f.name: f for f in self.fields}

    def width(self, f: Field) -> int:
        """Values a sample of the field: 1, or the number of cells."""
        return self.cells.count if f.profile and self.cells else 1

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values, for the birth. `from_dict` is the inverse."""
        cells = self.cells
        return {
            "kind": self.kind,
            "fields": [
                {
                    "name": f.name,
                    "unit": f.unit,
                    "resolution": float(f.resolution),
                    "integer": f.integer,
                    "profile": f.profile,
                }
                for f in self.fields
            ],
            "cells": None
            if cells is None
            else {
                "count": cells.count,
                "first_m": cells.first_m,
                "size_m": cells.size_m,
                "upward": cells.upward,
            },
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "Schema":
        """A schema from what `as_dict` gave. Raises `KeyError`, `TypeError` or `ValueError` on anything else."""
        cells = value["cells"]
        schema = cls(
            str(value["kind"]),
            tuple(
                Field(
                    str(f["name"]),
                    str(f["unit"]),
                    float(f["resolution"]),
                    bool(f["integer"]),
                    bool(f["profile"]),
                )
                for f in value["fields"]
            ),
            None
            if cells is None
            else Cells(int(cells["count"]), float(cells["first_m"]), float(cells["size_m"]), cells["upward"]),
        )
        if len(schema.by_name) != len(schema.fields):
            raise ValueError(f"schema {schema.kind!r} names a field twice")
        for f in schema.fields:
            if not (f.resolution > 0 and np.isfinite(f.resolution)):
                raise ValueError(f"field {f.name!r}: resolution must be a positive number, not {f.resolution}")
            if f.profile and not (schema.cells and 0 < schema.cells.count <= MOST_CELLS):
                raise ValueError(f"field {f.name!r} is a profile, but the schema declares no cells (1 to {MOST_CELLS})")
        return schema


class FrameError(ValueError):
    """Columns that do not fit their schema: a fault of the program that made the Frame, never of the data."""


@dataclass(frozen=True, eq=False)
class Frame:
    """Consecutive samples of one instrument.

    `arrival` is that of the first byte of the first sample. Samples of one Frame share a boot and a steady clock, so a
    correction of `arrival.utc_ns` corrects every sample whose `source` is ARRIVAL by the same amount.
    """

    instrument: str
    schema: Schema
    time: Times
    columns: Mapping[str, Column]
    source: TimeSource = TimeSource.NONE
    arrival: Arrival = UNKNOWN
    reasons: Mapping[str, Reasons] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.time)
        if self.time.dtype != np.int64 or self.time.ndim != 1:
            raise FrameError(f"{self.instrument}: time must be int64 (n,), not {self.time.dtype} {self.time.shape}")
        if self.columns.keys() != self.schema.by_name.keys():
            odd = sorted(set(self.columns) ^ set(self.schema.by_name))
            raise FrameError(f"{self.instrument}: columns differ from the schema in {', '.join(odd)}")
        for f in self.schema.fields:
            column = self.columns[f.name]
            shape = (n, self.schema.width(f)) if f.profile else (n,)
            dtype = np.int64 if f.integer else np.float64
            if column.shape != shape or column.dtype != dtype:
                raise FrameError(
                    f"{self.instrument}: {f.name} must be {np.dtype(dtype)} {shape}, not {column.dtype} {column.shape}"
                )
            if f.name in self.reasons and self.reasons[f.name].shape != shape:
                raise FrameError(f"{self.instrument}: reasons of {f.name} must have shape {shape}")

    def __len__(self) -> int:
        return len(self.time)

    def missing(self, name: str) -> Reasons:
        """`Missing` codes of a column, shaped as it; a NaN for which no reason was given counts as NOT_GIVEN."""
        column = self.columns[name]
        absent = np.isnan(column) if column.dtype == np.float64 else column == MISSING_INT
        given = self.reasons.get(name)
        if given is None:
            return absent.astype(np.uint8) * np.uint8(Missing.NOT_GIVEN)
        return np.where(absent, np.maximum(given, np.uint8(Missing.NOT_GIVEN)), np.uint8(0)).astype(np.uint8)

    def take(self, rows: Any) -> "Frame":
        """The samples at `rows`: a slice, a boolean mask or indices."""
        return Frame(
            self.instrument,
            self.schema,
            self.time[rows],
            {name: column[rows] for name, column in self.columns.items()},
            self.source,
            self.arrival,
            {name: reasons[rows] for name, reasons in self.reasons.items()},
        )

    def follows(self, earlier: "Frame", *, tolerance_ns: int = 10_000_000) -> bool:
        """Whether this Frame may be joined to `earlier`: same instrument, schema, time source and boot, and no step
        of the wall clock between them greater than `tolerance_ns` (of a recording that knows no boot, any)."""
        return (
            self.instrument == earlier.instrument
            and self.schema == earlier.schema
            and self.source == earlier.source
            and self.arrival.follows(earlier.arrival, tolerance_ns)
        )


def concatenate(frames: Sequence[Frame]) -> Frame:
    """One Frame of the samples of all, in order. They must follow each other (`Frame.follows`)."""
    first = frames[0]
    if len(frames) == 1:
        return first
    with_reasons = {name for frame in frames for name in frame.reasons}
    return Frame(
        first.instrument,
        first.schema,
        np.concatenate([f.time for f in frames]),
        {name: np.concatenate([f.columns[name] for f in frames]) for name in first.schema.by_name},
        first.source,
        first.arrival,
        {name: np.concatenate([f.missing(name) for f in frames]) for name in with_reasons},
    )


def rows(frames: Iterable[Frame]) -> Iterable[dict[str, Any]]:
    """Samples as plain dicts for people and text formats: `time` (ISO 8601), then values; None where missing."""
    from tidegate.clock import isoformat

    for frame in frames:
        lists = {}
        for f in frame.schema.fields:
            column = frame.columns[f.name]
            absent = frame.missing(f.name) != 0
            values = column if f.integer else np.round(column, f.decimals)
            lists[f.name] = np.where(absent, np.array(None, object), values.astype(object)).tolist()
        for i, utc_ns in enumerate(frame.time.tolist()):
            yield {"time": isoformat(utc_ns), **{name: values[i] for name, values in lists.items()}}
