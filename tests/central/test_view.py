from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from central.view import Overview, PlatformView, Views, Word, health, overview, span
from central.web.window import Window
from tests.central.filled import CTD, GAUGE, LEVEL, SECOND, FilledHub

T0 = 1_770_000_000 * SECOND
SBE37 = ("sbe37", "Sea-Bird Scientific", "SBE 37-SMP", "1")


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[FilledHub]:
    hub = FilledHub(tmp_path, T0)
    hub.hub.started_ns = T0 - 3600 * SECOND
    yield hub
    hub.close()


def seen(filled: FilledHub, after_s: float = 0.0) -> Overview:
    window = Window()
    window.write(list(filled.hub.changes.read()))
    return overview(filled.hub, window, filled.now_ns + int(after_s * SECOND))


def only(view: Overview) -> PlatformView:
    (platform,) = view.platforms
    return platform


def words(filled: FilledHub, ages_s: list[float]) -> list[str]:
    return [str(only(seen(filled, age)).state) for age in ages_s]


def test_an_instrument_is_judged_against_its_own_cadence(filled: FilledHub) -> None:
    filled.platform("quay", (1.0, 103.0), fast=(CTD, 1.0, *SBE37))
    filled.samples("quay", "fast", CTD, t := filled.times(1, 60), filled.ctd(t), delay_s=0)
    # Late after its interval and 15 s, silent after a minute.
    assert words(filled, [1, 15, 17, 59, 62, 9999]) == ["run", "run", "late", "late", "silent", "silent"]


def test_a_slow_instrument_has_longer(filled: FilledHub) -> None:
    filled.platform("quay", (1.0, 103.0), slow=(GAUGE, 360.0, *SBE37))
    filled.samples("quay", "slow", GAUGE, t := filled.times(360, 7200), filled.gauge(t), block=1, delay_s=0)
    assert words(filled, [300, 1070, 1100, 3590, 3620]) == ["run", "run", "late", "late", "silent"]
    late = only(seen(filled, 1100)).instruments[0]
    assert late.sample_age_intervals == pytest.approx(1100 / 360, abs=0.01)
    assert late.since_ns == late.last_arrival_ns
    assert late.reason == "nothing for 18 min 20 s; it should come every 6 min"


def test_a_cadence_that_nobody_declared_is_learned(filled: FilledHub) -> None:
    filled.platform("quay", (1.0, 103.0), ctd_1=(CTD, None, *SBE37))
    filled.samples("quay", "ctd-1", CTD, t := filled.times(5, 30), filled.ctd(t))
    assert only(seen(filled, 9999)).instruments[0].interval_s is None
    assert words(filled, [9999]) == ["run"]  # nobody can say
    filled.samples("quay", "ctd-1", CTD, t := filled.times(5, 100) + 100 * SECOND, filled.ctd(t))
    learned = only(seen(filled, 9999)).instruments[0]
    assert (learned.interval_s, learned.interval_learned, learned.state) == (5.0, True, Word.SILENT)


def test_a_platform_is_as_well_as_its_worst_instrument(filled: FilledHub) -> None:
    filled.platform("quay", (1.0, 103.0), a=(CTD, 10.0, *SBE37), b=(CTD, 10.0, *SBE37))
    filled.samples("quay", "a", CTD, t := filled.times(10, 300), filled.ctd(t))
    quay = only(seen(filled))
    assert (quay.state, [i.name for i in quay.instruments]) == (Word.NEVER_HEARD, ["b", "a"])
    filled.samples("quay", "b", CTD, t := filled.times(10, 300, 500), filled.ctd(t))
    filled.state("quay", links={"b": "down"})
    quay = only(seen(filled))
    assert (quay.state, quay.instruments[1].state) == (Word.SILENT, Word.RUN)
    assert quay.reason == "b: nothing for 8 min 19 s; it should come every 10 s; its gateway says that the link is down"


def test_offline_is_not_silent(filled: FilledHub) -> None:
    filled.platform("quay", (1.0, 103.0), a=(CTD, 10.0, *SBE37))
    filled.samples("quay", "a", CTD, t := filled.times(10, 300, 5000), filled.ctd(t))
    filled.state("quay", online=False, at_ns=T0 - 4900 * SECOND)
    quay = only(seen(filled))
    assert (quay.state, quay.since_ns, quay.instruments[0].state) == (Word.OFFLINE, T0 - 4900 * SECOND, Word.OFFLINE)


def test_a_backlog_is_catching_up_while_samples_come(filled: FilledHub) -> None:
    filled.platform("quay", (1.0, 103.0), a=(CTD, 10.0, *SBE37))
    filled.samples("quay", "a", CTD, t := filled.times(10, 300), filled.ctd(t))
    filled.state("quay", backlog=64)
    assert words(filled, [5]) == ["run"]
    filled.state("quay", backlog=65)
    assert words(filled, [5, 40, 200]) == ["catching-up", "late", "silent"]


def test_what_no_birth_describes_is_quarantined(filled: FilledHub) -> None:
    filled.undescribed("stranger", "tide-1", 4)
    filled.caught_up()
    stranger = only(seen(filled))
    assert (stranger.state, stranger.waiting) == (Word.QUARANTINED, 4)
    assert stranger.instruments[0].reason == "4 Frames wait for a birth that describes them"


def test_a_hub_that_hears_nothing_calls_nobody_silent(filled: FilledHub) -> None:
    filled.platform("quay", (1.0, 103.0), a=(CTD, 10.0, *SBE37))
    filled.samples("quay", "a", CTD, t := filled.times(10, 300), filled.ctd(t))
    assert words(filled, [86_400]) == ["silent"]
    filled.hub.ingest.connected_ns = None
    view = seen(filled, 86_400)
    assert only(view).state is Word.RUN
    assert not view.hub.hearing
    assert view.hub.deaf_since_ns is not None
    assert T0 <= view.hub.deaf_since_ns < T0 + 5 * SECOND
    assert health(view)[0].startswith("no connection to the broker")


def test_mix_counts_and_delays_are_those_of_the_last_hour(filled: FilledHub) -> None:
    filled.platform("quay", (1.0, 103.0), tide_1=(GAUGE, 60.0, *SBE37))
    t = filled.times(60, 7200)
    columns = filled.gauge(t)
    columns[LEVEL][-10] = np.nan
    columns[LEVEL][10] = np.nan  # two hours ago
    keep = np.ones(len(t), bool)
    keep[-25:-20] = False
    filled.samples("quay", "tide-1", GAUGE, t[keep], {n: c[keep] for n, c in columns.items()}, block=1)
    one = only(seen(filled)).instruments[0]
    changes = [change for _, change in filled.hub.changes.read() if change.frame.time[0] >= T0 - 3600 * SECOND]
    final = {int(c.frame.time[0]): c for c in changes}
    assert sum(one.qc.values()) == 2 * len(final) == 2 * one.received
    assert one.qc["missing"] == 1
    assert (one.received, one.expected) == (56, 60)
    took = np.array([c.stages.processed_ns - c.frame.time[0] for c in changes if c.op == 1]) / 1e9
    assert one.delays.total is not None
    assert one.delays.total.p50_s == pytest.approx(float(np.percentile(took, 50)), abs=1e-3)
    assert one.delays.total.p99_s == pytest.approx(float(np.percentile(took, 99)), abs=1e-3)
    stages = one.delays
    assert stages.received_to_journaled is not None
    assert 0.002 <= stages.received_to_journaled.p50_s < 0.1


def test_worst_come_first_and_among_equals_who_is_farthest_behind(filled: FilledHub) -> None:
    for name, age_s in (("a", 0), ("b", 35), ("c", 900), ("d", 300), ("e", 20), ("f", 5000)):
        filled.platform(name, (1.0, 103.0), ctd_1=(CTD, 10.0, *SBE37))
        filled.samples(name, "ctd-1", CTD, t := filled.times(10, 300, age_s), filled.ctd(t), delay_s=0)
    view = seen(filled)
    assert [(p.name, str(p.state)) for p in view.platforms] == [
        ("f", "silent"), ("c", "silent"), ("d", "silent"), ("b", "late"), ("e", "run"), ("a", "run"),
    ]  # fmt: skip
    assert view.counts == {"silent": 3, "late": 1, "run": 2}


def test_the_view_is_made_once_a_second_at_most(filled: FilledHub) -> None:
    filled.platform("quay", (1.0, 103.0), a=(CTD, 10.0, *SBE37))
    views = Views(filled.hub, Window())
    assert views.now() is views.now()


@given(st.floats(0, 1e8))
def test_a_span_is_right_to_its_smaller_unit(seconds: float) -> None:
    units = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
    parts = span(seconds).split()
    told = sum(float(n) * units[u] for n, u in zip(parts[::2], parts[1::2], strict=True))
    assert len(parts) <= 4
    coarsest = units[parts[1]]
    allowed = {0.001: 0.0006, 1.0: 0.51, 60.0: 0.51, 3600.0: 60.0, 86_400.0: 3600.0}[coarsest]
    assert abs(told - seconds) <= allowed
