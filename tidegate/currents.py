"""From what an ADCP's beams measure to currents: beam, instrument, ship and earth coordinates, as pure functions.

It stands on the ground floor because both sides need it: a technician decoding a file, and the hub deriving currents.

Conventions. Velocities are m s-1 arrays (n, cells, components); one attitude belongs to each of the n samples. Angles
are degrees. Headings and alignments are clockwise, declination is positive to the east. NaN is missing and stays so.

* Teledyne RDI: beams are positive toward the transducer; the fourth component is the error velocity, scaled so that
  its variance is that of the horizontal ones. Y is along beam 3, the pitch of the tilt sensor is not that of gimbals,
  and an instrument that looks up has 180 degrees added to its roll ("ADCP Coordinate Transformation", P/N 951-6079,
  January 2010).
* Nortek: beams are positive away from the transducer, X points along the heading; four beams give two vertical
  velocities, Z and Z2. An instrument that looks down has Y and Z turned over (Nortek's script Transform.m, and that
  for Signature).
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pygeomag import GeoMag

from tidegate.frame import Cells, Column, Field, Frame, Missing, Reasons, Schema, Times

Floats = npt.NDArray[np.float64]

Mapped = Literal["none", "nearest", "linear"]
"""How cells of tilted beams are brought to one depth."""

_ERROR = "indicative_error_from_multibeam_acoustic_doppler_velocity_profiler_in_sea_water"


# ---- beams to instrument ---------------------------------------------------------------------------------------------


def janus_matrix(beam_angle_degree: float, *, convex: bool = True) -> Floats:
    """(4, 4): from the four beams of a Teledyne RDI instrument to its X, Y, Z and error velocity.

    `beam_angle_degree` is that between a beam and the vertical. Raises `ValueError` outside 1 to 60."""
    if not 1 <= beam_angle_degree <= 60:
        raise ValueError(f"a beam angle of {beam_angle_degree} degrees is none of an ADCP; those are 15, 20, 25 and 30")
    angle = np.radians(beam_angle_degree)
    a, b = 1 / (2 * np.sin(angle)), 1 / (4 * np.cos(angle))
    c, d = (a if convex else -a), a / np.sqrt(2)
    return np.array([[c, -c, 0, 0], [0, 0, -c, c], [b, b, b, b], [d, d, -d, -d]])


def to_instrument(beams: Floats, matrix: Floats, *, three_beam_solutions: bool = False) -> Floats:
    """Components of the instrument from `beams` (n, cells, k) by its `matrix` (components, k).

    With `three_beam_solutions`, which is Teledyne RDI's (k = 4), a cell that lacks one beam is solved by setting the
    error velocity to 0; a cell that lacks more is missing."""
    if three_beam_solutions:
        beams = _with_the_fourth(beams, matrix[3])
    out: Floats = beams @ matrix.T
    return out


def _with_the_fourth(beams: Floats, error: Floats) -> Floats:
    lacks = np.isnan(beams)
    one = lacks & (lacks.sum(axis=-1) == 1)[..., None]
    if not one.any():
        return beams
    rest = np.where(lacks, 0.0, beams) @ error
    return np.where(one, -rest[..., None] / error, beams)


def to_beams(components: Floats, matrix: Floats) -> Floats:
    """The inverse of `to_instrument`: what the beams saw. `matrix` must be square."""
    out: Floats = components @ np.linalg.inv(matrix).T
    return out


# ---- rotations -------------------------------------------------------------------------------------------------------


def rdi_rotation(heading: Floats, pitch: Floats, roll: Floats, *, upward: bool) -> Floats:
    """(n, 3, 3): from instrument to earth of a Teledyne RDI instrument, from its own sensors' angles (n,)."""
    r = np.radians(roll)
    p = np.arctan(np.tan(np.radians(pitch)) * np.cos(r))
    if upward:
        r = r + np.pi
    return _by_angles(np.radians(heading), p, r)


def _by_angles(h: Floats, p: Floats, r: Floats) -> Floats:
    ch, sh, cp, sp, cr, sr = np.cos(h), np.sin(h), np.cos(p), np.sin(p), np.cos(r), np.sin(r)
    rows = [
        [ch * cr + sh * sp * sr, sh * cp, ch * sr - sh * sp * cr],
        [ch * sp * sr - sh * cr, ch * cp, -sh * sr - ch * sp * cr],
        [-cp * sr, sp, cp * cr],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


def nortek_rotation(heading: Floats, pitch: Floats, roll: Floats, *, upward: bool) -> Floats:
    """(n, 3, 3): from instrument to earth of a Nortek instrument, from its own sensors' angles (n,)."""
    h, p, r = np.radians(90 - np.asarray(heading)), np.radians(pitch), np.radians(roll)
    ch, sh, cp, sp, cr, sr = np.cos(h), np.sin(h), np.cos(p), np.sin(p), np.cos(r), np.sin(r)
    rows = [
        [ch * cp, -ch * sp * sr - sh * cr, -ch * cr * sp + sh * sr],
        [sh * cp, -sh * sp * sr + ch * cr, -sh * cr * sp - ch * sr],
        [sp, sr * cp, cp * cr],
    ]
    rotation = np.moveaxis(np.array(rows), -1, 0)
    return rotation if upward else rotation * np.array([1.0, -1.0, -1.0])


def rotate(components: Floats, rotation: Floats, *, two_verticals: bool = False) -> Floats:
    """`components` (n, cells, 3 or more) turned by `rotation` (n, 3, 3).

    Only the first three turn; a fourth, the error velocity, stays. With `two_verticals` the third and the fourth are
    two estimates of Z, and give two of the upward velocity; the horizontal ones take the mean of both."""
    out = np.array(components, np.float64)
    if not two_verticals:
        out[..., :3] = np.einsum("nij,ncj->nci", rotation, components[..., :3])
        return out
    x, y, z, z2 = (components[..., i] for i in range(4))
    across, mean = rotation[:, :, None, :2], (z + z2) / 2
    level = across[..., 0] * x[:, None] + across[..., 1] * y[:, None]
    vertical = rotation[:, :, 2, None]
    out[..., 0] = level[:, 0] + vertical[:, 0] * mean
    out[..., 1] = level[:, 1] + vertical[:, 1] * mean
    out[..., 2] = level[:, 2] + vertical[:, 2] * z
    out[..., 3] = level[:, 2] + vertical[:, 2] * z2
    return out


def turn(east: Floats, north: Floats, by_degree: Floats | float) -> tuple[Floats, Floats]:
    """(east, north) relative to true north, where `by_degree` is the declination that they were measured under."""
    c, s = np.cos(np.radians(by_degree)), np.sin(np.radians(by_degree))
    return east * c + north * s, north * c - east * s


# ---- bin mapping -----------------------------------------------------------------------------------------------------


def beam_directions(matrix: Floats, *, toward: bool) -> Floats:
    """(k, 3): unit vectors along the beams, away from the transducer, in the instrument's axes. `toward` says that
    beam velocities are positive toward it."""
    along = np.linalg.pinv(matrix)
    # Two vertical velocities are of different beams, so a beam sees the sum of what it takes of both.
    x, y, z = along[:, 0], along[:, 1], along[:, 2]
    if not toward and matrix.shape[0] == 4:
        z = along[:, 2] + along[:, 3]
    directions = np.stack([x, y, z], axis=1) * (-1.0 if toward else 1.0)
    out: Floats = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    return out


def map_bins(beams: Floats, rotation: Floats, directions: Floats, cells: Cells, how: Mapped) -> Floats:
    """`beams` (n, cells, k) brought to the depths that the cells have when the instrument is level.

    A beam that a tilt raises reaches a depth in a later cell. `nearest` takes the cell whose middle is nearest,
    `linear` interpolates between two; what lies outside the profile is missing."""
    if how == "none":
        return beams
    level = np.abs(directions[:, 2])
    tilted = np.abs(np.einsum("nj,kj->nk", rotation[:, 2], directions))
    middles = cells.first_m + cells.size_m * np.arange(cells.count)
    with np.errstate(divide="ignore"):
        wanted = (middles[:, None] * (level / tilted)[:, None, :] - cells.first_m) / cells.size_m
    # Half a cell beyond the ends the nearest cell is still the first or the last.
    reach = 0.5 if how == "nearest" else 1e-9
    inside = (wanted >= -reach) & (wanted <= cells.count - 1 + reach)  # NaN is not
    at = np.clip(np.where(inside, wanted, 0), 0, cells.count - 1)
    if how == "nearest":
        found = np.take_along_axis(beams, np.rint(at).astype(np.int64), axis=1)
    else:
        low = np.floor(at).astype(np.int64)
        high = np.minimum(low + 1, cells.count - 1)
        share = at - low
        below, above = np.take_along_axis(beams, low, axis=1), np.take_along_axis(beams, high, axis=1)
        found = np.where(share > 1e-9, below + share * (above - below), below)
    return np.where(inside, found, np.nan)


# ---- declination -----------------------------------------------------------------------------------------------------

_MODELS = ((2025, "WMM_2025"), (2020, "WMM_2020"), (2015, "WMM_2015v2"), (2010, "WMM_2010"))
_LAST_YEAR = 2030


@cache
def _model(name: str) -> GeoMag:
    return GeoMag(coefficients_file=f"wmm/{name}.COF")


@cache
def _declination(latitude: float, longitude: float, year: float) -> float:
    for since, name in _MODELS:
        if year >= since and year <= _LAST_YEAR:
            return float(_model(name).calculate(glat=latitude, glon=longitude, alt=0, time=year).d)
    raise ValueError(
        f"no World Magnetic Model is at hand for the year {year:.2f}; those from 2010 to {_LAST_YEAR} are: give the"
        " declination itself"
    )


def declination(latitude: Floats | float, longitude: Floats | float, time: Times) -> Floats:
    """Degrees east of true north (n,) where a compass points at sea level, by the World Magnetic Model of that time.

    Places are taken to 0.01 degree and times to 0.01 year, which changes it by less than 0.01 degree but near the
    poles. Raises `ValueError` for a time without a model."""
    moments = np.asarray(time, np.int64).view("M8[ns]")
    starts = moments.astype("M8[Y]")
    days = (moments - starts).astype(np.float64) / 86_400e9
    in_year = ((starts + 1).astype("M8[D]") - starts.astype("M8[D]")).astype(np.float64)
    years = starts.astype(np.int64) + 1970 + days / in_year
    table = np.column_stack(
        [
            np.round(np.broadcast_to(np.asarray(part, np.float64), years.shape), 2)
            for part in (latitude, longitude, years)
        ]
    )
    places, back = np.unique(table, axis=0, return_inverse=True)
    out: Floats = np.array([_declination(*place) for place in places.tolist()], np.float64)[back.reshape(-1)]
    return out


# ---- Frames ----------------------------------------------------------------------------------------------------------


class NoCurrents(ValueError):
    """A Frame that holds no velocities that can be turned, or a description that lacks what is needed; the message
    says which."""


class _Frames(NamedTuple):
    """A coordinate frame: names of its velocities, and whose convention it is."""

    names: tuple[str, ...]
    kind: Literal["beam", "instrument", "ship", "earth"]
    maker: Literal["rdi", "nortek", ""]


def _beams(name: str, count: int) -> tuple[str, ...]:
    return tuple(f"{name}_beam_{beam}" for beam in range(1, count + 1))


def _track(*axes: str) -> tuple[str, ...]:
    return tuple(f"bottom_track_{axis}_velocity" for axis in (*axes, "error"))


_XYZ = ("sea_water_x_velocity", "sea_water_y_velocity", "sea_water_z_velocity")
_ENU = ("eastward_sea_water_velocity", "northward_sea_water_velocity", "upward_sea_water_velocity")
_AWAY = "radial_sea_water_velocity_away_from_instrument"
# The longest that fits is taken.
_WATER = (
    _Frames(_beams("radial_sea_water_velocity_toward_instrument", 4), "beam", "rdi"),
    _Frames(_beams(_AWAY, 4), "beam", "nortek"),
    _Frames(_beams(_AWAY, 3), "beam", "nortek"),
    _Frames((*_XYZ, _ERROR), "instrument", "rdi"),
    _Frames((*_XYZ, "sea_water_z_velocity_2"), "instrument", "nortek"),
    _Frames(_XYZ, "instrument", "nortek"),
    _Frames(
        ("starboard_sea_water_velocity", "forward_sea_water_velocity", "upward_sea_water_velocity", _ERROR),
        "ship",
        "rdi",
    ),
    _Frames(_ENU, "earth", ""),
)
_BOTTOM = (
    _Frames(_beams("bottom_track_velocity", 4), "beam", "rdi"),
    _Frames(_track("x", "y", "z"), "instrument", "rdi"),
    _Frames(_track("starboard", "forward", "upward"), "ship", "rdi"),
    _Frames(_track("eastward", "northward", "upward"), "earth", "rdi"),
)
_BOTTOM_EARTH = _track("eastward", "northward", "upward")
_RESOLUTION = 1e-4


def to_earth(
    frame: Frame,
    description: Mapping[str, Any],
    *,
    heading_degree: Floats | None = None,
    alignment_degree: float = 0.0,
    declination_degree: Floats | float = 0.0,
    bins: Mapped = "none",
    three_beam_solutions: bool = True,
) -> Frame:
    """The Frame with its velocities, and those of the bottom track, eastward, northward and upward; all else stays.

    `description` is the instrument's in the birth: `looks` ("up" or "down"), `beam_to_instrument` or
    `beam_angle_degree` and `beam_pattern`, and of ship coordinates `tilts_used`; where it has `modes` by kind of
    schema, those go before. `heading_degree` (n,) is the ship's gyro in place of the instrument's compass, with
    `alignment_degree` from the bow to the instrument's own axis. `declination_degree` (n,) or one goes to what a
    compass measured; leave it 0 with a gyro, or where the instrument was told it. `bins` maps the cells of beams.

    Raises `NoCurrents`."""
    told = {**description, **_mode(description, frame.schema.kind)}
    water = _frame_of(_WATER, frame)
    if water is None:
        raise NoCurrents(f"{frame.instrument}: its samples ({frame.schema.kind}) hold no velocities of a known frame")
    attitude = _Attitude.of(frame, told, heading_degree, alignment_degree, declination_degree)
    fields: dict[str, Field] = {}
    columns: dict[str, Column] = {}
    jobs = [(water, _enu(water))]
    bottom = _frame_of(_BOTTOM, frame)
    if bottom:
        jobs.append((bottom, _BOTTOM_EARTH))
    replaced: dict[str, tuple[Sequence[str], bool, Floats]] = {}
    for job, names in jobs:
        profile = frame.schema.by_name[job.names[0]].profile
        parts = np.stack([frame.columns[name].astype(np.float64) for name in job.names], axis=-1)
        parts = parts if profile else parts[:, None, :]
        cells = frame.schema.cells if profile else None
        turned = _turned(parts, job, told, attitude, cells, bins, three_beam_solutions)
        replaced[job.names[0]] = (names, profile, turned if profile else turned[:, 0])
    gone = {name for job, _ in jobs for name in job.names}
    reasons: dict[str, Reasons] = {}
    for f in frame.schema.fields:
        if f.name in replaced:
            enu, profile, values = replaced[f.name]
            for i, name in enumerate(enu):
                column = np.round(values[..., i], 4)
                fields[name] = Field.of(name, resolution=_RESOLUTION, profile=profile)
                columns[name] = column
                reasons[name] = np.isnan(column).astype(np.uint8) * np.uint8(Missing.INVALID)
        elif f.name not in gone:
            fields[f.name], columns[f.name] = f, frame.columns[f.name]
            if f.name in frame.reasons:
                reasons[f.name] = frame.reasons[f.name]
    schema = Schema(frame.schema.kind, tuple(fields.values()), frame.schema.cells)
    return Frame(frame.instrument, schema, frame.time, columns, frame.source, frame.arrival, reasons)


def _mode(description: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    mode = description.get("modes", {}).get(kind, {})
    return mode if isinstance(mode, Mapping) else {}


def _frame_of(known: Sequence[_Frames], frame: Frame) -> _Frames | None:
    for candidate in known:
        if all(name in frame.schema.by_name for name in candidate.names):
            return candidate
    return None


def _enu(water: _Frames) -> tuple[str, ...]:
    if water.maker == "rdi":
        return (*_ENU, _ERROR)
    return (*_ENU, "upward_sea_water_velocity_2") if len(water.names) == 4 else _ENU


class _Attitude(NamedTuple):
    heading: Floats | None
    """Of the instrument's axis, from true north."""
    ship: Floats | None
    """Of the ship's bow, from true north."""
    pitch: Floats | None
    roll: Floats | None
    upward: bool | None
    turn: Floats | float
    """What earth coordinates are still to be turned by."""

    @classmethod
    def of(
        cls,
        frame: Frame,
        told: Mapping[str, Any],
        heading: Floats | None,
        alignment: float,
        declination: Floats | float,
    ) -> "_Attitude":
        def column(name: str) -> Floats | None:
            found = frame.columns.get(name)
            return None if found is None else found.astype(np.float64)

        cells = frame.schema.cells
        upward = (
            cells.upward
            if cells and cells.upward is not None
            else {"up": True, "down": False}.get(told.get("looks", ""))
        )
        measured = column("platform_orientation")
        if heading is not None:
            mine: Floats | None = np.asarray(heading, np.float64) + alignment
            bow: Floats | None = np.asarray(heading, np.float64)
        else:
            mine = None if measured is None else measured + declination
            bow = None if mine is None else mine
        return cls(
            mine,
            bow,
            column("platform_pitch_fore_up"),
            column("platform_roll_starboard_down"),
            upward,
            0.0 if heading is not None else declination,
        )


def _turned(
    parts: Floats,
    job: _Frames,
    told: Mapping[str, Any],
    attitude: _Attitude,
    cells: Cells | None,
    bins: Mapped,
    three_beam_solutions: bool,
) -> Floats:
    if job.kind == "earth":
        by = np.broadcast_to(np.asarray(attitude.turn, np.float64), (len(parts),))[:, None]
        out = parts.copy()
        out[..., 0], out[..., 1] = turn(parts[..., 0], parts[..., 1], by)
        return out
    nil = np.zeros(len(parts))
    if job.kind == "ship" and told.get("tilts_used", True):
        if attitude.ship is None:
            raise NoCurrents("ship coordinates need a heading; give the gyro's")
        return rotate(parts, rdi_rotation(attitude.ship, nil, nil, upward=False))
    heading, pitch, roll = attitude.heading, attitude.pitch, attitude.roll
    if job.kind == "ship":
        heading = attitude.ship
    if heading is None or pitch is None or roll is None or attitude.upward is None:
        raise NoCurrents("it takes heading, pitch, roll and whether the instrument looks up or down to turn velocities")
    make = rdi_rotation if job.maker == "rdi" else nortek_rotation
    rotation = make(heading, pitch, roll, upward=attitude.upward)
    if job.kind == "beam":
        matrix = _matrix(told, len(job.names), job.maker)
        if cells is not None and bins != "none":
            directions = beam_directions(matrix, toward=job.maker == "rdi")
            parts = map_bins(parts, rotation, directions, cells, bins)
        parts = to_instrument(parts, matrix, three_beam_solutions=three_beam_solutions and job.maker == "rdi")
    return rotate(parts, rotation, two_verticals=job.maker == "nortek" and parts.shape[-1] == 4)


def _matrix(told: Mapping[str, Any], beams: int, maker: str) -> Floats:
    given = told.get("beam_to_instrument")
    if given is not None:
        matrix = np.asarray(given, np.float64)
        if matrix.ndim != 2 or matrix.shape[1] != beams:
            raise NoCurrents(f"its matrix beam_to_instrument has the shape {matrix.shape}, and there are {beams} beams")
        return matrix
    angle = told.get("beam_angle_degree")
    if maker != "rdi" or not angle:
        raise NoCurrents(
            "its description tells neither beam_to_instrument nor the beam angle: decode the configuration that begins"
            " the file, or give the matrix of the calibration sheet"
        )
    return janus_matrix(float(angle), convex=told.get("beam_pattern", "convex") == "convex")
