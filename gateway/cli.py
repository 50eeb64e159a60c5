"""`tidegate gateway …`: the station technician's commands."""

import asyncio
import json
import logging
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from gateway import catalogue
from gateway import config as configuration
from gateway.simulate import simulate
from gateway.transports import open_transport
from tidegate.settings import ConfigError

app = typer.Typer(help="The gateway on a station or a ship.", no_args_is_help=True)

app.command()(simulate)

Config = Annotated[Path, typer.Argument(help="The gateway's TOML file.")]
RunningConfig = Annotated[
    Path | None,
    typer.Argument(help="The running gateway's TOML file; station.toml here or in /etc/tidegate where left out."),
]


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


def running(config: Path | None) -> tuple[Path, Path]:
    """The storage directory of the gateway that runs with this file, and the file."""
    from gateway.control import NoGateway, storage_directory

    usual = (Path("station.toml"), Path("/etc/tidegate/station.toml"))
    try:
        found = config or next((path for path in usual if path.exists()), usual[0])
        return storage_directory(found), found
    except NoGateway as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


@app.command()
def console(
    instrument: Annotated[str, typer.Argument(help="The instrument's name.")],
    config: RunningConfig = None,
    minutes: Annotated[float, typer.Option(min=0.05, max=60, help="The console ends by itself after so long.")] = 10,
    hold_polls: Annotated[bool, typer.Option("--hold-polls", help="No polls of the gateway meanwhile.")] = False,
    ending: Annotated[
        Literal["crlf", "lf", "cr"] | None, typer.Option(help="What ends a line; as the driver's own where left out.")
    ] = None,
    wait: Annotated[float, typer.Option(min=0.1, help="Of a script: end after so many seconds of silence.")] = 3.0,
) -> None:
    """Talk to an instrument through the running gateway. Data go on being recorded; all that is said is logged."""
    from gateway.console import Refused
    from gateway.control import NoGateway
    from gateway.talk import talk

    try:
        good = asyncio.run(talk(running(config)[0], instrument, minutes, hold_polls, ending, wait))
    except (NoGateway, Refused) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    raise typer.Exit(0 if good else 1)


@app.command()
def top(config: RunningConfig = None) -> None:
    """Watch the running gateway: its instruments, the link, the disk and the log."""
    from gateway.screen import Top

    Top(*running(config)).run()


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


@app.command(name="drivers")
def drivers_(
    name: Annotated[str | None, typer.Argument(help="All that this driver states.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """The catalogue of instruments that can be read, and what their drivers measure, need, send and complain about."""
    catalogue.drivers_command(name, as_json)
