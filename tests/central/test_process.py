import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from central.changes import Change, ChangeLog, Flag, Flags, Op
from central.process import Processor, restored
from central.qc.engine import Engine
from central.quarantine import Quarantine, Reason
from central.received import Intake, Kind, Received
from tests.central.station import ADCP, CTD, EPOCH, START_NS, adcp, birth, ctd, envelope
from tidegate.codec import encode_frame
from tidegate.frame import Frame


class Stage:
    """The process stage with all that it stands on, opened as the hub opens it."""

    def __init__(self, folder: Path, fingerprint: str = "1") -> None:
        folder.mkdir(exist_ok=True)
        self.intake = Intake(folder / "journal")
        self.changes = ChangeLog(folder / "changes")
        self.quarantine = Quarantine(folder / "quarantine")
        self.registry = restored(folder / "registry.json", self.intake, self.changes)
        self.processor = Processor(
            folder / "processing", self.intake, self.registry, folder / "registry.json", self.changes, Engine(),
            self.quarantine, fingerprint=fingerprint,
        )  # fmt: skip

    def receive(self, *messages: bytes) -> None:
        self.intake.append(
            [
                Received(Kind.BIRTH if m[:1] == b"{" else Kind.ENVELOPE, "tidegate/1/quay-3/live", START_NS, m)
                for m in messages
            ]
        )
        self.intake.sync()

    def work(self) -> None:
        while self.processor.step():
            pass

    def close(self) -> None:
        for part in (self.processor, self.quarantine, self.changes, self.intake):
            part.close()


@contextlib.contextmanager
def stage(folder: Path, fingerprint: str = "1") -> Iterator[Stage]:
    opened = Stage(folder, fingerprint)
    try:
        yield opened
    finally:
        opened.close()


def told(changes: ChangeLog) -> list[tuple[str, int, str, int]]:
    return [(c.op.name, c.seq, c.frame.instrument, len(c.frame)) for _, c in changes.read()]


def times(changes: ChangeLog, op: Op = Op.INSERT) -> Counter[tuple[str, int]]:
    return Counter((c.frame.instrument, t) for _, c in changes.read() if c.op is op for t in c.frame.time.tolist())


def test_each_envelope_keeps_its_own_changes_although_they_are_judged_together(tmp_path: Path) -> None:
    with stage(tmp_path) as s:
        s.receive(birth(CTD, ADCP), envelope(1, ctd(1), adcp(1)), envelope(2), envelope(3, adcp(2)))
        s.work()
        inserted = [entry for entry in told(s.changes) if entry[0] == "INSERT"]
        assert sorted(inserted, key=lambda e: (e[1], e[2])) == [
            ("INSERT", 1, "adcp-1", 2),
            ("INSERT", 1, "ctd-1", 5),
            ("INSERT", 2, "ctd-1", 5),
            ("INSERT", 3, "adcp-1", 2),
        ]
        for _, change in s.changes.read():
            assert change.epoch == EPOCH
            assert change.stages.made_ns > START_NS
            assert change.stages.received_ns == START_NS
            assert change.stages.journaled_ns <= change.stages.processed_ns
        assert s.processor.lag == 0
        found = next(c.frame for _, c in s.changes.read() if c.seq == 2)
        np.testing.assert_array_equal(found.columns["sea_water_temperature"], ctd(2).columns["sea_water_temperature"])
        assert found.arrival == ctd(2).arrival


def test_late_samples_correct_the_flags_of_earlier_ones(tmp_path: Path) -> None:
    """In whatever batches the Envelopes come, the last flags of each sample are those of one batch run."""
    flags: list[dict[int, int]] = []
    for order in ([1, 2, 3, 4], [4, 1, 3, 2], [2, 4, 3, 1]):
        with stage(tmp_path / str(order)) as s:
            s.receive(birth(CTD))
            for seq in order:
                s.receive(envelope(seq))
                s.work()
            last: dict[int, int] = {}
            for _, change in s.changes.read():
                last.update(zip(change.frame.time.tolist(), change.flags["sea_water_pressure"].tolist(), strict=True))
            flags.append(last)
            assert set(times(s.changes).values()) == {1}
    assert flags[0] == flags[1] == flags[2]
    assert len(flags[0]) == 20


def test_what_no_birth_describes_waits_and_is_taken_when_one_does(tmp_path: Path) -> None:
    with stage(tmp_path) as s:
        s.receive(envelope(1, ctd(1), adcp(1)), birth(CTD), envelope(2, ctd(2), adcp(2)))
        s.work()
        assert [e[1:3] for e in told(s.changes) if e[0] == "INSERT"] == [(1, "ctd-1"), (2, "ctd-1")]
        assert s.processor.waiting.count() == {("quay-3", "adcp-1"): 2}
    with stage(tmp_path) as s:  # it goes on waiting over a restart
        assert s.processor.waiting.count() == {("quay-3", "adcp-1"): 2}
        s.receive(birth(CTD, ADCP))
        s.work()
        assert sorted(e[1] for e in told(s.changes) if e[2] == "adcp-1" and e[0] == "INSERT") == [1, 2]
        assert len(s.processor.waiting) == 0
    with stage(tmp_path) as s:
        assert len(s.processor.waiting) == 0
        s.receive(birth(CTD, ADCP), envelope(3, adcp(3)))
        s.work()
        assert set(times(s.changes).values()) == {1}
        platform = s.registry.platform("quay-3")
        assert platform is not None
        assert {i.name: i.samples for i in platform.instruments.values()} == {"adcp-1": 6, "ctd-1": 10}


def test_what_cannot_be_decoded_is_kept_as_evidence_and_costs_itself_alone(tmp_path: Path) -> None:
    broken = encode_frame(ctd(9))[:-3]
    with stage(tmp_path) as s:
        s.receive(birth(CTD), envelope(1, ctd(1), raw=(broken, b"")), b"{no birth", b"no envelope", envelope(2))
        s.work()
        assert [e[1] for e in told(s.changes) if e[0] == "INSERT"] == [1, 2]
        cases = s.quarantine.newest(10)
        assert [case.source for case in cases] == [(2, 1), (2, 2), (3, 0), (4, 0)]
        assert {case.reason for case in cases} == {Reason.UNDECODABLE}
        assert cases[0].data == broken
        assert "seq 1" in cases[0].detail


def test_a_sample_that_comes_again_is_counted_and_not_stored_again(tmp_path: Path) -> None:
    with stage(tmp_path) as s:
        s.receive(birth(CTD), envelope(1), envelope(1, epoch="cd" * 8))
        s.work()
        s.receive(envelope(2, ctd(1)))
        s.work()
        assert set(times(s.changes).values()) == {1}
        assert s.processor.repeated["quay-3"] == 10


class Failing(Engine):
    def judge(self, blocks: Sequence[tuple[str, Frame]]) -> list[tuple[Op, str, Frame, dict[str, Flags]]]:
        raise ArithmeticError("a test that fails")


def test_data_go_on_unjudged_where_the_engine_fails(tmp_path: Path) -> None:
    with stage(tmp_path) as s:
        s.processor._engine = Failing()
        s.receive(birth(CTD), envelope(1))
        s.work()
        ((_, change),) = s.changes.read()
        assert set(change.flags["sea_water_pressure"].tolist()) == {Flag.NOT_EVALUATED}
        assert s.processor.unjudged == 5


def test_the_engine_is_recalled_from_its_snapshot_or_from_the_log(tmp_path: Path) -> None:
    with stage(tmp_path) as s:
        s.receive(birth(CTD), *(envelope(k) for k in range(1, 5)))
        s.work()
        s.processor.save()
        s.receive(envelope(5))
        s.work()
    for fingerprint in ("1", "2"):  # "2": other thresholds, so the snapshot does not count
        with stage(tmp_path, fingerprint) as s:
            s.receive(envelope(6, epoch=fingerprint * 16))  # known after the first round
            s.work()
            assert set(times(s.changes).values()) == {1}
    (tmp_path / "processing" / "engine.snapshot").write_bytes(b"\x80nonsense")
    with stage(tmp_path) as s:
        s.receive(envelope(7, ctd(3)))
        s.work()
        assert set(times(s.changes).values()) == {1}


class Crash(BaseException):
    """The end of the process, at a place that the test chose."""


STEPS = ("waiting", "quarantine", "registry", "append", "sync", "count")


@settings(max_examples=40, derandomize=True, deadline=None)
@given(
    messages=st.lists(st.sampled_from(["ctd", "adcp", "birth", "late birth", "bad"]), min_size=1, max_size=12),
    crashes=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(1, 4)), max_size=5),
)
def test_exactly_once_wherever_the_hub_is_killed(
    tmp_path_factory: pytest.TempPathFactory, messages: list[str], crashes: list[tuple[str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("hub")
    sent: set[tuple[int, str]] = set()
    stream = []
    for seq, what in enumerate(messages, 1):
        if what in ("ctd", "adcp"):
            sent.add((seq, f"{what}-1"))
            stream.append(envelope(seq, ctd(seq) if what == "ctd" else adcp(seq)))
        elif what == "bad":
            stream.append(envelope(seq, raw=(b"\xc1",)))
        else:
            stream.append(birth(CTD) if what == "birth" else birth(CTD, ADCP))
    stream.append(birth(CTD, ADCP))
    with stage(folder) as s:
        for message in stream:
            s.receive(message)
    for where, after in [*crashes, ("", 0)]:
        s = Stage(folder)
        parts = {
            "waiting": (s.processor.waiting, "add"),
            "quarantine": (s.quarantine, "add"),
            "registry": (s.registry, "save"),
            "append": (s.changes, "append"),
            "sync": (s.changes, "sync"),
            "count": (s.registry, "count"),
        }
        left = [after]
        if where:
            part, name = parts[where]
            real = getattr(part, name)

            def dying(*args: object, real: object = real, left: list[int] = left, **more: object) -> object:
                left[0] -= 1
                result = real(*args, **more)  # type: ignore[operator]
                if left[0] == 0:
                    raise Crash
                return result

            setattr(part, name, dying)
        with contextlib.suppress(Crash):
            import central.process

            real_records, central.process.BATCH_RECORDS = central.process.BATCH_RECORDS, 3
            try:
                s.work()
            finally:
                central.process.BATCH_RECORDS = real_records
        s.close()
    with stage(folder) as s:
        s.work()
        inserted = Counter((c.seq, c.frame.instrument) for _, c in s.changes.read() if c.op is Op.INSERT)
        assert inserted == Counter(sent)
        assert len(s.processor.waiting) == 0
        assert len(s.quarantine.newest(100)) == messages.count("bad")
        platform = s.registry.platform("quay-3")
        assert platform is not None
        assert platform.samples == sum(5 if name == "ctd-1" else 2 for _, name in sent)


def test_a_failing_disk_stops_nothing_for_ever_and_judges_nothing_twice(tmp_path: Path) -> None:
    with stage(tmp_path) as s:
        real_append, real_sync = s.changes.append, s.changes.sync
        fails = [3, 2]

        def append(*args: object, **more: object) -> int:
            fails[0] -= 1
            if fails[0] >= 0:
                raise OSError(28, "No space left on device")
            return real_append(*args, **more)  # type: ignore[arg-type]

        def sync() -> None:
            fails[1] -= 1
            if fails[1] >= 0:
                raise OSError(5, "Input/output error")
            real_sync()

        s.changes.append, s.changes.sync = append, sync  # type: ignore[method-assign]
        s.receive(birth(CTD), envelope(1), envelope(2))
        for _ in range(5):
            with pytest.raises(OSError, match=r"device|error"):
                s.processor.step()
        assert s.processor.step()
        assert [e[1] for e in told(s.changes) if e[0] == "INSERT"] == [1, 2]
        assert set(times(s.changes).values()) == {1}


def test_the_thread_follows_the_journal_and_ends_when_told(tmp_path: Path) -> None:
    with stage(tmp_path) as s:
        halt = threading.Event()
        thread = threading.Thread(target=s.processor.run, args=(halt,), daemon=True)
        thread.start()
        s.receive(birth(CTD))
        for seq in range(1, 30):
            s.receive(envelope(seq))
        end_s = time.monotonic() + 5.0
        while s.processor.lag and time.monotonic() < end_s:
            time.sleep(0.01)
        halt.set()
        s.intake.wake()
        thread.join(5)
        assert not thread.is_alive()
        assert len(times(s.changes)) == 5 * 29


def test_a_change_is_as_the_log_gives_it(tmp_path: Path) -> None:
    """What the log holds decoded in memory and what it has on disk are the same."""

    def plain(change: Change) -> object:
        columns = {name: column.tolist() for name, column in change.frame.columns.items()}
        flags = {name: column.tolist() for name, column in change.flags.items()}
        return change.op, change.seq, change.stages, change.frame.time.tolist(), columns, flags, change.frame.arrival

    with stage(tmp_path) as s:
        s.receive(birth(CTD), envelope(3), envelope(1), envelope(2))
        s.work()
        s.receive(envelope(4, ctd(8)), envelope(5, ctd(6)))
        s.work()
        held = [plain(c) for _, c in s.changes.read()]
    with stage(tmp_path) as s:
        assert [plain(c) for _, c in s.changes.read()] == held
