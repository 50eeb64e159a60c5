"""Classic Nortek records against OOI's values, and against every way in which bytes can go wrong."""

import struct
from random import Random
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.driver import Problem, load
from drivers.nortek.classic import Classic, ClassicSettings
from drivers.nortek.framing import checksum
from drivers.simulators.aquadopp import AquadoppSimulator, classic
from tests.drivers.decoded import frames, problems, samples
from tests.drivers.nortek.streams import by_kind, decode, joined
from tests.recordings import DATA, needs_recordings
from tidegate.clock import NAT, UNKNOWN, Arrival, TimeSource
from tidegate.codec import encode_frame
from tidegate.frame import Missing

PROBABLE = settings(max_examples=60, derandomize=True, deadline=None)
FOLDER = DATA / "adcp/nortek_classic_ooi"
ECHO = "signal_intensity_from_multibeam_acoustic_doppler_velocity_sensor_in_sea_water"
START_NS = 1_767_225_600_000_000_000
KINDS = {
    "velpt_ab_dcl_instrument": "current_meter",
    "velpt_ab_dcl_diagnostics": "current_meter_diagnostics",
    "velpt_ab_dcl_diagnostics_metadata": "diagnostics_header",
}


@needs_recordings
@pytest.mark.parametrize("name", ["20140813.velpt", "20150428.velpt2"])
def test_values_equal_those_of_ooi(name: str) -> None:
    decoded = decode(Classic("velpt"), (FOLDER / f"{name}.log").read_bytes())
    assert problems(decoded) == []
    particles = yaml.safe_load((FOLDER / f"{name}.yml").read_text())["data"]
    for particle, kind in KINDS.items():
        expected = [p for p in particles if p["particle_type"] == particle]
        assert expected or "diagnostics" in kind
        if not expected:
            continue
        ours = joined(decoded, kind)
        assert len(ours["time"]) == len(expected)

        def column(key: str, expected: list[dict[str, Any]] = expected) -> np.ndarray:
            return np.array([p[key] for p in expected])

        if kind == "diagnostics_header":
            for i in range(1, 5):
                for parameter, key in (
                    ("noise_amplitude", "noise_amplitude"),
                    ("processing_magnitude", "processing_magnitude"),
                    ("diagnostics_distance", "distance"),
                ):
                    np.testing.assert_array_equal(ours[f"{parameter}_beam_{i}"], column(f"{key}_beam{i}"))
            np.testing.assert_array_equal(ours["diagnostics_records"], column("records_to_follow"))
            continue
        seconds = column("internal_timestamp") - 2_208_988_800
        np.testing.assert_array_equal(ours["time"], (seconds * 1000).round().astype(np.int64) * 1_000_000)
        for parameter, key, scale in (
            ("device_error", "error_code", 1),
            ("auxiliary_counts_1", "analog1", 1),
            ("battery_voltage", "battery_voltage_dV", 10),
            ("speed_of_sound_in_sea_water", "sound_speed_dms", 10),
            ("platform_orientation", "heading_decidegree", 10),
            ("platform_pitch_fore_up", "pitch_decidegree", 10),
            ("platform_roll_starboard_down", "roll_decidegree", 10),
            ("sea_water_pressure_due_to_sea_water", "pressure_mbar", 1000),
            ("device_status", "status", 1),
        ):
            np.testing.assert_array_equal(ours[parameter], column(key) / scale)
        # OOI's 100 times a temperature cuts its fraction off: 4.27 degrees (427 in the record) are 426 there.
        centidegrees = np.trunc(ours["sea_water_temperature"] * 100)
        np.testing.assert_array_equal(centidegrees, column("temperature_centidegree"))
        for i in (1, 2, 3):
            np.testing.assert_array_equal(ours[f"sea_water_velocity_component_{i}"], column(f"velocity_beam{i}") / 1000)
            np.testing.assert_array_equal(ours[f"{ECHO}_beam_{i}"], column(f"amplitude_beam{i}"))


# Damage as in OOI's corrupted files: wrong checksums, missing and extra bytes, wrong ids


def velocities(count: int, **how: Any) -> list[bytes]:
    simulator = AquadoppSimulator(**how)
    step_ns = round(simulator.interval_s * 1e9)
    simulator.tick(START_NS)
    return [simulator.tick(START_NS + (i + 1) * step_ns) for i in range(count)]


@pytest.mark.parametrize(
    ("damage", "kind", "size"),
    [
        (lambda r: r[:-1] + bytes([r[-1] ^ 1]), "checksum", 42),
        (lambda r: r[:20], "checksum", 20),
        (lambda r: r[:1] + b"\x99" + r[2:], "noise", 42),
        (lambda r: r[:2] + b"\x25\x00" + r[4:], "noise", 42),
        (lambda r: b"\xff" * 42, "noise", 42),
        (lambda r: b"\xa5\xa5" + r, "noise", 2),
        (lambda r: classic(0x51, bytes(20)), "unknown", 26),
    ],
)
def test_a_damaged_record_is_refused_and_its_neighbours_found(damage: Any, kind: str, size: int) -> None:
    a, b, c = velocities(3)
    decoded = decode(Classic("aqd"), a + damage(b) + c)
    assert problems(decoded) == [(kind, 42, size)]
    kept = 3 if size == 2 else 2
    assert sum(map(len, frames(decoded))) == kept
    assert {kind for kind, _, _ in problems(decoded)} <= set(Classic.problems)


STREAM = (
    b"".join(velocities(4))
    + b"junk\xa5\x01"
    + velocities(1)[0][:-3]
    + b"".join(velocities(3, seed=2))
    + b"\xa5\x10"
    + velocities(1)[0][:30]
)
WHOLE = decode(Classic("aqd"), STREAM)


@PROBABLE
@given(st.sets(st.integers(0, len(STREAM)), max_size=30))
def test_cutting_never_matters(cuts: set[int]) -> None:
    decoded = decode(Classic("aqd"), STREAM, cuts)
    assert by_kind(samples(decoded)) == by_kind(samples(WHOLE))
    assert problems(decoded) == problems(WHOLE)


@needs_recordings
@pytest.mark.parametrize("name", ["20140813.velpt", "20150428.velpt2"])
def test_a_recording_byte_by_byte_is_the_same(name: str) -> None:
    data = (FOLDER / f"{name}.log").read_bytes()
    assert by_kind(samples(decode(Classic("a"), data, range(1, len(data))))) == by_kind(
        samples(decode(Classic("a"), data))
    )


@PROBABLE
@given(st.binary(max_size=1500), st.lists(st.integers(0, 1500), max_size=6))
def test_random_bytes_give_no_sample(noise: bytes, syncs: list[int]) -> None:
    data = bytearray(noise)
    for at in syncs:
        data[at : at + 4] = b"\xa5\x01\x15\x00"
    assert not frames(decode(Classic("aqd"), bytes(data)))


@PROBABLE
@given(st.integers(0, 42 * 4 - 1), st.integers(1, 255))
def test_one_damaged_byte_costs_its_record_alone(at: int, by: int) -> None:
    good = b"".join(velocities(4))
    data = bytearray(good)
    data[at] ^= by
    left = samples(decode(Classic("aqd"), bytes(data)))
    whole = samples(decode(Classic("aqd"), good))
    assert left == whole[: at // 42] + whole[at // 42 + 1 :]


def test_any_content_behind_right_checksums_gives_frames_or_problems() -> None:
    random = Random(1)
    driver, found = Classic("aqd"), 0
    sizes = {0x00: 512, 0x01: 42, 0x04: 224, 0x05: 48, 0x06: 36, 0x11: 28, 0x12: 42, 0x30: 24, 0x31: 60, 0x60: 80}
    for _ in range(2000):
        id_ = random.choice([*sizes, 0x20, 0x21, 0x2A, 0x71, 0x51])
        size = sizes.get(id_, random.choice([8, 36, 56, 60, 86, 120, 130, 302]))
        for item in driver.feed(classic(id_, random.randbytes(size - 6)), UNKNOWN):
            if isinstance(item, Problem):
                assert item.kind in Classic.problems
            else:
                encode_frame(item)
                found += 1
    assert driver.finish() == []
    assert found > 300


# Layouts without a recording


def configurations(coordinates: int = 0, beams: int = 3, cells: int = 2, frequency: int = 1000) -> bytes:
    hardware, head, user = bytearray(42), bytearray(218), bytearray(506)
    hardware[:14] = b"AQD 8493      "
    struct.pack_into("<HHH", head, 0, 7, frequency, 1)
    struct.pack_into("<9h", head, 26, *(4096 * i for i in (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    struct.pack_into("<18H", user, 0, 0, 40, 0, 0, 0, 0, 64, beams, 0, 0, 0, 0, 0, 0, coordinates, cells, 1024, 0)
    return classic(0x05, bytes(hardware)) + classic(0x04, bytes(head)) + classic(0x00, bytes(user))


CLOCK = bytes([0x34, 0x56, 0x31, 0x12, 0x24, 0x12])
HEAD = CLOCK + struct.pack("<HHHHhhhBBHh", 1, 2, 148, 15000, 1234, -5, 6, 1, 0x10, 500, 1250)


def test_the_configurations_give_names_geometry_and_matrix() -> None:
    driver = Classic("aqd")
    profile = classic(0x21, HEAD + struct.pack("<6h6B", 1, 2, 3, 4, -32768, 6, 7, 8, 9, 10, 11, 12))
    (frame,) = frames(decode(driver, configurations() + profile))
    assert frame.columns["eastward_sea_water_velocity"].tolist() == [[0.001, 0.002]]
    assert frame.missing("upward_sea_water_velocity")[0].tolist() == [Missing.INVALID, 0]
    assert frame.columns[f"{ECHO}_beam_3"].tolist() == [[11, 12]]
    assert frame.columns["sea_water_pressure_due_to_sea_water"].tolist() == [66.036]
    assert str(frame.time[0].astype("M8[ns]")) == "2024-12-31T12:34:56.000000000"
    told = driver.description()
    assert (told["model"], told["serial"], told["coordinates"]) == ("Aquadopp", "AQD 8493", "earth")
    assert told["beam_to_instrument"] == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    assert frame.schema.cells is not None
    # MHKiT: 1024 counts at 1 MHz are cells of 0.17 m; 40 counts of blanking leave the first at 0.82 m.
    assert (frame.schema.cells.size_m, frame.schema.cells.first_m, frame.schema.cells.upward) == (0.17, 0.82, True)


def test_a_profiler_that_is_turned_over_has_another_schema() -> None:
    up, down = HEAD, HEAD[:21] + b"\x11" + HEAD[22:]
    data = b"".join(classic(0x21, head + bytes(10)) for head in (up, up, down))
    looks = [(f.schema.cells.upward, len(f)) for f in frames(decode(Classic("aqd"), data)) if f.schema.cells]
    assert looks == [(True, 2), (False, 1)]


def test_profiles_of_the_awac_and_of_high_resolution() -> None:
    awac = classic(0x20, HEAD + bytes(88) + struct.pack("<3h3Bx", 1, 2, 3, 4, 5, 6))
    hr = (
        CLOCK
        + struct.pack("<HHHHhhhBBHhHHBB", 250, 1, 148, 15000, 1234, -5, 6, 0, 0, 500, 1250, 7, 8, 2, 2)
        + bytes(18)
    )
    hr = classic(0x2A, hr + struct.pack("<4h8B", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12))
    decoded = decode(Classic("a", ClassicSettings(coordinates="beam")), awac + hr)
    assert problems(decoded) == []
    first, second = frames(decoded)
    assert first.columns["radial_sea_water_velocity_away_from_instrument_beam_3"].tolist() == [[0.003]]
    assert second.columns["radial_sea_water_velocity_away_from_instrument_beam_2"].tolist() == [[0.003, 0.004]]
    assert str(second.time[0].astype("M8[ns]")) == "2024-12-31T12:34:56.250000000"
    assert second.columns["auxiliary_counts_2"].tolist() == [8]


def vector(count: int) -> bytes:
    head = b"\xa5\x10" + struct.pack("<BBBBHH3h6B", 0, count, 1, 0, 500, 9, 10, -20, 30, 1, 2, 3, 97, 98, 99)
    return head + checksum(head).to_bytes(2, "little")


def test_a_vectors_velocities_are_counted_on_from_its_system_record() -> None:
    system = classic(0x11, CLOCK + struct.pack("<HHHhhhBBH", 148, 15000, 1234, -5, 6, 1250, 0, 0x10, 7))
    header = classic(0x12, CLOCK + struct.pack("<H8B", 0, 11, 12, 13, 0, 21, 22, 23, 0) + bytes(20))
    at = Arrival(START_NS, 1, "b", True)
    data = vector(1) + configurations() + header + system + b"".join(vector(i) for i in range(4))
    decoded = decode(Classic("vec"), data, at=at)
    assert problems(decoded) == []
    parts = [f for f in frames(decoded) if f.schema.kind == "velocimeter"]
    assert [(len(f), f.source) for f in parts] == [(1, TimeSource.ARRIVAL), (4, TimeSource.INSTRUMENT)]
    since = int(np.datetime64("2024-12-31T12:34:56", "ns").astype(np.int64))
    assert (parts[1].time - since).tolist() == [0, 125_000_000, 250_000_000, 375_000_000]  # 64/512 s
    assert parts[1].columns["sea_water_pressure_due_to_sea_water"].tolist() == [66.036] * 4
    assert parts[1].columns["northward_sea_water_velocity"].tolist() == [-0.02] * 4
    assert parts[0].columns["sea_water_velocity_component_2"].tolist() == [-0.02]


def test_wave_bursts_and_wave_parameters() -> None:
    header = classic(0x31, CLOCK + struct.pack("<HHHHhhhHHh", 2, 30, 148, 15000, 1234, -5, 6, 1, 2, 1250) + bytes(28))
    wave = classic(0x30, struct.pack("<HHHhhhH4B", 20000, 18500, 7, 1, 2, 3, 18600, 9, 8, 7, 6))
    body = CLOCK + struct.pack("<BB10H", 3, 4, 1250, 1100, 1500, 2100, 560, 800, 520, 12345, 2500, 13000)
    body += struct.pack("<hIHHHHI", 100, 21000, 1, 2, 350, 9000, 0) + bytes(28)
    decoded = decode(Classic("awac"), configurations() + header + wave + wave + classic(0x60, body))
    assert problems(decoded) == []
    burst = joined(decoded, "wave_burst")
    assert np.diff(burst["time"]).tolist() == [1_000_000_000]
    assert burst["altimeter_distance"].tolist() == [18.5, 18.5]
    waves = joined(decoded, "waves")
    assert waves["sea_surface_wave_significant_height"].tolist() == [1.25]
    assert waves["sea_surface_wave_from_direction_at_variance_spectral_density_maximum"].tolist() == [123.45]


def test_a_clock_that_shows_nonsense_gives_the_time_to_the_arrival() -> None:
    at = Arrival(START_NS, 1, "b", True)
    record = classic(0x01, b"\x6f" + HEAD[1:] + struct.pack("<3h3Bx", 1, 2, 3, 4, 5, 6))
    decoded = decode(Classic("aqd"), record, at=at)
    assert problems(decoded) == [("implausible", 0, 42)]
    assert frames(decoded)[0].time.tolist() == [START_NS]
    assert frames(decode(Classic("aqd"), record))[0].time.tolist() == [NAT]


# The conversation


def test_answers_at_the_prompt_are_no_noise() -> None:
    a, b = velocities(2)
    for answer in (b"\x06\x06", b"\x15\x15", b"\x34\x12\x06\x06", CLOCK + b"\x06\x06", b"AQD 8493      \x06\x06"):
        decoded = decode(Classic("aqd"), a + answer + b)
        assert problems(decoded) == []
        assert len(samples(decoded)) == 2


def test_a_poll_is_answered_by_the_simulator() -> None:
    simulator = AquadoppSimulator()
    assert simulator.receive(b"@@@@@@K1W%!Q", START_NS).startswith(b"\x06\x06")
    assert simulator.receive(b"MC", START_NS).endswith(b"\x06\x06")
    assert simulator.tick(START_NS + 5_000_000_000) == b""
    driver = Classic("aqd")
    decoded = decode(driver, simulator.receive(driver.poll(), START_NS))
    (said,) = simulator.take_said()
    assert problems(decoded) == []
    assert frames(decoded)[0].time.tolist() == [said.time_ns]
    assert simulator.receive(b"ZZ", START_NS) == b"\x15\x15"
    assert simulator.receive(b"ST", START_NS) == b"\x06\x06"
    assert simulator.tick(START_NS + 9_000_000_000) != b""


@PROBABLE
@given(seed=st.integers(0, 9), cut=st.integers(1, 97))
def test_the_driver_finds_all_that_the_simulator_said(seed: int, cut: int) -> None:
    simulator = AquadoppSimulator(seed=seed)
    data = b"".join(simulator.tick(START_NS + i * 1_000_000_000) for i in range(8))
    said = simulator.take_said()
    decoded = decode(Classic("aqd"), data, range(cut, len(data), cut))
    assert problems(decoded) == []
    ours = joined(decoded, "current_meter")
    assert ours["time"].tolist() == [sample.time_ns for sample in said]
    assert ours.keys() - {"time"} == said[0].values.keys()
    for name in said[0].values:
        np.testing.assert_array_equal(ours[name], [sample.values[name] for sample in said])


def test_it_is_installed() -> None:
    driver = load("nortek_classic")("aqd")
    assert isinstance(driver, Classic)
    driver.feed(velocities(1)[0], UNKNOWN)
    assert [schema.kind for schema in driver.schemas()] == ["current_meter"]
    assert len(Classic.guesses()) == 1
