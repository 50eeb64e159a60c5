"""Tide analysis and prediction against UTide, NOAA's accepted constants, days that were held out, and itself."""

import json
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import utide
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from central.forecast.constituents import CONSTITUENTS, basis, speed
from central.forecast.tide import TideModel, extremes, fit, predict, select_constituents
from tests.recordings import DATA, needs_recordings

_S = 1_000_000_000
_HOUR = 3600 * _S
_DAY = 24 * _HOUR
_START = int(np.datetime64("2023-03-07T05:00", "ns").astype(np.int64))
_MONTH_S = 31 * 86_400.0


class Gauges:
    """The hourly levels of twenty NOAA gauges in 2023."""

    def __init__(self) -> None:
        with np.load(DATA / "tide" / "noaa_2023" / "hourly_2023.npz") as file:
            hours = np.rint(file["t_days"].astype(np.float64) * 24).astype(np.int64)
            self.time_ns = int(np.datetime64("2023-01-01", "ns").astype(np.int64)) + hours * _HOUR
            self.level = file["levels"].T.astype(np.float64)
            self.latitude = file["lats"]
            self.ids = tuple(str(i) for i in file["ids"])

    def fit(self, first: int, last: int, **options: Any) -> TideModel:
        part = slice(first, last)
        return fit(self.time_ns[part], self.level[:, part], self.latitude, self.ids, **options)


@pytest.fixture(scope="module")
def gauges() -> Gauges:
    return Gauges()


def vectors(model: TideModel) -> NDArray[np.complex128]:
    return np.asarray(model.amplitude * np.exp(-1j * np.deg2rad(model.phase)), dtype=np.complex128)


def by_utide(
    time_ns: NDArray[np.int64], level: NDArray[np.float64], latitude: float, names: Sequence[str], **options: Any
) -> tuple[dict[str, complex], float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        solved = utide.solve(
            time_ns / _DAY + 719_163.0, level, lat=latitude, constit=list(names), nodal=True, trend=False,
            method="ols", conf_int="none", epoch="python", verbose=False, **options,
        )  # fmt: skip
    z = solved.A * np.exp(-1j * np.deg2rad(solved.g))
    return dict(zip(solved.name, z, strict=True)), float(solved.mean)


def exact(
    names: Sequence[str], z: NDArray[np.complex128], time_ns: NDArray[np.int64], latitude: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The tide with the astronomy worked out at every sample: slow, and free of the day-wise tables of the module."""
    return np.asarray(np.einsum("stk,sk->st", basis(names, time_ns, latitude), z).real)


def same(a: TideModel, b: TideModel) -> None:
    """The two say the same to rounding; the phase of nothing says nothing."""
    assert a.constituents == b.constituents
    for name in ("mean", "rmse", "samples", "span_s", "inferred"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=0, atol=1e-7, err_msg=name)
    np.testing.assert_allclose(vectors(a), vectors(b), rtol=0, atol=1e-9)


# --- against others -------------------------------------------------------------------------------------------


@needs_recordings
@pytest.mark.parametrize("first", [0, 4000])
def test_a_month_of_every_gauge_agrees_with_utide(gauges: Gauges, first: int) -> None:
    part = slice(first, first + 31 * 24)
    model = gauges.fit(part.start, part.stop)
    assert {"M2", "S2", "K1", "O1", "N2", "M4"} <= set(model.constituents)
    for row, z in enumerate(vectors(model)):
        theirs, mean = by_utide(gauges.time_ns[part], gauges.level[row, part], gauges.latitude[row], model.constituents)
        for name, ours in zip(model.constituents, z, strict=True):
            assert abs(ours - theirs[name]) < 1e-4, (gauges.ids[row], name)
        assert abs(model.mean[row] - mean) < 1e-4


@needs_recordings
def test_eight_close_constituents_asked_for_in_a_month_agree_with_utide(gauges: Gauges) -> None:
    names = ("M2", "S2", "N2", "K2", "K1", "O1", "P1", "Q1")
    model = gauges.fit(0, 31 * 24, constituents=names)
    assert set(model.constituents) == set(names)
    assert np.isfinite(model.amplitude).all()
    for row in (0, 5, 12, 19):
        theirs, _ = by_utide(gauges.time_ns[:744], gauges.level[row, :744], gauges.latitude[row], names)
        for name, ours in zip(model.constituents, vectors(model)[row], strict=True):
            assert abs(ours - theirs[name]) < 5e-4, (gauges.ids[row], name)


@needs_recordings
def test_a_year_with_gaps_agrees_with_utide(gauges: Gauges) -> None:
    level = gauges.level.copy()
    rng = np.random.default_rng(7)
    level[rng.random(level.shape) < 0.1] = np.nan
    level[2, 3000:4100] = np.nan
    model = fit(gauges.time_ns, level, gauges.latitude, gauges.ids)
    assert {"SA", "SSA", "K2", "P1", "T2", "S1"} <= set(model.constituents)
    for row in (2, 17):
        theirs, mean = by_utide(gauges.time_ns, level[row], gauges.latitude[row], model.constituents)
        for name, ours in zip(model.constituents, vectors(model)[row], strict=True):
            assert abs(ours - theirs[name]) < 1e-4, (gauges.ids[row], name)
        assert abs(model.mean[row] - mean) < 1e-4


@needs_recordings
def test_inference_agrees_with_utide(gauges: Gauges) -> None:
    part = slice(0, 31 * 24)
    model = gauges.fit(part.start, part.stop, infer=True)
    follows = [name for name, yes in zip(model.constituents, model.inferred[0], strict=True) if yes]
    ratio = {"P1": ("K1", 0.3315), "K2": ("S2", 0.2716), "NU2": ("N2", 0.19), "T2": ("S2", 0.0585)}
    assert set(follows) == set(ratio)
    inference = utide.utilities.Bunch(
        inferred_names=np.array(follows),
        reference_names=np.array([ratio[name][0] for name in follows]),
        amp_ratios=np.array([ratio[name][1] for name in follows]),
        phase_offsets=np.zeros(len(follows)),
        approximate=False,
    )
    fitted = [name for name in model.constituents if name not in follows]
    for row in (0, 9, 19):
        theirs, _ = by_utide(
            gauges.time_ns[part], gauges.level[row, part], gauges.latitude[row], fitted, infer=inference
        )
        for name, ours in zip(model.constituents, vectors(model)[row], strict=True):
            assert abs(ours - theirs[name]) < 2e-4, (gauges.ids[row], name)


@needs_recordings
def test_a_year_gives_the_constants_noaa_accepts(gauges: Gauges) -> None:
    """NOAA's are of other and longer records; the gauges in rivers and inlets differ most."""
    accepted = json.loads((DATA / "tide" / "noaa_2023" / "harcon.json").read_text())
    model = gauges.fit(0, len(gauges.time_ns))
    z = vectors(model)
    for name in ("M2", "S2", "N2", "K1", "O1", "K2", "P1", "Q1"):
        constants = np.array([accepted[i][name] for i in gauges.ids])
        apart = np.abs(
            z[:, model.constituents.index(name)] - constants[:, 0] * np.exp(-1j * np.deg2rad(constants[:, 1]))
        )
        assert np.median(apart) < 0.01, name
        assert apart.max() < 0.08, name


@needs_recordings
def test_months_that_were_held_out_are_predicted(gauges: Gauges) -> None:
    """A fit of January to August leaves of September to December what weather and season make: less than 15 cm at the
    median gauge, where UTide with its own constituents leaves no less."""
    model = gauges.fit(0, 243 * 24)
    rest = slice(243 * 24, None)
    left = gauges.level[:, rest] - predict(model, gauges.time_ns[rest])
    assert np.median(np.sqrt(np.mean(left**2, axis=1))) < 0.15
    assert np.all(left.std(axis=1) < 0.75 * gauges.level[:, rest].std(axis=1))
    for row in (0, 1, 2):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            days = gauges.time_ns / _DAY + 719_163.0
            theirs = utide.solve(
                days[: 243 * 24], gauges.level[row, : 243 * 24], lat=gauges.latitude[row], trend=False, method="ols",
                conf_int="none", epoch="python", verbose=False,
            )  # fmt: skip
            tide = utide.reconstruct(days[rest], theirs, epoch="python", verbose=False).h
        assert left[row].std() < np.std(gauges.level[row, rest] - tide)


@needs_recordings
@pytest.mark.parametrize("days", [20, 29, 60])
def test_inference_makes_the_next_months_of_a_short_record_better(gauges: Gauges, days: int) -> None:
    later = slice((days + 60) * 24, (days + 74) * 24)
    spread = [
        (gauges.level[:, later] - predict(gauges.fit(0, days * 24, infer=infer), gauges.time_ns[later])).std(axis=1)
        for infer in (False, True)
    ]
    assert np.mean(spread[1]) < 0.9 * np.mean(spread[0])


# --- against itself -------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    latitude=st.floats(-80, 80),
    days=st.integers(16, 60),
    missing=st.floats(0, 0.7),
    step_s=st.sampled_from([360, 600, 1713, 3600]),
    jitter=st.booleans(),
)
def test_a_tide_is_recovered_from_any_record(
    seed: int, latitude: float, days: int, missing: float, step_s: int, jitter: bool
) -> None:
    rng = np.random.default_rng(seed)
    time_ns = _START + np.arange(0, days * 86_400, step_s) * _S
    if jitter:
        time_ns = time_ns + rng.integers(-step_s * _S // 3, step_s * _S // 3, len(time_ns))
    names = select_constituents((days - 1) * 86_400.0)
    z = rng.uniform(0, 1.5, (2, len(names))) * np.exp(2j * np.pi * rng.random((2, len(names))))
    mean = rng.uniform(-10, 10, (2, 1))
    at = np.array([latitude, -latitude])
    level = mean + exact(names, z, time_ns, at)
    gone = rng.random(level.shape) < missing
    gone[:, len(time_ns) // 3 : len(time_ns) // 3 + int(missing * len(time_ns) / 4)] = True
    model = fit(time_ns, np.where(gone, np.nan, level), at, ("a", "b"), names)

    assert np.array_equal(model.samples, (~gone).sum(axis=1))
    assert model.constituents == names
    # What gaps leave unresolved is left out, and then others cannot be as given.
    whole = np.isfinite(model.amplitude).all(axis=1)
    scale = np.sum(np.abs(z), axis=1)
    assert np.all(np.abs(vectors(model) - z).max(axis=1)[whole] < 1e-3 * scale[whole])
    assert np.all(np.abs(predict(model, time_ns) - level).max(axis=1)[whole] < 1e-3 * scale[whole])
    assert whole.all() or missing > 0.3


@settings(max_examples=12, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), infer=st.booleans())
def test_a_batch_says_what_each_gauge_alone_says(seed: int, infer: bool) -> None:
    """Gauges of other spans, gaps and latitudes in one batch, in any order of samples."""
    rng = np.random.default_rng(seed)
    time_ns = np.sort(_START + rng.choice(50 * 240, 50 * 60, replace=False) * 360 * _S)
    at = np.array([0.0, 3.0, -45.0, 61.0, 10.0, -1.0])
    level = rng.normal(0, 1, (6, len(time_ns)))
    level[rng.random(level.shape) < rng.uniform(0, 0.6, (6, 1))] = np.nan
    level[0, 1000:] = np.nan
    level[3] = np.nan
    level[4, 5:] = np.nan
    level[5, : rng.integers(0, len(time_ns))] = np.nan
    ids = tuple("abcdef")
    shuffled = rng.permutation(len(time_ns))
    batch = fit(time_ns[shuffled], level[:, shuffled], at, ids, infer=infer)
    later = time_ns[-1] + rng.integers(0, 10**9, 50) * 10_000
    for row in range(6):
        alone = fit(time_ns, level[row : row + 1], at[row : row + 1], ids[row : row + 1], infer=infer)
        has = [k for k, a in enumerate(batch.amplitude[row]) if np.isfinite(a)]
        assert tuple(batch.constituents[k] for k in has) == alone.constituents
        np.testing.assert_allclose(vectors(batch)[row, has], vectors(alone)[0], rtol=0, atol=1e-8)
        np.testing.assert_allclose(batch.rmse[row], alone.rmse[0], rtol=0, atol=1e-8)
        np.testing.assert_allclose(predict(batch, later)[row], predict(alone, later)[0], rtol=0, atol=1e-8)


def test_more_gauges_than_fit_into_memory_at_once_are_fitted_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    time_ns = _START + np.arange(40 * 24) * _HOUR
    level = rng.normal(0, 1, (9, len(time_ns)))
    level[rng.random(level.shape) < 0.3] = np.nan
    at, ids = np.linspace(-30, 30, 9), tuple("abcdefghi")
    whole = fit(time_ns, level, at, ids)
    once = predict(whole, time_ns)
    monkeypatch.setattr("central.forecast.tide._CHUNK", 2 * (len(time_ns) + 41 * 40))
    same(fit(time_ns, level, at, ids), whole)
    np.testing.assert_allclose(predict(whole, time_ns), once, rtol=0, atol=1e-12)


def test_rmse_is_that_of_observed_minus_predicted() -> None:
    rng = np.random.default_rng(5)
    time_ns = _START + np.arange(35 * 24) * _HOUR
    level = 4.0 + np.sin(np.arange(35 * 24) / 1.97) + rng.normal(0, 0.2, (1, len(time_ns)))
    level[:, 100:160] = np.nan
    for infer in (False, True):
        model = fit(time_ns, level, np.array([7.0]), ("a",), infer=infer)
        left = level - predict(model, time_ns)
        assert model.rmse[0] == pytest.approx(np.sqrt(np.nanmean(left**2)), abs=1e-9)
        assert np.nanmean(left) == pytest.approx(0, abs=1e-9)


def test_a_year_of_minutes_is_one_record_like_any_other() -> None:
    time_ns = _START + np.arange(365 * 1440) * 60 * _S
    names = ("M2", "K1", "S2", "O1", "P1", "N2", "K2", "SA")
    z = np.array([[1.0, 0.4, 0.5, 0.3, 0.1, 0.2, 0.14, 0.1]]) * np.exp(1j * np.arange(8))
    at = np.array([0.0])
    hourly = fit(time_ns[::60], exact(names, z, time_ns[::60], at), at, ("a",), names)
    level = predict(hourly, time_ns)
    assert np.abs(level[:, 700:2000] - exact(names, z, time_ns[700:2000], at)).max() < 1e-3
    level[:, 200_000:230_000] = np.nan
    level[:, ::97] = np.nan
    model = fit(time_ns, level, at, ("a",))
    index = [model.constituents.index(name) for name in hourly.constituents]
    assert np.abs(vectors(model)[0, index] - vectors(hourly)[0]).max() < 1e-9
    assert model.rmse[0] < 1e-6


def test_prediction_holds_at_single_instants_far_apart_and_in_any_order() -> None:
    names = ("M2", "K1", "S2", "O1", "M4")
    z = np.array([[1.2, 0.6, 0.5, 0.4, 0.1], [0.2, 0.9, 0.1, 0.7, 0.0]]) * np.exp(1j * np.arange(10).reshape(2, 5))
    at = np.array([1.0, 54.0])
    model = fit(
        _START + np.arange(40 * 24) * _HOUR, exact(names, z, _START + np.arange(40 * 24) * _HOUR, at), at, ("a", "b"),
        names,
    )  # fmt: skip
    time_ns = np.array([_START + 9 * 365 * _DAY + 17, _START - 40 * 365 * _DAY, _START + 5 * _HOUR, _START + 5 * _HOUR])
    assert np.abs(predict(model, time_ns) - exact(names, z, time_ns, at)).max() < 1e-3
    assert predict(model, time_ns[:0]).shape == (2, 0)


# --- what a record supports -----------------------------------------------------------------------------------


def test_constituents_of_the_usual_spans() -> None:
    month, half, year = (select_constituents(days * 86_400.0 - 3600) for days in (31, 181, 365))
    assert month[:4] == ("M2", "K1", "S2", "O1")
    assert {"N2", "Q1", "J1", "M3", "M4", "MS4", "MN4", "M6"} <= set(month)
    assert not {"P1", "K2", "NU2", "T2", "MM", "MF", "SSA", "SA"} & set(month)
    assert {"P1", "K2", "L2", "MU2", "MK4"} <= set(half)
    assert not {"T2", "NU2", "2N2", "S1", "SA", "SSA"} & set(half)
    assert {"T2", "R2", "NU2", "2N2", "S1", "PI1", "SA", "SSA", "MM", "MF", "MSF", "H1", "H2"} <= set(year)
    assert len(year) > 60


@pytest.mark.parametrize("span_s", [0.0, 20.0, 3 * 3600.0, 13 * 3600.0, 25 * 3600.0, float("nan"), -5.0])
def test_no_constituents_below_the_span_that_parts_day_and_half_day(span_s: float) -> None:
    assert select_constituents(span_s) == ()


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.floats(26 * 3600, 20 * 365.25 * 86_400))
def test_selected_constituents_part_within_the_span_and_no_other_could_join(span_s: float) -> None:
    names = select_constituents(span_s)
    assert names[:2] == ("M2", "K1")
    assert list(names) == sorted(names, key=CONSTITUENTS.index)
    cycles = speed(names) * span_s / (2 * np.pi)
    apart = np.abs(cycles[:, None] - cycles) + np.where(np.eye(len(names)), 9.0, 0.0)
    assert apart.min() >= 0.99
    assert cycles.min() >= 0.99
    for name in set(CONSTITUENTS) - set(names) - {"MF", "MM", "SSA", "MSF", "SA", "MSM"}:
        more_important = [k for k, other in enumerate(names) if CONSTITUENTS.index(other) < CONSTITUENTS.index(name)]
        own = speed([name])[0] * span_s / (2 * np.pi)
        assert own < 0.99 or np.abs(cycles[more_important] - own).min() < 0.99, name


@pytest.mark.parametrize("asked", [None, ("M2",), ("M2", "S2", "K1", "O1", "SA")])
@pytest.mark.parametrize("seconds", [1, 2, 20, 3600, 3 * 3600])
def test_a_record_too_short_for_a_tide_gives_its_mean(seconds: int, asked: tuple[str, ...] | None) -> None:
    time_ns = _START + np.arange(seconds) * _S
    level = 2.0 + 0.7 * np.sin(np.arange(seconds) / 7000)[None]
    model = fit(time_ns, level, np.array([1.3]), ("demo",), asked)
    assert model.constituents == ()
    assert model.amplitude.shape == model.phase.shape == model.inferred.shape == (1, 0)
    assert model.mean[0] == pytest.approx(level.mean())
    assert model.rmse[0] == pytest.approx(level.std(), abs=1e-7)
    assert model.samples[0] == seconds
    assert model.span_s[0] == seconds - 1
    assert predict(model, time_ns[-1] + np.arange(100) * _HOUR) == pytest.approx(level.mean())


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    samples=st.integers(1, 80),
    span_s=st.floats(1, 4e7),
    asked=st.none() | st.lists(st.sampled_from(CONSTITUENTS), unique=True),
    infer=st.booleans(),
)
def test_a_handful_of_samples_never_makes_a_tide_much_larger_than_they_are(
    seed: int, samples: int, span_s: float, asked: list[str] | None, infer: bool
) -> None:
    rng = np.random.default_rng(seed)
    time_ns = _START + np.append(0, rng.uniform(0, span_s, samples - 1) * 1e9).astype(np.int64)
    level = rng.uniform(-1, 1, (1, samples))
    model = fit(time_ns, level, np.array([rng.uniform(-90, 90)]), ("a",), asked, infer=infer)
    assert np.all(np.nan_to_num(model.amplitude) < 20)
    assert np.abs(model.mean[0]) < 20
    assert np.isfinite(predict(model, time_ns)).all()
    assert 2 * np.isfinite(np.where(model.inferred, np.nan, model.amplitude)).sum() < samples


def test_what_the_sampling_cannot_tell_goes_to_the_more_important() -> None:
    """Once a day, M2 is MSF by another name, S2 is the mean, and the record has no word on either."""
    time_ns = _START + np.arange(400) * _DAY
    level = exact(("M2",), np.array([[1.0 + 0j]]), time_ns, np.array([20.0]))
    model = fit(time_ns, level, np.array([20.0]), ("a",), ("MSF", "M2", "S2"))
    assert model.constituents == ("M2",)
    assert model.amplitude[0, 0] == pytest.approx(1.0, abs=1e-3)


# --- gauges in trouble ----------------------------------------------------------------------------------------


def test_a_gauge_without_samples_has_no_model_and_disturbs_nobody() -> None:
    rng = np.random.default_rng(2)
    time_ns = _START + np.arange(40 * 24) * _HOUR
    level = rng.normal(0, 1, (3, len(time_ns)))
    level[1] = np.nan
    model = fit(time_ns, level, np.array([0.0, 1.0, 2.0]), ("a", "silent", "c"))
    assert model.samples.tolist() == [960, 0, 960]
    for value in (model.mean, model.rmse, model.span_s, model.amplitude, model.phase, predict(model, time_ns)):
        assert np.isnan(value[1]).all()
        assert np.isfinite(value[[0, 2]]).all()
    nothing = fit(time_ns, level[1:2], np.array([1.0]), ("silent",))
    assert nothing.constituents == ()
    assert np.isnan(predict(nothing, time_ns)).all()


@pytest.mark.parametrize("n_stations", [0, 2])
def test_no_times_at_all(n_stations: int) -> None:
    ids = tuple("ab"[:n_stations])
    model = fit(np.zeros(0, dtype=np.int64), np.zeros((n_stations, 0)), np.zeros(n_stations), ids)
    assert model.samples.tolist() == [0] * n_stations
    assert predict(model, np.array([_START])).shape == (n_stations, 1)


def test_infinite_levels_are_not_levels() -> None:
    time_ns = _START + np.arange(30 * 24) * _HOUR
    level = np.sin(np.arange(30 * 24) / 1.97)[None]
    spoiled = level.copy()
    spoiled[0, [5, 77]] = [np.inf, -np.inf]
    gone = level.copy()
    gone[0, [5, 77]] = np.nan
    same(fit(time_ns, spoiled, np.array([9.0]), ("a",)), fit(time_ns, gone, np.array([9.0]), ("a",)))


@needs_recordings
@pytest.mark.parametrize("latitude", [0.0, -0.0, 1.3, -3.0])
def test_near_the_equator_agrees_with_utide(gauges: Gauges, latitude: float) -> None:
    time_ns, level = gauges.time_ns[:744], gauges.level[19, :744]
    model = fit(time_ns, level[None], np.array([latitude]), ("equator",))
    # On the equator itself UTide fails with a singular matrix.
    theirs, _ = by_utide(time_ns, level, latitude or 1e-9, model.constituents)
    for name, ours in zip(model.constituents, vectors(model)[0], strict=True):
        assert abs(ours - theirs[name]) < 1e-4, name


def test_what_is_wrong_with_the_input_is_said() -> None:
    time_ns = _START + np.arange(48) * _HOUR
    level = np.zeros((2, 48))
    at, ids = np.array([1.0, 2.0]), ("a", "b")
    with pytest.raises(ValueError, match=r"level has shape \(2, 48\): needs \(2, 47\)"):
        fit(time_ns[1:], level, at, ids)
    with pytest.raises(ValueError, match=r"latitude has shape \(1,\)"):
        fit(time_ns, level, at[:1], ids)
    with pytest.raises(ValueError, match="latitude of b is 91"):
        fit(time_ns, level, np.array([1.0, 91.0]), ids)
    with pytest.raises(ValueError, match="latitude of a is nan"):
        fit(time_ns, level, np.array([np.nan, 1.0]), ids)
    with pytest.raises(ValueError, match="unknown constituents LUNA, m2: known are M2, K1"):
        fit(time_ns, level, at, ids, ("m2", "S2", "LUNA"))
    with pytest.raises(ValueError, match="named twice in M2, S2, M2"):
        fit(time_ns, level, at, ids, ("M2", "S2", "M2"))
    with pytest.raises(ValueError, match=r"float64: needs .* int64 nanoseconds UTC"):
        fit(time_ns / 1e9, level, at, ids)
    model = fit(time_ns, level, at, ids)
    with pytest.raises(ValueError, match=r"needs .* int64 nanoseconds UTC"):
        predict(model, time_ns.astype("datetime64[ns]"))
    with pytest.raises(ValueError, match="must ascend without repeats"):
        extremes(time_ns[::-1], level)
    with pytest.raises(ValueError, match=r"level has shape \(48,\): needs \(stations, 48\)"):
        extremes(time_ns, level[0])


# --- high and low waters --------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    period_s=st.floats(20_000, 100_000),
    phase=st.floats(0, 2 * np.pi),
    amplitude=st.floats(0.05, 8),
    step_s=st.sampled_from([60, 360, 900]),
    seed=st.integers(0, 2**32 - 1),
)
def test_high_and_low_waters_of_a_wave(period_s: float, phase: float, amplitude: float, step_s: int, seed: int) -> None:
    """Of a wave in even and uneven steps: where the cosine says, to seconds, and of its height."""
    rng = np.random.default_rng(seed)
    seconds = np.arange(0, 5 * 86_400, step_s) + rng.uniform(0, step_s / 3, 5 * 86_400 // step_s)
    time_ns = _START + (seconds * 1e9).astype(np.int64)
    wave = amplitude * np.cos(2 * np.pi * seconds / period_s - phase)
    found = extremes(time_ns, np.stack([wave, -wave + 3.0]))

    first, second = found.station == 0, found.station == 1
    np.testing.assert_allclose(found.time_ns[first], found.time_ns[second], atol=_S)
    assert np.array_equal(found.kind[first], -found.kind[second])
    turns = (np.arange(-4, 60) * np.pi + phase) * period_s / (2 * np.pi)
    inside = (turns > seconds[0] + step_s) & (turns < seconds[-1] - step_s)
    at = (found.time_ns[first] - _START) / 1e9
    seen = (at > seconds[0] + step_s) & (at < seconds[-1] - step_s)
    assert seen.sum() == inside.sum()
    assert np.abs(at[seen] - turns[inside]).max() < 0.01 * step_s + 1
    assert np.all(np.diff(found.kind[first]) != 0)
    bound = amplitude * (2 * np.pi * 4 / 3 * step_s / period_s) ** 3 / 8
    np.testing.assert_allclose(found.level[first], amplitude * found.kind[first], rtol=0, atol=bound)


def turning_points(values: list[float]) -> list[tuple[float, float, int]]:
    found = extremes(_START + np.arange(len(values)) * _HOUR, np.array([values]))
    return [
        ((int(t) - _START) / _HOUR, float(v), int(k))
        for t, v, k in zip(found.time_ns, found.level, found.kind, strict=True)
    ]


def test_turning_points_of_flat_broken_and_short_records() -> None:
    nan = float("nan")
    assert turning_points([0, 1, 0]) == [(1, 1, 1)]
    assert turning_points([0, -1, -1, 0]) == [(1.5, -1.125, -1)]
    assert turning_points([0, 2, 2, 2, 2, 0, 1]) == [(2.5, 2, 1), (5 + 1 / 6, pytest.approx(-1 / 24), -1)]
    assert turning_points([0, 1, 1, 1, 2]) == []
    assert turning_points([0, 0, 0, 0]) == []
    assert turning_points([0, 1, nan, 1, 0]) == []
    assert turning_points([0, nan, 1, 1, 0]) == []
    assert turning_points([0, 1, float("inf"), 1, 0, float("-inf"), 0, 1, 0]) == [(7, 1, 1)]
    assert turning_points([nan, 0, 1, 0, nan, nan, 1, 0, 1]) == [(2, 1, 1), (7, 0, -1)]
    assert turning_points([1, 2]) == turning_points([1]) == turning_points([]) == []


@needs_recordings
def test_high_waters_of_a_prediction_do_not_hang_on_its_step(gauges: Gauges) -> None:
    model = gauges.fit(0, 60 * 24)
    by_step = [
        extremes(time_ns, predict(model, time_ns))
        for step in (60, 360)
        for time_ns in (gauges.time_ns[0] + np.arange(0, 10 * 86_400, step) * _S,)
    ]
    coarse = by_step[1]
    assert len(coarse.kind) > 20 * 30
    for station in range(20):
        fine_ns = by_step[0].time_ns[by_step[0].station == station]
        coarse_ns = coarse.time_ns[coarse.station == station]
        inner = (coarse_ns > fine_ns[0] + _HOUR) & (coarse_ns < fine_ns[-1] - _HOUR)
        nearest = np.abs(coarse_ns[inner, None] - fine_ns).min(axis=1)
        assert np.median(nearest) < 5 * _S
        assert nearest.max() < 120 * _S
