"""Recordings are unwrapped to the byte, however they are read."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from drivers.recording import Offsets, Piece, Stamps, pieces, sniff
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


def test_offsets_lead_back_to_the_file() -> None:
    offsets, stream = Offsets(), b""
    for piece in pieces([DCL]):
        offsets.fed(piece)
        stream += piece.data
    for at, byte in enumerate(stream):
        assert DCL[offsets.in_file(at)] == byte
