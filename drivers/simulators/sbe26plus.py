"""A simulated SBE 26plus Seagauge on a quay wall: it logs tides, prints them in real time, and takes commands.

It starts as the real one does after `Start`: with the prompt and the announcement that logging begins in 10 seconds.
A real Seagauge takes a tide sample every minute at most; intervals from 1 s are allowed here so that a demonstration
has something to show. Absolute pressure is that of the air, 1010.00 hPa, and of sea water of 1021 kg/m3 under
9.78 m/s2 above the sensor, averaged over the interval; the time printed is the interval's start.

Known commands: `Start`, `Stop`, `DS`, `TS`; an empty line brings the prompt. Mischief is in dbar.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from drivers.simulators.simulator import Said, Simulator

_AIR_PA = 101_000.0
_PA_PER_M = 1021 * 9.78
_PA_PER_PSI = 6894.757293168
_PA_PER_DBAR = 10_000.0
_SECOND_NS = 1_000_000_000
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _printed_time(time_ns: int) -> str:
    when = datetime.fromtimestamp(time_ns // _SECOND_NS, UTC)
    return f"{when:%d} {_MONTHS[when.month - 1]} {when:%Y %H:%M:%S}"  # %b would follow the host's language


@dataclass
class Sbe26plusSimulator(Simulator):
    """One Seagauge with its sensor `below_datum_m` under the station's datum. `logging`: from the start."""

    drivers = (("sbe26plus",),)
    spoils = "sea_water_pressure (dbar)"

    interval_s: float = 2.0
    below_datum_m: float = 2.0
    serial: int = 1385
    logging: bool = True

    def __post_init__(self) -> None:
        if self.interval_s < 1:
            raise ValueError(f"interval_s must be 1 or more, not {self.interval_s}: the printed time has whole seconds")
        self._random = np.random.default_rng(self.seed)
        self._line = b""
        self._greeted = False
        self._start_ns: int | None = None  # of the interval that is being averaged
        self._samples = 0
        self._last = "p = 0.0000, t = 0.0000"

    def tick(self, now_ns: int) -> bytes:
        """The tide lines of the intervals that have ended."""
        said = b""
        if not self._greeted:
            self._greeted = True
            said = b"\r\nSBE 26plus\r\nS>"
            if self.logging:
                said += b"Start\r\n" + self._begin(now_ns)
        step_ns = round(self.interval_s * _SECOND_NS)
        while self.logging and self.speaking and self._start_ns is not None and now_ns >= self._start_ns + step_ns:
            start_ns = self._start_ns
            self._start_ns += step_ns
            if now_ns - start_ns > 10 * step_ns:
                continue  # the host slept; the recorder's memory has these, its line does not
            values, mischief = self._measure(start_ns, start_ns + step_ns)
            p, pt, t = values
            printed_ns = self._shows_ns(start_ns) // _SECOND_NS * _SECOND_NS
            said += f"tide: start time = {_printed_time(printed_ns)}, p = {p}, pt = {pt}, t = {t}\r\n".encode()
            self._say(now_ns, printed_ns, values, mischief)
        return said

    def receive(self, data: bytes, now_ns: int) -> bytes:
        """Echo, and the answer to each command."""
        said = b""
        for byte in data:
            if byte == 0x0D:
                command, self._line = self._line.decode("ascii", "replace").strip(), b""
                said += b"\r\n" + self._answer(command, now_ns)
            elif 0x20 <= byte < 0x7F and len(self._line) < 80:
                self._line += bytes([byte])
                said += bytes([byte])
        return said

    def _answer(self, command: str, now_ns: int) -> bytes:
        name = command.upper()
        if name == "START":
            self.logging = True
            return self._begin(now_ns)
        if name == "STOP":
            self.logging = False
            return b"S>"
        if name == "DS":
            return self._status(now_ns) + b"S>"
        if name == "TS":
            values, mischief = self._measure(now_ns, now_ns)
            p, pt, t = values
            self._say(now_ns, None, values, mischief)
            return f" {p} {pt}  {t}\r\nS>".encode()
        return b"?CMD\r\nS>" if command else b"S>"

    def _begin(self, now_ns: int) -> bytes:
        self._start_ns = now_ns + 10 * _SECOND_NS
        return b"logging will start in 10 seconds\r\n"

    def _status(self, now_ns: int) -> bytes:
        date, clock = _printed_time(self._shows_ns(now_ns)).rsplit(" ", 1)
        return "\r\n".join(
            [
                f"SBE 26plus-quartz V 7.2  SN {self.serial}    {date}  {clock}",
                "user info=",
                "quartz pressure sensor: serial number = 113401, range = 100 psia",
                "internal temperature sensor",
                "conductivity = NO",
                "iop =  8.3 ma  vmain = 15.4 V  vlith =  9.0 V",
                f"last sample: {self._last}",
                "",
                f"tide measurement: interval = {self.interval_s / 60:.3f} minutes, "
                f"duration = {self.interval_s:.0f} seconds",
                f"total recorded tide measurements = {self._samples}",
                "",
                "transmit real-time tide data = YES",
                "transmit real-time wave burst data = NO",
                "transmit real-time wave statistics = NO",
                "",
                f"status = {'logging' if self.logging else 'stopped by user'}",
                f"logging = {'YES' if self.logging else 'NO, send start command to begin logging'}",
                "",
            ]
        ).encode()

    def _measure(self, start_ns: int, end_ns: int) -> tuple[tuple[str, str, str], str]:
        """((p, pt, t) as printed, the mischief done): p the mean of the interval, the temperatures at its end."""
        over_s = np.linspace(start_ns / 1e9, end_ns / 1e9, 16)
        depth_m = float(np.mean(self.sea.level_m(over_s))) + self.below_datum_m
        dbar = (_AIR_PA + _PA_PER_M * depth_m) / _PA_PER_DBAR + float(self._random.normal(0, 2e-4))
        dbar, mischief = self._spoil(self._samples, dbar, end_ns)
        self._samples += 1
        t_c = float(self.sea.temperature_c(end_ns / 1e9, depth_m)) + float(self._random.normal(0, 3e-4))
        p, pt, t = f"{dbar * _PA_PER_DBAR / _PA_PER_PSI:.4f}", f"{t_c + 0.14:.3f}", f"{t_c:.4f}"
        self._last = f"p = {p}, t = {t}"
        return (p, pt, t), mischief

    def _say(self, now_ns: int, time_ns: int | None, printed: tuple[str, str, str], mischief: str) -> None:
        p, pt, t = printed
        values = {
            "sea_water_pressure": round(float(p) * _PA_PER_PSI / _PA_PER_DBAR, 5),
            "temperature_of_pressure_sensor": float(pt),
            "sea_water_temperature": float(t),
        }
        self.said.append(Said(now_ns, time_ns, values, mischief))
