"""Bytes on the wire: a recorded CTD in Envelopes of 1, 10 and 60 samples, and recorded ADCPs in Envelopes of 10
ensembles; all that stands above TCP counted.

Counted are the MQTT 5 PUBLISH packets as the gateway's client makes them (fixed header, topic or its alias, packet id,
properties, payload), read off a socket. The peers carry the same samples in the same batches: ThingsBoard's telemetry
JSON and InfluxDB's line protocol in PUBLISH packets of the same kind, and Sparkplug B as pysparkplug packs it (DDATA,
metrics by alias, 32-bit floats, a timestamp each), under its own topic. pysparkplug wants an older paho-mqtt than ours,
so it runs in an environment of its own, which `uv` makes; where it cannot, the figure is absent and `sparkplug` says
why.

The CTD is the first hour or more of temperature, conductivity and pressure of a moored SBE 16plus V2 (OOI), or, where
the recordings are absent, a simulated SBE 37; each batch arrived 140 ms after its first sample, a day or two after the
boot. Of the ADCPs, each batch is ten PD0 ensembles, every field that the driver declares kept, and the peer is zstd at
level 19 of the ensembles' own bytes, in PUBLISH packets too, without an Envelope.
"""

import asyncio
import json
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import aiomqtt
import numpy as np
import zstandard

from benchmarks.result import Result
from drivers.recording import pieces
from drivers.seabird.sbe16plus import Sbe16plus
from drivers.trdi.pd0 import Pd0
from gateway.uplink import LaneClient
from tests.recordings import DATA
from tidegate.clock import Arrival
from tidegate.codec import encode_frame
from tidegate.envelope import NO_PREVIOUS, Envelope, Lane, chain_hash, encode_envelope
from tidegate.frame import Column, Field, Frame, Schema, concatenate

_RECORDING = DATA / "ctd/ooi_ctdbp_sbe16plusv2/20131123.ctdbp1.log"
_PLATFORM = "strait-station"
_PARAMETERS = (
    "sea_water_temperature",
    "sea_water_electrical_conductivity",
    "sea_water_pressure_due_to_sea_water",
)
_PRINTED = (
    "temperature",
    "conductivity",
    "pressure",
    "salinity",
    "sound_velocity",
    "time",
    "density",
    "battery_voltage",
    "supply_current",
)
BATCHES = (1, 10, 60)
_DAY_NS = 86_400_000_000_000
_ENSEMBLES = 10
_MOST_ENSEMBLES = 400
_ADCPS = {
    "pd0_moored": "adcp/pd0_ooi/ADCP_CCE1T_20.000",
    "pd0_beams": "adcp/pd0_mhkit/RDI_test01.000",
    "pd0_bottom_track": "adcp/pd0_mhkit/RDI_withBT.000",
    "pd0_ship": "adcp/pd0_mhkit/winriver02.PD0",
    "pd0_river": "adcp/pd0_tanana/tanana_transects_08_10_10_0_002_10-08-10_142214.PD0",
}
_SPARKPLUG = """
import json, sys
import pysparkplug as sp
for seq, rows in enumerate(json.load(sys.stdin)):
    metrics = tuple(
        sp.Metric(timestamp=ms, name=None, datatype=sp.DataType.FLOAT, value=value, alias=alias)
        for ms, *values in rows for alias, value in enumerate(values)
    )
    print(sp.DData(timestamp=rows[-1][0], seq=seq % 256, metrics=metrics).encode().hex())
"""


def recorded() -> tuple[Frame, str]:
    """The samples of the recording with three parameters, and what they are of."""
    if not _RECORDING.exists():
        return _simulated(), "simulated SBE 37"
    driver = Sbe16plus("ctd", Sbe16plus.Settings.model_validate({"columns": _PRINTED}))
    frames = [
        item
        for piece in pieces(iter([_RECORDING.read_bytes()]))
        for item in driver.feed(piece.data, piece.at)
        if isinstance(item, Frame)
    ]
    fields = tuple(f for f in frames[0].schema.fields if f.name in _PARAMETERS)
    schema = Schema("ctd", fields)
    kept = [
        Frame("ctd", schema, f.time, {p.name: f.columns[p.name] for p in fields}, f.source) for f in frames if len(f)
    ]
    return concatenate(kept), _RECORDING.name


def _simulated() -> Frame:
    from drivers.simulators.sea import Sea

    t = np.arange(3600.0)
    values: dict[str, Column] = {
        _PARAMETERS[0]: np.round(Sea().temperature_c(t), 4),
        _PARAMETERS[1]: np.round(5.2 + 0.01 * np.sin(t / 500), 5),
        _PARAMETERS[2]: np.round(Sea().level_m(t) + 5, 3),
    }
    schema = Schema("ctd", tuple(Field.of(name) for name in _PARAMETERS))
    return Frame("ctd", schema, (t * 1e9).astype(np.int64), values)


def _arrived(frame: Frame) -> Frame:
    """As if its first sample had come 140 ms ago, on a computer that started the day before."""
    first_ns = int(frame.time[0])
    monotonic_ns = _DAY_NS + first_ns % _DAY_NS
    return replace(frame, arrival=Arrival(first_ns + 140_123_000, monotonic_ns, "0123456789abcdef", True))


def _chained(batches: list[list[Frame]]) -> list[bytes]:
    """As our gateway sends them: an Envelope of each batch, on a spool that has run for days."""
    previous = NO_PREVIOUS
    made: list[bytes] = []
    for frames in batches:
        made_ns = int(frames[0].time[-1]) + 200_000_000
        encoded = tuple(map(encode_frame, frames))
        envelope = Envelope(_PLATFORM, "00112233445566aa", 1_000_000 + len(made), Lane.LIVE, made_ns, previous, encoded)
        made.append(encode_envelope(envelope))
        previous = chain_hash(made[-1])
    return made


def envelopes(frame: Frame, batch: int) -> list[bytes]:
    """The samples as our gateway sends them."""
    starts = range(0, len(frame) - batch + 1, batch)
    return _chained([[_arrived(frame.take(slice(start, start + batch)))] for start in starts])


def ensembles(data: bytes) -> list[bytes]:
    """The PD0 ensembles of a recording, each with its header and checksum; what stands between them is left out."""
    found: list[bytes] = []
    at = data.find(b"\x7f\x7f")
    while 0 <= at < len(data) - 4:
        size = int.from_bytes(data[at + 2 : at + 4], "little") + 2
        one = data[at : at + size]
        if len(one) == size and sum(one[:-2]) & 0xFFFF == int.from_bytes(one[-2:], "little"):
            found.append(one)
            at += size - 1
        at = data.find(b"\x7f\x7f", at + 1)
    return found


def adcp_cost(path: Path) -> tuple[float, float, float]:
    """Bytes of an ensemble: (raw, zstd of the raw bytes on the wire, ours on the wire)."""
    found = ensembles(path.read_bytes())[:_MOST_ENSEMBLES]
    batches = [found[i : i + _ENSEMBLES] for i in range(0, len(found) - _ENSEMBLES + 1, _ENSEMBLES)]
    squeeze = zstandard.ZstdCompressor(level=19)
    at = Arrival(1_385_164_825_236_000_000, 86_400_000_000_000, "0123456789abcdef", True)
    decoded: list[list[Frame]] = []
    for batch in batches:
        driver = Pd0("adcp")
        by_schema: dict[bytes, list[Frame]] = {}
        for item in driver.feed(b"".join(batch), at) + driver.finish():
            if isinstance(item, Frame):
                by_schema.setdefault(item.schema.id, []).append(item)
        decoded.append([_arrived(concatenate(frames)) for frames in by_schema.values()])
    raw = [b"".join(batch) for batch in batches]
    n = len(batches) * _ENSEMBLES
    theirs = on_the_wire("live", [squeeze.compress(data) for data in raw])
    return sum(map(len, raw)) / n, theirs / n, on_the_wire("live", _chained(decoded)) / n


def sparkplug_payloads(frame: Frame, batch: int) -> list[bytes]:
    """As Sparkplug B. Raises OSError where pysparkplug cannot be had."""
    rows = [
        [int(ms), *(float(frame.columns[p][k]) for p in _PARAMETERS)] for k, ms in enumerate(frame.time // 1_000_000)
    ]
    asked = json.dumps([rows[start : start + batch] for start in range(0, len(rows) - batch + 1, batch)])
    uv = [str(Path(sys.executable).with_name("uv")), "run", "--quiet", "--no-project", "--isolated"]
    done = subprocess.run(
        [*uv, "--with", "pysparkplug==0.6.1", "python", "-c", _SPARKPLUG], input=asked, capture_output=True, text=True
    )
    if done.returncode:
        raise OSError(f"pysparkplug: {done.stderr.strip()[-300:]}")
    return [bytes.fromhex(line) for line in done.stdout.split()]


def json_payloads(frame: Frame, batch: int) -> list[bytes]:
    """As ThingsBoard's telemetry upload: `[{"ts": ms, "values": {...}}]`."""
    short = ("temperature", "conductivity", "pressure")
    out = []
    for start in range(0, len(frame) - batch + 1, batch):
        rows = [
            {
                "ts": int(frame.time[k]) // 1_000_000,
                "values": {s: float(frame.columns[p][k]) for s, p in zip(short, _PARAMETERS, strict=True)},
            }
            for k in range(start, start + batch)
        ]
        out.append(json.dumps(rows, separators=(",", ":")).encode())
    return out


def line_payloads(frame: Frame, batch: int) -> list[bytes]:
    """As InfluxDB's line protocol."""
    short = ("temperature", "conductivity", "pressure")
    out = []
    for start in range(0, len(frame) - batch + 1, batch):
        lines = [
            f"ctd,platform={_PLATFORM},instrument=ctd "
            + ",".join(f"{s}={frame.columns[p][k]:.6g}" for s, p in zip(short, _PARAMETERS, strict=True))
            + f" {frame.time[k]}"
            for k in range(start, start + batch)
        ]
        out.append("\n".join(lines).encode())
    return out


def on_the_wire(name: str, payloads: list[bytes]) -> int:
    """Bytes of the PUBLISH packets (MQTT 5, QoS 1) that carry the payloads: those of the lane `live` as the gateway's
    client writes them to its socket, others under the topic `name`."""
    listener = socket.create_server(("127.0.0.1", 0))
    counted = [0]

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            buffer = b""
            while received := connection.recv(1 << 16):
                buffer += received
                while (packet := _packet(buffer)) is not None:
                    kind, size, body = packet
                    buffer = buffer[size:]
                    if kind == 1:  # CONNECT; the CONNACK allows ten aliases, as Mosquitto does
                        connection.sendall(bytes([0x20, 6, 0, 0, 3, 0x22, 0, 10]))
                    elif kind == 3:  # PUBLISH
                        counted[0] += size
                        topic_bytes = struct.unpack(">H", body[:2])[0]
                        connection.sendall(bytes([0x40, 2]) + body[2 + topic_bytes : 4 + topic_bytes])

    async def send() -> None:
        host, port = listener.getsockname()
        async with LaneClient(host, port, protocol=aiomqtt.ProtocolVersion.V5) as client:
            for payload in payloads:
                if name == "live":
                    await client.publish_on(_PLATFORM, name, payload)
                else:
                    await client.publish(name, payload, qos=1)

    server = threading.Thread(target=serve)
    server.start()
    asyncio.run(send())
    server.join()
    listener.close()
    return counted[0]


def _packet(buffer: bytes) -> tuple[int, int, bytes] | None:
    """(type, whole size, body) of the first MQTT packet in the buffer, or None where it is not all there."""
    length, shift, at = 0, 0, 1
    while True:
        if at >= len(buffer):
            return None
        length |= (buffer[at] & 127) << shift
        at += 1
        if buffer[at - 1] < 128:
            break
        shift += 7
    if len(buffer) < at + length:
        return None
    return buffer[0] >> 4, at + length, buffer[at : at + length]


def run() -> Result:
    """Measures all ways at all batches, and the ADCPs."""
    frame, source = recorded()
    ways: dict[str, tuple[str, Callable[[Frame, int], list[bytes]]]] = {
        "tidegate": ("live", envelopes),
        "json": ("tidegate/1/strait-station/json", json_payloads),
        "line_protocol": ("tidegate/1/strait-station/line", line_payloads),
        "sparkplug_b": ("spBv1.0/coast/DDATA/strait-station/ctd", sparkplug_payloads),
    }
    details: dict[str, object] = {"samples": len(frame), "source": source}
    cost: dict[str, float] = {}
    for way, (name, make) in ways.items():
        for batch in BATCHES:
            try:
                payloads = make(frame, batch)
            except OSError as error:
                details["sparkplug"] = str(error)
                break
            cost[f"{way}_at_{batch}"] = on_the_wire(name, payloads) / (len(payloads) * batch)
    for name, recording in _ADCPS.items():
        if (path := DATA / recording).exists():
            raw, theirs, ours = adcp_cost(path)
            details[name] = {"of_raw": ours / raw, "zstd_of_raw": theirs / raw, "ratio": ours / theirs}
    ours, peer = cost["tidegate_at_60"], cost["json_at_60"]
    return Result(
        "wire_cost",
        ours,
        "B/sample at batches of 60",
        "ThingsBoard-style JSON, same batches",
        peer,
        ours / peer,
        "value <= 8",
        "value <= 5",
        {**details, **cost},
    )
