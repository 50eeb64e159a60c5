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


def usual(config: Path | None) -> Path:
    """The file that is meant where none is named."""
    places = (Path("station.toml"), Path("/etc/tidegate/station.toml"))
    return config or next((path for path in places if path.exists()), places[0])


def running(config: Path | None) -> tuple[Path, Path]:
    """The storage directory of the gateway that runs with this file, and the file."""
    from gateway.control import NoGateway, storage_directory

    found = usual(config)
    try:
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


@app.command("add")
def add_(
    config: Annotated[
        Path | None, typer.Argument(help="The gateway's TOML file; station.toml here or in /etc/tidegate if not given.")
    ] = None,
    driver: Annotated[str | None, typer.Option(help="Its driver; found out if not given.")] = None,
    port: Annotated[
        str | None,
        typer.Option(help='Where it is: "/dev/… 9600 8N1", host:port, udp:10110, or a table as in the file.'),
    ] = None,
    name: Annotated[str | None, typer.Option(help="What it is to be called, such as ctd-1.")] = None,
    interval_s: Annotated[float | None, typer.Option("--interval-s", help="Seconds between its samples.")] = None,
    given: Annotated[list[str] | None, typer.Option("--set", help="A setting of the driver: name=value.")] = None,
    platform: Annotated[str | None, typer.Option(help="Of a new file: the platform's name.")] = None,
    position: Annotated[str | None, typer.Option(help="Of a new file: latitude,longitude; or moving.")] = None,
    broker: Annotated[str | None, typer.Option(help="Of a new file: the MQTT broker, host:port.")] = None,
    storage: Annotated[str | None, typer.Option(help="Of a new file: the folder for data that wait.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: take what is found out and proposed.")] = False,
) -> None:
    """Add an instrument to the gateway's file: asks a few questions, finds out what it can, and writes the TOML."""
    from gateway.add import Answers, NotAdded, add

    answers = Answers(driver, port, name, interval_s, given or [], platform, position, broker, storage, yes)
    try:
        add(usual(config), answers)
    except (NotAdded, ConfigError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2 if isinstance(error, ConfigError) else 1) from None


@app.command("try")
def try_(
    instrument: Annotated[str | None, typer.Argument(help="The instrument's name in the file.")] = None,
    config: RunningConfig = None,
    sample: Annotated[
        Path | None, typer.Option(help="A recording instead of the live port; - is standard input, for pasting.")
    ] = None,
    for_s: Annotated[float | None, typer.Option("--for-s", min=0.1, help="End after so many seconds.")] = None,
    driver: Annotated[str | None, typer.Option(help="A driver for the sample, where no file names one.")] = None,
    given: Annotated[list[str] | None, typer.Option("--set", help="A setting of that driver: name=value.")] = None,
) -> None:
    """Try one instrument's configuration: what it says, and beside it what is decoded of that."""
    from drivers import driver as drivers
    from gateway.console import Refused
    from gateway.control import NoGateway
    from gateway.decode import make_driver
    from gateway.trial import try_live, try_sample

    if driver is not None:
        if sample is None:
            raise typer.BadParameter(
                "without the gateway's file there is no port; give --sample", param_hint="--driver"
            )
        made, found = make_driver(driver, instrument or driver, given or []), None
    elif given:
        raise typer.BadParameter("these settings need --driver; others stand in the gateway's file", param_hint="--set")
    elif instrument is None:
        raise typer.BadParameter("name one of the file, or give --driver and --sample", param_hint="INSTRUMENT")
    else:
        path = usual(config)
        loaded = load(path)
        found = loaded.instruments.get(instrument)
        if found is None:
            known = ", ".join(loaded.instruments) or "none"
            raise typer.BadParameter(
                f"{path} has no instrument {instrument!r}; it has: {known}", param_hint="INSTRUMENT"
            )
        made = drivers.load(found.driver)(instrument, found.settings)
    try:
        if sample is not None:
            good = try_sample(made, instrument, sample)
        elif found is not None:
            good = asyncio.run(try_live(made, found, loaded.storage.directory, for_s))
    except (NoGateway, Refused, ValueError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    except OSError as error:
        typer.echo(f"{sample or ''}: {error.strerror or error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    raise typer.Exit(0 if good else 1)


@app.command()
def probe(
    port: Annotated[
        str | None, typer.Argument(help="A device, host:port or udp:PORT; all serial ports are listed if not given.")
    ] = None,
    modbus: Annotated[bool, typer.Option("--modbus", help="Look for Modbus devices on it.")] = False,
    registers: Annotated[str | None, typer.Option(help="Of Modbus devices: show these, such as 0-31.")] = None,
    all_units: Annotated[bool, typer.Option("--all-units", help="Ask Modbus units up to 247, not only to 32.")] = False,
    listen_s: Annotated[float, typer.Option(min=0.2, max=3600, help="How long to listen at each line setting.")] = 3.0,
    config: Annotated[Path | None, typer.Option(help="The file of the gateway that may be running.")] = None,
) -> None:
    """Find out what is connected to a port. Listens, and asks who is silent; changes nothing in any instrument."""
    from gateway.found import PortUnusable
    from gateway.survey import parse_span, survey

    try:
        span = parse_span(registers) if registers is not None else None
        good = survey(port, usual(config), modbus=modbus, listen_s=listen_s, every_unit=all_units, registers=span)
    except ValueError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    except PortUnusable as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
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
    count = len(loaded.instruments)
    typer.echo(f"{config}: good. Platform {loaded.platform.name}, {count} instrument{'s' if count != 1 else ''}.")
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
