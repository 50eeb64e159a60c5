"""What the ensembles of PD0 hold: their geometry, by which they are decoded together, and their values as columns.

What has a geometry of its own, the vertical beam and the surface layer of river ADCPs, is told apart from the rest.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from drivers.trdi import blocks as b
from drivers.trdi.blocks import BAD_VELOCITY, Blocks, Columns, beams, stretches, times_of
from drivers.trdi.framing import Ints, Mask
from drivers.trdi.navigation import Said
from tidegate.frame import Cells, Field, Missing, Schema

# "Sensors available": the depth bit stands for the pressure sensor. An Explorer has all bits one place higher.
_PRESSURE_SENSOR, _PRESSURE_SENSOR_OF_EXPLORER, _EXPLORER = 0x20, 0x40, 34
_NO_READING = 0xFFFF

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


class Geometry(NamedTuple):
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


GEOMETRY_OF_COLUMNS = [at for at, name in enumerate(Geometry._fields) if name not in ("size_cm", "first_cm", "upward")]
"""The rest says where the cells are, not what the columns are: such ensembles are decoded together."""


# Percent good counts pings of each beam in beam coordinates, and kinds of solution in all others.
def _percent_good(coordinates: int) -> tuple[str, ...]:
    return beams(_PERCENT_GOOD) if coordinates == 0 else _COMBINED_PERCENT_GOOD


def _bottom_percent_good(coordinates: int) -> tuple[str, ...]:
    if coordinates == 0:
        return beams("bottom_track_percent_good")
    return tuple(f"bottom_track_{name}" for name in _COMBINED_PERCENT_GOOD)


def schema_of(geometry: Geometry) -> Schema:
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


def geometries(blocks: Blocks) -> tuple[Ints, Mask]:
    """((n, fields of `Geometry`), whether the blocks are long enough for the cells)."""
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
    return np.stack([np.asarray(keys[name], np.int64) for name in Geometry._fields], axis=1), fits


def decode(blocks: Blocks, geometry: Geometry) -> tuple[Ints, Columns]:
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


def _bottom(blocks: Blocks, g: Geometry, out: Columns) -> None:
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


def vertical_beam(blocks: Blocks, times: Ints, upward: Ints) -> list[Said]:
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


def surface_layer(blocks: Blocks, times: Ints, upward: Ints, coordinates: Ints) -> list[Said]:
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
