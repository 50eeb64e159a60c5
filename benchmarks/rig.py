"""What benchmarks share: real servers and a real hub as child processes, a publisher of Envelopes, and medians.

Everything listens on free ports of the loopback, lives in a folder of its own and is ended by the process that was
started. A program that is missing raises RuntimeError: a benchmark never measures something else instead.
"""

import json
import multiprocessing
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.servers import InfluxDB, Mosquitto, find_program
from tidegate.messages import Ack, Birth
from tidegate.topics import of_all_platforms, split, topic

_Server = TypeVar("_Server", InfluxDB, Mosquitto)
_START_S = 30.0
_STOP_S = 15.0


@contextmanager
def _running(kind: Callable[[str, Path], _Server], program: str) -> Iterator[_Server]:
    found = find_program(program)
    if found is None:
        raise RuntimeError(f"this benchmark needs {program}; install it")
    with TemporaryDirectory(prefix=f"{program}-") as folder:
        server = kind(found, Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def mosquitto() -> Iterator[Mosquitto]:
    """A running broker that keeps nothing on disk."""
    with _running(Mosquitto, "mosquitto") as server:
        yield server


@contextmanager
def influxdb() -> Iterator[InfluxDB]:
    """A running InfluxDB 1.x with nothing in it."""
    with _running(InfluxDB, "influxd") as server:
        yield server


@dataclass(frozen=True, slots=True)
class RunningHub:
    """A `tidegate hub run` as a child process."""

    url: str
    process: "subprocess.Popen[str]"

    def cpu_s(self) -> float:
        """Processor time that it has used so far, of all its threads."""
        import psutil

        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)


@contextmanager
def hub(broker: Mosquitto, extra_toml: str) -> Iterator[RunningHub]:
    """A hub with a fresh folder, listening to `broker`; `extra_toml` adds tables to its settings."""
    with TemporaryDirectory(prefix="hub-") as name:
        folder = Path(name)
        config = folder / "hub.toml"
        config.write_text(
            f'[hub]\nname = "benchmark"\ndirectory = "{folder}/data"\n'
            f'[broker]\nhost = "{broker.host}"\nport = {broker.port}\n[http]\nport = 0\n{extra_toml}'
        )
        log = folder / "log"
        with log.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "tidegate", "hub", "run", str(config)],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            if not url:
                raise RuntimeError(f"the hub does not start:\n{log.read_text()}")
            yield RunningHub(url, process)
            if process.poll() is not None:
                raise RuntimeError(f"the hub has ended with {process.returncode}:\n{log.read_text()}")
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()


@dataclass(frozen=True, slots=True)
class Published:
    """What a publisher saw, on this machine's monotonic clock."""

    first_s: float
    """When it began to publish."""
    acked_s: float
    """When the hub had acknowledged every Envelope."""


def publish(
    broker: Mosquitto, births: Sequence[Birth], envelopes: Sequence[tuple[str, bytes]], timeout_s: float
) -> Published:
    """Publish births, and when the hub has answered them all, Envelopes as (platform, bytes), at QoS 1 in a process
    of its own; return when the hub has acknowledged everything. Raises RuntimeError where it does not in time."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    arguments = (theirs, broker.host, broker.port, list(births), list(envelopes))
    process = context.Process(target=_publisher, args=arguments, daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(timeout_s):
            raise RuntimeError(f"the hub has not acknowledged everything after {timeout_s:.0f} s")
        return Published(*ours.recv())
    finally:
        process.terminate()
        process.join()


def _publisher(pipe: Any, host: str, port: int, births: list[Birth], envelopes: list[tuple[str, bytes]]) -> None:
    last = {birth.platform: 0 for birth in births}
    for platform, _ in envelopes:
        last[platform] += 1
    through: dict[str, int] = {}
    ready, answered, done = threading.Event(), threading.Event(), threading.Event()

    def on_message(_client: object, _userdata: object, message: paho.MQTTMessage) -> None:
        place = split(message.topic)
        assert place is not None
        through[place[0]] = Ack.model_validate_json(message.payload).through
        if through.keys() == last.keys():
            answered.set()
        if through == last:
            done.set()

    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.max_inflight_messages_set(500)
    client.on_message = on_message
    client.on_subscribe = lambda *_: ready.set()
    client.connect(host, port)
    client.loop_start()
    client.subscribe(of_all_platforms("ack"), qos=1)
    ready.wait()
    for birth in births:
        client.publish(topic(birth.platform, "birth"), birth.model_dump_json(), qos=1, retain=True)
    answered.wait()
    first_s = time.monotonic()
    topics = {platform: topic(platform, "live") for platform in last}
    for platform, data in envelopes:
        client.publish(topics[platform], data, qos=1)
    done.wait()
    pipe.send((first_s, time.monotonic()))
    client.loop_stop()


def query(server: InfluxDB, statement: str, database: str = "", method: str = "GET") -> list[dict[str, Any]]:
    """The series that an InfluxQL statement answers with."""
    parameters = urllib.parse.urlencode({"q": statement, "db": database})
    request = urllib.request.Request(f"{server.url}/query?{parameters}", method=method)
    with urllib.request.urlopen(request, timeout=120) as answer:
        (result,) = json.loads(answer.read())["results"]
    if "error" in result:
        raise RuntimeError(f"{statement}: {result['error']}")
    series: list[dict[str, Any]] = result.get("series", [])
    return series


def counts(server: InfluxDB, database: str, measurement: str, field: str = "*") -> Mapping[str, int]:
    """How many values a field has, or each field of a measurement, by `count_<field>`; empty where there are none."""
    what = field if field == "*" else f'"{field}"'
    found = query(server, f"SELECT count({what}) FROM {measurement}", database)
    return dict(zip(found[0]["columns"][1:], found[0]["values"][0][1:], strict=True)) if found else {}


def wait_for_points(
    server: InfluxDB, database: str, measurement: str, field: str, points: int, timeout_s: float
) -> float:
    """When so many values of the field could be counted, on the monotonic clock. Raises RuntimeError where they do not
    come in time."""
    end_s = time.monotonic() + timeout_s
    found = 0
    while time.monotonic() < end_s:
        asked_s = time.monotonic()
        found = next(iter(counts(server, database, measurement, field).values()), 0)
        now_s = time.monotonic()
        if found >= points:
            return now_s
        time.sleep(max(0.1, 4 * (now_s - asked_s)))  # counting costs the server a fifth of one core at most
    raise RuntimeError(f"{found} of {points} points are in {database} after {timeout_s:.0f} s")


def medians(rounds: int, measure: Callable[[], Mapping[str, float]]) -> dict[str, float]:
    """Of each figure the median of so many rounds."""
    measured = [measure() for _ in range(rounds)]
    return {name: median(one[name] for one in measured) for name in measured[0]}
