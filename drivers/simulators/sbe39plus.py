"""A simulated SBE 39plus temperature and pressure recorder: converted lines, XML or raw counts.

Known commands: `DS`, `GetCD`, `GetCC`, `TS`, `TSR`, `SLT`, `StartNow`, `Stop`, `OutputFormat=`, `SampleInterval=`; an
empty line brings the prompt. Mischief is in °C.
"""

import math
from dataclasses import dataclass
from datetime import UTC, datetime

from drivers.simulators.console import MONTHS, SECOND_NS, ConsoleSimulator

_K_T = (-8.420000e-05, 3.080000e-04, -4.700000e-06, 2.066000e-07)
_K_P = {
    "PA0": 0.2,
    "PA1": 4.83e-3,
    "PA2": -4.9e-12,
    "PTCA0": 524_000.0,
    "PTCA1": 6.0,
    "PTCA2": 0.1,
    "PTCB0": 25.0,
    "PTCB1": -1.0e-3,
    "PTCB2": 0.0,
    "PTEMPA0": -62.0,
    "PTEMPA1": 3.4e-3,
    "PTEMPA2": -4.0e-9,
}


def _temperature(counts: int) -> float:
    x = math.log(counts)
    return 1 / (_K_T[0] + _K_T[1] * x + _K_T[2] * x**2 + _K_T[3] * x**3) - 273.15


def _pressure(counts: int, thermistor: int) -> tuple[float, float]:
    k = _K_P
    pt = k["PTEMPA0"] + k["PTEMPA1"] * thermistor + k["PTEMPA2"] * thermistor**2
    x = counts - k["PTCA0"] - k["PTCA1"] * pt - k["PTCA2"] * pt**2
    n = x * k["PTCB0"] / (k["PTCB0"] + k["PTCB1"] * pt + k["PTCB2"] * pt**2)
    return (k["PA0"] + k["PA1"] * n + k["PA2"] * n**2 - 14.7) * 0.689476, pt


@dataclass
class Sbe39plusSimulator(ConsoleSimulator):
    """One recorder at `depth_m`. `output_format`: 0 raw counts, 1 converted, 2 XML. `pressure`: has such a sensor."""

    drivers = (("sbe39plus",),)
    spoils = "sea_water_temperature (degC)"

    depth_m: float = 8.0
    output_format: int = 1
    pressure: bool = True
    serial: str = "03909999"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.interval_s = max(1.0, self.interval_s)

    def coefficients(self) -> dict[str, float]:
        """The calibration sheet."""
        return {f"TA{n}": value for n, value in enumerate(_K_T)} | (_K_P if self.pressure else {})

    def _sample(self, now_ns: int) -> bytes:
        return self._print(now_ns, self.output_format)

    def _print(self, now_ns: int, output_format: int) -> bytes:
        second = self._shows_ns(now_ns) // SECOND_NS
        when = datetime.fromtimestamp(second, UTC)
        t_s = now_ns / 1e9
        celsius = float(self.sea.temperature_c(t_s, self.depth_m)) + self._random.gauss(0, 5e-4)
        celsius, mischief = self._spoilt(celsius, now_ns)
        dbar = (self.depth_m + float(self.sea.level_m(t_s)) - self.sea.mean_level_m) * 1.0055
        date = f"{when:%d} {MONTHS[when.month - 1]} {when:%Y, %H:%M:%S}"
        if output_format == 0:
            counts = self._counts(celsius)
            values = {"sea_water_temperature": round(_temperature(counts), 4)}
            text = f"{counts:7d}"
            if self.pressure:
                pair = (600_000 + self._random.randrange(9000), 25_500 + self._random.randrange(100))
                p, pt = _pressure(*pair)
                values |= {
                    "sea_water_pressure_due_to_sea_water": round(p, 3),
                    "temperature_of_pressure_sensor": round(pt, 3),
                }
                text += f", {pair[0]:7d}, {pair[1]:5d}"
            self._say(now_ns, second * SECOND_NS, values, mischief)
            return f"{text}, {date}\r\n".encode()
        t, p_text = f"{celsius:.4f}", f"{dbar:.3f}"
        values = {"sea_water_temperature": float(t)}
        if self.pressure:
            values["sea_water_pressure_due_to_sea_water"] = float(p_text)
        self._say(now_ns, second * SECOND_NS, values, mischief)
        if output_format == 1:
            return f"{t:>9}{f', {p_text:>8}' if self.pressure else ''}, {date}\r\n".encode()
        p1 = f"<p1>{p_text}</p1>" if self.pressure else ""
        head = f"<hdr><mfg>Sea-Bird</mfg><model>SBE39plus</model><sn>{self.serial}</sn></hdr>"
        data = f"<data><t1>{t}</t1>{p1}<dt>{when:%Y-%m-%dT%H:%M:%S}</dt></data>"
        return f'<?xml version="1.0"?><datapacket>{head}{data}</datapacket>\r\n'.encode()

    def _counts(self, celsius: float) -> int:
        low, high = 1_000, 9_000_000
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if _temperature(middle) > celsius else (low, middle)
        return low

    def _answer(self, command: str, now_ns: int) -> bytes:
        name, _, value = command.partition("=")
        if name in ("TS", "SLT"):
            return self._sample(now_ns) + b"<Executed/>\r\nS>"
        if name == "TSR":
            return self._print(now_ns, 0) + b"<Executed/>\r\nS>"
        if name in ("DS", "GETCD"):
            return self._configuration() + b"<Executed/>\r\nS>"
        if name == "GETCC":
            return self._calibration() + b"<Executed/>\r\nS>"
        if name in ("STARTNOW", "STOP"):
            self.logging = name == "STARTNOW"
        elif name == "OUTPUTFORMAT" and value in ("0", "1", "2"):
            self.output_format = int(value)
        elif name == "SAMPLEINTERVAL" and value.isdigit() and int(value):
            self.interval_s = float(value)
        elif command:
            return b"<Error type='INVALID COMMAND' msg='not known'/>\r\nS>"
        return b"S>"

    def _configuration(self) -> bytes:
        installed = "yes" if self.pressure else "no"
        lines = [
            f"<ConfigurationData DeviceType='SBE39plus' SerialNumber='{self.serial}'>",
            f"   <PressureInstalled>{installed}</PressureInstalled>",
            "   <OutputTemperature>yes</OutputTemperature>",
            "   <TemperatureUnits>Celsius</TemperatureUnits>",
            *(["   <PressureUnits>Decibar</PressureUnits>"] if self.pressure else []),
            f"   <SampleInterval>{self.interval_s:.0f}</SampleInterval>",
            "</ConfigurationData>",
        ]
        return "".join(f"{line}\r\n" for line in lines).encode()

    def _calibration(self) -> bytes:
        k = self.coefficients()
        lines = [
            f"<CalibrationCoefficients DeviceType='SBE39plus' SerialNumber='{self.serial}'>",
            "   <Calibration format='TEMP1' id='Temperature'>",
            *(f"      <A{n}>{k[f'TA{n}']:.6e}</A{n}>" for n in range(4)),
            "   </Calibration>",
        ]
        if self.pressure:
            of_pressure = [f"      <{name}>{value:.6e}</{name}>" for name, value in k.items() if name[0] == "P"]
            lines += ["   <Calibration format='STRAIN0' id='Pressure'>", *of_pressure, "   </Calibration>"]
        lines.append("</CalibrationCoefficients>")
        return "".join(f"{line}\r\n" for line in lines).encode()
