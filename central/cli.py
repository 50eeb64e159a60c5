"""`tidegate hub …`: the data manager's commands."""

import asyncio
import json
import logging
import signal
import urllib.error
import urllib.request
from pathlib import Path
from typing import Annotated, Any

import typer

from central import config as configuration
from tidegate.settings import ConfigError

app = typer.Typer(help="The hub at the data centre.", no_args_is_help=True)

Config = Annotated[Path, typer.Argument(help="The hub's TOML file.")]

_COLOURS = {
    "run": "green",
    "catching-up": "cyan",
    "late": "yellow",
    "never-heard": "yellow",
    "quarantined": "magenta",
    "offline": "red",
    "silent": "bold red",
}


@app.command()
def run(config: Config) -> None:
    """Take in what platforms publish, keep, judge, store and serve it, until Ctrl-C or SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("mqtt").setLevel(logging.ERROR)  # what aiomqtt logs there, ingest says better
    loaded = _load(config)
    try:
        asyncio.run(_run(loaded))
    except (OSError, RuntimeError) as error:
        typer.echo(getattr(error, "strerror", None) or str(error), err=True)
        raise typer.Exit(1) from None


async def _run(loaded: configuration.HubConfig) -> None:
    from central.run import run as run_hub

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    listening: asyncio.Future[str] = loop.create_future()
    listening.add_done_callback(lambda told: None if told.cancelled() else print(told.result(), flush=True))
    await run_hub(loaded, stop, listening)


@app.command()
def check(config: Config) -> None:
    """Check a configuration and name every mistake in it, with file, line, setting and the remedy."""
    loaded = _load(config)
    stores = ["archive"] * loaded.duckdb.enabled + ["InfluxDB"] * (loaded.influxdb is not None)
    typer.echo(f"{config}: good. Hub {loaded.hub.name}, keeps its data in {loaded.hub.directory}.")
    typer.echo(
        f"  listens to the broker {loaded.broker.host}:{loaded.broker.port}, serves http://{loaded.http.host}:{loaded.http.port}"
    )
    typer.echo(f"  stores: {', '.join(stores) or 'none, the change log alone'}; [[qc]] tables: {len(loaded.qc)}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors."""
    typer.echo(json.dumps(configuration.json_schema(), indent=2))


@app.command()
def status(
    url: Annotated[str, typer.Option(help="The hub's address.")] = "http://127.0.0.1:8080",
) -> None:
    """How all platforms do, the worst first."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    told = _get(f"{url.rstrip('/')}/platforms")
    platforms = told["platforms"] if isinstance(told, dict) else told
    table = Table(box=None, pad_edge=False)
    for heading in ("platform", "state", "why"):
        table.add_column(heading, overflow="fold")
    for heading in ("age", "backlog", "missing", "samples"):
        table.add_column(heading, justify="right", no_wrap=True)
    for p in platforms:
        table.add_row(
            Text(p["name"], overflow="fold"),
            Text(p["state"], _COLOURS.get(p["state"], "")),
            Text(p.get("reason") or ""),
            _age(p.get("sample_age_s")),
            str(p.get("backlog", "")),
            str(p.get("missing", "")),
            str(p.get("samples", "")),
        )
    console = Console()
    hub = told.get("hub", {}) if isinstance(told, dict) else {}
    for trouble in hub.get("troubles", []):
        console.print(Text(trouble, "bold red"))
    for follower in hub.get("followers", []):
        if follower["error"]:
            console.print(Text(f"{follower['name']} is {follower['lag']} changes behind: {follower['error']}", "red"))
    console.print(table if platforms else Text("no platform has been heard of yet"))


def _load(path: Path) -> configuration.HubConfig:
    """The configuration, or the end of the program with every mistake named."""
    try:
        return configuration.load(path)
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


def _get(url: str) -> Any:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.loads(answer.read())
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        typer.echo(f"{url}: {reason}. Is the hub running, and is this its address? Give it by --url", err=True)
        raise typer.Exit(1) from None


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
