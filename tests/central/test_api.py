import asyncio
import io
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import h5netcdf
import httpx
import numpy as np
import pyarrow as pa
import pytest

from central.api import ARROW, NDJSON, create_app
from central.changes import Flag
from central.feed import snapshot_from_arrow
from tests.central.filled import CTD, GAUGE, LEVEL, SECOND, TEMPERATURE, FilledHub, fill
from tidegate.codec import CodecError

T0 = 1_770_000_000 * SECOND


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FilledHub]:
    hub = FilledHub(tmp_path_factory.mktemp("hub"))
    fill(hub)
    hub.caught_up()
    yield hub
    hub.close()


@pytest.fixture
async def client(filled: FilledHub) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(filled.hub, page=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hub") as client,
    ):
        yield client


def table(answer: httpx.Response) -> pa.Table:
    assert answer.status_code == 200, answer.text
    return pa.ipc.open_stream(answer.content).read_all()


async def test_health_is_200_and_then_503_with_what_is_wrong(client: httpx.AsyncClient, tmp_path: Path) -> None:
    answer = await client.get("/health")
    assert (answer.status_code, answer.json()["status"], answer.json()["wrong"]) == (200, "ok", [])
    deaf = FilledHub(tmp_path, hearing=False)
    try:
        app = create_app(deaf.hub, page=False)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hub") as other:
            answer = await other.get("/health")
        assert answer.status_code == 503
        assert "the hub hears nobody" in answer.json()["wrong"][0]
    finally:
        deaf.close()


async def test_platforms_come_worst_first_with_their_states(client: httpx.AsyncClient) -> None:
    for _ in range(100):  # until the window is full
        view = (await client.get("/platforms")).json()
        if view["platforms"][-1]["qc"]:
            break
        await asyncio.sleep(0.1)
    states = {p["name"]: p["state"] for p in view["platforms"]}
    assert list(states)[:6] == ["tioman-1", "pulau-tekong", "mersing", "kuantan", "horsburgh", "rv-sagitta"]
    assert list(states.values())[:6] == ["silent", "offline", "quarantined", "never-heard", "late", "catching-up"]
    assert set(list(states.values())[6:]) == {"run"}
    one = (await client.get("/platforms/pulau-tekong")).json()
    assert (one["missing"], one["explained"], one["duplicates"], one["corrupt"]) == (5, 3, 14, 2)
    assert [(g["reason"] != "", g["last"] - g["first"] + 1) for g in one["gaps"]] == [(False, 5), (True, 3)]
    assert (await client.get("/platforms/atlantis")).status_code == 404


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/feed/changes?after=0&colour=blue&limit=3", "unknown query parameter 'colour'; known here: after, limit,"),
        ("/platforms?sort=name", "unknown query parameter 'sort'; known here: none"),
        ("/health?x=1", "'x'"),
        ("/feed/latest?x=1", "'x'"),
        ("/feed/snapshot?start=1&end=2&x=1", "'x'"),
        ("/feed/snapshot?start=1", "'end' is needed"),
        ("/feed/changes?limit=0", "limit: Input should be greater than or equal to 1, not '0'"),
        ("/feed/changes?wait=61", "wait"),
        ("/feed/changes?after=99999999", "cursor 99999999 is ahead of this hub"),
        ("/feed/snapshot?start=2026-01-01T00:00:00&end=2", "say that it is UTC"),
        ("/feed/snapshot?start=2&end=1", "end is before start"),
        ("/feed/snapshot?start=yesterday&end=1", "'yesterday' is no time"),
        ("/feed/snapshot?start=2025-01-01T00:00:00Z&end=2026-01-01T00:00:00Z&step_s=1", "ask for a shorter time"),
        ("/feed/snapshot?start=1&end=2&as_of=99999999", "as_of 99999999 lies ahead"),
    ],
)  # fmt: skip
async def test_questions_that_make_no_sense_are_told_why(client: httpx.AsyncClient, path: str, told: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 400
    assert told in answer.json()["detail"]


async def test_a_name_that_no_stream_has_is_told(client: httpx.AsyncClient) -> None:
    answer = await client.get("/feed/snapshot?start=1&end=2&parameter=salinty")
    assert (answer.status_code, "'salinty'" in answer.json()["detail"]) == (404, True)


@pytest.mark.parametrize("limit", [7, 1000])
async def test_pages_of_changes_give_every_change_once_in_order(
    client: httpx.AsyncClient, filled: FilledHub, limit: int
) -> None:
    expected = [cursor for cursor, _ in filled.hub.changes.read()]
    if limit == 7:
        expected = expected[-100:]
    after, seen, rows = expected[0] - 1, [], 0
    while True:
        answer = await client.get("/feed/changes", params={"after": after, "limit": limit})
        page = table(answer)
        assert answer.headers["content-type"] == ARROW
        assert "Lost-Cursors" not in answer.headers
        cursors = page["cursor"].to_numpy()
        seen += list(dict.fromkeys(cursors.tolist()))
        rows += len(cursors)
        after = int(answer.headers["Next-Cursor"])
        if after == int(answer.headers["Newest-Cursor"]):
            break
        assert len(cursors)
    assert seen == expected


async def test_a_filtered_feed_is_the_feed_filtered_and_json_says_the_same(
    client: httpx.AsyncClient, filled: FilledHub
) -> None:
    own = {c for c, change in filled.hub.changes.read() if change.platform == "horsburgh"}
    after, seen, lines = 0, set(), []
    while after < filled.hub.changes.last:
        query: dict[str, str | int] = {"after": after, "platform": "horsburgh", "instrument": "ctd-1", "limit": 20}
        arrow = await client.get("/feed/changes", params=query)
        ndjson = await client.get("/feed/changes", params=query, headers={"Accept": NDJSON})
        assert arrow.headers["Next-Cursor"] == ndjson.headers["Next-Cursor"]
        page = table(arrow)
        parsed = [json.loads(line) for line in ndjson.text.splitlines()]
        assert [p["value"] for p in parsed] == page["value"].to_pylist()
        assert ndjson.headers["content-type"].startswith(NDJSON)
        lines += parsed
        seen |= set(page["cursor"].to_pylist())
        after = int(arrow.headers["Next-Cursor"])
    assert seen == own
    assert {(line["platform"], line["instrument"]) for line in lines} == {("horsburgh", "ctd-1")}


async def test_formats_are_negotiated(client: httpx.AsyncClient) -> None:
    for accept, form, got in [
        ("text/html, */*;q=0.8", None, ARROW),
        (NDJSON, None, NDJSON),
        (NDJSON, "arrow", ARROW),
    ]:
        query = {"limit": "1"} | ({"format": form} if form else {})
        answer = await client.get("/feed/changes", params=query, headers={"Accept": accept})
        assert answer.headers["content-type"].split(";")[0] == got
    answer = await client.get("/feed/changes", headers={"Accept": "text/csv"})
    assert (answer.status_code, NDJSON in answer.json()["detail"]) == (406, True)


async def test_a_long_poll_ends_with_news_and_with_time(tmp_path: Path) -> None:
    hub = FilledHub(tmp_path, T0)
    try:
        hub.platform("quay-3", (1.0, 103.0), ctd_1=(CTD, 10.0, "sbe37", "", "", ""))
        hub.platform("quay-4", (1.0, 103.0), ctd_1=(CTD, 10.0, "sbe37", "", "", ""))
        app = create_app(hub.hub, page=False)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hub") as client:
            empty = await client.get("/feed/changes?wait=0.1")
            assert (table(empty).num_rows, empty.headers["Next-Cursor"]) == (0, "0")
            asking = asyncio.create_task(client.get("/feed/changes?wait=20&platform=quay-3"))
            await asyncio.sleep(0.1)
            t = hub.times(10, 30)
            await asyncio.to_thread(hub.samples, "quay-4", "ctd-1", CTD, t, hub.ctd(t))
            await asyncio.sleep(0.2)
            assert not asking.done()
            await asyncio.to_thread(hub.samples, "quay-3", "ctd-1", CTD, t, hub.ctd(t))
            answer = await asyncio.wait_for(asking, 5)
            assert set(table(answer)["platform"].to_pylist()) == {"quay-3"}
            assert answer.headers["Next-Cursor"] == str(hub.hub.changes.last)
    finally:
        hub.close()


async def test_a_cursor_that_the_log_has_forgotten_is_gone_and_damage_is_told(tmp_path: Path) -> None:
    hub = FilledHub(tmp_path, T0)
    try:
        hub.platform("quay-3", (1.0, 103.0), ctd_1=(CTD, 10.0, "sbe37", "", "", ""))
        t = hub.times(10, 100)
        hub.samples("quay-3", "ctd-1", CTD, t, hub.ctd(t), block=1)

        class Forgetful:
            """The hub's log as it is when its beginning is no longer kept and records 6 and 7 are damaged."""

            first = 4
            last = hub.hub.changes.last
            read = hub.hub.changes.read

            def lost(self) -> list[tuple[int, int]]:
                return [(6, 7)]

        class WithForgetful:
            changes = Forgetful()

            def __getattr__(self, name: str) -> Any:
                return getattr(hub.hub, name)

        app = create_app(WithForgetful(), page=False)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hub") as client:
            gone = await client.get("/feed/changes?after=2")
            assert gone.status_code == 410
            assert "changes up to 3 are no longer in the log" in gone.json()["detail"]
            assert (await client.get("/feed/changes?after=3&limit=2")).headers.get("Lost-Cursors") is None
            assert (await client.get("/feed/changes?after=6")).headers["Lost-Cursors"] == "7-7"
    finally:
        hub.close()


async def test_what_stands_before_a_change_that_cannot_be_read_still_comes(tmp_path: Path) -> None:
    hub = FilledHub(tmp_path, T0)
    try:
        hub.platform("quay-3", (1.0, 103.0), ctd_1=(CTD, 10.0, "sbe37", "", "", ""))
        hub.samples("quay-3", "ctd-1", CTD, t := hub.times(10, 100), hub.ctd(t), block=1)

        class Damaged:
            """The hub's log as it is when the schema of change 4 has gone."""

            first, last, lost = 1, hub.hub.changes.last, hub.hub.changes.lost

            def read(self, after: int = 0) -> Iterator[Any]:
                for cursor, change in hub.hub.changes.read(after):
                    if cursor == 4:
                        raise CodecError("record 4: no birth describes schema 0123; restore its file")
                    yield cursor, change

        class WithDamaged:
            changes = Damaged()

            def __getattr__(self, name: str) -> Any:
                return getattr(hub.hub, name)

        app = create_app(WithDamaged(), page=False)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hub") as client:
            before = await client.get("/feed/changes")
            assert (before.headers["Next-Cursor"], set(table(before)["cursor"].to_pylist())) == ("3", {1, 2, 3})
            stuck = await client.get("/feed/changes?after=3&wait=5")
            assert stuck.status_code == 500
            assert "no birth describes schema 0123; restore its file" in stuck.json()["detail"]
    finally:
        hub.close()


async def test_a_snapshot_has_the_archives_numbers_and_the_same_bytes_for_the_same_cursor(tmp_path: Path) -> None:
    hub = FilledHub(tmp_path, T0)
    try:
        hub.platform("quay-3", (1.5, 103.5), tide_1=(GAUGE, 60.0, "modbus", "", "", ""))
        t = hub.times(60, 3600)
        columns = hub.gauge(t)
        columns[LEVEL][5] = np.nan
        hub.samples("quay-3", "tide-1", GAUGE, t[:40], {n: c[:40] for n, c in columns.items()})
        first = hub.hub.changes.last
        query: dict[str, str | int | float | None] = {
            "start": int(t[0]), "end": int(t[-1]), "step_s": 60, "parameter": LEVEL, "as_of": first,
        }  # fmt: skip
        app = create_app(hub.hub, page=False)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hub") as client:
            hub.caught_up()
            before = await client.get("/feed/snapshot", params=query)
            await asyncio.to_thread(
                hub.samples, "quay-3", "tide-1", GAUGE, t[40:], {n: c[40:] for n, c in columns.items()}
            )
            again = await client.get("/feed/snapshot", params=query)
            assert (again.content, again.headers["ETag"]) == (before.content, before.headers["ETag"])
            same = await client.get("/feed/snapshot", params=query, headers={"If-None-Match": again.headers["ETag"]})
            assert (same.status_code, same.content) == (304, b"")
            newest = hub.hub.changes.last
            now = await client.get("/feed/snapshot", params=query | {"as_of": newest})
            assert now.headers["As-Of"] == str(newest)
            got = snapshot_from_arrow(now.content)
            variable = got.variables[LEVEL]
            assert (got.stations[0].latitude, got.stations[0].platform) == (1.5, "quay-3")
            np.testing.assert_array_equal(variable.value[0], np.round(columns[LEVEL], 3))
            assert variable.mask[0, 5]
            assert variable.flag[0, 5] == Flag.MISSING
            assert not np.isfinite(snapshot_from_arrow(before.content).variables[LEVEL].value[0, 40:]).any()
            netcdf = await client.get("/feed/snapshot", params=query | {"as_of": newest, "format": "netcdf"})
            with h5netcdf.File(io.BytesIO(netcdf.content), "r") as file:
                np.testing.assert_array_equal(file[LEVEL][0], variable.value[0])
                assert file.attrs["Conventions"] == "CF-1.11"
    finally:
        hub.close()


async def test_a_snapshot_waits_for_the_archive_and_no_longer_than_asked(tmp_path: Path) -> None:
    hub = FilledHub(tmp_path, T0)
    try:
        hub.platform("quay-3", (1.5, 103.5), tide_1=(GAUGE, 60.0, "modbus", "", "", ""))
        hub.samples("quay-3", "tide-1", GAUGE, t := hub.times(60, 3600), hub.gauge(t))
        hub.caught_up()
        archive = hub.hub.archive
        assert archive is not None
        stands = archive.cursor()
        archive.cursor = lambda: min(DuckCursor.allowed, stands)  # type: ignore[method-assign]
        app = create_app(hub.hub, page=False)
        query = {"start": str(t[0]), "end": str(t[-1]), "as_of": str(stands)}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hub") as client:
            late = await client.get("/feed/snapshot", params=query | {"wait": "0.1"})
            assert (late.status_code, late.headers["Retry-After"]) == (503, "5")
            asking = asyncio.create_task(client.get("/feed/snapshot", params=query | {"wait": "20"}))
            await asyncio.sleep(0.15)
            assert not asking.done()
            DuckCursor.allowed = stands
            assert (await asking).status_code == 200
    finally:
        hub.close()


class DuckCursor:
    allowed = 0


async def test_latest_gives_every_stream_in_one_call(client: httpx.AsyncClient, filled: FilledHub) -> None:
    answer = (await client.get("/feed/latest")).json()
    archive = filled.hub.archive
    assert archive is not None
    assert len(answer["streams"]) == len(archive.streams()) > 20
    assert answer["as_of"] == filled.hub.changes.last
    (one,) = (await client.get(f"/feed/latest?platform=horsburgh&parameter={TEMPERATURE}")).json()["streams"]
    assert one["time_ns"] == filled.now_ns - 240 * SECOND
    assert one["unit"] == "degC"
    assert 28 < one["value"] < 31
    profile = next(s for s in answer["streams"] if s["parameter"] == "eastward_sea_water_velocity")
    assert profile["value"][18:] == [None, None]
    assert profile["reason"][18:] == ["not_given", "not_given"]
    assert len(profile["flag"]) == 20


async def test_the_docs_need_nothing_from_outside(client: httpx.AsyncClient) -> None:
    page = (await client.get("/docs")).text
    assert "http://" not in page.replace("http://hub", "")
    assert "https://" not in page
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert asset in page
        assert (await client.get(f"/static-offline-docs/{asset}")).status_code == 200
    schema = (await client.get("/openapi.json")).json()
    assert {"/health", "/platforms", "/feed/changes", "/feed/snapshot", "/feed/latest"} <= set(schema["paths"])
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            assert "422" not in operation["responses"], path
            assert operation["summary"]
            assert operation["description"]
            for parameter in operation.get("parameters", []):
                assert parameter.get("description") or parameter["in"] == "path", (path, parameter["name"])
