"""The data manager's page, in NiceGUI: mounted beside the API and made of the same view.

`/` has all platforms, worst first; `/platform/{name}` has one with its traces. Each open page has one timer, that sends
the browser only what has changed; drawing works on arrays, in threads, and never asks the archive more than once for
what memory does not hold.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np
from fastapi import FastAPI
from nicegui import run, ui

from central.store import Stream
from central.view import InstrumentView, PlatformView, Views, span
from central.web import charts, drawing
from central.web.history import Track, archived, nothing, tracks
from central.web.tides import LEVEL, GaugeTide, Tides
from central.web.window import Recent
from tidegate.frame import Field, Schema
from tidegate.vocabulary import PARAMETERS

_OVERVIEW_S = 5.0
_PLATFORM_S = 3.0
_PROFILE_S = 15.0
_TIDE_S = 120.0
_CONNECT_S = 60.0
_ARCHIVE_S = 60.0
_TRACES = 6  # of one kind of sample, drawn at once
_RANGES = (("15 min", 900), ("1 h", 3600), ("6 h", 6 * 3600), ("24 h", 86_400))
_EAST, _NORTH = "eastward_sea_water_velocity", "northward_sea_water_velocity"

_HEAD = """
<style>{css}</style>
<script>
  window.tg = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => location.reload());
</script>
"""

_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#0b5cad"/>'
    '<path d="M5 20c4 0 4-7 8-7s4 7 8 7 4-7 7-7" fill="none" stroke="#fff" stroke-width="3" stroke-linecap="round"/>'
    "</svg>"
)


def mount(app: FastAPI, views: Views) -> None:
    """Put the page at `/` of the application. Once in a process."""
    head = _HEAD.format(css=files("central.web").joinpath("page.css").read_text())
    tides = Tides()

    @ui.page("/", title="Tidegate")
    async def overview() -> None:
        ui.add_head_html(head)
        await _overview(views)

    @ui.page("/platform/{name}")
    async def platform(name: str) -> None:
        ui.page_title(f"{name} · Tidegate")
        ui.add_head_html(head)
        await _Platform(views, tides, name).show()

    ui.run_with(app, title="Tidegate", dark=None, tailwind=False, favicon=_ICON, show_welcome_message=False)


def _html(classes: str = "") -> ui.html:
    return ui.html("", sanitize=False).classes(classes)


def _set(element: ui.html, content: str) -> None:
    """Send only what has changed."""
    if element.content != content:
        element.content = content


def _top(hub: str, *, back: bool) -> None:
    home = '<a href="/">‹ all platforms</a>' if back else "<h1>Tidegate</h1>"
    ui.html(
        f'<div class="top">{home}<span class="small">{escape(hub)}</span><span class="right small">'
        '<a href="/docs">feed and API</a><a href="/platforms">JSON</a><span>all times UTC</span></span></div>',
        sanitize=False,
    )


async def _overview(views: Views) -> None:
    with ui.element("main").classes("sheet"):
        _top(f"hub {views.hub.name}", back=False)
        strip = _html("strip card")
        banner = _html()
        with ui.element("div").classes("split"):
            table = _html("card rows scroll")
            with ui.element("div").classes("card map"):
                with ui.element("div").style("position: relative"):
                    ground = _html("ground")
                    marks = _html("marks")
                key = _html()

    async def refresh() -> None:
        view = await run.io_bound(views.now)
        if view is None:  # the server is stopping
            return
        box = drawing.map_box(view.platforms)
        _set(strip, drawing.strip(view))
        _set(banner, drawing.banner(view))
        _set(table, drawing.table(view))
        _set(ground, await run.io_bound(drawing.ground, box) or "")
        _set(marks, drawing.marks(view.platforms, box))
        _set(key, drawing.key(p.state for p in view.platforms) + drawing.without_position(view.platforms))

    await refresh()
    ui.timer(_OVERVIEW_S, refresh)


@dataclass(eq=False)
class _Chart:
    """One chart on the page: how to make its options, and what it was made of last."""

    element: ui.echart
    now: ui.html | None
    of: tuple[str, bytes]
    make: Callable[[dict[str, Track], int, int], tuple[dict[str, Any] | None, str]]
    least_s: float = 0.0
    key: Any = None
    drawn_s: float = float("-inf")


_Data = dict[tuple[str, bytes], tuple[Schema, dict[str, Track]]]
"""By instrument and schema."""


class _Platform:
    """The page of one platform, for one browser."""

    def __init__(self, views: Views, tides: Tides, name: str) -> None:
        self._views, self._tides, self._name = views, tides, name
        self._range_s = 0
        self._charts: list[_Chart] = []
        self._shape: set[tuple[str, bytes]] = set()
        self._profile: dict[tuple[str, bytes], str] = {}
        self._opened: set[tuple[str, bytes]] = set()
        self._older: dict[tuple[str, bytes], tuple[tuple[int, ...], dict[str, Track]]] = {}
        self._heads: dict[str, ui.html] = {}
        self._tide_charts: list[tuple[str, ui.html, ui.element, ui.echart, ui.echart]] = []
        self._tide_s = float("-inf")

    async def show(self) -> None:
        """Build the page, and keep it fresh."""
        p = await self._find()
        with ui.element("main").classes("sheet"):
            _top("", back=True)
            if p is None:
                ui.html(
                    f'<div class="card note">Nothing was ever heard of a platform {escape(repr(self._name))}.'
                    ' <a href="/">All platforms</a></div>',
                    sanitize=False,
                )  # fmt: skip
                return
            begins_ns = [self._views.window.oldest_ns(p.name, i.name) for i in p.instruments]
            self._range_s = _first_range_s(p, begins_ns, self._views.clock_ns())
            self._head = _html()
            with ui.element("div").style("display:flex;gap:12px 24px;flex-wrap:wrap;align-items:center"):
                self._segment = ui.element("div").classes("seg")
                self._ranges()
                ui.html(drawing.flag_key(), sanitize=False)
            self._body = ui.element("div")
            with ui.element("div").classes("section"):
                ui.html('<div class="head"><h2>Instruments</h2></div>', sanitize=False)
                self._instruments = _html("card scroll")
            with ui.element("div").classes("section cols"):
                with ui.element("div"):
                    ui.html(
                        '<div class="head"><h2>Gaps</h2><span class="small">Envelopes that are not here</span></div>',
                        sanitize=False,
                    )
                    self._gaps = _html("card scroll")
                    ui.html(
                        '<div class="head" style="margin:20px 0 10px"><h2>Silences</h2>'
                        '<span class="small">no sample was taken, newest first</span></div>',
                        sanitize=False,
                    )
                    self._silences = _html("card scroll")
                with ui.element("div"):
                    ui.html('<div class="head"><h2>Platform</h2></div>', sanitize=False)
                    self._facts = _html("card")
            _set(self._head, drawing.platform_head(p, self._views.now().hub))
        # A station of many profilers takes seconds to read; meanwhile the browser shows whose page this is.
        try:
            await ui.context.client.connected(timeout=_CONNECT_S)
        except TimeoutError:
            return
        await self._refresh()
        ui.timer(_PLATFORM_S, self._refresh)

    async def _find(self) -> PlatformView | None:
        view = await run.io_bound(self._views.now)
        return next((p for p in view.platforms if p.name == self._name), None) if view is not None else None

    def _ranges(self) -> None:
        self._segment.clear()
        with self._segment:
            for label, seconds in _RANGES:
                link = ui.element("a").classes("on" if seconds == self._range_s else "").props("role=button tabindex=0")
                with link:
                    ui.html(label, sanitize=False, tag="span")
                link.on("click", lambda _, s=seconds: self._choose(s))

    async def _choose(self, seconds: int) -> None:
        self._range_s = seconds
        self._ranges()
        await self._refresh()

    async def _refresh(self) -> None:
        p = await self._find()
        if p is None:
            return
        now_ns = self._views.clock_ns()
        known = self._views.hub.registry.platform(self._name)
        hub = self._views.now().hub
        _set(self._head, drawing.platform_head(p, hub))
        for i in p.instruments:
            if i.name in self._heads:
                _set(self._heads[i.name], drawing.instrument_head(i))
        _set(self._instruments, drawing.instruments(p))
        _set(self._gaps, drawing.gaps(p))
        _set(self._facts, drawing.facts(p, known.birth if known else None))
        start_ns = now_ns - self._range_s * 1_000_000_000
        data: _Data = {}
        for i in p.instruments:
            for schema, own in await run.io_bound(self._load, i.name, start_ns) or []:
                data[i.name, schema.id] = schema, own
        _set(self._silences, drawing.silences(self._silent(p, data), p))
        # What has fallen silent within the time shown keeps its charts.
        if not self._charts or not set(data) <= self._shape:
            self._shape = set(data)
            self._build(p, data)
        await self._draw(data, start_ns, now_ns)
        await self._draw_tides(now_ns)

    def _load(self, instrument: str, start_ns: int) -> list[tuple[Schema, dict[str, Track]]]:
        """Tracks of an instrument, schema by schema; what memory does not hold is read from the archive once a minute
        at most."""
        now_ns = self._views.clock_ns()
        archive = self._views.hub.archive
        found = []
        held = self._views.window.recent(self._name, instrument)
        shown = [recent for recent in held if len(recent.time) and recent.time[-1] >= start_ns]
        for recent in shown or held or self._declared(instrument):
            older: dict[str, Track] = {}
            begins_ns = int(recent.time[0]) if len(recent.time) else now_ns
            if archive is not None and begins_ns > start_ns:
                which = instrument, recent.schema.id
                key = (self._range_s, begins_ns if len(recent.time) else 0, int(time.monotonic() / _ARCHIVE_S))
                if self._older.get(which, ((), {}))[0] != key:
                    older = archived(archive, self._name, instrument, recent.schema, start_ns, begins_ns)
                    self._older[which] = key, older
                older = self._older[which][1]
            found.append((recent.schema, tracks(recent, older, start_ns)))
        return found

    def _declared(self, instrument: str) -> list[Recent]:
        """No samples, in the schema that was declared last: the archive may have some from before the hub started."""
        known = self._views.hub.registry.platform(self._name)
        birth = known.instruments[instrument].birth if known and instrument in known.instruments else None
        return [nothing(Schema.from_dict(birth.schemas[-1]))] if birth and birth.schemas else []

    # --- building ---

    def _build(self, p: PlatformView, data: _Data) -> None:
        self._body.clear()
        self._charts, self._tide_charts, self._heads = [], [], {}
        with self._body:
            for i in p.instruments:
                with ui.element("div").classes("section"):
                    self._heads[i.name] = _html("head")
                    _set(self._heads[i.name], drawing.instrument_head(i))
                    schemas = [schema for (name, _), (schema, _) in data.items() if name == i.name]
                    if not schemas:
                        ui.html(
                            '<div class="card note">Nothing that could be drawn has come of it.</div>', sanitize=False
                        )
                        continue
                    for schema in schemas:
                        if len(schemas) > 1:
                            said = schema.kind.replace("_", " ")
                            ui.html(f'<div class="label"><b>{escape(said)}</b></div>', sanitize=False)
                        self._build_schema(i, schema)

    def _build_schema(self, i: InstrumentView, schema: Schema) -> None:
        if any(f.name == LEVEL and not f.profile for f in schema.fields):
            self._build_tide(i)
        if schema.cells is not None:
            self._build_profile(i, schema)
        scalars = sorted((f for f in schema.fields if not f.profile), key=_is_ours)
        most = len(scalars) if len(scalars) <= _TRACES + 2 else _TRACES
        with ui.element("div").classes("charts").style("margin-bottom:12px"):
            for f in scalars[:most]:
                self._build_trace(i, schema, f)
        if scalars[most:]:
            self._build_more(i, schema, scalars[most:])

    def _build_more(self, i: InstrumentView, schema: Schema, fields: list[Field]) -> None:
        """The traces that few look at, made when somebody does: an ADCP's housekeeping is forty charts."""
        with ui.expansion(f"{len(fields)} more").classes("more") as more:
            holder = ui.element("div").classes("charts").style("width:100%")
        key = (i.name, schema.id)

        async def open_or_close() -> None:
            if more.value:
                self._opened.add(key)
                with holder:
                    for f in fields:
                        self._build_trace(i, schema, f)
                await self._refresh()
            else:
                self._opened.discard(key)
                gone = set(holder.descendants())
                self._charts = [chart for chart in self._charts if chart.element not in gone]
                holder.clear()

        more.on_value_change(open_or_close)
        if key in self._opened:
            more.open()

    def _card(self, label: str, unit: str, plot: str) -> tuple[ui.echart, ui.html]:
        with ui.element("div").classes("card chart"):
            with ui.element("div").classes("label"):
                shown = "" if unit == "1" else f' <span class="small">{escape(unit)}</span>'
                ui.html(f"<span><b>{escape(label)}</b>{shown}</span>", sanitize=False)
                now = _html("now")
            return ui.echart({"series": []}).classes(f"plot {plot}"), now

    def _build_trace(self, i: InstrumentView, schema: Schema, f: Field) -> None:
        element, now = self._card(_label(f.name), f.unit, "")

        def make(data: dict[str, Track], start_ns: int, end_ns: int) -> tuple[dict[str, Any] | None, str]:
            track = data[f.name]
            options = charts.trace(
                track.time, track.values, track.flags, decimals=f.decimals, interval_s=i.interval_s,
                start_ns=start_ns, end_ns=end_ns,
            )  # fmt: skip
            return options, _newest(track, f)

        self._charts.append(_Chart(element, now, (i.name, schema.id), make))

    def _build_profile(self, i: InstrumentView, schema: Schema) -> None:
        profiles = {f.name: f for f in schema.fields if f.profile}
        cells = schema.cells
        if not profiles or cells is None:
            return
        both = _EAST in profiles and _NORTH in profiles
        choices = {"speed": "Current speed"} if both else {}
        choices |= {name: _label(name) for name in profiles}
        own = (i.name, schema.id)
        chosen = self._profile.setdefault(own, next(iter(choices)))

        def values(data: dict[str, Track], name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
            if name == "speed":
                return np.hypot(data[_EAST].values, data[_NORTH].values)
            return data[name].values

        def heat(data: dict[str, Track], start_ns: int, end_ns: int) -> tuple[dict[str, Any] | None, str]:
            name = self._profile[own]
            f = profiles[_EAST if name == "speed" else name]
            track = data[f.name]
            shown = values(data, name)
            usable = data[f.name].flags != 4
            signed = name != "speed" and bool(np.nanmin(shown, initial=0.0) < 0)
            failed = int(np.count_nonzero(~usable & np.isfinite(shown)))
            options = charts.heat(
                track.time, np.where(usable, shown, np.nan), cells, signed=signed, interval_s=i.interval_s,
                start_ns=start_ns, end_ns=end_ns,
            )  # fmt: skip
            return options, f'<span class="small">{failed} failed values left out</span>' if failed else ""

        def latest(data: dict[str, Track], start_ns: int, end_ns: int) -> tuple[dict[str, Any] | None, str]:
            name = self._profile[own]
            f = profiles[_EAST if name == "speed" else name]
            if not len(data[f.name].time):
                return None, ""
            colours = ("--trace", "--trace-2", "--ink-2")
            names = ("speed", _EAST, _NORTH) if both and name in ("speed", _EAST, _NORTH) else (name,)
            lines = [
                (_short(n), colour, values(data, n)[-1].astype(np.float64))
                for n, colour in zip(names, colours, strict=False)
            ]
            taken = drawing.clock(int(data[f.name].time[-1]))
            return charts.profile(lines, cells), f'<span class="small">{taken}</span>'

        looks = {True: "looking up", False: "looking down", None: ""}[cells.upward]
        with ui.element("div").classes("label").style("display:flex;gap:16px;align-items:center;margin-bottom:10px"):
            select = ui.select(choices, value=chosen).props("dense outlined options-dense").style("min-width:220px")
            ui.html(
                f'<span class="small">{cells.count} cells of {cells.size_m:g} m, the first at {cells.first_m:g} m'
                f"{', ' + looks if looks else ''}</span>",
                sanitize=False,
            )  # fmt: skip
        with ui.element("div").classes("charts profile").style("margin-bottom:12px"):
            units = next(iter(profiles.values())).unit
            element, now = self._card("Profile against time", units, "tall")
            self._charts.append(_Chart(element, now, own, heat, _PROFILE_S))
            element, now = self._card("Newest profile", units, "tall")
            self._charts.append(_Chart(element, now, own, latest))

        async def choose() -> None:
            self._profile[own] = str(select.value)
            for chart in self._charts:
                if chart.of == own:
                    chart.key, chart.drawn_s = None, float("-inf")
            await self._refresh()

        select.on_value_change(choose)

    def _build_tide(self, i: InstrumentView) -> None:
        note = _html("small")
        note.style("margin-bottom:10px")
        holder = ui.element("div").classes("charts one").style("margin-bottom:12px")
        with holder:
            level, _ = self._card("Tide: observed and predicted", "m", "tall")
            rest, _ = self._card("Residual: observed minus predicted", "m", "low")
        holder.set_visibility(False)
        self._tide_charts.append((i.name, note, holder, level, rest))
        self._tide_s = float("-inf")

    # --- drawing ---

    async def _draw(self, data: _Data, start_ns: int, now_ns: int) -> None:
        step = max(self._range_s * 1_000_000_000 // 240, 1)
        for chart in self._charts:
            if chart.of not in data or time.monotonic() - chart.drawn_s < chart.least_s:
                continue
            schema, own = data[chart.of]
            key = (self._range_s, now_ns // step, self._views.window.version(self._name, chart.of[0], schema))
            if key == chart.key:
                continue
            options, now = chart.make(own, start_ns, now_ns)
            chart.key, chart.drawn_s = key, time.monotonic()
            if options is not None:
                chart.element.options.clear()
                chart.element.options.update(options)
            if chart.now is not None:
                _set(chart.now, now)

    async def _draw_tides(self, now_ns: int) -> None:
        archive = self._views.hub.archive
        if archive is None or not self._tide_charts or time.monotonic() - self._tide_s < _TIDE_S:
            return
        self._tide_s = time.monotonic()
        positions = {
            each.name: (each.latitude, each.longitude)
            for each in self._views.now().platforms
            if not each.moving and each.latitude is not None and each.longitude is not None
        }
        for instrument, note, holder, level, rest in self._tide_charts:
            stream = Stream(self._name, instrument, LEVEL)
            tide = await run.io_bound(self._tides.of, archive, stream, positions, now_ns)
            if tide is None:
                return
            _set(note, _tide_note(tide, now_ns))
            holder.set_visibility(bool(len(tide.predicted)))
            if len(tide.predicted):
                options = charts.tide(
                    tide.time, tide.observed, tide.predicted_time, tide.predicted, now_ns=now_ns
                )  # fmt: skip
                for element, new in zip((level, rest), options, strict=True):
                    element.options.clear()
                    element.options.update(new)

    def _silent(self, p: PlatformView, data: _Data) -> list[tuple[str, int, int, float]]:
        """Stretches without samples in the time shown, newest first."""
        found = []
        cadences_s = {i.name: i.interval_s for i in p.instruments}
        for (name, _), (schema, own) in data.items():
            interval_s = self._views.window.cadence_s(self._name, name, schema) or cadences_s.get(name)
            if not interval_s or not own:
                continue
            at = next(iter(own.values())).time
            long = np.flatnonzero(np.diff(at) > max(1.5 * interval_s, interval_s + 2) * 1e9)
            found += [(name, int(at[k]), int(at[k + 1]), interval_s) for k in long.tolist()]
        return sorted(found, key=lambda gap: -gap[1])


def _first_range_s(p: PlatformView, begins_ns: Sequence[int | None], now_ns: int) -> int:
    """The range that a page opens with: an hour of what is fast and six of what is slow; less where there is no more
    yet, and as far back as the newest sample is."""
    range_s = 3600.0 if any((i.interval_s or 1e9) < 30 for i in p.instruments) else 6 * 3600.0
    held_s = max(((now_ns - begins) / 1e9 for begins in begins_ns if begins is not None), default=range_s)
    ages = [i.sample_age_s for i in p.instruments if i.sample_age_s is not None]
    wanted_s = max(min(range_s, held_s), 2 * min(ages, default=0.0))
    return next((seconds for _, seconds in _RANGES if seconds >= wanted_s), _RANGES[-1][1])


def _tide_note(tide: GaugeTide, now_ns: int) -> str:
    turns = ""
    if tide.turns is not None:
        ahead = [
            f"{'high' if kind > 0 else 'low'} water {level:.2f} m at {charts.hour_minute(at)}Z,"
            f" in {span((at - now_ns) / 1e9)}"
            for at, level, kind in zip(
                tide.turns.time_ns.tolist(), tide.turns.level.tolist(), tide.turns.kind.tolist(), strict=True
            )
            if at > now_ns
        ][:2]
        turns = " Next: " + "; ".join(ahead) + "." if ahead else ""
    return escape(tide.note + turns)


def _newest(track: Track, f: Field) -> str:
    if not len(track.time):
        return ""
    value, flag = float(track.values[-1]), int(track.flags[-1])
    colour = {3: "var(--suspect)", 4: "var(--fail)"}.get(flag, "inherit")
    words = {3: " suspect", 4: " fail"}.get(flag, "")
    shown = f"{value:.{f.decimals}f}" if np.isfinite(value) else "missing"
    return f'<span style="color:{colour}">{shown}<span class="small">{words}</span></span>'


def _label(name: str) -> str:
    known = PARAMETERS.get(name)
    return known.label if known else name.replace("_", " ")


def _is_ours(f: Field) -> bool:
    """Whether CF has no name for it: mostly an instrument's housekeeping."""
    known = PARAMETERS.get(f.name)
    return known is None or known.standard_name is None


def _short(name: str) -> str:
    return {_EAST: "east", _NORTH: "north"}.get(name, _label(name) if name != "speed" else "speed")
