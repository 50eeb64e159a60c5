"""The demo, as a newcomer runs it: real processes, and nothing lost or doubled, whatever broker and database."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from demo.run import free_port
from tests.servers import influxdb


def run(*arguments: str) -> dict[str, object]:
    command = [sys.executable, "-m", "tidegate", "demo", "--json", "--port", str(free_port()), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, object] = json.loads(done.stdout)
    return report


def check(report: dict[str, object]) -> None:
    assert report["lost"] == 0
    assert report["duplicated"] == 0
    assert report["acquired"] == report["journaled"] == report["stored"]
    assert isinstance(report["acquired"], int)
    assert report["acquired"] > 100
    flags = report["flags"]
    assert isinstance(flags, dict)
    assert flags["3"] > 0  # the instruments are up to mischief, and it shows
    assert flags["4"] > 0


def test_nothing_is_lost_or_doubled_in_duckdb() -> None:
    check(run("--seconds", "20"))


def test_nothing_is_lost_or_doubled_in_influxdb() -> None:
    with influxdb() as server:
        check(run("--seconds", "12", "--influxdb", server.url, "--embedded-broker"))


def test_ctrl_c_stops_everything_and_still_proves_it(tmp_path: Path) -> None:
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "tidegate",
        "demo",
        "--json",
        "--port",
        str(port),
        "--directory",
        str(tmp_path / "d"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        deadline_s = time.monotonic() + 60
        while time.monotonic() < deadline_s:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/platforms", timeout=2) as answer:
                    platforms = json.load(answer)["platforms"]
                if sum(p["samples"] for p in platforms) > 50:
                    break
            except OSError:
                pass
            time.sleep(0.3)
        else:
            pytest.fail("the demo did not come up within 60 s")
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=40)
    finally:
        process.kill()
    assert process.returncode == 0, out
    assert json.loads(out)["lost"] == 0
    logs = tmp_path / "d" / "logs"
    for name in ("hub", "station", "ship"):
        text = (logs / f"{name}.log").read_text()
        assert "Traceback" not in text, text
    left = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path) not in left.replace(str(os.getpid()), "")
