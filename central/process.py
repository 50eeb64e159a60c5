"""From the journal to the change log: decodes what was received, has it judged, and enters what follows from it.

Theory of operation. One thread follows the journal in its order, a batch at a time. Where it stands is not kept
anywhere: it is the `source` of the change log's last whole batch, so that what is in the log and what is done can
never differ. A batch is entered in one piece.

A Frame whose schema no birth has described waits: its place (record number, place in the Envelope) is noted in a small
journal of its own, before the batch that should have held it is entered. When a birth describes it, it is read again
from the hub's journal and enters the change log in the birth's batch. What waits is therefore always known from three
things on disk: the notes up to `source`, the registry, and which record declared which schema.

The QC engine's histories are a view of the change log, kept as a snapshot with its cursor, and brought up to date from
there at the start.
"""

import logging
import pickle
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from central.changes import Change, ChangeLog, Flag, Flags, Op, Stages
from central.files import write_durably
from central.ingest import read_birth
from central.quarantine import Case, Quarantine, Reason
from central.received import Intake, Kind, Received
from central.registry import Registry
from tidegate import topics
from tidegate.codec import (
    CodecError,
    UnknownSchema,
    checked,
    checked_int64,
    decode_frame,
    encode_frame,
    packb,
    unpackb,
)
from tidegate.envelope import Envelope, Undecoded, decode_envelope
from tidegate.frame import Frame, Times
from tidegate.journal import Journal

_log = logging.getLogger(__name__)

BATCH_RECORDS = 512
_BATCH_BYTES = 8 << 20
_REMEMBERED = 20_000
"""Changes that a QC engine without a snapshot is given at the start."""
_SNAPSHOT_S = 30.0


class Engine(Protocol):
    """What judges: `central.qc.engine.Engine`."""

    def judge(self, blocks: Sequence[tuple[str, Frame]]) -> list[tuple[Op, str, Frame, dict[str, Flags]]]:
        """Inserts and corrections that follow from (platform, Frame) blocks, with flags of every column."""
        ...

    def remember(self, platform: str, frame: Frame, flags: Mapping[str, Flags]) -> None:
        """Take up what was judged before."""
        ...


@dataclass(frozen=True, slots=True)
class _Block:
    """A Frame to be judged, and where it came from."""

    platform: str
    frame: Frame
    data: bytes
    epoch: str
    seq: int
    stages: Stages


class _Batch:
    """Records of the journal through `last`, and what follows from them."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.births = False
        self.waiting: list[Waiting] = []
        self.released: set[Waiting] = set()
        self.cases: list[Case] = []
        self.changes: list[Change] = []
        self.packed: dict[Frame, bytes] = {}
        self.entered = False


@dataclass(frozen=True, slots=True, order=True)
class Waiting:
    """The place of a Frame that no birth has described yet."""

    number: int
    place: int
    platform: str
    instrument: str
    schema_id: bytes


class WaitingRoom:
    """The notes of Frames that wait for a birth. `declared` says which record of the journal declared a schema."""

    def __init__(self, directory: Path, source: int, registry: Registry) -> None:
        self._journal = Journal(directory)
        self._waiting: set[Waiting] = set()
        for _, payload in self._journal.read():
            number, place, platform, instrument, schema_id = checked(unpackb(payload), list)
            waiting = Waiting(checked_int64(number), checked_int64(place), platform, instrument, schema_id)
            declared = registry.declared(platform, instrument, schema_id)
            # What is noted beyond `source` is met again, and noted again if need be.
            if waiting.number <= source and (declared is None or declared > source):
                self._waiting.add(waiting)

    def __iter__(self) -> Iterator[Waiting]:
        return iter(sorted(self._waiting))

    def __len__(self) -> int:
        return len(self._waiting)

    def count(self) -> dict[tuple[str, str], int]:
        """Frames that wait, by platform and instrument."""
        counts: dict[tuple[str, str], int] = {}
        for waiting in self._waiting.copy():
            key = waiting.platform, waiting.instrument
            counts[key] = counts.get(key, 0) + 1
        return counts

    def add(self, new: Sequence[Waiting]) -> None:
        """Note durably. Raises OSError where the disk fails; nothing is noted then."""
        unknown = [waiting for waiting in new if waiting not in self._waiting]
        if unknown:
            self._journal.append_many(
                [packb([w.number, w.place, w.platform, w.instrument, w.schema_id]) for w in unknown]
            )
            self._journal.sync()
            self._waiting.update(unknown)

    def described(
        self, more: Sequence[Waiting], platform: str, schemas: Mapping[str, Mapping[bytes, object]], before: int
    ) -> list[Waiting]:
        """What waits of a platform, here or in `more`, and is of one of `schemas`, of records before `before`."""
        return sorted(
            w
            for w in self._waiting.union(more)
            if w.platform == platform and w.number < before and w.schema_id in schemas.get(w.instrument, {})
        )

    def release(self, done: Iterable[Waiting]) -> None:
        """These wait no more: they are in the change log."""
        self._waiting.difference_update(done)
        if not self._waiting:
            self._journal.forget(self._journal.last)

    def close(self) -> None:
        """Let the folder go."""
        self._journal.close()


class Processor:
    """The process stage, in `directory` (its waiting room and the engine's snapshot).

    `fingerprint` stands for the engine's settings: a snapshot of an engine with other settings is not taken up.
    """

    def __init__(
        self,
        directory: Path,
        intake: Intake,
        registry: Registry,
        registry_file: Path,
        changes: ChangeLog,
        engine: Engine,
        quarantine: Quarantine,
        *,
        fingerprint: str = "",
    ) -> None:
        directory.mkdir(exist_ok=True)
        self._intake, self._registry, self._changes, self._quarantine = intake, registry, changes, quarantine
        self._registry_file = registry_file
        self._engine_file = directory / "engine.snapshot"
        self._fingerprint = fingerprint
        self.waiting = WaitingRoom(directory / "waiting", changes.source, registry)
        self.position = changes.source
        """Number of the journal's record through which everything is processed."""
        self.last_error = ""
        """Why it does not get on at the moment; empty where all is well."""
        self._batch: _Batch | None = None
        self._known_case = quarantine.source
        self._told: set[tuple[str, str, bytes]] = set()
        self.repeated: Counter[str] = Counter()
        """Samples by platform that were no news since the start: they had come before, or have no time."""
        self.unjudged = 0
        """Samples that entered the log without being judged, because the QC engine failed on their batch."""
        self._engine = self._recalled(engine)
        self._saved_s = time.monotonic()
        self._saved_at = changes.last
        self._save_every_s = _SNAPSHOT_S

    @property
    def engine(self) -> Engine:
        """The engine in use."""
        return self._engine

    @property
    def lag(self) -> int:
        """Records of the journal that are not processed yet."""
        return self._intake.last - self.position

    def run(self, stop: threading.Event) -> None:
        """Process for ever, in a thread of its own; on `stop` finish the batch, save and return."""
        while not stop.is_set():
            try:
                if not self.step():
                    self._intake.wait(self.position, 0.5)
                self._save_now_and_then()
                if self.last_error:
                    _log.warning("processing goes on")
                    self.last_error = ""
            except Exception as error:
                if str(error) != self.last_error:
                    _log.exception("processing does not get on")
                self.last_error = str(error) or type(error).__name__
                stop.wait(1.0)

    def step(self) -> bool:
        """Process one batch; False where there was nothing to do.

        Raises OSError where a disk fails. The batch stays as it was judged, and the next call goes on from there.
        """
        if self._batch is None:
            self._batch = self._next()
        if self._batch is None:
            return False
        self._enter(self._batch)
        self._batch = None
        return True

    def _next(self) -> "_Batch | None":
        """Read and judge what comes next; None where there is nothing."""
        batch = _Batch(self.position)
        blocks: list[_Block] = []
        size = 0
        for number, payload in self._intake.read(self.position, BATCH_RECORDS):
            batch.last, size = number, size + len(payload)
            try:
                received = Received.unpacked(payload)
                place = topics.split(received.topic)
                if place is None:
                    raise CodecError(f"{received.topic!r} is no topic of ours")
                if received.kind is Kind.BIRTH:
                    self._registry.birth(read_birth(place[0], received.data), number, received.received_ns)
                    batch.births = True
                    described = self.waiting.described(
                        batch.waiting, place[0], self._registry.schemas(place[0]), number
                    )
                    fresh = [waiting for waiting in described if waiting not in batch.released]
                    blocks += self._read_again(number, fresh, batch.cases)
                    batch.released.update(fresh)
                else:
                    self._open(number, place[0], received, blocks, batch)
            except ValueError as error:
                batch.cases.append(Case(Reason.UNDECODABLE, "", "", 0, str(error), (number, 0), payload))
            if size >= _BATCH_BYTES:
                break
        if batch.last == self.position:
            return None
        self._judge(blocks, batch)
        return batch

    def _enter(self, batch: "_Batch") -> None:
        """Put a batch on disk. Each part is done once, however often this is called."""
        if not batch.entered:
            self.waiting.add([waiting for waiting in batch.waiting if waiting not in batch.released])
            self._quarantine.add([case for case in batch.cases if case.source > self._known_case])
            batch.cases.clear()
            self._quarantine.sync()
            if batch.births:
                self._registry.save(self._registry_file)
            self._changes.append(batch.changes, source=batch.last, packed=batch.packed)
            batch.entered = True
        self._changes.sync()
        self.position = batch.last
        self.waiting.release(batch.released)
        self._registry.count(batch.changes, self._changes.last)

    def save(self) -> None:
        """Write the snapshots of engine and registry. Raises OSError where the disk fails."""
        self._registry.save(self._registry_file)
        write_durably(self._engine_file, pickle.dumps((self._fingerprint, self._changes.last, self._engine)))
        self._saved_at = self._changes.last

    def close(self) -> None:
        """Let the folder go."""
        self.waiting.close()

    # --- inside ---

    def _open(self, number: int, platform: str, received: Received, blocks: list[_Block], batch: _Batch) -> None:
        envelope = decode_envelope(received.data, platform)
        frames, undecoded = envelope.decode(self._registry.schemas(platform))
        places = {id(data): place for place, data in enumerate(envelope.frames)}
        bad = {id(u.data) for u in undecoded}
        stages = self._stages(number, received, envelope)
        for frame, data in zip(frames, (d for d in envelope.frames if id(d) not in bad), strict=True):
            if len(frame):
                blocks.append(_Block(platform, frame, data, envelope.epoch, envelope.seq, stages))
        for u in undecoded:
            place = places[id(u.data)]
            if isinstance(u.error, UnknownSchema) and u.instrument is not None:
                batch.waiting.append(Waiting(number, place, platform, u.instrument, u.error.id))
                key = platform, u.instrument, u.error.id
                if key not in self._told:
                    self._told.add(key)
                    _log.warning("%s: Frames wait for a birth that describes them: %s", platform, u.error)
            else:
                batch.cases.append(_undecodable(envelope, received, u, (number, place)))

    def _read_again(self, birth: int, waiting: Sequence[Waiting], cases: list[Case]) -> Iterator[_Block]:
        """The Frames that waited for the birth in record `birth`, from the journal."""
        for w in waiting:
            for number, payload in self._intake.read(w.number - 1, 1):
                if number != w.number:
                    break
                received = Received.unpacked(payload)
                envelope = decode_envelope(received.data, w.platform)
                data = envelope.frames[w.place]
                frames, undecoded = replace(envelope, frames=(data,)).decode(self._registry.schemas(w.platform))
                stages = self._stages(number, received, envelope)
                for frame in frames:
                    if len(frame):
                        yield _Block(w.platform, frame, data, envelope.epoch, envelope.seq, stages)
                cases += [_undecodable(envelope, received, u, (birth, len(cases))) for u in undecoded]

    def _stages(self, number: int, received: Received, envelope: Envelope) -> Stages:
        journaled_ns = max(self._intake.journaled_ns(number), received.received_ns)
        return Stages(envelope.made_ns, received.received_ns, journaled_ns, time.time_ns())

    def _judge(self, blocks: Sequence[_Block], batch: _Batch) -> None:
        """Add to a batch the changes that follow from blocks."""
        if not blocks:
            return
        try:
            judged = self._engine.judge([(block.platform, block.frame) for block in blocks])
        except Exception:
            # The data must not wait for the repair of a test; they go on, and say that nobody has judged them.
            _log.exception("the QC engine failed; %d blocks are not evaluated", len(blocks))
            self.unjudged += sum(len(block.frame) for block in blocks)
            judged = [(Op.INSERT, block.platform, block.frame, _not_evaluated(block.frame)) for block in blocks]
        origins = _Origins(blocks)
        news = Counter({block.platform: 0 for block in blocks})
        for op, platform, frame, flags in judged:
            for block, rows, sure in origins.of(platform, frame):
                kept = {name: column[rows] for name, column in flags.items()}
                if op is Op.INSERT:
                    news[platform] += len(rows)
                    if sure and np.array_equal(frame.time[rows], block.frame.time):
                        batch.packed[block.frame] = block.data
                        batch.changes.append(
                            Change(op, platform, block.frame, kept, block.stages, block.epoch, block.seq)
                        )
                        continue
                part = frame.take(rows)
                try:
                    data = encode_frame(part)
                    part = decode_frame(data, {part.schema.id: part.schema})
                except CodecError as error:
                    detail = f"epoch {block.epoch} seq {block.seq}: {op.name}: {error}"
                    batch.cases.append(
                        Case(
                            Reason.UNDECODABLE, platform, frame.instrument, block.stages.received_ns, detail,
                            (batch.last, len(batch.cases)), block.data,
                        )
                    )  # fmt: skip
                    continue
                batch.packed[part] = data
                batch.changes.append(Change(op, platform, part, kept, block.stages, block.epoch, block.seq))
        self.repeated.update({block.platform: 0 for block in blocks})
        for block in blocks:
            self.repeated[block.platform] += len(block.frame)
        self.repeated.subtract(news)

    def _recalled(self, engine: Engine) -> Engine:
        """The engine as it was at the end of the change log."""
        after = max(self._changes.last - _REMEMBERED, 0)
        try:
            fingerprint, cursor, kept = pickle.loads(self._engine_file.read_bytes())
            if fingerprint != self._fingerprint:
                _log.warning("the QC settings have changed; the engine begins with the newest changes")
            elif cursor > self._changes.last:
                _log.warning("the QC engine's snapshot is ahead of the change log; it begins with the newest changes")
            else:
                engine, after = kept, cursor
        except FileNotFoundError:
            pass
        except Exception as error:  # another version's snapshot can fail in any way
            _log.warning("the QC engine's snapshot cannot be used: %s: %s", type(error).__name__, error)
        for _, change in self._changes.read(after):
            engine.remember(change.platform, change.frame, change.flags)
        return engine

    def _save_now_and_then(self) -> None:
        started_s = time.monotonic()
        if self._saved_at == self._changes.last or started_s - self._saved_s < self._save_every_s:
            return
        self.save()
        self._saved_s = time.monotonic()
        # However large the histories are, saving them takes a twentieth of the time at most.
        self._save_every_s = max(_SNAPSHOT_S, 20 * (self._saved_s - started_s))


class _Origins:
    """Which block each sample of a judged Frame came in, of one batch."""

    def __init__(self, blocks: Sequence[_Block]) -> None:
        self._blocks: dict[tuple[str, str, bytes], list[_Block]] = {}
        for block in blocks:
            key = block.platform, block.frame.instrument, block.frame.schema.id
            self._blocks.setdefault(key, []).append(block)
        self._index: dict[tuple[str, str, bytes], tuple[Times, npt.NDArray[np.intp], bool]] = {}

    def of(self, platform: str, frame: Frame) -> Iterator[tuple[_Block, npt.NDArray[np.intp], bool]]:
        """(block, rows of the Frame that came in it, whether no other block has the same times). What came in no block
        of this batch, and is only corrected, is of the newest block."""
        key = platform, frame.instrument, frame.schema.id
        blocks = self._blocks[key]
        if len(blocks) == 1:
            yield blocks[0], np.arange(len(frame)), True
            return
        if key not in self._index:
            time = np.concatenate([block.frame.time for block in blocks])
            number = np.repeat(np.arange(len(blocks)), [len(block.frame) for block in blocks])
            order = np.argsort(time, kind="stable")
            self._index[key] = time[order], number[order], bool((np.diff(time[order]) > 0).all())
        time, number, sure = self._index[key]
        at = np.maximum(np.searchsorted(time, frame.time, side="right") - 1, 0)
        block_of = np.where(time[at] == frame.time, number[at], len(blocks) - 1)
        order = np.argsort(block_of, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(block_of[order])) + 1):
            yield blocks[block_of[rows[0]]], rows, sure


def restored(path: Path, intake: Intake, changes: ChangeLog) -> Registry:
    """The registry as it was at the end of the change log: from its snapshot, or from the journal's beginning."""
    registry = Registry.load(path, newest=intake.last, cursor=changes.last)
    if registry is None:
        registry = Registry()
        for number, payload in intake.read(0):
            if number > changes.source:
                break
            try:
                received = Received.unpacked(payload)
                place = topics.split(received.topic)
                if received.kind is Kind.BIRTH and place is not None:
                    registry.birth(read_birth(place[0], received.data), number, received.received_ns)
            except ValueError as error:
                _log.error("journal %s: record %d: %s", intake.journal.directory, number, error)
    for cursor, change in changes.read(registry.cursor):
        registry.count([change], cursor)
    return registry


def _undecodable(envelope: Envelope, received: Received, u: Undecoded, source: tuple[int, int]) -> Case:
    detail = f"epoch {envelope.epoch} seq {envelope.seq}: {u.error}"
    at_ns = received.received_ns
    return Case(Reason.UNDECODABLE, envelope.platform, u.instrument or "", at_ns, detail, source, u.data)


def _not_evaluated(frame: Frame) -> dict[str, Flags]:
    return {
        name: np.where(frame.missing(name) != 0, np.uint8(Flag.MISSING), np.uint8(Flag.NOT_EVALUATED)).astype(np.uint8)
        for name in frame.columns
    }
