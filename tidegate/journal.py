"""An append-only log on disk that loses nothing it has promised to keep.

The same module holds the gateway's raw log, the gateway's spool and the hub's journal. A record is bytes; it gets a
number (1, 2, 3, ...) that is its name for ever.

    with Journal(Path("spool")) as journal:
        number = journal.append(b"...")             # returns: survives the end of this process
        journal.sync()                              # returns: survives a power cut
        uplink = journal.cursor("uplink")
        for record in journal.read(after=uplink.position, limit=100, durable=True): ...
        uplink.commit(record.number)
        journal.forget(through=uplink.position)

On disk
-------
A journal is a folder. Its records stand in segments, files that only ever grow at the end and go as a whole:

    00000000000000000001-2c51...e9.segment      first record number, salt
    00000000000000104858-0b97...31.segment      ends where the next one begins: 104858 .. the last record
    uplink.cursor                               how far the reader named "uplink" has come
    _forgotten.cursor                           how far records have been given up
    fsync-failed                                there while the newest segment may not reach the disk
    writer.lock                                 locked while a process has the journal open for writing

The form of the records, and why they are found again after any damage in linear time without taking anything inside a
payload for a record, is told in `tidegate.segment`. Among segments with the same first number (one has replaced the
other) the salts rise, so names sort in the order of creation; and what an older segment holds at or above the first
number of a later one has been superseded by it.

Promises
--------
* A number is given once. Numbers go on rising after restarts, after every record was forgotten, and after the newest
  ones were damaged (numbers that damage may hide are skipped). One exception, which no log can avoid: numbers above
  `durable` that a power cut takes away are given again. Whoever tells others about a record (sends it, acknowledges
  it) reads with `durable=True`, and it never happens to them.
* `append` has returned: the record survives the end of the process by any means (each append is one write to the
  operating system; nothing waits in our memory). A power cut takes at most the records of the last `fsync_window_s`.
  An append that finds the last fsync that old syncs at once; so that the last records before a silence are not left
  waiting for the next one, **the owner also calls `sync()` on a timer**. `critical=True` syncs before it returns.
* `append` has raised: the record is not in the journal, and the journal goes on. A full disk or a reached `max_bytes`
  is `JournalFull`; what was half written is cut off again, and appending works as soon as there is room. If the
  process dies before the disk has recovered, a refused record may still be found later: once, whole, under a number
  not given to anyone.
* A failed fsync is never forgiven: the kernel may have thrown the pages away and call the next fsync a success. The
  segment is abandoned and its records that are not known to be on disk are written again into a new one. `durable`
  advances only when that has been synced. Only if it fails too is the error raised; it is tried again at each call,
  and by the next process. So an append that was kept in this way has not failed, and nobody appends it twice.
* Damage costs the records it hits and no other, whatever it is: torn tails, flipped bits, zeroed blocks, unreadable
  sectors, lost or foreign files. It is listed in `damage`, by record number as far as that can be told, and the numbers
  are in `lost()`. No content of any file keeps a journal from opening.
* A cursor is never ahead of the data: committing a position makes the records up to it durable first.

Not promised: that damage is found before it is read (opening checks the newest segment only, so that it takes a
second and not an hour); that a newest file that vanished whole is missed, unless a cursor had reached it; that
`append_many` is all or nothing after a power cut (a beginning of it may remain); protection against someone who can
read and write the folder (a CRC is no signature); anything on a disk that lies about fsync, or on network file systems.

One core of a present-day computer takes 150,000 to 450,000 appends of 60 bytes a second, a million by `append_many`,
and opens ten million records in a fifth of a second.

Threads
-------
All methods may be called from any thread. Writing calls exclude each other, so an append can wait for an fsync in
progress. Reading takes part in none of this: it never waits for the disk to sync, sees each record that was appended
before the call, and goes on unharmed while segments are added or forgotten. One iterator belongs to one thread.
Other processes read with `Journal.reader(directory)`, also while the writer runs.
"""

import errno
import logging
import re
import secrets
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from tidegate.filesystem import OS_FILES, Files
from tidegate.segment import (
    MAX_PAYLOAD_BYTES,
    MAX_SEGMENT_BYTES,
    RECORD_HEADER_BYTES,
    SEGMENT_HEADER_BYTES,
    Segment,
    crc,
    length_without_zeros,
    read_tolerantly,
    scan,
)

_log = logging.getLogger(__name__)
_CURSOR_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_FORGOTTEN = "_forgotten"
_LOCK = "writer.lock"
_SYNC_FAILED = "fsync-failed"
_INDEX_STEP_BYTES = 8 << 10
_NO_RECORDS = "not readable as records"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class JournalFull(OSError):
    """There is no room for a record: it was refused, and everything accepted before is kept."""


class JournalBusy(OSError):
    """Another process has the journal open for writing."""


class Record(NamedTuple):
    number: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Damage:
    """A stretch of a file that could not be read as what it should be.

    `first_lost` and `last_lost` are the record numbers that it may have cost: exact where records after it were found;
    at the end of a journal an upper bound; both None where no record was lost, and `last_lost` None where it cannot be
    told yet.
    """

    segment: str
    offset: int
    bytes: int
    first_lost: int | None
    last_lost: int | None
    reason: str


class JournalReader:
    """A journal open for reading only, from any process, while another may be writing it.

    `first`, `last`, `bytes`, `damage` and `lost()` are as of the last call of `read` (or of opening). Raises
    FileNotFoundError if there is no such folder; nothing that is in the folder makes it raise.
    """

    _log_level = logging.DEBUG  # what looks damaged at the end may be a record that is just being written

    def __init__(self, directory: Path, *, files: Files = OS_FILES) -> None:
        self.directory = Path(directory)
        self.ignored: list[str] = []
        """Names in the folder that are no part of the journal; they are left alone."""
        self._files = files
        self._segments: list[Segment] = []
        self._notes = threading.Lock()
        self._damage: dict[tuple[str, int], Damage] = {}
        self._lost: dict[int, int] = {}
        self._forgotten = 0
        self._cursor_positions: dict[str, int] = {}
        self._refresh()

    @property
    def first(self) -> int:
        """Number of the oldest record kept; `last + 1` where there is none."""
        segments = self._segments
        return segments[0].first if segments else self.last + 1

    @property
    def last(self) -> int:
        """Number of the newest record; 0 where there has never been one."""
        segments = self._segments
        return segments[-1].expected - 1 if segments else max(self._forgotten, *self._cursor_positions.values(), 0)

    @property
    def bytes(self) -> int:
        """Size of all segments on disk."""
        return sum(segment.size for segment in self._segments)

    @property
    def damage(self) -> list[Damage]:
        """What opening and reading have found damaged so far, in the order of the files."""
        with self._notes:
            return sorted(self._damage.values(), key=lambda damage: (damage.segment, damage.offset))

    def lost(self) -> Iterator[tuple[int, int]]:
        """Ranges (first, last) of numbers that were given, not forgotten, and cannot be read; rising and disjoint.

        What opening and reading have found so far: to know it of the whole journal, read it to the end first. At the
        place where a journal broke off, the range can name a few numbers that were never used.
        """
        with self._notes:
            ranges = sorted(self._lost.items())
        start = stop = 0
        for first, last in ranges:
            first = max(first, self._forgotten + 1)
            if last < first:
                continue
            if first <= stop + 1 and start:
                stop = max(stop, last)
            else:
                if start:
                    yield start, stop
                start, stop = first, last
        if start:
            yield start, stop

    def read(self, after: int = 0, *, limit: int | None = None) -> Iterator[Record]:
        """The undamaged records with numbers above `after`, in order, up to the newest at the time of the call.

        A jump in the numbers is damage (see `lost()`), or records that were forgotten. Reading on from where the
        reader is costs a few kilobytes however long the journal is.
        """
        self._refresh()
        return self._records(after, self.last, limit, None)

    def _records(self, after: int, stop: int, limit: int | None, newest_upper: int | None) -> Iterator[Record]:
        if after >= stop or limit == 0:
            return
        segments = self._segments
        left = limit if limit is not None else -1
        start = max(bisect_right(segments, after + 1, key=attrgetter("first")) - 1, 0)
        for place in range(start, len(segments)):
            upper = segments[place + 1].first - 1 if place + 1 < len(segments) else newest_upper
            if upper is not None and upper <= after:
                continue
            for record in self._walk(segments[place], after + 1, upper):
                if record.number > stop:
                    return
                if record.number > after:
                    yield record
                    left -= 1
                    if left == 0:
                        return

    def _walk(self, segment: Segment, wanted: int, upper: int | None) -> Iterator[Record]:
        """Records of a segment from `wanted` (or a little before) to `upper`; takes note of all damage on the way.

        `upper` is the last number that the segment can hold, None where that is not known.
        """
        size = segment.size
        place = max(bisect_right(segment.numbers, wanted) - 1, 0)
        expected, start = segment.numbers[place], segment.offsets[place]
        try:
            handle = self._files.open(self.directory / segment.name)
        except FileNotFoundError:
            if segment in self._segments:
                self._note(segment, 0, size, segment.first, upper, "the file is missing")
            return
        try:
            if start == SEGMENT_HEADER_BYTES:
                header = read_tolerantly(self._files, handle, SEGMENT_HEADER_BYTES, 0, segment.name)
                segment.intact = header == segment.header()
                if not segment.intact:
                    found = min(size, SEGMENT_HEADER_BYTES)
                    self._note(segment, 0, found, None, None, "damaged file header; its records are not affected")
            junk: tuple[int, int] | None = None
            for offset, length, number, payload in scan(self._files, handle, segment, start, size):
                if not number:
                    junk = offset, length
                    continue
                if upper is not None and number > upper:
                    break
                if junk:
                    self._note(segment, *junk, expected, number - 1, _NO_RECORDS)
                    junk = None
                elif number > expected:
                    self._lose(expected, number - 1)
                expected = number + 1
                if payload is None:
                    cut = offset + length >= size
                    reason = "the record is cut off or damaged" if cut else "the record is damaged"
                    self._note(segment, offset, length, number, number, reason)
                    continue
                if offset - segment.offsets[-1] >= _INDEX_STEP_BYTES:
                    self._index(segment, number, offset)
                if self._damage:
                    self._found_good(segment, number, offset)
                yield Record(number, payload)
            if junk:
                self._note(segment, *junk, expected, upper, _NO_RECORDS)
            elif upper is not None and expected <= upper:
                self._lose(expected, upper)
            if upper is None:
                segment.expected = expected
                segment.tail = junk
                segment.intact = segment.intact and not any(name == segment.name for name, _ in self._damage)
        finally:
            self._files.close(handle)

    def _index(self, segment: Segment, number: int, offset: int) -> None:
        with self._notes:
            if offset > segment.offsets[-1]:
                segment.offsets.append(offset)  # before the number: readers look the number up without the lock
                segment.numbers.append(number)

    def _note(
        self, segment: Segment, offset: int, length: int, first: int | None, last: int | None, reason: str
    ) -> None:
        if first is not None and last is not None and last < first:
            first = last = None
        damage = Damage(segment.name, offset, length, first, last, reason)
        with self._notes:
            if (segment.name, offset) not in self._damage:
                _log.log(self._log_level, "journal %s: %s", self.directory, damage)
            self._damage[segment.name, offset] = damage
        if first is not None and last is not None:
            self._lose(first, last)

    def _lose(self, first: int, last: int) -> None:
        with self._notes:
            self._lost[first] = max(last, self._lost.get(first, 0))

    def _found_good(self, segment: Segment, number: int, offset: int) -> None:
        """A record that was still being written, or that the disk did not give up at first, has been read after all."""
        with self._notes:
            if self._damage.pop((segment.name, offset), None) is not None:
                self._lost.pop(number, None)

    def _refresh(self) -> None:
        """Learn which segments there are now, and read the newest to its end."""
        known = {segment.name: segment for segment in self._segments}
        segments: list[Segment] = []
        positions: dict[str, int | None] = {}
        self.ignored = []
        for name in sorted(self._files.names(self.directory)):
            segment = known.get(name) or Segment.named(name)
            if segment:
                try:
                    segment.size = self._files.size(self.directory / name)
                except FileNotFoundError:
                    continue
                segments.append(segment)
            elif name.endswith(".cursor"):
                positions[name.removesuffix(".cursor")] = self._load(name)
            elif name not in (_LOCK, _SYNC_FAILED) and not name.endswith(".cursor.new"):
                self.ignored.append(name)
        forgotten = positions.pop(_FORGOTTEN, 0)
        if forgotten is None:  # damaged; what is there tells as much
            forgotten = segments[0].first - 1 if segments else 0
        self._forgotten = forgotten
        self._cursor_positions = {name: position or 0 for name, position in positions.items()}
        kept = [one for one, after in pairwise(segments) if after.first > self._forgotten + 1] + segments[-1:]
        self._segments = kept
        if self.first > self._forgotten + 1:
            self._lose(self._forgotten + 1, self.first - 1)
        if kept:
            for _ in self._walk(kept[-1], kept[-1].numbers[-1], None):
                pass

    def _load(self, name: str) -> int | None:
        """The position in a cursor file; None where the file is damaged, which is noted."""
        path = self.directory / name
        try:
            handle = self._files.open(path)
        except FileNotFoundError:
            return 0
        try:
            text = read_tolerantly(self._files, handle, 100, 0, name)
        finally:
            self._files.close(handle)
        digits = text.partition(b" ")[0]
        if digits.isdigit() and text == _cursor_text(name, int(digits)):
            return int(digits)
        with self._notes:
            reason = "damaged cursor: its reader starts again from the oldest record kept"
            self._damage[name, 0] = Damage(name, 0, len(text), None, None, reason)
        _log.warning("journal %s: %s: %s", self.directory, name, reason)
        return None


def _cursor_text(name: str, position: int) -> bytes:
    return f"{position} {crc(f'{name} {position}'.encode()):08x}\n".encode()


class Journal(JournalReader):
    """A journal open for writing, by one process at a time: JournalBusy. The module's text tells what it promises.

    `segment_bytes` is the size at which a new segment is begun; records are deleted by whole segments, so with
    `max_bytes` a segment is at most a quarter of that. `max_bytes` bounds `bytes`, the size of all segments.
    `fsync_window_s` is what a power cut may cost, if the owner also calls `sync()` that often on a timer.
    """

    _log_level = logging.WARNING

    def __init__(
        self,
        directory: Path,
        *,
        segment_bytes: int = 8 << 20,
        fsync_window_s: float = 1.0,
        max_bytes: int | None = None,
        files: Files = OS_FILES,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._segment_bytes = segment_bytes if max_bytes is None else min(segment_bytes, max_bytes // 4)
        self._max_bytes = max_bytes
        self._window_s = fsync_window_s
        self._monotonic = monotonic
        self._lock = threading.RLock()
        self._cursors: dict[str, Cursor] = {}
        self._closed = False
        self._handle: int | None = None
        self._distrusted = False  # an fsync of the newest segment has failed
        self._next = 1
        directory = Path(directory)
        files.make_directory(directory)
        try:
            self._lock_handle = files.lock(directory / _LOCK)
        except BlockingIOError as error:
            raise JournalBusy(
                error.errno,
                f"journal {directory} is open for writing elsewhere ({error.strerror}): stop that one first, or open "
                "it for reading only",
            ) from error
        try:
            super().__init__(directory, files=files)
            self._start()
        except BaseException:
            if self._handle is not None:
                files.close(self._handle)
            files.close(self._lock_handle)
            raise

    @staticmethod
    def reader(directory: Path, *, files: Files = OS_FILES) -> JournalReader:
        """Open a journal for reading only; needs no lock and changes nothing."""
        return JournalReader(directory, files=files)

    def _start(self) -> None:
        """Find the next number, take up the newest segment where that is safe, and make sure that it is on disk."""
        names = self._files.names(self.directory)
        kept = {segment.name for segment in self._segments}
        for name in names:
            if (Segment.named(name) and name not in kept) or name.endswith(".cursor.new"):
                self._files.unlink(self.directory / name)  # a deletion or a commit that was cut short
        self._next = max(self._forgotten, *self._cursor_positions.values(), 0) + 1
        self._full = True
        self._synced_at = self._monotonic()
        self._total = sum(segment.size for segment in self._segments)
        self._durable = self._next - 1
        if not self._segments:
            if self._next > self._forgotten + 1:
                self._lose(self._forgotten + 1, self._next - 1)
            return
        newest = self._segments[-1]
        self._handle = self._files.open(self.directory / newest.name, writable=True)
        if newest.tail:
            # Every record takes a header, so no more numbers than this can have been given in the damaged bytes.
            spoilt = length_without_zeros(self._files, self._handle, newest, *newest.tail)
            hidden = -(-spoilt // RECORD_HEADER_BYTES)
            self._note(newest, *newest.tail, newest.expected, newest.expected + hidden - 1, _NO_RECORDS)
            newest.expected += hidden
        if newest.expected < self._next:
            self._lose(newest.expected, self._next - 1)
        self._next = max(self._next, newest.expected)
        self._full = not newest.intact or newest.expected != self._next
        self._durable = newest.first - 1
        if _SYNC_FAILED in names:
            self._distrusted = True
        else:
            try:
                self._files.sync(self._handle)
                self._files.sync_directory(self.directory)
                self._durable = self._next - 1
            except OSError as error:
                self._distrust(error)
        if self._distrusted:
            try:
                self._salvage()
            except OSError as error:  # reading works, and the next append tries again
                _log.error("%s", error)

    @property
    def last(self) -> int:
        """Number of the newest record appended; 0 before the first."""
        return self._next - 1

    @property
    def durable(self) -> int:
        """Records up to this number survive a power cut."""
        return self._durable

    def read(self, after: int = 0, *, limit: int | None = None, durable: bool = False) -> Iterator[Record]:
        """The undamaged records with numbers above `after`, in order, up to the newest at the time of the call.

        With `durable` only those that a power cut cannot take back: for whoever passes records on to others. A jump in
        the numbers is damage (see `lost()`), or records that were forgotten. Reading on from where the reader is costs
        a few kilobytes however long the journal is.
        """
        last = self._next - 1
        return self._records(after, min(self._durable, last) if durable else last, limit, last)

    def append(self, payload: bytes, *, critical: bool = False) -> int:
        """Append a record and return its number. It survives the end of the process; with `critical` a power cut too.

        Raises JournalFull where there is no room, OSError where the disk fails, ValueError for a payload of more than
        64 MiB; in each case the record is not in the journal and the number is not used.
        """
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise ValueError(f"a record of {len(payload)} bytes is above the bound of {MAX_PAYLOAD_BYTES} bytes")
        with self._lock:
            segment = self._segment_for(RECORD_HEADER_BYTES + len(payload))
            self._put(segment, segment.record(self._next, payload, segment.size), 1)
            if critical or self._monotonic() - self._synced_at >= self._window_s:
                self._sync_or_take_back(segment, RECORD_HEADER_BYTES + len(payload), 1)
            return self._next - 1

    def append_many(self, payloads: Sequence[bytes]) -> int:
        """Append records with one write and return the number of the last. All of them are accepted, or none.

        Returns `last` where there are none to append. Raises as `append` does.
        """
        if not payloads:
            return self.last
        longest = max(map(len, payloads))
        if longest > MAX_PAYLOAD_BYTES:
            raise ValueError(f"a record of {longest} bytes is above the bound of {MAX_PAYLOAD_BYTES} bytes")
        size = RECORD_HEADER_BYTES * len(payloads) + sum(map(len, payloads))
        if size > MAX_SEGMENT_BYTES // 4:
            raise ValueError(f"{size} bytes in one write are above the bound of {MAX_SEGMENT_BYTES // 4} bytes")
        with self._lock:
            segment = self._segment_for(size)
            self._put(segment, segment.records(enumerate(payloads, self._next), segment.size), len(payloads))
            if self._monotonic() - self._synced_at >= self._window_s:
                self._sync_or_take_back(segment, size, len(payloads))
            return self._next - 1

    def sync(self) -> None:
        """Make durable what is not yet; costs nothing where everything is. Raises OSError where the disk fails."""
        if self._durable >= self._next - 1:
            return
        with self._lock:
            self._check_open()
            self._sync()

    def forget(self, through: int) -> int:
        """Delete the segments that hold no record above `through`, never the newest; returns the bytes freed.

        Works on a full disk; raises OSError, with nothing deleted, where the disk fails. Readers that have a deleted
        segment open finish it undisturbed.
        """
        with self._lock:
            self._check_open()
            through = min(through, self.last)
            if through <= self._forgotten:
                return 0
            segments = self._segments
            keep = 0
            while keep + 1 < len(segments) and segments[keep + 1].first - 1 <= through:
                keep += 1
            if not keep:
                self._forgotten = through
                return 0
            # The note that they were given up goes first, so that a power cut between the deletions is not taken for
            # damage; on a full disk the deletions must make room for the note.
            noted = True
            try:
                self._save(_FORGOTTEN, through)
            except JournalFull:
                noted = False
            self._forgotten = through
            self._segments = segments[keep:]
            freed = sum(segment.size for segment in segments[:keep])
            names = {segment.name for segment in segments[:keep]}
            for segment in segments[:keep]:
                try:
                    self._files.unlink(self.directory / segment.name)
                except FileNotFoundError:
                    _log.warning("journal %s: %s was already gone", self.directory, segment.name)
            self._total -= freed
            with self._notes:
                self._damage = {key: damage for key, damage in self._damage.items() if key[0] not in names}
                self._lost = {first: last for first, last in self._lost.items() if last > through}
            if not noted:
                self._save(_FORGOTTEN, through)
            return freed

    def forget_oldest(self) -> int:
        """Delete the oldest segment, never the newest; returns the bytes freed: 0 where there is but one."""
        segments = self._segments
        return self.forget(segments[1].first - 1) if len(segments) > 1 else 0

    def cursor(self, name: str) -> "Cursor":
        """The durable position of the reader called `name`; the same object for the same name."""
        if not _CURSOR_NAME.fullmatch(name):
            raise ValueError(f"cursor name {name!r}: use letters, digits, dot, dash and underscore, a letter first")
        with self._lock:
            if name not in self._cursors:
                self._cursors[name] = Cursor(self, name, self._cursor_positions.get(name, 0))
            return self._cursors[name]

    def close(self) -> None:
        """Make everything durable and let the journal go, also where the disk fails and OSError is raised."""
        with self._lock:
            if self._closed:
                return
            try:
                self._sync()
            finally:
                self._closed = True
                if self._handle is not None:
                    self._files.close(self._handle)
                self._files.close(self._lock_handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError(f"journal {self.directory} is closed")

    def _segment_for(self, size: int) -> Segment:
        """The segment that `size` more bytes go to, begun if need be."""
        self._check_open()
        if self._distrusted:
            self._salvage()
        new = (
            self._full
            or not self._segments
            or (self._segments[-1].size + size > self._segment_bytes and self._segments[-1].size > SEGMENT_HEADER_BYTES)
        )
        if self._max_bytes is not None:
            total = self._total + size + (SEGMENT_HEADER_BYTES if new else 0)
            if total > self._max_bytes:
                raise JournalFull(
                    errno.ENOSPC,
                    f"journal {self.directory} is full: {self._total} bytes kept, {size} more would pass its bound of "
                    f"{self._max_bytes} bytes; let it forget records that have been delivered, or raise the bound",
                )
        if new:
            self._sync()
            segment, handle = self._create(self._next)
            self._adopt(segment, handle)
            self._total += segment.size
        return self._segments[-1]

    def _create(self, first: int) -> tuple[Segment, int]:
        """A new, empty segment whose name and header are on disk: from here on only its own bytes need syncing."""
        salt = secrets.randbits(62)
        if self._segments and self._segments[-1].first == first:
            salt = self._segments[-1].salt + 1 + secrets.randbelow(1 << 32)
        segment = Segment(first, salt, SEGMENT_HEADER_BYTES)
        path = self.directory / segment.name
        handle: int | None = None
        try:
            handle = self._files.create(path)
            self._write(handle, segment.header(), 0)
            self._files.sync(handle)
            self._files.sync_directory(self.directory)
        except OSError as error:
            self._discard(path, handle)
            raise self._failure(error, "beginning a new segment") from error
        return segment, handle

    def _adopt(self, segment: Segment, handle: int) -> None:
        if self._handle is not None:
            self._files.close(self._handle)
        self._handle = handle
        self._segments = [*self._segments, segment]  # a new list: readers keep the one they began with
        self._full = False

    def _discard(self, path: Path, handle: int | None) -> None:
        if handle is None:
            return
        self._files.close(handle)
        try:
            self._files.unlink(path)
        except OSError as error:
            _log.warning("journal %s: cannot remove the unused %s: %s", self.directory, path.name, error)

    def _put(self, segment: Segment, data: bytes, count: int) -> None:
        assert self._handle is not None
        try:
            self._write(self._handle, data, segment.size)
        except OSError as error:
            self._cut_back(segment)
            raise self._failure(error, "appending") from error
        segment.size += len(data)
        self._total += len(data)
        self._next += count

    def _cut_back(self, segment: Segment) -> None:
        """Remove what stands after the accepted records of the newest segment."""
        assert self._handle is not None
        try:
            self._files.truncate(self._handle, segment.size)
        except OSError as error:
            self._full = True  # what is left behind is numbered past the end of its segment
            _log.warning("journal %s: %s keeps a refused record at its end: %s", self.directory, segment.name, error)

    def _write(self, handle: int, data: bytes, offset: int) -> None:
        written = self._files.write(handle, data, offset)
        while written < len(data):
            written += self._files.write(handle, data[written:], offset + written)

    def _sync(self) -> None:
        if self._distrusted:
            self._salvage()
        elif self._handle is not None and self._durable < self._next - 1:
            try:
                self._files.sync(self._handle)
            except OSError as error:
                self._distrust(error)
                self._salvage()
            self._durable = self._next - 1
        self._synced_at = self._monotonic()

    def _sync_or_take_back(self, segment: Segment, size: int, count: int) -> None:
        """Sync; where that fails for good, the records just put are refused: nobody has been given their numbers."""
        try:
            self._sync()
        except OSError:
            segment.size -= size
            self._total -= size
            self._next -= count
            self._cut_back(segment)
            raise

    def _distrust(self, error: OSError) -> None:
        """Remember that the newest segment may never reach the disk, also in a process that comes after this one."""
        self._distrusted = True
        _log.error("%s", self._failure(error, f"fsync of {self._segments[-1].name}"))
        try:
            self._files.close(self._files.create(self.directory / _SYNC_FAILED, replace=True))
        except OSError as second:
            _log.error("%s", self._failure(second, f"leaving the note {_SYNC_FAILED}"))

    def _discard_note(self) -> None:
        try:
            self._files.unlink(self.directory / _SYNC_FAILED)
        except FileNotFoundError:
            _log.debug("journal %s: the disk had no room for the note %s", self.directory, _SYNC_FAILED)

    def _salvage(self) -> None:
        """After a failed fsync: write what is not known to be on disk again, into a new segment, and sync that.

        The old segment ends before it by the rule that later segments supersede. What the kernel no longer gives back
        of the old one is lost, and shows as such.
        """
        old, first = self._segments[-1], self._durable + 1
        kept = [record for record in self._walk(old, first, self._next - 1) if record.number >= first]
        segment, handle = self._create(first)
        try:
            data = segment.records(kept, segment.size)
            self._write(handle, data, segment.size)
            self._files.sync(handle)
        except OSError as error:
            self._discard(self.directory / segment.name, handle)
            raise self._failure(
                error, f"writing {len(kept)} records again after a failed fsync of {old.name}"
            ) from error
        segment.size += len(data)
        self._total += segment.size
        self._adopt(segment, handle)
        self._durable = self._next - 1
        self._distrusted = False
        self._discard_note()
        _log.warning(
            "journal %s: fsync of %s failed; %d records were written again into %s and are on disk there",
            self.directory, old.name, len(kept), segment.name,
        )  # fmt: skip

    def _save(self, name: str, position: int) -> None:
        """Replace a cursor file: after a power cut it is the old one or the new one, never half of one."""
        path = self.directory / f"{name}.cursor"
        temporary = self.directory / f"{name}.cursor.new"
        try:
            handle = self._files.create(temporary, replace=True)
            try:
                self._write(handle, _cursor_text(path.name, position), 0)
                self._files.sync(handle)
            finally:
                self._files.close(handle)
            self._files.rename(temporary, path)
            self._files.sync_directory(self.directory)
        except OSError as error:
            raise self._failure(error, f"saving {path.name}") from error

    def _commit(self, name: str, position: int) -> None:
        with self._lock:
            self._check_open()
            if not 0 <= position <= self.last:
                raise ValueError(
                    f"cursor {name} of journal {self.directory}: position {position} is not within 0..{self.last}"
                )
            if position > self._durable:
                self._sync()
            self._save(name, position)

    def _failure(self, error: OSError, doing: str) -> OSError:
        if isinstance(error, JournalFull):
            return error
        text = error.strerror or str(error)
        if error.errno in _NO_ROOM:
            return JournalFull(
                error.errno,
                f"journal {self.directory}: {doing}: {text} ({self._total} bytes kept here); free space on this disk, "
                "or let the journal forget records that have been delivered",
            )
        return OSError(
            error.errno,
            f"journal {self.directory}: {doing}: {text}; what was accepted before is kept, nothing new is accepted "
            "until this works again: check the disk and its mount (dmesg)",
        )


class Cursor:
    """How far one reader of a journal has come, kept on disk."""

    def __init__(self, journal: Journal, name: str, position: int) -> None:
        self.name = name
        self._journal = journal
        self._position = position

    @property
    def position(self) -> int:
        """Number of the last record done; 0 at the start."""
        return self._position

    def commit(self, position: int) -> None:
        """Make `position` durable, after the records up to it. May go back. Costs two fsyncs: once a second is often.

        Raises ValueError for a position outside 0..last and OSError where the disk fails; the position is unchanged.
        """
        if position != self._position:
            self._journal._commit(self.name, position)
            self._position = position
