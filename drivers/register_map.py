"""Registers as numbers, and maps that say what each register of a device means: the language of `drivers/maps`.

A map is a list of values: where each stands, how it is written (type, order of bytes), its unit, and what it is. Beside
a value a device may keep registers that tell about it, and a map may name these too: one that says whether the value is
valid (`status`), one that says in which unit it is (`unit_code`), one that says which quantity it is at all
(`identity`). They are read together with the value and become no column, and nothing is guessed from them: a value in
a unit that the map does not know, or under another quantity's number, is left out and told.

Registers that stand side by side are read together (`plan`), at most 125 at once. A value is
`(raw * scale + offset)` in the device's unit, brought to the unit of the vocabulary.

Sources: MODBUS Application Protocol Specification V1.1b3; the instruments' manuals are named in their maps.
"""

import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic import Field as Setting

from drivers.driver import DriverSettings
from drivers.quantity import Quantity, Table
from tidegate.frame import Field
from tidegate.vocabulary import PARAMETERS

# --- registers as numbers ---------------------------------------------------------------------------------------------

DTYPES = {
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


def numbers(data: npt.NDArray[np.uint8], kind: str, order: str) -> npt.NDArray[Any]:
    """Bytes (n, size) as n numbers, in the machine's own byte order."""
    dtype = np.dtype(DTYPES[kind])
    placed = np.ascontiguousarray(data[:, _permutation(dtype.itemsize, order)])
    return placed.view(dtype)[:, 0].astype(dtype.newbyteorder("="))


def encode_registers(value: float, kind: Type, order: Order = "ABCD") -> list[int]:
    """The registers in which a device sends `value`. Raises `OverflowError` where the type cannot hold it."""
    dtype = np.dtype(DTYPES[kind])
    number = np.array([value if dtype.kind == "f" else int(value)], dtype).view(np.uint8)
    sent = np.empty(dtype.itemsize, np.uint8)
    sent[_permutation(dtype.itemsize, order)] = number
    return [int(register) for register in sent.view(">u2")]


def decode_registers(registers: Sequence[int], kind: Type, order: Order = "ABCD") -> float | int:
    """The number that these registers hold: a float32 as the shortest decimal that means it, an integer exactly."""
    data = np.array(registers, ">u2").view(np.uint8)[None, :]
    value = numbers(data, kind, order)[0]
    return float(str(value)) if value.dtype.kind == "f" else int(value)


def decode_all_orders(registers: Sequence[int]) -> dict[str, dict[str, list[float | int]]]:
    """A block in every reading there is, for people who look for the right one: by type and order, the values that
    begin at each register (as far as enough registers follow). 16-bit types have only the orders ABCD and BADC."""
    table: dict[str, dict[str, list[float | int]]] = {}
    kind: Type
    for kind in ("int16", "uint16", "int32", "uint32", "float32", "int64", "float64"):
        width = np.dtype(DTYPES[kind]).itemsize // 2
        orders: tuple[Order, ...] = ("ABCD", "BADC") if width == 1 else ("ABCD", "CDAB", "BADC", "DCBA")
        starts = range(len(registers) - width + 1)
        table[kind] = {o: [decode_registers(registers[i : i + width], kind, o) for i in starts] for o in orders}
    return table


# --- maps -------------------------------------------------------------------------------------------------------------


_BESIDE = "where it stands: 16 bits, big-endian, read with the same function as the value"


class Status(Table):
    """A register that says whether a value is valid: by its bits, or by the number that it holds."""

    parameter: str | None = Setting(None, description="the register of this map that holds the status")
    address: int | None = Setting(None, ge=0, le=65536, description=f"or {_BESIDE}")
    bits: tuple[int, ...] = Setting((), description="any of these says: not valid; bit 0 is the least significant")
    good: tuple[int, ...] = Setting((), description="or the numbers with which the value is valid")

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if (self.parameter is None) == (self.address is None):
            raise ValueError("a status needs either the parameter that holds it or its address")
        if bool(self.bits) == bool(self.good):
            raise ValueError("a status needs either bits that say that the value is not valid, or good numbers")
        return self

    def spoils(self, held: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """(n,) whether what the register held says that the value is not valid."""
        if self.good:
            return ~np.isin(held, np.array(self.good, np.int64))
        mask = sum(1 << bit for bit in self.bits)
        spoilt: npt.NDArray[np.bool_] = held.astype(np.uint64) & np.uint64(mask) != 0
        return spoilt


class UnitCode(Table):
    """A register that says in which unit the device gives a value."""

    address: int = Setting(ge=0, le=65536, description=_BESIDE)
    codes: Mapping[int, str] = Setting(min_length=1, description="the unit that each number means")


class Identity(Table):
    """A register that says which quantity a value is."""

    address: int = Setting(ge=0, le=65536, description=_BESIDE)
    equals: int = Setting(ge=0, le=65535, description="what it holds where the value is what the map takes it for")


def _type_may_stand_once(schema: dict[str, Any]) -> None:
    schema["required"].remove("type")


class Register(Quantity):
    """One value: where it stands, how it is written, and what it means."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=_type_may_stand_once)

    address: int = Setting(ge=0, le=65536, description="as the manual numbers it; `base` says from where it counts")
    type: Type = Setting(description="how the number is written; 32 bits are two registers, 64 bits four")
    function: Literal[3, 4] = Setting(3, description="3 reads holding registers, 4 reads input registers")
    order: Order = Setting("ABCD", description="of the bytes as sent: ABCD big-endian, CDAB words swapped, …")
    status: Status | None = Setting(None, description="a register that says whether the value is valid")
    unit_code: UnitCode | None = Setting(None, description="a register that says in which unit the value is")
    identity: Identity | None = Setting(None, description="a register that says which quantity the value is")

    @field_validator("type", "order", mode="before")
    @classmethod
    def _named(cls, value: Any, info: ValidationInfo) -> Any:
        known = tuple(DTYPES) if info.field_name == "type" else _ORDERS
        if value not in known:
            name = info.data.get("parameter", "?")
            raise ValueError(
                f"register {name!r}: {info.field_name} {value!r} is not known; use one of {', '.join(known)}"
            )
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.unit_code is not None:
            if self.parameter in PARAMETERS and self.unit is not None:
                raise ValueError(f"{self.named}: give either its unit or the register that tells it (unit_code)")
            for unit in self.unit_code.codes.values():
                self.convertible(unit)
        if self.parameter not in PARAMETERS and self.resolution is None and self.type.startswith("float"):
            raise ValueError(
                f"{self.named}: give the resolution of {self.type}, in {self.unit}; for example resolution = 0.001"
            )
        return self

    @property
    def named(self) -> str:
        """How messages call it."""
        return f"register {self.parameter!r} at {self.address}"

    @property
    def width(self) -> int:
        """In registers of 16 bits."""
        return np.dtype(DTYPES[self.type]).itemsize // 2

    @property
    def beside(self) -> dict[str, int]:
        """The registers that tell about the value: their addresses, by what each tells."""
        told = {"status": self.status, "unit_code": self.unit_code, "identity": self.identity}
        return {name: side.address for name, side in told.items() if side is not None and side.address is not None}

    @property
    def field(self) -> Field:
        """The column that it becomes."""
        known = PARAMETERS.get(self.parameter)
        whole = not self.type.startswith("float") and self.linear() == (1.0, 0.0)
        resolution = self.resolution
        if resolution is None and not self.type.startswith("float"):
            resolution = float(10.0 ** np.floor(np.log10(abs(self.linear()[0])) + 1e-9))
        if known is None:
            return Field(self.parameter, self.unit or "1", resolution or 1.0, whole and resolution == 1.0)
        return Field.of(self.parameter, resolution=1.0 if known.integer else resolution)


def _spread(values: Any, type_: Any, order: Any) -> Any:
    """The registers of a table with the type and order that are given once for all of them."""
    registers = values.get("registers") if isinstance(values, Mapping) else None
    if not isinstance(registers, list | tuple):
        return values
    once = {name: value for name, value in (("type", type_), ("order", order)) if value is not None}
    return {**values, "registers": [{**once, **r} if isinstance(r, Mapping) else r for r in registers]}


class Map(Table):
    """A device's registers, and how they may be read."""

    title: str
    registers: tuple[Register, ...] = ()
    """Empty for a device whose user decides what stands where (a logger's program): the settings name them."""
    kind: str = "modbus"
    manufacturer: str = "Modbus"
    models: tuple[str, ...] = ()
    serial: tuple[str, ...] = ("9600 8N1",)
    """How its serial line is set, the factory's setting first."""
    type: Type | None = None
    """Of all registers that do not say it."""
    order: Order | None = None
    device: int = Setting(1, ge=0, le=255)
    base: Literal[0, 1] = 0
    gap: int = Setting(0, ge=0, le=123)
    borders: tuple[int, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _once(cls, values: Any) -> Any:
        return _spread(values, values.get("type"), values.get("order")) if isinstance(values, Mapping) else values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [r.parameter for r in self.registers]
        for r in self.registers:
            name = r.named
            if names.count(r.parameter) > 1:
                raise ValueError(f"{name}: the map has this parameter more than once")
            if r.address < self.base or r.address - self.base + r.width > 65536:
                raise ValueError(
                    f"{name} does not exist: a {r.type} can stand at {self.base} to {65536 + self.base - r.width}"
                )
            for what, address in r.beside.items():
                if not self.base <= address < 65536 + self.base:
                    raise ValueError(f"{name}: its {what} at {address} does not exist")
            if r.status is not None:
                self._check_status(name, r, r.status)
        return self

    def _check_status(self, name: str, r: Register, status: Status) -> None:
        width, type_ = 1, "uint16"
        if status.parameter is not None:
            held = next((s for s in self.registers if s.parameter == status.parameter), None)
            if held is None or held.type.startswith("float") or held.parameter == r.parameter:
                raise ValueError(f"{name}: its status {status.parameter!r} must be an integer register of the same map")
            width, type_ = held.width, held.type
        if not all(0 <= bit < 16 * width for bit in status.bits):
            raise ValueError(f"{name}: a {type_} status has the bits 0 to {16 * width - 1}")


def shipped() -> list[str]:
    """The names of the maps that come with Tidegate."""
    return sorted(
        path.name.removesuffix(".toml") for path in files("drivers.maps").iterdir() if path.name.endswith(".toml")
    )


@cache
def shipped_map(name: str) -> Map:
    """The shipped map of that name."""
    return Map.model_validate(tomllib.loads((files("drivers.maps") / f"{name}.toml").read_text("utf-8")))


class Settings(DriverSettings):
    """Which registers to read: a shipped map by its name, one's own, or a shipped one with registers of one's own."""

    map: str | None = Setting(None, description="a shipped map")
    registers: tuple[Register, ...] = Setting(
        (), description="one's own; beside a map they come in addition, or in the place of the same parameter"
    )
    type: Type | None = Setting(None, description="of one's own registers that do not say it")
    order: Order | None = Setting(None, description="of one's own registers that do not say it")
    kind: str | None = Setting(None, description='the family of instruments, such as "tide_gauge"')
    device: int | None = Setting(None, ge=0, le=255, description="the device's address on the bus, also called unit id")
    base: Literal[0, 1] | None = Setting(None, description="whether the manual counts registers from 0 or from 1")
    gap: int | None = Setting(None, ge=0, le=123, description="unused registers that one read may run across")
    borders: tuple[int, ...] | None = Setting(None, description="addresses at which a read must begin anew")

    @model_validator(mode="before")
    @classmethod
    def _once(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        named = values.get("map")
        of_map = shipped_map(named) if named in shipped() else None
        return _spread(
            values,
            values.get("type") or (of_map and of_map.type),
            values.get("order") or (of_map and of_map.order),
        )

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.map is None and not self.registers:
            raise ValueError('give either map = "…" (one of ' + ", ".join(shipped()) + ") or [[registers]] of your own")
        if self.map is not None and self.map not in shipped():
            near = get_close_matches(self.map, shipped(), 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"no map is called {self.map!r}; {hint}shipped are: {', '.join(shipped())}")
        try:
            resolved = self.resolved()
        except ValidationError as error:
            told = [detail["msg"].removeprefix("Value error, ") for detail in error.errors()]
            raise ValueError("; ".join(told)) from None
        if not resolved.registers:
            raise ValueError(
                f"map {self.map!r} leaves it to you what stands where: name the [[registers]], each with its parameter "
                "and address"
            )
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
        of_map = shipped_map(self.map)
        mine = {r.parameter for r in self.registers}
        registers = (*(r for r in of_map.registers if r.parameter not in mine), *self.registers)
        given = {name: getattr(of_map, name) for name in Map.model_fields}
        return Map.model_validate({**given, "registers": registers, **own})


# --- requests ---------------------------------------------------------------------------------------------------------

MOST_REGISTERS = 125


class Block(NamedTuple):
    """`size` registers that are read together; `address` counts from 0, as on the wire."""

    function: int
    address: int
    size: int


def plan(definition: Map) -> list[Block]:
    """The reads that fetch all registers of a map, and those that tell about them, in order of function and address."""
    blocks: list[Block] = []
    borders = {border - definition.base for border in definition.borders}
    values = {(r.function, r.address - definition.base, r.width) for r in definition.registers}
    beside = {(r.function, a - definition.base, 1) for r in definition.registers for a in r.beside.values()}
    spans = sorted(values | beside)
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
