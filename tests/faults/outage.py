"""The broker is away for a day: memory, disk and syncs stay within bounds; then all comes in, and live data stay fresh.

Twenty streams at 1 Hz. A clock under control (`tests.faults.controlled_clock`) lets the day pass faster; gateway and
instruments follow it. Then the clock goes at its own pace, the broker is back and the backlog drains. A round is five
minutes; the long form has 288. How often the gateway syncs is measured before, at the clock's own pace.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator

import pyarrow as pa

from tests.faults.instruments import COUNTING, Counting
from tests.faults.proxy import Proxy
from tests.faults.rig import Centre, Outcome, Station, against_ledger, kinds, scene, until, wind_down

_STREAMS, _ROUND_S = 20, 300
_PACED_S = 5.0
_SPEED = 60.0
_RSS_BYTES, _SYNCS_PER_S, _WRITTEN = 10 << 20, 1.0, 1.5
_FRESH_S, _DRAIN_SPEED = 10.0, 20.0


def run(centre: Centre, rounds: int, seed: int) -> Outcome:
    """So many times five minutes without a broker."""
    outcome = Outcome("outage", rounds, seed)
    with scene() as (folder, quay), Proxy(centre.broker.port) as proxy:
        tables = {}
        for k in range(_STREAMS):
            port = folder / f"ports/s{k}"
            quay.add(f"s{k}", Counting(interval_s=1.0), port)
            tables[f"s{k}"] = f'port = {{ serial = "{port}" }}\n{COUNTING}'
        station = Station(folder, "outage", tables, proxy.port, clock=quay.clock)
        try:
            station.start()
            station.drain()
            proxy.shut()
            time.sleep(1.0)
            _, before = station.written()
            time.sleep(_PACED_S)
            syncs_per_s = (station.written()[1] - before) / _PACED_S
            quay.clock.run_at(_SPEED)
            until(lambda: quay.clock.speed == _SPEED, "the clock runs")
            time.sleep(1.0)
            rss, written = station.rss_bytes(), station.written()[0]
            stored, begin_ns = _stored(station), quay.clock.monotonic_ns()
            end_ns = begin_ns + rounds * _ROUND_S * 10**9
            until(lambda: quay.clock.monotonic_ns() >= end_ns, "the outage is over", 7200.0, 0.2)
            rss_grown = station.rss_bytes() - rss
            written = station.written()[0] - written
            stored = _stored(station) - stored
            took_s = (quay.clock.monotonic_ns() - begin_ns) / 1e9
            told = Counter[str]()
            for name in tables:
                told += kinds(station.status(), name)
            quay.clock.run_at(1.0)
            time.sleep(2.0)
            backlog_s = took_s
            proxy.open()
            linked_s = until(lambda: station.status()["link"]["connected"], "the link is back", 60.0)
            begin_s = time.monotonic()
            live_from_ns, ahead_ns = quay.clock.time_ns(), quay.clock.time_ns() - time.time_ns()

            def drained() -> bool:
                link = station.status()["link"]
                return bool(link["connected"]) and not link["backfill"]

            until(drained, "the backlog is delivered", 1800.0, 0.25)
            drain_s = time.monotonic() - begin_s
            live_until_ns = quay.clock.time_ns()
            time.sleep(2.0)
            rows = wind_down(quay, station, centre, 120.0)
        finally:
            station.kill()
        said = against_ledger(quay, rows, None)
        outcome.count(said)
        # The hub goes by the machine's own clock.
        live_age_s = max(
            (
                (journaled - time_ns + ahead_ns) / 1e9
                for time_ns, journaled in _journaled(centre)
                if live_from_ns <= time_ns <= live_until_ns + 10**9
            ),
            default=float("nan"),
        )
        outcome.figures |= {
            "outage_h": took_s / 3600,
            "streams": _STREAMS,
            "rss_grown_mb": rss_grown / 2**20,
            "syncs_per_s": syncs_per_s,
            "written_per_byte_stored": written / max(stored, 1),
            "bytes_stored": stored,
            "linked_after_s": linked_s,
            "drain_s": drain_s,
            "drain_speed": backlog_s / drain_s,
            "live_age_max_s": live_age_s,
            "problems": dict(told),
        }
        return outcome.judge(
            {
                "nothing is lost, doubled or altered": said.clean,
                "memory grows by less than 10 MB": rss_grown < _RSS_BYTES,
                "at most one sync a second": syncs_per_s <= _SYNCS_PER_S,
                "at most 1.5 bytes are written per byte stored": written <= _WRITTEN * stored,
                f"live values stay fresher than {_FRESH_S:g} s while it drains": live_age_s < _FRESH_S,
                f"it drains at {_DRAIN_SPEED:g} times real time": backlog_s / drain_s >= _DRAIN_SPEED,
                "no line is disturbed": not told.keys() - {"silent"},  # at that speed an interval is a few milliseconds
                "the gateway logged no fault of its own": station.logged_no_fault(outcome),
            }
        )


def _stored(station: Station) -> int:
    return sum(os.stat(path).st_size for path in station.storage.rglob("*.segment"))


def _journaled(centre: Centre) -> Iterator[tuple[int, int]]:
    """The time of each value at the hub, and when it was on the hub's disk."""
    for _, page in centre.changes("outage"):
        times, journaled = (page[name].cast(pa.int64()).to_pylist() for name in ("time", "journaled"))
        yield from zip(times, journaled, strict=True)
