"""Frames as bytes, and back: a few bytes a sample, restored exactly at the declared resolution.

A Frame travels as a short head (instrument, schema id, where its times come from, number of samples, arrival) and one
packed column after the other: time first, then the schema's fields in order. A column is packed so:

* Floats become whole numbers of the field's resolution; integers stay. Where values are missing, a packed column of
  `Missing` codes stands before the column, and the column itself says nothing about these places.
* Where a column follows an earlier one of the same width (conductivity follows temperature, one beam the other), that
  one's straight line goes first.
* A predictor takes away what can be foreseen: nothing, the value before (`TIME`), the straight line through the two
  values before (`LINE`), or the neighbouring cell of the same profile (`CELL`).
* Where all values are whole thousands, millions or milliards (times in nanoseconds mostly are), that factor goes
  first; and where the residuals lie around another middle than zero (the interval of an even clock), the middle goes.
* The residuals, folded to unsigned (0, -1, 1, -2 → 0, 1, 2, 3), are coded as nothing at all where all are zero, as the
  few that are not zero and how far apart they stand, as Rice codes (quotients in unary in one run of bits, then k-bit
  remainders in another, so that both directions are array operations; the few that are far out follow in full), as a
  plain run of bytes, or as those bytes under zstd. The encoder picks the predictor by an estimate and keeps the
  shortest code.

Bytes from outside are hostile until proven otherwise: whatever they hold, decoding returns Frames or raises
`CodecError`, and never makes more than `MAX_VALUES` values (8 bytes each, a small multiple in work arrays) from one
call.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Any, NamedTuple

import msgpack
import numpy as np
import numpy.typing as npt
import zstandard

from tidegate.clock import NAT, Arrival, TimeSource
from tidegate.frame import MISSING_INT, Column, Field, Frame, Schema

MAX_SAMPLES = 65_536
"""Most samples that one Frame may hold on the wire."""
MAX_VALUES = 1 << 20
"""Most values that one call of a decoder makes."""

_WRAP = 1 << 63
_LARGEST = 2**51  # beyond, two roundings of a double may reach the next step

_ONE = np.uint64(1)

Ints = npt.NDArray[np.int64]
Bits = npt.NDArray[np.uint8]
Void = npt.NDArray[np.bool_] | None
"""Where a column is missing; None where it is nowhere."""


class CodecError(ValueError):
    """Bytes that are not what they claim to be, or values that cannot be coded; the message says which and why."""


class UnknownSchema(CodecError):
    """A Frame of a schema that no birth has described. `id` is the schema's."""

    def __init__(self, instrument: str, schema_id: bytes) -> None:
        super().__init__(f"{instrument}: no birth describes schema {schema_id.hex()}")
        self.instrument, self.id = instrument, schema_id


class _Predictor(IntEnum):
    NONE = 0
    TIME = 1
    LINE = 2
    CELL = 3


class _Coder(IntEnum):
    ZERO = 0
    RICE = 1
    PLAIN = 2
    ZSTD = 3
    SPARSE = 4


# By number: looking a member up in its class costs more than all else in a column's head.
_PREDICTORS, _CODERS, _SOURCES = tuple(_Predictor), tuple(_Coder), tuple(TimeSource)
_FIRSTS = (0, 1, 2, 1)
"""How many first values stand before the residuals of each predictor."""
_PREDICTORS_OF_SERIES = (_Predictor.TIME, _Predictor.LINE, _Predictor.NONE)
_PREDICTORS_OF_PROFILES = (_Predictor.TIME, _Predictor.CELL, _Predictor.NONE)
_ALONG, _CENTRED, _K = 0x80, 0x40, 0x3F
"""A column's second byte: an earlier column's line was taken off; a middle was; and the coder's parameter."""


# --- frames -----------------------------------------------------------------------------------------------------------

_SOURCE, _BOOTED, _ARRIVED, _DISCIPLINED, _VOIDS = 0x0F, 0x10, 0x20, 0x40, 0x80


def encode_frame(frame: Frame) -> bytes:
    """A Frame as bytes. Raises `CodecError` where a value is beyond 2**51 steps of its resolution, there are too
    many, or its instrument or boot has no name that fits."""
    if len(frame) > MAX_SAMPLES:
        raise CodecError(f"{frame.instrument}: {len(frame)} samples in one Frame; at most {MAX_SAMPLES}: split it")
    voids = bytearray((len(frame.schema.fields) + 7) // 8)
    columns = [pack(frame.time[:, None])]
    known: dict[int, list[_Earlier]] = {}
    known_reasons: dict[int, list[_Earlier]] = {}
    for place, f in enumerate(frame.schema.fields):
        steps, reasons = _to_steps(frame, f)
        width = steps.shape[1]
        void = None
        if reasons.any():
            voids[place >> 3] |= 1 << (place & 7)
            void = reasons != 0
            columns.append(_pack(reasons.astype(np.int64), None, known_reasons.setdefault(width, []), place))
        columns.append(_pack(steps, void, known.setdefault(width, []), place))
    packed = bytearray(_head(frame, any(voids)))
    if any(voids):
        packed += voids
    for column in columns:
        packed += counted(column)
    return bytes(packed)


def decode_frame(data: bytes, schemas: Mapping[bytes, Schema], *, most_values: int = MAX_VALUES) -> Frame:
    """The Frame that `encode_frame` made. `schemas` maps schema ids to schemas.

    Raises `UnknownSchema` where the id is not among them and `CodecError` on anything else that is wrong.
    """
    instrument, schema_id, n, at = _named(data)
    schema = schemas.get(schema_id)
    if schema is None:
        raise UnknownSchema(instrument, schema_id)
    fields = schema.fields
    if n > MAX_SAMPLES or values_of(schema, n) > most_values:
        raise CodecError(f"{instrument}: {n} samples ({values_of(schema, n)} values) are more than may come at once")
    flags, after_us, monotonic_us, boot, at = _arrived(data, at)
    voids = 0
    if flags & _VOIDS:
        width = (len(fields) + 7) // 8
        voids, at = int.from_bytes(data[at : at + width], "little"), at + width
        if voids >> len(fields):
            raise CodecError(f"{instrument}: missing values in a column that is none")
    column, at = read_counted(data, at)
    time = unpack(column, (n, 1))[:, 0]
    columns: dict[str, Column] = {}
    reasons: dict[str, npt.NDArray[np.uint8]] = {}
    known: dict[int, Ints] = {}
    known_reasons: dict[int, Ints] = {}
    for place, f in enumerate(fields):
        shape = (n, schema.width(f))
        absent = void = None
        if voids and voids >> place & 1:
            column, at = read_counted(data, at)
            codes = known_reasons[place] = _unpack(column, shape, None, known_reasons)
            if codes.size and (codes.min() < 0 or codes.max() > 255):
                raise CodecError(f"{instrument}: {f.name} holds impossible reasons")
            absent = codes.astype(np.uint8)
            void = absent != 0
            reasons[f.name] = absent if f.profile else absent[:, 0]
        column, at = read_counted(data, at)
        steps = known[place] = _unpack(column, shape, void, known)
        values = _from_steps(steps, f, void)
        columns[f.name] = values if f.profile else values[:, 0]
    if at != len(data):
        raise CodecError(f"{instrument}: bytes behind the last column")
    utc_ns = checked_int64((_reference_us(time) + after_us) * 1000) if flags & _ARRIVED else NAT
    arrival = Arrival(utc_ns, checked_int64(monotonic_us * 1000), boot, bool(flags & _DISCIPLINED))
    return Frame(instrument, schema, time, columns, _SOURCES[flags & _SOURCE], arrival, reasons)


def values_of(schema: Schema, n: int) -> int:
    """Values that `n` samples of a schema hold, time counted."""
    return n * (1 + sum(schema.width(f) for f in schema.fields))


def instrument_of(data: bytes) -> str | None:
    """The instrument that an undecodable Frame says it is of; None where even that cannot be read."""
    try:
        return _named(data)[0]
    except CodecError:
        return None


def samples_of(data: bytes) -> int:
    """How many samples a packed Frame says it holds; needs no schema. Raises `CodecError` where that cannot be read."""
    return _named(data)[2]


def _head(frame: Frame, voids: bool) -> bytes:
    """What stands before the columns: names, number of samples, and the arrival to the microsecond."""
    arrival, name = frame.arrival, frame.instrument.encode()
    boot = bytes.fromhex(arrival.boot)
    if len(name) > 255 or len(boot) not in (0, 8):
        raise CodecError(
            f"{frame.instrument[:80]!r}, boot {arrival.boot[:80]!r}: a name has at most 255 bytes, a boot 8"
        )
    arrived = arrival.utc_ns != NAT
    flags = (
        int(frame.source)
        | (_BOOTED if boot else 0)
        | (_ARRIVED if arrived else 0)
        | (_DISCIPLINED if arrival.disciplined else 0)
        | (_VOIDS if voids else 0)
    )
    after = _varint(arrival.utc_ns // 1000 - _reference_us(frame.time)) if arrived else b""
    return b"".join(
        (
            bytes([len(name)]), name, frame.schema.id, unsigned_varint(len(frame)),
            bytes([flags]), after, _varint(arrival.monotonic_ns // 1000), boot,
        )
    )  # fmt: skip


def _named(data: bytes) -> tuple[str, bytes, int, int]:
    """(instrument, schema id, number of samples, where the arrival begins)."""
    end = 1 + data[0] if data else 0
    if len(data) < end + 9:
        raise CodecError("not a Frame: it ends within its names")
    try:
        name = data[1:end].decode()
    except UnicodeDecodeError as error:
        raise CodecError(f"not a Frame: {error}") from None
    n, at = read_unsigned_varint(data, end + 8)
    return name, data[end : end + 8], n, at


def _arrived(data: bytes, at: int) -> tuple[int, int, int, str, int]:
    """(flags, arrival's microseconds after the first sample, monotonic microseconds, boot, where the columns begin)."""
    if at >= len(data) or data[at] & _SOURCE >= len(_SOURCES):
        raise CodecError("not a Frame: no arrival, or one of a kind that is not known")
    flags, after_us, at = data[at], 0, at + 1
    if flags & _ARRIVED:
        after_us, at = _read_varint(data, at)
    monotonic_us, at = _read_varint(data, at)
    boot = ""
    if flags & _BOOTED:
        boot, at = data[at : at + 8].hex(), at + 8
    return flags, after_us, monotonic_us, boot, at


def _reference_us(time: Ints) -> int:
    return int(time[0]) // 1000 if len(time) and time[0] != NAT else 0


# --- values and steps -------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def _scale(resolution: float) -> int | None:
    """Steps in one unit where that is a whole number, so that 137971 / 10000 restores the nearest double to 13.7971."""
    inverse = 1.0 / resolution
    whole = round(inverse)
    return whole if whole > 0 and abs(inverse - whole) <= 1e-9 * inverse else None


def _to_steps(frame: Frame, f: Field) -> tuple[Ints, npt.NDArray[np.uint8]]:
    column, absent = frame.columns[f.name], frame.missing(f.name)
    shape = (len(frame), frame.schema.width(f))
    column, absent = column.reshape(shape), absent.reshape(shape)
    if f.integer:
        steps = column.astype(np.int64, copy=True)
    else:
        with np.errstate(invalid="ignore", over="ignore"):
            scale = _scale(f.resolution)
            scaled = column * scale if scale is not None else column / f.resolution
            bad = ~(np.abs(scaled) <= _LARGEST) & (absent == 0)
        if bad.any():
            worst = column[bad].flat[0]
            raise CodecError(
                f"{frame.instrument}: {f.name} = {worst} cannot be coded in steps of {f.resolution} {f.unit}"
            )
        steps = np.rint(np.where(absent == 0, scaled, 0.0)).astype(np.int64)
    return steps, absent


def _from_steps(steps: Ints, f: Field, void: Void) -> Column:
    if f.integer:
        return steps if void is None else np.where(void, MISSING_INT, steps)
    scale = _scale(f.resolution)
    values = np.asarray(steps / scale if scale is not None else steps * f.resolution, np.float64)
    restored: Column = values if void is None else np.where(void, np.nan, values)
    return restored


# --- packed integers --------------------------------------------------------------------------------------------------

_SLOPE_BITS = 6
"""An earlier column's slope counts in 64ths."""
_LEAST_ALONG = 24
"""Values that a column has at least before one looks for another that it follows."""
_LEAST_LIKENESS = 0.2
"""Of the square of the correlation."""
_MOST_EARLIER = 8
"""Earlier columns that are compared, the nearest."""


class _Earlier:
    """A column that is packed already, as the decoder will have it: `deltas` are its residuals under `TIME`."""

    __slots__ = ("deltas", "place", "square", "values")

    def __init__(self, place: int, values: Ints) -> None:
        self.place, self.values = place, values
        self.deltas = _predict(values, _Predictor.TIME).astype(np.float64)
        self.square = float(self.deltas @ self.deltas)


def pack(values: npt.NDArray[Any]) -> bytes:
    """Whole numbers of shape (n, c) as bytes; `unpack` needs the shape."""
    return _pack(values.astype(np.int64, copy=False), None, [], 0)


def unpack(data: bytes, shape: tuple[int, int]) -> Ints:
    """The whole numbers that `pack` packed; int64 of `shape`. Raises `CodecError` where the bytes do not give them."""
    return _unpack(data, shape, None, {})


def _pack(a: Ints, void: Void, earlier: list[_Earlier], place: int) -> bytes:
    """A column as bytes, but for its void places. It joins the `earlier` ones, which are those of its width."""
    present = a if void is None else a[~void]
    if present.size == 0:
        return b""
    scale = 0
    while scale < 3 and not (present % 1000 ** (scale + 1)).any():
        scale += 1
    if scale:
        a = a // 1000**scale
    best, head, line = _foresee(a, void), b"", None
    if not scale and best.bits and present.size >= _LEAST_ALONG:
        found = _followed(_filled(a, void, _Predictor.TIME), earlier[-_MOST_EARLIER:])
        if found is not None:
            other, slope = found
            off = _line(other.values, slope)
            along = _foresee(a - off, void)
            name = unsigned_varint(other.place) + _varint(slope)
            if along.bits + 8 * (1 + len(name)) < best.bits:
                best, head, line = along, name, off
    coder, k, body = _code(best.residual - best.centre if best.centre else best.residual)
    if coder is _Coder.ZERO and (line is not None or best.centre):
        coder, body = _Coder.SPARSE, b"\x00"  # the one that has a second byte, of no residuals
    if present.size >= _LEAST_ALONG:
        values = best.filled * 1000**scale if scale else best.filled
        earlier.append(_Earlier(place, values if line is None else values + line))
    second = k | (_ALONG if line is not None else 0) | (_CENTRED if best.centre else 0)
    middle = _varint(best.centre) if best.centre else b""
    kind = bytes([best.predictor << 5 | coder << 2 | scale, second][: 2 if coder else 1])
    return b"".join((kind, head, best.firsts, middle, body))


class _Foreseen(NamedTuple):
    """What a predictor leaves of a column: flat residuals of the places that are not void, their middle, and about how
    many bits all that takes; `filled` is the column as the decoder will have it."""

    predictor: _Predictor
    firsts: bytes
    residual: Ints
    centre: int
    filled: Ints
    bits: float


def _foresee(a: Ints, void: Void) -> _Foreseen:
    """The predictor that leaves least."""
    n, c = a.shape
    best: _Foreseen | None = None
    for predictor in _PREDICTORS_OF_PROFILES if c > 1 else _PREDICTORS_OF_SERIES:
        if predictor is _Predictor.LINE and (n < 3 or void is not None):
            continue
        filled = _filled(a, void, predictor)
        firsts = b""
        if predictor is not _Predictor.NONE:
            firsts = _varint(int(filled[0, 0]))
            if predictor is _Predictor.LINE:
                firsts += _varint(int(np.diff(filled[:2, 0])[0]))
        residual = _predict(filled, predictor)
        if void is not None:
            residual = residual[~void.ravel()[a.size - residual.size :]]
        bits, centre = _measure(residual)
        if predictor is _Predictor.NONE and void is not None:
            filled = np.where(void, centre, a)
        if best is None or bits + 8 * len(firsts) < best.bits:
            best = _Foreseen(predictor, firsts, residual, centre, filled, bits + 8 * len(firsts))
        if bits == 0:
            break
    assert best is not None
    return best


def _measure(residual: Ints) -> tuple[float, int]:
    """(about how many bits residuals take, the middle that is best taken off them first, or 0)."""
    if not residual.size:
        return 0.0, 0
    bits = float(np.log2(np.abs(residual.astype(np.float64)) + 1.0).sum())
    half = residual.size // 2
    middle = int(np.partition(residual, half)[half])
    if middle:
        around = 16.0 + float(np.log2(np.abs((residual - middle).astype(np.float64)) + 1.0).sum())
        if around < bits:
            return around, middle
    return bits, 0


def _followed(a: Ints, earlier: Sequence[_Earlier]) -> tuple[_Earlier, int] | None:
    """The earlier column whose ups and downs are most like this one's, and how many 64ths of them these are."""
    best, most = None, _LEAST_LIKENESS
    deltas = _predict(a, _Predictor.TIME).astype(np.float64)
    square = float(deltas @ deltas)
    for other in earlier:
        together = float(other.deltas @ deltas)
        if together * together > most * other.square * square:
            slope = round(together / other.square * (1 << _SLOPE_BITS))
            if 0 < abs(slope) < 1 << 31:
                most = together * together / (other.square * square)
                best = other, slope
    return best


def _line(values: Ints, slope: int) -> Ints:
    """So many 64ths of how far a column is from its first value, halves rounded up."""
    # Modulo 2**64, as the arrays reckon: one pass less than to take the first value off before.
    offset = (1 << (_SLOPE_BITS - 1)) - slope * int(values[0, 0])
    line = values * slope
    line += (offset + _WRAP) % (2 * _WRAP) - _WRAP
    line >>= _SLOPE_BITS
    return line


def _filled(a: Ints, void: Void, predictor: _Predictor) -> Ints:
    """Void places take the value that leaves a residual of zero (where nothing is predicted, later the middle); the
    very first place then takes the first value that there is."""
    if void is None or predictor is _Predictor.NONE:
        return a
    across = predictor is _Predictor.CELL
    filled, gone = (a.T.copy(), void.T.copy()) if across else (a.copy(), void.copy())
    filled[0, 0], gone[0, 0] = a[~void][0], False
    at = np.where(gone[0], 0, np.arange(len(gone[0])))
    filled[0] = filled[0][np.maximum.accumulate(at)]
    gone[0] = False
    at = np.where(gone, 0, np.arange(len(gone))[:, None])
    filled = np.take_along_axis(filled, np.maximum.accumulate(at, axis=0), axis=0)
    return filled.T if across else filled


def _unpack(data: bytes, shape: tuple[int, int], void: Void, known: Mapping[int, Ints]) -> Ints:
    """What `_pack` packed; `known` are the columns before it, by their places."""
    n, c = shape
    size = n * c if void is None else n * c - int(np.count_nonzero(void))
    if size == 0:
        if data:
            raise CodecError("bytes behind an empty column")
        return np.zeros(shape, np.int64)
    if not data:
        raise CodecError("a column ends before it begins")
    kind = data[0]
    scale = kind & 3
    if kind >> 5 >= len(_PREDICTORS) or kind >> 2 & 7 >= len(_CODERS):
        raise CodecError("a column of a kind that is not known")
    predictor, coder = _PREDICTORS[kind >> 5], _CODERS[kind >> 2 & 7]
    if predictor is _Predictor.LINE and (c != 1 or n < 3 or void is not None):
        raise CodecError("a line through fewer than three values")
    at, second = 1, 0
    if coder:
        if len(data) < 2:
            raise CodecError("a column ends in its head")
        second, at = data[1], 2
    other, slope = None, 0
    if second & _ALONG:
        place, at = read_unsigned_varint(data, at)
        slope, at = _read_varint(data, at)
        other = known.get(place)
        if other is None or other.shape != shape:
            raise CodecError(f"a column that follows column {place}, which does not stand before it in its width")
    firsts: list[int] = []
    for _ in range(_FIRSTS[predictor]):
        value, at = _read_varint(data, at)
        firsts.append(value)
    centre = 0
    if second & _CENTRED:
        centre, at = _read_varint(data, at)
    if void is None:
        residual = _decode(coder, second & _K, data[at:], size - len(firsts))
        if centre:
            residual += centre
    else:
        residual = np.full(n * c - len(firsts), 0 if firsts else centre)
        present = ~void.ravel()[len(firsts) :]
        residual[present] = _decode(coder, second & _K, data[at:], int(np.count_nonzero(present))) + centre
    values = _restore(predictor, firsts, residual, n, c)
    if scale:
        values = values * 1000**scale
    if other is not None:
        values += _line(other, slope)
    return values


def _predict(a: Ints, predictor: _Predictor) -> Ints:
    """Flat residuals of all but the first values. Subtraction wraps around in int64, and so does its inverse, so
    nothing overflows."""
    if predictor is _Predictor.NONE:
        return a.ravel()
    if predictor is _Predictor.LINE:
        return np.diff(a[:, 0], 2)
    if a.shape[1] == 1:
        return a[1:, 0] - a[:-1, 0]
    residual = a.copy()
    if predictor is _Predictor.CELL:
        # Each profile from its own first cell; the first cells from the profile before.
        residual[:, 1:] -= a[:, :-1]
        residual[1:, 0] -= a[:-1, 0]
    else:
        residual[1:] -= a[:-1]
        residual[0, 1:] -= a[0, :-1]
    return residual.ravel()[1:]


def _restore(predictor: _Predictor, firsts: list[int], residual: Ints, n: int, c: int) -> Ints:
    if predictor is _Predictor.NONE:
        return residual.reshape(n, c)
    flat = np.empty(1 + len(residual), np.int64)
    flat[0], flat[1:] = firsts[-1], residual
    if predictor is _Predictor.LINE:
        return np.concatenate([np.array(firsts[:1], np.int64), flat.cumsum()]).cumsum()[:, None]
    if c == 1:
        return flat.cumsum()[:, None]
    a = flat.reshape(n, c)
    if predictor is _Predictor.CELL:
        a[:, 0] = a[:, 0].cumsum()
        return a.cumsum(axis=1)
    a[0] = a[0].cumsum()
    return a.cumsum(axis=0)


def _code(residual: Ints) -> tuple[_Coder, int, bytes]:
    folded = (residual.astype(np.uint64) << np.uint64(1)) ^ (residual >> np.int64(63)).astype(np.uint64)
    largest = int(folded.max()) if folded.size else 0
    if largest == 0:
        return _Coder.ZERO, 0, b""
    width = 1 if largest < 1 << 8 else 2 if largest < 1 << 16 else 4 if largest < 1 << 32 else 8
    # Bytes of equal weight side by side: the upper ones of small numbers are runs of zeros.
    body = folded.astype(f"<u{width}").view(np.uint8).reshape(-1, width).T.tobytes()
    coder, k = _Coder.PLAIN, width
    rice_k, rice_bits = _rice_parameter(folded)
    if rice_bits // 8 < len(body):
        rice = _rice_encode(folded, rice_k)
        if len(rice) < len(body):
            coder, k, body = _Coder.RICE, rice_k, rice
    few = np.flatnonzero(folded)
    if 2 * len(few) < len(body):
        sparse = _sparse_encode(folded, few)
        if len(sparse) < len(body):
            coder, k, body = _Coder.SPARSE, 0, sparse
    if folded.size * width >= 256:
        compressor = zstandard.ZstdCompressor(level=9, write_content_size=True, write_checksum=False)
        plain = folded.astype(f"<u{width}").view(np.uint8).reshape(-1, width).T.tobytes()
        squeezed = compressor.compress(plain)
        if len(squeezed) < len(body):
            coder, k, body = _Coder.ZSTD, width, squeezed
    return coder, k, body


def _decode(coder: _Coder, k: int, body: bytes, size: int) -> Ints:
    if coder is _Coder.ZERO:
        if body:
            raise CodecError("bytes behind a column of zeros")
        return np.zeros(size, np.int64)
    if coder is _Coder.RICE:
        folded = _rice_decode(body, k, size)
    elif coder is _Coder.SPARSE:
        folded = _sparse_decode(body, size)
    else:
        folded = _plain_decode(coder, k, body, size)
    residual = folded >> _ONE
    residual ^= np.negative(folded & _ONE)
    return residual.view(np.int64)


def _plain_decode(coder: _Coder, k: int, body: bytes, size: int) -> npt.NDArray[np.uint64]:
    if k not in (1, 2, 4, 8):
        raise CodecError(f"numbers of {k} bytes")
    if coder is _Coder.ZSTD:
        # The content size stands in the head of a zstd frame: what does not state the right one is not unpacked at all.
        try:
            if zstandard.frame_content_size(body) != size * k:
                raise CodecError("a compressed column of another length than it should have")
            body = zstandard.ZstdDecompressor().decompress(body, max_output_size=size * k)
        except zstandard.ZstdError as error:
            raise CodecError(f"a compressed column that does not unpack: {error}") from None
    if len(body) != size * k:
        raise CodecError("a column of another length than it should have")
    planes = np.frombuffer(body, np.uint8).reshape(k, size)
    return np.ascontiguousarray(planes.T).view(f"<u{k}")[:, 0].astype(np.uint64)


def _sparse_encode(folded: npt.NDArray[np.uint64], few: npt.NDArray[np.intp]) -> bytes:
    """How many are not zero; then for each, how many zeros stand before it, and by how much it exceeds 1."""
    zeros = np.diff(few, prepend=-1) - 1
    pairs = zip(zeros.tolist(), folded[few].tolist(), strict=True)
    return unsigned_varint(len(few)) + b"".join(unsigned_varint(z) + unsigned_varint(u - 1) for z, u in pairs)


def _sparse_decode(body: bytes, size: int) -> npt.NDArray[np.uint64]:
    folded = np.zeros(size, np.uint64)
    count, at = read_unsigned_varint(body, 0)
    place = -1
    for _ in range(min(count, len(body))):
        zeros, at = read_unsigned_varint(body, at)
        more, at = read_unsigned_varint(body, at)
        place += zeros + 1
        if place >= size or more > (1 << 64) - 2:
            raise CodecError("a column with a value behind its last place, or of more than 64 bits")
        folded[place] = more + 1
    if count > len(body) or at != len(body):
        raise CodecError("a column of another length than it should have")
    return folded


# --- Rice codes -------------------------------------------------------------------------------------------------------

_ESCAPE = 10
"""Quotients from here on are rare: what they exceed it by follows the codes, each as a varint."""


def _rice_parameter(folded: npt.NDArray[np.uint64]) -> tuple[int, int]:
    """The k that gives the fewest bits, and about how many those are: tried around the logarithm of the median, which
    outliers do not move."""
    middle = int(np.partition(folded, folded.size // 2)[folded.size // 2])
    guess = min(middle.bit_length(), 56)
    tried = np.arange(max(guess - 2, 0), min(guess + 2, 57))
    quotients = folded >> tried.astype(np.uint64)[:, None]
    bits = np.minimum(quotients, _ESCAPE).sum(axis=1).astype(np.int64) + folded.size * (1 + tried)
    bits += 12 * np.count_nonzero(quotients >= _ESCAPE, axis=1)
    best = int(bits.argmin())
    return int(tried[best]), int(bits[best])


def _rice_encode(folded: npt.NDArray[np.uint64], k: int) -> bytes:
    quotients = folded >> np.uint64(k)
    ends = np.cumsum(np.minimum(quotients, _ESCAPE).astype(np.int64) + 1)
    unary: Bits = np.zeros(int(ends[-1]), np.uint8)
    unary[ends - 1] = 1
    coded = np.packbits(unary).tobytes()
    if k:
        places = np.arange(k - 1, -1, -1, dtype=np.uint64)
        remainders = ((folded[:, None] >> places) & np.uint64(1)).astype(np.uint8)
        coded += np.packbits(remainders.ravel()).tobytes()
    escaped = quotients[quotients >= _ESCAPE] - np.uint64(_ESCAPE)
    return coded + b"".join(unsigned_varint(value) for value in escaped.tolist())


def _rice_decode(body: bytes, k: int, size: int) -> npt.NDArray[np.uint64]:
    if k > 56:
        raise CodecError(f"a Rice parameter of {k}")
    if size == 0:
        if body:
            raise CodecError("bytes behind a column of zeros")
        return np.zeros(0, np.uint64)
    # At most _ESCAPE + 1 bits and k bits each, and a varint of up to ten bytes for those that escape.
    coded = np.frombuffer(body[: (size * (_ESCAPE + 1 + k) + 22) // 8], np.uint8)
    bits = np.unpackbits(coded)
    ends = bits.nonzero()[0][:size]
    if len(ends) < size:
        raise CodecError("a column ends before its last value")
    start = int(ends[-1]) // 8 + 1
    at = start + (k * size + 7) // 8
    if at > len(coded):
        raise CodecError("a column ends before its last value")
    folded = np.empty(size, np.uint64)
    folded[0] = ends[0]
    folded[1:] = ends[1:] - ends[:-1] - 1
    if at < len(body) or folded.max() >= _ESCAPE:
        for place in np.flatnonzero(folded >= _ESCAPE).tolist():
            more, at = read_unsigned_varint(body, at)
            if more > (1 << 64) - 1 - _ESCAPE:
                raise CodecError("a number of more than 64 bits")
            folded[place] = _ESCAPE + more
        if at != len(body):
            raise CodecError("bytes behind a column")
    if k:
        folded <<= np.uint64(k)
        folded |= _numbers(bits[start * 8 : start * 8 + k * size].reshape(size, k))
    return folded


def _numbers(bits: Bits) -> npt.NDArray[Any]:
    """The unsigned numbers whose bits stand in the rows, highest first; (n, k) to (n,)."""
    n, k = bits.shape
    width = 1 if k <= 8 else 2 if k <= 16 else 4 if k <= 32 else 8
    padded: Bits = np.zeros((n, 8 * width), np.uint8)
    padded[:, 8 * width - k :] = bits
    return np.packbits(padded).view(f">u{width}")


# --- small things -----------------------------------------------------------------------------------------------------


def _varint(value: int) -> bytes:
    """A signed int64, folded so that small magnitudes are short."""
    return unsigned_varint((value << 1) ^ (value >> 63))


def unsigned_varint(value: int) -> bytes:
    """A number in 7-bit groups, least first."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    folded, at = read_unsigned_varint(data, at)
    return checked_int64((folded >> 1) ^ -(folded & 1)), at


def read_unsigned_varint(data: bytes, at: int) -> tuple[int, int]:
    if at < len(data) and data[at] < 128:
        return data[at], at + 1
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise CodecError("the bytes end within a number")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            if value >= 1 << 64:
                break
            return value, at
    raise CodecError("a number of more than 64 bits")


def counted(data: bytes) -> bytes:
    """Bytes behind a varint that says how many they are; `read_counted` is the inverse."""
    return unsigned_varint(len(data)) + data


def read_counted(data: bytes, at: int) -> tuple[bytes, int]:
    """(what `counted` counted, where the next begins). Raises `CodecError` where the bytes are not there."""
    size, at = read_unsigned_varint(data, at)
    end = at + size
    if end > len(data):
        raise CodecError(f"{size} bytes announced, {len(data) - at} are there")
    return data[at:end], end


def packb(value: Any) -> bytes:
    packed: bytes = msgpack.packb(value, use_bin_type=True)
    return packed


def unpackb(data: bytes) -> Any:
    """MessagePack, with no claim of a length believed that the bytes do not back. Raises ValueError (or a subclass)."""
    size = len(data)
    try:
        return msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=True,
            max_str_len=size,
            max_bin_len=size,
            max_array_len=size,
            max_map_len=0,
            max_ext_len=0,
        )
    except (msgpack.UnpackException, ValueError, RecursionError, OverflowError) as error:
        raise CodecError(f"not MessagePack: {error}") from None


def checked(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise CodecError(f"{kind.__name__} expected, {type(value).__name__} found")
    return value


def checked_int64(value: Any) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise CodecError("a whole number of 64 bits expected")
    return value
