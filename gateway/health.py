"""How the gateway and its instruments do: counted where it happens, told in the state message and on the screen.

While nobody looks, a piece of data costs an instrument's health a few assignments. `Status` and what belongs to it are
made on request, for the control socket; they are what `tidegate gateway top` shows.
"""

import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from drivers.driver import Problem
from tidegate.frame import MISSING_INT, Field, Frame, Missing
from tidegate.messages import InstrumentState
from tidegate.vocabulary import PARAMETERS

STALE_AFTER_INTERVALS = 3
_STARTING_S = 20.0
"""What an instrument that has just been connected may take before it speaks: some warm up, or announce themselves."""
TRAIL = 60
"""So many of the newest samples are remembered."""
_MOST_KINDS = 64
_MOST_SCHEMAS = 32
_OTHER = "other"


# ---- what is told ----------------------------------------------------------------------------------------------------


class Message(BaseModel):
    """What goes over the control socket."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class FieldStatus(Message):
    """One value of an instrument, as it was last.

    `text` is the value in `unit` with the decimals that the instrument gives; empty where it is missing, and `missing`
    says why. Of a profile it is the span of its cells. `trail` are the values of the newest samples, oldest first, or
    of a profile its cells, nearest first.
    """

    name: str
    label: str
    unit: str
    text: str
    missing: str = ""
    cells: int = 0
    trail: list[float | None] = []


class ProblemStatus(Message):
    """One kind of problem: how often since the gateway started, when last, and in which words."""

    kind: str
    count: int
    ago_s: float
    message: str


class InstrumentStatus(Message):
    """One instrument: `every_s` is how far apart its samples are, `interval_s` how far they are meant to be.

    `heard_s` and `sample_s` are the seconds since the last bytes and the last sample.
    """

    driver: str
    port: str
    link: Literal["up", "down", "stale", "starting"]
    reason: str = ""
    interval_s: float | None = None
    every_s: float | None = None
    heard_s: float | None = None
    sample_s: float | None = None
    sample_ns: int | None = None
    samples: int = 0
    problems: list[ProblemStatus] = []
    """The latest first."""
    fields: list[FieldStatus] = []
    console: str = ""
    """Who talks to it at this moment."""


class LinkStatus(Message):
    """The link to the broker. `live` and `backfill` are the Envelopes that the hub has not acknowledged, by lane."""

    broker: str
    connected: bool
    since_ns: int
    error: str = ""
    live: int = 0
    backfill: int = 0
    sent: int = 0
    sent_bytes: int = 0
    resent: int = 0


class ClockStatus(Message):
    """The wall clock: whether it follows a reference, and by how much it may be off then."""

    disciplined: bool
    error_s: float | None = None


class DiskStatus(Message):
    """What the raw log and the spool take of what they may take, and what is free where they are."""

    directory: str
    raw_bytes: int
    raw_limit: int
    spool_bytes: int
    spool_limit: int
    free_bytes: int | None = None


class Status(Message):
    """All that a technician wants to know of a running gateway, at `at_ns`."""

    platform: str
    title: str = ""
    software: str = ""
    pid: int
    started_ns: int
    at_ns: int
    link: LinkStatus
    clock: ClockStatus
    disk: DiskStatus
    instruments: dict[str, InstrumentStatus] = {}


# ---- what is counted -------------------------------------------------------------------------------------------------


class _Step(NamedTuple):
    at_s: float
    samples: int
    values: tuple[Any, ...]


class _Stream:
    """The newest samples of one schema."""

    def __init__(self, frame: Frame) -> None:
        self.scalars = [f.name for f in frame.schema.fields if not f.profile]
        self.samples = 0
        self.newest = frame
        self.trail: deque[_Step] = deque(maxlen=TRAIL)

    def take(self, frame: Frame, at_s: float) -> None:
        self.newest = frame
        self.samples += len(frame)
        self.trail.append(_Step(at_s, self.samples, tuple(frame.columns[name][-1] for name in self.scalars)))

    def every_s(self, since_s: float) -> float | None:
        """How far apart the samples are that arrived since then; None of fewer than two."""
        steps = [step for step in self.trail if step.at_s >= since_s]
        if len(steps) < 2 or steps[-1].at_s <= steps[0].at_s:
            return None
        return (steps[-1].at_s - steps[0].at_s) / (steps[-1].samples - steps[0].samples)

    def fields(self) -> Iterator[FieldStatus]:
        place = {name: k for k, name in enumerate(self.scalars)}
        for f in self.newest.schema.fields:
            if f.profile:
                trail = thinned(_numbers(self.newest.columns[f.name][-1], f))
            else:
                trail = _numbers([step.values[place[f.name]] for step in self.trail], f)
            text, missing = value_text(self.newest, f, -1)
            yield FieldStatus(
                name=f.name,
                label=label_of(f.name),
                unit=f.unit,
                text=text,
                missing=missing,
                cells=self.newest.schema.width(f) if f.profile else 0,
                trail=trail,
            )


@dataclass
class InstrumentHealth:
    """One instrument: `link` is `starting`, `up`, `stale` (open, but silent for three intervals) or `down`."""

    interval_s: float | None
    link: Literal["up", "down", "stale", "starting"] = "starting"
    samples: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    last_problem: str = ""
    last_sample_ns: int | None = None
    heard_s: float = field(default_factory=time.monotonic)
    opened_s: float = 0.0
    spoken: bool = False
    sample_s: float | None = None
    _told: dict[str, tuple[float, str]] = field(default_factory=dict)
    _streams: dict[bytes, _Stream] = field(default_factory=dict)

    def opened(self) -> None:
        """The port has opened; the silence counts from now."""
        self.heard_s = self.opened_s = time.monotonic()
        self.link = "starting"

    def hear(self) -> None:
        """Bytes came from the instrument."""
        self.heard_s = time.monotonic()
        self.spoken = True
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
        if kind not in self.problems and len(self.problems) >= _MOST_KINDS:
            kind, message = _OTHER, f"{kind}: {message}"
        self.problems[kind] += times
        self.last_problem = f"{kind}: {message}"
        self._told[kind] = time.monotonic(), message

    def sample(self, frame: Frame) -> None:
        """Good samples came."""
        self.samples += len(frame)
        if not len(frame):
            return
        self.last_sample_ns = int(frame.time[-1])
        self.sample_s = time.monotonic()
        key = frame.schema.id
        stream = self._streams.get(key)
        if stream is None:
            if len(self._streams) >= _MOST_SCHEMAS:
                del self._streams[next(iter(self._streams))]
            stream = self._streams[key] = _Stream(frame)
        stream.take(frame, self.sample_s)

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

    def status(self, driver: str, port: str, reason: str, console: str) -> InstrumentStatus:
        """For the screen. `reason` says why the port is not open."""
        now_s = time.monotonic()
        problems = [
            ProblemStatus(kind=kind, count=self.problems[kind], ago_s=round(now_s - at_s, 1), message=message[:500])
            for kind, (at_s, message) in sorted(self._told.items(), key=lambda item: -item[1][0])
        ]
        fastest = max(self._streams.values(), key=lambda stream: stream.samples, default=None)
        return InstrumentStatus(
            driver=driver,
            port=port,
            link=self.link,
            reason=reason,
            interval_s=self.interval_s,
            every_s=fastest.every_s(self.opened_s) if fastest else None,
            heard_s=round(now_s - self.heard_s, 1) if self.spoken else None,
            sample_s=None if self.sample_s is None else round(now_s - self.sample_s, 1),
            sample_ns=self.last_sample_ns,
            samples=self.samples,
            problems=problems,
            fields=[f for stream in self._streams.values() for f in stream.fields()],
            console=console,
        )


# ---- in words --------------------------------------------------------------------------------------------------------


def label_of(name: str) -> str:
    """A parameter's name for people."""
    known = PARAMETERS.get(name)
    return known.label if known else name.replace("_", " ")


def with_unit(text: str, unit: str) -> str:
    """A value and its unit; a plain number has none."""
    return text if unit == "1" else f"{text} {unit}".rstrip()


def value_text(frame: Frame, f: Field, row: int) -> tuple[str, str]:
    """(a sample's value of a field with its decimals, why it is missing); of a profile the span of its cells."""
    column, missing = frame.columns[f.name][row], frame.missing(f.name)[row]
    if not f.profile:
        if missing:
            return "", Missing(int(missing)).name.lower().replace("_", " ")
        return f"{column:.{0 if f.integer else f.decimals}f}", ""
    good = column[missing == 0]
    if not len(good):
        return "", "no good cell"
    decimals = 0 if f.integer else f.decimals
    return f"{good.min():.{decimals}f} to {good.max():.{decimals}f}", ""


def _numbers(values: Sequence[Any], f: Field) -> list[float | None]:
    return [None if (v == MISSING_INT if f.integer else np.isnan(v)) else float(v) for v in values]


def thinned(values: list[float | None]) -> list[float | None]:
    """At most `TRAIL` of the values, evenly."""
    step = -(-len(values) // TRAIL)
    return values[::step] if step > 1 else values
