"""`tidegate gateway try`: one instrument's configuration at work, raw bytes and what is decoded of them side by side.

The bytes come from the instrument's port, read, set up and polled as the gateway does it (`gateway.acquire`); where the
running gateway has the port, they are overheard through it; or they are those of a file or of pasted text. Nothing is
sent to the hub, and nothing is kept.

Of a live line a sample is shown only so often that one can read it, and a kind of problem likewise; the summary counts
them all. Of a file all is shown.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from drivers.driver import Decoded, Driver, Problem, load
from drivers.recording import batches
from gateway.acquire import Acquisition, Overheard
from gateway.config import Instrument, Port
from gateway.console import Refused, Words
from gateway.control import ControlClient, Dropped, GetStatus, NotRunning, Watch
from gateway.decode import Break, Summary, by_piece, recorded
from gateway.guard import FAULT, Guarded
from gateway.health import InstrumentHealth, Status, label_of, value_text, with_unit
from gateway.rawlog import Direction, RawLog
from gateway.recognise import ENOUGH, guesses
from gateway.screen import cut, evenly, is_text, printable, sparkline
from gateway.talk import shown
from gateway.transports import open_transport
from tidegate.clock import NAT, Arrival, isoformat
from tidegate.frame import Field, Frame, Missing
from tidegate.vocabulary import PARAMETERS

SHOW_EVERY_S = 0.5
"""A live line's samples are shown at most so often, so that one can read them."""
_PROBLEM_EVERY_S = 5.0
_UNKNOWN_S = 2.0
"""What is heard without any sample or problem is shown after so long."""
_UNKNOWN_BYTES = 4096
_BINARY_PIECE = 256
_MOST_RAW = 12  # lines of raw bytes that are shown of one sample
_RAW_LOG_BYTES = 16 << 20
_SNIFFED = 1 << 15
_PROFILE_VALUES = 3
_BARS = 12
_ALIKE = 0.02
_MOST_VALUES = 12
_IMPLAUSIBLE = Missing.IMPLAUSIBLE.name.lower()

OURS = {
    "gone": "the port cannot be opened or was lost: plug it in, give this user the right to it, end the other program",
    "silent": "the port is open and nothing comes: check power, wiring and baud rate",
    "poll_skipped": "the instrument answers slower than interval_s: make that longer",
    FAULT: "a fault of the driver, not of the instrument: report it with the raw bytes",
    "gateway_fault": "a fault of this program: report it",
    "raw_log": "the temporary folder cannot be written to: free the disk",
}
"""What the gateway's own kinds of problems mean."""


# ---- one sample in words ---------------------------------------------------------------------------------------------


def spans(f: Field) -> str:
    """In which span a value of this field can be real; empty of counts, and where the vocabulary does not know it."""
    known = PARAMETERS.get(f.name)
    if known is None or f.integer:
        return ""
    low, high = known.plausible
    return f"{low:.6g}…{high:.6g}"


def outside(frame: Frame, f: Field, row: int) -> bool:
    """Whether any value of the field lies outside that span, as given or as refused."""
    known = PARAMETERS.get(f.name)
    values = np.atleast_1d(frame.columns[f.name][row])
    present = np.atleast_1d(frame.missing(f.name)[row]) == 0
    if known is None:
        return False
    low, high = known.plausible
    return bool(np.any(present & ~((values >= low) & (values <= high))))


class Value(NamedTuple):
    """One value of a sample, for a line: `mark` is `!` where it lies outside its span, `-` where it is missing; of a
    profile `more` tells its shape."""

    mark: str
    label: str
    text: str
    span: str
    more: tuple[str, str] | None = None

    @property
    def rank(self) -> tuple[bool, bool, bool]:
        """The odd ones come first, then profiles and what has a unit, then counts and states."""
        return self.mark == " ", not self.span, self.more is None


def values_of(frame: Frame, row: int) -> Iterator[Value]:
    """The values of a sample in the schema's order."""
    for f in frame.schema.fields:
        text, why = value_text(frame, f, row)
        mark = "!" if outside(frame, f, row) or why == _IMPLAUSIBLE else "-" if why else " "
        more = profile(frame, f, row) if f.profile else None
        text = with_unit(text.replace(" to ", "…"), f.unit) if text else f"missing: {why}"
        yield Value(mark, label_of(f.name), text, spans(f), more)


def profile(frame: Frame, f: Field, row: int) -> tuple[str, str]:
    """(the shape of a profile, its number of good cells and first values)."""
    column, good = frame.columns[f.name][row], frame.missing(f.name)[row] == 0
    values = [float(v) if ok else None for v, ok in zip(column, good, strict=True)]
    decimals = 0 if f.integer else f.decimals
    first = ["-" if v is None else f"{v:.{decimals}f}" for v in values[:_PROFILE_VALUES]]
    return sparkline(evenly(values, _BARS), _BARS), f"{int(good.sum())}/{len(values)} cells {' '.join(first)}…"


def lines_of(values: Sequence[Value], width: int) -> Iterator[tuple[str, str]]:
    """(mark, line) of each value, in columns of a table so wide: label, value with its unit, span."""
    label = min(max((len(v.label) for v in values), default=0), width * 2 // 5)
    span = max((len(v.span) for v in values), default=0)
    room = width - label - span - 4
    for v in values:
        head = f"{v.mark} {cut(v.label, label):<{label}} "
        if len(v.text) <= room:
            yield v.mark, f"{head}{v.text:>{room}} {v.span:<{span}}".rstrip()
        else:
            yield v.mark, cut(f"{head}{v.text}", width)
        if v.more:
            yield " ", cut(f"  {v.more[0]:<{_BARS}} {v.more[1]}", width)


def raw(data: bytes, width: int) -> str:
    """Bytes for reading: text with its control characters as escapes, a line for a line, or hexadecimal."""
    if is_text(data):
        lines = [
            shown(line)[k : k + width]
            for line in data.splitlines(keepends=True)
            for k in range(0, max(len(shown(line)), 1), width)
        ]
    else:
        step = max((width + 1) // 3, 1)
        lines = [data[k : k + step].hex(" ") for k in range(0, len(data), step)]
    if len(lines) > _MOST_RAW:
        lines = [*lines[: _MOST_RAW - 1], f"… {len(data)} bytes in all"]
    return "\n".join(lines)


# ---- the trial -------------------------------------------------------------------------------------------------------


class Trial:
    """Shows what goes over one instrument's line, and keeps the account of it."""

    def __init__(self, driver: Driver, interval_s: float | None, *, paced: bool) -> None:
        self._console = Console(highlight=False, soft_wrap=False)
        if not self._console.is_terminal:
            self._console.width = max(shutil.get_terminal_size().columns, 80)
        self._width = self._console.width
        self._driver, self._interval_s, self._paced = driver, interval_s, paced
        self.summary = Summary()
        self.samples = 0
        self.theirs = 0
        """Pieces that the running gateway decoded and this file's settings did not."""
        self._heard: list[tuple[bytes, Arrival]] = []
        self._bytes = 0
        self._waiting = b""
        self._waits_s = time.monotonic()
        self._shown_s = float("-inf")
        self._skipped = 0
        self._told_s: dict[str, float] = {}
        self._remedied: set[str] = set()
        self._known: set[bytes] = set()
        self._times: dict[bytes, tuple[int, int, int]] = {}  # by schema: (first, last, how many)
        self._begun_s = time.monotonic()

    # -- what happens

    def note(self, text: str, mark: str = "--", style: str = "dim") -> None:
        """A line that is not of the instrument."""
        self._console.print(Text(f"{mark} {printable(text)}", style), soft_wrap=False)

    def said(self, data: bytes) -> None:
        """What was sent to the instrument."""
        for line in raw(data, self._width - 3).splitlines():
            self._console.print(Text(f"> {line}", "cyan"))

    def heard(self, data: bytes, at: Arrival, decoded: Sequence[Decoded], gateways: Sequence[str] = ()) -> None:
        """What came, what was decoded of it, and where that gave no sample, what the running gateway made of it."""
        now_s = time.monotonic()
        if self._bytes < _SNIFFED:
            self._heard.append((data, at))
        self._bytes += len(data)
        if not self._waiting:
            self._waits_s = now_s
        self._waiting += data
        samples = 0
        for item in decoded:
            self.summary.add(item)
            if isinstance(item, Frame) and len(item):
                samples += len(item)
                first, _, count = self._times.get(item.schema.id, (int(item.time[0]), 0, 0))
                self._times[item.schema.id] = first, int(item.time[-1]), count + len(item)
        if samples:
            self.samples += samples
        elif gateways:
            self.theirs += 1
        if decoded or gateways:
            self._show([item for item in decoded if isinstance(item, Problem) or len(item)], gateways, now_s)
        else:
            self.look()

    def look(self) -> None:
        """Shows what was heard a while ago and nothing was made of."""
        if self._waiting and (
            len(self._waiting) >= _UNKNOWN_BYTES or (self._paced and time.monotonic() - self._waits_s > _UNKNOWN_S)
        ):
            self._row(Text("(no complete record yet)", "dim"))

    def _show(self, decoded: Sequence[Decoded], gateways: Sequence[str], now_s: float) -> None:
        parts: list[Text] = []
        for item in decoded:
            if isinstance(item, Problem):
                parts += self._of_problem(item, now_s)
            else:
                parts += self._of_frame(item, now_s)
        if not any(isinstance(item, Frame) for item in decoded) and gateways:
            parts.append(Text("\n".join(f"gateway: {printable(line)}" for line in gateways), "dim"))
        if parts:
            self._row(*parts)
        else:
            self._waiting = b""

    def _of_frame(self, frame: Frame, now_s: float) -> list[Text]:
        rows = range(len(frame))
        if self._paced:
            if now_s - self._shown_s < SHOW_EVERY_S:
                self._skipped += len(frame)
                return []
            self._skipped += len(frame) - 1
            rows = rows[-1:]
        self._shown_s = now_s
        return [part for row in rows for part in self._of_sample(frame, row)]

    def _of_sample(self, frame: Frame, row: int) -> list[Text]:
        at = isoformat(int(frame.time[row])) if frame.time[row] != NAT else None
        head = f"{(at or 'no time')[:23].replace('T', ' ')} {frame.source.name.lower()}, {frame.schema.kind}"
        if self._skipped:
            head += f" (and {self._skipped} more)"
            self._skipped = 0
        values = list(values_of(frame, row))
        left_out = 0
        if frame.schema.id in self._known:
            # An ensemble has dozens of values; once they have all been seen, the first and the odd ones do.
            order = sorted(range(len(values)), key=lambda k: values[k].rank)
            kept = set(order[:_MOST_VALUES])
            left_out = len(values) - len(kept)
            values = [v for k, v in enumerate(values) if k in kept]
        self._known.add(frame.schema.id)
        parts = [Text(head, "dim")]
        styles = {"!": "bold red", "-": "yellow", " ": ""}
        parts += [Text(line, styles[mark]) for mark, line in lines_of(values, self._decoded_width())]
        if left_out:
            parts.append(Text(f"  and {left_out} values more", "dim"))
        return parts

    def _of_problem(self, problem: Problem, now_s: float) -> list[Text]:
        if self._paced and now_s - self._told_s.get(problem.kind, float("-inf")) < _PROBLEM_EVERY_S:
            return []
        self._told_s[problem.kind] = now_s
        text = Text(f"! {problem.kind}: {printable(problem.message)}", "bold red")
        remedy = self.remedy(problem.kind)
        if remedy and problem.kind not in self._remedied:
            self._remedied.add(problem.kind)
            text.append(f"\n→ {remedy}", "not bold yellow")
        return [text]

    def _decoded_width(self) -> int:
        return self._width - self._raw_width() - 2

    def _raw_width(self) -> int:
        return max(self._width * 3 // 8, 24)

    def _row(self, *decoded: Text) -> None:
        """The raw bytes so far, and beside them what was made of them."""
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_column(width=self._raw_width(), overflow="fold")
        grid.add_column(width=self._decoded_width())
        right = Table.grid()
        right.add_column(width=self._decoded_width())
        for part in decoded:
            right.add_row(part)
        grid.add_row(Text(raw(self._waiting, self._raw_width())), right)
        self._console.print(grid)
        self._waiting = b""

    # -- what came of it

    def remedy(self, kind: str) -> str:
        """What a kind of problem means and what to do."""
        return self._driver.problems.get(kind) or OURS.get(kind, "")

    def conclude(self, counted: Counter[str], hints: Sequence[str]) -> bool:
        """The account at the end, with problems that were counted elsewhere and hints for one who got nothing; whether
        samples came."""
        if self._waiting:
            self._row(Text("(no complete record)", "dim"))
        first, last, count = max(self._times.values(), key=lambda times: times[2], default=(NAT, NAT, 0))
        pace = ""
        if count > 1 and NAT not in (first, last):
            pace = f", one every {(last - first) / 1e9 / (count - 1):.3g} s"
            pace += f" (interval_s = {self._interval_s:g})" if self._interval_s else ""
        within = f" in {time.monotonic() - self._begun_s:.0f} s" if self._paced else ""
        self.summary.problems.update(counted)
        self._console.print(Text(f"\n{self.summary}{within}{pace}", "bold"))
        table = Table.grid(padding=(0, 2, 0, 0))
        for kind, count in self.summary.problems.most_common():
            table.add_row(Text(f"{count} × {kind}", "bold"), Text(self.remedy(kind)))
        if table.row_count:
            self._console.print(Padding(table, (0, 0, 0, 2)))
        for hint in hints if not self.samples else ():
            self._console.print(Padding(Text(f"→ {hint}", "yellow"), (0, 0, 0, 2)))
        return self.samples > 0

    def strangers(self) -> str:
        """Whose bytes they seem to be, where another driver makes sense of them; else empty."""
        found = guesses(self._heard)
        if not found or found[0].confidence < ENOUGH or type(self._driver) in [load(g.driver) for g in found[:1]]:
            return ""
        alike = dict.fromkeys(repr(g.driver) for g in found if found[0].confidence - g.confidence < _ALIKE)
        return f"these bytes look like those that driver {' or '.join(alike)} reads ({found[0].confidence:.0%})"

    @property
    def anything(self) -> bool:
        """Whether any byte came."""
        return self._bytes > 0


# ---- from a file or pasted text --------------------------------------------------------------------------------------


def try_sample(driver: Driver, instrument: str | None, sample: Path) -> bool:
    """Shows what is decoded of a file, a raw log's folder, or standard input (`-`); whether samples came.

    Raises OSError where it cannot be read, ValueError where a raw log does not hold this instrument.
    """
    trial = Trial(driver, None, paced=False)
    if str(sample) == "-" and sys.stdin.isatty():
        trial.note("paste what the instrument said, then press Enter and Ctrl-D")
    guarded = Guarded(driver)
    pasted = str(sample) == "-"
    recording = (
        batches(_standard_input()) if pasted else recorded(sample, None, instrument if sample.is_dir() else None)
    )
    for part in by_piece(recording):
        if isinstance(part, Break):
            trial.heard(b"", Arrival.now(), guarded.finish())
            continue
        for piece in _lines(part.data):
            trial.heard(piece, part.at, guarded.feed(piece, part.at))
    trial.heard(b"", Arrival.now(), guarded.finish())
    hints = [trial.strangers()] if trial.strangers() else []
    if not trial.anything:
        hints = [f"{'standard input' if str(sample) == '-' else sample} is empty"]
    elif not hints:
        hints = ["check that the driver and its settings are this instrument's: `tidegate gateway drivers NAME`"]
    return trial.conclude(Counter(), hints)


def _standard_input() -> Iterator[bytes]:
    """What is there at a time: of a pipe as it comes, of a terminal line by line until one Ctrl-D."""
    while data := os.read(sys.stdin.fileno(), 1 << 16):
        yield data


def _lines(data: bytes) -> list[bytes]:
    """A piece of a file in crumbs, so that what is decoded stands beside what it was decoded of."""
    if is_text(data[:_UNKNOWN_BYTES]):
        return data.splitlines(keepends=True)
    return [data[k : k + _BINARY_PIECE] for k in range(0, len(data), _BINARY_PIECE)]


# ---- on the live port ------------------------------------------------------------------------------------------------


async def try_live(driver: Driver, instrument: Instrument, storage: Path, for_s: float | None) -> bool:
    """Reads the instrument until Ctrl-C, or for so long; whether samples came. Through the running gateway where it
    has the port. Raises `NoGateway` where that gateway cannot be asked."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if for_s is not None:
        loop.call_later(for_s, stop.set)
    try:
        client = await ControlClient.connect(storage)
    except NotRunning:
        return await _on_port(driver, instrument, stop)
    try:
        return await _through(client, driver, instrument, stop)
    finally:
        await client.close()


class _Notes(logging.Handler):
    """What the gateway would log as a warning is told here."""

    def __init__(self, trial: Trial) -> None:
        super().__init__(logging.WARNING)
        self._trial = trial

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        self._trial.note(record.getMessage(), "!!", "bold red")


@contextlib.contextmanager
def _noted(trial: Trial) -> Iterator[None]:
    log, notes = logging.getLogger("gateway"), _Notes(trial)
    log.addHandler(notes)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(notes)
        log.propagate = True


async def _on_port(driver: Driver, instrument: Instrument, stop: asyncio.Event) -> bool:
    trial = Trial(driver, instrument.interval_s, paced=True)
    health = InstrumentHealth(instrument.interval_s)
    transport = open_transport(instrument.port)
    trial.note(f"{driver.instrument}: {driver.title}")
    trial.note(f"{transport.name}; Ctrl-C ends")

    def listen(overheard: Overheard) -> None:
        utterance, decoded = overheard
        if utterance.direction is Direction.SAID:
            trial.said(utterance.data)
        elif utterance.direction is Direction.HEARD:
            trial.heard(utterance.data, utterance.at, decoded)
        else:
            trial.heard(b"", utterance.at, decoded)

    with tempfile.TemporaryDirectory(prefix="tidegate-try-") as folder, _noted(trial):
        # What is tried is no measurement of the station, so its raw log is not this one.
        raw_log = RawLog(Path(folder), _RAW_LOG_BYTES)
        acquisition = Acquisition(driver, transport, raw_log, health, lambda frames, position: None)
        acquisition.listeners.append(listen)
        looking = asyncio.create_task(_look(trial))
        try:
            await acquisition.run(stop)
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
            raw_log.close()
    counted = health.problems - trial.summary.problems
    return trial.conclude(counted, _advice(trial, driver, instrument.port, transport.name, transport.opened > 0))


async def _look(trial: Trial) -> None:
    while True:
        await asyncio.sleep(SHOW_EVERY_S)
        trial.look()


def _advice(trial: Trial, driver: Driver, port: Port, name: str, opened: bool) -> list[str]:
    """What to do where no sample came."""
    if not opened:
        listed = "; `ls -l /dev/serial/by-id` lists the serial ports" if _device(port) else ""
        return [f"{name} could not be opened{listed}"]
    device = _device(port)
    probe = f"`tidegate gateway probe {device}` finds out speed and instrument" if device else ""
    if not trial.anything:
        asked = bytes(driver.poll())
        return [
            f"nothing was heard on {name}: is the instrument powered, and are TX, RX and ground wired right?",
            "it does not answer: is its address right, is it awake?"
            if asked
            else "nothing is asked of it: does it measure by itself and send what it measures?",
            *([f"such instruments speak at {', '.join(driver.lines)}"] if _serial(port) else []),
            *([probe] if probe else []),
        ]
    stranger = trial.strangers()
    return [
        stranger or "bytes came, and nothing that this driver knows: the speed, or the driver, is another",
        *([f"such instruments speak at {', '.join(driver.lines)}"] if _serial(port) and not stranger else []),
        *([probe] if probe else []),
    ]


def _device(port: Port) -> str:
    return str(getattr(port, "serial", "") or getattr(port, "modbus_rtu", "") or "")


def _serial(port: Port) -> bool:
    return hasattr(port, "serial")


async def _through(client: ControlClient, driver: Driver, instrument: Instrument, stop: asyncio.Event) -> bool:
    """Overhears the instrument through the running gateway."""
    trial = Trial(driver, instrument.interval_s, paced=True)
    name = driver.instrument
    status = Status.model_validate(await client.ask(GetStatus()))
    running = status.instruments.get(name)
    if running is None:
        known = ", ".join(status.instruments) or "none"
        raise Refused(
            f"the gateway that runs here does not know {name!r} (it has: {known}): it was started before the file was "
            f"changed; restart it, or stop it and try again"
        )
    trial.note(f"{name}: {driver.title}")
    trial.note(f"the running gateway has {running.port}; this listens in and sends nothing; Ctrl-C ends")
    if running.reason:
        trial.note(running.reason, "!!", "bold red")
    guarded = Guarded(driver)
    await client.ask(Watch(instrument=name))

    async def listen() -> str:
        async for event in client.events():
            match event:
                case Words(direction="heard"):
                    data, at = bytes.fromhex(event.hex), Arrival(event.at_ns, 0, "", False)
                    theirs = [line for line in event.decoded if not line.startswith("! ")]
                    trial.heard(data, at, guarded.feed(data, at), theirs)
                case Words(direction="said" | "typed"):
                    trial.said(bytes.fromhex(event.hex))
                case Words(direction="ended"):
                    trial.note(bytes.fromhex(event.hex).decode(errors="replace"), "!!", "bold red")
                    trial.heard(b"", Arrival.now(), guarded.finish())
                case Dropped(why=why):
                    return why
        return "the gateway is gone"

    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(work) for work in (listen(), _look(trial), stop.wait())]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if tasks[0] in done:
        trial.note(tasks[0].result(), "!!", "bold red")
    hints = [trial.strangers()] if trial.strangers() else []
    if trial.theirs:
        trial.note(
            f"the running gateway decoded {trial.theirs} pieces of which this file's settings gave nothing: it runs "
            "with other settings, or knows what the instrument said when its port was opened; stop it, and try again"
        )
    elif not trial.anything:
        hints = [f"nothing was heard; `tidegate gateway top` shows how {name} does"]
    return trial.conclude(Counter(), hints)
