"""What bytes look like that no driver knows: text or not, lines of how many values, how often; in words."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gateway.talk import shown

_TEXT = 0.95
_NUMBER = re.compile(rb"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?")
_SEPARATORS = (("commas", rb","), ("semicolons", rb";"), ("tabs", rb"\t"), ("spaces", rb" +"))


class Texture(NamedTuple):
    """What bytes look like."""

    printable: float
    """The share of the bytes that are text."""
    lines: list[bytes]
    """The whole lines, without their ends."""
    entropy: float
    """Bits for each byte, from 0 to 8."""

    @property
    def text(self) -> bool:
        """Whether it is text, and so was heard at the right speed."""
        return self.printable >= _TEXT


def texture(data: bytes) -> Texture:
    """What `data` looks like."""
    counts = np.bincount(np.frombuffer(data, np.uint8), minlength=256)
    shares = counts[counts > 0] / max(len(data), 1)
    printable = float(counts[0x20:0x7F].sum() + counts[[0x09, 0x0A, 0x0D]].sum()) / max(len(data), 1)
    whole = data[: data.rfind(b"\n") + 1].replace(b"\r", b"").split(b"\n")
    return Texture(printable, [line for line in whole if line], max(float(-(shares * np.log2(shares)).sum()), 0.0))


def unknown(data: bytes, seconds: float) -> list[str]:
    """What to say of bytes that no driver knows, and that came within so many seconds."""
    look = texture(data)
    if not look.text:
        return [
            f"{len(data)} bytes that are no text ({look.printable:.0%} printable, {look.entropy:.1f} bits of entropy a "
            f"byte); they begin {data[:16].hex(' ')}",
            "Either a binary protocol that no driver knows, or none of these speeds is the right one: see what the "
            "instrument is set to. Swapped wires of RS-485, or RS-485 on an RS-232 port, sound like this, too.",
        ]
    rate = f", {len(look.lines) / seconds:.2g} lines a second" if seconds > 0 and len(look.lines) > 1 else ""
    said = [f"{look.printable:.0%} printable text{rate}", *(f"    {shown(line)[:100]}" for line in look.lines[-3:])]
    if look.lines and all(re.fullmatch(rb"[0-9A-Fa-f]{16,}", line) for line in look.lines[1:] or look.lines):
        said.append(
            f"Lines of {len(look.lines[-1])} hexadecimal digits: raw scans of a CTD (an SBE 911plus, for one), which "
            "need its calibration file: docs/reference/drivers.md"
        )
    elif shape := _delimited(look.lines):
        said.append(f"{shape}: a few lines of TOML teach them to Tidegate: docs/how-to/write-a-driver.md")
    else:
        said.append("No driver knows such lines; docs/how-to/write-a-driver.md says how to describe them")
    return said


def _delimited(lines: Sequence[bytes]) -> str:
    """In words, where most lines are equally many values and half of those numbers."""
    for name, separator in _SEPARATORS:
        split = [[part.strip() for part in re.split(separator, line.strip())] for line in lines]
        width, times = Counter(map(len, split)).most_common(1)[0] if split else (0, 0)
        numbers = [sum(_NUMBER.fullmatch(part) is not None for part in parts) for parts in split if len(parts) == width]
        if width > 1 and 2 * times > len(lines) and 2 * sum(numbers) >= width * times:
            return f"Lines of {width} values between {name}"
    return ""
