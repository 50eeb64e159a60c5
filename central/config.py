"""A hub's one TOML file. `load(path)` gives a `HubConfig`, or raises `ConfigError` with every mistake in it.

    [hub]
    name = "coast-centre"
    directory = "/var/lib/tidegate"

    [broker]
    host = "mqtt.example.org"

    [influxdb]
    version = 2
    url = "http://localhost:8086"
    org = "centre"
    bucket = "ocean"
    token_file = "influx.token"

Only `[hub]` and `[broker]` are needed. Passwords and tokens are best kept in files of their own, so that this one can
be shown. `json_schema()` describes the file to editors.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, Strict, ValidationInfo, field_validator

from central.qc.settings import QcTable
from tidegate.broker import Broker
from tidegate.identity import NAME_RULE
from tidegate.settings import Folder, Host, Name, ReadableFile, Secret, Table, load_toml, secret_of
from tidegate.settings import json_schema as schema_of


class Identity(Table):
    """Which hub this is, and where it keeps what it knows."""

    name: Name = Field(
        description=f"the hub's own name, its MQTT client id among others: {NAME_RULE}", examples=["coast-centre"]
    )
    directory: Folder = Field(
        description="where the journal and all that is made of it lie; a disk of its own is best",
        examples=["/var/lib/tidegate"],
    )


class Http(Table):
    """Where the hub's page and its feed are served."""

    host: Host = Field(default="127.0.0.1", description="the address to listen on; 0.0.0.0 for all")
    port: int = Field(default=8080, ge=0, le=65535, description="the port to listen on; 0 takes a free one")


_ONLY_1 = ("database", "username", "password", "password_file")
_ONLY_2 = ("org", "bucket", "token", "token_file")


class InfluxDb(Table):
    """The InfluxDB that is kept as a view: with org and bucket (2.x, 3.x), or with a database (1.x)."""

    version: Literal[1, 2] = Field(default=2, description="1 for InfluxDB 1.x; 2 for 2.x and 3.x")
    url: str = Field(description="where it listens", examples=["http://localhost:8086"])
    org: str | None = Field(default=None, description="organisation (2.x)", examples=["centre"])
    bucket: str | None = Field(default=None, validate_default=True, description="bucket (2.x, 3.x)", examples=["ocean"])
    token: Secret | None = Field(default=None, description="(2.x, 3.x) better kept outside this file: see token_file")
    token_file: ReadableFile | None = Field(
        default=None, description="a file that holds the token and nothing else (2.x, 3.x)"
    )
    database: str | None = Field(default=None, validate_default=True, description="database (1.x)", examples=["ocean"])
    username: str | None = Field(default=None, min_length=1, description="where the server asks for one (1.x)")
    password: Secret | None = Field(default=None, description="(1.x) better kept outside this file: see password_file")
    password_file: ReadableFile | None = Field(
        default=None, description="a file that holds the password and nothing else (1.x)"
    )

    @field_validator("url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if not re.match(r"https?://[^/\s]+", value):
            raise ValueError(f'{value!r} is not a URL; write it as "http://localhost:8086"')
        return value

    @field_validator(*_ONLY_1, *_ONLY_2)
    @classmethod
    def _of_its_version(cls, value: Any, info: ValidationInfo) -> Any:
        name, version = info.field_name or "", info.data.get("version")
        its = 1 if name in _ONLY_1 else 2
        if version is None:  # wrong itself, and said so
            return value
        if value is None:
            if name in ("bucket", "database") and version == its:
                other = "" if version == 1 else ", or set `version = 1` and a database"
                raise ValueError(f'is missing; version {version} needs it: add `{name} = "ocean"`{other}')
            return value
        if version != its:
            raise ValueError(f"version {version} has none; take it out, or set `version = {its}`")
        if name in ("password", "password_file") and info.data.get("username", "wrong") is None:
            raise ValueError('is given without a username; add `username = "…"`')
        stated = name.removesuffix("_file")
        if stated != name and info.data.get(stated) is not None:
            raise ValueError(f"is given besides `{stated}`; keep only one of the two")
        return value

    def secret(self) -> str | None:
        """The password (1.x) or token, read now. Raises OSError."""
        if self.version == 1:
            return secret_of(self.password, self.password_file)
        return secret_of(self.token, self.token_file)


class DuckDb(Table):
    """The store that comes with the hub: one DuckDB file in its directory."""

    enabled: bool = Field(default=True, description="false where InfluxDB alone is wanted")


class HubConfig(Table):
    """All that a hub is told."""

    hub: Identity = Field(description="which hub this is, and where it keeps what it knows")
    broker: Broker = Field(description="the MQTT broker that all platforms publish to")
    http: Http = Field(default=Http(), description="where the page and the feed are served")
    duckdb: DuckDb = Field(default=DuckDb(), description="the store that comes with the hub")
    influxdb: InfluxDb | None = Field(default=None, description="an InfluxDB, where one is wanted")
    qc: Annotated[tuple[QcTable, ...], Strict(False)] = Field(
        default=(), description="thresholds of the quality tests; later tables override earlier ones, value by value"
    )


def load(path: Path) -> HubConfig:
    """The settings in the TOML file `path`. Raises `ConfigError` with every mistake that is in it."""
    return load_toml(path, HubConfig)


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the file."""
    return schema_of(HubConfig, "Tidegate hub")
