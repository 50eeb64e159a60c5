"""The raw log: what each instrument said, byte for byte, before anyone interprets it.

One journal for all instruments of a gateway, so that it costs one fsync however many there are. A record is a
MessagePack array: instrument, direction, arrival (UTC ns, monotonic ns, boot, disciplined), bytes. Everything that
Tidegate derives can be derived again from it (`tidegate decode` reads it).
"""

from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

import msgpack

from tidegate.clock import Arrival
from tidegate.journal import Journal, JournalReader, Record


class Direction(IntEnum):
    """`HEARD` from the instrument, or `SAID` to it."""

    HEARD = 0
    SAID = 1


class Utterance(NamedTuple):
    """A piece of bytes that went over an instrument's line."""

    instrument: str
    direction: Direction
    at: Arrival
    data: bytes


class RawLog:
    """The raw log of a gateway, open for writing. When it is full, the oldest bytes make room for the newest."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.journal = Journal(directory, max_bytes=max_bytes)

    def append(self, utterance: Utterance) -> None:
        """Keeps the bytes. Raises OSError where the disk refuses."""
        at = utterance.at
        payload: bytes = msgpack.packb(
            [
                utterance.instrument,
                int(utterance.direction),
                at.utc_ns,
                at.monotonic_ns,
                at.boot,
                at.disciplined,
                utterance.data,
            ]
        )
        if self.journal.bytes + len(payload) > 0.95 * self._max_bytes:
            self._make_room()
        self.journal.append(payload)

    def _make_room(self) -> None:
        """Forgets the oldest segment or two: a hundredth of the bound at a time, by record numbers."""
        first, last = self.journal.first, self.journal.last
        self.journal.forget(first + max((last - first) // 20, 1))

    def close(self) -> None:
        """Makes everything durable and lets go of the directory."""
        self.journal.sync()
        self.journal.close()


def read(directory: Path, instrument: str | None = None) -> Iterator[Utterance]:
    """What the raw log in `directory` holds, of one instrument or of all; also while a gateway writes it."""
    for record in JournalReader(directory).read():
        utterance = _utterance(record)
        if utterance is not None and instrument in (None, utterance.instrument):
            yield utterance


def _utterance(record: Record) -> Utterance | None:
    try:
        name, direction, utc_ns, monotonic_ns, boot, disciplined, data = msgpack.unpackb(record.payload)
        return Utterance(name, Direction(direction), Arrival(utc_ns, monotonic_ns, boot, disciplined), data)
    except (ValueError, TypeError, msgpack.UnpackException):
        return None  # a journal that is no raw log; its records are not ours to judge
