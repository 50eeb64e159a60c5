"""A small piece of sea for simulated instruments: smooth, repeatable, and right in size for South-East Asian waters.

All functions take Unix time in seconds (float or array) and are pure; random noise is the instruments' own business.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_CONSTITUENTS = (  # speed in degrees per hour, amplitude m, phase degrees: a mixed tide as in the Singapore Strait
    (28.9841042, 0.79, 310.0),
    (30.0, 0.33, 355.0),
    (15.0410686, 0.30, 102.0),
    (13.9430356, 0.29, 52.0),
)


@dataclass(frozen=True, slots=True)
class Sea:
    """The sea around one place."""

    latitude: float = 1.2286
    longitude: float = 103.8500
    mean_level_m: float = 1.65
    depth_m: float = 22.0

    def level_m(self, t_s: float | Array) -> Array:
        """Water level above the station's datum."""
        hours = np.asarray(t_s, np.float64) / 3600.0
        level = np.asarray(self.mean_level_m + 0.03 * np.sin(2 * np.pi * hours / 0.35))
        for speed, amplitude, phase in _CONSTITUENTS:
            level = level + amplitude * np.cos(np.radians(speed * hours - phase))
        return np.asarray(level, np.float64)

    def temperature_c(self, t_s: float | Array, depth_m: float = 5.0) -> Array:
        """Sea water temperature: a daily cycle that fades with depth, and internal waves."""
        t = np.asarray(t_s, np.float64)
        day = 2 * np.pi * (t / 86400.0 - 0.58)
        swing = 0.35 * np.exp(-depth_m / 8) * np.cos(day) + 0.05 * np.sin(2 * np.pi * t / 930.0)
        return np.asarray(29.1 - 0.06 * depth_m + swing, np.float64)

    def salinity(self, t_s: float | Array, depth_m: float = 5.0) -> Array:
        """Practical salinity."""
        t = np.asarray(t_s, np.float64)
        return 31.8 + 0.02 * depth_m + 0.15 * np.sin(2 * np.pi * t / 44714.0) + 0.01 * np.sin(2 * np.pi * t / 700.0)

    def ph(self, t_s: float | Array) -> Array:
        """pH on the total scale: algae take up carbon dioxide by day."""
        day = 2 * np.pi * (np.asarray(t_s, np.float64) / 86400.0 - 0.62)
        return np.asarray(8.01 + 0.04 * np.cos(day), np.float64)

    def current_ms(self, t_s: float, depth_m: Array) -> tuple[Array, Array]:
        """(east, north) velocity at the depths: the tidal stream, less near the bottom, turning a little with depth."""
        phase = 2 * np.pi * t_s / 44714.0
        height = np.clip(1.0 - np.asarray(depth_m, np.float64) / (self.depth_m + 2.0), 0.02, 1.0) ** (1 / 7)
        turn = np.radians(60.0 + 0.8 * np.asarray(depth_m, np.float64))
        speed = 0.85 * np.cos(phase) * height
        return speed * np.sin(turn), speed * np.cos(turn) + 0.12 * np.sin(phase) * height

    def ship(self, t_s: float) -> tuple[float, float, float, float]:
        """(latitude, longitude, course degrees, speed m/s) of a ship on a long figure-of-eight around the place."""
        a, b, period_s = 0.20, 0.09, 6 * 3600.0  # degrees north-east of the centre, and one round
        w = 2 * np.pi / period_s
        east, north = a * np.sin(w * t_s), b * np.sin(2 * w * t_s)
        v_east, v_north = a * w * np.cos(w * t_s), 2 * b * w * np.cos(2 * w * t_s)
        metres = 111_195.0
        v_east_ms = v_east * metres * np.cos(np.radians(self.latitude))
        v_north_ms = v_north * metres
        course = float(np.degrees(np.arctan2(v_east_ms, v_north_ms)) % 360.0)
        return (
            float(self.latitude + north),
            float(self.longitude + east),
            course,
            float(np.hypot(v_east_ms, v_north_ms)),
        )
