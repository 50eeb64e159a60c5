"""Whose bytes are these? Every driver is given what was heard, under each of the settings that it suggests.

A driver counts a byte as understood when it made no Problem of it, and only a driver that made samples is a
candidate. So the confidence is the share of the bytes without problems, lessened while there are few records, and a
tie goes to the driver that has more to lose: one that finds checksums, then the one that makes more values of a byte.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from drivers import driver as drivers
from drivers.driver import Driver, DriverSettings, Problem
from gateway.guard import FAULT, Guarded
from tidegate.clock import Arrival
from tidegate.frame import Frame

ENOUGH = 0.5
"""A guess of this confidence is worth acting upon."""
_HALF_CERTAIN = 0.5
"""Records after which the confidence of an undisturbed stream is one half."""


class Guess(NamedTuple):
    """What a driver makes of the bytes. `frames` and `problems` are all that it found."""

    driver: str
    settings: DriverSettings
    confidence: float
    """From 0 to 1."""
    frames: list[Frame]
    problems: list[Problem]

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return sum(map(len, self.frames))

    @property
    def values(self) -> int:
        """How many values there are that are not missing."""
        return sum(int(np.count_nonzero(frame.missing(name) == 0)) for frame in self.frames for name in frame.columns)


def guesses(pieces: Sequence[tuple[bytes, Arrival]], names: Iterable[str] | None = None) -> list[Guess]:
    """What each installed driver (of those named) makes of the bytes, likeliest first; only those that found samples.

    An incomplete record at the end of the bytes counts against nobody.
    """
    size = sum(len(data) for data, _ in pieces)
    found = []
    for name in names if names is not None else drivers.names():
        cls = drivers.load(name)
        for settings in cls.guesses():
            guess = _guess(name, cls, settings, pieces, size)
            if guess.samples:
                found.append(guess)
    return sorted(found, key=_rank, reverse=True)


def _guess(
    name: str, cls: type[Driver], settings: DriverSettings, pieces: Sequence[tuple[bytes, Arrival]], size: int
) -> Guess:
    guarded = Guarded(cls(name, settings))
    items = guarded.feed_all(pieces)
    problems = [item for item in items if isinstance(item, Problem)]
    frames = [item for item in [*items, *guarded.finish()] if isinstance(item, Frame)]
    samples = sum(map(len, frames))
    broken = size if any(p.kind == FAULT for p in problems) else sum(p.size for p in problems)
    understood = max(1.0 - broken / max(size, 1), 0.0)
    return Guess(name, settings, understood * samples / (samples + _HALF_CERTAIN), frames, problems)


def _rank(guess: Guess) -> tuple[float, bool, int]:
    checked = any("checksum" in kind or "crc" in kind for kind in drivers.load(guess.driver).problems)
    return round(guess.confidence, 2), checked, guess.values
