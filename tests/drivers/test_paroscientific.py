"""Digiquartz: lines of the OOI, of the WHOI and of the manual, lost replies, damage, and the simulator."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from drivers.driver import load
from drivers.paroscientific import Paroscientific
from drivers.simulators.paroscientific import ParoscientificSimulator
from drivers.simulators.simulator import Mischief
from tests.drivers.decoded import frames, problems, samples
from tests.drivers.line_drivers import (
    PROBABLE,
    START_NS,
    column,
    conversation,
    cut_anywhere,
    decode,
    found_all,
    kinds,
    times,
)
from tidegate.clock import TimeSource, isoformat
from tidegate.frame import Missing

P, PT = "sea_water_pressure", "temperature_of_pressure_sensor"
PSI = {"unit": "psi"}
DBAR_PER_PSI = 0.6894757293168

# The OOI's botpt tests: one of each kind of line of the stream.
NANO = b"NANO,V,2013/08/22 22:48:36.013,13.888533,26.147947328\n"
BOTPT = (
    NANO
    + b"LILY,2013/06/24 23:36:02,-235.500,  25.930,194.30, 26.04,11.96,N9655\n"
    + b"HEAT,2013/04/19 22:54:11,-001,0001,0025\n"
    + b"IRIS,2013/05/29 00:25:34, -0.0882, -0.7524,28.45,N8642\n"
    + b"LILY,2013/06/28 17:29:21,*  -2.277,  -2.165,190.81, 25.69,,Leveled!11.87,N9651\n"
    + b"NANO,P,2013/08/22 23:13:36.000,13.884067,26.172926006\n"
    + b"NANO,*PAROSCIENTIFIC SMT SYSTEM INFORMATION\nNANO,*Model Number: 42.4K-265\nNANO,*Serial Number: 120785\n"
    + b"NANO,*Firmware Revision: R5.20\nNANO,*PPS status: V : PPS signal NOT detected.\n"
    + b"SYST,2014/04/07 20:46:35,*MemTotal:        62888 kB\n"
    + b"NANO,P,2013/05/16 17:03:22.000,14.858126,25.243003840\n"
)


def test_the_bottom_pressure_recorder_of_the_ooi() -> None:
    decoded = decode(Paroscientific, BOTPT)
    assert problems(decoded) == []
    assert [isoformat(t) for t in times(decoded)] == [
        "2013-08-22T22:48:36.013000000Z",
        "2013-08-22T23:13:36.000000000Z",
        "2013-05-16T17:03:22.000000000Z",
    ]
    psi = [13.888533, 13.884067, 14.858126]
    assert column(decoded, P) == [round(p * DBAR_PER_PSI, 7) for p in psi]
    assert [round(p / DBAR_PER_PSI, 6) for p in column(decoded, P)] == psi
    assert column(decoded, PT) == [26.147947328, 26.172926006, 25.243003840]
    assert column(decoded, "clock_is_synchronized") == [0, 1, 1]
    assert {frame.source for frame in frames(decoded)} == {TimeSource.INSTRUMENT}
    driver = Paroscientific("it")
    driver.feed(BOTPT, frames(decoded)[0].arrival)
    assert driver.description() == {
        "manufacturer": "Paroscientific", "model": "42.4K-265", "serial": "120785", "firmware": "R5.20"
    }  # fmt: skip


def test_replies_of_a_depth_sensor() -> None:
    """WHOI ds_sensors, tests of parodigiquartz."""
    data = b"*00012991.11891\r\n*00012991.06579\r\n*00012991.01074\r\n*0001P4=16.7509,23.01532\r\n"
    decoded = decode(Paroscientific, data, PSI)
    assert problems(decoded) == []
    assert column(decoded, P) == [round(p * DBAR_PER_PSI, 7) for p in (2991.11891, 2991.06579, 2991.01074, 16.7509)]
    assert column(decoded, PT) == [23.01532]


@pytest.mark.parametrize(
    ("code", "printed", "dbar"),
    [(1, "14.69594", 10.13249395), (2, "1013.250", 10.1325), (3, "1.01325", 10.1325), (4, "101.3250", 10.1325),
     (5, ".101325", 10.1325), (6, "29.9213", 10.1325), (7, "760.000", 10.1325), (8, "10.3323", 10.1325)],
)  # fmt: skip
def test_units_are_told_by_the_instrument(code: int, printed: str, dbar: float) -> None:
    """One standard atmosphere in each unit."""
    data = f"*0001UN={code}\r\n*0001{printed}\r\n".encode()
    assert column(decode(Paroscientific, data), P) == [pytest.approx(dbar, abs=1e-4)]
    air = decode(Paroscientific, data, {"measures": "air"})
    assert column(air, "air_pressure") == [pytest.approx(dbar * 100, abs=1e-2)]
    assert {frame.schema.kind for frame in frames(air)} == {"weather"}


def test_a_pressure_of_unknown_unit_is_no_number() -> None:
    for said in (b"", b"*0001UN=0\r\n", b"*0001UN=9\r\n"):
        assert kinds(decode(Paroscientific, said + b"*000114.69594\r\n")) == ["unit"]


ALL: dict[str, Any] = {"mode": "polled", "asks": ["P3", "Q3", "TT", "RH"], "measures": "air"}
CYCLE = (
    b"*0001UN=2\r\n*00011010.123\r\n*0001TU=0\r\n*000129.012\r\n*0001VR=R5.20\r\n*000128.51\r\n*0001SN=113401\r\n*000180.9\r\n"
)  # fmt: skip
NAMES = ["air_pressure", PT, "air_temperature", "relative_humidity"]
VALUES = [1010.123, 29.012, 28.51, 80.9]


def test_a_lost_or_doubled_reply_never_gives_a_value_anothers_name() -> None:
    assert [column(decode(Paroscientific, CYCLE, ALL), name)[0] for name in NAMES] == VALUES
    replies = CYCLE.splitlines(keepends=True)
    for lost in range(len(replies)):
        for data in (replies[:lost] + replies[lost + 1 :], replies[: lost + 1] + replies[lost:]):
            decoded = decode(Paroscientific, CYCLE + b"".join(data) + CYCLE, ALL)
            for name, value in zip(NAMES, VALUES, strict=True):
                got = column(decoded, name)
                assert got[0] == got[-1] == value
                assert {v for v in got if v == v} == {value}
                for frame in frames(decoded):
                    assert set(frame.missing(name).tolist()) <= {0, Missing.NO_ANSWER}


def test_fahrenheit_is_told_by_the_instrument() -> None:
    data = b"*0001UN=1\r\n*000114.69594\r\n*0001TU=1\r\n*000168.000\r\n"
    assert column(decode(Paroscientific, data, {"mode": "polled", "asks": ["P3", "Q3"]}), PT) == [20.0]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"*000114.6X594\r\n", "syntax"),
        (b"*000114.69*000114.69594\r\n", "syntax"),
        (b"*000190\r\n", "syntax"),
        (b"*0001P4=16.7509,\r\n", "syntax"),
        (b"*0001ERROR\r\n", "exception"),
        (b"*000214.69594\r\n", "address"),
        (b"000114.69594\r\n", "unknown"),
        (b"14.69594\r\n", "unknown"),
        (NANO.replace(b"08/22", b"02/30"), "syntax"),
        (NANO.replace(b"13.888533", b"13.88853"), "unknown"),
        (b"This is an invalid sample; it had better cause an exception.\n", "unknown"),
        (b"*0001\xff4.69594\r\n", "noise"),
        (b"*000199999.00000\r\n", "implausible"),
    ],
)
def test_a_damaged_line_is_refused(line: bytes, kind: str) -> None:
    good = b"*000114.69594\r\n"
    decoded = decode(Paroscientific, good + line + good, PSI)
    assert kinds(decoded) == [kind]
    if kind != "implausible":
        assert samples(decoded) == samples(decode(Paroscientific, good + good, PSI))


STREAM = (
    BOTPT + b"*0001UN=1\r\n*000114.69594\r\n*0001x\r\n\x80\x81\r\n*000114.70001\r\n*0001P4=16.7509,23.01532\r\n*0001"
)
POLLED = CYCLE * 2 + CYCLE[:40] + b"\r\n" + CYCLE + CYCLE[20:] + b"*00011.5\r\n" + CYCLE[:70]


@PROBABLE
@given(st.data())
def test_cutting_never_matters(data: st.DataObject) -> None:
    for stream, given_ in ((STREAM, None), (POLLED, ALL)):
        cut_anywhere(Paroscientific, stream, given_, data.draw(st.sets(st.integers(0, len(stream)), max_size=30)))


def test_bytes_one_by_one() -> None:
    for stream, given_ in ((STREAM, None), (POLLED, ALL)):
        cut_anywhere(Paroscientific, stream, given_, range(1, len(stream)))
    assert kinds(decode(Paroscientific, STREAM)) == ["syntax", "noise", "truncated"]
    assert len(times(decode(Paroscientific, STREAM))) == 6


@settings(PROBABLE, max_examples=200)
@given(st.data())
def test_one_damaged_byte_costs_its_line_alone(data: st.DataObject) -> None:
    at, byte = data.draw(st.integers(0, len(NANO) - 2)), data.draw(st.integers(0, 255))
    if bytes([byte]) in b"0123456789-\r\nPV" or byte == NANO[at]:
        return
    decoded = decode(Paroscientific, NANO + NANO[:at] + bytes([byte]) + NANO[at + 1 :] + NANO)
    assert samples(decoded) == samples(decode(Paroscientific, NANO + NANO))
    if not (at == 5 and byte == ord("*")):  # then it is a line of a status page
        assert [(offset, size) for _, offset, size in problems(decoded)] == [(len(NANO), len(NANO) - 1)]


@PROBABLE
@given(st.binary(max_size=2000), st.integers(0, 2000))
def test_random_bytes_give_no_sample(noise: bytes, cut: int) -> None:
    assert not frames(decode(Paroscientific, noise, PSI, [min(cut, len(noise))]))


# The simulator


def test_it_is_installed_and_sends_what_it_is_told_to() -> None:
    cls = load("paroscientific")
    assert cls is Paroscientific
    assert (cls("it").start(), cls("it").poll()) == (b"", b"")
    polled = cls("it", Paroscientific.Settings(mode="polled", address=7))
    assert polled.poll() == b"*0700P3\r\n"
    assert polled.start().endswith(b"*0700UN\r\n")
    assert cls("it", Paroscientific.Settings(mode="continuous")).start().endswith(b"*0100P4\r\n")
    assert [schema.kind for schema in polled.schemas()] == ["tide_gauge"]
    wrongs: list[dict[str, Any]] = [{"asks": ["P3", "Q3"]}, {"asks": []}, {"address": 99}]
    for wrong in [*wrongs, {"mode": "polled", "asks": ["P3", "P3"]}]:
        with pytest.raises(ValidationError):
            Paroscientific.Settings.model_validate(wrong)


@PROBABLE
@given(seed=st.integers(0, 9), unit=st.integers(1, 5), cut=st.integers(1, 60))
def test_the_driver_finds_all_that_the_simulator_said(seed: int, unit: int, cut: int) -> None:
    mischief = Mischief(period=4, stuck=(2, 3))
    simulator = ParoscientificSimulator(seed=seed, unit=unit, interval_s=0.5, running=True, mischief=mischief)
    data = f"*0001UN={unit}\r\n".encode()
    data += b"".join(simulator.tick(START_NS + step * 250_000_000) for step in range(20))
    found_all(decode(Paroscientific, data, None, range(cut, len(data), cut)), simulator.said)


@pytest.mark.parametrize("asks", [["P3"], ["P3", "Q3"], ["P3", "Q3", "TT", "RH"]])
@pytest.mark.parametrize("measures", ["air", "sea_water"])
def test_the_simulator_answers_a_driver_that_polls(asks: list[str], measures: Any) -> None:
    simulator = ParoscientificSimulator(measures=measures, address=3)
    given_ = {"mode": "polled", "asks": asks, "measures": measures, "address": 3}
    driver = Paroscientific("it", Paroscientific.Settings.model_validate(given_))
    decoded = conversation(driver, simulator, polls=3 * len(asks))
    assert driver.finish() == []
    found_all(decoded, simulator.said)
    assert len(simulator.said) == 3
    assert driver.description()["serial"] == "113401"


def test_the_simulator_runs_until_any_command() -> None:
    simulator = ParoscientificSimulator()
    driver = Paroscientific("it", Paroscientific.Settings(mode="continuous"))
    decoded = conversation(driver, simulator, polls=3)
    found_all(decoded, simulator.said)
    assert simulator.receive(b"*0100VR\r\n", START_NS) == b"*0001VR=R5.20\r\n"
    assert simulator.tick(START_NS + 10**12) == b""
    assert simulator.receive(b"*0200P3\r\n*0100ZZ\r\nhello\r\n", START_NS) == b""
    with pytest.raises(ValueError, match="unit must be one of"):
        ParoscientificSimulator(unit=9)
