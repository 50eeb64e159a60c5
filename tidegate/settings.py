"""Settings in TOML: a file becomes a checked pydantic model, or a list of every mistake in it with line and remedy.

    hub = load_toml(Path("hub.toml"), HubConfig)

A mistake reads `hub.toml:12: broker.port: what is wrong; what to do`. Models say the remedy themselves: a field's
`description` tells what belongs there, its `examples` what it could look like, and a validator's ValueError is shown as
it is. Relative paths are meant from the folder of the file: `FilePath` does that.
"""

import difflib
import re
import tomllib
import types
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ValidationError, ValidationInfo
from pydantic_core import ErrorDetails

Model = TypeVar("Model", bound=BaseModel)


def _from_file(path: Path, info: ValidationInfo) -> Path:
    base: Path = (info.context or {}).get("base", Path())
    return base / path.expanduser()


FilePath = Annotated[Path, AfterValidator(_from_file)]
"""A path, from the folder of the settings file where it is relative."""


@dataclass(frozen=True, order=True, slots=True)
class Mistake:
    """One thing wrong in the file: its line (from 1), the setting (`broker.port`, may be empty), and what is wrong with
    the remedy."""

    line: int
    setting: str
    message: str


class ConfigError(ValueError):
    """The file cannot be used. `mistakes` are all that is wrong with it, in the file's order; `str` has one a line."""

    def __init__(self, path: Path, mistakes: Sequence[Mistake]) -> None:
        self.path = path
        self.mistakes = tuple(sorted(set(mistakes)))
        super().__init__(
            "\n".join(
                f"{path}:{m.line}: {m.setting}: {m.message}" if m.setting else f"{path}:{m.line}: {m.message}"
                for m in self.mistakes
            )
        )


def load_toml(path: Path, model: type[Model]) -> Model:
    """The settings in the file as `model`. Raises `ConfigError` with every mistake that is in it."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        message = f"cannot be read ({error.strerror}); check the path and who may read it"
        raise ConfigError(path, [Mistake(1, "", message)]) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(path, [Mistake(line, "", "this line is not UTF-8; save the file as UTF-8")]) from None
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+), column \d+", str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        message = f"this is not TOML: {error}; text stands in quotes, tables in [ ]"
        raise ConfigError(path, [Mistake(line, "", message)]) from None
    try:
        return model.model_validate(data, context={"base": path.resolve().parent})
    except ValidationError as error:
        lines = _lines(text)
        mistakes = []
        for detail in error.errors(include_url=False):
            place, message = _explained(detail, model, data)
            near = next((place[:n] for n in range(len(place), 0, -1) if place[:n] in lines), ())
            mistakes.append(Mistake(lines.get(near, 1), ".".join(map(str, place)), message))
        raise ConfigError(path, mistakes) from None


_TABLE = re.compile(r"\s*\[\[?\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")


def _lines(text: str) -> dict[tuple[str, ...], int]:
    """The line of each table and key. Lines within texts of several lines are passed over."""
    lines: dict[tuple[str, ...], int] = {}
    seen: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    inside = ""
    for number, line in enumerate(text.splitlines(), 1):
        if inside:
            if inside in line:
                inside = ""
            continue
        if found := _TABLE.match(line):
            table = tuple(part.strip("\"'") for part in _PART.findall(found[1]))
            if line.lstrip().startswith("[["):
                lines.setdefault(table, number)
                seen[table] = seen.get(table, -1) + 1
                table = (*table, str(seen[table]))
            for depth in range(1, len(table) + 1):
                lines.setdefault(table[:depth], number)
        elif found := _KEY.match(line):
            key = table + tuple(part.strip("\"'") for part in _PART.findall(found[1]))
            lines.setdefault(key, number)
            inside = next((q for q in ('"""', "'''") if line.count(q) == 1), "")
    return lines


_KINDS = {
    "string": "text in quotes",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list in [ ]",
    "dict": "a table",
    "model": "a table",
    "path": "a path in quotes",
}


def _explained(detail: ErrorDetails, model: type[BaseModel], data: Any) -> tuple[tuple[str, ...], str]:
    """Where the mistake lies, without pydantic's marks for members of unions, and what it is in words."""
    place: list[str] = []
    models, info = [model], None
    for step in detail["loc"]:
        known = [m.model_fields[step] for m in models if isinstance(step, str) and step in m.model_fields]
        held = (isinstance(data, dict) and step in data) or (isinstance(data, list) and isinstance(step, int))
        if not (known or held or isinstance(step, int)):
            continue
        place.append(str(step))
        data = data[step] if held else None
        if known:
            info, models = known[0], list(_models_in(known[0].annotation))
        elif detail["type"] != "extra_forbidden":
            info = None
    where, kind, given = tuple(place), detail["type"], detail["input"]
    about = f" ({info.description})" if info is not None and info.description else ""
    if kind == "missing":
        if models and where:
            return where, f"this table is missing; add [{'.'.join(where)}]{about}"
        example = info.examples[0] if info is not None and info.examples else "…"
        value = f'"{example}"' if isinstance(example, str) else str(example)
        return where, f"is missing; add `{where[-1]} = {value}`{about}"
    if kind == "extra_forbidden":
        names = [name for m in models for name in m.model_fields]
        close = difflib.get_close_matches(where[-1], names, 1)
        hint = f"did you mean `{close[0]}`?" if close else f"known here: {', '.join(names)}"
        return where, f"nothing is called so; {hint}"
    if kind == "value_error":
        return where, str(detail["ctx"]["error"])
    if kind.partition("_")[0] in _KINDS and kind.endswith(("_type", "_parsing", "_from_float")):
        return where, f"{given!r} is not {_KINDS[kind.partition('_')[0]]}{about}"
    return where, f"{given!r} will not do: {detail['msg'][:1].lower()}{detail['msg'][1:]}{about}"


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    for argument in typing.get_args(annotation):
        yield from _models_in(argument)
