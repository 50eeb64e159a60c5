"""`tidegate gateway probe`: which ports there are, what is connected to one, and what to write into the file for it.

The search itself is `gateway.probe` and, for Modbus, `gateway.modbus_scan`; here is what a technician sees of it. Each
try goes to standard error as it is made, the outcome to standard output.
"""

import asyncio
import errno
import re
import sys
import typing
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from drivers.modbus_map import ModbusMap
from drivers.register_map import decode_all_orders
from gateway.add import instrument_table, port_of, port_table, proposed_name, table_of, toml_value
from gateway.config import ModbusRtuPort, ModbusTcpPort, Port, SerialPort
from gateway.control import ControlClient, GetStatus, NoGateway, NotRunning, storage_directory
from gateway.found import Found, PortUnusable, Tell
from gateway.health import Status
from gateway.modbus_scan import Block, Device, Reading, Span, readings, scan
from gateway.ports import Serial, holder_of, serial_ports
from gateway.probe import probe
from gateway.recognise import installed
from gateway.transports import open_transport
from gateway.transports.transport import in_words
from gateway.trial import lines_of, values_of

_ASK_EVERY_S = 10.0
_WIDTH = 80
_DIGITS = 6
_MOST_PROBLEMS = 5
_NO_PORT = """\
This computer has no serial port.
- An adapter is plugged in, and `lsusb` lists it: its driver is missing. `sudo dmesg | tail` after plugging it in names
  the chip; `sudo modprobe ftdi_sio` (or cp210x, ch341, pl2303) loads the driver.
- `lsusb` does not list it: another cable, another socket, another adapter.
- This is a virtual machine or a container: the device must be passed on to it, as by `docker run --device`.
- The instrument is on the network: tidegate gateway probe 10.0.0.5:4001 (TCP) or udp:10110."""


# ---- who has the port ------------------------------------------------------------------------------------------------


class Gateway:
    """The instruments of the gateway that runs on this computer, by their ports. None run where `status` is None."""

    def __init__(self, status: Status | None = None) -> None:
        self._names: dict[str, str] = {}
        for name, instrument in (status.instruments if status else {}).items():
            self._names.setdefault(_key(instrument.port), f"{name} ({instrument.driver})")

    def name_of(self, port: Port) -> str:
        """What the gateway calls what is on this port; empty where it has nothing there."""
        return self._names.get(_key(open_transport(port).name), "")

    def at(self, device: Path) -> str:
        """The same of a serial device, whichever way it is used."""
        return self._names.get(str(device.resolve()), "")


def _key(port: str) -> str:
    """A port's name as a transport tells it, the same for all names and settings of a device."""
    device = re.fullmatch(r"(?:serial|modbus rtu) (.+) \d+ \d[NEO]\d", port)
    return str(Path(device[1]).resolve()) if device else port


async def running_gateway(config: Path) -> tuple[Gateway, str]:
    """(the gateway that runs with this file, why it cannot be looked at)."""
    try:
        client = await ControlClient.connect(storage_directory(config))
    except NotRunning:
        return Gateway(), ""
    except NoGateway as error:
        return Gateway(), str(error)
    try:
        return Gateway(Status.model_validate(await client.ask(GetStatus()))), ""
    except NoGateway:
        return Gateway(), ""  # it was stopped just now
    finally:
        await client.close()


# ---- the command -----------------------------------------------------------------------------------------------------


def survey(
    text: str | None,
    config: Path,
    *,
    modbus: bool = False,
    listen_s: float,
    every_unit: bool = False,
    registers: Span | None = None,
) -> bool:
    """Lists the ports, or says what is on one; whether something was recognised. `config` is the file of the gateway
    that may be running. Raises ValueError where `text` is no port, and PortUnusable."""
    gateway, unseen = asyncio.run(running_gateway(config)) if config.exists() else (Gateway(), "")
    if unseen:
        typer.echo(f"What the running gateway uses cannot be seen: {unseen}", err=True)
    if text is None:
        return list_ports(serial_ports(), gateway)
    modbus = modbus or registers is not None or every_unit or text.endswith(":502")
    port = port_of(port_table(text, ModbusMap if modbus else None), Path.cwd())
    if name := gateway.name_of(port):
        raise PortUnusable(
            f"{text} is {name} of the running gateway; `tidegate gateway top` shows what it says, "
            "`tidegate gateway console` talks to it. To probe it, stop the gateway"
        )
    with _course() as (tell, now):
        try:
            if isinstance(port, ModbusTcpPort | ModbusRtuPort):
                devices = asyncio.run(scan(port, every_unit=every_unit, registers=registers, tell=tell, now=now))
                return show_devices(devices, with_registers=registers is not None)
            return show_found(asyncio.run(probe(port, listen_s=listen_s, tell=tell, now=now)))
        except PortUnusable as error:
            raise PortUnusable(_with_holder(port, str(error))) from None


def _with_holder(port: Port, reason: str) -> str:
    device = port.serial if isinstance(port, SerialPort) else getattr(port, "modbus_rtu", None)
    holder = holder_of(device) if device is not None and "in use" in reason else ""
    return f"{reason}: it is {holder}" if holder else reason


@contextmanager
def _course() -> Iterator[tuple[Tell, Tell]]:
    """How to tell of each try, and of what goes on at the moment: on a terminal one line that changes."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield (lambda line: typer.echo(line, err=True)), (lambda _: None)
        return
    with console.status("") as status:
        yield (
            lambda line: console.print(line, markup=False, soft_wrap=True),
            lambda text: status.update(text.replace("[", r"\[")),
        )


def parse_span(text: str) -> Span:
    """`0-31` or `2002`. Raises ValueError."""
    found = re.fullmatch(r"(\d+)(?:-(\d+))?", text.strip())
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if not first <= last <= 65535:
        raise ValueError(f"{text!r} are no registers; write them as 0-31, counted from 0, up to 65535")
    return first, last


# ---- ports -----------------------------------------------------------------------------------------------------------


def list_ports(ports: Sequence[Serial], gateway: Gateway) -> bool:
    """The serial ports and who uses them; whether there are any."""
    if not ports:
        typer.echo(_NO_PORT)
        return False
    free = None
    for port in ports:
        state = "free"
        if name := gateway.at(port.device):
            state = f"{name} of the running gateway"
        elif port.holder:
            state = f"in use by {port.holder}"
        elif not port.permitted:
            denied = PermissionError(errno.EACCES, "")
            state = in_words(denied, str(port.device)).removeprefix(f"no permission for {port.device}; ")
            state = f"no permission: {state}"
        else:
            free = free or port
        typer.echo(f"{port.name}")
        device = [str(port.device)] if port.name != port.device else []
        typer.echo(f"    {', '.join([*device, *filter(None, [port.description])]) or 'serial port'}: {state}")
    if free:
        typer.echo(f"\nWhat is connected: tidegate gateway probe {free.name}")
    return True


# ---- what was found --------------------------------------------------------------------------------------------------


def show_found(found: Sequence[Found]) -> bool:
    """The likeliest in full, the others by name; whether there is any."""
    if not found:
        return False
    best, *others = found
    typer.echo(f"\n{_who(best)}: {_sure(best)}")
    every = f", a sample every {best.interval_s:g} s" if best.interval_s else ""
    typer.echo(f"{open_transport(best.port).name}{every}")
    for other in others:
        typer.echo(f"  or {_who(other)}: {_sure(other)}")
    typer.echo()
    _show_samples(best)
    _show_table(best)
    return True


def _who(found: Found) -> str:
    cls = installed()[found.driver]
    maker, model = found.told.get("manufacturer") or cls.manufacturer, str(found.told.get("model") or "")
    who = (model if model.startswith(maker) else f"{maker} {model}") if model else cls.title
    serial = f", serial number {found.told['serial']}" if found.told.get("serial") else ""
    map_ = getattr(found.settings, "map", None)
    return f"{who}{serial} (driver {found.driver}{f', map {map_}' if map_ else ''})"


def _sure(found: Found) -> str:
    return f"{found.confidence:.0%} sure"


def _show_samples(found: Found) -> None:
    """The newest sample of each kind, and the problems."""
    if not found.samples:
        mode = installed()[found.driver].Settings.model_fields.get("mode")
        modes = " or ".join(f'mode = "{m}"' for m in typing.get_args(mode.annotation)[1:]) if mode else ""
        asks = f"; or have it asked: {modes} in its settings" if modes else ""
        typer.echo(f"It gave no sample. Does it measure rarely (--listen-s 600), or was it not started{asks}?\n")
    newest = {frame.schema.id: frame for frame in found.frames if len(frame)}
    for frame in newest.values():
        typer.echo(f"{frame.schema.kind}:")
        for _, line in lines_of(list(values_of(frame, len(frame) - 1)), _WIDTH - 2):
            typer.echo(f"  {line}")
    kinds = Counter(problem.kind for problem in found.problems)
    for kind, count in kinds.most_common(_MOST_PROBLEMS):
        message = next(problem.message for problem in found.problems if problem.kind == kind)
        typer.echo(f"! {count} {kind}: {message}")
    if newest or kinds:
        typer.echo()


def _show_table(found: Found) -> None:
    kind = found.frames[-1].schema.kind if found.frames else found.driver
    typer.echo("For the gateway's file, with a name of yours (`tidegate gateway add` writes it for you):\n")
    typer.echo(table(proposed_name(kind, []), found))


def table(name: str, found: Found) -> str:
    """The table of the gateway's file for what was found, as the instrument `name`."""
    settings = found.settings.model_dump(mode="json", exclude_defaults=True)
    every_s = found.interval_s or _ASK_EVERY_S
    text = instrument_table(name, found.driver, every_s, table_of(found.port), settings)
    if found.interval_s is None:
        text = text.replace("\nport = ", "  # put how often it measures, or is to be asked\nport = ", 1)
    return text


# ---- Modbus ----------------------------------------------------------------------------------------------------------


def show_devices(devices: Sequence[Device], *, with_registers: bool) -> bool:
    """The devices, their maps, and their registers where no map fits or where they were asked for."""
    for device in devices:
        typer.echo(f"\nunit {device.unit} on {open_transport(device.port).name}")
        if device.found:
            show_found(device.found)
        else:
            typer.echo("No shipped map fits it. What its registers say, each in every order of bytes and words:")
        if not device.blocks:
            typer.echo("It answers, but refuses to have these registers read: --registers 100-131 reads others.")
        for block in device.blocks:
            _show_block(device, block, every_type=with_registers)
        if not device.found:
            _show_own_map(device)
    return any(device.found for device in devices)


_ORDERS = ("ABCD", "CDAB", "BADC", "DCBA")


def _show_block(device: Device, block: Block, *, every_type: bool) -> None:
    """A block in all readings, the likely ones marked and explained."""
    likely = readings(block, device.found)
    marked = {(r.address, r.type, r.order) for r in likely}
    table = decode_all_orders(block.second)
    kind = "input" if block.function == 4 else "holding"
    last = block.address + len(block.second) - 1
    typer.echo(f"\n{kind} registers {block.address} to {last} (function {block.function}), * likely:")
    groups = [[("int16", _ORDERS[::2]), ("float32", _ORDERS)], [("uint16", _ORDERS[::2]), ("int32", _ORDERS)]]
    if every_type:
        groups += [[("uint32", _ORDERS)], [("int64", _ORDERS)], [("float64", _ORDERS)]]
    for group in groups:
        _show_types(block, group, table, marked)
    for r in likely:
        typer.echo(f"  * {r.address} {r.type} {r.order} {_number(r.value)}: {r.why}")


def _number(value: float | int) -> str:
    return str(value) if isinstance(value, int) else f"{value:.{_DIGITS}g}"


def _show_types(
    block: Block,
    group: Sequence[tuple[str, Sequence[str]]],
    values: Mapping[str, Mapping[str, Sequence[float | int]]],
    marked: set[tuple[int, str, str]],
) -> None:
    grid = Table(box=None, padding=(0, 0, 0, 2))
    grid.add_column("\nreg.", justify="right")
    grid.add_column("\nhex")
    for kind, orders in group:
        for order in orders:
            grid.add_column(f"{kind}\n{order}", justify="right")
    for i, register in enumerate(block.second):
        cells = []
        for kind, orders in group:
            for order in orders:
                given = values[kind][order]
                mark = "*" if (block.address + i, kind, order) in marked else ""
                cells.append(f"{mark}{_number(given[i])}" if i < len(given) else "")
        grid.add_row(str(block.address + i), f"{register:04X}", *cells)
    console = Console(file=sys.stdout, highlight=False)
    console.width = max(console.width, 40 + 24 * sum(len(orders) for _, orders in group))
    console.print(grid)


def _show_own_map(device: Device) -> None:
    """The beginning of a map of one's own, from the likely readings."""
    likely = [(block.function, r) for block in device.blocks for r in readings(block, ())]
    if not likely:
        return
    typer.echo("\nAs registers of your own; put what each is and its unit, drop what you do not need:\n")
    typer.echo(instrument_table("modbus-1", "modbus", _ASK_EVERY_S, table_of(device.port), {}))
    typer.echo(f"[instruments.modbus-1.settings]\ndevice = {device.unit}\n")
    for function, reading in likely:
        typer.echo(f"[[instruments.modbus-1.settings.registers]]\n{_entry(function, reading)}")


def _entry(function: int, reading: Reading) -> str:
    values: dict[str, object] = {
        "parameter": f"value_{reading.address}",
        "label": f"Value at {reading.address}",
        "unit": "1",
        "address": reading.address,
        "function": function,
        "type": reading.type,
        "order": reading.order,
        "resolution": 0.001 if reading.type.startswith("float") else 1.0,
    }
    return "".join(f"{key} = {toml_value(value)}\n" for key, value in values.items())
