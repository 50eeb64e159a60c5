"""A whole gateway in this process, with real instruments on pseudo-terminals, and its control socket."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from drivers.simulators.sbe37 import Sbe37Simulator
from drivers.simulators.simulator import Simulator
from gateway.config import load
from gateway.control import NAME
from gateway.run import Gateway
from gateway.simulate import host
from tests.servers import free_port

_HEAD = """
[platform]
name = "jetty"
title = "Test jetty"
latitude = 1.2
longitude = 103.8
[broker]
host = "127.0.0.1"
port = {broker}
[storage]
directory = "{storage}"
raw_log = "50 MB"
spool = "50 MB"
"""
_INSTRUMENT = """
[instruments.{name}]
driver = "{driver}"
interval_s = {interval_s}
port = {port}
"""

CTD = ("ctd", "sbe37", 1.0, '{ serial = "ports/ctd" }')
GAUGE = ("gauge", "nmea0183", 1.0, '{ serial = "ports/gauge" }')
RADAR = ("radar", "modbus", 1.0, '{ modbus_tcp = "127.0.0.1:9" }\nsettings = { map = "vegapuls-61", device = 1 }')


def written(
    folder: Path, *instruments: tuple[str, str, float, str], storage: str = "station", broker: int | None = None
) -> Path:
    """A gateway's TOML file in `folder`; without a broker there is nobody at its port."""
    (folder / "ports").mkdir(exist_ok=True)
    text = _HEAD.format(broker=broker or free_port(), storage=storage)
    for name, driver, interval_s, port in instruments:
        text += _INSTRUMENT.format(name=name, driver=driver, interval_s=interval_s, port=port)
    (folder / "station.toml").write_text(text)
    return folder / "station.toml"


@asynccontextmanager
async def simulated(folder: Path, name: str, simulator: Simulator | None = None) -> AsyncIterator[None]:
    """A simulated instrument on `ports/NAME`: an SBE 37 where none is given."""
    stop = asyncio.Event()
    simulator = simulator or Sbe37Simulator(interval_s=1.0)
    hosting = host(simulator, ledger=folder / f"{name}.ledger", stop=stop, serial_link=folder / "ports" / name)
    task = asyncio.create_task(hosting)
    try:
        yield
    finally:
        stop.set()
        await task


@asynccontextmanager
async def station(config: Path) -> AsyncIterator[Gateway]:
    """The gateway of that file, once it listens."""
    stop = asyncio.Event()
    gateway = Gateway(load(config))
    task = asyncio.create_task(gateway.run(stop))
    try:
        await until(lambda: (gateway.config.storage.directory / NAME).exists() or task.done())
        yield gateway
    finally:
        stop.set()
        await asyncio.wait_for(task, 8)


async def until(condition: Callable[[], Any], within_s: float = 8.0) -> None:
    """Returns when the condition holds. Raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - what is waited for happens elsewhere
            await asyncio.sleep(0.01)


class Plain:
    """A client that knows nothing but the protocol's description."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.events: list[dict[str, Any]] = []

    @classmethod
    async def connect(cls, socket: Path) -> "Plain":
        """To the socket at that path."""
        return cls(*await asyncio.open_unix_connection(str(socket), limit=8 << 20))

    async def ask(self, **request: Any) -> dict[str, Any]:
        """The answer to a request; events that come before it are kept."""
        self.writer.write(json.dumps(request).encode() + b"\n")
        while "id" not in (said := await self.hear()):
            self.events.append(said)
        return said

    async def hear(self) -> dict[str, Any]:
        """The next line; EOFError at the end."""
        line = await asyncio.wait_for(self.reader.readline(), 8)
        if not line:
            raise EOFError
        said: dict[str, Any] = json.loads(line)
        return said

    async def event(self, **wanted: Any) -> dict[str, Any]:
        """The next event that has these values."""
        while True:
            said = self.events.pop(0) if self.events else await self.hear()
            if all(said.get(key) == value for key, value in wanted.items()):
                return said

    def close(self) -> None:
        """Hangs up."""
        self.writer.close()
