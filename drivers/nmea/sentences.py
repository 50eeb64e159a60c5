"""Cuts bytes into NMEA 0183 sentences and reads all their fields at once, for `drivers.nmea.nmea0183`.

Theory of operation. `Block` finds the delimiters of a block of bytes with one table look-up, folds every checksum with
one `bitwise_xor.reduceat`, and reads every field of the block as a decimal number, eight digits in one machine word
(the digits' places are gathered in three multiplications). So a sentence costs about a microsecond, and nothing in
here loops over sentences but the telling of faults. `Rows` then gives the fields of one type of sentence as columns.

Positions count within `Block.text`, which is the block between `PAD` zero bytes on either side.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from drivers.arrivals import Arrivals
from drivers.driver import Problem, problem
from tidegate.clock import Arrival

LONGEST = 1024
"""Bytes after which a sentence without an end is given up. The standard's limit is 82, which wave sentences exceed."""
OVERLONG = f"more than {LONGEST} bytes without an end of line or a $: check baud rate, parity and wiring"
PAD = 8  # so that a machine word can be loaded at any field
NO_DAY = -(2**31)

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Words = npt.NDArray[np.uint64]

_COMMA, _STAR, _DOT, _END, _START = 1, 2, 3, 4, 5
_CLASS = np.zeros(256, np.uint8)
for _bytes, _class in ((b",", _COMMA), (b"*", _STAR), (b".", _DOT), (b"\r\n", _END), (b"$!", _START)):
    _CLASS[list(_bytes)] = _class
_HEX = np.full(256, 0xFFFF, np.uint16)
for _digit in b"0123456789abcdefABCDEF":
    _HEX[_digit] = int(chr(_digit), 16)
_BLANK, _CAPITAL, _FIGURE = np.zeros(256, np.bool_), np.zeros(256, np.bool_), np.zeros(256, np.bool_)
_BLANK[: ord(" ") + 1] = _BLANK[0x7F] = True
_CAPITAL[ord("A") : ord("Z") + 1] = _FIGURE[ord("0") : ord("9") + 1] = True


def where(mask: Bools) -> Ints:
    """The indices at which a mask is set."""
    indices: Ints = mask.nonzero()[0]
    return indices


# --- numbers ----------------------------------------------------------------------------------------------------------


def _word(value: int) -> np.uint64:
    return np.uint64(value & 0xFFFF_FFFF_FFFF_FFFF)


_EIGHT, _SIXTEEN, _THIRTY_TWO, _TEN = np.uint64(8), np.uint64(16), np.uint64(32), np.uint64(10)
_ZEROS = _word(0x3030_3030_3030_3030)
_HIGH = _word(0xF0F0_F0F0_F0F0_F0F0)
_SIXES = _word(0x0606_0606_0606_0606)
_PAIRS = _word(0x0000_00FF_0000_00FF)
_UPPER, _LOWER = _word(0x000F_4240_0000_0064), _word(0x0000_2710_0000_0001)
_LAST = np.array([_word(~0 << 8 * (8 - n)) if n else 0 for n in range(9)], np.uint64)  # keeps the last n of 8 bytes
_FIRST = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)  # keeps the first n


def _eight_digits(text: Words, keep: Words) -> tuple[Ints, Bools]:
    """(the numbers, whether all are digits) of eight ASCII digits each, the first in the lowest byte; `0` stands
    where `keep` has no bits."""
    text = (text & keep) | (_ZEROS & ~keep)
    good = ((text & _HIGH) == _ZEROS) & (((text + _SIXES) & _HIGH) == _ZEROS)
    x = text - _ZEROS
    x = x * _TEN + (x >> _EIGHT)
    fours = (x & _PAIRS) * _UPPER + ((x >> _SIXTEEN) & _PAIRS) * _LOWER
    return (fours >> _THIRTY_TWO).view(np.int64), good


class Fields(NamedTuple):
    """Every field of a block: where it stands, and what it is as a decimal number `[+-]digits[.digits]`."""

    start: Ints
    end: Ints
    given: Bools
    """Whether it is not empty."""
    sound: Bools
    """Whether it is empty or a number of at most 8 digits before the point."""
    signed: Bools
    value: Floats
    """NaN where it is empty."""
    whole: Ints
    whole_digits: Ints
    fraction: Ints
    """In units of 1e-8; digits after the eighth are left out."""
    decimals: Ints


def _read_fields(text: bytes, buffer: Bytes, start: Ints, end: Ints, dot: Ints) -> Fields:
    """The fields from `start` to `end`; `dot` is the place of the first point in each, or beyond its end."""
    first = buffer[start]
    given = end > start
    minus = given & (first == 0x2D)
    signed = minus | (given & (first == 0x2B))
    pointed = dot < end
    dot = np.where(pointed, dot, end)
    whole_digits, decimals = dot - start - signed, end - dot - pointed
    words = np.ndarray((len(buffer) - 7,), "<u8", buffer.data, strides=(1,))
    after = np.minimum(dot + pointed, len(buffer) - 8)
    whole, whole_good = _eight_digits(words[dot - 8], _LAST[np.minimum(np.maximum(whole_digits, 0), 8)])
    fraction, fraction_good = _eight_digits(words[after], _FIRST[np.minimum(decimals, 8)])
    number = whole_good & fraction_good & (whole_digits <= 8) & (whole_digits + decimals > 0)
    for i in where(number & (decimals > 8)).tolist():
        number[i] = text[dot[i] + 1 : end[i]].isdigit()
    # An exact integer over an exact power of ten: the same float64 as the text's own.
    value = (whole * 100_000_000 + fraction) / 1e8
    value = np.where(given, np.where(minus, -value, value), np.nan)
    return Fields(start, end, given, number | ~given, signed, value, whole, whole_digits, fraction, decimals)


# --- sentences --------------------------------------------------------------------------------------------------------


class Trail(NamedTuple):
    """The pieces that some bytes came in (n,): where in the stream each begins, and what is known of its arrival."""

    starts: Ints
    arrivals: Arrivals
    ticks_ns: Ints
    """Time passed since the first piece ever, as far as known."""
    group: Ints
    """Samples of pieces of one group may share a Frame."""

    def then(self, starts: Ints, arrivals: Arrivals) -> "Trail":
        """These pieces and the following."""
        if not len(starts):
            return self
        if not len(self.starts):
            zero, rest = np.zeros(1, np.int64), slice(1, None)
            return Trail(starts[:1], arrivals.take(slice(1)), zero, zero).then(starts[rest], arrivals.take(rest))
        joined = self.arrivals + arrivals
        new = joined.take(slice(len(self.starts) - 1, None))
        return Trail(
            np.concatenate((self.starts, starts)),
            joined,
            np.concatenate((self.ticks_ns, self.ticks_ns[-1] + new.elapsed_ns().cumsum())),
            np.concatenate((self.group, self.group[-1] + new.breaks().cumsum())),
        )

    def since(self, offset: int) -> "Trail":
        """The pieces with a byte at `offset` or after it."""
        rows = slice(max(int(self.starts.searchsorted(offset, "right")) - 1, 0), None)
        return Trail(self.starts[rows], self.arrivals.take(rows), self.ticks_ns[rows], self.group[rows])


class Good(NamedTuple):
    """The sentences of a block whose form and checksum are right; `token` and what follows has one entry for each."""

    token: Ints
    address_end: Ints
    key: Ints
    """The type's three letters as a number where the address is a talker and a type; else the address itself, where
    it is a maker's own of at most 8 bytes, as `own` has it; else 0."""
    first: Ints
    """Index of its first field among `fields`."""
    size: Ints
    """How many fields it has."""
    fields: Fields


class Block:
    """A block of whole sentences, cut into tokens: sentences, and what stands between them.

    `trail` is of the pieces that the block's bytes came in, `dropping` says that it begins inside a sentence that was
    given up. `problems` collects what is wrong, with its offset.
    """

    def __init__(self, data: bytes, offset: int, trail: Trail, dropping: bool) -> None:
        self.text = bytes(PAD) + data + bytes(PAD)
        self.buffer = np.frombuffer(self.text, np.uint8)
        self.problems: list[tuple[int, Problem]] = []
        self.trail = trail
        self._base = offset - PAD
        self._classes = _CLASS[self.buffer]
        self._marks = where(self._classes != 0)
        self._kinds = self._classes[self._marks]
        bounds = self._marks[self._kinds >= _END]
        closes = self._classes[bounds] == _END
        start = np.concatenate(([PAD], bounds + closes))
        end = np.concatenate((bounds, [len(self.text) - PAD]))
        if dropping:
            start[0] = end[0]
        real = end > start
        self.start, self._end = start[real], end[real]
        self._closed = np.concatenate((closes, [False]))[real]
        self.place = trail.starts.searchsorted(self.start + self._base, "right") - 1

    def offset(self, token: int) -> int:
        """Where in the stream a token begins."""
        return int(self.start[token]) + self._base

    def arrival(self, token: int) -> Arrival:
        return self.trail.arrivals[int(self.place[token])]

    def refuse(self, kind: str, message: str, token: int) -> None:
        start, offset = int(self.start[token]), self.offset(token)
        data = self.text[start : min(int(self._end[token]), start + LONGEST)]
        self.problems.append((offset, problem(kind, message, offset, data, self.arrival(token))))

    def judge(self, optional: bool, bare: tuple[bytes, ...]) -> Good:
        """Finds the good sentences and refuses all other tokens; `optional` takes those without checksum, which are
        always taken where they begin as one of `bare`."""
        buffer, start = self.buffer, self.start
        end = self._trimmed()
        sentence = (self._classes[start] == _START) & (self._end - start <= LONGEST)
        starred = sentence & (end - start >= 4) & (self._classes[end - 3] == _STAR)
        told = _HEX[buffer[end - 2]] * np.uint16(16) + _HEX[buffer[end - 1]]
        spans = np.empty(2 * len(start), np.int64)
        spans[::2], spans[1::2] = start + 1, np.maximum(end - 3, start + 1)
        found = np.bitwise_xor.reduceat(buffer, spans)[::2] if len(spans) else np.zeros(0, np.uint8)
        right = starred & (told == found)
        good = right
        if not right.all():
            stars = self._of(_STAR)
            starless = sentence & self._closed & (stars.searchsorted(start) == stars.searchsorted(self._end))
            if not optional:
                for i in where(starless).tolist():
                    starless[i] = self.text.startswith(bare, int(start[i]))
            good = right | starless
        if not good.all():
            for i in where(~good).tolist():
                self._refuse(i, int(end[i]), int(found[i]) if starred[i] else None)
        return self._split(where(good), start[good], np.where(right, end - 3, end)[good])

    def _of(self, kind: int) -> Ints:
        marks: Ints = self._marks[self._kinds == kind]
        return marks

    def _trimmed(self) -> Ints:
        """The tokens' ends without trailing blanks and control bytes."""
        end = self._end
        while True:
            blank = _BLANK[self.buffer[end - 1]] & (end > self.start)
            if not blank.any():
                return end
            end = end - blank

    def _refuse(self, token: int, end: int, found: int | None) -> None:
        start = int(self.start[token])
        if self._end[token] - start > LONGEST:
            self.refuse("noise", OVERLONG, token)
        elif self._classes[start] != _START:
            if end > start:  # a lone control byte or blank between sentences harms nobody
                self.refuse("noise", "bytes outside of any sentence", token)
        elif found is not None:
            told = self.text[end - 2 : end].decode("latin-1")
            self.refuse("checksum", f"the checksum says {told!r}, the bytes give {found:02X}", token)
        elif not self._closed[token]:
            self.refuse("truncated", "the sentence is cut off", token)
        else:
            message = (
                "no checksum at the end: the sentence is damaged, or the device sends none "
                '(if none of its sentences has one, set checksum = "optional")'
            )
            self.refuse("checksum", message, token)

    def _split(self, token: Ints, start: Ints, end: Ints) -> Good:
        buffer = self.buffer
        at = where(self._kinds == _COMMA)
        commas, following = self._marks[at], np.minimum(at + 1, len(self._marks) - 1)
        first, last = commas.searchsorted(start), commas.searchsorted(end)
        has_fields = last > first
        # Each field ends at the next comma, the last of a sentence where the sentence ends. An empty field stands
        # after all, for those that a sentence does not have.
        after = np.concatenate((commas + 1, [PAD]))
        until = np.concatenate((commas[1:], [PAD, PAD]))[: len(after)]
        until[last[has_fields] - 1] = end[has_fields]
        # A point counts in the field whose comma is the delimiter before it.
        dot = np.where(self._kinds[following] == _DOT, self._marks[following], len(buffer))
        fields = _read_fields(self.text, buffer, after, until, np.concatenate((dot, [len(buffer)])))
        address_end = np.where(has_fields, after[first] - 1, end)
        a, b = buffer[start + 1], buffer[start + 2]
        named = _CAPITAL | _FIGURE  # there are talkers like "04"
        standard = (address_end - start == 6) & named[a] & (a != ord("P")) & named[b]
        key = (buffer[start + 3].astype(np.int64) << 16) | (buffer[start + 4].astype(np.int64) << 8) | buffer[start + 5]
        size = address_end - start - 1
        words = np.ndarray((len(buffer) - 7,), "<u8", buffer.data, strides=(1,))
        address = (words[np.minimum(start + 1, len(words) - 1)] & _FIRST[np.minimum(size, 8)]).view(np.int64)
        key = np.where(standard, key, np.where((a == ord("P")) & (size >= 4) & (size <= 8), address, 0))
        return Good(token, address_end, key, first, last - first, fields)


def own(address: bytes) -> int:
    """The key of sentences whose maker chose their address."""
    return int.from_bytes(address, "little")


# --- the fields of one type of sentence as columns --------------------------------------------------------------------


@cache
def _letters(allowed: bytes) -> Bools:
    table = np.zeros(256, np.bool_)
    table[list(allowed)] = True
    return table


class Rows:
    """The sentences of one type in a block. Fields are counted from 1, as in the standard.

    `bad` holds for each sentence the first field that breaks the type's grammar, 0 where all is well. `size` is how
    many fields each has.
    """

    def __init__(self, block: Block, fields: Fields, first: Ints, count: Ints) -> None:
        self._block, self._fields, self._first, self.size = block, fields, first, count
        self._fewest = int(count.min()) if len(count) else 0
        self.bad = np.zeros(len(first), np.int64)

    def _at(self, k: int) -> Ints:
        """Indices of field `k`; of the empty last field where a sentence has fewer."""
        if k <= self._fewest:
            return self._first + (k - 1)
        return np.where(self.size >= k, self._first + (k - 1), len(self._fields.start) - 1)

    def refuse(self, k: int, broken: Bools) -> None:
        if broken.any():
            self.bad[broken & (self.bad == 0)] = k

    def text(self, i: int, k: int) -> str:
        """Field `k` of the sentence `i` as it stands."""
        f, at = self._fields, self._at(k)[i]
        return self._block.text[f.start[at] : f.end[at]].decode("latin-1")

    def number(self, k: int) -> Floats:
        """Field `k` as numbers, NaN where it is empty."""
        i = self._at(k)
        self.refuse(k, ~self._fields.sound[i])
        value: Floats = self._fields.value[i]
        return value

    def integer(self, k: int) -> Floats:
        self.refuse(k, self._fields.decimals[self._at(k)] > 0)
        return self.number(k)

    def letter(self, k: int, allowed: bytes) -> Bytes:
        """Field `k` as one of the letters, 0 where it is empty."""
        f, i = self._fields, self._at(k)
        given, letters = f.given[i], self._block.buffer[f.start[i]]
        self.refuse(k, given & ((f.end[i] - f.start[i] > 1) | ~_letters(allowed)[letters]))
        return letters * given

    def words(self, k: int, allowed: bytes) -> list[bytes]:
        """Field `k` as it stands, of no other than the allowed letters."""
        f, at = self._fields, self._at(k)
        words = [self._block.text[a:b] for a, b in zip(f.start[at].tolist(), f.end[at].tolist(), strict=True)]
        self.refuse(k, np.array([bool(word.strip(allowed)) for word in words], np.bool_))
        return words

    def measured(self, k: int, unit: bytes) -> Floats:
        """Field `k`, which must be followed by its unit's letter in field `k + 1`."""
        values, letters = self.number(k), self.letter(k + 1, unit)
        self.refuse(k + 1, (letters == 0) & ~np.isnan(values))
        return values

    def angle(self, k: int, degree_digits: int, hemispheres: bytes) -> Floats:
        """`ddmm.mmmm` in field `k` with its hemisphere (positive, negative) in the next, as signed degrees."""
        f, i = self._fields, self._at(k)
        given, hemisphere = f.given[i], self.letter(k + 1, hemispheres)
        degrees, minutes = np.divmod(f.whole[i], 100)
        shape = f.sound[i] & ~f.signed[i] & (f.whole_digits[i] == degree_digits + 2) & (minutes < 60)
        self.refuse(k, given & ~shape)
        self.refuse(k + 1, given & (hemisphere == 0))
        values = ((degrees * 60 + minutes) * 100_000_000 + f.fraction[i]) / 60e8
        return np.where(given, np.where(hemisphere == hemispheres[1], -values, values), np.nan)

    def decimals(self, k: int) -> Ints:
        decimals: Ints = self._fields.decimals[self._at(k)]
        return decimals

    def time_of_day_ns(self, k: int) -> Ints:
        """`hhmmss.ss` in field `k` as nanoseconds of the day, -1 where it is empty."""
        f, i = self._fields, self._at(k)
        given = f.given[i]
        hours, rest = np.divmod(f.whole[i], 10_000)
        minutes, seconds = np.divmod(rest, 100)
        shape = f.sound[i] & ~f.signed[i] & (f.whole_digits[i] == 6) & (hours < 24) & (minutes < 60) & (seconds <= 60)
        self.refuse(k, given & ~shape)
        return np.where(given, (hours * 3600 + minutes * 60 + seconds) * 1_000_000_000 + f.fraction[i] * 10, -1)

    def date(self, k: int) -> tuple[Floats, Floats, Floats]:
        """(year, month, day) of `ddmmyy` in field `k`; years from 80 on are of the last century."""
        date, f, i = self.integer(k), self._fields, self._at(k)
        self.refuse(k, f.given[i] & ((f.whole_digits[i] != 6) | f.signed[i]))
        day, rest = np.divmod(date, 10_000)
        month, year = np.divmod(rest, 100)
        return year + np.where(year < 80, 2000, 1900), month, day

    def days(self, k: int, year: Floats, month: Floats, day: Floats) -> Ints:
        """The date as days since 1970, `NO_DAY` where a part is missing; one that does not exist breaks field `k`."""
        given = ~(np.isnan(year) | np.isnan(month) | np.isnan(day))
        y, m, d = (np.where(given, part, 1).astype(np.int64) for part in (year, month, day))
        months = (y - 1970) * 12 + m - 1
        begin = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
        following = (months + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
        exists = (m >= 1) & (m <= 12) & (d >= 1) & (d <= following - begin) & (y >= 1970) & (y < 2200)
        self.refuse(k, given & ~exists)
        return np.where(given & exists, begin + d - 1, NO_DAY)
