from pathlib import Path

import pytest

from central.config import ConfigError, HubConfig, load

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
    assert config.broker.address == ("localhost", 1883)
    assert (config.http.host, config.http.port) == ("127.0.0.1", 8080)
    assert config.influxdb is None
    assert config.duckdb.enabled


def test_secrets_come_from_files_and_are_not_shown(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("open sesame\n")
    (tmp_path / "token").write_text("abc123\n")
    config = loaded(
        tmp_path,
        LEAST
        + 'username = "hub"\npassword_file = "pw"\ntls = {}\n'
        + '[influxdb]\nurl = "http://db:8086"\nbucket = "ocean"\ntoken_file = "token"\n',
    )
    assert config.broker.address == ("localhost", 8883)
    assert config.broker.password() == "open sesame"
    assert config.influxdb is not None
    assert config.influxdb.secret() == "abc123"
    shown = loaded(tmp_path, LEAST + '[influxdb]\nurl = "http://db"\nbucket = "ocean"\ntoken = "hush"\n')
    assert "hush" not in repr(shown)


def test_every_mistake_is_told_with_line_and_remedy(tmp_path: Path) -> None:
    assert wrong(
        tmp_path,
        '[hub]\nname = "Coast Centre"\n[broker]\nhosst = "x"\nport = 70000\npassword_file = "pw"\n'
        '[influxdb]\nurl = "db:8086"\nversion = 2\n',
    ) == [
        '/hub.toml:1: hub.directory: is missing; add `directory = "/var/lib/tidegate"` (where the journal and all '
        "that is made of it lie; a disk of its own is best)",
        "/hub.toml:2: hub.name: 'Coast Centre' cannot be a name: it is 1 to 64 of the characters a-z 0-9 - _, with a "
        "letter or digit at both ends",
        '/hub.toml:3: broker.host: is missing; add `host = "mqtt.example.org"` (the broker\'s name or address)',
        "/hub.toml:4: broker.hosst: nothing is called so; did you mean `host`?",
        "/hub.toml:5: broker.port: 70000 will not do: input should be less than or equal to 65535 (8883 with tls and "
        "1883 without, where not given)",
        "/hub.toml:6: broker.password_file: there is no file /pw; check the name, or make it",
        "/hub.toml:8: influxdb.url: 'db:8086' is not a URL; write it as \"http://localhost:8086\"",
    ]


def test_thresholds_are_checked_and_their_mistakes_have_a_line_too(tmp_path: Path) -> None:
    good = '[[qc]]\nparameter = "sea_water_temperature"\nspike = [0.1, 0.3]\n'
    assert loaded(tmp_path, LEAST + good).qc[0].spike == (0.1, 0.3)
    told = wrong(tmp_path, LEAST + good + good.replace("[0.1, 0.3]", "[0.3, 0.1]") + good.replace("spike", "spik"))
    assert [line.partition(": ")[2] for line in told] == [
        "qc.1.spike: [0.3, 0.1]: the first must be below the second; swap them",
        "qc.2.spik: nothing is called so; did you mean `spike`?",
    ]
    assert [line.partition(": ")[0] for line in told] == ["/hub.toml:12", "/hub.toml:15"]


@pytest.mark.parametrize(
    ("influx", "message"),
    [
        ('url = "http://x"\nversion = 1', "version 1 needs a database"),
        ('url = "http://x"\nversion = 1\ndatabase = "d"\ntoken = "t"', "token: version 1 has none"),
        ('url = "http://x"', "version 2 needs a bucket"),
        ('url = "http://x"\nbucket = "b"\ndatabase = "d"', "database: only version 1 has these"),
    ],
)
def test_the_two_families_of_influxdb_are_told_apart(tmp_path: Path, influx: str, message: str) -> None:
    (told,) = wrong(tmp_path, LEAST + "[influxdb]\n" + influx)
    assert told.startswith("/hub.toml:7: influxdb: ")
    assert message in told
