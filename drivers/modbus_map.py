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

What registers mean, and how they are read together, is told by `drivers.register_map`.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from drivers.arrivals import Arrivals
from drivers.driver import Decoded, Driver, DriverSettings, Problem, problem
from drivers.register_map import Register, Settings, numbers, plan, shipped, shipped_map
from tidegate.clock import UNKNOWN, Arrival, TimeSource
from tidegate.frame import MISSING_INT, Column, Frame, Missing, Reasons, Schema
from tidegate.vocabulary import PARAMETERS

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
    """Reads the registers of a map."""

    manufacturer: ClassVar[str] = "Modbus"
    models: ClassVar[tuple[str, ...]] = ("any with a register map",)
    title: ClassVar[str] = "Modbus registers by a map: radar gauges, pressure transmitters, weather stations, loggers"
    Settings: ClassVar[type[DriverSettings]] = Settings
    transports: ClassVar[tuple[str, ...]] = ("modbus",)
    lines: ClassVar[tuple[str, ...]] = ("9600 8N1", "9600 8E1", "19200 8E1", "19200 8N1")
    commands: ClassVar[Mapping[str, str]] = {
        "function 3": "read holding registers: sent at each interval for the map's registers",
        "function 4": "read input registers: the same",
    }
    calibration: ClassVar[str] = "in the device, which gives physical units; `scale` and `offset` of a register correct"
    problems: ClassVar[Mapping[str, str]] = {
        "exception": "the device refused to be asked for these registers: another model or firmware, or the manual "
        "counts from 1; compare the map with the device's manual, and try base = 1",
        "no_answer": "the device did not answer in time: check its address, wiring, power, baud rate and parity",
        "truncated": "records of a poll are not all there: the recording was cut, or the gateway was stopped",
        "noise": "bytes that answer no request of this map: recorded with another map, or damaged",
        "implausible": "a number that cannot be: it is left out; check the register's type, order, unit and scale",
        "unit": "the device gives a value in a unit that the map does not know: it is left out; set the device to one "
        "of the units that the message names",
        "identity": "at a value's place the device has another quantity: it is left out; take the map of this very "
        "model, or set up the device as the map expects",
    }

    def __init__(self, instrument: str, settings: DriverSettings | None = None) -> None:
        if not isinstance(settings, Settings):
            raise ValueError(f"{instrument}: a Modbus instrument needs settings: map or registers")
        super().__init__(instrument, settings)
        self.map = settings.resolved()
        self.blocks = plan(self.map)
        self._schema = Schema(self.map.kind, tuple(r.field for r in self.map.registers))
        self._places = {r.parameter: self._place(r.function, r.address) for r in self.map.registers}
        self._beside = {
            (r.parameter, name): self._place(r.function, address)
            for r in self.map.registers
            for name, address in r.beside.items()
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

    def _place(self, function: int, address: int) -> tuple[int, int]:
        """(the block that fetches a register, where in its answer it begins)."""
        at = address - self.map.base
        return next(
            (i, 2 * (at - b.address))
            for i, b in enumerate(self.blocks)
            if b.function == function and b.address <= at < b.address + b.size
        )

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

    @classmethod
    def guesses(cls) -> Sequence[DriverSettings]:
        """The shipped maps, each at its device's factory address."""
        return [Settings.model_validate({"map": name}) for name in shipped() if shipped_map(name).registers]

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
            raw[r.parameter] = numbers(data[i][:, start : start + 2 * r.width], r.type, r.order)
            codes[r.parameter] = absent[i]
        problems: list[Problem] = []
        columns: dict[str, Column] = {}
        reasons: dict[str, Reasons] = {}
        for r in self.map.registers:
            missing = codes[r.parameter].copy()
            beside: dict[str, npt.NDArray[Any]] = {}
            for name in r.beside:
                i, start = self._beside[r.parameter, name]
                missing = np.maximum(missing, absent[i])
                beside[name] = numbers(data[i][:, start : start + 2], "uint16", "ABCD")
            if r.status is not None and r.status.parameter is not None:
                missing = np.maximum(missing, codes[r.status.parameter])
                beside["status"] = raw[r.status.parameter]
            columns[r.parameter], missing = self._column(r, raw[r.parameter], beside, missing, samples, problems)
            if missing.any():
                reasons[r.parameter] = missing
        time = np.array([s.at.utc_ns for s in samples], np.int64)
        frame = Frame(self.instrument, self._schema, time, columns, TimeSource.ARRIVAL, samples[0].at, reasons)
        return frame, problems

    def _column(
        self,
        r: Register,
        raw: npt.NDArray[Any],
        beside: Mapping[str, npt.NDArray[Any]],
        missing: Reasons,
        samples: Sequence[_Sample],
        problems: list[Problem],
    ) -> tuple[Column, Reasons]:
        def refuse(kind: str, rows: npt.NDArray[np.bool_], why: Missing, message: Callable[[int], str]) -> None:
            for i in np.flatnonzero(rows).tolist():
                evidence = b"".join(block for block in samples[i].blocks if isinstance(block, bytes))
                problems.append(problem(kind, message(i), samples[i].offset, evidence, samples[i].at))
            missing[rows] = why

        if r.identity is not None:
            held, wanted = beside["identity"], r.identity.equals
            other = (missing == 0) & (held != wanted)
            refuse("identity", other, Missing.UNREADABLE, lambda i: _OTHER.format(r.parameter, wanted, int(held[i])))
        if r.status is not None:
            missing[(missing == 0) & r.status.spoils(beside["status"])] = Missing.INVALID
        bad = ~np.isfinite(raw)
        for value in r.invalid:
            with np.errstate(over="ignore"):
                bad |= raw == (raw.dtype.type(value) if raw.dtype.kind == "f" else value)
        missing[(missing == 0) & bad] = Missing.INVALID
        factor, offset = (np.full(len(raw), part) for part in r.linear())
        if r.unit_code is not None:
            code, known_units = beside["unit_code"], r.unit_code.codes
            for number, unit in known_units.items():
                factor[code == number], offset[code == number] = r.linear(unit)
            strange = (missing == 0) & ~np.isin(code, list(known_units))
            wanted_units = ", ".join(f"{number} ({unit})" for number, unit in known_units.items())
            refuse("unit", strange, Missing.UNREADABLE, lambda i: _UNIT.format(r.parameter, int(code[i]), wanted_units))
        f = self._schema.by_name[r.parameter]
        with np.errstate(all="ignore"):
            values = raw.astype(np.float64) * factor + offset
        known = PARAMETERS.get(r.parameter)
        largest = 2.0**53 * f.resolution
        low, high = known.plausible if known else (-largest, largest)
        wild = (missing == 0) & ~((values >= low) & (values <= high) & (np.abs(values) < largest))
        refuse(
            "implausible",
            wild,
            Missing.IMPLAUSIBLE,
            lambda i: _WILD.format(r.parameter, values[i], f.unit, low, high),
        )
        present = missing == 0
        if not f.integer:
            return np.where(present, np.round(np.where(present, values, 0.0), f.decimals), np.nan), missing
        # Below 2**53 every whole number is a float64 too.
        return np.where(present, np.rint(np.where(present, values, 0.0)).astype(np.int64), MISSING_INT), missing


_WILD = "{} {:g} {} is outside {:g} to {:g}: left out; check the register's type, order and scale"
_UNIT = (
    "{}: the device gives it in its unit number {}, and the map knows only {}: left out; set the device to one of these"
)
_OTHER = (
    "{}: in its place the device must have its quantity number {}, and has {}: left out; take the map of this model, "
    "or set up the device as the map expects"
)


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
        if not samples:
            return
        cuts = (np.flatnonzero(Arrivals.of([sample.at for sample in samples]).breaks()) + 1).tolist()
        for begin, end in pairwise([0, *cuts, len(samples)]):
            frame, problems = self._driver.frame(samples[begin:end])
            self._out += [*problems, frame]
