"""Bytes a sample on the wire: a recorded CTD in Envelopes of 1, 10 and 60 samples, all that stands above TCP counted.

Counted are the MQTT 5 PUBLISH packets as paho-mqtt makes them (fixed header, topic, packet id, properties, payload),
read off a socket. The peers carry the same samples in the same batches: ThingsBoard's telemetry JSON and InfluxDB's
line protocol, in PUBLISH packets of the same kind. The CTD is the first hour or more of temperature, conductivity
and pressure of a moored SBE 16plus V2 (OOI), or, where the recordings are absent, a simulated SBE 37.
"""

import json
import socket
import struct
import threading
from collections.abc import Callable

import numpy as np

from benchmarks.result import Result
from drivers.recording import pieces
from drivers.seabird.sbe16plus import Sbe16plus
from tests.recordings import DATA
from tidegate.clock import Arrival
from tidegate.codec import encode_frame
from tidegate.envelope import Envelope, Lane, chain_hash, encode_envelope
from tidegate.frame import Column, Field, Frame, Schema, concatenate
from tidegate.topics import topic

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
    at = Arrival(1_385_164_825_236_000_000, 86_400_000_000_000, "00" * 8, True)
    kept = [
        Frame("ctd", schema, f.time, {p.name: f.columns[p.name] for p in fields}, f.source, at)
        for f in frames
        if len(f)
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
    return Frame("ctd", schema, (t * 1e9).astype(np.int64), values, arrival=Arrival(10**18, 10**15, "00" * 8, True))


def envelopes(frame: Frame, batch: int) -> list[bytes]:
    """The samples as our gateway sends them."""
    previous = bytes(16)
    made: list[bytes] = []
    for start in range(0, len(frame) - batch + 1, batch):
        piece = frame.take(slice(start, start + batch))
        made_ns = int(piece.time[-1]) + 200_000_000
        seq = 1_000_000 + len(made)  # a spool that has run for days
        data = encode_envelope(
            Envelope(_PLATFORM, "00112233445566aa", seq, Lane.LIVE, made_ns, previous, (encode_frame(piece),))
        )
        previous = chain_hash(data)
        made.append(data)
    return made


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
    """Bytes of the PUBLISH packets (MQTT 5, QoS 1) that carry the payloads, as paho-mqtt writes them to its socket."""
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

    listener = socket.create_server(("127.0.0.1", 0))
    counted = [0]

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            buffer, acked = b"", 0
            while acked < len(payloads):
                buffer += connection.recv(1 << 16)
                while (packet := _packet(buffer)) is not None:
                    kind, size, body = packet
                    buffer = buffer[size:]
                    if kind == 1:  # CONNECT
                        connection.sendall(bytes([0x20, 3, 0, 0, 0]))
                    elif kind == 3:  # PUBLISH
                        counted[0] += size
                        acked += 1
                        topic_bytes = struct.unpack(">H", body[:2])[0]
                        connection.sendall(bytes([0x40, 2]) + body[2 + topic_bytes : 4 + topic_bytes])

    server = threading.Thread(target=serve)
    server.start()
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.connect(*listener.getsockname())
    client.loop_start()
    for payload in payloads:
        client.publish(topic(_PLATFORM, name), payload, qos=1)
    server.join()
    client.loop_stop()
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
    """Measures all three at all batches."""
    frame, source = recorded()
    ways: dict[str, Callable[[Frame, int], list[bytes]]] = {
        "tidegate": envelopes,
        "json": json_payloads,
        "line_protocol": line_payloads,
    }
    cost = {
        way: {batch: on_the_wire("live", make(frame, batch)) / (len(frame) // batch * batch) for batch in BATCHES}
        for way, make in ways.items()
    }
    ours, peer = cost["tidegate"][60], cost["json"][60]
    return Result(
        "wire_cost",
        ours,
        "B/sample at batches of 60",
        "ThingsBoard-style JSON, same batches",
        peer,
        ours / peer,
        "value <= 8",
        "value <= 5",
        {
            "samples": len(frame),
            "source": source,
            **{f"{way}_at_{batch}": cost[way][batch] for way in ways for batch in BATCHES},
        },
    )
