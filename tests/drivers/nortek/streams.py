"""What the tests of Nortek's drivers share."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from drivers.driver import Decoded, Driver
from tests.drivers.decoded import frames
from tidegate.clock import UNKNOWN, Arrival


def decode(driver: Driver, data: bytes, cuts: Iterable[int] = (), at: Arrival = UNKNOWN) -> list[Decoded]:
    """All that a driver makes of `data`, fed in pieces."""
    decoded: list[Decoded] = []
    for a, b in pairwise([0, *sorted(cuts), len(data)]):
        decoded += driver.feed(data[a:b], at)
    return decoded + driver.finish()


def joined(decoded: Sequence[Decoded], kind: str) -> dict[str, np.ndarray]:
    """The columns of all samples of one kind, with their `time`."""
    parts = [frame for frame in frames(decoded) if frame.schema.kind == kind]
    names = set.intersection(*(set(part.schema.by_name) for part in parts))
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in names}
    return {"time": np.concatenate([part.time for part in parts]), **columns}


def by_kind(samples: Sequence[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Samples ordered by schema: several kinds that alternate in a stream come kind by kind."""
    return sorted(samples, key=lambda sample: sample[0])  # type: ignore[arg-type,return-value]  # the schema's id
