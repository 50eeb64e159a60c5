"""Envelopes come back as they went; any damage is found; nothing in them grows beyond its bound."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tidegate.frames import SCHEMAS, frames, same
from tidegate.codec import CodecError, encode_frame
from tidegate.envelope import MAX_BYTES, NO_PREVIOUS, Envelope, Gap, Lane, chain_hash, decode_envelope, encode_envelope
from tidegate.frame import Frame

EMPTY = Envelope("tioman-1", "00112233445566aa", 1, Lane.LIVE, 1_700_000_000_000_000_000, NO_PREVIOUS, ())


@given(
    st.lists(frames(), max_size=3),
    st.integers(1, 2**63 - 1),
    st.sampled_from(Lane),
    st.binary(min_size=16, max_size=16),
    st.lists(st.tuples(st.integers(1, 99), st.integers(0, 9), st.text(max_size=9)), max_size=2),
)
def test_an_envelope_comes_back_as_it_went(
    given_frames: list[Frame], seq: int, lane: Lane, previous: bytes, gaps: list[tuple[int, int, str]]
) -> None:
    envelope = Envelope(
        "tioman-1",
        "00112233445566aa",
        seq,
        lane,
        1_700_000_000_000_000_000,
        previous,
        tuple(encode_frame(f) for f in given_frames),
        tuple(Gap(first, first + more, reason) for first, more, reason in gaps),
    )
    back = decode_envelope(encode_envelope(envelope))
    assert back == envelope
    decoded, undecoded = back.decode({"ctd-1": SCHEMAS})
    assert not undecoded
    assert all(same(a, b) for a, b in zip(decoded, given_frames, strict=True))


def test_every_flipped_bit_is_found() -> None:
    data = encode_envelope(EMPTY)
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CodecError):
            decode_envelope(bytes(flipped))
    for cut in range(len(data)):
        with pytest.raises(CodecError):
            decode_envelope(data[:cut])


@given(st.binary(max_size=200))
def test_random_bytes_give_the_one_error(data: bytes) -> None:
    with pytest.raises(CodecError):
        decode_envelope(data)


def test_what_is_too_large_is_refused_on_both_sides() -> None:
    with pytest.raises(CodecError, match="fewer Frames"):
        encode_envelope(Envelope("p", "00" * 8, 1, Lane.LIVE, 0, NO_PREVIOUS, (bytes(MAX_BYTES),)))
    with pytest.raises(CodecError, match="at most"):
        decode_envelope(bytes(MAX_BYTES + 1))


@given(frames("known"), frames("unknown"))
def test_an_undeclared_frame_is_told_apart_and_hurts_no_other(known: Frame, unknown: Frame) -> None:
    envelope = Envelope("p", "00" * 8, 1, Lane.LIVE, 0, NO_PREVIOUS, (encode_frame(known), encode_frame(unknown)))
    decoded, (bad,) = envelope.decode({"known": SCHEMAS})
    assert [f.instrument for f in decoded] == ["known"]
    assert bad.undeclared
    assert bad.instrument == "unknown"


def test_golden_vector_fixes_the_format() -> None:
    data = encode_envelope(EMPTY)
    assert data.hex() == (
        "9901a874696f6d616e2d31c40800112233445566aa0100cf17979cfe362a0000c4100000000000000000000000"
        "000000000090903af48a41"
    )
    assert decode_envelope(data) == EMPTY
    assert chain_hash(data).hex() == "9c76b3dd2cc057c86f4532c0749b20b0"
