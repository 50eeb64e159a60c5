"""Any device that a register map tells of, simulated: its registers, as a model for a Modbus server to ask.

A map is enough to answer as the device does: each value in its type, order and unit, the register beside it that says
its unit, its quantity or that it is valid, and exception 2 for any other register. What a station usually measures is
as the simulated `sea` has it; any other value is drawn within what is plausible.

The ledger. A read that begins at the map's first block is a new measurement and one `Said`; the blocks after it are of
the same one, as a poll fetches them in order. A device has no clock, so a `Said` has no time of its own.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from drivers.register_map import DTYPES, Register, Settings, Status, encode_registers, plan
from drivers.simulators.simulator import Said, Simulator
from drivers.simulators.station import measured

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS = 1, 2


@dataclass
class ModbusMapSimulator(Simulator):
    """A device with the settings of driver `modbus`, as in its table: `map` and the rest. `lost` are numbers of
    measurements, counted as those of the mischief, that are not valid: the status says so, and a float that has none is
    not a number."""

    drivers = (("modbus",),)
    spoils = "each value (in the vocabulary's unit)"

    map: str = "vegapuls-61"
    settings: dict[str, Any] = field(default_factory=dict)
    lost: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self._map = Settings.model_validate({"map": self.map or None, **self.settings}).resolved()
        self._blocks = plan(self._map)
        self._random = np.random.default_rng(self.seed)
        self._sample = 0
        # A device lets its unused registers be read where the map says that one may run across them.
        self._held = {(b.function, a): 0 for b in self._blocks for a in range(b.address, b.address + b.size)}

    def tick(self, now_ns: int) -> bytes:
        """A Modbus device says nothing unasked."""
        return b""

    def registers(self, function: int, address: int, count: int, now_ns: int) -> list[int] | int:
        """The registers asked for, or the code of the exception."""
        if function not in (3, 4):
            return ILLEGAL_FUNCTION
        asked = [(function, a) for a in range(address, address + count)]
        if not asked or not all(place in self._held for place in asked):
            return ILLEGAL_ADDRESS
        if asked[0] == (self._blocks[0].function, self._blocks[0].address):
            self._measure(now_ns)
        return [self._held[place] for place in asked]

    def _measure(self, now_ns: int) -> None:
        lost = self._sample % self.mischief.period in self.lost
        values: dict[str, Any] = {}
        mischief = "lost" if lost else ""
        told_of = {r.status.parameter: r.status for r in self._map.registers if r.status and r.status.parameter}
        for r in self._map.registers:
            if r.parameter in told_of:
                number = _says(told_of[r.parameter], valid=not lost)
                self._hold(r, number)
                values[r.parameter] = number
                continue
            true = measured(self.sea, r.parameter, now_ns / 1e9, self._random)
            true, fault = self._spoil(self._sample, true, now_ns, r.parameter)
            mischief = mischief or fault
            values[r.parameter] = self._value(r, true, lost=lost)
        self._sample += 1
        self.said.append(Said(now_ns, None, values, mischief))

    def _value(self, r: Register, true: float, *, lost: bool) -> float | int | None:
        """Puts a value, and what tells of it, into its registers; how it must be read."""
        unit = None
        if r.unit_code is not None:
            code, unit = next(iter(r.unit_code.codes.items()))
            self._hold_beside(r, r.unit_code.address, code)
        if r.identity is not None:
            self._hold_beside(r, r.identity.address, r.identity.equals)
        if r.status is not None and r.status.address is not None:
            self._hold_beside(r, r.status.address, _says(r.status, valid=not lost))
        factor, offset = r.linear(unit)
        raw = (true - offset) / factor
        dtype = np.dtype(DTYPES[r.type])
        if dtype.kind == "f":
            raw = math.nan if lost and r.status is None else float(np.array(raw, dtype))
        else:
            limits = np.iinfo(dtype)
            raw = float(np.clip(np.rint(raw), limits.min, limits.max))
        self._hold(r, raw)
        if math.isnan(raw) or (lost and r.status is not None):
            return None
        column = r.field
        value = round(raw * factor + offset, column.decimals)
        return int(value) if column.integer else value

    def _hold(self, r: Register, number: float) -> None:
        at = r.address - self._map.base
        for i, register in enumerate(encode_registers(number, r.type, r.order)):
            self._held[r.function, at + i] = register

    def _hold_beside(self, r: Register, address: int, number: int) -> None:
        self._held[r.function, address - self._map.base] = number


def _says(status: Status, *, valid: bool) -> int:
    """What a status register holds where values are valid, or are not."""
    if status.good:
        return status.good[0] if valid else next(_not_among(status.good))
    return 0 if valid else 1 << status.bits[0]


def _not_among(good: tuple[int, ...]) -> Iterator[int]:
    return (number for number in range(len(good) + 1) if number not in good)
