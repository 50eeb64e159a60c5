"""Transformations against other people's numbers, and against what any rotation must do."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.driver import load
from drivers.trdi.pd0 import Pd0
from tests.recordings import DATA, needs_recordings
from tidegate.clock import UNKNOWN
from tidegate.codec import decode_frame, encode_frame
from tidegate.currents import (
    NoCurrents,
    beam_directions,
    declination,
    janus_matrix,
    map_bins,
    nortek_rotation,
    rdi_rotation,
    rotate,
    to_beams,
    to_earth,
    to_instrument,
    turn,
)
from tidegate.frame import Cells, Frame

PROBABLE = settings(max_examples=80, derandomize=True, deadline=None)
ENU = ["eastward_sea_water_velocity", "northward_sea_water_velocity", "upward_sea_water_velocity"]
ERROR = "indicative_error_from_multibeam_acoustic_doppler_velocity_profiler_in_sea_water"
ANGLE = st.floats(-180, 180)
TILT = st.floats(-30, 30)

# OOI's data product specification 1341-00750, as in ion-functions, test_adcp_functions.py (commit 08c605f): ten cells,
# mm/s; a 20 degree instrument that looks up.
BEAMS = np.array(
    [
        [-30, -295, -514, -234, -188, 203, -325, 305, -204, -294],
        [180, -132, 213, 309, 291, 49, 188, 373, 2, 172],
        [-398, -436, -131, -473, -443, 188, -168, 291, -179, 8],
        [-216, -605, -92, -58, 484, -5, 338, 175, -80, -549],
    ]
).T[None]
GOOD = np.ones((1, 10, 4), bool)
for _cell, _beam in ((3, 0), (3, 3), (6, 0), (7, 1), (8, 2), (9, 3)):
    GOOD[0, _cell, _beam] = False


def angles(*degrees: float) -> tuple[np.ndarray, ...]:
    return tuple(np.array([degree], float) for degree in degrees)


def ooi_earth(beams: np.ndarray, *, three_beam: bool) -> np.ndarray:
    parts = to_instrument(beams / 1000, janus_matrix(20), three_beam_solutions=three_beam)
    return rotate(parts, rdi_rotation(*angles(98.41, 0.69, -2.54), upward=True))


def test_earth_velocities_of_ooi_come_out() -> None:
    # The specification's velocities of the ninth cell are those of -2 mm/s in beam 2, where the test has 2.
    beams = BEAMS.copy()
    beams[0, 8, 1] = -2
    earth = ooi_earth(beams, three_beam=False)[0]
    expected = [
        [0.2175, -0.2814, -0.1002, 0.4831, 1.2380, -0.2455, 0.6218, -0.1807, 0.0992, -0.9063],
        [-0.3367, -0.1815, -1.0522, -0.8676, -0.8919, 0.2585, -0.8497, -0.0873, -0.3073, -0.5461],
        [0.1401, 0.3977, 0.1870, 0.1637, 0.0091, -0.1290, 0.0334, -0.3017, 0.1384, 0.1966],
        [0.789762, 0.634704, -0.080630, 0.626434, 0.064090, 0.071326, -0.317352, 0.219148, 0.054787, 0.433129],
    ]
    np.testing.assert_allclose(earth.T, expected, atol=5.1e-5)


def test_three_beam_solutions_and_declination_of_ooi_come_out() -> None:
    """The bad beams are those below 25 percent good; May 12, 2012 at 50 N, 145 W."""
    earth = ooi_earth(np.where(GOOD, BEAMS, np.nan), three_beam=True)[0]
    when = np.array([(3_545_769_600 - 2_208_988_800) * 1_000_000_000])
    east, north = turn(earth[:, 0], earth[:, 1], declination(50.0, -145.0, when)[0])
    nan = np.nan
    np.testing.assert_allclose(
        east, [0.1099, -0.3221, -0.4025, nan, 0.9243, -0.1595, 0.5387, -0.0651, -0.0726, -0.4735], atol=1e-4
    )
    np.testing.assert_allclose(
        north, [-0.3854, -0.0916, -0.9773, nan, -1.2140, 0.3188, -0.5926, 0.2514, -0.2932, -0.5255], atol=1e-4
    )
    np.testing.assert_allclose(
        earth[:, 2], [0.1401, 0.3977, 0.1870, nan, 0.0091, -0.1290, -0.0681, -0.2591, 0.1215, 0.0926], atol=5.1e-5
    )
    np.testing.assert_allclose(earth[:, 3], [0.7898, 0.6347, -0.0806, nan, 0.0641, 0.07133, 0, 0, 0, 0], atol=5.1e-5)


@pytest.mark.parametrize(
    ("upward", "expected"),
    [(True, (247.015599, -1027.223026, -9.497397)), (False, (-1029.9328104, -225.7064203, -67.7426771))],
)
def test_instrument_to_earth_of_ooi_looking_up_and_down(upward: bool, expected: tuple[float, ...]) -> None:
    parts = np.array([[[-749.95582864, -739.72251324, -81.67564404]]])
    earth = rotate(parts, rdi_rotation(*angles(32, 3, 4), upward=upward))
    np.testing.assert_allclose(earth[0, 0], expected, atol=1e-6)


@needs_recordings
@pytest.mark.parametrize("name", ["RDI_test01", "winriver02"])
def test_matrices_and_rotations_equal_those_of_mhkit(name: str) -> None:
    netcdf = pytest.importorskip("netCDF4")
    with netcdf.Dataset(DATA / f"adcp/pd0_mhkit/{name}.nc") as theirs:
        theirs.set_auto_mask(False)
        np.testing.assert_allclose(janus_matrix(theirs.beam_angle), theirs["beam2inst_orientmat"][:], atol=1e-6)
        if theirs.coord_sys != "ship":  # those are level already, and MHKiT then takes the heading alone
            rotation = rdi_rotation(
                *(theirs[part][:].astype(float) for part in ("heading", "pitch", "roll")),
                upward=theirs.orientation == "up",
            )
            # MHKiT's orientation matrix is from earth to instrument, with time last.
            np.testing.assert_allclose(rotation, theirs["orientmat"][:].T, atol=2e-6)


@needs_recordings
def test_nortek_rotations_equal_those_of_mhkit() -> None:
    netcdf = pytest.importorskip("netCDF4")
    with netcdf.Dataset(DATA / "adcp/nortek_ad2cp/BenchFile01.nc") as theirs:
        theirs.set_auto_mask(False)
        matrix = theirs["beam2inst_orientmat"][:].astype(float)
        parts = (theirs[part][:].astype(float) for part in ("heading", "pitch", "roll"))
        rotation = nortek_rotation(*parts, upward=True)
        beams = theirs["vel"][:].astype(float).transpose(2, 1, 0)
    directions = beam_directions(matrix, toward=False)
    np.testing.assert_allclose(np.abs(directions[:, 2]), np.cos(np.radians(25)), atol=2e-3)
    for rows in rotation[:5]:
        np.testing.assert_allclose(rows @ rows.T, np.eye(3), atol=1e-12)
    earth = rotate(to_instrument(beams, matrix), rotation, two_verticals=True)
    # As dolfyn's signature rules write it out: one matrix of four rows.
    whole = np.zeros((len(rotation), 4, 4))
    whole[:, :3, :3] = rotation
    whole[:, 3, :2], whole[:, 3, 3] = rotation[:, 2, :2], rotation[:, 2, 2]
    whole[:, :2, 2] = rotation[:, :2, 2] / 2
    whole[:, :2, 3] = rotation[:, :2, 2] / 2
    np.testing.assert_allclose(earth, np.einsum("nij,ncj->nci", whole, beams @ matrix.T), atol=1e-12, equal_nan=True)


@pytest.mark.parametrize(
    ("latitude", "longitude", "date", "degrees"),
    [
        # NOAA's test values of WMM2020 and WMM2025, at sea level.
        (80.0, 0.0, "2020-01-01", -1.28),
        (0.0, 120.0, "2020-01-01", 0.16),
        (-80.0, 240.0, "2020-01-01", 69.36),
    ],
)
def test_declination_equals_noaas(latitude: float, longitude: float, date: str, degrees: float) -> None:
    when = np.array([np.datetime64(date, "ns")]).astype(np.int64)
    assert declination(latitude, longitude, when)[0] == pytest.approx(degrees, abs=0.02)


def test_declination_is_an_array_and_refuses_what_no_model_covers() -> None:
    when = np.array(["2021-06-01", "2021-06-01", "2026-01-01"], "M8[ns]").astype(np.int64)
    found = declination(np.array([10.0, 60.0, 60.0]), np.array([100.0, -150.0, -150.0]), when)
    assert found.shape == (3,)
    assert len(set(found.tolist())) == 3
    with pytest.raises(ValueError, match="1995"):
        declination(0.0, 0.0, np.array(["1995-06-01"], "M8[ns]").astype(np.int64))


# What any rotation must do


@PROBABLE
@given(heading=ANGLE, pitch=TILT, roll=TILT, upward=st.booleans(), nortek=st.booleans(), seed=st.integers(0, 99))
def test_a_rotation_keeps_length(
    heading: float, pitch: float, roll: float, *, upward: bool, nortek: bool, seed: int
) -> None:
    make = nortek_rotation if nortek else rdi_rotation
    rotation = make(*angles(heading, pitch, roll), upward=upward)
    np.testing.assert_allclose(rotation[0] @ rotation[0].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation[0]) == pytest.approx(1)
    vectors = np.random.default_rng(seed).normal(size=(1, 7, 4))
    turned = rotate(vectors, rotation)
    np.testing.assert_allclose(np.linalg.norm(turned[..., :3], axis=-1), np.linalg.norm(vectors[..., :3], axis=-1))
    np.testing.assert_array_equal(turned[..., 3], vectors[..., 3])


@PROBABLE
@given(
    heading=ANGLE,
    pitch=TILT,
    roll=TILT,
    upward=st.booleans(),
    angle=st.sampled_from([15.0, 20.0, 25.0, 30.0]),
    convex=st.booleans(),
    lost=st.sampled_from([None, 0, 1, 2, 3]),
)
def test_earth_to_beams_and_back(
    heading: float, pitch: float, roll: float, *, upward: bool, angle: float, convex: bool, lost: int | None
) -> None:
    rotation = rdi_rotation(*angles(heading, pitch, roll), upward=upward)
    matrix = janus_matrix(angle, convex=convex)
    earth = np.random.default_rng(5).normal(size=(1, 9, 4))
    earth[..., 3] = 0  # so that a beam can be done without
    beams = to_beams(rotate(earth, rotation.swapaxes(1, 2)), matrix)
    if lost is not None:
        beams[..., lost] = np.nan
    back = rotate(to_instrument(beams, matrix, three_beam_solutions=True), rotation)
    np.testing.assert_allclose(back, earth, atol=1e-9)
    beams[0, 4, (0 if lost is None else (lost + 1) % 4)] = np.nan
    lacking = to_instrument(beams, matrix, three_beam_solutions=lost is not None)
    assert np.isnan(lacking[0, 4]).all()


def test_heading_north_east_and_a_tilt_do_what_a_person_expects() -> None:
    """Y is along beam 3: looking down and level, water along Y goes where the heading points; X is to the right."""
    parts = np.array([[[0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]])
    down = rotate(parts, rdi_rotation(*angles(90, 0, 0), upward=False))[0]
    np.testing.assert_allclose(down[0, :3], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(down[1, :3], [0, -1, 0], atol=1e-12)
    up = rotate(parts, rdi_rotation(*angles(90, 0, 0), upward=True))[0]
    np.testing.assert_allclose(up[1, :3], [0, 1, 0], atol=1e-12)
    nortek = rotate(np.array([[[1.0, 0, 0]]]), nortek_rotation(*angles(90, 0, 0), upward=True))
    np.testing.assert_allclose(nortek[0, 0], [1, 0, 0], atol=1e-12)
    rising = rotate(np.array([[[1.0, 0, 0]]]), nortek_rotation(*angles(0, 30, 0), upward=True))
    assert rising[0, 0, 2] == pytest.approx(0.5)


def test_bins_are_mapped_to_the_depths_of_a_level_instrument() -> None:
    """In a sheared current each beam of a tilted instrument then shows the velocity of one depth."""
    cells = Cells(30, 2.0, 1.0, upward=True)
    rotation = rdi_rotation(*angles(0, 0, 12), upward=True)
    matrix = janus_matrix(20)
    directions = beam_directions(matrix, toward=True)
    heights = np.abs(np.einsum("nj,kj->nk", rotation[:, 2], directions)) / np.abs(directions[:, 2])
    middles = cells.first_m + cells.size_m * np.arange(cells.count)
    beams = middles[None, :, None] * heights[:, None, :]  # each beam says how high its cell is
    linear = map_bins(beams, rotation, directions, cells, "linear")
    inside = np.isfinite(linear)
    np.testing.assert_allclose(linear[inside], np.broadcast_to(middles[None, :, None], linear.shape)[inside])
    nearest = map_bins(beams, rotation, directions, cells, "nearest")
    near = np.isfinite(nearest)
    assert np.abs(nearest - middles[None, :, None])[near].max() <= 0.5 * heights.max() + 1e-9
    assert inside[0, 2:20].all()
    assert not inside.all()  # the beam that the tilt lowers does not reach the last depths
    np.testing.assert_array_equal(map_bins(beams, rotation, directions, cells, "none"), beams)
    level = map_bins(beams, rdi_rotation(*angles(0, 0, 0), upward=True), directions, cells, "nearest")
    np.testing.assert_array_equal(level, beams)


# Frames


PARTS = ("platform_orientation", "platform_pitch_fore_up", "platform_roll_starboard_down")


def decoded(name: str) -> tuple[Frame, dict[str, Any]]:
    driver = Pd0("adcp")
    frames = [f for f in driver.feed((Path(DATA) / name).read_bytes(), UNKNOWN) if isinstance(f, Frame)]
    return next(f for f in frames if f.schema.kind == "adcp"), dict(driver.description())


@needs_recordings
def test_a_frame_of_beams_becomes_one_of_the_earth() -> None:
    frame, description = decoded("adcp/pd0_mhkit/RDI_test01.000")
    earth = to_earth(frame, description, three_beam_solutions=False)
    names = [f"radial_sea_water_velocity_toward_instrument_beam_{beam}" for beam in (1, 2, 3, 4)]
    beams = np.stack([frame.columns[name].astype(np.float64) for name in names], axis=-1)
    matrix = janus_matrix(20)
    rotation = rdi_rotation(
        *(frame.columns[n].astype(np.float64) for n in PARTS),
        upward=True,
    )
    expected = rotate(beams @ matrix.T, rotation)
    for i, name in enumerate((*ENU, ERROR)):
        np.testing.assert_allclose(earth.columns[name], expected[..., i], atol=5.1e-5)
    assert not set(names) & set(earth.columns)
    assert np.isfinite(earth.columns[ENU[0]]).any()
    np.testing.assert_array_equal(earth.columns["ensemble_number"], frame.columns["ensemble_number"])
    back = decode_frame(encode_frame(earth), {earth.schema.id: earth.schema})
    np.testing.assert_array_equal(back.columns[ENU[1]], earth.columns[ENU[1]])
    heading = frame.columns["platform_orientation"].astype(np.float64)
    gyro = to_earth(frame, description, heading_degree=heading - 30, alignment_degree=30)
    np.testing.assert_allclose(gyro.columns[ENU[0]][0], to_earth(frame, description).columns[ENU[0]][0], atol=2e-4)
    for how in ("nearest", "linear"):
        mapped = to_earth(frame, description, bins=how).columns[ENU[0]]
        assert np.isfinite(mapped).any()


@needs_recordings
def test_a_frame_of_nortek_takes_the_matrix_of_its_configuration() -> None:
    """The matrix and the attitude of the recording; MHKiT's mean of the two pressures does not matter here."""
    netcdf = pytest.importorskip("netCDF4")
    driver = load("nortek_ad2cp")("adcp")
    data = (DATA / "adcp/nortek_ad2cp/BenchFile01.ad2cp").read_bytes()
    frames = [f for f in driver.feed(data, UNKNOWN) if isinstance(f, Frame) and f.schema.kind == "adcp"]
    earth = [to_earth(frame, driver.description()) for frame in frames]
    with netcdf.Dataset(DATA / "adcp/nortek_ad2cp/BenchFile01.nc") as theirs:
        theirs.set_auto_mask(False)
        beams = theirs["vel"][:].astype(float).transpose(2, 1, 0)
        parts = (theirs[part][:].astype(float) for part in ("heading", "pitch", "roll"))
        rotation = nortek_rotation(*parts, upward=theirs.orientation == "up")
        matrix = theirs["beam2inst_orientmat"][:].astype(float)
    expected = rotate(to_instrument(beams, matrix), rotation, two_verticals=True)
    for i, name in enumerate((*ENU, "upward_sea_water_velocity_2")):
        mine = np.concatenate([frame.columns[name] for frame in earth])[: len(beams)]
        np.testing.assert_allclose(mine, expected[..., i], atol=1e-3)


@needs_recordings
def test_ship_coordinates_are_turned_with_the_bottom_track() -> None:
    frame, description = decoded("adcp/pd0_mhkit/winriver02.PD0")
    earth = to_earth(frame, description, declination_degree=-16.5)
    heading = np.radians(frame.columns["platform_orientation"] - 16.5)
    for track, names in (
        ("{}_sea_water_velocity", ENU),
        ("bottom_track_{}_velocity", ["bottom_track_eastward_velocity", "bottom_track_northward_velocity"]),
    ):
        right, ahead = frame.columns[track.format("starboard")], frame.columns[track.format("forward")]
        h = heading[:, None] if right.ndim == 2 else heading
        np.testing.assert_allclose(earth.columns[names[0]], right * np.cos(h) + ahead * np.sin(h), atol=5.1e-5)
        np.testing.assert_allclose(earth.columns[names[1]], ahead * np.cos(h) - right * np.sin(h), atol=5.1e-5)
    again = to_earth(earth, description, declination_degree=0.0)
    np.testing.assert_array_equal(again.columns[ENU[0]], earth.columns[ENU[0]])


@needs_recordings
def test_what_cannot_be_turned_says_what_lacks() -> None:
    frame, description = decoded("adcp/pd0_mhkit/RDI_test01.000")
    with pytest.raises(NoCurrents, match="beam_to_instrument"):
        to_earth(frame, {"looks": "up"})
    with pytest.raises(NoCurrents, match="shape"):
        to_earth(frame, {**description, "beam_to_instrument": [[1.0, 0.0], [0.0, 1.0]]})
    given_matrix = {**description, "beam_to_instrument": janus_matrix(20).tolist()}
    given_matrix.pop("beam_angle_degree")
    np.testing.assert_array_equal(
        to_earth(frame, given_matrix).columns[ENU[0]], to_earth(frame, description).columns[ENU[0]]
    )
    with pytest.raises(ValueError, match="beam angle"):
        janus_matrix(0)
