"""What a Sea-Bird instrument tells of itself: the header of an uploaded file (its lines begin with `*`), and the
replies to DS, GetSD, GetCD, GetCC and DC, in plain text or in XML.
"""

import re
from collections.abc import Mapping

from drivers.seabird.calibration import COEFFICIENTS, canonical
from drivers.seabird.text import CLOCK, clock_ns, day_ns

_TAG = re.compile(r"<(/?)([A-Za-z]\w*+)([^<>]*+)>([^<]*)")
_ATTRIBUTE = re.compile(r"\b(\w++)\s*+=\s*+['\"]([^'\"]*+)['\"]")
_COEFFICIENT = re.compile(r"\s*([A-Z][A-Z\d]{0,9})\s*=\s*([-+]?\d[-+.\deE]*)\s*")
_IDENTITY = re.compile(r"(SBE ?[\w-]+).* SERIAL NO\. *(\d+)")
_RANGE = re.compile(r"PressureRange *= *(\d+(?:\.\d+)?)|pressure S/N.* range = (\d+(?:\.\d+)?) psia")
_RECORDED = re.compile(r"SamplesRecorded *= *(\d{1,9})")
_REAL_TIME = re.compile(r"Real-Time Sample Interval = (\d+\.\d+) seconds")
_GNSS = re.compile(r"NMEA UTC \(Time\) = ([A-Z][a-z]{2}) +(\d\d?) (\d{4}) +(\d\d):(\d\d):(\d\d)")
_UPLOADED = re.compile(r"System UpLoad Time = ([A-Z][a-z]{2}) +(\d\d?) (\d{4}) (\d\d):(\d\d):(\d\d)")
_STATES = frozenset(
    {
        *(
            "mode",
            "Store Lat/Lon Data",
            "pressure sensor",
            "SBE 38",
            "WETLABS",
            "OPTODE",
            "SBE63",
            "Gas Tension Device",
        ),
        *(f"Ext Volt {n}" for n in range(6)),
    }
)
_CAST = re.compile(r"cast\s+\d+ (\d\d [A-Z][a-z]{2} \d{4}) (\d\d:\d\d:\d\d) samples (\d+) to (\d+), avg = (\d+)")


class Told:
    """What the instrument (or the header of its file) said of itself, line by line."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self.device = ""
        self.serial = ""
        self.coefficients: dict[str, float] = {}
        self.configuration: dict[str, str] = {}
        """The last complete reply to GetCD."""
        self.states: dict[str, str] = {}
        """`Ext Volt 0` → `yes` and the like, from a reply to DS."""
        self.uploaded_ns: int | None = None
        self.casts: list[tuple[int, int]] = []
        """(time of the first scan, nanoseconds between scans) of each cast that the header of a file lists."""
        self.gnss_ns: int | None = None
        """When a file that Seasave wrote begins, by the GNSS receiver on board."""
        self.step_ns: int | None = None
        """Time between the scans of such a file."""
        self.recorded: int | None = None
        """How many samples the head of a telemetered block promises."""
        self.sensors: dict[str, str] = {}
        """`Main Pressure` → `strain-0` and the like, from the hardware."""
        self._hardware: str | None = None
        self._sensor: str | None = None
        self._configuration: dict[str, str] | None = None

    def take(self, line: bytes) -> None:
        """Learns what there is to learn from one line of conversation."""
        text = line.decode("ascii", "replace")
        header = text.startswith("*")
        if header:
            text = text[1:].strip()
            if text.startswith("Sea-Bird"):
                self._forget()
                if name := re.match(r"Sea-Bird (SBE ?[\w-]+)", text):
                    self.device = name[1]
        elif text.startswith("#"):
            text = text[1:].strip()
            if text == "MCAT Status":
                self._forget()
        if "<" in text:
            for tag in _TAG.finditer(text):
                self._element(bool(tag[1]), tag[2], dict(_ATTRIBUTE.findall(tag[3])), tag[4].strip(), header)
        elif found := _COEFFICIENT.fullmatch(text):
            self._coefficient(found[1], found[2], "")
        elif found := _IDENTITY.match(text):
            self.device, self.serial = found[1], found[2]
        elif found := _UPLOADED.search(text):
            self._uploaded(f"{int(found[2]):02} {found[1]} {found[3]}", ":".join(found.groups()[3:]))
        elif found := _RANGE.search(text):
            self.coefficients["PRANGE"] = float(found[1] or found[2])
        elif found := _RECORDED.fullmatch(text):
            self.recorded = int(found[1])
        elif header and (found := _REAL_TIME.match(text)):
            self.step_ns = round(float(found[1]) * 1e9)
        elif header and (found := _GNSS.match(text)):
            self.gnss_ns = _instant(f"{int(found[2]):02} {found[1]} {found[3]}", ":".join(found.groups()[3:]))
        elif header and (found := _CAST.search(text)):
            start = _instant(found[1], found[2])
            if start is not None and len(self.casts) < 1000:
                self.casts.append((start, int(found[5]) * 250_000_000))
        else:
            for pair in text.split(","):
                key, _, value = pair.partition("=")
                if key.strip() in _STATES:
                    self.states[key.strip()] = value.strip()

    def _element(self, closes: bool, tag: str, attributes: Mapping[str, str], text: str, header: bool) -> None:
        if closes:
            if tag == "Calibration":
                self._sensor = None
            elif tag == "Sensor":
                self._hardware = None
            elif tag == "ConfigurationData" and self._configuration is not None:
                self.configuration, self._configuration = self._configuration, None
            return
        if "DeviceType" in attributes:
            self.device = attributes["DeviceType"]
            self.serial = attributes.get("SerialNumber", self.serial)
        if tag == "CalibrationCoefficients":
            self.coefficients = {}
        elif tag == "ConfigurationData":
            self._configuration = {}
        elif tag == "Calibration":
            words = attributes.get("id", "").lower()
            sensors = [s for s in ("temperature", "conductivity", "pressure", "oxygen") if s in words]
            self._sensor = sensors[0] if sensors else "other"
        elif tag == "Sensor":
            self._hardware = attributes.get("id")
        elif tag == "type" and self._hardware is not None:
            if len(self.sensors) < 100:
                self.sensors[self._hardware] = text
        elif self._sensor is not None:
            if self._sensor != "other":
                self._coefficient(tag, text, self._sensor)
        elif self._configuration is not None:
            if len(self._configuration) < 100:
                self._configuration[tag] = text
        elif tag == "DateTime" and header and len(text) == 19:
            self._uploaded(text[:10], text[11:])

    def _coefficient(self, name: str, text: str, sensor: str) -> None:
        name = canonical(name.upper(), sensor)
        if name in COEFFICIENTS:
            try:
                self.coefficients[name] = float(text)
            except ValueError:
                self.coefficients.pop(name, None)  # the scans will say that it is lacking

    def _uploaded(self, date: str, clock: str) -> None:
        at = _instant(date, clock)
        if at is not None:
            self.uploaded_ns = at if self.uploaded_ns is None else max(self.uploaded_ns, at)


def _instant(date: str, clock: str) -> int | None:
    day = day_ns(date.encode())
    if day is None or not re.fullmatch(CLOCK, clock.encode()):
        return None
    return day + int(clock_ns([clock.encode()])[0])
