"""Modbus maps: the manuals' own answers, every order of bytes, and answers that are refused, missing or damaged."""

import json
import math
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from drivers.driver import Decoded, Problem, load
from drivers.modbus_map import ModbusMap
from drivers.register_map import (
    Block,
    Map,
    Order,
    Settings,
    Type,
    decode_all_orders,
    decode_registers,
    encode_registers,
    plan,
    shipped,
    shipped_map,
)
from drivers.simulators.modbus_map import ModbusMapSimulator
from drivers.simulators.radar import ILLEGAL_ADDRESS, ILLEGAL_FUNCTION, RadarSimulator
from drivers.simulators.simulator import Mischief
from tests.recordings import DATA, needs_recordings
from tidegate.clock import UNKNOWN, Arrival, TimeSource
from tidegate.codec import decode_frame, encode_frame
from tidegate.frame import MISSING_INT, Frame, Missing, rows
from tidegate.vocabulary import parameter

LEVEL = "water_surface_height_above_reference_datum"
ORDERS = get_args(Order)
AT = Arrival(1_700_000_000_000_000_000, 5_000_000_000, "00ff00ff00ff00ff", True)


def modbus(**values: Any) -> ModbusMap:
    return ModbusMap("gauge", ModbusMap.Settings(**values))


def register(**values: Any) -> dict[str, Any]:
    return {"parameter": LEVEL, "address": 0, "type": "float32", **values}


def requests(driver: ModbusMap) -> list[bytes]:
    poll = driver.poll()
    return [poll[i : i + 6] for i in range(0, len(poll), 6)]


def answer(request: bytes, registers: Sequence[int]) -> bytes:
    assert len(registers) == int.from_bytes(request[4:], "big")
    return request + struct.pack(f">{len(registers)}H", *registers)


def refusal(request: bytes, code: int) -> bytes:
    return request[:1] + bytes([request[1] | 0x80]) + request[2:] + bytes([code])


def frames(decoded: Iterable[Decoded]) -> list[Frame]:
    return [item for item in decoded if isinstance(item, Frame)]


def problems(decoded: Iterable[Decoded]) -> list[Problem]:
    return [item for item in decoded if isinstance(item, Problem)]


def kinds(decoded: Iterable[Decoded]) -> list[str]:
    return [item.kind for item in problems(decoded)]


def samples(decoded: Iterable[Decoded]) -> list[tuple[Any, ...]]:
    return [
        (int(frame.time[i]), *((frame.columns[n][i].tobytes(), int(frame.missing(n)[i])) for n in frame.columns))
        for frame in frames(decoded)
        for i in range(len(frame))
    ]


def pieces(data: bytes, cuts: Iterable[int]) -> Iterator[bytes]:
    for a, b in pairwise(sorted({0, len(data), *(c % (len(data) + 1) for c in cuts)})):
        yield data[a:b]


# --- numbers in registers ---------------------------------------------------------------------------------------------


def test_the_four_orders_are_what_their_names_say() -> None:
    sent = {"ABCD": [0x0A0B, 0x0C0D], "CDAB": [0x0C0D, 0x0A0B], "BADC": [0x0B0A, 0x0D0C], "DCBA": [0x0D0C, 0x0B0A]}
    order: Order
    for order in ORDERS:
        assert encode_registers(0x0A0B0C0D, "uint32", order) == sent[order]
        assert decode_registers(sent[order], "uint32", order) == 0x0A0B0C0D
    assert encode_registers(0x0102030405060708, "int64", "CDAB") == [0x0708, 0x0506, 0x0304, 0x0102]
    assert encode_registers(0x0102030405060708, "int64", "DCBA") == [0x0807, 0x0605, 0x0403, 0x0201]
    assert encode_registers(0x0102, "uint16", "CDAB") == [0x0102]
    assert encode_registers(0x0102, "uint16", "DCBA") == [0x0201]


RANGES = {
    "int16": st.integers(-(2**15), 2**15 - 1),
    "uint16": st.integers(0, 2**16 - 1),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "uint32": st.integers(0, 2**32 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "float32": st.floats(width=32, allow_nan=False),
    "float64": st.floats(allow_nan=False),
}


@settings(max_examples=200)
@given(st.sampled_from(get_args(Type)), st.sampled_from(ORDERS), st.data())
def test_any_value_in_any_order_comes_back(kind: Type, order: Order, data: st.DataObject) -> None:
    value = data.draw(RANGES[kind])
    registers = encode_registers(value, kind, order)
    back = decode_registers(registers, kind, order)
    assert (np.float32(back) if kind == "float32" else back) == value
    table = decode_all_orders(registers)
    assert (
        table[kind]["BADC" if order in ("BADC", "DCBA") else "ABCD"]
        if len(registers) == 1
        else table[kind][order] == [back]
    )


def test_a_block_of_unknown_registers_shows_its_readings() -> None:
    table = decode_all_orders([0xC000, 0x440A, 0x0001])
    assert table["float32"]["CDAB"][0] == 555.0
    assert table["uint16"] == {"ABCD": [0xC000, 0x440A, 1], "BADC": [0x00C0, 0x0A44, 0x0100]}
    assert {order: len(values) for order, values in table["int32"].items()} == dict.fromkeys(ORDERS, 2)
    assert table["float64"] == {order: [] for order in ORDERS}
    assert decode_all_orders([])["uint16"] == {"ABCD": [], "BADC": []}


# --- the manuals' answers ---------------------------------------------------------------------------------------------


def vectors(device: str) -> list[dict[str, Any]]:
    entries = json.loads((DATA / "modbus" / "manual_vectors.json").read_text())
    found = [entry for entry in entries if entry["device"].startswith(device)]
    assert found
    return found


def exchange(entry: dict[str, Any]) -> bytes:
    """The record of a request and its answer as they stand on an RTU line."""
    asked, said = bytes.fromhex(entry["req"]), bytes.fromhex(entry["resp"])
    assert (said[0], said[1], said[2]) == (asked[0], asked[1], len(said) - 5)
    return asked[:6] + said[3:-2]


@needs_recordings
def test_keller_transmitters_are_read_as_their_manual_reads_them() -> None:
    by_request = {entry["req"][:11]: entry for entry in vectors("Keller")}
    early = modbus(map="keller-early")
    assert [request.hex(" ") for request in requests(early)] == ["01 03 00 02 00 08"]
    # The manual asks for P1 and TOB1 one by one; together they are one answer.
    p1, tob1 = exchange(by_request["01 03 00 02"])[6:], exchange(by_request["01 03 00 08"])[6:]
    (frame,) = frames(early.feed(early.poll() + p1 + bytes(8) + tob1, AT))
    (row,) = rows([frame])
    assert row["sea_water_pressure"] == pytest.approx(9.60701, abs=0.51e-4)
    assert row["temperature_of_pressure_sensor"] == pytest.approx(22.719, abs=0.51e-3)

    keller = modbus(map="keller")
    entry = by_request["01 03 01 00"]
    assert keller.poll() == exchange(entry)[:6]
    (row,) = rows(frames(keller.feed(exchange(entry), AT)))
    assert row["sea_water_pressure"] == pytest.approx(entry["expect"]["P1_bar"] * 10, abs=0.51e-4)
    assert row["temperature_of_pressure_sensor"] == pytest.approx(entry["expect"]["TOB1_C"], abs=0.51e-3)


@needs_recordings
def test_word_swapped_floats_are_read_as_campbells_manual_reads_them() -> None:
    (entry,) = vectors("Campbell")
    registers = [int(r, 16) for r in entry["registers"]]
    driver = modbus(
        registers=[register(parameter="gain", label="Gain", unit="1", resolution=0.1, order=entry["word_order"])]
    )
    assert driver.description()["labels"] == {"gain": "Gain"}
    (row,) = rows(frames(driver.feed(answer(driver.poll(), registers), AT)))
    assert row["gain"] == entry["expect"]["value"]


@needs_recordings
def test_the_shipped_maps_ask_for_the_registers_of_the_manuals() -> None:
    (vega,), geolux = vectors("VEGAPULS"), vectors("Geolux LX-80(-15)")[0]
    driver = modbus(map="vegapuls-61")
    assert "ABCD" in vega["map"]["input"]["2000..2008"]
    assert "default 246" in vega["map"]["holding"]["200 address"]
    assert driver.blocks == [Block(4, 2000, 4)]
    assert driver.poll()[0] == 246
    assert geolux["map"]["FC03 0x0001"] == "current level (mm)"
    driver = modbus(map="geolux-lx80")
    first, second = requests(driver)
    assert (first.hex(), second.hex()) == ("010300010001", "010300200001")
    decoded = driver.feed(answer(first, [4567]) + answer(second, [0xFFFE]), AT)
    (row,) = rows(frames(decoded))
    assert (row["distance_from_sensor_to_water_surface"], row[LEVEL]) == (4.567, -0.002)


def test_every_shipped_map_is_sound() -> None:
    by_the_user = {name for name in shipped() if not shipped_map(name).registers}
    assert by_the_user == {"campbell", "ysi-exo"}
    for name in shipped():
        own = [register(parameter="sea_water_temperature", address=1)] if name in by_the_user else []
        driver = modbus(map=name, registers=own)
        (schema,) = driver.schemas()
        assert len(schema.fields) == len(driver.map.registers) > 0
        assert driver.description()["manufacturer"] == driver.map.manufacturer != "Modbus"
        assert all(re.fullmatch(r"\d+ 8[NEO][12]", line) for line in driver.map.serial)
    guesses = ModbusMap.guesses()
    assert {g.map for g in guesses if isinstance(g, Settings)} == set(shipped()) - by_the_user
    assert load("modbus") is ModbusMap


# In-Situ: value, then parameter id, units id, quality (Level TROLL, RDO PRO-X, Aqua TROLL 400), or quality, units id,
# parameter id (RDO Blue, Aqua TROLL 500 and 600); then the off-line value, and 0 for a register that is not asked for.


def in_situ(value: float, ident: int, unit: int, quality: int = 0, *, quality_first: bool = False) -> list[int]:
    three = [quality, unit, ident] if quality_first else [ident, unit, quality]
    return [*struct.unpack(">HH", struct.pack(">f", value)), *three]


def troll(blocks: Sequence[list[int]]) -> list[int]:
    padded = [register for block in blocks for register in [*block, 0, 0, 0]]
    return padded[:-3]


def test_a_level_troll_is_read_in_whatever_units_it_gives() -> None:
    driver = modbus(map="level-troll-vented")
    assert driver.poll().hex() == "010300250015"  # register number 38 is address 37: 21 registers
    decoded = []
    for psi, degf, feet in ((1.0, 50.0, 10.0), (-0.5, 68.0, 0.0)):
        said = troll([in_situ(psi, 2, 17), in_situ(degf, 1, 2), in_situ(feet, 3, 38)])
        decoded += driver.feed(answer(driver.poll(), said), AT)
    said = troll([in_situ(12.5, 2, 21), in_situ(10.25, 1, 1), in_situ(1.25, 3, 35)])
    decoded += driver.feed(answer(driver.poll(), said), AT)
    assert not problems(decoded)
    table = list(rows(frames(decoded)))
    assert [row["sea_water_pressure_due_to_sea_water"] for row in table] == [0.689, -0.345, 0.125]
    assert [row["sea_water_temperature"] for row in table] == [10.0, 20.0, 10.25]
    assert [row["depth"] for row in table] == [3.048, 0.0, 1.25]


def test_a_value_in_an_unknown_unit_or_of_another_quantity_is_refused_and_never_bent() -> None:
    driver = modbus(map="level-troll-vented")
    # mmHg, which the map does not know; a level in the place of the depth; an error with the off-line value.
    said = troll([in_situ(7.5, 2, 22), in_situ(0.0, 1, 1, quality=3), in_situ(1.5, 5, 35)])
    decoded = driver.feed(answer(driver.poll(), said), AT)
    assert sorted(kinds(decoded)) == ["identity", "unit"]
    told = {p.kind: p.message for p in problems(decoded)}
    assert "unit number 22, and the map knows only 17 (psi), 18 (Pa)" in told["unit"]
    assert "must have its quantity number 3, and has 5" in told["identity"]
    (frame,) = frames(decoded)
    assert frame.missing("sea_water_pressure_due_to_sea_water")[0] == Missing.UNREADABLE
    assert frame.missing("sea_water_temperature")[0] == Missing.INVALID
    assert frame.missing("depth")[0] == Missing.UNREADABLE
    # One's own register in the map's place makes a level of it.
    level = register(
        address=54,
        identity={"address": 56, "equals": 5},
        unit_code={"address": 57, "codes": {35: "m", 38: "ft"}},
    )
    driver = modbus(map="level-troll-vented", registers=[level])
    assert [f.name for f in driver.schemas()[0].fields][-2:] == ["depth", LEVEL]


@pytest.mark.parametrize(
    ("map_", "quality_first", "expected"),
    [("rdo-pro-x", False, (7.1, 28.5, 98.25)), ("rdo-blue", True, (7.1, 28.5, 98.25))],
)
def test_both_layouts_of_in_situ_are_read_and_not_taken_for_each_other(
    map_: str, quality_first: bool, expected: tuple[float, ...]
) -> None:
    names = (
        "mass_concentration_of_oxygen_in_sea_water",
        "sea_water_temperature",
        "fractional_saturation_of_oxygen_in_sea_water",
    )

    def said(first: bool) -> list[int]:
        numbers = ((7100.0, 20, 118), (28.5, 1, 1), (98.25, 21, 177))
        return troll([in_situ(*block, quality_first=first) for block in numbers])

    driver = modbus(map=map_)
    assert driver.poll().hex() == "010300250015"
    (row,) = rows(frames(driver.feed(answer(driver.poll(), said(quality_first)), AT)))
    assert tuple(row[name] for name in names) == expected
    decoded = driver.feed(answer(driver.poll(), said(not quality_first)), AT)
    assert all(frame.missing(name).all() for frame in frames(decoded) for name in names)
    assert kinds(decoded) == ["identity"] * 3


def test_an_aqua_troll_600_is_read_where_its_manual_puts_each_parameter() -> None:
    driver = modbus(map="aqua-troll-600")
    # Parameter n stands at register 5451 + 7 (n - 1): 1, 9, 10, 12, 17, 19, 20, 21.
    assert [int.from_bytes(r[2:4], "big") for r in requests(driver)] == [
        5450 + 7 * (n - 1) for n in (1, 9, 10, 12, 17, 19, 20, 21)
    ]
    numbers: tuple[tuple[float, int, int], ...] = (
        (29.1, 1, 1),
        (48000.0, 9, 65),
        (45.5, 10, 66),
        (32.5, 12, 97),
        (8.05, 17, 145),
        (201.5, 19, 162),
    )
    numbers += ((6.25, 20, 117), (97.5, 21, 177))
    data = b"".join(
        answer(request, in_situ(*block, quality_first=True))
        for request, block in zip(requests(driver), numbers, strict=True)
    )
    (row,) = rows(frames(driver.feed(data, AT)))
    values = [29.1, 4.8, 4.55, 32.5, 8.05, 201.5, 6.25, 97.5]
    assert list(row.values())[1:] == pytest.approx(values, abs=1e-9)


def test_a_leveline_ctd_is_read_by_the_table_of_its_manual() -> None:
    driver = modbus(map="aquaread-leveline-ctd")
    assert driver.poll().hex() == "01040000000a"
    said = [2655, *divmod(11325, 65536), *divmod(51234, 65536), 0, 47000, *divmod(49876, 65536), 3345]
    (row,) = rows(frames(driver.feed(answer(driver.poll(), said), AT)))
    assert list(row.values())[1:] == [26.55, 11.325, 5.1234, 4.9876, 33.45]


@pytest.mark.parametrize(
    ("map_", "asks", "floats", "expected"),
    [
        ("yosemitech-do", "010326000004", (23.156, 0.975), {"fractional_saturation_of_oxygen_in_sea_water": 97.5}),
        ("yosemitech-turbidity", "010326000005", (23.156, 12.5), {"sea_water_turbidity": 12.5}),
        ("yosemitech-conductivity", "010326000005", (23.156, 1.388), {"sea_water_electrical_conductivity": 0.1388}),
        (
            "yosemitech-chlorophyll",
            "010326000005",
            (23.156, 3.25),
            {"mass_concentration_of_chlorophyll_in_sea_water": 3.25},
        ),
    ],
)
def test_yosemitech_probes_are_read_as_others_read_them(
    map_: str, asks: str, floats: tuple[float, ...], expected: dict[str, float]
) -> None:
    # 23.156 degC and 1.388 mS/cm are what EnviroDIY's program printed of a Y520 (Results-1solution.txt).
    driver = modbus(map=map_)
    assert driver.poll().hex() == asks
    payload = struct.pack("<2f", *floats)
    error = driver.poll()[5] == 5
    decoded = driver.feed(driver.poll() + payload + (b"\0\0" if error else b""), AT)
    (row,) = rows(frames(decoded))
    assert {k: v for k, v in row.items() if k != "time"} == {"sea_water_temperature": 23.156, **expected}
    if error:
        (frame,) = frames(driver.feed(driver.poll() + payload + b"\x02\0", AT))
        assert all(frame.missing(name)[0] == Missing.INVALID for name in frame.columns)


def test_a_radar_that_does_not_work_gives_no_level_though_its_waves_are_kept() -> None:
    driver = modbus(map="geolux-lx80-waves")
    asked = requests(driver)
    assert [r.hex() for r in asked] == [
        "010300010001", "0103001e0001", "010300200001", "010300290001", "010300330005",
    ]  # fmt: skip
    said = ([4567], [1], [0xFFFE], [35], [612, 598, 603, 43, 41])
    decoded = driver.feed(b"".join(map(answer, asked, said)), AT)
    (row,) = rows(frames(decoded))
    assert list(row.values())[1:] == [4.567, -0.002, 0.035, 0.612, 0.598, 0.603, 4.3, 4.1]
    decoded = driver.feed(b"".join(map(answer, asked, (said[0], [0], *said[2:]))), AT)
    (row,) = rows(frames(decoded))
    assert list(row.values())[1:] == [None, None, None, 0.612, 0.598, 0.603, 4.3, 4.1]


def test_a_loggers_floats_need_no_more_than_their_names_and_places() -> None:
    own = [
        {"parameter": "sea_water_temperature", "address": 1},
        {"parameter": "air_pressure", "address": 3, "unit": "kPa"},
    ]
    driver = modbus(map="campbell", registers=own)
    assert driver.poll().hex() == "010300000004"
    floats = struct.pack(">2f", 28.25, 100.9375)
    said = floats[2:4] + floats[0:2] + floats[6:8] + floats[4:6]
    (row,) = rows(frames(driver.feed(driver.poll() + said, AT)))
    assert (row["sea_water_temperature"], row["air_pressure"]) == (28.25, 1009.38)
    straight = modbus(map="campbell", registers=own, order="ABCD")
    (row,) = rows(frames(straight.feed(straight.poll() + floats, AT)))
    assert row["sea_water_temperature"] == 28.25


def test_an_exo_whose_set_up_was_changed_cannot_bend_the_data() -> None:
    own = [
        {
            "parameter": name,
            "address": 384 + 2 * i,
            "identity": {"address": 128 + i, "equals": code},
            "status": {"address": 256 + i, "good": [0]},
        }
        for i, (name, code) in enumerate((("sea_water_temperature", 1), ("sea_water_practical_salinity", 12)))
    ]
    driver = modbus(map="ysi-exo", registers=own)
    types, states, values = requests(driver)
    assert (types.hex(), states.hex(), values.hex()) == ("010300800002", "010301000002", "010301800004")
    floats = [*encode_registers(28.5, "float32", "CDAB"), *encode_registers(33.25, "float32", "CDAB")]
    good = answer(types, [1, 12]) + answer(states, [0, 0]) + answer(values, floats)
    (row,) = rows(frames(driver.feed(good, AT)))
    assert (row["sea_water_temperature"], row["sea_water_practical_salinity"]) == (28.5, 33.25)
    swapped = answer(types, [12, 1]) + answer(states, [0, 2]) + answer(values, floats)
    decoded = driver.feed(swapped, AT)
    (frame,) = frames(decoded)
    assert frame.missing("sea_water_temperature")[0] == Missing.UNREADABLE
    assert frame.missing("sea_water_practical_salinity")[0] != 0


def test_a_recording_that_knows_no_boot_is_one_frame() -> None:
    driver = modbus(map="vegapuls-61")
    said = [*encode_registers(0, "uint32"), *encode_registers(1.5, "float32")]
    pieces_ = [(answer(driver.poll(), said), Arrival(AT.utc_ns + i * 10**9, 0, "", False)) for i in range(5)]
    assert sum(len(f) for f in frames(driver.feed_all(pieces_))) == 5
    decoded = driver.feed(b"".join(data for data, _ in pieces_), UNKNOWN)
    assert [len(f) for f in frames(decoded)] == [5]


# --- samples ----------------------------------------------------------------------------------------------------------

THREE = {
    "registers": [
        register(parameter="air_pressure", address=100, type="uint16", unit="hPa", scale=0.1, invalid=[0xFFFF]),
        register(parameter="sea_water_temperature", address=10, function=4, order="CDAB"),
        register(address=11, type="int16", unit="cm"),
        register(parameter="sample_number", address=12, type="uint32"),
    ]
}


def test_several_answers_make_one_sample_with_the_time_of_the_first() -> None:
    driver = modbus(**THREE)
    assert driver.blocks == [Block(3, 11, 3), Block(3, 100, 1), Block(4, 10, 2)]
    first, second, third = requests(driver)
    late = Arrival(AT.utc_ns + 10**9, AT.monotonic_ns + 10**9, AT.boot, True)
    assert driver.feed(answer(first, [0xFF9C, 1, 2]), AT) == []
    assert driver.feed(answer(second, [10132]), late) == []
    (frame,) = frames(driver.feed(answer(third, encode_registers(28.5, "float32", "CDAB")), late))
    (row,) = rows([frame])
    assert {k: v for k, v in row.items() if k != "time"} == {
        "air_pressure": 1013.2,
        "sea_water_temperature": 28.5,
        LEVEL: -1.0,
        "sample_number": 65538,
    }
    assert (frame.time.tolist(), frame.source, frame.arrival) == ([AT.utc_ns], TimeSource.ARRIVAL, AT)
    assert frame.schema.by_name[LEVEL].resolution == 0.01
    assert frame.schema.by_name["air_pressure"].resolution == 0.1
    (again,) = rows([decode_frame(encode_frame(frame), {frame.schema.id: frame.schema})])
    assert again == row


def test_a_refused_or_mute_block_leaves_only_its_own_values_missing() -> None:
    driver = modbus(**THREE)
    first, second, third = requests(driver)
    decoded = driver.feed(answer(first, [5, 0, 7]) + refusal(second, 2) + refusal(third, 0x0B), AT)
    assert [(p.kind, p.offset, p.size) for p in problems(decoded)] == [("exception", 12, 7), ("no_answer", 19, 7)]
    assert "illegal data address" in problems(decoded)[0].message
    assert "registers 100 to 100" in problems(decoded)[0].message
    (frame,) = frames(decoded)
    assert frame.columns[LEVEL][0] == 0.05
    assert frame.columns["sample_number"][0] == 7
    assert math.isnan(frame.columns["air_pressure"][0])
    assert frame.missing("air_pressure").tolist() == [Missing.REFUSED]
    assert frame.missing("sea_water_temperature").tolist() == [Missing.NO_ANSWER]
    assert frame.missing(LEVEL).tolist() == [Missing.PRESENT]

    decoded = driver.feed(refusal(first, 4) + answer(second, [10000]) + answer(third, [0, 0]), AT)
    (frame,) = frames(decoded)
    assert frame.columns["sample_number"].tolist() == [MISSING_INT]
    assert frame.missing("sample_number").tolist() == [Missing.REFUSED]


def test_where_nothing_was_answered_there_is_no_sample() -> None:
    driver = modbus(**THREE)
    decoded = driver.feed(b"".join(refusal(request, 0x0B) for request in requests(driver)), AT)
    assert kinds(decoded) == ["no_answer"] * 3
    assert not frames(decoded)
    assert frames(driver.feed(b"".join(answer(r, [0] * r[5]) for r in requests(driver)), AT))


def test_an_answer_never_joins_the_sample_of_another_poll() -> None:
    driver = modbus(**THREE)
    first, second, third = requests(driver)
    torn = answer(first, [1, 0, 1]) + answer(second, [10000]) + answer(second, [10010]) + answer(third, [0, 0])
    decoded = driver.feed(torn, AT)
    assert kinds(decoded) == ["truncated", "truncated"]
    early, late = (f.take([i]) for f in frames(decoded) for i in range(len(f)))
    assert [f.columns["air_pressure"][0] for f in (early, late)] == [1000.0, 1001.0]
    assert early.missing("sea_water_temperature")[0] == late.missing(LEVEL)[0] == Missing.NO_ANSWER


def test_a_poll_whose_records_are_not_all_there_is_told_and_keeps_what_it_has() -> None:
    driver = modbus(**THREE)
    first, second, third = requests(driver)
    whole = answer(first, [5, 0, 7]) + answer(second, [10000]) + answer(third, [0, 0])
    decoded = driver.feed(answer(first, [4, 0, 6]) + whole + answer(second, [9999]) + whole[:5], AT) + driver.finish()
    assert kinds(decoded) == ["truncated", "truncated", "truncated"]
    torn, good, tail = (f.take([i]) for f in frames(decoded) for i in range(len(f)))
    assert (torn.columns[LEVEL][0], torn.missing("air_pressure")[0]) == (0.04, Missing.NO_ANSWER)
    assert not any(good.missing(name).any() for name in good.columns)
    assert (tail.columns["air_pressure"][0], tail.missing(LEVEL)[0]) == (999.9, Missing.NO_ANSWER)


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("float32", math.nan, Missing.INVALID),
        ("float32", math.inf, Missing.INVALID),
        ("float64", -math.inf, Missing.INVALID),
        ("float32", -999.25, Missing.INVALID),
        ("float32", 100.5, Missing.IMPLAUSIBLE),
        ("float32", 3e38, Missing.IMPLAUSIBLE),
        ("float32", 1.234, Missing.PRESENT),
        ("float32", 0.0, Missing.PRESENT),
        ("int16", -999, Missing.IMPLAUSIBLE),
    ],
)
def test_a_value_that_is_none_is_missing_and_says_why(kind: Type, value: float, reason: Missing) -> None:
    driver = modbus(registers=[register(type=kind, invalid=[-999.25])])
    decoded = driver.feed(answer(driver.poll(), encode_registers(value, kind)), AT)
    (frame,) = frames(decoded)
    assert frame.missing(LEVEL)[0] == reason
    assert kinds(decoded) == (["implausible"] if reason == Missing.IMPLAUSIBLE else [])
    if reason == Missing.PRESENT:
        assert frame.columns[LEVEL][0] == value
    else:
        assert math.isnan(frame.columns[LEVEL][0])


def test_a_number_too_large_to_be_carried_is_left_out_whoever_named_it() -> None:
    own = {"parameter": "counter", "label": "Counter", "unit": "1", "type": "int64"}
    driver = modbus(registers=[register(**own)])
    for value, missing in ((2**53 - 1, Missing.PRESENT), (2**53, Missing.IMPLAUSIBLE), (-(2**63), Missing.IMPLAUSIBLE)):
        (frame,) = frames(driver.feed(answer(driver.poll(), encode_registers(value, "int64")), AT))
        assert frame.missing("counter")[0] == missing
        (row,) = rows([decode_frame(encode_frame(frame), {frame.schema.id: frame.schema})])
        assert row["counter"] == (None if missing else value)


@pytest.mark.parametrize(
    ("name", "unit", "raw", "expected"),
    [
        (LEVEL, "ft", 10.0, 3.048),
        (LEVEL, "cm", 123.4, 1.234),
        ("sea_water_pressure", "psi", 14.7, 10.135),
        ("sea_water_pressure", "bar", 1.01325, 10.132),
        ("air_pressure", "kPa", 101.325, 1013.25),
        ("air_pressure", "dbar", 10.1325, 1013.25),
        ("sea_water_electrical_conductivity", "mS/cm", 45.678, 4.5678),
        ("sea_water_electrical_conductivity", "uS/cm", 45678.0, 4.5678),
        ("sea_water_temperature", "degF", 82.4, 28.0),
        ("air_temperature", "K", 300.15, 27.0),
        ("sea_water_practical_salinity", "PSU", 33.25, 33.25),
        ("wind_speed", "kn", 10.0, 5.14),
        ("relative_humidity", "%", 80.0, 80.0),
        ("battery_voltage", "mV", 12345.0, 12.345),
    ],
)
def test_units_of_the_device_become_units_of_the_vocabulary(name: str, unit: str, raw: float, expected: float) -> None:
    driver = modbus(registers=[register(parameter=name, unit=unit)])
    decoded = driver.feed(answer(driver.poll(), encode_registers(raw, "float32")), AT)
    (frame,) = frames(decoded)
    assert driver.schemas()[0].by_name[name].unit == parameter(name).unit
    assert frame.columns[name][0] == pytest.approx(expected, abs=0.51 * parameter(name).resolution)


def test_offset_and_scale_come_before_the_unit() -> None:
    # 4 to 20 mA as 0 to 65535 over 0 to 30 ft, the sensor 2 ft below the datum.
    settings = register(type="uint16", unit="ft", scale=30 / 65535, offset=-2.0, resolution=0.001)
    driver = modbus(registers=[settings])
    (frame,) = frames(driver.feed(answer(driver.poll(), [65535]), AT))
    assert frame.columns[LEVEL][0] == round(28 * 0.3048, 3)


def test_status_bits_make_only_their_own_value_invalid() -> None:
    driver = modbus(map="vegapuls-61")
    level = encode_registers(1.5, "float32")
    decoded = [
        item
        for status in (0, 1, 2, 3)
        for item in driver.feed(answer(driver.poll(), [*encode_registers(status, "uint32"), *level]), AT)
    ]
    assert [f.missing(LEVEL)[0] for f in frames(decoded)] == [0, Missing.INVALID, 0, Missing.INVALID]
    assert [f.columns["device_status"][0] for f in frames(decoded)] == [0, 1, 2, 3]


# --- the stream -------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("answer"), st.integers(0, 65535)),
            st.tuples(st.just("refuse"), st.integers(0, 255)),
            st.tuples(st.just("noise"), st.integers(0, 3000)),
        ),
        max_size=30,
    ),
    st.lists(st.integers(0, 10**6), max_size=40),
)
def test_cutting_does_not_matter_and_noise_costs_nothing_else(parts: list[tuple[str, int]], cuts: list[int]) -> None:
    driver, whole = modbus(**THREE), modbus(**THREE)
    asked = requests(driver)
    data, expected = b"", 0
    for i, (what, value) in enumerate(parts):
        request = asked[i % 3]
        if what == "answer":
            data += answer(request, [value] * request[5])
            expected += request[5] > 0
        elif what == "refuse":
            data += refusal(request, value)
        else:
            data += b"\xaa" * value
    first = whole.feed(data, AT) + whole.finish()
    second = [item for piece in pieces(data, cuts) for item in driver.feed(piece, AT)] + driver.finish()
    assert samples(first) == samples(second)
    told = [(p.kind, p.offset, p.size, p.data) for p in problems(first)]
    assert told == [(p.kind, p.offset, p.size, p.data) for p in problems(second)]
    noise = sum(value for what, value in parts if what == "noise")
    assert sum(p.size for p in problems(first) if p.kind == "noise") == noise
    refused = sum(what == "refuse" for what, _ in parts)
    assert sum(k in ("exception", "no_answer") for k in kinds(first)) == refused
    present = sum(int((f.missing(n) == 0).sum()) for f in frames(first) for n in ("air_pressure", LEVEL))
    answers = [(i % 3, value) for i, (what, value) in enumerate(parts) if what == "answer"]
    good_levels = sum(1 for block, v in answers if block == 0 and -100 <= (v - 65536 * (v > 32767)) / 100 <= 100)
    good_pressures = sum(1 for block, v in answers if block == 1 and v != 65535 and 500 <= v / 10 <= 1100)
    assert present == good_levels + good_pressures


@settings(max_examples=100)
@given(st.lists(st.one_of(st.binary(max_size=60), st.integers(0, 5)), max_size=12))
def test_random_bytes_never_raise(parts: list[bytes | int]) -> None:
    driver = modbus(**THREE)
    heads = [h for r in requests(driver) for h in (r, refusal(r, 0)[:6])]
    data = b"".join(heads[p] if isinstance(p, int) else p for p in parts)
    decoded = driver.feed(data, UNKNOWN) + driver.finish()
    assert all(len(p.data) <= 256 for p in problems(decoded))
    assert driver.feed(answer(requests(driver)[0], [1, 0, 0]), AT) == []


def test_a_long_recording_is_one_frame() -> None:
    driver = modbus(map="vegapuls-61")
    status = encode_registers(0, "uint32")
    data = b"".join(answer(driver.poll(), [*status, *encode_registers(i / 1000, "float32")]) for i in range(5000))
    (frame,) = driver.feed(data, AT)
    assert isinstance(frame, Frame)
    assert frame.columns[LEVEL].tolist() == [i / 1000 for i in range(5000)]


# --- reading together -------------------------------------------------------------------------------------------------


def blocks(addresses: Sequence[int], kind: str = "uint16", **values: Any) -> list[Block]:
    table = [
        register(parameter=f"own_{i}", label="x", unit="1", resolution=1, address=a, type=kind)
        for i, a in enumerate(addresses)
    ]
    return plan(Map.model_validate({"title": "", "registers": table, **values}))


def test_neighbours_are_read_together_and_strangers_are_not() -> None:
    assert blocks([0, 1, 2, 4]) == [Block(3, 0, 3), Block(3, 4, 1)]
    assert blocks([0, 1, 2, 4], gap=1) == [Block(3, 0, 5)]
    assert blocks([0, 1, 2, 3], borders=[2]) == [Block(3, 0, 2), Block(3, 2, 2)]
    assert blocks([1, 2, 3, 4], base=1, borders=[3]) == [Block(3, 0, 2), Block(3, 2, 2)]
    assert blocks(list(range(300))) == [Block(3, 0, 125), Block(3, 125, 125), Block(3, 250, 50)]
    assert blocks(list(range(0, 252, 2)), "float32") == [Block(3, 0, 124), Block(3, 124, 124), Block(3, 248, 4)]
    assert blocks([7, 8], "uint32") == [Block(3, 7, 3)]


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(st.integers(0, 400), st.sampled_from(["uint16", "float32", "float64"])), min_size=1, max_size=40
    ),
    st.integers(0, 20),
    st.lists(st.integers(0, 400), max_size=5),
)
def test_a_plan_reads_every_register_whole_and_runs_across_no_border(
    places: list[tuple[int, str]], gap: int, borders: list[int]
) -> None:
    table = [
        register(parameter=f"own_{i}", label="x", unit="1", resolution=1, address=a, type=kind)
        for i, (a, kind) in enumerate(places)
    ]
    definition = Map.model_validate({"title": "", "registers": table, "gap": gap, "borders": borders})
    planned = plan(definition)
    assert all(block.size <= 125 for block in planned)
    starts = {r.address for r in definition.registers}
    for r in definition.registers:
        assert any(b.address <= r.address and r.address + r.width <= b.address + b.size for b in planned)
    for block in planned:
        assert not any(block.address < border < block.address + block.size and border in starts for border in borders)


# --- mistakes in settings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "give either map"),
        ({"map": "campbell"}, "name the [[registers]]"),
        ({"registers": [{"parameter": LEVEL, "address": 1}]}, "type"),
        ({"map": "keller", "registers": [register(type="int61")]}, "type 'int61' is not known"),
        ({"registers": [register(status={"bits": [0]})]}, "either the parameter that holds it or its address"),
        ({"registers": [register(status={"address": 9, "bits": [0], "good": [1]})]}, "or good numbers"),
        ({"registers": [register(status={"address": 9, "bits": [16]})]}, "a uint16 status has the bits 0 to 15"),
        ({"registers": [register(status={"address": 65536, "good": [0]})]}, "its status at 65536 does not exist"),
        ({"registers": [register(unit_code={"address": 9, "codes": {1: "psi"}})]}, "unit 'psi' cannot become m"),
        ({"registers": [register(unit="cm", unit_code={"address": 9, "codes": {1: "m"}})]}, "give either its unit or"),
        ({"map": "vegapuls61"}, "did you mean 'vegapuls-61'"),
        ({"map": "../x"}, "no map is called"),
        (
            {"registers": [register(type="float16")]},
            f"register '{LEVEL}': type 'float16' is not known; use one of int16",
        ),
        ({"registers": [register(order="ACBD")]}, "order 'ACBD' is not known; use one of ABCD, CDAB"),
        ({"registers": [register(parameter="sea_water_temprature")]}, "did you mean sea_water_temperature"),
        ({"registers": [register(unit="psi")]}, "unit 'psi' cannot become m; use one of m, cm, mm, ft, in"),
        ({"registers": [register(parameter="mine", label="x", unit="V")]}, "give the resolution of float32, in V"),
        ({"registers": [register(), register(address=9)]}, "more than once"),
        ({"registers": [register(address=65535)]}, "does not exist: a float32 can stand at 0 to 65534"),
        ({"registers": [register(address=0)], "base": 1}, "does not exist: a float32 can stand at 1 to 65535"),
        ({"registers": [register(scale=0)]}, "scale not 0"),
        (
            {"registers": [register(status={"parameter": "nope", "bits": [0]})]},
            "status 'nope' must be an integer register",
        ),
        (
            {
                "registers": [
                    register(status={"parameter": "device_status", "bits": [16]}),
                    register(parameter="device_status", address=8, type="uint16"),
                ]
            },
            "has the bits 0 to 15",
        ),
        ({"registers": [register(function=6)]}, "Input should be 3 or 4"),
        ({"registers": [register(adress=3)]}, "Extra inputs are not permitted"),
    ],
)
def test_a_mistake_names_the_register_and_the_remedy(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as error:
        ModbusMap.Settings(**values)
    assert says in str(error.value)
    assert "for Map" not in str(error.value)


def test_settings_of_the_instrument_overrule_the_map() -> None:
    driver = modbus(map="vegapuls-61", device=7, base=1, kind="river_gauge")
    assert driver.poll().hex() == "070407cf0004"
    assert driver.schemas()[0].kind == "river_gauge"
    with pytest.raises(ValueError, match="needs settings"):
        ModbusMap("gauge")


# --- the simulated gauge ----------------------------------------------------------------------------------------------


def serve(radar: RadarSimulator | ModbusMapSimulator, driver: ModbusMap, now_ns: int) -> bytes:
    """What a transport would feed for one poll."""
    record = b""
    for request in requests(driver):
        _, function, address, count = struct.unpack(">BBHH", request)
        said = radar.registers(function, address, count, now_ns)
        record += refusal(request, said) if isinstance(said, int) else answer(request, said)
    return record


def vega(**values: Any) -> dict[str, Any]:
    return {"device": 246, "registers": [register(function=4, **values)]}


@pytest.mark.parametrize(
    ("settings", "byte_order"),
    [
        ({"map": "vegapuls-61"}, 0),
        (vega(address=106, order="CDAB"), 0),
        (vega(address=1402, order="CDAB"), 2),
        (vega(address=2102, order="DCBA"), 1),
        (vega(address=1302, order="BADC"), 3),
    ],
)
def test_everything_the_simulated_gauge_measured_is_found(settings: dict[str, Any], byte_order: int) -> None:
    mischief = Mischief(period=100, spikes=(10,), spike_by=3.0, stuck=(20, 24), wild=(30,), wild_value=-50.0)
    lost = (40,) if "map" in settings else ()
    radar = RadarSimulator(seed=3, mischief=mischief, lost_echoes=lost, byte_order=byte_order)
    driver = modbus(**settings)
    found = []
    for i in range(250):
        now_ns = AT.utc_ns + i * 10**9
        decoded = driver.feed(serve(radar, driver, now_ns), Arrival(now_ns, i * 10**9, AT.boot, True))
        assert not problems(decoded)
        found += [row[LEVEL] for row in rows(frames(decoded))]
    said = radar.take_said()
    assert found == [s.values[LEVEL] for s in said]
    assert len(found) == 250
    assert {s.mischief for s in said} == {"", "spike", "stuck", "wild"} | ({"lost_echo"} if lost else set())
    for a, b in pairwise(said):
        assert a.values != b.values or b.mischief == "stuck"


def test_the_simulated_gauge_refuses_what_a_real_one_would() -> None:
    radar = RadarSimulator()
    assert radar.registers(4, 2001, 4, AT.utc_ns) == ILLEGAL_ADDRESS
    assert radar.registers(6, 2000, 2, AT.utc_ns) == ILLEGAL_FUNCTION
    assert radar.registers(3, 3000, 1, AT.utc_ns) == [0]
    assert radar.registers(3, 2002, 2, AT.utc_ns) == ILLEGAL_ADDRESS
    assert radar.registers(4, 2000, 2, AT.utc_ns) == [0, 0]
    assert radar.take_said() == []
    assert radar.tick(AT.utc_ns) == b""


# --- any map, simulated -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", shipped())
def test_everything_that_a_simulated_device_measured_is_found(name: str) -> None:
    own = [register(parameter="sea_water_temperature", address=1), register(parameter="depth", address=3)]
    given = {"registers": own} if not shipped_map(name).registers else {}
    device = ModbusMapSimulator(
        map=name, settings=given, seed=4, lost=(7,), mischief=Mischief(period=20, spikes=(3,), spike_by=0.1)
    )
    driver = modbus(map=name, **given)
    decoded: list[Decoded] = []
    for i in range(30):
        now_ns = AT.utc_ns + i * 10**9
        decoded += driver.feed(serve(device, driver, now_ns), Arrival(now_ns, i * 10**9, AT.boot, True))
    assert not problems(decoded)
    found = [{k: v for k, v in row.items() if k != "time"} for row in rows(frames(decoded))]
    said = device.take_said()
    assert found == [dict(s.values) for s in said]
    assert len(found) == 30
    assert {s.mischief for s in said} == {"", "spike", "lost"}


def test_a_simulated_device_refuses_what_its_map_does_not_name() -> None:
    device = ModbusMapSimulator(map="aquaread-leveline-ctd")
    assert device.registers(4, 0, 11, AT.utc_ns) == ILLEGAL_ADDRESS
    assert device.registers(3, 0, 1, AT.utc_ns) == ILLEGAL_ADDRESS
    assert device.registers(6, 0, 1, AT.utc_ns) == ILLEGAL_FUNCTION
    assert isinstance(device.registers(4, 3, 2, AT.utc_ns), list)
    assert device.take_said() == []
    assert device.tick(AT.utc_ns) == b""
