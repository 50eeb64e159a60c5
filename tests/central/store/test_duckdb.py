"""The DuckDB archive against a plain model, through crashes, doubled batches and a full disk."""

import resource
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from central.changes import Change, Op
from central.store import StoreError, StoreUnavailable, Stream
from central.store.duckdb import DuckDBStore, Series, open_for_reading
from tests.central.store.generated import ADCP, CTD, SECOND, T0, Model, Row, logs, make_change

ALWAYS = (-(2**62), 2**62)
TEMPERATURE = Stream("hainan", "ctd-1", "sea_water_temperature")


def ctd(op: Op, seconds: list[int], temperature: list[float], platform: str = "hainan") -> Change:
    n = len(seconds)
    return make_change(
        op,
        platform,
        "ctd-1",
        CTD,
        [T0 + s * SECOND for s in seconds],
        {
            "sea_water_temperature": temperature,
            "sea_water_electrical_conductivity": [4.2] * n,
            "sample_number": range(n),
        },
    )


def as_rows(series: list[Series]) -> dict[Stream, dict[int, Row]]:
    found: dict[Stream, dict[int, Row]] = {}
    for s in series:
        assert (np.diff(s.time) > 0).all()
        assert (np.isnan(s.value) == (s.reason != 0)).all()
        for i, time_ns in enumerate(s.time.tolist()):
            value, flag, reason = (np.atleast_1d(a[i]).tolist() for a in (s.value, s.flag, s.reason))
            found.setdefault(s.stream, {})[time_ns] = (
                tuple(None if w else v for v, w in zip(value, reason, strict=True)),
                tuple(flag),
                tuple(reason),
            )
    return found


@settings(max_examples=15, derandomize=True, deadline=None)
@given(log=logs(), data=st.data())
def test_holds_what_was_known_at_every_cursor_however_batches_were_cut_and_doubled(
    log: list[tuple[int, Change]], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = DuckDBStore(Path(folder) / "a.duckdb")
        done = 0
        while done < len(log):
            # A batch may begin anywhere in what was written before, as after a crash of the follower.
            start = data.draw(st.integers(0, done))
            done = data.draw(st.integers(done + 1, len(log)))
            store.write(log[start:done])
            assert store.cursor() == log[done - 1][0]
            if data.draw(st.booleans()):
                store.close()
                store = DuckDBStore(Path(folder) / "a.duckdb")
        end = log[-1][0] if log else 0
        for as_of in {None, *data.draw(st.lists(st.integers(0, end), max_size=4))}:
            model = {s: rows for s, rows in Model.after(log, as_of).known.items() if rows}
            assert as_rows(store.read(store.streams(), *ALWAYS, as_of)) == model
        latest = {s: {max(rows): rows[max(rows)]} for s, rows in Model.after(log).known.items() if rows}
        assert as_rows(store.latest()) == latest
        assert store.count() == sum(len(c.frame) * len(c.frame.schema.fields) for _, c in log)
        store.close()
        store = DuckDBStore(Path(folder) / "a.duckdb")
        assert as_rows(store.latest()) == latest
        store.close()


def test_reads_half_open_spans_in_the_order_asked(tmp_path: Path) -> None:
    store = DuckDBStore(tmp_path / "a.duckdb")
    store.write([(1, ctd(Op.INSERT, [0, 1, 2, 3], [10.0, 11.0, 12.0, 13.0]))])
    number = TEMPERATURE._replace(parameter="sample_number")
    found = store.read([number, TEMPERATURE], T0 + SECOND, T0 + 3 * SECOND)
    assert [s.stream for s in found] == [number, TEMPERATURE]
    assert found[1].value.tolist() == [11.0, 12.0]
    assert found[1].form.unit == "degC"
    assert store.read([Stream("nowhere", "ctd-1", "depth")], *ALWAYS) == []


def test_of_samples_of_the_same_time_the_later_is_read_in_large_blocks_too(tmp_path: Path) -> None:
    store = DuckDBStore(tmp_path / "a.duckdb")
    n = 300_000
    time = np.repeat(np.arange(n // 4), 4)
    change = make_change(
        Op.INSERT,
        "hainan",
        "ctd-1",
        CTD,
        (T0 + time * SECOND).tolist(),
        {
            "sea_water_temperature": np.zeros(n),
            "sea_water_electrical_conductivity": np.zeros(n),
            "sample_number": np.arange(n),
        },
    )
    store.write([(1, change)])
    (series,) = store.read([TEMPERATURE._replace(parameter="sample_number")], *ALWAYS)
    assert series.value.tolist() == list(range(3, n, 4))
    assert store.latest()[0].value.tolist() == [n - 1]


def test_refuses_to_tell_the_future(tmp_path: Path) -> None:
    store = DuckDBStore(tmp_path / "a.duckdb")
    store.write([(5, ctd(Op.INSERT, [0], [10.0]))])
    with pytest.raises(StoreError, match=r"cursor 6.*stands at 5"):
        store.read([TEMPERATURE], *ALWAYS, as_of=6)
    with pytest.raises(ValueError, match="ascend"):
        store.write([(7, ctd(Op.INSERT, [0], [10.0])), (7, ctd(Op.INSERT, [0], [10.0]))])


def test_a_stream_whose_geometry_changes_is_read_in_parts(tmp_path: Path) -> None:
    store = DuckDBStore(tmp_path / "a.duckdb")
    assert ADCP.cells is not None
    wider = replace(ADCP, cells=replace(ADCP.cells, count=5))
    for cursor, schema, width in ((1, ADCP, 3), (2, wider, 5)):
        names = [f.name for f in schema.fields]
        store.write(
            [
                (
                    cursor,
                    make_change(
                        Op.INSERT,
                        "hainan",
                        "adcp",
                        schema,
                        [T0 + cursor],
                        {names[0]: range(width), names[1]: range(width), names[2]: [180.0]},
                    ),
                )
            ]
        )
    first, second = store.read([Stream("hainan", "adcp", ADCP.fields[0].name)], *ALWAYS)
    assert (first.value.tolist(), second.value.tolist()) == ([[0, 1, 2]], [[0, 1, 2, 3, 4]])
    assert second.form.cells == wider.cells


def test_readers_in_other_threads_see_whole_batches(tmp_path: Path) -> None:
    """Every batch has a value for each of two platforms; no reader may ever see one without the other."""
    store = DuckDBStore(tmp_path / "a.duckdb")
    other = TEMPERATURE._replace(platform="ship-9")
    torn: list[str] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            counts = {s.stream: len(s.time) for s in store.read([TEMPERATURE, other], *ALWAYS)}
            if counts.get(TEMPERATURE, 0) != counts.get(other, 0):
                torn.append(str(counts))

    readers = [threading.Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    for i in range(60):
        store.write(
            [
                (2 * i + 1, ctd(Op.INSERT, [i], [10.0])),
                (2 * i + 2, ctd(Op.INSERT, [i], [10.0], platform="ship-9")),
            ]
        )
    done.set()
    for reader in readers:
        reader.join()
    assert not torn
    assert len(store.read([other], *ALWAYS)[0].time) == 60


_WRITER = """
import sys
from tests.central.store.test_duckdb import DuckDBStore, Op, ctd
store = DuckDBStore(sys.argv[1])
for cursor in range(store.cursor() + 1, 1_000_000):
    store.write([(cursor, ctd(Op.INSERT, [cursor], [float(cursor)]))])
    print(cursor, flush=True)
"""


def test_a_killed_hub_finds_every_batch_that_was_written_and_its_cursor(tmp_path: Path) -> None:
    for _ in range(2):
        hub = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path / "a.duckdb")],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
        )
        assert hub.stdout is not None
        lines = [hub.stdout.readline() for _ in range(20)]
        hub.send_signal(signal.SIGKILL)
        told = int((hub.stdout.read().split() or lines)[-1])
        hub.wait()
        hub.stdout.close()
        store = DuckDBStore(tmp_path / "a.duckdb")
        assert store.cursor() in (told, told + 1)
        (series,) = store.read([TEMPERATURE], *ALWAYS)
        assert series.value.tolist() == [float(c) for c in range(1, store.cursor() + 1)]
        store.close()


def test_takes_up_again_after_a_full_disk(tmp_path: Path) -> None:
    store = DuckDBStore(tmp_path / "a.duckdb")
    store.write([(1, ctd(Op.INSERT, [0], [10.0]))])
    rng = np.random.default_rng(1)
    n = 40_000
    large = ctd(Op.INSERT, list(range(1, n + 1)), rng.normal(size=n).tolist())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        with pytest.raises(StoreUnavailable, match=r"a\.duckdb did not take changes 2 to 2.*disk is full"):
            store.write([(2, large)])
        assert store.cursor() == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    store.write([(2, large)])
    assert store.cursor() == 2
    assert len(store.read([TEMPERATURE], *ALWAYS)[0].time) == n + 1


def test_people_read_names_and_only_what_is_known_now(tmp_path: Path) -> None:
    path = tmp_path / "a.duckdb"
    with pytest.raises(StoreError, match="cannot open"):
        open_for_reading(path)
    store = DuckDBStore(path)
    store.write(
        [
            (1, ctd(Op.INSERT, [0, 1, 2], [10.0, 11.0, float("nan")])),
            (2, ctd(Op.CORRECT, [1], [11.5])),
            (3, ctd(Op.RETRACT, [0], [10.0])),
        ]
    )
    with pytest.raises(StoreError, match="While the hub runs, the file is its own"):
        open_for_reading(path)
    store.close()
    with open_for_reading(path) as connection:
        rows = connection.execute(
            "SELECT platform, instrument, unit, epoch_ns(time), value, flag, reason FROM measurements"
            " WHERE parameter = 'sea_water_temperature' ORDER BY time"
        ).fetchall()
        assert connection.execute("SELECT count(*) FROM profile_measurements").fetchone() == (0,)
    assert rows == [
        ("hainan", "ctd-1", "degC", T0 + SECOND, 11.5, 1, 0),
        ("hainan", "ctd-1", "degC", T0 + 2 * SECOND, None, 9, 1),
    ]
