"""kill -9 in the middle of everything: what the gateway had accepted is at the hub, once.

Four instruments speak, one of them a thousand lines a second. The gateway is killed at a random moment, again and
again, and started at once. Its raw log, read afterwards, says what it had accepted. What the kernel had handed over and
the raw log had not yet taken dies with the process, and so does a record that was cut in two by the kill: at most one
piece of bytes for each instrument and kill.
"""

import random
import time
from statistics import median

from drivers.simulators.sbe37 import Sbe37Simulator
from drivers.simulators.ship import ShipSimulator
from drivers.simulators.workhorse import WorkhorseSimulator
from tests.faults.instruments import COUNTING, Counting
from tests.faults.rig import Centre, Outcome, Station, against_ledger, against_raw_log, scene, wind_down

_BURST = 10
_RESTART_S = 2.0


def run(centre: Centre, rounds: int, seed: int) -> Outcome:
    """So many kills."""
    outcome = Outcome("kill", rounds, seed)
    chance = random.Random(seed)
    with scene() as (folder, quay):
        ports = folder / "ports"
        quay.add("ctd", Sbe37Simulator(interval_s=1.0, seed=seed), ports / "ctd")
        quay.add("adcp", WorkhorseSimulator(interval_s=1.0, seed=seed), ports / "adcp")
        quay.add("nav", ShipSimulator(interval_s=1.0, seed=seed), ports / "nav")
        quay.add("fast", Counting(interval_s=_BURST / 1000, burst=_BURST), ports / "fast")
        station = Station(
            folder,
            "kill",
            {
                "ctd": f'driver = "sbe37"\ninterval_s = 1.0\nport = {{ serial = "{ports}/ctd" }}',
                "adcp": f'driver = "trdi_pd0"\ninterval_s = 1.0\nport = {{ serial = "{ports}/adcp" }}',
                "nav": f'driver = "nmea0183"\ninterval_s = 1.0\nport = {{ serial = "{ports}/nav" }}',
                "fast": f'port = {{ serial = "{ports}/fast" }}\n{COUNTING}',
            },
            centre.broker.port,
        )
        try:
            station.start()
            time.sleep(2.0)
            for _ in range(rounds):
                station.kill()
                station.start()
                time.sleep(chance.uniform(0.0, 1.5))
            rows = wind_down(quay, station, centre, 60.0)
        finally:
            station.kill()
        accepted = against_raw_log(station, rows)
        said = against_ledger(quay, rows, None)
        unread = len(said.lost_samples)
        outcome.count(accepted)
        outcome.figures |= {
            "said": said.acquired,
            "unread_at_the_kill": unread,
            "unread_per_kill": unread / max(rounds, 1),
            "doubled_of_said": said.duplicated,
            "restart_p50_s": median(station.starts_s),
            "restart_max_s": max(station.starts_s),
            "restart_cpu_max_s": max(station.starts_cpu_s),
            "repeated_at_hub": centre.platform("kill").get("repeated"),
        }
        return outcome.judge(
            {
                "all accepted samples are at the hub, once, as they were": accepted.clean,
                "nothing that was said is there twice or altered": not (said.duplicated or said.altered),
                "a kill costs at most what one read of each port held": unread <= rounds * (2 * _BURST + 3),
                f"no restart takes {_RESTART_S} s of a processor": max(station.starts_cpu_s) < _RESTART_S,
                "the gateway logged no fault of its own": station.logged_no_fault(outcome),
            }
        )
