"""The hub over HTTP: its health, how every platform does, and the feed for forecast systems. The page is mounted here.

Cursors are the change log's: a client that asks for `/feed/changes` with the `Next-Cursor` of the answer before gets
every change once and in order, whatever breaks in between. No answer is ever cut off silently: a page that does not
hold all says so by its `Next-Cursor`, a cursor from which changes are no longer all there is refused, and a query
parameter that nobody knows is an error that names it.
"""

import asyncio
import contextlib
import hashlib
import json
import math
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, NoReturn

import numpy as np
from fastapi import FastAPI, Header, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel, ConfigDict, Field

from central.changes import Change
from central.feed import FeedError, changes_table, snapshot, snapshot_to_arrow, snapshot_to_netcdf, to_arrow, to_ndjson
from central.store import StoreError, Stream
from central.store.duckdb import DuckDBStore, Series
from central.view import Hub, Overview, PlatformView, Views, health
from central.web.window import Window
from tidegate.clock import isoformat
from tidegate.codec import CodecError, values_of
from tidegate.frame import Missing

ARROW = "application/vnd.apache.arrow.stream"
NDJSON = "application/x-ndjson"
NETCDF = "application/x-netcdf"

LONGEST_WAIT_S = 60.0
MOST_CHANGES = 10_000
MOST_ROWS = 500_000
"""Rows of one page of changes, above which it ends with the change that it stands at."""
MOST_VALUES = 4_000_000
"""Values of one snapshot: 72 MB as arrays."""
_SCAN = 20_000
"""Changes looked through for one page of a filtered feed."""

_REASONS = ["", *(reason.name.lower() for reason in list(Missing)[1:])]

_ABOUT = """
Measurements of all platforms, as the hub knows them now and as it knew them at any time before.

**The feed.** What the hub knows is a log of changes: samples that are new (`insert`), about which more is known now,
usually their flags (`correct`), or that are withdrawn (`retract`). Each has a cursor, a number that rises. To follow:

1. take `/feed/snapshot` for the past that you need, and note its `As-Of` header;
2. ask `/feed/changes?after=<cursor>&wait=30`, use what comes, and keep the `Next-Cursor` header *with* what you made of
   it; then ask again with it. Each change comes once and in order, through every restart of either side.

**Flags** are QARTOD's: 1 pass, 2 not evaluated, 3 suspect, 4 fail, 9 missing. A missing value is null (NaN in arrays)
and has a reason; it is never 0 and never filled in. **Units** are CF's. **Times** are UTC, in nanoseconds where they
are numbers. A query parameter that is not known is an error, not ignored.
"""


class _Parameters(BaseModel):
    """Query parameters: unknown ones are errors."""

    model_config = ConfigDict(extra="forbid")


class NoParameters(_Parameters):
    """Takes none."""


class ChangesFormat(StrEnum):
    """How changes are written."""

    ARROW = "arrow"
    NDJSON = "ndjson"


class SnapshotFormat(StrEnum):
    """How a snapshot is written."""

    ARROW = "arrow"
    NETCDF = "netcdf"


_Platforms = Annotated[
    list[str], Field(default_factory=list, description="only these platforms; repeatable", examples=[["quay-3"]])
]
_Instruments = Annotated[
    list[str],
    Field(default_factory=list, description="only instruments of these names; repeatable", examples=[["ctd-1"]]),
]


class ChangesQuery(_Parameters):
    """What to ask of `/feed/changes`."""

    after: int = Field(
        0, ge=0, description="changes after this cursor: the Next-Cursor of the page before; 0: from the beginning"
    )
    limit: int = Field(
        1000, ge=1, le=MOST_CHANGES,
        description=f"most changes of one page; a page also ends at about {MOST_ROWS} rows. A change is a block of"
        " samples, so it has many rows",
    )  # fmt: skip
    wait: float = Field(
        0.0, ge=0, le=LONGEST_WAIT_S, description="seconds to wait for news where there is none yet (long poll)"
    )
    platform: _Platforms
    instrument: _Instruments
    format: ChangesFormat | None = Field(None, description="instead of the Accept header")


class SnapshotQuery(_Parameters):
    """What to ask of `/feed/snapshot`."""

    start: str = Field(
        description="first grid time: ISO 8601 in UTC, or nanoseconds", examples=["2026-03-01T00:00:00Z"]
    )
    end: str = Field(description="last grid time at most, in the same way", examples=["2026-03-04T00:00:00Z"])
    step_s: float = Field(60.0, gt=0, le=86_400, description="from one grid time to the next, seconds")
    parameter: list[str] = Field(
        default_factory=list, description="only these parameters, by their names; repeatable",
        examples=[["water_surface_height_above_reference_datum"]],
    )  # fmt: skip
    platform: _Platforms
    instrument: _Instruments
    as_of: int | None = Field(
        None, ge=0,
        description="as the hub knew it at this cursor; without it, as the archive knows it now (the As-Of header says"
        " which cursor that is). The answer waits until the archive has come so far",
    )  # fmt: skip
    wait: float = Field(30.0, ge=0, le=LONGEST_WAIT_S, description="seconds to wait for the archive at most")
    format: SnapshotFormat = Field(SnapshotFormat.ARROW, description="Arrow IPC stream or NetCDF-4 (CF-1.11)")


class LatestQuery(_Parameters):
    """What to ask of `/feed/latest`."""

    parameter: list[str] = Field(default_factory=list, description="only these parameters; repeatable")
    platform: _Platforms
    instrument: _Instruments


class Problem(BaseModel):
    """Why there is no answer."""

    detail: str = Field(description="what is wrong, and what to do")


class Health(BaseModel):
    """How the hub itself does."""

    status: str = Field(description="ok, or wrong", examples=["ok"])
    wrong: list[str] = Field(description="what is wrong with the hub, in sentences")
    cursor: int = Field(description="the newest change")
    platforms: dict[str, int] = Field(description="platforms by state", examples=[{"run": 12}])


class Latest(BaseModel):
    """The newest sample of one stream."""

    platform: str = Field(examples=["quay-3"])
    instrument: str = Field(examples=["tide-1"])
    parameter: str = Field(examples=["water_surface_height_above_reference_datum"])
    unit: str = Field(examples=["m"])
    time: str | None = Field(description="of the sample, ISO 8601 UTC", examples=["2026-03-04T05:06:00.000000000Z"])
    time_ns: int = Field(description="the same, nanoseconds since 1970")
    value: float | list[float | None] | None = Field(
        description="null where missing; of a profile a list, the cell nearest to the transducer first",
        examples=[2.317],
    )
    flag: int | list[int] = Field(
        description="QARTOD: 1 pass, 2 not evaluated, 3 suspect, 4 fail, 9 missing", examples=[1]
    )
    reason: str | list[str] = Field(description="why the value is missing; empty where it is not", examples=[""])


class LatestAnswer(BaseModel):
    """The newest sample of every stream."""

    as_of: int = Field(description="the cursor up to which changes are in it, at least")
    streams: list[Latest]


_BAD: dict[int | str, dict[str, Any]] = {400: {"model": Problem, "description": "The question is not understood"}}
_ARCHIVE: dict[int | str, dict[str, Any]] = {
    **_BAD,
    503: {"model": Problem, "description": "The archive is switched off, or has not come so far"},
}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_CURSORS = {
    "Next-Cursor": {"description": "give this as `after` next", "schema": {"type": "integer"}},
    "Newest-Cursor": {
        "description": "the log's newest; you are up to date where both agree",
        "schema": {"type": "integer"},
    },
    "Lost-Cursors": {
        "description": "only there where records of the log were damaged on disk and their changes cannot be read:"
        " ranges `first-last`; what they said is still in snapshots",
        "schema": {"type": "string"},
    },
}


def create_app(hub: Hub, *, page: bool = True) -> FastAPI:
    """The hub's web application. The page is part of NiceGUI's one application, so only one hub of a process can have
    it."""
    window = Window()
    views = Views(hub, window)
    snapshots = asyncio.Semaphore(2)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        window.follow(hub.changes)
        try:
            yield
        finally:
            await asyncio.to_thread(window.close)

    app = FastAPIOffline(
        docs_url="/docs", redoc_url=None, title="Tidegate", version="1", description=_ABOUT, lifespan=lifespan
    )  # fmt: skip
    app.add_exception_handler(RequestValidationError, _refuse)

    @app.get(
        "/health", tags=["health"], summary="Is the hub well?", response_model=Health,
        responses={**_BAD, 503: {"model": Health, "description": "Something is wrong with the hub"}},
    )  # fmt: skip
    async def get_health(_: Annotated[NoParameters, Query()]) -> Response:
        """For a supervisor. Answers 200 where the hub hears its broker and its disk and stores take what comes, else
        503 with what is wrong. How platforms do is not the hub's health: see `/platforms`."""
        view = await asyncio.to_thread(views.now)
        wrong = health(view)
        answer = Health(
            status="wrong" if wrong else "ok", wrong=wrong, cursor=view.hub.cursor, platforms=view.counts
        )  # fmt: skip
        return JSONResponse(answer.model_dump(), 503 if wrong else 200)

    @app.get("/platforms", tags=["health"], summary="How every platform does, worst first", responses=_BAD)
    async def get_platforms(_: Annotated[NoParameters, Query()]) -> Overview:
        """States, ages against each instrument's own cadence, gaps with reasons, QC mix, delays by stage: all that the
        page shows."""
        return await asyncio.to_thread(views.now)

    @app.get(
        "/platforms/{platform}", tags=["health"], summary="How one platform does",
        responses={**_BAD, 404: {"model": Problem, "description": "There is no such platform"}},
    )  # fmt: skip
    async def get_platform(platform: str, _: Annotated[NoParameters, Query()]) -> PlatformView:
        """One platform of `/platforms`."""
        view = await asyncio.to_thread(views.now)
        for own in view.platforms:
            if own.name == platform:
                return own
        raise HTTPException(404, f"nothing was ever heard of a platform {platform!r}; /platforms lists all")

    @app.get(
        "/feed/changes", tags=["feed"], summary="What is new since a cursor", response_class=Response,
        responses={
            200: {
                "description": "A page of changes in long form: one row for each value. Columns: cursor, op (insert,"
                " correct, retract), platform, instrument, parameter, unit, cell (from 1 at the transducer; null for"
                " scalars), time, value (null where missing), flag, reason (why missing), made, received, journaled,"
                " processed (when the block passed each stage), epoch, seq (the Envelope that brought it).",
                "content": {ARROW: _BINARY, NDJSON: {"schema": {"type": "string"}, "example": _EXAMPLE_LINE}},
                "headers": _CURSORS,
            },
            **_BAD,
            406: {"model": Problem, "description": "None of the accepted formats"},
            410: {"model": Problem, "description": "The log no longer goes back so far"},
        },
    )  # fmt: skip
    async def get_changes(
        request: Request,
        query: Annotated[ChangesQuery, Query()],
        accept: Annotated[str, Header(description=f"`{ARROW}` or `{NDJSON}`")] = "*/*",
    ) -> Response:
        """Changes after a cursor, in the order in which the hub came to know them. Keep the `Next-Cursor` header and
        give it as `after` next time. A page may be short, and with a filter even empty, and not be the last: only where
        `Next-Cursor` equals `Newest-Cursor` there is nothing more for now."""
        form = query.format or _accepted(accept)
        log, wanted = hub.changes, (set(query.platform), set(query.instrument))
        _check_cursor(query.after, log.first, log.last)
        end_s = time.monotonic() + query.wait
        after = query.after
        while True:
            try:
                page, after = await asyncio.to_thread(_page, log.read(after), after, query.limit, wanted)
            except CodecError as error:
                raise HTTPException(500, f"{error}") from error
            left_s = end_s - time.monotonic()
            if page or left_s <= 0 or await request.is_disconnected():
                break
            if after == log.last and not await log.wait(after, left_s):
                break
        batch = await asyncio.to_thread(changes_table, page)
        body = await asyncio.to_thread(to_arrow if form is ChangesFormat.ARROW else to_ndjson, batch)
        headers = {"Next-Cursor": str(after), "Newest-Cursor": str(max(log.last, after)), "Cache-Control": "no-store"}
        lost = [f"{max(a, query.after + 1)}-{min(b, after)}" for a, b in log.lost() if a <= after and b > query.after]
        if lost:
            headers["Lost-Cursors"] = ", ".join(lost)
        return Response(body, media_type=ARROW if form is ChangesFormat.ARROW else NDJSON, headers=headers)

    @app.get(
        "/feed/snapshot", tags=["feed"], summary="What the sea was like, as arrays on a grid", response_class=Response,
        responses={
            200: {
                "description": "For each parameter a dense array of stations by times (by cells, where any profiles),"
                " with mask, flags and ages. A sample fills the grid time at or just after it, the last one in"
                " (t - step, t]; nothing is interpolated or filled in. As Arrow: a record batch for each parameter, a"
                " row for each platform/instrument, lists `value`, `mask`, `flag`, `age_s` of times x cells. The same"
                " question with the same `as_of` has the same bytes.",
                "content": {ARROW: _BINARY, NETCDF: _BINARY},
                "headers": {
                    "As-Of": {"description": "the cursor that it stands at", "schema": {"type": "integer"}},
                    "ETag": {"description": "a hash of the bytes", "schema": {"type": "string"}},
                },
            },
            304: {"description": "Your If-None-Match is still the answer"},
            404: {"model": Problem, "description": "There is no such stream"},
            **_ARCHIVE,
        },
    )  # fmt: skip
    async def get_snapshot(
        query: Annotated[SnapshotQuery, Query()],
        if_none_match: Annotated[str | None, Header(description="the ETag that you have")] = None,
    ) -> Response:
        """Exactly the numbers that a forecast had, or would have: `as_of` any cursor, this year and next."""
        archive = _archive(hub)
        start_ns, end_ns = _time_ns("start", query.start), _time_ns("end", query.end)
        streams = _chosen(archive.streams(), query.platform, query.instrument, query.parameter)
        _check_grid(streams, start_ns, end_ns, query.step_s)
        if query.as_of is not None:
            await _reached(hub, archive, query.as_of, query.wait)
        positions = {
            p.name: (p.latitude, p.longitude)
            for p in hub.registry.platforms()
            if p.latitude is not None and p.longitude is not None and not (p.birth and p.birth.moving)
        }

        def made() -> tuple[int, bytes]:
            snap = snapshot(archive, streams, start_ns, end_ns, query.step_s, query.as_of, positions=positions)
            write = snapshot_to_arrow if query.format is SnapshotFormat.ARROW else snapshot_to_netcdf
            return snap.as_of, write(snap)

        async with snapshots:
            try:
                as_of, body = await asyncio.to_thread(made)
            except FeedError as error:
                raise HTTPException(400, str(error)) from error
            except StoreError as error:
                raise HTTPException(503, str(error), {"Retry-After": "5"}) from error
        etag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
        headers = {"ETag": etag, "As-Of": str(as_of), "Cache-Control": "no-cache"}
        if if_none_match is not None and etag in [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]:
            return Response(status_code=304, headers=headers)
        arrow = query.format is SnapshotFormat.ARROW
        if not arrow:
            headers["Content-Disposition"] = f'attachment; filename="tidegate-{as_of}.nc"'
        return Response(body, media_type=ARROW if arrow else NETCDF, headers=headers)

    @app.get(
        "/feed/latest", tags=["feed"], summary="The newest sample of every stream", response_model=LatestAnswer,
        responses=_ARCHIVE,
    )  # fmt: skip
    async def get_latest(query: Annotated[LatestQuery, Query()]) -> Response:
        """Newest value and flag of every stream in one call, cheap to ask every few seconds."""
        archive = _archive(hub)
        as_of = archive.cursor()
        found = archive.latest()
        wanted = set(_chosen([s.stream for s in found], query.platform, query.instrument, query.parameter))
        streams = [_latest(series) for series in found if series.stream in wanted]
        body = json.dumps({"as_of": as_of, "streams": streams})
        return Response(body, media_type="application/json", headers={"As-Of": str(as_of), "Cache-Control": "no-store"})

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            for path in schema["paths"].values():
                for operation in path.values():
                    operation["responses"].pop("422", None)  # a question that is not understood is a 400 here
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
    if page:
        from central.web.page import mount

        mount(app, views)
    return app


_EXAMPLE_LINE = json.dumps(
    {
        "cursor": 4711, "op": "insert", "platform": "quay-3", "instrument": "tide-1",
        "parameter": "water_surface_height_above_reference_datum", "unit": "m", "cell": None,
        "time": "2026-03-04T05:06:00.000000000Z", "value": 2.317, "flag": 1, "reason": None,
        "made": "2026-03-04T05:06:01.250000000Z", "received": "2026-03-04T05:06:01.391000000Z",
        "journaled": "2026-03-04T05:06:01.402000000Z", "processed": "2026-03-04T05:06:01.420000000Z",
        "epoch": "9f2c61d4a0b7e835", "seq": 1893,
    }
)  # fmt: skip


async def _refuse(request: Request, error: Exception) -> Response:
    """A question that is not understood, told in one sentence for each mistake."""
    assert isinstance(error, RequestValidationError)
    known = _known(request.scope.get("route"))
    told = []
    for mistake in error.errors():
        name = str(mistake["loc"][-1])
        if mistake["type"] == "extra_forbidden":
            told.append(f"unknown query parameter {name!r}; known here: {', '.join(known) or 'none'}")
        elif mistake["type"] == "missing":
            told.append(f"query parameter {name!r} is needed")
        else:
            told.append(f"{name}: {mistake['msg']}, not {mistake['input']!r}")
    return JSONResponse({"detail": "; ".join(told)}, 400)


def _known(route: Any) -> list[str]:
    """Query parameters that a route knows."""
    models = [parameter.field_info.annotation for parameter in route.dependant.query_params]
    return [name for model in models for name in model.model_fields]


def _accepted(accept: str) -> ChangesFormat:
    """The format that an Accept header asks for."""
    offered = [part.split(";")[0].strip().lower() for part in accept.split(",")]
    for media_type in offered:
        if media_type == NDJSON:
            return ChangesFormat.NDJSON
        if media_type in (ARROW, "*/*", "application/*", ""):
            return ChangesFormat.ARROW
    raise HTTPException(
        406, f"changes come as {ARROW} or {NDJSON}, not as {accept}; or say format=arrow or format=ndjson"
    )


def _check_cursor(after: int, first: int, last: int) -> None:
    if after > last:
        raise HTTPException(
            400,
            f"cursor {after} is ahead of this hub, whose newest change is {last}: it is another hub's, or this hub's"
            " log was begun anew; take a snapshot and go on from its As-Of",
        )
    if after < first - 1:
        raise HTTPException(
            410,
            f"changes up to {first - 1} are no longer in the log: take a snapshot and go on from its As-Of, or ask with"
            f" after={first - 1} to begin with the oldest that there is",
        )


def _page(
    changes: Iterator[tuple[int, Change]], after: int, limit: int, wanted: tuple[set[str], set[str]]
) -> tuple[list[tuple[int, Change]], int]:
    """(the next changes that are wanted, the cursor up to which that is all). What stands before a change that cannot
    be read comes first; CodecError only where it is the next."""
    platforms, instruments = wanted
    page: list[tuple[int, Change]] = []
    rows = looked = 0
    start = after
    try:
        for cursor, change in changes:
            own = (not platforms or change.platform in platforms) and (
                not instruments or change.frame.instrument in instruments
            )
            size = values_of(change.frame.schema, len(change.frame)) if own else 0
            if page and rows + size > MOST_ROWS:
                break
            after, looked, rows = cursor, looked + 1, rows + size
            if own:
                page.append((cursor, change))
            if len(page) >= limit or looked >= _SCAN:
                break
    except CodecError:
        if after == start:
            raise
    return page, after


def _archive(hub: Hub) -> DuckDBStore:
    if hub.archive is None:
        raise HTTPException(503, "this hub keeps no archive: set `enabled = true` in [duckdb] of its settings")
    return hub.archive


def _chosen(
    streams: Sequence[Stream], platforms: list[str], instruments: list[str], parameters: list[str]
) -> list[Stream]:
    """The streams that the filters name; a name that no stream has is a 404 rather than nothing."""
    for what, names, known in (
        ("platform", platforms, {s.platform for s in streams}),
        ("instrument", instruments, {s.instrument for s in streams}),
        ("parameter", parameters, {s.parameter for s in streams}),
    ):
        unknown = [name for name in names if name not in known]
        if unknown:
            raise HTTPException(
                404, f"no stream has the {what} {', '.join(map(repr, unknown))}; /feed/latest lists all"
            )
    return [
        s
        for s in streams
        if (not platforms or s.platform in platforms)
        and (not instruments or s.instrument in instruments)
        and (not parameters or s.parameter in parameters)
    ]


def _check_grid(streams: Sequence[Stream], start_ns: int, end_ns: int, step_s: float) -> None:
    if end_ns < start_ns:
        raise HTTPException(400, "end is before start")
    times = (end_ns - start_ns) // max(round(step_s * 1e9), 1) + 1
    stations = len({(s.platform, s.instrument) for s in streams})
    parameters = len({s.parameter for s in streams})
    if times * stations * parameters > MOST_VALUES:
        raise HTTPException(
            400,
            f"{stations} instruments by {times} times by {parameters} parameters are more than {MOST_VALUES} values:"
            " ask for a shorter time, a longer step_s, or fewer by platform=, instrument= or parameter=",
        )


async def _reached(hub: Hub, archive: DuckDBStore, as_of: int, wait_s: float) -> None:
    """Return when the archive stands at `as_of` or beyond."""
    if as_of > max(hub.changes.last, archive.cursor()):
        raise HTTPException(400, f"as_of {as_of} lies ahead: the newest change is {hub.changes.last}")
    end_s = time.monotonic() + wait_s
    while archive.cursor() < as_of:
        if time.monotonic() >= end_s:
            raise HTTPException(
                503,
                f"the archive stands at {archive.cursor()} and has not come to {as_of} in {wait_s:g} s: ask again"
                " later; /health says whether something holds it up",
                {"Retry-After": "5"},
            )
        await asyncio.sleep(0.05)


def _time_ns(name: str, text: str) -> int:
    """UTC nanoseconds of ISO 8601 or of a number. Refuses a local time: nobody knows whose."""
    try:
        if text.lstrip("-").isdigit():
            value = int(text)
            if abs(value) >= 1 << 63:
                raise ValueError("it does not fit in 64 bits")
            return value
        at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            raise ValueError("say that it is UTC by a Z at its end")
        return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
    except ValueError as error:
        _bad(f"{name}: {text!r} is no time: {error}; write it as 2026-03-01T00:00:00Z, or as nanoseconds since 1970")


def _bad(detail: str) -> NoReturn:
    raise HTTPException(400, detail)


def _latest(series: Series) -> dict[str, Any]:
    value, flag, reason = series.value[-1], series.flag[-1], series.reason[-1]
    profile = series.form.cells is not None
    return {
        **series.stream._asdict(),
        "unit": series.form.unit,
        "time": isoformat(int(series.time[-1])),
        "time_ns": int(series.time[-1]),
        "value": [_number(v) for v in value] if profile else _number(value),
        "flag": flag.tolist(),
        "reason": [_REASONS[r] for r in reason] if profile else _REASONS[reason],
    }


def _number(value: np.float64) -> float | None:
    return float(value) if math.isfinite(value) else None
