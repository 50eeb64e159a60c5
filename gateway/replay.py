"""`tidegate replay`: plays a recording through the same gateway path as a live port, at recorded speed or faster.

The recording takes the place of the instrument's transport; raw log, spool, uplink and hub are the real ones. The
pace follows the logger's stamps where the recording has them, else the times of the samples themselves: a second
instance of the driver reads ahead and tells when each piece was said.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drivers import driver as drivers
from drivers.driver import Driver
from drivers.recording import Piece, Stamps
from gateway import rawlog
from gateway.cli import load, until_signalled
from gateway.config import GatewayConfig
from gateway.decode import Break, by_piece, recorded
from gateway.guard import Guarded
from gateway.transports import Data, Gone, Nothing, Transport
from tidegate.clock import NAT, Arrival
from tidegate.frame import Frame

if TYPE_CHECKING:
    from gateway.run import Gateway

_PIECE = 512
_WAITING_VALUES = 1 << 20
_CONNECT_S = 5.0
_PATIENCE_S = 3.0


class ReplayTransport(Transport):
    """A recording in the place of a port. `ended` is set when all of it was read; while `hold()` nothing is read."""

    def __init__(
        self, name: str, recording: Iterator[Piece | Break], ahead: Driver, speed: float, hold: Callable[[], bool]
    ) -> None:
        self.name = name
        self.opened = 0  # nothing is ever said to a recording
        self.ended = asyncio.Event()
        self._timed = _timed(recording, ahead) if speed > 0 else ((NAT, piece) for piece in recording)
        self._speed = speed
        self._hold = hold
        self._next: tuple[int, Piece | Break] | None = None
        self._first_ns: int | None = None
        self._started_s = 0.0

    async def read(self, wait_s: float) -> Data | Nothing | Gone:
        """The next piece when its time has come."""
        if self._next is None:
            try:
                self._next = next(self._timed, None)
            except (OSError, ValueError) as error:
                self.ended.set()
                self._timed = iter(())
                return Gone(f"{self.name} ends early: {getattr(error, 'strerror', None) or error}")
        if self._next is None:
            self.ended.set()
            await asyncio.sleep(wait_s)
            return Nothing()
        at_ns, piece = self._next
        left_s = self._due_s(at_ns) - time.monotonic()
        if left_s > wait_s or self._hold():
            await asyncio.sleep(wait_s)
            return Nothing()
        await asyncio.sleep(max(left_s, 0.0))
        self._next = None
        if isinstance(piece, Break):
            return Gone(piece.reason)
        return Data(piece.data, piece.at if piece.at.utc_ns != NAT else Arrival.now())

    def _due_s(self, at_ns: int) -> float:
        if at_ns == NAT:
            return 0.0
        if self._first_ns is None:
            self._first_ns, self._started_s = at_ns, time.monotonic()
        return self._started_s + max(at_ns - self._first_ns, 0) / 1e9 / self._speed

    async def write(self, data: bytes) -> None:
        """A recording does not answer."""

    async def close(self) -> None:
        """Nothing to let go of."""


def _timed(recording: Iterator[Piece | Break], ahead: Driver) -> Iterator[tuple[int, Piece | Break]]:
    """Each piece with the time at which it was said: its arrival, else that of the newest sample in it or before it."""
    newest_ns = NAT
    guarded = Guarded(ahead)
    for whole in recording:
        if isinstance(whole, Break):
            guarded.finish()
            yield newest_ns, whole
            continue
        size = _PIECE if whole.at.utc_ns == NAT else len(whole.data)
        for start in range(0, len(whole.data), size):
            piece = Piece(whole.offset + start, whole.data[start : start + size], whole.at)
            if piece.at.utc_ns != NAT:
                newest_ns = piece.at.utc_ns
            else:
                for item in guarded.feed(piece.data, piece.at):
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
    what = f"no instrument {instrument!r}" if instrument is not None else "no instrument"
    raise typer.BadParameter(f"the station has {what} with driver {driver!r}; it has: {every or 'none at all'}")


def replay(
    file: Annotated[Path, typer.Argument(help="The recording, or a gateway's raw folder.")],
    driver: Annotated[str, typer.Option(help="The driver of the instrument that it is of.")],
    station: Annotated[Path, typer.Option(help="The gateway's TOML file.")],
    speed: Annotated[float, typer.Option(min=0, help="Times as fast as recorded; 0 is as fast as can be.")] = 1.0,
    instrument: Annotated[str | None, typer.Option(help="Which one, where several have that driver.")] = None,
    stamps: Annotated[Stamps | None, typer.Option(help="The logger's stamps; found out if not given.")] = None,
) -> None:
    """Play a recording through the gateway, to the hub, at recorded or another speed."""
    from gateway.run import Gateway, StartFailed

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    config = load(station)
    name = pick(config, driver, instrument)
    chosen = config.instruments[name]
    try:
        recording = by_piece(recorded(file, stamps, _named(file, name)))
        first = next(recording, None)
    except (OSError, ValueError) as error:
        typer.echo(f"{file}: {getattr(error, 'strerror', None) or error}", err=True)
        raise typer.Exit(1) from None
    if first is None:
        typer.echo(f"{file}: is empty", err=True)
        raise typer.Exit(1)

    async def main(stop: asyncio.Event) -> None:
        def hold() -> bool:
            spool = gateway.spool
            return spool.waiting_values > _WAITING_VALUES or spool.journal.bytes > config.storage.spool // 2

        ahead = drivers.load(driver)(name, chosen.settings)
        transport = ReplayTransport(f"replay of {file}", chain((first,), recording), ahead, speed, hold)
        gateway = Gateway(config, {name: transport})
        ending = asyncio.create_task(_stop_when_delivered(transport, gateway, stop))
        try:
            await gateway.run(stop)
        finally:
            ending.cancel()
        health, left = gateway.instruments[name].health, gateway.spool.backlog()
        problems = sum(health.problems.values())
        typer.echo(f"{file}: {health.samples} samples, {problems} problems", err=True)
        if left:
            typer.echo(f"{left} Envelopes are not at the hub yet; the gateway sends them when it next runs", err=True)

    try:
        asyncio.run(until_signalled(main))
    except StartFailed as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def _named(file: Path, name: str) -> str | None:
    """The instrument to take out of a raw log: the one of that name, or the only one, where it was called otherwise."""
    if not file.is_dir():
        return None
    names = {utterance.instrument for utterance in rawlog.read(file)}
    return name if name in names or len(names) != 1 else None


async def _stop_when_delivered(transport: ReplayTransport, gateway: "Gateway", stop: asyncio.Event) -> None:
    """Sets `stop` when the recording is at its end and the hub has it, or cannot be reached."""
    await transport.ended.wait()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_CONNECT_S):
            while gateway.spool.waiting_values or not gateway.uplink.connected:  # noqa: ASYNC110 - looked at
                await asyncio.sleep(0.05)
    try:
        await asyncio.wait_for(gateway.uplink.drained(), _PATIENCE_S)
    except TimeoutError:
        typer.echo(
            f"waiting for the hub to confirm {gateway.spool.backlog()} Envelopes; Ctrl-C leaves them to the gateway, "
            "which sends them when it next runs",
            err=True,
        )
        await gateway.uplink.drained()
    stop.set()
