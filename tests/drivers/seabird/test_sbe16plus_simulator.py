"""The simulated SeaCAT and the driver understand each other."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.seabird.sbe16plus import Sbe16plus
from drivers.simulators.sbe16plus import CALIBRATION, Sbe16plusSimulator
from tests.drivers.decoded import frames
from tests.drivers.line_drivers import PROBABLE, START_NS, decode, kinds
from tidegate.clock import UNKNOWN

SECOND = 1_000_000_000
SCANS = {0: "raw", 1: "engineering", 3: "raw"}


def found(decoded: Any) -> list[dict[str, float]]:
    return [
        {"time": at, **{name: values[i].item() for name, values in frame.columns.items()}}
        for frame in frames(decoded)
        for i, at in enumerate(frame.time.tolist())
    ]


@given(
    st.lists(st.integers(0, 9000), max_size=30),
    st.integers(0, 100),
    st.sampled_from([0, 1, 3]),
    st.booleans(),
)
@PROBABLE
def test_every_sample_is_found(cuts: list[int], seed: int, output_format: int, polled: bool) -> None:
    sim = Sbe16plusSimulator(interval_s=2.0, seed=seed, output_format=output_format, logging=False)
    settings = {"mode": "polled" if polled else "autonomous", "scans": SCANS[output_format]}
    driver = Sbe16plus("it", Sbe16plus.Settings.model_validate(settings))
    stream = sim.receive(driver.start(), START_NS)
    if not polled or output_format != 3:
        stream += sim.receive(b"OutputFormat=%d\r\nGetHD\r\nGetCC\r\n" % output_format, START_NS)
    if not polled:
        stream += sim.receive(b"StartNow\r\n", START_NS)
    for n in range(200):
        now_ns = START_NS + n * SECOND // 20
        if polled and n % 30 == 5:
            stream += sim.receive(driver.poll(), now_ns)
        stream += sim.tick(now_ns)
    said = sim.take_said()
    assert len(said) >= 5
    decoded = decode(Sbe16plus, stream, settings, [c for c in sorted(cuts) if c < len(stream)])
    assert kinds(decoded) == []
    assert found(decoded) == [{"time": s.time_ns, **s.values} for s in said]


def test_what_it_answers_is_learnt() -> None:
    sim = Sbe16plusSimulator(logging=False)
    driver = Sbe16plus("it")
    assert driver.feed(sim.receive(Sbe16plus.hail() + b"GetCC\r\nGetSD\r\n", START_NS), UNKNOWN) == []
    described = driver.description()
    assert (described["model"], described["serial"]) == ("SBE16plus", "01609999")
    assert described["calibration"] == pytest.approx(CALIBRATION)
    assert b"INVALID COMMAND" in sim.receive(b"Nonsense\r\n", START_NS)
    assert b"INVALID ARGUMENT" in sim.receive(b"OutputFormat=9\r\n", START_NS)


def test_the_water_that_it_measures_is_that_of_the_sea() -> None:
    values = []
    for output_format in (0, 1, 3):
        sim = Sbe16plusSimulator(output_format=output_format)
        sim.tick(START_NS)
        (said,) = sim.take_said()
        values.append(said.values)
    raw, engineering, converted = values
    for name in converted:
        assert raw[name] == pytest.approx(engineering[name], abs=5e-3)
        assert engineering[name] == pytest.approx(converted[name], abs=1e-4)


def test_a_quiet_instrument_neither_speaks_nor_notes() -> None:
    sim = Sbe16plusSimulator()
    sim.speaking = False
    assert not any(sim.tick(START_NS + n * SECOND) for n in range(30))
    assert sim.take_said() == []
