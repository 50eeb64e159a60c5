"""WXT: examples of the manuals with their CRCs, units, damage, and the simulator."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.driver import load
from drivers.simulators.simulator import Mischief
from drivers.simulators.weather import WxtSimulator
from drivers.vaisala.wxt import Wxt, crc
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
)
from tidegate.clock import UNKNOWN
from tidegate.frame import Missing

# WXT520 user's guide M210906EN-C, pages 76 to 81; WXT530 user guide M211840EN-D, pages 84 and 141.
WIND = b"0R1,Dn=236D,Dm=283D,Dx=031D,Sn=0.0M,Sm=1.0M,Sx=2.2M\r\n"
RAIN = b"0R3,Rc=0.0M,Rd=0s,Ri=0.0M,Hc=0.0M,Hd=0s,Hi=0.0M,Rp=0.0M,Hp=0.0M\r\n"
CHECKED = [
    b"0r1,Sn=0.1M,Sm=0.1M,Sx=0.1MGOG\r\n",
    b"0r2,Ta=22.7C,Ua=55.5P,Pa=1004.7H@Fn\r\n",
    b"0r3,Rc=0.00M,Rd=0s,Ri=0.0MIlm\r\n",
    b"0r5,Th=25.0C,Vh=10.6#,Vs=10.8V,Vr=3.369VO]T\r\n",
]
IMPERIAL = b"0R2,Ta=74.6F,Ua=14.7P,Pa=1012.9H\r\n"
SETTINGS = b"0XU,A=0,M=P,T=0,C=2,I=0,B=19200,D=8,P=N,S=1,L=25,N=WXT530,V=1.00\r\n"


def one(data: bytes, given_: dict[str, Any] | None = None) -> dict[str, Any]:
    """The only sample of a message."""
    decoded = decode(Wxt, data, given_)
    assert problems(decoded) == []
    (frame,) = frames(decoded)
    return {"kind": frame.schema.kind, **{name: values[0].item() for name, values in frame.columns.items()}}


@pytest.mark.parametrize("command", [b"0r2Gje", b"0r3Kid", b"0r5Kcd", b"0rBVT", b"0r0Kld", b"0r1Goe"])
def test_the_crc_of_the_manuals_commands(command: bytes) -> None:
    assert crc(command[:-3]) == command[-3:]


def test_messages_with_a_crc() -> None:
    decoded = decode(Wxt, b"".join(CHECKED))
    assert problems(decoded) == []
    assert [frame.schema.kind for frame in frames(decoded)] == ["wind", "air", "precipitation", "transmitter"]
    assert column(decoded, "wind_speed_of_gust") == [0.1]
    assert column(decoded, "air_pressure") == [1004.7]
    assert column(decoded, "duration_of_rainfall") == [0.0]
    assert column(decoded, "reference_voltage") == [3.369]
    (transmitter,) = frames(decoded)[3:]
    assert transmitter.missing("heating_voltage").tolist() == [Missing.INVALID]


def test_messages_without() -> None:
    assert one(WIND) == {
        "kind": "wind", "wind_from_direction_minimum": 236.0, "wind_from_direction": 283.0,
        "wind_from_direction_maximum": 31.0, "wind_speed_minimum": 0.0, "wind_speed": 1.0, "wind_speed_of_gust": 2.2,
    }  # fmt: skip
    assert set(one(WIND, {"mounted": "moving"})) == {"kind"} | {f"relative_{n}" for n in one(WIND) if n != "kind"}
    assert len(one(RAIN)) == 9
    assert one(b"0R4,Tr=111.3C,Ra=0.0M,Sl=0.001208V,Sr=0.000029V\r\n") == {
        "kind": "auxiliary", "temperature_of_auxiliary_sensor": 111.3, "thickness_of_rainfall_amount_2": 0.0,
        "level_sensor_voltage": 0.001208, "radiation_sensor_voltage": 0.000029,
    }  # fmt: skip
    assert one(b"0R5,Th=76.1F,Vh=11.5N,Vs=11.5V,Vr=3.510V,Id=HEL___\r\n") == {
        "kind": "transmitter", "heating_temperature": 24.5, "heating_voltage": 11.5, "supply_voltage": 11.5,
        "reference_voltage": 3.51,
    }  # fmt: skip


def test_a_composite_message_that_the_manuals_print_with_a_wrong_unit() -> None:
    """A duration of hail in mm: that value is left out, the rest is kept."""
    decoded = decode(Wxt, b"0R0,Dx=005D,Sx=2.8M,Ta=23.0C,Ua=30.0P,Pa=1028.2H,Hd=0.00M,Rd=10s,Th=23.6C\r\n")
    assert kinds(decoded) == ["unit"]
    (frame,) = frames(decoded)
    assert frame.missing("duration_of_hail").tolist() == [Missing.INVALID]
    assert {n: v[0] for n, v in frame.columns.items() if n != "duration_of_hail"} == {
        "wind_from_direction_maximum": 5.0, "wind_speed_of_gust": 2.8, "air_temperature": 23.0,
        "relative_humidity": 30.0, "air_pressure": 1028.2, "duration_of_rainfall": 10.0, "heating_temperature": 23.6,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("printed", "name", "value"),
    [
        ("1,Sm=36.0K", "wind_speed", 10.0), ("1,Sm=10.0N", "wind_speed", 5.1444), ("1,Sm=10.0S", "wind_speed", 4.4704),
        ("2,Ta=74.6F", "air_temperature", 23.6667), ("2,Pa=101290.0P", "air_pressure", 1012.9),
        ("2,Pa=1.0129B", "air_pressure", 1012.9), ("2,Pa=759.7M", "air_pressure", 1012.8502),
        ("2,Pa=29.91I", "air_pressure", 1012.8688), ("3,Rc=0.02I", "thickness_of_rainfall_amount", 0.508),
        ("3,Hc=6.5I", "hail_amount", 1.0075),
    ],
)  # fmt: skip
def test_units(printed: str, name: str, value: float) -> None:
    assert column(decode(Wxt, f"0R{printed}\r\n".encode()), name) == [value]


def test_an_invalid_value_does_not_change_what_it_is() -> None:
    """`#` stands in the place of the unit, so the unit is that of the values before."""
    decoded = decode(Wxt, b"0R1,Sm=36.0K\r\n0R1,Sm=0.0#\r\n0R1,Sm=18.0K\r\n")
    (frame,) = frames(decoded)
    assert frame.columns["wind_speed"][[0, 2]].tolist() == [10.0, 5.0]
    assert frame.missing("wind_speed").tolist() == [0, Missing.INVALID, 0]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (CHECKED[1].replace(b"22.7", b"22.8"), "checksum"),
        (CHECKED[1].replace(b"@Fn", b"@F"), "checksum"),
        (b"0R1,Dm=27D,Sm=0.1\r\n", "syntax"),
        (b"0R1,Dm=27D,Dm=28D\r\n", "syntax"),
        (b"0R1,Dm=27D,Ta=20.1C\r\n", "syntax"),
        (b"0R1,Dm=2x7D,Sm=0.1M\r\n", "syntax"),
        (b"0R1,Sm=0.1234M\r\n", "syntax"),
        (b"0R2,Ta=22.7P\r\n", "unit"),
        (b"1R2,Ta=22.7C\r\n", "address"),
        (b"0TX,Unable to measure error\r\n", "exception"),
        (b"0tX,Use chksum GoeIU~\r\n", "exception"),
        (b"0R2,Ta=92.7C\r\n", "implausible"),
        (b"$WIXDR,C,23.3,C,0*55\r\n", "nmea"),
        (b"0R2,Ta=\xb22.7C\r\n", "noise"),
        (b"0+100.050+25.000+0\r\n", "unknown"),
        (b"*000114.69594\r\n", "unknown"),
    ],
)
def test_a_damaged_line_is_refused(line: bytes, kind: str) -> None:
    decoded = decode(Wxt, WIND + line + WIND)
    assert kinds(decoded) == [kind]
    if kind not in ("implausible", "unit"):
        assert samples(decoded) == samples(decode(Wxt, WIND + WIND))


def test_what_it_says_besides() -> None:
    said = SETTINGS + b"0TX,Start-up\r\n0\r\n0R0\r\n?\r\n0WU,R=01001000&00100100,I=60,A=1,G=1,U=M,D=0,N=W,F=4\r\n"
    assert decode(Wxt, said) == []
    driver = Wxt("it")
    driver.feed(said, UNKNOWN)
    assert driver.description() == {"manufacturer": "Vaisala", "model": "WXT530", "firmware": "1.00"}


STREAM = (
    WIND + b"".join(CHECKED) + IMPERIAL + SETTINGS + RAIN + WIND[:20] + b"\r\n\x80\x81\r\n" + WIND + CHECKED[0][:18]
)


@settings(PROBABLE, max_examples=40)
@given(st.data())
def test_cutting_never_matters(data: st.DataObject) -> None:
    cut_anywhere(Wxt, STREAM, None, data.draw(st.sets(st.integers(0, len(STREAM)), max_size=30)))


def test_bytes_one_by_one() -> None:
    cut_anywhere(Wxt, STREAM, None, range(1, len(STREAM)))


@PROBABLE
@given(st.integers(0, len(CHECKED[1]) - 3), st.integers(0, 255))
def test_one_damaged_byte_costs_its_message_alone(at: int, octet: int) -> None:
    whole = CHECKED[1]
    # Where the sign of a CRC is damaged, the message may look like one without.
    if octet == whole[at] or at == 1 or octet in b"\r\n":
        return
    decoded = decode(Wxt, whole + whole[:at] + bytes([octet]) + whole[at + 1 :] + whole)
    assert samples(decoded) == samples(decode(Wxt, whole + whole))


def test_a_message_whose_crc_lost_its_sign_gives_no_number() -> None:
    for message in CHECKED:
        assert not frames(decode(Wxt, message.replace(b"r", b"R", 1)))


@PROBABLE
@given(st.binary(max_size=2000), st.integers(0, 2000))
def test_random_bytes_give_no_sample(noise: bytes, cut: int) -> None:
    assert not frames(decode(Wxt, noise, None, [min(cut, len(noise))]))


# The simulator


def test_it_is_installed_and_sends_what_it_is_told_to() -> None:
    cls = load("vaisala_wxt")
    assert cls is Wxt
    assert (cls("it").start(), cls("it").poll()) == (b"", b"")
    assert cls("it", Wxt.Settings(mode="polled", address="3")).poll() == b"3R0\r\n"
    assert cls("it", Wxt.Settings(mode="polled", asks="R", crc=True)).poll() == b"0rBVT\r\n"
    assert all(line in cls.commands for line in cls.hail().decode().split())
    assert [schema.kind for schema in cls("it").schemas()] == ["wind", "air", "precipitation", "transmitter"]


@PROBABLE
@given(seed=st.integers(0, 9), message=st.sampled_from(["R0", "R"]), crc=st.booleans(), cut=st.integers(1, 60))
def test_the_driver_finds_all_that_the_simulator_said(seed: int, message: Any, crc: bool, cut: int) -> None:
    simulator = WxtSimulator(
        seed=seed, message=message, crc=crc, interval_s=0.5, mischief=Mischief(period=4, stuck=(2, 3))
    )
    data = b"".join(simulator.tick(START_NS + step * 250_000_000) for step in range(12))
    decoded = decode(Wxt, data, None, range(cut, len(data), cut))
    rows = [{n: v[i].item() for n, v in f.columns.items()} for f in frames(decoded) for i in range(len(f))]
    assert problems(decoded) == []
    assert len(rows) == len(simulator.said) > 0
    for row, said in zip(rows, simulator.said, strict=True):
        assert {name: row[name] for name in said.values} == said.values
        assert set(row) - set(said.values) <= {"heating_voltage"}


@pytest.mark.parametrize("asked", [{}, {"crc": True}, {"address": "B"}, {"crc": True, "address": "z"}])
def test_the_simulator_answers_a_driver_that_polls(asked: dict[str, Any]) -> None:
    simulator = WxtSimulator(mode="polled", address=asked.get("address", "0"))
    driver = Wxt("it", Wxt.Settings.model_validate({"mode": "polled", **asked}))
    found_all(conversation(driver, simulator, 5), simulator.said)
    assert len(simulator.said) == 5
    assert driver.description()["model"] == "WXT530"
    assert re.fullmatch(
        rb".tX,Use chksum .{6}\r\n", simulator.receive(f"{simulator.address}r0abc\r\n".encode(), START_NS)
    )
