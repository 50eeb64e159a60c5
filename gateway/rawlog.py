"""The raw log: what went over each instrument's line, byte for byte, before anyone interprets it.

One journal for all instruments of a gateway, so that it costs one fsync however many there are. A record is a
MessagePack array: instrument, direction, how many bytes were heard of this stream before, arrival (UTC ns, monotonic
ns, boot, disciplined), bytes. What a driver was given, and where its stream broke off, is all in it: whatever Tidegate
derives can be derived again (`tidegate decode` reads it). Where bytes of a stream are missing (a damaged record, a disk
that refused), the count says so, and the stream is read as broken there: two halves of different records never meet.

Between the utterances stand marks. A mark is written right before its Envelope goes into the spool and says up to
which record the samples are in that Envelope or in those before it. After a crash the mark of the newest Envelope in
the spool tells where to go on (`gateway.recover`): a mark whose Envelope did not come about names none.
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import msgpack

from tidegate.clock import Arrival
from tidegate.journal import Journal, JournalReader, Record

_FSYNC_WINDOW_S = 5.0
"""The gateway syncs every second, in a thread; only where that fails must an append do it, and all ports wait."""
_SEGMENTS, _SEGMENT_BYTES = 32, 8 << 20
"""The log is cut into at least so many files, the oldest of which goes when room is needed."""
_SEARCH = (256, 4096, 65_536, 1_048_576)


class Direction(IntEnum):
    """`HEARD` from the instrument, `SAID` to it by its driver, `TYPED` to it by a person at a console; `ENDED`: its
    stream broke off, and the bytes say why."""

    HEARD = 0
    SAID = 1
    ENDED = 2
    TYPED = 3


class Utterance(NamedTuple):
    """A piece of bytes that went over an instrument's line."""

    instrument: str
    direction: Direction
    at: Arrival
    data: bytes


class Position(NamedTuple):
    """A place in the raw log: a record's number, and the streams that are open after it, each with its first
    record."""

    number: int
    streams: Mapping[str, int]


START = Position(0, {})


class Mark(NamedTuple):
    """What the Envelopes of the spool account for.

    `envelope` is the newest of them (`Spool.newest`). All samples of records up to `position` are in them, and of each
    instrument in `beyond` that many more.
    """

    envelope: bytes
    position: Position
    beyond: Mapping[str, int]


class RawLog:
    """The raw log of a gateway, open for writing. When it is full, the oldest bytes make room for the newest."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        segment_bytes = min(max_bytes // _SEGMENTS, _SEGMENT_BYTES)
        self.journal = Journal(
            directory, segment_bytes=segment_bytes, max_bytes=max_bytes, fsync_window_s=_FSYNC_WINDOW_S
        )
        self.position = Position(self.journal.last, {})
        self._heard: dict[str, int] = {}

    def append(self, utterance: Utterance) -> Position:
        """Keeps the bytes and says where. Raises OSError where the disk refuses."""
        name, direction, at, data = utterance
        heard = self._heard.get(name, 0)
        if direction is Direction.HEARD:
            self._heard[name] = heard + len(data)
        elif direction is Direction.ENDED:
            self._heard.pop(name, None)
        number = self._append(
            msgpack.packb([name, int(direction), heard, at.utc_ns, at.monotonic_ns, at.boot, at.disciplined, data])
        )
        self.position = followed(self.position, number, utterance)
        return self.position

    def mark(self, mark: Mark) -> None:
        """Writes a mark, and makes it and all before it durable. Raises OSError where the disk refuses."""
        (number, streams), beyond = mark.position, mark.beyond
        self._append(msgpack.packb([None, mark.envelope, number, dict(streams), dict(beyond)]))
        self.journal.sync()

    def find_mark(self, envelope: bytes) -> Mark | None:
        """The newest mark of that Envelope; None where it has none."""
        last = self.journal.last
        for back in _SEARCH:
            found = None
            for _, payload in self.journal.read(max(last - back, 0)):
                mark = _decoded(payload)
                if isinstance(mark, Mark) and mark.envelope == envelope:
                    found = mark
            if found or back >= last:
                return found
        return None

    def read(self, after: int, *, limit: int | None = None) -> Iterator[tuple[int, Utterance]]:
        """Utterances with their record numbers, among the `limit` records above `after`; as `read` of the module."""
        return _utterances(self.journal.read(after, limit=limit))

    def _append(self, payload: bytes) -> int:
        if self.journal.bytes + len(payload) > 0.95 * self._max_bytes:
            self.journal.forget_oldest()
        return self.journal.append(payload)

    def close(self) -> None:
        """Makes everything durable and lets go of the directory."""
        self.journal.close()


def followed(position: Position, number: int, utterance: Utterance) -> Position:
    """Where the log stands after the record `number` that follows `position`."""
    name, streams = utterance.instrument, position.streams
    if utterance.direction is Direction.HEARD and name not in streams:
        streams = {**streams, name: number}
    elif utterance.direction is Direction.ENDED and name in streams:
        streams = {other: first for other, first in streams.items() if other != name}
    return Position(number, streams)


def read(directory: Path, instrument: str | None = None) -> Iterator[Utterance]:
    """What the raw log in `directory` holds, of one instrument or of all; also while a gateway writes it.

    Raises OSError where there is no such folder, ValueError where it holds something else than a raw log.
    """
    reader = JournalReader(directory)
    records = reader.read()
    first = next(records, None)
    if first is None or _decoded(first.payload) is None:
        raise ValueError("no raw log; name the folder `raw` in a gateway's storage directory")
    for _, utterance in _utterances(chain((first,), records)):
        if instrument in (None, utterance.instrument):
            yield utterance


def _utterances(records: Iterable[Record]) -> Iterator[tuple[int, Utterance]]:
    """The utterances among the records; where a stream lacks bytes, one more, which ends it."""
    heard: dict[str, int] = {}
    for number, payload in records:
        kept = _decoded(payload)
        if kept is None or isinstance(kept, Mark):
            continue
        before, utterance = kept
        name = utterance.instrument
        if utterance.direction is Direction.HEARD:
            if heard.get(name, before) != before:
                yield number, Utterance(name, Direction.ENDED, utterance.at, b"bytes are missing here")
            heard[name] = before + len(utterance.data)
        elif utterance.direction is Direction.ENDED:
            heard.pop(name, None)
        yield number, utterance


def _decoded(payload: bytes) -> tuple[int, Utterance] | Mark | None:
    """A record of a raw log: a mark, or an utterance with the count of bytes heard before; None for anything else."""
    try:
        fields: list[Any] = msgpack.unpackb(payload)
        if fields[0] is None:
            _, envelope, number, streams, beyond = fields
            return Mark(envelope, Position(number, streams), beyond)
        name, direction, heard, utc_ns, monotonic_ns, boot, disciplined, data = fields
        return heard, Utterance(name, Direction(direction), Arrival(utc_ns, monotonic_ns, boot, disciplined), data)
    except (ValueError, TypeError, IndexError, KeyError, msgpack.UnpackException):
        return None
