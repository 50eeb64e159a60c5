"""Barometers and humidity probes: examples of the manuals, damage, and the simulator."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.driver import load
from drivers.simulators.simulator import Mischief
from drivers.simulators.weather import PtuSimulator
from drivers.vaisala.ptu import Ptu
from tests.drivers.decoded import frames, problems, samples
from tests.drivers.line_drivers import (
    PROBABLE,
    START_NS,
    conversation,
    cut_anywhere,
    decode,
    found_all,
    kinds,
)
from tidegate.clock import UNKNOWN
from tidegate.frame import Missing

P, T, RH = "air_pressure", "air_temperature", "relative_humidity"
# PTU300 user's guide, page 105; HMP240, page 79; HMP230, page 54; PTB220, pages 21 and 67.
PTU = b"P= 1013.2 hPa T= 31.1 'C RH= 38.3 %RH\r\n"
HMP = b"RH= 43.0 %RH T= 21.0 'C Tdp= 8.0 'C x= 6.7 g/kg Tw= 13.7 'C\r\n"
TWO = b"P1= 1008.9 hPa P2= 1009.1 hPa P= 1009.0 hPa T= 23.9 'C RH= 34.5 %RH\r\n"
PTB = b"1020.30 hPa\r\n"


def one(data: bytes, given_: dict[str, Any] | None = None) -> dict[str, Any]:
    decoded = decode(Ptu, data, given_)
    assert problems(decoded) == []
    (frame,) = frames(decoded)
    assert frame.schema.kind == "air"
    return {name: values[0].item() for name, values in frame.columns.items()}


def test_lines_of_the_manuals() -> None:
    assert one(PTU) == {P: 1013.2, T: 31.1, RH: 38.3}
    assert one(b">" + PTU) == {P: 1013.2, T: 31.1, RH: 38.3}
    assert one(HMP) == {RH: 43.0, T: 21.0, "dew_point_temperature": 8.0, "wet_bulb_temperature": 13.7}
    assert one(TWO) == {P: 1009.0, T: 23.9, RH: 34.5}
    assert one(PTB) == {P: 1020.3}
    assert one(b"RH= 14.98%RH T= 74.68'F\r\n") == {RH: 14.98, T: 23.7111}
    assert one(b"RH= 21.9 %RH T=23.9 'C a=4.7 g/m3 x=4.0 g/kg Tw= 12.3 'C\r\n") == {
        RH: 21.9, T: 23.9, "mass_concentration_of_water_vapor_in_air": 4.7, "wet_bulb_temperature": 12.3
    }  # fmt: skip
    assert one(b"RH= 33.0 %RH T= 22.1 'C Ta= 21.9 'C\r\n")["air_temperature_2"] == 21.9


@pytest.mark.parametrize(
    ("printed", "hpa"),
    [("P= 101.325 kPa", 1013.25), ("P= 1.013 bar", 1013.0), ("P= 759.9 mmHg", 1013.1168), ("P= 29.92 inHg", 1013.2075),
     ("P= 14.69 psi", 1012.8398), ("P= 1013.25 mbar", 1013.25), ("759.9 torr", 1013.1167)],
)  # fmt: skip
def test_units_of_pressure(printed: str, hpa: float) -> None:
    assert one(f"{printed}\r\n".encode()) == {P: hpa}


def test_a_pressure_without_a_unit_needs_one() -> None:
    assert kinds(decode(Ptu, b"1013.25\r\n")) == ["unit"]
    assert one(b"1013.25\r\n", {"unit": "hPa"}) == {P: 1013.25}
    (frame,) = frames(decode(Ptu, b"****.**\r\n", {"unit": "hPa"}))
    assert frame.missing(P).tolist() == [Missing.INVALID]


def test_stars_are_missing() -> None:
    (frame,) = frames(decode(Ptu, b"RH= ***.* %RH T= 22.1 'C\r\n"))
    assert frame.missing(RH).tolist() == [Missing.INVALID]
    assert frame.columns[T].tolist() == [22.1]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"P= 1013.2 hPa T= 31.1 'C RH= 38.\r\n", "syntax"),
        (b"P= 1013.2 hPa T= 31.1 'CRH= 38.3 %RH\r\n", "syntax"),
        (b"P= 10x3.2 hPa\r\n", "syntax"),
        (b"T= 31.1 'C T= 31.1 'C\r\n", "syntax"),
        (b"Q= 1013.2 hPa\r\n", "syntax"),
        (b"P= 1013.2 'C\r\n", "unit"),
        (b"1013.2 dbar\r\n", "unit"),
        (b"P= 101.2 hPa\r\n", "implausible"),
        (b"Unknown command.\r\n", "exception"),
        (b"P= 1013.2\xb0hPa\r\n", "noise"),
        (b"24.8339,  0.97795\r\n", "unknown"),
    ],
)
def test_a_damaged_line_is_refused(line: bytes, kind: str) -> None:
    decoded = decode(Ptu, PTU + line + PTU)
    assert kinds(decoded) == [kind]
    if kind != "implausible":
        assert samples(decoded) == samples(decode(Ptu, PTU + PTU))


def test_what_it_says_besides() -> None:
    said = b"PTB220 / 2.02\r\nCPU serial no : P1234567\r\n>send\r\n>\r\nAveraging time : 1.0 s\r\n"
    assert decode(Ptu, said) == []
    driver = Ptu("it")
    driver.feed(said, UNKNOWN)
    assert driver.description() == {
        "manufacturer": "Vaisala", "model": "PTB220", "firmware": "2.02", "serial": "P1234567"
    }  # fmt: skip


STREAM = (
    PTU
    + HMP
    + b">send\r\n"
    + TWO
    + PTB
    + PTU[:20]
    + b"\r\n\x80\r\n"
    + PTB
    + PTB
    + b"RH= ***.* %RH T= 22.1 'C\r\n"
    + HMP[:30]
)


@settings(PROBABLE, max_examples=40)
@given(st.data())
def test_cutting_never_matters(data: st.DataObject) -> None:
    cut_anywhere(Ptu, STREAM, None, data.draw(st.sets(st.integers(0, len(STREAM)), max_size=30)))


def test_bytes_one_by_one() -> None:
    cut_anywhere(Ptu, STREAM, None, range(1, len(STREAM)))


@PROBABLE
@given(st.binary(max_size=2000), st.integers(0, 2000))
def test_random_bytes_give_no_sample(noise: bytes, cut: int) -> None:
    assert not frames(decode(Ptu, noise, None, [min(cut, len(noise))]))


def test_what_almost_fits_is_refused_in_time() -> None:
    """A grammar that tries every way to part it would take years."""
    assert kinds(decode(Ptu, b"P= 1 hP" * 500 + b"\r\n")) == ["syntax"]
    assert kinds(decode(Ptu, b"P=1AAAA" * 500 + b"\r\n")) == ["syntax"]


# The simulator


def test_it_is_installed_and_sends_what_it_is_told_to() -> None:
    cls = load("vaisala_ptu")
    assert cls is Ptu
    assert (cls("it").start(), cls("it").poll()) == (b"", b"")
    assert cls("it", Ptu.Settings(mode="polled")).poll() == b"SEND\r\n"
    assert cls("it", Ptu.Settings(mode="polled", address=7)).poll() == b"SEND 7\r\n"
    assert cls("it", Ptu.Settings(mode="polled", command=".P")).poll() == b".P\r\n"
    assert cls.hail().decode().strip() in cls.commands


@PROBABLE
@given(seed=st.integers(0, 9), kind=st.sampled_from(["ptb330", "hmp155", "ptu300"]), cut=st.integers(1, 60))
def test_the_driver_finds_all_that_the_simulator_said(seed: int, kind: Any, cut: int) -> None:
    simulator = PtuSimulator(seed=seed, kind=kind, interval_s=0.5, mischief=Mischief(period=4, stuck=(2, 3)))
    data = b"".join(simulator.tick(START_NS + step * 250_000_000) for step in range(20))
    found_all(decode(Ptu, data, None, range(cut, len(data), cut)), simulator.said)


def test_the_simulator_answers_a_driver_that_polls() -> None:
    simulator = PtuSimulator(kind="ptu300", mode="polled", address=4)
    driver = Ptu("it", Ptu.Settings(mode="polled", address=4))
    found_all(conversation(driver, simulator, 5), simulator.said)
    assert len(simulator.said) == 5
