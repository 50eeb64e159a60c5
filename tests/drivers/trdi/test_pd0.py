"""PD0 against other people's values, and against every way in which bytes can go wrong."""

import json
import time
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import netCDF4
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.driver import Decoded, Problem, load
from drivers.simulators.simulator import Mischief
from drivers.simulators.workhorse import WorkhorseSimulator, pd0
from drivers.trdi.framing import NOISE
from drivers.trdi.pd0 import Pd0
from tests.drivers.decoded import frames, problems, samples
from tests.recordings import DATA, needs_recordings
from tidegate.clock import UNKNOWN, Arrival, TimeSource
from tidegate.codec import decode_frame, encode_frame
from tidegate.frame import MISSING_INT, Frame, Missing, Schema

START_NS = 1_767_225_600_000_000_000  # 2026-01-01
PROBABLE = settings(max_examples=60, derandomize=True, deadline=None)

ERROR = "indicative_error_from_multibeam_acoustic_doppler_velocity_profiler_in_sea_water"
CORRELATION = "beam_consistency_indicator_from_multibeam_acoustic_doppler_velocity_profiler_in_sea_water"
ECHO = "signal_intensity_from_multibeam_acoustic_doppler_velocity_sensor_in_sea_water"
GOOD = "proportion_of_acceptable_signal_returns_from_acoustic_instrument_in_sea_water"
COMBINED = [
    "percent_of_three_beam_solutions",
    "percent_of_rejected_transformations",
    "percent_of_pings_with_bad_beams",
    "percent_of_four_beam_solutions",
]
EARTH = ["eastward_sea_water_velocity", "northward_sea_water_velocity", "upward_sea_water_velocity", ERROR]
SHIP = ["starboard_sea_water_velocity", "forward_sea_water_velocity", "upward_sea_water_velocity", ERROR]
INSTRUMENT = ["sea_water_x_velocity", "sea_water_y_velocity", "sea_water_z_velocity", ERROR]


def beams(name: str) -> list[str]:
    return [f"{name}_beam_{beam}" for beam in range(1, 5)]


BEAM = beams("radial_sea_water_velocity_toward_instrument")


def decode(data: bytes, cuts: Iterable[int] = (), at: Arrival = UNKNOWN) -> list[Decoded]:
    driver = Pd0("adcp")
    edges = [0, *sorted(cuts), len(data)]
    decoded: list[Decoded] = []
    for a, b in pairwise(edges):
        decoded += driver.feed(data[a:b], at)
    return decoded + driver.finish()


def of_kind(decoded: Sequence[Decoded], kind: str = "adcp") -> list[Frame]:
    return [frame for frame in frames(decoded) if frame.schema.kind == kind]


def joined(decoded: Sequence[Decoded], kind: str = "adcp") -> dict[str, np.ndarray]:
    parts = of_kind(decoded, kind)
    columns = {name: np.concatenate([f.columns[name] for f in parts]) for name in parts[0].schema.by_name}
    return {"time": np.concatenate([f.time for f in parts]), **columns}


def simulated(count: int, **how: Any) -> list[bytes]:
    simulator = WorkhorseSimulator(**how)
    step_ns = round(simulator.interval_s * 1e9)
    assert simulator.tick(START_NS) == b""
    return [simulator.tick(START_NS + step_ns * (i + 1)) for i in range(count)]


def blocks_of(ensemble: bytes) -> list[bytes]:
    count = ensemble[5]
    edges = [int.from_bytes(ensemble[6 + 2 * i : 8 + 2 * i], "little") for i in range(count)]
    return [ensemble[a:b] for a, b in zip(edges, [*edges[1:], len(ensemble) - 2], strict=True)]


def put(block: bytes, at: int, value: int, size: int = 1) -> bytes:
    return block[:at] + value.to_bytes(size, "little") + block[at + size :]


def changed(ensemble: bytes, block: int, at: int, value: int, size: int = 1) -> bytes:
    """The ensemble with a number of one block changed, and a true checksum."""
    blocks = blocks_of(ensemble)
    return pd0([*blocks[:block], put(blocks[block], at, value, size), *blocks[block + 1 :]])


FIXED, VARIABLE, VELOCITY, _, ECHO_BLOCK, _ = range(6)


# Other people's values


@needs_recordings
@pytest.mark.parametrize(
    ("name", "golden", "velocities", "percents", "bottom"),
    [
        ("RDI_test01.000", "RDI_test01.nc", BEAM, beams(GOOD), None),
        ("RDI_withBT.000", "RDI_withBT.nc", EARTH, COMBINED, ("eastward", "northward", "upward", "error")),
        ("winriver02.PD0", "winriver02.nc", SHIP, COMBINED, ("starboard", "forward", "upward", "error")),
    ],
)
def test_values_equal_those_of_mhkit(
    name: str, golden: str, velocities: list[str], percents: list[str], bottom: tuple[str, ...] | None
) -> None:
    decoded = decode((DATA / "adcp/pd0_mhkit" / name).read_bytes())
    ours = joined(decoded)
    with netCDF4.Dataset(DATA / "adcp/pd0_mhkit" / golden) as theirs:
        theirs.set_auto_mask(False)
        n = len(theirs["time"])
        np.testing.assert_allclose(ours["time"][:n] / 1e9, theirs["time"][:], atol=1e-6, rtol=0)
        for parameter, variable, step in (
            ("platform_orientation", "heading", 0.01),
            ("platform_pitch_fore_up", "pitch", 0.01),
            ("platform_roll_starboard_down", "roll", 0.01),
            ("sea_water_temperature", "temp", 0.01),
            ("sea_water_practical_salinity", "salinity", 1.0),
            ("speed_of_sound_in_sea_water", "c_sound", 1.0),
            ("depth", "depth", 0.1),
            ("ensemble_number", "number", 1.0),
        ):
            np.testing.assert_allclose(ours[parameter][:n], theirs[variable][:], atol=step / 100, rtol=0)
        # MHKiT reads the signed pressure as unsigned: just below zero it says 4,294,967 dbar.
        pressure = theirs["pressure"][:].astype(float)
        pressure = np.where(pressure > 2**31 / 1000, np.nan, pressure)
        negative = np.isnan(pressure)
        mine = ours["sea_water_pressure_due_to_sea_water"][:n]
        np.testing.assert_allclose(mine[~negative], pressure[~negative], atol=2e-5, rtol=0)
        assert (mine[negative] < 0).all()
        assert (mine[negative] > -1).all()
        for i in range(4):
            np.testing.assert_allclose(ours[velocities[i]][:n], theirs["vel"][i].T, atol=1e-6, rtol=0)
            np.testing.assert_array_equal(ours[f"{CORRELATION}_beam_{i + 1}"][:n], theirs["corr"][i].T)
            np.testing.assert_array_equal(ours[f"{ECHO}_beam_{i + 1}"][:n], theirs["amp"][i].T)
            np.testing.assert_array_equal(ours[percents[i]][:n], theirs["prcnt_gd"][i].T)
            if bottom:
                speed, distance = theirs["vel_bt"][i].astype(float), theirs["dist_bt"][i].astype(float)
                speed[speed < -32.7], distance[distance == 0] = np.nan, np.nan
                np.testing.assert_allclose(ours[f"bottom_track_{bottom[i]}_velocity"][:n], speed, atol=1e-6, rtol=0)
                np.testing.assert_allclose(ours[f"bottom_track_range_beam_{i + 1}"][:n], distance, atol=1e-4, rtol=0)
                for kind, variable in (("correlation", "corr_bt"), ("echo_intensity", "amp_bt")):
                    np.testing.assert_array_equal(ours[f"bottom_track_{kind}_beam_{i + 1}"][:n], theirs[variable][i])
                np.testing.assert_array_equal(ours[f"bottom_track_{percents[i]}"][:n], theirs["prcnt_gd_bt"][i])
        cells = frames(decoded)[0].schema.cells
        assert cells is not None
        middles = cells.first_m + cells.size_m * np.arange(cells.count)
        np.testing.assert_allclose(middles, theirs["range"][:], atol=1e-4, rtol=0)
        assert cells.upward == (theirs.orientation == "up")


@needs_recordings
@pytest.mark.parametrize(
    ("name", "count", "what"),
    [
        ("pd0_mhkit/RDI_test01.000", 22, [("truncated", 19228, 772)]),
        ("pd0_mhkit/RDI_withBT.000", 1721, [("truncated", 999901, 99)]),
        ("pd0_mhkit/winriver02.PD0", 75, []),
        ("pd0_ooi/ADCP_CCE1T_20.000", 20, []),
        ("pd0_ooi/ADCP_data_20130702.000", 1, []),
        ("pd0_ooi/ADCP_data_Corrupted.000", 1, [("checksum", 0, 1254)]),
    ],
)
def test_every_ensemble_is_found_and_every_other_byte_reported(
    name: str, count: int, what: list[tuple[str, int, int]]
) -> None:
    decoded = decode((DATA / "adcp" / name).read_bytes())
    assert sum(map(len, of_kind(decoded))) == count
    assert problems(decoded) == what


@needs_recordings
@pytest.mark.parametrize("name", ["ADCP_CCE1T_20", "ADCP_data_20130702"])
def test_values_equal_those_of_ooi(name: str) -> None:
    ours = joined(decode((DATA / "adcp/pd0_ooi" / f"{name}.000").read_bytes()))
    particles = yaml.safe_load((DATA / "adcp/pd0_ooi" / f"{name}.yml").read_text())["data"]
    velocities = [p for p in particles if p["particle_type"] == "adcp_velocity_earth"]
    engineering = [p for p in particles if p["particle_type"] == "adcp_engineering"]
    assert len(ours["time"]) == len(velocities) > 0

    def column(key: str, of: list[dict[str, Any]] = velocities) -> np.ndarray:
        return np.array([particle[key] for particle in of])

    ntp_ns = np.round((column("internal_timestamp") - 2_208_988_800) * 100).astype(np.int64) * 10_000_000
    np.testing.assert_array_equal(ours["time"], ntp_ns)
    for parameter, key, steps in (
        ("platform_orientation", "heading", 100),
        ("platform_pitch_fore_up", "pitch", 100),
        ("platform_roll_starboard_down", "roll", 100),
        ("sea_water_temperature", "temperature", 100),
        ("sea_water_practical_salinity", "salinity", 1),
        ("depth", "transducer_depth", 10),
        ("ensemble_number", "ensemble_number", 1),
    ):
        np.testing.assert_array_equal(ours[parameter], column(key) / steps)
    # A pressure below the air's, written as unsigned by OOI.
    pressure = column("pressure").astype(np.uint32).view(np.int32) / 1000
    np.testing.assert_array_equal(ours["sea_water_pressure_due_to_sea_water"], pressure)
    if engineering:
        np.testing.assert_array_equal(ours["speed_of_sound_in_sea_water"], column("speed_of_sound", engineering))
        np.testing.assert_array_equal(ours["built_in_test_result"], column("bit_result", engineering))
        status = column("error_status_word", engineering)
        np.testing.assert_array_equal(ours["device_status"], status)
    keys = ["water_velocity_east", "water_velocity_north", "water_velocity_up", "error_velocity"]
    shares = ["percent_good_3beam", "percent_transforms_reject", "percent_bad_beams", "percent_good_4beam"]
    for i in range(4):
        velocity = np.where(column(keys[i]) == -32768, np.nan, column(keys[i]) / 1000)
        np.testing.assert_array_equal(ours[EARTH[i]], velocity)
        np.testing.assert_array_equal(ours[COMBINED[i]], column(shares[i]))
        magnitude = column(f"correlation_magnitude_beam{i + 1}")
        np.testing.assert_array_equal(ours[f"{CORRELATION}_beam_{i + 1}"], magnitude)
        np.testing.assert_array_equal(ours[f"{ECHO}_beam_{i + 1}"], column(f"echo_intensity_beam{i + 1}"))


@needs_recordings
def test_other_formats_give_no_sample() -> None:
    """A file that begins like PD0 and is none, and Nortek's sentences."""
    data = (DATA / "adcp/pd0_misc/realtimewh-p.000").read_bytes()
    vectors = json.loads((DATA / "adcp/manual_vectors.json").read_text())
    data += "\r\n".join(vector["raw"] for vector in vectors).encode()
    decoded = decode(data)
    assert not frames(decoded)
    assert sum(size for _, _, size in problems(decoded)) == len(data)


@needs_recordings
def test_a_river_transect_is_consistent() -> None:
    name = "tanana_transects_08_10_10_0_002_10-08-10_142214.PD0"
    decoded = decode((DATA / "adcp/pd0_tanana" / name).read_bytes())
    assert problems(decoded) == []
    ours = joined(decoded)
    assert len(ours["time"]) == 580
    assert (np.diff(ours["ensemble_number"]) == 1).all()
    assert (np.diff(ours["time"]) > 0).all()
    assert str(ours["time"][0].astype("M8[ns]")).startswith("2010-08-10T")
    (schema,) = {frame.schema for frame in of_kind(decoded)}
    assert schema.cells is not None
    assert (schema.cells.count, schema.cells.upward) == (47, False)
    # It has no pressure sensor, and says 0.
    pressure = frames(decoded)[0]
    assert (pressure.missing("sea_water_pressure_due_to_sea_water") == Missing.NOT_GIVEN).all()
    assert np.isnan(ours["sea_water_pressure_due_to_sea_water"]).all()
    # The water's motion past the boat less the bottom's is the river: it flows one way, whatever the boat does.
    across, along = (
        np.nanmean(ours[f"{axis}_sea_water_velocity"][:, :8], axis=1) - ours[f"bottom_track_{axis}_velocity"]
        for axis in ("starboard", "forward")
    )
    heading = np.radians(ours["platform_orientation"])
    east, north = across * np.cos(heading) + along * np.sin(heading), along * np.cos(heading) - across * np.sin(heading)
    seen = np.isfinite(east)
    assert seen.sum() > 300
    first, median, third = np.percentile(np.degrees(np.arctan2(east, north))[seen], [25, 50, 75])
    assert -40 < first < median < third < -25
    assert 1.0 < np.median(np.hypot(east, north)[seen]) < 2.0


# Any cutting, any damage


def damaged_stream() -> bytes:
    """Ensembles of three geometries with everything between them that can be."""
    small, large = simulated(3, cells=8), simulated(3, cells=30, seed=5)
    spoilt = bytearray(large[1])
    spoilt[200] ^= 4
    long = pd0([*blocks_of(small[1]), b"\x01\x21$GPGGA,123519\x7f\x7f"])
    swallowing = long[:2] + (len(long) + 3000).to_bytes(2, "little") + long[4:]
    hot = changed(small[2], VARIABLE, 26, 9900, 2)
    turned = changed(small[2], FIXED, 4, 0x4B)
    return b"".join(
        [
            b"\r\nWorkHorse Broadband ADCP\r\n>",
            small[0],
            small[1],
            b"\x7f",
            large[0],
            b"\x7f\x7f\x7f\x7f\x10\x00",
            bytes(spoilt),
            swallowing,
            small[2],
            hot,
            turned,
            bytes(5000),
            large[2][:-1],
            long,
            large[2][: len(large[2]) // 2],
        ]
    )


STREAM = damaged_stream()
WHOLE = decode(STREAM)


def test_a_damaged_stream_gives_its_good_ensembles_and_the_place_of_every_other_byte() -> None:
    small, large = len(simulated(1, cells=8)[0]), len(simulated(1, cells=30)[0])
    assert sum(map(len, frames(WHOLE))) == 7
    said = [kind for kind, _, _ in problems(WHOLE)]
    # bytes(5000) are a piece of 4096 and the rest.
    assert said == [
        *("noise", "noise", "noise", "checksum", "checksum", "implausible", "noise", "noise", "checksum", "truncated")
    ]
    noise = [size for kind, _, size in problems(WHOLE) if kind == "noise"]
    assert noise == [29, 1, 6, NOISE, 5000 - NOISE]
    wrong = [(kind, size) for kind, _, size in problems(WHOLE) if kind in ("checksum", "truncated")]
    assert wrong == [
        ("checksum", large),
        ("checksum", small + 2 + 17),
        ("checksum", large - 1),
        ("truncated", large // 2),
    ]


@PROBABLE
@given(st.sets(st.integers(0, len(STREAM)), max_size=40))
def test_cutting_never_matters(cuts: set[int]) -> None:
    decoded = decode(STREAM, cuts)
    assert samples(decoded) == samples(WHOLE)
    assert problems(decoded) == problems(WHOLE)


def test_byte_by_byte_is_the_same() -> None:
    decoded = decode(STREAM, range(1, len(STREAM)))
    assert samples(decoded) == samples(WHOLE)
    assert problems(decoded) == problems(WHOLE)


ENSEMBLES = simulated(6, cells=12) + simulated(3, cells=5, seed=1)
UNHURT = decode(b"".join(ENSEMBLES))


@settings(PROBABLE, max_examples=200)
@given(st.integers(0, sum(map(len, ENSEMBLES)) - 1), st.integers(1, 255), st.integers(0, 5000))
def test_one_damaged_byte_costs_its_ensemble_alone(at: int, by: int, cut: int) -> None:
    data = bytearray(b"".join(ENSEMBLES))
    data[at] ^= by
    decoded = decode(bytes(data), [min(cut, len(data))])
    edges = np.cumsum([0, *(len(ensemble) for ensemble in ENSEMBLES)])
    hurt = int(np.searchsorted(edges, at, side="right")) - 1
    whole = samples(UNHURT)
    assert samples(decoded) == whole[:hurt] + whole[hurt + 1 :]
    found = problems(decoded)
    assert found
    assert found[0][1] == edges[hurt]
    assert sum(size for _, _, size in found) == len(ENSEMBLES[hurt])


@PROBABLE
@given(st.binary(max_size=3000), st.integers(0, 3000), st.lists(st.integers(0, 3000), max_size=6))
def test_random_bytes_give_no_sample_and_are_all_reported(noise: bytes, cut: int, syncs: list[int]) -> None:
    data = bytearray(noise)
    for at in syncs:
        data[at : at + 2] = b"\x7f\x7f"
    decoded = decode(bytes(data), [min(cut, len(data))])
    assert not frames(decoded)
    expected = 0
    for _, offset, size in problems(decoded):
        assert offset == expected
        expected += size
    assert expected == len(data)


def hostile(length: int) -> bytes:
    """Nothing but headers that could each begin a long ensemble with the right blocks in it."""
    unit = bytearray()
    for size in (65000, 60001, 40007):
        start = len(unit)
        unit += b"\x7f\x7f" + size.to_bytes(2, "little") + bytes([0, 2])
        unit += (10).to_bytes(2, "little") + (70).to_bytes(2, "little")
        unit += bytes(60) + b"\x80\x00" + bytes(30)
        assert len(unit) - start == 102
    return bytes(unit) * (length // len(unit))


@pytest.mark.parametrize("data", [b"\x7f" * 400_000, hostile(1_000_000), b"\x7f\x7f\xf0\xff" * 100_000])
def test_hostile_bytes_cost_no_more_than_time_linear_in_them(data: bytes) -> None:
    started = time.perf_counter()
    assert not frames(decode(data, range(0, len(data), 4096)))
    assert time.perf_counter() - started < 10


def test_a_good_ensemble_among_hostile_headers_is_found() -> None:
    data = hostile(70_000)
    decoded = decode(data + ENSEMBLES[0] + data, range(0, 2 * len(data), 1000))
    assert samples(decoded) == samples(UNHURT)[:1]


def test_sync_bytes_in_the_data_do_not_mislead() -> None:
    ensemble = ENSEMBLES[0]
    blocks = blocks_of(ensemble)
    blocks[ECHO_BLOCK] = blocks[ECHO_BLOCK][:2] + b"\x7f" * (len(blocks[ECHO_BLOCK]) - 2)
    full = pd0(blocks)
    decoded = decode(full * 3, range(0, len(full) * 3, 7))
    assert problems(decoded) == []
    assert (joined(decoded)[f"{ECHO}_beam_3"] == 127).all()
    assert len(samples(decoded)) == 3


def test_a_damaged_length_does_not_hold_back_what_follows() -> None:
    """A live ADCP that speaks once an hour must not be silent for days until the wrong length is full."""
    driver = Pd0("adcp")
    spoilt = ENSEMBLES[0][:3] + b"\xff" + ENSEMBLES[0][4:]
    assert driver.feed(spoilt, UNKNOWN) == []
    noise, frame = driver.feed(ENSEMBLES[1], UNKNOWN)
    assert isinstance(noise, Problem)
    assert (noise.kind, noise.offset, noise.size) == ("noise", 0, len(spoilt))
    assert isinstance(frame, Frame)
    assert len(frame) == 1


def test_offsets_go_on_after_the_end_and_nothing_else_does() -> None:
    driver = Pd0("adcp")
    driver.feed(ENSEMBLES[0][:50], UNKNOWN)
    (cut,) = driver.finish()
    assert isinstance(cut, Problem)
    assert (cut.kind, cut.offset, cut.size) == ("truncated", 0, 50)
    assert len(frames(driver.feed(ENSEMBLES[1] + b"xyz", UNKNOWN))) == 1
    (rest,) = driver.finish()
    assert isinstance(rest, Problem)
    assert (rest.kind, rest.offset, rest.size) == ("noise", 50 + len(ENSEMBLES[1]), 3)
    assert driver.finish() == []


def test_the_wire_gives_back_every_value_and_every_reason() -> None:
    """The resolutions that the schema declares are those that the ensembles have."""
    for frame in frames(WHOLE):
        back = decode_frame(encode_frame(frame), {frame.schema.id: frame.schema})
        assert samples([back]) == samples([frame])


# What an ensemble may be


@pytest.mark.parametrize(
    ("code", "velocities", "percents", "bottom"),
    [
        (0x07, BEAM, beams(GOOD), beams("bottom_track_velocity")),
        (0x0F, INSTRUMENT, COMBINED, [f"bottom_track_{axis}_velocity" for axis in ("x", "y", "z", "error")]),
        (0x17, SHIP, COMBINED, [f"bottom_track_{a}_velocity" for a in ("starboard", "forward", "upward", "error")]),
        (0x1F, EARTH, COMBINED, [f"bottom_track_{a}_velocity" for a in ("eastward", "northward", "upward", "error")]),
    ],
)
def test_coordinates_name_the_velocities(
    code: int, velocities: list[str], percents: list[str], bottom: list[str]
) -> None:
    blocks = blocks_of(changed(ENSEMBLES[0], FIXED, 25, code))
    track = bytearray(81)
    track[:2] = b"\x00\x06"
    track[16:24] = np.array([1234, 0, 7, 65535], "<u2").tobytes()
    track[24:32] = np.array([-512, 1500, -32768, 3], "<i2").tobytes()
    track[32:36], track[36:40], track[40:44] = (
        bytes([200, 201, 202, 203]),
        bytes([70, 71, 72, 73]),
        bytes([0, 1, 2, 97]),
    )
    track[77:81] = bytes([1, 0, 0, 2])
    decoded = decode(pd0([*blocks, bytes(track)]))
    assert problems(decoded) == []
    (frame,) = frames(decoded)
    raw = np.frombuffer(blocks[VELOCITY], "<i2")[1:].reshape(-1, 4)
    for i in range(4):
        expected = np.where(raw[:, i] == -32768, np.nan, raw[:, i] / 1000)
        np.testing.assert_array_equal(frame.columns[velocities[i]][0], expected)
        assert percents[i] in frame.columns
    assert [frame.columns[name][0] for name in beams("bottom_track_range")] == pytest.approx(
        [(65536 + 1234) / 100, np.nan, 0.07, (2 * 65536 + 65535) / 100], nan_ok=True
    )
    assert [frame.columns[name][0] for name in bottom] == pytest.approx([-0.512, 1.5, np.nan, 0.003], nan_ok=True)
    assert frame.missing(bottom[2])[0] == frame.missing("bottom_track_range_beam_2")[0] == Missing.INVALID
    assert [frame.columns[name][0] for name in beams("bottom_track_correlation")] == [200, 201, 202, 203]
    assert [frame.columns[name][0] for name in beams("bottom_track_echo_intensity")] == [70, 71, 72, 73]
    kinds = beams("bottom_track_percent_good") if code == 0x07 else [f"bottom_track_{name}" for name in COMBINED]
    assert [frame.columns[name][0] for name in kinds] == [0, 1, 2, 97]


def test_a_change_of_geometry_is_a_new_schema() -> None:
    small, large = simulated(2, cells=5), simulated(2, cells=11, cell_m=0.5)
    turned = changed(small[0], FIXED, 4, 0x4B)
    decoded = decode(b"".join([*small, *large, turned]))
    cells = [frame.schema.cells for frame in frames(decoded)]
    assert [(c.count, c.size_m, c.upward) for c in cells if c] == [(5, 1.0, True), (11, 0.5, True), (5, 1.0, False)]
    assert [len(frame) for frame in frames(decoded)] == [2, 2, 1]
    for frame in frames(decoded):
        assert Schema.from_dict(json.loads(json.dumps(frame.schema.as_dict()))) == frame.schema


def test_the_ensemble_number_has_a_third_byte() -> None:
    decoded = decode(changed(changed(ENSEMBLES[0], VARIABLE, 2, 0xFFFE, 2), VARIABLE, 11, 3))
    assert joined(decoded)["ensemble_number"].tolist() == [3 * 65536 + 0xFFFE]


def test_a_value_that_cannot_be_is_refused_and_the_rest_kept() -> None:
    blocks = blocks_of(changed(ENSEMBLES[1], VARIABLE, 26, 9900, 2))
    blocks[VELOCITY] = put(blocks[VELOCITY], 2, 32500, 2)
    blocks[5] = put(blocks[5], 3, 101)
    decoded = decode(ENSEMBLES[0] + pd0(blocks) + ENSEMBLES[2])
    frame, problem = decoded
    assert isinstance(frame, Frame)
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.offset, problem.size) == ("implausible", len(ENSEMBLES[0]), len(ENSEMBLES[1]))
    for name in ("sea_water_temperature", EARTH[0], COMBINED[1]):
        assert name in problem.message
    assert frame.missing("sea_water_temperature").tolist() == [0, Missing.IMPLAUSIBLE, 0]
    assert frame.missing(EARTH[0])[1, 0] == Missing.IMPLAUSIBLE
    assert frame.columns[COMBINED[1]][1, 0] == MISSING_INT
    assert frame.missing(COMBINED[1])[1, 0] == Missing.IMPLAUSIBLE
    assert np.isfinite(frame.columns["speed_of_sound_in_sea_water"]).all()
    assert np.isfinite(frame.columns[EARTH[0]][:, 1]).all()


def test_bad_cells_are_invalid_and_never_a_number() -> None:
    (frame,) = frames(decode(b"".join(simulated(1, cells=40))))
    bad = frame.missing(EARTH[1])[0]
    assert bad[0] == Missing.PRESENT
    assert bad[-1] == Missing.INVALID
    assert (np.isnan(frame.columns[EARTH[1]][0]) == (bad != 0)).all()


def test_a_clock_that_shows_nonsense_gives_the_time_to_the_arrival() -> None:
    at = Arrival(START_NS + 5, 17, "boot", True)
    no_month = changed(changed(ENSEMBLES[1], VARIABLE, 59, 0), VARIABLE, 5, 0)
    february_30 = changed(changed(ENSEMBLES[1], VARIABLE, 59, 2), VARIABLE, 60, 30)
    decoded = decode(ENSEMBLES[0] + no_month + february_30 + ENSEMBLES[2], at=at)
    assert [(frame.source, len(frame)) for frame in frames(decoded)] == [
        (TimeSource.INSTRUMENT, 1),
        (TimeSource.ARRIVAL, 2),
        (TimeSource.INSTRUMENT, 1),
    ]
    assert frames(decoded)[1].time.tolist() == [at.utc_ns, at.utc_ns]
    size = len(ENSEMBLES[0])
    assert problems(decoded) == [("implausible", size, size), ("implausible", 2 * size, size)]


@pytest.mark.parametrize(("year", "means"), [(99, 1999), (26, 2026)])
def test_old_firmware_has_a_clock_of_two_digits_and_no_pressure(year: int, means: int) -> None:
    blocks = blocks_of(ENSEMBLES[0])
    blocks[VARIABLE] = put(blocks[VARIABLE], 4, year)[:42]
    (frame,) = frames(decode(pd0(blocks)))
    assert str(frame.time[0].astype("M8[ns]")) == f"{means}-01-01T00:00:01.000000000"
    assert "sea_water_pressure_due_to_sea_water" not in frame.columns
    assert "device_status" not in frame.columns


def test_blocks_too_short_for_their_cells_are_refused() -> None:
    blocks = blocks_of(ENSEMBLES[0])
    blocks[VELOCITY] = blocks[VELOCITY][:-2]
    spoilt = pd0(blocks)
    decoded = decode(ENSEMBLES[1] + spoilt + ENSEMBLES[2])
    assert problems(decoded) == [("syntax", len(ENSEMBLES[1]), len(spoilt))]
    assert [len(frame) for frame in frames(decoded)] == [1, 1]


def test_blocks_that_are_not_profiles_are_passed_over() -> None:
    blocks = blocks_of(ENSEMBLES[0])
    others = [b"\x00\x0a" + bytes(24), b"\x22\x20$GPVTG", b"\x00\x20" + bytes(76)]
    decoded = decode(pd0([*blocks, *others]))
    assert samples(decoded) == samples(UNHURT)[:1]


def test_frames_say_when_their_first_byte_arrived_and_end_with_the_boot() -> None:
    driver = Pd0("adcp")
    first, second, booted = (
        Arrival(START_NS, 1_000, "a", True),
        Arrival(START_NS + 1_000_000_000, 1_000_001_000, "a", True),
        Arrival(START_NS + 9_000_000_000, 1_000, "b", True),
    )
    data = b"".join(ENSEMBLES[:4])
    size = len(ENSEMBLES[0])
    decoded = driver.feed(data[: size // 2], first)
    decoded += driver.feed(data[size // 2 : 2 * size + 10], second)
    decoded += driver.feed(data[2 * size + 10 :], booted)
    assert [(frame.arrival, len(frame)) for frame in frames(decoded)] == [(first, 2), (second, 1), (booted, 1)]


def test_it_is_installed_and_describes_the_instrument() -> None:
    driver = load("trdi_pd0")("adcp")
    assert driver.schemas() == ()
    driver.feed(ENSEMBLES[0], UNKNOWN)
    (schema,) = driver.schemas()
    assert schema.kind == "adcp"
    told = driver.description()
    assert told["manufacturer"] == "Teledyne RD Instruments"
    assert (told["serial"], told["firmware"], told["frequency_khz"]) == ("18655", "51.40", 600)
    assert (told["coordinates"], told["looks"], told["beam_angle_degree"]) == ("earth", "up", 20)


# The simulator


@PROBABLE
@given(
    cells=st.integers(1, 60),
    seed=st.integers(0, 5),
    interval_s=st.sampled_from([1.0, 1.5, 60.0]),
    cut=st.integers(1, 997),
    bottom_track=st.booleans(),
    hexadecimal=st.booleans(),
)
def test_the_driver_finds_all_that_the_simulator_said(
    cells: int, seed: int, interval_s: float, cut: int, *, bottom_track: bool, hexadecimal: bool
) -> None:
    mischief = Mischief(period=5, spikes=(1,), spike_by=2.5, wild=(3,), wild_value=9.0)
    simulator = WorkhorseSimulator(
        cells=cells,
        seed=seed,
        interval_s=interval_s,
        bottom_track=bottom_track,
        hexadecimal=hexadecimal,
        mischief=mischief,
    )
    step_ns = round(interval_s * 1e9)
    data = b"".join(simulator.tick(START_NS + i * step_ns // 4) for i in range(24))
    said = simulator.take_said()
    assert len(said) == 5
    assert [sample.mischief for sample in said] == ["", "spike", "", "wild", ""]
    decoded = decode(data, range(cut, len(data), cut))
    assert problems(decoded) == []
    ours = joined(decoded)
    assert ours["time"].tolist() == [sample.time_ns for sample in said]
    assert ours.keys() - {"time"} == said[0].values.keys()
    for name in said[0].values:
        expected = np.array([sample.values[name] for sample in said], float)
        np.testing.assert_array_equal(ours[name].astype(float), expected)


def test_the_simulator_stops_at_a_break_and_starts_at_cs() -> None:
    simulator = WorkhorseSimulator()
    simulator.tick(START_NS)
    assert simulator.tick(START_NS + 1_000_000_000)
    assert simulator.receive(b"CS\r", START_NS) == b""
    assert simulator.receive(b"=", START_NS) == b""
    assert simulator.receive(b"==", START_NS).endswith(
        b"Version 51.40\r\nTeledyne RD Instruments (c) 1996-2010\r\nAll Rights Reserved.\r\n>"
    )
    assert simulator.tick(START_NS + 2_000_000_000) == b""
    assert simulator.receive(b"CB?\r", START_NS).startswith(b"CB?\r\nCB = 411 ")
    assert simulator.receive(b"TT?\r", START_NS).startswith(b"TT?\r\nTT = 2026/01/01,00:00:00 ")
    assert b"ERR" in simulator.receive(b"12\r", START_NS)
    assert simulator.receive(b"EX11111\r", START_NS) == b"EX11111\r\n>"
    assert simulator.receive(b"cs\r", START_NS) == b"cs\r\n"
    assert simulator.tick(START_NS + 3_000_000_000)
    simulator.speaking = False
    assert simulator.tick(START_NS + 4_000_000_000) == b""
    assert len(simulator.take_said()) == 2


@pytest.mark.parametrize("wrong", [{"interval_s": 0.5}, {"cells": 0}, {"cells": 129}])
def test_the_simulator_refuses_what_no_workhorse_does(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        WorkhorseSimulator(**wrong)
