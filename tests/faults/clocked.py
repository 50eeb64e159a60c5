"""Runs `tidegate ...` with its clocks shown by a file (`tests.faults.controlled_clock`), and counts what it writes.

    python -m tests.faults.clocked CLOCK COUNTS gateway run station.toml

Nothing of the product knows of it: before any of it is loaded, the functions of `time` and the waiting of the event
loop are put in their places. What was written and synced, by the operating system's calls, is kept in the file COUNTS.
"""

import mmap
import os
import selectors
import struct
import sys
import time
from pathlib import Path
from typing import Any

from tests.faults.controlled_clock import Clock

COUNTS = struct.Struct("<qq")
"""Bytes written to files, and syncs."""


def follow(clock: Clock) -> None:
    """From now on this process shows the time of `clock`, and waits by it."""
    really_sleep = time.sleep
    really_select = selectors.EpollSelector.select
    time.monotonic_ns = clock.monotonic_ns
    time.monotonic = lambda: clock.monotonic_ns() / 1e9
    time.perf_counter = time.monotonic
    time.time_ns = clock.time_ns
    time.time = lambda: clock.time_ns() / 1e9
    time.sleep = lambda seconds: really_sleep(float(seconds) / clock.speed)

    def select(self: selectors.EpollSelector, timeout: float | None = None) -> Any:
        # Never long, as the speed may change meanwhile.
        return really_select(self, timeout if timeout is None or timeout <= 0 else min(timeout / clock.speed, 0.5))

    selectors.EpollSelector.select = select  # type: ignore[assignment,method-assign]


def count(path: Path) -> None:
    """From now on what this process writes to files and syncs is counted in `path`."""
    path.write_bytes(bytes(COUNTS.size))
    with path.open("r+b") as file:
        counts = mmap.mmap(file.fileno(), COUNTS.size)
    written = synced = 0
    really_write, really_sync, really_sync_data = os.pwrite, os.fsync, os.fdatasync

    def write(handle: int, data: bytes, offset: int) -> int:
        nonlocal written
        taken = really_write(handle, data, offset)
        written += taken
        COUNTS.pack_into(counts, 0, written, synced)
        return taken

    def sync(handle: Any) -> None:
        nonlocal synced
        synced += 1
        really_sync(handle)

    def sync_data(handle: Any) -> None:
        nonlocal synced
        synced += 1
        really_sync_data(handle)

    os.pwrite, os.fsync, os.fdatasync = write, sync, sync_data  # type: ignore[assignment]


def main() -> None:
    """Runs the product's command line."""
    follow(Clock(Path(sys.argv[1])))
    count(Path(sys.argv[2]))
    from tidegate.cli import main as tidegate

    sys.argv = ["tidegate", *sys.argv[3:]]
    tidegate()


if __name__ == "__main__":
    main()
