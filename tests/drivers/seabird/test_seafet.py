"""SeaFET, SeapHOx and Deep SeapHOx: frames that others recorded, checksums, damage."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.driver import load
from drivers.seabird.seafet import SeaFet
from tests.drivers.decoded import frames, problems, samples
from tests.drivers.line_drivers import PROBABLE, column, cut_anywhere, decode, kinds, times
from tidegate.clock import UNKNOWN, isoformat
from tidegate.frame import Missing

PH, PH_INTERNAL = "sea_water_ph_reported_on_total_scale", "sea_water_ph_reported_on_total_scale_internal_electrode"

# Frames in the tests and comments of public programs: nodes in Hawaii (0371, 0358, 0381), an AODN mooring (1001), a
# PMEL MAPCO2 (0217).
SEAFET = [
    b"SATPHA0371,2016306,8.2669678,7.96194,7.99229,24.4627,24.2046,34.2334,4.413,nan,-0.97720563,-0.92704624,"
    b"0.76134235,9.847,40,22.1,4.939,9.752,6.175,5.780,298,10,0.00000000,0x0000,229\r\n",
    b"SATPHA0358,2016345,22.0146484,8.04703,8.00464,24.6224,24.5918,34.3269,5.195,nan,-0.93211651,-0.88638008,"
    b"0.75759977,8.945,40,23.8,4.915,8.833,6.162,5.438,184,10,0.00000000,0x0000,192\r\n",
    b"SATPHA0381,2016140,22.6361427,6.74344,6.28063,22.6203,22.5845,0.0111,5.801,nan,-1.03704423,-1.01856291,"
    b"0.80557853,9.944,72,6.1,4.898,11.855,6.143,5.928,0,10,0.00000000,0x0000,148\r\n",
    b"SATPHA0217,2014317,23.2585735,6.53811,6.41548,18.8480,nan,nan,nan,nan,-0.97828925,-0.93706161,"
    b"0.90207696,0.000,19,3.9,4.850,0.000,6.073,0.101,0,10,0.00000000,0x0000,172\r\n",
]
DRY = (
    b"SATPHA1001,2020246,0.0188318,-18.81183,-19.56019,9.8193,9.8076,34.7276,8.769,30.059,-2.50000000,-2.50000000,"
    b"1.16209387,12.497,47,41.1,4.922,12.442,6.119,5.964,205,205,0.00000000,0x0000,83\r\n"
)
# A SeapHOx V2 on a buoy (a decoder's example), and a Deep SeapHOx V2 of the AODN.
SHALLOW = (
    b"SSPHOX01050,2025-10-20T13:49:08, 11988, 0000, 26.9476,7.9640,7.9808,-0.979159,-1.029476, 26.9785,   24.609,"
    b"   34.9964,   5.51207,   4.392, 45.0,27.1\r\n"
)
DEEP = (
    b"DSPHOX02016,03/09/2021 02:38:04,1,0000,  21.7839,2.3933,-1.093007,    0.074,   0.0107,  0.00002,  6.013,"
    b"  0.0, 21.5\r\n"
)
FLAGGED = (
    b"DSPHOX02016,03/17/2021 01:04:40,2,0008,  19.2803,25.4355,0.246031,    0.319,   0.0097,  0.00002,  6.607,"
    b"  0.0, 21.7\r\n"
)


def test_a_seafets_frame_is_decoded() -> None:
    decoded = decode(SeaFet, SEAFET[0])
    assert problems(decoded) == []
    (frame,) = frames(decoded)
    values = {name: column.tolist()[0] for name, column in frame.columns.items()}
    assert (values[PH], values[PH_INTERNAL], values["temperature_of_ph_sensor"]) == (7.99229, 7.96194, 24.4627)
    assert (values["sea_water_temperature"], values["sea_water_practical_salinity"]) == (24.2046, 34.2334)
    assert values["volume_fraction_of_oxygen_in_sea_water"] == 4.413
    assert (values["internal_ph_electrode_voltage"], values["external_ph_electrode_voltage"]) == (
        -0.97720563,
        -0.92704624,
    )
    assert (values["battery_voltage"], values["supply_current"], values["device_status"]) == (9.752, 40.0, 0)
    assert frame.missing("sea_water_pressure_due_to_sea_water").tolist() == [Missing.NOT_GIVEN]
    # Day 306 of 2016 is November 1; 8.2669678 h.
    assert isoformat(times(decoded)[0]) == "2016-11-01T08:16:01.084080000Z"


def test_every_recorded_checksum_holds_and_the_manuals_example_does_not() -> None:
    decoded = decode(SeaFet, b"".join(SEAFET))
    assert (len(times(decoded)), kinds(decoded)) == (4, [])
    example = (
        b"SATPHA0001,2014083,13.0932646,7.80829,7.78879,20.5221,20.5038,32.6027,4.669,10.523,0.05975991,-0.85879952,"
        b"1.13056064,11.326,114,0.5,4.882,9.602,6.106,5.903,100,100,-0.95693927,0x0000,7\r\n"
    )
    assert kinds(decode(SeaFet, example)) == ["checksum"]


def test_a_seaphoxs_frames_are_decoded() -> None:
    decoded = decode(SeaFet, SHALLOW + DEEP)
    assert kinds(decoded) == []
    shallow, deep = frames(decoded)
    assert (shallow.columns[PH][0], shallow.columns[PH_INTERNAL][0]) == (7.9640, 7.9808)
    assert shallow.columns["sea_water_electrical_conductivity"][0] == 5.51207
    assert (shallow.columns["sample_number"][0], shallow.columns["internal_temperature"][0]) == (11988, 27.1)
    assert isoformat(times(decoded)[0]) == "2025-10-20T13:49:08.000000000Z"
    assert isoformat(times(decoded)[1]) == "2021-03-09T02:38:04.000000000Z"
    assert (deep.columns[PH][0], deep.columns["sea_water_pressure_due_to_sea_water"][0]) == (2.3933, 0.074)


def test_a_dry_sensors_ph_is_left_out_and_the_rest_kept() -> None:
    decoded = decode(SeaFet, DRY + FLAGGED)
    assert kinds(decoded) == ["implausible", "implausible"]
    dry, flagged = frames(decoded)
    assert dry.missing(PH).tolist() == dry.missing(PH_INTERNAL).tolist() == [Missing.IMPLAUSIBLE]
    assert (dry.columns["sea_water_temperature"][0], flagged.columns["device_status"][0]) == (9.8076, 8)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (SEAFET[0].replace(b"7.99229", b"7.99228"), "checksum"),
        (SEAFET[0].replace(b"7.99229", b"7.9922"), "syntax"),
        (SEAFET[0][6:], "syntax"),
        (SHALLOW.replace(b"7.9640", b"7.96x0"), "syntax"),
        (SHALLOW.replace(b"10-20", b"02-30"), "syntax"),
        (DEEP.replace(b"  6.013,", b""), "syntax"),
        # oceanobservatories/mi-instrument, seaphox2: the layout of raw frames.
        (
            b"DSPHOX02016,2021-03-09T02:38:04,0000,364321,5106181,5960288,8381912,8384541,533539,20625,6319.220,"
            b"31.060,1.120150,26016,17632\r\n",
            "raw",
        ),
        (b"\xff\xfe\r\n", "noise"),
    ],
)
def test_a_damaged_frame_is_refused(line: bytes, kind: str) -> None:
    decoded = decode(SeaFet, SEAFET[0] + line + SEAFET[0])
    assert kinds(decoded) == [kind]
    assert column(decoded, PH) == [7.99229, 7.99229]


HEADER = b"SATFHR,APP-VERSION,SeaFET v3.8.0\r\nSATFHR,SERIAL-NUMBER,1001\r\n"
RELAYED = b"SATPHC1001,9.8076,3.76566,30.059,8.769,34.7277,N/A,N/A,02 Sep 2020, 00:01:08\r\n"
STREAM = HEADER + b"".join(SEAFET) + RELAYED + SHALLOW * 2 + b"\x80\r\n" + DEEP + DRY + SEAFET[0][:90]


@PROBABLE
@given(st.sets(st.integers(0, len(STREAM)), max_size=30))
def test_cutting_never_matters(cuts: set[int]) -> None:
    cut_anywhere(SeaFet, STREAM, None, cuts)


def test_what_is_wrong_in_a_stream_is_told_in_its_place() -> None:
    assert kinds(decode(SeaFet, STREAM)) == ["noise", "implausible", "truncated"]


@PROBABLE
@given(at=st.integers(0, len(SEAFET[0]) - 3), byte=st.integers(0, 255))
def test_one_damaged_byte_costs_its_frame_alone(at: int, byte: int) -> None:
    line = SEAFET[0]
    if byte == line[at] or byte in b"\r\n" or (at == 0 and byte == 0x20):
        return
    decoded = decode(SeaFet, line + line[:at] + bytes([byte]) + line[at + 1 :] + line)
    assert samples(decoded) == samples(decode(SeaFet, line + line))
    assert len(problems(decoded)) == 1


def test_it_is_installed_and_says_who_it_is() -> None:
    driver = load("seafet")("ph")
    driver.feed(SHALLOW, UNKNOWN)
    assert driver.description() == {
        "manufacturer": "Sea-Bird Scientific",
        "model": "SeapHOx V2",
        "serial": "01050",
    }
    assert (driver.start(), driver.poll(), driver.hail()) == (b"", b"", b"")
