"""A simulated SBE 37-SMP MicroCAT on RS-232: it echoes, prompts, samples by itself or when asked, as the real one.

It prints whole seconds, so it samples at most once a second and never twice in the same one; an answer to `TS` waits
for the next second where it must.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random

from drivers.simulators.simulator import Said, Simulator

_SECOND_NS = 1_000_000_000
_PROMPT = b"S>"
_LONGEST_COMMAND = 80
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TAGS = {
    "sea_water_temperature": "t1",
    "sea_water_electrical_conductivity": "c1",
    "sea_water_pressure_due_to_sea_water": "p1",
    "sea_water_practical_salinity": "sal",
    "speed_of_sound_in_sea_water": "sv",
}


@dataclass
class Sbe37Simulator(Simulator):
    """One MicroCAT, `depth_m` below mean sea level. `logging` says whether it samples by itself from the start,
    `xml` whether it prints XML packets (OutputFormat=2)."""

    drivers = (("sbe37",),)
    spoils = "sea_water_temperature (degC)"

    interval_s: float = 10.0
    depth_m: float = 5.0
    logging: bool = True
    salinity: bool = False
    sound_velocity: bool = False
    xml: bool = False
    serial: str = "03709999"

    def __post_init__(self) -> None:
        self.interval_s = max(1.0, self.interval_s)
        self._random = Random(self.seed)
        self._typed = b""
        self._transmits = True
        self._asked = 0  # answers to TS that are owed
        self._samples = 0
        self._stored = 0
        self._last: tuple[bytes, Said] | None = None
        self._due_ns: int | None = None
        self._second = -(2**62)  # of the sample printed last, on the instrument's clock

    def tick(self, now_ns: int) -> bytes:
        if self._now_s(now_ns) <= self._second:
            return b""
        if self._asked:
            self._asked -= 1
            return self._sample(now_ns) + _PROMPT
        if not self.logging:
            return b""
        if self._due_ns is None:
            self._due_ns = now_ns
        if now_ns < self._due_ns or not self.speaking:
            return b""
        step_ns = round(self.interval_s * _SECOND_NS)
        self._due_ns += step_ns * (1 + (now_ns - self._due_ns) // step_ns)
        self._stored += 1
        return self._sample(now_ns, transmit=self._transmits)

    def receive(self, data: bytes, now_ns: int) -> bytes:
        answer = b""
        for octet in data:
            if octet == 0x0D:
                command, self._typed = self._typed.decode("ascii", "replace").strip(), b""
                answer += b"\r\n" + self._obey(command, now_ns)
            elif 0x20 <= octet < 0x7F and len(self._typed) < _LONGEST_COMMAND:
                self._typed += bytes([octet])
                answer += bytes([octet])
        return answer

    def _obey(self, command: str, now_ns: int) -> bytes:
        name, _, value = command.partition("=")
        name, value = name.strip().lower(), value.strip()
        actions: dict[str, Callable[[], bytes]] = {
            "": lambda: b"",
            "sl": self._repeat,
            "ds": lambda: self._status(now_ns),
            "getsd": lambda: self._status(now_ns),
            "getcd": self._configuration,
            "startnow": lambda: self._set(logging=True, _due_ns=None),
            "stop": lambda: self._set(logging=False),
            "qs": lambda: b"",
            "initlogging": lambda: self._set(_stored=0),
            "sampleinterval": lambda: self._set_interval(value),
            "outputformat": lambda: self._choose(value),
            "outputsal": lambda: self._switch("salinity", value),
            "outputsv": lambda: self._switch("sound_velocity", value),
            "txrealtime": lambda: self._switch("_transmits", value),
            "datetime": lambda: self._set_date(value, now_ns),
        }
        if name in ("ts", "tss"):
            self._stored += name == "tss"
            if self._now_s(now_ns) <= self._second or self._asked:
                self._asked += 1
                return b""
            return self._sample(now_ns) + _PROMPT
        action = actions.get(name)
        return (action() if action else _refusal("INVALID COMMAND")) + _PROMPT

    # Samples.

    def _now_s(self, now_ns: int) -> int:
        return self._shows_ns(now_ns) // _SECOND_NS

    def _sample(self, now_ns: int, *, transmit: bool = True) -> bytes:
        t_s = now_ns / _SECOND_NS
        depth_m = self.depth_m + float(self.sea.level_m(t_s)) - self.sea.mean_level_m
        sea_t = float(self.sea.temperature_c(t_s, self.depth_m)) + self._random.gauss(0.0, 0.0005)
        salinity = float(self.sea.salinity(t_s, self.depth_m)) + self._random.gauss(0.0, 0.0005)
        dbar = depth_m * 1.0055 + self._random.gauss(0.0, 0.003)
        temperature, mischief = self._spoil(self._samples, sea_t, now_ns)
        printed = {
            "sea_water_temperature": f"{temperature:8.4f}",
            "sea_water_electrical_conductivity": f"{conductivity_s_m(sea_t, salinity, dbar):9.5f}",
            "sea_water_pressure_due_to_sea_water": f"{dbar:9.3f}",
        }
        if self.salinity:
            printed["sea_water_practical_salinity"] = f"{salinity:9.4f}"
        if self.sound_velocity:
            printed["speed_of_sound_in_sea_water"] = f"{sound_velocity_m_s(sea_t, salinity, depth_m):9.3f}"
        self._samples += 1
        self._second = self._now_s(now_ns)
        at = datetime.fromtimestamp(self._second, UTC)
        if self.xml:
            elements = "".join(f"<{_TAGS[name]}>{text.strip()}</{_TAGS[name]}>" for name, text in printed.items())
            head = f"<hdr><mfg>Sea-Bird</mfg><model>37SMP</model><sn>{self.serial}</sn></hdr>"
            data = f"<data>{elements}<dt>{at:%Y-%m-%dT%H:%M:%S}</dt></data>"
            line = f'<?xml version="1.0"?><datapacket>{head}{data}</datapacket>\r\n'
        else:
            line = f"{','.join(printed.values())}, {at.day:02} {_MONTHS[at.month - 1]} {at.year:04}, {at:%H:%M:%S}\r\n"
        values = {name: float(text) for name, text in printed.items()}
        said = Said(now_ns, self._second * _SECOND_NS, values, mischief)
        self._last = line.encode(), said
        if not transmit:
            return b""
        self.said.append(said)
        return line.encode()

    def _repeat(self) -> bytes:
        if self._last is None:
            return b""
        line, said = self._last
        self.said.append(said)
        return line

    # Settings and status.

    def _set(self, **values: object) -> bytes:
        for name, value in values.items():
            setattr(self, name, value)
        return b""

    def _switch(self, name: str, value: str) -> bytes:
        if value.upper() not in ("Y", "N"):
            return _refusal("INVALID ARGUMENT")
        return self._set(**{name: value.upper() == "Y"})

    def _choose(self, output_format: str) -> bytes:
        if output_format not in ("1", "2"):
            return _refusal("INVALID ARGUMENT")
        return self._set(xml=output_format == "2")

    def _set_interval(self, value: str) -> bytes:
        if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= 21600:
            return _refusal("INVALID ARGUMENT")
        return self._set(interval_s=float(value), _due_ns=None)

    def _set_date(self, value: str, now_ns: int) -> bytes:
        try:
            at = datetime.strptime(value, "%m%d%Y%H%M%S").replace(tzinfo=UTC)
        except ValueError:
            return _refusal("INVALID ARGUMENT")
        self._set_clock(int(at.timestamp()) * _SECOND_NS, now_ns)
        return self._set(_second=-(2**62))

    def _status(self, now_ns: int) -> bytes:
        at = datetime.fromtimestamp(self._now_s(now_ns), UTC)
        return self._xml(
            "StatusData",
            f"<DateTime>{at:%Y-%m-%dT%H:%M:%S}</DateTime>",
            "<EventSummary numEvents='0'/>",
            "<Power>",
            "<vMain>13.21</vMain>",
            "<vLith>3.14</vLith>",
            "</Power>",
            "<MemorySummary>",
            f"<Samples>{self._stored}</Samples>",
            "</MemorySummary>",
            f"<AutonomousSampling>{'yes' if self.logging else 'no, stop command'}</AutonomousSampling>",
        )

    def _configuration(self) -> bytes:
        return self._xml(
            "ConfigurationData",
            "<PressureInstalled>yes</PressureInstalled>",
            f"<SampleDataFormat>{'XML' if self.xml else 'converted engineering'}</SampleDataFormat>",
            "<TemperatureUnits>Celsius</TemperatureUnits>",
            "<ConductivityUnits>S/m</ConductivityUnits>",
            "<PressureUnits>Decibar</PressureUnits>",
            "<OutputTemperature>yes</OutputTemperature>",
            "<OutputConductivity>yes</OutputConductivity>",
            "<OutputPressure>yes</OutputPressure>",
            f"<OutputSalinity>{'yes' if self.salinity else 'no'}</OutputSalinity>",
            f"<OutputSV>{'yes' if self.sound_velocity else 'no'}</OutputSV>",
            f"<TxRealTime>{'yes' if self._transmits else 'no'}</TxRealTime>",
            f"<SampleInterval>{self.interval_s:.0f}</SampleInterval>",
        )

    def _xml(self, tag: str, *lines: str) -> bytes:
        head = f"<{tag} DeviceType='SBE37SMP-RS232' SerialNumber='{self.serial}'>"
        return "".join(f"{line}\r\n" for line in (head, *(f"   {line}" for line in lines), f"</{tag}>")).encode()


def _refusal(kind: str) -> bytes:
    return f"<Error type='{kind}' msg='the command is not taken'/>\r\n".encode()


_A = (0.0080, -0.1692, 25.3851, 14.0941, -7.0261, 2.7081)
_B = (0.0005, -0.0056, -0.0066, -0.0375, 0.0636, -0.0144)


def practical_salinity(conductivity: float, temperature_its90: float, dbar: float) -> float:
    """PSS-78 (UNESCO technical paper 44) from conductivity in S/m."""
    t = 1.00024 * temperature_its90
    ratio = conductivity / 4.2914
    of_temperature = 0.6766097 + t * (2.00564e-2 + t * (1.104259e-4 + t * (-6.9698e-7 + t * 1.0031e-9)))
    of_pressure = 1.0 + dbar * (2.070e-5 + dbar * (-6.370e-10 + dbar * 3.989e-15)) / (
        1.0 + t * (3.426e-2 + t * 4.464e-4) + ratio * (4.215e-1 - 3.107e-3 * t)
    )
    root = math.sqrt(ratio / (of_pressure * of_temperature))
    a = sum(k * root**n for n, k in enumerate(_A))
    b = sum(k * root**n for n, k in enumerate(_B))
    return a + b * (t - 15.0) / (1.0 + 0.0162 * (t - 15.0))


def conductivity_s_m(temperature_its90: float, salinity: float, dbar: float) -> float:
    """The conductivity that has this practical salinity, by bisection."""
    low, high = 0.1, 12.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        if practical_salinity(middle, temperature_its90, dbar) < salinity:
            low = middle
        else:
            high = middle
    return low


def sound_velocity_m_s(t: float, salinity: float, depth_m: float) -> float:
    """Mackenzie (1981), nine terms."""
    s, d = salinity - 35.0, depth_m
    warm = 1448.96 + t * (4.591 + t * (-5.304e-2 + t * 2.374e-4))
    return warm + 1.340 * s + 1.630e-2 * d + 1.675e-7 * d * d - 1.025e-2 * t * s - 7.139e-13 * t * d**3
