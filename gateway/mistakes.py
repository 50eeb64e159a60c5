"""What is wrong in a configuration file, in words for a technician: where, what, and the remedy.

pydantic says what it refuses in its own terms; `explained` turns that into the file's terms.
"""

import difflib
import re
import types
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.toml_lines import Loc


@dataclass(frozen=True, order=True, slots=True)
class Mistake:
    """One thing wrong in the file: its line (from 1), its table (`instruments.ctd-1`, may be empty), the field in that
    table (may be empty), and what is wrong with the remedy."""

    line: int
    table: str
    field: str
    message: str

    def __str__(self) -> str:
        place = " ".join(part for part in (f"[{self.table}]" if self.table else "", self.field) if part)
        return f"{place}: {self.message}" if place else self.message


def shown(value: object) -> str:
    text = {True: "true", False: "false"}.get(value, repr(value)) if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def nearest(name: str, known: Iterable[str], form: str = "`{}`") -> str:
    names = list(known)
    close = difflib.get_close_matches(str(name), names, 1, 0.5)
    if close:
        return f"did you mean {form.format(close[0])}?"
    return f"known here: {', '.join(form.format(n) for n in names)}" if names else "nothing can be set here"


_KINDS = {
    "string": "text in quotes",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list in [ ]",
    "tuple": "a list in [ ]",
    "dict": "a table in { }",
    "model": "a table in { }",
}


def explained(detail: ErrorDetails, model: type[BaseModel], data: Any) -> tuple[Loc, str]:
    """Where in `data` pydantic's error lies (without its marks for members of unions), and what it says in words."""
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    loc: list[str | int] = []
    models = [model]
    field_info = None
    for step in detail["loc"]:
        if isinstance(data, dict) and step in data:
            data = data[step]
        elif isinstance(data, list) and isinstance(step, int) and step < len(data):
            data = data[step]
            loc.append(step)
            continue
        elif not any(step in m.model_fields for m in models):
            continue  # the name of a union's member
        if isinstance(step, str) and any(step in m.model_fields for m in models):
            field_info = next(m.model_fields[step] for m in models if step in m.model_fields)
            if kind != "extra_forbidden":
                models = list(_models_in(field_info.annotation))
        loc.append(step)
    about = f" ({field_info.description})" if field_info is not None and field_info.description else ""
    if kind == "missing":
        example = field_info.examples[0] if field_info is not None and field_info.examples else "…"
        return tuple(loc), f"is missing; add `{loc[-1]} = {_toml(example)}`{about}"
    if kind == "extra_forbidden":
        if not loc or loc[-1] != detail["loc"][-1]:
            loc.append(detail["loc"][-1])
        names = {name: None for m in models for name in m.model_fields}
        return tuple(loc), f"no setting is called so; {nearest(str(loc[-1]), names)}"
    if kind == "elsewhere":
        return (*loc[:-1], context["field"]), detail["msg"]
    if kind == "value_error":
        return tuple(loc), _of_validator(context["error"])
    stem, _, tail = kind.partition("_")
    if stem in _KINDS and tail in ("type", "parsing", "from_float", "attributes_type", "parsing_size", "unicode"):
        quoted = stem in ("int", "float") and isinstance(value, str) and value.strip("+-").replace(".", "").isdigit()
        fix = "write it without quotes" if quoted else f"write {_KINDS[stem]}"
        return tuple(loc), f"{shown(value)} is not {_KINDS[stem]}; {fix}{about}"
    if kind == "literal_error":
        close = difflib.get_close_matches(str(value), re.findall(r"'([^']*)'", context["expected"]), 1)
        hint = f"did you mean {close[0]!r}? It" if close else "it"
        return tuple(loc), f"{shown(value)} is not possible; {hint} must be {context['expected']}{about}"
    for word, text in (
        ("greater_than_equal", "{ge:.15g} or more"),
        ("greater_than", "more than {gt:.15g}"),
        ("less_than_equal", "{le:.15g} or less"),
        ("less_than", "less than {lt:.15g}"),
    ):
        if kind == word:
            return tuple(loc), f"{shown(value)} is out of range; it must be {text.format(**context)}{about}"
    message = detail["msg"]
    return tuple(loc), f"{shown(value)} will not do: {message[:1].lower()}{message[1:]}{about}"


def _of_validator(error: Exception) -> str:
    """What a model's own validator said, on one line; where it checked another model inside, what that refused."""
    if isinstance(error, ValidationError):
        details = error.errors(include_url=False)
        return "; ".join(f"{'.'.join(map(str, d['loc']))}: {' '.join(d['msg'].split())}" for d in details)
    return " ".join(str(error).split())


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) and value != "…" else str(value)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a field of this annotation can hold, through unions, lists, mappings and Annotated."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    for argument in typing.get_args(annotation):
        yield from _models_in(argument)
