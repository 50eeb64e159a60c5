"""A power cut in each system call in turn: nothing that was promised is lost, nothing is sent twice, no file is half.

Raw log, spool, recovery and the spool's small files run on a file system in memory that forgets what was not synced
(`tests.tidegate.forgetful`), which is cut at its first, second, third ... changing call; what survives of the rest is
decided by luck. After the cut the gateway starts again and goes on. A hub of the simplest kind takes what the spool
gives out as durable, and acknowledges it.
"""

import errno
import io
import logging
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path, PurePosixPath
from random import Random
from typing import Any
from unittest.mock import patch

from gateway import rawlog
from gateway import spool as spools
from tests.faults.core import INSTRUMENT, Core, Lines, counts, driver
from tests.faults.rig import Centre, Outcome
from tests.tidegate.forgetful import ForgetfulFiles, PowerCut
from tidegate.envelope import decode_envelope
from tidegate.journal import Journal

_BATCHES, _LINES = 6, 3


def run(centre: Centre | None, rounds: int, seed: int) -> Outcome:
    """So many kinds of luck, each with a cut in every call of a gateway's life. Needs no hub: see above."""
    outcome = Outcome("powercut", rounds, seed)
    found = dict.fromkeys(("cuts", "lost_beyond_window", "seq_given_twice", "refused", "unreadable"), 0)
    logging.disable(logging.CRITICAL)  # the product tells of each of thousands of damages
    begin_s = time.monotonic()
    try:
        for luck in range(rounds):
            chance = Random(f"{seed} {luck}")
            # The first four kinds of luck are the plain ones: nothing survives, everything, halves, zeros.
            choose = (lambda n, luck=luck: min(luck, n - 1)) if luck < 4 else chance.randrange
            calls = 0
            while _cut_at(calls, choose, outcome, found):
                calls += 1
    finally:
        logging.disable(logging.NOTSET)
    outcome.figures |= found | {"took_s": time.monotonic() - begin_s}
    return outcome.judge(
        {
            "what was accepted before the newest sync is at the hub": outcome.lost == 0,
            "nothing is there twice": outcome.duplicated == 0,
            "no seq is given to two different Envelopes": found["seq_given_twice"] == 0,
            "what was on disk in the raw log was taken up": found["lost_beyond_window"] == 0,
            "a start never refuses": found["refused"] == 0,
            "each Envelope can be read": found["unreadable"] == 0,
            "the cuts did happen": found["cuts"] > 60 * rounds,
        }
    )


class _Hub:
    """Keeps what the spool gives out, by epoch and seq."""

    def __init__(self) -> None:
        self.envelopes: dict[tuple[str, int], bytes] = {}
        self.changed = 0

    def take(self, core: Core, *, all_but: int = 0) -> None:
        """What is pending but for the newest ones, and acknowledges it."""
        pending = list(core.spool.pending())
        for seq, data in pending[: len(pending) - all_but]:
            before = self.envelopes.setdefault((core.spool.epoch, seq), data)
            self.changed += before != data
        mine = [seq for epoch, seq in self.envelopes if epoch == core.spool.epoch]
        if mine:
            core.spool.acknowledge(max(mine), [])


def _cut_at(calls: int, choose: Callable[[int], int], outcome: Outcome, found: dict[str, int]) -> bool:
    """One life that is cut at that call, and the next one; whether the call was reached."""
    files, lines, hub = ForgetfulFiles(), Lines(), _Hub()
    folder = Disk("/gateway")
    enveloped = raw_synced = 0
    with ExitStack() as patched:
        journal = partial(Journal, files=files)
        patched.enter_context(patch.object(spools, "Journal", journal))
        patched.enter_context(patch.object(rawlog, "Journal", journal))
        patched.enter_context(patch.object(spools, "os", _SpoolOs(files)))
        patched.enter_context(patch.object(Disk, "files", files))
        files.calls_until_cut = calls
        try:
            core = Core(folder)  # type: ignore[arg-type]
            for batch in range(_BATCHES):
                for _ in range(_LINES):
                    core.hear(lines.next(), lines.at_ns())
                core.spool.close_batch(core.raw.mark)
                enveloped = lines.said
                core.raw.journal.sync()
                raw_synced = lines.said
                if batch % 2:
                    hub.take(core, all_but=1)
                core.hear(lines.next(), lines.at_ns())  # of the next batch
                if batch == 3:
                    core.raw.journal.sync()
                    raw_synced = lines.said
            core.close()
            reached = False
        except PowerCut:
            reached = True
        files.restart(choose)
        after = [1000 + k for k in range(3)]
        try:
            core = Core(folder)  # type: ignore[arg-type]
            for count in after:
                lines.said = count - 1
                lines._simulator._count = count - 1
                core.hear(lines.next(), lines.at_ns())
            core.close_batch()
            hub.take(core)
            core.close()
        except Exception as error:
            found["refused"] += 1
            outcome.remarks.append(f"cut at call {calls}: {type(error).__name__}: {error}"[:300])
            return reached
    schemas = {INSTRUMENT: {schema.id: schema for schema in driver().schemas()}}
    have: list[int] = []
    for data in hub.envelopes.values():
        try:
            have += counts(decode_envelope(data, "core"), schemas)
        except ValueError:
            found["unreadable"] += 1
    once = set(have)
    promised = {*range(1, enveloped + 1), *after}
    lost = promised - once
    unrecovered = set(range(1, raw_synced + 1)) - once - lost
    outcome.acquired += len(promised)
    outcome.stored += len(promised & once)
    outcome.lost += len(lost)
    outcome.duplicated += len(have) - len(once)
    found["lost_beyond_window"] += len(unrecovered)
    found["seq_given_twice"] += hub.changed
    found["cuts"] += reached
    if lost or unrecovered or len(have) > len(once):
        outcome.remarks.append(
            f"cut at call {calls}: lost {sorted(lost)}, not taken up {sorted(unrecovered)}, have {sorted(have)}"[:300]
        )
    return reached


# ---- the spool's small files on the forgetful file system ------------------------------------------------------------


class Disk(PurePosixPath):
    """A path on the forgetful file system, as far as the spool uses one."""

    files = ForgetfulFiles()

    def read_text(self) -> str:
        """The whole file."""
        handle = self.files.open(Path(self))
        try:
            return self.files.read(handle, self.files.size(Path(self)), 0).decode(errors="replace")
        finally:
            self.files.close(handle)

    def open(self, mode: str) -> "_TextFile":
        """A file to be written anew."""
        assert mode == "w"
        return _TextFile(self.files, self.files.create(Path(self), replace=True))

    def replace(self, target: "Disk") -> None:
        """Renames."""
        self.files.rename(Path(self), Path(target))


class _TextFile(io.StringIO):
    def __init__(self, files: ForgetfulFiles, handle: int) -> None:
        super().__init__()
        self._files, self._handle, self._flushed = files, handle, 0

    def flush(self) -> None:
        data = self.getvalue().encode()
        while self._flushed < len(data):
            self._flushed += self._files.write(self._handle, data[self._flushed :], self._flushed)

    def fileno(self) -> int:
        return self._handle

    def close(self) -> None:
        if not self.closed:
            self._files.close(self._handle)
        super().close()


class _SpoolOs:
    """What `gateway.spool` uses of `os`."""

    O_RDONLY = os.O_RDONLY
    _DIRECTORY = -1

    def __init__(self, files: ForgetfulFiles) -> None:
        self._files = files

    def open(self, path: Any, flags: int) -> int:
        """Only folders are opened in this way."""
        if flags != os.O_RDONLY:
            raise OSError(errno.EINVAL, "only a folder, for reading")
        self._folder = Path(path)
        return self._DIRECTORY

    def fsync(self, handle: int) -> None:
        """Of a file or of the folder."""
        if handle == self._DIRECTORY:
            self._files.sync_directory(self._folder)
        else:
            self._files.sync(handle)

    def close(self, handle: int) -> None:
        """Of the folder."""
