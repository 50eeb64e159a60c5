"""Units that instruments give their values in, and how each becomes the vocabulary's.

Every conversion is linear: `value * factor + offset`. A register map or a pattern names the unit of a value as the
manual prints it; a unit that measures something else than the parameter is a mistake, seen when the settings are read.
"""

import math

# By what is measured: each unit's factor to the first of its kind, and offset where zero differs.
_KINDS: dict[str, dict[str, tuple[float, float]]] = {
    "length": {"m": (1, 0), "cm": (0.01, 0), "mm": (0.001, 0), "ft": (0.3048, 0), "in": (0.0254, 0)},
    "pressure": {
        "dbar": (1, 0),
        "bar": (10, 0),
        "mbar": (0.01, 0),
        "hPa": (0.01, 0),
        "kPa": (0.1, 0),
        "Pa": (1e-4, 0),
        "MPa": (100, 0),
        "psi": (0.6894757293168361, 0),
    },
    "temperature": {"degC": (1, 0), "K": (1, -273.15), "degF": (5 / 9, -160 / 9)},
    "conductivity": {
        "S m-1": (1, 0),
        "S/m": (1, 0),
        "mS cm-1": (0.1, 0),
        "mS/cm": (0.1, 0),
        "uS cm-1": (1e-4, 0),
        "uS/cm": (1e-4, 0),
    },
    "speed": {
        "m s-1": (1, 0),
        "m/s": (1, 0),
        "cm s-1": (0.01, 0),
        "cm/s": (0.01, 0),
        "km/h": (1 / 3.6, 0),
        "kn": (1852 / 3600, 0),
        "m/min": (1 / 60, 0),
    },
    "salinity": {"1e-3": (1, 0), "PSU": (1, 0)},
    "oxygen by volume": {"mL L-1": (1, 0), "ml/l": (1, 0)},
    "mass concentration": {
        "mg L-1": (1, 0),
        "mg/l": (1, 0),
        "mg/L": (1, 0),
        "ug/L": (1e-3, 0),
    },
    "amount concentration": {"umol L-1": (1, 0), "umol/l": (1, 0), "uM": (1, 0)},
    "pigment concentration": {"ug L-1": (1, 0), "ug/l": (1, 0), "ug/L": (1, 0), "mg m-3": (1, 0)},
    "photon flux": {"umol m-2 s-1": (1, 0), "uE m-2 s-1": (1, 0)},
    "number": {"1": (1, 0), "NTU": (1, 0), "FNU": (1, 0), "pH": (1, 0)},
    "share": {"percent": (1, 0), "%": (1, 0)},
    "angle": {"degree": (1, 0), "rad": (180 / math.pi, 0)},
    "voltage": {"V": (1, 0), "mV": (1e-3, 0)},
    "current": {"mA": (1, 0), "A": (1e3, 0)},
    "rate": {"mm h-1": (1, 0), "mm/h": (1, 0)},
}


def alike(unit: str) -> dict[str, tuple[float, float]]:
    """The units that measure what `unit` measures."""
    return next((units for units in _KINDS.values() if unit in units), {unit: (1.0, 0.0)})


def conversion(unit: str, target: str) -> tuple[float, float] | None:
    """(factor, offset) that bring a value from `unit` to `target`, None where they measure different things."""
    units = alike(target)
    if unit not in units:
        return None
    (factor, offset), (target_factor, target_offset) = units[unit], units[target]
    return factor / target_factor, (offset - target_offset) / target_factor
