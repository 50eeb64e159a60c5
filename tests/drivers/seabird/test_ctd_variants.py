"""MicroCATs and SeaCATs with more than temperature, conductivity and pressure, and the ways by which scans travel."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.driver import Problem
from drivers.seabird.ctd import SeaBird
from drivers.seabird.sbe16plus import Sbe16plus
from drivers.seabird.sbe37 import Sbe37
from tests.drivers.decoded import frames
from tests.drivers.line_drivers import PROBABLE, column, cut_anywhere, decode, kinds, times
from tests.drivers.seabird.test_calibration import OXYGEN, QUARTZ, ROWS, XMLCON
from tidegate.clock import UNKNOWN, TimeSource, isoformat

T = "sea_water_temperature"
C = "sea_water_electrical_conductivity"
P = "sea_water_pressure_due_to_sea_water"
O = "volume_fraction_of_oxygen_in_sea_water"  # noqa: E741
SECOND = 1_000_000_000

# SBE 37-IM, telemetered: the shape and the first scans of the OOI's ctdmo files (mi-instrument, ctdmo_ghqr/imodem).
TELEMETERED = (
    b"#MCAT Status\n#7370_DateTime: 20140712 120719\n#SBE37-IM v3.1  SERIAL NO. 11477  12 Jul 2014 12:07:19\n"
    b"#vMain =  6.91, vLith =  3.08\n#samplenumber = 4143, free = 555097\n#logging\n#sample interval = 60 seconds\n"
    b"#PressureRange = 1450\n#SamplesRecorded = 4\n#Data Format: tttttcccccppppTTTTTTTT (p is optional pressure)\n"
    b"#Begin Data\n563A00C351E50A28D3531B\n562DE0C351E50A67D3531B\n562EC0C351E50AA0D3531B\n563FB0C351E50ADCD3531B\n"
    b"#End Data\n"
)
# metbk_ct: a SBE 37-SM RS-485 without pressure (mi-instrument, metbk_ct); its own header's coefficients.
WITHOUT_PRESSURE = (
    b"* Sea-Bird SBE37SM-RS485  Data File:\n* <ConfigurationData DeviceType='SBE37SM-RS485' SerialNumber='03711000'>\n"
    b"*    <PressureInstalled>no</PressureInstalled>\n*    <ReferencePressure>0.000000e+00</ReferencePressure>\n"
    b"*    <SampleDataFormat>converted engineering alternate</SampleDataFormat>\n* </ConfigurationData>\n"
    b"* <CalibrationCoefficients DeviceType='SBE37SM-RS485' SerialNumber='03711000'>\n"
    b"*    <Calibration format='TEMP1' id='Temperature'>\n"
    b"*       <A0>-1.124776e-04</A0>\n*       <A1>3.095092e-04</A1>\n"
    b"*       <A2>-4.727113e-06</A2>\n*       <A3>2.076045e-07</A3>\n*    </Calibration>\n"
    b"*    <Calibration format='WBCOND0' id='Conductivity'>\n"
    b"*       <G>-9.824235e-01</G>\n*       <H>1.266732e-01</H>\n"
    b"*       <I>-4.065263e-04</I>\n*       <J>4.500044e-05</J>\n*       <PCOR>-9.570000e-08</PCOR>\n"
    b"*       <TCOR>3.250000e-06</TCOR>\n*       <WBOTC>1.133594e-06</WBOTC>\n*    </Calibration>\n"
    b"* </CalibrationCoefficients>\n*END*\n"
)


def test_a_telemetered_block_names_the_instrument_and_its_pressure_range() -> None:
    decoded = decode(Sbe37, TELEMETERED)
    assert kinds(decoded) == []
    counts = [0x563A0, 0x562DE, 0x562EC, 0x563FB]
    assert column(decoded, T) == [round(n / 1e4 - 10, 4) for n in counts]
    assert column(decoded, C) == [1e-5] * 4
    span = (1450 - 14.7) * 0.689476
    assert column(decoded, P) == pytest.approx([2789 * span / (0.85 * 65536) - 0.05 * span] * 4, abs=6e-4)
    assert isoformat(times(decoded)[0]) == "2014-07-12T11:06:16.000000000Z"
    driver = Sbe37("it")
    driver.feed(TELEMETERED[:-10], UNKNOWN)
    assert driver.description()["serial"] == "11477"


def test_a_block_that_holds_fewer_scans_than_its_head_says_is_told() -> None:
    decoded = decode(Sbe37, TELEMETERED.replace(b"SamplesRecorded = 4", b"SamplesRecorded = 62"))
    assert len(times(decoded)) == 4
    assert kinds(decoded) == ["truncated"]
    (found,) = [d for d in decoded if isinstance(d, Problem)]
    assert "4 scans came where the head says SamplesRecorded = 62" in found.message
    damaged = decode(Sbe37, TELEMETERED.replace(b"562DE0C351E50A67D3531B", b"562DE0C351E50A67D3531"))
    assert kinds(damaged) == ["syntax"]


def test_a_telemetered_scan_without_pressure() -> None:
    decoded = decode(Sbe37, b"563A00C35128D3531B\r\n")
    assert (column(decoded, T), column(decoded, C)) == ([25.3184], [1e-5])
    assert isoformat(times(decoded)[0]) == "2014-07-12T11:06:16.000000000Z"


def test_an_upload_without_pressure() -> None:
    decoded = decode(Sbe37, WITHOUT_PRESSURE + b"053B8218244A233FC911\n053B221824A6233FCA3D\n053C4F182394233FCB69\n")
    assert kinds(decoded) == []
    assert np.diff(times(decoded)).tolist() == [300 * SECOND] * 2
    assert all(5 < t < 25 and 2 < c < 5 for t, c in zip(column(decoded, T), column(decoded, C), strict=True))
    assert list(frames(decoded)[0].columns) == [T, C]


@pytest.mark.parametrize("pressure", [True, False])
def test_oxygen_of_an_upload(pressure: bool) -> None:
    k = OXYGEN | {
        "TA0": -9.377649e-05,
        "TA1": 3.059047e-04,
        "TA2": -4.445992e-06,
        "TA3": 2.014555e-07,
        "G": -9.988043e-01,
        "H": 1.502702e-01,
        "I": -1.575969e-04,
        "J": 3.239340e-05,
        "WBOTC": 4.117014e-07,
        "CPCOR": -9.57e-8,
        "CTCOR": 3.25e-6,
        "PA0": -1.177128,
        "PA1": 9.216265e-03,
        "PA2": 7.654627e-11,
        "PTCA0": 5.230538e05,
        "PTCA1": -15.27190,
        "PTCA2": 0.4120696,
        "PTCB0": 104.3064,
        "PTCB1": -6.333462e-03,
        "PTCB2": 0.0,
        "PTEMPA0": -96.40760,
        "PTEMPA1": 3.965814e-02,
        "PTEMPA2": 1.385976e-06,
    }
    # Counts that give Sea-Bird's printed phase and voltage; temperature and conductivity near its own.
    lines = [
        b"%06X%06X%06X%06X%s%08X\n"
        % (0x046A29, 0x0A0000, round((r[3] + 10) * 1e5), round((r[4] + 1) * 1e6), b"07FC900BE0" if pressure else b"", 1)
        for r in ROWS
    ]
    decoded = decode(Sbe37, b"".join(lines), {"coefficients": k})
    assert len(times(decoded)) == len(ROWS)
    assert column(decoded, "temperature_of_sensor_for_oxygen_in_sea_water") == pytest.approx(
        ROWS[:, 5].tolist(), abs=1.1e-4
    )
    assert column(decoded, "oxygen_phase_delay") == ROWS[:, 3].tolist()
    if not pressure:
        # Water that conducts nothing, at the surface: as good as the row's own, which are 0.01 in salinity.
        assert column(decoded, O) == pytest.approx(ROWS[:, 6].tolist(), abs=2e-3)
    lacking = decode(Sbe37, lines[0], {"coefficients": {n: v for n, v in k.items() if n != "OXB1"}})
    assert kinds(lacking) == ["calibration"]


def test_commands_and_answers_through_an_inductive_modem() -> None:
    settings = {"mode": "polled", "address": 3}
    driver = Sbe37("it", Sbe37.Settings.model_validate(settings))
    assert driver.start() == b"PwrOn\r\n#03Stop\r\n#03OutputFormat=1\r\n#03GetCD\r\n"
    assert driver.poll() == b"#03TS\r\n"
    said = (
        b"#03TS\r\n<RemoteReply><Executing/>\r\n 24.8339,  0.97795,   -9.262, 07 Jan 2000, 04:51:39\r\n<Executed/>\r\n"
        b"</RemoteReply>\r\nIMM>!03Data\r\n03, 09999, 24.8340,  0.97796,   -9.261, 07 Jan 2000, 04:51:40\r\n"
        b"05, 09998, 24.8340,  0.97796,   -9.261, 07 Jan 2000, 04:51:40\r\n"
    )
    decoded = decode(Sbe37, said, settings)
    assert column(decoded, T) == [24.8339, 24.8340]
    assert kinds(decoded) == ["unknown"]


def test_xml_packets_of_a_seacat_with_a_hash_and_spaces() -> None:
    # As a station of the University of Hawaii logged them.
    line = (
        b'#<?xml version="1.0"?><datapacket><hdr><mfg>Sea-Bird</mfg><model>16plus</model><sn>01607354</sn></hdr><data>'
        b"<t1> 22.6458</t1><c1> 0.00005</c1><p1>   0.036</p1><v0>0.0148</v0><sal>  0.0110</sal>"
        b"<dt>2016-06-16T04:12:18</dt></data></datapacket>\r\n"
    )
    decoded = decode(Sbe16plus, line + line[1:])
    assert kinds(decoded) == []
    assert (column(decoded, T), column(decoded, "external_voltage_0")) == ([22.6458] * 2, [0.0148] * 2)


def test_xml_packets_with_a_serial_sensor() -> None:
    packet = (
        b"<?xml?><datapacket><hdr><mfg>Sea-Bird</mfg><model>19plus</model><sn>1906003</sn></hdr><data><t1>23.7658</t1>"
        b"<c1>0.00019</c1><p1>0.062</p1><v0>0.0590</v0><ser1><type>gtd</type><p1>101325000</p1><t1>21.500</t1></ser1>"
        b"<sal>0.0110</sal></data></datapacket>\r\n"
    )
    decoded = decode(Sbe16plus, packet)
    assert (kinds(decoded), column(decoded, P)) == ([], [0.062])
    assert column(decoded, "total_dissolved_gas_pressure") == [1013.25]
    assert column(decoded, "temperature_of_gas_tension_sensor") == [21.5]


def raw_coefficients() -> dict[str, float]:
    return {
        "TA0": 1.271257e-03,
        "TA1": 2.720604e-04,
        "TA2": -9.909794e-07,
        "TA3": 1.735758e-07,
        "G": -9.952793e-01,
        "H": 1.380221e-01,
        "I": -1.019730e-04,
        "J": 2.587865e-05,
        "CPCOR": -9.57e-8,
        "CTCOR": 3.25e-6,
        "PA0": 4.917435e-02,
        "PA1": 4.821181e-04,
        "PA2": -2.702838e-12,
        "PTCA0": 5.231386e05,
        "PTCA1": 15.04019,
        "PTCA2": -0.4671539,
        "PTCB0": 24.89888,
        "PTCB1": -2.5e-05,
        "PTCB2": 0.0,
        "PTEMPA0": -57.79848,
        "PTEMPA1": 54.76817,
        "PTEMPA2": -0.6283987,
    }


def test_every_digital_sensor_in_a_scan() -> None:
    # Engineering scan of the manual, page 62, with what each sensor adds (pages 67 and 68 of revision 006).
    scan = (
        b"3385C40F42FE0186DE03050594"
        + b"%06X" % round((21.5 + 10) * 1e5)  # SBE 38
        + b"012C000A0000"  # WET Labs
        + b"%08X%06X" % (101325000, round((20.25 + 10) * 1e5))  # gas tension device
        + b"%06X" % round((231.5 + 10) * 1e4)  # optode
        + b"%06X%06X" % (round((16.774 + 10) * 1e5), round((0.581763 + 1) * 1e6))  # SBE 63
        + b"\r\n"
    )
    sensors = ["sbe38", "wetlabs", "gtd", "optode", "sbe63"]
    settings = {"voltages": [0, 1], "scans": "engineering", "sensors": sensors, "coefficients": OXYGEN}
    decoded = decode(Sbe16plus, scan, settings)
    assert kinds(decoded) == []
    row = {name: values.tolist()[0] for name, values in frames(decoded)[0].columns.items()}
    assert (row[T], row[P], row["sea_water_temperature_2"]) == (23.7658, 0.062, 21.5)
    assert [row[f"auxiliary_counts_{n}"] for n in (1, 2, 3)] == [300, 10, 0]
    assert (row["total_dissolved_gas_pressure"], row["temperature_of_gas_tension_sensor"]) == (1013.25, 20.25)
    assert row["mole_concentration_of_dissolved_molecular_oxygen_in_sea_water"] == 231.5
    assert (row["oxygen_phase_delay"], row["oxygen_thermistor_voltage"]) == (16.774, 0.581763)
    assert row[O] == pytest.approx(5.872, abs=2e-3)


def test_a_seacat_with_a_quartz() -> None:
    # The first three scans of 16plus_digiquartz.hex of seabirdscientific; depth and temperature agree with each other.
    scans = b"0738C20A7E3487E7C061671F880A35\n06EF4A0A7E2B87E7BA612A1F88113D\n072A2A0A7E3387E7F4614B1F881845\n"
    coefficients = {n: v for n, v in raw_coefficients().items() if n[:2] not in ("PA",) and n[:2] != "PT"} | QUARTZ
    settings = {"voltages": [], "pressure_sensor": "quartz", "coefficients": coefficients}
    decoded = decode(Sbe16plus, scans, settings)
    assert kinds(decoded) == []
    assert np.diff(times(decoded)).tolist() == [1800 * SECOND] * 2
    assert all(abs(p) < 2 for p in column(decoded, P))  # on deck
    assert column(decoded, "temperature_of_pressure_sensor")[0] == pytest.approx(0x616 * 0.028927 - 41.1733, abs=1e-3)
    assert kinds(decode(Sbe16plus, scans, settings | {"coefficients": raw_coefficients()})) == ["calibration"] * 3


def test_raw_decimal_is_the_same_scan_as_raw_hexadecimal() -> None:
    # The manual prints one scan in both forms, pages 61 and 63.
    settings = {"voltages": [0, 1], "coefficients": raw_coefficients()}
    hexadecimal = frames(decode(Sbe16plus, b"0A53711BC7220C14C17D8203050594\r\n", settings))[0].columns
    decoded = decode(Sbe16plus, b"676721, 7111.133, 791745, 2.4514, 0.0590, 0.1089\r\n", settings)
    decimal = frames(decoded)[0].columns
    assert list(decimal) == list(hexadecimal)
    for name, values in decimal.items():
        # Hz are printed to 0.001, volts to 0.0001.
        assert abs(values - hexadecimal[name]).max() < (0.2 if name == P else 3e-3), name
    dated = b"676721, 7111.133, 791745, 2.4514, 0.0590, 0.1089, 05 Feb 2013, 19:16:59\r\n"
    assert isoformat(times(decode(Sbe16plus, dated, settings))[0]) == "2013-02-05T19:16:59.000000000Z"
    assert kinds(decode(Sbe16plus, dated, {"voltages": [0, 1]})) == ["calibration"]


# 19plus_V2_CTD_nmea_data.hex of seabirdscientific, whose tests say what its first scan holds.
SEASAVE = (
    b"* Sea-Bird SBE 19plus Data File:\n* Software Version Seasave V 7.26.7.121\n"
    b"* System UpLoad Time = Mar 18 2023 05:14:18\n* NMEA UTC (Time) = Mar 18 2023  12:15:19\n"
    b"* Store Lat/Lon Data = Append to Every Scan\n** Ship: Tully\n"
    b"* Real-Time Sample Interval = 0.2500 seconds\n*END*\n"
    b"08E1A913C11D08085550CB9D40033C2518A45E391940D767A82B\n08E1AC13C08008085450CA9D7403402518A45E391940D767A82B\n"
)


def test_a_seasave_file_with_the_position_in_each_scan(tmp_path: Path) -> None:
    (tmp_path / "a.xmlcon").write_text(XMLCON)
    settings = {"calibration_file": str(tmp_path / "a.xmlcon")}
    decoded = decode(Sbe16plus, SEASAVE, settings)
    assert kinds(decoded) == []
    assert (column(decoded, "latitude"), column(decoded, "longitude")) == ([48.6228] * 2, [-123.50002] * 2)
    assert [isoformat(at) for at in times(decoded)] == [
        "2023-03-18T12:15:19.000000000Z",
        "2023-03-18T12:15:19.250000000Z",
    ]
    assert frames(decoded)[0].source is TimeSource.NMEA
    assert len(column(decoded, "external_voltage_1")) == 2
    headless = decode(Sbe16plus, SEASAVE.partition(b"*END*\n")[2], settings)
    assert [isoformat(at) for at in times(headless)] == ["2023-03-18T12:15:19.000000000Z"] * 2
    south = SEASAVE.replace(b"40D767A82B", b"80D767A82B")
    assert column(decode(Sbe16plus, south, settings), "latitude") == [-48.6228] * 2
    assert set(kinds(decode(Sbe16plus, SEASAVE))) == {"syntax"}  # nobody says which voltages there are


def test_what_getcd_says_is_printed() -> None:
    # The reply's shape is that of the header of seabirdscientific's SBE19plus_01907622 and 16plus_digiquartz.
    reply = (
        b"<ConfigurationData DeviceType='SBE16plus' SerialNumber='01600001'>\r\n<DataChannels>\r\n"
        + b"".join(b"<ExtVolt%d>%s</ExtVolt%d>\r\n" % (n, b"yes" if n < 2 else b"no", n) for n in range(6))
        + b"<SBE38>yes</SBE38>\r\n<WETLABS>no</WETLABS>\r\n<OPTODE>no</OPTODE>\r\n"
        b"<SBE63>no</SBE63>\r\n<GTD>no</GTD>\r\n"
        b"</DataChannels>\r\n<OutputFormat>converted decimal</OutputFormat>\r\n<OutputSalinity>yes</OutputSalinity>\r\n"
        b"<OutputSoundVelocity>no</OutputSoundVelocity>\r\n<OutputSigmaT_V_I>yes</OutputSigmaT_V_I>\r\n"
        b"</ConfigurationData>\r\n"
    )
    line = b"# 23.7658,  0.00019,    0.062, 0.0590, 0.1089,  21.5000,   0.0110, "
    line += b"05 Feb 2013 19:16:59,  -2.0608, 11.4,   2.3\r\n"
    decoded = decode(Sbe16plus, reply + line)
    assert kinds(decoded) == []
    assert list(frames(decoded)[0].columns) == [
        *(T, C, P, "external_voltage_0", "external_voltage_1", "sea_water_temperature_2"),
        *("sea_water_practical_salinity", "sea_water_sigma_t", "battery_voltage", "supply_current"),
    ]


@given(st.lists(st.integers(0, len(TELEMETERED)), max_size=20).map(sorted))
@PROBABLE
def test_the_cutting_of_a_telemetered_block_does_not_matter(cuts: list[int]) -> None:
    cut_anywhere(Sbe37, TELEMETERED.replace(b"= 4\n", b"= 5\n"), None, cuts)


@given(st.lists(st.integers(0, len(SEASAVE)), max_size=20).map(sorted))
@PROBABLE
def test_the_cutting_of_a_seasave_file_does_not_matter(cuts: list[int]) -> None:
    settings = {"voltages": [0, 1], "coefficients": raw_coefficients()}
    cut_anywhere(Sbe16plus, SEASAVE, settings, cuts)


_BITS = [b"#", b"\r\n", b"S>", b"03,", b"<datapacket>", b"#End Data", b"#Begin Data", b"SamplesRecorded = 3", b"? CMD"]


@pytest.mark.parametrize("cls", [Sbe37, Sbe16plus])
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from([*_BITS, *TELEMETERED.splitlines(True), *SEASAVE.splitlines(True)]),
            st.text("0123456789ABCDEF,. -", max_size=60).map(lambda text: text.encode() + b"\r\n"),
        ),
        max_size=20,
    )
)
@PROBABLE
def test_no_problem_is_reported_that_the_driver_does_not_explain(cls: type[SeaBird], parts: list[bytes]) -> None:
    decode(cls, b"".join(parts))  # it asserts so


@pytest.mark.parametrize("cls", [Sbe37, Sbe16plus])
def test_what_a_driver_says_of_itself(cls: type[SeaBird]) -> None:
    assert cls.lines[0] == "9600 8N1"
    assert cls.hail().endswith(b"DS\r\n")
    assert cls.guesses()[0] == cls.Settings()
    assert len({repr(guess) for guess in cls.guesses()}) == len(cls.guesses()) > 3
    assert "calibration_file" in cls.calibration
    assert {"TS", "GetCD"} <= set(cls.commands)
