"""A command at a terminal of its own, driven as a person would: waits for words, types, and sees what stands there."""

import fcntl
import os
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType


def _take_terminal() -> None:
    """In the new process: standard input becomes its terminal, whose Ctrl-C counts."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    """`tidegate gateway ARGUMENTS` on a pseudo-terminal of 80×24."""

    def __init__(self, folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        self._master, slave = os.openpty()
        settings = {"TERM": "xterm", "COLUMNS": "80", "LINES": "24", **(env or {})}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tidegate", "gateway", *arguments],
            cwd=folder,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**{k: v for k, v in os.environ.items() if k != "NO_COLOR"}, **settings},
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(slave)
        self.seen = ""
        self._looked = 0

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)

    def expect(self, pattern: str, within_s: float = 15.0) -> str:
        """Waits until what has come since the last match fits `pattern`; what stood before it."""
        end_s = time.monotonic() + within_s
        while not (found := re.search(pattern, self.seen[self._looked :])):
            assert self._read(end_s - time.monotonic()), f"no {pattern!r} in:\n{self.seen[self._looked :]}"
        before = self.seen[self._looked :][: found.start()]
        self._looked += found.end()
        return before

    def type(self, text: str) -> None:
        """Types a line."""
        os.write(self._master, text.encode() + b"\n")

    def end_of_input(self) -> None:
        """Ctrl-D."""
        os.write(self._master, b"\x04")

    def interrupt(self) -> None:
        """Ctrl-C, not sooner than a person could: readline misses one that comes while it sets its prompt up."""
        time.sleep(0.5)
        os.write(self._master, b"\x03")

    def end(self, within_s: float = 15.0) -> int:
        """Waits for the end; the exit code."""
        end_s = time.monotonic() + within_s
        while self._read(end_s - time.monotonic()):
            pass
        return self.process.wait(max(end_s - time.monotonic(), 0.1))

    def _read(self, wait_s: float) -> bool:
        if wait_s <= 0 or not select.select([self._master], [], [], wait_s)[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # nobody has the other end open any more
            return False
        self.seen += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)
