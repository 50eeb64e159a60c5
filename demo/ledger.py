"""Compares what the simulated instruments say they said with what the database holds, sample by sample.

A sample of a ledger is found in the database when every one of its values stands there, equal at the printed
resolution: at its own time where the instrument gave one, else in its turn, among the samples of that instrument in
the order of their times. What is in a ledger and not in the database is lost; what is in the database and in no
ledger, or there twice, is duplicated.
"""

import json
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """One line of a ledger."""

    instrument: str
    at_ns: int
    time_ns: int | None
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stored:
    """What the database holds of one instrument at one time: values and flags by parameter, None where missing.

    `inserts` says how many times each value was put there as new, where the database can tell.
    """

    time_ns: int
    values: Mapping[str, Any]
    flags: Mapping[str, Any]
    inserts: Mapping[str, int] = field(default_factory=dict)


@dataclass
class Comparison:
    """The result, summed over instruments."""

    acquired: int = 0
    stored: int = 0
    lost: int = 0
    duplicated: int = 0
    flags: Counter[int] = field(default_factory=Counter)
    remarks: list[str] = field(default_factory=list)

    def __iadd__(self, other: "Comparison") -> "Comparison":
        self.acquired += other.acquired
        self.stored += other.stored
        self.lost += other.lost
        self.duplicated += other.duplicated
        self.flags += other.flags
        self.remarks += other.remarks
        return self


def read_ledger(path: Path) -> list[Said]:
    """The samples that one simulator noted, without those that it spoilt on purpose on the line."""
    said = []
    for line in path.read_text().splitlines():
        entry = json.loads(line)
        if "values" in entry and not entry.get("damaged"):
            said.append(Said(entry["instrument"], entry["at_ns"], entry["time_ns"], entry["values"]))
    return said


def compare(name: str, said: list[Said], stored: Iterable[Stored]) -> Comparison:
    """One instrument's ledger against what the database holds of it."""
    result = Comparison(acquired=len(said))
    at: dict[int, Stored] = {}
    for sample in stored:
        at[sample.time_ns] = sample
        result.flags.update(_flags(sample.flags))
    claimed: Counter[tuple[int, str]] = Counter()
    unplaced = [one for one in said if one.time_ns is None]
    for one, time_ns in [*((one, one.time_ns) for one in said if one.time_ns is not None), *_placed(unplaced, at)]:
        found = at.get(time_ns) if time_ns is not None else None
        if found is None or any(_plain(found.values.get(p)) != _plain(v) for p, v in one.values.items()):
            result.lost += 1
            if result.lost <= 3:
                result.remarks.append(f"{name}: lost {dict(one.values)} said at {one.at_ns}")
            continue
        result.stored += 1
        claimed.update((found.time_ns, parameter) for parameter in one.values)
    ledgered = {parameter for one in said for parameter in one.values}
    for sample in at.values():
        # What an instrument does not put into its ledger (its status, say) stands beside what it does.
        judged = ledgered & sample.values.keys() or sample.values.keys()
        more = max(sample.inserts.get(parameter, 1) - claimed[sample.time_ns, parameter] for parameter in judged)
        if more > 0:
            result.duplicated += more
            result.stored += more
            if result.duplicated <= 3:
                result.remarks.append(f"{name}: {more} more than said at {sample.time_ns}: {dict(sample.values)}")
    return result


def _placed(said: list[Said], at: Mapping[int, Stored]) -> Iterator[tuple[Said, int | None]]:
    """Samples that carry no time of their own, each with the time of the stored one that is its own: of equal
    values, the earliest that is not taken yet."""
    places: dict[Key, deque[int]] = defaultdict(deque)
    for names in {tuple(sorted(one.values)) for one in said}:
        for time_ns in sorted(at):
            values = at[time_ns].values
            if all(name in values for name in names):
                places[names, tuple(_plain(values[name]) for name in names)].append(time_ns)
    for one in said:
        names = tuple(sorted(one.values))
        free = places[names, tuple(_plain(one.values[name]) for name in names)]
        yield one, free.popleft() if free else None


def _plain(value: Any) -> Any:
    """Numbers that are equal at any printed resolution become equal; profiles become tuples."""
    if isinstance(value, list | tuple):
        return tuple(_plain(v) for v in value)
    return None if value is None else round(float(value), 7)


def _flags(flags: Mapping[str, Any]) -> Iterator[int]:
    for value in flags.values():
        if isinstance(value, list | tuple):
            yield from value
        else:
            yield value
