"""A guarded driver never raises, and no two of its samples stand at one time for want of a time of their own."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from drivers.driver import Decoded
from drivers.nmea import Nmea0183
from drivers.simulators.ship import sentence
from gateway.guard import FAULT, Guarded
from tidegate.clock import UNKNOWN, Arrival, TimeSource
from tidegate.frame import Frame

HEADING = sentence("HEHDT,218.5,T")
ROT = sentence("HEROT,0.1,A")  # a sentence in between, of another kind


def arrival(k: int) -> Arrival:
    return Arrival(1_700_000_000_000_000_000 + k * 100_000_000, k * 100_000_000, "00" * 8, True)


def times(decoded: list[Decoded]) -> list[int]:
    return [t for d in decoded if isinstance(d, Frame) for t in d.time.tolist()]


@given(st.lists(st.integers(0, 6), min_size=1, max_size=8))
def test_sentences_of_one_read_stand_apart_in_their_order(reads: list[int]) -> None:
    guarded, found, expected = Guarded(Nmea0183("gyro")), [], []
    for k, count in enumerate(reads):
        decoded = guarded.feed((HEADING + ROT) * count, arrival(k))
        assert all(d.source is TimeSource.ARRIVAL for d in decoded if isinstance(d, Frame))
        found += times(decoded)
        expected += [arrival(k).utc_ns + i for i in range(count)]
    assert found == expected
    assert len(set(found)) == len(found)


def test_reads_that_arrived_at_the_same_moment_stand_apart_too() -> None:
    guarded = Guarded(Nmea0183("gyro"))
    found = [t for _ in range(4) for t in times(guarded.feed(HEADING * 2, arrival(0)))]
    assert found == [arrival(0).utc_ns + i for i in range(8)]


def test_an_unknown_time_stays_unknown() -> None:
    (frame,) = (d for d in Guarded(Nmea0183("gyro")).feed(HEADING * 3, UNKNOWN) if isinstance(d, Frame))
    assert np.isnat(frame.time.view("M8[ns]")).all()


def test_what_a_driver_raises_becomes_a_problem_and_the_next_bytes_are_decoded() -> None:
    class Faulty(Nmea0183):
        def feed(self, data: bytes, at: Arrival) -> list[Decoded]:
            if b"boom" in data:
                raise ZeroDivisionError("of its own making")
            return super().feed(data, at)

    guarded = Guarded(Faulty("gyro"))
    first = guarded.feed(HEADING, arrival(0))
    (fault,) = guarded.feed(b"boom", arrival(1))
    assert not isinstance(fault, Frame)
    assert (fault.kind, fault.offset, fault.data) == (FAULT, len(HEADING), b"boom")
    assert "ZeroDivisionError" in fault.message
    assert len(times(first)) == len(times(guarded.feed(HEADING, arrival(2)))) == 1
    assert guarded.faults == 1
