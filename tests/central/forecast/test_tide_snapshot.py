"""The first consumer eats what the feed gives: gauges through archive and snapshot, fitted at once, against UTide."""

from pathlib import Path

import numpy as np
import utide

from central.changes import Change, Op, Stages
from central.feed import snapshot
from central.forecast.tide import fit_snapshot
from central.store.duckdb import DuckDBStore
from tests.recordings import DATA, needs_recordings
from tidegate.frame import Field, Frame, Schema, Times

LEVEL = "water_surface_height_above_reference_datum"
GAUGE = Schema("tide_gauge", (Field.of(LEVEL),))
HOUR_NS = 3_600_000_000_000
START_NS = 1_672_531_200 * 10**9  # 2023-01-01
HOURS = 744
_RATIO = {"P1": ("K1", 0.3315), "K2": ("S2", 0.2716), "NU2": ("N2", 0.19), "T2": ("S2", 0.0585)}


@needs_recordings
def test_a_month_of_every_gauge_through_the_feed_agrees_with_utide(tmp_path: Path) -> None:
    """M2, S2, K1 and O1 to 5 mm, though every second gauge is read 25 minutes past the hour. One spike each is
    flagged, and has no part in the fit."""
    with np.load(DATA / "tide" / "noaa_2023" / "hourly_2023.npz") as file:
        recorded, latitudes = file["levels"][:HOURS].T.astype(np.float64), file["lats"]
    count = len(latitudes)
    store = DuckDBStore(tmp_path / "archive.duckdb")
    times: list[Times] = []
    for k in range(count):
        time = START_NS + np.arange(HOURS, dtype=np.int64) * HOUR_NS - (k % 2) * 35 * 60 * 10**9
        times.append(time)
        level, flags = np.round(recorded[k], 3), np.where(np.isnan(recorded[k]), 9, 1).astype(np.uint8)
        level[100 + k], flags[100 + k] = 30.0, 4
        frame = Frame("gauge", GAUGE, time, {LEVEL: level})
        store.write([(k + 1, Change(Op.INSERT, f"p{k:02d}", frame, {LEVEL: flags}, Stages(1, 2, 3, 4)))])
    positions = {f"p{k:02d}": (float(latitudes[k]), 0.0) for k in range(count)}
    end_ns = START_NS + (HOURS - 1) * HOUR_NS
    model = fit_snapshot(snapshot(store, store.streams(), START_NS, end_ns, 3600.0, positions=positions), LEVEL)
    store.close()
    assert model.ids == tuple(f"p{k:02d}/gauge" for k in range(count))
    for k in range(count):
        level = np.round(recorded[k], 3)
        level[100 + k] = np.nan
        own = np.isfinite(model.amplitude[k]) & ~model.inferred[k]
        names = [name for name, yes in zip(model.constituents, own, strict=True) if yes]
        inferred = [n for n, yes in zip(model.constituents, model.inferred[k], strict=True) if yes]
        infer = utide.utilities.Bunch(
            inferred_names=np.array(inferred),
            reference_names=np.array([_RATIO[n][0] for n in inferred]),
            amp_ratios=np.array([_RATIO[n][1] for n in inferred]),
            phase_offsets=np.zeros(len(inferred)),
            approximate=False,
        )
        solved = utide.solve(
            times[k] / 86_400e9, level, lat=float(latitudes[k]), constit=names, infer=infer, nodal=True, trend=False,
            method="ols", conf_int="none", epoch="1970-01-01", verbose=False,
        )  # fmt: skip
        for name in ("M2", "S2", "K1", "O1"):
            at, theirs = model.constituents.index(name), list(solved.name).index(name)
            ours = model.amplitude[k, at] * np.exp(-1j * np.deg2rad(model.phase[k, at]))
            other = solved.A[theirs] * np.exp(-1j * np.deg2rad(solved.g[theirs]))
            assert abs(ours - other) < 0.005, (model.ids[k], name, ours, other)
