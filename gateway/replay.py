"""`tidegate replay`: plays a recording through the same gateway path as a live port, at recorded speed or faster.

The recording takes the place of the instrument's transport; raw log, spool, uplink and hub are the real ones. The
pace follows the logger's stamps where the recording has them, else the times of the samples themselves: a second
instance of the driver reads ahead and tells when each piece was said.
"""

import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from drivers.driver import Driver
from drivers.recording import Piece, Stamps
from gateway.cli import load, until_signalled
from gateway.config import GatewayConfig
from gateway.decode import recorded
from gateway.transports import Data, Gone, Nothing, Transport
from tidegate.clock import NAT, Arrival
from tidegate.frame import Frame

_PIECE = 512
_LONGEST_WAIT_S = 3600.0


class ReplayTransport(Transport):
    """A recording in the place of a port. `ended` is set when all of it was read."""

    def __init__(self, name: str, recording: Iterator[Piece], ahead: Driver, speed: float) -> None:
        self.name = name
        self.opened = 0  # nothing is ever said to a recording
        self.ended = asyncio.Event()
        self._timed = _timed(recording, ahead)
        self._speed = speed
        self._next: tuple[int, Piece] | None = None
        self._first_ns: int | None = None
        self._started_s = 0.0

    async def read(self, wait_s: float) -> Data | Nothing | Gone:
        """The next piece when its time has come."""
        if self._next is None:
            self._next = next(self._timed, None)
        if self._next is None:
            self.ended.set()
            await asyncio.sleep(wait_s)
            return Nothing()
        at_ns, piece = self._next
        left_s = self._due_s(at_ns) - time.monotonic()
        if left_s > wait_s:
            await asyncio.sleep(wait_s)
            return Nothing()
        await asyncio.sleep(max(left_s, 0.0))
        self._next = None
        return Data(piece.data, piece.at if piece.at.utc_ns != NAT else Arrival.now())

    def _due_s(self, at_ns: int) -> float:
        if self._first_ns is None or at_ns == NAT or self._speed <= 0:
            if self._first_ns is None and at_ns != NAT:
                self._first_ns, self._started_s = at_ns, time.monotonic()
            return 0.0
        after_s = (at_ns - self._first_ns) / 1e9 / self._speed
        return self._started_s + min(max(after_s, 0.0), _LONGEST_WAIT_S * 24)

    async def write(self, data: bytes) -> None:
        """A recording does not answer."""

    async def close(self) -> None:
        """Nothing to let go of."""


def _timed(recording: Iterator[Piece], ahead: Driver) -> Iterator[tuple[int, Piece]]:
    """Each piece with the time at which it was said: its arrival, else that of the newest sample in it or before it."""
    newest_ns = NAT
    for whole in recording:
        for start in range(0, len(whole.data), _PIECE):
            piece = Piece(whole.offset + start, whole.data[start : start + _PIECE], whole.at)
            if piece.at.utc_ns != NAT:
                newest_ns = piece.at.utc_ns
            else:
                for item in ahead.feed(piece.data, piece.at):
                    if isinstance(item, Frame) and len(item) and item.time[-1] != NAT:
                        newest_ns = int(item.time[-1])
            yield newest_ns, piece


def pick(config: GatewayConfig, driver: str, instrument: str | None) -> str:
    """The instrument of the station that the recording is of. Raises typer.BadParameter with the choice there is."""
    having = [name for name, i in config.instruments.items() if i.driver == driver]
    if instrument is not None:
        having = [name for name in having if name == instrument]
    if len(having) == 1:
        return having[0]
    every = ", ".join(f"{name} ({i.driver})" for name, i in config.instruments.items())
    if having:
        raise typer.BadParameter(f"several instruments have driver {driver}; choose one: {', '.join(having)}")
    raise typer.BadParameter(f"no such instrument with driver {driver} in the station; there are: {every}")


def replay(
    file: Annotated[Path, typer.Argument(help="The recording, or a gateway's raw folder.")],
    driver: Annotated[str, typer.Option(help="The driver of the instrument that it is of.")],
    station: Annotated[Path, typer.Option(help="The gateway's TOML file.")],
    speed: Annotated[float, typer.Option(help="Times as fast as recorded; 0 is as fast as can be.")] = 1.0,
    instrument: Annotated[str | None, typer.Option(help="Which one, where several have that driver.")] = None,
    stamps: Annotated[Stamps | None, typer.Option(help="The logger's stamps; found out if not given.")] = None,
) -> None:
    """Play a recording through the gateway, to the hub, at recorded or another speed."""
    from drivers.driver import load as load_driver
    from gateway.run import Gateway

    config = load(station)
    name = pick(config, driver, instrument)
    chosen = config.instruments[name]
    config = config.model_copy(update={"instruments": {name: chosen}})
    if not file.exists():
        raise typer.BadParameter(f"{file}: no such file", param_hint="FILE")

    async def main(stop: asyncio.Event) -> None:
        ahead = load_driver(driver)(name, chosen.settings)
        transport = ReplayTransport(f"replay of {file}", recorded(file, stamps, name), ahead, speed)
        gateway = Gateway(config, {name: transport})

        async def end() -> None:
            await transport.ended.wait()
            stop.set()

        ending = asyncio.create_task(end())
        try:
            await gateway.run(stop)
        finally:
            ending.cancel()
        health, left = gateway.instruments[name].health, gateway.spool.backlog()
        problems = sum(health.problems.values())
        print(
            f"{file}: {health.samples} samples, {problems} problems, {left} Envelopes not yet at the hub",
            file=sys.stderr,
        )

    try:
        asyncio.run(until_signalled(main))
    except OSError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
