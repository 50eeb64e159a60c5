"""The running gateway's control socket: other programs of this computer look at it and talk through it.

The socket is `control.sock` in the storage directory, a Unix stream socket that only the gateway's own user (and root)
may open. Both sides speak lines of JSON in UTF-8. The client asks, each request with a number of its choice:

    {"id": 1, "do": "status"}                               the gateway's state as of now: `Status`
    {"id": 2, "do": "subscribe"}                            a `status` event each second from now on, and `log` events;
                                                            answered with the newest lines of the log
    {"id": 3, "do": "watch", "instrument": "ctd"}           each word that goes over its line as a `words` event, with
                                                            what was decoded of it; another instrument takes its place,
                                                            null ends it
    {"id": 4, "do": "console_open", "instrument": "ctd", "minutes": 10, "hold_polls": false}
    {"id": 5, "do": "console_say", "hex": "44530d0a"}       of a console that is open: bytes for the instrument
    {"id": 6, "do": "console_close"}

Each request is answered by one line with its number, `{"id": 1, "ok": {...}}` or `{"id": 1, "error": "in words"}`.
Between the answers stand events, objects with `"event"`: `status`, `log`, `words`, `console_left` (seconds until the
console ends), `console_ended`, and at the end of a connection that the gateway ends, `dropped` with the reason.

A client can do the gateway no harm. What waits for a client is bounded: one that does not read is told and dropped. Its
requests are short lines, and taken at a pace. There are at most so many clients. When its connection ends, so does its
console. Nothing is computed and no data are looked at unless somebody has subscribed to it.

Where a path is longer than the 107 bytes that a Unix socket's address holds, server and client reach the socket through
their descriptor of its folder.
"""

import asyncio
import contextlib
import json
import logging
import os
import pwd
import shlex
import socket
import stat
import struct
import sys
import time
import tomllib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from gateway.acquire import Acquisition, Overheard
from gateway.console import (
    DEFAULT_MINUTES,
    MOST_BYTES,
    MOST_MINUTES,
    Console,
    ConsoleEnded,
    ConsoleLeft,
    ConsoleOpened,
    Consoles,
    Refused,
    Words,
    words,
)
from gateway.health import Message, Status, label_of, value_text, with_unit
from tidegate.clock import isoformat
from tidegate.frame import Frame

_log = logging.getLogger(__name__)

NAME = "control.sock"
_LONGEST_PATH = 107
_LINE_BYTES = 16 << 10
_CLIENT_LINE_BYTES = 8 << 20
_BUFFER_BYTES = 1 << 20
"""That may wait for one client."""
_MOST_CLIENTS = 16
_PACE_S = 0.01
_FAREWELL_S = 2.0
_STATUS_EVERY_S = 1.0
_LOG_LINES = 200
_DECODED_SAMPLES = 5


# ---- what is said ----------------------------------------------------------------------------------------------------


class _Request(Message):
    id: int = 0


class GetStatus(_Request):
    """The state as of now."""

    do: Literal["status"] = "status"


class Subscribe(_Request):
    """The state each second, and the log."""

    do: Literal["subscribe"] = "subscribe"


class Watch(_Request):
    """What goes over one instrument's line; None: no more."""

    do: Literal["watch"] = "watch"
    instrument: str | None


class OpenConsole(_Request):
    """A console on an instrument."""

    do: Literal["console_open"] = "console_open"
    instrument: str
    minutes: float = Field(default=DEFAULT_MINUTES, gt=0, le=MOST_MINUTES)
    hold_polls: bool = False


class Say(_Request):
    """Bytes for the instrument of the console that is open."""

    do: Literal["console_say"] = "console_say"
    hex: str = Field(pattern=r"^([0-9a-fA-F]{2})+$", max_length=2 * MOST_BYTES)


class CloseConsole(_Request):
    """The console is no longer needed."""

    do: Literal["console_close"] = "console_close"


Request = Annotated[GetStatus | Subscribe | Watch | OpenConsole | Say | CloseConsole, Field(discriminator="do")]
_REQUEST: TypeAdapter[Any] = TypeAdapter(Request)


class StatusEvent(Message):
    """How the gateway does."""

    event: Literal["status"] = "status"
    status: Status


class LogEvent(Message):
    """A line of the gateway's log."""

    event: Literal["log"] = "log"
    at_ns: int
    level: str
    name: str
    text: str


class Dropped(Message):
    """The last line of a connection that the gateway ends."""

    event: Literal["dropped"] = "dropped"
    why: str


Event = Annotated[StatusEvent | LogEvent | Words | ConsoleLeft | ConsoleEnded | Dropped, Field(discriminator="event")]
_EVENT: TypeAdapter[Any] = TypeAdapter(Event)


# ---- where the socket is ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _address(directory: Path) -> Iterator[str]:
    """The socket's address, short enough for the kernel while the context lasts."""
    path = str(directory / NAME)
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        yield path
        return
    folder = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{NAME}"
    finally:
        os.close(folder)


def storage_directory(config: Path) -> Path:
    """The storage directory that a gateway's TOML file names, also where the rest of the file has mistakes by now.

    Raises `NoGateway` with what to do.
    """
    try:
        named = str(tomllib.loads(config.read_text())["storage"]["directory"])
        return (config.absolute().parent / named).resolve()
    except OSError as error:
        raise NoGateway(f"{config}: {error.strerror}; name the gateway's TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise NoGateway(f"{config} is not TOML: {error}; `tidegate gateway check {config}` says more") from error
    except (KeyError, TypeError) as error:
        raise NoGateway(
            f"{config} names no [storage] directory; `tidegate gateway check {config}` says more"
        ) from error


class NoGateway(Exception):
    """No gateway answers; the message says why and what to do."""


class NotRunning(NoGateway):
    """None runs there."""


# ---- the gateway's side ----------------------------------------------------------------------------------------------


class Control:
    """Serves the socket in `directory` while it is entered. `status` makes the state as of now.

    The caller holds the storage directory, so a socket that is there already is of a gateway that was killed. Where the
    socket cannot be made, that is logged, and the gateway runs without.
    """

    def __init__(
        self,
        directory: Path,
        instruments: Mapping[str, Acquisition],
        consoles: Consoles,
        status: Callable[[], Status],
    ) -> None:
        self.directory = directory
        self.instruments = instruments
        self.consoles = consoles
        self._status = status
        self._clients: set[_Client] = set()
        self._server: asyncio.Server | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._newest: tuple[float, Status] | None = None
        self.log = _LogTap(self._logged)

    async def __aenter__(self) -> "Control":
        try:
            self._server = await asyncio.start_unix_server(self._serve, sock=self._socket(), limit=_LINE_BYTES)
        except OSError as error:
            where = self.directory / NAME
            _log.error("%s: %s; `tidegate gateway top` and `console` will not work", where, error.strerror or error)
        logging.getLogger().addHandler(self.log)
        return self

    def _socket(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            path = self.directory / NAME
            if path.is_symlink() or (path.exists() and not stat.S_ISSOCK(path.stat().st_mode)):
                raise FileExistsError(17, "something else than a socket is in its place; take that away")
            path.unlink(missing_ok=True)
            with _address(self.directory) as address:
                sock.bind(address)
            path.chmod(0o600)  # before it listens, nobody can connect
            sock.setblocking(False)
        except OSError:
            sock.close()
            raise
        return sock

    async def __aexit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self.log)
        if self._ticker is not None:
            self._ticker.cancel()
        for client in list(self._clients):
            client.drop("the gateway was stopped")
        if self._server is not None:
            self._server.close()
            (self.directory / NAME).unlink(missing_ok=True)
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _Client(self, reader, writer)
        if len(self._clients) >= _MOST_CLIENTS:
            client.drop(f"{_MOST_CLIENTS} programs look at this gateway already; end one of them")
            return
        self._clients.add(client)
        try:
            await client.serve()
        except OSError:
            pass  # it went away; nothing is lost
        except Exception as error:  # a fault of ours costs this client alone
            _log.error("control socket: %s: %s", type(error).__name__, error, exc_info=error)
            client.drop("a fault of the gateway; its log says more")
        finally:
            self._clients.discard(client)
            client.end()

    def status(self) -> Status:
        """The state, at most a quarter of a second old."""
        now_s = time.monotonic()
        if self._newest is None or now_s - self._newest[0] > _STATUS_EVERY_S / 4:
            self._newest = now_s, self._status()
        return self._newest[1]

    def tick(self) -> None:
        """Sees to it that subscribers are told each second while there are any."""
        if self._ticker is None or self._ticker.done():
            self._ticker = asyncio.create_task(self._tick(), name="control")

    async def _tick(self) -> None:
        while any(client.subscribed for client in self._clients):
            event = StatusEvent(status=self.status())
            self._broadcast(event)
            await asyncio.sleep(_STATUS_EVERY_S)

    def _logged(self, event: LogEvent) -> None:
        self._broadcast(event)

    def _broadcast(self, event: StatusEvent | LogEvent) -> None:
        subscribed = [client for client in self._clients if client.subscribed]
        if subscribed:
            line = _line(event)
            for client in subscribed:
                client.send(line)


class _LogTap(logging.Handler):
    """Keeps the newest lines of the log, and hands each on, in the loop's own thread."""

    def __init__(self, told: Callable[[LogEvent], None]) -> None:
        super().__init__(logging.INFO)
        self.lines: deque[LogEvent] = deque(maxlen=_LOG_LINES)
        self._told = told
        self._loop = asyncio.get_running_loop()

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        text = record.getMessage()[:2000]
        event = LogEvent(at_ns=int(record.created * 1e9), level=record.levelname, name=record.name, text=text)
        self.lines.append(event)
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._told, event)


class _Client:
    """One connection."""

    def __init__(self, control: Control, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.subscribed = False
        self._control = control
        self._reader, self._writer = reader, writer
        self._watched: Acquisition | None = None
        self._console: Console | None = None
        self._dropped = False

    async def serve(self) -> None:
        """Answers until the connection ends."""
        while not self._dropped:
            try:
                line = await self._reader.readline()
            except ValueError:
                self.drop(f"a line longer than {_LINE_BYTES} bytes is no request")
                return
            if not line.endswith(b"\n"):
                return
            self.send(json.dumps(await self._answer(line)).encode() + b"\n")
            await asyncio.sleep(_PACE_S)

    async def _answer(self, line: bytes) -> dict[str, Any]:
        number: Any = None
        try:
            asked = json.loads(line)
            if isinstance(asked, dict) and isinstance(asked.get("id"), int):
                number = asked["id"]
            return {"id": number, "ok": await self._do(_REQUEST.validate_python(asked))}
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"][1:]))
            return {"id": number, "error": f"{place}: {first['msg']}" if place else first["msg"]}
        except (ValueError, RecursionError):
            return {"id": number, "error": 'a request is a line of JSON, such as {"id": 1, "do": "status"}'}
        except Refused as error:
            return {"id": number, "error": str(error)}

    async def _do(self, request: Request) -> dict[str, Any]:
        match request:
            case GetStatus():
                return self._control.status().model_dump(mode="json")
            case Subscribe():
                self.subscribed = True
                self._control.tick()
                return {"log": [event.model_dump(mode="json") for event in self._control.log.lines]}
            case Watch(instrument=name):
                self._watch(name)
            case OpenConsole():
                return await self._open_console(request)
            case Say(hex=digits):
                if self._console is None:
                    raise Refused("no console is open")
                await self._console.say(bytes.fromhex(digits))
            case CloseConsole():
                self._close_console("whoever had it ended it")
        return {}

    def _watch(self, name: str | None) -> None:
        watched = None if name is None else self._control.instruments.get(name)
        if name is not None and watched is None:
            raise Refused(f"no instrument is called {name!r}; there are: {', '.join(self._control.instruments)}")
        if self._watched is not None:
            self._watched.listeners.remove(self._overhear)
        if watched is not None:
            watched.listeners.append(self._overhear)
        self._watched = watched

    def _overhear(self, overheard: Overheard) -> None:
        self.send(_line(words(overheard, _decoded(overheard))))

    async def _open_console(self, request: OpenConsole) -> dict[str, Any]:
        if self._console is not None and self._console.open:
            raise Refused("this connection has a console already")
        who = await _peer(self._writer)
        self._console, opened = self._control.consoles.open(
            request.instrument, who, request.minutes, request.hold_polls, lambda event: self.send(_line(event))
        )
        return opened.model_dump(mode="json")

    def _close_console(self, why: str) -> None:
        if self._console is not None:
            self._console.close(why)
            self._console = None

    def send(self, line: bytes) -> None:
        """Puts a line on its way; a client for whom too much waits already is dropped."""
        if self._dropped or self._writer.is_closing():
            return
        if self._writer.transport.get_write_buffer_size() + len(line) > _BUFFER_BYTES:
            self.drop("too much waits for this client: it does not read")
            return
        self._writer.write(line)

    def drop(self, why: str) -> None:
        """Ends the connection and says why, so far as the client still reads."""
        if self._dropped:
            return
        self._dropped = True
        self._writer.write(_line(Dropped(why=why)))
        self.end()

    def end(self) -> None:
        """Lets go of everything that this client had."""
        self._dropped = True
        self.subscribed = False
        self._watch(None)
        self._close_console("whoever had it is gone")
        if not self._writer.is_closing():
            self._writer.close()
            transport = self._writer.transport
            asyncio.get_running_loop().call_later(_FAREWELL_S, transport.abort)


def _line(message: Message) -> bytes:
    return message.model_dump_json().encode() + b"\n"


def _decoded(overheard: Overheard) -> list[str]:
    """What a piece of bytes completed, in words: of a sample its time, then a line for each value."""
    told: list[str] = []
    for item in overheard.decoded:
        if not isinstance(item, Frame):
            told.append(f"! {item.kind}: {item.message}")
            continue
        for row in range(max(len(item) - _DECODED_SAMPLES, 0), len(item)):
            told.append(f"{(isoformat(int(item.time[row])) or 'no time')[:19].replace('T', ' ')}")
            for f in item.schema.fields:
                text, missing = value_text(item, f, row)
                told.append(f"{label_of(f.name)} {with_unit(text, f.unit) if text else f'missing ({missing})'}")
    return told


async def _peer(writer: asyncio.StreamWriter) -> str:
    """Who is at the other end, by the kernel's word: user and process, and who logged in where that is another."""
    sock = writer.get_extra_info("socket")
    pid, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    login = _login(pid)
    name = await _user(uid)
    if login not in (uid, None):
        name = f"{await _user(login)} as {name}"
    return f"{name} (process {pid})"


def _login(pid: int) -> int | None:
    try:
        uid = int(Path(f"/proc/{pid}/loginuid").read_text())
    except (OSError, ValueError):
        return None
    return None if uid == 2**32 - 1 else uid


async def _user(uid: int) -> str:
    try:
        # The name may have to be asked for over a network that is not there.
        async with asyncio.timeout(1.0):
            return (await asyncio.to_thread(pwd.getpwuid, uid)).pw_name
    except (KeyError, TimeoutError):
        return f"user {uid}"


# ---- the other side --------------------------------------------------------------------------------------------------

Answer = TypeVar("Answer", bound=Message)


class ControlClient:
    """A connection to the gateway whose storage directory is `directory`; `connect` makes one."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._events: asyncio.Queue[Any] = asyncio.Queue()
        self._asked = 0
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def connect(cls, directory: Path) -> "ControlClient":
        """Raises `NoGateway`."""
        try:
            with _address(directory) as address:
                return cls(*await asyncio.open_unix_connection(address, limit=_CLIENT_LINE_BYTES))
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
            raise NotRunning(f"no gateway runs on {directory}; `tidegate gateway run` starts one") from error
        except PermissionError as error:
            raise NoGateway(f"the gateway on {directory} belongs to {_owner(directory)}") from error
        except OSError as error:
            raise NoGateway(f"{directory / NAME}: {error.strerror or error}") from error

    async def ask(self, request: GetStatus | Subscribe | Watch | OpenConsole | Say | CloseConsole) -> dict[str, Any]:
        """The answer. Raises `Refused`, and `NoGateway` where the connection ends before it."""
        self._asked += 1
        future = asyncio.get_running_loop().create_future()
        self._answers[self._asked] = future
        if self._reading.done():
            raise NoGateway("the gateway is gone")
        self._writer.write(_line(request.model_copy(update={"id": self._asked})))
        answer: dict[str, Any] = await future
        if "error" in answer:
            raise Refused(answer["error"])
        return dict(answer["ok"])

    async def events(self) -> AsyncIterator[StatusEvent | LogEvent | Words | ConsoleLeft | ConsoleEnded | Dropped]:
        """What the gateway tells, until the connection ends."""
        while (event := await self._events.get()) is not None:
            yield event

    async def _read(self) -> None:
        try:
            while line := await self._reader.readline():
                said = json.loads(line)
                if "event" in said:
                    self._events.put_nowait(_EVENT.validate_python(said))
                elif (future := self._answers.pop(said["id"], None)) is not None and not future.done():
                    future.set_result(said)
        except (OSError, ValueError) as error:
            _log.debug("control socket: %s", error)
        finally:
            self._events.put_nowait(None)
            for future in self._answers.values():
                if not future.done():
                    future.set_exception(NoGateway("the gateway is gone"))

    async def close(self) -> None:
        """Ends the connection."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        self._writer.close()


def _owner(directory: Path) -> str:
    for path in (directory / NAME, directory, directory.parent):
        try:
            name = pwd.getpwuid(path.stat().st_uid).pw_name
        except OSError:
            continue
        except KeyError:
            break
        return f"{name}: `{shlex.join(['sudo', '-u', name, *sys.argv])}`"
    return "another user: become that user by `sudo -u`"


__all__ = [
    "NAME",
    "CloseConsole",
    "ConsoleOpened",
    "Control",
    "ControlClient",
    "Dropped",
    "GetStatus",
    "LogEvent",
    "NoGateway",
    "NotRunning",
    "OpenConsole",
    "Say",
    "StatusEvent",
    "Subscribe",
    "Watch",
    "storage_directory",
]
