import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

import central.ingest
import central.ledger
from central.ingest import Inbox, Ingest, Message, rebuild
from central.ledger import GIVE_UP, Ledger
from central.quarantine import Quarantine, Reason
from central.received import Intake, Kind, Received
from central.registry import Registry
from tests.central.station import CTD, EPOCH, birth, envelope
from tests.servers import Mosquitto, mosquitto
from tidegate.broker import Broker
from tidegate.envelope import Gap
from tidegate.messages import Ack, State
from tidegate.topics import topic


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with mosquitto() as server:
        yield server


class Hub:
    """Ingest and what it stands on."""

    def __init__(self, folder: Path, broker: Mosquitto, name: str) -> None:
        self.intake = Intake(folder / "journal")
        self.ledger = Ledger.load(folder / "ledger.json", newest=self.intake.last)
        rebuild(self.ledger, self.intake)
        self.registry = Registry()
        self.quarantine = Quarantine(folder / "quarantine")
        self.ingest = Ingest(
            name, Broker.model_validate({"host": broker.host, "port": broker.port}), self.intake, self.ledger,
            self.registry, self.quarantine, folder / "ledger.json",
        )  # fmt: skip
        self.stop = asyncio.Event()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Hub"]:
        task = asyncio.create_task(self.ingest.run(self.stop))
        await until(lambda: self.ingest.connected_ns is not None)
        try:
            yield self
        finally:
            self.stop.set()
            started_s = time.monotonic()
            await asyncio.wait_for(task, 5)
            assert time.monotonic() - started_s < 3
            self.intake.close()
            self.quarantine.close()

    def kept(self) -> list[Received]:
        return [Received.unpacked(payload) for _, payload in self.intake.read(0)]


class Station:
    """Publishes as a gateway would, and remembers the acks."""

    def __init__(self, client: aiomqtt.Client, platform: str) -> None:
        self.client, self.platform = client, platform
        self.acks: list[Ack] = []

    @classmethod
    @contextlib.asynccontextmanager
    async def at(cls, broker: Mosquitto, platform: str = "quay-3") -> AsyncIterator["Station"]:
        async with aiomqtt.Client(broker.host, broker.port, protocol=aiomqtt.ProtocolVersion.V5) as client:
            station = cls(client, platform)
            await client.subscribe(topic(platform, "ack"), qos=1)

            async def hear() -> None:
                async for message in client.messages:
                    assert isinstance(message.payload, bytes)
                    station.acks.append(Ack.model_validate_json(message.payload))

            hearing = asyncio.create_task(hear())
            try:
                yield station
            finally:
                for what in ("birth", "state"):
                    await client.publish(topic(platform, what), b"", qos=1, retain=True)
                hearing.cancel()
                await asyncio.gather(hearing, return_exceptions=True)

    async def send(self, *messages: bytes, lane: str = "live") -> None:
        for message in messages:
            what = "birth" if message[:1] == b"{" else lane
            await self.client.publish(topic(self.platform, what), message, qos=1, retain=what == "birth")

    async def state(self, **more: Any) -> None:
        state = State(online=True, epoch=EPOCH, **more)
        await self.client.publish(topic(self.platform, "state"), state.model_dump_json(), qos=1, retain=True)

    async def acked(self, through: int) -> Ack:
        await until(lambda: bool(self.acks) and self.acks[-1].through >= through)
        return self.acks[-1]


async def until(condition: Callable[[], bool], within_s: float = 5.0) -> None:
    end_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end_s, "it did not happen in time"
        await asyncio.sleep(0.005)


async def test_what_is_on_disk_is_acknowledged_and_comes_back_after_a_restart(
    tmp_path: Path, broker: Mosquitto
) -> None:
    async with Station.at(broker) as station:
        async with Hub(tmp_path, broker, "a").running() as hub:
            await station.send(birth(CTD), *(envelope(seq) for seq in range(1, 41)))
            ack = await station.acked(40)
            assert (ack.epoch, ack.ranges, ack.wanted) == (EPOCH, [], [])
            assert [r.kind for r in hub.kept()] == [Kind.BIRTH] + [Kind.ENVELOPE] * 40
            assert hub.intake.journal.durable == 41
            await station.send(envelope(43))
            await until(lambda: bool(station.acks[-1].ranges))
            assert station.acks[-1].ranges == [(43, 43)]
            await until(lambda: any(ack.wanted == [(41, 42)] for ack in station.acks))
        station.acks.clear()
        hub = Hub(tmp_path, broker, "a")
        assert list(hub.ledger.book("quay-3").account(EPOCH).had) == [(1, 40), (43, 43)]
        async with hub.running():  # the retained birth brings an ack at once
            ack = await station.acked(40)
            assert (ack.ranges, ack.wanted) == ([(43, 43)], [(41, 42)])
            assert len(hub.kept()) == 43  # the same birth once more is not


async def test_doubles_are_counted_and_acknowledged_again_and_stored_once(tmp_path: Path, broker: Mosquitto) -> None:
    async with Station.at(broker) as station, Hub(tmp_path, broker, "b").running() as hub:
        await station.send(envelope(1), envelope(2), envelope(1), envelope(2))
        await station.acked(2)
        await until(lambda: hub.ledger.book("quay-3").counters.duplicates == 2)
        station.acks.clear()
        await station.send(envelope(2), lane="backfill")
        assert (await station.acked(2)).through == 2
        assert len(hub.kept()) == 2


async def test_gaps_that_a_gateway_states_are_explained(tmp_path: Path, broker: Mosquitto) -> None:
    async with Station.at(broker) as station, Hub(tmp_path, broker, "c").running() as hub:
        await station.send(birth(CTD, first_seq=3, next_seq=8), envelope(7, gaps=(Gap(3, 6, "the spool was full"),)))
        await station.acked(7)
        account = hub.ledger.book("quay-3").account(EPOCH)
        assert account.explained_ranges() == [
            Gap(1, 2, "the gateway no longer holds it"),
            Gap(3, 6, "the spool was full"),
        ]


async def test_what_cannot_be_used_is_kept_as_evidence_and_never_acknowledged(
    tmp_path: Path, broker: Mosquitto
) -> None:
    async with Station.at(broker) as station, Hub(tmp_path, broker, "d").running() as hub:
        corrupt = bytearray(envelope(1))
        corrupt[20] ^= 1
        other = envelope(1, platform="quay-4", epoch="cd" * 8)
        await station.client.publish(topic("quay-4", "live"), other, qos=1)
        await station.send(bytes(corrupt), other, b"{}")
        await station.send(birth(CTD, platform="quay-4"), birth(CTD, first_seq=5, next_seq=2), birth(CTD, epoch="xyz"))
        await station.client.publish(topic("quay-3", "state"), b"offline", qos=1)
        await station.client.publish("tidegate/1/NOT A NAME/live", envelope(1), qos=1)
        await until(lambda: len(hub.quarantine.newest(20)) == 7)
        assert [case.reason for case in hub.quarantine.newest(20)] == [
            Reason.CORRUPT, Reason.MISPLACED, *[Reason.BIRTH] * 4, Reason.STATE,
        ]  # fmt: skip
        assert hub.quarantine.newest(20)[0].data == bytes(corrupt)
        assert "'quay-4'" in hub.quarantine.newest(20)[1].detail
        counters = hub.ledger.book("quay-3").counters
        assert (counters.corrupt, counters.misplaced, counters.refused_births) == (1, 1, 4)
        await until(lambda: hub.ingest.ignored == 1)
        await station.send(envelope(1))
        await station.acked(1)
        assert len(hub.kept()) == 2


def asked(station: Station) -> int:
    return sum(ack.wanted == [(2, 2)] for ack in station.acks)


async def test_what_comes_back_corrupt_is_given_up(
    tmp_path: Path, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(central.ledger, "_RETRY_CORRUPT_S", 0.01)
    monkeypatch.setattr(central.ingest, "_TICK_S", 0.02)
    async with Station.at(broker) as station, Hub(tmp_path, broker, "e").running() as hub:
        corrupt = envelope(2)[:-1] + b"?"
        await station.state(backlog=1)
        await station.send(birth(CTD, next_seq=4), envelope(1), corrupt, envelope(3))
        answered = 0
        for _ in range(GIVE_UP):
            await until(lambda seen=answered: asked(station) > seen)  # type: ignore[misc]
            answered = asked(station)
            await asyncio.sleep(0.02)
            await station.send(corrupt, lane="backfill")
        await station.acked(3)
        assert hub.ledger.book("quay-3").account(EPOCH).explained == [Gap(2, 2, "corrupt on arrival 5 times")]
        assert hub.ledger.book("quay-3").counters.corrupt == GIVE_UP + 1


async def test_nothing_is_acknowledged_while_the_disk_refuses_and_nothing_is_lost(
    tmp_path: Path, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = Hub(tmp_path, broker, "f")
    real_append, real_sync = hub.intake.append, hub.intake.sync
    broken = {"append": True, "sync": False}

    def append(received: Any) -> int:
        if broken["append"]:
            raise OSError(28, "No space left on device")
        return real_append(received)

    def sync() -> None:
        if broken["sync"]:
            raise OSError(5, "Input/output error")
        real_sync()

    monkeypatch.setattr(hub.intake, "append", append)
    monkeypatch.setattr(hub.intake, "sync", sync)
    async with Station.at(broker) as station, hub.running():
        await station.send(*(envelope(seq) for seq in range(1, 6)))
        await until(lambda: "No space" in hub.ingest.disk_error)
        broken.update(append=False, sync=True)
        await until(lambda: "Input/output" in hub.ingest.disk_error)
        assert not station.acks
        broken["sync"] = False
        await station.acked(5)
        assert hub.ingest.disk_error == ""
        assert len(hub.kept()) == 5


async def test_a_broker_that_goes_and_forgets_everything_costs_nothing(tmp_path: Path) -> None:
    with mosquitto() as broker:
        async with Hub(tmp_path, broker, "g").running() as hub:
            async with Station.at(broker) as station:
                await station.send(envelope(1))
                await station.acked(1)
            broker.stop()
            await until(lambda: hub.ingest.connected_ns is None)
            broker.start()
            await until(lambda: hub.ingest.connected_ns is not None, 10)
            async with Station.at(broker) as station:
                await station.send(envelope(2))
                await station.acked(2)


async def test_states_reach_the_registry(tmp_path: Path, broker: Mosquitto) -> None:
    async with Station.at(broker) as station, Hub(tmp_path, broker, "h").running() as hub:
        await station.state(backlog=7)
        await until(lambda: hub.registry.platform("quay-3") is not None)
        platform = hub.registry.platform("quay-3")
        assert platform is not None
        assert platform.state is not None
        assert platform.state.backlog == 7


async def test_an_inbox_is_bounded_and_counts_what_it_lets_go() -> None:
    inbox = Inbox(most_bytes=1000)
    for n in range(20):
        inbox.put(Message("t", bytes(100), n))
    assert inbox.refused == 10
    assert [m.received_ns for m in inbox.take()] == list(range(10))
    assert not inbox
    inbox.put(Message("t", bytes(100), 99))
    await asyncio.wait_for(inbox.wait(), 1)
    assert [m.received_ns for m in inbox.take()] == [99]


def test_a_ledger_is_the_same_from_the_snapshot_and_from_the_journal(tmp_path: Path) -> None:
    intake = Intake(tmp_path / "journal")
    ledger = Ledger()
    messages = [birth(CTD, next_seq=9), envelope(2), envelope(5, gaps=(Gap(3, 4, "full"),)), birth(CTD, first_seq=2)]
    for n, data in enumerate([*messages, b"nonsense", envelope(7)]):
        kind = Kind.BIRTH if data[:1] == b"{" else Kind.ENVELOPE
        intake.append([Received(kind, "tidegate/1/quay-3/live", 0, data)])
        intake.sync()
        if n % 2:
            rebuild(ledger, intake)
            ledger.save(tmp_path / "ledger.json")
            ledger = Ledger.load(tmp_path / "ledger.json", newest=intake.last)
    fresh = Ledger()
    rebuild(fresh, intake)
    rebuild(ledger, intake)
    assert fresh.snapshot() == ledger.snapshot()
    assert list(fresh.book("quay-3").account(EPOCH).had) == [(2, 2), (5, 5), (7, 7)]
    intake.close()
