"""The page's tables, strips and map as HTML and SVG: pure functions of the view. All text of platforms is escaped."""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from html import escape

import numpy as np
import numpy.typing as npt

from central.view import Delay, HubView, InstrumentView, Overview, PlatformView, Word, health, span
from central.web.coast import Box, around, land
from tidegate.messages import Birth

_S = 1_000_000_000
_WIDTH, _HEIGHT = 372.0, 460.0

_GLYPHS: dict[Word, str] = {
    Word.RUN: '<circle cx="8" cy="8" r="5.5" fill="{c}"/>',
    Word.CATCHING_UP: (
        '<circle cx="8" cy="8" r="5.5" fill="none" stroke="{c}" stroke-width="2"/>'
        '<path d="M8 4.5V8l3 2" fill="none" stroke="{c}" stroke-width="2"/>'
    ),
    Word.LATE: '<path d="M8 1.5 15 14H1Z" fill="{c}"/>',
    Word.NEVER_HEARD: (
        '<circle cx="8" cy="8" r="5.5" fill="none" stroke="{c}" stroke-width="2" stroke-dasharray="2.6 2"/>'
    ),
    Word.QUARANTINED: '<path d="M8 1 15 8 8 15 1 8Z" fill="{c}"/>',
    Word.OFFLINE: '<rect x="2.5" y="2.5" width="11" height="11" fill="none" stroke="{c}" stroke-width="2"/>',
    Word.SILENT: '<path d="M3 3 13 13M13 3 3 13" stroke="{c}" stroke-width="3.4" stroke-linecap="round" fill="none"/>',
}  # fmt: skip

_FLAG_WORDS = {
    "pass": "pass", "not_evaluated": "not evaluated", "suspect": "suspect", "fail": "fail", "missing": "missing",
}  # fmt: skip


def glyph(word: Word) -> str:
    """The mark of a state: its own shape, and its colour."""
    return f'<svg class="glyph" viewBox="0 0 16 16" aria-hidden="true">{_GLYPHS[word].format(c=f"var(--{word})")}</svg>'


def word_html(word: Word) -> str:
    """Mark and word of a state."""
    return f'<span class="word" style="color:var(--{word})">{glyph(word)}{word}</span>'


# --- the overview ---


def strip(view: Overview) -> str:
    """Is the hub itself hearing; how many platforms are how; what is lost and what is still to come."""
    hub = view.hub
    hears = f"up since {clock(hub.started_ns)}" if hub.hearing else f"since {clock(hub.deaf_since_ns)}"
    hearing = (
        f'<b><span class="word" style="color:var(--run)">{glyph(Word.RUN)}hearing</span></b>'
        if hub.hearing
        else f'<b><span class="word" style="color:var(--silent)">{glyph(Word.SILENT)}not hearing</span></b>'
    )
    parts = [f"<div>{hearing}<span>{hears}</span></div>"]
    for word in Word:
        n = view.counts.get(word, 0)
        if n or word in (Word.SILENT, Word.LATE, Word.RUN):
            shown = f'<b style="color:var(--{word})">{n}</b>' if n else f"<b>{n}</b>"
            parts.append(f'<div>{shown}<span class="word" style="font-weight:400">{glyph(word)}{word}</span></div>')
    parts += [
        f"<div><b>{count(view.explained)}</b><span>Envelopes lost</span></div>",
        f"<div><b>{count(view.missing)}</b><span>still to come</span></div>",
        f"<div><b>{count(hub.unjudged)}</b><span>to be judged</span></div>",
    ]
    for f in hub.followers:
        behind = '<b style="color:var(--silent)">stopped</b>' if f.error else f"<b>{count(f.lag)}</b>"
        parts.append(f"<div>{behind}<span>{escape(f.name)} behind</span></div>")
    return f"<div>{''.join(parts)}</div>"


def banner(view: Overview) -> str:
    """The worst thing in a sentence: first what is wrong with the hub, then the worst platform."""
    wrong = health(view)
    if wrong:
        muted = "" if view.hub.hearing else f" Platforms are shown as of {clock(view.hub.deaf_since_ns)}."
        lines = "".join(f"<p>{escape(w)}.</p>" for w in wrong)
        return f'<div class="banner wrong">{glyph(Word.SILENT)}<div>{lines}<p>{muted}</p></div></div>'
    bad = [p for p in view.platforms if p.state is not Word.RUN]
    if not view.platforms:
        return '<div class="banner warn"><div><p>No platform has introduced itself yet.</p></div></div>'
    if not bad:
        runs = f"All {len(view.platforms)} platforms run."
        return f'<div class="banner well">{glyph(Word.RUN)}<div><p>{runs}</p></div></div>'
    worst = bad[0]
    kind = "wrong" if worst.state in (Word.SILENT, Word.OFFLINE, Word.QUARANTINED) else "warn"
    link = f'<a href="/platform/{worst.name}">{escape(worst.name)}</a>'
    reason = f": {escape(worst.reason)}" if worst.reason else ""
    return f'<div class="banner {kind}">{glyph(worst.state)}<div><p>{link} is {worst.state}{reason}.</p></div></div>'


def table(view: Overview) -> str:
    """All platforms, worst first."""
    now_ns = view.hub.now_ns if view.hub.deaf_since_ns is None else view.hub.deaf_since_ns
    body = "".join(_row(p, now_ns) for p in view.platforms)
    return (
        "<table><thead><tr><th>Platform</th><th>State</th><th class=n>Newest sample</th><th class=n>Received, 1 h</th>"
        "<th class=n>Gaps</th><th class=n>Delay, p99</th><th>QC, 1 h</th><th class=n>Problems</th></tr></thead>"
        f"<tbody>{body}</tbody></table>"
    )


def _row(p: PlatformView, now_ns: int) -> str:
    title = f"<small>{escape(p.title)}</small>" if p.title else ""
    since = f"<small>{since_text(p.since_ns, now_ns)}</small>" if p.state is not Word.RUN or p.since_ns else ""
    behind = max(p.instruments, key=lambda i: i.sample_age_intervals or 0.0, default=None)
    age = span(p.sample_age_s) if p.sample_age_s is not None else "–"
    cadence = (
        f"<small>{times(behind.sample_age_intervals)} its {span(behind.interval_s)}</small>"
        if behind and behind.interval_s and behind.sample_age_intervals is not None
        else ""
    )
    share = ""
    if p.expected:
        share = f"<small>of {count(p.expected)}, {min(100 * p.received / p.expected, 100):.0f}%</small>"
    gaps = " ".join(
        f"<small>{count(n)} {what}</small>" for n, what in ((p.missing, "to come"), (p.explained, "lost")) if n
    )
    problems = p.problems | {
        what: n for what, n in (("corrupt", p.corrupt), ("no birth", p.waiting), ("in quarantine", p.quarantined)) if n
    }
    worst = max(problems, key=lambda kind: problems[kind], default="")
    return (
        f'<tr data-platform="{escape(p.name)}" data-state="{p.state}">'
        f'<td><a class="row" href="/platform/{escape(p.name)}">{escape(p.name)}</a>{title}</td>'
        f"<td>{word_html(p.state)}{since}</td>"
        f'<td class=n data-head="newest">{age}{cadence}</td>'
        f'<td class=n data-head="received">{count(p.received) if p.instruments else "–"}{share}</td>'
        f'<td class=n data-head="gaps">{count(_gap_count(p))}{gaps}</td>'
        f'<td class=n data-head="p99">{_p99(p.delays.total)}</td>'
        f'<td data-head="QC">{mix(p.qc)}</td>'
        f'<td class=n data-head="problems">{count(sum(problems.values()))}'
        f"<small>{escape(worst.replace('_', ' '))}</small></td></tr>"
    )


def _gap_count(p: PlatformView) -> int:
    return len(p.gaps)


def mix(qc: Mapping[str, int]) -> str:
    """The share of each flag as a bar, and in words what is not a pass."""
    total = sum(qc.values())
    if not total:
        return "<small>–</small>"
    title = ", ".join(f"{_FLAG_WORDS[name]} {n} ({percent(n, total)})" for name, n in qc.items())
    bar = "".join(f'<i class="{name}" style="width:{100 * n / total:.2f}%"></i>' for name, n in qc.items())
    bad = [f"{percent(qc[name], total)} {_FLAG_WORDS[name]}" for name in ("fail", "suspect", "missing") if qc.get(name)]
    if not bad and qc.get("not_evaluated", 0) > total / 2:
        bad = ["not evaluated"]
    text = bad[0] if bad else "all pass" if not qc.get("not_evaluated") else f"{percent(qc.get('pass', 0), total)} pass"
    return f'<div class="mix" title="{title}" role="img" aria-label="{title}">{bar}</div><small>{text}</small>'


# --- the map ---


def map_box(platforms: Sequence[PlatformView]) -> Box:
    """The window that shows all platforms. It moves in steps, so that a ship under way seldom moves it."""
    places = np.array([p for p in map(_place, platforms) if p is not None], np.float64).reshape(-1, 2)
    return around(np.vstack([np.floor(places * 4) / 4, np.ceil(places * 4) / 4]), ratio=_WIDTH / _HEIGHT)


def marks(platforms: Sequence[PlatformView], box: Box) -> str:
    """All platforms that have a position, marked by their state against their own cadence."""
    placed = [p for p in platforms if _place(p) is not None]
    return f'<svg viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" aria-label="platforms">{_marks(placed, box)}</svg>'


def without_position(platforms: Sequence[PlatformView]) -> str:
    """Those that the map cannot show."""
    nowhere = [_link(p) for p in platforms if _place(p) is None]
    return f'<div class="key">no position: {", ".join(nowhere)}</div>' if nowhere else ""


def _place(p: PlatformView) -> tuple[float, float] | None:
    return None if p.latitude is None or p.longitude is None else (p.longitude, p.latitude)


@lru_cache(maxsize=8)
def ground(box: Box) -> str:
    """Land, graticule and scale of a box, as SVG of its own: it is most of the bytes, and seldom changes."""
    least = 1.2 * (box.east - box.west) / _WIDTH
    paths: list[str] = []
    for is_land, ring in land(box, least_deg=least):
        xy = np.round(_project(ring, box), 1)
        moved = np.append(True, (np.abs(np.diff(xy, axis=0)) >= 0.4).any(axis=1))
        xy = xy[moved]
        if len(xy) >= 3:
            line = "L".join(f"{x:g} {y:g}" for x, y in xy.tolist())
            paths.append(f'<path class="{"land" if is_land else "lake"}" d="M{line}Z"/>')
    step = _nice((box.north - box.south) / 3)
    lines = []
    for value in np.arange(math.ceil(box.west / step) * step, box.east, step).tolist():
        x = (value - box.west) / (box.east - box.west) * _WIDTH
        lines.append(f'<path class="grid" d="M{x:.1f} 0V{_HEIGHT:g}"/>')
        if 20 < x < _WIDTH - 30:
            lines.append(
                f'<text x="{x:.1f}" y="{_HEIGHT - 6:g}" text-anchor="middle">{_degrees(value, "E", "W")}</text>'
            )
    for value in np.arange(math.ceil(box.south / step) * step, box.north, step).tolist():
        y = (box.north - value) / (box.north - box.south) * _HEIGHT
        lines.append(f'<path class="grid" d="M0 {y:.1f}H{_WIDTH:g}"/>')
        if 12 < y < _HEIGHT - 24:
            lines.append(f'<text x="6" y="{y - 4:.1f}">{_degrees(value, "N", "S")}</text>')
    drawn = "".join([*paths, *lines, _scale(box)])
    return f'<svg viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" aria-hidden="true">{drawn}</svg>'


def _marks(placed: Sequence[PlatformView], box: Box) -> str:
    """Marks, the worst on top; a name where it fits beside its own mark and covers nothing."""
    xy = _project(np.array([_place(p) for p in placed], np.float64).reshape(-1, 2), box)
    taken = [(x - 8, y - 8, x + 8, y + 8) for x, y in xy.tolist()]
    drawn: list[str] = []
    for p, (x, y) in zip(placed, xy.tolist(), strict=True):
        width = 6.6 * len(p.name)
        label = ""
        for dx, dy, anchor, left in (
            (11, 4, "start", 11.0),
            (-11, 4, "end", -11 - width),
            (0, -11, "middle", -width / 2),
            (0, 20, "middle", -width / 2),
        ):
            area = (x + left, y + dy - 10, x + left + width, y + dy + 3)
            if area[0] < 2 or area[2] > _WIDTH - 2 or area[1] < 2 or area[3] > _HEIGHT - 18:
                continue
            if all(area[2] < a or area[0] > c or area[3] < b or area[1] > d for a, b, c, d in taken):
                taken.append(area)
                label = f'<text x="{x + dx:.1f}" y="{y + dy:.1f}" text-anchor="{anchor}">{escape(p.name)}</text>'
                break
        shape = _GLYPHS[p.state].format(c=f"var(--{p.state})")
        drawn.append(
            f'<a href="/platform/{escape(p.name)}"><title>{escape(p.name)}: {p.state}</title>'
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="9" fill="var(--card)" fill-opacity=".85"/>'
            f'<svg x="{x - 7:.1f}" y="{y - 7:.1f}" width="14" height="14" viewBox="0 0 16 16">{shape}</svg>{label}</a>'
        )
    return "".join(reversed(drawn))


def _scale(box: Box) -> str:
    squeeze = math.cos(math.radians(box.middle[1]))
    km_per_px = (box.east - box.west) * 111.2 * squeeze / _WIDTH
    length = _nice(km_per_px * 90)
    x = _WIDTH - 14
    return (
        f'<path class="bar" d="M{x - length / km_per_px:.1f} {_HEIGHT - 30:g}v5H{x:g}v-5"/>'
        f'<text x="{x:g}" y="{_HEIGHT - 36:g}" text-anchor="end">{length:g} km</text>'
    )


def _project(points: npt.NDArray[np.float64], box: Box) -> npt.NDArray[np.float64]:
    """Longitudes and latitudes to pixels, equirectangular: true to scale at the box's middle."""
    x = (points[:, 0] - box.west + 180.0) % 360.0 - 180.0 if box.east - box.west < 180.0 else points[:, 0] - box.west
    # What lies in the box is at most its own width from its west; modulo 360 finds it, wherever the date line is.
    x = np.where(x < -1e-9 - (box.east - box.west), x + 360.0, x)
    y = box.north - points[:, 1]
    return np.column_stack([x / (box.east - box.west) * _WIDTH, y / (box.north - box.south) * _HEIGHT])


def _nice(value: float) -> float:
    """1, 2 or 5 times a power of ten, at most `value`."""
    power = 10.0 ** math.floor(math.log10(value))
    return float(max(step for step in (1, 2, 5) if step * power <= value * 1.0000001) * power)


def _degrees(value: float, positive: str, negative: str) -> str:
    value = (value + 180.0) % 360.0 - 180.0 if positive == "E" else value
    return f"{abs(value):g}°{'' if abs(value) < 1e-9 else positive if value > 0 else negative}"


def key(words: Iterable[Word]) -> str:
    """What the marks mean."""
    shown = set(words)
    return '<div class="key">' + "".join(f"<span>{glyph(w)}{w}</span>" for w in Word if w in shown) + "</div>"


# --- one platform ---


def platform_head(p: PlatformView, hub: HubView) -> str:
    """Name, state, and why."""
    now_ns = hub.now_ns if hub.deaf_since_ns is None else hub.deaf_since_ns
    title = f'<span class="small">{escape(p.title)}</span>' if p.title else ""
    why = f' <span style="color:var(--ink-2)">{escape(p.reason)}</span>' if p.reason else ""
    since = since_text(p.since_ns, now_ns) if p.state is not Word.RUN or p.since_ns else ""
    return (
        f'<div class="top"><h1>{escape(p.name)}</h1>{title}</div>'
        f'<div style="margin:-8px 0 16px">{word_html(p.state)} <span class="small">{since}</span>{why}</div>'
    )


def instrument_head(i: InstrumentView) -> str:
    """One instrument in a line or two."""
    make = " ".join(part for part in (i.manufacturer, i.model) if part)
    serial = f", serial {escape(i.serial)}" if i.serial else ""
    cadence = (
        f"every {span(i.interval_s)}{' (as its samples show)' if i.interval_learned else ''}" if i.interval_s else ""
    )
    newest = f"newest {clock(i.last_sample_ns)}, {span(i.sample_age_s)} ago" if i.sample_age_s is not None else ""
    link = f"link {i.link}" if i.link else ""
    facts = " · ".join(part for part in (escape(make) + serial, cadence, newest, link) if part)
    return f'<h2>{escape(i.name)}</h2>{word_html(i.state)}<span class="small">{facts}</span>'


def instruments(p: PlatformView) -> str:
    """Instruments, worst first, with their problems and delays stage by stage."""
    rows = []
    for i in p.instruments:
        d = i.delays
        stages = (d.sample_to_made, d.made_to_received, d.received_to_journaled, d.journaled_to_processed, d.total)
        problems = ", ".join(f"{kind.replace('_', ' ')} {count(n)}" for kind, n in i.problems.items()) or "none"
        last = f"<small>{escape(i.last_problem)}</small>" if i.last_problem else ""
        received = f"{count(i.received)}" + (f" of {count(i.expected)}" if i.expected is not None else "")
        cells = "".join(f"<td class=n>{_both(stage)}</td>" for stage in stages)
        rows.append(
            f"<tr><td>{escape(i.name)}<small>{escape(i.driver)}</small></td><td class=n>{count(i.samples)}</td>"
            f"<td class=n>{received}</td>{cells}<td>{mix(i.qc)}</td><td class=wrap>{escape(problems)}{last}</td></tr>"
        )
    return (
        "<table><thead><tr><th>Instrument</th><th class=n>Samples</th><th class=n>Received, 1 h</th>"
        "<th class=n>Sample to Envelope</th><th class=n>to hub</th><th class=n>to disk</th><th class=n>to log</th>"
        "<th class=n>In all</th><th>QC, 1 h</th><th>Problems since its gateway started</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def gaps(p: PlatformView) -> str:
    """Envelopes that the hub does not have, and why."""
    if not p.gaps:
        return '<div class="note">None: the hub has every Envelope that the platform ever made.</div>'
    rows = "".join(
        f"<tr><td class=n>{count(g.first)}</td><td class=n>{count(g.last)}</td>"
        f"<td class=n>{count(g.last - g.first + 1)}</td>"
        f"<td>{'lost: ' + escape(g.reason) if g.reason else 'still to come'}</td></tr>"
        for g in p.gaps[:40]
    )
    more = (
        f'<div class="note">and {len(p.gaps) - 40} more: see /platforms/{escape(p.name)}</div>'
        if len(p.gaps) > 40
        else ""
    )
    return (
        "<table><thead><tr><th class=n>From Envelope</th><th class=n>to</th><th class=n>Envelopes</th>"
        "<th>Why</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>{more}"
    )


def silences(found: Sequence[tuple[str, int, int, float]], p: PlatformView) -> str:
    """Stretches (instrument, from ns, to ns, cadence s) in which no sample was taken, newest first."""
    if not found:
        return '<div class="note">No instrument missed a sample in the time shown.</div>'
    why = (
        "every Envelope of the platform is here or explained: the instrument gave nothing"
        if not p.missing and not p.explained
        else "may be in the Envelopes above"
    )
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td class=n>{clock(a)}</td><td class=n>{clock(b)}</td>"
        f"<td class=n>{span((b - a) / _S)}"
        f"<small>{max(round((b - a) / _S / cadence) - 1, 1)} samples</small></td><td class=wrap>{why}</td></tr>"
        for name, a, b, cadence in found[:30]
    )
    return (
        "<table><thead><tr><th>Instrument</th><th class=n>Last before</th><th class=n>First after</th>"
        f"<th class=n>Time</th><th>Why</th></tr></thead><tbody>{rows}</tbody></table>"
    )


def facts(p: PlatformView, birth: Birth | None) -> str:
    """What the platform says of itself."""
    place = ""
    if p.latitude is not None and p.longitude is not None:
        place = f"{_degrees(round(p.latitude, 4), 'N', 'S')} {_degrees(round(p.longitude, 4), 'E', 'W')}"
        place += f" at {clock(p.position_ns)}" if p.position_ns else ""
    online = {True: "online", False: "offline", None: "nothing yet"}[p.online]
    clocked = {True: "follows a reference", False: "free-running: its times may be wrong", None: "nobody said"}
    pairs = [
        ("it says", online),
        ("position", place or "unknown"),
        ("moves", "yes" if p.moving else "no"),
        ("clock", clocked[p.clock_disciplined]),
        ("software", p.software),
        ("boot", birth.boot if birth else ""),
        ("epoch of its spool", p.epoch),
        ("in its spool", f"{count(p.backlog)} Envelopes to come, {p.spool_bytes / 1e6:.1f} MB"),
        ("Envelopes here", count(p.envelopes)),
        ("Envelopes that came twice", count(p.duplicates)),
        ("samples of a taken time", count(p.repeated)),
        ("corrupt, misplaced", f"{count(p.corrupt)}, {count(p.misplaced)}"),
        ("births refused", count(p.refused_births)),
        ("wait for a birth", f"{count(p.waiting)} Frames"),
        ("in quarantine", count(p.quarantined)),
    ]
    for i in p.instruments:
        make = " ".join(part for part in (i.manufacturer, i.model, i.serial) if part)
        pairs.append((i.name, f"{make or 'nothing declared'}{f', driver {i.driver}' if i.driver else ''}"))
    return '<dl class="facts">' + "".join(f"<dt>{escape(a)}</dt><dd>{escape(b)}</dd>" for a, b in pairs) + "</dl>"


def flag_key() -> str:
    """What the marks in the traces mean."""
    marks = (
        ('<path d="M1 8H15" stroke="var(--trace)" stroke-width="2"/>', "1 pass"),
        ('<circle cx="8" cy="8" r="4" fill="none" stroke="var(--not_evaluated)" stroke-width="2"/>', "2 not evaluated"),
        ('<path d="M8 2 14 13H2Z" fill="var(--suspect)"/>', "3 suspect"),
        ('<path d="M8 1.5 14.5 8 8 14.5 1.5 8Z" fill="var(--fail)"/>', "4 fail"),
        ('<path d="M4 10v6M8 10v6M12 10v6" stroke="var(--ink-3)" stroke-width="2"/>', "9 missing"),
    )
    spans = "".join(f'<span><svg class="glyph" viewBox="0 0 16 16">{m}</svg>{escape(t)}</span>' for m, t in marks)
    return f'<div class="key" style="padding:0">{spans}</div>'


# --- words and numbers ---


def count(n: int) -> str:
    """A count with thin spaces between thousands."""
    return f"{n:,}".replace(",", "\u202f")


def times(n: float) -> str:
    """How many times, for people."""
    return f"{n:.1f} ×" if abs(n) < 10 else f"{count(round(n))} ×"


def percent(n: int, total: int) -> str:
    """A share; what is not nothing is never 0%, and what is not all is never 100%."""
    share = 100 * n / total
    if 0 < share < 0.1:
        return "&lt;0.1%"
    if 99.9 < share < 100:
        return "&gt;99.9%"
    return f"{share:.1f}%" if share < 10 else f"{share:.0f}%"


def clock(utc_ns: int | None) -> str:
    """A time in UTC: the day only where it is another than today, and of what is long ago only the day."""
    if utc_ns is None:
        return "–"
    at = datetime.fromtimestamp(utc_ns // _S, UTC)
    today = datetime.now(UTC).date()
    if at.date() == today:
        return f"{at:%H:%M:%S}Z"
    return f"{at:%Y-%m-%d %H:%M}Z" if (today - at.date()).days <= 2 else f"{at:%Y-%m-%d}"


def since_text(since_ns: int | None, now_ns: int) -> str:
    """Since when, and how long that is."""
    return "" if since_ns is None else f"since {clock(since_ns)}, {span(max((now_ns - since_ns) / _S, 0))}"


def _p99(delay: Delay | None) -> str:
    return "–" if delay is None else span(delay.p99_s)


def _both(delay: Delay | None) -> str:
    return "–" if delay is None else f"{span(delay.p50_s)}<small>{span(delay.p99_s)} p99</small>"


def _link(p: PlatformView) -> str:
    return f'<a href="/platform/{escape(p.name)}">{escape(p.name)}</a>'
