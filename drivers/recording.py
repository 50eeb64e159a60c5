"""Unwraps recordings: gives a driver the instrument's own bytes, with when they came, out of what a logger made of
them.

Loggers put a stamp in front of each line. Known are (with where such lines are published):

    dcl    `2013/11/23 00:00:25.236 # 13.7971, …`, `2014/09/28 00:30:28.455 [ctdbp3:DLOGP6]: 22.1725, …` (OOI)
    iso    `2014-08-01T00:00:00.124000Z $GPZDA,…` (OpenRVDAS), `2023-09-02T12:41:35.168370+00:00 $IIHDG,…`, and with the
           name of the data before it `gnss_cnav  2014-12-11T00:00:01.0020Z  $GNZDA,…` (R/V Sikuliaq)
    scs    `03/15/2010,14:08:45.876,$HEHDT,…` (NOAA's Scientific Computer System; NCEI format scs_hdt)
    lds    `cnav<tab>2010:258:01:05:34.0656<tab>$GPZDA,…`, with the day of the year (Lamont Data System; NCEI nav12)
    dslog  `NAV 2013/02/05 15:00:00.828 MX512 $GPGGA,…` (Woods Hole; NAAMES underway files)
    unix   `1284512734.066 $GPGGA,…`, seconds since 1970 (NCEI nav29)

and `sio`, blocks with a header and a checksum, into which the controllers of moorings pack what instruments say
(`drivers.sio`).

Stamps are taken as UTC. A DCL logger also writes lines of its own, `… [ctdbp1:DLOGP3]:Instrument Started [Power On]`;
those hold no digit behind the bracket and are left out. Anything without stamps, binary files above all, passes as it
is. The stamp becomes the arrival of its line. A line whose stamp is damaged passes whole: the driver will refuse it,
so it is seen and not lost. A record that the logger spread over several stamped lines reaches the driver as their
bytes after each other.

Lines are unwrapped a block at a time: the first line's stamp, found by a regular expression, says in which columns
the digits and the words stand, and all lines of the same shape are read at once with arrays.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from drivers import sio
from drivers.arrivals import Arrivals, Bools, Ints, Pieces
from drivers.driver import MAX_PENDING
from tidegate.clock import NAT, UNKNOWN, Arrival


class Stamps(Enum):
    """How a recording's lines are stamped."""

    NONE = "none"
    DCL = "dcl"
    ISO = "iso"
    SCS = "scs"
    LDS = "lds"
    DSLOG = "dslog"
    UNIX = "unix"
    SIO = "sio"


_DATE = rb"(?P<year>\d{4})/(?P<month>\d\d)/(?P<day>\d\d)"
_TIME = rb"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_NAME = rb"[A-Za-z][\w.-]{0,31}"
_SHAPES = {
    Stamps.DCL: rb"%s %s\.(?P<fraction>\d{3}) (?:\[[\w.-]+:[\w.-]+\]:)?" % (_DATE, _TIME),
    Stamps.ISO: (
        rb"(?:%s(?P<gap>[ \t]+))?(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)T%s(?:\.(?P<fraction>\d{1,9}))?"
        rb"(?:Z|\+00:00)(?(gap)(?P=gap)|[ \t])" % (_NAME, _TIME)
    ),
    Stamps.SCS: rb"(?P<month>\d\d)/(?P<day>\d\d)/(?P<year>\d{4}),%s\.(?P<fraction>\d{3})," % _TIME,
    Stamps.LDS: (
        rb"%s(?P<gap>[ \t]+)(?P<year>\d{4}):(?P<day_of_year>\d{3}):%s(?:\.(?P<fraction>\d{1,9}))?(?P=gap)"
        % (_NAME, _TIME)
    ),
    Stamps.DSLOG: rb"%s %s %s\.(?P<fraction>\d{1,9}) %s " % (_NAME, _DATE, _TIME, _NAME),
    Stamps.UNIX: rb"(?P<epoch>1\d{9})(?:\.(?P<fraction>\d{1,9}))?[ \t]",
}
_PATTERNS = {stamps: re.compile(shape) for stamps, shape in _SHAPES.items()}

Bytes = npt.NDArray[np.uint8]

_SNIFFED = 8192
_LONGEST = 1 << 20  # bytes without an end of line that are kept together
_MOST_SHAPES = 64  # in a block; lines of further ones are read one by one


class Piece(NamedTuple):
    """Bytes as the instrument said them, where they stand in the file, and when they came."""

    offset: int
    data: bytes
    at: Arrival


@dataclass(frozen=True, slots=True)
class Batch:
    """Many pieces that follow each other, and where in the file each stands: `offsets` (n,)."""

    offsets: Ints
    pieces: Pieces

    def __iter__(self) -> Iterator[Piece]:
        for offset, (data, at) in zip(self.offsets.tolist(), self.pieces, strict=True):
            yield Piece(offset, data, at)


def sniff(head: bytes) -> Stamps:
    """How a recording that begins so is stamped: by most of its first lines, or not at all."""
    if sio.is_wrapped(head[:_SNIFFED]):
        return Stamps.SIO
    lines = [line for line in re.split(rb"[\r\n]+", head[:_SNIFFED]) if line][:20]
    for stamps, pattern in _PATTERNS.items():
        if lines and sum(pattern.match(line) is not None for line in lines) * 2 > len(lines):
            return stamps
    return Stamps.NONE


def batches(chunks: Iterable[bytes], stamps: Stamps | None = None, only: str = "") -> Iterator[Batch]:
    """The instrument's bytes in a recording that is read in `chunks`, a batch for each where lines are stamped;
    `stamps` is found out where it is None. `only` is the beginning of an instrument's name in `sio` blocks that hold
    several (`CT`, `CT1236855`)."""
    offset = 0
    pending = b""
    newline = b""
    for chunk in chunks:
        pending += chunk
        if not newline:
            if len(pending) < _SNIFFED:
                continue
            newline = _newline(pending)
            stamps = stamps or sniff(pending)
        if stamps is Stamps.SIO:
            said, cut = sio.unwrapped(pending, offset, False, only.encode())
            yield from _batch(said)
            offset += cut
            pending = pending[cut:]
            continue
        if stamps is Stamps.NONE:
            cut = len(pending)
        else:
            cut = pending.rfind(newline) + 1
            if not cut and len(pending) > _LONGEST:
                cut = len(pending)
        if cut:
            yield _unwrapped(pending[:cut], offset, stamps or Stamps.NONE, newline)
            offset += cut
            pending = pending[cut:]
    stamps = stamps or sniff(pending)
    if stamps is Stamps.SIO:
        yield from _batch(sio.unwrapped(pending, offset, True, only.encode())[0])
    elif pending:
        yield _unwrapped(pending, offset, stamps, newline or _newline(pending))


def _batch(said: list[sio.Words]) -> Iterator[Batch]:
    """What was in blocks, if anything was."""
    if said:
        starts = np.cumsum([0, *(len(words.data) for words in said[:-1])])
        arrivals = Arrivals.stamped(np.array([words.utc_ns for words in said], np.int64))
        pieces = Pieces(b"".join(words.data for words in said), starts, arrivals)
        yield Batch(np.array([words.offset for words in said], np.int64), pieces)


def pieces(chunks: Iterable[bytes], stamps: Stamps | None = None) -> Iterator[Piece]:
    """As `batches`, piece by piece."""
    for batch in batches(chunks, stamps):
        yield from batch


def _newline(head: bytes) -> bytes:
    return b"\n" if b"\n" in head[:_SNIFFED] or b"\r" not in head[:_SNIFFED] else b"\r"


def _unwrapped(text: bytes, offset: int, stamps: Stamps, newline: bytes) -> Batch:
    """The pieces in whole lines; `offset` is that of `text` in the file."""
    if stamps is Stamps.NONE:
        return Batch(np.array([offset]), Pieces.of([(text, UNKNOWN)]))
    buffer = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(buffer == newline[0]) + 1
    if not len(ends) or ends[-1] < len(text):
        ends = np.append(ends, len(text))
    starts = np.concatenate(([0], ends[:-1]))
    begins, utc_ns = _stamps(text, buffer, starts, ends, stamps)
    kept = begins < ends
    if stamps is Stamps.DCL:
        digits = np.concatenate(([0], np.cumsum((buffer >= ord("0")) & (buffer <= ord("9")), dtype=np.int64)))
        bracketed = (begins > starts) & (buffer[begins - 1] == ord(":"))
        kept &= ~bracketed | (digits[ends] > digits[begins])
    begins, ends, utc_ns = begins[kept], ends[kept], utc_ns[kept]
    data = b"".join([text[a:b] for a, b in zip(begins.tolist(), ends.tolist(), strict=True)])
    places = np.cumsum(ends - begins) - (ends - begins)
    return Batch(begins + offset, Pieces(data, places, Arrivals.stamped(utc_ns)))


# --- the stamps of many lines -----------------------------------------------------------------------------------------


def _stamps(text: bytes, buffer: Bytes, starts: Ints, ends: Ints, stamps: Stamps) -> tuple[Ints, Ints]:
    """(where the instrument's words begin in each line, the UTC of its stamp or NAT)."""
    pattern = _PATTERNS[stamps]
    begins, utc_ns = starts.copy(), np.full(len(starts), NAT, np.int64)
    left = np.arange(len(starts))

    def read(found: re.Match[bytes], lines: Ints) -> Bools:
        alike, stamp = _alike(found, buffer, starts[lines], ends[lines])
        utc_ns[lines[alike]] = _utc_ns(found, stamp)
        begins[lines[alike]] += len(found[0])
        return alike

    for _ in range(_MOST_SHAPES):
        matches = ((k, pattern.match(text, starts[i], ends[i])) for k, i in enumerate(left.tolist()))
        k, found = next(((k, match) for k, match in matches if match), (0, None))
        if found is None:
            return begins, utc_ns
        left = left[k:]
        left = left[~read(found, left)]
    for i in left.tolist():
        if found := pattern.match(text, starts[i], ends[i]):
            read(found, np.array([i]))
    return begins, utc_ns


def _alike(found: re.Match[bytes], buffer: Bytes, starts: Ints, ends: Ints) -> tuple[Bools, Ints]:
    """(which lines have a stamp of the same shape as the one found in the first of them, these stamps (n, width) with
    digits as numbers)."""
    stamp = found[0]
    width, origin = len(stamp), found.start()
    alike = ends - starts >= width
    if stamp.endswith(b" ") and found.re is _PATTERNS[Stamps.DCL]:
        # A bracket behind it would be of the stamp; the first line has none that is whole.
        alike &= buffer[np.minimum(starts + width, len(buffer) - 1)] != ord("[")
        alike[0] = True
    octets = buffer[starts[alike][:, None] + np.arange(width)]
    digit = np.zeros(width, np.bool_)
    for name in found.re.groupindex.keys() - {"gap"}:
        digit[found.start(name) - origin : max(found.end(name), 0) - origin] = found[name] is not None
    numbers = octets.astype(np.int64) - ord("0")
    fits = np.where(digit, (numbers >= 0) & (numbers <= 9), octets == np.frombuffer(stamp, np.uint8)).all(axis=1)
    alike[alike] = fits
    return alike, numbers[fits]


def _utc_ns(found: re.Match[bytes], stamps: Ints) -> Ints:
    """The time that stamps (n, width) of one shape say, NAT where no calendar or clock has it."""

    def number(name: str, otherwise: int = 0) -> Ints:
        if name not in found.re.groupindex or found[name] is None:
            return np.full(len(stamps), otherwise, np.int64)
        digits = stamps[:, found.start(name) - found.start() : found.end(name) - found.start()]
        value: Ints = digits @ 10 ** np.arange(digits.shape[1] - 1, -1, -1)
        return value

    fraction_ns: Ints = number("fraction") * 10 ** (9 - len(found["fraction"] or b""))
    if "epoch" in found.re.groupindex:
        return number("epoch") * 1_000_000_000 + fraction_ns
    year, month, day = number("year"), number("month", 1), number("day", 1)
    hour, minute, second = number("hour"), number("minute"), number("second")
    months = (year - 1970) * 12 + np.clip(month, 1, 12) - 1
    first, following = ((months + k).astype("M8[M]").astype("M8[D]").astype(np.int64) for k in (0, 1))
    exists = (year >= 1970) & (year < 2200) & (month >= 1) & (month <= 12) & (hour < 24) & (minute < 60) & (second < 60)
    if "day_of_year" in found.re.groupindex:
        day = number("day_of_year")
        following = (months + 12).astype("M8[M]").astype("M8[D]").astype(np.int64)
    exists &= (day >= 1) & (day <= following - first)
    seconds = (first + day - 1) * 86_400 + hour * 3600 + minute * 60 + second
    return np.where(exists, seconds * 1_000_000_000 + fraction_ns, NAT)


class Offsets:
    """Finds the place in the file of a place in the stream that a driver was fed."""

    def __init__(self) -> None:
        self._stream: list[Ints] = []  # where in the stream the pieces of each batch begin, and where in the file
        self._file: list[Ints] = []
        self._fed = 0

    def fed(self, batch: Batch) -> None:
        """These pieces went to the driver."""
        if not len(batch.pieces):
            return
        self._stream.append(batch.pieces.starts + self._fed)
        self._file.append(batch.offsets)
        self._fed += len(batch.pieces.data)
        # No driver speaks of bytes longer ago than it may keep.
        while len(self._stream) > 1 and self._stream[1][0] < self._fed - len(batch.pieces.data) - MAX_PENDING:
            del self._stream[0], self._file[0]

    def in_file(self, offset: int) -> int:
        """Where in the file the stream's byte `offset` stands."""
        for stream, file in zip(reversed(self._stream), reversed(self._file), strict=True):
            if offset >= stream[0]:
                at = int(stream.searchsorted(offset, "right")) - 1
                return int(file[at]) + offset - int(stream[at])
        return offset
