"""Sets of whole numbers held as closed ranges: what the hub has of an epoch, what a gateway may forget."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator


class RangeSet:
    """A set of ints as sorted, disjoint, non-adjacent ranges `(first, last)`. Adding and looking up are logarithmic in
    the number of ranges, which is the number of holes and not of members."""

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in ranges:
            self.add(first, last)

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._firsts, number) - 1
        return at >= 0 and number <= self._lasts[at]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._firsts, self._lasts, strict=True))

    def __len__(self) -> int:
        """How many ranges."""
        return len(self._firsts)

    def __bool__(self) -> bool:
        return bool(self._firsts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RangeSet) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def count(self) -> int:
        """How many members."""
        return sum(self._lasts) - sum(self._firsts) + len(self._firsts)

    def add(self, first: int, last: int | None = None) -> None:
        """Adds `first` to `last`, both included; one number where `last` is None."""
        last = first if last is None else last
        if last < first:
            raise ValueError(f"a range from {first} to {last}")
        # Ranges that overlap or touch [first, last] melt into it.
        low = bisect_right(self._lasts, first - 2)
        high = bisect_right(self._firsts, last + 1)
        if low < high:
            first = min(first, self._firsts[low])
            last = max(last, self._lasts[high - 1])
        self._firsts[low:high] = [first]
        self._lasts[low:high] = [last]

    def missing(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """The ranges within `first` to `last` that are not in the set."""
        at = max(bisect_right(self._firsts, first) - 1, 0)
        for have_first, have_last in zip(self._firsts[at:], self._lasts[at:], strict=True):
            if have_first > last:
                break
            if have_first > first:
                yield first, have_first - 1
            first = max(first, have_last + 1)
        if first <= last:
            yield first, last

    def through(self, start: int) -> int:
        """The last number up to which nothing is missing from `start` on; `start - 1` where `start` itself is."""
        at = bisect_right(self._firsts, start) - 1
        return self._lasts[at] if at >= 0 and start <= self._lasts[at] else start - 1
