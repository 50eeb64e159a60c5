"""How the gateway and its instruments do: counted where it happens, told in the state message and on the screen."""

import time
from collections import Counter
from dataclasses import dataclass, field

from drivers.driver import Problem
from tidegate.frame import Frame
from tidegate.messages import InstrumentState

STALE_AFTER_INTERVALS = 3
_STARTING_S = 20.0
"""What an instrument that has just been connected may take before it speaks: some warm up, or announce themselves."""


@dataclass
class InstrumentHealth:
    """One instrument: `link` is `starting`, `up`, `stale` (open, but silent for three intervals) or `down`."""

    interval_s: float | None
    link: str = "starting"
    samples: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    last_problem: str = ""
    last_sample_ns: int | None = None
    heard_s: float = field(default_factory=time.monotonic)

    def opened(self) -> None:
        """The port has opened; the silence counts from now."""
        self.heard_s = time.monotonic()
        self.link = "starting"

    def hear(self) -> None:
        """Bytes came from the instrument."""
        self.heard_s = time.monotonic()
        self.link = "up"

    def quiet(self) -> None:
        """Nothing came for a while."""
        patience_s = STALE_AFTER_INTERVALS * (self.interval_s or 20.0)
        if not self.samples:
            patience_s = max(patience_s, _STARTING_S)
        if self.link in ("up", "starting") and time.monotonic() - self.heard_s > patience_s:
            self.link = "stale"
            self.note("silent", f"silent for more than {patience_s:g} s: check power, wiring and baud rate")

    def lost(self, reason: str) -> None:
        """The port is gone."""
        self.link = "down"
        self.note("gone", reason)

    def note(self, kind: str, message: str, times: int = 1) -> None:
        """Something went wrong, so many times."""
        self.problems[kind] += times
        self.last_problem = f"{kind}: {message}"

    def sample(self, frame: Frame) -> None:
        """Good samples came."""
        self.samples += len(frame)
        if len(frame):
            self.last_sample_ns = int(frame.time[-1])

    def problem(self, problem: Problem) -> None:
        """The driver met something that is no good record."""
        self.note(problem.kind, problem.message)

    def state(self) -> InstrumentState:
        """For the state message."""
        return InstrumentState.model_validate(
            {
                "link": self.link,
                "samples": self.samples,
                "problems": dict(self.problems),
                "last_problem": self.last_problem,
                "last_sample_ns": self.last_sample_ns,
            }
        )
