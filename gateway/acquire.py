"""One instrument, from its port to Frames: reads, keeps the raw bytes, decodes, polls on schedule.

Who wants to listen in (`listeners`) is told every word both ways with what was decoded of it; while nobody does, that
costs nothing. A person may talk to the instrument meanwhile (`type`), and may have the polls held (`polls_held`).

Every instrument has a task of its own, so a dead one never slows another. The schedule runs on the monotonic clock:
a poll that could not be made in time is left out and counted, never made up for in a burst. Frames go to `deliver` in
the order of the stream, all that one piece of bytes completed together; the raw bytes are in the raw log before the
driver sees them. A driver that talks to and fro with its instrument has its turn after each piece and each poll, and
when it asked for it (`Driver.turn`); while the polls are held it has none.

A driver that raises is replaced by a new one (`gateway.guard`), which takes the very next bytes. The set-up commands
are then sent again, at once the first time and with growing pauses where it keeps failing.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from drivers.driver import Decoded, Driver
from gateway.guard import FAULT, Guarded
from gateway.health import InstrumentHealth
from gateway.rawlog import Direction, Position, RawLog, Utterance
from gateway.transports import Data, Gone, Transport
from tidegate.clock import Arrival
from tidegate.frame import Frame, rows

_log = logging.getLogger(__name__)

_LOOK_S = 0.5
_QUIET_S = 0.3
_WIND_DOWN_S = 1.0
_CLOSE_S = 0.3
_BACK_OFF_S = (1.0, 60.0)
_DEFAULT_INTERVAL_S = 1.0
_LOG_EVERY_S = 10.0


class Overheard(NamedTuple):
    """A piece of bytes that went over the line, and what it completed."""

    utterance: Utterance
    decoded: list[Decoded]


class Acquisition:
    """Drives one instrument until told to stop."""

    def __init__(
        self,
        driver: Driver,
        transport: Transport,
        raw: RawLog,
        health: InstrumentHealth,
        deliver: Callable[[list[Frame], Position], None],
    ) -> None:
        self.guarded = Guarded(driver)
        self.transport = transport
        self.health = health
        self.listeners: list[Callable[[Overheard], None]] = []
        self.polls_held = False
        self._raw = raw
        self._deliver = deliver
        self._name = driver.instrument
        self._opened = 0
        self._open = False
        self._mid_stream = False
        self._due_s = time.monotonic()
        self._turn_due_s: float | None = None
        self._interval_s = health.interval_s or _DEFAULT_INTERVAL_S
        self._faults = 0  # that the instrument was set up anew after
        self._pause_s = 0.0
        self._set_up_due_s: float | None = None
        self._logged: dict[str, float] = {}
        self._writing = asyncio.Lock()

    async def run(self, stop: asyncio.Event) -> None:
        """Reads until `stop`, then until the line is quiet for a moment, so that a record in flight is not cut."""
        reading = asyncio.create_task(self._read_on(), name=f"read {self._name}")
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({reading, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            reading.cancel()
            stopped.cancel()
            await asyncio.gather(reading, stopped, return_exceptions=True)
        try:
            async with asyncio.timeout(_WIND_DOWN_S):
                while await self._step(_QUIET_S):
                    pass
        except TimeoutError:
            _log.info("%s: still speaking; what it is saying now is cut off", self._name)
        except Exception as error:
            self._failed(error)
        self._end("the gateway was stopped")
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self.transport.close()
        except Exception as error:
            _log.warning("%s: closing %s: %s", self._name, self.transport.name, error or type(error).__name__)

    async def _read_on(self) -> None:
        back_off_s = _BACK_OFF_S[0]
        while True:
            try:
                now_s = time.monotonic()
                due_s = min(self._due_s, self._set_up_due_s or self._due_s, self._turn_due_s or self._due_s)
                heard = await self._step(min(max(due_s - now_s, 0.0), _LOOK_S))
                if heard:
                    back_off_s = _BACK_OFF_S[0]
                polled = await self._speak()
                if heard or polled or (self._turn_due_s is not None and time.monotonic() >= self._turn_due_s):
                    await self._converse()
            except Exception as error:
                # Whatever it is, it is this instrument's alone: the others go on.
                self._failed(error)
                await asyncio.sleep(back_off_s)
                back_off_s = min(back_off_s * 2, _BACK_OFF_S[1])

    async def _step(self, wait_s: float) -> bool:
        """One read; whether bytes came."""
        heard = await self.transport.read(wait_s)
        if self.transport.opened != self._opened:
            self._opened, self._open = self.transport.opened, True
            self._set_up_due_s = time.monotonic()
            self.health.opened()
        if isinstance(heard, Data):
            self.health.hear()
            self._mid_stream = True
            position = self._keep(Direction.HEARD, heard.at, heard.data)
            decoded = self.guarded.feed(heard.data, heard.at)
            self._take(decoded, position)
            self._tell(Direction.HEARD, heard.at, heard.data, decoded)
            if self.guarded.faults > self._faults:
                self._set_up_again()
            return True
        if isinstance(heard, Gone):
            self._open = False
            self._end(heard.reason)
            self.health.lost(heard.reason)  # last, so that it is what the technician reads
            _log.warning("%s: %s", self._name, heard.reason)
        else:
            self.health.quiet()
        return False

    async def _speak(self) -> bool:
        """Sends what is due: the set-up, then a poll; whether that was due."""
        now_s = time.monotonic()
        if self._set_up_due_s is not None and now_s >= self._set_up_due_s:
            self._set_up_due_s = None
            await self._say(self._ask(self.guarded.driver.start))
            self._turn_due_s = time.monotonic()
        if now_s < self._due_s:
            return False
        data = self._ask(self.guarded.driver.poll) if self._open and not self.polls_held else b""
        await self._say(data)
        late_s = time.monotonic() - self._due_s
        missed = int(late_s // self._interval_s)
        self._due_s += (missed + 1) * self._interval_s
        if missed and data:
            self.health.note("poll_skipped", f"{missed} polls were {late_s:.1f} s late and left out", missed)
        return True

    async def _converse(self) -> None:
        """Gives the driver its turn."""
        self._turn_due_s = None
        if not self._open or self.polls_held:
            return
        turn = self.guarded.turn(time.monotonic_ns())
        self._take(list(turn.problems), self._raw.position)
        if turn.again_ns is not None:
            self._turn_due_s = turn.again_ns / 1e9
        if turn.break_s:
            await self.transport.send_break(turn.break_s)
        await self._say(turn.data)

    def _ask(self, what: Callable[[], bytes]) -> bytes:
        try:
            return bytes(what())
        except Exception as error:
            self.health.note(FAULT, self.guarded.fault(error))
            self._faults = self.guarded.faults
            return b""

    @property
    def open(self) -> bool:
        """Whether the port is open, as far as known."""
        return self._open

    async def type(self, data: bytes) -> None:
        """Writes a person's words to the instrument, where its port is open."""
        await self._say(data, Direction.TYPED)

    async def _say(self, data: bytes, direction: Direction = Direction.SAID) -> None:
        if not data or not self._open:
            return
        async with self._writing:
            at = Arrival.now()
            self._keep(direction, at, data)
            self._tell(direction, at, data, [])
            await self.transport.write(data)

    def _set_up_again(self) -> None:
        """A new driver has taken over and does not know what the instrument replied to the set-up."""
        self._faults = self.guarded.faults
        if self._set_up_due_s is None:
            self._set_up_due_s = time.monotonic() + self._pause_s
        self._pause_s = min(max(self._pause_s * 2, _BACK_OFF_S[0]), _BACK_OFF_S[1])

    def _failed(self, error: Exception) -> None:
        self.health.note("gateway_fault", f"{type(error).__name__}: {error}")
        _log.error("%s on %s: %s", self._name, self.transport.name, error, exc_info=error)

    def _end(self, reason: str) -> None:
        """The stream is over: what the driver had of an unfinished record is judged as it stands."""
        if not self._mid_stream:
            return
        self._mid_stream = False
        at, data = Arrival.now(), reason.encode()
        position = self._keep(Direction.ENDED, at, data)
        decoded = self.guarded.finish()
        self._take(decoded, position)
        self._tell(Direction.ENDED, at, data, decoded)

    def _tell(self, direction: Direction, at: Arrival, data: bytes, decoded: list[Decoded]) -> None:
        if self.listeners:
            overheard = Overheard(Utterance(self._name, direction, at, data), decoded)
            for listener in list(self.listeners):
                listener(overheard)

    def _keep(self, direction: Direction, at: Arrival, data: bytes) -> Position:
        try:
            return self._raw.append(Utterance(self._name, direction, at, data))
        except OSError as error:
            # The samples still go their way; that the raw bytes could not be kept is counted and shown.
            self.health.note("raw_log", str(error))
            return self._raw.position

    def _take(self, decoded: list[Decoded], position: Position) -> None:
        frames = []
        for item in decoded:
            if isinstance(item, Frame):
                if not self.health.samples and len(item):
                    _log.info("%s: first sample: %s", self._name, _told(item))
                self.health.sample(item)
                frames.append(item)
            else:
                self.health.problem(item)
                self._log_problem(item.kind, item.message)
        if any(len(frame) for frame in frames):
            self._pause_s = 0.0
            self._deliver(frames, position)

    def _log_problem(self, kind: str, message: str) -> None:
        """To the log, each kind at most every some seconds: a babbling line must not fill the disk."""
        now_s = time.monotonic()
        if now_s - self._logged.get(kind, float("-inf")) >= _LOG_EVERY_S:
            self._logged[kind] = now_s
            _log.info("%s: %s: %s", self._name, kind, message)


def _told(frame: Frame) -> str:
    """A Frame's first sample in words, so that a technician sees at once whether it is right. Profiles by their
    length."""
    (row,) = rows([frame.take(slice(0, 1))])
    said = [str(row["time"])]
    for f in frame.schema.fields:
        value = row[f.name]
        said.append(
            f"{f.name} {'missing' if value is None else value if not f.profile else f'{len(value)} cells'} {f.unit}"
        )
    return ", ".join(said[:8]) + (f" and {len(said) - 8} more" if len(said) > 8 else "")
