import contextlib
import ssl
from pathlib import Path

import pytest

from tests.certificates import Pair, locked, self_signed, signed
from tidegate.broker import Broker
from tidegate.settings import ConfigError, Table, load_toml


class File(Table):
    broker: Broker


def read(folder: Path, text: str) -> Broker:
    path = folder / "a.toml"
    path.write_text(f'[broker]\nhost = "localhost"\n{text}\n')
    return load_toml(path, File).broker


def wrong(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(folder, text)
    return str(caught.value).removeprefix(f"{folder / 'a.toml'}:")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Pair:
    return self_signed(folder, "authority")


@pytest.fixture(scope="module")
def ours(folder: Path, authority: Pair) -> Pair:
    return signed(folder, "station", authority)


def test_the_port_is_the_usual_one_unless_it_is_stated(tmp_path: Path) -> None:
    assert read(tmp_path, "").port == 1883
    assert read(tmp_path, "tls = {}").port == 8883
    assert read(tmp_path, "tls = {}\nport = 1884").port == 1884


def test_secrets_are_read_when_asked_for_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2 \n")
    broker = read(tmp_path, 'username = "u"\npassword_file = "secret"')
    assert broker.secret() == "hunter2 "
    (tmp_path / "secret").write_text("changed")
    assert broker.secret() == "changed"
    (tmp_path / "secret").write_bytes(b"\xff")
    with pytest.raises(OSError, match=r"is not UTF-8.*secret"):
        broker.secret()
    assert read(tmp_path, "").secret() is None
    broker = read(tmp_path, 'username = "u"\npassword = "hunter3"')
    assert broker.secret() == "hunter3"
    assert "hunter3" not in repr(broker) + broker.model_dump_json()
    told = wrong(tmp_path, 'username = "u"\npassword = "hunter3"\npassword_file = "secret"')
    assert told == "5: [broker] password_file: is given besides `password`; keep only one of the two"
    assert wrong(tmp_path, 'username = "u"\npassword = 12345') == (
        "4: [broker] password: is not text; write it in quotes"
    )


def test_the_files_of_an_encrypted_link_are_tried_when_they_are_read(folder: Path, authority: Pair, ours: Pair) -> None:
    assert "tls.ca: " + str(ours.key) + " holds no certificate" in wrong(folder, 'tls.ca = "station.key"')
    assert "tls.key: a certificate needs its key" in wrong(folder, 'tls.certificate = "station.crt"')
    assert "tls.key: a key needs its certificate" in wrong(folder, 'tls.key = "station.key"')
    tls = 'tls = {{ certificate = "station.crt", key = "{}" }}'
    told = wrong(folder, tls.format(authority.key))
    assert told.startswith(f"3: [broker] tls.key: {authority.key} and {ours.certificate} are no key and certificate")
    assert "without a passphrase" in wrong(folder, tls.format(locked(ours)))


def shaken(client: ssl.SSLContext | None, server: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends of an encrypted link after the handshake, with no network between them."""
    assert client is not None
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = client.wrap_bio(back, there, server_hostname="localhost"), server.wrap_bio(there, back, server_side=True)
    for _ in range(3):
        for end in ends:
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    return ends


def test_an_encrypted_link_proves_both_ends(folder: Path, authority: Pair, ours: Pair) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*signed(folder, "localhost", authority))
    server.load_verify_locations(authority.certificate)
    server.verify_mode = ssl.CERT_REQUIRED
    both = read(folder, 'tls = { ca = "authority.crt", certificate = "station.crt", key = "station.key" }')
    client_end, server_end = shaken(both.tls_context(), server)
    for end, peer in ((client_end, "localhost"), (server_end, "station")):
        assert ((("commonName", peer),),) == (end.getpeercert() or {})["subject"]
    with pytest.raises(ssl.SSLError, match=r"(?i)did not return a certificate"):
        shaken(read(folder, 'tls.ca = "authority.crt"').tls_context(), server)
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(read(folder, "tls = {}").tls_context(), server)
    assert read(folder, "").tls_context() is None
