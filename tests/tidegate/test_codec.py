"""The codec gives back what it was given, bit for bit, and believes nothing that hostile bytes claim."""

import contextlib
import resource

import numpy as np
import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.tidegate.frames import ADCP, CTD, SCHEMAS, frames, same
from tidegate.clock import Arrival, TimeSource
from tidegate.codec import (
    MAX_SAMPLES,
    CodecError,
    UnknownSchema,
    counted,
    decode_frame,
    encode_frame,
    instrument_of,
    pack,
    samples_of,
    unpack,
    unsigned_varint,
)
from tidegate.frame import Cells, Field, Frame, Schema


@given(frames())
def test_a_frame_comes_back_as_it_went(frame: Frame) -> None:
    data = encode_frame(frame)
    assert same(decode_frame(data, SCHEMAS), frame)
    assert (instrument_of(data), samples_of(data)) == (frame.instrument, len(frame))


@given(
    st.sampled_from([1, 100, 2**40, 2**62]).flatmap(
        lambda m: hnp.arrays(
            np.int64,
            st.tuples(st.integers(1, 60), st.integers(1, 9)),
            elements=st.integers(-m, m),
        )
    )
)
@example(np.array([[-(2**63)], [2**63 - 1], [0], [-(2**63)]]))
@example(np.array([[2**63 - 1], [-(2**63)]]))
def test_any_whole_numbers_pack(values: np.ndarray) -> None:
    assert np.array_equal(unpack(pack(values), values.shape), values)


def test_values_are_the_nearest_doubles_to_the_printed_decimals() -> None:
    printed = ["13.7971", "-0.0001", "28.1000", "4.0124"]
    column = np.array([float(text) for text in printed])
    schema = Schema("ctd", (Field.of("sea_water_temperature"),))
    frame = Frame("t", schema, np.arange(4), {"sea_water_temperature": column + 3e-6})
    back = decode_frame(encode_frame(frame), {schema.id: schema})
    assert back.columns["sea_water_temperature"].tolist() == column.tolist()


def test_what_cannot_be_coded_is_named() -> None:
    schema = Schema("ctd", (Field.of("sea_water_temperature"),))
    frame = Frame("ctd-9", schema, np.zeros(1, np.int64), {"sea_water_temperature": np.array([1e300])})
    with pytest.raises(CodecError, match=r"ctd-9: sea_water_temperature = 1e\+300"):
        encode_frame(frame)


def test_an_undeclared_schema_is_told_apart() -> None:
    frame = Frame("ctd-9", CTD, np.zeros(0, np.int64), {f.name: _empty(f) for f in CTD.fields})
    with pytest.raises(UnknownSchema) as caught:
        decode_frame(encode_frame(frame), {})
    assert caught.value.id == CTD.id
    assert caught.value.instrument == "ctd-9"


def _empty(f: Field) -> np.ndarray:
    return np.zeros(0, np.int64 if f.integer else np.float64)


@given(frames(), st.data())
def test_damaged_bytes_give_a_frame_or_the_one_error(frame: Frame, data: st.DataObject) -> None:
    packed = bytearray(encode_frame(frame))
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        packed = packed[: data.draw(st.integers(0, len(packed)))]
    with contextlib.suppress(CodecError):
        decode_frame(bytes(packed), SCHEMAS)


@given(st.binary(max_size=300))
def test_random_bytes_give_the_one_error(data: bytes) -> None:
    with pytest.raises(CodecError):
        decode_frame(data, SCHEMAS)


def test_bombs_are_refused_before_they_grow() -> None:
    """Claims of much data in few bytes: array lengths, counts of samples, zstd frames of zeros or of no stated size."""
    wide = Schema("adcp", (Field.of("eastward_sea_water_velocity", profile=True),), Cells(1000, 1.0, 1.0))
    zeros = b"\x20\x00"

    def bomb(n: int, *columns: bytes) -> bytes:
        return b"\x01x" + wide.id + unsigned_varint(n) + b"\x00\x00" + b"".join(map(counted, columns))

    assert len(decode_frame(bomb(100, zeros, zeros), {wide.id: wide})) == 100
    sparse = unsigned_varint(2**62)
    bombs = [
        b"\xff\xff\xff\xff\xff",
        bomb(50_000, zeros, zeros),
        bomb(2**62, zeros, zeros),
        bomb(100, zeros, zeros)[:-3] + unsigned_varint(2**62) + zeros,
        bomb(100, zeros, bytes([4 << 2, 0]) + sparse + bytes(50)),
        bomb(100, zeros, bytes([4 << 2, 0]) + b"\x01" + sparse + b"\x00"),
    ]
    size = 1 << 30
    squeezed = zstandard.ZstdCompressor(level=19).compress(bytes(size))
    stream = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    unsized = stream.compress(bytes(1 << 20)) + stream.flush()
    for body in (squeezed, unsized):
        bombs.append(bomb(100, zeros, bytes([3 << 2, 8]) + body))
    del squeezed
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for data in bombs:
        with pytest.raises(CodecError):
            decode_frame(data, {wide.id: wide})
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # KiB


def test_rice_codes_that_lead_nowhere_are_refused() -> None:
    def column(k: int, zeros: int, rest: bytes) -> bytes:
        return bytes([1 << 2, k]) + np.packbits([0] * zeros + [1]).tobytes() + rest

    assert unpack(column(0, 10, b"\x04"), (1, 1)).tolist() == [[7]]
    with pytest.raises(CodecError):  # ten and 2**64 - 1 more
        unpack(column(0, 10, b"\xff" * 9 + b"\x01"), (1, 1))
    with pytest.raises(CodecError):  # so long a quotient that its remainder would stand beyond every right one
        unpack(column(56, 80, bytes(7)), (1, 1))


def test_a_column_follows_only_what_stands_before_it_in_its_width() -> None:
    """Column 1 says that it follows column `place`, with a slope of 1."""
    series = Schema("s", tuple(Field(name, "1", 1.0, True) for name in "ab"))
    mixed = Schema("m", (series.fields[0], Field("b", "1", 1.0, True, True)), Cells(2, 1.0, 1.0))

    def frame(schema: Schema, place: int) -> bytes:
        head = b"\x01x" + schema.id + unsigned_varint(3) + b"\x00\x00"
        ramp = bytes([2 << 5, 0, 14])  # 0, 7, 14
        follows = bytes([4 << 2, 0x80]) + unsigned_varint(place) + unsigned_varint(128) + b"\x00"
        return head + b"".join(map(counted, (b"\x20\x00", ramp, follows)))

    schemas = {schema.id: schema for schema in (series, mixed)}
    assert decode_frame(frame(series, 0), schemas).columns["b"].tolist() == [0, 7, 14]
    for schema, place in ((series, 1), (series, 2), (series, 2**40), (mixed, 0)):
        with pytest.raises(CodecError, match="does not stand before it"):
            decode_frame(frame(schema, place), schemas)


def test_a_column_that_follows_another_costs_less() -> None:
    temperature = np.cumsum(np.random.default_rng(3).integers(-90, 90, 60))
    schema = Schema("s", tuple(Field(name, "1", 1.0, True) for name in "ab"))

    def size(other: np.ndarray) -> int:
        return len(encode_frame(Frame("x", schema, np.zeros(60, np.int64), {"a": temperature, "b": other})))

    assert size(temperature * 5 // 4 + 7) < size(temperature[::-1] * 5 // 4) - 30


def test_missing_values_cost_only_their_reasons() -> None:
    values = np.random.default_rng(4).integers(-900, 900, (10, 40)) / 1000
    absent = np.zeros((10, 40), np.uint8)
    absent[:, 20:] = 2
    name = "eastward_sea_water_velocity"

    def size(columns: np.ndarray, cells: int, reasons: dict[str, np.ndarray]) -> int:
        schema = Schema("adcp", (Field.of(name, profile=True),), Cells(cells, 1.0, 1.0))
        frame = Frame("x", schema, np.zeros(10, np.int64), {name: columns}, reasons=reasons)
        data = encode_frame(frame)
        assert same(decode_frame(data, {schema.id: schema}), frame)
        return len(data)

    whole = size(values[:, :20], 20, {})
    assert size(np.where(absent, np.nan, values), 40, {name: absent}) < whole + 60


def test_what_is_nowhere_present_is_no_bytes() -> None:
    schema = Schema("ctd", (Field.of("sea_water_temperature"),))
    frame = Frame("x", schema, np.arange(9), {"sea_water_temperature": np.full(9, np.nan)})
    data = encode_frame(frame)
    assert data[-1:] == b"\x00"
    assert same(decode_frame(data, {schema.id: schema}), frame)
    with pytest.raises(CodecError, match="empty column"):
        decode_frame(data[:-1] + b"\x02\x20\x00", {schema.id: schema})


def test_a_head_that_does_not_fit_is_refused_at_the_source() -> None:
    schema = Schema("s", (Field("a", "1", 1.0, True),))
    empty = {"a": np.zeros(0, np.int64)}
    for name, boot in (("x" * 256, ""), ("x", "00ff")):
        with pytest.raises(CodecError, match="at most 255 bytes, a boot 8"):
            encode_frame(Frame(name, schema, np.zeros(0, np.int64), empty, arrival=Arrival(0, 0, boot, True)))


def test_too_many_samples_are_refused_at_the_source() -> None:
    n = MAX_SAMPLES + 1
    schema = Schema("ctd", (Field.of("sea_water_temperature"),))
    with pytest.raises(CodecError, match="split it"):
        encode_frame(Frame("x", schema, np.zeros(n, np.int64), {"sea_water_temperature": np.zeros(n)}))


GOLDEN = [
    (
        Frame(
            "ctd-1",
            CTD,
            1_700_000_000_000_000_000 + np.arange(5) * 10**9,
            {
                "sea_water_temperature": np.array([28.1234, 28.1236, np.nan, 28.1233, 28.1241]),
                "sea_water_electrical_conductivity": np.array([5.12345, 5.12346, 5.12344, 5.12349, 5.12345]),
                "sea_water_pressure_due_to_sea_water": np.array([10.001, 10.014, 9.987, 10.003, 10.009]),
                "sample_number": np.arange(7, 12),
            },
            TimeSource.INSTRUMENT,
            Arrival(1_700_000_000_400_000_000, 123_456_000, "0123456789abcdef", True),
            {"sea_water_temperature": np.array([0, 0, 2, 0, 0], np.uint8)},
        ),
        (
            "056374642d31881c4238e791e28705f180ea3080890f0123456789abcdef0109270080c49fd50c2490040400c3800704"
            "42a8aa22d2c6080441b2c53eb0c020090443a69c0191a07b880524000e2490"
        ),
    ),
    (
        Frame(
            "adcp",
            ADCP,
            1_700_000_000_000_000_000 + np.arange(2) * 10**9,
            {
                "platform_orientation": np.array([359.99, 0.01]),
                "eastward_sea_water_velocity": np.arange(14).reshape(2, 7) / 1000,
                ADCP.fields[2].name: np.arange(14).reshape(2, 7)[:, ::-1] * 3 + 40,
            },
        ),
        ("0461646370ae7fa195dcf1969c02000008074082c49fd50c6007040f30327c000809640200fc7faaaaaa80077040740501062f"),
    ),
    (
        Frame(
            "ctd-1",
            CTD,
            1_700_000_000_000_000_000 + (np.arange(30) * 10 + (np.arange(30) > 19) * 180) * 10**9,
            {
                "sea_water_temperature": np.where(
                    np.arange(30) == 4, np.nan, (np.arange(30) ** 3 % 89 + 281_000) / 10_000
                ),
                "sea_water_electrical_conductivity": np.where(
                    np.arange(30) == 4, np.nan, (np.arange(30) ** 3 % 89 * 5 // 4 + 512_000) / 100_000
                ),
                "sea_water_pressure_due_to_sea_water": np.full(30, 7.5),
                "sample_number": np.arange(30) + 5000,
            },
            TimeSource.LOGGER,
            Arrival(1_700_000_000_400_000_000, 123_456_000, "", False),
        ),
        (
            "056374642d31881c4238e791e2871ea480ea3080890f030f530080c49fd50c140212e70200e602051000010401200445"
            "9aa72225e563492d2af52049f33089dc3fc0082b452d3b4fa28fd31aa1800510000104010f04c000a001febf3e24ccc9"
            "24ff267e032098750440904e02"
        ),
    ),
]


@pytest.mark.parametrize(("frame", "expected"), GOLDEN, ids=["ctd", "adcp", "follows"])
def test_golden_vectors_fix_the_format(frame: Frame, expected: str) -> None:
    assert encode_frame(frame).hex() == expected
    assert same(decode_frame(bytes.fromhex(expected), SCHEMAS), frame)
