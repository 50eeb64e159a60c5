"""Frames as bytes, and back: a few bytes a sample, restored exactly at the declared resolution.

A Frame travels as a MessagePack array: instrument, schema id, number of samples, time source, arrival, and one packed
column after the other (time first, then the schema's fields in order). A column is packed so:

* Floats become whole numbers of the field's resolution; integers stay. Missing values take the value before them, and a
  second packed column of `Missing` codes tells them apart.
* A predictor takes away what can be foreseen: nothing, the value before (`TIME`), the straight line through the two
  values before (`LINE`), or the neighbouring cell of the same profile (`CELL`).
* Where all values are whole thousands, millions or milliards (times in nanoseconds mostly are), that factor goes
  first; and where the residuals lie around another middle than zero (the interval of an even clock), the middle goes.
* The residuals, folded to unsigned (0, -1, 1, -2 → 0, 1, 2, 3), are coded as nothing at all where all are zero, as Rice
  codes (quotients in unary in one run of bits, then k-bit remainders in another, so that both directions are array
  operations; the few that are far out follow in full), as a plain run of bytes, or as those bytes under zstd. The
  encoder tries what is sensible and keeps the shortest.

Bytes from outside are hostile until proven otherwise: whatever they hold, decoding returns Frames or raises
`CodecError`, and never makes more than `MAX_VALUES` values (8 bytes each, a small multiple in work arrays) from one
call.
"""

from collections.abc import Mapping
from enum import IntEnum
from functools import lru_cache
from typing import Any

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

_LARGEST = 2**51  # beyond, two roundings of a double may reach the next step

_ONE = np.uint64(1)

Ints = npt.NDArray[np.int64]
Bits = npt.NDArray[np.uint8]


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


# By number: looking a member up in its class costs more than all else in a column's head.
_PREDICTORS, _CODERS = tuple(_Predictor), tuple(_Coder)
_FIRSTS = (0, 1, 2, 1)
"""How many first values stand before the residuals of each predictor."""


# --- frames -----------------------------------------------------------------------------------------------------------


def encode_frame(frame: Frame) -> bytes:
    """A Frame as bytes. Raises `CodecError` where a value is beyond 2**51 steps of its resolution, or there are too
    many."""
    if len(frame) > MAX_SAMPLES:
        raise CodecError(f"{frame.instrument}: {len(frame)} samples in one Frame; at most {MAX_SAMPLES}: split it")
    packed: list[Any] = [pack(frame.time[:, None])]
    for f in frame.schema.fields:
        steps, reasons = _to_steps(frame, f)
        body = pack(steps)
        packed.append([body, pack(reasons)] if reasons.any() else body)
    return packb(
        [
            frame.instrument,
            frame.schema.id,
            len(frame),
            _pack_arrival(frame),
            packed,
        ]
    )


def decode_frame(data: bytes, schemas: Mapping[bytes, Schema], *, most_values: int = MAX_VALUES) -> Frame:
    """The Frame that `encode_frame` made. `schemas` maps schema ids to schemas.

    Raises `UnknownSchema` where the id is not among them and `CodecError` on anything else that is wrong.
    """
    try:
        instrument, schema_id, n, arrived, packed = unpackb(data)
        instrument, schema_id = checked(instrument, str), checked(schema_id, bytes)
        n, arrived, packed = checked(n, int), checked(arrived, bytes), checked(packed, list)
    except (ValueError, TypeError) as error:
        raise CodecError(f"not a Frame: {error}") from None
    schema = schemas.get(schema_id)
    if schema is None:
        raise UnknownSchema(instrument, schema_id)
    if len(packed) != 1 + len(schema.fields):
        raise CodecError(f"{instrument}: {len(packed)} columns; the schema has {1 + len(schema.fields)} with time")
    if not 0 <= n <= MAX_SAMPLES or values_of(schema, n) > most_values:
        raise CodecError(f"{instrument}: {n} samples ({values_of(schema, n)} values) are more than may come at once")
    time = unpack(checked(packed[0], bytes), (n, 1))[:, 0]
    source, arrival = _unpack_arrival(arrived, time)
    columns: dict[str, Column] = {}
    reasons: dict[str, npt.NDArray[np.uint8]] = {}
    for f, item in zip(schema.fields, packed[1:], strict=True):
        shape = (n, schema.width(f))
        if isinstance(item, list) and len(item) == 2:
            steps = unpack(checked(item[0], bytes), shape)
            codes = unpack(checked(item[1], bytes), shape)
            if codes.size and (codes.min() < 0 or codes.max() > 255):
                raise CodecError(f"{instrument}: {f.name} holds impossible reasons")
            absent = codes.astype(np.uint8)
        else:
            steps, absent = unpack(checked(item, bytes), shape), None
        values = _from_steps(steps, f, absent)
        columns[f.name] = values if f.profile else values[:, 0]
        if absent is not None:
            reasons[f.name] = absent if f.profile else absent[:, 0]
    return Frame(instrument, schema, time, columns, source, arrival, reasons)


def values_of(schema: Schema, n: int) -> int:
    """Values that `n` samples of a schema hold, time counted."""
    return n * (1 + sum(schema.width(f) for f in schema.fields))


def instrument_of(data: bytes) -> str | None:
    """The instrument that an undecodable Frame says it is of; None where even that cannot be read."""
    try:
        name = unpackb(data)[0]
    except (ValueError, TypeError, IndexError, KeyError):
        return None
    return name if isinstance(name, str) else None


_DISCIPLINED, _ARRIVED = 0x80, 0x40


def _pack_arrival(frame: Frame) -> bytes:
    """Time source and arrival, to the microsecond: a byte of both, UTC after the first sample's time, monotonic,
    boot."""
    arrival = frame.arrival
    kind = int(frame.source) | (_DISCIPLINED if arrival.disciplined else 0)
    if arrival.utc_ns == NAT:
        return bytes([kind]) + _varint(arrival.monotonic_ns // 1000) + bytes.fromhex(arrival.boot)
    after_us = arrival.utc_ns // 1000 - _reference_us(frame.time)
    head = bytes([kind | _ARRIVED]) + _varint(after_us)
    return head + _varint(arrival.monotonic_ns // 1000) + bytes.fromhex(arrival.boot)


def _unpack_arrival(data: bytes, time: Ints) -> tuple[TimeSource, Arrival]:
    if not data:
        raise CodecError("no arrival")
    kind, at, utc_ns = data[0], 1, NAT
    if kind & _ARRIVED:
        after_us, at = _read_varint(data, at)
        utc_ns = checked_int64((_reference_us(time) + after_us) * 1000)
    monotonic_us, at = _read_varint(data, at)
    try:
        source = TimeSource(kind & ~(_DISCIPLINED | _ARRIVED))
    except ValueError as error:
        raise CodecError(str(error)) from None
    return source, Arrival(utc_ns, checked_int64(monotonic_us * 1000), data[at:].hex(), bool(kind & _DISCIPLINED))


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
    if absent.any():
        steps = _fill_forward(steps, absent != 0)
    return steps, absent


def _from_steps(steps: Ints, f: Field, absent: npt.NDArray[np.uint8] | None) -> Column:
    if f.integer:
        return steps if absent is None else np.where(absent != 0, MISSING_INT, steps)
    scale = _scale(f.resolution)
    values = np.asarray(steps / scale if scale is not None else steps * f.resolution, np.float64)
    restored: Column = values if absent is None else np.where(absent != 0, np.nan, values)
    return restored


def _fill_forward(steps: Ints, absent: npt.NDArray[np.bool_]) -> Ints:
    """Missing places take the last present value of their cell, so that they cost nothing; 0 before the first."""
    at = np.where(absent, -1, np.arange(len(steps))[:, None])
    np.maximum.accumulate(at, axis=0, out=at)
    filled = np.take_along_axis(steps, np.maximum(at, 0), axis=0)
    return np.where(at < 0, 0, filled)


# --- packed integers --------------------------------------------------------------------------------------------------


def pack(values: npt.NDArray[Any]) -> bytes:
    """Whole numbers of shape (n, c) as bytes; `unpack` needs the shape."""
    a = values.astype(np.int64, copy=False)
    n, c = a.shape
    if a.size == 0:
        return b""
    scale = next((k for k in (3, 2, 1) if not (a % 1000**k).any()), 0)
    a = a // 1000**scale if scale else a
    candidates = [_Predictor.TIME]
    if c == 1 and n > 2:
        candidates.append(_Predictor.LINE)
    if c > 1:
        candidates.append(_Predictor.CELL)
    candidates.append(_Predictor.NONE)
    best: bytes | None = None
    for predictor in candidates:
        head, residual = _predict(a, predictor)
        centre = _centre(residual)
        with np.errstate(over="ignore"):
            coder, k, body = _code(residual - centre if centre else residual)
        kind = predictor << 6 | coder << 4 | bool(centre) << 2 | scale
        packed = bytes([kind]) + (bytes([k]) if coder else b"") + head + (_varint(centre) if centre else b"") + body
        if best is None or len(packed) < len(best):
            best = packed
        if coder is _Coder.ZERO:
            break
    assert best is not None
    return best


def _centre(residual: Ints) -> int:
    """What is taken off all residuals first: the middle one where it stands out (an even clock's interval), or 0."""
    if not residual.size:
        return 0
    half = residual.size // 2
    middle = int(np.partition(residual, half)[half])
    if middle == 0:
        return 0
    with np.errstate(over="ignore"):
        spread = int(np.partition(np.abs(residual - middle), half)[half])
    return middle if abs(middle) > spread else 0


def unpack(data: bytes, shape: tuple[int, int]) -> Ints:
    """The whole numbers that `pack` packed; int64 of `shape`. Raises `CodecError` where the bytes do not give them."""
    n, c = shape
    if n * c == 0:
        if data:
            raise CodecError("bytes behind an empty column")
        return np.zeros(shape, np.int64)
    if not data:
        raise CodecError("a column ends before it begins")
    kind = data[0]
    predictor, coder, centred, scale = _PREDICTORS[kind >> 6], _CODERS[kind >> 4 & 3], kind & 4, kind & 3
    if kind & 8:
        raise CodecError("a column of a kind that is not known")
    if predictor is _Predictor.LINE and (c != 1 or n < 3):
        raise CodecError("a line through fewer than three values")
    at = 1
    k = 0
    if coder:
        if len(data) < 2:
            raise CodecError("a column ends in its head")
        k, at = data[1], 2
    firsts: list[int] = []
    for _ in range(_FIRSTS[predictor]):
        value, at = _read_varint(data, at)
        firsts.append(value)
    centre = 0
    if centred:
        centre, at = _read_varint(data, at)
    residual = _decode(coder, k, data[at:], n * c - len(firsts))
    if centre:
        residual += centre
    values = _restore(predictor, firsts, residual, n, c)
    return values * 1000**scale if scale else values


def _predict(a: Ints, predictor: _Predictor) -> tuple[bytes, Ints]:
    """(first values, residuals): subtraction wraps around in int64, and so does its inverse, so nothing overflows."""
    with np.errstate(over="ignore"):
        if predictor is _Predictor.NONE:
            return b"", a.ravel()
        if predictor is _Predictor.LINE:
            d = np.diff(a[:, 0])
            return _varint(int(a[0, 0])) + _varint(int(d[0])), np.diff(d)
        residual = a.copy()
        if predictor is _Predictor.CELL:
            # Each profile from its own first cell; the first cells from the profile before.
            residual[:, 1:] -= a[:, :-1]
            residual[1:, 0] -= a[:-1, 0]
        else:
            residual[1:] -= a[:-1]
            residual[0, 1:] -= a[0, :-1]
        return _varint(int(a[0, 0])), residual.ravel()[1:]


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
    folded = _rice_decode(body, k, size) if coder is _Coder.RICE else _plain_decode(coder, k, body, size)
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


# --- Rice codes -------------------------------------------------------------------------------------------------------

_ESCAPE = 10
"""Quotients from here on are rare: what they exceed it by follows the codes, each as a varint."""


def _rice_parameter(folded: npt.NDArray[np.uint64]) -> tuple[int, int]:
    """The k that gives the fewest bits, and about how many those are: tried around the logarithm of the median, which
    outliers do not move."""
    middle = int(np.partition(folded, folded.size // 2)[folded.size // 2])
    guess = middle.bit_length()
    best = (0, 1 << 62)
    for k in range(max(guess - 2, 0), min(guess + 2, 56)):
        quotients = folded >> np.uint64(k)
        bits = int(np.minimum(quotients, _ESCAPE).sum()) + folded.size * (1 + k)
        bits += 12 * int(np.count_nonzero(quotients >= _ESCAPE))
        if bits < best[1]:
            best = (k, bits)
    return best


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
    return coded + b"".join(_unsigned_varint(value) for value in escaped.tolist())


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
            more, at = _read_unsigned_varint(body, at)
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
    return _unsigned_varint((value << 1) ^ (value >> 63))


def _unsigned_varint(value: int) -> bytes:
    """A number in 7-bit groups, least first."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    folded, at = _read_unsigned_varint(data, at)
    return checked_int64((folded >> 1) ^ -(folded & 1)), at


def _read_unsigned_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise CodecError("a column ends within a number")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            if value >= 1 << 64:
                break
            return value, at
    raise CodecError("a number of more than 64 bits")


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
