"""A simulated SBE 45 MicroTSG on a ship's sea-water line: it prints by itself or when asked, as the real one.

Known commands: `DS`, `TS`, `SLT`, `Go`, `Stop`, `QS`, `OutputCond=`, `OutputSal=`, `OutputSV=`, `OutputFormat=`,
`Interval=`; an empty line brings the prompt. Mischief is in °C.
"""

from dataclasses import dataclass

from drivers.simulators.console import ConsoleSimulator
from drivers.simulators.sbe37 import conductivity_s_m, sound_velocity_m_s


@dataclass
class Sbe45Simulator(ConsoleSimulator):
    """One thermosalinograph. `remote`: a junction box appends the temperature of an SBE 38 at the intake."""

    drivers = (("sbe45",),)
    spoils = "sea_water_temperature (degC)"

    conductivity: bool = True
    salinity: bool = False
    sound_velocity: bool = False
    output_format: int = 0
    remote: bool = False
    serial: str = "1258"

    def _sample(self, now_ns: int) -> bytes:
        t_s = now_ns / 1e9
        intake = float(self.sea.temperature_c(t_s, 4.0)) + self._random.gauss(0, 5e-4)
        temperature, mischief = self._spoilt(intake + 0.35, now_ns)
        salinity = float(self.sea.salinity(t_s, 4.0))
        given = {"sea_water_temperature": f"{temperature:.4f}"}
        if self.conductivity:
            given["sea_water_electrical_conductivity"] = f"{conductivity_s_m(temperature, salinity, 0.0):9.5f}"
        if self.salinity:
            given["sea_water_practical_salinity"] = f"{salinity:9.4f}"
        names = list(given)
        if self.output_format == 2 and self.conductivity and self.salinity:
            names[1:3] = names[2:0:-1]
        if self.sound_velocity:
            given["speed_of_sound_in_sea_water"] = f"{sound_velocity_m_s(temperature, salinity, 0.0):9.3f}"
            names.append("speed_of_sound_in_sea_water")
        if self.remote:
            given["sea_water_temperature_at_intake"] = f"{intake:9.4f}"
            names.append("sea_water_temperature_at_intake")
        if self.output_format == 1 and self.conductivity:
            given["sea_water_electrical_conductivity"] = given["sea_water_electrical_conductivity"].strip()
        self._say(now_ns, None, {name: float(given[name]) for name in names}, mischief)
        return ",".join(given[name] for name in names).encode() + b"\r\n"

    def _answer(self, command: str, now_ns: int) -> bytes:
        name, _, value = command.partition("=")
        if name in ("TS", "SLT"):
            return self._sample(now_ns) + b"S>"
        if name == "DS":
            return self._status() + b"S>"
        if name in ("GO", "STOP", "QS"):
            self.logging = name == "GO"
        elif name in ("OUTPUTCOND", "OUTPUTSAL", "OUTPUTSV") and value in ("Y", "N"):
            where = {"OUTPUTCOND": "conductivity", "OUTPUTSAL": "salinity", "OUTPUTSV": "sound_velocity"}[name]
            setattr(self, where, value == "Y")
        elif name == "OUTPUTFORMAT" and value in ("0", "1", "2"):
            self.output_format = int(value)
        elif name == "INTERVAL" and value.isdigit() and int(value):
            self.interval_s = float(value)
        elif command:
            return b"?CMD\r\nS>"
        return b"S>"

    def _status(self) -> bytes:
        def switch(is_on: bool, what: str) -> str:
            return f"{'' if is_on else 'do not '}output {what} with each sample"

        return "".join(
            f"{line}\r\n"
            for line in (
                f"SBE45 V 1.1b  SERIAL NO. {self.serial}",
                "logging data" if self.logging else "not logging data",
                f"sample interval = {self.interval_s:.0f} seconds",
                switch(self.conductivity, "conductivity"),
                switch(self.salinity, "salinity"),
                switch(self.sound_velocity, "sound velocity"),
                "do not start sampling when power on",
                "do not power off after taking a single sample",
                "A/D cycles to average = 4",
            )
        ).encode()
