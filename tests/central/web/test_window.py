from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from central.changes import Change, ChangeLog, Op
from central.store import Stream
from central.web.window import Window
from tests.central.store.generated import ADCP, CTD, SECOND, T0, Model, logs, make_change


def rows_of(window: Window, stream: Stream) -> dict[int, tuple[tuple[float | None, ...], tuple[int, ...]]]:
    held = window.recent(stream.platform, stream.instrument)
    if not held:
        return {}
    (recent,) = held
    values, flags = recent.column(stream.parameter)
    return {
        t: (
            tuple(None if np.isnan(v) else float(v) for v in np.atleast_1d(values[i])),
            tuple(np.atleast_1d(flags[i]).tolist()),
        )
        for i, t in enumerate(recent.time.tolist())
    }


@settings(max_examples=150, derandomize=True, deadline=None)
@given(log=logs(), cut=st.integers(0, 12))
def test_the_window_holds_what_is_known_however_it_came(log: list[tuple[int, Change]], cut: int) -> None:
    model = Model.after(log)
    window = Window()
    window.write(log[:cut])
    window.write(log[cut:])
    for stream, known in model.known.items():
        expected = {t: (values, flags) for t, (values, flags, _) in known.items()}
        assert rows_of(window, stream) == expected
        assert all((np.diff(recent.time) > 0).all() for recent in window.recent(stream.platform, stream.instrument))


@settings(max_examples=60, derandomize=True, deadline=None)
@given(blocks=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 40)), min_size=1, max_size=25))
def test_a_full_window_keeps_the_newest_in_order(blocks: list[tuple[int, int]]) -> None:
    window = Window(most_rows=50)
    seen: dict[int, float] = {}
    for number, (start, n) in enumerate(blocks):
        time = [T0 + (start + k) * SECOND for k in range(n)]
        values = [number + k / 1000 for k in range(n)]
        seen |= dict(zip(time, values, strict=True))
        ones = [1] * n
        columns = {"sea_water_temperature": values, "sea_water_electrical_conductivity": values, "sample_number": ones}
        window.write([(number + 1, make_change(Op.INSERT, "quay", "ctd-1", CTD, time, columns))])
    (recent,) = window.recent("quay", "ctd-1")
    assert 0 < len(recent.time) <= 50
    assert (np.diff(recent.time) > 0).all()
    assert recent.time[-1] == max(seen)
    # Nothing is there that is not the last that came for its time; what late samples push out is the oldest.
    held, _ = recent.column("sea_water_temperature")
    assert [seen[t] for t in recent.time.tolist()] == held.tolist()
    if len(blocks) == 1:
        assert len(recent.time) == len(seen)


def test_a_correction_keeps_when_the_sample_first_came(tmp_path: Path) -> None:
    columns = {"sea_water_temperature": [1.0], "sea_water_electrical_conductivity": [1.0], "sample_number": [1]}
    first = make_change(Op.INSERT, "quay", "ctd-1", CTD, [T0], columns, seq=1)
    later = make_change(
        Op.CORRECT, "quay", "ctd-1", CTD, [T0], columns, flags={"sea_water_temperature": [4]}, seq=900
    )  # fmt: skip
    window = Window()
    window.write([(1, first), (2, later)])
    (recent,) = window.recent("quay", "ctd-1")
    assert recent.stages[0, 0] == first.stages.made_ns
    assert recent.column("sea_water_temperature")[1].tolist() == [4]


def test_it_follows_a_log_from_its_end_and_stops(tmp_path: Path) -> None:
    columns = {"sea_water_temperature": [1.0], "sea_water_electrical_conductivity": [1.0], "sample_number": [1]}
    with ChangeLog(tmp_path) as log:
        log.append([make_change(Op.INSERT, "quay", "ctd-1", CTD, [T0], columns)])
        log.sync()
        window = Window()
        window.follow(log)
        for k in range(1, 20):
            log.append([make_change(Op.INSERT, "quay", "ctd-1", CTD, [T0 + k * SECOND], columns)])
            log.sync()
        for _ in range(200):
            if window.cursor == log.last:
                break
            log.block(log.last, 0.02)
        window.close()
        (recent,) = window.recent("quay", "ctd-1")
        assert len(recent.time) == 20
        assert window.oldest_ns("quay", "ctd-1") == T0


def test_an_instrument_may_speak_in_several_schemas_at_a_time() -> None:
    window = Window()
    scalar = {"sea_water_temperature": [1.0], "sea_water_electrical_conductivity": [1.0], "sample_number": [1]}
    profile = {name: [[1, 2, 3]] if f.profile else [1.0] for name, f in ADCP.by_name.items()}
    for k in range(30):
        window.write([(2 * k + 1, make_change(Op.INSERT, "ship", "gnss", CTD, [T0 + k * SECOND], scalar))])
        if k % 3 == 0:
            window.write([(2 * k + 2, make_change(Op.INSERT, "ship", "gnss", ADCP, [T0 + k * SECOND], profile))])
    assert {r.schema.kind: len(r.time) for r in window.recent("ship", "gnss")} == {"ctd": 30, "adcp": 10}
    assert (window.cadence_s("ship", "gnss", CTD), window.cadence_s("ship", "gnss", ADCP)) == (1.0, 3.0)
    assert [r.schema.kind for r in window.recent("ship", "gnss", T0 + 28 * SECOND)] == ["ctd"]
    (silent,) = window.recent("ship", "gnss", T0 + 99 * SECOND)
    assert len(silent.time) == 0
