"""What a driver is: the protocol of one instrument family, as an object that owns no port, no thread and no clock.

Theory of operation. Whoever owns the port (the gateway, or `tidegate decode` reading a file) does three things:

* it calls `feed(data, at)` with every piece of bytes that arrives, cut wherever the port or file happened to cut
  them, and gets back the Frames and Problems that these bytes completed, in the order of the stream;
* for an instrument that must be set up or polled, it writes what `start()` and `poll()` give; it owns the schedule;
* when the bytes end for good (a file's end, a closed port) it calls `finish()`, which reports what was left half said.

An instrument with which one must talk to and fro within a sample (SDI-12: start a measurement, wait, fetch the values)
has a driver that overrides `turn`. Whoever owns the port calls it after each `start`, `feed` and `poll`, and at the
moment for which it last asked; it gives what to write now. What is decoded never depends on it, so a raw log gives the
same.

Where many small pieces are at hand that arrived at different times (the stamped lines of a logger's file), `feed_all`
takes them at once; what comes out is the same, and a driver of lines overrides it to work on all of them together.

The cutting never matters: the same bytes in any pieces give the same samples and the same problems. Bad bytes give
Problems, never numbers and never exceptions; finding the next good record takes time linear in the bytes. A driver
keeps at most `MAX_PENDING` bytes that it cannot yet judge.

Drivers are found by the entry point group `tidegate.drivers`, so one from another package works as ours do.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from tidegate.clock import UNKNOWN, Arrival
from tidegate.frame import Frame, Schema

MAX_PENDING = 1 << 20


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in the stream that is not a good record.

    `kind` is a short stable word to count by: `checksum`, `syntax`, `truncated`, `noise`, `implausible`, `unknown`,
    `exception`, `no_answer`; a driver may have others. `offset` counts from the first byte ever fed to this driver.
    `data` is the bytes themselves, at most `EVIDENCE` of them; `size` is how many there were.
    """

    kind: str
    message: str
    offset: int
    data: bytes
    size: int
    arrival: Arrival = UNKNOWN


EVIDENCE = 256


def problem(kind: str, message: str, offset: int, data: bytes, arrival: Arrival = UNKNOWN) -> Problem:
    """A Problem about `data`, of which the first `EVIDENCE` bytes are kept."""
    return Problem(kind, message, offset, bytes(data[:EVIDENCE]), len(data), arrival)


Decoded = Frame | Problem


class Turn(NamedTuple):
    """What a driver does of its own accord: `data` to write now, and what it has to report (an instrument that does not
    answer). It wants to be asked again at `again_ns` on the monotonic clock, if nothing is fed before. A serial line is
    held in break for `break_s` before `data` goes out; other lines know no break."""

    data: bytes = b""
    again_ns: int | None = None
    problems: Sequence[Problem] = ()
    break_s: float = 0.0


class DriverSettings(BaseModel):
    """The settings of a driver, as they stand in the instrument's TOML table. Unknown names are refused.

    A field says what it is for in a docstring below it or in its `description`; editors and messages show that.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Driver(ABC):
    """One instrument's protocol. Subclasses are constructed as `Cls(instrument, settings)`."""

    manufacturer: ClassVar[str]
    models: ClassVar[tuple[str, ...]]
    title: ClassVar[str]
    """One line for people choosing a driver."""
    Settings: ClassVar[type[DriverSettings]] = DriverSettings
    transports: ClassVar[tuple[str, ...]] = ("serial", "tcp", "udp")
    """What it can be connected by: `serial`, `tcp`, `udp`, or `modbus`."""
    lines: ClassVar[tuple[str, ...]] = ("9600 8N1",)
    """How a serial line of such an instrument is set, the factory's setting first: `baud bits-parity-stops`."""
    commands: ClassVar[Mapping[str, str]] = {}
    """What `start` and `poll` send, and what else a technician may want to type: command -> what it does."""
    calibration: ClassVar[str] = ""
    """Where calibration coefficients come from, in words; empty where the instrument gives physical units."""
    problems: ClassVar[Mapping[str, str]] = {}
    """Every kind of Problem that it may report -> what that means and what to do."""

    def __init__(self, instrument: str, settings: DriverSettings | None = None) -> None:
        self.instrument = instrument
        self.settings = self.Settings() if settings is None else settings

    @abstractmethod
    def schemas(self) -> Sequence[Schema]:
        """The schemas that its Frames have, so far as they are known before (or after) data came."""

    @abstractmethod
    def feed(self, data: bytes, at: Arrival) -> list[Decoded]:
        """Takes the next bytes of the stream, which arrived at `at`; gives what they completed."""

    @abstractmethod
    def finish(self) -> list[Decoded]:
        """The stream is over: what of it remains, judged as it stands. The driver is then as new (its offsets go
        on)."""

    def feed_all(self, pieces: Sequence[tuple[bytes, Arrival]]) -> list[Decoded]:
        """As `feed` of each piece in turn; samples may be grouped into fewer Frames."""
        return [item for data, at in pieces for item in self.feed(data, at)]

    def start(self) -> bytes:
        """What to write once when the port has opened: set-up commands. Empty where the instrument needs none."""
        return b""

    def poll(self) -> bytes:
        """What to write for each sample that is to be asked for. Empty where the instrument speaks unasked."""
        return b""

    def turn(self, now_ns: int) -> Turn:
        """What to write at `now_ns` (monotonic, as `Arrival.monotonic_ns`) to go on with a conversation."""
        return Turn()

    @classmethod
    def guesses(cls) -> Sequence[DriverSettings]:
        """Settings under which an unknown line may prove to be one of these instruments, likeliest first.

        `tidegate gateway probe` feeds what it hears to a driver of each. Empty where nothing can be told without a
        configuration.
        """
        try:
            return [cls.Settings()]
        except ValidationError:
            return []

    @classmethod
    def hail(cls) -> bytes:
        """A harmless question that makes a silent instrument of this kind say who it is or give a sample; empty where
        there is none. It must change no setting and stop no recording."""
        return b""

    def description(self) -> Mapping[str, Any]:
        """For the birth: `manufacturer`, `model`, `serial` and `calibration`, as far as known."""
        return {"manufacturer": self.manufacturer}


GROUP = "tidegate.drivers"


class UnknownDriver(LookupError):
    """No driver of that name is installed; the message lists the ones that are."""


@cache
def _installed() -> Mapping[str, EntryPoint]:
    # Looked up once: reading the metadata of all installed packages takes milliseconds.
    return {entry.name: entry for entry in reversed(entry_points(group=GROUP))}


def names() -> list[str]:
    """The names of all installed drivers."""
    return sorted(_installed())


def load(name: str) -> type[Driver]:
    """The driver class of that name. Raises `UnknownDriver`."""
    entry = _installed().get(name)
    if entry is None:
        raise UnknownDriver(f"no driver is called {name!r}; installed are: {', '.join(names())}")
    cls: type[Driver] = entry.load()
    return cls
