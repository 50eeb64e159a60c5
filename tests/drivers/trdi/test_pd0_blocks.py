"""PD0 beyond the profiles: hexadecimal, waves packets, vertical beam, surface layer, VmDas, WinRiver."""

import re
import struct
import time
from collections.abc import Iterable, Sequence
from itertools import pairwise

import netCDF4
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.driver import Decoded, Problem
from drivers.recording import pieces
from drivers.simulators.workhorse import WorkhorseSimulator, pd0
from drivers.trdi.pd0 import Pd0
from drivers.trdi.setup import Settings
from tests.drivers.decoded import frames, problems, samples
from tests.drivers.trdi.test_pd0 import blocks_of, changed, put
from tests.drivers.trdi.test_setup import set_up
from tests.recordings import DATA, needs_recordings
from tidegate.clock import UNKNOWN
from tidegate.codec import decode_frame, encode_frame
from tidegate.frame import Frame, Missing

START_NS = 1_767_225_600_000_000_000
PROBABLE = settings(max_examples=50, derandomize=True, deadline=None)


def decode(data: bytes, cuts: Iterable[int] = ()) -> list[Decoded]:
    driver = Pd0("adcp")
    decoded: list[Decoded] = []
    for a, b in pairwise([0, *sorted(cuts), len(data)]):
        decoded += driver.feed(data[a:b], UNKNOWN)
    decoded += driver.finish()
    assert {kind for kind, _, _ in problems(decoded)} <= set(Pd0.problems)
    return decoded


def by_kind(decoded: Sequence[Decoded]) -> list[tuple[object, ...]]:
    """Samples however grouped: streams of different schemas have no order among each other."""
    return sorted(samples(decoded), key=lambda sample: str(sample[0]))


def of_kind(decoded: Sequence[Decoded], kind: str) -> dict[str, np.ndarray]:
    parts = [frame for frame in frames(decoded) if frame.schema.kind == kind]
    columns = {name: np.concatenate([f.columns[name] for f in parts]) for name in parts[0].schema.by_name}
    return {"time": np.concatenate([f.time for f in parts]), **columns}


def simulated(count: int, **how: object) -> list[bytes]:
    simulator = WorkhorseSimulator(**how)  # type: ignore[arg-type]  # the options of the case
    assert simulator.tick(START_NS) == b""
    return [simulator.tick(START_NS + 1_000_000_000 * (i + 1)) for i in range(count)]


ENSEMBLES = simulated(4, cells=6)
PLAIN = decode(b"".join(ENSEMBLES))


def test_the_wire_gives_back_every_new_value() -> None:
    for frame in frames(MIXED_WHOLE):
        back = decode_frame(encode_frame(frame), {frame.schema.id: frame.schema})
        assert samples([back]) == samples([frame])


@needs_recordings
@pytest.mark.parametrize("name", ["RDI_test01.000", "RDI_withBT.000", "winriver02.PD0"])
def test_spreads_equal_those_of_mhkit(name: str) -> None:
    ours = of_kind(decode((DATA / "adcp/pd0_mhkit" / name).read_bytes()), "adcp")
    with netCDF4.Dataset(DATA / "adcp/pd0_mhkit" / re.sub(r"\..*", ".nc", name)) as theirs:
        theirs.set_auto_mask(False)
        n = len(theirs["time"])
        for part in ("heading", "pitch", "roll"):
            np.testing.assert_allclose(ours[f"standard_deviation_of_{part}"][:n], theirs[f"{part}_std"][:], atol=1e-5)
        deviation = ours["standard_deviation_of_sea_water_pressure"][:n]
        told = np.isfinite(deviation)
        np.testing.assert_allclose(deviation[told], theirs["pressure_std"][:][told], atol=2e-5)


# Hexadecimal


def written(ensemble: bytes, *, lower: bool = False) -> bytes:
    text = ensemble.hex().encode()
    return text if lower else text.upper()


@PROBABLE
@given(
    st.lists(st.integers(1, 900), max_size=12, unique=True),
    st.sets(st.integers(0, 20_000), max_size=30),
    st.booleans(),
    st.sampled_from([b"\r\n", b"\n", b""]),
)
def test_hexadecimal_gives_the_same_samples_on_any_lines(
    breaks: list[int], cuts: set[int], lower: bool, end: bytes
) -> None:
    stream = b""
    for ensemble in ENSEMBLES:
        text = written(ensemble, lower=lower)
        for at in sorted((at % len(text) for at in breaks), reverse=True):
            text = text[:at] + b"\r\n" + text[at:]
        stream += text + end
    decoded = decode(stream, [cut for cut in cuts if cut < len(stream)])
    assert samples(decoded) == samples(PLAIN)
    assert problems(decoded) == []


def chatter() -> bytes:
    texts = [written(ensemble) for ensemble in ENSEMBLES]
    spoilt = texts[1][:300] + (b"0" if texts[1][300:301] != b"0" else b"1") + texts[1][301:]
    return b"".join(
        [
            b"\r\nWorkHorse Broadband ADCP Version 51.40\r\n>CS\r\n",
            texts[0] + b"\r\n",
            b"[BREAK Wakeup A]\r\nBAD7F7FCAFE\r\n",
            spoilt + b"\r\n",
            texts[2][:400] + b" time out\r\n",
            texts[3] + b"\r\n",
            ENSEMBLES[1],
            texts[2] + b"\r\n",
            texts[0][:200],
        ]
    )


CHATTER = chatter()
CHATTER_WHOLE = decode(CHATTER)


def test_hexadecimal_between_chatter_and_binary() -> None:
    whole = samples(PLAIN)
    assert samples(CHATTER_WHOLE) == [whole[0], whole[3], whole[1], whole[2]]
    found = problems(CHATTER_WHOLE)
    assert [kind for kind, _, _ in found if kind != "noise"] == ["checksum", "truncated", "truncated"]
    (_, at, size) = next(p for p in found if p[0] == "checksum")
    assert CHATTER[at : at + 4] == b"7F7F"
    assert size == 2 * len(ENSEMBLES[1])


@PROBABLE
@given(st.sets(st.integers(0, len(CHATTER)), max_size=30))
def test_cutting_chatter_never_matters(cuts: set[int]) -> None:
    decoded = decode(CHATTER, cuts)
    assert samples(decoded) == samples(CHATTER_WHOLE)
    assert problems(decoded) == problems(CHATTER_WHOLE)


def test_chatter_byte_by_byte() -> None:
    decoded = decode(CHATTER, range(1, len(CHATTER)))
    assert samples(decoded) == samples(CHATTER_WHOLE)
    assert problems(decoded) == problems(CHATTER_WHOLE)


def test_stamped_lines_of_a_logger_hold_hexadecimal() -> None:
    """As OOI's DCL writes it: one ensemble over several stamped lines, with messages of the logger between."""
    lines = [b"2014/04/24 15:59:00.001 [adcpt:DLOGP2]:Instrument Started [Power On]\n"]
    for i, ensemble in enumerate(ENSEMBLES):
        text = written(ensemble) + b"\r\n"
        for k, at in enumerate(range(0, len(text), 180)):
            lines.append(b"2014/04/24 16:%02d:0%d.123 " % (i, k) + text[at : at + 180].rstrip() + b"\n")
    driver = Pd0("adcp")
    decoded = [d for piece in pieces(iter([b"".join(lines)])) for d in driver.feed(piece.data, piece.at)]
    decoded += driver.finish()
    assert [sample[1] for sample in samples(decoded)] == [sample[1] for sample in samples(PLAIN)]
    assert sum(map(len, frames(decoded))) == 4


@pytest.mark.parametrize("text", [b"7F7F" * 60_000, b"7F\r\n" * 60_000, b"7F7FF0FF0002" * 20_000])
def test_hostile_digits_cost_time_linear_in_them(text: bytes) -> None:
    started = time.perf_counter()
    assert not frames(decode(text, range(0, len(text), 4096)))
    assert time.perf_counter() - started < 10


# Waves packets


def waves(size: int = 200) -> bytes:
    body = bytearray(size)
    body[0:8] = b"\x7f\x79" + size.to_bytes(2, "little") + b"\x00\x01\x08\x00"
    body[8:10] = b"\x03\x02"
    return bytes(body) + (sum(body) & 0xFFFF).to_bytes(2, "little")


def test_waves_packets_between_ensembles_are_told_of_once() -> None:
    stream = waves() + ENSEMBLES[0] + waves() * 3 + b"".join(ENSEMBLES[1:]) + waves()
    for cuts in ((), range(1, len(stream), 37)):
        decoded = decode(stream, cuts)
        assert samples(decoded) == samples(PLAIN)
        assert problems(decoded) == [("unknown", 0, 202)]
    spoilt = bytearray(waves())
    spoilt[50] ^= 1
    assert problems(decode(bytes(spoilt) + ENSEMBLES[0])) == [("checksum", 0, 202)]


# Profiles of their own


def vertical(cells: int = 5) -> list[bytes]:
    leader = bytearray(40)
    leader[0:2] = b"\x01\x0f"
    for at, value in ((2, cells), (4, 1), (6, 50), (8, 123), (30, 250)):
        leader[at : at + 2] = value.to_bytes(2, "little")
    velocity = np.arange(cells, dtype="<i2") * 10 - 20
    velocity[-1] = -32768
    parts = [b"\x00" + id_ + bytes(range(start, start + cells)) for id_, start in ((b"\x0b", 7), (b"\x0c", 90))]
    return [bytes(leader), b"\x00\x0a" + velocity.tobytes(), *parts, b"\x00\x0d" + bytes([100] * cells)]


def surface(cells: int = 3) -> list[bytes]:
    velocity = np.arange(cells * 4, dtype="<i2") - 5
    return [
        b"\x10\x00" + bytes([cells]) + (2).to_bytes(2, "little") + (21).to_bytes(2, "little"),
        b"\x10\x01" + velocity.tobytes(),
        b"\x10\x02" + bytes(range(cells * 4)),
        b"\x10\x03" + bytes(range(50, 50 + cells * 4)),
        b"\x10\x04" + bytes([25] * cells * 4),
    ]


def more() -> list[bytes]:
    return [
        b"\x00\x05" + bytes([1, 0] * 12),
        b"\x00\x41" + bytes([60, 70]) + (12_345).to_bytes(4, "little") + bytes([3]),
        b"\x02\x70" + (1234).to_bytes(2, "little") + bytes(12),
        b"\x04\x70" + (2).to_bytes(2, "little") + bytes([0x34, 0x12, 1, 2, 5, 0, 1, 1]),
        b"\x00\x32" + np.array([10000, -5000] * 8, "<i2").tobytes(),
    ]


def bam(degree: float, bits: int) -> int:
    return round(degree / 180 * (1 << (bits - 1))) & ((1 << bits) - 1)


def vmdas(day: int = 1) -> bytes:
    block = struct.pack(
        "<HBBHIiIIIIIHHHHHHHHIHBBIHHHHHHHH",
        *(0x2000, day, 1, 2026, 5_000, -1500, bam(35.5, 32), bam(-70.25, 32)),
        *(10_250, bam(35.6, 32), bam(-70.5, 32), 5144, bam(271.5, 16), 0, 5000, bam(270.0, 16), 0, 0, 0, 7),
        *(2026, 1, 1, 11_000, bam(-1.5, 16), bam(2.25, 16), bam(300.0, 16), 0, 0, 0, 0, 0),
    )
    assert len(block) == 78
    return block


def nmea(specific: int, body: bytes, delay_s: float = 0.5) -> bytes:
    return b"\x22\x20" + struct.pack("<HHd", specific, len(body), delay_s) + body


GGA = (
    b"$GPGGA\x00000002.50\x00"
    + struct.pack("<dcdcBBffcfc", 35.25, b"N", 70.5, b"W", 2, 8, 1.5, 5.0, b"M", -28.0, b"M")
    + struct.pack("<fH", 6.0, 135)
)
VTG = b"$GPVTG\x00" + struct.pack("<fcfcfcfcc", 90.5, b"T", 80.0, b"M", 10.0, b"N", 18.52, b"K", b"A")
SENTENCE = b"$GPGGA,000003.20,3515.6000,S,07030.0000,E,2,08,1.2,5.1,M,-28.1,M,,*"
SENTENCE += b"%02X\r\n" % int(np.bitwise_xor.reduce(np.frombuffer(SENTENCE[1:-1], np.uint8)))


def mixed() -> bytes:
    first, second, third, fourth = (blocks_of(ensemble) for ensemble in ENSEMBLES)
    return b"".join(
        [
            pd0([*first, *vertical(), *more()]),
            pd0([*second, *vertical(), *more(), vmdas()]),
            pd0([*third, *surface(), nmea(104, GGA), nmea(105, VTG), nmea(104, GGA, 0.25)]),
            pd0([*fourth, *surface(2), nmea(204, SENTENCE), b"\x01\x21" + SENTENCE]),
        ]
    )


MIXED = mixed()
MIXED_WHOLE = decode(MIXED)


def test_blocks_of_their_own_are_frames_of_their_own() -> None:
    assert problems(MIXED_WHOLE) == []
    beam = of_kind(MIXED_WHOLE, "adcp_vertical_beam")
    (schema,) = {f.schema for f in frames(MIXED_WHOLE) if f.schema.kind == "adcp_vertical_beam"}
    assert schema.cells is not None
    assert (schema.cells.count, schema.cells.first_m, schema.cells.size_m, schema.cells.upward) == (5, 1.23, 0.5, True)
    expected = [-0.02, -0.01, 0.0, 0.01, np.nan]
    np.testing.assert_array_equal(beam["radial_sea_water_velocity_toward_instrument_beam_5"], [expected, expected])
    adcp = of_kind([d for d in MIXED_WHOLE if isinstance(d, Frame) and "device_fault_code" in d.columns], "adcp")
    assert (beam["time"] - adcp["time"]).tolist() == [250_000_000] * 2
    assert adcp["vertical_beam_range"].tolist() == [12.345] * 2
    assert adcp["supply_voltage"].tolist() == [12.34] * 2
    assert adcp["device_fault_count"].tolist() == [2, 2]
    assert adcp["device_fault_code"].tolist() == [0x1234] * 2
    assert adcp["measurement_status_beam_1"][0].tolist() == [1] * 6
    assert adcp["measurement_status_beam_2"][0].tolist() == [0] * 6
    layers = [f for f in frames(MIXED_WHOLE) if f.schema.kind == "adcp_surface_layer"]
    assert [f.schema.cells.count for f in layers if f.schema.cells] == [3, 2]
    assert layers[0].columns["surface_layer_eastward_sea_water_velocity"].tolist() == [[-0.005, -0.001, 0.003]]
    assert layers[0].schema.cells is not None
    assert (layers[0].schema.cells.first_m, layers[0].schema.cells.size_m) == (0.21, 0.02)


def test_vmdas_tells_the_ship() -> None:
    ship = of_kind(MIXED_WHOLE, "vmdas")
    assert str(ship["time"][0].astype("M8[ns]")) == "2026-01-01T00:00:01.025000000"
    for name, value, tolerance in (
        ("latitude", 35.6, 1e-7),
        ("longitude", -70.5, 1e-7),
        ("latitude_of_first_fix", 35.5, 1e-7),
        ("longitude_of_first_fix", -70.25, 1e-7),
        ("platform_speed_wrt_ground", 5.144, 0),
        ("platform_course", 271.5, 0.003),
        ("platform_orientation_navigation", 300.0, 0.003),
        ("platform_pitch_fore_up_navigation", -1.5, 0.003),
        ("platform_roll_starboard_down_navigation", 2.25, 0.003),
        ("clock_offset", -1.5, 0),
    ):
        assert ship[name][0] == pytest.approx(value, abs=max(tolerance, 1e-12)), name
    # Behind the last block, untold by the table, and with another's meaning.
    base = blocks_of(ENSEMBLES[0])
    untold = pd0([*base[:-1], base[-1] + vmdas() + bytes(16)])
    assert by_kind(decode(untold)) == by_kind(decode(pd0([*base, vmdas() + bytes(16)])))
    for other in (vmdas(day=0), b"\x00\x20" + bytes(76), b"\x00\x20" + bytes(range(76))):
        decoded = decode(pd0([*base, other]))
        assert problems(decoded) == []
        assert [f.schema.kind for f in frames(decoded)] == ["adcp"]


def test_winriver_tells_the_ship() -> None:
    gga = of_kind(MIXED_WHOLE, "winriver_gga")
    assert [str(t.astype("M8[ms]"))[11:] for t in gga["time"].astype("M8[ns]")] == ["00:00:02.500"] * 2 + [
        "00:00:03.200"
    ]
    assert gga["latitude"].tolist() == pytest.approx([35.25, 35.25, -35.26])
    assert gga["longitude"].tolist() == [-70.5, -70.5, 70.5]
    assert gga["gnss_satellites_used"].tolist() == [8, 8, 8]
    assert gga["altitude"].tolist() == [5.0, 5.0, 5.1]
    vtg = of_kind(MIXED_WHOLE, "winriver_vtg")
    assert vtg["platform_speed_wrt_ground"].tolist() == [pytest.approx(5.1444)]
    assert vtg["platform_course"].tolist() == [90.5]
    adcp = of_kind(PLAIN, "adcp")
    assert vtg["time"].tolist() == [int(adcp["time"][2]) - 500_000_000]
    wrong = SENTENCE.replace(b"3515", b"3516")
    assert "winriver_gga" not in {
        f.schema.kind for f in frames(decode(pd0([*blocks_of(ENSEMBLES[0]), nmea(204, wrong)])))
    }


@needs_recordings
def test_winrivers_numbers_equal_its_own_sentences() -> None:
    """WinRiver writes the last sentence of an ensemble as text too; MHKiT has the positions."""
    data = (DATA / "adcp/pd0_mhkit/winriver02.PD0").read_bytes()
    gga = of_kind(decode(data), "winriver_gga")
    texts = re.findall(rb"\$GPGGA,(\d{6}\.\d+),(\d\d)(\d\d\.\d+),N,(\d{3})(\d\d\.\d+),W,2,8,", data)
    assert len(texts) == 46
    of_day = {int(t % 86_400_000_000_000): i for i, t in enumerate(gga["time"].tolist())}
    for clock, d, m, dd, mm in texts:
        seconds = int(clock[:2]) * 3600 + int(clock[2:4]) * 60 + float(clock[4:])
        at = of_day[round(seconds * 1000) * 1_000_000]
        assert gga["latitude"][at] == pytest.approx(int(d) + float(m) / 60, abs=2e-8)
        assert gga["longitude"][at] == pytest.approx(-(int(dd) + float(mm) / 60), abs=2e-8)
    # Of 2111 slots it filled 611; the others hold whatever was in its memory.
    assert len(gga["time"]) == 611
    with netCDF4.Dataset(DATA / "adcp/pd0_mhkit/winriver02.nc") as theirs:
        theirs.set_auto_mask(False)
        known = set((np.round(theirs["time_gps"][:], 2) * 100).astype(np.int64).tolist())
        assert known <= set((gga["time"] // 10_000_000).tolist())


@PROBABLE
@given(st.sets(st.integers(0, len(MIXED)), max_size=20))
def test_cutting_the_mixed_stream_never_matters(cuts: set[int]) -> None:
    decoded = decode(MIXED, cuts)
    assert by_kind(decoded) == by_kind(MIXED_WHOLE)
    assert problems(decoded) == problems(MIXED_WHOLE)


@PROBABLE
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0x2000, 0x2022, 0x0F01, 0x0A00, 0x0010, 0x0110, 0x2101, 0x7004, 0x3200, 0x0600, 0x4100]),
            st.binary(max_size=120),
        ),
        max_size=6,
    )
)
def test_any_bytes_in_any_block_never_raise(blocks: list[tuple[int, bytes]]) -> None:
    parts = [id_.to_bytes(2, "little") + body for id_, body in blocks]
    decoded = decode(pd0([*blocks_of(ENSEMBLES[0]), *parts]) + ENSEMBLES[1])
    assert sum(len(f) for f in frames(decoded) if f.schema.kind == "adcp") >= 1
    for frame in frames(decoded):
        decode_frame(encode_frame(frame), {frame.schema.id: frame.schema})


def test_implausible_values_of_own_frames_are_refused() -> None:
    far = bytearray(vmdas())
    far[18:22] = bam(120.0, 32).to_bytes(4, "little")  # longitude, possible
    far[14:18] = bam(120.0, 32).to_bytes(4, "little")  # latitude, not
    decoded = decode(pd0([*blocks_of(ENSEMBLES[0]), bytes(far)]))
    (wrong,) = [d for d in decoded if isinstance(d, Problem)]
    assert "latitude_of_first_fix" in wrong.message
    (frame,) = [f for f in frames(decoded) if f.schema.kind == "vmdas"]
    assert frame.missing("latitude_of_first_fix").tolist() == [Missing.IMPLAUSIBLE]


def test_the_description_tells_what_a_transformation_needs() -> None:
    driver = Pd0("adcp")
    driver.feed(MIXED, UNKNOWN)
    told = driver.description()
    assert (told["model"], told["beam_pattern"], told["tilts_used"]) == ("600 kHz Workhorse", "convex", True)
    assert np.shape(told["beam_to_instrument"]) == (4, 4)
    assert told["beam_to_instrument"][0] == [1.0, -0.5, 1.0, -0.5]
    ensemble = changed(ENSEMBLES[0], 0, 5, 0x43)
    sentinel = blocks_of(ensemble)
    driver.feed(pd0([put(sentinel[0], 2, 66), *sentinel[1:]]), UNKNOWN)
    told = driver.description()
    assert (told["beam_angle_degree"], told["model"]) == (25, "307.2 kHz Sentinel V")
    assert len(driver.schemas()) >= 5


def test_it_sets_up_only_what_it_is_told() -> None:
    simulator = WorkhorseSimulator()
    assert set_up(Pd0("adcp"), simulator) == []
    setup = Settings(setup=("CR1", "WN20", "CK"))
    assert set_up(Pd0("adcp", setup), simulator) == [b"===", b"CR1\r", b"WN20\r", b"CK\r", b"CS\r"]
    simulator.tick(START_NS)
    assert simulator.tick(START_NS + 1_000_000_000)
    for wrong in ("CS", "cr1", "WN20\rCS", "1"):
        with pytest.raises(ValueError, match="no set-up command"):
            Settings(setup=(wrong,))
    assert Pd0.hail() == b""
    assert len(Pd0.guesses()) == 1


def test_an_ensemble_with_two_profiles_gives_the_first() -> None:
    fixed, variable, *rest = blocks_of(ENSEMBLES[0])
    second = [b"\x01\x00" + fixed[2:], b"\x81\x00" + variable[2:]]
    doubled = pd0([fixed, second[0], variable, second[1], *rest, b"\x01\x01" + rest[0][2:]])
    assert samples(decode(doubled)) == samples(PLAIN)[:1]
    assert not frames(decode(pd0([fixed, second[0], variable[:20], *rest])))
    assert not frames(decode(pd0([fixed, second[0]])))


@pytest.mark.parametrize(
    ("firmware", "available", "there"), [(51, 0x20, True), (51, 0x40, False), (34, 0x40, True), (34, 0x20, False)]
)
def test_an_explorer_tells_of_its_pressure_sensor_in_another_bit(firmware: int, available: int, there: bool) -> None:
    ensemble = changed(changed(ENSEMBLES[0], 0, 2, firmware), 0, 31, available)
    (frame,) = frames(decode(ensemble))
    assert np.isfinite(frame.columns["sea_water_pressure_due_to_sea_water"]).tolist() == [there]
