"""Compares what the simulated instruments say they said with what the database holds, sample by sample.

A sample of a ledger is found in the database when every one of its values stands there, equal at the printed
resolution: at its own time where the instrument gave one, else in its turn, among the samples of that instrument in
the order of their times. What is in a ledger and not in the database is lost; what is in the database and in no
ledger, or there twice, is duplicated.
"""

import json
from collections import Counter, defaultdict
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
    """One sample in the database: its values by parameter (None where missing), flags likewise, and when it was
    stored."""

    time_ns: int
    values: Mapping[str, Any]
    flags: Mapping[str, Any]
    copies: int = 1


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
    """One instrument's ledger against its samples in the database."""
    result = Comparison(acquired=len(said))
    forms = {frozenset(one.values) for one in said}
    pool: dict[Key, int] = defaultdict(int)
    for sample in stored:
        result.stored += sample.copies
        result.flags.update(_flags(sample.flags))
        form = _form(sample.values, forms)
        pool[_key(form, sample.time_ns, sample.values)] += sample.copies
    untimed = {frozenset(one.values) for one in said if one.time_ns is None}
    if untimed:
        merged: dict[Key, int] = defaultdict(int)
        for (form, time_ns, values), copies in pool.items():
            merged[form, None if form in untimed else time_ns, values] += copies
        pool = merged
    for one in said:
        key = _key(frozenset(one.values), one.time_ns, one.values)
        if pool.get(key):
            pool[key] -= 1
        else:
            result.lost += 1
            if result.lost <= 3:
                result.remarks.append(f"{name}: lost {dict(one.values)} of {one.time_ns or one.at_ns}")
    for (_, time_ns, values), copies in pool.items():
        if copies:
            result.duplicated += copies
            if result.duplicated <= 3:
                result.remarks.append(f"{name}: {copies} more than said of {values} at {time_ns}")
    return result


def _form(values: Mapping[str, Any], forms: Iterable[frozenset[str]]) -> frozenset[str]:
    """Which kind of record of the ledger a stored sample is: the largest whose values it all has."""
    fitting = [form for form in forms if form <= values.keys()]
    return max(fitting, key=len) if fitting else frozenset(values)


def _key(form: frozenset[str], time_ns: int | None, values: Mapping[str, Any]) -> Key:
    return form, time_ns, tuple((name, _plain(values[name])) for name in sorted(form))


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
