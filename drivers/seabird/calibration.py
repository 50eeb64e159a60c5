"""How the counts of Sea-Bird's sensors become temperature, conductivity and pressure, by the calibration coefficients.

All functions are pure, over arrays. Coefficients go by the names of the calibration sheets, `TA0` … `PTEMPA2`. Sources:
Sea-Bird application notes 14 (conductivity), 27 (pressure) and 31 (slope and offset); the SBE 37's and SBE 16plus's
calibration sheets.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tidegate.frame import Schema, Times
from tidegate.vocabulary import parameter

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Octets = npt.NDArray[np.uint8]

SEABIRD_EPOCH_S = 946_684_800
"""2000-01-01 in Unix time: Sea-Bird counts seconds from here."""
DBAR_PER_PSI = 0.689476
AIR_PSI = 14.7
"""What Sea-Bird takes off an absolute pressure."""


_OF_TEMPERATURE = ("TA0", "TA1", "TA2", "TA3")
_OF_CONDUCTIVITY = ("G", "H", "I", "J", "CPCOR", "CTCOR")
_OF_PRESSURE = (
    *("PA0", "PA1", "PA2", "PTCA0", "PTCA1", "PTCA2"),
    *("PTCB0", "PTCB1", "PTCB2", "PTEMPA0", "PTEMPA1", "PTEMPA2"),
)
COEFFICIENTS = frozenset(
    {*_OF_TEMPERATURE, "TOFFSET", *_OF_CONDUCTIVITY, "WBOTC", "CSLOPE", *_OF_PRESSURE, "POFFSET", "PRANGE"}
)


def canonical(name: str, sensor: str) -> str:
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
