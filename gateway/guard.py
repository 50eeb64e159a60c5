"""A driver whose bugs cost only the bytes that they meet: what it raises becomes a Problem, and a new one takes over.

The gateway, `tidegate decode` and the recovery after a crash all feed drivers through this, so the three make the
same of the same bytes, faults included.
"""

import logging
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from drivers.driver import Decoded, Driver, Problem, problem
from tidegate.clock import UNKNOWN, Arrival

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

    def feed(self, data: bytes, at: Arrival) -> list[Decoded]:
        """As `Driver.feed`; never raises."""
        self._fed += len(data)
        return self._run(lambda: self.driver.feed(data, at), data, at)

    def finish(self) -> list[Decoded]:
        """As `Driver.finish`; never raises."""
        return self._run(self.driver.finish, b"", UNKNOWN)

    def _run(self, work: Callable[[], list[Decoded]], data: bytes, at: Arrival) -> list[Decoded]:
        shift = self._fed_before
        try:
            decoded = list(work())
        except Exception as error:
            return [problem(FAULT, self.fault(error), self._fed - len(data), data, at)]
        if not shift:
            return decoded
        return [replace(d, offset=d.offset + shift) if isinstance(d, Problem) else d for d in decoded]

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
