"""The change log: what the hub knows, as a sequence of changes with a cursor. Every view of the data follows it.

A `Change` says of a block of samples of one instrument that they are new (`INSERT`), that something about them is
now known better, usually their flags (`CORRECT`), or that they are withdrawn (`RETRACT`). A view that applies the
changes in order, each replacing what it has for the same (platform, instrument, time), holds the hub's present
knowledge; up to a cursor, it holds what was known then.

How the log is kept
-------------------
`ChangeLog` is a folder: `log/` is a `Journal` with one record for each change, `schemas/` has one JSON file for each
schema that a record needs, on disk before the first such record. A cursor is the number of a record: it rises with
each change and never means anything else; numbers may be skipped.

Changes are appended in batches, and a batch counts whole or not at all: each of its records knows its place in it and
`source`, the number of the hub journal's record through which the batch has judged. A crash can leave the beginning of
the last batch behind. The next start voids it (`void.json`) and goes on from the `source` of the last whole batch, so
that what was judged and what is in the log can never differ, whenever the crash came. Readers see a batch once it is
on disk, and never a voided one.
"""

import asyncio
import json
import logging
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from central.files import write_durably
from tidegate.codec import CodecError, checked, decode_frame, encode_frame, pack, packb, unpack, unpackb, values_of
from tidegate.frame import Frame, Schema
from tidegate.journal import Cursor, Journal, Record

_log = logging.getLogger(__name__)

Flags = npt.NDArray[np.uint8]


class Op(IntEnum):
    """What a change does to the samples it names."""

    INSERT = 1
    CORRECT = 2
    RETRACT = 3


class Flag(IntEnum):
    """QARTOD's flags (Manual for the Use of Real-Time Oceanographic Data Quality Control Flags, version 1.2)."""

    PASS = 1
    NOT_EVALUATED = 2
    SUSPECT = 3
    FAIL = 4
    MISSING = 9


@dataclass(frozen=True, slots=True)
class Stages:
    """When a block of samples passed each stage, UTC nanoseconds. The samples' own times are the stage before."""

    made_ns: int
    """The gateway closed its Envelope."""
    received_ns: int
    """The hub got it."""
    journaled_ns: int
    """It was on the hub's disk."""
    processed_ns: int
    """It was judged and entered the change log."""


@dataclass(frozen=True, eq=False)
class Change:
    """One entry of the change log. `flags[name]` is shaped as the Frame's column `name`; every column has them."""

    op: Op
    platform: str
    frame: Frame
    flags: Mapping[str, Flags]
    stages: Stages
    epoch: str = ""
    seq: int = 0
    """The Envelope that brought the samples, or, of a correction, the one that caused it."""


_VERSION = 2
_RECENT_VALUES = 1 << 21
"""Values that the log keeps decoded, so that views close behind its end need not decode them each for themselves."""

_NO_PACKED: Mapping[Frame, bytes] = {}


class ChangeLog:
    """The log of all changes, in a folder of its own.

    One thread appends; any number of threads and coroutines read and wait. Raises `JournalBusy` where another process
    has it open.
    """

    def __init__(self, directory: Path, *, segment_bytes: int = 64 << 20) -> None:
        self.directory = directory
        self._journal = Journal(directory / "log", segment_bytes=segment_bytes)
        self._schema_folder = directory / "schemas"
        self._schema_folder.mkdir(exist_ok=True)
        self._schemas = _load_schemas(self._schema_folder)
        self._void = _load_void(directory / "void.json")
        self._recent: deque[tuple[int, Change]] = deque()
        self._recent_values = 0
        self._news = threading.Condition()
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self._closed = False
        self._source = 0
        self._newest = 0  # cursor of the newest change appended,
        self._last = 0  # of the newest to be seen,
        self._stop = 0  # and the number of the newest record to be seen
        try:
            self._recover()
        except BaseException:
            self._journal.close()
            raise

    @property
    def first(self) -> int:
        """The smallest cursor that a change in the log can have."""
        return self._journal.first

    @property
    def last(self) -> int:
        """The cursor of the newest change; 0 where there has never been one."""
        return self._last

    @property
    def source(self) -> int:
        """The number of the hub journal's record through which everything has been judged and is in this log."""
        return self._source

    @property
    def size_bytes(self) -> int:
        """Size of the log on disk."""
        return self._journal.bytes

    def lost(self) -> Iterator[tuple[int, int]]:
        """Ranges of cursors whose changes cannot be read any more, as far as reading has found out (`Journal.lost`)."""
        return self._journal.lost()

    def append(self, changes: Sequence[Change], *, source: int = 0, packed: Mapping[Frame, bytes] = _NO_PACKED) -> int:
        """Append a batch and return the cursor of its last change. It is seen once `sync` has returned.

        `source` is the number of the hub journal's record through which the batch has judged; it never goes back. A
        batch without changes only takes note of it. `packed` may give the encoded bytes of Frames where the caller has
        them, because encoding is the costliest step of all. Raises `CodecError` where a Frame cannot be encoded,
        `ValueError` where flags do not fit it, and OSError where the disk fails; nothing of the batch is in the log
        then.
        """
        source = max(source, self._source)
        if not changes and source == self._source:
            return self._last
        for change in changes:
            self._keep_schema(change.frame.schema)
        size = max(len(changes), 1)
        records = [
            packb([_VERSION, place, size, source, _as_list(change, packed.get(change.frame))])
            for place, change in enumerate(changes)
        ] or [packb([_VERSION, 0, 1, source, None])]
        number = self._journal.append_many(records)
        self._source = source
        if changes:
            self._hold(number - size + 1, changes, records, packed)
            self._newest = number
        return self._newest

    def sync(self) -> None:
        """Make what was appended durable and let readers see it. Where it raises OSError, call it again later: what was
        appended is still to come, and must not be appended again."""
        self._journal.sync()
        self._stop = self._journal.durable
        if self._newest > self._last:
            self._last = self._newest
            self._tell()

    def read(self, after: int = 0, limit: int | None = None) -> Iterator[tuple[int, Change]]:
        """(cursor, change) of the changes after the cursor `after`, in order, up to the newest at the time of the call.

        Raises `CodecError` at a record that cannot be decoded (its schema's file has gone, or a newer version of this
        program wrote it): leaving it out would be loss that nobody sees.
        """
        stop = self._stop
        recent = self._recent_after(after, limit)
        if recent is not None:
            yield from recent
            return
        left = -1 if limit is None else limit
        if left == 0:
            return
        for record in self._journal.read(after, durable=True):
            if record.number > stop:
                return
            if any(first <= record.number <= last for first, last in self._void):
                continue
            change = self._decode(record)
            if change is not None:
                yield record.number, change
                left -= 1
                if left == 0:
                    return

    def cursor(self, name: str) -> Cursor:
        """The durable position of the view called `name` (`.position`, `.commit(cursor)`)."""
        return self._journal.cursor(name)

    def block(self, after: int, timeout_s: float) -> bool:
        """Wait in this thread until there is a change after the cursor `after`; False where time is up or the log was
        closed."""
        with self._news:
            self._news.wait_for(lambda: self._last > after or self._closed, timeout_s)
        return self._last > after

    async def wait(self, after: int, timeout_s: float) -> bool:
        """As `block`, in a coroutine."""
        event = asyncio.Event()
        entry = asyncio.get_running_loop(), event
        with self._news:
            if self._last > after or self._closed:
                return self._last > after
            self._waiting.add(entry)
        try:
            async with asyncio.timeout(timeout_s):
                while not (self._last > after or self._closed):
                    await event.wait()
                    event.clear()
        except TimeoutError:
            pass
        finally:
            with self._news:
                self._waiting.discard(entry)
        return self._last > after

    def close(self) -> None:
        """Let the log go; whoever waits for news returns."""
        self._closed = True
        self._tell()
        self._journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- inside ---

    def _tell(self) -> None:
        with self._news:
            self._news.notify_all()
            for loop, event in self._waiting:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(event.set)

    def _hold(
        self,
        first: int,
        changes: Sequence[Change],
        records: Sequence[bytes],
        packed: Mapping[Frame, bytes],
    ) -> None:
        """Keep the batch decoded, exactly as the disk would give it."""
        with self._news:
            for number, (given, data) in enumerate(zip(changes, records, strict=True), first):
                kept = given if given.frame in packed else self._decode(Record(number, data)) or given
                self._recent.append((number, kept))
                self._recent_values += values_of(kept.frame.schema, len(kept.frame))
            while self._recent_values > _RECENT_VALUES and len(self._recent) > 1:
                _, old = self._recent.popleft()
                self._recent_values -= values_of(old.frame.schema, len(old.frame))

    def _recent_after(self, after: int, limit: int | None) -> list[tuple[int, Change]] | None:
        """What is asked for, where all of it is still held decoded."""
        with self._news:
            if not self._recent or after + 1 < self._recent[0][0]:
                return None
            held = [entry for entry in self._recent if after < entry[0] <= self._last]
        return held if limit is None else held[:limit]

    def _decode(self, record: Record) -> Change | None:
        try:
            version, _, _, _, entry = checked(unpackb(record.payload), list)
            if version != _VERSION:
                raise CodecError(f"version {version!r}; this program knows version {_VERSION}: update the hub")
            return None if entry is None else _from_list(entry, self._schemas)
        except (ValueError, TypeError) as error:
            raise CodecError(f"change log {self.directory}: record {record.number}: {error}") from error

    def _keep_schema(self, schema: Schema) -> None:
        if schema.id not in self._schemas:
            text = json.dumps(schema.as_dict(), indent=1)
            write_durably(self._schema_folder / f"{schema.id.hex()}.json", text.encode())
            self._schemas[schema.id] = schema

    def _recover(self) -> None:
        """Find where the log stands, and void the beginning of a batch that a crash has left at its end."""
        last, first = self._journal.last, self._journal.first
        back = 1024
        while True:
            start = max(first - 1, last - back)
            tail = [
                (record.number, *_head(record))
                for record in self._journal.read(start)
                if not any(a <= record.number <= b for a, b in self._void)
            ]
            whole = tail
            if tail:
                number, place, size, _, _ = tail[-1]
                base = number - place
                if [entry[0] for entry in tail if entry[0] >= base] != list(range(base, base + size)):
                    whole = [entry for entry in tail if entry[0] < base]
            source = whole[-1][3] if whole else 0
            newest = next((entry[0] for entry in reversed(whole) if entry[4]), 0)
            if start == first - 1 or (newest and (not whole or whole[-1][0] - whole[-1][1] > start)):
                break
            back *= 8
        if len(whole) < len(tail):
            _log.warning(
                "change log %s: the batch of changes %d to %d was cut off by a crash and does not count; "
                "it is made again", self.directory, base, last,
            )  # fmt: skip
            self._void = [*self._void, (base, last)]
            write_durably(self.directory / "void.json", json.dumps(self._void).encode())
        self._source, self._newest, self._last, self._stop = source, newest, newest, last


def _as_list(change: Change, data: bytes | None) -> list[Any]:
    frame = change.frame
    if change.flags.keys() != frame.schema.by_name.keys():
        odd = ", ".join(sorted(set(change.flags) ^ set(frame.schema.by_name)))
        raise ValueError(f"{change.platform}/{frame.instrument}: flags and columns differ in {odd}")
    flags = []
    for name in frame.schema.by_name:
        column = change.flags[name]
        if column.shape != frame.columns[name].shape or column.dtype != np.uint8:
            raise ValueError(f"{change.platform}/{frame.instrument}: flags of {name} are not shaped as its values")
        flags.append(_packed_flags(column))
    stages = change.stages
    return [
        int(change.op),
        change.platform,
        change.epoch,
        change.seq,
        [stages.made_ns, stages.received_ns, stages.journaled_ns, stages.processed_ns],
        encode_frame(frame) if data is None else data,
        flags,
    ]


@lru_cache(maxsize=256)
def _packed_constant(flag: int) -> bytes:
    return pack(np.full((1, 1), flag))


def _packed_flags(column: Flags) -> bytes:
    """As `pack` packs them. Nearly all columns of flags are constant, and those pack to the same bytes whatever their
    shape."""
    if not column.size:
        return b""
    lowest = int(column.min())
    return _packed_constant(lowest) if lowest == int(column.max()) else pack(column.reshape(len(column), -1))


def _from_list(entry: Any, schemas: Mapping[bytes, Schema]) -> Change:
    op, platform, epoch, seq, stages, data, packed = entry
    frame = decode_frame(data, schemas)
    flags: dict[str, Flags] = {}
    for f, column in zip(frame.schema.fields, packed, strict=True):
        shape = frame.columns[f.name].shape
        flags[f.name] = unpack(column, (len(frame), frame.schema.width(f))).astype(np.uint8).reshape(shape)
    return Change(Op(op), platform, frame, flags, Stages(*stages), epoch, seq)


def _head(record: Record) -> tuple[int, int, int, bool]:
    """(place in the batch, size of the batch, source, whether it is a change) of a record."""
    _, place, size, source, entry = unpackb(record.payload)
    return place, size, source, entry is not None


def _load_schemas(folder: Path) -> dict[bytes, Schema]:
    schemas = {}
    for path in folder.glob("*.json"):
        try:
            schema = Schema.from_dict(json.loads(path.read_bytes()))
            if schema.id.hex() != path.stem:
                raise ValueError("it holds another schema than its name says")
            schemas[schema.id] = schema
        except (ValueError, KeyError, TypeError) as error:
            _log.error("change log: %s cannot be read: %s; restore it from a copy of the folder", path, error)
    return schemas


def _load_void(path: Path) -> list[tuple[int, int]]:
    if not path.exists():
        return []
    return [(int(first), int(last)) for first, last in json.loads(path.read_bytes())]
