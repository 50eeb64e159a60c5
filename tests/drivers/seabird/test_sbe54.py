"""SBE 54: the samples and replies that the OOI recorded, damage, the simulator."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.driver import Problem, load
from drivers.seabird.sbe54 import DBAR_PER_PSI, Sbe54
from drivers.simulators.sbe54 import Sbe54Simulator
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
from tidegate.clock import Arrival, TimeSource, isoformat

P, PT, N = "sea_water_pressure", "temperature_of_pressure_sensor", "sample_number"

# oceanobservatories/mi-instrument, mi/instrument/seabird/sbe54tps/test/sample_data.py.
SAMPLE = (
    b"<Sample Num='5947' Type='Pressure'>\r\n<Time>2012-11-07T12:21:25</Time>\r\n"
    b"<PressurePSI>13.9669</PressurePSI>\r\n<PTemp>18.9047</PTemp>\r\n</Sample>\r\n"
)
OSCILLATOR = (
    b"<SetTimeout>125000</SetTimeout>\r\n<SetTimeoutMax>150000</SetTimeoutMax>\r\n<SetTimeoutICD>150000</SetTimeoutICD>"
    b"\r\n<!--Ref osc warmup next 120 seconds-->\r\n<!--Warmup complete, starting measurement at 0.1Hz-->\r\n"
    b"<Sample Num='1244' Type='RefOsc'>\r\n<Time>2013-01-30T15:36:53</Time>\r\n<RefOscFreq>5999995.955</RefOscFreq>\r\n"
    b"<PCBTempRaw>18413</PCBTempRaw>\r\n<RefErrorPPM>0.090</RefErrorPPM>\r\n</Sample>\r\n"
)
RESET = (
    b"<POWERON/>\r\n<!--BatteryType reset to Lithium (0)-->\r\n<Sample Num='0' Type='Pressure'>\r\n"
    b"<Time>2016-05-03T17:14:40</Time>\r\n<PressurePSI>13.6866</PressurePSI>\r\n<PTemp>20.6288</PTemp>\r\n</Sample>\r\n"
)
REPLIES = (
    b"S>getcd\r\ngetcd\r\n<ConfigurationData DeviceType='SBE54' SerialNumber='05400012'>\r\n"
    b"<CalibrationCoefficients>\r\n"
    b"<AcqOscCalDate>2012-02-20</AcqOscCalDate>\r\n<FRA0>5.999926E+06</FRA0>\r\n<FRA1>5.792290E-03</FRA1>\r\n"
    b"<PressureSerialNum>121451</PressureSerialNum>\r\n<pu0>5.820407E+00</pu0>\r\n<pt4>1.455506E+02</pt4>\r\n"
    b"<poffset>0.000000E+00</poffset>\r\n<prange>6.000000E+03</prange>\r\n</CalibrationCoefficients>\r\n<Settings\r\n"
    b"batteryType='0'\r\nbaudRate='9600'\r\nsamplePeriod='15'\r\n/>\r\n</ConfigurationData>\r\n<Executed/>\r\nS>\r\n"
    b"S>gethd\r\ngethd\r\n<HardwareData DeviceType='SBE54' SerialNumber='05400012'>\r\n"
    b"<Manufacturer>Sea-Bird Electronics, Inc</Manufacturer>\r\n<FirmwareVersion>SBE54 V1.3-6MHZ</FirmwareVersion>\r\n"
    b"<PCBSerialNum>NOT SET</PCBSerialNum>\r\n</HardwareData>\r\n<Executed/>\r\nS>getec\r\ngetec\r\n"
    b"<EventSummary numEvents='573' maxStack='354'/>\r\n<EventList DeviceType='SBE54' SerialNumber='05400012'>\r\n"
    b"<Event type='PowerOnReset' count='25'/>\r\n</EventList>\r\n<Executed/>\r\nS>\r\n"
)


def test_the_recorded_samples_are_decoded() -> None:
    decoded = decode(Sbe54, SAMPLE + OSCILLATOR + RESET)
    assert problems(decoded) == []
    pressure, oscillator, reset = frames(decoded)
    assert pressure.columns[P].tolist() == [round(13.9669 * DBAR_PER_PSI, 5)]
    assert (pressure.columns[PT].tolist(), pressure.columns[N].tolist()) == ([18.9047], [5947])
    assert (isoformat(times(decoded)[0]), pressure.source) == ("2012-11-07T12:21:25.000000000Z", TimeSource.INSTRUMENT)
    assert oscillator.columns["reference_oscillator_frequency"].tolist() == [5999995.955]
    assert oscillator.columns["reference_oscillator_error"].tolist() == [0.09]
    assert reset.columns[N].tolist() == [0]


def test_replies_are_known_and_learnt() -> None:
    driver = Sbe54("tsunameter")
    assert driver.feed(REPLIES, Arrival(START_NS, 1, "boot", True)) == []
    told = driver.description()
    assert (told["model"], told["serial"], told["firmware"]) == ("SBE54", "05400012", "SBE54 V1.3-6MHZ")
    assert told["calibration"]["pt4"] == 145.5506


@pytest.mark.parametrize(
    ("damaged", "kind"),
    [
        (SAMPLE.replace(b"13.9669", b"13.966"), "syntax"),
        (SAMPLE.replace(b"13.9669", b"13.9x69"), "syntax"),
        (SAMPLE.replace(b"11-07", b"02-30"), "syntax"),
        (SAMPLE.replace(b"<PTemp>18.9047</PTemp>\r\n", b""), "syntax"),
        (SAMPLE.replace(b"</Sample>\r\n", b""), "truncated"),
        (SAMPLE.replace(b"<PTemp>", b"\x80PTemp>"), "truncated"),
        (SAMPLE.replace(b"13.9669", b"-3.9669"), "implausible"),
        (b"\x80\x81\r\n", "noise"),
        (b"<Error type='INVALID COMMAND' msg=''/>\r\n", "exception"),
        (b"01 02 03\r\n", "syntax"),
    ],
)
def test_a_damaged_sample_is_refused(damaged: bytes, kind: str) -> None:
    decoded = decode(Sbe54, SAMPLE + damaged + SAMPLE)
    assert kinds(decoded)[0] == kind
    kept = 3 if kind == "implausible" else 2
    assert column(decoded, PT) == [18.9047] * kept


def test_a_head_that_was_lost_gives_nothing() -> None:
    decoded = decode(Sbe54, SAMPLE[20:])
    assert not frames(decoded)
    assert set(kinds(decoded)) == {"syntax"}


STREAM = REPLIES + SAMPLE * 3 + OSCILLATOR + SAMPLE[:60] + RESET + b"\x80\r\n" + SAMPLE + SAMPLE[:95]


@PROBABLE
@given(st.sets(st.integers(0, len(STREAM)), max_size=30))
def test_cutting_never_matters(cuts: set[int]) -> None:
    cut_anywhere(Sbe54, STREAM, None, cuts)


def test_what_is_wrong_in_a_stream_is_told_in_its_place() -> None:
    assert "truncated" in kinds(decode(Sbe54, STREAM))
    assert len(samples(decode(Sbe54, STREAM))) == 6


@PROBABLE
@given(at=st.integers(0, len(SAMPLE) - 3), byte=st.integers(0, 255))
def test_one_damaged_byte_costs_its_sample_alone(at: int, byte: int) -> None:
    """But for one digit made another, which nothing in a sample can show."""
    if bytes([byte]) in b"0123456789 -\r\n" or byte == SAMPLE[at] or SAMPLE[at] in b"\r\n":
        return
    decoded = decode(Sbe54, SAMPLE + SAMPLE[:at] + bytes([byte]) + SAMPLE[at + 1 :] + SAMPLE)
    assert samples(decoded) == samples(decode(Sbe54, SAMPLE + SAMPLE))
    first = next(d for d in decoded if isinstance(d, Problem))
    assert len(SAMPLE) <= first.offset < 2 * len(SAMPLE)


@settings(PROBABLE, max_examples=40)
@given(seed=st.integers(0, 9), cut=st.integers(1, 300))
def test_the_driver_finds_all_that_the_simulator_said(seed: int, cut: int) -> None:
    simulator = Sbe54Simulator(seed=seed, mischief=Mischief(period=4, spikes=(1,), spike_by=1.5))
    data = b"".join(simulator.tick(START_NS + step * 10**9) for step in range(16))
    found_all(decode(Sbe54, data, None, range(cut, len(data), cut)), simulator.take_said())


def test_the_simulator_answers() -> None:
    simulator = Sbe54Simulator()
    driver: Any = load("sbe54")("tsunameter")
    decoded = []
    for n, asked in enumerate((driver.start(), driver.hail(), b"GetEC\r\nStop\r\nSampleRefOsc\r\nwhat\r\n")):
        at = Arrival(START_NS + n * 10**9, n * 10**9, "boot", True)
        decoded += driver.feed(simulator.receive(asked, at.utc_ns), at)
    assert kinds(decoded) == ["exception"]
    assert column(decoded, "reference_oscillator_frequency") == [5999995.955]
    assert driver.description()["serial"] == "05400012"
    assert driver.description()["calibration"]["FRA0"] == 5.999926e6
    assert simulator.tick(START_NS + 10**12) == b""
