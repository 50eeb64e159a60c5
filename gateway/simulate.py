"""Hosts a simulated instrument on a real interface: a pseudo-terminal, a TCP port, Modbus RTU or Modbus TCP.

The instrument speaks only while somebody has its port open. What it says goes out whole: where the other side does
not read, the instrument waits and nothing is dropped. A sample enters the ledger, a file of one JSON object a line,
right after its last byte was taken by the port, so the ledger never claims what was not said. Faults of the line
(`Faults`) happen here; a sample that they may have cost is marked `"damaged": true`: it may be missing at the far
end, but must not be there with other values.

`SIGUSR1` lets the instrument say nothing unasked any more and writes `{"quiet": true}` to the ledger; it still
answers. `SIGTERM` ends it.
"""

import asyncio
import contextlib
import dataclasses
import json
import os
import pkgutil
import select
import signal
import socket
import time
import tty
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Annotated, Any, Protocol

import typer
from pydantic import TypeAdapter, ValidationError

from drivers.simulators.simulator import Said, Simulator
from gateway.config import Endpoint, parse_endpoint
from gateway.modbus_server import ModbusServer, Slave

KINDS = {
    "aml": "drivers.simulators.aml:AmlSimulator",
    "aquadopp": "drivers.simulators.aquadopp:AquadoppSimulator",
    "ascii": "drivers.simulators.ascii_pattern:AsciiSimulator",
    "dvl": "drivers.simulators.dvl:DvlSimulator",
    "paroscientific": "drivers.simulators.paroscientific:ParoscientificSimulator",
    "radar": "drivers.simulators.radar:RadarSimulator",
    "rbr": "drivers.simulators.rbr:RbrSimulator",
    "sbe16plus": "drivers.simulators.sbe16plus:Sbe16plusSimulator",
    "sbe26plus": "drivers.simulators.sbe26plus:Sbe26plusSimulator",
    "sbe37": "drivers.simulators.sbe37:Sbe37Simulator",
    "sbe39plus": "drivers.simulators.sbe39plus:Sbe39plusSimulator",
    "sbe45": "drivers.simulators.sbe45:Sbe45Simulator",
    "sbe54": "drivers.simulators.sbe54:Sbe54Simulator",
    "sbe911plus": "drivers.simulators.sbe911plus:Sbe911plusSimulator",
    "ship": "drivers.simulators.ship:ShipSimulator",
    "signature": "drivers.simulators.signature:SignatureSimulator",
    "valeport": "drivers.simulators.valeport:ValeportSimulator",
    "workhorse": "drivers.simulators.workhorse:WorkhorseSimulator",
}
"""What can be simulated, and by which class."""

_TICK_S = 0.01
_READ = 65536


class Speaker(Protocol):
    """What the host needs of a simulator."""

    speaking: bool

    def tick(self, now_ns: int) -> bytes: ...

    def receive(self, data: bytes, now_ns: int) -> bytes: ...

    def take_said(self) -> list[Said]: ...


# ---- faults of the line ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Faults:
    """How often the line fails: each the share of utterances it befalls, from 0 to 1.

    `noise`: a burst of random bytes goes out in front of it. `cut`: its end is lost. `flip`: some of its bytes change
    (the top bit always, as no byte of a text has it). `mute`: neither it nor anything else for `mute_s` seconds goes
    out; what was not said is not in the ledger.
    """

    noise: float = 0.0
    cut: float = 0.0
    flip: float = 0.0
    mute: float = 0.0
    mute_s: float = 5.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("noise", "cut", "flip", "mute"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share from 0 to 1, not {getattr(self, name)}")


class _BadLine:
    """The line with its faults; says of each utterance what of it goes out, and whether it is damaged."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._random = Random(faults.seed)
        self._mute_until_s = 0.0
        self._spoiled = False

    def pass_on(self, data: bytes) -> tuple[bytes, bool]:
        """(what goes out, whether the records in it are damaged). Nothing goes out of a muted line."""
        faults, random = self._faults, self._random
        # Drawn always and in this order, so that one fault's setting does not move the others.
        noisy, cut, flipped, mute = (random.random() for _ in range(4))
        detail = Random(random.getrandbits(64))
        if mute < faults.mute:
            self._mute_until_s = time.monotonic() + faults.mute_s
        if time.monotonic() < self._mute_until_s:
            return b"", True
        # A record without its end runs into the next one and spoils that, too.
        damaged, self._spoiled = self._spoiled, False
        if flipped < faults.flip:
            changed = bytearray(data)
            for _ in range(detail.randint(1, 3)):
                changed[detail.randrange(len(data))] ^= 0x80 | detail.randrange(128)
            damaged = self._spoiled = True
            data = bytes(changed)
        if cut < faults.cut:
            data = data[: detail.randrange(len(data))]
            damaged = self._spoiled = True
        if noisy < faults.noise:
            data = detail.randbytes(detail.randint(1, 64)) + data
            damaged = True
        return data, damaged


# ---- ports ----------------------------------------------------------------------------------------------------------


class _Port(ABC):
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


class PtyPort(_Port):
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


class TcpServerPort(_Port):
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


# ---- the host -------------------------------------------------------------------------------------------------------


class Ledger:
    """What an instrument said, one JSON object a line, appended to a file."""

    def __init__(self, path: Path, instrument: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._instrument = instrument

    def add(self, said: Sequence[Said], *, damaged: bool) -> None:
        """Notes samples that went out together."""
        for one in said:
            entry = {
                "instrument": self._instrument,
                "at_ns": one.at_ns,
                "time_ns": one.time_ns,
                "values": dict(one.values),
                "mischief": one.mischief,
            }
            self._write(entry | {"damaged": True} if damaged else entry)

    def quiet(self) -> None:
        """Notes that nothing unasked comes after this."""
        self._write({"quiet": True})

    def _write(self, entry: dict[str, Any]) -> None:
        # Whole lines in one call each: whoever reads along never sees half of one.
        os.write(self._fd, json.dumps(entry, allow_nan=False, default=_plain).encode() + b"\n")

    def close(self) -> None:
        """Closes the file."""
        os.close(self._fd)


def _plain(value: Any) -> Any:
    return value.tolist()  # of numpy's numbers and arrays


async def host(
    simulator: Simulator | ModbusServer,
    *,
    ledger: Path,
    stop: asyncio.Event,
    serial_link: Path | None = None,
    tcp: str | None = None,
    modbus_rtu: Path | None = None,
    modbus_tcp: str | None = None,
    unit: int = 1,
    instrument: str = "instrument",
    quiet: asyncio.Event | None = None,
    faults: Faults | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Runs one simulator on one interface until `stop`.

    Exactly one of `serial_link` and `modbus_rtu` (the link to be made to a pseudo-terminal), `tcp` and `modbus_tcp`
    (`host:port`, port 0 for a free one) names the interface. On Modbus the simulator needs `registers` and
    answers as `unit`; a `ModbusServer` brings its own units. When `quiet` is set, it says nothing unasked any more.
    `ready` is told the port's name once it is open. Raises ValueError, OSError.
    """
    asked = [name for name in (serial_link, tcp, modbus_rtu, modbus_tcp) if name is not None]
    if len(asked) != 1:
        raise ValueError("name one interface: serial, tcp, modbus rtu or modbus tcp")
    faults = faults or Faults()
    if modbus_tcp is not None and (faults.noise or faults.cut or faults.flip):
        raise ValueError("TCP does not damage bytes; on Modbus TCP only the fault `mute` is possible")
    speaker: Speaker = simulator
    if (modbus_rtu or modbus_tcp) and not isinstance(simulator, ModbusServer):
        if not hasattr(simulator, "registers"):
            raise ValueError(f"{type(simulator).__name__} has no Modbus registers; connect it by serial or tcp")
        speaker = ModbusServer({unit: typing.cast(Slave, simulator)}, rtu=modbus_rtu is not None)
    book = Ledger(ledger, instrument)
    try:
        link, address = serial_link or modbus_rtu, tcp or modbus_tcp
        port = PtyPort(link) if link else TcpServerPort(_endpoint(address or ""))
        try:
            if ready:
                ready(port.name)
            talk = asyncio.create_task(_talk(speaker, port, book, _BadLine(faults), quiet or asyncio.Event()))
            stopped = asyncio.create_task(stop.wait())
            done, _ = await asyncio.wait({talk, stopped}, return_when=asyncio.FIRST_COMPLETED)
            for task in (talk, stopped):
                task.cancel()
            await asyncio.gather(talk, stopped, return_exceptions=True)
            if talk in done:
                talk.result()
        finally:
            port.close()
    finally:
        book.close()


def _endpoint(text: str) -> Endpoint:
    host, colon, port = text.rpartition(":")
    if colon and port == "0":
        return Endpoint(parse_endpoint(host, 1).host, 0)
    return parse_endpoint(text)


async def _talk(speaker: Speaker, port: _Port, ledger: Ledger, line: _BadLine, quiet: asyncio.Event) -> None:
    noted = False
    while True:
        if quiet.is_set() and not noted:
            speaker.speaking, noted = False, True
            ledger.quiet()
        heard = await port.hear(_TICK_S)
        if heard:
            await _say(speaker.receive(heard, time.time_ns()), speaker, port, ledger, line)
        if port.somebody_listens():
            await _say(speaker.tick(time.time_ns()), speaker, port, ledger, line)


async def _say(data: bytes, speaker: Speaker, port: _Port, ledger: Ledger, line: _BadLine) -> None:
    said = speaker.take_said()
    if not data:
        return
    out, damaged = line.pass_on(data)
    if out and await port.say(out):
        ledger.add(said, damaged=damaged)


# ---- the command ----------------------------------------------------------------------------------------------------


def build(kind: str, interval_s: float | None, settings: Sequence[str]) -> Simulator:
    """The simulator `kind` with `name=value` settings of its dataclass; `name.field=value` reaches into a part, and a
    value may be JSON. Raises ValueError."""
    if kind not in KINDS:
        raise ValueError(f"{kind!r} cannot be simulated; these can: {', '.join(KINDS)}")
    cls = pkgutil.resolve_name(KINDS[kind])
    hints = typing.get_type_hints(cls)
    known = [field.name for field in dataclasses.fields(cls) if field.init]
    asked: dict[str, Any] = {} if interval_s is None else {"interval_s": interval_s}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise ValueError(f"{setting!r} is no setting; write name=value")
        *way, last = name.split(".")
        table = asked
        for step in way:
            table = table.setdefault(step, {})
            if not isinstance(table, dict):
                raise ValueError(f"{step!r} is given twice")
        table[last] = _value(text)
    values = {}
    for name, value in asked.items():
        if name not in known:
            raise ValueError(f"a simulated {kind} has no {name!r}; it has {', '.join(known)}")
        try:
            values[name] = TypeAdapter(hints[name]).validate_python(value)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join([name, *map(str, first["loc"])])
            raise ValueError(f"{place}={first['input']!r}: {first['msg']}") from None
    simulator: Simulator = cls(**values)
    return simulator


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def simulate(
    kind: Annotated[str, typer.Argument(help=f"What to simulate: {', '.join(KINDS)}.")],
    ledger: Annotated[Path, typer.Option(help="File to which every sample is appended once it was said.")],
    serial: Annotated[Path | None, typer.Option(help="Make a serial port of this name (a link).")] = None,
    tcp: Annotated[str | None, typer.Option(help="Serve at HOST:PORT.")] = None,
    modbus_rtu: Annotated[Path | None, typer.Option(help="Make a Modbus RTU bus of this name (a link).")] = None,
    modbus_tcp: Annotated[str | None, typer.Option(help="Serve Modbus TCP at HOST:PORT.")] = None,
    unit: Annotated[int, typer.Option(min=1, max=247, help="Unit number on Modbus.")] = 1,
    interval: Annotated[float | None, typer.Option(min=0.001, help="Seconds between samples.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help='A setting, name=value, such as mischief={"spikes": [3]}.')
    ] = None,
    instrument: Annotated[str, typer.Option(help="Its name in the ledger; the kind where left out.")] = "",
    noise: Annotated[float, typer.Option(min=0, max=1, help="Share of utterances with noise in front.")] = 0.0,
    cut: Annotated[float, typer.Option(min=0, max=1, help="Share of utterances that lose their end.")] = 0.0,
    flip: Annotated[float, typer.Option(min=0, max=1, help="Share of utterances with wrong bytes.")] = 0.0,
    mute: Annotated[float, typer.Option(min=0, max=1, help="Share of utterances that begin a silence.")] = 0.0,
    mute_s: Annotated[float, typer.Option(min=0, help="How long such a silence lasts, in seconds.")] = 5.0,
    fault_seed: Annotated[int, typer.Option(help="The same seed gives the same faults.")] = 0,
) -> None:
    """Simulate an instrument on a real port, until SIGTERM or Ctrl-C. SIGUSR1: say nothing unasked any more."""

    async def run() -> None:
        stop, quiet = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        loop.add_signal_handler(signal.SIGINT, stop.set)
        loop.add_signal_handler(signal.SIGUSR1, quiet.set)
        await host(
            build(kind, interval, settings or []),
            ledger=ledger,
            stop=stop,
            serial_link=serial,
            tcp=tcp,
            modbus_rtu=modbus_rtu,
            modbus_tcp=modbus_tcp,
            unit=unit,
            instrument=instrument or kind,
            quiet=quiet,
            faults=Faults(noise, cut, flip, mute, mute_s, fault_seed),
            ready=lambda name: typer.echo(f"{kind} on {name}"),
        )

    try:
        asyncio.run(run())
    except (ValueError, OSError) as error:
        typer.echo(f"{kind}: {error}", err=True)
        raise typer.Exit(1) from None
