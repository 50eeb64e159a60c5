"""The SeaCAT driver against the OOI's recordings and their values, Sea-Bird's own conversion, and the manual."""

import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from drivers.driver import Decoded, Problem, load
from drivers.recording import pieces
from drivers.seabird.sbe16plus import Sbe16plus
from tests.recordings import DATA, needs_recordings
from tidegate.clock import NAT, UNKNOWN, Arrival, TimeSource, isoformat
from tidegate.frame import Frame, Missing

T = "sea_water_temperature"
C = "sea_water_electrical_conductivity"
P = "sea_water_pressure_due_to_sea_water"

CTDBP = DATA / "ctd" / "ooi_ctdbp_sbe16plusv2"
OFFICIAL = DATA / "ctd" / "seabird_official"
NTP_EPOCH_S = 2_208_988_800
SECOND = 1_000_000_000

PLAIN = ("temperature", "conductivity", "pressure", "time")
UCSD = (
    *("temperature", "conductivity", "pressure", "salinity", "sound_velocity", "time"),
    *("density", "battery_voltage", "supply_current"),
)
COUNTED = ("temperature", "conductivity", "pressure", "counts_1", "counts_2", "counts_3", "time")


def driver(**values: Any) -> Sbe16plus:
    return Sbe16plus("ctd", Sbe16plus.Settings(**values))


def decode(data: bytes, **values: Any) -> list[Decoded]:
    d = driver(**values)
    return d.feed(data, UNKNOWN) + d.finish()


def recorded(name: str, **values: Any) -> list[Decoded]:
    """What the driver makes of one of the OOI's recordings, unwrapped."""
    d = driver(**values)
    decoded = [item for piece in pieces([(CTDBP / name).read_bytes()]) for item in d.feed(piece.data, piece.at)]
    return decoded + d.finish()


def frames(decoded: Iterable[Decoded]) -> list[Frame]:
    return [item for item in decoded if isinstance(item, Frame)]


def problems(decoded: Iterable[Decoded]) -> list[Problem]:
    return [item for item in decoded if isinstance(item, Problem)]


def column(decoded: Iterable[Decoded], name: str) -> list[Any]:
    return [value for frame in frames(decoded) for value in frame.columns[name].tolist()]


def times(decoded: Iterable[Decoded]) -> list[int]:
    return [at for frame in frames(decoded) for at in frame.time.tolist()]


def vector(format_: str) -> Any:
    vectors = json.loads((DATA / "ctd" / "manual_vectors.json").read_text())
    return next(v for v in vectors if v["format"].startswith(format_))


# Converted lines.


@needs_recordings
@pytest.mark.parametrize(
    ("log", "yml", "columns"),
    [
        ("20131123.ctdbp1_1rec", "20131123.ctdbp1_1rec", UCSD),
        ("20131123.ctdbp1_1rec_c", "20131123.ctdbp1_1rec_r", PLAIN),
        ("20131123.ctdbp1_many", "20131123.ctdbp1_many_telemetered", UCSD),
        ("20131123.ctdbp1_many_corrected", "20131123.ctdbp1_many_recovered", PLAIN),
        ("20131123.ctdbp1_many_1inval", "20131123.ctdbp1_many_recovered_1inval", UCSD),
        ("20131123.ctdbp1_many_corrected_1inval", "20131123.ctdbp1_many_recovered_1inval", PLAIN),
        ("20140928.ctdbp3_24rec", "20140928.ctdbp3_24rec", COUNTED),
    ],
)
def test_recordings_have_the_values_of_the_oois_own_parser(log: str, yml: str, columns: tuple[str, ...]) -> None:
    decoded = recorded(log + ".log", columns=columns)
    wanted = yaml.safe_load((CTDBP / f"{yml}.yml").read_text())["data"]
    assert column(decoded, T) == [want["temp"] for want in wanted]
    assert column(decoded, C) == [want["conductivity"] for want in wanted]
    assert column(decoded, P) == [want["pressure"] for want in wanted]
    assert times(decoded) == [round(want["internal_timestamp"] - NTP_EPOCH_S) * SECOND for want in wanted]
    assert all(frame.source is TimeSource.INSTRUMENT for frame in frames(decoded))
    arrivals = [frame.arrival.utc_ns / SECOND for frame in frames(decoded)]
    assert arrivals == pytest.approx([want["port_timestamp"] - NTP_EPOCH_S for want in wanted], abs=1e-4)
    refused = problems(decoded)
    assert len(refused) == ("1inval" in log)
    assert all(p.kind == "syntax" and "cut short" in p.message for p in refused)


@needs_recordings
def test_a_recording_without_samples_has_neither_samples_nor_problems() -> None:
    assert recorded("20131123.ctdbp1_0rec.log") == []


@needs_recordings
def test_every_value_of_a_day_of_lines() -> None:
    data = (CTDBP / "20131123.ctdbp1.log").read_bytes()
    lines = [line.partition(b" # ")[2] for line in data.splitlines(keepends=True) if b" # " in line]
    decoded = decode(b"".join(b"# " + line for line in lines), columns=UCSD)
    (frame,) = frames(decoded)
    assert not problems(decoded)
    assert len(frame) == len(lines) == 3389
    values = np.array([[float(v) for i, v in enumerate(line.split(b",")) if i != 5] for line in lines])
    assert np.array_equal(np.column_stack(list(frame.columns.values())), values)
    assert list(frame.columns)[3:] == [
        "sea_water_practical_salinity",
        "speed_of_sound_in_sea_water",
        "sea_water_sigma_t",
        "battery_voltage",
        "supply_current",
    ]
    assert isoformat(int(frame.time[0])) == "2013-11-23T00:00:21.000000000Z"
    assert (np.diff(frame.time) > 0).all()


@needs_recordings
def test_lines_that_the_settings_do_not_fit_say_what_to_set() -> None:
    decoded = recorded("20131123.ctdbp1_1rec.log")
    assert [(p.kind, p.size) for p in problems(decoded)] == [("columns", 94)]
    assert not frames(decoded)
    assert "8 values and a date found where 3 values and a date should be" in problems(decoded)[0].message
    assert "'columns'" in problems(decoded)[0].message


def test_voltages_and_reports_of_faults() -> None:
    data = b" 24.8339,  0.97795,   -9.262, 0.0590, 4.1089, 07 Jan 2000, 04:51:39\r\ntime out\r\nerror --> x\r\n"
    columns = ("temperature", "conductivity", "pressure", "voltage_0", "voltage_3", "time")
    decoded = decode(data, columns=columns)
    assert (column(decoded, "external_voltage_0"), column(decoded, "external_voltage_3")) == ([0.059], [4.1089])
    assert [p.kind for p in problems(decoded)] == ["exception"]


# Hexadecimal scans.


@needs_recordings
def test_an_upload_is_as_sea_bird_converted_it() -> None:
    data = (OFFICIAL / "19plus_V2.hex").read_bytes()
    text = (OFFICIAL / "19plus_V2_CTD-processing_example.cnv").read_text("latin1").partition("*END*\n")[2]
    wanted = np.array([[float(v) for v in line.split()] for line in text.splitlines()])
    d = driver()
    decoded = d.feed(data, UNKNOWN)
    assert (d.description()["model"], d.description()["serial"]) == ("SBE 19plus", "6130")
    assert not problems(decoded)
    (frame,) = frames(decoded)
    assert len(frame) == 3069
    # The header prints the coefficients with 7 digits, the converted file was made with 9: one unit in the last place.
    for name, at, ulp in ((T, 0, 1e-4), (C, 1, 1e-6), (P, 2, 1e-3)):
        difference = np.abs(frame.columns[name] - wanted[:, at])
        assert difference.max() < 1.001 * ulp
    assert (np.round(frame.columns[T], 4) == np.round(wanted[:, 0], 4)).mean() > 0.98
    assert isoformat(int(frame.time[0])) == "2016-12-10T06:16:51.000000000Z"
    assert (np.diff(frame.time) == SECOND // 4).all()
    assert list(frame.columns)[4:] == [f"external_voltage_{n}" for n in (0, 1, 2, 4)]
    assert frame.columns["external_voltage_0"][0] == pytest.approx(0x061C / 13107, abs=5e-6)
    assert ((frame.columns["temperature_of_pressure_sensor"] > 15) & (frame.columns[T] > 15)).all()


@needs_recordings
def test_a_raw_scan_of_the_manual() -> None:
    v = vector("SBE19plusV2/16plusV2 OutputFormat=0")
    d = driver(voltages=(0, 1))
    unknown = d.feed(v["raw"].encode() + b"\r\n", UNKNOWN)
    assert [p.kind for p in problems(unknown)] == ["calibration"]
    assert "TA0" in problems(unknown)[0].message
    header = (OFFICIAL / "19plus_V2.hex").read_bytes().partition(b"*END*")[0]
    d.feed(header, UNKNOWN)
    raw = b"*END*\r\n" + v["raw"].encode() + b"\r\n"
    (frame,) = frames(d.feed(raw, UNKNOWN))
    want = v["expect"]
    assert round(float(frame.columns["external_voltage_0"][0]), 4) == want["v0"]
    assert round(float(frame.columns["external_voltage_1"][0]), 4) == want["v1"]


@needs_recordings
def test_an_engineering_scan_of_the_manual() -> None:
    v = vector("SBE19plusV2/16plusV2 OutputFormat=1")
    arrival = Arrival(SECOND, SECOND, "boot", True)
    (frame,) = frames(driver(voltages=(0, 1), scans="engineering").feed(v["raw"].encode() + b"\r\n", arrival))
    want = v["expect"]
    assert frame.columns[T].tolist() == [want["temperature_C"]]
    assert frame.columns[C].tolist() == [pytest.approx(want["conductivity_S_m"], abs=1e-5)]
    assert frame.columns[P].tolist() == [want["pressure_dbar"]]
    assert round(float(frame.columns["external_voltage_1"][0]), 4) == want["v1"]
    assert (frame.source, frame.time.tolist()) == (TimeSource.ARRIVAL, [SECOND])

    timed = v["raw"].encode() + b"1B4F1D01\r\n"
    (frame,) = frames(driver(voltages=(0, 1), scans="engineering").feed(timed, arrival))
    assert isoformat(int(frame.time[0])) == "2014-07-08T21:20:01.000000000Z"
    assert frame.columns[T].tolist() == [want["temperature_C"]]


@needs_recordings
def test_what_is_in_a_scan_must_be_known() -> None:
    scan = vector("SBE19plusV2/16plusV2 OutputFormat=0")["raw"].encode() + b"\r\n"
    (found,) = problems(decode(scan))
    assert (found.kind, found.size) == ("syntax", 30)
    assert "'voltages'" in found.message
    (found,) = problems(decode(scan, voltages=(0,)))
    assert "34 or 26" in found.message
    header = (OFFICIAL / "19plus_V2.hex").read_bytes()
    oxygen = header.replace(b"OPTODE = no", b"OPTODE = yes")
    refused = decode(oxygen)
    assert not frames(refused)
    assert {p.kind for p in problems(refused)} == {"syntax"}
    assert "where 44 are to be expected" in problems(refused)[0].message
    assert len(problems(refused)) == 3069


@needs_recordings
def test_the_header_says_whether_scans_carry_time() -> None:
    data = (OFFICIAL / "19plus_V2.hex").read_bytes()
    head, _, scans = data.partition(b"*END*\n")
    scan = scans[:38]
    stamped = scan + b"1B4F1D01\n"
    moored = head.replace(b"mode = profile", b"mode = moored") + b"*END*\n"
    assert times(decode(moored + stamped)) == [1_404_854_401 * SECOND]
    for header, line in ((moored, scan + b"\n"), (head + b"*END*\n", stamped)):
        decoded = decode(header + line)
        assert not frames(decoded)
        assert "digits where" in problems(decoded)[0].message


@needs_recordings
def test_scans_of_a_live_instrument_do_not_take_the_time_of_a_cast_that_it_lists() -> None:
    data = (OFFICIAL / "19plus_V2.hex").read_bytes()
    live = b"\r\n".join(line.lstrip(b"* ") for line in data.splitlines()[6:68] if line.startswith(b"* "))
    assert b"cast   1 10 Dec 2016" in live
    arrival = Arrival(SECOND, SECOND, "boot", True)
    (frame,) = frames(driver().feed(live + b"\r\nS>" + data.splitlines()[-1] + b"\r\n", arrival))
    assert (frame.source, frame.time.tolist()) == (TimeSource.ARRIVAL, [SECOND])


def upload() -> bytes:
    """The header, ten scans, two damaged ones, ten scans and one cut off."""
    head, scans = (OFFICIAL / "19plus_V2.hex").read_bytes().split(b"*END*\n")
    lines = scans.splitlines(keepends=True)
    damaged = [lines[10][:-2] + b"\n", b"04ECEE0A4E5708 4235091061C3C390A9AAE14\r\n"]
    return head + b"*END*\n" + b"".join([*lines[:10], *damaged, *lines[12:22]]) + lines[22][:20]


@needs_recordings
@given(st.lists(st.integers(0, 3200), max_size=30))
@example(list(range(3200)))
@settings(max_examples=40)
def test_the_cutting_of_an_upload_does_not_matter(cuts: list[int]) -> None:
    data = upload()
    d = driver()
    edges = [0, *sorted(min(c, len(data)) for c in cuts), len(data)]
    decoded = [item for a, b in pairwise(edges) for item in d.feed(data[a:b], UNKNOWN)] + d.finish()
    assert [(p.kind, p.size) for p in problems(decoded)] == [("syntax", 37), ("syntax", 38), ("truncated", 20)]
    whole = frames(decode(data))
    assert [len(frame) for frame in whole] == [10, 10]
    for name in whole[0].columns:
        assert column(decoded, name) == column(whole, name)
    # A damaged scan costs itself; those after it keep their time.
    start = times(decoded)[0]
    assert times(decoded) == times(whole) == [start + n * SECOND // 4 for n in [*range(10), *range(12, 22)]]


@needs_recordings
def test_impossible_counts_do_not_become_numbers() -> None:
    data = (OFFICIAL / "19plus_V2.hex").read_bytes().partition(b"*END*\n")[0] + b"*END*\n"
    decoded = decode(data + b"F" * 38 + b"\n" + b"0" * 38 + b"\n")
    (frame,) = frames(decoded)
    assert (frame.missing(T) == Missing.IMPLAUSIBLE).all()
    assert (frame.missing(C) == Missing.IMPLAUSIBLE).all()
    assert [p.kind for p in problems(decoded)] == ["implausible", "implausible"]


@given(st.lists(st.one_of(st.binary(max_size=60), st.text("0123456789ABCDEF,. -\n", max_size=60).map(str.encode))))
@settings(max_examples=100)
def test_random_bytes_never_raise_and_never_become_a_number(chunks: list[bytes]) -> None:
    d = driver(voltages=(0, 1, 2, 3, 4, 5))
    decoded = [item for chunk in chunks for item in d.feed(chunk, UNKNOWN)] + d.finish()
    assert not frames(decoded)


def test_commands() -> None:
    assert driver().start() == b"\r\nGetCD\r\n"
    assert driver(columns=PLAIN).start() == driver(columns=PLAIN).poll() == b""
    assert driver(mode="polled", columns=PLAIN).start() == b"\r\nStop\r\nOutputFormat=3\r\n"
    assert driver(mode="polled").poll() == b"TS\r\n"
    assert load("sbe16plus") is Sbe16plus
    unknown_time = frames(decode(b"24.8339\r\n", columns=("temperature",)))
    assert unknown_time[0].time.tolist() == [NAT]
