"""A Modbus bus with bad neighbours: the good slave keeps its polls, and nobody's value gets another's name.

Four units on one RTU line: a good one, one that never answers, one that answers one block with an exception, and one
that babbles whenever it is asked.
"""

import time
from dataclasses import dataclass
from random import Random

from drivers.simulators.radar import RadarSimulator
from gateway.modbus_server import ModbusServer
from tests.faults.compare import tally
from tests.faults.instruments import Instrument
from tests.faults.rig import Centre, Outcome, Station, against_raw_log, kinds, scene, wind_down

_GOOD, _MUTE, _PARTIAL, _BABBLING = 1, 2, 3, 4
_INTERVAL_S, _KEPT = 1.0, 0.95
_LEVEL, _REFUSED = "water_surface_height_above_reference_datum", "battery_voltage"
_PARTIAL_MAP = f"""
settings.device = {_PARTIAL}
settings.kind = "tide_gauge"
[[instruments.partial.settings.registers]]
parameter = "{_REFUSED}"
function = 4
address = 500
type = "float32"
unit = "V"
resolution = 0.001
[[instruments.partial.settings.registers]]
parameter = "{_LEVEL}"
function = 4
address = 2002
type = "float32"
order = "ABCD"
unit = "m"
resolution = 0.001
"""


@dataclass
class _BadBus(ModbusServer):
    """Babbles when that unit is asked."""

    def __init__(self, slaves: dict[int, RadarSimulator], seed: int) -> None:
        super().__init__(slaves, rtu=True)
        self._chance = Random(seed)
        self.asked = dict.fromkeys((_GOOD, _MUTE, _PARTIAL, _BABBLING), 0)

    def receive(self, data: bytes, now_ns: int) -> bytes:
        """The answer of whom the request is for."""
        unit = data[0]
        self.asked[unit] = self.asked.get(unit, 0) + 1
        if unit == _BABBLING:
            return self._chance.randbytes(self._chance.randint(1, 300))
        return super().receive(data, now_ns)


def run(centre: Centre, rounds: int, seed: int) -> Outcome:
    """So many seconds."""
    outcome = Outcome("bus", rounds, seed)
    with scene() as (folder, quay):
        line = folder / "ports/rs485"
        good, partial = RadarSimulator(seed=seed), RadarSimulator(seed=seed + 1)
        bus = _BadBus({_GOOD: good, _PARTIAL: partial}, seed)
        wire: Instrument = quay.add("bus", bus, line, seed)
        port = f'port = {{ modbus_rtu = "{line}", baud = 19200, timeout_s = 0.3 }}'
        head = f'driver = "modbus"\ninterval_s = {_INTERVAL_S}\n{port}\n'
        by_map = 'settings = {{ map = "vegapuls-61", device = {} }}'
        tables = {
            "good": head + by_map.format(_GOOD),
            "mute": head + by_map.format(_MUTE),
            "babbling": head + by_map.format(_BABBLING),
            "partial": head + _PARTIAL_MAP,
        }
        station = Station(folder, "bus", tables, centre.broker.port)
        try:
            station.start()
            time.sleep(2.0)
            with quay.lock:
                begin, begin_s = len(wire.ledger), time.monotonic()
                asked_before = dict(bus.asked)
            time.sleep(rounds)
            with quay.lock:
                polls = {unit: n - asked_before[unit] for unit, n in bus.asked.items()}
                took_s = time.monotonic() - begin_s
            status = station.status()
            rows = wind_down(quay, station, centre)
        finally:
            station.kill()
        levels = {name: [row.values for row in rows.get(name, {}).values()] for name in tables}
        accepted = against_raw_log(station, rows)
        # Both slaves have one ledger, the bus's; a level is told by its value.
        both = {t: row for name in ("good", "partial") for t, row in rows.get(name, {}).items()}
        said = tally("bus", wire.ledger, both)
        outcome.count(said)
        kept = polls[_GOOD] * _INTERVAL_S / took_s
        problems = {name: dict(kinds(status, name)) for name in tables}
        outcome.figures |= {
            "polls_kept_of_the_good_slave": kept,
            "polls": {str(unit): n for unit, n in polls.items()},
            "readings_before": begin,
            "problems": problems,
        }
        return outcome.judge(
            {
                "every reading is at the hub, once": said.lost + said.altered == 0,
                "what was accepted is at the hub, once": accepted.clean,
                f"the good slave keeps {_KEPT:.0%} of its polls": kept >= _KEPT,
                "a register that is refused is missing, never a number": bool(levels["partial"])
                and all(values.get(_REFUSED) is None for values in levels["partial"]),
                "its neighbour in the same instrument is there": any(
                    values.get(_LEVEL) is not None for values in levels["partial"]
                ),
                "the mute and the babbling slave have no numbers": all(
                    value is None
                    for name in ("mute", "babbling")
                    for values in levels[name]
                    for value in values.values()
                ),
                "the good slave has no problems": not problems["good"],
                "the gateway logged no fault of its own": station.logged_no_fault(outcome),
            }
        )
