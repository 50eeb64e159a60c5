"""SBE 45 and SBE 38: a cruise against an independent parser and TEOS-10, all formats, damage, the simulator."""

import gzip
import json
from typing import Any

import gsw
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from drivers.driver import load
from drivers.seabird.sbe45 import Sbe45
from drivers.simulators.sbe45 import Sbe45Simulator
from drivers.simulators.simulator import Mischief
from tests.drivers.decoded import frames, problems, samples
from tests.drivers.line_drivers import (
    PROBABLE,
    START_NS,
    column,
    cut_anywhere,
    decode,
    found_all,
    kinds,
    times,
)
from tests.recordings import DATA, needs_recordings
from tidegate.clock import Arrival, TimeSource

T, C, S, V = (
    "sea_water_temperature",
    "sea_water_electrical_conductivity",
    "sea_water_practical_salinity",
    "speed_of_sound_in_sea_water",
)
R = "sea_water_temperature_at_intake"
LINE = b"21.8054,  5.17647,  36.5878, 1528.105\r\n"


@needs_recordings
def test_a_cruise_equals_what_openrvdas_parsed_and_its_salinity_what_teos10_computes() -> None:
    recording = DATA / "cruise/NBP1406/NBP1406_tsg1-2014-08-01"
    stamped = recording.read_bytes().splitlines(keepends=True)
    decoded = decode(Sbe45, b"".join(line.partition(b" ")[2] for line in stamped))
    assert problems(decoded) == []
    golden = DATA / "cruise/golden_openrvdas/NBP1406_tsg1-2014-08-01.openrvdas.jsonl.gz"
    with gzip.open(golden) as lines:
        theirs = [json.loads(line)["parsed"]["fields"] for line in lines]
    assert len(theirs) == 5000
    for name, key in ((T, "TSG1Temp"), (C, "TSG1Conductivity"), (S, "TSG1Salinity"), (V, "TSG1SoundVelocity")):
        assert column(decoded, name) == [fields[key] for fields in theirs]
    computed = gsw.SP_from_C(np.array(column(decoded, C)) * 10, np.array(column(decoded, T)), 0.0)
    assert np.abs(computed - column(decoded, S)).max() < 1.3e-4


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        # The manual's examples, pages 32 and 40.
        (b"23.7658,  0.00019", {T: 23.7658, C: 0.00019}),
        (b"23.7658,0.00019", {T: 23.7658, C: 0.00019}),
        # NCEI 0086548, format-tsg.txt.
        (b"22.2056,  0.00151,   0.0154, 1488.949", {T: 22.2056, C: 0.00151, S: 0.0154, V: 1488.949}),
        (b"22.2056,   0.0154,  0.00151, 1488.949", {T: 22.2056, S: 0.0154, C: 0.00151, V: 1488.949}),
        (b" -1.2345,  2.70012, 1441.002", {T: -1.2345, C: 2.70012, V: 1441.002}),
        (b" 9.8765,  33.1234", {T: 9.8765, S: 33.1234}),
        (b"S>TS\r\n  20.1234", {T: 20.1234}),
    ],
)
def test_every_format_is_told_by_its_decimals(line: bytes, wanted: dict[str, float]) -> None:
    decoded = decode(Sbe45, line + b"\r\n", at=Arrival(START_NS, 1, "boot", True))
    assert problems(decoded) == []
    (frame,) = frames(decoded)
    assert {name: values.tolist() for name, values in frame.columns.items()} == {n: [v] for n, v in wanted.items()}
    assert (frame.source, frame.time.tolist()) == (TimeSource.ARRIVAL, [START_NS])


def test_a_remote_thermometer_is_named_by_the_setting() -> None:
    given = {"columns": ["temperature", "conductivity", "remote_temperature"]}
    decoded = decode(Sbe45, b"21.8054,  5.17647,  21.4501\r\n" + LINE, given)
    assert (column(decoded, R), kinds(decoded)) == ([21.4501], ["columns"])
    alone = decode(Sbe45, b"   21.45012\r\n", {"columns": ["remote_temperature"]})
    assert column(alone, R) == [21.45012]
    for columns in (["temperature", "temperature"], ["ignore"], []):
        with pytest.raises(ValidationError):
            Sbe45.Settings.model_validate({"columns": columns})


def test_its_own_status_says_what_a_line_holds() -> None:
    simulator = Sbe45Simulator(logging=False, salinity=True)
    said = simulator.receive(b"DS\r", START_NS)
    driver = Sbe45("tsg")
    assert driver.feed(said, Arrival(START_NS, 1, "boot", True)) == []
    assert driver.description() == {
        "manufacturer": "Sea-Bird Scientific",
        "model": "SBE45",
        "firmware": "1.1b",
        "serial": "1258",
    }
    decoded = decode(Sbe45, said + b"21.8054,  5.17647,  36.5878\r\n21.8054,  5.17647\r\n" + LINE)
    assert (column(decoded, S), kinds(decoded)) == ([36.5878], ["columns", "columns"])


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (LINE.replace(b"5.17647", b"5.1764"), "syntax"),
        (LINE.replace(b"21.8054", b".8054"), "syntax"),
        (LINE.replace(b"36.5878", b"36.58x8"), "syntax"),
        (LINE.replace(b"1528.105", b"528.105"), "syntax"),
        (LINE.replace(b",  36", b"  36"), "syntax"),
        (LINE[:20] + LINE, "syntax"),
        (b"\xfe\x80" + LINE, "noise"),
        (LINE.replace(b"21.8054", b"91.8054"), "syntax"),
        (b"S>?CMD\r\n", "exception"),
    ],
)
def test_a_damaged_line_is_refused(line: bytes, kind: str) -> None:
    decoded = decode(Sbe45, LINE + line + LINE)
    assert kinds(decoded) == [kind]
    assert column(decoded, C)[0] == 5.17647


STREAM = LINE * 3 + b"S>DS\r\nSBE45 V 1.1b  SERIAL NO. 1258\r\nnot logging data\r\nS>" + LINE + b"\x80\r\n" + LINE[:9]


@PROBABLE
@given(st.sets(st.integers(0, len(STREAM)), max_size=30))
def test_cutting_never_matters(cuts: set[int]) -> None:
    cut_anywhere(Sbe45, STREAM, None, cuts)
    assert kinds(decode(Sbe45, STREAM)) == ["noise", "truncated"]


@PROBABLE
@given(at=st.integers(0, len(LINE) - 3), byte=st.integers(0, 255))
def test_one_damaged_byte_costs_its_line_alone(at: int, byte: int) -> None:
    """But for one digit made another, which nothing in such a line can show."""
    if bytes([byte]) in b"0123456789 -,\r\n" or byte == LINE[at]:
        return
    decoded = decode(Sbe45, LINE + LINE[:at] + bytes([byte]) + LINE[at + 1 :] + LINE)
    assert samples(decoded) == samples(decode(Sbe45, LINE + LINE))
    assert len(problems(decoded)) == 1


@settings(PROBABLE, max_examples=40)
@given(
    shape=st.fixed_dictionaries(
        {
            **{name: st.booleans() for name in ("conductivity", "salinity", "sound_velocity")},
            "output_format": st.integers(0, 2),
            "seed": st.integers(0, 9),
        }
    ),
    cut=st.integers(1, 300),
)
def test_the_driver_finds_all_that_the_simulator_said(shape: dict[str, Any], cut: int) -> None:
    simulator = Sbe45Simulator(mischief=Mischief(period=4, spikes=(1,), spike_by=1.5), **shape)
    data = b"".join(simulator.tick(START_NS + step * 10**9) for step in range(16))
    said = simulator.take_said()
    assert [s.mischief for s in said][:2] == ["", "spike"]
    found_all(decode(Sbe45, data, None, range(cut, len(data), cut)), said)


def test_the_simulator_answers_a_driver_that_polls() -> None:
    simulator = Sbe45Simulator(remote=True)
    given = {"mode": "polled", "columns": ["temperature", "conductivity", "remote_temperature"]}
    driver = load("sbe45")("tsg", Sbe45.Settings.model_validate(given))
    decoded = []
    for n, asked in enumerate((driver.start(), driver.hail(), driver.poll(), driver.poll())):
        now_ns = START_NS + n * 10**9
        decoded += driver.feed(simulator.receive(asked, now_ns), Arrival(now_ns, now_ns, "boot", True))
    assert simulator.tick(START_NS + 10**12) == b""
    found_all(decoded, simulator.take_said())
    assert times(decoded) == [START_NS + 2 * 10**9, START_NS + 3 * 10**9]
    assert (Sbe45("tsg").start(), Sbe45("tsg").poll()) == (b"", b"")
