"""A simulated SBE 54 Tsunameter on the sea floor: XML samples, and its answers to commands.

Known commands: `GetSD`, `GetCD`, `GetEC`, `GetHD`, `Start`, `Stop`, `SetSamplePeriod=`, `SampleRefOsc`; an empty line
brings the prompt. The real one warms its oscillator for two minutes before `SampleRefOsc` answers; this one does not
wait. Mischief is in dbar.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from drivers.simulators.console import SECOND_NS, ConsoleSimulator

_PA_PER_PSI = 6894.757293168
_COEFFICIENTS = {
    "FRA0": 5.999926e6,
    "FRA1": 5.79229e-3,
    "FRA2": -1.195664e-7,
    "FRA3": 7.018589e-13,
    "pu0": 5.820407,
    "py1": -3.845374e3,
    "py2": -1.078882e4,
    "py3": 0.0,
}


@dataclass
class Sbe54Simulator(ConsoleSimulator):
    """One Tsunameter at `depth_m` below mean sea level."""

    drivers = (("sbe54",),)
    spoils = "sea_water_pressure (dbar)"

    depth_m: float = 600.0
    serial: str = "05400012"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.interval_s = max(1.0, self.interval_s)

    def _sample(self, now_ns: int) -> bytes:
        t_s = now_ns / 1e9
        height_m = self.depth_m + float(self.sea.level_m(t_s)) - self.sea.mean_level_m
        dbar, mischief = self._spoilt((101_325.0 + 1028 * 9.79 * height_m) / 1e4, now_ns)
        psi, celsius = f"{dbar * 1e4 / _PA_PER_PSI:.4f}", f"{4.2 + self._random.gauss(0, 1e-3):.4f}"
        values = {
            "sea_water_pressure": round(float(psi) * _PA_PER_PSI / 1e4, 5),
            "temperature_of_pressure_sensor": float(celsius),
            "sample_number": self._samples,
        }
        elements = f"<PressurePSI>{psi}</PressurePSI>\r\n<PTemp>{celsius}</PTemp>\r\n"
        return self._xml("Pressure", now_ns, elements, values, mischief)

    def _oscillator(self, now_ns: int) -> bytes:
        self._samples += 1
        elements = (
            "<RefOscFreq>5999995.955</RefOscFreq>\r\n<PCBTempRaw>18413</PCBTempRaw>\r\n"
            "<RefErrorPPM>0.090</RefErrorPPM>\r\n"
        )
        values = {
            "reference_oscillator_frequency": 5999995.955,
            "reference_oscillator_error": 0.09,
            "sample_number": self._samples,
        }
        return self._xml("RefOsc", now_ns, elements, values, "")

    def _xml(self, kind: str, now_ns: int, elements: str, values: dict[str, float], mischief: str) -> bytes:
        second = self._shows_ns(now_ns) // SECOND_NS
        when = datetime.fromtimestamp(second, UTC)
        self._say(now_ns, second * SECOND_NS, values, mischief)
        head = f"<Sample Num='{self._samples}' Type='{kind}'>\r\n<Time>{when:%Y-%m-%dT%H:%M:%S}</Time>\r\n"
        return f"{head}{elements}</Sample>\r\n".encode()

    def _answer(self, command: str, now_ns: int) -> bytes:
        name, _, value = command.partition("=")
        if name in ("START", "STOP"):
            self.logging = name == "START"
        elif name == "SETSAMPLEPERIOD" and value.isdigit() and int(value):
            self.interval_s = float(value)
        elif name == "SAMPLEREFOSC" and not self.logging:
            warming = b"<!--Ref osc warmup next 120 seconds-->\r\n"
            return warming + self._oscillator(now_ns) + b"<Executed/>\r\nS>"
        elif name in ("GETSD", "GETCD", "GETEC", "GETHD"):
            return self._told(name, now_ns) + b"<Executed/>\r\nS>"
        elif command:
            return b"<Error type='INVALID COMMAND' msg='not known'/>\r\nS>"
        return b"S>"

    def _told(self, name: str, now_ns: int) -> bytes:
        when = datetime.fromtimestamp(self._shows_ns(now_ns) // SECOND_NS, UTC)
        device = f"DeviceType='SBE54' SerialNumber='{self.serial}'"
        coefficients = [f"<{key}>{value:.6E}</{key}>" for key, value in _COEFFICIENTS.items()]
        lines = {
            "GETSD": [
                f"<StatusData {device}>",
                f"<DateTime>{when:%Y-%m-%dT%H:%M:%S}</DateTime>",
                "<EventSummary numEvents='0'/>",
                *("<Power>", "<MainSupplyVoltage>23.3</MainSupplyVoltage>", "</Power>"),
                *("<MemorySummary>", f"<Samples>{self._samples}</Samples>", "</MemorySummary>"),
                "</StatusData>",
            ],
            "GETCD": [
                f"<ConfigurationData {device}>",
                *("<CalibrationCoefficients>", "<AcqOscCalDate>2012-02-20</AcqOscCalDate>", *coefficients),
                "</CalibrationCoefficients>",
                *("<Settings", "batteryType='0'", f"samplePeriod='{self.interval_s:.0f}'", "/>"),
                "</ConfigurationData>",
            ],
            "GETEC": [
                "<EventSummary numEvents='1' maxStack='354'/>",
                *(f"<EventList {device}>", "<Event type='PowerOnReset' count='1'/>", "</EventList>"),
            ],
            "GETHD": [
                f"<HardwareData {device}>",
                "<Manufacturer>Sea-Bird Electronics, Inc</Manufacturer>",
                "<FirmwareVersion>SBE54 V1.3-6MHZ</FirmwareVersion>",
                "</HardwareData>",
            ],
        }[name]
        return "".join(f"{line}\r\n" for line in lines).encode()
