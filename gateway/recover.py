"""After a crash: what instruments had said and no Envelope had taken yet, so that the last second before it counts.

Theory of operation. Samples wait up to a second for their Envelope, but their raw bytes are in the raw log at once.
The mark of the newest Envelope in the spool (`gateway.rawlog`) says up to which record the spool accounts for them.
Drivers are functions of the bytes that they are fed, so a fresh driver that is brought to the state which the old one
had at that record, and then fed what follows, gives exactly the samples that are missing: none is lost and none comes
twice. To bring it there it is fed the first records of its stream (the instrument's replies to the set-up, which say
what its columns mean) and the last ones before the mark (a record in flight, the date), and what it makes of these is
discarded.

Where the newest Envelope has no mark, nothing is taken up: a double is worse than a gap, and the bytes stay in the
raw log for `tidegate replay`.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping

from drivers.driver import Decoded, Driver
from gateway.guard import Guarded
from gateway.rawlog import Direction, Mark, Position, RawLog, Utterance, followed
from tidegate.clock import Arrival
from tidegate.frame import Frame

_log = logging.getLogger(__name__)

HEAD_RECORDS = 1_024
TAIL_RECORDS = 4_096
MOST_BYTES = 16 << 20
"""Taken up after a crash; an hour of a busy station."""
_INTERRUPTED = b"the gateway was interrupted"


def recover(raw: RawLog, mark: Mark | None, drivers: Mapping[str, Driver]) -> Iterator[tuple[list[Frame], Position]]:
    """The Frames of what follows `mark`, that of the newest Envelope, each with its place in the raw log.

    Ends all streams that are open in the raw log, so it runs before any port is opened. `drivers` are fresh ones, by
    instrument. Raises OSError where the raw log refuses.
    """
    streams = _Streams(drivers)
    if mark is None:
        if raw.journal.last:
            _log.warning(
                "%s: nothing says which of its last bytes have been sent; none are taken up", raw.journal.directory
            )
        open_at_end: Iterable[str] = drivers if raw.journal.last else ()
    else:
        yield from streams.take_up(raw, mark)
        open_at_end = drivers if streams.left_out else streams.position.streams
    raw.position = Position(raw.journal.last, dict.fromkeys(open_at_end, 0))
    for name in list(open_at_end):
        end = Utterance(name, Direction.ENDED, Arrival.now(), _INTERRUPTED)
        position = raw.append(end)
        frames = streams.feed(end)
        if frames:
            yield frames, position


class _Streams:
    """The drivers on their way through the raw log."""

    def __init__(self, drivers: Mapping[str, Driver]) -> None:
        self._drivers = {name: Guarded(driver) for name, driver in drivers.items()}
        self._beyond: dict[str, int] = {}
        self.position = Position(0, {})
        self.left_out = False

    def take_up(self, raw: RawLog, mark: Mark) -> Iterator[tuple[list[Frame], Position]]:
        """The Frames of what follows the mark."""
        self._warm_up(raw, mark.position)
        self._beyond = dict(mark.beyond)
        self.position = mark.position
        taken = 0
        for number, utterance in raw.read(mark.position.number):
            taken += len(utterance.data)
            if taken > MOST_BYTES:
                self.left_out = True
                _log.error(
                    "%s: more than %d bytes were not sent before the crash; what follows record %d stays there: "
                    "send it by `tidegate replay`",
                    raw.journal.directory, MOST_BYTES, number - 1,
                )  # fmt: skip
                return
            self.position = followed(self.position, number, utterance)
            frames = self.feed(utterance)
            if frames:
                yield frames, self.position

    def _warm_up(self, raw: RawLog, mark: Position) -> None:
        tail = mark.number - TAIL_RECORDS
        for name, first in mark.streams.items():
            for number, utterance in raw.read(first - 1, limit=HEAD_RECORDS):
                if number <= min(tail, mark.number) and utterance.instrument == name:
                    self.feed(utterance)
        for number, utterance in raw.read(max(tail, 0), limit=TAIL_RECORDS):
            if number <= mark.number and number >= mark.streams.get(utterance.instrument, mark.number + 1):
                self.feed(utterance)

    def feed(self, utterance: Utterance) -> list[Frame]:
        """What the utterance completed, without what is beyond the mark and accounted for."""
        guarded = self._drivers.get(utterance.instrument)
        if guarded is None or utterance.direction in (Direction.SAID, Direction.TYPED):
            return []
        if utterance.direction is Direction.ENDED:
            return self._missing(utterance.instrument, guarded.finish())
        return self._missing(utterance.instrument, guarded.feed(utterance.data, utterance.at))

    def _missing(self, instrument: str, decoded: list[Decoded]) -> list[Frame]:
        frames = []
        for frame in decoded:
            if not isinstance(frame, Frame):
                continue
            known = min(self._beyond.get(instrument, 0), len(frame))
            if known:
                self._beyond[instrument] -= known
            if known < len(frame):
                frames.append(frame.take(slice(known, None)))
        return frames
