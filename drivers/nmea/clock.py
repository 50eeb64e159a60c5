"""The UTC of a GNSS receiver, followed from sentence to sentence; for `drivers.nmea.nmea0183`.

Some sentences carry only the time of day. From the first date on each is placed at the occurrence nearest to the time
before it, moved on by what passed between the arrivals, which is right across midnight and after days of silence.
A date that is off from a trusted arrival by whole multiples of 1024 weeks is a receiver whose week number rolled over
(IS-GPS-200, 20.3.3.3.1.1) and is corrected.
"""

from typing import Any

import numpy as np

from drivers.nmea.sentences import NO_DAY, Bools, Ints, where
from tidegate.clock import NAT

_DAY_NS = 86_400 * 1_000_000_000
_ROLLOVER_NS = 1024 * 7 * _DAY_NS


def _nearest(difference_ns: Any) -> Any:
    """The same difference of times of day, brought into half a day either way."""
    return (difference_ns + _DAY_NS // 2) % _DAY_NS - _DAY_NS // 2


def _filled(values: Ints, none: int, before: int) -> Ints:
    """Each `none` replaced by the value before it; `before` stands in front of the first."""
    last = np.maximum.accumulate(np.where(values != none, np.arange(len(values)), -1))
    return np.where(last >= 0, values[last], before)


_UNMARKED = 2


class Clock:
    """The receiver's UTC, followed from sentence to sentence."""

    def __init__(self, correct_rollover: bool) -> None:
        self._correct = correct_rollover
        self._utc_ns, self._ticks_ns = NAT, 0  # the last time given, and the ticks then
        self._correction_ns = 0
        self._fixed = _UNMARKED

    def trust(self, marks: Ints) -> tuple[Bools, int]:
        """(for each sentence, whether the last mark of validity at or before it (1, 0; -1 is no mark) was not bad;
        the sentence that voids all dates before it, or -1).

        The latter is the first mark of all, where that is bad: a date from before was the receiver's guess.
        """
        filled = _filled(marks, -1, self._fixed)
        first = int(np.argmax(filled != _UNMARKED)) if self._fixed == _UNMARKED else -1
        self._fixed = int(filled[-1])
        trusted: Bools = filled != 0
        return trusted, first if filled[first] == 0 else -1

    def forget(self) -> None:
        """The date is not known any more."""
        self._utc_ns = NAT

    def follow(
        self, time_of_day_ns: Ints, day: Ints, ticks_ns: Ints, arrival_ns: Ints
    ) -> tuple[Ints, list[tuple[int, int]]]:
        """UTC of sentences in order, NAT before the first date; and (which sentence, by how many times 1024 weeks)
        for each change of the correction. `arrival_ns` is NAT where the arrival's clock is not to be trusted."""
        steps = np.diff(ticks_ns)
        chain = np.cumsum(np.append(np.int64(0), _nearest(np.diff(time_of_day_ns) - steps) + steps))
        known = self._utc_ns != NAT
        if known:
            guess = self._utc_ns + int(ticks_ns[0]) - self._ticks_ns
            chain += guess + int(_nearest(int(time_of_day_ns[0]) - guess))
        dated = day != NO_DAY
        utc = np.where(dated, day, 0) * _DAY_NS + time_of_day_ns
        utc, changes = self._corrected(utc, dated & (arrival_ns != NAT), arrival_ns)
        last = np.maximum.accumulate(np.where(dated, np.arange(len(day)), -1))
        followed = np.where(last >= 0, utc[last] + (chain - chain[last]), chain if known else NAT)
        if followed[-1] != NAT:
            self._utc_ns, self._ticks_ns = int(followed[-1]), int(ticks_ns[-1])
        return followed, changes

    def _corrected(self, utc: Ints, comparable: Bools, arrival_ns: Ints) -> tuple[Ints, list[tuple[int, int]]]:
        if not self._correct:
            return utc, []
        off = np.where(comparable, arrival_ns, 0) - np.where(comparable, utc, 0)
        correction = (off + _ROLLOVER_NS // 2) // _ROLLOVER_NS * _ROLLOVER_NS
        told = comparable & (np.abs(off - correction) <= _DAY_NS)
        filled = _filled(np.where(told, correction, NAT), NAT, self._correction_ns)
        before = np.append(self._correction_ns, filled[:-1])
        changes = [(i, int(filled[i]) // _ROLLOVER_NS) for i in where(filled != before).tolist()]
        self._correction_ns = int(filled[-1])
        return utc + filled, changes
