"""Teledyne RDI's PD0: the binary ensembles of Workhorse, Sentinel, RiverPro, Long Ranger and other ADCPs.

Theory of operation. An ensemble begins with 7F 7F and its length, holds a table of offsets to typed blocks, and ends
with the sum of all its bytes modulo 65536 (manuals that say 65535 are wrong). Three things decide that bytes are an
ensemble: a header that can be one, the checksum, and blocks that agree with the number of cells. Framing goes from
the first byte to the last: where 7F 7F is not the start of an ensemble, the search goes on one byte later, so an
ensemble that a wrong length swallowed is still found. Running sums over the buffer make every checksum one
subtraction, so that hostile bytes cost no more than honest ones. A header that cannot be one is given up as soon as
that can be seen, so that a damaged length does not hold back what follows.

Decoding gathers the same block of many ensembles into one array. Ensembles of equal geometry become one Frame; a
change of cells, coordinates, orientation or blocks gives a new Schema (RiverPro changes its cells at will).

What is decoded: the fixed and variable leader (clock, attitude, water temperature, salinity, sound speed, pressure,
depth, self test and error status), velocity, correlation, echo intensity, percent good, and bottom track. All else
(vertical beam, navigation, NMEA of WinRiver, ADC counts, standard deviations, the status block) is passed over and
stays in the raw log. Salinity, sound speed, depth and attitude are as the ensemble has them, measured or set by
command; the pressure of an instrument without a pressure sensor is missing.

Sources: Workhorse Commands and Output Data Format (P/N 957-6156), chapter "PD0 Output Data Format"; the sum modulo
65536 from recordings. Velocities: beams are positive toward the transducer; bottom track gives the motion of the
bottom past the instrument.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from drivers.driver import Decoded, Driver, DriverSettings, Problem, problem
from tidegate.clock import NAT, UNKNOWN, Arrival, TimeSource
from tidegate.frame import MISSING_INT, Cells, Column, Field, Frame, Missing, Reasons, Schema
from tidegate.vocabulary import parameter

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

SYNC = 0x7F
NOISE = 4096
"""Endless noise is reported in pieces of this many bytes."""
_PIECE = 1 << 20  # a longer feed is worked off in pieces of this size, so that memory stays bounded

_FIXED, _VARIABLE, _VELOCITY, _CORRELATION, _ECHO, _PERCENT_GOOD, _BOTTOM = range(7)
_IDS = (0x0000, 0x0080, 0x0100, 0x0200, 0x0300, 0x0400, 0x0600)
_BYTES_PER_CELL = {0x0100: 8, 0x0200: 4, 0x0300: 4, 0x0400: 4, 0x0500: 4}
_MOST_PADDING = 32  # spare bytes that an instrument may leave behind its last cell

_FIXED_LEADER = np.dtype(
    {
        "names": ["system", "beam_angle", "cells", "pings", "size_cm", "coordinates", "available", "first_cm"],
        "formats": ["u1", "u1", "u1", "<u2", "<u2", "u1", "u1", "<u2"],
        "offsets": [4, 5, 9, 10, 12, 25, 31, 32],
        "itemsize": 34,
    }
)
_VARIABLE_LEADER = np.dtype(
    {
        "names": [
            "ensemble",
            "clock",
            "ensemble_high",
            "self_test",
            "sound_speed",
            "depth_dm",
            "heading",
            "pitch",
            "roll",
            "salinity",
            "temperature",
        ],
        "formats": ["<u2", "(7,)u1", "u1", "<u2", "<u2", "<u2", "<u2", "<i2", "<i2", "<u2", "<i2"],
        "offsets": [2, 4, 11, 12, 14, 16, 18, 20, 22, 24, 26],
        "itemsize": 28,
    }
)
_STATUS = np.dtype({"names": ["status"], "formats": ["<u4"], "offsets": [42], "itemsize": 46})
_PRESSURE = np.dtype({"names": ["pressure_dapa"], "formats": ["<i4"], "offsets": [48], "itemsize": 52})
_Y2K = np.dtype({"names": ["clock"], "formats": ["(8,)u1"], "offsets": [57], "itemsize": 65})
_BOTTOM_TRACK = np.dtype(
    {
        "names": ["range_cm", "velocity", "correlation", "echo", "percent_good"],
        "formats": ["(4,)<u2", "(4,)<i2", "(4,)u1", "(4,)u1", "(4,)u1"],
        "offsets": [16, 24, 32, 36, 40],
        "itemsize": 44,
    }
)
_BOTTOM_RANGE_HIGH = np.dtype({"names": ["high"], "formats": ["(4,)u1"], "offsets": [77], "itemsize": 81})

_INSTRUMENT_SERIAL = slice(54, 58)
_PRESSURE_SENSOR = 0x20  # "sensors available": the depth bit stands for the pressure sensor
_BAD_VELOCITY = -32768
_UNREAL_VELOCITY = 32000

_FREQUENCIES_KHZ = (75, 150, 300, 600, 1200, 2400)
_BEAM_ANGLES = {0: 15, 1: 20, 2: 30}
_COORDINATES = ("beam", "instrument", "ship", "earth")
_ERROR = "indicative_error_from_multibeam_acoustic_doppler_velocity_profiler_in_sea_water"


def _beams(name: str) -> tuple[str, ...]:
    return tuple(f"{name}_beam_{beam}" for beam in (1, 2, 3, 4))


_VELOCITIES = (
    _beams("radial_sea_water_velocity_toward_instrument"),
    ("sea_water_x_velocity", "sea_water_y_velocity", "sea_water_z_velocity", _ERROR),
    ("starboard_sea_water_velocity", "forward_sea_water_velocity", "upward_sea_water_velocity", _ERROR),
    ("eastward_sea_water_velocity", "northward_sea_water_velocity", "upward_sea_water_velocity", _ERROR),
)
_BOTTOM_VELOCITIES = (
    _beams("bottom_track_velocity"),
    *(
        tuple(f"bottom_track_{axis}_velocity" for axis in axes)
        for axes in (
            ("x", "y", "z", "error"),
            ("starboard", "forward", "upward", "error"),
            ("eastward", "northward", "upward", "error"),
        )
    ),
)
_CORRELATIONS = _beams("beam_consistency_indicator_from_multibeam_acoustic_doppler_velocity_profiler_in_sea_water")
_ECHOES = _beams("signal_intensity_from_multibeam_acoustic_doppler_velocity_sensor_in_sea_water")
_BEAM_PERCENT_GOOD = _beams("proportion_of_acceptable_signal_returns_from_acoustic_instrument_in_sea_water")
_COMBINED_PERCENT_GOOD = (
    "percent_of_three_beam_solutions",
    "percent_of_rejected_transformations",
    "percent_of_pings_with_bad_beams",
    "percent_of_four_beam_solutions",
)
_BOTTOM_RANGES = _beams("bottom_track_range")
_BOTTOM_CORRELATIONS = _beams("bottom_track_correlation")
_BOTTOM_ECHOES = _beams("bottom_track_echo_intensity")


class _Geometry(NamedTuple):
    """What must be equal in ensembles of one Frame; all of it numbers, for they are compared as an array."""

    cells: int
    size_cm: int
    first_cm: int
    coordinates: int
    upward: int
    velocity: int
    correlation: int
    echo: int
    percent_good: int
    bottom: int
    bottom_range_high: int
    status: int
    pressure: int
    y2k: int


_GEOMETRY_OF_COLUMNS = [
    at for at, name in enumerate(_Geometry._fields) if name not in ("size_cm", "first_cm", "upward")
]
"""The rest says where the cells are, not what the columns are: such ensembles are decoded together."""


# Percent good counts pings of each beam in beam coordinates, and kinds of solution in all others.
def _percent_good(coordinates: int) -> tuple[str, ...]:
    return _BEAM_PERCENT_GOOD if coordinates == 0 else _COMBINED_PERCENT_GOOD


def _bottom_percent_good(coordinates: int) -> tuple[str, ...]:
    if coordinates == 0:
        return _beams("bottom_track_percent_good")
    return tuple(f"bottom_track_{name}" for name in _COMBINED_PERCENT_GOOD)


def _schema(geometry: _Geometry) -> Schema:
    g = geometry
    fields = [
        Field.of("ensemble_number"),
        Field.of("platform_orientation"),
        Field.of("platform_pitch_fore_up"),
        Field.of("platform_roll_starboard_down"),
        Field.of("sea_water_temperature", resolution=0.01),
        Field.of("sea_water_practical_salinity", resolution=1.0),
        Field.of("speed_of_sound_in_sea_water", resolution=1.0),
        Field.of("depth", resolution=0.1),
        Field.of("built_in_test_result"),
    ]
    if g.pressure:
        fields.append(Field.of("sea_water_pressure_due_to_sea_water", resolution=0.001))
    if g.status:
        fields.append(Field.of("device_status"))
    for present, names in (
        (g.velocity, _VELOCITIES[g.coordinates]),
        (g.correlation, _CORRELATIONS),
        (g.echo, _ECHOES),
        (g.percent_good, _percent_good(g.coordinates)),
    ):
        if present:
            fields.extend(Field.of(name, profile=True) for name in names)
    if g.bottom:
        fields.extend(Field.of(name, resolution=0.01) for name in _BOTTOM_RANGES)
        fields.extend(Field.of(name) for name in _BOTTOM_VELOCITIES[g.coordinates])
        for names in (_BOTTOM_CORRELATIONS, _BOTTOM_ECHOES, _bottom_percent_good(g.coordinates)):
            fields.extend(Field.of(name) for name in names)
    cells = Cells(g.cells, g.first_cm / 100, g.size_cm / 100, bool(g.upward)) if g.cells else None
    return Schema("adcp", tuple(fields), cells)


class _Layout(NamedTuple):
    """The offset table of a header."""

    size: int
    """Bytes of the ensemble without its checksum."""
    offsets: tuple[int, ...]


def _layout(head: bytes) -> _Layout | None:
    """The table in a header (from 7F 7F to the last offset); None where no ensemble can have such a header."""
    words = np.frombuffer(head, "<u2")
    size, offsets = int(words[1]), tuple(words[3:].tolist())
    increasing = all(a < b for a, b in pairwise(offsets))
    if (
        not increasing
        or offsets[-1] + 2 > size
        or offsets[1] - offsets[0] < _FIXED_LEADER.itemsize
        or (offsets[2] if len(offsets) > 2 else size) - offsets[1] < _VARIABLE_LEADER.itemsize
    ):
        return None
    return _Layout(size, offsets)


@dataclass(slots=True)
class _Damage:
    """A failed ensemble that is not reported yet, because a good one may still be found inside it."""

    kind: str
    message: str
    end: int


class _Ensembles(NamedTuple):
    """Good ensembles of one buffer, in order. `starts` are indices of the buffer."""

    starts: list[int]
    layouts: list[_Layout]


class _Framer:
    """Finds the ensembles in a stream. Offsets are absolute: counted from the first byte ever fed.

    Bytes from `_unreported` on are kept; those before `_judged` are known to start no ensemble. A failed ensemble, or
    noise, is reported when a good ensemble, its own end, or `NOISE` bytes have been reached, so that what is reported
    depends on the bytes alone and not on how they were cut.
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._base = 0  # of the first byte kept
        self._end = 0  # of all bytes fed
        self._judged = 0
        self._unreported = 0
        self._needed = 0  # nothing can be decided before the stream is this long
        self._damage: _Damage | None = None
        self._arrivals: list[tuple[int, Arrival]] = []
        self._layouts: dict[bytes, _Layout | None] = {}
        self._problems: list[Problem] = []
        self.buffer = b""

    @property
    def base(self) -> int:
        """Offset of `buffer[0]`."""
        return self._base

    def feed(self, data: bytes, at: Arrival) -> tuple[_Ensembles, list[Problem]] | None:
        """The ensembles that `data` completed; None where it cannot have completed any."""
        if not self._arrivals or self._arrivals[-1][1] != at:
            self._arrivals.append((self._end, at))
        self._pieces.append(data)
        self._end += len(data)
        return None if self._end < self._needed else self._search(final=False)

    def finish(self) -> tuple[_Ensembles, list[Problem]]:
        """What is left, judged as it stands."""
        return self._search(final=True)

    def forget(self) -> None:
        """Drops what needs to be kept no longer. The buffer's indices are void after it."""
        self._pieces = [self.buffer[self._unreported - self._base :]]
        self.buffer = b""
        self._base = self._unreported
        keep = 0
        while keep + 1 < len(self._arrivals) and self._arrivals[keep + 1][0] <= self._base:
            keep += 1
        del self._arrivals[:keep]

    def arrival(self, offset: int) -> Arrival:
        """When the byte at `offset` arrived."""
        found = UNKNOWN
        for start, at in self._arrivals:
            if start > offset:
                break
            found = at
        return found

    def arrivals(self, offsets: Ints) -> tuple[Ints, list[Arrival]]:
        """(index into the list for each offset, arrivals of the pieces that are kept)."""
        starts = np.array([start for start, _ in self._arrivals], np.int64)
        return np.searchsorted(starts, offsets, side="right") - 1, [at for _, at in self._arrivals]

    def _search(self, *, final: bool) -> tuple[_Ensembles, list[Problem]]:
        self.buffer = buffer = b"".join(self._pieces)
        good = _Ensembles([], [])
        self._problems = []
        waits_for = 0
        for start, checksum_is_good in self._candidates(buffer):
            offset = self._base + start
            if offset < self._judged:
                continue
            verdict = self._judge(buffer, start)
            if verdict is None:
                continue
            if isinstance(verdict, int):
                # More bytes are needed to tell what it is.
                if not final:
                    waits_for = self._base + verdict
                    self._judged = offset
                    break
                if not self._in_damage(offset):
                    self._report(offset)
                    self._damage = _Damage("truncated", "the stream ends inside an ensemble", self._end)
            elif not checksum_is_good:
                if not self._in_damage(offset):
                    self._report(offset)
                    message = _checksum_message(buffer, start, verdict)
                    self._damage = _Damage("checksum", message, offset + verdict.size + 2)
            else:
                self._report(offset)
                good.starts.append(start)
                good.layouts.append(verdict)
                self._judged = self._unreported = offset + verdict.size + 2
        if not waits_for:
            half_a_sync = bool(buffer) and buffer[-1] == SYNC and not final
            self._judged = max(self._judged, self._end - half_a_sync)
        if final:
            self._report(self._end)
        elif self._damage and self._damage.end <= self._judged:
            self._report(self._damage.end)
        if not self._damage:
            self._report(self._judged - (self._judged - self._unreported) % NOISE)
        self._needed = waits_for
        return good, self._problems

    def _candidates(self, buffer: bytes) -> list[tuple[int, bool]]:
        """(index, whether its checksum is good) of everything that may start an ensemble, and of every 7F 7F too near
        to the end of the buffer to tell."""
        data = np.frombuffer(buffer, np.uint8)
        first = self._judged - self._base
        pairs = (data[first:-1] == SYNC) & (data[first + 1 :] == SYNC)
        starts = np.flatnonzero(pairs) + first
        told = starts[starts + 8 <= len(data)]
        types = data[told + 5].astype(np.int64)
        size = _u16(data, told + 2)
        likely = (types >= 2) & (_u16(data, told + 6) == 6 + 2 * types) & (size >= 6 + 2 * types)
        told, size = told[likely], size[likely]
        checked = told + size + 2 <= len(data)
        good = np.zeros(len(told), np.bool_)
        if checked.any():
            at, end = told[checked], (told + size)[checked]
            sums = np.zeros(len(data) - first + 1, np.uint32)
            np.cumsum(data[first:], dtype=np.uint32, out=sums[1:])
            good[checked] = ((sums[end - first] - sums[at - first]) & 0xFFFF) == _u16(data, end)
        found = list(zip(told.tolist(), good.tolist(), strict=True))
        return found + [(start, False) for start in starts[starts + 8 > len(data)].tolist()]

    def _judge(self, buffer: bytes, start: int) -> _Layout | int | None:
        """The layout of the ensemble that `start` begins; None where it can begin none; the least length of the
        buffer at which more can be said. All three depend on the bytes of that ensemble alone."""
        if len(buffer) < start + 8:
            return start + 8
        head_end = start + 6 + 2 * buffer[start + 5]
        if len(buffer) < head_end:
            return head_end
        head = buffer[start:head_end]
        try:
            layout = self._layouts[head]
        except KeyError:
            if len(self._layouts) >= 1024:
                self._layouts.clear()
            layout = self._layouts[head] = _layout(head)
        if layout is None:
            return None
        last = start + layout.offsets[-1]
        if len(buffer) < last + 2:
            return last + 2
        fixed, variable = start + layout.offsets[0], start + layout.offsets[1]
        if buffer[fixed : fixed + 2] != b"\x00\x00" or buffer[variable : variable + 2] != b"\x80\x00":
            return None
        # A profile block's size is known, so here a wrong length of the whole shows before all of it has come.
        per_cell = _BYTES_PER_CELL.get(buffer[last] | buffer[last + 1] << 8)
        if per_cell:
            padding = start + layout.size - last - 2 - per_cell * buffer[fixed + 9]
            if not 0 <= padding <= _MOST_PADDING:
                return None
        end = start + layout.size + 2
        return layout if end <= len(buffer) else end

    def _in_damage(self, offset: int) -> bool:
        """Whether this is but a false start within an ensemble that already failed."""
        return self._damage is not None and offset < self._damage.end

    def _report(self, upto: int) -> None:
        """Makes Problems of the bytes from `_unreported` to `upto`."""
        if self._damage:
            end = min(self._damage.end, upto)
            self._add(self._damage.kind, self._damage.message, end)
            self._damage = None
        while self._unreported < upto:
            end = min(self._unreported + NOISE, upto)
            message = f"{end - self._unreported} bytes that are no PD0 ensemble: check baud rate and output format"
            self._add("noise", message, end)

    def _add(self, kind: str, message: str, end: int) -> None:
        start = self._unreported
        data = self.buffer[start - self._base : end - self._base]
        self._problems.append(problem(kind, message, start, data, self.arrival(start)))
        self._unreported = end


def _u16(data: Bytes, at: Ints) -> Ints:
    return data[at] | data[at + 1].astype(np.int64) << 8


def _checksum_message(buffer: bytes, start: int, layout: _Layout) -> str:
    end = start + layout.size
    stored = buffer[end] | buffer[end + 1] << 8
    true = int(np.frombuffer(buffer, np.uint8, layout.size, start).sum()) & 0xFFFF
    return f"ensemble of {layout.size + 2} bytes: its checksum is {stored:04X}, its bytes sum to {true:04X}"


@dataclass(slots=True)
class _Blocks:
    """Where the blocks of some ensembles lie: `at` and `width` (n, 7) by `_FIXED` … `_BOTTOM`; -1 and 0: no block."""

    starts: Ints
    sizes: Ints
    at: Ints
    width: Ints

    def take(self, rows: Any) -> "_Blocks":
        return _Blocks(self.starts[rows], self.sizes[rows], self.at[rows], self.width[rows])


def _blocks(data: Bytes, good: _Ensembles) -> _Blocks:
    """Reads the ids of all blocks of all ensembles."""
    n = len(good.starts)
    blocks = _Blocks(
        np.array(good.starts, np.int64),
        np.array([layout.size for layout in good.layouts], np.int64),
        np.full((n, len(_IDS)), -1, np.int64),
        np.zeros((n, len(_IDS)), np.int64),
    )
    types = np.array([len(layout.offsets) for layout in good.layouts], np.int64)
    for count in np.unique(types).tolist():
        rows = np.flatnonzero(types == count)
        table = np.array([good.layouts[row].offsets for row in rows.tolist()], np.int64)
        at = blocks.starts[rows, None] + table
        width = np.diff(table, axis=1, append=blocks.sizes[rows, None])
        ids = _u16(data, at)
        for block, id_ in enumerate(_IDS):
            found = ids == id_
            column = found.argmax(axis=1)  # the first, should there be several
            present = found.any(axis=1)
            line = np.arange(len(rows))[present]
            blocks.at[rows[present], block] = at[line, column[present]]
            blocks.width[rows[present], block] = width[line, column[present]]
    return blocks


def _gather(data: Bytes, at: Ints, dtype: np.dtype[np.void]) -> npt.NDArray[np.void]:
    """The records that begin at `at`, as a structured array (n,)."""
    return _rows(data, at, dtype.itemsize).view(dtype)[:, 0]


def _rows(data: Bytes, at: Ints, width: int) -> Bytes:
    """The `width` bytes from each of `at`, as (n, width)."""
    windows: Bytes = np.ndarray((len(data) - width + 1, width), np.uint8, data, strides=(1, 1))
    return windows[at]


def _geometries(data: Bytes, blocks: _Blocks) -> tuple[Ints, Mask]:
    """((n, fields of `_Geometry`), whether the blocks are long enough for the cells)."""
    fixed = _gather(data, blocks.at[:, _FIXED], _FIXED_LEADER)
    cells = fixed["cells"].astype(np.int64)
    profiles = blocks.at[:, _VELOCITY : _PERCENT_GOOD + 1] >= 0
    needed = 2 + cells[:, None] * np.array([8, 4, 4, 4])
    fits = (blocks.width[:, _VELOCITY : _PERCENT_GOOD + 1] >= needed) | ~profiles
    bottom = blocks.at[:, _BOTTOM] >= 0
    fits_bottom = (blocks.width[:, _BOTTOM] >= _BOTTOM_TRACK.itemsize) | ~bottom
    present = (profiles & (cells > 0)[:, None]).astype(np.int64)
    variable = blocks.width[:, _VARIABLE]
    keys = {
        "cells": cells,
        "size_cm": fixed["size_cm"],
        "first_cm": fixed["first_cm"],
        "coordinates": fixed["coordinates"] >> 3 & 3,
        "upward": fixed["system"] >> 7,
        "velocity": present[:, 0],
        "correlation": present[:, 1],
        "echo": present[:, 2],
        "percent_good": present[:, 3],
        "bottom": bottom,
        "bottom_range_high": blocks.width[:, _BOTTOM] >= _BOTTOM_RANGE_HIGH.itemsize,
        "status": variable >= _STATUS.itemsize,
        "pressure": variable >= _PRESSURE.itemsize,
        "y2k": variable >= _Y2K.itemsize,
    }
    stacked = np.stack([np.asarray(keys[name], np.int64) for name in _Geometry._fields], axis=1)
    return stacked, fits.all(axis=1) & fits_bottom


@dataclass(slots=True)
class _Columns:
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
        if column.size and (column.max() > high or column.min() < low):
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


def _decode(data: Bytes, blocks: _Blocks, geometry: _Geometry) -> tuple[Ints, _Columns]:
    """(time, NAT where the clock makes no sense; columns) of ensembles of one geometry."""
    g, n, out = geometry, len(blocks.starts), _Columns()
    fixed = _gather(data, blocks.at[:, _FIXED], _FIXED_LEADER)
    leader = _gather(data, blocks.at[:, _VARIABLE], _VARIABLE_LEADER)
    out.add("ensemble_number", leader["ensemble"] + leader["ensemble_high"].astype(np.int64) * 65536)
    out.add("platform_orientation", leader["heading"] / 100)
    out.add("platform_pitch_fore_up", leader["pitch"] / 100)
    out.add("platform_roll_starboard_down", leader["roll"] / 100)
    out.add("sea_water_temperature", leader["temperature"] / 100)
    out.add("sea_water_practical_salinity", leader["salinity"])
    out.add("speed_of_sound_in_sea_water", leader["sound_speed"])
    out.add("depth", leader["depth_dm"] / 10)
    out.add("built_in_test_result", leader["self_test"])
    if g.pressure:
        pressure = _gather(data, blocks.at[:, _VARIABLE], _PRESSURE)["pressure_dapa"] / 1000
        no_sensor = fixed["available"] & _PRESSURE_SENSOR == 0
        out.add("sea_water_pressure_due_to_sea_water", pressure, no_sensor, Missing.NOT_GIVEN)
    if g.status:
        out.add("device_status", _gather(data, blocks.at[:, _VARIABLE], _STATUS)["status"])

    def profile(block: int, dtype: str) -> npt.NDArray[Any]:
        width = 4 * g.cells * np.dtype(dtype).itemsize
        return _rows(data, blocks.at[:, block] + 2, width).view(dtype).reshape(n, g.cells, 4)

    if g.velocity:
        velocity = profile(_VELOCITY, "<i2")
        out.add_four(_VELOCITIES[g.coordinates], velocity / 1000, velocity == _BAD_VELOCITY)
    if g.correlation:
        out.add_four(_CORRELATIONS, profile(_CORRELATION, "u1"))
    if g.echo:
        out.add_four(_ECHOES, profile(_ECHO, "u1"))
    if g.percent_good:
        out.add_four(_percent_good(g.coordinates), profile(_PERCENT_GOOD, "u1"))
    if g.bottom:
        bottom = _gather(data, blocks.at[:, _BOTTOM], _BOTTOM_TRACK)
        range_cm = bottom["range_cm"].astype(np.int64)
        if g.bottom_range_high:
            range_cm += _gather(data, blocks.at[:, _BOTTOM], _BOTTOM_RANGE_HIGH)["high"].astype(np.int64) << 16
        velocity = bottom["velocity"]
        out.add_four(_BOTTOM_RANGES, range_cm / 100, range_cm == 0)  # 0: this beam found no bottom
        out.add_four(_BOTTOM_VELOCITIES[g.coordinates], velocity / 1000, velocity == _BAD_VELOCITY)
        out.add_four(_BOTTOM_CORRELATIONS, bottom["correlation"])
        out.add_four(_BOTTOM_ECHOES, bottom["echo"])
        out.add_four(_bottom_percent_good(g.coordinates), bottom["percent_good"])
    clock = leader["clock"].astype(np.int64)
    year = clock[:, 0] + np.where(clock[:, 0] < 80, 2000, 1900)
    if g.y2k:
        y2k = _gather(data, blocks.at[:, _VARIABLE], _Y2K)["clock"].astype(np.int64)
        kept = np.isin(y2k[:, 0], (19, 20))  # firmware that does not keep the second clock leaves zeros
        year = np.where(kept, y2k[:, 0] * 100 + y2k[:, 1], year)
        clock = np.where(kept[:, None], y2k[:, 1:], clock)
    return _times(year, clock), out


def _times(year: Ints, clock: Ints) -> Ints:
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


class Pd0(Driver):
    """Reads PD0 ensembles. It needs no settings and sends nothing: the instrument pings by its own deployment."""

    manufacturer: ClassVar[str] = "Teledyne RD Instruments"
    models: ClassVar[tuple[str, ...]] = (
        "Workhorse Sentinel",
        "Workhorse Monitor",
        "Workhorse Mariner",
        "Long Ranger",
        "Quartermaster",
        "Ocean Surveyor",
        "Sentinel V",
        "RiverPro",
        "Rio Grande",
        "Explorer DVL",
        "Pathfinder DVL",
    )
    title: ClassVar[str] = "Teledyne RDI ADCPs: PD0 binary ensembles"

    def __init__(self, instrument: str, settings: DriverSettings | None = None) -> None:
        super().__init__(instrument, settings)
        self._framer = _Framer()
        self._schemas: dict[_Geometry, Schema] = {}
        self._fixed_leader = b""

    def schemas(self) -> Sequence[Schema]:
        """The schemas of the geometries met so far; an ADCP's is known only from its ensembles."""
        return tuple(self._schemas.values())

    def description(self) -> Mapping[str, Any]:
        """From the last fixed leader: serial number, firmware, frequency, beam angle, coordinates, pings."""
        leader = self._fixed_leader
        if not leader:
            return {"manufacturer": self.manufacturer}
        values = np.frombuffer(leader, _FIXED_LEADER, 1)[0]
        system = int(values["system"])
        frequency = system & 7
        told: dict[str, Any] = {
            "manufacturer": self.manufacturer,
            "firmware": f"{leader[2]}.{leader[3]:02d}",
            "coordinates": _COORDINATES[int(values["coordinates"]) >> 3 & 3],
            "looks": "up" if system & 0x80 else "down",
            "pings_per_ensemble": int(values["pings"]),
        }
        if frequency < len(_FREQUENCIES_KHZ):
            told["frequency_khz"] = _FREQUENCIES_KHZ[frequency]
            told["model"] = f"{told['frequency_khz']} kHz ADCP"
        angle = _BEAM_ANGLES.get(int(values["beam_angle"]) & 3, leader[58] if len(leader) > 58 else 0)
        if angle:
            told["beam_angle_degree"] = angle
        serial = int.from_bytes(leader[_INSTRUMENT_SERIAL], "little")
        if serial not in (0, 0xFFFFFFFF) and len(leader) >= _INSTRUMENT_SERIAL.stop:
            told["serial"] = str(serial)
        return told

    def feed(self, data: bytes, at: Arrival) -> list[Decoded]:
        """See `Driver.feed`. Sample time is the ensemble's own clock; where that shows nonsense it is the arrival."""
        decoded: list[Decoded] = []
        for start in range(0, len(data), _PIECE):
            found = self._framer.feed(data[start : start + _PIECE], at)
            if found is not None:
                decoded += self._decoded(*found)
        return decoded

    def finish(self) -> list[Decoded]:
        """See `Driver.finish`. An ensemble that was cut off is reported as `truncated`."""
        return self._decoded(*self._framer.finish())

    def _decoded(self, good: _Ensembles, problems: list[Problem]) -> list[Decoded]:
        events: list[tuple[int, Decoded]] = [(p.offset, p) for p in problems]
        if good.starts:
            data = np.frombuffer(self._framer.buffer, np.uint8)
            blocks = _blocks(data, good)
            keys, fits = _geometries(data, blocks)
            for row in np.flatnonzero(~fits).tolist():
                events.append(self._misfit(blocks, row))
            breaks = np.sort(np.array([offset for offset, _ in events], np.int64))
            blocks, keys = blocks.take(fits), keys[fits]
            for rows in _stretches(keys[:, _GEOMETRY_OF_COLUMNS]):
                events += self._frames(data, blocks.take(rows), keys[rows], breaks)
        self._framer.forget()
        events.sort(key=lambda event: event[0])
        return [decoded for _, decoded in events]

    def _misfit(self, blocks: _Blocks, row: int) -> tuple[int, Problem]:
        start, size = int(blocks.starts[row]), int(blocks.sizes[row]) + 2
        offset = start + self._framer.base
        message = "an ensemble with a good checksum whose blocks are too short for the cells that its leader declares"
        data = self._framer.buffer[start : start + size]
        return offset, problem("syntax", message, offset, data, self._framer.arrival(offset))

    def _frames(self, data: Bytes, blocks: _Blocks, keys: Ints, breaks: Ints) -> list[tuple[int, Decoded]]:
        """Frames of ensembles with equal columns, and the Problems of their values. `keys` are their geometries;
        `breaks` are the offsets at which a Frame must end."""
        times, decoded = _decode(data, blocks, _Geometry(*keys[0].tolist()))
        start = int(blocks.at[-1, _FIXED])
        self._fixed_leader = self._framer.buffer[start : start + int(blocks.width[-1, _FIXED])]
        absolute = blocks.starts + self._framer.base
        piece, arrivals = self._framer.arrivals(absolute)
        no_clock = times == NAT
        if no_clock.any():
            times = np.where(no_clock, np.array([at.utc_ns for at in arrivals], np.int64)[piece], times)
            decoded.unreal["clock"] = no_clock
        events: list[tuple[int, Decoded]] = []
        change = np.stack([np.searchsorted(breaks, absolute), _steadiness(arrivals)[piece], no_clock], axis=1)
        for rows in _stretches(np.concatenate([keys, change], axis=1)):
            frame = Frame(
                self.instrument,
                self._schema(_Geometry(*keys[rows.start].tolist())),
                times[rows],
                {name: column[rows] for name, column in decoded.columns.items()},
                TimeSource.ARRIVAL if no_clock[rows.start] else TimeSource.INSTRUMENT,
                arrivals[int(piece[rows.start])],
                {name: reasons[rows] for name, reasons in decoded.reasons.items()},
            )
            events.append((int(absolute[rows.start]), frame))
        if decoded.unreal:
            events += self._implausible(blocks, decoded)
        return events

    def _schema(self, geometry: _Geometry) -> Schema:
        if geometry not in self._schemas:
            if len(self._schemas) >= 256:  # hostile geometry must not fill the memory
                self._schemas.clear()
            self._schemas[geometry] = _schema(geometry)
        return self._schemas[geometry]

    def _implausible(self, blocks: _Blocks, decoded: _Columns) -> list[tuple[int, Decoded]]:
        events: list[tuple[int, Decoded]] = []
        for row in np.flatnonzero(np.any(list(decoded.unreal.values()), axis=0)).tolist():
            names = ", ".join(name for name, rows in decoded.unreal.items() if rows[row])
            start, size = int(blocks.starts[row]), int(blocks.sizes[row]) + 2
            offset = start + self._framer.base
            found = problem(
                "implausible",
                f"no such value in the sea; left out of the sample: {names}",
                offset,
                self._framer.buffer[start : start + size],
                self._framer.arrival(offset),
            )
            events.append((offset, found))
        return events


def _steadiness(arrivals: list[Arrival]) -> Ints:
    """A number for each arrival that changes where a Frame must end: at a new boot, a change of discipline, or a step
    of the wall clock."""
    number, numbers = 0, [0]
    for a, b in pairwise(arrivals):
        step_ns = (b.utc_ns - b.monotonic_ns) - (a.utc_ns - a.monotonic_ns)
        number += a.boot != b.boot or a.disciplined != b.disciplined or abs(step_ns) > 10_000_000
        numbers.append(number)
    return np.array(numbers, np.int64)


def _stretches(keys: Ints) -> list[slice]:
    """The slices of rows in which all keys (n, k) stay the same."""
    if not len(keys):
        return []
    cuts = (np.flatnonzero((keys[1:] != keys[:-1]).any(axis=1)) + 1).tolist()
    return [slice(a, b) for a, b in zip([0, *cuts], [*cuts, len(keys)], strict=True)]
