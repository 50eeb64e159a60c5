"""Sea-Bird SBE 45 MicroTSG thermosalinograph, with or without a remote SBE 38 thermometer, and the SBE 38 alone.

Theory of operation. The SBE 45 measures the water that a ship pumps past it, every `Interval` seconds by itself or when
asked by `TS`, and prints

    21.8054,  5.17647,  36.5878, 1528.105

temperature (°C, 4 decimals), then, each where switched on, conductivity (S/m, 5), salinity (4) and sound velocity (m/s,
3). With OutputFormat=1 there is no space before the conductivity; with OutputFormat=2 salinity stands before it. The
number of decimals tells them apart, so such lines need no configuration. An SBE 38 prints its temperature alone. A
junction box that appends the temperature of a remote SBE 38 at the intake prints a value with 4 decimals too, which
cannot be told from a salinity: then the setting `columns` must say what the values are.

Lines carry no time and no checksum: a sample's time is that of its arrival, and a line is taken only if it fits its
grammar to the letter. Where salinity is printed beside conductivity, it must be that of the line's own temperature and
conductivity, so a changed digit or two lines that ran together are noticed; else a changed digit cannot be.

Sources: SBE 45 user manual, pages 28, 32, 45, 46; checked against a cruise's recording as an independent parser read it
and against TEOS-10's practical salinity.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field as Setting
from pydantic import field_validator

from drivers.driver import DriverSettings
from drivers.lines import Line
from drivers.rows import NO_TEXT, NOISE, Complaint, Row, RowDriver, Samples, numbers
from drivers.seabird.calibration import practical_salinity
from drivers.seabird.conversation import BEFORE, CONVERSATION, PROMPTS, REFUSAL
from tidegate.frame import Field, Schema

ColumnName = Literal["temperature", "conductivity", "salinity", "sound_velocity", "remote_temperature", "ignore"]

_PRINTED: Mapping[str, tuple[bytes, Field]] = {
    "temperature": (rb"(-?\d{1,3}\.\d{4})", Field.of("sea_water_temperature", resolution=1e-4)),
    "conductivity": (rb"(-?\d{1,2}\.\d{5})", Field.of("sea_water_electrical_conductivity", resolution=1e-5)),
    "salinity": (rb"(-?\d{1,3}\.\d{4})", Field.of("sea_water_practical_salinity", resolution=1e-4)),
    "sound_velocity": (rb"(\d{4}\.\d{3})", Field.of("speed_of_sound_in_sea_water", resolution=1e-3)),
    "remote_temperature": (rb"(-?\d{1,3}\.\d{3,5})", Field.of("sea_water_temperature_at_intake", resolution=1e-5)),
    "ignore": (rb"(-?\d{1,9}(?:\.\d{1,9})?)", Field.of("sample_number")),
}
_T, _C, _S, _V = (_PRINTED[name][0] for name in ("temperature", "conductivity", "salinity", "sound_velocity"))
_AND = rb", {0,6}"
_ANY_SHAPE = re.compile(
    rb"%s {0,6}%s(?:%s%s)?(?:%s%s)?(?:%s%s)?(?:%s%s)? *" % (PROMPTS, _T, _AND, _C, _AND, _S, _AND, _C, _AND, _V)
)
_SWITCH = re.compile(rb"(do not )?output (conductivity|salinity|sound velocity) with each sample")
_IDENTITY = re.compile(rb"(SBE ?(?:45|38)) V ?([\w.]+) +(?:SERIAL NO\.|S/N =?) *(\d+)[ -~]*")


class Sbe45(RowDriver):
    """A thermosalinograph."""

    manufacturer: ClassVar[str] = "Sea-Bird Scientific"
    models: ClassVar[tuple[str, ...]] = ("SBE 45 MicroTSG", "SBE 38")
    title: ClassVar[str] = "Sea-Bird SBE 45 MicroTSG thermosalinograph and SBE 38 thermometer"
    lines: ClassVar[tuple[str, ...]] = ("4800 8N1", "9600 8N1", "19200 8N1", "38400 8N1", "2400 8N1", "1200 8N1")
    commands: ClassVar[Mapping[str, str]] = {
        "DS": "status: serial number, interval, which values it prints",
        "DC": "calibration coefficients",
        "TS": "take one sample and print it; only while it does not sample by itself",
        "TSR": "the same as raw counts, which are not decoded",
        "SLT": "print the last sample, then take a new one",
        "Stop": "stop sampling by itself",
        "Go": "start sampling by itself, every Interval= seconds",
        "Interval=": "seconds between samples",
        "OutputCond=, OutputSal=, OutputSV=": "Y or N: print conductivity, salinity, sound velocity",
        "OutputFormat=": "0 as delivered, 1 no space before the conductivity, 2 salinity before conductivity",
        "QS": "sleep",
    }
    calibration: ClassVar[str] = ""
    problems: ClassVar[Mapping[str, str]] = {
        "syntax": "a damaged line: a value is not as the instrument prints it. Check the cable where there are many.",
        "columns": "the line holds other values than `columns` (or the instrument's status) says: correct the setting.",
        "noise": "bytes that are no text: another baud rate or parity, or noise on the line.",
        "truncated": "the stream ended inside a line.",
        "implausible": "a value that cannot be; it is left out and the rest of the line kept. No flow, or air in it?",
        "exception": "the instrument refuses a command.",
    }

    class Settings(DriverSettings):
        """Settings of a thermosalinograph."""

        mode: Literal["autonomous", "polled"] = "autonomous"
        """`polled`: the gateway asks for each sample with TS; `autonomous`: the instrument sends on its own."""
        columns: tuple[ColumnName, ...] | None = Setting(default=None, min_length=1, max_length=12)
        """The values of a line in their order; `remote_temperature` is that of an SBE 38 at the intake, `ignore` is any
        number that is not wanted. Not given: as the instrument's status or the decimals tell, without a remote
        temperature."""

        @field_validator("columns")
        @classmethod
        def _columns_make_sense(cls, columns: tuple[str, ...] | None) -> tuple[str, ...] | None:
            named = [name for name in columns or () if name != "ignore"]
            twice = sorted({name for name in named if named.count(name) > 1})
            if twice:
                raise ValueError(f"{', '.join(twice)} named twice; a value that is not wanted is called 'ignore'")
            if columns is not None and not named:
                raise ValueError("names no value; an SBE 45 as delivered prints temperature, conductivity")
            return columns

    settings: Settings

    def __init__(self, instrument: str, settings: DriverSettings | None = None) -> None:
        self._told: dict[str, str] = {}
        self._shapes: dict[tuple[str, ...], Schema] = {}
        super().__init__(instrument, settings)

    def _renew(self) -> None:
        self._switches: dict[bytes, bool] = {}
        columns = self.settings.columns
        self._only: re.Pattern[bytes] | None = None
        if columns is not None:
            values = _AND.join(_PRINTED[name][0] for name in columns)
            self._only = re.compile(rb"%s {0,6}%s *" % (PROMPTS, values))

    def schemas(self) -> Sequence[Schema]:
        """What lines of the settings' columns hold, or of those seen so far, or as delivered."""
        if self.settings.columns is not None:
            return (self._schema(self.settings.columns),)
        return tuple(self._shapes.values()) or (_schema_of(("temperature", "conductivity")),)

    def description(self) -> Mapping[str, Any]:
        """Model, serial number and firmware, once the instrument has replied to `DS`."""
        return {"manufacturer": self.manufacturer, "model": self.models[0], **self._told}

    def start(self) -> bytes:
        """Stops the sampling of an instrument that is to be polled, and asks what it prints."""
        return b"\r\nStop\r\nDS\r\n" if self.settings.mode == "polled" else b""

    def poll(self) -> bytes:
        """`TS`, for an instrument that is to be polled."""
        return b"TS\r\n" if self.settings.mode == "polled" else b""

    @classmethod
    def hail(cls) -> bytes:
        """`DS`, which is answered also while it samples."""
        return b"\r\nDS\r\n"

    def _read(self, line: Line) -> Row | Complaint | None:
        text = line.data
        found = (self._only or _ANY_SHAPE).fullmatch(text)
        if found:
            if self._only is not None:
                assert self.settings.columns is not None
                return Row(self.settings.columns, found.groups(), line)
            return self._shape(found, line)
        said = BEFORE.sub(b"", text, count=1).strip()
        if not said:
            return None
        if NO_TEXT.search(text):
            return "noise", NOISE
        if REFUSAL.fullmatch(said):
            return "exception", f"the instrument refuses a command: {said[:60].decode()}"
        if CONVERSATION.fullmatch(said):
            self._learn(said)
            return None
        if self._only is not None and re.fullmatch(rb"[-\d., ]+", said) and said[-1:].isdigit():
            return "columns", f"the line does not hold {', '.join(self.settings.columns or ())}, each with its decimals"
        return "syntax", "neither a sample as an SBE 45 or SBE 38 prints it nor conversation"

    def _shape(self, found: re.Match[bytes], line: Line) -> Row | Complaint:
        t, c, s, c_behind, v = found.groups()
        if c is not None and c_behind is not None:
            return "syntax", "the line holds two conductivities"
        values = {"temperature": t, "conductivity": c, "salinity": s}
        if c_behind is not None:
            values = {"temperature": t, "salinity": s, "conductivity": c_behind}
        if s is not None and (c or c_behind) is not None and not _belong_together(values):
            return (
                "syntax",
                "the salinity is not that of this temperature and conductivity: a digit is damaged, or a line cut",
            )
        given = {name: value for name, value in (values | {"sound_velocity": v}).items() if value is not None}
        if len(self._switches) == 3 and given.keys() != self._said():
            return (
                "columns",
                f"the line holds {', '.join(given)}, and by its status it prints {', '.join(self._said())}",
            )
        return Row(tuple(given), tuple(given.values()), line)

    def _said(self) -> set[str]:
        """What the instrument's status says that it prints."""
        on = {name.decode().replace(" ", "_") for name, is_on in self._switches.items() if is_on}
        return {"temperature", *on}

    def _learn(self, said: bytes) -> None:
        if found := _SWITCH.fullmatch(said):
            self._switches[found[2]] = found[1] is None
        elif found := _IDENTITY.fullmatch(said):
            self._told = {"model": found[1].decode(), "firmware": found[2].decode(), "serial": found[3].decode()}

    def _schema(self, columns: tuple[str, ...]) -> Schema:
        if columns not in self._shapes:
            self._shapes[columns] = _schema_of(columns)
        return self._shapes[columns]

    def _convert(self, rows: Sequence[Row]) -> Samples:
        columns = rows[0].form
        assert isinstance(columns, tuple)
        values = numbers(rows)
        by_name = {
            _PRINTED[name][1].name: np.ascontiguousarray(values[:, i])
            for i, name in enumerate(columns)
            if name != "ignore"
        }
        return Samples(self._schema(columns), None, dict(by_name), {})

    def _is_whole(self, data: bytes) -> bool:
        # A value may be missing at the end, or a digit where the decimals are not fixed.
        said = BEFORE.sub(b"", data, count=1).strip()
        return not said or (CONVERSATION.fullmatch(said) is not None and not _ANY_SHAPE.fullmatch(data))


def _belong_together(values: Mapping[str, bytes | None]) -> bool:
    """Whether the salinity was computed of the same line's values. Not judged in air, where formulas differ."""
    t, c, s = (np.array(float(values[name] or "nan")) for name in ("temperature", "conductivity", "salinity"))
    computed = practical_salinity(c, t, np.zeros(()))
    return bool(abs(computed - s) <= 0.01 or max(s, computed) < 2)


def _schema_of(columns: tuple[str, ...]) -> Schema:
    return Schema("thermosalinograph", tuple(_PRINTED[name][1] for name in columns if name != "ignore"))
