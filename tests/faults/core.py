"""The way from bytes to Envelopes as the running gateway has it (`gateway.run`), without ports and without a clock.

For scenarios that cut or damage what is on disk thousands of times, where starting a process each time would take
hours. Raw log, drivers, spool and recovery are the product's own, called in the gateway's order.
"""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from drivers.ascii_pattern import AsciiPattern, Settings
from gateway.guard import Guarded
from gateway.rawlog import Direction, Mark, RawLog, Utterance
from gateway.recover import recover
from gateway.spool import Spool
from tests.faults.instruments import COUNTING, Counting
from tidegate.clock import Arrival
from tidegate.envelope import Envelope
from tidegate.frame import Frame

INSTRUMENT = "fast"
_BYTES = 20_000_000


def driver() -> AsciiPattern:
    """A fresh driver of the numbered lines."""
    return AsciiPattern(INSTRUMENT, Settings.model_validate(tomllib.loads(COUNTING)["settings"]))


class Core:
    """One life of a gateway on `folder`, beginning with what the life before it left."""

    def __init__(self, folder: Path) -> None:
        self.raw = RawLog(folder / "raw", _BYTES)
        self.spool = Spool("core", folder / "spool", _BYTES)
        self._driver = Guarded(driver())
        for schema in self._driver.driver.schemas():
            self.spool.declare(INSTRUMENT, schema)
        mark = self.raw.find_mark(self.spool.newest)
        if mark is not None:
            self.spool.resume(mark.position, mark.beyond)
        for frames, heard in recover(self.raw, mark, {INSTRUMENT: driver()}):
            self.spool.put(*frames, heard=heard)
        self.spool.close_batch(self.raw.mark)
        self.spool.resume(self.raw.position)
        self.raw.mark(Mark(self.spool.newest, self.raw.position, {}))

    def hear(self, data: bytes, at_ns: int) -> None:
        """What the port gave."""
        at = Arrival(at_ns, at_ns, "00" * 8, True)
        position = self.raw.append(Utterance(INSTRUMENT, Direction.HEARD, at, data))
        frames = [item for item in self._driver.feed(data, at) if isinstance(item, Frame)]
        if frames:
            self.spool.put(*frames, heard=position)

    def close_batch(self) -> None:
        """What the gateway does each second."""
        self.spool.close_batch(self.raw.mark)
        self.raw.journal.sync()

    def close(self) -> None:
        """Ends it in good order."""
        self.spool.close()
        self.raw.close()


class Lines:
    """Numbered lines without end."""

    def __init__(self) -> None:
        self._simulator = Counting()
        self.said = 0

    def next(self) -> bytes:
        """One more."""
        self.said += 1
        return self._simulator.tick(self.said * 10**9)

    def at_ns(self) -> int:
        """When it was said."""
        return self.said * 10**9


def counts(envelope: Envelope, schemas: Any) -> Iterator[int]:
    """The numbers of the lines in an Envelope. Raises ValueError where a Frame cannot be decoded."""
    frames, undecoded = envelope.decode(schemas)
    if undecoded:
        raise ValueError(f"Envelope {envelope.seq}: {undecoded[0].error}")
    for frame in frames:
        yield from frame.columns["lines_said"].tolist()
