"""Instruments that speak ASCII, by patterns: shipped ones against other people's values, the language by its rules."""

import gzip
import json
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import gsw
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from drivers.ascii_pattern import AsciiPattern, Settings, shipped, shipped_pattern
from drivers.driver import Decoded, Problem, load
from drivers.modbus_map import ModbusMap
from drivers.pattern import CellsSpec, Checksum, FieldSpec, Pattern, Record
from drivers.recording import batches
from drivers.simulators.ascii_pattern import AsciiSimulator
from drivers.simulators.simulator import Mischief
from tests.drivers.decoded import frames, problems, samples
from tests.recordings import DATA, needs_recordings
from tidegate.clock import UNKNOWN, Arrival, TimeSource
from tidegate.frame import Missing, concatenate, rows

AT = Arrival(1_406_851_200_000_000_000, 5_000_000_000, "00" * 8, True)


def driver(pattern: Any, **more: Any) -> AsciiPattern:
    return AsciiPattern("it", Settings.model_validate({"pattern": pattern, **more}))


def own(line: str | list[str], fields: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    record: dict[str, Any] = {"line": line, **{k: more.pop(k) for k in ("checksum", "cells", "kind") if k in more}}
    return {"title": "one's own", "records": [record], "fields": fields or {}, **more}


def decoded(it: AsciiPattern, data: bytes) -> list[Decoded]:
    return it.feed(data, AT) + it.finish()


def values(it: AsciiPattern, line: bytes) -> dict[str, Any]:
    """What one good line says, without its time."""
    out = decoded(it, line + b"\r\n")
    assert not problems(out), out
    ((row,),) = ([*rows([frame])] for frame in frames(out))
    row.pop("time")
    return row


def kinds(it: AsciiPattern, data: bytes) -> list[str]:
    out = decoded(it, data)
    assert not frames(out), out
    return [kind for kind, _, _ in problems(out)]


# --- shipped patterns: lines of manuals and public recordings ---------------------------------------------------------

_GUV = b"080614 165956 .00024 3.576E-4 6.554E-4 -1.517E-3 1.099E-2 -5.338E-4 6.442E-8 5.456E-4 46.561 17.924"
_MET = b"MET,12.1,22,4.89,78.2,3.398632,-0.126934,-0.4755421,279.9002,279.3687,1006.409,5.00,76.1"
_PCO2 = (
    b"2014218.99930\t 2579.13\t   33.99\t 1018.14\t   45.93\t  349.65\t  345.74\t   14.69\t   14.73\t    0.00\t  Equil"
)

VECTORS: list[tuple[str, dict[str, Any], bytes, dict[str, Any]]] = [
    # The lines of cruise devices stand in OpenRVDAS, test_nmea_parser.py and its device definitions.
    (
        "knudsen",
        {},
        b"3.5kHz,5188.29,0,,,,1500,-39.836439,-37.847002",
        {
            "sea_floor_depth_below_transducer": 5188.29,
            "low_channel_valid": 0,
            "sea_floor_depth_below_transducer_high_frequency": None,
            "latitude": -39.836439,
            "longitude": -37.847002,
        },
    ),
    (
        "knudsen",
        {},
        b"$PKEL99,,,,12.0kHz,103.20,1,1500,-39.836439,-37.847002",
        {"sea_floor_depth_below_transducer": None, "sea_floor_depth_below_transducer_high_frequency": 103.2},
    ),
    (
        "tsg",
        {},
        b" 14.7989,  4.30728,  35.3236, 1506.416",
        {
            "sea_water_temperature": 14.7989,
            "sea_water_electrical_conductivity": 4.30728,
            "sea_water_practical_salinity": 35.3236,
            "speed_of_sound_in_sea_water": 1506.416,
        },
    ),
    ("tsg", {}, b" 14.7989,  4.30728,  35.3236", {"speed_of_sound_in_sea_water": None}),
    (
        "winch",
        {},
        b"\x0101RD,2014-08-07T00:26:52.402,UPPER WF,-104.,-0000000,-05689.4,3323",
        {"wire_tension": -104.0, "wire_speed_paying_out": 0.0, "wire_paid_out": -5689.4},
    ),
    (
        "winch",  # of R/V Armstrong
        {},
        b"01RD,2016-03-19T08:09:02.100,00001014,-0000061,000344.5,2837",
        {"wire_tension": 1014.0, "wire_speed_paying_out": -61.0, "wire_paid_out": 344.5},
    ),
    ("sbe38", {}, b"14.6480", {"sea_water_temperature": 14.648}),
    ("sound_velocity", {}, b" 1611.31", {"speed_of_sound_in_sea_water": 1611.31}),
    ("bgm3", {}, b"01:024557 00", {"gravimeter_counts": 24557, "gravimeter_error": 0}),
    (
        "hydrodas",
        {},
        b"12.16954 16.81086 198.6207 3877.931 -1 30.5 47 34.5 40",
        {"battery_voltage": 12.16954, "fluorometer_voltage": 198.6207, "sea_water_valve": -1, "flow_frequency_4": 40.0},
    ),
    (
        "engineering_nbp",
        {},
        b"12.25 19.70 507.5 569.0 240.5 -751.9 0 0 NAN NAN -11.5 -7.4",
        {"pump_flow_2": 569.0, "seismic_air_pressure": -751.9, "column_9": None, "freezer_temperature_2": -7.4},
    ),
    (
        "guv2511",
        {},
        _GUV,
        {"ground_voltage": 0.00024, "irradiance_305_nm": 0.01099, "irradiance_400_nm": 6.442e-08},
    ),
    (
        "pco2_ldeo",
        {},
        _PCO2,
        {"co2_analyser_voltage": 2579.13, "air_pressure_in_equilibrator": 1018.14, "gas_source": 1},
    ),
    ("mast_nbp", {}, _MET, {"air_temperature": 4.89, "air_pressure": 1006.409, "pyrgeometer_voltage": -0.4755421}),
    (
        "mast_nbp",
        {},
        b"MET,12.1,22,19.15,63.5,7.138004,-0.0766031,-0.404655",
        {"air_temperature": 19.15, "air_pressure": None},
    ),
    (
        "mast_nbp",
        {},
        b"PUS,\x02A,336,009.41,M,+344.63,+021.71,60,\x0301",
        {"relative_wind_from_direction": 336.0, "relative_wind_speed": 9.41, "device_status": 60},
    ),
    (
        "mast_nbp",
        {},
        b"SUS,\x02A,327,009.72,M,+344.09,+020.79,60,\x0304",
        {"relative_wind_speed": 9.72, "sonic_air_temperature": 20.79},
    ),
    # OOI, mi-instrument: the example lines of the drivers of PARAD, FLORT and DOSTA.
    ("satlantic_par", {}, b"SATPAR0229,10.01,2206748544,234", {"par_counts": 2206748544}),
    (
        "satlantic_par",
        {"coefficients": {"counts": {"scale": 2e-7, "dark": 2156748544}}},
        b"SATPAR0229,10.01,2206748544,234",
        {"downwelling_photosynthetic_photon_flux_in_sea_water": 10.0},
    ),
    (
        "eco_triplet",
        {"coefficients": {"chlorophyll": {"scale": 0.0121, "dark": 48}}},
        b"07/16/10\t05:27:02\t700\t4130\t695\t1018\t460\t4130\t525",
        {"mass_concentration_of_chlorophyll_in_sea_water": 11.737, "scattering_counts": 4130, "cdom_counts": 4130},
    ),
    # PME's own file in the test data of cioos-siooc/ocean-data-parser
    (
        "minidot",
        {},
        b"1623791700,+3.35,+23.776, +8.231,+0.995",
        {
            "battery_voltage": 3.35,
            "sea_water_temperature": 23.776,
            "mass_concentration_of_oxygen_in_sea_water": 8.231,
            "minidot_quality": 0.995,
        },
    ),
    # NCEI's description of the format whoi_par
    (
        "whoi_par",
        {},
        b"$ME, 445.969, 16.89, 14.499",
        {
            "surface_downwelling_photosynthetic_photon_flux_in_air": 445.969,
            "temperature_of_par_sensor": 16.89,
            "supply_voltage": 14.499,
        },
    ),
    # the line of the FLNTU below, split into those of its two sensors
    (
        "eco_fl",
        {"coefficients": {"chlorophyll": {"scale": 0.0121, "dark": 40}}},
        b"07/16/10\t05:27:02\t695\t44\t552",
        {"mass_concentration_of_chlorophyll_in_sea_water": 0.0484, "thermistor_counts": 552},
    ),
    ("eco_ntu", {}, b"07/16/10\t05:27:02\t700\t87\t552", {"turbidity_counts": 87}),
    ("eco_flntu", {}, b"07/16/10\t05:27:02\t695\t44\t700\t87\t552", {"chlorophyll_counts": 44, "turbidity_counts": 87}),
    (
        "aanderaa_optode",
        {},
        b"4831\t135\t302.636\t98.676\t16.112\t30.770\t30.770\t36.199\t5.429\t645.0\t736.8\t127.6",
        {
            "mole_concentration_of_dissolved_molecular_oxygen_in_sea_water": 302.636,
            "fractional_saturation_of_oxygen_in_sea_water": 98.676,
            "sea_water_temperature": 16.112,
        },
    ),
    (
        "aanderaa_optode",
        {},
        b"MEASUREMENT\t4831\t133\tO2Concentration[uM]\t2.453E+02\tAirSaturation[%]\t9.1E1\tTemperature[Deg.C]\t2.11E+01",
        {
            "mole_concentration_of_dissolved_molecular_oxygen_in_sea_water": 245.3,
            "fractional_saturation_of_oxygen_in_sea_water": 91.0,
            "sea_water_temperature": 21.1,
        },
    ),
    (
        "asimet",  # 20171114.metbk.log
        {},
        b"1012.88  74.475  12.260  277.2   24.32  11.890  3.7569   23.3    3.00    8.63  3.7569 12.50",
        {
            "air_pressure": 1012.88,
            "relative_humidity": 74.475,
            "air_temperature": 12.26,
            "surface_downwelling_longwave_flux_in_air": 277.2,
            "rain_gauge_level": 24.32,
            "sea_water_temperature": 11.89,
            "sea_water_electrical_conductivity": 3.7569,
            "surface_downwelling_shortwave_flux_in_air": 23.3,
            "wind_to_magnetic_east": 3.0,
            "wind_to_magnetic_north": 8.63,
        },
    ),
    (
        "asimet",
        {},
        b" 993.78  86.464  Na  351.5   -1.13  Na  Na    1.9    1.57    0.63  Na 12.50",
        {"air_pressure": 993.78, "air_temperature": None, "sea_water_temperature": None, "rain_gauge_level": -1.13},
    ),
    (
        "ysi",
        {"columns": ["temperature", "specific_conductivity", "salinity", "ph", "turbidity"]},
        b"06/23/08 14:12:01 24.51 50.20 32.9 7.81 -0.1",
        {
            "sea_water_temperature": 24.51,
            "sea_water_electrical_conductivity_at_reference_temperature": 5.02,
            "sea_water_ph_reported_on_nbs_scale": 7.81,
            "sea_water_turbidity": -0.1,
        },
    ),
    (
        "toa5",
        {"columns": ["battery_voltage", "air_temperature"]},
        b'"2012-01-01 00:00:00",12,12.3,"NAN"',
        {"sample_number": 12, "battery_voltage": 12.3, "air_temperature": None},
    ),
    (
        "csv",
        {"columns": ["depth", "_", "sea_water_temperature"], "separator": ";"},
        b"1.5;anything;21.8054",
        {"depth": 1.5, "sea_water_temperature": 21.8054},
    ),
]


@pytest.mark.parametrize(("name", "more", "line", "wanted"), VECTORS)
def test_a_line_of_a_manual_or_recording_is_read(
    name: str, more: dict[str, Any], line: bytes, wanted: dict[str, Any]
) -> None:
    got = values(driver(name, **more), line)
    assert {key: got[key] for key in wanted} == wanted


def test_every_shipped_pattern_has_a_vector_and_a_source() -> None:
    assert {name for name, *_ in VECTORS} == set(shipped())
    assert all(shipped_pattern(name).source or name == "csv" for name in shipped())


@pytest.mark.parametrize(
    ("name", "line", "iso"),
    [
        ("winch", VECTORS[4][2], "2014-08-07T00:26:52.402"),
        ("pco2_ldeo", _PCO2, "2014-08-06T23:58:59.52"),
        ("eco_flntu", b"07/16/10\t05:27:02\t695\t44\t700\t87\t552", "2010-07-16T05:27:02"),
        ("minidot", b"1623791700,+3.35,+23.776, +8.231,+0.995", "2021-06-15T21:15:00"),
    ],
)
def test_the_instruments_own_time_is_taken(name: str, line: bytes, iso: str) -> None:
    (frame,) = frames(decoded(driver(name), line + b"\n"))
    assert (frame.source, frame.time.tolist()) == (TimeSource.INSTRUMENT, [np.datetime64(iso, "ns").astype(int)])
    (frame,) = frames(decoded(driver(name, clock="arrival"), line + b"\n"))
    assert (frame.source, frame.time.tolist()) == (TimeSource.ARRIVAL, [AT.utc_ns])


def test_a_minidots_file_is_read_past_its_heading() -> None:
    file = (
        b"7450-034219\nOS REV: 1.05 Sensor Cal: 1619020413\n"
        b"Time (sec),  BV (Volts),  T (deg C),  DO (mg/l),  Q ()\n1646177940,+3.48, +7.477,+10.468,+0.984\n"
    )
    got = decoded(driver("minidot"), file)
    assert (len(samples(got)), problems(got)) == (1, [])


def test_a_clock_of_unknown_zone_is_not_believed() -> None:
    (frame,) = frames(decoded(driver("guv2511"), _GUV + b"\n"))
    assert (frame.source, frame.time.tolist()) == (TimeSource.ARRIVAL, [AT.utc_ns])


# --- recordings against OpenRVDAS -------------------------------------------------------------------------------------

GOLDEN = {
    ("knud", "knudsen"): {
        "KnudDepthLF": "sea_floor_depth_below_transducer",
        "KnudValidLF": "low_channel_valid",
        "KnudSoundSpeed": "speed_of_sound_in_sea_water",
        "KnudLatitude": "latitude",
        "KnudLongitude": "longitude",
    },
    ("tsg1", "tsg"): {
        "TSG1Temp": "sea_water_temperature",
        "TSG1Conductivity": "sea_water_electrical_conductivity",
        "TSG1Salinity": "sea_water_practical_salinity",
        "TSG1SoundVelocity": "speed_of_sound_in_sea_water",
    },
}


def recorded(device: str) -> bytes:
    return (DATA / f"cruise/NBP1406/NBP1406_{device}-2014-08-01").read_bytes()


@needs_recordings
@pytest.mark.parametrize(("device", "name"), GOLDEN)
def test_cruise_logs_equal_openrvdas_value_by_value(device: str, name: str) -> None:
    it = driver(name)
    out = [item for batch in batches(iter([recorded(device)])) for item in it.feed_all(batch.pieces)] + it.finish()
    assert not problems(out)
    whole = concatenate(frames(out))
    golden = DATA / f"cruise/golden_openrvdas/NBP1406_{device}-2014-08-01.openrvdas.jsonl.gz"
    with gzip.open(golden, "rt") as file:
        theirs = [json.loads(line)["parsed"] for line in file]
    assert len(whole) == len(theirs) == 5000
    assert np.abs(whole.time / 1e9 - [record["timestamp"] for record in theirs]).max() < 1e-6
    names = GOLDEN[device, name]
    for key, ours in names.items():
        assert whole.columns[ours].tolist() == [record["fields"][key] for record in theirs], key
    assert {key for record in theirs for key in record["fields"]} == set(names)


@needs_recordings
def test_salinity_of_the_thermosalinograph_is_that_of_teos10() -> None:
    it = driver("tsg")
    out = [item for batch in batches(iter([recorded("tsg1")])) for item in it.feed_all(batch.pieces)]
    c = concatenate(frames(out)).columns
    practical = gsw.SP_from_C(c["sea_water_electrical_conductivity"] * 10, c["sea_water_temperature"], 0.0)
    assert np.abs(practical - c["sea_water_practical_salinity"]).max() < 1.3e-4


# --- simulator to driver ----------------------------------------------------------------------------------------------

_COLUMNS = {
    "ysi": ["temperature", "specific_conductivity", "salinity", "depth", "oxygen", "ph"],
    "toa5": ["battery_voltage", "air_temperature", "relative_humidity"],
    "csv": ["depth", "sea_water_temperature"],
}


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    ends = sorted({c % (len(data) + 1) for c in cuts} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(ends)]


def grouped(out: Sequence[Decoded]) -> dict[bytes, list[tuple[Any, ...]]]:
    """Samples of each schema in order: those of different records may stand in another order."""
    by_schema: dict[bytes, list[tuple[Any, ...]]] = {}
    for sample in samples(out):
        by_schema.setdefault(sample[0], []).append(sample)
    return by_schema


@pytest.mark.parametrize("name", shipped())
@settings(max_examples=5, derandomize=True, deadline=None)
@given(seed=st.integers(0, 2**32), cuts=st.lists(st.integers(0, 100_000), max_size=12))
def test_every_sample_that_a_simulator_says_is_found(name: str, seed: int, cuts: list[int]) -> None:
    more = {"columns": _COLUMNS[name]} if name in _COLUMNS else {}
    simulator = AsciiSimulator(pattern=name, seed=seed, settings=more)
    start_ns = 1_750_000_000_250_000_000
    data = b"".join(simulator.tick(start_ns + i * 1_000_000_000) for i in range(40))
    it = driver(name, **more)
    out = [item for piece in pieces(data, cuts) for item in it.feed(piece, AT)] + it.finish()
    assert {kind for kind, _, _ in problems(out)} <= {"implausible"}
    found: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for frame in frames(out):
        for row, time_ns in zip(rows([frame]), frame.time.tolist(), strict=True):
            row["time"] = time_ns if frame.source == TimeSource.INSTRUMENT else None
            found.setdefault((frame.schema.kind, *frame.schema.by_name), []).append(row)
    said = simulator.take_said()
    assert len(said) == 40
    for (_, *names), got in found.items():
        wanted = [s for s in said if list(s.values) == list(names)]
        wanted_of_kind = iter(wanted)
        for row in got:
            matched = next((s for s in wanted_of_kind if s.values == {k: row[k] for k in names}), None)
            assert matched is not None, row
            assert row["time"] == matched.time_ns
    assert sum(map(len, found.values())) == 40


def test_a_polled_instrument_answers_its_poll() -> None:
    pattern = own("{depth}", poll="D\r\n", start="\u0002run\r\n")
    it = driver(pattern)
    assert (it.poll(), it.start()) == (b"D\r\n", b"\x02run\r\n")
    simulator = AsciiSimulator(pattern="csv", settings={"pattern": pattern}, polled=True)
    assert (simulator.tick(10**18), simulator.receive(b"D", 10**18)) == (b"", b"")
    answer = simulator.receive(b"\r\nD\r\n", 10**18)
    assert [row["depth"] for frame in frames(decoded(it, answer)) for row in rows([frame])] == [
        said.values["depth"] for said in simulator.take_said()
    ]
    assert answer.count(b"\r\n") == 2


def test_mischief_is_in_the_ledger() -> None:
    mischief = Mischief(period=5, wild=(3,), wild_value=900.0)
    simulator = AsciiSimulator(pattern="sbe38", mischief=mischief)
    data = b"".join(simulator.tick(i * 1_000_000_000) for i in range(1, 6))
    said = simulator.take_said()
    assert [s.mischief for s in said] == ["", "", "", "wild", ""]
    out = decoded(driver("sbe38"), data)
    (frame,) = frames(out)
    assert [row["sea_water_temperature"] for row in rows([frame])] == [s.values["sea_water_temperature"] for s in said]
    assert [kind for kind, _, _ in problems(out)] == ["implausible"]


# --- damage and cutting -----------------------------------------------------------------------------------------------

_STREAM = b"\r\n".join(
    [
        _MET,
        b"PUS,\x02A,336,009.41,M,+344.63,+021.71,60,\x0301",
        b"PUS,\x02A,336,009.41,M,+344.63,+021.71,60,\x0302",  # checksum
        b"MET,12.1,22,4.89,78.2,3.398632,-0.126934",
        b"MET,12.1,22,99.0,63.5,7.138004,-0.0766031,-0.404655",  # implausible
        b"",
        b"SUS,\x02A,327,009.72,M,+344.09,+020.79,60,\x0304",
        b"\xff\xfe" * 3000,  # no end of line for long
        _MET,
        b"MET,12.1,22",
    ]
)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.lists(st.integers(0, len(_STREAM)), max_size=30))
def test_cutting_does_not_matter(cuts: list[int]) -> None:
    whole = decoded(driver("mast_nbp"), _STREAM)
    it, at_once = driver("mast_nbp"), driver("mast_nbp")
    cut = [item for piece in pieces(_STREAM, cuts) for item in it.feed(piece, AT)] + it.finish()
    together = at_once.feed_all([(piece, AT) for piece in pieces(_STREAM, cuts)]) + at_once.finish()
    wanted = [("checksum", 1), ("syntax", 1), ("implausible", 1), ("noise", 1), ("truncated", 1)]
    counted = [kind for kind, _, _ in problems(whole)]
    assert [(kind, counted.count(kind)) for kind, _ in wanted] == wanted
    assert problems(cut) == problems(together) == problems(whole)
    assert grouped(cut) == grouped(together) == grouped(whole)
    assert sum(map(len, grouped(whole).values())) == 5


def test_each_sample_has_the_arrival_of_its_first_byte() -> None:
    stamps = [Arrival(AT.utc_ns + i * 2_000_000_000, 0, "", False) for i in range(3)]
    out = driver("sbe38").feed_all(
        [(b"14.6480\r\n14.6", stamps[0]), (b"472\r\n", stamps[1]), (b"14.6459\r\n", stamps[2])]
    )
    (frame,) = frames(out)
    assert frame.time.tolist() == [stamps[i].utc_ns for i in (0, 0, 2)]


@pytest.mark.parametrize("name", shipped())
@settings(max_examples=15, derandomize=True, deadline=None)
@given(st.binary(max_size=3000))
def test_random_bytes_give_no_number(name: str, data: bytes) -> None:
    more = {"columns": _COLUMNS[name]} if name in _COLUMNS else {}
    it = driver(name, **more)
    out = decoded(it, data)
    assert {kind for kind, _, _ in problems(out)} <= set(AsciiPattern.problems)
    if shipped_pattern(name).unmistakable:
        assert not frames(out)


@pytest.mark.parametrize("place", range(len(VECTORS[2][2])))
def test_a_noise_byte_is_never_repaired(place: int) -> None:
    line = VECTORS[2][2]
    for noise in b"\x00\x7f\xb5x_e'":
        damaged = line[:place] + bytes([noise]) + line[place + 1 :]
        out = decoded(driver("tsg"), damaged + b"\r\n")
        assert not frames(out), damaged
        assert [kind for kind, _, _ in problems(out)] == ["syntax"], damaged


def test_hostile_lines_cost_linear_time() -> None:
    lines = [b" " * 4000, b"1" * 4000, b"1 " * 2000, b"," * 4000, b"\t " * 2000, b'"' * 4000, b"1.1," * 1000]
    for name in shipped():
        more = {"columns": _COLUMNS[name]} if name in _COLUMNS else {}
        begin_s = time.perf_counter()
        decoded(driver(name, **more), b"\n".join(lines) + b"\n")
        assert time.perf_counter() - begin_s < 1.0, name


# --- the language -----------------------------------------------------------------------------------------------------


def test_numbers_stand_glued_to_letters() -> None:
    fields = {
        "t": {"parameter": "air_temperature", "decimals": 2},
        "a": {"parameter": "relative_humidity", "decimals": 3},
    }
    it = driver(own("{t}C A{a}", fields))
    assert values(it, b"25.08C  A76.074") == {"air_temperature": 25.08, "relative_humidity": 76.074}
    assert kinds(it, b"25.08CA76.074\r\n25.0.8C A76.074\r\n25.08F A76.074\r\n") == ["syntax"] * 3


def test_words_for_missing_have_their_reasons() -> None:
    fields = {"t": {"parameter": "air_temperature", "decimals": 1, "missing": ["", "Na", "-99.9", "Error-#"]}}
    (frame,) = frames(decoded(driver(own("T={t};", fields)), b"T=1.5;\nT=;\nT=Na;\nT=-99.9;\nT=Error-14;\nT=-9.9;\n"))
    reasons = [0, Missing.NOT_GIVEN, Missing.INVALID, Missing.INVALID, Missing.INVALID, 0]
    assert frame.missing("air_temperature").tolist() == reasons
    assert [row["air_temperature"] for row in rows([frame])] == [1.5, None, None, None, None, -9.9]


def test_units_become_the_vocabularys() -> None:
    fields = {
        "c": {"parameter": "sea_water_electrical_conductivity", "unit": "mS/cm", "decimals": 3},
        "t": {"parameter": "sea_water_temperature", "unit": "degF", "decimals": 1},
        "w": {"parameter": "wind_speed", "unit": "kn", "decimals": 1},
        "p": {"parameter": "battery_voltage", "decimals": 0, "scale": 0.01, "offset": 1},
    }
    got = values(driver(own("{c},{t},{w},{p}", fields)), b"38.667,77.0,10.0,1234")
    assert got == {
        "sea_water_electrical_conductivity": 3.8667,
        "sea_water_temperature": 25.0,
        "wind_speed": 5.14,
        "battery_voltage": 13.34,
    }


def test_the_printed_decimals_are_the_resolution_and_the_law() -> None:
    it = driver(own("{depth}", {"depth": {"decimals": [1, 2]}}))
    assert it.schemas()[0].fields[0].resolution == 0.01
    assert values(it, b"1.25")["depth"] == 1.25
    assert kinds(it, b"1\n1.255\n.\n-\n1e3\nnan\ninf\n0x1\n1_0.0\n") == ["syntax"] * 9


def test_words_of_a_choice_and_hexadecimal() -> None:
    fields = {
        "v": {"parameter": "valid", "label": "Valid", "unit": "1", "choices": {"A": 1, "V": 0}},
        "s": {"parameter": "device_status", "hexadecimal": True},
    }
    it = driver(own("{v} {s}", fields))
    assert values(it, b"V 1fF") == {"valid": 0, "device_status": 511}
    assert kinds(it, b"B 00\n") == ["syntax"]
    assert it.description()["labels"] == {"valid": "Valid"}


def test_a_word_that_nobody_foresaw_costs_no_record() -> None:
    fields = {"s": {"parameter": "source", "label": "Source", "unit": "1", "choices": {"Equil": 1, "*": 0}}}
    it = driver(own("{depth} {s}", fields))
    assert [values(it, b"1.5 " + word)["source"] for word in (b"Equil", b"Std-3", b"Equil2")] == [1, 0, 0]
    assert kinds(it, b"1.5 a b\n1.5 \x80\n1.5 \n") == ["syntax"] * 3


def test_a_checksum_covers_all_in_front_of_it_or_what_is_marked() -> None:
    fields = {"n": {"parameter": "sample_number", "decimals": 0}}
    plain, marked = (
        own(line, fields, checksum={"kind": "sum"}) for line in ("A{n}*{checksum}", "A{<}{n}{>}*{checksum}")
    )
    for pattern, covered in ((plain, b"A12*"), (marked, b"12")):
        assert values(driver(pattern), b"A12*%02X" % (sum(covered) % 256)) == {"sample_number": 12}
        assert kinds(driver(pattern), b"A12*%02X\n" % (sum(covered) % 256 ^ 1)) == ["checksum"]


def test_a_profile_repeats_a_group() -> None:
    fields = {"v": {"parameter": "eastward_sea_water_velocity", "decimals": 3, "missing": ["-9.999"]}}
    it = driver(own("P{depth}<,{v}>", fields, cells={"count": 3, "first_m": 1.5, "size_m": 0.5}))
    assert values(it, b"P4.00,0.100,-9.999,0.300") == {"depth": 4.0, "eastward_sea_water_velocity": [0.1, None, 0.3]}
    (schema,) = it.schemas()
    assert (schema.cells and (schema.cells.count, schema.cells.first_m)) == (3, 1.5)
    assert kinds(it, b"P4.00,0.100,0.200\n") == ["syntax"]


def test_signs_of_the_language_stand_for_themselves_when_doubled() -> None:
    assert values(driver(own("[[{{<<{depth}]>}")), b"[{<1.5]>}") == {"depth": 1.5}


def test_talk_is_passed_over_and_all_else_is_syntax() -> None:
    it = driver(own("{depth}", ignore=["S>", "mvs {_}"]))
    out = decoded(it, b"S>\r\nmvs 1\r\n1.5\r\nmvs\r\nS\r\n")
    assert [kind for kind, _, _ in problems(out)] == ["syntax", "syntax"]
    assert sum(map(len, frames(out))) == 1


# "123456789": the catalogue's check values of CRC-16/MODBUS (4B37) and CRC-16/IBM-3740 (29B1); sum 0x1DD, xor 0x31.
@pytest.mark.parametrize(
    ("checksum", "printed"),
    [
        ({"kind": "crc16_modbus"}, b"4B37"),
        ({"kind": "crc16_ccitt"}, b"29b1"),
        ({"kind": "sum"}, b"DD"),
        ({"kind": "sum", "modulo": 65536}, b"01DD"),
        ({"kind": "sum", "written": "decimal"}, b"477"),
        ({"kind": "negative_sum"}, b"23"),
        ({"kind": "xor"}, b"31"),
    ],
)
def test_checksums(checksum: dict[str, Any], printed: bytes) -> None:
    fields = {"n": {"parameter": "sample_number", "decimals": 0}}
    it = driver(own("${<}{n}{>}*{checksum}", fields, checksum=checksum))
    assert values(it, b"$123456789*" + printed) == {"sample_number": 123456789}
    assert kinds(it, b"$123456788*" + printed + b"\n$123456789*0\n") == ["checksum", "checksum"]


MOMENT = datetime(2024, 2, 29, 23, 59, 58, tzinfo=UTC)


@pytest.mark.parametrize(
    ("form", "written", "ns"),
    [
        ("%Y/%m/%d %H:%M:%S.%f", "2024/02/29  23:59:58.25", 250_000_000),
        ("%d%m%y%H%M%S%F", "290224235958", 0),
        ("%d %b %Y %H:%M:%S%F", "29 Feb 2024 23:59:58.000000001", 1),
        ("%Y-%j %H:%M:%S", "2024-060 23:59:58", 0),
        ("%Y%J", "2024060.999976851852", 12_800),
        ("%E", str(int(MOMENT.timestamp())), 0),
        ("%K", f"{int(MOMENT.timestamp()) - 946684800}.5", 500_000_000),
    ],
)
def test_dates_are_read_in_their_form(form: str, written: str, ns: int) -> None:
    it = driver(own("{when} {depth}", {"when": {"time": form}}))
    (frame,) = frames(decoded(it, written.encode() + b" 1.5\n"))
    assert abs(int(frame.time[0]) - int(MOMENT.timestamp()) * 10**9 - ns) <= (10**5 if form == "%Y%J" else 0)
    ahead = driver(own("{when} {depth}", {"when": {"time": form}}), utc_offset_h=8)
    (moved,) = frames(decoded(ahead, written.encode() + b" 1.5\n"))
    assert frame.time[0] - moved.time[0] == 8 * 3600 * 10**9


def test_date_and_time_may_stand_apart_and_must_exist() -> None:
    it = driver(own("{time},{depth},{date}", {"time": {"time": "%H:%M:%S"}, "date": {"time": "%d/%m/%y"}}))
    out = decoded(it, b"23:59:58,1.5,29/02/24\n23:59:58,1.5,29/02/23\n24:00:00,1.5,01/01/24\n")
    assert [frame.time.tolist() for frame in frames(out)] == [[int(MOMENT.timestamp()) * 10**9]]
    assert [kind for kind, _, _ in problems(out)] == ["time", "syntax"]


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "give either pattern"),
        ({"pattern": "knudson"}, "did you mean 'knudsen'"),
        ({"pattern": "csv"}, "give columns"),
        ({"pattern": "csv", "columns": ["dept"]}, "did you mean depth"),
        ({"pattern": "tsg", "columns": ["depth"]}, "leave the setting out"),
        ({"pattern": "csv", "columns": ["depth"], "separator": "|"}, "use one of"),
        ({"pattern_file": "/nowhere/x.toml"}, "/nowhere/x.toml"),
        ({"pattern": "eco_flntu", "coefficients": {"chl": {"scale": 1}}}, "takes them for chlorophyll, turbidity"),
        ({"pattern": "eco_flntu", "coefficients": {"turbidity": {"scale": 0}}}, "scale not 0"),
        ({"pattern": own("{dept}")}, "did you mean depth"),
        ({"pattern": own("[{depth}")}, "] is lacking"),
        ({"pattern": own("{depth")}, "{ without }"),
        ({"pattern": own("{depth}{sea_water_temperature}")}, "touches the place before"),
        ({"pattern": own("{depth} {depth}")}, "twice"),
        ({"pattern": own("ready")}, "holds no value"),
        ({"pattern": own("<{depth},>")}, "needs `cells`"),
        ({"pattern": own("{depth}*{checksum}")}, "checksum"),
        ({"pattern": own("{<}{depth}")}, "belong to a {checksum}"),
        ({"pattern": own("[{<}A]{depth}*{checksum}", checksum={"kind": "xor"})}, "outside of brackets"),
        ({"pattern": own("{depth}", ignore=["{depth} m"])}, "nothing but text"),
        ({"pattern": own("{depth}", {"depth": {"unit": "psi"}})}, "cannot become m; use one of m, cm"),
        ({"pattern": own("{x}", {"x": {"decimals": 1}})}, "label and unit"),
        ({"pattern": own("{x}", {"x": {"label": "X", "unit": "1"}})}, "how many decimals"),
        ({"pattern": own("{x}", {"x": {"scientific": True}})}, "needs a resolution"),
        ({"pattern": own("{t} {depth}", {"t": {"time": "%H:%M:%S"}})}, "do not make a date"),
        ({"pattern": own("{t} {depth}", {"t": {"time": "%Q"}})}, "%Q is not known"),
    ],
)
def test_mistakes_are_named_with_their_remedy(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as error:
        Settings.model_validate(given)
    assert told in str(error.value)


def test_a_pattern_may_stand_in_a_file(tmp_path: Any) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('title = "mine"\n[[records]]\nline = "D={depth} m"\n')
    it = AsciiPattern("it", Settings.model_validate({"pattern_file": path}))
    assert values(it, b"D=1.50 m") == {"depth": 1.5}
    path.write_text("title = \n")
    with pytest.raises(ValidationError, match="not TOML"):
        Settings.model_validate({"pattern_file": path})


def test_the_driver_is_installed_and_guesses_only_what_is_unmistakable() -> None:
    assert load("ascii") is AsciiPattern
    guesses = [guess for guess in AsciiPattern.guesses() if isinstance(guess, Settings)]
    assert {guess.pattern for guess in guesses} == {n for n in shipped() if shipped_pattern(n).unmistakable}
    lines = {name: line for name, more, line, _ in VECTORS if not more}
    for guess in guesses:  # no guess decodes another instrument's line
        for name, line in lines.items():
            out = decoded(AsciiPattern("it", guess), line + b"\r\n")
            assert bool(frames(out)) == (name == guess.pattern), (guess.pattern, name)


def test_a_problem_says_where_it_stood() -> None:
    (found,) = driver("sbe38").feed(b"14.6480\r\nready\r\n", UNKNOWN)[1:]
    assert isinstance(found, Problem)
    assert (found.kind, found.offset, found.data) == ("syntax", 9, b"ready")
    assert "sea_water_temperature" in found.message


# --- docs/how-to/write-a-driver.md ------------------------------------------------------------------------------------

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-driver.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{re.escape(language)}\n(.*?)^```$", HOW_TO.read_text(), re.MULTILINE | re.DOTALL)


def test_the_pattern_of_the_how_to_reads_its_sample(tmp_path: Path) -> None:
    (sample,), (pattern,) = blocks("text sample"), blocks("text weather.toml")
    path = tmp_path / "weather.toml"
    path.write_text(pattern)
    in_settings = tomllib.loads(blocks("toml gateway-part")[0])["instruments"]["weather"]["settings"]
    for setting in ({"pattern_file": path}, in_settings):
        out = decoded(AsciiPattern("weather", Settings.model_validate(setting)), sample.encode())
        got = [row for frame in frames(out) for row in rows([frame])]
        assert [(row["air_temperature"], row["air_pressure"], row["rainfall_rate"]) for row in got] == [
            (25.08, 1009.12, None),
            (25.09, 1009.1, 12.4),
        ]
        assert [(kind, size) for kind, _, size in problems(out)] == [("syntax", len(sample.splitlines()[3]))]


def test_the_map_of_the_how_to_is_one() -> None:
    given = tomllib.loads(blocks("toml gateway-part")[1])["instruments"]["probe"]["settings"]
    it = ModbusMap("probe", ModbusMap.Settings.model_validate(given))
    assert it.poll().hex() == "050300000004"  # one read of four registers, the second of them unused


def test_the_driver_of_the_how_to_passes_its_test() -> None:
    program, test = blocks("python")
    names: dict[str, Any] = {"__name__": "thermometer"}
    exec(compile(program, "how-to", "exec"), names)
    exec(compile(test, "how-to", "exec"), names)
    names["test_cutting_does_not_matter"]()
    driven = names["Thermometer"]("t").feed(names["RECORDING"], AT) + names["Thermometer"]("t").finish()
    assert {kind for kind, _, _ in problems(driven)} <= set(names["Thermometer"].problems)


def test_every_word_of_a_pattern_is_on_its_page() -> None:
    page = (HOW_TO.parents[1] / "reference" / "drivers" / "ascii.md").read_text()
    models: list[type[BaseModel]] = [Pattern, Record, FieldSpec, Checksum, CellsSpec]
    words = {name for model in models for name in model.model_fields} | set(shipped())
    assert [word for word in sorted(words) if not re.search(rf"[`{{ ]{word}\b", page)] == []


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_decodes_by_a_patterns_name() -> None:
    command = [sys.executable, "-m", "tidegate", "decode", "--driver", "ascii", "--set", "pattern=sbe38", "-"]
    said = b"2014-08-01T00:00:00.124000Z 14.6480\n2014-08-01T00:00:01.124000Z 14.x480\n"
    done = subprocess.run(command, input=said, capture_output=True, timeout=60, check=True)
    assert json.loads(done.stdout) == {
        "time": "2014-08-01T00:00:00.124000000Z",
        "kind": "thermometer",
        "sea_water_temperature": 14.648,
    }
    assert b"byte 64: syntax" in done.stderr
