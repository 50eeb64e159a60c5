"""Reads back what the demo's hub stored in InfluxDB, by InfluxQL."""

import json
import urllib.parse
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from demo.ledger import Stored

_VOID = 9
Key = tuple[str, str, int]


def stored(settings: Mapping[str, str]) -> dict[tuple[str, str], list[Stored]]:
    """By platform and instrument: what stands there at each time; a value beside a flag of 9 is void."""
    values: dict[Key, dict[str, Any]] = defaultdict(dict)
    flags: dict[Key, dict[str, Any]] = defaultdict(dict)
    profiles: dict[Key, dict[int, dict[str, Any]]] = defaultdict(dict)
    for row in _rows(settings):
        key = (row["platform"], row["instrument"], row["time"])
        fields = {name: value for name, value in row.items() if name.endswith("_flag") and value is not None}
        said = {name[:-5]: (None if flag == _VOID else row.get(name[:-5]), int(flag)) for name, flag in fields.items()}
        if row.get("cell"):
            profiles[key][int(row["cell"])] = said
        else:
            for name, (value, flag) in said.items():
                values[key][name], flags[key][name] = value, flag
    for key, cells in profiles.items():
        for name in cells[min(cells)]:
            values[key][name] = [cells[cell][name][0] for cell in sorted(cells)]
            flags[key][name] = [cells[cell][name][1] for cell in sorted(cells)]
    found: dict[tuple[str, str], list[Stored]] = defaultdict(list)
    for key in values:
        found[key[:2]].append(Stored(key[2], values[key], flags[key]))
    return found


def _rows(settings: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    query = {"db": settings["database"], "q": "SELECT * FROM /.*/ GROUP BY *", "epoch": "ns"}
    query |= {key: settings[name] for key, name in (("u", "username"), ("p", "password")) if settings.get(name)}
    with urllib.request.urlopen(f"{settings['url']}/query?{urllib.parse.urlencode(query)}", timeout=60) as answer:
        results = json.load(answer)["results"]
    for series in results[0].get("series", []):
        for row in series["values"]:
            yield {**series.get("tags", {}), **dict(zip(series["columns"], row, strict=True))}
