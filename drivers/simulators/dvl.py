"""A simulated Teledyne RDI DVL under a ship's keel, over the sea bed: PD6 lines or PD5 records, to the byte.

The ship goes round and round at three knots; the water moves as the sea does. At times the bottom is lost, and then
its velocities are bad. A soft break (`===`) or a NUL byte stops the pinging and brings the prompt; `CS` starts it.
Mischief falls on the velocity over the bottom toward the east.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import numpy as np

from drivers.simulators.simulator import Said, Simulator, wrong_frames

_BAD = -32768
_FASTEST = 32000
_BANNER = (
    b"\r\nPathfinder DVL\r\nTeledyne RD Instruments (c) 2018\r\nAll rights reserved.\r\n"
    b"Firmware Version: 67.01\r\n\r\n>"
)
_AXES = ("eastward", "northward", "upward", "error")
_WAYS = ("east", "north", "up", "error")


def _size_at(data: bytes, at: int) -> tuple[int, bool]:
    if data[at] != 0x7D:
        return 0, False
    return int.from_bytes(data[at + 2 : at + 4], "little") + 2, True


@dataclass
class DvlSimulator(Simulator):
    """A 600 kHz DVL that speaks `output`, in earth coordinates."""

    drivers = (("trdi_dvl",),)
    spoils = "dvl_bottom_track_eastward_velocity (m s-1)"

    output: Literal["PD5", "PD6"] = "PD6"

    def __post_init__(self) -> None:
        if self.interval_s < 0.1:
            raise ValueError(f"interval_s must be 0.1 or more, not {self.interval_s}: a DVL pings no faster")
        self._pinging = True
        self._line = b""
        self._due_ns: int | None = None
        self._sample = 0
        self._gone_m = np.zeros((2, 3))
        self._good_ns = 0

    def tick(self, now_ns: int) -> bytes:
        """The sample that is due, or nothing; samples fall on multiples of the interval, on its clock."""
        shown_ns = self._shows_ns(now_ns)
        step_ns = round(self.interval_s * 1e9)
        if self._due_ns is None or shown_ns - self._due_ns > 10 * step_ns:
            self._due_ns = shown_ns // step_ns * step_ns + (step_ns if self._due_ns is None else 0)
        said = b""
        while shown_ns >= self._due_ns:
            if self._pinging and self.speaking:
                said += self._ping(now_ns, self._due_ns // 10_000_000 * 10_000_000)
            self._due_ns += step_ns
        return said

    def receive(self, data: bytes, now_ns: int) -> bytes:
        """BREAK, and commands at the prompt; while it pings, nothing else is heard."""
        said = b""
        for byte in data:
            self._line += bytes([byte])
            if byte == 0 or self._line.endswith(b"==="):
                self._pinging, self._line = False, b""
                said += _BANNER
            elif self._pinging:
                self._line = self._line[-3:]
            elif byte in b"\r\n":
                command, self._line = self._line.strip().upper(), b""
                self._pinging = command == b"CS"
                said += b"\r\n" + (b"" if self._pinging else b">")
            else:
                said += bytes([byte])
                self._line = self._line[-80:]
        return said

    def falsifier(self) -> Callable[[bytes], bytes] | None:
        """Of PD5 records; lines of PD6 have no checksum."""
        return (lambda said: wrong_frames(said, _size_at)) if self.output == "PD5" else None

    def _ping(self, now_ns: int, time_ns: int) -> bytes:
        rng = np.random.default_rng([self.seed, self._sample])
        t_s = (time_ns - self._ahead_ns(now_ns)) / 1e9
        bearing = np.radians(t_s / 5 % 360)
        ship = np.array([1.54 * np.sin(bearing), 1.54 * np.cos(bearing), 0.05 * np.sin(t_s / 3)])
        east, north = self.sea.current_ms(t_s, np.array([5.0]))
        flow = np.array([float(east[0]), float(north[0]), 0.0])
        bottom = np.append(ship, 0.0) + rng.normal(0, 0.004, 4)
        water = np.append(ship - flow, 0.0) + rng.normal(0, 0.01, 4)
        bottom[0], mischief = self._spoil(self._sample, float(bottom[0]), now_ns)
        lost = rng.random() < 0.1
        speeds = np.clip(np.rint(np.array([water, bottom]) * 1000), -_FASTEST, _FASTEST).astype(np.int64)
        if lost:
            speeds[1] = _BAD
        else:
            self._good_ns = time_ns
        for track in (0, 1):
            if speeds[track, 0] != _BAD:
                self._gone_m[track] += speeds[track, :3] / 1000 * self.interval_s
        depth_m = float(self.sea.depth_m + self.sea.level_m(t_s) - self.sea.mean_level_m) - 4.2
        sensors = {
            "platform_pitch_fore_up": round(1.4 * float(np.sin(t_s / 4)), 2),
            "platform_roll_starboard_down": round(2.7 * float(np.sin(t_s / 6)), 2),
            "platform_orientation": round(float(np.degrees(bearing)), 2) % 360,
            "sea_water_temperature": round(float(self.sea.temperature_c(t_s, 4.2)), 1),
            "depth": 4.2,
            "built_in_test_result": 0,
        }
        speak = self._pd6 if self.output == "PD6" else self._pd5
        said, values = speak(time_ns, speeds, depth_m, sensors, rng)
        self._sample += 1
        self.said.append(Said(now_ns, time_ns, values, mischief))
        return said

    def _pd6(
        self,
        time_ns: int,
        speeds: np.ndarray,
        depth_m: float,
        sensors: dict[str, float | int],
        rng: np.random.Generator,
    ) -> tuple[bytes, dict[str, float | int | None]]:
        when = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
        hundredths = time_ns // 10_000_000 % 100
        pitch, roll, heading, temperature, depth, _ = sensors.values()
        lines = [
            f":SA,{pitch:+6.2f},{roll:+6.2f},{heading:6.2f}",
            f":TS,{when:%y%m%d%H%M%S}{hundredths:02d},35.0,{temperature:+5.1f},{depth:6.1f},1538.0,  0",
        ]
        values: dict[str, float | int | None] = {
            **sensors,
            "sea_water_practical_salinity": 35.0,
            "speed_of_sound_in_sea_water": 1538.0,
        }
        for row, track in enumerate(("water", "bottom")):
            letter, good = track[0].upper(), speeds[row, 0] != _BAD
            state = "A" if good else "V"
            lines.append(f":{letter}I," + ",".join(f"{mm:+6d}" for mm in speeds[row].tolist()) + f",{state}")
            lines.append(f":{letter}E," + ",".join(f"{mm:+6d}" for mm in speeds[row, :3].tolist()) + f",{state}")
            gone = [round(float(m), 2) for m in self._gone_m[row]]
            range_m = round(depth_m if track == "bottom" else depth_m / 2, 2)
            since_s = round((time_ns - self._good_ns) / 1e9, 2) if track == "bottom" and self._good_ns else 0.0
            lines.append(
                f":{letter}D," + ",".join(f"{m:+12.2f}" for m in gone) + f",{range_m:7.2f},{min(since_s, 999.0):6.2f}"
            )
            for i, axis in enumerate(("x", "y", "z", "error")):
                values[f"dvl_{track}_track_{axis}_velocity"] = int(speeds[row, i]) / 1000 if good else None
            for i, axis in enumerate(_AXES[:3]):
                values[f"dvl_{track}_track_{axis}_velocity"] = int(speeds[row, i]) / 1000 if good else None
                values[f"{track}_track_distance_{_WAYS[i]}"] = gone[i]
            values[f"{track}_track_range"] = range_m
            values[f"{track}_track_time_since_good"] = min(since_s, 999.0)
        volts = round(23.0 + float(rng.normal(0, 0.05)), 3)
        lines.append(f":HM,G,G,0DC0,0DC1,{volts:6.3f},0.512,44.900")
        values |= {
            "leak_sensor_a": 0x0DC0,
            "leak_sensor_b": 0x0DC1,
            "transmit_voltage": volts,
            "transmit_current": 0.512,
            "transducer_impedance": 44.9,
        }
        return "".join(line + "\r\n" for line in lines).encode(), values

    def _pd5(
        self,
        time_ns: int,
        speeds: np.ndarray,
        depth_m: float,
        sensors: dict[str, float | int],
        rng: np.random.Generator,
    ) -> tuple[bytes, dict[str, float | int | None]]:
        when = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
        pitch, roll, heading, temperature, depth, _ = sensors.values()
        lost = speeds[1, 0] == _BAD
        ranges = np.rint(depth_m * 100 + rng.normal(0, 5, 4)).astype(np.int64) * (not lost)
        gone = np.zeros((2, 4), np.int64)
        gone[:, :3] = np.rint(self._gone_m * 10)
        body = b"".join(
            [
                bytes([0x7D, 1, 86, 0, 0xF3]),  # earth coordinates, tilts and three beams used, 600 kHz
                speeds[1].astype("<i2").tobytes(),
                ranges.astype("<u2").tobytes(),
                bytes([0x55 if lost else 0]),
                speeds[0].astype("<i2").tobytes(),
                np.array([20, 90], "<u2").tobytes(),
                bytes([0, when.hour, when.minute, when.second, time_ns // 10_000_000 % 100]),
                np.array([0, 1538, round(temperature * 100)], "<u2").tobytes(),
                bytes([35]),
                np.array([round(depth * 10)], "<u2").tobytes(),
                np.array([round(pitch * 100), round(roll * 100)], "<i2").tobytes(),
                np.array([round(heading * 100)], "<u2").tobytes(),
                gone[1].astype("<i4").tobytes(),
                gone[0].astype("<i4").tobytes(),
            ]
        )
        values: dict[str, float | int | None] = {
            **sensors,
            "sea_water_practical_salinity": 35.0,
            "speed_of_sound_in_sea_water": 1538.0,
            "bottom_track_status": 0x55 if lost else 0,
            "water_track_status": 0,
            "water_track_layer_start": 2.0,
            "water_track_layer_end": 9.0,
        }
        for row, track in enumerate(("water", "bottom")):
            for i, (axis, way) in enumerate(zip(_AXES, _WAYS, strict=True)):
                mm = int(speeds[row, i])
                values[f"dvl_{track}_track_{axis}_velocity"] = None if mm == _BAD else mm / 1000
                values[f"{track}_track_distance_{way}"] = int(gone[row, i]) / 10
        for i in range(4):
            values[f"bottom_track_range_beam_{i + 1}"] = int(ranges[i]) / 100 if ranges[i] else None
        return body + (sum(body) & 0xFFFF).to_bytes(2, "little"), values
