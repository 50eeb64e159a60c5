"""A driver must not decode somebody else's stream: probing an unknown line rests on that."""

import pytest

from drivers.driver import load, names
from tests.drivers.decoded import frames, problems
from tidegate.clock import UNKNOWN

OWN = ("aml", "paroscientific", "rbr", "valeport")
STREAMS = {
    "rbr caltext01": b"2017-09-10 11:24:14.000, 38.6664, 21.5183, 10.9601\r\n",
    "rbr caltext02": b"2017-09-10 11:52:21.000, 38.6671 mS/cm, 22.0217 C, 10.9596 dB\r\n",
    "rbr gen4": b"sch_fast_CTD 2024-06-10 11:24:14.125 38.6671142e+000 22.0217124e+000 1.95962418e+003\r\n",
    "aml columns": b"2020-05-27,18:59:26.03,5.122,24.044,10.09,1459.111,10.07\r\n",
    "aml amlx": b"msg138{mux[meta=time,1590605500.55,s],port1[data=Cond,0.000000,mS/cm][rawi=ADC,563,none]}\r\n",
    "valeport tidemaster": b"$PVTM0,01,20042019,084000,-0.271,0.010,1,5.6,0*2a\r\n",
    "valeport miniips": b"0009.996,M,0.000\r\n",
    "valeport minisvp": b" 10.351 21.488 1506.739 \r\n",
    "paroscientific": b"*000114.69594\r\n",
    "paroscientific nano": b"NANO,V,2013/08/22 22:48:36.013,13.888533,26.147947328\r\n",
    "sbe37": b" 24.8339,  0.97795,   -9.262, 07 Jan 2000, 04:51:39\r\n",
    "sbe16plus": b"# 13.7971,  4.01241,    6.536,  33.4881, 1501.145, 23 Nov 2013 00:00:21,  25.0608, 11.4,   2.3\r\n",
    "sbe26plus": b"tide: start time = 05 Jan 2014 00:00:28, p = 208.8057, pt = 14.004, t = 13.8633\r\n",
    "sbe45": b"23.7658,  0.00019\r\n",
    "sbe26plus burst": b"  14.5102\r\n",
    "nmea": b"$GPZDA,000000.70,01,08,2014,,*6F\r\n",
    "pnors": b"$PNORS,011626,120000,00000000,34500000,23.8,1532.9,300.1,0.1,0.1,10.967,23.52,0,0*5E\r\n",
    "wxt": b"0R1,Dm=027D,Sm=0.1M\r\n",
    "sdi-12": b"0+100.050+25.000+0\r\n",
    "gill": b"\x02Q,230,002.73,M,00,\x0316\r\n",
    "toa5": b'"2019-10-05 00:00:00",1203,12.91,26.42,1009.1,"NAN"\r\n',
    "csv": b"2024-05-01T00:00:00Z;12.5;7.61;ok\r\n",
    "degrees": b"T=25.08C RH=76.4 P=1009.12\r\n",
    "words": b"pump on, valve 3 open, flow 12.5 l/min\r\n",
    "shell": b"root@station:~# uptime\r\n 20:17:02 up 13 days, 19:11,  0 users,  load average: 0.00, 0.00, 0.00\r\n",
}


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("name", OWN)
def test_nobody_decodes_a_strangers_stream(name: str, stream: str) -> None:
    cls = load(name)
    for guess in cls.guesses():
        driver = cls("it", guess)
        decoded = driver.feed(STREAMS[stream] * 3, UNKNOWN) + driver.finish()
        if not stream.startswith(name):
            assert not frames(decoded)
            assert len(problems(decoded)) >= 3


OWNERS = {
    "sbe37": {"sbe37", "sbe16plus"},
    "sbe26plus burst": {"sbe26plus", "sbe45"},
    "nmea": {"nmea0183"},
    "pnors": {"nortek_nmea"},
    "wxt": {"vaisala_wxt"},
    "sdi-12": {"sdi12"},
}
"""Whose lines these are; two where they print the same."""


@pytest.mark.parametrize("stream", STREAMS)
def test_no_driver_at_all_finds_a_sample_in_a_strangers_lines(stream: str) -> None:
    finders = set()
    for name in names():
        cls = load(name)
        for guess in cls.guesses():
            driver = cls("it", guess)
            if frames(driver.feed(STREAMS[stream] * 3, UNKNOWN) + driver.finish()):
                finders.add(name)
    assert finders <= OWNERS.get(stream, {stream.split()[0]})


@pytest.mark.parametrize("name", OWN)
def test_a_technician_is_told_all_of_a_driver(name: str) -> None:
    cls = load(name)
    assert cls.lines
    assert cls.commands
    assert cls.calibration
    assert all(len(why) > 10 for why in cls.problems.values())
    assert cls.hail()
    for line in cls.hail().decode().split("\r\n"):
        assert not line or line in cls.commands, f"{line!r} is sent, and `commands` does not say what it does"
