"""The MicroCAT driver against Sea-Bird's files and manuals, and against a simulated MicroCAT on a bad line."""

import json
import math
import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from drivers.driver import Decoded, Problem, load
from drivers.seabird.sbe37 import Sbe37
from drivers.simulators.sbe37 import Sbe37Simulator, practical_salinity
from drivers.simulators.simulator import Mischief, Said
from tests.recordings import DATA, needs_recordings
from tidegate.clock import NAT, UNKNOWN, Arrival, TimeSource, isoformat
from tidegate.codec import decode_frame, encode_frame
from tidegate.frame import MISSING_INT, Frame, Missing, rows

T = "sea_water_temperature"
C = "sea_water_electrical_conductivity"
P = "sea_water_pressure_due_to_sea_water"
S = "sea_water_practical_salinity"
SV = "speed_of_sound_in_sea_water"

SECOND = 1_000_000_000
START = 1_750_000_000 * SECOND
GOOD = b" 24.8339,  0.97795,   -9.262, 07 Jan 2000, 04:51:39\r\n"
UPLOAD = DATA / "ctd" / "seabird_official" / "SBE37SM.hex"


def driver(**values: Any) -> Sbe37:
    return Sbe37("ctd", Sbe37.Settings(**values))


def decode(data: bytes, arrival: Arrival = UNKNOWN, **values: Any) -> list[Decoded]:
    d = driver(**values)
    return d.feed(data, arrival) + d.finish()


def frames(decoded: Iterable[Decoded]) -> list[Frame]:
    return [item for item in decoded if isinstance(item, Frame)]


def problems(decoded: Iterable[Decoded]) -> list[Problem]:
    return [item for item in decoded if isinstance(item, Problem)]


def samples(decoded: Iterable[Decoded]) -> list[dict[str, Any]]:
    """All samples, one by one; a missing value as its reason."""
    found = []
    for frame in frames(decoded):
        missing = {name: frame.missing(name) for name in frame.columns}
        for i, at in enumerate(frame.time.tolist()):
            values = {n: Missing(missing[n][i]) if missing[n][i] else c[i].item() for n, c in frame.columns.items()}
            found.append({"time": at, "source": frame.source, **values})
    return found


def only(decoded: list[Decoded]) -> dict[str, Any]:
    found = samples(decoded)
    assert len(found) == 1
    return found[0]


def told(decoded: Iterable[Decoded]) -> list[tuple[str, int, int]]:
    return [(p.kind, p.offset, p.size) for p in problems(decoded)]


def in_pieces(d: Sbe37, data: bytes, cuts: Iterable[int], arrival: Arrival = UNKNOWN) -> list[Decoded]:
    edges = [0, *sorted(min(c, len(data)) for c in cuts), len(data)]
    decoded = [item for a, b in pairwise(edges) for item in d.feed(data[a:b], arrival)]
    return decoded + d.finish()


def vector(format_: str) -> Any:
    vectors = json.loads((DATA / "ctd" / "manual_vectors.json").read_text())
    return next(v for v in vectors if v["format"].startswith(format_))


# Converted lines.


@needs_recordings
def test_a_line_of_the_manual() -> None:
    v = vector("SBE37-SM OutputFormat=1")
    sample = only(decode(v["raw"].encode() + b"\r\n"))
    want = v["expect"]
    assert (sample[T], sample[C], sample[P]) == (want["temperature_C"], want["conductivity_S_m"], want["pressure_dbar"])
    assert isoformat(sample["time"]) == want["time"].replace("Z", ".000000000Z")
    assert sample["source"] is TimeSource.INSTRUMENT


@needs_recordings
def test_a_line_with_salinity_and_sound_velocity_from_a_simulator_out_of_this_world() -> None:
    v = vector("SBE37-SMP TS with salinity")
    columns = ("temperature", "conductivity", "pressure", "salinity", "sound_velocity", "time")
    decoded = decode(v["raw"].encode() + b"\r\n", columns=columns)
    want = v["expect"]
    sample = only(decoded)
    # 55.9 °C and 41 S/m do not exist; the rest of the line stands.
    assert sample[T] is Missing.IMPLAUSIBLE
    assert sample[C] is Missing.IMPLAUSIBLE
    assert (sample[P], sample[S], sample[SV]) == (want["pressure_dbar"], want["salinity"], want["sound_velocity"])
    assert told(decoded) == [("implausible", 0, len(v["raw"]))]
    assert "55.9044" in problems(decoded)[0].message


@needs_recordings
def test_a_line_with_address_serial_number_and_count() -> None:
    v = vector("SBE39plus-IM OutputFormat=1")
    columns = ("ignore", "ignore", "temperature", "pressure", "time", "sample_number", "ignore")
    sample = only(decode(v["raw"].encode() + b"\r\n", columns=columns))
    want = v["expect"]
    assert (sample[T], sample[P], sample["sample_number"]) == (8.5796, 531.316, want["sample"])
    assert isoformat(sample["time"]) == want["time"].replace("Z", ".000000000Z")


@needs_recordings
@pytest.mark.parametrize("lines", [False, True])
def test_an_xml_packet_of_the_manual_on_one_line_or_many(lines: bool) -> None:
    v = vector("SBE39plus-IM OutputFormat=2")
    raw = v["raw"].replace("><", ">\r\n<") if lines else v["raw"]
    sample = only(decode(raw.encode() + b"\r\n"))
    want = v["expect"]
    assert (sample[T], sample[P], sample["sample_number"]) == (want["temperature_C"], want["pressure_dbar"], 92)
    assert isoformat(sample["time"]) == want["time"].replace("Z", ".000000000Z")


def test_xml_packets_one_after_the_other_are_one_frame() -> None:
    packet = "<datapacket><hdr></hdr><data><t1>{:.4f}</t1><dt>2016-04-20T14:25:{:02}</dt></data></datapacket>\r\n"
    (frame,) = frames(decode("".join(packet.format(20 + n / 8, n) for n in range(40)).encode()))
    assert frame.columns[T].tolist() == [20 + n / 8 for n in range(40)]


def test_an_xml_packet_that_is_not_in_order_is_refused() -> None:
    packet = "<datapacket><hdr></hdr><data><t1>{}</t1><dt>2016-04-20T14:25:18</dt>{}</data></datapacket>\r\n"
    for t, more, kind in (
        ("24.66", "", "syntax"),
        ("24.66z1", "", "syntax"),
        ("24.6671", "<t1>24.6671</t1>", "unknown"),
        ("24.6671", "<zz>1.0</zz>", "unknown"),
        ("24.6671", "<p1>1.000", "syntax"),
        ("", "", "syntax"),
    ):
        decoded = decode(packet.format(t, more).encode())
        assert not frames(decoded)
        assert [p.kind for p in problems(decoded)] == [kind]
    cut_off = b"<datapacket><hdr></hdr><data>\r\n<t1>24.6671</t1>\r\n"
    assert [p.kind for p in problems(decode(cut_off))] == ["truncated"]
    for whole in (GOOD, packet.format("24.6671", "").encode()):
        decoded = decode(cut_off + whole * 3)
        assert [type(item) for item in decoded] == [Problem, Frame]
        assert told(decoded) == [("truncated", 0, 46)]
        assert len(samples(decoded)) == 3
    endless = decode(cut_off + b"<t1>\r\n" * 1000 + GOOD)
    assert "truncated" in {p.kind for p in problems(endless)}
    assert only(endless)[T] == 24.8339


def test_a_date_with_the_month_first() -> None:
    sample = only(decode(b"#24.8339, 0.97795, -9.262, 01-07-2000, 04:51:39\r\n"))
    assert isoformat(sample["time"]) == "2000-01-07T04:51:39.000000000Z"


FORMATS = {
    "C": (T, 4, 1.0, 0.0, 1e-4),
    "F": (T, 4, 5 / 9, -160 / 9, 1e-5),
    "S/m": (C, 5, 1.0, 0.0, 1e-5),
    "mS/cm": (C, 4, 0.1, 0.0, 1e-5),
    "uS/cm": (C, 1, 1e-4, 0.0, 1e-5),
    "dbar": (P, 3, 1.0, 0.0, 1e-3),
    "psi": (P, 3, 0.689476, 0.0, 1e-4),
}


@given(
    st.sampled_from(["C", "F"]),
    st.sampled_from(["S/m", "mS/cm", "uS/cm"]),
    st.sampled_from(["dbar", "psi"]),
    st.lists(st.tuples(st.floats(-2, 35), st.floats(0, 7), st.floats(-1, 7000)), min_size=1, max_size=4),
)
@settings(max_examples=60)
def test_units(t_unit: str, c_unit: str, p_unit: str, sea: list[tuple[float, float, float]]) -> None:
    line = b""
    for n, values in enumerate(sea):
        printed = []
        for value, unit in zip(values, (t_unit, c_unit, p_unit), strict=True):
            _, decimals, scale, shift, _ = FORMATS[unit]
            printed.append(f"{(value - shift) / scale:.{decimals}f}")
        line += f"{', '.join(printed)}, 07 Jan 2000, 04:51:{n:02}\r\n".encode()
    d = driver(temperature_unit=t_unit, conductivity_unit=c_unit, pressure_unit=p_unit)
    decoded = d.feed(line, UNKNOWN)
    assert not problems(decoded)
    (frame,) = frames(decoded)
    assert list(d.schemas()) == [frame.schema]
    for values, unit in zip(zip(*sea, strict=True), (t_unit, c_unit, p_unit), strict=True):
        name, decimals, scale, _, resolution = FORMATS[unit]
        assert frame.schema.by_name[name].resolution == resolution
        assert np.abs(frame.columns[name] - values).max() <= 0.5 * scale * 10.0**-decimals + 0.5 * resolution + 1e-9
    again = decode_frame(encode_frame(frame), {frame.schema.id: frame.schema})
    assert all(np.array_equal(again.columns[name], frame.columns[name]) for name in frame.columns)


@pytest.mark.parametrize(
    ("line", "kind", "says"),
    [
        (b"24.8339, 0.97795, -9.262, 35.0001, 07 Jan 2000, 04:51:39", "columns", "4 values and a date found where 3"),
        (b"24.8339, 0.97795, 07 Jan 2000, 04:51:39", "columns", "2 values and a date found where 3"),
        (b"24.8339, 0.97795, -9.262", "syntax", "3 values and no date"),
        (b"24.8339, 9.7795, -9.262, 07 Jan 2000, 04:51:39", "syntax", 'set conductivity_unit = "mS/cm"'),
        (b"24.839, 0.97795, -9.262, 07 Jan 2000, 04:51:39", "syntax", "temperature has 3 decimals, not 4"),
        (b"24.8x39, 0.97795, -9.262, 07 Jan 2000, 04:51:39", "syntax", "value 1 reads '24.8x39'"),
        (b"x4.8339, 0.97795, -9.262, 07 Jan 2000, 04:51:39", "syntax", "value 1"),
        (b"24.8339, , -9.262, 07 Jan 2000, 04:51:39", "syntax", "value 2"),
        (b"24.8339, 0.97795, -9.262, 31 Feb 2000, 04:51:39", "syntax", "no such day"),
        (b"24.8339, 0.97795, -9.262, 07 Jun 2000, 24:00:00", "syntax", "value 4"),
        (b"24.8339 0.97795, -9.262, 07 Jan 2000, 04:51:39", "syntax", "value 1"),
        (b"24.8339, 0.9\x8a795, -9.262, 07 Jan 2000, 04:51:39", "noise", "noise on the line"),
        (b"Jan 2000, 04:51:39", "syntax", "value 1"),
        (b"<Error type='INVALID COMMAND' msg='?'/>", "exception", "INVALID COMMAND"),
        (b"? CMD", "exception", "? CMD"),
        (b"046A290B0B5E0806A206EA1A976E5", "syntax", "29 digits"),
        (b"046A290B0B5E0806A206EA1A97xE59", "syntax", "value 1"),
        (b"</data></datapacket>", "syntax", "part of an XML packet"),
        (b"<?xml version='1.0'?><datXpacket><data><t1>24.1111</t1></data></datapacXet>", "syntax", "part of an XML"),
        (b"046A290B0B5E0806A206EA1A976E59", "calibration", "lacks TA0"),
    ],
)
def test_what_is_no_sample_is_refused_by_name_and_its_neighbours_stay(line: bytes, kind: str, says: str) -> None:
    decoded = decode(GOOD + line + b"\r\n" + GOOD)
    assert [type(item) for item in decoded] == [Frame, Problem, Frame]
    (found,) = problems(decoded)
    assert (found.kind, found.offset, found.data) == (kind, len(GOOD), line)
    assert says in found.message


def test_telemetry_of_an_unknown_pressure_range_keeps_the_rest() -> None:
    decoded = decode(b"563A00C351E50A28D3531B\r\n563A00C351E50A28D3531B\r\n")
    (lack,) = problems(decoded)
    assert (lack.kind, lack.offset) == ("calibration", 0)
    assert "pressure_range_psia" in lack.message
    found = [row for frame in decoded if isinstance(frame, Frame) for row in rows([frame])]
    assert [row["sea_water_temperature"] for row in found] == [25.3184, 25.3184]
    assert all("sea_water_pressure_due_to_sea_water" not in row for row in found)


def test_conversation_is_neither_data_nor_a_problem() -> None:
    talk = (
        b"\r\nS>\r\nS>TS\r\nS>getcd\r\n<Executing/>\r\n<Executed/>\r\nSampleInterval=10\r\nDD1,200\r\n"
        b"SBE37-SM RS-232 V 3.0d  SERIAL NO. 6385    13 Jan 2000 10:01:54\r\nvMain = 13.21, vLith =  3.14\r\n"
        b"samplenumber = 15, free = 559225\r\nnot logging: stop command\r\nsample interval = 15 seconds\r\n"
        b"<StatusData DeviceType='SBE37SM-RS232' SerialNumber='03706385'>\r\n   <vMain>13.33</vMain>\r\n"
        b"</StatusData>\r\n"
        b"* Sea-Bird SBE37SM-RS232  Data File:\r\n*\r\n*END*\r\ntemperature: 28-jul-08\r\n    TA0 = -1.0e-04\r\n"
        b"time out\r\n"
    )
    decoded = decode(talk + b"S>" + GOOD + b"S>")
    assert not problems(decoded)
    assert only(decoded)[T] == 24.8339


def test_a_line_cut_off_at_the_end_of_the_stream_counts_only_when_it_must_be_whole() -> None:
    assert only(decode(GOOD.rstrip()))[T] == 24.8339
    assert told(decode(GOOD.rstrip()[:-1])) == [("truncated", 0, len(GOOD.rstrip()) - 1)]
    numbered = ("temperature", "conductivity", "pressure", "time", "sample_number")
    assert told(decode(GOOD.rstrip() + b", 12", columns=numbered)) == [("truncated", 0, len(GOOD.rstrip()) + 4)]


def test_a_sample_number_may_be_absent() -> None:
    columns = ("temperature", "conductivity", "pressure", "time", "sample_number")
    numbers = [s["sample_number"] for s in samples(decode(GOOD.rstrip() + b", 12\r\n" + GOOD, columns=columns))]
    assert numbers == [12, Missing.NOT_GIVEN]
    (frame,) = frames(decode(GOOD, columns=columns))
    assert frame.columns["sample_number"].tolist() == [MISSING_INT]


def test_without_a_clock_the_time_is_that_of_the_first_byte_of_the_record() -> None:
    d = driver(columns=("temperature", "conductivity"))
    early, late, later = (Arrival(START + n * SECOND, n * SECOND, "boot", True) for n in range(3))
    assert d.feed(b"S>", early) == []
    decoded = d.feed(b" 24.83", late) + d.feed(b"39,  0.97795\r\n 24.8340,  0.97796\r\n", later)
    assert [(s["time"], s["source"]) for s in samples(decoded)] == [
        (late.utc_ns, TimeSource.ARRIVAL),
        (later.utc_ns, TimeSource.ARRIVAL),
    ]
    unknown = samples(driver(columns=("temperature",)).feed(b"24.8339\r\n", UNKNOWN))
    assert [(s["time"], s["source"]) for s in unknown] == [(NAT, TimeSource.ARRIVAL)]


def test_samples_before_and_after_a_step_of_the_gateways_clock_do_not_share_a_frame() -> None:
    d = driver()
    half = len(GOOD) // 2
    d.feed(GOOD[:half], Arrival(START, 0, "boot", False))
    stepped = d.feed(GOOD[half:] + GOOD, Arrival(START + 3600 * SECOND, SECOND, "boot", True))
    assert [(len(frame), frame.arrival.utc_ns) for frame in frames(stepped)] == [(1, START), (1, START + 3600 * SECOND)]


def test_the_answer_to_getcd_says_what_is_printed() -> None:
    d = driver()
    reply = (
        b"<ConfigurationData DeviceType='SBE37SM-RS232' SerialNumber='03730051'>\r\n"
        b"<PressureInstalled>no</PressureInstalled>\r\n<ConductivityUnits>mS/cm</ConductivityUnits>\r\n<TemperatureUnits>Fahrenheit</TemperatureUnits>\r\n"
        b"<OutputSalinity>yes</OutputSalinity>\r\n<OutputSV>no</OutputSV>\r\n<OutputSC>yes</OutputSC>\r\n"
    )
    lines = b"77.0000, 53.0000, 35.0000, 53.1000, 07 Jan 2000, 04:51:39\r\n"
    decoded = d.feed(GOOD + reply + GOOD + b"</ConfigurationData>\r\n" + lines + GOOD, UNKNOWN)
    assert [type(item) for item in decoded] == [Frame, Frame, Problem]
    first, second = frames(decoded)
    assert len(first) == 2
    assert {name: c.tolist() for name, c in second.columns.items()} == {
        T: [25.0],
        C: [5.3],
        S: [35.0],
        "sea_water_electrical_conductivity_at_reference_temperature": [5.31],
    }
    assert d.description()["serial"] == "03730051"
    assert "columns" in problems(decoded)[0].message

    fixed = driver(columns=("temperature", "conductivity", "pressure", "time"), temperature_unit="C")
    fixed.feed(reply + b"</ConfigurationData>\r\n", UNKNOWN)
    (schema,) = fixed.schemas()
    assert [f.name for f in schema.fields] == [T, C, P]


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValidationError, match="temperature named twice"):
        Sbe37.Settings(columns=("temperature", "temperature"))
    with pytest.raises(ValidationError, match="names no value"):
        Sbe37.Settings(columns=("time",))
    with pytest.raises(ValidationError, match="no coefficient is called TA9"):
        Sbe37.Settings(coefficients={"TA9": 1.0})


def test_commands() -> None:
    fixed = ("temperature", "conductivity", "pressure", "time")
    assert driver(columns=fixed).start() == b""
    assert driver(columns=fixed).poll() == b""
    assert driver().start() == b"\r\nGetCD\r\n"
    assert driver(mode="polled", columns=fixed).start() == b"\r\nStop\r\nOutputFormat=1\r\n"
    assert driver(mode="polled").poll() == b"TS\r\n"
    assert load("sbe37") is Sbe37


# Noise.


@given(st.lists(st.one_of(st.binary(max_size=80), st.sampled_from([b"\r\n", b"S>", b"24.8", b", ", b"<datapacket>"]))))
@settings(max_examples=150)
def test_random_bytes_never_raise_and_never_become_a_number(pieces: list[bytes]) -> None:
    d = driver()
    decoded = [item for piece in pieces for item in d.feed(piece, UNKNOWN)] + d.finish()
    assert not frames(decoded)
    assert only(d.feed(b"\r\n" + GOOD, UNKNOWN))[T] == 24.8339


@given(st.integers(1, len(GOOD) - 3), st.sampled_from(list(b"\x00\x7f\xff~xEe=*;:/_")), st.booleans())
@settings(max_examples=150)
def test_a_foreign_byte_in_a_line_costs_that_line(at: int, octet: int, replace: bool) -> None:
    damaged = GOOD[:at] + bytes([octet]) + GOOD[at + replace :]
    decoded = decode(GOOD + damaged + GOOD)
    assert [type(item) for item in decoded] == [Frame, Problem, Frame]
    assert problems(decoded)[0].offset == len(GOOD)


@given(st.integers(2, len(GOOD) - 3), st.integers(1, 20))
@settings(max_examples=100)
def test_glued_and_cut_lines_never_become_one(at: int, lost: int) -> None:
    stream = GOOD + GOOD[:at] + GOOD[at + lost :] + GOOD
    found = samples(decode(stream))
    assert 2 <= len(found) <= 3 or at + lost > len(GOOD) - 2
    for sample in found:
        # Digits lost before a decimal point leave a number that nobody can tell from a good one; nothing else does.
        assert f"{sample[T]:.4f}".endswith(".8339")
        assert f"{sample[C]:.5f}".endswith(".97795")
        assert f"{sample[P]:.3f}".endswith(".262")
        assert isoformat(sample["time"]) == "2000-01-07T04:51:39.000000000Z"


# Uploaded scans.


@needs_recordings
def test_the_upload_that_sea_bird_converted() -> None:
    data = UPLOAD.read_bytes()
    d = Sbe37("ctd")
    decoded = d.feed(data, UNKNOWN)
    description = d.description()
    decoded += d.finish()
    refused = problems(decoded)
    assert any(schema == frames(decoded)[0].schema for schema in d.schemas())
    (frame,) = (f for f in frames(decoded) if len(f) > 1)
    assert len(frame) + sum(p.message.startswith("a scan of") for p in refused) == 100_309
    # tv290C of the first scan, start and interval, as Sea-Bird's own conversion has them.
    assert frame.columns[T][0] == 20.8989
    assert isoformat(int(frame.time[0])) == "2014-02-19T13:30:01.000000000Z"
    assert np.median(np.diff(frame.time)) == 120 * SECOND
    assert (description["serial"], description["model"]) == ("03706385", "SBE37SM-RS232")
    assert description["calibration"]["WBOTC"] == 1.4795e-06
    # The last eight scans are what an empty battery left in the memory.
    assert [p.offset for p in refused] == [len(data) - 31 * n for n in range(8, 0, -1)]
    assert {p.kind for p in refused} == {"implausible"}
    assert np.isnan(frame.columns[T][-2:]).all()
    assert (frame.missing(C)[-2:] == Missing.IMPLAUSIBLE).all()
    assert (frame.missing(T)[:-2] == 0).all()


@needs_recordings
def test_the_last_scan_gives_sea_birds_impossible_temperature_before_it_is_refused() -> None:
    data = UPLOAD.read_bytes()
    d = Sbe37("ctd")
    d.feed(data[: data.index(b"*END*")], UNKNOWN)
    last = np.frombuffer(bytes.fromhex(data.split()[-1].decode()), np.uint8)[None, :]
    assert np.round(d.convert(last).columns[T], 4).tolist() == [-45.7713]


@needs_recordings
def test_coefficients_of_the_settings_do_the_same_as_those_of_the_header() -> None:
    data = UPLOAD.read_bytes()
    header, scans = data.split(b"*END*\n")
    with_header = Sbe37("ctd")
    with_header.feed(header, UNKNOWN)
    k = dict(with_header.description()["calibration"])
    few = scans[: 31 * 50]
    a, b = frames(with_header.feed(b"*END*\n" + few, UNKNOWN)), frames(decode(few, coefficients=k))
    assert len(a) == len(b) == 1
    assert all(np.array_equal(a[0].columns[name], b[0].columns[name]) for name in a[0].columns)
    prompted = with_header.feed(b"S>#" + few.replace(b"\n", b"\r\n#")[:-1], UNKNOWN)
    assert not problems(prompted)
    assert samples(prompted) == samples(b)
    del k["PTCB1"]
    lacking = decode(few, coefficients=k)
    assert told(lacking) == [("calibration", 31 * n, 30) for n in range(50)]
    assert "PTCB1" in problems(lacking)[0].message

    without_pressure = re.sub(rb"(?m)^(.{12}).{10}(.{8})$", rb"\1\2", few)
    (c_t,) = frames(decode(without_pressure, coefficients=k, reference_pressure_dbar=30.0))
    assert np.array_equal(c_t.columns[T], a[0].columns[T])
    assert np.array_equal(c_t.time, a[0].time)
    said = b"<ConfigurationData>\r\n<ReferencePressure>%s</ReferencePressure>\r\n</ConfigurationData>\r\n"
    (by_header,) = frames(decode(said % b"3.000000e+01" + without_pressure, coefficients=k))
    assert np.array_equal(by_header.columns[C], c_t.columns[C])
    (surface,) = frames(decode(without_pressure, coefficients=k))
    assert (surface.columns[C] < c_t.columns[C]).any()
    garbled = problems(decode(said % b"3.0x" + without_pressure, coefficients=k))
    assert {p.kind for p in garbled} == {"calibration"}
    assert "reference_pressure_dbar" in garbled[0].message
    assert np.allclose(c_t.columns[C], a[0].columns[C], atol=3e-5)


def header_of_the_upload() -> bytes:
    return UPLOAD.read_bytes().partition(b"*END*\n")[0] + b"*END*\n"


@needs_recordings
def test_a_scan_is_converted_by_the_formulas_of_the_calibration_sheet() -> None:
    d = Sbe37("ctd")
    d.feed(header_of_the_upload(), UNKNOWN)
    k = d.description()["calibration"]
    sample = only(d.feed(b"02CA9E1BB5E4086CE807BA1A9771A1\n", UNKNOWN))
    x = math.log(0x02CA9E)
    t = 1 / (k["TA0"] + k["TA1"] * x + k["TA2"] * x**2 + k["TA3"] * x**3) - 273.15
    y = 0x07BA
    pt = k["PTEMPA0"] + k["PTEMPA1"] * y + k["PTEMPA2"] * y**2
    x = 0x086CE8 - k["PTCA0"] - k["PTCA1"] * pt - k["PTCA2"] * pt**2
    n = x * k["PTCB0"] / (k["PTCB0"] + k["PTCB1"] * pt + k["PTCB2"] * pt**2)
    p = (k["PA0"] + k["PA1"] * n + k["PA2"] * n**2 - 14.7) * 0.689476
    f = 0x1BB5E4 / 256 * math.sqrt(1 + k["WBOTC"] * t) / 1000
    c = k["G"] + k["H"] * f**2 + k["I"] * f**3 + k["J"] * f**4
    c /= 1 + k["CTCOR"] * t + k["CPCOR"] * p
    assert (sample[T], sample[C], sample[P]) == (round(t, 4), round(c, 6), round(p, 3))
    assert 25 < t < 35
    assert 4 < c < 7
    assert 100 < p < 300


@needs_recordings
def test_a_scan_of_damaged_memory_costs_itself_and_what_hangs_on_its_temperature() -> None:
    good, late = b"046A290B0B5E0806A206EA1A976E59\n", b"046A290B0B5E0806A206EA3FFFFFFF\n"
    decoded = decode(header_of_the_upload() + good * 2 + late + good * 2)
    assert [len(item) if isinstance(item, Frame) else item.kind for item in decoded] == [2, "implausible", 2]
    assert told(decoded) == [("implausible", len(header_of_the_upload()) + 62, 30)]
    # Without temperature the conductivity cannot be corrected, however plausible it looks.
    hot = decode(header_of_the_upload() + good + b"000010" + good[6:])
    assert [s[T] for s in samples(hot)] == [samples(decoded)[0][T], Missing.IMPLAUSIBLE]
    assert [s[C] for s in samples(hot)] == [samples(decoded)[0][C], Missing.IMPLAUSIBLE]
    assert [s[P] for s in samples(hot)] == [samples(decoded)[0][P]] * 2


@needs_recordings
def test_a_calibration_is_of_its_own_sensor_and_of_the_last_reply_alone() -> None:
    d = Sbe37("ctd")
    d.feed(header_of_the_upload(), UNKNOWN)
    before = d.description()["calibration"]
    oxygen = b"<Calibration format='OXYGEN' id='Oxygen'>\r\n<TA0>1.0</TA0>\r\n<G>2.0</G>\r\n</Calibration>\r\n"
    d.feed(oxygen, UNKNOWN)
    assert d.description()["calibration"] == before | {"OXTA0": 1.0}
    fresh = b"<CalibrationCoefficients DeviceType='SBE37' SerialNumber='1'>\r\n<Calibration id='Temperature'>\r\n"
    d.feed(fresh + b"<A0>1e-4</A0>\r\n<A1>1x</A1>\r\n", UNKNOWN)
    assert d.description()["calibration"] == {"TA0": 1e-4}
    d.feed(header_of_the_upload(), UNKNOWN)
    assert d.description()["calibration"] == before
    d.feed(b"* Sea-Bird SBE37SM-RS232  Data File:\n", UNKNOWN)
    assert d.description() == {"manufacturer": "Sea-Bird Scientific", "model": "SBE37SM-RS232"}


@needs_recordings
def test_the_telemetered_scan_of_a_sbe_37_im() -> None:
    v = vector("SBE37-IM telemetered")
    sample = only(decode(v["raw"].encode() + b"\r\n", pressure_range_psia=1450.0))
    want = v["expect"]
    assert (sample[T], sample[C]) == (want["temperature_C"], want["conductivity_S_m"])
    assert isoformat(sample["time"]) == want["time"].replace("Z", ".000000000Z")
    span_dbar = (1450.0 - 14.7) * 0.689476
    counts = want["pressure_counts_le16"]
    assert sample[P] == pytest.approx(counts * span_dbar / (0.85 * 65536) - 0.05 * span_dbar, abs=6e-4)


def upload() -> bytes:
    """The header, the first and the last scans of the upload; and a scan with a damaged digit."""
    data = UPLOAD.read_bytes()
    scans = data.index(b"*END*\n") + 6
    return data[: scans + 31 * 8] + b"046A290B0B5G0806A206EA1A976E59\r\n" + data[-31 * 11 :]


@needs_recordings
@given(st.lists(st.integers(0, 6000), max_size=30))
@example(list(range(6000)))
@settings(max_examples=40)
def test_the_cutting_of_an_upload_does_not_matter(cuts: list[int]) -> None:
    whole, pieces = decode(upload()), in_pieces(driver(), upload(), cuts)
    assert samples(pieces) == samples(whole)
    assert told(pieces) == told(whole)
    assert len(told(whole)) == 9


# The simulated instrument.


def values_of(said: Said) -> dict[str, Any]:
    return {"time": said.time_ns, **said.values}


def sampled(decoded: Iterable[Decoded]) -> list[dict[str, Any]]:
    return [{name: value for name, value in s.items() if name != "source"} for s in samples(decoded)]


@given(
    st.lists(st.integers(0, 4000), max_size=40),
    st.integers(0, 1000),
    st.booleans(),
    st.booleans(),
    st.sampled_from([1.0, 2.5, 10.0]),
    st.booleans(),
)
@settings(max_examples=30)
def test_every_sample_of_a_free_running_instrument_is_found(
    cuts: list[int], seed: int, salinity: bool, sound_velocity: bool, interval_s: float, xml: bool
) -> None:
    sim = Sbe37Simulator(interval_s=interval_s, seed=seed, salinity=salinity, sound_velocity=sound_velocity, xml=xml)
    d = driver()
    stream = sim.tick(START) if not (salinity or sound_velocity) else b""
    stream += sim.receive(d.start(), START)
    for now_ns in range(START + SECOND // 20, START + 60 * SECOND, SECOND // 20):
        stream += sim.tick(now_ns)
    said = sim.take_said()
    assert len(said) >= 5
    decoded = in_pieces(d, stream, cuts)
    if salinity or sound_velocity:
        assert said[0].values.keys() > {T, C, P}
    found = sampled(decoded)
    assert found == [values_of(s) for s in said][len(said) - len(found) :]
    assert len(said) - len(found) <= 1
    assert not [p for p in problems(decoded) if p.kind != "columns"]
    assert len(problems(decoded)) == len(said) - len(found)


@given(st.lists(st.integers(0, 4000), max_size=40), st.integers(0, 1000))
@settings(max_examples=30)
def test_every_answer_to_a_poll_is_found(cuts: list[int], seed: int) -> None:
    sim = Sbe37Simulator(seed=seed, salinity=True)
    d = driver(mode="polled")
    stream = sim.receive(d.start(), START)
    for n in range(400):
        now_ns = START + n * SECOND // 20
        if n % 15 == 7:
            stream += sim.receive(d.poll(), now_ns)
        stream += sim.tick(now_ns)
    said = sim.take_said()
    decoded = in_pieces(d, stream, cuts)
    assert not problems(decoded)
    assert sampled(decoded) == [values_of(s) for s in said]
    assert len({s.time_ns for s in said}) == len(said) >= 15


def test_commands_cut_anywhere_are_obeyed_and_echoed() -> None:
    sim = Sbe37Simulator(logging=False)
    assert b"".join(sim.receive(bytes([octet]), START) for octet in b"OutputSV=Y\r\n") == b"OutputSV=Y\r\nS>"
    assert sim.sound_velocity
    assert b"<Error type='INVALID COMMAND'" in sim.receive(b"Nonsense\r\n", START)
    assert b"<Error type='INVALID ARGUMENT'" in sim.receive(b"SampleInterval=0\r\n", START)
    assert b"<Error type='INVALID ARGUMENT'" in sim.receive(b"OutputFormat=9\r\n", START)
    assert b"<AutonomousSampling>no" in sim.receive(b"GetSD\r\n", START)
    assert sim.tick(START) == b""
    sim.receive(b"SampleInterval=5\r\nStartNow\r\n", START)
    times = [s.time_ns for n in range(0, 20 * SECOND, SECOND // 50) if sim.tick(START + n) for s in sim.take_said()]
    assert times == [START + n * SECOND for n in (0, 5, 10, 15)]
    sim.receive(b"DateTime=01072000045139\r\nStop\r\n", START + 30 * SECOND)
    answer = sim.receive(b"TS\r\n", START + 31 * SECOND)
    assert b"07 Jan 2000, 04:51:40\r\nS>" in answer
    assert sim.receive(b"SL\r\n", START + 40 * SECOND)[len(b"SL") :] == answer[len(b"TS") :]
    assert [s.time_ns for s in sim.take_said()] == [947_220_700 * SECOND] * 2


def test_a_quiet_instrument_neither_speaks_nor_notes() -> None:
    sim = Sbe37Simulator()
    sim.receive(b"TxRealTime=N\r\n", START)
    assert not any(sim.tick(START + n * SECOND) for n in range(60))
    assert sim.take_said() == []
    sim.receive(b"TxRealTime=Y\r\n", START)
    sim.speaking = False
    assert not any(sim.tick(START + n * SECOND) for n in range(60, 120))


def test_mischief_goes_into_the_ledger() -> None:
    mischief = Mischief(period=30, spikes=(5,), spike_by=3.0, stuck=(10, 14), wild=(20,), wild_value=99.0)
    sim = Sbe37Simulator(interval_s=1.0, mischief=mischief)
    stream = b"".join(sim.tick(START + n * SECOND) for n in range(30))
    said = sim.take_said()
    assert [(n, s.mischief) for n, s in enumerate(said) if s.mischief] == [
        (5, "spike"),
        *[(n, "stuck") for n in range(10, 15)],
        (20, "wild"),
    ]
    decoded = decode(stream)
    wild = samples(decoded)[20]
    assert wild[T] is Missing.IMPLAUSIBLE
    assert wild[P] == said[20].values[P]
    assert [s[T] for s in samples(decoded)][:20] == [s.values[T] for s in said][:20]
    assert [p.kind for p in problems(decoded)] == ["implausible"]


def test_the_simulated_water_is_consistent() -> None:
    sim = Sbe37Simulator(interval_s=1.0, salinity=True, sound_velocity=True)
    for n in range(100):
        sim.tick(START + n * 600 * SECOND)
    for s in sim.take_said():
        assert practical_salinity(s.values[C], s.values[T], s.values[P]) == pytest.approx(s.values[S], abs=2e-4)
        assert 1530 < s.values[SV] < 1550


def test_practical_salinity_has_the_check_values_of_unesco() -> None:
    # UNESCO technical papers in marine science 44: S(R=1, t=15, p=0) and S(R=1.2, t=20, p=2000); t is IPTS-68.
    assert practical_salinity(4.2914, 15 / 1.00024, 0.0) == pytest.approx(35.0, abs=1e-6)
    assert practical_salinity(4.2914 * 1.2, 20 / 1.00024, 2000.0) == pytest.approx(37.245628, abs=1e-6)
    assert practical_salinity(4.2914 * 0.65, 5 / 1.00024, 1500.0) == pytest.approx(27.995347, abs=1e-6)
