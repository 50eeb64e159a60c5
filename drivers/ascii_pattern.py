"""Any instrument that speaks in lines of ASCII, told of by a pattern: one of `drivers/patterns`, or one's own.

Theory of operation. The pattern (`drivers.pattern`) is compiled to one regular expression for each way a line may be
written. All lines of a feed are tried together, way by way; what the groups captured goes to columns by arrays. A line
that fits no way and is not declared as known talk is refused as `syntax`: without a checksum the grammar is all there
is to tell a good record from a damaged one, so it is strict, and the parameter's plausible range is the second guard.

Each record has a schema of its own kind. Within one feed its samples form one Frame, which stands in the list where
its first sample stood in the stream. A record that carries date and time has the instrument's time (its clock taken as
UTC unless the pattern or the settings say otherwise), any other that of its arrival.
"""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field as Setting
from pydantic import ValidationError, field_validator, model_validator

from drivers.arrivals import Arrivals
from drivers.checksums import crc16_ccitt, crc16_modbus, exclusive_ors, sums
from drivers.driver import Decoded, Driver, DriverSettings, Problem, problem
from drivers.lines import Block, Lines
from drivers.pattern import MONTHS, Checksum, Coefficients, FieldSpec, Form, Pattern, Resolved, mistakes
from tidegate.clock import NAT, Arrival, TimeSource
from tidegate.frame import MISSING_INT, Column, Field, Frame, Missing, Reasons, Schema
from tidegate.settings import ReadableFile
from tidegate.vocabulary import PARAMETERS

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# --- settings ---------------------------------------------------------------------------------------------------------


def shipped() -> list[str]:
    """The names of the patterns that come with Tidegate."""
    there = files("drivers.patterns").iterdir()
    return sorted(path.name.removesuffix(".toml") for path in there if path.name.endswith(".toml"))


@cache
def shipped_pattern(name: str) -> Pattern:
    """The shipped pattern of that name."""
    return Pattern.model_validate(tomllib.loads((files("drivers.patterns") / f"{name}.toml").read_text("utf-8")))


class Settings(DriverSettings):
    """What the instrument says: a shipped pattern by its name, one in a file, or one written right here."""

    pattern: str | Pattern | None = Setting(None, description="a shipped pattern's name, or a pattern as a table")
    pattern_file: ReadableFile | None = Setting(None, description="a TOML file with a pattern, instead")
    columns: tuple[str, ...] = Setting((), description="what stands in `{columns}`, where the pattern has that place")
    separator: str | None = Setting(None, description='between these columns: ",", ";", "tab" or "space"')
    fields: Mapping[str, FieldSpec] = Setting(
        default_factory=dict, description="fields of one's own for the columns, or instead of the pattern's"
    )
    coefficients: Mapping[str, Coefficients] = Setting(
        default_factory=dict, description="of the fields that give counts: scale and dark from the calibration sheet"
    )
    clock: Literal["instrument", "arrival"] | None = Setting(None, description="whose time a sample has")
    utc_offset_h: float | None = Setting(None, ge=-14, le=14, description="what the instrument's clock is ahead of UTC")

    @field_validator("pattern", mode="before")
    @classmethod
    def _table(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        try:
            return Pattern.model_validate(value)
        except ValidationError as error:
            raise ValueError(mistakes(error)) from None

    @model_validator(mode="after")
    def _one_pattern(self) -> Self:
        if (self.pattern is None) == (self.pattern_file is None):
            raise ValueError(
                f'give either pattern = "…" (one of {", ".join(shipped())}) or a table, or pattern_file = "…"'
            )
        if isinstance(self.pattern, str) and self.pattern not in shipped():
            near = get_close_matches(self.pattern, shipped(), 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"no pattern is called {self.pattern!r}; {hint}shipped are: {', '.join(shipped())}")
        self.resolved()
        return self

    def resolved(self) -> Resolved:
        """The pattern with this instrument's own settings in it. Raises ValueError with what is wrong where."""
        if isinstance(self.pattern, Pattern):
            pattern, where = self.pattern, "pattern"
        elif isinstance(self.pattern, str):
            pattern, where = shipped_pattern(self.pattern), f"pattern {self.pattern!r}"
        else:
            pattern, where = _pattern_of_file(self.pattern_file or Path()), str(self.pattern_file)
        own = {
            key: value for key in ("separator", "clock", "utc_offset_h") if (value := getattr(self, key)) is not None
        }
        given = {key: getattr(pattern, key) for key in pattern.model_fields_set}
        try:
            whole = Pattern.model_validate({**given, **own, "fields": {**pattern.fields, **self.fields}})
        except ValidationError as error:
            raise ValueError(f"{where}: {mistakes(error)}") from None
        try:
            return Resolved(whole, self.columns, self.coefficients)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None


def _pattern_of_file(path: Path) -> Pattern:
    try:
        return Pattern.model_validate(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise ValueError(f"pattern_file {path}: {error.strerror or error}") from None
    except ValidationError as error:
        raise ValueError(f"pattern_file {path}: {mistakes(error)}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"pattern_file {path}: not TOML: {error}") from None


# --- checksums --------------------------------------------------------------------------------------------------------


def _computed(checksum: Checksum, covered: Sequence[bytes]) -> Ints:
    """The checksum of each of `covered` as the instrument must print it."""
    if checksum.kind == "xor":
        return exclusive_ors(covered)
    if checksum.kind == "crc16_modbus":
        return crc16_modbus(covered)
    if checksum.kind == "crc16_ccitt":
        return np.array([crc16_ccitt(c) for c in covered], np.int64)
    total = sums(covered)
    if checksum.kind == "negative_sum":
        total = -total
    modulo = checksum.modulo or (256 if checksum.written == "hex" or checksum.kind == "negative_sum" else None)
    return total % modulo if modulo else total


# --- texts to columns -------------------------------------------------------------------------------------------------

Texts = Sequence[bytes | None]


class _Reader:
    """Reads one field's texts: (values, reasons); values are as printed, NaN where missing."""

    def __init__(self, resolved: Resolved, name: str) -> None:
        spec = resolved.spec(name, "")
        marks = resolved.missing(name)
        self._plain = frozenset(mark.encode("latin-1") for mark in marks if "#" not in mark)
        # Marks that read as numbers (-99.9, NaN) must be looked for; the others make `float` fail.
        self._look = any(_is_number(mark) for mark in self._plain) or any("#" in mark for mark in marks)
        self._choices = {word.encode("latin-1"): float(n) for word, n in (spec.choices or {}).items()}
        self._hexadecimal = spec.hexadecimal
        self._number: Callable[[bytes], float] = (
            self._chosen if self._choices else _hexadecimal if self._hexadecimal else float
        )

    def _chosen(self, word: bytes) -> float:
        return self._choices[word if word in self._choices else b"*"]

    def read(self, texts: Texts) -> tuple[Floats, Reasons | None]:
        """Values (n,) and reasons (n,), or None where none is missing."""
        if not any(texts):
            return np.full(len(texts), np.nan), np.full(len(texts), Missing.NOT_GIVEN, np.uint8)
        if not self._look or not self._plain.intersection(texts):
            try:
                return np.array(list(map(self._number, texts)), np.float64), None  # type: ignore[arg-type]  # None: TypeError
            except (ValueError, TypeError, KeyError):
                pass
        return self._read_marked(texts)

    def _read_marked(self, texts: Texts) -> tuple[Floats, Reasons]:
        values = np.full(len(texts), np.nan)
        reasons = np.zeros(len(texts), np.uint8)
        known: dict[bytes | None, tuple[float, int]] = {
            None: (np.nan, Missing.NOT_GIVEN),
            b"": (np.nan, Missing.NOT_GIVEN),
        }
        for i, text in enumerate(texts):
            got = known.get(text)
            if got is None and text is not None:
                got = known[text] = self._one(text)
            if got is not None:
                values[i], reasons[i] = got
        return values, reasons

    def _one(self, text: bytes) -> tuple[float, int]:
        if text in self._plain:
            return np.nan, Missing.INVALID
        try:
            return self._number(text), 0
        except (ValueError, KeyError):  # only a mark with digits fits the grammar and is no number
            return np.nan, Missing.INVALID


def _is_number(mark: bytes) -> bool:
    try:
        float(mark)
    except ValueError:
        return False
    return True


def _hexadecimal(text: bytes) -> float:
    return float(int(text, 16))


_MONTHS = {name.encode(): i for i, name in enumerate(MONTHS, 1)}
_DAY_NS = 86_400_000_000_000
_NS = 1_000_000_000


def _ints(texts: Sequence[bytes]) -> Ints:
    if texts.count(texts[0]) == len(texts):  # as most parts of the dates of one feed
        return np.full(len(texts), int(texts[0]), np.int64)
    return np.fromiter(map(int, texts), np.int64, len(texts))


def _fraction_ns(text: bytes | None) -> int:
    return int((text or b"").ljust(9, b"0"))


def _seconds_ns(text: bytes) -> int:
    whole, _, fraction = text.partition(b".")
    return int(whole) * _NS + _fraction_ns(fraction)


def _days(given: Mapping[str, Sequence[bytes]]) -> Ints:
    """Days since 1970 of date columns; `NAT` where no calendar has such a day."""
    if "Y" in given:
        year = _ints(given["Y"])
    else:
        short = _ints(given["y"])
        year = short + np.where(short < 70, 2000, 1900)
    first = (year - 1970).astype("M8[Y]")
    if "j" in given or "J" in given:
        of_year = _ints(given["j"] if "j" in given else [text.partition(b".")[0] for text in given["J"]])
        leap = ((first + 1).astype("M8[D]") - first.astype("M8[D]")).astype(np.int64)
        days = first.astype("M8[D]").astype(np.int64) + of_year - 1
        return np.where((of_year >= 1) & (of_year <= leap), days, NAT)
    if "b" in given:
        month = np.fromiter(map(_MONTHS.__getitem__, given["b"]), np.int64, len(year))
    else:
        month = _ints(given["m"])
    months = first.astype("M8[M]") + (month - 1)
    day = _ints(given["d"])
    length = ((months + 1).astype("M8[D]") - months.astype("M8[D]")).astype(np.int64)
    return np.where(day <= length, months.astype("M8[D]").astype(np.int64) + day - 1, NAT)


def _times_ns(given: Mapping[str, Sequence[bytes]], ahead_ns: int) -> Ints:
    """UTC of the parts that records print, by directive; `NAT` where there is no such day."""
    if "E" in given or "K" in given:
        texts = given["E"] if "E" in given else given["K"]
        since = np.fromiter(map(_seconds_ns, texts), np.int64, len(texts))
        return since + (0 if "E" in given else 946_684_800 * _NS) - ahead_ns
    days = _days(given)
    within = np.zeros(len(days), np.int64)
    if "J" in given:
        parts = [text.partition(b".")[2] for text in given["J"]]
        within += np.fromiter((round(int(p) * _DAY_NS / 10 ** len(p)) for p in parts), np.int64, len(parts))
    for directive, unit_ns in (("H", 3600 * _NS), ("M", 60 * _NS), ("S", _NS)):
        if directive in given:
            within += _ints(given[directive]) * unit_ns
    for directive in "fF":
        if directive in given:
            texts = given[directive]
            within += np.fromiter(map(_fraction_ns, texts), np.int64, len(texts))
    return np.where(days == NAT, NAT, np.where(days == NAT, 0, days) * _DAY_NS + within - ahead_ns)


# --- the driver -------------------------------------------------------------------------------------------------------


class _Matched(NamedTuple):
    """Lines that one form fits: which, and what each group captured in them."""

    form: Form
    lines: list[int]
    groups: list[tuple[bytes | None, ...]]


class AsciiPattern(Driver):
    """Reads the lines that a pattern tells of."""

    manufacturer: ClassVar[str] = "ASCII"
    models: ClassVar[tuple[str, ...]] = ("any with a pattern",)
    title: ClassVar[str] = "Lines of ASCII by a pattern: echo sounders, winches, weather, oxygen, fluorometers, loggers"
    Settings: ClassVar[type[DriverSettings]] = Settings
    lines: ClassVar[tuple[str, ...]] = ("9600 8N1", "19200 8N1", "4800 8N1")
    calibration: ClassVar[str] = (
        "`coefficients` of the settings: scale and dark of each sensor that gives counts, from its calibration sheet"
    )
    problems: ClassVar[Mapping[str, str]] = {
        "syntax": "a line fits no record of the pattern: damaged, another instrument's, or set up otherwise; compare "
        "it with the pattern, and declare harmless talk under `ignore`",
        "checksum": "the line's checksum is wrong: it was damaged on its way; check cable, ground and baud rate",
        "time": "the date in the line is in no calendar: damaged, or the instrument's clock was never set",
        "implausible": "a value cannot be real and was left out: a damaged digit, or a wrong unit or scale",
        "noise": "no end of line for long: check baud rate, parity and wiring",
        "truncated": "the stream ended within a line",
    }

    def __init__(self, instrument: str, settings: DriverSettings | None = None) -> None:
        if not isinstance(settings, Settings):
            raise ValueError(f"{instrument}: an ASCII instrument needs settings: pattern or pattern_file")
        super().__init__(instrument, settings)
        self.resolved = settings.resolved()
        self.pattern = self.resolved.pattern
        self._lines = Lines()
        self._records = [
            _Record(self.resolved, i, instrument, round(self.pattern.utc_offset_h * 3600) * _NS)
            for i in range(len(self.pattern.records))
        ]

    @classmethod
    def guesses(cls) -> Sequence[DriverSettings]:
        return [Settings.model_validate({"pattern": name}) for name in shipped() if shipped_pattern(name).unmistakable]

    def schemas(self) -> Sequence[Schema]:
        return [schema for schema, _ in self.resolved.schemas]

    def description(self) -> Mapping[str, Any]:
        told: dict[str, Any] = {"manufacturer": self.pattern.manufacturer}
        if self.pattern.models:
            told["model"] = ", ".join(self.pattern.models)
        if self.resolved.labels:
            told["labels"] = self.resolved.labels
        if self.resolved.coefficients:
            told["calibration"] = {name: c.model_dump() for name, c in self.resolved.coefficients.items()}
        return told

    def start(self) -> bytes:
        return self.pattern.start.encode("ascii")

    def poll(self) -> bytes:
        return self.pattern.poll.encode("ascii")

    def feed(self, data: bytes, at: Arrival) -> list[Decoded]:
        return self._decoded(self._lines.feed_blocks(data, at))

    def feed_all(self, pieces: Sequence[tuple[bytes, Arrival]]) -> list[Decoded]:
        return self._decoded(self._lines.feed_pieces(pieces))

    def finish(self) -> list[Decoded]:
        rest = self._lines.finish()
        if rest is None:
            return []
        return [problem("truncated", "the line was cut off", rest.offset, rest.data, rest.arrival)]

    def _decoded(self, parts: Sequence[Block | Problem]) -> list[Decoded]:
        out: list[Decoded] = []
        for part in parts:
            out += [part] if isinstance(part, Problem) else self._block(part)
        return out

    def _block(self, block: Block) -> list[Decoded]:
        text = block.data.replace(b"\r", b"\n")
        lines = text.split(b"\n")
        rest = [i for i, line in enumerate(lines) if line]
        said = len(rest)
        matched: list[list[_Matched]] = []
        for forms in self.resolved.forms:
            found: list[_Matched] = []
            for form in forms:
                if rest and (got := _fitting(form, text if len(rest) == said else None, lines, rest)):
                    found.append(got[0])
                    rest = got[1]
            matched.append(found)
        for form in self.resolved.ignored:
            rest = [i for i in rest if form.regex.fullmatch(lines[i]) is None]
        source = _Source(block, lines)
        items: list[tuple[int, Decoded]] = []
        for i in rest:
            items.append((i, source.problem("syntax", self._unfit, i)))
        for record, found in zip(self._records, matched, strict=True):
            if found:
                items += record.samples(found, source)
        items.sort(key=lambda item: item[0])
        return [item for _, item in items]

    @cached_property
    def _unfit(self) -> str:
        forms = [form.line for forms in self.resolved.forms for form in forms]
        more = f" or {len(forms) - 1} others" if len(forms) > 1 else ""
        return f"the line does not fit {forms[0]!r}{more}: damaged, or said by another instrument or setting"


def _fitting(form: Form, text: bytes | None, lines: list[bytes], tried: list[int]) -> tuple[_Matched, list[int]] | None:
    """The `tried` ones of the lines that a form fits, and the others; None where it fits none. `text` is all lines
    joined where all are tried."""
    if text is not None and all(map(form.regex.fullmatch, (lines[tried[0]], lines[tried[-1]]))):
        # Most often all lines are of one form: one search over the text is the fastest way to see that.
        groups = form.search.findall(text)
        if len(groups) == len(tried):
            return _Matched(form, tried, groups if form.search.groups > 1 else [(group,) for group in groups]), []
    fit = list(map(form.regex.fullmatch, [lines[i] for i in tried]))
    groups = [match.groups() for match in fit if match is not None]
    if not groups:
        return None
    rest = [i for i, match in zip(tried, fit, strict=True) if match is None] if len(groups) < len(tried) else []
    return _Matched(form, [i for i, match in zip(tried, fit, strict=True) if match is not None], groups), rest


class _Source:
    """The lines of a block, where they stood and when they came."""

    def __init__(self, block: Block, lines: list[bytes]) -> None:
        self._block, self.lines = block, lines

    @cached_property
    def offsets(self) -> Ints:
        lengths = np.fromiter(map(len, self.lines), np.int64, len(self.lines)) + 1
        return np.cumsum(lengths) - lengths + self._block.offset

    def arrivals(self, lines: Ints) -> Arrivals:
        return self._block.arrivals_of(self.offsets[lines].tolist())

    def problem(self, kind: str, message: str, line: int) -> Problem:
        offset = int(self.offsets[line])
        return problem(kind, message, offset, self.lines[line], self._block.arrival(offset))


class _Record:
    """Makes Frames of the lines of one record of the pattern."""

    def __init__(self, resolved: Resolved, number: int, instrument: str, ahead_ns: int) -> None:
        self._instrument, self._ahead_ns = instrument, ahead_ns
        self._checksum = resolved.pattern.records[number].checksum
        self._schema, self._fields = resolved.schemas[number]
        self._readers = {name: _Reader(resolved, name) for name in self._fields}
        self._linear = {name: resolved.linear(name) for name in self._fields}

    def samples(self, matched: Sequence[_Matched], source: _Source) -> list[tuple[int, Decoded]]:
        """Frames and problems, each with the number of the line where it stands."""
        items: list[tuple[int, Decoded]] = []
        parts = [part for found in matched if (part := self._part(found, source, items)) is not None]
        if not parts:
            return items
        lines = np.concatenate([part[0] for part in parts])
        order = np.argsort(lines, kind="stable")
        lines = lines[order]
        timed = np.concatenate([np.full(len(part[0]), part[1] is not None) for part in parts])[order]
        arrivals = source.arrivals(lines)
        times = np.concatenate([np.zeros(len(p[0]), np.int64) if p[1] is None else p[1] for p in parts])[order]
        times = np.where(timed, times, arrivals.utc_ns)
        columns: dict[str, Column] = {}
        reasons: dict[str, Reasons] = {}
        for name, field in self._fields.items():
            values = np.concatenate([part[2][name][0] for part in parts])[order]
            codes = np.concatenate([part[2][name][1] for part in parts])[order]
            columns[field.name] = self._column(name, field, values, codes, lines, source, items)
            if codes.any():
                reasons[field.name] = codes
        cut = np.flatnonzero(arrivals.breaks() | (timed[1:] != timed[:-1])) + 1
        for begin, end in zip([0, *cut.tolist()], [*cut.tolist(), len(lines)], strict=True):
            run = slice(begin, end)
            frame = Frame(
                self._instrument,
                self._schema,
                times[run],
                {name: column[run] for name, column in columns.items()},
                TimeSource.INSTRUMENT if timed[begin] else TimeSource.ARRIVAL,
                arrivals[begin],
                {name: codes[run] for name, codes in reasons.items()},
            )
            items.append((int(lines[begin]), frame))
        return items

    def _part(
        self, found: _Matched, source: _Source, items: list[tuple[int, Decoded]]
    ) -> tuple[Ints, Ints | None, dict[str, tuple[Floats, Reasons]]] | None:
        """(lines, times or None, (values, reasons) by field) of one form's lines; bad ones go to `items`."""
        form, numbers, groups = found
        if self._checksum is not None:
            good = self._checked(self._checksum, found)
            if not good.all():
                for i in np.flatnonzero(~good).tolist():
                    message = "the checksum does not fit the line"
                    items.append((numbers[i], source.problem("checksum", message, numbers[i])))
                kept = np.flatnonzero(good).tolist()
                numbers, groups = [numbers[i] for i in kept], [groups[i] for i in kept]
                if not kept:
                    return None
        texts = list(zip(*groups, strict=True))
        lines = np.array(numbers, np.int64)
        times: Ints | None = None
        if form.timed:
            parts: dict[str, Any] = {
                slot.name: column for slot, column in zip(form.slots, texts, strict=True) if slot.what == "time"
            }
            times = _times_ns(parts, self._ahead_ns)
        read: dict[str, tuple[Floats, Reasons]] = {}
        for name, field in self._fields.items():
            given = [
                column
                for slot, column in zip(form.slots, texts, strict=True)
                if slot.name == name and slot.what == "value"
            ]
            read[name] = self._read(name, field, given, len(lines))
        if times is not None and (times == NAT).any():
            for i in np.flatnonzero(times == NAT).tolist():
                items.append((numbers[i], source.problem("time", "no calendar has this date", numbers[i])))
            real = times != NAT
            lines, times = lines[real], times[real]
            read = {name: (values[real], codes[real]) for name, (values, codes) in read.items()}
            if not len(lines):
                return None
        return lines, times, read

    def _checked(self, checksum: Checksum, found: _Matched) -> npt.NDArray[np.bool_]:
        """Which lines have the checksum that they print."""
        texts = {slot.what: i for i, slot in enumerate(found.form.slots)}
        covered = [row[texts["covered"]] or b"" for row in found.groups]
        base = 16 if checksum.written == "hex" else 10
        printed = [_printed(row[texts["checksum"]] or b"", base) for row in found.groups]
        good: npt.NDArray[np.bool_] = _computed(checksum, covered) == np.array(printed, np.int64)
        return good

    def _read(self, name: str, field: Field, given: Sequence[Texts], n: int) -> tuple[Floats, Reasons]:
        width = self._schema.width(field)
        if not given:
            shape = (n, width) if field.profile else (n,)
            return np.full(shape, np.nan), np.full(shape, Missing.NOT_GIVEN, np.uint8)
        got = [self._readers[name].read(texts) for texts in given]
        codes = [np.zeros(n, np.uint8) if reasons is None else reasons for _, reasons in got]
        if not field.profile:
            return got[0][0], codes[0]
        return np.stack([values for values, _ in got], 1), np.stack(codes, 1)

    def _column(
        self,
        name: str,
        field: Field,
        values: Floats,
        codes: Reasons,
        lines: Ints,
        source: _Source,
        items: list[tuple[int, Decoded]],
    ) -> Column:
        """The column in the parameter's unit; implausible values are left out of it, and `codes` says so."""
        factor, offset = self._linear[name]
        steps = 1.0 / field.resolution if field.decimals > 15 else 10.0**field.decimals
        values = np.rint((values * factor + offset) * steps) / steps + 0.0  # no minus zero
        known = PARAMETERS.get(field.name)
        low, high = known.plausible if known else (-(2.0**53) * field.resolution, 2.0**53 * field.resolution)
        wild = (codes == 0) & ~((values >= low) & (values <= high))
        if wild.any():
            for place in np.argwhere(wild).tolist():
                message = f"{field.name} {values[tuple(place)]:g} {field.unit} is outside {low:g} to {high:g}: left out"
                items.append((int(lines[place[0]]), source.problem("implausible", message, int(lines[place[0]]))))
            codes[wild] = Missing.IMPLAUSIBLE
            values[wild] = np.nan
        if not field.integer:
            return values
        present = codes == 0
        return np.where(present, np.where(present, values, 0.0).astype(np.int64), MISSING_INT)


def _printed(text: bytes, base: int) -> int:
    try:
        return int(text, base)
    except ValueError:  # hexadecimal digits where decimal ones belong
        return -1
