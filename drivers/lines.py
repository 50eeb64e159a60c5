"""Cuts a stream of bytes into lines, for every driver whose instrument speaks in lines.

A `Lines` keeps the part of a line that has not ended yet and knows of every byte where in the stream it stood and
when it arrived. Lines end with LF or CR or both; empty ones are left out. A line that grows beyond `longest` is noise:
it is given up as a Problem and the search goes on at the next line's end, so memory and time stay bounded.

`feed` gives single lines. `feed_blocks` gives the same lines still joined, for drivers that parse many at once, and
`feed_pieces` takes many pieces at once, each with its own arrival (the stamped lines of a logger's file).
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from drivers.arrivals import Arrivals, Pieces
from drivers.driver import Problem, problem
from tidegate.clock import UNKNOWN, Arrival

_LINE = re.compile(rb"[^\r\n]+")
_END = re.compile(rb"[\r\n]")


class Line(NamedTuple):
    """One line without its end; `offset` of its first byte in the stream; `arrival` of that byte."""

    data: bytes
    offset: int
    arrival: Arrival


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines with their ends, as they stood in the stream.

    `offset` is that of the first byte. `starts` are the stream offsets (ascending) where the pieces began in which
    the bytes arrived, `arrivals` when each of these did.
    """

    data: bytes
    offset: int
    starts: list[int]
    arrivals: list[Arrival] | Arrivals

    def arrival(self, offset: int) -> Arrival:
        """When the byte at `offset` of the stream arrived."""
        at = bisect_right(self.starts, offset) - 1
        return self.arrivals[at] if at >= 0 else UNKNOWN

    def arrivals_of(self, offsets: Sequence[int]) -> Arrivals:
        """When the bytes at the offsets arrived; they are of this block."""
        places = np.searchsorted(self.starts, offsets, "right") - 1
        return Arrivals.of(self.arrivals).take(places)

    def lines(self) -> Iterator[Line]:
        """The lines one by one."""
        for match in _LINE.finditer(self.data):
            offset = self.offset + match.start()
            yield Line(match.group(), offset, self.arrival(offset))


class Lines:
    """The framer: `feed` (or `feed_blocks`) gives the lines that ended, `finish` the one that never did."""

    def __init__(self, longest: int = 4096) -> None:
        self._longest = longest
        self._pending = b""
        self._offset = 0  # of the first pending byte
        self._starts: list[int] = []  # offsets where the pieces began of which bytes are still pending
        self._arrivals: list[Arrival] = []
        self._dropping = False  # inside an overlong line, until its end

    def feed(self, data: bytes, at: Arrival) -> tuple[list[Line], list[Problem]]:
        """The lines that `data` completed and the noise that it proved to be noise, each in the stream's order."""
        lines: list[Line] = []
        problems: list[Problem] = []
        for part in self.feed_blocks(data, at):
            if isinstance(part, Problem):
                problems.append(part)
            else:
                lines.extend(part.lines())
        return lines, problems

    def feed_blocks(self, data: bytes, at: Arrival) -> list[Block | Problem]:
        """What `data` completed, in the stream's order: lines in as few Blocks as there are, and noise."""
        if not data:
            return []
        self._starts.append(self._offset + len(self._pending))
        self._arrivals.append(at)
        parts = self._take(data, self._starts, self._arrivals)
        kept = self._pieces_pending(self._starts)
        if kept:  # new lists: a Block may hold these
            self._starts, self._arrivals = self._starts[kept:], self._arrivals[kept:]
        return parts

    def feed_pieces(self, pieces: Sequence[tuple[bytes, Arrival]]) -> list[Block | Problem]:
        """As `feed_blocks` of each piece in turn, with the lines of all joined to as few Blocks as there are."""
        whole = Pieces.of(pieces)
        if not whole.data:
            return []
        begins = whole.starts + (self._offset + len(self._pending))
        starts = self._starts + begins.tolist()
        arrivals = Arrivals.of(self._arrivals) + whole.arrivals if self._arrivals else whole.arrivals
        parts = self._take(whole.data, starts, arrivals)
        kept = self._pieces_pending(starts)
        self._starts, self._arrivals = starts[kept:], [arrivals[i] for i in range(kept, len(starts))]
        return parts

    def _take(self, data: bytes, starts: list[int], arrivals: list[Arrival] | Arrivals) -> list[Block | Problem]:
        """Appends `data` to what is pending and gives what has ended; `starts` and `arrivals` are of all of it."""
        cut = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        if cut:
            ended = self._pending + data[:cut]
            parts = self._split(Block(ended, self._offset, starts, arrivals))
            self._offset += len(ended)
            self._pending = data[cut:]
        else:
            parts = []
            self._pending += data
        if len(self._pending) > self._longest:
            if not self._dropping:
                parts.append(self._overlong(Block(self._pending, self._offset, starts, arrivals)))
            self._dropping = True
            self._offset += len(self._pending)
            self._pending = b""
        return parts

    def finish(self) -> Line | None:
        """What is left without an end; the buffer is then empty."""
        rest = None
        if self._pending and not self._dropping:
            rest = Line(self._pending, self._offset, self._arrivals[0])
        self._offset += len(self._pending)
        self._pending, self._starts, self._arrivals, self._dropping = b"", [], [], False
        return rest

    def _split(self, ended: Block) -> list[Block | Problem]:
        """Lines with the overlong ones taken out; `ended` ends where a line does."""
        data, offset, start = ended.data, ended.offset, 0
        if self._dropping:
            # The rest of a line already reported: nothing of it is left to say.
            end = _END.search(data)
            start = end.start() if end else len(data)
            self._dropping = False
        parts: list[Block | Problem] = []
        for low, high in self._overlong_lines(data, start):
            parts.append(replace(ended, data=data[start:low], offset=offset + start))
            parts.append(self._overlong(replace(ended, data=data[low:high], offset=offset + low)))
            start = high
        parts.append(replace(ended, data=data[start:], offset=offset + start) if start else ended)
        return [part for part in parts if isinstance(part, Problem) or part.data.strip(b"\r\n")]

    def _overlong_lines(self, ended: bytes, start: int) -> list[tuple[int, int]]:
        if len(ended) - start <= self._longest:
            return []
        octets = np.frombuffer(ended, np.uint8)
        ends = np.flatnonzero((octets == 10) | (octets == 13))
        ends = ends[ends >= start]
        begins = np.concatenate(([start], ends[:-1] + 1))
        long = ends - begins > self._longest
        return list(zip(begins[long].tolist(), ends[long].tolist(), strict=True))

    def _overlong(self, line: Block) -> Problem:
        message = f"more than {self._longest} bytes without an end of line: check baud rate, parity and wiring"
        return problem("noise", message, line.offset, line.data[: self._longest], line.arrival(line.offset))

    def _pieces_pending(self, starts: list[int]) -> int:
        """How many of the pieces that begin at `starts` have no byte pending."""
        return max(bisect_right(starts, self._offset) - 1, 0) if self._pending else len(starts)
