"""TCP connections to serial servers and instruments, and a UDP port on which datagrams arrive."""

import asyncio
import errno
import os
import socket
from typing import Any

from gateway.config import TcpPort, UdpPort
from gateway.transports.transport import MOST_AT_ONCE, Line

CONNECT_S = 10.0


def keep_alive(sock: socket.socket) -> None:
    """Finds out within about half a minute that the other side vanished without a word."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _TcpHandle:
    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def fileno(self) -> int:
        return self._sock.fileno()

    def receive(self) -> bytes | None:
        return self._sock.recv(MOST_AT_ONCE) or None

    def send(self, data: memoryview) -> int:
        return self._sock.send(data)

    def close(self) -> None:
        self._sock.close()


class TcpLine(Line):
    """A TCP connection that we make."""

    def __init__(self, port: TcpPort) -> None:
        super().__init__(f"tcp {port.tcp}", str(port.tcp))
        self._endpoint = port.tcp

    async def _connect(self) -> _TcpHandle:
        loop = asyncio.get_running_loop()
        host, port = self._endpoint
        async with asyncio.timeout(CONNECT_S):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            failure: OSError = OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))
            for family, kind, protocol, _, address in found:
                sock = socket.socket(family, kind, protocol)
                try:
                    sock.setblocking(False)
                    keep_alive(sock)
                    await loop.sock_connect(sock, address)
                    return _TcpHandle(sock)
                except OSError as error:
                    failure = error
                    sock.close()
                except asyncio.CancelledError:
                    sock.close()
                    raise
        raise failure


class _UdpHandle:
    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._last_sender: Any = None

    def fileno(self) -> int:
        return self._sock.fileno()

    def receive(self) -> bytes | None:
        data, self._last_sender = self._sock.recvfrom(MOST_AT_ONCE)
        return data

    def send(self, data: memoryview) -> int:
        if self._last_sender is not None:
            self._sock.sendto(data, self._last_sender)
        return len(data)

    def close(self) -> None:
        self._sock.close()


class UdpLine(Line):
    """A UDP port that we listen on, at every address of this computer. Each datagram is a `Data` of its own. What is
    written goes to whom the last datagram came from."""

    def __init__(self, port: UdpPort) -> None:
        super().__init__(f"udp {port.udp}", f"UDP port {port.udp}")
        self._port = port.udp

    async def _connect(self) -> _UdpHandle:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.bind(("", self._port))
        except OSError:
            sock.close()
            raise
        return _UdpHandle(sock)
