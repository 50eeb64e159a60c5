"""AD2CP records against MHKiT's values, and against every way in which bytes can go wrong."""

import struct
import time
from random import Random
from typing import Any

import netCDF4
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.driver import Problem, load
from drivers.nortek.ad2cp import Ad2cp
from drivers.nortek.configuration import told
from drivers.nortek.framing import NOISE, checksum
from drivers.simulators.signature import SignatureSimulator, record
from tests.drivers.decoded import frames, problems, samples
from tests.drivers.nortek.streams import by_kind, decode, joined
from tests.recordings import DATA, needs_recordings
from tidegate.clock import NAT, UNKNOWN, Arrival, TimeSource
from tidegate.codec import decode_frame, encode_frame
from tidegate.frame import Missing

PROBABLE = settings(max_examples=40, derandomize=True, deadline=None)
FOLDER = DATA / "adcp/nortek_ad2cp"
ECHO = "signal_intensity_from_multibeam_acoustic_doppler_velocity_sensor_in_sea_water"
CORRELATION = "beam_consistency_indicator_from_multibeam_acoustic_doppler_velocity_profiler_in_sea_water"
RADIAL = "radial_sea_water_velocity_away_from_instrument"
START_NS = 1_767_225_600_000_000_000  # 2026-01-01


def simulated(count: int, **how: Any) -> bytes:
    simulator = SignatureSimulator(**how)
    step_ns = round(simulator.interval_s * 1e9)
    return b"".join(simulator.tick(START_NS + i * step_ns) for i in range(count + 1))


# Other people's values


@needs_recordings
@pytest.mark.parametrize(("name", "bursts", "clockless"), [("BenchFile01", 1094, 0), ("Sig1000_BadTime01", 300, 1)])
def test_values_equal_those_of_mhkit(name: str, bursts: int, clockless: int) -> None:
    decoded = decode(Ad2cp("adcp"), (FOLDER / f"{name}.ad2cp").read_bytes())
    assert [kind for kind, _, _ in problems(decoded)] == ["implausible"] * clockless
    ours, fifth = joined(decoded, "adcp"), joined(decoded, "adcp_vertical_beam")
    assert len(ours["time"]) == bursts
    with netCDF4.Dataset(FOLDER / f"{name}.nc") as theirs:
        theirs.set_auto_mask(False)
        n = len(theirs["time"])
        for mine, suffix in ((ours, ""), (fifth, "_b5")):
            told_s = mine["time"][:n] != NAT
            # MHKiT fills times that do not exist from their neighbours; we do not.
            np.testing.assert_allclose(
                mine["time"][:n][told_s] / 1e9, theirs[f"time{suffix}"][:][told_s], atol=2e-6, rtol=0
            )
            for parameter, variable in (
                ("device_error", "error"),
                ("device_status", "status"),
                ("transmit_energy", "xmit_energy"),
            ):
                np.testing.assert_array_equal(mine[parameter][:n], theirs[variable + suffix][:])
            for i, axis in enumerate("xyz"):
                # MHKiT takes 9.81 m/s2 for standard gravity.
                gravity = theirs[f"accel{suffix}"][i] / 9.81 * 9.80665
                np.testing.assert_allclose(mine[f"accelerometer_{axis}"][:n], gravity, atol=6e-5, rtol=0)
                np.testing.assert_allclose(
                    mine[f"magnetometer_{axis}"][:n], theirs[f"mag{suffix}"][i], atol=1e-4, rtol=0
                )
        # MHKiT gives the mean of what the burst and the fifth beam's ping say.
        for parameter, variable, step in (
            ("sea_water_temperature", "temp", 0.01),
            ("sea_water_pressure_due_to_sea_water", "pressure", 0.001),
            ("speed_of_sound_in_sea_water", "c_sound", 0.1),
            ("battery_voltage", "batt", 0.1),
            ("temperature_of_clock", "temp_clock", 0.01),
            ("temperature_of_pressure_sensor", "temp_press", 0.2),
        ):
            mean = (ours[parameter][:n] + fifth[parameter][:n]) / 2
            np.testing.assert_allclose(mean, theirs[variable][:], atol=step / 50, rtol=1e-6)
        for parameter, variable in (
            ("platform_orientation", "heading"),
            ("platform_pitch_fore_up", "pitch"),
            ("platform_roll_starboard_down", "roll"),
        ):
            both = np.exp(1j * np.radians(ours[parameter][:n])) + np.exp(1j * np.radians(fifth[parameter][:n]))
            off = np.angle(both) - np.radians(theirs[variable][:])
            assert np.abs(np.angle(np.exp(1j * off), deg=True)).max() < 1e-3
        for i in range(4):
            np.testing.assert_allclose(ours[f"{RADIAL}_beam_{i + 1}"][:n], theirs["vel"][i].T, atol=1e-6, rtol=0)
            np.testing.assert_array_equal(ours[f"{ECHO}_beam_{i + 1}"][:n] * 0.5, theirs["amp"][i].T)
            np.testing.assert_array_equal(ours[f"{CORRELATION}_beam_{i + 1}"][:n], theirs["corr"][i].T)
        np.testing.assert_allclose(fifth[f"{RADIAL}_beam_5"][:n], theirs["vel_b5"][:].T, atol=1e-6, rtol=0)
        np.testing.assert_array_equal(fifth[f"{ECHO}_beam_5"][:n] * 0.5, theirs["amp_b5"][:].T)
        np.testing.assert_array_equal(fifth[f"{CORRELATION}_beam_5"][:n], theirs["corr_b5"][:].T)
        frame = next(f for f in frames(decoded) if f.schema.kind == "adcp")
        cells = frame.schema.cells
        assert cells is not None
        np.testing.assert_allclose(
            cells.first_m + cells.size_m * np.arange(cells.count), theirs["range"][:], atol=1e-6, rtol=0
        )
        if name == "BenchFile01":
            assert cells.upward is True
            for parameter, variable in (
                ("altimeter_distance_leading_edge", "le_dist_alt"),
                ("altimeter_quality_leading_edge", "le_quality_alt"),
                ("altimeter_distance_ast", "ast_dist_alt"),
                ("altimeter_quality_ast", "ast_quality_alt"),
                ("altimeter_time_offset_ast", "ast_offset_time_alt"),
                ("altimeter_pressure", "pressure_alt"),
            ):
                np.testing.assert_allclose(ours[parameter][:n], theirs[variable][:], rtol=2e-7, atol=1e-6)
            raw = joined(decoded, "altimeter_raw")
            assert raw["altimeter_sample_count"].tolist() == theirs["nsamp_altraw"][:].tolist() == [1490]
            np.testing.assert_allclose(raw["altimeter_sample_spacing"], theirs["dsamp_altraw"][:], atol=1e-6)
            np.testing.assert_allclose(raw["altimeter_distance_ast"], theirs["ast_dist_altraw"][:], rtol=2e-7)
            # MHKiT gives counts of 1/256.
            np.testing.assert_array_equal(raw["altimeter_signal"], theirs["samp_altraw"][:].T * 256)
        else:
            for mine, suffix in ((ours, ""), (fifth, "_b5")):
                for i, part in enumerate("wxyz"):
                    theirs_part = theirs[f"quaternions{suffix}"][i]
                    np.testing.assert_allclose(mine[f"quaternion_{part}"][:n], theirs_part, atol=6e-7, rtol=0)
                for i, axis in enumerate("xyz"):
                    rate = np.degrees(theirs[f"angrt{suffix}"][i].astype(float))
                    np.testing.assert_allclose(mine[f"gyroscope_{axis}"][:n], rate, atol=1e-4, rtol=1e-6)
            for row in range(3):
                for column in range(3):  # MHKiT turns the matrix round: earth to instrument
                    mine_part = ours[f"rotation_matrix_{row + 1}{column + 1}"][:n]
                    np.testing.assert_allclose(mine_part, theirs["orientmat"][column, row], atol=6e-7, rtol=0)


@needs_recordings
def test_a_clock_that_shows_nonsense_gives_the_time_to_the_arrival() -> None:
    at = Arrival(START_NS, 17, "boot", True)
    decoded = decode(Ad2cp("adcp"), (FOLDER / "Sig1000_BadTime01.ad2cp").read_bytes(), at=at)
    (bad,) = [d for d in decoded if isinstance(d, Problem)]
    assert (bad.kind, bad.offset, bad.size) == ("implausible", 184017, 630)
    assert bad.message.endswith("clock")
    (frame,) = [f for f in frames(decoded) if f.source == TimeSource.ARRIVAL]
    assert (len(frame), frame.time.tolist()) == (1, [START_NS])


@needs_recordings
def test_the_configuration_tells_what_a_transformation_needs() -> None:
    driver = Ad2cp("adcp")
    decode(driver, (FOLDER / "BenchFile01.ad2cp").read_bytes())
    known = driver.description()
    assert (known["model"], known["serial"], known["firmware"]) == ("Signature500", "100259", "2203")
    assert (known["coordinates"], known["looks"], known["beam_angle_degree"]) == ("beam", "up", 25.0)
    assert known["modes"]["adcp"]["beam_to_instrument"][0] == [1.1831, 0.0, -1.1831, 0.0]
    assert known["beams"][1]["azimuth_degree"] == -90.0


def test_a_configuration_may_be_damaged_or_foreign() -> None:
    assert told("") == {}
    assert told("GETXFBURST,ROWS=9,COLS=x\r\n$GPGGA,1=\r\nID,SN=7\nGETBURST,NC=a,CY=BEAM") == {
        "serial": "7",
        "modes": {"adcp": {"coordinates": "beam"}},
    }


# Layouts without a recording


def df3(id_: int, configuration: int, geometry: int, blocks: bytes, **fields: Any) -> bytes:
    """A DF3 record of 76 bytes and blocks; fields as they stand in the manual's table."""
    body = bytearray(76)
    struct.pack_into("<BBHI6BH", body, 0, fields.get("version", 3), 76, configuration, 123, 126, 0, 1, 2, 3, 4, 5)
    struct.pack_into("<HhIHhhHHHBBH", body, 16, 15000, 1250, 9000, 1234, -56, 78, geometry, 500, 20, 70, 100, 148)
    struct.pack_into("<HHHbb", body, 52, 9000, fields.get("description", 0x4321), 20, fields.get("scaling", -3), -2)
    struct.pack_into("<hhHHII", body, 60, 0, 2100, 0, 0, fields.get("status", 2 | 5 << 25), 77)
    return record(id_, bytes(body) + blocks)


def test_every_block_of_the_configuration_is_read_in_its_place() -> None:
    velocity = np.array([[100, -200, -32768], [1, 2, 3], [7, 8, 9]], "<i2")
    blocks = (
        velocity.tobytes()
        + bytes(range(18))
        + struct.pack("<fHH", 12.5, 150, 1)
        + struct.pack("<fHhf8x", 13.25, 250, -7, 10.5)
        + np.arange(16, dtype="<f4").tobytes()[:0]
        + struct.pack("<16f", *([0.5] * 9), 1, 0, 0, 0, 1.5, -2.5, 3.5)
        + bytes([99, 98, 97])
        + struct.pack("<hhhh22xH", 11, 12, 13, 14, 0)
    )
    configuration = 0xF | 0x20 | 0x40 | 0x80 | 0x100 | 0x400 | 0x1000 | 0x2000 | 0x4000
    data = df3(0x16, configuration, 3 << 12 | 0 << 10 | 3, blocks)
    assert len(data) % 2 == 1  # the odd byte of the checksum
    (frame,) = decode(Ad2cp("adcp"), data)
    (frame,) = frames([frame])
    c = frame.columns
    assert frame.schema.kind == "adcp_average"
    assert str(frame.time[0].astype("M8[ns]")) == "2026-01-01T02:03:04.000500000"
    np.testing.assert_array_equal(c["eastward_sea_water_velocity"][0], [0.1, -0.2, np.nan])
    assert frame.missing("eastward_sea_water_velocity")[0].tolist() == [0, 0, Missing.INVALID]
    np.testing.assert_array_equal(c["upward_sea_water_velocity"][0], [0.007, 0.008, 0.009])
    assert c[f"{ECHO}_beam_2"][0].tolist() == [3, 4, 5]
    assert c[f"{CORRELATION}_beam_1"][0].tolist() == [9, 10, 11]
    got = {name: float(c[name][0]) for name in c if c[name].ndim == 1}
    expected = {
        "altimeter_distance_leading_edge": 12.5, "altimeter_quality_leading_edge": 1.5, "altimeter_status": 1,
        "altimeter_distance_ast": 13.25, "altimeter_quality_ast": 2.5, "altimeter_time_offset_ast": -0.0007,
        "altimeter_pressure": 10.5, "rotation_matrix_33": 0.5, "quaternion_w": 1, "gyroscope_y": -2.5,
        "standard_deviation_of_pitch": 0.11, "standard_deviation_of_heading": 0.13, "ensemble_number": 77,
        "speed_of_sound_in_sea_water": 1500.0, "sea_water_temperature": 12.5, "battery_voltage": 14.8,
        "sea_water_pressure_due_to_sea_water": 9.0, "platform_orientation": 12.34, "platform_pitch_fore_up": -0.56,
        "temperature_of_pressure_sensor": 16.0, "power_level": -2, "ambiguity_velocity": 9.0,
    }  # fmt: skip
    assert {name: got[name] for name in expected} == expected
    assert c["proportion_of_acceptable_signal_returns_from_acoustic_instrument_in_sea_water"][0].tolist() == [
        99,
        98,
        97,
    ]
    assert frame.schema.cells is not None
    assert (frame.schema.cells.first_m, frame.schema.cells.upward) == (0.7, False)  # 20 cm and a cell of 0.5 m


def test_sensors_that_the_record_marks_as_not_valid_are_missing() -> None:
    (frame,) = frames(decode(Ad2cp("adcp"), df3(0x15, 0xC, 0, b"")))
    for name in ("sea_water_pressure_due_to_sea_water", "sea_water_temperature"):
        assert frame.missing(name).tolist() == [Missing.INVALID]
        assert np.isnan(frame.columns[name]).all()
    assert frame.columns["platform_orientation"].tolist() == [12.34]


def test_blanking_is_in_millimetres_where_the_status_does_not_say_centimetres() -> None:
    (frame,) = frames(decode(Ad2cp("adcp"), df3(0x15, 0x4F, 1 << 12 | 2 << 10 | 2, bytes(2), status=0)))
    assert frame.schema.cells is not None
    assert frame.schema.cells.first_m == 0.52


def test_an_echo_sounder_has_as_many_cells_as_the_whole_word_says() -> None:
    levels = np.arange(700, dtype="<i2") - 5
    (frame,) = frames(decode(Ad2cp("adcp"), df3(0x1C, 0x80F, 700, levels.tobytes())))
    assert frame.schema.kind == "echosounder"
    np.testing.assert_array_equal(frame.columns["echosounder_signal_level"][0], levels / 100)
    decoded = decode(Ad2cp("adcp"), df3(0x1C, 0x80F, 4500, bytes(9000)))
    assert [kind for kind, _, _ in problems(decoded)] == ["unknown"]


def test_bottom_track_velocities_distances_and_merit() -> None:
    body = bytearray(78)
    struct.pack_into("<BBHI6BH", body, 0, 1, 78, 0x32F, 123, 126, 11, 31, 23, 59, 59, 9999)
    struct.pack_into("<HhIHhhHHH", body, 16, 15000, 1250, 9000, 1234, -56, 78, 4 << 12 | 2 << 10, 0, 0)
    struct.pack_into("<IHHbb", body, 52, 900000, 0x4321, 20, -5, 0)
    struct.pack_into("<III", body, 66, 1, 2, 3)
    body += (
        struct.pack("<4i", 123456, -3276800, 0, 1) + struct.pack("<4i", 25000, 0, 1, 2) + struct.pack("<4H", 1, 2, 3, 4)
    )
    (frame,) = frames(decode(Ad2cp("adcp"), record(0x17, bytes(body))))
    assert frame.schema.kind == "bottom_track"
    got = [float(frame.columns[f"bottom_track_velocity_beam_{i}"][0]) for i in (1, 2, 3, 4)]
    np.testing.assert_array_equal(got, [1.23456, np.nan, 0.0, 1e-5])
    got = [float(frame.columns[f"bottom_track_range_beam_{i}"][0]) for i in (1, 2, 3, 4)]
    np.testing.assert_array_equal(got, [25.0, np.nan, 0.001, 0.002])
    assert [int(frame.columns[f"bottom_track_figure_of_merit_beam_{i}"][0]) for i in (1, 2, 3, 4)] == [1, 2, 3, 4]
    assert str(frame.time[0].astype("M8[ns]")) == "2026-12-31T23:59:59.999900000"


@pytest.mark.parametrize(("id_", "track"), [(0x1B, "bottom_track"), (0x1D, "water_track")])
def test_a_dvl_speaks_in_floats(id_: int, track: str) -> None:
    body = struct.pack("<BBI6BHHIIfff", 1, 212, 99, 126, 0, 1, 0, 0, 0, 0, 4, 0, 7, 1501.5, 4.25, 2.5)
    body += struct.pack("<12f", 0.5, -32.768, 1, 2, 30, 0, 31, 32, 0.001, 10, 0.002, 0.003) + bytes(48)
    body += struct.pack("<8f", 0.1, 0.2, -32.768, float("nan"), 0.01, 0.02, 10, 10) + bytes(48)
    (frame,) = frames(decode(Ad2cp("adcp"), record(id_, body)))
    c = {name: float(column[0]) for name, column in frame.columns.items()}
    assert (c["sea_water_pressure_due_to_sea_water"], c["speed_of_sound_in_sea_water"]) == (25.0, 1501.5)
    assert (c[f"{track}_velocity_beam_1"], c[f"{track}_range_beam_4"]) == (0.5, 32.0)
    for name in ("velocity_beam_2", "range_beam_2", "velocity_uncertainty_beam_2", "z_velocity", "z_velocity_2"):
        assert frame.missing(f"{track}_{name}").tolist() == [Missing.INVALID]


def test_old_firmware_has_another_structure() -> None:
    body = bytearray(68)
    struct.pack_into("<BBIH6BH", body, 0, 2, 68, 55, 0xEF, 115, 5, 6, 7, 8, 9, 10)
    struct.pack_into(
        "<HhIHhhHHHHHHH", body, 16, 15000, 1250, 9000, 1234, -56, 78, 0, 0, 2 << 12 | 2 << 10 | 1, 1000, 300, 0, 120
    )
    body[62] = 0xFD
    (frame,) = frames(decode(Ad2cp("adcp"), record(0x15, bytes(body) + struct.pack("<hh4B", 5, -6, 1, 2, 3, 4))))
    c = frame.columns
    assert (c[f"{RADIAL}_beam_1"][0, 0], c[f"{RADIAL}_beam_2"][0, 0], c["battery_voltage"][0]) == (0.005, -0.006, 12.0)
    assert frame.schema.cells is not None
    assert frame.schema.cells.first_m == 1.3


def test_long_headers_and_records_that_are_not_decoded() -> None:
    raw = struct.pack("<BB6BHHIIIIf", 1, 32, 126, 0, 1, 0, 0, 0, 0, 0, 0, 9, 500, 0, 1e6) + bytes(4000)
    decoded = decode(
        Ad2cp("adcp"), record(0x23, raw, long=True) + record(0x26, bytes(100)) + df3(0x15, 0xF, 0, b"", version=9)
    )
    assert [f.schema.kind for f in frames(decoded)] == ["echosounder_raw"]
    assert [kind for kind, _, _ in problems(decoded)] == ["unknown", "unknown"]
    assert frames(decoded)[0].columns["raw_sample_count"].tolist() == [500]


@pytest.mark.parametrize("configuration", [0x20, 0x1000, 0x4000])
def test_a_record_shorter_than_its_configuration_is_refused(configuration: int) -> None:
    data = df3(0x15, configuration | 0xF, 4 << 12 | 2 << 10 | 10, bytes(5))
    assert problems(decode(Ad2cp("adcp"), data)) == [("syntax", 0, len(data))]


def test_dual_profiles_are_kinds_of_their_own() -> None:
    data = b"".join(df3(id_, 0x4F, 1 << 12 | 2 << 10 | 2, bytes(2)) for id_ in (0x15, 0x16, 0x15, 0x16))
    kinds = {f.schema.kind: len(f) for f in frames(decode(Ad2cp("adcp"), data))}
    assert kinds == {"adcp": 2, "adcp_average": 2}


# Any cutting, any damage


def stream() -> bytes:
    data = simulated(4, cells=6)
    spoilt = bytearray(simulated(1, cells=9, seed=3))
    spoilt[-20] ^= 8
    hot = df3(0x15, 0xF, 0, b"")
    hot = record(0x15, hot[10:26] + struct.pack("<Hh", 15000, 9900) + hot[30:])
    return b"".join(
        [
            b"\r\nOK\r\n\xa5",
            data,
            b"\xa5\x0a\x15",
            bytes(spoilt),
            hot,
            bytes(5000),
            data[:-1],
            data,
            data[: len(data) // 3],
        ]
    )


STREAM = stream()
WHOLE = decode(Ad2cp("adcp"), STREAM)


def test_a_damaged_stream_gives_its_good_records_and_reports_every_other_byte() -> None:
    kinds = [kind for kind, _, _ in problems(WHOLE)]
    assert kinds.count("checksum") == 2
    assert kinds.count("implausible") == 1
    assert kinds[-1] == "truncated"
    assert max(size for kind, _, size in problems(WHOLE) if kind == "noise") == NOISE
    offsets = [offset for _, offset, _ in problems(WHOLE)]
    assert offsets == sorted(offsets)
    assert set(kinds) <= set(Ad2cp.problems)


@PROBABLE
@given(st.sets(st.integers(0, len(STREAM)), max_size=40))
def test_cutting_never_matters(cuts: set[int]) -> None:
    decoded = decode(Ad2cp("adcp"), STREAM, cuts)
    assert by_kind(samples(decoded)) == by_kind(samples(WHOLE))
    assert problems(decoded) == problems(WHOLE)


@needs_recordings
def test_a_recording_in_small_pieces_is_the_same() -> None:
    data = (FOLDER / "Sig1000_BadTime01.ad2cp").read_bytes()[:60_000]
    whole = decode(Ad2cp("adcp"), data)
    decoded = decode(Ad2cp("adcp"), data, range(0, len(data), 331))
    assert by_kind(samples(decoded)) == by_kind(samples(whole))
    assert problems(decoded) == problems(whole)


GOOD = simulated(5, cells=7)
UNHURT = by_kind(samples(decode(Ad2cp("adcp"), GOOD)))


@PROBABLE
@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_one_damaged_byte_costs_its_record_alone(at: int, by: int) -> None:
    data = bytearray(GOOD)
    data[at] ^= by
    decoded = decode(Ad2cp("adcp"), bytes(data))
    left = by_kind(samples(decoded))
    assert len(left) in (len(UNHURT) - 1, len(UNHURT))  # a damaged text costs no sample
    assert all(sample in UNHURT for sample in left)
    assert problems(decoded)


@PROBABLE
@given(st.binary(max_size=2000), st.lists(st.integers(0, 2000), max_size=6))
def test_random_bytes_give_no_sample_and_are_all_reported(noise: bytes, syncs: list[int]) -> None:
    data = bytearray(noise)
    for at in syncs:
        data[at : at + 3] = b"\xa5\x0a\x15"
    decoded = decode(Ad2cp("adcp"), bytes(data))
    assert not frames(decoded)
    assert sum(size for _, _, size in problems(decoded)) == len(data)


def test_hostile_headers_cost_time_linear_in_the_bytes() -> None:
    header = b"\xa5\x0a\x15\x10" + struct.pack("<HH", 65000, 7)
    header += checksum(header).to_bytes(2, "little")
    started = time.perf_counter()
    for data in (header * 80_000, b"\xa5" * 400_000):
        assert not frames(decode(Ad2cp("adcp"), data, range(0, len(data), 4096)))
    assert time.perf_counter() - started < 10


def test_any_content_behind_right_checksums_gives_frames_or_problems() -> None:
    random = Random(1)
    driver, found = Ad2cp("adcp"), 0
    for _ in range(2000):
        body = bytearray(random.randbytes(random.choice([0, 5, 68, 76, 78, 100, 212, 300, 900])))
        if len(body) >= 76:
            body[0], body[1] = random.choice([1, 2, 3, 7]), random.choice([68, 76, 78])
            body[58] = body[60] = body[62] = random.choice([0, 255, 253, 251])
            geometry = random.randrange(6) << 12 | random.randrange(4) << 10 | random.randrange(9)
            body[30:32] = body[34:36] = geometry.to_bytes(2, "little")
            body[3] = random.choice([0, 1, 5, 7, 16, 32, 64, 8, 9])
        id_ = random.choice([*range(0x15, 0x25), 0xA0, random.randrange(256)])
        for item in driver.feed(record(id_, bytes(body), long=random.random() < 0.2), UNKNOWN):
            if isinstance(item, Problem):
                assert item.kind in Ad2cp.problems
            else:
                encode_frame(item)
                found += 1
    assert driver.finish() == []
    assert found > 300


def test_a_damaged_size_does_not_hold_back_what_follows() -> None:
    driver = Ad2cp("adcp")
    first, second = df3(0x15, 0xF, 0, b""), df3(0x16, 0xF, 0, b"")
    driver.feed(first[:5] + b"\xff" + first[6:], UNKNOWN)
    noise, frame = driver.feed(second, UNKNOWN)
    assert isinstance(noise, Problem)
    assert (noise.kind, noise.size) == ("noise", len(first))
    assert len(frames([frame])) == 1


def test_the_wire_gives_back_every_value() -> None:
    for frame in frames(WHOLE):
        back = decode_frame(encode_frame(frame), {frame.schema.id: frame.schema})
        assert samples([back]) == samples([frame])


def test_it_is_installed() -> None:
    driver = load("nortek_ad2cp")("adcp")
    assert isinstance(driver, Ad2cp)
    assert driver.schemas() == ()
    driver.feed(GOOD, UNKNOWN)
    assert {schema.kind for schema in driver.schemas()} == {"adcp", "adcp_vertical_beam", "adcp_average"}


# The simulator


@PROBABLE
@given(cells=st.integers(1, 40), seed=st.integers(0, 5), cut=st.integers(1, 997))
def test_the_driver_finds_all_that_the_simulator_said(cells: int, seed: int, cut: int) -> None:
    simulator = SignatureSimulator(cells=cells, seed=seed)
    data = b"".join(simulator.tick(START_NS + i * 250_000_000) for i in range(25))
    said = simulator.take_said()
    assert said
    decoded = decode(Ad2cp("adcp"), data, range(cut, len(data), cut))
    assert problems(decoded) == []
    found = {}
    for frame in frames(decoded):
        for i, moment in enumerate(frame.time.tolist()):
            found[frame.schema.kind, moment] = {
                name: [None if m else v for v, m in zip(np.atleast_1d(column[i]).tolist(),
                                                        np.atleast_1d(frame.missing(name)[i]).tolist(), strict=True)]
                for name, column in frame.columns.items()
            }  # fmt: skip
    assert len(found) == len(said)
    for sample in said:
        (match,) = [
            values
            for (_, moment), values in found.items()
            if moment == sample.time_ns and sample.values.keys() == values.keys()
        ]
        for name, value in sample.values.items():
            assert match[name] == (value if isinstance(value, list) else [value]), name
