"""AML Oceanographic: AML-3 and AML-6 (X2 instruments) in the column and in the AMLx format.

Theory of operation. After `MONITOR` an instrument prints a line for each sample until it gets an empty line. In the
column format, the factory's,

    2020-05-27,18:59:26.03,5.122,24.044,10.09,1459.111,10.07

what the values are stands in the reply to `DIS SENSORS`, and in the head of a logged file:

    [MeasurementMetadata]
    Columns=Date,Time,Cond,TempCT,Pressure,SV,Depth
    Units=yyyy-mm-dd,hh:mm:ss.ss,mS/cm,C,dbar,m/s,m

An AMLx line says it by itself, and may bear a checksum, the exclusive or of all that stands before `*`:

    msg138{mux[meta=time,1590605500.55,s][data=uv,1],port1[data=Cond,0.000000,mS/cm][rawi=ADC,563,none]…}*4E

A column line counts only where its columns are known (told, or set with `columns`) and each value has the form of its
column. An AMLx line counts only where every bracket fits and every parameter with its unit is one that AML is known to
give (or stands in `ignore`): so no letter of a name can be lost unseen. What cannot be computed is printed as -99.99,
and a sound speed in air as 0: both are missing. Pressure is that of the water alone (0 in air).

Sources: user manuals of AML-3 and AML-6 (page 36 and 37 of the latter's RT edition), AML-6 LGR v1.5 as Ocean Networks
Canada cites it; a line of a real instrument with its checksum in the tests of a public parser (aml_ctd).
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from drivers.checksums import exclusive_or
from drivers.columns import INVALID, Value, columns, is_day, moments
from drivers.driver import DriverSettings
from drivers.lines import Line
from drivers.rows import NO_TEXT, NOISE, Complaint, Row, RowDriver, Samples
from tidegate.frame import Schema

_PROMPT = rb"(?:> ?)*+"
_ITEM = rb"\[(?:data|meta|rawi|rawf)=[\w ./-]{1,32},[-\w.]{1,24}(?:,[\w/%.]{1,16})?\]"
_GROUP = rb"(?:mux|port\d{1,2}|derive)(?:%s)+" % _ITEM
_AMLX = re.compile(rb"%s(msg\d{1,12}\{(%s(?:,%s)*)\})(?:\*([0-9A-Fa-f]{2}))?" % (_PROMPT, _GROUP, _GROUP))
_PARTS = re.compile(rb"\[(data|meta|rawi|rawf)=([^,\]]+),([^,\]]+)(?:,([^\]]+))?\]")
_NUMBER = re.compile(rb"-?\d{1,9}\.\d{1,9}")
_TIME = re.compile(rb"\d{9,10}\.\d{1,9}")
_RAW = re.compile(rb"-?\d{1,12}(?:\.\d{1,9})?")
_DATE = re.compile(rb"\d{4}-\d\d-\d\d")
_CLOCK = re.compile(rb"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,3})?")
_WORD = re.compile(rb"[-\w.]{0,24}")
_SEPARATOR = re.compile(rb"[,;\t ]")
_BEGINS_AS_SAMPLE = re.compile(rb"%s(?:msg|\d{4}-|-?\d{1,6}\.\d)" % _PROMPT)
_SECTION = re.compile(rb"%s\[([A-Za-z ]{1,40})\]" % _PROMPT)
_SETTING = re.compile(rb"([A-Za-z][\w ]{0,40})=([ -~]{0,512})")
_COMMAND = re.compile(rb"%s(?:[A-Za-z]{2,16}(?: [\w.:/-]{1,32}){0,6})? *" % _PROMPT)
_PLAIN_TEXT = re.compile(rb"[ -~\t]{0,512}")

_MS_CM = {"mS/cm": 0.1, "uS/cm": 1e-4, "S/m": 1.0}
_PARAMETERS: Mapping[str, tuple[tuple[str, ...], Mapping[str, float]]] = {
    "Cond": (("sea_water_electrical_conductivity",), _MS_CM),
    "TempCT": (("sea_water_temperature", "sea_water_temperature_2"), {"C": 1.0}),
    "TempSVT": (("sea_water_temperature", "sea_water_temperature_2"), {"C": 1.0}),
    "Temp": (("sea_water_temperature", "sea_water_temperature_2"), {"C": 1.0}),
    "Pressure": (("sea_water_pressure_due_to_sea_water",), {"dbar": 1.0, "dBar": 1.0}),
    "SV": (("speed_of_sound_in_sea_water",), {"m/s": 1.0}),
    "Depth": (("depth",), {"m": 1.0}),
    "SalC": (("sea_water_practical_salinity",), {"psu": 1.0, "PSU": 1.0}),
    "Dens": (("sea_water_density",), {"kg/m3": 1.0}),
    "Turbidity": (("sea_water_turbidity",), {"NTU": 1.0}),
    "DO": (
        ("mole_concentration_of_dissolved_molecular_oxygen_in_sea_water",),
        {"umol/l": 1.0, "umol/L": 1.0, "uM": 1.0},
    ),
    "Chloro-blue": (("mass_concentration_of_chlorophyll_in_sea_water",), {"ug/L": 1.0, "ug/l": 1.0}),
    "Chloro-red": (("mass_concentration_of_chlorophyll_in_sea_water",), {"ug/L": 1.0, "ug/l": 1.0}),
    "pH": (("sea_water_ph_reported_on_total_scale",), {"pH": 1.0}),
}
"""AML's name → (parameter, and of a second sensor; factor by unit, the usual first)."""
_PASSED_OVER = frozenset(
    {
        *("uv", "UV", "TempDO", "PAR", "DOM", "Fluorescein", "Oil-crude", "Oil-fine", "Brighteners", "Phycocyanin"),
        *("Phycoerythrin", "PTSA", "Battery", "ADC", "NSV"),
    }
)
"""What AML gives and the vocabulary has no name for."""


class _Form(NamedTuple):
    """What a line holds, in order: AML's names and units; lines of one form are converted together."""

    names: tuple[str, ...]
    units: tuple[str, ...]
    clock: Literal["columns", "unix", "none"]


@lru_cache(maxsize=64)
def _values(names: tuple[str, ...], units: tuple[str, ...]) -> tuple[Value, ...]:
    """How the values become columns; of two of a parameter that has no second name the first counts."""
    taken: set[str] = set()
    values: list[Value] = []
    for name, unit in zip(names, units, strict=True):
        parameters, factors = _PARAMETERS.get(name, ((), {}))
        free = [parameter for parameter in parameters if parameter not in taken]
        if not free:
            values.append(Value(""))
            continue
        taken.add(free[0])
        factor = factors[unit]
        values.append(Value(free[0], 1e-6 * min(1.0, factor), factor))
    return tuple(values)


class Aml(RowDriver):
    """An AML-3 or AML-6."""

    manufacturer: ClassVar[str] = "AML Oceanographic"
    models: ClassVar[tuple[str, ...]] = ("AML-3", "AML-6", "AML-3 LGR", "AML-6 LGR", "AML-6 RT")
    title: ClassVar[str] = "AML Oceanographic AML-3 and AML-6: CTD, sound velocity, water quality"
    longest: ClassVar[int] = 8192
    lines: ClassVar[tuple[str, ...]] = ("115200 8N1", "38400 8N1", "19200 8N1", "9600 8N1", "57600 8N1")
    commands: ClassVar[Mapping[str, str]] = {
        "DIS SENSORS": "says which sensors there are, and what the columns of a line are",
        "MONITOR": "prints every sample until it gets an empty line",
        "": "an empty line ends MONITOR",
        "HELP": "lists the commands",
    }
    calibration: ClassVar[str] = "none is needed: the sensors carry theirs and give physical units"
    problems: ClassVar[Mapping[str, str]] = {
        "syntax": "a line that begins as a sample and does not fit: damaged on the way; check wiring and baud rate",
        "checksum": "the line's checksum is wrong: damaged on the way; check wiring and baud rate",
        "columns": "it is not known what the columns are: send DIS SENSORS, set `columns`, or change to AMLx",
        "unit": "a parameter in a unit that AML is not known to give: damage, or set the unit back",
        "parameter": "a parameter that AML is not known to give: damage, or put its name into `ignore`",
        "implausible": "a number outside what is possible on Earth; the sensor is in air, or at fault",
        "noise": "bytes that are no text: noise on the line, or another baud rate or parity",
        "truncated": "the stream ended inside this line",
        "unknown": "no line that an AML is known to print: another instrument, or damage",
    }

    class Settings(DriverSettings):
        """Settings of an AML instrument."""

        mode: Literal["autonomous", "monitor"] = "autonomous"
        """`monitor`: it is told on opening to say what its columns are and to print samples; `autonomous`: nothing is
        sent to it."""
        columns: tuple[str, ...] = ()
        """The columns of a line in order, by AML's names: `["Date", "Time", "Cond", "TempCT", "Pressure"]`; empty: what
        the instrument says."""
        units: tuple[str, ...] = ()
        """Their units in order, where they are not AML's usual ones."""
        ignore: tuple[str, ...] = ()
        """Names of further parameters that are to be passed over."""

    settings: Settings

    def _renew(self) -> None:
        self._columns: tuple[str, ...] = self.settings.columns
        self._column_units: tuple[str, ...] = self.settings.units
        self._section = b""
        self._left_out: dict[str, None] = {}

    def schemas(self) -> Sequence[Schema]:
        """Of the columns that are set or were told."""
        form = self._column_form()
        return [_schema(form)] if isinstance(form, _Form) else []

    def description(self) -> Mapping[str, Any]:
        """The maker, and what of the samples has no place in a Frame."""
        left = {"channels_left_out": list(self._left_out)} if self._left_out else {}
        return {"manufacturer": self.manufacturer, "model": self.models[0], **left}

    def start(self) -> bytes:
        """Ends what it prints, asks what its columns are, and lets it print."""
        return b"\r\n\r\nDIS SENSORS\r\nMONITOR\r\n" if self.settings.mode == "monitor" else b""

    @classmethod
    def hail(cls) -> bytes:
        """What its columns are."""
        return b"\r\nDIS SENSORS\r\n"

    # --- one line

    def _read(self, line: Line) -> Row | Complaint | None:
        text = line.data.rstrip(b" \t")
        if (found := _AMLX.fullmatch(text)) is not None:
            return self._amlx(line, found)
        if NO_TEXT.search(text):
            return "noise", NOISE
        if (section := _SECTION.fullmatch(text)) is not None:
            self._section = section[1].lower()
            return None
        if text.startswith(b">"):
            self._section = b""
        stripped = re.sub(rb"^%s" % _PROMPT, b"", text)
        if self._section and (setting := _SETTING.fullmatch(stripped)) is not None:
            self._learn(setting[1].lower(), setting[2].decode("ascii"))
            return None
        if self._section not in (b"", b"measurementmetadata", b"measurementdata") and _PLAIN_TEXT.fullmatch(text):
            return None  # of a table about sensors
        if _BEGINS_AS_SAMPLE.match(text):
            if stripped.startswith(b"msg"):
                return "syntax", "an AMLx line whose brackets do not fit"
            return self._by_columns(line, stripped)
        if _COMMAND.fullmatch(text):
            return None
        return "unknown", "an AML is not known to print such a line"

    def _amlx(self, line: Line, found: re.Match[bytes]) -> Row | Complaint:
        whole, body, checksum = found.groups()
        computed = exclusive_or(whole)
        if checksum is not None and computed != int(checksum, 16):
            return "checksum", f"the line's checksum is {checksum.decode()}, and should be {computed:02X}"
        stamp = b""
        names: list[str] = []
        units: list[str] = []
        printed: list[bytes] = []
        for kind, name_, value, unit_ in _PARTS.findall(body):
            name, unit = name_.decode("ascii"), unit_.decode("ascii")
            if kind == b"meta":
                if (name, unit) != ("time", "s") or stamp or not _TIME.fullmatch(value):
                    return "syntax", f"the time reads {name},{value.decode()},{unit}"
                stamp = value
            elif kind != b"data":
                if not _RAW.fullmatch(value):
                    return "syntax", f"the raw value {name} is no number"
            elif (complaint := self._complaint(name, unit)) is not None:
                return complaint
            elif name in _PARAMETERS:
                if not _NUMBER.fullmatch(value):
                    return "syntax", f"{name} is no number"
                names.append(name)
                units.append(unit)
                printed.append(_measured(name, value))
        if not names:
            return "syntax", "no parameter is in this line"
        form = _Form(tuple(names), tuple(units), "unix" if stamp else "none")
        return Row(form, (stamp, *printed), line)

    def _complaint(self, name: str, unit: str) -> Complaint | None:
        """What is wrong with a parameter; one that is passed over is noted."""
        known = _PARAMETERS.get(name)
        if known is not None:
            if unit in known[1]:
                return None
            return "unit", f"{name} in {unit or 'no unit'!r}: known are {', '.join(known[1])}"
        if name in _PASSED_OVER or name in self.settings.ignore:
            self._left_out[name] = None
            return None
        return "parameter", f"AML is not known to give {name!r}: if it is right, put it into `ignore`"

    def _column_form(self) -> _Form | Complaint:
        names = self._columns
        if not names:
            return "columns", "what the columns are is not known: send DIS SENSORS, or set `columns`"
        units = self._column_units or tuple(
            next(iter(_PARAMETERS[n][1]), "") if n in _PARAMETERS else "" for n in names
        )
        if len(units) != len(names):
            return "columns", f"{len(names)} columns, but {len(units)} units"
        for name, unit in zip(names, units, strict=True):
            if name not in ("Date", "Time") and (complaint := self._complaint(name, unit)) is not None:
                return complaint
        return _Form(names, units, "columns" if {"Date", "Time"} <= set(names) else "none")

    def _by_columns(self, line: Line, text: bytes) -> Row | Complaint:
        form = self._column_form()
        if not isinstance(form, _Form):
            return form
        separator = _SEPARATOR.search(text)
        values = text.split(separator[0]) if separator else [text]
        if len(values) != len(form.names):
            return "columns", f"{len(values)} values where {len(form.names)} columns are ({', '.join(form.names)})"
        date = clock = b""
        printed: list[bytes] = []
        for name, value in zip(form.names, values, strict=True):
            pattern = {"Date": _DATE, "Time": _CLOCK}.get(name, _NUMBER if name in _PARAMETERS else _WORD)
            if not pattern.fullmatch(value):
                return "syntax", f"{name} reads {value[:40].decode('ascii')!r}"
            if name == "Date":
                date = value
                if not is_day(int(value[:4]), int(value[5:7]), int(value[8:])):
                    return "syntax", f"the calendar has no {value.decode()}"
            elif name == "Time":
                clock = value
            printed.append(_measured(name, value))
        return Row(form, (date + b" " + clock if form.clock == "columns" else b"", *printed), line)

    def _learn(self, key: bytes, value: str) -> None:
        """Takes `Columns` and `Units` of the measurements from their section."""
        if self._section != b"measurementmetadata" or self.settings.columns:
            return
        words = tuple(word.strip() for word in value.split(","))
        if key == b"columns":
            self._columns, self._column_units = words, ()
        elif key == b"units":
            self._column_units = words

    # --- many lines

    def _convert(self, rows: Sequence[Row]) -> Samples:
        form = rows[0].form
        assert isinstance(form, _Form)
        time = None
        if form.clock == "columns":
            time = moments([row.values[0] for row in rows])
        elif form.clock == "unix":
            parts = [row.values[0].split(b".") for row in rows]
            seconds = np.array([part[0] for part in parts]).astype(np.int64)
            time = seconds * 1_000_000_000 + np.array([part[1].ljust(9, b"0") for part in parts]).astype(np.int64)
        found, reasons = columns(_values(form.names, form.units), [row.values[1:] for row in rows])
        return Samples(_schema(form), time, found, reasons)

    def _is_whole(self, data: bytes) -> bool:
        return _AMLX.fullmatch(data) is not None or (
            _COMMAND.fullmatch(data) is not None and not data.startswith(b"msg")
        )


@lru_cache(maxsize=64)
def _schema(form: _Form) -> Schema:
    return Schema("ctd", tuple(value.field() for value in _values(form.names, form.units) if value.name))


def _measured(name: str, value: bytes) -> bytes:
    """The value, or that the instrument could not give one."""
    if value.startswith((b"-99.99", b"-99.98999")) or (name == "SV" and not value.strip(b"0.")):
        return INVALID
    return value
