"""Nortek's classic binary records: Aquadopp, Aquadopp Profiler (also HR), AWAC and Vector.

Theory of operation. A record is A5, its type, its size in words, what it measured, and a checksum; only the Vector's
velocity has no size, it is 24 bytes. Clocks are binary coded decimals: minute, second, day, hour, year, month. What
axes velocities have, and how many cells of what size, is not in the records but in the three configurations (hardware,
head, user) that begin a recorder's file and answer `GP`, `GH`, `GC`. Where none was heard and no setting tells,
velocities are `sea_water_velocity_component_1` to 3, and cells have no size (0 m).

Velocities of a Vector, wave data and its motion sensor have no clock of their own: they are counted on from the last
system record (Vector) or wave header with the sampling rate of the user configuration; where that is not known, their
time is the arrival.

Sources: Nortek, System Integrator Manual (Paradopp family), chapter "Firmware data structures"; diagnostics header,
wave and motion records as MHKiT reads them; cell geometry after Nortek's formulas for slanted beams of 25 degrees.
Beam velocities are positive away from the instrument.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from drivers.driver import Decoded, Driver, DriverSettings, Problem, problem
from drivers.nortek.framing import SYNC, Bytes, Candidates, Framer, Ints, Mask, Records, checksums, u16
from drivers.nortek.records import Block, Clock, Group, Plan, Rows, Scalar, frames, utc_ns
from tidegate.clock import NAT, Arrival
from tidegate.frame import Cells, Schema

_PIECE = 1 << 20
_USER, _VELOCITY, _HEAD, _HARDWARE, _DIAGNOSTICS_HEADER = 0x00, 0x01, 0x04, 0x05, 0x06
_VECTOR, _SYSTEM, _VECTOR_HEADER = 0x10, 0x11, 0x12
_AWAC, _PROFILER, _HR, _WAVE, _WAVE_HEADER, _SUV = 0x20, 0x21, 0x2A, 0x30, 0x31, 0x36
_WAVE_PARAMETERS, _MOTION, _DIAGNOSTICS = 0x60, 0x71, 0x80

_SIZES = {
    _USER: 512,
    _VELOCITY: 42,
    _HEAD: 224,
    _HARDWARE: 48,
    _DIAGNOSTICS_HEADER: 36,
    _SYSTEM: 28,
    _VECTOR_HEADER: 42,
    _WAVE: 24,
    _WAVE_HEADER: 60,
    _SUV: 24,
    _WAVE_PARAMETERS: 80,
    _DIAGNOSTICS: 42,
}
_VARIABLE = (_AWAC, _PROFILER, _HR, _MOTION, 0x02, 0x07, 0x42, 0x50, 0x51, 0x61, 0x62, 0x63, 0x65, 0x81)
_LARGEST = 8192
_FIXED = np.zeros(256, np.int64)
_FIXED[list(_SIZES)] = list(_SIZES.values())
_FIXED[_VECTOR] = 24
_FREE = np.zeros(256, np.bool_)
_FREE[list(_VARIABLE)] = True

_ECHO = "signal_intensity_from_multibeam_acoustic_doppler_velocity_sensor_in_sea_water"
_CORRELATION = "beam_consistency_indicator_from_multibeam_acoustic_doppler_velocity_profiler_in_sea_water"
_VELOCITIES = {
    "earth": ("eastward_sea_water_velocity", "northward_sea_water_velocity", "upward_sea_water_velocity"),
    "instrument": ("sea_water_x_velocity", "sea_water_y_velocity", "sea_water_z_velocity"),
    "beam": tuple(f"radial_sea_water_velocity_away_from_instrument_beam_{beam}" for beam in (1, 2, 3, 4)),
    "": tuple(f"sea_water_velocity_component_{axis}" for axis in (1, 2, 3)),
}
_AXES = ("earth", "instrument", "beam")
# Metres of a count of cell size (times 256) and of blanking along a beam, by frequency in kHz.
_CELL_M = {2000: 0.0239, 1000: 0.0478, 600: 0.0797, 400: 0.1195}
_BLANK_M = {2000: 0.02228, 1000: 0.02266, 600: 0.02281, 400: 0.02289}
_HR_CELL_M = {2000: 0.00675, 1000: 0.01350}
_HR_BLANK_M = {2000: 0.00662, 1000: 0.00673}
_ANSWER = re.compile(
    rb"(?:(?:[\x00-\x59][\x00-\x59][\x01-\x31][\x00-\x23][\x00-\x99][\x01-\x12]|[A-Z]{3} ?[0-9 ]{4,11}|..)?\x06\x06"
    rb"|\x15\x15|[\r\n])*",
    re.DOTALL,
)
"""Answers at the prompt: nothing, a clock, an identity or a word, each closed by ACK ACK; NACK NACK."""


def find(data: Bytes, first: int) -> Candidates:
    """Where classic records may begin: types with the size that they have, and syncs too near to the end to tell."""
    n = len(data)
    starts = (data[first:] == SYNC).nonzero()[0] + first
    kind = data[np.minimum(starts + 1, n - 1)]
    vector = (kind == _VECTOR) & (starts + 1 < n)
    short = np.where(vector, starts + 2 > n, starts + 4 > n)
    told = starts + 1 < n
    # A type that there is not ends the matter; a size is needed for the others.
    known = ~told | vector | (_FIXED[kind] > 0) | _FREE[kind]
    starts, kind, vector, short = starts[known], kind[known], vector[known], short[known]
    size = np.where(starts + 1 < n, 4, 2)
    at = starts[~short]
    words = np.where(vector[~short], 12, u16(data, np.minimum(at + 2, n - 2)))
    length = 2 * words
    fits = np.where(_FREE[kind[~short]], (length >= 8) & (length <= _LARGEST), length == _FIXED[kind[~short]])
    size[~short] = length
    kept = short.copy()
    kept[~short] = fits
    starts, size, short = starts[kept], size[kept], short[kept]
    good = ~short & (starts + size <= n)
    if good.any():
        begin, end = starts[good], (starts + size)[good] - 2
        good[good] = checksums(data, begin, end) == u16(data, end)
    return Candidates(starts, size, good)


# --- clocks -----------------------------------------------------------------------------------------------------------


def _decimal(digits: npt.NDArray[np.uint8]) -> tuple[Ints, Mask]:
    low, high = (digits & 15).astype(np.int64), (digits >> 4).astype(np.int64)
    return high * 10 + low, (low < 10) & (high < 10)


def _clock(at: int, milliseconds: int | None = None) -> Clock:
    """The clock `at` in the record; `milliseconds` is where a word with these stands."""

    def read(records: Rows) -> Ints:
        data = records["bytes"]
        value, decimal = _decimal(data[:, at : at + 6])
        minute, second, day, hour, year, month = value.T
        valid = decimal.all(axis=1) & (minute < 60) & (second < 60) & (hour < 24)
        ns = ((hour * 60 + minute) * 60 + second) * 1_000_000_000
        if milliseconds is not None:
            ms = data[:, milliseconds].astype(np.int64) | data[:, milliseconds + 1].astype(np.int64) << 8
            valid &= ms < 1000
            ns += ms * 1_000_000
        return utc_ns(year + np.where(year < 80, 2000, 1900), month, day, ns, valid)

    return read


# --- configurations ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Configuration:
    """What the three configurations said."""

    told: dict[str, Any] = field(default_factory=dict)
    frequency_khz: int = 0
    coordinates: str = ""
    beams: int = 0
    cell_counts: int = 0
    blank_counts: int = 0
    interval_ns: int = 0
    wave_interval_ns: int = 0
    scale: float = 1000.0

    def hear(self, id_: int, record: bytes) -> None:
        def word(at: int) -> int:
            return record[at] | record[at + 1] << 8

        if id_ == _HARDWARE:
            self.told["serial"] = record[4:18].rstrip(b"\0 ").decode("latin-1")
            self.told["model"] = {"AQD": "Aquadopp", "VEC": "Vector", "WPR": "AWAC", "PRF": "Aquadopp Profiler"}.get(
                self.told["serial"][:3], "classic"
            )
            self.told["firmware"] = record[42:46].rstrip(b"\0 ").decode("latin-1")
        elif id_ == _HEAD:
            self.frequency_khz = word(6)
            self.told["frequency_khz"] = self.frequency_khz
            self.told["head_serial"] = record[10:22].rstrip(b"\0 ").decode("latin-1")
            matrix = np.frombuffer(record, "<i2", 9, 30).reshape(3, 3) / 4096
            self.told["beam_to_instrument"] = matrix.tolist()
            self.told["tilt_sensor_mounted"] = "down" if word(4) & 8 else "up"
        else:
            self.coordinates = _AXES[word(32)] if word(32) < 3 else ""
            self.beams, self.cell_counts, self.blank_counts = word(18), word(36), word(6)
            average = word(16)
            self.interval_ns = average * 1_000_000_000 // 512
            self.wave_interval_ns = 500_000_000 if word(436) & 1 else 1_000_000_000
            self.scale = 10_000.0 if word(58) & 16 else 1000.0
            self.told |= {
                "coordinates": self.coordinates,
                "cells": word(34),
                "deployment": record[40:46].rstrip(b"\0 ").decode("latin-1"),
                "salinity": word(74) / 10,
            }

    def cells(self, count: int, id_: int, upward: bool) -> Cells:
        """Geometry of a profile; sizes are 0 where no configuration tells."""
        size_m = _HR_CELL_M if id_ == _HR else _CELL_M
        blank_m = _HR_BLANK_M if id_ == _HR else _BLANK_M
        if self.frequency_khz not in size_m or not self.cell_counts:
            return Cells(count, 0.0, 0.0, upward)
        slant = np.cos(np.radians(25))
        size = round(self.cell_counts / 256 * size_m[self.frequency_khz] * slant, 2)
        blank = round(self.blank_counts * blank_m[self.frequency_khz] * slant - size, 2)
        return Cells(count, round(size + blank, 2), size, upward)


# --- layouts ----------------------------------------------------------------------------------------------------------


def _sensors() -> list[Scalar]:
    return [
        Scalar("battery_voltage", "<u2", 14, 10, 0.1),
        Scalar("speed_of_sound_in_sea_water", "<u2", 16, 10, 0.1),
        Scalar("platform_orientation", "<i2", 18, 10, 0.1),
        Scalar("platform_pitch_fore_up", "<i2", 20, 10, 0.1),
        Scalar("platform_roll_starboard_down", "<i2", 22, 10, 0.1),
        Scalar("sea_water_temperature", "<i2", 28, 100, 0.01),
        Scalar("device_status", "u1", 25),
    ]


class _Misfit(ValueError):
    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def _names(base: str, beams: int) -> tuple[str, ...]:
    return tuple(f"{base}_beam_{beam}" for beam in range(1, beams + 1))


def _velocity_names(coordinates: str, beams: int) -> tuple[str, ...]:
    names = _VELOCITIES[coordinates]
    if beams > len(names):
        names = _VELOCITIES["beam"]
    return names[:beams]


def _plan(record: bytes, configuration: _Configuration, coordinates: str) -> Plan:
    """How records like this one are read. Raises `_Misfit`."""
    id_, size, c = record[1], len(record), configuration
    upward = size > 25 and not record[25] & 1  # of profiles: the status's first bit says that the head looks down
    pressure = "sea_water_pressure_due_to_sea_water"
    scale, step = c.scale, 1e-3 if c.scale == 1000 else 1e-4
    cells: Cells | None = None
    blocks: list[Block] = []
    clock: Clock = _clock(4)
    if id_ in (_VELOCITY, _DIAGNOSTICS):
        kind = "current_meter" if id_ == _VELOCITY else "current_meter_diagnostics"
        scalars = [
            *_sensors(),
            Scalar(pressure, "<u2", 26, 1000, 0.001, high=24),
            Scalar("device_error", "<u2", 10),
            Scalar("auxiliary_counts_1", "<u2", 12),
        ]
        blocks = [
            Block(_velocity_names(coordinates, 3), "<i2", 30, 0, 1000, 1e-3, -32768),
            Block(_names(_ECHO, 3), "u1", 36, 0),
        ]
    elif id_ in (_AWAC, _PROFILER):
        kind, at = "adcp", 118 if id_ == _AWAC else 30
        beams = c.beams if 1 <= c.beams <= 4 else 3
        count = (size - 2 - at) // (3 * beams)
        spare = size - 2 - at - 3 * beams * count
        if not 1 <= count <= 1024 or spare not in (0, 1):
            raise _Misfit("syntax", f"a profile of {size} bytes, which no number of cells of {beams} beams fills")
        scalars = [
            *_sensors(),
            Scalar(pressure, "<u2", 26, 1000, 0.001, high=24),
            Scalar("device_error", "<u2", 10),
            Scalar("auxiliary_counts_1", "<u2", 12),
        ]
        blocks = [
            Block(_velocity_names(coordinates, beams), "<i2", at, count, 1000, 1e-3, -32768),
            Block(_names(_ECHO, beams), "u1", at + 2 * beams * count, count),
        ]
        cells = c.cells(count, id_, upward)
    elif id_ == _HR:
        kind = "adcp"
        beams, count = record[34] if size > 56 else 0, record[35] if size > 56 else 0
        if not 1 <= beams <= 4 or not count or size - 56 - 4 * beams * count not in (0, 1):
            raise _Misfit("syntax", f"a profile of {size} bytes that declares {beams} beams of {count} cells")
        scalars = [
            *_sensors(),
            Scalar(pressure, "<u2", 26, 1000, 0.001, high=24),
            Scalar("device_error", "<u2", 12),
            Scalar("auxiliary_counts_1", "<u2", 30),
            Scalar("auxiliary_counts_2", "<u2", 32),
        ]
        part = beams * count
        blocks = [
            Block(_velocity_names(coordinates, beams), "<i2", 54, count, 1000, 1e-3, -32768),
            Block(_names(_ECHO, beams), "u1", 54 + 2 * part, count),
            Block(_names(_CORRELATION, beams), "u1", 54 + 3 * part, count),
        ]
        cells, clock = c.cells(count, id_, upward), _clock(4, 10)
    elif id_ == _DIAGNOSTICS_HEADER:
        # Some firmware has its clock where the manual has three processing magnitudes.
        kind, clock = "diagnostics_header", _clock(12)
        scalars = [Scalar("diagnostics_records", "<u2", 4), Scalar("diagnostics_cell", "<u2", 6)]
        blocks = [
            Block(_names("noise_amplitude", 4), "u1", 8, 0),
            Block(_names("processing_magnitude", 4), "<u2", 12, 0),
            Block(_names("diagnostics_distance", 4), "<u2", 20, 0),
        ]
    elif id_ == _VECTOR:
        kind = "velocimeter"
        scalars = [
            Scalar(pressure, "<u2", 6, 1000, 0.001, high=4),
            Scalar("auxiliary_counts_1", "<u2", 8),
            Scalar("sample_number", "u1", 3),
        ]
        blocks = [
            Block(_velocity_names(coordinates, 3), "<i2", 10, 0, scale, step, -32768),
            Block(_names(_ECHO, 3), "u1", 16, 0),
            Block(_names(_CORRELATION, 3), "u1", 19, 0),
        ]
    elif id_ == _SYSTEM:
        kind = "velocimeter_system"
        scalars = [
            Scalar("battery_voltage", "<u2", 10, 10, 0.1),
            Scalar("speed_of_sound_in_sea_water", "<u2", 12, 10, 0.1),
            Scalar("platform_orientation", "<u2", 14, 10, 0.1),
            Scalar("platform_pitch_fore_up", "<i2", 16, 10, 0.1),
            Scalar("platform_roll_starboard_down", "<i2", 18, 10, 0.1),
            Scalar("sea_water_temperature", "<i2", 20, 100, 0.01),
            Scalar("device_error", "u1", 22),
            Scalar("device_status", "u1", 23),
            Scalar("auxiliary_counts_1", "<u2", 24),
        ]
    elif id_ == _VECTOR_HEADER:
        kind = "velocimeter_header"
        scalars = [Scalar("diagnostics_records", "<u2", 10)]
        blocks = [Block(_names("noise_amplitude", 3), "u1", 12, 0), Block(_names("noise_correlation", 3), "u1", 16, 0)]
    elif id_ in (_WAVE, _SUV):
        kind = "wave_burst"
        axes = "earth" if id_ == _SUV else "beam"
        scalars = [
            Scalar(pressure, "<u2", 4, 1000, 0.001),
            Scalar("altimeter_distance", "<u2", 6, 1000, 0.001, invalid=0),
            Scalar("auxiliary_counts_1", "<u2", 8),
        ]
        if c.beams == 4:
            blocks = [
                Block(_velocity_names("beam", 4), "<i2", 10, 0, 1000, 1e-3, -32768),
                Block(_names(_ECHO, 4), "u1", 18, 0),
            ]
        else:
            scalars += [
                Scalar("altimeter_distance_ast_2", "<u2", 16, 1000, 0.001, invalid=0),
                Scalar("altimeter_quality", "u1", 21),
            ]
            blocks = [
                Block(_velocity_names(axes, 3), "<i2", 10, 0, 1000, 1e-3, -32768),
                Block(_names(_ECHO, 3), "u1", 18, 0),
            ]
    elif id_ == _WAVE_HEADER:
        kind = "wave_burst_header"
        scalars = [
            *(s for s in _sensors() if s.name != "device_status"),
            Scalar("diagnostics_records", "<u2", 10),
        ]
        blocks = [
            Block(_names("noise_amplitude", 4), "u1", 32, 0),
            Block(_names("processing_magnitude", 4), "<u2", 36, 0),
        ]
    elif id_ == _WAVE_PARAMETERS:
        kind = "waves"
        scalars = [
            Scalar("wave_spectrum_basis", "u1", 10),
            Scalar("wave_processing_method", "u1", 11),
            *(
                Scalar(name, "<u2", 12 + 2 * i, divisor, resolution, invalid=65535)
                for i, (name, divisor, resolution) in enumerate(
                    (
                        ("sea_surface_wave_significant_height", 1000, 1e-3),
                        ("sea_surface_wave_mean_height_of_highest_third", 1000, 1e-3),
                        ("sea_surface_wave_mean_height_of_highest_tenth", 1000, 1e-3),
                        ("sea_surface_wave_maximum_height", 1000, 1e-3),
                        (
                            "sea_surface_wave_mean_period_from_variance_spectral_density_second_frequency_moment",
                            100,
                            1e-2,
                        ),
                        ("sea_surface_wave_period_at_variance_spectral_density_maximum", 100, 1e-2),
                        ("sea_surface_wave_mean_period", 100, 1e-2),
                        ("sea_surface_wave_from_direction_at_variance_spectral_density_maximum", 100, 1e-2),
                        ("sea_surface_wave_directional_spread_at_variance_spectral_density_maximum", 100, 1e-2),
                        ("sea_surface_wave_from_direction", 100, 1e-2),
                    )
                )
            ),
            Scalar(pressure, "<u4", 34, 1000, 0.001),
            Scalar("wave_surface_no_detects", "<u2", 38),
            Scalar("wave_surface_bad_detects", "<u2", 40),
            Scalar("near_surface_sea_water_speed", "<u2", 42, 1000, 1e-3, invalid=65535),
            Scalar("near_surface_sea_water_velocity_to_direction", "<u2", 44, 100, 1e-2, invalid=65535),
            Scalar("device_error", "<u4", 46),
        ]
    elif id_ == _MOTION and size == 86 and record[5] == 0xCC:
        kind = "motion"
        names = [(f"accelerometer_{a}", 1 / 9.80665, 1e-4) for a in "xyz"]
        names += [(f"gyroscope_{a}", np.pi / 180, 1e-5) for a in "xyz"]
        names += [(f"magnetometer_{a}", 0.01, 1e-4) for a in "xyz"]
        names += [(f"rotation_matrix_{row}{column}", 1.0, 1e-6) for row in (1, 2, 3) for column in (1, 2, 3)]
        scalars = [
            Scalar(name, "<f4", 6 + 4 * i, divisor, resolution, rounded=True)
            for i, (name, divisor, resolution) in enumerate(names)
        ]
    else:
        raise _Misfit("unknown", f"a record of type {id_:02X}, which is not decoded")
    return Plan(kind, size, tuple(scalars), tuple(blocks), cells, clock)


_CLOCKLESS = (_VECTOR, _MOTION, _WAVE, _SUV, _DIAGNOSTICS_HEADER)


class ClassicSettings(DriverSettings):
    """Settings of `nortek_classic`."""

    coordinates: Literal["auto", "beam", "instrument", "earth"] = "auto"
    """What axes the velocities have: `auto` goes by the user configuration, where the stream has one."""


class Classic(Driver):
    """Reads classic records; asks for a sample with `AD` where it is polled."""

    manufacturer: ClassVar[str] = "Nortek"
    models: ClassVar[tuple[str, ...]] = (
        "Aquadopp",
        "Aquadopp DW",
        "Aquadopp Profiler",
        "HR Aquadopp Profiler",
        "AWAC",
        "Vector",
    )
    title: ClassVar[str] = "Nortek Aquadopp, AWAC, Vector: classic binary records"
    Settings: ClassVar[type[DriverSettings]] = ClassicSettings
    lines: ClassVar[tuple[str, ...]] = ("9600 8N1", "115200 8N1", "57600 8N1", "38400 8N1", "19200 8N1")
    commands: ClassVar[Mapping[str, str]] = {
        "K1W%!Q": "soft break, after @@@@@@ and a pause of 0.1 s: wakes it, or asks whether to end measuring",
        "MC": "confirms a break: ends measuring",
        "AD": "measures once and gives the record (what a poll sends)",
        "ST": "starts measuring without recorder",
        "RC": "reads the clock",
        "BV": "reads the battery's voltage",
        "ID": "reads the serial number",
        "GP": "reads the hardware configuration",
        "GH": "reads the head configuration",
        "GC": "reads the user configuration",
    }
    calibration: ClassVar[str] = (
        "The matrix from beams to the instrument's axes is in the head configuration (GH, or the head of a recorder's "
        "file) and goes into the description."
    )
    problems: ClassVar[Mapping[str, str]] = {
        "checksum": "a record was damaged on the line or on disk: check cable, length and baud rate",
        "noise": "bytes that belong to no record: wrong baud rate, another format of output, a damaged type or size",
        "truncated": "the stream ended inside a record: the file was cut off",
        "syntax": "the checksum holds, and the record's size fits no number of cells",
        "unknown": "a type of record that is not decoded; it stays in the raw log",
        "implausible": "a value that cannot be in the sea, or a clock that shows no time; it was left out",
    }

    def __init__(self, instrument: str, settings: DriverSettings | None = None) -> None:
        super().__init__(instrument, settings)
        assert isinstance(self.settings, ClassicSettings)
        self._coordinates = "" if self.settings.coordinates == "auto" else self.settings.coordinates
        self._framer = Framer(find, "no Nortek record: check baud rate and output format")
        self._configuration = _Configuration()
        self._plans: dict[Any, Plan | _Misfit] = {}
        self._last: tuple[int, int] = (NAT, 0)  # the last record with a clock that others count from; how many since

    def schemas(self) -> Sequence[Schema]:
        """The schemas of the records met so far; they are known only from the records."""
        return tuple({p.schema.id: p.schema for p in self._plans.values() if isinstance(p, Plan)}.values())

    def description(self) -> Mapping[str, Any]:
        """From the configurations: model, serial, firmware, frequency, coordinates, how the tilt
        sensor is mounted, and the matrix
        `beam_to_instrument` (rows X, Y, Z)."""
        return {"manufacturer": self.manufacturer, **self._configuration.told}

    def poll(self) -> bytes:
        """`AD`: acquire data."""
        return b"AD"

    def feed(self, data: bytes, at: Arrival) -> list[Decoded]:
        """See `Driver.feed`. Records of one kind become one Frame."""
        decoded: list[Decoded] = []
        for start in range(0, len(data), _PIECE):
            found = self._framer.feed(data[start : start + _PIECE], at)
            if found is not None:
                decoded += self._decoded(*found)
        return decoded

    def finish(self) -> list[Decoded]:
        """See `Driver.finish`. A record that was cut off is reported as `truncated`."""
        decoded = self._decoded(*self._framer.finish())
        self._last, self._configuration = (NAT, 0), _Configuration(told=self._configuration.told)
        return decoded

    def _decoded(self, good: Records, problems: list[Problem]) -> list[Decoded]:
        buffer, framer = self._framer.buffer, self._framer
        problems = [p for p in problems if not (p.kind == "noise" and p.size <= 64 and _ANSWER.fullmatch(p.data))]
        groups: dict[int, Group] = {}
        if len(self._plans) > 1024:
            self._plans.clear()
        for start, size in zip(good.starts, good.sizes, strict=True):
            id_ = buffer[start + 1]
            if id_ in (_USER, _HEAD, _HARDWARE):
                self._configuration.hear(id_, buffer[start : start + size])
                self._plans.clear()
                continue
            shape = b""
            if id_ in (_AWAC, _PROFILER, _HR) and size > 36:
                shape = bytes((buffer[start + 25] & 1,)) + (buffer[start + 34 : start + 36] if id_ == _HR else b"")
            elif id_ == _MOTION:
                shape = buffer[start + 5 : start + 6]
            key = (id_, size, shape)
            plan = self._plans.get(key)
            if plan is None:
                try:
                    axes = self._coordinates or self._configuration.coordinates
                    plan = _plan(buffer[start : start + size], self._configuration, axes)
                except _Misfit as misfit:
                    plan = misfit
                self._plans[key] = plan
            if isinstance(plan, _Misfit):
                offset = start + framer.base
                data = buffer[start : start + size]
                problems.append(problem(plan.kind, str(plan), offset, data, framer.arrival(offset)))
                continue
            clockless = id_ in _CLOCKLESS
            group = groups.setdefault(id(plan), Group(plan, [], [] if clockless else None))
            group.starts.append(start)
            if clockless or id_ in (_SYSTEM, _WAVE_HEADER):
                time_ns = self._count(id_, plan, buffer[start : start + size])
                if group.times is not None:
                    group.times.append(time_ns)
        problems.sort(key=lambda p: p.offset)
        decoded = frames(self.instrument, framer, list(groups.values()), problems)
        framer.forget()
        return decoded

    def _count(self, id_: int, plan: Plan, record: bytes) -> int:
        """The time of a record without a clock, NAT where it is not known."""
        if id_ == _DIAGNOSTICS_HEADER:
            return int(plan.clock(np.frombuffer(record, plan.dtype))[0])
        if id_ in (_SYSTEM, _WAVE_HEADER):
            self._last = (int(plan.clock(np.frombuffer(record, plan.dtype))[0]), 0)
        elif id_ in _CLOCKLESS:
            wave = id_ in (_WAVE, _SUV)
            step_ns = self._configuration.wave_interval_ns if wave else self._configuration.interval_ns
            since, count = self._last
            if id_ != _MOTION:
                self._last = (since, count + 1)
            # A system record comes every second: after three without one it is not known any more.
            if since != NAT and step_ns and (wave or count * step_ns < 3_000_000_000):
                return since + (count - (id_ == _MOTION and count > 0)) * step_ns
        return NAT
