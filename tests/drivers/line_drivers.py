"""What the tests of every driver that reads lines ask of it: any cutting, any damage, any noise."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import settings

from drivers.driver import Decoded, Driver, Problem
from drivers.simulators.simulator import Said
from tests.drivers.decoded import frames, problems, samples
from tidegate.clock import UNKNOWN, Arrival
from tidegate.codec import decode_frame, encode_frame

PROBABLE = settings(max_examples=60, derandomize=True, deadline=None)
START_NS = 1_767_225_600_000_000_000  # 2026-01-01


def decode(
    cls: type[Driver],
    data: bytes,
    given: Mapping[str, Any] | None = None,
    cuts: Iterable[int] = (),
    at: Arrival = UNKNOWN,
) -> list[Decoded]:
    """`data` through a new driver, cut at `cuts`."""
    driver = cls("it", cls.Settings.model_validate(given or {}))
    decoded: list[Decoded] = []
    for a, b in pairwise([0, *sorted(cuts), len(data)]):
        decoded += driver.feed(data[a:b], at)
    decoded += driver.finish()
    unexplained = {d.kind for d in decoded if isinstance(d, Problem)} - set(cls.problems)
    assert not unexplained, f"problems that {cls.__name__} does not explain: {unexplained}"
    return decoded


def column(decoded: Sequence[Decoded], name: str) -> list[float]:
    """All values of a parameter."""
    return [v for f in frames(decoded) if name in f.columns for v in f.columns[name].tolist()]


def times(decoded: Sequence[Decoded]) -> list[int]:
    return [t for f in frames(decoded) for t in f.time.tolist()]


def kinds(decoded: Sequence[Decoded]) -> list[str]:
    return [kind for kind, _, _ in problems(decoded)]


def cut_anywhere(cls: type[Driver], stream: bytes, given: Mapping[str, Any] | None, cuts: Iterable[int]) -> None:
    """Cutting must not matter, nor whether pieces come one by one or many at once; what is found goes over the wire and
    back without loss."""
    cuts = sorted(cuts)
    whole, cut = decode(cls, stream, given), decode(cls, stream, given, cuts)
    assert samples(cut) == samples(whole)
    assert problems(cut) == problems(whole)
    for frame in frames(whole):
        back = decode_frame(encode_frame(frame), {frame.schema.id: frame.schema})
        assert samples([back]) == samples([frame])
    pieces = [
        (stream[a:b], Arrival(START_NS + i, 0, "", False)) for i, (a, b) in enumerate(pairwise([0, *cuts, len(stream)]))
    ]
    one, many = (cls("it", cls.Settings.model_validate(given or {})) for _ in range(2))
    fed = [d for data, at in pieces for d in one.feed(data, at)] + one.finish()
    together = many.feed_all(pieces) + many.finish()
    assert samples(fed) == samples(together)
    assert problems(fed) == problems(together)


def found_all(decoded: Sequence[Decoded], said: Sequence[Said]) -> None:
    """Every sample that a simulator said is there, value by value."""
    assert problems(decoded) == []
    assert len(times(decoded)) == len(said) > 0
    for i, sample in enumerate(said):
        for name, value in sample.values.items():
            np.testing.assert_equal(column(decoded, name)[i], value)
    assert [t for t, s in zip(times(decoded), said, strict=True) if s.time_ns is not None] == [
        s.time_ns for s in said if s.time_ns is not None
    ]


def conversation(driver: Driver, simulator: Any, polls: int, step_ns: int = 2_000_000_000) -> list[Decoded]:
    """What a driver that polls gets out of a simulator, starting with what it sends on opening."""
    decoded: list[Decoded] = []
    now_ns = START_NS
    for asked in (driver.start(), *(driver.poll() for _ in range(polls))):
        now_ns += step_ns
        said = simulator.receive(asked, now_ns) + simulator.tick(now_ns)
        decoded += driver.feed(said, Arrival(now_ns, now_ns, "boot", True))
    return decoded
