"""The codec gives back what it was given, bit for bit, and believes nothing that hostile bytes claim."""

import contextlib
import resource

import msgpack
import numpy as np
import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.tidegate.frames import ADCP, CTD, SCHEMAS, frames, same
from tidegate.clock import Arrival, TimeSource
from tidegate.codec import MAX_SAMPLES, CodecError, UnknownSchema, decode_frame, encode_frame, pack, unpack
from tidegate.frame import Cells, Field, Frame, Schema


@given(frames())
def test_a_frame_comes_back_as_it_went(frame: Frame) -> None:
    assert same(decode_frame(encode_frame(frame), SCHEMAS), frame)


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
    arrival = b"\x00\x00"
    zeros, claim = b"\x00\x00", 50_000
    bombs = [
        b"\xdd\xff\xff\xff\xff",
        msgpack.packb(["x", wide.id, claim, arrival, [zeros, zeros]]),
        msgpack.packb(["x", wide.id, 2**62, arrival, [zeros, zeros]]),
    ]
    size = 1 << 30
    squeezed = zstandard.ZstdCompressor(level=19).compress(bytes(size))
    stream = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    unsized = stream.compress(bytes(1 << 20)) + stream.flush()
    for body in (squeezed, unsized):
        bombs.append(msgpack.packb(["x", wide.id, 100, arrival, [zeros, bytes([0x30, 8]) + body]]))
    del squeezed
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for bomb in bombs:
        with pytest.raises(CodecError):
            decode_frame(bomb, {wide.id: wide})
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # KiB


def test_rice_codes_that_lead_nowhere_are_refused() -> None:
    def column(k: int, zeros: int, rest: bytes) -> bytes:
        return bytes([1 << 4, k]) + np.packbits([0] * zeros + [1]).tobytes() + rest

    assert unpack(column(0, 10, b"\x04"), (1, 1)).tolist() == [[7]]
    with pytest.raises(CodecError):  # ten and 2**64 - 1 more
        unpack(column(0, 10, b"\xff" * 9 + b"\x01"), (1, 1))
    with pytest.raises(CodecError):  # so long a quotient that its remainder would stand beyond every right one
        unpack(column(56, 80, bytes(7)), (1, 1))


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
            "95a56374642d31c408881c4238e791e28705c40fc180ea3080890f0123456789abcdef95c4074780c49fd50c0292c408"
            "5002a4aa22684004c4041000c380c4075002b2c53ecabbc4095404a29c011a870f6dc403440e02"
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
        (
            "95a461646370c408ae7fa195dcf1969c02c402000094c4074780c49fd50c02c40744beb204bbb204c409d4010002fc0f"
            "e00000c408d4007405fc00fe26"
        ),
    ),
]


@pytest.mark.parametrize(("frame", "expected"), GOLDEN, ids=["ctd", "adcp"])
def test_golden_vectors_fix_the_format(frame: Frame, expected: str) -> None:
    assert encode_frame(frame).hex() == expected
    assert same(decode_frame(bytes.fromhex(expected), SCHEMAS), frame)
