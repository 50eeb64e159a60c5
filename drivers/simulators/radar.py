"""A simulated radar tide gauge on Modbus: the registers of a VEGAPULS 61, as a model for a Modbus server to ask.

Input registers (function 4): status and level (PV) as float32, in blocks of several byte orders: 100 and 106 (CDAB),
1300 and 1302 (the order that holding register 3000 names), 1400 and 1402 (CDAB), 2000 and 2002 (ABCD), 2100 and 2102
(DCBA). Holding registers (function 3): 200 to 203, 206 and 3000. Anything else is refused with exception 2, another
function with 1. Source: VEGA document 41364-EN-130228, page 65.

The ledger. Each read that covers a level is a new measurement and one `Said`, whichever block it came from; reads of
the status alone are none. A gauge has no clock, so a `Said` has no time of its own: it is found again by order and
value. Levels are whole millimetres, and no measurement equals the one before it (waves move the water by more), except
where mischief makes it stick or an echo is lost: then bit 0 of the status is set and the value is None.
"""

from dataclasses import dataclass

import numpy as np

from drivers.register_map import Order, encode_registers
from drivers.simulators.simulator import Said, Simulator

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS = 1, 2
_ORDERS: tuple[Order, ...] = ("ABCD", "CDAB", "DCBA", "BADC")  # as holding register 3000 counts them
_BLOCKS = ((100, 106, 1), (1300, 1302, None), (1400, 1402, 1), (2000, 2002, 0), (2100, 2102, 2))


@dataclass
class RadarSimulator(Simulator):
    """A gauge above `sea`. `waves_m` is the standard deviation of the waves it sees; `lost_echoes` are numbers of
    measurements, counted as those of the mischief, that have no echo. `byte_order` is holding register 3000."""

    drivers = (("modbus",),)
    spoils = "water_surface_height_above_reference_datum (m)"

    waves_m: float = 0.02
    lost_echoes: tuple[int, ...] = ()
    byte_order: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.byte_order < len(_ORDERS):
            raise ValueError(f"byte_order must be 0 to {len(_ORDERS) - 1}, not {self.byte_order}")
        self._random = np.random.default_rng(self.seed)
        self._sample = 0
        self._level: float | None = None
        self._lost = False

    def tick(self, now_ns: int) -> bytes:
        """A Modbus device says nothing unasked."""
        return b""

    def registers(self, function: int, address: int, count: int, now_ns: int) -> list[int] | int:
        """The registers asked for, or the code of the exception."""
        if function not in (3, 4):
            return ILLEGAL_FUNCTION
        asked = range(address, address + count)
        held = self._inputs if function == 4 else self._holdings
        known = held(0.0)
        if count < 1 or not all(a in known for a in asked):
            return ILLEGAL_ADDRESS
        if function == 4 and any(level in asked or level + 1 in asked for _, level, _ in _BLOCKS):
            self._measure(now_ns)
        now = held(self._level or 0.0)
        return [now[a] for a in asked]

    def _holdings(self, level: float) -> dict[int, int]:
        return {200: 246, 201: 9600, 202: 0, 203: 1, 206: 50, 3000: self.byte_order}

    def _inputs(self, level: float) -> dict[int, int]:
        table: dict[int, int] = {}
        for status, value, fixed in _BLOCKS:
            order = _ORDERS[self.byte_order if fixed is None else fixed]
            table |= dict(enumerate(encode_registers(int(self._lost), "uint32", order), status))
            table |= dict(enumerate(encode_registers(level, "float32", order), value))
        return table

    def _measure(self, now_ns: int) -> None:
        true_m = float(self.sea.level_m(now_ns / 1e9))
        while (level := round(true_m + self._random.normal(0.0, self.waves_m), 3)) == self._level:
            pass
        level, fault = self._spoil(self._sample, level, now_ns)
        self._lost = self._sample % self.mischief.period in self.lost_echoes
        self._level = round(level, 3)
        self._sample += 1
        said = None if self._lost else self._level
        name = "lost_echo" if self._lost else fault
        self.said.append(Said(now_ns, None, {"water_surface_height_above_reference_datum": said}, name))
