"""The Envelope: Frames on their way from one platform's spool to the hub, and where they stand in that spool.

`(platform, epoch, seq)` names an Envelope for ever: the hub drops what it already has by it, and asks again for what is
missing. `seq` counts from 1 within an epoch and never wraps. `previous` is the BLAKE2b hash (16 bytes) of the
Envelope before it in the same epoch, so a whole chain is vouched for by its last link. `lane` is the one that it was
made for; the topic tells how it travelled.

On the wire: a MessagePack array and four bytes of CRC32C. An Envelope may carry `gaps` instead of Frames: ranges of
`seq` that the gateway once held and can no longer give, with the reason, so that the hub can stop asking.
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
    checked,
    checked_int64,
    decode_frame,
    instrument_of,
    packb,
    unpackb,
    values_of,
)
from tidegate.frame import Frame, Schema
from tidegate.identity import is_name

VERSION = 1
MAX_BYTES = 1 << 20
"""Largest Envelope on the wire. A gateway makes them far smaller."""

NO_PREVIOUS = bytes(16)


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
    """When the gateway closed it, UTC."""
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


def encode_envelope(envelope: Envelope) -> bytes:
    """An Envelope as bytes."""
    body = packb(
        [
            VERSION,
            envelope.platform,
            bytes.fromhex(envelope.epoch),
            envelope.seq,
            int(envelope.lane),
            envelope.made_ns,
            envelope.previous,
            list(envelope.frames),
            [[gap.first, gap.last, gap.reason] for gap in envelope.gaps],
        ]
    )
    if len(body) + 4 > MAX_BYTES:
        raise CodecError(f"an Envelope of {len(body)} bytes; at most {MAX_BYTES}: put fewer Frames into it")
    return body + crc32c.crc32c(body).to_bytes(4, "little")


def decode_envelope(data: bytes) -> Envelope:
    """The Envelope that `encode_envelope` made. Raises `CodecError` on anything else."""
    if len(data) > MAX_BYTES:
        raise CodecError(f"{len(data)} bytes; an Envelope has at most {MAX_BYTES}")
    body, crc = data[:-4], data[-4:]
    if len(data) < 5 or crc32c.crc32c(body).to_bytes(4, "little") != crc:
        raise CodecError(f"{len(data)} bytes whose checksum is wrong")
    try:
        version, *rest = checked(unpackb(body), list)
        if version != VERSION:
            raise CodecError(f"version {version!r}; this program knows version {VERSION}: update the hub")
        platform, epoch, seq, lane, made_ns, previous, frames, gaps = rest
        if (
            not is_name(checked(platform, str))
            or len(checked(epoch, bytes)) != 8
            or len(checked(previous, bytes)) != 16
        ):
            raise CodecError("impossible platform, epoch or hash")
        if not checked_int64(seq) > 0:
            raise CodecError(f"impossible seq {seq}")
        return Envelope(
            platform,
            epoch.hex(),
            seq,
            Lane(lane),
            checked_int64(made_ns),
            previous,
            tuple(checked(frame, bytes) for frame in checked(frames, list)),
            tuple(_gap(*gap) for gap in checked(gaps, list)),
        )
    except CodecError as error:
        raise CodecError(f"not an Envelope: {error}") from None
    except (ValueError, TypeError) as error:
        raise CodecError(f"not an Envelope: {error}") from None


def _gap(first: object, last: object, reason: object) -> Gap:
    gap = Gap(checked_int64(first), checked_int64(last), checked(reason, str))
    if not 0 < gap.first <= gap.last:
        raise CodecError(f"impossible gap {gap.first}-{gap.last}")
    return gap


def chain_hash(data: bytes) -> bytes:
    """The hash of an encoded Envelope, as the next one carries it in `previous`."""
    return hashlib.blake2b(data, digest_size=16).digest()
