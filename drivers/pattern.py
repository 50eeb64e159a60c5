"""What an ASCII instrument says, stated as data: the patterns of `drivers/patterns`, or one's own.

A pattern shows each kind of line as it stands, with `{name}` where a value stands; `fields` tells of each name what
it is. The text between is literal, with these exceptions:

    a space      one or more blanks or tabs
    [ … ]        may be absent
    < … >        repeated once for each cell of a profile (`cells`)
    {_}          anything up to the text that follows; not kept
    {columns}    the columns that the instrument's settings name, with the pattern's `separator` between them
    {checksum}   the checksum; it covers what stands between {<} and {>}, or else all in front of it
    {{ [[ <<     that sign itself

A number may be padded with spaces in front, nothing else is forgiven: a line fits to the letter, or it is refused.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic import Field as Setting

from drivers.units import alike, conversion
from tidegate.frame import Cells, Field, Schema
from tidegate.vocabulary import PARAMETERS

SEPARATORS = {",": ",", ";": ";", "tab": "\t", "space": " "}
MOST_DECIMALS = 15


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


# --- fields -----------------------------------------------------------------------------------------------------------

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_DIRECTIVES = {
    "Y": r"(\d{4})",
    "y": r"(\d\d)",
    "m": r"(0[1-9]|1[0-2])",
    "d": r"([ 0][1-9]|[12]\d|3[01])",
    "b": f"({'|'.join(MONTHS)})",
    "H": r"([01]\d|2[0-3])",
    "M": r"([0-5]\d)",
    "S": r"([0-5]\d|60)",
    "f": r"(\d{1,9})",
    "F": r"(?:\.(\d{1,9}))?+",
    "j": r"([0-3]\d\d)",
    "J": r"([0-3]\d\d\.\d{1,12})",
    "E": r"(\d{9,10}(?:\.\d{1,9})?+)",
    "K": r"(\d{8,10}(?:\.\d{1,9})?+)",
}
"""What may stand in a `time`: as for strptime; F is a fraction with its point or nothing, J a day of the year with
its fraction, E seconds since 1970, K seconds since 2000."""


class FieldSpec(_Table):
    """What stands in the place of `{name}`: a number, unless `choices`, `hexadecimal` or `time` say otherwise."""

    parameter: str | None = Setting(None, description="of the vocabulary (default: the name itself), or one's own")
    decimals: int | tuple[int, int] | None = Setting(
        None, description="how many it prints, or [least, most]; default: up to the parameter's usual number"
    )
    unit: str | None = Setting(None, description="in which the instrument gives it; default: the parameter's own")
    scale: float = Setting(1.0, description="the number is multiplied by this …")
    offset: float = Setting(0.0, description="… and this is added, both in the instrument's unit")
    resolution: float | None = Setting(None, gt=0, description="least step kept, in the parameter's unit")
    missing: tuple[str, ...] | None = Setting(
        None, description='texts that mean: no value; "" is an empty place, # stands for digits'
    )
    scientific: bool = Setting(False, description="it may be printed with an exponent; needs a resolution")
    hexadecimal: bool = Setting(False, description="it is a whole number in hexadecimal digits")
    choices: Mapping[str, int] | None = Setting(
        None, description='words that it prints, and the number of each; "*" is any other'
    )
    time: str | None = Setting(None, description='how a date or time is written, such as "%Y/%m/%d %H:%M:%S.%f"')
    calibrated: str | None = Setting(
        None, description="these are counts, under this name, until the settings give scale and dark of the sensor"
    )
    ignored: bool = Setting(False, description="it must be so written, but its value is not kept")
    label: str | None = Setting(None, description="what people are to read for a parameter of one's own")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if sum((self.choices is not None, self.hexadecimal, self.time is not None, self.scientific)) > 1:
            raise ValueError("choices, hexadecimal, scientific and time exclude each other")
        if isinstance(self.decimals, tuple):
            least, most = self.decimals
        else:
            least = most = self.decimals or 0
        if not 0 <= least <= most <= MOST_DECIMALS:
            raise ValueError(f"decimals {self.decimals}: give a number from 0 to {MOST_DECIMALS}, or [least, most]")
        if self.scale == 0 or not (math.isfinite(self.scale) and math.isfinite(self.offset)):
            raise ValueError("scale and offset must be finite and scale not 0")
        if self.scientific and self.resolution is None and not self.ignored:
            raise ValueError("a number with an exponent needs a resolution; for example resolution = 1e-9")
        if self.choices is not None and not self.choices:
            raise ValueError("choices is empty: name each word with its number")
        if self.time is not None:
            unknown = sorted(set(re.findall("%(.)", self.time)) - {*_DIRECTIVES, "%"})
            if unknown or "%" not in self.time:
                raise ValueError(
                    f"time {self.time!r}: %{' %'.join(unknown)} is not known; use one of %{' %'.join(_DIRECTIVES)}"
                )
        return self


class Coefficients(_Table):
    """Of one sensor, from its calibration sheet: value = scale * (counts - dark)."""

    scale: float
    dark: float = 0.0


class Checksum(_Table):
    """How the number at `{checksum}` is computed from the bytes that it covers."""

    kind: Literal["xor", "sum", "negative_sum", "crc16_modbus", "crc16_ccitt"]
    written: Literal["hex", "decimal"] = "hex"
    modulo: int | None = Setting(None, ge=2, le=65536, description="of a sum; default: 256 in hex, none in decimal")


class CellsSpec(_Table):
    """The cells of a profile."""

    count: int = Setting(ge=1, le=1024)
    first_m: float
    size_m: float
    upward: bool | None = None


class Record(_Table):
    """One kind of line, with its variants."""

    line: str | tuple[str, ...] = Setting(description="how it is written, or the ways in which it may be")
    kind: str | None = Setting(None, description="the family of its samples; default: the pattern's")
    checksum: Checksum | None = None
    cells: CellsSpec | None = None

    @property
    def variants(self) -> tuple[str, ...]:
        """All ways in which it is written."""
        return (self.line,) if isinstance(self.line, str) else self.line


class Pattern(_Table):
    """All that an instrument says."""

    title: str
    records: tuple[Record, ...] = Setting(min_length=1)
    fields: Mapping[str, FieldSpec] = Setting(default_factory=dict)
    kind: str = "ascii"
    manufacturer: str = "ASCII"
    models: tuple[str, ...] = ()
    source: str = Setting("", description="the manual and page, or the recording, that tells of it")
    serial: tuple[str, ...] = Setting(("9600 8N1",), description="how its serial line is set, the factory's first")
    start: str = Setting("", description="what to send once when the port has opened")
    poll: str = Setting("", description="what to send for each sample")
    clock: Literal["instrument", "arrival"] = Setting("instrument", description="whose time a sample has")
    utc_offset_h: float = Setting(0.0, ge=-14, le=14, description="what its clock is ahead of UTC")
    missing: tuple[str, ...] = Setting((), description="for all fields that do not say their own")
    separator: str = Setting(",", description='between the columns of `{columns}`: ",", ";", "tab" or "space"')
    ignore: tuple[str, ...] = Setting((), description="other lines that it says; they are passed over")
    unmistakable: bool = Setting(False, description="hardly any other instrument's lines would fit")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.separator not in SEPARATORS:
            raise ValueError(f"separator {self.separator!r} is not known; use one of {', '.join(SEPARATORS)}")
        for name in ("start", "poll"):
            if not getattr(self, name).isascii():
                raise ValueError(f"{name}: only ASCII can be sent; write control bytes as \\u0002")
        return self


# --- the template language --------------------------------------------------------------------------------------------

ANY_WORD = r"[!-+\--~]++"  # no blank, no comma
_CONTROL = r"\x00-\x08\n\r"
_TOKEN = re.compile(r"\{\{|\[\[|<<|\{[^{}]*\}|[\[\]<>]| +|[^\[\]<> {}]+|[{}]")


def _tokens(line: str) -> Iterator[tuple[str, str]]:
    """(kind, text) of what a template consists of; kinds are `text`, `blank`, `place` and `bracket`."""
    for token in _TOKEN.findall(line):
        if token in ("{{", "[[", "<<"):
            yield "text", token[0]
        elif token[0] == "{" and len(token) > 1:
            yield "place", token[1:-1]
        elif token in "[]<>":
            yield "bracket", token
        elif token == "{":
            raise ValueError(f"line {line!r}: {{ without }}; write {{{{ for the sign itself")
        else:
            yield ("blank" if token[0] == " " else "text"), token


def closing(tokens: list[tuple[str, str]], i: int) -> int:
    """Where the bracket that token `i` opens is closed."""
    depth = 0
    for k in range(i, len(tokens)):
        if tokens[k][0] == "bracket":
            depth += 1 if tokens[k][1] in "[<" else -1
            if depth == 0:
                return k
    return len(tokens)


def _outside_brackets(tokens: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    i = 0
    while i < len(tokens):
        if tokens[i][0] == "bracket":
            i = closing(tokens, i)
        else:
            yield tokens[i]
        i += 1


@dataclass(frozen=True, slots=True)
class Slot:
    """What a group of a line's regular expression captures: `what` is `value`, `time`, `checksum` or `covered` (by the
    checksum); `name` the field or the directive."""

    what: str
    name: str = ""
    cell: int = 0


class Form:
    """One way in which a record is written, compiled. `slots[i]` says what group `i + 1` holds."""

    def __init__(self, line: str, record: Record, pattern: "Resolved") -> None:
        self.line = line = line.replace("{columns}", pattern.columns_text)
        self.slots: list[Slot] = []
        self.names: list[str] = []
        """Fields that it gives, in order."""
        self.profiles: set[str] = set()
        self._pattern, self._cells = pattern, record.cells
        self.cell_count = record.cells.count if record.cells else 0
        tokens = list(_tokens(line))
        self._brackets(tokens)  # so that what follows finds each one closed
        self._cover(tokens)
        self.tokens = tokens
        regex = b" *+" + self._sequence(tokens, 0).encode("latin-1") + b"[ \t]*+"
        self.regex = re.compile(regex)
        self.search = re.compile(b"^%s$" % regex, re.MULTILINE)
        """Finds the lines of a text that fit, where lines end with LF."""
        places = [slot.what for slot in self.slots]
        if (record.checksum is not None) != ("checksum" in places):
            raise ValueError(
                f"line {line!r}: {{checksum}} stands in a line where its record has a `checksum`, and only there"
            )
        self._check_time()

    def _brackets(self, tokens: list[tuple[str, str]]) -> None:
        """Makes a closing bracket that nothing opened plain text; raises ValueError where one is not closed."""
        closers: list[str] = []
        for i, (kind, token) in enumerate(tokens):
            if kind == "bracket" and token in "[<":
                closers.append({"[": "]", "<": ">"}[token])
            elif kind == "bracket" and closers[-1:] == [token]:
                closers.pop()
            elif kind == "bracket":
                tokens[i] = ("text", token)
        if closers:
            raise ValueError(f"line {self.line!r}: {closers[-1]} is lacking; write [[ or << for the sign itself")

    def _cover(self, tokens: list[tuple[str, str]]) -> None:
        """Where not said otherwise, a checksum covers all in front of it."""
        places = [token for kind, token in tokens if kind == "place"]
        if "checksum" in places:
            if "<" not in places:
                tokens.insert(0, ("place", "<"))
            if ">" not in places:
                tokens.insert(tokens.index(("place", "checksum")), ("place", ">"))
            marks = [token for kind, token in _outside_brackets(tokens) if kind == "place"]
            if [mark for mark in marks if mark in ("<", ">", "checksum")] != ["<", ">", "checksum"]:
                raise ValueError(
                    f"line {self.line!r}: {{<}}, {{>}} and {{checksum}} stand outside of brackets in this order"
                )
        elif "<" in places or ">" in places:
            raise ValueError(f"line {self.line!r}: {{<}} and {{>}} belong to a {{checksum}}")

    def _sequence(self, tokens: list[tuple[str, str]], cell: int) -> str:
        out: list[str] = []
        i = 0
        before = ""
        while i < len(tokens):
            kind, token = tokens[i]
            if kind == "bracket":
                end = closing(tokens, i)
                inner = tokens[i + 1 : end]
                if token == "[":
                    out.append(f"(?:{self._sequence(inner, cell)})?")
                elif self._cells is None:
                    raise ValueError(f"line {self.line!r}: <…> needs `cells` of its record")
                else:
                    out += [self._sequence(inner, k) for k in range(1, self._cells.count + 1)]
                i, before = end, "bracket"
            elif kind == "text":
                out.append(re.escape(token))
                before = "text"
            elif kind == "blank":
                out.append("[ \t]++")
                before = "blank"
            else:
                if before == "place" and token not in "<>":
                    raise ValueError(
                        f"line {self.line!r}: {{{token}}} touches the place before it; text must stand between"
                    )
                out.append(self._place(token, tokens[i + 1 :], cell, padded=before != "blank"))
                before = before if token in "<>" else "place"
            i += 1
        return "".join(out)

    def _place(self, name: str, rest: list[tuple[str, str]], cell: int, *, padded: bool) -> str:
        padding = " *+" if padded else ""
        if name in ("<", ">"):
            if name == ">":
                return ")"
            self.slots.append(Slot("covered"))
            return "("
        if name == "checksum":
            self.slots.append(Slot("checksum"))
            return padding + "([0-9A-Fa-f]{1,8}+)"
        if name == "_":
            stop = next((text for kind, text in rest if kind in ("text", "blank")), "")
            return f"[^{re.escape(stop[0])}{_CONTROL}]*+" if stop else f"[^{_CONTROL}]*+"
        spec = self._pattern.spec(name, self.line)
        if spec.time is not None:
            return self._time(spec)
        written = self._pattern.written(name)
        if spec.ignored:
            return f"{padding}(?:{written})"
        known = [slot for slot in self.slots if slot.what == "value" and slot.name == name]
        if any(slot.cell == cell for slot in known):
            raise ValueError(f"line {self.line!r}: {{{name}}} stands in it twice")
        self.slots.append(Slot("value", name, cell))
        if not known:
            self.names.append(name)
        if cell:
            self.profiles.add(name)
        return f"{padding}({written})"

    def _time(self, spec: FieldSpec) -> str:
        out = []
        for directive, text in re.findall(r"%(.)|([^%]+)", spec.time or ""):
            if directive == "%":
                out.append("%")
            elif directive:
                group = _DIRECTIVES[directive]
                if spec.ignored or self._pattern.clock == "arrival":
                    group = (
                        group.replace("(", "(?:", 1) if not group.startswith("(?:") else group.replace(r"(\d", r"(?:\d")
                    )
                else:
                    self.slots.append(Slot("time", directive))
                out.append(group)
            else:
                out.append(" ++".join(map(re.escape, re.split(" +", text))))
        return "".join(out)

    def _check_time(self) -> None:
        given = [slot.name for slot in self.slots if slot.what == "time"]
        if not given:
            return
        if len(set(given)) < len(given):
            raise ValueError(f"line {self.line!r}: a part of the time stands in it twice; set ignored = true of one")
        have = set(given)
        date = bool(have & {"Y", "y"}) and ({"m", "d"} <= have or {"b", "d"} <= have or bool(have & {"j", "J"}))
        if not (have & {"E", "K"} or (date and ("J" in have or "H" in have))):
            raise ValueError(
                f"line {self.line!r}: %{' %'.join(given)} do not make a date with a time; "
                'set clock = "arrival", or ignored = true of the field'
            )

    @cached_property
    def timed(self) -> bool:
        """Whether it carries its own time."""
        return any(slot.what == "time" for slot in self.slots)


# --- a pattern with an instrument's settings in it --------------------------------------------------------------------


class Resolved:
    """A pattern, the columns and coefficients of one instrument put in; every mistake is found here, as ValueError."""

    def __init__(
        self,
        pattern: Pattern,
        columns: tuple[str, ...] = (),
        coefficients: Mapping[str, Coefficients] | None = None,
    ) -> None:
        self.pattern, self.clock = pattern, pattern.clock
        self.coefficients = dict(coefficients or {})
        wanted = any("{columns}" in line for record in pattern.records for line in record.variants)
        if wanted and not columns:
            raise ValueError(
                "give columns = [ … ]: what stands in each column in order, by names of the vocabulary or of `fields`; "
                '"_" for one that is not to be kept'
            )
        if columns and not wanted:
            raise ValueError("columns: this pattern knows its columns; leave the setting out")
        self.columns_text = SEPARATORS[pattern.separator].join(f"{{{name}}}" for name in columns)
        self._specs: dict[str, FieldSpec] = {}
        self.forms = [[Form(line, record, self) for line in record.variants] for record in pattern.records]
        self.ignored = [Form(line, Record.model_validate({"line": line}), self) for line in pattern.ignore]
        for form in self.ignored:
            if form.slots:
                raise ValueError(f"ignore: line {form.line!r} must hold nothing but text and {{_}}")
        for name in self.coefficients:
            if name not in self._specs or self._specs[name].calibrated is None:
                fit = [n for n, spec in self._specs.items() if spec.calibrated is not None]
                raise ValueError(f"coefficients.{name}: this pattern takes them for {', '.join(fit) or 'no field'}")
        self.schemas = [self._schema(record, forms) for record, forms in zip(pattern.records, self.forms, strict=True)]

    def spec(self, name: str, line: str) -> FieldSpec:
        """What stands in `{name}`, all settled."""
        if name in self._specs:
            return self._specs[name]
        spec = self.pattern.fields.get(name)
        if spec is None and name in PARAMETERS:
            spec = FieldSpec.model_validate({})
        if spec is None:
            near = get_close_matches(name, [*self.pattern.fields, *PARAMETERS], n=3)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            raise ValueError(f"line {line!r}: {{{name}}} is not known; {hint}Tell of it in `fields.{name}`")
        parameter = spec.parameter or name
        settled: dict[str, Any] = {"parameter": parameter}
        if spec.calibrated is not None:
            settled["decimals"] = 0
            c = self.coefficients.get(name)
            if c is None:
                settled |= {"parameter": spec.calibrated, "unit": "1", "label": f"{name}, counts", "resolution": 1.0}
            elif c.scale == 0 or not (math.isfinite(c.scale) and math.isfinite(c.dark)):
                raise ValueError(f"coefficients.{name}: scale and dark must be finite and scale not 0")
            else:
                settled |= {"scale": c.scale, "offset": -c.scale * c.dark}
        spec = spec.model_copy(update=settled)
        if spec.time is None and not spec.ignored:
            self._settle(name, spec)
        self._specs[name] = spec
        return spec

    def _settle(self, name: str, spec: FieldSpec) -> None:
        known = PARAMETERS.get(spec.parameter or name)
        if known is None and (spec.label is None or spec.unit is None):
            near = get_close_matches(spec.parameter or name, PARAMETERS, n=3)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            raise ValueError(
                f"field {name!r}: {spec.parameter!r} is not in the vocabulary; {hint}"
                "For a parameter of your own give label and unit"
            )
        if known is not None and conversion(spec.unit or known.unit, known.unit) is None:
            raise ValueError(
                f"field {name!r}: unit {spec.unit!r} cannot become {known.unit}; "
                f"use one of {', '.join(alike(known.unit))}"
            )
        if known is None and spec.decimals is None and not (spec.choices or spec.hexadecimal or spec.scientific):
            raise ValueError(f"field {name!r}: say how many decimals it prints; for example decimals = 3")

    def linear(self, name: str) -> tuple[float, float]:
        """(factor, offset) from the printed number to the parameter's unit."""
        spec = self._specs[name]
        known = PARAMETERS.get(spec.parameter or name)
        factor, offset = (1.0, 0.0) if known is None else conversion(spec.unit or known.unit, known.unit) or (1.0, 0.0)
        return spec.scale * factor, spec.offset * factor + offset

    def decimals(self, name: str) -> tuple[int, int]:
        """The least and the most decimals that the number may be printed with."""
        spec = self._specs[name]
        if isinstance(spec.decimals, tuple):
            return spec.decimals
        if spec.decimals is not None:
            return spec.decimals, spec.decimals
        known = PARAMETERS.get(spec.parameter or name)
        if known is None or known.integer:
            return 0, 0
        usual = conversion(spec.unit or known.unit, known.unit) or (1.0, 0.0)
        return 0, min(
            max(0, math.ceil(math.log10(abs(usual[0] * spec.scale) / known.resolution) - 1e-9)), MOST_DECIMALS
        )

    def missing(self, name: str) -> tuple[str, ...]:
        """The texts that say that there is no value."""
        own = self._specs[name].missing
        return self.pattern.missing if own is None else own

    def written(self, name: str) -> str:
        """The regular expression of what stands in `{name}`."""
        spec = self._specs[name]
        if spec.choices is not None:
            words = sorted(spec.choices, key=len, reverse=True)
            text = "|".join(ANY_WORD if word == "*" else re.escape(word) for word in words)
        elif spec.hexadecimal:
            text = "[0-9A-Fa-f]{1,15}+"
        elif spec.scientific:
            text = r"[+-]?+(?:\d{1,15}+(?:\.\d{0,15}+)?+|\.\d{1,15}+)(?:[eE][+-]?+\d{1,3}+)?+"
        else:
            least, most = self.decimals(name)
            if most == 0:
                text = r"[+-]?+\d{1,18}+"
            elif least > 0:
                text = rf"[+-]?+\d{{0,15}}+\.\d{{{least},{most}}}+"
            else:
                text = rf"[+-]?+(?:\d{{1,15}}+(?:\.\d{{0,{most}}}+)?+|\.\d{{1,{most}}}+)"
        marks = [
            re.escape(mark).replace(r"\#", r"\d{1,9}+") for mark in sorted(self.missing(name), key=len, reverse=True)
        ]
        return "|".join([text, *marks])

    def field(self, name: str, *, profile: bool) -> Field:
        """The column that it becomes."""
        spec = self._specs[name]
        known = PARAMETERS.get(spec.parameter or name)
        factor, offset = self.linear(name)
        whole = spec.choices is not None or spec.hexadecimal or self.decimals(name) == (0, 0)
        resolution = spec.resolution
        if resolution is None and not spec.scientific:
            step = math.floor(math.log10(abs(factor)) + 1e-9) - (0 if whole else self.decimals(name)[1])
            resolution = float(f"1e{max(step, -MOST_DECIMALS)}")
        if known is not None:
            field = Field.of(known.name, resolution=1.0 if known.integer else resolution, profile=profile)
            return field
        integer = whole and factor == 1.0 and offset == int(offset) and resolution == 1.0
        return Field(spec.parameter or name, spec.unit or "1", resolution or 1.0, integer, profile)

    def _schema(self, record: Record, forms: list[Form]) -> tuple[Schema, dict[str, Field]]:
        """The schema of a record's samples, and its fields by their names in the pattern."""
        names = list(dict.fromkeys(name for form in forms for name in form.names))
        if not names:
            raise ValueError(f"line {forms[0].line!r} holds no value; name what it gives, or put it under `ignore`")
        fields = {name: self.field(name, profile=any(name in form.profiles for form in forms)) for name in names}
        given = [f.name for f in fields.values()]
        double = sorted({name for name in given if given.count(name) > 1})
        if double:
            raise ValueError(f"line {forms[0].line!r}: {', '.join(double)} is given by more than one of its fields")
        cells = record.cells
        return Schema(
            record.kind or self.pattern.kind,
            tuple(fields.values()),
            Cells(cells.count, cells.first_m, cells.size_m, cells.upward) if cells else None,
        ), fields

    @property
    def labels(self) -> dict[str, str]:
        """What people are to read for parameters of its own."""
        return {
            spec.parameter or name: spec.label
            for name, spec in self._specs.items()
            if spec.label and not spec.ignored and (spec.parameter or name) not in PARAMETERS
        }


def mistakes(error: ValidationError) -> str:
    """What is wrong in a pattern, each mistake with its place."""
    details = error.errors(include_url=False)
    places = [".".join(map(str, detail["loc"])) for detail in details]
    told = []
    for detail, place in zip(details, places, strict=True):
        message = str(detail["msg"]).removeprefix("Value error, ")
        if detail["type"] == "extra_forbidden":
            message = "there is no such field"
        elif detail["type"] == "missing":
            message = "is needed"
        elif detail["type"] == "too_short" and any(other.startswith(f"{place}.") for other in places):
            continue  # said because of what is wrong within it
        told.append(f"{place}: {message}" if place else message)
    return "; ".join(told)
