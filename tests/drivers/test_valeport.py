"""Valeport: lines of the manuals and of real gauges, damage, and the simulator."""

from functools import reduce
from operator import xor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.driver import load
from drivers.simulators.simulator import Mischief
from drivers.simulators.valeport import ValeportSimulator
from drivers.valeport import Valeport
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

LEVEL, DEPTH = "water_surface_height_above_reference_datum", "depth"
P, TARED = "sea_water_pressure", "sea_water_pressure_due_to_sea_water"
T, C, SV = "sea_water_temperature", "sea_water_electrical_conductivity", "speed_of_sound_in_sea_water"
REAL = b"$PVTM0,01,20042019,084000,-0.271,0.010,1,5.6,0*2a\r\n"  # EvgeniyPotapov/TCP-Tide-Gauge
G740 = b"ID:01 TIME:20/11/2009 09:29:00\tP(dBar)= 3.487\tD(m)= 3.152\r\n"
IPS = b"$PIPS,0001.00,M*78\r\n"
SVX = b"1483.576 M/SEC\t0010.122 M\t0021.291 C\t0000.142 MS/CM\t0000.124 PSU\t\r\n"
SVP = b" 10.351 21.488 1506.739 \r\n"
CTD: dict[str, Any] = {"columns": ["pressure", "temperature", "conductivity"]}
SVP_COLUMNS: dict[str, Any] = {"columns": ["pressure", "temperature", "sound_velocity"]}


def sentence(fields: str) -> bytes:
    return f"${fields}*{reduce(xor, fields.encode()):02X}\r\n".encode()


def one(line: bytes, given: dict[str, Any] | None = None) -> dict[str, Any]:
    """The only sample of a line; its time where the instrument gave one."""
    decoded = decode(Valeport, line, given)
    assert problems(decoded) == []
    (frame,) = frames(decoded)
    time = isoformat(int(frame.time[0])) if frame.source is TimeSource.INSTRUMENT else None
    return {"time": time, **{name: values[0].item() for name, values in frame.columns.items()}}


# Other people's lines


def test_a_real_tidemaster() -> None:
    assert one(REAL) == {
        "time": "2019-04-20T08:40:00.000000000Z",
        LEVEL: -0.271,
        "standard_deviation_of_water_level": 0.010,
        "battery_voltage": 5.6,
        "device_status": 0,
    }


def test_a_tidemaster_in_its_other_units() -> None:
    dbar = one(sentence("PVTM0,01,20042019,084000,3.487,0.010,0,12.6,0"))
    assert (dbar[TARED], dbar["standard_deviation_of_sea_water_pressure"]) == (3.487, 0.010)
    feet = one(sentence("PVTM0,01,20042019,084000,10.341,0.100,2,12.6,0"))
    assert (feet[LEVEL], feet["standard_deviation_of_water_level"]) == (3.151937, 0.03048)


def test_its_weather_station_and_its_water_sensor() -> None:
    """The layout of the TideMaster manual, pages 48 and 49, with made-up values."""
    found = one(sentence("PVTM1,01,20042019,084000,012.50,00.50,015.20,0,270.0,05.00,1013.2,0,028.5,0,024.1,078.0"))
    assert found == {
        "time": "2019-04-20T08:40:00.000000000Z",
        "wind_speed": 6.4306,
        "wind_speed_of_gust": 7.8196,
        "wind_from_direction": 270.0,
        "air_pressure": 1013.2,
        "air_temperature": 28.5,
        "dew_point_temperature": 24.1,
        "relative_humidity": 78.0,
    }
    found = one(sentence("PVTM2,01,20042019,084000,28.500,0,50.123,mS,"))
    assert (found[T], found[C]) == (28.5, 5.0123)
    assert one(sentence("PVTM2,01,20042019,084000,68.000,1,50.123,mS"))[T] == 20.0


def test_the_740_multi_gauge() -> None:
    """TideMaster manual, page 49."""
    for line in (G740, G740.replace(b"\t", b" "), G740.replace(b"= 3.487", b"=   3.487")):
        assert one(line) == {"time": "2009-11-20T09:29:00.000000000Z", TARED: 3.487, LEVEL: 3.152}
    assert one(b"P(dBar)=   3.487\tD(m)=   3.152\r\n") == {"time": None, TARED: 3.487, LEVEL: 3.152}
    assert one(b"P(dBar)=   3.487\tD(ft)=  10.341\r\n") == {"time": None, TARED: 3.487, LEVEL: 3.151937}
    assert one(b"P(dBar)=   3.487\r\n") == {"time": None, TARED: 3.487}


@pytest.mark.parametrize(
    ("line", "given", "wanted"),
    [
        (IPS, {}, {DEPTH: 1.0}),
        (b"0009.996,M\r\n", {}, {DEPTH: 9.996}),
        (b"0009.996,M,0.000\r\n", {}, {DEPTH: 9.996, "standard_deviation_of_water_level": 0.0}),
        (b"0009.914/dBar\r\n", {}, {P: 9.914}),
        (b"0009.914/dBar\r\n", {"tared": True}, {TARED: 9.914}),
        (b"0000.996,0.000\r\n", {"unit": "m"}, {DEPTH: 0.996, "standard_deviation_of_water_level": 0.0}),
        (b"00/00/00, 00:00:00, 0010.1,0.0,0.00\r\n", {"unit": "dBar"}, {P: 10.1}),
        (b"$PVIPS2,01,45687,10.996,d,10.988,M*61\r\n", {}, {P: 10.996, DEPTH: 10.988}),
        (b"$PVIPS2,01,45687,10.996,d,10.988,*2c\r\n", {}, {P: 10.996}),
    ],
)
def test_the_miniips2(line: bytes, given: dict[str, Any], wanted: dict[str, float]) -> None:
    """miniIPS2 manual, pages 19 to 21; its checksums of $PVIPS2 are right."""
    assert one(line, given) == {"time": None, **wanted}


def test_the_probes() -> None:
    """uvSVX page 24, uvSVP page 11, miniSERIES page 15."""
    assert one(SVX) == {
        "time": None, SV: 1483.576, DEPTH: 10.122, T: 21.291, C: 0.0142, "sea_water_practical_salinity": 0.124
    }  # fmt: skip
    assert one(SVX.replace(b"\t0000.124 PSU", b"").replace(b"2 M\t", b"2 DBAR\t"))[P] == 10.122
    assert one(SVP, SVP_COLUMNS) == {"time": None, P: 10.351, T: 21.488, SV: 1506.739}
    for printed, dbar in ((b"0123.4", 123.4), (b"012.34", 12.34), (b"12.345", 12.345)):
        assert one(printed + b"\t-01.174\t33.123\r\n", CTD) == {"time": None, P: dbar, T: -1.174, C: 3.3123}
    # A miniSVS gives millimetres a second, and zeros in air (uwesub).
    depth = {"columns": ["pressure", "sound_velocity"]}
    assert one(b" 09.951 1506739\r\n", depth)[SV] == 1506.739
    (frame,) = frames(decode(Valeport, b" 09.951 0000000\r\n", depth))
    assert frame.missing(SV).tolist() == [Missing.INVALID]


# Damage


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"$PIPS,0001.00,*19\r\n", "checksum"),  # the manual's own example; 35 would be right
        (REAL.replace(b"-0.271", b"-0.371"), "checksum"),
        (sentence("PVTM0,01,31022019,084000,-0.271,0.010,1,5.6,0"), "syntax"),
        (sentence("PVTM0,01,20042019,084000,-0.27,0.010,1,5.6,0"), "syntax"),
        (sentence("PIPS,0001.00,"), "unit"),
        (b"0009.996\r\n", "unit"),
        (G740.replace(b"3.487", b"3.48"), "syntax"),
        (G740.replace(b"20/11", b"31/11"), "syntax"),
        (G740.replace(b"3.487", b"3.4X7"), "syntax"),
        (SVX.replace(b"M/SEC", b"M/SEX"), "syntax"),
        (SVP, "syntax"),
        (b"$GPGGA,101229.70*00\r\n", "unknown"),
        (b"ID:01 TI\xffE:20/11/2009\r\n", "noise"),
        (sentence("PVTM0,01,20042019,084000,271.000,0.010,1,5.6,0"), "implausible"),
    ],
)
def test_a_damaged_line_is_refused(line: bytes, kind: str) -> None:
    decoded = decode(Valeport, REAL + line + REAL)
    assert kinds(decoded) == [kind]
    if kind != "implausible":
        assert samples(decoded) == samples(decode(Valeport, REAL + REAL))


STREAM = (
    b"You are connected to a Valeport Mini IPS Sensor\r\n0760700B 14/09/2019 07:00\r\n"
    + REAL * 2 + G740 * 2 + IPS + SVX + REAL.replace(b"-0.271", b"-0.2X1")
    + b"#\r\n>S\r\n" + b"12.345\t21.456\t33.123\r\n>"
    + b"\x80\x81\r\n" + b"0009.996,M,0.000\r\n" + REAL[:-2]
)  # fmt: skip


@PROBABLE
@given(st.sets(st.integers(0, len(STREAM)), max_size=30))
def test_cutting_never_matters(cuts: set[int]) -> None:
    cut_anywhere(Valeport, STREAM, CTD, cuts)


def test_bytes_one_by_one() -> None:
    cut_anywhere(Valeport, STREAM, CTD, range(1, len(STREAM)))
    decoded = decode(Valeport, STREAM, CTD)
    assert kinds(decoded) == ["checksum", "noise"]
    assert len(times(decoded)) == 9  # the last line has its checksum, so it is whole
    assert kinds(decode(Valeport, REAL + G740[:-2])) == ["truncated"]


@settings(PROBABLE, max_examples=200)
@given(st.sampled_from([REAL, G740, SVX]), st.data())
def test_one_damaged_byte_costs_its_line_alone(line: bytes, data: st.DataObject) -> None:
    """A checksum shows every one; without it one digit made another, or a blank, cannot be seen."""
    size = len(line.rstrip())
    at, byte = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, 255))
    hidden = b"\r\n" if line is REAL else b"0123456789- \t\r\n"
    if bytes([byte]) in hidden or byte == line[at] or (line is REAL and chr(byte).lower() == chr(line[at])):
        return
    if line is SVX and byte == ord("M") and line[at : at + 1] == b" ":
        return
    decoded = decode(Valeport, REAL + line[:at] + bytes([byte]) + line[at + 1 :] + REAL)
    assert samples(decoded) == samples(decode(Valeport, REAL + REAL))
    assert [offset for _, offset, _ in problems(decoded)] == [len(REAL)]


@PROBABLE
@given(st.binary(max_size=2000), st.integers(0, 2000), st.sampled_from([None, CTD, SVP_COLUMNS]))
def test_random_bytes_give_no_sample(noise: bytes, cut: int, given_: Any) -> None:
    assert not frames(decode(Valeport, noise, given_, [min(cut, len(noise))]))


# The simulator


def test_it_is_installed_and_guesses() -> None:
    cls = load("valeport")
    assert cls is Valeport
    assert (cls("it").start(), cls("it").poll()) == (b"", b"")
    guesses = [guess for guess in cls.guesses() if isinstance(guess, Valeport.Settings)]
    assert [guess.columns[2:] for guess in guesses] == [(), ("conductivity",), ("sound_velocity",)]
    # What one guess reads, the other refuses.
    for line in (SVP, b"12.345\t21.456\t33.123\r\n"):
        assert (
            sum(
                len(times(Valeport("it", guess).feed(line, frames(decode(Valeport, REAL))[0].arrival)))
                for guess in guesses
            )
            == 1
        )
    assert [schema.kind for guess in guesses for schema in Valeport("it", guess).schemas()] == [
        "tide_gauge",
        "ctd",
        "ctd",
    ]


GIVEN: dict[str, dict[str, Any]] = {"minictd": CTD, "minisvp": SVP_COLUMNS}


@PROBABLE
@given(
    seed=st.integers(0, 9),
    kind=st.sampled_from(["tidemaster", "740", "740a", "miniips2", "minictd", "minisvp"]),
    cut=st.integers(1, 200),
)
def test_the_driver_finds_all_that_the_simulator_said(seed: int, kind: Any, cut: int) -> None:
    mischief = Mischief(period=4, spikes=(1,), spike_by=1.5, stuck=(2, 3))
    simulator = ValeportSimulator(seed=seed, kind=kind, mischief=mischief)
    data = b"".join(simulator.tick(START_NS + step * 500_000_000) for step in range(12))
    found_all(decode(Valeport, data, GIVEN.get(kind), range(cut, len(data), cut)), simulator.said)


@pytest.mark.parametrize("kind", ["miniips2", "minictd", "minisvp"])
def test_the_simulator_answers_a_driver_that_polls(kind: Any) -> None:
    simulator = ValeportSimulator(kind=kind)
    driver = Valeport("it", Valeport.Settings.model_validate({"mode": "polled", **GIVEN.get(kind, {})}))
    decoded = conversation(driver, simulator, polls=3)
    found_all(decoded, simulator.said)
    assert len(simulator.said) == 3
    assert simulator.receive(b"M1\r\n", START_NS) == b"M1\r\n"
    assert simulator.tick(START_NS + 10**12) != b""
    assert column(decoded, P)
    with pytest.raises(ValueError, match="interval_s must be"):
        ValeportSimulator(interval_s=0.01)
