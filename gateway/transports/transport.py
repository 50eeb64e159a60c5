"""What a transport is, and how every one of ours behaves: data, nothing yet, or gone; and it comes back by itself.

Theory of operation. Bytes are taken from the operating system the moment they are there, with the time of that
moment, whether or not anybody is in `read` just then; they wait in memory, at most `HOLD_BYTES`, then further ones
wait in the operating system. A line that cannot be opened or breaks is reported once (`Gone`, with the reason in
words for a technician); after that `read` says `Nothing` while it tries again, with growing pauses on the monotonic
clock, until the line is back. What had arrived before a break is given before the `Gone`.
"""

import asyncio
import errno
import grp
import os
import random
import socket
import time
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tidegate.clock import Arrival

MOST_AT_ONCE = 65536
"""Bytes of one `Data`."""
HOLD_BYTES = 1 << 20
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 30.0
STEADY_S = 10.0
"""A connection that held this long, or gave data, lets the pauses begin small again."""
WRITE_S = 5.0
"""A line that takes no byte for this long is given up."""


@dataclass(frozen=True, slots=True)
class Data:
    """At most `MOST_AT_ONCE` bytes that arrived together; `at` is when the first of them did."""

    data: bytes
    at: Arrival


@dataclass(frozen=True, slots=True)
class Nothing:
    """The line is quiet, or not back yet."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The line was lost, or could not be opened; said once for each loss. `reason` is for a technician."""

    reason: str


Heard = Data | Nothing | Gone


class Transport(ABC):
    """One way to one instrument. It belongs to one task."""

    name: str
    """For people: what it is connected to."""
    opened: int = 0
    """How often it was opened successfully; after each time the owner sends the driver's `start()`."""
    reason: str = ""
    """Why it is not open at the moment, as far as known; empty while it is."""

    @abstractmethod
    async def read(self, wait_s: float) -> Heard:
        """What came; waits at most `wait_s` for it. Returns at once with `Nothing` when the line has just opened."""

    @abstractmethod
    async def write(self, data: bytes) -> None:
        """Sends `data`. A line that is gone takes nothing and raises nothing: the next `read` tells."""

    async def send_break(self, seconds: float) -> None:  # noqa: B027 - most lines have none
        """Holds the line in break for so long. Only a serial line can; for any other this does nothing."""

    @abstractmethod
    async def close(self) -> None:
        """Lets go of the line for good."""


class Unreachable(OSError):
    """A line that cannot be opened; the message says why, in words."""


class Reconnecting(Transport):
    """A transport that opens itself again and again. A subclass gives `_open` and `_release` and calls `_take` and
    `_lose`."""

    longest_pause_s = LONGEST_PAUSE_S

    def __init__(self, name: str) -> None:
        self.name = name
        self._open_now = False
        self._opening: asyncio.Task[None] | None = None
        self._pending: deque[Data] = deque()
        self._pending_bytes = 0
        self._loss = ""
        self._told = False
        self._wake = asyncio.Event()
        self._pause_s = FIRST_PAUSE_S
        self._due_s = 0.0
        self._since_s = 0.0

    @abstractmethod
    async def _open(self) -> None:
        """Opens the line. Raises `Unreachable`."""

    @abstractmethod
    def _release(self) -> None:
        """Closes what `_open` opened; also called after a failed or cancelled `_open`."""

    def _hold(self, full: bool) -> None:
        """Stops taking bytes while `full`, and takes them again after."""

    def _take(self, data: Data) -> None:
        self._pending.append(data)
        self._pending_bytes += len(data.data)
        if self._pending_bytes >= HOLD_BYTES:
            self._hold(True)
        self._pause_s = FIRST_PAUSE_S
        self._wake.set()

    def _lose(self, reason: str) -> None:
        if not self._loss:
            self._loss = reason
            self._hold(True)
            self._wake.set()

    async def read(self, wait_s: float) -> Heard:
        until_s = time.monotonic() + wait_s
        if not self._open_now:
            return await self._try_to_open(until_s)
        if not self._pending and not self._loss:
            self._wake.clear()
            try:
                async with asyncio.timeout(max(wait_s, 0.0)):
                    await self._wake.wait()
            except TimeoutError:
                return Nothing()
        if self._pending:
            return self._next()
        reason, self._loss = self._loss, ""
        self._open_now = False
        self._release()
        if time.monotonic() - self._since_s >= STEADY_S:
            self._pause_s = FIRST_PAUSE_S
        return self._failed(reason) or Nothing()

    def _next(self) -> Data:
        data = self._pending.popleft()
        before = self._pending_bytes
        self._pending_bytes -= len(data.data)
        if self._pending_bytes < HOLD_BYTES <= before and not self._loss:
            self._hold(False)
        return data

    async def _try_to_open(self, until_s: float) -> Heard:
        while True:
            if self._opening is None:
                wait_s = self._due_s - time.monotonic()
                if wait_s > 0:
                    left_s = until_s - time.monotonic()
                    await asyncio.sleep(max(min(wait_s, left_s), 0.0))
                    if wait_s > left_s:
                        return Nothing()
                self._loss = ""
                self._opening = asyncio.create_task(self._open(), name=f"open {self.name}")
            done, _ = await asyncio.wait({self._opening}, timeout=max(until_s - time.monotonic(), 0.0))
            if not done:
                return Nothing()
            attempt, self._opening = self._opening, None
            try:
                attempt.result()
            except Unreachable as error:
                self._release()
                gone = self._failed(str(error))
                if gone:
                    return gone
            else:
                self._open_now, self._told = True, False
                self.opened += 1
                self.reason = ""
                self._since_s = time.monotonic()
                return Nothing()

    def _failed(self, reason: str) -> Gone | None:
        """Notes the loss and when to try again; the `Gone` to report, where none was for this loss."""
        self._due_s = time.monotonic() + self._pause_s * random.uniform(0.8, 1.0)
        self._pause_s = min(self._pause_s * 2, self.longest_pause_s)
        self.reason = reason
        if self._told:
            return None
        self._told = True
        return Gone(reason)

    async def close(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
            self._opening = None
        self._open_now = False
        self._pending.clear()
        self._pending_bytes = 0
        self._release()


class Handle(Protocol):
    """An open, non-blocking line of bytes of the operating system."""

    def fileno(self) -> int:
        """Its descriptor."""

    def receive(self) -> bytes | None:
        """At most `MOST_AT_ONCE` bytes; None where the line has ended. Raises BlockingIOError, OSError."""

    def send(self, data: memoryview) -> int:
        """How many bytes were taken. Raises BlockingIOError, OSError."""

    def close(self) -> None:
        """Closes it, without waiting for anything."""


class Line(Reconnecting):
    """A transport over one descriptor. A subclass gives `_connect`."""

    def __init__(self, name: str, where: str) -> None:
        super().__init__(name)
        self._where = where
        self._handle: Handle | None = None

    @abstractmethod
    async def _connect(self) -> Handle:
        """Opens the line. Raises OSError."""

    async def _open(self) -> None:
        try:
            self._handle = await self._connect()
        except OSError as error:
            raise Unreachable(in_words(error, self._where)) from error
        asyncio.get_running_loop().add_reader(self._handle.fileno(), self._readable)

    def _release(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(handle.fileno())
            loop.remove_writer(handle.fileno())
            handle.close()

    def _hold(self, full: bool) -> None:
        if self._handle is None:
            return
        if full:
            asyncio.get_running_loop().remove_reader(self._handle.fileno())
        else:
            asyncio.get_running_loop().add_reader(self._handle.fileno(), self._readable)

    def _readable(self) -> None:
        if self._handle is None:
            return
        at = Arrival.now()
        try:
            data = self._handle.receive()
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(in_words(error, self._where))
            return
        if data is None:
            self._lose(f"{self._where} closed the connection")
        elif data:
            self._take(Data(data, at))

    async def write(self, data: bytes) -> None:
        rest = memoryview(data)
        loop = asyncio.get_running_loop()
        while rest and self._handle is not None and not self._loss:
            handle = self._handle
            try:
                rest = rest[handle.send(rest) :]
            except (BlockingIOError, InterruptedError):
                writable = asyncio.Event()
                loop.add_writer(handle.fileno(), writable.set)
                try:
                    async with asyncio.timeout(WRITE_S):
                        await writable.wait()
                except TimeoutError:
                    self._lose(f"{self._where} takes no more bytes (is flow control on, or the other side stopped?)")
                finally:
                    loop.remove_writer(handle.fileno())
            except OSError as error:
                self._lose(in_words(error, self._where))


def in_words(error: OSError, where: str) -> str:
    """What `error` about the device or endpoint `where` means to a technician, and what to do."""
    if isinstance(error, socket.gaierror):
        return f"the name in {where} is not known (check the spelling, or name its address): {error.strerror}"
    match error.errno:
        case errno.ENOENT:
            return f"{where} is not there: unplugged? `ls -l /dev/serial/by-id` lists what is"
        case errno.EACCES | errno.EPERM:
            return f"no permission for {where}{_who_may(where)}"
        case errno.EADDRINUSE:
            return f"{where} is in use by another program; end that one first (`ss -lunp` names it)"
        case errno.EBUSY | errno.EAGAIN:
            return f"{where} is in use by another program; end that one first (`fuser -v {where}` names it)"
        case errno.EIO | errno.ENXIO | errno.ENODEV | errno.EBADF:
            return f"{where} was unplugged or switched off"
        case errno.ENOTTY | errno.EISDIR | errno.ENOTDIR:
            return f"{where} is not a serial device"
        case errno.ECONNREFUSED:
            return f"{where} refuses the connection: is the port number right, and its service running?"
        case errno.ECONNRESET | errno.EPIPE | errno.ECONNABORTED:
            return f"{where} broke the connection (switched off or restarted?)"
        case errno.ETIMEDOUT:
            return f"{where} does not answer: is it switched on and on this network?"
        case errno.EHOSTUNREACH | errno.ENETUNREACH | errno.ENETDOWN | errno.EHOSTDOWN:
            return f"there is no way to {where}: check the network cable and this computer's address"
    if isinstance(error, TimeoutError):
        return f"{where} does not answer: is it switched on and on this network?"
    return f"{where}: {error.strerror or error}"


def _who_may(where: str) -> str:
    try:
        status = Path(where).stat()
        group = grp.getgrgid(status.st_gid).gr_name
    except (OSError, KeyError):
        return ""
    if status.st_mode & 0o060 == 0o060:
        return f"; it belongs to the group {group}: `sudo usermod -aG {group} {_user()}`, then log in anew"
    return f"; not even its group {group} may read and write it: `sudo chmod g+rw {where}`"


def _user() -> str:
    return os.environ.get("USER") or f"'#{os.getuid()}'"
