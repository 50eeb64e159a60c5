from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from central.ledger import GIVE_UP, MOST_RANGES, MOST_WANTED, RETRY_S, Account, Ledger
from tidegate.envelope import NO_PREVIOUS, Envelope, Gap, Lane

E = "ab" * 8


def members(ranges: list[tuple[int, int]]) -> set[int]:
    return {seq for first, last in ranges for seq in range(first, last + 1)}


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, int, int]]:
    step = st.one_of(
        st.tuples(st.just("add"), st.integers(1, 40), st.just(0)),
        st.tuples(st.just("gap"), st.integers(1, 40), st.integers(0, 5)),
        st.tuples(st.just("birth"), st.integers(1, 20), st.integers(0, 20)),
        st.tuples(st.just("restart"), st.just(0), st.just(0)),
    )
    return draw(st.lists(step, max_size=40))


@settings(max_examples=150, derandomize=True, deadline=None)
@given(histories())
def test_an_account_agrees_with_plain_sets(history: list[tuple[str, int, int]]) -> None:
    account = Account()
    had: set[int] = set()
    explained: set[int] = set()
    made: set[int] = set()
    for what, first, more in history:
        if what == "add":
            assert account.add(first) == (first not in had)
            had.add(first)
            made |= set(range(1, first + 1))
        elif what == "gap":
            new = set(range(first, first + more + 1)) - had - explained
            assert account.explain(Gap(first, first + more, "x")) == bool(new)
            explained |= new
            made |= set(range(1, max(new) + 1)) if new else set()
        elif what == "birth":
            account.birth(first, first + more)
            explained |= set(range(1, first)) - had
            made |= set(range(1, first + more))
        else:
            account = Account.from_dict(account.as_dict())
        settled = had | explained
        through = next(n for n in range(100) if n + 1 not in settled)
        assert account.through == through
        assert members(list(account.had)) == had
        assert {s for g in account.explained_ranges() for s in range(g.first, g.last + 1)} == explained - had
        assert members(account.missing()) == made - settled
        assert account.missing_count == len(made - settled)
        assert members(account.ranges()) | set(range(1, through + 1)) == settled
        assert all(last < b for (_, last), (b, _) in zip(account.ranges(), account.ranges()[1:], strict=False))
        wanted = members(account.wanted(0.0, idle=False))
        assert wanted <= {s for s in made - settled if s < max(had, default=0)}


def test_ranges_are_bounded_to_the_newest() -> None:
    account = Account()
    for seq in range(2, 1000, 2):
        account.add(seq)
    assert len(account.ranges()) == MOST_RANGES
    assert account.ranges()[-1] == (998, 998)
    assert account.through == 0


def test_only_what_was_overtaken_is_asked_for_and_at_a_birth_every_hole() -> None:
    account = Account()
    account.birth(1, 101)
    account.add(101)  # live data past a backlog of 100 that is on its way
    assert account.wanted(0, idle=True) == []
    account.add(1)
    account.add(4)
    assert account.wanted(0, idle=True) == [(2, 3)]
    assert account.wanted(1, idle=True) == []  # it has just been asked for
    account.add(104)
    assert account.wanted(2, idle=True) == [(102, 103)]
    account.birth(1, 105)
    assert account.wanted(3, idle=True) == []
    assert account.wanted(3, idle=True, born=True) == [(2, 3), (5, 65 + 1)]
    assert members(account.wanted(3, idle=True, born=True)) == {2, 3, *range(5, 67)}
    assert MOST_WANTED == 64


def asked(account: Account, times: int, *, idle: bool = True, start_s: float = 0.0) -> list[list[tuple[int, int]]]:
    return [account.wanted(start_s + k * RETRY_S, idle=idle) for k in range(times)]


def test_what_never_comes_from_an_idle_platform_is_given_up_and_blocks_nothing() -> None:
    account = Account()
    account.add(1)
    account.add(3)
    assert asked(account, GIVE_UP + 1) == [[(2, 2)]] * GIVE_UP + [[]]
    assert account.through == 3
    assert account.explained_ranges() == [Gap(2, 2, "asked for in vain 5 times")]
    assert account.add(2)  # it came after all
    assert account.explained_ranges() == []
    assert not account.add(2)


def test_what_comes_back_corrupt_is_given_up_and_says_so() -> None:
    account = Account()
    account.add(1)
    account.add(3)
    now_s = 0.0
    for _ in range(GIVE_UP):
        assert account.wanted(now_s, idle=True) == [(2, 2)]
        account.corrupt()
        now_s += 2.5
    assert account.wanted(now_s, idle=True) == []
    assert account.explained == [Gap(2, 2, "corrupt on arrival 5 times")]


def test_a_link_too_slow_for_its_backlog_is_never_given_up() -> None:
    account = Account()
    account.add(1)
    account.add(60)
    asked(account, 50, idle=False)
    assert account.explained == []
    # It says that it is idle, but what was missing goes on coming: one in each round.
    for k, seq in enumerate(range(58, 2, -1)):
        account.wanted(k * RETRY_S, idle=True)
        account.add(seq, k * RETRY_S + 1)
    assert account.explained == []
    many = Account()
    many.add(MOST_WANTED + 5)
    asked(many, 50)
    assert many.explained == []


def test_a_gap_is_believed_of_earlier_numbers_only() -> None:
    account = Account()
    gaps = (Gap(2, 1 << 60, "the spool was full"), Gap(7, 9, "no"))
    assert account.take(Envelope("p", E, 6, Lane.LIVE, 0, NO_PREVIOUS, (), gaps))
    assert not account.take(Envelope("p", E, 6, Lane.LIVE, 0, NO_PREVIOUS, (), gaps))
    assert account.explained == [Gap(2, 5, "the spool was full")]
    assert account.missing() == [(1, 1)]


def test_a_birth_explains_what_the_spool_no_longer_holds() -> None:
    ledger = Ledger()
    account = ledger.book("p").account(E)
    account.add(3)
    account.birth(5, 8)
    assert account.explained == [
        Gap(1, 2, "the gateway no longer holds it"),
        Gap(4, 4, "the gateway no longer holds it"),
    ]
    ack = ledger.ack("p", E, 0.0, born=True)
    assert (ack.epoch, ack.through, ack.ranges, ack.wanted) == (E, 4, [], [])


def test_a_snapshot_restores_the_ledger_or_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ledger = Ledger()
    book = ledger.book("p")
    book.epoch, book.counters.duplicates = E, 3
    for seq in (1, 2, 5):
        book.account(E).add(seq)
    book.account(E).explain(Gap(3, 3, "why"))
    book.account("cd" * 8).birth(4, 9)
    ledger.number = 12
    path = tmp_path / "ledger.json"
    assert Ledger.load(path, newest=12).number == 0
    ledger.save(path)
    again = Ledger.load(path, newest=12)
    assert again.number == 12
    assert again.snapshot() == ledger.snapshot()
    assert again.book("p").account(E).missing() == [(4, 4)]
    assert again.book("p").envelopes == 3
    assert not caplog.records
    assert Ledger.load(path, newest=11).books == {}
    path.write_text(path.read_text()[:-5])
    assert Ledger.load(path, newest=12).books == {}
    assert len(caplog.records) == 2
