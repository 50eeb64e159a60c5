"""What a simulated instrument is: the other end of a driver, without a port of its own.

A host (`tidegate gateway simulate`) owns the pseudo-terminal, socket or Modbus server. It passes what comes in to
`receive` and calls `tick` often; both give the bytes that the instrument says. For each sample that went out
complete the simulator keeps a `Said`: the ledger, against which the database is compared in the end. Faults of its
value (`Mischief`) and of its clock (`ClockError`) are part of what the instrument said and so of the ledger; faults
on the line (noise, cuts, wrong checksums) are the host's.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from drivers.simulators.sea import Sea


@dataclass(frozen=True, slots=True)
class Said:
    """One sample as the instrument gave it.

    `time_ns` is its own time stamp, None where it gives none. `values` are by the vocabulary's names, in the
    vocabulary's units, rounded as the instrument prints them; a profile is a list with None for bad cells.
    `mischief` names an injected fault.
    """

    at_ns: int
    time_ns: int | None
    values: Mapping[str, Any]
    mischief: str = ""


@dataclass(frozen=True, slots=True)
class Mischief:
    """Faults of value. Those by the number of the sample (counted from 0) are repeated every `period` samples.

    `spikes`: these samples get `spike_by` added. `stuck`: from the first of the two numbers to the second, the value
    does not change. `wild`: these samples get the value `wild_value`. `drift_per_h`: each hour since the first sample
    adds this much.
    """

    period: int = 600
    spikes: tuple[int, ...] = ()
    spike_by: float = 0.0
    stuck: tuple[int, int] | None = None
    wild: tuple[int, ...] = ()
    wild_value: float = 0.0
    drift_per_h: float = 0.0

    def __post_init__(self) -> None:
        if self.period < 1:
            raise ValueError(f"period must be 1 or more, not {self.period}")

    def apply(self, sample: int, value: float, before: float | None, since_s: float = 0.0) -> tuple[float, str]:
        """(the value with the fault of this sample, `since_s` after the first one, the fault's name or "")."""
        k = sample % self.period
        value += self.drift_per_h * since_s / 3600.0
        if k in self.spikes:
            return value + self.spike_by, "spike"
        if k in self.wild:
            return self.wild_value, "wild"
        if self.stuck and self.stuck[0] <= k <= self.stuck[1] and before is not None:
            return before, "stuck"
        return value, "drift" if self.drift_per_h and since_s else ""


@dataclass(frozen=True, slots=True)
class ClockError:
    """An instrument's clock that is `ahead_s` (negative: behind) when it starts, and then gains `gain_s_per_day`."""

    ahead_s: float = 0.0
    gain_s_per_day: float = 0.0


@dataclass
class Simulator(ABC):
    """One simulated instrument. Times are UTC nanoseconds, given by the host; what the instrument takes for the time
    is `_shows_ns` of them."""

    drivers: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """The drivers that read it: the name of each, and the settings (`name=value`) with which it speaks to that one."""
    spoils: ClassVar[str] = ""
    """What `mischief` falls on, and its unit."""

    sea: Sea = field(default_factory=Sea)
    interval_s: float = 1.0
    seed: int = 0
    mischief: Mischief = field(default_factory=Mischief)
    clock: ClockError = field(default_factory=ClockError)
    said: list[Said] = field(default_factory=list, init=False, repr=False)
    speaking: bool = field(default=True, init=False)
    """A host that winds down sets this to False: the instrument then says nothing unasked any more."""
    _values_before: dict[str, float] = field(default_factory=dict, init=False, repr=False)
    _measures_since_ns: int | None = field(default=None, init=False, repr=False)
    _clock_set: tuple[int, int] | None = field(default=None, init=False, repr=False)

    @abstractmethod
    def tick(self, now_ns: int) -> bytes:
        """What it says unasked at this moment; empty where nothing is due. Call it at least every 20 ms."""

    def receive(self, data: bytes, now_ns: int) -> bytes:
        """What it answers to `data`; a host may cut the bytes anywhere. An instrument that only talks ignores them."""
        return b""

    def take_said(self) -> list[Said]:
        """The ledger since the last call."""
        said, self.said = self.said, []
        return said

    def falsifier(self) -> Callable[[bytes], bytes] | None:
        """What turns an utterance into the same with wrong checksums; None where the instrument gives none."""
        return None

    def _spoil(self, sample: int, value: float, now_ns: int, of: str = "") -> tuple[float, str]:
        """(`value` of the sample with this number, with the fault that befalls it, the fault's name or ""). `of` tells
        values apart where several are spoilt."""
        if self._measures_since_ns is None:
            self._measures_since_ns = now_ns
        since_s = (now_ns - self._measures_since_ns) / 1e9
        value, fault = self.mischief.apply(sample, value, self._values_before.get(of), since_s)
        self._values_before[of] = value
        return value, fault

    def _ahead_ns(self, now_ns: int) -> int:
        """How far its clock is ahead at this moment."""
        if self._clock_set is None:
            self._clock_set = now_ns, round(self.clock.ahead_s * 1e9)
        set_ns, ahead_ns = self._clock_set
        return ahead_ns + round(self.clock.gain_s_per_day * (now_ns - set_ns) / 86_400)

    def _shows_ns(self, now_ns: int) -> int:
        """What its clock shows at this moment."""
        return now_ns + self._ahead_ns(now_ns)

    def _set_clock(self, to_ns: int, now_ns: int) -> None:
        """Somebody sets its clock; it goes on as well or badly as before."""
        self._clock_set = now_ns, to_ns - now_ns


# ---- wrong checksums ------------------------------------------------------------------------------------------------

_ANOTHER_DIGIT = bytes.maketrans(b"0123456789ABCDEFabcdef", b"1234567890BCDEFAbcdefa")
_OF_A_SENTENCE = re.compile(rb"(?<=\*[0-9A-Fa-f])[0-9A-Fa-f](?=\r\n)")


def wrong_digits(said: bytes, where: re.Pattern[bytes] = _OF_A_SENTENCE) -> bytes:
    """`said` with other digits where the pattern matches: in each `*HH` at the end of a line, if nothing is given."""
    return where.sub(lambda found: found[0].translate(_ANOTHER_DIGIT), said)


def wrong_frames(said: bytes, size_at: Callable[[bytes, int], tuple[int, bool]]) -> bytes:
    """`said`, a row of binary frames, with another last byte in each. `size_at` gives of the frame that begins at a
    place (its size, whether to change it); a size of 0 ends the row."""
    changed, at = bytearray(said), 0
    while at < len(said):
        size, change = size_at(said, at)
        if not size:
            break
        at += size
        if change:
            changed[at - 1] ^= 0xFF
    return bytes(changed)
