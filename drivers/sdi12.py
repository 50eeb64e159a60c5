"""SDI-12: up to 62 sensors on one wire, asked by a serial adapter that makes the bus's breaks and levels itself.

Theory of operation. The bus is half duplex, 1200 baud 7E1, and only answers. A command is the sensor's address, letters
and `!`; each answer begins with the address and ends with CR LF:

    aI!        allccccccccmmmmmmvvvxxx…   who are you: version, vendor, model, firmware, serial number
    aM!        atttn                      measure: n values are ready after ttt seconds, `a` alone says when (M1 … M9)
    aC!        atttnn                     the same while others are asked too, and no word when it is done
    aD0! …     a+1.23-4.5…                the values; the next of them with D1, D2 … until there are n
    aMC! aCC!  as aM!, aC!                and the values are followed by a CRC of three characters

The CRC is CRC-16 (polynomial 0xA001 reflected, from 0) over all that stands before it, six bits a character, each with
0x40 added.

Decoding takes only what was heard, so a raw log gives the same as the live bus: `atttn` opens a measurement, the
answers that follow fill it in order, and with its n values it is a sample. A damaged answer is refused and fills
nothing. Two measurements of one sensor are told apart by how many values they give. The time of a sample is the arrival
of its first value.

The conversation (`turn`) makes sure that nothing can move into another's place: where an answer was damaged the same
page of values is asked for again; where one did not come at all the measurement begins anew, for it may still come.
Concurrent measurements (C) are all started first and fetched last; the others (M) are made one after the other.

Sources: SDI-12 Specification, version 1.4 (2023), sections 4.3 and 4.4; the sensors' manuals are named in their files.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache, cached_property
from importlib.resources import files
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from pydantic import Field as Setting
from pydantic import field_validator, model_validator

from drivers.driver import Decoded, DriverSettings, Problem, Turn, problem
from drivers.lines import Line
from drivers.quantity import Quantity, Table
from drivers.rows import Complaint, Row, RowDriver, Samples
from tidegate.clock import Arrival
from tidegate.frame import MISSING_INT, Column, Field, Missing, Reasons, Schema
from tidegate.vocabulary import PARAMETERS

# --- settings ---------------------------------------------------------------------------------------------------------

LEFT_OUT = "-"
_MEASUREMENT = re.compile(r"(M|C)(C?)([1-9]?)")


def _spelt_out(parameters: Any) -> Any:
    """Each of `parameters` as a table, None where it is left out."""
    if not isinstance(parameters, list | tuple):
        return parameters
    return [None if p == LEFT_OUT else {"parameter": p} if isinstance(p, str) else p for p in parameters]


class Status(Table):
    """A value that says whether the others of its measurement are valid."""

    parameter: str = Setting(description="which of `parameters`")
    good: tuple[int, ...] = Setting(min_length=1, description="the numbers with which the others are valid")


class Sensor(Table):
    """One measurement of one sensor: what it is asked, and what the values that it then gives are."""

    address: str = Setting(pattern="^[0-9A-Za-z]$", description="the sensor's address on the bus, as set in it")
    sensor: str | None = Setting(None, description="a shipped sensor; what stands here besides overrules it")
    measurement: str | None = Setting(None, description='"M", "M1" … "M9", "C" …; "MC", "CC1" … with CRC; default "M"')
    parameters: tuple[Quantity | None, ...] = Setting(
        (), description='what each value is, in order: a parameter, a table with its unit and so on, or "-"'
    )
    status: Status | None = Setting(None, description="a value that says whether the others are valid")
    kind: str | None = Setting(None, description='the family of instruments, such as "tide_gauge"')

    @field_validator("measurement")
    @classmethod
    def _spelt(cls, value: str | None) -> str | None:
        if value is not None and not _MEASUREMENT.fullmatch(value):
            raise ValueError(
                f"measurement {value!r} is none of SDI-12: use M, M1 to M9, C, C1 to C9, or MC, CC … for CRC"
            )
        return value

    @field_validator("parameters", mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return _spelt_out(value)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.sensor is not None and self.sensor not in shipped():
            near = get_close_matches(self.sensor, shipped(), 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"no sensor is called {self.sensor!r}; {hint}shipped are: {', '.join(shipped())}")
        whole = self.resolved
        names = [q.parameter for q in whole.parameters if q is not None]
        if not names:
            raise ValueError(
                f'sensor at {self.address!r}: give sensor = "…" (one of {", ".join(shipped())}) or parameters'
            )
        if whole.status is not None and whole.status.parameter not in names:
            raise ValueError(
                f"sensor at {self.address!r}: its status {whole.status.parameter!r} is none of its parameters"
            )
        return self

    @cached_property
    def resolved(self) -> "Resolved":
        """It with what the shipped sensor says."""
        told = shipped_sensor(self.sensor) if self.sensor is not None else ShippedSensor(title="", parameters=())
        return Resolved(
            self.address,
            self.measurement or told.measurement,
            self.parameters or told.parameters,
            self.status if self.status is not None or self.parameters else told.status,
            self.kind or told.kind,
        )


class ShippedSensor(Table):
    """What a sensor's manual says of one of its measurements."""

    title: str
    manufacturer: str = ""
    models: tuple[str, ...] = ()
    measurement: str = "M"
    kind: str = "sdi12"
    parameters: tuple[Quantity | None, ...]
    status: Status | None = None

    @field_validator("parameters", mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return _spelt_out(value)


@dataclass(frozen=True)
class Resolved:
    """A measurement as it is asked for and read."""

    address: str
    measurement: str
    parameters: tuple[Quantity | None, ...]
    status: Status | None
    kind: str

    @property
    def concurrent(self) -> bool:
        """Whether others may be asked meanwhile."""
        return self.measurement.startswith("C")

    @property
    def has_crc(self) -> bool:
        """Whether its values carry a CRC."""
        return self.measurement[1:2] == "C"

    @property
    def key(self) -> tuple[str, bool, int]:
        """By what an answer to it is known: address, whether concurrent, how many values."""
        return self.address, self.concurrent, len(self.parameters)

    @cached_property
    def schema(self) -> Schema:
        """The columns of its samples."""
        return Schema(self.kind, tuple(_column_of(q) for q in self.parameters if q is not None))


def _column_of(quantity: Quantity) -> Field:
    known = PARAMETERS.get(quantity.parameter)
    if known is None:
        return Field(quantity.parameter, quantity.target, quantity.resolution or 1e-6)
    return Field.of(quantity.parameter, resolution=1.0 if known.integer else quantity.resolution)


def shipped() -> list[str]:
    """The names of the sensors that come with Tidegate."""
    there = files("drivers.sdi12_sensors").iterdir()
    return sorted(path.name.removesuffix(".toml") for path in there if path.name.endswith(".toml"))


@cache
def shipped_sensor(name: str) -> ShippedSensor:
    """The shipped sensor of that name."""
    return ShippedSensor.model_validate(
        tomllib.loads((files("drivers.sdi12_sensors") / f"{name}.toml").read_text("utf-8"))
    )


class Settings(DriverSettings):
    """The sensors on the bus."""

    sensors: tuple[Sensor, ...] = Setting(min_length=1, description="one table for each measurement of each sensor")
    timeout_s: float = Setting(1.5, gt=0, le=30, description="longest silence before an answer")
    retries: int = Setting(2, ge=0, le=9, description="how often a measurement that failed is tried again")
    terminator: str = Setting("", max_length=2, description='what the adapter wants after each command, such as "\\r"')

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = Counter(q.parameter for s in self.sensors for q in s.resolved.parameters if q is not None)
        twice = [name for name, times in names.items() if times > 1]
        if twice:
            raise ValueError(
                f"{twice[0]!r} is given more than once on this bus: give one a name of your own, with label and unit"
            )
        for (address, concurrent, count), times in Counter(s.resolved.key for s in self.sensors).items():
            if times > 1:
                other = "M" if concurrent else "C"
                raise ValueError(
                    f"two measurements of sensor {address!r} give {count} values each, so their answers cannot be told "
                    f"apart: make one of them {other}…"
                )
        return self


# --- answers ----------------------------------------------------------------------------------------------------------

_ECHO = re.compile(rb"^\x00*(?:[0-9A-Za-z?][0-9A-Za-z+.\-]{0,40}!)*\x00*")
"""Breaks, and commands that a half-duplex adapter hears itself."""
_ACKNOWLEDGED = re.compile(rb"[0-9A-Za-z]")
_STARTED = re.compile(rb"([0-9A-Za-z])(\d{3})(\d{1,2})")
_IDENTITY = re.compile(rb"([0-9A-Za-z])(\d\d)([ -~]{8})([ -~]{6})([ -~]{3})([ -~]{0,13})")
_VALUE = rb"[+-](?:\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})"
_DATA = re.compile(rb"([0-9A-Za-z])((?:" + _VALUE + rb")+)")
_DATA_CRC = re.compile(rb"(([0-9A-Za-z])((?:" + _VALUE + rb")*))([@-\x7f]{3})")
_EACH = re.compile(_VALUE)
_LONGEST = 256
_PAGES = 10


def crc(data: bytes) -> bytes:
    """The three characters that follow `data`."""
    value = 0
    for octet in data:
        value ^= octet
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return bytes([0x40 | value >> 12, 0x40 | value >> 6 & 0x3F, 0x40 | value & 0x3F])


@dataclass
class _Open:
    """A measurement that a sensor has begun, and what it has given of it."""

    number: int
    line: Line
    values: list[bytes] = field(default_factory=list)
    first: Line | None = None


class _Heard(NamedTuple):
    """What an answer was, for the conversation: `ack`, `identity`, `started` (with seconds), `page`, `complete`, `none`
    (no values), `wrong` (another number of values) or `bad` (damaged, of whomever)."""

    what: str
    address: str = ""
    seconds: int = 0


# --- the conversation -------------------------------------------------------------------------------------------------


@dataclass
class _Step:
    """What is being done now: `identify`, `start`, `measure` (wait) or `fetch`."""

    number: int
    what: str
    tries: int
    page: int = 0
    deadline_ns: int | None = None


class Sdi12(RowDriver):
    """Sensors on an SDI-12 bus."""

    manufacturer: ClassVar[str] = "SDI-12"
    models: ClassVar[tuple[str, ...]] = ("any SDI-12 sensor, by a serial adapter",)
    title: ClassVar[str] = "SDI-12 sensors by a serial adapter: radar and pressure gauges, turbidity, oxygen, PAR"
    Settings: ClassVar[type[DriverSettings]] = Settings
    lines: ClassVar[tuple[str, ...]] = ("1200 7E1", "9600 8N1", "19200 8N1", "115200 8N1")
    commands: ClassVar[Mapping[str, str]] = {
        "aM!": "measure (also aM1! to aM9!); with CRC aMC!",
        "aC!": "measure while others are asked too (also aC1! to aC9!); with CRC aCC!",
        "aD0!": "the values of the measurement (then aD1! and on)",
        "aI!": "who are you: vendor, model, firmware, serial number",
        "a!": "are you there",
        "?!": "which address have you (only where one sensor is on the bus)",
        "aAb!": "change the address from a to b; the gateway never sends this",
    }
    calibration: ClassVar[str] = "in the sensor, which gives physical units; `scale` and `offset` of a value correct"
    problems: ClassVar[Mapping[str, str]] = {
        "no_answer": "a sensor did not answer, retries and all: check its address, 12 V supply, wiring and the adapter",
        "no_data": "a sensor took no measurement, or broke it off: see what its manual says of its own errors",
        "checksum": "the CRC of values is wrong: damaged on their way; check the cable's length and shield",
        "syntax": "no answer of SDI-12: damaged, or another baud rate, parity or adapter",
        "count": "a sensor gives another number of values than the settings name: compare them with its manual",
        "unexpected": "values without a measurement that began: a recording's beginning, or a damaged answer",
        "unknown": "an answer of an address that the settings do not name",
        "implausible": "a value that cannot be: left out, the rest is kept; check order and units of `parameters`",
        "truncated": "the stream ended within a measurement or an answer",
        "noise": "no end of line for long: another baud rate or parity",
    }
    longest = _LONGEST

    def __init__(self, instrument: str, settings: DriverSettings | None = None) -> None:
        if not isinstance(settings, Settings):
            raise ValueError(f"{instrument}: an SDI-12 bus needs settings: sensors")
        self._wanted = [sensor.resolved for sensor in settings.sensors]
        self._by_key = {wanted.key: i for i, wanted in enumerate(self._wanted)}
        self._addresses = {wanted.address for wanted in self._wanted}
        self._identities: dict[str, dict[str, str]] = {}
        self._timeout_ns = round(settings.timeout_s * 1e9)
        self._retries = settings.retries
        self._terminator = settings.terminator
        self._fed = 0
        super().__init__(instrument, settings)

    def _renew(self) -> None:
        self._open: dict[str, _Open] = {}
        self._hang_up()

    def _hang_up(self) -> None:
        self._heard: list[_Heard] = []
        self._talked = False
        self._step: _Step | None = None
        self._to_start: list[_Step] = []
        self._to_fetch: list[tuple[int, _Step]] = []

    # --- what is heard

    def schemas(self) -> Sequence[Schema]:
        """One for each measurement."""
        return tuple(wanted.schema for wanted in self._wanted)

    def description(self) -> Mapping[str, Any]:
        """What the sensors answered to aI!, by address; of one sensor as of any instrument."""
        labels = {q.parameter: q.label for w in self._wanted for q in w.parameters if q is not None and q.label}
        told: dict[str, Any] = {"manufacturer": self.manufacturer} | ({"labels": labels} if labels else {})
        if len(self._addresses) == 1 and self._identities:
            (identity,) = self._identities.values()
            return told | identity
        return told | ({"sensors": dict(sorted(self._identities.items()))} if self._identities else {})

    def feed(self, data: bytes, at: Arrival) -> list[Decoded]:
        """See `Driver.feed`."""
        self._talked = True
        self._fed += len(data)
        return super().feed(data, at)

    def feed_all(self, pieces: Sequence[tuple[bytes, Arrival]]) -> list[Decoded]:
        """See `Driver.feed_all`."""
        self._fed += sum(len(data) for data, _ in pieces)
        return super().feed_all(pieces)

    def _read(self, line: Line) -> Row | Complaint | None:
        skipped = _ECHO.match(line.data)
        said = line.data[skipped.end() if skipped else 0 :]
        if not said:
            return None
        address = chr(said[0])
        found = self._answer(said, line, address)
        if isinstance(found, tuple) and not isinstance(found, Row):
            self._note("wrong" if found[0] == "count" else "none" if found[0] == "no_data" else "bad", address)
        return found

    def _answer(self, said: bytes, line: Line, address: str) -> Row | Complaint | None:
        started, identity = _STARTED.fullmatch(said), _IDENTITY.fullmatch(said)
        with_crc, data = _DATA_CRC.fullmatch(said), _DATA.fullmatch(said)
        if not (_ACKNOWLEDGED.fullmatch(said) or started or identity or with_crc or data):
            return "syntax", "no answer of SDI-12: damaged, or another baud rate, parity or adapter"
        if address not in self._addresses:
            return "unknown", f"an answer of address {address!r}, which the settings do not name"
        if started:
            return self._started(line, address, int(started[2]), started[3])
        if with_crc or data:
            return self._values(said, line, address, with_crc, data)
        if identity:
            names = ("vendor", "model", "firmware", "serial")
            told = {name: text.decode().strip() for name, text in zip(names, identity.groups()[2:], strict=True)}
            self._identities[address] = {
                "manufacturer": told.pop("vendor"),
                **{name: text for name, text in told.items() if text},
            }
            self._note("identity", address)
        else:
            self._note("ack", address)
        return None

    def _started(self, line: Line, address: str, seconds: int, count: bytes) -> Complaint | None:
        self._open.pop(address, None)
        concurrent, n = len(count) == 2, int(count)
        number = self._by_key.get((address, concurrent, n))
        if number is None:
            named = [w for w in self._wanted if w.address == address]
            if not n:
                return "no_data", f"sensor {address!r} takes no measurement: it announces no values"
            wanted = " or ".join(f"{len(w.parameters)} ({w.measurement})" for w in named)
            how = "concurrently" if concurrent else "in turn"
            return "count", f"sensor {address!r} announces {n} values {how}, and the settings name {wanted}"
        self._open[address] = _Open(number, line)
        self._note("started", address, seconds)
        return None

    def _values(
        self, said: bytes, line: Line, address: str, with_crc: re.Match[bytes] | None, data: re.Match[bytes] | None
    ) -> Row | Complaint | None:
        begun = self._open.get(address)
        if begun is None:
            return "unexpected", f"values of sensor {address!r} without a measurement that began"
        wanted = self._wanted[begun.number]
        if wanted.has_crc:
            if with_crc is None:
                return "checksum", f"values of sensor {address!r} without the CRC that was asked for"
            if crc(with_crc[1]) != with_crc[4]:
                return (
                    "checksum",
                    f"the CRC is {with_crc[4].decode('latin-1')}, and {crc(with_crc[1]).decode('latin-1')} is right",
                )
            printed = with_crc[3]
        elif data is None:
            return "syntax", f"values of sensor {address!r} with something behind them: damaged"
        else:
            printed = data[2]
        values = _EACH.findall(printed)
        if not values:
            self._note("ack", address)
            return None
        begun.values += values
        begun.first = begun.first or line
        if len(begun.values) < len(wanted.parameters):
            self._note("page", address)
            return None
        del self._open[address]
        if len(begun.values) > len(wanted.parameters):
            return (
                "count",
                f"sensor {address!r} gave {len(begun.values)} values and had announced {len(wanted.parameters)}",
            )
        self._note("complete", address)
        return Row(begun.number, tuple(begun.values), begun.first)

    def _note(self, what: str, address: str, seconds: int = 0) -> None:
        if self._step is not None:
            self._heard.append(_Heard(what, address, seconds))

    def _is_whole(self, data: bytes) -> bool:
        return not data.strip(b"\x00")

    def _end(self) -> None:
        for begun in self._open.values():
            if begun.first is not None:
                self._refuse("truncated", "the stream ended within the values of a measurement", begun.first)

    def _convert(self, rows: Sequence[Row]) -> Samples:
        number = rows[0].form
        assert isinstance(number, int)
        wanted = self._wanted[number]
        printed = np.array([row.values for row in rows]).astype(np.float64)
        spoilt = np.zeros(len(rows), np.bool_)
        columns: dict[str, Column] = {}
        reasons: dict[str, Reasons] = {}
        fields = wanted.schema.by_name
        for i, quantity in enumerate(wanted.parameters):
            if quantity is None:
                continue
            f = fields[quantity.parameter]
            factor, offset = quantity.linear()
            values = printed[:, i] * factor + offset
            missing = np.where(np.isin(printed[:, i], quantity.invalid), np.uint8(Missing.INVALID), np.uint8(0))
            if f.integer:
                missing[(missing == 0) & (values != np.rint(values))] = Missing.UNREADABLE
                whole = np.where(missing == 0, values, 0.0).astype(np.int64)
                columns[f.name] = np.where(missing == 0, whole, MISSING_INT)
            else:
                columns[f.name] = np.where(missing == 0, np.round(values, f.decimals), np.nan)
            reasons[f.name] = missing
            if wanted.status is not None and wanted.status.parameter == quantity.parameter:
                spoilt = ~np.isin(printed[:, i], wanted.status.good)
        if wanted.status is not None:
            for name, column in columns.items():
                if name != wanted.status.parameter:
                    columns[name] = np.where(spoilt, MISSING_INT if fields[name].integer else np.nan, column)
                    reasons[name][spoilt] = Missing.INVALID
        return Samples(wanted.schema, None, columns, {n: codes for n, codes in reasons.items() if codes.any()})

    # --- what is said

    def start(self) -> bytes:
        """Nothing; the conversation begins anew, and asks the sensors first who they are."""
        self._hang_up()
        self._identities.clear()
        return b""

    def poll(self) -> bytes:
        """The first command of a round over all sensors, which `turn` goes on with. Empty while one is going on."""
        if self._step is not None or self._to_fetch:
            return b""
        numbers = range(len(self._wanted))
        strangers = {self._wanted[i].address: i for i in numbers if self._wanted[i].address not in self._identities}
        in_order = sorted(numbers, key=lambda i: not self._wanted[i].concurrent)
        # Who a sensor is, is asked once a round until it tells: not all do.
        self._to_start = [_Step(i, "identify", 0) for i in strangers.values()]
        self._to_start += [_Step(i, "start", self._retries) for i in in_order]
        return self._next(self._to_start.pop(0))

    def turn(self, now_ns: int) -> Turn:
        """Goes on with the round: asks for what is ready, and again for what failed."""
        problems: list[Problem] = []
        data = b""
        heard, self._heard = self._heard, []
        for answer in heard:
            data = self._hear(answer, now_ns, problems) or data
        step = self._step
        if step is not None:
            if step.deadline_ns is None or (self._talked and step.what != "measure"):
                step.deadline_ns = now_ns + self._timeout_ns
            elif now_ns >= step.deadline_ns and not data:
                data = self._waited(step, now_ns, problems)
        self._talked = False
        if self._step is None:
            data = self._go_on(now_ns) or data
        if self._step is not None and self._step.deadline_ns is None:
            self._step.deadline_ns = now_ns + self._timeout_ns
        again_ns = (
            self._step.deadline_ns if self._step is not None else min((at for at, _ in self._to_fetch), default=None)
        )
        return Turn(data, again_ns, problems)

    def _next(self, step: _Step) -> bytes:
        """Makes this the step that is being done; its command."""
        self._step, step.deadline_ns = step, None
        wanted = self._wanted[step.number]
        command = {"identify": "I", "start": wanted.measurement, "fetch": f"D{step.page}"}[step.what]
        return f"{wanted.address}{command}!{self._terminator}".encode("ascii")

    def _go_on(self, now_ns: int) -> bytes:
        """The command of whatever may be done now."""
        # Another measurement of the same sensor would break off the one whose values are still to be fetched.
        pending = {self._wanted[step.number].address for _, step in self._to_fetch}
        for step in self._to_start:
            if self._wanted[step.number].address not in pending:
                self._to_start.remove(step)
                return self._next(step)
        ready = min(self._to_fetch, key=lambda waiting: waiting[0], default=None)
        if ready is None or now_ns < ready[0]:
            return b""
        self._to_fetch.remove(ready)
        return self._next(ready[1])

    def _hear(self, answer: _Heard, now_ns: int, problems: list[Problem]) -> bytes:
        """What an answer brings forth."""
        step = self._step
        if step is None:
            return b""
        wanted = self._wanted[step.number]
        mine = answer.address == wanted.address
        if answer.what == "bad":
            return self._again(step, problems, anew=False)
        if not mine:
            return b""
        if step.what == "identify":
            self._step = None
        elif answer.what in ("wrong", "none"):
            self._step = None  # told already, and no retry would better it
        elif step.what == "start" and answer.what == "started":
            return self._measuring(step, answer.seconds, now_ns)
        elif step.what == "measure" and answer.what == "ack":
            return self._next(_Step(step.number, "fetch", step.tries))
        elif step.what == "fetch" and answer.what == "complete":
            self._step = None
        elif step.what == "fetch" and answer.what == "page":
            step.page += 1
            return self._next(step) if step.page < _PAGES else self._again(step, problems, anew=True)
        elif step.what == "fetch" and answer.what == "ack":
            return self._again(step, problems, anew=True, silent=False)
        return b""

    def _measuring(self, step: _Step, seconds: int, now_ns: int) -> bytes:
        fetch = _Step(step.number, "fetch", step.tries)
        ready_ns = now_ns + seconds * 1_000_000_000
        if self._wanted[step.number].concurrent:
            self._step = None
            self._to_fetch.append((ready_ns, fetch))
            return b""
        if not seconds:
            return self._next(fetch)
        self._step = _Step(step.number, "measure", step.tries, deadline_ns=ready_ns)
        return b""

    def _waited(self, step: _Step, now_ns: int, problems: list[Problem]) -> bytes:
        """The time for an answer is over."""
        if step.what == "measure":  # some never say that they are ready
            return self._next(_Step(step.number, "fetch", step.tries))
        if step.what == "identify":
            self._step = None
            return b""
        return self._again(step, problems, anew=True)

    def _again(self, step: _Step, problems: list[Problem], *, anew: bool, silent: bool = True) -> bytes:
        """Asks once more, for the same or, where an answer may still come, for a measurement of its own."""
        wanted = self._wanted[step.number]
        if step.what == "measure":
            return b""
        if step.tries > 0 and step.what != "identify":
            what, page = ("start", 0) if anew else (step.what, step.page)
            return self._next(_Step(step.number, what, step.tries - 1, page))
        self._step = None
        if step.what != "identify":
            self._open.pop(wanted.address, None)
            kind = "no_answer" if silent else "no_data"
            message = (
                f"sensor {wanted.address!r} did not answer {wanted.measurement} in {1 + self._retries} tries"
                if silent
                else f"sensor {wanted.address!r} has no values for {wanted.measurement} in {1 + self._retries} tries"
            )
            problems.append(problem(kind, message, self._fed, b""))
        return b""

    @classmethod
    def hail(cls) -> bytes:
        """`?!`, to which the sensor answers where it is the only one on the bus."""
        return b"?!"
