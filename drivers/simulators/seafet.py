"""A simulated SeaFET pH sensor, SeapHOx V2 or Deep SeapHOx V2: a frame of ASCII values every interval.

A SeaFET prints `SATPHA` frames, whose checksum makes the sum of all bytes up to and with the last comma 0 modulo 256;
`SSPHOX` and `DSPHOX` frames have none. The electrodes' voltages are those of the pH by Nernst's slope. It hears no
commands. A SeaFET has no pressure sensor and prints `nan`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Literal

from drivers.simulators.sbe37 import conductivity_s_m
from drivers.simulators.simulator import Said, Simulator, wrong_digits

_SECOND_NS = 1_000_000_000
_DAY_NS = 86_400 * _SECOND_NS
_STEP_NS = 360_000  # 1e-7 h, in which a SeaFET prints its time
_VOLTS_PER_KELVIN = 8.314462618 * 2.302585093 / 96485.33212  # of Nernst's slope
_EXTERNAL_V, _INTERNAL_V = -1.3984, -1.4460  # of the electrodes at pH 0
_CHECKSUM = re.compile(rb"(?<=[0-9,])[0-9](?=\r\n)")
_EXTERNAL = "sea_water_ph_reported_on_total_scale"


@dataclass
class SeaFetSimulator(Simulator):
    """One sensor, `depth_m` below mean sea level, of this `model`."""

    drivers = (("seafet",),)
    spoils = "sea_water_ph_reported_on_total_scale (1)"

    interval_s: float = 10.0
    depth_m: float = 5.0
    model: Literal["seafet", "seaphox", "deep_seaphox"] = "seafet"
    serial: str = "0371"

    def __post_init__(self) -> None:
        if self.interval_s < 1:
            raise ValueError(f"interval_s must be 1 or more, not {self.interval_s}")
        self._random = Random(self.seed)
        self._samples = 0
        self._due_ns: int | None = None

    def tick(self, now_ns: int) -> bytes:
        """The frame that is due."""
        if not self.speaking:
            return b""
        if self._due_ns is None:
            self._due_ns = now_ns
        if now_ns < self._due_ns:
            return b""
        step_ns = round(self.interval_s * _SECOND_NS)
        self._due_ns += step_ns * (1 + (now_ns - self._due_ns) // step_ns)
        return self._frame(now_ns)

    def falsifier(self) -> Callable[[bytes], bytes] | None:
        """Of a SeaFET."""
        return (lambda said: wrong_digits(said, _CHECKSUM)) if self.model == "seafet" else None

    def _frame(self, now_ns: int) -> bytes:
        t_s = now_ns / 1e9
        depth_m = self.depth_m + float(self.sea.level_m(t_s)) - self.sea.mean_level_m
        water_c = float(self.sea.temperature_c(t_s, self.depth_m)) + self._random.gauss(0.0, 5e-4)
        salinity = float(self.sea.salinity(t_s, self.depth_m))
        ph = float(self.sea.ph(t_s)) + self._random.gauss(0.0, 5e-4)
        volts_per_ph = _VOLTS_PER_KELVIN * (water_c + 273.15)
        ph, mischief = self._spoil(self._samples, ph, now_ns)
        inner_ph = ph - 0.03
        self._samples += 1
        measured = {
            "sea_water_temperature": water_c,
            "sea_water_practical_salinity": salinity,
            "sea_water_electrical_conductivity": conductivity_s_m(water_c, salinity, depth_m * 1.0055),
            "sea_water_pressure_due_to_sea_water": depth_m * 1.0055,
            "volume_fraction_of_oxygen_in_sea_water": 4.4 + self._random.gauss(0.0, 0.005),
            "temperature_of_ph_sensor": water_c + 0.02,
            _EXTERNAL: ph,
            f"{_EXTERNAL}_internal_electrode": inner_ph,
            "external_ph_electrode_voltage": _EXTERNAL_V + volts_per_ph * ph,
            "internal_ph_electrode_voltage": _INTERNAL_V + volts_per_ph * inner_ph,
            "internal_relative_humidity": 22.1,
            "internal_temperature": water_c + 0.6,
            "battery_voltage": 9.752,
            "supply_current": 40.0,
        }
        if self.model == "seafet":
            line, time_ns, names = self._satpha(self._shows_ns(now_ns), measured)
        else:
            line, time_ns, names = self._sphox(self._shows_ns(now_ns), measured)
        values: dict[str, float | None] = {name: float(text) for name, text in names.items()}
        values["device_status"] = 0
        if self.model == "seafet":
            values["sea_water_pressure_due_to_sea_water"] = None
        else:
            values["sample_number"] = self._samples
        self.said.append(Said(now_ns, time_ns, values, mischief))
        return line.encode() + b"\r\n"

    def _satpha(self, shown_ns: int, measured: dict[str, float]) -> tuple[str, int, dict[str, str]]:
        """(the frame, its time, what it prints by name)."""
        steps = shown_ns % _DAY_NS // _STEP_NS
        midnight_ns = shown_ns // _DAY_NS * _DAY_NS
        at = datetime.fromtimestamp(midnight_ns // _SECOND_NS, UTC)
        decimals = {
            f"{_EXTERNAL}_internal_electrode": 5,
            _EXTERNAL: 5,
            "temperature_of_ph_sensor": 4,
            "sea_water_temperature": 4,
            "sea_water_practical_salinity": 4,
            "volume_fraction_of_oxygen_in_sea_water": 3,
            "internal_ph_electrode_voltage": 8,
            "external_ph_electrode_voltage": 8,
            "supply_current": 0,
            "internal_relative_humidity": 1,
            "battery_voltage": 3,
        }
        printed = {name: f"{measured[name]:.{places}f}" for name, places in decimals.items()}
        text = list(printed.values())
        words = [f"SATPHA{self.serial}", f"{at:%Y%j}", f"{steps // 10**7}.{steps % 10**7:07d}"]
        words += [*text[:6], "nan", *text[6:8], "0.76134235", "9.847", *text[8:10], "4.939", text[10]]
        words += ["6.175", "5.780", "298", "10", "0.00000000", "0x0000", ""]
        line = ",".join(words)
        return f"{line}{-sum(line.encode()) % 256}", midnight_ns + steps * _STEP_NS, printed

    def _sphox(self, shown_ns: int, measured: dict[str, float]) -> tuple[str, int, dict[str, str]]:
        """(the frame, its time, what it prints by name)."""
        second = shown_ns // _SECOND_NS
        at = datetime.fromtimestamp(second, UTC)
        if self.model == "seaphox":
            head = f"SSPHOX{self.serial},{at:%Y-%m-%dT%H:%M:%S},{self._samples:6d}, 0000"
            forms = {
                "sea_water_temperature": "8.4f",
                _EXTERNAL: ".4f",
                f"{_EXTERNAL}_internal_electrode": ".4f",
                "external_ph_electrode_voltage": ".6f",
                "internal_ph_electrode_voltage": ".6f",
                "temperature_of_ph_sensor": "8.4f",
                "sea_water_pressure_due_to_sea_water": "9.3f",
                "sea_water_practical_salinity": "10.4f",
                "sea_water_electrical_conductivity": "10.5f",
                "volume_fraction_of_oxygen_in_sea_water": "8.3f",
                "internal_relative_humidity": "5.1f",
                "internal_temperature": ".1f",
            }
        else:
            head = f"DSPHOX{self.serial},{at:%m/%d/%Y %H:%M:%S},{self._samples},0000"
            forms = {
                "sea_water_temperature": "9.4f",
                _EXTERNAL: ".4f",
                "external_ph_electrode_voltage": ".6f",
                "sea_water_pressure_due_to_sea_water": "9.3f",
                "sea_water_practical_salinity": "9.4f",
                "sea_water_electrical_conductivity": "9.5f",
                "volume_fraction_of_oxygen_in_sea_water": "7.3f",
                "internal_relative_humidity": "5.1f",
                "internal_temperature": "5.1f",
            }
        printed = {name: f"{measured[name]:{form}}" for name, form in forms.items()}
        return ",".join([head, *printed.values()]), second * _SECOND_NS, printed
