"""A station for the hub's tests: what it measures, and what it publishes."""

import time

import numpy as np

from tidegate.clock import Arrival, TimeSource
from tidegate.codec import encode_frame
from tidegate.envelope import NO_PREVIOUS, Envelope, Gap, Lane, encode_envelope
from tidegate.frame import Cells, Field, Frame, Schema
from tidegate.messages import Birth, InstrumentBirth

EPOCH = "ab" * 8
S = 1_000_000_000
START_NS = 1_700_000_000 * S

CTD = Schema("ctd", (Field.of("sea_water_temperature"), Field.of("sea_water_pressure")))
ADCP = Schema("adcp", (Field.of("eastward_sea_water_velocity", profile=True),), Cells(4, 1.5, 0.5, True))
SHIP = Schema("navigation", (Field.of("latitude"), Field.of("longitude")))


def ctd(seq: int, n: int = 5, instrument: str = "ctd-1") -> Frame:
    """`n` samples, 1 s apart; those of `seq` follow those of `seq - 1` where all have `n` = 5."""
    time_ns = START_NS + (np.arange(n, dtype=np.int64) + 5 * seq) * S
    return Frame(
        instrument,
        CTD,
        time_ns,
        {
            "sea_water_temperature": np.round(20 + 0.01 * np.sin(np.arange(n) + seq), 4),
            "sea_water_pressure": np.round(3 + 0.001 * np.arange(n) + 0.01 * seq, 3),
        },
        TimeSource.INSTRUMENT,
        Arrival(int(time_ns[0]), int(time_ns[0]) - START_NS, "00" * 8, True),
    )


def adcp(seq: int, n: int = 2) -> Frame:
    """A few profiles."""
    time_ns = START_NS + (np.arange(n, dtype=np.int64) + n * seq) * 60 * S
    return Frame(
        "adcp-1", ADCP, time_ns, {"eastward_sea_water_velocity": np.round(np.ones((n, 4)) * 0.1 * (seq % 7), 3)}
    )


def ship(times_s: list[int], latitude: list[float], longitude: list[float]) -> Frame:
    """Where a ship was."""
    columns = {"latitude": np.array(latitude), "longitude": np.array(longitude)}
    return Frame("gps", SHIP, START_NS + np.array(times_s, np.int64) * S, columns)


def envelope(
    seq: int,
    *frames: Frame,
    platform: str = "quay-3",
    epoch: str = EPOCH,
    gaps: tuple[Gap, ...] = (),
    raw: tuple[bytes, ...] = (),
) -> bytes:
    """An encoded Envelope; of one CTD Frame where none are given."""
    given = frames if frames or gaps or raw else (ctd(seq),)
    encoded = (*(encode_frame(frame) for frame in given), *raw)
    return encode_envelope(Envelope(platform, epoch, seq, Lane.LIVE, time.time_ns(), NO_PREVIOUS, encoded, tuple(gaps)))


def birth(
    *schemas: Schema,
    platform: str = "quay-3",
    epoch: str = EPOCH,
    first_seq: int = 1,
    next_seq: int = 1,
    **more: object,
) -> bytes:
    """A birth that declares schemas, each under the name that the Frames above have."""
    names = {"ctd": "ctd-1", "adcp": "adcp-1", "navigation": "gps"}
    instruments = {
        names[s.kind]: InstrumentBirth(driver=s.kind, interval_s=1.0, schemas=[s.as_dict()]) for s in schemas
    }
    message = Birth.model_validate(
        {
            "platform": platform, "epoch": epoch, "first_seq": first_seq, "next_seq": next_seq,
            "instruments": instruments, **more,
        }
    )  # fmt: skip
    return message.model_dump_json().encode()
