"""The Envelope: Frames on their way from one platform's spool to the hub, and where they stand in that spool.

`(platform, epoch, seq)` names an Envelope for ever: the hub drops what it already has by it, and asks again for what is
missing. `seq` counts from 1 within an epoch and never wraps. `previous` is the BLAKE2b hash (8 bytes) of the
Envelope before it in the same epoch, so a whole chain is vouched for by its last link. `lane` is the one that it was
made for; the topic tells how it travelled.

On the wire: a head of some thirty bytes, the Frames, and four bytes of CRC-32C. The platform stands in the topic and
not in the Envelope; the checksum begins with its name, so an Envelope under another platform's topic is found out. An
Envelope may carry `gaps` instead of Frames: ranges of `seq` that the gateway once held and can no longer give, with the
reason, so that the hub can stop asking.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

import crc32c

from tidegate.codec import (
    MAX_VALUES,
    CodecError,
    UnknownSchema,
    counted,
    decode_frame,
    instrument_of,
    read_counted,
    read_unsigned_varint,
    unsigned_varint,
    values_of,
)
from tidegate.frame import Frame, Schema

VERSION = 2
MAX_BYTES = 1 << 20
"""Largest Envelope on the wire. A gateway makes them far smaller."""

NO_PREVIOUS = bytes(8)


class Lane(IntEnum):
    """`LIVE`: as it happens. `BACKFILL`: what had to wait."""

    LIVE = 0
    BACKFILL = 1


@dataclass(frozen=True, slots=True)
class Gap:
    """Sequence numbers `first` to `last` that the gateway cannot give any more, and why."""

    first: int
    last: int
    reason: str


@dataclass(frozen=True, slots=True)
class Envelope:
    """`frames` are still encoded (`tidegate.codec`): whoever only stores or forwards an Envelope needs no schema."""

    platform: str
    epoch: str
    seq: int
    lane: Lane
    made_ns: int
    """When the gateway closed it, UTC; the wire keeps whole milliseconds, rounded down."""
    previous: bytes
    frames: tuple[bytes, ...]
    gaps: tuple[Gap, ...] = field(default=())

    def decode(self, schemas: Mapping[str, Mapping[bytes, Schema]]) -> tuple[list[Frame], list["Undecoded"]]:
        """Its Frames, and those that cannot be decoded, each with the error.

        `schemas` maps instrument to schema id to schema, as the birth declared them. All Frames of an Envelope
        together stay below `MAX_VALUES`.
        """
        frames: list[Frame] = []
        undecoded: list[Undecoded] = []
        left = MAX_VALUES
        for data in self.frames:
            name = instrument_of(data)
            try:
                frame = decode_frame(data, schemas.get(name or "", {}), most_values=left)
                left -= values_of(frame.schema, len(frame))
                frames.append(frame)
            except CodecError as error:
                undecoded.append(Undecoded(name, data, error))
        return frames, undecoded


@dataclass(frozen=True, slots=True)
class Undecoded:
    """A Frame that could not be decoded: of which instrument (None where that is unreadable too), its bytes and the
    error."""

    instrument: str | None
    data: bytes
    error: CodecError

    @property
    def undeclared(self) -> bool:
        """Whether it only lacks its schema: a later birth may still describe it."""
        return isinstance(self.error, UnknownSchema)


_VERSION_BITS, _LANE, _GAPS = 0x0F, 0x10, 0x20
_MS = 1_000_000


def encode_envelope(envelope: Envelope) -> bytes:
    """An Envelope as bytes. Raises `CodecError` where it is too large, or its epoch or `previous` are not 8 bytes."""
    epoch = bytes.fromhex(envelope.epoch)
    if len(epoch) != 8 or len(envelope.previous) != 8:
        raise CodecError(f"epoch {envelope.epoch} and hash {envelope.previous.hex()}: each has 8 bytes")
    flags = VERSION | (_LANE if envelope.lane is Lane.BACKFILL else 0) | (_GAPS if envelope.gaps else 0)
    parts = [
        bytes([flags]),
        epoch,
        envelope.previous,
        unsigned_varint(envelope.seq),
        unsigned_varint(envelope.made_ns // _MS),
    ]
    if envelope.gaps:
        parts.append(unsigned_varint(len(envelope.gaps)))
        for gap in envelope.gaps:
            parts += [
                unsigned_varint(gap.first),
                unsigned_varint(gap.last - gap.first),
                counted(gap.reason.encode()),
            ]
    parts += map(counted, envelope.frames)
    body = b"".join(parts)
    if len(body) + 4 > MAX_BYTES:
        raise CodecError(f"an Envelope of {len(body)} bytes; at most {MAX_BYTES}: put fewer Frames into it")
    return body + _checksum(envelope.platform, body)


def decode_envelope(data: bytes, platform: str) -> Envelope:
    """The Envelope of `platform` that `encode_envelope` made. Raises `CodecError` on anything else."""
    if len(data) > MAX_BYTES:
        raise CodecError(f"{len(data)} bytes; an Envelope has at most {MAX_BYTES}")
    if len(data) < _SMALLEST:
        raise CodecError(f"{len(data)} bytes are no Envelope: it has at least {_SMALLEST}")
    flags, body = data[0], data[:-4]
    if flags & _VERSION_BITS != VERSION:
        raise CodecError(f"an Envelope of version {flags & _VERSION_BITS}; this program knows version {VERSION}")
    if _checksum(platform, body) != data[-4:]:
        raise CodecError(f"{len(data)} bytes whose checksum is wrong for {platform!r}")
    if flags & ~(_VERSION_BITS | _LANE | _GAPS):
        raise CodecError("not an Envelope: it has a part that is not known")
    try:
        seq, at = read_unsigned_varint(body, 17)
        made_ms, at = read_unsigned_varint(body, at)
        if not 0 < seq < 1 << 63 or made_ms * _MS >= 1 << 63:
            raise CodecError(f"impossible seq {seq} or time {made_ms} ms")
        gaps: list[Gap] = []
        if flags & _GAPS:
            count, at = read_unsigned_varint(body, at)
            for _ in range(min(count, len(body))):
                gap, at = _gap(body, at)
                gaps.append(gap)
        frames: list[bytes] = []
        while at < len(body):
            frame, at = read_counted(body, at)
            frames.append(frame)
    except ValueError as error:
        raise CodecError(f"not an Envelope: {error}") from None
    lane = Lane.BACKFILL if flags & _LANE else Lane.LIVE
    return Envelope(
        platform, body[1:9].hex(), seq, lane, made_ms * _MS, body[9:17], tuple(frames), tuple(gaps)
    )  # fmt: skip


def epoch_of(data: bytes) -> str:
    """The epoch that bytes name if they are an Envelope; says nothing about whether they are."""
    return data[1:9].hex()


_SMALLEST = 23


def _checksum(platform: str, body: bytes) -> bytes:
    return crc32c.crc32c(body, crc32c.crc32c(platform.encode())).to_bytes(4, "little")


def _gap(body: bytes, at: int) -> tuple[Gap, int]:
    first, at = read_unsigned_varint(body, at)
    more, at = read_unsigned_varint(body, at)
    reason, at = read_counted(body, at)
    if not 0 < first <= first + more < 1 << 63:
        raise CodecError(f"impossible gap {first}-{first + more}")
    return Gap(first, first + more, reason.decode()), at


def chain_hash(data: bytes) -> bytes:
    """The hash of an encoded Envelope, as the next one carries it in `previous`."""
    return hashlib.blake2b(data, digest_size=8).digest()
