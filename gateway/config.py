"""A gateway's one TOML file: what it may hold, and every mistake in it at once, each with its line and its remedy.

`load(path)` gives a frozen `GatewayConfig`, each instrument with its driver's own settings already checked, or raises
`ConfigError`. `json_schema()` describes the file to editors. What only time can tell (a device that is not plugged
in, a broker that does not answer) is no mistake of the file; that is for the transports and the uplink.

Values come from `tomllib`; it keeps no positions, so `gateway.toml_lines` finds the places of its keys.
"""

import difflib
import re
import termios
import tomllib
import typing
from collections.abc import Mapping, Sequence
from ipaddress import IPv6Address
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import PydanticCustomError

from drivers import driver as drivers
from gateway.mistakes import Mistake, explained, nearest, shown
from gateway.toml_lines import Loc, lines_of
from tidegate.identity import NAME_RULE, is_name

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


def _path(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str | Path):
        return value
    text = str(value)
    if not text.strip() or "\0" in text:
        raise ValueError(f"{text!r} is not a path; name a file or folder")
    base = (info.context or {}).get("base")
    return Path(base) / value if base else Path(value)


def _existing_file(value: object, info: ValidationInfo) -> object:
    path = _path(value, info)
    if isinstance(path, Path):
        try:
            path.open("rb").close()
        except OSError as error:
            raise ValueError(f"{path} cannot be read ({error.strerror}); name a file that this user may read") from None
    return path


def _device(value: object, info: ValidationInfo) -> object:
    path = _path(value, info)
    # A device that is absent may be plugged in later; something else in its place never becomes one.
    if isinstance(path, Path) and path.exists() and not path.is_char_device():
        what = "a folder" if path.is_dir() else "an ordinary file"
        raise ValueError(f"{path} is {what}, not a serial device; `ls -l /dev/serial/by-id` lists the devices")
    return path


_PATH_SCHEMA = WithJsonSchema({"type": "string", "minLength": 1})
Folder = Annotated[Path, BeforeValidator(_path), _PATH_SCHEMA]
ReadableFile = Annotated[Path, BeforeValidator(_existing_file), _PATH_SCHEMA]
Device = Annotated[Path, BeforeValidator(_device), _PATH_SCHEMA]


class Endpoint(NamedTuple):
    """Where something listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*\.?")


def _check_host(host: str) -> str:
    if "://" in host:
        raise ValueError(f"{host!r} has a scheme in front; write the name or address alone")
    if ":" in host:
        try:
            IPv6Address(host.partition("%")[0])
        except ValueError:
            raise ValueError(f"{host!r} is neither a name nor an address; a port number has its own place") from None
    elif not _HOST.fullmatch(host):
        raise ValueError(f"{host!r} is not a host; write a name or an address such as 10.0.0.5")
    return host


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
    return Endpoint(_check_host(host), int(digits) if digits is not None else typing.cast(int, default_port))


def _endpoint(default_port: int | None) -> BeforeValidator:
    def parse(value: object) -> object:
        if isinstance(value, str):
            return parse_endpoint(value, default_port)
        if isinstance(value, Endpoint):
            return value
        raise ValueError(f'{shown(value)} is not text; write "host:port" in quotes')

    return BeforeValidator(parse)


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Platform(_Table):
    """The station or vessel that this gateway serves."""

    name: str = Field(description=f"its name in topics, paths and databases: {NAME_RULE}", examples=["tioman-1"])
    title: str = Field(default="", description="its name for people", examples=["Tioman jetty"], max_length=200)
    latitude: float | None = Field(default=None, ge=-90, le=90, description="degrees north; of a platform that stays")
    longitude: float | None = Field(default=None, ge=-180, le=360, description="degrees east; of a platform that stays")
    moving: bool = Field(default=False, validate_default=True, description="true for a vessel or a drifting buoy")

    @field_validator("name")
    @classmethod
    def _is_name(cls, value: str) -> str:
        return _check_name(value)

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
            raise PydanticCustomError(
                "elsewhere",
                "the platform has no position; add `latitude` and `longitude` in degrees, or `moving = true`",
                {"field": "latitude"},
            )
        if longitude is None and isinstance(latitude, float | int):
            raise PydanticCustomError(
                "elsewhere",
                "is missing while there is a latitude; add `longitude = …` (degrees east)",
                {"field": "longitude"},
            )
        return value


class Tls(_Table):
    """Files for an encrypted link. Empty (`tls = {}`): encrypted, and checked against the system's authorities."""

    ca: ReadableFile | None = Field(
        default=None, description="PEM file of the authority that signed the broker's certificate"
    )
    certificate: ReadableFile | None = Field(default=None, description="PEM file of this gateway's own certificate")
    key: ReadableFile | None = Field(
        default=None, validate_default=True, description="PEM file of that certificate's key"
    )

    @field_validator("key")
    @classmethod
    def _pair(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is None and info.data.get("certificate") is not None:
            raise ValueError('a certificate needs its key; add `key = "…"`')
        if value is not None and info.data.get("certificate", "wrong") is None:
            raise ValueError('a key needs its certificate; add `certificate = "…"`')
        return value


class Broker(_Table):
    """The MQTT broker that takes this gateway's data to the hub."""

    host: str = Field(description="its name or address", examples=["127.0.0.1"])
    tls: Tls | None = Field(
        default=None, description="for an encrypted link: { ca, certificate, key }, each a PEM file"
    )
    port: int = Field(
        default_factory=lambda data: 8883 if data.get("tls") else 1883,
        ge=1,
        le=65535,
        description="its TCP port; 1883, or 8883 with tls, where it is left out",
    )
    username: str | None = Field(default=None, min_length=1, description="where the broker asks for one")
    password: SecretStr | None = Field(default=None, description="better kept outside this file: see password_file")
    password_file: ReadableFile | None = Field(
        default=None, description="a file that holds the password and nothing else"
    )

    @field_validator("host")
    @classmethod
    def _is_host(cls, value: str) -> str:
        return _check_host(value)

    @field_validator("password", mode="before")
    @classmethod
    def _hidden(cls, value: object) -> object:
        if value is None or isinstance(value, SecretStr):
            return value
        if not isinstance(value, str):
            raise ValueError("is not text; write it in quotes")
        return SecretStr(value)

    @field_validator("password", "password_file")
    @classmethod
    def _with_username(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None and info.data.get("username", "wrong") is None:
            raise ValueError('is given without a username; add `username = "…"`')
        if info.field_name == "password_file" and value is not None and info.data.get("password") is not None:
            raise ValueError("is given besides `password`; keep only one of the two")
        return value

    def secret(self) -> str | None:
        """The password, read now, so that a changed file counts at the next connection. Raises OSError."""
        if self.password_file:
            return self.password_file.read_text(encoding="utf-8").rstrip("\r\n")
        return self.password.get_secret_value() if self.password else None


class Storage(_Table):
    """Where data wait, and how much room they may take."""

    directory: Folder = Field(description="folder of the raw log and the spool; relative to this file")
    raw_log: Size = Field(default=2_000_000_000, description="most that raw bytes may take; the oldest go first")
    spool: Size = Field(default=2_000_000_000, description="most that unsent data may take")

    @field_validator("directory")
    @classmethod
    def _is_folder(cls, value: Path) -> Path:
        if value.exists() and not value.is_dir():
            raise ValueError(f"{value} is a file; name a folder, which is made where it is missing")
        return value


def _baud(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and value not in BAUDS:
        near = min(BAUDS, key=lambda baud: abs(baud - value))
        raise ValueError(f"{value} is no speed of a serial port; did you mean {near}?")
    return value


Baud = Annotated[int, BeforeValidator(_baud), WithJsonSchema({"type": "integer", "enum": list(BAUDS)})]
Parity = Literal["none", "even", "odd"]


class SerialPort(_Table):
    """A serial line."""

    kind: ClassVar = "serial"
    serial: Device = Field(
        description="the device, best by its stable name", examples=["/dev/serial/by-id/usb-FTDI_FT232R-if00-port0"]
    )
    baud: Baud = Field(default=9600, description="bits per second, as set in the instrument")
    parity: Parity = Field(default="none", description="as set in the instrument")
    data_bits: Literal[7, 8] = Field(default=8, description="as set in the instrument")
    stop_bits: Literal[1, 2] = Field(default=1, description="as set in the instrument")


class TcpPort(_Table):
    """A serial server or instrument that is connected to over TCP."""

    kind: ClassVar = "tcp"
    tcp: Annotated[Endpoint, _endpoint(None), WithJsonSchema({"type": "string", "pattern": r":\d+$"})] = Field(
        description="host:port", examples=["10.0.0.5:4001"]
    )


class UdpPort(_Table):
    """A UDP port of this computer on which an instrument's datagrams arrive."""

    kind: ClassVar = "udp"
    udp: int = Field(ge=1, le=65535, description="the port to listen on", examples=[10110])


class ModbusTcpPort(_Table):
    """A Modbus/TCP server."""

    kind: ClassVar = "modbus"
    modbus_tcp: Annotated[Endpoint, _endpoint(502), WithJsonSchema({"type": "string"})] = Field(
        description="host or host:port; 502 where no port is given", examples=["10.0.0.6:502"]
    )
    timeout_s: float = Field(default=1.0, ge=0.02, le=60, description="how long one answer may take, in seconds")


class ModbusRtuPort(_Table):
    """A serial bus of Modbus slaves; instruments on the same bus name the same device, with the same speed."""

    kind: ClassVar = "modbus"
    modbus_rtu: Device = Field(description="the bus's device, best by its stable name")
    baud: Baud = Field(default=19200, description="bits per second, as set in the slaves")
    parity: Parity = Field(default="even", description="as set in the slaves; even is the Modbus default")
    stop_bits: Literal[1, 2] = Field(default=1, description="as set in the slaves")
    timeout_s: float = Field(default=1.0, ge=0.02, le=60, description="how long one answer may take, in seconds")


Port = SerialPort | TcpPort | UdpPort | ModbusTcpPort | ModbusRtuPort
_PORTS: dict[str, type[_Table]] = {
    "serial": SerialPort,
    "tcp": TcpPort,
    "udp": UdpPort,
    "modbus_tcp": ModbusTcpPort,
    "modbus_rtu": ModbusRtuPort,
}
_PORT_HELP = 'such as port = { serial = "/dev/serial/by-id/…", baud = 9600 } or port = { tcp = "10.0.0.5:4001" }'


class _Head(_Table):
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


class GatewayConfig(_Table):
    """All that one gateway is told."""

    platform: Platform = Field(description="the station or vessel")
    broker: Broker = Field(description="the MQTT broker")
    storage: Storage = Field(description="where data wait")
    instruments: dict[str, Instrument] = Field(
        default_factory=dict, description=f"the instruments by name; a name is {NAME_RULE}"
    )


def _check_name(value: str) -> str:
    if not is_name(value):
        near = re.sub(r"[^a-z0-9_-]+", "-", value.lower()).strip("-_")[:64].strip("-_")
        hint = f"; {near!r} would do" if is_name(near) else ""
        raise ValueError(f"{value!r} cannot be a name: it is {NAME_RULE}{hint}")
    return value


# ---- reading it -----------------------------------------------------------------------------------------------------


class ConfigError(ValueError):
    """The file cannot be used. `mistakes` are all that is wrong with it, in the file's order; `str` has one a line."""

    def __init__(self, path: Path, mistakes: Sequence[Mistake]) -> None:
        self.path = path
        self.mistakes = tuple(sorted(set(mistakes)))
        super().__init__("\n".join(f"{path}:{mistake.line}: {mistake}" for mistake in self.mistakes))


def load(path: str | Path) -> GatewayConfig:
    """The configuration in the TOML file `path`. Raises `ConfigError` with every mistake that is in it."""
    path = Path(path)
    text = _text(path)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", str(error), re.DOTALL)
        what, line = (found[1], int(found[2] or text.count("\n") + 1)) if found else (str(error), 1)
        column = f" in column {found[3]}" if found and found[3] else ""
        mistake = Mistake(line, "", "", f"this is not TOML{column}: {what[:1].lower()}{what[1:]}")
        raise ConfigError(path, [mistake]) from None
    return _Reader(path, data, lines_of(text)).config()


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        message = f"cannot be read ({error.strerror}); check the path and who may read it"
        raise ConfigError(path, [Mistake(1, "", "", message)]) from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise ConfigError(path, [Mistake(raw.count(b"\n", 0, error.start) + 1, "", "", message)]) from None


class _Reader:
    """Checks one file's data table by table and gathers the mistakes."""

    def __init__(self, path: Path, data: dict[str, Any], lines: Mapping[Loc, int]) -> None:
        self.path = path
        self.data = data
        self.lines = lines
        self.mistakes: list[Mistake] = []
        self.context = {"base": path.resolve().parent}

    def config(self) -> GatewayConfig:
        for name in self.data:
            if name not in GatewayConfig.model_fields:
                self.wrong((name,), f"no table is called so; {nearest(name, GatewayConfig.model_fields, '[{}]')}")
        parts = {
            name: self.required(name, model)
            for name, model in (("platform", Platform), ("broker", Broker), ("storage", Storage))
        }
        instruments = self.instruments()
        if self.mistakes:
            raise ConfigError(self.path, self.mistakes)
        return GatewayConfig(**parts, instruments=instruments)

    def required(self, name: str, model: type[_Table]) -> Any:
        if name in self.data:
            return self.checked(model, (name,))
        fields = ", ".join(key for key, field in model.model_fields.items() if field.is_required())
        self.wrong((name,), f"this table is missing; add [{name}] with {fields}")
        return None

    def instruments(self) -> dict[str, Instrument]:
        tables = self.data.get("instruments", {})
        if not isinstance(tables, dict):
            self.wrong(("instruments",), "must be tables; write each instrument as [instruments.NAME]")
            return {}
        found: dict[str, Instrument] = {}
        for name in tables:
            try:
                _check_name(name)
            except ValueError as error:
                self.wrong(("instruments", name), str(error))
            instrument = self.instrument(("instruments", name))
            if instrument:
                found[name] = instrument
        self.no_two_on_one_device(found)
        return found

    def instrument(self, at: Loc) -> Instrument | None:
        table = self.at(at)
        if not isinstance(table, dict):
            self.wrong(at, f"{shown(table)} is not a table; write it as [instruments.{at[-1]}]")
            return None
        before = len(self.mistakes)
        head = self.checked(_Head, at, {k: v for k, v in table.items() if k not in ("port", "settings")}, Instrument)
        driver = self.driver(table.get("driver"), at)
        port = self.port(table, at, driver)
        settings = self.checked(driver.Settings, (*at, "settings"), table.get("settings", {})) if driver else None
        if len(self.mistakes) > before:
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
        return self.checked(model, here, {key: value for key, value in port.items() if key not in kinds[1:]})

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

    # -- the common part

    def checked(self, model: type[BaseModel], at: Loc, data: Any = None, known: type[BaseModel] | None = None) -> Any:
        """`model` made from the table at `at` (or from `data`), or None with its mistakes noted."""
        data = self.at(at) if data is None else data
        try:
            return model.model_validate(data, context=self.context)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                if detail["type"] == "default_factory_not_called":
                    continue  # follows from another mistake
                loc, message = explained(detail, known or model, data)
                self.wrong((*at, *loc), message)
            return None

    def at(self, loc: Loc) -> Any:
        value: Any = self.data
        for step in loc:
            value = value[step]
        return value

    def wrong(self, loc: Loc, message: str) -> None:
        depth = 2 if loc[0] == "instruments" else 1
        place = loc
        while place and place not in self.lines:
            place = place[:-1]
        table = ".".join(str(step) if is_name(str(step)) else f'"{step}"' for step in loc[:depth])
        field = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in loc[depth:]).lstrip(".")
        self.mistakes.append(Mistake(self.lines.get(place, 1), table, field, message))


# ---- for editors ----------------------------------------------------------------------------------------------------


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the file, with the settings of every installed driver under its name."""
    schema = GatewayConfig.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Tidegate gateway"
    instrument = schema["$defs"]["Instrument"]
    names = drivers.names()
    instrument["properties"]["driver"]["enum"] = names
    instrument["allOf"] = []
    schema["properties"]["instruments"]["propertyNames"] = {"pattern": r"^[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?$"}
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
