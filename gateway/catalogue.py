"""`tidegate gateway drivers`: the catalogue of what the installed drivers read, and all that one of them states.

What an instrument measures is told by its driver's schemas, under each of the settings that the driver suggests for an
unknown line, and under each shipped pattern or register map. Where a driver learns that from the instrument itself, a
simulated one is let speak to it for a while.
"""

import contextlib
import itertools
import json
import pkgutil
import shutil
import tomllib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from typing import Any

import typer
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from drivers import driver as drivers
from drivers.driver import Driver, DriverSettings
from drivers.simulators.simulator import Simulator
from gateway.health import label_of
from gateway.recognise import installed
from gateway.simulate import KINDS, build
from tidegate.clock import Arrival
from tidegate.frame import Field, Frame, Schema
from tidegate.settings import PATH_SCHEMA, nearest
from tidegate.vocabulary import PARAMETERS

_SIMULATED_S = 60
_START_NS = 1_767_225_600_000_000_000
_STEP_NS = 20_000_000
_SHIPPED = {"ascii": ("pattern", "drivers.patterns"), "modbus": ("map", "drivers.maps")}
"""Drivers that come with descriptions of instruments: the setting that names one, and where they are."""


# ---- what a driver states --------------------------------------------------------------------------------------------


def shipped(name: str) -> dict[str, dict[str, Any]]:
    """The patterns or register maps that come with the driver `name`, by their names: title, manufacturer, models,
    settings of a serial line as far as known, and the source that tells of the instrument; of other drivers none."""
    if name not in _SHIPPED:
        return {}
    texts = {
        path.name.removesuffix(".toml"): path.read_text("utf-8")
        for path in files(_SHIPPED[name][1]).iterdir()
        if path.name.endswith(".toml")
    }
    return {key: _told(text) for key, text in sorted(texts.items())}


def _told(text: str) -> dict[str, Any]:
    table = tomllib.loads(text)
    head = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    return {
        "title": table["title"],
        "manufacturer": table.get("manufacturer", ""),
        "models": table.get("models", []),
        "lines": table.get("serial", []),
        "source": table.get("source") or " ".join(line.strip("# ") for line in head),
    }


def measured(name: str, cls: type[Driver]) -> tuple[dict[str, Field], bool]:
    """(what such instruments measure, by name; whether only a simulated one told that)."""
    stated = _fields(schema for settings in _settings(name, cls) for schema in _schemas(cls, settings))
    return (stated, False) if stated else (_fields(_simulated(name, cls)), True)


def _settings(name: str, cls: type[Driver]) -> Iterator[DriverSettings]:
    yield from cls.guesses()
    if name in _SHIPPED:
        for key in shipped(name):
            with contextlib.suppress(ValidationError):  # some need further settings, as `columns`
                yield cls.Settings.model_validate({_SHIPPED[name][0]: key})


def _schemas(cls: type[Driver], settings: DriverSettings) -> Iterable[Schema]:
    return cls("it", settings).schemas()


def _fields(schemas: Iterable[Schema]) -> dict[str, Field]:
    return {f.name: f for schema in schemas for f in schema.fields}


def _simulated(name: str, cls: type[Driver]) -> Iterator[Schema]:
    """What a minute of each simulated instrument that speaks to this driver is decoded to."""
    for kind, place in KINDS.items():
        for speaks_to, *settings in pkgutil.resolve_name(place).drivers:
            if speaks_to == name and cls.guesses():
                yield from _overheard(build(kind, None, settings), cls("it", cls.guesses()[0]))


def _overheard(simulator: Simulator, driver: Driver) -> Iterator[Schema]:
    said, asked_ns, heard = driver.start() + driver.hail(), _START_NS, b""
    for now_ns in range(_START_NS, _START_NS + _SIMULATED_S * 10**9, _STEP_NS):
        if now_ns - asked_ns >= 10**9:
            said, asked_ns = said + driver.poll(), now_ns
        heard += simulator.receive(said, now_ns) + simulator.tick(now_ns)
        said = b""
    decoded = driver.feed(heard, Arrival(_START_NS, 0, "", True)) + driver.finish()
    yield from (item.schema for item in decoded if isinstance(item, Frame))


def stated(name: str) -> dict[str, Any]:
    """All that the driver `name` states, as plain JSON values. Raises `drivers.UnknownDriver`."""
    cls = drivers.load(name)
    fields, simulated = measured(name, cls)
    return {
        "driver": name,
        "title": cls.title,
        "manufacturer": cls.manufacturer,
        "models": list(cls.models),
        "transports": list(cls.transports),
        "lines": list(cls.lines),
        "parameters": [_parameter(f) for f in fields.values()],
        "parameters_of_a_simulated_one": simulated and bool(fields),
        "settings": {key: _setting(info) for key, info in cls.Settings.model_fields.items()},
        "commands": dict(cls.commands),
        "calibration": cls.calibration,
        "problems": dict(cls.problems),
        "shipped": shipped(name),
    }


def _parameter(f: Field) -> dict[str, Any]:
    known = PARAMETERS.get(f.name)
    return {
        "name": f.name,
        "label": label_of(f.name),
        "standard_name": known.standard_name if known else None,
        "unit": f.unit,
        "resolution": float(f.resolution),
        "profile": f.profile,
    }


def _setting(info: FieldInfo) -> dict[str, Any]:
    default = None if info.is_required() else info.get_default(call_default_factory=True)
    return {
        "type": type_in_words(info.annotation),
        "required": info.is_required(),
        "default": json.loads(json.dumps(default, default=str)),
        "description": " ".join((info.description or "").split()),
    }


def type_in_words(annotation: Any) -> str:
    """What a setting may hold, as one would say it."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return "file" if PATH_SCHEMA in inner else type_in_words(inner[0])
    if origin is typing.Literal:
        return " | ".join(json.dumps(choice) for choice in inner)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(dict.fromkeys(type_in_words(part) for part in inner if part is not type(None)))
    if origin is tuple or origin is list:
        several = inner[-1] is Ellipsis or origin is list
        each = type_in_words(inner[0])
        return f"list of {each}" if several else f"list of {len(inner)} times {each}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "table"
    words: dict[Any, str] = {bool: "true | false", int: "whole number", float: "number", str: "text"}
    if annotation in words:
        return words[annotation]
    return "file" if "Path" in getattr(annotation, "__name__", "") else "table"


# ---- the command -----------------------------------------------------------------------------------------------------


def drivers_command(name: str | None, as_json: bool) -> None:
    """Prints the catalogue, or all that one driver states. Raises typer.BadParameter with an unknown name."""
    if name is not None:
        _known(name)
    if as_json:
        told = stated(name) if name is not None else [_heading(*each) for each in installed().items()]
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(shutil.get_terminal_size().columns, 80)
    if name is None:
        _print_all(console)
    else:
        _Page(console).of(stated(name))


def _known(name: str) -> None:
    try:
        drivers.load(name)
    except drivers.UnknownDriver as error:
        near = nearest(name, drivers.names(), repr)
        hint = f"{near} " if near.startswith("did") else ""
        for holder, (setting, _) in _SHIPPED.items():
            if name in shipped(holder):
                hint = f"{name!r} is a {setting} of the driver {holder!r}, which tells of it; "
        raise typer.BadParameter(f"{hint}{error}", param_hint="NAME") from None


def _heading(name: str, cls: type[Driver]) -> dict[str, Any]:
    return {"driver": name, "manufacturer": cls.manufacturer, "models": list(cls.models), "title": cls.title}


def _print_all(console: Console) -> None:
    table = _grid()
    for name, cls in installed().items():
        heading = _heading(name, cls)
        table.add_row(Text(name, "bold"), Text(f"{heading['title']}\n{', '.join(heading['models'])}"))
    console.print(table)
    console.print("\nAll of one: tidegate gateway drivers NAME", markup=False)


class _Page:
    """Everything about one driver, for reading."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def of(self, told: Mapping[str, Any]) -> None:
        """Prints it."""
        self._console.print(Text(f"{told['driver']}: {told['title']}", "bold"))
        facts = {
            "manufacturer": told["manufacturer"],
            "models": ", ".join(told["models"]),
            "connected by": ", ".join(told["transports"]),
            "serial line": ", ".join(told["lines"]) + (" (as delivered first)" if len(told["lines"]) > 1 else ""),
            "calibration": told["calibration"] or "none is needed: it gives physical units",
        }
        self._rows("", ((key, value) for key, value in facts.items()))
        self._parameters(told)
        self._rows("Settings", ((key, _meaning(s)) for key, s in told["settings"].items()))
        self._rows("Shipped", ((key, _origin(s)) for key, s in told["shipped"].items()))
        self._rows("Commands", told["commands"].items())
        self._rows("Problems", told["problems"].items())

    def _parameters(self, told: Mapping[str, Any]) -> None:
        if not told["parameters"]:
            self._title("Parameters")
            self._console.print("  known when the instrument, its settings or its files have told them")
            return
        self._title("Parameters" + (" (of a simulated instrument)" if told["parameters_of_a_simulated_one"] else ""))
        table = _grid("", "unit", "resolution", "CF standard name")
        for p in told["parameters"]:
            label = f"{p['label']}{', profile' if p['profile'] else ''}"
            cf = p["standard_name"] or "none"
            table.add_row(Text(label), p["unit"], f"{p['resolution']:g}", Text(cf, overflow="fold"))
        self._console.print(Padding(table, (0, 0, 0, 2)))

    def _rows(self, title: str, rows: Iterable[tuple[str, str]]) -> None:
        table = _grid()
        for key, value in rows:
            table.add_row(Text(key, "bold", overflow="fold"), Text(value))
        if not table.row_count:
            return
        # What a command or setting is called may be long; what it means is more.
        table.columns[0].max_width = max(self._console.width // 3, 16)
        self._title(title)
        self._console.print(Padding(table, (0, 0, 0, 2)))

    def _title(self, title: str) -> None:
        if title:
            self._console.print(Text(f"\n{title}", "bold"))


def _grid(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=bool(headings))
    for heading in headings or ("", ""):
        table.add_column(heading, header_style="")
    return table


def _meaning(setting: Mapping[str, Any]) -> str:
    default = setting["default"]
    usual = "; needed" if setting["required"] else f"; {json.dumps(default)} if not given" if default else ""
    return f"{setting['description']}\n[{setting['type']}{usual}]".lstrip()


def _origin(told: Mapping[str, Any]) -> str:
    return f"{told['title']}\n{told['source']}"
