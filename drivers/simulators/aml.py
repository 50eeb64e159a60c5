"""A simulated AML-3 with conductivity, temperature, pressure and sound velocity, in columns or AMLx.

`MONITOR` starts the samples, any other line ends them; `DIS SENSORS` says what the columns are. It prompts with `>`.
Mischief is in degrees Celsius.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from operator import xor
from random import Random
from typing import Literal

from drivers.simulators.sbe37 import conductivity_s_m, sound_velocity_m_s
from drivers.simulators.simulator import Said, Simulator, wrong_digits

_SECOND_NS = 1_000_000_000
_LONGEST_COMMAND = 80
_SENSORS = (
    b"[SensorMetaData]\r\n"
    b"Columns=Port,Model,SerialNumber,Firmware,Parameter,Units,CalibrationDate,CalibrationTime\r\n"
    b"[SensorData]\r\n"
    b"1,CT.X2,450801,1.00.1,Cond,mS/cm,2020-03-28,11:47:47\r\n"
    b"1,CT.X2,450801,1.00.1,TempCT,C,2020-03-27,23:31:03\r\n"
    b"2,P.X2,306207,1.00.1,Pressure,dbar,2020-04-28,11:28:06\r\n"
    b"3,SV.X2,206261,2.00.0,SV,m/s,2020-01-01,16:27:25\r\n"
    b"[MeasurementMetadata]\r\n"
    b"Columns=Date,Time,Cond,TempCT,Pressure,SV,Depth\r\n"
    b"Units=yyyy-mm-dd,hh:mm:ss.ss,mS/cm,C,dbar,m/s,m\r\n"
)


@dataclass
class AmlSimulator(Simulator):
    """One AML-3, `depth_m` below mean sea level. `checksum`: AMLx lines bear one."""

    drivers = (("aml",),)
    spoils = "sea_water_temperature (degC)"

    depth_m: float = 5.0
    outputformat: Literal["columns", "amlx"] = "columns"
    checksum: bool = True
    monitoring: bool = True

    def __post_init__(self) -> None:
        if self.interval_s < 0.04:
            raise ValueError(f"interval_s must be 0.04 (25 Hz) or more, not {self.interval_s}")
        self._random = Random(self.seed)
        self._typed = b""
        self._due_ns: int | None = None
        self._samples = 0

    def tick(self, now_ns: int) -> bytes:
        """The sample that is due."""
        if not self.monitoring or not self.speaking:
            return b""
        if self._due_ns is None:
            self._due_ns = now_ns
        if now_ns < self._due_ns:
            return b""
        step_ns = round(self.interval_s * _SECOND_NS)
        self._due_ns += step_ns * (1 + (now_ns - self._due_ns) // step_ns)
        return self._sample(now_ns)

    def receive(self, data: bytes, now_ns: int) -> bytes:
        """The answers to the commands in `data`."""
        said = b""
        for octet in data:
            if octet == 0x0D:
                command, self._typed = self._typed.decode("ascii", "replace").strip().upper(), b""
                self.monitoring, self._due_ns = command == "MONITOR", None
                if command in ("DIS SENSORS", "DISPLAY SENSORS"):
                    said += _SENSORS
                said += b">"
            elif 0x20 <= octet < 0x7F and len(self._typed) < _LONGEST_COMMAND:
                self._typed += bytes([octet])
        return said

    def falsifier(self) -> Callable[[bytes], bytes] | None:
        """Of AMLx lines that bear a checksum."""
        return wrong_digits if self.outputformat == "amlx" and self.checksum else None

    def _sample(self, now_ns: int) -> bytes:
        t_s = now_ns / _SECOND_NS
        depth_m = self.depth_m + float(self.sea.level_m(t_s)) - self.sea.mean_level_m
        sea_t = float(self.sea.temperature_c(t_s, self.depth_m)) + self._random.gauss(0.0, 0.0005)
        salinity = float(self.sea.salinity(t_s, self.depth_m))
        dbar = depth_m * 1.0055
        temperature, mischief = self._spoil(self._samples, sea_t, now_ns)
        self._samples += 1
        values = {
            "Cond": 10 * conductivity_s_m(sea_t, salinity, dbar),
            "TempCT": temperature,
            "Pressure": dbar,
            "SV": sound_velocity_m_s(sea_t, salinity, depth_m),
            "Depth": depth_m,
        }
        hundredths = self._shows_ns(now_ns) // 10_000_000
        if self.outputformat == "amlx":
            printed = {name: f"{value:.6f}" for name, value in values.items()}
            line = f"msg{self._samples}{{mux[meta=time,{hundredths // 100}.{hundredths % 100:02},s][data=uv,0],"
            line += f"port1[data=Cond,{printed['Cond']},mS/cm][rawi=ADC,{round(values['Cond'] * 9000)},none]"
            line += f"[data=TempCT,{printed['TempCT']},C][rawi=ADC,{round(temperature * 16000)},none],"
            line += f"port2[data=Pressure,{printed['Pressure']},dBar][rawi=ADC,{round(dbar * 1000)},2sComp],"
            line += f"port3[data=SV,{printed['SV']},m/s][rawf=NSV,{values['SV'] * 2:.6f},samples],"
            line += f"derive[data=Depth,{printed['Depth']},m]}}"
            if self.checksum:
                line += f"*{reduce(xor, line.encode()):02X}"
        else:
            decimals = {"Cond": 3, "TempCT": 3, "Pressure": 2, "SV": 3, "Depth": 2}
            printed = {name: f"{value:.{decimals[name]}f}" for name, value in values.items()}
            at = datetime.fromtimestamp(hundredths // 100, UTC)
            line = f"{at:%Y-%m-%d},{at:%H:%M:%S}.{hundredths % 100:02},{','.join(printed.values())}"
        told = {
            "sea_water_electrical_conductivity": round(float(printed["Cond"]) / 10, 7),
            "sea_water_temperature": float(printed["TempCT"]),
            "sea_water_pressure_due_to_sea_water": float(printed["Pressure"]),
            "speed_of_sound_in_sea_water": float(printed["SV"]),
            "depth": float(printed["Depth"]),
        }
        self.said.append(Said(now_ns, hundredths * 10_000_000, told, mischief))
        return f"{line}\r\n".encode()
