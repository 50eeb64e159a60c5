"""A simulated Nortek Aquadopp: classic velocity records in earth coordinates, to the byte.

It measures from the start, the three configurations first. A soft break (`K1W%!Q`), confirmed by `MC`, ends that; then
it answers `AD`, `RC`, `BV`, `ID`, `GP`, `GH`, `GC`, and `ST` begins again. Each answer ends with ACK ACK; what it does
not know gets NACK NACK. Mischief falls on the east velocity.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from drivers.simulators.simulator import Said, Simulator, wrong_frames

_ECHO = "signal_intensity_from_multibeam_acoustic_doppler_velocity_sensor_in_sea_water"
_ACK, _NACK = b"\x06\x06", b"\x15\x15"
_BREAK = b"K1W%!Q"


def classic(id_: int, data: bytes) -> bytes:
    """A classic record: type, size in words, data, checksum."""
    body: bytes = bytes([0xA5, id_]) + ((len(data) + 6) // 2).to_bytes(2, "little") + data
    words: tuple[int, ...] = struct.unpack(f"<{len(body) // 2}H", body)
    return body + ((0xB58C + sum(words)) & 0xFFFF).to_bytes(2, "little")


def _size_at(data: bytes, at: int) -> tuple[int, bool]:
    if data[at] != 0xA5:
        return 0, False
    return 2 * int.from_bytes(data[at + 2 : at + 4], "little"), data[at + 1] == 0x01


def _decimal(*numbers: int) -> bytes:
    return bytes(number // 10 * 16 + number % 10 for number in numbers)


@dataclass
class AquadoppSimulator(Simulator):
    """An Aquadopp at `depth_m`."""

    drivers = (("nortek_classic",),)
    spoils = "eastward_sea_water_velocity (m s-1)"

    depth_m: float = 8.0
    serial: str = "AQD 8493"

    def __post_init__(self) -> None:
        if self.interval_s < 1:
            raise ValueError(f"interval_s must be 1 or more, not {self.interval_s}: its clock counts whole seconds")
        self._measuring, self._told, self._heard = True, False, b""
        self._due_ns: int | None = None
        self._sample = 0

    def tick(self, now_ns: int) -> bytes:
        """The record that is due, or nothing; the configurations when measuring begins."""
        shown_ns = self._shows_ns(now_ns)
        step_ns = round(self.interval_s * 1e9)
        if self._due_ns is None or shown_ns - self._due_ns > 10 * step_ns:
            self._due_ns = shown_ns // step_ns * step_ns + (step_ns if self._due_ns is None else 0)
        out = b""
        if self._measuring and self.speaking and not self._told:
            self._told = True
            out = self._hardware() + self._head() + self._user()
        while shown_ns >= self._due_ns:
            if self._measuring and self.speaking:
                out += self._record(now_ns, self._due_ns)
            self._due_ns += step_ns
        return out

    def receive(self, data: bytes, now_ns: int) -> bytes:
        """A break, and commands of two letters; while it measures, nothing else is heard."""
        out = b""
        for byte in data:
            self._heard += bytes([byte])
            if self._heard.endswith(_BREAK):
                out, self._heard = out + _ACK, b""
            elif self._measuring:
                if self._heard.endswith(b"MC"):
                    self._measuring, self._heard = False, b""
                    out += b"\r\nCommand mode\r\n" + _ACK
                self._heard = self._heard[-len(_BREAK) :]
            elif self._heard[:1] in (b"@", b"\r", b"\n"):
                self._heard = b""
            elif len(self._heard) == 2 and not _BREAK.startswith(self._heard):
                command, self._heard = self._heard, b""
                out += self._answer(command, now_ns)
        return out

    def falsifier(self) -> Callable[[bytes], bytes]:
        """Of velocity records."""
        return lambda said: wrong_frames(said, _size_at)

    def _answer(self, command: bytes, now_ns: int) -> bytes:
        shown_ns = self._shows_ns(now_ns)
        when = datetime.fromtimestamp(shown_ns // 1_000_000_000, UTC)
        if command == b"AD":
            return self._record(now_ns, shown_ns // 1_000_000_000 * 1_000_000_000) + _ACK
        if command == b"RC":
            return _decimal(when.minute, when.second, when.day, when.hour, when.year % 100, when.month) + _ACK
        if command == b"BV":
            return (11_700).to_bytes(2, "little") + _ACK
        if command == b"ID":
            return self.serial.ljust(14).encode() + _ACK
        if command in (b"GP", b"GH", b"GC"):
            return {b"GP": self._hardware, b"GH": self._head, b"GC": self._user}[command]() + _ACK
        if command == b"ST":
            self._measuring = True
            return _ACK
        return _ACK if command == b"MC" else _NACK

    def _hardware(self) -> bytes:
        body = self.serial.ljust(14).encode() + struct.pack("<6H", 3, 2000, 0, 4, 144, 0) + bytes(12) + b"3.37"
        return classic(0x05, body)

    def _head(self) -> bytes:
        matrix = (6461, -3232, -3232, 0, -5596, 5596, 1506, 1506, 1506)
        body = struct.pack("<3H", 7, 2000, 1) + b"ASP 5472".ljust(12, b"\0") + bytes(8) + struct.pack("<9h", *matrix)
        return classic(0x04, body + bytes(150) + bytes(22) + struct.pack("<H", 3))

    def _user(self) -> bytes:
        body = bytearray(506)
        average = round(self.interval_s)
        struct.pack_into("<18H", body, 0, 0, 40, 0, 0, 512, 1, average, 3, 0, 0, 0, 0, 0, 1, 0, 1, 1024, average)
        body[36:42] = b"SIMUL\0"
        return classic(0x00, bytes(body))

    def _record(self, now_ns: int, time_ns: int) -> bytes:
        self._sample += 1
        rng = np.random.default_rng([self.seed, self._sample])
        t_s = (time_ns - self._ahead_ns(now_ns)) / 1e9
        east, north = (float(part[0]) for part in self.sea.current_ms(t_s, np.array([self.depth_m])))
        east += float(rng.normal(0, 0.02))
        east, mischief = self._spoil(self._sample - 1, east, now_ns)
        raw = [max(-32000, min(32000, round(v * 1000))) for v in (east, north, 0.004 * np.sin(t_s / 9))]
        when = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
        above = float(self.sea.level_m(t_s) - self.sea.mean_level_m) + self.depth_m
        pressure = max(round(above * 1021 * 9.78 / 10), 0)
        temperature = round(float(self.sea.temperature_c(t_s, self.depth_m)) * 100)
        heading, pitch, roll = 1964, round(12 * np.sin(t_s / 47)), round(-18 + 5 * np.sin(t_s / 31))
        echo = [int(value) for value in rng.integers(110, 145, 3)]
        clock = _decimal(when.minute, when.second, when.day, when.hour, when.year % 100, when.month)
        body = clock + struct.pack(
            "<HHHHhhhBBHh3h3Bx", 0, 0, 117, 15400, heading, pitch, roll, pressure >> 16, 0x11, pressure & 0xFFFF,
            temperature, *raw, *echo,
        )  # fmt: skip
        names = ("eastward_sea_water_velocity", "northward_sea_water_velocity", "upward_sea_water_velocity")
        values = {
            "battery_voltage": 11.7,
            "speed_of_sound_in_sea_water": 1540.0,
            "platform_orientation": heading / 10,
            "platform_pitch_fore_up": pitch / 10,
            "platform_roll_starboard_down": roll / 10,
            "sea_water_temperature": temperature / 100,
            "device_status": 0x11,
            "sea_water_pressure_due_to_sea_water": pressure / 1000,
            "device_error": 0,
            "auxiliary_counts_1": 0,
            **{name: mm / 1000 for name, mm in zip(names, raw, strict=True)},
            **{f"{_ECHO}_beam_{beam + 1}": count for beam, count in enumerate(echo)},
        }
        self.said.append(Said(now_ns, time_ns, values, mischief))
        return classic(0x01, body)
