"""`tidegate gateway add`: asks a few questions and writes the instrument into the gateway's TOML file.

What can be found out is found out first (the ports of this computer, what speaks on one, what its driver needs) and
proposed; each answer can be given by an option instead, so the same command serves a script. The rest of the file is
not touched: the new table is put behind it, the whole is checked as the gateway itself does it, and only a file that is
good takes the old one's place, at once (`rename`), with its mode and owner.
"""

import asyncio
import contextlib
import json
import os
import re
import socket
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import typer
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from drivers import driver as drivers
from drivers.driver import Driver
from gateway import config as configuration
from gateway.catalogue import shipped, type_in_words
from gateway.config import Instrument, ModbusRtuPort, ModbusTcpPort, Port, SerialPort, TcpPort, UdpPort
from gateway.control import ControlClient, NoGateway
from gateway.found import Found, PortUnusable
from gateway.health import label_of, value_text, with_unit
from gateway.modbus_scan import scan
from gateway.ports import Serial, serial_ports
from gateway.probe import probe
from gateway.recognise import installed
from tidegate.identity import is_name
from tidegate.settings import ConfigError, check_name, nearest

T = TypeVar("T")

_DEFAULT_INTERVAL_S = 10.0
_LINE = re.compile(r"(\d+)(?:[ ,]+([78])([NEO])([12]))?", re.IGNORECASE)
_PARITY = {"N": "none", "E": "even", "O": "odd"}
_SHIPPED_BY = {"ascii": "pattern", "modbus": "map"}


class NotAdded(Exception):
    """The file stays as it is; the message says why and what to do."""


@dataclass
class Answers:
    """What the command line already says; None or empty: to be asked or proposed."""

    driver: str | None = None
    port: str | None = None
    name: str | None = None
    interval_s: float | None = None
    settings: list[str] = field(default_factory=list)
    platform: str | None = None
    position: str | None = None
    broker: str | None = None
    storage: str | None = None
    yes: bool = False


# ---- a TOML table ----------------------------------------------------------------------------------------------------


def toml_value(value: Any) -> str:
    """`value` as TOML, on one line; a table without what is None."""
    if isinstance(value, Mapping):
        items = [f"{_key(key)} = {toml_value(item)}" for key, item in value.items() if item is not None]
        return "{ " + ", ".join(items) + " }" if items else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    # What JSON writes of texts, numbers and truths is TOML too, but for the one letter that TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else toml_value(key)


def instrument_table(
    name: str, driver: str, interval_s: float, port: Mapping[str, Any], settings: Mapping[str, Any]
) -> str:
    """The table of an instrument in the gateway's file."""
    lines = [f"[instruments.{name}]"]
    lines += [f"{key} = {toml_value(value)}" for key, value in (("driver", driver), ("interval_s", interval_s))]
    lines.append(f"port = {toml_value(port)}")
    if settings:
        line = f"settings = {toml_value(settings)}"
        if len(line) <= 100:
            lines.append(line)
        else:
            lines += ["", f"[instruments.{name}.settings]"]
            lines += [f"{_key(key)} = {toml_value(value)}" for key, value in settings.items()]
    return "\n".join(lines) + "\n"


def head_table(platform: str, position: Mapping[str, Any], broker: Mapping[str, Any], storage: str) -> str:
    """The beginning of a new file."""
    tables = {"platform": {"name": platform, **position}, "broker": broker, "storage": {"directory": storage}}
    return "\n".join(
        f"[{table}]\n" + "".join(f"{key} = {toml_value(value)}\n" for key, value in values.items())
        for table, values in tables.items()
    )


# ---- writing it ------------------------------------------------------------------------------------------------------


def put_behind(path: Path, before: bytes | None, text: str) -> None:
    """Puts `text` behind what the file at `path` held when it was read (None: there was no file), if the whole is a
    good configuration. Raises `NotAdded`, and then the file is as it was."""
    path = path.resolve()  # behind a link, the file itself
    ending = "\r\n" if before and b"\r\n" in before else "\n"
    gap = "" if not before else "\n" if before.endswith(b"\n") else "\n\n"
    whole = (before or b"") + (gap + text).replace("\n", ending).encode()
    try:
        with _beside(path) as (file, name):
            _as_before(file.fileno(), path, before is not None)
            file.write(whole)
            file.flush()
            os.fsync(file.fileno())
            configuration.load(name)
            if (path.read_bytes() if path.exists() else None) != before:
                raise NotAdded(f"{path} was changed meanwhile; nothing was written: try again")
            os.replace(name, path)
    except ConfigError as error:
        told = "\n".join(f"{path}:{m.line}: {m}" for m in error.mistakes)
        raise NotAdded(f"{told}\nnothing was written") from None
    except OSError as error:
        raise NotAdded(f"{path}: {error.strerror or error}; nothing was written") from None
    with contextlib.suppress(OSError):  # a file system without such a thing keeps the file all the same
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _as_before(file: int, path: Path, exists: bool) -> None:
    """Gives the new file the mode and owner of the old one. Raises `NotAdded` where this user cannot."""
    if not exists:
        umask = os.umask(0)
        os.umask(umask)
        os.fchmod(file, 0o666 & ~umask)
        return
    old = path.stat()
    try:
        os.fchown(file, old.st_uid, old.st_gid)
    except PermissionError:
        raise NotAdded(f"{path} belongs to another user or group; nothing was written: use sudo") from None
    os.fchmod(file, old.st_mode & 0o7777)


# ---- where it is connected -------------------------------------------------------------------------------------------


def port_table(text: str, cls: type[Driver] | None) -> dict[str, Any]:
    """The `port` table that is meant: a device, with its line where that is known (`/dev/ttyUSB0 4800 8N1`), a
    `host:port`, `udp:10110`, or a table as in the file. A driver of Modbus makes it a bus. Raises ValueError."""
    text = text.strip()
    modbus = cls is not None and cls.transports == ("modbus",)
    if text.startswith("{"):
        try:
            table: dict[str, Any] = tomllib.loads(f"port = {text}")["port"]
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{text!r} is no table: {error}") from None
        return table
    if number := re.fullmatch(r"udp:(\d+)", text):
        return {"udp": int(number[1])}
    address, _, rest = text.partition(" ")
    if not address:
        raise ValueError("name a device, host:port or udp:PORT")
    line = _LINE.fullmatch(rest.strip()) if rest.strip() else None
    if rest.strip() and line is None:
        raise ValueError(f"{rest.strip()!r} is no line setting; write it as 9600 8N1")
    is_device = "/" in address or address.startswith("~") or (":" not in address and Path(address).exists())
    if is_device:
        return {"modbus_rtu" if modbus else "serial": address} | (_line_table(line) if line else {})
    if ":" not in address and not modbus:
        raise ValueError(f"{address!r} is neither a device that is there, nor host:port, nor udp:PORT")
    return {"modbus_tcp" if modbus else "tcp": address}


def _line_table(line: re.Match[str]) -> dict[str, Any]:
    table: dict[str, Any] = {"baud": int(line[1])}
    if line[2]:
        if line[3].upper() != "N":
            table["parity"] = _PARITY[line[3].upper()]
        if line[2] != "8":
            table["data_bits"] = int(line[2])
        if line[4] != "1":
            table["stop_bits"] = int(line[4])
    return table


def line_of(text: str) -> dict[str, Any]:
    """The settings of a serial line such as `9600 8N1` or `4800`, as in a `port` table. Raises ValueError."""
    line = _LINE.fullmatch(text.strip())
    if line is None:
        raise ValueError(f"{text!r} is no line setting; write it as 9600 8N1")
    return _line_table(line)


_KINDS: dict[str, type[SerialPort | TcpPort | UdpPort | ModbusTcpPort | ModbusRtuPort]] = {
    "serial": SerialPort,
    "tcp": TcpPort,
    "udp": UdpPort,
    "modbus_tcp": ModbusTcpPort,
    "modbus_rtu": ModbusRtuPort,
}


def port_of(table: Mapping[str, Any], base: Path) -> Port:
    """The port that a table tells; paths in it from the folder `base`. Raises ValueError."""
    kind = next((key for key in table if key in _KINDS), None)
    if kind is None:
        raise ValueError(f"it has none of {', '.join(_KINDS)}")
    try:
        return _KINDS[kind].model_validate(dict(table), context={"base": base})
    except ValidationError as error:
        raise ValueError("; ".join(map(_told, error.errors(include_url=False)))) from None


def _told(detail: ErrorDetails) -> str:
    what = str(detail["ctx"]["error"]) if detail["type"] == "value_error" else detail["msg"]
    return f"{'.'.join(map(str, detail['loc']))}: {what}"


def table_of(port: Port) -> dict[str, Any]:
    """The `port` table of a port that was found."""
    stated = port.model_dump(mode="json", exclude_defaults=True)
    if isinstance(port, SerialPort | ModbusRtuPort):
        stated = (
            {key: stated.pop(key) for key in ("serial", "modbus_rtu") if key in stated} | {"baud": port.baud} | stated
        )
    if isinstance(port, TcpPort):
        stated["tcp"] = str(port.tcp)
    if isinstance(port, ModbusTcpPort):
        stated["modbus_tcp"] = str(port.modbus_tcp)
    return stated


# ---- the questions ---------------------------------------------------------------------------------------------------


class Questions:
    """Asks, or takes the proposals where nothing is to be asked."""

    def __init__(self, path: Path, answers: Answers) -> None:
        self.path, self.given = path, answers
        self.base = path.resolve().parent

    def ask(self, question: str, option: str, given: str | None, proposal: str | None, check: Callable[[str], T]) -> T:
        """The answer as `check` makes it of a text. Raises `NotAdded` where an option has a wrong one, or none."""
        if given is not None or self.given.yes:
            text = given if given is not None else proposal
            if text is None:
                raise NotAdded(f"{question}: there is nothing to propose; give {option}")
            try:
                return check(text)
            except ValueError as error:
                raise NotAdded(f"{option}: {error}") from None
        while True:
            text = typer.prompt(question, default=proposal, show_default=bool(proposal))
            try:
                return check(text)
            except ValueError as error:
                typer.echo(f"  {error}")

    def sure(self, question: str) -> bool:
        """Yes or no; yes where nothing is to be asked."""
        return self.given.yes or typer.confirm(question, default=True)

    # -- a new file

    def head(self) -> str:
        """The beginning of a new file."""
        typer.echo(f"{self.path} is not there yet; it begins with the station.")
        host = re.sub(r"[^a-z0-9_-]+", "-", socket.gethostname().lower()).strip("-_")
        platform = self.ask(
            "Name of the platform, for topics and paths",
            "--platform",
            self.given.platform,
            host if is_name(host) else None,
            check_name,
        )
        position = self.ask(
            "Position as latitude,longitude in degrees north and east, or: moving",
            "--position",
            self.given.position,
            None,
            position_of,
        )
        broker = self.ask("MQTT broker, host or host:port", "--broker", self.given.broker, "127.0.0.1", broker_of)
        storage = self.ask("Folder for data that wait", "--storage", self.given.storage, "data", _some_text)
        return head_table(platform, position, broker, storage) + "\n"

    # -- the instrument

    def where(self, cls: type[Driver] | None, taken: Mapping[Path, str]) -> dict[str, Any]:
        """The `port` table, of a device without its line where that is still to be found out."""
        there: list[Serial] = []
        if self.given.port is None:
            there = [port for port in serial_ports() if port.device.resolve() not in taken]
            for number, port in enumerate(there, 1):
                about = [port.description, f"in use by {port.holder}" if port.holder else ""]
                about.append("" if port.permitted else "this user may not open it: sudo usermod -aG dialout $USER")
                typer.echo(f"  {number}  {port.name}  {', '.join(filter(None, about))}".rstrip())
        free = [number for number, port in enumerate(there, 1) if not port.holder and port.permitted]
        proposal = str(free[0]) if free and (len(free) == 1 or not self.given.yes) else None

        def check(text: str) -> dict[str, Any]:
            chosen = there[int(text) - 1] if text.isdigit() and 1 <= int(text) <= len(there) else None
            table = port_table(str(chosen.name) if chosen else text, cls)
            for key in {"serial", "modbus_rtu"} & table.keys():
                if Path.cwd() != self.base:  # relative paths in the file are meant from its own folder
                    table[key] = str(Path(table[key]).expanduser().absolute())
            port = port_of(table, self.base)
            if isinstance(port, SerialPort) and (holder := taken.get(port.serial.resolve())):
                raise ValueError(f"{holder!r} uses {port.serial} already; give each instrument its own")
            return table

        listed = "its number above, " if there else ""
        question = f"Where is it connected? {listed}a device, host:port or udp:PORT"
        return self.ask(question, "--port", self.given.port, proposal, check)

    def recognised(self, table: Mapping[str, Any]) -> Found | None:
        """What speaks there, where that can be found out and is wanted."""
        port = port_of(table, self.base)
        modbus = isinstance(port, ModbusRtuPort | ModbusTcpPort)
        if not self.sure(
            "Look for Modbus devices there?"
            if modbus
            else "Listen there and find out what it is? Where it is silent, it is asked who it is"
        ):
            return None
        try:
            found = asyncio.run(_looked_for(port))
            if not found and isinstance(port, SerialPort) and not self.given.yes:
                if not typer.confirm("Look for Modbus devices there?", default=True):
                    return None
                found = asyncio.run(_looked_for(ModbusRtuPort(modbus_rtu=port.serial)))
        except PortUnusable as error:
            typer.echo(f"  {error}")
            return None
        for number, one in enumerate(found, 1):
            typer.echo(f"  {number}  {one.driver}: {drivers.load(one.driver).title} ({one.confidence:.0%})")
            if line := _last_sample(one):
                typer.echo(f"     {line}")
        if not found:
            return None

        def check(text: str) -> Found:
            if text.isdigit() and 1 <= int(text) <= len(found):
                return found[int(text) - 1]
            raise ValueError(f"choose 1 to {len(found)}")

        return found[0] if len(found) == 1 else self.ask("Which is it?", "--driver", None, "1", check)

    def driver(self) -> str:
        """The driver's name, where it was neither given nor recognised."""

        def check(text: str) -> str:
            if text == "?":
                raise ValueError("\n  ".join(f"{name}: {cls.title}" for name, cls in installed().items()))
            return known_driver(text)

        return self.ask("Which driver? (? lists them)", "--driver", self.given.driver, None, check)

    def line(self, lines: Sequence[str], table: dict[str, Any]) -> dict[str, Any]:
        """The table with its line, where it is a serial one without."""
        if not {"serial", "modbus_rtu"} & table.keys() or "baud" in table:
            return table
        # A device that --port names without a line has the factory's.
        given = lines[0] if self.given.port is not None else None
        return table | self.ask(
            f"Serial line (such instruments: {', '.join(lines)})", "--port", given, lines[0], line_of
        )

    def settings(self, name: str, cls: type[Driver], proposed: Mapping[str, Any]) -> dict[str, Any]:
        """The driver's settings: proposed ones, those of the command line, and those that it cannot do without."""
        given = dict(self._set(cls, text) for text in self.given.settings)
        values = {**proposed, **given}
        for key in [key for key in proposed if key not in given]:
            self._explain(cls, key)
            values[key] = self.ask(key, f"--set {key}=…", None, toml_value(proposed[key]), parsed)
        for key, about in cls.Settings.model_fields.items():
            if about.is_required() and key not in values:
                self._explain(cls, key)
                values[key] = self.ask(key, f"--set {key}=…", None, None, parsed)
        if name in _SHIPPED_BY and not values:
            for each, one in shipped(name).items():
                typer.echo(f"  {each}: {one['title']}")
            key = _SHIPPED_BY[name]
            values[key] = self.ask(f"Which {key}?", f"--set {key}=…", None, None, parsed)
        while True:
            try:
                check_settings(self.base, name, values)
                further = None if self.given.yes or self.given.settings else self._further(cls)
            except ValueError as error:
                if self.given.yes or self.given.settings:
                    raise NotAdded(f"the driver {name!r} cannot do with these settings:\n{error}") from None
                typer.echo(f"  {error}")
                further = typer.prompt("Setting (name=value)")
            if not further:
                return values
            try:
                key, value = self._set(cls, further)
                values[key] = value
            except NotAdded as error:
                typer.echo(f"  {error}")

    def _further(self, cls: type[Driver]) -> str:
        if not cls.Settings.model_fields:
            return ""
        while True:
            text: str = typer.prompt("Any other setting? (name=value, ? lists them)", default="", show_default=False)
            if text != "?":
                return text
            for key in cls.Settings.model_fields:
                self._explain(cls, key)

    def _explain(self, cls: type[Driver], key: str) -> None:
        info = cls.Settings.model_fields.get(key)
        if info is not None:
            about = " ".join((info.description or "").split())
            typer.echo(f"  {key} ({type_in_words(info.annotation)}): {about}")

    def _set(self, cls: type[Driver], text: str) -> tuple[str, Any]:
        name, equals, value = text.partition("=")
        if not equals:
            raise NotAdded(f"{text!r} is no setting; write name=value")
        name, given = name.strip(), parsed(value.strip())
        info = cls.Settings.model_fields.get(name)
        if isinstance(given, str) and info and type_in_words(info.annotation).startswith("list of"):
            given = [given]  # a list of one
        return name, given

    def name(self, proposal: str, taken: Sequence[str]) -> str:
        """The instrument's name."""

        def check(text: str) -> str:
            if text in taken:
                raise ValueError(f"{self.path} has an instrument {text!r} already; choose another name")
            return check_name(text)

        return self.ask("Its name", "--name", self.given.name, proposal, check)

    def interval_s(self, proposal: float) -> float:
        """How often it measures."""
        given = None if self.given.interval_s is None else str(self.given.interval_s)
        question = "Seconds between its samples, as it is set, or as it is to be polled"
        return self.ask(question, "--interval-s", given, f"{proposal:g}", _positive)


def parsed(text: str) -> Any:
    """A setting's value as in TOML; words need no quotes, and lists of them no brackets."""
    try:
        return tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        return [part.strip() for part in text.split(",")] if "," in text else text


def check_settings(base: Path, driver: str, settings: Mapping[str, Any]) -> None:
    """Raises ValueError with what is wrong with a driver's settings, as the check of a whole file says it. Paths in
    them are from the folder `base`; `NotAdded` where that cannot be written to."""
    port = {"modbus_tcp": "h"} if drivers.load(driver).transports == ("modbus",) else {"tcp": "h:1"}
    text = instrument_table("it", driver, 1.0, port, settings)
    with _beside(base / "settings.toml") as (file, name):
        file.write((head_table("it", {"moving": True}, {"host": "h"}, "d") + "\n" + text).encode())
        file.flush()
        try:
            configuration.load(name)
        except ConfigError as error:
            told = [f"{m.field.removeprefix('settings').lstrip('.')}: {m.message}" for m in error.mistakes]
            raise ValueError("\n  ".join(line.removeprefix(": ") for line in told)) from None


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A temporary file in the folder of `path`, and its name; it may be renamed. Raises `NotAdded`."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
    except OSError as error:
        raise NotAdded(f"{path.parent} cannot be written to ({error.strerror}); become its owner by sudo") from None
    try:
        with os.fdopen(handle, "wb") as file:
            yield file, Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def known_driver(name: str) -> str:
    """`name`, where a driver is called so. Raises ValueError."""
    try:
        drivers.load(name)
    except drivers.UnknownDriver as error:
        near = nearest(name, drivers.names(), repr)
        raise ValueError(f"{near} {error}" if near.startswith("did") else str(error)) from None
    return name


def position_of(text: str) -> dict[str, Any]:
    """The `[platform]` settings of `2.8167,104.16` or `moving`. Raises ValueError."""
    if text.strip().lower() == "moving":
        return {"moving": True}
    parts = text.replace(" ", ",").split(",")
    try:
        latitude, longitude = map(float, filter(None, parts))
    except ValueError:
        raise ValueError(f"{text!r} is no position; write it as 2.8167,104.16, or moving") from None
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 360):
        raise ValueError(f"{text!r} is not on Earth; latitude comes first, degrees north, then longitude, degrees east")
    return {"latitude": latitude, "longitude": longitude}


def broker_of(text: str) -> dict[str, Any]:
    """The `[broker]` table of `host` or `host:port`. Raises ValueError."""
    host, port = configuration.parse_endpoint(text, 1883)
    return {"host": host} | ({"port": port} if port != 1883 else {})


def _some_text(text: str) -> str:
    if not text.strip():
        raise ValueError("name a folder")
    return text.strip()


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 604800:
        raise ValueError(f"{text!r} is no number of seconds up to a week")
    return value


async def _looked_for(port: Port) -> list[Found]:
    def tell(line: str) -> None:
        typer.echo(f"  {line}")

    if not isinstance(port, ModbusRtuPort | ModbusTcpPort):
        return await probe(port, tell=tell)
    devices = await scan(port, tell=tell)
    for device in devices:
        if not device.found:
            tell(f"unit {device.unit} answers, and no shipped map fits: `tidegate gateway probe --modbus` shows more")
    return [found for device in devices for found in device.found]


def _last_sample(found: Found) -> str:
    for frame in reversed(found.frames):
        if len(frame):
            told = [
                f"{label_of(f.name)} {with_unit(text, f.unit)}"
                for f in frame.schema.fields
                if (text := value_text(frame, f, -1)[0])
            ]
            return ", ".join(told[:4]) + (f" and {len(told) - 4} more" if len(told) > 4 else "")
    return ""


def proposed_name(kind: str, taken: Sequence[str]) -> str:
    """The first free name of a kind of instruments: `ctd-1`, `ctd-2`, …"""
    stem = re.sub(r"[^a-z0-9]+", "-", kind.lower()).strip("-")
    return next(name for n in range(1, len(taken) + 2) if (name := f"{stem}-{n}") not in taken)


# ---- the command -----------------------------------------------------------------------------------------------------


def add(path: Path, answers: Answers) -> None:
    """Asks, shows, writes, and says what to do next. Raises `NotAdded`, `ConfigError` with a file that is not good
    already, and click's `Abort` where the technician has had enough."""
    questions = Questions(path, answers)
    before = path.read_bytes() if path.exists() else None
    loaded = configuration.load(path) if before is not None else None
    instruments = loaded.instruments if loaded else {}
    if answers.driver is not None:
        questions.driver()  # a mistake in it is told before anything is asked
    if answers.name is not None:
        questions.name(answers.name, list(instruments))
    head = "" if loaded else questions.head()

    cls = drivers.load(answers.driver) if answers.driver is not None else None
    table = questions.where(cls, _devices(instruments))
    unknown = cls is None or (cls.transports == ("modbus",) and not answers.settings)
    found = questions.recognised(table) if unknown else None
    if found is not None:
        name, table = found.driver, table_of(found.port)
        proposed = found.settings.model_dump(mode="json", exclude_defaults=True)
    else:
        name, proposed = questions.driver(), {}
    cls = drivers.load(name)
    if found is None and answers.driver is None and cls.transports == ("modbus",):
        table = {_AS_BUS.get(key, key): value for key, value in table.items()}
    settings = questions.settings(name, cls, proposed)
    table = questions.line(_lines(name, cls, settings), table)
    made = cls("it", cls.Settings.model_validate(settings, context={"base": questions.base}))
    frames = found.frames if found else ()
    schema = next((f.schema for f in frames if len(f)), None) or next(iter(made.schemas()), None)
    called = questions.name(proposed_name(schema.kind if schema else name, list(instruments)), list(instruments))
    every_s = questions.interval_s((found.interval_s if found else None) or _DEFAULT_INTERVAL_S)

    text = instrument_table(called, name, every_s, table, settings)
    typer.echo(f"\n{head}{text}")
    if not questions.sure(f"Write this {'behind' if loaded else 'into'} {path}?"):
        raise NotAdded("nothing was written")
    put_behind(path, before, head + text)
    typer.echo(f"{path}: written, and good. Next:")
    for step in _next(path, called):
        typer.echo(f"  {step}")


def _lines(name: str, cls: type[Driver], settings: Mapping[str, Any]) -> Sequence[str]:
    """How the serial line of such an instrument is set, the factory's setting first."""
    chosen = shipped(name).get(str(settings.get(_SHIPPED_BY.get(name, "")))) or {}
    return chosen.get("lines") or cls.lines


_AS_BUS = {"serial": "modbus_rtu", "tcp": "modbus_tcp"}


def _devices(instruments: Mapping[str, Instrument]) -> dict[Path, str]:
    """The serial devices that are given away, and to whom."""
    return {i.port.serial.resolve(): name for name, i in instruments.items() if isinstance(i.port, SerialPort)}


def _next(path: Path, name: str) -> list[str]:
    steps = [f"tidegate gateway try {name} {path}", f"tidegate gateway check {path}"]
    if _runs(configuration.load(path).storage.directory):
        return [*steps, "the running gateway knows it after its next start: systemctl restart tidegate-gateway"]
    return [*steps, f"tidegate gateway run {path}"]


def _runs(directory: Path) -> bool:
    async def asked() -> bool:
        try:
            client = await ControlClient.connect(directory)
        except NoGateway:
            return False
        await client.close()
        return True

    return asyncio.run(asked())
