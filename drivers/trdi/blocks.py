"""The typed blocks of PD0 ensembles: where they lie, their layouts, and how columns are made of many of them at once.

Layouts from the manuals (Workhorse P/N 957-6156; Sentinel V 95D-6022; RiverPro 95B-6097; Pathfinder 95B-6116).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from drivers.trdi.framing import FIXED_SIZE, VARIABLE_SIZE, Bytes, Ensembles, Ints, Layout, Mask
from tidegate.clock import NAT
from tidegate.frame import MISSING_INT, Column, Missing, Reasons
from tidegate.vocabulary import parameter

IDS = (
    *(0x0000, 0x0080, 0x0100, 0x0200, 0x0300, 0x0400, 0x0500, 0x0600),
    *(0x0F01, 0x0A00, 0x0B00, 0x0C00, 0x0D00),
    *(0x0010, 0x0110, 0x0210, 0x0310, 0x0410, 0x0510),
    *(0x2000, 0x3200, 0x4100, 0x7002, 0x7004),
)
(FIXED, VARIABLE, VELOCITY, CORRELATION, ECHO, PERCENT_GOOD, STATUS, BOTTOM) = range(8)
VERTICAL_LEADER, VERTICAL_VELOCITY, VERTICAL_CORRELATION, VERTICAL_ECHO, VERTICAL_PERCENT_GOOD = range(8, 13)
SURFACE_LEADER = 13
NAVIGATION, MATRIX, VERTICAL_RANGE, SENTINEL_ADC, EVENTS = range(19, 24)
_COLUMN_OF = {id_: column for column, id_ in enumerate(IDS)}
_MESSAGES = (0x2022, 0x2100, 0x2101, 0x2102, 0x2103, 0x2104)
BAD_VELOCITY = -32768


def _dtype(size: int, **fields: tuple[str, int]) -> np.dtype[np.void]:
    return np.dtype(
        {
            "names": list(fields),
            "formats": [format_ for format_, _ in fields.values()],
            "offsets": [offset for _, offset in fields.values()],
            "itemsize": size,
        }
    )


FIXED_LEADER = _dtype(
    FIXED_SIZE,
    firmware=("u1", 2),
    revision=("u1", 3),
    system=("u1", 4),
    beam_angle=("u1", 5),
    cells=("u1", 9),
    pings=("<u2", 10),
    size_cm=("<u2", 12),
    coordinates=("u1", 25),
    alignment=("<i2", 26),
    bias=("<i2", 28),
    available=("u1", 31),
    first_cm=("<u2", 32),
)
VARIABLE_LEADER = _dtype(
    VARIABLE_SIZE,
    ensemble=("<u2", 2),
    clock=("(7,)u1", 4),
    ensemble_high=("u1", 11),
    self_test=("<u2", 12),
    sound_speed=("<u2", 14),
    depth_dm=("<u2", 16),
    heading=("<u2", 18),
    pitch=("<i2", 20),
    roll=("<i2", 22),
    salinity=("<u2", 24),
    temperature=("<i2", 26),
)
SPREAD = _dtype(42, heading=("u1", 31), pitch=("u1", 32), roll=("u1", 33), adc=("(8,)u1", 34))
ERROR_STATUS = _dtype(46, status=("<u4", 42))
PRESSURE = _dtype(52, dapa=("<i4", 48))
PRESSURE_SPREAD = _dtype(56, dapa=("<u4", 52))
Y2K = _dtype(65, clock=("(8,)u1", 57))
HEALTH = _dtype(
    77,
    leak_a=("<u2", 67),
    leak_b=("<u2", 69),
    voltage=("<u2", 71),
    current=("<u2", 73),
    impedance=("<u2", 75),
)
"""Of Pathfinder and its kin, whose variable leader is 77 bytes long."""
BOTTOM_TRACK = _dtype(
    44,
    range_cm=("(4,)<u2", 16),
    velocity=("(4,)<i2", 24),
    correlation=("(4,)u1", 32),
    echo=("(4,)u1", 36),
    percent_good=("(4,)u1", 40),
)
BOTTOM_HIGH = _dtype(81, rssi=("(4,)u1", 72), range_high=("(4,)u1", 77))
VERTICAL_BEAM = _dtype(40, cells=("<u2", 2), size_cm=("<u2", 6), first_cm=("<u2", 8), offset_ms=("<i2", 30))
SURFACE = _dtype(7, cells=("u1", 2), size_cm=("<u2", 3), first_cm=("<u2", 5))
VERTICAL_RANGE_BLOCK = _dtype(9, echo=("u1", 2), rssi=("u1", 3), range_mm=("<u4", 4), status=("u1", 8))
SENTINEL_ADC_BLOCK = _dtype(16, voltage=("<u2", 2))
EVENT_LOG = _dtype(4, count=("<u2", 2))
FIRST_EVENT = _dtype(6, code=("<u2", 4))
MATRIX_BLOCK = _dtype(34, elements=("(4,4)<i2", 2))


def beams(name: str) -> tuple[str, ...]:
    """The names of a parameter of the four slanted beams."""
    return tuple(f"{name}_beam_{beam}" for beam in (1, 2, 3, 4))


@dataclass(frozen=True, slots=True)
class Message:
    """A block with a sentence of another instrument: of ensemble `row`, at `data[at : at + width]`."""

    row: int
    id: int
    at: int
    width: int


@dataclass(slots=True)
class Blocks:
    """Where the blocks of n ensembles lie in `data`: `at` and `width` (n, len(IDS)); -1 and 0: no such block.

    `offsets` and `spans` (n,) are the ensembles' places and sizes in the stream.
    """

    data: Bytes
    starts: Ints
    sizes: Ints
    offsets: Ints
    spans: Ints
    at: Ints
    width: Ints
    messages: list[Message] = field(default_factory=list)

    def take(self, rows: Any) -> "Blocks":
        """Those at `rows`; their messages do not go with them."""
        return Blocks(
            self.data,
            self.starts[rows],
            self.sizes[rows],
            self.offsets[rows],
            self.spans[rows],
            self.at[rows],
            self.width[rows],
        )

    def __len__(self) -> int:
        return len(self.starts)

    def gather(self, block: int, dtype: np.dtype[np.void]) -> npt.NDArray[np.void]:
        """The blocks as a structured array (n,); all of them must be there."""
        return rows_of(self.data, self.at[:, block], dtype.itemsize).view(dtype)[:, 0]

    def profile(self, block: int, dtype: str, *shape: int) -> npt.NDArray[Any]:
        """What follows the id of the blocks, as (n, *shape)."""
        width = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return rows_of(self.data, self.at[:, block] + 2, width).view(dtype).reshape(len(self), *shape)


def rows_of(data: Bytes, at: Ints, width: int) -> Bytes:
    """The `width` bytes from each of `at`, as (n, width)."""
    windows: Bytes = np.ndarray((len(data) - width + 1, width), np.uint8, data, strides=(1, 1))
    return windows[at]


def locate(good: Ensembles) -> Blocks:
    """Reads the ids of all blocks of all ensembles."""
    n, data = len(good.starts), good.data
    found = Blocks(
        data,
        np.array(good.starts, np.int64),
        np.array([layout.size for layout in good.layouts], np.int64),
        np.array(good.offsets, np.int64),
        np.array(good.sizes, np.int64),
        np.full((n, len(IDS)), -1, np.int64),
        np.zeros((n, len(IDS)), np.int64),
    )
    first = 0
    while first < n:
        layout = good.layouts[first]
        last = first + 1
        while last < n and good.layouts[last] is layout:
            last += 1
        table = np.array(layout.offsets, np.int64)
        at = found.starts[first:last, None] + table
        ids = data[at] | data[at + 1].astype(np.int64) << 8
        for same in stretches(ids):
            _place(found, slice(first + same.start, first + same.stop), layout, ids[same.start].tolist())
        first = last
    _untold_navigation(found)
    return found


def _place(found: Blocks, rows: slice, layout: Layout, ids: Sequence[int]) -> None:
    starts, ends = layout.offsets, (*layout.offsets[1:], layout.size)
    for id_, start, end in zip(ids, starts, ends, strict=True):
        column = _COLUMN_OF.get(id_)
        if column is not None and found.at[rows.start, column] < 0:  # the first, should there be several
            found.at[rows, column] = found.starts[rows] + start
            found.width[rows, column] = end - start
        elif id_ in _MESSAGES:
            found.messages += [
                Message(row, id_, int(found.starts[row]) + start, end - start) for row in range(rows.start, rows.stop)
            ]


def _untold_navigation(found: Blocks) -> None:
    """VmDas appends its block without telling the table: 94 or 78 bytes before the end."""
    ends = found.starts + found.sizes
    for back in (94, 78):
        at = ends - back
        # Whether it is one, its dates and times tell (`drivers.trdi.navigation`).
        possible = (found.at[:, NAVIGATION] < 0) & (at >= found.at.max(axis=1) + 2)
        rows = np.flatnonzero(possible)
        rows = rows[(found.data[at[rows]] == 0) & (found.data[at[rows] + 1] == 0x20)]
        found.at[rows, NAVIGATION] = at[rows]
        found.width[rows, NAVIGATION] = back


def stretches(keys: Ints) -> list[slice]:
    """The slices of rows in which all keys (n, k) stay the same."""
    if not len(keys):
        return []
    cuts = (np.flatnonzero((keys[1:] != keys[:-1]).any(axis=1)) + 1).tolist()
    return [slice(a, b) for a, b in zip([0, *cuts], [*cuts, len(keys)], strict=True)]


@dataclass(slots=True)
class Columns:
    """Columns under construction, with the reasons of what is missing and the rows that hold unreal values."""

    columns: dict[str, Column] = field(default_factory=dict)
    reasons: dict[str, Reasons] = field(default_factory=dict)
    unreal: dict[str, Mask] = field(default_factory=dict)

    def add(self, name: str, values: npt.NDArray[Any], absent: Mask | None = None, why: int = Missing.INVALID) -> None:
        """Takes the values of one parameter; those outside its plausible span, unless `absent`, are refused."""
        p = parameter(name)
        low, high = p.plausible
        column: npt.NDArray[Any] = values.astype(np.int64 if p.integer else np.float64)
        unreal: Mask | None = None
        fits = values.dtype == np.uint8 and low <= 0 and high >= 255
        if not fits and column.size and (column.max() > high or column.min() < low):
            out = (column > high) | (column < low)
            unreal = out if absent is None else out & ~absent
        for mask, reason in ((absent, why), (unreal, Missing.IMPLAUSIBLE)):
            if mask is not None and mask.any():
                column[mask] = MISSING_INT if p.integer else np.nan
                reasons = self.reasons.setdefault(name, np.zeros(column.shape, np.uint8))
                reasons[mask] = reason
        if unreal is not None and unreal.any():
            self.unreal[name] = np.asarray(unreal.reshape(len(unreal), -1).any(axis=1))
        self.columns[name] = column

    def add_four(self, names: Sequence[str], values: npt.NDArray[Any], absent: Mask | None = None) -> None:
        """`values` (n, …, 4): one parameter for each of the four."""
        for i, name in enumerate(names):
            self.add(name, values[..., i], None if absent is None else absent[..., i])


def times_of(year: Ints, clock: Ints) -> Ints:
    """UTC nanoseconds of a real-time clock: `clock` (n, 7) holds year, month, day, hour, minute, second, 1/100 s. NAT
    where it shows no time that there is."""
    month, day = clock[:, 1], clock[:, 2]
    months = np.where((month >= 1) & (month <= 12), (year - 1970) * 12 + month - 1, 0).astype("M8[M]")
    days = months.astype("M8[D]") + (day - 1)
    valid = (month >= 1) & (month <= 12) & (days.astype("M8[M]") == months)
    valid &= (clock[:, 3:] < np.array([24, 60, 60, 100])).all(axis=1)
    hundredths = ((days.astype(np.int64) * 24 + clock[:, 3]) * 60 + clock[:, 4]) * 60 + clock[:, 5]
    hundredths = hundredths * 100 + clock[:, 6]
    times: Ints = np.where(valid, hundredths * 10_000_000, NAT)
    return times
