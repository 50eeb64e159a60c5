"""NMEA 0183 sentences a second, from a recording's bytes to Frames, against pynmea2 parsing the same sentences.

Ours is the whole path of `tidegate decode` before it writes: checksums checked, every field read, times followed, and
the samples put into columns. The peer gets the sentences one by one, as text, and makes an object of each with its
checksum checked; it is not asked for a single value. `stamped` is ours on the file as the logger wrote it, with a
stamp before each sentence to be taken off; `feed` is the driver alone. The recordings are of a GPS receiver and a gyro
compass of a research cruise (NBP1406), each taken twenty times, or, where they are absent, of a simulated ship. All
take turns in one process; the figures are medians.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pynmea2

from benchmarks.result import Result
from drivers.driver import Driver
from drivers.nmea.nmea0183 import Nmea0183
from drivers.recording import pieces
from drivers.simulators.ship import ShipSimulator
from gateway.decode import decoded, recorded
from tests.recordings import DATA
from tidegate.clock import UNKNOWN, isoformat
from tidegate.frame import Frame

_DEVICES = ("PCOD", "gyr1")
_SENTENCES = 100_000  # of each device
_ROUNDS = 5


def recordings() -> tuple[dict[str, bytes], str]:
    """Stamped lines by device, and where they are from."""
    paths = {device: DATA / f"cruise/NBP1406/NBP1406_{device}-2014-08-01" for device in _DEVICES}
    if not all(path.exists() for path in paths.values()):
        return {"ship": _simulated()}, "simulated ship"
    logs = {device: path.read_bytes() for device, path in paths.items()}
    return {device: log * (_SENTENCES // log.count(b"\n")) for device, log in logs.items()}, "NBP1406 PCOD and gyr1"


def _simulated() -> bytes:
    ship, lines = ShipSimulator(), []
    begin_ns = 1_406_851_200_000_000_000
    for tick in range(_SENTENCES * 2):
        now_ns = begin_ns + tick * 100_000_000
        lines += [f"{isoformat(now_ns)} ".encode() + line for line in ship.tick(now_ns).splitlines(keepends=True)]
        ship.take_said()
        if len(lines) >= _SENTENCES:
            break
    return b"".join(lines)


def run() -> Result:
    """Measures ours on stamped files, on bare ones and fed directly, and the peer."""
    logs, source = recordings()
    bare = {device: [piece.data for piece in pieces([log])] for device, log in logs.items()}
    texts = {device: [line.decode("ascii").strip() for line in lines] for device, lines in bare.items()}
    with tempfile.TemporaryDirectory() as folder:
        stamped_files = {device: Path(folder, f"{device}.stamped") for device in logs}
        bare_files = {device: Path(folder, f"{device}.bare") for device in logs}
        for device, log in logs.items():
            stamped_files[device].write_bytes(log)
            bare_files[device].write_bytes(b"".join(bare[device]))

        def file(path: Path) -> int:
            return sum(isinstance(item, Frame) for item in decoded(_driver(), recorded(path)))

        def feed(device: str) -> int:
            data, driver = b"".join(bare[device]), _driver()
            frames = driver.feed(data, UNKNOWN) + driver.finish()
            return len(frames)

        def peer(device: str) -> int:
            return sum(pynmea2.parse(text, check=True) is not None for text in texts[device])

        ways: dict[str, Callable[[str], int]] = {
            "stamped": lambda device: file(stamped_files[device]),
            "bare": lambda device: file(bare_files[device]),
            "feed": feed,
            "pynmea2": peer,
        }
        seconds: dict[tuple[str, str], list[float]] = {(way, device): [] for way in ways for device in logs}
        for _ in range(_ROUNDS):
            for way, work in ways.items():
                for device in logs:
                    began_s = time.perf_counter()
                    assert work(device)
                    seconds[way, device].append(time.perf_counter() - began_s)

    def rate(way: str, *devices: str) -> float:
        spent_s = sum(statistics.median(seconds[way, device]) for device in devices)
        return sum(len(texts[device]) for device in devices) / spent_s

    ours, theirs = rate("bare", *logs), rate("pynmea2", *logs)
    return Result(
        "decode_nmea",
        ours,
        "sentences/s",
        f"pynmea2 {pynmea2.__version__}, parse of bare sentences",
        theirs,
        ours / theirs,
        "ratio >= 2",
        "ratio >= 4",
        {
            "source": source,
            "sentences": sum(map(len, texts.values())),
            "stamped": rate("stamped", *logs),
            "feed": rate("feed", *logs),
            **{f"{way}_{device}": rate(way, device) for way in ways for device in logs},
        },
    )


def _driver() -> Driver:
    return Nmea0183("ship")
