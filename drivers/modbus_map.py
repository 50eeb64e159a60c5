"""Any instrument that speaks Modbus, described by a map of its registers: shipped ones in `drivers/maps`, or one's own.

Theory of operation. Modbus is a question for a block of 16-bit registers and an answer; its framing and checksums are
the transport's business. Toward this driver both directions are plain bytes, which is also what the raw log keeps:

    request    unit u8, function u8, address u16, count u16         big-endian; `poll()` gives one after the other
    answer     the same six bytes, then 2 * count bytes             the registers, each big-endian, as on the wire
    exception  the six bytes with function | 0x80, then one byte    the exception's code; 0x0B: no answer in time

(Functions 1 and 2, which this driver never asks for, would carry their bits packed into bytes as on the wire.)

The transport executes each request of a poll and feeds one such record for each, in order. The record of the first
request begins a sample, and its arrival is the sample's time. A block that was refused or not answered leaves its own
values missing, with the reason; nothing moves into its place. A sample of which nothing was answered is no sample.

Registers that stand side by side are read together, at most 125 at once. A value is
`(raw * scale + offset)` in the map's unit, brought to the unit of the vocabulary.

Sources: MODBUS Application Protocol Specification V1.1b3; the instruments' manuals are named in their maps.
"""

import re
import tomllib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic import Field as Setting

from drivers.driver import Decoded, Driver, DriverSettings, Problem, problem
from drivers.units import alike, conversion
from tidegate.clock import UNKNOWN, Arrival, TimeSource
from tidegate.frame import MISSING_INT, Column, Field, Frame, Missing, Reasons, Schema
from tidegate.vocabulary import PARAMETERS

# --- registers as numbers ---------------------------------------------------------------------------------------------

_DTYPES = {
    "int16": ">i2",
    "uint16": ">u2",
    "int32": ">i4",
    "uint32": ">u4",
    "int64": ">i8",
    "float32": ">f4",
    "float64": ">f8",
}
_ORDERS = ("ABCD", "CDAB", "BADC", "DCBA")
Order = Literal["ABCD", "CDAB", "BADC", "DCBA"]
Type = Literal["int16", "uint16", "int32", "uint32", "int64", "float32", "float64"]


def _permutation(size: int, order: str) -> list[int]:
    """Which byte as sent stands at each place of the big-endian number; of 8 bytes the words are ordered likewise."""
    words = [[i, i + 1] for i in range(0, size, 2)]
    if order in ("CDAB", "DCBA"):
        words.reverse()
    return [i for word in words for i in (reversed(word) if order in ("BADC", "DCBA") else word)]


def _numbers(data: npt.NDArray[np.uint8], kind: str, order: str) -> npt.NDArray[Any]:
    """Bytes (n, size) as n numbers, in the machine's own byte order."""
    dtype = np.dtype(_DTYPES[kind])
    placed = np.ascontiguousarray(data[:, _permutation(dtype.itemsize, order)])
    return placed.view(dtype)[:, 0].astype(dtype.newbyteorder("="))


def encode_registers(value: float, kind: Type, order: Order = "ABCD") -> list[int]:
    """The registers in which a device sends `value`. Raises `OverflowError` where the type cannot hold it."""
    dtype = np.dtype(_DTYPES[kind])
    number = np.array([value if dtype.kind == "f" else int(value)], dtype).view(np.uint8)
    sent = np.empty(dtype.itemsize, np.uint8)
    sent[_permutation(dtype.itemsize, order)] = number
    return [int(register) for register in sent.view(">u2")]


def decode_registers(registers: Sequence[int], kind: Type, order: Order = "ABCD") -> float | int:
    """The number that these registers hold: a float32 as the shortest decimal that means it, an integer exactly."""
    data = np.array(registers, ">u2").view(np.uint8)[None, :]
    value = _numbers(data, kind, order)[0]
    return float(str(value)) if value.dtype.kind == "f" else int(value)


def decode_all_orders(registers: Sequence[int]) -> dict[str, dict[str, list[float | int]]]:
    """A block in every reading there is, for people who look for the right one: by type and order, the values that
    begin at each register (as far as enough registers follow). 16-bit types have only the orders ABCD and BADC."""
    table: dict[str, dict[str, list[float | int]]] = {}
    kind: Type
    for kind in ("int16", "uint16", "int32", "uint32", "float32", "int64", "float64"):
        width = np.dtype(_DTYPES[kind]).itemsize // 2
        orders: tuple[Order, ...] = ("ABCD", "BADC") if width == 1 else ("ABCD", "CDAB", "BADC", "DCBA")
        starts = range(len(registers) - width + 1)
        table[kind] = {o: [decode_registers(registers[i : i + width], kind, o) for i in starts] for o in orders}
    return table


# --- maps -------------------------------------------------------------------------------------------------------------


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Status(_Table):
    """Bits of a status register, any of which says that a value is not valid."""

    parameter: str = Setting(description="the register of this map that holds the status")
    bits: tuple[int, ...] = Setting(min_length=1, description="bit 0 is the least significant")


class Register(_Table):
    """One value: where it stands, how it is written, and what it means."""

    parameter: str = Setting(description="a parameter of the vocabulary; one's own name needs label and unit too")
    address: int = Setting(ge=0, le=65536, description="as the manual numbers it; `base` says from where it counts")
    type: Type = Setting(description="how the number is written; 32 bits are two registers, 64 bits four")
    function: Literal[3, 4] = Setting(3, description="3 reads holding registers, 4 reads input registers")
    order: Order = Setting("ABCD", description="of the bytes as sent: ABCD big-endian, CDAB words swapped, …")
    unit: str | None = Setting(None, description="in which the device gives it; default: the parameter's own")
    scale: float = Setting(1.0, description="the raw number is multiplied by this …")
    offset: float = Setting(0.0, description="… and this is added, both in the device's unit")
    resolution: float | None = Setting(None, gt=0, description="least step, in the parameter's unit")
    invalid: tuple[float, ...] = Setting((), description="raw numbers that mean: no value")
    status: Status | None = Setting(None, description="status bits that say that the value is not valid")
    label: str | None = Setting(None, description="what people are to read for a parameter of one's own")

    @field_validator("type", "order", mode="before")
    @classmethod
    def _named(cls, value: Any, info: ValidationInfo) -> Any:
        known = tuple(_DTYPES) if info.field_name == "type" else _ORDERS
        if value not in known:
            name = info.data.get("parameter", "?")
            raise ValueError(
                f"register {name!r}: {info.field_name} {value!r} is not known; use one of {', '.join(known)}"
            )
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        name = f"register {self.parameter!r} at {self.address}"
        known = PARAMETERS.get(self.parameter)
        if known is None and (self.label is None or self.unit is None):
            near = get_close_matches(self.parameter, PARAMETERS, n=3)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            raise ValueError(f"{name} is not in the vocabulary: {hint}For a parameter of your own give label and unit")
        if known is not None and conversion(self.unit or known.unit, known.unit) is None:
            fitting = ", ".join(alike(known.unit))
            raise ValueError(f"{name}: unit {self.unit!r} cannot become {known.unit}; use one of {fitting}")
        if self.scale == 0 or not np.isfinite([self.scale, self.offset]).all():
            raise ValueError(f"{name}: scale and offset must be finite and scale not 0")
        if known is None and self.resolution is None and self.type.startswith("float"):
            raise ValueError(
                f"{name}: give the resolution of {self.type}, in {self.unit}; for example resolution = 0.001"
            )
        return self

    @property
    def width(self) -> int:
        """In registers of 16 bits."""
        return np.dtype(_DTYPES[self.type]).itemsize // 2

    @property
    def linear(self) -> tuple[float, float]:
        """(factor, offset) from the raw number to the parameter's unit."""
        known = PARAMETERS.get(self.parameter)
        factor, offset = (1.0, 0.0) if known is None else conversion(self.unit or known.unit, known.unit) or (1.0, 0.0)
        return self.scale * factor, self.offset * factor + offset

    @property
    def field(self) -> Field:
        """The column that it becomes."""
        known = PARAMETERS.get(self.parameter)
        whole = not self.type.startswith("float") and self.linear == (1.0, 0.0)
        resolution = self.resolution
        if resolution is None and not self.type.startswith("float"):
            resolution = float(10.0 ** np.floor(np.log10(abs(self.linear[0])) + 1e-9))
        if known is None:
            return Field(self.parameter, self.unit or "1", resolution or 1.0, whole and resolution == 1.0)
        return Field.of(self.parameter, resolution=1.0 if known.integer else resolution)


class Map(_Table):
    """A device's registers, and how they may be read."""

    title: str
    registers: tuple[Register, ...] = Setting(min_length=1)
    kind: str = "modbus"
    manufacturer: str = "Modbus"
    models: tuple[str, ...] = ()
    device: int = Setting(1, ge=0, le=255)
    base: Literal[0, 1] = 0
    gap: int = Setting(0, ge=0, le=123)
    borders: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [r.parameter for r in self.registers]
        for r in self.registers:
            name = f"register {r.parameter!r} at {r.address}"
            if names.count(r.parameter) > 1:
                raise ValueError(f"{name}: the map has this parameter more than once")
            if r.address < self.base or r.address - self.base + r.width > 65536:
                raise ValueError(
                    f"{name} does not exist: a {r.type} can stand at {self.base} to {65536 + self.base - r.width}"
                )
            if r.status is None:
                continue
            status = next((s for s in self.registers if s.parameter == r.status.parameter), None)
            if status is None or status.type.startswith("float") or status.parameter == r.parameter:
                raise ValueError(
                    f"{name}: its status {r.status.parameter!r} must be an integer register of the same map"
                )
            if not all(0 <= bit < 16 * status.width for bit in r.status.bits):
                raise ValueError(f"{name}: a {status.type} status has the bits 0 to {16 * status.width - 1}")
        return self


def shipped() -> list[str]:
    """The names of the maps that come with Tidegate."""
    return sorted(
        path.name.removesuffix(".toml") for path in files("drivers.maps").iterdir() if path.name.endswith(".toml")
    )


@cache
def _shipped_map(name: str) -> Map:
    return Map.model_validate(tomllib.loads((files("drivers.maps") / f"{name}.toml").read_text("utf-8")))


class Settings(DriverSettings):
    """Which registers to read: a shipped map by its name, or one's own."""

    map: str | None = Setting(None, description="a shipped map")
    registers: tuple[Register, ...] = Setting((), description="one's own map, instead")
    kind: str | None = Setting(None, description='the family of instruments, such as "tide_gauge"')
    device: int | None = Setting(None, ge=0, le=255, description="the device's address on the bus, also called unit id")
    base: Literal[0, 1] | None = Setting(None, description="whether the manual counts registers from 0 or from 1")
    gap: int | None = Setting(None, ge=0, le=123, description="unused registers that one read may run across")
    borders: tuple[int, ...] | None = Setting(None, description="addresses at which a read must begin anew")

    @model_validator(mode="after")
    def _one_map(self) -> Self:
        if (self.map is None) == (not self.registers):
            raise ValueError('give either map = "…" (one of ' + ", ".join(shipped()) + ") or [[registers]] of your own")
        if self.map is not None and self.map not in shipped():
            near = get_close_matches(self.map, shipped(), 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"no map is called {self.map!r}; {hint}shipped are: {', '.join(shipped())}")
        try:
            self.resolved()
        except ValidationError as error:
            told = [detail["msg"].removeprefix("Value error, ") for detail in error.errors()]
            raise ValueError("; ".join(told)) from None
        return self

    def resolved(self) -> Map:
        """The map with this instrument's own settings in it."""
        own = {
            name: value
            for name in ("kind", "device", "base", "gap", "borders")
            if (value := getattr(self, name)) is not None
        }
        if self.map is None:
            return Map(title="registers of one's own", registers=self.registers, **own)
        shipped_map = _shipped_map(self.map)
        return Map.model_validate({**{name: getattr(shipped_map, name) for name in Map.model_fields}, **own})


# --- requests ---------------------------------------------------------------------------------------------------------

MOST_REGISTERS = 125


class Block(NamedTuple):
    """`size` registers that are read together; `address` counts from 0, as on the wire."""

    function: int
    address: int
    size: int


def plan(definition: Map) -> list[Block]:
    """The reads that fetch all registers of a map, in order of function and address."""
    blocks: list[Block] = []
    borders = {border - definition.base for border in definition.borders}
    spans = sorted({(r.function, r.address - definition.base, r.width) for r in definition.registers})
    for function, address, width in spans:
        last = blocks[-1] if blocks else None
        if last is not None and last.function == function:
            end = last.address + last.size
            count = max(end, address + width) - last.address
            joined = address - end <= definition.gap and count <= MOST_REGISTERS
            if joined and not any(last.address < border <= address for border in borders):
                blocks[-1] = Block(function, last.address, count)
                continue
        blocks.append(Block(function, address, width))
    return blocks


# --- the driver -------------------------------------------------------------------------------------------------------

NO_ANSWER_CODE = 0x0B
_EXCEPTIONS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledged, still busy",
    6: "busy",
    8: "memory parity error",
    10: "gateway path unavailable",
}
_HEADER = 6
_NOISE = 1024  # longer noise is reported in pieces of this size


class _Sample(NamedTuple):
    """One sample: where its first record stood, when that arrived, and for each block its bytes or why it has none."""

    offset: int
    at: Arrival
    blocks: list[bytes | Missing | None]
    """None: nothing came for it, not even that there was no answer."""


class ModbusMap(Driver):
    """Reads the registers of a map. Problems: `exception`, `no_answer`, `truncated`, `noise`, `implausible`."""

    manufacturer: ClassVar[str] = "Modbus"
    models: ClassVar[tuple[str, ...]] = ("any with a register map",)
    title: ClassVar[str] = "Modbus registers by a map: radar gauges, pressure transmitters, weather stations, loggers"
    Settings: ClassVar[type[DriverSettings]] = Settings
    transports: ClassVar[tuple[str, ...]] = ("modbus",)

    def __init__(self, instrument: str, settings: DriverSettings | None = None) -> None:
        if not isinstance(settings, Settings):
            raise ValueError(f"{instrument}: a Modbus instrument needs settings: map or registers")
        super().__init__(instrument, settings)
        self.map = settings.resolved()
        self.blocks = plan(self.map)
        self._schema = Schema(self.map.kind, tuple(r.field for r in self.map.registers))
        self._places = {
            r.parameter: (i, 2 * (address - b.address))
            for r in self.map.registers
            for i, b in enumerate(self.blocks)
            if b.function == r.function and b.address <= (address := r.address - self.map.base) < b.address + b.size
        }
        self._headers = [
            bytes([self.map.device, b.function]) + b.address.to_bytes(2, "big") + b.size.to_bytes(2, "big")
            for b in self.blocks
        ]
        refusals = [header[:1] + bytes([header[1] | 0x80]) + header[2:] for header in self._headers]
        # Groups by number: block i answered is 2 i + 1, refused 2 i + 2.
        self._heads = [h for pair in zip(self._headers, refusals, strict=True) for h in pair]
        sizes = [size for b in self.blocks for size in (2 * b.size, 1)]
        self._header = re.compile(b"|".join(map(re.escape, self._heads)))
        self._record = re.compile(
            b"|".join(b"(%s.{%d})" % (re.escape(h), n) for h, n in zip(self._heads, sizes, strict=True)), re.DOTALL
        )
        self._offset = 0
        self._renew()

    def _renew(self) -> None:
        self._pending = b""
        self._pieces: list[tuple[int, Arrival]] = []
        self._noise = b""  # that ends where the pending bytes begin
        self._sample: _Sample | None = None

    def schemas(self) -> Sequence[Schema]:
        return (self._schema,)

    def description(self) -> Mapping[str, Any]:
        told: dict[str, Any] = {"manufacturer": self.map.manufacturer}
        if self.map.models:
            told["model"] = ", ".join(self.map.models)
        if labels := {r.parameter: r.label for r in self.map.registers if r.label}:
            told["labels"] = labels
        return told

    def poll(self) -> bytes:
        return b"".join(self._headers)

    def feed(self, data: bytes, at: Arrival) -> list[Decoded]:
        self._pieces.append((self._offset + len(self._pending), at))
        out = _Output(self)
        buffer, base = self._pending + data, self._offset
        position = 0
        while True:
            record = self._record.match(buffer, position)
            if record is None:
                header = self._header.search(buffer, position)
                if header is not None and header.start() == position:
                    break  # its end has not come yet
                end = max(len(buffer) - _HEADER + 1, position) if header is None else header.start()
                self._add_noise(buffer[position:end], base + end, out, whole=header is not None)
                position = end
                if header is None:
                    break
            else:
                self._take(record, base + position, out)
                position = record.end()
        self._pending = buffer[position:]
        self._offset = base + position
        keep = bisect_right(self._pieces, self._offset - len(self._noise), key=lambda piece: piece[0]) - 1
        del self._pieces[: max(keep, 0)]
        return out.done()

    def finish(self) -> list[Decoded]:
        out = _Output(self)
        rest, offset = self._pending, self._offset
        self._end_sample(out)
        if rest and any(head.startswith(rest[:_HEADER]) for head in self._heads):
            self._add_noise(b"", offset, out, whole=True)
            out.problem(problem("truncated", "the record is cut off", offset, rest, self._arrival(offset)))
        else:
            self._add_noise(rest, offset + len(rest), out, whole=True)
        self._offset += len(rest)
        self._renew()
        return out.done()

    def _arrival(self, offset: int) -> Arrival:
        at = bisect_right(self._pieces, offset, key=lambda piece: piece[0]) - 1
        return self._pieces[at][1] if at >= 0 else UNKNOWN

    def _add_noise(self, data: bytes, end: int, out: "_Output", *, whole: bool) -> None:
        """Bytes that belong to no record and end at the offset `end`; `whole`: no more of them follow."""
        noise = self._noise + data
        told = len(noise) if whole else len(noise) // _NOISE * _NOISE
        for i in range(0, told, _NOISE):
            offset, piece = end - len(noise) + i, noise[i : min(i + _NOISE, told)]
            message = "bytes that answer no request of this map: recorded with another map, or damaged"
            out.problem(problem("noise", message, offset, piece, self._arrival(offset)))
        self._noise = noise[told:]

    def _take(self, record: re.Match[bytes], offset: int, out: "_Output") -> None:
        block, refused = divmod((record.lastindex or 1) - 1, 2)
        at = self._arrival(offset)
        if block == 0 or self._sample is None or self._sample.blocks[block] is not None:
            self._end_sample(out)
            self._sample = _Sample(offset, at, [None] * len(self.blocks))
        if refused:
            self._sample.blocks[block] = self._refused(block, record.group(), offset, at, out)
        else:
            self._sample.blocks[block] = record.group()[_HEADER:]
        if block == len(self.blocks) - 1:
            self._end_sample(out)

    def _refused(self, block: int, record: bytes, offset: int, at: Arrival, out: "_Output") -> Missing:
        b, code = self.blocks[block], record[-1]
        where = f"function {b.function}, registers {b.address} to {b.address + b.size - 1} (counted from 0)"
        if code == NO_ANSWER_CODE:
            message = f"device {self.map.device} did not answer: {where}; check its address, wiring and power"
            out.problem(problem("no_answer", message, offset, record, at))
            return Missing.NO_ANSWER
        words = _EXCEPTIONS.get(code, "unknown code")
        message = (
            f"device {self.map.device} refused with exception {code} ({words}): {where}; check the map and its base"
        )
        out.problem(problem("exception", message, offset, record, at))
        return Missing.REFUSED

    def _end_sample(self, out: "_Output") -> None:
        sample, self._sample = self._sample, None
        if sample is None:
            return
        answers = [block for block in sample.blocks if isinstance(block, bytes)]
        if None in sample.blocks:
            message = f"of a poll's {len(sample.blocks)} records {sample.blocks.count(None)} are not there"
            out.problem(problem("truncated", message, sample.offset, b"".join(answers), sample.at))
        if answers:
            out.sample(sample)

    # --- samples as columns

    def frame(self, samples: Sequence[_Sample]) -> tuple[Frame, list[Problem]]:
        """Samples that may stand in one Frame, and what was implausible in them."""
        absent = [
            np.array([0 if isinstance(b := s.blocks[i], bytes) else b or Missing.NO_ANSWER for s in samples], np.uint8)
            for i in range(len(self.blocks))
        ]
        data = [
            np.frombuffer(
                b"".join(block if isinstance(block := s.blocks[i], bytes) else bytes(2 * b.size) for s in samples),
                np.uint8,
            ).reshape(len(samples), 2 * b.size)
            for i, b in enumerate(self.blocks)
        ]
        raw: dict[str, npt.NDArray[Any]] = {}
        codes: dict[str, Reasons] = {}
        for r in self.map.registers:
            i, start = self._places[r.parameter]
            raw[r.parameter] = _numbers(data[i][:, start : start + 2 * r.width], r.type, r.order)
            codes[r.parameter] = absent[i]
        problems: list[Problem] = []
        columns: dict[str, Column] = {}
        reasons: dict[str, Reasons] = {}
        for r in self.map.registers:
            missing = codes[r.parameter].copy()
            if r.status is not None:
                missing = np.maximum(missing, codes[r.status.parameter])
                mask = sum(1 << bit for bit in r.status.bits)
                flagged = raw[r.status.parameter].astype(np.uint64) & np.uint64(mask) != 0
                missing[(missing == 0) & flagged] = Missing.INVALID
            columns[r.parameter], missing = self._column(r, raw[r.parameter], missing, samples, problems)
            if missing.any():
                reasons[r.parameter] = missing
        time = np.array([s.at.utc_ns for s in samples], np.int64)
        frame = Frame(self.instrument, self._schema, time, columns, TimeSource.ARRIVAL, samples[0].at, reasons)
        return frame, problems

    def _column(
        self,
        r: Register,
        raw: npt.NDArray[Any],
        missing: Reasons,
        samples: Sequence[_Sample],
        problems: list[Problem],
    ) -> tuple[Column, Reasons]:
        bad = ~np.isfinite(raw)
        for value in r.invalid:
            with np.errstate(over="ignore"):
                bad |= raw == (raw.dtype.type(value) if raw.dtype.kind == "f" else value)
        missing[(missing == 0) & bad] = Missing.INVALID
        factor, offset = r.linear
        f = self._schema.by_name[r.parameter]
        with np.errstate(all="ignore"):
            values = raw.astype(np.float64) * factor + offset
        known = PARAMETERS.get(r.parameter)
        largest = 2.0**53 * f.resolution
        low, high = known.plausible if known else (-largest, largest)
        wild = (missing == 0) & ~((values >= low) & (values <= high) & (np.abs(values) < largest))
        for i in np.flatnonzero(wild).tolist():
            message = (
                f"{r.parameter} {values[i]:g} {f.unit} is outside {low:g} to {high:g}: left out; "
                "check the register's type, order and scale"
            )
            evidence = b"".join(block for block in samples[i].blocks if isinstance(block, bytes))
            problems.append(problem("implausible", message, samples[i].offset, evidence, samples[i].at))
        missing[wild] = Missing.IMPLAUSIBLE
        present = missing == 0
        if not f.integer:
            return np.where(present, np.round(np.where(present, values, 0.0), f.decimals), np.nan), missing
        # Below 2**53 every whole number is a float64 too.
        return np.where(present, np.rint(np.where(present, values, 0.0)).astype(np.int64), MISSING_INT), missing


class _Output:
    """Collects samples into Frames and keeps them in order with the problems."""

    def __init__(self, driver: ModbusMap) -> None:
        self._driver = driver
        self._out: list[Decoded] = []
        self._samples: list[_Sample] = []

    def sample(self, sample: _Sample) -> None:
        self._samples.append(sample)

    def problem(self, found: Problem) -> None:
        self._flush()
        self._out.append(found)

    def done(self) -> list[Decoded]:
        self._flush()
        return self._out

    def _flush(self) -> None:
        samples, self._samples = self._samples, []
        cuts = [i + 1 for i, (a, b) in enumerate(pairwise(samples)) if not _steady(a.at, b.at)]
        for begin, end in pairwise([0, *cuts, len(samples)]):
            if end > begin:
                frame, problems = self._driver.frame(samples[begin:end])
                self._out += [*problems, frame]


def _steady(a: Arrival, b: Arrival) -> bool:
    """Whether samples of these arrivals may share a Frame."""
    step_ns = (b.utc_ns - b.monotonic_ns) - (a.utc_ns - a.monotonic_ns)
    return a.boot == b.boot and a.disciplined == b.disciplined and abs(step_ns) <= 10_000_000
