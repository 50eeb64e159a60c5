"""Real servers for tests: started on a free port of the loopback, ended by the process that was started.

with mosquitto() as broker:
    ... broker.host, broker.port ...
    broker.stop(); broker.start()      # same port; what it had is gone, as a broker without persistence loses it
"""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

_PLACES = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")


def free_port() -> int:
    """A TCP port of the loopback that nobody has at this moment."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


def find_program(name: str) -> str | None:
    """Where a program is, the folders of system programs included."""
    return shutil.which(name) or next((str(Path(p, name)) for p in _PLACES if Path(p, name).exists()), None)


def wait_for_port(port: int, process: subprocess.Popen[bytes], timeout_s: float = 10.0) -> None:
    """Return when somebody listens on `port`. Raises RuntimeError where the process ends, or time is up, before."""
    end_s = time.monotonic() + timeout_s
    while time.monotonic() < end_s:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode} before it listened on port {port}")
        with socket.socket() as s:
            s.settimeout(0.2)
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise RuntimeError(f"{process.args!r} does not listen on port {port} after {timeout_s} s")


class _Server:
    """A program that listens on `port`, and can be stopped and started again there."""

    host = "127.0.0.1"

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.command: list[str] = []
        self.process: subprocess.Popen[bytes] | None = None
        self._log = folder / "server.log"

    @property
    def url(self) -> str:
        """Where it listens, for servers that speak HTTP."""
        return f"http://{self.host}:{self.port}"

    def start(self) -> None:
        """Start it, and return when it listens."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)
        wait_for_port(self.port, self.process)

    def kill(self) -> None:
        """End it as a crash does, and wait until it is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        """End it and wait until it is gone."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None


class Mosquitto(_Server):
    """A Mosquitto that takes anybody. It keeps sessions and queues in memory only."""

    def __init__(self, program: str, folder: Path) -> None:
        super().__init__(folder)
        config = folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\n"
            "max_queued_messages 100000\nmax_inflight_messages 1000\nset_tcp_nodelay true\nlog_type error\n"
        )
        self.command = [program, "-c", str(config)]


class InfluxDB(_Server):
    """An InfluxDB 1.x that takes anybody. Its data outlive `stop` and `start`."""

    def __init__(self, program: str, folder: Path) -> None:
        super().__init__(folder)
        config = folder / "influxdb.conf"
        config.write_text(
            f"""reporting-disabled = true
bind-address = "127.0.0.1:{free_port()}"
[meta]
dir = "{folder}/meta"
[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
query-log-enabled = false
[monitor]
store-enabled = false
[http]
bind-address = "127.0.0.1:{self.port}"
log-enabled = false
"""
        )
        self.command = [program, "-config", str(config)]


class VictoriaMetrics(_Server):
    """A VictoriaMetrics, which has InfluxDB's 2.x write API."""

    def __init__(self, program: str, folder: Path) -> None:
        super().__init__(folder)
        self.command = [
            program,
            f"-httpListenAddr=127.0.0.1:{self.port}",
            f"-storageDataPath={folder}/data",
            "-retentionPeriod=100y",
            "-memory.allowedBytes=256MB",
            "-search.latencyOffset=0s",
        ]


_Kind = TypeVar("_Kind", bound=_Server)


@contextmanager
def _running(kind: Callable[[str, Path], _Kind], program: str) -> Iterator[_Kind]:
    found = find_program(program)
    if found is None:
        pytest.skip(f"no {program} on this machine")
    with tempfile.TemporaryDirectory(prefix=f"{program}-") as folder:
        server = kind(found, Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()


def mosquitto() -> AbstractContextManager[Mosquitto]:
    """A running Mosquitto; skips the test where the program is not installed."""
    return _running(Mosquitto, "mosquitto")


def influxdb() -> AbstractContextManager[InfluxDB]:
    """A running InfluxDB 1.x; skips the test where the program is not installed."""
    return _running(InfluxDB, "influxd")


def victoria_metrics() -> AbstractContextManager[VictoriaMetrics]:
    """A running VictoriaMetrics; skips the test where the program is not installed."""
    return _running(VictoriaMetrics, "victoria-metrics")
