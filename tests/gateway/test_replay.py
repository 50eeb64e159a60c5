"""`tidegate replay` brings a recording through broker and hub into the database, as `tidegate decode` tells it."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo import archive
from demo.ledger import compare
from gateway.decode import make_driver
from tests.gateway.test_run import Rig, heard_in, rigged
from tests.recordings import DATA, needs_recordings

INSTRUMENTS = """
[platform]
name = "palmer"
moving = true
[broker]
host = "127.0.0.1"
port = {broker}
[storage]
directory = "station"
[instruments.adcp]
driver = "trdi_pd0"
interval_s = 1.0
port = {{ serial = "/dev/null-adcp" }}
[instruments.nav]
driver = "nmea0183"
interval_s = 1.0
port = {{ serial = "/dev/null-nav" }}
[instruments.gyro]
driver = "nmea0183"
interval_s = 1.0
port = {{ serial = "/dev/null-gyro" }}
[instruments.ctd]
driver = "sbe16plus"
interval_s = 10.0
port = {{ serial = "/dev/null-ctd" }}
settings = {{ columns = ["temperature", "conductivity", "pressure", "time"] }}
"""


class Replay:
    """A replay that has ended."""

    def __init__(self, folder: Path, file: Path, driver: str, *more: object, speed: float = 0) -> None:
        command = [sys.executable, "-m", "tidegate", "replay", str(file), "--driver", driver, "--station"]
        options = ["station.toml", "--speed", str(speed), *map(str, more)]
        start_s = time.monotonic()
        done = subprocess.run([*command, *options], cwd=folder, capture_output=True, text=True, timeout=40, check=False)
        self.took_s = time.monotonic() - start_s
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr
        assert "Traceback" not in self.err, self.err


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with rigged(tmp_path) as rig:
        (tmp_path / "station.toml").write_text(INSTRUMENTS.format(broker=rig.broker.port))
        yield rig


@needs_recordings
def test_recordings_arrive_as_decode_tells_them(rig: Rig, tmp_path: Path) -> None:
    pcod = tmp_path / "pcod"
    pcod.write_bytes((DATA / "cruise/NBP1406/NBP1406_PCOD-2014-08-01").read_bytes()[:60_000])
    recordings: dict[str, tuple[Path, str, list[str]]] = {
        "adcp": (DATA / "adcp/pd0_mhkit/winriver02.PD0", "trdi_pd0", []),
        "nav": (pcod, "nmea0183", []),
        "ctd": (
            DATA / "ctd/ooi_ctdbp_sbe16plusv2/20131123.ctdbp1_many_corrected.log",
            "sbe16plus",
            ["columns=temperature,conductivity,pressure,time"],
        ),
    }
    rig.hub()
    for name, (path, driver, _) in recordings.items():
        done = Replay(tmp_path, path, driver, "--instrument", name)
        assert (done.code, done.out) == (0, "")
        assert "not at the hub yet" not in done.err
    rig.until(rig.stored)
    with urllib.request.urlopen(f"http://127.0.0.1:{rig.http}/platforms", timeout=5) as answer:
        (platform,) = json.load(answer)["platforms"]
    assert {i["name"] for i in platform["instruments"]} == {"adcp", "nav", "gyro", "ctd"}  # the station whole
    rig.end("hub", within_s=10)
    stored = archive.stored(tmp_path / "hub/archive.duckdb")
    for name, (path, driver, settings) in recordings.items():
        said = heard_in(path, make_driver(driver, name, settings))
        result = compare(name, said, stored[("palmer", name)])
        assert (result.lost, result.duplicated) == (0, 0), result.remarks
        assert result.acquired > 10
    # The times are the recorded ones: the gyro-less course and speed have the logger's.
    assert min(s.time_ns for s in stored[("palmer", "nav")]) // 10**9 == 1406851199


@needs_recordings
def test_the_recorded_pace_is_kept_times_the_speed(rig: Rig, tmp_path: Path) -> None:
    rig.hub()
    rig.until(lambda: bool(rig.overview()["hub"]))
    lines = (DATA / "cruise/NBP1406/NBP1406_gyr1-2014-08-01").read_bytes().splitlines(keepends=True)[:400]
    (tmp_path / "gyro").write_bytes(b"".join(lines))
    began, ended = (float(line[17:26]) + 60 * float(line[14:16]) for line in (lines[0], lines[-1]))
    at_once = Replay(tmp_path, tmp_path / "gyro", "nmea0183", "--instrument", "gyro")
    paced = Replay(tmp_path, tmp_path / "gyro", "nmea0183", "--instrument", "gyro", speed=(ended - began) / 2.5)
    assert 1.5 < paced.took_s - at_once.took_s < 6.0
    # A PD0 file has no stamps: its ensembles' own times set the pace. One is between two of the 22 each ten minutes.
    adcp = DATA / "adcp/pd0_mhkit/RDI_test01.000"
    times = [said.time_ns for said in heard_in(adcp, make_driver("trdi_pd0", "adcp", []))]
    span_s = (max(t for t in times if t) - min(t for t in times if t)) / 1e9
    paced = Replay(tmp_path, adcp, "trdi_pd0", speed=span_s / 2.5)
    assert 1.5 < paced.took_s - at_once.took_s < 6.0


def test_without_a_hub_it_ends_and_the_gateway_delivers_later(rig: Rig, tmp_path: Path) -> None:
    line = b"  18.1234,  4.56789,   10.123, 01 Jan 2024, 00:00:%02d\r\n"
    (tmp_path / "log").write_bytes(b"".join(line % k for k in range(60)))
    rig.broker.stop()
    rig.start("replay", "replay", "log", "--driver", "sbe16plus", "--station", "station.toml", "--speed", 0)
    assert rig.running.pop("replay").wait(25) == 0
    assert "60 samples, 0 problems\n" in rig.log("replay")
    assert "not at the hub yet; the gateway sends them when it next runs" in rig.log("replay")
    rig.broker.start()
    rig.hub()
    rig.until(lambda: "listening" in rig.log("hub"))
    rig.gateway()
    rig.until(lambda: rig.samples().get("ctd") == 60)
    rig.end("gateway")


def test_a_raw_log_with_its_breaks_is_replayed(rig: Rig, tmp_path: Path) -> None:
    from gateway.rawlog import Direction, RawLog, Utterance
    from tidegate.clock import Arrival

    raw = RawLog(tmp_path / "old", 10_000_000)
    for k, (direction, data) in enumerate(
        [
            (Direction.HEARD, b"  18.1234,  4.56789,   10.123, 01 Jan 2024, 00:00:01\r\n  18.1"),
            (Direction.ENDED, b"unplugged"),
            (Direction.HEARD, b"234,  4.56789,   10.123, 01 Jan 2024, 00:00:02\r\n"),
            (Direction.HEARD, b"  18.1234,  4.56789,   10.123, 01 Jan 2024, 00:00:03\r\n"),
        ]
    ):
        raw.append(Utterance("microcat", direction, Arrival(1_700_000_000_000_000_000 + k, k, "00" * 8, True), data))
    raw.close()
    rig.hub()
    done = Replay(tmp_path, tmp_path / "old", "sbe16plus")
    assert done.code == 0
    assert "2 samples, 3 problems" in done.err  # the two halves, and that it was unplugged


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("nofile", "sbe16plus"), 1, "nofile: No such file or directory"),
        (("empty", "sbe16plus"), 1, "empty: is empty"),
        (("folder", "sbe16plus"), 1, "folder: no raw log"),
        (("log", "sbe37"), 2, "the station has no instrument with driver 'sbe37'; it has: adcp (trdi_pd0), nav"),
        (("log", "sbe16plus", "--instrument", "nav"), 2, "no instrument 'nav' with driver 'sbe16plus'"),
        (("log", "nmea0183"), 2, "several instruments have driver nmea0183; choose one: nav, gyro"),
        (("log", "sbe16plus", "--station", "none.toml"), 2, "none.toml:1: cannot be read (No such file or directory)"),
        (("log", "sbe16plus", "--speed", "-1"), 2, "speed"),
    ],
)
def test_mistakes_are_answered(rig: Rig, tmp_path: Path, arguments: tuple[Any, ...], code: int, words: str) -> None:
    (tmp_path / "log").write_bytes(b"1\n")
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    file, driver, *more = arguments
    done = Replay(tmp_path, Path(file), driver, *more)
    assert done.code == code, done.err
    assert words in " ".join(done.err.replace("│", " ").split())


def test_a_station_whose_gateway_runs_is_refused(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"  18.1234,  4.56789,   10.123, 01 Jan 2024, 00:00:01\r\n")
    rig.gateway()
    rig.until(lambda: (tmp_path / "station/spool/epoch").exists())
    done = Replay(tmp_path, tmp_path / "log", "sbe16plus")
    assert done.code == 1
    assert f"a gateway is already running on {tmp_path}/station" in done.err
    rig.end("gateway")
