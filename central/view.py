"""How everything does, in one place: what the API tells and the page shows is made here, and nowhere judged again.

Each instrument is judged against its own cadence, the interval that its gateway declares (or, where nobody said, the
one that its samples show), never against fixed hours. A platform is as well as the worst of its instruments, and the
worst platform comes first. While the hub itself hears nothing, nobody is called silent for it: everything is judged as
of the moment when it last heard.

    run          samples come as they should
    catching-up  samples come, and there are older ones that are still to come
    late         nothing for `LATE` intervals (and at least `LATE_S` beyond one)
    never-heard  it was declared, and no sample of it ever came
    quarantined  what comes of it cannot be used: no birth describes it, or it cannot be decoded
    offline      the platform said good-bye, or the broker said that its link broke
    silent       nothing for `SILENT` intervals (and at least `SILENT_S`), though the platform says it is online
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from central.changes import ChangeLog, Flag
from central.followers import Standing
from central.ledger import Book, Ledger
from central.quarantine import Quarantine
from central.registry import Instrument, Platform, Registry
from central.store.duckdb import DuckDBStore
from central.web.window import Recent, Window

LATE = 3.0
LATE_S = 15.0
SILENT = 10.0
SILENT_S = 60.0
CATCHING_UP = 64
"""Envelopes of backlog above which a platform is catching up: what a gateway has in flight at a time is no backlog."""
RECENT_S = 3600.0
"""QC mix, delays and counts against expectation are of the samples of this time."""
_MOST_GAPS = 200

_S = 1_000_000_000


class Word(StrEnum):
    """The state of a platform or instrument, in a word. Worst first."""

    SILENT = "silent"
    OFFLINE = "offline"
    QUARANTINED = "quarantined"
    NEVER_HEARD = "never-heard"
    LATE = "late"
    CATCHING_UP = "catching-up"
    RUN = "run"


_RANK = {word: rank for rank, word in enumerate(Word)}
FLAG_NAMES = {
    Flag.PASS: "pass",
    Flag.NOT_EVALUATED: "not_evaluated",
    Flag.SUSPECT: "suspect",
    Flag.FAIL: "fail",
    Flag.MISSING: "missing",
}


class Hub(Protocol):
    """What API and page need of the hub."""

    name: str
    started_ns: int
    changes: ChangeLog
    registry: Registry
    ledger: Ledger
    quarantine: Quarantine

    @property
    def archive(self) -> DuckDBStore | None:
        """The store that comes with the hub; None where there is none."""
        ...

    @property
    def broker_since_ns(self) -> int | None:
        """Since when there is a connection to the broker; None while there is none."""
        ...

    @property
    def troubles(self) -> Sequence[str]:
        """What is wrong with the hub itself, each with its remedy; empty where all is well."""
        ...

    @property
    def unjudged(self) -> int:
        """Records of the journal that are not in the change log yet."""
        ...

    @property
    def refused(self) -> int:
        """Messages let go because the disk was too slow for them; their gateways send them again."""
        ...

    def waiting(self) -> Mapping[tuple[str, str], int]:
        """Frames that no birth describes yet, by platform and instrument."""
        ...

    def repeated(self) -> Mapping[str, int]:
        """Samples by platform that came at a time that was taken already, or without one, since the start."""
        ...

    def followers(self) -> Sequence[Standing]:
        """All views of the change log."""
        ...


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class Delay(_Model):
    """How long a stage takes, over the samples that came in the last hour."""

    p50_s: float = Field(description="half of the samples took less, seconds")
    p99_s: float = Field(description="99 of 100 samples took less, seconds")


class Delays(_Model):
    """The way from the instrument to the change log, stage by stage; null where no sample came in the last hour."""

    sample_to_made: Delay | None = Field(
        default=None, description="from the sample's time until its gateway closed the Envelope"
    )
    made_to_received: Delay | None = Field(default=None, description="until the hub received it")
    received_to_journaled: Delay | None = Field(default=None, description="until it was on the hub's disk")
    journaled_to_processed: Delay | None = Field(default=None, description="until it was judged and in the change log")
    total: Delay | None = Field(default=None, description="from the sample's time until it was in the change log")


class Gap(_Model):
    """Envelopes of a platform that the hub does not have."""

    epoch: str = Field(description="the identity of the platform's spool")
    first: int = Field(description="sequence number of the first Envelope")
    last: int = Field(description="sequence number of the last Envelope")
    reason: str = Field(description="why they will not come; empty for those that are still to come")


class InstrumentView(_Model):
    """How one instrument does."""

    name: str = Field(examples=["ctd-1"])
    state: Word
    since_ns: int | None = Field(description="since when, UTC nanoseconds; null where nobody knows")
    reason: str = Field(description="why it is in this state, in a sentence; empty for run")
    kind: str = Field(description="ctd, adcp, tide_gauge, navigation, …", examples=["ctd"])
    driver: str
    manufacturer: str
    model: str
    serial: str
    interval_s: float | None = Field(description="how far apart its samples are meant to be; null where nobody knows")
    interval_learned: bool = Field(description="true where nobody declared it, and its samples show it")
    link: str = Field(description="what its gateway says of the link: up, down, stale, starting; empty: nothing said")
    last_sample_ns: int | None = Field(description="time of the newest sample, UTC nanoseconds")
    sample_age_s: float | None = Field(description="how old the newest sample is")
    sample_age_intervals: float | None = Field(description="the same, in intervals of its own cadence")
    last_arrival_ns: int | None = Field(description="when something of it last arrived, UTC nanoseconds")
    arrival_age_s: float | None = Field(description="how long ago something of it last arrived")
    arrival_age_intervals: float | None = Field(description="the same, in intervals of its own cadence")
    samples: int = Field(description="samples that the hub has ever had of it")
    received: int = Field(description="samples of the last hour that are here (of less, where it began later)")
    expected: int | None = Field(
        description="samples that the same time should have; null where the cadence is unknown"
    )
    qc: dict[str, int] = Field(description="values of the last hour by flag", examples=[{"pass": 1437, "suspect": 3}])
    problems: dict[str, int] = Field(description="problems that its gateway had with it since it started, by kind")
    last_problem: str
    waiting: int = Field(description="Frames that wait for a birth to describe them")
    quarantined: int = Field(description="messages and Frames that could not be used, kept as evidence")
    delays: Delays


class PlatformView(_Model):
    """How one platform does."""

    name: str = Field(examples=["quay-3"])
    title: str
    state: Word
    since_ns: int | None = Field(description="since when, UTC nanoseconds; null where nobody knows")
    reason: str = Field(description="why it is in this state, in a sentence; empty for run")
    latitude: float | None
    longitude: float | None
    position_ns: int | None = Field(description="when it was there; null for a platform that stays")
    moving: bool
    online: bool | None = Field(description="what the platform (or the broker for it) said last; null: nothing yet")
    clock_disciplined: bool | None = Field(description="whether its clock followed a reference when it said so last")
    software: str
    epoch: str = Field(description="the identity of its spool")
    backlog: int = Field(description="Envelopes in its spool that the hub has not acknowledged, as it said last")
    spool_bytes: int
    envelopes: int = Field(description="Envelopes that the hub has, of all epochs")
    missing: int = Field(description="Envelopes known to have been made that are neither here nor explained")
    explained: int = Field(description="Envelopes that will not come, for a stated reason")
    gaps: list[Gap] = Field(description=f"the {_MOST_GAPS} newest of those, open ones first")
    duplicates: int = Field(description="Envelopes that came again, and were dropped")
    repeated: int = Field(description="samples that came at a time that was taken already, or without one")
    corrupt: int = Field(description="messages that could not be read")
    misplaced: int = Field(description="Envelopes under another platform's topic")
    refused_births: int
    waiting: int = Field(description="Frames that wait for a birth to describe them")
    quarantined: int = Field(description="messages and Frames that could not be used, kept as evidence")
    samples: int
    received: int = Field(description="samples of the last hour that are here, of all instruments")
    expected: int | None
    sample_age_s: float | None = Field(description="of the instrument that is farthest behind its own cadence")
    sample_age_intervals: float | None
    qc: dict[str, int]
    problems: dict[str, int]
    delays: Delays = Field(description="of the slowest instrument")
    instruments: list[InstrumentView] = Field(description="worst first")


class FollowerView(_Model):
    """One view of the change log: a store, a publisher."""

    name: str
    cursor: int
    lag: int = Field(description="how many changes it is behind at most")
    error: str
    since_ns: int | None
    refused: int
    delay_p50_s: float | None = Field(description="half of the newest samples were in it so long after their arrival")
    delay_p99_s: float | None = Field(description="99 of 100 of them")


class HubView(_Model):
    """How the hub itself does."""

    name: str
    started_ns: int
    now_ns: int
    hearing: bool = Field(description="whether there is a connection to the broker")
    deaf_since_ns: int | None = Field(description="since when there has been none")
    troubles: list[str] = Field(description="what is wrong with the hub itself, each with its remedy")
    cursor: int = Field(description="the newest change")
    unjudged: int = Field(description="messages on disk that are not judged yet")
    refused: int = Field(description="messages let go because the disk was too slow; gateways send them again")
    quarantined: int
    followers: list[FollowerView]


class Overview(_Model):
    """Everything, worst first."""

    hub: HubView
    counts: dict[str, int] = Field(description="platforms by state", examples=[{"silent": 1, "run": 11}])
    missing: int = Field(description="Envelopes that are neither here nor explained, of all platforms")
    explained: int = Field(description="Envelopes that will not come, for a stated reason")
    backlog: int
    platforms: list[PlatformView]


def overview(hub: Hub, window: Window, now_ns: int) -> Overview:
    """How everything does at `now_ns`."""
    platforms = hub.registry.platforms()
    since_ns = hub.broker_since_ns
    deaf_ns = None if since_ns is not None else _last_heard_ns(platforms, hub.started_ns)
    judged_ns = now_ns if deaf_ns is None else deaf_ns
    waiting = hub.waiting()
    quarantined: Counter[tuple[str, str]] = Counter()
    for (platform, instrument, _), count in hub.quarantine.counts().items():
        quarantined[platform, instrument] += count
    empty, repeated = Book(), hub.repeated()
    views = [
        _platform(
            p,
            hub.ledger.books.get(p.name, empty),
            window,
            {i: n for (name, i), n in waiting.items() if name == p.name},
            {i: n for (name, i), n in quarantined.items() if name == p.name},
            repeated.get(p.name, 0),
            judged_ns,
        )
        for p in platforms
    ]
    views.sort(key=lambda v: (_RANK[v.state], -(v.sample_age_intervals or 0.0), v.name))
    last = hub.changes.last
    return Overview(
        hub=HubView(
            name=hub.name,
            started_ns=hub.started_ns,
            now_ns=now_ns,
            hearing=since_ns is not None,
            deaf_since_ns=deaf_ns,
            troubles=list(hub.troubles),
            cursor=last,
            unjudged=hub.unjudged,
            refused=hub.refused,
            quarantined=sum(quarantined.values()),
            followers=[
                FollowerView(
                    name=f.name,
                    cursor=f.cursor,
                    lag=f.lag,
                    error=f.error,
                    since_ns=f.since_ns,
                    refused=f.refused,
                    delay_p50_s=f.delay_p50_s,
                    delay_p99_s=f.delay_p99_s,
                )
                for f in hub.followers()
            ],
        ),
        counts=dict(Counter(str(v.state) for v in views)),
        missing=sum(v.missing for v in views),
        explained=sum(v.explained for v in views),
        backlog=sum(v.backlog for v in views),
        platforms=views,
    )


class Views:
    """The overview, made at most once a second however many ask for it."""

    def __init__(self, hub: Hub, window: Window, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self.hub, self.window = hub, window
        self.clock_ns = clock_ns
        self._lock = threading.Lock()
        self._last: Overview | None = None
        self._made_s = float("-inf")

    def now(self) -> Overview:
        """The overview, at most a second old."""
        with self._lock:
            if self._last is None or time.monotonic() - self._made_s >= 1.0:
                self._last = overview(self.hub, self.window, self.clock_ns())
                self._made_s = time.monotonic()
            return self._last


def health(view: Overview) -> list[str]:
    """What is wrong with the hub itself, in sentences; empty where it is well. Platforms are not its health."""
    hub = view.hub
    wrong = list(hub.troubles)
    if not hub.hearing:
        wrong.append(
            "no connection to the broker: the hub hears nobody; look at [broker] in its settings and at the network"
        )
    wrong += [f"{f.name} does not take changes: {f.error}" for f in hub.followers if f.error]
    return wrong


# --- one platform ---


def _platform(
    p: Platform,
    book: Book,
    window: Window,
    waiting: Mapping[str, int],
    quarantined: Mapping[str, int],
    repeated: int,
    now_ns: int,
) -> PlatformView:
    state, birth = p.state, p.birth
    offline = state_is_offline(p)
    backlog = state.backlog if state else 0
    names = p.instruments.keys() | {name for name in waiting if name}
    instruments = [
        _instrument(
            p.instruments.get(name, Instrument(name)),
            p,
            window,
            waiting.get(name, 0),
            quarantined.get(name, 0),
            backlog,
            now_ns,
        )
        for name in sorted(names)
    ]
    instruments.sort(key=lambda i: (_RANK[i.state], -(i.sample_age_intervals or 0.0), i.name))
    if offline:
        word, since_ns = Word.OFFLINE, state.at_ns if state and state.at_ns else p.state_ns
        reason = "it said good-bye, or its link to the broker broke"
    elif instruments:
        worst = instruments[0]
        word, since_ns, reason = worst.state, worst.since_ns, worst.reason and f"{worst.name}: {worst.reason}"
    elif birth is None and (waiting or quarantined):
        word, since_ns, reason = Word.QUARANTINED, None, "no birth of it was ever heard that could be read"
    else:
        word, since_ns = Word.NEVER_HEARD, p.born_ns
        reason = "it declares no instruments" if birth else "no birth of it was ever heard"
    behind = max(instruments, key=lambda i: (i.sample_age_intervals or 0.0, i.sample_age_s or 0.0), default=None)
    slowest = max((i.delays for i in instruments if i.delays.total), key=_p99, default=Delays())
    gaps, missing, explained = _gaps(book)
    return PlatformView(
        name=p.name,
        title=birth.title if birth else "",
        state=word,
        since_ns=since_ns,
        reason=reason,
        latitude=p.latitude,
        longitude=p.longitude,
        position_ns=p.position_ns,
        moving=birth.moving if birth else False,
        online=state.online if state else None,
        clock_disciplined=state.clock_disciplined if state else None,
        software=birth.software if birth else "",
        epoch=book.epoch,
        backlog=backlog,
        spool_bytes=state.spool_bytes if state else 0,
        envelopes=book.envelopes,
        missing=missing,
        explained=explained,
        gaps=gaps,
        duplicates=book.counters.duplicates,
        repeated=repeated,
        corrupt=book.counters.corrupt,
        misplaced=book.counters.misplaced,
        refused_births=book.counters.refused_births,
        waiting=sum(waiting.values()),
        quarantined=sum(quarantined.values()),
        samples=p.samples,
        received=sum(i.received for i in instruments),
        expected=_sum_of_known([i.expected for i in instruments if i.received or i.expected is not None]),
        sample_age_s=behind.sample_age_s if behind else None,
        sample_age_intervals=behind.sample_age_intervals if behind else None,
        qc=_sum(i.qc for i in instruments),
        problems=_sum(i.problems for i in instruments),
        delays=slowest,
        instruments=instruments,
    )


def _instrument(
    i: Instrument,
    p: Platform,
    window: Window,
    waiting: int,
    quarantined: int,
    backlog: int,
    now_ns: int,
) -> InstrumentView:
    birth, state = i.birth, p.instrument_state(i.name)
    recent = window.recent(p.name, i.name, now_ns - int(RECENT_S * _S))
    declared_s = birth.interval_s if birth else None
    learned_s = [window.cadence_s(p.name, i.name, part.schema) for part in recent]
    interval_s = declared_s or min((s for s in learned_s if s is not None), default=None)
    sample_age_s, arrival_age_s = _age_s(i.last_sample_ns, now_ns), _age_s(i.last_arrival_ns, now_ns)
    link = state.link if state else ""
    if waiting or (quarantined and not i.samples):
        word, since_ns = Word.QUARANTINED, None
        reason = f"{waiting} Frames wait for a birth that describes them" if waiting else "what came could not be used"
    elif state_is_offline(p):
        word, since_ns, reason = Word.OFFLINE, p.state_ns, "its platform is offline"
    elif sample_age_s is None or arrival_age_s is None:
        word, since_ns = Word.NEVER_HEARD, p.born_ns
        reason = "declared, and no sample of it has ever come" + _of_link(link)
    else:
        word, since_ns, reason = _judge(i, interval_s, sample_age_s, arrival_age_s, link, backlog, recent)
    cadences_s = learned_s if len(recent) > 1 else [interval_s]
    counts = [_against_expectation(part, own_s, now_ns) for part, own_s in zip(recent, cadences_s, strict=False)]
    return InstrumentView(
        name=i.name,
        state=word,
        since_ns=since_ns,
        reason=reason,
        kind=recent[0].schema.kind if recent else _declared_kind(i),
        driver=birth.driver if birth else "",
        manufacturer=birth.manufacturer if birth else "",
        model=birth.model if birth else "",
        serial=birth.serial if birth else "",
        interval_s=interval_s,
        interval_learned=declared_s is None and interval_s is not None,
        link=link,
        last_sample_ns=i.last_sample_ns,
        sample_age_s=sample_age_s,
        sample_age_intervals=_in_intervals(sample_age_s, interval_s),
        last_arrival_ns=i.last_arrival_ns,
        arrival_age_s=arrival_age_s,
        arrival_age_intervals=_in_intervals(arrival_age_s, interval_s),
        samples=i.samples,
        received=sum(n for n, _ in counts),
        expected=_sum_of_known([n for _, n in counts]),
        qc=_sum(map(_qc, recent)),
        problems=dict(state.problems) if state else {},
        last_problem=state.last_problem if state else "",
        waiting=waiting,
        quarantined=quarantined,
        delays=_delays(recent, now_ns),
    )


def _judge(
    i: Instrument,
    interval_s: float | None,
    sample_age_s: float,
    arrival_age_s: float,
    link: str,
    backlog: int,
    recent: Sequence[Recent],
) -> tuple[Word, int | None, str]:
    """(state, since when, why) of an instrument that has been heard and whose platform is not offline."""
    if interval_s is None:
        return Word.RUN, None, ""
    late_s = max(LATE * interval_s, interval_s + LATE_S)
    silent_s = max(SILENT * interval_s, SILENT_S)
    cadence = f"it should come every {span(interval_s)}"
    if arrival_age_s > silent_s:
        return Word.SILENT, i.last_arrival_ns, f"nothing for {span(arrival_age_s)}; {cadence}{_of_link(link)}"
    if arrival_age_s > late_s:
        return Word.LATE, i.last_arrival_ns, f"nothing for {span(arrival_age_s)}; {cadence}{_of_link(link)}"
    if backlog > CATCHING_UP:
        return Word.CATCHING_UP, None, f"{backlog} Envelopes are still in its spool"
    if sample_age_s > late_s:
        return Word.LATE, i.last_sample_ns, f"what comes is {span(sample_age_s)} old; {cadence}{_of_link(link)}"
    return Word.RUN, _unbroken_since_ns(recent, late_s), ""


def state_is_offline(p: Platform) -> bool:
    """Whether the platform said good-bye, or the broker said that its link broke."""
    return p.state is not None and not p.state.online


def _of_link(link: str) -> str:
    return f"; its gateway says that the link is {link}" if link in ("down", "stale", "starting") else ""


def _unbroken_since_ns(recent: Sequence[Recent], late_s: float) -> int | None:
    """When samples last began to come without a break; None where that was before what is kept."""
    arrivals = np.sort(np.concatenate([np.empty(0, np.int64), *(part.stages[:, 1] for part in recent)]))
    breaks = np.flatnonzero(np.diff(arrivals) > late_s * _S)
    return int(arrivals[breaks[-1] + 1]) if len(breaks) else None


def _against_expectation(recent: Recent, interval_s: float | None, now_ns: int) -> tuple[int, int | None]:
    """(samples that are here, samples that should be) of the last hour, or of the time since its first sample."""
    if not len(recent.time):
        return 0, None
    n = int(np.count_nonzero(recent.time <= now_ns))
    if interval_s is None:
        return n, None
    covered_s = max((now_ns - int(recent.time[0])) / _S, 0.0)
    expected = int(covered_s / interval_s)
    # The sample that is due now may be on its way, or here already.
    return n, n if n == expected + 1 else expected


def _sum_of_known(counts: Sequence[int | None]) -> int | None:
    """Their sum; None where one of them is not known, or there are none."""
    return sum(n for n in counts if n is not None) if counts and None not in counts else None


def _qc(recent: Recent) -> dict[str, int]:
    counts = np.bincount(recent.flags.ravel(), minlength=10)
    return {name: int(counts[flag]) for flag, name in FLAG_NAMES.items() if counts[flag]}


def _delays(recent: Sequence[Recent], now_ns: int) -> Delays:
    whole = [np.column_stack([part.time, part.stages]) for part in recent]
    way = np.concatenate([np.empty((0, 5), np.int64), *whole])
    way = way[way[:, 4] > now_ns - int(RECENT_S * _S)]
    if not len(way):
        return Delays()
    steps = np.column_stack([np.diff(way, axis=1), way[:, -1] - way[:, 0]]) / _S
    p50, p99 = np.percentile(steps, [50, 99], axis=0)
    return Delays(
        **{
            name: Delay(p50_s=round(float(a), 6), p99_s=round(float(b), 6))
            for name, a, b in zip(Delays.model_fields, p50, p99, strict=True)
        }
    )


def _p99(delays: Delays) -> float:
    return delays.total.p99_s if delays.total else 0.0


def _gaps(book: Book) -> tuple[list[Gap], int, int]:
    """(gaps, how many Envelopes are missing, how many explained)."""
    still_open: list[Gap] = []
    closed: list[Gap] = []
    missing = explained = 0
    for epoch, account in book.accounts.items():
        missing += account.missing_count
        still_open += [Gap(epoch=epoch, first=a, last=b, reason="") for a, b in account.missing()]
        for gap in account.explained_ranges():
            explained += gap.last - gap.first + 1
            closed.append(Gap(epoch=epoch, first=gap.first, last=gap.last, reason=gap.reason))
    return [*still_open[-_MOST_GAPS:], *closed[-_MOST_GAPS:]][:_MOST_GAPS], missing, explained


def _declared_kind(i: Instrument) -> str:
    schemas = i.birth.schemas if i.birth else []
    return str(schemas[-1].get("kind", "")) if schemas else ""


def _last_heard_ns(platforms: Sequence[Platform], started_ns: int) -> int:
    heard = [t for p in platforms for t in (p.state_ns, *(i.last_arrival_ns for i in p.instruments.values())) if t]
    return max([started_ns, *heard])


def _sum(mappings: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for mapping in mappings:
        total.update(mapping)
    return dict(total)


def _age_s(at_ns: int | None, now_ns: int) -> float | None:
    return None if at_ns is None else round((now_ns - at_ns) / _S, 3)


def _in_intervals(age_s: float | None, interval_s: float | None) -> float | None:
    return None if age_s is None or not interval_s else round(age_s / interval_s, 2)


def span(seconds: float) -> str:
    """A duration for people: the two greatest units that say something."""
    if seconds < 0:
        return f"-{span(-seconds)}"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    left = round(seconds)
    parts: list[tuple[int, str]] = []
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        if count or parts:
            parts.append((count, unit))
        if len(parts) == 2:
            break
    return " ".join(f"{count} {unit}" for count, unit in parts if count)
