"""A simulated Nortek Signature on the sea bed, looking up: AD2CP records, or NMEA telemetry, to the byte.

It measures from the start, as a deployed instrument does: the configuration as text, then for each interval a ping of
the vertical beam and a burst of four beams, and every fourth time an average in earth coordinates. With `telemetry`
100 to 104 it prints the averages as `$PNOR…` sentences of that data format instead. A break (`K1W%!Q`, then `MC`) stops
it; at the prompt it answers `ID` and `GETHW`, and `START` begins again.

Mischief falls on the first velocity of the middle cell.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from drivers.simulators.simulator import Said, Simulator, wrong_digits, wrong_frames

_BAD = -32768
_ECHO = "signal_intensity_from_multibeam_acoustic_doppler_velocity_sensor_in_sea_water"
_CORRELATION = "beam_consistency_indicator_from_multibeam_acoustic_doppler_velocity_profiler_in_sea_water"
_RADIAL = "radial_sea_water_velocity_away_from_instrument"
_EARTH = (
    "eastward_sea_water_velocity",
    "northward_sea_water_velocity",
    "upward_sea_water_velocity",
    "upward_sea_water_velocity_2",
)
_MEASURED = 0xF | 0x20 | 0x40 | 0x80  # all sensors valid; velocity, amplitude and correlation follow
_STATUS = 2 | 4 << 25 | 2 << 28  # blanking in cm, Z up, woken by a break
_BREAK = b"K1W%!Q"
_Profile = npt.NDArray[np.int64]


def _checksum(data: bytes) -> int:
    even = len(data) & ~1
    total: int = 0xB58C + sum(struct.unpack(f"<{even // 2}H", data[:even]))
    return (total + (data[-1] << 8 if len(data) & 1 else 0)) & 0xFFFF


def record(id_: int, data: bytes, *, long: bool = False) -> bytes:
    """An AD2CP record: header with both checksums (of 12 bytes where `long`), and its data."""
    head = struct.pack("<BBBB", 0xA5, 12 if long else 10, id_, 0x10) + len(data).to_bytes(4 if long else 2, "little")
    head += _checksum(data).to_bytes(2, "little")
    return head + _checksum(head).to_bytes(2, "little") + data


def _size_at(data: bytes, at: int) -> tuple[int, bool]:
    if data[at] != 0xA5:
        return 0, False
    head, id_ = data[at + 1], data[at + 2]
    return head + int.from_bytes(data[at + 4 : at + head - 4], "little"), id_ != 0xA0


def sentence(body: str) -> bytes:
    """An NMEA sentence of what stands between `$` and `*`."""
    parity = 0
    for byte in body.encode():
        parity ^= byte
    return f"${body}*{parity:02X}\r\n".encode()


@dataclass
class SignatureSimulator(Simulator):
    """A Signature 1000, `height_m` above the bed, with `cells` cells of `cell_m`."""

    drivers = (("nortek_ad2cp",), ("nortek_nmea", "telemetry=101"))
    spoils = "the first velocity of the middle cell (m s-1)"

    cells: int = 20
    cell_m: float = 1.0
    blanking_m: float = 0.5
    height_m: float = 0.6
    serial: int = 100321
    telemetry: int = 0

    def __post_init__(self) -> None:
        if self.interval_s < 0.5:
            raise ValueError(f"interval_s must be 0.5 or more, not {self.interval_s}: five beams ping no faster")
        if not 1 <= self.cells <= 200:
            raise ValueError(f"cells must be 1 to 200, not {self.cells}")
        if self.telemetry not in (0, 100, 101, 102, 103, 104):
            raise ValueError(f"telemetry must be 0 (binary) or 100 to 104, not {self.telemetry}")
        self._measuring, self._told, self._line = True, False, b""
        self._due_ns: int | None = None
        self._sample = 0

    def tick(self, now_ns: int) -> bytes:
        """The records that are due, or nothing; bursts fall on multiples of the interval, on its clock."""
        shown_ns = self._shows_ns(now_ns)
        step_ns = round(self.interval_s * 1e9)
        if self._due_ns is None or shown_ns - self._due_ns > 10 * step_ns:
            self._due_ns = shown_ns // step_ns * step_ns + (step_ns if self._due_ns is None else 0)
        out = b""
        while shown_ns >= self._due_ns:
            if self._measuring and self.speaking:
                out += self._measure(now_ns, self._due_ns)
            self._due_ns += step_ns
        return out

    def receive(self, data: bytes, now_ns: int) -> bytes:
        """A break, and commands at the prompt; while it measures, nothing else is heard."""
        out = b""
        for byte in data:
            self._line += bytes([byte])
            if self._line.endswith(_BREAK):
                self._measuring, self._line = False, b""
                out += b"\r\nOK\r\n"
            elif self._measuring:
                self._line = self._line[-len(_BREAK) :]
            elif byte in b"\r\n":
                command, self._line = self._line.strip().upper(), b""
                out += self._answer(command) if command else b""
            else:
                self._line = self._line[-80:]
        return out

    def falsifier(self) -> Callable[[bytes], bytes]:
        """Of measurements: the data's checksum of a record, or that of each sentence."""
        return wrong_digits if self.telemetry else lambda said: wrong_frames(said, _size_at)

    def _answer(self, command: bytes) -> bytes:
        if command == b"MC":
            return b"OK\r\n"
        if command == b"ID":
            return f'ID,"Signature1000",{self.serial}\r\nOK\r\n'.encode()
        if command == b"GETHW":
            return b'GETHW,2214,11,"I-3"\r\nOK\r\n'
        if command == b"START":
            self._measuring, self._told = True, False
            return b"OK\r\n"
        return b"ERROR\r\n"

    def _measure(self, now_ns: int, time_ns: int) -> bytes:
        self._sample += 1
        t_s = (time_ns - self._ahead_ns(now_ns)) / 1e9
        rng = np.random.default_rng([self.seed, self._sample])
        above_m = float(self.sea.depth_m + self.sea.level_m(t_s) - self.sea.mean_level_m) - self.height_m
        range_m = self.blanking_m + self.cell_m * (1 + np.arange(self.cells, dtype=np.float64))
        in_water = range_m + self.cell_m / 2 < above_m * np.cos(np.radians(25))
        east, north = self.sea.current_ms(t_s, np.maximum(above_m - range_m, 0.0))
        up = 0.004 * np.sin(t_s / 9 + range_m / 4)
        earth = np.stack([east, north, up, up]) + rng.normal(0.0, 0.01, (4, self.cells))
        middle = self.cells // 2
        earth[0, middle], mischief = self._spoil(self._sample - 1, float(earth[0, middle]), now_ns)
        heading = round(4211 + 40 * np.sin(t_s / 3000)) % 36000
        sensors = {
            "sound": round(15400 + 10 * np.sin(t_s / 5000)),
            "temperature": round(float(self.sea.temperature_c(t_s, above_m)) * 100),
            "pressure": round(above_m * 1021 * 9.78 / 10),
            "heading": heading,
            "pitch": round(-130 + 12 * np.sin(t_s / 47)),
            "roll": round(85 + 12 * np.sin(t_s / 53)),
        }
        echo = np.clip(150 - 25 * np.log10(range_m) - range_m + rng.normal(0, 1.5, (4, self.cells)), 20, 255)
        correlation = np.clip(np.where(in_water, 95 - 0.4 * range_m, 20) + rng.normal(0, 2, (4, self.cells)), 0, 100)
        signal = np.rint(echo).astype(np.int64), np.rint(correlation).astype(np.int64)
        if self.telemetry:
            return self._sentences(now_ns, time_ns // 1_000_000_000 * 1_000_000_000, sensors, earth, signal, mischief)
        raw = np.where(in_water, np.rint(np.clip(earth * 1000, -32000, 32000)), _BAD).astype(np.int64)
        out = b"" if self._told else self._text()
        self._told = True
        beams = self._beams(earth, heading / 100)
        beam_raw = np.where(in_water, np.rint(np.clip(beams * 1000, -32000, 32000)), _BAD).astype(np.int64)
        fifth = np.where(in_water, np.rint(earth[2] * 1000), _BAD).astype(np.int64)[None]
        out += self._record(0x18, now_ns, time_ns - 125_000_000, sensors, fifth, (signal[0][:1], signal[1][:1]), "")
        if self._sample % 4 == 0:
            out += self._record(0x16, now_ns, time_ns - 62_500_000, sensors, raw, signal, mischief)
        return out + self._record(0x15, now_ns, time_ns, sensors, beam_raw, signal, mischief)

    def _beams(self, earth: npt.NDArray[np.float64], heading: float) -> npt.NDArray[np.float64]:
        """(4, cells) velocities along the beams: 25 degrees off the vertical, at 0, -90, 180 and 90 degrees from X."""
        sine, cosine = np.sin(np.radians(heading)), np.cos(np.radians(heading))
        x, y = earth[0] * sine + earth[1] * cosine, earth[1] * sine - earth[0] * cosine
        slant, rise = np.sin(np.radians(25)), np.cos(np.radians(25))
        up = earth[2] * rise
        return np.stack([x * slant + up, -y * slant + up, -x * slant + up, y * slant + up])

    def _text(self) -> bytes:
        lines = (
            f'ID,STR="Signature1000",SN={self.serial}',
            "GETHW,FW=2214,FPGA=169,BOOT=21,FWMINOR=11",
            f'GETBURST,NC={self.cells},NB=5,CS={self.cell_m:.3f},BD={self.blanking_m:.3f},CY="BEAM",'
            f"SR={1 / self.interval_s:g},DF=3",
            "GETXFBURST,ROWS=4,COLS=4,M11=1.1831,M12=0.0000,M13=-1.1831,M14=0.0000,M21=0.0000,M22=-1.1831,M23=0.0000,"
            "M24=1.1831,M31=0.5518,M32=0.0000,M33=0.5518,M34=0.0000,M41=0.0000,M42=0.5518,M43=0.0000,M44=0.5518",
            f'GETAVG,NC={self.cells},NB=4,CS={self.cell_m:.2f},BD={self.blanking_m:.2f},CY="ENU"',
            'GETINST,BR=115200,RS=232,ORIENT="AUTOZUPDOWN"',
            *(
                f"BEAMCFGLIST,BEAM={beam},THETA={25.0 if beam < 5 else 0.0:.2f},PHI={phi:.2f},FREQ=1000"
                for beam, phi in ((1, 0.0), (2, -90.0), (3, 180.0), (4, 90.0), (5, 0.0))
            ),
        )
        return record(0xA0, b"\x10" + "\r\n".join(lines).encode() + b"\r\n\0")

    def _record(
        self,
        id_: int,
        now_ns: int,
        time_ns: int,
        sensors: dict[str, int],
        velocity: _Profile,
        signal: tuple[_Profile, _Profile],
        mischief: str,
    ) -> bytes:
        time_ns = time_ns // 100_000 * 100_000
        when = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
        beams, coordinates = len(velocity), 0 if id_ == 0x16 else 2
        body = bytearray(76)
        struct.pack_into(
            "<BBHI6BH", body, 0, 3, 76, _MEASURED, self.serial, when.year - 1900, when.month - 1, when.day, when.hour,
            when.minute, when.second, time_ns % 1_000_000_000 // 100_000,
        )  # fmt: skip
        s = sensors
        struct.pack_into(
            "<HhIHhhHHHBBH", body, 16, s["sound"], s["temperature"], s["pressure"], s["heading"], s["pitch"], s["roll"],
            beams << 12 | coordinates << 10 | self.cells, round(self.cell_m * 1000), round(self.blanking_m * 100), 78,
            (s["temperature"] // 100 + 4) * 5, 148,
        )  # fmt: skip
        magnet, gravity = (-51, -250, 312), (40, 60, 16370)
        struct.pack_into("<6h", body, 40, *magnet, *gravity)
        description = 5 if id_ == 0x18 else 0x4321
        struct.pack_into("<HHHbb", body, 52, 9000, description, 253, -3, 0)
        struct.pack_into("<hhHHII", body, 60, 0, s["temperature"] + 60, 0, 0, _STATUS, self._sample)
        echo, correlation = (part.astype(np.uint8) for part in signal)
        names = _EARTH if id_ == 0x16 else [f"{_RADIAL}_beam_{b}" for b in ([5] if id_ == 0x18 else range(1, 5))]
        numbers = [5] if id_ == 0x18 else range(1, beams + 1)
        values: dict[str, Any] = {
            "ensemble_number": self._sample,
            **_sensors(s),
            "battery_voltage": 14.8,
            "temperature_of_pressure_sensor": float(s["temperature"] // 100),
            "temperature_of_clock": (s["temperature"] + 60) / 100,
            **{f"magnetometer_{axis}": raw / 10 for axis, raw in zip("xyz", magnet, strict=True)},
            **{f"accelerometer_{a}": round(raw * 9.80665 / 16384, 4) for a, raw in zip("xyz", gravity, strict=True)},
            "nominal_correlation": 78,
            "transmit_energy": 253,
            "power_level": 0,
            "device_error": 0,
            "device_status_0": 0,
            "device_status": _STATUS,
            "ambiguity_velocity": 9.0,
        }
        for beam, (name, number) in enumerate(zip(names, numbers, strict=True)):
            values[name] = [None if mm == _BAD else mm / 1000 for mm in velocity[beam].tolist()]
            values[f"{_ECHO}_beam_{number}"] = echo[beam].tolist()
            values[f"{_CORRELATION}_beam_{number}"] = correlation[beam].tolist()
        self.said.append(Said(now_ns, time_ns, values, mischief))
        return record(id_, bytes(body) + velocity.astype("<i2").tobytes() + echo.tobytes() + correlation.tobytes())

    def _sentences(
        self,
        now_ns: int,
        time_ns: int,
        s: dict[str, int],
        earth: npt.NDArray[np.float64],
        signal: tuple[_Profile, _Profile],
        mischief: str,
    ) -> bytes:
        """The averages as telemetry: header, sensors, one sentence a cell."""
        df, when = self.telemetry, datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
        american, clock = f"{when:%m%d%y}", f"{when:%H%M%S}"
        decimals = 2 if df == 100 else 3
        velocity = np.round(np.clip(earth, -32, 32), decimals)
        speed = np.round(np.hypot(velocity[0], velocity[1]), decimals)
        direction = np.round(np.degrees(np.arctan2(velocity[0], velocity[1])) % 360, 1) % 360
        echo, correlation = signal
        scales = (("sound", 10), ("heading", 100), ("pitch", 100), ("roll", 100))
        sound, heading, pitch, roll = (round(s[key] / scale, 1) for key, scale in scales)
        pressure, temperature = s["pressure"] / 1000, s["temperature"] / 100
        cells = [round(self.blanking_m + self.cell_m * (1 + i), 1) for i in range(self.cells)]
        status = f"{_STATUS:08X}"
        common = (
            f"{sound:.1f}",
            f"{heading:.1f}",
            f"{pitch:.1f}",
            f"{roll:.1f}",
            f"{pressure:.3f}",
            f"{temperature:.2f}",
        )
        lines: list[str] = []
        values: dict[str, Any] = {
            "speed_of_sound_in_sea_water": sound, "platform_orientation": heading, "platform_pitch_fore_up": pitch,
            "platform_roll_starboard_down": roll, "sea_water_pressure_due_to_sea_water": pressure,
            "sea_water_temperature": temperature, "battery_voltage": 14.8, "device_error": 0, "device_status": _STATUS,
        }  # fmt: skip
        if df in (100, 101, 102):
            geometry = f"4,{self.cells},{self.blanking_m:.2f},{self.cell_m:.2f}"
            if df == 100:
                lines.append(f"PNORI,4,Signature1000_{self.serial},{geometry},0")
                lines.append(f"PNORS,{american},{clock},00000000,{status},14.8,{','.join(common)},0,0")
            elif df == 101:
                lines.append(f"PNORI1,4,{self.serial},{geometry},ENU")
                c = common
                lines.append(
                    f"PNORS1,{american},{clock},0,{status},14.8,{c[0]},{c[1]},0.00,{c[2]},0.02,{c[3]},0.03,{c[4]},0.04,{c[5]}"
                )
            else:
                nc, blank, cell = self.cells, self.blanking_m, self.cell_m
                lines.append(f"PNORI2,IT=4,SN={self.serial},NB=4,NC={nc},BD={blank:.2f},CS={cell:.2f},CY=ENU")
                c = common
                lines.append(
                    f"PNORS2,DATE={american},TIME={clock},EC=0,SC={status},BV=14.8,SS={c[0]},H={c[1]},HSD=0.00,PI={c[2]},"
                    f"PISD=0.02,R={c[3]},RSD=0.03,P={c[4]},PSD=0.04,T={c[5]}"
                )
            if df != 100:
                values |= {
                    "standard_deviation_of_heading": 0.0, "standard_deviation_of_pitch": 0.02,
                    "standard_deviation_of_roll": 0.03, "standard_deviation_of_sea_water_pressure": 0.04,
                }  # fmt: skip
            for i in range(self.cells):
                v = [f"{velocity[beam, i]:.{decimals}f}" for beam in range(4)]
                a, r = [str(echo[b, i]) for b in range(4)], [str(correlation[b, i]) for b in range(4)]
                db = [f"{echo[b, i] / 2:.1f}" for b in range(4)]
                if df == 100:
                    lines.append(
                        f"PNORC,{american},{clock},{i + 1},{','.join(v)},{speed[i]:.2f},{direction[i]:.1f},C,"
                        f"{','.join(a)},{','.join(r)}"
                    )
                elif df == 101:
                    lines.append(
                        f"PNORC1,{american},{clock},{i + 1},{cells[i]:.1f},{','.join(v)},{','.join(db)},{','.join(r)}"
                    )
                else:
                    tags = [f"{t}={x}" for t, x in zip(("VE", "VN", "VU", "VU2"), v, strict=True)]
                    tags += [f"A{b + 1}={x}" for b, x in enumerate(db)] + [f"C{b + 1}={x}" for b, x in enumerate(r)]
                    lines.append(f"PNORC2,DATE={american},TIME={clock},CN={i + 1},CP={cells[i]:.1f},{','.join(tags)}")
            for beam, name in enumerate(_EARTH):
                values[name] = velocity[beam].tolist()
                key = f"{_ECHO}_beam_{beam + 1}" if df == 100 else f"signal_amplitude_level_beam_{beam + 1}"
                values[key] = echo[beam].tolist() if df == 100 else (echo[beam] / 2).tolist()
                values[f"{_CORRELATION}_beam_{beam + 1}"] = correlation[beam].tolist()
            if df == 100:
                values |= {"auxiliary_counts_1": 0, "auxiliary_counts_2": 0}
                values |= {"sea_water_speed": speed.tolist(), "sea_water_velocity_to_direction": direction.tolist()}
        else:
            tagged, date = df == 103, f"{when:%y%m%d}"

            def line(name: str, *pairs: tuple[str, str]) -> None:
                lines.append(",".join([name, *(f"{tag}={x}" if tagged else x for tag, x in pairs)]))

            number = df - 100
            line(f"PNORH{number}", ("DATE", date), ("TIME", clock), ("EC", "0"), ("SC", status))
            names = ("BV", "SS", "H", "PI", "R", "P", "T")
            line(f"PNORS{number}", *zip(names, ("14.8", *common), strict=True))
            amplitude, quality = echo[0].tolist(), correlation[0].tolist()
            for i in range(self.cells):
                line(
                    f"PNORC{number}", ("CP", f"{cells[i]:.1f}"), ("SP", f"{speed[i]:.3f}"),
                    ("DIR", f"{direction[i]:.1f}"), ("AC", str(quality[i])), ("AA", str(amplitude[i])),
                )  # fmt: skip
            values |= {
                "sea_water_speed": speed.tolist(), "sea_water_velocity_to_direction": direction.tolist(),
                "mean_beam_correlation": quality, "mean_signal_amplitude": amplitude,
            }  # fmt: skip
        self.said.append(Said(now_ns, time_ns, values, mischief))
        return b"".join(sentence(line_) for line_ in lines)


def _sensors(s: dict[str, int]) -> dict[str, float]:
    return {
        "speed_of_sound_in_sea_water": s["sound"] / 10,
        "sea_water_temperature": s["temperature"] / 100,
        "sea_water_pressure_due_to_sea_water": s["pressure"] / 1000,
        "platform_orientation": s["heading"] / 100,
        "platform_pitch_fore_up": s["pitch"] / 100,
        "platform_roll_starboard_down": s["roll"] / 100,
    }
