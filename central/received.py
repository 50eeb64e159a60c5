"""What the hub has received and keeps: the hub's journal, its truth. Everything else at the hub is a view of it.

A record is the MessagePack array `[kind, topic, received_ns, bytes]`: an Envelope or a birth as it came in, unopened.
`Intake` adds to the journal what its two users need: the process stage waits for news, and learns when a record was on
disk.
"""

import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from tidegate.codec import CodecError, checked, checked_int64, packb, unpackb
from tidegate.journal import Journal, Record

_MARKS = 4096


class Kind(IntEnum):
    """What a record holds."""

    ENVELOPE = 1
    BIRTH = 2


@dataclass(frozen=True, slots=True)
class Received:
    """One message as it came in."""

    kind: Kind
    topic: str
    received_ns: int
    data: bytes

    def packed(self) -> bytes:
        """As bytes of a record."""
        return packb([int(self.kind), self.topic, self.received_ns, self.data])

    @classmethod
    def unpacked(cls, payload: bytes) -> "Received":
        """What `packed` gave. Raises `CodecError` on anything else."""
        try:
            kind, topic, received_ns, data = checked(unpackb(payload), list)
            return cls(Kind(kind), checked(topic, str), checked_int64(received_ns), checked(data, bytes))
        except (ValueError, TypeError) as error:
            raise CodecError(f"not a record of the hub's journal: {error}") from None


class Intake:
    """The hub's journal. One thread appends, any may read and wait."""

    def __init__(self, directory: Path, *, segment_bytes: int = 64 << 20) -> None:
        self.journal = Journal(directory, segment_bytes=segment_bytes)
        self._news = threading.Condition()
        self._marks: deque[tuple[int, int]] = deque([(self.journal.last, time.time_ns())], _MARKS)
        self._closed = False

    @property
    def last(self) -> int:
        """Number of the newest record that is durable."""
        return self.journal.durable

    def append(self, received: Sequence[Received]) -> int:
        """Append and return the last number; it counts once `sync` has returned. Raises OSError where the disk
        refuses: nothing was appended then."""
        return self.journal.append_many([r.packed() for r in received])

    def sync(self) -> None:
        """Make durable what was appended. Raises OSError where the disk fails; call it again later then."""
        self.journal.sync()
        with self._news:
            if self.journal.durable > self._marks[-1][0]:
                self._marks.append((self.journal.durable, time.time_ns()))
            self._news.notify_all()

    def read(self, after: int, limit: int | None = None) -> Iterator[Record]:
        """The durable records after `after`, still packed."""
        return self.journal.read(after, limit=limit, durable=True)

    def journaled_ns(self, number: int) -> int:
        """When a record was on disk, at the latest; of records from before the last start, that start."""
        marks = list(self._marks)
        return marks[min(bisect_left(marks, (number, 0)), len(marks) - 1)][1]

    def wait(self, after: int, timeout_s: float) -> bool:
        """Wait in this thread for a durable record after `after`; False where time is up."""
        with self._news:
            return self._news.wait_for(lambda: self.journal.durable > after or self._closed, timeout_s)

    def wake(self) -> None:
        """Let whoever waits return."""
        with self._news:
            self._closed = True
            self._news.notify_all()

    def close(self) -> None:
        """Let the journal go."""
        self.wake()
        self.journal.close()
