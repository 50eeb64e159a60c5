"""Teledyne RDI's Doppler velocity logs: PD4 and PD5 in binary, PD6 in lines of text.

Theory of operation. A PD4 record is 47 bytes, a PD5 record the same fields and more in 88: 7D, 00 or 01, the size
without the checksum, and at the end the sum of all bytes modulo 65536. What is no such record is taken as text: PD6
gives one sample as a group of lines, `:SA` attitude, `:TS` time and sensors, `:WI :WS :WE :WD` over the water, `:BI :BS
:BE :BD` over the bottom, `:HM` health, always in that order. A group ends where a line comes that does not follow in
that order; PD6 has no checksum, so each line must fit its grammar to the letter.

Signs. In these formats the vessel moves past the bottom and the water, which stand still: positive is forward, to
starboard, up. PD0 says the opposite (the bottom moves past the instrument), so the parameters have other names here.

Time. PD6 tells date and time. PD4 and PD5 tell the time of day: the day is the one that brings it nearest to the
arrival.

Sources: Workhorse H-ADCP operation manual (2015), tables 47 to 49; Pathfinder guide (95B-6116-00), tables 48 to 51.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from drivers.driver import Decoded, Driver, DriverSettings, Problem, Turn, problem
from drivers.lines import Line, Lines
from drivers.trdi.blocks import BAD_VELOCITY, Columns, beams, times_of
from drivers.trdi.setup import PROBLEMS as SET_UP_PROBLEMS
from drivers.trdi.setup import Settings, SetUp
from tidegate.clock import NAT, UNKNOWN, Arrival, TimeSource
from tidegate.frame import MISSING_INT, Column, Field, Frame, Missing, Reasons, Schema
from tidegate.vocabulary import parameter

_SIZES = {0: 47, 1: 88}
_SYNC = re.compile(rb"\x7d(?:\x00\x2d\x00|\x01\x56\x00)")
_SYNC_BEGUN = re.compile(rb"\x7d(?:\x00(?:\x2d)?|\x01(?:\x56)?)?\Z")
_LONGEST = 160
_DAY_NS = 86_400_000_000_000

_PD4 = np.dtype(
    {
        "names": [
            *("kind", "system", "velocity", "range_cm", "bottom_status", "water", "start_dm", "end_dm", "water_status"),
            *("clock", "self_test", "sound_speed", "temperature"),
        ],
        "formats": [
            *("u1", "u1", "(4,)<i2", "(4,)<u2", "u1", "(4,)<i2", "<u2", "<u2", "u1"),
            *("(4,)u1", "<u2", "<u2", "<i2"),
        ],
        "offsets": [1, 4, 5, 13, 21, 22, 30, 32, 34, 35, 39, 41, 43],
        "itemsize": 45,
    }
)
_PD5 = np.dtype(
    {
        "names": ["salinity", "depth_dm", "pitch", "roll", "heading", "bottom_dm", "water_dm"],
        "formats": ["u1", "<u2", "<i2", "<i2", "<u2", "(4,)<i4", "(4,)<i4"],
        "offsets": [45, 46, 48, 50, 52, 54, 70],
        "itemsize": 86,
    }
)
_AXES = (
    ("beam_1", "beam_2", "beam_3", "beam_4"),
    ("x", "y", "z", "error"),
    ("starboard", "forward", "normal", "error"),
    ("eastward", "northward", "upward", "error"),
)
_WAYS = ("east", "north", "up", "error")


def _velocities(track: str, axes: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"dvl_{track}_track_{axis}_velocity" for axis in axes)


def _distances(track: str, ways: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{track}_track_distance_{way}" for way in ways)


# ---- PD4 and PD5 -----------------------------------------------------------------------------------------------------


def _binary_schema(kind: int, coordinates: int) -> Schema:
    fields = [
        *(Field.of(name) for name in _velocities("bottom", _AXES[coordinates])),
        *(Field.of(name) for name in beams("bottom_track_range")),
        Field.of("bottom_track_status"),
        *(Field.of(name) for name in _velocities("water", _AXES[coordinates])),
        Field.of("water_track_layer_start"),
        Field.of("water_track_layer_end"),
        Field.of("water_track_status"),
        Field.of("built_in_test_result"),
        Field.of("speed_of_sound_in_sea_water", resolution=1.0),
        Field.of("sea_water_temperature", resolution=0.01),
    ]
    if kind:
        fields += [
            Field.of("sea_water_practical_salinity", resolution=1.0),
            Field.of("depth", resolution=0.1),
            Field.of("platform_pitch_fore_up"),
            Field.of("platform_roll_starboard_down"),
            Field.of("platform_orientation"),
            *(Field.of(name, resolution=0.1) for name in _distances("bottom", _WAYS)),
            *(Field.of(name, resolution=0.1) for name in _distances("water", _WAYS)),
        ]
    return Schema(f"dvl_pd{4 + kind}", tuple(fields))


def _binary_columns(records: npt.NDArray[np.uint8], kind: int, coordinates: int) -> Columns:
    """`records` (n, size) of one kind and of one frame of coordinates."""
    first = np.ascontiguousarray(records[:, : _PD4.itemsize]).view(_PD4)[:, 0]
    out = Columns()
    for track, part in (("bottom", "velocity"), ("water", "water")):
        values = first[part]
        out.add_four(_velocities(track, _AXES[coordinates]), values / 1000, values == BAD_VELOCITY)
    out.add_four(beams("bottom_track_range"), first["range_cm"] / 100, first["range_cm"] == 0)
    out.add("bottom_track_status", first["bottom_status"])
    out.add("water_track_layer_start", first["start_dm"] / 10)
    out.add("water_track_layer_end", first["end_dm"] / 10)
    out.add("water_track_status", first["water_status"])
    out.add("built_in_test_result", first["self_test"])
    out.add("speed_of_sound_in_sea_water", first["sound_speed"])
    out.add("sea_water_temperature", first["temperature"] / 100)
    if kind:
        more = np.ascontiguousarray(records[:, : _PD5.itemsize]).view(_PD5)[:, 0]
        out.add("sea_water_practical_salinity", more["salinity"])
        out.add("depth", more["depth_dm"] / 10)
        out.add("platform_pitch_fore_up", more["pitch"] / 100)
        out.add("platform_roll_starboard_down", more["roll"] / 100)
        out.add("platform_orientation", more["heading"] / 100)
        out.add_four(_distances("bottom", _WAYS), more["bottom_dm"] / 10)
        out.add_four(_distances("water", _WAYS), more["water_dm"] / 10)
    return out


def _time_of_day(clock: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Nanoseconds since midnight of (n, 4) hour, minute, second, 1/100; NAT where there is no such time."""
    parts = clock.astype(np.int64)
    valid = (parts < np.array([24, 60, 60, 100])).all(axis=1)
    of_day = ((parts[:, 0] * 60 + parts[:, 1]) * 60 + parts[:, 2]) * 100 + parts[:, 3]
    out: npt.NDArray[np.int64] = np.where(valid, of_day * 10_000_000, NAT)
    return out


# ---- PD6 -------------------------------------------------------------------------------------------------------------

_DECIMAL = rb" *([+-]? *\d{1,9}\.\d{1,3})"
_WHOLE = rb" *([+-] *\d{1,6})"
_GOOD = rb" *([AV])"


class _Kind(NamedTuple):
    """A kind of line: its grammar, and the parameters of its groups in order. A last group A or V tells whether its
    velocities are good."""

    pattern: re.Pattern[bytes]
    names: tuple[str, ...]
    scale: float = 1.0
    status: bool = False


def _numbers(*groups: bytes) -> re.Pattern[bytes]:
    return re.compile(b",".join(groups) + rb" *")


def _speeds(track: str, frame: int, count: int) -> _Kind:
    names = _velocities(track, _AXES[frame][:count])
    return _Kind(_numbers(*[_WHOLE] * count, _GOOD), names, 0.001, status=True)


def _travelled(track: str) -> _Kind:
    names = (*_distances(track, _WAYS[:3]), f"{track}_track_range", f"{track}_track_time_since_good")
    return _Kind(_numbers(*[_DECIMAL] * 5), names)


_TIME = rb" *(\d{14})"
_KINDS: Mapping[bytes, _Kind] = {
    b"SA": _Kind(
        _numbers(_DECIMAL, _DECIMAL, _DECIMAL),
        ("platform_pitch_fore_up", "platform_roll_starboard_down", "platform_orientation"),
    ),
    b"TS": _Kind(
        _numbers(_TIME, _DECIMAL, _DECIMAL, _DECIMAL, _DECIMAL, rb" *([0-9A-Fa-f]{1,3})"),
        (
            *("sea_water_practical_salinity", "sea_water_temperature", "depth", "speed_of_sound_in_sea_water"),
            "built_in_test_result",
        ),
    ),
    b"WI": _speeds("water", 1, 4),
    b"WS": _speeds("water", 2, 3),
    b"WE": _speeds("water", 3, 3),
    b"WD": _travelled("water"),
    b"BI": _speeds("bottom", 1, 4),
    b"BS": _speeds("bottom", 2, 3),
    b"BE": _speeds("bottom", 3, 3),
    b"BD": _travelled("bottom"),
    b"HM": _Kind(
        _numbers(rb" *[GLD]", rb" *[GLD]", *[rb" *([0-9A-Fa-f]{4})"] * 2, *[_DECIMAL] * 3),
        ("leak_sensor_a", "leak_sensor_b", "transmit_voltage", "transmit_current", "transducer_impedance"),
    ),
}
_ORDER = {kind: rank for rank, kind in enumerate(_KINDS)}
_HEXADECIMAL = {"built_in_test_result", "leak_sensor_a", "leak_sensor_b"}
_LINE = re.compile(rb":([A-Z]{2}),(.*)", re.DOTALL)
_RESOLUTIONS = {"sea_water_practical_salinity": 0.1, "sea_water_temperature": 0.01, "depth": 0.1}


def _values(kind: _Kind, match: re.Match[bytes], first: int) -> list[float | int]:
    """The numbers of a line; NaN and MISSING_INT where it says that they are bad."""
    texts = match.groups()[first:]
    bad = kind.status and texts[-1] == b"V"
    out: list[float | int] = []
    for name, text in zip(kind.names, texts, strict=False):
        if name in _HEXADECIMAL:
            out.append(int(text, 16))
        elif bad:
            out.append(float("nan"))
        else:
            number = float(text.replace(b" ", b"")) * kind.scale
            out.append(float("nan") if kind.status and number == BAD_VELOCITY / 1000 else round(number, 4))
    return out


@dataclass(slots=True)
class _Group:
    """The lines of one sample so far."""

    offset: int
    arrival: Arrival
    rank: int = -1
    end: int = 0
    time: int = NAT
    timed: bool = False
    damaged: bool = False
    values: dict[str, float | int] = field(default_factory=dict)
    kinds: list[bytes] = field(default_factory=list)


def _text_schema(kinds: frozenset[bytes]) -> Schema:
    names = [name for kind, what in _KINDS.items() if kind in kinds for name in what.names]
    return Schema("dvl_pd6", tuple(Field.of(name, resolution=_RESOLUTIONS.get(name)) for name in names))


class Dvl(Driver):
    """Reads PD4, PD5 and PD6, whichever comes. It sends nothing unless `setup` names commands."""

    manufacturer: ClassVar[str] = "Teledyne RD Instruments"
    models: ClassVar[tuple[str, ...]] = (
        "Workhorse Navigator",
        "Explorer DVL",
        "Pathfinder DVL",
        "Wayfinder DVL",
        "Tasman DVL",
        "Pioneer DVL",
    )
    title: ClassVar[str] = "Teledyne RDI Doppler velocity logs: PD4, PD5, PD6"
    Settings: ClassVar[type[DriverSettings]] = Settings
    lines: ClassVar[tuple[str, ...]] = ("9600 8N1", "115200 8N1", "19200 8N1", "38400 8N1")
    commands: ClassVar[Mapping[str, str]] = {
        "===": "soft break: stops the pinging and wakes the prompt, where the instrument listens for it; a BREAK of the"
        " line of 0.3 s or more always does",
        "CR1": "factory settings",
        "PD4": "output format PD4",
        "PD5": "output format PD5",
        "PD6": "output format PD6",
        "BP001": "bottom pings an ensemble",
        "EX11111": "earth coordinates with tilts and three-beam solutions",
        "TEhh:mm:ss.ff": "time from ensemble to ensemble",
        "TTccyy/mm/dd,hh:mm:ss": "sets the clock",
        "PS0": "says serial number, frequency and firmware",
        "CK": "keeps the settings",
        "CS": "starts the pinging",
    }
    problems: ClassVar[Mapping[str, str]] = {
        "checksum": "A PD4 or PD5 record came with wrong bytes: check the cable, its shield and length; lower the baud"
        " rate.",
        "syntax": "A line that is none of PD6 or does not fit its grammar: the values it held are missing; check the"
        " cable and that no one types on the line.",
        "truncated": "A record or a line was cut off: the port closed, or the power failed.",
        "noise": "Bytes without an end of line: check the baud rate and the output format (PD4, PD5 or PD6).",
        "implausible": "A value that cannot be, or a time that there is not; it is left out. Check that sensor, or set"
        " the clock by TT.",
        **SET_UP_PROBLEMS,
    }

    def __init__(self, instrument: str, settings: DriverSettings | None = None) -> None:
        super().__init__(instrument, settings)
        assert isinstance(self.settings, Settings)
        self._set_up = SetUp(self.settings.setup)
        self._pending = b""
        self._offset = 0  # of the first pending byte
        self._arrivals: list[tuple[int, Arrival]] = []
        self._text = Lines(_LONGEST)
        self._text_base = 0
        self._group: _Group | None = None
        self._kinds: frozenset[bytes] = frozenset()
        self._schemas: dict[tuple[int, int] | frozenset[bytes], Schema] = {}
        self._khz: int | None = None

    def start(self) -> bytes:
        """Nothing at once: where set-up commands are given, `turn` sends them, each when the prompt is there."""
        self._set_up.begin()
        return b""

    def turn(self, now_ns: int) -> Turn:
        """The set-up, from the break to `CS`."""
        return self._set_up.turn(now_ns)

    def schemas(self) -> Sequence[Schema]:
        """Those met so far: the coordinates and the lines are known only from what comes."""
        return tuple(self._schemas.values())

    def description(self) -> Mapping[str, Any]:
        """The frequency, where PD4 or PD5 told it."""
        told: dict[str, Any] = {"manufacturer": self.manufacturer}
        if self._khz:
            told["frequency_khz"] = self._khz
            told["model"] = f"{self._khz} kHz DVL"
        return told

    def feed(self, data: bytes, at: Arrival) -> list[Decoded]:
        """See `Driver.feed`. A sample of PD6 is given when the next one begins."""
        self._set_up.hear(data)
        if data and (not self._arrivals or self._arrivals[-1][1] != at):
            self._arrivals.append((self._offset + len(self._pending), at))
        self._pending += data
        return self._work(final=False)

    def finish(self) -> list[Decoded]:
        """See `Driver.finish`: the last group of lines is a sample as it stands."""
        decoded = self._work(final=True)
        decoded += self._end_text()
        decoded += self._samples(self._take_group())
        self._arrivals.clear()
        return decoded

    # -- records and what is between them

    def _work(self, *, final: bool) -> list[Decoded]:
        decoded: list[Decoded] = []
        run: list[tuple[int, bytes]] = []  # good records that follow each other
        data, at = self._pending, 0

        def flush() -> None:
            decoded.extend(self._records(run))
            run.clear()

        while True:
            match = _SYNC.search(data, at)
            if match is None:
                break
            start = match.start()
            end = start + _SIZES[data[start + 1]]
            good = len(data) >= end and sum(data[start : end - 2]) & 0xFFFF == data[end - 2] | data[end - 1] << 8
            if not good and len(data) < end + 4 and not final:
                break  # what it is, and whether another begins inside it, cannot be told yet
            if start > at:
                flush()
                decoded += self._lines(at, data[at:start])
            if good:
                if not run:
                    decoded += self._end_text()
                    decoded += self._samples(self._take_group())
                run.append((self._offset + start, data[start:end]))
                at = end
            else:
                flush()
                another = _SYNC.search(data, start + 1, end + 3)
                stop = min(another.start() if another else end, len(data))
                kind = "truncated" if end > len(data) else "checksum"
                decoded += self._end_text()
                decoded.append(self._damaged(kind, start, data[start:stop]))
                at = stop
            self._text_base = self._offset + at
        flush()
        match = _SYNC.search(data, at)
        begun = None if final else (match or _SYNC_BEGUN.search(data, max(at, len(data) - 3)))
        rest = begun.start() if begun else len(data)
        if rest > at:
            decoded += self._lines(at, data[at:rest])
        self._pending = data[rest:]
        self._offset += rest
        while len(self._arrivals) > 1 and self._arrivals[1][0] <= self._offset:
            del self._arrivals[0]
        return decoded

    def _arrival(self, offset: int) -> Arrival:
        found = UNKNOWN
        for start, at in self._arrivals:
            if start > offset:
                break
            found = at
        return found

    def _damaged(self, kind: str, start: int, data: bytes) -> Problem:
        message = (
            f"a record of {len(data)} bytes whose checksum is wrong"
            if kind == "checksum"
            else "the stream ends inside a record"
        )
        offset = self._offset + start
        return problem(kind, message, offset, data, self._arrival(offset))

    def _records(self, run: Sequence[tuple[int, bytes]]) -> list[Decoded]:
        decoded: list[Decoded] = []
        first = 0
        while first < len(run):
            key, at = _binary_key(run[first][1]), self._arrival(run[first][0])
            last = first + 1
            while last < len(run) and _binary_key(run[last][1]) == key and self._arrival(run[last][0]).follows(at):
                last += 1
            decoded += self._same_records(run[first:last], key, at)
            first = last
        return decoded

    def _same_records(self, run: Sequence[tuple[int, bytes]], key: tuple[int, int], at: Arrival) -> list[Decoded]:
        kind, coordinates = key
        records = np.frombuffer(b"".join(record for _, record in run), np.uint8).reshape(len(run), -1)
        self._khz = {2: 300, 3: 600, 4: 1200}.get(int(records[-1, 4]) & 7, self._khz)
        schema = self._schemas.setdefault(key, _binary_schema(kind, coordinates))
        columns = _binary_columns(records, kind, coordinates)
        arrived = np.array([self._arrival(offset).utc_ns for offset, _ in run], np.int64)
        of_day = _time_of_day(records[:, 35:39])
        known = (of_day != NAT) & (arrived != NAT)
        days = np.round((np.where(known, arrived, 0) - np.where(known, of_day, 0)) / _DAY_NS).astype(np.int64)
        times = np.where(known, days * _DAY_NS + of_day, arrived)
        if (of_day == NAT).any():
            columns.unreal["time of first ping"] = of_day == NAT
        decoded: list[Decoded] = []
        unreal = np.zeros(len(run), np.bool_)
        for rows in columns.unreal.values():
            unreal |= rows
        cuts = [0, *(np.flatnonzero(np.diff(known)) + 1).tolist(), len(run)]
        for a, z in pairwise(cuts):
            frame = Frame(
                self.instrument,
                schema,
                times[a:z],
                {name: column[a:z] for name, column in columns.columns.items()},
                TimeSource.INSTRUMENT if known[a] else TimeSource.ARRIVAL,
                at if a == 0 else self._arrival(run[a][0]),
                {name: reasons[a:z] for name, reasons in columns.reasons.items()},
            )
            decoded.append(frame)
        for row in np.flatnonzero(unreal).tolist():
            names = ", ".join(name for name, rows in columns.unreal.items() if rows[row])
            message = f"no such value in the sea; left out of the sample: {names}"
            offset, data = run[row]
            decoded.append(problem("implausible", message, offset, data, self._arrival(offset)))
        return decoded

    # -- lines

    def _lines(self, start: int, data: bytes) -> list[Decoded]:
        """Text from `start` of the pending bytes; pieces are given to the lines as they arrived."""
        decoded: list[Decoded] = []
        offset = self._offset + start
        edges = [edge for edge, _ in self._arrivals if offset < edge < offset + len(data)]
        for a, z in zip([offset, *edges], [*edges, offset + len(data)], strict=True):
            lines, noise = self._text.feed(data[a - offset : z - offset], self._arrival(a))
            parts: list[Line | Problem] = sorted([*lines, *noise], key=lambda part: part.offset)
            decoded += self._text_parts(parts)
        return decoded

    def _text_parts(self, parts: Sequence[Line | Problem]) -> list[Decoded]:
        decoded: list[Decoded] = []
        done: list[_Group] = []
        for part in parts:
            offset = part.offset + self._text_base
            if isinstance(part, Problem):
                decoded += self._samples(done)
                done = []
                decoded.append(problem(part.kind, part.message, offset, part.data, part.arrival))
                continue
            ended, wrong = self._line(part.data, offset, part.arrival)
            done += ended
            if wrong:
                decoded += self._samples(done)
                done = []
                decoded.append(wrong)
        return decoded + self._samples(done)

    def _end_text(self) -> list[Decoded]:
        """The line that never ended, where a record or the stream's end cuts it; the text then begins anew."""
        rest = self._text.finish()
        base, self._text = self._text_base, Lines(_LONGEST)
        if rest is None:
            return []
        message = "a line that was cut off"
        return [problem("truncated", message, rest.offset + base, rest.data, rest.arrival)]

    def _line(self, data: bytes, offset: int, arrival: Arrival) -> tuple[list[_Group], Problem | None]:
        """(the group that this line ended, what is wrong with it)."""
        match = _LINE.fullmatch(data)
        kind = _KINDS.get(match[1]) if match else None
        if match is None or kind is None:
            if self._group:
                self._group.damaged = True
            return [], problem("syntax", f"no line of PD6: {data[:40]!r}", offset, data, arrival)
        rank = _ORDER[match[1]]
        ended: list[_Group] = []
        if self._group is None or rank <= self._group.rank:
            ended = self._take_group()
            self._group = _Group(offset, arrival, damaged=rank > 0)
        self._group.rank, self._group.end = rank, offset + len(data)
        fields = kind.pattern.fullmatch(match[2])
        if fields is None:
            self._group.damaged = True
            message = f"a line :{match[1].decode()} that does not fit its grammar: {data[:60]!r}"
            return ended, problem("syntax", message, offset, data, arrival)
        timed = match[1] == b"TS"
        self._group.kinds.append(match[1])
        self._group.values.update(zip(kind.names, _values(kind, fields, int(timed)), strict=True))
        if timed:
            text = fields[1].decode()
            clock = np.array([[int(text[i : i + 2]) for i in range(0, 14, 2)]], np.int64)
            self._group.time, self._group.timed = int(times_of(2000 + clock[:, 0], clock)[0]), True
        return ended, None

    def _take_group(self) -> list[_Group]:
        group, self._group = self._group, None
        return [group] if group and group.values else []

    def _samples(self, groups: Sequence[_Group]) -> list[Decoded]:
        decoded: list[Decoded] = []
        first = 0
        while first < len(groups):
            self._kinds |= frozenset(groups[first].kinds)
            known, by_clock = self._kinds, groups[first].time != NAT
            last = first + 1
            while (
                last < len(groups)
                and known >= set(groups[last].kinds)
                and (groups[last].time != NAT) == by_clock
                and groups[last].arrival.follows(groups[first].arrival)
            ):
                last += 1
            decoded += self._same_groups(groups[first:last], known, by_clock=by_clock)
            first = last
        return decoded

    def _same_groups(self, groups: Sequence[_Group], kinds: frozenset[bytes], *, by_clock: bool) -> list[Decoded]:
        schema = self._schemas.setdefault(kinds, _text_schema(kinds))
        columns: dict[str, Column] = {}
        reasons: dict[str, Reasons] = {}
        unreal: dict[int, list[str]] = {}
        damaged = np.array([group.damaged for group in groups])
        for f in schema.fields:
            none = MISSING_INT if f.integer else np.nan
            said = [group.values.get(f.name, none) for group in groups]
            column: Column = np.array(said, np.int64) if f.integer else np.array(said, np.float64)
            there = np.array([f.name in group.values for group in groups])
            absent = (column == MISSING_INT) if f.integer else np.isnan(column)
            low, high = parameter(f.name).plausible
            wild = ~absent & ((column < low) | (column > high))
            why = np.where(there, Missing.INVALID, np.where(damaged, Missing.UNREADABLE, Missing.NOT_GIVEN))
            if wild.any():
                column[wild] = none
                for row in np.flatnonzero(wild).tolist():
                    unreal.setdefault(row, []).append(f.name)
            if (absent | wild).any():
                reasons[f.name] = np.where(wild, Missing.IMPLAUSIBLE, np.where(absent, why, 0)).astype(np.uint8)
            columns[f.name] = column
        times = np.array([g.time if by_clock else g.arrival.utc_ns for g in groups], np.int64)
        source = TimeSource.INSTRUMENT if by_clock else TimeSource.ARRIVAL
        decoded: list[Decoded] = [
            Frame(self.instrument, schema, times, columns, source, groups[0].arrival, reasons),
        ]
        for row, group in enumerate(groups):
            names = unreal.get(row, []) + (["time"] if group.timed and group.time == NAT else [])
            if names:
                message = f"no such value in the sea; left out of the sample: {', '.join(names)}"
                size = group.end - group.offset
                decoded.append(Problem("implausible", message, group.offset, b"", size, group.arrival))
        return decoded


def _binary_key(record: bytes) -> tuple[int, int]:
    """(0 of PD4 or 1 of PD5, the frame of coordinates)."""
    return record[1], record[4] >> 6
