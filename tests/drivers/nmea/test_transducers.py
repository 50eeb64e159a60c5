"""XDR sentences: which transducer gives which parameter, in which unit."""

from itertools import pairwise

import pynmea2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from drivers.nmea.nmea0183 import Nmea0183
from tests.drivers.nmea.test_nmea0183 import NOON, decode, driver, frames, kinds, one, problems, samples, sentence
from tidegate.frame import Missing, rows

# What a Vaisala WXT530 answers (User's Guide, pages 119 and 120; the guide prints some checksums wrong, so they are
# reckoned here).
VAISALA = [
    "WIXDR,A,302,D,0,A,320,D,1,A,330,D,2,S,0.1,M,0,S,0.2,M,1,S,0.2,M,2",
    "WIXDR,C,23.3,C,0,C,24.0,C,1,H,50.1,P,0,P,1009.5,H,0",
    "WIXDR,V,0.02,M,0,Z,30,s,0,R,2.7,M,0,V,0.0,M,1,Z,0,s,1,R,0.0,M,1,R,6.3,M,2,R,0.0,M,3",
    "WIXDR,C,20.4,C,2,U,12.0,N,0,U,12.5,V,1,U,3.460,V,2,G,HEL/___,,4",
]


def values(*bodies: str, **named: str) -> dict[str, float | None]:
    decoded = decode(b"".join(sentence(body) for body in bodies), transducers=named)
    assert not problems(decoded)
    merged = {name: value for row in rows(frames(decoded)) for name, value in row.items()}
    del merged["time"]
    return merged


def test_a_vaisala_station() -> None:
    assert values(*VAISALA) == {
        "wind_from_direction_minimum": 302.0,
        "wind_from_direction": 320.0,
        "wind_from_direction_maximum": 330.0,
        "wind_speed_minimum": 0.1,
        "wind_speed": 0.2,
        "wind_speed_of_gust": 0.2,
        "air_temperature": 23.3,
        "internal_temperature": 24.0,
        "relative_humidity": 50.1,
        "air_pressure": 1009.5,
        "thickness_of_rainfall_amount": 0.02,
        "duration_of_rainfall": 30.0,
        "rainfall_rate": 2.7,
        "hail_amount": 0.0,
        "duration_of_hail": 0.0,
        "hail_rate": 0.0,
        "rainfall_rate_maximum": 6.3,
        "hail_rate_maximum": 0.0,
        "heating_temperature": 20.4,
        "supply_voltage": 12.0,
        "heating_voltage": 12.5,
        "reference_voltage": 3.46,
    }


def test_an_airmar_station() -> None:
    # PB200 user manual, page 107: version A without the groups that it does not compute, and version B.
    assert values("YXXDR,C,,C,WCHR,C,12.1,C,WCHT,C,,C,HINX,P,1.0132,B,STNP", WCHR="ignore") == {
        "wind_chill_of_air_temperature": 12.1,
        "heat_index_of_air_temperature": None,
        "air_pressure": 1013.2,
    }
    assert values("YXXDR,A,-0.7,D,PTCH,A,0.9,D,ROLL,,,,,,,,") == {
        "platform_pitch_fore_up": -0.7,
        "platform_roll_starboard_down": 0.9,
    }


def test_what_the_settings_name_goes_before_what_is_known() -> None:
    body = "IIXDR,C,21.5,C,TEMP,P,101325,P,Barometer,D,2.5,M,TANK"
    assert values(body, TEMP="sea_water_temperature", Barometer="air_pressure", TANK="depth") == {
        "sea_water_temperature": 21.5,
        "air_pressure": 1013.25,
        "depth": 2.5,
    }
    both = "WIXDR,C,23.3,C,0,C,24.0,C,1"
    assert values(both, **{"C:0": "sea_water_temperature", "1": "air_temperature"}) == {
        "sea_water_temperature": 23.3,
        "air_temperature": 24.0,
    }


@pytest.mark.parametrize(
    ("group", "name", "expected"),
    [
        ("C,68.0,F,T", "air_temperature", 20.0),
        ("C,293.15,K,T", "air_temperature", 20.0),
        ("P,29.9213,I,T", "air_pressure", 1013.251),
        ("P,760,M,T", "air_pressure", 1013.25),
        ("P,1.5,B,T", "sea_water_pressure", 15.0),
        ("S,10,N,T", "wind_speed", 5.144),
        ("S,36,K,T", "wind_speed", 10.0),
        ("S,10,S,T", "wind_speed", 4.47),
        ("R,0.1,I,T", "rainfall_rate", 2.54),
        ("V,0.1,I,T", "thickness_of_rainfall_amount", 2.54),
        ("A,12.5,D,T", "platform_orientation", 12.5),
        ("H,55.5,P,T", "relative_humidity", 55.5),
    ],
)
def test_units(group: str, name: str, expected: float) -> None:
    assert values(f"IIXDR,{group}", T=name) == {name: expected}


def test_what_is_not_known_is_told_once_with_the_remedy_and_the_rest_is_taken() -> None:
    body = sentence("IIXDR,C,21.5,C,ENGROOM,P,1.013,B,BARO,T,1500,R,ENGINE,P,1.012,B,STNP,C,1.0,X,AIR")
    decoded = decode(body * 3)
    assert [frame.columns["air_pressure"].tolist() for frame in frames(decoded)] == [[1013.0] * 3]
    told = [p.message for p in problems(decoded)]
    assert kinds(decoded) == ["unknown"] * 4
    assert 'transducers = { "ENGROOM" = "air_temperature" }' in told[0]
    assert "'ENGINE' of type T" in told[1]
    assert "second air_pressure" in told[2]
    assert "unit 'X'" in told[3]


def test_numbers_mean_something_only_to_vaisala() -> None:
    assert kinds(decode(sentence("IIXDR,C,21.5,C,0"))) == ["unknown"]


@pytest.mark.parametrize("body", ["IIXDR", "IIXDR,P,1.0x,B,BARO", "IIXDR,P,1.0,B,BARO,C,1.0"])
def test_damaged_groups_are_refused(body: str) -> None:
    decoded = decode(sentence(body))
    assert kinds(decoded) == ["syntax"]
    assert not frames(decoded)


def test_missing_and_impossible_values() -> None:
    frame = one(decode(sentence("IIXDR,P,,B,BARO,C,1.0,C,AIR")))
    assert frame.missing("air_pressure").tolist() == [Missing.NOT_GIVEN]
    decoded = decode(sentence("IIXDR,P,9.0,B,BARO,C,1.0,C,AIR"))
    assert kinds(decoded) == ["implausible"]
    assert frames(decoded)[0].missing("air_pressure").tolist() == [Missing.IMPLAUSIBLE]


def test_endless_kinds_of_lists_are_not_kept() -> None:
    d = driver(transducers={"T": "air_temperature"})
    for n in range(600):
        decoded = d.feed(sentence(f"IIXDR,C,1.0,C,T,X,{n},Y,T{n}"), NOON)
        assert (len(frames(decoded)), kinds(decoded)) == (1, ["unknown"])
    assert len(d.schemas()) == 1


def test_settings_are_checked() -> None:
    with pytest.raises(ValidationError, match="did you mean air_temperature"):
        Nmea0183.Settings.model_validate({"transducers": {"T": "air_temprature"}})


GROUPS = st.lists(
    st.tuples(st.sampled_from(["C,%s,C,AIR", "P,%s,B,BARO", "A,%s,D,ROLL", "C,%s,C,WATER"]), st.integers(-4000, 4000)),
    min_size=1,
    max_size=4,
    unique_by=lambda group: group[0],
)


@settings(max_examples=60)
@given(st.lists(GROUPS, min_size=1, max_size=6), st.lists(st.integers(0, 400), max_size=8))
def test_any_list_of_transducers_is_what_pynmea2_reads(sentences: list[list[tuple[str, int]]], cuts: list[int]) -> None:
    lines = [sentence("IIXDR," + ",".join(form % f"{n / 100:.2f}" for form, n in groups)) for groups in sentences]
    factor = {"AIR": 1.0, "BARO": 1000.0, "ROLL": 1.0, "WATER": 1.0}
    wanted = sorted(
        round(float(group.value) * factor[group.id], 6)
        for line in lines
        for group in (pynmea2.parse(line.decode().strip()).get_transducer(i) for i in range(line.count(b",") // 4))
    )
    decoded = decode(b"".join(lines))
    missing = sum(p.kind == "implausible" for p in problems(decoded))
    found = sorted(v for row in rows(frames(decoded)) for name, v in row.items() if name != "time" and v is not None)
    assert len(found) + missing == len(wanted)
    assert all(any(abs(v - w) < 1e-6 for w in wanted) for v in found)
    # and the cutting does not matter
    data, d = b"".join(lines), driver()
    edges = sorted({0, len(data), *(c % len(data) for c in cuts)})
    split = [item for a, b in pairwise(edges) for item in d.feed(data[a:b], NOON)] + d.finish()
    by_sample = [sorted(table.get("transducers", []), key=repr) for table in (samples(split), samples(decoded))]
    assert by_sample[0] == by_sample[1]
