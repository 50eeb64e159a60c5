"""Gill: examples of the manuals and of a ship, stations by their columns, damage, and the simulator."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from drivers.driver import Problem, load
from drivers.gill import Gill, checksum
from drivers.simulators.simulator import Mischief
from drivers.simulators.weather import GillSimulator
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
from tidegate.clock import UNKNOWN, TimeSource, isoformat
from tidegate.frame import Missing

FROM, SPEED, STATUS = "wind_from_direction", "wind_speed", "device_status"
# With the checksums that the manuals print, where these are right, and those of a ship (R/V N. B. Palmer).
POLAR = b"\x02Q,229,002.74,M,00,\x0316\r\n"
SHIP = b"\x02A,325,009.31,M,+344.00,+020.63,60,\x0303\r\n"
AVERAGED = b"\x02A,M15,270,002.02,M,253,002.83,00,\x034D\r\n"
METPAK = b"\x02Q,170,000.08,1019.5,035.0,+024.7,+008.3,+04.9,00,\x0355\r\n"
PRO = b"\x02Q,249,000.01,1017.3,049.2,+021.4,+010.3,+040.45,+000.06,+000.04,0000.000,+11.6,00,\x037C\r\n"
GMX240 = (
    b"\x02Q,180,000.06,133,000.21,00000.000,000.000,+50.763060:-001.540268:+0001.60,2017-11-02T15:07:27.6,"
    b"+05.0,0004,\x0331\r\n"
)
GMX300 = (
    b"\x02Q,0999.5,0999.5,0999.5,040,+023.3,+009.1,08.45,,1.2,+015.1,07:58,12:08,16:19,162:+15,16:57,17:39,18:19,"
    b"+00,+01,+1,,2018-01-16T10:55:38.5,+05.1,0000,\x031F\r\n"
)


def names(words: str) -> dict[str, Any]:
    return {"columns": words.split(",")}


METPAK_COLUMNS = names("NODE,DIR,SPEED,PRESS,RH,TEMP,DEWPOINT,VOLT,STATUS,CHECK")
GMX240_COLUMNS = names("NODE,DIR,SPEED,CDIR,CSPEED,PRECIPT,PRECIPI,GPSLOCATION,TIME,VOLT,STATUS,CHECK")
GMX300_COLUMNS = names(
    "NODE,PRESS,PASL,PSTN,RH,TEMP,DEWPOINT,AH,HEATIDX,AIRDENS,WBTEMP,SUNR,SNOON,SUNS,SUNP,TWIC,TWIN,TWIA,XTILT,YTILT,"
    "ZORIENT,USERINF,TIME,VOLT,STATUS,CHECK"
)


def line(body: str) -> bytes:
    return f"\x02{body}\x03{checksum(body.encode()):02X}\r\n".encode()


def one(data: bytes, given_: dict[str, Any] | None = None) -> dict[str, Any]:
    """The only sample of a line."""
    decoded = decode(Gill, data, given_)
    assert problems(decoded) == []
    (frame,) = frames(decoded)
    return {name: values[0].item() for name, values in frame.columns.items()}


def missing(data: bytes, name: str, given_: dict[str, Any] | None = None) -> list[int]:
    return [code for f in frames(decode(Gill, data, given_)) for code in f.missing(name).tolist()]


def test_anemometers() -> None:
    assert one(POLAR) == {FROM: 229.0, SPEED: 2.74, STATUS: 0}
    assert one(SHIP) == {
        FROM: 325.0, SPEED: 9.31, "speed_of_sound_in_air": 344.0, "sonic_air_temperature": 20.63, STATUS: 60
    }  # fmt: skip
    assert one(SHIP, {"mounted": "moving"}).keys() >= {"relative_wind_from_direction", "relative_wind_speed"}
    assert one(AVERAGED) == {
        "wind_from_direction_average": 270.0, "wind_speed_average": 2.02, "wind_gust_from_direction": 253.0,
        "wind_speed_of_gust": 2.83, STATUS: 0,
    }  # fmt: skip
    assert one(line("A,121,000.08,M,+344.66,00,")) == {
        FROM: 121.0,
        SPEED: 0.08,
        "speed_of_sound_in_air": 344.66,
        STATUS: 0,
    }
    assert one(line("A,121,000.08,M,-021.76,00,")) == {
        FROM: 121.0,
        SPEED: 0.08,
        "sonic_air_temperature": -21.76,
        STATUS: 0,
    }


def test_axes_turn_into_east_and_north() -> None:
    """U is wind from south to north, V from east to west."""
    uv = line("Q,+001.59,-002.74,M,00,")
    assert one(uv) == {"northward_wind": 1.59, "eastward_wind": 2.74, STATUS: 0}
    assert one(uv, {"mounted": "moving"}) == {
        "relative_wind_forward": 1.59, "relative_wind_starboard": 2.74, STATUS: 0
    }  # fmt: skip


@pytest.mark.parametrize(
    ("unit", "metres_s"), [("M", 10.0), ("N", 5.14444), ("P", 4.4704), ("K", 2.77778), ("F", 0.0508)]
)
def test_units(unit: str, metres_s: float) -> None:
    assert one(line(f"A,121,010.00,{unit},00,"))[SPEED] == metres_s


def test_a_calm_has_no_direction_and_a_fault_no_wind() -> None:
    calm = line("Q,,000.03,M,00,")
    assert (missing(calm, FROM), missing(calm, SPEED)) == ([Missing.NOT_GIVEN], [0])
    for status in ("01", "02", "04", "08", "09", "0B"):
        for body in (f"Q,,,,{status},", f"Q,999,999.99,M,{status},", f"Q,121,000.08,M,{status},"):
            assert (missing(line(body), FROM), missing(line(body), SPEED)) == ([Missing.INVALID], [Missing.INVALID])
            assert kinds(decode(Gill, line(body))) == []
            assert column(decode(Gill, line(body)), STATUS) == [int(status, 16)]
    for status in ("51", "60", "62", "65"):
        assert one(line(f"Q,121,000.08,M,{status},"))[STATUS] == int(status)


def test_stations_by_their_columns() -> None:
    assert one(METPAK, METPAK_COLUMNS) == {
        FROM: 170.0, SPEED: 0.08, "air_pressure": 1019.5, "relative_humidity": 35.0, "air_temperature": 24.7,
        "dew_point_temperature": 8.3, "supply_voltage": 4.9, STATUS: 0,
    }  # fmt: skip
    pro = names("NODE,DIR,SPEED,PRESS,RH,TEMP,DEWPOINT,PRT,AN1,AN2,DIG1,VOLT,STATUS,CHECK")
    assert one(PRO, pro)["supply_voltage"] == 11.6
    assert one(GMX240, GMX240_COLUMNS) == {
        "relative_wind_from_direction": 180.0, "relative_wind_speed": 0.06, FROM: 133.0, SPEED: 0.21,
        "thickness_of_rainfall_amount": 0.0, "rainfall_rate": 0.0, "latitude": 50.76306, "longitude": -1.540268,
        "altitude": 1.6, "supply_voltage": 5.0, STATUS: 4,
    }  # fmt: skip
    decoded = decode(Gill, GMX300, GMX300_COLUMNS)
    assert [isoformat(t) for t in times(decoded)] == ["2018-01-16T10:55:38.500000000Z"]
    assert frames(decoded)[0].source is TimeSource.INSTRUMENT
    assert column(decoded, "mass_concentration_of_water_vapor_in_air") == [8.45]
    assert missing(GMX300, "heat_index_of_air_temperature", GMX300_COLUMNS) == [Missing.NOT_GIVEN]


def test_a_station_says_its_columns_and_units_when_it_starts() -> None:
    banner = (
        b"METPAK 2436 V0.21\r\nSTARTUP OK\r\nNODE,DIR,SPEED,PRESS,RH,TEMP,DEWPOINT,VOLT,STATUS,CHECK\r\n"
        b"-,DEG,KTS,INHG,%,F,C,V,-,-\r\n"
    )
    assert kinds(decode(Gill, METPAK)) == ["columns"]
    decoded = decode(Gill, banner + METPAK)
    assert problems(decoded)[1:] == []  # 1019.5 inHg is no pressure on Earth
    assert kinds(decoded) == ["implausible"]
    assert column(decoded, SPEED) == [0.04116]
    assert column(decoded, "air_temperature") == [-4.05556]
    assert column(decoded, "dew_point_temperature") == [8.3]
    assert column(decode(Gill, banner + METPAK, {"temperature_unit": "C"}), "air_temperature") == [24.7]
    driver = Gill("it")
    driver.feed(banner, UNKNOWN)
    assert driver.description() == {"manufacturer": "Gill Instruments", "model": "METPAK 2436 V0.21"}
    assert "air_pressure" in driver.schemas()[0].by_name


def test_without_gps_a_ships_corrected_wind_is_not_true() -> None:
    given_ = {**names("NODE,DIR,SPEED,CDIR,CSPEED,STATUS,CHECK"), "mounted": "moving"}
    assert one(line("Q,180,001.06,133,003.21,0000,"), given_)[FROM] == 133.0
    assert missing(line("Q,180,001.06,133,,0000,"), FROM, given_) == [Missing.INVALID]
    only = {**names("NODE,DIR,SPEED,CDIR,STATUS,CHECK"), "mounted": "moving"}
    assert FROM not in one(line("Q,180,001.06,133,0000,"), only)
    assert one(line("Q,180,001.06,133,0000,"), {**only, "mounted": "fixed"})[FROM] == 133.0


def test_a_stations_wind_is_missing_where_its_status_says_so() -> None:
    for status in ("04", "1B", "66"):
        assert missing(line(f"Q,170,000.08,1019.5,035.0,+024.7,+008.3,+04.9,{status},"), SPEED, METPAK_COLUMNS) == [
            Missing.INVALID
        ]
    wind = names("NODE,DIR,SPEED,WINDSTAT,STATUS,CHECK")
    assert missing(line("Q,170,000.08,0004,0004,"), SPEED, wind) == [Missing.INVALID]
    assert missing(line("Q,170,000.08,0100,0004,"), SPEED, wind) == [0]


@pytest.mark.parametrize(
    ("data", "kind", "given_"),
    [
        (POLAR.replace(b"229", b"228"), "checksum", {}),
        (line("Q,229,002.7,M,00,"), "syntax", {}),
        (line("Q,229,002.74,,00,"), "syntax", {}),
        (line("Q,+229,002.74,X,00,"), "syntax", {}),
        (POLAR, "node", {"node": "A"}),
        (METPAK, "columns", GMX240_COLUMNS),
        (line("Q,170,000.08,1019.5,035.0,+024.7,+008.3,+04.9,0,"), "syntax", METPAK_COLUMNS),
        (line("Q,170,000.08,1019.5,035.0,x24.7,+008.3,+04.9,00,"), "syntax", METPAK_COLUMNS),
        (line("Q,170,000.08,1019.512,035.0,+024.7,+008.3,+04.9,00,"), "syntax", METPAK_COLUMNS),
        (line(GMX240[1:-5].replace(b"11-02T15", b"11-31T15").decode()), "syntax", GMX240_COLUMNS),
        (line("Q,229,400.00,M,00,"), "implausible", {}),
        (b"$WIMWV,229,R,002.74,M,A*30\r\n", "nmea", {}),
        (b"Q,229,002.74,M,00,\x0316\r\n", "syntax", {}),
        (b"24.8339,  0.97795\r\n", "unknown", {}),
        (b"\xff\xfe\r\n", "noise", {}),
    ],
)
def test_a_damaged_line_is_refused(data: bytes, kind: str, given_: dict[str, Any]) -> None:
    assert kinds(decode(Gill, data, given_)) == [kind]


def test_a_frame_needs_no_end_of_line_and_minds_no_noise() -> None:
    decoded = decode(Gill, b"\xff\x00x" + POLAR.rstrip() + SHIP + b"02.74,M,00,\x0316" + POLAR.rstrip())
    assert column(decoded, SPEED) == [2.74, 9.31, 2.74]
    assert problems(decoded) == [("noise", 0, 3), ("syntax", 65, 14)]


STREAM = POLAR + b"\x80" + SHIP + POLAR[:9] + POLAR + POLAR.replace(b"9", b"8") + AVERAGED.rstrip() + POLAR + METPAK
STREAM += b"NODE,DIR,SPEED,PRESS,RH,TEMP,DEWPOINT,VOLT,STATUS,CHECK\r\n-,DEG,KTS,HPA,%,C,C,V,-,-\r\n" + METPAK + POLAR


@settings(PROBABLE, max_examples=40)
@given(st.data())
def test_cutting_never_matters(data: st.DataObject) -> None:
    for stream, given_ in ((STREAM, None), (GMX240 * 2 + POLAR + GMX240[:70] + GMX240, GMX240_COLUMNS)):
        cut_anywhere(Gill, stream, given_, data.draw(st.sets(st.integers(0, len(stream)), max_size=30)))


def test_bytes_one_by_one() -> None:
    cut_anywhere(Gill, STREAM, None, range(1, len(STREAM)))


@PROBABLE
@given(st.integers(1, len(SHIP) - 3), st.integers(0, 255))
def test_one_damaged_byte_costs_its_line_alone(at: int, octet: int) -> None:
    if octet == SHIP[at] or (at >= len(SHIP) - 4 and bytes([octet]).lower() == SHIP[at : at + 1].lower()):
        return
    decoded = decode(Gill, SHIP + SHIP[:at] + bytes([octet]) + SHIP[at + 1 :] + SHIP)
    assert samples(decoded) == samples(decode(Gill, SHIP + SHIP))
    assert {d.offset + d.size <= 2 * len(SHIP) for d in decoded if isinstance(d, Problem)} == {True}


@PROBABLE
@given(st.binary(max_size=2000), st.integers(0, 2000))
def test_random_bytes_give_no_sample(noise: bytes, cut: int) -> None:
    for given_ in ({}, METPAK_COLUMNS):
        assert not frames(decode(Gill, noise, given_, [min(cut, len(noise))]))


def test_the_settings_are_checked() -> None:
    wrongs: list[dict[str, Any]] = [
        {"node": "q"},
        names("DIR,SPEED,CHECK"),
        names("NODE,DIR,DIR,CHECK"),
        names("NODE,CHECK"),
    ]
    for wrong in wrongs:
        with pytest.raises(ValidationError):
            Gill.Settings.model_validate(wrong)
    assert Gill.Settings(columns=("node", "W AXIS", "check")).columns == ("NODE", "W", "CHECK")


# The simulator


def test_it_is_installed_and_sends_what_it_is_told_to() -> None:
    cls = load("gill")
    assert cls is Gill
    assert (cls("it").start(), cls("it").poll()) == (b"", b"")
    polled = cls("it", Gill.Settings(mode="polled", node="B"))
    assert (polled.start(), polled.poll()) == (b"?", b"?B")


@PROBABLE
@given(
    seed=st.integers(0, 9),
    kind=st.sampled_from(["windsonic", "windobserver", "metpak"]),
    cut=st.integers(1, 60),
)
def test_the_driver_finds_all_that_the_simulator_said(seed: int, kind: Any, cut: int) -> None:
    simulator = GillSimulator(seed=seed, kind=kind, interval_s=0.5, mischief=Mischief(period=4, stuck=(2, 3)))
    data = b"".join(simulator.tick(START_NS + step * 250_000_000) for step in range(20))
    found_all(decode(Gill, data, None, range(cut, len(data), cut)), simulator.said)


@pytest.mark.parametrize("kind", ["windsonic", "metpak"])
def test_the_simulator_answers_a_driver_that_polls(kind: Any) -> None:
    simulator = GillSimulator(kind=kind, node="C")
    driver = Gill("it", Gill.Settings(mode="polled", node="C"))
    found_all(conversation(driver, simulator, 5), simulator.said)
    assert len(simulator.said) == 5
