import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from central.cli import _age, app
from central.config import json_schema
from tests.servers import free_port


def test_a_good_configuration_is_told_in_words(tmp_path: Path) -> None:
    path = tmp_path / "hub.toml"
    path.write_text(
        '[hub]\nname = "centre"\ndirectory = "data"\n[broker]\nhost = "mqtt.example.org"\ntls = {}\n'
        '[influxdb]\nversion = 1\nurl = "http://localhost:8086"\ndatabase = "ocean"\n'
        '[[qc]]\nparameter = "sea_water_temperature"\nspike = [1, 2]\n'
    )
    result = CliRunner().invoke(app, ["check", str(path)])
    assert result.exit_code == 0
    assert f"{path}: good. Hub centre, keeps its data in {tmp_path / 'data'}." in result.stdout
    assert "broker mqtt.example.org:8883, serves http://127.0.0.1:8080" in result.stdout
    assert "stores: archive, InfluxDB; [[qc]] tables: 1" in result.stdout
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("command", ["check", "run"])
def test_every_mistake_in_a_configuration_is_named(tmp_path: Path, command: str) -> None:
    path = tmp_path / "hub.toml"
    path.write_text('[hub]\nname = "The Centre"\ndirectory = "data"\n[broker]\nhots = "x"\n')
    result = CliRunner().invoke(app, [command, str(path)])
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert [line.removeprefix(f"{path}:").split(": ")[:2] for line in lines] == [
        ["2", "[hub] name"],
        ["4", "[broker] host"],
        ["5", "[broker] hots"],
    ]


def test_the_schema_for_editors_is_printed() -> None:
    result = CliRunner().invoke(app, ["schema"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == json_schema()


def test_status_says_what_to_do_where_no_hub_answers() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    result = CliRunner().invoke(app, ["status", "--url", url])
    assert result.exit_code == 1
    assert f"{url}/platforms: [Errno 111] Connection refused. Is the hub running" in result.stderr


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "never"), (0.4, "0 s"), (119, "119 s"), (121, "2 min"), (7300, "2 h"), (1e6, "12 d")]
)
def test_ages_are_told_in_one_unit(seconds: float | None, text: str) -> None:
    assert _age(seconds) == text
