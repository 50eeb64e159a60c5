"""`tidegate gateway console`: the technician's end of a console on an instrument of the running gateway.

At a terminal there is a line to type on, below what is heard; the two do not run into each other. With standard input
from a file or a pipe, its lines are sent one after the other, each when the answer to the one before it is over, and
what is heard goes to standard output and nothing else does.
"""

import asyncio
import codecs
import contextlib
import os
import shutil
import signal
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from gateway.console import ENDINGS, ConsoleEnded, ConsoleLeft, ConsoleOpened, Refused, Words
from gateway.control import CloseConsole, ControlClient, Dropped, OpenConsole, Say

_PARTIAL_S = 0.2
"""What is heard of a line is shown after so long without its end: an instrument's prompt has none."""
_ANSWERED_S = 0.4
"""So long a pause ends the answer to a line of a script."""
_LAST_WORD = 10
"""An instrument that never falls silent is listened to so many times as long."""
_LONGEST = 512
HELP = """\
  /commands     what the instrument understands, as its driver knows
  /hex 1b 03    send these bytes, without a line ending
  /quit         end (so does Ctrl-D)
  //text        send /text"""

Ending = Literal["crlf", "lf", "cr"]


def shown(data: bytes) -> str:
    """Bytes as text in which nothing is hidden and nothing can steer a terminal."""
    return "".join(chr(b) if 0x20 <= b < 0x7F and b != 0x5C else repr(bytes([b]))[2:-1] for b in data)


class Heard:
    """Cuts what is heard into lines for showing."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that `data` completed."""
        *whole, rest = (self._rest + data).split(b"\n")
        lines = [piece for line in whole for piece in _pieces(line.removesuffix(b"\r"))]
        while len(rest) >= _LONGEST:
            lines.append(rest[:_LONGEST])
            rest = rest[_LONGEST:]
        self._rest = rest
        return [shown(line) for line in lines]

    def flush(self) -> list[str]:
        """What there is of a line that has not ended."""
        rest, self._rest = self._rest, b""
        return [shown(rest)] if rest.strip(b"\r") else []


def _pieces(line: bytes) -> list[bytes]:
    return [line[k : k + _LONGEST] for k in range(0, max(len(line), 1), _LONGEST)]


class Editor:
    """A line being typed: letters, backspace, Ctrl-U, Ctrl-W, and the lines before it by the arrow keys."""

    def __init__(self) -> None:
        self.text = ""
        self.ended = False
        self._before: list[str] = []
        self._back = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._escape = ""

    def feed(self, keys: bytes) -> list[str]:
        """The lines that these keys completed."""
        lines = []
        for key in self._decoder.decode(keys):
            if self._escape:
                self._escape += key
                if key.isalpha() or key == "~":
                    self._arrow(self._escape)
                    self._escape = ""
            elif key == "\x1b":
                self._escape = key
            elif key in "\r\n":
                lines.append(self.text)
                if self.text:
                    self._before = [*self._before[-99:], self.text]
                self.text, self._back = "", 0
            elif key in "\x7f\b":
                self.text = self.text[:-1]
            elif key == "\x15":
                self.text = ""
            elif key == "\x17":
                self.text = self.text.rstrip()
                self.text = self.text[: self.text.rfind(" ") + 1]
            elif key == "\x04" and not self.text:
                self.ended = True
            elif key.isprintable():
                self.text += key
        return lines

    def _arrow(self, sequence: str) -> None:
        step = {"A": 1, "B": -1}.get(sequence[-1], 0)
        self._back = min(max(self._back + step, 0), len(self._before))
        if step:
            self.text = self._before[-self._back] if self._back else ""


class Terminal:
    """Lines above, and below them the one that is being typed."""

    def __init__(self, prompt: str) -> None:
        self.editor = Editor()
        self._prompt = prompt

    def show(self, line: str, mark: str = "") -> None:
        """A line above."""
        self._write(f"\r\x1b[K{mark}{line}\n")
        self.draw()

    def note(self, line: str) -> None:
        """A line that the instrument did not say."""
        self.show(line, "-- ")

    def draw(self) -> None:
        """The line that is being typed, its end where it is too long for the terminal."""
        room = max(shutil.get_terminal_size().columns - len(self._prompt) - 1, 1)
        self._write(f"\r\x1b[K{self._prompt}{self.editor.text[-room:]}")

    def over(self) -> None:
        """Leaves the line."""
        self._write("\r\x1b[K")

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


class Paper:
    """Standard output for what is heard, standard error for the rest."""

    def show(self, line: str, mark: str = "") -> None:
        """A line of the instrument; what has a mark is not of it."""
        if mark:
            self.note(f"{mark}{line}")
        else:
            print(line, flush=True)

    def note(self, line: str) -> None:
        """A line that the instrument did not say."""
        print(line, file=sys.stderr, flush=True)

    def over(self) -> None:
        """Nothing is left to do."""


@contextlib.contextmanager
def _keys(told: Callable[[bytes], None]) -> Iterator[None]:
    """Each key as it is pressed, without an echo."""
    stdin, loop = sys.stdin.fileno(), asyncio.get_running_loop()
    before = termios.tcgetattr(stdin)
    tty.setcbreak(stdin)
    loop.add_reader(stdin, lambda: told(os.read(stdin, 4096)))
    try:
        yield
    finally:
        loop.remove_reader(stdin)
        termios.tcsetattr(stdin, termios.TCSADRAIN, before)


def _lines(told: Callable[[bytes | None], None]) -> None:
    """Standard input line by line, then None; in a thread of its own, as nothing else can wait for any kind of file."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is over: nobody wants the rest
            for line in sys.stdin.buffer:
                loop.call_soon_threadsafe(told, line)
            loop.call_soon_threadsafe(told, None)

    threading.Thread(target=read, name="standard input", daemon=True).start()


class Talk:
    """One console, from its opening to its end."""

    def __init__(self, client: ControlClient, opened: ConsoleOpened, ending: Ending | None, wait_s: float) -> None:
        self._client, self._opened = client, opened
        self._ending = ENDINGS[ending or opened.ending]
        self._wait_s = wait_s
        self._terminal = Terminal(f"{opened.instrument}> ") if sys.stdin.isatty() and sys.stdout.isatty() else None
        self._out = self._terminal or Paper()
        self._heard = Heard()
        self._heard_s = time.monotonic()
        self._said_s = time.monotonic()
        self._typed: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._over = asyncio.Event()
        self._leaving = False
        self.failed = False

    async def run(self) -> None:
        """Until the console is over, whoever ends it."""
        o, loop = self._opened, asyncio.get_running_loop()
        held = "polls are held; " if o.polls_held else ""
        self._out.note(f"{o.instrument}: {o.title}, {o.port}")
        self._out.note(f"{held}the console ends by itself in {_span(o.seconds)}. /help for help, /quit to end")
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._over.set)
        with contextlib.ExitStack() as stack:
            if self._terminal:
                stack.enter_context(_keys(self._pressed))
                self._terminal.draw()
            else:
                _lines(self._typed.put_nowait)
            tasks = [asyncio.create_task(work()) for work in (self._listen, self._show_partial, self._send)]
            over = asyncio.create_task(self._over.wait())
            done, _ = await asyncio.wait([*tasks, over], return_when=asyncio.FIRST_COMPLETED)
            for task in (*tasks, over):
                task.cancel()
            await asyncio.gather(*tasks, over, return_exceptions=True)
            for line in self._heard.flush():
                self._out.show(line)
            self._out.over()
        for task in done:
            task.result()

    def _pressed(self, keys: bytes) -> None:
        if self._terminal:
            for line in self._terminal.editor.feed(keys):
                self._typed.put_nowait(line.encode("latin-1", "replace"))
            self._terminal.draw()
            if self._terminal.editor.ended or not keys:
                self._typed.put_nowait(None)

    async def _listen(self) -> None:
        async for event in self._client.events():
            match event:
                case Words(direction="heard"):
                    self._heard_s = time.monotonic()
                    for line in self._heard.feed(bytes.fromhex(event.hex)):
                        self._out.show(line)
                case Words(direction="said"):
                    self._out.show(shown(bytes.fromhex(event.hex)), "driver> ")
                case Words(direction="ended"):
                    self._out.note(bytes.fromhex(event.hex).decode(errors="replace"))
                case ConsoleLeft(left_s=left_s):
                    self._out.note(f"{_span(left_s)} left")
                case ConsoleEnded(why=why):
                    if not self._leaving:
                        self._out.note(f"the console is over: {why}")
                    return
                case Dropped(why=why):
                    self.failed = True
                    self._out.note(f"the gateway ended it: {why}")
                    return
        self.failed = True
        self._out.note("the gateway is gone")

    async def _show_partial(self) -> None:
        while True:
            await asyncio.sleep(_PARTIAL_S / 2)
            if time.monotonic() - self._heard_s >= _PARTIAL_S:
                for line in self._heard.flush():
                    self._out.show(line)

    async def _send(self) -> None:
        while (line := await self._typed.get()) is not None:
            text = line.rstrip(b"\r\n")
            if self._terminal is None and self._said_s > self._heard_s:
                await self._answered()
            if text.startswith(b"//"):
                await self._say(text[1:] + self._ending)
            elif text.startswith(b"/"):
                if text.strip() == b"/quit":
                    break
                await self._told(text.decode("latin-1"))
            else:
                await self._say(text + self._ending)
        if self._terminal is None:
            await self._fallen_silent()
        self._leaving = True
        with contextlib.suppress(Refused):
            await self._client.ask(CloseConsole())

    async def _told(self, command: str) -> None:
        word, _, rest = command.partition(" ")
        if word == "/commands":
            if not self._opened.commands:
                self._out.note("its driver names no commands; the instrument's manual does")
            width = max(map(len, self._opened.commands), default=0)
            for name, what in self._opened.commands.items():
                self._out.note(f"{shown(name.encode()):{width}}  {what}")
        elif word == "/hex":
            try:
                data = bytes.fromhex(rest)
            except ValueError:
                self._out.note(f"{rest!r} is not bytes in hexadecimal, such as 1b 03")
            else:
                await self._say(data)
        else:
            for line in HELP.splitlines():
                self._out.note(line)

    async def _say(self, data: bytes) -> None:
        if self._terminal:
            self._terminal.show(shown(data.removesuffix(self._ending)), f"{self._opened.instrument}> ")
        self._said_s = time.monotonic()
        try:
            await self._client.ask(Say(hex=data.hex()))
        except (Refused, ValueError) as error:
            self.failed = self._terminal is None
            self._out.note(f"not sent: {error if isinstance(error, Refused) else 'too long, or nothing'}")

    async def _answered(self) -> None:
        """Waits until the instrument has answered the last line, or does not."""
        while (now_s := time.monotonic()) - self._said_s < self._wait_s:
            if self._heard_s > self._said_s and now_s - self._heard_s >= _ANSWERED_S:
                return
            await asyncio.sleep(0.05)

    async def _fallen_silent(self) -> None:
        end_s = time.monotonic() + _LAST_WORD * self._wait_s
        while (now_s := time.monotonic()) < end_s:
            if now_s - max(self._heard_s, self._said_s) >= self._wait_s:
                return
            await asyncio.sleep(0.05)
        self._out.note(f"{self._opened.instrument} does not fall silent; left it")


def _span(seconds: float) -> str:
    return f"{seconds / 60:g} minutes" if seconds > 60 else "a minute" if seconds == 60 else f"{seconds:g} s"


async def talk(
    directory: Path, instrument: str, minutes: float, hold_polls: bool, ending: Ending | None, wait_s: float
) -> bool:
    """Opens a console through the gateway on `directory` and talks; whether all went well.

    Raises `NoGateway` and `Refused`.
    """
    client = await ControlClient.connect(directory)
    try:
        request = OpenConsole(instrument=instrument, minutes=minutes, hold_polls=hold_polls)
        conversation = Talk(client, ConsoleOpened.model_validate(await client.ask(request)), ending, wait_s)
        await conversation.run()
        return not conversation.failed
    finally:
        await client.close()
