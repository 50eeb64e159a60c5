"""Serial garbage, partial and glued frames: each good record once, none that is damaged passed as good.

Three instruments (PD0, Sea-Bird text, NMEA) have noise between and inside their records, ends that are lost, flipped
bytes and wrong checksums, in pieces of any size, several glued together; now and then 64 KiB of random bytes. A fourth
one on a clean line is the witness that the others do it no harm.
"""

import time
from random import Random

from drivers.simulators.sbe37 import Sbe37Simulator
from drivers.simulators.ship import ShipSimulator
from drivers.simulators.simulator import Simulator
from drivers.simulators.workhorse import WorkhorseSimulator
from tests.faults.instruments import COUNTING, Counting, Fault
from tests.faults.rig import Centre, Outcome, Station, against_ledger, kinds, scene, wind_down

_BABBLE = 64 << 10


def spoiling(simulator: Simulator, *, checksums: bool) -> Fault:
    """A line that spoils every third utterance. `checksums`: its records bear some, so that any byte may change;
    otherwise only in ways that no grammar lets pass: the top bit of a byte."""
    falsify = simulator.falsifier()

    def fault(data: bytes, chance: Random) -> tuple[bytes, bool, bool]:
        kind = chance.choice(("noise", "cut", "flip", "wrong") + ("",) * 8)
        if kind == "noise":
            return chance.randbytes(chance.randint(1, 200)) + data, True, False
        if kind == "cut":
            return data[: chance.randrange(len(data))], True, True
        if kind == "flip":
            spoilt = bytearray(data)
            spoilt[chance.randrange(len(data))] ^= 1 << chance.randrange(8) if checksums else 0x80
            return bytes(spoilt), True, True
        if kind == "wrong" and falsify is not None:
            return falsify(data), True, False
        return data, False, False

    return fault


def run(centre: Centre, rounds: int, seed: int) -> Outcome:
    """So many seconds of noise."""
    outcome = Outcome("noise", rounds, seed)
    chance = Random(seed)
    with scene() as (folder, quay):
        ports = folder / "ports"
        adcp = WorkhorseSimulator(interval_s=1.0, seed=seed)
        ctd = Sbe37Simulator(interval_s=1.0, seed=seed)
        nav = ShipSimulator(interval_s=1.0, seed=seed)
        noisy = [
            quay.add(name, simulator, ports / name, seed + k)
            for k, (name, simulator) in enumerate((("adcp", adcp), ("ctd", ctd), ("nav", nav)))
        ]
        quay.add("witness", Counting(interval_s=0.1), ports / "witness")
        tables = {
            "adcp": f'driver = "trdi_pd0"\ninterval_s = 1.0\nport = {{ serial = "{ports}/adcp" }}',
            "ctd": f'driver = "sbe37"\ninterval_s = 1.0\nport = {{ serial = "{ports}/ctd" }}',
            "nav": f'driver = "nmea0183"\ninterval_s = 1.0\nport = {{ serial = "{ports}/nav" }}',
            "witness": f'port = {{ serial = "{ports}/witness" }}\n{COUNTING}',
        }
        station = Station(folder, "noise", tables, centre.broker.port)
        try:
            station.start()
            time.sleep(1.5)
            with quay.lock:
                for one, simulator, checksums in zip(noisy, (adcp, ctd, nav), (True, False, True), strict=True):
                    one.crumbs = True
                    one.fault = spoiling(simulator, checksums=checksums)
            begin_s = time.monotonic()
            babbles = 0
            while time.monotonic() - begin_s < rounds:
                time.sleep(min(max(rounds / 3, 2.0), 20.0))
                with quay.lock:
                    one = noisy[babbles % len(noisy)]
                    one.crumbs = False
                    one.say(chance.randbytes(_BABBLE))
                babbles += 1
                time.sleep(0.5)
                with quay.lock:
                    one.crumbs = True
            with quay.lock:
                for one in noisy:
                    one.fault, one.crumbs = None, False
            time.sleep(2.5)  # good again: the drivers must be back
            status = station.status()
            rows = wind_down(quay, station, centre)
        finally:
            station.kill()
        said = against_ledger(quay, rows, None)
        outcome.count(said)
        problems = {name: dict(kinds(status, name)) for name in ("adcp", "ctd", "nav")}
        outcome.figures |= {
            "damaged_on_the_line": sum(s.doubtful for one in quay.instruments.values() for s in one.ledger),
            "damaged_but_readable": said.spared,
            "problems": problems,
            "babbles_of_64_KiB": babbles,
        }
        return outcome.judge(
            {
                "each good record is there once, and no damaged one with other values": said.clean,
                "each noisy instrument's problems are counted": all(sum(p.values()) > 0 for p in problems.values()),
                "the instrument on the clean line has none": not kinds(status, "witness"),
                "the gateway logged no fault of its own": station.logged_no_fault(outcome),
            }
        )
