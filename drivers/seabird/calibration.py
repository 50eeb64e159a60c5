"""How the counts of Sea-Bird's sensors become temperature, conductivity and pressure, by the calibration coefficients.

All functions are pure, over arrays. Coefficients go by the names of the calibration sheets, `TA0` … `PTEMPA2`. Sources:
Sea-Bird application notes 14 (conductivity), 27 (pressure) and 31 (slope and offset); the SBE 63 manual; the SBE 37's
and SBE 16plus's calibration sheets.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from drivers.columns import Floats
from tidegate.clock import TimeSource
from tidegate.frame import Schema, Times
from tidegate.vocabulary import parameter

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
_OF_QUARTZ = ("PC1", "PC2", "PC3", "PD1", "PD2", "PT1", "PT2", "PT3", "PT4")
_OF_OXYGEN = (
    *("OXA0", "OXA1", "OXA2", "OXB0", "OXB1", "OXC0", "OXC1", "OXC2", "OXE"),
    *("OXTA0", "OXTA1", "OXTA2", "OXTA3"),
)
NEEDED = {
    "temperature": _OF_TEMPERATURE,
    "conductivity": _OF_CONDUCTIVITY,
    "pressure": _OF_PRESSURE,
    "quartz": _OF_QUARTZ,
    "oxygen": _OF_OXYGEN,
}
"""The coefficients without which a sensor's counts cannot become numbers."""
COEFFICIENTS = frozenset(
    {
        *(name for names in NEEDED.values() for name in names),
        *("TOFFSET", "TSLOPE", "WBOTC", "CSLOPE", "COFFSET", "POFFSET", "PSLOPE", "PRANGE"),
        *("PT5", "AD590M", "AD590B"),
    }
)


def canonical(name: str, sensor: str) -> str:
    """A coefficient's name as the calibration sheets have it; `sensor` is that of the XML element around it."""
    if sensor == "oxygen":
        return name if name.startswith("OX") else "OX" + {"PCOR": "E"}.get(name, name)
    if re.fullmatch(r"A[0-3]", name) and sensor in ("", "temperature"):
        return "T" + name
    if re.fullmatch(r"C[GHIJ]", name):
        return name[1]
    if re.fullmatch(r"[CDT][1-5]", name) and sensor == "pressure":
        return "P" + name
    if name in ("SLOPE", "OFFSET") and sensor:
        return sensor[0].upper() + name
    return {"PCOR": "CPCOR", "TCOR": "CTCOR"}.get(name, name)


def lacking(coefficients: Mapping[str, float], *, pressure: bool, more: Sequence[str] = ()) -> list[str]:
    """The coefficients without which a scan of temperature, conductivity and a strain gauge cannot become numbers."""
    return lacking_of(coefficients, ("temperature", "conductivity", *(("pressure",) if pressure else ())), more)


def lacking_of(coefficients: Mapping[str, float], sensors: Sequence[str], more: Sequence[str] = ()) -> list[str]:
    """The coefficients that these sensors (of `NEEDED`) need and that are not given; a sensor whose coefficients are
    all 0, as the factory's memory holds before the calibration, has none."""
    absent: list[str] = []
    for sensor in sensors:
        names = [name for name in NEEDED[sensor] if name not in ("CPCOR", "CTCOR", "OXE")]
        unset = not any(coefficients.get(name) for name in names)
        absent += [name for name in NEEDED[sensor] if unset or name not in coefficients]
    return [*absent, *(name for name in more if name not in coefficients)]


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
    t = 1.0 / (k["TA0"] + x * (k["TA1"] + x * (k["TA2"] + x * k["TA3"]))) - 273.15
    result: Floats = t * k.get("TSLOPE", 1.0) + k.get("TOFFSET", 0.0)
    return result


def conductivity_s_m(khz: Floats, temperature: Floats, pressure_dbar: Floats, k: Mapping[str, float]) -> Floats:
    """Conductivity from the cell's frequency in kHz (application note 14); NaN where the temperature or pressure by
    which it is corrected is impossible."""
    f2 = khz * khz
    cell = k["G"] + f2 * (k["H"] + khz * k["I"] + f2 * k["J"])
    c: Floats = cell / (1.0 + k["CTCOR"] * temperature + k["CPCOR"] * pressure_dbar)
    c = c * k.get("CSLOPE", 1.0) + k.get("COFFSET", 0.0)
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
    return _dbar(psia, k), pt


def quartz_pressure_dbar(hz: Floats, compensation: Floats, k: Mapping[str, float]) -> tuple[Floats, Floats]:
    """(pressure less the air's, temperature of the sensor) of a Paroscientific Digiquartz in a SeaCAT.

    `compensation` is in counts of 12 bits, 0 to 4095 for 0 to 5 V. The equation and the names of its coefficients are
    those of Paroscientific's calibration sheet; AD590M and AD590B, where not given, are the SeaCATs' own.
    """
    u = compensation * k.get("AD590M", 0.028927) + k.get("AD590B", -41.1733)
    c = k["PC1"] + u * (k["PC2"] + u * k["PC3"])
    d = k["PD1"] + u * k["PD2"]
    t0 = k["PT1"] + u * (k["PT2"] + u * (k["PT3"] + u * (k["PT4"] + u * k.get("PT5", 0.0))))
    share = 1.0 - (t0 * hz * 1e-6) ** 2
    return _dbar(c * share * (1.0 - d * share), k), u


def _dbar(psia: Floats, k: Mapping[str, float]) -> Floats:
    return (psia - AIR_PSI) * DBAR_PER_PSI * k.get("PSLOPE", 1.0) + k.get("POFFSET", 0.0)


PHASE_US_PER_V = 39.457071
_OXYGEN_B = (-6.24523e-3, -7.37614e-3, -1.0341e-2, -8.17083e-3)
_OXYGEN_C0 = -4.88682e-7


def oxygen_temperature_c(volts: Floats, k: Mapping[str, float]) -> Floats:
    """Temperature of an SBE 63's own thermistor from its voltage."""
    x = np.log(100_000.0 * volts / (3.3 - volts))
    t: Floats = 1.0 / (k["OXTA0"] + x * (k["OXTA1"] + x * (k["OXTA2"] + x * k["OXTA3"]))) - 273.15
    return t


def oxygen_ml_l(
    phase_us: Floats, temperature: Floats, pressure: Floats, salinity: Floats, k: Mapping[str, float]
) -> Floats:
    """Oxygen of an SBE 63 (SBE 63 manual rev. 005, appendix I): its phase delay and its own temperature, corrected for
    the pressure (dbar) and the practical salinity of the CTD (Garcia and Gordon 1992)."""
    v = phase_us / PHASE_US_PER_V
    stern_volmer = (k["OXA0"] + k["OXA1"] * temperature + k["OXA2"] * v * v) / (k["OXB0"] + k["OXB1"] * v) - 1.0
    ksv = k["OXC0"] + temperature * (k["OXC1"] + temperature * k["OXC2"])
    kelvin = temperature + 273.15
    ts = np.log((298.15 - temperature) / kelvin)
    b0, b1, b2, b3 = _OXYGEN_B
    salt = salinity * (b0 + ts * (b1 + ts * (b2 + ts * b3))) + _OXYGEN_C0 * salinity * salinity
    oxygen: Floats = stern_volmer / ksv * np.exp(salt + k["OXE"] * pressure / kelvin)
    return oxygen


_SALINITY_A = (0.0080, -0.1692, 25.3851, 14.0941, -7.0261, 2.7081)
_SALINITY_B = (0.0005, -0.0056, -0.0066, -0.0375, 0.0636, -0.0144)


def practical_salinity(conductivity: Floats, temperature: Floats, pressure: Floats) -> Floats:
    """PSS-78 (UNESCO technical paper 44) from S/m, ITS-90 °C and dbar; by it oxygen is corrected. 0 in water that
    conducts nothing."""
    t = 1.00024 * temperature
    ratio = np.maximum(conductivity, 0.0) / 4.2914
    of_temperature = 0.6766097 + t * (2.00564e-2 + t * (1.104259e-4 + t * (-6.9698e-7 + t * 1.0031e-9)))
    of_pressure = 1.0 + pressure * (2.070e-5 + pressure * (-6.370e-10 + pressure * 3.989e-15)) / (
        1.0 + t * (3.426e-2 + t * 4.464e-4) + ratio * (4.215e-1 - 3.107e-3 * t)
    )
    root = np.sqrt(ratio / (of_pressure * of_temperature))
    a = sum(k * root**n for n, k in enumerate(_SALINITY_A))
    b = sum(k * root**n for n, k in enumerate(_SALINITY_B))
    s: Floats = a + b * (t - 15.0) / (1.0 + 0.0162 * (t - 15.0))
    return np.where(s > 0.0, s, np.where(np.isnan(s), np.nan, 0.0))


class Scans(NamedTuple):
    """Decoded raw scans; `time` is None where they carry none, `columns` are not yet rounded. `lacking` says why one of
    them could not be converted, where that is so; it is missing then."""

    schema: Schema
    time: Times | None
    columns: dict[str, Floats]
    source: TimeSource = TimeSource.INSTRUMENT
    lacking: str = ""


class Unconvertible(Exception):
    """Raw scans that cannot become numbers; the message says what is lacking."""
