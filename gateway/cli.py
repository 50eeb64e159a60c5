"""`tidegate gateway …`: the station technician's commands."""

import asyncio
import json
import logging
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway import config as configuration
from gateway.simulate import simulate
from gateway.transports import open_transport
from tidegate.settings import ConfigError

app = typer.Typer(help="The gateway on a station or a ship.", no_args_is_help=True)

app.command()(simulate)

Config = Annotated[Path, typer.Argument(help="The gateway's TOML file.")]


def load(path: Path) -> configuration.GatewayConfig:
    """The configuration, or the end of the program with every error named."""
    try:
        return configuration.load(path)
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


@app.command()
def run(config: Config) -> None:
    """Read the instruments and forward what they say, until Ctrl-C or SIGTERM."""
    from gateway.run import Gateway, StartFailed

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("mqtt").setLevel(logging.ERROR)  # what aiomqtt logs there, the uplink says better
    loaded = load(config)
    try:
        gateway = Gateway(loaded)
    except StartFailed as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    asyncio.run(until_signalled(gateway.run))


async def until_signalled(main: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """Runs `main(stop)` and sets `stop` on SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await main(stop)


@app.command()
def check(config: Config) -> None:
    """Check a configuration and name every error in it, with file, line, field and the fix."""
    loaded = load(config)
    typer.echo(f"{config}: good. Platform {loaded.platform.name}, {len(loaded.instruments)} instruments.")
    for name, instrument in loaded.instruments.items():
        typer.echo(f"  {name}: {instrument.driver} on {open_transport(instrument.port).name}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors."""
    typer.echo(json.dumps(configuration.json_schema(), indent=2))
