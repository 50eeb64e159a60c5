"""Calibration: the equations by Sea-Bird's own values, the files in which coefficients come, and what lacks."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from drivers.seabird.calibration import (
    lacking_of,
    oxygen_ml_l,
    oxygen_temperature_c,
    practical_salinity,
    quartz_pressure_dbar,
)
from drivers.seabird.sbe37 import Sbe37
from drivers.seabird.sheet import read_sheet

# SBE37SMP-ODO 03711459: the header's coefficients, and rows that Sea-Bird's datcnv 7.26.7.129 printed of its upload
# (seabirdscientific, SBE37SMP-ODO-RS232_03711459_2023_08_11-seasoft-convert-o2-full.cnv): temperature, conductivity,
# pressure, phase delay, thermistor V, thermistor °C, oxygen ml/l, salinity.
OXYGEN = {
    "OXA0": 1.051300e00,
    "OXA1": -1.500000e-03,
    "OXA2": 4.149243e-01,
    "OXB0": -2.449207e-01,
    "OXB1": 1.643613e00,
    "OXC0": 1.036735e-01,
    "OXC1": 4.416997e-03,
    "OXC2": 6.092370e-05,
    "OXE": 1.1e-2,
    "OXTA0": 7.082572e-04,
    "OXTA1": 2.496316e-04,
    "OXTA2": 8.447513e-07,
    "OXTA3": 9.333618e-08,
}
ROWS = np.array(
    [
        (23.8581, 0.000036, -0.057, 16.774, 0.581763, 23.2412, 5.872, 0.0115),
        (23.8600, 0.000036, -0.057, 16.779, 0.581753, 23.2417, 5.868, 0.0115),
        (23.8645, 0.000033, -0.056, 16.769, 0.581689, 23.2452, 5.876, 0.0115),
        (23.8681, 0.000036, -0.068, 16.774, 0.581615, 23.2491, 5.871, 0.0115),
        (24.1148, 0.000033, -0.063, 16.755, 0.577397, 23.4776, 5.843, 0.0116),
    ]
)


def test_oxygen_and_its_thermistor_are_as_sea_birds_software_converts_them() -> None:
    t, c, p, phase, volts, wanted_t, wanted, salinity = ROWS.T
    at = oxygen_temperature_c(volts, OXYGEN)
    assert np.abs(at - wanted_t).max() < 1e-4
    assert np.abs(practical_salinity(c, t, p) - salinity).max() < 1.1e-4
    # The phase is printed to 1 ns, half of which is worth 0.0004 ml/l.
    assert np.abs(oxygen_ml_l(phase, at, p, practical_salinity(c, t, p), OXYGEN) - wanted).max() < 1e-3


def test_oxygen_of_the_calibration_sheet_and_its_corrections() -> None:
    # Calibration sheet of SBE 63 sn 2568 and two values of Sea-Bird's own open software for pressure and salinity.
    k = {
        "OXA0": 1.0513,
        "OXA1": -1.5e-3,
        "OXA2": 4.1907e-1,
        "OXB0": -2.5004e-1,
        "OXB1": 1.6524,
        "OXC0": 1.0355e-1,
        "OXC1": 4.4295e-3,
        "OXC2": 6.0011e-5,
        "OXE": 1.1e-2,
    }
    phase = np.array([31.06, 31.66, 32.59, 33.92, 34.82, 35.44, 35.44, 35.44])
    pressure = np.array([0.0, 0, 0, 0, 0, 0, 1000, 100])
    temperature = np.array([30.0, 26, 20, 12, 6, 2, 2, 2])
    salinity = np.array([0.0, 0, 0, 0, 0, 0, 0, 35])
    wanted = np.array([0.706, 0.74, 0.799, 0.892, 1.005, 1.095, 1.1398, 0.8647])
    assert np.abs(oxygen_ml_l(phase, temperature, pressure, salinity, k) - wanted).max() < 2e-3


# The header of 16plus_digiquartz.hex of seabirdscientific.
QUARTZ = {
    "PC1": 2.289226e02,
    "PC2": -2.841870e-03,
    "PC3": -2.208090e-05,
    "PD1": 3.769400e-02,
    "PD2": 0.0,
    "PT1": 2.776567e01,
    "PT2": -1.796980e-04,
    "PT3": 1.148220e-06,
    "PT4": 1.282930e-09,
}


def test_a_quartz_is_as_the_sheet_of_paroscientific_has_it() -> None:
    from seabirdscientific.cal_coefficients import PressureDigiquartzCoefficients
    from seabirdscientific.conversion import convert_pressure_digiquartz

    hz = np.array([0x87E82D, 0x87E7C0, 0x87E7BA]) / 256
    counts = np.array([0x623, 0x616, 0x612], np.float64)
    k = {name[1:].lower(): value for name, value in QUARTZ.items()}
    # A window of one sample: each scan by its own temperature.
    wanted = convert_pressure_digiquartz(hz, counts, PressureDigiquartzCoefficients(**k, t5=0.0), "dbar", 30.0)
    found, temperature = quartz_pressure_dbar(hz, counts, QUARTZ)
    assert np.abs(found - wanted).max() < 1e-5
    assert np.allclose(temperature, counts * 0.028927 - 41.1733)
    higher, _ = quartz_pressure_dbar(hz, counts, QUARTZ | {"PSLOPE": 2.0, "POFFSET": 1.0})
    assert np.allclose(higher, 2 * found + 1)


def test_what_lacks_is_named_and_zeros_of_an_uncalibrated_instrument_are_none() -> None:
    assert lacking_of(OXYGEN, ["oxygen"]) == []
    assert lacking_of({n: v for n, v in OXYGEN.items() if n != "OXB1"}, ["oxygen"]) == ["OXB1"]
    assert lacking_of({"TA0": 0.0, "TA1": 0.0, "TA2": 0.0, "TA3": 0.0}, ["temperature"]) == ["TA0", "TA1", "TA2", "TA3"]
    assert lacking_of({}, ["temperature"], more=("WBOTC",)) == ["TA0", "TA1", "TA2", "TA3", "WBOTC"]


XMLCON = """<?xml version="1.0" encoding="UTF-8"?>
<SBE_InstrumentConfiguration SB_ConfigCTD_FileVersion="7.26.4.0" ><Instrument Type="11" >
<Name>SBE 19plus V2 Seacat CTD</Name><ExternalVoltageChannels>2</ExternalVoltageChannels>
<SerialRS232C_Sensor>0</SerialRS232C_Sensor><NmeaPositionDataAdded>1</NmeaPositionDataAdded>
<NmeaTimeAdded>1</NmeaTimeAdded><SensorArray Size="4" >
<Sensor index="0" SensorID="58" ><TemperatureSensor SensorID="58" ><SerialNumber>6398</SerialNumber>
<A0>1.26095907e-003</A0><A1>2.59137989e-004</A1><A2>-1.76761879e-007</A2><A3>1.43699673e-007</A3>
<Slope>1.00000000</Slope><Offset>0.0001</Offset></TemperatureSensor></Sensor>
<Sensor index="1" SensorID="3" ><ConductivitySensor SensorID="3" ><SerialNumber>6398</SerialNumber>
<Coefficients equation="0" ><A>0.0</A><B>0.0</B><CPcor>-1.0</CPcor></Coefficients>
<Coefficients equation="1" ><G>-1.03206551e+000</G><H>1.61853283e-001</H><I>-6.16269794e-004</I>
<J>6.88114987e-005</J><CPcor>-9.57000000e-008</CPcor><CTcor>3.2500e-006</CTcor><WBOTC>0.0</WBOTC></Coefficients>
<Slope>1.00000000</Slope><Offset>0.00000</Offset></ConductivitySensor></Sensor>
<Sensor index="2" SensorID="46" ><PressureSensor SensorID="46" ><SerialNumber>6398</SerialNumber>
<PA0>-2.38440127e-001</PA0><PA1>4.87833137e-004</PA1><PA2>-5.82191388e-012</PA2>
<PTEMPA0>-6.74363150e+001</PTEMPA0><PTEMPA1>5.32265012e+001</PTEMPA1><PTEMPA2>-5.03377089e-001</PTEMPA2>
<PTCA0>5.24442060e+005</PTCA0><PTCA1>-2.99672123e+001</PTCA1><PTCA2>3.56337762e-001</PTCA2>
<PTCB0>2.50061250e+001</PTCB0><PTCB1>-7.75000000e-004</PTCB1><PTCB2>0.00000000e+000</PTCB2>
<Offset>0.000000</Offset></PressureSensor></Sensor>
<Sensor index="3" SensorID="38" ><OxygenSensor SensorID="38" ><Soc>0.39</Soc><A>1</A></OxygenSensor></Sensor>
</SensorArray></Instrument></SBE_InstrumentConfiguration>
"""
"""As Seasave 7.26.4 writes it; the numbers of a SBE 19plus V2 of seabirdscientific's tests."""
CAL = """INSTRUMENT_TYPE=SEACATPLUS
SERIALNO=4977
TCALDATE=27-Sep-07
TA0= 1.230393e-003
TA1= 2.656337e-004
TA2=-2.679162e-007
TA3= 1.653286e-007
CG=-1.002841e+000
CH= 1.486596e-001
CI=-3.312283e-004
CJ= 4.743578e-005
CTCOR= 3.250000e-006
CPCOR=-9.570000e-008
PA0= 2.257238e-001
"""
"""The first lines of a .cal as Sea-Bird sends it (seabirdscientific, 4977.CAL)."""


def written(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_a_xmlcon_gives_coefficients_and_what_is_in_a_scan(tmp_path: Path) -> None:
    sheet = read_sheet(written(tmp_path, "a.xmlcon", XMLCON))
    k = sheet.coefficients
    assert (k["TA0"], k["G"], k["CPCOR"], k["PTEMPA1"]) == (1.26095907e-3, -1.03206551, -9.57e-8, 53.2265012)
    assert (k["TSLOPE"], k["TOFFSET"], k["CSLOPE"], k["POFFSET"]) == (1.0, 1e-4, 1.0, 0.0)
    assert not [name for name in k if name.startswith("OX")]  # a SBE 43 gives a voltage
    assert (sheet.scan["ExternalVoltageChannels"], sheet.scan["NmeaTimeAdded"], sheet.quartz) == ("2", "1", False)
    assert lacking_of(k, ["temperature", "conductivity", "pressure"]) == []


def test_text_as_sea_bird_sends_it(tmp_path: Path) -> None:
    k = read_sheet(written(tmp_path, "a.cal", CAL)).coefficients
    assert (k["TA0"], k["G"], k["J"], k["PA0"]) == (1.230393e-3, -1.002841, 4.743578e-5, 0.2257238)
    told = "temperature: 13-jan-16\n    TA0 = 1.5e-03\npressure S/N = 26, range = 1450 psia: 28-dec-15\n    PA0 = 0.5\n"
    assert read_sheet(written(tmp_path, "dc.txt", told)).coefficients == {"TA0": 1.5e-3, "PRANGE": 1450.0, "PA0": 0.5}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nothing of use\n", "no calibration coefficients"),
        (XMLCON[:900], "no well-formed XML"),
        (XMLCON.replace("2.59137989e-004", "2.59l37989e-004"), "A1 reads '2.59l37989e-004', which is no number"),
        (XMLCON.replace("<Name>", "<!DOCTYPE x><Name>"), "declares entities"),
    ],
)
def test_a_file_that_is_none_is_refused_with_the_remedy(tmp_path: Path, text: str, says: str) -> None:
    path = written(tmp_path, "bad.xmlcon", text)
    with pytest.raises(ValidationError, match=says) as refused:
        Sbe37.Settings(calibration_file=path)  # type: ignore[arg-type]  # as it stands in the TOML
    assert "bad.xmlcon" in str(refused.value)


def test_the_setting_is_read_beside_the_configuration_and_goes_before_the_header(tmp_path: Path) -> None:
    written(tmp_path, "a.cal", CAL)
    settings = Sbe37.Settings.model_validate(
        {"calibration_file": "a.cal", "coefficients": {"TA1": 7.0}}, context={"base": tmp_path}
    )
    assert settings.model_dump()["calibration_file"] == str(tmp_path / "a.cal")
    driver = Sbe37("ctd", settings)
    calibration = driver.description()["calibration"]
    assert (calibration["TA0"], calibration["TA1"], calibration["G"]) == (1.230393e-3, 7.0, -1.002841)
    with pytest.raises(ValidationError, match="cannot be read"):
        Sbe37.Settings.model_validate({"calibration_file": "b.cal"}, context={"base": tmp_path})
    assert "calibration_file" in Sbe37.Settings.model_json_schema()["properties"]
