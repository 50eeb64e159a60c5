"""The disk is full for a while: nothing is accepted that is not kept, and all goes on within a second of space.

The storage of the gateway is a small file system of its own in memory (`mount -t tmpfs`, which needs root), filled to
the last byte and freed again, the first half of the rounds with the link up and the other half without a link.
"""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from tests.faults.instruments import COUNTING, Counting
from tests.faults.proxy import Proxy
from tests.faults.rig import Centre, Outcome, Skipped, Station, against_ledger, kinds, scene, until, wind_down

_SIZE = 16 << 20
_FULL_S = 4.0
_RECOVERED_S = 1.0
_BATCH_S = 1.0


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """A file system of that size. Raises Skipped where none can be mounted."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "faults", str(folder)],
        capture_output=True, text=True, timeout=10, check=False,
    )  # fmt: skip
    if mounted.returncode:
        raise Skipped(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], timeout=10, check=False)


def fill(ballast: Path) -> None:
    """Takes all room there is."""
    with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def run(centre: Centre, rounds: int, seed: int) -> Outcome:
    """So many times full and freed."""
    outcome = Outcome("diskfull", rounds, seed)
    recovered_s: list[float] = []
    with scene() as (folder, quay), small_disk(folder / "disk", _SIZE) as disk, Proxy(centre.broker.port) as proxy:
        port = folder / "ports/fast"
        quay.add("fast", Counting(interval_s=0.05, burst=2), port)
        tables = {"fast": f'port = {{ serial = "{port}" }}\n{COUNTING}'}
        station = Station(
            folder, "diskfull", tables, proxy.port, storage=disk / "station", raw_log="10 MB", spool="10 MB"
        )
        alarms = 0
        linked = unlinked = -1
        try:
            station.start()
            time.sleep(2.0)
            for k in range(rounds):
                if k == (rounds + 1) // 2:
                    station.drain()
                    linked = centre.platform("diskfull").get("explained", 0)
                    proxy.shut()
                    time.sleep(2.5)  # a backlog
                fill(disk / "ballast")
                time.sleep(_FULL_S)
                fill(disk / "ballast")  # what rotation has freed
                status = station.status()
                alarms += "raw_log" in kinds(status, "fast")
                before = status["disk"]["spool_bytes"] + status["disk"]["raw_bytes"]
                (disk / "ballast").unlink()

                def grows(before: int = before) -> bool:
                    now = station.status()["disk"]
                    return bool(now["spool_bytes"] + now["raw_bytes"] > before)

                recovered_s.append(until(grows, "it stores again", 10.0, 0.02))
            time.sleep(1.5)
            proxy.open()
            rows = wind_down(quay, station, centre)
        finally:
            station.kill()
        said = against_ledger(quay, rows, None)
        outcome.count(said)
        seen = centre.platform("diskfull")
        unlinked = seen["explained"]
        lost = sorted(one.values["lines_said"] for one in said.lost_samples)
        outcome.figures |= {
            "full_s": _FULL_S,
            "recovered_after_p50_s": median(recovered_s),
            "recovered_after_max_s": max(recovered_s),
            "envelopes_given_up_with_link": linked,
            "envelopes_given_up": unlinked,
            "gap_reasons": sorted({gap["reason"] for gap in seen["gaps"]}),
        }
        return outcome.judge(
            {
                "nothing is doubled or altered": not (said.duplicated or said.altered),
                "what is lost was told of by gaps, and only then": bool(lost) == bool(unlinked),
                "the hub knows of nothing that is missing without a reason": seen["missing"] == 0,
                "with a link, nothing is given up": linked <= 0,
                "the alarm names the disk": alarms == rounds and "free space" in station.log(),
                f"it stores again within {_RECOVERED_S:g} s of the batch that is due": max(recovered_s)
                < _RECOVERED_S + _BATCH_S,
                "the gateway logged no fault of its own": station.logged_no_fault(outcome),
            }
        )
