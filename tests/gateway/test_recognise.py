import time
from collections.abc import Sequence
from random import Random

import pytest

from drivers.driver import load
from gateway import recognise
from gateway.recognise import ENOUGH, Guess, guesses, half_known
from gateway.simulate import KINDS, build
from tidegate.clock import UNKNOWN, Arrival

T0_NS = 1_764_000_000 * 10**9
TICK_NS = 20_000_000
Pieces = list[tuple[bytes, Arrival]]

# kind of simulator, its settings -> the driver that must come first; None: nobody can know it by listening
HEARD: dict[tuple[str, ...], str | None] = {
    ("aml",): None,
    ("aml", "outputformat=amlx"): "aml",
    ("aquadopp",): "nortek_classic",
    ("ascii", "pattern=knudsen"): "ascii",
    ("ascii", "pattern=winch"): "ascii",
    ("dvl",): "trdi_dvl",
    ("dvl", "output=PD5"): "trdi_dvl",
    ("gill",): "gill",
    ("paroscientific",): None,
    ("paroscientific", "running=true"): None,
    ("radar",): None,
    ("rbr",): None,
    ("rbr", "outputformat=caltext02"): "rbr",
    ("sbe16plus",): "sbe16plus",
    ("sbe26plus",): "sbe26plus",
    ("sbe37",): "sbe16plus",
    ("sbe37", "salinity=true"): "sbe16plus",
    ("sbe39plus",): "sbe39plus",
    ("sbe45",): "sbe45",
    ("sbe45", "salinity=true", "sound_velocity=true"): "sbe45",
    ("sbe54",): "sbe54",
    ("sbe911plus",): None,
    ("seafet",): "seafet",
    ("ship",): "nmea0183",
    ("signature",): "nortek_ad2cp",
    ("signature", "telemetry=100"): "nortek_nmea",
    ("signature", "telemetry=102"): "nortek_nmea",
    ("vaisala_ptu",): "vaisala_ptu",
    ("vaisala_wxt",): "vaisala_wxt",
    ("valeport",): "valeport",
    ("valeport", 'kind="740"'): "valeport",
    ("valeport", "kind=miniips2"): "valeport",
    ("valeport", "kind=minictd"): "valeport",
    ("valeport", "kind=minisvp"): "valeport",
    ("workhorse",): "trdi_pd0",
    ("workhorse", "hexadecimal=true"): "trdi_pd0",
}
ALIKE = {"sbe37": "sbe16plus"}
"""Drivers whose instruments print the very same lines."""


def said(kind: str, *settings: str, seconds: int = 10) -> Pieces:
    """What a simulated instrument says unasked."""
    simulator = build(kind, 1 / 24 if kind == "sbe911plus" else 1.0, settings)
    if kind == "sbe26plus":
        seconds += 20  # until its logging starts
    pieces = []
    for k in range(seconds * 50):
        at = Arrival(T0_NS + k * TICK_NS, k * TICK_NS, "00" * 8, True)
        if data := simulator.tick(at.utc_ns):
            pieces.append((data, at))
    return pieces


def without(pieces: Pieces, count: int) -> Pieces:
    """The stream as one hears it who came `count` bytes late."""
    left = []
    for data, at in pieces:
        if count < len(data):
            left.append((data[count:], at))
        count = max(count - len(data), 0)
    return left


def winners(found: Sequence[Guess]) -> set[str]:
    """The drivers that share the first place."""
    best = max((g.confidence for g in found), default=0.0)
    return {g.driver for g in found if g.confidence >= max(ENOUGH, best - 0.01)}


def test_every_kind_of_simulator_is_tried() -> None:
    assert {kind for kind, *_ in HEARD} >= set(KINDS) - {"modbus", "sdi12"}


@pytest.mark.parametrize("case", HEARD, ids=" ".join)
def test_an_instrument_is_recognised_from_wherever_one_begins_to_listen(case: tuple[str, ...]) -> None:
    stream, expected = said(*case), HEARD[case]
    size, random = sum(len(data) for data, _ in stream), Random(" ".join(case))
    for late in (0, random.randrange(size // 3 + 1)):
        found = guesses(without(stream, late))
        allowed = {expected, *(a for a, b in ALIKE.items() if b == expected)}
        assert {guess.driver for guess in found if guess.samples} <= allowed  # a stranger's line is no sample to others
        if expected is None:
            assert not winners(found)
        else:
            assert found[0].confidence > 0.7
            assert expected in winners(found)


@pytest.mark.parametrize("kind", ["aml", "rbr", "paroscientific", "sbe39plus"])
def test_a_driver_that_lacks_only_what_the_instrument_can_tell_is_known(kind: str) -> None:
    settings = {"paroscientific": ["running=true"], "sbe39plus": ["output_format=0"]}.get(kind, [])
    stream = said(kind, *settings)
    assert kind in half_known(stream, recognise.installed())
    deck_unit = half_known(said("sbe911plus"), recognise.installed())
    assert not any(load(name).hail() for name in deck_unit)


def test_what_it_says_of_itself_tells_twins_apart() -> None:
    for kind in ("sbe37", "sbe16plus"):
        simulator = build(kind, 1.0, ())
        answer = simulator.receive(load(kind).hail(), T0_NS)
        first, *others = guesses([(answer, UNKNOWN), *said(kind)])
        assert (first.driver, first.confidence > 0.9) == (kind, True)
        assert all(other.driver == kind for other in others)
        assert first.told["serial"]


def test_a_name_alone_is_enough() -> None:
    answer = build("sbe54", None, ()).receive(load("sbe54").hail(), T0_NS)
    found = guesses([(answer, UNKNOWN)])
    assert [g.driver for g in found] == ["sbe54"]
    assert found[0].samples == 0
    assert found[0].confidence > 0.7


def test_a_driver_that_does_not_load_costs_the_others_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = said("valeport")

    def broken(name: str) -> type:
        if name == "nmea0183":
            raise ImportError("no module named so")
        return load(name)

    recognise.installed.cache_clear()
    monkeypatch.setattr("drivers.driver.load", broken)
    try:
        assert "nmea0183" not in recognise.installed()
        assert guesses(stream)[0].driver == "valeport"
    finally:
        recognise.installed.cache_clear()


NOISE = {
    "random": Random(1).randbytes(32768),
    "digits": bytes(Random(2).choices(b"0123456789 ,.-\r\n", k=32768)),
    "zeros": bytes(32768),
    "line ends": b"\r\n" * 16384,
    "one line": b"1" * 32768,
}


@pytest.mark.parametrize("kind", NOISE)
def test_nobody_is_recognised_in_noise(kind: str) -> None:
    assert not winners(guesses([(NOISE[kind], UNKNOWN)]))


@pytest.mark.parametrize("kind", [*NOISE, "ship", "sbe45", "rbr", "signature", "seafet"])
def test_four_times_the_bytes_take_no_more_than_some_four_times_as_long(kind: str) -> None:
    data = NOISE.get(kind) or b"".join(data for data, _ in said(kind, seconds=20))
    data = (data * (32768 // len(data) + 1))[:32768]
    guesses([(data[:100], UNKNOWN)])  # the drivers are loaded

    def spent_s(size: int) -> float:
        begun_s = time.process_time()
        guesses([(data[:size], UNKNOWN)])
        return time.process_time() - begun_s

    least_s = min(spent_s(8192) for _ in range(2))
    assert min(spent_s(32768) for _ in range(2)) < 10 * least_s + 0.2
