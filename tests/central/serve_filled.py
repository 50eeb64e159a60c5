"""Serve a filled hub (`tests.central.filled`) on a port, for browser tests and for screenshots, until it is ended:

    python -m tests.central.serve_filled FOLDER PORT

Platforms that run go on running: new samples come every few seconds.
"""

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn

from central.api import create_app
from tests.central.filled import ADCP, CTD, GAUGE, SECOND, SHIP, FilledHub, fill
from tidegate.frame import Schema


def _keep_running(f: FilledHub, stop: threading.Event) -> None:
    sources: list[tuple[str, str, Schema, int, Callable[[Any], dict[str, Any]], float]] = [
        ("raffles-light", "ctd-1", CTD, 10, f.ctd, 0.4),
        ("raffles-light", "adcp", ADCP, 60, f.adcp, 2.0),
        ("rv-sagitta", "gnss", SHIP, 1, f.ship, 0.1),
        ("rv-sagitta", "tsg", CTD, 10, f.ctd, 0.4),
        *((name, "tide-1", GAUGE, 60, f.gauge, 0.4) for name in ("sembawang", "west-coast", "sedili")),
    ]
    last_ns = [f.now_ns] * len(sources)
    while not stop.wait(2.0):
        f.now_ns = time.time_ns()
        for k, (platform, instrument, schema, interval_s, measure, delay_s) in enumerate(sources):
            step_ns = interval_s * SECOND
            due = np.arange(last_ns[k] + step_ns, f.now_ns - int(delay_s * SECOND) + 1, step_ns, dtype=np.int64)
            if len(due):
                f.samples(platform, instrument, schema, due, measure(due), block=10, delay_s=delay_s)
                last_ns[k] = int(due[-1])


def main() -> None:
    """Fill, serve, and say `ready` when that is so."""
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    filled = FilledHub(folder)
    fill(filled)
    filled.caught_up()
    stop = threading.Event()
    keeper = threading.Thread(target=_keep_running, args=(filled, stop), daemon=True)
    keeper.start()
    try:
        uvicorn.run(create_app(filled.hub), host="127.0.0.1", port=port, log_level="warning")
    finally:
        stop.set()
        keeper.join()
        filled.close()


if __name__ == "__main__":
    main()
