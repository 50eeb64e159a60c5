"""A thin, long, lossy link between two network namespaces: real IP packets, delayed, lost, slowed and blacked out.

Theory of operation. Each namespace has a TUN device; what its kernel sends there is read by the emulator, a process of
its own, which queues it as a modem does, lets one packet after the other through at the line's rate, loses some, holds
the others for the delay and writes them to the other side's device. It is not `tc netem`, which not every kernel has.

    python -m tests.faults.link NEAR FAR NEAR_ADDRESS FAR_ADDRESS SEED

reads commands from its standard input, a line of JSON each (fields of `Line`), and writes its counts to its standard
output each time, a line of JSON too.
"""

import asyncio
import ctypes
import fcntl
import json
import os
import random
import struct
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.faults.rig import Skipped

_CLONE_NEWNET = 0x40000000
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_MTU = 576
_QUEUE_BYTES = 8 * 1024
_COMMAND_S = 10.0


@dataclass
class Line:
    """How the line is, in each direction."""

    bits_per_s: float = 9600.0
    delay_s: float = 0.3
    loss: float = 0.1
    dark: bool = False


# ---- the emulator's process ------------------------------------------------------------------------------------------


def enter(namespace: str) -> None:
    """Moves this thread into a network namespace. Raises OSError."""
    handle = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(handle, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), namespace)
    finally:
        os.close(handle)


def _device(namespace: str) -> int:
    """A TUN device in a namespace."""
    enter(namespace)
    handle = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(handle, _TUNSETIFF, struct.pack("16sH22x", b"sat0", _IFF_TUN | _IFF_NO_PI))
    return handle


class _Way:
    """One direction."""

    def __init__(self, line: Line, source: int, target: int, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self._line, self._source, self._target = line, source, target
        self._random = random.Random(seed)
        self._free_s = 0.0  # when the line has sent all that it was given
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(source, self._read)

    def _read(self) -> None:
        try:
            packet = os.read(self._source, 2048)
        except BlockingIOError:
            return
        if packet[0] >> 4 != 4:
            return  # the kernel's own IPv6 chatter
        line, now_s = self._line, self._loop.time()
        waiting_s = max(self._free_s - now_s, 0.0)
        if waiting_s * line.bits_per_s / 8 + len(packet) > _QUEUE_BYTES:
            self.counts["overflowed"] += 1
            return
        self._free_s = now_s + waiting_s + len(packet) * 8 / line.bits_per_s
        self.counts["packets"] += 1
        self.counts["bytes"] += len(packet)
        if line.dark or self._random.random() < line.loss:
            self.counts["lost"] += 1
            return
        self._loop.call_at(self._free_s + line.delay_s, self._arrive, packet)

    def _arrive(self, packet: bytes) -> None:
        if self._line.dark:
            self.counts["lost"] += 1
            return
        self.counts["arrived_bytes"] += len(packet)
        try:
            os.write(self._target, packet)
        except OSError:
            self.counts["refused"] += 1  # the device is down: its address changes


async def _emulate(near: int, far: int, seed: int) -> None:
    line = Line()
    ways = {"up": _Way(line, near, far, seed), "down": _Way(line, far, near, seed + 1)}
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while command := await commands.readline():
        for name, value in json.loads(command).items():
            setattr(line, name, value)
        print(json.dumps({name: way.counts for name, way in ways.items()}), flush=True)


def main() -> None:
    """The emulator."""
    near, far, near_address, far_address, seed = sys.argv[1:]
    handles = []
    for namespace, own, other in ((near, near_address, far_address), (far, far_address, near_address)):
        handles.append(_device(namespace))
        for command in (
            f"ip address add {own} peer {other} dev sat0",
            f"ip link set sat0 mtu {_MTU} up",
            "ip link set lo up",
        ):
            subprocess.run(command.split(), check=True, timeout=10)
    print("ready", flush=True)
    asyncio.run(_emulate(handles[0], handles[1], int(seed)))


# ---- the rig's side --------------------------------------------------------------------------------------------------


class Link:
    """A running emulator between the namespaces `near` and `far`."""

    near_address, far_address = "10.200.7.1", "10.200.7.2"

    def __init__(self, near: str, far: str, seed: int) -> None:
        self.near, self.far = near, far
        self.line = Line()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.link", near, far, self.near_address, self.far_address, str(seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        if self._answer() != "ready":
            self.close()
            raise Skipped("no TUN device can be made here")

    def set(self, **fields: Any) -> dict[str, dict[str, int]]:
        """Changes the line; the counts so far by direction (`up` is from near to far)."""
        for name, value in fields.items():
            setattr(self.line, name, value)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(self.line)) + "\n")
        self._process.stdin.flush()
        counts: dict[str, dict[str, int]] = json.loads(self._answer())
        return counts

    def change_address(self, address: str) -> None:
        """The near side gets another address, as a modem that dials in anew."""
        for command in (
            f"ip -n {self.near} address flush dev sat0",
            f"ip -n {self.near} address add {address} peer {self.far_address} dev sat0",
            f"ip -n {self.far} address flush dev sat0",
            f"ip -n {self.far} address add {self.far_address} peer {address} dev sat0",
        ):
            subprocess.run(command.split(), check=True, timeout=10)

    def _answer(self) -> str:
        assert self._process.stdout is not None
        timer = threading.Timer(_COMMAND_S, self._process.kill)
        timer.start()
        try:
            return self._process.stdout.readline().strip()
        finally:
            timer.cancel()

    def close(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.wait(_COMMAND_S)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


@contextmanager
def thin_link(seed: int) -> Iterator[Link]:
    """Two namespaces and the link between them. Raises Skipped where these cannot be had."""
    names = [f"faults-{os.getpid()}-{side}" for side in ("ship", "shore")]
    made: list[str] = []
    link: Link | None = None
    try:
        for name in names:
            added = subprocess.run(
                ["ip", "netns", "add", name], capture_output=True, text=True, timeout=10, check=False
            )
            if added.returncode:
                raise Skipped(f"no network namespace can be made here: {added.stderr.strip()}")
            made.append(name)
        if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
            raise Skipped("there is no /dev/net/tun here")
        link = Link(names[0], names[1], seed)
        yield link
    except FileNotFoundError as error:
        raise Skipped(f"{error.filename} is not here") from error
    finally:
        if link is not None:
            link.close()
        for name in made:
            subprocess.run(["ip", "netns", "delete", name], timeout=10, check=False)


def within(namespace: str, work: Callable[[], Any]) -> Any:
    """What `work` gives, done in a namespace; a socket that it makes stays there."""
    given: list[Any] = []

    def run() -> None:
        enter(namespace)
        given.append(work())

    thread = threading.Thread(target=run, name=f"in {namespace}")
    thread.start()
    thread.join(_COMMAND_S)
    return given[0]


if __name__ == "__main__":
    main()
