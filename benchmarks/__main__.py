"""The command line of the benchmarks."""

import argparse
import importlib
from pathlib import Path

_NO_BENCHMARKS = {"__init__", "__main__", "result", "rig"}


def names() -> list[str]:
    """The benchmarks that there are."""
    return sorted(p.stem for p in Path(__file__).parent.glob("*.py") if p.stem not in _NO_BENCHMARKS)


def main() -> None:
    """Runs one benchmark and prints its line, or lists them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="?", choices=names(), help="which one")
    parser.add_argument("--list", action="store_true", help="print the names")
    arguments = parser.parse_args()
    if arguments.list or arguments.name is None:
        print("\n".join(names()))
        return
    print(importlib.import_module(f"benchmarks.{arguments.name}").run().line())


if __name__ == "__main__":
    main()
