"""What every installed driver owes, on what its simulated instruments say and on what no instrument says.

However the bytes are cut the samples and the problems are the same, and go over the wire without loss; many pieces at
once are as each in turn; damage and noise raise nothing, are told as problems that the driver explains, and cost time
linear in the bytes; noise never becomes a sample.
"""

import pkgutil
import time
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import driver as drivers
from drivers.driver import Decoded, Driver, DriverSettings, Problem
from drivers.simulators.sbe911plus import Sbe911plusSimulator
from gateway.simulate import KINDS, build
from tests.drivers.decoded import frames, samples
from tidegate.clock import NAT, UNKNOWN, Arrival
from tidegate.codec import decode_frame, encode_frame

Piece = tuple[bytes, Arrival]

START_NS = 1_767_225_600_000_000_000  # 2026-01-01
SECONDS = 40
FILES = TemporaryDirectory(prefix="tidegate-")
SPOKEN = [(kind, *way) for kind, place in KINDS.items() for way in pkgutil.resolve_name(place).drivers]
"""(kind of simulator, the driver that reads it, the simulator's settings …)."""
SERIAL = [name for name in drivers.names() if "serial" in drivers.load(name).transports]
FOREIGN = [
    b"# 13.7971,  4.01241,    6.536,  33.4881, 1501.145, 23 Nov 2013 00:00:21,  25.0608, 11.4,   2.3\r\n",
    b"<datapacket><hdr><mfg>Sea-Bird</mfg></hdr>\r\n",
    b"$GPGLL,2200.1091,S,01756.3580,W,235959.226,A*3E\r\n",
    b"2018-01-01 00:00:00.000, 38.6671, 22.0217, 10.9596\r\n",
    b"S>\r\n",
    b"\x7f\x7f\xf0\x02\x00\n",
    b"time out\r\n",
    b"12.3",
    b"\xff\x00\r",
]
"""What may come between, of others or cut short."""
STAMPS = st.one_of(
    st.integers(0, 3).map(lambda n: Arrival(START_NS + n * 10**9, 0, "", False)),
    st.integers(0, 3).map(lambda n: Arrival(START_NS + n * 10**9, n * 10**9, "boot", True)),
    st.just(Arrival(NAT, 0, "", False)),
)


@cache
def settings_of(name: str) -> DriverSettings:
    """Settings under which a driver has something to do, and its simulator too."""
    cls = drivers.load(name)
    needed: dict[str, Any] = {
        "aml": {"mode": "monitor"},
        "ascii": {"pattern": "tsg"},
        "modbus": {"map": "geolux-lx80"},
        "paroscientific": {"mode": "polled"},
        "sdi12": {"sensors": [{"address": "0", "sensor": "campbell-cs475"}]},
        "sbe911plus": {"xmlcon": _written("cast.xmlcon", Sbe911plusSimulator().configuration())},
    }
    return cls.Settings.model_validate(needed.get(name, {}))


def _written(name: str, text: str) -> Path:
    path = Path(FILES.name) / name
    path.write_text(text)
    return path


def made(name: str) -> Driver:
    return drivers.load(name)("it", settings_of(name))


@cache
def heard(kind: str, name: str, *simulated: str) -> tuple[Piece, ...]:
    """What a driver that opens, asks and listens hears of a simulated instrument, with the arrival of each piece."""
    simulator, driver = build(kind, None, simulated), made(name)
    pieces = []
    asked = driver.start()
    for tick in range(SECONDS * 10):
        now_ns = START_NS + tick * 100_000_000
        said = simulator.receive(asked, now_ns) + simulator.tick(now_ns)
        if said:
            pieces.append((said, Arrival(now_ns, now_ns, "boot", True)))
            driver.feed(*pieces[-1])
        asked = (driver.poll() if tick % 10 == 9 else b"") + driver.turn(now_ns).data
    return tuple(pieces)


def stream(spoken: tuple[str, ...]) -> bytes:
    return b"".join(data for data, _ in heard(*spoken))


def decode(name: str, data: bytes, cuts: Iterable[int] = ()) -> list[Decoded]:
    driver = made(name)
    found: list[Decoded] = []
    for a, b in pairwise([0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]):
        found += driver.feed(data[a:b], UNKNOWN)
    return found + driver.finish()


def told(decoded: Sequence[Decoded]) -> tuple[list[Any], list[Any]]:
    """(samples by schema, problems): all that was decoded, however it was grouped."""
    by_schema = sorted(samples(decoded), key=lambda sample: bytes(sample[0]))
    found = [d for d in decoded if isinstance(d, Problem)]
    return by_schema, sorted((p.offset, p.kind, p.size, p.data, p.message, p.arrival.utc_ns) for p in found)


def explained(name: str, decoded: Sequence[Decoded]) -> None:
    kinds = {d.kind for d in decoded if isinstance(d, Problem)}
    assert kinds <= set(drivers.load(name).problems)


def test_every_driver_of_a_line_has_a_simulated_instrument() -> None:
    assert {name for _, name, *_ in SPOKEN} >= set(drivers.names())


ON_THE_LINE = pytest.mark.parametrize("spoken", [s for s in SPOKEN if s[1] in SERIAL], ids="-".join)


@ON_THE_LINE
def test_all_that_is_said_becomes_samples(spoken: tuple[str, ...]) -> None:
    decoded = decode(spoken[1], stream(spoken))
    assert frames(decoded)
    assert not [d for d in decoded if isinstance(d, Problem)]
    for frame in frames(decoded):
        back = decode_frame(encode_frame(frame), {frame.schema.id: frame.schema})
        assert (back.schema, back.source) == (frame.schema, frame.source)
        np.testing.assert_array_equal(back.time, frame.time)
        for name, column in frame.columns.items():
            np.testing.assert_array_equal(back.columns[name], column)
            np.testing.assert_array_equal(back.missing(name), frame.missing(name))


@ON_THE_LINE
@settings(max_examples=15, derandomize=True, deadline=None)
@given(data=st.data())
def test_cutting_and_damage_raise_nothing_and_change_nothing_else(spoken: tuple[str, ...], data: st.DataObject) -> None:
    name, said = spoken[1], bytearray(stream(spoken)[:20_000])
    place = st.integers(0, len(said) - 1)
    for at in data.draw(st.lists(place, max_size=6), label="damaged"):
        said[at] ^= data.draw(st.integers(1, 255), label="by")
    for at in data.draw(st.lists(place, max_size=2), label="noise at"):
        said[at:at] = data.draw(st.binary(max_size=40), label="noise")
    for at in data.draw(st.lists(place, max_size=2), label="lost at"):
        del said[at : at + data.draw(st.integers(1, 60), label="lost")]
    cuts = data.draw(st.lists(place, max_size=30), label="cuts")
    whole = decode(name, bytes(said))
    explained(name, whole)
    assert told(decode(name, bytes(said), cuts)) == told(whole)


@ON_THE_LINE
@settings(max_examples=20, derandomize=True, deadline=None)
@given(data=st.data())
def test_many_pieces_at_once_are_as_each_in_turn(spoken: tuple[str, ...], data: st.DataObject) -> None:
    own = st.sampled_from([piece for piece, _ in heard(*spoken)[:40]])
    fed = data.draw(st.lists(st.tuples(st.one_of(own, own, st.sampled_from(FOREIGN)), STAMPS), max_size=40))
    size = data.draw(st.integers(1, 40))
    single, many = made(spoken[1]), made(spoken[1])
    want = [item for piece, at in fed for item in single.feed(piece, at)] + single.finish()
    got = [item for i in range(0, len(fed), size) for item in many.feed_all(fed[i : i + size])] + many.finish()
    assert told(got) == told(want)
    assert {frame.instrument for frame in frames(got)} <= {"it"}


@ON_THE_LINE
@pytest.mark.parametrize("head", [1, 4, 12, 40])
def test_beginnings_without_ends_cost_time_linear_in_the_bytes(spoken: tuple[str, ...], head: int) -> None:
    hostile = stream(spoken)[:head] * (200_000 // head)
    driver, began_s = made(spoken[1]), time.process_time()
    for at in range(0, len(hostile), 4096):
        driver.feed(hostile[at : at + 4096], UNKNOWN)
    driver.finish()
    assert time.process_time() - began_s < 5  # it takes a tenth of this; a second look at all bytes, minutes


NOISE = st.one_of(st.binary(max_size=1500), st.text("0123456789ABCDEF.,-+:;*$# \r\n", max_size=1500).map(str.encode))


@pytest.mark.parametrize("name", drivers.names())
@settings(max_examples=40, derandomize=True, deadline=None)
@given(NOISE, st.lists(st.integers(0, 1500), max_size=6))
def test_noise_becomes_no_sample(name: str, noise: bytes, cuts: list[int]) -> None:
    decoded = decode(name, noise)
    explained(name, decoded)
    assert told(decode(name, noise, cuts)) == told(decoded)
    assert not frames(decoded)
