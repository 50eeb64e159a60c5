"""What stands in Nortek's NMEA sentences: which field is which parameter, and numbers that mean that there is none.

Sources: see `drivers.nortek.telemetry`.
"""

import math
import re
from collections.abc import Iterable, Sequence

import numpy as np

from tidegate.frame import MISSING_INT, Column, Field, Missing, Reasons
from tidegate.vocabulary import parameter

_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?|[+-]?\.\d+")
_NOTHING = re.compile(r"-9+(?:\.(?:0*|9*))?")
_NOTHING_OF_ANGLES = re.compile(r"-99+(?:\.(?:0*|9*))?")
UNMEASURED_SPEED = 46.33

ECHO = "signal_intensity_from_multibeam_acoustic_doppler_velocity_sensor_in_sea_water"
CORRELATION = "beam_consistency_indicator_from_multibeam_acoustic_doppler_velocity_profiler_in_sea_water"
VELOCITIES = {
    "ENU": (
        "eastward_sea_water_velocity",
        "northward_sea_water_velocity",
        "upward_sea_water_velocity",
        "upward_sea_water_velocity_2",
    ),
    "XYZ": ("sea_water_x_velocity", "sea_water_y_velocity", "sea_water_z_velocity", "sea_water_z_velocity_2"),
    "BEAM": tuple(f"radial_sea_water_velocity_away_from_instrument_beam_{beam}" for beam in (1, 2, 3, 4)),
}
COORDINATES = {"0": "ENU", "1": "XYZ", "2": "BEAM", "ENU": "ENU", "XYZ": "XYZ", "BEAM": "BEAM"}
TAGS_OF_VELOCITY = {
    "ENU": ("VE", "VN", "VU", "VU2"),
    "XYZ": ("VX", "VY", "VZ", "VZ2"),
    "BEAM": ("V1", "V2", "V3", "V4"),
}

SENSORS: dict[str, tuple[str, float]] = {
    "BV": ("battery_voltage", 0.1),
    "SS": ("speed_of_sound_in_sea_water", 0.1),
    "H": ("platform_orientation", 0.1),
    "HSD": ("standard_deviation_of_heading", 0.01),
    "PI": ("platform_pitch_fore_up", 0.1),
    "PISD": ("standard_deviation_of_pitch", 0.01),
    "R": ("platform_roll_starboard_down", 0.1),
    "RSD": ("standard_deviation_of_roll", 0.01),
    "P": ("sea_water_pressure_due_to_sea_water", 0.001),
    "PSD": ("standard_deviation_of_sea_water_pressure", 0.01),
    "T": ("sea_water_temperature", 0.01),
    "EC": ("device_error", 1),
    "SC": ("device_status", 1),
    "AI1": ("auxiliary_counts_1", 1),
    "AI2": ("auxiliary_counts_2", 1),
}
SENSOR_TAGS = {
    "": ("DATE", "TIME", "EC", "SC", "BV", "SS", "H", "PI", "R", "P", "T", "AI1", "AI2"),
    "1": ("DATE", "TIME", "EC", "SC", "BV", "SS", "H", "HSD", "PI", "PISD", "R", "RSD", "P", "PSD", "T"),
    "4": ("BV", "SS", "H", "PI", "R", "P", "T"),
}
_WAVE_PERIOD = "sea_surface_wave_mean_period_from_variance_spectral_density_second_frequency_moment"
_PEAK = "variance_spectral_density_maximum"
WAVES = (
    ("wave_spectrum_basis", 1),
    ("wave_processing_method", 1),
    ("sea_surface_wave_significant_height", 0.01),
    ("sea_surface_wave_mean_height_of_highest_third", 0.01),
    ("sea_surface_wave_mean_height_of_highest_tenth", 0.01),
    ("sea_surface_wave_maximum_height", 0.01),
    (_WAVE_PERIOD, 0.01),
    (f"sea_surface_wave_period_at_{_PEAK}", 0.01),
    ("sea_surface_wave_mean_period", 0.01),
    (f"sea_surface_wave_from_direction_at_{_PEAK}", 0.01),
    (f"sea_surface_wave_directional_spread_at_{_PEAK}", 0.01),
    ("sea_surface_wave_from_direction", 0.01),
    ("sea_surface_wave_unidirectivity_index", 0.01),
    ("sea_water_pressure_due_to_sea_water", 0.01),
    ("wave_surface_no_detects", 1),
    ("wave_surface_bad_detects", 1),
    ("near_surface_sea_water_speed", 0.01),
    ("near_surface_sea_water_velocity_to_direction", 0.01),
    ("device_error", 1),
)
WAVE_BAND = (
    ("wave_spectrum_basis", 1),
    ("wave_processing_method", 1),
    ("sea_surface_wave_band_low_frequency", 0.01),
    ("sea_surface_wave_band_high_frequency", 0.01),
    ("sea_surface_wave_significant_height", 0.01),
    (_WAVE_PERIOD, 0.01),
    (f"sea_surface_wave_period_at_{_PEAK}", 0.01),
    (f"sea_surface_wave_from_direction_at_{_PEAK}", 0.01),
    (f"sea_surface_wave_directional_spread_at_{_PEAK}", 0.01),
    ("sea_surface_wave_from_direction", 0.01),
    ("device_error", 1),
)
SPECTRA = {
    "E": ("wave_spectrum", "sea_surface_wave_variance_spectral_density", 1e-3),
    "A1": ("wave_spectrum_a1", "sea_surface_wave_fourier_coefficient_a1", 1e-4),
    "B1": ("wave_spectrum_b1", "sea_surface_wave_fourier_coefficient_b1", 1e-4),
    "A2": ("wave_spectrum_a2", "sea_surface_wave_fourier_coefficient_a2", 1e-4),
    "B2": ("wave_spectrum_b2", "sea_surface_wave_fourier_coefficient_b2", 1e-4),
    "MD": ("wave_spectrum_direction", "sea_surface_wave_from_direction", 1e-4),
    "DS": ("wave_spectrum_spread", "sea_surface_wave_directional_spread", 1e-4),
}


class Broken(ValueError):
    """A sentence with a good checksum that breaks its grammar."""


def decimal(text: str) -> float:
    """A decimal number, NaN where the field is empty. Raises `Broken`."""
    if not text:
        return math.nan
    if not _NUMBER.fullmatch(text):
        raise Broken(f"{text[:20]!r} is no number")
    return float(text)


def whole_number(text: str, what: str, *, base: int = 10) -> int:
    try:
        if not text.isalnum():
            raise ValueError
        return int(text, base)
    except ValueError:
        raise Broken(f"{text[:20]!r} is no {what}") from None


def moment_ns(date: str, clock: str, *, year_first: bool) -> int:
    """UTC nanoseconds of a date (MMDDYY or YYMMDD) and `hhmmss[.s]`. Raises `Broken`."""
    found = re.fullmatch(r"(\d\d)(\d\d)(\d\d)", date), re.fullmatch(r"(\d\d)(\d\d)(\d\d)(\.\d{1,9})?", clock)
    if not found[0] or not found[1]:
        raise Broken(f"{date[:12]!r}, {clock[:20]!r} are no date and time")
    a, b, c = found[0].groups()
    year, month, day = (a, b, c) if year_first else (c, a, b)
    hour, minute, second, fraction = found[1].groups()
    try:
        seconds = np.datetime64(f"20{year}-{month}-{day}T{hour}:{minute}:{second}", "s").astype(np.int64)
    except ValueError:
        raise Broken(f"{date}, {clock[:20]} is no moment that there is") from None
    return int(seconds) * 1_000_000_000 + round(float(fraction or 0) * 1e9)


class Values:
    """The values of one sample, with the reasons of what is missing."""

    def __init__(self) -> None:
        self.fields: list[Field] = []
        self.columns: dict[str, Column] = {}
        self.reasons: dict[str, Reasons] = {}
        self.unreal: list[str] = []

    def add(self, name: str, resolution: float, numbers: Iterable[tuple[float, int]], *, profile: bool = False) -> None:
        """Takes (number, reason) pairs: one, or one a cell; numbers that cannot be are refused."""
        pairs = list(numbers)
        p = parameter(name)
        values = np.array([value for value, _ in pairs], np.float64)
        reasons = np.array([reason for _, reason in pairs], np.uint8)
        reasons[np.isnan(values) & (reasons == 0)] = Missing.NOT_GIVEN
        low, high = p.plausible
        unreal = (reasons == 0) & ((values < low) | (values > high))
        if unreal.any():
            reasons[unreal] = Missing.IMPLAUSIBLE
            self.unreal.append(name)
        absent = reasons != 0
        column: Column
        if p.integer:
            column = np.where(absent, MISSING_INT, np.where(absent, 0, values).astype(np.int64))
        else:
            column = np.where(absent, np.nan, values + 0.0)  # -0.00 is 0
        self.fields.append(Field.of(name, resolution=resolution, profile=profile))
        self.columns[name] = column[None] if profile else column
        if absent.any():
            self.reasons[name] = reasons[None] if profile else reasons


def judged(text: str, name: str) -> tuple[float, int]:
    """(number, reason it is missing or 0) of a field of parameter `name`."""
    value = decimal(text)
    if math.isnan(value):
        return value, Missing.NOT_GIVEN
    angle = name in ("platform_pitch_fore_up", "platform_roll_starboard_down", "sea_water_temperature")
    if (_NOTHING_OF_ANGLES if angle else _NOTHING).fullmatch(text) and name != "power_level":
        return math.nan, Missing.INVALID
    if parameter(name).integer and value != int(value):
        raise Broken(f"{text[:20]!r} is no whole number")
    return value, 0


def velocity(text: str) -> tuple[float, int]:
    value = decimal(text)
    unmeasured = value <= -32.76 or _NOTHING.fullmatch(text)
    return (math.nan, Missing.INVALID) if unmeasured else (value, 0)


def number_with_reason(text: str) -> tuple[float, int]:
    value = decimal(text)
    return (math.nan, Missing.INVALID) if _NOTHING.fullmatch(text) else (value, 0)


def cell_tags(variant: str, count: int, coordinates: str) -> tuple[str, ...]:
    """The fields of a cell sentence of `count` fields, in order: of three beams or of four."""
    head = ("DATE", "TIME", "CN") if variant == "" else ("DATE", "TIME", "CN", "CP")
    extra = ("SP", "DIR", "AU") if variant in ("", "V") else ()
    for beams in (4, 3):
        a, c = (tuple(f"{letter}{beam}" for beam in range(1, beams + 1)) for letter in "AC")
        tags = (*head, *TAGS_OF_VELOCITY[coordinates][:beams], *extra, *a, *c)
        if count == len(tags) or variant == "2":
            return tags
    raise Broken(f"a cell sentence of {count} fields")


def tagged(fields: list[str], order: Sequence[str]) -> dict[str, str]:
    """Fields by tag: as they are tagged, or in the order of the untagged form. Raises `Broken`."""
    if fields and "=" in fields[0]:
        pairs = [part.partition("=") for part in fields]
        tags = {tag.strip(): value.strip() for tag, _, value in pairs}
        if len(tags) != len(pairs):
            raise Broken("a tag came twice")
        known = {*order, *(tag for names in TAGS_OF_VELOCITY.values() for tag in names)}
        unknown, lacking = tags.keys() - known, {"DATE", "TIME", "CN", "NC"} & set(order) - tags.keys()
        if unknown or lacking:
            raise Broken(f"unknown tags {sorted(unknown)}, missing tags {sorted(lacking)}")
        if "CN" not in order and set(order) - tags.keys():
            raise Broken(f"missing tags {sorted(set(order) - tags.keys())}")
        return tags
    if len(fields) != len(order):
        raise Broken(f"{len(fields)} fields; there must be {len(order)}")
    return dict(zip(order, fields, strict=True))
