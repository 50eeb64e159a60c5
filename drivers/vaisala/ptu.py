"""Vaisala PTB210, PTB220 and PTB330 barometers, HMP155 and other HMP humidity probes, PTU300: their printed lines.

Theory of operation. After `SMODE RUN` or `R` the instrument prints a line every `INTV`, or it prints one when asked
by `SEND` (with its address where several share a line). Lines are made by its setting `FORM`; as delivered they name
each value and its unit:

    P= 1013.2 hPa T= 31.1 'C RH= 38.3 %RH
    RH= 33.0 %RH T= 22.1 'C
    1020.30 hPa

A value that cannot be measured is printed as stars. A PTB210 prints its pressure alone, without a unit, which is read
only where the setting `unit` says in what. There is no checksum, so a line counts only where all of it fits.

Sources: PTB330 user's guide M210855EN; PTB220 user's guide M210194EN; PTB210 user's guide; PTU300 user's guide; HMP155
user's guide M210912EN; HMP240 operating manual M210300en.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Literal

from pydantic import Field as Setting

from drivers.columns import INVALID, Value, columns
from drivers.driver import DriverSettings
from drivers.lines import Line
from drivers.rows import Complaint, Row, RowDriver, Samples
from tidegate.frame import Schema

_PRESSURE = {
    "hPa": 1.0, "mbar": 1.0, "mb": 1.0, "Pa": 0.01, "kPa": 10.0, "bar": 1000.0, "mmHg": 1.33322387415,
    "torr": 1013.25 / 760, "inHg": 33.86388640341, "psi": 68.94757293168, "psia": 68.94757293168,
}  # fmt: skip
_TEMPERATURE = {"'C": 1.0, "'F": 5 / 9, "C": 1.0, "F": 5 / 9}
_VALUES: Mapping[str, tuple[str, Mapping[str, float]]] = {
    "P": ("air_pressure", _PRESSURE),
    "RH": ("relative_humidity", {"%RH": 1.0, "%": 1.0}),
    "T": ("air_temperature", _TEMPERATURE),
    "Ta": ("air_temperature_2", _TEMPERATURE),
    "Td": ("dew_point_temperature", _TEMPERATURE),
    "Tdp": ("dew_point_temperature", _TEMPERATURE),
    "Tw": ("wet_bulb_temperature", _TEMPERATURE),
    "a": ("mass_concentration_of_water_vapor_in_air", {"g/m3": 1.0}),
}
# Of each transducer, at another height, of other definitions, or not of the field's vocabulary.
_PASSED_OVER = ("P1", "P2", "P3", "TP1", "TP2", "TP3", "QNH", "QFE", "HCP", "P3H", "A3H", "Tdf", "TDF", "x", "h", "dT")
_BY_NAME = {name.upper(): name for name in (*_VALUES, *_PASSED_OVER) if name != "TDF"}
_RESOLUTION = 0.001

_NUMBER = rb"(-?\d{1,5}(?:\.\d{1,3})?|\*{1,7}(?:\.\*{1,3})?)"
_UNIT = rb"(?:%RH|%|'[CF]|[A-Za-z][A-Za-z0-9]{0,4}(?:/[a-z]{1,2}3?)?)"
_ITEM = re.compile(rb"([A-Za-z][A-Za-z0-9]{0,2}) ?= *+%s ?(%s)(?: ++|\Z)" % (_NUMBER, _UNIT))
_LINE = re.compile(rb"(?:[A-Za-z][A-Za-z0-9]{0,2} ?= *+%s ?%s(?: ++|\Z))++" % (_NUMBER.replace(b"(-", b"(?:-"), _UNIT))
_ALONE = re.compile(rb" *+%s(?: ([A-Za-z]{1,4}))? *+" % _NUMBER)
_TOLD = re.compile(rb"([A-Za-z][\w ,./()#-]{1,40}?) *: ?([ -~]*)")
_BANNER = re.compile(rb"((?:PTB|HMP|PTU|HMT|DMT)\d{2,3}\w*) */ *([\w.]+)[ -~]*")
_COMMAND = re.compile(
    rb"(?:SEND|S|R|OPEN|CLOSE|SMODE|INTV|FORM|UNIT|VERS|SNUM|ERRS|ADDR|RESET|SERI|ECHO|\?{1,2}|"
    rb"\.(?:P|BP|R|S|SEND|RESET))(?: [ -~]{0,40})?|OK|line closed|PTB *\d* *line opened[ -~]*",
    re.IGNORECASE,
)
_FAULT = re.compile(rb"(?:Error|ERROR|Unknown command|Syntax error|Out of range)[ -~]*", re.IGNORECASE)
_NO_TEXT = re.compile(rb"[^ -~\t]")


@lru_cache(maxsize=256)
def _value(name: str, unit: str) -> Value:
    parameter, units = _VALUES[name]
    factor = units[unit]
    if factor == 1.0:
        return Value(parameter, _RESOLUTION)
    return Value(parameter, _RESOLUTION / 10, factor, -160 / 9 if unit in ("'F", "F") else 0.0)


@lru_cache(maxsize=256)
def _schema(form: tuple[Value, ...]) -> Schema:
    return Schema("air", tuple(value.field() for value in form))


class Ptu(RowDriver):
    """A barometer, or a humidity and temperature probe."""

    manufacturer: ClassVar[str] = "Vaisala"
    models: ClassVar[tuple[str, ...]] = ("PTB210", "PTB220", "PTB330", "PTU300", "HMP155", "HMP240", "HMT330")
    title: ClassVar[str] = "Vaisala PTB barometers, HMP humidity and temperature probes, PTU300"
    lines: ClassVar[tuple[str, ...]] = ("9600 7E1", "4800 7E1", "9600 8N1", "19200 8N1")
    commands: ClassVar[Mapping[str, str]] = {
        "SEND": "gives one measurement; with an address where several share the line, SEND 3",
        "R": "measures again and again, until S",
        "S": "stops R",
        "?": "says what it is and how it is set",
        ".P": "gives one measurement of a PTB210",
    }
    calibration: ClassVar[str] = "none is needed: the coefficients are in the instrument, which gives physical units"
    problems: ClassVar[Mapping[str, str]] = {
        "syntax": "a line of values that does not fit: damaged on the way, or a FORM that is not known",
        "unit": "a value in a unit that is not known for it, or a pressure without one: set `unit`",
        "exception": "the instrument refuses a command or reports a fault",
        "implausible": "a number outside what is possible on Earth; check `unit`",
        "noise": "bytes that are no text: noise on the line, or another baud rate or parity",
        "truncated": "the stream ended inside this line",
        "unknown": "no line that these instruments print: another instrument, or damage",
    }

    class Settings(DriverSettings):
        """Settings of a barometer or probe."""

        mode: Literal["autonomous", "polled"] = "autonomous"
        """`polled`: asked for each sample; `autonomous`: it sends on its own."""
        address: int | None = Setting(default=None, ge=0, le=255)
        """Its address, where several share the line."""
        command: Literal["SEND", ".P"] = "SEND"
        """What it is asked with: `.P` of a PTB210."""
        unit: Literal["hPa", "mbar", "Pa", "kPa", "bar", "mmHg", "torr", "inHg", "psi"] | None = None
        """The unit of a pressure that is printed without one."""

    settings: Settings

    def __init__(self, instrument: str, settings: DriverSettings | None = None) -> None:
        self._told: dict[str, str] = {}
        super().__init__(instrument, settings)

    def schemas(self) -> Sequence[Schema]:
        """Of a barometer, of a probe, and of both in one."""
        p, t, rh = _value("P", self.settings.unit or "hPa"), _value("T", "'C"), _value("RH", "%RH")
        return [_schema((p,)), _schema((rh, t)), _schema((p, t, rh))]

    def description(self) -> Mapping[str, Any]:
        """Model, firmware and serial number once told."""
        return {"manufacturer": self.manufacturer, **self._told}

    def poll(self) -> bytes:
        """Asks for a sample."""
        if self.settings.mode != "polled":
            return b""
        address = "" if self.settings.address is None else f"{self.settings.address}"
        if self.settings.command == ".P":
            return f"{address}.P\r\n".encode()
        return f"SEND {address}".rstrip().encode() + b"\r\n"

    @classmethod
    def hail(cls) -> bytes:
        """One measurement."""
        return b"SEND\r\n"

    # --- one line

    def _read(self, line: Line) -> Row | Complaint | None:
        text = line.data.lstrip(b"> ").rstrip(b" \t>")
        if _NO_TEXT.search(text):
            return "noise", "bytes that are no text: noise on the line, or another baud rate or parity"
        if _LINE.fullmatch(text):
            return self._named(line, text)
        if found := _ALONE.fullmatch(text):
            unit = found[2].decode() if found[2] else self.settings.unit
            if found[2] is None and unit is None:
                return "unit", "a number without a name and unit: set `unit` if it is a pressure"
            if unit not in _PRESSURE:
                return "unit", f"{unit!r} is no unit of pressure that is known"
            return self._row(line, [("P", unit, found[1])])
        if not text or _COMMAND.fullmatch(text):
            return None
        if _FAULT.match(text):
            return "exception", f"the instrument says: {text[:80].decode('ascii')}"
        if found := _BANNER.fullmatch(text):
            self._told |= {"model": found[1].decode(), "firmware": found[2].decode()}
            return None
        if b"=" in text:
            return "syntax", "names and values that do not fit: damage, or a FORM that is not known"
        if found := _TOLD.fullmatch(text):
            if found[1].decode().lower() in ("serial number", "cpu serial no", "snum"):
                self._told["serial"] = found[2].decode().strip()
            return None
        return "unknown", "these instruments are not known to print such a line"

    def _named(self, line: Line, text: bytes) -> Row | Complaint | None:
        items: list[tuple[str, str, bytes]] = []
        for found in _ITEM.finditer(text):
            said = found[1].decode()
            name = said if said in _VALUES else _BY_NAME.get(said.upper(), "")
            unit = found[3].decode()
            if not name:
                return "syntax", f"no value of these instruments is called {said}"
            if name in _PASSED_OVER:
                continue
            if any(_VALUES[name][0] == _VALUES[other][0] for other, _, _ in items):
                return "syntax", f"{said} stands twice in the line"
            if unit not in _VALUES[name][1]:
                return "unit", f"{unit!r} is no unit of {said} that is known"
            items.append((name, unit, found[2]))
        return self._row(line, items) if items else None

    def _row(self, line: Line, items: Sequence[tuple[str, str, bytes]]) -> Row:
        form = tuple(_value(name, unit) for name, unit, _ in items)
        return Row(form, tuple(INVALID if b"*" in number else number for _, _, number in items), line)

    # --- many lines

    def _convert(self, rows: Sequence[Row]) -> Samples:
        form: Any = rows[0].form
        found, reasons = columns(form, [row.values for row in rows])
        return Samples(_schema(form), None, found, reasons)

    def _is_whole(self, data: bytes) -> bool:
        return _COMMAND.fullmatch(data.strip(b"> ")) is not None or not data.strip(b"> ")
