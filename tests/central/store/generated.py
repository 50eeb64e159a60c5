"""Change logs made up by hypothesis, and a plain model of what is known after them, for tests of all views."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

from central.changes import Change, Op, Stages
from central.store import Stream
from tidegate.frame import MISSING_INT, Cells, Column, Field, Frame, Missing, Schema

SECOND = 1_000_000_000
T0 = 1_720_000_000 * SECOND

CTD = Schema(
    "ctd",
    (
        Field.of("sea_water_temperature"),
        Field.of("sea_water_electrical_conductivity"),
        Field.of("sample_number"),
    ),
)
ADCP = Schema(
    "adcp",
    (
        Field.of("eastward_sea_water_velocity", profile=True),
        Field.of("signal_intensity_from_multibeam_acoustic_doppler_velocity_sensor_in_sea_water_beam_1", profile=True),
        Field.of("platform_orientation"),
    ),
    Cells(3, 2.5, 1.0, True),
)

_FLAGS = [1, 1, 1, 2, 3, 4]


def make_change(
    op: Op,
    platform: str,
    instrument: str,
    schema: Schema,
    time: Sequence[int],
    columns: Mapping[str, object],
    *,
    flags: Mapping[str, object] | None = None,
    reasons: Mapping[str, object] | None = None,
    seq: int = 1,
) -> Change:
    """A change from lists; NaN (or MISSING_INT) is missing; flags are 1, or 9 where missing, unless given."""
    arrays: dict[str, Column] = {}
    for f in schema.fields:
        shape = (len(time), schema.width(f)) if f.profile else (len(time),)
        given = columns[f.name]
        arrays[f.name] = (
            np.array(given, np.int64).reshape(shape) if f.integer else np.array(given, np.float64).reshape(shape)
        )
    frame = Frame(
        instrument,
        schema,
        np.array(time, np.int64),
        arrays,
        reasons={name: np.array(r, np.uint8).reshape(arrays[name].shape) for name, r in (reasons or {}).items()},
    )
    own = {}
    for name, array in arrays.items():
        judged = np.array((flags or {}).get(name, np.ones(array.shape)), np.uint8).reshape(array.shape)
        own[name] = np.where(frame.missing(name), np.uint8(9), judged).astype(np.uint8)
    made_ns = T0 + seq
    return Change(op, platform, frame, own, Stages(made_ns, made_ns + 1, made_ns + 2, made_ns + 3), "00ff" * 4, seq)


@st.composite
def changes(draw: st.DrawFn) -> Change:
    """Any change: scalars, counts and profiles; missing values of any reason; times that come again."""
    schema, instrument = draw(st.sampled_from([(CTD, "ctd-1"), (CTD, "ctd-2"), (ADCP, "adcp")]))
    n = draw(st.integers(0, 5))
    time = draw(st.lists(st.integers(0, 8), min_size=n, max_size=n))
    columns, reasons, flags = {}, {}, {}
    for f in schema.fields:
        size = n * schema.width(f)
        steps = draw(st.lists(st.integers(-300, 300), min_size=size, max_size=size))
        why = draw(st.lists(st.sampled_from([0, 0, 0, 0, *map(int, Missing)]), min_size=size, max_size=size))
        flags[f.name] = draw(st.lists(st.sampled_from(_FLAGS), min_size=size, max_size=size))
        absent = MISSING_INT if f.integer else float("nan")
        present = [s if f.integer else round(s * f.resolution, f.decimals) for s in steps]
        columns[f.name] = [absent if w else p for p, w in zip(present, why, strict=True)]
        reasons[f.name] = why
    return make_change(
        draw(st.sampled_from([Op.INSERT, Op.INSERT, Op.CORRECT, Op.RETRACT])),
        draw(st.sampled_from(["hainan", "ship-9"])),
        instrument,
        schema,
        [T0 + t * SECOND + t for t in time],
        columns,
        flags=flags,
        reasons=reasons,
        seq=draw(st.integers(1, 2**40)),
    )


def logs(most: int = 12) -> st.SearchStrategy[list[tuple[int, Change]]]:
    """A change log: cursors ascend, with gaps."""
    return st.lists(st.tuples(st.integers(1, 3), changes()), max_size=most).map(_number)


def _number(steps: list[tuple[int, Change]]) -> list[tuple[int, Change]]:
    cursors = np.cumsum([step for step, _ in steps]).tolist()
    return [(cursor, change) for cursor, (_, change) in zip(cursors, steps, strict=True)]


Row = tuple[tuple[float | None, ...], tuple[int, ...], tuple[int, ...]]
"""Values (None where missing), flags and reasons of the cells of one sample; of a scalar, one of each."""


@dataclass
class Model:
    """What a view must hold: by stream and time, one sample at a time, as plainly as can be."""

    known: dict[Stream, dict[int, Row]] = field(default_factory=dict)

    def apply(self, change: Change) -> None:
        """One more change."""
        frame = change.frame
        for f in frame.schema.fields:
            stream = self.known.setdefault(Stream(change.platform, frame.instrument, f.name), {})
            missing = frame.missing(f.name)
            for i, time_ns in enumerate(frame.time.tolist()):
                if change.op is Op.RETRACT:
                    stream.pop(time_ns, None)
                    continue
                why = np.atleast_1d(missing[i]).tolist()
                values = np.atleast_1d(frame.columns[f.name][i]).tolist()
                stream[time_ns] = (
                    tuple(None if w else float(v) for v, w in zip(values, why, strict=True)),
                    tuple(np.atleast_1d(change.flags[f.name][i]).tolist()),
                    tuple(why),
                )

    @classmethod
    def after(cls, log: Sequence[tuple[int, Change]], cursor: int | None = None) -> "Model":
        """What is known at `cursor`, or in the end."""
        model = cls()
        for at, change in log:
            if cursor is None or at <= cursor:
                model.apply(change)
        return model
