"""What every journal must do, whatever it stands on: run it through `JournalContract` with a factory of your own.

Only the public interface is used. `open_journal(**options)` opens the same journal anew on every call (the test closes
it before); `read_only()` opens it for reading only.
"""

import threading
from collections.abc import Callable

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from tidegate.journal import Journal, JournalBusy, JournalFull, JournalReader

OpenJournal = Callable[..., Journal]
ReadOnly = Callable[[], JournalReader]


class JournalContract:
    def test_numbers_count_from_one_and_go_on_after_a_restart(self, open_journal: OpenJournal) -> None:
        with open_journal() as journal:
            assert (journal.first, journal.last, journal.durable) == (1, 0, 0)
            assert [journal.append(b"a"), journal.append(b"b"), journal.append_many([b"c", b"d"])] == [1, 2, 4]
            assert (journal.first, journal.last) == (1, 4)
        with open_journal() as journal:
            assert (journal.first, journal.last, journal.durable) == (1, 4, 4)
            assert journal.append(b"e") == 5
            assert [tuple(record) for record in journal.read()] == list(enumerate([b"a", b"b", b"c", b"d", b"e"], 1))
            assert not journal.damage
            assert not list(journal.lost())

    @settings(
        max_examples=50,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(
        batches=st.lists(st.lists(st.binary(max_size=300), max_size=5), max_size=8), segment_bytes=st.integers(1, 900)
    )
    def test_gives_back_any_bytes_in_order_after_each_restart(
        self, open_journal: OpenJournal, batches: list[list[bytes]], segment_bytes: int
    ) -> None:
        with open_journal(segment_bytes=segment_bytes) as journal:
            start = journal.last
        for batch in batches:
            with open_journal(segment_bytes=segment_bytes) as journal:
                assert journal.append_many(batch) == journal.last
        with open_journal(segment_bytes=segment_bytes) as journal:
            payloads = [payload for batch in batches for payload in batch]
            assert [record.payload for record in journal.read(start)] == payloads
            assert [record.number for record in journal.read(start)] == list(range(start + 1, journal.last + 1))

    def test_reads_from_any_place_up_to_a_limit(self, open_journal: OpenJournal) -> None:
        with open_journal(segment_bytes=300) as journal:
            for number in range(1, 101):
                journal.append(b"%d" % number)
            for after in (0, 1, 49, 98, 99, 100, 101, 10**9):
                for limit in (None, 0, 1, 7, 1000):
                    expected = list(range(after + 1, 101))[:limit]
                    assert [record.number for record in journal.read(after, limit=limit)] == expected

    def test_a_record_larger_than_a_segment_is_taken(self, open_journal: OpenJournal) -> None:
        with open_journal(segment_bytes=1000) as journal:
            large = bytes(range(256)) * 1000
            for payload in (b"before", large, large, b"after"):
                journal.append(payload)
            assert [record.payload for record in journal.read()] == [b"before", large, large, b"after"]

    def test_reading_ends_at_the_record_that_was_newest_at_the_call(self, open_journal: OpenJournal) -> None:
        with open_journal() as journal:
            journal.append_many([b"1", b"2"])
            records = journal.read()
            for _ in records:
                assert journal.append(b"more") < 10
            assert [record.number for record in journal.read(2)] == [3, 4]

    def test_critical_and_sync_make_durable(self, open_journal: OpenJournal) -> None:
        with open_journal(fsync_window_s=3600.0) as journal:
            journal.append(b"a")
            assert journal.durable == 0
            assert list(journal.read(durable=True)) == []
            journal.sync()
            assert journal.durable == 1
            journal.append(b"b")
            assert [record.number for record in journal.read(durable=True)] == [1]
            assert journal.append(b"c", critical=True) == journal.durable == 3
            assert [record.number for record in journal.read(durable=True)] == [1, 2, 3]

    def test_syncs_by_itself_when_the_window_has_passed(self, open_journal: OpenJournal) -> None:
        now_s = 100.0
        with open_journal(fsync_window_s=1.0, monotonic=lambda: now_s) as journal:
            journal.append(b"a")
            now_s += 0.9
            journal.append(b"b")
            assert journal.durable == 0
            now_s += 0.2
            journal.append(b"c")
            assert journal.durable == 3
            journal.append(b"d")
            assert journal.durable == 3

    def test_cursor_is_kept_and_bounded_by_the_data(self, open_journal: OpenJournal) -> None:
        with open_journal(fsync_window_s=3600.0) as journal:
            cursor = journal.cursor("uplink")
            assert cursor is journal.cursor("uplink")
            assert cursor.position == 0
            journal.append_many([b"x"] * 10)
            cursor.commit(7)
            assert journal.durable >= 7
            for wrong in (11, -1):
                with pytest.raises(ValueError, match=r"uplink.*0\.\.10"):
                    cursor.commit(wrong)
            journal.cursor("other.view-2").commit(10)
            assert cursor.position == 7
        with open_journal() as journal:
            assert journal.cursor("uplink").position == 7
            assert journal.cursor("other.view-2").position == 10
            journal.cursor("uplink").commit(0)
        with open_journal() as journal:
            assert journal.cursor("uplink").position == 0
            for name in ("", "../x", "a/b", "_forgotten", "x" * 101):
                with pytest.raises(ValueError, match="cursor name"):
                    journal.cursor(name)

    def test_forgetting_frees_space_and_never_a_number_or_a_record_above(self, open_journal: OpenJournal) -> None:
        with open_journal(segment_bytes=400) as journal:
            for number in range(1, 101):
                journal.append(b"record %d" % number)
            before = journal.bytes
            freed = journal.forget(50)
            assert 0 < freed == before - journal.bytes
            assert 1 < journal.first <= 51
            assert [record.number for record in journal.read(50)] == list(range(51, 101))
            assert journal.forget(50) == 0
            journal.forget(10**9)
            assert journal.last == 100
            assert journal.append(b"next") == 101
        for number in (102, 103):
            with open_journal(segment_bytes=400) as journal:
                journal.forget(journal.last)
                assert journal.append(b"next") == number
                assert not journal.damage
                assert not list(journal.lost())

    def test_a_bound_is_kept_and_said(self, open_journal: OpenJournal) -> None:
        with open_journal(max_bytes=10_000) as journal:
            with pytest.raises(JournalFull, match=r"10000 bytes.*forget") as caught:
                [journal.append(b"x" * 50) for _ in range(200)]
            assert str(journal.directory) in str(caught.value)
            last = journal.last
            assert last > 100
            assert journal.bytes <= 10_000
            with pytest.raises(JournalFull):
                journal.append_many([b"x" * 50] * 2)
            assert journal.last == last
            assert journal.forget(last // 2) > 0
            assert journal.append(b"x" * 50) == last + 1
            assert [record.number for record in journal.read(last - 3)] == [last - 2, last - 1, last, last + 1]

    def test_a_second_writer_is_refused_and_a_reader_is_not(
        self, open_journal: OpenJournal, read_only: ReadOnly
    ) -> None:
        with open_journal(segment_bytes=200) as journal:
            with pytest.raises(JournalBusy, match=str(journal.directory)):
                open_journal()
            reader = read_only()
            assert list(reader.read()) == []
            for number in range(1, 30):
                journal.append(b"%d" % number)
                assert [record.number for record in reader.read(number - 1)] == [number]
            assert (reader.first, reader.last, reader.bytes) == (journal.first, journal.last, journal.bytes)
            assert list(reader.read()) == list(journal.read())
            journal.forget(20)
            assert list(reader.read(20)) == list(journal.read(20))
            assert reader.first == journal.first
            assert not reader.damage
            assert not list(reader.lost())
        open_journal().close()

    def test_closed_is_closed(self, open_journal: OpenJournal) -> None:
        journal = open_journal(fsync_window_s=3600.0)
        journal.append(b"a")
        journal.close()
        journal.close()
        assert journal.durable == 1
        with pytest.raises(ValueError, match="closed"):
            journal.append(b"b")
        with pytest.raises(ValueError, match="closed"):
            journal.cursor("c").commit(1)

    def test_one_thread_appends_while_others_read_and_forget(self, open_journal: OpenJournal) -> None:
        count = 3000
        with open_journal(segment_bytes=2000, fsync_window_s=0.01) as journal:
            found: list[list[tuple[int, bytes]]] = [[], []]
            failures: list[BaseException] = []

            def follow(mine: list[tuple[int, bytes]], forgets: bool) -> None:
                try:
                    after = 0
                    while after < count:
                        for record in journal.read(after, limit=100, durable=forgets):
                            mine.append(record)
                            after = record.number
                        if forgets:
                            journal.forget(after - 500)
                        journal.sync()
                except BaseException as error:
                    failures.append(error)

            threads = [threading.Thread(target=follow, args=(found[0], True))]
            threads.append(threading.Thread(target=follow, args=(found[1], False)))
            for thread in threads:
                thread.start()
            for number in range(1, count + 1):
                journal.append(b"%d" % number * 3)
            for thread in threads:
                thread.join(30)
            assert not failures
            assert found[0] == [(number, b"%d" % number * 3) for number in range(1, count + 1)]
            assert [number for number, _ in found[1]] == sorted(number for number, _ in found[1])
            assert all(payload == b"%d" % number * 3 for number, payload in found[1])
            assert not journal.damage
            assert not list(journal.lost())
