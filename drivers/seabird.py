"""What Sea-Bird's conductivity instruments have in common; `sbe37` and `sbe16plus` are built on it.

Theory of operation. Over its line such an instrument says four things, mixed: converted samples (numbers, commas, a
date), raw scans (hexadecimal digits), XML data packets, and conversation (prompt, echo of commands, status and
calibration replies, the header of an uploaded file, whose lines begin with `*`). None has a checksum, so a sample is
taken only if it fits its grammar to the letter: the number of values, the decimals of each, the date. A line that is
neither that nor conversation becomes a Problem.

Which value is which is not in a converted line; the settings `columns` and the units say it, or, where they do not,
the instrument's own reply to GetCD. Scans become numbers by the calibration coefficients, from the header (or the
reply to GetCC or DC) or from the settings.

Sources: Sea-Bird user manuals SBE 37-SM RS-232 rev. 041 (pages 30, 46), SBE 19plus V2 (pages 71 to 76); Sea-Bird
application notes 27 (pressure), 14 (conductivity) and 31 (slope and offset).
"""

import re
from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import groupby, pairwise
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field as Setting
from pydantic import field_validator

from drivers.driver import Decoded, Driver, DriverSettings, Problem, problem
from drivers.lines import Block, Lines
from tidegate.clock import Arrival, TimeSource
from tidegate.frame import MISSING_INT, Column, Field, Frame, Missing, Reasons, Schema, Times
from tidegate.vocabulary import parameter

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Octets = npt.NDArray[np.uint8]

SEABIRD_EPOCH_S = 946_684_800
"""2000-01-01 in Unix time: Sea-Bird counts seconds from here."""
DAY_NS = 86_400_000_000_000
DBAR_PER_PSI = 0.689476
AIR_PSI = 14.7
"""What Sea-Bird takes off an absolute pressure."""

ColumnName = Literal[
    "temperature",
    "conductivity",
    "pressure",
    "depth",
    "oxygen",
    "salinity",
    "sound_velocity",
    "specific_conductivity",
    "density",
    "voltage_0",
    "voltage_1",
    "voltage_2",
    "voltage_3",
    "voltage_4",
    "voltage_5",
    "counts_1",
    "counts_2",
    "counts_3",
    "counts_4",
    "counts_5",
    "counts_6",
    "battery_voltage",
    "supply_current",
    "sample_number",
    "time",
    "ignore",
]


# settings


class SeaBirdSettings(DriverSettings):
    """What the settings of all Sea-Bird CTDs have in common."""

    mode: Literal["autonomous", "polled"] = "autonomous"
    """`polled`: the gateway asks for each sample with TS; `autonomous`: the instrument sends on its own."""
    columns: tuple[ColumnName, ...] | None = None
    """The values of a converted line in their order, `time` where date and time stand; `counts_n` are whole numbers
    of further sensors, `ignore` is any number that is not wanted. Not given: what the reply to GetCD says, and until
    then temperature, conductivity, pressure, time."""
    temperature_unit: Literal["C", "F"] | None = None
    conductivity_unit: Literal["S/m", "mS/cm", "uS/cm"] | None = None
    pressure_unit: Literal["dbar", "psi"] | None = None
    oxygen_unit: Literal["ml/L", "mg/L"] = "ml/L"
    coefficients: dict[str, float] = Setting(default_factory=dict)
    """Calibration coefficients by the names of the calibration sheet (TA0, G, CPCOR, PTCA0, …). They go before those
    of a file's header."""

    @field_validator("columns")
    @classmethod
    def _columns_make_sense(cls, columns: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if columns is None:
            return None
        named = [name for name in columns if name != "ignore"]
        twice = sorted({name for name in named if named.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} named twice; a value that is not wanted is called 'ignore'")
        if not set(named) - {"time"}:
            raise ValueError("names no value; a SBE 37 as delivered prints temperature, conductivity, pressure, time")
        return columns

    @field_validator("coefficients")
    @classmethod
    def _coefficients_are_known(cls, coefficients: dict[str, float]) -> dict[str, float]:
        known = {_canonical(name.upper(), ""): value for name, value in coefficients.items()}
        odd = sorted(set(known) - COEFFICIENTS)
        if odd:
            raise ValueError(f"no coefficient is called {', '.join(odd)}; there are {', '.join(sorted(COEFFICIENTS))}")
        return known


DEFAULT_UNITS = {"temperature": "C", "conductivity": "S/m", "pressure": "dbar"}


# converted text


@dataclass(frozen=True, slots=True)
class _Print:
    """How one value is printed: as parameter `name`, with `decimals`; `value * scale + shift` is in the vocabulary's
    unit, to be rounded to `resolution`."""

    name: str
    decimals: int
    resolution: float
    scale: float = 1.0
    shift: float = 0.0


def _prints(column: str) -> dict[str, _Print]:
    """How a column is printed, by its unit; the only key is "" where the unit cannot be chosen."""
    if column == "temperature":
        name = "sea_water_temperature"
        return {"C": _Print(name, 4, 1e-4), "F": _Print(name, 4, 1e-5, 5 / 9, -160 / 9)}
    if column in ("conductivity", "specific_conductivity"):
        name = "sea_water_electrical_conductivity"
        if column == "specific_conductivity":
            name += "_at_reference_temperature"
        return {
            "S/m": _Print(name, 5, 1e-5),
            "mS/cm": _Print(name, 4, 1e-5, 0.1),
            "uS/cm": _Print(name, 1, 1e-5, 1e-4),
        }
    if column == "pressure":
        name = "sea_water_pressure_due_to_sea_water"
        return {"dbar": _Print(name, 3, 1e-3), "psi": _Print(name, 3, 1e-4, DBAR_PER_PSI)}
    if column == "oxygen":
        return {
            "ml/L": _Print("volume_fraction_of_oxygen_in_sea_water", 3, 1e-3),
            "mg/L": _Print("mass_concentration_of_oxygen_in_sea_water", 3, 1e-3),
        }
    kind, _, number = column.rpartition("_")
    if kind == "voltage":
        return {"": _Print(f"external_voltage_{number}", 4, 1e-4)}
    if kind == "counts":
        return {"": _Print(f"auxiliary_counts_{number}", 0, 1)}
    return {
        "": {
            "depth": _Print("depth", 3, 1e-3),
            "salinity": _Print("sea_water_practical_salinity", 4, 1e-4),
            "sound_velocity": _Print("speed_of_sound_in_sea_water", 3, 1e-3),
            "density": _Print("sea_water_sigma_t", 4, 1e-4),
            "battery_voltage": _Print("battery_voltage", 1, 0.1),
            "supply_current": _Print("supply_current", 1, 0.1),
            "sample_number": _Print("sample_number", 0, 1),
        }[column]
    }


_MONTH_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTHS = {name.encode(): number for number, name in enumerate(_MONTH_NAMES, 1)}
_DATE = rb"\d\d [A-Z][a-z]{2} \d{4}|\d\d-\d\d-\d{4}|\d{4}-\d\d-\d\d"
_CLOCK = rb"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d"
_WHEN = re.compile(rb"(?:%s),?[ ]+%s" % (_DATE, _CLOCK))
_NUMBER = re.compile(rb"[-+]?\d{0,12}(?:\.(\d+))?")
_PROMPTS = rb"(?:S>[ ]*|<Execut(?:ed|ing)/>[ ]*)*"


@lru_cache(maxsize=4096)
def day_ns(date: bytes) -> int | None:
    """Nanoseconds UTC of midnight of `07 Jan 2000`, `01-07-2000` (month first) or `2000-01-07`; None if there is no
    such day."""
    try:
        if date[2:3] == b" ":
            year, month, day = int(date[7:]), _MONTHS[date[3:6]], int(date[:2])
        elif date[2:3] == b"-":
            year, month, day = int(date[6:]), int(date[:2]), int(date[3:5])
        else:
            year, month, day = int(date[:4]), int(date[5:7]), int(date[8:])
        return int(datetime(year, month, day, tzinfo=UTC).timestamp()) * 1_000_000_000
    except (KeyError, ValueError):
        return None


def clock_ns(clocks: Sequence[bytes]) -> Times:
    """Nanoseconds since midnight of many `hh:mm:ss`, whose digits are known to be in order."""
    digits = np.frombuffer(b"".join(clocks), np.uint8).reshape(-1, 8).astype(np.int64) - 48
    seconds = digits[:, [0, 1, 3, 4, 6, 7]] @ np.array([36000, 3600, 600, 60, 10, 1])
    result: Times = seconds * 1_000_000_000
    return result


Groups = tuple[bytes | None, ...]


class TextFormat:
    """The grammar of converted lines with these columns in these units, and what becomes of their values.

    `pattern` matches a whole line with its end; group 1 stands where the record begins, the others are its values.
    """

    def __init__(self, columns: tuple[str, ...], units: Mapping[str, str]) -> None:
        self.columns = columns
        self._units = {column: units.get(column.removeprefix("specific_"), "") for column in columns}
        self._prints: dict[str, _Print] = {}
        for column in columns:
            if column not in ("time", "ignore"):
                self._prints[column] = _prints(column)[self._units[column]]
        self.schema = Schema("ctd", tuple(Field.of(p.name, resolution=p.resolution) for p in self._prints.values()))
        self.pattern = re.compile(rb"%s(#?)[ ]*%s[ ]*[\r\n]++" % (_PROMPTS, self._grammar()))

        self._date_group = 2 + columns.index("time") if "time" in columns else 0

    def has_day(self, fits: re.Match[bytes]) -> bool:
        """Whether the date of a match of `pattern` is a day of the calendar (or it has none)."""
        return self._date_group == 0 or day_ns(fits[self._date_group]) is not None

    @property
    def ends_complete(self) -> bool:
        """Whether a line that fits cannot be the head of a longer one that fits: it ends with the clock."""
        return self.columns[-1] == "time"

    def _grammar(self) -> bytes:
        grammar = b""
        for i, column in enumerate(self.columns):
            if column == "time":
                value = rb"(%s),?[ ]+(%s)" % (_DATE, _CLOCK)
            elif column == "ignore":
                value = rb"([-+]?\d{1,12}(?:\.\d+)?)"
            elif decimals := self._prints[column].decimals:
                value = rb"([-+]?\d{0,7}\.\d{%d})" % decimals
            else:
                value = rb"(\d{1,10})"
            if i == 0:
                grammar += value
            elif column == "sample_number":
                # Autonomous lines have it, the answers to TS do not.
                grammar += rb"(?:,[ ]*%s)?+" % value
            else:
                grammar += rb",[ ]*" + value
        return grammar

    def decode(self, rows: Sequence[Groups]) -> tuple[Times | None, dict[str, Column], dict[str, Reasons]]:
        """(times, columns, reasons) of the groups 1… of many matches; times is None where the lines have none."""
        groups = list(zip(*rows, strict=True))
        time: Times | None = None
        columns: dict[str, Column] = {}
        reasons: dict[str, Reasons] = {}
        at = 1
        for column in self.columns:
            if column == "time":
                days = np.array([day_ns(date) for date in groups[at]], np.int64)
                time = days + clock_ns(groups[at + 1])
                at += 1
            elif column != "ignore":
                p = self._prints[column]
                if parameter(p.name).integer:
                    columns[p.name] = np.array([MISSING_INT if v is None else int(v) for v in groups[at]], np.int64)
                else:
                    value = np.fromiter(map(float, groups[at]), np.float64, len(rows))
                    columns[p.name] = rounded(value * p.scale + p.shift, p.resolution) if p.scale != 1.0 else value
            at += 1
        return time, columns, reasons

    def complaint(self, line: bytes) -> tuple[str, str]:
        """(kind, message): why a line that looks like a sample is none."""
        text = re.sub(rb"^%s#?" % _PROMPTS, b"", line).strip()
        when = _WHEN.search(text)
        if when:
            text = text[: when.start()] + b"time" + text[when.end() :]
        found = [value.strip() for value in text.split(b",")]
        for i, value in enumerate(found, 1):
            if value != b"time" and not (value and _NUMBER.fullmatch(value)):
                return (
                    "syntax",
                    f"value {i} reads {value[:40].decode('ascii', 'backslashreplace')!r}, which is no number",
                )
        wanted = list(self.columns)
        if len(found) < len(wanted) and "time" in wanted and not when:
            message = (
                f"{_count(found)}: the line is cut short, or the setting 'columns' ({', '.join(wanted)}) does not fit"
            )
            return "syntax", message
        if len(found) != len(wanted) or (b"time" in found) != ("time" in wanted):
            return "columns", (
                f"{_count(found)} found where {_count([w.encode() for w in wanted])} should be ({', '.join(wanted)}): "
                "if the instrument is set up to print other values, say which in the setting 'columns'"
            )
        for i, (value, column) in enumerate(zip(found, wanted, strict=True), 1):
            if (value == b"time") != (column == "time"):
                return "columns", f"value {i} should be the {column}: put the setting 'columns' in the order printed"
            number = _NUMBER.fullmatch(value)
            decimals = len(number.group(1) or b"") if number else 0
            p = self._prints.get(column)
            if p and decimals != p.decimals:
                return (
                    "syntax",
                    f"{column} has {decimals} decimals, not {p.decimals}{self._unit_hint(column, decimals)}",
                )
        return "syntax", "no such day in the calendar" if when else "the line does not have the form of a sample"

    def _unit_hint(self, column: str, decimals: int) -> str:
        others = [u for u, p in _prints(column).items() if p.decimals == decimals and u != self._units[column]]
        setting = column.removeprefix("specific_") + "_unit"
        return f', as it is printed in {others[0]}: set {setting} = "{others[0]}"' if others else ""


def _count(values: Sequence[bytes]) -> str:
    numbers = len(values) - values.count(b"time")
    return f"{numbers} value{'s' * (numbers != 1)} and {'a' if b'time' in values else 'no'} date"


def rounded(values: Floats, resolution: float) -> Floats:
    """`values` to the nearest multiple of `resolution` (a power of ten), as the nearest such decimal number."""
    steps = round(1 / resolution)
    result: Floats = np.rint(values * steps) / steps
    return result


# calibration and scans

_OF_TEMPERATURE = ("TA0", "TA1", "TA2", "TA3")
_OF_CONDUCTIVITY = ("G", "H", "I", "J", "CPCOR", "CTCOR")
_OF_PRESSURE = (
    *("PA0", "PA1", "PA2", "PTCA0", "PTCA1", "PTCA2"),
    *("PTCB0", "PTCB1", "PTCB2", "PTEMPA0", "PTEMPA1", "PTEMPA2"),
)
COEFFICIENTS = frozenset(
    {*_OF_TEMPERATURE, "TOFFSET", *_OF_CONDUCTIVITY, "WBOTC", "CSLOPE", *_OF_PRESSURE, "POFFSET", "PRANGE"}
)


def _canonical(name: str, sensor: str) -> str:
    """A coefficient's name as the calibration sheets have it; `sensor` is that of the XML element around it."""
    if re.fullmatch(r"A[0-3]", name) and sensor in ("", "temperature"):
        return "T" + name
    return {"PCOR": "CPCOR", "TCOR": "CTCOR"}.get(name, name)


def lacking(coefficients: Mapping[str, float], *, pressure: bool, more: Sequence[str] = ()) -> list[str]:
    """The coefficients without which a scan cannot become numbers."""
    needed = (*_OF_TEMPERATURE, *_OF_CONDUCTIVITY, *more, *(_OF_PRESSURE if pressure else ()))
    return [name for name in needed if name not in coefficients]


def unsigned(scans: Octets, first: int, octets: int) -> Ints:
    """(n,) the big-endian unsigned numbers that stand in `octets` columns of the scans (n, width) from `first`."""
    value = np.zeros(len(scans), np.int64)
    for column in range(first, first + octets):
        value = value << 8 | scans[:, column]
    return value


def seabird_time_ns(seconds: Ints) -> Times:
    """Nanoseconds UTC of seconds since 2000-01-01."""
    time: Times = (seconds + SEABIRD_EPOCH_S) * 1_000_000_000
    return time


def temperature_c(log_counts: Floats, k: Mapping[str, float]) -> Floats:
    """ITS-90 temperature from the natural logarithm of the thermistor's counts (or resistance)."""
    x = log_counts
    t: Floats = 1.0 / (k["TA0"] + x * (k["TA1"] + x * (k["TA2"] + x * k["TA3"]))) - 273.15 + k.get("TOFFSET", 0.0)
    return t


def conductivity_s_m(khz: Floats, temperature: Floats, pressure_dbar: Floats, k: Mapping[str, float]) -> Floats:
    """Conductivity from the cell's frequency in kHz (application note 14); NaN where the temperature or pressure by
    which it is corrected is impossible."""
    f2 = khz * khz
    cell = k["G"] + f2 * (k["H"] + khz * k["I"] + f2 * k["J"])
    c: Floats = cell / (1.0 + k["CTCOR"] * temperature + k["CPCOR"] * pressure_dbar) * k.get("CSLOPE", 1.0)
    for name, values in (
        ("sea_water_temperature", temperature),
        ("sea_water_pressure_due_to_sea_water", pressure_dbar),
    ):
        low, high = parameter(name).plausible
        c = np.where((values >= low) & (values <= high), c, np.nan)
    return c


def pressure_dbar(counts: Floats, compensation: Floats, k: Mapping[str, float]) -> tuple[Floats, Floats]:
    """(pressure less the air's, temperature of the sensor) of a strain gauge. `compensation` is in the unit of the
    PTEMPA coefficients: counts (SBE 37) or volts (SBE 16plus)."""
    y = compensation
    pt = k["PTEMPA0"] + y * (k["PTEMPA1"] + y * k["PTEMPA2"])
    x = counts - k["PTCA0"] - pt * (k["PTCA1"] + pt * k["PTCA2"])
    n = x * k["PTCB0"] / (k["PTCB0"] + pt * (k["PTCB1"] + pt * k["PTCB2"]))
    psia = k["PA0"] + n * (k["PA1"] + n * k["PA2"])
    return (psia - AIR_PSI) * DBAR_PER_PSI + k.get("POFFSET", 0.0), pt


class Scans(NamedTuple):
    """Decoded raw scans; `time` is None where they carry none, `columns` are not yet rounded."""

    schema: Schema
    time: Times | None
    columns: dict[str, Floats]


class Unconvertible(Exception):
    """Raw scans that cannot become numbers; the message says what is lacking."""


# what the instrument tells

_TAG = re.compile(r"<(/?)([A-Za-z]\w*+)([^<>]*+)>([^<]*)")
_ATTRIBUTE = re.compile(r"\b(\w++)\s*+=\s*+['\"]([^'\"]*+)['\"]")
_COEFFICIENT = re.compile(r"\s*([A-Z]+\d?)\s*=\s*([-+]?\d[-+.\deE]*)\s*")
_IDENTITY = re.compile(r"(SBE ?\w+).* SERIAL NO\. *(\d+)")
_UPLOADED = re.compile(r"System UpLoad Time = ([A-Z][a-z]{2}) +(\d\d?) (\d{4}) (\d\d):(\d\d):(\d\d)")
_STATES = frozenset(
    {
        *("mode", "pressure sensor", "SBE 38", "WETLABS", "OPTODE", "SBE63", "Gas Tension Device"),
        *(f"Ext Volt {n}" for n in range(6)),
    }
)
_CAST = re.compile(r"cast\s+\d+ (\d\d [A-Z][a-z]{2} \d{4}) (\d\d:\d\d:\d\d) samples (\d+) to (\d+), avg = (\d+)")


class Told:
    """What the instrument (or the header of its file) said of itself, line by line."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self.device = ""
        self.serial = ""
        self.coefficients: dict[str, float] = {}
        self.configuration: dict[str, str] = {}
        """The last complete reply to GetCD."""
        self.states: dict[str, str] = {}
        """`Ext Volt 0` → `yes` and the like, from a reply to DS."""
        self.uploaded_ns: int | None = None
        self.casts: list[tuple[int, int]] = []
        """(time of the first scan, nanoseconds between scans) of each cast that the header of a file lists."""
        self._sensor: str | None = None
        self._configuration: dict[str, str] | None = None

    def take(self, line: bytes) -> None:
        """Learns what there is to learn from one line of conversation."""
        text = line.decode("ascii", "replace")
        header = text.startswith("*")
        if header:
            text = text[1:].strip()
            if text.startswith("Sea-Bird"):
                self._forget()
        if "<" in text:
            for tag in _TAG.finditer(text):
                self._element(bool(tag[1]), tag[2], dict(_ATTRIBUTE.findall(tag[3])), tag[4].strip(), header)
        elif found := _COEFFICIENT.fullmatch(text):
            self._coefficient(found[1], found[2], "")
        elif found := _IDENTITY.match(text):
            self.device, self.serial = found[1], found[2]
        elif found := _UPLOADED.search(text):
            self._uploaded(f"{int(found[2]):02} {found[1]} {found[3]}", ":".join(found.groups()[3:]))
        elif header and (found := _CAST.search(text)):
            start = _instant(found[1], found[2])
            if start is not None and len(self.casts) < 1000:
                self.casts.append((start, int(found[5]) * 250_000_000))
        else:
            for pair in text.split(","):
                key, _, value = pair.partition("=")
                if key.strip() in _STATES:
                    self.states[key.strip()] = value.strip()

    def _element(self, closes: bool, tag: str, attributes: Mapping[str, str], text: str, header: bool) -> None:
        if closes:
            if tag == "Calibration":
                self._sensor = None
            elif tag == "ConfigurationData" and self._configuration is not None:
                self.configuration, self._configuration = self._configuration, None
            return
        if "DeviceType" in attributes:
            self.device = attributes["DeviceType"]
            self.serial = attributes.get("SerialNumber", self.serial)
        if tag == "CalibrationCoefficients":
            self.coefficients = {}
        elif tag == "ConfigurationData":
            self._configuration = {}
        elif tag == "Calibration":
            words = attributes.get("id", "").lower()
            sensors = [s for s in ("temperature", "conductivity", "pressure") if s in words]
            self._sensor = sensors[0] if sensors else "other"
        elif self._sensor is not None:
            if self._sensor != "other":
                self._coefficient(tag, text, self._sensor)
        elif self._configuration is not None:
            if len(self._configuration) < 100:
                self._configuration[tag] = text
        elif tag == "DateTime" and header and len(text) == 19:
            self._uploaded(text[:10], text[11:])

    def _coefficient(self, name: str, text: str, sensor: str) -> None:
        name = _canonical(name.upper(), sensor)
        if name in COEFFICIENTS:
            try:
                self.coefficients[name] = float(text)
            except ValueError:
                self.coefficients.pop(name, None)  # the scans will say that it is lacking

    def _uploaded(self, date: str, clock: str) -> None:
        at = _instant(date, clock)
        if at is not None:
            self.uploaded_ns = at if self.uploaded_ns is None else max(self.uploaded_ns, at)


def _instant(date: str, clock: str) -> int | None:
    day = day_ns(date.encode())
    if day is None or not re.fullmatch(_CLOCK, clock.encode()):
        return None
    return day + int(clock_ns([clock.encode()])[0])


_MONTH_FIRST = rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4}"
_CONVERSATION = re.compile(
    rb"\*(?:[ ][ -~]*|END\*)?"  # a header
    rb"|<[ -~]*>[ -~]*"  # XML
    rb"|[A-Za-z]{1,24}(?:[=:][ -~]{0,60})?|[Dd][A-Za-z]{1,2}\d+,\d+"  # a command's echo
    rb"|[A-Za-z][^,=]{0,60}=[ -~]*"  # a status line
    rb"|SBE[ -~]*"  # who it is
    rb"|(?!%s|[ -~]*\d\.\d{3}|[ -~]*\d\d:\d\d:\d\d$)[A-Za-z]{3,}[ :.][ -~]*"  # plain words
    rb"|cast +\d[ -~]*" % _MONTH_FIRST
)
_REFUSAL = re.compile(rb"<(?:Error|ERROR)\b|\?[ A-Za-z]*\Z|(?:[Ee]rror|ERROR)\b")
_HEX = re.compile(rb"[0-9A-Fa-f]{12,}")
_ANY = re.compile(rb"([^\r\n]*)[\r\n]*+")
_BEFORE = re.compile(_PROMPTS)
LONGEST_PACKET = 4096
_NOT_IN_PACKET = re.compile(rb"[ \t]*(?:[^< \t\r\n]|<\?xml|<datapacket>)")
_OF_A_PACKET = re.compile(rb"</?(?:data|datapacket|t1|c1|p1|sal|sv|sc|dt)>")
_BETWEEN_TAGS = re.compile(rb">\s+<")
_PACKET = re.compile(
    rb"(?:<\?xml[^<>]*\?>)?<datapacket><hdr>(?:<(?:mfg|model|sn)>[^<>]*</(?:mfg|model|sn)>)*</hdr>"
    rb"<data>(.*)</data></datapacket>"
)
XML_COLUMNS = {
    b"t1": "temperature",
    b"c1": "conductivity",
    b"p1": "pressure",
    b"sal": "salinity",
    b"sv": "sound_velocity",
    b"sc": "specific_conductivity",
    b"smpl": "sample_number",
    b"navg": "ignore",
    b"dt": "time",
    **{f"v{n}".encode(): f"voltage_{n}" for n in range(6)},
}
"""What the elements of an XML packet are."""


class _Row(NamedTuple):
    """A converted line (or XML packet) that fits its grammar."""

    text_format: TextFormat
    groups: Groups
    offset: int
    data: bytes
    arrival: Arrival


# the driver


class SeaBird(Driver):
    """The driver that the families build on: they say how scans are laid out and how they become numbers."""

    manufacturer: ClassVar[str] = "Sea-Bird Scientific"
    text_output_format: ClassVar[int]
    """The OutputFormat= of converted lines."""
    settings: SeaBirdSettings

    def __init__(self, instrument: str, settings: DriverSettings | None = None) -> None:
        super().__init__(instrument, settings)
        self._lines = Lines()
        self._schemas: dict[bytes, Schema] = {}  # of the Frames given so far
        self._renew()

    def _renew(self) -> None:
        self._told = Told()
        self._packet: tuple[bytearray, int, Arrival] | None = None
        self._scans_seen = 0  # since the header, damaged ones too
        self._learn()

    # What a family says.

    @abstractmethod
    def scan_digits(self) -> Sequence[int]:
        """The numbers of hexadecimal digits that a scan may have, as far as now known."""

    @abstractmethod
    def convert(self, scans: Octets) -> Scans:
        """Scans (n, digits / 2), all of one of the lengths of `scan_digits`, as values. Raises `Unconvertible`."""

    @abstractmethod
    def hint(self, digits: int) -> str:
        """What to tell of a scan that has another number of digits."""

    def columns(self) -> tuple[str, ...]:
        """The columns of converted lines."""
        return self.settings.columns or ("temperature", "conductivity", "pressure", "time")

    def units(self) -> dict[str, str]:
        """The units of converted lines, by column."""
        chosen = {name: getattr(self.settings, f"{name}_unit") for name in (*DEFAULT_UNITS, "oxygen")}
        return DEFAULT_UNITS | {name: unit for name, unit in chosen.items() if unit is not None}

    def coefficients(self) -> dict[str, float]:
        """The calibration: the header's, and before it the settings'."""
        return self._told.coefficients | self.settings.coefficients

    # The driver's protocol.

    def schemas(self) -> Sequence[Schema]:
        return list(({self._text.schema.id: self._text.schema} | self._schemas).values())

    def description(self) -> Mapping[str, Any]:
        known = {
            "manufacturer": self.manufacturer,
            "model": self._told.device or self.models[0],
            "serial": self._told.serial,
            "calibration": self.coefficients(),
        }
        return {name: value for name, value in known.items() if value}

    def start(self) -> bytes:
        if self.settings.mode == "autonomous":
            return b""
        # CR first: it wakes the instrument, which takes no command while it sleeps.
        return b"\r\nStop\r\nOutputFormat=%d\r\n" % self.text_output_format

    def poll(self) -> bytes:
        return b"TS\r\n" if self.settings.mode == "polled" else b""

    def feed(self, data: bytes, at: Arrival) -> list[Decoded]:
        decoded: list[Decoded] = []
        for part in self._lines.feed_blocks(data, at):
            if isinstance(part, Problem):
                decoded.append(part)
            else:
                self._block(part, decoded)
        return decoded

    def finish(self) -> list[Decoded]:
        decoded: list[Decoded] = []
        rest = self._lines.finish()
        if rest is not None:
            line = rest.data + b"\n"
            fits = self._text.pattern.match(line)
            said = _CONVERSATION.fullmatch(_BEFORE.sub(b"", rest.data, count=1).strip())
            whole = (fits and self._text.ends_complete) or self._scan.match(line) or b"</datapacket>" in line
            if whole or said or not _BEFORE.sub(b"", rest.data, count=1).strip():
                self._block(Block(line, rest.offset, [rest.offset], [rest.arrival]), decoded)
            else:
                message = "the stream ended inside this line"
                decoded.append(problem("truncated", message, rest.offset, rest.data, rest.arrival))
        if self._packet is not None:
            decoded.append(self._unfinished_packet())
        self._renew()
        return decoded

    # From lines to rows.

    def _learn(self) -> None:
        """Sets up the grammar by what is known now."""
        self._text = TextFormat(self.columns(), self.units())
        self._formats = {self._text.columns: self._text}
        digits = tuple(self.scan_digits())
        self._known = (self.columns(), self.units(), digits)
        lengths = b"|".join(rb"(?:#?[0-9A-Fa-f]{%d}[\r\n]++)++" % n for n in digits) or rb"(?!)"
        self._scan = re.compile(rb"%s(%s)" % (_PROMPTS, lengths))

    def _block(self, block: Block, decoded: list[Decoded]) -> None:
        data, at = block.data, 0
        rows: list[_Row] = []
        while at < len(data):
            if self._packet is not None and _NOT_IN_PACKET.match(data, at):
                self._row_frames(rows, decoded)
                decoded.append(self._unfinished_packet())
            fits = self._text.pattern.match(data, at)
            if fits and self._text.has_day(fits):
                offset = block.offset + fits.start(1)
                line = data[fits.start(1) : fits.end()].rstrip(b"\r\n")
                rows.append(_Row(self._text, fits.groups(), offset, line, block.arrival(offset)))
                at = fits.end()
                continue
            run = self._scan.match(data, at)
            if run:
                self._row_frames(rows, decoded)
                self._scan_frames(block, run.start(1), run[1], decoded)
                at = run.end()
                continue
            line_at = _ANY.match(data, at)
            assert line_at is not None  # it matches anything
            if line_at[1]:
                found = self._other_line(block, block.offset + at, line_at[1])
                if isinstance(found, Problem):
                    self._row_frames(rows, decoded)
                    decoded.append(found)
                elif found:
                    rows.append(found)
            at = line_at.end()
        self._row_frames(rows, decoded)

    def _other_line(self, block: Block, offset: int, line: bytes) -> _Row | Problem | None:
        """A line that is neither a sample nor a scan: the end of an XML packet, a Problem, or nothing to tell."""
        said = _BEFORE.sub(b"", line, count=1)
        begins = offset + len(line) - len(said)
        arrival = block.arrival(begins)
        if self._packet is not None or b"<datapacket>" in said:
            return self._packet_line(begins, said, arrival)
        text = said.strip()
        if not text:
            return None
        if _REFUSAL.match(text):
            message = f"the instrument refuses or reports a fault: {text[:80].decode('ascii', 'backslashreplace')}"
            return problem("exception", message, offset, line, arrival)
        if _OF_A_PACKET.search(text):
            return problem("syntax", "part of an XML packet without its beginning", begins, said, arrival)
        if _HEX.fullmatch(text):
            self._scans_seen += 1
            return problem("syntax", self.hint(len(text)), offset, line, arrival)
        if _CONVERSATION.fullmatch(text):
            self._told.take(text)
            self._learn_if_news()
            if text == b"*END*":
                self._scans_seen = 0
            return None
        self._scans_seen += 1
        if re.search(rb"[^ -~\t]", text):
            message = "bytes that are no text: noise on the line, or another baud rate or parity"
            return problem("noise", message, offset, line, arrival)
        kind, message = self._text.complaint(line)
        return problem(kind, message, offset, line, arrival)

    def _learn_if_news(self) -> None:
        if (self.columns(), self.units(), tuple(self.scan_digits())) != self._known:
            self._learn()

    # XML packets (OutputFormat 2), on one line or on many.

    def _packet_line(self, offset: int, line: bytes, arrival: Arrival) -> _Row | Problem | None:
        if self._packet is None:
            self._packet = (bytearray(), offset, arrival)
        self._packet[0].extend(line + b"\n")
        packet, offset, arrival = bytes(self._packet[0]).rstrip(), self._packet[1], self._packet[2]
        if b"</datapacket>" in line:
            self._packet = None
            return self._packet_row(packet, offset, arrival)
        if len(packet) > LONGEST_PACKET:
            return self._unfinished_packet()
        return None

    def _unfinished_packet(self) -> Problem:
        assert self._packet is not None
        packet, offset, arrival = self._packet
        self._packet = None
        message = "an XML packet that does not end: </datapacket> is missing"
        return problem("truncated", message, offset, bytes(packet).rstrip(), arrival)

    def _packet_row(self, packet: bytes, offset: int, arrival: Arrival) -> _Row | Problem:
        found = _PACKET.fullmatch(_BETWEEN_TAGS.sub(b"><", packet))
        if not found:
            return problem("syntax", "an XML packet that is not in order", offset, packet, arrival)
        tags = re.findall(rb"<(\w+)>([^<>]*)</\1>", found[1])
        if b"".join(b"<%s>%s</%s>" % (tag, value, tag) for tag, value in tags) != found[1]:
            return problem("syntax", "an XML packet whose elements are not in order", offset, packet, arrival)
        columns = tuple(XML_COLUMNS.get(tag, "") for tag, _ in tags)
        if "" in columns or len(set(columns) - {"ignore"}) != len(columns) - columns.count("ignore"):
            odd = ", ".join(sorted({tag.decode() for tag, _ in tags if tag not in XML_COLUMNS}) or ["one twice"])
            message = f"an XML packet with elements that this driver does not know: {odd}"
            return problem("unknown", message, offset, packet, arrival)
        if not set(columns) - {"time", "ignore", "sample_number"}:
            return problem("syntax", "an XML packet without a measured value", offset, packet, arrival)
        if columns not in self._formats:
            if len(self._formats) > 16:
                self._formats.clear()
            self._formats[columns] = TextFormat(columns, self.units())
        text_format = self._formats[columns]
        line = b", ".join(value.strip().replace(b"T", b", ") for _, value in tags) + b"\n"
        fits = text_format.pattern.fullmatch(line)
        if not fits or not text_format.has_day(fits):
            return problem(*text_format.complaint(line), offset, packet, arrival)
        return _Row(text_format, fits.groups(), offset, packet, arrival)

    # From rows and scans to Frames.

    def _row_frames(self, rows: list[_Row], decoded: list[Decoded]) -> None:
        """Appends the Frames of `rows`, and empties it."""
        for text_format, alike in groupby(rows, lambda row: row.text_format):
            some = list(alike)
            time, columns, reasons = text_format.decode([row.groups for row in some])
            batch = _Batch(
                text_format.schema,
                time,
                columns,
                reasons,
                [row.offset for row in some],
                [row.arrival for row in some],
                [row.data for row in some].__getitem__,
            )
            self._emit(batch, decoded)
        rows.clear()

    def _scan_frames(self, block: Block, at: int, run: bytes, decoded: list[Decoded]) -> None:
        digits = bytes.fromhex(run.translate(None, b"\r\n#").decode("ascii"))
        octets = np.frombuffer(run, np.uint8)
        ends = (octets == 10) | (octets == 13)
        starts = np.flatnonzero(~ends & np.concatenate(([True], ends[:-1])))
        offsets = (starts + (block.offset + at)).tolist()
        arrivals = block.arrivals_of(offsets)
        scans = np.frombuffer(digits, np.uint8).reshape(len(starts), -1)

        def data(row: int) -> bytes:
            return run[starts[row] : starts[row] + 2 * scans.shape[1] + 1].rstrip(b"\r\n")

        try:
            schema, time, columns = self.convert(scans)
        except Unconvertible as lack:
            self._scans_seen += len(scans)
            for row, (offset, arrival) in enumerate(zip(offsets, arrivals, strict=True)):
                decoded.append(problem("calibration", str(lack), offset, data(row), arrival))
            return
        self._scans_seen += len(scans)
        fields = schema.by_name
        whole = {name: rounded(values, fields[name].resolution) for name, values in columns.items()}
        batch = _Batch(schema, time, dict(whole), {}, offsets, arrivals, data)
        latest = None if self._told.uploaded_ns is None else self._told.uploaded_ns + DAY_NS
        self._emit(batch, decoded, latest)

    def _emit(self, batch: "_Batch", decoded: list[Decoded], latest_ns: int | None = None) -> None:
        """Appends the batch as Frames and Problems, in the stream's order; records later than `latest_ns` are
        refused."""
        self._schemas[batch.schema.id] = batch.schema
        n = len(batch.offsets)
        source = TimeSource.ARRIVAL if batch.time is None else TimeSource.INSTRUMENT
        if batch.time is None:
            time = np.fromiter((arrival.utc_ns for arrival in batch.arrivals), np.int64, n)
        else:
            time = batch.time
        doubts = implausible(batch.schema, batch.columns, batch.reasons)
        refused: dict[int, Problem] = {}
        if latest_ns is not None and batch.time is not None:
            for row in np.flatnonzero(time > latest_ns).tolist():
                when = np.datetime64(int(time[row]), "ns").astype("datetime64[s]")
                message = f"a scan of {when}Z in a file that was uploaded before: damaged memory"
                refused[row] = self._doubt(batch, row, message)
        cuts = {0, n}
        for row in refused:
            cuts |= {row, row + 1}
        previous = batch.arrivals[0]
        for row in range(1, n):
            arrival = batch.arrivals[row]
            if arrival is not previous:
                if not _same_clock(previous, arrival):
                    cuts.add(row)
                previous = arrival
        edges = sorted(cuts)
        doubted = sorted(set(doubts) - set(refused))
        for start, end in pairwise(edges):
            if start in refused:
                decoded.append(refused[start])
                continue
            part = slice(start, end)
            columns = {name: column[part] for name, column in batch.columns.items()}
            reasons = {name: codes[part] for name, codes in batch.reasons.items() if codes[part].any()}
            decoded.append(
                Frame(self.instrument, batch.schema, time[part], columns, source, batch.arrivals[start], reasons)
            )
            for row in doubted[bisect_left(doubted, start) : bisect_left(doubted, end)]:
                decoded.append(self._doubt(batch, row, "; ".join(doubts[row])))

    def _doubt(self, batch: "_Batch", row: int, message: str) -> Problem:
        return problem("implausible", message, batch.offsets[row], batch.data(row), batch.arrivals[row])


class _Batch(NamedTuple):
    """Records decoded together. `data` gives the bytes of one of them."""

    schema: Schema
    time: Times | None
    columns: dict[str, Column]
    reasons: dict[str, Reasons]
    offsets: list[int]
    arrivals: list[Arrival]
    data: Callable[[int], bytes]


def _same_clock(a: Arrival, b: Arrival) -> bool:
    """Whether samples of these arrivals may share a Frame (as `Frame.follows` sees it)."""
    step_ns = (b.utc_ns - b.monotonic_ns) - (a.utc_ns - a.monotonic_ns)
    return a.boot == b.boot and a.disciplined == b.disciplined and abs(step_ns) <= 10_000_000


def implausible(schema: Schema, columns: dict[str, Column], reasons: dict[str, Reasons]) -> dict[int, list[str]]:
    """Takes out of `columns` what is impossible on Earth, notes it in `reasons`, and says it, by row."""
    doubts: dict[int, list[str]] = {}
    for f in schema.fields:
        values = columns[f.name]
        if f.integer:
            continue
        p = parameter(f.name)
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
