"""Hypothesis strategies for Frames, shared by the tests of codec, Envelope, spool and hub."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tidegate.clock import NAT, Arrival, TimeSource
from tidegate.frame import MISSING_INT, Cells, Field, Frame, Missing, Schema

CTD = Schema(
    "ctd",
    (
        Field.of("sea_water_temperature"),
        Field.of("sea_water_electrical_conductivity"),
        Field.of("sea_water_pressure_due_to_sea_water"),
        Field.of("sample_number"),
    ),
)
ADCP = Schema(
    "adcp",
    (
        Field.of("platform_orientation"),
        Field.of("eastward_sea_water_velocity", profile=True),
        Field.of("signal_intensity_from_multibeam_acoustic_doppler_velocity_sensor_in_sea_water_beam_1", profile=True),
    ),
    Cells(7, 2.5, 1.0, True),
)
ODD = Schema("odd", (Field("third", "1", 1 / 3), Field("quarter", "m", 0.25), Field("coarse", "Pa", 50.0)))

SCHEMAS = {schema.id: schema for schema in (CTD, ADCP, ODD)}


@st.composite
def frames(draw: st.DrawFn, instrument: str = "ctd-1") -> Frame:
    """Any Frame: smooth or wild values on the grid of the resolution, some columns that follow another, missing
    ones with reasons, any times."""
    schema = draw(st.sampled_from([CTD, ADCP, ODD]))
    n = draw(st.integers(0, 40))
    largest = draw(st.sampled_from([0, 3, 200, 10**6, 2**50]))
    columns, reasons = {}, {}
    before: dict[tuple[int, ...], np.ndarray] = {}
    for f in schema.fields:
        shape = (n, schema.width(f)) if f.profile else (n,)
        steps = draw(hnp.arrays(np.int64, shape, elements=st.integers(-largest, largest)))
        if shape in before and largest <= 10**6 and draw(st.booleans()):
            steps = before[shape] * draw(st.integers(-500, 500)) // 64 + steps % 3
        before[shape] = steps
        whole = round(1 / f.resolution)
        column = steps if f.integer else steps / whole if f.resolution < 1 else steps * f.resolution
        absent = draw(hnp.arrays(np.bool_, shape)) if draw(st.booleans()) else np.zeros(shape, np.bool_)
        columns[f.name] = np.where(absent, MISSING_INT if f.integer else np.nan, column)
        if absent.any():
            reasons[f.name] = (absent * draw(st.sampled_from([int(m) for m in Missing if m]))).astype(np.uint8)
    times = draw(hnp.arrays(np.int64, (n,), elements=st.integers(-(2**63), 2**63 - 1)))
    if draw(st.booleans()):
        times = 1_700_000_000_000_000_000 + np.arange(n) * draw(st.sampled_from([1, 10**9, 250_000_000]))
    utc_ns = draw(st.sampled_from([NAT, 0, 1_700_000_000_123_456_000]))
    arrival = Arrival(
        utc_ns, draw(st.integers(0, 2**50)) * 1000, draw(st.sampled_from(["", "00ff" * 4])), draw(st.booleans())
    )
    return Frame(instrument, schema, times, columns, draw(st.sampled_from(TimeSource)), arrival, reasons)


def same(a: Frame, b: Frame) -> bool:
    """Whether two Frames are equal in everything, bit for bit."""
    return (
        a.instrument == b.instrument
        and a.schema == b.schema
        and a.source == b.source
        and a.arrival == b.arrival
        and np.array_equal(a.time, b.time)
        and all(
            np.array_equal(a.columns[name], b.columns[name], equal_nan=not a.schema.by_name[name].integer)
            and np.array_equal(a.missing(name), b.missing(name))
            for name in a.columns
        )
    )
