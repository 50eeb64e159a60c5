"""A pseudo-terminal whose line setting counts: who listens at another speed than the instrument's hears other bytes."""

import re
import termios

from gateway.simulated_ports import PtyPort

_SPEEDS = {getattr(termios, name): int(name[1:]) for name in dir(termios) if re.fullmatch(r"B[1-9]\d*", name)}


def misheard(data: bytes, sent: int, heard: int) -> bytes:
    """What a receiver at `heard` bit/s makes of bytes sent back to back at `sent` bit/s, 8N1 both. A byte without its
    stop bit is given as it is, as Linux does with input that ignores parity and framing."""
    if sent == heard:
        return data
    levels = [bit for byte in data for bit in (0, *(byte >> k & 1 for k in range(8)), 1)]
    out, at, ratio = bytearray(), 0.0, sent / heard

    def level(time: float) -> int:
        return levels[int(time)] if time < len(levels) else 1

    while True:
        edge = next((k for k in range(int(at), len(levels)) if levels[k] == 0 and (k == 0 or levels[k - 1])), None)
        if edge is None:
            return bytes(out)
        out.append(sum(level(edge + (k + 1.5) * ratio) << k for k in range(8)))
        at = max(edge + 9.5 * ratio, edge + 1)


class UartPort(PtyPort):
    """The instrument's end of such a line."""

    baud = 9600

    def _theirs(self) -> int:
        return _SPEEDS[termios.tcgetattr(self._master)[5]]

    async def hear(self, wait_s: float) -> bytes:
        return misheard(await super().hear(wait_s), self._theirs(), self.baud)

    async def say(self, data: bytes) -> bool:
        return await super().say(misheard(data, self.baud, self._theirs()))
