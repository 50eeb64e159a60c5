"""What a guarded driver gives: its samples, none two at one time, and its faults as Problems at their places."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.driver import Decoded, Problem
from drivers.nmea.nmea0183 import Nmea0183
from gateway.guard import FAULT, Guarded
from tests.gateway.counting import Counting, numbers, sentence
from tidegate.clock import NAT, UNKNOWN, Arrival
from tidegate.frame import Frame, rows


def at(ns: int) -> Arrival:
    return Arrival(ns, ns, "00" * 8, True)


def frames(decoded: list[Decoded]) -> list[Frame]:
    return [item for item in decoded if isinstance(item, Frame)]


def test_after_a_fault_places_go_on_counting_from_the_first_byte() -> None:
    guarded = Guarded(Counting("g"))
    data = [b"1\nx\n", b"2\n!\n", b"3\nyy\n4", b"5\nz\n"]
    decoded = [item for piece in data for item in guarded.feed(piece, at(1))] + guarded.finish()
    assert numbers(frames(decoded)) == [1, 3, 45]
    stream = b"".join(data)
    told = [(p.kind, p.offset, p.data) for p in decoded if isinstance(p, Problem)]
    assert [(kind, data) for kind, _, data in told] == [
        ("syntax", b"x"),
        (FAULT, b"2\n!\n"),
        ("syntax", b"yy"),
        ("syntax", b"z"),
    ]
    assert all(stream[offset:].startswith(data) for _, offset, data in told)
    assert guarded.faults == 1


class Broken(Counting):
    """Nothing of it works."""

    def finish(self) -> list[Decoded]:
        raise MemoryError

    def description(self) -> Any:
        return 1 // 0

    def feed(self, data: bytes, at: Arrival) -> Any:
        return {b"1": None, b"2": [None], b"3": [1.5]}[data]


def test_whatever_a_driver_does_is_a_problem() -> None:
    guarded = Guarded(Broken("g"))
    decoded = [item for data in (b"1", b"2", b"3", b"4") for item in guarded.feed(data, UNKNOWN)] + guarded.finish()
    assert [p.kind for p in decoded if isinstance(p, Problem)] == [FAULT] * 5
    assert guarded.description() == {}


def stepped(stream: list[bytes]) -> list[tuple[bytes, Arrival]]:
    return [(data, at(10**9 + n // 2 * 1000)) for n, data in enumerate(stream)]


@given(st.lists(st.sampled_from([b"1\n", b"2\n3\n", b"x\n", b"4", b"5\n", b"!\n", b"6\n"]), min_size=1, max_size=12))
def test_pieces_together_lose_no_more_than_those_that_fail(stream: list[bytes]) -> None:
    single, many = Guarded(Counting("g")), Guarded(Counting("g"))
    want = [item for data, arrival in stepped(stream) for item in single.feed(data, arrival)] + single.finish()
    got = many.feed_all(stepped(stream)) + many.finish()
    assert [i for i in got if isinstance(i, Problem)] == [i for i in want if isinstance(i, Problem)]
    assert [(n, f.time.tolist()) for f in frames(got) for n in numbers([f])] == [
        (n, f.time.tolist()) for f in frames(want) for n in numbers([f])
    ]
    assert many.faults == single.faults


class Crowded(Counting):
    """Fails on many pieces only."""

    def feed_all(self, pieces: Any) -> list[Decoded]:
        raise RuntimeError("too many")


def test_a_fault_that_comes_only_with_many_pieces_is_told_and_costs_nothing() -> None:
    guarded = Guarded(Crowded("g"))
    guarded.feed(b"1\n", at(1))
    decoded = guarded.feed_all([(b"2\n", at(2)), (b"3\nx\n", at(3))])
    assert numbers(frames(decoded)) == [2, 3]
    assert [(p.kind, p.offset) for p in decoded if isinstance(p, Problem)] == [(FAULT, 2), ("syntax", 6)]
    assert guarded.faults == 1


def test_times_of_many_pieces_are_told_apart_as_of_each() -> None:
    heading = sentence(b"HEHDT,218.5,T")
    fed = [(heading, Arrival(ns, 0, "", False)) for ns in (5, 5, 9)] + [(heading, UNKNOWN)]
    fed += [(heading, Arrival(9, 0, "", False))] * 2
    single, many = Guarded(Nmea0183("gyro")), Guarded(Nmea0183("gyro"))
    want = [t for data, arrival in fed for f in frames(single.feed(data, arrival)) for t in f.time.tolist()]
    assert [t for f in frames(many.feed_all(fed)) for t in f.time.tolist()] == want == [5, 6, 9, NAT, 10, 11]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), max_size=12))
def test_samples_that_came_together_are_told_apart(pieces: list[tuple[int, int]]) -> None:
    """`pieces` are (nanoseconds x 1000 since the one before, lines in it)."""
    guarded, now_ns, times, arrivals = Guarded(Counting("g")), 10**18, [], []
    for step, lines in pieces:
        now_ns += step * 1000
        for frame in frames(guarded.feed(b"7\n" * lines, at(now_ns))):
            times += frame.time.tolist()
            arrivals += [now_ns] * len(frame)
    assert all(later > earlier for earlier, later in itertools.pairwise(times))
    assert all(0 <= time - arrival < 60 for time, arrival in zip(times, arrivals, strict=True))


@given(st.lists(st.integers(0, 6), min_size=1, max_size=8))
def test_sentences_of_one_read_stand_apart_in_their_order(reads: list[int]) -> None:
    heading, rate = sentence(b"HEHDT,218.5,T"), sentence(b"HEOSD,1.5,A")  # the other is not decoded
    guarded, found, expected = Guarded(Nmea0183("gyro")), [], []
    for k, count in enumerate(reads):
        arrived_ns = 10**18 + k * 10**8
        found += [t for f in frames(guarded.feed((heading + rate) * count, at(arrived_ns))) for t in f.time.tolist()]
        expected += [arrived_ns + i for i in range(count)]
    assert found == expected


def test_reads_that_arrived_at_the_same_moment_stand_apart_too() -> None:
    guarded, heading = Guarded(Nmea0183("gyro")), sentence(b"HEHDT,218.5,T")
    found = [t for _ in range(4) for f in frames(guarded.feed(heading * 2, at(10**18))) for t in f.time.tolist()]
    assert found == [10**18 + i for i in range(8)]


def test_a_clock_that_is_set_back_is_not_corrected_and_each_kind_counts_for_itself() -> None:
    guarded = Guarded(Nmea0183("nav"))
    heading, water = sentence(b"HEHDT,1.0,T"), sentence(b"IIMTW,2.0,C")
    both = frames(guarded.feed(heading + water + heading, at(5000)))
    assert sorted((f.schema.kind, *f.time.tolist()) for f in both) == [
        ("heading", 5000, 5001),
        ("water_temperature", 5000),
    ]
    (back,) = frames(guarded.feed(heading, at(3000)))
    assert back.time.tolist() == [3000]
    (unknown,) = frames(guarded.feed(heading + heading, UNKNOWN))
    assert [row["time"] for row in rows([unknown])] == [None, None]


def test_times_of_the_instrument_itself_are_left_alone() -> None:
    gga = sentence(b"GPGGA,120000.0,0101.5,N,10351.0,E,1,05,1.2,1.0,M,1.0,M,,")
    zda = sentence(b"GPZDA,120000.00,01,01,2024,00,00")
    guarded = Guarded(Nmea0183("nav"))
    times = [f.time.tolist() for f in frames(guarded.feed(zda + gga + gga, at(10**18)))]
    assert np.unique(times).size == 1


@pytest.mark.parametrize("data", [b"", b"1\n", b"!!!\n"])
def test_it_never_raises(data: bytes) -> None:
    Guarded(Counting("g")).feed(data, UNKNOWN)
