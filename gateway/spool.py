"""The spool: the gateway's durable queue of Envelopes. What it has accepted, it gives until the hub has it on disk.

Frames wait in memory for at most one batch interval; `close_batch` then makes one Envelope of them, appends it to
the journal and returns after the fsync. An Envelope's `seq` is its record number in the journal. The uplink sends
only what is durable here, so no power cut can make the gateway give one seq to two different Envelopes. The hub's
acknowledgements are the one reason to forget; a spool that is full forgets its oldest segment instead and says so by
a gap that reaches the hub.

Each Frame comes with its place in the raw log. Right before an Envelope is appended, `close_batch` hands out a mark of
what the Envelopes account for with it; `gateway.recover` takes up after a crash where the newest one's mark ends.
"""

import json
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from gateway.rawlog import START, Mark, Position
from tidegate.codec import MAX_SAMPLES, MAX_VALUES, CodecError, encode_frame, values_of
from tidegate.envelope import NO_PREVIOUS, Envelope, Gap, Lane, chain_hash, encode_envelope, epoch_of
from tidegate.frame import Frame, Schema, concatenate
from tidegate.identity import new_epoch
from tidegate.journal import Journal, JournalFull
from tidegate.ranges import RangeSet

_log = logging.getLogger(__name__)

_ENVELOPE_BYTES = 512 << 10
_WAITING_VALUES = 4 << 20
_PIECE_VALUES = MAX_VALUES // 16


class Spool:
    """The spool of one platform, in `directory`. `close_batch` may run in a thread of its own, beside all the rest."""

    def __init__(self, platform: str, directory: Path, max_bytes: int) -> None:
        self.platform = platform
        self.journal = Journal(directory, max_bytes=max_bytes)
        self._epoch_file = directory / "epoch"
        self.epoch = self._load_epoch()
        self.acked = RangeSet()
        self._cursor = self.journal.cursor("hub")
        if self._cursor.position:
            self.acked.add(1, self._cursor.position)
        self._previous = self._last_hash()
        self._lock = threading.Lock()  # of the six below: Frames come in while a batch is being written
        self._frames: list[Frame] = []
        self._waiting = 0
        self._writing = 0
        self._heard: Position = START  # of the newest Frame
        self._beyond: Counter[str] = Counter()  # samples beyond `_accounted` that are in Envelopes
        self._accounted: Position = START
        self._gaps: list[Gap] = []
        self._told: RangeSet = RangeSet()
        self._schemas_file = directory / "schemas.json"
        self.schemas: dict[str, dict[bytes, Schema]] = self._load_schemas()
        self.refused: dict[str, int] = {}
        """Samples that could not be accepted, by instrument: the disk refused and memory is full."""

    # --- in
    # ------------------------------------------------------------------------------------------------------------

    def declare(self, instrument: str, schema: Schema) -> bool:
        """Notes that Frames of this schema may come; whether that is news, so that the birth must be sent again."""
        known = self.schemas.setdefault(instrument, {})
        if schema.id in known:
            return False
        known[schema.id] = schema
        text = {name: [s.as_dict() for s in by_id.values()] for name, by_id in self.schemas.items()}
        try:
            _write_durably(self._schemas_file, json.dumps(text))
        except OSError as error:  # it is declared all the same; a restart learns it when such Frames come again
            _log.error("%s: %s; schemas are kept in memory only", self._schemas_file, error)
        return True

    def resume(self, position: Position, beyond: Mapping[str, int] | None = None) -> None:
        """All that precedes this place of the raw log is accounted for, and so many samples beyond it."""
        with self._lock:
            self._heard = self._accounted = position
            self._beyond = Counter(beyond or {})

    @property
    def waiting_values(self) -> int:
        """Values of the Frames that are in no Envelope yet."""
        with self._lock:
            return self._waiting + self._writing

    def put(self, *frames: Frame, heard: Position = START) -> None:
        """Takes Frames for the next Envelope: all that the raw log's record `heard` completed."""
        with self._lock:
            self._heard = heard
            for frame in frames:
                if len(frame):
                    self._frames.append(frame)
                    self._waiting += values_of(frame.schema, len(frame))
            while self._waiting > _WAITING_VALUES and len(self._frames) > 1:
                dropped = self._frames.pop(0)
                self._waiting -= values_of(dropped.schema, len(dropped))
                self._beyond[dropped.instrument] += len(dropped)
                self._refuse(dropped, "the disk refuses and memory is full")

    def _refuse(self, frame: Frame, reason: str) -> None:
        self.refused[frame.instrument] = self.refused.get(frame.instrument, 0) + len(frame)
        _log.error("%s: %d samples cannot be accepted: %s", frame.instrument, len(frame), reason)

    def close_batch(self, note: Callable[[Mark], None] | None = None) -> int | None:
        """Makes Envelopes of what waits and returns the last's seq once all are durable; None where nothing waited.

        `note` is given the mark of each Envelope before it is appended. Raises OSError where the disk refuses: the
        Frames then stay for the next attempt.
        """
        for first, last in self.journal.lost():
            for untold in self._told.missing(first, last):
                self._gaps += [Gap(*hole, "damaged in the gateway's spool") for hole in self.acked.missing(*untold)]
            self._told.add(first, last)
        with self._lock:
            waiting, self._frames = self._frames, []
            self._writing, self._waiting = self._waiting, 0
            heard = self._heard
        frames = _join(waiting)
        seq = None
        try:
            while frames or self._gaps:
                batch: list[bytes] = []
                sizes = 0
                for frame in frames:
                    try:
                        data = encode_frame(frame)
                    except CodecError as error:
                        self._refuse(frame, str(error))
                        data = b""
                    if batch and sizes + len(data) > _ENVELOPE_BYTES:
                        break
                    batch.append(data)
                    sizes += len(data)
                taken, left = frames[: len(batch)], frames[len(batch) :]
                position, beyond = heard, Counter[str]()
                if left:
                    position, beyond = self._accounted, self._beyond.copy()
                    for frame in taken:
                        beyond[frame.instrument] += len(frame)
                seq = self._append([data for data in batch if data], position, beyond, note)
                with self._lock:
                    self._accounted, self._beyond = position, beyond
                frames = left
        finally:
            # Where the disk refused: what is left waits for the next attempt.
            with self._lock:
                self._frames[:0] = frames
                self._waiting += sum(values_of(f.schema, len(f)) for f in frames)
                self._writing = 0
        return seq

    def _append(
        self, frames: list[bytes], position: Position, beyond: Counter[str], note: Callable[[Mark], None] | None
    ) -> int:
        try:
            return self._append_once(frames, position, beyond, note)
        except JournalFull:
            self._drop_oldest()
            return self._append_once(frames, position, beyond, note)

    def _append_once(
        self, frames: list[bytes], position: Position, beyond: Counter[str], note: Callable[[Mark], None] | None
    ) -> int:
        seq = self.journal.last + 1
        made_ns = time.time_ns()
        gaps = tuple(self._gaps)
        data = encode_envelope(
            Envelope(self.platform, self.epoch, seq, Lane.LIVE, made_ns, self._previous, tuple(frames), gaps)
        )
        name = chain_hash(data)
        if note is not None:
            note(Mark(name, position, beyond))
        number = self.journal.append(data, critical=True)
        if number != seq:
            raise RuntimeError(f"the journal gave number {number} to the Envelope with seq {seq}")
        self._previous = name
        self._gaps = []
        return seq

    def _drop_oldest(self) -> None:
        first = self.journal.first
        self.journal.forget_oldest()
        last = self.journal.first - 1
        for hole in self.acked.missing(first, last) if last >= first else ():
            self._gaps.append(Gap(*hole, "the gateway's spool was full"))
            _log.error("spool full: Envelopes %d to %d given up unsent; enlarge [storage] spool", *hole)
        if last >= first:
            self._told.add(first, last)

    # --- out
    # -----------------------------------------------------------------------------------------------------------

    def pending(self, after: int = 0) -> Iterator[tuple[int, bytes]]:
        """(seq, bytes) of durable Envelopes above `after` that the hub has not acknowledged."""
        for first, last in list(self.acked.missing(max(after + 1, self.journal.first), self.journal.durable)):
            for number, payload in self.journal.read(first - 1, durable=True):
                if number > last:
                    break
                yield number, payload

    def get(self, seq: int) -> bytes | None:
        """One durable Envelope; None where it is gone or damaged."""
        for number, payload in self.journal.read(seq - 1, limit=1, durable=True):
            return payload if number == seq else None
        return None

    def acknowledge(self, through: int, ranges: list[tuple[int, int]]) -> None:
        """The hub has these on disk: what precedes the first missing one is forgotten."""
        newest = self.journal.last
        for first, last in [(1, through), *ranges]:
            if 0 < first <= min(last, newest):
                self.acked.add(first, min(last, newest))
        done = min(self.acked.through(1), self.journal.durable)
        if done > self._cursor.position:
            self._cursor.commit(done)
            self.journal.forget(done)

    def backlog(self, first_seq: int = 1) -> int:
        """Envelopes from `first_seq` on that the hub has not acknowledged."""
        first_seq = max(first_seq, self.journal.first)
        return sum(last - first + 1 for first, last in self.acked.missing(first_seq, self.journal.last))

    def close(self) -> None:
        """Lets go of the directory."""
        self.journal.close()

    # --- what a spool remembers
    # ------------------------------------------------------------------------------------------

    def _load_epoch(self) -> str:
        try:
            epoch = self._epoch_file.read_text().strip()
            if len(bytes.fromhex(epoch)) == 8:
                return epoch
        except (FileNotFoundError, ValueError):
            pass  # none yet, or half of one
        epoch = new_epoch()
        for _, payload in self.journal.read(max(self.journal.last - 1, 0)):
            epoch = epoch_of(payload)
        _write_durably(self._epoch_file, epoch)
        return epoch

    def _load_schemas(self) -> dict[str, dict[bytes, Schema]]:
        try:
            text = json.loads(self._schemas_file.read_text())
            return {name: {s.id: s for s in map(Schema.from_dict, listed)} for name, listed in text.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            _log.warning("%s is damaged (%s); schemas are declared anew as data come", self._schemas_file, error)
            return {}

    @property
    def newest(self) -> bytes:
        """What names the newest Envelope that is here and undamaged; of a spool that never had one, its epoch."""
        last = self.journal.last
        if not last:
            return bytes.fromhex(self.epoch)
        for back in (1, 64, 4096, last):
            number, payload = max(self.journal.read(max(last - back, 0)), default=(0, b""))
            if number:
                # One that the hub has seen and that was damaged since must not be made again under a new number.
                return chain_hash(payload) if number >= self._cursor.position else b""
        return b""

    def _last_hash(self) -> bytes:
        newest = [payload for _, payload in self.journal.read(max(self.journal.last - 1, 0))]
        return chain_hash(newest[-1]) if newest else NO_PREVIOUS


def _write_durably(path: Path, text: str) -> None:
    temporary = path.with_suffix(".new")
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _join(frames: list[Frame]) -> list[Frame]:
    """Frames of one instrument that follow each other become one, within the bounds of the codec; others stay apart."""
    runs: list[list[Frame]] = []
    open_runs: dict[str, list[Frame]] = {}
    for frame in frames:
        for piece in _cut(frame):
            run = open_runs.get(piece.instrument)
            size = sum(len(f) for f in run) + len(piece) if run else 0
            fits = size <= MAX_SAMPLES and values_of(piece.schema, size) <= _PIECE_VALUES
            if run and fits and piece.follows(run[-1]):
                run.append(piece)
            else:
                run = [piece]
                runs.append(run)
                open_runs[piece.instrument] = run
    return [concatenate(run) for run in runs]


def _cut(frame: Frame) -> Iterator[Frame]:
    most = max(min(MAX_SAMPLES, _PIECE_VALUES // values_of(frame.schema, 1)), 1)
    for start in range(0, len(frame), most):
        yield frame if len(frame) <= most else frame.take(slice(start, start + most))
