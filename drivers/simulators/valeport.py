"""A simulated Valeport: a TideMaster (`$PVTM0`, or its 740 and 740a strings), a miniIPS2, a miniCTD or a miniSVP.

The probes (`miniips2`, `minictd`, `minisvp`) stop at `#`, answer `S` with one measurement, and run again after `M1` or
`#028`; they echo. Their pressure is absolute. Mischief is in metres, or in dbar of a probe.
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
_AIR_DBAR = 10.1325
_LONGEST_COMMAND = 40


@dataclass
class ValeportSimulator(Simulator):
    """One instrument; a probe hangs `below_datum_m` under the station's datum."""

    drivers = (("valeport",),)
    spoils = "water_surface_height_above_reference_datum (m), of a probe sea_water_pressure (dbar)"

    kind: Literal["tidemaster", "740", "740a", "miniips2", "minictd", "minisvp"] = "tidemaster"
    below_datum_m: float = 2.0

    def __post_init__(self) -> None:
        if self.interval_s < 0.125:
            raise ValueError(f"interval_s must be 0.125 (8 Hz) or more, not {self.interval_s}")
        self._random = Random(self.seed)
        self._typed = b""
        self._running = True
        self._due_ns: int | None = None
        self._samples = 0

    @property
    def _is_probe(self) -> bool:
        return self.kind.startswith("mini")

    def tick(self, now_ns: int) -> bytes:
        """The sample that is due."""
        if not self._running or not self.speaking:
            return b""
        if self._due_ns is None:
            self._due_ns = now_ns
        if now_ns < self._due_ns:
            return b""
        step_ns = round(self.interval_s * _SECOND_NS)
        self._due_ns += step_ns * (1 + (now_ns - self._due_ns) // step_ns)
        return self._sample(now_ns)

    def receive(self, data: bytes, now_ns: int) -> bytes:
        """Echo and answers of a probe; a TideMaster that logs says nothing to commands."""
        said = b""
        for octet in data if self._is_probe else b"":
            if octet == ord("#") and self._running:
                self._running, self._typed = False, b""
                said += b"#\r\n>"
            elif self._running:
                continue
            elif octet == 0x0D:
                command, self._typed = self._typed.decode("ascii", "replace"), b""
                said += b"\r\n" + self._answer(command, now_ns)
            elif 0x20 <= octet < 0x7F and len(self._typed) < _LONGEST_COMMAND:
                self._typed += bytes([octet])
                said += bytes([octet])
        return said

    def falsifier(self) -> Callable[[bytes], bytes] | None:
        """Of a TideMaster and a miniIPS2."""
        return wrong_digits if self.kind in ("tidemaster", "miniips2") else None

    def _answer(self, command: str, now_ns: int) -> bytes:
        if command == "S":
            return self._sample(now_ns) + b">"
        if command in ("M", "M1", "#028"):
            self._running, self._due_ns = True, None
            return b""
        return b">"

    def _sample(self, now_ns: int) -> bytes:
        t_s = now_ns / _SECOND_NS
        level = float(self.sea.level_m(t_s)) + self._random.gauss(0.0, 0.002)
        sea_t = float(self.sea.temperature_c(t_s)) + self._random.gauss(0.0, 0.001)
        depth_m = level + self.below_datum_m
        dbar = depth_m * 0.9985
        clean = dbar + _AIR_DBAR if self._is_probe else level
        value, mischief = self._spoil(self._samples, clean, now_ns)
        self._samples += 1
        shown_s = self._shows_ns(now_ns) // _SECOND_NS
        at = datetime.fromtimestamp(shown_s, UTC)
        stamped = self.kind in ("tidemaster", "740")
        salinity = float(self.sea.salinity(t_s))
        if self.kind == "tidemaster":
            printed = [f"{value:.3f}", f"{abs(self._random.gauss(0.01, 0.003)):.3f}", "12.4", "0"]
            line = f"PVTM0,01,{at:%d%m%Y},{at:%H%M%S},{printed[0]},{printed[1]},1,{printed[2]},{printed[3]}"
            line = f"${line}*{reduce(xor, line.encode()):02x}"
            names = ["water_surface_height_above_reference_datum", "standard_deviation_of_water_level"]
            names += ["battery_voltage", "device_status"]
        elif self.kind in ("740", "740a"):
            printed = [f"{dbar:.3f}", f"{value:.3f}"]
            head = f"ID:01 TIME:{at:%d/%m/%Y} {at:%H:%M:%S}\t" if stamped else ""
            line = f"{head}P(dBar)= {printed[0]:>7}\tD(m)= {printed[1]:>7}"
            names = ["sea_water_pressure_due_to_sea_water", "water_surface_height_above_reference_datum"]
        elif self.kind == "miniips2":
            printed = [f"{value:.3f}", f"{depth_m:.3f}"]
            line = f"PVIPS2,01,45687,{printed[0]},d,{printed[1]},M"
            line = f"${line}*{reduce(xor, line.encode()):02x}"
            names = ["sea_water_pressure", "depth"]
        elif self.kind == "minictd":
            printed = [f"{value:06.3f}", f"{sea_t:06.3f}", f"{10 * conductivity_s_m(sea_t, salinity, dbar):06.3f}"]
            line = "\t".join(printed)
            names = ["sea_water_pressure", "sea_water_temperature", "sea_water_electrical_conductivity"]
        else:
            printed = [f"{value:06.3f}", f"{sea_t:06.3f}", f"{sound_velocity_m_s(sea_t, salinity, depth_m):08.3f}"]
            line = f" {' '.join(printed)} "
            names = ["sea_water_pressure", "sea_water_temperature", "speed_of_sound_in_sea_water"]
        told = dict(zip(names, map(float, printed), strict=True))
        if self.kind == "minictd":
            told[names[2]] = round(told[names[2]] / 10, 4)
        time_ns = shown_s * _SECOND_NS if stamped else None
        self.said.append(Said(now_ns, time_ns, told, mischief))
        return f"{line}\r\n".encode()
