"""Lost acknowledgements and duplicates: the hub holds each record once, in the order of seq.

Between gateway and broker the connection is cut after every 7 publishes, messages are swapped, repeated, replayed from
long ago and delayed, in both directions; then 30 % of the PUBACKs are lost besides. The gateway's clock and
the instruments' go ten times as fast meanwhile, for its timeouts.
"""

import time
from dataclasses import replace

from tests.faults.instruments import COUNTING, Counting
from tests.faults.proxy import Faults, Proxy
from tests.faults.rig import Centre, Outcome, Station, against_ledger, scene, until, wind_down

_BAD = Faults(repeat=0.1, replay=0.1, swap=0.15, delay=0.1, delay_s=0.2, cut_after=7)
_SPEED = 10.0
_WORSE = replace(_BAD, lose_puback=0.3)


def run(centre: Centre, rounds: int, seed: int) -> Outcome:
    """So many seconds on the bad line, then a good one until everything has arrived."""
    outcome = Outcome("acks", rounds, seed)
    with scene() as (folder, quay), Proxy(centre.broker.port, seed) as proxy:
        tables = {}
        for k, interval_s in enumerate((0.05, 0.2, 1.0)):
            port = folder / f"ports/fast{k}"
            quay.add(f"fast{k}", Counting(interval_s=interval_s), port, seed + k)
            tables[f"fast{k}"] = f'port = {{ serial = "{port}" }}\n{COUNTING}'
        station = Station(folder, "acks", tables, proxy.port, clock=quay.clock)
        try:
            station.start()
            proxy.shut()
            quay.clock.run_at(_SPEED)
            time.sleep(3.0)  # a backlog, so that both lanes are in use
            proxy.faults = _BAD
            proxy.open()
            until(lambda: proxy.counts["connections"] > 1, "the gateway tries again")
            time.sleep(rounds / 2)
            proxy.faults = _WORSE
            time.sleep(rounds / 2)
            quay.clock.run_at(1.0)
            on_the_bad_line = centre.platform("acks").get("samples", 0)
            proxy.faults = Faults()
            rows = wind_down(quay, station, centre, 90.0)
        finally:
            station.kill()
        said = against_ledger(quay, rows, None)
        outcome.count(said)
        seen = centre.platform("acks")
        times = {name: list(found) for name, found in rows.items()}
        outcome.figures |= {
            "samples_over_the_bad_line": on_the_bad_line,
            "duplicates_dropped_at_hub": seen["duplicates"],
            "missing_at_hub": seen["missing"],
            "tracebacks_logged": station.log().count("ERROR asyncio"),
            **{name: proxy.counts[name] for name in ("pubacks_lost", "cut", "swapped", "repeated", "replayed")},
        }
        return outcome.judge(
            {
                "nothing is lost, doubled or altered": said.clean,
                "doubles came, and were counted": seen["duplicates"] > 0,
                "something arrived over the bad line already": on_the_bad_line > 0,
                "the hub knows of nothing missing": seen["missing"] == 0,
                "each stream has its samples at rising times": all(
                    sorted(found.values(), key=lambda row: row.values["lines_said"])
                    == [found[time_ns] for time_ns in sorted(times[name])]
                    for name, found in rows.items()
                ),
                "the faults did happen": min(proxy.counts[n] for n in ("pubacks_lost", "cut", "swapped")) > 0,
            }
        )
