"""Paroscientific Digiquartz: intelligent pressure transmitters, depth sensors and barometers, MET4, and the nano.

Theory of operation. A command names the unit it is for and the host, `*0100P3` (unit 01, host 00); the reply names them
the other way round:

    *0100P3   →  *000114.69594        pressure, in the unit's unit
    *0100Q3   →  *000123.015          temperature of the pressure sensor
    *0100TT, *0100RH → *000121.4      air temperature, humidity (MET4)
    *0100UN   →  *0001UN=1            the unit of pressure: 1 psi, 2 hPa, 3 bar, 4 kPa, 5 MPa, 6 inHg, 7 mmHg, 8 mH2O
    *0100P4   →  *000114.69594 …      pressure again and again, until any other command

There is no checksum, and a measurement does not say what it is, nor in which unit. So a number counts only where that
is known: the unit from the settings or from a reply to `UN`; and where more than pressure is asked for, each question
is sent behind one whose reply bears its name (`UN` before `P3`, `TU` before `Q3`, …), and a number counts only directly
behind that reply. A lost or doubled reply then leaves a value missing, and never gives it another's name. Newer
firmware may name the measurement itself: `*0001P4=16.7509,23.01532` (pressure, temperature).

A nano with a clock, as the OOI's bottom pressure recorder relays it, prints `NANO,V,2013/08/22 22:48:36.013,
13.888533,26.147947328` (without the blank): P where its clock follows a pulse per second and V where not, time, psi,
degC. The lines of the tilt meters and heaters of the same stream (LILY, IRIS, HEAT, SYST) are known and passed over.

Pressure is taken as absolute, as these instruments give it: `sea_water_pressure`, or `air_pressure` of a barometer.

Sources: Digiquartz Broadband user's manual 8819-001; MET4 user's manual; the OOI's botpt driver and its tests, whose
status page tells what P and V are; tests of the WHOI's ds_sensors; the codes of `UN` and `TU` as several public drivers
have them.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import Field as Setting
from pydantic import model_validator

from drivers.columns import NOT_GIVEN, Value, columns, is_day, moments
from drivers.driver import DriverSettings
from drivers.lines import Line
from drivers.rows import NO_TEXT, NOISE, Complaint, Row, RowDriver, Samples
from tidegate.frame import Missing, Schema

Ask = Literal["P3", "Q3", "TT", "RH"]
Unit = Literal["psi", "hPa", "bar", "kPa", "MPa", "inHg", "mmHg", "mH2O"]
_DBAR: Mapping[str, float] = {
    "psi": 0.6894757293168,
    "hPa": 0.01,
    "bar": 10.0,
    "kPa": 0.1,
    "MPa": 100.0,
    "inHg": 0.3386389,
    "mmHg": 0.01333224,
    "mH2O": 0.980665,
}
_CODES = ("user", *_DBAR)
"""The names of the codes that `UN` gives, from 0."""
_TAGS: Mapping[str, Ask] = {"UN": "P3", "TU": "Q3", "VR": "TT", "SN": "RH"}
"""What is asked for behind the reply of that name."""
_TAG_OF = {ask: tag for tag, ask in _TAGS.items()}

_NUMBER = rb"[-+]?\d{0,6}\.\d{1,10}"
_REPLY = re.compile(rb"\*(\d\d)(\d\d)(?:([A-Z][A-Z0-9])=)?([ -~]{0,80})")
_MEASURED = re.compile(rb" ?(%s)" % _NUMBER)
_NAMED = re.compile(rb"(%s)(?:,(%s))?" % (_NUMBER, _NUMBER))
_NANO = re.compile(
    rb"NANO,([PV]),(\d{4})/(\d\d)/(\d\d) ((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3})"
    rb",(-?\d{1,5}\.\d{6}),(-?\d{1,3}\.\d{9})"
)
_FOREIGN = re.compile(rb"(?:LILY|IRIS|HEAT|SYST|RESO),\d{4}/\d\d/\d\d \d\d:\d\d:\d\d,[ -~]*|NANO,\*[ -~]*")
_COMMAND = re.compile(rb"\*(?:\d\d00|99\d\d)(?:EW\*\d\d00)?[A-Z][A-Z0-9](?:=[ -~]{0,40})?")
_STATUS = re.compile(r"NANO,\*(Serial Number|Model Number|Firmware Revision): (\S+)")


class _Form(NamedTuple):
    """Rows of one form are converted together."""

    fields: tuple[str, ...]
    unit: str
    fahrenheit: bool = False
    nano: bool = False


@lru_cache(maxsize=64)
def _values(form: _Form, measures: str) -> tuple[Value, ...]:
    dbar = _DBAR.get(form.unit, 1.0)
    pressure = Value("sea_water_pressure", 1e-7, dbar)
    if measures == "air":
        pressure = Value("air_pressure", 1e-5, dbar * 100)
    scale, shift = (5 / 9, -160 / 9) if form.fahrenheit else (1.0, 0.0)
    known = {
        "P3": pressure,
        "Q3": Value("temperature_of_pressure_sensor", 1e-9 if form.nano else 1e-5, scale, shift),
        "TT": Value("air_temperature", 1e-4, scale, shift),
        "RH": Value("relative_humidity", 1e-4),
        "synchronized": Value("clock_is_synchronized"),
    }
    return tuple(known[field] for field in form.fields)


class Paroscientific(RowDriver):
    """A Digiquartz pressure instrument."""

    manufacturer: ClassVar[str] = "Paroscientific"
    models: ClassVar[tuple[str, ...]] = (
        *("Digiquartz 1000", "Digiquartz 6000", "Digiquartz 9000", "8CDP", "8CB", "745", "MET4", "nano"),
    )
    title: ClassVar[str] = "Paroscientific Digiquartz pressure transmitters, depth sensors, barometers; nano"
    lines: ClassVar[tuple[str, ...]] = ("9600 8N1", "19200 8N1", "115200 8N1")
    commands: ClassVar[Mapping[str, str]] = {
        "*0100P3": "measures pressure once",
        "*0100Q3": "measures the temperature of the pressure sensor once",
        "*0100TT": "measures air temperature (MET4)",
        "*0100RH": "measures relative humidity (MET4)",
        "*0100P4": "measures pressure again and again, until any other command",
        "*0100UN": "says the unit of pressure",
        "*0100TU": "says the unit of temperature",
        "*0100SN": "says the serial number",
        "*0100MN": "says the model",
        "*0100VR": "says the firmware; stops P4",
    }
    calibration: ClassVar[str] = "none is needed: the coefficients are in the instrument, which gives physical units"
    problems: ClassVar[Mapping[str, str]] = {
        "syntax": "a line that begins as a reply and does not fit: damaged on the way; check wiring and baud rate",
        "unit": "a pressure whose unit is not known: set `unit`, or let the driver ask with mode `polled`",
        "unasked": "a number that does not stand behind its question's name: a reply was lost or doubled",
        "address": "a reply of another unit: set `address` to this one's",
        "exception": "the instrument refuses a command",
        "implausible": "a number outside what is possible on Earth; check `unit` and `measures`",
        "noise": "bytes that are no text: noise on the line, or another baud rate or parity",
        "truncated": "the stream ended inside this line",
        "unknown": "no line that these instruments print: another instrument, or damage",
    }

    class Settings(DriverSettings):
        """Settings of a Digiquartz instrument."""

        mode: Literal["autonomous", "continuous", "polled"] = "autonomous"
        """`polled`: asked for each sample; `continuous`: told once (P4) to measure again and again; `autonomous`: it
        sends on its own, and nothing is sent to it."""
        measures: Literal["sea_water", "air"] = "sea_water"
        """What the pressure is of."""
        unit: Unit | None = None
        """The unit of pressure, where the instrument is not asked for it."""
        asks: tuple[Ask, ...] = ("P3",)
        """What is asked for, one a poll in turn: pressure `P3`, its sensor's temperature `Q3`, air temperature `TT`,
        humidity `RH`."""
        address: int = Setting(default=1, ge=1, le=98)
        """The unit's id on the line."""

        @model_validator(mode="after")
        def _fits(self) -> "Paroscientific.Settings":
            if not self.asks or len(set(self.asks)) != len(self.asks):
                raise ValueError('asks must name something, and nothing twice: asks = ["P3", "Q3"]')
            if len(self.asks) > 1 and self.mode != "polled":
                raise ValueError('asks of more than one thing need mode = "polled"')
            return self

    settings: Settings

    def __init__(self, instrument: str, settings: DriverSettings | None = None) -> None:
        self._told: dict[str, str] = {}
        self._turn = 0
        super().__init__(instrument, settings)

    def _renew(self) -> None:
        self._unit: str | None = self.settings.unit
        self._fahrenheit = False
        self._expected: Ask | None = None
        self._answers: dict[str, bytes] = {}
        self._first: Line | None = None

    def schemas(self) -> Sequence[Schema]:
        """Of what is asked for."""
        return [self._schema(_Form(self.settings.asks, self._unit or "psi"))]

    def description(self) -> Mapping[str, Any]:
        """Model, serial number and firmware once told."""
        return {"manufacturer": self.manufacturer, **self._told}

    def start(self) -> bytes:
        """Asks who it is and for its units, and starts P4 where that is wanted."""
        self._turn = 0
        if self.settings.mode == "autonomous":
            return b""
        asks = ["SN", "MN", "VR", "TU", "UN", *(["P4"] if self.settings.mode == "continuous" else [])]
        return b"".join(self._command(ask) for ask in asks)

    def poll(self) -> bytes:
        """The next question; a sample is complete when all of `asks` have had their turn."""
        if self.settings.mode != "polled":
            return b""
        if len(self.settings.asks) == 1:
            return self._command(self.settings.asks[0])
        # Any command ends a measurement that runs, so only one may be under way.
        ask = self.settings.asks[self._turn % len(self.settings.asks)]
        self._turn += 1
        return self._command(_TAG_OF[ask]) + self._command(ask)

    @classmethod
    def hail(cls) -> bytes:
        """Who unit 01 is, its unit, and one pressure."""
        return b"*0100SN\r\n*0100UN\r\n*0100P3\r\n"

    def _command(self, words: str) -> bytes:
        return f"*{self.settings.address:02}00{words}\r\n".encode()

    # --- one line

    def _read(self, line: Line) -> Row | Complaint | None:
        text = line.data.rstrip(b" \t")
        if (found := _NANO.fullmatch(text)) is not None:
            return self._nano(line, found)
        if _FOREIGN.fullmatch(text):
            self._learn_status(text.decode("ascii"))
            return None
        if NO_TEXT.search(text):
            return "noise", NOISE
        if _COMMAND.fullmatch(text):
            return None  # an echo
        reply = _REPLY.fullmatch(text)
        if reply is None or reply[1] != b"00":
            return "unknown", "a Digiquartz is not known to print such a line"
        _, unit, name, value = reply.groups()
        if int(unit) != self.settings.address:
            return "address", f"a reply of unit {unit.decode()}, not of {self.settings.address:02}"
        if name is None:
            return self._number(line, value)
        if name[:1] in b"PQ" and name[1:].isdigit():
            return self._named(line, name, value)
        if not value:
            return "syntax", f"an empty reply to {name.decode()}"
        return self._tag(name.decode(), value.decode("ascii"))

    def _nano(self, line: Line, found: re.Match[bytes]) -> Row | Complaint:
        follows, year, month, day, clock, psi, degrees = found.groups()
        if not is_day(int(year), int(month), int(day)):
            return "syntax", "the calendar has no such day"
        stamp = b"%s-%s-%s %s" % (year, month, day, clock)
        form = _Form(("P3", "Q3", "synchronized"), "psi", nano=True)
        return Row(form, (stamp, psi, degrees, b"1" if follows == b"P" else b"0"), line)

    def _number(self, line: Line, value: bytes) -> Row | Complaint | None:
        expected, self._expected = self._expected, None
        measured = _MEASURED.fullmatch(value)
        if measured is None:
            if value.upper().startswith((b"ERR", b"?")):
                return "exception", f"the instrument refuses: {value.decode('ascii')}"
            return "syntax", f"a reply without a name that is no measurement: {value[:40].decode('ascii')!r}"
        asks = self.settings.asks
        if len(asks) == 1:
            return self._row(line, asks, (measured[1],))
        if expected is None:
            return "unasked", "a number, but no question's name directly before it: a reply was lost or doubled"
        if self._first is None:
            self._first = line
        self._answers[expected] = measured[1]
        return self._finished_cycle() if expected == asks[-1] else None

    def _named(self, line: Line, name: bytes, value: bytes) -> Row | Complaint:
        found = _NAMED.fullmatch(value)
        if found is None:
            return "syntax", f"the measurement {name.decode()} does not read as numbers"
        first: tuple[Ask, ...] = ("P3",) if name[:1] == b"P" else ("Q3",)
        if found[2] is None:
            return self._row(line, first, (found[1],))
        if first == ("Q3",):
            return "syntax", "a temperature with a second number"
        return self._row(line, ("P3", "Q3"), (found[1], found[2]))

    def _row(self, line: Line, asks: tuple[str, ...], values: tuple[bytes, ...]) -> Row | Complaint:
        if "P3" in asks and self._unit not in _DBAR:
            return "unit", f"the unit of pressure is not known ({self._unit or 'not told'}): set `unit`"
        return Row(_Form(asks, self._unit or "", self._fahrenheit), (b"", *values), line)

    def _tag(self, name: str, value: str) -> Row | None:
        """A reply that bears its question's name."""
        if name == "UN" and value.isdigit() and int(value) < len(_CODES) and self.settings.unit is None:
            self._unit = _CODES[int(value)]
        elif name == "TU":
            self._fahrenheit = value == "1"
        elif name in ("SN", "MN", "VR"):
            self._told[{"SN": "serial", "MN": "model", "VR": "firmware"}[name]] = value.strip()
        asks = self.settings.asks
        self._expected = _TAGS.get(name)
        if len(asks) == 1 or self._expected not in asks:
            self._expected = None
            return None
        return self._finished_cycle() if self._expected == asks[0] else None

    def _finished_cycle(self) -> Row | None:
        """The answers that came, as a sample; what did not come is missing."""
        answers, line = self._answers, self._first
        self._answers, self._first = {}, None
        if line is None:
            return None
        values = tuple(answers.get(ask, NOT_GIVEN) for ask in self.settings.asks)
        unit = self._unit or ""
        if unit not in _DBAR:
            values = tuple(NOT_GIVEN if a == "P3" else v for a, v in zip(self.settings.asks, values, strict=True))
        return Row(_Form(self.settings.asks, unit, self._fahrenheit), (b"", *values), line)

    def _learn_status(self, text: str) -> None:
        if found := _STATUS.fullmatch(text):
            self._told[{"S": "serial", "M": "model", "F": "firmware"}[found[1][0]]] = found[2]

    # --- many lines

    def _schema(self, form: _Form) -> Schema:
        kind = "weather" if self.settings.measures == "air" else "tide_gauge"
        return Schema(kind, tuple(value.field() for value in _values(form, self.settings.measures)))

    def _convert(self, rows: Sequence[Row]) -> Samples:
        form = rows[0].form
        assert isinstance(form, _Form)
        time = moments([row.values[0] for row in rows]) if form.nano else None
        values = _values(form, self.settings.measures)
        found, reasons = columns(values, [row.values[1:] for row in rows], Missing.NO_ANSWER)
        return Samples(self._schema(form), time, found, reasons)

    def _end(self) -> None:
        row = self._finished_cycle()
        if row is not None:
            self._rows.append(row)
            self._flush()

    def _is_whole(self, data: bytes) -> bool:
        return _COMMAND.fullmatch(data) is not None or data.startswith(b"NANO,*")
