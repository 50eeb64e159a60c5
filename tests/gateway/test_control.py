"""The control socket of a real gateway: what it tells, and that no client can disturb the gateway."""

import asyncio
import json
import logging
import os
import random
import socket
import stat
from pathlib import Path

import pytest

from gateway import control
from gateway.console import Refused
from gateway.control import ControlClient, GetStatus, NoGateway, NotRunning, StatusEvent, Subscribe, storage_directory
from gateway.health import Status
from tests.gateway.counting import Pty, sentence
from tests.gateway.stations import CTD, GAUGE, RADAR, Plain, simulated, station, until, written


async def test_a_client_that_knows_only_the_protocol_sees_everything(tmp_path: Path) -> None:
    config = written(tmp_path, CTD, RADAR)
    async with simulated(tmp_path, "ctd"), station(config) as gateway:
        await until(lambda: gateway.instruments["ctd"].health.samples >= 2)
        client = await Plain.connect(tmp_path / "station/control.sock")
        answer = await client.ask(id=7, do="status")
        assert answer["id"] == 7
        status = Status.model_validate(answer["ok"])
        assert (status.platform, status.title, status.pid) == ("jetty", "Test jetty", os.getpid())
        ctd, radar = status.instruments["ctd"], status.instruments["radar"]
        assert ctd.link == "up"
        assert ctd.every_s == pytest.approx(1.0, abs=0.3)
        (frame,) = [stream.newest for stream in gateway.instruments["ctd"].health._streams.values()]
        assert [(f.label, f.unit) for f in ctd.fields] == [
            ("Temperature", "degC"),
            ("Conductivity", "S m-1"),
            ("Pressure", "dbar"),
        ]
        assert ctd.fields[0].text == f"{frame.columns['sea_water_temperature'][-1]:.4f}"
        assert ctd.fields[0].trail[-1] == float(ctd.fields[0].text)
        assert len(ctd.fields[0].trail) == ctd.samples
        assert radar.link == "down"
        assert "refuses the connection" in radar.reason
        assert [(p.kind, p.count) for p in radar.problems] == [("gone", 1)]
        assert not status.link.connected
        assert status.link.backfill == gateway.spool.backlog()
        assert status.disk.raw_limit == 50_000_000
        assert 0 < status.disk.raw_bytes == gateway.raw.journal.bytes
        assert status.disk.free_bytes is not None
        client.close()


async def test_subscribers_are_told_again_and_again_and_hear_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "_STATUS_EVERY_S", 0.4)
    config = written(tmp_path, GAUGE)
    gauge = Pty(tmp_path / "ports/gauge")
    async with station(config) as gateway:
        first = await Plain.connect(tmp_path / "station/control.sock")
        await asyncio.sleep(0.5)
        assert not gateway.instruments["gauge"].listeners  # nobody looks, nothing is done
        logging.getLogger("gateway.test").warning("before")
        lines = (await first.ask(id=1, do="subscribe"))["ok"]["log"]
        assert any("no link to the broker" in line["text"] for line in lines)
        assert lines[-1]["text"] == "before"
        logging.getLogger("gateway.test").error("after %d", 2)
        event = await first.event(event="log")
        assert (event["level"], event["text"]) == ("ERROR", "after 2")
        at_ns = [(await first.event(event="status"))["status"]["at_ns"] for _ in range(2)]
        assert (at_ns[1] - at_ns[0]) / 1e9 == pytest.approx(0.4, abs=0.2)
        gauge.say(sentence(b"IIMTW,19.5,C"))
        await until(lambda: gateway.instruments["gauge"].health.samples)
        told = StatusEvent.model_validate(await first.event(event="status"))
        while not told.status.instruments["gauge"].samples:
            told = StatusEvent.model_validate(await first.event(event="status"))
        assert told.status.instruments["gauge"].fields[0].text == "19.500"
        first.close()


async def test_who_watches_gets_each_word_with_what_was_decoded_of_it(tmp_path: Path) -> None:
    config = written(tmp_path, GAUGE)
    gauge = Pty(tmp_path / "ports/gauge")
    async with station(config) as gateway:
        await until(lambda: gateway.instruments["gauge"].open)
        client = await Plain.connect(tmp_path / "station/control.sock")
        assert "no instrument is called 'gouge'" in (await client.ask(id=1, do="watch", instrument="gouge"))["error"]
        assert (await client.ask(id=2, do="watch", instrument="gauge"))["ok"] == {}
        gauge.say(sentence(b"IIMTW,19.5,C"))
        words = await client.event(event="words")
        assert bytes.fromhex(words["hex"]) == sentence(b"IIMTW,19.5,C")
        assert words["direction"] == "heard"
        assert words["decoded"][-1] == "Temperature 19.500 degC"
        gauge.say(b"$IIMTW,19.5,C*00\r\n")
        assert (await client.event(event="words"))["decoded"][0].startswith("! checksum: ")
        assert (await client.ask(id=3, do="watch", instrument=None))["ok"] == {}
        assert not gateway.instruments["gauge"].listeners
        assert (await client.ask(id=4, do="watch", instrument="gauge"))["ok"] == {}
        client.close()
        await until(lambda: not gateway.instruments["gauge"].listeners)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"hello", "a request is a line of JSON"),
        (b"[" * 5000, "a request is a line of JSON"),
        (b"\xff\xfe", "a request is a line of JSON"),
        (b'{"id": 3, "do": "reboot"}', "'status', 'subscribe'"),
        (b'{"id": 3, "do": "console_open", "instrument": "gauge", "minutes": 61}', "minutes: "),
        (b'{"id": 3, "do": "console_say", "hex": "4"}', "hex: "),
        (b'{"id": 3, "do": "console_say", "hex": "44"}', "no console is open"),
        (b"3", "request"),
    ],
)
async def test_a_request_that_is_none_is_answered_in_words(tmp_path: Path, line: bytes, words: str) -> None:
    async with station(written(tmp_path, GAUGE)):
        client = await Plain.connect(tmp_path / "station/control.sock")
        client.writer.write(line + b"\n")
        answer = await client.hear()
        assert words in answer["error"] or words == "request"
        assert answer["id"] == (3 if b'"id"' in line else None)
        assert "platform" in (await client.ask(id=9, do="status"))["ok"]
        client.close()


async def test_hostile_clients_are_dropped_and_the_gateway_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "_BUFFER_BYTES", 50_000)
    config = written(tmp_path, CTD)
    path = tmp_path / "station/control.sock"
    chance = random.Random(2)
    async with simulated(tmp_path, "ctd"), station(config) as gateway:
        await until(lambda: gateway.instruments["ctd"].health.samples)
        # one that never reads
        deaf = socket.socket(socket.AF_UNIX)
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(str(path))
        deaf.setblocking(False)
        deaf.send(b'{"do":"subscribe"}\n')
        # one that asks without end, one that talks rubbish, one whose line never ends
        greedy = await Plain.connect(path)
        greedy.writer.write(b'{"do":"status"}\n' * 20_000)
        babbling = await Plain.connect(path)
        babbling.writer.write(chance.randbytes(300_000).replace(b"\n", b""))
        said = [await babbling.hear()]
        assert said[-1]["event"] == "dropped"
        assert "is no request" in said[-1]["why"]
        with pytest.raises((EOFError, ConnectionError)):
            await babbling.hear()
        log = logging.getLogger("gateway.test")
        for _ in range(400):
            log.error("x" * 1900)
        await asyncio.sleep(0.5)
        # the deaf one finds out at the end of what it had not read
        deaf.setblocking(True)
        deaf.settimeout(5)
        rest = b""
        while piece := await asyncio.to_thread(deaf.recv, 65536):
            rest += piece
        assert json.loads(rest.splitlines()[-1])["event"] == "dropped"
        assert "does not read" in json.loads(rest.splitlines()[-1])["why"]
        deaf.close()
        # the gateway has not noticed
        before = gateway.instruments["ctd"].health.samples
        await until(lambda: gateway.instruments["ctd"].health.samples >= before + 2, 4)
        assert gateway.instruments["ctd"].health.problems["poll_skipped"] == 0
        greedy.close()


async def test_there_are_at_most_so_many_clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "_MOST_CLIENTS", 2)
    async with station(written(tmp_path, GAUGE)):
        path = tmp_path / "station/control.sock"
        both = [await Plain.connect(path), await Plain.connect(path)]
        for client in both:
            assert "ok" in await client.ask(id=1, do="status")
        third = await Plain.connect(path)
        assert "2 programs look at this gateway already" in (await third.hear())["why"]
        both[0].close()
        await asyncio.sleep(0.1)
        fourth = await Plain.connect(path)
        assert "ok" in await fourth.ask(id=1, do="status")
        for client in (both[1], fourth):
            client.close()


async def test_the_socket_is_private_comes_anew_after_a_crash_and_goes_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "station/control.sock"
    path.parent.mkdir()
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    with pytest.raises(NotRunning, match="no gateway runs on"):
        await ControlClient.connect(path.parent)
    async with station(written(tmp_path, GAUGE)):
        await until(lambda: stat.S_IMODE(path.stat().st_mode) == 0o600)
        client = await ControlClient.connect(path.parent)
        assert (await client.ask(GetStatus()))["platform"] == "jetty"
        await client.ask(Subscribe())
    events = [event async for event in client.events()]
    assert events[-1].event == "dropped"
    assert events[-1].why == "the gateway was stopped"
    with pytest.raises(NoGateway):
        await client.ask(GetStatus())
    await client.close()
    assert not path.exists()
    with pytest.raises(NotRunning):
        await ControlClient.connect(path.parent)


async def test_something_else_in_its_place_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "station/control.sock"
    path.parent.mkdir()
    path.write_text("mine")
    config = written(tmp_path, GAUGE)
    gauge = Pty(tmp_path / "ports/gauge")
    async with station(config) as gateway:
        await until(lambda: gateway.instruments["gauge"].open)
        gauge.say(sentence(b"IIMTW,19.5,C"))
        await until(lambda: gateway.instruments["gauge"].health.samples == 1)
    assert path.read_text() == "mine"
    assert "something else than a socket is in its place" in caplog.text


async def test_a_path_longer_than_an_address_may_be(tmp_path: Path) -> None:
    storage = "/".join(["deep" * 12] * 4)
    config = written(tmp_path, GAUGE, storage=storage)
    assert len(str(tmp_path / storage)) > 200
    async with station(config):
        client = await ControlClient.connect(storage_directory(config))
        assert (await client.ask(GetStatus()))["platform"] == "jetty"
        with pytest.raises(Refused, match="no instrument"):
            await client.ask(control.Watch(instrument="none"))
        await client.close()


async def test_a_socket_of_somebody_else_is_told_with_the_way_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(asyncio, "open_unix_connection", forbidden)
    with pytest.raises(NoGateway, match=r"belongs to (\w+): `sudo -u \1 .*pytest"):
        await ControlClient.connect(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[storage]\ndirectory = 1\n[x\n", "is not TOML"),
        ("[platform]\n", "names no [storage] directory"),
        ("storage = 3\n", "names no [storage] directory"),
    ],
)
def test_the_storage_directory_of_a_bad_file(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises(NoGateway) as told:
        storage_directory(tmp_path / "s.toml")
    assert words in str(told.value)
    assert "tidegate gateway check" in str(told.value)


def test_the_storage_directory_of_a_file_with_other_mistakes(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text('[platfrom]\n[storage]\ndirectory = "here"\n')
    assert storage_directory(tmp_path / "s.toml") == tmp_path / "here"
    with pytest.raises(NoGateway, match="No such file"):
        storage_directory(tmp_path / "t.toml")
