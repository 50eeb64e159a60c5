"""Certificates for tests of encrypted links, made by OpenSSL on the spot, so that no key lies in the repository.

authority = self_signed(folder, "authority")    # authority.crt, authority.key
signed(folder, "localhost", authority)
"""

import subprocess
from pathlib import Path
from typing import NamedTuple

_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Pair(NamedTuple):
    """PEM files of a certificate and its key."""

    certificate: Path
    key: Path


def self_signed(folder: Path, name: str) -> Pair:
    """A certificate that can sign others."""
    pair = Pair(folder / f"{name}.crt", folder / f"{name}.key")
    _openssl("req", "-x509", *_CURVE, "-days", "2", "-subj", f"/CN={name}", "-keyout", pair.key, "-out", pair[0])
    return pair


def signed(folder: Path, name: str, authority: Pair) -> Pair:
    """A certificate for the host `name`, signed by `authority`."""
    pair = Pair(folder / f"{name}.crt", folder / f"{name}.key")
    request, extra = folder / f"{name}.csr", folder / f"{name}.ext"
    extra.write_text(f"subjectAltName = DNS:{name}\n")
    _openssl("req", *_CURVE, "-subj", f"/CN={name}", "-keyout", pair.key, "-out", request)
    by = ("-CA", authority.certificate, "-CAkey", authority.key, "-CAcreateserial")
    _openssl("x509", "-req", "-in", request, *by, "-days", "2", "-extfile", extra, "-out", pair.certificate)
    return pair


def locked(pair: Pair) -> Path:
    """The pair's key once more, under a passphrase."""
    path = pair.key.with_suffix(".locked")
    _openssl("pkey", "-in", pair.key, "-aes256", "-passout", "pass:open sesame", "-out", path)
    return path


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
