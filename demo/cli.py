"""`tidegate demo`: the whole system on this machine, until Ctrl-C or for some seconds, and the proof that nothing
was lost."""

import json
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from demo.ledger import Comparison
from demo.run import Demo, DemoFailed, free_port, port_is_free

_PORT = 8080


class _Stopped(Exception):
    """Ctrl-C or SIGTERM."""


def demo(
    seconds: Annotated[float | None, typer.Option(help="How long to run; until Ctrl-C where left out.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line at the end, and nothing else.")] = False,
    directory: Annotated[Path | None, typer.Option(help="Keep all files here; else they go when it ends.")] = None,
    port: Annotated[int | None, typer.Option(help="Of the page; 8080 where it is free.")] = None,
    influxdb: Annotated[str | None, typer.Option(help="Store in this InfluxDB 1.x (URL), else in DuckDB.")] = None,
    database: Annotated[str, typer.Option(help="The InfluxDB database.")] = "tidegate_demo",
    embedded_broker: Annotated[bool, typer.Option(help="Use the embedded broker though Mosquitto is here.")] = False,
) -> None:
    """Run the whole system on this machine: simulated instruments, two gateways, a broker, the hub and its page.

    At the end everything stops in the order of the data, and what the instruments said is compared with what the
    database holds, sample by sample; the exit code is 1 where they differ.
    """
    settings = {"version": "1", "url": influxdb, "database": database} if influxdb else None
    page = port or (_PORT if port_is_free(_PORT) else free_port())
    with tempfile.TemporaryDirectory(prefix="tidegate-demo-") as temporary:
        run = (directory or Path(temporary)).resolve()
        if directory is not None and (run / "hub").exists():
            typer.echo(f"{run} holds an earlier demo: remove it, or choose another --directory", err=True)
            raise typer.Exit(2)
        try:
            result, report = _run(Demo(run, page, settings, embedded_broker=embedded_broker), seconds, quiet=as_json)
        except DemoFailed as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from None
    if as_json:
        print(json.dumps(report))
    else:
        _print_summary(result, report)
    for remark in result.remarks:
        typer.echo(remark, err=True)
    if result.lost or result.duplicated:
        raise typer.Exit(1)


def _run(demo: Demo, seconds: float | None, *, quiet: bool) -> tuple[Comparison, dict[str, Any]]:
    def stop(*_: object) -> None:
        raise _Stopped

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    with demo:
        try:
            if not quiet:
                print("starting: simulated instruments, broker, hub, two gateways …", flush=True)
            demo.start()
            _watch(demo, seconds, quiet=quiet)
        except _Stopped:
            pass
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # winding down takes some seconds and is not to be cut short
        if not quiet:
            print("stopping: instruments, gateways, hub …", flush=True)
        latency_ms = demo.stop()
    result = demo.compare()
    report = {
        "acquired": result.acquired,
        "journaled": demo.journaled(),
        "stored": result.stored,
        "lost": result.lost,
        "duplicated": result.duplicated,
        "flags": {str(flag): result.flags[flag] for flag in sorted(result.flags)},
        "p99_latency_ms": latency_ms,
    }
    return result, report


def _watch(demo: Demo, seconds: float | None, *, quiet: bool) -> None:
    deadline_s = time.monotonic() + seconds if seconds is not None else float("inf")
    if quiet or not sys.stdout.isatty():
        if not quiet:
            print(f"running: {demo.url}", flush=True)
        while time.monotonic() < deadline_s:
            demo.check()
            time.sleep(min(0.5, max(deadline_s - time.monotonic(), 0.0)))
        return
    from demo.screen import watch

    watch(demo, deadline_s)


def _print_summary(result: Comparison, report: dict[str, Any]) -> None:
    same = not (result.lost or result.duplicated)
    print(f"{report['acquired']} samples were measured, {report['stored']} are stored,", end=" ")
    print("each of them once." if same else f"{result.lost} are lost and {result.duplicated} too many.")
    names = {"1": "pass", "2": "not evaluated", "3": "suspect", "4": "fail", "9": "missing"}
    print("values by flag:", ", ".join(f"{count} {names.get(flag, flag)}" for flag, count in report["flags"].items()))
    print(f"99 of 100 samples were in the database within {report['p99_latency_ms']:.0f} ms")
