"""Nortek's NMEA telemetry against printed examples, and against every way in which lines can go wrong."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.driver import Problem, load
from drivers.nortek.telemetry import Telemetry, TelemetrySettings
from drivers.simulators.signature import SignatureSimulator, sentence
from tests.drivers.decoded import frames, problems, samples
from tests.drivers.nortek.streams import decode
from tests.recordings import DATA, needs_recordings
from tidegate.clock import UNKNOWN, Arrival, TimeSource
from tidegate.codec import decode_frame, encode_frame
from tidegate.frame import Frame, Missing

PROBABLE = settings(max_examples=50, derandomize=True, deadline=None)
START_NS = 1_767_225_600_000_000_000
ECHO = "signal_intensity_from_multibeam_acoustic_doppler_velocity_sensor_in_sea_water"
CORRELATION = "beam_consistency_indicator_from_multibeam_acoustic_doppler_velocity_profiler_in_sea_water"


def lines(*bodies: str) -> bytes:
    """Sentences with their true checksums."""
    return b"".join(sentence(body) for body in bodies)


def one(data: bytes, **how: Any) -> Frame:
    decoded = decode(Telemetry("adcp", TelemetrySettings(**how)), data)
    assert problems(decoded) == []
    (frame,) = frames(decoded)
    return frame


def when(frame: Frame) -> str:
    return str(frame.time[0].astype("M8[ns]"))


def values(frame: Frame) -> dict[str, Any]:
    return {name: column[0].tolist() for name, column in frame.columns.items()}


# Printed examples: Nortek's Integrator's Guide p. 69-81, AWAC NMEA interface, with checksums as they truly are


def test_format_100_of_the_signature() -> None:
    data = lines(
        "PNORI,4,Signature1000900002,4,2,0.20,1.00,0",
        "PNORS,102115,090715,00000000,2A480000,14.4,1523.0,275.9,15.7,2.3,0.000,22.45,0,0",
        "PNORC,102115,090715,1,0.56,-0.80,-1.99,-1.33,0.98,305.2,C,80,88,67,78,13,17,10,18",
        "PNORC,102115,090715,2,-32.77,-32.77,-32.77,-32.77,46.34,225.0,C,40,41,42,43,1,2,3,4",
    )
    frame = one(data)
    assert when(frame) == "2015-10-21T09:07:15.000000000"
    v = values(frame)
    assert v["eastward_sea_water_velocity"][0] == 0.56
    assert v["upward_sea_water_velocity_2"][0] == -1.33
    assert (v["sea_water_speed"][0], v["sea_water_velocity_to_direction"][0]) == (0.98, 305.2)
    for name in ("eastward_sea_water_velocity", "sea_water_speed", "sea_water_velocity_to_direction"):
        assert frame.missing(name)[0].tolist() == [0, Missing.INVALID]
    assert v[f"{ECHO}_beam_2"] == [88, 41]
    assert v[f"{CORRELATION}_beam_4"] == [18, 4]
    assert (v["battery_voltage"], v["platform_orientation"], v["device_status"]) == (14.4, 275.9, 0x2A480000)
    assert (v["sea_water_temperature"], v["sea_water_pressure_due_to_sea_water"]) == (22.45, 0.0)
    cells = frame.schema.cells
    assert cells is not None
    assert (cells.count, cells.first_m, cells.size_m, cells.upward) == (2, 1.2, 1.0, False)


def test_format_100_of_an_awac_has_three_beams() -> None:
    data = (
        b"$PNORI,3,WAV6103,3,2,0.51,2.00,0*2D\r\n".replace(b"*2D", b"")
        + b"$PNORS,073010,050000,00,B0,13.4,1520.6,114.9,-0.5,1.6,22.314,18.92,1039,0*0B\r\n"
        + b"$PNORC,073010,050000,1,0.10,-0.11,-0.01,0.15,137.2,C,88,83,87,,,*37\r\n"
        + b"$PNORC,073010,050000,2,0.15,-0.16,-0.02,0.22,138.1,C,76,71,74,,,*3D\r\n"
    )
    frame = one(data, checksum="optional")
    v = values(frame)
    assert v["eastward_sea_water_velocity"] == [0.1, 0.15]
    assert v["sea_water_velocity_to_direction"] == [137.2, 138.1]
    assert v[f"{ECHO}_beam_3"] == [87, 74]
    assert frame.missing(f"{CORRELATION}_beam_1").tolist() == [[Missing.NOT_GIVEN] * 2]
    assert (v["auxiliary_counts_1"], v["device_status"], v["platform_pitch_fore_up"]) == (1039, 0xB0, -0.5)


def test_formats_101_and_102_are_the_same_with_and_without_tags() -> None:
    plain = lines(
        "PNORI1,4,123456,4,2,1.00,5.00,XYZ",
        "PNORS1,083013,132455,0,34000034,23.9,1500.0,123.4,0.02,45.6,0.02,23.4,0.02,123.456,0.02,24.56",
        *(
            f"PNORC1,083013,132455,{n},{p},0.332,-0.332,0.001,-9.999,78.9,78.8,78.7,78.6,78,77,76,75"
            for n, p in ((1, 6.0), (2, 11.0))
        ),
    )
    tagged = lines(
        "PNORI2,IT=4,SN=123456,NB=4,NC=2,BD=1.00,CS=5.00,CY=XYZ",
        "PNORS2,DATE=083013,TIME=132455,EC=0,SC=34000034,BV=23.9,SS=1500.0,H=123.4,HSD=0.02,PI=45.6,PISD=0.02,"
        "R=23.4,RSD=0.02,P=123.456,PSD=0.02,T=24.56",
        *(
            f"PNORC2,DATE=083013,TIME=132455,CN={n},CP={p},VX=0.332,VY=-0.332,VZ=0.001,VZ2=-9.999,A1=78.9,A2=78.8,"
            "A3=78.7,A4=78.6,C1=78,C2=77,C3=76,C4=75"
            for n, p in ((1, 6.0), (2, 11.0))
        ),
    )
    frame = one(plain)
    assert samples([frame]) == samples([one(tagged)])
    v = values(frame)
    assert when(frame) == "2013-08-30T13:24:55.000000000"
    assert v["sea_water_x_velocity"] == [0.332, 0.332]
    assert frame.missing("sea_water_z_velocity_2").tolist() == [[Missing.INVALID] * 2]
    assert v["signal_amplitude_level_beam_1"] == [78.9, 78.9]
    assert (v["platform_orientation"], v["standard_deviation_of_heading"]) == (123.4, 0.02)
    assert (v["standard_deviation_of_sea_water_pressure"], v["sea_water_temperature"]) == (0.02, 24.56)


@pytest.mark.parametrize("tagged", [True, False])
def test_formats_103_and_104_write_the_year_first_and_belong_to_their_header(tagged: bool) -> None:
    if tagged:
        data = lines(
            "PNORH3,DATE=141112,TIME=081946,EC=0,SC=2A4C0000",
            "PNORS3,BV=33.0,SS=1546.1,H=151.1,PI=-12.0,R=-5.2,P=705.669,T=24.96",
            "PNORC3,CP=4.5,SP=3.519,DIR=110.9,AC=6,AA=28",
            "PNORC3,CP=6.5,SP=46.341,DIR=225.0,AC=7,AA=29",
        )
    else:
        data = lines(
            "PNORH4,141112,081946,0,2A4C0000",
            "PNORS4,33.0,1546.1,151.1,-12.0,-5.2,705.669,24.96",
            "PNORC4,4.5,3.519,110.9,6,28",
            "PNORC4,6.5,46.341,225.0,7,29",
        )
    frame = one(data)
    assert when(frame) == "2014-11-12T08:19:46.000000000"
    v = values(frame)
    assert v["sea_water_speed"][0] == 3.519
    assert frame.missing("sea_water_speed")[0].tolist() == [0, Missing.INVALID]
    assert (v["mean_beam_correlation"], v["mean_signal_amplitude"]) == ([6, 7], [28, 29])
    assert (v["sea_water_pressure_due_to_sea_water"], v["platform_pitch_fore_up"]) == (705.669, -12.0)
    assert frame.schema.cells is not None
    assert (frame.schema.cells.first_m, frame.schema.cells.size_m) == (4.5, 2.0)
    assert samples([one(data, cells=2)]) == samples([frame])


@needs_recordings
def test_the_manuals_sentences_are_taken_if_their_checksum_is_right() -> None:
    vectors = json.loads((DATA / "adcp/manual_vectors.json").read_text())
    ours = [vector for vector in vectors if vector["raw"].startswith("$PNOR")]
    assert len(ours) == 9
    for vector in ours:
        decoded = decode(Telemetry("adcp"), vector["raw"].encode() + b"\r\n")
        kinds = [kind for kind, _, _ in problems(decoded)]
        assert ("checksum" in kinds) == (not vector["checksum_ok"]), vector


def test_altimeter() -> None:
    frame = one(lines("PNORA,190902,122341,0.000,24.274,13068,08,-2.6,-0.8"))
    assert (when(frame), frame.schema.kind) == ("2019-09-02T12:23:41.000000000", "altimeter")
    v = values(frame)
    assert (v["altimeter_distance"], v["altimeter_quality"], v["altimeter_status"]) == (24.274, 13068, 8)
    assert v["platform_pitch_fore_up"] == -2.6
    tagged = lines("PNORA,DATE=190902,TIME=122341,P=0.000,A=24.274,Q=13068,ST=08,PI=-2.6,R=-0.8")
    assert samples([one(tagged)]) == samples([frame])


def test_bottom_and_water_track() -> None:
    at = Arrival(START_NS, 1, "b", True)
    driver = Telemetry("dvl")
    data = (
        b"$PNORBT,3,112813,072228.2345,0.1234,0.1234,1.11111,122.2,36.66,2.22222,F7*7A\r\n"
        b"$PNORBT,BEAM=3,DATE=112813,TIME=072228.2345,DT1=0.1234,DT2=0.1234,BV=1.11111,FM=122.2,DIST=36.66,"
        b"WV=2.22222,STAT=F7*75\r\n"
        b"$PNORBT0,1,040721,131335.3341,23.961,-48.122,-32.76800,10.00000,0.00,0x00000000*48\r\n"
        b"$PNORBT7,1452244916.7508,1.234,-1.234,0.1234,0.1234,0.1234,12.34,23.45,23.45,23.45,23.45*39\r\n"
    ) + lines("PNORWT4,1.2345,-1.2345,1.234,23.4,12.34,12.3")
    decoded = driver.feed(data, at) + driver.finish()
    assert problems(decoded) == []
    beam, invalid, ship, water = frames(decoded)
    assert len(beam) == 2
    assert samples([beam.take(slice(0, 1))]) == samples([beam.take(slice(1, 2))])
    assert when(beam) == "2013-11-28T07:22:28.234500000"
    assert beam.columns["bottom_track_velocity_beam_3"][0] == 1.11111
    for name in ("velocity", "range", "velocity_uncertainty"):
        assert invalid.missing(f"bottom_track_{name}_beam_1").tolist() == [Missing.INVALID]
    assert when(ship) == "2016-01-08T09:21:56.750800000"
    assert values(ship)["bottom_track_range_beam_4"] == 23.45
    assert (water.source, water.time.tolist()) == (TimeSource.ARRIVAL, [START_NS])
    assert values(water)["water_track_speed"] == 1.234


def test_wave_parameters_of_an_awac() -> None:
    # Nortek's example of the AWAC's NMEA interface.
    body = (
        b"$PNORW,073010,051001,3,4,0.55,0.51,0.63,0.82,2.76,3.33,2.97,55.06,78.91,337.62,0.48,22.35,0,1,0.27,129.11,"
        b"0000*4E\r\n"
    )
    v = values(one(body))
    assert v["sea_surface_wave_significant_height"] == 0.55
    assert v["sea_surface_wave_period_at_variance_spectral_density_maximum"] == 3.33
    assert v["sea_surface_wave_from_direction"] == 337.62
    assert (v["near_surface_sea_water_speed"], v["wave_surface_bad_detects"]) == (0.27, 1)
    assert v["sea_water_pressure_due_to_sea_water"] == 22.35
    band = values(one(lines("PNORB,102115,090715,1,4,0.02,0.20,0.27,7.54,12.00,82.42,75.46,82.10,0000")))
    assert band["sea_surface_wave_band_high_frequency"] == 0.2
    frame = one(
        lines(
            "PNORW,102115,090715,1,4,-9.00,-9.00,-9.00,-9.00,-9.00,-9.00,-9.00,-9.00,-9.00,-9.00,-9.00,1.00,-9,-9,-999.00,-9.00,0001"
        )
    )
    assert frame.missing("sea_surface_wave_significant_height").tolist() == [Missing.INVALID]
    assert frame.missing("wave_surface_no_detects").tolist() == [Missing.INVALID]


# The beginning of a real AWAC's spectra (wavespectra, module of the AWAC reader).
ENERGY = "0.063,0.029,0.020,0.182,2.671,5.169,6.311,4.587,2.876,1.802"
A1 = "-0.1370,-0.1413,-0.2548,-0.7437,-0.9243,-0.9156,-0.9092,-9.0000,-9.0000,-9.0000"


def test_wave_spectra_are_profiles_over_frequency() -> None:
    data = lines(
        f"PNORE,050120,000101,3,0.02,0.01,10,{ENERGY}",
        f"PNORF,A1,050120,000101.5,3,0.02,0.01,10,{A1}",
        "PNORWD,MD,050120,000101,3,0.02,0.01,3,45.0,90.5,-9.0000",
    )
    energy, a1, direction = frames(decode(Telemetry("awac"), data))
    assert when(energy) == "2020-05-01T00:01:01.000000000"
    assert energy.schema.kind == "wave_spectrum"
    assert values(energy)["sea_surface_wave_variance_spectral_density"][6] == 6.311
    assert energy.schema.cells is not None
    assert (energy.schema.cells.first_m, energy.schema.cells.size_m) == (0.02, 0.01)
    assert when(a1).endswith("01.500000000")
    assert a1.missing("sea_surface_wave_fourier_coefficient_a1")[0].tolist() == [0] * 7 + [Missing.INVALID] * 3
    assert values(direction)["sea_surface_wave_from_direction"][:2] == [45.0, 90.5]


# What can go wrong

FORMATS = [100, 101, 102, 103, 104]


def simulated(telemetry: int, count: int = 3, cells: int = 4, **how: Any) -> tuple[bytes, list[Any]]:
    simulator = SignatureSimulator(telemetry=telemetry, cells=cells, **how)
    data = b"".join(simulator.tick(START_NS + i * 1_000_000_000) for i in range(count + 1))
    return data, simulator.take_said()


@pytest.mark.parametrize("telemetry", FORMATS)
def test_a_lost_cell_leaves_the_rest_and_is_reported(telemetry: int) -> None:
    data, _ = simulated(telemetry)
    rows = data.splitlines(keepends=True)
    lost = [i for i, row in enumerate(rows) if b"PNORC" in row][1]
    decoded = decode(Telemetry("adcp", TelemetrySettings(cells=4)), b"".join(rows[:lost] + rows[lost + 1 :]))
    assert [kind for kind, _, _ in problems(decoded)] == ["incomplete"]
    assert sum(map(len, frames(decoded))) == 3
    name = "sea_water_speed" if telemetry > 102 else "eastward_sea_water_velocity"
    first = frames(decoded)[0]
    gone = 3 if telemetry > 102 else 1  # without cell numbers it is the last that is missing
    assert first.missing(name)[0].tolist() == [Missing.NOT_GIVEN if i == gone else 0 for i in range(4)]


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (b"$PNORA,190902,122341,0.000,24.274,13068,08,-2.6,-0.8*7F\r\n", "checksum"),
        (b"$PNORA,190902,122341,0.000,24.274,13068,08,-2.6,-0.8\r\n", "checksum"),
        (b"\x00\xff\x81garbage\r\n", "noise"),
        (b"$GPHDT,12.0,T*2F\r\n", "noise"),
        (lines("PNORA,190902,122341,0.000,24.274,13068,08,-2.6"), "syntax"),
        (lines("PNORA,191302,122341,0.000,24.274,13068,08,-2.6,-0.8"), "syntax"),
        (lines("PNORA,190902,122361,0.000,24.274,13068,08,-2.6,-0.8"), "syntax"),
        (lines("PNORA,190902,122341,0.0x0,24.274,13068,08,-2.6,-0.8"), "syntax"),
        (lines("PNORA,190902,122341,nan,24.274,13068,08,-2.6,-0.8"), "syntax"),
        (lines("PNORA,190902,122341,0.0,24.274,130.5,08,-2.6,-0.8"), "syntax"),
        (lines("PNORC4,4.5,3.519,110.9,6,28"), "syntax"),
        (lines("PNORS4,33.0,1546.1,151.1,-12.0,-5.2,705.669,24.96"), "syntax"),
        (lines("PNORE,050120,000101,3,0.02,0.01,10,1.0"), "syntax"),
        (lines("PNORI1,4,123456,4,0,1.00,5.00,XYZ"), "syntax"),
        (lines("PNORX9,1,2"), "unknown"),
        (lines("PNORA,190902,122341,0.000,24.274,13068,08,-2.6,-800.8"), "implausible"),
    ],
)
def test_each_damage_has_its_name(bad: bytes, kind: str) -> None:
    good, _ = simulated(100, 1)
    decoded = decode(Telemetry("adcp"), good + bad + good.replace(b"000001", b"000001"))
    assert [found for found, _, _ in problems(decoded)] == [kind]
    assert kind in Telemetry.problems
    offset = next(d.offset for d in decoded if isinstance(d, Problem))
    assert offset == len(good)
    assert sum(len(f) for f in frames(decoded) if f.schema.kind == "adcp") == 2


@PROBABLE
@given(st.sampled_from(FORMATS), st.sets(st.integers(0, 3000), max_size=20), st.integers(0, 3000), st.integers(1, 255))
def test_cutting_never_matters(telemetry: int, cuts: set[int], at: int, by: int) -> None:
    data = bytearray(simulated(telemetry)[0])
    data[at % len(data)] ^= by
    whole = decode(Telemetry("adcp"), bytes(data))
    decoded = decode(Telemetry("adcp"), bytes(data), {cut for cut in cuts if cut < len(data)})
    assert samples(decoded) == samples(whole)
    assert problems(decoded) == problems(whole)


@PROBABLE
@given(st.binary(max_size=1500))
def test_random_bytes_give_no_sample(noise: bytes) -> None:
    assert not frames(decode(Telemetry("adcp"), noise + b"\r\n$PNORC," + noise))


@PROBABLE
@given(
    st.sampled_from(FORMATS),
    st.lists(st.tuples(st.integers(0, 2000), st.sampled_from("0123456789,.-=ABCxe ")), max_size=4),
)
def test_any_fields_behind_a_right_checksum_give_frames_or_problems(
    telemetry: int, changes: list[tuple[int, str]]
) -> None:
    bodies = [row[1:].partition("*")[0] for row in simulated(telemetry, 2)[0].decode().split()]
    for at, letter in changes:
        body = bodies[at % len(bodies)]
        place = 6 + at % (len(body) - 6)
        bodies[at % len(bodies)] = body[:place] + letter + body[place + 1 :]
    for item in decode(Telemetry("adcp"), lines(*bodies)):
        if isinstance(item, Problem):
            assert item.kind in Telemetry.problems
        else:
            encode_frame(item)


@pytest.mark.parametrize("telemetry", FORMATS)
@pytest.mark.parametrize("cut", [7, 100, 5000])
def test_the_driver_finds_all_that_the_simulator_said(telemetry: int, cut: int) -> None:
    data, said = simulated(telemetry, 4, 9)
    decoded = decode(Telemetry("adcp"), data, range(cut, len(data), cut))
    assert problems(decoded) == []
    rows = [frame.take(slice(i, i + 1)) for frame in frames(decoded) for i in range(len(frame))]
    assert len(rows) == len(said) == 4
    for row, sample in zip(rows, said, strict=True):
        assert row.time.tolist() == [sample.time_ns]
        assert values(row) == dict(sample.values)
        back = decode_frame(encode_frame(row), {row.schema.id: row.schema})
        assert samples([back]) == samples([row])


def test_it_is_installed_and_describes_the_instrument() -> None:
    driver = load("nortek_nmea")("adcp")
    driver.feed(simulated(101)[0], UNKNOWN)
    assert driver.description()["serial"] == "100321"
    assert driver.description()["coordinates"] == "earth"
    assert [schema.kind for schema in driver.schemas()] == ["adcp"]
