"""An instrument that was found on a port, and what is to stand in the gateway's file for it."""

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
