"""Plausible mistakes in drivers' settings: the check names file, line and field, and what to write instead."""

from pathlib import Path

import pytest

from gateway.config import load
from tidegate.settings import ConfigError

FILE = """\
[platform]
name = "jetty"
moving = true
[broker]
host = "h"
[storage]
directory = "d"
[instruments.it]
driver = "{driver}"
interval_s = 1.0
port = {{ {port} = "h:1" }}
{settings}
"""


@pytest.mark.parametrize(
    ("driver", "settings", "told"),
    [
        ("sbe16plus", 'columns = ["temprature"]', ("columns[0]: ", "did you mean 'temperature'?")),
        ("sbe16plus", 'columns = "temperature"', ("columns: ", "a list in [ ]")),
        ("sbe16plus", "coefficients = { TAO = 1.0 }", ("coefficients: no coefficient is called TAO", " TA0,")),
        ("sbe16plus", 'sensors = ["optod"]', ("sensors[0]: ", "did you mean 'optode'?")),
        ("sbe37", 'conductivity_unit = "mS/m"', ("conductivity_unit: ", "did you mean 'mS/cm'?")),
        ("sbe37", 'mode = "poll"', ("mode: ", "did you mean 'polled'?")),
        ("sbe37", 'calibration_file = "empty.cal"', ("calibration_file: ", "empty.cal", "give a .xmlcon")),
        ("sbe37", "polled = true", ("polled: ", "known here: `mode`")),
        ("sbe911plus", "", ("xmlcon: is missing",)),
        ("sbe911plus", 'xmlcon = "cast.xmlcon"', ("xmlcon: ", "/cast.xmlcon cannot be read (No such file")),
        (
            "sbe911plus",
            'xmlcon = "empty.cal"',
            ("xmlcon: ", "/empty.cal: not the text of an .xmlcon", "name the .xmlcon"),
        ),
        ("ascii", 'pattern = "tgs"', ("no pattern is called 'tgs'", "did you mean 'tsg'?")),
        ("ascii", 'pattern_file = "x.toml"', ("pattern_file: ", "/x.toml cannot be read")),
        ("ascii", 'pattern = "csv"\ncolumns = ["temprature"]', ("did you mean air_temperature", "fields.temprature")),
        (
            "ascii",
            'pattern = "csv"\ncolumns = ["a"]\nfields.a = { parameter = "sea_water_temperature", unit = "dbar" }',
            ("unit 'dbar' cannot become degC; use one of degC, K",),
        ),
        ("rbr", "coefficients = [1.0, 2.0]", ("coefficients: ", "too few values; give 4")),
        (
            "rbr",
            'parameters = { pressure_00 = "sea_water_presure" }',
            ("pressure_00 = 'sea_water_presure'", "did you mean sea_water_pressure"),
        ),
        ("valeport", 'unit = "dbar"', ("unit: ", "did you mean 'dBar'?")),
        ("nortek_nmea", 'checksum = "none"', ("checksum: ", "'required' or 'optional'")),
        ("paroscientific", "address = 100", ("address: 100 is out of range", "98 or less")),
        ("modbus", 'map = "vegapuls"', ("did you mean 'vegapuls-61'?",)),
        (
            "modbus",
            'registers = [{ parameter = "sea_water_temprature", address = 1, type = "int16" }]',
            ("registers[0]: ", "did you mean sea_water_temperature"),
        ),
        ("trdi_pd0", "setup = [3]", ("setup[0]: 3 is not text in quotes",)),
        ("nmea0183", 'transducers = { "C:AIR" = "air_temprature" }', ("transducers: ", "did you mean air_temperature")),
    ],
)
def test_a_mistake_is_told_with_its_place_and_remedy(
    tmp_path: Path, driver: str, settings: str, told: tuple[str, ...]
) -> None:
    (tmp_path / "empty.cal").write_text("nothing")
    port = "modbus_tcp" if driver == "modbus" else "tcp"
    table = f"[instruments.it.settings]\n{settings}" if settings else ""
    (tmp_path / "station.toml").write_text(FILE.format(driver=driver, port=port, settings=table))
    with pytest.raises(ConfigError) as raised:
        load(tmp_path / "station.toml")
    (line,) = str(raised.value).splitlines()
    path, number, rest = line.split(":", 2)
    assert path == str(tmp_path / "station.toml")
    assert int(number) >= (12 if settings else 8)
    assert "[instruments.it] settings" in rest
    for part in told:
        assert part in rest, line
