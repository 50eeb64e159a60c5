"""A day on a satellite link: 600 ms round trip, 10 % loss, 9.6 kbit/s, three blackouts, one change of address.

The gateway runs in a network namespace of its own and reaches the broker over a real TCP connection through a link
emulator (`tests.faults.link`); the packets that it sends are counted there. It begins with a backlog that fills the
line. A round is a minute; the long form has 240, as have the blackouts a twelfth of the time each.
"""

import socket
import time

import pyarrow as pa

from drivers.simulators.sbe37 import Sbe37Simulator
from tests.faults.instruments import COUNTING, Counting
from tests.faults.link import thin_link, within
from tests.faults.proxy import Proxy
from tests.faults.rig import Centre, Outcome, Station, against_ledger, scene, until, wind_down

_PORT = 1883
_USED, _AGE_S = 0.6, 60.0
_BACKLOG_S, _ROUND_S = 10.0, 60.0
_GRACE_S = 45.0
"""After a blackout, until TCP has tried again and the link is up."""


def run(centre: Centre, rounds: int, seed: int) -> Outcome:
    """So many minutes."""
    outcome = Outcome("satellite", rounds, seed)
    with scene() as (folder, quay), thin_link(seed) as link:
        address = (link.far_address, _PORT)
        listener = within(link.far, lambda: socket.create_server(address))
        ports = folder / "ports"
        quay.add("ctd", Sbe37Simulator(interval_s=1.0, seed=seed), ports / "ctd")
        fast = quay.add("fast", Counting(interval_s=0.05, burst=10), ports / "fast")
        tables = {
            "ctd": f'driver = "sbe37"\ninterval_s = 1.0\nport = {{ serial = "{ports}/ctd" }}',
            "fast": f'port = {{ serial = "{ports}/fast" }}\n{COUNTING}',
        }
        with Proxy(centre.broker.port, seed, listener) as proxy:
            station = Station(
                folder, "satellite", tables, _PORT, host=link.far_address, within=["ip", "netns", "exec", link.near]
            )
            try:
                link.set(dark=True)
                station.start()
                time.sleep(_BACKLOG_S)  # two hundred lines a second: more than the line takes in all its time
                whole_s = rounds * _ROUND_S
                dark_s = whole_s / 12
                begin = link.set(dark=False)["up"]
                begin_s = time.monotonic()
                lit_s = 0.0
                dark_ns: list[tuple[int, int]] = []
                for k in range(4):
                    stretch_s = (whole_s - 3 * dark_s) / 4
                    time.sleep(stretch_s)
                    lit_s += stretch_s
                    if k == 3:
                        break
                    went_ns = time.time_ns()
                    link.set(dark=True)
                    if k == 1:
                        link.change_address("10.200.7.9")
                    time.sleep(dark_s)
                    link.set(dark=False)
                    dark_ns.append((went_ns, time.time_ns() + int(_GRACE_S * 1e9)))
                took_s = time.monotonic() - begin_s
                end = link.set()["up"]
                sent = station.status()["link"]
                with quay.lock:
                    fast.simulator.speaking = False
                # What is left goes over a good line: the line was measured above.
                link.set(bits_per_s=2e6, loss=0.0, delay_s=0.02)
                until(lambda: station.status()["link"]["connected"], "the link is up again", 120.0)
                rows = wind_down(quay, station, centre, 120.0)
            finally:
                station.kill()
        said = against_ledger(quay, rows, None)
        outcome.count(said)
        used = (end["bytes"] - begin["bytes"]) * 8 / (9600 * lit_s)
        late = [age_s for at_ns, age_s in _ages(centre) if not any(a <= at_ns <= b for a, b in dark_ns)]
        outcome.figures |= {
            "took_s": took_s,
            "line_used": used,
            "bytes_up": end["bytes"] - begin["bytes"],
            "lost_packets": end["lost"] - begin["lost"],
            "envelope_bytes": sent["sent_bytes"],
            "resent": sent["resent"],
            "connections": proxy.counts["connections"],
            "duplicates_dropped_at_hub": centre.platform("satellite")["duplicates"],
            "live_age_max_s": max(late, default=float("nan")),
        }
        return outcome.judge(
            {
                "nothing is lost, doubled or altered": said.clean,
                f"{_USED:.0%} of the line is used": used >= _USED,
                f"no value of the live CTD is older than {_AGE_S:g} s outside blackouts": max(late, default=99)
                < _AGE_S,
                "the gateway logged no fault of its own": station.logged_no_fault(outcome),
            }
        )


def _ages(centre: Centre) -> list[tuple[int, float]]:
    """(time, age when it was on the hub's disk) of each temperature of the CTD."""
    found = []
    for _, page in centre.changes("satellite"):
        times, journaled = (page[name].cast(pa.int64()).to_pylist() for name in ("time", "journaled"))
        names = page["parameter"].to_pylist()
        found += [
            (t, (j - t) / 1e9)
            for t, j, name in zip(times, journaled, names, strict=True)
            if name == "sea_water_temperature"
        ]
    return found
