"""Finds Nortek's binary records in a stream, for the drivers of AD2CP and of the classic instruments.

Both families begin a record with A5 and close it (AD2CP: also its header) with the same checksum: B58C and all
little-endian words before it, modulo 65536. A `Finder` says where in a buffer records may begin, how long they are and
whether their checksums hold; running sums over the buffer make each checksum one subtraction, so that hostile bytes
cost no more than honest ones. The `Framer` walks through these candidates from the first byte to the last. Where one
fails, the search goes on one byte later, so that a good record which a wrong length swallowed is still found.

What is reported depends on the bytes alone, never on how they were cut: a failed record or noise is reported when a
good record, its own end, or `NOISE` bytes have been reached.
"""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from drivers.driver import Problem, problem
from tidegate.clock import UNKNOWN, Arrival

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

SYNC = 0xA5
SEED = 0xB58C
NOISE = 4096
"""Endless noise is reported in pieces of this many bytes."""


class Candidates(NamedTuple):
    """Where records may begin, in order. `starts` are indices of the buffer; `sizes` are the bytes from there on that
    must be there to tell; `good` says that they are there and that the record is whole."""

    starts: Ints
    sizes: Ints
    good: Mask


Finder = Callable[[Bytes, int], Candidates]
"""(buffer, index of the first byte that may begin a record) -> candidates. What it says of a start may depend only on
the bytes of that record."""


class Records(NamedTuple):
    """Good records of one buffer, in order: indices of their first bytes, and their sizes."""

    starts: list[int]
    sizes: list[int]


def u16(data: Bytes, at: Ints) -> Ints:
    """The little-endian words at the indices `at`."""
    return data[at] | data[at + 1].astype(np.int64) << 8


def checksum(data: bytes) -> int:
    """Nortek's checksum; the last byte of an odd number counts as a high byte."""
    even = len(data) & ~1
    total = SEED + int(np.frombuffer(data, "<u2", even // 2).sum(dtype=np.int64))
    return (total + (data[-1] << 8 if len(data) & 1 else 0)) & 0xFFFF


def checksums(data: Bytes, starts: Ints, ends: Ints) -> Ints:
    """The checksum of each `data[start:end]`."""
    total = np.full(len(starts), SEED, np.int64)
    for parity in (0, 1):
        rows = np.flatnonzero(starts & 1 == parity)
        if len(rows):
            words = data[parity : len(data) - (len(data) - parity) % 2].view("<u2")
            sums = np.zeros(len(words) + 1, np.uint32)
            np.cumsum(words, dtype=np.uint32, out=sums[1:])
            first, last = (starts[rows] - parity) >> 1, (ends[rows] - parity) >> 1
            total[rows] += (sums[last] - sums[first]).astype(np.int64)
            odd = (ends[rows] - starts[rows]) & 1 == 1
            total[rows[odd]] += data[ends[rows][odd] - 1].astype(np.int64) << 8
    return total & 0xFFFF


@dataclass(slots=True)
class _Damage:
    """A failed record that is not reported yet, because a good one may still be found inside it."""

    kind: str
    message: str
    end: int


class Framer:
    """Finds the records of a stream. Offsets are absolute: counted from the first byte ever fed.

    `noise` is the message about bytes that are no record. Bytes from `_unreported` on are kept; those before `_judged`
    are known to begin no record.
    """

    def __init__(self, find: Finder, noise: str) -> None:
        self._find, self._noise = find, noise
        self._pieces: list[bytes] = []
        self._base = 0  # of the first byte kept
        self._end = 0  # of all bytes fed
        self._judged = 0
        self._unreported = 0
        self._needed = 0  # nothing can be decided before the stream is this long
        self._damage: _Damage | None = None
        self._starts: list[int] = []  # where the pieces began that are kept, and when these arrived
        self._arrivals: list[Arrival] = []
        self._problems: list[Problem] = []
        self.buffer = b""

    @property
    def base(self) -> int:
        """Offset of `buffer[0]`."""
        return self._base

    @property
    def arrivals(self) -> tuple[Ints, list[Arrival]]:
        """(offsets where the pieces began, when they arrived) of the bytes that are kept."""
        return np.array(self._starts, np.int64), self._arrivals

    def feed(self, data: bytes, at: Arrival) -> tuple[Records, list[Problem]] | None:
        """The records that `data` completed; None where it cannot have completed any."""
        if not self._arrivals or self._arrivals[-1] != at:
            self._starts.append(self._end)
            self._arrivals.append(at)
        self._pieces.append(data)
        self._end += len(data)
        return None if self._end < self._needed else self._search(final=False)

    def finish(self) -> tuple[Records, list[Problem]]:
        """What is left, judged as it stands."""
        return self._search(final=True)

    def forget(self) -> None:
        """Drops what needs to be kept no longer. The buffer's indices are void after it."""
        self._pieces = [self.buffer[self._unreported - self._base :]]
        self.buffer = b""
        self._base = self._unreported
        keep = max(bisect_right(self._starts, self._base) - 1, 0)
        del self._starts[:keep], self._arrivals[:keep]

    def arrival(self, offset: int) -> Arrival:
        """When the byte at `offset` arrived."""
        at = bisect_right(self._starts, offset) - 1
        return self._arrivals[at] if at >= 0 else UNKNOWN

    def _search(self, *, final: bool) -> tuple[Records, list[Problem]]:
        self.buffer = buffer = b"".join(self._pieces)
        good = Records([], [])
        self._problems = []
        waits_for = 0
        found = self._find(np.frombuffer(buffer, np.uint8), self._judged - self._base)
        judged = self._judged - self._base
        for start, size, whole in zip(*(column.tolist() for column in found), strict=True):
            if start < judged:
                continue
            offset = self._base + start
            if start + size > len(buffer):
                if not final:
                    waits_for = offset + size
                    judged = start
                    break
                if not self._in_damage(offset):
                    self._report(offset)
                    self._damage = _Damage("truncated", "the stream ends inside a record", self._end)
            elif not whole:
                if not self._in_damage(offset):
                    self._report(offset)
                    message = f"a record of {size} bytes whose checksum does not hold"
                    self._damage = _Damage("checksum", message, offset + size)
            else:
                self._report(offset)
                good.starts.append(start)
                good.sizes.append(size)
                judged = start + size
                self._unreported = offset + size
        self._judged = self._end if not waits_for else self._base + judged
        if final:
            self._report(self._end)
        elif self._damage and self._damage.end <= self._judged:
            self._report(self._damage.end)
        if not self._damage:
            self._report(self._judged - (self._judged - self._unreported) % NOISE)
        self._needed = waits_for
        return good, self._problems

    def _in_damage(self, offset: int) -> bool:
        """Whether this is but a false start within a record that already failed."""
        return self._damage is not None and offset < self._damage.end

    def _report(self, upto: int) -> None:
        """Makes Problems of the bytes from `_unreported` to `upto`."""
        if self._unreported >= upto:
            return
        if self._damage:
            end = min(self._damage.end, upto)
            self._add(self._damage.kind, self._damage.message, end)
            self._damage = None
        while self._unreported < upto:
            end = min(self._unreported + NOISE, upto)
            self._add("noise", f"{end - self._unreported} bytes that are {self._noise}", end)

    def _add(self, kind: str, message: str, end: int) -> None:
        start = self._unreported
        data = self.buffer[start - self._base : end - self._base]
        self._problems.append(problem(kind, message, start, data, self.arrival(start)))
        self._unreported = end
