"""`tidegate gateway try`: raw and decoded side by side, from real ports, through the running gateway, and of files."""

import asyncio
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from drivers import driver as drivers
from drivers.simulators.workhorse import WorkhorseSimulator
from gateway.cli import app
from gateway.config import load
from gateway.console import Refused
from gateway.trial import OURS, Value, lines_of, outside, profile, raw, spans, try_live, try_sample, values_of
from tests.gateway.counting import Pty, sentence
from tests.gateway.stations import GAUGE, RADAR, simulated, station, until, written
from tests.gateway.terminals import Terminal
from tidegate.clock import TimeSource
from tidegate.frame import Cells, Field, Frame, Missing, Schema

CTD = ("ctd", "sbe37", 1.0, '{ serial = "ports/ctd" }')
POLLED = ("ctd", "sbe37", 1.0, '{ serial = "ports/ctd" }\nsettings = { mode = "polled" }')
LINE = " 28.5696,  5.22159,    5.498, 24 Nov 2026, 02:17:52\n"


async def tried(folder: Path, instrument: str, for_s: float, capsys: pytest.CaptureFixture[str]) -> tuple[bool, str]:
    """(whether samples came, what was shown)."""
    loaded = load(folder / "station.toml")
    found = loaded.instruments[instrument]
    driver = drivers.load(found.driver)(instrument, found.settings)
    capsys.readouterr()
    good = await asyncio.wait_for(try_live(driver, found, loaded.storage.directory, for_s), 20)
    return good, capsys.readouterr().out


def sampled(name: str, sample: Path, capsys: pytest.CaptureFixture[str]) -> tuple[bool, str]:
    """The same of a file."""
    return try_sample(drivers.load(name)("it"), None, sample), capsys.readouterr().out


def temperatures(text: str) -> list[str]:
    return re.findall(r"Temperature +(-?[0-9.]+) degC", text)


def said(folder: Path, name: str) -> list[str]:
    """The temperatures in the simulator's account."""
    entries = [json.loads(line) for line in (folder / f"{name}.ledger").read_text().splitlines()]
    return [f"{e['values']['sea_water_temperature']:.4f}" for e in entries if "values" in e]


# ---- on the port -----------------------------------------------------------------------------------------------------


async def test_a_live_instrument(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, CTD)
    async with simulated(tmp_path, "ctd"):
        good, out = await tried(tmp_path, "ctd", 3.0, capsys)
    assert good
    shown = temperatures(out)
    assert len(shown) >= 2
    assert set(shown) <= set(said(tmp_path, "ctd"))
    assert "> GetCD\\r\\n" in out  # what the driver sent
    assert re.search(r"Pressure +[0-9.]+ dbar -20…12000", out)
    assert re.search(r"\d samples \(\d ctd\), 0 problems in \d s, one every 1 s \(interval_s = 1\)", out)
    assert max(map(len, out.splitlines())) <= 80
    assert not (tmp_path / "station").exists()  # nothing is kept


async def test_an_instrument_that_is_polled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, POLLED)
    async with simulated(tmp_path, "ctd"):
        good, out = await tried(tmp_path, "ctd", 3.0, capsys)
    assert good
    assert out.count("> TS") >= 2
    assert temperatures(out)


async def test_through_the_running_gateway(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = written(tmp_path, CTD)
    async with simulated(tmp_path, "ctd"), station(config) as gateway:
        health = gateway.instruments["ctd"].health
        await until(lambda: health.samples)
        before = health.samples
        good, out = await tried(tmp_path, "ctd", 2.5, capsys)
        assert health.samples >= before + 2
        assert not health.problems
        await until(lambda: not gateway.instruments["ctd"].listeners)
        # A file that was changed since then: what it makes of the same bytes, without a word to the instrument.
        written(tmp_path, ("ctd", "valeport", 1.0, '{ serial = "ports/ctd" }'))
        changed_good, changed = await tried(tmp_path, "ctd", 2.0, capsys)
        written(tmp_path, CTD, ("new", "rbr", 1.0, '{ serial = "ports/new" }'))
        with pytest.raises(Refused, match="does not know 'new'"):
            await tried(tmp_path, "new", 1.0, capsys)
        assert "gone" not in health.problems
    assert good
    assert "the running gateway has serial" in out
    assert set(temperatures(out)) <= set(said(tmp_path, "ctd"))
    assert temperatures(out)
    assert not changed_good
    assert "! syntax: begins as a sample and does not fit" in changed
    assert "gateway: Temperature " in changed
    assert "it runs with other settings" in " ".join(changed.replace("--", "").split())


async def test_what_to_do_where_nothing_comes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, GAUGE, ("away", "nmea0183", 1.0, '{ serial = "ports/away" }'), RADAR)
    pty = Pty(tmp_path / "ports/gauge")
    good, out = await tried(tmp_path, "gauge", 1.0, capsys)
    assert not good
    assert "→ nothing was heard on serial" in out
    assert "such instruments speak at 4800 8N1" in out
    assert "`tidegate gateway probe" in out
    good, out = await tried(tmp_path, "away", 1.0, capsys)
    assert not good
    assert "is not there: unplugged?" in " ".join(out.split())
    assert "1 × gone" in out
    assert "could not be opened" in " ".join(out.split())
    good, out = await tried(tmp_path, "radar", 1.0, capsys)
    assert not good
    assert "refuses the connection" in " ".join(out.split())
    pty.unplug()


async def test_a_stranger_is_recognised_and_its_problems_come_with_a_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, ("it", "rbr", 1.0, '{ serial = "ports/it" }'))
    pty = Pty(tmp_path / "ports/it")
    for heading in range(30):
        pty.say(sentence(b"HEHDT,%d.5,T" % heading))
    good, out = await tried(tmp_path, "it", 1.0, capsys)
    assert not good
    assert "$HEHDT,0.5,T*" in out
    assert "! unknown: " in out
    assert "→ no line that an RBR is known to print" in out
    assert re.search(r"\d+ × unknown", out)
    assert "'nmea0183' reads" in " ".join(out.split())
    pty.unplug()


async def test_ctrl_c_ends_with_the_account(tmp_path: Path) -> None:
    written(tmp_path, CTD)

    def watch(no_color: str) -> str:
        with Terminal(tmp_path, "try", "ctd", env={"NO_COLOR": no_color} if no_color else {}) as terminal:
            terminal.expect("Temperature ")
            terminal.interrupt()
            assert terminal.end() == 0
            return terminal.seen

    async with simulated(tmp_path, "ctd"):
        coloured = await asyncio.to_thread(watch, "")
        plain = await asyncio.to_thread(watch, "1")
    assert "samples (" in coloured or "1 sample (" in coloured
    assert re.search(r"\x1b\[[0-9;]*3[0-9]m", coloured)
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", plain)
    assert max(len(re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", line)) for line in plain.replace("^C", "").splitlines()) <= 80


# ---- of files and pasted text ----------------------------------------------------------------------------------------


def test_pasted_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = LINE + LINE.replace("5.22159", "5.2x159") + LINE.replace("28.5696", "88.5696")
    (tmp_path / "lines.txt").write_text(text)
    good, out = sampled("sbe37", tmp_path / "lines.txt", capsys)
    assert good
    assert out.count("2026-11-24 02:17:52.000 instrument, ctd") == 2
    assert "Temperature             28.5696 degC -5…45" in out
    assert "! Temperature     missing: implausible -5…45" in out
    assert "'5.2x159', which is no" in out
    assert "2 samples (2 ctd), 2 problems" in out
    with Terminal(tmp_path, "try", "--driver", "sbe37", "--sample", "-") as terminal:
        terminal.expect("paste what the instrument said")
        terminal.type(LINE.strip())
        terminal.end_of_input()
        terminal.expect("28.5696 degC")
        assert terminal.end() == 0


def test_a_profile_and_binary_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    simulator = WorkhorseSimulator(interval_s=1.0)
    start_ns = 1_790_000_000_000_000_000
    data = b"".join(simulator.tick(start_ns + k * 500_000_000) for k in range(7))
    (tmp_path / "adcp.bin").write_bytes(data)
    count = len(simulator.take_said())
    good, out = sampled("trdi_pd0", tmp_path / "adcp.bin", capsys)
    assert good
    assert f"{count} samples ({count} adcp in 20 cells" in out
    assert "7f 7f " in out
    assert re.search(r"East velocity +-?[0-9.]+…-?[0-9.]+ m s-1", out)
    assert re.search(r"[▁▂▃▄▅▆▇█]{6,12} +\d+/20 cells -?[0-9.]+ ", out)
    assert "values more" in out  # once all have been shown, the later ensembles say the chief ones
    assert max(map(len, out.splitlines())) <= 80


async def test_a_raw_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = written(tmp_path, CTD)
    async with simulated(tmp_path, "ctd"), station(config) as gateway:
        await until(lambda: gateway.instruments["ctd"].health.samples >= 2)
    good, out = sampled("sbe37", tmp_path / "station/raw", capsys)
    assert good
    assert len(temperatures(out)) >= 2
    assert set(temperatures(out)) <= set(said(tmp_path, "ctd"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nobody",), "has no instrument 'nobody'; it has: ctd"),
        ((), "name one of the file"),
        (("--driver", "rbr"), "give --sample"),
        (("ctd", "--set", "a=1"), "need --driver"),
        (("ctd", "--sample", "none.txt"), "none.txt: No such file"),
        (("--driver", "sbe37", "--set", "colums=a", "--sample", "-"), "did you mean 'columns'"),
        (("ctd", "--sample", "ports"), "no raw log"),
        (("--driver", "rbr", "--sample", "/dev/null"), "/dev/null is empty"),
        (("ctd", "none.toml"), "none.toml:1: cannot be read"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    written(tmp_path, CTD)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        done = CliRunner().invoke(app, ["try", *arguments])
    assert done.exit_code in (1, 2)
    assert told in " ".join(done.output.replace("│", " ").split())


# ---- in words --------------------------------------------------------------------------------------------------------

SCHEMA = Schema(
    "adcp",
    (
        Field.of("sea_water_temperature", resolution=0.01),
        Field.of("eastward_sea_water_velocity", profile=True),
        Field("my_own", "V", 0.1),
    ),
    Cells(4, 1.0, 1.0),
)


def frame(temperature: float, velocities: list[float], missing: int = 0) -> Frame:
    good = np.isfinite(velocities)
    return Frame(
        "it",
        SCHEMA,
        np.array([0]),
        {
            "sea_water_temperature": np.array([np.nan if missing else temperature]),
            "eastward_sea_water_velocity": np.array([velocities]),
            "my_own": np.array([1.5]),
        },
        TimeSource.INSTRUMENT,
        reasons={
            "sea_water_temperature": np.array([missing], np.uint8),
            "eastward_sea_water_velocity": np.where(good, 0, Missing.INVALID)[None].astype(np.uint8),
        },
    )


def test_what_lies_outside_is_marked() -> None:
    good = frame(28.5, [0.1, 0.2, np.nan, -0.1])
    temperature, velocity, own = values_of(good, 0)
    assert temperature == Value(" ", "Temperature", "28.50 degC", "-5…45")
    assert (velocity.mark, velocity.text) == (" ", "-0.100…0.200 m s-1")
    assert velocity.more
    assert velocity.more[0] == "▆█ ▁"
    assert velocity.more[1] == "3/4 cells 0.100 0.200 -…"
    assert own == Value(" ", "my own", "1.5 V", "")
    assert next(values_of(frame(99.0, [0.1] * 4), 0)).mark == "!"
    assert next(values_of(frame(0, [0.1] * 4, Missing.IMPLAUSIBLE), 0)).mark == "!"
    assert next(values_of(frame(0, [0.1] * 4, Missing.INVALID), 0)) == Value(
        "-", "Temperature", "missing: invalid", "-5…45"
    )
    assert not outside(good, SCHEMA.fields[1], 0)  # a cell without a value is none outside
    assert outside(frame(1.0, [0.1, 0.2, 99.0, 0.1]), SCHEMA.fields[1], 0)
    assert profile(good, SCHEMA.fields[1], 0)[0][2] == " "
    assert spans(SCHEMA.fields[2]) == ""


@given(st.binary(max_size=600), st.integers(10, 100))
@settings(max_examples=100, derandomize=True, deadline=None)
def test_raw_bytes_are_shown_within_their_column_and_steer_nothing(data: bytes, width: int) -> None:
    lines = raw(data, width).split("\n")
    assert all(len(line) <= max(width, len(f"… {len(data)} bytes in all")) for line in lines)
    assert all(line.isprintable() for line in lines)
    assert len(lines) <= 12


@given(
    st.lists(
        st.builds(
            Value,
            st.sampled_from("! -"),
            st.text("abc ", max_size=40),
            st.text("0123.-", max_size=30),
            st.text("0123…", max_size=14),
            st.none() | st.tuples(st.text("▁█", max_size=12), st.text("0123 ", max_size=60)),
        ),
        max_size=6,
    ),
    st.integers(44, 120),
)
@settings(max_examples=100, derandomize=True, deadline=None)
def test_values_stay_within_their_column(values: list[Value], width: int) -> None:
    lines = list(lines_of(values, width))
    assert all(len(line) <= width for _, line in lines)
    assert [mark for mark, _ in lines if mark != " "] == [v.mark for v in values if v.mark != " "]


def test_the_gateways_own_problems_have_remedies() -> None:
    assert {"gone", "silent", "poll_skipped", "driver_fault", "gateway_fault", "raw_log"} == OURS.keys()
