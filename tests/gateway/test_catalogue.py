"""Each driver states what a technician and a data manager need to know of it, and the catalogue tells it."""

import json
from typing import Literal

import pytest
from typer.testing import CliRunner, Result

from drivers import driver as drivers
from drivers.lines import Lines
from gateway.catalogue import shipped, stated, type_in_words
from gateway.cli import app
from tidegate.settings import ReadableFile
from tidegate.vocabulary import PARAMETERS


@pytest.mark.parametrize("name", drivers.names())
def test_every_driver_states_what_it_is(name: str) -> None:
    cls = drivers.load(name)
    assert all(getattr(cls, each).strip() for each in ("manufacturer", "title"))
    assert cls.models
    assert all(model.strip() for model in cls.models)
    assert cls.lines
    assert cls.problems
    assert all(meaning.strip() for meaning in cls.problems.values())
    assert cls.transports


@pytest.mark.parametrize("name", drivers.names())
def test_every_setting_is_told_of(name: str) -> None:
    assert [key for key, info in drivers.load(name).Settings.model_fields.items() if not info.description] == []


@pytest.mark.parametrize(("name", "key"), [(name, key) for name in ("ascii", "modbus") for key in shipped(name)])
def test_every_pattern_and_map_names_its_source(name: str, key: str) -> None:
    told = shipped(name)[key]
    assert told["title"]
    assert len(told["source"]) > 10


@pytest.mark.parametrize("name", drivers.names())
def test_all_of_a_driver_is_plain_json(name: str) -> None:
    told = stated(name)
    assert json.loads(json.dumps(told)) == told
    assert (told["driver"], told["problems"]) == (name, dict(drivers.load(name).problems))
    for parameter in told["parameters"]:
        assert parameter["resolution"] > 0
        if known := PARAMETERS.get(parameter["name"]):
            assert (parameter["standard_name"], parameter["label"]) == (known.standard_name, known.label)


def test_what_is_measured_is_told_before_any_data_came() -> None:
    ctd = {p["name"]: p for p in stated("sbe37")["parameters"]}
    assert ctd["sea_water_temperature"]["unit"] == "degC"
    assert ctd["sea_water_temperature"]["resolution"] == 1e-4
    radar = {p["name"] for p in stated("modbus")["parameters"]}
    assert "water_surface_height_above_reference_datum" in radar
    adcp = stated("trdi_pd0")  # that learns it from the ensembles
    assert adcp["parameters_of_a_simulated_one"]
    assert {p["name"]: p["profile"] for p in adcp["parameters"]}["eastward_sea_water_velocity"]


def test_types_are_told_in_words() -> None:
    assert type_in_words(Literal["a", "b"]) == '"a" | "b"'
    assert type_in_words(tuple[str, ...] | None) == "list of text"
    assert type_in_words(tuple[float, float] | None) == "list of 2 times number"
    assert type_in_words(dict[str, float]) == "table"
    assert type_in_words(ReadableFile | None) == "file"
    assert type_in_words(int | None) == "whole number"
    assert type_in_words(Lines) == "table"


def shown(*arguments: str) -> Result:
    """The command as it ran in this process, which is faster than one of its own."""
    return CliRunner().invoke(app, ["drivers", *arguments])


def test_the_commands() -> None:
    assert [entry["driver"] for entry in json.loads(shown("--json").stdout)] == drivers.names()
    done = shown("rbr")
    assert (done.exit_code, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 80
    for told in ("RBRconcerto3", "115200 8N1", "caltext02", "channels", "sea_water_temperature", "set `coefficients`"):
        assert told in done.stdout
    done = shown("rb")
    assert done.exit_code == 2
    assert "did you mean 'rbr'?" in done.stderr
    assert "'keller' is a map of the driver 'modbus'" in shown("keller").stderr


def test_the_list_fits_a_terminal() -> None:
    out = shown().stdout
    assert max(map(len, out.splitlines())) <= 80
    assert all(name in out for name in drivers.names())
