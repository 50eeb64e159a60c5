"""A clock that is under control: of the rig itself, and of a gateway that runs as `python -m tests.faults.clocked`.

The clock is a small file that all of them map into memory: an anchor (the machine's monotonic clock, the monotonic
and the wall clock shown then) and a speed. A process that follows it shows time from that file alone, so a day takes
minutes, and the wall clock can be set while the monotonic clock goes on, as on a computer without a battery.
"""

import mmap
import os
import struct
import time
from pathlib import Path

# Kept before anything of this process is made to show another time.
REAL_MONOTONIC_NS = time.monotonic_ns
_SLOT = struct.Struct("<qqqd")
"""The machine's monotonic clock at the anchor, monotonic and wall clock shown then (nanoseconds), speed."""
_SIZE = 8 + 2 * _SLOT.size


class Clock:
    """The clock in a file. One process sets it; any number show it."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path
        if create:
            path.write_bytes(bytes(_SIZE))
        handle = os.open(path, os.O_RDWR)
        try:
            self._map = mmap.mmap(handle, _SIZE)
        finally:
            os.close(handle)
        if create:
            self._anchor(time.monotonic_ns(), time.time_ns(), 1.0)

    def monotonic_ns(self) -> int:
        """The monotonic clock."""
        real, monotonic, _, speed = self._read()
        return monotonic + int((REAL_MONOTONIC_NS() - real) * speed)

    def time_ns(self) -> int:
        """The wall clock, UTC."""
        real, _, wall, speed = self._read()
        return wall + int((REAL_MONOTONIC_NS() - real) * speed)

    @property
    def speed(self) -> float:
        """Seconds shown in a second."""
        return self._read()[3]

    def run_at(self, speed: float) -> None:
        """From now on so many seconds in a second."""
        self._anchor(self.monotonic_ns(), self.time_ns(), speed)

    def set_wall(self, utc_ns: int) -> None:
        """Somebody sets the wall clock; the monotonic clock does not notice."""
        self._anchor(self.monotonic_ns(), utc_ns, self.speed)

    def _read(self) -> tuple[int, int, int, float]:
        slot: tuple[int, int, int, float] = _SLOT.unpack_from(self._map, 8 + _SLOT.size * self._map[0])
        return slot

    def _anchor(self, monotonic_ns: int, wall_ns: int, speed: float) -> None:
        # Into the slot that nobody reads, which is then made the valid one by a single byte.
        other = 1 - self._map[0]
        _SLOT.pack_into(self._map, 8 + _SLOT.size * other, REAL_MONOTONIC_NS(), monotonic_ns, wall_ns, speed)
        self._map[0] = other
