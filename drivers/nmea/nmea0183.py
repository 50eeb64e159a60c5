"""NMEA 0183 sentences: GNSS receivers, gyro compasses, echo sounders, logs and anemometers of ships.

Theory of operation. A sentence is `$` (or `!`), an address of talker and type, fields between commas, `*` and the
exclusive-or of the bytes between as two hexadecimal digits, then CR LF. A sentence begins at `$` or `!` wherever
that stands and ends at the next of `$ ! CR LF`, so one that is cut or glued harms no other. All sentences of a block
of bytes are read at once (`drivers.nmea.sentences`); here each type of sentence takes its columns and its time.

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
from itertools import pairwise
from operator import itemgetter
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field as Setting

from drivers.arrivals import Arrivals, Pieces
from drivers.driver import Decoded, Driver, DriverSettings, problem
from drivers.nmea.sentences import LONGEST, NO_DAY, OVERLONG, Block, Bools, Floats, Good, Ints, Rows, Trail, where
from tidegate.clock import NAT, Arrival, TimeSource
from tidegate.frame import MISSING_INT, Column, Field, Frame, Missing, Reasons, Schema
from tidegate.vocabulary import parameter

# --- what each type of sentence says ----------------------------------------------------------------------------------

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


def _position(rows: Rows, k: int) -> tuple[dict[str, Floats], Ints]:
    """Latitude in fields `k`, `k + 1` and longitude in the two after, and whether they are finer than usual."""
    columns = {"latitude": rows.angle(k, 2, b"NS"), "longitude": rows.angle(k + 2, 3, b"EW")}
    fine = np.maximum(rows.decimals(k), rows.decimals(k + 2)) > 5
    return columns, fine.astype(np.int64)


def _gga(rows: Rows) -> _Said:
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


def _gll(rows: Rows) -> _Said:
    columns, fine = _position(rows, 1)
    valid = (rows.letter(6, b"AV") == ord("A")) & (rows.letter(7, b"ADEFMNPRS") != ord("N"))
    return _Said(columns, valid, (), fine, rows.time_of_day_ns(5))


def _rmc(rows: Rows) -> _Said:
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


def _zda(rows: Rows) -> _Said:
    return _Said(
        {},
        time_of_day_ns=rows.time_of_day_ns(1),
        day=rows.days(2, rows.integer(4), rows.integer(3), rows.integer(2)),
    )


def _vtg(rows: Rows) -> _Said:
    knots, kmh = rows.measured(5, b"N") * _KNOT, rows.measured(7, b"K") / 3.6
    return _Said(
        {
            "platform_course": rows.measured(1, b"T"),
            "platform_speed_wrt_ground": np.where(np.isnan(knots), kmh, knots),
        },
        rows.letter(9, b"ADEFMNPRS") != ord("N"),
    )


def _hdt(rows: Rows) -> _Said:
    return _Said({"platform_orientation": rows.measured(1, b"T")})


def _ths(rows: Rows) -> _Said:
    mode = rows.letter(2, b"AEMSV")
    return _Said({"platform_orientation": rows.number(1)}, (mode != ord("V")) & (mode != 0))


def _vhw(rows: Rows) -> _Said:
    knots, kmh = rows.measured(5, b"N") * _KNOT, rows.measured(7, b"K") / 3.6
    return _Said(
        {
            "platform_orientation": rows.measured(1, b"T"),
            "platform_speed_wrt_sea_water": np.where(np.isnan(knots), kmh, knots),
        }
    )


def _dpt(rows: Rows) -> _Said:
    return _Said({"sea_floor_depth_below_transducer": rows.number(1), "transducer_offset": rows.number(2)})


def _dbt(rows: Rows) -> _Said:
    feet, metres, fathoms = rows.measured(1, b"f"), rows.measured(3, b"M"), rows.measured(5, b"F")
    other = np.where(np.isnan(feet), fathoms * 1.8288, feet * 0.3048)
    return _Said({"sea_floor_depth_below_transducer": np.where(np.isnan(metres), other, metres)})


def _mtw(rows: Rows) -> _Said:
    return _Said({"sea_water_temperature": rows.measured(1, b"C")})


_WIND_UNITS = {ord("M"): 1.0, ord("N"): _KNOT, ord("K"): 1 / 3.6, ord("S"): 0.44704}


def _mwv(rows: Rows) -> _Said:
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


class _Layout:
    """A schema, with what its values are rounded and checked by: arrays (fields, 1)."""

    def __init__(self, kind: str, *names: str, fine: bool = False) -> None:
        resolutions = _RESOLUTION | ({"latitude": 1e-9, "longitude": 1e-9} if fine else {})
        fields = tuple(Field.of(name, resolution=resolutions.get(name)) for name in names)
        self.schema = Schema(kind, fields)
        self.names = names
        self.integer = [f.integer for f in fields]
        self.steps = np.array([[10.0**f.decimals] for f in fields])
        self.low = np.array([[parameter(name).plausible[0]] for name in names])
        self.high = np.array([[parameter(name).plausible[1]] for name in names])


@dataclass(frozen=True)
class _Type:
    """One type of sentence: the least and the most fields it may have, how to read them, its schemas by variant."""

    name: str
    counts: tuple[int, int]
    read: Callable[[Rows], _Said]
    layouts: tuple[_Layout, ...] = ()


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


def _both(kind: str, *names: str) -> tuple[_Layout, _Layout]:
    """For minutes of up to 5 decimals, and for finer ones (receivers with carrier-phase fixes)."""
    names = ("latitude", "longitude", *names)
    return _Layout(kind, *names), _Layout(kind, *names, fine=True)


_FIX = (
    "altitude",
    "geoid_height_above_reference_ellipsoid",
    "gnss_fix_quality",
    "gnss_satellites_used",
    "gnss_horizontal_dilution_of_precision",
)
_NAVIGATION = ("platform_speed_wrt_ground", "platform_course", "magnetic_variation")
_HEADING = _Layout("heading", "platform_orientation")
_DEPTH = _Layout("depth", "sea_floor_depth_below_transducer", "transducer_offset")
_SPEED = _Layout("water_speed", "platform_orientation", "platform_speed_wrt_sea_water")
_RELATIVE_WIND = _Layout("relative_wind", "relative_wind_speed", "relative_wind_from_direction")
_WIND = _Layout("wind", "wind_speed", "wind_from_direction_relative_to_bow")

_TYPES = {
    int.from_bytes(t.name.encode(), "big"): t
    for t in (
        _Type("GGA", (14, 14), _gga, _both("gnss_fix", *_FIX)),
        _Type("GLL", (6, 7), _gll, _both("position")),
        _Type("RMC", (11, 13), _rmc, _both("navigation", *_NAVIGATION)),
        _Type("ZDA", (6, 6), _zda),
        _Type("VTG", (8, 9), _vtg, (_Layout("course", "platform_course", "platform_speed_wrt_ground"),)),
        _Type("HDT", (2, 2), _hdt, (_HEADING,)),
        _Type("THS", (2, 2), _ths, (_HEADING,)),
        _Type("VHW", (8, 8), _vhw, (_SPEED,)),
        _Type("DPT", (2, 3), _dpt, (_DEPTH,)),
        _Type("DBT", (6, 6), _dbt, (_Layout("depth_below_transducer", "sea_floor_depth_below_transducer"),)),
        _Type("MTW", (2, 2), _mtw, (_Layout("water_temperature", "sea_water_temperature"),)),
        _Type("MWV", (5, 5), _mwv, (_RELATIVE_WIND, _WIND)),
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


def _filled(values: Ints, none: int, before: int) -> Ints:
    """Each `none` replaced by the value before it; `before` stands in front of the first."""
    last = np.maximum.accumulate(np.where(values != none, np.arange(len(values)), -1))
    return np.where(last >= 0, values[last], before)


_UNMARKED = 2


class _Clock:
    """The receiver's UTC, followed from sentence to sentence."""

    def __init__(self, correct_rollover: bool) -> None:
        self._correct = correct_rollover
        self._utc_ns, self._ticks_ns = NAT, 0  # the last time given, and the ticks then
        self._correction_ns = 0
        self._fixed = _UNMARKED

    def trust(self, marks: Ints) -> tuple[Bools, int]:
        """(for each sentence, whether the last mark of validity at or before it (1, 0; -1 is no mark) was not bad;
        the sentence that voids all dates before it, or -1).

        The latter is the first mark of all, where that is bad: a date from before was the receiver's guess.
        """
        filled = _filled(marks, -1, self._fixed)
        first = int(np.argmax(filled != _UNMARKED)) if self._fixed == _UNMARKED else -1
        self._fixed = int(filled[-1])
        trusted: Bools = filled != 0
        return trusted, first if filled[first] == 0 else -1

    def forget(self) -> None:
        """The date is not known any more."""
        self._utc_ns = NAT

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
        dated = day != NO_DAY
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
        changes = [(i, int(filled[i]) // _ROLLOVER_NS) for i in where(filled != before).tolist()]
        self._correction_ns = int(filled[-1])
        return utc + filled, changes


# --- the driver -------------------------------------------------------------------------------------------------------

_BLOCK = 1 << 18
_NONE = np.zeros(0, np.int64)
_NOWHERE = Trail(_NONE, Arrivals.stamped(_NONE), _NONE, _NONE)


class Settings(DriverSettings):
    """How to take the sentences of one port."""

    checksum: Literal["required", "optional"] = Setting(
        "required", description='"optional" takes sentences without a checksum too; a wrong one is always refused'
    )
    correct_week_rollover: bool = Setting(
        True, description="move dates that are off by a multiple of 1024 weeks from a trusted arrival"
    )


class _Part(NamedTuple):
    """The sentences of one type in a block; `good` where every field has the type's form."""

    kind: _Type
    said: _Said
    token: Ints
    good: Bools


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
        self._seen: list[_Layout] = []
        self._offset = 0  # of the first pending byte
        self._renew()

    def _renew(self) -> None:
        self._pending = b""
        self._dropping = False  # inside a sentence given up as overlong, until it ends
        self._trail = _NOWHERE
        self._clock = _Clock(self._correct_rollover)
        self._reported: set[bytes] = set()

    def schemas(self) -> Sequence[Schema]:
        """Those of the sentences seen so far."""
        return tuple(layout.schema for layout in self._seen)

    def feed(self, data: bytes, at: Arrival) -> list[Decoded]:
        return self.feed_all([(data, at)])

    def feed_all(self, pieces: Sequence[tuple[bytes, Arrival]]) -> list[Decoded]:
        return [item for block in Pieces.of(pieces).blocks(_BLOCK) for item in self._feed(block)]

    def finish(self) -> list[Decoded]:
        block, self._pending = self._pending, b""
        out = self._decode(block) if block else []
        self._offset += len(block)
        self._renew()
        return out

    # --- cutting the stream

    def _feed(self, pieces: Pieces) -> list[Decoded]:
        data, begun = pieces.data, len(self._pending)
        self._trail = self._trail.then(pieces.starts + (self._offset + begun), pieces.arrivals)
        # What is pending has no end and no second beginning in it: only the new bytes can hold one.
        end = max(data.rfind(b"\n") + 1, data.rfind(b"\r") + 1, data.rfind(b"$"), data.rfind(b"!"))
        ended = end > 0 or data[:1] in (b"$", b"!")
        buffer = self._pending + data
        cut = begun + end if ended else 0
        out = self._decode(buffer[:cut]) if cut else []
        self._dropping = self._dropping and not ended
        self._pending = buffer[cut:]
        self._offset += cut
        if self._dropping or len(self._pending) > LONGEST:
            if not self._dropping:
                given_up = self._pending[:LONGEST]
                at = self._trail.since(self._offset).arrivals[0]
                out.append(problem("noise", OVERLONG, self._offset, given_up, at))
            self._dropping = True
            self._offset += len(self._pending)
            self._pending = b""
        self._trail = self._trail.since(self._offset)
        return out

    # --- decoding a block

    def _decode(self, data: bytes) -> list[Decoded]:
        """`data` ends where a sentence does."""
        block = Block(data, self._offset, self._trail, self._dropping)
        parts = self._read(block, block.judge(self._optional))
        utc = self._times(block, parts)
        found: list[tuple[int, Decoded]] = []
        for part in parts:
            for variant, layout in enumerate(part.kind.layouts):
                chosen = part.good if part.said.variant is None else part.good & (part.said.variant == variant)
                if chosen.any():
                    found += self._frames(block, part, layout, where(chosen), utc)
        out = sorted([*block.problems, *found], key=itemgetter(0))
        return [item for _, item in out]

    def _read(self, block: Block, good: Good) -> list[_Part]:
        parts: list[_Part] = []
        keys = set(good.key.tolist())
        for key in keys & _TYPES.keys():
            kind = _TYPES[key]
            least, most = kind.counts
            here = good.key == key
            # Some devices end every sentence with a comma.
            ended = (good.size == most + 1) & ~good.fields.given[good.first + good.size - 1]
            counted = here & (good.size >= least) & ((good.size <= most) | ended)
            for i in where(here & ~counted).tolist():
                fields = f"{least} to {most}" if least < most else str(most)
                block.refuse("syntax", f"{kind.name} with {good.size[i]} fields, not {fields}", int(good.token[i]))
            rows = Rows(block, good.fields, good.first[counted], good.size[counted])
            said, token = kind.read(rows), good.token[counted]
            for i in where(rows.bad > 0).tolist():
                k = int(rows.bad[i])
                message = f"field {k} of {kind.name} is {rows.text(i, k)!r}, which that field cannot be"
                block.refuse("syntax", message, int(token[i]))
            parts.append(_Part(kind, said, token, rows.bad == 0))
        for key in keys - _TYPES.keys():
            self._report_unknown(block, good, where(good.key == key))
        return parts

    def _report_unknown(self, block: Block, good: Good, which: Ints) -> None:
        for i in which.tolist():
            token = int(good.token[i])
            address = block.text[block.start[token] + 1 : good.address_end[i]]
            name = address[2:] if _STANDARD.fullmatch(address) else address
            if name in self._reported:
                continue
            if _ADDRESS.fullmatch(address):
                self._reported.add(name)
                message = f"sentences of type {name.decode()} are not decoded (reported once)"
                block.refuse("unknown", message, token)
            else:
                block.refuse("syntax", f"{address.decode('latin-1')!r} is not an address of talker and type", token)

    def _times(self, block: Block, parts: list[_Part]) -> Ints:
        """UTC of each token by the receiver, NAT where it gives none."""
        n = len(block.start)
        utc = np.full(n, NAT, np.int64)
        timed = [part for part in parts if part.said.time_of_day_ns is not None]
        if not timed:
            return utc
        time_of_day, day, marks = np.full(n, -1, np.int64), np.full(n, NO_DAY, np.int64), np.full(n, -1, np.int64)
        for part in timed:
            said, token = part.said, part.token[part.good]
            if said.time_of_day_ns is not None:
                time_of_day[token] = said.time_of_day_ns[part.good]
            if said.day is not None:
                day[token] = said.day[part.good]
            if said.valid is not None:
                marks[token] = said.valid[part.good]
        trusted, void = self._clock.trust(marks)
        told = where(trusted & (time_of_day >= 0))
        ticks, clocks = block.trail.ticks_ns, block.trail.arrivals.trusted_ns()
        for i, run in enumerate([told] if void < 0 else [told[told < void], told[told > void]]):
            if i:
                self._clock.forget()
            if len(run):
                place = block.place[run]
                utc[run], changes = self._clock.follow(time_of_day[run], day[run], ticks[place], clocks[place])
                self._report_rollover(block, [(int(run[j]), rollovers) for j, rollovers in changes])
        return utc

    def _report_rollover(self, block: Block, changes: list[tuple[int, int]]) -> None:
        for token, rollovers in changes:
            if rollovers:
                message = f"the receiver's date is off by {-1024 * rollovers} weeks: its week number has rolled over; "
                message += "corrected (reported once)"
            else:
                message = "the receiver's date is right again and no longer corrected"
            block.refuse("week_rollover", message, token)

    def _frames(self, block: Block, part: _Part, layout: _Layout, rows: Ints, utc: Ints) -> list[tuple[int, Decoded]]:
        """Sentences of one type and schema as Frames, each with the offset of its first sample."""
        if layout not in self._seen:
            self._seen.append(layout)
        columns, reasons = self._columns(block, part, layout, rows)
        token = part.token[rows]
        time, place = utc[token], block.place[token]
        told = time != NAT
        if not told.all():
            time = np.where(told, time, block.trail.arrivals.utc_ns[place])
        # Samples of another source of time, or of arrivals that do not go on from the ones before, begin a new Frame.
        kinds = block.trail.group[place] * 2 + told
        cuts = [0, *(where(np.diff(kinds) != 0) + 1).tolist(), len(rows)]
        frames: list[tuple[int, Decoded]] = []
        for begin, end in pairwise(cuts):
            run = slice(begin, end)
            frame = Frame(
                self.instrument,
                layout.schema,
                time[run],
                {name: column[run] for name, column in columns.items()},
                TimeSource.NMEA if told[begin] else TimeSource.ARRIVAL,
                block.arrival(int(token[begin])),
                {name: codes[run] for name, codes in reasons.items()},
            )
            frames.append((block.offset(int(token[begin])), frame))
        return frames

    def _columns(
        self, block: Block, part: _Part, layout: _Layout, rows: Ints
    ) -> tuple[dict[str, Column], dict[str, Reasons]]:
        values = np.array([part.said.columns[name] for name in layout.names])[:, rows]
        codes = np.isnan(values) * np.uint8(Missing.NOT_GIVEN)
        if part.said.valid is not None:
            void = ~part.said.valid[rows]
            if void.any():
                guarded = [name not in part.said.spared for name in layout.names]
                codes[np.outer(guarded, void)] = Missing.INVALID
        wild = (codes == 0) & ((values < layout.low) | (values > layout.high))
        if wild.any():
            for j, i in np.argwhere(wild).tolist():
                p = parameter(layout.names[j])
                message = f"{part.kind.name}: {p.label} {values[j, i]:g} {p.unit} cannot be (possible are "
                message += f"{p.plausible[0]:g} to {p.plausible[1]:g}): left out"
                block.refuse("implausible", message, int(part.token[rows[i]]))
            codes[wild] = Missing.IMPLAUSIBLE
        values = np.rint(values * layout.steps) / layout.steps
        if codes.any():
            values[codes > 0] = np.nan
        columns: dict[str, Column] = {}
        for name, integer, column, missing in zip(layout.names, layout.integer, values, codes, strict=True):
            if integer:
                present = missing == 0
                columns[name] = np.where(present, np.where(present, column, 0.0).astype(np.int64), MISSING_INT)
            else:
                columns[name] = column
        reasons = {name: codes[j] for j, name in enumerate(layout.names) if codes[j].any()}
        return columns, reasons
