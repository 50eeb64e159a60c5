"""SBE 39plus and SBE 39: the manual's lines, the manufacturer's equations as the oracle, damage, the simulator."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from seabirdscientific import cal_coefficients as cc
from seabirdscientific import conversion
from seabirdscientific import instrument_data as reader

from drivers.driver import load
from drivers.seabird.calibration import DBAR_PER_PSI
from drivers.seabird.sbe39plus import Sbe39plus
from drivers.simulators.sbe39plus import Sbe39plusSimulator
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
from tidegate.clock import Arrival, isoformat

T, P, PT = "sea_water_temperature", "sea_water_pressure_due_to_sea_water", "temperature_of_pressure_sensor"
K = Sbe39plusSimulator().coefficients()
LINE = b"  8.5796,  531.316, 14 Jul 2016, 09:01:44\r\n"
XML = (
    b'<?xml version="1.0"?><datapacket><hdr><mfg>Sea-Bird</mfg><model>SBE39plus-IM</model><sn>03907842</sn></hdr>'
    b"<data><t1>24.6671</t1><p1>0.016</p1><smpl>92</smpl><navg>35</navg><dt>2016-04-20T14:25:18</dt></data>"
    b"</datapacket>\r\n"
)


@pytest.mark.parametrize(
    ("line", "when", "wanted"),
    [
        # SBE 39plus-IM user manual, pages 63 and 64.
        (
            b"03,09999, 8.5796, 531.316, 14 Jul 2016, 09:01:44, 1126, 250\r\n",
            "2016-07-14T09:01:44",
            {T: 8.5796, P: 531.316, "sample_number": 1126},
        ),
        (XML, "2016-04-20T14:25:18", {T: 24.6671, P: 0.016, "sample_number": 92}),
        (XML.replace(b"><", b">\r\n<"), "2016-04-20T14:25:18", {T: 24.6671, P: 0.016, "sample_number": 92}),
        # An SBE 48 of the same family, R/V Calliope, 2013 (science.whoi.edu, SSW_STP.txt).
        (b"# 26.9851, 30 Jan 2013, 14:00:19\r\n", "2013-01-30T14:00:19", {T: 26.9851}),
        (b"  8.5796,  531.316, 09:01:44, 07-14-2016\r\n", "2016-07-14T09:01:44", {T: 8.5796, P: 531.316}),
        (b"S>SLT\r\n  -1.0021, 14 Jul 2016, 09:01:44\r\n", "2016-07-14T09:01:44", {T: -1.0021}),
    ],
)
def test_every_converted_format(line: bytes, when: str, wanted: dict[str, float]) -> None:
    decoded = decode(Sbe39plus, line)
    assert problems(decoded) == []
    (frame,) = frames(decoded)
    assert {name: values.tolist()[0] for name, values in frame.columns.items()} == wanted
    assert (isoformat(times(decoded)[0]) or "").startswith(when)


def test_units_by_setting_and_by_the_instruments_word() -> None:
    line = LINE.replace(b" 8.5796", b"58.5796")
    decoded = decode(Sbe39plus, line, {"temperature_unit": "F", "pressure_unit": "psi"})
    assert column(decoded, T) == [round((58.5796 - 32) * 5 / 9, 5)]
    assert column(decoded, P) == [round(531.316 * DBAR_PER_PSI, 4)]
    said = (
        b"<ConfigurationData DeviceType = 'SBE39plus' SerialNumber = '03907844'>\r\n"
        b"<TemperatureUnits>Fahrenheit</TemperatureUnits>\r\n</ConfigurationData>\r\n"
    )
    assert column(decode(Sbe39plus, said + line), T) == column(decoded, T)


@settings(PROBABLE, max_examples=50)
@given(
    t=st.integers(100_000, 900_000),
    p=st.integers(530_000, 3_000_000),
    v=st.integers(18_000, 40_000),
    s=st.integers(0, 10**9),
)
def test_the_manufacturers_own_reader_and_equations_agree(t: int, p: int, v: int, s: int) -> None:
    scan = f"{s:08X}{t:06X}{p:06X}{v:04X}"
    theirs = reader.read_sbe39plus_data(scan, [reader.Sensors.Pressure])
    assert (theirs["temperature"], theirs["pressure"], theirs["temperature compensation"]) == (t, p, v)
    k_t = cc.TemperatureCoefficients(*(K[f"TA{n}"] for n in range(4)))
    wanted_t = conversion.convert_temperature(np.array([float(t)]), k_t)[0]
    k_p = cc.PressureCoefficients(**{name.lower(): value for name, value in K.items() if name[0] == "P"})
    wanted_p = conversion.convert_pressure(np.array([float(p)]), np.array([float(v)]), k_p, "dbar")[0]
    decoded = decode(Sbe39plus, scan.encode() + b"\r\n" + scan[:14].encode() + b"\r\n", {"coefficients": K})
    assert times(decoded) == [(s + 946_684_800) * 10**9] * 2
    if -5 <= wanted_t <= 45:
        np.testing.assert_allclose(column(decoded, T), [wanted_t] * 2, atol=5.1e-5)
    if -20 <= wanted_p <= 12000:
        np.testing.assert_allclose(column(decoded, P), [wanted_p], atol=5.1e-4, rtol=1e-6)


def test_an_uploads_first_scan_reads_as_the_manufacturers_test_says() -> None:
    """seabirdscientific, tests/test_instrument_data.py, TestReadHex39plus: counts and time of SBE39plus.hex."""
    when_s = int(np.datetime64("2025-09-15T20:27:22").astype(np.int64)) - 946_684_800
    scan = f"{when_s:08X}{1804057:06X}{108184:06X}{34003:04X}\r\n".encode()
    raw = b"1804057,  108184, 34003, 15 Sep 2025, 20:27:22\r\n"
    as_scan, as_raw = (decode(Sbe39plus, data, {"coefficients": K}) for data in (scan, raw))
    assert times(as_scan) == times(as_raw) == [(when_s + 946_684_800) * 10**9]
    np.testing.assert_equal(column(as_scan, PT), column(as_raw, PT))


def test_raw_counts_need_coefficients_and_take_them_from_the_instrument() -> None:
    simulator = Sbe39plusSimulator(logging=False, output_format=0)
    raw = simulator.receive(b"TS\r", START_NS)
    assert kinds(decode(Sbe39plus, raw)) == ["calibration"]
    told = simulator.receive(b"GetCC\r", START_NS)
    found_all(decode(Sbe39plus, told + raw), simulator.take_said())
    with pytest.raises(ValidationError, match="no coefficient is called NONSENSE"):
        Sbe39plus.Settings(coefficients={"nonsense": 1.0})


def test_a_scan_from_after_its_upload_is_damaged_memory() -> None:
    header = b"* Sea-Bird SBE39plus Data File:\r\n* System UpLoad Time = Mar 01 2020 10:00:00\r\n*END*\r\n"
    late = f"{700_000_000:08X}{300_000:06X}\r\n".encode()
    good = f"{600_000_000:08X}{300_000:06X}\r\n".encode()
    decoded = decode(Sbe39plus, header + good + late + good, {"coefficients": K})
    assert (len(times(decoded)), kinds(decoded)) == (2, ["implausible"])


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (LINE.replace(b"8.5796", b"8.579"), "syntax"),
        (LINE.replace(b"531.316", b"531.3a6"), "syntax"),
        (LINE.replace(b"Jul", b"Jux"), "syntax"),
        (LINE.replace(b"14 Jul", b"31 Sep"), "syntax"),
        (LINE.replace(b"09:01:44", b"29:01:44"), "syntax"),
        (LINE[:-6] + b"\r\n", "syntax"),
        (LINE.replace(b"8.5796", b"98.5796"), "implausible"),
        (b"\xff\xfe\r\n", "noise"),
        (XML.replace(b"24.6671", b"24.66x1"), "syntax"),
        (XML.replace(b"</datapacket>", b""), "truncated"),
        (b"0011223344556677\r\n", "syntax"),
        (b"?CMD\r\n", "exception"),
    ],
)
def test_a_damaged_line_is_refused(line: bytes, kind: str) -> None:
    decoded = decode(Sbe39plus, LINE + line + LINE)
    assert kinds(decoded) == [kind]
    assert column(decoded, P)[0] == column(decoded, P)[-1] == 531.316


STREAM = (
    LINE * 2
    + b"S>GetCD\r\n<ConfigurationData DeviceType='SBE39plus' SerialNumber='03907844'>\r\n</ConfigurationData>\r\n"
    + XML.replace(b"><", b">\r\n<")
    + b"# 26.9851, 30 Jan 2013, 14:00:19\r\n\x80\r\n"
    + XML[:90]
    + b"\r\n"
    + LINE
    + b"300000, 14 Jul 2016, 09:01:44\r\n"
    + XML
    + XML[:100]
)


@PROBABLE
@given(st.sets(st.integers(0, len(STREAM)), max_size=30))
def test_cutting_never_matters(cuts: set[int]) -> None:
    cut_anywhere(Sbe39plus, STREAM, {"coefficients": K}, cuts)


def test_what_is_wrong_in_a_stream_is_told_in_its_place() -> None:
    decoded = decode(Sbe39plus, STREAM, {"coefficients": K})
    assert kinds(decoded)[:2] == ["noise", "truncated"]
    assert len(times(decoded)) == 7


@PROBABLE
@given(st.binary(max_size=2000))
def test_random_bytes_give_no_sample(noise: bytes) -> None:
    assert not frames(decode(Sbe39plus, noise, {"coefficients": K}))


@PROBABLE
@given(at=st.integers(0, len(LINE) - 3), byte=st.integers(0, 255))
def test_one_damaged_byte_costs_its_line_alone(at: int, byte: int) -> None:
    """But for one digit made another, which nothing in such a line can show."""
    if bytes([byte]) in b"0123456789 -,#\r\n" or byte == LINE[at]:
        return
    decoded = decode(Sbe39plus, LINE + LINE[:at] + bytes([byte]) + LINE[at + 1 :] + LINE)
    if kinds(decoded):  # one letter of a month's name made that of another, else
        assert samples(decoded) == samples(decode(Sbe39plus, LINE + LINE))
    else:
        assert chr(byte).isalpha()


@settings(PROBABLE, max_examples=40)
@given(seed=st.integers(0, 9), output_format=st.integers(0, 2), pressure=st.booleans(), cut=st.integers(1, 300))
def test_the_driver_finds_all_that_the_simulator_said(seed: int, output_format: int, pressure: bool, cut: int) -> None:
    mischief = Mischief(period=4, spikes=(1,), spike_by=1.5)
    simulator = Sbe39plusSimulator(seed=seed, output_format=output_format, pressure=pressure, mischief=mischief)
    data = b"".join(simulator.tick(START_NS + step * 10**9) for step in range(16))
    decoded = decode(Sbe39plus, data, {"coefficients": K}, range(cut, len(data), cut))
    found_all(decoded, simulator.take_said())


def test_the_simulator_answers_a_driver_that_polls() -> None:
    simulator = Sbe39plusSimulator()
    driver: Any = load("sbe39plus")("t", Sbe39plus.Settings(mode="polled"))
    decoded = []
    for n, asked in enumerate((driver.start(), driver.hail(), driver.poll(), b"SLT\r\n")):
        at = Arrival(START_NS + n * 10**9, n * 10**9, "boot", True)
        decoded += driver.feed(simulator.receive(asked, at.utc_ns), at)
    found_all(decoded, simulator.take_said())
    assert driver.description()["serial"] == "03909999"
    assert simulator.tick(START_NS + 10**12) == b""
