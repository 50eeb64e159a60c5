"""AD2CP megabytes a second, streaming in pieces of 64 KiB to Frames, against MHKiT reading the same file.

Ours checks every checksum and gives every field as samples with reasons. MHKiT (dolfyn) indexes the file and reads
all of it into a dataset; its index is deleted before each round, for it is made on the first reading of a file. The
recording is MHKiT's own `BenchFile01` (Signature 500, bursts of five beams), or, where it is absent, a simulated
Signature. Both take turns in one process; the figures are medians.
"""

import contextlib
import io
import statistics
import tempfile
import time
import warnings
from pathlib import Path

from benchmarks.result import Result
from drivers.nortek.ad2cp import Ad2cp
from drivers.simulators.signature import SignatureSimulator
from tests.recordings import DATA
from tidegate.clock import UNKNOWN
from tidegate.frame import Frame

_PIECE = 1 << 16
_ROUNDS = 7
_AGAIN = 5  # readings of ours a round, for it is soon done


def recording() -> tuple[bytes, str]:
    """An AD2CP file, and where it is from."""
    path = DATA / "adcp/nortek_ad2cp/BenchFile01.ad2cp"
    if path.exists():
        return path.read_bytes(), "BenchFile01"
    simulator = SignatureSimulator(cells=38)
    start_ns = 1_767_225_600_000_000_000
    data = b"".join(simulator.tick(start_ns + i * 1_000_000_000) for i in range(1000))
    return data, "simulated Signature"


def decode(data: bytes) -> int:
    """The samples that ours finds."""
    driver = Ad2cp("adcp")
    decoded = [item for i in range(0, len(data), _PIECE) for item in driver.feed(data[i : i + _PIECE], UNKNOWN)]
    return sum(len(item) for item in [*decoded, *driver.finish()] if isinstance(item, Frame))


def run() -> Result:
    """Measures both in turns."""
    from mhkit import dolfyn

    data, source = recording()
    ours, theirs, samples = [], [], 0
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "recording.ad2cp"
        path.write_bytes(data)
        for _ in range(_ROUNDS):
            started = time.perf_counter()
            for _ in range(_AGAIN):
                samples = decode(data)
            ours.append((time.perf_counter() - started) / _AGAIN)
            path.with_name(path.name + ".index").unlink(missing_ok=True)
            with contextlib.redirect_stdout(io.StringIO()):
                started = time.perf_counter()
                dolfyn.read(str(path))
                theirs.append(time.perf_counter() - started)
    megabytes = len(data) / 1e6
    value, peer = megabytes / statistics.median(ours), megabytes / statistics.median(theirs)
    return Result(
        "decode_ad2cp",
        value,
        "MB/s",
        "mhkit (dolfyn)",
        peer,
        value / peer,
        "ratio >= 5",
        "ratio >= 10",
        {"recording": source, "samples": samples, "megabytes": megabytes},
    )
