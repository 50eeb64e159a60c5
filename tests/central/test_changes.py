import asyncio
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from central.changes import Change, ChangeLog, Flag, Op, Stages, _packed_flags
from tidegate.clock import Arrival, TimeSource
from tidegate.codec import CodecError, encode_frame, unpack
from tidegate.frame import MISSING_INT, Cells, Field, Frame, Missing, Schema

CTD = Schema("ctd", (Field("sea_water_temperature", "degC", 1e-4), Field("sample_count", "1", 1.0, integer=True)))
ADCP = Schema(
    "adcp",
    (Field("eastward_sea_water_velocity", "m s-1", 1e-3, profile=True), Field("pitch", "degree", 0.01)),
    Cells(5, 1.0, 0.5, True),
)


def ctd(start: int, n: int = 4) -> Frame:
    temperature = np.round(10 + np.arange(n) * 0.0123, 4)
    counts = np.arange(n, dtype=np.int64) + start
    if n > 2:
        temperature[1], counts[2] = np.nan, MISSING_INT
    reasons = np.where(np.isnan(temperature), np.uint8(Missing.UNREADABLE), np.uint8(0)).astype(np.uint8)
    return Frame(
        "ctd1",
        CTD,
        np.arange(n, dtype=np.int64) * 1_000_000_000 + start * 60_000_000_000,
        {"sea_water_temperature": temperature, "sample_count": counts},
        TimeSource.INSTRUMENT,
        Arrival(5_000, 6_000, "00" * 8, True),
        {"sea_water_temperature": reasons},
    )


def adcp(start: int, n: int = 3) -> Frame:
    return Frame(
        "adcp1",
        ADCP,
        np.arange(n, dtype=np.int64) + start,
        {
            "eastward_sea_water_velocity": np.round(np.arange(n * 5).reshape(n, 5) * 0.001 - start, 3),
            "pitch": np.round(np.arange(n) * 0.5, 2),
        },
    )


def change(frame: Frame, seq: int = 1, op: Op = Op.INSERT) -> Change:
    flags = {
        name: np.where(frame.missing(name) != 0, np.uint8(Flag.MISSING), np.uint8(1 + seq % 4)).astype(np.uint8)
        for name in frame.columns
    }
    return Change(op, "quay-3", frame, flags, Stages(1, 2, 3, 4), "ab" * 8, seq)


def same(a: Change, b: Change) -> None:
    assert (a.op, a.platform, a.stages, a.epoch, a.seq) == (b.op, b.platform, b.stages, b.epoch, b.seq)
    assert a.frame.instrument == b.frame.instrument
    assert a.frame.schema == b.frame.schema
    assert (a.frame.source, a.frame.arrival) == (b.frame.source, b.frame.arrival)
    np.testing.assert_array_equal(a.frame.time, b.frame.time)
    for name in a.frame.columns:
        np.testing.assert_array_equal(a.frame.columns[name], b.frame.columns[name])
        np.testing.assert_array_equal(a.frame.missing(name), b.frame.missing(name))
        np.testing.assert_array_equal(a.flags[name], b.flags[name])
        assert b.flags[name].dtype == np.uint8


def test_what_was_appended_is_read_before_and_after_a_restart(tmp_path: Path) -> None:
    given_changes = [change(ctd(1), 1), change(adcp(2), 2, Op.CORRECT), change(ctd(3, 1), 3), change(adcp(9, 1), 4)]
    with ChangeLog(tmp_path) as log:
        assert log.append(given_changes[:3], source=7) == 3
        assert (log.last, list(log.read())) == (0, [])  # nobody sees what a power cut could take back
        log.sync()
        assert log.append(given_changes[3:], source=8) == 4
        log.sync()
        assert log.last == 4
        for (cursor, got), number, expected in zip(log.read(), range(1, 5), given_changes, strict=True):
            assert cursor == number
            same(got, expected)
    with ChangeLog(tmp_path) as log:
        assert (log.last, log.source) == (4, 8)
        for (_, got), expected in zip(log.read(after=1), given_changes[1:], strict=True):
            same(got, expected)
        assert [cursor for cursor, _ in log.read(after=1, limit=2)] == [2, 3]
        assert list(log.read(after=4)) == []


def test_encoded_bytes_that_are_given_are_used(tmp_path: Path) -> None:
    frame = ctd(1)
    with ChangeLog(tmp_path) as log:
        log.append([change(frame)], packed={frame: encode_frame(frame)})
        log.sync()
    with ChangeLog(tmp_path) as log:
        same(next(log.read())[1], change(frame))


def test_a_batch_without_changes_takes_note_of_its_source_and_is_no_news(tmp_path: Path) -> None:
    with ChangeLog(tmp_path) as log:
        log.append([change(ctd(1))], source=3)
        log.append([], source=9)
        log.append([], source=9)
        log.sync()
        assert (log.last, log.source) == (1, 9)
        assert log.append([], source=5) == 1
        assert log.source == 9
    with ChangeLog(tmp_path) as log:
        assert (log.last, log.source) == (1, 9)
        assert [cursor for cursor, _ in log.read()] == [1]
        assert log.append([change(ctd(2))], source=10) == 3
        log.sync()
        assert [cursor for cursor, _ in log.read(after=1)] == [3]


def test_many_marks_do_not_hide_where_the_log_stands(tmp_path: Path) -> None:
    with ChangeLog(tmp_path) as log:
        log.append([change(ctd(1))], source=1)
        for source in range(2, 2500):
            log.append([], source=source)
    with ChangeLog(tmp_path) as log:
        assert (log.last, log.source) == (1, 2499)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 4), min_size=1, max_size=6),
    cut=st.floats(0, 1),
    flip=st.booleans(),
)
def test_a_cut_anywhere_leaves_whole_batches_only(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], cut: float, flip: bool
) -> None:
    folder = tmp_path_factory.mktemp("log")
    with ChangeLog(folder) as log:
        for source, size in enumerate(sizes, 1):
            log.append([change(ctd(source), seq=100 * source + i) for i in range(size)], source=source)
        log.sync()
    (segment,) = (folder / "log").glob("*.segment")
    data = segment.read_bytes()
    at = 32 + int(cut * (len(data) - 32))
    segment.write_bytes(data[:at] + (b"\xff" * 9 if flip else b""))
    for _ in range(2):
        with ChangeLog(folder) as log:
            source = log.source
            expected = [100 * s + i for s, size in enumerate(sizes, 1) for i in range(size) if s <= source]
            assert [c.seq for _, c in log.read()] == expected
    # The hub goes on from there, and in the end has each batch once and whole, in whatever numbers.
    with ChangeLog(folder) as log:
        for again, size in enumerate(sizes, 1):
            if again > log.source:
                log.append([change(ctd(again), seq=100 * again + i) for i in range(size)], source=again)
        log.sync()
    with ChangeLog(folder) as log:
        assert [c.seq for _, c in log.read()] == [100 * s + i for s, size in enumerate(sizes, 1) for i in range(size)]
        cursors = [cursor for cursor, _ in log.read()]
        assert cursors == sorted(set(cursors))
        assert log.source == len(sizes)
        assert log.last == (cursors[-1] if cursors else 0)


def test_recent_changes_are_the_same_decoded_as_held(tmp_path: Path) -> None:
    off_grid = ctd(1)
    off_grid.columns["sea_water_temperature"][0] = 10.000049
    with ChangeLog(tmp_path) as log:
        log.append([change(off_grid)])
        log.sync()
        ((_, held),) = log.read()
    with ChangeLog(tmp_path) as log:
        same(next(log.read())[1], held)


def test_readers_in_other_threads_see_each_change_once_in_order(tmp_path: Path) -> None:
    total, seen = 300, []
    with ChangeLog(tmp_path) as log:

        def follow() -> None:
            position, end_s = 0, time.monotonic() + 10
            while position < total and time.monotonic() < end_s:
                log.block(position, 5.0)
                for position, got in log.read(position, limit=7):  # noqa: B007, B020
                    seen.append(got.seq)

        reader = threading.Thread(target=follow)
        reader.start()
        for seq in range(1, total + 1, 3):
            log.append([change(ctd(i, 2), i) for i in range(seq, seq + 3)], source=seq)
            log.sync()
        reader.join(10)
        assert not reader.is_alive()
    assert seen == list(range(1, total + 1))


async def test_waiting_ends_with_news_with_time_and_with_the_log(tmp_path: Path) -> None:
    log = ChangeLog(tmp_path)
    assert not await log.wait(0, 0.01)

    async def tell() -> None:
        await asyncio.sleep(0.02)
        log.append([change(ctd(1))])
        await asyncio.to_thread(log.sync)

    async with asyncio.TaskGroup() as group:
        group.create_task(tell())
        assert await log.wait(0, 5.0)
        assert await log.wait(0, 0.0)
    waiting = asyncio.create_task(log.wait(1, 5.0))
    await asyncio.sleep(0)
    log.close()
    assert not await asyncio.wait_for(waiting, 1)


def test_a_cursor_outlives_the_process(tmp_path: Path) -> None:
    with ChangeLog(tmp_path) as log:
        log.append([change(ctd(1)), change(ctd(2))])
        log.sync()
        log.cursor("influx").commit(1)
    with ChangeLog(tmp_path) as log:
        assert log.cursor("influx").position == 1
        assert [cursor for cursor, _ in log.read(log.cursor("influx").position)] == [2]


@pytest.mark.parametrize("shape", [(1,), (2,), (70,), (1, 5), (40, 3)])
@pytest.mark.parametrize("flag", list(Flag))
def test_constant_flags_unpack_to_what_they_were(shape: tuple[int, ...], flag: Flag) -> None:
    column = np.full(shape, flag, np.uint8)
    packed = _packed_flags(column)
    assert len(packed) < 5
    np.testing.assert_array_equal(unpack(packed, (shape[0], column.size // shape[0])).reshape(shape), column)


def test_flags_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    good = change(ctd(1))
    with ChangeLog(tmp_path) as log:
        lacking = Change(good.op, "quay-3", good.frame, {}, good.stages)
        with pytest.raises(ValueError, match=r"quay-3/ctd1: flags and columns differ in sample_count, sea_water_temp"):
            log.append([good, lacking])
        crooked = {name: column[:-1] for name, column in good.flags.items()}
        with pytest.raises(ValueError, match="not shaped as its values"):
            log.append([Change(good.op, "quay-3", good.frame, crooked, good.stages)])
        log.sync()
        assert log.last == 0


def test_a_schema_that_has_gone_is_told_and_not_passed_over(tmp_path: Path) -> None:
    with ChangeLog(tmp_path) as log:
        log.append([change(ctd(1))])
    (tmp_path / "schemas" / f"{CTD.id.hex()}.json").write_text("{")
    with ChangeLog(tmp_path) as log:
        with pytest.raises(CodecError, match=r"record 1: ctd1: no birth describes schema"):
            list(log.read())
        log.append([change(ctd(2))])  # the schema is known again
        log.sync()
        assert [cursor for cursor, _ in log.read()] == [1, 2]
