"""What each type of NMEA 0183 sentence says: its columns, its schema and its time; for `drivers.nmea.nmea0183`.

A reader takes the fields of all sentences of its type in a block (`Rows`) and gives them as columns in the vocabulary's
units. It refuses what the type's grammar does not allow, field by field.

Signs. Kongsberg prints heave in PSXN positive down, roll positive with the port side up and pitch positive with the
bow up (Seapath, NMEA proprietary); NovAtel, Applanix and Teledyne the same angles. UHDAS prints in PUHAW,UVH the
ship's velocity through the water in knots (uhdas, speedlog.py), without checksum.

Sources: IEC 61162-1 as receiver manuals have it; Kongsberg Seapath; NovAtel OEM7 PASHR; Airmar PB200 (MDA, MWD).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from drivers.nmea.sentences import Bools, Floats, Ints, Rows
from tidegate.frame import Field, Schema
from tidegate.vocabulary import parameter

_KNOT = 1852.0 / 3600.0


class Said(NamedTuple):
    """What the sentences of one type say. `variant` chooses each one's schema among the type's."""

    columns: Mapping[str, Floats]
    valid: Bools | None = None
    """False where the receiver marks the sentence as invalid; None where the type has no such mark."""
    spared: tuple[str, ...] = ()
    """Columns that stay although the sentence is invalid."""
    void: Mapping[str, Bools] = {}
    """Where the sentence marks a column by itself as invalid."""
    variant: Ints | None = None
    time_of_day_ns: Ints | None = None
    day: Ints | None = None


def _position(rows: Rows, k: int) -> tuple[dict[str, Floats], Ints]:
    """Latitude in fields `k`, `k + 1` and longitude in the two after, and whether they are finer than usual."""
    columns = {"latitude": rows.angle(k, 2, b"NS"), "longitude": rows.angle(k + 2, 3, b"EW")}
    fine = np.maximum(rows.decimals(k), rows.decimals(k + 2)) > 5
    return columns, fine.astype(np.int64)


def _gga(rows: Rows) -> Said:
    columns, fine = _position(rows, 2)
    quality = rows.integer(6)
    columns |= {
        "gnss_fix_quality": quality,
        "gnss_satellites_used": rows.integer(7),
        "gnss_horizontal_dilution_of_precision": rows.number(8),
        "altitude": rows.measured(9, b"M"),
        "geoid_height_above_reference_ellipsoid": rows.measured(11, b"M"),
    }
    spared = ("gnss_fix_quality", "gnss_satellites_used", "gnss_horizontal_dilution_of_precision")
    return Said(columns, quality > 0, spared, variant=fine, time_of_day_ns=rows.time_of_day_ns(1))


def _gll(rows: Rows) -> Said:
    columns, fine = _position(rows, 1)
    status = rows.letter(6, b"AV")
    # Receivers from before NMEA 2.0 give neither time nor status.
    valid = ((status == ord("A")) | (rows.size < 6)) & (rows.letter(7, b"ADEFMNPRS") != ord("N"))
    return Said(columns, valid, variant=fine, time_of_day_ns=rows.time_of_day_ns(5))


def _rmc(rows: Rows) -> Said:
    columns, fine = _position(rows, 3)
    valid = (rows.letter(2, b"AV") == ord("A")) & (rows.letter(12, b"ADEFMNPRS") != ord("N"))
    variation = rows.number(10)
    side = rows.letter(11, b"EW")
    rows.refuse(11, ~np.isnan(variation) & (side == 0))
    columns |= {
        "platform_speed_wrt_ground": rows.number(7) * _KNOT,
        "platform_course": rows.number(8),
        "magnetic_variation": np.where(side == ord("W"), -variation, variation),
    }
    day = rows.days(9, *rows.date(9))
    return Said(columns, valid, variant=fine, time_of_day_ns=rows.time_of_day_ns(1), day=day)


def _zda(rows: Rows) -> Said:
    for k in (5, 6):  # the local zone; the time in the other fields is UTC
        rows.integer(k)
    return Said(
        {},
        time_of_day_ns=rows.time_of_day_ns(1),
        day=rows.days(2, rows.integer(4), rows.integer(3), rows.integer(2)),
    )


def _vtg(rows: Rows) -> Said:
    knots, kmh = rows.measured(5, b"N") * _KNOT, rows.measured(7, b"K") / 3.6
    return Said(
        {
            "platform_course": rows.measured(1, b"T"),
            "platform_speed_wrt_ground": np.where(np.isnan(knots), kmh, knots),
        },
        rows.letter(9, b"ADEFMNPRS") != ord("N"),
    )


def _hdt(rows: Rows) -> Said:
    return Said({"platform_orientation": rows.measured(1, b"T")})


def _ths(rows: Rows) -> Said:
    mode = rows.letter(2, b"AEMSV")
    return Said({"platform_orientation": rows.number(1)}, (mode != ord("V")) & (mode != 0))


def _vhw(rows: Rows) -> Said:
    knots, kmh = rows.measured(5, b"N") * _KNOT, rows.measured(7, b"K") / 3.6
    return Said(
        {
            "platform_orientation": rows.measured(1, b"T"),
            "platform_speed_wrt_sea_water": np.where(np.isnan(knots), kmh, knots),
        }
    )


def _dpt(rows: Rows) -> Said:
    return Said({"sea_floor_depth_below_transducer": rows.number(1), "transducer_offset": rows.number(2)})


def _depth(name: str) -> Callable[[Rows], Said]:
    """A depth in feet, metres and fathoms; the metres count where they are given."""

    def read(rows: Rows) -> Said:
        feet, metres, fathoms = rows.measured(1, b"f"), rows.measured(3, b"M"), rows.measured(5, b"F")
        other = np.where(np.isnan(feet), fathoms * 1.8288, feet * 0.3048)
        return Said({name: np.where(np.isnan(metres), other, metres)})

    return read


def _mtw(rows: Rows) -> Said:
    return Said({"sea_water_temperature": rows.measured(1, b"C")})


_WIND_UNITS = {ord("M"): 1.0, ord("N"): _KNOT, ord("K"): 1 / 3.6, ord("S"): 0.44704}


def _mwv(rows: Rows) -> Said:
    angle, reference, unit = rows.number(1), rows.letter(2, b"RT"), rows.letter(4, bytes(_WIND_UNITS))
    speed = rows.number(3)
    rows.refuse(2, reference == 0)
    rows.refuse(4, ~np.isnan(speed) & (unit == 0))
    factors = np.ones(256)
    factors[list(_WIND_UNITS)] = list(_WIND_UNITS.values())
    speed = speed * factors[unit]
    columns = {
        "relative_wind_speed": speed,
        "relative_wind_from_direction": angle,
        "wind_speed": speed,
        "wind_from_direction_relative_to_bow": angle,
    }
    return Said(columns, rows.letter(5, b"AV") == ord("A"), variant=(reference == ord("T")).astype(np.int64))


def _hdm(rows: Rows) -> Said:
    return Said({"platform_orientation_magnetic": rows.measured(1, b"M")})


def _sided(rows: Rows, k: int) -> Floats:
    """An angle in field `k` whose side stands in the next: east positive."""
    angle, side = rows.number(k), rows.letter(k + 1, b"EW")
    rows.refuse(k + 1, ~np.isnan(angle) & (side == 0))
    return np.where(side == ord("W"), -angle, angle)


def _hdg(rows: Rows) -> Said:
    return Said(
        {
            "platform_orientation_magnetic": rows.number(1),
            "magnetic_deviation": _sided(rows, 2),
            "magnetic_variation": _sided(rows, 4),
        }
    )


def _rot(rows: Rows) -> Said:
    return Said({"platform_yaw_rate_fore_starboard": rows.number(1) / 60.0}, rows.letter(2, b"AV") == ord("A"))


def _vbw(rows: Rows) -> Said:
    ways = ("forward", "starboard")
    water, ground = ([f"platform_{way}_velocity_wrt_{what}" for way in ways] for what in ("sea_water", "ground"))
    columns = {name: rows.number(k) * _KNOT for name, k in zip((*water, *ground), (1, 2, 4, 5), strict=True)}
    for k in (7, 9):  # speeds of the stern
        rows.number(k)
        rows.letter(k + 1, b"AV")
    void = {name: rows.letter(k, b"AV") != ord("A") for names, k in ((water, 3), (ground, 6)) for name in names}
    return Said(columns, void=void)


def _sided_wind(speed_name: str, angle_name: str) -> Callable[[Rows], Said]:
    """VWR and VWT: 0 to 180 degrees to the left or right of the bow, then the speed in three units."""

    def read(rows: Rows) -> Said:
        angle, side = rows.number(1), rows.letter(2, b"LR")
        rows.refuse(2, ~np.isnan(angle) & (side == 0))
        rows.refuse(1, (angle < 0) | (angle > 180))
        knots, metres, kmh = (rows.measured(k, unit) for k, unit in ((3, b"N"), (5, b"M"), (7, b"K")))
        speed = np.where(np.isnan(metres), np.where(np.isnan(knots), kmh / 3.6, knots * _KNOT), metres)
        return Said({speed_name: speed, angle_name: np.where(side == ord("L"), (360.0 - angle) % 360.0, angle)})

    return read


def _mta(rows: Rows) -> Said:
    return Said({"air_temperature": rows.measured(1, b"C")})


def _mda(rows: Rows) -> Said:
    first, bars = rows.measured(1, b"IP"), rows.measured(3, b"B")  # inches of mercury; of some stations, pascals
    first = np.where(rows.letter(2, b"IP") == ord("P"), first * 0.01, first * 33.863886)
    knots, metres = rows.measured(17, b"N") * _KNOT, rows.measured(19, b"M")
    rows.number(10)  # absolute humidity, of which no unit is agreed
    rows.measured(15, b"M")  # the wind's direction from magnetic north
    return Said(
        {
            "air_pressure": np.where(np.isnan(bars), first, bars * 1000.0),
            "air_temperature": rows.measured(5, b"C"),
            "sea_water_temperature": rows.measured(7, b"C"),
            "relative_humidity": rows.number(9),
            "dew_point_temperature": rows.measured(11, b"C"),
            "wind_from_direction": rows.measured(13, b"T"),
            "wind_speed": np.where(np.isnan(metres), knots, metres),
        }
    )


def _mwd(rows: Rows) -> Said:
    rows.measured(3, b"M")  # from magnetic north
    knots, metres = rows.measured(5, b"N") * _KNOT, rows.measured(7, b"M")
    return Said(
        {"wind_from_direction": rows.measured(1, b"T"), "wind_speed": np.where(np.isnan(metres), knots, metres)}
    )


def _vdr(rows: Rows) -> Said:
    rows.measured(3, b"M")  # toward magnetic north
    return Said(
        {
            "sea_water_velocity_to_direction": rows.measured(1, b"T"),
            "sea_water_speed": rows.measured(5, b"N") * _KNOT,
        }
    )


def _gns(rows: Rows) -> Said:
    columns, fine = _position(rows, 2)
    columns |= {
        "gnss_satellites_used": rows.integer(7),
        "gnss_horizontal_dilution_of_precision": rows.number(8),
        "altitude": rows.number(9),
        "geoid_height_above_reference_ellipsoid": rows.number(10),
    }
    # One letter for each system of satellites; N is one without a fix.
    modes = rows.words(6, b"ADEFMNPRS")
    valid = np.array([bool(mode.strip(b"N")) for mode in modes], np.bool_) & (rows.letter(13, b"SCUV") != ord("N"))
    spared = ("gnss_satellites_used", "gnss_horizontal_dilution_of_precision")
    return Said(columns, valid, spared, variant=fine, time_of_day_ns=rows.time_of_day_ns(1))


# --- makers' own sentences --------------------------------------------------------------------------------------------


def _psxn20(rows: Rows) -> Said:
    return Said({name: rows.integer(k) for k, name in enumerate(_QUALITIES, 2)})


def _psxn22(rows: Rows) -> Said:
    return Said({"gyro_calibration": rows.number(2), "gyro_offset": rows.number(3)})


def _psxn23(rows: Rows) -> Said:
    return Said({name: rows.number(k) for k, name in enumerate(_MOTION, 2)})


def _psxn24(rows: Rows) -> Said:
    return Said({name: rows.number(k) for k, name in enumerate(_RATES, 2)})


def _prdid(rows: Rows) -> Said:
    return Said({name: rows.number(k) for k, name in enumerate(_ATTITUDE, 1)})


def _pashr(rows: Rows) -> Said:
    columns: dict[str, Floats] = {name: rows.number(k) for k, name in enumerate(_INERTIAL, 4)}
    columns |= {"platform_orientation": rows.measured(2, b"T")}
    columns |= {"gnss_aiding_status": rows.integer(10), "imu_status": rows.integer(11)}
    return Said(columns, time_of_day_ns=rows.time_of_day_ns(1))


def _puhaw(rows: Rows) -> Said:
    names = ("platform_eastward_velocity_wrt_sea_water", "platform_northward_velocity_wrt_sea_water")
    columns = {name: rows.number(k) * _KNOT for k, name in enumerate(names, 2)}
    columns["platform_orientation"] = rows.number(4)
    for k, decimals in ((2, 2), (3, 2), (4, 1)):
        # There is no checksum: a number that is not printed to the full is a damaged one.
        rows.refuse(k, rows.decimals(k) != decimals)
    return Said(columns)


# --- the types --------------------------------------------------------------------------------------------------------


class Layout:
    """A schema, with what its values are rounded and checked by: arrays (fields, 1).

    `fine`: positions of carrier-phase fixes. `finest`: a resolution at least as fine as this for every field.
    """

    def __init__(self, kind: str, *names: str, fine: bool = False, finest: float = np.inf) -> None:
        resolutions = RESOLUTION | ({"latitude": 1e-9, "longitude": 1e-9} if fine else {})
        fields = tuple(
            Field.of(name, resolution=min(resolutions.get(name, parameter(name).resolution), finest)) for name in names
        )
        self.schema = Schema(kind, fields)
        self.names: tuple[str, ...] = names
        self.integer = [f.integer for f in fields]
        self.steps = np.array([[10.0**f.decimals] for f in fields])
        self.low = np.array([[parameter(name).plausible[0]] for name in names])
        self.high = np.array([[parameter(name).plausible[1]] for name in names])


@dataclass(frozen=True)
class Type:
    """One type of sentence: the least and the most fields it may have, how to read them, its schemas by variant.

    `bare`: it never has a checksum.
    """

    name: str
    counts: tuple[int, int]
    read: Callable[[Rows], Said]
    layouts: tuple[Layout, ...] = ()
    bare: bool = False


RESOLUTION = {
    "platform_speed_wrt_ground": 1e-4,  # a thousandth of a knot is 5e-4 m s-1
    "platform_speed_wrt_sea_water": 1e-4,
    "platform_course": 1e-3,
    "platform_orientation": 1e-3,
    "altitude": 1e-3,
    "geoid_height_above_reference_ellipsoid": 1e-3,
    "sea_floor_depth_below_transducer": 1e-3,
    "transducer_offset": 1e-3,
    "sea_water_temperature": 1e-3,
    "sea_floor_depth_below_sea_surface": 1e-3,
    "sea_floor_depth_below_keel": 1e-3,
    "sea_water_speed": 1e-4,
    "wind_speed": 1e-3,
    "relative_wind_speed": 1e-3,
    "platform_pitch_fore_up": 1e-3,
    "platform_roll_starboard_down": 1e-3,
    "platform_heave_down": 1e-3,
    "platform_heave_up": 1e-3,
}


def _both(kind: str, *names: str) -> tuple[Layout, Layout]:
    """For minutes of up to 5 decimals, and for finer ones (receivers with carrier-phase fixes)."""
    names = ("latitude", "longitude", *names)
    return Layout(kind, *names), Layout(kind, *names, fine=True)


_FIX = (
    "altitude",
    "geoid_height_above_reference_ellipsoid",
    "gnss_fix_quality",
    "gnss_satellites_used",
    "gnss_horizontal_dilution_of_precision",
)
_NAVIGATION = ("platform_speed_wrt_ground", "platform_course", "magnetic_variation")
_HEADING = Layout("heading", "platform_orientation")
_COMPASS = Layout("compass", "platform_orientation_magnetic", "magnetic_deviation", "magnetic_variation")
_DEPTH = Layout("depth", "sea_floor_depth_below_transducer", "transducer_offset")
_SPEED = Layout("water_speed", "platform_orientation", "platform_speed_wrt_sea_water")
_RELATIVE_WIND = Layout("relative_wind", "relative_wind_speed", "relative_wind_from_direction")
_WIND = Layout("wind", "wind_speed", "wind_from_direction_relative_to_bow")
_QUALITIES = ("horizontal_position_quality", "height_quality", "heading_quality", "roll_and_pitch_quality")
_MOTION = ("platform_roll_starboard_down", "platform_pitch_fore_up", "platform_orientation", "platform_heave_down")
_RATES = (
    "platform_roll_rate_starboard_down",
    "platform_pitch_rate_fore_up",
    "platform_yaw_rate_fore_starboard",
    "platform_heave_rate_down",
)
_ATTITUDE = ("platform_pitch_fore_up", "platform_roll_starboard_down", "platform_orientation")
_INERTIAL = (
    "platform_roll_starboard_down",
    "platform_pitch_fore_up",
    "platform_heave_up",
    "uncertainty_of_platform_roll",
    "uncertainty_of_platform_pitch",
    "uncertainty_of_platform_orientation",
)
_BELOW_TRANSDUCER, _BELOW_SURFACE, _BELOW_KEEL = (
    f"sea_floor_depth_below_{what}" for what in ("transducer", "sea_surface", "keel")
)
_GNS_FIX = tuple(name for name in _FIX if name != "gnss_fix_quality")
_SPEEDS = tuple(
    f"platform_{way}_velocity_wrt_{what}" for what in ("sea_water", "ground") for way in ("forward", "starboard")
)
_STATION = (
    "air_pressure",
    "air_temperature",
    "sea_water_temperature",
    "relative_humidity",
    "dew_point_temperature",
    "wind_from_direction",
    "wind_speed",
)

TYPES = {
    int.from_bytes(t.name.encode(), "big"): t
    for t in (
        Type("GGA", (12, 14), _gga, _both("gnss_fix", *_FIX)),
        Type("GNS", (12, 13), _gns, _both("gnss_fix_of_several_systems", *_GNS_FIX)),
        Type("GLL", (4, 7), _gll, _both("position")),
        Type("RMC", (11, 13), _rmc, _both("navigation", *_NAVIGATION)),
        Type("ZDA", (5, 6), _zda),
        Type("VTG", (8, 9), _vtg, (Layout("course", "platform_course", "platform_speed_wrt_ground"),)),
        Type("HDT", (2, 2), _hdt, (_HEADING,)),
        Type("THS", (2, 2), _ths, (_HEADING,)),
        Type("HDM", (2, 2), _hdm, (Layout("magnetic_heading", "platform_orientation_magnetic"),)),
        Type("HDG", (3, 5), _hdg, (_COMPASS,)),
        Type("ROT", (2, 2), _rot, (Layout("rate_of_turn", "platform_yaw_rate_fore_starboard"),)),
        Type("VHW", (8, 8), _vhw, (_SPEED,)),
        Type("VBW", (6, 10), _vbw, (Layout("speed_log", *_SPEEDS),)),
        Type("VDR", (6, 6), _vdr, (Layout("set_and_drift", "sea_water_velocity_to_direction", "sea_water_speed"),)),
        Type("DPT", (2, 3), _dpt, (_DEPTH,)),
        Type("DBT", (6, 6), _depth(_BELOW_TRANSDUCER), (Layout("depth_below_transducer", _BELOW_TRANSDUCER),)),
        Type("DBS", (6, 6), _depth(_BELOW_SURFACE), (Layout("depth_below_surface", _BELOW_SURFACE),)),
        Type("DBK", (6, 6), _depth(_BELOW_KEEL), (Layout("depth_below_keel", _BELOW_KEEL),)),
        Type("MTW", (2, 2), _mtw, (Layout("water_temperature", "sea_water_temperature"),)),
        Type("MWV", (5, 5), _mwv, (_RELATIVE_WIND, _WIND)),
        Type("VWR", (8, 8), _sided_wind(*_RELATIVE_WIND.names), (_RELATIVE_WIND,)),
        Type("VWT", (8, 8), _sided_wind(*_WIND.names), (_WIND,)),
        Type("MTA", (2, 2), _mta, (Layout("air_temperature", "air_temperature"),)),
        Type("MWD", (8, 8), _mwd, (Layout("true_wind", "wind_from_direction", "wind_speed"),)),
        Type("MDA", (20, 20), _mda, (Layout("weather", *_STATION),)),
    )
}
"""By the three letters as a number, as `Good.key` has them."""

_PASHR = Layout("inertial_attitude", *_INERTIAL, "platform_orientation", "gnss_aiding_status", "imu_status")
_UVH = Layout(
    "speed_through_water",
    "platform_eastward_velocity_wrt_sea_water",
    "platform_northward_velocity_wrt_sea_water",
    "platform_orientation",
)
FAMILIES: dict[bytes, dict[bytes, Type]] = {
    b"PSXN": {
        b"20": Type("PSXN,20", (5, 5), _psxn20, (Layout("motion_quality", *_QUALITIES),)),
        b"22": Type("PSXN,22", (3, 3), _psxn22, (Layout("gyro_calibration", "gyro_calibration", "gyro_offset"),)),
        b"23": Type("PSXN,23", (5, 5), _psxn23, (Layout("motion", *_MOTION),)),
        b"24": Type("PSXN,24", (5, 5), _psxn24, (Layout("motion_rates", *_RATES),)),
    },
    b"PRDID": {b"": Type("PRDID", (3, 3), _prdid, (Layout("attitude", *_ATTITUDE),))},
    b"PASHR": {b"": Type("PASHR", (10, 11), _pashr, (_PASHR,))},
    b"PUHAW": {b"UVH": Type("PUHAW,UVH", (4, 4), _puhaw, (_UVH,), bare=True)},
}
"""Makers' own sentences by address and first field; the empty one is any number."""
BARE = tuple(
    b"$" + address + b"," + first + b"," for address, kinds in FAMILIES.items() for first, t in kinds.items() if t.bare
)
"""How sentences begin that never have a checksum."""
