"""A gateway's one TOML file: what it may hold, and every mistake in it at once, each with its line and its remedy.

`load(path)` gives a frozen `GatewayConfig`, each instrument with its driver's own settings already checked, or raises
`ConfigError`. `json_schema()` describes the file to editors. What only time can tell (a device that is not plugged
in, a broker that does not answer) is no mistake of the file; that is for the transports and the uplink.
"""

import difflib
import re
import termios
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationInfo, WithJsonSchema, field_validator

from drivers import driver as drivers
from tidegate.broker import Broker
from tidegate.identity import NAME_PATTERN, NAME_RULE
from tidegate.settings import (
    PATH_SCHEMA,
    Folder,
    Name,
    Table,
    TomlFile,
    at_field,
    check_host,
    check_name,
    file_path,
    header,
    shown,
)
from tidegate.settings import json_schema as schema_of
from tidegate.toml_lines import Loc

# ---- what the file may hold -----------------------------------------------------------------------------------------

BAUDS = tuple(sorted(int(name[1:]) for name in dir(termios) if re.fullmatch(r"B[1-9]\d*", name)))
"""The speeds, in bits per second, that this system's serial ports have names for."""

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kMGT]i?B|B)\s*", re.IGNORECASE)
_POWERS = {"b": 0, "k": 1, "m": 2, "g": 3, "t": 4}
MIN_STORE = 10_000_000
"""Bytes; a smaller store would be full within minutes of an outage."""


def _size(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value)
    if not match:
        raise ValueError(f'{value!r} is not a size; write it as "2 GB", "500 MB", "2 GiB" or as a number of bytes')
    number, unit = match[1], match[2].lower()
    return int(float(number) * (1024 if "i" in unit else 1000) ** _POWERS[unit[0]])


Size = Annotated[
    int,
    BeforeValidator(_size),
    Field(ge=MIN_STORE),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*([kKMGT]i?B|B)\s*$"},
                {"type": "integer", "minimum": MIN_STORE},
            ],
            "examples": ["2 GB"],
        }
    ),
]


def _device(value: object, info: ValidationInfo) -> Path:
    path = file_path(value, info)
    # A device that is absent may be plugged in later; something else in its place never becomes one.
    if path.exists() and not path.is_char_device():
        what = "a folder" if path.is_dir() else "an ordinary file"
        raise ValueError(f"{path} is {what}, not a serial device; `ls -l /dev/serial/by-id` lists the devices")
    return path


Device = Annotated[Path, BeforeValidator(_device), PATH_SCHEMA]


class Endpoint(NamedTuple):
    """Where something listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_endpoint(text: str, default_port: int | None = None) -> Endpoint:
    """`host:port`, `[v6 address]:port`, or `host` alone where there is a default port. Raises ValueError."""
    match = re.fullmatch(r"(?:\[([^\]]+)\]|([^:]*))(?::(.*))?", text.strip())
    if not match:
        raise ValueError(f"{text!r} is not host:port; an IPv6 address needs brackets, as in [fe80::1]:4001")
    host, digits = match[1] or match[2], match[3]
    if digits is None and default_port is None:
        raise ValueError(f"{text!r} has no port; write host:port, such as 10.0.0.5:4001")
    if digits is not None and not (re.fullmatch(r"\d{1,5}", digits) and 1 <= int(digits) <= 65535):
        raise ValueError(f"{digits!r} in {text!r} is not a port; it is a number from 1 to 65535")
    return Endpoint(check_host(host), int(digits) if digits is not None else typing.cast(int, default_port))


def _endpoint(default_port: int | None) -> BeforeValidator:
    def parse(value: object) -> object:
        if isinstance(value, str):
            return parse_endpoint(value, default_port)
        if isinstance(value, Endpoint):
            return value
        raise ValueError(f'{shown(value)} is not text; write "host:port" in quotes')

    return BeforeValidator(parse)


class Platform(Table):
    """The station or vessel that this gateway serves."""

    name: Name = Field(description=f"its name in topics, paths and databases: {NAME_RULE}", examples=["tioman-1"])
    title: str = Field(default="", description="its name for people", examples=["Tioman jetty"], max_length=200)
    latitude: float | None = Field(default=None, ge=-90, le=90, description="degrees north; of a platform that stays")
    longitude: float | None = Field(default=None, ge=-180, le=360, description="degrees east; of a platform that stays")
    moving: bool = Field(default=False, validate_default=True, description="true for a vessel or a drifting buoy")

    @field_validator("longitude")
    @classmethod
    def _with_latitude(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and info.data.get("latitude", 0.0) is None:
            raise ValueError("is given without a latitude; add `latitude = …` (degrees north) or take this out")
        return value

    @field_validator("moving")
    @classmethod
    def _somewhere(cls, value: bool, info: ValidationInfo) -> bool:
        latitude, longitude = (info.data.get(name, "wrong") for name in ("latitude", "longitude"))
        if latitude is None and longitude is None and not value:
            raise at_field(
                "latitude",
                "the platform has no position; add `latitude` and `longitude` in degrees, or `moving = true`",
            )
        if longitude is None and isinstance(latitude, float | int):
            raise at_field("longitude", "is missing while there is a latitude; add `longitude = …` (degrees east)")
        return value


class Storage(Table):
    """Where data wait, and how much room they may take."""

    directory: Folder = Field(description="folder of the raw log and the spool; relative to this file")
    raw_log: Size = Field(default=2_000_000_000, description="most that raw bytes may take; the oldest go first")
    spool: Size = Field(default=2_000_000_000, description="most that unsent data may take")


def _baud(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and value not in BAUDS:
        near = min(BAUDS, key=lambda baud: abs(baud - value))
        raise ValueError(f"{value} is no speed of a serial port; did you mean {near}?")
    return value


Baud = Annotated[int, BeforeValidator(_baud), WithJsonSchema({"type": "integer", "enum": list(BAUDS)})]
Parity = Literal["none", "even", "odd"]


class SerialPort(Table):
    """A serial line."""

    kind: ClassVar = "serial"
    serial: Device = Field(
        description="the device, best by its stable name", examples=["/dev/serial/by-id/usb-FTDI_FT232R-if00-port0"]
    )
    baud: Baud = Field(default=9600, description="bits per second, as set in the instrument")
    parity: Parity = Field(default="none", description="as set in the instrument")
    data_bits: Literal[7, 8] = Field(default=8, description="as set in the instrument")
    stop_bits: Literal[1, 2] = Field(default=1, description="as set in the instrument")


class TcpPort(Table):
    """A serial server or instrument that is connected to over TCP."""

    kind: ClassVar = "tcp"
    tcp: Annotated[Endpoint, _endpoint(None), WithJsonSchema({"type": "string", "pattern": r":\d+$"})] = Field(
        description="host:port", examples=["10.0.0.5:4001"]
    )


class UdpPort(Table):
    """A UDP port of this computer on which an instrument's datagrams arrive."""

    kind: ClassVar = "udp"
    udp: int = Field(ge=1, le=65535, description="the port to listen on", examples=[10110])


class ModbusTcpPort(Table):
    """A Modbus/TCP server."""

    kind: ClassVar = "modbus"
    modbus_tcp: Annotated[Endpoint, _endpoint(502), WithJsonSchema({"type": "string"})] = Field(
        description="host or host:port; 502 where no port is given", examples=["10.0.0.6:502"]
    )
    timeout_s: float = Field(default=1.0, ge=0.02, le=60, description="how long one answer may take, in seconds")


class ModbusRtuPort(Table):
    """A serial bus of Modbus slaves; instruments on the same bus name the same device, with the same speed."""

    kind: ClassVar = "modbus"
    modbus_rtu: Device = Field(description="the bus's device, best by its stable name")
    baud: Baud = Field(default=19200, description="bits per second, as set in the slaves")
    parity: Parity = Field(default="even", description="as set in the slaves; even is the Modbus default")
    stop_bits: Literal[1, 2] = Field(default=1, description="as set in the slaves")
    timeout_s: float = Field(default=1.0, ge=0.02, le=60, description="how long one answer may take, in seconds")


Port = SerialPort | TcpPort | UdpPort | ModbusTcpPort | ModbusRtuPort
_PORTS: dict[str, type[Table]] = {
    "serial": SerialPort,
    "tcp": TcpPort,
    "udp": UdpPort,
    "modbus_tcp": ModbusTcpPort,
    "modbus_rtu": ModbusRtuPort,
}
_PORT_HELP = 'such as port = { serial = "/dev/serial/by-id/…", baud = 9600 } or port = { tcp = "10.0.0.5:4001" }'


class _Head(Table):
    driver: str = Field(description="the driver that understands it", examples=["sbe37"])
    interval_s: float = Field(
        gt=0, le=604800, description="seconds between its samples, as expected or to be polled", examples=[1.0]
    )


class Instrument(_Head):
    """One instrument: what it is, how often it measures and where it is connected."""

    port: Port = Field(description="where it is connected: serial, tcp, udp, modbus_tcp or modbus_rtu")
    settings: Annotated[drivers.DriverSettings, WithJsonSchema({"type": "object"})] = Field(
        default_factory=drivers.DriverSettings, description="the driver's own settings"
    )


class _Fixed(Table):
    platform: Platform = Field(description="the station or vessel")
    broker: Broker = Field(description="the MQTT broker")
    storage: Storage = Field(description="where data wait")


class GatewayConfig(_Fixed):
    """All that one gateway is told."""

    instruments: dict[str, Instrument] = Field(
        default_factory=dict, description=f"the instruments by name; a name is {NAME_RULE}"
    )


# ---- reading it -----------------------------------------------------------------------------------------------------


def load(path: str | Path) -> GatewayConfig:
    """The configuration in the TOML file `path`. Raises `ConfigError` with every mistake that is in it."""
    file = TomlFile(Path(path), GatewayConfig)
    fixed = file.checked(_Fixed, data={k: v for k, v in file.data.items() if k != "instruments"}, known=GatewayConfig)
    instruments = _Instruments(file).all()
    fixed = file.conclude(fixed)
    return GatewayConfig(platform=fixed.platform, broker=fixed.broker, storage=fixed.storage, instruments=instruments)


class _Instruments:
    """Checks the instruments' tables: what a table may hold depends on its driver and its kind of port."""

    def __init__(self, file: TomlFile) -> None:
        self.file = file
        self.wrong = file.wrong

    def all(self) -> dict[str, Instrument]:
        tables = self.file.data.get("instruments", {})
        if not isinstance(tables, dict):
            self.wrong(("instruments",), "must be tables; write each instrument as [instruments.NAME]")
            return {}
        found: dict[str, Instrument] = {}
        for name in tables:
            try:
                check_name(name)
            except ValueError as error:
                self.wrong(("instruments", name), str(error))
            instrument = self.instrument(("instruments", name), tables[name])
            if instrument:
                found[name] = instrument
        self.no_two_on_one_device(found)
        return found

    def instrument(self, at: Loc, table: object) -> Instrument | None:
        if not isinstance(table, dict):
            self.wrong(at, f"{shown(table)} is not a table; write it as [{header(at)}]")
            return None
        before = len(self.file.mistakes)
        head = self.file.checked(
            _Head, at, {k: v for k, v in table.items() if k not in ("port", "settings")}, Instrument
        )
        driver = self.driver(table.get("driver"), at)
        port = self.port(table, at, driver)
        settings = self.file.checked(driver.Settings, (*at, "settings"), table.get("settings", {})) if driver else None
        if head is None or len(self.file.mistakes) > before:
            return None
        return Instrument(
            driver=head.driver, interval_s=head.interval_s, port=port, settings=typing.cast(Any, settings)
        )

    def driver(self, name: object, at: Loc) -> type[drivers.Driver] | None:
        if not isinstance(name, str):
            return None  # said already, by the table's own check
        try:
            return drivers.load(name)
        except drivers.UnknownDriver as error:
            close = difflib.get_close_matches(name, drivers.names(), 1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            self.wrong((*at, "driver"), f"{hint}{error}")
        except Exception as error:  # a third party's module may fail in any way when it is imported
            reason = f"{type(error).__name__}: {error}"
            self.wrong((*at, "driver"), f"the driver {name!r} is installed but does not load ({reason}); reinstall it")
        return None

    def port(self, table: Mapping[str, Any], at: Loc, driver: type[drivers.Driver] | None) -> Any:
        here = (*at, "port")
        if "port" not in table:
            self.wrong(here, f"is missing; say where the instrument is connected, {_PORT_HELP}")
            return None
        port = table["port"]
        if not isinstance(port, dict):
            self.wrong(here, f"{shown(port)} is not a table; write it {_PORT_HELP}")
            return None
        kinds = [key for key in port if key in _PORTS]
        if not kinds:
            close = next((near for key in port for near in difflib.get_close_matches(key, _PORTS, 1)), None)
            hint = f"did you mean {close!r}? " if close else ""
            self.wrong(here, f"{hint}it has none of {', '.join(_PORTS)}; write one, {_PORT_HELP}")
            return None
        for extra in kinds[1:]:
            self.wrong((*here, extra), f"the port is already {kinds[0]}; keep only one of them")
        model = _PORTS[kinds[0]]
        if driver and model.kind not in driver.transports:  # type: ignore[attr-defined]
            could = " or ".join(
                key
                for key, other in _PORTS.items()
                if other.kind in driver.transports  # type: ignore[attr-defined]
            )
            message = f"the driver {table.get('driver')!r} does not work over {kinds[0]}; connect it by {could}"
            self.wrong((*here, kinds[0]), message)
        return self.file.checked(model, here, {key: value for key, value in port.items() if key not in kinds[1:]})

    def no_two_on_one_device(self, found: Mapping[str, Instrument]) -> None:
        owners: dict[str, tuple[str, Port]] = {}
        for name, instrument in found.items():
            port, at = instrument.port, ("instruments", name, "port")
            match port:
                case SerialPort(serial=device) | ModbusRtuPort(modbus_rtu=device):
                    key = str(device.resolve())
                case UdpPort(udp=number):
                    key = f"udp {number}"
                case _:
                    continue
            first_name, first = owners.setdefault(key, (name, port))
            if first is port:
                continue
            if isinstance(port, ModbusRtuPort) and isinstance(first, ModbusRtuPort):
                for field in ("baud", "parity", "stop_bits"):
                    theirs, ours = getattr(first, field), getattr(port, field)
                    if theirs != ours:
                        self.wrong(
                            (*at, field),
                            f"{ours} differs from {theirs} of {first_name!r} on the same bus; give both the same",
                        )
            else:
                field = next(key for key in _PORTS if key in type(port).model_fields)
                self.wrong((*at, field), f"{first_name!r} uses this port already; give each instrument its own")


# ---- for editors ----------------------------------------------------------------------------------------------------


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the file, with the settings of every installed driver under its name."""
    schema = schema_of(GatewayConfig, "Tidegate gateway")
    instrument = schema["$defs"]["Instrument"]
    names = drivers.names()
    instrument["properties"]["driver"]["enum"] = names
    instrument["allOf"] = []
    schema["properties"]["instruments"]["propertyNames"] = {"pattern": f"^{NAME_PATTERN}$"}
    for name in names:
        try:
            driver = drivers.load(name)
        except Exception as error:  # a third party's driver that does not load must not cost the others their schema
            then: dict[str, Any] = {"description": f"this driver does not load: {type(error).__name__}: {error}"}
        else:
            template = f"#/$defs/driver:{name}:{{model}}"
            settings = TypeAdapter(driver.Settings).json_schema(ref_template=template)
            for model, definition in settings.pop("$defs", {}).items():
                schema["$defs"][f"driver:{name}:{model}"] = definition
            settings.setdefault("description", driver.title)
            then = {"properties": {"settings": settings}}
            if settings.get("required"):
                then["required"] = ["settings"]
        condition = {"properties": {"driver": {"const": name}}, "required": ["driver"]}
        instrument["allOf"].append({"if": condition, "then": then})
    return schema
