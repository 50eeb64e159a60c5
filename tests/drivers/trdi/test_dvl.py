"""DVL formats: the manuals' own numbers, the simulator, and every way in which bytes can go wrong."""

import time
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.driver import Decoded, load
from drivers.simulators.dvl import DvlSimulator
from drivers.simulators.simulator import Mischief
from drivers.trdi.dvl import Dvl
from drivers.trdi.setup import Settings
from tests.drivers.decoded import frames, problems, samples
from tests.drivers.trdi.test_setup import set_up
from tidegate.clock import UNKNOWN, Arrival, TimeSource
from tidegate.codec import decode_frame, encode_frame
from tidegate.frame import Missing

START_NS = 1_767_225_600_000_000_000  # 2026-01-01
AT = Arrival(START_NS, 0, "", True)
PROBABLE = settings(max_examples=60, derandomize=True, deadline=None)


def decode(data: bytes, cuts: Iterable[int] = (), at: Arrival = AT) -> list[Decoded]:
    driver = Dvl("dvl")
    decoded: list[Decoded] = []
    for a, b in pairwise([0, *sorted(cuts), len(data)]):
        decoded += driver.feed(data[a:b], at)
    decoded += driver.finish()
    assert {kind for kind, _, _ in problems(decoded)} <= set(Dvl.problems)
    return decoded


def joined(decoded: Sequence[Decoded]) -> dict[str, np.ndarray]:
    parts = frames(decoded)
    columns = {name: np.concatenate([f.columns[name] for f in parts]) for name in parts[0].schema.by_name}
    return {"time": np.concatenate([f.time for f in parts]), **columns}


def simulated(count: int, **how: Any) -> list[bytes]:
    simulator = DvlSimulator(**how)
    assert simulator.tick(START_NS) == b""
    return [simulator.tick(START_NS + 1_000_000_000 * (i + 1)) for i in range(count)]


def record(*, kind: int = 1, system: int = 0xF3, velocity: Sequence[int] = (1, -2, 3, -32768)) -> bytes:
    """A record by the tables of the manual (bytes counted from 1 there)."""
    body = bytearray(86 if kind else 45)
    body[0:5] = bytes([0x7D, kind, len(body), 0, system])
    body[5:13] = np.array(velocity, "<i2").tobytes()
    body[13:21] = np.array([1234, 0, 65535, 1], "<u2").tobytes()
    body[21] = 0x81
    body[22:30] = np.array([-100, 200, -32768, 0], "<i2").tobytes()
    body[30:34] = np.array([25, 350], "<u2").tobytes()
    body[34] = 0x10
    body[35:39] = bytes([23, 59, 58, 99])
    body[39:45] = np.array([0, 1500, 65536 - 123], "<u2").tobytes()
    if kind:
        body[45:48] = bytes([35, 0xD2, 0x04])
        body[48:54] = np.array([65536 - 150, 250, 35999], "<u2").tobytes()
        body[54:86] = np.array([1, -2, 30, 4, 5, 6, -70000, 8], "<i4").tobytes()
    return bytes(body) + (sum(body) & 0xFFFF).to_bytes(2, "little")


# The groups as the Pathfinder guide writes them (tables 50 and 51), with numbers in the places of its letters.
GROUP = (
    b":SA, -2.31, +0.92,179.27\r\n"
    b":TS,17040616233496,35.0,+21.5, 102.3,1529.7,  0\r\n"
    b":WI,  +120,  -345,    +6,    +2,A\r\n"
    b":WS,  -345,  +120,    -6,A\r\n"
    b":WE,   +11,   -22,   +33,A\r\n"
    b":WD,+00000012.34,-00000005.60,+00000000.07,  20.00,  0.10\r\n"
    b":BI,  +130,  -350,    +7,    -3,A\r\n"
    b":BS,  -350,  +130,    -7,A\r\n"
    b":BE,-32768,-32768,-32768,V\r\n"
    b":BD,+00000100.01,-00000200.02,+00000003.03,  45.67,  1.50\r\n"
    b":HM,G,L,0DC0,0008,23.012, 0.512,44.900\r\n"
)


def test_a_group_of_pd6_lines_is_one_sample() -> None:
    decoded = decode(GROUP)
    (frame,) = frames(decoded)
    assert problems(decoded) == []
    assert frame.source is TimeSource.INSTRUMENT
    assert str(frame.time[0].astype("M8[ns]")) == "2017-04-06T16:23:34.960000000"
    expected = {
        "platform_pitch_fore_up": -2.31,
        "platform_roll_starboard_down": 0.92,
        "platform_orientation": 179.27,
        "sea_water_practical_salinity": 35.0,
        "sea_water_temperature": 21.5,
        "depth": 102.3,
        "speed_of_sound_in_sea_water": 1529.7,
        "built_in_test_result": 0,
        "dvl_water_track_x_velocity": 0.12,
        "dvl_water_track_y_velocity": -0.345,
        "dvl_water_track_z_velocity": 0.006,
        "dvl_water_track_error_velocity": 0.002,
        "dvl_water_track_starboard_velocity": -0.345,
        "dvl_water_track_forward_velocity": 0.12,
        "dvl_water_track_normal_velocity": -0.006,
        "dvl_water_track_eastward_velocity": 0.011,
        "dvl_water_track_northward_velocity": -0.022,
        "dvl_water_track_upward_velocity": 0.033,
        "water_track_distance_east": 12.34,
        "water_track_distance_north": -5.6,
        "water_track_distance_up": 0.07,
        "water_track_range": 20.0,
        "water_track_time_since_good": 0.1,
        "dvl_bottom_track_x_velocity": 0.13,
        "dvl_bottom_track_error_velocity": -0.003,
        "dvl_bottom_track_forward_velocity": 0.13,
        "bottom_track_distance_east": 100.01,
        "bottom_track_range": 45.67,
        "bottom_track_time_since_good": 1.5,
        "leak_sensor_a": 0x0DC0,
        "leak_sensor_b": 8,
        "transmit_voltage": 23.012,
        "transmit_current": 0.512,
        "transducer_impedance": 44.9,
    }
    for name, value in expected.items():
        assert frame.columns[name][0] == value, name
    for axis in ("eastward", "northward", "upward"):
        assert np.isnan(frame.columns[f"dvl_bottom_track_{axis}_velocity"][0])
        assert frame.missing(f"dvl_bottom_track_{axis}_velocity")[0] == Missing.INVALID
    back = decode_frame(encode_frame(frame), {frame.schema.id: frame.schema})
    assert samples([back]) == samples([frame])


def test_a_damaged_line_costs_its_values_alone() -> None:
    spoilt = GROUP.replace(b":BI,  +130", b":BI,  +1x0")
    decoded = decode(GROUP + spoilt + GROUP)
    (kind, offset, size) = problems(decoded)[0]
    assert (kind, len(problems(decoded))) == ("syntax", 1)
    assert (GROUP + spoilt)[offset : offset + size].startswith(b":BI,  +1x0")
    ours = joined(decoded)
    assert len(ours["time"]) == 3
    assert np.isnan(ours["dvl_bottom_track_x_velocity"]).tolist() == [False, True, False]
    assert ours["dvl_bottom_track_forward_velocity"].tolist() == [0.13] * 3
    reasons = np.concatenate([f.missing("dvl_bottom_track_x_velocity") for f in frames(decoded)])
    assert reasons.tolist() == [0, Missing.UNREADABLE, 0]


def test_a_lost_first_line_does_not_mix_two_samples() -> None:
    second = GROUP.replace(b":SA,", b"?SA,").replace(b"+21.5", b"+11.5")
    ours = joined(decode(GROUP + second))
    assert ours["sea_water_temperature"].tolist() == [21.5, 11.5]
    assert ours["platform_orientation"][0] == 179.27
    assert np.isnan(ours["platform_orientation"][1])


@pytest.mark.parametrize("kind", [0, 1])
@pytest.mark.parametrize(
    ("system", "axes"),
    [
        (0x33, ("beam_1", "beam_2", "beam_3", "beam_4")),
        (0x73, ("x", "y", "z", "error")),
        (0xB3, ("starboard", "forward", "normal", "error")),
        (0xF3, ("eastward", "northward", "upward", "error")),
    ],
)
def test_records_by_the_tables_of_the_manual(kind: int, system: int, axes: tuple[str, ...]) -> None:
    decoded = decode(record(kind=kind, system=system))
    assert problems(decoded) == []
    (frame,) = frames(decoded)
    assert frame.schema.kind == f"dvl_pd{4 + kind}"
    # 23:59:58.99, and it arrived at midnight.
    assert str(frame.time[0].astype("M8[ns]")) == "2025-12-31T23:59:58.990000000"
    values = {name: column[0] for name, column in frame.columns.items()}
    assert [values[f"dvl_bottom_track_{axis}_velocity"] for axis in axes] == pytest.approx(
        [0.001, -0.002, 0.003, np.nan], nan_ok=True
    )
    assert [values[f"dvl_water_track_{axis}_velocity"] for axis in axes] == pytest.approx(
        [-0.1, 0.2, np.nan, 0], nan_ok=True
    )
    assert [values[f"bottom_track_range_beam_{b}"] for b in (1, 2, 3, 4)] == pytest.approx(
        [12.34, np.nan, 655.35, 0.01], nan_ok=True
    )
    assert (values["water_track_layer_start"], values["water_track_layer_end"]) == (2.5, 35.0)
    assert (values["bottom_track_status"], values["water_track_status"]) == (0x81, 0x10)
    assert (values["speed_of_sound_in_sea_water"], values["sea_water_temperature"]) == (1500, -1.23)
    if kind:
        assert (values["depth"], values["platform_pitch_fore_up"]) == (123.4, -1.5)
        assert (values["platform_roll_starboard_down"], values["platform_orientation"]) == (2.5, 359.99)
        assert [values[f"bottom_track_distance_{way}"] for way in ("east", "north", "up", "error")] == [
            *(0.1, -0.2, 3.0, 0.4)
        ]
        assert values["water_track_distance_up"] == -7000.0
    back = decode_frame(encode_frame(frame), {frame.schema.id: frame.schema})
    assert samples([back]) == samples([frame])


def stream() -> bytes:
    lines, records = simulated(6), simulated(6, output="PD5", seed=3)
    spoilt = bytearray(records[2])
    spoilt[40] ^= 8
    return b"".join(
        [
            b"\r\nPathfinder DVL\r\n>",
            *lines[:3],
            lines[3].replace(b":TS,26", b":TS,2x"),
            *records[:2],
            bytes(spoilt),
            records[3],
            record(kind=0),
            b"}\x00-",
            lines[4][:-20],
            records[4],
            b"x" * 400,
            records[5][:50],
        ]
    )


STREAM = stream()
WHOLE = decode(STREAM)


def test_a_mixed_stream_gives_its_samples_and_says_what_is_wrong() -> None:
    kinds = [frame.schema.kind for frame in frames(WHOLE) for _ in range(len(frame))]
    assert kinds.count("dvl_pd6") == 5
    assert kinds.count("dvl_pd5") == 4
    assert kinds.count("dvl_pd4") == 1
    said = [kind for kind, _, _ in problems(WHOLE)]
    assert said.count("checksum") == 1
    assert said[-1] == "truncated"
    assert "noise" in said
    for kind, offset, size in problems(WHOLE):
        assert offset + size <= len(STREAM)
        if kind == "checksum":
            assert (size, STREAM[offset : offset + 2]) == (88, b"\x7d\x01")


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


RECORDS = b"".join(simulated(6, output="PD5"))


@PROBABLE
@given(st.integers(0, len(RECORDS) - 1), st.integers(1, 255))
def test_one_damaged_byte_costs_its_record_alone(at: int, by: int) -> None:
    data = bytearray(RECORDS)
    data[at] ^= by
    whole, hurt = samples(decode(RECORDS)), at // 88
    decoded = decode(bytes(data))
    assert samples(decoded) == whole[:hurt] + whole[hurt + 1 :]
    assert problems(decoded)


@PROBABLE
@given(st.binary(max_size=2000), st.integers(0, 2000), st.lists(st.integers(0, 2000), max_size=6))
def test_random_bytes_give_no_sample(noise: bytes, cut: int, syncs: list[int]) -> None:
    data = bytearray(noise)
    for at in syncs:
        data[at : at + 4] = b"\x7d\x01\x56\x00"
    assert not frames(decode(bytes(data), [min(cut, len(data))]))


@pytest.mark.parametrize("data", [b"\x7d\x01\x56\x00" * 50_000, b"\x7d" * 200_000, b":SA," * 50_000, b":\r\n" * 60_000])
def test_hostile_bytes_cost_time_linear_in_them(data: bytes) -> None:
    started = time.perf_counter()
    assert not frames(decode(data, range(0, len(data), 4096)))
    assert time.perf_counter() - started < 10


@PROBABLE
@given(
    output=st.sampled_from(["PD5", "PD6"]),
    seed=st.integers(0, 5),
    interval_s=st.sampled_from([0.2, 1.0, 60.0]),
    cut=st.integers(1, 397),
)
def test_the_driver_finds_all_that_the_simulator_said(output: Any, seed: int, interval_s: float, cut: int) -> None:
    mischief = Mischief(period=5, spikes=(1,), spike_by=2.5, wild=(3,), wild_value=9.0)
    simulator = DvlSimulator(output=output, seed=seed, interval_s=interval_s, mischief=mischief)
    step_ns = round(interval_s * 1e9)
    data = b"".join(simulator.tick(START_NS + i * step_ns // 4) for i in range(48))
    said = simulator.take_said()
    assert len(said) == 11
    decoded = decode(data, range(cut, len(data), cut))
    assert problems(decoded) == []
    ours = joined(decoded)
    assert ours["time"].tolist() == [sample.time_ns for sample in said]
    assert ours.keys() - {"time"} == said[0].values.keys()
    for name in said[0].values:
        expected = np.array([sample.values[name] for sample in said], float)
        np.testing.assert_allclose(ours[name].astype(float), expected, atol=1e-9)


def test_times_without_an_arrival_are_unknown_and_nonsense_is_said() -> None:
    (frame,) = frames(decode(record(), at=UNKNOWN))
    assert frame.source is TimeSource.ARRIVAL
    body = bytearray(record()[:-2])
    body[35] = 24
    decoded = decode(bytes(body) + (sum(body) & 0xFFFF).to_bytes(2, "little"))
    assert [kind for kind, _, _ in problems(decoded)] == ["implausible"]
    assert frames(decoded)[0].time.tolist() == [START_NS]
    no_date = decode(GROUP.replace(b"170406", b"170431"))
    assert [kind for kind, _, _ in problems(no_date)] == ["implausible"]
    assert frames(no_date)[0].source is TimeSource.ARRIVAL
    hot = decode(GROUP.replace(b"+21.5", b"+91.5"))
    assert frames(hot)[0].missing("sea_water_temperature")[0] == Missing.IMPLAUSIBLE


def test_it_is_installed_and_sets_up_what_it_is_told() -> None:
    driver = load("trdi_dvl")("dvl", Settings(setup=("CR1", "PD6", "BP001")))
    driver.feed(record(), AT)
    assert driver.description()["frequency_khz"] == 600
    assert set_up(driver, DvlSimulator()) == [b"===", b"CR1\r", b"PD6\r", b"BP001\r", b"CS\r"]
    with pytest.raises(ValueError, match="no set-up command"):
        Settings(setup=("rm -rf",))
    with pytest.raises(ValueError, match="interval_s"):
        DvlSimulator(interval_s=0.01)
