"""A simulated RBRconcerto3 (L3) or RBRconcerto4 (Gen4) with conductivity, temperature and pressure.

It streams from the start where `streaming` says so, takes samples for `fetch` and `poll`, and answers `id`,
`outputformat` and `streamserial`. L3 prints caltext01, 02 or 07; Gen4 its default with serial number and CRC. Mischief
is in degrees Celsius.
"""

import re
from binascii import crc_hqx
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Literal

from drivers.simulators.sbe37 import conductivity_s_m
from drivers.simulators.simulator import Said, Simulator, wrong_digits

_SECOND_NS = 1_000_000_000
_LONGEST_COMMAND = 200
_AIR_DBAR = 10.1325
_CRC = re.compile(rb"(?<= 0x[0-9A-F]{3})[0-9A-F](?=\r\n)")
_LABELS = "conductivity_00|temperature_00|pressure_00"


def engineering(value: float) -> str:
    """`value` as Gen4 prints a float32: nine digits, exponent a multiple of three."""
    exponent = 0
    while value and abs(value) < 0.9999999995 and exponent > -9:
        value, exponent = value * 1000, exponent - 3
    while abs(value) >= 999.9999995:
        value, exponent = value / 1000, exponent + 3
    return f"{value:.{9 - len(str(int(abs(value))))}f}e{exponent:+04d}"


@dataclass
class RbrSimulator(Simulator):
    """One CTD, `depth_m` below mean sea level. `outputformat`: caltext01, caltext02 or caltext07 of L3, or `gen4`."""

    drivers = (("rbr",),)
    spoils = "sea_water_temperature (degC)"

    depth_m: float = 5.0
    streaming: bool = True
    outputformat: Literal["caltext01", "caltext02", "caltext07", "gen4"] = "caltext01"
    serial: str = "204347"

    def __post_init__(self) -> None:
        if self.interval_s < 0.0625:
            raise ValueError(f"interval_s must be 0.0625 (16 Hz) or more, not {self.interval_s}")
        self._random = Random(self.seed)
        self._typed = b""
        self._due_ns: int | None = None
        self._samples = 0

    def tick(self, now_ns: int) -> bytes:
        """The sample that is due."""
        if not self.streaming or not self.speaking:
            return b""
        if self._due_ns is None:
            self._due_ns = now_ns
        if now_ns < self._due_ns:
            return b""
        step_ns = round(self.interval_s * _SECOND_NS)
        self._due_ns += step_ns * (1 + (now_ns - self._due_ns) // step_ns)
        return self._sample(now_ns, "sch_fast_CTD")

    def receive(self, data: bytes, now_ns: int) -> bytes:
        """The answers to the commands in `data`; an RBR does not echo."""
        said = b""
        for octet in data:
            if octet in (0x0D, 0x0A):
                command, self._typed = self._typed.decode("ascii", "replace").strip(), b""
                if command or octet == 0x0D:
                    said += self._answer(command, now_ns) + b"Ready: "
            elif len(self._typed) < _LONGEST_COMMAND:
                self._typed += bytes([octet])
        return said

    def falsifier(self) -> Callable[[bytes], bytes] | None:
        """Of Gen4 samples; L3 has no CRC."""
        return (lambda said: wrong_digits(said, _CRC)) if self.outputformat == "gen4" else None

    def _answer(self, command: str, now_ns: int) -> bytes:
        gen4 = self.outputformat == "gen4"
        if command == "id":
            if gen4:
                return f"id model = RBRconcerto4, serial = {self.serial}, version = 1.14.5, fwtype = 150\r\n".encode()
            return f"id model = RBRconcerto3, version = 1.116, serial = {self.serial}, fwtype = 104\r\n".encode()
        if command == ("poll" if gen4 else "fetch"):
            return self._sample(now_ns, "polling")
        if not gen4 and command == "outputformat labelslist":
            return f"outputformat labelslist = {_LABELS}\r\n".encode()
        if not gen4 and command == "outputformat channelslist":
            return b"outputformat channelslist = conductivity(mS/cm)|temperature(C)|pressure(dbar)\r\n"
        if not gen4 and command.startswith("streamserial state = "):
            self.streaming, self._due_ns = command.endswith("= on"), None
            return f"{command}\r\n".encode()
        if not command:
            return b""
        word = command.split(" ")[0]
        return f"{'ERR-102' if gen4 else 'E0102'} invalid command '{word}'\r\n".encode()

    def _sample(self, now_ns: int, schedule: str) -> bytes:
        t_s = now_ns / _SECOND_NS
        depth_m = self.depth_m + float(self.sea.level_m(t_s)) - self.sea.mean_level_m
        sea_t = float(self.sea.temperature_c(t_s, self.depth_m)) + self._random.gauss(0.0, 0.0005)
        salinity = float(self.sea.salinity(t_s, self.depth_m)) + self._random.gauss(0.0, 0.0005)
        sea_dbar = depth_m * 1.0055 + self._random.gauss(0.0, 0.002)
        temperature, mischief = self._spoil(self._samples, sea_t, now_ns)
        self._samples += 1
        values = (10 * conductivity_s_m(sea_t, salinity, sea_dbar), temperature, sea_dbar + _AIR_DBAR)
        milliseconds = self._shows_ns(now_ns) // 1_000_000
        at = datetime.fromtimestamp(milliseconds / 1000, UTC)
        stamp = f"{at:%Y-%m-%d %H:%M:%S}.{milliseconds % 1000:03}"
        if self.outputformat == "gen4":
            printed = [engineering(value) for value in values]
            line = f"RBR {self.serial} {schedule} {stamp} {' '.join(printed)} "
            line += f"0x{crc_hqx(line.encode(), 0xFFFF):04X}"
        else:
            printed = [f"{value:.4f}" for value in values]
            units = (" mS/cm", " C", " dB") if self.outputformat == "caltext02" else ("", "", "")
            head = f"RBR {self.serial}, " if self.outputformat == "caltext07" else ""
            line = head + ", ".join([stamp, *(value + unit for value, unit in zip(printed, units, strict=True))])
        decimals = 9 if self.outputformat == "gen4" else 4
        told = {
            "sea_water_electrical_conductivity": round(float(printed[0]) / 10, decimals + 1),
            "sea_water_temperature": round(float(printed[1]), decimals),
            "sea_water_pressure": round(float(printed[2]), decimals),
        }
        self.said.append(Said(now_ns, milliseconds * 1_000_000, told, mischief))
        return f"{line}\r\n".encode()
