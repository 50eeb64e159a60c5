"""InfluxDB as a store, against the real servers: influxd 1.6, and VictoriaMetrics for the 2.x write API."""

import gzip
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import urlencode

import numpy as np
import pytest
import urllib3
from hypothesis import HealthCheck, given, settings

from central.changes import Change, Op
from central.store import StoreRefused, StoreUnavailable, Stream
from central.store.influx import InfluxDB1Store, InfluxDB2Store, line_protocol
from tests.central.store.generated import ADCP, CTD, SECOND, T0, Model, Row, logs, make_change
from tests.servers import InfluxDB, VictoriaMetrics, influxdb, victoria_metrics
from tidegate.frame import MISSING_INT, Field, Frame, Schema

ALWAYS = (T0 - SECOND, T0 + 10**6 * SECOND)
NAN = float("nan")


@pytest.fixture(scope="module")
def server() -> Iterator[InfluxDB]:
    with influxdb() as running:
        yield running


@pytest.fixture
def store(server: InfluxDB, request: pytest.FixtureRequest) -> Iterator[InfluxDB1Store]:
    opened = InfluxDB1Store(server.url, request.node.name)
    yield opened
    opened.close()


def ctd(op: Op, seconds: list[int], temperature: list[float], platform: str = "hainan", schema: Schema = CTD) -> Change:
    n = len(seconds)
    return make_change(
        op,
        platform,
        "ctd-1",
        schema,
        [T0 + s * SECOND + 7 for s in seconds],
        {
            "sea_water_temperature": temperature,
            "sea_water_electrical_conductivity": [4.2] * n,
            "sample_number": range(n),
        },
    )


def as_rows(store: InfluxDB1Store, platform: str, instrument: str, schema: Schema) -> dict[Stream, dict[int, Row]]:
    """What the server has, as the model has it; InfluxDB keeps no reasons, so they are 1 where a value is missing."""
    times, values, flags = store.read(platform, instrument, schema.kind, schema.fields, *ALWAYS)
    found: dict[Stream, dict[int, Row]] = {}
    for f in schema.fields:
        rows = found.setdefault(Stream(platform, instrument, f.name), {})
        for i, time_ns in enumerate(times.tolist()):
            value, flag = np.atleast_1d(values[f.name][i]).tolist(), np.atleast_1d(flags[f.name][i]).tolist()
            absent = [v != v for v in value]
            rows[time_ns] = (
                tuple(None if a else v for v, a in zip(value, absent, strict=True)),
                tuple(flag),
                tuple(map(int, absent)),
            )
    return found


def as_influx_can(model: Model, retracted: set[tuple[Stream, int]]) -> dict[Stream, dict[int, Row]]:
    """The model without reasons; a retracted sample is still there, void."""
    expected: dict[Stream, dict[int, Row]] = {}
    for stream, rows in model.known.items():
        expected[stream] = {
            time_ns: (values, flags, tuple(int(v is None) for v in values))
            for time_ns, (values, flags, _) in rows.items()
        }
    for stream, time_ns in retracted:
        width = 3 if stream.instrument == "adcp" and stream.parameter != "platform_orientation" else 1
        expected[stream].setdefault(time_ns, ((None,) * width, (9,) * width, (1,) * width))
    return expected


@settings(max_examples=20, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(log=logs())
def test_reads_back_what_was_written_bit_for_bit(store: InfluxDB1Store, log: list[tuple[int, Change]]) -> None:
    for verb in ("DROP", "CREATE"):
        store._query("POST", f'{verb} DATABASE "{store._database}"')
    half = len(log) // 2
    for part in (log[:half], log[: half + 1], log):  # the last two come again: nothing changes by that
        store.write(part)
    model = Model.after(log)
    retracted = {
        (Stream(c.platform, c.frame.instrument, f.name), time_ns)
        for _, c in log
        if c.op is Op.RETRACT
        for f in c.frame.schema.fields
        for time_ns in c.frame.time.tolist()
    }
    expected = as_influx_can(model, retracted)
    for platform, instrument, schema in {(c.platform, c.frame.instrument, c.frame.schema) for _, c in log}:
        found = as_rows(store, platform, instrument, schema)
        assert found == {s: expected[s] for s in found}


@pytest.mark.parametrize("resolution", [1e-9, 1e-7, 1e-4, 0.05, 1.0])
def test_values_of_every_size_are_exact_at_their_resolution(store: InfluxDB1Store, resolution: float) -> None:
    field = Field("depth", "m", resolution)
    steps = np.array([0, 1, -1, 3, 7, 10**6 + 1, -(10**9) - 7, 2**50 + 1])
    values = np.round(steps * resolution, field.decimals)
    change = make_change(Op.INSERT, "p", "i", Schema("echo", (field,)), (T0 + steps).tolist(), {"depth": values})
    store.write([(1, change)])
    times, found, _ = store.read("p", "i", "echo", [field], T0 - 2**51, T0 + 2**51)
    order = np.argsort(steps)
    assert times.tolist() == (T0 + steps[order]).tolist()
    assert found["depth"].tolist() == values[order].tolist()


def test_counts_stay_whole_and_missing_is_a_flag_without_a_value(store: InfluxDB1Store) -> None:
    field = Field.of("sample_number")
    schema = Schema("count", (field,))
    change = make_change(Op.INSERT, "p", "i", schema, [T0, T0 + 1], {"sample_number": [2**53 - 1, MISSING_INT]})
    ((body, lines),) = line_protocol([(1, change)])
    assert lines == 2
    assert body.decode().splitlines() == [
        f"count,instrument=i,platform=p sample_number=9007199254740991i,sample_number_flag=1i {T0}",
        f"count,instrument=i,platform=p sample_number_flag=9i {T0 + 1}",
    ]
    store.write([(1, change)])
    _, values, flags = store.read("p", "i", "count", [field], *ALWAYS)
    assert values["sample_number"][0] == 2**53 - 1
    assert np.isnan(values["sample_number"][1])
    assert flags["sample_number"].tolist() == [1, 9]


def test_a_correction_that_takes_a_value_away_makes_it_void(store: InfluxDB1Store) -> None:
    store.write([(1, ctd(Op.INSERT, [0, 1], [10.0, 11.0]))])
    store.write([(2, ctd(Op.CORRECT, [0], [NAN])), (3, ctd(Op.RETRACT, [1], [11.0]))])
    _, values, flags = store.read("hainan", "ctd-1", "ctd", CTD.fields, *ALWAYS)
    assert np.isnan(values["sea_water_temperature"]).tolist() == [True, True]
    assert flags["sea_water_temperature"].tolist() == [9, 9]
    assert flags["sea_water_electrical_conductivity"].tolist() == [1, 9]
    assert values["sea_water_electrical_conductivity"][0] == 4.2


def test_a_profile_is_a_point_for_each_cell_and_one_for_what_has_no_cells(store: InfluxDB1Store) -> None:
    east, echo, heading = ADCP.fields
    change = make_change(
        Op.INSERT,
        "p",
        "adcp",
        ADCP,
        [T0],
        {east.name: [0.1, NAN, -0.3], echo.name: [40, 41, 42], heading.name: [271.5]},
        flags={east.name: [1, 1, 3]},
    )
    ((scalars, _), (cells, _)) = line_protocol([(1, change)])
    assert scalars.decode() == (
        f"adcp,instrument=adcp,platform=p platform_orientation=271.5,platform_orientation_flag=1i {T0}\n"
    )
    second = cells.decode().splitlines()[1]
    assert second == (
        "adcp,cell=0002,instrument=adcp,platform=p eastward_sea_water_velocity_flag=9i,"
        f"{echo.name}=41i,{echo.name}_flag=1i {T0}"
    )
    store.write([(1, change)])
    _, values, flags = store.read("p", "adcp", "adcp", ADCP.fields, *ALWAYS)
    assert flags[east.name].tolist() == [[1, 9, 3]]
    assert values[echo.name].tolist() == [[40, 41, 42]]
    assert values[heading.name].tolist() == [271.5]


def test_odd_names_arrive_as_they_are_and_impossible_ones_are_refused(store: InfluxDB1Store) -> None:
    odd = Field('50 % light, at="1 m"\'s', "1", 0.1)
    good = make_change(Op.INSERT, "p 1", "i,=2", Schema('weird, kind="x"', (odd,)), [T0], {odd.name: [0.5]})
    bad = [
        make_change(Op.INSERT, "p", "i", Schema(kind, (Field(name, "1", 1.0),)), [T0, T0 + 1], {name: [1.0, 2.0]})
        for kind, name in (("a\nb", "x"), ("#c", "x"), ("c", "x\\"), ("c", ""), ("c", "time"))
    ]
    with pytest.raises(StoreRefused, match=r"refused 10 points of 5 .*carry the name 'a\\nb'") as caught:
        store.write([*enumerate(bad, 1), (9, good)])
    assert [r.cursor for r in caught.value.refusals] == [1, 2, 3, 4, 5]
    _, values, _ = store.read("p 1", "i,=2", 'weird, kind="x"', [odd], *ALWAYS)
    assert values[odd.name].tolist() == [0.5]


def test_a_refused_change_is_found_named_and_does_not_hold_up_the_others(store: InfluxDB1Store) -> None:
    store.write([(1, ctd(Op.INSERT, [0], [10.0]))])
    # The driver was changed, and now gives whole numbers where the server has floats.
    whole = Schema("ctd", tuple(replace(f, integer=True) for f in CTD.fields))
    batch = [(i, ctd(Op.INSERT, [i], [10.0 + i], platform=f"p{i % 3}")) for i in range(2, 40)]
    for poison in (7, 8, 30):
        batch[poison] = (batch[poison][0], replace(batch[poison][1], frame=_whole(batch[poison][1], whole)))
    with pytest.raises(StoreRefused, match=r"3 changes, the first at cursor 9 .*field type conflict") as caught:
        store.write(batch)
    assert [(r.cursor, r.points) for r in caught.value.refusals] == [(9, 1), (10, 1), (32, 1)]
    found = np.concatenate([store.read(f"p{i}", "ctd-1", "ctd", CTD.fields, *ALWAYS)[0] for i in range(3)])
    assert sorted(((found - T0) // SECOND).tolist()) == [c for c, _ in batch if c not in (9, 10, 32)]


def _whole(change: Change, schema: Schema) -> Frame:
    frame = change.frame
    return replace(frame, schema=schema, columns={n: c.astype(np.int64) for n, c in frame.columns.items()})


def test_a_large_batch_goes_in_pieces_and_within_a_request_the_last_point_stays(store: InfluxDB1Store) -> None:
    n = 40_000
    changes = [
        ctd(op, list(range(n)), (np.arange(n) * 1e-4 + shift).tolist())
        for op, shift in ((Op.INSERT, 0.0), (Op.CORRECT, 5.0))
    ]
    batch = list(enumerate(changes, 1))
    pieces = list(line_protocol(batch))
    assert len(pieces) > 1
    assert sum(lines for _, lines in pieces) == 2 * n
    assert all(len(body) <= 8_000_000 and body.endswith(b"\n") for body, _ in pieces)
    store.write(batch)
    times, values, _ = store.read("hainan", "ctd-1", "ctd", CTD.fields, *ALWAYS)
    assert len(times) == n
    assert values["sea_water_temperature"].tolist() == np.round(np.arange(n) * 1e-4 + 5.0, 4).tolist()


def test_schemas_that_share_a_field_keep_their_order(store: InfluxDB1Store) -> None:
    """A station is set up anew in the middle of a batch, and the same sample comes with either schema."""
    short = Schema("ctd", CTD.fields[:1])
    first = ctd(Op.INSERT, [0], [10.0])
    second = make_change(Op.CORRECT, "hainan", "ctd-1", short, [T0 + 7], {"sea_water_temperature": [11.0]})
    third = ctd(Op.CORRECT, [0], [12.0])
    for batch, last in (([first, second], 11.0), ([first, second, third], 12.0), ([second, third], 12.0)):
        store.write(list(enumerate(batch, 1)))
        _, values, _ = store.read("hainan", "ctd-1", "ctd", CTD.fields, *ALWAYS)
        assert values["sea_water_temperature"].tolist() == [last]


def test_a_server_that_goes_away_is_waited_for_and_nothing_is_lost() -> None:
    with influxdb() as server:
        store = InfluxDB1Store(server.url)
        store.write([(1, ctd(Op.INSERT, [0], [10.0]))])
        server.stop()
        second = [(2, ctd(Op.INSERT, [1], [11.0]))]
        with pytest.raises(StoreUnavailable, match=f"influxdb: {server.url} does not answer"):
            store.write(second)
        with pytest.raises(StoreUnavailable, match="does not answer"):
            store.read("hainan", "ctd-1", "ctd", CTD.fields, *ALWAYS)
        server.start()
        store.write(second)
        _, values, _ = store.read("hainan", "ctd-1", "ctd", CTD.fields, *ALWAYS)
        assert values["sea_water_temperature"].tolist() == [10.0, 11.0]
        store.close()


def test_a_server_killed_while_it_is_written_to_has_everything_after_the_batches_are_tried_again() -> None:
    n, count = 200, 60
    with influxdb() as server:
        store = InfluxDB1Store(server.url)
        store.write([(1, ctd(Op.INSERT, [0], [0.0]))])
        killer = threading.Timer(0.05, server.kill)
        killer.start()
        for i in range(count):
            batch = [
                (i + 2, ctd(Op.INSERT, list(range(i * n, (i + 1) * n)), [float(k) for k in range(i * n, (i + 1) * n)]))
            ]
            while True:
                try:
                    store.write(batch)
                    break
                except StoreUnavailable:
                    killer.join()
                    server.start()
        killer.join()
        if server.process is None:
            server.start()
        _, values, _ = store.read("hainan", "ctd-1", "ctd", CTD.fields, *ALWAYS)
        assert values["sea_water_temperature"].tolist() == list(range(n * count))
        store.close()


class Moody(BaseHTTPRequestHandler):
    """A server that answers every write with `status`, or with a refusal where a line speaks of a poison."""

    status = 204
    lines: ClassVar[list[bytes]] = []
    encodings: ClassVar[set[str | None]] = set()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.encodings.add(self.headers["Content-Encoding"])
        lines = gzip.decompress(body).splitlines() if self.headers["Content-Encoding"] == "gzip" else body.splitlines()
        status, answer = self.status, b""
        if status == 204:
            self.lines.extend(line for line in lines if b"poison" not in line)
            if any(b"poison" in line for line in lines):
                # As InfluxDB 3 says it.
                status, answer = 400, b'{"error": "partial write of line protocol occurred", "data": ["bad"]}'
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test tells what went wrong."""


@pytest.fixture
def moody() -> Iterator[str]:
    Moody.lines, Moody.encodings = [], set()
    with ThreadingHTTPServer(("127.0.0.1", 0), Moody) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_only_what_leaves_this_machine_is_compressed(moody: str) -> None:
    elsewhere = moody.replace("127.0.0.1", "127.1")  # the same address under a name that the store does not know
    for url, encoding in ((moody, {None, "identity"}), (elsewhere, {"gzip"})):
        Moody.encodings.clear()
        for store in (InfluxDB1Store(url), InfluxDB2Store(url, "org", "tidegate", "token")):
            store.write([(1, ctd(Op.INSERT, [0], [10.0]))])
            store.close()
        assert Moody.encodings <= encoding
        assert Moody.encodings
    assert len(Moody.lines) == 4
    assert len(set(Moody.lines)) == 1


def test_a_real_server_takes_what_is_compressed() -> None:
    with influxdb() as server:
        store = InfluxDB1Store(server.url.replace("127.0.0.1", "127.1"))
        store.write([(1, ctd(Op.INSERT, [0, 1], [10.0, 11.0]))])
        _, values, _ = store.read("hainan", "ctd-1", "ctd", CTD.fields, *ALWAYS)
        assert values["sea_water_temperature"].tolist() == [10.0, 11.0]
        store.close()


@pytest.mark.parametrize("version", [1, 2])
def test_what_the_server_answers_decides_who_is_to_blame(
    moody: str, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = InfluxDB1Store(moody) if version == 1 else InfluxDB2Store(moody, "org", "tidegate", "token")
    good = ctd(Op.INSERT, [0], [10.0])
    for status, remedy in ((401, "check the user"), (404, "check the bucket"), (429, "overloaded"), (503, "own log")):
        monkeypatch.setattr(Moody, "status", status)
        with pytest.raises(StoreUnavailable, match=rf"{moody} answered {status} .*{remedy}"):
            store.write([(1, good)])
    monkeypatch.setattr(Moody, "status", 204)
    batch = [(i, ctd(Op.INSERT, [i], [10.0], platform="poison" if i in (3, 11) else "p")) for i in range(1, 17)]
    with pytest.raises(StoreRefused, match=r'partial write of line protocol occurred: \["bad"\]') as caught:
        store.write(batch)
    assert [(r.cursor, r.points) for r in caught.value.refusals] == [(3, 1), (11, 1)]
    arrived = {int(line.rsplit(b" ", 1)[1]) for line in Moody.lines}
    assert arrived == {int(change.frame.time[0]) for cursor, change in batch if cursor not in (3, 11)}
    store.close()


def test_reading_what_is_not_there(server: InfluxDB, store: InfluxDB1Store) -> None:
    store.write([(1, ctd(Op.INSERT, [0], [10.0]))])
    for platform, kind in (("nobody", "ctd"), ("hainan", "nothing")):
        times, values, flags = store.read(platform, "ctd-1", kind, CTD.fields, *ALWAYS)
        assert (len(times), [len(v) for v in values.values()], [len(f) for f in flags.values()]) == (
            0,
            [0] * 3,
            [0] * 3,
        )
    with pytest.raises(StoreUnavailable, match="database not found"):
        InfluxDB1Store(server.url, "never made").read("hainan", "ctd-1", "ctd", CTD.fields, *ALWAYS)


# --- the 2.x write API, spoken by VictoriaMetrics ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def victoria() -> Iterator[VictoriaMetrics]:
    with victoria_metrics() as running:
        yield running


def exported(server: VictoriaMetrics, **match: str) -> dict[tuple[str, str], tuple[list[int], list[float]]]:
    """(metric, cell) → times in ms and values, of the series with these labels."""
    urllib3.request("GET", f"{server.url}/internal/force_flush")
    labels = ",".join(f'{k}="{v}"' for k, v in match.items())
    answer = urllib3.request("GET", f"{server.url}/api/v1/export?{urlencode({'match[]': '{' + labels + '}'})}")
    series = [json.loads(line) for line in answer.data.splitlines()]
    return {(s["metric"]["__name__"], s["metric"].get("cell", "")): (s["timestamps"], s["values"]) for s in series}


def test_the_2x_path_writes_values_flags_and_cells(victoria: VictoriaMetrics) -> None:
    store = InfluxDB2Store(victoria.url, "org", "tidegate", "token")
    east, echo, heading = ADCP.fields
    start = time.time_ns() // 10**6 * 10**6 - 3600 * SECOND
    values = np.round(np.linspace(-1, 1, 60), 3)
    store.write(
        [
            (
                1,
                make_change(
                    Op.INSERT,
                    "vm-1",
                    "adcp",
                    ADCP,
                    [start + i * SECOND for i in range(20)],
                    {east.name: values, echo.name: range(60), heading.name: [359.99] * 20},
                ),
            )
        ]
    )
    store.close()
    found = exported(victoria, platform="vm-1")
    assert len(found) == 2 * (3 + 3 + 1)
    stamps, east_2 = found[f"adcp_{east.name}", "0002"]
    assert stamps == [start // 10**6 + 1000 * i for i in range(20)]
    assert east_2 == values[1::3].tolist()
    assert found[f"adcp_{echo.name}", "0003"][1] == list(range(2, 60, 3))
    assert found[f"adcp_{heading.name}_flag", ""][1] == [1] * 20


def test_the_2x_path_tells_a_server_that_is_away() -> None:
    with victoria_metrics() as server:
        store = InfluxDB2Store(server.url, "org", "tidegate", "token")
        server.stop()
        change = ctd(Op.INSERT, [0], [10.0])
        with pytest.raises(StoreUnavailable, match=f"{server.url} does not answer"):
            store.write([(1, change)])
        server.start()
        store.write([(1, change)])
        assert exported(server, platform="hainan")["ctd_sea_water_temperature", ""][1] == [10.0]
        store.close()
