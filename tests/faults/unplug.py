"""Unplugged, back under another number, mute, at another baud rate: the instrument comes back by itself each time.

Two instruments behind stable links. One is disconnected in the middle of what it says and comes back as another
device; falls silent with its port open; speaks at another speed. The other is the witness.
"""

import os
import time
from dataclasses import replace
from random import Random
from statistics import median
from typing import Any

import numpy as np

from drivers.simulators.sbe37 import Sbe37Simulator
from tests.faults.instruments import COUNTING, Counting
from tests.faults.rig import Centre, Outcome, Station, against_ledger, kinds, scene, until, wind_down

_DOWN_S, _BACK_S = 2.0, 30.0
_INTERVAL_S = 1.0
_ON_THE_LINE_NS = 1_500_000_000
"""What was said so shortly before the unplugging may never have been read."""


def other_speed(data: bytes, chance: Random) -> tuple[bytes, bool, bool]:
    """What a receiver at twice the sender's baud rate makes of the same voltage on the line (8N1)."""
    octets = np.frombuffer(data, np.uint8)
    bits = np.ones((len(octets), 10), np.uint8)  # start, eight data bits from the lowest on, stop
    bits[:, 0] = 0
    bits[:, 1:9] = np.unpackbits(octets[:, None], axis=1, bitorder="little")
    line = np.repeat(bits.ravel(), 2)
    heard, at = bytearray(), 0
    while True:
        starts = np.flatnonzero(line[at:] == 0)
        if not len(starts) or at + starts[0] + 9 > len(line):
            return bytes(heard), True, True
        at += int(starts[0]) + 1
        heard += np.packbits(line[at : at + 8], bitorder="little").tobytes()
        at += 9


def run(centre: Centre, rounds: int, seed: int) -> Outcome:
    """So many times all of it."""
    outcome = Outcome("unplug", rounds, seed)
    down_s: list[float] = []
    back_s: list[float] = []
    stale_s: list[float] = []
    renumbered = set_up = garbage = named = 0
    with scene() as (folder, quay):
        ports = folder / "by-id"
        ctd = quay.add("ctd", Sbe37Simulator(interval_s=_INTERVAL_S, seed=seed), ports / "ctd", seed)
        quay.add("witness", Counting(interval_s=0.1), ports / "witness")
        tables = {
            "ctd": f'driver = "sbe37"\ninterval_s = {_INTERVAL_S}\nport = {{ serial = "{ports}/ctd" }}',
            "witness": f'port = {{ serial = "{ports}/witness" }}\n{COUNTING}',
        }
        station = Station(folder, "unplug", tables, centre.broker.port)

        def told() -> dict[str, Any]:
            found: dict[str, Any] = station.status()["instruments"]["ctd"]
            return found

        def link_is(state: str, within_s: float) -> float:
            return until(lambda: told()["link"] == state, f"the instrument is {state}", within_s)

        def sampled_again(within_s: float) -> float:
            before = told()["samples"]
            return until(lambda: told()["samples"] > before, "samples come again", within_s)

        try:
            station.start()
            link_is("up", 10.0)
            for _ in range(rounds):
                sampled_again(10.0)
                with quay.lock:
                    was, since_ns = ctd.device, quay.clock.time_ns() - _ON_THE_LINE_NS
                    ctd.unplug()
                    ctd.ledger = [replace(one, doubtful=one.doubtful or one.at_ns > since_ns) for one in ctd.ledger]
                down_s.append(link_is("down", 10.0))
                spare, spare_slave = os.openpty()  # takes the number that it had
                with quay.lock:
                    ctd.heard.clear()
                    ctd.plug()
                    renumbered += ctd.device != was
                os.close(spare)
                os.close(spare_slave)
                back_s.append(sampled_again(2 * _BACK_S))
                with quay.lock:
                    set_up += bool(ctd.heard)
                    ctd.mute = True
                stale_s.append(link_is("stale", 20.0))
                with quay.lock:
                    ctd.mute = False
                sampled_again(10.0)
                before = kinds(station.status(), "ctd")
                with quay.lock:
                    ctd.fault = other_speed
                time.sleep(4 * _INTERVAL_S)
                garbage += bool(kinds(station.status(), "ctd") - before)
                named += any("baud" in p["message"] for p in told()["problems"] if p["ago_s"] < 3.0)
                with quay.lock:
                    ctd.fault = None
                sampled_again(15.0)
            witness = kinds(station.status(), "witness")
            rows = wind_down(quay, station, centre)
        finally:
            station.kill()
        said = against_ledger(quay, rows, None)
        outcome.count(said)
        outcome.figures |= {
            "down_after_max_s": max(down_s),
            "back_after_p50_s": median(back_s),
            "back_after_max_s": max(back_s),
            "stale_after_max_s": max(stale_s),
            "renumbered": renumbered,
            "set_up_again": set_up,
            "wrong_baud_rate_told": garbage,
            "wrong_baud_rate_named": named,
            "may_be_lost_on_the_line": sum(one.doubtful for one in ctd.ledger) - said.spared,
        }
        return outcome.judge(
            {
                "nothing is lost, doubled or altered": said.clean,
                f"an unplugged port is down within {_DOWN_S} s": max(down_s) < _DOWN_S,
                f"it is back within {_BACK_S} s": max(back_s) < _BACK_S,
                "silence is told after three intervals": max(stale_s) < 3 * _INTERVAL_S + 2.5,
                "it came back as another device": renumbered > 0,
                "it was set up again each time": set_up == rounds,
                "the other port was unaffected": not witness,
                "the gateway logged no fault of its own": station.logged_no_fault(outcome),
            }
        )
