"""Which Modbus devices are there, which shipped map fits them, and what do their registers mean?

Theory of operation. A Modbus device speaks only when its registers are read; that is all that is ever sent (functions 3
and 4). Any answer, also an exception, is a sign of life. On a bus the line settings of the shipped maps are tried with
the maps' own addresses first, then the lower ones; a gateway's "target did not respond" is silence.

Of a device each shipped map is read twice. A value speaks for the map where it lies in the parameter's range and does
not jump; a floating-point number that is read with a wrong order of bytes hardly ever does. A zero says nothing. What
is refused, or impossible, speaks against it.

Where no map fits, `readings` rates every way to read a block of registers by the numbers alone: an ordinary size, few
digits, a small change from one read to the next, and that the other orders of the same bytes give nothing ordinary.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from drivers.driver import Problem
from drivers.modbus_map import NO_ANSWER_CODE, ModbusMap
from drivers.register_map import Register, Settings, decode_all_orders, shipped, shipped_map
from gateway.config import ModbusRtuPort, ModbusTcpPort
from gateway.found import Found, PortUnusable, Tell, silent
from gateway.guard import Guarded
from gateway.health import label_of
from gateway.ports import stable_name, with_line
from gateway.recognise import ENOUGH
from gateway.transports import Data, Gone, open_transport
from tidegate.clock import Arrival
from tidegate.frame import Frame, Missing
from tidegate.vocabulary import PARAMETERS

LAST_UNIT = 32
EVERY_UNIT = 247
_LINES = ("9600 8N1", "19200 8E1", "9600 8E1", "19200 8N1", "38400 8N1", "115200 8N1", "57600 8N1", "4800 8N1")
_TURNAROUND_S = 0.15
"""What a device may take to begin its answer."""
_TCP_DEADLINE_S = 1.0
_TCP_SCAN_S = 0.3
_OPEN_S = 12.0
_AGAIN_S = 1.0
"""Between the two reads of a block."""
_NOT_THERE = (0x0A, NO_ANSWER_CODE)
_MOST_BLOCKS = 3
_SIZES = (32, 16, 8, 4, 2, 1)
_STARTS = (0, 1, 100, 200, 256, 300, 400, 500, 1000, 1024, 2000, 3000, 4000, 4096, 5000, 8192)

Span = tuple[int, int]
"""First and last register, counted from 0."""
ModbusPort = ModbusTcpPort | ModbusRtuPort


@dataclass(frozen=True, slots=True)
class Block:
    """Registers of a device, read twice."""

    function: int
    address: int
    first: tuple[int, ...]
    second: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Device:
    """One that answered: the maps that fit it, likeliest first, and registers of it."""

    port: ModbusPort
    unit: int
    found: tuple[Found, ...]
    blocks: tuple[Block, ...]


async def scan(
    port: ModbusPort,
    *,
    every_unit: bool = False,
    registers: Span | None = None,
    tell: Tell = silent,
    now: Tell = silent,
) -> list[Device]:
    """The devices on `port`. Of a bus only the device counts: its line settings are looked for.

    `registers` are to be read of each; where none are given, some that it answers for. Raises `PortUnusable`.
    """
    scanned = _Scan(every_unit, registers, tell, now)
    return await scanned.bus(port) if isinstance(port, ModbusRtuPort) else await scanned.server(port)


class _Line:
    """An open connection, on which one question waits for its answer."""

    def __init__(self, port: ModbusPort) -> None:
        self._line = open_transport(port)

    async def __aenter__(self) -> "_Line":
        try:
            async with asyncio.timeout(_OPEN_S):
                while not self._line.opened:
                    await self._heard()
        except TimeoutError:
            await self._line.close()
            raise PortUnusable(f"{self._line.name} does not open: {self._line.reason or 'no answer'}") from None
        except PortUnusable:
            await self._line.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._line.close()

    async def _heard(self) -> Data | None:
        heard = await self._line.read(1.0)
        if isinstance(heard, Gone):
            raise PortUnusable(heard.reason)
        return heard if isinstance(heard, Data) else None

    async def read(self, unit: int, function: int, address: int, count: int) -> "_Answer":
        """The answer, whatever it is. Raises `PortUnusable`."""
        await self._line.write(bytes([unit, function]) + address.to_bytes(2, "big") + count.to_bytes(2, "big"))
        while (heard := await self._heard()) is None:
            pass  # the transport answers each question, at the latest with "no answer" when its deadline is over
        return _Answer(heard.data, heard.at)


class _Answer(NamedTuple):
    """A record as the transport gives it."""

    record: bytes
    at: Arrival

    @property
    def registers(self) -> tuple[int, ...] | None:
        """What the registers hold; None where it refused or did not answer."""
        if self.record[1] & 0x80:
            return None
        return tuple(int(register) for register in np.frombuffer(self.record[6:], ">u2"))

    @property
    def alive(self) -> bool:
        """Whether there is a device."""
        return not self.record[1] & 0x80 or self.record[6] not in _NOT_THERE


class _Scan:
    """The course of one scan."""

    def __init__(self, every_unit: bool, registers: Span | None, tell: Tell, now: Tell) -> None:
        self._registers, self._tell, self._now = registers, tell, now
        maps = [shipped_map(name) for name in shipped()]
        self._usual = list(dict.fromkeys(unit for unit, _ in Counter(m.device for m in maps).most_common()))
        last = EVERY_UNIT if every_unit else LAST_UNIT
        self._others = [unit for unit in range(1, last + 1) if unit not in self._usual]

    async def bus(self, port: ModbusRtuPort) -> list[Device]:
        """Of a serial bus: at which of the line settings does anybody answer?"""
        maps = [shipped_map(name) for name in shipped()]
        lines = [line for line, _ in Counter(line for m in maps for line in m.serial).most_common()]
        lines = list(dict.fromkeys([*lines, *_LINES]))
        for units in (self._usual, self._others):
            for line in lines:
                at = with_line(port, line)
                bits = 11 / at.baud
                alive = await self._alive(at.model_copy(update={"timeout_s": _TURNAROUND_S + 24 * bits}), line, units)
                if alive:
                    if units is self._usual:
                        alive += await self._alive(
                            at.model_copy(update={"timeout_s": _TURNAROUND_S + 24 * bits}), line, self._others
                        )
                    at = at.model_copy(update={"modbus_rtu": stable_name(port.modbus_rtu)})
                    return await self._devices(at, at.model_copy(update={"timeout_s": 0.5 + 260 * bits}), alive)
        self._tell("Nobody answered at any of these settings.")
        self._tell(
            "Are A and B the right way round (else swap them), and the ends of the bus terminated? Is the device's "
            "address above 32 (--all-units), its parity or speed another, or its protocol Modbus ASCII?"
        )
        return []

    async def server(self, port: ModbusTcpPort) -> list[Device]:
        """Of a Modbus/TCP server, or of a gateway to a bus behind it."""
        quick = port.model_copy(update={"timeout_s": _TCP_SCAN_S})
        alive = await self._alive(quick, str(port.modbus_tcp), [*self._usual, *self._others])
        if len(alive) > max(8, len(self._usual)) and len(alive) == len(self._usual) + len(self._others):
            self._tell(f"It answers to every unit id, so it is one device: taken as unit {alive[0]}.")
            alive = alive[:1]
        if not alive:
            self._tell("The server is there, and no unit answers: is what is behind it on? --all-units asks up to 247.")
        return await self._devices(port, port.model_copy(update={"timeout_s": _TCP_DEADLINE_S}), alive)

    async def _alive(self, port: ModbusPort, name: str, units: Sequence[int]) -> list[int]:
        """The units that answer anything."""
        alive = []
        async with _Line(port) as line:
            for unit in units:
                self._now(f"{name}: asking unit {unit}")
                if (await line.read(unit, 3, 0, 1)).alive:
                    alive.append(unit)
        answered = f"{_listed(alive)} answered" if alive else "no answer"
        self._tell(f"{name}: read register 0 of {_listed(units)}: {answered}")
        return alive

    async def _devices(self, port: ModbusPort, patient: ModbusPort, units: Sequence[int]) -> list[Device]:
        devices = []
        if units:
            async with _Line(patient) as line:
                for unit in sorted(units):
                    self._now(f"unit {unit}: reading its registers")
                    devices.append(await _look(_Unit(line, unit), port, self._registers))
        return devices


def _listed(units: Sequence[int]) -> str:
    """Units in words, runs of them shortened."""
    runs: list[list[int]] = []
    for unit in sorted(units):
        if runs and unit == runs[-1][1] + 1:
            runs[-1][1] = unit
        else:
            runs.append([unit, unit])
    told = ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in runs)
    return f"unit {told}" if len(units) == 1 else f"units {told}"


# ---- one device ------------------------------------------------------------------------------------------------------

_Span = tuple[int, int, int]
"""Function, first register, how many."""


class _Unit:
    """One device on an open line; each span is read once, until all is to be read again."""

    def __init__(self, line: _Line, unit: int) -> None:
        self._line, self.number = line, unit
        self._known: dict[_Span, _Answer] = {}

    async def read(self, span: _Span) -> _Answer:
        """What the device says to that."""
        if span not in self._known:
            self._known[span] = await self._line.read(self.number, *span)
        return self._known[span]

    def again(self) -> None:
        """What was read is old."""
        self._known = {}


async def _look(unit: _Unit, port: ModbusPort, registers: Span | None) -> Device:
    """A device's maps and registers."""
    candidates = []
    for name in shipped():
        if (known := shipped_map(name)).registers:  # a logger's user decides what stands where
            settings = {"map": name} if known.device == unit.number else {"map": name, "device": unit.number}
            driver = ModbusMap(name, Settings.model_validate(settings))
            if (await unit.read(driver.blocks[0])).registers is not None:
                candidates.append((driver, [await unit.read(block) for block in driver.blocks]))
    spans = await _answering(unit, registers, [driver for driver, _ in candidates])
    before = [await unit.read(span) for span in spans]
    await asyncio.sleep(_AGAIN_S)
    unit.again()
    found = [_fit(driver, port, answers, [await unit.read(b) for b in driver.blocks]) for driver, answers in candidates]
    found = sorted((fit for fit in found if fit.confidence >= ENOUGH), key=lambda fit: -fit.confidence)
    blocks = []
    for (function, address, count), answer in zip(spans, before, strict=True):
        after = await unit.read((function, address, count))
        if answer.registers is not None and after.registers is not None:
            blocks.append(Block(function, address, answer.registers, after.registers))
    if found and registers is None:
        named = {(function, a) for f in found[:1] for function, a, _ in _driver(f).blocks}
        blocks = [b for b in blocks if any(f == b.function and 0 <= a - b.address < len(b.first) for f, a in named)]
    return Device(port, unit.number, tuple(found), tuple(blocks[:_MOST_BLOCKS] if registers is None else blocks))


async def _answering(unit: _Unit, registers: Span | None, drivers: Sequence[ModbusMap]) -> list[_Span]:
    """Spans of registers that the device answers for: those asked for, else some around likely beginnings."""
    spans: list[_Span] = []
    for function in (3, 4):
        if registers is not None:
            for begin in range(registers[0], registers[1] + 1, _SIZES[0]):
                spans += await _part(unit, (function, begin, min(_SIZES[0], registers[1] + 1 - begin)))
            continue
        of_maps = [block.address for driver in drivers for block in driver.blocks if block.function == function]
        for begin in sorted({*_STARTS, *of_maps}):
            if spans and spans[-1][0] == function and begin < spans[-1][1] + spans[-1][2]:
                continue
            if (await unit.read((function, begin, 1))).registers is not None:
                for size in _SIZES:
                    if (await unit.read((function, begin, size))).registers is not None:
                        spans.append((function, begin, size))
                        break
    if registers is None:
        filled = {span: sum(map(bool, (await unit.read(span)).registers or ())) for span in spans}
        spans = sorted((span for span in spans if filled[span]), key=lambda span: -filled[span])
    return spans


async def _part(unit: _Unit, span: _Span) -> list[_Span]:
    """What of a span is answered for: where all of it is refused, its halves are tried."""
    function, begin, count = span
    answer = await unit.read(span)
    if answer.registers is not None:
        return [span]
    if count == 1 or not answer.alive:
        return []
    half = count // 2
    return [
        *await _part(unit, (function, begin, half)),
        *await _part(unit, (function, begin + half, count - half)),
    ]


def _fit(driver: ModbusMap, port: ModbusPort, *reads: Sequence[_Answer]) -> Found:
    """How well a map fits what was answered to its blocks, read at least twice."""
    guarded = Guarded(driver)
    items = [item for read in reads for item in guarded.feed_all([(answer.record, answer.at) for answer in read])]
    items += guarded.finish()
    frames = tuple(item for item in items if isinstance(item, Frame))
    problems = tuple(item for item in items if isinstance(item, Problem))
    good = bad = 0.0
    for register in driver.map.registers:
        g, b = _evidence(register, frames)
        good, bad = good + g, bad + b
    confidence = good / (good + bad + 0.5)
    if isinstance(driver.settings, Settings) and driver.settings.device is not None:
        confidence *= 0.95  # another address than the maker's
    told = {"manufacturer": driver.map.manufacturer, "model": driver.map.title}
    return Found(port, "modbus", driver.settings, confidence, None, frames, problems, told)


def _evidence(register: Register, frames: Sequence[Frame]) -> tuple[float, float]:
    """What a register's values say for its map, and against it."""
    values = [float(v) for f in frames for v in f.columns[register.parameter]]
    missing = [int(m) for f in frames for m in f.missing(register.parameter)]
    present = [value for value, why in zip(values, missing, strict=True) if not why]
    if len(present) < len(values) or not values:
        return 0.0, 0.5 if all(why in (0, Missing.INVALID) for why in missing) and values else 1.0
    low, high = known.plausible if (known := PARAMETERS.get(register.parameter)) else (-math.inf, math.inf)
    if not any(present):
        return 0.0, 0.0
    if max(present) - min(present) > 0.1 * (high - low):
        return 0.0, 0.5
    weight = 1.0 if register.type.startswith("float") else 0.3 * register.width
    return weight + (1.0 if register.identity is not None else 0.0), 0.0


def _driver(found: Found) -> ModbusMap:
    return ModbusMap("map", found.settings)


# ---- registers that nobody knows -------------------------------------------------------------------------------------


class Reading(NamedTuple):
    """One way to read registers that is likely the right one, and why. `address` counts from 0."""

    address: int
    type: str
    order: str
    value: float | int
    why: str
    score: float

    @property
    def width(self) -> int:
        """In registers."""
        return int(self.type[-2:]) // 16


_WORTH = 1.0
_LITTLE = 0.1
_ORDINARY = (1e-3, 1e6)
_FEW_DIGITS = 5
_RARE = 0.75
"""Two numbers of 32 bits that stand side by side often look like one of 64, which few devices have."""


def readings(block: Block, found: Sequence[Found]) -> list[Reading]:
    """The likeliest way to read a block's registers; those of them of which none is likely are left out."""
    first, second = decode_all_orders(block.first), decode_all_orders(block.second)
    mapped = _mapped(block, found)
    rated: list[Reading] = []
    for kind in ("float32", "float64", "int16", "int32", "int64", "uint16", "uint32"):
        for order, values in first[kind].items():
            for i, value in enumerate(values):
                if "64" in kind and block.first[i : i + 4].count(0) > 1:
                    continue  # 32 bits and nothing beside them
                others = [first[kind][other][i] for other in first[kind] if other != order]
                again = second[kind][order][i]
                score, why = _rate(kind, value, again, others)
                of_map = mapped.get((block.address + i, kind, order))
                if "64" in kind:
                    score *= _RARE
                if of_map is not None:
                    score, why = score + 2.0, [of_map, *why]
                if score >= _WORTH:
                    rated.append(Reading(block.address + i, kind, order, again, "; ".join(why), score))
    votes = Counter[str]()
    for reading in rated:
        votes[reading.order] += 1
    chosen: list[Reading] = []
    taken: set[int] = set()
    for reading in sorted(rated, key=lambda r: (-r.score, -votes[r.order], r.address)):
        covers = set(range(reading.address, reading.address + reading.width))
        if not covers & taken:
            taken |= covers
            chosen.append(reading)
    return sorted(chosen, key=lambda reading: reading.address)


def _mapped(block: Block, found: Sequence[Found]) -> Mapping[tuple[int, str, str], str]:
    """What the maps that fit say of registers of the block, by address, type and order."""
    told: dict[tuple[int, str, str], str] = {}
    for fit in found:
        if isinstance(fit.settings, Settings):
            known = fit.settings.resolved()
            for r in known.registers:
                order = r.order if r.width > 1 else "ABCD" if r.order in ("ABCD", "CDAB") else "BADC"
                if r.function == block.function:
                    key = (r.address - known.base, r.type, order)
                    told.setdefault(key, f"{label_of(r.parameter)} by the map {fit.settings.map}")
    return told


def _rate(kind: str, value: float | int, again: float | int, others: Iterable[float | int]) -> tuple[float, list[str]]:
    """How much speaks for one way to read a number, and what; nothing where it is out of the ordinary."""
    if not _ordinary(value) or not _ordinary(again):
        return 0.0, []
    whole = not kind.startswith("float")
    score, why = (0.3, []) if whole else (0.5, ["of ordinary size"])
    if value != again:
        if abs(again - value) > max(_LITTLE * max(abs(value), abs(again)), 5 if whole else 0.0):
            return 0.0, []
        score += 1.0 if not whole or "16" not in kind or abs(again - value) < 128 else 0.0
        why.append("changes a little between two reads")
    if not whole:
        if not any(_ordinary(other) for other in others):
            score += 0.5
            why.append("no other order gives such a number")
        if len(f"{abs(value):.9g}".replace(".", "").strip("0")) <= _FEW_DIGITS:
            score += 0.5
            why.append("few digits")
    return score, why


def _ordinary(value: float | int) -> bool:
    return math.isfinite(value) and _ORDINARY[0] <= abs(value) <= _ORDINARY[1]
