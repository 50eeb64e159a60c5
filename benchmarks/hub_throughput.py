"""Samples a second from MQTT to durable in InfluxDB, through one hub process; the peer is InfluxDB alone.

Ours: eight platforms, each with a CTD of four parameters at 1 Hz, have been away and come back: Envelopes of 60
samples, with real epochs, numbers and hash chains, are published at QoS 1 as fast as the broker takes them. One
`tidegate hub run` with a usual file of thresholds journals, acknowledges, judges, logs and writes them. The clock runs
from the first publish until a query counts every point in InfluxDB, and every Envelope is acknowledged.

The peer: the same points into a fresh database of the same InfluxDB, as line protocol that was rendered beforehand by
our own store's code (values and flags, what the hub writes but for corrections), 5,000 lines a request, one writer on
one connection, `/write` without gzip, each request after the answer to the one before. Nothing receives, decodes,
judges or renders there, so this is a bound and no rival. The clock stops at the same query.

Broker, hub, InfluxDB and publisher share the processors, which cannot be otherwise on one machine: of two cores the
peer has both for InfluxDB, and our hub what the other three leave it.
"""

import http.client
import time
from collections.abc import Iterator

import numpy as np

from benchmarks import rig
from benchmarks.result import Result
from central.changes import Change, Flag, Op, Stages
from central.store.influx import line_protocol
from drivers.simulators.sea import Sea
from tests.servers import InfluxDB, Mosquitto
from tidegate.clock import Arrival, TimeSource
from tidegate.codec import encode_frame
from tidegate.envelope import NO_PREVIOUS, Envelope, Lane, chain_hash, encode_envelope
from tidegate.frame import Field, Frame, Schema
from tidegate.messages import Birth, InstrumentBirth

PLATFORMS = 8
BATCH = 60
ENVELOPES = 1250
"""Of each platform: 600,000 samples in all."""
ROUNDS = 3
_LINES = 5000
_TIMEOUT_S = 600.0
_START_NS = 1_767_225_600_000_000_000  # 2026-01-01
_SCHEMA = Schema(
    "ctd",
    tuple(
        Field.of(name)
        for name in (
            "sea_water_temperature",
            "sea_water_electrical_conductivity",
            "sea_water_pressure_due_to_sea_water",
            "sea_water_practical_salinity",
        )
    ),
)
_FIELD = _SCHEMA.fields[0].name
_QC = """
[[qc]]
parameter = "sea_water_temperature"
gross_range_suspect = [20.0, 34.0]
spike = [0.5, 1.5]
rate_of_change = 0.2
flat_line_s = [60.0, 300.0]
[[qc]]
parameter = "sea_water_electrical_conductivity"
gross_range_suspect = [3.0, 7.0]
spike = [0.1, 0.3]
[[qc]]
parameter = "sea_water_pressure_due_to_sea_water"
gross_range_suspect = [0.0, 30.0]
spike = [1.0, 3.0]
[[qc]]
parameter = "sea_water_practical_salinity"
gross_range_suspect = [25.0, 36.0]
spike = [0.3, 1.0]
"""


def frames(platform: int, envelopes: int = ENVELOPES) -> Iterator[Frame]:
    """The samples of one platform, as its CTD gives them: the simulated sea and the noise of the sensors."""
    rng = np.random.default_rng(platform)
    n = envelopes * BATCH
    time_ns = _START_NS + np.arange(n) * 1_000_000_000
    t_s = time_ns / 1e9 + 3600.0 * platform
    sea = Sea()
    temperature = sea.temperature_c(t_s) + rng.normal(0, 0.0015, n)
    salinity = sea.salinity(t_s) + rng.normal(0, 0.002, n)
    conductivity = 5.35 + 0.095 * (temperature - 28.8) + 0.14 * (salinity - 31.9)
    pressure = sea.level_m(t_s) + 5 + rng.normal(0, 0.02, n)
    values = (temperature, conductivity, pressure, salinity)
    columns = {f.name: np.round(v, f.decimals) for f, v in zip(_SCHEMA.fields, values, strict=True)}
    for start in range(0, n, BATCH):
        piece = slice(start, start + BATCH)
        arrival = Arrival(int(time_ns[start]) + 140_000_000, (7200 + start) * 1_000_000_000, "0123456789abcdef", True)
        piece_columns = {name: column[piece] for name, column in columns.items()}
        yield Frame("ctd", _SCHEMA, time_ns[piece], piece_columns, TimeSource.INSTRUMENT, arrival)


def _platform(number: int) -> str:
    return f"station-{number}"


def births() -> list[Birth]:
    """All platforms as they introduce themselves."""
    ctd = InstrumentBirth(driver="sbe37", model="SBE 37-SM", interval_s=1.0, schemas=[_SCHEMA.as_dict()])
    return [
        Birth(
            platform=_platform(p), epoch=_epoch(p), next_seq=1, latitude=1.2, longitude=103.8, instruments={"ctd": ctd}
        )
        for p in range(PLATFORMS)
    ]


def _epoch(platform: int) -> str:
    return f"{platform + 1:016x}"


def envelopes() -> list[tuple[str, bytes]]:
    """(platform, Envelope) of all platforms, one from each in turn."""
    chains = []
    for p in range(PLATFORMS):
        previous, chain = NO_PREVIOUS, []
        for seq, frame in enumerate(frames(p), 1):
            made_ns = int(frame.time[-1]) + 200_000_000
            data = encode_envelope(
                Envelope(_platform(p), _epoch(p), seq, Lane.LIVE, made_ns, previous, (encode_frame(frame),))
            )
            previous = chain_hash(data)
            chain.append((_platform(p), data))
        chains.append(chain)
    return [one for turn in zip(*chains, strict=True) for one in turn]


def bodies() -> Iterator[bytes]:
    """The same samples in the same order as our store renders them, 5,000 lines in each piece."""
    flags = {f.name: np.full(BATCH, Flag.PASS, np.uint8) for f in _SCHEMA.fields}
    turns = zip(*(frames(p) for p in range(PLATFORMS)), strict=True)
    lines: list[bytes] = []
    for turn in turns:
        batch = [(1, Change(Op.INSERT, _platform(p), frame, flags, Stages(0, 0, 0, 0))) for p, frame in enumerate(turn)]
        for body, _ in line_protocol(batch):
            lines += body.splitlines(keepends=True)
        while len(lines) >= _LINES:
            yield b"".join(lines[:_LINES])
            del lines[:_LINES]
    if lines:
        yield b"".join(lines)


def _ours(
    broker: Mosquitto, server: InfluxDB, sent: list[tuple[str, bytes]], database: str, *, duckdb: bool
) -> dict[str, float]:
    settings = (
        f'[influxdb]\nversion = 1\nurl = "{server.url}"\ndatabase = "{database}"\n'
        f"[duckdb]\nenabled = {str(duckdb).lower()}\n{_QC}"
    )
    samples = len(sent) * BATCH
    with rig.hub(broker, settings) as hub:
        before_s = hub.cpu_s()
        published = rig.publish(broker, births(), sent, _TIMEOUT_S)
        end_s = rig.wait_for_points(server, database, _SCHEMA.kind, _FIELD, samples, _TIMEOUT_S)
        cpu_s = hub.cpu_s() - before_s
        _prove(server, database, samples)
    rig.query(server, f"DROP DATABASE {database}", method="POST")
    end_s = max(end_s, published.acked_s)
    return {
        "rate": samples / (end_s - published.first_s),
        "acked_s": published.acked_s - published.first_s,
        "hub_cpu_us_per_sample": cpu_s / samples * 1e6,
    }


def _bare(server: InfluxDB, written: list[bytes], samples: int, database: str) -> dict[str, float]:
    rig.query(server, f"CREATE DATABASE {database}", method="POST")
    connection = http.client.HTTPConnection(server.host, server.port)
    start_s = time.monotonic()
    for body in written:
        connection.request("POST", f"/write?db={database}&precision=ns", body)
        answer = connection.getresponse()
        if answer.status != 204:
            raise RuntimeError(f"InfluxDB refuses: {answer.status} {answer.read()[:300]!r}")
        answer.read()
    end_s = rig.wait_for_points(server, database, _SCHEMA.kind, _FIELD, samples, _TIMEOUT_S)
    connection.close()
    _prove(server, database, samples)
    rig.query(server, f"DROP DATABASE {database}", method="POST")
    return {"rate": samples / (end_s - start_s)}


def _prove(server: InfluxDB, database: str, samples: int) -> None:
    """Every value and every flag is there."""
    found = rig.counts(server, database, _SCHEMA.kind)
    if len(found) != 2 * len(_SCHEMA.fields) or set(found.values()) != {samples}:
        raise RuntimeError(f"{database} does not hold {samples} of everything: {dict(found)}")


def run() -> Result:
    """Measures both in turn, each in a fresh database."""
    sent, written = envelopes(), list(bodies())
    samples = len(sent) * BATCH
    rounds = iter(range(1000))

    def once() -> dict[str, float]:
        number = next(rounds)
        with rig.mosquitto() as broker, rig.influxdb() as server:
            ours = _ours(broker, server, sent, f"ours{number}", duckdb=False)
        with rig.influxdb() as server:
            return ours | {"bare": _bare(server, written, samples, f"bare{number}")["rate"]}

    measured = rig.medians(ROUNDS, once)
    with rig.mosquitto() as broker, rig.influxdb() as server:
        with_duckdb = _ours(broker, server, sent, "both", duckdb=True)
    return Result(
        "hub_throughput",
        measured["rate"],
        "samples/s of 4 parameters",
        "InfluxDB alone, the same line protocol pre-rendered",
        measured["bare"],
        measured["rate"] / measured["bare"],
        "ratio >= 0.3",
        "ratio >= 0.6",
        {
            "samples": samples,
            "platforms": PLATFORMS,
            "samples_per_envelope": BATCH,
            "acked_s": measured["acked_s"],
            "hub_cpu_us_per_sample": measured["hub_cpu_us_per_sample"],
            "with_duckdb_too": with_duckdb["rate"],
            "line_bytes": sum(map(len, written)) / samples,
            "wire_bytes": sum(len(data) for _, data in sent) / samples,
        },
    )
