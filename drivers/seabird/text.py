"""The converted lines of Sea-Bird CTDs: their grammar, made from the columns and units that are set up.

    ` 24.8339,  0.97795,   -9.262, 07 Jan 2000, 04:51:39`

A column is known by its place alone, but each is printed with its own number of decimals, and a unit may have its own
too; so a line of another set-up, or one that lost a digit, does not fit.

Sources: SBE 37-SM RS-232 user manual rev. 041, page 46; SBE 19plus V2 user manual, page 74.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal

import numpy as np

from drivers.columns import Floats, as_printed, rounded
from drivers.seabird.calibration import DBAR_PER_PSI
from drivers.seabird.conversation import PROMPTS
from tidegate.frame import MISSING_INT, Column, Field, Reasons, Schema, Times
from tidegate.vocabulary import parameter

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
    "temperature_2",
    "gas_tension",
    "gas_temperature",
    "gas_tension_2",
    "gas_temperature_2",
    "optode_oxygen",
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
            "temperature_2": _Print("sea_water_temperature_2", 4, 1e-4),
            "gas_tension": _Print("total_dissolved_gas_pressure", 0, 1e-5, 1e-5),
            "gas_temperature": _Print("temperature_of_gas_tension_sensor", 3, 1e-3),
            "gas_tension_2": _Print("total_dissolved_gas_pressure_2", 0, 1e-5, 1e-5),
            "gas_temperature_2": _Print("temperature_of_gas_tension_sensor_2", 3, 1e-3),
            "optode_oxygen": _Print("mole_concentration_of_dissolved_molecular_oxygen_in_sea_water", 3, 1e-3),
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
CLOCK = rb"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d"
_WHEN = re.compile(rb"(?:%s),?[ ]+%s" % (_DATE, CLOCK))
_NUMBER = re.compile(rb"[-+]?\d{0,12}(?:\.(\d+))?")


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
Values = dict[str, Floats]


class TextFormat:
    """The grammar of converted lines with these columns in these units, and what becomes of their values.

    `pattern` matches a whole line with its end; group 1 stands where the record begins, the others are its values.
    """

    def __init__(self, columns: tuple[str, ...], units: Mapping[str, str], address: int | None = None) -> None:
        self.columns = columns
        self._units = {column: units.get(column.removeprefix("specific_"), "") for column in columns}
        self._prints: dict[str, _Print] = {}
        for column in columns:
            if column not in ("time", "ignore"):
                self._prints[column] = _prints(column)[self._units[column]]
        self.schema = Schema("ctd", tuple(Field.of(p.name, resolution=p.resolution) for p in self._prints.values()))
        # An inductive modem puts the address and the serial number in front of what it relays.
        relayed = rb"" if address is None else rb"(?:%02d,[ ]*)?(?:\d{5},[ ]*)?" % address
        self.pattern = re.compile(rb"%s(#?)[ ]*%s%s[ ]*[\r\n]++" % (PROMPTS, relayed, self._grammar()))

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
                value = rb"(%s),?[ ]+(%s)" % (_DATE, CLOCK)
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

    def decode(self, rows: Sequence[Groups]) -> tuple[Schema, Times | None, dict[str, Column], dict[str, Reasons]]:
        """(schema, times, columns, reasons) of the groups 1… of many matches; times is None where the lines have
        none."""
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
        return self.schema, time, columns, reasons

    def complaint(self, line: bytes) -> tuple[str, str]:
        """(kind, message): why a line that looks like a sample is none."""
        text = re.sub(rb"^%s#?" % PROMPTS, b"", line).strip()
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


class RawText:
    """The grammar of raw counts printed in decimal, each value with its own number of decimals, with or without a date;
    `convert` makes values of them (it may raise `Unconvertible`), to be rounded to the resolution of their fields."""

    ends_complete = False

    def __init__(
        self, decimals: Mapping[str, int], timed: bool, convert: Callable[[dict[str, Floats]], tuple[Schema, Values]]
    ) -> None:
        self._names = tuple(decimals)
        self._timed = timed
        self._convert = convert
        values = [rb"(\d{1,9}%s)" % (rb"\.\d{%d}" % n if n else rb"") for n in decimals.values()]
        if timed:
            values.append(rb"(%s),?[ ]+(%s)" % (_DATE, CLOCK))
        self.pattern = re.compile(rb"%s(#?)[ ]*%s[ ]*[\r\n]++" % (PROMPTS, rb",[ ]*".join(values)))

    def has_day(self, fits: re.Match[bytes]) -> bool:
        """As of `TextFormat`."""
        return not self._timed or day_ns(fits[2 + len(self._names)]) is not None

    def decode(self, rows: Sequence[Groups]) -> tuple[Schema, Times | None, dict[str, Column], dict[str, Reasons]]:
        """(schema, times, columns, reasons) of the groups 1… of many matches."""
        groups = list(zip(*rows, strict=True))
        raw = {
            name: np.fromiter(map(float, groups[1 + i]), np.float64, len(rows)) for i, name in enumerate(self._names)
        }
        schema, values = self._convert(raw)
        time: Times | None = None
        if self._timed:
            time = np.array([day_ns(date) for date in groups[-2]], np.int64) + clock_ns(groups[-1])
        fields = schema.by_name
        return schema, time, {name: as_printed(v, fields[name]) for name, v in values.items()}, {}


def _count(values: Sequence[bytes]) -> str:
    numbers = len(values) - values.count(b"time")
    return f"{numbers} value{'s' * (numbers != 1)} and {'a' if b'time' in values else 'no'} date"
