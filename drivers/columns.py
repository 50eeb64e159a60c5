"""Values of many samples as columns, at once: text to numbers, units to the vocabulary's, words to missing, rounding to
what was printed, and what cannot be.

A driver that read lines has for each sample the values as they were printed. `columns` turns those of many samples
into the columns of a Frame; a value that is no number must have been replaced by `INVALID` or `NOT_GIVEN` before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from tidegate.frame import MISSING_INT, Column, Field, Missing, Reasons, Schema, Times
from tidegate.vocabulary import PARAMETERS, parameter

Floats = npt.NDArray[np.float64]

INVALID = b"nan"
"""In the place of a value that the instrument itself marked as bad."""
NOT_GIVEN = b""
"""In the place of a value that is not there."""


@dataclass(frozen=True, slots=True)
class Value:
    """How one printed value becomes a column of parameter `name`: `printed * scale + shift` is in the vocabulary's
    unit and is rounded to `resolution`. An empty `name` is a value that is passed over."""

    name: str
    resolution: float = 1.0
    scale: float = 1.0
    shift: float = 0.0

    def field(self) -> Field:
        """The field of a schema."""
        return Field.of(self.name, resolution=self.resolution)


def columns(
    values: Sequence[Value], rows: Sequence[tuple[bytes, ...]], empty: Missing = Missing.NOT_GIVEN
) -> tuple[dict[str, Column], dict[str, Reasons]]:
    """(columns, reasons) of `rows` (n, values), each value a decimal number, `INVALID` or `NOT_GIVEN`.

    `empty` is the reason of those that are not there.
    """
    result: dict[str, Column] = {}
    reasons: dict[str, Reasons] = {}
    table = np.array(rows, bytes)
    for i, value in enumerate(values):
        if not value.name:
            continue
        printed = table[:, i]
        absent, invalid = printed == NOT_GIVEN, printed == INVALID
        lacking = absent | invalid
        steps = round(1 / value.resolution)
        plain = np.where(lacking, INVALID, printed).astype(np.float64)
        numbers = np.rint((plain * value.scale + value.shift) * steps) / steps
        if parameter(value.name).integer:
            result[value.name] = np.where(lacking, MISSING_INT, np.where(lacking, 0, numbers).astype(np.int64))
        else:
            result[value.name] = numbers
        if lacking.any():
            codes = np.zeros(len(rows), np.uint8)
            codes[absent], codes[invalid] = empty, Missing.INVALID
            reasons[value.name] = codes
    return result, reasons


def rounded(values: Floats, resolution: float) -> Floats:
    """`values` to the nearest multiple of `resolution` (a power of ten), as the nearest such decimal number."""
    steps = round(1 / resolution)
    result: Floats = np.rint(values * steps) / steps
    return result


def as_printed(values: Floats, field: Field) -> Column:
    """`values` to the resolution of their field; whole numbers where it is of such."""
    whole = rounded(values, field.resolution)
    return whole.astype(np.int64) if field.integer else whole


def implausible(schema: Schema, columns: dict[str, Column], reasons: dict[str, Reasons]) -> dict[int, list[str]]:
    """Takes out of `columns` what is impossible on Earth, notes it in `reasons`, and says it, by row."""
    doubts: dict[int, list[str]] = {}
    for f in schema.fields:
        values = columns[f.name]
        p = PARAMETERS.get(f.name)
        if f.integer or p is None:  # of a name of somebody's own nobody knows what is possible
            continue
        low, high = p.plausible
        given = reasons.get(f.name)
        bad = ~((values >= low) & (values <= high))
        if given is not None:
            bad &= given == 0
        rows = np.flatnonzero(bad).tolist()
        if not rows:
            continue
        for row in rows:
            if np.isfinite(values[row]):
                doubt = f"{p.label.lower()} {values[row]:.{f.decimals}f} {f.unit} is not within {low:g} to {high:g}"
            else:
                doubt = f"no {p.label.lower()} can be computed"
            doubts.setdefault(row, []).append(doubt)
        columns[f.name] = np.where(bad, np.nan, values)
        codes = np.zeros(len(values), np.uint8) if given is None else given.copy()
        codes[bad] = Missing.IMPLAUSIBLE
        reasons[f.name] = codes
    return doubts


def moments(stamps: Sequence[bytes]) -> Times:
    """Nanoseconds UTC of many `YYYY-MM-DD hh:mm:ss[.fraction]`, whose days are in the calendar and clocks in order."""
    return np.array(stamps, bytes).astype("datetime64[ns]").astype(np.int64)


@lru_cache(maxsize=4096)
def is_day(year: int, month: int, day: int) -> bool:
    """Whether the calendar has this day, within what nanoseconds in 64 bits can count."""
    try:
        date(year, month, day)
    except ValueError:
        return False
    return 1900 <= year < 2200
