"""NMEA 0183 sentences: GNSS receivers, gyro compasses, echo sounders, logs and anemometers of ships.

Theory of operation. A sentence is `$` (or `!`), an address of talker and type, fields between commas, `*` and the
exclusive-or of the bytes between as two hexadecimal digits, then CR LF. A sentence begins at `$` or `!` wherever
that stands and ends at the next of `$ ! CR LF`, so one that is cut or glued harms no other. All sentences of a block
of bytes are read at once (`drivers.nmea.sentences`); each type of sentence takes its columns and its time
(`drivers.nmea.types`, and `drivers.nmea.transducers` for XDR).

Time. GGA, GNS, GLL, RMC, ZDA and PASHR carry the time of day; RMC and ZDA also the date (`drivers.nmea.clock`). A
receiver without a fix gives neither time nor position. A week number that rolled over is corrected where the arrival
is trusted, and reported once as `week_rollover`; an arrival is trusted if its clock was disciplined or a logger's
(known, of no boot). Everything else has its arrival's time.

Each type has a schema of its own kind, so that what two sentences say of one fix is never mixed up.

Magnetic courses and second copies of a value in other units are left to the raw log. Sentences of other types with a
right checksum are reported as `unknown` once for each type. Within one `feed` the samples of a type form one Frame,
which stands in the list where its first sample stood in the stream.

Sources: IEC 61162-1 / NMEA 0183 as documented by receiver manuals; checked against recordings decoded by others.
"""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from itertools import pairwise
from operator import itemgetter
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field as Setting
from pydantic import field_validator

from drivers.arrivals import Arrivals, Pieces
from drivers.driver import Decoded, Driver, DriverSettings, problem
from drivers.nmea.clock import Clock
from drivers.nmea.sentences import LONGEST, NO_DAY, OVERLONG, Block, Bools, Good, Ints, Rows, Trail, own, where
from drivers.nmea.transducers import IGNORE, XDR, Transducers
from drivers.nmea.types import BARE, FAMILIES, TYPES, Layout, Said, Type
from tidegate.clock import NAT, Arrival, TimeSource
from tidegate.frame import MISSING_INT, Column, Frame, Missing, Reasons, Schema
from tidegate.vocabulary import PARAMETERS, parameter

_STANDARD = re.compile(rb"[A-OQ-Z0-9][A-Z0-9]{4}")
_ADDRESS = re.compile(rb"[A-Z0-9]{3,16}")
_FAMILIES = {own(address): kinds for address, kinds in FAMILIES.items()}

_BLOCK = 1 << 18
_MOST_REPORTED = 1000
_NONE = np.zeros(0, np.int64)
_NOWHERE = Trail(_NONE, Arrivals.stamped(_NONE), _NONE, _NONE)


class Settings(DriverSettings):
    """How to take the sentences of one port."""

    checksum: Literal["required", "optional"] = Setting(
        "required", description='"optional" takes sentences without a checksum too; a wrong one is always refused'
    )
    correct_week_rollover: bool = Setting(
        True, description="move dates that are off by a multiple of 1024 weeks from a trusted arrival"
    )
    transducers: dict[str, str] = Setting(default_factory=dict)
    """What the transducers of XDR sentences measure: their id, or `type:id`, and the parameter's name, or `ignore`."""

    @field_validator("transducers")
    @classmethod
    def _parameters_are_known(cls, transducers: dict[str, str]) -> dict[str, str]:
        for name, wanted in transducers.items():
            if wanted != IGNORE and wanted not in PARAMETERS:
                near = ", ".join(get_close_matches(wanted, PARAMETERS, n=3)) or f'"{IGNORE}"'
                raise ValueError(f"{name}: no parameter is called {wanted!r}; did you mean {near}?")
        return transducers


class _Part(NamedTuple):
    """The sentences of one type in a block; `good` where every field has the type's form."""

    kind: Type
    said: Said
    token: Ints
    good: Bools


class Nmea0183(Driver):
    """Decodes NMEA 0183."""

    manufacturer: ClassVar[str] = "NMEA 0183"
    models: ClassVar[tuple[str, ...]] = (
        "GNSS receiver",
        "gyro compass",
        "motion sensor",
        "echo sounder",
        "speed log",
        "anemometer",
        "weather station",
    )
    title: ClassVar[str] = "Ship's sentences: position, heading, motion, depth, speed, wind, weather"
    lines: ClassVar[tuple[str, ...]] = ("4800 8N1", "9600 8N1", "38400 8N1", "115200 8N1")
    problems: ClassVar[Mapping[str, str]] = {
        "checksum": "a damaged sentence, or one of a device that sends no checksums: look at the wiring and the baud "
        'rate; if no sentence has one, set checksum = "optional"',
        "syntax": "a sentence whose fields are not those of its type: the device prints another version of it, or "
        "(where there is no checksum) it is damaged",
        "truncated": "a sentence that is cut off, usually because the device or the line was interrupted",
        "noise": "bytes that are no sentence: another baud rate or parity, or a device that does not speak NMEA 0183",
        "implausible": "a number that cannot be; it was left out: look at the sensor",
        "unknown": "a type of sentence or a transducer that is not decoded, told once for each: name transducers in "
        "the settings; of other types nothing is missing but what they say",
        "week_rollover": "the receiver's date was off by a multiple of 1024 weeks and is corrected: old firmware",
    }
    Settings: ClassVar[type[DriverSettings]] = Settings

    def __init__(self, instrument: str, settings: DriverSettings | None = None) -> None:
        super().__init__(instrument, settings)
        assert isinstance(self.settings, Settings)
        self._optional = self.settings.checksum == "optional"
        self._correct_rollover = self.settings.correct_week_rollover
        self._transducers = Transducers(self.settings.transducers)
        self._seen: dict[bytes, Schema] = {}
        self._offset = 0  # of the first pending byte
        self._renew()

    def _renew(self) -> None:
        self._pending = b""
        self._dropping = False  # inside a sentence given up as overlong, until it ends
        self._trail = _NOWHERE
        self._clock = Clock(self._correct_rollover)
        self._reported: set[bytes] = set()

    @classmethod
    def guesses(cls) -> Sequence[DriverSettings]:
        return [Settings.model_validate(given) for given in ({}, {"checksum": "optional"})]

    def schemas(self) -> Sequence[Schema]:
        """Those of the sentences seen so far."""
        return tuple(self._seen.values())

    def feed(self, data: bytes, at: Arrival) -> list[Decoded]:
        return self.feed_all([(data, at)])

    def feed_all(self, pieces: Sequence[tuple[bytes, Arrival]]) -> list[Decoded]:
        return [item for block in Pieces.of(pieces).blocks(_BLOCK) for item in self._feed(block)]

    def finish(self) -> list[Decoded]:
        block, self._pending = self._pending, b""
        out = self._decode(block) if block else []
        self._offset += len(block)
        self._renew()
        return out

    # --- cutting the stream

    def _feed(self, pieces: Pieces) -> list[Decoded]:
        data, begun = pieces.data, len(self._pending)
        self._trail = self._trail.then(pieces.starts + (self._offset + begun), pieces.arrivals)
        # What is pending has no end and no second beginning in it: only the new bytes can hold one.
        end = max(data.rfind(b"\n") + 1, data.rfind(b"\r") + 1, data.rfind(b"$"), data.rfind(b"!"))
        ended = end > 0 or data[:1] in (b"$", b"!")
        buffer = self._pending + data
        cut = begun + end if ended else 0
        out = self._decode(buffer[:cut]) if cut else []
        self._dropping = self._dropping and not ended
        self._pending = buffer[cut:]
        self._offset += cut
        if self._dropping or len(self._pending) > LONGEST:
            if not self._dropping:
                given_up = self._pending[:LONGEST]
                at = self._trail.since(self._offset).arrivals[0]
                out.append(problem("noise", OVERLONG, self._offset, given_up, at))
            self._dropping = True
            self._offset += len(self._pending)
            self._pending = b""
        self._trail = self._trail.since(self._offset)
        return out

    # --- decoding a block

    def _decode(self, data: bytes) -> list[Decoded]:
        """`data` ends where a sentence does."""
        block = Block(data, self._offset, self._trail, self._dropping)
        parts = self._read(block, block.judge(self._optional, BARE))
        utc = self._times(block, parts)
        found: list[tuple[int, Decoded]] = []
        for part in parts:
            for variant, layout in enumerate(part.kind.layouts):
                chosen = part.good if part.said.variant is None else part.good & (part.said.variant == variant)
                if chosen.any():
                    found += self._frames(block, part, layout, where(chosen), utc)
        out = sorted([*block.problems, *found], key=itemgetter(0))
        return [item for _, item in out]

    def _read(self, block: Block, good: Good) -> list[_Part]:
        parts: list[_Part] = []
        for key in set(good.key.tolist()):
            these = where(good.key == key)
            if key in TYPES:
                parts.append(self._part(block, good, TYPES[key], these))
            elif key == XDR:
                parts += self._transducer_parts(block, good, these)
            elif key in _FAMILIES:
                parts += self._family_parts(block, good, _FAMILIES[key], these)
            else:
                for i in these.tolist():
                    self._report_unknown(block, good, i)
        return parts

    def _part(self, block: Block, good: Good, kind: Type, these: Ints) -> _Part:
        """The sentences `these` as what their type says."""
        least, most = kind.counts
        first, size = good.first[these], good.size[these]
        # Some devices end every sentence with a comma.
        ended = (size == most + 1) & ~good.fields.given[first + size - 1]
        counted = (size >= least) & ((size <= most) | ended)
        for i in where(~counted).tolist():
            fields = f"{least} to {most}" if least < most else str(most)
            message = f"{kind.name} with {size[i]} fields, not {fields}"
            block.refuse("syntax", message, int(good.token[these[i]]))
        rows = Rows(block, good.fields, first[counted], size[counted])
        said, token = kind.read(rows), good.token[these[counted]]
        for i in where(rows.bad > 0).tolist():
            k = int(rows.bad[i])
            message = f"field {k} of {kind.name} is {rows.text(i, k)!r}, which that field cannot be"
            block.refuse("syntax", message, int(token[i]))
        return _Part(kind, said, token, rows.bad == 0)

    def _transducer_parts(self, block: Block, good: Good, these: Ints) -> list[_Part]:
        lists: dict[int, tuple[Type, list[int]]] = {}
        for i in these.tolist():
            begin, token = int(good.address_end[i]), int(good.token[i])
            if not good.size[i]:
                block.refuse("syntax", "XDR without fields", token)
                continue
            last = int(good.first[i] + good.size[i]) - 1
            talker = block.text[begin - 5 : begin - 3]
            found = self._transducers.of(talker, block.text[begin + 1 : int(good.fields.end[last])])
            for label, message in found.unknown:
                if self._is_new(b"XDR " + label.encode()):
                    block.refuse("unknown", f"{message} (reported once)", token)
            if found.kind is not None:
                lists.setdefault(id(found.kind), (found.kind, []))[1].append(i)
        return [self._part(block, good, kind, np.array(which)) for kind, which in lists.values()]

    def _family_parts(self, block: Block, good: Good, family: Mapping[bytes, Type], these: Ints) -> list[_Part]:
        fields, text = good.fields, block.text
        sorts: dict[bytes, list[int]] = {}
        for i in these.tolist():
            at = int(good.first[i])
            first = text[int(fields.start[at]) : int(fields.end[at])] if good.size[i] else b""
            sort = b"" if b"" in family and (not first or first[:1] in b"+-.0123456789") else first
            if sort in family:
                sorts.setdefault(sort, []).append(i)
            else:
                self._report_unknown(block, good, i, b"," + sort)
        return [self._part(block, good, family[sort], np.array(which)) for sort, which in sorts.items()]

    def _is_new(self, name: bytes) -> bool:
        """Whether this was not reported before."""
        if name in self._reported:
            return False
        if len(self._reported) > _MOST_REPORTED:
            self._reported.clear()
        self._reported.add(name)
        return True

    def _report_unknown(self, block: Block, good: Good, i: int, sort: bytes = b"") -> None:
        token = int(good.token[i])
        address = block.text[block.start[token] + 1 : good.address_end[i]]
        name = (address[2:] if _STANDARD.fullmatch(address) else address) + sort
        if not _ADDRESS.fullmatch(address):
            block.refuse("syntax", f"{address.decode('latin-1')!r} is not an address of talker and type", token)
        elif self._is_new(name):
            message = f"sentences of type {name.decode('latin-1')} are not decoded (reported once)"
            block.refuse("unknown", message, token)

    def _times(self, block: Block, parts: list[_Part]) -> Ints:
        """UTC of each token by the receiver, NAT where it gives none."""
        n = len(block.start)
        utc = np.full(n, NAT, np.int64)
        timed = [part for part in parts if part.said.time_of_day_ns is not None]
        if not timed:
            return utc
        time_of_day, day, marks = np.full(n, -1, np.int64), np.full(n, NO_DAY, np.int64), np.full(n, -1, np.int64)
        for part in timed:
            said, token = part.said, part.token[part.good]
            if said.time_of_day_ns is not None:
                time_of_day[token] = said.time_of_day_ns[part.good]
            if said.day is not None:
                day[token] = said.day[part.good]
            if said.valid is not None:
                marks[token] = said.valid[part.good]
        trusted, void = self._clock.trust(marks)
        told = where(trusted & (time_of_day >= 0))
        ticks, clocks = block.trail.ticks_ns, block.trail.arrivals.trusted_ns()
        for i, run in enumerate([told] if void < 0 else [told[told < void], told[told > void]]):
            if i:
                self._clock.forget()
            if len(run):
                place = block.place[run]
                utc[run], changes = self._clock.follow(time_of_day[run], day[run], ticks[place], clocks[place])
                self._report_rollover(block, [(int(run[j]), rollovers) for j, rollovers in changes])
        return utc

    def _report_rollover(self, block: Block, changes: list[tuple[int, int]]) -> None:
        for token, rollovers in changes:
            if rollovers:
                message = f"the receiver's date is off by {-1024 * rollovers} weeks: its week number has rolled over; "
                message += "corrected (reported once)"
            else:
                message = "the receiver's date is right again and no longer corrected"
            block.refuse("week_rollover", message, token)

    def _frames(self, block: Block, part: _Part, layout: Layout, rows: Ints, utc: Ints) -> list[tuple[int, Decoded]]:
        """Sentences of one type and schema as Frames, each with the offset of its first sample."""
        self._seen.setdefault(layout.schema.id, layout.schema)
        columns, reasons = self._columns(block, part, layout, rows)
        token = part.token[rows]
        time, place = utc[token], block.place[token]
        told = time != NAT
        if not told.all():
            time = np.where(told, time, block.trail.arrivals.utc_ns[place])
        # Samples of another source of time, or of arrivals that do not go on from the ones before, begin a new Frame.
        kinds = block.trail.group[place] * 2 + told
        cuts = [0, *(where(np.diff(kinds) != 0) + 1).tolist(), len(rows)]
        frames: list[tuple[int, Decoded]] = []
        for begin, end in pairwise(cuts):
            run = slice(begin, end)
            frame = Frame(
                self.instrument,
                layout.schema,
                time[run],
                {name: column[run] for name, column in columns.items()},
                TimeSource.NMEA if told[begin] else TimeSource.ARRIVAL,
                block.arrival(int(token[begin])),
                {name: codes[run] for name, codes in reasons.items()},
            )
            frames.append((block.offset(int(token[begin])), frame))
        return frames

    def _columns(
        self, block: Block, part: _Part, layout: Layout, rows: Ints
    ) -> tuple[dict[str, Column], dict[str, Reasons]]:
        values = np.array([part.said.columns[name] for name in layout.names])[:, rows]
        codes = np.isnan(values) * np.uint8(Missing.NOT_GIVEN)
        if part.said.valid is not None:
            void = ~part.said.valid[rows]
            if void.any():
                guarded = [name not in part.said.spared for name in layout.names]
                codes[np.outer(guarded, void)] = Missing.INVALID
        for j, name in enumerate(layout.names):
            if name in part.said.void:
                codes[j, part.said.void[name][rows] & ~np.isnan(values[j])] = Missing.INVALID
        wild = (codes == 0) & ((values < layout.low) | (values > layout.high))
        if wild.any():
            for j, i in np.argwhere(wild).tolist():
                p = parameter(layout.names[j])
                message = f"{part.kind.name}: {p.label} {values[j, i]:g} {p.unit} cannot be (possible are "
                message += f"{p.plausible[0]:g} to {p.plausible[1]:g}): left out"
                block.refuse("implausible", message, int(part.token[rows[i]]))
            codes[wild] = Missing.IMPLAUSIBLE
        values = np.rint(values * layout.steps) / layout.steps
        if codes.any():
            values[codes > 0] = np.nan
        columns: dict[str, Column] = {}
        for name, integer, column, missing in zip(layout.names, layout.integer, values, codes, strict=True):
            if integer:
                present = missing == 0
                columns[name] = np.where(present, np.where(present, column, 0.0).astype(np.int64), MISSING_INT)
            else:
                columns[name] = column
        reasons = {name: codes[j] for j, name in enumerate(layout.names) if codes[j].any()}
        return columns, reasons
