"""RBR: lines of the manuals, of libRBR's tests and of the OOI, damage, and the simulator."""

import math
from collections.abc import Mapping
from struct import pack
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from drivers.driver import load
from drivers.rbr import Rbr
from drivers.simulators.rbr import RbrSimulator, engineering
from drivers.simulators.simulator import Mischief
from tests.drivers.decoded import frames, problems, samples
from tests.drivers.line_drivers import (
    PROBABLE,
    START_NS,
    column,
    conversation,
    cut_anywhere,
    decode,
    found_all,
    kinds,
    times,
)
from tests.recordings import DATA, needs_recordings
from tidegate.clock import NAT, UNKNOWN, TimeSource, isoformat
from tidegate.frame import Missing

C, T, P = "sea_water_electrical_conductivity", "sea_water_temperature", "sea_water_pressure"
CTD = {"channels": ["conductivity_00", "temperature_00", "pressure_00"]}
L3 = b"2017-09-10 11:24:14.000, 38.6664, 21.5183, 10.9601\r\n"
L3_UNITS = b"2017-09-10 11:52:21.000, 38.6671 mS/cm, 22.0217 C, 10.9596 dB\r\n"
GEN4 = b"sch_fast_CTD 2024-06-10 11:24:14.125 38.6671142e+000 22.0217124e+000 1.95962418e+003\r\n"


def one(line: bytes, given: Mapping[str, Any] | None = None) -> dict[str, float | str | None]:
    """The only sample of a line."""
    decoded = decode(Rbr, line, given)
    assert problems(decoded) == []
    (frame,) = frames(decoded)
    assert len(frame) == 1
    return {"time": isoformat(int(frame.time[0])), **{name: values[0].item() for name, values in frame.columns.items()}}


# Other people's lines


def test_the_examples_of_the_command_references() -> None:
    """docs.rbr-global.com: outputformat of L3 and of Gen4."""
    assert one(L3, CTD) == {"time": "2017-09-10T11:24:14.000000000Z", C: 3.86664, T: 21.5183, P: 10.9601}
    wanted = {"time": "2017-09-10T11:52:21.000000000Z", C: 3.86671, T: 22.0217, P: 10.9596}
    assert one(L3_UNITS) == one(L3_UNITS, CTD) == wanted
    by_schedule = {"schedules": {"sch_fast_CTD": CTD["channels"]}}
    wanted = {"time": "2024-06-10T11:24:14.125000000Z", C: 3.86671142, T: 22.0217124, P: 1959.62418}
    assert one(GEN4, CTD) == one(GEN4, by_schedule) == wanted


def test_a_line_of_an_auv() -> None:
    """smarc-project/rbr_ctd_driver, test_ctd_parser.py."""
    labels = "conductivity_00 temperature_00 pressure_00 seapressure_00 depth_00 salinity_00 count_00"
    line = b"2000-01-01 00:04:27.000, 0.0029, 21.7070, 10.2192, 0.0867, 0.0860, 0.0110, 1.0000, 22.0666\r\n"
    found = one(line, {"channels": [*labels.split(), "conductivitycelltemperature_00"]})
    assert found == {
        "time": "2000-01-01T00:04:27.000000000Z",
        C: 0.00029,
        T: 21.7070,
        P: 10.2192,
        "sea_water_pressure_due_to_sea_water": 0.0867,
        "depth": 0.0860,
        "sea_water_practical_salinity": 0.0110,
        "temperature_of_conductivity_cell": 22.0666,
    }


# libRBR, tests of its realtime module: (line, values, time in ms or None).
LIBRBR = [
    ("2024-10-21 11:50:49.000 18.1745130 12.7052970 2.69308210", [18.1745130, 12.7052970, 2.69308210], 1729511449000),
    ("9.80449000e+000 0xF80B", [9.80449000], None),
    ("12.5363015e+000 9.82848000e+000 -304.020648e-003 -302.152465e-003",
     [12.5363015, 9.82848000, -0.304020648, -0.302152465], None),
    ("12.5361167e+000 9.82034000e+000 -312.160648e-003 -310.242445e-003 0x1E75",
     [12.5361167, 9.82034000, -0.312160648, -0.310242445], None),
    ("polling 12.5356399e+000 9.79543000e+000 -337.070648e-003 -334.999375e-003 0x271D",
     [12.5356399, 9.79543000, -0.337070648, -0.334999375], None),
    ("RBR 999999 12.5362042e+000 9.81825000e+000 -314.250648e-003 -312.319602e-003 0x3BE3",
     [12.5362042, 9.81825000, -0.314250648, -0.312319602], None),
    ("RBR 999999 polling 12.5369632e+000 9.80959000e+000 -322.910648e-003 -320.926387e-003 0xF4F3",
     [12.5369632, 9.80959000, -0.322910648, -0.320926387], None),
    ("RBR 999999 polling 2024-03-13 12:37:36.000 12.5369242316864e+000 9.80062000000000e+000"
     " -331.880648498535e-003 -329.841267502290e-003 0xE4EE",
     [12.5369242316864, 9.80062, -0.331880648498535, -0.329841267502290], 1710333456000),
    ("RBR 999999 sch_asc_pts 9.84050000e+000 12.5362918e+000", [9.8405, 12.5362918], None),
]  # fmt: skip
PLACES = ["temperature_00", "pressure_00", "seapressure_00", "depth_00"]
NAMES = [T, P, "sea_water_pressure_due_to_sea_water", "depth"]


@pytest.mark.parametrize(("line", "values", "milliseconds"), LIBRBR)
def test_gen4_lines_of_librbr(line: str, values: list[float], milliseconds: int | None) -> None:
    decoded = decode(Rbr, line.encode() + b"\r\n", {"channels": PLACES[: len(values)]})
    assert problems(decoded) == []
    (frame,) = frames(decoded)
    for name, value in zip(NAMES, values, strict=False):
        assert frame.columns[name][0] == pytest.approx(value, abs=5.1e-10)
    assert frame.time.tolist() == [NAT if milliseconds is None else milliseconds * 1_000_000]
    assert frame.source is (TimeSource.ARRIVAL if milliseconds is None else TimeSource.INSTRUMENT)


def test_a_failed_channel_is_missing_and_the_others_stay() -> None:
    """`Error-14`: L3 command reference, fetch; `Error-01 Error-09`: libRBR."""
    decoded = decode(Rbr, L3.replace(b"21.5183", b"Error-14") + L3.replace(b"10.9601", b"###"), CTD)
    assert problems(decoded) == []
    (frame,) = frames(decoded)
    assert [frame.missing(name).tolist() for name in (C, T, P)] == [[0, 0], [Missing.INVALID, 0], [0, Missing.INVALID]]
    assert frame.columns[C].tolist() == [3.86664, 3.86664]
    line = b"2024-03-10 07:01:06.000 Error-01 Error-09 Error-09 Error-09\r\n"
    (frame,) = frames(decode(Rbr, line, {"channels": PLACES}))
    assert all(math.isnan(values[0]) for values in frame.columns.values())
    (frame,) = frames(decode(Rbr, b"2024-03-10 07:01:35.000 Error-01 0x3C7A\r\n", {"channels": PLACES[:1]}))
    assert frame.missing(T).tolist() == [Missing.INVALID]


@needs_recordings
@pytest.mark.parametrize(("name", "count", "damaged"), [("20231107", 13, 0), ("20231107_corrupt", 10, 3)])
def test_rbrquartz3_as_the_ooi_logs_it(name: str, count: int, damaged: int) -> None:
    recording = (DATA / f"tide/rbrquartz3/{name}.rbrq3.log").read_bytes()
    decoded = decode(Rbr, recording)
    assert len(times(decoded)) == count
    assert kinds(decoded).count("syntax") == damaged
    good = [line for line in recording.split(b"\n") if b",0.000000," in line or line.endswith(b",0.000000")]
    assert len([line for line in good if b"X" not in line]) == count
    assert {isoformat(t) for t in times(decoded)} == {
        "2023-07-22T06:47:48.250000000Z",
        "2023-08-09T01:56:54.797000000Z",
        "2023-02-15T08:12:15.000000000Z",
    }
    # The values of this file are made up: 483482.125 is neither a temperature nor a pressure on Earth.
    assert set(kinds(decoded)) - {"syntax"} == {"implausible"}
    assert {v for name in (T, P) for v in column(decoded, name) if not math.isnan(v)} == {0.0}
    assert {frame.schema.kind for frame in frames(decoded)} == {"tide_gauge"}
    cut_anywhere(Rbr, recording, None, range(1, len(recording), 7))


def test_a_logged_rbrquartz3_with_all_its_channels() -> None:
    """The OOI's presf_de parser takes seven values so, where the log lists no channels."""
    values = b"4.500000,2991.125000,4.750000,2980.992500,2952.250000,28123456.500000,171756000.250000"
    line = b"[rbrpresf:DLOGP6]:2023/07/22 06:47:48.250,1690008468250.000000," + values + b"\n"
    found = one(line)
    assert found == {
        "time": "2023-07-22T06:47:48.250000000Z",
        T: 4.5,
        P: 2991.125,
        "sea_water_temperature_2": 4.75,
        "sea_water_pressure_due_to_sea_water": 2980.9925,
        "depth": 2952.25,
        "period_of_pressure_signal": 28.1234565,
        "period_of_temperature_signal": 171.75600025,
    }
    assert kinds(decode(Rbr, b"# Active channels: temperature_00|pressure_00\n" + line)) == ["channels"]


def test_xr420() -> None:
    line = b"TIM 070912113000 38.6664 21.5183 10.9601 BV: 11.5916 SN: 021964 FET\r\n"
    wanted = {"time": "2007-09-12T11:30:00.000000000Z", C: 3.86664, T: 21.5183, P: 10.9601, "battery_voltage": 11.5916}
    assert one(line, CTD) == wanted


def test_rbrsolo_counts_need_coefficients() -> None:
    counts = b"2018-07-26 14:56:24.000 483482112\r\n"
    assert kinds(decode(Rbr, counts)) == ["calibration"]
    # Coefficients of an RBRsolo3 (header of a Ruskin export), T computed by hand from the equation `tmp`.
    c = (0.0034734802, -2.5339276e-4, 2.4292235e-6, -8.11e-8)
    x = math.log(2**30 / 483482112 - 1)
    wanted = 1 / (c[0] + c[1] * x + c[2] * x**2 + c[3] * x**3) - 273.15
    assert one(counts, {"coefficients": c})[T] == round(wanted, 5)
    told = "calibration 1 datetime = 20201119143309, c0 = 3.4734802e-003, c1 = -253.39276e-006"
    told += ", c2 = 2.4292235e-006, c3 = -81.1e-009\r\n"
    assert column(decode(Rbr, told.encode() + counts), T) == [round(wanted, 5)]
    nonsense = decode(Rbr, counts, {"coefficients": (0.0, 0.0, 0.0, 0.0)})
    assert kinds(nonsense) == ["implausible"]
    floats = b", ".join(b"c%d = %s" % (i, pack(">f", v).hex().encode()) for i, v in enumerate(c))
    assert column(decode(Rbr, b"calibration 1 " + floats + b"\r\n" + counts), T) == [pytest.approx(wanted, abs=1e-4)]


# Which value is which


def test_labels_and_units_come_from_what_the_instrument_says() -> None:
    """Replies as libRBR's tests have them."""
    asked = (
        b"outputformat labelslist = temperature_00|pressure_00|seapressure_00|depth_00|count_00\r\nReady: "
        b"outputformat channelslist = temperature(C)|pressure(dbar)|pressure(dbar)|depth(m)|count(counts)\r\n"
        b"Ready: id model = RBRconcerto3, version = 1.116, serial = 204347, fwtype = 104\r\nReady: "
    )
    driver = Rbr("it")
    decoded = driver.feed(asked + b"2018-07-26 14:56:24.000, 10.1325, 10.2000, 0.0675, 0.0671, 3.0000\r\n", UNKNOWN)
    assert [list(frame.columns) for frame in frames(decoded)] == [
        [T, P, "sea_water_pressure_due_to_sea_water", "depth"]
    ]
    assert driver.description() == {
        "manufacturer": "RBR", "model": "RBRconcerto3", "serial": "204347", "firmware": "1.116",
        "channels_left_out": ["count_00"],
    }  # fmt: skip
    assert [schema.kind for schema in driver.schemas()] == ["tide_gauge"]
    units = b"channel conductivity_00 type=cond00 address=32 userunits=uS/cm derived=off grouplist=none\r\n"
    line = b"2018-07-26 14:56:24.000, 425.1234\r\n"
    assert column(decode(Rbr, units + line, {"channels": ["conductivity_00"]}), C) == [0.04251234]


@pytest.mark.parametrize(
    ("line", "given"),
    [
        (L3, None),
        (GEN4, None),
        (GEN4, {"schedules": {"sch_slow": CTD["channels"]}}),
        (L3, {"channels": ["temperature_00", "pressure_00"]}),
        (L3_UNITS.replace(b"mS/cm", b"C"), None),  # two of a kind: which is the sea's?
        (L3_UNITS.replace(b"mS/cm", b"xS/cm"), None),
    ],
)
def test_values_whose_place_is_not_known_are_refused(line: bytes, given: Mapping[str, Any] | None) -> None:
    decoded = decode(Rbr, line, given)
    assert not frames(decoded)
    assert kinds(decoded) == ["channels"]


def test_a_channel_may_be_named_in_the_settings() -> None:
    given = {"channels": ["temperature_00", "pressure_00", "temperature_01"]}
    line = b"2017-09-10 11:24:14.000, 21.5183, 10.9601, 21.7\r\n".replace(b"21.7\r", b"21.7000\r")
    assert one(line, given)["sea_water_temperature_2"] == 21.7
    given["parameters"] = {"temperature_01": "temperature_of_pressure_sensor"}  # type: ignore[assignment]  # a table
    assert one(line, given)["temperature_of_pressure_sensor"] == 21.7
    for wrong in ({"channels": ["Temperature"]}, {"parameters": {"temperature_01": "warmth"}}):
        with pytest.raises(ValidationError):
            Rbr.Settings.model_validate(wrong)


def test_a_unit_that_a_parameter_cannot_have_is_refused() -> None:
    assert kinds(decode(Rbr, L3_UNITS.replace(b" dB", b" m/s"), CTD)) == ["unit"]


# Damage


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (L3.replace(b"21.5183", b"21.518"), "syntax"),
        (L3.replace(b"21.5183", b"21.5X83"), "syntax"),
        (L3.replace(b"09-10", b"09-31"), "syntax"),
        (L3.replace(b"11:24", b"25:24"), "syntax"),
        (L3.replace(b", 10.9601", b""), "channels"),
        (L3.replace(b"21.5183", b"91.5183"), "implausible"),
        (GEN4.replace(b"22.0217124e+000", b"22.0217124e+00"), ""),
        (GEN4.replace(b"22.0217124e+000", b"22.0217124"), "syntax"),
        (b"polling 12.5356399e+000 9.79543000e+000 -337.070648e-003 0x271D\r\n", "checksum"),
        (b"E0102 invalid command 'ftech'\r\n", "exception"),
        (b"ERR-117 'nosuchchannel_00' is not a known qualifier\r\n", "exception"),
        (b"$GPGGA,101229.70,3723.71722459,N\r\n", "unknown"),
        (b"\xff\xfe\r\n", "noise"),
    ],
)
def test_a_damaged_line_is_refused(line: bytes, kind: str) -> None:
    decoded = decode(Rbr, L3 + line + L3, CTD)
    assert kinds(decoded) == ([kind] if kind else [])
    if kind and kind != "implausible":
        assert samples(decoded) == samples(decode(Rbr, L3 + L3, CTD))


STREAM = (
    b"id model = RBRconcerto3, version = 1.116, serial = 204347, fwtype = 104\r\nReady: "
    + L3 * 3
    + L3.replace(b"21.5183", b"Error-14")
    + L3_UNITS
    + L3.replace(b"21.5183", b"2x.5183")
    + GEN4 * 2
    + b"\x80\x81\r\n"
    + L3.replace(b"21.5183", b"99.0000")
    + b"Ready: RBR 204347, " + L3
    + L3[:30]
)  # fmt: skip


@PROBABLE
@given(st.sets(st.integers(0, len(STREAM)), max_size=30))
def test_cutting_never_matters(cuts: set[int]) -> None:
    cut_anywhere(Rbr, STREAM, CTD, cuts)


def test_bytes_one_by_one() -> None:
    cut_anywhere(Rbr, STREAM, CTD, range(1, len(STREAM)))
    decoded = decode(Rbr, STREAM, CTD)
    assert kinds(decoded) == ["syntax", "noise", "implausible", "truncated"]
    assert len(times(decoded)) == 9


@settings(PROBABLE, max_examples=200)
@given(st.sampled_from([L3, L3_UNITS, GEN4]), st.data())
def test_one_damaged_byte_costs_its_line_alone(line: bytes, data: st.DataObject) -> None:
    """But for a digit, sign, point or letter of a name made another, which nothing in such a line can show."""
    at, byte = data.draw(st.integers(0, len(line) - 3)), data.draw(st.integers(0, 255))
    if bytes([byte]) in b"0123456789+-._\r\n \t" or chr(byte).isalpha() or byte == line[at]:
        return
    decoded = decode(Rbr, L3 + line[:at] + bytes([byte]) + line[at + 1 :] + L3, CTD)
    assert samples(decoded) == samples(decode(Rbr, L3 + L3, CTD))
    assert [(offset, size) for _, offset, size in problems(decoded)] == [(len(L3), len(line) - 2)]


@settings(PROBABLE, max_examples=200)
@given(st.data())
def test_a_checksum_shows_every_damaged_byte(data: st.DataObject) -> None:
    line = LIBRBR[7][0].encode() + b"\r\n"
    at, byte = data.draw(st.integers(0, len(line) - 3)), data.draw(st.integers(0, 255))
    if bytes([byte]) in b"\r\n" or byte == line[at]:
        return
    decoded = decode(Rbr, line[:at] + bytes([byte]) + line[at + 1 :], {"channels": PLACES})
    if frames(decoded):  # a blank behind the line is no damage of it
        assert at == len(line) - 3
    else:
        assert len(problems(decoded)) == 1


@PROBABLE
@given(st.binary(max_size=2000), st.integers(0, 2000))
def test_random_bytes_give_no_sample(noise: bytes, cut: int) -> None:
    assert not frames(decode(Rbr, noise, CTD, [min(cut, len(noise))]))


# The simulator


def test_it_is_installed() -> None:
    cls = load("rbr")
    assert cls is Rbr
    assert cls("it").poll() == b""
    assert cls("it", Rbr.Settings(mode="polled", generation=4)).poll() == b"poll\r\n"
    assert list(cls.guesses()) == [Rbr.Settings()]


def test_engineering_notation() -> None:
    """As libRBR's tests have it."""
    for value, printed in (
        (12.5363015, "12.5363015e+000"),
        (9.82848, "9.82848000e+000"),
        (-0.304020648, "-304.020648e-003"),
        (1959.62418, "1.95962418e+003"),
    ):
        assert engineering(value) == printed


@PROBABLE
@given(
    seed=st.integers(0, 9),
    outputformat=st.sampled_from(["caltext01", "caltext02", "caltext07", "gen4"]),
    cut=st.integers(1, 300),
)
def test_the_driver_finds_all_that_the_simulator_said(seed: int, outputformat: str, cut: int) -> None:
    mischief = Mischief(period=4, spikes=(1,), spike_by=1.5, stuck=(2, 3))
    simulator = RbrSimulator(seed=seed, interval_s=0.5, mischief=mischief, outputformat=outputformat)  # type: ignore[arg-type]  # drawn from its values
    data = b"".join(simulator.tick(START_NS + step * 250_000_000) for step in range(20))
    found_all(decode(Rbr, data, CTD, range(cut, len(data), cut)), simulator.said)


@pytest.mark.parametrize("generation", [3, 4])
def test_the_simulator_answers_a_driver_that_polls(generation: int) -> None:
    simulator = RbrSimulator(streaming=False, outputformat="gen4" if generation == 4 else "caltext01")
    given = {"mode": "polled", "generation": generation, **(CTD if generation == 4 else {})}
    driver = Rbr("it", Rbr.Settings.model_validate(given))
    decoded = conversation(driver, simulator, polls=3)
    found_all(decoded, simulator.said)
    assert len(simulator.said) == 3
    assert (driver.description()["model"], driver.description()["serial"]) == (f"RBRconcerto{generation}", "204347")


def test_the_simulator_streams_for_a_driver_that_wants_it() -> None:
    simulator = RbrSimulator(streaming=False)
    driver = Rbr("it", Rbr.Settings(mode="streaming"))
    found_all(conversation(driver, simulator, polls=3), simulator.said)
    assert len(simulator.said) == 4
    with pytest.raises(ValidationError, match="needs generation = 3"):
        Rbr.Settings(mode="streaming", generation=4)


def test_the_simulator_speaks_when_told_and_refuses_what_it_does_not_know() -> None:
    simulator = RbrSimulator(streaming=False)
    assert simulator.tick(START_NS) == b""
    assert simulator.receive(b"streamserial state = on\r\n", START_NS) == b"streamserial state = on\r\nReady: "
    assert simulator.tick(START_NS).startswith(b"2026-01-01 00:00:00.000, ")
    simulator.speaking = False
    assert simulator.tick(START_NS + 10**10) == b""
    assert simulator.receive(b"hello\r\n", START_NS) == b"E0102 invalid command 'hello'\r\nReady: "
    assert b"labelslist = conductivity_00" in simulator.receive(Rbr.hail(), START_NS)
    with pytest.raises(ValueError, match="interval_s must be"):
        RbrSimulator(interval_s=0.01)
