"""Stores: views of the change log that keep samples for people and programs to read back.

A store is fed batches of `(cursor, Change)` in log order, each at least once: after a crash a batch may come again,
whole or in part, and must leave the same state. What a store holds can always be built again from the change log.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from central.changes import Change

Batch = Sequence[tuple[int, Change]]


class Stream(NamedTuple):
    """One parameter of one instrument. Where it profiles, all its cells together."""

    platform: str
    instrument: str
    parameter: str


class Store(Protocol):
    """What a follower of the change log writes to."""

    name: str

    def write(self, batch: Batch) -> None:
        """Take a batch, cursors ascending.

        Raises `StoreUnavailable` where nothing is wrong with the batch: give the same one again later. Raises
        `StoreRefused` after everything else of the batch went in: note the refusals and go on.
        """
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


class StoreError(Exception):
    """Something that a store could not do; the message says which store, what, and the remedy."""


class StoreUnavailable(StoreError):
    """The store cannot take anything now: it is down, overloaded, full, or does not let us in."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One change that a store will never take, and the evidence."""

    cursor: int
    change: Change
    points: int
    """How many points of the change did not go in, as far as the store tells; else how many it has."""
    reason: str
    """In the store's own words."""


class StoreRefused(StoreError):
    """Some changes of a batch are not in the store, and never will be; all others of the batch are."""

    def __init__(self, store: str, refusals: Sequence[Refusal]) -> None:
        first = refusals[0]
        frame = first.change.frame
        super().__init__(
            f"{store}: refused {sum(r.points for r in refusals)} points of {len(refusals)} changes, the first at cursor"
            f" {first.cursor} of {first.change.platform}/{frame.instrument} ({frame.schema.kind!r}): {first.reason}"
        )
        self.refusals = tuple(refusals)
