"""Teledyne RDI's PD0: the ensembles of Workhorse, Ocean Surveyor, Sentinel V, RiverPro, Pinnacle and other ADCPs.

`drivers.trdi.framing` finds the ensembles, binary or in hexadecimal, and `drivers.trdi.blocks` their typed blocks. The
same block of many ensembles is gathered into one array. Ensembles of equal geometry become one Frame; a change of
cells, coordinates, orientation or blocks gives a new Schema (RiverPro changes its cells at will).

What has a geometry or a time of its own is a Frame of its own beside the ensemble's (kind `adcp`): the vertical beam
(`adcp_vertical_beam`), the surface layer of river ADCPs (`adcp_surface_layer`), and what VmDas and WinRiver wrote of
the ship (`drivers.trdi.navigation`).

Salinity, sound speed, depth and attitude are as the ensemble has them, measured or set by command; the pressure of an
instrument without a pressure sensor is missing. Beam velocities are positive toward the transducer; bottom track gives
the motion of the bottom past the instrument. A transformation matrix (block 3200h) is told in the description.

Sources: Workhorse Commands and Output Data Format (P/N 957-6156), chapter "PD0 Output Data Format"; the manuals of
Sentinel V, RiverPro and Pathfinder for their blocks; the sum modulo 65536 from recordings.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from drivers.driver import Decoded, Driver, DriverSettings, Problem, problem
from drivers.trdi import blocks as b
from drivers.trdi.blocks import BAD_VELOCITY, Blocks, Columns, beams, locate, stretches, times_of
from drivers.trdi.framing import Ensembles, Framer, Ints, Mask
from drivers.trdi.navigation import Said, vmdas, winriver
from drivers.trdi.setup import Settings, set_up
from tidegate.clock import NAT, Arrival, TimeSource
from tidegate.frame import Cells, Field, Frame, Missing, Schema

_PIECE = 1 << 20  # a longer feed is worked off in pieces of this size, so that memory stays bounded

_INSTRUMENT_SERIAL = slice(54, 58)
# "Sensors available": the depth bit stands for the pressure sensor. An Explorer has all bits one place higher.
_PRESSURE_SENSOR, _PRESSURE_SENSOR_OF_EXPLORER, _EXPLORER = 0x20, 0x40, 34
_NO_READING = 0xFFFF

_FREQUENCIES_KHZ = (75, 150, 300, 600, 1200, 2400, 38)
_SENTINEL_V_KHZ = (38.4, 76.8, 153.6, 307.2, 491.52, 983.04, 2457.6)
_BEAM_ANGLES = (15, 20, 30)
_COORDINATES = ("beam", "instrument", "ship", "earth")
_MODELS = {
    **dict.fromkeys((4, 5), "Broadband"),
    **dict.fromkeys((6, 9, 19, 37, 53), "Navigator"),
    **dict.fromkeys((8, 16, 43, 50, 51, 52, 77, 78), "Workhorse"),
    **dict.fromkeys((14, 23), "Ocean Surveyor"),
    **dict.fromkeys((47, 66), "Sentinel V"),
    **dict.fromkeys((41, 55), "DVS"),
    10: "Rio Grande",
    11: "H-ADCP",
    28: "ChannelMaster",
    31: "StreamPro",
    34: "Explorer",
    44: "RiverRay",
    56: "RiverPro",
    59: "Meridian",
    61: "Pinnacle",
    67: "Pathfinder",
    73: "Pioneer",
    74: "Tasman",
    76: "Wayfinder",
}
"""By the version number of the firmware."""
_ERROR = "indicative_error_from_multibeam_acoustic_doppler_velocity_profiler_in_sea_water"
_BEAM_VELOCITY = "radial_sea_water_velocity_toward_instrument"
_CORRELATION = "beam_consistency_indicator_from_multibeam_acoustic_doppler_velocity_profiler_in_sea_water"
_ECHO = "signal_intensity_from_multibeam_acoustic_doppler_velocity_sensor_in_sea_water"
_PERCENT_GOOD = "proportion_of_acceptable_signal_returns_from_acoustic_instrument_in_sea_water"

_VELOCITIES = (
    beams(_BEAM_VELOCITY),
    ("sea_water_x_velocity", "sea_water_y_velocity", "sea_water_z_velocity", _ERROR),
    ("starboard_sea_water_velocity", "forward_sea_water_velocity", "upward_sea_water_velocity", _ERROR),
    ("eastward_sea_water_velocity", "northward_sea_water_velocity", "upward_sea_water_velocity", _ERROR),
)
_BOTTOM_VELOCITIES = (
    beams("bottom_track_velocity"),
    *(
        tuple(f"bottom_track_{axis}_velocity" for axis in axes)
        for axes in (
            ("x", "y", "z", "error"),
            ("starboard", "forward", "upward", "error"),
            ("eastward", "northward", "upward", "error"),
        )
    ),
)
_CORRELATIONS, _ECHOES = beams(_CORRELATION), beams(_ECHO)
_STATUSES = beams("measurement_status")
_COMBINED_PERCENT_GOOD = (
    "percent_of_three_beam_solutions",
    "percent_of_rejected_transformations",
    "percent_of_pings_with_bad_beams",
    "percent_of_four_beam_solutions",
)
_BOTTOM_RANGES = beams("bottom_track_range")
_BOTTOM_CORRELATIONS = beams("bottom_track_correlation")
_BOTTOM_ECHOES = beams("bottom_track_echo_intensity")
_BOTTOM_RSSI = beams("bottom_track_signal_strength")
_SPREAD = ("standard_deviation_of_heading", "standard_deviation_of_pitch", "standard_deviation_of_roll")
_ADC = tuple(f"adc_channel_{n}" for n in range(8))


class _Geometry(NamedTuple):
    """What must be equal in ensembles of one Frame; all of it numbers, for they are compared as an array."""

    cells: int
    size_cm: int
    first_cm: int
    coordinates: int
    upward: int
    velocity: int
    correlation: int
    echo: int
    percent_good: int
    status: int
    bottom: int
    bottom_high: int
    spread: int
    error_status: int
    pressure: int
    pressure_spread: int
    y2k: int
    health: int
    vertical_range: int
    sentinel_adc: int
    events: int


_GEOMETRY_OF_COLUMNS = [
    at for at, name in enumerate(_Geometry._fields) if name not in ("size_cm", "first_cm", "upward")
]
"""The rest says where the cells are, not what the columns are: such ensembles are decoded together."""


# Percent good counts pings of each beam in beam coordinates, and kinds of solution in all others.
def _percent_good(coordinates: int) -> tuple[str, ...]:
    return beams(_PERCENT_GOOD) if coordinates == 0 else _COMBINED_PERCENT_GOOD


def _bottom_percent_good(coordinates: int) -> tuple[str, ...]:
    if coordinates == 0:
        return beams("bottom_track_percent_good")
    return tuple(f"bottom_track_{name}" for name in _COMBINED_PERCENT_GOOD)


def _schema(geometry: _Geometry) -> Schema:
    g = geometry
    fields = [
        Field.of("ensemble_number"),
        Field.of("platform_orientation"),
        Field.of("platform_pitch_fore_up"),
        Field.of("platform_roll_starboard_down"),
        Field.of("sea_water_temperature", resolution=0.01),
        Field.of("sea_water_practical_salinity", resolution=1.0),
        Field.of("speed_of_sound_in_sea_water", resolution=1.0),
        Field.of("depth", resolution=0.1),
        Field.of("built_in_test_result"),
    ]
    if g.spread:
        fields += [Field.of(name, resolution=1.0 if "heading" in name else 0.1) for name in _SPREAD]
        fields += [Field.of(name) for name in _ADC]
    if g.pressure:
        fields.append(Field.of("sea_water_pressure_due_to_sea_water", resolution=0.001))
    if g.pressure_spread:
        fields.append(Field.of("standard_deviation_of_sea_water_pressure"))
    if g.error_status:
        fields.append(Field.of("device_status"))
    if g.health:
        fields += [
            Field.of(name)
            for name in (
                *("leak_sensor_a", "leak_sensor_b"),
                *("transmit_voltage", "transmit_current", "transducer_impedance"),
            )
        ]
    for present, names in (
        (g.velocity, _VELOCITIES[g.coordinates]),
        (g.correlation, _CORRELATIONS),
        (g.echo, _ECHOES),
        (g.percent_good, _percent_good(g.coordinates)),
        (g.status, _STATUSES),
    ):
        if present:
            fields.extend(Field.of(name, profile=True) for name in names)
    if g.bottom:
        fields.extend(Field.of(name, resolution=0.01) for name in _BOTTOM_RANGES)
        fields.extend(Field.of(name) for name in _BOTTOM_VELOCITIES[g.coordinates])
        for names in (_BOTTOM_CORRELATIONS, _BOTTOM_ECHOES, _bottom_percent_good(g.coordinates)):
            fields.extend(Field.of(name) for name in names)
    if g.bottom_high:
        fields += [Field.of(name) for name in _BOTTOM_RSSI]
    if g.vertical_range:
        fields.append(Field.of("vertical_beam_range"))
        fields += [Field.of(f"vertical_beam_{what}") for what in ("echo_intensity", "signal_strength", "status")]
    if g.sentinel_adc:
        fields.append(Field.of("supply_voltage", resolution=0.01))
    if g.events:
        fields += [Field.of("device_fault_count"), Field.of("device_fault_code")]
    cells = Cells(g.cells, g.first_cm / 100, g.size_cm / 100, bool(g.upward)) if g.cells else None
    return Schema("adcp", tuple(fields), cells)


_FOUR = (("velocity", b.VELOCITY, 8), ("correlation", b.CORRELATION, 4), ("echo", b.ECHO, 4))
_PROFILES = (*_FOUR, ("percent_good", b.PERCENT_GOOD, 4), ("status", b.STATUS, 4))


def _geometries(blocks: Blocks) -> tuple[Ints, Mask]:
    """((n, fields of `_Geometry`), whether the blocks are long enough for the cells)."""
    fixed = blocks.gather(b.FIXED, b.FIXED_LEADER)
    cells = fixed["cells"].astype(np.int64)
    columns = [column for _, column, _ in _PROFILES]
    profiles = blocks.at[:, columns] >= 0
    needed = 2 + cells[:, None] * np.array([size for _, _, size in _PROFILES])
    fits = ((blocks.width[:, columns] >= needed) | ~profiles).all(axis=1)
    bottom = blocks.at[:, b.BOTTOM] >= 0
    fits &= (blocks.width[:, b.BOTTOM] >= b.BOTTOM_TRACK.itemsize) | ~bottom
    present = profiles & (cells > 0)[:, None]
    variable, width = blocks.width[:, b.VARIABLE], blocks.width
    health = (variable >= b.HEALTH.itemsize) & np.isin(fixed["firmware"], (67, 74, 76))
    keys: dict[str, npt.NDArray[Any]] = {
        "cells": cells,
        "size_cm": fixed["size_cm"],
        "first_cm": fixed["first_cm"],
        "coordinates": fixed["coordinates"] >> 3 & 3,
        "upward": fixed["system"] >> 7,
        **{name: present[:, i] for i, (name, _, _) in enumerate(_PROFILES)},
        "bottom": bottom,
        "bottom_high": width[:, b.BOTTOM] >= b.BOTTOM_HIGH.itemsize,
        "spread": variable >= b.SPREAD.itemsize,
        "error_status": variable >= b.ERROR_STATUS.itemsize,
        "pressure": variable >= b.PRESSURE.itemsize,
        "pressure_spread": variable >= b.PRESSURE_SPREAD.itemsize,
        "y2k": variable >= b.Y2K.itemsize,
        "health": health,
        "vertical_range": width[:, b.VERTICAL_RANGE] >= b.VERTICAL_RANGE_BLOCK.itemsize,
        "sentinel_adc": width[:, b.SENTINEL_ADC] >= b.SENTINEL_ADC_BLOCK.itemsize,
        "events": width[:, b.EVENTS] >= b.EVENT_LOG.itemsize,
    }
    return np.stack([np.asarray(keys[name], np.int64) for name in _Geometry._fields], axis=1), fits


def _decode(blocks: Blocks, geometry: _Geometry) -> tuple[Ints, Columns]:
    """(time, NAT where the clock makes no sense; columns) of ensembles of one geometry."""
    g, out = geometry, Columns()
    fixed = blocks.gather(b.FIXED, b.FIXED_LEADER)
    leader = blocks.gather(b.VARIABLE, b.VARIABLE_LEADER)
    sensor = np.where(fixed["firmware"] == _EXPLORER, _PRESSURE_SENSOR_OF_EXPLORER, _PRESSURE_SENSOR)
    no_sensor = fixed["available"] & sensor == 0
    out.add("ensemble_number", leader["ensemble"] + leader["ensemble_high"].astype(np.int64) * 65536)
    out.add("platform_orientation", leader["heading"] / 100)
    out.add("platform_pitch_fore_up", leader["pitch"] / 100)
    out.add("platform_roll_starboard_down", leader["roll"] / 100)
    out.add("sea_water_temperature", leader["temperature"] / 100)
    out.add("sea_water_practical_salinity", leader["salinity"])
    out.add("speed_of_sound_in_sea_water", leader["sound_speed"])
    out.add("depth", leader["depth_dm"] / 10)
    out.add("built_in_test_result", leader["self_test"])
    if g.spread:
        spread = blocks.gather(b.VARIABLE, b.SPREAD)
        for name, part, scale in zip(_SPREAD, ("heading", "pitch", "roll"), (1, 10, 10), strict=True):
            out.add(name, spread[part] / scale)
        for i, name in enumerate(_ADC):
            out.add(name, spread["adc"][:, i])
    if g.pressure:
        pressure = blocks.gather(b.VARIABLE, b.PRESSURE)["dapa"] / 1000
        out.add("sea_water_pressure_due_to_sea_water", pressure, no_sensor, Missing.NOT_GIVEN)
    if g.pressure_spread:
        deviation = blocks.gather(b.VARIABLE, b.PRESSURE_SPREAD)["dapa"] / 1000
        unset = deviation > 1000  # firmware that does not compute it leaves any bytes
        out.add("standard_deviation_of_sea_water_pressure", deviation, no_sensor | unset, Missing.NOT_GIVEN)
    if g.error_status:
        out.add("device_status", blocks.gather(b.VARIABLE, b.ERROR_STATUS)["status"])
    if g.health:
        health = blocks.gather(b.VARIABLE, b.HEALTH)
        for name, part in (("leak_sensor_a", "leak_a"), ("leak_sensor_b", "leak_b")):
            out.add(name, health[part])
        for name, part in (
            ("transmit_voltage", "voltage"),
            ("transmit_current", "current"),
            ("transducer_impedance", "impedance"),
        ):
            out.add(name, health[part] / 1000, health[part] == _NO_READING)
    if g.velocity:
        velocity = blocks.profile(b.VELOCITY, "<i2", g.cells, 4)
        out.add_four(_VELOCITIES[g.coordinates], velocity / 1000, velocity == BAD_VELOCITY)
    for present, block, names in (
        (g.correlation, b.CORRELATION, _CORRELATIONS),
        (g.echo, b.ECHO, _ECHOES),
        (g.percent_good, b.PERCENT_GOOD, _percent_good(g.coordinates)),
        (g.status, b.STATUS, _STATUSES),
    ):
        if present:
            out.add_four(names, blocks.profile(block, "u1", g.cells, 4))
    if g.bottom:
        _bottom(blocks, g, out)
    if g.vertical_range:
        vertical = blocks.gather(b.VERTICAL_RANGE, b.VERTICAL_RANGE_BLOCK)
        out.add("vertical_beam_range", vertical["range_mm"] / 1000, vertical["range_mm"] == 0)
        out.add("vertical_beam_echo_intensity", vertical["echo"])
        out.add("vertical_beam_signal_strength", vertical["rssi"])
        out.add("vertical_beam_status", vertical["status"])
    if g.sentinel_adc:
        out.add("supply_voltage", blocks.gather(b.SENTINEL_ADC, b.SENTINEL_ADC_BLOCK)["voltage"] / 100)
    if g.events:
        _events(blocks, out)
    clock = leader["clock"].astype(np.int64)
    year = clock[:, 0] + np.where(clock[:, 0] < 80, 2000, 1900)
    if g.y2k:
        y2k = blocks.gather(b.VARIABLE, b.Y2K)["clock"].astype(np.int64)
        kept = np.isin(y2k[:, 0], (19, 20))  # firmware that does not keep the second clock leaves zeros
        year = np.where(kept, y2k[:, 0] * 100 + y2k[:, 1], year)
        clock = np.where(kept[:, None], y2k[:, 1:], clock)
    return times_of(year, clock), out


def _bottom(blocks: Blocks, g: _Geometry, out: Columns) -> None:
    bottom = blocks.gather(b.BOTTOM, b.BOTTOM_TRACK)
    range_cm = bottom["range_cm"].astype(np.int64)
    if g.bottom_high:
        high = blocks.gather(b.BOTTOM, b.BOTTOM_HIGH)
        range_cm += high["range_high"].astype(np.int64) << 16
        out.add_four(_BOTTOM_RSSI, high["rssi"])
    velocity = bottom["velocity"]
    out.add_four(_BOTTOM_RANGES, range_cm / 100, range_cm == 0)  # 0: this beam found no bottom
    out.add_four(_BOTTOM_VELOCITIES[g.coordinates], velocity / 1000, velocity == BAD_VELOCITY)
    out.add_four(_BOTTOM_CORRELATIONS, bottom["correlation"])
    out.add_four(_BOTTOM_ECHOES, bottom["echo"])
    out.add_four(_bottom_percent_good(g.coordinates), bottom["percent_good"])


def _events(blocks: Blocks, out: Columns) -> None:
    count = blocks.gather(b.EVENTS, b.EVENT_LOG)["count"]
    told = (count > 0) & (blocks.width[:, b.EVENTS] >= b.FIRST_EVENT.itemsize)
    code = np.zeros(len(blocks), np.int64)
    if told.any():
        code[told] = blocks.take(told).gather(b.EVENTS, b.FIRST_EVENT)["code"]
    out.add("device_fault_count", count)
    out.add("device_fault_code", code, ~told, Missing.NOT_GIVEN)


# ---- profiles with a geometry of their own ---------------------------------------------------------------------------


def _vertical_beam(blocks: Blocks, times: Ints, upward: Ints) -> list[Said]:
    """The vertical beam's profiles; its cells are told by a leader of its own."""
    rows = np.flatnonzero(blocks.width[:, b.VERTICAL_LEADER] >= b.VERTICAL_BEAM.itemsize)
    if not len(rows):
        return []
    parts = (
        (b.VERTICAL_VELOCITY, f"{_BEAM_VELOCITY}_beam_5", "<i2"),
        (b.VERTICAL_CORRELATION, f"{_CORRELATION}_beam_5", "u1"),
        (b.VERTICAL_ECHO, f"{_ECHO}_beam_5", "u1"),
        (b.VERTICAL_PERCENT_GOOD, f"{_PERCENT_GOOD}_beam_5", "u1"),
    )
    leader = blocks.take(rows).gather(b.VERTICAL_LEADER, b.VERTICAL_BEAM)
    cells = leader["cells"].astype(np.int64)
    there = blocks.width[rows][:, [block for block, _, _ in parts]] >= 2 + cells[:, None] * np.array([2, 1, 1, 1])
    keys = np.column_stack([cells, leader["size_cm"], leader["first_cm"], upward[rows], there])
    told: list[Said] = []
    for same in stretches(keys):
        count, size_cm, first_cm, up, *present = keys[same.start].tolist()
        if not 0 < count <= 1024 or not any(present):
            continue
        of = rows[same]
        mine, out, fields = blocks.take(of), Columns(), []
        for (block, name, dtype), here in zip(parts, present, strict=True):
            if here:
                values = mine.profile(block, dtype, count)
                if dtype == "<i2":
                    out.add(name, values / 1000, values == BAD_VELOCITY)
                else:
                    out.add(name, values)
                fields.append(Field.of(name, profile=True))
        schema = Schema("adcp_vertical_beam", tuple(fields), Cells(count, first_cm / 100, size_cm / 100, bool(up)))
        later = leader["offset_ms"][same].astype(np.int64) * 1_000_000
        told.append(Said(schema, of, times[of] + later, out))
    return told


def _surface_layer(blocks: Blocks, times: Ints, upward: Ints, coordinates: Ints) -> list[Said]:
    """The surface layer's profiles of river ADCPs."""
    rows = np.flatnonzero(blocks.width[:, b.SURFACE_LEADER] >= b.SURFACE.itemsize)
    if not len(rows):
        return []
    columns = [b.SURFACE_LEADER + 1 + i for i in range(5)]
    leader = blocks.take(rows).gather(b.SURFACE_LEADER, b.SURFACE)
    cells = leader["cells"].astype(np.int64)
    there = blocks.width[rows][:, columns] >= 2 + cells[:, None] * np.array([8, 4, 4, 4, 4])
    keys = np.column_stack(
        [cells, leader["size_cm"], leader["first_cm"], upward[rows], coordinates[rows], there],
    )
    told: list[Said] = []
    for same in stretches(keys):
        count, size_cm, first_cm, up, frame, *present = keys[same.start].tolist()
        if not count or not any(present):
            continue
        of = rows[same]
        mine, out, fields = blocks.take(of), Columns(), []
        names_of = (_VELOCITIES[frame], _CORRELATIONS, _ECHOES, _percent_good(frame), _STATUSES)
        for block, plain, here in zip(columns, names_of, present, strict=True):
            if here:
                names = [f"surface_layer_{name}" for name in plain]
                if block == columns[0]:
                    values = mine.profile(block, "<i2", count, 4)
                    out.add_four(names, values / 1000, values == BAD_VELOCITY)
                else:
                    out.add_four(names, mine.profile(block, "u1", count, 4))
                fields += [Field.of(name, profile=True) for name in names]
        schema = Schema("adcp_surface_layer", tuple(fields), Cells(count, first_cm / 100, size_cm / 100, bool(up)))
        told.append(Said(schema, of, times[of], out))
    return told


class Pd0(Driver):
    """Reads PD0 ensembles. It sends nothing unless `setup` names commands."""

    manufacturer: ClassVar[str] = "Teledyne RD Instruments"
    models: ClassVar[tuple[str, ...]] = (
        "Workhorse Sentinel",
        "Workhorse Monitor",
        "Workhorse Mariner",
        "Long Ranger",
        "Quartermaster",
        "Ocean Surveyor",
        "Pinnacle",
        "Sentinel V",
        "RiverPro",
        "RioPro",
        "Rio Grande",
        "Explorer DVL",
        "Pathfinder DVL",
    )
    title: ClassVar[str] = "Teledyne RDI ADCPs: PD0 ensembles, binary or in hexadecimal"
    Settings: ClassVar[type[DriverSettings]] = Settings
    lines: ClassVar[tuple[str, ...]] = ("9600 8N1", "115200 8N1", "19200 8N1", "38400 8N1", "57600 8N1")
    commands: ClassVar[Mapping[str, str]] = {
        "===": "soft break: stops the pinging and wakes the prompt, where the instrument listens for it; a BREAK of the"
        " line of 0.3 s or more always does",
        "CR1": "factory settings",
        "CF11110": "ensembles and pings by itself, binary, to the line and not to its memory (CF11010: hexadecimal)",
        "EX11111": "earth coordinates with tilts, three-beam solutions and bin mapping (EX00000: beams)",
        "EZ1111101": "which sensors are used",
        "WNnnn": "number of cells",
        "WSnnnn": "size of a cell, cm",
        "WPnnn": "pings an ensemble",
        "BPnnn": "bottom pings an ensemble",
        "TEhh:mm:ss.ff": "time from ensemble to ensemble",
        "TPmm:ss.ff": "time from ping to ping",
        "TTccyy/mm/dd,hh:mm:ss": "sets the clock",
        "PD0": "output format PD0",
        "PS0": "says serial number, frequency and firmware",
        "PT200": "runs all tests",
        "CK": "keeps the settings",
        "CS": "starts the pinging",
    }
    calibration: ClassVar[str] = (
        "The instrument gives physical units. Its beams' matrix is told in the birth where the ensembles hold it"
        " (block 3200h); else it follows from the beam angle, which they always hold."
    )
    problems: ClassVar[Mapping[str, str]] = {
        "checksum": "An ensemble came with wrong bytes: check the cable, its shield and length; lower the baud rate.",
        "syntax": "An ensemble with a good checksum whose blocks are too short for its cells: a fault of the firmware"
        " or of the program that wrote the file; keep the raw log.",
        "truncated": "An ensemble was cut off: the port closed, the power failed, or another program reads it too.",
        "noise": "Bytes that are no ensemble: a prompt or messages of the instrument, a wrong baud rate, or another"
        " output format (PD0 is needed).",
        "implausible": "A value that cannot be, or a clock without a date; it is left out. Check that sensor, or set"
        " the clock by TT.",
        "unknown": "Packets of waves data stand between the ensembles; they stay in the raw log. Told once.",
    }

    def __init__(self, instrument: str, settings: DriverSettings | None = None) -> None:
        super().__init__(instrument, settings)
        self._framer = Framer()
        self._schemas: dict[_Geometry, Schema] = {}
        self._side: dict[bytes, Schema] = {}
        self._fixed_leader = b""
        self._matrix: list[list[float]] | None = None

    def start(self) -> bytes:
        """The set-up commands between a soft break and `CS`; nothing where none are set."""
        return set_up(self.settings)

    def schemas(self) -> Sequence[Schema]:
        """The schemas of the geometries met so far; an ADCP's is known only from its ensembles."""
        return (*self._schemas.values(), *self._side.values())

    def description(self) -> Mapping[str, Any]:
        """From the last fixed leader: serial number, firmware, model, and what a transformation of its velocities
        needs (`tidegate.currents`)."""
        leader = self._fixed_leader
        if not leader:
            return {"manufacturer": self.manufacturer}
        values = np.frombuffer(leader, b.FIXED_LEADER, 1)[0]
        system, firmware, how = int(values["system"]), int(values["firmware"]), int(values["coordinates"])
        told: dict[str, Any] = {
            "manufacturer": self.manufacturer,
            "firmware": f"{firmware}.{leader[3]:02d}",
            "coordinates": _COORDINATES[how >> 3 & 3],
            "tilts_used": bool(how & 4),
            "three_beam_solutions": bool(how & 2),
            "bin_mapping": bool(how & 1),
            "looks": "up" if system & 0x80 else "down",
            "beam_pattern": "convex" if system & 8 else "concave",
            "heading_alignment_degree": int(values["alignment"]) / 100,
            "heading_bias_degree": int(values["bias"]) / 100,
            "pings_per_ensemble": int(values["pings"]),
        }
        frequency = system & 7
        table = _SENTINEL_V_KHZ if firmware in (47, 66) else _FREQUENCIES_KHZ
        khz: float | None = {31: 2000, 61: 44}.get(firmware, table[frequency] if frequency < len(table) else None)
        if khz:
            told["frequency_khz"] = khz
        model = _MODELS.get(firmware)
        if khz or model:
            told["model"] = " ".join([*([f"{khz:g} kHz"] if khz else []), model or "ADCP"])
        angle = _beam_angle(leader)
        if angle:
            told["beam_angle_degree"] = angle
        if self._matrix:
            told["beam_to_instrument"] = self._matrix
        serial = int.from_bytes(leader[_INSTRUMENT_SERIAL], "little")
        if serial not in (0, 0xFFFFFFFF) and len(leader) >= _INSTRUMENT_SERIAL.stop:
            told["serial"] = str(serial)
        return told

    def feed(self, data: bytes, at: Arrival) -> list[Decoded]:
        """See `Driver.feed`. Sample time is the ensemble's own clock; where that shows nonsense it is the arrival."""
        decoded: list[Decoded] = []
        for start in range(0, len(data), _PIECE):
            found = self._framer.feed(data[start : start + _PIECE], at)
            if found is not None:
                decoded += self._decoded(*found)
        return decoded

    def finish(self) -> list[Decoded]:
        """See `Driver.finish`. An ensemble that was cut off is reported as `truncated`."""
        return self._decoded(*self._framer.finish())

    def _decoded(self, good: Ensembles, problems: list[Problem]) -> list[Decoded]:
        events: list[tuple[int, Decoded]] = [(p.offset, p) for p in problems]
        if good.starts:
            blocks = locate(good)
            keys, fits = _geometries(blocks)
            for row in np.flatnonzero(~fits).tolist():
                events.append(self._misfit(blocks, row))
            breaks = np.sort(np.array([offset for offset, _ in events], np.int64))
            messages = blocks.messages
            if messages and not fits.all():
                place = np.cumsum(fits) - 1
                messages = [b.Message(int(place[m.row]), m.id, m.at, m.width) for m in messages if fits[m.row]]
            blocks, keys = blocks.take(fits), keys[fits]
            if len(blocks):
                times = np.empty(len(blocks), np.int64)
                by_clock = np.empty(len(blocks), np.bool_)
                for rows in stretches(keys[:, _GEOMETRY_OF_COLUMNS]):
                    events += self._frames(blocks.take(rows), keys[rows], breaks, times[rows], by_clock[rows])
                events += self._beside(blocks, messages, keys, breaks, times, by_clock)
                self._describe(blocks)
        self._framer.forget()
        events.sort(key=lambda event: event[0])
        return [decoded for _, decoded in events]

    def _describe(self, blocks: Blocks) -> None:
        start = int(blocks.at[-1, b.FIXED])
        self._fixed_leader = blocks.data[start : start + int(blocks.width[-1, b.FIXED])].tobytes()
        with_matrix = np.flatnonzero(blocks.width[:, b.MATRIX] >= b.MATRIX_BLOCK.itemsize)
        if len(with_matrix):
            elements = blocks.take(with_matrix[-1:]).gather(b.MATRIX, b.MATRIX_BLOCK)["elements"][0] / 10000
            self._matrix = elements.tolist()

    def _misfit(self, blocks: Blocks, row: int) -> tuple[int, Problem]:
        offset, size = int(blocks.offsets[row]), int(blocks.spans[row])
        message = "an ensemble with a good checksum whose blocks are too short for the cells that its leader declares"
        data = self._framer.bytes_at(offset, size)
        return offset, problem("syntax", message, offset, data, self._framer.arrival(offset))

    def _frames(
        self, blocks: Blocks, keys: Ints, breaks: Ints, times: Ints, by_clock: Mask
    ) -> list[tuple[int, Decoded]]:
        """Frames of ensembles with equal columns, and the Problems of their values. `keys` are their geometries;
        `breaks` are the offsets at which a Frame must end. Fills in `times` and whether they are `by_clock`."""
        clock, decoded = _decode(blocks, _Geometry(*keys[0].tolist()))
        by_clock[:] = clock != NAT
        if by_clock.all():
            times[:] = clock
        else:
            piece, arrivals = self._framer.arrivals(blocks.offsets)
            times[:] = np.where(by_clock, clock, np.array([at.utc_ns for at in arrivals], np.int64)[piece])
            decoded.unreal["clock"] = ~by_clock
        events: list[tuple[int, Decoded]] = []
        for rows, at in self._unbroken(blocks, breaks, by_clock, keys):
            frame = Frame(
                self.instrument,
                self._schema(_Geometry(*keys[rows.start].tolist())),
                times[rows],
                {name: column[rows] for name, column in decoded.columns.items()},
                TimeSource.INSTRUMENT if by_clock[rows.start] else TimeSource.ARRIVAL,
                at,
                {name: reasons[rows] for name, reasons in decoded.reasons.items()},
            )
            events.append((int(blocks.offsets[rows.start]), frame))
        return events + self._implausible(blocks, decoded)

    def _beside(
        self,
        blocks: Blocks,
        messages: Sequence[b.Message],
        keys: Ints,
        breaks: Ints,
        times: Ints,
        by_clock: Mask,
    ) -> list[tuple[int, Decoded]]:
        """Frames of what has a geometry or a time of its own."""
        upward, coordinates = keys[:, _Geometry._fields.index("upward")], keys[:, 3]
        told = _vertical_beam(blocks, times, upward) + _surface_layer(blocks, times, upward, coordinates)
        ship = vmdas(blocks)
        told += [ship] if ship else []
        if messages:
            told += winriver(blocks.data, messages, times)
        events: list[tuple[int, Decoded]] = []
        for said in told:
            mine = blocks.take(said.rows)
            own_time = said.schema.kind in ("vmdas", "winriver_gga")
            timed = np.ones(len(mine), np.bool_) if own_time else by_clock[said.rows]
            schema = self._side.setdefault(said.schema.id, said.schema)
            if len(self._side) > 256:  # hostile geometry must not fill the memory
                self._side = {schema.id: schema}
            for rows, at in self._unbroken(mine, breaks, timed, np.zeros((len(mine), 1), np.int64)):
                frame = Frame(
                    self.instrument,
                    schema,
                    said.times[rows],
                    {name: column[rows] for name, column in said.columns.columns.items()},
                    TimeSource.INSTRUMENT if timed[rows.start] else TimeSource.ARRIVAL,
                    at,
                    {name: reasons[rows] for name, reasons in said.columns.reasons.items()},
                )
                events.append((int(mine.offsets[rows.start]), frame))
            events += self._implausible(mine, said.columns)
        return events

    def _unbroken(self, blocks: Blocks, breaks: Ints, by_clock: Mask, keys: Ints) -> list[tuple[slice, Arrival]]:
        """(rows that may share a Frame, when the first of them arrived)."""
        piece, arrivals = self._framer.arrivals(blocks.offsets)
        change = np.stack([np.searchsorted(breaks, blocks.offsets), _steadiness(arrivals)[piece], by_clock], axis=1)
        return [(rows, arrivals[int(piece[rows.start])]) for rows in stretches(np.concatenate([keys, change], axis=1))]

    def _schema(self, geometry: _Geometry) -> Schema:
        if geometry not in self._schemas:
            if len(self._schemas) >= 256:  # hostile geometry must not fill the memory
                self._schemas.clear()
            self._schemas[geometry] = _schema(geometry)
        return self._schemas[geometry]

    def _implausible(self, blocks: Blocks, decoded: Columns) -> list[tuple[int, Decoded]]:
        events: list[tuple[int, Decoded]] = []
        if not decoded.unreal:
            return events
        for row in np.flatnonzero(np.any(list(decoded.unreal.values()), axis=0)).tolist():
            names = ", ".join(name for name, rows in decoded.unreal.items() if rows[row])
            offset = int(blocks.offsets[row])
            found = problem(
                "implausible",
                f"no such value in the sea; left out of the sample: {names}",
                offset,
                self._framer.bytes_at(offset, int(blocks.spans[row])),
                self._framer.arrival(offset),
            )
            events.append((offset, found))
        return events


def _beam_angle(leader: bytes) -> int:
    """Degrees from the vertical; 0 where the leader does not tell."""
    code = leader[5] & 3
    if code < len(_BEAM_ANGLES):
        return _BEAM_ANGLES[code]
    if leader[2] in (11, 47, 66):
        return 25
    return leader[58] if len(leader) > 58 else 0


def _steadiness(arrivals: list[Arrival]) -> Ints:
    """A number for each arrival that changes where a Frame must end: at a new boot, a change of discipline, or a step
    of the wall clock."""
    number, numbers = 0, [0]
    for earlier, later in pairwise(arrivals):
        step_ns = (later.utc_ns - later.monotonic_ns) - (earlier.utc_ns - earlier.monotonic_ns)
        number += (
            earlier.boot != later.boot
            or earlier.disciplined != later.disciplined
            or (bool(later.boot) and abs(step_ns) > 10_000_000)
        )
        numbers.append(number)
    return np.array(numbers, np.int64)
