"""`tidegate gateway top`: what a technician sees of the running gateway, in a terminal, over ssh.

On top link, clock and disk; below them the instruments, the worst first; below those what the chosen instrument
measures, the bytes on its line, or the log. Everything is said by a word and a mark, so that no colour is needed. It
is fed by the control socket (`gateway.control`), and finds the gateway again after a restart.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, NamedTuple

from rich.console import Group
from rich.table import Table
from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import ContentSwitcher, Footer, OptionList, RichLog, Static
from textual.widgets.option_list import Option

from gateway.console import Refused, Words
from gateway.control import ControlClient, LogEvent, NoGateway, NotRunning, StatusEvent, Subscribe, Watch
from gateway.health import FieldStatus, InstrumentStatus, Status, with_unit
from gateway.talk import shown

_RETRY_S = 1.0
_QUIET_S = 5.0
"""A gateway that tells nothing for so long is said to be stuck."""
_FRESH_PROBLEM_S = 60.0
_SLOW = 1.5
_LATE = 3.0
_MOST_RAW = 256
_MOST_DECODED = 32
_LINES = 2000
_REMEMBERED = 200

GOOD, WATCH, BAD = "green", "yellow", "bold red"
_LEVELS = {"WARNING": ("!", WATCH), "ERROR": ("✗", BAD), "CRITICAL": ("✗", BAD)}


# ---- words and marks -------------------------------------------------------------------------------------------------


class Verdict(NamedTuple):
    """How an instrument does: the lower the rank, the worse."""

    rank: int
    mark: str
    word: str
    style: str


def judged(i: InstrumentStatus) -> Verdict:
    """What is wrong with an instrument, if anything."""
    if i.link == "down":
        return Verdict(0, "✗", "DOWN", BAD)
    if i.link == "stale":
        return Verdict(1, "✗", "SILENT", BAD)
    due_s = i.interval_s or 20.0
    if i.link == "starting" and not i.samples:
        return Verdict(5, "…", "waiting", "")
    if i.sample_s is None or i.sample_s > max(_LATE * due_s, 5.0):
        return Verdict(2, "✗", "NO DATA", BAD)
    if i.problems and i.problems[0].ago_s < max(_FRESH_PROBLEM_S, _LATE * due_s):
        return Verdict(3, "!", "PROBLEM", WATCH)
    if i.every_s is not None and i.every_s > _SLOW * due_s:
        return Verdict(4, "!", "SLOW", WATCH)
    return Verdict(6, "✓", "good", GOOD)


def span(seconds: float | None) -> str:
    """A duration in at most six letters."""
    if seconds is None:
        return "-"
    for unit_s, unit in ((1, "s"), (60, "min"), (3600, "h")):
        if seconds < 99.5 * unit_s:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def cadence(every_s: float | None, due_s: float | None) -> str:
    """How far apart samples are and are meant to be, in at most nine letters."""
    longest_s = max(every_s or 0, due_s or 0)
    unit_s, unit = next(((u, n) for u, n in ((1, "s"), (60, "min"), (3600, "h")) if longest_s < 99.5 * u), (86400, "d"))
    return f"{_number(every_s, unit_s)}/{_number(due_s, unit_s)} {unit}"


def _number(seconds: float | None, unit_s: int) -> str:
    if seconds is None:
        return "-"
    count = seconds / unit_s
    if count >= 9.95:
        return f"{count:.0f}"
    if count >= 0.095:
        return f"{count:.1f}".removesuffix(".0")
    return f"{count:.2f}"[1:] if unit_s == 1 else "0"


def size(count: float) -> str:
    """A number of bytes."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 9.95 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


_BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float | None], width: int) -> str:
    """The newest `width` values as bars between their least and their greatest; a blank where one is missing."""
    values = values[-width:]
    present = [v for v in values if v is not None]
    if not present:
        return ""
    low, high = min(present), max(present)
    step = (high - low) / (len(_BARS) - 1)
    return "".join(" " if v is None else _BARS[round((v - low) / step) if step > 0 else 3] for v in values)


def evenly(values: Sequence[float | None], count: int) -> list[float | None]:
    """At most `count` of the values, evenly chosen."""
    step = max(len(values) / count, 1.0)
    return [values[int(k * step)] for k in range(min(count, len(values)))]


def fitting(parts: Iterable[str], width: int, between: str = " · ") -> str:
    """As many of the parts as fit whole; only of the first a piece is shown where it is too long."""
    line = ""
    for part in parts:
        longer = f"{line}{between}{part}" if line else part
        if len(longer) > width:
            return line or cut(part, width)
        line = longer
    return line


def cut(text: str, width: int) -> str:
    """`text`, with an ellipsis for its end where it is too long."""
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


def in_order(fields: Sequence[FieldStatus]) -> list[FieldStatus]:
    """Profiles first, then what has a unit, then counts and states: the field that says most comes first."""
    return sorted(fields, key=lambda f: (not f.cells, f.unit in ("", "1")))


def values(i: InstrumentStatus, width: int) -> str:
    """The last values that fit whole, and how many more there are."""
    told = [with_unit(f.text, f.unit) if f.text else f"no {f.label}" for f in in_order(i.fields)]
    for count in range(len(told), 0, -1):
        more = f" +{len(told) - count}" if count < len(told) else ""
        line = "  ".join(told[:count]) + more
        if len(line) <= width:
            return line
    return ""


def printable(text: str) -> str:
    """`text` without anything that could steer a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def utc(at_ns: int) -> str:
    """The date and time of day, in seconds."""
    return f"{datetime.fromtimestamp(at_ns / 1e9, UTC):%Y-%m-%d %H:%M:%S}"


# ---- what the screen is made of --------------------------------------------------------------------------------------


def head(status: Status, width: int, quiet_s: float) -> Text:
    """Who, link, clock and disk, one line each."""
    s, link, disk = status, status.link, status.disk
    now = f"{utc(s.at_ns)} UTC"
    name = fitting([s.platform, s.title] if s.title else [s.platform], width - len(now) - 3)
    lines = [Text(f" {name:<{width - len(now) - 2}}{now} ", style="bold reverse")]
    if quiet_s > _QUIET_S:
        lines[0] = Text(f" {f'✗ the gateway has said nothing for {span(quiet_s)}':<{width - 1}}", style=BAD)
    since = span((s.at_ns - link.since_ns) / 1e9)
    if link.live + link.backfill:
        waits = [f"waiting: {link.live} live, {link.backfill} backfill"]
    else:
        waits = ["nothing waits"]
    if link.connected:
        told = [f"{link.broker} for {since}", *waits, f"sent {size(link.sent_bytes)}"]
        lines.append(_line("Link", "✓", "linked", told, GOOD, width))
    else:
        told = [f"{link.broker} for {since}", *waits, *([link.error] if link.error else [])]
        lines.append(_line("Link", "✗", "NO LINK", told, BAD, width))
    if s.clock.disciplined:
        error = f"may be off by {span_fine(s.clock.error_s)}" if s.clock.error_s is not None else ""
        lines.append(_line("Clock", "✓", "in sync", ["follows a reference", *([error] if error else [])], GOOD, width))
    else:
        told = ["follows no reference: times may be off"]
        lines.append(_line("Clock", "!", "NO SYNC", told, WATCH, width))
    to_come = disk.raw_limit - disk.raw_bytes + disk.spool_limit - disk.spool_bytes
    parts = [
        f"raw log {size(disk.raw_bytes)} of {size(disk.raw_limit)}",
        f"spool {size(disk.spool_bytes)} of {size(disk.spool_limit)}",
    ]
    free = [] if disk.free_bytes is None else [f"{size(disk.free_bytes)} free"]
    if disk.spool_bytes > 0.8 * disk.spool_limit:
        lines.append(_line("Disk", "!", "SPOOL", [parts[1], parts[0], *free], WATCH, width))
    elif disk.free_bytes is not None and disk.free_bytes < to_come:
        lines.append(_line("Disk", "!", "SMALL", [*free, *parts], WATCH, width))
    else:
        lines.append(_line("Disk", "✓", "room", [*parts, *free], GOOD, width))
    return Text("\n").join(lines)


def span_fine(seconds: float | None) -> str:
    """A small duration."""
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else span(seconds)


def _line(what: str, mark: str, word: str, parts: list[str], style: str, width: int) -> Text:
    return Text.assemble((f" {what:<6}", "bold"), (f"{mark} {word:<8}", style), fitting(parts, width - 18), " ")


_STATE, _AGE, _EVERY, _TREND = 10, 7, 10, 8


def _name_width(names: Iterable[str], width: int) -> int:
    return max(min(max(map(len, names), default=10), 14 if width < 100 else 24), 10) + 2


def columns(names: Iterable[str], width: int) -> str:
    """The line above the instruments."""
    name = _name_width(names, width)
    trend = f"{'TREND':<{_TREND}}" if width >= 72 else ""
    room = width - 2 - name - _STATE - _AGE - _EVERY - len(trend)
    return f"  {'INSTRUMENT':<{name}}{'STATE':<{_STATE}}{'AGE':<{_AGE}}{'EVERY/DUE':<{_EVERY}}{'VALUES':<{room}}{trend}"


def row(name: str, i: InstrumentStatus, names: Iterable[str], width: int, chosen: bool) -> Text:
    """An instrument in one line."""
    verdict, wide = judged(i), _name_width(names, width)
    room = width - 2 - wide - _STATE - _AGE - _EVERY - (_TREND if width >= 72 else 0)
    told = values(i, room - 1)
    if verdict.rank < 4 and i.problems and (verdict.rank < 2 or not told):
        told = cut(f"{printable(i.problems[0].kind)}, {span(i.problems[0].ago_s)} ago", room - 1)
    shape = ""
    if i.fields and width >= 72:
        first = in_order(i.fields)[0]
        shape = sparkline(evenly(first.trail, _TREND - 1) if first.cells else first.trail, _TREND - 1)
    return Text.assemble(
        "> " if chosen else "  ",
        f"{cut(name, wide - 1):<{wide}}",
        (f"{verdict.mark} {verdict.word:<{_STATE - 2}}", verdict.style),
        f"{span(i.sample_s):<{_AGE}}",
        f"{cadence(i.every_s, i.interval_s):<{_EVERY}}",
        f"{told:<{room}}",
        shape,
        no_wrap=True,
    )


def details(name: str, i: InstrumentStatus, width: int) -> Group:
    """Everything of one instrument."""
    width = max(width - 3, 20)
    facts = [f"{i.driver} on {i.port}"]
    if i.console:
        facts.append(f"! {i.console} is talking to it")
    lines: list[Text | Table] = [Text(fact) for fact in facts]
    if i.reason:
        lines.append(Text(f"✗ {printable(i.reason)}", style=BAD))
    every = "" if i.every_s is None else f", one every {i.every_s:.3g} s"
    due = "" if i.interval_s is None else f", due every {i.interval_s:g} s"
    newest = "" if i.sample_ns is None or i.sample_ns < 0 else f", the newest of {utc(i.sample_ns)}"
    lines.append(Text(f"{i.samples:,} samples{every}{due}{newest}"))
    fresh = bool(i.problems) and i.problems[0].ago_s < _FRESH_PROBLEM_S
    if fresh:
        lines.append(_problems(i))
    if i.fields:
        told = [with_unit(f.text, f.unit) if f.text else f"missing: {f.missing}" for f in in_order(i.fields)]
        label = min(max(len(f.label) for f in i.fields), width // 2)
        wide = max(map(len, told))
        for f, text in zip(in_order(i.fields), told, strict=True):
            cells = f" {f.cells} cells" if f.cells else ""
            shape = sparkline(f.trail, max(width - label - wide - 4 - len(cells), 0))
            lines.append(Text(f"{cut(f.label, label):<{label}}  {text:<{wide}}  {shape}{cells}", no_wrap=True))
    if i.problems and not fresh:
        lines.append(_problems(i))
    return Group(*lines)


def _problems(i: InstrumentStatus) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for p in i.problems:
        mark = "!" if p.ago_s < _FRESH_PROBLEM_S else " "
        message = "" if p.message == i.reason else printable(p.message)
        table.add_row(mark, Text(printable(f"{p.kind} × {p.count}")), f"{span(p.ago_s)} ago", Text(message))
    return table


def both_ways(said: Words, width: int, as_hex: bool) -> Table:
    """A piece of what went over the line, and beside it what was decoded of it."""
    data = bytes.fromhex(said.hex)
    left = (width * 11) // 20
    grid = Table.grid(padding=(0, 1), pad_edge=False)
    grid.add_column(width=left)
    grid.add_column(width=width - left - 2)
    arrow = {"heard": "<", "said": ">", "typed": "»", "ended": "="}[said.direction]
    if said.direction == "ended":
        told = Text(f"{arrow} {printable(data.decode(errors='replace'))}")
    elif as_hex:
        told = Text("\n").join(Text(line) for line in hexdump(data[:_MOST_RAW], arrow, left))
    else:
        told = Text(f"{arrow} {shown(data[:_MOST_RAW])}", overflow="fold")
    if len(data) > _MOST_RAW:
        told.append(f"\n  and {len(data) - _MOST_RAW} bytes more")
    more = [f"and {len(said.decoded) - _MOST_DECODED} more"] if len(said.decoded) > _MOST_DECODED else []
    grid.add_row(told, Text("\n".join(map(printable, [*said.decoded[:_MOST_DECODED], *more]))))
    return grid


def hexdump(data: bytes, arrow: str, width: int) -> list[str]:
    """Bytes in hexadecimal, and as text beside it, so many to a line as have room: 8 or 16."""
    step = 16 if width >= 2 + 16 * 4 + 1 else 8
    return [
        f"{arrow if not k else ' '} {data[k : k + step].hex(' '):<{3 * step}}"
        + "".join(chr(b) if 0x20 <= b < 0x7F else "." for b in data[k : k + step])
        for k in range(0, len(data), step)
    ]


def is_text(data: bytes) -> bool:
    """Whether bytes are better read as text."""
    return sum(0x20 <= b < 0x7F or b in b"\r\n\t" for b in data) >= 0.8 * len(data)


class Pieces:
    """Joins what a port hands over in crumbs to pieces worth a line."""

    def __init__(self) -> None:
        self._waiting: list[Words] = []

    def feed(self, said: Words) -> list[Words]:
        """The pieces that are complete with this one."""
        whole = []
        if self._waiting and said.direction != "heard":
            whole += self.flush()
        self._waiting.append(said)
        count = sum(len(w.hex) for w in self._waiting) // 2
        if said.direction != "heard" or said.decoded or said.hex.endswith("0a") or count >= _MOST_RAW:
            whole += self.flush()
        return whole

    def flush(self) -> list[Words]:
        """What waits."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return []
        joined = "".join(w.hex for w in waiting)
        return [waiting[0].model_copy(update={"hex": joined, "decoded": waiting[-1].decoded})]


# ---- the screen itself -----------------------------------------------------------------------------------------------


class Top(App[None]):
    """The screen; `directory` is the gateway's storage directory, `config` its TOML file, for telling how to start."""

    TITLE = "tidegate"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { background: $background; }
    #head { height: auto; }
    #columns { height: 1; text-style: bold underline; }
    * { scrollbar-background: $background; scrollbar-background-hover: $background; scrollbar-color: $foreground 40%; }
    #instruments { height: auto; max-height: 40%; border: none; padding: 0; background: transparent; }
    #instruments:focus { border: none; background-tint: transparent; }
    #instruments > .option-list--option { padding: 0; }
    #instruments > .option-list--option-highlighted { background: $foreground 18%; color: $foreground; }
    #instruments:focus > .option-list--option-highlighted { background: $foreground 18%; color: $foreground; }
    #title { height: 1; text-style: bold underline; margin-top: 1; }
    #panes { height: 1fr; }
    #values, #raw, #log { height: 1fr; padding: 0 1; scrollbar-size-vertical: 1; background: transparent; }
    #notice { height: 1fr; padding: 2 4; display: none; }
    .alone #head, .alone #columns, .alone #instruments { display: none; }
    .nobody #head, .nobody #columns, .nobody #instruments, .nobody #title, .nobody #panes { display: none; }
    .nobody #notice { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "pane('values')", "Values"),
        Binding("r", "pane('raw')", "Raw"),
        Binding("x", "hex", "Hex/text"),
        Binding("l", "pane('log')", "Log"),
        Binding("f", "alone", "Full"),
        Binding("pageup", "scroll(-1)", "Scroll", key_display="PgUp", priority=True),
        Binding("pagedown", "scroll(1)", show=False, priority=True),
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "quit", show=False, priority=True),
    ]

    def __init__(self, directory: Path, config: Path) -> None:
        super().__init__()
        self._directory, self._config = directory, config
        self._client: ControlClient | None = None
        self._status: Status | None = None
        self._told_s = time.monotonic()
        self._order: list[str] = []
        self._chosen: str | None = None
        self._pieces = Pieces()
        self._overheard: deque[Words] = deque(maxlen=_REMEMBERED)
        self._hex: bool | None = None
        """None: as the bytes are."""

    def compose(self) -> ComposeResult:
        yield Static(id="head")
        yield Static(id="columns")
        yield _Instruments(id="instruments", compact=True)
        yield Static(id="title")
        with ContentSwitcher(initial="values", id="panes"):
            with VerticalScroll(id="values", can_focus=False):
                yield Static(id="details")
            yield _Log(id="raw", max_lines=_LINES, wrap=True, min_width=20, auto_scroll=True)
            yield _Log(id="log", max_lines=_LINES, wrap=True, min_width=20, auto_scroll=True)
        yield Static(id="notice")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one("#instruments", OptionList).focus()
        self._stay_connected()
        self.set_interval(1.0, self._draw)

    # --- what the gateway tells

    @work(exclusive=True)
    async def _stay_connected(self) -> None:
        while True:
            try:
                self._client = await ControlClient.connect(self._directory)
            except NotRunning:
                self._nobody(f"No gateway runs on {self._directory}.", start=True)
            except NoGateway as error:
                self._nobody(f"{error}.", start=False)
            else:
                try:
                    await self._follow(self._client)
                except (NoGateway, Refused) as error:
                    self._nobody(f"{error}.", start=False)
                finally:
                    client, self._client = self._client, None
                    await client.close()
            await asyncio.sleep(_RETRY_S)

    async def _follow(self, client: ControlClient) -> None:
        log = self.query_one("#log", RichLog)
        log.clear()
        for line in (await client.ask(Subscribe()))["log"]:
            self._logged(LogEvent.model_validate(line))
        await self._watch()
        async for event in client.events():
            if isinstance(event, StatusEvent):
                self._status, self._told_s = event.status, time.monotonic()
                if self.screen.has_class("nobody"):
                    self.screen.remove_class("nobody")
                    self.query_one("#instruments", OptionList).focus()
                self._draw()
            elif isinstance(event, LogEvent):
                self._logged(event)
            elif isinstance(event, Words) and event.instrument == self._chosen:
                for piece in self._pieces.feed(event):
                    self._overheard.append(piece)
                    self._show(piece)

    def _nobody(self, why: str, *, start: bool) -> None:
        self._status = None
        self.screen.add_class("nobody")
        told = Text(f"{why}\n\n", style="bold")
        if start:
            told = Text.assemble(
                told,
                (f"Start one:\n\n    tidegate gateway run {self._config}\n\n", "not bold"),
                ("or, where it is a service:\n\n    sudo systemctl start tidegate-gateway\n\n", "not bold"),
                ("This screen goes on by itself as soon as one runs.", "not bold"),
            )
        self.query_one("#notice", Static).update(told)

    def _logged(self, event: LogEvent) -> None:
        mark, style = _LEVELS.get(event.level, (" ", ""))
        grid = Table.grid(padding=(0, 1))
        grid.add_row(utc(event.at_ns)[11:], Text(mark, style=style), Text(printable(event.text), style=style))
        self.query_one("#log", RichLog).write(grid, expand=True)

    def _show(self, piece: Words) -> None:
        log = self.query_one("#raw", RichLog)
        log.write(both_ways(piece, max(self.size.width - 4, 40), self._in_hex(piece)), expand=True)

    def _in_hex(self, piece: Words) -> bool:
        return not is_text(bytes.fromhex(piece.hex)) if self._hex is None else self._hex

    def _show_again(self) -> None:
        self.query_one("#raw", RichLog).clear()
        for piece in self._overheard:
            self._show(piece)

    async def _watch(self) -> None:
        """Listens in on the chosen instrument while its bytes are shown."""
        wanted = self._chosen if self.query_one("#panes", ContentSwitcher).current == "raw" else None
        self._pieces = Pieces()
        self._overheard.clear()
        self.query_one("#raw", RichLog).clear()
        if self._client is not None:
            with contextlib.suppress(Refused, NoGateway):
                await self._client.ask(Watch(instrument=wanted))

    # --- what is shown

    def _draw(self) -> None:
        status, width = self._status, self.size.width
        if status is None:
            return
        self.query_one("#head", Static).update(head(status, width, time.monotonic() - self._told_s))
        found = status.instruments
        self.query_one("#columns", Static).update(columns(found, width))
        order = sorted(found, key=lambda name: (judged(found[name]).rank, name))
        if self._chosen not in found:
            self._chosen = order[0] if order else None
        listed = self.query_one("#instruments", OptionList)
        if order != self._order:
            self._order = order
            with listed.prevent(OptionList.OptionHighlighted):
                listed.clear_options()
                listed.add_options([Option("", id=name) for name in order])
                listed.highlighted = order.index(self._chosen) if self._chosen else None
        for name in order:
            prompt = row(name, found[name], found, width, name == self._chosen)
            listed.replace_option_prompt(name, prompt)
        self._draw_pane()

    def _draw_pane(self) -> None:
        pane = self.query_one("#panes", ContentSwitcher).current
        name, width = self._chosen, self.size.width
        if pane == "log":
            title = "Log of the gateway"
        elif name is None:
            title = "No instruments: add one to the gateway's file"
        elif pane == "raw":
            title = f"{name}: on the line" + " " * 3 + "< heard   > said by the gateway   » typed"
        else:
            title = f"{name}: values and problems"
        self.query_one("#title", Static).update(Text(f" {title:<{width - 1}}"))
        if pane == "values" and name is not None and self._status is not None:
            told = details(name, self._status.instruments[name], width)
            self.query_one("#details", Static).update(told)

    async def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Another instrument was chosen."""
        if event.option_id is not None and event.option_id != self._chosen:
            self._chosen = event.option_id
            self._draw()
            await self._watch()

    async def action_pane(self, name: str) -> None:
        """Shows values, raw bytes or the log."""
        panes = self.query_one("#panes", ContentSwitcher)
        if panes.current != name:
            panes.current = name
            await self._watch()
            self._draw_pane()

    def action_hex(self) -> None:
        """Bytes the other way: as text, or in hexadecimal."""
        self._hex = not self._in_hex(self._overheard[-1]) if self._overheard else not self._hex
        self._show_again()

    def action_alone(self) -> None:
        """The lower part fills the screen, or no longer."""
        self.screen.toggle_class("alone")
        self.query_one("#instruments", OptionList).focus()

    def action_scroll(self, pages: int) -> None:
        """Moves through the lower part."""
        current = self.query_one("#panes", ContentSwitcher).visible_content
        if current is not None:
            current.scroll_relative(y=pages * max(current.size.height - 1, 1), animate=False)

    def on_resize(self) -> None:
        """Drawn for the new width."""
        self._draw()
        self._show_again()


class _Log(RichLog, can_focus=False):
    """Lines that follow their end unless one has scrolled back."""


class _Instruments(OptionList):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "cursor_down", "Choose", key_display="↑↓"),
        Binding("up", "cursor_up", show=False),
    ]
