"""Uploaded scans of SeaFET V2 and SeapHOx V2 pH sensors: hexadecimal digits to voltages, and to pH by coefficients.

A scan is, high byte first: of a SeapHOx V2 the CTD's temperature counts 6, conductivity Hz * 256 6, pressure counts 6,
its thermistor 4, (oxygen phase us + 10) * 100000 6, (oxygen thermistor V + 1) * 1000000 6; then of all the
external electrode 6, of a shallow one the internal electrode 6 and the sensor's thermistor 6; counter electrode 6, two
leakage currents 6 each, humidity 3, temperature of the housing 3, seconds since 2000 8, error flags 4.

    54 digits  SeaFET V2        42  without internal electrode (deep)
    88 digits  SeapHOx V2       76  Deep SeapHOx V2

Voltages need no coefficients: 2.5 V * (counts / 2^23 - 1). pH is that of Sea-Bird's application note 99 with the
pressure term of the Argo manual for pH, version 1.3 (Johnson et al., doi 10.13155/57195): the coefficients are KDF0 and
KDF2 of the internal electrode, K0 and K2 (or K2F0 to K2F3) with F1 to F6 of the external one, TDFA0 to TDFA3 of the
thermistor, and the CTD's own. What lacks its coefficients is left out.

Source: Sea-Bird's open software (seabirdscientific), for the layout and for the numbers that this is checked against.
"""

from collections.abc import Mapping

import numpy as np

from drivers.columns import Floats
from drivers.seabird.calibration import (
    COEFFICIENTS,
    Octets,
    Scans,
    conductivity_s_m,
    lacking_of,
    oxygen_ml_l,
    oxygen_temperature_c,
    practical_salinity,
    pressure_dbar,
    seabird_time_ns,
    temperature_c,
    unsigned,
)
from tidegate.frame import Field, Schema

OCTETS = {27: "SeaFET V2", 21: "Deep SeaFET V2", 44: "SeapHOx V2", 38: "Deep SeapHOx V2"}
"""How many bytes a scan of each model has."""
OF_PH = frozenset(
    {*("KDF0", "KDF2", "K0", "K2", "K2F0", "K2F1", "K2F2", "K2F3"), *("F1", "F2", "F3", "F4", "F5", "F6")}
    | {"TDFA0", "TDFA1", "TDFA2", "TDFA3"}
)
KNOWN = OF_PH | COEFFICIENTS
"""The names of all coefficients that are used."""

_EXTERNAL, _INTERNAL = "sea_water_ph_reported_on_total_scale", "sea_water_ph_reported_on_total_scale_internal_electrode"
_GAS, _FARADAY = 8.3144621, 96485.365
_KELVIN = 273.15
_STEPS = {
    "external_ph_electrode_voltage": 1e-6,
    "internal_ph_electrode_voltage": 1e-6,
    "internal_relative_humidity": 0.1,
    "internal_temperature": 0.1,
    "sea_water_electrical_conductivity": 1e-6,
    "oxygen_phase_delay": 1e-5,
    "sea_water_pressure_due_to_sea_water": 1e-3,
    "temperature_of_pressure_sensor": 1e-3,
    "volume_fraction_of_oxygen_in_sea_water": 1e-3,
    "device_status": 1.0,
}


def electrode_volts(counts: Floats) -> Floats:
    """(n,) volts of (n,) counts of an electrode."""
    volts: Floats = 2.5 * (counts / 2**23 - 1.0)
    return volts


def internal_ph(volts: Floats, temperature: Floats, k: Mapping[str, float]) -> Floats:
    """pH on the total scale of the internal electrode, by its voltage and the temperature in degC."""
    result: Floats = (volts - k["KDF0"] - k["KDF2"] * temperature) / _nernst(temperature)
    return result


def external_ph(
    volts: Floats, temperature: Floats, salinity: Floats, pressure: Floats, k: Mapping[str, float]
) -> Floats:
    """pH on the total scale of the external electrode; temperature in degC, practical salinity, pressure in dbar."""
    t, s, bar = temperature, salinity, pressure / 10.0
    kelvin = t + _KELVIN
    # Pressure and temperature of the cell.
    of_pressure = sum((k.get(f"F{n}", 0.0) * pressure**n for n in range(1, 7)), np.zeros_like(pressure))
    if "K2F0" in k:
        k2 = sum((k.get(f"K2F{n}", 0.0) * pressure**n for n in range(4)), np.zeros_like(pressure))
    else:
        k2 = np.full_like(pressure, k["K2"])
    free = (volts - k["K0"] - k2 * t - of_pressure) / _nernst(t)
    # Chloride, sulphate and ionic strength (Dickson et al. 2007).
    chloride = 0.99889 / 35.453 * s / 1.80655 / (1.0 - 1.005e-3 * s)
    sulphate = 0.14 / 96.062 * s / 1.80655
    ionic = 19.924 * s / (1000.0 - 1.005 * s)
    root = np.sqrt(ionic)
    # The activity of HCl (Khoo et al. 1977), under pressure (Millero 1983, Johnson et al. 2017).
    debye = 3.4286e-6 * t**2 + 6.7524e-4 * t + 0.49172143
    log_activity = -debye * root / (1.0 + 1.394 * root) + (0.08885 - 1.11e-4 * t) * ionic
    volume_hcl = 17.85 + 0.1044 * t - 1.316e-3 * t**2
    log_activity = log_activity + volume_hcl * bar / (np.log(10.0) * _GAS * kelvin * 10.0) / 2.0
    # The dissociation of HSO4 (Dickson et al. 2007), under pressure (Millero 1982).
    log_k = -4276.1 / kelvin + 141.328 - 23.093 * np.log(kelvin)
    log_k = log_k + (-13856.0 / kelvin + 324.57 - 47.986 * np.log(kelvin)) * root
    log_k = log_k + (35474.0 / kelvin - 771.54 + 114.723 * np.log(kelvin)) * ionic
    log_k = log_k - 2698.0 / kelvin * ionic**1.5 + 1776.0 / kelvin * ionic**2
    volume = -18.03 + 0.0466 * t + 3.16e-4 * t**2
    compressibility = (-4.53 + 0.09 * t) / 1000.0
    log_k = log_k + (-volume * bar + 0.5 * compressibility * bar**2) / (_GAS * kelvin * 10.0)
    k_s = (1.0 - 1.005e-3 * s) * np.exp(log_k)
    result: Floats = (
        free + np.log10(chloride) + 2.0 * log_activity - np.log10(1.0 - 1.005e-3 * s) - np.log10(1.0 + sulphate / k_s)
    )
    return result


def _nernst(temperature: Floats) -> Floats:
    volts: Floats = _GAS * (temperature + _KELVIN) * np.log(10.0) / _FARADAY
    return volts


def convert(scans: Octets, k: Mapping[str, float], salinity: float) -> Scans:
    """Scans (n, octets) of one of `OCTETS`, by the coefficients `k`; a SeaFET has no CTD, so it hangs in water of this
    `salinity`, and its pressure is taken as 0."""
    octets = scans.shape[1]
    at = 17 if octets in (44, 38) else 0
    shallow = octets in (27, 44)

    def counts(first: int, size: int = 3) -> Floats:
        return unsigned(scans, first, size).astype(np.float64)

    columns: dict[str, Floats] = {}
    n = len(scans)
    water: Floats | None = None
    practical, pressure = np.full(n, salinity), np.zeros(n)
    with np.errstate(all="ignore"):  # damaged counts give what is no number, which is then refused
        if at:
            columns |= _ctd(scans, k)
            water = columns.get("sea_water_temperature")
            lacks_ctd = "sea_water_electrical_conductivity" not in columns
            if not lacks_ctd and water is not None:
                pressure = columns["sea_water_pressure_due_to_sea_water"]
                practical = practical_salinity(columns["sea_water_electrical_conductivity"], water, pressure)
        else:
            lacks_ctd = False
        columns["external_ph_electrode_voltage"] = external = electrode_volts(counts(at))
        if shallow:
            columns["internal_ph_electrode_voltage"] = internal = electrode_volts(counts(at + 3))
            if all(name in k for name in ("TDFA0", "TDFA1", "TDFA2", "TDFA3")):
                x = np.log(counts(at + 6))
                kelvin = 1.0 / (k["TDFA0"] + x * (k["TDFA1"] + x * (k["TDFA2"] + x * k["TDFA3"])))
                columns["temperature_of_ph_sensor"] = kelvin - _KELVIN
            water = water if water is not None else columns.get("temperature_of_ph_sensor")
            if water is not None and "KDF0" in k and "KDF2" in k:
                columns[_INTERNAL] = internal_ph(internal, water, k)
        if water is not None and not lacks_ctd and "K0" in k and ("K2" in k or "K2F0" in k):
            columns[_EXTERNAL] = external_ph(external, water, practical, pressure, k)
        at += 18 if shallow else 12
        both = unsigned(scans, at, 3)  # humidity and temperature, three digits each, of 16 bits the higher twelve
        housing: Floats = (both & 0xFFF).astype(np.float64) / 4096.0 * 175.72 - 46.85
        humidity: Floats = (both >> 12).astype(np.float64) / 4096.0 * 125.0 - 6.0
        # The sensor's own compensation to 25 degC, where it is in range.
        warm = (humidity >= 0.0) & (humidity < 119.0)
        humidity -= np.where(warm, 0.15 * (25.0 - housing), 0.0)
        columns["internal_relative_humidity"] = humidity
        columns["internal_temperature"] = housing
        columns["device_status"] = counts(at + 7, 2)
    schema = Schema("ph_sensor", tuple(Field.of(name, resolution=_STEPS.get(name, 1e-4)) for name in columns))
    return Scans(schema, seabird_time_ns(unsigned(scans, at + 3, 4)), columns)


def _ctd(scans: Octets, k: Mapping[str, float]) -> dict[str, Floats]:
    """The columns of a SeapHOx's CTD and oxygen sensor, as far as there are coefficients."""
    counts = [unsigned(scans, at, 3).astype(np.float64) for at in (0, 3, 6, 11, 14)]
    phase, volts = counts[3] / 1e5 - 10.0, counts[4] / 1e6 - 1.0
    columns: dict[str, Floats] = {"oxygen_phase_delay": phase}
    if lacking_of(k, ("temperature",)):
        return columns
    columns["sea_water_temperature"] = t = temperature_c(np.log(counts[0]), k)
    if lacking_of(k, ("conductivity", "pressure"), more=("WBOTC",)):
        return columns
    p, pt = pressure_dbar(counts[2], unsigned(scans, 9, 2).astype(np.float64), k)
    khz = counts[1] / 256.0 * np.sqrt(1.0 + k["WBOTC"] * t) / 1000.0
    c = conductivity_s_m(khz, t, p, k)
    columns |= {
        "sea_water_pressure_due_to_sea_water": p,
        "temperature_of_pressure_sensor": pt,
        "sea_water_electrical_conductivity": c,
    }
    if not lacking_of(k, ("oxygen",)):
        ot = oxygen_temperature_c(volts, k)
        columns["temperature_of_sensor_for_oxygen_in_sea_water"] = ot
        columns["volume_fraction_of_oxygen_in_sea_water"] = oxygen_ml_l(phase, ot, p, practical_salinity(c, t, p), k)
    return columns
