"""The ledger: which Envelopes the hub has on disk, which it will never get and why, and which it wants again.

There is an `Account` for each epoch of a platform's spool. Every `seq` in it is one of three: *had* (it is in the hub's
journal), *explained* (it will not come, for a reason that somebody stated), or *missing*. `through`, `ranges` and
`wanted` of an account are what its `Ack` says; the gateway may forget what is had or explained.

Asking again. A gateway sends everything unacknowledged by itself, oldest first, and live data past it, so most of
what is missing is merely on its way. Worth asking for is only what has been overtaken: numbers below the newest that
came by the same way since the birth. They are asked for again after `RETRY_S`. A number is given up, and so becomes
explained, after `GIVE_UP` requests that failed: nothing missing came since, the platform is online, says that it has
nothing else to send, and either the answer came back corrupt or `RETRY_S` went by. Where any of that is not so (a
link too slow for its backlog, say), the hub goes on waiting: to give up acknowledges, and so loses, data.

The ledger is a view of the hub's journal. It is rebuilt from a snapshot and the records after it.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from central.files import write_durably
from tidegate.envelope import Envelope, Gap
from tidegate.messages import Ack
from tidegate.ranges import RangeSet

_log = logging.getLogger(__name__)

GIVE_UP = 5
MOST_RANGES = 64
"""Most ranges that an Ack carries, the newest."""
MOST_WANTED = 64
"""Most numbers that are asked for at a time: a gateway's window."""
RETRY_S = 60.0
_RETRY_CORRUPT_S = 2.0

Ranges = list[tuple[int, int]]


@dataclass(slots=True)
class _Asked:
    """The last request for one number, and how many before it have failed."""

    at_s: float
    corrupt: int
    failed: int = 0
    spoilt: int = 0


class Account:
    """What the hub has of one epoch of one platform."""

    def __init__(self) -> None:
        self.had = RangeSet()
        self.explained: list[Gap] = []
        """As they were stated. Part of it may have come after all; `explained_ranges` leaves that out."""
        self.first_seq = self.next_seq = 1
        """What the birth said that the spool holds: `first_seq` to `next_seq - 1`."""
        self._settled = RangeSet()  # had or explained
        self._highest = 0  # newest that is had
        self._top = 0  # newest that is known to have been made
        self._backfilled = self._live = 0  # newest that came since the birth, of what was made before and after it
        self._asked: dict[int, _Asked] = {}
        self._filled_s = float("-inf")
        self._corrupt = 0

    def add(self, seq: int, now_s: float = float("-inf")) -> bool:
        """Note that an Envelope is on disk; False where it was already."""
        if seq in self.had:
            return False
        self.had.add(seq)
        self._settled.add(seq)
        if seq < self._highest:
            self._filled_s = now_s
            self._asked.pop(seq, None)
        self._highest = max(self._highest, seq)
        self._top = max(self._top, seq)
        if seq < self.next_seq:
            self._backfilled = max(self._backfilled, seq)
        else:
            self._live = max(self._live, seq)
        return True

    def take(self, envelope: Envelope, now_s: float = float("-inf")) -> bool:
        """Note an Envelope that is on disk with the gaps it tells of; False where it was there already.

        A gap can only be of what was made before the Envelope; what it claims of later numbers is not believed.
        """
        if not self.add(envelope.seq, now_s):
            return False
        for gap in envelope.gaps:
            if gap.first < envelope.seq:
                self.explain(Gap(gap.first, min(gap.last, envelope.seq - 1), gap.reason))
        return True

    def explain(self, gap: Gap) -> bool:
        """Note that numbers will not come, and why; whether that says anything new."""
        new = [Gap(first, last, gap.reason) for first, last in self._settled.missing(gap.first, gap.last)]
        for part in new:
            self.explained.append(part)
            self._settled.add(part.first, part.last)
            self._top = max(self._top, part.last)
            for seq in [seq for seq in self._asked if part.first <= seq <= part.last]:
                del self._asked[seq]
        return bool(new)

    def birth(self, first_seq: int, next_seq: int) -> None:
        """Note what the spool says that it holds. What precedes it and was not had can never come."""
        self.first_seq, self.next_seq = max(self.first_seq, first_seq), max(self.next_seq, next_seq)
        self._backfilled = self._live = 0
        self._top = max(self._top, self.next_seq - 1)
        if self.first_seq > 1:
            self.explain(Gap(1, self.first_seq - 1, "the gateway no longer holds it"))

    def corrupt(self) -> None:
        """Note that something of this platform came that could not be read."""
        self._corrupt += 1

    @property
    def through(self) -> int:
        """Up to here every number is had or explained."""
        return self._settled.through(1)

    @property
    def missing_count(self) -> int:
        """How many numbers the spool is known to have made that are neither had nor explained."""
        return self._top - self._settled.count()

    def ranges(self) -> Ranges:
        """Ranges beyond `through` that are had or explained, at most the newest `MOST_RANGES`."""
        through = self.through
        return [r for r in list(self._settled)[-MOST_RANGES:] if r[0] > through]

    def missing(self) -> Ranges:
        """Ranges of numbers known to have been made that are neither had nor explained."""
        return list(self._settled.missing(1, self._top))

    def holes(self) -> Ranges:
        """Ranges of numbers that are missing although later ones are there."""
        return list(self._settled.missing(1, self._highest))

    def explained_ranges(self) -> list[Gap]:
        """What will not come, without what came after all."""
        return [
            Gap(first, last, gap.reason)
            for gap in self.explained
            for first, last in self.had.missing(gap.first, gap.last)
        ]

    def wanted(self, now_s: float, *, idle: bool, born: bool = False) -> Ranges:
        """What to ask for now, and takes note that it was asked for.

        `idle` says that the platform is online and has nothing else to send. `born` asks at once for every hole: the
        platform has just said what it holds.
        """
        overtaken = self.holes() if born else self._overtaken()
        seqs: list[int] = []
        for first, last in overtaken:
            seqs += range(first, min(last, first + MOST_WANTED - len(seqs) - 1) + 1)
            if len(seqs) >= MOST_WANTED:
                break
        due = RangeSet()
        countable = idle and self.missing_count <= MOST_WANTED
        for seq in seqs:
            asked = self._asked.get(seq)
            if asked is None:
                asked = self._asked[seq] = _Asked(now_s, self._corrupt)
            elif not born:
                spoilt = self._corrupt > asked.corrupt and now_s - asked.at_s >= _RETRY_CORRUPT_S
                if not (spoilt or now_s - asked.at_s >= RETRY_S):
                    continue
                if countable and self._filled_s < asked.at_s:
                    asked.failed += 1
                    asked.spoilt += spoilt
                if asked.failed >= GIVE_UP:
                    what = "corrupt on arrival" if asked.spoilt == asked.failed else "asked for in vain"
                    self.explain(Gap(seq, seq, f"{what} {asked.failed} times"))
                    continue
            asked.at_s, asked.corrupt = now_s, self._corrupt
            due.add(seq)
        return list(due)

    def is_due(self, now_s: float) -> bool:
        """Whether there is something to ask for now, as far as time goes."""
        overtaken = self._overtaken()
        if not overtaken:
            return False
        first = self._asked.get(overtaken[0][0])
        if first is None:
            return True
        spoilt = self._corrupt > first.corrupt and now_s - first.at_s >= _RETRY_CORRUPT_S
        return spoilt or now_s - first.at_s >= RETRY_S

    def _overtaken(self) -> Ranges:
        return [
            *self._settled.missing(1, self._backfilled),
            *self._settled.missing(max(self.next_seq, self._backfilled + 1), self._live),
        ]

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values, for the snapshot."""
        return {
            "had": list(self.had),
            "explained": [[gap.first, gap.last, gap.reason] for gap in self.explained],
            "first_seq": self.first_seq,
            "next_seq": self.next_seq,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "Account":
        """What `as_dict` gave."""
        account = cls()
        account.had = RangeSet((int(first), int(last)) for first, last in value["had"])
        account.explained = [Gap(int(first), int(last), str(reason)) for first, last, reason in value["explained"]]
        account._settled = RangeSet([*account.had, *((gap.first, gap.last) for gap in account.explained)])
        account._highest = max((last for _, last in account.had), default=0)
        account.first_seq, account.next_seq = int(value["first_seq"]), int(value["next_seq"])
        account._top = max(account._highest, account.next_seq - 1, *(gap.last for gap in account.explained), 0)
        return account


@dataclass(slots=True)
class Counters:
    """What came in from one platform besides what is had, since its first message."""

    duplicates: int = 0
    corrupt: int = 0
    misplaced: int = 0
    """Envelopes that said to be of another platform than their topic."""
    births: int = 0
    refused_births: int = 0


@dataclass(slots=True)
class Book:
    """Everything about one platform: its epochs, the one it said last that it is in, and its counters."""

    accounts: dict[str, Account] = field(default_factory=dict)
    epoch: str = ""
    counters: Counters = field(default_factory=Counters)

    def account(self, epoch: str) -> Account:
        """The account of an epoch, opened where there is none."""
        return self.accounts.setdefault(epoch, Account())

    @property
    def envelopes(self) -> int:
        """Envelopes on disk, of all epochs."""
        return sum(account.had.count() for account in self.accounts.values())


class Ledger:
    """The books of all platforms. `number` is the journal's record up to which they are kept."""

    def __init__(self) -> None:
        self.books: dict[str, Book] = {}
        self.number = 0

    def book(self, platform: str) -> Book:
        """The book of a platform, opened where there is none."""
        return self.books.setdefault(platform, Book())

    def ack(self, platform: str, epoch: str, now_s: float, *, idle: bool = False, born: bool = False) -> Ack:
        """What to tell a gateway now (`Account.wanted` for `idle` and `born`)."""
        account = self.book(platform).account(epoch)
        wanted = account.wanted(now_s, idle=idle, born=born)
        return Ack(epoch=epoch, through=account.through, ranges=account.ranges(), wanted=wanted)

    def save(self, path: Path) -> None:
        """Write the snapshot. Raises OSError where the disk fails; the one before is kept then."""
        self.write(path, self.snapshot())

    @staticmethod
    def write(path: Path, snapshot: bytes) -> None:
        """Write what `snapshot` gave."""
        write_durably(path, snapshot)

    def snapshot(self) -> bytes:
        """The snapshot's bytes."""
        books = {
            platform: {
                "epoch": book.epoch,
                "accounts": {epoch: account.as_dict() for epoch, account in book.accounts.items()},
                "counters": {name: getattr(book.counters, name) for name in Counters.__slots__},
            }
            for platform, book in self.books.items()
        }
        return json.dumps({"number": self.number, "books": books}).encode()

    @classmethod
    def load(cls, path: Path, *, newest: int) -> "Ledger":
        """The snapshot at `path`. An empty ledger, to be rebuilt from the journal's beginning, where there is none,
        where it is damaged, or where it knows more than the journal, whose newest record is `newest`."""
        ledger = cls()
        try:
            value = json.loads(path.read_bytes())
            number = int(value["number"])
            if number > newest:
                raise ValueError(f"it stands at record {number}, the journal only at {newest}")
            books = {
                str(platform): Book(
                    {str(epoch): Account.from_dict(account) for epoch, account in book["accounts"].items()},
                    str(book["epoch"]),
                    Counters(**{name: int(count) for name, count in book["counters"].items()}),
                )
                for platform, book in value["books"].items()
            }
        except FileNotFoundError:
            return ledger
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            _log.warning("%s cannot be used: %s; the ledger is rebuilt from the journal", path, error)
            return ledger
        ledger.books, ledger.number = books, number
        return ledger
