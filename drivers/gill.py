"""Gill anemometers and weather stations: WindSonic, WindObserver, MetPak, MaxiMet, in Gill's own format, not in NMEA.

Theory of operation. The instrument sends a line every output interval, or when it is polled by its node letter. What
stands between STX and ETX is protected by the exclusive-or of its bytes, in two hexadecimal digits behind ETX:

    ␂Q,229,002.74,M,00,␃16                        direction, speed, unit, status
    ␂A,325,009.31,M,+344.00,+020.63,60,␃03        the same with sound speed and sonic temperature
    ␂Q,+001.59,-002.74,M,00,␃3A                   along the axes U and V
    ␂A,M15,270,002.02,M,253,002.83,00,␃4D         averages and the highest gust (WindObserver 65)
    ␂Q,170,000.08,1019.5,035.0,+024.7,+008.3,+04.9,00,␃55      MetPak, MaxiMet: what their REPORT says

U is wind toward the north mark, V toward the left of it, so that northward wind is U and eastward wind is -V. Below its
threshold an anemometer leaves the direction empty. A status other than 00 (good), 60 (good, heated), 51 (average not
complete) and 62 to 65 (heater faulty) says that the wind is not to be trusted: it is then missing, the status is kept.

The columns of MetPak and MaxiMet are those of the setting `columns`, by Gill's own names, or those that the station
prints itself when it starts (`NODE,DIR,SPEED,PRESS,…` and `-,DEG,MS,HPA,…`). `CDIR` and `CSPEED` are corrected by
compass and GPS; the plain ones beside them are then relative to the station.

Sources: WindSonic user manual 1405-PS-0019; WindObserver II 1390-PS-0004, WindObserver 65 1390-PS-0039; MetPak
1723-PS-0022 and -0023; MaxiMet 1957-PS-021 (of its examples of checksums half are wrong, as in the others).
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache, reduce
from operator import xor
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import Field as Setting
from pydantic import field_validator

from drivers.columns import INVALID, NOT_GIVEN, Value, columns, is_day, moments
from drivers.driver import Decoded, DriverSettings, Problem
from drivers.lines import Block, Line
from drivers.rows import Complaint, Row, RowDriver, Samples
from tidegate.frame import Schema

# The units of wind, as a letter in the line and as the word of UNITS.
_SPEED = {"M": 1.0, "N": 1852 / 3600, "P": 0.44704, "K": 1 / 3.6, "F": 0.3048 / 60}
_SPEED |= {"MS": 1.0, "KTS": 1852 / 3600, "MPH": 0.44704, "KPH": 1 / 3.6, "FPM": 0.3048 / 60}
_TEMPERATURE = {"C": (1.0, 0.0), "F": (5 / 9, -160 / 9), "K": (1.0, -273.15)}
_PRESSURE = {"HPA": 1.0, "MB": 1.0, "BAR": 1000.0, "MMHG": 1.33322387415, "INHG": 33.86388640341}
_RAIN = {"MM": 1.0, "IN": 25.4}

# Gill's name of a column -> (what it is measured in, the parameter).
_COLUMNS: Mapping[str, tuple[str, str]] = {
    "DIR": ("wind", "wind_from_direction"),
    "SPEED": ("wind speed", "wind_speed"),
    "U": ("wind speed", "northward_wind"),
    "V": ("wind speed", "eastward_wind"),
    "W": ("wind speed", "upward_air_velocity"),
    "GDIR": ("wind", "wind_gust_from_direction"),
    "GSPEED": ("wind speed", "wind_speed_of_gust"),
    "AVGDIR": ("wind", "wind_from_direction_average"),
    "AVGSPEED": ("wind speed", "wind_speed_average"),
    "PRESS": ("pressure", "air_pressure"),
    "PASL": ("pressure", "air_pressure_at_mean_sea_level"),
    "RH": ("", "relative_humidity"),
    "TEMP": ("temperature", "air_temperature"),
    "DEWPOINT": ("temperature", "dew_point_temperature"),
    "WCHILL": ("temperature", "wind_chill_of_air_temperature"),
    "HEATIDX": ("temperature", "heat_index_of_air_temperature"),
    "WBTEMP": ("temperature", "wet_bulb_temperature"),
    "AH": ("", "mass_concentration_of_water_vapor_in_air"),
    "PRECIPT": ("rain", "thickness_of_rainfall_amount"),
    "PRECIPI": ("rain", "rainfall_rate"),
    "SOLARRAD": ("", "surface_downwelling_shortwave_flux_in_air"),
    "COMPASSH": ("", "platform_orientation_magnetic"),
    "GPSSPEED": ("gps speed", "platform_speed_wrt_ground"),
    "GPSHEADING": ("", "platform_course"),
    "SOS": ("", "speed_of_sound_in_air"),
    "SONIC": ("", "sonic_air_temperature"),
    "VOLT": ("", "supply_voltage"),
}
_DECIMALS = {name: 3 if measured == "rain" else 2 for name, (measured, _) in _COLUMNS.items()}
"""The most that is printed in Gill's first unit."""
_CORRECTED = {"CDIR": "DIR", "CSPEED": "SPEED", "CGDIR": "GDIR", "CGSPEED": "GSPEED"}
_CORRECTED |= {"AVGCDIR": "AVGDIR", "AVGCSPEED": "AVGSPEED"}
_SPEED_OF = {"DIR": "SPEED", "GDIR": "GSPEED", "AVGDIR": "AVGSPEED"}
_OTHER_NAMES = {"WAXIS": "W", "W AXIS": "W", "HEATINDEX": "HEATIDX", "WINDCHILL": "WCHILL", "CHECKSUM": "CHECK"}
_RELATIVE = {"northward_wind": "relative_wind_forward", "eastward_wind": "relative_wind_starboard"}
_WIND = ("DIR", "SPEED", "U", "V", "W", "GDIR", "GSPEED", "AVGDIR", "AVGSPEED", *_CORRECTED)
_METPAK = ("NODE", "DIR", "SPEED", "PRESS", "RH", "TEMP", "DEWPOINT", "VOLT", "STATUS", "CHECK")
_UNTRUSTED = ("01", "02", "03", "04", "05", "06", "07", "08", "09", "0A", "0B", "10", "66", "67")

_FRAME = re.compile(rb"\x02([A-Z]),([ -~]{1,400}),\x03([0-9A-Fa-f]{2})")
_NUMBER = re.compile(rb"[-+]?\d{1,6}(?:\.\d{1,6})?")
_DIRECTION, _VELOCITY = rb"(\d{3}|)", rb"(\d{3}\.\d\d|)"
_EXTRAS = rb"(?:,([-+]\d{3}\.\d\d|))?(?:,([-+]\d{3}\.\d\d|))?"
_POLAR = re.compile(rb"%s,%s,([MNPKF]|)%s,(\d[0-9A-F])" % (_DIRECTION, _VELOCITY, _EXTRAS))
_UV = re.compile(rb"([-+]\d{3}\.\d\d|),([-+]\d{3}\.\d\d|),([MNPKF])%s,(\d[0-9A-F])" % _EXTRAS)
_AVERAGED = re.compile(rb"M1[45],%s,%s,([MNPKF]),%s,%s,(\d[0-9A-F])" % (_DIRECTION, _VELOCITY, _DIRECTION, _VELOCITY))
_TIME = re.compile(rb"(\d{4})-(\d\d)-(\d\d)T((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,3})?)")
_LOCATION = re.compile(rb"([-+]\d{1,3}\.\d{6}):([-+]\d{1,3}\.\d{6}):([-+]\d{1,5}\.\d\d)")
_HEADER = re.compile(rb"NODE(?:,[A-Z][A-Z0-9 ]{0,14})+")
_UNITS = re.compile(rb"-(?:,[A-Za-z%/0-9-]{0,8})+")
_BANNER = re.compile(rb"((?:WINDSONIC|WINDOBSERVER|METPAK|MAXIMET)[ -~]{0,80})", re.IGNORECASE)
_COMMAND = re.compile(rb"[?!&A-Z*]{1,4}|STARTUP OK|CONFIGURATION MODE|STARTING CONFIGURATION MODE")
_NMEA = re.compile(rb"\$[A-Z]{5},[ -~]*")
_NO_TEXT = re.compile(rb"[^ -~\x02\x03\t]")
_SOUND = 200.0  # sound speeds are above, temperatures below, where only one of them is printed


class _Form(NamedTuple):
    """Rows of one form are converted together; `values` are what their values become."""

    kind: str
    values: tuple[Value, ...]
    clock: bool = False


@lru_cache(maxsize=64)
def _schema(form: _Form) -> Schema:
    return Schema(form.kind, tuple(value.field() for value in form.values if value.name))


def checksum(data: bytes) -> int:
    """The exclusive-or of what stands between STX and ETX."""
    return reduce(xor, data, 0)


class Gill(RowDriver):
    """An anemometer or a weather station."""

    manufacturer: ClassVar[str] = "Gill Instruments"
    models: ClassVar[tuple[str, ...]] = (
        *("WindSonic", "WindObserver II", "WindObserver 65", "MetPak", "MetPak Pro", "MetPak RG"),
        *("MaxiMet GMX100", "MaxiMet GMX200", "MaxiMet GMX300", "MaxiMet GMX500", "MaxiMet GMX600"),
    )
    title: ClassVar[str] = "Gill WindSonic and WindObserver anemometers, MetPak and MaxiMet weather stations"
    lines: ClassVar[tuple[str, ...]] = ("9600 8N1", "19200 8N1", "4800 8N1", "38400 8N1")
    commands: ClassVar[Mapping[str, str]] = {
        "?Q": "asks node Q for a measurement; ? sets the instrument to be polled",
        "?": "sets it to be polled",
        "!": "lets it send on its own again",
        "&": "says its node letter, when polled",
        "*": "begins configuration; Q and return end it",
    }
    calibration: ClassVar[str] = "none is needed: the instrument gives physical units"
    problems: ClassVar[Mapping[str, str]] = {
        "checksum": "a line whose checksum is wrong: damaged on the way; check cable and baud rate",
        "syntax": "a line with the right checksum whose values are not as the manual has them",
        "columns": "a line of more or fewer values than `columns` names, or of a station whose columns nobody told",
        "node": "a line of another instrument: set `node` to this one's letter",
        "implausible": "a number outside what is possible on Earth; check the units",
        "nmea": "an NMEA sentence: use the driver nmea0183, or set the instrument to Gill's format",
        "noise": "bytes that are no text: noise on the line, or another baud rate or parity",
        "truncated": "the stream ended inside this line",
        "unknown": "no line that such an instrument prints: another instrument, or damage",
    }

    class Settings(DriverSettings):
        """Settings of an anemometer or a weather station."""

        mode: Literal["autonomous", "polled"] = "autonomous"
        """`polled`: asked for each sample; `autonomous`: it sends on its own."""
        node: str | None = Setting(default=None, pattern="^[A-Z]$")
        """Its node letter. Not given: any; it is asked as Q, which stations and WindSonics are delivered with."""
        mounted: Literal["fixed", "moving"] = "fixed"
        """`moving`: on a ship, so that what no compass and GPS correct is relative."""
        columns: tuple[str, ...] | None = None
        """The columns of a MetPak or MaxiMet, as its REPORT names them, from NODE to CHECK. Not given: as the station
        says when it starts."""
        wind_unit: Literal["MS", "KTS", "MPH", "KPH", "FPM"] | None = None
        """Not given: as the station says, where it does; else MS."""
        temperature_unit: Literal["C", "F", "K"] | None = None
        """Not given: as the station says, where it does; else C."""
        pressure_unit: Literal["HPA", "MB", "BAR", "MMHG", "INHG"] | None = None
        """Not given: as the station says, where it does; else HPA."""
        precipitation_unit: Literal["MM", "IN"] | None = None
        """Not given: as the station says, where it does; else MM."""

        @field_validator("columns")
        @classmethod
        def _columns_make_sense(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
            if names is None:
                return None
            named = tuple(_OTHER_NAMES.get(name.strip().upper(), name.strip().upper()) for name in names)
            twice = sorted({name for name in named if named.count(name) > 1})
            if twice:
                raise ValueError(f"{', '.join(twice)} named twice")
            if named[0] != "NODE" or named[-1] != "CHECK":
                raise ValueError(f"columns go from NODE to CHECK, such as {','.join(_METPAK)}")
            if not any(name in _COLUMNS or name in _CORRECTED for name in named):
                raise ValueError(f"names nothing that is decoded: {', '.join(_COLUMNS)}, {', '.join(_CORRECTED)}")
            return named

    settings: Settings

    def __init__(self, instrument: str, settings: DriverSettings | None = None) -> None:
        self._told: dict[str, str] = {}
        self._winds: dict[tuple[str, tuple[str, ...]], _Form] = {}
        super().__init__(instrument, settings)

    def _renew(self) -> None:
        self._block: Block | None = None
        self._columns = self.settings.columns
        self._units: tuple[str, ...] = ()
        self._station: tuple[_Form, tuple[str, ...]] | None = None

    def schemas(self) -> Sequence[Schema]:
        """Of the columns where they are known, else of the wind that an anemometer prints."""
        if self._columns is not None:
            return [_schema(self._form_of(self._columns)[0])]
        return [_schema(self._wind("M", ("DIR", "SPEED")))]

    @classmethod
    def guesses(cls) -> Sequence[DriverSettings]:
        """An anemometer, and the stations as delivered."""
        maximet = "NODE,DIR,SPEED,CDIR,CSPEED,PRESS,RH,TEMP,DEWPOINT,GPSLOCATION,TIME,VOLT,STATUS,CHECK"
        gmx300 = "NODE,PRESS,RH,TEMP,DEWPOINT,TIME,VOLT,STATUS,CHECK"
        stations = (_METPAK, maximet.split(","), gmx300.split(","))
        return [cls.Settings(), *(cls.Settings(columns=tuple(names)) for names in stations)]

    def description(self) -> Mapping[str, Any]:
        """What the instrument calls itself, once told."""
        return {"manufacturer": self.manufacturer, **self._told}

    def start(self) -> bytes:
        """Sets it to be polled, where it is."""
        return b"?" if self.settings.mode == "polled" else b""

    def poll(self) -> bytes:
        """Its node letter, behind the sign that it is to be polled."""
        return f"?{self.settings.node or 'Q'}".encode() if self.settings.mode == "polled" else b""

    # --- one line

    def _decode(self, parts: list[Block | Problem]) -> list[Decoded]:
        decoded: list[Decoded] = []
        for part in parts:
            self._block = part if isinstance(part, Block) else None
            decoded += super()._decode([part])
        self._block = None
        return decoded

    def _take(self, line: Line) -> None:
        # A frame has its own ends, so noise before it or a lost end of line costs nothing.
        at = 0
        for found in _FRAME.finditer(line.data):
            self._take_part(line, at, found.start())
            self._take_part(line, found.start(), found.end())
            at = found.end()
        self._take_part(line, at, len(line.data))

    def _take_part(self, line: Line, begins: int, ends: int) -> None:
        if line.data[begins:ends].strip():
            offset = line.offset + begins
            arrival = line.arrival if self._block is None else self._block.arrival(offset)
            super()._take(Line(line.data[begins:ends], offset, arrival))

    def _read(self, line: Line) -> Row | Complaint | None:
        text = line.data
        if found := _FRAME.fullmatch(text):
            return self._frame(line, found)
        text = text.strip(b" ")
        if _NO_TEXT.search(text):
            return "noise", "bytes that are no text: noise on the line, or another baud rate or parity"
        if _COMMAND.fullmatch(text):
            return None
        if _HEADER.fullmatch(text):
            if self.settings.columns is None:
                self._flush()
                names = [name.strip() for name in text.decode("ascii").split(",")]
                self._columns = tuple(_OTHER_NAMES.get(name, name) for name in names)
                self._station = None
            return None
        if _UNITS.fullmatch(text):
            self._flush()
            self._units, self._station = tuple(text.decode("ascii").upper().split(",")), None
            return None
        if found := _BANNER.fullmatch(text):
            self._told["model"] = found[1].decode("ascii").strip()
            return None
        if _NMEA.fullmatch(text):
            return "nmea", "an NMEA sentence: use the driver nmea0183, or set the instrument to Gill's format"
        if b"\x02" in text or b"\x03" in text:
            return "syntax", "part of a line: its beginning or end is missing or damaged"
        return "unknown", "no Gill instrument is known to print such a line"

    def _frame(self, line: Line, found: re.Match[bytes]) -> Row | Complaint | None:
        node, body, printed = found.groups()
        computed = checksum(found[0][1:-3])
        if computed != int(printed, 16):
            return "checksum", f"the checksum is {printed.decode()}, and should be {computed:02X}"
        if self.settings.node is not None and node.decode() != self.settings.node:
            return "node", f"a line of node {node.decode()}, not of {self.settings.node}"
        if self._columns is not None:
            return self._of_station(line, body.split(b","))
        if wind := _POLAR.fullmatch(body):
            return self._of_anemometer(line, ("DIR", "SPEED"), wind.groups())
        if wind := _UV.fullmatch(body):
            return self._of_anemometer(line, ("U", "V"), wind.groups())
        if wind := _AVERAGED.fullmatch(body):
            direction, speed, unit, gust_direction, gust, status = wind.groups()
            values = (direction, speed, gust_direction, gust, unit, None, None, status)
            return self._of_anemometer(line, ("AVGDIR", "AVGSPEED", "GDIR", "GSPEED"), values)
        if b"," in body and body.count(b",") > 5:
            return "columns", "a weather station whose columns nobody told: set `columns` to what REPORT says"
        return "syntax", "the values are not as the manual has them"

    def _of_anemometer(self, line: Line, names: tuple[str, ...], groups: tuple[bytes | None, ...]) -> Row | Complaint:
        """`groups`: the values of `names`, their unit, sound speed, sonic temperature, status."""
        values = tuple(value or NOT_GIVEN for value in groups[: len(names)])
        unit, sound, sonic, status = groups[len(names) :]
        assert status is not None
        if status.decode() in _UNTRUSTED:
            values = (INVALID,) * len(values)
        elif not unit and any(values):
            return "syntax", "a wind without its unit"
        if sound and sonic is None and abs(float(sound)) < _SOUND:
            sound, sonic = None, sound
        more = {name: value for name, value in (("SOS", sound), ("SONIC", sonic)) if value is not None}
        code = status if status.isdigit() else str(int(status, 16)).encode()
        form = self._wind((unit or b"M").decode(), (*names, *more))
        return Row(form, (b"", *values, *more.values(), code), line)

    def _wind(self, unit: str, names: tuple[str, ...]) -> _Form:
        form = self._winds.get((unit, names))
        if form is None:
            values = tuple(self._value(name, unit, corrected=False) for name in names)
            form = self._winds[unit, names] = _Form("wind", (*values, Value("device_status")))
        return form

    def _value(self, name: str, unit: str, corrected: bool) -> Value:
        """What a column becomes; `corrected` says that a corrected one stands beside it."""
        measured, parameter = _COLUMNS[name]
        if name in _WIND and (self.settings.mounted == "moving" or corrected):
            parameter = _RELATIVE.get(parameter, f"relative_{parameter}" if "wind" in parameter else parameter)
        factor, shift = 1.0, 0.0
        if measured in ("wind speed", "gps speed"):
            factor = _SPEED[unit]
        elif measured == "temperature":
            factor, shift = _TEMPERATURE[unit]
        elif measured == "pressure":
            factor = _PRESSURE[unit]
        elif measured == "rain":
            factor = _RAIN[unit]
        step = 10.0 ** -(_DECIMALS[name] if factor == 1.0 else 5)
        return Value(parameter, step, -factor if name == "V" else factor, shift)

    # --- a station's line

    def _form_of(self, names: tuple[str, ...]) -> tuple[_Form, tuple[str, ...]]:
        """(the form of a station's lines, the names of the columns that are kept, in its order)."""
        values: list[Value] = []
        kept: list[str] = []
        for name in names:
            plain = _CORRECTED.get(name, name)
            speed = _SPEED_OF.get(plain)
            if name in _CORRECTED:
                # A compass turns the wind to north, and only GPS takes a ship's own motion out of it.
                true = self.settings.mounted == "fixed" or name.endswith("SPEED")
                if not true and not any(_CORRECTED.get(other) == speed for other in names):
                    continue
                parameter = _COLUMNS[plain][1]
                value = self._value(plain, self._unit(plain, names), corrected=False)
                values.append(Value(parameter, value.resolution, value.scale, value.shift))
            elif name in _COLUMNS:
                corrected = any(_CORRECTED.get(other) == name for other in names)
                values.append(self._value(name, self._unit(name, names), corrected))
            elif name == "GPSLOCATION":
                values += [Value("latitude", 1e-6), Value("longitude", 1e-6), Value("altitude", 0.01)]
            elif name == "STATUS":
                values.append(Value("device_status"))
            else:
                continue
            kept.append(name)
        return _Form("weather", tuple(values), "TIME" in names), tuple(kept)

    def _unit(self, name: str, names: tuple[str, ...]) -> str:
        """The unit of a column: the setting, what the station said, or Gill's choice."""
        chosen = self.settings
        of: dict[str, tuple[str | None, str, Mapping[str, Any]]] = {
            "wind speed": (chosen.wind_unit, "MS", _SPEED),
            "gps speed": (None, "MS", _SPEED),
            "temperature": (chosen.temperature_unit, "C", _TEMPERATURE),
            "pressure": (chosen.pressure_unit, "HPA", _PRESSURE),
            "rain": (chosen.precipitation_unit, "MM", _RAIN),
        }
        measured = _COLUMNS[name][0]
        if measured not in of:
            return ""
        setting, default, known = of[measured]
        said = dict(zip(names, self._units, strict=False)).get(name, "").removesuffix("/H")
        return setting or (said if said in known else default)

    def _of_station(self, line: Line, fields: list[bytes]) -> Row | Complaint:
        names = self._columns
        assert names is not None
        if self._station is None:
            self._station = self._form_of(names)
        form, kept = self._station
        if len(fields) != len(names) - 2:
            return "columns", f"{len(fields) + 2} columns with NODE and CHECK, and {len(names)} are named"
        said = dict(zip(names[1:-1], fields, strict=True))
        stamp = b""
        if form.clock:
            found = _TIME.fullmatch(said["TIME"])
            if found is None or not is_day(*(int(part) for part in found.groups()[:3])):
                return "syntax", "TIME is no moment"
            stamp = b"%s-%s-%s %s" % found.groups()
        status, wind = said.get("STATUS", b"0000"), said.get("WINDSTAT", b"")
        if not re.fullmatch(rb"[0-9A-F]{2}|[0-9A-F]{4}", status):
            return "syntax", "STATUS is no code"
        if not re.fullmatch(rb"[0-9A-F]{0,4}", wind):
            return "syntax", "WINDSTAT is no code"
        # The last digit tells of the wind sensor; in a MaxiMet's STATUS it tells of more than that.
        untrusted = int(status, 16) & 0xF != 0 if len(status) == 2 else int(wind or b"0", 16) & 0xF != 0
        # Without GPS the corrected direction of a ship's wind is that of the apparent one.
        moving = self.settings.mounted == "moving"
        apparent = [n for n in kept if moving and n.endswith("DIR") and said.get(f"{n[:-3]}SPEED") == b""]
        values: list[bytes] = []
        for name in kept:
            value = said[name].strip(b" ")
            if name == "STATUS":
                values.append(str(int(status, 16)).encode())
            elif name == "GPSLOCATION":
                found = _LOCATION.fullmatch(value)
                if value.strip(b":") and found is None:
                    return "syntax", "GPSLOCATION is no place"
                values += found.groups() if found else (NOT_GIVEN,) * 3
            elif value not in (b"", b"#") and not _NUMBER.fullmatch(value):
                return "syntax", f"{name} reads {value[:20].decode('ascii')!r}, which is no number"
            elif value in (b"", b"#"):
                values.append(NOT_GIVEN)
            elif len(value.partition(b".")[2]) > _DECIMALS[_CORRECTED.get(name, name)]:
                return "syntax", f"{name} has more decimals than these stations print"
            else:
                doubtful = (untrusted and name in _WIND) or name in apparent
                values.append(INVALID if doubtful else value)
        return Row(form, (stamp, *values), line)

    # --- many lines

    def _convert(self, rows: Sequence[Row]) -> Samples:
        form = rows[0].form
        assert isinstance(form, _Form)
        time = moments([row.values[0] for row in rows]) if form.clock else None
        found, reasons = columns(form.values, [row.values[1:] for row in rows])
        return Samples(_schema(form), time, found, reasons)

    def _is_whole(self, data: bytes) -> bool:
        ends = [found.end() for found in _FRAME.finditer(data)]
        return bool(ends) and ends[-1] == len(data)
