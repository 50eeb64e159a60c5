"""One file of journal records: its form on disk, and how to find the records in it again after any damage.

    segment  16 bytes  magic and version        record  4 bytes  mark: the same in all records of one segment
              8        first record number              4        length of the payload
              8        salt                             4        number - first + 1
              ..       records                          4        check of the 12 bytes above, salt and offset
                                                        4        check of the payload, chained to the one above
                                                        ..       payload

All integers are little-endian, all checks CRC-32C. The salt is drawn anew for each segment and stands in the file's
name, so the 32 bytes in front can be damaged at no cost.

After damage `scan` looks for the mark and takes the first header whose check is right. The check covers the place in
the file (and a CRC of two starting values never agrees), so a copy of a record, in a payload or anywhere else, is not
taken for one: payloads may be hostile, or be journals themselves. A header that is right is believed about the length;
chance makes one in some 2**64 bytes of noise. So each byte is searched at most once and checked at most once,
however bad the damage: the cost is linear.
"""

import logging
import re
import struct
from collections.abc import Callable, Iterable, Iterator

import crc32c as _crc32c

from tidegate.filesystem import Files

MAX_PAYLOAD_BYTES = 64 << 20
MAX_SEGMENT_BYTES = 1 << 32

crc: Callable[..., int] = _crc32c.crc32c

_log = logging.getLogger(__name__)
_MAGIC = b"tidegate-jrnl-1\n"
_IDENTITY = struct.Struct("<QQ")
_HEAD = struct.Struct("<III")
_CHECKS = struct.Struct("<II")
_HEADER = struct.Struct("<IIIII")
_NAME = re.compile(r"(\d{20})-([0-9a-f]{16})\.segment")
_READ_BYTES = 64 << 10
_BLOCK_BYTES = 4096

SEGMENT_HEADER_BYTES = len(_MAGIC) + _IDENTITY.size
RECORD_HEADER_BYTES = _HEADER.size


class Segment:
    """A file of records, and what has been learned about it.

    `numbers` and `offsets` are a sparse index that grows as the segment is read. Reading to the end sets `expected`
    (the number that would come next), `intact` (all was well) and `tail` (offset and length of what at the end is no
    record).
    """

    __slots__ = ("expected", "first", "intact", "mark", "name", "numbers", "offsets", "salt", "seed", "size", "tail")

    def __init__(self, first: int, salt: int, size: int) -> None:
        self.first = first
        self.salt = salt
        self.size = size
        self.name = f"{first:020d}-{salt:016x}.segment"
        self.mark = (salt & 0xFFFFFFFF) | 0x01010101  # no zero byte: zeroed blocks are common and hold no marks
        self.seed = crc(_IDENTITY.pack(first, salt))
        self.numbers = [first]
        self.offsets = [SEGMENT_HEADER_BYTES]
        self.expected = first
        self.intact = False
        self.tail: tuple[int, int] | None = None

    @classmethod
    def named(cls, name: str) -> "Segment | None":
        """The segment that a file name stands for; None for any other name."""
        match = _NAME.fullmatch(name)
        if not match or not 1 <= int(match[1]) < 1 << 63:
            return None
        return cls(int(match[1]), int(match[2], 16), 0)

    def header(self) -> bytes:
        """The bytes in front of the records."""
        return _MAGIC + _IDENTITY.pack(self.first, self.salt)

    def record(self, number: int, payload: bytes, offset: int) -> bytes:
        """The bytes of a record that is to stand at `offset`."""
        head = _HEAD.pack(self.mark, len(payload), number - self.first + 1)
        check = crc(head, self.seed ^ offset)
        return head + _CHECKS.pack(check, crc(payload, check)) + payload

    def records(self, numbered: Iterable[tuple[int, bytes]], offset: int) -> bytes:
        """The bytes of several records, the first of them at `offset`."""
        parts = []
        for number, payload in numbered:
            parts.append(self.record(number, payload, offset))
            offset += len(parts[-1])
        return b"".join(parts)


def scan(
    files: Files, handle: int, segment: Segment, start: int, end: int
) -> Iterator[tuple[int, int, int, bytes | None]]:
    """(offset, length, number, payload) of each stretch of a segment from `start` to `end`.

    The payload is None where the header is right and the payload is not (also where it passes `end`); the number is 0
    for a stretch in which no header is right. The stretches follow each other without a hole.
    """
    mark, mark_bytes, seed, zeroth = segment.mark, segment.mark.to_bytes(4, "little"), segment.seed, segment.first - 1
    unpack, check_of, header_bytes = _HEADER.unpack_from, crc, RECORD_HEADER_BYTES
    buffer, base, filled = b"", start, start  # the buffer holds the file from base to filled
    at = junk = start  # while searching, what lies between junk and at has been searched in vain
    searching = False
    seen = 0
    end = min(end, MAX_SEGMENT_BYTES)
    while at < end:
        if at + header_bytes > filled and filled < end:
            want = min(_READ_BYTES, end - at)
            buffer, base = read_tolerantly(files, handle, want, at, segment.name), at
            filled = base + len(buffer)
            if len(buffer) < want:
                end = filled  # somebody has cut the file
                continue
        if at + header_bytes > filled:
            if not searching:
                searching, junk = True, at
            break
        here = at - base
        if searching:
            here = buffer.find(mark_bytes, here)
            if here < 0:
                at = filled - 3
                continue
            at = base + here
            if at + header_bytes > filled:
                continue
        found_mark, length, place, check, body = unpack(buffer, here)
        if (
            found_mark == mark
            and check == check_of(buffer[here : here + 12], seed ^ at)
            and length <= MAX_PAYLOAD_BYTES
            and place > seen
        ):
            if searching:
                yield junk, at - junk, 0, None
                searching = False
            seen = place
            stop = at + header_bytes + length
            if stop > end:
                yield at, end - at, zeroth + place, None
                return
            if stop > filled:
                want = min(max(_READ_BYTES, stop - at), end - at)
                buffer, base, here = read_tolerantly(files, handle, want, at, segment.name), at, 0
                filled = base + len(buffer)
            payload = buffer[here + header_bytes : stop - base]
            good = check_of(payload, check) == body and len(payload) == length
            yield at, stop - at, zeroth + place, payload if good else None
            at = stop
        else:
            if not searching:
                searching, junk = True, at
            at += 1
    if searching and end > junk:
        yield junk, end - junk, 0, None


def read_tolerantly(files: Files, handle: int, size: int, offset: int, name: str) -> bytes:
    """Read a file; blocks that the disk cannot read come back as zeros, which no check takes for a record."""
    try:
        data = files.read(handle, size, offset)
        if len(data) == size or not data:
            return data
    except OSError as error:
        _log.warning("%s cannot be read between bytes %d and %d: %s", name, offset, offset + size, error)
        data = b""
    while len(data) < size:
        at = offset + len(data)
        step = min(_BLOCK_BYTES - at % _BLOCK_BYTES, size - len(data))
        try:
            more = files.read(handle, step, at)
        except OSError:  # told above
            more = bytes(step)
        if not more:
            break
        data += more
    return data


def length_without_zeros(files: Files, handle: int, segment: Segment, offset: int, length: int) -> int:
    """Length of a stretch without the zeros at its end, which a power cut leaves and which never held a record."""
    while length:
        step = min(length, _READ_BYTES)
        kept = len(read_tolerantly(files, handle, step, offset + length - step, segment.name).rstrip(b"\0"))
        length -= step - kept
        if kept:
            break
    return length
