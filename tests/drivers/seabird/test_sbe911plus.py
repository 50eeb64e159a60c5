"""SBE 911plus: the manufacturer's scans and values, its own reader as the oracle, lost scans, damage, the simulator."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from seabirdscientific import cal_coefficients as cc
from seabirdscientific import conversion
from seabirdscientific import instrument_data as reader

from drivers.driver import Problem, load
from drivers.seabird.sbe911plus import (
    Configuration,
    Sbe911plus,
    conductivity_of_frequency_s_m,
    digiquartz_dbar,
    temperature_of_frequency_c,
)
from drivers.simulators.sbe911plus import Sbe911plusSimulator, xmlcon
from tests.drivers.decoded import frames, problems, samples
from tests.drivers.line_drivers import PROBABLE, START_NS, column, cut_anywhere, decode, found_all, times
from tidegate.clock import Arrival, TimeSource
from tidegate.frame import Missing

T, C, P = "sea_water_temperature", "sea_water_electrical_conductivity", "sea_water_pressure_due_to_sea_water"

# seabirdscientific, tests/resources/test-data/911plus_trim.hex (2025-07-28, R/V Sally Ride), its first five scans.
HEADER = b"* Sea-Bird SBE 9 Data File:\r\n* SBE 11plus V 5.2\r\n** Ship: SALLY RIDE\r\n*END*\r\n"
SCANS = (
    b"122B2B19EEFC821642122BC818567B40DF5203788580976EF847110004941A26795B9280409C2353390B8868\r\n"
    b"122AF619EEF8821640122BB818568140CF5203788280976DF857110004941A26795B9280409C3354390B8868\r\n"
    b"122A3819EEF182163B122BC018568540BF5203787580976DF857110004941A26795B9280409C2355390B8868\r\n"
    b"12298619EEDE821649122BC518568940BF5003786280A76DF847110004941A26795B9280409C3356390B8868\r\n"
    b"12296B19EEC2821640122BF218568940BF4F03785D80976DF847110004941A26795B9280409C3357390B8868\r\n"
)
# Its coefficients (tests/example_coefficients.py, sensors 5102) and slope and offset (tests/test_conversion.py).
K_T = {"G": 4.39377604e-3, "H": 6.43356818e-4, "I": 2.23495143e-5, "J": 2.02840480e-6, "F0": 1000.0}
K_P = {
    "C1": -4.164639e4,
    "C2": -5.769818e-1,
    "C3": 1.259640e-2,
    "D1": 3.483300e-2,
    "D2": 0.0,
    "T1": 3.004422e1,
    "T2": -4.702082e-4,
    "T3": 4.039850e-6,
    "T4": 3.117530e-9,
    "T5": 0.0,
    "AD590M": 1.281400e-2,
    "AD590B": -9.348340,
}
K_C = {"G": -9.90838065, "H": 1.60083819, "I": -1.58153324e-3, "J": 1.99854164e-4, "CPCOR": -9.57e-8, "CTCOR": 3.25e-6}
PLAIN = {"SLOPE": 1.0, "OFFSET": 0.0}
OF_CAST = {"SurfaceParVoltageAdded": 1, "NmeaPositionDataAdded": 1, "ScanTimeAdded": 1}


@pytest.fixture(scope="module")
def given_file(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("cast") / "cast.xmlcon"
    path.write_text(xmlcon(K_T, K_C, {**K_P, "SLOPE": 1.00001297, "OFFSET": -2.46118}, OF_CAST))
    return {"xmlcon": path}


# Other people's values


def test_a_scan_holds_what_the_manufacturers_software_finds(given_file: dict[str, Any]) -> None:
    """Values of SBE Data Processing, from the tests of seabirdscientific."""
    decoded = decode(Sbe911plus, HEADER + SCANS, given_file)
    assert problems(decoded) == []
    first = {name: column(decoded, name)[0] for name in frames(decoded)[0].schema.by_name}
    wanted = (3.7338, 0.2112, 4.9328, 2.3370, 2.4884, 2.6777, 0.1502, 2.7912)
    assert [first[f"external_voltage_{n}"] for n in range(8)] == list(wanted)
    assert (first["surface_par_voltage"], first["latitude"], first["longitude"]) == (1.4310, 34.2757, -120.0256)
    assert first["modulo_count"] == 83
    assert (first["pump_on"], first["bottom_contact"], first["water_sampler_confirms"]) == (1, 0, 0)
    assert first["modem_carrier_detected"] == 1
    assert first[T] == 16.6799
    np.testing.assert_allclose(first[P], 2.099, atol=1e-3)
    assert column(decoded, "modulo_count") == [83, 84, 85, 86, 87]
    stamp_ns = int(np.datetime64("2025-07-28T23:43:53", "ns").astype(np.int64))
    assert times(decoded) == [stamp_ns + round(k / 24 * 1e9) for k in range(5)]


def test_temperatures_and_pressures_are_the_manufacturers() -> None:
    """seabirdscientific, tests/test_conversion.py: TestConvertTemperatureFrequency and TestDigiquartzPressure."""
    hertz = np.array([4651.168, 4650.961, 4650.219, 4649.523, 4649.418, 4649.879, 3771.953, 4084.508])
    wanted = [16.6799, 16.6777, 16.6698, 16.6624, 16.6613, 16.6662, 6.6247, 10.3732]
    np.testing.assert_allclose(temperature_of_frequency_c(hertz, K_T | PLAIN), wanted, atol=1e-4)
    hertz = np.array([33302.258, 33302.250, 33302.230, 33302.285, 33302.250, 33302.258])
    k = {**K_P, "SLOPE": 1.00001297, "OFFSET": -2.46118}
    # There it is averaged over 30 s, and the mean of these six cut to whole counts.
    compensation = np.full(6, 2498.0)
    np.testing.assert_allclose(
        digiquartz_dbar(hertz, compensation, k), [2.099, 2.085, 2.051, 2.146, 2.085, 2.099], atol=1e-3
    )


@settings(PROBABLE, max_examples=50)
@given(
    scan=st.binary(min_size=44, max_size=44),
    t=st.floats(2000, 8000),
    c=st.floats(2500, 9000),
    p=st.floats(32000, 40000),
)
def test_the_manufacturers_own_reader_agrees(scan: bytes, t: float, c: float, p: float) -> None:
    s = reader.Sensors
    volts = [getattr(s, f"ExtVolt{n}") for n in range(8)]
    sensors = [s.SecondaryTemperature, s.SecondaryConductivity, *volts, s.SPAR, s.nmeaLocation, s.SystemTime]
    theirs = reader.read_sbe911plus_data(scan.hex().upper(), sensors)
    status = scan[38] & 0xF
    assert theirs["SBE911 pump status"] == status & 1
    assert theirs["SBE911 modem status"] == status >> 3
    hertz = np.array([t])
    theirs_t = conversion.convert_temperature_frequency(
        hertz, cc.TemperatureFrequencyCoefficients(**{name.lower(): value for name, value in K_T.items()})
    )
    ours_t = temperature_of_frequency_c(hertz, K_T | PLAIN)
    np.testing.assert_allclose(ours_t, theirs_t, atol=1e-9)
    k = cc.PressureDigiquartzCoefficients(**{name.lower(): value for name, value in K_P.items()})
    theirs_p = conversion.convert_pressure_digiquartz(np.array([p]), np.array([2500.0]), k, "dbar", 1 / 24)
    ours_p = digiquartz_dbar(np.array([p]), np.array([2500.0]), K_P | PLAIN)
    np.testing.assert_allclose(ours_p, theirs_p, rtol=1e-6, atol=1e-3)
    if -5 <= ours_t[0] <= 45 and -20 <= ours_p[0] <= 12000:
        k_c = cc.ConductivityCoefficients(**{name.lower(): value for name, value in K_C.items()}, wbotc=0.0)
        theirs_c = conversion.convert_conductivity(np.array([c]), ours_t, ours_p, k_c, reader.InstrumentType.SBE911Plus)
        ours_c = conductivity_of_frequency_s_m(np.array([c]), ours_t, ours_p, K_C | PLAIN)
        np.testing.assert_allclose(ours_c, theirs_c, rtol=1e-9, atol=1e-9)


def test_old_coefficients_give_what_their_sheets_say() -> None:
    """By the equations of the calibration sheets; IPTS-68 becomes ITS-90."""
    k = {"A": 3.68e-3, "B": 6.0e-4, "C": 1.5e-5, "D": 1.6e-6, "F0_OLD": 6000.0, **PLAIN}
    f = np.array([6000.0])
    np.testing.assert_allclose(temperature_of_frequency_c(f, k, old=True), (1 / 3.68e-3 - 273.15) / 1.00024)
    k = {"A": 1.0e-5, "B": 0.5, "C": -4.0, "D": -1.0e-4, "M": 4.0, "CPCOR": -9.57e-8, **PLAIN}
    c = conductivity_of_frequency_s_m(np.array([8000.0]), np.array([10.0]), np.array([1000.0]), k, old=True)
    np.testing.assert_allclose(c, (1e-5 * 8**4 + 0.5 * 64 - 4.0 - 1e-3) / (10 * (1 - 9.57e-5)))


# The configuration


@pytest.mark.parametrize(
    ("changes", "octets"),
    [
        ({}, 15 + 12 + 3),
        ({"FrequencyChannelsSuppressed": 2}, 9 + 12 + 3),
        ({"VoltageWordsSuppressed": 4}, 15 + 3),
        ({"NmeaTimeAdded": 1, "NmeaDepthDataAdded": 1}, 15 + 12 + 3 + 4 + 3),
        (OF_CAST, 44),
    ],
)
def test_the_configuration_says_how_long_a_scan_is(changes: dict[str, int], octets: int) -> None:
    assert Configuration.of(xmlcon(K_T, K_C, K_P | PLAIN, changes)).octets == octets


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not the text of an .xmlcon file"),
        ("<a/>", "<Instrument>"),
        (xmlcon(K_T, K_C, K_P | PLAIN).replace("<G>", "<X>", 1).replace("</G>", "</X>", 1), "coefficient G"),
        (xmlcon(K_T, K_C, K_P | PLAIN, {"VoltageWordsSuppressed": 9}), "should be 0 to 4"),
        (xmlcon(K_T, K_C, K_P | PLAIN).replace("PressureSensor", "TurbiditySensor"), "TurbiditySensor"),
    ],
)
def test_a_wrong_configuration_is_told(text: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.xmlcon"
    path.write_text(text)
    with pytest.raises(ValidationError, match=complaint):
        Sbe911plus.Settings(xmlcon=path)


def test_a_missing_configuration_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="cannot be read"):
        Sbe911plus.Settings(xmlcon=tmp_path / "none.xmlcon")
    assert Sbe911plus.guesses() == []
    assert load("sbe911plus") is Sbe911plus


# Lost scans, damage, time


def scans(*counts: int) -> bytes:
    return b"".join(SCANS[:78] + b"%02X" % count + SCANS[80:88] + b"\r\n" for count in counts)


def test_a_jump_of_the_modulo_count_tells_how_many_scans_are_missing(given_file: dict[str, Any]) -> None:
    decoded = decode(Sbe911plus, scans(254, 255, 0, 4, 5), given_file)
    (problem,) = [d for d in decoded if isinstance(d, Problem)]
    assert (problem.kind, problem.offset) == ("missed_scans", 3 * 90)
    assert "3 scans" in problem.message
    assert column(decoded, "modulo_count") == [254, 255, 0, 4, 5]
    stamp_ns = times(decoded)[0]
    assert times(decoded) == [stamp_ns + round(k / 24 * 1e9) for k in (0, 1, 2, 6, 7)]


def test_a_damaged_scan_is_refused_once(given_file: dict[str, Any]) -> None:
    for damaged, kind in (
        (scans(1)[5:], "length"),
        (scans(1)[:-2] + b"0\r\n", "length"),
        (b"12G" + scans(1)[3:], "syntax"),
        (b"\x80\xff" + scans(1)[2:], "noise"),
    ):
        decoded = decode(Sbe911plus, scans(0) + damaged + scans(2, 3), given_file)
        assert [k for k, _, _ in problems(decoded)] == [kind]
        assert column(decoded, "modulo_count") == [0, 2, 3]


def test_a_value_that_cannot_be_is_left_out_and_the_rest_kept(given_file: dict[str, Any]) -> None:
    decoded = decode(Sbe911plus, b"000000" + scans(1)[6:], given_file)
    (frame,) = frames(decoded)
    assert [kind for kind, _, _ in problems(decoded)] == ["implausible"]
    assert frame.missing(T).tolist() == frame.missing(C).tolist() == [Missing.IMPLAUSIBLE]
    assert frame.columns["sea_water_temperature_2"][0] > 10


def test_a_scan_without_a_time_has_that_of_its_arrival(tmp_path: Path) -> None:
    path = tmp_path / "cast.xmlcon"
    path.write_text(xmlcon(K_T, K_C, K_P | PLAIN, {"SurfaceParVoltageAdded": 1, "NmeaPositionDataAdded": 1}))
    at = Arrival(START_NS, 1, "boot", True)
    (frame,) = frames(decode(Sbe911plus, SCANS[:80] + b"\r\n", {"xmlcon": path}, at=at))
    assert (frame.source, frame.time.tolist()) == (TimeSource.ARRIVAL, [START_NS])


def test_times_go_up_even_where_a_second_has_too_many_scans(given_file: dict[str, Any]) -> None:
    found = times(decode(Sbe911plus, scans(*range(40)), given_file))
    assert (np.diff(found) > 0).all()
    assert found[-1] - found[0] < 10**9


def stream() -> bytes:
    return HEADER + SCANS + scans(90) + b"\xff\xfe\r\n" + SCANS[5:] + b"S>\r\n" + SCANS + HEADER + SCANS[:120]


@settings(PROBABLE, max_examples=20)
@given(st.sets(st.integers(0, len(stream())), max_size=30))
def test_cutting_never_matters(given_file: dict[str, Any], cuts: set[int]) -> None:
    cut_anywhere(Sbe911plus, stream(), given_file, cuts)


@PROBABLE
@given(at=st.integers(0, 87), byte=st.integers(0, 255))
def test_one_damaged_byte_costs_its_scan_alone(given_file: dict[str, Any], at: int, byte: int) -> None:
    """But for one digit made another, which nothing in a scan can show."""
    if bytes([byte]) in b"0123456789ABCDEF\r\n":
        return
    line = scans(1)
    decoded = decode(Sbe911plus, scans(0) + line[:at] + bytes([byte]) + line[at + 1 :] + scans(2), given_file)
    assert samples(decoded)[0][:2] == samples(decode(Sbe911plus, scans(0), given_file))[0][:2]
    assert column(decoded, "modulo_count") == [0, 2]


# The simulator


def said_by(simulator: Sbe911plusSimulator, seconds: float) -> bytes:
    return b"".join(simulator.tick(START_NS + step * 10_000_000) for step in range(round(seconds * 100)))


@settings(PROBABLE, max_examples=20)
@given(seed=st.integers(0, 9), cut=st.integers(1, 500))
def test_the_driver_finds_all_that_the_simulator_said(tmp_path_factory: Any, seed: int, cut: int) -> None:
    simulator = Sbe911plusSimulator(seed=seed)
    path = tmp_path_factory.getbasetemp() / "simulated.xmlcon"
    path.write_text(simulator.configuration())
    data = said_by(simulator, 2.0)
    found_all(decode(Sbe911plus, data, {"xmlcon": path}, range(cut, len(data), cut)), simulator.take_said())


def test_the_simulator_stops_and_starts_as_the_deck_unit(tmp_path: Path) -> None:
    simulator = Sbe911plusSimulator()
    assert said_by(simulator, 0.2)
    simulator.receive(b"S\r", START_NS)
    assert simulator.tick(START_NS + 10**9) == b""
    simulator.receive(b"GR\r", START_NS)
    assert simulator.tick(START_NS + 2 * 10**9)
