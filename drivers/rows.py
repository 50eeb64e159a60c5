"""The way from lines to Frames, for drivers that read an instrument line by line.

Theory of operation. Each line is read on its own (`_read`) and is one of three things: a `Row` (a sample as it stands
in the stream, its values still text), a complaint (why it is refused), or None (conversation, nothing to tell).
Consecutive rows of one form wait until something else comes, and are then converted together (`_convert`) to arrays
and given as one Frame, cut only where `Frame.follows` demands it.
"""

import re
from abc import abstractmethod
from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import ClassVar, NamedTuple

import numpy as np

from drivers.arrivals import Arrivals
from drivers.columns import Floats, implausible
from drivers.driver import Decoded, Driver, DriverSettings, Problem, problem
from drivers.lines import Block, Line, Lines
from tidegate.clock import Arrival, TimeSource
from tidegate.frame import Column, Frame, Reasons, Schema, Times


class Row(NamedTuple):
    """A sample in the stream; rows of one `form` are converted together."""

    form: Hashable
    values: tuple[bytes, ...]
    line: Line


class Samples(NamedTuple):
    """Converted rows, or one row that holds many samples; `time` is None where they carry none."""

    schema: Schema
    time: Times | None
    columns: dict[str, Column]
    reasons: dict[str, Reasons]


Complaint = tuple[str, str]
"""(kind, message) of a Problem."""


class RowDriver(Driver):
    """A driver that reads lines. A subclass reads one line and converts many rows."""

    longest: ClassVar[int] = 4096
    """Bytes of the longest line."""

    def __init__(self, instrument: str, settings: DriverSettings | None = None) -> None:
        super().__init__(instrument, settings)
        self._lines = Lines(self.longest)
        self._rows: list[Row] = []
        self._decoded: list[Decoded] = []
        self._renew()

    def _renew(self) -> None:
        """Forgets what belongs to the stream that is over (or that has not begun)."""

    @abstractmethod
    def _read(self, line: Line) -> Row | Complaint | None:
        """What a line is. It may call `_flush` before it changes what `_convert` depends on."""

    @abstractmethod
    def _convert(self, rows: Sequence[Row]) -> Samples:
        """Rows of one form as arrays."""

    @abstractmethod
    def _is_whole(self, data: bytes) -> bool:
        """Whether a last line without an end cannot be the head of a longer one (or is not worth a word)."""

    def feed(self, data: bytes, at: Arrival) -> list[Decoded]:
        """See `Driver.feed`."""
        return self._decode(self._lines.feed_blocks(data, at))

    def feed_all(self, pieces: Sequence[tuple[bytes, Arrival]]) -> list[Decoded]:
        """See `Driver.feed_all`."""
        return self._decode(self._lines.feed_pieces(pieces))

    def finish(self) -> list[Decoded]:
        """See `Driver.finish`. A last line without its end is `truncated` where a value of it may be cut off."""
        rest = self._lines.finish()
        if rest is not None:
            if self._is_whole(rest.data):
                self._take(rest)
            else:
                self._refuse("truncated", "the stream ended inside this line", rest)
        self._flush()
        self._end()
        self._renew()
        return self._given()

    def _end(self) -> None:
        """The stream is over: what is unfinished becomes a Problem (by `_refuse`)."""

    def _decode(self, parts: list[Block | Problem]) -> list[Decoded]:
        for part in parts:
            if isinstance(part, Block):
                for line in part.lines():
                    self._take(line)
            else:
                self._flush()
                self._decoded.append(part)
        self._flush()
        return self._given()

    def _given(self) -> list[Decoded]:
        decoded, self._decoded = self._decoded, []
        return decoded

    def _take(self, line: Line) -> None:
        found = self._read(line)
        if isinstance(found, Row):
            if self._rows and self._rows[-1].form != found.form:
                self._flush()
            self._rows.append(found)
        elif found is not None:
            self._refuse(*found, line)

    def _refuse(self, kind: str, message: str, line: Line) -> None:
        """Gives a Problem about the line, in its place."""
        self._flush()
        self._decoded.append(problem(kind, message, line.offset, line.data, line.arrival))

    def _flush(self) -> None:
        """Gives the rows that wait, as Frames and the Problems of their values."""
        if self._rows:
            rows, self._rows = self._rows, []
            self._emit(self._convert(rows), [row.line for row in rows])

    def _emit(self, samples: Samples, lines: Sequence[Line]) -> None:
        """Gives the samples; `lines` has the line of each."""
        schema, time, columns, reasons = samples
        source = TimeSource.ARRIVAL if time is None else TimeSource.INSTRUMENT
        arrivals = Arrivals.of([line.arrival for line in lines])
        if time is None:
            time = arrivals.utc_ns
        doubts = implausible(schema, columns, reasons)
        cuts = (np.flatnonzero(arrivals.breaks()) + 1).tolist()
        for start, end in pairwise([0, *cuts, len(lines)]):
            part = slice(start, end)
            self._decoded.append(
                Frame(
                    self.instrument,
                    schema,
                    time[part],
                    {name: column[part] for name, column in columns.items()},
                    source,
                    lines[start].arrival,
                    {name: codes[part] for name, codes in reasons.items()},
                )
            )
            for at in sorted(row for row in doubts if start <= row < end):
                line, message = lines[at], "; ".join(doubts[at])
                self._decoded.append(problem("implausible", message, line.offset, line.data, line.arrival))


NO_TEXT = re.compile(rb"[^ -~\t]")
"""A byte that no line of text has."""
NOISE = "bytes that are no text: noise on the line, or another baud rate or parity"


def numbers(rows: Sequence[Row]) -> Floats:
    """(n, values) the values of rows of one form, all of them decimal numbers."""
    result: Floats = np.array([row.values for row in rows]).astype(np.float64)
    return result
