"""`tidegate decode` as a data manager meets it: other people's values, places in the file, every mistake answered."""

import csv
import gzip
import io
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.driver import Driver, Problem
from drivers.nmea.nmea0183 import Nmea0183
from drivers.seabird.sbe16plus import Sbe16plus
from drivers.seabird.sbe26plus import Sbe26plus
from drivers.seabird.sbe37 import Sbe37
from drivers.trdi.pd0 import Pd0
from gateway.decode import decoded, recorded
from tests.gateway.counting import sentence
from tests.recordings import DATA, needs_recordings
from tidegate.frame import Frame, rows

SBE37 = DATA / "ctd/seabird_official/SBE37SM.hex"
CTDBP = DATA / "ctd/ooi_ctdbp_sbe16plusv2"
PD0 = DATA / "adcp/pd0_mhkit"
CRUISE = DATA / "cruise/NBP1406"
UCSD = "temperature,conductivity,pressure,salinity,sound_velocity,time,density,battery_voltage,supply_current"
T, C, P = "sea_water_temperature", "sea_water_electrical_conductivity", "sea_water_pressure_due_to_sea_water"
LINE = b"  18.1234,  4.56789,   10.123, 01 Jan 2024, 00:00:%02d\r\n"


class Done:
    """A command that has ended."""

    def __init__(self, *arguments: object, stdin: bytes = b"") -> None:
        command = [sys.executable, "-m", "tidegate", "decode", *map(str, arguments)]
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=False)
        self.code, self.out, self.err = done.returncode, done.stdout.decode(), done.stderr.decode()
        assert "Traceback" not in self.err, self.err

    def rows(self) -> list[dict[str, Any]]:
        """Its samples, each line a whole JSON object of a sample."""
        found = [json.loads(line, parse_constant=lambda c: pytest.fail(f"{c} is no JSON")) for line in self.lines()]
        for row in found:
            assert row["time"] is None or re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", row["time"])
        return found

    def lines(self) -> list[str]:
        return self.out.splitlines()

    def column(self, name: str) -> list[Any]:
        return [row[name] for row in self.rows() if name in row]


def seconds(rows: list[dict[str, Any]]) -> list[float]:
    return [int(np.datetime64(row["time"][:-1], "ns").astype(np.int64)) / 1e9 for row in rows]


def ntp(particles: list[dict[str, Any]]) -> list[float]:
    return [p["internal_timestamp"] - 2_208_988_800 for p in particles]


# ---- other people's values


@needs_recordings
def test_a_hundred_thousand_scans_of_a_microcat_in_a_few_seconds() -> None:
    start_s = time.monotonic()
    done = Done(SBE37, "--driver", "sbe37")
    assert time.monotonic() - start_s < 15  # about two on an idle machine
    assert done.code == 0
    rows = done.rows()
    # First and last of the .cnv that Sea-Bird's own software made.
    assert rows[0] == {
        "time": "2014-02-19T13:30:01.000000000Z",
        "kind": "ctd",
        T: 20.8989,
        C: rows[0][C],
        P: rows[0][P],
        "temperature_of_pressure_sensor": rows[0]["temperature_of_pressure_sensor"],
    }
    assert rows[1]["time"] == "2014-02-19T13:32:01.000000000Z"
    assert rows[-1][T] is None  # -45.7713 there: a damaged scan that no sea has
    problems = done.err.splitlines()
    assert problems[-1] == f"{SBE37}: 100303 samples (100303 ctd), 8 problems"
    data = SBE37.read_bytes()
    for line in problems[:-1]:
        place, evidence = re.search(r": byte (\d+): .* b'(\w+)'…?$", line).groups()  # type: ignore[union-attr]
        assert data[int(place) :].startswith(evidence.encode())


@needs_recordings
@pytest.mark.parametrize(
    ("log", "yml", "columns"),
    [
        ("20131123.ctdbp1_many", "20131123.ctdbp1_many_telemetered", UCSD),
        ("20131123.ctdbp1_many_corrected", "20131123.ctdbp1_many_recovered", "temperature,conductivity,pressure,time"),
        (
            "20140928.ctdbp3_24rec",
            "20140928.ctdbp3_24rec",
            '["temperature", "conductivity", "pressure", "counts_1", "counts_2", "counts_3", "time"]',
        ),
    ],
)
def test_a_seacats_lines_with_columns_from_the_command_line(log: str, yml: str, columns: str) -> None:
    done = Done(CTDBP / f"{log}.log", "--driver", "sbe16plus", "--set", f"columns={columns}")
    wanted = yaml.safe_load((CTDBP / f"{yml}.yml").read_text())["data"]
    rows = done.rows()
    assert [(row[T], row[C], row[P]) for row in rows] == [(w["temp"], w["conductivity"], w["pressure"]) for w in wanted]
    assert seconds(rows) == [round(s) for s in ntp(wanted)]
    assert done.code == 0


@needs_recordings
@pytest.mark.parametrize(("name", "frame"), [("RDI_test01.000", "beam"), ("winriver02.PD0", "ship")])
def test_profiles_are_mhkits(name: str, frame: str) -> None:
    done = Done(PD0 / name, "--driver", "trdi_pd0", "--kind", "adcp")
    rows = done.rows()
    names = {
        "beam": [f"radial_sea_water_velocity_toward_instrument_beam_{i}" for i in (1, 2, 3, 4)],
        "ship": [n for n in rows[0] if re.match(r"(starboard|forward)_sea_water", n)],
    }[frame]
    assert names
    with netCDF4.Dataset(PD0 / f"{Path(name).stem}.nc") as theirs:
        theirs.set_auto_mask(False)
        n = len(theirs["time"])
        np.testing.assert_allclose(seconds(rows)[:n], theirs["time"][:], atol=1e-6, rtol=0)
        for i, parameter in enumerate(names):
            ours = np.array([row[parameter] for row in rows], float)  # null is NaN
            np.testing.assert_allclose(ours[:n], theirs["vel"][i].T, atol=1e-6, rtol=0)
        assert f"in {theirs.sizes['range'] if hasattr(theirs, 'sizes') else len(theirs['range'])} cells of" in done.err


@needs_recordings
def test_profiles_are_oois_and_what_is_damaged_is_named_with_its_place() -> None:
    folder = DATA / "adcp/pd0_ooi"
    done = Done(folder / "ADCP_CCE1T_20.000", folder / "ADCP_data_Corrupted.000", "--driver", "trdi_pd0")
    particles = yaml.safe_load((folder / "ADCP_CCE1T_20.yml").read_text())["data"]
    velocities = [p for p in particles if p["particle_type"] == "adcp_velocity_earth"]
    rows = done.rows()
    assert len(rows) == len(velocities) + 1
    np.testing.assert_allclose(seconds(rows)[: len(velocities)], ntp(velocities), atol=0.006, rtol=0)
    for parameter, key in (
        ("eastward_sea_water_velocity", "water_velocity_east"),
        ("northward_sea_water_velocity", "water_velocity_north"),
    ):
        names = [n for n in rows[0] if n.startswith(parameter)]
        ours = [[None if v is None else round(v * 1000) for v in row[names[0]]] for row in rows[: len(velocities)]]
        assert ours == [[None if v == -32768 else v for v in p[key]] for p in velocities]
    assert "ADCP_data_Corrupted.000: byte 0: checksum:" in done.err
    assert "ADCP_data_Corrupted.000: 1 sample (1 adcp" in done.err


@needs_recordings
def test_a_cruises_navigation_is_what_pynmea2_and_openrvdas_read() -> None:
    with gzip.open(DATA / "nmea/golden_pynmea2/NBP1406_PCOD.pynmea2.jsonl.gz", "rt") as file:
        golden = [json.loads(line) for line in file]
    done = Done(CRUISE / "NBP1406_PCOD-2014-08-01", "--driver", "nmea0183")
    fixes = [row for row in done.rows() if "altitude" in row]
    wanted = [entry["fields"] for entry in golden if entry["sentence_type"] == "GGA"]
    assert len(fixes) == len(wanted) == 1000
    for ours, theirs in zip(fixes, wanted, strict=True):
        assert ours["latitude"] == pytest.approx(theirs["latitude"], abs=0.51e-7)
        assert ours["longitude"] == pytest.approx(theirs["longitude"], abs=0.51e-7)
        assert ours["altitude"] == float(theirs["altitude"])
        assert ours["gnss_satellites_used"] == int(theirs["num_sats"])
    assert fixes[1]["time"] == "2014-08-01T00:00:00.226000000Z"  # the receiver said 16 December 1994
    assert "NBP1406_PCOD-2014-08-01: byte 28: week_rollover" in done.err
    with gzip.open(DATA / "cruise/golden_openrvdas/NBP1406_gyr1-2014-08-01.openrvdas.jsonl.gz", "rt") as file:
        headings = [json.loads(line)["parsed"]["fields"]["Gyr1HeadingTrue"] for line in file][:1000]
    lines = (CRUISE / "NBP1406_gyr1-2014-08-01").read_bytes().splitlines(keepends=True)[:1000]
    gyro = Done("-", "--driver", "nmea0183", stdin=b"".join(lines))
    assert gyro.column("platform_orientation") == headings
    # A gyro tells no time; it has the logger's stamp.
    assert [row["time"][:26] for row in gyro.rows()] == [line[:26].decode() for line in lines]


@needs_recordings
def test_tides_are_oois() -> None:
    folder = DATA / "tide/sbe26plus_realtime"
    done = Done(folder / "20140105_invts.presf.log", "--driver", "sbe26plus")
    particles = yaml.safe_load((folder / "20140105_invts.presf_telem.yml").read_text())["data"]
    tides = [p for p in particles if p["particle_type"] == "presf_abc_dcl_tide_measurement"]
    assert done.column(T) == [p["seawater_temperature"] for p in tides]
    assert seconds(done.rows()) == [round(s) for s in ntp(tides)]
    (spoilt,) = [line for line in done.err.splitlines() if ": byte " in line]
    place = int(spoilt.partition(": byte ")[2].partition(":")[0])
    assert (folder / "20140105_invts.presf.log").read_bytes()[place:].startswith(b"tide: start time")
    uploaded = DATA / "tide/sbe26plus_hex"
    done = Done(uploaded / "presf_abc_test_3.hex", "--driver", "sbe26plus")
    particles = yaml.safe_load((uploaded / "presf_abc_test_3.exp_results.yml").read_text())["data"]
    tides = [p for p in particles if p["particle_type"] == "presf_abc_tide_measurement_recovered"]
    found = [row for row in done.rows() if row["kind"] == "tide_gauge"]
    assert seconds(found) == [p["presf_time"] + 946_684_800 for p in tides]


# ---- the form


def test_missing_values_are_null_or_empty_and_negative_zero_is_zero(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(sentence(b"GPGGA,120000.5,0101.5,N,10351.0,E,1,05,1.2,,M,,M,,") + sentence(b"IIMTW,-0.0,C"))
    fix, water = Done(file, "--driver", "nmea0183").rows()
    assert fix["time"] is None  # no date was said
    assert fix["altitude"] is None
    assert (fix["latitude"], fix["gnss_satellites_used"]) == (1.025, 5)
    assert water == {"time": None, "kind": "water_temperature", T: 0.0}
    done = Done(file, "--driver", "nmea0183", "--csv")
    assert "-0" not in done.out
    table = list(csv.DictReader(io.StringIO(done.out)))
    assert [(row["time"], row["altitude"], row["latitude"], row[T]) for row in table] == [
        ("", "", "1.025", ""),
        ("", "", "", "0.0"),
    ]


@needs_recordings
def test_csv_has_one_header_the_same_numbers_and_numbered_cells(tmp_path: Path) -> None:
    files = [PD0 / "RDI_test01.000", DATA / "adcp/pd0_ooi/ADCP_CCE1T_20.000"]
    table = list(csv.reader(io.StringIO(Done(*files, "--driver", "trdi_pd0", "--csv").out)))
    rows = Done(*files, "--driver", "trdi_pd0").rows()
    header = table[0]
    assert header[0] == "time"
    assert len(set(header)) == len(header)
    assert len(table) == 1 + 22 + 20
    assert {len(line) for line in table} == {len(header)}
    for line, row in zip(table[1:], rows, strict=True):
        named = dict(zip(header, line, strict=True))
        for name, value in row.items():
            if isinstance(value, list):
                texts = [named.pop(f"{name}_{cell}") for cell in range(1, len(value) + 1)]
                assert [None if t == "" else float(t) for t in texts] == value
            else:
                text = named.pop(name)
                assert (None if text == "" else text if name in ("time", "kind") else float(text)) == value
        assert set(named.values()) <= {""}


@needs_recordings
@pytest.mark.parametrize(
    ("path", "driver"),
    [
        (SBE37, Sbe37("x")),
        (PD0 / "RDI_test01.000", Pd0("x")),
        (CRUISE / "NBP1406_PCOD-2014-08-01", Nmea0183("x")),
    ],
)
def test_the_text_has_just_the_values_of_the_frames(path: Path, driver: Driver, tmp_path: Path) -> None:
    (tmp_path / "head").write_bytes(path.read_bytes()[:60_000])
    path = tmp_path / "head"
    frames = [item for item in decoded(driver, recorded(path)) if isinstance(item, Frame)]
    name = {"Sbe37": "sbe37", "Pd0": "trdi_pd0", "Nmea0183": "nmea0183"}[type(driver).__name__]
    wanted = [{"kind": frame.schema.kind, **row} for frame in frames for row in rows([frame])]
    assert Done(path, "--driver", name).rows() == wanted


def test_several_files_and_standard_input(tmp_path: Path) -> None:
    for k in (1, 2):
        (tmp_path / f"{k}.log").write_bytes(LINE % k)
    done = Done(tmp_path / "1.log", "-", tmp_path / "2.log", "--driver", "sbe37", stdin=LINE % 9)
    assert [row["time"][17:19] for row in done.rows()] == ["01", "09", "02"]
    assert "-: 1 sample (1 ctd), 0 problems" in done.err
    assert Done("-", "--driver", "sbe37").out == ""


def test_logger_stamps_can_be_named_where_they_are_not_found_out(tmp_path: Path) -> None:
    stamped = b"2024-01-01T00:00:00.5Z " + sentence(b"IIMTW,19.5,C")
    (tmp_path / "log").write_bytes(b"began here\r\nand here\r\nand again\r\n" + stamped)
    assert Done(tmp_path / "log", "--driver", "nmea0183").rows()[0]["time"] is None
    done = Done(tmp_path / "log", "--driver", "nmea0183", "--stamps", "iso")
    assert done.rows() == [{"time": "2024-01-01T00:00:00.500000000Z", "kind": "water_temperature", T: 19.5}]


# ---- mistakes


def test_files_that_cannot_be_read_are_named_and_the_others_decoded(tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(LINE % 1)
    (tmp_path / "folder").mkdir()
    done = Done(tmp_path / "none", tmp_path / "folder", tmp_path / "good", "--driver", "sbe37")
    assert done.code == 1
    assert len(done.rows()) == 1
    assert f"{tmp_path}/none: No such file or directory\n" in done.err
    assert f"{tmp_path}/folder: no raw log; name the folder `raw`" in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--driver", "sbe73"), ["did you mean 'sbe37'?", "trdi_pd0"]),
        (("--driver", "sbe37", "--set", "colums=time"), ["no setting 'colums'", "did you mean 'columns'?"]),
        (("--driver", "sbe37", "--set", "columns"), ["write name=value"]),
        (("--driver", "sbe37", "--set", "columns=time,warmth"), ["columns.1", "temperature"]),
        (("--driver", "modbus"), ['map = "…"', "vegapuls-61"]),
        (("--driver", "sbe37", "--stamps", "utc"), ["dcl", "iso"]),
        (("--set", "columns=time"), ["name it by --driver"]),
        (("--to", "netcdf"), ["--output"]),
    ],
)
def test_mistakes_on_the_command_line_name_the_remedy(arguments: tuple[str, ...], words: list[str]) -> None:
    done = Done("file", *arguments)
    text = " ".join(done.err.replace("│", " ").split())
    assert done.code == 2
    assert done.out == ""
    assert all(word in text for word in words), text


@needs_recordings
def test_a_reader_who_has_enough_ends_it_quietly() -> None:
    command = [sys.executable, "-m", "tidegate", "decode", str(SBE37), "--driver", "sbe37"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith(b'{"time":"2014-02-19')
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(20) == 0
    assert b"Traceback" not in err
    assert b"Broken" not in err


# ---- damage

SAMPLES: dict[str, tuple[type[Driver], Callable[[], bytes]]] = {
    "sbe37": (Sbe37, lambda: SBE37.read_bytes()[:30_000]),
    "sbe16plus": (Sbe16plus, lambda: (CTDBP / "20131123.ctdbp1_many.log").read_bytes()),
    "sbe26plus": (Sbe26plus, lambda: (DATA / "tide/sbe26plus_realtime/20140105_trim.presf.log").read_bytes()),
    "trdi_pd0": (Pd0, lambda: (PD0 / "RDI_test01.000").read_bytes()),
    "nmea0183": (Nmea0183, lambda: (CRUISE / "NBP1406_PCOD-2014-08-01").read_bytes()[:30_000]),
}


@needs_recordings
@pytest.mark.parametrize("name", SAMPLES)
@settings(max_examples=15)
@given(st.randoms(use_true_random=False))
def test_damaged_files_give_problems_at_their_places_and_never_fail(name: str, random: Any) -> None:
    cls, read = SAMPLES[name]
    data = bytearray(read())
    for _ in range(random.randrange(30)):
        data[random.randrange(len(data))] = random.randrange(256)
    start = random.randrange(len(data))
    if random.random() < 0.5:
        del data[start : start + random.randrange(2000)]
    whole = bytes(data[random.randrange(100) : len(data) - random.randrange(3000)])
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(whole)
        found = list(decoded(cls("x"), recorded(Path(file.name))))
    for problem in (item for item in found if isinstance(item, Problem)):
        assert problem.kind != "driver_fault"
        assert 0 <= problem.offset <= len(whole)
        first = problem.data.split(b"\n")[0].split(b"\r")[0]
        assert whole[problem.offset :].startswith(first)


# ---- whole cruises


@needs_recordings
def test_a_cruise_of_instruments_is_recognised_file_by_file(tmp_path: Path) -> None:
    nobody = tmp_path / "notes.txt"
    nobody.write_text("We left port at noon.\nThe sea was calm, and nobody was sick.\n" * 20)
    out = tmp_path / "out"
    done = Done(CRUISE, PD0 / "RDI_test01.000", nobody, "--to", "netcdf", "--output", out)
    assert done.code == 1
    assert f"{nobody}: which instrument this is of cannot be told" in done.err
    told = dict(re.findall(r"/([^/\s]+): it is (\S+)", done.err))
    assert told["NBP1406_PCOD-2014-08-01"] == told["NBP1406_gyr1-2014-08-01"] == "nmea0183"
    assert told["RDI_test01.000"] == "trdi_pd0"
    made = {path.name for path in out.iterdir()}
    assert {"NBP1406_gyr1-2014-08-01.heading.nc", "RDI_test01.000.adcp.nc"} <= made
    with netCDF4.Dataset(out / "NBP1406_gyr1-2014-08-01.heading.nc") as file:
        named = Done(CRUISE / "NBP1406_gyr1-2014-08-01", "--driver", "nmea0183")
        assert file["platform_orientation"][:].tolist() == named.column("platform_orientation")
    summary = done.err.splitlines()
    at = next(i for i, line in enumerate(summary) if re.fullmatch(r"\d+ recordings, 1 of them not decoded, .*", line))
    assert any("week_rollover (nmea0183): the receiver's date" in line for line in summary[at:])


@needs_recordings
@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_text_goes_into_a_file_of_each_recording(tmp_path: Path, form: str) -> None:
    files = [CRUISE / "NBP1406_gyr1-2014-08-01", CRUISE / "NBP1406_PCOD-2014-08-01"]
    assert Done(*files, "--driver", "nmea0183", "--to", form, "--output", tmp_path / "out").out == ""
    for path in files:
        made = (tmp_path / "out" / f"{path.name}.{form}").read_text()
        assert made == Done(path, "--driver", "nmea0183", "--to", form).out


def test_two_recordings_of_one_name_never_share_a_file(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "log").write_bytes(LINE % 1)
    files = [tmp_path / folder / "log" for folder in "ab"]
    done = Done(*files, "--driver", "sbe37", "--to", "csv", "--output", tmp_path / "out")
    assert done.code == 1
    assert f"{tmp_path}/b/log: {tmp_path}/out has the samples of another recording called log" in done.err
