"""Whose bytes are these? Every driver is given what was heard, under each of the settings that it suggests.

A driver counts a byte as understood when it made no Problem of it. A candidate is a driver that made samples, or that
the instrument told who it is. So the confidence is the share of the bytes without problems, lessened while there are
few records. A tie goes to the driver that has more to lose: one that finds checksums, then the one that makes more
values of a byte. What an instrument says of itself goes before all that: where it names a model of one driver, it is
no other driver's.
"""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from drivers import driver as drivers
from drivers.driver import Driver, DriverSettings, Problem
from gateway.guard import FAULT, Guarded
from tidegate.clock import Arrival
from tidegate.frame import Frame

_log = logging.getLogger(__name__)

ENOUGH = 0.5
"""A guess of this confidence is worth acting upon."""
_HALF_CERTAIN = 0.5
"""Records after which the confidence of an undisturbed stream is one half."""
_A_NAME = 5
"""So many records an instrument's own word counts as."""


class Guess(NamedTuple):
    """What a driver makes of the bytes. `frames` and `problems` are all that it found."""

    driver: str
    settings: DriverSettings
    confidence: float
    """From 0 to 1."""
    frames: list[Frame]
    problems: list[Problem]
    told: Mapping[str, Any]
    """What the instrument said of itself: `model`, `serial` and the like; empty where it said nothing."""

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return sum(map(len, self.frames))

    @property
    def values(self) -> int:
        """How many values there are that are not missing."""
        return sum(int(np.count_nonzero(frame.missing(name) == 0)) for frame in self.frames for name in frame.columns)


def guesses(pieces: Sequence[tuple[bytes, Arrival]], names: Iterable[str] | None = None) -> list[Guess]:
    """What each installed driver (of those named) makes of the bytes, likeliest first; only those that found samples,
    or their instrument's name.

    An incomplete record at the beginning or the end of the bytes counts against nobody.
    """
    size = sum(len(data) for data, _ in pieces)
    found = []
    for name, cls in installed().items():
        if names is not None and name not in names:
            continue
        for settings in cls.guesses():
            guess = _guess(name, cls, settings, pieces, size)
            if guess is not None:
                found.append(guess)
    return sorted(found, key=_rank, reverse=True)


@cache
def installed() -> Mapping[str, type[Driver]]:
    """The drivers by their names; one that does not load costs the others nothing."""
    found = {}
    for name in drivers.names():
        try:
            found[name] = drivers.load(name)
        except Exception as error:  # a third party's module may fail in any way when it is imported
            _log.warning("the driver %r does not load (%s: %s)", name, type(error).__name__, error)
    return found


def _guess(
    name: str, cls: type[Driver], settings: DriverSettings, pieces: Sequence[tuple[bytes, Arrival]], size: int
) -> Guess | None:
    guarded = Guarded(cls(name, settings))
    before = _said(guarded)
    items = guarded.feed_all(pieces)
    problems = [item for item in items if isinstance(item, Problem)]
    after = _said(guarded)
    frames = [item for item in [*items, *guarded.finish()] if isinstance(item, Frame)]
    samples = sum(map(len, frames))
    told = _told(before, after, at_most_name=bool(samples))
    who = _whose(str(told.get("model", "")))
    if not (samples or told) or (who and name not in who):
        return None
    if any(p.kind == FAULT for p in problems):
        return Guess(name, settings, 0.0, frames, problems, told)
    no_fault = _REFUSALS | _LACKING if told else _REFUSALS
    faults = [p for p in problems if p.kind not in no_fault]
    first = faults[0].size if faults and faults[0].offset == 0 else 0
    broken = sum(p.size for p in faults) - first
    understood = max(1.0 - broken / max(size - first, 1), 0.0)
    records = samples + (_A_NAME if told else 0)
    return Guess(name, settings, understood * records / (records + _HALF_CERTAIN), frames, problems, told)


def _said(guarded: Guarded) -> Mapping[str, Any]:
    """What a driver knows of its instrument: its description, and what it measures."""
    try:
        measures = ", ".join(dict.fromkeys(f.name for schema in guarded.driver.schemas() for f in schema.fields))
    except Exception as error:  # any driver's fault is its own
        guarded.fault(error)
        measures = ""
    return {**guarded.description(), "measures": measures}


def _told(before: Mapping[str, Any], after: Mapping[str, Any], *, at_most_name: bool) -> Mapping[str, Any]:
    """What of that is new, where the instrument's name or number is among it. What it measures counts only where
    that was not learned from samples."""
    news = {key: value for key, value in after.items() if value and value != before.get(key)}
    measures = news.pop("measures", "")
    if measures and not at_most_name:
        news["measures"] = measures
    return news if news.keys() & {"model", "serial", "measures"} else {}


def _whose(model: str) -> set[str]:
    """The drivers that have this model, whatever way it is written."""
    said = _plain(model)
    if len(said) < _SHORTEST:
        return set()
    return {name for name, models in _models().items() if any(said.startswith(m) or m.startswith(said) for m in models)}


def half_known(pieces: Sequence[tuple[bytes, Arrival]], names: Iterable[str]) -> list[str]:
    """The drivers to whom most of the bytes are no strangers': talk, or good records that lack something which the
    instrument could tell, such as what its columns are."""
    size = sum(len(data) for data, _ in pieces)
    return [name for name in names if any(_strange(name, s, pieces) < size / 2 for s in installed()[name].guesses())]


def _strange(name: str, settings: DriverSettings, pieces: Sequence[tuple[bytes, Arrival]]) -> int:
    items = Guarded(installed()[name](name, settings)).feed_all(pieces)
    return sum(item.size for item in items if isinstance(item, Problem) and item.kind not in _LACKING)


_LACKING = frozenset({"columns", "channels", "calibration", "unit"})
_REFUSALS = frozenset({"exception"})
"""An instrument that refuses a question of another's is understood."""
_SHORTEST = 4


@cache
def _models() -> Mapping[str, Sequence[str]]:
    return {
        name: [plain for model in cls.models if len(plain := _plain(model)) >= _SHORTEST]
        for name, cls in installed().items()
    }


def _plain(model: str) -> str:
    return re.sub(r"[^a-z0-9]", "", model.lower())


def _rank(guess: Guess) -> tuple[float, bool, bool, int]:
    checked = any("checksum" in kind or "crc" in kind for kind in installed()[guess.driver].problems)
    return round(guess.confidence, 2), bool(guess.told), checked, guess.values
