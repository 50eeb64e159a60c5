"""Reads back what the demo's hub stored in its DuckDB file."""

from collections import defaultdict
from pathlib import Path
from typing import Any

from central.changes import Op
from central.store.duckdb import open_for_reading
from demo.ledger import Stored

Key = tuple[str, str, int]

_ROWS = """
    SELECT platform, instrument, parameter, time, value, flag, op
    FROM {table} JOIN streams ON streams.id = {table}.stream ORDER BY cursor
"""


def stored(archive: Path) -> dict[tuple[str, str], list[Stored]]:
    """By platform and instrument: what is known now at each time, and how many times each value came as new."""
    values: dict[Key, dict[str, Any]] = defaultdict(dict)
    flags: dict[Key, dict[str, Any]] = defaultdict(dict)
    inserts: dict[Key, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    with open_for_reading(archive) as connection:
        for table in ("samples", "profiles"):
            rows = connection.execute(_ROWS.format(table=table)).fetchall()
            for platform, instrument, parameter, time_ns, value, flag, op in rows:
                key = (platform, instrument, time_ns)
                values[key][parameter], flags[key][parameter] = value, flag
                inserts[key][parameter] += op == Op.INSERT
    found: dict[tuple[str, str], list[Stored]] = defaultdict(list)
    for key in values:
        found[key[:2]].append(Stored(key[2], values[key], flags[key], inserts[key]))
    return found
