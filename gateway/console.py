"""A person talks to an instrument through the running gateway, for a while, and the data flow on.

One console per instrument at a time. What is typed goes to the port as it is and into the raw log as `TYPED`; what
comes back takes its usual way through raw log, driver and spool, and the console hears it as well. The gateway ends a
console when its time is over, when whoever has it is gone, and when the gateway stops; polls that were held go on then.
Who said what stands in the gateway's log.

Nothing here knows how a console's words come and go: over the control socket, or from the hub.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from drivers.driver import Driver
from gateway.acquire import Acquisition, Overheard
from gateway.health import Message
from gateway.rawlog import Direction

_log = logging.getLogger(__name__)

MOST_MINUTES = 60.0
DEFAULT_MINUTES = 10.0
MOST_BYTES = 4096
"""That can be typed at once."""
_WARN_S = (60.0, 10.0)
_LOG_BYTES = 200

ENDINGS = {"crlf": b"\r\n", "lf": b"\n", "cr": b"\r"}
"""What may end a typed line."""


class Refused(Exception):
    """It cannot be done; the message says why and what to do."""


class Words(Message):
    """A piece of bytes that went over an instrument's line, and what was decoded of it, in words."""

    event: Literal["words"] = "words"
    instrument: str
    direction: Literal["heard", "said", "ended", "typed"]
    at_ns: int
    hex: str
    decoded: tuple[str, ...] = ()


class ConsoleLeft(Message):
    """The console will be ended soon."""

    event: Literal["console_left"] = "console_left"
    instrument: str
    left_s: float


class ConsoleEnded(Message):
    """The console is over."""

    event: Literal["console_ended"] = "console_ended"
    instrument: str
    why: str


Tell = Callable[[Words | ConsoleLeft | ConsoleEnded], None]


class ConsoleOpened(Message):
    """What one who has got a console wants to know."""

    instrument: str
    title: str
    port: str
    seconds: float
    ending: Literal["crlf", "lf", "cr"]
    commands: dict[str, str]
    polls_held: bool


class Console:
    """An open console. `tell` hears every word, the warnings before its end, and its end."""

    def __init__(self, acquisition: Acquisition, name: str, who: str, seconds: float, hold_polls: bool, tell: Tell):
        self.instrument, self.who = name, who
        self._acquisition = acquisition
        self._tell = tell
        self._open = True
        self._heard = b""
        acquisition.listeners.append(self._hear)
        acquisition.polls_held = hold_polls
        self._timer = asyncio.create_task(self._time(seconds), name=f"console {name}")

    async def say(self, data: bytes) -> None:
        """Writes to the instrument. Raises `Refused`."""
        if not self._open:
            raise Refused("the console is over")
        if not 0 < len(data) <= MOST_BYTES:
            raise Refused(f"one to {MOST_BYTES} bytes can be sent at once, not {len(data)}")
        if not self._acquisition.open:
            why = self._acquisition.transport.reason or "it is not open yet"
            raise Refused(f"{self.instrument} cannot hear: {why}")
        self._log_heard()
        _log.info("%s: console of %s: typed %s", self.instrument, self.who, repr(data)[1:])
        await self._acquisition.type(data)

    def close(self, why: str) -> None:
        """Ends it; once is enough."""
        if not self._open:
            return
        self._open = False
        self._timer.cancel()
        self._acquisition.listeners.remove(self._hear)
        self._acquisition.polls_held = False
        self._log_heard()
        _log.info("%s: console of %s: over: %s", self.instrument, self.who, why)
        self._tell(ConsoleEnded(instrument=self.instrument, why=why))

    @property
    def open(self) -> bool:
        """Whether it can still be used."""
        return self._open

    def _hear(self, overheard: Overheard) -> None:
        utterance = overheard.utterance
        direction = utterance.direction
        if direction is Direction.HEARD:
            self._heard += utterance.data
            if len(self._heard) >= _LOG_BYTES or self._heard.endswith((b"\n", b"\r")):
                self._log_heard()
        if direction is not Direction.TYPED:  # whoever typed it knows
            self._tell(words(overheard))

    def _log_heard(self) -> None:
        if self._heard:
            more = f" and {len(self._heard) - _LOG_BYTES} bytes" if len(self._heard) > _LOG_BYTES else ""
            told = repr(self._heard[:_LOG_BYTES])[1:]
            _log.info("%s: console of %s: heard %s%s", self.instrument, self.who, told, more)
            self._heard = b""

    async def _time(self, seconds: float) -> None:
        left_s = seconds
        for warn_s in _WARN_S:
            if left_s > warn_s:
                await asyncio.sleep(left_s - warn_s)
                left_s = warn_s
                self._tell(ConsoleLeft(instrument=self.instrument, left_s=warn_s))
        await asyncio.sleep(left_s)
        self.close("its time is over")


class Consoles:
    """The consoles of a gateway's instruments."""

    def __init__(self, instruments: Mapping[str, Acquisition]) -> None:
        self._instruments = instruments
        self._open: dict[str, Console] = {}

    def open(self, name: str, who: str, minutes: float, hold_polls: bool, tell: Tell) -> tuple[Console, ConsoleOpened]:
        """A console on the instrument `name`. Raises `Refused`."""
        acquisition = self._instruments.get(name)
        if acquisition is None:
            raise Refused(f"no instrument is called {name!r}; there are: {', '.join(self._instruments) or 'none'}")
        driver = acquisition.guarded.driver
        if driver.transports == ("modbus",):
            raise Refused(f"{name} is on Modbus, where registers are read and there is nobody to talk to")
        holder = self.holder(name)
        if holder:
            raise Refused(f"{holder} is talking to {name} already; ask them to end, or wait")
        seconds = 60 * min(minutes, MOST_MINUTES)
        console = Console(acquisition, name, who, seconds, hold_polls, tell)
        self._open[name] = console
        _log.info(
            "%s: console of %s: open for %g minutes%s", name, who, seconds / 60, ", polls held" if hold_polls else ""
        )
        return console, ConsoleOpened(
            instrument=name,
            title=driver.title,
            port=acquisition.transport.name,
            seconds=seconds,
            ending=ending_of(driver),
            commands=dict(driver.commands),
            polls_held=hold_polls,
        )

    def holder(self, name: str) -> str:
        """Who talks to the instrument; nobody: empty."""
        console = self._open.get(name)
        return console.who if console and console.open else ""

    def close(self, why: str) -> None:
        """Ends all."""
        for console in self._open.values():
            console.close(why)
        self._open.clear()


def ending_of(driver: Driver) -> Literal["crlf", "lf", "cr"]:
    """What the driver's own commands end in; CR LF where it has none."""
    fresh = type(driver)(driver.instrument, driver.settings)
    for question in (fresh.start, fresh.poll, fresh.hail):
        try:
            said = bytes(question())
        except Exception:  # a third party's driver may fail in any way; that is for the acquisition to report
            continue
        if said.endswith(b"\r\n"):
            return "crlf"
        if said.endswith(b"\r"):
            return "cr"
        if said.endswith(b"\n"):
            return "lf"
    return "crlf"


def words(overheard: Overheard, decoded: Sequence[str] = ()) -> Words:
    """What was overheard, for telling others."""
    name, direction, at, data = overheard.utterance
    told: dict[Direction, Literal["heard", "said", "ended", "typed"]] = {
        Direction.HEARD: "heard",
        Direction.SAID: "said",
        Direction.ENDED: "ended",
        Direction.TYPED: "typed",
    }
    return Words(instrument=name, direction=told[direction], at_ns=at.utc_ns, hex=data.hex(), decoded=tuple(decoded))
