"""A simulated SBE 911plus on its wire: a CTD that goes down and up, and the deck unit's hexadecimal scans at 24 Hz.

It makes frequencies such that the sensors' equations give the sea's temperature, conductivity and pressure, as near as
the 24 bits of a word allow, and keeps in its ledger what the words that went out mean. `configuration` is the .xmlcon
file that a decoder needs. It understands `GR` (start) and `S` (stop). Mischief is in °C.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from drivers.simulators.sbe37 import conductivity_s_m
from drivers.simulators.simulator import Said, Simulator

_SECOND_NS = 1_000_000_000
_K_T = {"G": 4.39377604e-3, "H": 6.43356818e-4, "I": 2.23495143e-5, "J": 2.02840480e-6, "F0": 1000.0}
_K_C = {"G": -9.90838065, "H": 1.60083819, "I": -1.58153324e-3, "J": 1.99854164e-4, "CPCOR": -9.57e-8, "CTCOR": 3.25e-6}
_K_P = {
    "C1": -4.164639e4,
    "C2": -5.769818e-1,
    "C3": 1.259640e-2,
    "D1": 3.483300e-2,
    "D2": 0.0,
    "T1": 3.004422e1,
    "T2": -4.702082e-4,
    "T3": 4.039850e-6,
    "T4": 3.117530e-9,
    "T5": 0.0,
    "AD590M": 1.281400e-2,
    "AD590B": -9.348340,
}
_COMPENSATION = 2498


def xmlcon(
    temperature: Mapping[str, float],
    conductivity: Mapping[str, float],
    pressure: Mapping[str, float],
    changes: Mapping[str, int] | None = None,
) -> str:
    """The text of a configuration file with these sensors, each pair twice; `changes` are of the elements that say what
    a scan holds."""

    def elements(values: Mapping[str, float]) -> str:
        return "".join(f"<{name}>{value!r}</{name}>" for name, value in values.items())

    plain = "<Slope>1.0</Slope><Offset>0.0</Offset>"
    sensors = [
        f"<TemperatureSensor><SerialNumber>5102</SerialNumber><UseG_J>1</UseG_J>{elements(temperature)}{plain}"
        "</TemperatureSensor>",
        "<ConductivitySensor><SerialNumber>3569</SerialNumber><UseG_J>1</UseG_J>"
        '<Coefficients equation="0"><A>0</A></Coefficients>'
        f'<Coefficients equation="1">{elements(conductivity)}</Coefficients>{plain}</ConductivitySensor>',
        "<PressureSensor><SerialNumber>0381</SerialNumber>"
        f"{elements({'SLOPE': 1.0, 'OFFSET': 0.0} | dict(pressure))}"
        "</PressureSensor>",
    ]
    listed = "".join(f'<Sensor index="{i}">{text}</Sensor>' for i, text in enumerate([*sensors, *sensors[:2]]))
    said = {
        "FrequencyChannelsSuppressed": 0,
        "VoltageWordsSuppressed": 0,
        "ScansToAverage": 1,
        "SurfaceParVoltageAdded": 0,
        "ScanTimeAdded": 0,
        "NmeaPositionDataAdded": 0,
        "NmeaDepthDataAdded": 0,
        "NmeaTimeAdded": 0,
        **(changes or {}),
    }
    head = "".join(f"<{tag}>{value}</{tag}>" for tag, value in said.items())
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<SBE_InstrumentConfiguration><Instrument Type="8">'
        f"<Name>SBE 911plus/917plus CTD</Name>{head}<SensorArray>{listed}</SensorArray></Instrument>"
        "</SBE_InstrumentConfiguration>\n"
    )


def _temperature(hertz: float) -> float:
    x = math.log(_K_T["F0"] / hertz)
    return 1 / (_K_T["G"] + _K_T["H"] * x + _K_T["I"] * x**2 + _K_T["J"] * x**3) - 273.15


def _conductivity(hertz: float, t: float, dbar: float) -> float:
    f, k = hertz / 1000, _K_C
    return (k["G"] + k["H"] * f**2 + k["I"] * f**3 + k["J"] * f**4) / (1 + k["CTCOR"] * t + k["CPCOR"] * dbar) / 10


def _pressure(hertz: float) -> float:
    k = _K_P
    u = k["AD590M"] * _COMPENSATION + k["AD590B"]
    t0 = k["T1"] + k["T2"] * u + k["T3"] * u**2 + k["T4"] * u**3 + k["T5"] * u**4
    w = 1 - (t0 * hertz / 1e6) ** 2
    psia = (k["C1"] + k["C2"] * u + k["C3"] * u**2) * w * (1 - (k["D1"] + k["D2"] * u) * w)
    return (psia - 14.7) * 0.689476


def _word(equation: Callable[[float], float], wanted: float, low: float, high: float) -> int:
    """The 24-bit word whose frequency gives the value, by bisection of a rising equation."""
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (middle, high) if equation(middle) < wanted else (low, middle)
    return round(low * 256)


@dataclass
class Sbe911plusSimulator(Simulator):
    """One CTD on a wire, that goes to 20 m and back in two minutes. `logging`: the deck unit sends from the start."""

    drivers = (("sbe911plus",),)
    spoils = "sea_water_temperature (degC)"

    interval_s: float = 1 / 24
    logging: bool = True

    def __post_init__(self) -> None:
        self._random = Random(self.seed)
        self._typed = b""
        self._count = 0
        self._due_ns: int | None = None
        self._stamp: tuple[int, int] = (-1, 0)

    def configuration(self) -> str:
        """The .xmlcon file of this CTD."""
        return xmlcon(_K_T, _K_C, _K_P, {"NmeaPositionDataAdded": 1, "ScanTimeAdded": 1, "VoltageWordsSuppressed": 3})

    def tick(self, now_ns: int) -> bytes:
        said = b""
        if self._due_ns is None:
            self._due_ns = now_ns
        while self.logging and self.speaking and now_ns >= self._due_ns:
            said += self._scan(self._due_ns)
            self._due_ns += round(self.interval_s * _SECOND_NS)
        if not self.logging:
            self._due_ns = max(self._due_ns, now_ns)
        return said

    def receive(self, data: bytes, now_ns: int) -> bytes:
        for octet in data:
            if octet in b"\r\n":
                command, self._typed = self._typed.strip().upper(), b""
                self.logging = {b"GR": True, b"S": False}.get(command, self.logging)
            elif len(self._typed) < 80:
                self._typed += bytes([octet])
        return b""

    def _scan(self, at_ns: int) -> bytes:
        t_s = at_ns / _SECOND_NS
        depth_m = 10.0 - 9.0 * math.cos(2 * math.pi * t_s / 120.0)
        temperature = float(self.sea.temperature_c(t_s, depth_m)) + self._random.gauss(0, 2e-4)
        salinity = float(self.sea.salinity(t_s, depth_m))
        temperature, mischief = self._spoil(self._count, temperature, at_ns)
        p = _word(lambda hertz: _pressure(hertz), depth_m * 1.0055, 33000.0, 34500.0)
        dbar = _pressure(p / 256)
        of_t = [_word(_temperature, temperature + offset, 2000.0, 9000.0) for offset in (0.0, 4e-4)]
        of_c = [
            _word(lambda hertz: _conductivity(hertz, temperature, dbar), wanted, 2500.0, 12000.0)
            for wanted in (conductivity_s_m(temperature, salinity, dbar),) * 2
        ]
        volts = (self._random.randrange(4096), self._random.randrange(4096))
        modulo, status = self._count % 256, 0b0011
        self._count += 1
        second = self._shows_ns(at_ns) // _SECOND_NS
        latitude, longitude = round(self.sea.latitude * 50000), round(self.sea.longitude * 50000)
        words = "".join(f"{word:06X}" for word in (of_t[0], of_c[0], p, of_t[1], of_c[1]))
        scan = (
            f"{words}{volts[0]:03X}{volts[1]:03X}{latitude:06X}{longitude:06X}00"
            f"{_COMPENSATION:03X}{status:X}{modulo:02X}{second.to_bytes(4, 'little').hex().upper()}\r\n"
        )
        t = [_temperature(word / 256) for word in of_t]
        values = {
            "sea_water_temperature": round(t[0], 4),
            "sea_water_electrical_conductivity": round(_conductivity(of_c[0] / 256, t[0], dbar), 6),
            "sea_water_pressure_due_to_sea_water": round(dbar, 3),
            "sea_water_temperature_2": round(t[1], 4),
            "sea_water_electrical_conductivity_2": round(_conductivity(of_c[1] / 256, t[1], dbar), 6),
            "external_voltage_0": round(5 * (1 - volts[0] / 4095), 4),
            "external_voltage_1": round(5 * (1 - volts[1] / 4095), 4),
            "latitude": round(latitude / 50000, 5),
            "longitude": round(longitude / 50000, 5),
            "pump_on": 1,
            "bottom_contact": 0,
            "water_sampler_confirms": 0,
            "modem_carrier_detected": 1,
            "modulo_count": modulo,
        }
        place = self._stamp[1] + 1 if self._stamp[0] == second else 0
        self._stamp = (second, place)
        # 24 scans a second, unless the intervals set here make it more.
        share = place / 24 if place < 24 else 1 - 0.5 ** (place - 23) / 24
        self.said.append(Said(at_ns, second * _SECOND_NS + round(share * 1e9), values, mischief))
        return scan.encode()
