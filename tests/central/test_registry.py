from pathlib import Path

import numpy as np
import pytest

from central.changes import Change, Flag, Op, Stages
from central.ingest import read_birth
from central.registry import Registry
from tests.central.station import ADCP, CTD, EPOCH, SHIP, START_NS, S, birth, ctd, ship
from tidegate.frame import Frame
from tidegate.messages import InstrumentState, State


def insert(frame: Frame, received_ns: int = 0, op: Op = Op.INSERT, platform: str = "quay-3") -> Change:
    flags = {name: np.full(column.shape, Flag.PASS, np.uint8) for name, column in frame.columns.items()}
    return Change(op, platform, frame, flags, Stages(0, received_ns, 0, 0), EPOCH, 1)


def registry_with(*births: bytes) -> Registry:
    registry = Registry()
    for number, data in enumerate(births, 1):
        registry.birth(read_birth("quay-3", data), number, number * S)
    return registry


def test_a_schema_once_declared_stays_known_and_knows_who_declared_it() -> None:
    registry = registry_with(birth(CTD), birth(ADCP), birth(CTD, ADCP))
    assert registry.schemas("quay-3") == {"ctd-1": {CTD.id: CTD}, "adcp-1": {ADCP.id: ADCP}}
    assert registry.declared("quay-3", "ctd-1", CTD.id) == 1
    assert registry.declared("quay-3", "adcp-1", ADCP.id) == 2
    assert registry.declared("quay-3", "ctd-1", ADCP.id) is None
    assert registry.schemas("quay-9") == {}
    platform = registry.platform("quay-3")
    assert platform is not None
    assert platform.born_ns == 3 * S
    assert sorted(platform.instruments) == ["adcp-1", "ctd-1"]


def test_samples_are_counted_once_and_newest_times_kept() -> None:
    registry = registry_with(birth(CTD))
    registry.count([insert(ctd(2), 50), insert(ctd(1), 60), insert(ctd(1), 70, Op.CORRECT)], 3)
    registry.count([insert(ctd(5, 1, "ctd-9"), 80)], 4)
    platform = registry.platform("quay-3")
    assert platform is not None
    assert platform.samples == 11
    one = platform.instruments["ctd-1"]
    assert (one.samples, one.last_sample_ns, one.last_arrival_ns) == (10, START_NS + 14 * S, 60)
    assert platform.instruments["ctd-9"].birth is None
    assert registry.cursor == 4


def test_a_moving_platform_is_where_its_newest_position_says() -> None:
    registry = registry_with(birth(SHIP, latitude=1.0, longitude=2.0))
    platform = registry.platform("quay-3")
    assert platform is not None
    assert (platform.latitude, platform.longitude, platform.position_ns) == (1.0, 2.0, None)
    nan = float("nan")
    registry.count([insert(ship([10, 30, 20], [11.0, nan, 13.0], [101.0, 102.0, 103.0]))], 1)
    registry.count([insert(ship([5], [50.0], [60.0]))], 2)  # late, and older
    registry.birth(read_birth("quay-3", birth(SHIP, latitude=1.0, longitude=2.0)), 9, 0)
    platform = registry.platform("quay-3")
    assert platform is not None
    assert (platform.latitude, platform.longitude, platform.position_ns) == (13.0, 103.0, START_NS + 20 * S)


def test_states_are_of_now() -> None:
    registry = Registry()
    registry.state("ship-1", State(online=True, instruments={"gps": InstrumentState(link="up")}), 5)
    platform = registry.platform("ship-1")
    assert platform is not None
    assert platform.birth is None
    assert platform.state_ns == 5
    state = platform.instrument_state("gps")
    assert state is not None
    assert state.link == "up"
    assert platform.instrument_state("ctd-1") is None
    assert registry.platform("nobody") is None


def test_the_snapshot_restores_everything_but_states(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "registry.json"
    assert Registry.load(path, newest=9, cursor=9) is None
    registry = registry_with(birth(CTD, ADCP, title="Quay"), birth(CTD))
    registry.count([insert(ctd(1), 7), insert(ship([1], [2.0], [3.0]), 8)], 2)
    registry.save(path)
    again = Registry.load(path, newest=2, cursor=2)
    assert again is not None
    assert again.platforms() == registry.platforms()
    assert again.schemas("quay-3") == registry.schemas("quay-3")
    assert again.declared("quay-3", "adcp-1", ADCP.id) == 1
    assert again.cursor == 2
    assert not caplog.records
    assert Registry.load(path, newest=2, cursor=1) is None
    assert Registry.load(path, newest=0, cursor=2) is None
    path.write_text("{}")
    assert Registry.load(path, newest=2, cursor=2) is None
    assert len(caplog.records) == 3
