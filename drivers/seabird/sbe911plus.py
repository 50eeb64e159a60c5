"""Sea-Bird SBE 911plus: the scans that an SBE 11plus deck unit sends up from the CTD at 24 Hz, in hexadecimal digits.

Theory of operation. What a scan holds depends on how the CTD was set up, and nothing in the scan says it: the
configuration file (.xmlcon) of the cast does, and it holds the calibration too. In this order, each where it is there:

    frequencies     3 bytes each, Hz * 256: temperature, conductivity, pressure, second temperature and conductivity
    voltages        12 bits each, two in 3 bytes, 4095 for 0 V and 0 for 5 V
    surface PAR     12 unused bits, 12 bits V * 819
    NMEA position   latitude and longitude * 50000, 3 bytes each; a byte whose top bits are their signs
    NMEA depth      3 bytes, not decoded
    NMEA time       4 bytes, low byte first, seconds since 2000-01-01
    pressure sensor's temperature 12 bits, status 4 bits, modulo count 1 byte
    scan time       4 bytes, low byte first, seconds since 1970-01-01

Status, from the lowest bit: pump on, no bottom contact, bottle fire confirmed, modem carrier lost. The modulo count
goes up by one with each scan, so lost scans show. There is no checksum: the number of digits is all there is to hold
to, beside what is possible on Earth.

Pressure is compensated by the mean of the last 30 s of the pressure sensor's temperature, whose steps are coarse. A
scan with a time has it to the second: scans of the same second are set apart by their count at the deck unit's rate.

Sources: SBE 11plus V2 user manual (scan format); Sea-Bird application notes 14 (conductivity), 31 and 42 (temperature
scales); the calibration sheets' equations; the manufacturer's own reader, checked with its vectors.
"""

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from xml.etree import ElementTree

import numpy as np
from pydantic import field_validator

from drivers.columns import Floats, rounded
from drivers.driver import DriverSettings
from drivers.lines import Line
from drivers.rows import NO_TEXT, NOISE, Complaint, Row, RowDriver, Samples
from drivers.seabird.calibration import AIR_PSI, DBAR_PER_PSI, Ints, conductivity_s_m, seabird_time_ns, unsigned
from tidegate.frame import Column, Field, Schema, Times
from tidegate.settings import ReadableFile

SCANS_PER_S = 24
_COMPENSATION_S = 30
_SECOND_NS = 1_000_000_000
_HEX = re.compile(rb"[0-9A-F]{20,200}")
_HEX_ANY_CASE = re.compile(rb"[0-9A-Fa-f ]{12,}")
_SAID = re.compile(rb"\*[ -~]*|(?:S>)+|[A-Za-z][A-Za-z0-9=]{0,15}|[a-zA-Z/#]{2,}[ -~]*")
_NEW_CAST = re.compile(rb"\* ?Sea-Bird")

_FIELDS = {
    f.name: f
    for f in (
        Field.of("sea_water_temperature", resolution=1e-4),
        Field.of("sea_water_electrical_conductivity", resolution=1e-6),
        Field.of("sea_water_pressure_due_to_sea_water", resolution=1e-3),
        Field.of("sea_water_temperature_2", resolution=1e-4),
        Field.of("sea_water_electrical_conductivity_2", resolution=1e-6),
        *(Field.of(f"external_voltage_{n}", resolution=1e-4) for n in range(8)),
        Field.of("surface_par_voltage", resolution=1e-4),
        Field.of("latitude", resolution=1e-5),
        Field.of("longitude", resolution=1e-5),
        *(Field.of(n) for n in ("pump_on", "bottom_contact", "water_sampler_confirms", "modem_carrier_detected")),
        Field.of("modulo_count"),
    )
}
_T = ("sea_water_temperature", "sea_water_temperature_2")
_C = ("sea_water_electrical_conductivity", "sea_water_electrical_conductivity_2")
_P = "sea_water_pressure_due_to_sea_water"
_KINDS = {"TemperatureSensor": "temperature", "ConductivitySensor": "conductivity", "PressureSensor": "pressure"}
_NEEDED = {
    "temperature": ("G", "H", "I", "J", "F0"),
    "temperature, old": ("A", "B", "C", "D", "F0_OLD"),
    "conductivity": ("G", "H", "I", "J", "CPCOR", "CTCOR"),
    "conductivity, old": ("A", "B", "C", "D", "M", "CPCOR"),
    "pressure": ("C1", "C2", "C3", "D1", "D2", "T1", "T2", "T3", "T4", "T5", "AD590M", "AD590B"),
}


@dataclass(frozen=True)
class Configuration:
    """What an .xmlcon file says of a scan.

    `sensors` are the frequency channels in their order: (kind of `_NEEDED`, or "" where not in use; coefficients).
    """

    sensors: tuple[tuple[str, Mapping[str, float]], ...]
    serials: Mapping[str, str]
    voltage_words: int
    surface_par: bool
    position: bool
    depth: bool
    time: bool
    scan_time: bool
    averaged: int

    @property
    def octets(self) -> int:
        """Bytes of a scan."""
        added = 3 * self.surface_par + 7 * self.position + 3 * self.depth + 4 * self.time + 4 * self.scan_time
        return 3 * len(self.sensors) + 3 * self.voltage_words + added + 3

    @classmethod
    def of(cls, xmlcon: str) -> "Configuration":
        """From the text of the file. Raises ValueError, which says what is wrong with it."""
        try:
            root = ElementTree.fromstring(xmlcon.lstrip("\ufeff").encode())
        except ElementTree.ParseError as error:
            raise ValueError(f"not the text of an .xmlcon file: {error}") from None
        instrument = root.find("Instrument")
        if instrument is None or "911" not in (instrument.findtext("Name") or ""):
            raise ValueError("not the .xmlcon file of an SBE 911plus: <Instrument> with its <Name> is missing")

        def number(tag: str, low: int, high: int, default: int | None = None) -> int:
            text = (instrument.findtext(tag) or ("" if default is None else str(default))).strip()
            if not text.isdigit() or not low <= int(text) <= high:
                raise ValueError(f"<{tag}> should be {low} to {high}, and is {text[:20]!r}")
            return int(text)

        count = 5 - number("FrequencyChannelsSuppressed", 0, 2)
        words = 4 - number("VoltageWordsSuppressed", 0, 4)
        array = instrument.find("SensorArray")
        listed = sorted(array or (), key=lambda sensor: int(sensor.get("index") or 0))
        if len(listed) < count:
            raise ValueError(f"<SensorArray> lists {len(listed)} sensors, where {count} frequencies are to be told")
        sensors, serials = [], {}
        for place, sensor in enumerate(listed[:count]):
            kind, coefficients = _sensor(sensor)
            wanted = ("temperature", "conductivity", "pressure", "temperature", "conductivity")[place]
            if kind and not kind.startswith(wanted):
                raise ValueError(f"frequency {place} is a {kind} sensor, where {wanted} should be")
            if not kind and place < 3:
                raise ValueError(f"frequency {place} has no sensor, where {wanted} should be")
            sensors.append((kind, coefficients))
            serial = (sensor.findtext("./*/SerialNumber") or "").strip()
            if serial:
                serials[f"{wanted}{'_2' if place > 2 else ''}"] = serial
        return cls(
            tuple(sensors),
            serials,
            words,
            bool(number("SurfaceParVoltageAdded", 0, 1, 0)),
            bool(number("NmeaPositionDataAdded", 0, 1, 0)),
            bool(number("NmeaDepthDataAdded", 0, 1, 0)),
            bool(number("NmeaTimeAdded", 0, 1, 0)),
            bool(number("ScanTimeAdded", 0, 1, 0)),
            number("ScansToAverage", 1, 255, 1),
        )


def _sensor(sensor: ElementTree.Element) -> tuple[str, dict[str, float]]:
    """(kind, coefficients) of a <Sensor> of a frequency channel."""
    element = next(iter(sensor), None)
    if element is None or element.tag == "NotInUse":
        return "", {}
    kind = _KINDS.get(element.tag)
    if kind is None:
        raise ValueError(f"a frequency has <{element.tag}>, which this driver does not know")
    old = kind != "pressure" and (element.findtext("UseG_J") or "1").strip() == "0"
    given = {child.tag.upper(): child.text for child in element}
    for group in element.findall("Coefficients"):
        if group.get("equation", "1") == ("0" if old else "1"):
            given |= {child.tag.upper(): child.text for child in group}
    kind += ", old" if old else ""
    coefficients = {}
    for name in (*_NEEDED[kind], "SLOPE", "OFFSET"):
        default = {"SLOPE": "1", "OFFSET": "0", "T5": "0"}.get(name, "")
        try:
            coefficients[name] = float((given.get(name) or default).strip())
        except ValueError:
            raise ValueError(f"<{element.tag}>: the coefficient {name} is missing or no number") from None
    return kind, coefficients


def temperature_of_frequency_c(hertz: Floats, k: Mapping[str, float], *, old: bool = False) -> Floats:
    """ITS-90 temperature of an SBE 3 from its frequency; `old`: by the coefficients A to D, which are for IPTS-68."""
    a, b, c, d, f0 = (k[name] for name in _NEEDED["temperature, old" if old else "temperature"])
    x = np.log(f0 / hertz)
    t: Floats = 1.0 / (a + x * (b + x * (c + x * d))) - 273.15
    return (t / 1.00024 if old else t) * k["SLOPE"] + k["OFFSET"]


def conductivity_of_frequency_s_m(
    hertz: Floats, t: Floats, dbar: Floats, k: Mapping[str, float], *, old: bool = False
) -> Floats:
    """Conductivity of an SBE 4 from its frequency; `old`: by the coefficients A to D and M."""
    khz = hertz / 1000.0
    c: Floats
    if old:
        cell = k["A"] * khz ** k["M"] + k["B"] * khz * khz + k["C"] + k["D"] * t
        c = cell / (10.0 * (1.0 + k["CPCOR"] * dbar)) * k["SLOPE"]
    else:
        c = conductivity_s_m(khz, t, dbar, {**k, "CSLOPE": 0.1 * k["SLOPE"]})
    return c + k["OFFSET"]


def digiquartz_dbar(hertz: Floats, compensation: Floats, k: Mapping[str, float]) -> Floats:
    """Pressure less the air's of a Digiquartz from its frequency and the counts of its AD590 thermometer."""
    u = k["AD590M"] * compensation + k["AD590B"]
    c = k["C1"] + u * (k["C2"] + u * k["C3"])
    d = k["D1"] + u * k["D2"]
    t0 = k["T1"] + u * (k["T2"] + u * (k["T3"] + u * (k["T4"] + u * k["T5"])))
    w = 1.0 - (t0 * hertz * 1e-6) ** 2
    p: Floats = (c * w * (1.0 - d * w) - AIR_PSI) * DBAR_PER_PSI * k["SLOPE"] + k["OFFSET"]
    return p


class Sbe911plus(RowDriver):
    """A profiling CTD on its wire, through the deck unit."""

    manufacturer: ClassVar[str] = "Sea-Bird Scientific"
    models: ClassVar[tuple[str, ...]] = ("SBE 911plus", "SBE 9plus with SBE 11plus V2")
    title: ClassVar[str] = "Sea-Bird SBE 911plus profiling CTD: scans of the SBE 11plus deck unit, live or .hex"
    lines: ClassVar[tuple[str, ...]] = ("19200 8N1", "9600 8N1")
    commands: ClassVar[Mapping[str, str]] = {
        "GR": "start putting data into the RS-232 buffer",
        "S": "stop putting data into the buffers",
        "Xn": "suppress data word n",
        "NY, NN": "add NMEA position to the scans, or do not",
    }
    calibration: ClassVar[str] = "the .xmlcon file of the cast, named in the setting xmlcon"
    problems: ClassVar[Mapping[str, str]] = {
        "length": "a scan with another number of digits than the .xmlcon file says: a damaged scan, or the wrong file.",
        "syntax": "neither a scan nor anything that the deck unit says: a damaged line.",
        "noise": "bytes that are no text: another baud rate or parity, or noise on the line.",
        "truncated": "the stream ended inside a scan.",
        "missed_scans": "the modulo count jumped: so many scans did not come. The line or the computer is too slow.",
        "implausible": "a value that cannot be; it is left out and the rest of the scan kept.",
    }

    class Settings(DriverSettings):
        """Settings of a profiling CTD."""

        xmlcon: ReadableFile
        """The configuration file of the CTD (.xmlcon), which says what a scan holds, and the calibration."""

        @field_validator("xmlcon")
        @classmethod
        def _is_readable(cls, path: Path) -> Path:
            try:
                Configuration.of(path.read_text("utf-8-sig"))
            except UnicodeDecodeError as error:
                raise ValueError(f"{path}: not the text of an .xmlcon file: {error}") from None
            except ValueError as error:
                raise ValueError(f"{path}: {error}; name the .xmlcon that Seasave used for this CTD") from None
            return path

    settings: Settings

    def __init__(self, instrument: str, settings: DriverSettings) -> None:
        assert isinstance(settings, self.Settings)
        self._is = Configuration.of(settings.xmlcon.read_text("utf-8-sig"))
        self._schema = Schema("ctd", tuple(_FIELDS[name] for name in self._names()))
        super().__init__(instrument, settings)

    def _names(self) -> list[str]:
        c = self._is
        names = [_T[0], _C[0], _P]
        names += [(_T, _C)[place - 3][1] for place in range(3, len(c.sensors)) if c.sensors[place][0]]
        names += [f"external_voltage_{n}" for n in range(2 * c.voltage_words)]
        names += ["surface_par_voltage"] * c.surface_par + ["latitude", "longitude"] * c.position
        return [*names, *list(_FIELDS)[-5:]]

    def _renew(self) -> None:
        self._count: int | None = None  # modulo of the last scan
        self._refused = 0  # lines since it that were damaged scans
        self._compensation: deque[int] = deque(maxlen=_COMPENSATION_S * SCANS_PER_S // self._is.averaged or 1)
        self._second: int | None = None
        self._of_second = 0

    def schemas(self) -> Sequence[Schema]:
        """What the scans hold, by the .xmlcon file."""
        return (self._schema,)

    def description(self) -> Mapping[str, Any]:
        """The sensors' serial numbers and calibration."""
        keys = ("temperature", "conductivity", "pressure", "temperature_2", "conductivity_2")
        calibration = {
            f"{key}_{name}": value
            for key, (_, coefficients) in zip(keys, self._is.sensors, strict=False)
            for name, value in coefficients.items()
        }
        return {
            "manufacturer": self.manufacturer,
            "model": self.models[0],
            "serial": ", ".join(f"{sensor} {serial}" for sensor, serial in self._is.serials.items()),
            "calibration": calibration,
        }

    def _read(self, line: Line) -> Row | Complaint | None:
        text = line.data
        digits = 2 * self._is.octets
        if len(text) != digits or not _HEX.fullmatch(text):
            if NO_TEXT.search(text):
                self._refused += 1
                return "noise", NOISE
            if _HEX_ANY_CASE.fullmatch(text):
                self._refused += 1
                return "length", f"a scan of {len(text)} digits, where the .xmlcon file says {digits}"
            if _SAID.fullmatch(text):
                if _NEW_CAST.match(text):
                    self._flush()
                    self._renew()
                return None
            self._refused += 1
            return "syntax", "neither a scan nor anything that the deck unit is known to say"
        at = digits - (10 if self._is.scan_time else 2)
        count = int(text[at : at + 2], 16)
        if self._count is not None and self._is.averaged == 1:
            missed = (count - self._count - 1) % 256
            if missed and missed != self._refused % 256:
                self._refuse("missed_scans", f"{missed} scans (or 256 more, or more often) did not come before", line)
            step = 1 + missed
        else:
            step = 1
        self._count, self._refused = count, 0
        return Row(None, (text, b"%d" % step), line)

    def _convert(self, rows: Sequence[Row]) -> Samples:
        digits = bytes.fromhex(b"".join(row.values[0] for row in rows).decode("ascii"))
        scans = np.frombuffer(digits, np.uint8).reshape(len(rows), -1)
        c, at = self._is, 0
        hertz = [unsigned(scans, 3 * n, 3) / 256.0 for n in range(len(c.sensors))]
        at = 3 * len(hertz)
        columns: dict[str, Column] = {}
        for word in range(c.voltage_words):
            both = unsigned(scans, at, 3)
            for n, counts in enumerate((both >> 12, both & 0xFFF)):
                columns[f"external_voltage_{2 * word + n}"] = 5.0 * (1.0 - counts / 4095.0)
            at += 3
        if c.surface_par:
            columns["surface_par_voltage"] = (unsigned(scans, at, 3) & 0xFFF) / 819.0
            at += 3
        if c.position:
            signs = scans[:, at + 6]
            columns["latitude"] = np.where(signs & 0x80, -1.0, 1.0) * unsigned(scans, at, 3) / 50000.0
            columns["longitude"] = np.where(signs & 0x40, -1.0, 1.0) * unsigned(scans, at + 3, 3) / 50000.0
            at += 7
        at += 3 * c.depth
        seconds: Ints | None = None
        if c.time:
            seconds = seabird_time_ns(unsigned(scans[:, at : at + 4][:, ::-1], 0, 4)) // _SECOND_NS
            at += 4
        tail = unsigned(scans, at, 3)
        if c.scan_time:
            seconds = unsigned(scans[:, at + 3 : at + 7][:, ::-1], 0, 4)
        status = tail >> 8 & 0xF
        columns |= {
            "pump_on": status & 1,
            "bottom_contact": 1 - (status >> 1 & 1),
            "water_sampler_confirms": status >> 2 & 1,
            "modem_carrier_detected": 1 - (status >> 3 & 1),
            "modulo_count": tail & 0xFF,
        }
        columns |= self._sea(hertz, self._mean_compensation(tail >> 12))
        whole: dict[str, Column] = {}
        for f in self._schema.fields:
            values = columns[f.name]
            whole[f.name] = values if f.integer else rounded(values.astype(np.float64), f.resolution)
        time = None if seconds is None else self._times(seconds, np.array([int(row.values[1]) for row in rows]))
        return Samples(self._schema, time, whole, {})

    def _sea(self, hertz: Sequence[Floats], compensation: Floats) -> dict[str, Column]:
        sensors = self._is.sensors
        columns: dict[str, Column] = {}
        with np.errstate(all="ignore"):  # damaged frequencies give what is no number, which is then refused
            p = digiquartz_dbar(hertz[2], compensation, sensors[2][1])
            columns[_P] = p
            for which, (of_t, of_c) in enumerate(((0, 1), (3, 4))):
                if of_t >= len(sensors) or not sensors[of_t][0]:
                    continue
                kind, k = sensors[of_t]
                t = temperature_of_frequency_c(hertz[of_t], k, old=kind.endswith("old"))
                columns[_T[which]] = t
                if of_c < len(sensors) and sensors[of_c][0]:
                    kind, k = sensors[of_c]
                    c = conductivity_of_frequency_s_m(hertz[of_c], t, p, k, old=kind.endswith("old"))
                    columns[_C[which]] = c
        return columns

    def _mean_compensation(self, counts: Ints) -> Floats:
        """(n,) the mean of each scan's count and those of the 30 s before it."""
        before = list(self._compensation)
        width = self._compensation.maxlen or 1
        self._compensation.extend(counts.tolist())
        sums = np.concatenate(([0], np.cumsum(np.concatenate((np.array(before, np.int64), counts)))))
        ends = np.arange(len(before) + 1, len(sums))
        begins = np.maximum(ends - width, 0)
        mean: Floats = (sums[ends] - sums[begins]) / (ends - begins)
        return mean

    def _times(self, seconds: Ints, steps: Ints) -> Times:
        """(n,) nanoseconds UTC: scans of one second are set apart by how many came since it began."""
        places = np.empty(len(seconds), np.int64)
        begins = np.flatnonzero(np.diff(seconds, prepend=seconds[0])).tolist()
        first = self._of_second + int(steps[0]) if self._second == seconds[0] else 0
        for start, end in zip([0, *begins], [*begins, len(seconds)], strict=True):
            run = np.cumsum(steps[start:end])
            places[start:end] = run - run[0] + (first if start == 0 else 0)
        self._second, self._of_second = int(seconds[-1]), int(places[-1])
        rate = SCANS_PER_S / self._is.averaged
        share = places / rate
        last = 1.0 - 1.0 / rate
        over = 1.0 - (1.0 / rate) * 0.5 ** np.minimum(np.maximum(places - (rate - 1.0), 0.0), 20.0)
        share = np.where(share <= last, share, over)  # more in a second than there should be: closer, in their order
        time: Times = seconds * _SECOND_NS + np.rint(share * 1e9).astype(np.int64)
        return time

    def _is_whole(self, data: bytes) -> bool:
        return len(data) == 2 * self._is.octets or (_SAID.fullmatch(data) is not None and not _HEX.fullmatch(data))
