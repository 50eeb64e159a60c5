"""What VmDas and WinRiver write into PD0 ensembles about the ship: positions, speeds, courses, headings, depths.

VmDas (block 2000h) gives the first fix after the previous ping and the last fix before this one, as binary angles
(180 degrees are 2^31 or 2^15). AUVs use the same id for a block of their own, so it counts only where its two dates
and its times of day can be. WinRiver II (2022h) stores each sentence that it received, converted to binary numbers;
RiverPro stores the sentence itself, and so does WinRiver in 2100h to 2104h. WinRiver II writes the last ones of an
ensemble twice: then 2022h is taken.

Time. A fix has its own time, UTC; where only the time of day is told, the day is the one that brings it nearest to
the ensemble's clock. Courses, headings and depths have the ensemble's time less the delay that WinRiver noted.

Layouts: VmDas and WinRiver II user's guides, in agreement with recordings and MHKiT's reader.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from drivers.checksums import exclusive_or
from drivers.trdi.blocks import NAVIGATION, Blocks, Columns, Message, rows_of, times_of
from drivers.trdi.framing import Bytes, Ints, Mask
from tidegate.clock import NAT
from tidegate.frame import Field, Missing, Schema

_KNOT = 1852 / 3600
_DAY_NS = 86_400_000_000_000

_VMDAS = np.dtype(
    {
        "names": [
            *("day", "month", "year", "first_time", "offset_ms", "first", "last_time", "last"),
            *("speed", "track", "speed_made_good", "track_made_good"),
            *("adcp_year", "adcp_day", "adcp_month", "adcp_time", "pitch", "roll", "heading"),
        ],
        "formats": [
            *("u1", "u1", "<u2", "<u4", "<i4", "(2,)<i4", "<u4", "(2,)<i4"),
            *("<u2", "<u2", "<u2", "<u2"),
            *("<u2", "u1", "u1", "<u4", "<i2", "<i2", "<u2"),
        ],
        "offsets": [2, 3, 4, 6, 10, 14, 22, 26, 34, 36, 40, 42, 54, 56, 57, 58, 62, 64, 66],
        "itemsize": 78,
    }
)
_VMDAS_SCHEMA = Schema(
    "vmdas",
    (
        Field.of("latitude", resolution=1e-8),
        Field.of("longitude", resolution=1e-8),
        Field.of("latitude_of_first_fix", resolution=1e-8),
        Field.of("longitude_of_first_fix", resolution=1e-8),
        Field.of("platform_speed_wrt_ground"),
        Field.of("platform_course", resolution=1e-3),
        Field.of("platform_speed_made_good"),
        Field.of("platform_course_made_good", resolution=1e-3),
        Field.of("platform_orientation_navigation", resolution=1e-3),
        Field.of("platform_pitch_fore_up_navigation", resolution=1e-3),
        Field.of("platform_roll_starboard_down_navigation", resolution=1e-3),
        Field.of("clock_offset"),
    ),
)


class Said(NamedTuple):
    """Samples of one schema: `rows` are the ensembles that they came with."""

    schema: Schema
    rows: Ints
    times: Ints
    columns: Columns


def vmdas(blocks: Blocks) -> Said | None:
    """What VmDas wrote, where it did."""
    rows = np.flatnonzero((blocks.at[:, NAVIGATION] >= 0) & (blocks.width[:, NAVIGATION] >= _VMDAS.itemsize))
    if not len(rows):
        return None
    block = blocks.take(rows).gather(NAVIGATION, _VMDAS)
    # Times of day are in units of 0.1 ms.
    known = np.ones(len(rows), np.bool_)
    for name in ("first_time", "last_time", "adcp_time"):
        known &= block[name] < 864_000_000
    fix, ping = (
        _days(block["year"], block["month"], block["day"]),
        _days(block["adcp_year"], block["adcp_month"], block["adcp_day"]),
    )
    known &= (fix != NAT) & (ping != NAT) & (abs(fix - ping) <= 2 * _DAY_NS)
    known &= (block["year"] >= 1990) & (block["year"] < 2100)
    rows, block, fix = rows[known], block[known], fix[known]
    if not len(rows):
        return None
    out = Columns()
    positions = np.round(np.concatenate([block["last"], block["first"]], axis=1) * (180 / 2**31), 8)
    lost = (positions == 0).reshape(-1, 2, 2).all(axis=2).repeat(2, axis=1)  # exactly 0, 0 is no position
    for i, name in enumerate(("latitude", "longitude", "latitude_of_first_fix", "longitude_of_first_fix")):
        out.add(name, positions[:, i], lost[:, i])
    out.add("platform_speed_wrt_ground", block["speed"] / 1000)
    out.add("platform_speed_made_good", block["speed_made_good"] / 1000)
    for name, angle in (
        ("platform_course", "track"),
        ("platform_course_made_good", "track_made_good"),
        ("platform_orientation_navigation", "heading"),
        ("platform_pitch_fore_up_navigation", "pitch"),
        ("platform_roll_starboard_down_navigation", "roll"),
    ):
        out.add(name, np.round(block[angle] * (180 / 2**15), 3))
    out.add("clock_offset", block["offset_ms"] / 1000)
    return Said(_VMDAS_SCHEMA, rows, fix + block["last_time"].astype(np.int64) * 100_000, out)


def _days(year: npt.NDArray[np.uint16], month: npt.NDArray[np.uint8], day: npt.NDArray[np.uint8]) -> Ints:
    clock = np.zeros((len(year), 7), np.int64)
    clock[:, 1], clock[:, 2] = month, day
    return times_of(year.astype(np.int64), clock)


# ---- WinRiver --------------------------------------------------------------------------------------------------------

_GGA = Schema(
    "winriver_gga",
    (
        Field.of("latitude", resolution=1e-8),
        Field.of("longitude", resolution=1e-8),
        Field.of("gnss_fix_quality"),
        Field.of("gnss_satellites_used"),
        Field.of("gnss_horizontal_dilution_of_precision"),
        Field.of("altitude", resolution=1e-3),
        Field.of("geoid_height_above_reference_ellipsoid", resolution=1e-3),
    ),
)
_VTG = Schema(
    "winriver_vtg",
    (Field.of("platform_course", resolution=1e-3), Field.of("platform_speed_wrt_ground", resolution=1e-4)),
)
_DBT = Schema("winriver_dbt", (Field.of("sea_floor_depth_below_transducer", resolution=1e-3),))
_HDT = Schema("winriver_hdt", (Field.of("platform_orientation_navigation", resolution=1e-3),))

_NUMBER = rb"(-?\d+(?:\.\d+)?)"
_SENTENCE = re.compile(rb"\$([A-Z]{2}(?:GGA|VTG|DBT|HDT),[ -)+-~]*)(?:\*([0-9A-Fa-f]{2}))?")
_ADDRESS = re.compile(rb"\$[A-Z]{2}(GGA|VTG|DBT|HDT)\0")
_TIME_OF_DAY = re.compile(rb"([01]\d|2[0-3])([0-5]\d)([0-5]\d(?:\.\d+)?)")
_GGA_TEXT = re.compile(
    rb"..GGA,(\d{6}(?:\.\d+)?),(\d{2})(\d\d(?:\.\d+)?),([NS]),(\d{3})(\d\d(?:\.\d+)?),([EW]),(\d),(\d{1,2}),"
    + rb"%s?,%s?,M?,%s?,M?,[^,]*,[^,]*" % (_NUMBER, _NUMBER, _NUMBER)
)
_VTG_TEXT = re.compile(rb"..VTG,%s?,T,[^,]*,M,%s?,N,[^,]*,K(?:,.?)?" % (_NUMBER, _NUMBER))
_DBT_TEXT = re.compile(rb"..DBT,[^,]*,f,%s?,M,[^,]*,F" % _NUMBER)
_HDT_TEXT = re.compile(rb"..HDT,%s?,T" % _NUMBER)

_Values = Sequence[float | None]
"""(time of day in seconds or None, then the values of a schema)."""


def _number(text: bytes | None) -> float | None:
    return None if text is None else float(text)


def _time_of_day(text: bytes) -> float | None:
    match = _TIME_OF_DAY.fullmatch(text)
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3]) if match else None


def _gga_text(m: re.Match[bytes]) -> _Values | None:
    time_s = _time_of_day(m[1])
    if time_s is None or m[8] == b"0":
        return None  # no fix: neither time nor position
    latitude = (int(m[2]) + float(m[3]) / 60) * (-1 if m[4] == b"S" else 1)
    longitude = (int(m[5]) + float(m[6]) / 60) * (-1 if m[7] == b"W" else 1)
    return [time_s, latitude, longitude, int(m[8]), int(m[9]), *map(_number, m.groups()[9:12])]


def _vtg_text(m: re.Match[bytes]) -> _Values:
    return [None, _number(m[1]), None if m[2] is None else float(m[2]) * _KNOT]


_TEXTS: Mapping[bytes, tuple[Schema, re.Pattern[bytes], Callable[[re.Match[bytes]], _Values | None]]] = {
    b"GGA": (_GGA, _GGA_TEXT, _gga_text),
    b"VTG": (_VTG, _VTG_TEXT, _vtg_text),
    b"DBT": (_DBT, _DBT_TEXT, lambda m: [None, _number(m[1])]),
    b"HDT": (_HDT, _HDT_TEXT, lambda m: [None, _number(m[1])]),
}


def _text(body: bytes) -> tuple[Schema, _Values] | None:
    """A sentence in a block. WinRiver leaves the checksum away; one that is there must be right."""
    sentence = _SENTENCE.search(body)
    if sentence is None:
        return None
    schema, pattern, read = _TEXTS[sentence[1][2:5]]
    if sentence[2] is not None and exclusive_or(sentence[1]) != int(sentence[2], 16):
        return None
    match = pattern.fullmatch(sentence[1])
    values = read(match) if match else None
    return None if values is None else (schema, values)


def _layout(size: int, **fields: tuple[str, int]) -> np.dtype[np.void]:
    return np.dtype(
        {
            "names": list(fields),
            "formats": [format_ for format_, _ in fields.values()],
            "offsets": [offset for _, offset in fields.values()],
            "itemsize": size,
        }
    )


_TALKER = ("S5", 0)  # of the address `$GPGGA`, 7 bytes long or 10
_GGA_BINARY = _layout(
    50,
    time=("S10", 0),
    latitude=("<f8", 10),
    north=("S1", 18),
    longitude=("<f8", 19),
    east=("S1", 27),
    quality=("u1", 28),
    satellites=("u1", 29),
    hdop=("<f4", 30),
    altitude=("<f4", 34),
    geoid=("<f4", 39),
)
_VTG_BINARY = _layout(21, course=("<f4", 0), t=("S1", 4), knots=("<f4", 10), n=("S1", 14))
_DBT_BINARY = _layout(15, f=("S1", 4), depth=("<f4", 5), m=("S1", 9))
_HDT_BINARY = _layout(9, heading=("<f8", 0), t=("S1", 8))


def _gga_binary(r: npt.NDArray[np.void]) -> tuple[Mask, list[npt.NDArray[np.float64]]]:
    times = [_time_of_day(text.rstrip(b"\0 ")) for text in r["time"].tolist()]
    time_s = np.array([np.nan if t is None else t for t in times], np.float64)
    good = np.isfinite(time_s) & np.isin(r["north"], (b"N", b"S")) & np.isin(r["east"], (b"E", b"W"))
    latitude = np.where(r["north"] == b"S", -r["latitude"], r["latitude"])
    longitude = np.where(r["east"] == b"W", -r["longitude"], r["longitude"])
    good &= (abs(latitude) <= 90) & (abs(longitude) <= 180) & (r["quality"] > 0) & (r["quality"] <= 9)
    return good, [time_s, latitude, longitude, r["quality"], r["satellites"], r["hdop"], r["altitude"], r["geoid"]]


def _vtg_binary(r: npt.NDArray[np.void]) -> tuple[Mask, list[npt.NDArray[np.float64]]]:
    none = np.full(len(r), np.nan)
    return (r["t"] == b"T") & (r["n"] == b"N"), [none, r["course"].astype(float), r["knots"].astype(float) * _KNOT]


def _dbt_binary(r: npt.NDArray[np.void]) -> tuple[Mask, list[npt.NDArray[np.float64]]]:
    good = np.isin(r["f"], (b"f", b"F")) & np.isin(r["m"], (b"m", b"M"))
    return good, [np.full(len(r), np.nan), r["depth"].astype(float)]


def _hdt_binary(r: npt.NDArray[np.void]) -> tuple[Mask, list[npt.NDArray[np.float64]]]:
    return r["t"] == b"T", [np.full(len(r), np.nan), r["heading"]]


_BINARY: Mapping[
    bytes,
    tuple[
        Schema,
        np.dtype[np.void],
        Callable[[npt.NDArray[np.void]], tuple[Mask, list[npt.NDArray[np.float64]]]],
    ],
] = {
    b"GGA": (_GGA, _GGA_BINARY, _gga_binary),
    b"VTG": (_VTG, _VTG_BINARY, _vtg_binary),
    b"DBT": (_DBT, _DBT_BINARY, _dbt_binary),
    b"HDT": (_HDT, _HDT_BINARY, _hdt_binary),
}


def winriver(data: Bytes, messages: Sequence[Message], times: Ints) -> list[Said]:
    """What WinRiver wrote, one `Said` for each kind of sentence. `times` (rows,) are those of the ensembles."""
    general = {message.row for message in messages if message.id == 0x2022}
    binary: dict[tuple[bytes, int], list[Message]] = {}
    found: dict[str, list[tuple[int, float, _Values]]] = {}
    schemas: dict[str, Schema] = {}
    whole = data.tobytes()
    for message in messages:
        if message.id != 0x2022 and message.row in general:
            continue
        at, end = message.at + 2, message.at + message.width
        address = _ADDRESS.match(whole, at + 12, end) if message.id == 0x2022 else None
        if address:
            header = 10 if 100 <= whole[at] | whole[at + 1] << 8 <= 103 else 7
            binary.setdefault((address[1], header), []).append(message)
            continue
        body = whole[at:end]
        said = _text(body)
        if said:
            delay = float(np.frombuffer(body, "<f8", 1, 4)[0]) if message.id == 0x2022 and len(body) >= 12 else 0.0
            schemas[said[0].kind] = said[0]
            found.setdefault(said[0].kind, []).append((message.row, delay, said[1]))
    for (kind, header), of_kind in binary.items():
        schema, dtype, read = _BINARY[kind]
        full = [message for message in of_kind if message.width >= 14 + header + dtype.itemsize]
        if not full:
            continue
        starts = np.array([message.at for message in full], np.int64)
        good, values = read(rows_of(data, starts + 14 + header, dtype.itemsize).view(dtype)[:, 0])
        delays = rows_of(data, starts + 6, 8).view("<f8")[:, 0]
        schemas[schema.kind] = schema
        table = np.column_stack(values)[good].tolist()
        kept = [message.row for message, fine in zip(full, good.tolist(), strict=True) if fine]
        found.setdefault(schema.kind, []).extend(
            (row, delay, line) for row, delay, line in zip(kept, delays[good].tolist(), table, strict=True)
        )
    return [_said(schemas[kind], sorted(rows, key=lambda r: r[0]), times) for kind, rows in found.items() if rows]


def _said(schema: Schema, found: list[tuple[int, float, _Values]], times: Ints) -> Said:
    rows = np.array([row for row, _, _ in found], np.int64)
    values = np.array([line for _, _, line in found], object).astype(np.float64)  # None is NaN
    delay_s = np.array([delay for _, delay, _ in found], np.float64)
    delay_s = np.where(np.isfinite(delay_s) & (abs(delay_s) < 3600), delay_s, 0.0)
    when: Ints = times[rows] - np.round(delay_s * 1000).astype(np.int64) * 1_000_000
    clock = np.isfinite(values[:, 0])
    of_day = np.round(np.where(clock, values[:, 0], 0) * 1000).astype(np.int64) * 1_000_000
    days = np.round((when - of_day) / _DAY_NS).astype(np.int64)
    when = np.where(clock, days * _DAY_NS + of_day, when)
    out = Columns()
    for i, f in enumerate(schema.fields, 1):
        column = np.round(values[:, i], f.decimals)
        none = ~np.isfinite(column)
        out.add(f.name, np.where(none, 0, column), none, Missing.NOT_GIVEN)
    return Said(schema, rows, when, out)
