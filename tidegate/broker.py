"""The `[broker]` table of a gateway's and of a hub's file: where the MQTT broker is, and how to prove oneself to it.

Secrets and certificates are read anew for each connection, so that a renewed file counts without a restart.
"""

import ssl
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationInfo, field_validator

from tidegate.settings import Host, ReadableFile, Secret, Table, secret_of


class Tls(Table):
    """Files for an encrypted link. Empty (`tls = {}`): encrypted, and checked against the system's authorities."""

    ca: ReadableFile | None = Field(
        default=None, description="PEM file of the authority that signed the broker's certificate"
    )
    certificate: ReadableFile | None = Field(
        default=None, description="PEM file of the certificate to show to the broker, where it asks for one"
    )
    key: ReadableFile | None = Field(
        default=None, validate_default=True, description="PEM file of that certificate's key, without a passphrase"
    )

    @field_validator("ca")
    @classmethod
    def _holds_certificates(cls, value: Path | None) -> Path | None:
        if value is not None:
            try:
                ssl.create_default_context(cafile=value)
            except OSError as error:
                raise ValueError(f"{value} holds no certificate ({_reason(error)}); name a PEM file") from None
        return value

    @field_validator("key")
    @classmethod
    def _belongs_to_the_certificate(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        certificate = info.data.get("certificate", "wrong")
        if value is None and isinstance(certificate, Path):
            raise ValueError('a certificate needs its key; add `key = "…"`')
        if value is not None and certificate is None:
            raise ValueError('a key needs its certificate; add `certificate = "…"`')
        if value is not None and isinstance(certificate, Path):
            try:
                _show(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), certificate, value)
            except OSError as error:
                raise ValueError(
                    f"{value} and {certificate} are no key and certificate of one another ({_reason(error)}); name "
                    "PEM files that belong together, the key without a passphrase"
                ) from None
        return value

    def context(self) -> ssl.SSLContext:
        """These files as they are now, as ssl wants them. Raises OSError."""
        context = ssl.create_default_context(cafile=self.ca)
        if self.certificate is not None and self.key is not None:
            _show(context, self.certificate, self.key)
        return context


class Broker(Table):
    """The MQTT 5 broker between gateways and hub."""

    host: Host = Field(description="its name or address", examples=["127.0.0.1"])
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
    password: Secret | None = Field(default=None, description="better kept outside this file: see password_file")
    password_file: ReadableFile | None = Field(
        default=None, description="a file that holds the password and nothing else"
    )

    @field_validator("password", "password_file")
    @classmethod
    def _with_username(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None and info.data.get("username", "wrong") is None:
            raise ValueError('is given without a username; add `username = "…"`')
        if info.field_name == "password_file" and value is not None and info.data.get("password") is not None:
            raise ValueError("is given besides `password`; keep only one of the two")
        return value

    def secret(self) -> str | None:
        """The password, read now. Raises OSError."""
        return secret_of(self.password, self.password_file)

    def tls_context(self) -> ssl.SSLContext | None:
        """For an encrypted link; None for a plain one. Raises OSError."""
        return None if self.tls is None else self.tls.context()


def _show(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    # An empty passphrase, because without one OpenSSL asks at the terminal, and a service has nobody there.
    context.load_cert_chain(certificate, key, password="")


def _reason(error: OSError) -> str:
    reason = getattr(error, "reason", None) or error.strerror or str(error)
    return " ".join(str(reason).lower().replace("_", " ").split())
