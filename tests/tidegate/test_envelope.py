"""Envelopes come back as they went; any damage is found; nothing in them grows beyond its bound."""

import contextlib
from dataclasses import replace

import crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tidegate.frames import SCHEMAS, frames, same
from tidegate.codec import CodecError, encode_frame
from tidegate.envelope import (
    MAX_BYTES,
    NO_PREVIOUS,
    Envelope,
    Gap,
    Lane,
    chain_hash,
    decode_envelope,
    encode_envelope,
    epoch_of,
)
from tidegate.frame import Frame

EMPTY = Envelope("tioman-1", "00112233445566aa", 1, Lane.LIVE, 1_700_000_000_000_000_000, NO_PREVIOUS, ())


@given(
    st.lists(frames(), max_size=3),
    st.integers(1, 2**63 - 1),
    st.sampled_from(Lane),
    st.binary(min_size=8, max_size=8),
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
    back = decode_envelope(encode_envelope(envelope), "tioman-1")
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
            decode_envelope(bytes(flipped), "tioman-1")
    for cut in range(len(data)):
        with pytest.raises(CodecError):
            decode_envelope(data[:cut], "tioman-1")


def test_an_envelope_is_of_one_platform() -> None:
    data = encode_envelope(EMPTY)
    for other in ("tioman-2", "tioman-", "tioman-11", ""):
        with pytest.raises(CodecError, match="checksum"):
            decode_envelope(data, other)
    assert epoch_of(data) == EMPTY.epoch


@given(st.binary(max_size=60), st.sampled_from([0x02, 0x12, 0x22, 0x32, 0x42, 0x01]))
def test_hostile_bytes_with_a_right_checksum_give_an_envelope_or_the_one_error(rest: bytes, head: int) -> None:
    body = bytes([head]) + bytes(16) + rest
    crc = crc32c.crc32c(b"p" + body).to_bytes(4, "little")
    with contextlib.suppress(CodecError):
        envelope = decode_envelope(body + crc, "p")
        assert encode_envelope(envelope)[:17] == body[:17]


def test_what_is_newer_is_refused() -> None:
    data = bytearray(encode_envelope(EMPTY))
    data[0] = 3
    with pytest.raises(CodecError, match="version 3"):
        decode_envelope(bytes(data), EMPTY.platform)


def test_time_is_kept_to_the_millisecond() -> None:
    envelope = replace(EMPTY, made_ns=1_700_000_000_123_999_999)
    assert decode_envelope(encode_envelope(envelope), EMPTY.platform).made_ns == 1_700_000_000_123_000_000


def test_what_cannot_stand_in_the_head_is_refused() -> None:
    for wrong in (replace(EMPTY, epoch="00ff"), replace(EMPTY, previous=bytes(16))):
        with pytest.raises(CodecError, match="8 bytes"):
            encode_envelope(wrong)


@given(st.binary(max_size=200))
def test_random_bytes_give_the_one_error(data: bytes) -> None:
    with pytest.raises(CodecError):
        decode_envelope(data, "p")


def test_what_is_too_large_is_refused_on_both_sides() -> None:
    with pytest.raises(CodecError, match="fewer Frames"):
        encode_envelope(Envelope("p", "00" * 8, 1, Lane.LIVE, 0, NO_PREVIOUS, (bytes(MAX_BYTES),)))
    with pytest.raises(CodecError, match="at most"):
        decode_envelope(bytes(MAX_BYTES + 1), "p")


@given(frames("known"), frames("unknown"))
def test_an_undeclared_frame_is_told_apart_and_hurts_no_other(known: Frame, unknown: Frame) -> None:
    envelope = Envelope("p", "00" * 8, 1, Lane.LIVE, 0, NO_PREVIOUS, (encode_frame(known), encode_frame(unknown)))
    decoded, (bad,) = envelope.decode({"known": SCHEMAS})
    assert [f.instrument for f in decoded] == ["known"]
    assert bad.undeclared
    assert bad.instrument == "unknown"


def test_golden_vector_fixes_the_format() -> None:
    data = encode_envelope(EMPTY)
    assert data.hex() == "0200112233445566aa00000000000000000180d095ffbc31c6af1d27"
    assert decode_envelope(data, "tioman-1") == EMPTY
    assert chain_hash(data).hex() == "06e07a3cfce0f4cc"
