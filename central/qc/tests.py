"""QARTOD's tests as pure functions of arrays, one for each, named as in the manuals.

Every function takes samples along the first axis and judges each column on its own; `time` is int64 ns, strictly
rising; values are float64, NaN where missing. Each returns uint8 flags of the values' shape (1 pass, 2 not
evaluated, 3 suspect, 4 fail); whether a value is missing (9) is for `roll_up` to say. Thresholds are scalars or
arrays that broadcast against the columns; a NaN threshold means that it is not set.

Sources: QARTOD Manual for Real-Time Quality Control of Water Level Data v2.1 (2021) and of In-situ Temperature and
Salinity Data v2.1 (2020); IOOS.
"""

import numpy as np
import numpy.typing as npt

from central.changes import Flag

Times = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]
Flags = npt.NDArray[np.uint8]
Threshold = float | Values

_PASS, _NOT_EVALUATED, _SUSPECT, _FAIL = (
    np.uint8(flag) for flag in (Flag.PASS, Flag.NOT_EVALUATED, Flag.SUSPECT, Flag.FAIL)
)


def gross_range(
    values: Values, fail_low: Threshold, fail_high: Threshold, suspect_low: Threshold, suspect_high: Threshold
) -> Flags:
    """Test 4: fail outside what the sensor can give, suspect outside what the operator expects."""
    flags = np.full(values.shape, _PASS)
    with np.errstate(invalid="ignore"):
        flags[(values < suspect_low) | (values > suspect_high)] = _SUSPECT
        flags[(values < fail_low) | (values > fail_high)] = _FAIL
    unset = np.isnan(fail_low) & np.isnan(fail_high) & np.isnan(suspect_low) & np.isnan(suspect_high)
    return _where_unset(flags, unset)


def spike(time: Times, values: Values, gap_s: float, suspect: Threshold, fail: Threshold) -> Flags:
    """Test 6: |n - (n-1 + n+1) / 2| above a threshold. The newest sample is not evaluated until its successor has
    come, nor is one beside a missing value or a gap of more than `gap_s`."""
    flags = np.full(values.shape, _NOT_EVALUATED)
    if len(time) > 2:
        steps = np.diff(time)
        near = ((steps[:-1] <= gap_s * 1e9) & (steps[1:] <= gap_s * 1e9))[:, None]
        with np.errstate(invalid="ignore"):
            height = np.abs(values[1:-1] - (values[:-2] + values[2:]) / 2)
            judged = np.where(height > fail, _FAIL, np.where(height > suspect, _SUSPECT, _PASS))
        flags[1:-1] = np.where(near & ~np.isnan(height), judged, _NOT_EVALUATED)
    return _where_unset(flags, np.isnan(suspect) & np.isnan(fail))


def rate_of_change(time: Times, values: Values, gap_s: float, suspect: Threshold) -> Flags:
    """Test 7: |n - n-1| / dt above a threshold in units a second. A sample behind a missing value or a gap of more
    than `gap_s` is not evaluated."""
    flags = np.full(values.shape, _NOT_EVALUATED)
    if len(time) > 1:
        dt_s = np.diff(time)[:, None] / 1e9
        with np.errstate(invalid="ignore"):
            rate = np.abs(np.diff(values, axis=0)) / dt_s
            judged = np.where(rate > suspect, _SUSPECT, _PASS)
        flags[1:] = np.where((dt_s <= gap_s) & ~np.isnan(rate), judged, _NOT_EVALUATED)
    return _where_unset(flags, np.isnan(suspect))


def flat_line(
    time: Times, values: Values, gap_s: float, tolerance: Threshold, suspect_s: Threshold, fail_s: Threshold
) -> Flags:
    """Test 8: the value has not moved by more than `tolerance` from sample to sample for so long. The manual counts
    repeats; a time serves any cadence. Choose a tolerance below the sensor's resolution: then it has not moved at
    all. Missing values and gaps of more than `gap_s` begin the count anew."""
    if not len(time):
        return np.zeros(values.shape, np.uint8)
    rows = np.arange(len(time), dtype=np.int64)[:, None]
    still = np.zeros(values.shape, np.bool_)
    if len(time) > 1:
        near = (np.diff(time) <= gap_s * 1e9)[:, None]
        with np.errstate(invalid="ignore"):
            still[1:] = near & (np.abs(np.diff(values, axis=0)) <= tolerance)
    start = np.maximum.accumulate(np.where(still, 0, rows), axis=0)
    for_s = (time[:, None] - time[start]) / 1e9
    with np.errstate(invalid="ignore"):
        flags = np.where(for_s >= fail_s, _FAIL, np.where(for_s >= suspect_s, _SUSPECT, _PASS))
    return _where_unset(flags, np.isnan(suspect_s) & np.isnan(fail_s))


def roll_up(values: Values, *tests: Flags) -> Flags:
    """The aggregate flag: 9 where the value is missing, else the worst of fail, suspect, pass; 2 where no test could
    judge."""
    rank = np.array([0, 1, 0, 2, 3], np.uint8)  # not evaluated < pass < suspect < fail
    back = np.array([_NOT_EVALUATED, _PASS, _SUSPECT, _FAIL], np.uint8)
    worst = np.zeros(values.shape, np.uint8)
    for flags in tests:
        np.maximum(worst, rank[flags], out=worst)
    return np.where(np.isnan(values), np.uint8(Flag.MISSING), back[worst])


def _where_unset(flags: Flags, unset: npt.NDArray[np.bool_] | np.bool_) -> Flags:
    return np.where(unset, _NOT_EVALUATED, flags) if np.any(unset) else flags
