"""Hosts a simulated instrument on a real interface: pseudo-terminal, TCP port, UDP datagrams, Modbus RTU or Modbus TCP.

The instrument speaks only while somebody has its port open; over UDP, where nobody can know, always. What it says goes
out whole: where the other side does not read, the instrument waits and nothing is dropped. A sample enters the ledger,
a file of one JSON object a line, right after its last byte was taken by the port, so the ledger never claims what was
not said. Faults of the line (`Faults`) happen here; a sample that they may have cost is marked `"damaged": true`: it
may be missing at the far end, but must not be there with other values.

`SIGUSR1` lets the instrument say nothing unasked any more and writes `{"quiet": true}` to the ledger; it still
answers. `SIGTERM` ends it.
"""

import asyncio
import dataclasses
import inspect
import json
import os
import pkgutil
import re
import signal
import sys
import time
import typing
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
from gateway.simulated_ports import Port, PtyPort, TcpServerPort, UdpPort

KINDS = {
    "aml": "drivers.simulators.aml:AmlSimulator",
    "aquadopp": "drivers.simulators.aquadopp:AquadoppSimulator",
    "ascii": "drivers.simulators.ascii_pattern:AsciiSimulator",
    "dvl": "drivers.simulators.dvl:DvlSimulator",
    "gill": "drivers.simulators.weather:GillSimulator",
    "modbus": "drivers.simulators.modbus_map:ModbusMapSimulator",
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
    "seafet": "drivers.simulators.seafet:SeaFetSimulator",
    "sdi12": "drivers.simulators.sdi12:Sdi12Simulator",
    "ship": "drivers.simulators.ship:ShipSimulator",
    "signature": "drivers.simulators.signature:SignatureSimulator",
    "vaisala_ptu": "drivers.simulators.weather:PtuSimulator",
    "vaisala_wxt": "drivers.simulators.weather:WxtSimulator",
    "valeport": "drivers.simulators.valeport:ValeportSimulator",
    "workhorse": "drivers.simulators.workhorse:WorkhorseSimulator",
}
"""What can be simulated, and by which class."""

_TICK_S = 0.01


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
    (the top bit always, as no byte of a text has it). `checksum`: its checksums are wrong. `mute`: neither it nor
    anything else for `mute_s` seconds goes out; what was not said is not in the ledger.
    """

    noise: float = 0.0
    cut: float = 0.0
    flip: float = 0.0
    mute: float = 0.0
    mute_s: float = 5.0
    seed: int = 0
    checksum: float = 0.0

    def __post_init__(self) -> None:
        for name in ("noise", "cut", "flip", "mute", "checksum"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share from 0 to 1, not {getattr(self, name)}")


class _BadLine:
    """The line with its faults; says of each utterance what of it goes out, and whether it is damaged. `falsified` is
    the same utterance with wrong checksums."""

    def __init__(self, faults: Faults, falsified: Callable[[bytes], bytes] | None = None) -> None:
        self._faults = faults
        self._falsified = falsified
        self._random, self._random_checksum = Random(faults.seed), Random(f"checksum {faults.seed}")
        self._mute_until_s = float("-inf")
        self._spoiled = False

    @property
    def has_checksums(self) -> bool:
        """Whether what it carries has any."""
        return self._falsified is not None

    def pass_on(self, data: bytes, now_s: float) -> tuple[bytes, bool]:
        """(what goes out, whether the records in it are damaged) at `now_s` of a clock that only goes on. Nothing goes
        out of a muted line."""
        faults, random = self._faults, self._random
        # Drawn always and in this order, so that one fault's setting does not move the others.
        noisy, cut, flipped, mute = (random.random() for _ in range(4))
        detail = Random(random.getrandbits(64))
        if mute < faults.mute:
            self._mute_until_s = now_s + faults.mute_s
        if now_s < self._mute_until_s:
            return b"", True
        # A record without its end runs into the next one and spoils that, too.
        damaged, self._spoiled = self._spoiled, False
        if self._falsified and self._random_checksum.random() < faults.checksum:
            wrong = self._falsified(data)
            damaged = damaged or wrong != data
            data = wrong
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
    ledger: Path | None,
    stop: asyncio.Event,
    serial_link: Path | None = None,
    tcp: str | None = None,
    udp: str | None = None,
    modbus_rtu: Path | None = None,
    modbus_tcp: str | None = None,
    unit: int = 1,
    instrument: str = "instrument",
    quiet: asyncio.Event | None = None,
    faults: Faults | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Runs one simulator on one interface until `stop`; what it says enters `ledger`, if there is one.

    Exactly one of `serial_link` and `modbus_rtu` (the link to be made to a pseudo-terminal), `tcp` and `modbus_tcp`
    (`host:port`, port 0 for a free one) and `udp` (the `host:port` to send to) names the interface. On Modbus the
    simulator needs `registers` and answers as `unit`; a `ModbusServer` brings its own units. When `quiet` is set, it
    says nothing unasked any more. `ready` is told the port's name once it is open. Raises ValueError, OSError.
    """
    asked = [name for name in (serial_link, tcp, udp, modbus_rtu, modbus_tcp) if name is not None]
    if len(asked) != 1:
        raise ValueError("name one interface: --serial, --tcp, --udp, --modbus-rtu or --modbus-tcp")
    faults = faults or Faults()
    if modbus_tcp is not None and (faults.noise or faults.cut or faults.flip or faults.checksum):
        raise ValueError("TCP does not damage bytes; on Modbus TCP only the fault `mute` is possible")
    speaker: Speaker = simulator
    if (modbus_rtu or modbus_tcp) and not isinstance(simulator, ModbusServer):
        if not hasattr(simulator, "registers"):
            raise ValueError(f"{type(simulator).__name__} has no Modbus registers; connect it by serial or tcp")
        speaker = ModbusServer({unit: typing.cast(Slave, simulator)}, rtu=modbus_rtu is not None)
    line = _BadLine(faults, falsifier(simulator, rtu=modbus_rtu is not None))
    if faults.checksum and not line.has_checksums:
        raise ValueError("it speaks without checksums; take the fault `flip` to have wrong bytes")
    book = Ledger(ledger or Path(os.devnull), instrument)
    try:
        port: Port
        if link := serial_link or modbus_rtu:
            port = PtyPort(link)
        elif udp is not None:
            port = UdpPort(parse_endpoint(udp))
        else:
            port = TcpServerPort(_endpoint(tcp or modbus_tcp or ""))
        try:
            if ready:
                ready(port.name)
            talk = asyncio.create_task(_talk(speaker, port, book, line, quiet or asyncio.Event()))
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


def falsifier(simulator: Simulator | ModbusServer, *, rtu: bool) -> Callable[[bytes], bytes] | None:
    """What makes the checksums of an utterance wrong; None where it has none. The CRC of Modbus RTU is the bus's."""
    if rtu:
        return lambda said: said[:-1] + bytes([said[-1] ^ 0xFF])
    return simulator.falsifier() if isinstance(simulator, Simulator) else None


def _endpoint(text: str) -> Endpoint:
    host, colon, port = text.rpartition(":")
    if colon and port == "0":
        return Endpoint(parse_endpoint(host, 1).host, 0)
    return parse_endpoint(text)


async def _talk(speaker: Speaker, port: Port, ledger: Ledger, line: _BadLine, quiet: asyncio.Event) -> None:
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


async def _say(data: bytes, speaker: Speaker, port: Port, ledger: Ledger, line: _BadLine) -> None:
    said = speaker.take_said()
    if not data:
        return
    out, damaged = line.pass_on(data, time.monotonic())
    if out and await port.say(out):
        ledger.add(said, damaged=damaged)


# ---- the command ----------------------------------------------------------------------------------------------------


def build(kind: str, interval_s: float | None, settings: Sequence[str]) -> Simulator:
    """The simulator `kind` with `name=value` settings of its dataclass; `name.field=value` reaches into a part, and a
    value may be JSON. Raises ValueError."""
    cls = _class(kind)
    hints = typing.get_type_hints(cls)
    known = [field.name for field in dataclasses.fields(cls) if field.init]
    asked: dict[str, Any] = {} if interval_s is None else {"interval_s": interval_s}
    words: dict[str, str] = {}
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
        if not way:
            words[last] = text
    values = {}
    for name, value in asked.items():
        if name not in known:
            raise ValueError(f"a simulated {kind} has no {name!r}; it has {', '.join(known)}")
        wanted = TypeAdapter(hints[name])
        try:
            values[name] = wanted.validate_python(words[name] if hints[name] is str and name in words else value)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join([name, *map(str, first["loc"])])
            raise ValueError(f"{place}={first['input']!r}: {first['msg']}") from None
    return cls(**values)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def listing(kind: str) -> str:
    """What can be simulated, a line each; or the settings of one kind. Raises ValueError."""
    if not kind:
        rows = [
            (name, ", ".join(dict.fromkeys(way[0] for way in _class(name).drivers)), _title(_class(name)))
            for name in KINDS
        ]
        widths = [max(len(row[i]) for row in rows) for i in (0, 1)]
        head = ("kind".ljust(widths[0]), "read by driver".ljust(widths[1]), "what it is")
        lines = [f"{name:{len(head[0])}}  {read_by:{len(head[1])}}  {title}" for name, read_by, title in (head, *rows)]
        return "\n".join([*lines, "", "The settings of one kind: tidegate gateway simulate KIND --list"])
    cls = _class(kind)
    lines = [f"{kind}: {_title(cls)}", inspect.cleandoc(cls.__doc__ or ""), ""]
    for driver, *settings in cls.drivers:
        lines.append(f"Read by driver {driver}" + (f", with --set {' --set '.join(settings)}" if settings else ""))
    lines += [
        f"--drift, --spike, --stuck and --wild fall on {cls.spoils}",
        "",
        "--set name=value, with what it is else:",
    ]
    for one in dataclasses.fields(cls):
        if one.init:
            default = one.default_factory() if callable(one.default_factory) else one.default
            parts: dict[str, Any] = {"": default}
            if dataclasses.is_dataclass(default) and not isinstance(default, type):
                parts = dataclasses.asdict(default)
            lines += [f"  {one.name}{'.' if part else ''}{part}={_typed(value)}" for part, value in parts.items()]
    return "\n".join(lines)


def _class(kind: str) -> type[Simulator]:
    if kind not in KINDS:
        raise ValueError(f"{kind!r} cannot be simulated; these can: {', '.join(KINDS)}")
    cls: type[Simulator] = pkgutil.resolve_name(KINDS[kind])
    return cls


def _title(cls: type[Simulator]) -> str:
    """What it simulates, in a line: as its module says, or it where one module simulates several."""
    alone = sum(name.startswith(f"{cls.__module__}:") for name in KINDS.values()) == 1
    text = (sys.modules[cls.__module__] if alone else cls).__doc__ or ""
    first = text.partition("\n\n")[0].replace("\n    ", " ").replace("\n", " ")
    return re.split(r"[:.;](?: |$)", first.removeprefix("A simulated "))[0]


def _typed(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


_LINE = "Faults of the line"
_VALUE = "Faults of the value (see --list)"
_CLOCK = "Faults of the clock"


def simulate(
    kind: Annotated[str, typer.Argument(help=f"What to simulate: {', '.join(KINDS)}.")] = "",
    ledger: Annotated[
        Path | None, typer.Option(help="File to which every sample is appended once it was said.")
    ] = None,
    serial: Annotated[Path | None, typer.Option(help="Make a serial port of this name (a link).")] = None,
    tcp: Annotated[str | None, typer.Option(help="Serve at HOST:PORT.")] = None,
    udp: Annotated[str | None, typer.Option(help="Send datagrams to HOST:PORT, or to a broadcast address.")] = None,
    modbus_rtu: Annotated[Path | None, typer.Option(help="Make a Modbus RTU bus of this name (a link).")] = None,
    modbus_tcp: Annotated[str | None, typer.Option(help="Serve Modbus TCP at HOST:PORT.")] = None,
    unit: Annotated[int, typer.Option(min=1, max=247, help="Unit number on Modbus.")] = 1,
    interval: Annotated[float | None, typer.Option(min=0.001, help="Seconds between samples.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="A setting, name=value; see --list.")] = None,
    instrument: Annotated[str, typer.Option(help="Its name in the ledger; the kind where left out.")] = "",
    list_: Annotated[bool, typer.Option("--list", help="List all kinds, or the settings of KIND, and end.")] = False,
    noise: Annotated[
        float, typer.Option(min=0, max=1, help="Share of utterances with noise in front.", rich_help_panel=_LINE)
    ] = 0.0,
    cut: Annotated[
        float, typer.Option(min=0, max=1, help="Share of utterances that lose their end.", rich_help_panel=_LINE)
    ] = 0.0,
    flip: Annotated[
        float, typer.Option(min=0, max=1, help="Share of utterances with wrong bytes.", rich_help_panel=_LINE)
    ] = 0.0,
    checksum: Annotated[
        float, typer.Option(min=0, max=1, help="Share of utterances with wrong checksums.", rich_help_panel=_LINE)
    ] = 0.0,
    mute: Annotated[
        float, typer.Option(min=0, max=1, help="Share of utterances that begin a silence.", rich_help_panel=_LINE)
    ] = 0.0,
    mute_s: Annotated[float, typer.Option(min=0, help="Seconds that a silence lasts.", rich_help_panel=_LINE)] = 5.0,
    fault_seed: Annotated[int, typer.Option(help="The same seed, the same faults.", rich_help_panel=_LINE)] = 0,
    drift: Annotated[float | None, typer.Option(help="It drifts by this much an hour.", rich_help_panel=_VALUE)] = None,
    spike: Annotated[
        tuple[int, float] | None,
        typer.Option(metavar="N SIZE", help="Sample N of every 600 is off by SIZE.", rich_help_panel=_VALUE),
    ] = None,
    stuck: Annotated[
        tuple[int, int] | None,
        typer.Option(metavar="N M", help="From sample N to M of every 600 it stays the same.", rich_help_panel=_VALUE),
    ] = None,
    wild: Annotated[
        tuple[int, float] | None,
        typer.Option(metavar="N VALUE", help="Sample N of every 600 is VALUE.", rich_help_panel=_VALUE),
    ] = None,
    clock_error: Annotated[
        float | None, typer.Option(help="Seconds that its clock is ahead (-: behind).", rich_help_panel=_CLOCK)
    ] = None,
    clock_drift: Annotated[
        float | None, typer.Option(help="Seconds that its clock gains a day (-: loses).", rich_help_panel=_CLOCK)
    ] = None,
) -> None:
    """Simulate an instrument on a real port, until SIGTERM or Ctrl-C. SIGUSR1: say nothing unasked any more."""
    faulty = {
        "mischief.drift_per_h": drift,
        "mischief.spikes": spike and [spike[0]],
        "mischief.spike_by": spike and spike[1],
        "mischief.stuck": stuck and [*stuck],
        "mischief.wild": wild and [wild[0]],
        "mischief.wild_value": wild and wild[1],
        "clock.ahead_s": clock_error,
        "clock.gain_s_per_day": clock_drift,
    }
    all_settings = [*(settings or []), *(f"{n}={json.dumps(v)}" for n, v in faulty.items() if v is not None)]

    async def run() -> None:
        stop, quiet = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        loop.add_signal_handler(signal.SIGINT, stop.set)
        loop.add_signal_handler(signal.SIGUSR1, quiet.set)
        await host(
            build(kind, interval, all_settings),
            ledger=ledger,
            stop=stop,
            serial_link=serial,
            tcp=tcp,
            udp=udp,
            modbus_rtu=modbus_rtu,
            modbus_tcp=modbus_tcp,
            unit=unit,
            instrument=instrument or kind,
            quiet=quiet,
            faults=Faults(noise, cut, flip, mute, mute_s, fault_seed, checksum),
            ready=lambda name: typer.echo(f"{kind} on {name}"),
        )

    try:
        if list_ or not kind:
            typer.echo(listing(kind))
        else:
            asyncio.run(run())
    except (ValueError, OSError) as error:
        typer.echo(f"{kind}: {error}", err=True)
        raise typer.Exit(1) from None
