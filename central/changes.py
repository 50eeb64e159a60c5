"""The change log: what the hub knows, as a sequence of changes with a cursor. Every view of the data follows it.

A `Change` says of a block of samples of one instrument that they are new (`INSERT`), that something about them is
now known better, usually their flags (`CORRECT`), or that they are withdrawn (`RETRACT`). A view that applies the
changes in order, each replacing what it has for the same (platform, instrument, time), holds the hub's present
knowledge; up to a cursor, it holds what was known then.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from tidegate.frame import Frame

Flags = npt.NDArray[np.uint8]


class Op(IntEnum):
    """What a change does to the samples it names."""

    INSERT = 1
    CORRECT = 2
    RETRACT = 3


class Flag(IntEnum):
    """QARTOD's flags (Manual for the Use of Real-Time Oceanographic Data Quality Control Flags, version 1.2)."""

    PASS = 1
    NOT_EVALUATED = 2
    SUSPECT = 3
    FAIL = 4
    MISSING = 9


@dataclass(frozen=True, slots=True)
class Stages:
    """When a block of samples passed each stage, UTC nanoseconds. The samples' own times are the stage before."""

    made_ns: int
    """The gateway closed its Envelope."""
    received_ns: int
    """The hub got it."""
    journaled_ns: int
    """It was on the hub's disk."""
    processed_ns: int
    """It was judged and entered the change log."""


@dataclass(frozen=True, eq=False)
class Change:
    """One entry of the change log. `flags[name]` is shaped as the Frame's column `name`; every column has them."""

    op: Op
    platform: str
    frame: Frame
    flags: Mapping[str, Flags]
    stages: Stages
    epoch: str = ""
    seq: int = 0
    """The Envelope that brought the samples, or, of a correction, the one that caused it."""
