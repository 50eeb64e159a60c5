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

Only `[hub]` and `[broker]` are needed. Passwords and tokens stand in files of their own, so that this one can be shown.
"""

import re
import ssl
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from central.qc.settings import QcTable
from tidegate.identity import NAME_RULE, is_name
from tidegate.settings import ConfigError, FilePath, load_toml

__all__ = ["Broker", "ConfigError", "DuckDb", "Http", "HubConfig", "InfluxDb", "load"]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Identity(_Table):
    """Which hub this is, and where it keeps what it knows."""

    name: str = Field(description="the hub's own name, its MQTT client id among others", examples=["coast-centre"])
    directory: FilePath = Field(
        description="where the journal and all that is made of it lie; a disk of its own is best",
        examples=["/var/lib/tidegate"],
    )

    @field_validator("name")
    @classmethod
    def _is_name(cls, value: str) -> str:
        if not is_name(value):
            raise ValueError(f"{value!r} cannot be a name: it is {NAME_RULE}")
        return value

    @field_validator("directory")
    @classmethod
    def _is_folder(cls, value: Path) -> Path:
        if value.exists() and not value.is_dir():
            raise ValueError(f"{value} is a file; give a folder, it is made where it does not exist")
        return value


class Tls(_Table):
    """How the broker proves itself, and the hub itself to the broker."""

    ca_file: FilePath | None = Field(None, description="certificates to trust (PEM); the system's where not given")
    certificate_file: FilePath | None = Field(None, description="the hub's own certificate (PEM)")
    key_file: FilePath | None = Field(None, description="the key of the hub's certificate (PEM)")

    @field_validator("ca_file", "certificate_file", "key_file")
    @classmethod
    def _exists(cls, value: Path | None) -> Path | None:
        return _existing(value)

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file belong together; give both or neither")
        return self

    def context(self) -> ssl.SSLContext:
        """These settings as ssl wants them. Raises `ssl.SSLError` where a file is not what it should be."""
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.certificate_file is not None:
            context.load_cert_chain(self.certificate_file, self.key_file)
        return context


class Broker(_Table):
    """The MQTT 5 broker that all platforms publish to."""

    host: str = Field(description="the broker's name or address", examples=["mqtt.example.org"])
    port: int | None = Field(None, ge=1, le=65535, description="8883 with tls and 1883 without, where not given")
    username: str | None = Field(None, description="who the hub is to the broker")
    password_file: FilePath | None = Field(None, description="a file that holds the password and nothing else")
    tls: Tls | None = Field(None, description="encryption; `tls = {}` trusts the system's certificates")

    @field_validator("password_file")
    @classmethod
    def _exists(cls, value: Path | None) -> Path | None:
        return _existing(value)

    @model_validator(mode="after")
    def _with_username(self) -> Self:
        if self.password_file is not None and self.username is None:
            raise ValueError("password_file is given without username; add `username`")
        return self

    @property
    def address(self) -> tuple[str, int]:
        """(host, port)."""
        return self.host, self.port or (1883 if self.tls is None else 8883)

    def password(self) -> str | None:
        """What the password file holds now."""
        return None if self.password_file is None else self.password_file.read_text().strip()


class Http(_Table):
    """Where the hub's page and its feed are served."""

    host: str = Field("127.0.0.1", description="the address to listen on; 0.0.0.0 for all")
    port: int = Field(8080, ge=0, le=65535, description="the port to listen on; 0 takes a free one")


class InfluxDb(_Table):
    """The InfluxDB that is kept as a view: with org and bucket (2.x, 3.x), or with a database (1.x)."""

    version: Literal[1, 2] = Field(2, description="1 for InfluxDB 1.x; 2 for 2.x and 3.x")
    url: str = Field(description="where it listens", examples=["http://localhost:8086"])
    token: str | None = Field(None, description="the token itself; token_file is better", repr=False)
    token_file: FilePath | None = Field(None, description="a file that holds the token and nothing else")
    org: str | None = Field(None, description="organisation (2.x)", examples=["centre"])
    bucket: str | None = Field(None, description="bucket (2.x, 3.x)", examples=["ocean"])
    database: str | None = Field(None, description="database (1.x)", examples=["ocean"])
    username: str | None = Field(None, description="user (1.x)")
    password: str | None = Field(None, description="password (1.x)", repr=False)

    @field_validator("url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if not re.match(r"https?://[^/\s]+", value):
            raise ValueError(f'{value!r} is not a URL; write it as "http://localhost:8086"')
        return value

    @field_validator("token_file")
    @classmethod
    def _exists(cls, value: Path | None) -> Path | None:
        return _existing(value)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.version == 1:
            if self.database is None:
                raise ValueError('version 1 needs a database; add `database = "ocean"`')
            odd = [name for name in ("org", "bucket", "token", "token_file") if getattr(self, name) is not None]
            if odd:
                raise ValueError(f"{', '.join(odd)}: version 1 has none; remove it, or set `version = 2`")
            return self
        if self.bucket is None:
            raise ValueError('version 2 needs a bucket; add `bucket = "ocean"`, or set `version = 1` and a database')
        odd = [name for name in ("database", "username", "password") if getattr(self, name) is not None]
        if odd:
            raise ValueError(f"{', '.join(odd)}: only version 1 has these; remove it, or set `version = 1`")
        if self.token is not None and self.token_file is not None:
            raise ValueError("token and token_file are both given; keep one of them")
        return self

    def secret(self) -> str | None:
        """The token, or what its file holds now."""
        return self.token if self.token_file is None else self.token_file.read_text().strip()


class DuckDb(_Table):
    """The store that comes with the hub: one DuckDB file in its directory."""

    enabled: bool = Field(True, description="false where InfluxDB alone is wanted")


class HubConfig(_Table):
    """All that a hub is told."""

    hub: Identity = Field(description="with name and directory")
    broker: Broker = Field(description="with host")
    http: Http = Field(default_factory=lambda: Http.model_validate({}))
    influxdb: InfluxDb | None = Field(None, description="with url, and bucket or database")
    qc: tuple[QcTable, ...] = Field((), description="thresholds of the quality tests, as [[qc]] tables")
    duckdb: DuckDb = Field(default_factory=lambda: DuckDb.model_validate({}))


def _existing(path: Path | None) -> Path | None:
    if path is not None and not path.is_file():
        raise ValueError(f"there is no file {path}; check the name, or make it")
    return path


def load(path: Path) -> HubConfig:
    """The settings in the TOML file `path`. Raises `ConfigError` with every mistake that is in it."""
    return load_toml(path, HubConfig)
