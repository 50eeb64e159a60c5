"""What came in and could not be used, kept as evidence: nothing that the hub refuses disappears without a trace.

The cases stand in a journal of bounded size that forgets its oldest. What only waits for a birth to describe it is
elsewhere (`central.process`): it will be used yet.
"""

import logging
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tidegate.codec import CodecError, checked, checked_int64, packb, unpackb
from tidegate.journal import Journal, JournalFull

_log = logging.getLogger(__name__)

_DATA_BYTES = 64 << 10


class Reason(StrEnum):
    """What was wrong."""

    CORRUPT = "corrupt"
    """An Envelope that cannot be read: its checksum is wrong, or it is none."""
    MISPLACED = "misplaced"
    """An Envelope of another platform than its topic's."""
    BIRTH = "birth"
    """A birth that is none, or that contradicts itself."""
    STATE = "state"
    """A state that is none."""
    UNDECODABLE = "undecodable"
    """A Frame, of a known schema or none at all, that cannot be decoded."""
    REFUSED = "refused"
    """A change that a store will never take."""


@dataclass(frozen=True, slots=True)
class Case:
    """One piece of evidence."""

    reason: Reason
    platform: str
    instrument: str
    """Empty where it is of no instrument, or nobody knows of which."""
    at_ns: int
    """When it came in, UTC."""
    detail: str
    source: tuple[int, int]
    """The record of the hub's journal that brought it and the Frame's place in it; (0, 0) where it never got there."""
    data: bytes
    """What it was, cut to 64 KiB."""


class Quarantine:
    """The cases, in a folder of at most `max_bytes`. Used from any thread."""

    def __init__(self, directory: Path, *, max_bytes: int = 64 << 20) -> None:
        self._journal = Journal(directory, max_bytes=max_bytes, segment_bytes=max_bytes // 16)
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str, Reason]] = Counter()
        self.source = (0, 0)
        """The source of the newest case that has one."""
        for _, case in self._cases(0):
            self._count(case)

    def add(self, cases: Sequence[Case]) -> None:
        """Keep cases. A disk that refuses costs the evidence, which is logged, and not the count.

        Of many cases of one kind the log tells the 1st, 2nd, 4th, 8th and so on: whoever sends rubbish fills no disk.
        """
        for case in cases:
            with self._lock:
                count = self._count(case)
            if count & (count - 1) == 0:
                whose = f"{case.platform}/{case.instrument}" if case.instrument else case.platform
                _log.warning("%s: %s (%d so far): %s", whose, case.reason, count, case.detail)
            payload = packb(
                [
                    case.reason.value,
                    case.platform,
                    case.instrument,
                    case.at_ns,
                    case.detail,
                    list(case.source),
                    case.data[:_DATA_BYTES],
                ]
            )
            try:
                self._append(payload)
            except OSError as error:
                _log.error("evidence cannot be kept: %s", error)

    def _append(self, payload: bytes) -> None:
        journal = self._journal
        while True:
            try:
                journal.append(payload)
                return
            except JournalFull:
                # The oldest segment goes; where only the newest is left, it is the disk that is full.
                step = 1
                while not journal.forget(journal.first + step - 1):
                    if journal.first + step > journal.last:
                        raise
                    step *= 2

    def sync(self) -> None:
        """Make what was added durable. Raises OSError where the disk fails."""
        self._journal.sync()

    def counts(self) -> dict[tuple[str, str, Reason], int]:
        """Cases by platform, instrument and reason: what is kept, and all that came since the start."""
        with self._lock:
            return dict(self._counts)

    def count(self, platform: str) -> dict[str, int]:
        """Cases of one platform by reason."""
        found: Counter[str] = Counter()
        for (owner, _, reason), number in self.counts().items():
            if owner == platform:
                found[reason.value] += number
        return dict(found)

    def newest(self, limit: int) -> list[Case]:
        """The newest cases, oldest of them first."""
        return [case for _, case in self._cases(max(self._journal.last - limit, 0))]

    def close(self) -> None:
        """Let the folder go."""
        self._journal.close()

    def _count(self, case: Case) -> int:
        key = case.platform, case.instrument, case.reason
        self._counts[key] += 1
        self.source = max(self.source, case.source)
        return self._counts[key]

    def _cases(self, after: int) -> Iterator[tuple[int, Case]]:
        for number, payload in self._journal.read(after):
            try:
                reason, platform, instrument, at_ns, detail, source, data = checked(unpackb(payload), list)
                yield (
                    number,
                    Case(
                        Reason(reason),
                        checked(platform, str),
                        checked(instrument, str),
                        checked_int64(at_ns),
                        checked(detail, str),
                        (checked_int64(source[0]), checked_int64(source[1])),
                        checked(data, bytes),
                    ),
                )
            except (CodecError, ValueError, TypeError, IndexError) as error:
                _log.warning("quarantine: record %d is not a case: %s", number, error)
