"""Ledger and hub, sample by sample: what is lost, what is there twice, what is there with other values or times."""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.faults.instruments import Sample

_MOST_REMARKS, _LONGEST = 5, 300


@dataclass(slots=True)
class Row:
    """What the hub has of one instrument at one time: the values, and how many times each was put there as new."""

    values: dict[str, Any] = field(default_factory=dict)
    inserts: Counter[str] = field(default_factory=Counter)


@dataclass
class Tally:
    """The result, in samples. `duplicated` is what the hub has and nobody said, `spared` doubtful samples that came."""

    acquired: int = 0
    stored: int = 0
    lost: int = 0
    duplicated: int = 0
    altered: int = 0
    mistimed: int = 0
    spared: int = 0
    remarks: list[str] = field(default_factory=list)
    lost_samples: list[Sample] = field(default_factory=list, repr=False)

    def __iadd__(self, other: "Tally") -> "Tally":
        for name in ("acquired", "stored", "lost", "duplicated", "altered", "mistimed", "spared"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.remarks += other.remarks
        self.lost_samples += other.lost_samples
        return self

    @property
    def clean(self) -> bool:
        """Whether nothing at all is wrong."""
        return not (self.lost or self.duplicated or self.altered or self.mistimed)

    def remark(self, text: str) -> None:
        """A line for people; only the first few are kept."""
        if len(self.remarks) < _MOST_REMARKS:
            self.remarks.append(text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ...")


def tally(name: str, said: Iterable[Sample], rows: Mapping[int, Row], most_late_s: float | None = None) -> Tally:
    """One instrument's samples against the hub's rows, by time.

    A sample with a time of its own must stand there at exactly that; another is found by its values, and where
    `most_late_s` is given must stand within that of when it was said. Values must be equal at the printed resolution.
    """
    said = list(said)
    result = Tally(acquired=sum(not one.doubtful for one in said))
    claimed: Counter[tuple[int, str]] = Counter()
    places = _by_values(said, rows)
    for one in sorted(said, key=lambda one: one.doubtful):
        if one.time_ns is None:
            free = places[_key(one.values)]
            time_ns = free.popleft() if free else None
            found, equal = (rows[time_ns], True) if time_ns is not None else (None, False)
        else:
            time_ns, found = one.time_ns, rows.get(one.time_ns)
            equal = found is not None and all(_plain(found.values.get(p)) == _plain(v) for p, v in one.values.items())
        if found is not None and time_ns is not None and equal:
            claimed.update((time_ns, parameter) for parameter in one.values)
            if one.doubtful:
                result.spared += 1
            else:
                result.stored += 1
            if one.time_ns is None and most_late_s is not None and abs(time_ns - one.at_ns) > most_late_s * 1e9:
                result.mistimed += 1
                result.remark(f"{name}: {dict(one.values)} said at {one.at_ns} stands at {time_ns}")
        elif one.doubtful:
            continue
        elif found is not None and any(parameter in found.values for parameter in one.values):
            result.altered += 1
            claimed.update((one.time_ns or 0, parameter) for parameter in one.values)
            result.remark(f"{name}: {dict(one.values)} said for {one.time_ns} stands there as {found.values}")
        else:
            result.lost += 1
            result.lost_samples.append(one)
            result.remark(f"{name}: lost {dict(one.values)} said at {one.at_ns}, time {one.time_ns}")
    ledgered = {parameter for one in said for parameter in one.values}
    for time_ns, row in rows.items():
        judged = ledgered & row.values.keys() or row.values.keys()
        more = max(row.inserts[parameter] - claimed[time_ns, parameter] for parameter in judged)
        if more > 0:
            result.duplicated += more
            result.remark(f"{name}: {more} more than said at {time_ns}: {row.values}")
    return result


def _by_values(said: list[Sample], rows: Mapping[int, Row]) -> dict[Any, deque[int]]:
    """Where rows with the values of samples without a time are, oldest first."""
    places: dict[Any, deque[int]] = defaultdict(deque)
    for names in {tuple(sorted(one.values)) for one in said if one.time_ns is None}:
        for time_ns in sorted(rows):
            values = rows[time_ns].values
            if all(name in values for name in names):
                places[_key({name: values[name] for name in names})].append(time_ns)
    return places


def _key(values: Mapping[str, Any]) -> Any:
    return tuple((name, _plain(values[name])) for name in sorted(values))


def _plain(value: Any) -> Any:
    """Numbers that are equal at any printed resolution become equal; profiles become tuples."""
    if isinstance(value, list | tuple):
        return tuple(_plain(v) for v in value)
    return None if value is None else round(float(value), 7)
