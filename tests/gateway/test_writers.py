"""What `tidegate decode` writes, read back by other people's libraries: nothing lost, nothing filled in."""

import json
from pathlib import Path

import netCDF4
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.writers import About, NetcdfWriter, ParquetWriter, TableWriter, tables
from tidegate.clock import NAT, TimeSource
from tidegate.frame import MISSING_INT, Cells, Field, Frame, Missing, Schema

T, N, V = "sea_water_temperature", "sample_number", "eastward_sea_water_velocity"
CTD = Schema("ctd", (Field.of(T), Field.of(N)))
ABOUT = About("cast.hex", "sbe37", {"serial": "1234", "calibration": {"TA0": 1e-3}}, {"checksum": 2})
START = 1_700_000_000_123_456_789


def ctd(first: int, count: int) -> Frame:
    rows = np.arange(first, first + count)
    return Frame(
        "ctd",
        CTD,
        START + rows * 1_000_000_000,
        {T: np.where(rows % 3 == 1, np.nan, rows / 10), N: np.where(rows % 4 == 2, MISSING_INT, rows)},
        TimeSource.INSTRUMENT,
        reasons={T: np.where(rows % 3 == 1, Missing.INVALID, 0).astype(np.uint8)},
    )


def adcp(first: int, count: int, cells: int, first_m: float = 2.0) -> Frame:
    rows = np.arange(first, first + count)
    schema = Schema("adcp", (Field.of(V, profile=True), Field.of(T)), Cells(cells, first_m, 0.5, True))
    speed = rows[:, None] + np.arange(cells) / 1000
    return Frame("adcp", schema, START + rows, {V: speed, T: rows / 7}, TimeSource.ARRIVAL)


def written(writer: TableWriter, *frames: Frame) -> list[Path]:
    for frame in frames:
        writer.add(frame)
    made = writer.close(ABOUT)
    assert sorted(made) == sorted(writer._base.parent.iterdir()), "and nothing half written is left"
    return made


def test_netcdf_says_all_that_the_frames_did(tmp_path: Path) -> None:
    (path,) = written(NetcdfWriter(tmp_path / "cast.hex"), ctd(0, 5), ctd(5, 7))
    assert path.name == "cast.hex.ctd.nc"
    with netCDF4.Dataset(path) as file:
        assert file.Conventions == "CF-1.11"
        assert file.instrument_serial == "1234"
        assert json.loads(file.instrument_calibration) == {"TA0": 1e-3}
        assert file.problems == "checksum: 2"
        assert file.time_source == "instrument"
        rows = np.arange(12)
        assert file["time"].units == "nanoseconds since 1970-01-01T00:00:00Z"
        assert file["time"][:].tolist() == (START + rows * 1_000_000_000).tolist()
        assert file[T].units == "degC"
        assert file[T].standard_name == T
        assert file[T].ancillary_variables == f"{T}_missing"
        assert file[T][:].tolist() == [None if r % 3 == 1 else r / 10 for r in rows]
        assert file[N][:].tolist() == [None if r % 4 == 2 else r for r in rows]
        meanings = file[f"{T}_missing"].flag_meanings.split()
        assert [meanings[code] for code in file[f"{T}_missing"][:3]] == ["present", "invalid", "present"]
        assert [meanings[code] for code in file[f"{N}_missing"][:3]] == ["present", "present", "not_given"]


def test_profiles_of_changing_length_share_a_file_and_other_geometries_have_their_own(tmp_path: Path) -> None:
    frames = [adcp(0, 3, 4), adcp(3, 2, 6), adcp(5, 4, 4, first_m=2.5)]
    first, second = written(NetcdfWriter(tmp_path / "x"), *frames)
    assert [p.name for p in (first, second)] == ["x.adcp.nc", "x.adcp-2.nc"]
    with netCDF4.Dataset(first) as file:
        assert file["distance"][:].tolist() == [2.0, 2.5, 3.0, 3.5, 4.0, 4.5]
        assert "(up)" in file["distance"].long_name
        assert file[V].dimensions == ("time", "cell")
        assert file[V][:].mask.sum(axis=1).tolist() == [2, 2, 2, 0, 0]
        assert file[V][4].tolist() == [4.0, 4.001, 4.002, 4.003, 4.004, 4.005]
    with netCDF4.Dataset(second) as file:
        assert file[V].shape == (4, 4)


def test_parquet_says_the_same(tmp_path: Path) -> None:
    one, other = written(ParquetWriter(tmp_path / "x"), ctd(0, 5), adcp(0, 2, 3), adcp(2, 1, 2))
    table = pq.read_table(one)
    assert table["time"].cast("int64").to_pylist() == (START + np.arange(5) * 1_000_000_000).tolist()
    assert table[T].to_pylist() == [0.0, None, 0.2, 0.3, None]
    assert table[N].to_pylist() == [0, 1, None, 3, 4]
    assert table[f"{T}_missing"].to_pylist() == [0, Missing.INVALID, 0, 0, Missing.INVALID]
    assert table.schema.field(T).metadata[b"units"] == b"degC"
    assert table.schema.metadata[b"problems"] == b"checksum: 2"
    profiles = pq.read_table(other)
    assert profiles[V].to_pylist() == [[0.0, 0.001, 0.002], [1.0, 1.001, 1.002], [2.0, 2.001, None]]
    assert profiles.schema.metadata[b"first_cell_m"] == b"2.0"


@pytest.mark.parametrize("writer", [NetcdfWriter, ParquetWriter])
def test_samples_without_a_time_stay_and_have_none(tmp_path: Path, writer: type[TableWriter]) -> None:
    frame = ctd(0, 3)
    frame.time[1] = NAT
    (path,) = written(writer(tmp_path / "x"), frame)
    if writer is NetcdfWriter:
        with netCDF4.Dataset(path) as file:
            assert file["time"][:].mask.tolist() == [False, True, False]
    else:
        assert pq.read_table(path)["time"].cast("int64").to_pylist() == [START, None, START + 2_000_000_000]


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5), st.booleans()), max_size=6))
def test_a_table_has_every_value_of_its_frames_in_order(parts: list[tuple[int, int, bool]]) -> None:
    frames, at = [], 0
    for count, cells, profile in parts:
        frames.append(adcp(at, count, cells) if profile else ctd(at, count))
        at += count
    made = {table.kind: table for table in tables(frames)}
    for kind in ("adcp", "ctd"):
        own = [frame for frame in frames if frame.schema.kind == kind]
        if not own:
            assert kind not in made
            continue
        table = made[kind]
        assert table.time.tolist() == [t for frame in own for t in frame.time.tolist()]
        for name in own[0].columns:
            wanted = [row for frame in own for row in np.atleast_2d(frame.columns[name].T).T.tolist()]
            absent = [row for frame in own for row in np.atleast_2d(frame.missing(name).T).T.tolist()]
            for got, why, values, reasons in zip(table.columns[name], table.missing[name], wanted, absent, strict=True):
                width = len(values)
                found, told = np.atleast_1d(got), np.atleast_1d(why)
                decimals = own[0].schema.by_name[name].decimals
                np.testing.assert_array_equal(found[:width], np.round(values, decimals))
                assert told[:width].tolist() == reasons
                assert (told[width:] == Missing.NOT_GIVEN).all()
