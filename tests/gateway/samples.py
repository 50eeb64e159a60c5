"""Small Frames for tests of the gateway."""

import numpy as np

from tidegate.clock import Arrival, TimeSource
from tidegate.frame import Field, Frame, Schema

LEVEL = Schema("tide_gauge", (Field.of("water_surface_height_above_reference_datum"),))


def level(start: int, count: int = 1, instrument: str = "radar") -> Frame:
    """`count` samples a second apart from second `start` on; each level is its own second, in millimetres."""
    seconds = np.arange(start, start + count)
    arrival = Arrival(start * 10**9, start * 10**9, "00" * 8, True)
    values = {"water_surface_height_above_reference_datum": seconds / 1000}
    return Frame(instrument, LEVEL, seconds * 10**9, values, TimeSource.ARRIVAL, arrival)
