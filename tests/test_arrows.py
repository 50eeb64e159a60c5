"""The house: imports go down only, and a reader can rely on it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = {
    "tidegate": set(),
    "drivers": {"tidegate"},
    "gateway": {"tidegate", "drivers"},
    "central": {"tidegate"},
    "demo": {"tidegate", "drivers", "gateway", "central"},
    "benchmarks": {"tidegate", "drivers", "gateway", "central", "demo", "tests"},
}
OURS = set(FLOORS) | {"tests", "docs"}


def imported(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute here"
            yield node.lineno, node.module or ""


@pytest.mark.parametrize("floor", FLOORS)
def test_imports_go_down_only(floor: str) -> None:
    files = sorted((ROOT / floor).rglob("*.py"))
    assert files
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in files
        for line, name in imported(path)
        if (top := name.split(".")[0]) in OURS and top != floor and top not in FLOORS[floor]
    ]
    assert not wrong


def test_drivers_own_no_input_or_output() -> None:
    """Sans-IO: no driver (nor simulator) knows of ports, sockets, threads or the event loop."""
    forbidden = {"socket", "serial", "asyncio", "threading", "subprocess", "pymodbus", "aiomqtt", "time", "os"}
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in sorted((ROOT / "drivers").rglob("*.py"))
        for line, name in imported(path)
        if name.split(".")[0] in forbidden
    ]
    assert not wrong


def test_tests_mirror_the_source() -> None:
    """A test module stands where its source stands, so that each is found from the other."""
    for path in (ROOT / "tests").rglob("test_*.py"):
        inside = path.relative_to(ROOT / "tests")
        if len(inside.parts) > 1 and inside.parts[0] != "faults":
            assert (ROOT / inside.parent).is_dir(), f"{path} tests a folder that is not there"
