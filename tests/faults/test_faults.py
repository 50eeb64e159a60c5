"""The short form of each scenario, all between one broker and one hub. The long form is `make faults`.

Most of the time a scenario waits for its gateway, so several run at once. Not so those that put a file system of
their own under the product within this process: they run alone, before the others.
"""

import importlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait

import pytest

from tests.faults.rig import Outcome, Skipped, centre

SEED = 1
SHORT = {
    "kill": 4,
    "torn": 2,
    "powercut": 1,
    "acks": 8,
    "noise": 5,
    "unplug": 1,
    "bus": 6,
    "clock": 1,
}
"""Rounds. Not here: `satellite`, which is too long for a suite, and `diskfull` and `outage`, which do not pass yet."""
ALONE = ("powercut",)
AT_ONCE = 3


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest) -> Iterator[dict[str, Future[Outcome]]]:
    """The scenarios that were asked for, on their way."""
    asked = {item.callspec.params.get("name") for item in request.session.items if hasattr(item, "callspec")}
    with centre() as here, ThreadPoolExecutor(AT_ONCE) as pool:

        def run(name: str) -> Outcome:
            outcome: Outcome = importlib.import_module(f"tests.faults.{name}").run(here, SHORT[name], SEED)
            return outcome

        futures = {}
        for name in sorted(SHORT, key=lambda name: name not in ALONE):
            if name in asked:
                futures[name] = pool.submit(run, name)
                if name in ALONE:
                    wait([futures[name]])
        yield futures


@pytest.mark.parametrize("name", SHORT)
def test_scenario(running: dict[str, Future[Outcome]], name: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        outcome = running[name].result(300.0)
    except Skipped as reason:
        pytest.skip(str(reason))
    with capsys.disabled():
        print(f"\n{outcome.line()}")
    assert outcome.passed, "\n".join(outcome.remarks)
