from pathlib import Path

import pytest

from central.config import HubConfig, json_schema, load
from tidegate.settings import ConfigError

LEAST = """
[hub]
name = "centre"
directory = "data"
[broker]
host = "localhost"
"""


def loaded(folder: Path, text: str) -> HubConfig:
    path = folder / "hub.toml"
    path.write_text(text)
    return load(path)


def wrong(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, text)
    return str(caught.value).replace(str(folder), "").splitlines()


def test_the_least_settings(tmp_path: Path) -> None:
    config = loaded(tmp_path, LEAST)
    assert config.hub.directory == tmp_path / "data"
    assert (config.broker.host, config.broker.port) == ("localhost", 1883)
    assert (config.http.host, config.http.port) == ("127.0.0.1", 8080)
    assert config.influxdb is None
    assert config.duckdb.enabled


def test_secrets_come_from_files_and_are_not_shown(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("open sesame\n")
    (tmp_path / "token").write_text("abc123\n")
    influx = '[influxdb]\nurl = "http://db:8086"\n'
    config = loaded(
        tmp_path,
        LEAST + 'username = "hub"\npassword_file = "pw"\n' + influx + 'bucket = "ocean"\ntoken_file = "token"\n',
    )
    assert config.broker.secret() == "open sesame"
    assert config.influxdb is not None
    assert config.influxdb.secret() == "abc123"
    for stated, version in (
        ('bucket = "ocean"\ntoken = "hush"', 2),
        ('version = 1\ndatabase = "ocean"\nusername = "u"\npassword = "hush"', 1),
    ):
        shown = loaded(tmp_path, f"{LEAST}{influx}{stated}\n")
        assert "hush" not in repr(shown) + shown.model_dump_json()
        assert shown.influxdb is not None
        assert (shown.influxdb.secret(), shown.influxdb.version) == ("hush", version)


def test_every_mistake_is_told_with_line_and_remedy(tmp_path: Path) -> None:
    assert wrong(
        tmp_path,
        '[hub]\nname = "Coast Centre"\n[broker]\nhosst = "x"\nport = 70000\npassword_file = "pw"\n'
        '[influxdb]\nurl = "db:8086"\nversion = 2\n[duckbd]\nenabled = false\n[http]\nhost = "http://localhost"\n',
    ) == [
        '/hub.toml:1: [hub] directory: is missing; add `directory = "/var/lib/tidegate"` (where the journal and all '
        "that is made of it lie; a disk of its own is best)",
        "/hub.toml:2: [hub] name: 'Coast Centre' cannot be a name: it is 1 to 64 of the characters a-z 0-9 - _, with a "
        "letter or digit at both ends; 'coast-centre' would do",
        '/hub.toml:3: [broker] host: is missing; add `host = "127.0.0.1"` (its name or address)',
        "/hub.toml:4: [broker] hosst: no setting is called so; did you mean `host`?",
        "/hub.toml:5: [broker] port: 70000 is out of range; it must be 65535 or less (its TCP port; 1883, or 8883 "
        "with tls, where it is left out)",
        "/hub.toml:6: [broker] password_file: /pw cannot be read (No such file or directory); name a file that this "
        "user may read",
        '/hub.toml:7: [influxdb] bucket: is missing; version 2 needs it: add `bucket = "ocean"`, or set `version = 1` '
        "and a database",
        "/hub.toml:8: [influxdb] url: 'db:8086' is not a URL; write it as \"http://localhost:8086\"",
        "/hub.toml:10: [duckbd]: no table is called so; did you mean [duckdb]?",
        "/hub.toml:13: [http] host: 'http://localhost' has a scheme in front; write the name or address alone",
    ]


def test_thresholds_are_checked_and_their_mistakes_have_a_line_too(tmp_path: Path) -> None:
    good = '[[qc]]\nparameter = "sea_water_temperature"\nspike = [0.1, 0.3]\n'
    config = loaded(tmp_path, LEAST + good)
    assert config.qc[0].spike == (0.1, 0.3)
    mistakes = (
        good.replace("[0.1, 0.3]", "[0.3, 0.1]"),
        good.replace("spike", "spik"),
        good.replace("temperature", "temprature"),
        good.replace("[0.1, 0.3]", "0.3"),
        good.replace("spike = [0.1, 0.3]", "# no threshold"),
        good.replace('"sea_water_temperature"', "7"),
    )
    assert [line.removeprefix("/hub.toml:") for line in wrong(tmp_path, LEAST + good + "".join(mistakes))] == [
        "12: [[qc]] spike: [0.3, 0.1]: the first must be below the second; swap them",
        "15: [[qc]] spik: no setting is called so; did you mean `spike`?",
        "17: [[qc]] parameter: no parameter is called 'sea_water_temprature'; did you mean: sea_water_temperature, "
        "sea_water_temperature_2, sea_water_pressure?",
        "21: [[qc]] spike: 0.3 is not a list in [ ]; write a list in [ ] (height above the neighbours' mean: suspect, "
        "fail)",
        "22: [[qc]]: sets no threshold; add one, or take the table out",
        "26: [[qc]] parameter: 7 is not text in quotes; write text in quotes (the parameter that is tested)",
    ]


@pytest.mark.parametrize(
    ("influx", "place", "message"),
    [
        ("version = 1", "7: [influxdb] database", "is missing; version 1 needs it"),
        ('version = 1\ndatabase = "d"\ntoken = "t"', "11: [influxdb] token", "version 1 has none"),
        ("", "7: [influxdb] bucket", "is missing; version 2 needs it"),
        ('bucket = "b"\ndatabase = "d"', "10: [influxdb] database", "version 2 has none; take it out, or"),
        ('version = 1\ndatabase = "d"\npassword = "p"', "11: [influxdb] password", "without a username"),
        ('bucket = "b"\ntoken = "t"\ntoken_file = "hub.toml"', "11: [influxdb] token_file", "besides `token`"),
    ],
)
def test_the_two_families_of_influxdb_are_told_apart(tmp_path: Path, influx: str, place: str, message: str) -> None:
    (told,) = wrong(tmp_path, f'{LEAST}[influxdb]\nurl = "http://x"\n{influx}\n')
    assert told.startswith(f"/hub.toml:{place}: ")
    assert message in told


def test_the_schema_describes_every_setting() -> None:
    schema = json_schema()
    assert schema["title"] == "Tidegate hub"
    for definition in (schema, *schema["$defs"].values()):
        for name, field in definition["properties"].items():
            assert field.get("description"), name
    assert "sea_water_temperature" in schema["$defs"]["QcTable"]["properties"]["parameter"]["enum"]
