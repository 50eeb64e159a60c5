"""The feed: changes in long form against a plain loop, snapshots against a plain model and across corrections."""

import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from central.changes import Change, Op
from central.feed import (
    CHANGES,
    FeedError,
    Snapshot,
    changes_table,
    snapshot,
    snapshot_from_arrow,
    snapshot_to_arrow,
    snapshot_to_netcdf,
    to_arrow,
    to_ndjson,
)
from central.store import StoreError, Stream
from central.store.duckdb import DuckDBStore
from tests.central.store.generated import ADCP, CTD, SECOND, T0, Model, logs, make_change
from tidegate.clock import NAT, isoformat
from tidegate.frame import Field, Missing, Schema

EAST, ECHO, HEADING = (f.name for f in ADCP.fields)
TEMPERATURE = "sea_water_temperature"
NAVIGATION = Schema("navigation", (Field.of("latitude"), Field.of("longitude")))


def temperatures(op: Op, seconds: list[float], values: list[float], platform: str = "hainan") -> Change:
    return make_change(
        op,
        platform,
        "ctd-1",
        Schema("ctd", (Field.of(TEMPERATURE),)),
        [T0 + round(s * SECOND) for s in seconds],
        {TEMPERATURE: values},
    )


# --- changes ----------------------------------------------------------------------------------------------------------


def plainly(log: list[tuple[int, Change]]) -> Iterator[dict[str, Any]]:
    """The long form, one value at a time; times in ns."""
    for cursor, change in log:
        frame = change.frame
        for f in frame.schema.fields:
            for i, time_ns in enumerate(frame.time.tolist()):
                for cell in range(frame.schema.width(f)):
                    at: Any = (i, cell) if f.profile else i
                    why = int(frame.missing(f.name)[at])
                    yield {
                        "cursor": cursor,
                        "op": change.op.name.lower(),
                        "platform": change.platform,
                        "instrument": frame.instrument,
                        "parameter": f.name,
                        "unit": f.unit,
                        "cell": cell + 1 if f.profile else None,
                        "time": None if time_ns == NAT else time_ns,
                        "value": None if why else float(frame.columns[f.name][at]),
                        "flag": int(change.flags[f.name][at]),
                        "reason": Missing(why).name.lower() if why else None,
                        "made": change.stages.made_ns,
                        "received": change.stages.received_ns,
                        "journaled": change.stages.journaled_ns,
                        "processed": change.stages.processed_ns,
                        "epoch": change.epoch,
                        "seq": change.seq,
                    }


def in_ns(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    columns = [c.cast(pa.int64()) if pa.types.is_timestamp(c.type) else c for c in batch.columns]
    rows: list[dict[str, Any]] = pa.record_batch(columns, names=batch.schema.names).to_pylist()
    return rows


@settings(max_examples=25, derandomize=True, deadline=None)
@given(log=logs())
def test_the_long_form_has_every_value_of_every_change_in_order(log: list[tuple[int, Change]]) -> None:
    batch = changes_table(log)
    expected = list(plainly(log))
    assert batch.schema == CHANGES
    assert in_ns(batch) == expected
    with pa.ipc.open_stream(to_arrow(batch)) as reader:
        assert [row for part in reader for row in in_ns(part)] == expected
    stamps = ("time", "made", "received", "journaled", "processed")
    assert [json.loads(line) for line in to_ndjson(batch).splitlines()] == [
        {name: isoformat(value) if name in stamps else value for name, value in row.items()} for row in expected
    ]


def test_a_time_that_nobody_knows_is_null() -> None:
    batch = changes_table([(1, replace(temperatures(Op.INSERT, [0], [1.0]), frame=_timeless()))])
    assert batch["time"].to_pylist() == [None]
    assert json.loads(to_ndjson(batch))["time"] is None


def _timeless() -> Any:
    frame = temperatures(Op.INSERT, [0], [1.0]).frame
    return replace(frame, time=np.array([NAT]))


def test_ndjson_has_no_number_that_json_does_not_know() -> None:
    batch = changes_table([(1, temperatures(Op.INSERT, [0, 1, 2], [np.inf, 1e-9, -0.0]))])
    assert [json.loads(line)["value"] for line in to_ndjson(batch).splitlines()] == [None, 1e-9, 0.0]


def test_many_lines_of_ndjson_are_all_there() -> None:
    n = 45_000
    lines = to_ndjson(changes_table([(1, temperatures(Op.INSERT, list(range(n)), list(range(n))))])).splitlines()
    assert [json.loads(line)["value"] for line in lines] == list(range(n))


# --- snapshots --------------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckDBStore]:
    opened = DuckDBStore(tmp_path / "archive.duckdb")
    yield opened
    opened.close()


@settings(max_examples=25, derandomize=True, deadline=None)
@given(log=logs(), data=st.data())
def test_a_snapshot_holds_the_last_sample_of_each_step_as_known_then(
    log: list[tuple[int, Change]], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = DuckDBStore(Path(folder) / "a.duckdb")
        store.write(log)
        streams = [*store.streams(), Stream("nowhere", "ctd-1", TEMPERATURE)]
        as_of = data.draw(st.integers(0, store.cursor()))
        start_ns = T0 + data.draw(st.integers(-3, 6)) * SECOND + data.draw(st.integers(0, 9))
        step_ns = data.draw(st.sampled_from([SECOND // 2, SECOND, 3 * SECOND, SECOND + 3]))
        end_ns = start_ns + data.draw(st.integers(0, 6)) * SECOND
        snap = snapshot(store, streams, start_ns, end_ns, step_ns / 1e9, as_of)
        model = Model.after(log, as_of)
        stations = [(s.platform, s.instrument) for s in snap.stations]
        assert stations == sorted({(s.platform, s.instrument) for s in streams})
        assert snap.time.tolist() == list(range(start_ns, end_ns + 1, step_ns))
        for name, v in snap.variables.items():
            arrays = [a.reshape(len(stations), len(snap.time), -1) for a in (v.value, v.mask, v.flag, v.age_s)]
            for i, station in enumerate(stations):
                rows = model.known.get(Stream(*station, name), {})
                for k, at_ns in enumerate(snap.time.tolist()):
                    inside = [t for t in rows if at_ns - step_ns < t <= at_ns]
                    value, mask, flag, age_s = (a[i, k].tolist() for a in arrays)
                    if not inside:
                        assert (set(mask), set(flag), np.isnan(age_s).all()) == ({True}, {9}, True)
                        continue
                    values, flags, _ = rows[max(inside)]
                    assert [None if m else x for x, m in zip(value, mask, strict=True)] == list(values)
                    assert flag == list(flags)
                    assert set(age_s) == {(at_ns - max(inside)) / 1e9}
        store.close()


@settings(max_examples=10, derandomize=True, deadline=None)
@given(log=logs(), data=st.data())
def test_a_snapshot_of_an_older_cursor_is_the_same_bytes_whatever_came_after(
    log: list[tuple[int, Change]], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = DuckDBStore(Path(folder) / "a.duckdb")
        cut = data.draw(st.integers(0, len(log)))
        store.write(log[:cut])
        streams = [*store.streams(), Stream("nowhere", "ctd-1", TEMPERATURE)]
        then = snapshot(store, streams, T0, T0 + 8 * SECOND, 1.0)
        assert then.as_of == store.cursor()
        arrow, netcdf = snapshot_to_arrow(then), snapshot_to_netcdf(then)
        store.write(log[cut:])
        store.close()
        store = DuckDBStore(Path(folder) / "a.duckdb")
        again = snapshot(store, streams, T0, T0 + 8 * SECOND, 1.0, then.as_of)
        assert snapshot_to_arrow(again) == arrow
        assert snapshot_to_netcdf(again) == netcdf
        assert_same(snapshot_from_arrow(arrow), then)
        store.close()


def assert_same(a: Snapshot, b: Snapshot) -> None:
    assert (a.as_of, a.time.tolist(), a.step_ns, a.left_out) == (b.as_of, b.time.tolist(), b.step_ns, b.left_out)
    assert repr(a.stations) == repr(b.stations)  # by repr, for NaN is not NaN
    assert list(a.variables) == list(b.variables)
    for name, v in a.variables.items():
        w = b.variables[name]
        assert (v.unit, v.cells) == (w.unit, w.cells)
        for one, other in ((v.value, w.value), (v.mask, w.mask), (v.flag, w.flag), (v.age_s, w.age_s)):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


def test_netcdf_bears_no_stamp_of_when_it_was_written(store: DuckDBStore) -> None:
    store.write([(1, temperatures(Op.INSERT, list(range(3000)), [10.0] * 3000))])
    snap = snapshot(store, store.streams(), T0, T0 + 3000 * SECOND, 1.0)
    first = snapshot_to_netcdf(snap)
    time.sleep(1.1)  # HDF5 stamps objects in whole seconds
    assert snapshot_to_netcdf(snap) == first


def test_a_sample_on_the_grid_time_is_of_that_time_and_one_just_after_of_the_next(store: DuckDBStore) -> None:
    store.write([(1, temperatures(Op.INSERT, [-1, -0.5, 0, 0.25, 0.75, 2], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))])
    v = snapshot(store, store.streams(), T0, T0 + 2 * SECOND, 1.0).variables[TEMPERATURE]
    assert v.value.tolist() == [[3.0, 5.0, 6.0]]
    assert v.age_s.tolist() == [[0.0, 0.25, 0.0]]
    lone = snapshot(store, store.streams(), T0 - SECOND // 4, T0 - SECOND // 4, 1.0).variables[TEMPERATURE]
    assert (lone.value.tolist(), lone.age_s.tolist()) == ([[2.0]], [[0.25]])


def test_corrections_and_retractions_show_only_from_their_cursor_on(store: DuckDBStore) -> None:
    store.write(
        [
            (10, temperatures(Op.INSERT, [0, 1], [1.0, 2.0])),
            (20, temperatures(Op.CORRECT, [0], [1.5])),
            (30, temperatures(Op.RETRACT, [1], [2.0])),
        ]
    )

    def values(as_of: int | None) -> list[float | None]:
        v = snapshot(store, store.streams(), T0, T0 + SECOND, 1.0, as_of).variables[TEMPERATURE]
        return [None if m else x for x, m in zip(v.value[0].tolist(), v.mask[0].tolist(), strict=True)]

    assert [values(c) for c in (9, 10, 19, 20, 29, 30, None)] == [
        [None, None],
        [1.0, 2.0],
        [1.0, 2.0],
        [1.5, 2.0],
        [1.5, 2.0],
        [1.5, None],
        [1.5, None],
    ]
    with pytest.raises(StoreError, match="cursor 31"):
        values(31)


def test_other_units_and_other_cells_are_left_out_by_name(store: DuckDBStore) -> None:
    kelvin = Schema("ctd", (Field(TEMPERATURE, "K", 1e-4),))
    assert ADCP.cells is not None
    wide = replace(ADCP, cells=replace(ADCP.cells, count=4, size_m=2.0))

    def profile(schema: Schema, at_ns: int, count: int) -> Change:
        return make_change(
            Op.INSERT, "p", "adcp", schema, [at_ns], {EAST: [0.5] * count, ECHO: [7] * count, HEADING: [1.0]}
        )

    store.write(
        [
            (1, temperatures(Op.INSERT, [0], [20.0])),
            (2, make_change(Op.INSERT, "p", "ctd-1", kelvin, [T0], {TEMPERATURE: [293.15]})),
            (3, profile(ADCP, T0, 3)),
            (4, profile(wide, T0 + SECOND, 4)),
        ]
    )
    snap = snapshot(store, store.streams(), T0, T0 + SECOND, 1.0)
    assert snap.variables[TEMPERATURE].unit == "degC"
    assert snap.variables[TEMPERATURE].mask.tolist() == [[False, True], [True, True], [True, True]]
    east = snap.variables[EAST]
    assert east.value.shape == (3, 2, 4)
    assert east.cells == (None, wide.cells, None)
    assert east.mask[1].tolist() == [[True] * 4, [False] * 4]
    assert sorted(snap.left_out) == [
        f"1 samples of p/adcp/{EAST} have {ADCP.cells}",
        f"1 samples of p/adcp/{ECHO} have {ADCP.cells}",
        f"1 samples of p/ctd-1/{TEMPERATURE} are in 'K'",
    ]
    with netCDF4.Dataset("x.nc", memory=snapshot_to_netcdf(snap)) as file:
        assert file.left_out.count("\n") == 2


def test_a_point_beside_a_profile_has_one_cell(store: DuckDBStore) -> None:
    point = Schema("current_meter", (Field.of(EAST),))
    store.write(
        [
            (1, make_change(Op.INSERT, "p", "rcm", point, [T0], {EAST: [0.25]})),
            (
                2,
                make_change(
                    Op.INSERT, "p", "adcp", ADCP, [T0], {EAST: [1.0, 2.0, 3.0], ECHO: [1, 2, 3], HEADING: [0.0]}
                ),
            ),
        ]
    )
    v = snapshot(store, store.streams(), T0, T0, 1.0).variables[EAST]
    assert np.nan_to_num(v.value, nan=-1.0).tolist() == [[[1.0, 2.0, 3.0]], [[0.25, -1.0, -1.0]]]
    assert v.cells == (ADCP.cells, None)
    assert np.nan_to_num(v.age_s, nan=-1.0).tolist() == [[[0.0, 0.0, 0.0]], [[0.0, -1.0, -1.0]]]


def test_a_station_is_where_it_was_told_to_be_or_where_its_ship_was_last(store: DuckDBStore) -> None:
    def fix(second: int, latitude: float, longitude: float, flag: int = 1) -> Change:
        return make_change(
            Op.INSERT,
            "ship-9",
            "gnss",
            NAVIGATION,
            [T0 + second * SECOND],
            {"latitude": [latitude], "longitude": [longitude]},
            flags={"latitude": [flag], "longitude": [1]},
        )

    store.write(
        [
            (1, temperatures(Op.INSERT, [1], [20.0])),
            (2, temperatures(Op.INSERT, [1], [20.0], "ship-9")),
            (3, temperatures(Op.INSERT, [1], [20.0], "drifter")),
            (4, fix(1, 10.0, 110.0)),
            (5, fix(2, 10.5, 110.5)),
            (6, fix(3, 89.0, 110.5, flag=4)),
            (7, fix(9, 11.0, 111.0)),
        ]
    )
    streams = [s for s in store.streams() if s.parameter == TEMPERATURE]
    snap = snapshot(store, streams, T0, T0 + 4 * SECOND, 1.0, positions={"hainan": (18.2, 109.5)})
    found = {s.platform: (s.latitude, s.longitude) for s in snap.stations}
    assert found["hainan"] == (18.2, 109.5)
    assert found["ship-9"] == (10.5, 110.5)
    assert np.isnan(found["drifter"]).all()
    early = snapshot(store, streams, T0, T0 + 4 * SECOND, 1.0, as_of=4)
    assert {s.platform: s.latitude for s in early.stations}["ship-9"] == 10.0


@pytest.mark.parametrize(
    ("start_ns", "end_ns", "step_s", "message"),
    [
        (T0, T0 - 1, 1.0, "no grid"),
        (T0, T0 + SECOND, 0.0, "must be positive"),
        (T0, T0 + SECOND, -1.0, "must be positive"),
        (T0, T0 + 10**9 * SECOND, 1.0, "shorter time"),
    ],
)
def test_impossible_grids_are_refused(
    store: DuckDBStore, start_ns: int, end_ns: int, step_s: float, message: str
) -> None:
    with pytest.raises(FeedError, match=message):
        snapshot(store, [Stream("p", "i", TEMPERATURE)], start_ns, end_ns, step_s)


def test_nothing_asked_and_nothing_ours(store: DuckDBStore) -> None:
    with pytest.raises(FeedError, match="at least one"):
        snapshot(store, [], T0, T0, 1.0)
    with pytest.raises(FeedError, match="not a snapshot"):
        snapshot_from_arrow(to_arrow(changes_table([])))


def test_netcdf_is_read_by_others_and_keeps_to_cf(store: DuckDBStore) -> None:
    count = 5
    store.write(
        [
            (
                1,
                make_change(
                    Op.INSERT,
                    "hainan",
                    "ctd-1",
                    CTD,
                    [T0 + i * SECOND - 250_000_000 for i in range(count)],
                    {
                        TEMPERATURE: [20.0, 20.1, np.nan, 20.3, 20.4],
                        "sea_water_electrical_conductivity": [4.0] * count,
                        "sample_number": range(count),
                    },
                    flags={TEMPERATURE: [1, 3, 1, 4, 1]},
                ),
            ),
            (2, make_change(Op.INSERT, "hainan", "adcp", ADCP, [T0], {EAST: [1, 2, 3], ECHO: [1, 2, 3], HEADING: [0]})),
        ]
    )
    streams = store.streams()
    snap = snapshot(store, streams, T0, T0 + 4 * SECOND, 1.0, positions={"hainan": (18.2, 109.5)})
    with netCDF4.Dataset("x.nc", memory=snapshot_to_netcdf(snap)) as file:
        assert file.Conventions == "CF-1.11"
        names = netCDF4.chartostring(file["station_name"][:]).tolist()
        assert names == ["hainan/adcp", "hainan/ctd-1"]
        assert file["station_name"].cf_role == "timeseries_id"
        second: Any = netCDF4.num2date(np.array([file["time"][1]]), file["time"].units, file["time"].calendar)
        assert str(second[0]) == "2024-07-03 09:46:41"
        temperature = file[TEMPERATURE]
        assert temperature.standard_name == TEMPERATURE
        assert np.ma.getmaskarray(temperature[1]).tolist() == [False, False, True, False, False]
        assert temperature[1].compressed().tolist() == [20.0, 20.1, 20.3, 20.4]
        flag = file[f"{TEMPERATURE}_flag"]
        assert flag[1].tolist() == [1, 3, 9, 4, 1]
        assert dict(zip(flag.flag_values.tolist(), flag.flag_meanings.split(), strict=True)) == {
            1: "pass",
            2: "not_evaluated",
            3: "suspect",
            4: "fail",
            9: "missing",
        }
        assert file[f"{TEMPERATURE}_age"][1].tolist() == [0.25] * 5
        assert file[f"{EAST}_distance"][0].tolist() == [2.5, 3.5, 4.5]
        assert file[f"{EAST}_looks"][:].tolist() == [1, -1]
        assert not hasattr(file, "featureType")  # CF has none for scalars beside profiles
        for variable in file.variables.values():
            named = [
                *getattr(variable, "coordinates", "").split(),
                *getattr(variable, "ancillary_variables", "").split(),
            ]
            assert [n for n in named if n not in file.variables] == []
            assert all(set(file[n].dimensions) <= {*variable.dimensions, "station_strlen"} for n in named)
            assert variable.name in ("station_name",) or hasattr(variable, "units") or hasattr(variable, "flag_values")
    scalars = snapshot(store, [s for s in streams if s.instrument == "ctd-1"], T0, T0 + 4 * SECOND, 1.0)
    with netCDF4.Dataset("x.nc", memory=snapshot_to_netcdf(scalars)) as file:
        assert file.featureType == "timeSeries"
