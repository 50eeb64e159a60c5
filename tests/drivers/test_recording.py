"""Recordings are unwrapped to the byte, however they are read."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.recording import Offsets, Piece, Stamps, batches, pieces, sniff
from tidegate.clock import NAT

DCL = (
    b"2013/11/23 00:00:11.203 [ctdbp1:DLOGP3]:Instrument Started [Power On]\n"
    b"2013/11/23 00:00:25.236 # 13.7971,  4.01241\r\n"
    b"2014/09/28 00:30:28.455 [ctdbp3:DLOGP6]: 22.1725,  0.00003\r\n"
    b"2013/11/23 00:0X:35.229 # 13.7946,  4.01205\r\n"
    b"2013/13/23 00:00:45.229 # 13.7\r\n"
)
ISO = b"2014-08-01T00:00:00.124000Z $GPZDA,000000.00\n2014-08-01T00:00:01Z $GPGGA\n2014-08-01T00:00:02Z tail"


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    out = []
    for size in sizes:
        out.append(data[:size])
        data = data[size:]
    return [*out, data]


def whole(found: list[Piece]) -> list[tuple[int, bytes, int]]:
    return [(p.offset, p.data, p.at.utc_ns) for p in found]


def test_a_dcl_log_gives_the_instruments_words_and_leaves_out_the_loggers() -> None:
    found = list(pieces([DCL]))
    assert [p.data for p in found] == [
        b"# 13.7971,  4.01241\r\n",
        b" 22.1725,  0.00003\r\n",
        b"2013/11/23 00:0X:35.229 # 13.7946,  4.01205\r\n",  # no stamp: passed whole, for the driver to refuse
        b"# 13.7\r\n",
    ]
    assert all(DCL[p.offset : p.offset + len(p.data)] == p.data for p in found)
    at = datetime(2013, 11, 23, 0, 0, 25, 236000, tzinfo=UTC)
    assert found[0].at.utc_ns == int(at.timestamp()) * 10**9 + 236_000_000
    assert found[3].at.utc_ns == NAT


def test_iso_stamps_are_taken_off() -> None:
    found = list(pieces([ISO]))
    assert [p.data for p in found] == [b"$GPZDA,000000.00\n", b"$GPGGA\n", b"tail"]
    assert found[0].at.utc_ns % 10**9 == 124_000_000


@given(st.sampled_from([DCL, ISO]), st.lists(st.integers(0, 40), max_size=30))
def test_the_cutting_does_not_matter(data: bytes, sizes: list[int]) -> None:
    assert whole(list(pieces(cut(data, sizes)))) == whole(list(pieces([data])))


@given(st.binary(max_size=400), st.lists(st.integers(0, 40), max_size=10))
def test_what_has_no_stamps_passes_as_it_is(data: bytes, sizes: list[int]) -> None:
    found = list(pieces(cut(data, sizes), Stamps.NONE))
    assert b"".join(p.data for p in found) == data
    assert all(data[p.offset : p.offset + len(p.data)] == p.data for p in found)


def test_sniffing() -> None:
    assert sniff(DCL) is Stamps.DCL
    assert sniff(ISO) is Stamps.ISO
    assert sniff(b"\x7f\x7f\xf0\x02" * 99) is Stamps.NONE
    assert sniff(b"") is Stamps.NONE
    assert sniff(b"$GPGGA,000000.00\r\n" * 9) is Stamps.NONE


# Lines as published by those who wrote them: NCEI's formats scs_hdt, nav12 and nav29, R/V Sikuliaq (C-Nav3050.txt),
# NAAMES underway files (NAV_MX5.txt), github.com/mpihlak/nmealogger.
PUBLISHED = [
    (Stamps.SCS, b"03/15/2010,14:08:45.876,$HEHDT,146.2,T*2E\r\n", "2010-03-15T14:08:45.876", b"$HEHDT,146.2,T*2E\r\n"),
    (Stamps.SCS, b"03/15/2010,14:08:45.876, 22.7471,  0.04887\n", "2010-03-15T14:08:45.876", b" 22.7471,  0.04887\n"),
    (
        Stamps.LDS,
        b"cnav\t2010:258:01:05:34.0656\t$GPZDA,235959.00,14,9,2010,+0,+0*58\n",
        "2010-09-15T01:05:34.065600",
        b"$GPZDA,235959.00,14,9,2010,+0,+0*58\n",
    ),
    (
        Stamps.ISO,
        b"gnss_cnav  2014-12-11T00:00:01.0020Z  $GNZDA,000001.00,11,12,2014,00,00*7D\n",
        "2014-12-11T00:00:01.002",
        b"$GNZDA,000001.00,11,12,2014,00,00*7D\n",
    ),
    (
        Stamps.ISO,
        b"2023-09-02T12:41:35.168370+00:00\t$IIMTW,+15.0,C*3C\n",
        "2023-09-02T12:41:35.168370",
        b"$IIMTW,+15.0,C*3C\n",
    ),
    (
        Stamps.DSLOG,
        b"NAV 2013/02/05 15:00:00.828 MX512 $GPVTG,130,T,148,M,10.4,N,19.3,K,A*22\n",
        "2013-02-05T15:00:00.828",
        b"$GPVTG,130,T,148,M,10.4,N,19.3,K,A*22\n",
    ),
    (Stamps.UNIX, b"1284512734.066 $HEHDT,146.2,T*2E\n", "2010-09-15T01:05:34.066", b"$HEHDT,146.2,T*2E\n"),
    (Stamps.UNIX, b"1284512734 $HEHDT,146.2,T*2E\n", "2010-09-15T01:05:34", b"$HEHDT,146.2,T*2E\n"),
]


@pytest.mark.parametrize(("stamps", "line", "time", "said"), PUBLISHED)
def test_the_stamps_of_other_loggers(stamps: Stamps, line: bytes, time: str, said: bytes) -> None:
    assert sniff(line * 5) is stamps
    found = list(pieces([line * 5]))
    assert [(p.offset, p.data) for p in found] == [((i + 1) * len(line) - len(said), said) for i in range(5)]
    assert {p.at.utc_ns for p in found} == {int(np.datetime64(time, "ns").astype(np.int64))}


def test_stamps_of_many_shapes_are_all_read() -> None:
    # More names than are read together, and fractions of every length.
    lines = [
        b"dev%d 2014-08-01T00:%02d:00.%sZ %d\n" % (10**k, minute, b"5" * (k % 9 + 1), minute)
        for minute in range(60)
        for k in range(9)
    ]
    lines += [b"x%03d 2014-08-01T01:00:00Z %d\n" % (i, i) for i in range(200)]
    found = list(pieces([b"".join(lines)], Stamps.ISO))
    assert [p.data for p in found] == [line.rsplit(b" ", 1)[1] for line in lines]
    want = [np.datetime64(line.split()[1].decode()[:-1], "ns").astype(np.int64) for line in lines]
    assert [p.at.utc_ns for p in found] == want


LINES = st.one_of(
    st.sampled_from(
        [b"2014-08-01T00:00:00", b"gyr1 2014-08-01T00:00:00", b"2016-02-29T23:59:59", b"2015-02-29T23:59:59"]
    ),
    st.sampled_from([b"", b"\xff2014-08-01T00:00:00", b"2014-08-01T24:00:00", b"2014-13-01T00:00:00"]),
)


@given(
    st.lists(
        st.tuples(
            LINES, st.sampled_from([b".5Z ", b"Z ", b".123456789Z\t", b"+00:00 ", b"Z", b""]), st.binary(max_size=9)
        ),
        max_size=30,
    )
)
def test_lines_read_together_are_as_each_by_itself(parts: list[tuple[bytes, bytes, bytes]]) -> None:
    lines = [stamp + tail + rest.replace(b"\n", b"") + b"\n" for stamp, tail, rest in parts]
    together = [(p.data, p.at) for p in pieces([b"".join(lines)], Stamps.ISO)]
    alone = [(p.data, p.at) for line in lines for p in pieces([line], Stamps.ISO)]
    assert together == alone


def test_offsets_lead_back_to_the_file() -> None:
    offsets, stream = Offsets(), b""
    for batch in batches(DCL[i : i + 40] for i in range(0, len(DCL), 40)):
        offsets.fed(batch)
        stream += batch.pieces.data
    for batch in batches([DCL]):
        offsets.fed(batch)
        stream += batch.pieces.data
    for at, byte in enumerate(stream):
        assert DCL[offsets.in_file(at)] == byte
    assert offsets.in_file(len(stream)) == len(DCL)


def test_offsets_of_a_long_file_do_not_grow() -> None:
    offsets = Offsets()
    line = b"2014-08-01T00:00:00Z " + b"x" * 979 + b"\n"
    for batch in batches((line * 100 for _ in range(100)), Stamps.ISO):
        offsets.fed(batch)
    assert offsets.in_file(9_800_000 - 1) == 10_010_000 - 1
    assert len(offsets._stream) < 20
