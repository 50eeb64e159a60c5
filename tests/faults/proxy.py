"""A proxy in front of the broker that understands MQTT packets, and loses, repeats, swaps, delays and cuts them.

Theory of operation. An MQTT packet begins with a byte whose upper half is its type, and its length in 1 to 4 bytes of
7 bits each, low ones first (MQTT 5.0, 1.5.5 and 2.1). The proxy passes whole packets on in both directions, each one as
the faults in force say. It has an event loop in a thread of its own; what is random is seeded.
"""

import asyncio
import contextlib
import socket
import threading
from collections import Counter, deque
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

PUBLISH, PUBACK = 3, 4
_T = TypeVar("_T")
_START_S = 10.0
_HELD_S = 0.3


@dataclass
class Faults:
    """How often what happens to packets, from 0 to 1; `cut_after` publishes of the client the connection is cut."""

    lose_puback: float = 0.0
    lose_publish: float = 0.0
    repeat: float = 0.0
    replay: float = 0.0
    swap: float = 0.0
    delay: float = 0.0
    delay_s: float = 0.0
    cut_after: int = 0


class Proxy:
    """Listens on `port` (of `listener`, where one is given) for clients of the broker. A context manager."""

    def __init__(self, broker_port: int, seed: int = 0, listener: socket.socket | None = None) -> None:
        self.faults = Faults()
        self.counts: Counter[str] = Counter()
        """What was done, and bytes passed on: `up_bytes` towards the broker, `down_bytes` from it."""
        self._broker_port = broker_port
        self._random = Random(seed)
        self._socket = listener or socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._open = True
        self._links: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> "Proxy":
        self._thread.start()
        self._do(asyncio.start_server(self._serve, sock=self._socket))
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._cut_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_START_S)
        self._loop.close()
        self._socket.close()

    def _do(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_START_S)

    def shut(self) -> None:
        """Cuts all connections, and those that come are ended at once."""
        self._open = False
        self._do(self._cut_all())

    def open(self) -> None:
        """Lets clients in again."""
        self._open = True

    async def _cut_all(self) -> None:
        links = list(self._links)
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if not self._open:
            writer.transport.abort()
            return
        self._links.add(task)
        self.counts["connections"] += 1
        broker: asyncio.StreamWriter | None = None
        try:
            answers, broker = await asyncio.open_connection("127.0.0.1", self._broker_port)
            pumps = [
                asyncio.create_task(self._pump(reader, broker, "up")),
                asyncio.create_task(self._pump(answers, writer, "down")),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass  # no broker, or the rig cuts the connection; both ends learn it below
        finally:
            self._links.discard(task)
            for end in (writer, broker):
                if end is not None:
                    end.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, way: str) -> None:
        """Packets one way, until an end is gone or the connection is to be cut."""
        published = 0
        held: bytes | None = None
        old: deque[bytes] = deque(maxlen=32)
        packets = _packets(source)
        waiting: asyncio.Task[bytes] | None = None
        try:
            while True:
                waiting = waiting or asyncio.ensure_future(anext(packets))
                done, _ = await asyncio.wait({waiting}, timeout=_HELD_S if held else None)
                if not done:
                    assert held is not None
                    await self._pass(held, target, way)
                    held = None
                    continue
                packet, waiting = waiting.result(), None
                kind, chance, faults = packet[0] >> 4, self._random.random, self.faults
                if kind == PUBACK and chance() < faults.lose_puback:
                    self.counts["pubacks_lost"] += 1
                    continue
                if kind != PUBLISH:
                    await self._pass(packet, target, way)
                    continue
                published += 1
                self.counts[f"publishes_{way}"] += 1
                if chance() < faults.delay:
                    await asyncio.sleep(faults.delay_s * chance())
                if chance() < faults.lose_publish:
                    self.counts["publishes_lost"] += 1
                elif held is None and chance() < faults.swap:
                    held = packet
                    self.counts["swapped"] += 1
                else:
                    await self._pass(packet, target, way)
                    if held is not None:
                        await self._pass(held, target, way)
                        held = None
                    if chance() < faults.repeat:
                        self.counts["repeated"] += 1
                        await self._pass(packet, target, way)
                if old and chance() < faults.replay:
                    self.counts["replayed"] += 1
                    await self._pass(self._random.choice(old), target, way)
                old.append(packet)
                if way == "up" and faults.cut_after and published >= faults.cut_after:
                    self.counts["cut"] += 1
                    return
        except (OSError, StopAsyncIteration):
            return  # one of the ends has gone
        finally:
            if waiting is not None:
                waiting.cancel()
                with contextlib.suppress(asyncio.CancelledError, OSError, StopAsyncIteration):
                    await waiting

    async def _pass(self, packet: bytes, target: asyncio.StreamWriter, way: str) -> None:
        self.counts[f"{way}_bytes"] += len(packet)
        target.write(packet)
        await target.drain()


async def _packets(source: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Whole MQTT packets, until the stream ends."""
    while True:
        try:
            head = bytearray(await source.readexactly(2))
            while head[-1] & 0x80:
                head += await source.readexactly(1)
            size = sum((octet & 0x7F) << 7 * k for k, octet in enumerate(head[1:]))
            yield bytes(head) + await source.readexactly(size)
        except asyncio.IncompleteReadError:
            return
