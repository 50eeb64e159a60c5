import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from central.web.coast import Box, around, cut, land


def area(ring: np.ndarray) -> float:
    x, y = ring.T
    return abs(float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))) / 2


def holds(box: Box, x: float, y: float) -> bool:
    """Whether a place is land, by counting the rings around it."""
    inside = False
    for is_land, ring in land(box):
        a, b = ring, np.roll(ring, -1, axis=0)
        crosses = (a[:, 1] > y) != (b[:, 1] > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            at = a[:, 0] + (y - a[:, 1]) / (b[:, 1] - a[:, 1]) * (b[:, 0] - a[:, 0])
        if np.count_nonzero(crosses & (x < at)) % 2:
            inside = is_land
    return inside


def test_land_is_land_and_sea_is_sea() -> None:
    strait = Box(103.0, 0.9, 104.6, 2.1)
    assert holds(strait, 103.82, 1.36)  # Singapore
    assert holds(strait, 103.5, 1.8)  # Johor
    assert not holds(strait, 104.35, 1.55)  # the sea east of it
    ocean = Box(-178.0, -25.0, 178.0, 25.0)
    assert not holds(ocean, -140.0, 0.0)
    assert holds(ocean, 20.0, 5.0)  # Africa, which Greenwich cuts in two


def test_fiji_is_on_both_sides_of_the_date_line() -> None:
    box = around(np.array([[178.4, -18.1], [-179.9, -16.8]]), ratio=1.0)
    assert box.east - box.west < 6
    assert holds(box, box.west + (178.5 - box.west) % 360.0, -17.8)  # Viti Levu


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.floats(-180, 360), st.floats(-78, 83)), min_size=1, max_size=8))
def test_the_box_holds_every_place(places: list[tuple[float, float]]) -> None:
    box = around(np.array(places), ratio=0.8)
    assert 0 < box.east - box.west <= 360
    for x, y in places:
        assert box.south <= y <= box.north
        assert (x - box.west) % 360.0 <= box.east - box.west + 1e-9


@settings(max_examples=100, derandomize=True, deadline=None)
@given(
    st.floats(0.5, 5), st.integers(3, 40), st.floats(-3, 3), st.floats(-3, 3),
)  # fmt: skip
def test_cutting_gives_what_lies_within(radius: float, corners: int, x: float, y: float) -> None:
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    ring = np.column_stack([x + radius * np.cos(angle), y + radius * np.sin(angle)])
    inside = cut(ring, Box(-2.0, -1.0, 2.0, 1.0))
    if len(inside):
        assert inside.min(axis=0).tolist() >= [-2.0 - 1e-9, -1.0 - 1e-9]
        assert inside[:, 0].max() <= 2 + 1e-9
        assert inside[:, 1].max() <= 1 + 1e-9
        whole = np.abs(ring) <= [2.0, 1.0]
        assert area(inside) <= area(ring) + 1e-9
        if whole.all():
            assert abs(area(inside) - area(ring)) < 1e-9
    else:
        assert not (np.abs(ring) <= [2.0, 1.0]).all(axis=1).any()
