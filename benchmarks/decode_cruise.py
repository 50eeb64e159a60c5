"""Any line of a stamped cruise log, records a second: the devices of a research ship, each by its driver.

Each file of the cruise NBP1406 (5,000 lines of one device, every line behind the logger's stamp) is decoded from its
bytes to Frames with arrival times: stamps parsed, lines framed, checked and made columns. The value is the median over
rounds of all records over all time. The peer's figure was recorded elsewhere, as OpenRVDAS is not on PyPI.
"""

import time
from statistics import median

from benchmarks.result import Result
from drivers.ascii_pattern import AsciiPattern
from drivers.driver import Driver, Problem
from drivers.nmea.nmea0183 import Nmea0183
from drivers.recording import batches
from tests.recordings import DATA

RECORDED_OPENRVDAS = 10_700.0
"""Records/s of OpenRVDAS's RecordParser on lines of this cruise, as recorded in its study."""

_FOLDER = DATA / "cruise/NBP1406"
_NMEA = ("PCOD", "adcp", "gp02", "gyr1", "mbdp", "s330", "seap")
_PATTERNS = {
    "cwnc": "winch",
    "eng1": "engineering_nbp",
    "grv1": "bgm3",
    "hdas": "hydrodas",
    "knud": "knudsen",
    "mwx1": "mast_nbp",
    "pco2": "pco2_ldeo",
    "pguv": "guv2511",
    "rtmp": "sbe38",
    "svp1": "sound_velocity",
    "tsg1": "tsg",
    "tsg2": "tsg",
    "twnc": "winch",
}
_ROUNDS = 15
_COPIES = 8  # of each file in a row, as a day's log is longer than these pieces of one


def driver_of(device: str) -> Driver | None:
    """A new driver for a device of the cruise."""
    if device in _NMEA:
        return Nmea0183(device, Nmea0183.Settings.model_validate({"checksum": "optional"}))
    if device in _PATTERNS:
        return AsciiPattern(device, AsciiPattern.Settings.model_validate({"pattern": _PATTERNS[device]}))
    return None


def decoded(driver: Driver, data: bytes) -> int:
    """How many lines became Frames or were seen as sentences that only tell the time: all that were no Problem."""
    problems = 0
    for batch in batches(iter([data])):
        problems += sum(isinstance(item, Problem) for item in driver.feed_all(batch.pieces))
    problems += sum(isinstance(item, Problem) for item in driver.finish())
    return data.count(b"\n") - problems


def run() -> Result:
    """Measures every device's file that is there."""
    logs: dict[str, bytes] = {}
    for path in sorted(_FOLDER.glob("NBP1406_*-2014-08-01")):
        device = path.name.removeprefix("NBP1406_").partition("-")[0]
        if driver_of(device) is not None:
            logs[device] = path.read_bytes() * _COPIES
    if not logs:
        raise FileNotFoundError(f"no logs of the cruise at {_FOLDER}; set TIDEGATE_RECORDINGS to where they are")
    rates: list[float] = []
    by_device: dict[str, list[float]] = {device: [] for device in logs}
    for _ in range(_ROUNDS):
        records, spent_s = 0, 0.0
        for device, data in logs.items():
            driver = driver_of(device)
            assert driver is not None
            begin_s = time.perf_counter()
            count = decoded(driver, data)
            took_s = time.perf_counter() - begin_s
            by_device[device].append(count / took_s)
            records, spent_s = records + count, spent_s + took_s
        rates.append(records / spent_s)
    value = median(rates)
    return Result(
        "decode_cruise",
        value,
        "records/s",
        "OpenRVDAS RecordParser (recorded)",
        RECORDED_OPENRVDAS,
        value / RECORDED_OPENRVDAS,
        "ratio >= 20",
        "value >= 250000",
        {
            "devices": len(logs),
            "lines": sum(data.count(b"\n") for data in logs.values()),
            "rounds": _ROUNDS,
            "peer_figure": "recorded",
            **{device: median(found) for device, found in by_device.items()},
        },
    )
