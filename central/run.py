"""The hub put together: one process, one event loop, a thread for the process stage and one for each view.

    broker ──► ingest ──► journal ──► process ──► change log ──► followers ──► stores
               (loop)     (thread)    (thread)                   (thread each)

Everything in the hub's folder but `journal/` is a view of it, and is made again where it is missing.
"""

import asyncio
import contextlib
import hashlib
import importlib
import inspect
import logging
import os
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import uvicorn

from central.changes import ChangeLog
from central.config import HubConfig, InfluxDb
from central.followers import Follower, Standing
from central.ingest import Ingest, rebuild
from central.ledger import Ledger
from central.process import Processor, restored
from central.qc import engine as qc_engine
from central.qc import tests as qc_tests
from central.quarantine import Quarantine
from central.received import Intake
from central.store import Store
from central.store.duckdb import DuckDBStore
from central.store.influx import InfluxDB1Store, InfluxDB2Store

_log = logging.getLogger(__name__)

_INGEST_STOPS_S = 2.5
_PROCESS_STOPS_S = 0.8
_FOLLOWERS_STOP_S = 0.8


class Hub:
    """What a running hub is made of, for its page, its feed and its forecast core."""

    def __init__(self, config: HubConfig) -> None:
        self.config = config
        self.name = config.hub.name
        self.started_ns = time.time_ns()
        self.page_fails = False
        """Whether page and feed are not served though they should be; the hub works without them."""
        folder = config.hub.directory
        self._registry_file = folder / "registry.json"
        with contextlib.ExitStack() as opened:
            self.intake = Intake(folder / "journal")
            opened.callback(self.intake.close)
            self.changes = ChangeLog(folder / "changes")
            opened.callback(self.changes.close)
            self.quarantine = Quarantine(folder / "quarantine")
            opened.callback(self.quarantine.close)
            if self.changes.source > self.intake.last:
                raise RuntimeError(
                    f"{folder}: the change log has judged the journal through record {self.changes.source}, and the "
                    f"journal ends at {self.intake.last}: they are not of one hub. Put the journal back, or move "
                    "`changes` and the stores away to have them made again"
                )
            self.ledger = Ledger.load(folder / "ledger.json", newest=self.intake.last)
            rebuild(self.ledger, self.intake)
            self.registry = restored(self._registry_file, self.intake, self.changes)
            self.ingest = Ingest(
                self.name,
                config.broker,
                self.intake,
                self.ledger,
                self.registry,
                self.quarantine,
                folder / "ledger.json",
            )
            self.processor = Processor(
                folder / "processing",
                self.intake,
                self.registry,
                self._registry_file,
                self.changes,
                qc_engine.Engine(config.qc),
                self.quarantine,
                fingerprint=_fingerprint(config),
            )
            opened.callback(self.processor.close)
            self._followers: dict[str, Follower] = {}
            if config.duckdb.enabled:
                path = folder / "archive.duckdb"
                self._follow("archive", lambda: DuckDBStore(path))
            if config.influxdb is not None:
                influxdb = config.influxdb
                self._follow("influxdb", lambda: _influx_store(influxdb))
            self._opened = opened.pop_all()
        self._halt = threading.Event()
        self._process = threading.Thread(target=self.processor.run, args=(self._halt,), name="process", daemon=True)

    @property
    def archive(self) -> DuckDBStore | None:
        """The store that comes with the hub; None where it is not wanted, or cannot be opened."""
        follower = self._followers.get("archive")
        store = follower.store if follower else None
        return store if isinstance(store, DuckDBStore) else None

    @property
    def broker_since_ns(self) -> int | None:
        """Since when there is a connection to the broker; None while there is none."""
        return self.ingest.connected_ns

    @property
    def troubles(self) -> Sequence[str]:
        """What is wrong with the hub itself, each with its remedy; empty where all is well."""
        found = []
        if self.ingest.last_error:
            found.append(f"the broker cannot be reached: {self.ingest.last_error}; look at it and at [broker]")
        if self.ingest.disk_error:
            found.append(f"nothing is accepted: {self.ingest.disk_error}")
        if self.processor.last_error:
            found.append(f"what is received is kept, and not processed: {self.processor.last_error}")
        if self.page_fails:
            found.append("page and feed cannot be served; the hub's own log has the reason: please report it")
        if self.processor.unjudged:
            found.append(
                f"{self.processor.unjudged} samples were not evaluated because the QC engine failed; the log has the "
                "reason: please report it"
            )
        for first, last in self.intake.journal.lost():
            found.append(f"records {first} to {last} of the journal are damaged; look at the disk")
        for first, last in self.changes.lost():
            found.append(f"changes {first} to {last} are damaged; look at the disk, and have `changes` made again")
        return found

    @property
    def unjudged(self) -> int:
        """Records of the journal that are not in the change log yet."""
        return self.processor.lag

    @property
    def refused(self) -> int:
        """Messages let go because the disk was too slow for them; their gateways send them again."""
        return self.ingest.refused

    def repeated(self) -> Mapping[str, int]:
        """Samples by platform that came at a time that was taken already, or without one, since the start."""
        return dict(self.processor.repeated)

    def waiting(self) -> Mapping[tuple[str, str], int]:
        """Frames that no birth describes yet, by platform and instrument."""
        return self.processor.waiting.count()

    def followers(self) -> Sequence[Standing]:
        """How all views of the change log do."""
        return [follower.standing for follower in self._followers.values()]

    def start(self) -> None:
        """Begin to process and to follow; ingesting is `Ingest.run`."""
        self._process.start()
        for follower in self._followers.values():
            follower.start()

    def stop(self) -> None:
        """Process what is journaled and let the views catch up, as far as time allows; save, and close everything."""
        end_s = time.monotonic() + _PROCESS_STOPS_S
        while self._process.is_alive() and self.processor.lag and time.monotonic() < end_s:
            time.sleep(0.01)
        self._halt.set()
        self.intake.wake()
        if self._process.is_alive():
            self._process.join(max(end_s - time.monotonic(), 0.2))
        if self._process.is_alive():
            _log.warning("the process stage is still busy; what it has not entered yet is done at the next start")
            return
        stopping = [
            threading.Thread(target=follower.stop, kwargs={"within_s": _FOLLOWERS_STOP_S})
            for follower in self._followers.values()
        ]
        for thread in stopping:
            thread.start()
        try:
            self.processor.save()
        except OSError as error:
            _log.error("the snapshots cannot be written: %s; the next start takes longer", error)
        for thread in stopping:
            thread.join()
        if any(follower.alive for follower in self._followers.values()):
            _log.warning("a store is still busy; it gets its last changes again at the next start")
            return
        try:
            self._opened.close()
        except OSError as error:
            _log.error("the hub's folder could not be closed in order: %s", error)

    # --- inside ---

    def _follow(self, name: str, open_store: Any) -> None:
        self._followers[name] = Follower(name, open_store, self.changes, self.quarantine)


async def run(config: HubConfig, stop: asyncio.Event, listening: "asyncio.Future[str] | None" = None) -> None:
    """Run a hub until `stop` is set, and then at most about five seconds more. `listening` is told its HTTP address.

    Raises OSError where the HTTP port is taken or the folder cannot be used, and `JournalBusy` (an OSError) where
    another hub has it open.
    """
    listener = await asyncio.to_thread(_listener, config.http.host, config.http.port)
    try:
        hub = await asyncio.to_thread(Hub, config)
    except BaseException:
        listener.close()
        raise
    hub.start()
    ingesting = asyncio.create_task(hub.ingest.run(stop))
    stopped = asyncio.create_task(stop.wait())
    serving = asyncio.create_task(_serve(hub, listener, stop))
    host, port = listener.getsockname()[:2]
    if listening is not None:
        listening.set_result(f"http://{host}:{port}")
    try:
        await asyncio.wait([ingesting, stopped], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.set()
        _, late = await asyncio.wait([ingesting], timeout=_INGEST_STOPS_S)
        for task in late:
            task.cancel()
        await asyncio.to_thread(hub.stop)
        await asyncio.wait([serving], timeout=0.5)
        stopped.cancel()
        serving.cancel()
        listener.close()
    if not late:
        ingesting.result()


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: when to stop is the hub's to say."""

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]
        return contextlib.nullcontext()


async def _serve(hub: Hub, listener: socket.socket, stop: asyncio.Event) -> None:
    """Serve page and feed until `stop`. Where they fail the hub goes on without them, and says so: data come first."""
    try:
        api = await asyncio.to_thread(importlib.import_module, "central.api")  # seconds, in which data come in already
        settings = uvicorn.Config(
            api.create_app(hub), log_level="warning", timeout_graceful_shutdown=1, access_log=False
        )
        server = _Server(settings)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait([serving, stopped], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        server.should_exit = True
        await serving
    except Exception:
        _log.exception("page and feed fail")
    if not stop.is_set():
        hub.page_fails = True
        _log.error("page and feed are not served")


def _listener(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise OSError(
            error.errno, f"cannot listen on {host} port {port} ({reason}); end what uses it, or set another [http] port"
        ) from None


def _influx_store(settings: InfluxDb) -> Store:
    if settings.version == 1:
        return InfluxDB1Store(settings.url, settings.database or "", settings.username or "", settings.secret() or "")
    return InfluxDB2Store(settings.url, settings.org or "", settings.bucket or "", settings.secret() or "")


def _fingerprint(config: HubConfig) -> str:
    """Stands for all that the QC engine's histories depend on: its thresholds and its program."""
    parts = [repr(config.qc)] + [Path(inspect.getfile(module)).read_text() for module in (qc_engine, qc_tests)]
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
