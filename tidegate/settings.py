"""Settings in TOML: a file becomes a checked pydantic model, or a list of every mistake in it with line and remedy.

    hub = load_toml(Path("hub.toml"), HubConfig)

A mistake reads `hub.toml:12: [broker] port: what is wrong; what to do`. Models derive from `Table` and bring the
remedies themselves: a field's `description` tells what belongs there, its `examples` what it could look like, and a
validator's ValueError is shown as it is, at its own field or, by `at_field`, at another. Types of values that every
file has (`Name`, `Host`, `Folder`, `ReadableFile`, `Secret`) are here too.

Where one part of a file decides what another may hold, as a driver's name decides its settings, a `TomlFile` is
examined table by table, and its mistakes are told together at the end.
"""

import difflib
import errno
import re
import tomllib
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from tidegate.identity import NAME_PATTERN, NAME_RULE, is_name
from tidegate.toml_lines import Loc, lines_of

Model = TypeVar("Model", bound=BaseModel)

# ---- what models are made of ----------------------------------------------------------------------------------------


class Table(BaseModel):
    """A table of a settings file: unknown names are refused, and a number in quotes is no number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def at_field(field: str, message: str) -> PydanticCustomError:
    """What a validator raises when the remedy belongs to another field of its table."""
    return PydanticCustomError("at_field", "{message}", {"field": field, "message": message})


def check_name(value: str) -> str:
    """`value`, where it can name a platform, an instrument or a hub. Raises ValueError with one that would do."""
    if not is_name(value):
        near = re.sub(r"[^a-z0-9_-]+", "-", value.lower()).strip("-_")[:64].strip("-_")
        hint = f"; {near!r} would do" if is_name(near) else ""
        raise ValueError(f"{value!r} cannot be a name: it is {NAME_RULE}{hint}")
    return value


_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*\.?")


def check_host(host: str) -> str:
    """`host`, where it has the form of a host's name or address. Raises ValueError."""
    if "://" in host:
        raise ValueError(f"{host!r} has a scheme in front; write the name or address alone")
    if ":" in host:
        try:
            IPv6Address(host.partition("%")[0])
        except ValueError:
            raise ValueError(f"{host!r} is neither a name nor an address; a port number has its own place") from None
    elif not _HOST.fullmatch(host):
        raise ValueError(f"{host!r} is not a host; write a name or an address such as 10.0.0.5")
    return host


def file_path(value: object, info: ValidationInfo) -> Path:
    """A path as a validator wants it: from the folder of the settings file where it is relative. Raises ValueError."""
    if not isinstance(value, str | Path):
        raise ValueError(f"{shown(value)} is not a path; write it in quotes")
    if not str(value).strip() or "\0" in str(value):
        raise ValueError(f"{str(value)!r} is not a path; name a file or folder")
    try:
        path = Path(value).expanduser()
    except RuntimeError:
        raise ValueError(f"{str(value)!r} names the home of nobody here; write the whole path") from None
    base: Path = (info.context or {}).get("base", Path())
    return base / path


def _folder(value: object, info: ValidationInfo) -> Path:
    path = file_path(value, info)
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path} is a file; name a folder, which is made where it is missing")
    return path


def _readable_file(value: object, info: ValidationInfo) -> Path:
    path = file_path(value, info)
    try:
        path.open("rb").close()
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); name a file that this user may read") from None
    return path


def _hidden(value: object) -> SecretStr:
    if isinstance(value, SecretStr):
        return value
    if not isinstance(value, str):
        raise ValueError("is not text; write it in quotes")
    return SecretStr(value)


PATH_SCHEMA = WithJsonSchema({"type": "string", "minLength": 1})
Name = Annotated[str, AfterValidator(check_name), Field(json_schema_extra={"pattern": f"^{NAME_PATTERN}$"})]
Host = Annotated[str, AfterValidator(check_host)]
Folder = Annotated[Path, BeforeValidator(_folder), PATH_SCHEMA]
"""A folder, there or yet to be made."""
ReadableFile = Annotated[Path, BeforeValidator(_readable_file), PATH_SCHEMA]
"""A file that is there and that this user may read."""
Secret = Annotated[SecretStr, BeforeValidator(_hidden)]
"""Text that is never shown, in messages neither."""


def secret_of(stated: SecretStr | None, file: Path | None) -> str | None:
    """The secret as stated, or what its file holds now, without the end of its line. Raises OSError."""
    if file is None:
        return None if stated is None else stated.get_secret_value()
    try:
        return file.read_text(encoding="utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise OSError(errno.EILSEQ, "is not UTF-8; write the secret into it as text", str(file)) from None


# ---- reading a file -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, order=True, slots=True)
class Mistake:
    """One thing wrong in a file: its line (from 1), the header of its table (`[instruments.ctd-1]`, `[[qc]]`; may be
    empty), the field in that table (may be empty), and what is wrong with the remedy."""

    line: int
    table: str
    field: str
    message: str

    def __str__(self) -> str:
        place = " ".join(part for part in (self.table, self.field) if part)
        return f"{place}: {self.message}" if place else self.message


class ConfigError(ValueError):
    """The file cannot be used. `mistakes` are all that is wrong with it, in the file's order; `str` has one a line."""

    def __init__(self, path: Path, mistakes: Sequence[Mistake]) -> None:
        self.path = path
        self.mistakes = tuple(sorted(set(mistakes)))
        super().__init__("\n".join(f"{path}:{mistake.line}: {mistake}" for mistake in self.mistakes))


def load_toml(path: Path, model: type[Model]) -> Model:
    """The settings in the file as `model`. Raises `ConfigError` with every mistake that is in it."""
    file = TomlFile(path, model)
    return file.conclude(file.checked(model))


class TomlFile:
    """A settings file that is being examined: its `data`, and the `mistakes` found in it so far.

    `model` is what the whole file is to be. Raises `ConfigError` where the file cannot be read or is no TOML.
    """

    def __init__(self, path: Path, model: type[BaseModel]) -> None:
        self.path = path
        self.mistakes: list[Mistake] = []
        self._model = model
        self._context = {"base": path.resolve().parent}
        text = _text(path)
        try:
            self.data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            found = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", str(error), re.DOTALL)
            what, line = (found[1], int(found[2] or text.count("\n") + 1)) if found else (str(error), 1)
            column = f" in column {found[3]}" if found and found[3] else ""
            mistake = Mistake(line, "", "", f"this is not TOML{column}: {what[:1].lower()}{what[1:]}")
            raise ConfigError(path, [mistake]) from None
        self._lines = lines_of(text)

    def checked(
        self, model: type[Model], at: Loc = (), data: Any = None, known: type[BaseModel] | None = None
    ) -> Model | None:
        """`model` made from what stands at `at`, or None with its mistakes noted.

        `data` is given where only a part of that table is meant, and `known` where messages are to know of more
        fields than `model` has.
        """
        if data is None:
            data = self.data
            for step in at:
                data = data[step]
        try:
            return model.model_validate(data, context=self._context)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                if detail["type"] == "default_factory_not_called":
                    continue  # follows from another mistake
                loc, message = _explained(detail, known or model, data, at)
                self.wrong((*at, *loc), message)
            return None

    def wrong(self, at: Loc, message: str) -> None:
        """Note a mistake in what stands, or should stand, at `at`."""
        nearest_known = next((at[:n] for n in range(len(at), 0, -1) if at[:n] in self._lines), ())
        table, rest = self._table(at)
        field = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in rest).lstrip(".")
        self.mistakes.append(Mistake(self._lines.get(nearest_known, 1), table, field, message))

    def conclude(self, settings: Model | None) -> Model:
        """The settings, where no mistake was found anywhere. Raises `ConfigError`."""
        if self.mistakes or settings is None:
            raise ConfigError(self.path, self.mistakes)
        return settings

    def _table(self, at: Loc) -> tuple[str, Loc]:
        """The header of the table in which `at` lies, and the way on from there."""
        info = self._model.model_fields.get(str(at[0])) if at else None
        of_tables = bool(_models_in(info))
        if len(at) > 1 and of_tables and info is not None and typing.get_origin(info.annotation) is dict:
            return f"[{header(at[:2])}]", at[2:]
        if len(at) > 1 and isinstance(at[1], int):
            return f"[[{header(at[:1])}]]", at[2:]
        if at and (isinstance(self.data.get(str(at[0])), dict) or of_tables):
            return f"[{header(at[:1])}]", at[1:]
        return "", at


def json_schema(model: type[BaseModel], title: str) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a file, for editors."""
    return model.model_json_schema() | {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        message = f"cannot be read ({error.strerror}); check the path and who may read it"
        raise ConfigError(path, [Mistake(1, "", "", message)]) from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise ConfigError(path, [Mistake(raw.count(b"\n", 0, error.start) + 1, "", "", message)]) from None


# ---- saying what is wrong -------------------------------------------------------------------------------------------


def shown(value: object) -> str:
    """A value as the file has it, cut where it is long."""
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def nearest(name: str, known: Iterable[str], form: Callable[[str], str] = "`{}`".format) -> str:
    """The known name that is meant, or all of them."""
    names = list(known)
    close = difflib.get_close_matches(name, names, 1, 0.5)
    if close:
        return f"did you mean {form(close[0])}?"
    return f"known here: {', '.join(map(form, names))}" if names else "nothing can be set here"


def header(at: Loc) -> str:
    """The way to a table, as it stands in the brackets of its header."""
    keys = [step for step in at if isinstance(step, str)]
    return ".".join(key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else f'"{key}"' for key in keys)


_KINDS = {
    "string": "text in quotes",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list in [ ]",
    "tuple": "a list in [ ]",
    "dict": "a table",
    "model": "a table",
}
_TAILS = ("type", "parsing", "from_float", "attributes_type", "parsing_size", "unicode")
_BOUNDS = {
    "greater_than_equal": "{ge:.15g} or more",
    "greater_than": "more than {gt:.15g}",
    "less_than_equal": "{le:.15g} or less",
    "less_than": "less than {lt:.15g}",
}


def _explained(detail: ErrorDetails, model: type[BaseModel], data: Any, at: Loc) -> tuple[Loc, str]:
    """Where in `data`, which stands at `at`, pydantic's error lies (without its marks for members of unions), and what
    it says in words."""
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    loc, info, models = _way(detail, model, data)
    about = f" ({' '.join(info.description.split())})" if info is not None and info.description else ""
    last = detail["loc"][-1] if detail["loc"] else ""
    if kind in ("missing", "extra_forbidden") and isinstance(last, str) and loc[-1:] != (last,):
        loc = (*loc, last)
    if kind == "missing":
        return loc, _missing(last, (*at, *loc), info, value, about)
    if kind == "extra_forbidden":
        return loc, _unknown(str(last), value, models, top=len(at) + len(loc) == 1)
    if kind == "at_field":
        field: str = context["field"]
        return (*(loc if any(field in m.model_fields for m in models) else loc[:-1]), field), detail["msg"]
    if kind == "value_error":
        return loc, " ".join(str(context["error"]).split())
    stem, _, tail = kind.partition("_")
    if stem in _KINDS and tail in _TAILS:
        return loc, _of_another_kind(stem, value, (*at, *loc), bool(_models_in(info)), about)
    if kind == "literal_error":
        close = difflib.get_close_matches(str(value), re.findall(r"'([^']*)'", context["expected"]), 1)
        hint = f"did you mean {close[0]!r}? It" if close else "it"
        return loc, f"{shown(value)} is not possible; {hint} must be {context['expected']}{about}"
    if kind in _BOUNDS:
        return loc, f"{shown(value)} is out of range; it must be {_BOUNDS[kind].format(**context)}{about}"
    if kind == "too_long" and "max_length" in context:
        return loc, f"{shown(value)} has too many values; give {context['max_length']}{about}"
    message = detail["msg"]
    return loc, f"{shown(value)} will not do: {message[:1].lower()}{message[1:]}{about}"


def _way(
    detail: ErrorDetails, model: type[BaseModel], data: Any
) -> tuple[Loc, FieldInfo | None, list[type[BaseModel]]]:
    """The error's place in the file, the field that it is about, and the models that can stand at that place."""
    loc: list[str | int] = []
    models, info = [model], None
    for step in detail["loc"]:
        known = [m.model_fields[step] for m in models if isinstance(step, str) and step in m.model_fields]
        if isinstance(data, list) and isinstance(step, int) and step < len(data):
            data = data[step]
            loc.append(step)
            continue
        if isinstance(data, dict) and step in data:
            data = data[step]
        elif not known:
            continue  # the name of a union's member
        if known:
            info = known[0]
            models = _models_in(info)
        loc.append(step)
    return tuple(loc), info, models


def _missing(last: object, at: Loc, info: FieldInfo | None, value: object, about: str) -> str:
    if isinstance(last, int):
        lengths = [len(args) for args in _tuples_of(info.annotation if info else None) if Ellipsis not in args]
        return f"{shown(value)} has too few values{f'; give {lengths[0]}' if lengths else ''}{about}"
    for table in _models_in(info)[:1]:
        needed = [name for name, field in table.model_fields.items() if field.is_required()]
        return f"this table is missing; add [{header(at)}]{' with ' * bool(needed)}{', '.join(needed)}"
    example = info.examples[0] if info is not None and info.examples else "…"
    text = f'"{example}"' if isinstance(example, str) and example != "…" else str(example)
    return f"is missing; add `{last} = {text}`{about}"


def _unknown(name: str, value: object, models: Sequence[type[BaseModel]], *, top: bool) -> str:
    fields = {field: info for m in models for field, info in m.model_fields.items()}

    def form(field: str) -> str:
        if not top or not _models_in(fields[field]):
            return f"`{field}`"
        return f"[[{field}]]" if _is_array(fields[field]) else f"[{field}]"

    return f"no {'table' if top and isinstance(value, dict | list) else 'setting'} is called so; " + nearest(
        name, fields, form
    )


def _of_another_kind(stem: str, value: object, at: Loc, of_tables: bool, about: str) -> str:
    if stem in ("list", "tuple") and of_tables:
        return f"must be a list of tables; write each of them as [[{header(at)}]]"
    if stem in ("dict", "model"):
        return f"{shown(value)} is not a table; write it as [{header(at)}]{about}"
    quoted = stem in ("int", "float") and isinstance(value, str) and value.strip("+-").replace(".", "").isdigit()
    fix = "write it without quotes" if quoted else f"write {_KINDS[stem]}"
    return f"{shown(value)} is not {_KINDS[stem]}; {fix}{about}"


def _models_in(info: FieldInfo | None) -> list[type[BaseModel]]:
    """The models that a field can hold, through unions, lists, mappings and Annotated."""
    return [] if info is None else list(_models_of(info.annotation))


def _models_of(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    for argument in typing.get_args(annotation):
        yield from _models_of(argument)


def _tuples_of(annotation: Any) -> Iterator[tuple[Any, ...]]:
    """What the tuples hold that a field can be."""
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is tuple:
        yield arguments
    else:
        for argument in arguments:
            yield from _tuples_of(argument)


def _is_array(info: FieldInfo) -> bool:
    return typing.get_origin(info.annotation) in (tuple, list)
