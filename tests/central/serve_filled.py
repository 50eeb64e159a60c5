"""Serve a filled hub (`tests.central.filled`) on a port, for browser tests and for screenshots, until it is ended:

    python -m tests.central.serve_filled FOLDER PORT

Platforms that run go on running: new samples come every few seconds.
"""

import sys
import threading
from pathlib import Path

import uvicorn

from central.api import create_app
from tests.central.filled import ADCP, CTD, GAUGE, SECOND, SHIP, FilledHub, fill


def _keep_running(f: FilledHub, stop: threading.Event) -> None:
    while not stop.wait(5.0):
        f.now_ns += 5 * SECOND
        f.samples("rv-sagitta", "gnss", SHIP, t := f.times(1, 5), f.ship(t))
        if f.now_ns // SECOND % 10 < 5:
            f.samples("raffles-light", "ctd-1", CTD, t := f.times(10, 10), f.ctd(t))
            f.samples("rv-sagitta", "tsg", CTD, t := f.times(10, 10), f.ctd(t, 3.0))
        if f.now_ns // SECOND % 60 < 5:
            f.samples("raffles-light", "adcp", ADCP, t := f.times(60, 60), f.adcp(t), delay_s=2)
            for name in ("sembawang", "west-coast", "sedili"):
                f.samples(name, "tide-1", GAUGE, t := f.times(60, 60), f.gauge(t))


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
