"""Reads the configuration text that an AD2CP instrument writes at the head of its files and answers `GETALL` with.

Each line is a command's name and its parameters, `GETBURST,NC=38,CY="BEAM",…`. What cannot be read is left out.
"""

import re
from collections.abc import Mapping
from typing import Any

_MODE = {"BURST": "adcp", "AVG": "adcp_average", "AVG1": "adcp_average", "BURST1": "adcp"}


def told(text: str) -> dict[str, Any]:
    """What a configuration text says: `model`, `serial`, `firmware`, `beams`, and for each measuring mode its
    coordinates, cells and transformation matrix (from beams to the instrument's X, Y, Z, rows first)."""
    lines: dict[str, list[dict[str, str]]] = {}
    for line in text.splitlines():
        name, _, rest = line.strip().partition(",")
        pairs = dict(re.findall(r'([A-Z0-9]+)=("[^"]*"|[^,]*)', rest))
        lines.setdefault(name, []).append({key: value.strip('"') for key, value in pairs.items()})
    out: dict[str, Any] = {}
    first = {name: entries[0] for name, entries in lines.items()}
    identity = first.get("ID", {})
    for key, name in (("STR", "model"), ("SN", "serial")):
        if identity.get(key):
            out[name] = identity[key]
    if first.get("GETHW", {}).get("FW"):
        out["firmware"] = first["GETHW"]["FW"]
    if first.get("GETINST", {}).get("ORIENT"):
        out["orientation_setting"] = first["GETINST"]["ORIENT"]
    if "DECL" in first.get("GETUSER", {}):
        out["declination_degree"] = _number(first["GETUSER"]["DECL"])
    beams = [
        {
            "beam": _number(beam.get("BEAM", "")),
            "slant_degree": _number(beam.get("THETA", "")),
            "azimuth_degree": _number(beam.get("PHI", "")),
            "frequency_khz": _number(beam.get("FREQ", "")),
        }
        for beam in lines.get("BEAMCFGLIST", [])
    ]
    if beams:
        out["beams"] = beams
        out["beam_angle_degree"] = beams[0]["slant_degree"]
    modes: dict[str, Any] = {}
    for mode, kind in _MODE.items():
        settings, matrix = first.get(f"GET{mode}", {}), _matrix(first.get(f"GETXF{mode}", {}))
        entry: dict[str, Any] = {}
        for key, name in (("NC", "cells"), ("CS", "cell_size_m"), ("BD", "blanking_m"), ("SR", "rate_hz")):
            if _number(settings.get(key, "")) is not None:
                entry[name] = _number(settings[key])
        if settings.get("CY"):
            entry["coordinates"] = {"ENU": "earth", "XYZ": "instrument", "BEAM": "beam"}.get(
                settings["CY"], settings["CY"]
            )
        if matrix:
            entry["beam_to_instrument"] = matrix
        if entry:
            modes.setdefault(kind, entry)
    if modes:
        out["modes"] = modes
    return out


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _matrix(settings: Mapping[str, str]) -> list[list[float]]:
    rows, columns = (int(_number(settings.get(key, "")) or 0) for key in ("ROWS", "COLS"))
    if not (1 <= rows <= 5 and 1 <= columns <= 5):
        return []
    values = [[_number(settings.get(f"M{r}{c}", "")) for c in range(1, columns + 1)] for r in range(1, rows + 1)]
    return [] if any(v is None for row in values for v in row) else [[v or 0.0 for v in row] for row in values]
