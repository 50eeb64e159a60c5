"""Sea-Bird SBE 26plus Seagauge: tide lines, wave bursts, answers to `TS`, and uploaded files.

Theory of operation. The recorder averages pressure over an interval and then prints, with TxRealTime on,

    tide: start time = 05 Jan 2014 00:00:28, p = 208.8057, pt = 14.004, t = 13.8633

p is absolute pressure in psia, the mean of the interval; pt the temperature of the pressure sensor, t that of the water
(measured at the interval's end), both °C; with a conductivity sensor `, c = …, s = …` follow, in S/m and PSU. The
time of a sample is the time printed: the START of the averaging interval, not its middle. (How long the interval is,
the line does not say; the middle is half of it later.) `TS` asks for one sample without a time: ` p pt t[ c s]`.

There is no checksum, so a line is taken only if it fits its grammar to the letter: the decimals of every value, the
date. What else the instrument says (prompt, echo, replies to DS and DC, wave statistics) is known text.

A burst of wave pressures is `wave: start time = …`, `wave: ptfreq = …`, one pressure (psia) a line, `wave: end burst`.
It is one record: taken whole, or refused whole where a part of it is lost or damaged. How often it was measured does
not stand in it: the reply to DS says it, or the setting `wave_scans_per_s`. Where nobody does, bursts are checked and
passed over; they remain in the raw log. Wave statistics, where they are printed, have the time of the burst's start;
heights of the spectrum and of the waves one by one are told apart.

An uploaded file (.hex) has tide records of 18 hexadecimal digits: pressure number N 6, temperature number 4, seconds
since 2000-01-01 8. Pressure is (N - B) / M psia, with M and B from the header; temperature is its number / 1000 - 10.
Markers of 18 digits divide the file:

    FFFFFFFFFBFFFFFFFF   session: its start time and settings, until FFFFFFFFFCFFFFFFFF
    000000000000000000   wave burst: start time 8, number of samples' high byte 2, 0; the temperature compensation's
                         Hz * 256 8, the number's low byte 2, 0; then 12 digits a line, two pressures in Hz * 256,
                         until FFFFFFFFFFFFFFFFFF

A session's two lines are its start time 8 and zeros; the tide interval in seconds 4, the time of a wave sample in
quarter seconds 4 and zeros. Wave pressures of a quartz sensor come from its frequencies by the coefficients of the
header.

Sources: SBE 26plus user manual rev. 019; recordings of the OOI (records in air give 14.6 to 14.7 psia, and those of a
mooring in 542 m of water 806 psia).
"""

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field as Setting

from drivers.columns import rounded
from drivers.driver import DriverSettings
from drivers.lines import Line
from drivers.rows import NO_TEXT, NOISE, Complaint, Row, RowDriver, Samples
from drivers.seabird.calibration import seabird_time_ns
from drivers.seabird.text import clock_ns, day_ns
from tidegate.frame import Column, Field, Schema, Times

DBAR_PER_PSI = 0.6894757293168
"""By the definitions of pound, inch and bar."""

_DATE = rb"(\d\d [A-Z][a-z]{2} \d{4})"
_CLOCK = rb"((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)"
_WHEN = _DATE + rb" +" + _CLOCK
_P, _PT, _T, _C, _S = (
    rb"(-?\d{1,5}\.\d{4})",
    rb"(-?\d{1,5}\.\d{2,3})",  # six significant digits: fewer decimals of the nonsense of a missing sensor
    rb"(-?\d{1,3}\.\d{4})",
    rb"(-?\d{1,2}\.\d{5})",
    rb"(-?\d{1,3}\.\d{4})",
)
_PROMPT = rb"(?:S>)*+"
_TIDE = re.compile(
    _PROMPT
    + rb"tide: start time = +%s, p = +%s, pt = +%s, t = +%s(?:, c = +%s, s = +%s)? *" % (_WHEN, _P, _PT, _T, _C, _S)
)
_POLLED = re.compile(_PROMPT + rb" *%s +%s +%s(?: +%s +%s)? *" % (_P, _PT, _T, _C, _S))
_HEX = re.compile(rb"[0-9A-F]{12}(?:[0-9A-F]{6})?")
_SESSION, _TIDES, _BURST, _BURST_ENDS = (
    *(b"FFFFFFFFFBFFFFFFFF", b"FFFFFFFFFCFFFFFFFF"),
    *(b"000000000000000000", b"FFFFFFFFFFFFFFFFFF"),
)
_SCALE = re.compile(rb"[* ] +(M|B) = ([-+]?\d{1,9}(?:\.\d{1,9})?)")
_QUARTZ = ("U0", "C1", "C2", "C3", "D1", "D2", "T1", "T2", "T3", "T4", "OFFSET")
_COEFFICIENT = re.compile(rb"[* ] +(%s) = ([-+]?\d{1,9}(?:\.\d{1,9})?(?:e[-+]\d{1,2})?)" % "|".join(_QUARTZ).encode())
_RATE = re.compile(rb"\*?(\d{1,6}) wave samples/burst at (\d{1,3}(?:\.\d{1,3})?) scans/sec[ -~]*")
_SESSION_LINE = re.compile(rb"[0-9A-F]{8}0{10}")
_BURST_LINE = re.compile(rb"[0-9A-F]{10}0{8}")
_WAVE_STARTS = re.compile(rb"wave: start time = +%s *" % _WHEN)
_WAVE_PART = re.compile(rb"wave: ptfreq = +\d{4,7}\.\d{3} *|wave: end burst *| +-?\d{1,5}\.\d{4} *")
_LONGEST_BURST = 65_536
_STATISTICS_BEGIN, _STATISTICS_GO_ON = b"Auto-Spectrum Statistics:", b"Time Series Statistics:"
_STATISTIC = re.compile(rb"   ([A-Za-z][A-Za-z0-9/ ]{2,30}) = (\d{1,6}(?:\.\d{4}e[-+]\d\d)?)")
_STATISTICS_END = b"H1/100"
_REFUSAL = re.compile(rb"(?:S>)*\?[ -~]*")
_CONVERSATION = re.compile(
    rb"\*[ -~]*"  # the header of an uploaded file
    rb"|(?:S>)*(?:[A-Za-z]{1,32}(?:=[ -~]{0,60})?)? *"  # prompt, command and echo
    rb"|SBE 26plus[ -~]*"
    # Replies to DS, DC and Start.
    rb"|(?:user info|conductivity|iop|logging|status|transmit real-time [a-z ]+) ?=[ -~]*|last sample: [ -~]*"
    rb"|(?:quartz|strain gauge) pressure sensor: serial number = \d+, range = [\d.]+ psia"
    rb"|(?:internal|external) temperature sensor"
    rb"|tide measurement: interval = [\d.]+ minutes, duration = \d+ seconds"
    rb"|measure waves every \d+ tide samples"
    rb"|\d+ wave samples/burst at [\d.]+ scans/sec, duration = \d+ seconds"
    rb"|logging (?:start|stop) time = [ -~]+|logging will start in \d+ seconds"
    rb"|(?:tide samples|wave bursts)/day = [\d.]+|(?:memory|nominal alkaline battery) endurance = [\d.]+ days"
    rb"|total recorded [a-z ]+ = \d+|(?:tide measurements|wave bursts) since last start = \d+"
    rb"|real-time wave statistics settings:|  [a-z][a-z ()-]*(?: = [\d.e+-]+)?"
    rb"|(?:Pressure|Temperature|Conductivity|Temp) coefficients:[ -~]*|[* ] +[A-Z]{1,8}\d? = [-+\d.e]+"
    # Wave statistics, with their signs of progress.
    rb"|depth = +[-\d.]+, temperature = +[-\d.]+, salinity = +[-\d.]+, density = +[-\d.]+"
    rb"|[A-Za-z][A-Za-z ]{2,30}\.+|(?:Auto-Spectrum|Time Series) Statistics:"
    rb"|   (?:nAvgBand|[a-z][a-z ]+|H1/100?) = [-+\d.e]+"
)
_IDENTITY = re.compile(rb"\*?SBE 26plus(?:-quartz)? V ?([\w.]+) +SN (\d+)")
_SENSOR = re.compile(rb"\*?(quartz|strain gauge) pressure sensor: serial number = (\d+), range = ([\d.]+) psia")

# 1e-4 psia is 7e-5 dbar: this resolution gives back every pressure as it was printed.
_FIELDS = (
    Field.of("sea_water_pressure", resolution=1e-5),
    Field.of("temperature_of_pressure_sensor", resolution=1e-3),
    Field.of("sea_water_temperature", resolution=1e-4),
)
_CONDUCTIVITY = (
    Field.of("sea_water_electrical_conductivity", resolution=1e-5),
    Field.of("sea_water_practical_salinity", resolution=1e-4),
)
_PRINTED = Schema("tide_gauge", _FIELDS)
_PRINTED_WITH_CONDUCTIVITY = Schema("tide_gauge", _FIELDS + _CONDUCTIVITY)
_WAVES = Schema("wave_burst", (Field.of("sea_water_pressure_in_wave_burst", resolution=1e-5),))
_STATISTICS = {
    (0, b"significant wave height"): Field.of("sea_surface_wave_significant_height", resolution=1e-6),
    (1, b"significant wave height"): Field.of("sea_surface_wave_mean_height_of_highest_third", resolution=1e-6),
    (1, b"H1/10"): Field.of("sea_surface_wave_mean_height_of_highest_tenth", resolution=1e-6),
    (1, b"maximum wave height"): Field.of("sea_surface_wave_maximum_height", resolution=1e-6),
    (1, b"average wave period"): Field.of("sea_surface_wave_mean_period", resolution=1e-6),
}
"""Values of the two parts of wave statistics: of the spectrum, and of the waves one by one."""
_OF_WAVES = Schema("waves", tuple(_STATISTICS.values()))
_UPLOADED = Schema("tide_gauge", (_FIELDS[0], Field.of("sea_water_temperature", resolution=1e-3)))


class _Form(Enum):
    """What a sample can be."""

    TIDE = "tide"
    """Date, clock, p, pt, t, and c, s where there is a conductivity sensor."""
    ASKED = "asked"
    """The same without date and clock: an answer to `TS`."""
    UPLOADED = "uploaded"
    """Pressure number, temperature number, seconds, in hexadecimal digits."""


class _Burst(Enum):
    """Where in a burst of printed wave pressures the stream is."""

    NONE = "none"
    STARTED = "started"
    """After its start time."""
    RUNNING = "running"
    """After its `ptfreq`."""
    SPOILT = "spoilt"
    """What is left of it was refused with it."""


class Sbe26plus(RowDriver):
    """A Seagauge wave and tide recorder."""

    manufacturer: ClassVar[str] = "Sea-Bird Scientific"
    models: ClassVar[tuple[str, ...]] = ("SBE 26plus", "SBE 26plus-quartz")
    title: ClassVar[str] = "Sea-Bird SBE 26plus wave and tide recorder: tide data and wave bursts"
    lines: ClassVar[tuple[str, ...]] = ("9600 8N1", "38400 8N1", "19200 8N1", "115200 8N1", "4800 8N1")
    commands: ClassVar[Mapping[str, str]] = {
        "DS": "status and settings",
        "DC": "calibration coefficients",
        "TS": "take one sample and print it",
        "SL": "print the last sample",
        "SLO": "the same, and power off",
        "Start": "start logging",
        "Stop": "stop logging",
        "SetSampling": "ask for the intervals and durations of tide and waves",
        "SetTime": "ask for the time and set the clock",
        "TxTide=": "Y or N: print tide data while logging",
        "TxWave=": "Y or N: print wave bursts while logging",
        "DD": "upload what is recorded",
        "QS": "sleep",
    }
    calibration: ClassVar[str] = "in the instrument; for uploaded files, in their header (the reply to DC)"
    problems: ClassVar[Mapping[str, str]] = {
        "syntax": "a damaged tide or wave line, or a damaged line of an upload. Check the cable where there are many.",
        "wave_burst": "a wave burst of which a part is missing; it is refused whole.",
        "unknown": "a line that an SBE 26plus does not print: damaged, or another instrument.",
        "noise": "bytes that are no text: another baud rate or parity, or noise on the line.",
        "truncated": "the stream ended inside a line or a wave burst.",
        "implausible": "a value or a time that cannot be; the value is left out and the rest of the record kept.",
        "calibration": "an upload without its header: upload again with the reply to DC in it.",
        "exception": "the instrument refuses a command.",
    }

    class Settings(DriverSettings):
        """Settings of a Seagauge."""

        mode: Literal["autonomous", "polled"] = "autonomous"
        """`polled`: the gateway asks for each sample with TS; `autonomous`: the instrument sends on its own."""
        wave_scans_per_s: float | None = Setting(default=None, gt=0, le=4)
        """How often pressure is measured in a wave burst. Not given: as the instrument's reply to DS says; where it
        does not, printed bursts are only checked."""

    settings: Settings

    def __init__(self, instrument: str, settings: DriverSettings | None = None) -> None:
        super().__init__(instrument, settings)
        self._told: dict[str, str] = {}

    def _renew(self) -> None:
        self._scale: dict[bytes, float] = {}
        self._section = _TIDES  # of an uploaded file: the marker that began it
        self._section_lines = 0
        self._session_s = 0
        self._quartz: dict[str, float] = {}
        self._rate: float | None = None  # of wave samples, by the instrument's word
        self._per_burst: int | None = None
        self._period_s: float | None = None  # of wave samples, by the session of an upload
        self._burst = _Burst.NONE
        self._waves: list[Line] = []  # the lines of the burst that is being read, its start first
        self._stray = False
        self._burst_ns: int | None = None  # when the last printed burst began
        self._statistics: dict[tuple[int, bytes], float] = {}
        self._statistics_line: Line | None = None  # the first of the statistics that are being read
        self._statistics_part = 0

    def schemas(self) -> Sequence[Schema]:
        """Of printed samples without and with conductivity, and of uploaded ones."""
        return _PRINTED, _PRINTED_WITH_CONDUCTIVITY, _UPLOADED, _WAVES, _OF_WAVES

    def description(self) -> Mapping[str, Any]:
        """Serial number, firmware and pressure sensor, once the instrument has replied to `DS`."""
        return {"manufacturer": self.manufacturer, "model": self.models[0], **self._told}

    def start(self) -> bytes:
        """Stops the logging of an instrument that is to be polled, and asks who it is. The empty line wakes it."""
        return b"\r\nStop\r\nDS\r\n" if self.settings.mode == "polled" else b""

    def poll(self) -> bytes:
        """`TS`, for an instrument that is to be polled."""
        return b"TS\r\n" if self.settings.mode == "polled" else b""

    @classmethod
    def hail(cls) -> bytes:
        """`DS`, which is answered also while it logs."""
        return b"\r\nDS\r\n"

    def _is_whole(self, data: bytes) -> bool:
        return bool(_HEX.fullmatch(data) or _CONVERSATION.fullmatch(data))

    def _end(self) -> None:
        if self._waves:
            self._refuse_burst("truncated", "the stream ended inside this wave burst")
        self._end_statistics("truncated")

    def _read(self, line: Line) -> Row | Complaint | None:
        text = line.data
        found: Row | Complaint | None
        if _HEX.fullmatch(text):
            found = self._hexadecimal(line)
        elif _WAVE_STARTS.fullmatch(text) or _WAVE_PART.fullmatch(text):
            found = self._wave(line)
        elif (found := _printed(line)) is None:
            if _CONVERSATION.fullmatch(text):
                if _SCALE.fullmatch(text) or _COEFFICIENT.fullmatch(text):
                    self._flush()
                self._learn(text)
                self._statistics_of(line)
            else:
                found = _complaint(text)
                if self._burst is not _Burst.NONE or text.lstrip().startswith(b"wave"):
                    self._burst, self._waves = _Burst.SPOILT, []
        if isinstance(found, Row):
            self._end_statistics("syntax")
            if self._burst is not _Burst.NONE:
                self._end_is_missing()
        return found

    # Wave bursts as they are printed.

    def _wave(self, line: Line) -> Complaint | None:
        text = line.data
        if found := _WAVE_STARTS.fullmatch(text):
            if self._burst is not _Burst.NONE:
                self._end_is_missing()
            if day_ns(found[1]) is None:
                self._burst = _Burst.SPOILT
                return "syntax", "a wave burst that began on a day that is not in the calendar"
            self._burst, self._waves = _Burst.STARTED, [line]
            return None
        is_end, is_frequency = text.startswith(b"wave: end"), text.startswith(b"wave: pt")
        if self._burst is _Burst.SPOILT:
            self._burst = _Burst.NONE if is_end else self._burst
            return None
        if self._burst is _Burst.NONE:
            self._burst = _Burst.NONE if is_end else _Burst.SPOILT
            return "wave_burst", "the start of this wave burst is missing"
        if is_frequency is (self._burst is _Burst.RUNNING) or len(self._waves) > _LONGEST_BURST:
            self._refuse_burst("wave_burst", f"a wave burst that is not in order at {text.strip()[:40].decode()!r}")
            self._burst = _Burst.NONE if is_end else _Burst.SPOILT
        elif is_frequency:
            self._burst = _Burst.RUNNING
        elif is_end:
            self._burst = _Burst.NONE
            self._printed_burst()
        else:
            self._waves.append(line)
        return None

    def _end_is_missing(self) -> None:
        """Something else begins while a burst is open."""
        self._burst = _Burst.NONE
        if self._waves:
            self._refuse_burst("wave_burst", "the end of this wave burst is missing")

    def _refuse_burst(self, kind: str, message: str) -> None:
        first, self._waves = self._waves[0], []
        self._refuse(kind, message, first)

    def _printed_burst(self) -> None:
        start, *lines = self._waves
        found = _WAVE_STARTS.fullmatch(start.data)
        rate = self.settings.wave_scans_per_s or self._rate
        if not lines or found is None:
            self._refuse_burst("wave_burst", "a wave burst without a pressure")
            return
        if self._per_burst is not None and len(lines) != self._per_burst:
            message = f"a wave burst of {len(lines)} pressures, where the status says {self._per_burst}"
            self._refuse_burst("wave_burst", message)
            return
        self._waves = []
        start_ns = (day_ns(found[1]) or 0) + int(clock_ns([found[2]])[0])
        self._burst_ns = start_ns
        if rate is None:
            return
        psia = np.array([line.data.strip() for line in lines]).astype(np.float64)
        self._give_burst(start_ns, 1.0 / rate, psia, lines)

    def _give_burst(
        self,
        start_ns: int,
        period_s: float,
        psia: npt.NDArray[np.float64],
        lines: Sequence[Line],
    ) -> None:
        """Gives the Frames of a burst; `lines` has the line of each pressure."""
        times: Times = start_ns + np.rint(np.arange(len(psia)) * (period_s * 1e9)).astype(np.int64)
        (field,) = _WAVES.fields
        columns: dict[str, Column] = {field.name: rounded(psia * DBAR_PER_PSI, field.resolution)}
        self._flush()
        self._emit(Samples(_WAVES, times, columns, {}), lines)

    # Wave statistics.

    def _statistics_of(self, line: Line) -> None:
        """Takes a line of statistics, and gives them where it is the last."""
        text = line.data.rstrip()
        if text == _STATISTICS_BEGIN:
            self._end_statistics("syntax")
            self._statistics_line, self._statistics_part = line, 0
        elif text == _STATISTICS_GO_ON:
            self._statistics_part = 1
        elif self._statistics_line is not None and (found := _STATISTIC.fullmatch(text)):
            self._statistics[self._statistics_part, found[1]] = float(found[2])
            if found[1] == _STATISTICS_END:
                self._end_statistics("syntax")

    def _end_statistics(self, kind: str) -> None:
        """Gives the statistics that are being read, if there are any, or refuses them where a value is missing."""
        line, values = self._statistics_line, self._statistics
        self._statistics_line, self._statistics = None, {}
        if line is None:
            return
        missing = [key[1].decode() for key in (*_STATISTICS, (1, _STATISTICS_END)) if key not in values]
        if missing:
            message = f"wave statistics without {', '.join(missing)}: damaged or cut short"
            self._refuse(kind, message, line)
            return
        columns: dict[str, Column] = {field.name: np.array([values[key]]) for key, field in _STATISTICS.items()}
        times: Times | None = None if self._burst_ns is None else np.array([self._burst_ns], np.int64)
        self._flush()
        self._emit(Samples(_OF_WAVES, times, columns, {}), [line])

    # Uploaded files.

    def _hexadecimal(self, line: Line) -> Row | Complaint | None:
        """A line of an uploaded file: a sample, what is wrong with it, or None for what is no sample."""
        text = line.data
        if text in (_SESSION, _TIDES, _BURST, _BURST_ENDS):
            self._end_of_section()
            self._stray = False
            self._section, self._section_lines = (_TIDES if text == _BURST_ENDS else text), 0
            self._waves = [line] if text == _BURST else []
            return None
        self._section_lines += 1
        if self._section == _SESSION and self._section_lines <= 2:
            if not _SESSION_LINE.fullmatch(text):
                return "syntax", "a damaged line of a session's settings"
            if self._section_lines == 1:
                self._session_s = int(text[:8], 16)
            else:
                self._period_s = int(text[4:8], 16) * 0.25
            return None
        if self._section == _BURST and (self._section_lines <= 2 or len(text) == 12):
            if self._waves and (self._section_lines > 2 or _BURST_LINE.fullmatch(text)):
                self._waves.append(line)
            elif self._waves:
                self._refuse_burst("wave_burst", "the first lines of this wave burst are damaged")
            if len(self._waves) > _LONGEST_BURST:
                self._refuse_burst("wave_burst", "a wave burst that does not end")
            return None
        self._end_of_section()
        self._section = _TIDES  # also where the marker that ends a session or a burst was lost
        if len(text) == 12:
            first, self._stray = not self._stray, True
            return (
                ("syntax", "wave pressures outside of a burst: the file is damaged before this line") if first else None
            )
        self._stray = False
        if not self._scale.keys() >= {b"M", b"B"}:
            return "calibration", "M and B are not known: upload with the header, which holds the reply to DC"
        if int(text[10:], 16) < self._session_s:
            return "implausible", "a tide record from before its session began: damaged memory, or no tide record"
        return Row((_Form.UPLOADED, 3), (text[:6], text[6:10], text[10:]), line)

    def _end_of_section(self) -> None:
        """Gives the burst of an upload that ends here, or refuses it."""
        if self._section != _BURST or not self._waves:
            return
        _, *lines = self._waves
        heads, pairs = lines[:2], lines[2:]
        if len(heads) < 2:
            self._refuse_burst("wave_burst", "a wave burst without its first two lines")
            return
        count = int(heads[0].data[8:10], 16) << 8 | int(heads[1].data[8:10], 16)
        if 2 * len(pairs) != count:
            message = f"a wave burst of {2 * len(pairs)} pressures, where its head says {count}"
            self._refuse_burst("wave_burst", message)
        elif self._told.get("pressure_sensor", "").startswith("strain") or not count:
            self._waves = []  # how such counts become pressures is not known here
        elif not self._quartz.keys() >= set(_QUARTZ) or (self._period_s or self._rate) is None:
            message = (
                "a wave burst, and the coefficients of the sensor or its rate are not known: keep the file's header"
            )
            self._refuse_burst("calibration", message)
        else:
            self._waves = []
            digits = bytes.fromhex(b"".join(pair.data for pair in pairs).decode("ascii"))
            octets = np.frombuffer(digits, np.uint8).reshape(-1, 3).astype(np.int64)
            hertz = (octets @ np.array([65536, 256, 1])) / 256.0
            psia = self._quartz_psia(hertz, int(heads[1].data[:8], 16) / 256.0)
            start_ns = int(seabird_time_ns(np.array([int(heads[0].data[:8], 16)]))[0])
            period_s = self._period_s or 1.0 / (self._rate or 1.0)
            self._give_burst(start_ns, period_s, psia, [pair for pair in pairs for _ in range(2)])

    def _quartz_psia(self, hertz: npt.NDArray[np.float64], compensation_hz: float) -> npt.NDArray[np.float64]:
        """Pressure of a quartz sensor from its frequencies (the Digiquartz equation of its calibration sheet)."""
        k = self._quartz
        with np.errstate(all="ignore"):  # damaged frequencies give what is no number, which is then refused
            u = 1e6 / np.float64(compensation_hz) - k["U0"]
            c = k["C1"] + u * (k["C2"] + u * k["C3"])
            t0 = k["T1"] + u * (k["T2"] + u * (k["T3"] + u * k["T4"]))
            w = 1.0 - (t0 * hertz * 1e-6) ** 2
            psia: npt.NDArray[np.float64] = c * w * (1.0 - (k["D1"] + k["D2"] * u) * w) + k["OFFSET"]
        return psia

    def _learn(self, text: bytes) -> None:
        if found := _IDENTITY.match(text):
            self._told |= {"firmware": found[1].decode(), "serial": found[2].decode()}
        if found := _SENSOR.match(text):
            self._told["pressure_sensor"] = f"{found[1].decode()}, {found[2].decode()}, {found[3].decode()} psia"
        if (found := _SCALE.fullmatch(text)) and float(found[2]) > 0:
            self._scale[found[1]] = float(found[2])
        if found := _COEFFICIENT.fullmatch(text):
            self._quartz[found[1].decode()] = float(found[2])
        if (found := _RATE.fullmatch(text)) and float(found[2]) > 0:
            self._per_burst, self._rate = int(found[1]), float(found[2])

    def _convert(self, rows: Sequence[Row]) -> Samples:
        assert isinstance(rows[0].form, tuple)  # as `_read` makes it
        form, _ = rows[0].form
        times: Times | None = None
        if form is _Form.UPLOADED:
            numbers = np.array([[int(value, 16) for value in row.values] for row in rows], np.int64)
            schema, times = _UPLOADED, seabird_time_ns(numbers[:, 2])
            pressure = (numbers[:, 0] - self._scale[b"B"]) / self._scale[b"M"]
            values = np.stack([pressure, rounded(numbers[:, 1] / 1000 - 10, 1e-3)], axis=1)
        else:
            if form is _Form.TIDE:
                days = np.array([day_ns(row.values[0]) for row in rows], np.int64)
                times = days + clock_ns([row.values[1] for row in rows])
            values = np.array([row.values[2 * (form is _Form.TIDE) :] for row in rows]).astype(np.float64)
            schema = _PRINTED_WITH_CONDUCTIVITY if values.shape[1] > 3 else _PRINTED
        columns: dict[str, Column] = {f.name: values[:, i] for i, f in enumerate(schema.fields)}
        pressure_field = schema.fields[0]
        columns[pressure_field.name] = rounded(values[:, 0] * DBAR_PER_PSI, pressure_field.resolution)
        return Samples(schema, times, columns, {})


def _printed(line: Line) -> Row | None:
    """The sample in a line of text; None where it is none."""
    form = _Form.TIDE
    found = _TIDE.fullmatch(line.data)
    if found is None:
        form, found = _Form.ASKED, _POLLED.fullmatch(line.data)
    elif day_ns(found[1]) is None:
        return None
    if found is None:
        return None
    values = tuple(value for value in found.groups() if value is not None)
    return Row((form, len(values)), values, line)


def _complaint(text: bytes) -> Complaint:
    """(kind, message): why a line is refused."""
    if NO_TEXT.search(text):
        return "noise", NOISE
    if _REFUSAL.fullmatch(text):
        return "exception", "the instrument refuses a command"
    if text.lstrip().startswith((b"tide", b"wave")) or b"start time" in text:
        return "syntax", "a damaged tide or wave line: a value, a name or the date is not as the SBE 26plus prints it"
    return "unknown", "the SBE 26plus is not known to print such a line"
