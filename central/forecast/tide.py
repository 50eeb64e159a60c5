"""The tide of all gauges at once: harmonic analysis, prediction, and high and low waters.

Theory of operation. The level at each gauge is the mean plus, for each constituent, Re(z E) with the unknown
z = A exp(-i g) and E = f exp(i (V + u)) from `constituents.basis`; least squares finds z. E needs no sample-by-sample
work: within one UTC day it is the value at noon, which depends on the day and the latitude, times exp(i speed offset),
which depends on the time of day alone. So all days sampled at the same times of day, of all gauges, share one small
table, and the sums over samples become products of matrices. Missing samples are taken out again one by one (or, in a
day that is mostly missing, the present ones added), so that each gauge has its own normal equations, exactly. Within a
day f and u are held at their values at noon; this costs less than 0.1 mm in a tide of a metre.

A constituent is fitted where the record can tell: its span separates it from all more important ones (Rayleigh), and
its gaps and sampling leave enough of it (`_PIVOT`). Where nothing can be told, the model is the mean.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from central.changes import Flag
from central.feed import Snapshot
from central.forecast.constituents import CONSTITUENTS, basis, speed

_DAY_NS = 86_400_000_000_000

# Cycles by which two constituents must part within the span. A little below Rayleigh's 1, so that a calendar year
# holds the yearly constituents (8759 h of 8766 h), and six months the half-yearly ones.
_RAYLEIGH = 0.99
# Least share of a constituent, in variance, that the mean and the more important constituents leave to be fitted.
# At this bound the noise in its amplitude is 5 times that of a constituent which stands alone.
_PIVOT = 0.04

# Below a year, what is seen at periods of a week and more is the weather: to take it for tide and to predict it is
# worse than to leave it out.
_LONG_PERIOD_RAD_S = 2 * np.pi / (5 * 86_400.0)
_YEAR_S = 365.25 * 86_400.0

# Of a constituent that the record cannot tell from a larger neighbour: the neighbour, and the ratio of the two in the
# equilibrium tide (Cartwright and Edden 1973). The phase lag is taken to be that of the neighbour.
_INFERENCE = {
    "P1": ("K1", 0.3315),
    "K2": ("S2", 0.2716),
    "N2": ("M2", 0.1915),
    "Q1": ("O1", 0.1915),
    "NU2": ("N2", 0.1900),
    "T2": ("S2", 0.0585),
}

_CHUNK = 1 << 22  # complex numbers held at a time


@dataclass(frozen=True, eq=False)
class TideModel:
    """Harmonic constants of s gauges and k constituents, most important first.

    ids           gauges, s of them
    latitude      (s,) degrees north
    constituents  names, k of them: those fitted at one gauge at least. () where none could be: the mean only
    mean          (s,) m, the level without the tide; NaN for a gauge without samples
    amplitude     (s, k) m; NaN where this gauge's record does not support the constituent
    phase         (s, k) Greenwich phase lag, degrees in [0, 360); NaN as the amplitude
    inferred      (s, k) True where the constituent follows its neighbour by a fixed ratio, and was not fitted
    rmse          (s,) m, root mean square of observed minus fitted; NaN without samples
    samples       (s,) int64, how many finite levels were used
    span_s        (s,) seconds from the first to the last of them; NaN without samples
    """

    ids: tuple[str, ...]
    latitude: NDArray[np.float64]
    constituents: tuple[str, ...]
    mean: NDArray[np.float64]
    amplitude: NDArray[np.float64]
    phase: NDArray[np.float64]
    inferred: NDArray[np.bool_]
    rmse: NDArray[np.float64]
    samples: NDArray[np.int64]
    span_s: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TideExtremes:
    """High and low waters of all gauges, m of them, ordered by gauge and time.

    station (m,) index of the gauge; time_ns (m,) int64; level (m,) m; kind (m,) int8, 1 high water, -1 low water.
    """

    station: NDArray[np.intp]
    time_ns: NDArray[np.int64]
    level: NDArray[np.float64]
    kind: NDArray[np.int8]


def select_constituents(span_s: float) -> tuple[str, ...]:
    """Constituents that a record of this span can tell apart, most important first; () below 25.6 hours.

    Rayleigh's criterion: one is taken where it makes a full cycle, and parts by a full cycle from every more important
    one that was taken (Foreman 1977, section 2.1.2). Those of long period (MF, MM, MSF, SSA, SA) need a year.
    """
    supported = _supported(np.array([span_s], dtype=np.float64))[0]
    return tuple(name for name, yes in zip(CONSTITUENTS, supported, strict=True) if yes)


def fit(
    time_ns: ArrayLike,
    level: ArrayLike,
    latitude: ArrayLike,
    ids: Sequence[str],
    constituents: Sequence[str] | None = None,
    *,
    infer: bool = False,
) -> TideModel:
    """Harmonic constants of every gauge by least squares.

    time_ns       (t,) int64 nanoseconds UTC since 1970, in any order and spacing
    level         (s, t) m, NaN where missing
    latitude      (s,) degrees north; the equator is fine
    ids           (s,) names of the gauges
    constituents  which to fit; None lets each gauge have those that its span supports (`select_constituents`).
                  Those that the samples of a gauge cannot determine are left out at that gauge either way.
    infer         where a gauge cannot tell P1 from K1, K2, T2 from S2, N2 from M2, NU2 from N2 or Q1 from O1, take
                  the lesser at its equilibrium ratio to the larger, which is so freed of it (Foreman 1977, section
                  2.3): records below half a year then predict much better beyond their end

    Raises ValueError where shapes disagree, a latitude is not one, or a constituent is unknown or named twice.
    """
    time = np.asarray(time_ns)
    y = np.asarray(level, dtype=np.float64)
    lat = np.asarray(latitude, dtype=np.float64)
    _check(time, y, lat, ids)
    present = np.isfinite(y)
    samples = present.sum(axis=1)
    span_s = _span_s(time, present)
    names, wanted = _wanted(constituents, span_s, infer)

    n_stations, n_constituents = y.shape[0], len(names)
    mean = np.full(n_stations, np.nan)
    rmse = np.full(n_stations, np.nan)
    z = np.full((n_stations, n_constituents), np.nan, dtype=np.complex128)
    inferred = np.zeros((n_stations, n_constituents), dtype=np.bool_)
    centre_ns, day_of, days = _days(time)
    occupied = np.flatnonzero(samples)
    for part in _chunks(occupied, len(time) + len(centre_ns) * n_constituents):
        offset = np.where(present[part], y[part], 0.0).sum(axis=1) / samples[part]
        deviation = np.where(present[part], y[part] - offset[:, None], 0.0)
        noon = _with_mean(basis(names, centre_ns, lat[part]))
        omega = np.append(0.0, speed(names))
        normal, rhs = _normal_equations(time, deviation, present[part], noon, omega, centre_ns, day_of, days)
        resolved = _resolved(normal, wanted[part])
        follows = _follows(names, resolved) if infer else np.zeros((*resolved.shape, n_constituents))
        coefficients = _solve(normal, rhs, resolved, follows)
        energy = np.sum(deviation**2, axis=1) - np.sum(coefficients * rhs, axis=1)
        rmse[part] = np.sqrt(np.maximum(energy, 0.0) / samples[part])
        mean[part] = offset + coefficients[:, 0]
        inferred[part] = follows.any(axis=2)
        # Re(z E) = a Re E + b Im E with z = a - i b.
        z[part] = np.where(resolved | inferred[part], coefficients[:, 1::2] - 1j * coefficients[:, 2::2], np.nan + 0j)

    kept = np.flatnonzero(np.isfinite(z.real).any(axis=0))
    return TideModel(
        ids=tuple(ids),
        latitude=lat.copy(),
        constituents=tuple(names[k] for k in kept),
        mean=mean,
        amplitude=np.abs(z[:, kept]),
        # The second time for what rounding has taken to 360.
        phase=np.rad2deg(-np.angle(z[:, kept])) % 360.0 % 360.0,
        inferred=inferred[:, kept],
        rmse=rmse,
        samples=samples,
        span_s=span_s,
    )


def fit_snapshot(snapshot: Snapshot, parameter: str) -> TideModel:
    """Harmonic constants of all gauges of a snapshot at once, `ids` as platform/instrument; `fit` with inference.

    Levels that failed, are suspect or missing have no part in it, nor has a gauge whose latitude nobody knows (its
    `samples` are 0). A sample stands at the grid time at or after it: the phases are set back by its gauge's mean age.
    Raises ValueError where the parameter is a profile, KeyError where the snapshot does not hold it.
    """
    levels = snapshot.variables[parameter]
    latitude = np.array([station.latitude for station in snapshot.stations])
    good = ~levels.mask & (levels.flag <= Flag.NOT_EVALUATED)
    if good.ndim != 2:
        raise ValueError(f"{parameter} is a profile; a tide is fitted to one level a gauge")
    good &= np.isfinite(latitude)[:, None]
    ids = [f"{station.platform}/{station.instrument}" for station in snapshot.stations]
    model = fit(snapshot.time, np.where(good, levels.value, np.nan), np.nan_to_num(latitude), ids, infer=True)
    age_s = np.where(good, levels.age_s, 0.0).sum(axis=1) / np.maximum(good.sum(axis=1), 1)
    phase = (model.phase - np.rad2deg(age_s[:, None] * speed(model.constituents))) % 360.0
    return replace(model, phase=phase)


def predict(model: TideModel, time_ns: ArrayLike) -> NDArray[np.float64]:
    """The level of the tide, float64 (s, t) m, at time_ns (t,) int64 UTC, in any order and spacing.

    Constituents that a gauge's model does not have add nothing; a gauge without a model (no samples) is NaN.
    """
    time = _times(np.asarray(time_ns))
    z = np.nan_to_num(model.amplitude) * np.exp(-1j * np.deg2rad(np.nan_to_num(model.phase)))
    omega = speed(model.constituents)
    centre_ns, _, days = _days(time)
    level = np.empty((len(model.ids), len(time)))
    for part in _chunks(np.arange(len(model.ids)), len(time) + len(centre_ns) * len(omega)):
        tide = basis(model.constituents, centre_ns, model.latitude[part]) * z[part, None, :]
        for group in days:
            table = np.exp(1j * group.offset_s[:, None] * omega)
            waves = tide[:, group.day]
            value = waves.real @ table.real.T - waves.imag @ table.imag.T
            level[part[:, None, None], group.sample] = value + model.mean[part, None, None]
    return level


def extremes(time_ns: ArrayLike, level: ArrayLike) -> TideExtremes:
    """High and low waters of level (s, t) m at ascending time_ns (t,), by a parabola through each turning point.

    Made for predicted or smoothed levels: each turning point counts, so noise makes many. Of equal highest samples
    the middle counts. A turning point next to a missing sample, or at an end, is not one that was seen.
    """
    time = _times(np.asarray(time_ns))
    y = np.asarray(level, dtype=np.float64)
    if y.ndim != 2 or y.shape[1] != len(time):
        raise ValueError(f"level has shape {y.shape}: needs (stations, {len(time)}), a column for each time")
    if np.any(np.diff(time) <= 0):
        raise ValueError("time_ns must ascend without repeats: sort it and drop doubles before looking for extremes")
    if len(time) < 3:
        empty = np.zeros(0, dtype=np.intp)
        return TideExtremes(empty, empty.astype(np.int64), empty.astype(np.float64), empty.astype(np.int8))

    # The sign of the last step that was one, carried over equal samples; a missing sample ends it.
    y = np.where(np.isfinite(y), y, np.nan)
    sign = np.sign(np.diff(y, axis=1))
    last = np.maximum.accumulate(np.where(sign != 0, np.arange(sign.shape[1]), 0), axis=1)
    before = np.take_along_axis(sign, last, axis=1)[:, :-1]
    turning = before * sign[:, 1:] == -1
    station, left = np.nonzero(turning)
    flat_from = last[station, left] + 1
    here = left + 1

    # Newton's form through the three samples around, in seconds from the middle one.
    t0, t1 = (time[here - 1] - time[here]) / 1e9, (time[here + 1] - time[here]) / 1e9
    y0, y1 = y[station, here - 1] - y[station, here], y[station, here + 1] - y[station, here]
    curvature = (y1 / t1 - y0 / t0) / (t1 - t0)
    slope = y0 / t0 - curvature * t0
    vertex_s = -slope / (2 * curvature)
    parabola_ns = time[here] + np.rint(vertex_s * 1e9).astype(np.int64)
    plateau = here - flat_from > 1
    middle_ns = time[flat_from] + (time[here] - time[flat_from]) // 2
    return TideExtremes(
        station=station,
        time_ns=np.where(plateau, middle_ns, parabola_ns),
        level=y[station, here] + np.where(plateau, 0.0, slope * vertex_s / 2),
        kind=before[turning].astype(np.int8),
    )


# --- what a record supports -------------------------------------------------------------------------------------


def _supported(span_s: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(s, k): which of CONSTITUENTS each span separates from the mean and from all more important ones it supports."""
    omega = speed(CONSTITUENTS)
    cycles = omega * span_s[:, None] / (2 * np.pi)
    apart = np.abs(cycles[:, :, None] - cycles[:, None, :]) >= _RAYLEIGH
    # M2 and K1 come first of their species. A record that cannot part them tells neither from the other.
    least_s = np.where(omega < _LONG_PERIOD_RAD_S, _YEAR_S, 2 * np.pi / (omega[0] - omega[1]))
    long_enough = (cycles >= _RAYLEIGH) & (span_s[:, None] >= _RAYLEIGH * least_s)
    taken = np.zeros(long_enough.shape, dtype=np.bool_)
    for k in range(len(omega)):
        taken[:, k] = long_enough[:, k] & np.all(apart[:, k, :k] | ~taken[:, :k], axis=1)
    return taken


def _wanted(
    constituents: Sequence[str] | None, span_s: NDArray[np.float64], infer: bool
) -> tuple[tuple[str, ...], NDArray[np.bool_]]:
    """The constituents of the model, most important first, and (s, k) which of them to try to fit at which gauge."""
    if constituents is None:
        wanted = _supported(span_s)
    else:
        unknown = sorted(set(constituents) - set(CONSTITUENTS))
        if unknown:
            raise ValueError(f"unknown constituents {', '.join(unknown)}: known are {', '.join(CONSTITUENTS)}")
        if len(set(constituents)) < len(constituents):
            raise ValueError(f"a constituent is named twice in {', '.join(constituents)}: name each once")
        wanted = np.tile(np.isin(CONSTITUENTS, list(constituents)), (len(span_s), 1))
    used = np.asarray(wanted.any(axis=0))
    if infer:
        for name, (neighbour, _) in _INFERENCE.items():
            used[CONSTITUENTS.index(name)] |= used[CONSTITUENTS.index(neighbour)]
    kept = np.flatnonzero(used)
    return tuple(CONSTITUENTS[k] for k in kept), wanted[:, kept]


def _resolved(normal: NDArray[np.float64], wanted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(s, k): of the wanted constituents those that the samples determine, most important first.

    The squared pivots of a Cholesky decomposition are what each column has left after those before it. Where that is
    too little, the constituent is struck out and the rest judged again without it.
    """
    squares = np.diagonal(normal, axis1=1, axis2=2)
    # Both quadratures alike: the sum of their squares does not hang on the phase that the record happens to have.
    power = (squares[:, 1::2] + squares[:, 2::2]) / 2
    scale = np.sqrt(np.column_stack([squares[:, 0], np.repeat(power, 2, axis=1)]))
    resolved = wanted.copy()
    doubtful = np.arange(len(normal))
    while doubtful.size and wanted.shape[1]:
        columns = _columns(resolved[doubtful])
        scaled = normal[doubtful] / (scale[doubtful, :, None] * scale[doubtful, None, :])
        scaled = np.where(columns[:, :, None] & columns[:, None, :], scaled, 0.0)
        scaled += np.eye(columns.shape[1]) * np.where(columns, 1e-9, 1.0)[:, None, :]
        pivot = np.diagonal(np.linalg.cholesky(scaled), axis1=1, axis2=2) ** 2
        weak = np.minimum(pivot[:, 1::2], pivot[:, 2::2]) < _PIVOT
        struck = weak.any(axis=1)
        doubtful = doubtful[struck]
        resolved[doubtful, weak[struck].argmax(axis=1)] = False
    return resolved


def _follows(names: tuple[str, ...], resolved: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(s, k, k): the ratio at which constituent i is inferred from constituent j."""
    ratio = np.zeros((*resolved.shape, len(names)))
    for name, (neighbour, value) in _INFERENCE.items():
        if name in names and neighbour in names:
            i, j = names.index(name), names.index(neighbour)
            ratio[:, i, j] = np.where(resolved[:, j] & ~resolved[:, i], value, 0.0)
    return ratio


# --- normal equations ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Days:
    """UTC days that are sampled at the same times of day."""

    day: NDArray[np.intp]  # (d,) which days
    sample: NDArray[np.intp]  # (d, n) where their samples stand in the record
    offset_s: NDArray[np.float64]  # (n,) seconds from noon


def _days(time_ns: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.intp], list[_Days]]:
    """The record by days: their noons (d,), the day of each sample (t,), and the days in groups of equal sampling."""
    date, day_of = np.unique(time_ns // _DAY_NS, return_inverse=True)
    noon_ns = date * _DAY_NS + _DAY_NS // 2
    order = np.lexsort((time_ns, day_of))
    offset_ns = (time_ns - noon_ns[day_of])[order]
    edges = np.append(0, np.cumsum(np.bincount(day_of, minlength=len(date))))
    groups: dict[bytes, list[int]] = {}
    for day, (start, end) in enumerate(pairwise(edges)):
        groups.setdefault(offset_ns[start:end].tobytes(), []).append(day)
    days = [
        _Days(
            day=np.array(members),
            sample=np.stack([order[edges[day] : edges[day + 1]] for day in members]),
            offset_s=np.frombuffer(key, dtype=np.int64) / 1e9,
        )
        for key, members in groups.items()
    ]
    return noon_ns, day_of, days


def _with_mean(noon: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """The basis with the mean, a constituent of no speed, put first."""
    return np.concatenate([np.ones((*noon.shape[:2], 1), dtype=np.complex128), noon], axis=2)


def _normal_equations(
    time_ns: NDArray[np.int64],
    deviation: NDArray[np.float64],
    present: NDArray[np.bool_],
    noon: NDArray[np.complex128],
    omega: NDArray[np.float64],
    noon_ns: NDArray[np.int64],
    day_of: NDArray[np.intp],
    days: list[_Days],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Normal matrix (s, p, p) and right side (s, p) of every gauge, over the columns 1, Re E1, Im E1, Re E2, ...

    With C + i S = E, the sums over samples of products of C and S are sums and differences of conj(E_k) E_l and
    E_k E_l, and those are products of a part of the days and a part of the times of day.
    """
    n_stations, _, n = noon.shape
    rhs = np.zeros((n_stations, n), dtype=np.complex128)
    difference = np.zeros((n_stations, n, n), dtype=np.complex128)
    total = np.zeros((n_stations, n, n), dtype=np.complex128)
    correction = np.zeros(present.shape, dtype=np.int8)
    for group in days:
        table = np.exp(1j * group.offset_s[:, None] * omega)
        at_noon = noon[:, group.day]
        level = deviation[:, group.sample]
        rhs += np.einsum("sdk,sdk->sk", at_noon, level @ table.real + 1j * (level @ table.imag))
        seen = present[:, group.sample]
        whole = 2 * seen.sum(axis=2) >= len(group.offset_s)
        counted = at_noon * whole[:, :, None]
        across = counted.transpose(0, 2, 1)
        difference += (across.conj() @ counted) * (table.conj().T @ table)
        total += (across @ counted) * (table.T @ table)
        correction[:, group.sample] = seen.astype(np.int8) - whole[:, :, None].astype(np.int8)

    normal = np.empty((n_stations, 2 * n, 2 * n))
    normal[:, ::2, ::2] = (total + difference).real / 2
    normal[:, 1::2, 1::2] = (difference - total).real / 2
    normal[:, ::2, 1::2] = (total + difference).imag / 2
    normal[:, 1::2, ::2] = normal[:, ::2, 1::2].transpose(0, 2, 1)
    for station in np.flatnonzero(correction.any(axis=1)):
        for sample in _chunks(np.flatnonzero(correction[station]), 4 * n):
            day = day_of[sample]
            offset_s = (time_ns[sample] - noon_ns[day]) / 1e9
            rows = noon[station, day] * np.exp(1j * offset_s[:, None] * omega)
            columns = rows.view(np.float64)
            normal[station] += (columns * correction[station, sample, None]).T @ columns

    # The mean has no imaginary part.
    used = np.delete(np.arange(2 * n), 1)
    return normal[:, used[:, None], used], np.stack([rhs.real, rhs.imag], axis=2).reshape(n_stations, -1)[:, used]


def _solve(
    normal: NDArray[np.float64],
    rhs: NDArray[np.float64],
    resolved: NDArray[np.bool_],
    follows: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Coefficients (s, p) of the resolved constituents, of those that follow them, and 0 for all others."""
    columns = _columns(resolved)
    # x = T x' with the free coefficients x': the identity where resolved, the ratio where one follows another.
    transfer = np.eye(columns.shape[1]) * columns[:, None, :]
    for quadrature in (1, 2):
        transfer[:, quadrature::2, quadrature::2] += follows
    free = transfer.transpose(0, 2, 1) @ normal @ transfer
    free += np.eye(columns.shape[1]) * ~columns[:, None, :]
    x = np.linalg.solve(free, transfer.transpose(0, 2, 1) @ rhs[:, :, None])
    return (transfer @ x)[:, :, 0]


def _columns(constituents: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(s, 1 + 2k) from (s, k): the mean, and both quadratures of each constituent."""
    return np.pad(np.repeat(constituents, 2, axis=1), ((0, 0), (1, 0)), constant_values=True)


# --- records ------------------------------------------------------------------------------------------------------


def _span_s(time_ns: NDArray[np.int64], present: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(s,) seconds from the first to the last present sample, NaN where there is none."""
    span = np.full(len(present), np.nan)
    some = present.any(axis=1)
    if some.any():
        ends = np.iinfo(np.int64)
        first = np.where(present[some], time_ns, ends.max).min(axis=1)
        last = np.where(present[some], time_ns, ends.min).max(axis=1)
        span[some] = (last - first) / 1e9
    return span


def _chunks(indexes: NDArray[np.intp], each: int) -> Iterator[NDArray[np.intp]]:
    """The indexes in pieces that keep `each` numbers per index within the memory allowed."""
    size = max(1, _CHUNK // max(1, each))
    for start in range(0, len(indexes), size):
        yield indexes[start : start + size]


def _times(time_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    if time_ns.ndim != 1 or time_ns.dtype != np.int64:
        raise ValueError(
            f"time_ns has shape {time_ns.shape} and type {time_ns.dtype}: needs (t,) int64 nanoseconds UTC since 1970"
        )
    return time_ns


def _check(
    time_ns: NDArray[np.int64], level: NDArray[np.float64], latitude: NDArray[np.float64], ids: Sequence[str]
) -> None:
    _times(time_ns)
    if level.shape != (len(ids), len(time_ns)):
        raise ValueError(f"level has shape {level.shape}: needs ({len(ids)}, {len(time_ns)}), ids by times")
    if latitude.shape != (len(ids),):
        raise ValueError(f"latitude has shape {latitude.shape}: needs ({len(ids)},), one for each id")
    for station, degrees in zip(ids, latitude, strict=True):
        if not -90.0 <= degrees <= 90.0:
            raise ValueError(f"latitude of {station} is {degrees}: needs degrees north from -90 to 90")
