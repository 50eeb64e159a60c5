"""InfluxDB as a view of the data, for Grafana and everyone who knows it: 1.x, 2.x and 3.x.

A Frame becomes points of the measurement that bears its schema's kind (`ctd`, `tide_gauge`, …), with the tags
`platform` and `instrument` and, for each field, the value at the field's own resolution and `<name>_flag`, an integer.
Of a profile each cell is a point by itself, with the tag `cell` (`0001` is the cell nearest the transducer); scalar
fields of the same Frame are a point without it. Times are nanoseconds.

A point of the same series and time replaces the fields that it brings, so a batch may be written again, and a
correction takes the place of what it corrects. But InfluxDB cannot take back one field of a point: its only deletion
takes whole points, and with them what another record of the same instrument said at that time. So a value that is
missing or was retracted is its flag alone, **9, and a value beside a flag of 9 is void**, whatever it says: `read`
gives NaN there, and a Grafana panel asks for `"<name>_flag" < 9`. A name that line protocol cannot carry (a line break,
a backslash) makes a change that is refused, never one that is bent.

Line protocol is built by Arrow for all samples of a batch at once. A request has at most 8 MB of it. A line is long
(350 bytes for four fields) and mostly names, so on its way to another machine it goes under gzip, which shrinks it
tenfold; for a server on this machine that would only be work for both.

Servers that only speak the 2.x write API may hold less: VictoriaMetrics rounds times to milliseconds, keeps everything
as float64, and keeps both values where a correction comes, unless it is started with `-dedup.minScrapeInterval=1ms`.

Sources: InfluxData, "InfluxDB line protocol reference" and "InfluxDB API reference", 1.x and 2.x.
"""

import gzip
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException

from central.changes import Change, Flag, Flags, Op
from central.store import Batch, Refusal, StoreRefused, StoreUnavailable
from tidegate.frame import MISSING_INT, Field, Schema, Times

Values = npt.NDArray[np.float64]

_CONNECT_S = 5.0
_ANSWER_S = 30.0
_MOST_BYTES = 8_000_000
"""Of line protocol in one request. InfluxDB 1.x refuses bodies beyond 25 MB (`max-body-size`)."""
_THIS_MACHINE = {"localhost", "127.0.0.1", "::1"}


class _Rejected(Exception):
    """The server will not take (all of) these lines, now or later. `dropped` where it said how many."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        dropped = re.search(r"\bdropped=(\d+)", reason)
        self.dropped = int(dropped[1]) if dropped else None


class _InfluxStore(ABC):
    """What 1.x and 2.x have in common: the line protocol, the search for refused changes, and InfluxQL."""

    def __init__(self, name: str, url: str, database: str, headers: Mapping[str, str]) -> None:
        self.name = name
        self._url = url.rstrip("/")
        self._far = urlsplit(url).hostname not in _THIS_MACHINE
        self._database = database
        self._http = urllib3.PoolManager(
            headers=dict(headers), timeout=urllib3.Timeout(connect=_CONNECT_S, read=_ANSWER_S), retries=False
        )

    def write(self, batch: Batch) -> None:
        """Write a batch; the same one again changes nothing.

        Raises `StoreUnavailable` where the server is away, overloaded or does not let us in, and `StoreRefused`, after
        everything else went in, where it will never take some changes (a field that has another type there, points
        that are older than the retention policy keeps).
        """
        refusals = [
            Refusal(cursor, change, _points(change), reason)
            for cursor, change in batch
            if (reason := unwritable(change))
        ]
        poison = {refusal.cursor for refusal in refusals}
        refusals += self._put([item for item in batch if item[0] not in poison])
        if refusals:
            raise StoreRefused(self.name, sorted(refusals, key=lambda refusal: refusal.cursor))

    def _put(self, batch: Batch) -> list[Refusal]:
        """Write, and find what is refused by halves. In log order, so that the last of two for one point stays."""
        rejected: list[_Rejected] = []
        lines = 0
        for body, count in line_protocol(batch):
            lines += count
            try:
                self._post(body)
            except _Rejected as error:
                rejected.append(error)
        if not rejected:
            return []
        if len(batch) == 1:
            ((cursor, change),) = batch
            counts = [error.dropped for error in rejected]
            points = sum(c for c in counts if c is not None) if None not in counts else lines
            return [Refusal(cursor, change, points, str(rejected[0]))]
        middle = len(batch) // 2
        return self._put(batch[:middle]) + self._put(batch[middle:])

    def read(
        self, platform: str, instrument: str, kind: str, fields: Sequence[Field], start_ns: int, end_ns: int
    ) -> tuple[Times, dict[str, Values], dict[str, Flags]]:
        """Samples with start_ns <= time < end_ns of one instrument: times (n,) ascending, and by field name values and
        flags, (n,) or (n, cells) for profile fields.

        A value is NaN where it is missing, and its flag 9. Raises `StoreUnavailable`.
        """
        scalars = [f for f in fields if not f.profile]
        profiles = [f for f in fields if f.profile]
        where = (
            f"FROM {_identifier(kind)} WHERE platform = {_text(platform)} AND instrument = {_text(instrument)}"
            f" AND time >= {start_ns} AND time < {end_ns}"
        )
        tables = [
            self._select(f"SELECT {_columns(own)}{tags} {where}", own, cells=bool(tags)) if own else None
            for own, tags in ((scalars, ""), (profiles, ", cell"))
        ]
        time = np.unique(np.concatenate([t["time"] for t in tables if t is not None] or [np.empty(0, np.int64)]))
        values: dict[str, Values] = {}
        flags: dict[str, Flags] = {}
        for own, table in zip((scalars, profiles), tables, strict=True):
            if table is None:
                continue
            row = np.searchsorted(time, table["time"])
            cell = table.get("cell")
            place: Any = row if cell is None else (row, cell - 1)
            shape = (len(time),) if cell is None else (len(time), int(cell.max(initial=0)))
            for f in own:
                flag = np.full(shape, Flag.MISSING, np.uint8)
                flag[place] = np.nan_to_num(table[f"{f.name}_flag"], nan=float(Flag.MISSING)).astype(np.uint8)
                value = np.full(shape, np.nan)
                value[place] = table[f.name]
                value[flag == Flag.MISSING] = np.nan
                values[f.name], flags[f.name] = value, flag
        return time, values, flags

    def _select(self, query: str, fields: Sequence[Field], *, cells: bool) -> dict[str, npt.NDArray[Any]]:
        names = ["time", *(name for f in fields for name in (f.name, f"{f.name}_flag")), *(["cell"] if cells else [])]
        chunks = [
            dict(zip(series["columns"], zip(*series["values"], strict=True), strict=True))
            for series in self._query("GET", query)
        ]
        return {
            name: np.concatenate(
                [
                    np.empty(0, kind),
                    *(np.array(chunk[name], object if name == "cell" else kind).astype(kind) for chunk in chunks),
                ]
            )
            for name in names
            for kind in (np.int64 if name in ("time", "cell") else np.float64,)
        }

    def _query(self, method: str, query: str) -> list[dict[str, Any]]:
        """The series that an InfluxQL statement answers with, in chunks of some thousand rows.

        As JSON, for CSV tells nothing of a statement that failed or was cut short; in chunks, for a server may be set
        to cut what it gives in one piece.
        """
        parameters = urlencode({"db": self._database, "epoch": "ns", "chunked": "true", "q": query})
        status, body = self._request(method, f"/query?{parameters}", None, {"Accept": "application/json"})
        trouble = f"{self.name}: {self._url} does not answer {query!r}: {status} "
        if status != 200:
            raise StoreUnavailable(trouble + _message(body))
        series: list[dict[str, Any]] = []
        more = False
        try:
            for line in body.splitlines():
                answer = json.loads(line)
                for result in answer.get("results", [answer]):
                    if "error" in result:
                        raise StoreUnavailable(trouble + str(result["error"]))
                    series += result.get("series", [])
                    more = bool(result.get("partial"))
        except (ValueError, AttributeError, TypeError) as error:
            raise StoreUnavailable(trouble + f"{body[:200]!r} is no answer of InfluxQL ({error})") from error
        if more:
            raise StoreUnavailable(trouble + f"it ends after {len(series)} chunks, in the middle")
        return series

    def _request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        try:
            response = self._http.request(
                method, self._url + path, body=body, headers={**self._http.headers, **(headers or {})}
            )
        except urllib3.exceptions.HTTPError as error:
            raise StoreUnavailable(_away(self.name, self._url, error)) from error
        return response.status, response.data

    @abstractmethod
    def _post(self, body: bytes) -> None:
        """Give the server line protocol. Raises `_Rejected` or `StoreUnavailable`."""

    def close(self) -> None:
        """Close the connections."""
        self._http.clear()


class InfluxDB1Store(_InfluxStore):
    """InfluxDB 1.x, by `/write`. The database is created where it does not exist."""

    def __init__(
        self, url: str, database: str = "tidegate", username: str = "", password: str = "", name: str = "influxdb"
    ) -> None:
        super().__init__(
            name, url, database, urllib3.make_headers(basic_auth=f"{username}:{password}") if username else {}
        )

    def _post(self, body: bytes) -> None:
        path = f"/write?{urlencode({'db': self._database, 'precision': 'ns'})}"
        headers = {}
        if self._far:
            body, headers = gzip.compress(body, 1), {"Content-Encoding": "gzip"}
        status, answer = self._request("POST", path, body, headers)
        if status == 404 and "database not found" in _message(answer):
            self._query("POST", f"CREATE DATABASE {_identifier(self._database)}")
            status, answer = self._request("POST", path, body, headers)
        _judge(self.name, self._url, status, _message(answer))


class InfluxDB2Store(_InfluxStore):
    """InfluxDB 2.x and 3.x, by influxdb-client and `/api/v2/write`. The bucket (3.x: the database) must exist; `read`
    asks by its name as InfluxQL's database."""

    def __init__(self, url: str, org: str, bucket: str, token: str, name: str = "influxdb") -> None:
        super().__init__(name, url, bucket, {"Authorization": f"Token {token}"})
        self._client = InfluxDBClient(
            url, token, org=org, enable_gzip=self._far, timeout=(_CONNECT_S * 1000, _ANSWER_S * 1000)
        )
        self._write_api = self._client.write_api(write_options=SYNCHRONOUS)

    def _post(self, body: bytes) -> None:
        try:
            self._write_api.write(self._database, record=body)  # in nanoseconds, by default
        except ApiException as error:
            _judge(self.name, self._url, error.status or 0, _message(error.body or ""))
        except urllib3.exceptions.HTTPError as error:
            raise StoreUnavailable(_away(self.name, self._url, error)) from error

    def close(self) -> None:
        """Close the connections."""
        super().close()
        self._client.close()  # type: ignore[no-untyped-call]


# --- line protocol ----------------------------------------------------------------------------------------------------


def unwritable(change: Change) -> str:
    """Why the names of a change cannot go into line protocol, or an empty text."""
    frame = change.frame
    names = [change.platform, frame.instrument, frame.schema.kind, *frame.schema.by_name]
    odd = [n for n in names if not n or n.startswith("#") or "\\" in n or not n.isprintable()]
    if odd:
        return f"line protocol cannot carry the name {odd[0]!r}: name it otherwise in the station's settings"
    if "time" in frame.schema.by_name:
        return "InfluxDB reserves the field name 'time': name it otherwise in the station's settings"
    return ""


def line_protocol(batch: Batch) -> Iterator[tuple[bytes, int]]:
    """Line protocol of a batch, in pieces of whole lines, each with the number of its lines.

    Points that share a field, series and time keep their order.
    """
    for run in _runs(batch):
        by_schema: dict[bytes, list[Change]] = {}
        for change in run:
            by_schema.setdefault(change.frame.schema.id, []).append(change)
        for changes in by_schema.values():
            schema = changes[0].frame.schema
            for profile in (False, True):
                fields = [f for f in schema.fields if f.profile is profile]
                if fields and any(len(change.frame) for change in changes):
                    yield from _pieces(_lines(schema, fields, changes, profile=profile))


def _runs(batch: Batch) -> Iterator[list[Change]]:
    """Cut a batch where samples of different schemas could write the same field of the same point."""
    run: list[Change] = []
    seen: dict[tuple[str, str, str], Schema] = {}
    for _, change in batch:
        schema = change.frame.schema
        key = (change.platform, change.frame.instrument, schema.kind)
        other = seen.get(key, schema)
        if other.id != schema.id and not other.by_name.keys().isdisjoint(schema.by_name):
            yield run
            run, seen = [], {}
        seen[key] = schema
        run.append(change)
    yield run


def _lines(schema: Schema, fields: Sequence[Field], changes: Sequence[Change], *, profile: bool) -> pa.Array:
    """A string array of one line for each sample, or for each cell of each sample."""
    width = schema.cells.count if profile and schema.cells else 1
    tags = [f",instrument={_tag(c.frame.instrument)},platform={_tag(c.platform)} " for c in changes]
    measurement = _escape(schema.kind, ", ")
    cells = [f",cell={cell:04}" for cell in range(1, width + 1)] if profile else [""]
    heads = [measurement + cell + tag for tag in tags for cell in cells]
    samples = np.array([len(c.frame) for c in changes])
    head = (np.repeat(np.arange(len(changes)) * width, samples)[:, None] + np.arange(width)).ravel()
    time = np.repeat(np.concatenate([c.frame.time for c in changes]), width)
    retracted = np.repeat(np.array([c.op is Op.RETRACT for c in changes]), samples * width)
    parts = []
    for f in fields:
        column = np.concatenate([c.frame.columns[f.name].ravel() for c in changes])
        flag = np.concatenate([c.flags[f.name].ravel() for c in changes])
        if f.integer:
            void = retracted | (column == MISSING_INT)
        else:
            # The nearest double of a decimal number prints as that number: Arrow prints the shortest that reads back.
            column = np.round(column, f.decimals)
            void = retracted | ~np.isfinite(column)
        flag = np.where(void, np.uint8(Flag.MISSING), flag)
        name = _tag(f.name)
        text = pc.cast(pa.array(column, mask=void), pa.string())
        flag_texts = pa.array([f"{name}_flag={i}i" for i in range(256)])
        parts.append(pc.binary_join_element_wise(f"{name}=", text, "i" if f.integer else "", ""))
        parts.append(flag_texts.take(pa.array(flag)))
    return pc.binary_join_element_wise(
        pa.array(heads).take(pa.array(head)),
        pc.binary_join_element_wise(*parts, ",", null_handling="skip"),
        " ",
        pc.cast(pa.array(time), pa.string()),
        "\n",
        "",
    )


def _pieces(lines: pa.Array) -> Iterator[tuple[bytes, int]]:
    _, offsets, content = lines.buffers()
    ends = np.frombuffer(offsets, np.int32)[lines.offset : lines.offset + len(lines) + 1]
    at = 0
    while at < len(lines):
        to = max(at + 1, int(np.searchsorted(ends, ends[at] + _MOST_BYTES, "right")) - 1)
        yield content[int(ends[at]) : int(ends[to])].to_pybytes(), to - at
        at = to


def _points(change: Change) -> int:
    schema = change.frame.schema
    return len(change.frame) * sum(schema.width(f) for f in {f.profile: f for f in schema.fields}.values())


def _escape(name: str, special: str) -> str:
    return "".join("\\" + c if c in special else c for c in name)


def _tag(name: str) -> str:
    """A tag's value, a tag's key or a field's key."""
    return _escape(name, ",= ")


# --- InfluxQL and HTTP ------------------------------------------------------------------------------------------------


def _identifier(name: str) -> str:
    return '"' + _escape(name, '"\\') + '"'


def _text(value: str) -> str:
    return "'" + _escape(value, "'\\") + "'"


def _columns(fields: Sequence[Field]) -> str:
    return ", ".join(f"{_identifier(f.name)}, {_identifier(f.name + '_flag')}" for f in fields)


def _judge(store: str, url: str, status: int, message: str) -> None:
    """Nothing where a write succeeded; raises `_Rejected` where the lines are to blame, else `StoreUnavailable`."""
    if status in (200, 204):
        return
    if status in (400, 413, 422):
        raise _Rejected(f"{status} {message}")
    remedy = {
        401: "check the user and password or token in the hub's settings",
        403: "the user or token must be allowed to write there",
        404: "check the bucket and organisation in the hub's settings",
        429: "it is overloaded and asks us to wait",
    }.get(status, "it is tried again; look into the server's own log")
    raise StoreUnavailable(f"{store}: {url} answered {status} {message!r}: {remedy}")


def _message(body: bytes | str) -> str:
    """The server's words in an error answer: `error` of 1.x and 3.x (with the lines it speaks of), `message` of 2.x."""
    text = (body if isinstance(body, str) else body.decode("utf-8", "replace")).strip()
    try:
        answer = json.loads(text)
    except ValueError:
        return text
    if not isinstance(answer, dict):
        return text
    words = str(answer.get("error") or answer.get("message") or text)
    return f"{words}: {json.dumps(answer['data'])[:300]}" if answer.get("data") else words


def _away(store: str, url: str, error: Exception) -> str:
    return f"{store}: {url} does not answer ({error}): is it running, and reachable from here? It is tried again"
