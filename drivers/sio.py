"""Takes the words of instruments out of the blocks that a mooring's controller packs them into (OOI's SIO controllers).

Theory of operation. The controller of a mooring collects what its instruments say, on ports of their own and over
inductive modems, and writes or radios it in blocks:

    \\x01 CT1236801 _ 0017 u 51EF36D6 _ 5A _ 89AB \\x02 data \\x03

two letters for the kind of instrument, five digits for the controller and two for its port (or the address on the
inductive line), the data's length in hexadecimal, a letter for how they were processed, the controller's time (seconds
since 1970), the block's number, and the data's CRC-16/X.25. The data may hold any byte, so blocks are found by header,
length, end and CRC together. A block holds whole records.

`CT` blocks (MicroCATs, SBE 37-IM) come in two forms: as the instrument's own lines, or packed to 13 bytes a sample: its
address, the 22 hexadecimal digits of the telemetered scan as 11 bytes, a carriage return. Packed samples are given as
the lines of digits that they were. `CO`, `CS` and `PS` blocks are the controller's own (clock offsets, status).

What is in no whole block (damaged, torn, or between blocks), or no whole packed sample, is given too, with `\\x01` in
front of every line of it: no instrument prints that, so a driver of lines refuses it, and a sample that may be damaged
never becomes a number.

Sources: `sio_mule_common.py`, `ctdmo_ghqr_sio.py` and `sio_eng_sio.py` of the OOI's mi-instrument, and their tests.
"""

import re
from binascii import crc_hqx
from typing import NamedTuple

from tidegate.clock import NAT

_HEADER = re.compile(
    rb"\x01([A-Z]{2}[0-9]{7})_([0-9A-Fa-f]{4})[0-9A-Za-z]([0-9A-Fa-f]{8})_[0-9A-Fa-f]{2}_([0-9A-Fa-f]{4})\x02"
)
_LONGEST_HEADER = 33
_MOST = 1 << 16  # bytes in no block that are given together
_CONTROLLERS_OWN = (b"CO", b"CS", b"PS")
_PACKED = 13  # bytes of a sample
_NO_TEXT = re.compile(rb"[^\t\r\n -~]")
_LINE = re.compile(rb"[^\r\n]*(?:\r\n?|\n|\Z)")
_REVERSED = bytes(int(f"{octet:08b}"[::-1], 2) for octet in range(256))


class Words(NamedTuple):
    """What an instrument said: where in the file it stands, the bytes, and the block's time (`NAT` where damaged)."""

    offset: int
    data: bytes
    utc_ns: int


def is_wrapped(head: bytes) -> bool:
    """Whether a recording that begins so is made of such blocks."""
    return _HEADER.search(head) is not None


def checksum(data: bytes) -> int:
    """CRC-16/X.25: polynomial 0x8408, low bit first, begun with 0xFFFF, inverted; 0 of no bytes."""
    # The library's CRC of the same polynomial takes the high bit first, so the bits are turned round, and back.
    return int(f"{crc_hqx(data.translate(_REVERSED), 0xFFFF) ^ 0xFFFF:016b}"[::-1], 2)


def unwrapped(data: bytes, offset: int, ended: bool, only: bytes = b"") -> tuple[list[Words], int]:
    """(the words in `data`, how many of its bytes are dealt with); the others are to come again with what follows.

    `offset` is that of `data` in the file, `ended` that nothing follows. `only` takes the blocks whose instrument
    begins so (`CT`, `CT12368`, `CT1236855`), and then of the controller's own too; what is damaged is always taken.
    """
    words: list[Words] = []
    begins = at = 0  # what is not yet dealt with, and where a block is looked for
    while True:
        header = _HEADER.search(data, at)
        # In front of a header, and where none can begin any more, there is no block.
        visible = len(data) if ended else begins + max(len(data) - _LONGEST_HEADER - begins, 0) // _MOST * _MOST
        stop = header.start() if header else visible
        words += _damaged(data, begins, stop, offset)
        begins = stop
        if header is None:
            return words, begins
        end = header.end() + int(header[2], 16)
        if end >= len(data) and not ended:
            return words, begins
        if data[end : end + 1] != b"\x03":
            at = begins + 1
            continue
        content, at = data[header.end() : end], end + 1
        if checksum(content) == int(header[4], 16):
            words += _said(header[1], content, offset + header.end(), int(header[3], 16) * 1_000_000_000, only)
        else:
            words += _damaged(data, begins, at, offset)
        begins = at


def _said(name: bytes, content: bytes, offset: int, utc_ns: int, only: bytes) -> list[Words]:
    """What the block of the instrument `name` holds."""
    if not name.startswith(b"CT"):
        wanted = name.startswith(only) if only else name[:2] not in _CONTROLLERS_OWN
        return [Words(offset, content, utc_ns)] if wanted and content else []
    packed = 0
    while content[packed + _PACKED - 1 : packed + _PACKED] == b"\r":
        packed += _PACKED
    if packed and (packed == len(content) or _NO_TEXT.search(content)):
        samples = (content[at : at + _PACKED] for at in range(0, packed, _PACKED))
        return [
            Words(offset + i * _PACKED, sample[1:-1].hex().upper().encode() + b"\r\n", utc_ns)
            for i, sample in enumerate(samples)
            if (name[:7] + b"%02d" % sample[0]).startswith(only)
        ] + _damaged(content, packed, len(content), offset)
    if not content or not name.startswith(only):
        return []
    return [Words(offset, content if content.endswith((b"\r", b"\n")) else content + b"\r\n", utc_ns)]


def _damaged(data: bytes, begins: int, ends: int, offset: int) -> list[Words]:
    """The lines of what is in no whole block, so that nobody can take them for samples."""
    words = []
    for start in range(begins, ends, _MOST):
        for line in _LINE.finditer(data[start : min(start + _MOST, ends)]):
            if line[0].strip(b"\r\n"):
                marked = line[0] if line[0].startswith(b"\x01") else b"\x01" + line[0]
                marked += b"" if marked.endswith((b"\r", b"\n")) else b"\n"
                words.append(Words(offset + start + line.start(), marked, NAT))
    return words
