"""The broker is away for a day: memory, disk and syncs stay within bounds, and it all comes in while live data stay fresh.

Twenty streams at 1 Hz. A controlled clock (`tests.faults.clock`) lets the day pass faster; gateway and instruments
follow it. Then the clock goes at its own pace, the broker is back and the backlog drains. A round is a quarter of an
hour; the long form has 96.
"""

import os
import time

from tests.faults.instruments import COUNTING, Counting
from tests.faults.proxy import Proxy
from tests.faults.rig import Centre, Outcome, Station, against_ledger, scene, until, wind_down

_STREAMS, _ROUND_S = 20, 900
_SPEED = 60.0
_RSS_BYTES, _SYNCS_PER_S, _WRITTEN = 10 << 20, 1.0, 1.5
_FRESH_S, _DRAIN_SPEED = 10.0, 20.0


def run(centre: Centre, rounds: int, seed: int) -> Outcome:
    """So many quarters of an hour without a broker."""
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
            quay.clock.run_at(_SPEED)
            until(lambda: quay.clock.speed == _SPEED, "the clock runs")
            time.sleep(1.0)
            rss, (written, syncs) = station.rss_bytes(), station.written()
            stored, begin_ns = _stored(station), quay.clock.monotonic_ns()
            end_ns = begin_ns + rounds * _ROUND_S * 10**9
            until(lambda: quay.clock.monotonic_ns() >= end_ns, "the outage is over", 7200.0, 0.2)
            rss_grown = station.rss_bytes() - rss
            written, syncs = (b - a for a, b in zip((written, syncs), station.written(), strict=True))
            stored = _stored(station) - stored
            took_s = (quay.clock.monotonic_ns() - begin_ns) / 1e9
            skipped = sum(
                p["count"] for i in station.status()["instruments"].values() for p in i["problems"]
            )
            quay.clock.run_at(1.0)
            time.sleep(2.0)
            backlog_s = took_s
            proxy.open()
            begin_s = time.monotonic()
            ages_s: list[float] = []
            left = [1]

            def drained() -> bool:
                link = station.status()["link"]
                left[0] = link["backfill"]
                newest = centre.platform("outage").get("sample_age_s")
                if link["connected"] and newest is not None:
                    ages_s.append(newest)
                return bool(link["connected"]) and not left[0]

            until(drained, "the backlog is delivered", 1800.0, 0.25)
            drain_s = time.monotonic() - begin_s
            rows = wind_down(quay, station, centre, 120.0)
        finally:
            station.kill()
        said = against_ledger(quay, rows, None)
        outcome.count(said)
        settled = ages_s[min(len(ages_s) - 1, 8) :]  # the link needs a moment to come up
        outcome.figures |= {
            "outage_h": took_s / 3600,
            "streams": _STREAMS,
            "rss_grown_mb": rss_grown / 2**20,
            "syncs_per_s": syncs / took_s,
            "written_per_byte_stored": written / max(stored, 1),
            "bytes_stored": stored,
            "drain_s": drain_s,
            "drain_speed": backlog_s / drain_s,
            "live_age_max_s": max(settled, default=float("nan")),
            "problems": skipped,
        }
        return outcome.judge(
            {
                "nothing is lost, doubled or altered": said.clean,
                "memory grows by less than 10 MB": rss_grown < _RSS_BYTES,
                "at most one sync a second": syncs / took_s <= _SYNCS_PER_S,
                "at most 1.5 bytes are written per byte stored": written <= _WRITTEN * stored,
                f"live values stay fresher than {_FRESH_S:g} s while it drains": max(settled, default=99.0) < _FRESH_S,
                f"it drains at {_DRAIN_SPEED:g} times real time": backlog_s / drain_s >= _DRAIN_SPEED,
                "polling is undisturbed": not skipped,
                "the gateway logged no fault of its own": "Traceback" not in station.log(),
            }
        )


def _stored(station: Station) -> int:
    return sum(os.stat(path).st_size for path in station.storage.rglob("*.segment"))
