"""The page of figures, `docs/reliability.md`: a row for each scenario, written by the run that found them."""

import importlib
import json
from pathlib import Path

from tests.faults.rig import Outcome

_HEAD = """# Reliability

What becomes of samples when things go wrong: a real gateway between simulated instruments with ledgers, a real broker
and a real hub, and in the end ledger and hub compared sample by sample, values and times. `make faults` runs it all and
writes this page; `python -m tests.faults NAME --rounds N --seed S` runs one. The short forms are part of `make test`.

*Lost* are samples that a ledger (after a kill: the gateway's raw log) has and the hub has not; *duplicated* what the
hub has more than once, or nobody said. A scenario that has not passed says below the table what was not so.

| scenario | rounds | samples | at the hub | lost | duplicated | passed | figures |
|---|---:|---:|---:|---:|---:|---|---|
"""


def note(outcome: Outcome, page: Path) -> None:
    """Puts the outcome into the page's table, in the place of the scenario's former row and remarks."""
    rows, remarks = _read(page)
    shown = json.loads(outcome.line())
    figures = ", ".join(
        f"{name.replace('_', ' ')} {_told(value)}" for name, value in shown.items() if name in outcome.figures
    )
    cells = [outcome.rounds, outcome.acquired, outcome.stored, outcome.lost, outcome.duplicated]
    passed = "yes" if outcome.passed else "**no**"
    rows[outcome.name] = " | ".join([f"| `{outcome.name}`", *map(str, cells), passed, f"{figures} |"])
    remarks[outcome.name] = "; ".join(r.removeprefix("not so: ") for r in outcome.remarks if r.startswith("not so: "))
    titles = {name: (importlib.import_module(f"tests.faults.{name}").__doc__ or "").split("\n")[0] for name in rows}
    page.write_text(
        _HEAD
        + "".join(f"{rows[name]}\n" for name in rows)
        + "\n"
        + "".join(f"- `{name}`: {titles[name]}\n" for name in rows)
        + ("\nNot so:\n\n" if any(remarks.values()) else "")
        + "".join(f"- in `{name}`, not so: {remarks[name]}\n" for name in rows if remarks.get(name))
    )


def _read(page: Path) -> tuple[dict[str, str], dict[str, str]]:
    """(rows, remarks) of the page by scenario; none where there is no page yet."""
    rows: dict[str, str] = {}
    remarks: dict[str, str] = {}
    for line in page.read_text().splitlines() if page.exists() else []:
        if line.startswith("| `"):
            rows[line.split("`")[1]] = line
        elif line.startswith("- in `"):
            remarks[line.split("`")[1]] = line.partition("not so: ")[2]
    return rows, remarks


def _told(value: object) -> str:
    if isinstance(value, dict):
        return "(" + ", ".join(f"{k} {_told(v)}" for k, v in value.items()) + ")"
    if isinstance(value, list):
        return ", ".join(map(_told, value)) or "none"
    return str(value)
