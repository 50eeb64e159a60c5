"""The NMEA driver against a ship's recordings as pynmea2 and OpenRVDAS read them, and against the sea's faults."""

import gzip
import json
import math
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from functools import cache, reduce
from itertools import pairwise, permutations
from operator import xor
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from drivers import recording
from drivers.driver import Decoded, Problem
from drivers.nmea.nmea0183 import Nmea0183
from drivers.nmea.sentences import LONGEST
from drivers.simulators.ship import CARGO, ShipSimulator
from drivers.simulators.simulator import Mischief
from tests.recordings import DATA, needs_recordings
from tidegate.clock import UNKNOWN, Arrival, TimeSource, isoformat
from tidegate.codec import decode_frame, encode_frame
from tidegate.frame import Frame, Missing, rows

CRUISE = DATA / "cruise"
SECOND = 1_000_000_000
WEEKS_1024_NS = 1024 * 7 * 86_400 * SECOND
KNOT = 1852 / 3600


def ns(text: str) -> int:
    whole, _, fraction = text.rstrip("Z").partition(".")
    return int(datetime.fromisoformat(whole + "+00:00").timestamp()) * SECOND + int(fraction.ljust(9, "0") or 0)


def at(text: str, *, disciplined: bool = True, boot: str = "00ff00ff00ff00ff") -> Arrival:
    return Arrival(ns(text), ns(text) - ns("2014-01-01T00:00:00"), boot, disciplined)


NOON = at("2026-03-01T12:00:00")


def sentence(body: str) -> bytes:
    return f"${body}*{reduce(xor, body.encode(), 0):02X}\r\n".encode()


def driver(**values: Any) -> Nmea0183:
    return Nmea0183("ship", Nmea0183.Settings(**values))


def decode(data: bytes, arrival: Arrival = NOON, **values: Any) -> list[Decoded]:
    d = driver(**values)
    return d.feed(data, arrival) + d.finish()


def frames(decoded: Iterable[Decoded], kind: str | None = None) -> list[Frame]:
    return [item for item in decoded if isinstance(item, Frame) and kind in (None, item.schema.kind)]


def problems(decoded: Iterable[Decoded]) -> list[Problem]:
    return [item for item in decoded if isinstance(item, Problem)]


def kinds(decoded: Iterable[Decoded]) -> list[str]:
    return [item.kind for item in problems(decoded)]


def one(decoded: list[Decoded]) -> Frame:
    assert not problems(decoded)
    (frame,) = frames(decoded)
    assert len(frame) == 1
    return frame


def samples(decoded: Iterable[Decoded]) -> dict[str, list[tuple[Any, ...]]]:
    """By schema kind: (time, source, values, reasons) of each sample, exactly."""
    table: dict[str, list[tuple[Any, ...]]] = {}
    for frame in frames(decoded):
        names = list(frame.schema.by_name)
        columns = [frame.columns[name].tobytes() for name in names]
        codes = [frame.missing(name).tolist() for name in names]
        for i, time in enumerate(frame.time.tolist()):
            values = tuple(column[8 * i : 8 * i + 8] for column in columns)
            table.setdefault(frame.schema.kind, []).append(
                (time, frame.source, frame.schema.id, values, tuple(c[i] for c in codes))
            )
    return table


def pieces(data: bytes, cuts: Iterable[int]) -> Iterator[bytes]:
    for a, b in pairwise(sorted({0, len(data), *(c % (len(data) + 1) for c in cuts)})):
        yield data[a:b]


# --- recordings, as others read them ----------------------------------------------------------------------------------


def recorded(device: str) -> list[tuple[Arrival, bytes]]:
    """The lines of a device, each with its logger's stamp as arrival (a clock of no boot)."""
    data = (CRUISE / "NBP1406" / f"NBP1406_{device}-2014-08-01").read_bytes()
    return [(piece.at, piece.data) for piece in recording.pieces([data])]


def golden(path: str) -> list[dict[str, Any]]:
    with gzip.open(DATA / path, "rt") as file:
        return [json.loads(line) for line in file]


@cache
def decoded_lines(device: str) -> list[list[Decoded]]:
    d = driver()
    decoded = [d.feed(line, arrival) for arrival, line in recorded(device)]
    assert d.finish() == []
    return decoded


def same(ours: float | None, theirs: Any, tolerance: float) -> bool:
    if theirs is None or theirs == "":
        return ours is None
    return ours is not None and abs(ours - float(theirs)) <= tolerance


KINDS = {"GGA": "gnss_fix", "GLL": "position", "RMC": "navigation", "VTG": "course", "HDT": "heading"}


@needs_recordings
@pytest.mark.parametrize("device", ["PCOD", "gyr1"])
def test_every_recorded_line_is_what_pynmea2_reads(device: str) -> None:
    lines, expected = recorded(device), golden(f"nmea/golden_pynmea2/NBP1406_{device}.pynmea2.jsonl.gz")
    assert [line.decode().strip() for _, line in lines] == [entry["raw"] for entry in expected]
    compared = 0
    for (arrival, _), entry, got in zip(lines, expected, decoded_lines(device), strict=True):
        theirs, kind = entry["fields"], entry["sentence_type"]
        got = [item for item in got if not (isinstance(item, Problem) and item.kind == "week_rollover")]
        if kind == "ZDA":
            assert got == []
            continue
        frame = one(got)
        (row,) = rows([frame])
        assert frame.schema.kind == KINDS[kind]
        if "latitude" in theirs:
            assert same(row["latitude"], theirs["latitude"], 0.51e-7)
            assert same(row["longitude"], theirs["longitude"], 0.51e-7)
        if kind == "GGA":
            assert same(row["altitude"], theirs["altitude"], 1e-9)
            assert same(row["geoid_height_above_reference_ellipsoid"], theirs["geo_sep"], 1e-9)
            assert row["gnss_fix_quality"] == theirs["gps_qual"]
            assert row["gnss_satellites_used"] == int(theirs["num_sats"])
            assert same(row["gnss_horizontal_dilution_of_precision"], theirs["horizontal_dil"], 1e-9)
        elif kind == "RMC":
            assert same(row["platform_speed_wrt_ground"], theirs["spd_over_grnd"] * KNOT, 0.51e-4)
            assert same(row["platform_course"], theirs["true_course"], 1e-9)
            sign = -1 if theirs["mag_var_dir"] == "W" else 1
            assert same(row["magnetic_variation"], sign * float(theirs["mag_variation"]), 1e-9)
            assert frame.time[0] - WEEKS_1024_NS == ns(f"{theirs['datestamp']}T{theirs['timestamp'][:-6]}")
        elif kind == "VTG":
            assert same(row["platform_course"], theirs["true_track"], 1e-9)
            assert same(row["platform_speed_wrt_ground"], float(theirs["spd_over_grnd_kts"]) * KNOT, 0.51e-4)
        elif kind == "HDT":
            assert same(row["platform_orientation"], theirs["heading"], 1e-9)
        if kind in ("VTG", "HDT"):
            assert (frame.source, frame.time[0]) == (TimeSource.ARRIVAL, arrival.utc_ns)
        else:
            assert frame.source is TimeSource.NMEA
            time_of_day = theirs["timestamp"].removesuffix("+00:00")
            assert (int(frame.time[0]) - ns(f"2014-08-01T{time_of_day}")) % (86_400 * SECOND) == 0
            assert abs(int(frame.time[0]) - arrival.utc_ns) < 3 * SECOND  # and so on the right day, across midnight
        compared += 1
    assert compared == (4000 if device == "PCOD" else 5000)


@needs_recordings
@pytest.mark.parametrize("device", ["PCOD", "gyr1"])
def test_every_recorded_line_is_what_openrvdas_reads(device: str) -> None:
    entries = golden(f"cruise/golden_openrvdas/NBP1406_{device}-2014-08-01.openrvdas.jsonl.gz")
    names = {
        "PcodFixQuality": "gnss_fix_quality",
        "PcodNumSats": "gnss_satellites_used",
        "PcodHDOP": "gnss_horizontal_dilution_of_precision",
        "PcodAntennaHeight": "altitude",
        "PcodGeoidHeight": "geoid_height_above_reference_ellipsoid",
        "PcodCourseTrue": "platform_course",
        "Gyr1HeadingTrue": "platform_orientation",
    }
    compared = 0
    for entry, got in zip(entries, decoded_lines(device), strict=True):
        theirs = entry["parsed"]["fields"]
        for row in rows(frames(got)):
            expected = {names[name]: value for name, value in theirs.items() if name in names}
            if "PcodLatitude" in theirs:  # unsigned, with the hemisphere beside it
                expected["latitude"] = theirs["PcodLatitude"] * (-1 if theirs["PcodNorS"] == "S" else 1)
                expected["longitude"] = theirs["PcodLongitude"] * (-1 if theirs["PcodEorW"] == "W" else 1)
            if "PcodSpeedKt" in theirs:
                expected["platform_speed_wrt_ground"] = theirs["PcodSpeedKt"] * KNOT
            if "PcodMagVar" in theirs:
                expected["magnetic_variation"] = -theirs["PcodMagVar"]
            tolerance = {"latitude": 0.51e-7, "longitude": 0.51e-7, "platform_speed_wrt_ground": 0.51e-4}
            assert row.keys() - {"time"} == expected.keys()
            for name, value in expected.items():
                assert same(row[name], value, tolerance.get(name, 1e-9)), (name, entry["raw"])
                compared += 1
    assert compared == (1000 * (7 + 2 + 5 + 2) if device == "PCOD" else 5000)


@needs_recordings
def test_a_receiver_whose_weeks_rolled_over_is_corrected_and_reported_once() -> None:
    decoded = [item for line in decoded_lines("PCOD") for item in line]
    (rollover,) = problems(decoded)
    assert (rollover.kind, rollover.offset) == ("week_rollover", 0)
    assert "1024 weeks" in rollover.message
    fixes = frames(decoded, "gnss_fix")
    assert isoformat(int(fixes[0].time[0])) == "2014-07-31T23:59:59.226000000Z"
    assert isoformat(int(fixes[1].time[0])) == "2014-08-01T00:00:00.226000000Z"


@needs_recordings
@settings(max_examples=25)
@given(st.lists(st.integers(0, 10**6), max_size=30), st.randoms(use_true_random=False))
def test_cutting_does_not_matter(cuts: list[int], random: Any) -> None:
    data = bytearray(b"".join(line for _, line in recorded("PCOD")[:150] + recorded("gyr1")[:50]))
    for _ in range(40):
        data[random.randrange(len(data))] = random.choice(b"\x00\x01$!*,\r\n0\xff")
    whole, split = driver(), driver()
    first = whole.feed(bytes(data), NOON) + whole.finish()
    second = [item for piece in pieces(bytes(data), cuts) for item in split.feed(piece, NOON)] + split.finish()
    assert samples(first) == samples(second)
    assert [(p.kind, p.offset, p.size, p.data) for p in problems(first)] == [
        (p.kind, p.offset, p.size, p.data) for p in problems(second)
    ]
    assert frames(first)


ARRIVALS = st.lists(
    st.one_of(
        st.integers(0, 10).map(lambda n: Arrival(NOON.utc_ns + n * SECOND, 0, "", False)),
        st.integers(0, 10).map(lambda n: Arrival(NOON.utc_ns + n * SECOND, n * SECOND, "00ff", n % 2 == 0)),
        st.just(Arrival(NOON.utc_ns, 0, "ff00", True)),
        st.just(UNKNOWN),
    ),
    min_size=1,
)


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 10**6), max_size=30),
    ARRIVALS,
    st.lists(st.integers(1, 9), min_size=1),
    st.randoms(use_true_random=False),
)
def test_many_pieces_at_once_are_as_each_in_turn(
    cuts: list[int], arrivals: list[Arrival], sizes: list[int], random: Any
) -> None:
    stream = [
        zda("115959.00", date(2006, 7, 16)),
        gga("120000.00"),
        rmc("120000.00", "160706"),
        HDT,
        gga("000001.00", 0),
    ]
    data = bytearray(b"".join(stream) * 5)
    for _ in range(random.randrange(20)):
        data[random.randrange(len(data))] = random.choice(b"\x00\x01$!*,\r\n0\xff")
    fed = [(piece, arrivals[i % len(arrivals)]) for i, piece in enumerate(pieces(bytes(data), cuts))]
    single, many = driver(), driver()
    want = [item for piece, arrival in fed for item in single.feed(piece, arrival)] + single.finish()
    got: list[Decoded] = []
    taken = 0
    for size in sizes * len(fed):
        got += many.feed_all(fed[taken : taken + size])
        taken += size
    got += many.finish()
    assert samples(got) == samples(want)
    assert sorted(problems(got), key=lambda p: (p.offset, p.kind)) == sorted(
        problems(want), key=lambda p: (p.offset, p.kind)
    )
    assert all(frame.arrival in arrivals for frame in frames(got))


@needs_recordings
@pytest.mark.parametrize("device", ["PCOD", "gyr1"])
def test_a_stamped_recording_at_once_is_as_line_by_line(device: str) -> None:
    d = driver()
    at_once = d.feed_all([(line, arrival) for arrival, line in recorded(device)]) + d.finish()
    by_line = [item for line in decoded_lines(device) for item in line]
    assert samples(at_once) == samples(by_line)
    assert problems(at_once) == problems(by_line)
    assert len(frames(at_once)) < 10


def test_byte_by_byte_is_the_same() -> None:
    data = b"noise" + sentence("GPRMC,000000.00,A,0100.0,N,10300.0,E,1.0,2.0,010326,,,A") + b"$" + b"x" * 3000 + b"!"
    data += sentence("HEHDT,1.5,T") + b"$GPHDT,1"
    d = driver()
    split = [item for i in range(len(data)) for item in d.feed(data[i : i + 1], NOON)] + d.finish()
    assert samples(split) == samples(decode(data))
    assert [(p.kind, p.offset, p.size) for p in problems(split)] == [
        (p.kind, p.offset, p.size) for p in problems(decode(data))
    ]
    assert kinds(split) == ["noise", "noise", "truncated", "truncated"]


# --- time -------------------------------------------------------------------------------------------------------------


def rmc(clock: str, day: str, status: str = "A") -> bytes:
    return sentence(f"GNRMC,{clock},{status},0113.50000,N,10350.25000,E,5.00,90.00,{day},,,A")


def gga(clock: str, quality: int = 1) -> bytes:
    return sentence(f"GNGGA,{clock},0113.50000,N,10350.25000,E,{quality},09,0.9,12.5,M,7.1,M,,")


def zda(clock: str, day: date) -> bytes:
    return sentence(f"GNZDA,{clock},{day:%d,%m,%Y},00,00")


def times(decoded: Iterable[Decoded], kind: str | None = None) -> list[tuple[str | None, TimeSource]]:
    return [(isoformat(t), f.source) for f in frames(decoded, kind) for t in f.time.tolist()]


def test_before_a_date_is_known_the_arrival_counts() -> None:
    decoded = decode(gga("115959.00") + rmc("120000.00", "010326") + gga("120000.00"))
    assert times(decoded, "gnss_fix") == [
        ("2026-03-01T12:00:00.000000000Z", TimeSource.ARRIVAL),
        ("2026-03-01T12:00:00.000000000Z", TimeSource.NMEA),
    ]
    assert [len(f) for f in frames(decoded, "gnss_fix")] == [1, 1]


def test_the_arrival_is_that_of_the_first_byte_and_a_reboot_begins_a_new_frame() -> None:
    d = driver()
    later = at("2026-03-01T12:00:05")
    rebooted = at("2026-03-01T12:00:09", boot="ffffffffffffffff")
    decoded = d.feed(HDT + HDT[:7], NOON) + d.feed(HDT[7:] + HDT + HDT[:3], later) + d.feed(HDT[3:] + HDT, rebooted)
    found = [(f.arrival, f.time.tolist()) for f in frames(decoded)]
    t = [a.utc_ns for a in (NOON, later, rebooted)]
    assert found == [(NOON, [t[0]]), (NOON, [t[0], t[1]]), (later, [t[1]]), (rebooted, [t[2]])]


def test_a_feed_of_any_length_is_decoded_in_order() -> None:
    data = b"".join(sentence(f"HEHDT,{i % 36000 / 100:.2f},T") for i in range(40_000))
    assert heading(decode(data)) == [i % 36000 / 100 for i in range(40_000)]


def test_midnight_falls_between_two_sentences() -> None:
    late = at("2026-12-31T23:59:59")
    decoded = decode(
        rmc("235959.50", "311226") + gga("000000.25") + gga("235959.75") + rmc("000000.50", "010127"), late
    )
    assert [t for t, _ in times(decoded, "gnss_fix")] == [
        "2027-01-01T00:00:00.250000000Z",
        "2026-12-31T23:59:59.750000000Z",
    ]
    assert [t for t, _ in times(decoded, "navigation")] == [
        "2026-12-31T23:59:59.500000000Z",
        "2027-01-01T00:00:00.500000000Z",
    ]


def test_the_date_survives_a_silence_of_days() -> None:
    d = driver()
    d.feed(rmc("120000.00", "010326"), at("2026-03-01T12:00:00"))
    decoded = d.feed(gga("040000.00"), at("2026-03-05T04:00:00.1"))
    assert times(decoded) == [("2026-03-05T04:00:00.000000000Z", TimeSource.NMEA)]


def test_the_date_goes_on_for_days_without_another_date() -> None:
    d = driver()
    d.feed(rmc("120000.00", "010326"), UNKNOWN)
    decoded = [item for h in range(13, 24 * 3) for item in d.feed(gga(f"{h % 24:02d}0000.00"), UNKNOWN)]
    assert times(decoded)[-1] == ("2026-03-03T23:00:00.000000000Z", TimeSource.NMEA)


def test_a_leap_second_and_nanoseconds_are_taken() -> None:
    decoded = decode(rmc("235960.00", "311226") + rmc("010203.123456789", "010127"))
    assert [t for t, _ in times(decoded)] == ["2027-01-01T00:00:00.000000000Z", "2027-01-01T01:02:03.123456780Z"]


@pytest.mark.parametrize("void", [rmc("120000.00", "060180", "V"), gga("120000.00", 0)])
def test_without_a_fix_there_is_neither_position_nor_time(void: bytes) -> None:
    frame = one(decode(void))
    assert frame.source is TimeSource.ARRIVAL
    for name in ("latitude", "longitude"):
        assert math.isnan(frame.columns[name][0])
        assert frame.missing(name)[0] == Missing.INVALID
    # Nor does a date count that the receiver gives while it has no fix, even if it knew one before.
    decoded = decode(void + zda("120000.00", date(1980, 1, 6)) + gga("120001.00"))
    assert all(source is TimeSource.ARRIVAL for _, source in times(decoded))
    decoded = decode(rmc("115959.00", "010326") + void + zda("120000.00", date(1980, 1, 6)) + gga("120001.00"))
    assert times(decoded)[-1] == ("2026-03-01T12:00:01.000000000Z", TimeSource.NMEA)


@pytest.mark.parametrize("cut", [0, 1])
def test_what_a_cold_receiver_guesses_is_no_date(cut: int) -> None:
    # The date of its own clock comes first, then that there is no fix, then a fix before the right date.
    cold = [
        zda("000005.00", date(1980, 1, 6)),
        gga("000005.00", 0),
        gga("120000.00"),
        zda("120000.00", date(2026, 3, 1)),
    ]
    stream = [*cold, gga("120001.00")]
    d = driver()
    fed = [b"".join(stream)] if cut else stream
    decoded = [item for data in fed for item in d.feed(data, NOON)]
    assert [source for _, source in times(decoded)] == [TimeSource.ARRIVAL, TimeSource.ARRIVAL, TimeSource.NMEA]
    assert times(decoded)[-1][0] == "2026-03-01T12:00:01.000000000Z"
    assert not problems(decoded)


def test_fix_quality_and_satellites_are_told_without_a_fix() -> None:
    frame = one(decode(sentence("GPGGA,,,,,,0,00,99.99,,M,,M,,")))
    assert (frame.columns["gnss_fix_quality"][0], frame.columns["gnss_satellites_used"][0]) == (0, 0)
    assert frame.missing("altitude")[0] == Missing.INVALID


def rollover(arrival: Arrival, **values: Any) -> list[Decoded]:
    return decode(zda("120000.00", date(2006, 7, 16)) + rmc("120001.00", "160706"), arrival, **values)


def test_week_rollover_needs_a_trusted_arrival() -> None:
    corrected = "2026-03-01T12:00:01.000000000Z"
    told = rollover(NOON)
    assert (kinds(told), times(told)) == (["week_rollover"], [(corrected, TimeSource.NMEA)])
    logged = rollover(Arrival(NOON.utc_ns, 0, "", False))
    assert (kinds(logged), times(logged)) == (["week_rollover"], [(corrected, TimeSource.NMEA)])
    as_said = [("2006-07-16T12:00:01.000000000Z", TimeSource.NMEA)]
    for decoded in (
        rollover(at("2026-03-01T12:00:00", disciplined=False)),
        rollover(UNKNOWN),
        rollover(NOON, correct_week_rollover=False),
        rollover(at("2026-05-01T12:00:00")),  # weeks away from any multiple: not a rollover
    ):
        assert (kinds(decoded), times(decoded)) == ([], as_said)


PALMER = [
    # As R/V N. B. Palmer's receiver: weeks rolled over, and the fix of the second before midnight told after it.
    zda("000000.00", date(1994, 12, 16)),
    gga("235959.226"),
    sentence("GPGLL,2200.1091,S,01756.3580,W,235959.226,A"),
    rmc("235959.226", "151294"),
]


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_week_rollover_in_any_order_of_sentences(order: tuple[int, ...]) -> None:
    stamps = [Arrival(ns("2014-08-01T00:00:00.124") + i * 100_000_000, 0, "", False) for i in range(12)]
    fed = list(zip([PALMER[i] for _ in range(3) for i in order], stamps, strict=True))
    d, together = driver(), driver()
    decoded = [item for line, stamp in fed for item in d.feed(line, stamp)]
    assert kinds(decoded) == ["week_rollover"]
    dated = min(order.index(0), order.index(3))  # sentences before the first date have their arrival's time
    found = [(t, source) for frame in frames(decoded) for t, source in [(int(frame.time[0]), frame.source)]]
    assert len(found) == 9
    untimed = [stamps[i].utc_ns for i in range(dated)]
    assert [t for t, source in found if source is TimeSource.ARRIVAL] == untimed
    assert {t for t, source in found if source is TimeSource.NMEA} == {ns("2014-07-31T23:59:59.226")}
    assert samples(together.feed_all(fed)) == samples(decoded)


# --- what a line does to sentences ------------------------------------------------------------------------------------

HDT = sentence("HEHDT,218.53,T")


def heading(decoded: list[Decoded]) -> list[float]:
    return [v for f in frames(decoded, "heading") for v in f.columns["platform_orientation"].tolist()]


def test_a_wrong_checksum_is_refused_and_the_next_is_good() -> None:
    wrong = HDT.replace(b"218.53", b"218.54")
    for mode in ("required", "optional"):
        decoded = decode(wrong + HDT, checksum=mode)
        (refused,) = problems(decoded)
        assert (refused.kind, refused.offset, refused.data) == ("checksum", 0, wrong.strip())
        assert refused.message == "the checksum says '12', the bytes give 15"
        assert heading(decoded) == [218.53]


def test_a_missing_checksum_is_taken_only_where_it_is_optional() -> None:
    bare = b"$HEHDT,218.53,T\r\n"
    assert kinds(decode(bare)) == ["checksum"]
    assert heading(decode(bare, checksum="optional")) == [218.53]
    # A cut or glued sentence that lost its checksum is not whole.
    for cut in (
        b"$HEHDT,218.5" + HDT,
        b"$HEHDT,218.5\r\n" + HDT,
        b"$HEHDT,218.53,T*\r\n" + HDT,
        b"$HEHDT,218.53,T*1\n" + HDT,
    ):
        decoded = decode(cut, checksum="optional")
        assert len(problems(decoded)) == 1
        assert heading(decoded) == [218.53]


def test_a_cut_sentence_without_checksum_is_no_shorter_number() -> None:
    decoded = decode(b"$SDDPT,12.34,1" + HDT, checksum="optional")
    assert kinds(decoded) == ["truncated"]
    assert [f.schema.kind for f in frames(decoded)] == ["heading"]
    assert kinds(decode(b"$SDDPT,12.34,1", checksum="optional")) == ["truncated"]


@pytest.mark.parametrize("at_byte", range(1, len(HDT) - 2))
def test_a_sentence_cut_anywhere_does_not_harm_the_next(at_byte: int) -> None:
    decoded = decode(HDT[:at_byte] + HDT)
    assert kinds(decoded) == ["truncated"]
    assert heading(decoded) == [218.53]


def test_sentences_that_lost_their_line_end_are_whole_all_the_same() -> None:
    assert heading(decode(HDT.strip() * 3)) == [218.53] * 3


@pytest.mark.parametrize("junk", [b"\x01", b"\x02\x00", b"\r\n\n", b" \x7f"])
def test_control_bytes_around_a_sentence_harm_nobody(junk: bytes) -> None:
    decoded = decode(junk + HDT + junk + HDT.strip() + junk + b"\r\n")
    assert (kinds(decoded), heading(decoded)) == ([], [218.53, 218.53])


def test_text_between_sentences_is_noise() -> None:
    decoded = decode(b"\xff\xfeabc" + HDT + b"3.5kHz,4396.03,1\r\n" + HDT)
    assert [(p.kind, p.offset, p.size) for p in problems(decoded)] == [("noise", 0, 5), ("noise", 5 + len(HDT), 16)]
    assert heading(decoded) == [218.53] * 2


def test_an_endless_line_is_given_up_in_bounded_memory() -> None:
    d = driver()
    decoded = [item for _ in range(200) for item in d.feed(b"a" * 1000, NOON)] + d.feed(b"\r\n" + HDT, NOON)
    assert [(p.kind, p.offset, p.size) for p in problems(decoded)] == [("noise", 0, LONGEST)]
    assert heading(decoded) == [218.53]


def test_lower_case_checksums_and_any_talker_are_taken() -> None:
    assert heading(decode(b"$HEHDT,218.19,T*1c\r\n" + sentence("INHDT,1.0,T") + sentence("IIHDT,2.0,T"))) == [
        218.19,
        1,
        2,
    ]


def test_sentences_of_other_types_are_reported_once_each() -> None:
    gsv, psxn = sentence("GPGSV,1,1,01,02,03,04,05"), sentence("PSXN,26,1,0,0,0")
    ais = b"!AIVDM,1,1,,A,14eG;o@034o8sd<L9i:a;WF>062D,0*7D\r\n"
    decoded = decode((gsv + sentence("GLGSV,1,1,00") + psxn + ais + HDT) * 3)
    assert [(p.kind, p.message.split()[3]) for p in problems(decoded)] == [
        ("unknown", "GSV"),
        ("unknown", "PSXN,26"),
        ("unknown", "VDM"),
    ]
    assert heading(decoded) == [218.53] * 3


@needs_recordings
def test_vaisala_text_sentences_with_right_and_wrong_checksums_of_the_manual() -> None:
    vectors = json.loads((DATA / "nmea" / "manual_vectors.json").read_text())
    texts = [v for v in vectors if str(v["raw"]).startswith("$")]
    assert len(texts) == 2
    for vector in texts:
        expected = ["unknown"] if vector["checksum_ok"] else ["checksum"]
        assert kinds(decode(vector["raw"].encode() + b"\r\n")) == expected


@pytest.mark.parametrize(
    "body",
    [
        "HEHDT,218.53,M",  # not the unit of a true heading
        "HEHDT,2l8.53,T",
        "HEHDT,218.5.3,T",
        "HEHDT,+-218.53,T",
        "HEHDT,nan,T",
        "HEHDT,1e2,T",
        "HEHDT,0x1,T",
        "HEHDT,.,T",
        "HEHDT, 21,T",
        "HEHDT,218.53",
        "HEHDT,218.53,T,7",
        "HEHDT,123456789,T",
        "GPGLL,9160.0,N,00000.0,E,120000,A",  # minutes are less than 60
        "GPGLL,113.5,N,10350.0,E,120000,A",  # two digits of latitude
        "GPGLL,0113.5,,10350.0,E,120000,A",
        "GPGLL,-0113.5,N,10350.0,E,120000,A",
        "GPGLL,0113.5,N,10350.0,E,250000,A",
        "GPGLL,0113.5,N,10350.0,E,12000,A",
        "GPRMC,120000,A,0113.5,N,10350.0,E,5.0,9.0,310226,,,A",  # no such day
        "GPRMC,120000,A,0113.5,N,10350.0,E,5.0,9.0,10326,,,A",
        "GPRMC,120000,A,0113.5,N,10350.0,E,5.0,9.0,010326,2.0,,A",
        "GPZDA,120000,32,01,2026,00,00",
        "he,218.53,T",
    ],
)
def test_a_field_that_breaks_the_grammar_refuses_the_sentence(body: str) -> None:
    decoded = decode(HDT + sentence(body) + HDT)
    (refused,) = problems(decoded)
    assert (refused.kind, refused.offset) == ("syntax", len(HDT))
    assert heading(decoded) == [218.53] * 2


def test_a_value_that_cannot_be_on_earth_is_left_out_and_the_rest_stays() -> None:
    decoded = decode(sentence("GPRMC,120000,A,9130.0,N,10350.0,E,5.0,400.0,010326,,,A"))
    assert kinds(decoded) == ["implausible", "implausible"]
    (frame,) = frames(decoded)
    assert [frame.missing(name)[0] for name in ("latitude", "longitude", "platform_course")] == [
        Missing.IMPLAUSIBLE,
        Missing.PRESENT,
        Missing.IMPLAUSIBLE,
    ]


@settings(max_examples=150)
@given(st.integers(0, len(HDT) - 3), st.integers(1, 255))
def test_one_damaged_byte_never_makes_a_number(position: int, flip: int) -> None:
    damaged = bytearray(HDT)
    damaged[position] ^= flip
    decoded = decode(HDT + bytes(damaged) + HDT)
    # Only a checksum's digit may change its case unseen.
    same_text = damaged.decode("latin-1").upper() == HDT.decode().upper() and position >= len(HDT) - 4
    assert heading(decoded) == [218.53] * (3 if same_text else 2)
    assert same_text or problems(decoded)


@settings(max_examples=150)
@given(st.one_of(st.binary(max_size=400), st.text("$!*,.\r\n0123456789ABGHTDLR", max_size=300).map(str.encode)))
@example(b"$*00\r\n")
@example(b"$,*2C")
@example(b"*$*!")
def test_random_bytes_give_no_number(data: bytes) -> None:
    for mode in ("required", "optional"):
        decoded = decode(data, checksum=mode)
        assert all(len(p.data) <= 256 and p.size <= LONGEST for p in problems(decoded))
        if mode == "required":
            assert not frames(decoded)


# --- values -----------------------------------------------------------------------------------------------------------


@settings(max_examples=150)
@given(
    st.lists(
        st.from_regex(r"[+-]?([0-9]{1,8}(\.[0-9]{0,8})?|\.[0-9]{1,8})", fullmatch=True),
        min_size=1,
        max_size=20,
    )
)
def test_a_number_is_the_float_of_its_text(texts: list[str]) -> None:
    # HDOP may be anything from 0 to 9999, in hundredths.
    bodies = [f"GPGGA,,,,,,1,,{text},,,,,," for text in texts]
    decoded = decode(b"".join(map(sentence, bodies)))
    got = [v for f in frames(decoded) for v in f.columns["gnss_horizontal_dilution_of_precision"].tolist()]
    expected = [float(text) for text in texts]
    assert len(got) == len(expected)
    for value, wanted in zip(got, expected, strict=True):
        if 0 <= wanted <= 9999:
            assert abs(value - wanted) <= 0.005 * (1 + 1e-9)
        else:
            assert math.isnan(value)
    if all(0 <= wanted <= 9999 and round(wanted, 2) == wanted for wanted in expected):
        assert got == expected


@settings(max_examples=100)
@given(st.integers(0, 90 * 60 * 10**7), st.integers(0, 180 * 60 * 10**7), st.sampled_from("NS"), st.sampled_from("EW"))
@example(0, 0, "S", "W")
def test_positions_of_survey_receivers_keep_all_their_digits(lat: int, lon: int, ns: str, ew: str) -> None:
    minutes = 60 * 10**7
    body = (
        f"GPGLL,{lat // minutes:02d}{lat % minutes // 10**7:02d}.{lat % 10**7:07d},{ns},"
        f"{lon // minutes:03d}{lon % minutes // 10**7:02d}.{lon % 10**7:07d},{ew},120000.00,A,A"
    )
    frame = one(decode(sentence(body)))
    assert frame.schema.by_name["latitude"].resolution == 1e-9
    assert abs(abs(frame.columns["latitude"][0]) * minutes - lat) < 0.5
    assert abs(abs(frame.columns["longitude"][0]) * minutes - lon) < 0.5
    assert (frame.columns["latitude"][0] <= 0) == (ns == "S" or lat == 0)
    assert (frame.columns["longitude"][0] <= 0) == (ew == "W" or lon == 0)


@pytest.mark.parametrize(
    ("body", "kind", "expected"),
    [
        ("SDDPT,12.34,-1.5", "depth", {"sea_floor_depth_below_transducer": 12.34, "transducer_offset": -1.5}),
        ("SDDPT,12.34,,100", "depth", {"sea_floor_depth_below_transducer": 12.34, "transducer_offset": None}),
        ("SDDBT,32.8,f,10.0,M,5.5,F", "depth_below_transducer", {"sea_floor_depth_below_transducer": 10.0}),
        ("SDDBT,32.8,f,,M,,F", "depth_below_transducer", {"sea_floor_depth_below_transducer": 9.997}),
        ("SDDBT,,f,,M,5.5,F", "depth_below_transducer", {"sea_floor_depth_below_transducer": 10.058}),
        ("YXMTW,29.45,C", "water_temperature", {"sea_water_temperature": 29.45}),
        ("WIMWV,045.0,R,10.0,N,A", "relative_wind", {"relative_wind_speed": 5.144, "relative_wind_from_direction": 45}),
        ("WIMWV,045.0,R,18.0,K,A", "relative_wind", {"relative_wind_speed": 5.0, "relative_wind_from_direction": 45}),
        ("WIMWV,350,T,7.5,M,A", "wind", {"wind_speed": 7.5, "wind_from_direction_relative_to_bow": 350.0}),
        ("WIMWV,350,T,7.5,M,V", "wind", {"wind_speed": None, "wind_from_direction_relative_to_bow": None}),
        (
            "VWVHW,89.5,T,90.5,M,10.00,N,18.52,K",
            "water_speed",
            {"platform_orientation": 89.5, "platform_speed_wrt_sea_water": 5.1444},
        ),
        (
            "VWVHW,,T,,M,,N,18.00,K",
            "water_speed",
            {"platform_orientation": None, "platform_speed_wrt_sea_water": 5.0},
        ),
        ("GNVTG,220.2,T,,M,9.7,N,18.0,K,A", "course", {"platform_course": 220.2, "platform_speed_wrt_ground": 4.9901}),
        ("GNVTG,220.2,T,,M,9.7,N,18.0,K,N", "course", {"platform_course": None, "platform_speed_wrt_ground": None}),
        ("INTHS,218.534,A", "heading", {"platform_orientation": 218.534}),
        ("INTHS,218.534,V", "heading", {"platform_orientation": None}),
        ("HEHDT,,T", "heading", {"platform_orientation": None}),
        ("GPGLL,0113.5,S,10350.0,W,120000,V", "position", {"latitude": None, "longitude": None}),
        ("GPGLL,0113.5,S,10330.0,W,120000,A", "position", {"latitude": -1.225, "longitude": -103.5}),
    ],
)
def test_each_type_of_sentence(body: str, kind: str, expected: dict[str, float | None]) -> None:
    frame = one(decode(sentence(body)))
    (row,) = rows([frame])
    assert frame.schema.kind == kind
    assert {name: value for name, value in row.items() if name != "time"} == expected
    again = decode_frame(encode_frame(frame), {frame.schema.id: frame.schema})
    assert list(rows([again])) == [row]


def test_the_schemas_are_those_of_the_sentences_seen() -> None:
    d = driver()
    assert d.schemas() == ()
    d.feed(HDT + sentence("INTHS,1.0,A") + sentence("YXMTW,1,C"), NOON)
    assert [schema.kind for schema in d.schemas()] == ["heading", "water_temperature"]


# --- the simulated ship -----------------------------------------------------------------------------------------------


@settings(max_examples=15)
@given(st.integers(1, 10), st.integers(0, 10**6), st.lists(st.integers(0, 10**6), max_size=40))
def test_everything_the_simulated_ship_said_is_found(heading_hz: int, seed: int, cuts: list[int]) -> None:
    start = ns("2026-12-31T23:59:55")
    mischief = Mischief(period=20, spikes=(5,), spike_by=40.0, stuck=(8, 10), wild=(12,), wild_value=1.0)
    ship = ShipSimulator(heading_hz=heading_hz, seed=seed, mischief=mischief)
    data = b"".join(ship.tick(start + i * 20_000_000) for i in range(500))
    d = driver()
    decoded = [item for piece in pieces(data, cuts) for item in d.feed(piece, NOON)] + d.finish()
    assert not problems(decoded)
    said = ship.take_said()
    assert len(said) == len([f for f in frames(decoded) for _ in f.time])
    assert len([s for s in said if s.time_ns is None]) == 10 * heading_hz
    for kind, marker in (
        ("gnss_fix", "altitude"),
        ("navigation", "platform_course"),
        ("heading", "platform_orientation"),
    ):
        found = frames(decoded, kind)
        wanted = [s for s in said if marker in s.values]
        assert wanted
        if kind != "heading":
            assert [t for f in found for t in f.time.tolist()] == [s.time_ns for s in wanted]
        for name in wanted[0].values:
            field = found[0].schema.by_name[name]
            got = [v for f in found for v in f.columns[name].tolist()]
            assert [round(v / field.resolution) for v in got] == [
                round(s.values[name] / field.resolution) for s in wanted
            ]
    assert {s.mischief for s in said} >= ({"spike", "stuck", "wild"} if heading_hz > 2 else {"spike"})


@settings(max_examples=10)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 10**6), max_size=40))
def test_all_that_the_ship_carries_is_found(seed: int, cuts: list[int]) -> None:
    ship = ShipSimulator(carries=CARGO, seed=seed)
    data = b"".join(ship.tick(ns("2026-12-31T23:59:55") + i * 20_000_000) for i in range(600))
    d = driver()
    decoded = [item for piece in pieces(data, cuts) for item in d.feed(piece, NOON)] + d.finish()
    assert not problems(decoded)
    found: dict[frozenset[str], list[dict[str, Any]]] = {}
    for frame in frames(decoded):
        for row in rows([frame]):
            del row["time"]
            found.setdefault(frozenset(row), []).append(row)
    said: dict[frozenset[str], list[dict[str, Any]]] = {}
    for one_said in ship.take_said():
        values = {name: float(value) for name, value in one_said.values.items()}
        empty = {"magnetic_variation"} if "platform_course" in values else set()  # RMC without a variation
        said.setdefault(frozenset(values.keys() | empty), []).append(values)
    assert found.keys() == said.keys()
    assert len(found) == 3 + len(CARGO)
    for names, wanted in said.items():
        for ours, theirs in zip(found[names], wanted, strict=True):
            assert all(abs(ours[name] - value) < 1e-9 for name, value in theirs.items())


def test_a_ship_cannot_carry_anything() -> None:
    with pytest.raises(ValueError, match="cannot carry anchor"):
        ShipSimulator(carries=("anchor",))


def test_a_ship_that_winds_down_says_nothing_more() -> None:
    ship = ShipSimulator()
    assert ship.tick(ns("2026-01-01T00:00:00")) or ship.tick(ns("2026-01-01T00:00:00.2"))
    ship.speaking = False
    ship.take_said()
    assert ship.tick(ns("2026-01-01T00:00:03")) == b""
    assert ship.take_said() == []
