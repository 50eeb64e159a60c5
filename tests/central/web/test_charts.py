import json
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from central.web.charts import heat, thin, tide, trace
from tidegate.frame import Cells

S = 1_000_000_000
T0 = 1_770_000_000 * S


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.integers(1, 5000), st.integers(30, 800), st.integers(0, 2**31), st.floats(0, 0.5))
def test_thinning_keeps_ends_extremes_and_order(n: int, most: int, seed: int, share: float) -> None:
    random = np.random.default_rng(seed)
    values = random.normal(size=n)
    values[random.random(n) < share] = np.nan
    kept = thin(values, most)
    assert (np.diff(kept) > 0).all()
    assert kept[0] == 0
    assert kept[-1] == n - 1
    holes = np.count_nonzero(np.isnan(values[1:]) & ~np.isnan(values[:-1]))
    assert len(kept) <= most + holes + 2
    if not np.isnan(values).all():
        assert np.nanmax(values[kept]) == np.nanmax(values)
        assert np.nanmin(values[kept]) == np.nanmin(values)


def points(options: dict[str, Any], name: str) -> Any:
    return next(s["data"] for s in options["series"] if s["name"] == name)


def test_each_flag_has_its_marks_and_a_line_breaks_where_nothing_was_measured() -> None:
    at = np.array([0, 10, 20, 30, 90, 100, 110, 120])
    values = np.array([1.0, 2.0, 9.0, 2.0, 2.0, np.nan, 2.5, 3.0])
    flags = np.array([1, 3, 4, 1, 1, 9, 2, 1], np.uint8)
    options = trace(
        T0 + at * S, values, flags, decimals=3, interval_s=10, start_ns=T0, end_ns=T0 + 200 * S
    )  # fmt: skip
    ms = T0 // 1_000_000
    assert points(options, "3 suspect") == [[ms + 10_000, 2.0]]
    assert points(options, "4 fail") == [[ms + 20_000, 9.0]]
    assert points(options, "2 not evaluated") == [[ms + 110_000, 2.5]]
    assert points(options, "9 missing") == [[ms + 100_000, 0]]
    line = [value for _, value in points(options, "value")]
    assert line == [1.0, 2.0, 9.0, 2.0, None, 2.0, None, 2.5, 3.0]
    shapes = [s["symbol"] for s in options["series"] if s["type"] == "scatter"]
    assert len(set(shapes)) == len(shapes)
    json.dumps(options, allow_nan=False)


def test_a_heat_map_shows_each_cell_in_the_column_of_its_time() -> None:
    at = np.array([0, 60, 240])
    values = np.array([[0.1, -0.2], [np.nan, 0.4], [0.5, 0.6]])
    options = heat(
        T0 + at * S, values, Cells(2, 1.5, 1.0, True), signed=True, interval_s=60, start_ns=T0, end_ns=T0 + 300 * S
    )  # fmt: skip
    assert options["series"][0]["data"] == [[0, 0, 0.1], [0, 1, -0.2], [1, 1, 0.4], [4, 0, 0.5], [4, 1, 0.6]]
    assert options["yAxis"]["data"] == ["1.5", "2.5"]
    assert options["visualMap"]["min"] == -options["visualMap"]["max"]
    empty = heat(
        np.empty(0, np.int64), np.empty((0, 2)), Cells(2, 1.5, 1.0, True), signed=False, interval_s=60,
        start_ns=T0, end_ns=T0 + 300 * S,
    )  # fmt: skip
    json.dumps(empty, allow_nan=False)


def test_a_residual_is_observed_minus_predicted_and_has_no_line_across_a_hole() -> None:
    ahead = T0 + np.arange(0, 7200, 360) * S
    seen = np.array([0, 360, 720, 4000, 4360])
    level, rest = tide(T0 + seen * S, np.full(5, 2.0), ahead, np.full(len(ahead), 1.5), now_ns=T0 + 4400 * S)
    assert [v for _, v in rest["series"][0]["data"]] == [0.5, 0.5, 0.5, None, 0.5, 0.5]
    json.dumps([level, rest], allow_nan=False)
