import json
import random
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers import driver as drivers
from gateway.config import (
    Endpoint,
    GatewayConfig,
    ModbusRtuPort,
    ModbusTcpPort,
    SerialPort,
    TcpPort,
    UdpPort,
    json_schema,
    load,
    parse_endpoint,
)
from tests.certificates import self_signed
from tests.tidegate.toml_writer import TREE, Writer, leaves
from tidegate.settings import ConfigError
from tidegate.toml_lines import Loc

GOOD = """\
[platform]
name = "tioman-1"
title = "Tioman jetty"
latitude = 2.80
longitude = 104.14

[broker]
host = "127.0.0.1"

[storage]
directory = "data"
raw_log = "2 GB"
spool = "1.5 GiB"

[instruments.ctd-1]
driver = "sbe37"
interval_s = 1
port = { serial = "/dev/serial/by-id/usb-none-such", baud = 4800, parity = "even", data_bits = 7, stop_bits = 2 }
settings = { columns = ["temperature", "time"] }

[instruments.gnss]
driver = "nmea0183"
interval_s = 0.2
port = { udp = 10110 }

[instruments.compass]
driver = "nmea0183"
interval_s = 0.1
port = { tcp = "[fe80::1]:4001" }

[instruments.gauge]
driver = "modbus"
interval_s = 10.0
port = { modbus_tcp = "10.0.0.6", timeout_s = 0.5 }
settings.map = "keller"

[instruments.radar]
driver = "modbus"
interval_s = 1.0
port = { modbus_rtu = "/dev/ttyUSB-none-such", baud = 9600 }

[[instruments.radar.settings.registers]]
parameter = "battery_voltage"
address = 2
type = "uint16"

[[instruments.radar.settings.registers]]
parameter = "level_of_something"
address = 4
type = "int16"
label = "Level"
unit = "m"
"""


def read(tmp_path: Path, text: str) -> GatewayConfig:
    path = tmp_path / "gateway.toml"
    path.write_text(text, encoding="utf-8")
    return load(path)


def wrong(tmp_path: Path, text: str) -> list[tuple[int, str, str, str]]:
    """(line, table, field, message) of every mistake; checks that `str` has each on a line with its place."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    error = caught.value
    told = str(error).split("\n")
    assert len(told) == len(error.mistakes) > 0
    for line, mistake in zip(told, error.mistakes, strict=True):
        assert line.startswith(f"{tmp_path / 'gateway.toml'}:{mistake.line}: ")
        assert line.endswith(mistake.message)
        assert mistake.table in line
        assert mistake.field in line
    return [(m.line, m.table.strip("[]"), m.field, m.message) for m in error.mistakes]


def one(tmp_path: Path, text: str) -> tuple[int, str, str, str]:
    found = wrong(tmp_path, text)
    assert len(found) == 1, found
    return found[0]


def test_a_good_file(tmp_path: Path) -> None:
    config = read(tmp_path, GOOD)
    assert config.platform.name == "tioman-1"
    assert config.broker.port == 1883
    assert config.broker.secret() is None
    assert config.storage.directory == tmp_path / "data"
    assert (config.storage.raw_log, config.storage.spool) == (2 * 10**9, 3 * 2**29)
    ports = {name: instrument.port for name, instrument in config.instruments.items()}
    assert ports["ctd-1"] == SerialPort(
        serial=Path("/dev/serial/by-id/usb-none-such"), baud=4800, parity="even", data_bits=7, stop_bits=2
    )
    assert ports["gnss"] == UdpPort(udp=10110)
    assert ports["compass"] == TcpPort(tcp=Endpoint("fe80::1", 4001))
    assert ports["gauge"] == ModbusTcpPort(modbus_tcp=Endpoint("10.0.0.6", 502), timeout_s=0.5)
    assert ports["radar"] == ModbusRtuPort(modbus_rtu=Path("/dev/ttyUSB-none-such"), baud=9600, parity="even")
    for instrument in config.instruments.values():
        assert type(instrument.settings) is drivers.load(instrument.driver).Settings
    with pytest.raises(ValueError, match="frozen"):
        config.platform.name = "other"


def test_every_mistake_at_once(tmp_path: Path) -> None:
    text = """\
# a file in which nearly everything is wrong
[platform]
name = "Tioman 1"
latitude = 95.0

[broker]
host = "mqtt://10.0.0.1"
prot = 1883

[storage]
directory = ""
spool = "2 gigs"
raw_log = 5

[instruments.a]
driver = "sbe73"
interval_s = "1.0"
port = { seriel = "/dev/x" }

[instruments.b]
driver = "nmea0183"
interval_s = 0
settings = { checksm = "required" }
  [instruments.b.port]
  serial = "/dev/none-such"
  baud = 9601
  parity = "mark"

[instruments."c d"]
driver = "modbus"
port.tcp = "10.0.0.5:4001"
settings.map = "keler"

[instrument.e]
"""
    found = wrong(tmp_path, text)
    assert [(line, table, field) for line, table, field, _ in found] == [
        (2, "platform", "longitude"),
        (3, "platform", "name"),
        (4, "platform", "latitude"),
        (7, "broker", "host"),
        (8, "broker", "prot"),
        (11, "storage", "directory"),
        (12, "storage", "spool"),
        (13, "storage", "raw_log"),
        (16, "instruments.a", "driver"),
        (17, "instruments.a", "interval_s"),
        (18, "instruments.a", "port"),
        (22, "instruments.b", "interval_s"),
        (23, "instruments.b", "settings.checksm"),
        (26, "instruments.b", "port.baud"),
        (27, "instruments.b", "port.parity"),
        (29, 'instruments."c d"', ""),
        (29, 'instruments."c d"', "interval_s"),
        (31, 'instruments."c d"', "port.tcp"),
        (32, 'instruments."c d"', "settings"),
        (34, "instrument", ""),
    ][1 - ("longitude" in found[0][2]) :]
    said = {(table, field): message for _, table, field, message in found}
    for place, words in {
        ("platform", "name"): "'tioman-1' would do",
        ("broker", "host"): "has a scheme in front",
        ("broker", "prot"): "did you mean `port`?",
        ("storage", "spool"): '"2 GB"',
        ("storage", "raw_log"): "10000000 or more",
        ("instruments.a", "driver"): "did you mean 'sbe37'? ",
        ("instruments.a", "interval_s"): "write it without quotes",
        ("instruments.a", "port"): "did you mean 'serial'?",
        ("instruments.b", "interval_s"): "more than 0",
        ("instruments.b", "settings.checksm"): "did you mean `checksum`?",
        ("instruments.b", "port.baud"): "did you mean 9600?",
        ("instruments.b", "port.parity"): "'none', 'even' or 'odd'",
        ('instruments."c d"', ""): "'c-d' would do",
        ('instruments."c d"', "port.tcp"): "connect it by modbus_tcp or modbus_rtu",
        ('instruments."c d"', "settings"): "did you mean 'keller'",
        ("instrument", ""): "did you mean [instruments]?",
    }.items():
        assert words in said[place], place
    assert all(name in said["instruments.a", "driver"] for name in drivers.names())


def test_registers_in_arrays_of_tables_are_found(tmp_path: Path) -> None:
    text = GOOD.replace('type = "int16"', 'type = "int61"').replace("address = 2\n", "adress = 2\n")
    lines = text.split("\n")
    assert [m[:3] for m in wrong(tmp_path, text)] == [
        (lines.index('parameter = "battery_voltage"'), "instruments.radar", "settings.registers[0].address"),
        (lines.index("adress = 2") + 1, "instruments.radar", "settings.registers[0].adress"),
        (lines.index('type = "int61"') + 1, "instruments.radar", "settings.registers[1].type"),
    ]


@pytest.mark.parametrize(
    ("before", "after", "line_of", "table", "field", "words"),
    [
        ("latitude = 2.80\n", "", "longitude = 104.14", "platform", "longitude", "without a latitude"),
        ("longitude = 104.14\n", "", "[platform]", "platform", "longitude", "is missing while there is a latitude"),
        ("latitude = 2.80\nlongitude = 104.14\n", "", "[platform]", "platform", "latitude", "`moving = true`"),
        ('[broker]\nhost = "127.0.0.1"\n', "", None, "broker", "", "this table is missing; add [broker] with host"),
        ('host = "127.0.0.1"', 'host = "a b"', 'host = "a b"', "broker", "host", "is not a host"),
        ('host = "127.0.0.1"', 'host = "h:1883"', 'host = "h:1883"', "broker", "host", "its own place"),
        ('host = "127.0.0.1"', 'host = "h"\nport = 0', "port = 0", "broker", "port", "1 or more"),
        ('host = "127.0.0.1"', 'host = "h"\nport = "1"', 'port = "1"', "broker", "port", "without quotes"),
        ('host = "127.0.0.1"', 'host = "h"\npassword = "x"', 'password = "x"', "broker", "password", "username"),
        (
            'host = "127.0.0.1"',
            'host = "h"\nusername = "u"\npassword_file = "none"',
            'password_file = "none"',
            "broker",
            "password_file",
            "cannot be read",
        ),
        ('host = "127.0.0.1"', 'host = "h"\ntls.ca = "none.pem"', 'tls.ca = "none.pem"', "broker", "tls.ca", "read"),
        ('driver = "sbe37"\n', "", "[instruments.ctd-1]", "instruments.ctd-1", "driver", "is missing; add `driver"),
        ("port = { udp = 10110 }\n", "", "[instruments.gnss]", "instruments.gnss", "port", "is missing; say where"),
        ("{ udp = 10110 }", "10110", "port = 10110", "instruments.gnss", "port", "is not a table"),
        ("{ udp = 10110 }", "{}", "port = {}", "instruments.gnss", "port", "it has none of serial, tcp"),
        ("10110 }", '1, tcp = "h:1" }', 'port = { udp = 1, tcp = "h:1" }', "instruments.gnss", "port.tcp", "only one"),
        ("udp = 10110", "udp = 99999", "port = { udp = 99999 }", "instruments.gnss", "port.udp", "65535 or less"),
        ("udp = 10110", "udp = true", "port = { udp = true }", "instruments.gnss", "port.udp", "not a whole number"),
        ("udp = 10110", 'tcp = "h"', 'port = { tcp = "h" }', "instruments.gnss", "port.tcp", "has no port"),
        ("udp = 10110", 'tcp = "h:0"', 'port = { tcp = "h:0" }', "instruments.gnss", "port.tcp", "from 1 to 65535"),
        ("udp = 10110", "tcp = 4001", "port = { tcp = 4001 }", "instruments.gnss", "port.tcp", '"host:port" in quotes'),
        ("udp = 10110", 'serial = "."', 'port = { serial = "." }', "instruments.gnss", "port.serial", "is a folder"),
        ('settings.map = "keller"\n', "", "[instruments.gauge]", "instruments.gauge", "settings", "give either map"),
    ],
)
def test_one_mistake(
    tmp_path: Path, before: str, after: str, line_of: str | None, table: str, field: str, words: str
) -> None:
    assert GOOD.count(before) == 1
    text = GOOD.replace(before, after)
    found = one(tmp_path, text)
    line = 1 if line_of is None else text.split("\n").index(line_of) + 1
    assert found[:3] == (line, table, field)
    assert words in found[3]


def test_a_file_that_is_no_toml_or_no_text_or_not_there(tmp_path: Path) -> None:
    line, _, _, message = one(tmp_path, GOOD.replace("stop_bits = 2 }", "stop_bits = 2"))
    assert line == GOOD.split("\n").index("[instruments.ctd-1]") + 4
    assert "this is not TOML" in message
    line, _, _, message = one(tmp_path, "[platform]\nname = \"a\"\ntitle = '''never\nended\n")
    assert line == 5
    line, _, _, message = one(tmp_path, '[platform]\nname = "a"\nname = "b"\n')
    assert line == 3
    path = tmp_path / "gateway.toml"
    path.write_bytes(b'[platform]\nname = "caf\xe9"\n')
    with pytest.raises(ConfigError, match=r"gateway\.toml:2: byte 0xe9 is not UTF-8"):
        load(path)
    path.unlink()
    with pytest.raises(ConfigError, match=r"gateway\.toml:1: cannot be read \(No such file"):
        load(path)
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())  # as Notepad saves it
    assert load(path).platform.name == "tioman-1"


def test_ports_that_two_instruments_cannot_share(tmp_path: Path) -> None:
    (tmp_path / "by-id").symlink_to("/dev/ttyUSB-none-such")
    gnss = "port = { udp = 10110 }"
    found = one(tmp_path, GOOD.replace(gnss, 'port = { serial = "/dev/serial/by-id/usb-none-such" }'))
    assert found[2] == "port.serial"
    assert "'ctd-1' uses this port already" in found[3]
    compass = 'port = { tcp = "[fe80::1]:4001" }'
    assert "'gnss' uses" in one(tmp_path, GOOD.replace(compass, gnss))[3]
    radar = GOOD.split("[instruments.radar]")[1]
    second = radar.replace("instruments.radar", "instruments.second").replace(
        '"/dev/ttyUSB-none-such", baud = 9600', '"by-id", parity = "odd"'
    )
    text = f"{GOOD}\n[instruments.second]{second}"
    mistakes = wrong(tmp_path, text)
    assert {m[2] for m in mistakes} == {"port.baud", "port.parity"}
    assert all("'radar' on the same bus" in m[3] for m in mistakes)
    assert {m[0] for m in mistakes} == {text.split("\n").index('port = { modbus_rtu = "by-id", parity = "odd" }') + 1}
    read(tmp_path, text.replace('"by-id", parity = "odd"', '"by-id", baud = 9600'))  # a shared bus is normal
    mixed = one(tmp_path, GOOD.replace(gnss, 'port = { serial = "/dev/ttyUSB-none-such" }'))
    assert mixed[1] == "instruments.radar"


def test_a_vessel_needs_no_position(tmp_path: Path) -> None:
    config = read(tmp_path, GOOD.replace("latitude = 2.80\nlongitude = 104.14\n", "moving = true\n"))
    assert config.platform.moving
    assert config.platform.latitude is None


def test_endpoints() -> None:
    assert parse_endpoint("10.0.0.5:4001") == Endpoint("10.0.0.5", 4001)
    assert parse_endpoint("gauge.local", 502) == Endpoint("gauge.local", 502)
    assert str(parse_endpoint("[::1]:502")) == "[::1]:502"
    for bad in ("", ":1", "::1", "[::1", "h:", "h:x", "h:65536", "h:-1", "a..b:1", f"{'x' * 64}:1", "http://h:1"):
        with pytest.raises(ValueError, match=r"."):
            parse_endpoint(bad)


def test_the_schema_describes_every_field_and_every_driver() -> None:
    schema = json_schema()
    json.dumps(schema)
    definitions = schema["$defs"]
    own = {name: d for name, d in definitions.items() if not name.startswith("driver:")}
    assert {"Platform", "Broker", "Storage", "SerialPort", "ModbusRtuPort", "Instrument"} <= set(own)
    for definition in own.values():
        for name, field in definition.get("properties", {}).items():
            assert field.get("description"), name
    instrument = definitions["Instrument"]
    assert instrument["properties"]["driver"]["enum"] == drivers.names()
    branches = {b["if"]["properties"]["driver"]["const"]: b["then"] for b in instrument["allOf"]}
    assert set(branches) == set(drivers.names())
    for name, branch in branches.items():
        told = branch["properties"]["settings"].get("properties", {})
        assert set(told) == set(drivers.load(name).Settings.model_fields)
        assert all(field.get("description") for field in told.values()), name

    def refer(part: Any) -> None:
        if isinstance(part, dict):
            if "$ref" in part:
                assert part["$ref"].removeprefix("#/$defs/") in definitions
            for value in part.values():
                refer(value)
        elif isinstance(part, list):
            for value in part:
                refer(value)

    refer(schema)


# ---- the right line, however the file is written

WRONG = {
    "name": '"No Name"',
    "latitude": "91",
    "longitude": '"east"',
    "host": "1",
    "port": "70000",
    "ca": '"none"',
    "directory": "''",
    "spool": '"much"',
    "driver": '"none"',
    "interval_s": "-1",
    "serial": '"."',
    "baud": "9601",
    "parity": '"mark"',
    "mode": '"sometimes"',
    "modbus_tcp": '"h:x"',
    "timeout_s": "0",
    "gap": "-1",
    "parameter": "1",
    "address": "-1",
    "type": '"int61"',
    "label": "1",
}
REQUIRED = {"name", "host", "directory", "driver", "interval_s", "parameter", "address", "type"}


def mutated(tree: Any, loc: Loc, kind: str) -> Any:
    """The tree with the leaf at `loc` renamed, taken out or given a wrong value."""
    if isinstance(tree, list):
        return [mutated(part, loc[1:], kind) if index == loc[0] else part for index, part in enumerate(tree)]
    result = {}
    for key, value in tree.items():
        if key != loc[0]:
            result[key] = value
        elif len(loc) > 1:
            result[key] = mutated(value, loc[1:], kind)
        elif kind == "rename":
            result[f"{key}_"] = value
        elif kind == "wrong":
            result[key] = WRONG[str(key)]
    return result


@settings(
    max_examples=200, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(st.integers(0, 2**32), st.sampled_from(leaves(TREE)), st.sampled_from(["rename", "delete", "wrong"]))
def test_whatever_is_wrong_is_found_on_its_line(tmp_path: Path, seed: int, leaf: Loc, kind: str) -> None:
    name = str(leaf[-1])
    if (kind == "wrong" and name not in WRONG) or (kind == "delete" and name not in REQUIRED):
        kind = "rename"
    if not (tmp_path / "authority.crt").exists():
        self_signed(tmp_path, "authority")
    good = Writer(random.Random(seed))
    good.table((), TREE)
    assert read(tmp_path, good.text).platform.name == "tioman-1"

    bad = Writer(random.Random(seed))
    bad.table((), mutated(TREE, leaf, kind))
    tomllib.loads(bad.text)
    place = leaf
    if kind == "rename":
        place = leaf[:-1] if name in ("serial", "modbus_tcp") else (*leaf[:-1], f"{name}_")
    where = place
    while where not in bad.lines:
        where = where[:-1]
    depth = 2 if leaf[0] == "instruments" else 1
    field = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place[depth:]).lstrip(".")
    found = {m[:3] for m in wrong(tmp_path, bad.text)}
    assert (bad.lines[where], ".".join(map(str, place[:depth])), field) in found
    assert len(found) <= 2
