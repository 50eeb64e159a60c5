"""A simulated ship under way: the sentences of its GNSS receiver and its gyro compass, on one line, and of what else it
carries.

Each second the receiver says ZDA, GGA and RMC of the fix on the full second, `LATENCY_NS` after it, as real receivers
do; the gyro says HDT `heading_hz` times a second. GGA, RMC and HDT are samples of the ledger; ZDA gives only the
date, and stands first so that each fix has one. What it `carries` follows each fix: a motion sensor (PSXN,23), an echo
sounder (DPT), a speed log (VBW over water and ground), an ADCP's log (PUHAW,UVH), an anemometer (MWV,R) and a weather
station (XDR of Vaisala). Mischief falls on the heading (kept within 0 to 360 degrees).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from operator import xor

import numpy as np

from drivers.simulators.simulator import Said, Simulator, wrong_digits

LATENCY_NS = 90_000_000
_KNOT = 1852.0 / 3600.0
CARGO = ("motion_sensor", "echo_sounder", "speed_log", "adcp_log", "anemometer", "weather_station")
_MINUTE_STEPS = 100_000  # minutes are printed with 5 decimals


def sentence(body: str) -> bytes:
    """`body` as a whole NMEA 0183 sentence, with checksum and CR LF."""
    return f"${body}*{reduce(xor, body.encode(), 0):02X}\r\n".encode()


def angle(degrees: float, degree_digits: int, hemispheres: str) -> tuple[str, float]:
    """(`ddmm.mmmmm,N` as printed, the degrees that this says)."""
    steps = round(abs(degrees) * 60 * _MINUTE_STEPS)
    whole, rest = divmod(steps, 60 * _MINUTE_STEPS)
    minutes, fraction = divmod(rest, _MINUTE_STEPS)
    hemisphere = hemispheres[1] if degrees < 0 else hemispheres[0]
    said = round(steps / (60 * _MINUTE_STEPS), 7)
    return f"{whole:0{degree_digits}d}{minutes:02d}.{fraction:05d},{hemisphere}", -said if degrees < 0 else said


@dataclass
class ShipSimulator(Simulator):
    """A ship that follows `sea.ship`. `interval_s` is that of the fixes, whole seconds; `heading_hz` is 1 to 10;
    `carries` are any of `CARGO`."""

    drivers = (("nmea0183",),)
    spoils = "platform_orientation (degree)"

    heading_hz: int = 5
    carries: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.heading_hz <= 10:
            raise ValueError(f"heading_hz must be 1 to 10, not {self.heading_hz}")
        if self.interval_s < 1 or self.interval_s != int(self.interval_s):
            raise ValueError(f"interval_s must be whole seconds, not {self.interval_s}")
        odd = sorted(set(self.carries) - set(CARGO))
        if odd:
            raise ValueError(f"a ship cannot carry {', '.join(odd)}; it can: {', '.join(CARGO)}")
        self._random = np.random.default_rng(self.seed)
        self._fix_ns: int | None = None  # of the next fix
        self._heading_ns = 0  # when the next heading is due
        self._headings = 0

    def tick(self, now_ns: int) -> bytes:
        fix_step_ns = int(self.interval_s) * 1_000_000_000
        heading_step_ns = 1_000_000_000 // self.heading_hz
        if self._fix_ns is None or now_ns - self._fix_ns > 10 * fix_step_ns:
            self._fix_ns = -(-now_ns // fix_step_ns) * fix_step_ns
            self._heading_ns = -(-now_ns // heading_step_ns) * heading_step_ns
        said = b""
        while True:
            due_ns = min(self._fix_ns + LATENCY_NS, self._heading_ns)
            if now_ns < due_ns:
                return said
            if due_ns == self._heading_ns:
                said += self._say_heading(now_ns, due_ns) if self.speaking else b""
                self._heading_ns += heading_step_ns
            else:
                said += self._say_fix(now_ns, self._fix_ns) if self.speaking else b""
                self._fix_ns += fix_step_ns

    def falsifier(self) -> Callable[[bytes], bytes]:
        """Of every sentence but PUHAW, which has none."""
        return wrong_digits

    def _note(self, now_ns: int, time_ns: int | None, values: Mapping[str, float], mischief: str = "") -> None:
        self.said.append(Said(now_ns, time_ns, values, mischief))

    def _say_fix(self, now_ns: int, fix_ns: int) -> bytes:
        shown_ns = self._shows_ns(fix_ns) // 10_000_000 * 10_000_000
        latitude, longitude, course, speed_ms = self.sea.ship(fix_ns / 1e9)
        latitude_text, latitude_said = angle(latitude, 2, "NS")
        longitude_text, longitude_said = angle(longitude, 3, "EW")
        position = {"latitude": latitude_said, "longitude": longitude_said}
        altitude = round(28.4 + self._random.normal(0.0, 0.6), 1)
        satellites = int(self._random.integers(8, 13))
        dilution = round(0.8 + 0.1 * int(self._random.integers(0, 4)), 1)
        knots, course = round(speed_ms / _KNOT, 2), round(course, 2) % 360
        self._note(
            now_ns,
            shown_ns,
            position
            | {
                "altitude": altitude,
                "geoid_height_above_reference_ellipsoid": 7.4,
                "gnss_fix_quality": 1,
                "gnss_satellites_used": satellites,
                "gnss_horizontal_dilution_of_precision": dilution,
            },
        )
        self._note(
            now_ns,
            shown_ns,
            position | {"platform_speed_wrt_ground": round(knots * _KNOT, 4), "platform_course": course},
        )
        at = datetime.fromtimestamp(shown_ns // 1_000_000_000, UTC)
        clock = f"{at:%H%M%S}.{shown_ns % 1_000_000_000 // 10_000_000:02d}"
        place = f"{latitude_text},{longitude_text}"
        others = [self._say_cargo(cargo, now_ns, fix_ns / 1e9, course, speed_ms) for cargo in self.carries]
        return (
            sentence(f"GPZDA,{clock},{at:%d,%m,%Y},00,00")
            + sentence(f"GPGGA,{clock},{place},1,{satellites:02d},{dilution:.1f},{altitude:.1f},M,7.4,M,,")
            + sentence(f"GPRMC,{clock},A,{place},{knots:.2f},{course:.2f},{at:%d%m%y},,,A")
            + b"".join(others)
        )

    def _say_cargo(self, cargo: str, now_ns: int, t_s: float, course: float, speed_ms: float) -> bytes:
        def wave(height: float, period_s: float, decimals: int = 2) -> float:
            return round(height * float(np.sin(2 * np.pi * t_s / period_s)), decimals) + 0.0

        knots = speed_ms / _KNOT
        if cargo == "motion_sensor":
            roll, pitch, heave = wave(3.1, 9.7), wave(1.2, 6.1), wave(0.6, 7.9)
            heading = round((course + wave(1.0, 13.0)) % 360.0, 2) % 360.0
            body = f"PSXN,23,{roll:.2f},{pitch:.2f},{heading:.2f},{heave:.2f}"
            values = {
                "platform_roll_starboard_down": roll,
                "platform_pitch_fore_up": pitch,
                "platform_orientation": heading,
                "platform_heave_down": heave,
            }
        elif cargo == "echo_sounder":
            depth = round(self.sea.depth_m + float(self.sea.level_m(t_s)) - 3.2, 2)
            body = f"SDDPT,{depth:.2f},3.20,100.0"
            values = {"sea_floor_depth_below_transducer": depth, "transducer_offset": 3.2}
        elif cargo == "speed_log":
            ahead, aside = round(knots + wave(0.4, 31.0), 2), wave(0.3, 17.0)
            body = f"VDVBW,{ahead:.2f},{aside:.2f},A,{knots:.2f},0.00,A"
            said = {"forward": (ahead, round(knots, 2)), "starboard": (aside, 0.0)}
            values = {
                f"platform_{way}_velocity_wrt_{medium}": round(speed * _KNOT, 4)
                for way, speeds in said.items()
                for medium, speed in zip(("sea_water", "ground"), speeds, strict=True)
            }
        elif cargo == "adcp_log":
            east, north = (round(knots * float(f(np.radians(course))), 2) + 0.0 for f in (np.sin, np.cos))
            heading = round(course, 1) % 360.0
            body = f"PUHAW,UVH,{east:.2f},{north:.2f},{heading:.1f}"
            values = {
                "platform_eastward_velocity_wrt_sea_water": round(east * _KNOT, 4),
                "platform_northward_velocity_wrt_sea_water": round(north * _KNOT, 4),
                "platform_orientation": heading,
            }
            self._note(now_ns, None, values)
            return f"${body}\r\n".encode()
        elif cargo == "anemometer":
            speed, angle = round(8.0 + wave(2.0, 23.0), 1), round(40.0 + wave(30.0, 41.0), 1)
            body = f"WIMWV,{angle:05.1f},R,{speed:.1f},M,A"
            values = {"relative_wind_speed": speed, "relative_wind_from_direction": angle}
        else:
            air, humidity, pressure = round(28.0 + wave(1.5, 86400.0), 1), 78.5, round(1009.0 + wave(1.5, 43200.0), 1)
            body = f"WIXDR,C,{air:.1f},C,0,H,{humidity:.1f},P,0,P,{pressure:.1f},H,0"
            values = {"air_temperature": air, "relative_humidity": humidity, "air_pressure": pressure}
        self._note(now_ns, None, values)
        return sentence(body)

    def _say_heading(self, now_ns: int, due_ns: int) -> bytes:
        t_s = due_ns / 1e9
        course = self.sea.ship(t_s)[2]
        yaw = 1.5 * np.sin(2 * np.pi * t_s / 11.0) + self._random.normal(0.0, 0.05)
        heading, fault = self._spoil(self._headings, float(course + yaw), now_ns)
        self._headings += 1
        printed = round(heading % 360.0, 2) % 360.0
        self._note(now_ns, None, {"platform_orientation": printed}, fault)
        return sentence(f"HEHDT,{printed:.2f},T")
