"""The screen at 80 columns and 24 lines, on a real gateway with real instruments; and its words one by one."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from textual.pilot import Pilot

from drivers.simulators.workhorse import WorkhorseSimulator
from gateway import control, screen
from gateway.config import load
from gateway.console import Words
from gateway.health import (
    ClockStatus,
    DiskStatus,
    FieldStatus,
    InstrumentStatus,
    LinkStatus,
    ProblemStatus,
    Status,
)
from gateway.run import Gateway
from gateway.screen import (
    Pieces,
    Top,
    both_ways,
    cadence,
    columns,
    details,
    evenly,
    fitting,
    head,
    hexdump,
    judged,
    row,
    span,
    sparkline,
)
from tests.gateway.counting import Pty, sentence
from tests.gateway.stations import CTD, GAUGE, RADAR, simulated, station, until, written
from tests.servers import mosquitto

ADCP = ("adcp", "trdi_pd0", 1.0, '{ serial = "ports/adcp" }')


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway tells its state, and is looked for, more often than each second."""
    monkeypatch.setattr(control, "_STATUS_EVERY_S", 0.2)
    monkeypatch.setattr(screen, "_RETRY_S", 0.1)


def lines(app: Top) -> list[str]:
    """What stands on the screen, line by line."""
    return [strip.text.rstrip() for strip in app.screen._compositor.render_strips()]


async def speak(pty: Pty, data: bytes) -> None:
    """Says it twice a second."""
    while True:
        pty.say(data)
        await asyncio.sleep(0.5)


async def seen(pilot: Pilot[Any], *wanted: str, within_s: float = 8.0) -> list[str]:
    """The screen, once all of these words stand on it."""
    end_s = time.monotonic() + within_s
    while True:
        await pilot.pause(0.05)
        text = lines(pilot.app)  # type: ignore[arg-type]  # ours
        if all(any(word in line for line in text) for word in wanted):
            return text
        assert time.monotonic() < end_s, "\n".join([f"no {wanted} in", *text])


def found(text: list[str], word: str) -> int:
    """The line on which the word stands first."""
    return next(k for k, line in enumerate(text) if word in line)


async def test_a_station_at_a_glance(tmp_path: Path) -> None:
    with mosquitto() as broker:
        config = written(tmp_path, CTD, RADAR, ADCP, GAUGE, broker=broker.port)
        gauge = Pty(tmp_path / "ports/gauge")
        adcp = WorkhorseSimulator(interval_s=1)
        async with simulated(tmp_path, "ctd"), simulated(tmp_path, "adcp", adcp), station(config) as gateway:
            health = {name: a.health for name, a in gateway.instruments.items()}
            speaking = asyncio.create_task(speak(gauge, sentence(b"IIMTW,19.5,C") + b"$IIMTW,19.5,C*00\r\n"))
            await until(lambda: all(health[name].samples > 2 for name in ("ctd", "adcp")))
            app = Top(tmp_path / "station", config)
            async with app.run_test(size=(80, 24)) as pilot:
                text = await seen(pilot, "Link  ✓ linked", f"{broker.host}:{broker.port}", "✗ DOWN", "PROBLEM", "degC")
                assert max(map(len, text)) <= 80
                assert text[0].startswith(" jetty · Test jetty")
                assert text[0].endswith(" UTC")
                # the worst first
                at = [found(text, f" {name} ") for name in ("radar", "gauge", "adcp", "ctd")]
                assert at == sorted(at)
                assert text[at[0]].startswith("> radar       ✗ DOWN")
                assert "✓ good" in text[at[3]]
                assert "1/1 s" in text[at[3]]
                assert "S m-1" in text[at[3]]
                # of the one that is chosen, why
                assert any("refuses the connection" in line for line in text[at[3] :])
                await pilot.press("down")
                text = await seen(pilot, "gauge: values and problems", "!  checksum × ")
                assert text[at[1]].startswith("> gauge")
                assert any(line.split()[:3] == ["Temperature", "19.500", "degC"] for line in text)
                await pilot.press("down")
                text = await seen(pilot, "adcp: values and problems", "20 cells")
                await pilot.press("down")
                await seen(pilot, "ctd: values and problems", "Conductivity")
                # its bytes, as text and in hexadecimal, with what was decoded of them
                await pilot.press("r")
                text = await seen(pilot, r"\r\n", "Temperature 28.", "Pressure ")
                await pilot.press("x")
                text = await seen(pilot, "0d 0a", "..")
                assert max(map(len, text)) <= 80
                await pilot.press("up")
                await seen(pilot, "adcp: on the line", "East velocity", "bytes more")
                await pilot.press("f")
                text = await seen(pilot, "adcp: on the line")
                assert not any("INSTRUMENT" in line for line in text)
                await pilot.press("f", "l")
                text = await seen(pilot, "Log of the gateway", "radar: 127.0.0.1:9 refuses", "INSTRUMENT")
                assert text[-1].split()[:2] == ["↑↓", "Choose"]
                assert text[-1].endswith("q Quit")
                await pilot.press("q")
                await until(lambda: not app.is_running)
            assert not gateway.instruments["adcp"].listeners
            speaking.cancel()


async def test_it_says_when_no_gateway_runs_and_goes_on_when_one_does(tmp_path: Path) -> None:
    config = written(tmp_path, CTD, GAUGE)
    async with simulated(tmp_path, "ctd"):
        app = Top(tmp_path / "station", config)
        async with app.run_test(size=(80, 24)) as pilot:
            text = await seen(pilot, "No gateway runs on", "tidegate gateway run", "systemctl start")
            assert not any("INSTRUMENT" in line for line in text)
            for _ in range(2):
                stop = asyncio.Event()
                task = asyncio.create_task(Gateway(load(config)).run(stop))
                await seen(pilot, "INSTRUMENT", "degC")
                await pilot.press("down")
                await seen(pilot, "> ctd")
                await pilot.press("up")
                stop.set()
                await task
                await seen(pilot, "No gateway runs on")


# --- words ------------------------------------------------------------------------------------------------------------

NAMES = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,62}[a-z0-9]", fullmatch=True)
SECONDS = st.none() | st.floats(0.01, 8e7)
FIELDS = st.builds(
    FieldStatus,
    name=st.just("x"),
    label=st.text(max_size=40),
    unit=st.sampled_from(["degC", "S m-1", "1", "m s-1"]),
    text=st.sampled_from(["", "28.6582", "-0.331 to 0.441", "1234567"]),
    missing=st.just("invalid"),
    cells=st.sampled_from([0, 20]),
    trail=st.lists(st.none() | st.floats(-1e9, 1e9), max_size=60),
)
PROBLEMS = st.builds(
    ProblemStatus, kind=st.text(max_size=40), count=st.integers(1), ago_s=st.floats(0, 1e8), message=st.text()
)
INSTRUMENTS = st.builds(
    InstrumentStatus,
    driver=st.just("sbe37"),
    port=st.just("serial"),
    link=st.sampled_from(["up", "down", "stale", "starting"]),
    interval_s=SECONDS,
    every_s=SECONDS,
    heard_s=SECONDS,
    sample_s=SECONDS,
    samples=st.integers(0),
    problems=st.lists(PROBLEMS, max_size=2),
    fields=st.lists(FIELDS, max_size=4),
)


@settings(max_examples=40, derandomize=True, deadline=None)
@given(st.dictionaries(NAMES, INSTRUMENTS, min_size=1, max_size=3), st.integers(72, 200))
def test_a_row_has_its_width_and_every_column_begins_where_its_heading_does(
    instruments: dict[str, InstrumentStatus], width: int
) -> None:
    heading = columns(instruments, width)
    assert len(heading) <= width
    for name, i in instruments.items():
        text = row(name, i, instruments, width, False).plain
        assert len(text) <= width
        for what in ("STATE", "AGE", "EVERY/DUE", "VALUES"):
            at = heading.index(what)
            assert text[at - 1] == " "
            assert text[at] != " " or what == "VALUES"


@given(st.floats(0, 1e11))
def test_a_span_is_short(seconds: float) -> None:
    assert len(span(seconds)) <= 9
    assert seconds >= 8e7 or len(span(seconds)) <= 6


@pytest.mark.parametrize(
    ("every_s", "due_s", "text"),
    [
        (1.0, 1.0, "1/1 s"), (0.2, 1.0, "0.2/1 s"), (0.05, 0.05, ".05/.05 s"), (None, 10.0, "-/10 s"),
        (601.0, 600.0, "10/10 min"), (61.0, 60.0, "61/60 s"), (3600.0, 3600.0, "60/60 min"), (None, None, "-/- s"),
        (2e6, 604800.0, "23/7 d"),
    ],
)  # fmt: skip
def test_cadence(every_s: float | None, due_s: float | None, text: str) -> None:
    assert cadence(every_s, due_s) == text
    assert len(text) <= 9


def test_sparkline() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8) == "▁▂▃▄▅▆▇█"
    assert sparkline([9, 9, 0, None, 7], 3) == "▁ █"
    assert sparkline([5, 5], 9) == "▄▄"
    assert sparkline([None], 9) == sparkline([], 9) == ""
    assert evenly(list(range(20)), 5) == [0, 4, 8, 12, 16]
    assert evenly([1.0, 2.0], 5) == [1.0, 2.0]


def test_nothing_steers_the_terminal() -> None:
    said = Words(instrument="a", direction="ended", at_ns=0, hex=b"\x1b]0;gone\x07".hex(), decoded=("! x: \x1b[2J",))
    bad = ProblemStatus(kind="[red]", count=1, ago_s=1, message="\x1b[2J [/red]")
    console = Console(width=80)
    with console.capture() as captured:
        console.print(both_ways(said, 80, False), details("a", instrument(problems=[bad], reason="x [/y]"), 80))
    text = captured.get()
    assert "\x1b" not in text
    assert "\x07" not in text
    assert all(word in text for word in (r"! x: \x1b[2J", "[red] × 1", "[/red]", "x [/y]"))


def test_what_fits_is_whole() -> None:
    assert fitting(["one", "two", "three"], 9) == "one · two"
    assert fitting(["much too long"], 6) == "much …"


def instrument(link: str = "up", **more: Any) -> InstrumentStatus:
    """A good one, but for what is given."""
    good = {"driver": "d", "port": "p", "link": link, "interval_s": 10.0, "every_s": 10.0, "sample_s": 3, "samples": 9}
    return InstrumentStatus.model_validate(good | more)


@pytest.mark.parametrize(
    ("i", "word"),
    [
        (instrument("down"), "DOWN"),
        (instrument("stale"), "SILENT"),
        (instrument(sample_s=31), "NO DATA"),
        (instrument(sample_s=None, samples=0), "NO DATA"),
        (instrument(problems=[ProblemStatus(kind="noise", count=1, ago_s=20, message="")]), "PROBLEM"),
        (instrument(problems=[ProblemStatus(kind="noise", count=1, ago_s=99, message="")]), "good"),
        (instrument(every_s=16.0), "SLOW"),
        (instrument("starting", sample_s=None, samples=0), "waiting"),
        (instrument(), "good"),
    ],
)
def test_verdicts(i: InstrumentStatus, word: str) -> None:
    assert judged(i).word == word


def test_verdicts_are_ordered() -> None:
    order = ["down", "stale"]
    assert [judged(instrument(link)).rank for link in order] == [0, 1]
    assert judged(instrument()).rank == max(judged(instrument(link)).rank for link in ("down", "stale", "up"))


@pytest.mark.parametrize(
    ("link", "clock", "disk", "words"),
    [
        (
            {"connected": True},
            {"disciplined": True, "error_s": 0.012},
            {},
            ["✓ linked", "may be off by 12 ms", "✓ room"],
        ),
        ({"error": "refused", "backfill": 1234}, {}, {}, ["✗ NO LINK", "0 live, 1234 backfill", "! NO SYNC"]),
        ({}, {}, {"spool_bytes": 900}, ["! SPOOL", "spool 900 B of 1.0 kB"]),
        ({}, {}, {"free_bytes": 100}, ["! SMALL", "100 B free"]),
    ],
)
@pytest.mark.parametrize("width", [80, 132])
def test_the_head_says_it_in_words(
    link: dict[str, Any], clock: dict[str, Any], disk: dict[str, Any], words: list[str], width: int
) -> None:
    status = Status(
        platform="jetty",
        pid=1,
        started_ns=0,
        at_ns=10**18,
        link=LinkStatus.model_validate({"broker": "b.example:1883", "connected": False, "since_ns": 10**18} | link),
        clock=ClockStatus.model_validate({"disciplined": False} | clock),
        disk=DiskStatus.model_validate(
            {"directory": "/d", "raw_bytes": 0, "raw_limit": 1000, "spool_bytes": 0, "spool_limit": 1000} | disk
        ),
    )
    text = head(status, width, 0.0).plain
    assert all(len(line) <= width for line in text.splitlines())
    assert all(word in text for word in words)
    assert "the gateway has said nothing for 9 s" in head(status, width, 9.0).plain


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=300), st.sampled_from(["heard", "said"])), max_size=20))
def test_pieces_are_joined_and_none_is_lost(said: list[tuple[bytes, str]]) -> None:
    pieces = Pieces()
    told = [
        Words.model_validate({"instrument": "a", "direction": direction, "at_ns": 0, "hex": data.hex()})
        for data, direction in said
    ]
    out = [piece for words in told for piece in pieces.feed(words)] + pieces.flush()
    for direction in ("heard", "said"):
        wanted = "".join(words.hex for words in told if words.direction == direction)
        assert "".join(piece.hex for piece in out if piece.direction == direction) == wanted


def test_a_hexdump_reads_as_one() -> None:
    assert hexdump(b"abc\x00defghi", "<", 40) == ["< 61 62 63 00 64 65 66 67 abc.defg", "  68 69                   hi"]
    assert len(hexdump(bytes(32), "<", 80)) == 2
