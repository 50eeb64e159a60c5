"""The set-up of an ADCP: a break, then each command at its prompt, against the simulated instrument."""

import pytest

from drivers.driver import Driver, Problem
from drivers.simulators.simulator import Simulator
from drivers.simulators.workhorse import WorkhorseSimulator
from drivers.trdi.pd0 import Pd0
from drivers.trdi.setup import Settings
from tidegate.clock import UNKNOWN

SECOND = 1_000_000_000


def set_up(driver: Driver, simulator: Simulator, cut: int = 7) -> list[bytes]:
    """What is sent until the driver has no more to say; the answers come in pieces."""
    sent: list[bytes] = []
    assert driver.start() == b""
    for _ in range(100):
        turn = driver.turn(len(sent))
        assert not turn.problems
        if not turn.data:
            return sent
        assert (turn.break_s >= 0.3) == (turn.data == b"===")
        sent.append(turn.data)
        answer = simulator.receive(turn.data, 0)
        for at in range(0, len(answer), cut):
            assert not driver.turn(0).data, "nothing is said before the prompt"
            driver.feed(answer[at : at + cut], UNKNOWN)
    raise AssertionError("the set-up never ends")


@pytest.mark.parametrize("cut", [1, 2, 1000])
def test_each_command_waits_for_its_prompt_however_the_answers_are_cut(cut: int) -> None:
    driver = Pd0("adcp", Settings(setup=("CR1", "WN20", "CK")))
    assert set_up(driver, WorkhorseSimulator(), cut) == [b"===", b"CR1\r", b"WN20\r", b"CK\r", b"CS\r"]


def test_what_gives_no_prompt_is_asked_three_times_and_left_as_it_is() -> None:
    driver = Pd0("adcp", Settings(setup=("CR1",)))
    driver.start()
    now_ns, breaks = 0, 0
    while True:
        turn = driver.turn(now_ns)
        if turn.problems:
            break
        breaks += turn.data == b"==="
        assert turn.again_ns is not None
        now_ns = turn.again_ns
        driver.feed(b"\x7f\x7f> no prompt", UNKNOWN)
    assert breaks == 3
    assert turn.problems[0].kind == "no_answer"
    assert "no prompt after a break" in turn.problems[0].message
    assert not driver.turn(now_ns + 100 * SECOND).data


def test_a_refused_command_is_told_and_the_pinging_starts_all_the_same() -> None:
    driver = Pd0("adcp", Settings(setup=("WN999", "CK")))
    driver.start()
    answers = [b"\r\n[BREAK Wakeup A]\r\n>", b"WN999\r\nERR 010:  NUMBER OUT OF RANGE\r\n>", b"CK\r\n>", b""]
    sent: list[bytes] = []
    problems: list[Problem] = []
    for answer in answers:
        turn = driver.turn(0)
        sent.append(turn.data)
        problems += turn.problems
        driver.feed(answer, UNKNOWN)
    assert sent == [b"===", b"WN999\r", b"CK\r", b"CS\r"]
    (refused,) = problems
    assert refused.kind == "refused"
    assert "WN999: ERR 010:  NUMBER OUT OF RANGE" in refused.message
    assert {"refused", "no_answer"} <= set(Pd0.problems)
