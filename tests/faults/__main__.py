"""The command line of the fault rig: `python -m tests.faults NAME --rounds N --seed S` prints one JSON line.

With `--page PATH` its figures also take the scenario's place in the table of that page.
"""

import argparse
import importlib
import sys
from pathlib import Path

from tests.faults.page import note
from tests.faults.rig import Outcome, Skipped, TooSlow, centre

LONG = {
    "kill": 200,
    "torn": 40,
    "powercut": 20,
    "acks": 120,
    "noise": 600,
    "unplug": 30,
    "bus": 300,
    "diskfull": 20,
    "outage": 288,
    "clock": 10,
    "satellite": 60,
}
"""The scenarios, and the rounds of their long form."""


def run(name: str, rounds: int, seed: int) -> Outcome:
    """Runs one scenario between a broker and a hub of its own; one that comes to no end has failed. Raises Skipped."""
    scenario = importlib.import_module(f"tests.faults.{name}")
    with centre() as here:
        try:
            outcome: Outcome = scenario.run(here, rounds, seed)
        except TooSlow as error:
            what, _, more = str(error).partition("\n")
            return Outcome(name, rounds, seed, remarks=[f"not so: it comes to its end: {what}", more])
    return outcome


def main() -> int:
    """Returns 0 where the scenario passed, or cannot be run here."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("name", nargs="?", choices=LONG, help="which scenario")
    parser.add_argument("--rounds", type=int, help="how many rounds (default: those of the long form)")
    parser.add_argument("--seed", type=int, default=1, help="of all that is random")
    parser.add_argument("--page", type=Path, help="a page whose table takes the figures")
    parser.add_argument("--list", action="store_true", help="print the names")
    arguments = parser.parse_args()
    if arguments.list or arguments.name is None:
        print("\n".join(LONG))
        return 0
    try:
        outcome = run(arguments.name, arguments.rounds or LONG[arguments.name], arguments.seed)
    except Skipped as reason:
        print(f"{arguments.name}: {reason}", file=sys.stderr)
        return 0
    for remark in outcome.remarks:
        print(remark, file=sys.stderr)
    print(outcome.line())
    if arguments.page:
        note(outcome, arguments.page)
    return 0 if outcome.passed else 1


if __name__ == "__main__":
    sys.exit(main())
