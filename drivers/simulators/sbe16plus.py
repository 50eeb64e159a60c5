"""A simulated SBE 16plus V2 SeaCAT in moored mode on RS-232: it echoes, prompts, samples by itself or when asked.

It measures temperature, conductivity and pressure (strain gauge) of a simulated sea and one external voltage. What it
prints depends on `OutputFormat=`: raw counts in hexadecimal (0), engineering units in hexadecimal (1) or decimal (3).
The counts are found from the water by turning its calibration round, and the ledger holds what these counts mean.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random

import numpy as np

from drivers.seabird.calibration import (
    SEABIRD_EPOCH_S,
    conductivity_s_m,
    pressure_dbar,
    temperature_c,
)
from drivers.simulators.sbe37 import conductivity_s_m as conductivity_of
from drivers.simulators.simulator import Said, Simulator

_SECOND_NS = 1_000_000_000
_PROMPT = b"S>"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_T = "sea_water_temperature"
_C = "sea_water_electrical_conductivity"
_P = "sea_water_pressure_due_to_sea_water"
_PT = "temperature_of_pressure_sensor"
_V = "external_voltage_0"
_SHEET: Mapping[str, Mapping[str, float]] = {
    "TEMP1 Main Temperature": {"TA0": 1.271257e-03, "TA1": 2.720604e-04, "TA2": -9.909794e-07, "TA3": 1.735758e-07},
    "WBCOND0 Main Conductivity": {
        "G": -9.952793e-01,
        "H": 1.380221e-01,
        "I": -1.019730e-04,
        "J": 2.587865e-05,
        "CPCOR": -9.57e-08,
        "CTCOR": 3.25e-06,
        "CSLOPE": 1.0,
    },
    "STRAIN0 Main Pressure": {
        "PA0": 4.917435e-02,
        "PA1": 4.821181e-04,
        "PA2": -2.702838e-12,
        "PTCA0": 5.231386e05,
        "PTCA1": 1.504019e01,
        "PTCA2": -4.671539e-01,
        "PTCB0": 2.489888e01,
        "PTCB1": -2.5e-05,
        "PTCB2": 0.0,
        "PTEMPA0": -5.779848e01,
        "PTEMPA1": 5.476817e01,
        "PTEMPA2": -6.283987e-01,
        "POFFSET": 0.0,
    },
}
CALIBRATION = {name: value for sensor in _SHEET.values() for name, value in sensor.items()}
"""What it answers to GetCC."""


@dataclass
class Sbe16plusSimulator(Simulator):
    """One SeaCAT, `depth_m` below mean sea level. `logging` says whether it samples by itself from the start;
    `output_format` is 0, 1 or 3."""

    drivers = (("sbe16plus",),)
    spoils = "sea_water_temperature (degC)"

    interval_s: float = 10.0
    depth_m: float = 5.0
    logging: bool = True
    output_format: int = 3
    serial: str = "01609999"

    def __post_init__(self) -> None:
        self.interval_s = max(1.0, self.interval_s)
        self._random = Random(self.seed)
        self._typed = b""
        self._asked = 0  # answers to TS that are owed
        self._samples = 0
        self._due_ns: int | None = None
        self._second = -(2**62)  # of the sample printed last

    def tick(self, now_ns: int) -> bytes:
        if self._shows_ns(now_ns) // _SECOND_NS <= self._second:
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
        return b"#" + self._sample(now_ns)

    def receive(self, data: bytes, now_ns: int) -> bytes:
        answer = b""
        for octet in data:
            if octet == 0x0D:
                command, self._typed = self._typed.decode("ascii", "replace").strip(), b""
                answer += b"\r\n" + self._obey(command, now_ns)
            elif 0x20 <= octet < 0x7F and len(self._typed) < 80:
                self._typed += bytes([octet])
                answer += bytes([octet])
        return answer

    def _obey(self, command: str, now_ns: int) -> bytes:
        name, _, value = command.partition("=")
        name, value = name.strip().lower(), value.strip()
        if name == "ts":
            if self._shows_ns(now_ns) // _SECOND_NS <= self._second or self._asked:
                self._asked += 1
                return b""
            return self._sample(now_ns) + _PROMPT
        actions: dict[str, Callable[[], bytes]] = {
            "": lambda: b"",
            "qs": lambda: b"",
            "getsd": lambda: self._status(now_ns),
            "ds": lambda: self._status_in_words(now_ns),
            "getcd": self._configuration,
            "getcc": self._coefficients,
            "gethd": self._hardware,
            "stop": lambda: self._set(logging=False),
            "startnow": lambda: self._set(logging=True, _due_ns=None),
            "outputformat": lambda: self._choose(value),
        }
        action = actions.get(name)
        refusal = b"<Error type='INVALID COMMAND' msg='the command is not taken'/>\r\n"
        return (action() if action else refusal) + _PROMPT

    # Samples.

    def _sample(self, now_ns: int) -> bytes:
        t_s = now_ns / _SECOND_NS
        depth_m = self.depth_m + float(self.sea.level_m(t_s)) - self.sea.mean_level_m
        water = float(self.sea.temperature_c(t_s, self.depth_m)) + self._random.gauss(0.0, 0.0005)
        salinity = float(self.sea.salinity(t_s, self.depth_m)) + self._random.gauss(0.0, 0.0005)
        dbar = depth_m * 1.0055 + self._random.gauss(0.0, 0.003)
        conductivity = conductivity_of(water, salinity, dbar)
        temperature, mischief = self._spoil(self._samples, water, now_ns)
        volts = round((2.0 + 0.5 * np.sin(t_s / 900.0)) * 13107)
        self._samples += 1
        self._second = self._shows_ns(now_ns) // _SECOND_NS
        seconds = self._second - SEABIRD_EPOCH_S
        if self.output_format == 0:
            line, values = _raw(temperature, conductivity, dbar, volts)
            line += f"{seconds:08X}"
        elif self.output_format == 1:
            counts = round((temperature + 10) * 1e5), round((conductivity + 1) * 1e6), round((dbar + 100) * 1e3)
            line = "".join(f"{count:06X}" for count in counts) + f"{volts:04X}{seconds:08X}"
            t, c, p = counts
            values = {_T: round(t / 1e5 - 10, 5), _C: round(c / 1e6 - 1, 6), _P: round(p / 1e3 - 100, 3)}
            values[_V] = round(volts / 13107, 6)
        else:
            printed = {_T: f"{temperature:8.4f}", _C: f"{conductivity:9.5f}", _P: f"{dbar:9.3f}"}
            printed[_V] = f"{volts / 13107:7.4f}"
            at = datetime.fromtimestamp(self._second, UTC)
            line = f"{','.join(printed.values())}, {at.day:02} {_MONTHS[at.month - 1]} {at.year:04} {at:%H:%M:%S}"
            values = {name: float(text) for name, text in printed.items()}
        self.said.append(Said(now_ns, self._second * _SECOND_NS, values, mischief))
        return line.encode() + b"\r\n"

    # Settings and status.

    def _set(self, **values: object) -> bytes:
        for name, value in values.items():
            setattr(self, name, value)
        return b""

    def _choose(self, value: str) -> bytes:
        if value not in ("0", "1", "3"):
            return b"<Error type='INVALID ARGUMENT' msg='the command is not taken'/>\r\n"
        return self._set(output_format=int(value))

    def _status(self, now_ns: int) -> bytes:
        at = datetime.fromtimestamp(self._shows_ns(now_ns) // _SECOND_NS, UTC)
        return self._xml(
            "StatusData",
            f"<DateTime>{at:%Y-%m-%dT%H:%M:%S}</DateTime>",
            f"<LoggingState>{'logging' if self.logging else 'not logging'}</LoggingState>",
            "<EventSummary numEvents='0'/>",
            "<Power>",
            "<vMain>12.8</vMain>",
            "<vLith>8.6</vLith>",
            "</Power>",
        )

    def _status_in_words(self, now_ns: int) -> bytes:
        at = datetime.fromtimestamp(self._shows_ns(now_ns) // _SECOND_NS, UTC)
        when = f"{at.day:02} {_MONTHS[at.month - 1]} {at.year} {at:%H:%M:%S}"
        return (
            f"SBE 16plus V 2.5.2  SERIAL NO. {self.serial[-4:]}    {when}\r\n"
            "vbatt = 12.8, vlith =  8.6, ioper =  61.2 ma, ipump =  25.5 ma,\r\n"
            f"status = {'logging' if self.logging else 'not logging'}\r\n"
            f"sample interval = {self.interval_s:.0f} seconds, number of measurements per sample = 1\r\n"
            "pressure sensor = strain gauge, range = 160.0\r\n"
            "SBE 38 = no, WETLABS = no, OPTODE = no, SBE63 = no, Gas Tension Device = no\r\n"
            "Ext Volt 0 = yes, Ext Volt 1 = no\r\nExt Volt 2 = no, Ext Volt 3 = no\r\n"
            "Ext Volt 4 = no, Ext Volt 5 = no\r\n"
        ).encode()

    def _configuration(self) -> bytes:
        return self._xml(
            "ConfigurationData",
            "<SamplingParameters>",
            f"<SampleInterval>{self.interval_s:.0f}</SampleInterval>",
            "<TransmitRealTime>yes</TransmitRealTime>",
            "</SamplingParameters>",
            "<DataChannels>",
            *(f"<ExtVolt{n}>{'no' if n else 'yes'}</ExtVolt{n}>" for n in range(6)),
            *(f"<{name}>no</{name}>" for name in ("SBE38", "SBE50", "WETLABS", "OPTODE", "SBE63", "GTD")),
            "</DataChannels>",
            "<OutputSalinity>no</OutputSalinity>",
            "<OutputSoundVelocity>no</OutputSoundVelocity>",
            "<OutputSigmaT_V_I>no</OutputSigmaT_V_I>",
        )

    def _coefficients(self) -> bytes:
        lines = []
        for sensor, coefficients in _SHEET.items():
            form, _, name = sensor.partition(" ")
            lines.append(f"<Calibration format='{form}' id='{name}'>")
            lines += [f"<{k}>{value:e}</{k}>" for k, value in coefficients.items()]
            lines.append("</Calibration>")
        return self._xml("CalibrationCoefficients", *lines)

    def _hardware(self) -> bytes:
        kinds = {"Temperature": "temperature0", "Conductivity": "conductivity-0", "Pressure": "strain-0"}
        sensors = [f"<Sensor id='Main {name}'>\r\n<type>{kind}</type>\r\n</Sensor>" for name, kind in kinds.items()]
        return self._xml("HardwareData", "<InternalSensors>", *sensors, "</InternalSensors>")

    def _xml(self, tag: str, *lines: str) -> bytes:
        head = f"<{tag} DeviceType='SBE16plus' SerialNumber='{self.serial}'>"
        return "".join(f"{line}\r\n" for line in (head, *(f"   {line}" for line in lines), f"</{tag}>")).encode()


def _raw(temperature: float, conductivity: float, dbar: float, volts: int) -> tuple[str, dict[str, float]]:
    """(scan, what it means): the nearest counts that give these values by the calibration."""
    k = CALIBRATION
    thermistor = round(1.75 * 13107)  # of the pressure sensor, which lives at one temperature

    def t_of(counts: int) -> float:
        millivolts = (counts - 524288) / 1.6e7
        ohms = (millivolts * 2.9e9 + 1.024e8) / (2.048e4 - millivolts * 2.0e5)
        return float(temperature_c(np.log(np.array([ohms])), k)[0])

    def p_of(counts: int) -> float:
        return float(pressure_dbar(np.array([float(counts)]), np.array([thermistor / 13107.0]), k)[0][0])

    t_counts = _counts_of(temperature, lambda counts: -t_of(counts), 60_000, 1_500_000, -1.0)
    p_counts = _counts_of(dbar, p_of, 500_000, 4_000_000)
    t, p = np.array([t_of(t_counts)]), np.array([p_of(p_counts)])
    f_counts = _counts_of(
        conductivity,
        lambda counts: float(conductivity_s_m(np.array([counts / 256e3]), t, p, k)[0]),
        700_000,
        3_500_000,
    )
    pt = pressure_dbar(np.array([float(p_counts)]), np.array([thermistor / 13107.0]), k)[1]
    c = conductivity_s_m(np.array([f_counts / 256e3]), t, p, k)
    values = {
        _T: round(float(t[0]), 4),
        _C: round(float(c[0]), 6),
        _P: round(float(p[0]), 3),
        _PT: round(float(pt[0]), 3),
        _V: round(volts / 13107, 6),
    }
    return f"{t_counts:06X}{f_counts:06X}{p_counts:06X}{thermistor:04X}{volts:04X}", values


def _counts_of(value: float, rising: Callable[[int], float], low: int, high: int, sign: float = 1.0) -> int:
    """The counts at which `rising`, a rising function, comes to `sign * value`, by bisection."""
    while high - low > 1:
        middle = (low + high) // 2
        if rising(middle) < sign * value:
            low = middle
        else:
            high = middle
    return high
