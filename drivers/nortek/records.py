"""Turns many records of one layout into the columns of a Frame at once, for Nortek's binary drivers.

A `Plan` says for one layout where each parameter stands in a record and how it becomes a value; `Plan.decode` reads
all records through one structured dtype. Scalars are scaled and checked together as the rows of one matrix, the cells
of all beams as one block. `frames` then makes Frames of what was decoded: a Frame for each plan, ended where a Problem
lies, where the clock of the gateway was set, and where the instrument's clock began or ceased to show a time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from drivers.arrivals import Arrivals
from drivers.driver import Decoded, Problem, problem
from drivers.nortek.framing import Framer, Ints, Mask
from tidegate.clock import NAT, TimeSource
from tidegate.frame import MISSING_INT, Cells, Column, Field, Frame, Missing, Reasons, Schema
from tidegate.vocabulary import parameter

Rows = npt.NDArray[np.void]
Clock = Callable[[Rows], Ints]
"""Records -> (n,) UTC nanoseconds, NAT where the instrument's clock shows no time that there is."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """One number of a record: (raw / divisor + add), rounded to `resolution` where that is not a mere decimal shift.

    `invalid` is the raw number that stands for a bad value; `absent` says that the record marks it as not measured.
    `high` is where a byte stands that counts 65536 each.
    """

    name: str
    format: str
    at: int
    divisor: float = 1.0
    resolution: float | None = None
    add: float = 0.0
    rounded: bool = False
    invalid: float | None = None
    absent: bool = False
    high: int | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """The numbers of several beams (or components), beam after beam, each with `cells` cells; 0: a single number."""

    names: tuple[str, ...]
    format: str
    at: int
    cells: int
    divisor: float = 1.0
    resolution: float | None = None
    invalid: float | None = None
    rounded: bool = False


@dataclass(frozen=True)
class Plan:
    """How the records of one layout are read. `size` is the record's, from its first byte on."""

    kind: str
    size: int
    scalars: tuple[Scalar, ...]
    blocks: tuple[Block, ...]
    cells: Cells | None
    clock: Clock

    @cached_property
    def schema(self) -> Schema:
        """What its Frames hold."""
        fields = [Field.of(s.name, resolution=s.resolution) for s in self.scalars]
        for block in self.blocks:
            fields += [Field.of(name, resolution=block.resolution, profile=block.cells > 0) for name in block.names]
        return Schema(self.kind, tuple(fields), self.cells)

    @property
    def needs(self) -> int:
        """The bytes that a record must have for all of it."""
        ends = [s.at + np.dtype(s.format).itemsize for s in self.scalars]
        ends += [b.at + len(b.names) * max(b.cells, 1) * np.dtype(b.format).itemsize for b in self.blocks]
        return max(ends, default=0)

    @cached_property
    def dtype(self) -> np.dtype[np.void]:
        """A record: scalars as `s0`, …, blocks as `b0`, …, and all its bytes as `bytes`."""
        names = [f"s{i}" for i in range(len(self.scalars))] + [f"b{i}" for i in range(len(self.blocks))]
        formats: list[Any] = [s.format for s in self.scalars]
        formats += [(b.format, (len(b.names), max(b.cells, 1))) for b in self.blocks]
        offsets = [s.at for s in self.scalars] + [b.at for b in self.blocks]
        return np.dtype(
            {
                "names": [*names, "bytes"],
                "formats": [*formats, (np.uint8, (self.size,))],
                "offsets": [*offsets, 0],
                "itemsize": self.size,
            }
        )

    @cached_property
    def _split(self) -> tuple["_Rows", "_Rows"]:
        integer = [parameter(s.name).integer for s in self.scalars]
        return (
            _Rows.of([(i, s) for i, s in enumerate(self.scalars) if not integer[i]]),
            _Rows.of([(i, s) for i, s in enumerate(self.scalars) if integer[i]]),
        )

    @cached_property
    def _checks(self) -> tuple[bool, ...]:
        """Of each block, whether its raw numbers can lie outside what is plausible, or be invalid."""
        checks = []
        for block in self.blocks:
            low, high = parameter(block.names[0]).plausible
            kind = np.dtype(block.format)
            if kind.kind == "f":
                checks.append(True)
                continue
            span = np.iinfo(kind)
            checks.append(
                block.invalid is not None or span.min / block.divisor < low or span.max / block.divisor > high
            )
        return tuple(checks)

    def decode(self, raw: bytes) -> "Columns":
        """The columns of records that stand one behind the other in `raw`."""
        records = np.frombuffer(raw, self.dtype)
        out = Columns(self.clock(records), {}, {}, {})
        with np.errstate(invalid="ignore", over="ignore"):  # of floats that are none, which are judged below
            for rows, dtype in zip(self._split, (np.float64, np.int64), strict=True):
                if rows.scalars:
                    rows.decode(records, np.dtype(dtype), out)
            for i, block in enumerate(self.blocks):
                self._decode_block(block, records[f"b{i}"], self._checks[i], out)
        return out

    def _decode_block(self, block: Block, raw: npt.NDArray[Any], check: bool, out: "Columns") -> None:
        beams = raw.transpose(1, 0, 2)
        integer = parameter(block.names[0]).integer
        values: npt.NDArray[Any] = np.empty(beams.shape, np.int64 if integer else np.float64)
        if integer or block.divisor == 1:
            values[...] = beams
        else:
            np.divide(beams, block.divisor, out=values)
        if block.rounded:
            np.round(values, Field.of(block.names[0], resolution=block.resolution).decimals, out=values)
            values += 0.0
        for beam, name in enumerate(block.names):
            column = values[beam] if block.cells else values[beam, :, 0]
            out.columns[name] = column
            if check:
                source = beams[beam] if block.cells else beams[beam, :, 0]
                invalid = None
                if source.dtype.kind == "f":
                    bad = ~np.isfinite(source)
                    invalid = bad if bad.any() else None
                if block.invalid is not None and (source == block.invalid).any():
                    marked = source == block.invalid
                    invalid = marked if invalid is None else invalid | marked
                out.judge(name, column, invalid)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Scalars of one type as the rows of a matrix."""

    scalars: tuple[tuple[str, Scalar], ...]
    divisor: npt.NDArray[np.float64]
    add: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    rounded: tuple[tuple[int, int], ...]
    special: tuple[int, ...]
    upper: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, scalars: Sequence[tuple[int, Scalar]]) -> "_Rows":
        def column(values: list[float]) -> npt.NDArray[np.float64]:
            return np.array(values, np.float64).reshape(-1, 1)

        plain = [s for _, s in scalars]
        spans = [parameter(s.name).plausible for s in plain]
        decimals = [Field.of(s.name, resolution=s.resolution).decimals for s in plain]
        return cls(
            tuple((f"s{i}", s) for i, s in scalars),
            column([s.divisor for s in plain]),
            column([s.add for s in plain]),
            column([low for low, _ in spans]),
            column([high for _, high in spans]),
            tuple((row, decimals[row]) for row, s in enumerate(plain) if s.rounded or s.add),
            tuple(
                row
                for row, s in enumerate(plain)
                if s.absent or s.invalid is not None or np.dtype(s.format).kind == "f"
            ),
            tuple((row, s.high) for row, s in enumerate(plain) if s.high is not None),
        )

    def decode(self, records: Rows, dtype: np.dtype[Any], out: "Columns") -> None:
        values = np.empty((len(self.scalars), len(records)), dtype)
        for row, (field, _) in enumerate(self.scalars):
            values[row] = records[field]
        for row, at in self.upper:
            values[row] += records["bytes"][:, at] * 65536.0
        if dtype == np.float64:
            values /= self.divisor
            values += self.add
            for row, decimals in self.rounded:
                np.round(values[row], decimals, out=values[row])
                values[row] += 0.0  # -0 is 0
        strange = ((values < self.low) | (values > self.high)).any(axis=1)
        for row, (_, scalar) in enumerate(self.scalars):
            out.columns[scalar.name] = values[row]
        for row in {*np.flatnonzero(strange).tolist(), *self.special}:
            field, scalar = self.scalars[row]
            raw = records[field]
            invalid: Mask = np.full(len(records), scalar.absent)
            if scalar.invalid is not None:
                invalid |= raw == scalar.invalid
            if raw.dtype.kind == "f":
                invalid |= ~np.isfinite(raw)
            out.judge(scalar.name, values[row], invalid if invalid.any() else None)


@dataclass(frozen=True, slots=True)
class Columns:
    """Decoded records: their times, columns, why values are missing, and the rows that held unreal values."""

    times: Ints
    columns: dict[str, Column]
    reasons: dict[str, Reasons]
    unreal: dict[str, Mask]

    def judge(self, name: str, column: npt.NDArray[Any], invalid: Mask | None) -> None:
        """Makes values missing: those marked `invalid`, and what is outside the parameter's plausible span."""
        low, high = parameter(name).plausible
        out = (column < low) | (column > high)
        if invalid is not None:
            out &= ~invalid
        for mask, reason in ((invalid, Missing.INVALID), (out, Missing.IMPLAUSIBLE)):
            if mask is not None and mask.any():
                column[mask] = MISSING_INT if column.dtype == np.int64 else np.nan
                self.reasons.setdefault(name, np.zeros(column.shape, np.uint8))[mask] = reason
        if out.any():
            self.unreal[name] = np.asarray(out.reshape(len(out), -1).any(axis=1))


@dataclass(slots=True)
class Group:
    """Records of one plan in one buffer: indices where they begin, in order. `times` are theirs where it is not their
    own clock that tells; NAT there means that only the arrival is known."""

    plan: Plan
    starts: list[int]
    times: list[int] | None = None


def frames(instrument: str, framer: Framer, groups: Sequence[Group], problems: Sequence[Problem]) -> list[Decoded]:
    """Frames of the groups' records and all Problems, ordered by where they begin in the stream.

    A sample's time is the instrument's clock; where that shows no time that exists it is the arrival of its record,
    which is reported.
    """
    events: list[tuple[int, Decoded]] = [(p.offset, p) for p in problems]
    breaks = np.array([p.offset for p in problems], np.int64)
    pieces, moments = framer.arrivals
    steady = Arrivals.of(moments).stretches()
    for group in groups:
        plan, starts = group.plan, np.array(group.starts, np.int64)
        raw = b"".join([framer.buffer[start : start + plan.size] for start in group.starts])
        decoded = plan.decode(raw)
        offsets = starts + framer.base
        piece = pieces.searchsorted(offsets, "right") - 1
        times = decoded.times if group.times is None else np.array(group.times, np.int64)
        no_clock = times == NAT
        if no_clock.any():
            times = np.where(no_clock, np.array([at.utc_ns for at in moments], np.int64)[piece], times)
            if group.times is None:
                decoded.unreal["clock"] = no_clock
        for rows in _stretches(breaks.searchsorted(offsets), steady[piece], no_clock):
            frame = Frame(
                instrument,
                plan.schema,
                times[rows],
                {name: column[rows] for name, column in decoded.columns.items()},
                TimeSource.ARRIVAL if no_clock[rows.start] else TimeSource.INSTRUMENT,
                moments[int(piece[rows.start])],
                {name: reasons[rows] for name, reasons in decoded.reasons.items()},
            )
            events.append((int(offsets[rows.start]), frame))
        if decoded.unreal:
            for row in np.flatnonzero(np.any(list(decoded.unreal.values()), axis=0)).tolist():
                offset = int(offsets[row])
                names = ", ".join(name for name, mask in decoded.unreal.items() if mask[row])
                data = raw[row * plan.size : (row + 1) * plan.size]
                message = f"no such value in the sea; left out of the sample: {names}"
                events.append((offset, problem("implausible", message, offset, data, framer.arrival(offset))))
    events.sort(key=lambda event: event[0])
    return [item for _, item in events]


def _stretches(*keys: npt.NDArray[Any]) -> list[slice]:
    """The slices of rows in which all keys (n,) stay the same."""
    n = len(keys[0])
    change = np.zeros(max(n - 1, 0), np.bool_)
    for key in keys:
        change |= key[1:] != key[:-1]
    cuts = (change.nonzero()[0] + 1).tolist()
    return [slice(a, b) for a, b in zip([0, *cuts], [*cuts, n], strict=True)]


def utc_ns(year: Ints, month: Ints, day: Ints, seconds_ns: Ints, valid: Mask) -> Ints:
    """UTC nanoseconds of calendar dates (month from 1) plus `seconds_ns` of the day; NAT where `valid` is False or the
    date does not exist."""
    in_year = valid & (month >= 1) & (month <= 12)
    months = np.where(in_year, (year - 1970) * 12 + month - 1, 0).astype("M8[M]")
    days = months.astype("M8[D]") + (day - 1)
    exists = in_year & (days.astype("M8[M]") == months)
    times: Ints = np.where(exists, days.astype(np.int64) * 86_400_000_000_000 + seconds_ns, NAT)
    return times
