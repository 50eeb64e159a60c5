"""The uplink: brings the spool's Envelopes to the hub over MQTT, and hears from the hub what it has on disk.

Theory of operation. MQTT is a pipe: nothing here trusts the broker to keep anything. An Envelope is *in flight* from
its publication until the hub's ack names its seq. It is sent again, and the hub drops the double, where `RESEND_S`
have passed without one, or where the hub has one that was sent `OVERTAKEN_S` later (this one was published while the
hub was away, say). At most `WINDOW` Envelopes are in flight. What was made since the link came up
goes first, on the `live` topic, so fresh data never queue behind a backlog; what is older fills the rest of the
window, oldest first, on `backfill`. What the hub's ack asks for again leaves at once.

The birth is published (retained) before the first Envelope of a connection, and again before the first one that holds a
schema it did not name.

Where the broker allows it (MQTT 5, Topic Alias Maximum), the first Envelope of a connection on each lane gives its
topic a number, and those that follow on this connection name only the number.
"""

import asyncio
import json
import logging
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any

import aiomqtt
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from pydantic import ValidationError

from gateway.spool import Spool
from tidegate.broker import Broker
from tidegate.messages import Ack, Birth, State
from tidegate.topics import topic

_log = logging.getLogger(__name__)

WINDOW = 64
RESEND_S = 15.0
OVERTAKEN_S = 1.0
STATE_EVERY_S = 5.0
_BACK_OFF_S = (0.5, 30.0)
_CROSSED_S = 2.0
_ALIASES = {"live": 1, "backfill": 2}


class LaneClient(aiomqtt.Client):
    """A client of one connection that gives topics short names as far as the broker allows.

    It is made anew for every connection, as aliases are. paho sends in the order in which `publish` is called, so
    whoever follows a message that sets an alias may use it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._most_aliases = 0
        self._known: set[str] = set()

    def _on_connect(
        self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Properties | None = None
    ) -> None:
        # aiomqtt keeps nothing of the broker's answer. Should a later version not come by here, no alias is used.
        self._most_aliases = getattr(properties, "TopicAliasMaximum", 0)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    async def publish_on(self, platform: str, lane: str, data: bytes) -> None:
        """Publish an Envelope; return when the broker has it."""
        name, properties = topic(platform, lane), None
        if _ALIASES[lane] <= self._most_aliases:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.TopicAlias = _ALIASES[lane]
            if lane in self._known:
                name = ""
            self._known.add(lane)
        await self.publish(name, data, qos=1, properties=properties)


class Uplink:
    """Sends until told to stop. `birth` and `state` make those messages as of now."""

    def __init__(self, broker: Broker, spool: Spool, birth: Callable[[], Birth], state: Callable[[], State]) -> None:
        self._broker = broker
        self._spool = spool
        self._birth = birth
        self._state = state
        self._address = broker.host, broker.port
        self._platform = spool.platform
        self._in_flight: dict[int, float] = {}  # seq: when it was sent, monotonic seconds
        self._wanted: list[int] = []
        self._live_from = 1
        self._next_live = 1
        self._next_backfill = 1
        self._news = asyncio.Event()
        self._acked = asyncio.Event()
        self._birth_due = True
        self.connected = False
        self.changed_ns = time.time_ns()
        """Since when it is connected, or is not."""
        self.last_error = ""
        self.sent = 0
        self.sent_bytes = 0
        self.resent = 0

    def notify(self) -> None:
        """There is something new in the spool."""
        self._news.set()

    async def drained(self) -> None:
        """Returns when the hub has all that the spool holds, or at once where there is no link to wait for."""
        while self.connected and self._spool.backlog():
            self._acked.clear()
            await self._acked.wait()

    def declare(self) -> None:
        """The birth has changed: it goes out before the next Envelope."""
        self._birth_due = True

    async def run(self, stop: asyncio.Event) -> None:
        """Keeps a connection for ever and sends over it; on `stop` says good-bye and returns."""
        back_off_s = _BACK_OFF_S[0]
        while not stop.is_set():
            try:
                async with self._client() as client:
                    back_off_s = _BACK_OFF_S[0]
                    await self._talk(client, stop)
                    await self._publish_state(client, online=False)
            except (aiomqtt.MqttError, OSError) as error:
                if str(error) != self.last_error:
                    _log.warning("no link to the broker %s:%d: %s; %s", *self._address, error, _remedy(error))
                self.last_error = str(error)
            finally:
                self._now_connected(False)
            if not stop.is_set():
                await _either(stop.wait(), asyncio.sleep(back_off_s * random.uniform(0.7, 1.3)))
                back_off_s = min(back_off_s * 2, _BACK_OFF_S[1])

    def _now_connected(self, connected: bool) -> None:
        if connected is not self.connected:
            self.connected, self.changed_ns = connected, time.time_ns()

    def waiting(self) -> tuple[int, int]:
        """Envelopes that the hub has not acknowledged: (made since the link came up, older ones)."""
        live = min(self._spool.backlog(self._live_from), total := self._spool.backlog())
        return (live, total - live) if self.connected else (0, total)

    def _client(self) -> LaneClient:
        b = self._broker
        offline = State(online=False, epoch=self._spool.epoch)
        return LaneClient(
            b.host,
            b.port,
            identifier=f"tidegate-{self._platform}",
            username=b.username,
            password=b.secret(),
            protocol=aiomqtt.ProtocolVersion.V5,
            clean_start=MQTT_CLEAN_START_FIRST_ONLY,
            keepalive=20,
            will=aiomqtt.Will(topic(self._platform, "state"), offline.model_dump_json(), qos=1, retain=True),
            tls_context=b.tls_context(),
            max_inflight_messages=WINDOW,
            max_queued_outgoing_messages=2 * WINDOW,
        )

    async def _talk(self, client: LaneClient, stop: asyncio.Event) -> None:
        self._in_flight.clear()
        self._live_from = self._next_live = self._spool.journal.durable + 1
        self._next_backfill = 1
        self._birth_due = True
        await client.subscribe(topic(self._platform, "ack"), qos=1)
        client.pending_calls_threshold = 2 * WINDOW
        self._now_connected(True)
        self.last_error = ""
        _log.info("linked to the broker %s:%d; %d Envelopes wait", *self._address, self._spool.backlog())
        hearing = asyncio.create_task(self._hear(client))
        try:
            state_due_s = 0.0
            while not stop.is_set():
                if hearing.done():
                    hearing.result()
                if self._birth_due:
                    self._birth_due = False
                    await client.publish(
                        topic(self._platform, "birth"), self._birth().model_dump_json(), qos=1, retain=True
                    )
                if time.monotonic() >= state_due_s:
                    state_due_s = time.monotonic() + STATE_EVERY_S
                    await self._publish_state(client, online=True)
                self._news.clear()
                if not await self._send_some(client):
                    await _either(self._news.wait(), stop.wait(), asyncio.sleep(min(1.0, STATE_EVERY_S)))
        finally:
            hearing.cancel()

    async def _send_some(self, client: LaneClient) -> bool:
        """Sends what the window has room for; whether there was anything."""
        self._expire()
        batch: list[tuple[int, bytes, str]] = []
        room = WINDOW - len(self._in_flight)
        while self._wanted and len(batch) < room:
            seq = self._wanted.pop(0)
            data = self._spool.get(seq)
            if data is not None and seq not in self._spool.acked:
                batch.append((seq, data, "backfill"))
                self.resent += 1
        for lane, after, before in (
            ("live", self._next_live - 1, None),
            ("backfill", self._next_backfill - 1, self._live_from),
        ):
            if len(batch) >= room:
                break
            for seq, data in self._spool.pending(after):
                if (before is not None and seq >= before) or len(batch) >= room:
                    break
                if seq not in self._in_flight:
                    batch.append((seq, data, lane))
                if lane == "live":
                    self._next_live = seq + 1
                else:
                    self._next_backfill = seq + 1
        if not batch:
            return False
        now_s = time.monotonic()
        for seq, _, _ in batch:
            self._in_flight[seq] = now_s
        await asyncio.gather(*(client.publish_on(self._platform, lane, data) for _, data, lane in batch))
        self.sent += len(batch)
        self.sent_bytes += sum(len(data) for _, data, _ in batch)
        return True

    def _expire(self) -> None:
        """Envelopes that the hub has not acknowledged in time go again."""
        self._resend(time.monotonic() - RESEND_S)

    def _resend(self, before_s: float) -> None:
        late = sorted(seq for seq, sent_s in self._in_flight.items() if sent_s < before_s)
        for seq in late:
            del self._in_flight[seq]
        self._want(late)

    def _want(self, seqs: list[int]) -> None:
        waiting = set(self._wanted)
        self._wanted += [seq for seq in seqs if seq not in waiting]

    async def _hear(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            try:
                ack = Ack.model_validate_json(message.payload if isinstance(message.payload, bytes) else b"")
            except ValidationError as error:
                _log.warning("an ack that is none: %s", json.dumps(error.errors(include_url=False), default=str)[:300])
                continue
            if ack.epoch == self._spool.epoch:
                self._acknowledge(ack)

    def _acknowledge(self, ack: Ack) -> None:
        self._spool.acknowledge(ack.through, ack.ranges)
        arrived_s = [self._in_flight.pop(seq) for seq in list(self._in_flight) if seq in self._spool.acked]
        if arrived_s:
            self._resend(max(arrived_s) - OVERTAKEN_S)
        wanted: list[int] = []
        for first, last in ack.wanted:
            for seq in range(max(first, self._spool.journal.first), min(last, self._spool.journal.durable) + 1):
                if len(wanted) >= WINDOW:
                    break
                # What was never sent goes in its turn, and what left a moment ago may have crossed with this ack.
                sent_s = self._in_flight.get(seq, 0.0)
                if seq < max(self._next_live, self._next_backfill) and time.monotonic() - sent_s > _CROSSED_S:
                    self._in_flight.pop(seq, None)
                    wanted.append(seq)
        self._want(wanted)
        self._acked.set()
        self.notify()

    async def _publish_state(self, client: aiomqtt.Client, *, online: bool) -> None:
        state = self._state().model_copy(update={"online": online})
        await client.publish(topic(self._platform, "state"), state.model_dump_json(), qos=1, retain=True)


_REMEDIES = {
    "not authorized": "look at username and password_file in [broker], and at the broker's rights for this platform",
    "bad user name": "look at username and password_file in [broker]",
    "refused": "is the broker running, and are host and port in [broker] right?",
    "name or service": "is host in [broker] spelt right, and does this computer have a name server?",
    "certificate": "look at ca in [broker] tls, and at the broker's certificate and this computer's clock",
    "ssl": "does this port of the broker speak TLS?",
    "receive on socket": "does this port of the broker speak TLS? Then add tls to [broker]",
}


def _remedy(error: Exception) -> str:
    """What to look at, for the person who reads the log at night."""
    text = str(error).lower()
    return next((remedy for sign, remedy in _REMEDIES.items() if sign in text), "is the broker reachable?") + (
        " The data wait in the spool; it is tried again for ever."
    )


async def _either(*awaitables: Coroutine[Any, Any, Any]) -> None:
    """Returns when the first of them is done, and ends the others."""
    tasks = [asyncio.create_task(a) for a in awaitables]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
