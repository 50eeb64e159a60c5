"""The wall clock jumps: from 1970 to now, an hour back, an hour ahead. Nothing is lost, and no two samples meet.

The gateway's clocks are under control (`tests.faults.controlled_clock`), the instruments' are right. One instrument is
polled and has no time of its own, another only talks and has none either, a third has its own clock. Checked is what
the gateway promises: schedules run on the monotonic clock, and each sample is at the hub once, with the time that the
gateway's clock showed. Samples from before the clock was right are not re-timed.
"""

import time
from itertools import pairwise
from random import Random

from drivers.simulators.radar import RadarSimulator
from drivers.simulators.sbe37 import Sbe37Simulator
from gateway.modbus_server import ModbusServer
from tests.faults.controlled_clock import Clock
from tests.faults.instruments import COUNTING, Counting
from tests.faults.rig import Centre, Outcome, Station, against_ledger, against_raw_log, kinds, scene, wind_down

_HOUR_NS = 3600 * 10**9
_STAY_S = 3.0
_INTERVAL_S, _PAUSE_S = 0.25, 3.0


def run(centre: Centre, rounds: int, seed: int) -> Outcome:
    """So many times back and forth, after the one from 1970."""
    outcome = Outcome("clock", rounds, seed)
    chance = Random(seed)
    with scene() as (folder, quay):
        ports = folder / "ports"
        shown = Clock(folder / "shown", create=True)
        shown.set_wall(100 * 10**9)  # a board without a battery
        radar = RadarSimulator(seed=seed)
        bus = quay.add("radar", ModbusServer({1: radar}, rtu=True), ports / "radar")
        quay.add("fast", Counting(interval_s=0.05), ports / "fast")
        quay.add("ctd", Sbe37Simulator(interval_s=1.0, seed=seed), ports / "ctd")
        rtu = f'port = {{ modbus_rtu = "{ports}/radar", baud = 19200, timeout_s = 0.5 }}'
        tables = {
            "radar": f'driver = "modbus"\ninterval_s = {_INTERVAL_S}\n{rtu}\n'
            'settings = { map = "vegapuls-61", device = 1 }',
            "fast": f'port = {{ serial = "{ports}/fast" }}\n{COUNTING}',
            "ctd": f'driver = "sbe37"\ninterval_s = 1.0\nport = {{ serial = "{ports}/ctd" }}',
        }
        station = Station(folder, "clock", tables, centre.broker.port, clock=shown)
        polled_ns: list[int] = []

        def stay(longer_s: float = 0.0) -> None:
            until_s = time.monotonic() + _STAY_S + longer_s
            while time.monotonic() < until_s:
                with quay.lock:
                    while len(polled_ns) < len(bus.ledger):
                        polled_ns.append(time.monotonic_ns())
                time.sleep(0.005)

        jumps = 0
        try:
            station.start()
            stay()
            polled_ns.clear()
            with quay.lock:
                polled_ns += [time.monotonic_ns()] * len(bus.ledger)
            now_ns = time.time_ns() - 2 * _HOUR_NS  # so that nothing is from the future at the hub
            for k in range(1 + 2 * rounds):
                shown.set_wall(shown.time_ns() + (_HOUR_NS, -_HOUR_NS)[k % 2] if k else now_ns)
                jumps += 1
                stay(chance.random())
            problems = kinds(station.status(), "radar")
            rows = wind_down(quay, station, centre)
        finally:
            station.kill()
        said, accepted = against_ledger(quay, rows, None), against_raw_log(station, rows)
        outcome.count(said)
        gaps_s = [(b - a) / 1e9 for a, b in pairwise(sorted(polled_ns)) if b > a]
        counted = sorted(rows["fast"].items(), key=lambda item: item[1].values["lines_said"])
        backwards = sum(b[0] < a[0] for a, b in pairwise(counted))
        outcome.figures |= {
            "jumps": jumps,
            "longest_pause_between_polls_s": max(gaps_s),
            "polls_left_out": problems["poll_skipped"],
            "samples_of_1970": sum(time_ns < 10**18 for found in rows.values() for time_ns in found),
            "times_back": backwards,
            "repeated_at_hub": centre.platform("clock")["repeated"],
        }
        return outcome.judge(
            {
                "nothing is lost, doubled or altered": said.clean,
                "what was accepted is there at the time it was accepted": accepted.clean,
                "the gateway's clock did jump": backwards == rounds,
                "no jump makes a hole or a burst in the polls": max(gaps_s) < _PAUSE_S,
                "the gateway logged no fault of its own": station.logged_no_fault(outcome),
            }
        )
