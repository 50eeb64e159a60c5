"""Time treated as a measurement: when a byte arrived, on which clocks, and whether those were to be trusted.

The wall clock of a gateway can be wrong (no battery, no fix yet) and can jump. The monotonic clock cannot jump, but
means nothing after a reboot. Kept together with the boot they belong to, the two let a sample be re-timed later.
Schedules run on the monotonic clock only.
"""

import ctypes
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

NAT = -(2**63)
"""'No time' in an int64 nanosecond array: numpy's NaT."""


class TimeSource(IntEnum):
    """Where a sample's time came from."""

    NONE = 0
    INSTRUMENT = 1
    """The instrument's own clock, as it printed it."""
    ARRIVAL = 2
    """The gateway's clock when the first byte of the record arrived."""
    NMEA = 3
    """A GNSS receiver's UTC, carried by the NMEA sentences themselves."""
    LOGGER = 4
    """The stamp that a logger wrote in front of a recorded line."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """When the first byte of something arrived: UTC and monotonic nanoseconds of one boot.

    `disciplined` says whether the wall clock was known to follow a reference then. `utc_ns` may be `NAT` where bytes
    come from a file that kept no arrival times.
    """

    utc_ns: int
    monotonic_ns: int
    boot: str
    disciplined: bool

    @classmethod
    def now(cls) -> "Arrival":
        """This moment, on this machine."""
        return cls(time.time_ns(), time.monotonic_ns(), boot_id(), clock_is_disciplined())

    def follows(self, earlier: "Arrival", tolerance_ns: int = 10_000_000) -> bool:
        """Whether both are of the same boot, with no step of the wall clock between them greater than `tolerance_ns`
        (of a recording that knows no boot, any)."""
        step_ns = (self.utc_ns - self.monotonic_ns) - (earlier.utc_ns - earlier.monotonic_ns)
        same = self.boot == earlier.boot and self.disciplined == earlier.disciplined
        return same and (not self.boot or abs(step_ns) <= tolerance_ns)


UNKNOWN = Arrival(NAT, 0, "", False)
"""Bytes of which nobody noted when they arrived."""

_boot: str | None = None


def boot_id() -> str:
    """This boot's identity: 16 hexadecimal digits, the head of the kernel's random boot id."""
    global _boot
    if _boot is None:
        _boot = Path("/proc/sys/kernel/random/boot_id").read_text().replace("-", "")[:16]
    return _boot


_STA_UNSYNC = 0x0040
_checked_at_s = float("-inf")
_kernel: "KernelClock"


class KernelClock(NamedTuple):
    """What the kernel knows of its own clock: whether it follows a reference, and how far it may be off then, in
    seconds."""

    disciplined: bool
    error_s: float | None


class _Timex(ctypes.Structure):
    """The head of `struct timex` (adjtimex(2)), and room for all that may follow."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 512),
    )


def kernel_clock() -> KernelClock:
    """The kernel's clock (`adjtimex`: STA_UNSYNC clear, and `maxerror`); looked up at most once a second."""
    global _checked_at_s, _kernel
    now_s = time.monotonic()
    if now_s - _checked_at_s >= 1.0:
        _checked_at_s, _kernel = now_s, _look_up()
    return _kernel


def clock_is_disciplined() -> bool:
    """Whether the kernel's clock follows a reference; looked up at most once a second."""
    return kernel_clock().disciplined


def _look_up() -> KernelClock:
    timex = _Timex()  # modes = 0 only reads
    try:
        result = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (AttributeError, OSError):
        return KernelClock(False, None)
    if result < 0 or timex.status & _STA_UNSYNC:
        return KernelClock(False, None)
    return KernelClock(True, timex.maxerror / 1e6)


def isoformat(utc_ns: int) -> str | None:
    """`utc_ns` as ISO 8601 UTC with nanoseconds (`2014-08-01T00:00:00.124000000Z`), or None for `NAT`."""
    if utc_ns == NAT:
        return None
    seconds, nanos = divmod(utc_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanos:09d}Z"
