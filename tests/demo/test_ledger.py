"""The comparison finds every sample that was lost, altered or doubled, and finds no fault where there is none."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from demo.ledger import Said, Stored, compare

SAID = [Said("g", 1000 + k, 1000 + k if k % 3 else None, {"level": k / 8, "profile": [k, None]}) for k in range(12)]


def held(said: list[Said]) -> list[Stored]:
    """The database that holds just that."""
    return [
        Stored(
            s.time_ns or s.at_ns,
            {**s.values, "status": 0.0},
            {"level": 1, "profile": [1, 9]},
            {"level": 1, "profile": 1},
        )
        for s in said
    ]


def test_all_there_is_no_fault() -> None:
    result = compare("g", SAID, held(SAID))
    assert (result.acquired, result.stored, result.lost, result.duplicated) == (12, 12, 0, 0)
    assert result.flags == {1: 24, 9: 12}


@given(st.sets(st.integers(0, 11), min_size=1))
def test_what_is_missing_is_lost(gone: set[int]) -> None:
    result = compare("g", SAID, held([s for k, s in enumerate(SAID) if k not in gone]))
    assert (result.lost, result.duplicated, result.stored) == (len(gone), 0, 12 - len(gone))
    assert result.remarks


@given(st.integers(0, 11))
def test_an_altered_value_is_one_lost_and_one_too_many(at: int) -> None:
    stored = held(SAID)
    stored[at] = replace(stored[at], values={**stored[at].values, "level": 99.0})
    result = compare("g", SAID, stored)
    assert (result.lost, result.duplicated) == (1, 1)


@given(st.integers(0, 11))
def test_a_value_that_came_twice_as_new_is_too_many(at: int) -> None:
    stored = held(SAID)
    stored[at] = replace(stored[at], inserts={"level": 2, "profile": 1})
    assert compare("g", SAID, stored).duplicated == 1


def test_what_nobody_said_is_too_many() -> None:
    stranger = Stored(5, {"level": 0.5}, {"level": 1}, {"level": 1})
    assert compare("g", SAID, [*held(SAID), stranger]).duplicated == 1
