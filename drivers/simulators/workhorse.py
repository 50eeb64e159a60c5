"""A simulated Teledyne RDI Workhorse on the sea bed, looking up: PD0 ensembles in earth coordinates, to the byte.

It pings from the start, as a deployed instrument does. A BREAK (on a line without breaks: a NUL byte, or `===`) stops
it and brings the prompt; `CS` and carriage return start it again. At the prompt it echoes, answers `CB?`, `TT?` and
`PS0`, takes any other command of two letters as a setting, and refuses the rest.

With `bottom_track` it also tracks the surface above it, as bottom track of an upward-looking instrument does. With
`hexadecimal` it speaks Hex-ASCII, as after `CF11010`: each ensemble as digits, then CR LF.

The side lobes of 20 degree beams meet the surface before the main lobe does, so the cells in the last 6 % of the range
to the surface, and all beyond, are bad. Mischief falls on the east velocity of the middle cell.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from drivers.simulators.simulator import Said, Simulator, wrong_digits, wrong_frames

_BAD = -32768
_FASTEST = 32000  # mm/s; an instrument that measures more is out of order
_ERROR = "indicative_error_from_multibeam_acoustic_doppler_velocity_profiler_in_sea_water"
_CORRELATION = "beam_consistency_indicator_from_multibeam_acoustic_doppler_velocity_profiler_in_sea_water"
_ECHO = "signal_intensity_from_multibeam_acoustic_doppler_velocity_sensor_in_sea_water"
_BANNER = (
    b"\r\nWorkHorse Broadband ADCP Version 51.40\r\nTeledyne RD Instruments (c) 1996-2010\r\nAll Rights Reserved.\r\n>"
)

_FIXED = np.dtype(
    {
        "names": [
            *("id", "version", "revision", "system", "beams", "cells", "pings", "size_cm", "blank_cm", "mode"),
            *("least_correlation", "code_repeats", "error_limit", "seconds_per_ping", "coordinates", "source"),
            *("available", "first_cm", "transmit_cm", "lag_cm", "bandwidth", "serial", "beam_angle"),
        ],
        "formats": [
            *("<u2", "u1", "u1", "<u2", "u1", "u1", "<u2", "<u2", "<u2", "u1"),
            *("u1", "u1", "<u2", "u1", "u1", "u1"),
            *("u1", "<u2", "<u2", "<u2", "<u2", "<u4", "u1"),
        ],
        "offsets": [0, 2, 3, 4, 8, 9, 10, 12, 14, 16, 17, 18, 20, 23, 25, 30, 31, 32, 34, 40, 50, 54, 58],
        "itemsize": 59,
    }
)
_VARIABLE = np.dtype(
    {
        "names": [
            *("id", "ensemble", "clock", "ensemble_high", "self_test", "sound_speed", "depth_dm", "heading", "pitch"),
            *(
                "roll",
                "salinity",
                "temperature",
                "spread",
                "adc",
                "status",
                "pressure_dapa",
                "pressure_variance",
                "y2k",
            ),
        ],
        "formats": [
            *("<u2", "<u2", "(7,)u1", "u1", "<u2", "<u2", "<u2", "<u2", "<i2"),
            *("<i2", "<u2", "<i2", "(3,)u1", "(8,)u1", "<u4", "<i4", "<u4", "(8,)u1"),
        ],
        "offsets": [0, 2, 4, 11, 12, 14, 16, 18, 20, 22, 24, 26, 31, 34, 42, 48, 52, 57],
        "itemsize": 65,
    }
)


_BOTTOM = np.dtype(
    {
        "names": ["id", "pings", "range_cm", "velocity", "correlation", "echo", "percent", "rssi", "range_high"],
        "formats": ["<u2", "<u2", *("(4,)<u2", "(4,)<i2", "(4,)u1", "(4,)u1", "(4,)u1", "(4,)u1", "(4,)u1")],
        "offsets": [0, 2, 16, 24, 32, 36, 40, 72, 77],
        "itemsize": 85,
    }
)
_SHARES = (
    "percent_of_three_beam_solutions",
    "percent_of_rejected_transformations",
    "percent_of_pings_with_bad_beams",
    "percent_of_four_beam_solutions",
)
_LAST_DIGIT = re.compile(rb"(?<=[0-9A-F]{3})[0-9A-F](?=\r\n)")
_ADC = (118, 175, 79, 79, 79, 86, 132, 159)


def _size_at(data: bytes, at: int) -> tuple[int, bool]:
    if data[at : at + 2] != b"\x7f\x7f":
        return 0, False
    return int.from_bytes(data[at + 2 : at + 4], "little") + 2, True


def pd0(blocks: Sequence[bytes]) -> bytes:
    """One ensemble: header, the blocks in their order, checksum."""
    head = 6 + 2 * len(blocks)
    offsets = head + np.cumsum([0, *(len(block) for block in blocks)])
    size = int(offsets[-1])
    body = b"".join(
        [
            b"\x7f\x7f",
            size.to_bytes(2, "little"),
            bytes([0, len(blocks)]),
            offsets[:-1].astype("<u2").tobytes(),
            *blocks,
        ]
    )
    return body + (sum(body) & 0xFFFF).to_bytes(2, "little")


@dataclass
class WorkhorseSimulator(Simulator):
    """A 600 kHz Workhorse Sentinel, `height_m` above the bed, with `cells` cells of `cell_m`."""

    drivers = (("trdi_pd0",),)
    spoils = "eastward_sea_water_velocity of the middle cell (m s-1)"

    cells: int = 20
    cell_m: float = 1.0
    height_m: float = 0.6
    serial: int = 18655
    bottom_track: bool = False
    hexadecimal: bool = False

    def __post_init__(self) -> None:
        if self.interval_s < 1:
            raise ValueError(f"interval_s must be 1 or more, not {self.interval_s}: a Workhorse pings no faster")
        if not 1 <= self.cells <= 128:
            raise ValueError(f"cells must be 1 to 128, not {self.cells}")
        self._pinging = True
        self._line = b""
        self._due_ns: int | None = None
        self._sample = 0

    @property
    def first_m(self) -> float:
        """From the transducer to the middle of the first cell: the blank after transmit and one cell."""
        return round(0.88 + self.cell_m * 1.07, 2)

    def tick(self, now_ns: int) -> bytes:
        """The ensemble that is due, or nothing; ensembles fall on multiples of the interval, on its clock."""
        shown_ns = self._shows_ns(now_ns)
        step_ns = round(self.interval_s * 1e9)
        if self._due_ns is None or shown_ns - self._due_ns > 10 * step_ns:
            self._due_ns = shown_ns // step_ns * step_ns + (step_ns if self._due_ns is None else 0)
        said = b""
        while shown_ns >= self._due_ns:
            if self._pinging and self.speaking:
                said += self._ensemble(now_ns, self._due_ns // 10_000_000 * 10_000_000)
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
                said += b"\r\n" + self._answer(command, now_ns)
            else:
                said += bytes([byte])
                self._line = self._line[-80:]
        return said

    def falsifier(self) -> Callable[[bytes], bytes]:
        """Of ensembles."""
        if self.hexadecimal:
            return lambda said: wrong_digits(said, _LAST_DIGIT)
        return lambda said: wrong_frames(said, _size_at)

    def _answer(self, command: bytes, now_ns: int) -> bytes:
        if command == b"CS":
            self._pinging = True
            return b""
        if command == b"CB?":
            return b"CB = 411 ----------------- Serial Port Control (Baud [4=9600]; Par; Stop)\r\n>"
        if command == b"TT?":
            now = datetime.fromtimestamp(self._shows_ns(now_ns) // 1_000_000_000, UTC)
            return f"TT = {now:%Y/%m/%d,%H:%M:%S}  - Time Set (CCYY/MM/DD,hh:mm:ss)\r\n>".encode()
        if command == b"PS0":
            lines = (
                f"Instrument S/N:  {self.serial}",
                "       Frequency:  614400 HZ",
                "   Configuration:  4 BEAM, JANUS",
                "     Transducer:  CONVEX",
                "     Beam Angle:  20 DEGREES",
                "     Orientation:  UP",
            )
            return "\r\n".join(lines).encode() + b"\r\n>"
        if not command or command[:2].isalpha():
            return b">"
        return b'ERR 002: UNRECOGNIZED COMMAND "' + command + b'"\r\n>'

    def _ensemble(self, now_ns: int, time_ns: int) -> bytes:
        number = self._sample + 1
        rng = np.random.default_rng([self.seed, number])
        t_s = (time_ns - self._ahead_ns(now_ns)) / 1e9
        above_m = float(self.sea.depth_m + self.sea.level_m(t_s) - self.sea.mean_level_m) - self.height_m
        range_m = self.first_m + self.cell_m * np.arange(self.cells, dtype=np.float64)
        in_water = range_m + self.cell_m / 2 < above_m * np.cos(np.radians(20))
        velocity, mischief = self._velocity(rng, now_ns, t_s, above_m, range_m, in_water)
        echo, correlation, percent = self._signal(rng, above_m, range_m, in_water)

        temperature = round(float(self.sea.temperature_c(t_s, above_m)) * 100)
        salinity = round(float(self.sea.salinity(t_s, above_m)))
        sound = round(_sound_speed(temperature / 100, salinity, above_m))
        # Hydrostatic, with 1021 kg/m3 and 9.78 m/s2 (warm water near the equator).
        pressure = round(above_m * 1021 * 9.78 / 10)
        heading = round(4211 + 40 * np.sin(t_s / 3000)) % 36000
        pitch, roll = round(-130 + 12 * np.sin(t_s / 47)), round(85 + 12 * np.sin(t_s / 53))

        variable = np.zeros((), _VARIABLE)
        variable["id"], variable["ensemble"], variable["ensemble_high"] = 0x0080, number & 0xFFFF, number >> 16 & 0xFF
        when = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
        hundredths = time_ns // 10_000_000 % 100
        clock = [when.year % 100, when.month, when.day, when.hour, when.minute, when.second, hundredths]
        variable["clock"], variable["y2k"] = clock, [when.year // 100, *clock]
        variable["sound_speed"], variable["depth_dm"], variable["salinity"] = sound, round(above_m * 10), salinity
        variable["heading"], variable["pitch"], variable["roll"] = heading, pitch, roll
        variable["temperature"], variable["pressure_dapa"] = temperature, pressure
        variable["adc"] = _ADC
        spread = rng.integers(0, 4, 3).tolist()
        variable["spread"], variable["pressure_variance"] = spread, 2

        bottom, tracked = self._track(rng, above_m) if self.bottom_track else (b"", {})
        self._sample += 1
        self.said.append(
            Said(
                now_ns,
                time_ns,
                {
                    "ensemble_number": number & 0xFFFFFF,
                    "platform_orientation": heading / 100,
                    "platform_pitch_fore_up": pitch / 100,
                    "platform_roll_starboard_down": roll / 100,
                    "sea_water_temperature": temperature / 100,
                    "sea_water_practical_salinity": float(salinity),
                    "speed_of_sound_in_sea_water": float(sound),
                    "depth": round(above_m * 10) / 10,
                    "built_in_test_result": 0,
                    "device_status": 0,
                    "sea_water_pressure_due_to_sea_water": pressure / 1000,
                    "standard_deviation_of_heading": float(spread[0]),
                    "standard_deviation_of_pitch": spread[1] / 10,
                    "standard_deviation_of_roll": spread[2] / 10,
                    "standard_deviation_of_sea_water_pressure": 0.002,
                    **{f"adc_channel_{n}": counts for n, counts in enumerate(_ADC)},
                    **_profiles(velocity, correlation, echo, percent),
                    **tracked,
                },
                mischief,
            )
        )
        blocks = ((0x0100, velocity.astype("<i2")), (0x0200, correlation), (0x0300, echo), (0x0400, percent))
        ensemble = pd0(
            [
                self._fixed_leader(),
                variable.tobytes(),
                *(id_.to_bytes(2, "little") + block.tobytes() for id_, block in blocks),
                *([bottom] if bottom else []),
            ]
        )
        return ensemble.hex().upper().encode() + b"\r\n" if self.hexadecimal else ensemble

    def _track(self, rng: np.random.Generator, above_m: float) -> tuple[bytes, dict[str, float | int | None]]:
        """(the bottom track's block, its values by name): the surface above it, seen by four beams; one of them loses
        it at times."""
        block = np.zeros((), _BOTTOM)
        block["id"], block["pings"] = 0x0600, 1
        range_cm = np.rint(above_m * 100 + rng.normal(0, 8, 4)).astype(np.int64)
        range_cm[rng.integers(0, 4)] *= int(rng.random() > 0.2)
        velocity = np.rint(rng.normal(0, 60, 4)).astype(np.int64)
        if not range_cm.all():
            velocity[:] = _BAD
        block["range_cm"], block["range_high"] = range_cm & 0xFFFF, range_cm >> 16
        block["velocity"], block["correlation"] = velocity, rng.integers(230, 256, 4)
        block["echo"], block["rssi"] = rng.integers(60, 120, 4), rng.integers(60, 120, 4)
        block["percent"] = [0, 0, 0, 100] if range_cm.all() else [0, 0, 100, 0]
        values: dict[str, float | int | None] = {}
        for i, axis in enumerate(("eastward", "northward", "upward", "error")):
            mm = int(velocity[i])
            values[f"bottom_track_{axis}_velocity"] = None if mm == _BAD else mm / 1000
            values[f"bottom_track_range_beam_{i + 1}"] = int(range_cm[i]) / 100 if range_cm[i] else None
            for name, part in (("correlation", "correlation"), ("echo_intensity", "echo"), ("signal_strength", "rssi")):
                values[f"bottom_track_{name}_beam_{i + 1}"] = int(block[part][i])
            values[f"bottom_track_{_SHARES[i]}"] = int(block["percent"][i])
        return block.tobytes(), values

    def _fixed_leader(self) -> bytes:
        fixed = np.zeros((), _FIXED)
        fixed["version"], fixed["revision"], fixed["serial"] = 51, 40, self.serial
        fixed["system"] = 0x41CB  # 600 kHz, convex, looking up, four beams of 20 degrees
        fixed["beams"], fixed["cells"], fixed["pings"], fixed["mode"] = 4, self.cells, 1, 1
        fixed["size_cm"], fixed["blank_cm"] = round(self.cell_m * 100), 88
        fixed["first_cm"], fixed["transmit_cm"] = round(self.first_m * 100), round(self.cell_m * 107)
        fixed["least_correlation"], fixed["code_repeats"], fixed["error_limit"], fixed["lag_cm"] = 64, 9, 2000, 50
        fixed["seconds_per_ping"] = min(round(self.interval_s), 59)
        fixed["coordinates"] = 0x1F  # earth, with tilts, three-beam solutions and bin mapping
        fixed["source"], fixed["available"], fixed["beam_angle"] = 0x7D, 0x3D, 20
        return fixed.tobytes()

    def _velocity(
        self,
        rng: np.random.Generator,
        now_ns: int,
        t_s: float,
        above_m: float,
        range_m: npt.NDArray[np.float64],
        in_water: npt.NDArray[np.bool_],
    ) -> tuple[npt.NDArray[np.int64], str]:
        """((cells, 4) mm/s: east, north, up, error; the mischief done)."""
        east, north = self.sea.current_ms(t_s, np.maximum(above_m - range_m, 0.0))
        middle = self.cells // 2
        parts = np.stack([east, north, 0.004 * np.sin(t_s / 9 + range_m / 4), np.zeros(self.cells)], axis=1)
        parts += rng.normal(0.0, [0.03, 0.03, 0.008, 0.02], parts.shape)
        parts[middle, 0], mischief = self._spoil(self._sample, float(parts[middle, 0]), now_ns)
        raw = np.clip(np.rint(parts * 1000), -_FASTEST, _FASTEST).astype(np.int64)
        return np.where(in_water[:, None], raw, _BAD), mischief

    def _signal(
        self,
        rng: np.random.Generator,
        above_m: float,
        range_m: npt.NDArray[np.float64],
        in_water: npt.NDArray[np.bool_],
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """(echo, correlation, percent good), each (cells, 4)."""
        # Spreading and absorption take about 2.2 counts (1 dB) a metre; the surface throws the sound back.
        surface = 70 * np.exp(-(((range_m - above_m) / (0.8 * self.cell_m)) ** 2))
        echo = np.maximum(182 - 25 * np.log10(range_m) - 2.2 * range_m, 42) + surface
        echoes = np.clip(echo[:, None] + rng.normal(0, 1.5, (self.cells, 4)), 0, 255)
        correlation = np.where(in_water, 128 - 0.9 * range_m, 30)
        correlations = np.clip(correlation[:, None] + rng.normal(0, 4, (self.cells, 4)), 0, 255)
        three_beam = np.where(in_water, rng.integers(0, 6, self.cells), 0)
        percent = np.stack(
            [three_beam, np.zeros(self.cells), np.where(in_water, 0, 100), np.where(in_water, 100 - three_beam, 0)],
            axis=1,
        )
        return np.rint(echoes).astype(np.uint8), np.rint(correlations).astype(np.uint8), percent.astype(np.uint8)


def _profiles(
    velocity: npt.NDArray[np.int64],
    correlation: npt.NDArray[np.uint8],
    echo: npt.NDArray[np.uint8],
    percent: npt.NDArray[np.uint8],
) -> dict[str, list[float | None] | list[int]]:
    """The profiles as a decoder must find them, by name."""
    values: dict[str, list[float | None] | list[int]] = {}
    axes = ("eastward_sea_water_velocity", "northward_sea_water_velocity", "upward_sea_water_velocity", _ERROR)
    for i in range(4):
        values[axes[i]] = [None if mm == _BAD else mm / 1000 for mm in velocity[:, i].tolist()]
        values[f"{_CORRELATION}_beam_{i + 1}"] = correlation[:, i].tolist()
        values[f"{_ECHO}_beam_{i + 1}"] = echo[:, i].tolist()
        values[_SHARES[i]] = percent[:, i].tolist()
    return values


def _sound_speed(temperature_c: float, salinity: float, depth_m: float) -> float:
    """Medwin's equation (1975), m/s: what a Workhorse computes from its temperature and the salinity set by `ES`."""
    t = temperature_c
    return 1449.2 + 4.6 * t - 0.055 * t**2 + 0.00029 * t**3 + (1.34 - 0.01 * t) * (salinity - 35) + 0.016 * depth_m
