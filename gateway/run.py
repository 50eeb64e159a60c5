"""The running gateway: its instruments, raw log, spool and uplink, put together from one configuration.

It begins with what was heard before a crash and never sent (`gateway.recover`), before any port is opened. It stops in
the order of the data: instruments first (each until its line is quiet), then the last batch into the
spool, then the uplink until the hub has everything or `DRAIN_S` have passed. What then remains is safe in the spool
for the next start. All that while other programs of this computer can look and talk through the control socket
(`gateway.control`).
"""

import asyncio
import contextlib
import logging
import os
import shutil
import time
from collections.abc import Mapping
from importlib.metadata import version

from drivers import driver as drivers
from drivers.driver import Driver
from gateway.acquire import Acquisition
from gateway.config import GatewayConfig
from gateway.console import Consoles
from gateway.control import Control
from gateway.health import ClockStatus, DiskStatus, InstrumentHealth, LinkStatus, Status
from gateway.rawlog import Mark, Position, RawLog
from gateway.recover import recover
from gateway.spool import Spool
from gateway.transports import Transport, open_transport
from gateway.uplink import Uplink
from tidegate.clock import boot_id, clock_is_disciplined, kernel_clock
from tidegate.frame import Frame
from tidegate.journal import JournalBusy
from tidegate.messages import Birth, InstrumentBirth, State

_log = logging.getLogger(__name__)

BATCH_S = 1.0
"""How long a sample may wait in memory for its Envelope: the gateway's fsync window."""
DRAIN_S = 2.5
_NO_NEWS_S = 1.0
_RECOVER_VALUES = 1 << 20


class StartFailed(Exception):
    """The gateway cannot begin; the message says why and what to do."""


class Gateway:
    """One gateway. Where `transports` are given (a replay, say), only their instruments are read, through them; the
    others are only described."""

    def __init__(self, config: GatewayConfig, transports: Mapping[str, Transport] | None = None) -> None:
        self.config = config
        made = {name: self._new_driver(name) for name in config.instruments}
        directory = config.storage.directory
        try:
            self.raw = RawLog(directory / "raw", config.storage.raw_log)
            self.spool = Spool(config.platform.name, directory / "spool", config.storage.spool)
        except JournalBusy as error:
            raise StartFailed(f"a gateway is already running on {directory}: end that one first") from error
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise StartFailed(
                f"cannot keep data in [storage] directory {directory}: {where}{error.strerror or error}"
            ) from error
        self.uplink = Uplink(config.broker, self.spool, self.birth, self.state)
        self.instruments: dict[str, Acquisition] = {}
        self._read = config.instruments.keys() if transports is None else transports.keys()
        self._replays = transports is not None
        self._started_ns = time.time_ns()
        for name, driver in made.items():
            for schema in driver.schemas():
                self.spool.declare(name, schema)
            transport = (transports or {}).get(name) or open_transport(config.instruments[name].port)
            health = InstrumentHealth(config.instruments[name].interval_s)
            self.instruments[name] = Acquisition(driver, transport, self.raw, health, self._deliver)
        self.consoles = Consoles(self.instruments)

    def _new_driver(self, name: str) -> Driver:
        instrument = self.config.instruments[name]
        try:
            return drivers.load(instrument.driver)(name, instrument.settings)
        except Exception as error:  # a third party's constructor may fail in any way
            raise StartFailed(
                f"[instruments.{name}]: the driver {instrument.driver!r} cannot begin with these settings: "
                f"{type(error).__name__}: {error}"
            ) from error

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop`, or until a replay has come to its end and everything is delivered."""
        self._recover()
        async with contextlib.AsyncExitStack() as stack:
            if not self._replays:
                directory = self.config.storage.directory
                await stack.enter_async_context(Control(directory, self.instruments, self.consoles, self.status))
            await self._run(stop)

    async def _run(self, stop: asyncio.Event) -> None:
        uplink_stop, batch_stop = asyncio.Event(), asyncio.Event()
        uplink = asyncio.create_task(self.uplink.run(uplink_stop), name="uplink")
        batches = asyncio.create_task(self._close_batches(batch_stop), name="batches")
        acquisitions = [asyncio.create_task(a.run(stop), name=name) for name, a in self._reading()]
        failed = [uplink, batches]
        try:
            while any(not task.done() for task in acquisitions):
                await asyncio.wait([*acquisitions, *failed], return_when=asyncio.FIRST_COMPLETED, timeout=1.0)
                for task in [*acquisitions, *failed]:
                    if task.done():
                        task.result()  # a fault of ours ends the gateway loudly; the service manager starts it again
                acquisitions = [task for task in acquisitions if not task.done()]
        finally:
            stop.set()
            self.consoles.close("the gateway was stopped")
            await asyncio.gather(*acquisitions, return_exceptions=True)
            batch_stop.set()
            await asyncio.gather(batches, return_exceptions=True)
            await self._drain()
            uplink_stop.set()
            await asyncio.wait([uplink], timeout=1.0)
            uplink.cancel()
            self._all_accounted()
            for store in (self.raw, self.spool):
                try:
                    store.close()
                except OSError as error:
                    _log.error("%s", error)

    def _reading(self) -> list[tuple[str, Acquisition]]:
        return [(name, self.instruments[name]) for name in self._read]

    def _recover(self) -> None:
        """What the gateway heard before it was cut off, and had not accepted yet, goes into the spool first."""
        samples = 0
        fresh = {name: self._new_driver(name) for name in self.config.instruments}
        try:
            mark = self.raw.find_mark(self.spool.newest)
            if mark is not None:
                self.spool.resume(mark.position, mark.beyond)
            for frames, heard in recover(self.raw, mark, fresh):
                samples += sum(map(len, frames))
                self._deliver(frames, heard)
                if self.spool.waiting_values > _RECOVER_VALUES:
                    self.spool.close_batch(self._mark)
            self.spool.close_batch(self._mark)
        except OSError as error:
            _log.error("%s; what was heard before the last end stays in the raw log, for `tidegate replay`", error)
        self._all_accounted()
        if samples:
            _log.warning("%d samples from before the gateway was interrupted have been taken up", samples)

    def _mark(self, mark: Mark) -> None:
        try:
            self.raw.mark(mark)
        except OSError as error:
            # The samples matter more than what a crash within the next second may cost.
            _log.error("%s; were the gateway to crash now, up to a second of samples would stay in the raw log", error)

    def _all_accounted(self) -> None:
        """Nothing in the raw log up to here waits for an Envelope."""
        if not self.spool.waiting_values:
            self.spool.resume(self.raw.position)
            self._mark(Mark(self.spool.newest, self.raw.position, {}))

    async def _close_batches(self, stop: asyncio.Event) -> None:
        due_s = time.monotonic() + BATCH_S
        while True:
            stopping = stop.is_set()
            try:
                if await asyncio.to_thread(self.spool.close_batch, self._mark) is not None:
                    self.uplink.notify()
                await asyncio.to_thread(self.raw.journal.sync)
            except OSError as error:
                _log.error("%s; samples wait in memory", error)
            if stopping:
                return
            try:
                await asyncio.wait_for(stop.wait(), max(due_s - time.monotonic(), 0.0))
            except TimeoutError:
                due_s = max(due_s + BATCH_S, time.monotonic())

    async def _drain(self) -> None:
        """Waits until the hub has everything, as long as it goes on saying that it has more."""
        deadline_s = time.monotonic() + DRAIN_S
        left = self.spool.backlog()
        while left and (now_s := time.monotonic()) < deadline_s:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.uplink.drained(), min(_NO_NEWS_S, deadline_s - now_s))
            before, left = left, self.spool.backlog()
            if left == before:
                break
        if left:
            _log.warning("%d Envelopes stay in the spool until the next start", left)

    def _deliver(self, frames: list[Frame], heard: Position) -> None:
        for frame in frames:
            if self.spool.declare(frame.instrument, frame.schema):
                self.uplink.declare()
        self.spool.put(*frames, heard=heard)

    def birth(self) -> Birth:
        """The platform as of now."""
        platform = self.config.platform
        instruments = {}
        for name, acquisition in self.instruments.items():
            told = acquisition.guarded.description()
            instruments[name] = InstrumentBirth(
                driver=self.config.instruments[name].driver,
                manufacturer=str(told.get("manufacturer", "")),
                model=str(told.get("model", "")),
                serial=str(told.get("serial", "")),
                interval_s=self.config.instruments[name].interval_s,
                schemas=[schema.as_dict() for schema in self.spool.schemas.get(name, {}).values()],
                calibration=told.get("calibration", {}),
            )
        for name, schemas in self.spool.schemas.items():
            # An instrument that is no longer configured may still have samples in the spool.
            if name not in instruments:
                instruments[name] = InstrumentBirth(driver="", schemas=[s.as_dict() for s in schemas.values()])
        return Birth(
            platform=platform.name,
            title=platform.title,
            epoch=self.spool.epoch,
            first_seq=self.spool.journal.first,
            next_seq=self.spool.journal.durable + 1,
            boot=boot_id(),
            software=f"tidegate {version('tidegate')}",
            latitude=platform.latitude,
            longitude=platform.longitude,
            moving=platform.moving,
            clock_disciplined=clock_is_disciplined(),
            instruments=instruments,
        )

    def status(self) -> Status:
        """How everything does, for whoever looks at the control socket."""
        storage, uplink = self.config.storage, self.uplink
        try:
            free_bytes = shutil.disk_usage(storage.directory).free
        except OSError:
            free_bytes = None
        live, backfill = uplink.waiting()
        clock = kernel_clock()
        return Status(
            platform=self.config.platform.name,
            title=self.config.platform.title,
            software=f"tidegate {version('tidegate')}",
            pid=os.getpid(),
            started_ns=self._started_ns,
            at_ns=time.time_ns(),
            link=LinkStatus(
                broker=f"{self.config.broker.host}:{self.config.broker.port}",
                connected=uplink.connected,
                since_ns=uplink.changed_ns,
                error=uplink.last_error,
                live=live,
                backfill=backfill,
                sent=uplink.sent,
                sent_bytes=uplink.sent_bytes,
                resent=uplink.resent,
            ),
            clock=ClockStatus(disciplined=clock.disciplined, error_s=clock.error_s),
            disk=DiskStatus(
                directory=str(storage.directory),
                raw_bytes=self.raw.journal.bytes,
                raw_limit=storage.raw_log,
                spool_bytes=self.spool.journal.bytes,
                spool_limit=storage.spool,
                free_bytes=free_bytes,
            ),
            instruments={
                name: a.health.status(
                    self.config.instruments[name].driver,
                    a.transport.name,
                    a.transport.reason,
                    self.consoles.holder(name),
                )
                for name, a in self.instruments.items()
            },
        )

    def state(self) -> State:
        """How the platform does now."""
        return State(
            online=True,
            at_ns=time.time_ns(),
            epoch=self.spool.epoch,
            backlog=self.spool.backlog(),
            spool_bytes=self.spool.journal.bytes,
            clock_disciplined=clock_is_disciplined(),
            instruments={name: a.health.state() for name, a in self.instruments.items()},
        )
