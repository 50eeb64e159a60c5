"""What a simulated instrument is: the other end of a driver, without a port of its own.

A host (`tidegate gateway simulate`) owns the pseudo-terminal, socket or Modbus server. It passes what comes in to
`receive` and calls `tick` often; both give the bytes that the instrument says. For each sample that went out
complete the simulator keeps a `Said`: the ledger, against which the database is compared in the end. Faults that
change values (`Mischief`) are part of what the instrument said and so of the ledger; faults on the line (noise,
cuts) are the host's.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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
    """Faults of value, by the number of the sample (counted from 0), repeated every `period` samples.

    `spikes`: these samples get `spike_by` added. `stuck`: from the first of the two numbers to the second, the value
    does not change. `wild`: these samples get the value `wild_value`.
    """

    period: int = 600
    spikes: tuple[int, ...] = ()
    spike_by: float = 0.0
    stuck: tuple[int, int] | None = None
    wild: tuple[int, ...] = ()
    wild_value: float = 0.0

    def apply(self, sample: int, value: float, before: float | None) -> tuple[float, str]:
        """(the value with the fault of this sample, its name or "")."""
        k = sample % self.period
        if k in self.spikes:
            return value + self.spike_by, "spike"
        if k in self.wild:
            return self.wild_value, "wild"
        if self.stuck and self.stuck[0] <= k <= self.stuck[1] and before is not None:
            return before, "stuck"
        return value, ""


@dataclass
class Simulator(ABC):
    """One simulated instrument. Times are UTC nanoseconds, given by the host."""

    said: list[Said] = field(default_factory=list, init=False)
    speaking: bool = field(default=True, init=False)
    """A host that winds down sets this to False: the instrument then says nothing unasked any more."""

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
