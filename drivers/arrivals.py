"""Bytes that arrived piece by piece, and when each piece did, in columns: for logs whose every line has its own stamp.

A driver that is fed thousands of stamped lines at once (`Driver.feed_all`) must not make an object for each. `Pieces`
is the sequence of `(bytes, Arrival)` that `feed_all` takes, and holds it as one string of bytes with arrays beside it;
`Arrivals` are the moments as arrays, each read as an `Arrival` where one is asked for.
"""

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from tidegate.clock import NAT, Arrival

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_STEP_NS = 10_000_000  # the wall clock's step that ends a Frame, as in `Frame.follows`


class Arrivals:
    """`n` arrivals: `utc_ns` (n,), `monotonic_ns` (n,) and `clock` (n,), which counts in `clocks`, the pairs of boot
    and whether the clock was disciplined."""

    __slots__ = ("clock", "clocks", "monotonic_ns", "utc_ns")

    def __init__(self, utc_ns: Ints, monotonic_ns: Ints, clock: Ints, clocks: tuple[tuple[str, bool], ...]) -> None:
        self.utc_ns, self.monotonic_ns, self.clock, self.clocks = utc_ns, monotonic_ns, clock, clocks

    @classmethod
    def of(cls, arrivals: "Sequence[Arrival] | Arrivals") -> "Arrivals":
        """The same in columns."""
        if isinstance(arrivals, Arrivals):
            return arrivals
        known: dict[tuple[str, bool], int] = {}
        clock = [known.setdefault((at.boot, at.disciplined), len(known)) for at in arrivals]
        utc_ns = np.array([at.utc_ns for at in arrivals], np.int64)
        monotonic_ns = np.array([at.monotonic_ns for at in arrivals], np.int64)
        return cls(utc_ns, monotonic_ns, np.array(clock, np.int64), tuple(known))

    @classmethod
    def stamped(cls, utc_ns: Ints) -> "Arrivals":
        """Those that a logger noted: UTC (n,), `NAT` where it noted none, and nothing of a boot."""
        none = np.zeros(len(utc_ns), np.int64)
        return cls(utc_ns, none, none, (("", False),))

    def __len__(self) -> int:
        return len(self.utc_ns)

    def __getitem__(self, i: int) -> Arrival:
        boot, disciplined = self.clocks[self.clock[i]]
        return Arrival(int(self.utc_ns[i]), int(self.monotonic_ns[i]), boot, disciplined)

    def take(self, rows: Any) -> "Arrivals":
        """Those at `rows`: a slice, a mask or indices."""
        return Arrivals(self.utc_ns[rows], self.monotonic_ns[rows], self.clock[rows], self.clocks)

    def __add__(self, later: "Arrivals") -> "Arrivals":
        clocks, clock = self.clocks, later.clock
        if later.clocks != clocks:
            known = {key: i for i, key in enumerate(clocks)}
            clock = np.array([known.setdefault(key, len(known)) for key in later.clocks], np.int64)[clock]
            clocks = tuple(known)
        return Arrivals(
            np.concatenate((self.utc_ns, later.utc_ns)),
            np.concatenate((self.monotonic_ns, later.monotonic_ns)),
            np.concatenate((self.clock, clock)),
            clocks,
        )

    def breaks(self) -> Bools:
        """(n - 1,): whether samples of an arrival and of the one before it may not share a Frame, as `Frame.follows`
        sees it."""
        stepped: Bools = np.abs(_steps(self.utc_ns - self.monotonic_ns)) > _STEP_NS
        if len(self.clocks) == 1:
            return stepped if self.clocks[0][0] else np.zeros_like(stepped)
        of_boot = np.array([bool(boot) for boot, _ in self.clocks], np.bool_)[self.clock[1:]]
        broken: Bools = (_steps(self.clock) != 0) | (of_boot & stepped)
        return broken

    def stretches(self) -> Ints:
        """(n,): a number that is greater than that of the arrival before where their samples may not share a Frame."""
        numbers: Ints = np.concatenate((np.zeros(1, np.int64), np.cumsum(self.breaks(), dtype=np.int64)))[: len(self)]
        return numbers

    def elapsed_ns(self) -> Ints:
        """(n - 1,): what passed between an arrival and the one before it, 0 where that is not known."""
        if len(self.clocks) == 1 and self.clocks[0][0]:
            return np.maximum(_steps(self.monotonic_ns), 0)
        boots = [boot for boot, _ in self.clocks]
        boot = np.array([boots.index(b) if b else -1 for b in boots], np.int64)[self.clock]
        same = (boot[1:] == boot[:-1]) & (boot[1:] >= 0)
        known = (self.utc_ns[1:] != NAT) & (self.utc_ns[:-1] != NAT)
        by_utc = np.where(known, _steps(self.utc_ns), 0)
        return np.maximum(np.where(same, _steps(self.monotonic_ns), by_utc), 0)

    def trusted_ns(self) -> Ints:
        """(n,): UTC where the clock was disciplined or a logger's (of no boot), else `NAT`."""
        trusted = np.array([disciplined or not boot for boot, disciplined in self.clocks], np.bool_)[self.clock]
        return np.where(trusted, self.utc_ns, NAT)


def _steps(values: Ints) -> Ints:
    return values[1:] - values[:-1]


class Pieces(Sequence[tuple[bytes, Arrival]]):
    """Pieces of a stream, none of them empty, in the order they arrived.

    `data` is all of them joined, `starts` (n,) where in it each begins, `arrivals` when each came.
    """

    __slots__ = ("arrivals", "data", "starts")

    def __init__(self, data: bytes, starts: Ints, arrivals: Arrivals) -> None:
        self.data, self.starts, self.arrivals = data, starts, arrivals

    @classmethod
    def of(cls, pieces: Sequence[tuple[bytes, Arrival]]) -> "Pieces":
        """The same in columns, without the empty ones."""
        if isinstance(pieces, Pieces):
            return pieces
        full = [piece for piece in pieces if piece[0]]
        ends = np.cumsum(np.array([0, *(len(data) for data, _ in full)], np.int64))
        return cls(b"".join(data for data, _ in full), ends[:-1], Arrivals.of([at for _, at in full]))

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, i: int) -> tuple[bytes, Arrival]: ...
    @overload
    def __getitem__(self, i: slice) -> list[tuple[bytes, Arrival]]: ...
    def __getitem__(self, i: int | slice) -> tuple[bytes, Arrival] | list[tuple[bytes, Arrival]]:
        if isinstance(i, slice):
            return [self[k] for k in range(*i.indices(len(self)))]
        k = range(len(self))[i]
        end = int(self.starts[k + 1]) if k + 1 < len(self) else len(self.data)
        return self.data[int(self.starts[k]) : end], self.arrivals[k]

    def blocks(self, size: int) -> "Iterator[Pieces]":
        """The same bytes in blocks of `size` bytes, the last one shorter; a piece may be cut."""
        if len(self.data) <= size:
            yield self
            return
        for begin in range(0, len(self.data), size):
            first = int(self.starts.searchsorted(begin, "right")) - 1
            rows = slice(first, int(self.starts.searchsorted(begin + size)))
            starts = np.maximum(self.starts[rows] - begin, 0)
            yield Pieces(self.data[begin : begin + size], starts, self.arrivals.take(rows))
