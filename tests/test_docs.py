"""The documentation holds: its links, commands, settings, snippets, and the wire format that it describes."""

import json
import re
import shlex
import struct
import tomllib
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import typer
import zstandard
from pydantic import BaseModel

import central.config
import gateway.config
from central.api import ChangesQuery, LatestQuery, SnapshotQuery
from central.feed import CHANGES
from central.qc.settings import DEFAULTS, QcTable
from drivers import driver as drivers
from drivers.register_map import Register, shipped
from tests.certificates import self_signed
from tests.tidegate.frames import CTD
from tests.tidegate.test_codec import GOLDEN
from tests.tidegate.test_envelope import EMPTY
from tidegate.broker import Broker, Tls
from tidegate.cli import GROUP
from tidegate.envelope import chain_hash, encode_envelope

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """(what stands behind the fence, text) of the fenced blocks of a page."""
    for found in re.finditer(r"^```([^\n]*)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
        yield found[1].strip(), found[2]


def of_language(*wanted: str) -> list[Any]:
    return [
        pytest.param(text, id=f"{name_of(page)}-{number}")
        for page in PAGES
        for number, (language, text) in enumerate(blocks(page))
        if language in wanted
    ]


# --- links ------------------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{name_of(page)} links to {target}"
        assert not anchor or anchor in anchors(there), f"{name_of(page)} links to {target}"


def test_every_decision_is_listed_once() -> None:
    folder = ROOT / "docs" / "decisions"
    records = sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert len({name[:4] for name in records}) == len(records)
    assert sorted(re.findall(r"\]\((\d{4}-[^)]+)\)", (folder / "README.md").read_text())) == records


# --- commands ---------------------------------------------------------------------------------------------------------


def commands() -> list[Any]:
    """Every `tidegate …` in code: of a shell block, of a console block behind `$`, and inline."""
    found: dict[str, str] = {}
    for page in [*PAGES, *sorted((ROOT / "deploy").glob("*.service"))]:
        text = page.read_text()
        lines = re.findall(r"`(tidegate [^`\n]+)`", text)
        lines += [line for language, block in blocks(page) if language == "sh" for line in block.splitlines()]
        lines += re.findall(r"^\$ (.+)$", text, re.MULTILINE)
        lines += re.findall(r"^ExecStart=(?:\S*/)?(tidegate .+)$", text, re.MULTILINE)
        for line in lines:
            if line.startswith("tidegate ") and "…" not in line:
                found.setdefault(line, name_of(page))
    assert len(found) > 15
    return [pytest.param(line, id=f"{where}: {line}") for line, where in found.items()]


def options_of(words: list[str]) -> tuple[str, set[str]]:
    """(the command that these words begin with, the options that it has)."""
    (entry,) = entry_points(group=GROUP, name=words[0])
    app = entry.load()
    if not isinstance(app, typer.Typer):
        function, app = app, typer.Typer()
        app.command(words[0])(function)
    command: Any = typer.main.get_command(app)
    if hasattr(command, "commands"):
        name = f"{words[0]} {words[1]}"
        assert words[1] in command.commands, f"there is no `tidegate {name}`"
        command = command.commands[words[1]]
    else:
        name = words[0]
    return name, {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}


@pytest.mark.parametrize("line", commands())
def test_commands_exist_with_their_options(line: str) -> None:
    words = shlex.split(re.split(r" [|>#] | 2>", line)[0])[1:]
    name, options = options_of(words)
    unknown = [word for word in words if word.startswith("--") and word.partition("=")[0] not in options]
    assert not unknown, f"`tidegate {name}` has no {', '.join(unknown)}"


# --- settings ---------------------------------------------------------------------------------------------------------

_REST_OF_GATEWAY = {
    "platform": '[platform]\nname = "p"\nmoving = true\n',
    "broker": '[broker]\nhost = "h"\n',
    "storage": '[storage]\ndirectory = "d"\n',
}
_REST_OF_HUB = {"hub": '[hub]\nname = "h"\ndirectory = "d"\n', "broker": '[broker]\nhost = "h"\n'}


def written(text: str, rest: dict[str, str], folder: Path, certificate: Path) -> Path:
    """The file with what it lacks, and the files that it names."""
    text += "".join(table for name, table in rest.items() if name not in tomllib.loads(text))
    for name in re.findall(r'(?:_file|\bca) = "([^"]+)"', text):
        (folder / name).write_bytes(certificate.read_bytes() if name.endswith(".crt") else b"secret\n")
    path = folder / "settings.toml"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("certificates"), "authority").certificate


@pytest.mark.parametrize("text", of_language("toml gateway", "toml gateway-part"))
def test_gateway_settings_are_good(text: str, tmp_path: Path, certificate: Path) -> None:
    gateway.config.load(written(text, _REST_OF_GATEWAY, tmp_path, certificate))


@pytest.mark.parametrize("text", of_language("toml hub", "toml hub-part"))
def test_hub_settings_are_good(text: str, tmp_path: Path, certificate: Path) -> None:
    central.config.load(written(text, _REST_OF_HUB, tmp_path, certificate))


def test_every_toml_block_says_what_it_is() -> None:
    known = {"toml gateway", "toml gateway-part", "toml hub", "toml hub-part"}
    odd = [(name_of(page), kind) for page in PAGES for kind, _ in blocks(page) if kind.startswith("toml")]
    assert [entry for entry in odd if entry[1] not in known] == []


def named(text: str, name: str) -> bool:
    return re.search(rf"`{re.escape(name)}\b", text) is not None


@pytest.mark.parametrize(
    "model",
    [
        gateway.config.Platform, Broker, gateway.config.Storage, gateway.config.Instrument,
        gateway.config.SerialPort, gateway.config.TcpPort, gateway.config.UdpPort, gateway.config.ModbusTcpPort,
        gateway.config.ModbusRtuPort, central.config.Identity, central.config.Http, central.config.InfluxDb,
        central.config.DuckDb, QcTable,
    ],
)  # fmt: skip
def test_every_setting_is_described(model: type[BaseModel]) -> None:
    text = (REFERENCE / "configuration.md").read_text()
    assert [name for name in model.model_fields if not named(text, name)] == []
    assert all(name in text for name in Tls.model_fields)


def test_built_in_thresholds_are_described() -> None:
    text = (REFERENCE / "configuration.md").read_text()
    built_in = text.partition("Before them stand these")[2]
    assert {table.parameter for table in DEFAULTS} == set(re.findall(r"^\| `(\w+)` \|", built_in, re.MULTILINE))


@pytest.mark.parametrize("name", drivers.names())
def test_every_drivers_settings_are_described(name: str) -> None:
    assert f"| [`{name}`](drivers/{name}.md) |" in (REFERENCE / "drivers.md").read_text()
    text = (REFERENCE / "drivers" / f"{name}.md").read_text()
    wanted = list(drivers.load(name).Settings.model_fields)
    if name == "modbus":
        wanted += [*Register.model_fields, *shipped()]
    assert [setting for setting in wanted if not named(text, setting)] == []


def test_the_feeds_parameters_and_columns_are_described() -> None:
    text = (REFERENCE / "feed.md").read_text()
    wanted = {name for query in (ChangesQuery, SnapshotQuery, LatestQuery) for name in query.model_fields}
    assert sorted(name for name in wanted | set(CHANGES.names) if not named(text, name)) == []


@pytest.mark.parametrize("text", of_language("python"))
def test_snippets_compile(text: str) -> None:
    compile(text, "snippet", "exec")


# --- the wire, read by its description alone --------------------------------------------------------------------------


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 128:
            return value, at


def unfolded(u: int) -> int:
    return (u >> 1) ^ -(u & 1)


def wrapped(value: int) -> int:
    return (value + 2**63) % 2**64 - 2**63


def rice(data: bytes, at: int, k: int, size: int) -> list[int]:
    bits = [byte >> place & 1 for byte in data[at:] for place in range(7, -1, -1)]
    quotients, place = [], 0
    for _ in range(size):
        end = bits.index(1, place)
        quotients.append(end - place)
        place = end + 1
    place = -(-place // 8) * 8
    low = [int("".join(map(str, bits[place + i * k : place + i * k + k])) or "0", 2) for i in range(size)]
    at += -(-(place + size * k) // 8)
    for i in range(size):
        if quotients[i] >= 10:
            more, at = varint(data, at)
            quotients[i] = 10 + more
    assert at == len(data)
    return [q << k | r for q, r in zip(quotients, low, strict=True)]


def sparse(data: bytes, at: int, size: int) -> list[int]:
    folded, place = [0] * size, -1
    count, at = varint(data, at)
    for _ in range(count):
        zeros, at = varint(data, at)
        more, at = varint(data, at)
        place += zeros + 1
        folded[place] = more + 1
    assert at == len(data)
    return folded


Rows = list[list[int]]


def column(data: bytes, absent: Rows, earlier: list[Rows]) -> Rows:
    """Rows of a packed column, after `wire.md`. Where `absent` is not 0, a place is void."""
    n, c = len(absent), len(absent[0])
    predictor, coder, scale = data[0] >> 5, data[0] >> 2 & 7, data[0] & 3
    second, at = (data[1], 2) if coder else (0, 1)
    k, slope = second & 63, 0
    if second & 128:
        place, at = varint(data, at)
        u, at = varint(data, at)
        other, slope = earlier[place], unfolded(u)
    firsts = []
    for _ in range((0, 1, 2, 1)[predictor]):
        u, at = varint(data, at)
        firsts.append(unfolded(u))
    middle = 0
    if second & 64:
        u, at = varint(data, at)
        middle = unfolded(u)
    void = [bool(why) for row in absent for why in row][len(firsts) :]
    size = void.count(False)
    if coder == 0:
        folded = [0] * size
    elif coder == 1:
        folded = rice(data, at, k, size)
    elif coder == 4:
        folded = sparse(data, at, size)
    else:
        plain = data[at:] if coder == 2 else zstandard.ZstdDecompressor().decompress(data[at:])
        folded = [sum(plain[plane * size + i] << 8 * plane for plane in range(k)) for i in range(size)]
    coded = iter(unfolded(u) + middle for u in folded)
    left = iter([(0 if firsts else middle) if gone else next(coded) for gone in void])
    a = [[0] * c for _ in range(n)]
    for i in range(n):
        for j in range(c):
            if predictor == 0:
                a[i][j] = next(left)
            elif predictor == 2:
                a[i][0] = firsts[0] if i == 0 else a[i - 1][0] + (firsts[1] if i == 1 else 0)
                if i > 1:
                    a[i][0] = 2 * a[i - 1][0] - a[i - 2][0] + next(left)
            elif i == j == 0:
                a[i][j] = firsts[0]
            elif (predictor == 3 and j > 0) or (predictor == 1 and i == 0):
                a[i][j] = a[i][j - 1] + next(left)
            else:
                a[i][j] = a[i - 1][j] + next(left)
    a = [[wrapped(value * 1000**scale) for value in row] for row in a]
    if second & 128:
        for i in range(n):
            for j in range(c):
                a[i][j] = wrapped(a[i][j] + (slope * (other[i][j] - other[0][0]) + 32 >> 6))
    return a


@pytest.mark.parametrize(("frame", "golden"), GOLDEN, ids=["ctd", "adcp", "follows"])
def test_a_frame_is_read_by_the_description_of_the_wire(frame: Any, golden: str) -> None:
    assert golden in re.sub(r"\s", "", (REFERENCE / "wire.md").read_text())
    data, fields = bytes.fromhex(golden), frame.schema.fields
    at = 1 + data[0]
    assert data[1:at].decode() == frame.instrument
    assert data[at : at + 8] == frame.schema.id
    n, at = varint(data, at + 8)
    assert n == len(frame)
    kind, at = data[at], at + 1
    assert (kind & 15, bool(kind & 64)) == (frame.source, frame.arrival.disciplined)
    if kind & 32:
        u, at = varint(data, at)
        assert (frame.time[0] // 1000 + unfolded(u)) * 1000 == frame.arrival.utc_ns
    u, at = varint(data, at)
    assert unfolded(u) * 1000 == frame.arrival.monotonic_ns
    size = 8 if kind & 16 else 0
    assert data[at : at + size].hex() == frame.arrival.boot
    at += size
    missing = [False] * len(fields)
    if kind & 128:
        size = -(-len(fields) // 8)
        missing = [bool(data[at + i // 8] >> i % 8 & 1) for i in range(len(fields))]
        at += size

    def next_column() -> bytes:
        nonlocal at
        size, at = varint(data, at)
        at += size
        return data[at - size : at]

    assert [row[0] for row in column(next_column(), [[0]] * n, [])] == frame.time.tolist()
    values: list[Rows] = []
    reasons: list[Rows] = []
    for f, some_missing in zip(fields, missing, strict=True):
        width = frame.schema.width(f)
        present = [[0] * width] * n
        reasons.append(column(next_column(), present, reasons) if some_missing else present)
        assert reasons[-1] == frame.missing(f.name).reshape(n, width).tolist()
        values.append(column(next_column(), reasons[-1], values))
        s = 1 if f.integer else round(1 / f.resolution)
        theirs = frame.columns[f.name].reshape(n, width).tolist()
        for ours, wanted, why in zip(values[-1], theirs, reasons[-1], strict=True):
            assert all(gone or value / s == other for value, other, gone in zip(ours, wanted, why, strict=True))
    assert at == len(data)


def test_an_envelope_is_read_by_the_description_of_the_wire() -> None:
    text = (REFERENCE / "wire.md").read_text()
    data = encode_envelope(EMPTY)
    assert data.hex() in re.sub(r"\s", "", text)
    assert chain_hash(data).hex() in text
    assert data[:17] == b"\x02" + bytes.fromhex(EMPTY.epoch) + bytes(8)
    seq, at = varint(data, 17)
    made_ms, at = varint(data, at)
    assert (seq, made_ms * 1_000_000, at) == (EMPTY.seq, EMPTY.made_ns, len(data) - 4)
    crc = 0xFFFFFFFF
    for byte in EMPTY.platform.encode() + data[:-4]:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    assert struct.unpack("<I", data[-4:]) == (crc ^ 0xFFFFFFFF,)


def test_a_schemas_id_is_as_the_wires_description_says() -> None:
    text = (REFERENCE / "wire.md").read_text()
    shown = json.dumps(CTD.as_dict(), sort_keys=True, separators=(",", ":"))
    assert shown in text
    assert CTD.id.hex() in text
