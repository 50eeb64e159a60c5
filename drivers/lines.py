"""Cuts a stream of bytes into lines, for every driver whose instrument speaks in lines.

A `Lines` keeps the part of a line that has not ended yet and knows of each line where in the stream it began and
when its first byte arrived. Lines end with LF or CR or both; empty ones are left out. A line that grows beyond
`longest` is noise: it is given up as a Problem and the search goes on at the next line's end, so memory and time
stay bounded.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass

from drivers.driver import Problem, problem
from tidegate.clock import UNKNOWN, Arrival

_LINE = re.compile(rb"[^\r\n]+")


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its end; `offset` of its first byte in the stream; `arrival` of that byte."""

    data: bytes
    offset: int
    arrival: Arrival


class Lines:
    """The framer: `feed` gives the lines that ended, `finish` the one that never did."""

    def __init__(self, longest: int = 4096) -> None:
        self._longest = longest
        self._pending = b""
        self._offset = 0  # of the first pending byte
        self._pieces: list[tuple[int, Arrival]] = []  # (offset of the first byte, arrival) of each piece still pending
        self._dropping = False  # inside an overlong line, until its end

    def feed(self, data: bytes, at: Arrival) -> tuple[list[Line], list[Problem]]:
        """The lines that `data` completed and the noise that it proved to be noise, each in the stream's order."""
        if not data:
            return [], []
        self._pieces.append((self._offset + len(self._pending), at))
        buffer = self._pending + data
        cut = max(buffer.rfind(b"\n"), buffer.rfind(b"\r")) + 1
        lines, problems = self._split(buffer[:cut]) if cut else ([], [])
        self._pending = buffer[cut:]
        self._offset += cut
        if len(self._pending) > self._longest:
            if not self._dropping:
                problems.append(self._overlong(self._pending, self._offset))
            self._dropping = True
            self._offset += len(self._pending)
            self._pending = b""
        self._forget_pieces()
        return lines, problems

    def finish(self) -> Line | None:
        """What is left without an end; the buffer is then empty."""
        rest = None
        if self._pending and not self._dropping:
            rest = Line(self._pending, self._offset, self._arrival(self._offset))
        self._offset += len(self._pending)
        self._pending, self._pieces, self._dropping = b"", [], False
        return rest

    def _split(self, ended: bytes) -> tuple[list[Line], list[Problem]]:
        lines: list[Line] = []
        problems: list[Problem] = []
        start = 0
        if self._dropping:
            # The end of a line already reported; nothing of it is left to say.
            start = re.search(rb"[\r\n]", ended).start()  # type: ignore[union-attr]
            self._dropping = False
        for match in _LINE.finditer(ended, start):
            offset = self._offset + match.start()
            if match.end() - match.start() > self._longest:
                problems.append(self._overlong(match.group(), offset))
            else:
                lines.append(Line(match.group(), offset, self._arrival(offset)))
        return lines, problems

    def _overlong(self, data: bytes, offset: int) -> Problem:
        message = f"more than {self._longest} bytes without an end of line: check baud rate, parity and wiring"
        return problem("noise", message, offset, data[: self._longest], self._arrival(offset))

    def _arrival(self, offset: int) -> Arrival:
        at = bisect_right(self._pieces, offset, key=lambda piece: piece[0]) - 1
        return self._pieces[at][1] if at >= 0 else UNKNOWN

    def _forget_pieces(self) -> None:
        if not self._pending:
            self._pieces.clear()
        else:
            at = bisect_right(self._pieces, self._offset, key=lambda piece: piece[0]) - 1
            del self._pieces[: max(at, 0)]
