"""XDR sentences: which transducer gives which parameter; for `drivers.nmea.nmea0183`.

An XDR sentence is a list of groups of four fields, `type,value,unit,id`, as long as the maker likes. What a group
measures is in no standard: it is known by its id, of which those of Airmar weather stations, of Vaisala (talker WI;
WXT530 User's Guide, tables 19 and 20) and those that OpenCPN and Yacht Devices use are known here, and any other is
named in the setting `transducers`. Sentences of one list of transducers have one schema, which is made when the list
is first met.
"""

from collections.abc import Mapping
from typing import NamedTuple

from drivers.nmea.sentences import Rows
from drivers.nmea.types import Layout, Said, Type
from tidegate.vocabulary import parameter

IGNORE = "ignore"
XDR = int.from_bytes(b"XDR", "big")
_GROUP = 4

_BY_ID: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "C": {
        "air_temperature": ("AIR", "TEMPAIR", "AIRTEMP", "ENV_OUTAIR_T", "ENV_OUTSIDE_T"),
        "sea_water_temperature": ("WATER", "TEMPWATER", "WATERTEMP", "ENV_WATER_T"),
        "dew_point_temperature": ("DEWPOINT", "DEWP", "ENV_DEWPOINT_T"),
        "wind_chill_of_air_temperature": ("WCHT",),
        "heat_index_of_air_temperature": ("HINX",),
    },
    "P": {"air_pressure": ("AIR", "BARO", "BAROMETER", "STNP", "ENV_ATMOS_P")},
    "H": {"relative_humidity": ("AIR", "HUMI", "RH", "HUMIDITY", "ENV_OUTSIDE_H", "ENV_OUTAIR_H")},
    "A": {
        "platform_pitch_fore_up": ("PTCH", "PITCH"),
        "platform_roll_starboard_down": ("ROLL",),
        "platform_orientation": ("HEADING", "HDGT"),
        "relative_wind_from_direction": ("WINDREL", "AWA"),
    },
    "D": {"platform_heave_up": ("HEAVE",), "depth": ("DEPTH",)},
    "S": {"relative_wind_speed": ("WINDREL", "AWS")},
}
_VAISALA = {
    "A": ("wind_from_direction_minimum", "wind_from_direction", "wind_from_direction_maximum"),
    "S": ("wind_speed_minimum", "wind_speed", "wind_speed_of_gust"),
    "P": ("air_pressure",),
    "C": ("air_temperature", "internal_temperature", "heating_temperature"),
    "H": ("relative_humidity",),
    "V": ("thickness_of_rainfall_amount", "hail_amount"),
    "Z": ("duration_of_rainfall", "duration_of_hail"),
    "R": ("rainfall_rate", "hail_rate", "rainfall_rate_maximum", "hail_rate_maximum"),
    "U": ("supply_voltage", "heating_voltage", "reference_voltage"),
    "G": (IGNORE,) * 5,  # the information field, which holds text
}
_KNOWN = {
    **{("", kind, name): p for kind, table in _BY_ID.items() for p, names in table.items() for name in names},
    **{("WI", kind, str(i)): p for kind, names in _VAISALA.items() for i, p in enumerate(names)},
}

_UNITS: Mapping[tuple[str, str], Mapping[str, tuple[float, float]]] = {
    # (type, unit) of a transducer -> a parameter's unit: factor and what is added then
    ("C", "C"): {"degC": (1.0, 0.0)},
    ("C", "F"): {"degC": (5 / 9, -160 / 9)},
    ("C", "K"): {"degC": (1.0, -273.15)},
    ("A", "D"): {"degree": (1.0, 0.0)},
    ("D", "M"): {"m": (1.0, 0.0)},
    ("P", "B"): {"hPa": (1000.0, 0.0), "dbar": (10.0, 0.0)},
    ("P", "P"): {"hPa": (0.01, 0.0), "dbar": (1e-4, 0.0)},
    ("P", "H"): {"hPa": (1.0, 0.0), "dbar": (0.01, 0.0)},
    ("P", "I"): {"hPa": (33.863886, 0.0)},
    ("P", "M"): {"hPa": (1.3332239, 0.0)},
    ("H", "P"): {"percent": (1.0, 0.0)},
    ("S", "M"): {"m s-1": (1.0, 0.0)},
    ("S", "K"): {"m s-1": (1 / 3.6, 0.0)},
    ("S", "N"): {"m s-1": (1852 / 3600, 0.0)},
    ("S", "S"): {"m s-1": (0.44704, 0.0)},
    ("V", "M"): {"mm": (1.0, 0.0), "cm-2": (1.0, 0.0)},
    ("V", "I"): {"mm": (25.4, 0.0), "cm-2": (1 / 6.4516, 0.0)},
    ("Z", "S"): {"s": (1.0, 0.0)},
    ("R", "M"): {"mm h-1": (1.0, 0.0), "cm-2 h-1": (1.0, 0.0)},
    ("R", "I"): {"mm h-1": (25.4, 0.0), "cm-2 h-1": (1 / 6.4516, 0.0)},
    **{("U", state): {"V": (1.0, 0.0)} for state in "VNWF"},  # a heater's voltage says by its unit how it heats
    ("G", "P"): {"percent": (1.0, 0.0)},
}


class Found(NamedTuple):
    """The transducers of one list: how to read them, and what of them cannot be read (by name, with the remedy)."""

    kind: Type | None
    unknown: tuple[tuple[str, str], ...]


class Transducers:
    """What the transducers of a port measure; `named` is the setting."""

    def __init__(self, named: Mapping[str, str]) -> None:
        self._named = {name.upper(): value for name, value in named.items()}
        self._found: dict[bytes, Found] = {}

    def of(self, talker: bytes, fields: bytes) -> Found:
        """Those in the fields of a sentence, which are still joined by commas. What they say does not matter."""
        parts = fields.split(b",")
        parts[1::_GROUP] = [b""] * len(parts[1::_GROUP])
        key = talker + b",".join(parts)
        if key not in self._found:
            if len(self._found) > 256:
                self._found.clear()
            texts = [part.decode("latin-1").strip() for part in parts]
            self._found[key] = self._list(talker.decode("latin-1"), texts)
        return self._found[key]

    def _list(self, talker: str, texts: list[str]) -> Found:
        chosen: dict[str, tuple[int, float, float]] = {}
        unknown: list[tuple[str, str]] = []
        groups = len(texts) // _GROUP
        for group in range(groups):
            kind, _, unit, name = texts[_GROUP * group : _GROUP * group + _GROUP]
            if not (kind or unit or name):
                continue
            label = f"{kind},{unit},{name}"
            wanted = self._wanted(talker, kind.upper(), name.upper())
            if wanted == IGNORE:
                continue
            if wanted is None:
                remedy = f'name it: transducers = {{ "{name or kind}" = "air_temperature" }}, or "{IGNORE}"'
                unknown.append((label, f"the transducer {name!r} of type {kind} is not known; {remedy}"))
            elif (scale := _UNITS.get((kind.upper(), unit.upper()), {}).get(parameter(wanted).unit)) is None:
                message = f"the transducer {name!r} of type {kind} gives unit {unit!r}, which is not known for {wanted}"
                unknown.append((label, message))
            elif wanted in chosen:
                message = f"the transducer {name!r} of type {kind} is a second {wanted}; name it otherwise"
                unknown.append((label, message))
            else:
                chosen[wanted] = (_GROUP * group + 2, *scale)
        if not chosen:
            return Found(None, tuple(unknown))

        def read(rows: Rows) -> Said:
            return Said({name: rows.number(k) * factor + added for name, (k, factor, added) in chosen.items()})

        size = _GROUP * groups
        layout = Layout("transducers", *chosen, finest=1e-3)
        return Found(Type("XDR", (size, size), read, (layout,)), tuple(unknown))

    def _wanted(self, talker: str, kind: str, name: str) -> str | None:
        for key in (f"{kind}:{name}", name):
            if key in self._named:
                return self._named[key]
        return _KNOWN.get((talker, kind, name)) or _KNOWN.get(("", kind, name.partition("#")[0]))
