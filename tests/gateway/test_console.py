"""A console on an instrument of a real gateway: heard, said and logged both ways, for a while, by one at a time."""

import asyncio
import contextlib
import os
import pwd
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from drivers.driver import Driver
from drivers.nmea.nmea0183 import Nmea0183
from drivers.simulators.sbe26plus import Sbe26plusSimulator
from gateway import rawlog
from gateway.console import Consoles, Refused, ending_of
from gateway.rawlog import START, Direction, Mark
from gateway.recover import recover
from gateway.talk import Editor, Heard, shown
from tests.gateway.counting import Counting, Pty, sentence
from tests.gateway.stations import CTD, GAUGE, RADAR, Plain, simulated, station, until, written
from tests.servers import free_port

SOCKET = "station/control.sock"
ME = pwd.getpwuid(os.getuid()).pw_name


async def opened(folder: Path, **more: Any) -> tuple[Plain, dict[str, Any]]:
    client = await Plain.connect(folder / SOCKET)
    return client, await client.ask(**{"id": 1, "do": "console_open", "instrument": "ctd"} | more)


async def heard(client: Plain, wanted: bytes) -> bytes:
    data = b""
    while wanted not in data:
        data += bytes.fromhex((await client.event(event="words", direction="heard"))["hex"])
    return data


async def test_every_word_is_heard_recorded_and_logged_and_data_flow_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with simulated(tmp_path, "ctd"), station(written(tmp_path, CTD)) as gateway:
        health = gateway.instruments["ctd"].health
        await until(lambda: health.samples)
        client, answer = await opened(tmp_path)
        assert answer["ok"]["ending"] == "crlf"
        assert answer["ok"]["seconds"] == 600
        assert "SBE 37" in answer["ok"]["title"]
        samples = health.samples
        assert (await client.ask(id=2, do="console_say", hex=b"DS\r\n".hex()))["ok"] == {}
        assert b"SerialNumber='03709999'" in await heard(client, b"</StatusData>")
        await until(lambda: health.samples >= samples + 2)
        status = (await client.ask(id=3, do="status"))["ok"]
        assert status["instruments"]["ctd"]["console"] == f"{ME} (process {os.getpid()})"
        assert (await client.ask(id=4, do="console_close"))["ok"] == {}
        assert (await client.event(event="console_ended"))["why"] == "whoever had it ended it"
        assert "no console is open" in (await client.ask(id=5, do="console_say", hex="0d"))["error"]
        client.close()
    said = list(rawlog.read(tmp_path / "station/raw", "ctd"))
    assert [u.data for u in said if u.direction is Direction.TYPED] == [b"DS\r\n"]
    assert b"03709999" in b"".join(u.data for u in said if u.direction is Direction.HEARD)
    who = f"ctd: console of {ME} (process {os.getpid()})"
    assert f"{who}: open for 10 minutes" in caplog.text
    assert f"{who}: typed 'DS\\r\\n'" in caplog.text
    assert f"{who}: heard" in caplog.text
    assert f"{who}: over: whoever had it ended it" in caplog.text


async def test_one_at_a_time_and_a_dead_one_lets_go(tmp_path: Path) -> None:
    async with simulated(tmp_path, "ctd"), station(written(tmp_path, CTD, RADAR)) as gateway:
        first, answer = await opened(tmp_path, hold_polls=True)
        assert answer["ok"]["polls_held"]
        assert gateway.instruments["ctd"].polls_held
        second, answer = await opened(tmp_path)
        assert answer["error"].startswith(f"{ME} (process {os.getpid()}) is talking to ctd already")
        assert "has a console already" in (await first.ask(id=2, do="console_open", instrument="ctd"))["error"]
        assert "is on Modbus" in (await second.ask(id=2, do="console_open", instrument="radar"))["error"]
        assert "no instrument is called 'x'" in (await second.ask(id=2, do="console_open", instrument="x"))["error"]
        first.writer.transport.abort()
        await until(lambda: not gateway.consoles.holder("ctd"))
        assert not gateway.instruments["ctd"].polls_held
        assert not gateway.instruments["ctd"].listeners
        assert "ok" in await second.ask(id=3, do="console_open", instrument="ctd")
        second.close()


async def test_the_gateway_warns_and_ends_it_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.console._WARN_S", (0.5, 0.2))
    async with simulated(tmp_path, "ctd"), station(written(tmp_path, CTD)):
        start_s = time.monotonic()
        client, _ = await opened(tmp_path, minutes=0.7 / 60)
        assert [(await client.event(event="console_left"))["left_s"] for _ in range(2)] == [0.5, 0.2]
        assert (await client.event(event="console_ended"))["why"] == "its time is over"
        assert time.monotonic() - start_s == pytest.approx(0.7, abs=0.2)
        assert "the console is over" in (await client.ask(id=2, do="console_say", hex="0d"))["error"]
        again = await client.ask(id=3, do="console_open", instrument="ctd")
        assert "ok" in again
        client.close()


async def test_polls_are_held_and_go_on_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.driver.load", lambda name: Counting)
    config = written(tmp_path, ("ctd", "sbe37", 0.1, '{ serial = "ports/ctd" }\nsettings = { polled = true }'))
    pty = Pty(tmp_path / "ports/ctd")
    async with station(config) as gateway:
        await until(lambda: pty.heard().endswith(b"?\r"))
        client, answer = await opened(tmp_path, hold_polls=True, minutes=1 / 60)
        assert answer["ok"]["ending"] == "cr"  # as its poll
        pty.heard()
        await asyncio.sleep(0.5)
        assert pty.heard() == b""
        await client.ask(id=2, do="console_say", hex=b"hello\r".hex())
        await until(lambda: pty.heard() == b"hello\r")
        pty.say(b"12\n")
        assert await heard(client, b"12") == b"12\n"
        assert gateway.instruments["ctd"].health.samples == 1
        await client.event(event="console_ended")
        await until(lambda: pty.heard().startswith(b"?\r"))
        assert "poll_skipped" not in gateway.instruments["ctd"].health.problems
        client.close()


async def test_a_port_that_is_not_open_is_told(tmp_path: Path) -> None:
    async with station(written(tmp_path, CTD)) as gateway:
        await until(lambda: gateway.instruments["ctd"].transport.reason)
        client, answer = await opened(tmp_path)
        assert "ok" in answer
        error = (await client.ask(id=2, do="console_say", hex="0d"))["error"]
        assert error.startswith("ctd cannot hear: ")
        assert "is not there: unplugged?" in error
        client.close()


async def test_a_typed_word_is_no_sample_when_a_crashed_gateway_takes_up_its_raw_log(tmp_path: Path) -> None:
    config = written(tmp_path, GAUGE)
    pty = Pty(tmp_path / "ports/gauge")
    async with station(config) as gateway:
        await until(lambda: gateway.instruments["gauge"].open)
        await gateway.instruments["gauge"].type(sentence(b"IIMTW,99.5,C"))
        pty.say(sentence(b"IIMTW,19.5,C"))
        await until(lambda: gateway.instruments["gauge"].health.samples)

    raw = rawlog.RawLog(tmp_path / "station/raw", 50_000_000)
    frames = [frame for found, _ in recover(raw, Mark(b"", START, {}), {"gauge": Nmea0183("gauge")}) for frame in found]
    raw.close()
    assert [float(v) for frame in frames for v in frame.columns["sea_water_temperature"]] == [19.5]
    assert [u.data for u in rawlog.read(tmp_path / "station/raw") if u.direction is Direction.TYPED]


class _Bad(Counting):
    def poll(self) -> bytes:
        raise KeyError("poll")


@pytest.mark.parametrize(
    ("driver", "ending"),
    [(Counting("a"), "cr"), (Nmea0183("a"), "crlf"), (_Bad("a", _Bad.Settings(bad_start=True)), "crlf")],
)
def test_the_ending_is_as_the_drivers_own(driver: Driver, ending: str) -> None:
    assert ending_of(driver) == ending


async def test_too_much_at_once_is_refused(tmp_path: Path) -> None:
    async with simulated(tmp_path, "ctd"), station(written(tmp_path, CTD)) as gateway:
        consoles: Consoles = gateway.consoles
        console, _ = consoles.open("ctd", "me", 1, False, lambda _: None)
        with pytest.raises(Refused, match="4096"):
            await console.say(b"x" * 4097)
        with pytest.raises(Refused):
            await console.say(b"")
        consoles.close("enough")
        with pytest.raises(Refused, match="over"):
            await console.say(b"x")


# --- the technician's end ---------------------------------------------------------------------------------------------


def test_what_is_shown_hides_nothing_and_steers_no_terminal() -> None:
    assert shown(bytes(range(32, 127))) == bytes(range(32, 127)).decode().replace("\\", "\\\\")
    assert shown(b"\x1b[2J\x00\xff\r\t") == r"\x1b[2J\x00\xff\r\t"


def test_lines_are_cut_wherever_bytes_are() -> None:
    text = b"one\r\ntwo\n\nS>"
    for at in range(len(text) + 1):
        heard = Heard()
        assert [*heard.feed(text[:at]), *heard.feed(text[at:]), *heard.flush()] == ["one", "two", "", "S>"]
    assert max(map(len, Heard().feed(b"x" * 5000))) == 512


def test_a_line_is_typed_and_mended() -> None:
    editor = Editor()
    assert editor.feed(b"DSx\x7f\r") == ["DS"]
    assert editor.feed(b"get cd\x17sd\n") == ["get sd"]
    assert editor.feed(b"rubbish\x15TS\r\n") == ["TS", ""]
    assert editor.feed(b"\x1b[A\x1b[A\r") == ["get sd"]
    assert editor.feed(b"\x1b[A\x1b[A\x1b[B\r") == ["get sd"]
    assert editor.feed("é".encode()[:1]) == []
    assert editor.feed("é".encode()[1:] + b"\r") == ["é"]
    editor.feed(b"x\x04")
    assert not editor.ended
    editor.feed(b"\x15\x04")
    assert editor.ended


async def command(folder: Path, *arguments: str, script: str = "") -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tidegate", "gateway", "console", *arguments,
        cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(script.encode()), 20)
    assert b"Traceback" not in err, err.decode()
    return process.returncode or 0, out.decode(), err.decode()


async def test_a_script_is_piped_through(tmp_path: Path) -> None:
    config = written(tmp_path, ("gauge", "sbe26plus", 60.0, '{ serial = "ports/gauge" }'), RADAR)
    async with simulated(tmp_path, "gauge", Sbe26plusSimulator(interval_s=60)), station(config) as gateway:
        await until(lambda: gateway.instruments["gauge"].open)
        script = "/commands\n/hex 0g\nDS\n"
        code, out, err = await command(tmp_path, "gauge", "--wait", "1.0", script=script)
        assert code == 0, err
        assert "SBE 26plus" in out
        assert "gauge: " in err
        assert "'0g' is not bytes in hexadecimal" in err
        assert [u.data for _, u in gateway.raw.read(0) if u.direction is Direction.TYPED] == [b"DS\r\n"]
        code, out, err = await command(tmp_path, "radar")
        assert (code, out) == (1, "")
        assert "is on Modbus" in err


async def test_without_a_gateway_it_says_how_to_start_one(tmp_path: Path) -> None:
    written(tmp_path, GAUGE, broker=free_port())
    code, out, err = await command(tmp_path, "gauge")
    assert (code, out) == (1, "")
    assert f"no gateway runs on {tmp_path}/station; `tidegate gateway run` starts one" in err
    (tmp_path / "station.toml").unlink()
    code, out, err = await command(tmp_path, "gauge")
    assert (code, out) == (2, "")
    assert "station.toml: No such file or directory; name the gateway's TOML file" in err


async def test_at_a_terminal_heard_and_typed_lines_stay_apart(tmp_path: Path) -> None:
    async with simulated(tmp_path, "ctd"), station(written(tmp_path, CTD)) as gateway:
        await until(lambda: gateway.instruments["ctd"].health.samples)
        master, slave = os.openpty()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tidegate", "gateway", "console", "ctd", "--minutes", "1",
            cwd=tmp_path, stdin=slave, stdout=slave, stderr=slave,
        )  # fmt: skip
        os.close(slave)
        os.set_blocking(master, False)
        seen = ""

        def look() -> str:
            nonlocal seen
            with contextlib.suppress(OSError):  # nothing
                seen += os.read(master, 65536).decode()
            return seen

        await until(lambda: "/quit to end" in look())
        os.write(master, b"D\x7fDS")
        await until(lambda: "ctd> DS" in look())
        os.write(master, b"\r")
        await until(lambda: "</StatusData>\r\n" in look())
        os.write(master, b"/quit\r")
        assert await asyncio.wait_for(process.wait(), 5) == 0
        os.close(master)
        assert [u.data for _, u in gateway.raw.read(0) if u.direction is Direction.TYPED] == [b"DS\r\n"]
