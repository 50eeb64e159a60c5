"""Vaisala WXT510, WXT520 and WXT530 weather transmitters (and WMT52, WMT53…): their ASCII messages, not their NMEA.

Theory of operation. A message begins with the transmitter's address and its kind: R1 wind, R2 air, R3 rain and hail, R4
auxiliary sensors, R5 the transmitter itself, R0 a choice from all of them. What follows are values, each with its name
before it and its unit behind, `#` where the value is not valid:

    0R1,Dn=236D,Dm=283D,Dx=031D,Sn=0.0M,Sm=1.0M,Sx=2.2M
    0R5,Th=25.0C,Vh=10.6#,Vs=10.8V,Vr=3.369V
    0r2,Ta=22.7C,Ua=55.5P,Pa=1004.7H@Fn

With a small `r` the message ends with a CRC of three characters over all in front of it: CRC-16 with polynomial 0xA001
begun with 0, its 4, 6 and 6 bits each in a character from 0x40 on (as in SDI-12). In autonomous mode each kind of
message comes in its own interval; polled, a command brings them: `0R0`, or `0R` for R1, R2, R3 and R5. Each message is
a sample; it has no time. Which values a message holds, and their units, is set in the transmitter, and read from the
message itself. The unit behind the heating voltage says how much it heats; it is volts always.

Sources: WXT520 user's guide M210906EN-C, chapters 7 and 8; WXT530 user guide M211840EN-D, also for R4; WXT510 user's
guide M210470EN-D.
"""

import math
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

_SPEED = {"M": 1.0, "K": 1 / 3.6, "S": 0.44704, "N": 1852 / 3600}
_PRESSURE = {"H": 1.0, "P": 0.01, "B": 1000.0, "M": 1.33322387415, "I": 33.86388640341}
_VOLTS = dict.fromkeys("VNWF", 1.0)
_RAIN = {"M": 1.0, "I": 25.4}
_HAIL = {"M": 1.0, "I": 1 / 6.4516}

# What a value is, by its name: the parameter, the least step that is kept, and the factor of each unit (the first is
# Vaisala's own choice). Fahrenheit is told apart by its letter.
_VALUES: Mapping[str, tuple[str, float, Mapping[str, float]]] = {
    "Dn": ("wind_from_direction_minimum", 0.1, {"D": 1.0}),
    "Dm": ("wind_from_direction", 0.1, {"D": 1.0}),
    "Dx": ("wind_from_direction_maximum", 0.1, {"D": 1.0}),
    "Sn": ("wind_speed_minimum", 0.01, _SPEED),
    "Sm": ("wind_speed", 0.01, _SPEED),
    "Sx": ("wind_speed_of_gust", 0.01, _SPEED),
    "Ta": ("air_temperature", 0.01, {"C": 1.0, "F": 5 / 9}),
    "Tp": ("internal_temperature", 0.01, {"C": 1.0, "F": 5 / 9}),
    "Ua": ("relative_humidity", 0.01, {"P": 1.0}),
    "Pa": ("air_pressure", 0.01, _PRESSURE),
    "Rc": ("thickness_of_rainfall_amount", 0.001, _RAIN),
    "Rd": ("duration_of_rainfall", 0.1, {"s": 1.0}),
    "Ri": ("rainfall_rate", 0.001, _RAIN),
    "Hc": ("hail_amount", 0.001, _HAIL),
    "Hd": ("duration_of_hail", 0.1, {"s": 1.0}),
    "Hi": ("hail_rate", 0.001, _HAIL),
    "Rp": ("rainfall_rate_maximum", 0.001, _RAIN),
    "Hp": ("hail_rate_maximum", 0.001, _HAIL),
    "Tr": ("temperature_of_auxiliary_sensor", 0.01, {"C": 1.0, "F": 5 / 9}),
    "Ra": ("thickness_of_rainfall_amount_2", 0.001, _RAIN),
    "Sl": ("level_sensor_voltage", 1e-6, _VOLTS),
    "Sr": ("radiation_sensor_voltage", 1e-6, _VOLTS),
    "Th": ("heating_temperature", 0.01, {"C": 1.0, "F": 5 / 9}),
    "Vh": ("heating_voltage", 1e-3, _VOLTS),
    "Vs": ("supply_voltage", 1e-3, _VOLTS),
    "Vr": ("reference_voltage", 1e-3, _VOLTS),
}
_PASSED_OVER = ("Id", "Rt")
_OF: Mapping[str, tuple[str, str]] = {
    # kind of message -> kind of sample, the first letters of its values
    "0": ("weather", "DSTUPRHV"),
    "1": ("wind", "DS"),
    "2": ("air", "TUP"),
    "3": ("precipitation", "RH"),
    "4": ("auxiliary", "TRS"),
    "5": ("transmitter", "TV"),
}

_MESSAGE = re.compile(rb"([0-9A-Za-z])([Rr])([0-5])((?:, ?[A-Z][a-z]=[^,]*)+)")
_VALUE = re.compile(rb"(-?\d{1,6}(?:\.\d{1,6})?)([A-Za-z#])")
_FAULTS = re.compile(rb"[0-9A-Za-z][Tt]X,(?:Unable|Sync|Unknown|Use chksum|Profile reset|Factory reset)[ -~]*")
_TOLD = re.compile(rb"[0-9A-Za-z][Tt]X,(?:Version reset|Start-up|Measurement reset|Rain reset|Inty reset)[ -~]*")
_SETTINGS = re.compile(rb"([0-9A-Za-z])([XWTRSI])[UuABCSG](?:,[A-Z]=[^,]*)*")
_COMMAND = re.compile(rb"\?|[0-9A-Za-z]|[0-9A-Za-z][RrXWTSI][0-5UZ]?(?:RU|,[ -~]{1,60})?!?")
_NMEA = re.compile(rb"\$[A-Z]{5},[ -~]*")
_NO_TEXT = re.compile(rb"[^ -~\x7f]")


def crc(data: bytes) -> bytes:
    """The three characters of SDI-12's CRC."""
    value = 0
    for octet in data:
        value ^= octet
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return bytes((0x40 | value >> 12, 0x40 | value >> 6 & 63, 0x40 | value & 63))


@lru_cache(maxsize=256)
def _value(name: str, unit: str, moving: bool) -> Value:
    parameter, resolution, units = _VALUES[name]
    if moving and name[0] in "DS" and name not in ("Sl", "Sr"):
        parameter = f"relative_{parameter}"
    if unit == next(iter(units)) or name[0] == "V":
        return Value(parameter, resolution)
    # What is converted keeps more than it prints.
    return Value(parameter, resolution / 100, units[unit], -160 / 9 if unit == "F" and name[0] == "T" else 0.0)


def _decimals(resolution: float) -> int:
    return round(-math.log10(resolution))


@lru_cache(maxsize=256)
def _schema(form: "_Form") -> Schema:
    return Schema(_OF[form[0]][0], tuple(value.field() for value in form[1]))


_Form = tuple[str, tuple[Value, ...]]


class Wxt(RowDriver):
    """A weather transmitter."""

    manufacturer: ClassVar[str] = "Vaisala"
    models: ClassVar[tuple[str, ...]] = (
        *("WXT510", "WXT520", "WXT530", "WXT531", "WXT532", "WXT533", "WXT534", "WXT535", "WXT536", "WMT52"),
    )
    title: ClassVar[str] = "Vaisala WXT510, WXT520 and WXT530 weather transmitters, in ASCII"
    lines: ClassVar[tuple[str, ...]] = ("19200 8N1", "9600 8N1", "4800 8N1")
    commands: ClassVar[Mapping[str, str]] = {
        "0R0": "gives the composite message",
        "0R": "gives wind, air, precipitation and transmitter messages",
        "0r0Kld": "gives the composite message with a CRC",
        "0XU": "says its address, protocol, model and software",
        "?": "says its address",
        "0R1, 0R2, 0R3, 0R4, 0R5": "gives one message",
        "0XZRU": "sets the counts of rain and hail to zero",
    }
    calibration: ClassVar[str] = "none is needed: the transmitter gives physical units"
    problems: ClassVar[Mapping[str, str]] = {
        "checksum": "a message whose CRC is wrong: damaged on the line; check cable and baud rate",
        "syntax": "a message with a value that is none, or with a name twice: damaged on the way",
        "unit": "a value in a unit that is not known for it; it is left out, the rest is kept",
        "address": "a message of another transmitter: set `address` to this one's",
        "exception": "the transmitter refuses a command, or lost its settings",
        "implausible": "a number outside what is possible on Earth",
        "nmea": "an NMEA sentence: use the driver nmea0183, or set the transmitter to ASCII (0XU,M=A or M=P)",
        "noise": "bytes that are no text: noise on the line, or another baud rate or parity",
        "truncated": "the stream ended inside this line",
        "unknown": "no line that such a transmitter prints: another instrument, or damage",
    }

    class Settings(DriverSettings):
        """Settings of a weather transmitter."""

        mode: Literal["autonomous", "polled"] = "autonomous"
        """`polled`: asked for each sample; `autonomous`: it sends on its own."""
        asks: Literal["R0", "R"] = "R0"
        """What is asked for: the composite message `R0`, or wind, air, precipitation and transmitter each, `R`."""
        crc: bool = False
        """Asks for messages with a CRC."""
        address: str = Setting(default="0", pattern="^[0-9A-Za-z]$")
        """The transmitter's address."""
        mounted: Literal["fixed", "moving"] = "fixed"
        """`moving`: on a ship, so that its wind is relative."""

    settings: Settings

    def __init__(self, instrument: str, settings: DriverSettings | None = None) -> None:
        self._told: dict[str, str] = {}
        super().__init__(instrument, settings)

    def _renew(self) -> None:
        self._units: dict[str, str] = {}

    def schemas(self) -> Sequence[Schema]:
        """Of all that the messages may hold, in the units in which it is delivered."""
        return [
            _schema(self._form(kind, names.split()))
            for kind, names in (
                *(("1", "Dn Dm Dx Sn Sm Sx"), ("2", "Ta Tp Ua Pa")),
                *(("3", "Rc Rd Ri Hc Hd Hi Rp Hp"), ("5", "Th Vh Vs Vr")),
            )
        ]

    def _form(self, kind: str, names: Sequence[str]) -> _Form:
        moving = self.settings.mounted == "moving"
        return kind, tuple(
            _value(name, self._units.get(name) or next(iter(_VALUES[name][2])), moving) for name in names
        )

    def description(self) -> Mapping[str, Any]:
        """Model and software once told."""
        return {"manufacturer": self.manufacturer, **self._told}

    def start(self) -> bytes:
        """Asks who it is."""
        return self._command("XU") if self.settings.mode == "polled" else b""

    def poll(self) -> bytes:
        """Asks for a sample."""
        if self.settings.mode != "polled":
            return b""
        if not self.settings.crc:
            return self._command(self.settings.asks)
        asked = f"{self.settings.address}{self.settings.asks.lower()}".encode()
        return asked + crc(asked) + b"\r\n"

    def _command(self, words: str) -> bytes:
        return f"{self.settings.address}{words}\r\n".encode()

    @classmethod
    def hail(cls) -> bytes:
        """Who the transmitter with address 0 is, and one sample."""
        return b"0XU\r\n0R0\r\n"

    # --- one line

    def _read(self, line: Line) -> Row | Complaint | None:
        text = line.data
        # What a CRC protects ends with it, whatever its characters are.
        if re.match(rb"[0-9A-Za-z](?:r[0-5],|tX,)", text):
            if len(text) < 8 or crc(text[:-3]) != text[-3:]:
                return "checksum", "the CRC at the end does not fit what is in front of it"
            text = text[:-3]
        if _NO_TEXT.search(text):
            return "noise", "bytes that are no text: noise on the line, or another baud rate or parity"
        text = text.rstrip(b" ")
        if found := _MESSAGE.fullmatch(text):
            return self._message(line, found)
        if _FAULTS.fullmatch(text):
            return "exception", f"the transmitter says: {text[4:].decode('ascii')}"
        if found := _SETTINGS.fullmatch(text):
            if found[2] == b"X":
                self._learn(text.decode("ascii"))
            return None
        if not text or _COMMAND.fullmatch(text) or _TOLD.fullmatch(text):
            return None
        if _NMEA.fullmatch(text):
            return "nmea", "an NMEA sentence: use the driver nmea0183, or set the transmitter to ASCII"
        return "unknown", "a WXT is not known to print such a line"

    def _message(self, line: Line, found: re.Match[bytes]) -> Row | Complaint | None:
        address, _, kind, values = (part.decode("ascii") for part in found.groups())
        if address != self.settings.address:
            return "address", f"a message of the transmitter with address {address}, not {self.settings.address}"
        names: list[str] = []
        printed: list[bytes] = []
        odd: list[str] = []
        for part in values.split(",")[1:]:
            name, _, said = part.strip().partition("=")
            if name in _PASSED_OVER:
                continue
            if name not in _VALUES or name[0] not in _OF[kind][1]:
                return "syntax", f"R{kind} has no value called {name}"
            if name in names:
                return "syntax", f"{name} stands twice in the message"
            number = _VALUE.fullmatch(said.encode())
            if number is None:
                return "syntax", f"{name} reads {said[:40]!r}, which is no number with a unit"
            unit = number[2].decode()
            if unit in _VALUES[name][2]:
                self._units[name] = unit
            elif unit != "#":
                odd.append(f"{name} in unit {unit!r}")
            own = unit == next(iter(_VALUES[name][2]))
            if own and len(number[1].partition(b".")[2]) > _decimals(_VALUES[name][1]):
                return "syntax", f"{name} has more decimals than these transmitters print"
            names.append(name)
            printed.append(number[1] if unit in _VALUES[name][2] else INVALID)
        if odd:
            self._refuse("unit", f"{', '.join(odd)}: not known; it is left out", line)
        if not names:
            return None
        return Row(self._form(kind, names), tuple(printed), line)

    def _learn(self, text: str) -> None:
        for part in text.split(",")[1:]:
            name, _, value = part.partition("=")
            if name in ("N", "V") and value:
                self._told[{"N": "model", "V": "firmware"}[name]] = value

    # --- many lines

    def _convert(self, rows: Sequence[Row]) -> Samples:
        form: Any = rows[0].form
        found, reasons = columns(form[1], [row.values for row in rows])
        return Samples(_schema(form), None, found, reasons)

    def _is_whole(self, data: bytes) -> bool:
        return _COMMAND.fullmatch(data) is not None
