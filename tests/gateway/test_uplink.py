"""The uplink against a real broker: what the hub has not acknowledged goes again, live data first, the birth before
all."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiomqtt
import pytest

from gateway.spool import Spool
from gateway.uplink import Uplink
from tests.gateway.samples import LEVEL, level
from tests.servers import Mosquitto, mosquitto
from tidegate.broker import Broker
from tidegate.clock import boot_id
from tidegate.envelope import decode_envelope
from tidegate.messages import Ack, Birth, InstrumentBirth, State


class Hub:
    """The hub's end of the topics: notes all that comes and acknowledges what it is told to."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client
        self.heard: list[tuple[str, bytes]] = []
        self._task = asyncio.create_task(self._hear())

    async def _hear(self) -> None:
        async for message in self.client.messages:
            assert isinstance(message.payload, bytes)
            self.heard.append((str(message.topic).rsplit("/", 1)[1], message.payload))

    def seqs(self, lane: str) -> list[int]:
        return [decode_envelope(data, "tioman-1").seq for what, data in self.heard if what == lane]

    async def wait_for(self, condition: Callable[[], bool], timeout_s: float = 8.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not condition():  # noqa: ASYNC110 - what is waited for happens in a broker
                await asyncio.sleep(0.01)

    async def ack(self, epoch: str, through: int, **more: list[tuple[int, int]]) -> None:
        text = Ack(epoch=epoch, through=through, **more).model_dump_json()
        await self.client.publish("tidegate/1/tioman-1/ack", text, qos=1)

    def close(self) -> None:
        self._task.cancel()


@asynccontextmanager
async def hub(broker: Mosquitto) -> AsyncIterator[Hub]:
    async with aiomqtt.Client(broker.host, broker.port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        await client.subscribe("tidegate/1/+/+", qos=1)
        hub = Hub(client)
        try:
            yield hub
        finally:
            hub.close()


@asynccontextmanager
async def uplink(broker: Mosquitto | Broker, spool: Spool) -> AsyncIterator[Uplink]:
    def birth() -> Birth:
        schemas = {name: [s.as_dict() for s in known.values()] for name, known in spool.schemas.items()}
        instruments = {name: InstrumentBirth(driver="modbus", schemas=s) for name, s in schemas.items()}
        return Birth(platform="tioman-1", epoch=spool.epoch, boot=boot_id(), instruments=instruments)

    up = Uplink(Broker(host=broker.host, port=broker.port), spool, birth, lambda: State(online=True))
    stop = asyncio.Event()
    task = asyncio.create_task(up.run(stop))
    try:
        yield up
    finally:
        stop.set()
        await asyncio.wait_for(task, 5)


def fill(spool: Spool, start: int, count: int) -> None:
    spool.declare("radar", LEVEL)
    for k in range(start, start + count):
        spool.put(level(k))
        spool.close_batch()


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool("tioman-1", tmp_path / "spool", 100_000_000)


async def test_backlog_and_live_data_arrive_and_are_forgotten_after_the_ack(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.uplink._CROSSED_S", 0.0)
    fill(spool, 0, 5)
    with mosquitto() as broker:
        async with hub(broker) as h, uplink(broker, spool) as up:
            await h.wait_for(lambda: len(h.seqs("backfill")) == 5)
            assert h.heard[0][0] == "birth"
            fill(spool, 5, 3)
            up.notify()
            await h.wait_for(lambda: h.seqs("live") == [6, 7, 8])
            assert h.seqs("backfill") == [1, 2, 3, 4, 5]
            assert spool.backlog() == 8
            await h.ack("0000000000000000", 8)
            await h.ack(spool.epoch, 6, ranges=[(8, 8)], wanted=[(7, 7)])
            await h.wait_for(lambda: h.seqs("backfill")[5:] == [7])
            await h.ack(spool.epoch, 8)
            await asyncio.wait_for(up.drained(), 5)
        assert spool.backlog() == 0


async def test_what_is_not_acknowledged_goes_again(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.uplink.RESEND_S", 0.3)
    fill(spool, 0, 2)
    with mosquitto() as broker:
        async with hub(broker) as h, uplink(broker, spool):
            await h.wait_for(lambda: h.seqs("backfill").count(2) >= 2)


async def test_what_went_to_a_hub_that_was_away_goes_again_as_soon_as_it_is_back(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.uplink.OVERTAKEN_S", 0.2)
    fill(spool, 0, 2)
    with mosquitto() as broker:
        async with uplink(broker, spool) as up:
            async with asyncio.timeout(5):
                while up.sent < 2:  # noqa: ASYNC110 - what is waited for happens in a broker
                    await asyncio.sleep(0.01)
            async with hub(broker) as h:
                await asyncio.sleep(0.3)
                fill(spool, 2, 1)
                up.notify()
                await h.wait_for(lambda: h.seqs("live") == [3])
                await asyncio.sleep(0.1)
                assert h.seqs("backfill") == []
                await h.ack(spool.epoch, 0, ranges=[(3, 3)])
                await h.wait_for(lambda: h.seqs("backfill") == [1, 2])
                await h.ack(spool.epoch, 3)
                await asyncio.wait_for(up.drained(), 5)


async def test_live_data_pass_a_backlog_larger_than_the_window(spool: Spool) -> None:
    fill(spool, 0, 200)
    with mosquitto() as broker:
        async with hub(broker) as h, uplink(broker, spool) as up:
            await h.wait_for(lambda: len(h.seqs("backfill")) >= 64)
            fill(spool, 200, 1)
            up.notify()
            await h.ack(spool.epoch, 10)
            await h.wait_for(lambda: 201 in h.seqs("live"))
            assert max(h.seqs("backfill")) < 120
            for through in range(20, 202, 20):
                await h.ack(spool.epoch, through)
                await asyncio.sleep(0.05)
            await h.ack(spool.epoch, 201)
            await h.wait_for(lambda: spool.backlog() == 0)


async def test_a_new_schema_is_declared_before_its_data(spool: Spool) -> None:
    with mosquitto() as broker:
        async with hub(broker) as h, uplink(broker, spool) as up:
            await h.wait_for(lambda: len(h.heard) >= 2)
            fill(spool, 0, 1)
            up.declare()
            up.notify()
            await h.wait_for(lambda: h.seqs("live") == [1])
            order = [what for what, _ in h.heard]
            second_birth = len(order) - 1 - order[::-1].index("birth")
            assert second_birth < order.index("live")
            assert "radar" in json.loads(h.heard[second_birth][1])["instruments"]


async def test_a_broker_that_dies_and_forgets_costs_nothing(spool: Spool) -> None:
    fill(spool, 0, 3)
    with mosquitto() as broker:
        async with uplink(broker, spool) as up:
            async with hub(broker) as h:
                await h.wait_for(lambda: len(h.seqs("backfill")) == 3)
                broker.stop()
            fill(spool, 3, 2)
            up.notify()
            broker.start()
            async with hub(broker) as h:
                await h.wait_for(lambda: sorted(set(h.seqs("backfill"))) == [1, 2, 3, 4, 5], 15)
                await h.ack(spool.epoch, 5)
                await asyncio.wait_for(up.drained(), 5)


async def test_the_last_will_and_the_good_bye_say_offline(spool: Spool) -> None:
    with mosquitto() as broker:
        async with hub(broker) as h:
            async with uplink(broker, spool):
                await h.wait_for(lambda: any(what == "state" for what, _ in h.heard))
            await h.wait_for(lambda: json.loads(h.heard[-1][1]).get("online") is False)


class Wire:
    """A broker's end of a socket: allows so many aliases, notes (topic, alias) of each Envelope
    by connection, and hangs up after the first `patience` of one."""

    def __init__(self, aliases: int, patience: int) -> None:
        self.aliases, self.patience = aliases, patience
        self.connections: list[list[tuple[str, int | None]]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        envelopes: list[tuple[str, int | None]] = []
        self.connections.append(envelopes)
        while len(envelopes) < self.patience:
            try:
                kind, body = await self._packet(reader)
            except asyncio.IncompleteReadError:
                break
            if kind >> 4 == 1:
                more = bytes([0x22]) + self.aliases.to_bytes(2, "big") if self.aliases else b""
                writer.write(bytes([0x20, 3 + len(more), 0, 0, len(more)]) + more)
            elif kind >> 4 == 8:
                writer.write(bytes([0x90, 4]) + body[:2] + bytes([0, 1]))
            elif kind >> 4 == 3:
                end = 2 + int.from_bytes(body[:2], "big")
                writer.write(bytes([0x40, 2]) + body[end : end + 2])
                name, properties = body[2:end].decode(), body[end + 3 : end + 3 + body[end + 2]]
                if not name.endswith(("birth", "state")):
                    alias = int.from_bytes(properties[1:], "big") if properties[:1] == b"\x23" else None
                    envelopes.append((name, alias))
        writer.close()

    @staticmethod
    async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
        (kind,) = await reader.readexactly(1)
        length = shift = 0
        while True:
            (byte,) = await reader.readexactly(1)
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return kind, await reader.readexactly(length)


@pytest.mark.parametrize("aliases", [0, 1, 10])
async def test_topics_have_short_names_as_far_as_the_broker_allows_and_anew_on_each_connection(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, aliases: int
) -> None:
    monkeypatch.setattr("gateway.uplink._BACK_OFF_S", (0.05, 0.05))
    fill(spool, 0, 9)
    wire = Wire(aliases, patience=9)
    server = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    backfill, live = "tidegate/1/tioman-1/backfill", "tidegate/1/tioman-1/live"
    names: dict[int, dict[str, list[tuple[str, int | None]]]] = {
        0: {backfill: [(backfill, None)] * 3, live: [(live, None)] * 3},
        1: {backfill: [(backfill, None)] * 3, live: [(live, 1), ("", 1), ("", 1)]},
        10: {backfill: [(backfill, 2), ("", 2), ("", 2)], live: [(live, 1), ("", 1), ("", 1)]},
    }
    expected = names[aliases]
    async with uplink(Broker(host=host, port=port), spool) as up, asyncio.timeout(15):
        while len(wire.connections) < 3 or len(wire.connections[2]) < 9:  # noqa: ASYNC110 - it happens on a socket
            await asyncio.sleep(0.01)
        assert [connection[:3] for connection in wire.connections[:3]] == [expected[backfill]] * 3
        wire.patience = 1000
        async with asyncio.timeout(5):
            while not up.connected or len(wire.connections) < 4 or len(wire.connections[-1]) < 9:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        fill(spool, 9, 3)
        up.notify()
        while len(wire.connections[-1]) < 12:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert wire.connections[-1][9:] == expected[live]
    server.close()
