"""Ingest: takes what platforms publish, has it on disk, and says so.

Theory of operation. Messages gather in an inbox while the batch before them is being written, and then go to the disk
together: one write, one fsync, then the acks. So one platform sees its ack within one fsync, and thousands share it.
The broker is a pipe: that MQTT has acknowledged a message means nothing here. What is lost before our own ack, because
the hub stopped, the disk refused or the inbox was full, the gateway sends again.

An Envelope is opened far enough to know that it is whole, whose it is and that it is new. What is damaged goes to the
quarantine; what is doubled is counted and acknowledged again, because its ack may have been lost. Decoding and judging
is for the process stage.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from pydantic import ValidationError

from central.ledger import MOST_WANTED, Ledger
from central.quarantine import Case, Quarantine, Reason
from central.received import Intake, Kind, Received
from central.registry import Registry
from tidegate import topics
from tidegate.broker import Broker
from tidegate.codec import CodecError
from tidegate.envelope import decode_envelope, epoch_of
from tidegate.messages import Birth, State

_log = logging.getLogger(__name__)

INBOX_BYTES = 64 << 20
"""Most bytes that wait for the disk; what comes beyond is let go, and the gateway sends it again."""
_BATCH_BYTES = 8 << 20
_SESSION_S = 24 * 3600
_BACK_OFF_S = (0.2, 15.0)
_TICK_S = 1.0
_SNAPSHOT_S = 30.0
_STATE_FRESH_NS = 30_000_000_000
_ACKS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Message:
    """One MQTT message, and when it arrived."""

    topic: str
    data: bytes
    received_ns: int


class Inbox:
    """Messages on their way from the connection to the disk, bounded by bytes."""

    def __init__(self, most_bytes: int = INBOX_BYTES) -> None:
        self.refused = 0
        """Messages let go because the inbox was full."""
        self._messages: deque[Message] = deque()
        self._bytes = 0
        self._most_bytes = most_bytes
        self._news = asyncio.Event()

    def put(self, message: Message) -> None:
        """Take a message, or count it as refused."""
        if self._bytes + len(message.data) > self._most_bytes:
            if not self.refused:
                _log.error("the inbox is full: the disk is too slow; gateways will send again what is let go now")
            self.refused += 1
            return
        self._bytes += len(message.data)
        self._messages.append(message)
        self._news.set()

    def take(self) -> list[Message]:
        """What waits, up to one batch."""
        batch: list[Message] = []
        size = 0
        while self._messages and size < _BATCH_BYTES:
            message = self._messages.popleft()
            size += len(message.data)
            batch.append(message)
        self._bytes -= size
        if not self._messages:
            self._news.clear()
        return batch

    async def wait(self) -> None:
        """Return when there is something."""
        await self._news.wait()

    def __bool__(self) -> bool:
        return bool(self._messages)

    def queue(self) -> type[asyncio.Queue[aiomqtt.Message]]:
        """A queue for aiomqtt that passes every message straight on: its own way costs two tasks a message."""
        put = self.put

        class Queue(asyncio.Queue[aiomqtt.Message]):
            def put_nowait(self, item: aiomqtt.Message) -> None:
                data = item.payload
                put(Message(item.topic.value, data if isinstance(data, bytes) else b"", time.time_ns()))

        return Queue


class Ingest:
    """Keeps a connection to the broker for ever, and the ledger. All but the disk's work runs in the event loop."""

    def __init__(
        self,
        name: str,
        broker: Broker,
        intake: Intake,
        ledger: Ledger,
        registry: Registry,
        quarantine: Quarantine,
        snapshot: Path,
    ) -> None:
        self._name, self._broker = name, broker
        self._intake, self._ledger, self._registry, self._quarantine = intake, ledger, registry, quarantine
        self._snapshot = snapshot
        self._inbox = Inbox()
        self._disk = ThreadPoolExecutor(1, "hub-journal")
        self._births: dict[str, bytes] = {}
        self._due: dict[tuple[str, str], bool] = {}  # (platform, epoch): whether a birth asks for it
        self._ack_news = asyncio.Event()
        self._committing = False
        self.connected_ns: int | None = None
        """Since when there is a connection to the broker; None while there is none."""
        self.last_error = ""
        """Why the broker could not be reached last."""
        self.disk_error = ""
        """Why nothing is accepted at the moment; empty where all is well."""
        self.messages = 0
        self.ignored = 0
        """Messages under topics that are none of ours."""

    @property
    def refused(self) -> int:
        """Messages let go because the disk was too slow for them."""
        return self._inbox.refused

    async def run(self, stop: asyncio.Event) -> None:
        """Ingest until `stop`, then commit what has come, acknowledge it and return."""
        committing = asyncio.create_task(self._commit_for_ever())
        ticking = asyncio.create_task(self._tick_for_ever())
        try:
            back_off_s = _BACK_OFF_S[0]
            while not stop.is_set():
                started_s = time.monotonic()
                try:
                    await self._connection(stop)
                except (aiomqtt.MqttError, OSError, ValueError) as error:
                    if str(error) != self.last_error:
                        _log.warning("broker %s:%d: %s", self._broker.host, self._broker.port, error)
                    self.last_error = str(error) or type(error).__name__
                finally:
                    self.connected_ns = None
                if time.monotonic() - started_s > _BACK_OFF_S[1]:
                    back_off_s = _BACK_OFF_S[0]
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), back_off_s * random.uniform(0.7, 1.3))
                back_off_s = min(back_off_s * 2, _BACK_OFF_S[1])
        finally:
            for task in (ticking, committing):
                task.cancel()
            await asyncio.gather(ticking, committing, return_exceptions=True)
            self._disk.shutdown(wait=True)
            try:
                self._ledger.save(self._snapshot)
            except OSError as error:
                _log.error("%s cannot be written: %s; the next start reads the journal again", self._snapshot, error)

    async def _connection(self, stop: asyncio.Event) -> None:
        broker = self._broker
        expiry = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        expiry.SessionExpiryInterval = _SESSION_S
        async with aiomqtt.Client(
            broker.host,
            broker.port,
            identifier=f"tidegate-hub-{self._name}",
            username=broker.username,
            password=broker.secret(),
            protocol=aiomqtt.ProtocolVersion.V5,
            clean_start=False,
            properties=expiry,
            keepalive=20,
            tls_context=broker.tls_context(),
            queue_type=self._inbox.queue(),
        ) as client:
            client.pending_calls_threshold = 1 << 16
            await client.subscribe(
                [(topics.of_all_platforms(what), 1) for what in ("birth", "state", "live", "backfill")]
            )
            self.connected_ns, self.last_error = time.time_ns(), ""
            if self._due:
                self._ack_news.set()
            _log.info("listening to the broker %s:%d", broker.host, broker.port)
            tasks = [
                asyncio.create_task(self._until_lost(client)),
                asyncio.create_task(self._acknowledge(client)),
                asyncio.create_task(stop.wait()),
            ]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                if stop.is_set():
                    await self._last_words(client)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _until_lost(self, client: aiomqtt.Client) -> None:
        async for _ in client.messages:  # they go to the inbox; this only learns that the connection is lost
            pass

    async def _last_words(self, client: aiomqtt.Client) -> None:
        """Before a stop: what has come is committed and acknowledged, as far as that goes within two seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                while self._inbox or self._committing or self._due:  # noqa: ASYNC110 - two seconds of a hub's life
                    await asyncio.sleep(0.01)

    # --- from the inbox to the disk ---

    async def _commit_for_ever(self) -> None:
        while True:
            await self._inbox.wait()
            self._committing = True
            try:
                await self._commit(self._inbox.take())
            except Exception:
                _log.exception("a batch of messages was let go; gateways send it again")
            finally:
                self._committing = False

    async def _commit(self, batch: list[Message]) -> None:
        self.messages += len(batch)
        new: list[Received] = []
        then: list[Callable[[], None]] = []
        seen: set[tuple[str, str, int]] = set()
        cases: list[Case] = []
        for message in batch:
            place = topics.split(message.topic)
            if place is None:
                self.ignored += 1
                continue
            platform, what = place
            if what in ("live", "backfill"):
                self._envelope(platform, message, seen, new, then, cases)
            elif what == "birth":
                self._birth(platform, message, new, then, cases)
            elif what == "state":
                self._state(platform, message, cases)
            else:
                self.ignored += 1
        if cases:
            self._quarantine.add(cases)
        if new:
            await self._to_disk(new)
        for note in then:
            note()
        if new:
            self._ledger.number = self._intake.last
        if self._due:
            self._ack_news.set()

    def _envelope(
        self,
        platform: str,
        message: Message,
        seen: set[tuple[str, str, int]],
        new: list[Received],
        then: list[Callable[[], None]],
        cases: list[Case],
    ) -> None:
        book = self._ledger.book(platform)
        try:
            envelope = decode_envelope(message.data, platform)
        except CodecError as error:
            owner = self._owner(message.data)
            if owner is not None:
                book.counters.misplaced += 1
                cases.append(_case(Reason.MISPLACED, platform, message, f"it is one of {owner!r}"))
                return
            book.counters.corrupt += 1
            if book.epoch:
                book.account(book.epoch).corrupt()
            cases.append(_case(Reason.CORRUPT, platform, message, str(error)))
            return
        epoch, seq = envelope.epoch, envelope.seq
        key = platform, epoch, seq
        account = book.account(epoch)
        if seq in account.had or key in seen:
            book.counters.duplicates += 1
            then.append(lambda: self._ack_due(platform, epoch))
            return
        seen.add(key)
        new.append(Received(Kind.ENVELOPE, message.topic, message.received_ns, message.data))

        def note() -> None:
            account.take(envelope, time.monotonic())
            book.epoch = book.epoch or epoch
            self._ack_due(platform, epoch)

        then.append(note)

    def _owner(self, data: bytes) -> str | None:
        """Whose an Envelope is that is not of its topic's platform: of one that has its epoch; None where it is no
        known platform's, and so rather damaged."""
        epoch = epoch_of(data)
        for name, book in self._ledger.books.items():
            if epoch in book.accounts:
                with contextlib.suppress(CodecError):
                    return decode_envelope(data, name).platform
        return None

    def _birth(
        self,
        platform: str,
        message: Message,
        new: list[Received],
        then: list[Callable[[], None]],
        cases: list[Case],
    ) -> None:
        if not message.data:  # a retained birth was taken back
            return
        book = self._ledger.book(platform)
        try:
            birth = read_birth(platform, message.data)
        except ValueError as error:
            book.counters.refused_births += 1
            cases.append(_case(Reason.BIRTH, platform, message, str(error)))
            return
        book.counters.births += 1
        if self._births.get(platform) != message.data:
            new.append(Received(Kind.BIRTH, message.topic, message.received_ns, message.data))

        def note() -> None:
            self._births[platform] = message.data
            book.epoch = birth.epoch
            book.account(birth.epoch).birth(birth.first_seq, birth.next_seq)
            self._ack_due(platform, birth.epoch, born=True)

        then.append(note)

    def _state(self, platform: str, message: Message, cases: list[Case]) -> None:
        if not message.data:
            return
        try:
            state = State.model_validate_json(message.data)
        except ValidationError as error:
            cases.append(_case(Reason.STATE, platform, message, _told(error)))
            return
        self._registry.state(platform, state, message.received_ns)

    async def _to_disk(self, new: list[Received]) -> None:
        """Return when it is on disk. While the disk refuses, nothing is acknowledged, and it is tried again."""
        await self._persist(lambda: self._intake.append(new))
        await self._persist(self._intake.sync)

    async def _persist(self, work: Callable[[], Any]) -> None:
        loop = asyncio.get_running_loop()
        wait_s = 0.1
        while True:
            try:
                await loop.run_in_executor(self._disk, work)
            except OSError as error:
                if str(error) != self.disk_error:
                    _log.error("nothing is accepted: %s", error)
                self.disk_error = str(error)
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, 5.0)
                continue
            if self.disk_error:
                _log.warning("the disk accepts again")
                self.disk_error = ""
            return

    # --- to the gateways ---

    def _ack_due(self, platform: str, epoch: str, *, born: bool = False) -> None:
        key = platform, epoch
        self._due[key] = born or self._due.get(key, False)

    async def _acknowledge(self, client: aiomqtt.Client) -> None:
        while True:
            await self._ack_news.wait()
            self._ack_news.clear()
            now_s = time.monotonic()
            due = list(self._due.items())
            for at in range(0, len(due), _ACKS_AT_ONCE):
                sending: list[Coroutine[Any, Any, None]] = []
                part = due[at : at + _ACKS_AT_ONCE]
                for (platform, epoch), born in part:
                    ack = self._ledger.ack(platform, epoch, now_s, idle=self._is_idle(platform, epoch), born=born)
                    sending.append(client.publish(topics.topic(platform, "ack"), ack.model_dump_json(), qos=1))
                    del self._due[platform, epoch]
                try:
                    await asyncio.gather(*sending)
                except BaseException:
                    for key, born in part:  # the next connection says it
                        self._due.setdefault(key, born)
                    raise

    def _is_idle(self, platform: str, epoch: str) -> bool:
        """Whether the platform is online and says that it has nothing to send but what we miss."""
        known = self._registry.platform(platform)
        if known is None or known.state is None or known.state_ns is None:
            return False
        state = known.state
        return (
            state.online
            and state.epoch == epoch
            and time.time_ns() - known.state_ns < _STATE_FRESH_NS
            and state.backlog <= self._ledger.book(platform).account(epoch).missing_count + MOST_WANTED
        )

    async def _tick_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        saved_s, saved_at = time.monotonic(), -1
        while True:
            await asyncio.sleep(_TICK_S)
            for platform, book in list(self._ledger.books.items()):
                known = self._registry.platform(platform)
                online = known is not None and known.state is not None and known.state.online
                if online and book.epoch and book.account(book.epoch).is_due(time.monotonic()):
                    self._ack_due(platform, book.epoch)
            if self._due:
                self._ack_news.set()
            try:
                await loop.run_in_executor(self._disk, self._quarantine.sync)
                if time.monotonic() - saved_s >= _SNAPSHOT_S and self._ledger.number != saved_at:
                    saved_s, saved_at = time.monotonic(), self._ledger.number
                    await loop.run_in_executor(self._disk, Ledger.write, self._snapshot, self._ledger.snapshot())
            except OSError as error:
                _log.error("%s", error)


def read_birth(platform: str, data: bytes) -> Birth:
    """The birth in a message of `platform`. Raises ValueError that says what is wrong with it."""
    try:
        birth = Birth.model_validate_json(data)
    except ValidationError as error:
        raise ValueError(_told(error)) from None
    if birth.platform != platform:
        raise ValueError(f"it says to be of {birth.platform!r}")
    if not 1 <= birth.first_seq <= birth.next_seq < 1 << 63:
        raise ValueError(f"its spool holds {birth.first_seq} to {birth.next_seq - 1}, which cannot be")
    try:
        if len(bytes.fromhex(birth.epoch)) != 8:
            raise ValueError
    except ValueError:
        raise ValueError(f"{birth.epoch!r} is no epoch: it is 16 hexadecimal digits") from None
    for name, instrument in birth.instruments.items():
        try:
            instrument.by_id()
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"a schema of {name} is not valid: {type(error).__name__}: {error}") from None
    return birth


def rebuild(ledger: Ledger, intake: Intake) -> None:
    """Bring the ledger up to the end of the journal."""
    for number, payload in intake.read(ledger.number):
        ledger.number = number
        try:
            received = Received.unpacked(payload)
            place = topics.split(received.topic)
            if place is None:
                raise ValueError(f"{received.topic!r} is no topic of ours")
            book = ledger.book(place[0])
            if received.kind is Kind.BIRTH:
                birth = read_birth(place[0], received.data)
                book.epoch = birth.epoch
                book.account(birth.epoch).birth(birth.first_seq, birth.next_seq)
            else:
                envelope = decode_envelope(received.data, place[0])
                book.account(envelope.epoch).take(envelope)
                book.epoch = book.epoch or envelope.epoch
        except ValueError as error:
            _log.error("journal %s: record %d: %s", intake.journal.directory, number, error)


def _case(reason: Reason, platform: str, message: Message, detail: str) -> Case:
    return Case(reason, platform, "", message.received_ns, detail, (0, 0), message.data)


def _told(error: ValidationError) -> str:
    """pydantic's findings in one line."""
    first, *more = error.errors(include_url=False)
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" + (f" (and {len(more)} more)" if more else "")
