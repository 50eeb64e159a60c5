"""RangeSet against a set of ints."""

from hypothesis import given
from hypothesis import strategies as st

from tidegate.ranges import RangeSet

pairs = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 8)).map(lambda p: (p[0], p[0] + p[1])), max_size=25)


@given(pairs, st.integers(0, 70), st.integers(0, 30))
def test_agrees_with_a_set(added: list[tuple[int, int]], first: int, length: int) -> None:
    ranges, model = RangeSet(added), {n for a, b in added for n in range(a, b + 1)}
    assert {n for a, b in ranges for n in range(a, b + 1)} == model
    assert ranges.count() == len(model)
    assert all((n in ranges) == (n in model) for n in range(-1, 80))
    assert all(b1 + 1 < a2 for (_, b1), (a2, _) in zip(list(ranges), list(ranges)[1:], strict=False))
    window = set(range(first, first + length + 1))
    missing = list(ranges.missing(first, first + length))
    assert {n for a, b in missing for n in range(a, b + 1)} == window - model
    through = ranges.through(first)
    assert all(n in model for n in range(first, through + 1))
    assert through + 1 not in model
