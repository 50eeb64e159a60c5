"""The real interfaces that a simulated instrument speaks on: a pseudo-terminal, a TCP server, datagrams."""

import asyncio
import contextlib
import os
import select
import socket
import tty
from abc import ABC, abstractmethod
from pathlib import Path

from gateway.config import Endpoint

_READ = 65536


class Port(ABC):
    """One real interface, from the instrument's side."""

    name: str

    @abstractmethod
    def somebody_listens(self) -> bool:
        """Whether the other side has it open."""

    @abstractmethod
    async def hear(self, wait_s: float) -> bytes:
        """What came from the other side within `wait_s`; empty where nothing did."""

    @abstractmethod
    async def say(self, data: bytes) -> bool:
        """Writes all of `data`, however long that takes; False where the other side went for good before."""

    @abstractmethod
    def close(self) -> None:
        """Ends it."""


class PtyPort(Port):
    """A pseudo-terminal with a name that stays: the symbolic link `link`.

    The instrument has the master's end. Bytes that were written and not yet read outlive the reader: they are there
    for the next one who opens the port.
    """

    def __init__(self, link: Path) -> None:
        self._master, slave = os.openpty()
        tty.setraw(slave)
        device = os.ttyname(slave)
        os.close(slave)  # with nobody's descriptor but the reader's, a hang-up of the master tells that it is gone
        os.set_blocking(self._master, False)
        self._link = link
        self._poll = select.poll()
        self._poll.register(self._master, select.POLLIN)
        link.parent.mkdir(parents=True, exist_ok=True)
        made = link.with_name(f".{link.name}.{os.getpid()}")
        made.unlink(missing_ok=True)
        made.symlink_to(device)
        os.replace(made, link)
        self._device = device
        self.name = f"{link} ({device})"

    def somebody_listens(self) -> bool:
        return not any(events & select.POLLHUP for _, events in self._poll.poll(0))

    async def hear(self, wait_s: float) -> bytes:
        if self.somebody_listens() and not self._poll.poll(0):
            await _ready(self._master, wait_s, writing=False)
        try:
            return os.read(self._master, _READ)
        except OSError:  # EAGAIN: nothing; EIO: nobody has it open
            if not self.somebody_listens():
                await asyncio.sleep(wait_s)
            return b""

    async def say(self, data: bytes) -> bool:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._master, rest) :]
            except BlockingIOError:
                if self.somebody_listens():
                    await _ready(self._master, 0.1, writing=True)
                else:
                    await asyncio.sleep(0.02)
        return True

    def close(self) -> None:
        with contextlib.suppress(OSError):
            if os.readlink(self._link) == self._device:
                self._link.unlink()
        os.close(self._master)


async def _ready(descriptor: int, wait_s: float, *, writing: bool) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    add, remove = (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
    add(descriptor, ready.set)
    try:
        async with asyncio.timeout(wait_s):
            await ready.wait()
    except TimeoutError:
        pass
    finally:
        remove(descriptor)


class TcpServerPort(Port):
    """A TCP server for one client at a time; a new one takes the place of the old, whose link may be dead."""

    def __init__(self, endpoint: Endpoint) -> None:
        family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
        self._server = socket.create_server((endpoint.host, endpoint.port), family=family)
        self._server.setblocking(False)
        self._client: socket.socket | None = None
        self.name = str(Endpoint(endpoint.host, self._server.getsockname()[1]))

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            client, _ = self._server.accept()
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._leave()
            self._client = client

    def _leave(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def somebody_listens(self) -> bool:
        self._accept()
        return self._client is not None

    async def hear(self, wait_s: float) -> bytes:
        if not self.somebody_listens() or self._client is None:
            await _ready(self._server.fileno(), wait_s, writing=False)
            return b""
        await _ready(self._client.fileno(), wait_s, writing=False)
        try:
            data = self._client.recv(_READ)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self._leave()
        return data

    async def say(self, data: bytes) -> bool:
        client = self._client
        rest = memoryview(data)
        while rest:
            if client is None or client is not self._client:
                return False
            try:
                rest = rest[client.send(rest) :]
            except BlockingIOError:
                await _ready(client.fileno(), 0.1, writing=True)
                self._accept()
            except OSError:
                self._leave()
        return True

    def close(self) -> None:
        self._leave()
        self._server.close()


class UdpPort(Port):
    """Datagrams to one address, which may be a network's broadcast address; each utterance is one, or several where it
    is long. Answers go the same way, and questions come from anywhere."""

    _MOST = 1400  # what passes any network in one piece

    def __init__(self, endpoint: Endpoint) -> None:
        self._to = socket.getaddrinfo(endpoint.host, endpoint.port, socket.AF_INET, socket.SOCK_DGRAM)[0][4]
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._socket.bind(("", 0))
        self.name = str(endpoint)

    def somebody_listens(self) -> bool:
        return True

    async def hear(self, wait_s: float) -> bytes:
        await _ready(self._socket.fileno(), wait_s, writing=False)
        try:
            return self._socket.recv(_READ)
        except BlockingIOError:
            return b""

    async def say(self, data: bytes) -> bool:
        for start in range(0, len(data), self._MOST):
            piece = data[start : start + self._MOST]
            while True:
                try:
                    self._socket.sendto(piece, self._to)
                    break
                except BlockingIOError:
                    await _ready(self._socket.fileno(), 0.1, writing=True)
                except OSError:  # no network: a sender of datagrams does not wait for one
                    return False
        return True

    def close(self) -> None:
        self._socket.close()
