"""Arrivals and pieces in columns say what they say one by one."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from drivers.arrivals import Arrivals, Pieces
from tidegate.clock import NAT, UNKNOWN, Arrival
from tidegate.frame import Frame, Schema

SCHEMA = Schema("none", ())
MOMENT = st.integers(0, 40).map(lambda n: 10**18 + n * 4_000_000)
ARRIVALS = st.lists(
    st.one_of(
        st.just(UNKNOWN),
        st.builds(Arrival, MOMENT, st.just(0), st.just(""), st.just(False)),
        st.builds(
            lambda utc_ns, monotonic_ns, boot, disciplined: Arrival(utc_ns, monotonic_ns - 10**18, boot, disciplined),
            MOMENT,
            MOMENT,
            st.sampled_from(["aa", "bb"]),
            st.booleans(),
        ),
    ),
    max_size=12,
)


def frame(arrival: Arrival) -> Frame:
    return Frame("x", SCHEMA, np.zeros(1, np.int64), {}, arrival=arrival)


def elapsed_ns(a: Arrival, b: Arrival) -> int:
    if a.boot and a.boot == b.boot:
        return max(b.monotonic_ns - a.monotonic_ns, 0)
    return 0 if NAT in (a.utc_ns, b.utc_ns) else max(b.utc_ns - a.utc_ns, 0)


@given(ARRIVALS, ARRIVALS)
def test_columns_are_as_the_arrivals(first: list[Arrival], second: list[Arrival]) -> None:
    every = first + second
    columns = Arrivals.of(first) + Arrivals.of(second)
    assert len(columns) == len(every)
    assert [columns[i] for i in range(len(every))] == every
    assert columns.breaks().tolist() == [not frame(b).follows(frame(a)) for a, b in pairwise(every)]
    assert columns.elapsed_ns().tolist() == [elapsed_ns(a, b) for a, b in pairwise(every)]
    assert columns.trusted_ns().tolist() == [at.utc_ns if at.disciplined or not at.boot else NAT for at in every]
    backwards = columns.take(np.arange(len(every))[::-1])
    assert [backwards[i] for i in range(len(every))] == every[::-1]


@given(st.lists(st.tuples(st.binary(max_size=9), ARRIVALS.filter(bool).map(lambda found: found[0])), max_size=12))
def test_pieces_are_as_they_came(fed: list[tuple[bytes, Arrival]]) -> None:
    full = [piece for piece in fed if piece[0]]
    pieces = Pieces.of(fed)
    assert list(pieces) == full
    assert pieces[1:] == full[1:]
    if full:
        assert pieces[-1] == full[-1]
    came = [at for data, at in full for _ in data]
    for size in (1, 4, 1000):
        again = [piece for block in pieces.blocks(size) for piece in block]
        assert b"".join(data for data, _ in again) == pieces.data
        assert [at for data, at in again for _ in data] == came
        assert all(len(block.data) <= size for block in pieces.blocks(size))
