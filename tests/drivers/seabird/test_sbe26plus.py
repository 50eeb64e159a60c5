"""SBE 26plus: real recordings against other people's values, damage, and the simulator."""

import json
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.driver import Decoded, Problem, load
from drivers.seabird.sbe26plus import DBAR_PER_PSI, Sbe26plus
from drivers.simulators.sbe26plus import Sbe26plusSimulator
from drivers.simulators.simulator import Mischief
from tests.drivers.decoded import frames, problems, samples
from tests.recordings import DATA, needs_recordings
from tidegate.clock import NAT, UNKNOWN, Arrival, TimeSource, isoformat
from tidegate.codec import decode_frame, encode_frame
from tidegate.frame import Frame, Missing

PROBABLE = settings(max_examples=60, derandomize=True, deadline=None)
START_NS = 1_767_225_600_000_000_000  # 2026-01-01
P, PT, T = "sea_water_pressure", "temperature_of_pressure_sensor", "sea_water_temperature"
C, S = "sea_water_electrical_conductivity", "sea_water_practical_salinity"
WAVE_P = "sea_water_pressure_in_wave_burst"

TIDE = b"tide: start time = 05 Oct 2012 00:55:54, p = 14.5348, pt = 24.250, t = 23.9046\r\n"
WAVE = (
    b"wave: start time = 05 Oct 2012 01:10:54\r\nwave: ptfreq = 171791.359\r\n"
    b"  14.5102\r\n  14.5064\r\n  14.5165\r\nwave: end burst\r\n"
)
STATISTICS = b"""\r
deMeanTrend................\r
depth =    0.000, temperature = 23.840, salinity = 35.000, density = 1023.690\r
\r
fill array...\r
find minIndex.\r
FFT................................................\r
Auto-Spectrum Statistics:\r
   nAvgBand = 5\r
   total variance = 1.0896e-05\r
   total energy = 1.0939e-01\r
   significant period = 5.3782e-01\r
   significant wave height = 1.3204e-02\r
zero crossing analysis.............\r
Time Series Statistics:\r
   wave integration time = 128\r
   number of waves = 0\r
   total variance = 1.1595e-05\r
   total energy = 1.1640e-01\r
   average wave height = 0.0000e+00\r
   average wave period = 0.0000e+00\r
   maximum wave height = 1.0893e-02\r
   significant wave height = 0.0000e+00\r
   significant wave period = 0.0000e+00\r
   H1/10 = 0.0000e+00\r
   H1/100 = 0.0000e+00\r
"""


def decode(data: bytes, cuts: Iterable[int] = (), at: Arrival = UNKNOWN) -> list[Decoded]:
    driver = Sbe26plus("gauge")
    decoded: list[Decoded] = []
    for a, b in pairwise([0, *sorted(cuts), len(data)]):
        decoded += driver.feed(data[a:b], at)
    decoded += driver.finish()
    assert {d.kind for d in decoded if isinstance(d, Problem)} <= set(Sbe26plus.problems)
    return decoded


def tides(decoded: Sequence[Decoded]) -> list[Frame]:
    return [frame for frame in frames(decoded) if frame.schema.kind == "tide_gauge"]


def waves(decoded: Sequence[Decoded]) -> list[Frame]:
    return [frame for frame in frames(decoded) if frame.schema.kind == "wave_burst"]


def column(decoded: Sequence[Decoded], name: str) -> np.ndarray:
    return np.concatenate([frame.columns[name] for frame in tides(decoded)])


def times(decoded: Sequence[Decoded]) -> np.ndarray:
    return np.concatenate([frame.time for frame in tides(decoded)])


def unstamped(recording: Path) -> bytes:
    """The instrument's own lines: without the logger's stamps, and without the logger's own lines."""
    lines = recording.read_bytes().splitlines(keepends=True)
    return b"".join(
        re.sub(rb"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{3} ", b"", line)
        for line in lines
        if b"[presf:DLOGP2]:" not in line
    )


# Other people's values


@needs_recordings
@pytest.mark.parametrize(("name", "count", "damaged"), [("20140105_trim", 10, 0), ("20140105_invts", 9, 1)])
def test_real_time_values_equal_those_of_ooi(name: str, count: int, damaged: int) -> None:
    folder = DATA / "tide/sbe26plus_realtime"
    decoded = decode(unstamped(folder / f"{name}.presf.log"))
    particles = yaml.safe_load((folder / f"{name}.presf_telem.yml").read_text())["data"]
    tides = [p for p in particles if p["particle_type"] == "presf_abc_dcl_tide_measurement"]
    assert len(tides) == count == len(times(decoded))
    np.testing.assert_array_equal(
        times(decoded), [round(p["internal_timestamp"] - 2_208_988_800) * 1_000_000_000 for p in tides]
    )
    psia = np.round(column(decoded, P) / DBAR_PER_PSI, 4)
    np.testing.assert_array_equal(psia, [p["absolute_pressure"] for p in tides])
    np.testing.assert_array_equal(column(decoded, PT), [p["pressure_temp"] for p in tides])
    np.testing.assert_array_equal(column(decoded, T), [p["seawater_temperature"] for p in tides])
    # The spoilt tide line (`q = ` for `p = `) is the only one that is refused: wave bursts are known.
    assert [kind for kind, _, _ in problems(decoded)] == ["syntax"] * damaged


@needs_recordings
@pytest.mark.parametrize("number", [1, 2, 3])
def test_uploaded_records_equal_those_of_ooi(number: int) -> None:
    folder = DATA / "tide/sbe26plus_hex"
    decoded = decode((folder / f"presf_abc_test_{number}.hex").read_bytes())
    assert problems(decoded) == []
    particles = yaml.safe_load((folder / f"presf_abc_test_{number}.exp_results.yml").read_text())["data"]
    tides = [p for p in particles if p["particle_type"] == "presf_abc_tide_measurement_recovered"]
    np.testing.assert_array_equal(times(decoded), [(p["presf_time"] + 946_684_800) * 10**9 for p in tides])
    numbers = np.array([p["presf_tide_pressure_number"] for p in tides])
    np.testing.assert_allclose(column(decoded, P) / DBAR_PER_PSI, (numbers - 838.8) / 12582.9, atol=1e-5)
    numbers = np.array([p["presf_tide_temperature_number"] for p in tides])
    np.testing.assert_allclose(column(decoded, T), numbers / 1000 - 10, atol=1e-9)


@needs_recordings
def test_uploaded_pressures_are_those_of_the_places() -> None:
    """The scaling by M and B, from what is known of where the recorder was."""
    folder = DATA / "tide/sbe26plus_hex"
    at_542_m = column(decode((folder / "presf_abc_test_2.hex").read_bytes()), P)[1:]
    assert np.abs(at_542_m - (10.1 + 542 * 1.0275 * 0.98)).max() < 16
    in_air = column(decode((folder / "presf_abc_test_3.hex").read_bytes()), P)
    assert (np.abs(in_air - 10.13) < 0.3).all()


@needs_recordings
def test_examples_of_manuals_and_drivers() -> None:
    vectors = json.loads((DATA / "tide/manual_vectors.json").read_text())
    lines = {v["format"]: v["raw"] for v in vectors if v["format"].startswith("SBE26plus")}
    assert len(lines) == 3
    (frame,) = decode(lines["SBE26plus real-time tide"].encode() + b"\r\n")
    assert isinstance(frame, Frame)
    assert isoformat(int(frame.time[0])) == "2014-01-05T00:00:28.000000000Z"
    assert frame.columns[P][0] == round(208.8057 * 0.6894757293168, 5)
    # A conductivity sensor that is not there: printed all the same, and refused.
    frame, problem = decode(lines["SBE26plus with conductivity"].encode() + b"\r\n")
    assert isinstance(frame, Frame)
    assert isinstance(problem, Problem)
    assert problem.kind == "implausible"
    assert frame.missing(C).tolist() == [Missing.IMPLAUSIBLE]
    assert (frame.columns[S][0], frame.columns[T][0]) == (0.0, 23.006)
    (refused,) = decode(lines["SBE26plus hex tide record"].encode() + b"\r\n")
    assert isinstance(refused, Problem)
    assert refused.kind == "calibration"


# Wave bursts


@needs_recordings
@pytest.mark.parametrize("number", [1, 2, 3])
def test_uploaded_bursts_equal_those_of_ooi(number: int) -> None:
    """Times and counts as OOI's parser read them; pressures by the quartz equation, and next to the tide's."""
    folder = DATA / "tide/sbe26plus_hex"
    upload = (folder / f"presf_abc_test_{number}.hex").read_bytes()
    decoded = decode(upload)
    particles = yaml.safe_load((folder / f"presf_abc_test_{number}.exp_results.yml").read_text())["data"]
    bursts = [p for p in particles if p["particle_type"] == "presf_abc_wave_burst_recovered"]
    assert len(waves(decoded)) == len(bursts) > 0
    k = {name.decode(): float(v) for name, v in re.findall(rb"(?m)^\*? +([A-Z]+\d?) = (\S+)", upload)}
    for frame, burst in zip(waves(decoded), bursts, strict=True):
        counts = np.array(burst["presf_wave_burst_pressure_number"])
        start_ns = (burst["presf_time"] + 946_684_800) * 10**9
        assert frame.time.tolist() == [start_ns + n * 10**9 for n in range(len(counts))]
        u = 1e6 / (burst["presf_wave_press_temp_comp_number"] / 256) - k["U0"]
        t0 = k["T1"] + k["T2"] * u + k["T3"] * u**2 + k["T4"] * u**3
        w = 1 - (t0 / (1e6 / (counts / 256))) ** 2
        psia = (k["C1"] + k["C2"] * u + k["C3"] * u**2) * w * (1 - (k["D1"] + k["D2"] * u) * w) + k["OFFSET"]
        values = frame.columns[WAVE_P]
        np.testing.assert_allclose(values, psia * DBAR_PER_PSI, atol=1e-5)
        if number > 1:
            before = column(decoded, P)[times(decoded) < start_ns][-1]
            assert np.abs(values - before).max() < 1.0  # dbar; the scaling of the tide is another one


@needs_recordings
@pytest.mark.parametrize("name", ["20140105_trim", "20140105_invts"])
def test_printed_bursts_equal_those_of_ooi(name: str) -> None:
    folder = DATA / "tide/sbe26plus_realtime"
    particles = yaml.safe_load((folder / f"{name}.presf_telem.yml").read_text())["data"]
    bursts = [p for p in particles if p["particle_type"] == "presf_abc_dcl_wave_burst"]
    driver = Sbe26plus("gauge", Sbe26plus.Settings(wave_scans_per_s=1.0))
    found = waves(driver.feed(unstamped(folder / f"{name}.presf.log"), UNKNOWN) + driver.finish())
    assert len(found) == len(bursts) == 10
    for frame, burst in zip(found, bursts, strict=True):
        psia = np.round(frame.columns[WAVE_P] / DBAR_PER_PSI, 4)
        np.testing.assert_array_equal(psia, burst["absolute_pressure_burst"])
        assert (np.diff(frame.time) == 10**9).all()


STATUS = b"3 wave samples/burst at 4.00 scans/sec, duration = 1 seconds\r\n"
PTFREQ, END = b"wave: ptfreq = 171791.359\r\n", b"wave: end burst\r\n"


def test_a_printed_burst_needs_its_rate() -> None:
    assert waves(decode(WAVE)) == []
    (frame,) = waves(decode(STATUS + WAVE))
    start_ns = 1_349_399_454_000_000_000
    assert frame.time.tolist() == [start_ns + n * 250_000_000 for n in range(3)]
    assert frame.columns[WAVE_P].tolist() == [round(p * 0.6894757293168, 5) for p in (14.5102, 14.5064, 14.5165)]


@pytest.mark.parametrize(
    ("burst", "kind"),
    [
        (WAVE.replace(PTFREQ, b""), "wave_burst"),
        (WAVE.replace(END, b""), "wave_burst"),
        (WAVE.replace(b"wave: start time = 05 Oct 2012 01:10:54\r\n", b""), "wave_burst"),
        (WAVE.replace(b"  14.5064\r\n", b""), "wave_burst"),
        (WAVE.replace(PTFREQ, PTFREQ * 2), "wave_burst"),
        (WAVE.replace(b"05 Oct", b"31 Sep"), "syntax"),
        (WAVE.replace(b"14.5064", b"14.50"), "unknown"),
        (WAVE.replace(b"14.5064", b"14\x805064"), "noise"),
    ],
)
def test_a_damaged_burst_is_refused_once_and_whole(burst: bytes, kind: str) -> None:
    decoded = decode(STATUS + TIDE + burst + TIDE + WAVE + TIDE)
    assert [found for found, _, _ in problems(decoded)] == [kind]
    assert (len(waves(decoded)), len(column(decoded, P))) == (1, 3)


@pytest.mark.parametrize(
    ("old", "new", "kinds"),
    [
        (b"8A808F8A8091\r\n", b"", ["wave_burst"]),
        (b"8A808F8A8091\r\n", b"8A808F8A8091\r\n" * 2, ["wave_burst"]),
        (b"8A808F8A8091\r\n", b"8A808X8A8091\r\n", ["unknown", "wave_burst"]),
        (b"1CB9B9EA0000000000", b"1CB9B9EA0000010000", ["wave_burst"]),
        (b"1CB965880000000000", b"1CB965880000000001", ["syntax"]),
        (b"3767D13C5E1CB96588", b"3767D13C5E1CB9658", ["unknown"]),
    ],
)
def test_a_damaged_record_of_an_upload_is_refused(old: bytes, new: bytes, kinds: list[str]) -> None:
    good, decoded = decode(UPLOAD), decode(UPLOAD.replace(old, new, 1))
    assert [kind for kind, _, _ in problems(decoded)] == kinds
    lost_tides = kinds == ["unknown"]
    assert len(column(decoded, P)) == len(column(good, P)) - lost_tides
    assert len(waves(decoded)) == ("wave_burst" not in kinds)


def test_stray_wave_pressures_are_told_once() -> None:
    stray = b"8A808F8A8091\r\n" * 50
    assert [kind for kind, _, _ in problems(decode(HEADER + SESSION + RECORDS + stray + RECORDS[20:] + stray))] == [
        "syntax",
        "syntax",
    ]


def test_sessions_follow_each_other() -> None:
    again = UPLOAD.replace(HEADER, b"").replace(b"1CB9", b"1CC9")
    decoded = decode(UPLOAD[: -len(b"S>")] + again)
    assert problems(decoded) == []
    assert (len(column(decoded, P)), len(waves(decoded))) == (6, 2)
    assert (np.diff(times(decoded)) > 0).all()


def test_wave_statistics_have_the_time_of_their_burst() -> None:
    """The block of an SBE 26plus that the OOI recorded (marine-integrations, sbe26plus sample_data)."""
    decoded = decode(WAVE + TIDE + STATISTICS + TIDE)
    (found,) = [frame for frame in frames(decoded) if frame.schema.kind == "waves"]
    assert found.time.tolist() == [1_349_399_454_000_000_000]
    assert [column.tolist() for column in found.columns.values()] == [[0.013204], [0.0], [0.0], [0.010893], [0.0]]
    without = decode(STATISTICS, at=Arrival(START_NS, 1, "boot", True))
    assert (frames(without)[0].source, frames(without)[0].time.tolist()) == (TimeSource.ARRIVAL, [START_NS])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"   maximum wave height = 1.0893e-02\r\n", b""),
        (b"   H1/100 = 0.0000e+00\r\n", b""),
        (b"1.0893e-02", b"1.0893e-0"),
        (b"1.3204e-02", b"1.32x4e-02"),
        (b"Time Series Statistics:\r\n", b""),
    ],
)
def test_damaged_wave_statistics_are_refused(old: bytes, new: bytes) -> None:
    decoded = decode(WAVE + STATISTICS.replace(old, new) + TIDE)
    assert "syntax" in [kind for kind, _, _ in problems(decoded)]
    assert [frame.schema.kind for frame in frames(decoded)] == ["tide_gauge"]


# What it says


def test_all_that_a_seagauge_says_is_known() -> None:
    said = b"S>start\r\nstart\r\nlogging will start in 10 seconds\r\n" + TIDE + WAVE + STATISTICS + TIDE + b"S>"
    decoded = decode(said)
    assert problems(decoded) == []
    assert len(samples(decoded)) == 3
    assert {frame.source for frame in frames(decoded)} == {TimeSource.INSTRUMENT}


@needs_recordings
def test_replies_to_commands_are_known() -> None:
    header = (DATA / "tide/sbe26plus_hex/presf_abc_test_1.hex").read_bytes().split(b"FFFFFFFFFB")[0]
    reply = re.sub(rb"(?m)^\*", b"", header.split(b"*DS\r\n")[-1].split(b"*DS\n")[-1])
    for data in (header, reply):
        driver = Sbe26plus("gauge")
        assert driver.feed(data, UNKNOWN) == []
        told = driver.description()
        assert (told["serial"], told["firmware"]) == ("1385", "7.2")
        assert told["pressure_sensor"] == "quartz, 113401, 1000 psia"


def test_answers_to_ts_have_the_time_of_their_arrival() -> None:
    at = Arrival(START_NS + 7, 1, "boot", True)
    decoded = decode(
        b"S>TS\r\n 208.8057 14.004  13.8633\r\nS>TS\r\n 14.5348 24.250 23.9046 3.51234 34.9876\r\nS>", at=at
    )
    first, second = frames(decoded)
    assert (first.source, first.time.tolist()) == (TimeSource.ARRIVAL, [at.utc_ns])
    assert first.columns[T][0] == 13.8633
    assert (second.columns[C][0], second.columns[S][0]) == (3.51234, 34.9876)
    assert problems(decoded) == []
    assert times(decode(b" 208.8057 14.004  13.8633\n")).tolist() == [NAT]


def test_values_that_cannot_be_are_refused_and_the_rest_kept() -> None:
    nonsense = b"tide: start time = 05 Oct 2012 01:10:54, p = -159.7139, pt = -8382.61, t = 34.6843\r\n"
    frame, problem = decode(TIDE + nonsense)
    assert isinstance(frame, Frame)
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.offset, problem.size) == ("implausible", len(TIDE), len(nonsense) - 2)
    assert frame.missing(P).tolist() == frame.missing(PT).tolist() == [0, Missing.IMPLAUSIBLE]
    assert frame.columns[T].tolist() == [23.9046, 34.6843]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (TIDE.replace(b"14.5348,", b"14.5348,NERD HERDER "), "syntax"),
        (TIDE.replace(b"05 Oct", b"31 Sep"), "syntax"),
        (TIDE.replace(b"00:55:54", b"24:55:54"), "syntax"),
        (TIDE.replace(b"14.5348", b"14.534"), "syntax"),
        (TIDE.replace(b"14.5348", b"1x.5348"), "syntax"),
        (TIDE.replace(b"pt = 24.250, ", b""), "syntax"),
        (TIDE.replace(b"23.9046", b"23.9046, c = 3.51234"), "syntax"),
        (TIDE[20:], "unknown"),
        (WAVE.replace(b"05 Oct", b"05 Oc"), "syntax"),
        (WAVE.replace(b"ptfreq", b"ptfNERD HERDERreq"), "syntax"),
        (WAVE.replace(b"14.5102", b"14.5FR2"), "unknown"),
        (b"\xff\x00\xfe tide\r\n", "noise"),
        (b"S>?CMD\r\n", "exception"),
        (b"3767D13C5E1CB9658\r\n", "unknown"),
    ],
)
def test_a_damaged_line_is_refused(line: bytes, kind: str) -> None:
    decoded = decode(TIDE + line + TIDE)
    assert [found for found, _, _ in problems(decoded)] == [kind]
    assert samples(decoded) == samples(decode(TIDE + TIDE))


def test_a_line_that_was_cut_off_is_truncated() -> None:
    # A conductivity may be missing behind t.
    decoded = decode(TIDE + TIDE[:-2])
    assert problems(decoded) == [("truncated", len(TIDE), len(TIDE) - 2)]
    assert len(samples(decoded)) == 1


# Those of presf_abc_test_3.hex, an SBE 26plus that lay in air.
QUARTZ = {
    "U0": 5.858992,
    "C1": -5.715219e3,
    "C2": -6.033690e-1,
    "C3": 1.693125e4,
    "D1": 8.045600e-2,
    "D2": 0.0,
    "T1": 3.036646e1,
    "T2": 7.435300e-1,
    "T3": 5.042604e1,
    "T4": 1.440226e2,
    "OFFSET": -4.742e-1,
}
HEADER = b"*    M = 12582.9\r\n*    B = 838.8\r\n%s*S>DD\r\n" % b"".join(
    f"*    {name} = {value:.6e}\r\n".encode() for name, value in QUARTZ.items()
)
SESSION = b"FFFFFFFFFBFFFFFFFF\r\n1CB965880000000000\r\n0E1000040000000000\r\n"
RECORDS = b"FFFFFFFFFCFFFFFFFF\r\n3767D13C5E1CB96588\r\n9AC08C3BB11CB97398\r\n"
BURST = b"000000000000000000\r\n1CB9B9EA0000000000\r\n029F23440200000000\r\n8A808F8A8091\r\nFFFFFFFFFFFFFFFFFF\r\n"
UPLOAD = HEADER + SESSION + RECORDS + BURST + b"9BF4623AEC1CB981A8\r\nS>"


def test_lost_markers_of_an_uploaded_file_cost_no_record_and_make_none() -> None:
    whole = samples(decode(UPLOAD))
    assert (len(whole), problems(decode(UPLOAD))) == (5, [])
    of_tides = [sample for frame in tides(decode(UPLOAD)) for sample in samples([frame])]
    assert [kind for kind, _, _ in problems(decode(SESSION + RECORDS))] == ["calibration", "calibration"]
    for marker, kinds in (
        (b"FFFFFFFFFCFFFFFFFF\r\n", []),
        (b"000000000000000000\r\n", ["implausible", "implausible", "syntax"]),
        (b"FFFFFFFFFFFFFFFFFF\r\n", []),
    ):
        decoded = decode(UPLOAD.replace(marker, b""))
        assert [sample for frame in tides(decoded) for sample in samples([frame])] == of_tides
        assert [kind for kind, _, _ in problems(decoded)] == kinds


# Any cutting, any damage

STREAM = (
    b"\r\nSBE 26plus\r\nS>start\r\nlogging will start in 10 seconds\r\n"
    + TIDE * 3
    + WAVE
    + TIDE.replace(b"p = ", b"q = ")
    + b" 208.8057 14.004  13.8633\r\n"
    + TIDE.replace(b"\r\n", b", c = 3.51234, s = 34.9876\r\n") * 2
    + b"\x80\x81\x82\r\n"
    + STATISTICS
    + TIDE.replace(b"24.250", b"99.250")
    + UPLOAD
    + b"\r\n"
    + TIDE[:50]
)
WHOLE = decode(STREAM)


@PROBABLE
@given(st.sets(st.integers(0, len(STREAM)), max_size=30))
def test_cutting_never_matters(cuts: set[int]) -> None:
    decoded = decode(STREAM, cuts)
    assert samples(decoded) == samples(WHOLE)
    assert problems(decoded) == problems(WHOLE)


def test_byte_by_byte_is_the_same() -> None:
    decoded = decode(STREAM, range(1, len(STREAM)))
    assert samples(decoded) == samples(WHOLE)
    assert problems(decoded) == problems(WHOLE)
    assert [kind for kind, _, _ in problems(WHOLE)] == ["syntax", "noise", "implausible", "truncated"]
    assert len(samples(WHOLE)) == 13


@settings(PROBABLE, max_examples=200)
@given(st.integers(0, len(TIDE) - 3), st.integers(0, 255))
def test_one_damaged_byte_costs_its_line_alone(at: int, byte: int) -> None:
    """But for one digit made another, which nothing in such a line can show."""
    if bytes([byte]) in b"0123456789 -\r\n" or byte == TIDE[at]:
        return
    line = TIDE[:at] + bytes([byte]) + TIDE[at + 1 :]
    decoded = decode(TIDE + line + TIDE)
    assert samples(decoded) == samples(decode(TIDE + TIDE))
    assert [(offset, size) for _, offset, size in problems(decoded)] == [(len(TIDE), len(TIDE) - 2)]


def test_frames_end_where_the_boot_changes() -> None:
    driver = Sbe26plus("gauge")
    first, booted = Arrival(START_NS, 1_000, "a", True), Arrival(START_NS + 10**9, 1_000, "b", True)
    decoded = driver.feed(TIDE + TIDE[:10], first) + driver.feed(TIDE[10:] + TIDE, booted)
    assert [(frame.arrival, len(frame)) for frame in frames(decoded)] == [(first, 1), (first, 1), (booted, 1)]


def test_the_wire_gives_back_every_value_and_every_reason() -> None:
    for frame in frames(WHOLE):
        back = decode_frame(encode_frame(frame), {frame.schema.id: frame.schema})
        assert samples([back]) == samples([frame])


# The simulator


def test_it_is_installed_and_polls_where_it_is_told_to() -> None:
    cls = load("sbe26plus")
    assert cls is Sbe26plus
    assert (cls("gauge").start(), cls("gauge").poll()) == (b"", b"")
    polled = cls("gauge", cls.Settings.model_validate({"mode": "polled"}))
    assert (polled.start(), polled.poll()) == (b"\r\nStop\r\nDS\r\n", b"TS\r\n")
    assert {schema.kind for schema in polled.schemas()} == {"tide_gauge", "wave_burst", "waves"}


def agree(decoded: Sequence[Decoded], simulator: Sbe26plusSimulator) -> None:
    said = simulator.take_said()
    assert len(samples(decoded)) == len(said) > 0
    for name in (P, PT, T):
        assert column(decoded, name).tolist() == [sample.values[name] for sample in said]


@PROBABLE
@given(seed=st.integers(0, 9), interval_s=st.sampled_from([1.0, 1.5, 60.0]), cut=st.integers(1, 300))
def test_the_driver_finds_all_that_the_simulator_said(seed: int, interval_s: float, cut: int) -> None:
    mischief = Mischief(period=4, spikes=(1,), spike_by=1.5, wild=(3,), wild_value=99.0)
    simulator = Sbe26plusSimulator(seed=seed, interval_s=interval_s, mischief=mischief)
    steps = round((10 + 6 * interval_s) / 0.5)
    data = b"".join(simulator.tick(START_NS + step * 500_000_000) for step in range(steps + 1))
    said = list(simulator.said)
    assert [sample.mischief for sample in said] == ["", "spike", "", "wild", "", "spike"]
    decoded = decode(data, range(cut, len(data), cut))
    assert problems(decoded) == []
    assert times(decoded).tolist() == [sample.time_ns for sample in said]
    assert [sample.values[P] for sample in said if sample.mischief == "wild"] == [pytest.approx(99.0, abs=1e-4)]
    agree(decoded, simulator)


def test_the_simulator_answers_a_driver_that_polls() -> None:
    simulator = Sbe26plusSimulator(interval_s=1.0)
    driver = Sbe26plus("gauge", Sbe26plus.Settings(mode="polled"))
    decoded: list[Decoded] = []
    now_ns = START_NS
    for asked in (b"", driver.start(), driver.poll(), driver.poll()):
        now_ns += 5_000_000_000
        said = simulator.receive(asked, now_ns) + simulator.tick(now_ns)
        decoded += driver.feed(said, Arrival(now_ns, now_ns, "boot", True))
    assert problems(decoded) == []
    assert times(decoded).tolist() == [START_NS + 15_000_000_000, START_NS + 20_000_000_000]
    assert driver.description()["serial"] == "1385"
    agree(decoded, simulator)


def test_the_simulator_starts_as_the_real_one_and_falls_silent_when_told() -> None:
    simulator = Sbe26plusSimulator(interval_s=2.0)
    assert simulator.tick(START_NS) == b"\r\nSBE 26plus\r\nS>Start\r\nlogging will start in 10 seconds\r\n"
    assert simulator.tick(START_NS + 11_900_000_000) == b""
    line = simulator.tick(START_NS + 12_000_000_000)
    assert re.fullmatch(
        rb"tide: start time = 01 Jan 2026 00:00:10, p = \d\d\.\d{4}, pt = \d\d\.\d{3}, t = \d\d\.\d{4}\r\n", line
    )
    assert simulator.receive(b"sto", START_NS) == b"sto"
    assert simulator.receive(b"p\r", START_NS) == b"p\r\nS>"
    assert simulator.tick(START_NS + 20_000_000_000) == b""
    assert simulator.receive(b"what\r", START_NS) == b"what\r\n?CMD\r\nS>"
    assert simulator.receive(b"Start\r", START_NS) == b"Start\r\nlogging will start in 10 seconds\r\n"
    simulator.speaking = False
    assert simulator.tick(START_NS + 12_000_000_000) == b""
    with pytest.raises(ValueError, match="interval_s must be 1 or more"):
        Sbe26plusSimulator(interval_s=0.5)
