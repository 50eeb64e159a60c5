"""Each type of sentence as pynmea2 reads it, whatever numbers stand in it, and as its makers print it."""

from typing import Any

import pynmea2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.nmea.nmea0183 import Nmea0183
from tests.drivers.nmea.test_nmea0183 import KNOT, NOON, decode, frames, kinds, one, problems, same, sentence, times
from tidegate.clock import TimeSource
from tidegate.frame import Missing, rows


def said(line: bytes, **values: Any) -> dict[str, Any]:
    """The one sample in a sentence."""
    (row,) = rows([one(decode(line, **values))])
    return row


# --- any numbers, against pynmea2 -------------------------------------------------------------------------------------


def number(low: float, high: float, decimals: int) -> st.SearchStrategy[str]:
    step = 10**decimals
    return st.one_of(
        st.just(""),
        st.integers(round(low * step), round(high * step)).map(lambda n: f"{n / step:.{decimals}f}"),
        st.integers(round(low * step), round(high * step)).map(lambda n: f"{n / step:+0{decimals + 5}.{decimals}f}"),
    )


ANGLE, TILT, SPEED, DEPTH = number(0, 360, 2), number(-90, 90, 2), number(-30, 30, 2), number(0, 9000, 2)
UNSIGNED = number(0, 50, 1)
# (fields: text, or what to draw), then by parameter: pynmea2's name of the field, and the factor to our unit.
ORACLES: list[tuple[str, list[Any], dict[str, tuple[str, float]]]] = [
    ("IIHDM", [ANGLE, "M"], {"platform_orientation_magnetic": ("heading", 1)}),
    (
        "HCHDG",
        [ANGLE, TILT, st.sampled_from("EW"), TILT, st.sampled_from("EW")],
        {"platform_orientation_magnetic": ("heading", 1)},
    ),
    ("HEROT", [number(-700, 700, 1), "A"], {"platform_yaw_rate_fore_starboard": ("rate_of_turn", 1 / 60)}),
    (
        "VDVBW",
        [SPEED, SPEED, "A", SPEED, SPEED, "A"],
        {
            "platform_forward_velocity_wrt_sea_water": ("lon_water_spd", KNOT),
            "platform_starboard_velocity_wrt_sea_water": ("trans_water_spd", KNOT),
            "platform_forward_velocity_wrt_ground": ("lon_grnd_spd", KNOT),
            "platform_starboard_velocity_wrt_ground": ("trans_grnd_spd", KNOT),
        },
    ),
    ("SDDBS", ["", "f", DEPTH, "M", "", "F"], {"sea_floor_depth_below_sea_surface": ("depth_meter", 1)}),
    (
        "IIVDR",
        [ANGLE, "T", ANGLE, "M", UNSIGNED, "N"],
        {"sea_water_velocity_to_direction": ("deg_t", 1), "sea_water_speed": ("current", KNOT)},
    ),
    (
        "WIMWD",
        [ANGLE, "T", ANGLE, "M", "", "N", UNSIGNED, "M"],
        {"wind_from_direction": ("direction_true", 1), "wind_speed": ("wind_speed_meters", 1)},
    ),
    (
        "WIMDA",
        [
            "",
            "I",
            number(0.9, 1.05, 4),
            "B",
            TILT.filter(lambda t: abs(float(t or 0)) < 50),
            "C",
            "",
            "",
            UNSIGNED,
            "",
            "",
            "C",
            ANGLE,
            "T",
            "",
            "M",
            "",
            "N",
            UNSIGNED,
            "M",
        ],
        {
            "air_pressure": ("b_pressure_bar", 1000),
            "air_temperature": ("air_temp", 1),
            "relative_humidity": ("rel_humidity", 1),
            "wind_from_direction": ("direction_true", 1),
            "wind_speed": ("wind_speed_meters", 1),
        },
    ),
    (
        "PSXN",
        ["20", *[st.sampled_from("012")] * 4],
        {
            "horizontal_position_quality": ("horiz_qual", 1),
            "height_quality": ("hgt_qual", 1),
            "heading_quality": ("head_qual", 1),
            "roll_and_pitch_quality": ("rp_qual", 1),
        },
    ),
    ("PSXN", ["22", TILT, TILT], {"gyro_calibration": ("gyro_calib", 1), "gyro_offset": ("gyro_ffs", 1)}),
    (
        "PSXN",
        ["23", TILT, TILT, ANGLE, SPEED],
        {
            "platform_roll_starboard_down": ("roll", 1),
            "platform_pitch_fore_up": ("pitch", 1),
            "platform_orientation": ("head", 1),
            "platform_heave_down": ("heave", 1),
        },
    ),
    (
        "PRDID",
        [TILT, TILT, ANGLE],
        {
            "platform_pitch_fore_up": ("pitch", 1),
            "platform_roll_starboard_down": ("roll", 1),
            "platform_orientation": ("heading", 1),
        },
    ),
    (
        "PASHR",
        ["120000.000", ANGLE, "T", TILT, TILT, SPEED, UNSIGNED, UNSIGNED, UNSIGNED, "1", "1"],
        {
            "platform_roll_starboard_down": ("roll", 1),
            "platform_pitch_fore_up": ("pitch", 1),
            "platform_orientation": ("true_heading", 1),
            "platform_heave_up": ("heave", 1),
            "uncertainty_of_platform_roll": ("roll_accuracy", 1),
            "uncertainty_of_platform_pitch": ("pitch_accuracy", 1),
            "uncertainty_of_platform_orientation": ("heading_accuracy", 1),
        },
    ),
]


@pytest.mark.parametrize(
    ("address", "fields", "named"), ORACLES, ids=lambda value: value if isinstance(value, str) else ""
)
@settings(max_examples=40)
@given(data=st.data())
def test_any_sentence_is_what_pynmea2_reads(
    address: str, fields: list[Any], named: dict[str, tuple[str, float]], data: st.DataObject
) -> None:
    texts = [field if isinstance(field, str) else data.draw(field) for field in fields]
    line = sentence(",".join([address, *texts]))
    theirs = pynmea2.parse(line.decode().strip())
    frame = one(decode(line))
    (ours,) = rows([frame])
    for name, (field, factor) in named.items():
        text = theirs.data[[f[1] for f in theirs.fields].index(field)]
        step = frame.schema.by_name[name].resolution
        assert same(ours[name], float(text) * factor if text else None, 0.51 * step + 1e-9), (name, line)


@settings(max_examples=60)
@given(
    st.integers(0, 89),
    st.integers(0, 179),
    st.integers(0, 5999999),
    st.sampled_from("NS"),
    st.sampled_from("EW"),
    st.text("ADEFMNPRS", min_size=1, max_size=4),
)
def test_any_gns_fix_is_what_pynmea2_reads(
    latitude: int, longitude: int, minutes: int, north: str, east: str, modes: str
) -> None:
    place = f"{latitude:02d}{minutes / 1e5:08.5f},{north},{longitude:03d}{minutes / 1e5:08.5f},{east}"
    line = sentence(f"GNGNS,120000.00,{place},{modes},12,0.8,43.2,-5.5,,")
    theirs, (ours,) = pynmea2.parse(line.decode().strip()), rows([one(decode(line))])
    fixed = set(modes) != {"N"}
    assert same(ours["latitude"], theirs.latitude if fixed else None, 0.51e-7)
    assert same(ours["longitude"], theirs.longitude if fixed else None, 0.51e-7)
    assert same(ours["altitude"], 43.2 if fixed else None, 1e-9)
    assert same(ours["geoid_height_above_reference_ellipsoid"], -5.5 if fixed else None, 1e-9)
    assert (ours["gnss_satellites_used"], ours["gnss_horizontal_dilution_of_precision"]) == (12, 0.8)


# --- as makers print them ---------------------------------------------------------------------------------------------


def test_seapath_motion() -> None:
    # R/V Sikuliaq, NCEI accession 0086548 (seapath320.txt); pynmea2's and OpenRVDAS's field definitions.
    assert said(b"$PSXN,23,1.28,1.93,104.68,-0.24*18\r\n") | {"time": None} == {
        "time": None,
        "platform_roll_starboard_down": 1.28,
        "platform_pitch_fore_up": 1.93,
        "platform_orientation": 104.68,
        "platform_heave_down": -0.24,
    }
    assert said(sentence("PSXN,24,0.11,-0.22,0.33,-0.44")) | {"time": None} == {
        "time": None,
        "platform_roll_rate_starboard_down": 0.11,
        "platform_pitch_rate_fore_up": -0.22,
        "platform_yaw_rate_fore_starboard": 0.33,
        "platform_heave_rate_down": -0.44,
    }


def test_sentences_as_printed() -> None:
    # NovAtel OEM7, PASHR; a PRDID of node-nmea's tests; Airmar PB100 recordings; NCEI formats scs_vbw and scs_dpt.
    attitude = said(b"$PASHR,163029.000,158.09,T,-0.30,+0.31,+0.01,0.029,0.029,0.059,1,1*3B\r\n")
    assert (attitude["platform_roll_starboard_down"], attitude["platform_pitch_fore_up"]) == (-0.3, 0.31)
    assert (attitude["platform_orientation"], attitude["uncertainty_of_platform_orientation"]) == (158.09, 0.059)
    unaligned = one(decode(sentence("PASHR,,,,,,,,,,0")))
    assert unaligned.missing("platform_orientation").tolist() == [Missing.NOT_GIVEN]
    assert (unaligned.source, unaligned.columns["gnss_aiding_status"].tolist()) == (TimeSource.ARRIVAL, [0])
    assert said(b"$PRDID,-4.44,2.12,154.25*56\r\n")["platform_pitch_fore_up"] == -4.44
    compass = said(b"$HCHDG,203.6,0.0,E,12.6,W*62\r\n")
    assert (compass["platform_orientation_magnetic"], compass["magnetic_variation"]) == (203.6, -12.6)
    depth = said(b"$SDDPT,0006.29,002.40*6C\r\n")
    assert (depth["sea_floor_depth_below_transducer"], depth["transducer_offset"]) == (6.29, 2.4)
    log = one(decode(b"$VDVBW,-00.06,-00.02,A,-00.06,-00.02,V,-00.02,V,000.00,V*59\r\n"))
    assert log.columns["platform_forward_velocity_wrt_sea_water"].tolist() == [-0.0309]
    assert log.missing("platform_starboard_velocity_wrt_ground").tolist() == [Missing.INVALID]
    blank = one(decode(sentence("VDVBW,,,,-1.00,0.50,A")))
    assert blank.missing("platform_forward_velocity_wrt_sea_water").tolist() == [Missing.NOT_GIVEN]
    assert blank.columns["platform_starboard_velocity_wrt_ground"].tolist() == [0.2572]


def test_keel_depth_in_feet_and_pressure_in_inches() -> None:
    assert said(sentence("SDDBK,10.0,f,,M,,F"))["sea_floor_depth_below_keel"] == 3.048
    weather = said(sentence("WIMDA,29.9213,I,,B,,C,,C,,,,C,,T,,M,10.0,N,,M"))
    assert (weather["air_pressure"], weather["wind_speed"]) == (1013.25, 5.144)


def test_wind_to_the_left_and_right() -> None:
    wind = said(sentence("IIVWR,75.0,L,10.0,N,,M,,K"))
    assert (wind["relative_wind_speed"], wind["relative_wind_from_direction"]) == (5.144, 285.0)
    true = said(sentence("IIVWT,30.5,R,,N,6.2,M,22.3,K"))
    assert (true["wind_speed"], true["wind_from_direction_relative_to_bow"]) == (6.2, 30.5)
    assert said(sentence("IIVWR,0,L,,N,,M,36.0,K"))["relative_wind_from_direction"] == 0.0
    assert kinds(decode(sentence("IIVWR,181.0,L,10.0,N,,M,,K"))) == ["syntax"]


def test_what_devices_leave_out_or_print_otherwise() -> None:
    assert said(sentence("HCHDG,51.5,,"))["platform_orientation_magnetic"] == 51.5
    assert said(sentence("04HDM,186.5,M"))["platform_orientation_magnetic"] == 186.5
    assert said(sentence("IIMTA,21.5,C"))["air_temperature"] == 21.5
    station = said(sentence("IIMDA,99700.0,P,,B,3.2,C,,C,,,,C,295.19,T,,M,5.70,N,2.93,M"))
    assert (station["air_pressure"], station["wind_speed"]) == (997.0, 2.93)
    fix = said(sentence("GPGGA,120000.0,3723.46587,N,12202.26957,W,2,6,1.2,18.893,M,-25.669,M,2.0 0031"))
    assert fix["altitude"] == 18.893


def test_a_log_without_checksums_is_taken_only_where_its_numbers_are_whole() -> None:
    # UHDAS prints knots as %.2f,%.2f,%.1f (speedlog.py); lines of R/V N. B. Palmer in OpenRVDAS's documentation.
    row = said(b"$PUHAW,UVH,-7.44,-5.15,236.3\r\n")
    assert row["platform_eastward_velocity_wrt_sea_water"] == round(-7.44 * KNOT, 4)
    assert row["platform_northward_velocity_wrt_sea_water"] == round(-5.15 * KNOT, 4)
    assert row["platform_orientation"] == 236.3
    for damaged in (b"-7.4,-5.15,236.3", b"-7.44,-5.15,236", b"-7.44,236.3", b"-7.4\x004,-5.15,236.3"):
        decoded = decode(b"$PUHAW,UVH," + damaged + b"\r\n")
        assert kinds(decoded) == ["syntax"]
        assert not frames(decoded)
    assert kinds(decode(b"$PUHAW,UVH,-7.44,-5.15,236.3")) == ["truncated"]
    assert kinds(decode(b"$PUHAW,UVH,-7.44,-5.15,236.3*00\r\n")) == ["checksum"]
    assert kinds(decode(b"$PUHAX,UVH,-7.44,-5.15,236.3\r\n")) == ["checksum"]


GARMIN = (
    b"$GPGLL,3934.829,S,03727.690,W\r\n$GPVTG,230.2,T,,M,011.7,N,021.7,K\r\n$GPZDA,000008,07,08,2014,7\r\n"
    b"$GPGLL,3934.831,S,03727.694,W\r\n"
)


def test_an_old_receiver_without_checksums_times_and_status() -> None:
    # A Garmin on R/V N. B. Palmer, lines of OpenRVDAS's documentation.
    assert kinds(decode(GARMIN)) == ["checksum"] * 4
    decoded = decode(GARMIN, checksum="optional")
    assert not problems(decoded)
    fixes = list(rows(frames(decoded, "position")))
    assert [row["latitude"] for row in fixes] == [-39.5804833, -39.5805167]
    assert [row["longitude"] for row in fixes] == [-37.4615, -37.4615667]
    assert [source for _, source in times(decoded, "position")] == [TimeSource.ARRIVAL] * 2
    (course,) = rows(frames(decoded, "course"))
    assert (course["platform_course"], course["platform_speed_wrt_ground"]) == (230.2, round(11.7 * KNOT, 4))


@pytest.mark.parametrize("zone", ["00,00", ",", "-05,30", "+0,+0", "7"])
def test_the_local_zone_does_not_move_utc(zone: str) -> None:
    fix = sentence("GPGLL,2200.1091,S,01756.3580,W,201530.18,A")
    decoded = decode(sentence(f"GPZDA,201530.18,04,07,2002,{zone}") + fix, correct_week_rollover=False)
    assert times(decoded) == [("2002-07-04T20:15:30.180000000Z", TimeSource.NMEA)]


@pytest.mark.parametrize(
    "body",
    [
        "PSXN,23,1.28,1.93,104.68",
        "PSXN,23,1.28,x,104.68,0.1",
        "PSXN,20,0,0.5,0,0",
        "PRDID,1.0,2.0",
        "HCHDG,203.6,0.0,,12.6,W",
        "HEROT,1.0,B",
        "VDVBW,1,2,A,3,4",
        "GNGNS,120000.00,0113.5,N,10350.2,E,XY,12,0.8,43.2,-5.5,,",
        "WIMDA,29.9,I,1.013,B",
    ],
)
def test_what_breaks_the_grammar_of_its_type_is_refused(body: str) -> None:
    decoded = decode(sentence(body))
    assert kinds(decoded) == ["syntax"]
    assert not frames(decoded)


def test_unknown_kinds_of_a_makers_sentence_are_told_once_each() -> None:
    lines = [sentence(body) for body in ("PSXN,26,0,44.5,0.7,-0.9,NRP", "PASHR,POS,0,0", "PSXN,21,1")]
    decoded = decode(b"".join(lines) * 3)
    assert [p.message.split()[3] for p in problems(decoded)] == ["PSXN,26", "PASHR,POS", "PSXN,21"]
    assert kinds(decoded) == ["unknown"] * 3


def test_what_is_said_of_the_driver() -> None:
    assert Nmea0183.lines[0] == "4800 8N1"
    assert {"9600 8N1", "38400 8N1", "115200 8N1"} < set(Nmea0183.lines)
    strict, lenient = Nmea0183.guesses()
    assert frames(Nmea0183("x", lenient).feed(GARMIN, NOON))
    assert not frames(Nmea0183("x", strict).feed(GARMIN, NOON))
    assert Nmea0183.hail() == b""
    assert Nmea0183("x").start() == Nmea0183("x").poll() == b""


@settings(max_examples=150)
@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                [
                    sentence("PSXN,23,1.28,1.93,104.68,-0.24"),
                    sentence("PSXN,99,1"),
                    sentence("WIXDR,C,23.3,C,0,T,1,R,X"),
                    sentence("GPZDA,000000.00,16,12,1994,00,00"),
                    sentence("HEROT,99999.0,A"),
                    b"$PUHAW,UVH,-7.44,-5.15,236.3\r\n",
                    b"$",
                    b"*00\r\n",
                ]
            ),
            st.binary(max_size=30),
        ),
        max_size=20,
    )
)
def test_every_problem_is_one_that_the_driver_names(parts: list[bytes]) -> None:
    assert set(kinds(decode(b"".join(parts)))) <= Nmea0183.problems.keys()
