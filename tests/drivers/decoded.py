"""What a test says of decoded streams, however they were grouped into Frames."""

from collections.abc import Sequence
from typing import Any

from drivers.driver import Decoded, Problem
from tidegate.frame import Frame


def frames(decoded: Sequence[Decoded]) -> list[Frame]:
    return [d for d in decoded if isinstance(d, Frame)]


def problems(decoded: Sequence[Decoded]) -> list[tuple[str, int, int]]:
    return [(d.kind, d.offset, d.size) for d in decoded if isinstance(d, Problem)]


def samples(decoded: Sequence[Decoded]) -> list[tuple[Any, ...]]:
    """Every sample down to its bits, however the samples were grouped."""
    return [
        (
            frame.schema.id,
            int(frame.time[i]),
            frame.source,
            *(frame.columns[name][i].tobytes() + frame.missing(name)[i].tobytes() for name in frame.schema.by_name),
        )
        for frame in frames(decoded)
        for i in range(len(frame))
    ]
