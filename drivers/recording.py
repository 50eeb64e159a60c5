"""Unwraps recordings: gives a driver the instrument's own bytes, with when they came, out of what a logger made of
them.

Loggers put a stamp in front of each line. Known are (formats as found in recordings of the OOI and of OpenRVDAS):

    dcl   `2013/11/23 00:00:25.236 # 13.7971, …`  and  `2014/09/28 00:30:28.455 [ctdbp3:DLOGP6]: 22.1725, …`
    iso   `2014-08-01T00:00:00.124000Z $GPZDA,…`

A DCL logger also writes lines of its own, `… [ctdbp1:DLOGP3]:Instrument Started [Power On]`; those hold no digit
behind the bracket and are left out. Anything without stamps, binary files above all, passes as it is. The stamp
becomes the arrival of its line. A line whose stamp is damaged passes whole: the driver will refuse it, so it is seen
and not lost.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from enum import Enum
from typing import NamedTuple

from tidegate.clock import UNKNOWN, Arrival

_DCL = re.compile(rb"(\d{4})/(\d\d)/(\d\d) (\d\d):(\d\d):(\d\d)\.(\d{3}) (?:\[[\w.-]+:[\w.-]+\]:)?")
_ISO = re.compile(rb"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?Z[ \t]")
_DCL_WORDS = re.compile(rb"\[[\w.-]+:[\w.-]+\]:[^\d]*$")


class Stamps(Enum):
    """How a recording's lines are stamped."""

    NONE = "none"
    DCL = "dcl"
    ISO = "iso"


class Piece(NamedTuple):
    """Bytes as the instrument said them, where they stand in the file, and when they came."""

    offset: int
    data: bytes
    at: Arrival


def sniff(head: bytes) -> Stamps:
    """How a recording that begins so is stamped: by most of its first lines, or not at all."""
    lines = [line for line in re.split(rb"[\r\n]+", head[:8192]) if line][:20]
    for stamps, pattern in ((Stamps.DCL, _DCL), (Stamps.ISO, _ISO)):
        if lines and sum(pattern.match(line) is not None for line in lines) * 2 > len(lines):
            return stamps
    return Stamps.NONE


def pieces(chunks: Iterable[bytes], stamps: Stamps | None = None) -> Iterator[Piece]:
    """The instrument's bytes in a recording that is read in `chunks`; `stamps` is found out where it is None."""
    offset = 0
    pending = b""
    for chunk in chunks:
        if stamps is None:
            pending += chunk
            if len(pending) < 8192:
                continue
            stamps, chunk, pending = sniff(pending), pending, b""
        if stamps is Stamps.NONE:
            yield Piece(offset, chunk, UNKNOWN)
            offset += len(chunk)
            continue
        ended, newline, pending = (pending + chunk).rpartition(b"\n")
        yield from _lines(ended + newline, offset, stamps)
        offset += len(ended) + len(newline)
    if stamps is None:
        stamps = sniff(pending)
    if stamps is Stamps.NONE:
        if pending:
            yield Piece(offset, pending, UNKNOWN)
    else:
        yield from _lines(pending, offset, stamps)


def _lines(text: bytes, offset: int, stamps: Stamps) -> Iterator[Piece]:
    pattern = _DCL if stamps is Stamps.DCL else _ISO
    for line in text.splitlines(keepends=True):
        match = pattern.match(line)
        if match is None:
            yield Piece(offset, line, UNKNOWN)
        elif not (stamps is Stamps.DCL and _DCL_WORDS.search(line.rstrip())):
            yield Piece(offset + match.end(), line[match.end() :], _arrival(match))
        offset += len(line)


def _arrival(match: re.Match[bytes]) -> Arrival:
    year, month, day, hour, minute, second = (int(g) for g in match.groups()[:6])
    fraction = (match.group(7) or b"0").ljust(9, b"0")
    try:
        whole = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:  # a date that no calendar has
        return UNKNOWN
    return Arrival(int(whole.timestamp()) * 1_000_000_000 + int(fraction), 0, "", False)


class Offsets:
    """Finds the place in the file of a place in the stream that a driver was fed."""

    def __init__(self) -> None:
        self._stream: list[int] = [0]
        self._file: list[int] = [0]
        self._fed = 0

    def fed(self, piece: Piece) -> None:
        """This piece went to the driver."""
        if piece.offset - self._file[-1] != self._fed - self._stream[-1]:
            self._stream.append(self._fed)
            self._file.append(piece.offset)
        self._fed += len(piece.data)

    def in_file(self, offset: int) -> int:
        """Where in the file the stream's byte `offset` stands."""
        at = max(bisect_right(self._stream, offset) - 1, 0)
        return self._file[at] + offset - self._stream[at]
