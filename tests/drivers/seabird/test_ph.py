"""Uploaded scans of pH sensors against the manufacturer's own software."""

from typing import Any

import numpy as np
import pytest
import seabirdscientific.conversion as theirs
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from seabirdscientific.cal_coefficients import PHSeaFETExternalCoefficients, PHSeaFETInternalCoefficients
from seabirdscientific.instrument_data import InstrumentType, read_seafet_data

from drivers.seabird import ph
from drivers.seabird.sbe37 import Sbe37
from drivers.seabird.seafet import SeaFet
from tests.drivers.decoded import frames, problems
from tests.drivers.line_drivers import PROBABLE, column, cut_anywhere, decode, kinds
from tests.drivers.seabird.test_calibration import OXYGEN
from tidegate.clock import isoformat

PH, PH_INTERNAL = "sea_water_ph_reported_on_total_scale", "sea_water_ph_reported_on_total_scale_internal_electrode"
# seabirdscientific, tests/test_conversion.py and example_coefficients.py at v2: counts, volts and pH of a SeaFET.
INTERNAL = np.array([5105334.0, 5105384.0, 5105350.0, 5105505.0, 5105347.0])
INTERNAL_V = [-0.978492, -0.978477, -0.978487, -0.978441, -0.978488]
K: dict[str, float] = {
    "KDF0": -1.354, "KDF2": -0.00107, "K0": -1.3849, "K2": -0.00105,
    "F1": 3e-5, "F2": -2e-8, "F3": 1e-11, "F4": -1e-14, "F5": 2e-18, "F6": 1e-22,
    "TDFA0": -9.420702e-5, "TDFA1": 2.937924e-4, "TDFA2": -3.739471e-6, "TDFA3": 1.909551e-7,
}  # fmt: skip


# Of the size that a MicroCAT's are, and the oxygen sensor of test_calibration.
CTD: dict[str, float] = {
    "TA0": -1.179278e-4, "TA1": 3.097942e-4, "TA2": -4.688854e-6, "TA3": 2.081274e-7,
    "G": -9.899853e-1, "H": 1.314100e-1, "I": -4.181710e-4, "J": 4.723872e-5, "CPCOR": -9.57e-8, "CTCOR": 3.25e-6,
    "WBOTC": 4.842900e-7, "PA0": 5.916199e-2, "PA1": 4.851819e-4, "PA2": -4.596432e-12, "PTCA0": 2.762492e2,
    "PTCA1": 6.603433e-1, "PTCA2": 5.756490e-3, "PTCB0": 2.461450e1, "PTCB1": -9.0e-4, "PTCB2": 0.0,
    "PTEMPA0": -6.28624e1, "PTEMPA1": 5.41620e-2, "PTEMPA2": -2.96026e-7, **OXYGEN,
}  # fmt: skip


def scan(external: int, internal: int, thermistor: int, seconds: int = 0x2E7C1D2D, flags: int = 0) -> bytes:
    """A SeaFET's, with humidity 0x4A6 and temperature 0x6B8 of the housing."""
    words = f"{external:06X}{internal:06X}{thermistor:06X}7FE68F7FF0AD7FF0AE4A66B8{seconds:08X}{flags:04X}"
    return words.encode() + b"\r\n"


SEAFET = scan(5139133, 5105334, 364321)


def test_voltages_are_those_of_the_manufacturer() -> None:
    np.testing.assert_allclose(ph.electrode_volts(INTERNAL), INTERNAL_V, atol=5e-7)


@pytest.mark.parametrize("depth", [0.0, 1.0, 2000.0])
def test_ph_is_that_of_the_manufacturer(depth: float) -> None:
    volts, t = np.linspace(-1.05, -0.85, 21), np.linspace(-1.0, 34.0, 21)
    s, p = np.linspace(2.0, 41.0, 21), np.full(21, depth)
    own = PHSeaFETInternalCoefficients(kdf0=K["KDF0"], kdf2=K["KDF2"])
    np.testing.assert_allclose(
        ph.internal_ph(volts, t, K), theirs.convert_internal_seafet_ph(volts, t, own, "volts"), atol=1e-9
    )
    fs: dict[str, Any] = {name.lower(): K[name] for name in ("K0", "K2", "F1", "F2", "F3", "F4", "F5", "F6")}
    told = theirs.convert_external_seafet_ph(volts, t, s, p, PHSeaFETExternalCoefficients(**fs), "volts")
    np.testing.assert_allclose(ph.external_ph(volts, t, s, p, K), told, atol=1e-9)
    poly: dict[str, Any] = {"k2f0": -0.001, "k2f1": 1e-8, "k2f2": -1e-12, "k2f3": 1e-16}
    told = theirs.convert_external_seafet_ph(
        volts, t, s, p, PHSeaFETExternalCoefficients(k0=-1.4, k2_poly_order=3, **poly), "volts"
    )
    ours = {"K0": -1.4, **{name.upper(): value for name, value in poly.items()}}
    np.testing.assert_allclose(ph.external_ph(volts, t, s, p, ours), told, atol=1e-9)


WORDS = st.binary(min_size=44, max_size=44)


@PROBABLE
@given(
    WORDS,
    st.sampled_from([(27, "SeaFET2", True), (21, "SeaFET2", False), (44, "SeapHox2", True), (38, "SeapHox2", False)]),
)
def test_the_layout_is_that_of_the_manufacturer(words: bytes, form: tuple[int, str, bool]) -> None:
    octets, model, shallow = form
    words = words[:octets]
    read = read_seafet_data(words.hex(), InstrumentType(model), shallow)
    scans = ph.convert(np.frombuffer(words, np.uint8).reshape(1, -1), {}, 35.0)
    assert scans.time is not None
    assert str(isoformat(int(scans.time[0])))[:19] == read["date time"].isoformat()
    told = {
        "external_ph_electrode_voltage": theirs.convert_ph_voltage_counts(np.array([read["vrs external"]])),
        "internal_temperature": theirs.convert_internal_seafet_temperature(np.array([read["internal temperature"]])),
        "device_status": np.array([read["error flag"]]),
    }
    if shallow:
        told["internal_ph_electrode_voltage"] = theirs.convert_ph_voltage_counts(np.array([read["vrs internal"]]))
    if model == "SeapHox2":
        told["oxygen_phase_delay"] = np.array([read["SBE63 oxygen phase"]])
    housing = told["internal_temperature"]
    told["internal_relative_humidity"] = theirs.convert_seafet_relative_humidity(
        np.array([float(read["relative humidity"])]),
        housing,
    )
    assert set(scans.columns) == set(told)
    for name, values in told.items():
        np.testing.assert_allclose(scans.columns[name], values, atol=1e-9)


def test_scans_without_coefficients_give_voltages_and_with_them_ph() -> None:
    plain = decode(SeaFet, SEAFET * 2)
    assert problems(plain) == []
    (frame,) = frames(plain)
    assert set(frame.columns) == {
        *("external_ph_electrode_voltage", "internal_ph_electrode_voltage", "internal_relative_humidity"),
        *("internal_temperature", "device_status"),
    }
    assert column(plain, "internal_ph_electrode_voltage") == [-0.978492] * 2
    decoded = decode(SeaFet, scan(5139133, 5105334, 364321), {"coefficients": K})
    assert problems(decoded) == []
    (t,), volts = column(decoded, "temperature_of_ph_sensor"), np.array([5139133.0])
    own = PHSeaFETInternalCoefficients(kdf0=K["KDF0"], kdf2=K["KDF2"])
    (wanted,) = theirs.convert_internal_seafet_ph(np.array([5105334.0]), np.array([t]), own)
    assert column(decoded, PH_INTERNAL) == [pytest.approx(wanted, abs=1e-4)]
    for salinity in (35.0, 20.0):
        decoded = decode(SeaFet, scan(5139133, 5105334, 364321), {"coefficients": K, "salinity": salinity})
        fs: dict[str, Any] = {name.lower(): K[name] for name in ("K0", "K2", "F1", "F2", "F3", "F4", "F5", "F6")}
        (wanted,) = theirs.convert_external_seafet_ph(
            volts, np.array([t]), np.array([salinity]), np.zeros(1), PHSeaFETExternalCoefficients(**fs)
        )
        assert column(decoded, PH) == [pytest.approx(wanted, abs=1e-4)]


def test_a_seaphoxs_ctd_is_a_microcats() -> None:
    """The same counts as scans of an SBE 37 with oxygen, whose order differs."""
    k = {**CTD, **K}
    t, c, p, pt, phase, volts = "05A1E4", "1A2B3C", "0032D1", "06F0", "2A9C41", "182B3C"
    rest = "4E6B7D" + "4DE6B6" + "058F21" + "7FE68F7FF0AD7FF0AE4A66B8" + "2E7C1D2D" + "0000"
    (own,) = frames(decode(SeaFet, f"{t}{c}{p}{pt}{phase}{volts}{rest}\r\n".encode(), {"coefficients": k}))
    (microcat,) = frames(decode(Sbe37, f"{t}{c}{phase}{volts}{p}{pt}2E7C1D2D\r\n".encode(), {"coefficients": CTD}))
    shared = [name for name in own.columns if name in microcat.columns]
    assert len(shared) == 7
    for name in shared:
        np.testing.assert_array_equal(own.columns[name], microcat.columns[name])
    assert own.time.tolist() == microcat.time.tolist()
    assert {PH, PH_INTERNAL, "temperature_of_ph_sensor"} <= set(own.columns)
    deep = f"{t}{c}{p}{pt}{phase}{volts}{rest[:6]}{rest[18:]}\r\n".encode()
    assert PH_INTERNAL not in frames(decode(SeaFet, deep, {"coefficients": k}))[0].columns
    assert column(decode(SeaFet, deep, {"coefficients": k}), PH) == own.columns[PH].tolist()


def test_a_scan_that_lost_a_digit_is_refused() -> None:
    good = scan(5139133, 5105334, 364321)
    assert kinds(decode(SeaFet, good + good[1:] + good)) == ["syntax"]
    assert kinds(decode(SeaFet, good + good.replace(b"7F", b"7G", 1) + good)) == ["syntax"]


@PROBABLE
@given(st.sets(st.integers(0, 200), max_size=20))
def test_cutting_never_matters(cuts: set[int]) -> None:
    stream = SEAFET + scan(5139133, 5105334, 364321, flags=8) + b"*END*\r\n" + SEAFET[:30]
    cut_anywhere(SeaFet, stream, {"coefficients": K}, {c for c in cuts if c <= len(stream)})


def test_a_wrong_name_of_a_coefficient_is_told() -> None:
    with pytest.raises(ValidationError, match="no coefficient is called KDF1"):
        SeaFet.Settings(coefficients={"kdf1": 1.0})
