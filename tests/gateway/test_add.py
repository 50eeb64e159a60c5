"""`tidegate gateway add`: what is asked, proposed and written; and a file that is never spoilt."""

import asyncio
import os
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from drivers.driver import load
from gateway import config
from gateway.add import (
    NotAdded,
    broker_of,
    head_table,
    instrument_table,
    line_of,
    port_of,
    port_table,
    position_of,
    proposed_name,
    put_behind,
    table_of,
    toml_value,
)
from gateway.cli import app
from gateway.simulate import build, host
from tests.gateway.counting import Pty
from tests.gateway.stations import simulated
from tests.gateway.terminals import Terminal
from tests.servers import free_port

HEAD = """\
# The jetty.   Do not touch\tthe tabs!
[platform]
name   = 'jetty'      # its name
latitude = 1.2
longitude = 103.8

[broker]
host = "127.0.0.1"
[storage]
directory = "data"
[instruments.nav]   # the compass
driver = "nmea0183"
interval_s = 1.0
port = { serial = "nav" }
# end"""
CTD = ("--driver", "sbe37", "--port", "ports/ctd", "--yes")


@pytest.fixture
def station(tmp_path: Path) -> Path:
    path = tmp_path / "station.toml"
    path.write_bytes(HEAD.encode())
    path.chmod(0o640)
    return path


def added(folder: Path, *arguments: str) -> Result:
    """The command as it ran in that folder, in this process, which is faster than one of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        result = CliRunner().invoke(app, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


# ---- by options ------------------------------------------------------------------------------------------------------


def test_a_new_file_by_options(tmp_path: Path) -> None:
    new = ("--platform", "tioman-1", "--position", "2.8167,104.16", "--broker", "mqtt.example.org:8883")
    done = added(tmp_path, "add", "station.toml", *CTD, *new, "--storage", "keep", "--interval-s", "5")
    assert (done.exit_code, done.stderr) == (0, "")
    loaded = config.load(tmp_path / "station.toml")
    assert (loaded.platform.name, loaded.platform.latitude, loaded.platform.longitude) == ("tioman-1", 2.8167, 104.16)
    assert (loaded.broker.host, loaded.broker.port) == ("mqtt.example.org", 8883)
    assert loaded.storage.directory == tmp_path / "keep"
    ctd = loaded.instruments["ctd-1"]
    assert (ctd.driver, ctd.interval_s) == ("sbe37", 5.0)
    assert ctd.port == config.SerialPort(serial=tmp_path / "ports/ctd", baud=9600)
    assert "tidegate gateway try ctd-1 station.toml" in done.stdout
    assert added(tmp_path, "check", "station.toml").exit_code == 0


def test_the_rest_of_the_file_stays_as_it_is(station: Path) -> None:
    done = added(station.parent, "add", "station.toml", *CTD)
    assert (done.exit_code, done.stderr) == (0, "")
    text = station.read_bytes().decode()
    assert text.startswith(HEAD + "\n\n[instruments.ctd-1]\n")
    assert stat.S_IMODE(station.stat().st_mode) == 0o640
    assert sorted(path.name for path in station.parent.iterdir()) == ["station.toml"]
    done = added(station.parent, "add", "station.toml", "--driver", "sbe37", "--port", "10.0.0.5:4001", "--yes")
    assert list(config.load(station).instruments) == ["nav", "ctd-1", "ctd-2"]


def test_a_file_behind_a_link_and_with_other_line_ends(station: Path) -> None:
    station.write_bytes(HEAD.replace("\n", "\r\n").encode() + b"\r\n")
    link = station.parent / "link.toml"
    link.symlink_to(station)
    assert added(station.parent, "add", "link.toml", *CTD).exit_code == 0
    assert link.is_symlink()
    data = station.read_bytes()
    assert data.count(b"\n") == data.count(b"\r\n")
    assert "ctd-1" in config.load(station).instruments


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((*CTD, "--name", "nav"), "has an instrument 'nav' already"),
        ((*CTD, "--name", "CTD 1"), "'ctd-1' would do"),
        (("--driver", "sbe73", "--port", "x", "--yes"), "did you mean 'sbe37'?"),
        (("--driver", "sbe37", "--port", "./nav", "--yes"), "'nav' uses"),
        (("--driver", "sbe37", "--port", "nowhere", "--yes"), "neither a device that is there"),
        (("--driver", "sbe37", "--port", "./ctd 9601", "--yes"), "did you mean 9600?"),
        ((*CTD, "--set", "columns=temprature"), "'temperature'"),
        ((*CTD, "--set", "polled=true"), "polled: no setting is called so; known here: `mode`"),
        ((*CTD, "--interval-s", "0"), "no number of seconds"),
        (("--driver", "modbus", "--port", "127.0.0.1:9", "--yes"), "give --set map="),
        (("--driver", "modbus", "--port", "10.0.0.5", "--set", "map=keler", "--yes"), "did you mean 'keller'?"),
        (("--driver", "sbe911plus", "--port", "ports/deck", "--yes"), "--set xmlcon="),
        (("--driver", "sbe911plus", "--port", "ports/deck", "--set", "xmlcon=a.xmlcon", "--yes"), "cannot be read"),
        (("--driver", "sbe37", "--yes"), "give --port"),
        ((*CTD, "--set", "conductivity_unit=mS/m"), "'mS/cm'"),
        ((*CTD, "--set", "columns"), "write name=value"),
        (("--driver", "ascii", "--port", "ports/x", "--set", "pattern=tsgg", "--yes"), "did you mean 'tsg'?"),
    ],
)
def test_mistakes_are_told_and_nothing_is_written(
    station: Path, arguments: tuple[str, ...], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.add.serial_ports", list)
    done = added(station.parent, "add", "station.toml", *arguments)
    assert done.exit_code in (1, 2)
    assert told in " ".join(done.stderr.split()), done.stderr
    assert station.read_bytes() == HEAD.encode()
    assert [path.name for path in station.parent.iterdir()] == ["station.toml"]


def test_a_file_that_has_mistakes_already_is_mended_first(station: Path) -> None:
    station.write_text(HEAD.replace("latitude", "latitud"))
    done = added(station.parent, "add", "station.toml", *CTD)
    assert done.exit_code == 2
    assert "station.toml:4: [platform] latitud" in done.stderr
    assert "ctd" not in station.read_text()


def test_what_is_a_good_driver_setting_is_written_as_it_was_said(station: Path) -> None:
    port = ("--port", "{ modbus_rtu = '/dev/serial/by-id/bus', baud = 9600, parity = 'none' }")
    setting = ("--set", "map=vegapuls-61", "--set", "device=3")
    assert added(station.parent, "add", "station.toml", "--driver", "modbus", *port, *setting, "--yes").exit_code == 0
    table = tomllib.loads(station.read_text())["instruments"]["tide-gauge-1"]
    assert table["settings"] == {"map": "vegapuls-61", "device": 3}
    assert table["port"] == {"modbus_rtu": "/dev/serial/by-id/bus", "baud": 9600, "parity": "none"}


# ---- by questions ----------------------------------------------------------------------------------------------------


async def test_the_questions_of_a_new_station(tmp_path: Path) -> None:
    (tmp_path / "ports").mkdir()
    async with simulated(tmp_path, "ctd"):
        await asyncio.to_thread(_answer, tmp_path)
    loaded = config.load(tmp_path / "station.toml")
    assert loaded.platform.moving
    assert loaded.instruments["ctd-1"].driver == "sbe37"
    assert loaded.instruments["ctd-1"].interval_s == 1.0


def _answer(folder: Path) -> None:
    with Terminal(folder, "add") as terminal:
        terminal.expect("Name of the platform")
        terminal.type("Pulau Tioman")
        terminal.expect("'pulau-tioman' would do")
        terminal.type("pulau-tioman")
        terminal.expect("Position")
        terminal.type("somewhere")
        terminal.expect("write it as 2.8167,104.16")
        terminal.type("moving")
        terminal.expect("MQTT broker")
        terminal.type("")
        terminal.expect("Folder")
        terminal.type("")
        terminal.expect("Where is it connected")
        terminal.type("ports/none here")
        terminal.expect("write it as 9600 8N1")
        terminal.type("ports/ctd")
        terminal.expect("Listen there")
        terminal.type("y")
        terminal.expect(r"sbe37: Sea-Bird SBE 37", within_s=25)
        terminal.expect("Temperature [0-9.]+ degC")
        terminal.expect("Any other setting|Which is it")
        if "Which is it" in terminal.seen:
            choice = next(line.split()[0] for line in terminal.seen.splitlines() if " sbe37: " in line)
            terminal.type(choice)
            terminal.expect("Any other setting")
        terminal.type("?")
        terminal.expect("conductivity_unit")
        terminal.type("conductivity_unit=mS/m")
        terminal.expect("mS/cm")
        terminal.type("conductivity_unit=S/m")
        terminal.expect("Any other setting")
        terminal.type("")
        terminal.expect(r"Its name \[ctd-1\]")
        terminal.type("")
        terminal.expect(r"Seconds between its samples.*\[1\]")
        terminal.type("")
        terminal.expect(r"\[instruments.ctd-1\]")
        terminal.expect("Write this")
        terminal.type("y")
        terminal.expect("tidegate gateway try ctd-1 station.toml")
        assert terminal.end() == 0


async def test_a_gauge_on_modbus_is_found(tmp_path: Path) -> None:
    (tmp_path / "station.toml").write_text(HEAD)
    stop, port = asyncio.Event(), free_port()
    simulator = build("radar", 1.0, [])
    hosting = host(simulator, ledger=tmp_path / "ledger", stop=stop, modbus_tcp=f"127.0.0.1:{port}")
    task = asyncio.create_task(hosting)
    try:
        arguments = ("add", "station.toml", "--driver", "modbus", "--port", f"127.0.0.1:{port}", "--yes")
        done = await asyncio.to_thread(added, tmp_path, *arguments)
    finally:
        stop.set()
        await task
    assert (done.exit_code, done.stderr) == (0, "")
    table = tomllib.loads((tmp_path / "station.toml").read_text())["instruments"]["tide-gauge-1"]
    assert table["settings"]["map"] == "vegapuls-61"
    assert table["port"] == {"modbus_tcp": f"127.0.0.1:{port}"}


def test_a_technician_who_has_had_enough(station: Path) -> None:
    with Terminal(station.parent, "add", *CTD[:4]) as terminal:
        terminal.expect("Any other setting")
        terminal.type("")
        terminal.expect("Its name")
        terminal.type("")
        terminal.expect("Seconds")
        terminal.type("")
        terminal.expect("Write this")
        terminal.type("n")
        assert terminal.end() == 1
        assert "nothing was written" in terminal.seen
    with Terminal(station.parent, "add", *CTD[:4]) as terminal:
        terminal.expect("Any other setting")
        terminal.interrupt()
        assert terminal.end() != 0
        assert "Traceback" not in terminal.seen
    assert station.read_bytes() == HEAD.encode()


def test_a_silent_port_is_said_to_be_silent(station: Path) -> None:
    (station.parent / "ports").mkdir()
    pty = Pty(station.parent / "ports/quiet")
    with Terminal(station.parent, "add", "--port", "./ports/quiet") as terminal:
        terminal.expect("Listen there")
        terminal.type("n")
        terminal.expect("Which driver")
        terminal.type("?")
        terminal.expect("valeport: ")
        terminal.expect("Which driver")
        terminal.type("valeport")
        terminal.expect("Any other setting")
        terminal.interrupt()
        terminal.end()
    os.close(pty.master)


# ---- the file --------------------------------------------------------------------------------------------------------

GOOD = '\n[instruments.a]\ndriver = "sbe37"\ninterval_s = 1.0\nport = { tcp = "h:1" }\n'


def test_a_file_that_was_changed_meanwhile_is_left_alone(station: Path) -> None:
    before = station.read_bytes()
    station.write_bytes(before + b"\n# a word by somebody else\n")
    with pytest.raises(NotAdded, match="changed meanwhile"):
        put_behind(station, before, GOOD)
    assert station.read_bytes().endswith(b"# a word by somebody else\n")


def test_instruments_in_one_line_cannot_be_added_to(station: Path) -> None:
    text = HEAD[: HEAD.index("[instruments")]
    before = f'instruments = {{ n = {{ driver = "nmea0183", interval_s = 1, port = {{ udp = 1 }} }} }}\n{text}'.encode()
    station.write_bytes(before)
    with pytest.raises(NotAdded, match=r"(?s)station\.toml:\d+: .*nothing was written"):
        put_behind(station, before, GOOD)
    assert station.read_bytes() == before
    assert len(list(station.parent.iterdir())) == 1


def test_a_folder_that_cannot_be_written_to() -> None:
    with pytest.raises(NotAdded, match="cannot be written to"):
        put_behind(Path("/proc/station.toml"), None, GOOD)


def test_the_owner_stays(station: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(station, 1234, 2345)
    put_behind(station, station.read_bytes(), GOOD)
    assert (station.stat().st_uid, station.stat().st_gid) == (1234, 2345)


_VALUES = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text('aZ9 ü"\\.\x7f', max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(_VALUES)
@settings(max_examples=100, derandomize=True, deadline=None)
def test_values_are_written_as_toml(value: Any) -> None:
    assert tomllib.loads(f"x = {toml_value(value)}") == {"x": value}


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,30}", fullmatch=True), _VALUES, max_size=5))
@settings(max_examples=50, derandomize=True, deadline=None)
def test_an_instrument_is_written_as_toml(values: dict[str, Any]) -> None:
    text = instrument_table("a-1", "sbe37", 2.5, {"tcp": "h:1"}, values)
    table = tomllib.loads(text)["instruments"]["a-1"]
    assert table.pop("settings", {}) == values
    assert table == {"driver": "sbe37", "interval_s": 2.5, "port": {"tcp": "h:1"}}


# ---- what is said of a port ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "driver", "table"),
    [
        ("/dev/ttyUSB0", "sbe37", {"serial": "/dev/ttyUSB0"}),
        ("/dev/ttyUSB0 4800", "sbe37", {"serial": "/dev/ttyUSB0", "baud": 4800}),
        ("/dev/ttyUSB0 9600 8N1", "sbe37", {"serial": "/dev/ttyUSB0", "baud": 9600}),
        (
            "/dev/ttyUSB0 9600 7e2",
            "sbe37",
            {"serial": "/dev/ttyUSB0", "baud": 9600, "parity": "even", "data_bits": 7, "stop_bits": 2},
        ),
        ("/dev/ttyUSB0 19200 8E1", "modbus", {"modbus_rtu": "/dev/ttyUSB0", "baud": 19200, "parity": "even"}),
        ("10.0.0.5:4001", "rbr", {"tcp": "10.0.0.5:4001"}),
        ("10.0.0.5:4001", None, {"tcp": "10.0.0.5:4001"}),
        ("10.0.0.5", "modbus", {"modbus_tcp": "10.0.0.5"}),
        ("udp:10110", "nmea0183", {"udp": 10110}),
        ("{ tcp = 'h:1' }", "rbr", {"tcp": "h:1"}),
    ],
)
def test_where_it_is_connected(text: str, driver: str | None, table: dict[str, Any]) -> None:
    assert port_table(text, load(driver) if driver else None) == table
    port = port_of(table, Path("/etc"))
    assert port_of(table_of(port), Path("/etc")) == port


def test_small_answers() -> None:
    assert line_of("4800") == {"baud": 4800}
    assert position_of("-8.5 115.25") == {"latitude": -8.5, "longitude": 115.25}
    assert position_of("Moving") == {"moving": True}
    assert broker_of("h") == {"host": "h"}
    assert broker_of("h:1") == {"host": "h", "port": 1}
    assert proposed_name("tide_gauge", ["tide-gauge-1", "tide-gauge-3"]) == "tide-gauge-2"
    with pytest.raises(ValueError, match="no line setting"):
        line_of("fast")
    with pytest.raises(ValueError, match="not on Earth"):
        position_of("104,2.8")
    with pytest.raises(ValueError, match="no table"):
        port_table("{", None)
    assert tomllib.loads(head_table("a", {"moving": True}, {"host": "h"}, "d"))["storage"] == {"directory": "d"}
