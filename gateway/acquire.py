"""One instrument, from its port to Frames: reads, keeps the raw bytes, decodes, polls on schedule.

Every instrument has a task of its own, so a dead one never slows another. The schedule runs on the monotonic clock:
a poll that could not be made in time is left out and counted, never made up for in a burst. Frames and Problems go
to `deliver` in the order of the stream; the raw bytes are in the raw log before the driver sees them.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from drivers.driver import Decoded, Driver
from gateway.health import InstrumentHealth
from gateway.rawlog import Direction, RawLog, Utterance
from gateway.transports import Data, Gone, Transport
from tidegate.clock import Arrival
from tidegate.frame import Frame

_log = logging.getLogger(__name__)

_LOOK_S = 0.5
_QUIET_S = 0.3
_WIND_DOWN_S = 1.0


class Acquisition:
    """Drives one instrument until told to stop."""

    def __init__(
        self,
        driver: Driver,
        transport: Transport,
        raw: RawLog,
        health: InstrumentHealth,
        deliver: Callable[[Frame], None],
    ) -> None:
        self.driver = driver
        self.transport = transport
        self.health = health
        self._raw = raw
        self._deliver = deliver
        self._opened = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Reads until `stop`, then until the line is quiet for a moment, so that a record in flight is not cut."""
        interval_s = self.health.interval_s or 1.0
        due_s = time.monotonic()

        while not stop.is_set():
            wait_s = _LOOK_S
            if self._polled:
                wait_s = min(max(due_s - time.monotonic(), 0.0), _LOOK_S)
            await self._step(wait_s)
            now_s = time.monotonic()
            if self.transport.opened != self._opened:
                self._opened = self.transport.opened
                self.health.link = "starting"
                self.health.heard_s = now_s
                await self._say(self.driver.start())
            if self._polled and self._opened and now_s >= due_s:
                await self._say(self.driver.poll())
                due_s += interval_s
                if due_s <= now_s:
                    skipped = int((now_s - due_s) // interval_s) + 1
                    self.health.problems["poll_skipped"] += skipped
                    due_s += skipped * interval_s
        deadline_s = time.monotonic() + _WIND_DOWN_S
        while time.monotonic() < deadline_s:
            if not await self._step(_QUIET_S):
                break
        await self.transport.close()
        self._take(self.driver.finish())

    @property
    def _polled(self) -> bool:
        return bool(self.driver.poll())

    async def _step(self, wait_s: float) -> bool:
        """One read; whether bytes came."""
        heard = await self.transport.read(wait_s)
        if isinstance(heard, Data):
            self.health.hear()
            self._keep(Direction.HEARD, heard.at, heard.data)
            self._take(self.driver.feed(heard.data, heard.at))
            return True
        if isinstance(heard, Gone):
            self.health.lost(heard.reason)
            _log.warning("%s: %s", self.driver.instrument, heard.reason)
            self._take(self.driver.finish())
        else:
            self.health.quiet()
        return False

    async def _say(self, data: bytes) -> None:
        if data:
            self._keep(Direction.SAID, Arrival.now(), data)
            await self.transport.write(data)

    def _keep(self, direction: Direction, at: Arrival, data: bytes) -> None:
        try:
            self._raw.append(Utterance(self.driver.instrument, direction, at, data))
        except OSError as error:
            # The samples still go their way; that the raw bytes could not be kept is counted and shown.
            self.health.note("raw_log", str(error))

    def _take(self, decoded: list[Decoded]) -> None:
        for item in decoded:
            if isinstance(item, Frame):
                self.health.sample(item)
                self._deliver(item)
            else:
                self.health.problem(item)
                _log.info("%s: %s: %s", self.driver.instrument, item.kind, item.message)
