"""Blocks of a mooring's controller: the words come out as they went in, and what is damaged never becomes a number."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.driver import Decoded, Problem
from drivers.recording import Offsets, Piece, Stamps, batches, pieces, sniff
from drivers.seabird.sbe37 import Sbe37
from drivers.sio import checksum
from tests.drivers.decoded import frames
from tests.drivers.line_drivers import PROBABLE
from tidegate.clock import NAT

SECOND_NS = 1_000_000_000
# A sample of the OOI's test of its ctdmo parser: controller's time, address, seven bytes, the instrument's time.
AT, ADDRESS = 0x51EF36D6, 0x37
SAMPLE = bytes.fromhex("394ce0c354e60a" + "81d58119")
DIGITS = b"394CE0C354E60A81D58119\r\n"


def wrap(name: bytes, data: bytes, at: int = AT, number: int = 1) -> bytes:
    head = b"\x01%s_%04Xu%08X_%02X_%04X\x02" % (name, len(data), at, number % 256, checksum(data))
    return head + data + b"\x03"


def packed(*samples: bytes, address: int = ADDRESS) -> bytes:
    return b"".join(bytes([address]) + sample + b"\r" for sample in samples)


def test_the_checksum_is_x25() -> None:
    """The check value of the catalogue of CRC algorithms, and the rule for no data."""
    assert checksum(b"123456789") == 0x906E
    assert checksum(b"") == 0


def decoded(recording: bytes, cuts: int = 10**9, only: str = "") -> list[Decoded]:
    driver = Sbe37("it", Sbe37.Settings(pressure_range_psia=1450.0))
    items: list[Decoded] = []
    parts = (recording[i : i + cuts] for i in range(0, len(recording), cuts))
    for batch in batches(parts, only=only):
        items += driver.feed_all(batch.pieces)
    return items + driver.finish()


def test_a_packed_sample_is_the_scan_that_the_instrument_sent() -> None:
    recording = wrap(b"CT1236801", packed(SAMPLE))
    assert sniff(recording) is Stamps.SIO
    (piece,) = pieces([recording])
    assert (piece.data, piece.at.utc_ns, piece.offset) == (DIGITS, AT * SECOND_NS, 33)
    (frame,) = frames(decoded(recording))
    assert frame.columns["sea_water_temperature"].tolist() == [13.4702]
    assert frame.columns["sea_water_electrical_conductivity"].tolist() == [0.00004]
    assert frame.time.tolist() == [(0x1981D581 + 946_684_800) * SECOND_NS]


LINES = b"#MCAT Status\r\n#Begin Data\r\n" + DIGITS + DIGITS + b"#End Data\r\n"
WHOLE = (
    wrap(b"CT1236801", packed(SAMPLE, SAMPLE))
    + wrap(b"CO1236801", packed(b"\xff\xff\xff\xe7"))
    + wrap(b"CS1236800", b"\n12.5 20.1 3 4 5\n")
    + wrap(b"CT1236855", LINES.rstrip())
    + b"\r\n"
    + wrap(b"CT1236801", packed(SAMPLE, address=0x36))
)


def test_both_forms_of_a_microcat_and_what_is_the_controllers_own() -> None:
    assert [p.data for p in pieces([WHOLE])] == [DIGITS, DIGITS, LINES, DIGITS]
    found = decoded(WHOLE)
    assert sum(len(f) for f in frames(found)) == 5
    assert not [p for p in found if isinstance(p, Problem)]


def test_a_packed_sample_that_is_none_costs_the_rest_of_its_block_alone() -> None:
    broken = packed(SAMPLE, SAMPLE) + packed(SAMPLE)[3:]
    said = list(pieces([wrap(b"CT1236801", broken) + GOOD]))
    assert [p.data for p in said] == [DIGITS, DIGITS, b"\x01\xe0\xc3T\xe6\n", b"\x01\x81\xd5\x81\x19\r", LINES]
    found = decoded(wrap(b"CT1236801", broken) + GOOD)
    assert sum(map(len, frames(found))) == 4
    assert [p.kind for p in found if isinstance(p, Problem)] == ["noise", "noise"]


def test_one_instrument_of_several_is_taken() -> None:
    def said(only: str) -> list[bytes]:
        return [data for batch in batches([WHOLE], only=only) for data, _ in batch.pieces]

    assert said("CT1236855") == [DIGITS, DIGITS, LINES]
    assert said("CT1236854") == [DIGITS]
    assert said("CT") == [DIGITS, DIGITS, LINES, DIGITS]
    assert said("CS") == [b"\n12.5 20.1 3 4 5\n"]
    assert said("AD") == []


GOOD = wrap(b"CT1236801", LINES)


@settings(PROBABLE, max_examples=200)
@given(st.data())
def test_a_damaged_block_gives_no_number_and_does_not_disappear(data: st.DataObject) -> None:
    at, octet = data.draw(st.integers(0, len(GOOD) - 1)), data.draw(st.integers(0, 255))
    torn = data.draw(st.booleans())
    damaged = GOOD[:at] + (b"" if torn else bytes([octet])) + GOOD[at + 1 :]
    found = decoded(WHOLE + damaged + WHOLE, data.draw(st.integers(20, 500)))
    count = sum(len(f) for f in frames(found))
    # The time, the number and the kind of a block have no checksum: with others it is still this instrument's words.
    headless = at in (*range(1, 10), *range(15, 24), *range(25, 27)) and not torn
    if damaged in (GOOD, GOOD.lower()) or headless or count == 12:
        return
    assert count == 10
    assert [p for p in found if isinstance(p, Problem)]
    assert {p.kind for p in found if isinstance(p, Problem)} <= set(Sbe37.problems)


@PROBABLE
@given(
    st.lists(st.tuples(st.sampled_from([b"AD", b"FL", b"DO", b"WE"]), st.binary(max_size=300)), max_size=12), st.data()
)
def test_any_stream_comes_out_as_it_went_in(blocks: list[tuple[bytes, bytes]], data: st.DataObject) -> None:
    recording = b"".join(wrap(name + b"1236801", said, AT + i, i) for i, (name, said) in enumerate(blocks))
    cuts = data.draw(st.lists(st.integers(0, 200), max_size=20))
    found = list(pieces(cut(recording, cuts), Stamps.SIO))
    assert [(p.data, p.at.utc_ns) for p in found] == [
        (said, (AT + i) * SECOND_NS) for i, (_, said) in enumerate(blocks) if said
    ]
    assert all(recording[p.offset : p.offset + len(p.data)] == p.data for p in found)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    out = []
    for size in sizes:
        out.append(data[:size])
        data = data[size:]
    return [*out, data]


def flat(found: list[Piece]) -> list[tuple[int, bytes, int]]:
    return [(p.offset, p.data, p.at.utc_ns) for p in found]


PARTS = st.sampled_from(
    [WHOLE, GOOD, GOOD[:60], GOOD[20:], GOOD.replace(b"394", b"395"), b"\x01", b"\x03", b"\r", b"\n", b"24.1, 0.1\r\n"]
)


@settings(PROBABLE, max_examples=200)
@given(st.lists(st.one_of(PARTS, st.binary(max_size=60)), max_size=8), st.lists(st.integers(0, 80), max_size=30))
def test_the_cutting_does_not_matter(parts: list[bytes], sizes: list[int]) -> None:
    recording = b"".join(parts)
    whole = list(pieces([recording], Stamps.SIO))
    assert flat(list(pieces(cut(recording, sizes), Stamps.SIO))) == flat(whole)
    assert all(p.data.startswith(b"\x01") for p in whole if p.at.utc_ns == NAT)
    # Nothing but headers, ends of blocks and lines, and the controller's own words, disappears.
    told = b"".join(p.data for p in whole)
    assert all(octet in told for octet in recording.replace(WHOLE, b"").replace(GOOD, b"").strip(b"\r\n"))


def test_noise_without_end_waits_for_nothing() -> None:
    noise = np.random.default_rng(1).integers(0, 256, 400_000, np.uint8).tobytes()
    parts = [noise[i : i + 5000] for i in range(0, len(noise), 5000)]
    together, apart = (list(pieces(p, Stamps.SIO)) for p in ([noise + GOOD], [*parts, GOOD]))
    assert flat(together) == flat(apart)
    assert together[-1].data == LINES


@pytest.mark.parametrize("at", range(0, 200, 7))
def test_places_lead_back_to_the_file(at: int) -> None:
    recording = WHOLE[:at] + b"\x01junk\r\nmore" + WHOLE
    offsets, stream = Offsets(), b""
    for batch in batches([recording], Stamps.SIO):
        offsets.fed(batch)
        for piece in batch:
            assert offsets.in_file(len(stream)) == piece.offset
            stream += piece.data
