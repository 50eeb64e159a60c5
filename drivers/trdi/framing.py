"""Finds PD0 ensembles in a stream of bytes: binary, or written as hexadecimal digits, whatever stands between them.

Theory of operation. An ensemble begins with 7F 7F and its length, holds a table of offsets to typed blocks, and ends
with the sum of all its bytes modulo 65536 (manuals that say 65535 are wrong). Three things decide that bytes are an
ensemble: a header that can be one, the checksum, and leaders in the places that the header gives. Framing goes from
the first byte to the last: where 7F 7F is not the start of an ensemble, the search goes on one byte later, so an
ensemble that a wrong length swallowed is still found. Running sums over the buffer make every checksum one
subtraction, so that hostile bytes cost no more than honest ones. A header that cannot be one is given up as soon as
that can be seen, so that a damaged length does not hold back what follows.

An ensemble in hexadecimal ("Hex-ASCII") is the same bytes as digits, in lines of any length. A run of digits and line
ends that holds the digits 7F7F is read as bytes, in both phases, and judged by the same rules.

A packet of waves data begins with 7F 79 and is framed as an ensemble is; it is recognised, so that it is no noise.
"""

import re
from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from drivers.driver import Problem, problem
from tidegate.clock import UNKNOWN, Arrival

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

NOISE = 4096
"""Endless noise is reported in pieces of this many bytes."""
FIXED_SIZE, VARIABLE_SIZE = 34, 28
"""The least sizes of a fixed and of a variable leader."""

_SYNC, _WAVES = 0x7F, 0x79
_BYTES_PER_CELL = {0x0100: 8, 0x0200: 4, 0x0300: 4, 0x0400: 4, 0x0500: 4}
# What may stand behind the last cell: spare bytes of the instrument, or the navigation block of VmDas, which it
# appends without telling the table.
_MOST_PADDING = 160

_HEX_SYNC = re.compile(rb"7(?=[\r\n]{0,4}[Ff][\r\n]{0,4}7[\r\n]{0,4}[Ff9])")
_HEX_SYNC_BEGUN = re.compile(rb"7[\r\n]{0,4}(?:[Ff][\r\n]{0,4}(?:7[\r\n]{0,4})?)?\Z")
_HEX_RUN = re.compile(rb"[0-9A-Fa-f\r\n]+")
_LINE_ENDS = re.compile(rb"[\r\n]*")
_NIBBLES = np.full(256, 255, np.uint8)
for _digit in b"0123456789ABCDEFabcdef":
    _NIBBLES[_digit] = int(chr(_digit), 16)


class Layout(NamedTuple):
    """The offset table of a header."""

    size: int
    """Bytes of the ensemble without its checksum."""
    offsets: tuple[int, ...]
    waves: bool = False
    """A packet of waves data and no ensemble."""


def _layout(head: bytes) -> Layout | None:
    """The table in a header (from 7F 7F to the last offset); None where no ensemble can have such a header."""
    words = np.frombuffer(head, "<u2")
    size, offsets, waves = int(words[1]), tuple(words[3:].tolist()), head[1] == _WAVES
    increasing = all(a < b for a, b in pairwise(offsets))
    if not increasing or offsets[-1] + 2 > size:
        return None
    if not waves and (
        offsets[1] - offsets[0] < FIXED_SIZE or (offsets[2] if len(offsets) > 2 else size) - offsets[1] < VARIABLE_SIZE
    ):
        return None
    return Layout(size, offsets, waves)


@dataclass(slots=True)
class _Damage:
    """A failed ensemble that is not reported yet, because a good one may still be found inside it."""

    kind: str
    message: str
    end: int


class Ensembles(NamedTuple):
    """Good ensembles, in the stream's order: `starts` are indices of `data`, `offsets` and `sizes` say where in the
    stream they stand and how many bytes they take there."""

    starts: list[int]
    layouts: list[Layout]
    offsets: list[int]
    sizes: list[int]
    data: Bytes


class _Candidate(NamedTuple):
    """What may start an ensemble: `at` in the buffer, and whether its checksum is good. In hexadecimal it is
    `octets[index]` of a run."""

    at: int
    good: bool = False
    run: "_Run | None" = None
    digit: int = 0


class _Run:
    """Hexadecimal digits with nothing but line ends between them, as bytes in both phases."""

    def __init__(self, buffer: bytes, start: int, end: int) -> None:
        octets = np.frombuffer(buffer, np.uint8, end - start, start)
        nibbles = _NIBBLES[octets]
        at = np.flatnonzero(nibbles != 255)
        nibbles = nibbles[at]
        self.start, self.end, self.open = start, end, end == len(buffer)
        self.positions: list[int] = (at + start).tolist()
        self.octets: list[bytes] = []
        self._sums: list[npt.NDArray[np.uint32]] = []
        for phase in (0, 1):
            digits = nibbles[phase:]
            pairs = digits[: len(digits) // 2 * 2].reshape(-1, 2)
            values = (pairs[:, 0] << 4) | pairs[:, 1]
            self.octets.append(values.tobytes())
            sums = np.zeros(len(values) + 1, np.uint32)
            np.cumsum(values, dtype=np.uint32, out=sums[1:])
            self._sums.append(sums)

    def good(self, phase: int, index: int) -> bool:
        """Whether a checksum ends what begins at `octets[phase][index]`, of the length that it gives."""
        octets, sums = self.octets[phase], self._sums[phase]
        if index + 8 > len(octets):
            return False
        end = index + (octets[index + 2] | octets[index + 3] << 8)
        if end + 2 > len(octets) or end < index + 8:
            return False
        return (int(sums[end]) - int(sums[index])) & 0xFFFF == octets[end] | octets[end + 1] << 8

    def stream(self, phase: int, index: int) -> int:
        """Where in the buffer `octets[phase][:index]` have ended."""
        digit = phase + 2 * index - 1
        return self.positions[digit] + 1 if digit < len(self.positions) else self.end


class Framer:
    """Finds the ensembles in a stream. Offsets are absolute: counted from the first byte ever fed.

    Bytes from `_unreported` on are kept; those before `_judged` are known to start no ensemble. A failed ensemble, or
    noise, is reported when a good ensemble, its own end, or `NOISE` bytes have been reached, so that what is reported
    depends on the bytes alone and not on how they were cut.
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._base = 0  # of the first byte kept
        self._end = 0  # of all bytes fed
        self._judged = 0
        self._unreported = 0
        self._needed = 0  # nothing can be decided before the stream is this long
        self._damage: _Damage | None = None
        self._line_ends = False  # those behind a hexadecimal ensemble are no noise
        self._waves_told = False
        self._arrivals: list[tuple[int, Arrival]] = []
        self._layouts: dict[bytes, Layout | None] = {}
        self._problems: list[Problem] = []
        self._buffer = b""

    def feed(self, data: bytes, at: Arrival) -> tuple[Ensembles, list[Problem]] | None:
        """The ensembles that `data` completed; None where it cannot have completed any."""
        if not self._arrivals or self._arrivals[-1][1] != at:
            self._arrivals.append((self._end, at))
        self._pieces.append(data)
        self._end += len(data)
        return None if self._end < self._needed else self._search(final=False)

    def finish(self) -> tuple[Ensembles, list[Problem]]:
        """What is left, judged as it stands."""
        found = self._search(final=True)
        self._waves_told = False
        return found

    def forget(self) -> None:
        """Drops what needs to be kept no longer."""
        self._pieces = [self._buffer[self._unreported - self._base :]]
        self._buffer = b""
        self._base = self._unreported
        keep = 0
        while keep + 1 < len(self._arrivals) and self._arrivals[keep + 1][0] <= self._base:
            keep += 1
        del self._arrivals[:keep]

    def bytes_at(self, offset: int, size: int) -> bytes:
        """Bytes of the stream that are still kept."""
        return self._buffer[offset - self._base : offset - self._base + size]

    def arrival(self, offset: int) -> Arrival:
        """When the byte at `offset` arrived."""
        found = UNKNOWN
        for start, at in self._arrivals:
            if start > offset:
                break
            found = at
        return found

    def arrivals(self, offsets: Ints) -> tuple[Ints, list[Arrival]]:
        """(index into the list for each offset, arrivals of the pieces that are kept)."""
        starts = np.array([start for start, _ in self._arrivals], np.int64)
        return np.searchsorted(starts, offsets, side="right") - 1, [at for _, at in self._arrivals]

    def _search(self, *, final: bool) -> tuple[Ensembles, list[Problem]]:
        self._buffer = buffer = b"".join(self._pieces)
        starts: list[int] = []
        layouts: list[Layout] = []
        offsets: list[int] = []
        sizes: list[int] = []
        written: list[bytes] = []  # the ensembles in hexadecimal, as bytes; they go behind the buffer
        extra = len(buffer)
        self._problems = []
        waits_for = 0
        for candidate in self._candidates(buffer):
            offset = self._base + candidate.at
            if offset < self._judged:
                continue
            run, good = candidate.run, candidate.good
            if run is None:
                verdict = self._judge(buffer, candidate.at)
                end = offset + verdict.size + 2 if isinstance(verdict, Layout) else 0
            else:
                phase, index = candidate.digit % 2, candidate.digit // 2
                octets = run.octets[phase]
                verdict = self._judge(octets, index)
                if isinstance(verdict, int):
                    if not run.open:
                        if not self._in_damage(offset):
                            self._report(offset)
                            message = "the digits of an ensemble in hexadecimal stop before its end"
                            self._damage = _Damage("truncated", message, self._base + run.end)
                        continue
                    verdict = len(buffer) + 2 * (verdict - len(octets)) - (len(run.positions) - phase) % 2
                elif isinstance(verdict, Layout):
                    end = self._base + run.stream(phase, index + verdict.size + 2)
                    good = run.good(phase, index)
            if verdict is None:
                continue
            if isinstance(verdict, int):
                # More bytes are needed to tell what it is.
                if not final:
                    waits_for = self._base + verdict
                    self._judged = offset
                    break
                if not self._in_damage(offset):
                    self._report(offset)
                    self._damage = _Damage("truncated", "the stream ends inside an ensemble", self._end)
            elif not good:
                if not self._in_damage(offset):
                    self._report(offset)
                    message = (
                        _checksum_message(buffer, candidate.at, verdict)
                        if run is None
                        else _checksum_message(octets, index, verdict)
                    )
                    self._damage = _Damage("checksum", message, end)
            else:
                self._report(offset)
                if verdict.waves:
                    self._tell_of_waves(offset, end - offset)
                else:
                    if run is None:
                        starts.append(candidate.at)
                    else:
                        starts.append(extra)
                        written.append(octets[index : index + verdict.size + 2])
                        extra += verdict.size + 2
                    layouts.append(verdict)
                    offsets.append(offset)
                    sizes.append(end - offset)
                self._judged = self._unreported = end
                self._line_ends = run is not None
        if not waits_for:
            self._judged = max(self._judged, self._end - (0 if final else _sync_begun(buffer)))
        if final:
            self._report(self._end)
        elif self._damage and self._damage.end <= self._judged:
            self._report(self._damage.end)
        if not self._damage:
            self._report(self._judged - (self._judged - self._unreported) % NOISE)
        self._needed = waits_for
        data = np.frombuffer(b"".join([buffer, *written]) if written else buffer, np.uint8)
        return Ensembles(starts, layouts, offsets, sizes, data), self._problems

    def _candidates(self, buffer: bytes) -> list[_Candidate]:
        """Everything that may start an ensemble, and every 7F 7F too near to the end of the buffer to tell."""
        data = np.frombuffer(buffer, np.uint8)
        first = self._judged - self._base
        starts = np.flatnonzero(data[first:-1] == _SYNC) + first
        second = data[starts + 1]
        starts = starts[(second == _SYNC) | (second == _WAVES)]
        told = starts[starts + 8 <= len(data)]
        types = data[told + 5].astype(np.int64)
        size = _u16(data, told + 2)
        waves = data[told + 1] == _WAVES
        likely = (types >= np.where(waves, 1, 2)) & (_u16(data, told + 6) == 6 + 2 * types) & (size >= 6 + 2 * types)
        told, size = told[likely], size[likely]
        checked = told + size + 2 <= len(data)
        good = np.zeros(len(told), np.bool_)
        if checked.any():
            at, end = told[checked], (told + size)[checked]
            sums = np.zeros(len(data) - first + 1, np.uint32)
            np.cumsum(data[first:], dtype=np.uint32, out=sums[1:])
            good[checked] = ((sums[end - first] - sums[at - first]) & 0xFFFF) == _u16(data, end)
        found = [_Candidate(at, fine) for at, fine in zip(told.tolist(), good.tolist(), strict=True)]
        found += [_Candidate(start) for start in starts[starts + 8 > len(data)].tolist()]
        written = self._written_candidates(buffer, first)
        return sorted(found + written, key=lambda candidate: candidate.at) if written else found

    @staticmethod
    def _written_candidates(buffer: bytes, first: int) -> list[_Candidate]:
        found: list[_Candidate] = []
        run: _Run | None = None
        for match in _HEX_SYNC.finditer(buffer, first):
            start = match.start()
            if run is None or start >= run.end:
                whole = _HEX_RUN.match(buffer, start)
                assert whole is not None  # it matches at least the digit that was found
                run = _Run(buffer, start, whole.end())
            found.append(_Candidate(start, False, run, bisect_left(run.positions, start)))
        return found

    def _judge(self, octets: bytes, start: int) -> Layout | int | None:
        """The layout of the ensemble that `start` begins; None where it can begin none; the least length of `octets`
        at which more can be said. All three depend on the bytes of that ensemble alone."""
        if len(octets) < start + 8:
            return start + 8
        types = octets[start + 5]
        head_end = start + 6 + 2 * types
        waves = octets[start + 1] == _WAVES
        size = octets[start + 2] | octets[start + 3] << 8
        # The first block stands right behind the table.
        if types < (1 if waves else 2) or octets[start + 6] | octets[start + 7] << 8 != 6 + 2 * types:
            return None
        if size < 6 + 2 * types:
            return None
        if len(octets) < head_end:
            return head_end
        head = octets[start:head_end]
        try:
            layout = self._layouts[head]
        except KeyError:
            if len(self._layouts) >= 1024:
                self._layouts.clear()
            layout = self._layouts[head] = _layout(head)
        if layout is None:
            return None
        last = start + layout.offsets[-1]
        if layout.waves:
            if len(octets) < head_end + 2:
                return head_end + 2
            if octets[head_end] != 3 or octets[head_end + 1] > 4:  # 0103, 0203, 0303, 0403
                return None
        else:
            if len(octets) < last + 2:
                return last + 2
            fixed, second = start + layout.offsets[0], start + layout.offsets[1]
            # An ensemble with two profiles has two fixed leaders, then two variable ones.
            variable = layout.offsets[2:4] if octets[second : second + 2] == b"\x01\x00" else layout.offsets[1:3]
            if not variable or (variable[1] if len(variable) > 1 else layout.size) - variable[0] < VARIABLE_SIZE:
                return None
            leader = start + variable[0]
            if octets[fixed : fixed + 2] != b"\x00\x00" or octets[leader : leader + 2] != b"\x80\x00":
                return None
            # A profile block's size is known, so here a wrong length of the whole shows before all of it has come.
            per_cell = _BYTES_PER_CELL.get(octets[last] | octets[last + 1] << 8)
            if per_cell:
                padding = start + layout.size - last - 2 - per_cell * octets[fixed + 9]
                if not 0 <= padding <= _MOST_PADDING:
                    return None
        end = start + layout.size + 2
        return layout if end <= len(octets) else end

    def _tell_of_waves(self, offset: int, size: int) -> None:
        if not self._waves_told:
            self._waves_told = True
            message = "packets of waves data (7F79) stand between the ensembles; they stay in the raw log"
            data = self.bytes_at(offset, size)
            self._problems.append(problem("unknown", message, offset, data, self.arrival(offset)))

    def _in_damage(self, offset: int) -> bool:
        """Whether this is but a false start within an ensemble that already failed."""
        return self._damage is not None and offset < self._damage.end

    def _report(self, upto: int) -> None:
        """Makes Problems of the bytes from `_unreported` to `upto`."""
        if self._line_ends and self._unreported < upto:
            ends = _LINE_ENDS.match(self._buffer, self._unreported - self._base, upto - self._base)
            assert ends is not None  # it matches nothing, too
            self._unreported = self._base + ends.end()
            self._line_ends = self._unreported == upto
        if self._damage:
            end = min(self._damage.end, upto)
            self._add(self._damage.kind, self._damage.message, end)
            self._damage = None
        while self._unreported < upto:
            end = min(self._unreported + NOISE, upto)
            message = f"{end - self._unreported} bytes that are no PD0 ensemble: check baud rate and output format"
            self._add("noise", message, end)

    def _add(self, kind: str, message: str, end: int) -> None:
        start = self._unreported
        data = self._buffer[start - self._base : end - self._base]
        self._problems.append(problem(kind, message, start, data, self.arrival(start)))
        self._unreported = end


def _sync_begun(buffer: bytes) -> int:
    """How many bytes at the end of the buffer may be the beginning of a sync, binary or written."""
    if buffer.endswith(b"\x7f"):
        return 1
    tail = buffer[-16:]
    begun = _HEX_SYNC_BEGUN.search(tail)
    return len(tail) - begun.start() if begun else 0


def _u16(data: Bytes, at: Ints) -> Ints:
    return data[at] | data[at + 1].astype(np.int64) << 8


def _checksum_message(octets: bytes, start: int, layout: Layout) -> str:
    end = start + layout.size
    stored = octets[end] | octets[end + 1] << 8
    true = int(np.frombuffer(octets, np.uint8, layout.size, start).sum()) & 0xFFFF
    return f"ensemble of {layout.size + 2} bytes: its checksum is {stored:04X}, its bytes sum to {true:04X}"
