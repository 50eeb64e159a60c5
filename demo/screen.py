"""The demo's one live screen: where the page is, the system's parts, and each instrument with its newest numbers."""

import time
from collections.abc import Iterator
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from demo.run import Demo

_COLOURS = {"run": "green", "catching-up": "cyan", "late": "yellow", "silent": "bold red", "offline": "red"}


def watch(demo: Demo, deadline_s: float) -> None:
    """Shows the demo until the deadline (monotonic seconds)."""
    with Live(Text("…"), refresh_per_second=2, screen=False) as live:
        while time.monotonic() < deadline_s:
            demo.check()
            overview = demo.get("/platforms")
            if overview:
                live.update(Group(*_screen(demo, overview)))
            time.sleep(0.5)


def _screen(demo: Demo, overview: dict[str, Any]) -> Iterator[Any]:
    hub = overview["hub"]
    yield Text.assemble(
        ("Tidegate demo", "bold"), "   page and feed: ", (demo.url, "underline"), "   Ctrl-C stops it\n"
    )
    for trouble in hub["troubles"]:
        yield Text(trouble, "bold red")
    table = Table(box=None, pad_edge=False)
    for heading in ("platform", "instrument", "state", "samples", "age", "pass", "suspect", "fail", "problems"):
        table.add_column(
            heading, justify="right" if heading in ("samples", "age", "pass", "suspect", "fail") else "left"
        )
    for platform in sorted(overview["platforms"], key=lambda p: p["name"]):
        for instrument in sorted(platform["instruments"], key=lambda i: i["name"]):
            age_s, qc = instrument["sample_age_s"], instrument["qc"]
            table.add_row(
                platform["name"],
                instrument["name"],
                Text(instrument["state"], _COLOURS.get(instrument["state"], "")),
                f"{instrument['samples']:,}",
                "" if age_s is None else f"{age_s:.1f} s",
                *(f"{qc.get(flag, 0):,}" for flag in ("pass", "suspect", "fail")),
                ", ".join(f"{count} {kind}" for kind, count in instrument["problems"].items()),
            )
    yield table
    delays = [f"{f['name']} p99 {f['delay_p99_s']:.2f} s" for f in hub["followers"] if f["delay_p99_s"] is not None]
    samples = sum(p["samples"] for p in overview["platforms"])
    missing = overview["missing"]
    yield Text(
        f"\n{samples:,} samples at the hub, {missing} Envelopes missing, {overview['explained']} explained, "
        f"{overview['backlog']} in the spools; arrival to store: {', '.join(delays) or 'nothing yet'}"
    )
