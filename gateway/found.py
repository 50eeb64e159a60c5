"""An instrument that was found on a port, and the table of the gateway's file that it needs."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from drivers.driver import DriverSettings, Problem
from gateway.config import Port
from tidegate.frame import Frame

Tell = Callable[[str], None]


class PortUnusable(OSError):
    """The port cannot be opened, or broke; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Found:
    """An instrument on a port, and what is to stand in the gateway's file for it.

    `interval_s` is how far apart its samples were, None where that was not seen. `frames` and `problems` are what was
    decoded while probing, `told` what the instrument said of itself.
    """

    port: Port
    driver: str
    settings: DriverSettings
    confidence: float
    interval_s: float | None
    frames: tuple[Frame, ...] = ()
    problems: tuple[Problem, ...] = ()
    told: Mapping[str, Any] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        """How many samples were decoded."""
        return sum(map(len, self.frames))


def silent(_: str) -> None:
    """Tells nobody."""


def toml(name: str, found: Found) -> str:
    """The table of the gateway's file for what was found, as the instrument `name`."""
    lines = [f"[instruments.{name}]", f"driver = {_value(found.driver)}"]
    if found.interval_s is None:
        lines.append(f"interval_s = {_ASK_EVERY_S}  # not seen while probing: put how often it measures, or is to")
    else:
        lines.append(f"interval_s = {_value(float(found.interval_s))}")
    lines.append(f"port = {_value(_port_table(found.port))}")
    settings = found.settings.model_dump(mode="json", exclude_defaults=True)
    if settings:
        lines.append(f"settings = {_value(settings)}")
    return "\n".join(lines) + "\n"


_ASK_EVERY_S = 10.0
_ALWAYS = frozenset({"serial", "tcp", "udp", "modbus_tcp", "modbus_rtu", "baud"})


def _port_table(port: Port) -> dict[str, Any]:
    table = {}
    for key, info in type(port).model_fields.items():
        value = getattr(port, key)
        if key in _ALWAYS or value != info.default:
            table[key] = value if isinstance(value, int | float) else str(value)
    return table


def _value(value: Any) -> str:
    """`value` as TOML, on one line."""
    if isinstance(value, Mapping):
        items = (f"{_key(key)} = {_value(item)}" for key, item in value.items() if item is not None)
        return "{ " + ", ".join(items) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    # What JSON writes of texts, numbers and truths is TOML too, but for the one letter that TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(key: str) -> str:
    return key if key.isascii() and key.replace("_", "").replace("-", "").isalnum() else _value(key)
