"""Ensembles a second out of PD0: ours in pieces of 64 KiB, as they come from a port; MHKiT's dolfyn and
trdi-adcp-readers on whole files, in the same run.

The recordings are those of MHKiT (Workhorses in beam, earth and ship coordinates); where they are absent, a simulated
Workhorse. Each side decodes every file three times, and the best time of each counts. Peers get the file as it is; what
they print is kept away from the result. dolfyn drops the last ensemble of some files; ensembles counted are ours.
"""

import contextlib
import io
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks.result import Result
from drivers.simulators.workhorse import WorkhorseSimulator
from drivers.trdi.pd0 import Pd0
from tests.recordings import DATA
from tidegate.clock import UNKNOWN
from tidegate.frame import Frame

_PIECE = 1 << 16
_TIMES = 3
_RECORDINGS = ("RDI_test01.000", "RDI_withBT.000", "winriver02.PD0")


def ours(data: bytes) -> int:
    """The ensembles in `data`, decoded piece by piece."""
    driver = Pd0("adcp")
    decoded = [item for a in range(0, len(data), _PIECE) for item in driver.feed(data[a : a + _PIECE], UNKNOWN)]
    decoded += driver.finish()
    return sum(len(frame) for frame in decoded if isinstance(frame, Frame) and frame.schema.kind == "adcp")


def _mhkit(path: Path) -> None:
    from mhkit.dolfyn.io.rdi import read_rdi

    read_rdi(str(path))


def _trdi_adcp_readers(path: Path) -> None:
    """It reads one ensemble at a time, so the file is cut by the lengths in the headers."""
    from trdi_adcp_readers.readers import read_PD0_bytes  # type: ignore[import-untyped]  # it has no types

    data, at = bytearray(path.read_bytes()), 0
    while at + 4 <= len(data):
        size = (data[at + 2] | data[at + 3] << 8) + 2
        if at + size <= len(data):
            read_PD0_bytes(data[at : at + size])
        at += size


def best_s(work: Callable[[], object]) -> float:
    """The shortest of several runs."""
    spent: list[float] = []
    for _ in range(_TIMES):
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            started = time.perf_counter()
            work()
            spent.append(time.perf_counter() - started)
    return min(spent)


def files(folder: Path) -> Sequence[Path]:
    """What is decoded: recordings, or simulated ensembles written into `folder`."""
    found = [DATA / "adcp/pd0_mhkit" / name for name in _RECORDINGS]
    if all(path.exists() for path in found):
        return found
    start_ns = 1_767_225_600_000_000_000
    made = []
    for cells in (20, 60):
        simulator = WorkhorseSimulator(cells=cells, bottom_track=True)
        path = folder / f"simulated_{cells}.000"
        path.write_bytes(b"".join(simulator.tick(start_ns + i * 1_000_000_000) for i in range(500)))
        made.append(path)
    return made


def run() -> Result:
    """Measures all, file by file; the rates are of all files together."""
    with tempfile.TemporaryDirectory() as folder:
        paths = files(Path(folder))
        counts, mine_s, mhkit_s = [], [], []
        other_s, other_count, failed = 0.0, 0, []
        for path in paths:
            data = path.read_bytes()
            counts.append(ours(data))
            mine_s.append(best_s(partial(ours, data)))
            mhkit_s.append(best_s(partial(_mhkit, path)))
            try:
                other_s += best_s(partial(_trdi_adcp_readers, path))
                other_count += counts[-1]
            except Exception as error:  # a peer that cannot read a file: said, and left out of its rate
                failed.append(f"{path.name}: {type(error).__name__}")
    value, peer = sum(counts) / sum(mine_s), sum(counts) / sum(mhkit_s)
    each = [(count / a, count / b) for count, a, b in zip(counts, mine_s, mhkit_s, strict=True)]
    return Result(
        "decode_pd0",
        value,
        "ensembles/s, streaming",
        "dolfyn in mhkit, whole files",
        peer,
        value / peer,
        "ratio >= 10",
        "ratio >= 20",
        {
            "ensembles": sum(counts),
            "trdi_adcp_readers": other_count / other_s if other_s else 0.0,
            "trdi_adcp_readers_cannot_read": failed,
            "least_ratio": min(a / b for a, b in each),
            **{f"{path.stem}_ours": a for path, (a, _) in zip(paths, each, strict=True)},
            **{f"{path.stem}_mhkit": b for path, (_, b) in zip(paths, each, strict=True)},
        },
    )
