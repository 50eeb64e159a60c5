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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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


class Mosquitto:
    """A Mosquitto that takes anybody. It keeps sessions and queues in memory only."""

    host = "127.0.0.1"

    def __init__(self, program: str, folder: Path) -> None:
        self.port = free_port()
        self._program = program
        self._config = folder / "mosquitto.conf"
        self._log = folder / "mosquitto.log"
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\n"
            "max_queued_messages 100000\nmax_inflight_messages 1000\nset_tcp_nodelay true\nlog_type error\n"
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return when it listens."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen([self._program, "-c", str(self._config)], stdout=log, stderr=log)
        wait_for_port(self.port, self.process)

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


@contextmanager
def mosquitto() -> Iterator[Mosquitto]:
    """A running Mosquitto; skips the test where the program is not installed."""
    program = find_program("mosquitto")
    if program is None:
        pytest.skip("no mosquitto on this machine")
    with tempfile.TemporaryDirectory(prefix="mosquitto-") as folder:
        broker = Mosquitto(program, Path(folder))
        broker.start()
        try:
            yield broker
        finally:
            broker.stop()
