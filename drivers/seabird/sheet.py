"""Calibration files that Sea-Bird ships or writes, which `calibration_file` of the settings may name, and coefficients
that stand in the settings themselves.

.xmlcon       Seasave's and SBE Data Processing's configuration; it also says what stands in a scan
.xml, .cap    the reply to GetCC, as captured from the instrument, or the header of an uploaded file
.cal, .txt    lines `TA0 = 1.2e-03`, as Sea-Bird sends them on disc, or the captured reply to DC
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated
from xml.etree import ElementTree

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, ValidationInfo

from drivers.seabird.calibration import COEFFICIENTS, canonical
from drivers.seabird.told import Told
from tidegate.settings import PATH_SCHEMA, file_path

_SENSORS = {
    "TemperatureSensor": "temperature",
    "ConductivitySensor": "conductivity",
    "PressureSensor": "pressure",
    "OxygenSensor": "oxygen",
}
_OPTICAL_OXYGEN = "72"
_LONGEST = 1 << 20


@dataclass(frozen=True)
class Sheet:
    """What a calibration file says: `coefficients` by the names of `COEFFICIENTS`, and of a .xmlcon the settings of
    the scan (`ExternalVoltageChannels`, `NmeaPositionDataAdded` …) as they stand there."""

    path: Path
    coefficients: Mapping[str, float]
    scan: Mapping[str, str] = field(default_factory=dict)
    quartz: bool = False


def read_sheet(path: Path) -> Sheet:
    """Reads a calibration file. Raises ValueError, whose message says what is wrong with it and what to do."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); name a file that this user may read") from None
    if len(data) > _LONGEST:
        raise ValueError(f"{path} has {len(data)} bytes; a calibration file has a few thousand")
    if b"<SBE_InstrumentConfiguration" in data:
        sheet = _xmlcon(path, data)
    else:
        told = Told()
        for line in data.splitlines():
            told.take(line.strip())
        sheet = Sheet(path, dict(told.coefficients))
    if not sheet.coefficients:
        raise ValueError(
            f"{path} has no calibration coefficients that can be read: give a .xmlcon, the captured reply to "
            "GetCC or DC, or lines such as TA0 = 1.2e-03 (SBE Data Processing saves an old .con as .xmlcon)"
        )
    return sheet


def _xmlcon(path: Path, data: bytes) -> Sheet:
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise ValueError(f"{path} declares entities, as no .xmlcon of Sea-Bird's does")
    try:
        root = ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        raise ValueError(f"{path} is no well-formed XML ({error}); save the .xmlcon again") from None
    coefficients: dict[str, float] = {}
    quartz = False
    seen: set[str] = set()
    for element in root.iter():
        sensor = _SENSORS.get(element.tag)
        if sensor is None or sensor in seen:
            continue
        if sensor == "oxygen" and element.get("SensorID") != _OPTICAL_OXYGEN:
            continue
        seen.add(sensor)
        for leaf in _leaves(element):
            name = canonical(leaf.tag.upper(), sensor)
            if name in COEFFICIENTS:
                coefficients[name] = _number(path, leaf)
        quartz = quartz or (sensor == "pressure" and "PC1" in coefficients)
    instrument = root.find("Instrument")
    scan = {} if instrument is None else {e.tag: (e.text or "").strip() for e in instrument if not len(e)}
    return Sheet(path, coefficients, scan, quartz)


def _leaves(sensor: ElementTree.Element) -> list[ElementTree.Element]:
    """The elements with numbers; of conductivity coefficients those of the equation in use, G to J."""
    leaves = []
    for element in sensor:
        if element.tag == "Coefficients":
            leaves += list(element) if element.get("equation") == "1" else []
        elif not len(element):
            leaves.append(element)
    return leaves


def _number(path: Path, leaf: ElementTree.Element) -> float:
    text = (leaf.text or "").strip()
    if not re.fullmatch(r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?", text):
        raise ValueError(f"{path}: {leaf.tag} reads {text[:40]!r}, which is no number; compare with the sheet")
    return float(text)


def _sheet(value: object, info: ValidationInfo) -> Sheet:
    return value if isinstance(value, Sheet) else read_sheet(file_path(value, info))


CalibrationFile = Annotated[
    Sheet, BeforeValidator(_sheet), PlainSerializer(lambda sheet: str(sheet.path), return_type=str), PATH_SCHEMA
]
"""A setting that names a calibration file; its value is what the file says."""


def _known(coefficients: dict[str, float]) -> dict[str, float]:
    known = {canonical(name.upper(), ""): value for name, value in coefficients.items()}
    odd = sorted(set(known) - COEFFICIENTS)
    if odd:
        raise ValueError(f"no coefficient is called {', '.join(odd)}; there are {', '.join(sorted(COEFFICIENTS))}")
    return known


Coefficients = Annotated[dict[str, float], AfterValidator(_known)]
"""A setting that gives calibration coefficients; its names become those of `COEFFICIENTS`."""
