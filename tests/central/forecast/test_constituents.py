"""The astronomy of the constituents against UTide, NOAA's speeds and Schureman's nodal factors."""

import numpy as np
import pytest
from utide._ut_constants import ut_constants
from utide.harmonics import ut_E

from central.forecast.constituents import _ASTRONOMICAL, _COMPOUND, CONSTITUENTS, basis, speed

_DAY_NS = 86_400_000_000_000
_ORDINAL_1970 = 719_163.0


@pytest.mark.parametrize("latitude", [0.0, 1.3, -4.0, 12.0, -45.0, 78.0])
def test_basis_is_that_of_utide_from_1900_to_2200(latitude: float) -> None:
    time_ns = np.linspace(-2_200_000_000, 7_258_000_000, 400).astype(np.int64) * 1_000_000_000
    names = list(ut_constants.const.name)
    rows = np.array([names.index(name) for name in CONSTITUENTS])
    days = time_ns / _DAY_NS + _ORDINAL_1970
    # UTide divides by zero on the equator itself; a hair north of it, it does what its clamp to 5 degrees means.
    beside = latitude or 1e-9
    theirs = ut_E(days, days[0], ut_constants.const.freq[rows], rows, beside, [0, 0, 0, 0], [])
    ours = basis(CONSTITUENTS, time_ns, np.array([latitude]))[0]
    assert np.abs(ours - theirs).max() < 1e-7


def test_every_constituent_is_listed_once_and_known() -> None:
    assert len(set(CONSTITUENTS)) == len(CONSTITUENTS)
    assert set(CONSTITUENTS) == set(_ASTRONOMICAL) | set(_COMPOUND)


def test_speeds_are_those_published_by_noaa() -> None:
    published = {  # degrees per hour, as listed with the harmonic constituents of any CO-OPS station
        "M2": 28.984104, "S2": 30.0, "N2": 28.43973, "K1": 15.041069, "M4": 57.96821, "O1": 13.943035,
        "M6": 86.95232, "MK3": 44.025173, "S4": 60.0, "MN4": 57.423832, "NU2": 28.512583, "S6": 90.0,
        "MU2": 27.968208, "2N2": 27.895355, "OO1": 16.139101, "LDA2": 29.455626, "S1": 15.0, "J1": 15.5854435,
        "MM": 0.5443747, "SSA": 0.0821373, "SA": 0.0410686, "MSF": 1.0158958, "MF": 1.0980331, "RHO1": 13.471515,
        "Q1": 13.398661, "T2": 29.958933, "R2": 30.041067, "2Q1": 12.854286, "P1": 14.958931, "2SM2": 31.015896,
        "M3": 43.47616, "L2": 29.528479, "K2": 30.082138, "M8": 115.93642, "MS4": 58.984104, "MO3": 42.92714,
    }  # fmt: skip
    ours = np.rad2deg(speed(list(published))) * 3600
    assert np.abs(ours - np.array(list(published.values()))).max() < 2e-5


def test_the_basis_turns_at_the_speed_of_its_constituent() -> None:
    start = np.datetime64("2024-02-29T00:00", "ns").astype(np.int64)
    # Over a node's period of 18.6 years f and u come back, and V has run at its mean speed.
    years_s = 18.6129 * 365.25 * 86_400
    time_ns = start + np.linspace(0, years_s, 5000).astype(np.int64) * 1_000_000_000
    seconds = (time_ns - start) / 1e9
    for name in ("M2", "S2", "N2", "K1", "O1", "K2", "MF"):
        e = basis([name], time_ns, np.array([2.0]))[0, :, 0]
        drift = np.unwrap(np.angle(e * np.exp(-1j * speed([name])[0] * seconds)))
        assert np.abs(drift - drift[0]).max() < 0.9, name
        assert np.abs(drift[-1] - drift[0]) < 0.02, name


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("M2", 0.963, 1.037), ("O1", 0.806, 1.183), ("K1", 0.882, 1.113), ("K2", 0.748, 1.317), ("MF", 1.0, 1.0)],
)
def test_nodal_factors_span_what_schureman_gives(name: str, least: float, most: float) -> None:
    """Schureman (1940), table 14: the extremes over the 18.6 years of the node. Foreman gives MF no satellites."""
    days = np.arange(0, 6800, 10)
    f = np.abs(basis([name], days * _DAY_NS, np.array([30.0])))[0, :, 0]
    assert f.min() == pytest.approx(least, abs=0.012)
    assert f.max() == pytest.approx(most, abs=0.012)


def test_the_equator_counts_as_five_degrees_north_and_each_side_keeps_its_sign() -> None:
    time_ns = np.array([1_700_000_000_000_000_000])
    at = {lat: basis(CONSTITUENTS, time_ns, np.array([lat])) for lat in (-5.0, -2.0, -0.0, 0.0, 3.0, 5.0)}
    assert np.isfinite(at[0.0]).all()
    assert np.array_equal(at[0.0], at[5.0])
    assert np.array_equal(at[-0.0], at[5.0])
    assert np.array_equal(at[3.0], at[5.0])
    assert np.array_equal(at[-2.0], at[-5.0])
    assert not np.allclose(at[-5.0], at[5.0])
