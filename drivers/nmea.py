"""NMEA 0183 sentences: GNSS receivers, gyro compasses, echo sounders, logs and anemometers of ships.

Theory of operation. A sentence is `$` (or `!`), an address of talker and type, fields between commas, `*` and the
exclusive-or of the bytes between as two hexadecimal digits, then CR LF. A sentence begins at `$` or `!` wherever
that stands and ends at the next of `$ ! CR LF`, so one that is cut or glued harms no other. All work on a block of
bytes is done by arrays at once: the delimiters are found, the checksums folded, and every field read as a number
eight digits at a time; then each type of sentence takes its columns.

Time. GGA, GLL, RMC and ZDA carry the time of day; RMC and ZDA also the date. From the first date on each time of day
is placed at the occurrence nearest to the time before it (moved on by what passed between the arrivals), which is
right across midnight. A receiver without a fix gives neither time nor position. A date that is off from a trusted
arrival by whole multiples of 1024 weeks is a receiver whose week number rolled over (IS-GPS-200, 20.3.3.3.1.1): it is
corrected, and reported once as `week_rollover`. An arrival is trusted if its clock was disciplined or a logger's
(known, of no boot). Everything else has its arrival's time.

Each type has a schema of its own kind, so that what two sentences say of one fix is never mixed up:

    GGA gnss_fix    RMC navigation    GLL position    VTG course    HDT, THS heading    VHW water_speed    DPT depth
    DBT depth_below_transducer    MTW water_temperature    MWV,R relative_wind    MWV,T wind    (ZDA: time only)

Magnetic headings and courses and second copies of a value in other units are left to the raw log. Sentences of other
types with a right checksum are reported as `unknown` once for each type. Within one `feed` the samples of a type form
one Frame, which stands in the list where its first sample stood in the stream.

Sources: IEC 61162-1 / NMEA 0183 as documented by receiver manuals; checked against recordings decoded by others.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field as Setting

from drivers.driver import Decoded, Driver, DriverSettings, Problem, problem
from tidegate.clock import NAT, Arrival, TimeSource
from tidegate.frame import MISSING_INT, Column, Field, Frame, Missing, Reasons, Schema
from tidegate.vocabulary import parameter

LONGEST = 1024
"""Bytes after which a sentence without an end is given up. The standard's limit is 82, which wave sentences exceed."""

_OVERLONG = f"more than {LONGEST} bytes without an end of line or a $: check baud rate, parity and wiring"
_BLOCK = 1 << 16
_PAD = 8  # bytes before and after a block, so that eight can be loaded at any field

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# --- a block of bytes as sentences and fields -------------------------------------------------------------------------

_COMMA, _STAR, _DOT, _END, _START = 1, 2, 3, 4, 5
_CLASS = np.zeros(256, np.uint8)
for _bytes, _class in ((b",", _COMMA), (b"*", _STAR), (b".", _DOT), (b"\r\n", _END), (b"$!", _START)):
    _CLASS[list(_bytes)] = _class
_HEX = np.full(256, 0xFFFF, np.uint16)
for _digit in b"0123456789abcdefABCDEF":
    _HEX[_digit] = int(chr(_digit), 16)
_CAPITAL, _FIGURE = np.zeros(256, np.bool_), np.zeros(256, np.bool_)
_CAPITAL[ord("A") : ord("Z") + 1] = _FIGURE[ord("0") : ord("9") + 1] = True


def _u64(value: int) -> np.uint64:
    return np.uint64(value & 0xFFFF_FFFF_FFFF_FFFF)


_ZEROS = _u64(0x3030_3030_3030_3030)
_HIGH = _u64(0xF0F0_F0F0_F0F0_F0F0)
_SIXES = _u64(0x0606_0606_0606_0606)
_LAST = np.array([_u64(~0 << 8 * (8 - n)) if n else 0 for n in range(9)], np.uint64)  # keeps the last n of 8 bytes
_FIRST = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)  # keeps the first n


def _eight_digits(text: npt.NDArray[np.uint64]) -> tuple[Ints, Bools]:
    """(the numbers, whether all are digits) of eight ASCII digits each, the first in the lowest byte."""
    good = ((text & _HIGH) == _ZEROS) & (((text + _SIXES) & _HIGH) == _ZEROS)
    x = text - _ZEROS
    x = x * np.uint64(10) + (x >> np.uint64(8))  # pairs
    low = _u64(0x0000_00FF_0000_00FF)
    fours = (x & low) * _u64(0x000F_4240_0000_0064) + ((x >> np.uint64(16)) & low) * _u64(0x0000_2710_0000_0001)
    return (fours >> np.uint64(32)).astype(np.int64), good


class _Fields(NamedTuple):
    """Every field of a block: where it stands, and what it is as a decimal number."""

    start: Ints
    end: Ints
    number: Bools
    """Whether it is `[+-]digits[.digits]`, with at most 8 digits before the point."""
    signed: Bools
    negative: Bools
    whole: Ints
    whole_digits: Ints
    fraction: Ints
    """In units of 1e-8; digits after the eighth are left out."""
    decimals: Ints

    def empty(self, i: Ints) -> Bools:
        empty: Bools = self.end[i] == self.start[i]
        return empty


def _read_fields(block: bytes, buffer: Bytes, start: Ints, end: Ints, dots: Ints) -> _Fields:
    first = buffer[start]
    signed = (end > start) & ((first == 0x2B) | (first == 0x2D))
    begin = start + signed
    dot = np.append(dots, len(buffer))[np.searchsorted(dots, start)]
    pointed = dot < end
    dot = np.where(pointed, dot, end)
    whole_digits, decimals = dot - begin, end - dot - pointed
    eights = np.ndarray((len(buffer) - 7,), "<u8", buffer.data, strides=(1,))
    last, lead = _LAST[np.clip(whole_digits, 0, 8)], _FIRST[np.clip(decimals, 0, 8)]
    whole, whole_good = _eight_digits((eights[dot - 8] & last) | (_ZEROS & ~last))
    at_fraction = np.minimum(dot + pointed, len(buffer) - 8)
    fraction, fraction_good = _eight_digits((eights[at_fraction] & lead) | (_ZEROS & ~lead))
    number = whole_good & fraction_good & (whole_digits <= 8) & (whole_digits + decimals > 0) & (dot >= begin)
    for i in np.flatnonzero(number & (decimals > 8)).tolist():
        number[i] = block[dot[i] + 1 : end[i]].isdigit()
    return _Fields(start, end, number, signed, signed & (first == 0x2D), whole, whole_digits, fraction, decimals)


# --- the fields of one type of sentence as columns --------------------------------------------------------------------


class _Rows:
    """The sentences of one type in a block. Fields are counted from 1, as in the standard.

    `bad` holds for each sentence the first field that breaks the type's grammar, 0 where all is well.
    """

    def __init__(self, buffer: Bytes, fields: _Fields, first: Ints, count: Ints) -> None:
        self._buffer, self._fields, self._first, self._count = buffer, fields, first, count
        self.bad = np.zeros(len(first), np.int64)

    def at(self, k: int) -> Ints:
        """Indices of field `k`; of the empty last field where a sentence has fewer."""
        return np.where(self._count >= k, self._first + (k - 1), len(self._fields.start) - 1)

    def refuse(self, k: int, where: Bools) -> None:
        self.bad[where & (self.bad == 0)] = k

    def number(self, k: int) -> Floats:
        """Field `k` as numbers, NaN where it is empty."""
        f, i = self._fields, self.at(k)
        given = f.end[i] > f.start[i]
        self.refuse(k, given & ~f.number[i])
        # An exact integer over an exact power of ten: the same float64 as the text's own.
        values = (f.whole[i] * 100_000_000 + f.fraction[i]) / 1e8
        return np.where(given, np.where(f.negative[i], -values, values), np.nan)

    def integer(self, k: int) -> Floats:
        self.refuse(k, self._fields.decimals[self.at(k)] > 0)
        return self.number(k)

    def letter(self, k: int, allowed: bytes) -> Bytes:
        """Field `k` as one of the letters, 0 where it is empty."""
        f, i = self._fields, self.at(k)
        length = f.end[i] - f.start[i]
        letters = np.where(length > 0, self._buffer[f.start[i]], np.uint8(0)).astype(np.uint8)
        self.refuse(k, (length > 0) & ((length > 1) | ~np.isin(letters, list(allowed))))
        return letters

    def measured(self, k: int, unit: bytes) -> Floats:
        """Field `k`, which must be followed by its unit's letter in field `k + 1`."""
        values = self.number(k)
        self.refuse(k + 1, ~np.isnan(values) & (self.letter(k + 1, unit) == 0))
        return values

    def angle(self, k: int, degree_digits: int, positive: bytes, negative: bytes) -> Floats:
        """`ddmm.mmmm` in field `k` with its hemisphere in the next, as signed degrees."""
        f, i = self._fields, self.at(k)
        given = f.end[i] > f.start[i]
        hemisphere = self.letter(k + 1, positive + negative)
        degrees, minutes = np.divmod(f.whole[i], 100)
        shape = f.number[i] & ~f.signed[i] & (f.whole_digits[i] == degree_digits + 2) & (minutes < 60)
        self.refuse(k, given & ~shape)
        self.refuse(k + 1, given & (hemisphere == 0))
        values = ((degrees * 60 + minutes) * 100_000_000 + f.fraction[i]) / 60e8
        return np.where(given, np.where(hemisphere == negative[0], -values, values), np.nan)

    def text(self, text: bytes, i: int, k: int) -> str:
        """Field `k` of the sentence `i` as it stands."""
        f, at = self._fields, self.at(k)[i]
        return text[f.start[at] : f.end[at]].decode("latin-1")

    def date(self, k: int) -> tuple[Floats, Floats, Floats]:
        """(year, month, day) of `ddmmyy` in field `k`; years from 80 on are of the last century."""
        date, f, i = self.integer(k), self._fields, self.at(k)
        self.refuse(k, ~np.isnan(date) & ((f.whole_digits[i] != 6) | f.signed[i]))
        day, rest = np.divmod(date, 10_000)
        month, year = np.divmod(rest, 100)
        return year + np.where(year < 80, 2000, 1900), month, day

    def decimals(self, k: int) -> Ints:
        return self._fields.decimals[self.at(k)]

    def time_of_day_ns(self, k: int) -> Ints:
        """`hhmmss.ss` in field `k` as nanoseconds of the day, -1 where it is empty."""
        f, i = self._fields, self.at(k)
        given = f.end[i] > f.start[i]
        hours, rest = np.divmod(f.whole[i], 10_000)
        minutes, seconds = np.divmod(rest, 100)
        shape = f.number[i] & ~f.signed[i] & (f.whole_digits[i] == 6) & (hours < 24) & (minutes < 60) & (seconds <= 60)
        self.refuse(k, given & ~shape)
        return np.where(given, (hours * 3600 + minutes * 60 + seconds) * 1_000_000_000 + f.fraction[i] * 10, -1)

    def days(self, k: int, year: Floats, month: Floats, day: Floats) -> Ints:
        """The date as days since 1970, `_NO_DAY` where a part is missing; a date that does not exist breaks field
        `k`."""
        given = ~(np.isnan(year) | np.isnan(month) | np.isnan(day))
        y, m, d = (np.where(given, part, 1).astype(np.int64) for part in (year, month, day))
        months = (y - 1970) * 12 + m - 1
        begin = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
        following = (months + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
        exists = (m >= 1) & (m <= 12) & (d >= 1) & (d <= following - begin) & (y >= 1970) & (y < 2200)
        self.refuse(k, given & ~exists)
        return np.where(given & exists, begin + d - 1, _NO_DAY)


_NO_DAY = -(2**31)
_KNOT = 1852.0 / 3600.0


class _Said(NamedTuple):
    """What the sentences of one type say. `variant` chooses each one's schema among the type's."""

    columns: Mapping[str, Floats]
    valid: Bools | None = None
    """False where the receiver marks the sentence as invalid; None where the type has no such mark."""
    spared: tuple[str, ...] = ()
    """Columns that stay although the sentence is invalid."""
    variant: Ints | None = None
    time_of_day_ns: Ints | None = None
    day: Ints | None = None


def _position(rows: _Rows, k: int) -> tuple[dict[str, Floats], Ints]:
    """Latitude in fields `k`, `k + 1` and longitude in the two after, and whether they are finer than usual."""
    columns = {"latitude": rows.angle(k, 2, b"N", b"S"), "longitude": rows.angle(k + 2, 3, b"E", b"W")}
    fine = np.maximum(rows.decimals(k), rows.decimals(k + 2)) > 5
    return columns, fine.astype(np.int64)


def _gga(rows: _Rows) -> _Said:
    columns, fine = _position(rows, 2)
    quality = rows.integer(6)
    columns |= {
        "gnss_fix_quality": quality,
        "gnss_satellites_used": rows.integer(7),
        "gnss_horizontal_dilution_of_precision": rows.number(8),
        "altitude": rows.measured(9, b"M"),
        "geoid_height_above_reference_ellipsoid": rows.measured(11, b"M"),
    }
    spared = ("gnss_fix_quality", "gnss_satellites_used", "gnss_horizontal_dilution_of_precision")
    return _Said(columns, quality > 0, spared, fine, rows.time_of_day_ns(1))


def _gll(rows: _Rows) -> _Said:
    columns, fine = _position(rows, 1)
    valid = (rows.letter(6, b"AV") == ord("A")) & (rows.letter(7, b"ADEFMNPRS") != ord("N"))
    return _Said(columns, valid, (), fine, rows.time_of_day_ns(5))


def _rmc(rows: _Rows) -> _Said:
    columns, fine = _position(rows, 3)
    valid = (rows.letter(2, b"AV") == ord("A")) & (rows.letter(12, b"ADEFMNPRS") != ord("N"))
    variation = rows.number(10)
    side = rows.letter(11, b"EW")
    rows.refuse(11, ~np.isnan(variation) & (side == 0))
    columns |= {
        "platform_speed_wrt_ground": rows.number(7) * _KNOT,
        "platform_course": rows.number(8),
        "magnetic_variation": np.where(side == ord("W"), -variation, variation),
    }
    return _Said(columns, valid, (), fine, rows.time_of_day_ns(1), rows.days(9, *rows.date(9)))


def _zda(rows: _Rows) -> _Said:
    return _Said(
        {},
        time_of_day_ns=rows.time_of_day_ns(1),
        day=rows.days(2, rows.integer(4), rows.integer(3), rows.integer(2)),
    )


def _vtg(rows: _Rows) -> _Said:
    knots, kmh = rows.measured(5, b"N") * _KNOT, rows.measured(7, b"K") / 3.6
    return _Said(
        {
            "platform_course": rows.measured(1, b"T"),
            "platform_speed_wrt_ground": np.where(np.isnan(knots), kmh, knots),
        },
        rows.letter(9, b"ADEFMNPRS") != ord("N"),
    )


def _hdt(rows: _Rows) -> _Said:
    return _Said({"platform_orientation": rows.measured(1, b"T")})


def _ths(rows: _Rows) -> _Said:
    mode = rows.letter(2, b"AEMSV")
    return _Said({"platform_orientation": rows.number(1)}, (mode != ord("V")) & (mode != 0))


def _vhw(rows: _Rows) -> _Said:
    knots, kmh = rows.measured(5, b"N") * _KNOT, rows.measured(7, b"K") / 3.6
    return _Said(
        {
            "platform_orientation": rows.measured(1, b"T"),
            "platform_speed_wrt_sea_water": np.where(np.isnan(knots), kmh, knots),
        }
    )


def _dpt(rows: _Rows) -> _Said:
    return _Said({"sea_floor_depth_below_transducer": rows.number(1), "transducer_offset": rows.number(2)})


def _dbt(rows: _Rows) -> _Said:
    feet, metres, fathoms = rows.measured(1, b"f"), rows.measured(3, b"M"), rows.measured(5, b"F")
    other = np.where(np.isnan(feet), fathoms * 1.8288, feet * 0.3048)
    return _Said({"sea_floor_depth_below_transducer": np.where(np.isnan(metres), other, metres)})


def _mtw(rows: _Rows) -> _Said:
    return _Said({"sea_water_temperature": rows.measured(1, b"C")})


_WIND_UNITS = {ord("M"): 1.0, ord("N"): _KNOT, ord("K"): 1 / 3.6, ord("S"): 0.44704}


def _mwv(rows: _Rows) -> _Said:
    angle, reference, unit = rows.number(1), rows.letter(2, b"RT"), rows.letter(4, bytes(_WIND_UNITS))
    speed = rows.number(3)
    rows.refuse(2, reference == 0)
    rows.refuse(4, ~np.isnan(speed) & (unit == 0))
    factors = np.ones(256)
    factors[list(_WIND_UNITS)] = list(_WIND_UNITS.values())
    speed = speed * factors[unit]
    columns = {
        "relative_wind_speed": speed,
        "relative_wind_from_direction": angle,
        "wind_speed": speed,
        "wind_from_direction_relative_to_bow": angle,
    }
    return _Said(columns, rows.letter(5, b"AV") == ord("A"), variant=(reference == ord("T")).astype(np.int64))


# --- the types --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Type:
    """One type of sentence: how many fields it may have, how to read them, and its schemas by variant."""

    name: str
    counts: tuple[int, ...]
    read: Callable[[_Rows], _Said]
    layouts: tuple["_Layout", ...] = ()

    @property
    def key(self) -> int:
        return int.from_bytes(self.name.encode(), "big")


@dataclass(frozen=True)
class _Layout:
    """A schema with what each value of it is checked by: (name, decimals, plausible span)."""

    schema: Schema
    fields: tuple[tuple[str, int, tuple[float, float]], ...]


_RESOLUTION = {
    "platform_speed_wrt_ground": 1e-4,  # a thousandth of a knot is 5e-4 m s-1
    "platform_speed_wrt_sea_water": 1e-4,
    "platform_course": 1e-3,
    "platform_orientation": 1e-3,
    "altitude": 1e-3,
    "geoid_height_above_reference_ellipsoid": 1e-3,
    "sea_floor_depth_below_transducer": 1e-3,
    "transducer_offset": 1e-3,
    "sea_water_temperature": 1e-3,
    "wind_speed": 1e-3,
    "relative_wind_speed": 1e-3,
}


def _layout(kind: str, *names: str, fine: bool = False) -> _Layout:
    resolutions = _RESOLUTION | ({"latitude": 1e-9, "longitude": 1e-9} if fine else {})
    fields = tuple(Field.of(name, resolution=resolutions.get(name)) for name in names)
    return _Layout(Schema(kind, fields), tuple((f.name, f.decimals, parameter(f.name).plausible) for f in fields))


def _both(kind: str, *names: str) -> tuple[_Layout, _Layout]:
    """For minutes of up to 5 decimals, and for finer ones (receivers with carrier-phase fixes)."""
    return _layout(kind, "latitude", "longitude", *names), _layout(kind, "latitude", "longitude", *names, fine=True)


_TYPES = {
    t.key: t
    for t in (
        _Type(
            "GGA",
            (14,),
            _gga,
            _both(
                "gnss_fix",
                "altitude",
                "geoid_height_above_reference_ellipsoid",
                "gnss_fix_quality",
                "gnss_satellites_used",
                "gnss_horizontal_dilution_of_precision",
            ),
        ),
        _Type("GLL", (6, 7), _gll, _both("position")),
        _Type(
            "RMC",
            (11, 12, 13),
            _rmc,
            _both("navigation", "platform_speed_wrt_ground", "platform_course", "magnetic_variation"),
        ),
        _Type("ZDA", (6,), _zda),
        _Type("VTG", (8, 9), _vtg, (_layout("course", "platform_course", "platform_speed_wrt_ground"),)),
        _Type("HDT", (2,), _hdt, (_layout("heading", "platform_orientation"),)),
        _Type("THS", (2,), _ths, (_layout("heading", "platform_orientation"),)),
        _Type("VHW", (8,), _vhw, (_layout("water_speed", "platform_orientation", "platform_speed_wrt_sea_water"),)),
        _Type("DPT", (2, 3), _dpt, (_layout("depth", "sea_floor_depth_below_transducer", "transducer_offset"),)),
        _Type("DBT", (6,), _dbt, (_layout("depth_below_transducer", "sea_floor_depth_below_transducer"),)),
        _Type("MTW", (2,), _mtw, (_layout("water_temperature", "sea_water_temperature"),)),
        _Type(
            "MWV",
            (5,),
            _mwv,
            (
                _layout("relative_wind", "relative_wind_speed", "relative_wind_from_direction"),
                _layout("wind", "wind_speed", "wind_from_direction_relative_to_bow"),
            ),
        ),
    )
}
_STANDARD = re.compile(rb"[A-OQ-Z][A-Z0-9]{4}")
_ADDRESS = re.compile(rb"[A-Z][A-Z0-9]{2,15}")

# --- time -------------------------------------------------------------------------------------------------------------

_DAY_NS = 86_400 * 1_000_000_000
_ROLLOVER_NS = 1024 * 7 * _DAY_NS


def _nearest(difference_ns: Any) -> Any:
    """The same difference of times of day, brought into half a day either way."""
    return (difference_ns + _DAY_NS // 2) % _DAY_NS - _DAY_NS // 2


def _elapsed_ns(earlier: Arrival, later: Arrival) -> int:
    """What passed between two arrivals, 0 where it is not known."""
    if earlier.boot and earlier.boot == later.boot:
        return max(later.monotonic_ns - earlier.monotonic_ns, 0)
    if NAT in (earlier.utc_ns, later.utc_ns):
        return 0
    return max(later.utc_ns - earlier.utc_ns, 0)


def _filled(values: Ints, none: int, before: int) -> Ints:
    """Each `none` replaced by the value before it; `before` stands in front of the first."""
    last = np.maximum.accumulate(np.where(values != none, np.arange(len(values)), -1))
    return np.where(last >= 0, values[last], before)


class _Clock:
    """The receiver's UTC, followed from sentence to sentence."""

    def __init__(self, correct_rollover: bool) -> None:
        self._correct = correct_rollover
        self._utc_ns, self._ticks_ns = NAT, 0  # the last time given, and the ticks then
        self._correction_ns = 0
        self._fixed = 1  # whether the last sentence that had a mark of validity was valid

    def trust(self, marks: Ints) -> Bools:
        """For each sentence, whether the last mark of validity at or before it (1, 0; -1 is no mark) was good."""
        filled = _filled(marks, -1, self._fixed)
        if len(filled):
            self._fixed = int(filled[-1])
        trusted: Bools = filled == 1
        return trusted

    def follow(
        self, time_of_day_ns: Ints, day: Ints, ticks_ns: Ints, arrival_ns: Ints
    ) -> tuple[Ints, list[tuple[int, int]]]:
        """UTC of sentences in order, NAT before the first date; and (which sentence, by how many times 1024 weeks)
        for each change of the correction. `arrival_ns` is NAT where the arrival's clock is not to be trusted."""
        steps = np.diff(ticks_ns)
        chain = np.cumsum(np.append(np.int64(0), _nearest(np.diff(time_of_day_ns) - steps) + steps))
        known = self._utc_ns != NAT
        if known:
            guess = self._utc_ns + int(ticks_ns[0]) - self._ticks_ns
            chain += guess + int(_nearest(int(time_of_day_ns[0]) - guess))
        dated = day != _NO_DAY
        utc = np.where(dated, day, 0) * _DAY_NS + time_of_day_ns
        utc, changes = self._corrected(utc, dated & (arrival_ns != NAT), arrival_ns)
        last = np.maximum.accumulate(np.where(dated, np.arange(len(day)), -1))
        followed = np.where(last >= 0, utc[last] + (chain - chain[last]), chain if known else NAT)
        if followed[-1] != NAT:
            self._utc_ns, self._ticks_ns = int(followed[-1]), int(ticks_ns[-1])
        return followed, changes

    def _corrected(self, utc: Ints, comparable: Bools, arrival_ns: Ints) -> tuple[Ints, list[tuple[int, int]]]:
        if not self._correct:
            return utc, []
        off = np.where(comparable, arrival_ns, 0) - np.where(comparable, utc, 0)
        correction = (off + _ROLLOVER_NS // 2) // _ROLLOVER_NS * _ROLLOVER_NS
        told = comparable & (np.abs(off - correction) <= _DAY_NS)
        filled = _filled(np.where(told, correction, NAT), NAT, self._correction_ns)
        before = np.append(self._correction_ns, filled[:-1])
        changes = [(i, int(filled[i]) // _ROLLOVER_NS) for i in np.flatnonzero(filled != before).tolist()]
        self._correction_ns = int(filled[-1])
        return utc + filled, changes


# --- the driver -------------------------------------------------------------------------------------------------------


class Settings(DriverSettings):
    """How to take the sentences of one port."""

    checksum: Literal["required", "optional"] = Setting(
        "required", description='"optional" takes sentences without a checksum too; a wrong one is always refused'
    )
    correct_week_rollover: bool = Setting(
        True, description="move dates that are off by a multiple of 1024 weeks from a trusted arrival"
    )


class _Piece(NamedTuple):
    """A piece of bytes as it was fed: the offset of its first byte, and what is known of its arrival."""

    offset: int
    at: Arrival
    ticks_ns: int
    """Time passed since the first piece, as far as known."""
    group: int
    """Pieces of one group may share a Frame."""


class Nmea0183(Driver):
    """Decodes NMEA 0183. Problems: `checksum`, `syntax`, `truncated`, `noise`, `implausible`, `unknown`,
    `week_rollover`."""

    manufacturer: ClassVar[str] = "NMEA 0183"
    models: ClassVar[tuple[str, ...]] = ("GNSS receiver", "gyro compass", "echo sounder", "speed log", "anemometer")
    title: ClassVar[str] = "Ship's sentences: GGA RMC GLL ZDA VTG HDT THS VHW DPT DBT MTW MWV"
    Settings: ClassVar[type[DriverSettings]] = Settings

    def __init__(self, instrument: str, settings: DriverSettings | None = None) -> None:
        super().__init__(instrument, settings)
        assert isinstance(self.settings, Settings)
        self._optional = self.settings.checksum == "optional"
        self._correct_rollover = self.settings.correct_week_rollover
        self._seen: dict[Schema, None] = {}
        self._offset = 0  # of the first pending byte
        self._renew()

    def _renew(self) -> None:
        self._pending = b""
        self._dropping = False  # inside a sentence given up as overlong, until it ends
        self._pieces: list[_Piece] = []
        self._clock = _Clock(self._correct_rollover)
        self._reported: set[str] = set()

    def schemas(self) -> Sequence[Schema]:
        """Those of the sentences seen so far."""
        return tuple(self._seen)

    def feed(self, data: bytes, at: Arrival) -> list[Decoded]:
        out: list[Decoded] = []
        for i in range(0, len(data), _BLOCK):
            out += self._feed(data[i : i + _BLOCK], at)
        return out

    def finish(self) -> list[Decoded]:
        block, self._pending = self._pending, b""
        out = self._decode(block, dropping=False) if block else []
        self._offset += len(block)
        self._renew()
        return out

    # --- cutting the stream

    def _feed(self, data: bytes, at: Arrival) -> list[Decoded]:
        begun = len(self._pending)
        self._append_piece(self._offset + begun, at)
        # What is pending has no end and no second beginning in it: only the new bytes can hold one.
        end = max(data.rfind(b"\n") + 1, data.rfind(b"\r") + 1, data.rfind(b"$"), data.rfind(b"!"))
        ended = end > 0 or data[:1] in (b"$", b"!")
        buffer = self._pending + data
        cut = begun + end if ended else 0
        out = self._decode(buffer[:cut], self._dropping) if cut else []
        if ended:
            self._dropping = False
        self._pending = buffer[cut:]
        self._offset += cut
        if len(self._pending) > LONGEST or self._dropping:
            if not self._dropping:
                out.append(self._given_up(self._pending, self._offset))
            self._dropping = True
            self._offset += len(self._pending)
            self._pending = b""
        while len(self._pieces) > 1 and self._pieces[1].offset <= self._offset:
            del self._pieces[0]
        return out

    def _append_piece(self, offset: int, at: Arrival) -> None:
        if not self._pieces:
            self._pieces.append(_Piece(offset, at, 0, 0))
            return
        before = self._pieces[-1]
        if before.at == at:
            return
        a = before.at
        steady = abs((at.utc_ns - at.monotonic_ns) - (a.utc_ns - a.monotonic_ns)) <= 10_000_000
        joined = steady and a.boot == at.boot and a.disciplined == at.disciplined
        ticks_ns = before.ticks_ns + _elapsed_ns(a, at)
        self._pieces.append(_Piece(offset, at, ticks_ns, before.group + (not joined)))

    def _given_up(self, data: bytes, offset: int) -> Problem:
        return problem("noise", _OVERLONG, offset, data[:LONGEST], self._pieces[0].at)

    # --- decoding a block

    def _decode(self, data: bytes, dropping: bool) -> list[Decoded]:
        """`data` ends where a sentence does. `dropping`: it begins inside one that was given up."""
        block = _Block(data, self._offset, self._pieces, dropping)
        good = block.judge(self._optional)
        parts = self._read(block, good)
        utc = self._times(block, parts)
        for part in parts:
            for schema, frame_offset, frame in block.frames(self.instrument, part, utc):
                self._seen[schema] = None
                block.out.append((frame_offset, frame))
        block.out.sort(key=lambda item: item[0])
        return [item for _, item in block.out]

    def _read(self, block: "_Block", good: "_Good") -> list["_Part"]:
        parts: list[_Part] = []
        unknown = np.ones(len(good.token), np.bool_)
        for key in np.unique(good.key[good.key > 0]).tolist():
            kind = _TYPES.get(key)
            if kind is None:
                continue
            here = good.key == key
            unknown &= ~here
            # Some devices end every sentence with a comma.
            ended = (good.fields_each == max(kind.counts) + 1) & good.fields.empty(good.first + good.fields_each - 1)
            counted = here & (np.isin(good.fields_each, kind.counts) | ended)
            for i in np.flatnonzero(here & ~counted).tolist():
                block.refuse(
                    "syntax",
                    f"{kind.name} with {good.fields_each[i]} fields, not {_either(kind.counts)}",
                    good.token[i],
                )
            rows = _Rows(block.buffer, good.fields, good.first[counted], good.fields_each[counted])
            said = kind.read(rows)
            tokens = good.token[counted]
            for i in np.flatnonzero(rows.bad).tolist():
                k = int(rows.bad[i])
                message = f"field {k} of {kind.name} is {rows.text(block.text, i, k)!r}, which that field cannot be"
                block.refuse("syntax", message, tokens[i])
            parts.append(_Part(kind, said, tokens, rows.bad == 0))
        self._report_unknown(block, good, np.flatnonzero(unknown))
        return parts

    def _report_unknown(self, block: "_Block", good: "_Good", which: Ints) -> None:
        for i in which.tolist():
            token = int(good.token[i])
            address = block.text[block.start[token] + 1 : good.address_end[i]]
            if not _ADDRESS.fullmatch(address):
                block.refuse("syntax", f"{address!r} is not an address of talker and type", token)
                continue
            name = (address[2:] if _STANDARD.fullmatch(address) else address).decode()
            if name not in self._reported:
                self._reported.add(name)
                block.refuse("unknown", f"sentences of type {name} are not decoded (reported once)", token)

    def _times(self, block: "_Block", parts: list["_Part"]) -> Ints:
        """UTC of each token by the receiver, NAT where it gives none."""
        n = len(block.start)
        tod, day, marks = np.full(n, -1, np.int64), np.full(n, _NO_DAY, np.int64), np.full(n, -1, np.int64)
        for part in parts:
            said, token = part.said, part.token[part.good]
            if said.time_of_day_ns is None:
                continue
            tod[token] = said.time_of_day_ns[part.good]
            if said.day is not None:
                day[token] = said.day[part.good]
            if said.valid is not None:
                marks[token] = said.valid[part.good]
        utc = np.full(n, NAT, np.int64)
        timed = np.flatnonzero(self._clock.trust(marks) & (tod >= 0))
        if len(timed) == 0:
            return utc
        place = block.place[timed]
        ticks = np.array([piece.ticks_ns for piece in self._pieces], np.int64)[place]
        trusted = [piece.at.utc_ns if piece.at.disciplined or not piece.at.boot else NAT for piece in self._pieces]
        utc[timed], changes = self._clock.follow(tod[timed], day[timed], ticks, np.array(trusted, np.int64)[place])
        for i, rollovers in changes:
            message = (
                f"the receiver's date is off by {-1024 * rollovers} weeks: its week number has rolled over; corrected"
                if rollovers
                else "the receiver's date is right again; no longer corrected"
            )
            block.refuse("week_rollover", message + " (reported once)" * bool(rollovers), int(timed[i]))
        return utc


def _either(numbers: Sequence[int]) -> str:
    return " or ".join(map(str, numbers))


class _Good(NamedTuple):
    """The sentences of a block whose form and checksum are right."""

    token: Ints
    address_end: Ints
    key: Ints
    """The type's three letters as a number, 0 where the address is no talker and type."""
    fields: _Fields
    first: Ints
    """Index of each one's first field among `fields`."""
    fields_each: Ints


class _Part(NamedTuple):
    """The sentences of one type in a block; `good` where every field has the type's form."""

    kind: _Type
    said: _Said
    token: Ints
    good: Bools


class _Block:
    """A block of whole sentences: its tokens (sentences, and what stands between them) and what comes out of it.

    Positions count within `text`, which is the block between `_PAD` zero bytes on either side.
    """

    def __init__(self, data: bytes, offset: int, pieces: Sequence[_Piece], dropping: bool) -> None:
        self.text = bytes(_PAD) + data + bytes(_PAD)
        self.buffer = np.frombuffer(self.text, np.uint8)
        self.out: list[tuple[int, Decoded]] = []
        self._classes = _CLASS[self.buffer]
        self._marks = np.flatnonzero(self._classes)
        self._kinds = self._classes[self._marks]
        bounds = self._marks[self._kinds >= _END]
        closes = self._classes[bounds] == _END
        start = np.append(_PAD, bounds + closes)
        end = np.append(bounds, len(self.text) - _PAD)
        if dropping:
            start[0] = end[0]
        real = end > start
        self.start, self._end = start[real], end[real]
        self._closed = np.append(closes, False)[real]
        self._base = offset - _PAD
        self._pieces = pieces
        self.place = np.searchsorted([piece.offset for piece in pieces], self.start + self._base, "right") - 1

    def of(self, kind: int) -> Ints:
        """Where the bytes of a class stand."""
        where: Ints = self._marks[self._kinds == kind]
        return where

    def refuse(self, kind: str, message: str, token: int) -> None:
        start = int(self.start[token])
        data = self.text[start : min(int(self._end[token]), start + LONGEST)]
        at = self._pieces[self.place[token]].at
        self.out.append((start + self._base, problem(kind, message, start + self._base, data, at)))

    def judge(self, optional: bool) -> _Good:
        """Finds the good sentences and refuses all other tokens; `optional` takes those without checksum."""
        buffer, start = self.buffer, self.start
        end = self._trimmed()
        sentence = (self._classes[start] == _START) & (self._end - start <= LONGEST)
        starred = sentence & (end - start >= 4) & (self._classes[end - 3] == _STAR)
        given = _HEX[buffer[end - 2]] * np.uint16(16) + _HEX[buffer[end - 1]]
        spans = np.stack([start + 1, np.maximum(end - 3, start + 1)], axis=1).reshape(-1)
        found = np.bitwise_xor.reduceat(buffer, spans)[::2] if len(spans) else np.zeros(0, np.uint8)
        right = starred & (given == found)
        good = right
        if optional:
            stars = self.of(_STAR)
            starless = np.searchsorted(stars, start) == np.searchsorted(stars, self._end)
            good = right | (sentence & self._closed & starless)
        for i in np.flatnonzero(~good).tolist():
            self._refuse(i, int(end[i]), int(found[i]) if starred[i] else None)
        start, end = start[good], np.where(right, end - 3, end)[good]
        return self._split(np.flatnonzero(good), start, end)

    def _trimmed(self) -> Ints:
        """The tokens' ends without trailing blanks and control bytes."""
        end = self._end.copy()
        while True:
            last = self.buffer[end - 1]
            blank = ((last <= 0x20) | (last == 0x7F)) & (end > self.start)
            if not blank.any():
                return end
            end -= blank

    def _refuse(self, token: int, end: int, found: int | None) -> None:
        start = int(self.start[token])
        if self._end[token] - start > LONGEST:
            self.refuse("noise", _OVERLONG, token)
        elif self._classes[start] != _START:
            if end > start:  # a lone control byte or blank between sentences harms nobody
                self.refuse("noise", "bytes outside of any sentence", token)
        elif found is not None:
            told = self.text[end - 2 : end].decode("latin-1")
            self.refuse("checksum", f"the checksum says {told!r}, the bytes give {found:02X}", token)
        elif not self._closed[token]:
            self.refuse("truncated", "the sentence is cut off", token)
        else:
            message = (
                "no checksum at the end: the sentence is damaged, or the device sends none "
                '(if none of its sentences has one, set checksum = "optional")'
            )
            self.refuse("checksum", message, token)

    def _split(self, token: Ints, start: Ints, end: Ints) -> _Good:
        buffer, commas = self.buffer, self.of(_COMMA)
        first, last = np.searchsorted(commas, start), np.searchsorted(commas, end)
        has_fields = last > first
        field_end = np.append(commas, _PAD)[1:] if len(commas) else commas
        field_end[last[has_fields] - 1] = end[has_fields]
        # An empty field stands at the end, for those that a sentence does not have.
        fields = _read_fields(self.text, buffer, np.append(commas + 1, _PAD), np.append(field_end, _PAD), self.of(_DOT))
        address_end = np.where(has_fields, np.append(commas, 0)[first], end)
        a, b, c, d, e = (buffer[start + i] for i in range(1, 6))
        standard = (address_end - start == 6) & _CAPITAL[a] & (a != ord("P")) & (_CAPITAL[b] | _FIGURE[b])
        key = (c.astype(np.int64) << 16) | (d.astype(np.int64) << 8) | e
        return _Good(token, address_end, np.where(standard, key, 0), fields, first, last - first)

    def frames(self, instrument: str, part: _Part, utc: Ints) -> list[tuple[Schema, int, Frame]]:
        """The good sentences of a type as Frames, each with its schema and the offset of its first sample."""
        frames: list[tuple[Schema, int, Frame]] = []
        for variant, layout in enumerate(part.kind.layouts):
            rows = np.flatnonzero(
                part.good if part.said.variant is None else part.good & (part.said.variant == variant)
            )
            if len(rows) == 0:
                continue
            columns, reasons = self._columns(part, layout, rows)
            token = part.token[rows]
            arrival_utc = np.array([piece.at.utc_ns for piece in self._pieces], np.int64)[self.place[token]]
            group = np.array([piece.group for piece in self._pieces])[self.place[token]]
            by_receiver = utc[token] != NAT
            time = np.where(by_receiver, utc[token], arrival_utc)
            cuts = np.flatnonzero((np.diff(group) != 0) | (np.diff(by_receiver.view(np.int8)) != 0)) + 1
            for begin, end in zip([0, *cuts.tolist()], [*cuts.tolist(), len(rows)], strict=True):
                run = slice(begin, end)
                frame = Frame(
                    instrument,
                    layout.schema,
                    time[run],
                    {name: column[run] for name, column in columns.items()},
                    TimeSource.NMEA if by_receiver[begin] else TimeSource.ARRIVAL,
                    self._pieces[self.place[token[begin]]].at,
                    {name: codes[run] for name, codes in reasons.items()},
                )
                frames.append((layout.schema, int(self.start[token[begin]]) + self._base, frame))
        return frames

    def _columns(self, part: _Part, layout: "_Layout", rows: Ints) -> tuple[dict[str, Column], dict[str, Reasons]]:
        columns: dict[str, Column] = {}
        reasons: dict[str, Reasons] = {}
        invalid = None if part.said.valid is None else ~part.said.valid[rows]
        for name, decimals, (low, high) in layout.fields:
            values = part.said.columns[name][rows]
            codes = np.isnan(values) * np.uint8(Missing.NOT_GIVEN)
            if invalid is not None and name not in part.said.spared:
                codes[invalid] = Missing.INVALID
            wild = (codes == 0) & ~((values >= low) & (values <= high))
            for i in np.flatnonzero(wild).tolist():
                p = parameter(name)
                message = f"{part.kind.name}: {p.label} {values[i]:g} {p.unit} is outside {low:g} to {high:g}; left out"
                self.refuse("implausible", message, int(part.token[rows[i]]))
            codes[wild] = Missing.IMPLAUSIBLE
            present = codes == 0
            if not present.all():
                reasons[name] = codes
            if layout.schema.by_name[name].integer:
                columns[name] = np.where(present, values, 0).astype(np.int64) + np.where(present, 0, MISSING_INT)
            else:
                columns[name] = np.where(present, np.round(values, decimals), np.nan)
        return columns, reasons
