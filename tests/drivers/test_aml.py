"""AML: lines of the manuals and of a real instrument, damage, and the simulator."""

from functools import reduce
from operator import xor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.aml import Aml
from drivers.driver import load
from drivers.simulators.aml import AmlSimulator
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
from tidegate.clock import UNKNOWN, isoformat
from tidegate.frame import Missing

C, T, P = "sea_water_electrical_conductivity", "sea_water_temperature", "sea_water_pressure_due_to_sea_water"
SV, DEPTH = "speed_of_sound_in_sea_water", "depth"

# AML-6 RT manual, pages 36 and 37.
BLOCK = (
    b"[MeasurementMetadata]\r\nColumns=Date,Time,Cond,TempCT,Pressure,SV,Depth\r\n"
    b"Units=yyyy-mm-dd,hh:mm:ss.ss,mS/cm,C,dbar,m/s,m\r\n"
)
COLUMN = b"2020-05-27,18:59:26.03,5.122,24.044,10.09,1459.111,10.07\r\n"
AMLX = (
    b"msg138{mux[meta=time,1590605500.55,s],port1[data=Cond,0.000000,mS/cm][rawi=ADC,563,none]"
    b"[data=TempCT,23.881313,C][rawi=ADC,428710,none],port2[data=Pressure,0.071390,dbar][rawi=ADC,844470,2sComp],"
    b"port3[data=SV,0.000000,m/s][rawf=NSV,0.000000,samples],derive[data=Depth,0.070998,m]}\r\n"
)
# A real instrument, with its checksum: tests of a public parser (aml_ctd).
REAL = (
    b"msg226{mux[meta=time,1748877153.19,s][data=uv,1],port1[data=Cond,0.000000,mS/cm][rawi=ADC,557,none]"
    b"[data=TempCT,26.409889,C][rawi=ADC,441415,none],port2[data=Chloro-blue,0.459863,ug/L][rawi=ADC,75724,2sComp],"
    b"port3[data=DO,285.149994,umol/l][data=TempDO,27.024000,C],port4[data=Phycoerythrin,0.707371,ppb]"
    b"[rawi=ADC,28688,2sComp],port5[data=Turbidity,28.260294,NTU][rawi=ADC,60042,2sComp],"
    b"port6[data=Pressure,0.032359,dBar][rawi=ADC,932854,2sComp],port7[data=PAR,0.000776,Volts]"
    b"[rawi=ADC,2053,2sComp],derive[data=Dens,-99.989998,kg/m3][data=Depth,0.032181,m][data=SalC,-99.989998,psu]"
    b"[data=SV,-99.989998,m/s]}*4E\r\n"
)
# An AML-6 RTS manual: the whole reply to DISPLAY SENSORS.
SENSORS = (
    b"[SensorMetaData]\r\nColumns=Port,Model,SerialNumber,Firmware,Parameter,Units,CalibrationDate,CalibrationTime,"
    b"Accuracy,RangeMin,RangeMax\r\n[SensorData]\r\n1,CT.Xchange,450801,,Cond,mS/cm,2020-03-28,11:47:47,0.002,0,56\r\n"
    b"5,Idronaut pH,750105,1.00,pH,pH,2019-10-18,13:51:04,0.087,0,0\r\n[MeasurementMetadata]\r\n"
    b"Columns=Date,Time,Cond,TempCT,Pressure,Turbidity,SV,pH,SV,TempSVT,UV,Depth\r\n"
    b"Units=yyyy-mm-dd,hh:mm:ss.ss,mS/cm,C,dbar,NTU,m/s,pH,m/s,C,Status,m\r\n"
)


def one(data: bytes, given: dict[str, Any] | None = None) -> dict[str, Any]:
    """The only sample of the lines."""
    decoded = decode(Aml, data, given)
    assert problems(decoded) == []
    (frame,) = frames(decoded)
    return {"time": isoformat(int(frame.time[0])), **{name: values[0].item() for name, values in frame.columns.items()}}


def test_the_column_line_of_the_manual() -> None:
    wanted = {"time": "2020-05-27T18:59:26.030000000Z", C: 0.5122, T: 24.044, P: 10.09, SV: 1459.111, DEPTH: 10.07}
    assert one(b">DIS SENSORS\r\n" + BLOCK + b">MONITOR\r\n>" + COLUMN) == wanted
    names = ["Date", "Time", "Cond", "TempCT", "Pressure", "SV", "Depth"]
    assert one(COLUMN, {"columns": names}) == one(COLUMN.replace(b",", b"\t"), {"columns": names}) == wanted
    units = ["", "", "uS/cm", "C", "dbar", "m/s", "m"]
    assert one(COLUMN, {"columns": names, "units": units})[C] == 0.0005122
    assert [schema.kind for schema in Aml("it", Aml.Settings(columns=tuple(names))).schemas()] == ["ctd"]


def test_the_whole_reply_about_the_sensors() -> None:
    line = b"2020-05-27,18:59:26.03,5.122,24.044,10.09,1.25,1459.111,8.01,1459.2,24.1,1,10.07\r\n"
    driver = Aml("it")
    decoded = driver.feed(b">DISPLAY SENSORS\r\n" + SENSORS + b">MONITOR\r\n>" + line, UNKNOWN)
    assert problems(decoded) == []
    (frame,) = frames(decoded)
    found = {name: values[0].item() for name, values in frame.columns.items()}
    assert (found[SV], found["sea_water_temperature_2"], found["sea_water_turbidity"]) == (1459.111, 24.1, 1.25)
    assert driver.description()["channels_left_out"] == ["UV"]


def test_amlx() -> None:
    decoded = decode(Aml, AMLX)
    assert problems(decoded) == []
    (frame,) = frames(decoded)
    assert isoformat(int(frame.time[0])) == "2020-05-27T18:51:40.550000000Z"
    found = {name: values[0].item() for name, values in frame.columns.items()}
    assert {name: found[name] for name in (C, T, P, DEPTH)} == {C: 0.0, T: 23.881313, P: 0.07139, DEPTH: 0.070998}
    assert frame.missing(SV).tolist() == [Missing.INVALID]  # in air


def test_a_real_instrument_with_its_checksum() -> None:
    decoded = decode(Aml, REAL)
    assert problems(decoded) == []
    (frame,) = frames(decoded)
    assert isoformat(int(frame.time[0])) == "2025-06-02T15:12:33.190000000Z"
    found = {name: values[0].item() for name, values in frame.columns.items() if frame.missing(name)[0] == 0}
    assert found == {
        C: 0.0,
        T: 26.409889,
        "mass_concentration_of_chlorophyll_in_sea_water": 0.459863,
        "mole_concentration_of_dissolved_molecular_oxygen_in_sea_water": 285.149994,
        "sea_water_turbidity": 28.260294,
        P: 0.032359,
        DEPTH: 0.032181,
    }
    for name in ("sea_water_density", "sea_water_practical_salinity", SV):
        assert frame.missing(name).tolist() == [Missing.INVALID]
    assert kinds(decode(Aml, REAL.replace(b"*4E", b"*4F"))) == ["checksum"]


def test_an_unknown_parameter_is_refused_until_it_is_named() -> None:
    line = AMLX.replace(b"data=Depth", b"data=Width")
    assert kinds(decode(Aml, line)) == ["parameter"]
    assert column(decode(Aml, line, {"ignore": ["Width"]}), T) == [23.881313]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (AMLX.replace(b"][raw", b"[raw", 1), "syntax"),
        (AMLX.replace(b"23.881313", b"23.88l313"), "syntax"),
        (AMLX.replace(b"428710", b"42x710"), "syntax"),
        (AMLX.replace(b"C][rawi", b"K][rawi"), "unit"),
        (AMLX.replace(b"1590605500.55,s", b"1590605500.55,m"), "syntax"),
        (AMLX.replace(b"}", b""), "syntax"),
        (AMLX.replace(b"23.881313", b"93.881313"), "implausible"),
        (COLUMN, ""),
        (COLUMN.replace(b"24.044", b"24,044"), "columns"),
        (COLUMN.replace(b"24.044", b"24044"), "syntax"),
        (COLUMN.replace(b"05-27", b"02-30"), "syntax"),
        (b"$GPGGA,101229.70*00\r\n", "unknown"),
        (b"2020-\xff5-27,18:59\r\n", "noise"),
    ],
)
def test_a_damaged_line_is_refused(line: bytes, kind: str) -> None:
    decoded = decode(Aml, BLOCK + COLUMN + line + COLUMN)
    assert kinds(decoded) == ([kind] if kind else [])
    if kind and kind != "implausible":
        assert samples(decoded) == samples(decode(Aml, BLOCK + COLUMN + COLUMN))


def test_columns_that_are_not_known_are_no_numbers() -> None:
    assert kinds(decode(Aml, COLUMN)) == ["columns"]
    assert kinds(decode(Aml, BLOCK.replace(b",Depth", b"") + COLUMN)) == ["columns"]


STREAM = (
    COLUMN + b">DIS SENSORS\r\n" + SENSORS + b">" + COLUMN + BLOCK + COLUMN * 3 + AMLX + REAL * 2
    + REAL.replace(b"26.4", b"27.4") + COLUMN.replace(b"24.044", b"99.044") + b"\x80\r\n" + AMLX * 2 + COLUMN[:30]
)  # fmt: skip


@settings(PROBABLE, max_examples=60)
@given(st.sets(st.integers(0, len(STREAM)), max_size=30))
def test_cutting_never_matters(cuts: set[int]) -> None:
    cut_anywhere(Aml, STREAM, None, cuts)


def test_bytes_one_by_one() -> None:
    cut_anywhere(Aml, STREAM, None, range(1, len(STREAM)))
    decoded = decode(Aml, STREAM)
    assert kinds(decoded) == ["columns", "columns", "checksum", "implausible", "noise", "truncated"]
    assert len(times(decoded)) == 9


@settings(PROBABLE, max_examples=200)
@given(st.data())
def test_one_damaged_byte_costs_its_line_alone(data: st.DataObject) -> None:
    line = REAL.rstrip()
    at, byte = data.draw(st.integers(0, len(line) - 1)), data.draw(st.integers(0, 255))
    if bytes([byte]) in b"\r\n" or byte == line[at] or chr(byte).upper() == chr(line[at]):
        return
    decoded = decode(Aml, REAL + line[:at] + bytes([byte]) + line[at + 1 :] + b"\r\n" + REAL)
    assert samples(decoded) == samples(decode(Aml, REAL + REAL))
    if not (at == 0 and byte in b">"):
        assert [offset for _, offset, _ in problems(decoded)] == [len(REAL)]


@settings(PROBABLE, max_examples=200)
@given(st.data())
def test_without_a_checksum_only_digits_can_hide(data: st.DataObject) -> None:
    line = AMLX.rstrip()
    at, byte = data.draw(st.integers(0, len(line) - 1)), data.draw(st.integers(0, 255))
    hidden = b"0123456789-.\r\n"
    raw = line[: at + 1].rfind(b"[raw") > line[: at + 1].rfind(b"[data")  # names of raw values say nothing
    if bytes([byte]) in hidden or byte == line[at] or raw:
        return
    decoded = decode(Aml, AMLX + line[:at] + bytes([byte]) + line[at + 1 :] + b"\r\n" + AMLX)
    assert samples(decoded) == samples(decode(Aml, AMLX + AMLX))
    assert len(problems(decoded)) == 1


@PROBABLE
@given(st.binary(max_size=2000), st.integers(0, 2000))
def test_random_bytes_give_no_sample(noise: bytes, cut: int) -> None:
    given_ = {"columns": ["Cond", "TempCT", "Pressure"]}
    assert not frames(decode(Aml, noise, given_, [min(cut, len(noise))]))


# The simulator


def test_it_is_installed() -> None:
    cls = load("aml")
    assert cls is Aml
    assert (cls("it").start(), cls("it").poll()) == (b"", b"")
    assert cls("it", Aml.Settings(mode="monitor")).start().endswith(b"DIS SENSORS\r\nMONITOR\r\n")


@PROBABLE
@given(
    seed=st.integers(0, 9),
    outputformat=st.sampled_from(["columns", "amlx"]),
    checksum=st.booleans(),
    cut=st.integers(1, 300),
)
def test_the_driver_finds_all_that_the_simulator_said(seed: int, outputformat: Any, checksum: bool, cut: int) -> None:
    mischief = Mischief(period=4, spikes=(1,), spike_by=1.5, stuck=(2, 3))
    simulator = AmlSimulator(seed=seed, outputformat=outputformat, checksum=checksum, mischief=mischief)
    data = BLOCK + b"".join(simulator.tick(START_NS + step * 500_000_000) for step in range(12))
    found_all(decode(Aml, data, None, range(cut, len(data), cut)), simulator.said)


@pytest.mark.parametrize("outputformat", ["columns", "amlx"])
def test_the_simulator_answers_what_the_driver_sends(outputformat: Any) -> None:
    simulator = AmlSimulator(outputformat=outputformat, monitoring=False)
    driver = Aml("it", Aml.Settings(mode="monitor"))
    decoded = conversation(driver, simulator, polls=3)
    found_all(decoded, simulator.said)
    assert len(simulator.said) == 4
    assert simulator.receive(b"\r", START_NS) == b">"
    assert simulator.tick(START_NS + 10**12) == b""
    assert b"MeasurementMetadata" in simulator.receive(Aml.hail(), START_NS)
    with pytest.raises(ValueError, match="interval_s must be"):
        AmlSimulator(interval_s=0.01)


def test_the_checksum_is_of_all_before_the_star() -> None:
    assert reduce(xor, REAL.rstrip()[:-3]) == 0x4E
