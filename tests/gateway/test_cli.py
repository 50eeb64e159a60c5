"""The technician's commands answer every mistake with what, where and the remedy, and never with a traceback."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.gateway.counting import Pty, sentence
from tests.servers import free_port

GOOD = """
[platform]
name = "jetty"
latitude = 1.2
longitude = 103.8
[broker]
host = "127.0.0.1"
port = {port}
[storage]
directory = "data"
[instruments.nav]
driver = "nmea0183"
interval_s = 1.0
port = {{ serial = "nav" }}
"""


class Done:
    """A command that has ended."""

    def __init__(self, folder: Path, *arguments: str, timeout_s: float = 20.0) -> None:
        command = [sys.executable, "-m", "tidegate", "gateway", *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=timeout_s, check=False)
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr
        assert "Traceback" not in self.err, self.err


@pytest.fixture
def station(tmp_path: Path) -> Path:
    (tmp_path / "station.toml").write_text(GOOD.format(port=free_port()))
    return tmp_path


def test_check_says_what_is_good(station: Path) -> None:
    done = Done(station, "check", "station.toml")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("station.toml: good. Platform jetty, 1 instrument")
    assert f"nav: nmea0183 on serial {station}/nav 9600 8N1" in done.out


@pytest.mark.parametrize("command", ["check", "run"])
def test_every_mistake_of_the_file_is_named_with_its_line(station: Path, command: str) -> None:
    text = (station / "station.toml").read_text().replace('"nmea0183"', '"nmea"').replace("latitude", "latitud")
    (station / "station.toml").write_text(text)
    done = Done(station, command, "station.toml")
    assert (done.code, done.out) == (2, "")
    lines = done.err.splitlines()
    assert any(line.startswith("station.toml:4: [platform] latitud") and "latitude" in line for line in lines)
    assert any(line.startswith("station.toml:12: [instruments.nav] driver") and "nmea0183" in line for line in lines)
    assert not (station / "data").exists()


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_file_that_is_missing_or_no_toml(tmp_path: Path, command: str) -> None:
    done = Done(tmp_path, command, "none.toml")
    assert done.code == 2
    assert done.err.startswith("none.toml:1: cannot be read (No such file or directory)")
    (tmp_path / "bad.toml").write_text("[platform\n")
    done = Done(tmp_path, command, "bad.toml")
    assert done.code == 2
    assert done.err.startswith("bad.toml:1: this is not TOML")
    assert Done(tmp_path, command).code == 2


def test_the_schema_is_json_and_knows_the_drivers(tmp_path: Path) -> None:
    done = Done(tmp_path, "schema")
    assert done.code == 0
    assert "nmea0183" in json.loads(done.out)["$defs"]["Instrument"]["properties"]["driver"]["enum"]


def test_a_directory_that_cannot_be_written_to(station: Path) -> None:
    text = (station / "station.toml").read_text()
    (station / "station.toml").write_text(text.replace('"data"', '"/proc/data"'))  # not even for root
    done = Done(station, "run", "station.toml")
    assert done.code == 1
    (line,) = done.err.splitlines()
    assert line.startswith("cannot keep data in [storage] directory /proc/data: ")
    assert "No such file or directory" in line or "ermission" in line


def test_a_broker_that_is_not_there_is_no_reason_to_stop_measuring(station: Path) -> None:
    pty = Pty(station / "nav")
    with (station / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tidegate", "gateway", "run", "station.toml"], cwd=station, stderr=log
        )
    try:
        end_s = time.monotonic() + 15
        spool = station / "data/spool"
        while not (
            sum(f.stat().st_size for f in spool.glob("*.segment")) > 300 and "refused" in (station / "log").read_text()
        ):
            assert time.monotonic() < end_s, (station / "log").read_text()
            assert process.poll() is None
            pty.say(sentence(b"HEHDT,251.5,T"))
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    text = (station / "log").read_text()
    assert "Traceback" not in text
    assert text.count("refused") == 1  # said once, not at each attempt
    assert "stay in the spool until the next start" in text
    os.close(pty.master)


def test_a_port_that_is_not_there_is_told_and_waited_for(station: Path) -> None:
    with (station / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tidegate", "gateway", "run", "station.toml"], cwd=station, stderr=log
        )
    try:
        end_s = time.monotonic() + 15
        while f"{station}/nav is not there" not in (station / "log").read_text():
            assert time.monotonic() < end_s
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert "Traceback" not in (station / "log").read_text()
