"""SDI-12: the manuals' own words, the conversation with a bus, and answers that are damaged, late or missing."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from drivers.driver import Decoded, Driver, Problem, load
from drivers.sdi12 import Sdi12, Settings, crc, shipped, shipped_sensor
from drivers.simulators.sdi12 import Sdi12Simulator
from tests.drivers.decoded import frames, problems, samples
from tidegate.clock import UNKNOWN, Arrival
from tidegate.frame import Frame, Missing, rows

LEVEL = "water_surface_height_above_reference_datum"
RADAR = {"address": "0", "sensor": "campbell-cs475"}
START_NS = 1_767_225_600_000_000_000
STEP_NS = 20_000_000
ALWAYS_THE_SAME = settings(max_examples=60, derandomize=True, deadline=None)


def bus(*sensors: dict[str, Any], **more: Any) -> Sdi12:
    return Sdi12("bus", Settings.model_validate({"sensors": sensors or [RADAR], **more}))


def decode(driver: Driver, data: bytes, cuts: Iterable[int] = ()) -> list[Decoded]:
    decoded: list[Decoded] = []
    for a, b in pairwise([0, *sorted(c % (len(data) + 1) for c in cuts), len(data)]):
        decoded += driver.feed(data[a:b], UNKNOWN)
    decoded += driver.finish()
    assert {d.kind for d in decoded if isinstance(d, Problem)} <= set(Sdi12.problems)
    return decoded


def kinds(decoded: Sequence[Decoded]) -> list[str]:
    return [d.kind for d in decoded if isinstance(d, Problem)]


def values(decoded: Sequence[Decoded]) -> list[list[Any]]:
    return [list(row.values())[1:] for row in rows(d for d in decoded if isinstance(d, Frame))]


Damage = Callable[[bytes], bytes]


def talk(
    driver: Sdi12,
    simulator: Sdi12Simulator,
    seconds: int,
    damage: Damage = lambda said: said,
    interval_s: int = 10,
) -> tuple[list[Decoded], list[bytes], bytes]:
    """(what is decoded, what was asked, what was heard) of a bus that is asked every so often."""
    decoded: list[Decoded] = []
    asked: list[bytes] = []
    heard = b""
    decoded += driver.feed(b"", UNKNOWN)
    assert driver.start() == b""
    again_ns: int | None = None
    for now_ns in range(START_NS, START_NS + seconds * 10**9, STEP_NS):
        saying, fed = b"", False
        if (now_ns - START_NS) % (interval_s * 10**9) == 0:
            saying, fed = driver.poll(), True
        said = simulator.tick(now_ns)
        while True:
            if saying:
                asked.append(saying)
                said += simulator.receive(saying, now_ns)
            said, told = b"", damage(said) if said else b""
            heard += told
            if told:
                decoded += driver.feed(told, Arrival(now_ns, now_ns, "boot", True))
            if not (told or fed or (again_ns is not None and now_ns >= again_ns)):
                break
            saying, again_ns, problems_, _ = driver.turn(now_ns)
            decoded += problems_
            fed = False
            if not saying:
                break
    return decoded, asked, heard


def found_all(decoded: Sequence[Decoded], simulator: Sdi12Simulator) -> None:
    said = simulator.take_said()
    assert said
    by_name: dict[str, list[Any]] = {}
    for frame in frames(decoded):
        for row in rows([frame]):
            for name in frame.columns:
                by_name.setdefault(name, []).append(row[name])
    expected: dict[str, list[Any]] = {}
    for one in said:
        for name, value in one.values.items():
            expected.setdefault(name, []).append(value)
    assert by_name == expected


# --- the manuals' words -----------------------------------------------------------------------------------------------


def test_the_crc_is_the_one_of_the_specification() -> None:
    # SDI-12 specification 1.4, section 4.4.12.3: "0+3.14OqZ".
    assert crc(b"0+3.14") == b"OqZ"


def test_a_radar_is_read_as_its_manual_reads_it() -> None:
    # CS475 manual, table 8-1: 0M! -> 00023, 0D0! -> 0+100.050+25.000+0 (here with a stage that is one at sea).
    decoded = decode(bus(), b"00023\r\n0\r\n0+10.050+25.000+0\r\n")
    assert values(decoded) == [[10.05, 25.0, 0]]
    decoded = decode(bus(), b"00023\r\n0\r\n0+100.050+25.000+0\r\n")
    assert kinds(decoded) == ["implausible"]
    assert values(decoded) == [[None, 25.0, 0]]


def test_an_error_code_of_the_sensor_makes_its_values_invalid() -> None:
    (frame,) = frames(decode(bus(), b"00023\r\n0\r\n0+10.050+25.000+13\r\n"))
    assert [frame.missing(name)[0] for name in frame.columns] == [Missing.INVALID, Missing.INVALID, 0]
    assert frame.columns["device_error"][0] == 13


def test_values_over_several_pages_fill_the_places_in_order() -> None:
    driver = bus({"address": "3", "sensor": "aqua-troll-400"})
    decoded = decode(driver, b"30047\r\n3\r\n3+6.21+97.5+28.55\r\n3+48012.5+10.0+8.05\r\n3+201.5\r\n")
    assert values(decoded) == [[6.21, 97.5, 28.55, 4.80125, 3.048, 8.05, 201.5]]


def test_units_are_brought_to_the_vocabularys_and_what_is_left_out_is_left_out() -> None:
    driver = bus(
        {
            "address": "a",
            "measurement": "M3",
            "parameters": [
                {"parameter": "sea_water_pressure", "unit": "kPa", "invalid": [-9999]},
                "-",
                {"parameter": "chlorophyll_voltage", "label": "Chlorophyll", "unit": "V", "resolution": 0.001},
            ],
        }
    )
    decoded = decode(driver, b"a0003\r\na+101.325+7+1.234\r\na0003\r\na-9999-.5+5.\r\n")
    assert values(decoded) == [[10.132, 1.234], [None, 5.0]]
    (frame,) = frames(decoded)
    assert frame.missing("sea_water_pressure").tolist() == [0, Missing.INVALID]
    assert driver.description()["labels"] == {"chlorophyll_voltage": "Chlorophyll"}


def test_who_the_sensors_are_is_told_in_the_birth() -> None:
    # OTT PLS, operating instructions page 13: l3ccccccccmmmmmmvvvxxxxxx, "OTT HACH" being eight characters.
    driver = bus({"address": "0", "sensor": "ott-pls"})
    assert decode(driver, b"013OTT HACHPLS000100123456\r\n") == []
    told = driver.description()
    assert [told[name] for name in ("manufacturer", "model", "firmware", "serial")] == [
        "OTT HACH",
        "PLS000",
        "100",
        "123456",
    ]
    two = bus({"address": "0", "sensor": "campbell-cs475"}, {"address": "1", "sensor": "campbell-obs501"})
    decode(two, b"114CSI     OBS501STDSN1234\r\n")
    assert two.description()["sensors"]["1"]["model"] == "OBS501"


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_sensor_is_sound_and_comes_back_from_its_simulation(name: str) -> None:
    sensor = {"address": "7", "sensor": name}
    told = shipped_sensor(name)
    assert told.manufacturer
    assert told.models
    driver, simulator = bus(sensor), Sdi12Simulator(sensors=[sensor], seed=5)
    decoded, _, _ = talk(driver, simulator, 61)
    assert not problems(decoded)
    found_all(decoded, simulator)
    assert sum(len(frame) for frame in frames(decoded)) == 6


# --- the conversation -------------------------------------------------------------------------------------------------

MANY = (
    {"address": "0", "sensor": "campbell-cs475", "measurement": "MC"},
    {"address": "1", "sensor": "campbell-obs501", "measurement": "CC1"},
    {"address": "z", "measurement": "C", "parameters": ["air_pressure", "air_temperature", "relative_humidity"]},
    {"address": "z", "measurement": "M2", "parameters": ["wind_speed", "-"]},
)


def test_a_bus_of_many_is_asked_in_the_order_that_costs_least() -> None:
    simulator = Sdi12Simulator(sensors=list(MANY), takes_s=2, echo=True)
    decoded, asked, _ = talk(bus(*MANY), simulator, 20)
    assert not problems(decoded)
    assert [a.decode() for a in asked[:11]] == [
        "0I!", "1I!", "zI!", "1CC1!", "zC!", "0MC!", "0D0!", "1D0!", "zD0!", "zM2!", "zD0!",
    ]  # fmt: skip
    assert asked[11] == b"1CC1!"  # who they are is known
    assert len(samples(decoded)) == len(simulator.said)


def test_concurrent_measurement_of_one_address_is_fetched_before_its_next_begins() -> None:
    decoded, _, _ = talk(bus(*MANY), Sdi12Simulator(sensors=list(MANY)), 60)
    assert not problems(decoded)


def test_a_sensor_that_is_away_costs_its_own_values_and_is_told_once_a_round() -> None:
    away = {"address": "5", "parameters": ["air_temperature"]}
    decoded, asked, _ = talk(bus(RADAR, away), Sdi12Simulator(sensors=[RADAR]), 30)
    assert kinds(decoded) == ["no_answer"] * 3
    assert "'5' did not answer M in 3 tries" in next(d for d in decoded if isinstance(d, Problem)).message
    assert asked.count(b"5M!") == 9
    assert len(samples(decoded)) == 3


def test_damaged_values_are_asked_for_again_and_never_taken() -> None:
    spoilt = [0]

    def damage(said: bytes) -> bytes:
        if b"+" in said:
            spoilt[0] += 1
            if spoilt[0] % 2:
                return said.replace(b"+", b"+1", 1)
        return said

    sensor = {**RADAR, "measurement": "MC"}
    simulator = Sdi12Simulator(sensors=[sensor])
    decoded, _, _ = talk(bus(sensor), simulator, 60, damage)
    assert set(kinds(decoded)) == {"checksum"}
    found_all([d for d in decoded if isinstance(d, Frame)], simulator)


def test_an_answer_that_does_not_come_begins_the_measurement_anew() -> None:
    lost = [0]

    def damage(said: bytes) -> bytes:
        lost[0] += b"+" in said
        return b"" if b"+" in said and lost[0] == 2 else said

    troll = {"address": "3", "sensor": "aqua-troll-400"}
    decoded, asked, _ = talk(bus(troll), Sdi12Simulator(sensors=[troll]), 20, damage)
    assert asked[:5] == [b"3I!", b"3M!", b"3D0!", b"3D1!", b"3M!"]
    assert not problems(decoded)
    assert len(samples(decoded)) == 2


def test_a_sensor_without_values_is_tried_again_and_told() -> None:
    driver = bus(RADAR, retries=1)
    assert driver.poll() == b"0I!"
    driver.turn(0)
    answers = {b"0I!": b"014VEGA    PS     100\r\n", b"0M!": b"00003\r\n", b"0D0!": b"0\r\n"}
    said, told = b"0I!", []
    for step in range(1, 12):
        driver.feed(answers.get(said, b""), UNKNOWN)
        said, _, problems_, _ = driver.turn(step * 10**8)
        told += [p.kind for p in problems_]
    assert told == ["no_data"]
    assert driver.poll() == b"0M!"


def test_a_sensor_that_gives_another_number_of_values_is_told_and_not_decoded() -> None:
    driver = bus(RADAR)
    driver.poll()
    driver.turn(0)
    driver.feed(b"0\r\n", UNKNOWN)
    assert driver.turn(1).data == b"0M!"
    decoded = driver.feed(b"00014\r\n", UNKNOWN)
    assert kinds(decoded) == ["count"]
    turn = driver.turn(2)
    assert (turn.data, turn.again_ns, turn.problems) == (b"", None, [])
    assert kinds(decode(driver, b"0+1.5+7.5+0+3\r\n")) == ["unexpected"]


def test_a_round_that_is_not_over_is_not_begun_again() -> None:
    driver = bus()
    assert driver.poll() == b"0I!"
    assert driver.poll() == b""


def test_what_was_heard_is_enough_to_decode_it_again() -> None:
    simulator = Sdi12Simulator(sensors=list(MANY), echo=True)
    live, _, heard = talk(bus(*MANY), simulator, 60)
    again = decode(bus(*MANY), heard)
    assert values(again) == values(live)
    assert not problems(again)


# --- the stream -------------------------------------------------------------------------------------------------------

HEARD = talk(bus(*MANY), Sdi12Simulator(sensors=list(MANY), seed=2), 40)[2]


@ALWAYS_THE_SAME
@given(
    st.lists(st.integers(0, 10**6), max_size=30),
    st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=6)), max_size=4),
)
def test_cutting_does_not_matter(cuts: list[int], damages: list[tuple[int, bytes]]) -> None:
    data = HEARD
    for at, noise in damages:
        at %= len(data)
        data = data[:at] + noise + data[at + len(noise) :]
    whole, cut = decode(bus(*MANY), data), decode(bus(*MANY), data, cuts)
    assert sorted(map(str, samples(whole))) == sorted(map(str, samples(cut)))
    assert problems(whole) == problems(cut)


@ALWAYS_THE_SAME
@given(
    st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([b"00023\r\n", b"0\r\n", b"0+1", b"\r\n"])), max_size=12)
)
def test_random_bytes_never_raise_and_a_conversation_goes_on(parts: list[bytes]) -> None:
    driver = bus(*MANY)
    for i, part in enumerate(parts):
        driver.poll()
        driver.feed(part, UNKNOWN)
        turn = driver.turn(i * 10**9)
        assert turn.data == b"" or turn.data.endswith(b"!")
    decode(driver, b"")


def test_damage_under_a_crc_is_always_found() -> None:
    random = np.random.default_rng(1)
    sensor = {**RADAR, "measurement": "MC"}
    line = b"0+1.234+7.766+0" + crc(b"0+1.234+7.766+0")
    assert values(decode(bus(sensor), b"00023\r\n" + line + b"\r\n")) == [[1.234, 7.766, 0]]
    for _ in range(200):
        damaged = bytearray(line)
        damaged[random.integers(len(line))] ^= 1 << random.integers(7)
        assert not frames(decode(bus(sensor), b"00023\r\n" + bytes(damaged) + b"\r\n"))
    assert kinds(decode(bus(sensor), b"00023\r\n0+1.234+7.766+0\r\n")) == ["checksum"]
    assert kinds(decode(bus(RADAR), b"00023\r\n" + line + b"\r\n")) == ["syntax"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"0+1.5+7.5+0\r\n", ["unexpected"]),
        (b"9+1.5+7.5+0\r\n", ["unknown"]),
        (b"00000\r\n", ["no_data"]),
        (b"00023\r\n0+1.5\r\n", ["truncated"]),
        (b"00023\r\n0+1.5+2.5+3.5+4.5\r\n", ["count"]),
        (b"hello\r\n", ["syntax"]),
        (b"00023\r\n0+1.5+7.5+", ["truncated"]),
        (b"x" * 300 + b"\r\n", ["noise"]),
    ],
)
def test_what_is_wrong_is_told(data: bytes, expected: list[str]) -> None:
    decoded = decode(bus(), data)
    assert kinds(decoded) == expected
    assert not frames(decoded)


@pytest.mark.parametrize(
    ("sensors", "says"),
    [
        ([], "at least 1 item"),
        ([{"address": "00", "sensor": "ott-pls"}], "String should match pattern"),
        ([{"address": "0", "sensor": "ottpls"}], "did you mean 'ott-pls'"),
        ([{"address": "0"}], "or parameters"),
        ([{"address": "0", "parameters": ["-"]}], "or parameters"),
        ([{"address": "0", "parameters": ["see_water_temperature"]}], "did you mean sea_water_temperature"),
        ([{"address": "0", "parameters": [{"parameter": "depth", "unit": "psi"}]}], "cannot become m"),
        ([{"address": "0", "measurement": "X1", "parameters": ["depth"]}], "none of SDI-12"),
        ([{"address": "0", "parameters": ["depth"]}, {"address": "1", "parameters": ["depth"]}], "more than once"),
        (
            [{"address": "0", "parameters": ["depth"]}, {"address": "0", "measurement": "M1", "parameters": [LEVEL]}],
            "cannot be told apart: make one of them C",
        ),
        (
            [{"address": "0", "parameters": ["depth"], "status": {"parameter": LEVEL, "good": [0]}}],
            "none of its parameters",
        ),
    ],
)
def test_a_mistake_names_the_sensor_and_the_remedy(sensors: list[dict[str, Any]], says: str) -> None:
    with pytest.raises(ValidationError) as error:
        Settings.model_validate({"sensors": sensors})
    assert says in str(error.value)


def test_it_is_installed_and_tells_a_technician_all() -> None:
    assert load("sdi12") is Sdi12
    assert Sdi12.lines[0] == "1200 7E1"
    assert Sdi12.hail().decode() in Sdi12.commands
    assert Sdi12.guesses() == []
    with pytest.raises(ValueError, match="needs settings"):
        Sdi12("bus")
