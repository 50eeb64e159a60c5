"""Followers: each keeps one view of the change log up to date, in a thread of its own.

A follower reads the log from its durable cursor, gives the store a batch, and commits the cursor when the store has
taken it; a crash between the two gives the store the batch again. A store that keeps the cursor itself, in the same
transaction as the data, offers `cursor()`, and then that one counts. A store that is down or slow is tried again for
ever, and nobody else notices.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from central.changes import Change, ChangeLog, Op
from central.quarantine import Case, Quarantine, Reason
from central.store import Store, StoreRefused
from tidegate.clock import NAT
from tidegate.codec import values_of

_log = logging.getLogger(__name__)

BATCH_CHANGES = 1000
_BATCH_VALUES = 1 << 20
_BACK_OFF_S = (0.5, 30.0)
_COMMIT_S = 1.0


@runtime_checkable
class KeepsCursor(Protocol):
    """A store that knows itself how far it has come."""

    def cursor(self) -> int | None:
        """The cursor of the newest change that is in the store; None where it has none yet."""
        ...


@dataclass(frozen=True, slots=True)
class Standing:
    """How a follower does."""

    name: str
    cursor: int
    """The newest change in the store."""
    lag: int
    """Changes in the log after it, counted by cursor."""
    error: str
    """Why it does not get on; empty where it does."""
    since_ns: int | None
    """Since when it does not, UTC."""
    refused: int
    """Changes that the store will never take, since the start."""
    changes: int
    """Changes that the store has taken, since the start."""
    delay_p50_s: float | None
    """Half of the newest samples took no longer from their arrival at the gateway until they were in the store."""
    delay_p99_s: float | None
    """99 of 100 of them took no longer."""


class Follower:
    """Keeps the store that `open_store` opens up to date. The store is opened, used and closed in the follower's own
    thread."""

    def __init__(self, name: str, open_store: Callable[[], Store], changes: ChangeLog, quarantine: Quarantine) -> None:
        self.name = name
        self.store: Store | None = None
        """The store while it is open; None before, and while it cannot be opened."""
        self._open, self._changes, self._quarantine = open_store, changes, quarantine
        self._cursor = changes.cursor(name)
        self._position = self._cursor.position
        self._error = ""
        self._since_ns: int | None = None
        self._refused = self._taken = 0
        self._delays = _Delays()
        self._committed_s = float("-inf")
        self._ready = threading.Event()
        self._stop = threading.Event()
        self._finish_by_s: float | None = None
        self._thread = threading.Thread(target=self._run, name=f"follower-{name}", daemon=True)

    @property
    def standing(self) -> Standing:
        """How it does now."""
        lag = max(self._changes.last - self._position, 0)
        p50_s, p99_s = self._delays.quantiles()
        return Standing(
            self.name, self._position, lag, self._error, self._since_ns, self._refused, self._taken, p50_s, p99_s
        )

    @property
    def alive(self) -> bool:
        """Whether its thread is running."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def wait_until_open(self, timeout_s: float) -> bool:
        """Wait until the store has been opened once; False where time is up."""
        return self._ready.wait(timeout_s)

    def stop(self, *, within_s: float) -> bool:
        """Catch up as far as that goes within `within_s`, close the store, and return whether the thread has ended."""
        self._finish_by_s = time.monotonic() + within_s
        self._stop.set()
        self._thread.join(within_s + 1.0)
        return not self._thread.is_alive()

    # --- the thread ---

    def _run(self) -> None:
        back_off_s = _BACK_OFF_S[0]
        while not self._done():
            try:
                if self.store is None:
                    self._begin()
                if self._step():
                    back_off_s = _BACK_OFF_S[0]
            except Exception as error:  # a store may fail in any way; it must not end the follower
                self._fails(error)
                self._stop.wait(back_off_s)
                back_off_s = min(back_off_s * 2, _BACK_OFF_S[1])
        self._end()

    def _done(self) -> bool:
        if not self._stop.is_set():
            return False
        late = self._finish_by_s is not None and time.monotonic() >= self._finish_by_s
        return late or bool(self._error) or self._position >= self._changes.last

    def _begin(self) -> None:
        store = self._open()
        if isinstance(store, KeepsCursor):
            kept = store.cursor() or 0
            if kept > self._changes.last:
                store.close()
                raise RuntimeError(
                    f"it stands at change {kept}, and the change log ends at {self._changes.last}: they are not of one "
                    "hub; move the store away, and it is built again"
                )
            self._position = kept
        self.store = store
        self._ready.set()

    def _step(self) -> bool:
        """Give the store one batch; False where there is nothing to give."""
        assert self.store is not None
        batch: list[tuple[int, Change]] = []
        values = 0
        for cursor, change in self._changes.read(self._position, BATCH_CHANGES):
            batch.append((cursor, change))
            values += values_of(change.frame.schema, len(change.frame))
            if values >= _BATCH_VALUES:
                break
        if not batch:
            self._works()
            self._commit(idle=True)
            self._changes.block(self._position, 0.2)
            return False
        self._give(batch)
        self._delays.add([change for _, change in batch], time.time_ns())
        self._position = batch[-1][0]
        self._taken += len(batch)
        self._works()
        self._commit(idle=False)
        return True

    def _give(self, batch: Sequence[tuple[int, Change]]) -> None:
        assert self.store is not None
        try:
            self.store.write(batch)
        except StoreRefused as refused:
            self._refused += len(refused.refusals)
            self._quarantine.add(
                [
                    Case(
                        Reason.REFUSED,
                        refusal.change.platform,
                        refusal.change.frame.instrument,
                        time.time_ns(),
                        f"{self.name}: {refusal.points} points of change {refusal.cursor}: {refusal.reason}",
                        (0, 0),
                        b"",
                    )
                    for refusal in refused.refusals
                ]
            )

    def _commit(self, *, idle: bool) -> None:
        """Make the position durable: when idle, and else about once a second, because it costs two fsyncs."""
        if isinstance(self.store, KeepsCursor) or self._cursor.position == self._position:
            return
        if idle or time.monotonic() - self._committed_s >= _COMMIT_S:
            self._cursor.commit(self._position)
            self._committed_s = time.monotonic()

    def _works(self) -> None:
        if self._error:
            _log.warning("%s: works again", self.name)
            self._error, self._since_ns = "", None

    def _fails(self, error: Exception) -> None:
        text = str(error) or type(error).__name__
        if not self._error:
            self._since_ns = time.time_ns()
        if text != self._error:
            _log.warning("%s: does not get on, and tries again: %s", self.name, text)
        self._error = text

    def _end(self) -> None:
        try:
            self._commit(idle=True)
        except (OSError, ValueError) as error:
            _log.error("%s: its cursor cannot be kept, it starts a little before: %s", self.name, error)
        if self.store is not None:
            try:
                self.store.close()
            except Exception:
                _log.exception("%s: cannot be closed in order", self.name)


class _Delays:
    """How long the newest samples took from arrival to store. Written by one thread, read by any."""

    def __init__(self) -> None:
        self._newest: deque[npt.NDArray[np.float64]] = deque(maxlen=2000)

    def add(self, changes: Sequence[Change], now_ns: int) -> None:
        """These are in the store since now."""
        for change in changes:
            time_ns = change.frame.time
            if change.op is Op.INSERT and len(time_ns) and change.frame.arrival.utc_ns != NAT:
                # A Frame keeps when its first sample arrived; the others came as far behind as their times are apart.
                arrived_ns = change.frame.arrival.utc_ns + (time_ns - time_ns[0])
                self._newest.append((now_ns - arrived_ns) / 1e9)

    def quantiles(self) -> tuple[float | None, float | None]:
        """(median, 99th percentile), seconds; None before the first."""
        newest = list(self._newest)
        if not newest:
            return None, None
        p50_s, p99_s = np.quantile(np.concatenate(newest), (0.5, 0.99))
        return float(p50_s), float(p99_s)
