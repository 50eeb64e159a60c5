"""Sea-Bird (Satlantic) SeaFET, SeapHOx V2 and Deep SeapHOx V2: pH, with the values of the CTD and oxygen sensor beside.

Theory of operation. The instrument samples by itself and prints a line of values, divided by commas, whose first says
what it is:

    SATPHA0371,2016306,8.2669678,7.96194,7.99229,24.4627,24.2046,34.2334,4.413,nan,…,0x0000,229
    SSPHOX01050,2025-10-20T13:49:08, 11988, 0000, 26.9476,7.9640,7.9808,-0.979159,-1.029476, 26.9785, …, 45.0,27.1
    DSPHOX02016,03/09/2021 02:38:04,1,0000,  21.7839,2.3933,-1.093007,    0.074,   0.0107,  0.00002,  6.013,  0.0, 21.5

SATPHA (SeaFET, full ASCII frame, 25 values): year and day of year, hours, pH of the internal and external electrode,
the sensor's temperature, the CTD's temperature, salinity, oxygen (mL/L), pressure, electrode voltages, thermistor
voltage, supply V and mA, humidity, four voltages of supplies, two leakage currents, counter electrode, status, and a
checksum: with it the sum of all bytes up to and with the last comma is 0 modulo 256. A value that is not measured is
`nan`. SSPHOX (SeapHOx V2, 16 values) and DSPHOX (Deep SeapHOx V2, 13, no internal electrode): sample number, error
flags, then temperature, pH, electrode voltages, the sensor's temperature (SSPHOX), pressure, salinity, conductivity,
oxygen (mL/L), humidity and temperature of the housing. These have no checksum: the decimals of each value count. The
scans of an uploaded file are hexadecimal digits (`drivers.seabird.ph`).

Sources: SeaFET manual SAT-DN-00590 (layout); recorded frames of nine instruments by others, cited in the tests: the
checksum holds for all of eight, and not for the manual's own example.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import numpy as np
from pydantic import Field as Setting
from pydantic import field_validator

from drivers.columns import rounded
from drivers.driver import DriverSettings
from drivers.lines import Line
from drivers.rows import NO_TEXT, NOISE, Complaint, Row, RowDriver, Samples
from drivers.seabird import ph
from drivers.seabird.conversation import BEFORE, CONVERSATION
from drivers.seabird.text import CLOCK, clock_ns, day_ns
from tidegate.frame import MISSING_INT, Column, Field, Missing, Reasons, Schema
from tidegate.vocabulary import parameter

_T, _S, _P, _O = (
    Field.of("sea_water_temperature", resolution=1e-4),
    Field.of("sea_water_practical_salinity", resolution=1e-4),
    Field.of("sea_water_pressure_due_to_sea_water", resolution=1e-3),
    Field.of("volume_fraction_of_oxygen_in_sea_water", resolution=1e-3),
)
_C = Field.of("sea_water_electrical_conductivity", resolution=1e-5)
_EXTERNAL, _INTERNAL = "sea_water_ph_reported_on_total_scale", "sea_water_ph_reported_on_total_scale_internal_electrode"
_NUMBER, _STATUS = Field.of("sample_number"), Field.of("device_status")
_HOUSING = (Field.of("internal_relative_humidity", resolution=0.1), Field.of("internal_temperature", resolution=0.1))


def _volts(which: str, resolution: float) -> Field:
    return Field.of(f"{which}_ph_electrode_voltage", resolution=resolution)


# Each value of a frame behind its time: (decimals, the field that it becomes or None).
_SEAFET: tuple[tuple[int, Field | None], ...] = (
    (5, Field.of(_INTERNAL, resolution=1e-5)),
    (5, Field.of(_EXTERNAL, resolution=1e-5)),
    (4, Field.of("temperature_of_ph_sensor", resolution=1e-4)),
    *((4, _T), (4, _S), (3, _O), (3, _P)),
    *((8, _volts("internal", 1e-8)), (8, _volts("external", 1e-8)), (8, None)),
    *((3, None), (0, Field.of("supply_current", resolution=1.0)), (1, _HOUSING[0])),
    *((3, None), (3, Field.of("battery_voltage", resolution=1e-3)), (3, None), (3, None)),
    *((0, None), (0, None), (8, None)),
)
_TAIL: tuple[tuple[int, Field | None], ...] = ((3, _P), (4, _S), (5, _C), (3, _O), (1, _HOUSING[0]), (1, _HOUSING[1]))
_SHALLOW: tuple[tuple[int, Field | None], ...] = (
    (4, _T),
    (4, Field.of(_EXTERNAL, resolution=1e-4)),
    (4, Field.of(_INTERNAL, resolution=1e-4)),
    *((6, _volts("external", 1e-6)), (6, _volts("internal", 1e-6))),
    (4, Field.of("temperature_of_ph_sensor", resolution=1e-4)),
    *_TAIL,
)
_DEEP: tuple[tuple[int, Field | None], ...] = (
    *((4, _T), (4, Field.of(_EXTERNAL, resolution=1e-4)), (6, _volts("external", 1e-6))),
    *_TAIL,
)


def _values(of: Sequence[tuple[int, Field | None]]) -> bytes:
    def value(decimals: int) -> bytes:
        return rb"(-?\d{1,6}\.\d{%d}|nan)" % decimals if decimals else rb"(-?\d{1,6}|nan)"

    return b",".join(rb" {0,12}%s" % value(decimals) for decimals, _ in of)


_WHEN = rb"(?:(\d{4}-\d\d-\d\d)T|(\d\d/\d\d/\d{4}) )(%s), *(\d{1,9}), *([0-9A-Fa-f]{4})," % CLOCK
_FRAMES: Mapping[str, tuple[re.Pattern[bytes], tuple[tuple[int, Field | None], ...], Schema]] = {
    name: (pattern, of, Schema("ph_sensor", (*(f for _, f in of if f is not None), *more)))
    for name, pattern, of, more in (
        (
            "SATPHA",
            re.compile(
                rb"SATPHA(\d{4}),(\d{4})(\d{3}),(\d{1,2}\.\d{7}),%s,0x([0-9A-Fa-f]{4}),(\d{1,3})" % _values(_SEAFET)
            ),
            _SEAFET,
            (_STATUS,),
        ),
        ("SSPHOX", re.compile(rb"SSPHOX(\d{1,9}),%s%s *" % (_WHEN, _values(_SHALLOW))), _SHALLOW, (_NUMBER, _STATUS)),
        ("DSPHOX", re.compile(rb"DSPHOX(\d{1,9}),%s%s *" % (_WHEN, _values(_DEEP))), _DEEP, (_NUMBER, _STATUS)),
    )
}
_RAW = re.compile(rb"[DS]SPHOX\d{1,9},[0-9T:-]{19},(?: *\d+,){8} *-?\d+\.\d{3},[-\d., ]+")
_KNOWN = re.compile(rb"SATFHR,[ -~]*|SATPHC\d{4},[ -~]*|FrameSync,[ -~]*")
_SERIAL = re.compile(rb"SATFHR,SERIAL-NUMBER,(\d{1,9})")
_SCAN = re.compile(rb"(?:%s)" % b"|".join(b"[0-9A-Fa-f]{%d}" % (2 * octets) for octets in ph.OCTETS))
_LIKE_A_FRAME = re.compile(rb"SATPH|SSPH|DSPH")


class SeaFet(RowDriver):
    """A pH sensor."""

    manufacturer: ClassVar[str] = "Sea-Bird Scientific"
    models: ClassVar[tuple[str, ...]] = ("SeaFET", "SeapHOx V2", "Deep SeapHOx V2")
    title: ClassVar[str] = "Sea-Bird SeaFET, SeapHOx V2 and Deep SeapHOx V2 pH sensors"
    lines: ClassVar[tuple[str, ...]] = ("9600 8N1", "57600 8N1", "115200 8N1", "19200 8N1", "38400 8N1")
    calibration: ClassVar[str] = (
        "in the instrument, whose frames hold computed values; of uploaded scans from the calibration sheets, by the "
        "setting `coefficients`"
    )
    problems: ClassVar[Mapping[str, str]] = {
        "checksum": "a SeaFET frame whose checksum is wrong: damaged on the line.",
        "syntax": "a damaged frame, or a line that is none. Check the cable where there are many.",
        "raw": "a frame of raw counts: set the instrument to print converted values.",
        "noise": "bytes that are no text: another baud rate or parity, or noise on the line.",
        "truncated": "the stream ended inside a line.",
        "implausible": "a value that cannot be (a dry or unconditioned sensor gives such pH); the rest is kept.",
    }

    class Settings(DriverSettings):
        """Settings of a pH sensor; they concern uploaded scans alone."""

        coefficients: dict[str, float] = Setting(default_factory=dict)
        """Calibration coefficients by the names of the calibration sheets: KDF0, KDF2, K0, K2, F1 to F6, TDFA0 to
        TDFA3, and the CTD's TA0, G, CPCOR, PTCA0, OXA0 and so on. What lacks its coefficients is left out."""
        salinity: float = Setting(default=35.0, ge=0.0, le=80.0)
        """Practical salinity of the water around a SeaFET, which has no CTD, for the external electrode."""

        @field_validator("coefficients")
        @classmethod
        def _coefficients_are_known(cls, coefficients: dict[str, float]) -> dict[str, float]:
            known = {name.upper(): value for name, value in coefficients.items()}
            odd = sorted(set(known) - ph.KNOWN)
            if odd:
                raise ValueError(f"no coefficient is called {', '.join(odd)}; there are {', '.join(sorted(ph.KNOWN))}")
            return known

    settings: Settings

    def __init__(self, instrument: str, settings: Any = None) -> None:
        self._told: dict[str, str] = {}
        super().__init__(instrument, settings)

    def schemas(self) -> Sequence[Schema]:
        """Of the frames of each model."""
        return tuple(schema for _, _, schema in _FRAMES.values())

    def description(self) -> Mapping[str, Any]:
        """Model and serial number, as the frames say."""
        return {"manufacturer": self.manufacturer, "model": self.models[0], **self._told}

    def _read(self, line: Line) -> Row | Complaint | None:
        text = BEFORE.sub(b"", line.data, count=1).strip(b" ")
        for model, (name, (pattern, _, _)) in zip(self.models, _FRAMES.items(), strict=True):
            found = pattern.fullmatch(text)
            if not found:
                continue
            if name == "SATPHA":
                if (sum(text[: text.rindex(b",") + 1]) + int(found.groups()[-1])) % 256:
                    return "checksum", "the frame's checksum is wrong: damaged on the line"
                if _satlantic_ns(found) is None:
                    return "syntax", "no such day or hour"
            elif _day(found) is None:
                return "syntax", "no such day in the calendar"
            self._told = {"model": model, "serial": found[1].decode()}
            return Row(name, tuple(value or b"" for value in found.groups()), line)
        if not text:
            return None
        if _SCAN.fullmatch(text):
            self._told["model"] = ph.OCTETS[len(text) // 2]
            return Row(len(text), (text,), line)
        if NO_TEXT.search(text):
            return "noise", NOISE
        if _RAW.fullmatch(text):
            return "raw", "a frame of raw counts: set the instrument to print converted values"
        if found := _SERIAL.fullmatch(text):
            self._told["serial"] = found[1].decode()
        if _KNOWN.fullmatch(text) or (CONVERSATION.fullmatch(text) and not _LIKE_A_FRAME.search(text)):
            return None
        return "syntax", "neither a frame of a SeaFET or SeapHOx nor conversation"

    def _convert(self, rows: Sequence[Row]) -> Samples:
        if isinstance(rows[0].form, int):
            return self._scans(rows)
        name = rows[0].form
        assert isinstance(name, str)
        pattern, of, schema = _FRAMES[name]
        if name == "SATPHA":
            found = [pattern.fullmatch(BEFORE.sub(b"", row.line.data, count=1).strip(b" ")) for row in rows]
            time = np.array([_satlantic_ns(match) for match in found if match], np.int64)
            first, status = 4, [int(row.values[-2], 16) for row in rows]
        else:
            first, status = 6, [int(row.values[5], 16) for row in rows]
            days = np.array([day_ns(row.values[1] or row.values[2].replace(b"/", b"-")) for row in rows], np.int64)
            time = days + clock_ns([row.values[3] for row in rows])
        columns: dict[str, Column] = {"device_status": np.array(status, np.int64)}
        reasons: dict[str, Reasons] = {}
        if name != "SATPHA":
            columns["sample_number"] = np.array([int(row.values[4]) for row in rows], np.int64)
        numbers = np.array([row.values[first : first + len(of)] for row in rows]).astype(np.float64)
        for i, (_, field) in enumerate(of):
            if field is None:
                continue
            absent = np.isnan(numbers[:, i])
            values: Column = numbers[:, i].copy()
            if parameter(field.name).integer:
                values = np.where(absent, MISSING_INT, np.nan_to_num(values).astype(np.int64))
            columns[field.name] = values
            if absent.any():
                reasons[field.name] = absent.astype(np.uint8) * np.uint8(Missing.NOT_GIVEN)
        return Samples(schema, time, columns, reasons)

    def _scans(self, rows: Sequence[Row]) -> Samples:
        octets = np.frombuffer(bytes.fromhex("".join(row.values[0].decode("ascii") for row in rows)), np.uint8)
        scans = ph.convert(octets.reshape(len(rows), -1), self.settings.coefficients, self.settings.salinity)
        columns: dict[str, Column] = {}
        for field in scans.schema.fields:
            values = scans.columns[field.name]
            columns[field.name] = values.astype(np.int64) if field.integer else rounded(values, field.resolution)
        return Samples(scans.schema, scans.time, columns, {})

    def _is_whole(self, data: bytes) -> bool:
        text = BEFORE.sub(b"", data, count=1).strip(b" ")
        return (
            not text
            or _KNOWN.fullmatch(text) is not None
            or (CONVERSATION.fullmatch(text) is not None and not _LIKE_A_FRAME.search(text))
        )


def _day(found: re.Match[bytes]) -> int | None:
    return day_ns(found[2] or found[3].replace(b"/", b"-"))


def _satlantic_ns(found: re.Match[bytes]) -> int | None:
    """Nanoseconds UTC of year, day of year and hours; None if there is no such moment."""
    year, day, hours = int(found[2]), int(found[3]), float(found[4])
    if not (1990 <= year < 2100 and 1 <= day <= 366 and hours < 24.0):
        return None
    midnight = datetime(year, 1, 1, tzinfo=UTC) + timedelta(days=day - 1)
    if midnight.year != year:
        return None
    return int(midnight.timestamp()) * 1_000_000_000 + round(hours * 3.6e9) * 1000
