"""A driver whose bugs cost only the bytes that they meet: what it raises becomes a Problem, and a new one takes over.

The gateway, `tidegate decode` and the recovery after a crash all feed drivers through this, so the three make the
same of the same bytes, faults included.

Samples without a time of their own have that of their arrival, and several that a port gave at once would have the
same; a store that keeps one value a time would then keep only one of them. So each is a nanosecond after the one before
it, which is far below what an arrival is good for.
"""

import logging
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from drivers.arrivals import Pieces
from drivers.driver import Decoded, Driver, Problem, Turn, problem
from tidegate.clock import NAT, UNKNOWN, Arrival, TimeSource
from tidegate.frame import Frame

_log = logging.getLogger(__name__)

FAULT = "driver_fault"
_TRACEBACK_EVERY_S = 60.0


class Guarded:
    """Feeds a driver. `faults` counts what it raised; after each, `driver` is a new one that knows nothing."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.faults = 0
        self._fed = 0
        self._fed_before = 0  # to the drivers that failed
        self._traced_s = float("-inf")
        self._newest: dict[bytes, tuple[int, int]] = {}  # by schema: (arrival of its newest sample, how many had it)

    def feed(self, data: bytes, at: Arrival) -> list[Decoded]:
        """As `Driver.feed`; never raises."""
        self._fed += len(data)
        return self._run(lambda: self.driver.feed(data, at), data, at)

    def feed_all(self, pieces: Sequence[tuple[bytes, Arrival]]) -> list[Decoded]:
        """As `Driver.feed_all`; never raises. Where the driver fails on the pieces together, the new one gets them in
        turn, so that only the piece on which it fails is lost."""
        whole = Pieces.of(pieces)
        if not whole.data:
            return []
        shift, begins = self._fed_before, self._fed
        self._fed += len(whole.data)
        try:
            return self._checked(self.driver.feed_all(whole), shift)
        except Exception as error:
            self._fed = begins  # the new driver has been fed nothing yet
            failed = problem(FAULT, self.fault(error), begins, whole.data, whole.arrivals[0])
        decoded = [item for data, at in whole for item in self.feed(data, at)]
        if any(isinstance(item, Problem) and item.kind == FAULT for item in decoded):
            self.faults -= 1  # the same one, now in its place
        else:
            decoded.insert(0, failed)
        return decoded

    def finish(self) -> list[Decoded]:
        """As `Driver.finish`; never raises."""
        return self._run(self.driver.finish, b"", UNKNOWN)

    def turn(self, now_ns: int) -> Turn:
        """As `Driver.turn`; never raises."""
        shift = self._fed_before
        try:
            turn = self.driver.turn(now_ns)
            return turn._replace(problems=[replace(p, offset=p.offset + shift) for p in turn.problems])
        except Exception as error:
            return Turn(problems=[problem(FAULT, self.fault(error), self._fed, b"")])

    def _run(self, work: Callable[[], list[Decoded]], data: bytes, at: Arrival) -> list[Decoded]:
        shift = self._fed_before
        try:
            return self._checked(work(), shift)
        except Exception as error:
            return [problem(FAULT, self.fault(error), self._fed - len(data), data, at)]

    def _checked(self, decoded: list[Decoded], shift: int) -> list[Decoded]:
        return [self._apart(d) if isinstance(d, Frame) else replace(d, offset=d.offset + shift) for d in decoded]

    def _apart(self, frame: Frame) -> Frame:
        """The Frame with no two samples at one time, where these are times of arrival."""
        if frame.source is not TimeSource.ARRIVAL:
            return frame
        known = frame.time != NAT
        arrived = frame.time[known]
        if not len(arrived):
            return frame
        rows = np.arange(len(arrived))
        begins = np.append(True, np.diff(arrived) != 0)
        behind = rows - np.maximum.accumulate(np.where(begins, rows, 0))
        arrived_ns, had = self._newest.get(frame.schema.id, (NAT, 0))
        if arrived[0] == arrived_ns:
            behind[: int(np.append(begins[1:], True).argmax()) + 1] += had
        self._newest[frame.schema.id] = int(arrived[-1]), int(behind[-1]) + 1
        if not behind.any():
            return frame
        time = frame.time.copy()
        time[known] += behind
        return replace(frame, time=time)

    def fault(self, error: Exception) -> str:
        """Puts a new driver in the place of the one that raised `error`; what to say of it."""
        frame = traceback.extract_tb(error.__traceback__)[-1]
        cls = type(self.driver)
        self.faults += 1
        message = (
            f"the driver {cls.__module__}.{cls.__qualname__} failed: {type(error).__name__}: {error} "
            f"({frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}); report it to whoever wrote it, with the raw bytes"
        )
        now_s = time.monotonic()
        if now_s - self._traced_s >= _TRACEBACK_EVERY_S:
            self._traced_s = now_s
            _log.error("%s: %s", self.driver.instrument, message, exc_info=error)
        self.driver = cls(self.driver.instrument, self.driver.settings)
        self._fed_before = self._fed
        return message

    def description(self) -> Mapping[str, Any]:
        """As `Driver.description`; of a driver that cannot say it, nothing."""
        try:
            return dict(self.driver.description())
        except Exception as error:
            self.fault(error)
            return {}
