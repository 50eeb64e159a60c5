"""Valeport: TideMaster, 740 and 740a tide gauges, miniIPS and miniIPS2, and the mini and uv probes (CTD, SVP, SVX).

Theory of operation. Each line is one sample; the form tells what it is:

    $PVTM0,01,20042019,084000,-0.271,0.010,1,5.6,0*2a        TideMaster: tide height, its scatter, 0 dbar 1 m 2 ft, …
    $PVTM1,… and $PVTM2,…                                    its weather station; its water temperature and conductivity
    ID:01 TIME:20/11/2009 09:29:00<tab>P(dBar)= 3.487 D(m)= 3.152      740; without the head 740a
    $PIPS,0001.00,M*78    $PVIPS2,01,45687,10.996,d,10.988,M*61        miniIPS, miniIPS2
    0009.996,M,0.000      0009.996,M                                   the same without checksum
    1483.576 M/SEC<tab>0010.122 M<tab>0021.291 C<tab>0000.142 MS/CM    uvSVX
     10.351 21.488 1506.739                                            mini and uv probes: `columns` says what

The checksum (exclusive or of all between `$` and `*`) may be in small letters. Manuals of Valeport print some examples
with wrong ones; a line with a wrong checksum is refused all the same. Lines without checksum count only where they have
the digits that the manual gives them.

What a TideMaster calls tide height in metres or feet is the height over the datum that was set up in it, so it is the
water level; in dbar it is a pressure. A probe's pressure is absolute (10 dbar in air) unless a tare is set in it: say
so with `tared`. A sound speed of 0000.000 is a probe in air: missing.

Sources: TideMaster operating manual issue 1.1, pages 48 and 49; miniIPS2 operating manual, pages 19 to 21; miniIPS
0760824b; miniSERIES 0660880d; uvSVP page 11; uvSVX page 24; a line of a TideMaster (EvgeniyPotapov/TCP-Tide-Gauge) and
of a miniSVS (uwesub).
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Literal, NamedTuple

from drivers.checksums import exclusive_or
from drivers.columns import INVALID, Value, columns, is_day, moments
from drivers.driver import DriverSettings
from drivers.lines import Line
from drivers.rows import NO_TEXT, NOISE, Complaint, Row, RowDriver, Samples
from tidegate.frame import Schema

ColumnName = Literal["pressure", "depth", "temperature", "sound_velocity", "conductivity", "salinity", "ignore"]
Unit = Literal["dBar", "m", "ft"]

_PROMPT = rb"(?:> ?)*+"
_CLOCK = rb"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d"
_SENTENCE = re.compile(rb"%s\$(PVTM0|PVTM1|PVTM2|PIPS|PVIPS2),([^$*]*)\*([0-9A-Fa-f]{2})" % _PROMPT)
_HEAD = rb"(\d{1,3}),(\d{8}),((?:[01]\d|2[0-3])[0-5]\d[0-5]\d),"
_FIELDS = {
    b"PVTM0": re.compile(rb"%s(-?\d{1,3}\.\d{3}),(\d{1,3}\.\d{3}),([012]),(\d{1,2}\.\d),(\d{1,4}),?" % _HEAD),
    b"PVTM1": re.compile(
        rb"%s(\d{1,3}\.\d\d),\d{1,2}\.\d\d,(\d{1,3}\.\d\d),([012]),(\d{1,3}\.\d),\d{1,3}\.\d\d,(\d{3,4}\.\d),[01],"
        rb"(-?\d{1,3}\.\d),([01]),(-?\d{1,3}\.\d),(\d{1,3}\.\d),?" % _HEAD
    ),
    b"PVTM2": re.compile(rb"%s(-?\d{1,3}\.\d{3}),([01]),(-?\d{1,3}\.\d{3}),mS,?" % _HEAD),
    b"PIPS": re.compile(rb"(-?\d{3,4}\.\d{2,3}),(M|D|F|dBar|m|ft|)?,?"),
    b"PVIPS2": re.compile(rb"(\d\d),(\d{1,8}),(-?\d{1,4}\.\d{3}),d,(-?\d{1,4}\.\d{3}),(M|D|F|dBar|m|ft|d|)"),
}
_740 = re.compile(
    rb"%s(?:ID:(\d\d)[ \t]+TIME:(\d\d)/(\d\d)/(\d{4})[ \t]+(%s)[ \t]+)?P\(dBar\)=[ \t]*(-?\d{1,3}\.\d{3})"
    rb"(?:[ \t]+D\((m|ft)\)=[ \t]*(-?\d{1,3}\.\d{3}))?" % (_PROMPT, _CLOCK)
)
_IPS = re.compile(rb"%s(-?\d{3,4}\.\d{3})(?:[,;/\t](M|D|F|dBar|m|ft))?(?:[,;/\t](\d\.\d{3}))?" % _PROMPT)
_IPS_CSV = re.compile(rb"%s00/00/00, 00:00:00, (-?\d{3,4}\.\d),0\.0,0?0\.00?" % _PROMPT)
_SVX = re.compile(
    rb"%s(\d{4}\.\d{3}) M/SEC[ \t]+(-?\d{3,4}\.\d{3}) (DBAR|M)[ \t]+(-?\d{3,4}\.\d{3}) C[ \t]+(\d{4}\.\d{3}) MS/CM"
    rb"(?:[ \t]+(\d{4}\.\d{3}) PSU)?" % _PROMPT
)
_PLAIN: Mapping[str, bytes] = {
    "pressure": rb"(-?\d{4}\.\d|-?\d{3}\.\d\d|-?\d{2,4}\.\d{3})",
    "depth": rb"(-?\d{4}\.\d|-?\d{3}\.\d\d|-?\d{2,4}\.\d{3})",
    "temperature": rb"(-?\d{2}\.\d{3})",
    "sound_velocity": rb"(\d{4}\.\d{3}|\d{7})",
    "conductivity": rb"(\d{2,3}\.\d{3})",
    "salinity": rb"(\d{2,3}\.\d{3})",
    "ignore": rb"(\S{1,16})",
}
_CONVERSATION = re.compile(
    rb"%s(?:#(?:\d{3}(?:;[ -~]{0,40})?)?|[SM]\d{0,2}"  # a command and its echo
    rb"|You are connected to [ -~]*|\d{7}[A-Z]\w? \d\d/\d\d/\d{4} \d\d:\d\d|ON|OFF|Metres|Feet|dBar)?" % _PROMPT
)
_BEGINS_AS_SAMPLE = re.compile(rb"%s(?:\$P|ID:|P\(|[ \t]*-?\d)" % _PROMPT)

_LETTERS: Mapping[bytes, Unit] = {b"M": "m", b"m": "m", b"F": "ft", b"ft": "ft", b"D": "dBar", b"d": "dBar"}
_FOOT = 0.3048
_KNOT, _MPH = 1852 / 3600, 0.44704


class _Form(NamedTuple):
    """What the values of a row are; rows of one form are converted together."""

    values: tuple[Value, ...]
    clock: bool = False
    kind: str = "tide_gauge"


def _gauge_pressure(tared: bool) -> Value:
    return Value("sea_water_pressure_due_to_sea_water" if tared else "sea_water_pressure", 1e-3)


@lru_cache(maxsize=64)
def _head_of(unit: Unit, *, depth: bool, tared: bool) -> Value:
    """How a pressure, depth or level in that unit becomes a column."""
    if unit == "dBar":
        return _gauge_pressure(tared)
    name = "depth" if depth else "water_surface_height_above_reference_datum"
    return Value(name, 1e-3) if unit == "m" else Value(name, 1e-6, _FOOT)


@lru_cache(maxsize=8)
def _tide_form(unit: Unit) -> _Form:
    scatter = Value("standard_deviation_of_water_level", 1e-3)
    if unit == "dBar":
        scatter = Value("standard_deviation_of_sea_water_pressure", 1e-3)
    elif unit == "ft":
        scatter = Value("standard_deviation_of_water_level", 1e-6, _FOOT)
    level = _head_of(unit, depth=False, tared=True)
    return _Form((level, scatter, Value("battery_voltage", 0.1), Value("device_status")), clock=True)


@lru_cache(maxsize=16)
def _weather_form(wind: int, fahrenheit: bool) -> _Form:
    speed = (1e-4, _KNOT) if wind == 0 else (1e-2, 1.0) if wind == 1 else (1e-4, _MPH)
    degrees = (1e-3, 5 / 9, -160 / 9) if fahrenheit else (0.1, 1.0, 0.0)
    values = (
        Value("wind_speed", *speed),
        Value("wind_speed_of_gust", *speed),
        Value("wind_from_direction", 0.1),
        Value("air_pressure", 0.1),
        Value("air_temperature", *degrees),
        Value("dew_point_temperature", *degrees),
        Value("relative_humidity", 0.1),
    )
    return _Form(values, clock=True, kind="weather")


@lru_cache(maxsize=2)
def _water_form(fahrenheit: bool) -> _Form:
    temperature = Value("sea_water_temperature", 1e-3)
    if fahrenheit:
        temperature = Value("sea_water_temperature", 1e-4, 5 / 9, -160 / 9)
    return _Form((temperature, Value("sea_water_electrical_conductivity", 1e-4, 0.1)), clock=True, kind="ctd")


_PROBE: Mapping[str, Value] = {
    "depth": Value("depth", 1e-3),
    "temperature": Value("sea_water_temperature", 1e-3),
    "sound_velocity": Value("speed_of_sound_in_sea_water", 1e-3),
    "conductivity": Value("sea_water_electrical_conductivity", 1e-4, 0.1),
    "salinity": Value("sea_water_practical_salinity", 1e-3),
    "ignore": Value(""),
}


class Valeport(RowDriver):
    """A Valeport tide gauge or probe."""

    manufacturer: ClassVar[str] = "Valeport"
    models: ClassVar[tuple[str, ...]] = (
        *("TideMaster", "740", "miniIPS", "miniIPS2", "miniTIDE"),
        *("miniCTD", "miniSVP", "miniSVS", "uvSVP", "uvSVX"),
    )
    title: ClassVar[str] = "Valeport TideMaster, 740, miniIPS, and mini and uv probes"
    lines: ClassVar[tuple[str, ...]] = ("9600 8N1", "19200 8N1", "4800 8N1", "38400 8N1", "57600 8N1", "115200 8N1")
    commands: ClassVar[Mapping[str, str]] = {
        "#": "stops a probe; it answers > and waits for commands",
        "S": "takes one measurement (probes, after #)",
        "M1": "measures once a second; M2, M4, M8 faster (probes)",
        "#028": "runs with the settings made (probes)",
        "#020;1": "prints the unit behind the value (miniIPS2)",
        "#082;9": "prints values with their units (uvSVX)",
    }
    calibration: ClassVar[str] = "none is needed: values are physical"
    problems: ClassVar[Mapping[str, str]] = {
        "checksum": "the checksum is wrong: damaged on the way; check wiring and baud rate",
        "syntax": "a line that begins as a sample and does not fit: damaged, or of another set-up (see `columns`)",
        "unit": "a value without its unit: set `unit`, or let the instrument print it (#020;1)",
        "implausible": "a number outside what is possible on Earth; check the instrument's units and datum",
        "noise": "bytes that are no text: noise on the line, or another baud rate or parity",
        "truncated": "the stream ended inside this line",
        "unknown": "no line that these instruments print: another instrument, or damage",
    }

    class Settings(DriverSettings):
        """Settings of a Valeport instrument."""

        mode: Literal["autonomous", "polled"] = "autonomous"
        """`polled`: a probe is stopped and asked for each sample; `autonomous`: it sends on its own."""
        columns: tuple[ColumnName, ...] = ()
        """What a probe's plain line holds, in order, as `["pressure", "temperature", "conductivity"]` of a miniCTD."""
        unit: Unit | None = None
        """The unit of a miniIPS that does not print it."""
        tared: bool = False
        """A probe's pressure is that of the water alone, because a tare is set in it."""

    settings: Settings

    def __init__(self, instrument: str, settings: DriverSettings | None = None) -> None:
        self._told: dict[str, str] = {}
        super().__init__(instrument, settings)
        wanted = self.settings.columns
        body = rb"[ \t,]+".join(_PLAIN[column] for column in wanted)
        self._plain = re.compile(rb"%s[ \t]*%s" % (_PROMPT, body)) if wanted else None
        values = [{**_PROBE, "pressure": _gauge_pressure(self.settings.tared)}[column] for column in wanted]
        self._probe = _Form(tuple(values), kind="ctd" if set(wanted) - {"pressure", "depth"} else "tide_gauge")

    def schemas(self) -> Sequence[Schema]:
        """Of the columns that are set; else of a TideMaster's tides in metres."""
        return [_schema(self._probe if self.settings.columns else _tide_form("m"))]

    def description(self) -> Mapping[str, Any]:
        """The station's or the instrument's number once it stood in a line."""
        return {"manufacturer": self.manufacturer, **self._told}

    def start(self) -> bytes:
        """Stops a probe that is to be polled."""
        return b"#\r\n" if self.settings.mode == "polled" else b""

    def poll(self) -> bytes:
        """`S`, for a probe that is to be polled."""
        return b"S\r\n" if self.settings.mode == "polled" else b""

    @classmethod
    def guesses(cls) -> Sequence[DriverSettings]:
        """The forms that tell themselves, and the plain lines of a CTD and of a sound velocity profiler."""
        head: tuple[ColumnName, ...] = ("pressure", "temperature")
        return [
            cls.Settings(),
            cls.Settings(columns=(*head, "conductivity")),
            cls.Settings(columns=(*head, "sound_velocity")),
        ]

    @classmethod
    def hail(cls) -> bytes:
        """One measurement of a probe that has been stopped; one that runs ignores it."""
        return b"S\r\n"

    # --- one line

    def _read(self, line: Line) -> Row | Complaint | None:
        text = line.data.strip(b" \t")
        if (found := _SENTENCE.fullmatch(text)) is not None:
            return self._sentence(line, *found.groups())
        if (found := _740.fullmatch(text)) is not None:
            return self._multi_gauge(line, found)
        if (found := _SVX.fullmatch(text)) is not None:
            return self._svx(line, found)
        if self._plain is not None and (found := self._plain.fullmatch(text)) is not None:
            return Row(self._probe, (b"", *map(_in_water, found.groups(), self.settings.columns)), line)
        if (found := _IPS.fullmatch(text)) is not None:
            return self._ips(line, found[1], found[2], found[3])
        if (found := _IPS_CSV.fullmatch(text)) is not None:
            return self._ips(line, found[1], None, None)
        if NO_TEXT.search(text):
            return "noise", NOISE
        if _CONVERSATION.fullmatch(text):
            return None
        if _BEGINS_AS_SAMPLE.match(text):
            return (
                "syntax",
                "begins as a sample and does not fit: a value, a comma or a digit is not as Valeport prints it",
            )
        return "unknown", "a Valeport instrument is not known to print such a line"

    def _sentence(self, line: Line, name: bytes, fields: bytes, checksum: bytes) -> Row | Complaint:
        computed = exclusive_or(name + b"," + fields)
        if computed != int(checksum, 16):
            return "checksum", f"the checksum is {checksum.decode()}, and should be {computed:02X}"
        found = _FIELDS[name].fullmatch(fields)
        if found is None:
            return "syntax", f"the fields of ${name.decode()} are not as the manual has them"
        if name == b"PIPS":
            return self._ips(line, found[1], found[2], None)
        if name == b"PVIPS2":
            self._told |= {"station": found[1].decode(), "serial": found[2].decode(), "model": "miniIPS2"}
            return self._second_ips(line, found[3], found[4], found[5])
        day, clock = found[2], found[3]
        stamp = _stamp(day[4:], day[2:4], day[:2], b"%s:%s:%s" % (clock[:2], clock[2:4], clock[4:]))
        if stamp is None:
            return "syntax", "the calendar has no such day"
        self._told |= {"station": found[1].decode(), "model": "TideMaster"}
        units: tuple[Unit, ...] = ("dBar", "m", "ft")
        values = found.groups()[3:]
        if name == b"PVTM0":
            return Row(_tide_form(units[int(values[2])]), (stamp, values[0], values[1], *values[3:]), line)
        if name == b"PVTM1":
            form = _weather_form(int(values[2]), values[6] == b"1")
            return Row(form, (stamp, *values[:2], *values[3:6], *values[7:]), line)
        return Row(_water_form(values[1] == b"1"), (stamp, values[0], values[2]), line)

    def _multi_gauge(self, line: Line, found: re.Match[bytes]) -> Row | Complaint:
        station, day, month, year, clock, pressure, unit, level = found.groups()
        stamp: bytes | None = b""
        if station is not None:
            self._told["station"] = station.decode()
            stamp = _stamp(year, month, day, clock)
            if stamp is None:
                return "syntax", "the calendar has no such day"
        values = [_gauge_pressure(True)]
        if level is not None:
            values.append(_head_of("m" if unit == b"m" else "ft", depth=False, tared=True))
        form = _Form(tuple(values), clock=station is not None)
        return Row(form, (stamp or b"", pressure, *([level] if level is not None else [])), line)

    def _ips(self, line: Line, value: bytes, letters: bytes | None, scatter: bytes | None) -> Row | Complaint:
        unit = _LETTERS.get(letters or b"", self.settings.unit) if letters != b"dBar" else "dBar"
        if unit is None:
            return "unit", "a value without its unit: set `unit`, or let the instrument print it with #020;1"
        values = [_head_of(unit, depth=True, tared=self.settings.tared)]
        if scatter is not None:
            values.append(Value("standard_deviation_of_water_level", 1e-3) if unit == "m" else Value(""))
        return Row(_Form(tuple(values)), (b"", value, *([scatter] if scatter is not None else [])), line)

    def _second_ips(self, line: Line, pressure: bytes, depth: bytes, letters: bytes) -> Row | Complaint:
        unit = _LETTERS.get(letters, self.settings.unit) if letters != b"dBar" else "dBar"
        first = _gauge_pressure(self.settings.tared)
        if unit is None or unit == "dBar":  # of a depth without its unit nothing can be said; the pressure has one
            return Row(_Form((first,)), (b"", pressure), line)
        return Row(_Form((first, _head_of(unit, depth=True, tared=True))), (b"", pressure, depth), line)

    def _svx(self, line: Line, found: re.Match[bytes]) -> Row:
        sound, head, unit, temperature, conductivity, salinity = found.groups()
        at = _PROBE["depth"] if unit == b"M" else _gauge_pressure(self.settings.tared)
        values = [_PROBE["sound_velocity"], at, _PROBE["temperature"], _PROBE["conductivity"]]
        printed = [_in_water(sound, "sound_velocity"), head, temperature, conductivity]
        if salinity is not None:
            values.append(_PROBE["salinity"])
            printed.append(salinity)
        return Row(_Form(tuple(values), kind="ctd"), (b"", *printed), line)

    # --- many lines

    def _convert(self, rows: Sequence[Row]) -> Samples:
        form = rows[0].form
        assert isinstance(form, _Form)
        time = moments([row.values[0] for row in rows]) if form.clock else None
        found, reasons = columns(form.values, [row.values[1:] for row in rows])
        return Samples(_schema(form), time, found, reasons)

    def _is_whole(self, data: bytes) -> bool:
        text = data.strip(b" \t")
        return _SENTENCE.fullmatch(text) is not None or _CONVERSATION.fullmatch(text) is not None


@lru_cache(maxsize=64)
def _schema(form: _Form) -> Schema:
    return Schema(form.kind, tuple(value.field() for value in form.values if value.name))


def _stamp(year: bytes, month: bytes, day: bytes, clock: bytes) -> bytes | None:
    """`YYYY-MM-DD hh:mm:ss`, or None where the calendar has no such day."""
    return b"%s-%s-%s %s" % (year, month, day, clock) if is_day(int(year), int(month), int(day)) else None


def _in_water(printed: bytes, column: str) -> bytes:
    """A sound speed in m/s, invalid where the probe is in air; other values as they are."""
    if column != "sound_velocity":
        return printed
    if b"." not in printed:  # millimetres a second
        printed = printed[:4] + b"." + printed[4:]
    return INVALID if printed == b"0000.000" else printed
