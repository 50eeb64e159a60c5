"""Nortek's AD2CP records: the binary data of Signature, Aquadopp second generation, AWAC second generation and DVL.

Theory of operation. A record is a header (A5, its own size 10 or 12, what follows, instrument family, size and
checksum of the data, checksum of itself) and its data. Both checksums must hold; a header that fails is noise, so a
damaged length never holds back what follows. The data of most records are one structure (DF3; DF2 in old firmware):
clock, sensors, and how many beams and cells; a configuration word says which blocks follow. Records of equal layout are
decoded together into one Frame.

Each kind of record is a kind of schema, for they measure at their own times: `adcp` (burst), `adcp_average`,
`adcp_vertical_beam` (the fifth beam between bursts), `bottom_track`, `altimeter`, `altimeter_raw`,
`altimeter_raw_average`, `echosounder`, `dvl_bottom_track`, `dvl_water_track`, `echosounder_raw`,
`echosounder_transmit`. The middle of the first cell lies one cell beyond the blanking distance (Nortek's convention).
Texts (the configuration that begins each file) tell of serial number, beams and transformation; see `description`.

Not decoded: samples of raw echo sounder records and raw altimeters with more than 4096 samples, time differences of
DVL records, the scatter of pressure, the magnetometer's temperature. They stay in the raw log.

Sources: Nortek, Signature Integrator's Guide (N3015-007), chapter "Data formats", pages 50-66; altimeter, AHRS and
bottom track blocks and the odd byte of the checksum from recordings. Velocities: beams are positive away from the
instrument.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from drivers.driver import Decoded, Driver, DriverSettings, Problem, problem
from drivers.nortek.configuration import told
from drivers.nortek.framing import SYNC, Bytes, Candidates, Framer, Ints, Records, checksums, u16
from drivers.nortek.records import Block, Clock, Group, Plan, Rows, Scalar, frames, utc_ns
from tidegate.clock import Arrival
from tidegate.frame import MOST_CELLS, Cells, Schema

_PIECE = 1 << 20  # a longer feed is worked off in pieces of this size, so that memory stays bounded
_LARGEST = 1 << 20  # bytes of data that a header may announce

_TEXT = 0xA0
_KINDS = {
    0x15: "adcp",
    0x16: "adcp_average",
    0x17: "bottom_track",
    0x18: "adcp_vertical_beam",
    0x1A: "altimeter_raw",
    0x1B: "dvl_bottom_track",
    0x1C: "echosounder",
    0x1D: "dvl_water_track",
    0x1E: "altimeter",
    0x1F: "altimeter_raw_average",
    0x23: "echosounder_raw",
    0x24: "echosounder_transmit",
}
_DVL_SIZE = 212

_ECHO = "signal_intensity_from_multibeam_acoustic_doppler_velocity_sensor_in_sea_water"
_CORRELATION = "beam_consistency_indicator_from_multibeam_acoustic_doppler_velocity_profiler_in_sea_water"
_GOOD = "proportion_of_acceptable_signal_returns_from_acoustic_instrument_in_sea_water"
_VELOCITIES = (
    (
        "eastward_sea_water_velocity",
        "northward_sea_water_velocity",
        "upward_sea_water_velocity",
        "upward_sea_water_velocity_2",
    ),
    ("sea_water_x_velocity", "sea_water_y_velocity", "sea_water_z_velocity", "sea_water_z_velocity_2"),
)
_BOTTOM_VELOCITIES = (
    (
        "bottom_track_eastward_velocity",
        "bottom_track_northward_velocity",
        "bottom_track_upward_velocity",
        "bottom_track_upward_velocity_2",
    ),
    ("bottom_track_x_velocity", "bottom_track_y_velocity", "bottom_track_z_velocity", "bottom_track_z_velocity_2"),
)
_COORDINATES = ("earth", "instrument", "beam")
_LOOKS = {4: True, 5: False}  # status bits 25-27: Z up, Z down; all else says nothing of cells above or below


class _Head(NamedTuple):
    """What a record says of its own layout."""

    id: int
    size: int
    version: int
    offset: int
    configuration: int
    beams: int
    coordinates: int
    cells: int
    size_mm: int
    first_mm: int
    description: int
    scaling: int
    upward: bool | None


def find(data: Bytes, first: int) -> Candidates:
    """Where AD2CP records may begin: headers whose checksum holds, and syncs too near to the end to tell."""
    n = len(data)
    starts = (data[first:] == SYNC).nonzero()[0] + first
    told = data[np.minimum(starts + 1, n - 1)].astype(np.int64)
    alone = starts + 1 >= n
    starts, told, alone = (column[alone | (told == 10) | (told == 12)] for column in (starts, told, alone))
    head = np.where(alone, 2, told)
    short = alone | (starts + head > n)
    at, size = starts[~short], head[~short]
    total = np.full(len(at), 0xB58C, np.int64)
    for word in (0, 2, 4, 6):
        total += u16(data, at + word)
    long = size == 12
    total[long] += u16(data, at[long] + 8)
    length = u16(data, at + 4)
    length[long] += u16(data, at[long] + 6) << 16
    header = np.ones(len(starts), np.bool_)
    header[~short] = ((total & 0xFFFF) == u16(data, at + size - 2)) & (length <= _LARGEST)
    ends = head.copy()
    ends[~short] += length
    good = ~short & header & (starts + ends <= n)
    if good.any():
        begin = starts[good]
        stored = u16(data, begin + head[good] - 4)
        good[good] = checksums(data, begin + head[good], begin + ends[good]) == stored
    return Candidates(starts[header], ends[header], good[header])


# --- clocks -----------------------------------------------------------------------------------------------------------


def _clock(at: int) -> Clock:
    """A clock of six bytes (years since 1900, month from 0, …) and the second's fraction in 100 us, `at` in the
    record."""

    def read(records: Rows) -> Ints:
        c = records["bytes"][:, at : at + 8].astype(np.int64)
        fraction = c[:, 6] | c[:, 7] << 8
        valid = (c[:, 3] < 24) & (c[:, 4] < 60) & (c[:, 5] < 60) & (fraction < 10_000) & (c[:, 0] >= 70)
        ns = ((c[:, 3] * 60 + c[:, 4]) * 60 + c[:, 5]) * 1_000_000_000 + fraction * 100_000
        return utc_ns(c[:, 0] + 1900, c[:, 1] + 1, c[:, 2], ns, valid)

    return read


# --- layouts ----------------------------------------------------------------------------------------------------------


class _Misfit(ValueError):
    """A record whose checksums hold and whose layout does not: its Problem's kind and message."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def _beams(name: str, head: _Head) -> tuple[str, ...]:
    """`name` for each physical beam, as the data set description counts them."""
    if head.id == 0x18 and head.beams == 1:
        numbers = [5]
    else:
        numbers = [head.description >> 4 * i & 15 for i in range(head.beams)]
    most = 4 if head.id == 0x17 else 5
    if not all(1 <= number <= most for number in numbers) or len(set(numbers)) < head.beams:
        numbers = list(range(1, head.beams + 1))
    return tuple(f"{name}_beam_{number}" for number in numbers)


def _velocities(names: Sequence[Sequence[str]], beam: str, head: _Head) -> tuple[str, ...]:
    if head.coordinates < 2 and 2 <= head.beams <= 4 and head.id != 0x18:
        return tuple(names[head.coordinates][: head.beams])
    return _beams(beam, head)


def _sensors(at: int, configuration: int) -> list[Scalar]:
    """Speed of sound to roll, which stand in this order in all records."""
    pressure, temperature, compass, tilt = (not configuration >> bit & 1 for bit in range(4))
    return [
        Scalar("speed_of_sound_in_sea_water", "<u2", at, 10, 0.1),
        Scalar("sea_water_temperature", "<i2", at + 2, 100, 0.01, absent=temperature),
        # Unsigned in the manual; signed it is the same below 2,000 km, and a little less than nothing in air.
        Scalar("sea_water_pressure_due_to_sea_water", "<i4", at + 4, 1000, 0.001, absent=pressure),
        Scalar("platform_orientation", "<u2", at + 8, 100, 0.01, absent=compass),
        Scalar("platform_pitch_fore_up", "<i2", at + 10, 100, 0.01, absent=tilt),
        Scalar("platform_roll_starboard_down", "<i2", at + 12, 100, 0.01, absent=tilt),
    ]


def _motion(at: int) -> list[Scalar]:
    """Magnetometer (0.1 uT) and accelerometer (16384 is standard gravity), raw in the instrument's axes."""
    return [
        *(Scalar(f"magnetometer_{axis}", "<i2", at + 2 * i, 10, 0.1) for i, axis in enumerate("xyz")),
        *(
            Scalar(f"accelerometer_{axis}", "<i2", at + 6 + 2 * i, 16384 / 9.80665, 1e-4, rounded=True)
            for i, axis in enumerate("xyz")
        ),
    ]


def _ahrs(at: int) -> list[Scalar]:
    names = [f"rotation_matrix_{row}{column}" for row in (1, 2, 3) for column in (1, 2, 3)]
    names += [f"quaternion_{part}" for part in "wxyz"]
    names += [f"gyroscope_{axis}" for axis in "xyz"]
    return [Scalar(name, "<f4", at + 4 * i, rounded=True) for i, name in enumerate(names)]


def _df3(b: int, head: _Head) -> tuple[list[Scalar], list[Block], int]:
    """(scalars, blocks, cells) of a burst or average record whose data begin at byte `b` of the record."""
    c, scale = head.configuration, 10.0**-head.scaling
    step = float(f"1e{head.scaling}")
    scalars = [
        Scalar("ensemble_number", "<u4", b + 72),
        *_sensors(b + 16, c),
        Scalar("battery_voltage", "<u2", b + 38, 10, 0.1),
        Scalar("temperature_of_pressure_sensor", "u1", b + 37, 5, 0.1, add=-4.0),
        Scalar("temperature_of_clock", "<i2", b + 62, 100, 0.01),
        *_motion(b + 40),
        Scalar("nominal_correlation", "u1", b + 36),
        Scalar("transmit_energy", "<u2", b + 56),
        Scalar("power_level", "i1", b + 59),
        Scalar("device_error", "<u2", b + 64),
        Scalar("device_status_0", "<u2", b + 66),
        Scalar("device_status", "<u4", b + 68),
    ]
    if not c & 0x800:  # an echo sounder has its frequency in this place
        scalars.append(Scalar("ambiguity_velocity", "<u2", b + 52, scale, step))
    at, blocks, cells = b + head.offset, [], head.cells
    profiled = head.beams * head.cells
    if c & 0x20 and profiled:
        names = _velocities(_VELOCITIES, "radial_sea_water_velocity_away_from_instrument", head)
        blocks.append(Block(names, "<i2", at, cells, scale, step, invalid=-32768))
        at += 2 * profiled
    if c & 0x40 and profiled:
        blocks.append(Block(_beams(_ECHO, head), "u1", at, cells))
        at += profiled
    if c & 0x80 and profiled:
        blocks.append(Block(_beams(_CORRELATION, head), "u1", at, cells))
        at += profiled
    if c & 0x100:
        scalars += [
            Scalar("altimeter_distance_leading_edge", "<f4", at, rounded=True, invalid=0),
            Scalar("altimeter_quality_leading_edge", "<u2", at + 4, 100),
            Scalar("altimeter_status", "<u2", at + 6),
        ]
        at += 8
    if c & 0x400:
        scalars += [
            Scalar("altimeter_distance_ast", "<f4", at, rounded=True, invalid=0),
            Scalar("altimeter_quality_ast", "<u2", at + 4, 100),
            Scalar("altimeter_time_offset_ast", "<i2", at + 6, 10_000),
            Scalar("altimeter_pressure", "<f4", at + 8, rounded=True),
        ]
        at += 20
    if c & 0x200:
        scalars += [
            Scalar("altimeter_sample_count", "<u4", at),
            Scalar("altimeter_sample_spacing", "<u2", at + 4, 10_000),
        ]
        at += 6
        samples = (head.size - at) // 2
        if not head.cells and 0 < samples <= MOST_CELLS:
            blocks.append(Block(("altimeter_signal",), "<i2", at, samples))
            cells = samples
        return scalars, blocks, cells
    if c & 0x800:
        blocks.append(Block(("echosounder_signal_level",), "<i2", at, cells, 100))
        at += 2 * cells
    if c & 0x1000:
        scalars += _ahrs(at)
        at += 64
    if c & 0x2000 and cells:
        blocks.append(Block((_GOOD,), "u1", at, cells))
        at += cells
    if c & 0x4000:
        names = ("standard_deviation_of_pitch", "standard_deviation_of_roll", "standard_deviation_of_heading")
        scalars += [Scalar(name, "<i2", at + 2 * i, 100) for i, name in enumerate(names)]
        at += 8
    return scalars, blocks, cells


def _df2(b: int, head: _Head) -> tuple[list[Scalar], list[Block], int]:
    """As `_df3`, for the structure of old firmware."""
    c, scale, step = head.configuration, 10.0**-head.scaling, float(f"1e{head.scaling}")
    scalars = [
        *_sensors(b + 16, c),
        Scalar("battery_voltage", "<u2", b + 42, 10, 0.1),
        *_motion(b + 44),
        Scalar("ambiguity_velocity", "<u2", b + 56, 10_000, 1e-4),
        Scalar("transmit_energy", "<u2", b + 60),
        Scalar("power_level", "i1", b + 63),
        Scalar("device_error", "<u2", b + 30),
        Scalar("device_status", "<u2", b + 32),
    ]
    at, blocks, profiled = b + head.offset, [], head.beams * head.cells
    for bit, width in ((0x20, 2), (0x40, 1), (0x80, 1)):
        if c & bit and profiled:
            if bit == 0x20:
                names = _velocities(_VELOCITIES, "radial_sea_water_velocity_away_from_instrument", head)
                blocks.append(Block(names, "<i2", at, head.cells, scale, step, invalid=-32768))
            else:
                blocks.append(Block(_beams(_ECHO if bit == 0x40 else _CORRELATION, head), "u1", at, head.cells))
            at += width * profiled
    return scalars, blocks, head.cells


def _bottom_track(b: int, head: _Head) -> tuple[list[Scalar], list[Block], int]:
    c, scale, step = head.configuration, 10.0**-head.scaling, float(f"1e{head.scaling}")
    scalars = [
        Scalar("ensemble_number", "<u4", b + 74),
        *_sensors(b + 16, c),
        Scalar("battery_voltage", "<u2", b + 38, 10, 0.1),
        Scalar("temperature_of_clock", "<i2", b + 64, 100, 0.01),
        *_motion(b + 40),
        Scalar("nominal_correlation", "u1", b + 36),
        Scalar("ambiguity_velocity", "<u4", b + 52, scale, step),
        Scalar("transmit_energy", "<u2", b + 58),
        Scalar("power_level", "i1", b + 61),
        Scalar("device_error", "<u4", b + 66),
        Scalar("device_status", "<u4", b + 70),
    ]
    at, blocks = b + head.offset, []
    if c & 0x20:
        names = _velocities(_BOTTOM_VELOCITIES, "bottom_track_velocity", head)
        blocks.append(Block(names, "<i4", at, 0, scale, step, invalid=round(-32.768 * scale)))
        at += 4 * head.beams
    if c & 0x100:
        blocks.append(Block(_beams("bottom_track_range", head), "<i4", at, 0, 1000, 1e-3, invalid=0))
        at += 4 * head.beams
    if c & 0x200:
        blocks.append(Block(_beams("bottom_track_figure_of_merit", head), "<u2", at, 0))
        at += 2 * head.beams
    if c & 0x400:
        scalars += _ahrs(at)
        at += 64
    return scalars, blocks, 0


def _dvl(b: int, head: _Head) -> tuple[list[Scalar], list[Block], int]:
    """DVL bottom track and water track (DF21, DF22): numbers as 32-bit floats. -32.768 m/s, 0 m and a merit of 10 m/s
    stand for what was not found."""
    if head.size - b < _DVL_SIZE:
        raise _Misfit("syntax", f"a DVL record of {head.size} bytes; it needs {b + _DVL_SIZE}")
    track = "bottom_track" if head.id == 0x1B else "water_track"
    four = ("_beam_1", "_beam_2", "_beam_3", "_beam_4")
    bad, none, merit = float(np.float32(-32.768)), 0.0, 10.0
    scalars = [
        Scalar("speed_of_sound_in_sea_water", "<f4", b + 24, resolution=0.01, rounded=True),
        Scalar("sea_water_temperature", "<f4", b + 28, resolution=0.01, rounded=True),
        Scalar("sea_water_pressure_due_to_sea_water", "<f4", b + 32, 0.1, 0.001, rounded=True),  # bar
        Scalar("device_error", "<u4", b + 16),
        Scalar("device_status", "<u4", b + 20),
    ]
    blocks = [
        Block(tuple(f"{track}_velocity{n}" for n in four), "<f4", b + 36, 0, 1, 1e-5, bad, True),
        Block(tuple(f"{track}_range{n}" for n in four), "<f4", b + 52, 0, 1, 1e-3, none, True),
        Block(tuple(f"{track}_velocity_uncertainty{n}" for n in four), "<f4", b + 68, 0, 1, 1e-5, merit, True),
        Block(
            tuple(f"{track}_{axis}" for axis in ("x_velocity", "y_velocity", "z_velocity", "z_velocity_2")),
            "<f4", b + 132, 0, 1, 1e-5, bad, True,
        ),
        Block(
            tuple(f"{track}_velocity_uncertainty_{axis}" for axis in ("x", "y", "z", "z_2")),
            "<f4", b + 148, 0, 1, 1e-5, merit, True,
        ),
    ]  # fmt: skip
    return scalars, blocks, 0


def _raw_echo(b: int, head: _Head) -> tuple[list[Scalar], list[Block], int]:
    if head.size < b + 32:
        raise _Misfit("syntax", f"a raw echo sounder record of {head.size} bytes; it needs {b + 32}")
    return (
        [
            Scalar("raw_sample_count", "<u4", b + 20),
            Scalar("raw_sample_start", "<u4", b + 24),
            Scalar("acoustic_frequency", "<f4", b + 28, rounded=True),
            Scalar("device_error", "<u2", b + 10),
            Scalar("device_status", "<u4", b + 12),
        ],
        [],
        0,
    )


def _head(record: bytes) -> _Head:
    """Reads what a record says of its layout. Raises `_Misfit` where it can have none."""
    b, id_, size = record[1], record[2], len(record)
    body = record[b:]
    least = {0x17: 78, 0x1B: _DVL_SIZE, 0x1D: _DVL_SIZE, 0x23: 32, 0x24: 32}.get(id_, 68)
    if id_ not in _KINDS:
        raise _Misfit("unknown", f"a record of type {id_:02X}, which is not decoded")
    if len(body) < least:
        raise _Misfit("syntax", f"a record of type {id_:02X} with {len(body)} bytes of data; it needs {least}")
    version, offset = body[0], body[1]
    if id_ in (0x1B, 0x1D, 0x23, 0x24):
        return _Head(id_, size, version, offset, 0, 4, 2, 0, 0, 0, 0, 0, None)

    def word(at: int) -> int:
        return body[at] | body[at + 1] << 8

    if id_ != 0x17 and version == 2:
        configuration, geometry, size_mm, blank_mm = word(6), word(34), word(36), word(38)
        description, scaling, upward, first = word(58), body[62], None, 68
    elif id_ == 0x17:
        configuration, geometry, size_mm, blank_mm = word(2), word(30), word(32), word(34)
        description, scaling, upward, first = word(56), body[60], None, 78
    elif version in (1, 3, 7) and len(body) >= 76:
        configuration, geometry, size_mm = word(2), word(30), word(32)
        blank_mm = word(34) * (10 if body[68] & 2 else 1)
        description, scaling, upward, first = word(54), body[58], _LOOKS.get(body[71] >> 1 & 7), 76
    else:
        raise _Misfit("unknown", f"a record of type {id_:02X} in version {version}, which is not decoded")
    scaling -= 256 * (scaling > 127)
    if id_ == 0x17:
        offset = max(offset, first)  # not every firmware says it rightly
    if offset < first or not -6 <= scaling <= 0:
        raise _Misfit("syntax", f"a record whose data begin at {offset} and whose velocities scale by 10^{scaling}")
    beams, coordinates, cells = geometry >> 12, geometry >> 10 & 3, geometry & 1023
    if configuration & 0x800 and id_ != 0x17:
        beams, coordinates, cells = 1, 2, geometry
    if beams > (4 if id_ == 0x17 else 5) or cells > MOST_CELLS or (coordinates > 2 and beams):
        raise _Misfit("unknown", f"a record of {beams} beams and {cells} cells; at most 5 and {MOST_CELLS} are decoded")
    return _Head(
        id_, size, version, offset, configuration, beams, coordinates, cells, size_mm, blank_mm, description, scaling,
        upward,
    )  # fmt: skip


def _plan(record: bytes) -> Plan:
    """How records like this one are read. Raises `_Misfit`."""
    head = _head(record)
    b = record[1]
    if head.id == 0x17:
        layout = _bottom_track
    elif head.id in (0x1B, 0x1D):
        layout = _dvl
    elif head.id in (0x23, 0x24):
        layout = _raw_echo
    else:
        layout = _df2 if head.version == 2 else _df3
    scalars, blocks, count = layout(b, head)
    cells = None
    if any(block.cells for block in blocks):
        if any("altimeter_signal" in block.names for block in blocks):
            spacing = next(s.at for s in scalars if s.name == "altimeter_sample_spacing")
            step_m = (record[spacing] | record[spacing + 1] << 8) / 10_000
            cells = Cells(count, round(head.first_mm / 1000 + step_m, 4), step_m, head.upward)
        else:
            cells = Cells(count, (head.first_mm + head.size_mm) / 1000, head.size_mm / 1000, head.upward)
    clock = _clock(b + (2 if head.id in (0x23, 0x24) else 6 if head.id in (0x1B, 0x1D) else 8))
    measured = tuple(block for block in blocks if block.names)
    plan = Plan(_KINDS[head.id], head.size, tuple(scalars), measured, cells, clock)
    if plan.needs > head.size:
        raise _Misfit("syntax", f"a record of {head.size} bytes whose configuration needs {plan.needs}")
    return plan


def _key(buffer: bytes, start: int, size: int) -> bytes:
    """All that decides the plan of the record at `start`, which has at least 76 bytes of data."""
    b, id_ = start + buffer[start + 1], buffer[start + 2]
    head = buffer[start + 1 : start + 3] + size.to_bytes(4, "little")
    if id_ in (0x1B, 0x1D, 0x23, 0x24):
        return head
    if id_ == 0x17:
        return head + buffer[b : b + 4] + buffer[b + 30 : b + 36] + buffer[b + 56 : b + 58] + buffer[b + 60 : b + 61]
    if buffer[b] == 2:
        return (
            head
            + buffer[b : b + 2]
            + buffer[b + 6 : b + 8]
            + buffer[b + 34 : b + 40]
            + buffer[b + 58 : b + 60]
            + buffer[b + 62 : b + 63]
        )
    spacing = b""
    if buffer[b + 3] & 2:  # raw altimeter: the spacing of its samples
        at = b + buffer[b + 1] + 8 * (buffer[b + 3] & 1) + 20 * (buffer[b + 3] >> 2 & 1) + 4
        spacing = buffer[at : at + 2]
    # Versions and configuration; beams, cells, blanking; data set; scaling; unit of blanking and orientation.
    return (
        head
        + buffer[b : b + 4]
        + buffer[b + 30 : b + 36]
        + buffer[b + 54 : b + 56]
        + bytes((buffer[b + 58], buffer[b + 68] & 2, buffer[b + 71] & 14))
        + spacing
    )


class Ad2cp(Driver):
    """Reads AD2CP records. It needs no settings and sends nothing but what a technician types."""

    manufacturer: ClassVar[str] = "Nortek"
    models: ClassVar[tuple[str, ...]] = (
        "Signature 55",
        "Signature 100",
        "Signature 250",
        "Signature 500",
        "Signature 1000",
        "Signature VM",
        "Aquadopp (second generation)",
        "AWAC (second generation)",
        "DVL 300",
        "DVL 500",
        "DVL 1000",
    )
    title: ClassVar[str] = "Nortek Signature and other AD2CP instruments: binary records"
    lines: ClassVar[tuple[str, ...]] = ("9600 8N1", "115200 8N1", "57600 8N1", "38400 8N1", "19200 8N1")
    commands: ClassVar[Mapping[str, str]] = {
        "K1W%!Q": "break: after @@@@@@ and a pause of 0.1 s, stops measuring and asks for confirmation",
        "MC": "command mode: confirms the break (measuring stops until START)",
        "ID": "instrument's name and serial number",
        "GETHW": "firmware and boards",
        "GETALL": "the whole configuration as text",
        "GETERROR": "why the last command was refused",
        "START": "starts measuring with recorder",
    }
    calibration: ClassVar[str] = ""
    problems: ClassVar[Mapping[str, str]] = {
        "checksum": "a record was damaged on the line or on disk: check cable, length and baud rate",
        "noise": "bytes that belong to no record: wrong baud rate, another format of output, or a damaged header",
        "truncated": "the stream ended inside a record: the file was cut off",
        "syntax": "checksums hold, and the record is shorter than its own configuration says: report the firmware",
        "unknown": "a type or version of record that is not decoded; it stays in the raw log",
        "implausible": "a value that cannot be in the sea, or a clock that shows no time; it was left out",
    }

    def __init__(self, instrument: str, settings: DriverSettings | None = None) -> None:
        super().__init__(instrument, settings)
        self._framer = Framer(find, "no AD2CP record: check baud rate and output format")
        self._plans: dict[Any, Plan | _Misfit] = {}
        self._told: dict[str, Any] = {}
        self._last = b""

    def schemas(self) -> Sequence[Schema]:
        """The schemas of the records met so far; they are known only from the records."""
        return tuple({p.schema.id: p.schema for p in self._plans.values() if isinstance(p, Plan)}.values())

    def description(self) -> Mapping[str, Any]:
        """From the configuration text: model, serial, firmware, beams, and by kind of schema the `modes` with their
        coordinates, cells and matrix `beam_to_instrument`; from the last record: serial, coordinates, `looks`."""
        out: dict[str, Any] = {"manufacturer": self.manufacturer}
        if self._last:
            try:
                head = _head(self._last)
            except _Misfit:
                return {**out, **self._told}
            body = self._last[self._last[1] :]
            if head.id not in (0x1B, 0x1D, 0x23, 0x24):
                at = 2 if head.version == 2 and head.id != 0x17 else 4
                out["serial"] = str(int.from_bytes(body[at : at + 4], "little"))
                if head.beams and not head.configuration & 0x800:
                    out["coordinates"] = _COORDINATES[head.coordinates]
            if head.upward is not None:
                out["looks"] = "up" if head.upward else "down"
        return {**out, **self._told}

    def feed(self, data: bytes, at: Arrival) -> list[Decoded]:
        """See `Driver.feed`. Records of one kind become one Frame, so samples of several kinds that alternate in the
        stream come kind by kind."""
        decoded: list[Decoded] = []
        for start in range(0, len(data), _PIECE):
            found = self._framer.feed(data[start : start + _PIECE], at)
            if found is not None:
                decoded += self._decoded(*found)
        return decoded

    def finish(self) -> list[Decoded]:
        """See `Driver.finish`. A record that was cut off is reported as `truncated`."""
        return self._decoded(*self._framer.finish())

    def _decoded(self, good: Records, problems: list[Problem]) -> list[Decoded]:
        buffer, framer = self._framer.buffer, self._framer
        groups: dict[int, Group] = {}
        if len(self._plans) > 1024:  # hostile geometry must not fill the memory
            self._plans.clear()
        for start, size in zip(good.starts, good.sizes, strict=True):
            if buffer[start + 2] == _TEXT:
                self._hear(buffer[start + buffer[start + 1] : start + size])
                continue
            key = _key(buffer, start, size) if size >= 90 else buffer[start : start + size]
            plan = self._plans.get(key)
            if plan is None:
                try:
                    plan = _plan(buffer[start : start + size])
                except _Misfit as misfit:
                    plan = misfit
                self._plans[key] = plan
            if isinstance(plan, _Misfit):
                offset, data = start + framer.base, buffer[start : start + size]
                problems.append(problem(plan.kind, str(plan), offset, data, framer.arrival(offset)))
                continue
            groups.setdefault(id(plan), Group(plan, [])).starts.append(start)
        if groups:
            group = max(
                groups.values(), key=lambda group: (group.plan.kind in ("adcp", "adcp_average"), group.starts[-1])
            )
            self._last = buffer[group.starts[-1] : group.starts[-1] + group.plan.size]
        problems.sort(key=lambda p: p.offset)
        decoded = frames(self.instrument, framer, list(groups.values()), problems)
        framer.forget()
        return decoded

    def _hear(self, text: bytes) -> None:
        known = told(text[1:].rstrip(b"\0").decode("latin-1"))
        if known.get("model") or known.get("modes"):
            self._told = known
