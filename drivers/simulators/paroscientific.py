"""A simulated Digiquartz transmitter on a quay wall, in absolute pressure, or a MET4 on its mast (`measures = "air"`).

It answers `P3`, `Q3`, `TT`, `RH`, `UN`, `TU`, `SN`, `MN`, `VR` and runs `P4` until any other command; a real one falls
silent at a command that it does not know, and so does this. Mischief is in the instrument's unit.
"""

import re
from dataclasses import dataclass
from random import Random
from typing import Literal

from drivers.simulators.simulator import Said, Simulator

_SECOND_NS = 1_000_000_000
_AIR_DBAR = 10.1325
_DBAR_PER_M = 1021 * 9.78 / 10_000.0
_LONGEST_COMMAND = 80
_COMMAND = re.compile(r"\*(\d\d)00(?:EW\*\d\d00)?([A-Z][A-Z0-9])")
_DBAR = {1: 0.6894757293168, 2: 0.01, 3: 10.0, 4: 0.1, 5: 100.0}


@dataclass
class ParoscientificSimulator(Simulator):
    """One instrument, `below_datum_m` under the station's datum. `unit` is the code of `UN`; `running`: P4 is on."""

    drivers = (("paroscientific",),)
    spoils = "sea_water_pressure or air_pressure (in `unit`)"

    below_datum_m: float = 2.0
    measures: Literal["sea_water", "air"] = "sea_water"
    unit: int = 1
    address: int = 1
    running: bool = False
    serial: str = "113401"

    def __post_init__(self) -> None:
        if self.unit not in _DBAR:
            raise ValueError(f"unit must be one of {', '.join(map(str, _DBAR))} (psi, hPa, bar, kPa, MPa)")
        self._random = Random(self.seed)
        self._typed = b""
        self._due_ns: int | None = None
        self._samples = 0

    def tick(self, now_ns: int) -> bytes:
        """The pressure of P4 that is due."""
        if not self.running or not self.speaking:
            return b""
        if self._due_ns is None:
            self._due_ns = now_ns
        if now_ns < self._due_ns:
            return b""
        step_ns = round(self.interval_s * _SECOND_NS)
        self._due_ns += step_ns * (1 + (now_ns - self._due_ns) // step_ns)
        return self._pressure(now_ns)

    def receive(self, data: bytes, now_ns: int) -> bytes:
        """The answers to the commands in `data`."""
        said = b""
        for octet in data:
            if octet in (0x0D, 0x0A):
                command, self._typed = self._typed.decode("ascii", "replace"), b""
                said += self._answer(command, now_ns)
            elif len(self._typed) < _LONGEST_COMMAND:
                self._typed += bytes([octet])
        return said

    def _answer(self, command: str, now_ns: int) -> bytes:
        found = _COMMAND.fullmatch(command)
        if found is None or int(found[1]) != self.address:
            return b""
        self.running = found[2] == "P4"
        self._due_ns = None
        told = {"UN": str(self.unit), "TU": "0", "SN": self.serial, "MN": "6000-30A", "VR": "R5.20"}
        if found[2] in told:
            return self._reply(f"{found[2]}={told[found[2]]}")
        if found[2] == "P3":
            return self._pressure(now_ns)
        t_s = now_ns / _SECOND_NS
        measured = {
            "Q3": ("temperature_of_pressure_sensor", float(self.sea.temperature_c(t_s)) + 0.2, 3),
            "TT": ("air_temperature", 28.5 + self._random.gauss(0.0, 0.05), 2),
            "RH": ("relative_humidity", 81.0 + self._random.gauss(0.0, 0.3), 1),
        }
        if found[2] not in measured:
            return b""
        name, value, decimals = measured[found[2]]
        printed = f"{value:.{decimals}f}"
        self._tell(now_ns, name, float(printed))
        return self._reply(printed)

    def _pressure(self, now_ns: int) -> bytes:
        dbar = _AIR_DBAR + self._random.gauss(0.0, 2e-4)
        if self.measures == "sea_water":
            dbar += (float(self.sea.level_m(now_ns / _SECOND_NS)) + self.below_datum_m) * _DBAR_PER_M
        value, mischief = self._spoil(self._samples, dbar / _DBAR[self.unit], now_ns)
        self._samples += 1
        printed = f"{value:.5f}"
        if self.measures == "air":
            told = {"air_pressure": round(float(printed) * (_DBAR[self.unit] * 100), 5)}
        else:
            told = {"sea_water_pressure": round(float(printed) * _DBAR[self.unit], 7)}
        self.said.append(Said(now_ns, None, told, mischief))
        return self._reply(printed)

    def _tell(self, now_ns: int, name: str, value: float) -> None:
        """Adds to the sample whose pressure was said last."""
        if self.said and name not in self.said[-1].values:
            last = self.said.pop()
            self.said.append(Said(last.at_ns, None, {**last.values, name: value}, last.mischief))
        else:
            self.said.append(Said(now_ns, None, {name: value}))

    def _reply(self, words: str) -> bytes:
        return f"*00{self.address:02}{words}\r\n".encode()
