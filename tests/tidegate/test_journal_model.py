"""The journal against a simple model, on a file system that forgets: power cuts, kills, full disks, failing syncs."""

import itertools
from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.tidegate.forgetful import ForgetfulFiles, PowerCut
from tidegate.journal import Journal, JournalFull

FOLDER = Path("/spool")
PAYLOADS = st.binary(max_size=60)


class JournalMachine(RuleBasedStateMachine):
    """`accepted` is what the journal said yes to; `durable` what it said would survive a power cut."""

    def __init__(self) -> None:
        super().__init__()
        self.files = ForgetfulFiles()
        self.now_s = 0.0
        self.accepted: dict[int, bytes] = {}
        self.refused: dict[int, set[bytes]] = {}
        self.durable = 0
        self.forgotten = self.forgetting = 0
        self.committed = 0
        self.power_cuts = 0
        self.lost: set[int] = set()
        self.segment_bytes = 150

    @initialize(segment_bytes=st.sampled_from([80, 150, 400]), max_bytes=st.sampled_from([None, None, 3000]))
    def begin(self, segment_bytes: int, max_bytes: int | None) -> None:
        self.segment_bytes = segment_bytes
        self.max_bytes = max_bytes
        self._open()

    def _open(self) -> None:
        self.journal = Journal(
            FOLDER,
            segment_bytes=self.segment_bytes,
            fsync_window_s=1.0,
            max_bytes=self.max_bytes,
            files=self.files,
            monotonic=lambda: self.now_s,
        )

    # Changes, each able to be cut short.

    def _append(self, payloads: list[bytes], critical: bool) -> None:
        before = self.journal.last
        numbers = range(before + 1, before + 1 + len(payloads))
        for number, payload in zip(numbers, payloads, strict=True):
            self.refused.setdefault(number, set()).add(payload)
        try:
            if len(payloads) == 1:
                last = self.journal.append(payloads[0], critical=critical)
            else:
                last = self.journal.append_many(payloads)
        except OSError:
            assert self.journal.last == before
            return
        assert last == before + len(payloads)
        self.accepted.update(zip(numbers, payloads, strict=True))
        if critical and len(payloads) == 1:
            assert self.journal.durable == last

    def _sync(self) -> None:
        try:
            self.journal.sync()
        except OSError:
            return
        assert self.journal.durable == self.journal.last

    def _commit(self, position: int) -> None:
        self.committing = position
        try:
            self.journal.cursor("uplink").commit(position)
        except OSError:
            assert self.journal.cursor("uplink").position == self.committed
            return
        self.committed = position
        assert self.journal.durable >= position

    def _forget(self, through: int) -> None:
        before, first = self.journal.bytes, self.journal.first
        self.forgetting = through
        try:
            freed = self.journal.forget(through)
        except OSError:
            assert self.journal.first == first
            return
        assert freed == before - self.journal.bytes
        self.forgotten = max(self.forgotten, through)
        assert self.journal.first <= max(through, self.forgotten) + 1 or self.journal.first == 1

    def _restart(self) -> None:
        self.journal.close()
        self._open()

    @rule(payload=PAYLOADS, critical=st.booleans())
    def append(self, payload: bytes, critical: bool) -> None:
        self._append([payload], critical)

    @rule(payloads=st.lists(PAYLOADS, min_size=1, max_size=6))
    def append_many(self, payloads: list[bytes]) -> None:
        self._append(payloads, False)

    @rule()
    def sync(self) -> None:
        self._sync()

    @rule(share=st.floats(0, 1))
    def commit(self, share: float) -> None:
        self._commit(int(self.journal.last * share))

    @rule(share=st.floats(0, 1))
    def forget(self, share: float) -> None:
        self._forget(int(self.journal.last * share))

    @rule(seconds=st.floats(0, 2))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    # Trouble.

    @rule(count=st.integers(1, 3))
    def syncs_will_fail(self, count: int) -> None:
        self.files.failing_syncs = count

    @rule(room=st.integers(0, 200))
    def disk_fills(self, room: int) -> None:
        self.files.capacity = sum(self.files.size(FOLDER / name) for name in self.files.names(FOLDER)) + room

    @precondition(lambda self: self.files.capacity is not None)
    @rule()
    def disk_is_cleared(self) -> None:
        self.files.capacity = None

    @rule()
    def restart(self) -> None:
        self.files.failing_syncs = 0
        self.files.capacity = None
        last = self.journal.last
        self._restart()
        assert self.journal.last == self.journal.durable == last
        self._check_recovered({}, {self.committed}, everything=True)

    @rule()
    def kill(self) -> None:
        self.files.failing_syncs = 0
        self.files.kill()
        self._open()
        self._check_recovered(self.refused, {self.committed}, everything=True)

    @rule(data=st.data())
    def power_cut(self, data: st.DataObject) -> None:
        self._power_back(data, {self.committed})

    @rule(
        data=st.data(),
        calls=st.integers(0, 12),
        what=st.sampled_from(["append", "critical", "append_many", "sync", "commit", "forget", "restart"]),
        payloads=st.lists(PAYLOADS, min_size=2, max_size=6),
        share=st.floats(0, 1),
    )
    def power_cut_within(self, data: st.DataObject, calls: int, what: str, payloads: list[bytes], share: float) -> None:
        position = int(self.journal.last * share)
        acts: dict[str, Callable[[], None]] = {
            "append": lambda: self._append(payloads[:1], False),
            "critical": lambda: self._append(payloads[:1], True),
            "append_many": lambda: self._append(payloads, False),
            "sync": self._sync,
            "commit": lambda: self._commit(position),
            "forget": lambda: self._forget(position),
            "restart": self._restart,
        }
        self.files.failing_syncs = 0
        self.files.capacity = None
        self.committing = self.committed
        self.files.calls_until_cut = calls
        try:
            acts[what]()
        except PowerCut:
            pass
        else:
            self._note_durable()
        self._power_back(data, {self.committed, self.committing})

    def _power_back(self, data: st.DataObject, cursors: set[int]) -> None:
        self.power_cuts += 1
        self.files.failing_syncs = 0
        self.files.restart(lambda count: data.draw(st.integers(0, count - 1)))
        self._open()
        self._check_recovered(self.refused, cursors, everything=False)

    def _check_recovered(self, maybe: dict[int, set[bytes]], cursors: set[int], *, everything: bool) -> None:
        found = dict(self.journal.read())
        position = self.journal.cursor("uplink").position
        assert list(found) == sorted(found)
        for number, payload in found.items():
            if number in self.accepted:
                assert payload == self.accepted[number] or number > self.durable
            assert payload == self.accepted.get(number) or payload in maybe.get(number, set())
        promised = max(self.accepted, default=0) if everything else self.durable
        floor = self.journal.first
        assert floor <= max(self.forgotten, self.forgetting) + 1
        assert set(found) >= {number for number in self.accepted if floor <= number <= promised}
        assert self.journal.last >= promised
        assert position in cursors
        assert position <= self.journal.last
        assert set(found) >= {number for number in range(floor, position + 1) if number in self.accepted}
        lost = {number for first, last in self.journal.lost() for number in range(first, last + 1)}
        assert all(promised < number <= self.journal.last for number in lost - self.lost)
        assert self.journal.durable == self.journal.last or self.files.capacity is not None
        # What was not durable may be gone, and what was never answered may be there: both are settled now.
        self.accepted = {**{n: p for n, p in self.accepted.items() if n < floor}, **found}
        self.refused = {}
        self.lost |= lost
        self.durable = max(self.durable, self.journal.durable)
        self.committed = position

    @invariant()
    def _note_durable(self) -> None:
        assert self.journal.durable <= self.journal.last
        self.durable = max(self.durable, self.journal.durable)

    @invariant()
    def reads_what_was_accepted(self) -> None:
        found = dict(self.journal.read())
        assert found == {n: p for n, p in self.accepted.items() if n >= self.journal.first}
        assert self.journal.bytes == sum(
            self.files.size(FOLDER / name) for name in self.files.names(FOLDER) if name.endswith(".segment")
        )

    @invariant()
    def healthy_files_show_no_damage(self) -> None:
        if not self.power_cuts:
            assert not self.journal.damage
            assert not list(self.journal.lost())

    @rule(share=st.floats(0, 1), limit=st.none() | st.integers(0, 5))
    def read_from_anywhere(self, share: float, limit: int | None) -> None:
        after = int(self.journal.last * share)
        expected = [item for item in sorted(self.accepted.items()) if item[0] > after and item[0] >= self.journal.first]
        assert [tuple(record) for record in self.journal.read(after, limit=limit)] == expected[:limit]
        sure = [item for item in expected if item[0] <= self.journal.durable]
        assert [tuple(record) for record in self.journal.read(after, limit=limit, durable=True)] == sure[:limit]

    @rule(share=st.floats(0, 1))
    def another_process_reads(self, share: float) -> None:
        after = int(self.journal.last * share)
        found = dict(Journal.reader(FOLDER, files=self.files).read(after))
        mine = dict(self.journal.read(after))
        assert mine == {number: payload for number, payload in found.items() if number <= self.journal.last}


TestJournalMachine = JournalMachine.TestCase
TestJournalMachine.settings = settings(max_examples=200, stateful_step_count=30, deadline=None, derandomize=True)


def test_power_cut_in_each_call_of_a_whole_life_in_turn() -> None:
    """The same life, cut at its first, second, third ... system call, with three kinds of luck."""
    for luck in (0, 1, 2, 3):
        for calls in itertools.count():
            files = ForgetfulFiles()
            files.calls_until_cut = calls
            accepted: dict[int, bytes] = {}
            durable = forgotten = committed = 0
            try:
                with Journal(FOLDER, segment_bytes=200, fsync_window_s=1e9, files=files) as journal:
                    for step in range(1, 31):
                        payload = b"%d" % step * 9
                        accepted[journal.last + 1] = payload
                        journal.append(payload, critical=step % 7 == 0)
                        durable = journal.durable
                        if step % 10 == 0:
                            journal.cursor("c").commit(step - 2)
                            committed, durable = step - 2, journal.durable
                            forgotten = step - 5
                            journal.forget(forgotten)
                ended = True
            except PowerCut:
                ended = False
            files.restart(lambda count, luck=luck: min(luck, count - 1))  # type: ignore[misc]
            with Journal(FOLDER, segment_bytes=200, files=files) as journal:
                found = dict(journal.read())
                assert all(accepted[number] == payload for number, payload in found.items())
                assert set(found) >= set(range(max(journal.first, forgotten + 1), durable + 1))
                assert committed <= journal.cursor("c").position <= journal.last
                assert all(first > durable for first, _ in journal.lost())
                number = journal.append(b"after", critical=True)
                assert number > durable
                assert dict(journal.read())[number] == b"after"
            if ended:
                break
        assert calls > 60


def test_full_disk_refuses_and_recovers() -> None:
    files = ForgetfulFiles()
    with Journal(FOLDER, segment_bytes=1000, files=files) as journal:
        journal.append_many([b"x" * 40] * 5)
        files.capacity = sum(files.size(FOLDER / name) for name in files.names(FOLDER)) + 30
        for _ in range(3):
            with pytest.raises(JournalFull, match=r"/spool.*free space"):
                journal.append(b"y" * 40)
        assert journal.append(b"z") == 6, "what still fits is taken"
        files.capacity = None
        assert journal.append(b"y" * 40) == 7
        assert [record.number for record in journal.read()] == [1, 2, 3, 4, 5, 6, 7]
        assert not journal.damage


def test_full_disk_that_cannot_even_cut_off_the_torn_record() -> None:
    files = ForgetfulFiles()
    with Journal(FOLDER, segment_bytes=1000, files=files) as journal:
        journal.append(b"first")
        files.capacity = sum(files.size(FOLDER / name) for name in files.names(FOLDER)) + 30
        files.truncate_fails = True
        with pytest.raises(JournalFull):
            journal.append(b"y" * 40)
        files.capacity = None
        assert journal.append(b"second") == 2
        assert dict(journal.read()) == {1: b"first", 2: b"second"}
        assert not list(journal.lost()), "the torn end costs nothing"
    with Journal(FOLDER, files=files) as journal:
        assert dict(journal.read()) == {1: b"first", 2: b"second"}
        assert not list(journal.lost())


def test_full_disk_can_be_relieved_by_forgetting() -> None:
    files = ForgetfulFiles()
    with Journal(FOLDER, segment_bytes=200, files=files) as journal:
        journal.append_many([b"x" * 40] * 2)
        while journal.last < 20:
            journal.append(b"x" * 40)
        files.capacity = sum(files.size(FOLDER / name) for name in files.names(FOLDER))
        with pytest.raises(JournalFull):
            journal.append(b"y" * 40)
        assert journal.forget(10) > 0
        assert journal.append(b"y" * 40) == 21
    files.restart(lambda count: 0)
    with Journal(FOLDER, files=files) as journal:
        assert not list(journal.lost())


def test_failed_fsync_is_not_believed_later() -> None:
    files = ForgetfulFiles()
    journal = Journal(FOLDER, fsync_window_s=1e9, files=files)
    journal.append(b"one", critical=True)
    journal.append(b"two")
    files.failing_syncs = 1
    journal.sync()
    assert journal.durable == 2, "the record was written again elsewhere, and that was synced"
    assert dict(journal.read()) == {1: b"one", 2: b"two"}
    files.restart(lambda count: 0)
    with Journal(FOLDER, files=files) as journal:
        assert dict(journal.read()) == {1: b"one", 2: b"two"}
        assert journal.append(b"three") == 3


def test_failed_fsync_is_not_believed_by_the_next_process_either() -> None:
    files = ForgetfulFiles()
    journal = Journal(FOLDER, fsync_window_s=1e9, files=files)
    journal.append(b"one")
    files.failing_syncs = 2
    with pytest.raises(OSError, match="check the disk"):
        journal.sync()
    files.kill()
    assert Journal(FOLDER, files=files).durable == 1
    files.restart(lambda count: 0)
    with Journal(FOLDER, files=files) as journal:
        assert dict(journal.read()) == {1: b"one"}


def test_failed_fsync_on_a_dying_disk_is_raised_and_nothing_is_called_durable() -> None:
    files = ForgetfulFiles()
    journal = Journal(FOLDER, fsync_window_s=1e9, files=files)
    journal.append(b"one", critical=True)
    journal.append(b"two")
    files.failing_syncs = 1000
    with pytest.raises(OSError, match=r"/spool.*check the disk"):
        journal.sync()
    with pytest.raises(OSError, match="check the disk"):
        journal.append(b"three")
    assert (journal.durable, journal.last) == (1, 2)
    assert list(journal.read(durable=True)) == [(1, b"one")]
    files.failing_syncs = 0
    assert journal.append(b"three", critical=True) == 3
    files.restart(lambda count: 0)
    with Journal(FOLDER, files=files) as journal:
        assert dict(journal.read()) == {1: b"one", 2: b"two", 3: b"three"}


def test_refused_critical_record_is_taken_back() -> None:
    files = ForgetfulFiles()
    journal = Journal(FOLDER, fsync_window_s=1e9, files=files)
    journal.append(b"one")
    files.failing_syncs = 2
    with pytest.raises(OSError, match="check the disk"):
        journal.append(b"refused", critical=True)
    assert dict(journal.read()) == {1: b"one"}
    assert journal.append(b"two", critical=True) == 2
    assert dict(journal.read()) == {1: b"one", 2: b"two"}
    files.restart(lambda count: 0)
    with Journal(FOLDER, files=files) as journal:
        assert dict(journal.read()) == {1: b"one", 2: b"two"}


def test_power_cut_right_after_a_segment_was_begun_is_no_damage() -> None:
    files = ForgetfulFiles()
    journal = Journal(FOLDER, fsync_window_s=1e9, files=files)
    journal.append(b"one")
    files.restart(lambda count: 0)
    with Journal(FOLDER, files=files) as journal:
        assert not journal.damage
        assert not list(journal.lost())
        assert journal.append(b"one") == 1


def test_syncs_at_most_once_per_window_and_as_often_as_promised() -> None:
    files = ForgetfulFiles()
    now_s = 0.0
    with Journal(FOLDER, fsync_window_s=1.0, files=files, monotonic=lambda: now_s) as journal:
        journal.append(b"first")
        begun = files.syncs
        for tick in range(1, 1001):
            now_s = tick / 100
            journal.append(b"sample")
            assert now_s - journal.durable / 100 <= 1.0
        assert files.syncs - begun <= 10
