"""Sea-Bird SBE 26plus Seagauge: the tide lines that it sends while it measures, and its answers to `TS`.

Theory of operation. The recorder averages pressure over an interval and then prints, with TxRealTime on,

    tide: start time = 05 Jan 2014 00:00:28, p = 208.8057, pt = 14.004, t = 13.8633

p is absolute pressure in psia, the mean of the interval; pt the temperature of the pressure sensor, t that of the water
(measured at the interval's end), both °C; with a conductivity sensor `, c = …, s = …` follow, in S/m and PSU. The
time of a sample is the time printed: the START of the averaging interval, not its middle. (How long the interval is,
the line does not say; the middle is half of it later.) `TS` asks for one sample without a time: ` p pt t[ c s]`.

There is no checksum, so a line is taken only if it fits its grammar to the letter: the decimals of every value, the
date. What else the instrument says (prompt, echo, replies to DS and DC, wave statistics) is known text. So are the
bursts of wave pressures, `wave: start time = …` to `wave: end burst`: they are recognised line by line and passed over,
because neither their rate nor their times stand in them; they remain in the raw log.

An uploaded file (.hex) has tide records of 18 hexadecimal digits: pressure number N 6, temperature number 4, seconds
since 2000-01-01 8. Pressure is (N - B) / M psia, with M and B from the header; temperature is its number / 1000 - 10.
Markers of 18 digits divide the file:

    FFFFFFFFFBFFFFFFFF   session: its start time and settings, until FFFFFFFFFCFFFFFFFF
    000000000000000000   wave burst: two lines of its own, then 12 digits a line, until FFFFFFFFFFFFFFFFFF

Sources: SBE 26plus user manual rev. 019; recordings of the OOI (records in air give 14.6 to 14.7 psia, and those of a
mooring in 542 m of water 806 psia).
"""

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from itertools import pairwise
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from drivers.driver import Decoded, Driver, DriverSettings, Problem, problem
from drivers.lines import Block, Line, Lines
from drivers.seabird.ctd import clock_ns, day_ns, implausible, rounded, seabird_time_ns
from tidegate.clock import Arrival, TimeSource
from tidegate.frame import Column, Field, Frame, Reasons, Schema, Times

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
_WAVE = re.compile(
    rb"wave: start time = +%s *|wave: ptfreq = +\d{4,7}\.\d{3} *|wave: end burst *| +-?\d{1,5}\.\d{4} *" % _WHEN
)
_HEX = re.compile(rb"[0-9A-F]{12}(?:[0-9A-F]{6})?")
_SESSION, _TIDES, _BURST, _BURST_ENDS = (
    *(b"FFFFFFFFFBFFFFFFFF", b"FFFFFFFFFCFFFFFFFF"),
    *(b"000000000000000000", b"FFFFFFFFFFFFFFFFFF"),
)
_SCALE = re.compile(rb"[* ] +(M|B) = ([-+]?\d{1,9}(?:\.\d{1,9})?)")
_REFUSAL = re.compile(rb"(?:S>)*\?[ -~]*")
_NO_TEXT = re.compile(rb"[^ -~\t]")

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
_UPLOADED = Schema("tide_gauge", (_FIELDS[0], Field.of("sea_water_temperature", resolution=1e-3)))


class _Form(Enum):
    """What a sample can be."""

    TIDE = "tide"
    """Date, clock, p, pt, t, and c, s where there is a conductivity sensor."""
    ASKED = "asked"
    """The same without date and clock: an answer to `TS`."""
    UPLOADED = "uploaded"
    """Pressure number, temperature number, seconds, in hexadecimal digits."""


class _Row(NamedTuple):
    """A sample as it stands in the stream."""

    form: _Form
    values: tuple[bytes, ...]
    line: Line


class Sbe26plus(Driver):
    """A Seagauge wave and tide recorder."""

    manufacturer: ClassVar[str] = "Sea-Bird Scientific"
    models: ClassVar[tuple[str, ...]] = ("SBE 26plus", "SBE 26plus-quartz")
    title: ClassVar[str] = "Sea-Bird SBE 26plus wave and tide recorder: real-time tide data"

    class Settings(DriverSettings):
        """Settings of a Seagauge."""

        mode: Literal["autonomous", "polled"] = "autonomous"
        """`polled`: the gateway asks for each sample with TS; `autonomous`: the instrument sends on its own."""

    settings: Settings

    def __init__(self, instrument: str, settings: DriverSettings | None = None) -> None:
        super().__init__(instrument, settings)
        self._lines = Lines()
        self._told: dict[str, str] = {}
        self._renew()

    def _renew(self) -> None:
        self._scale: dict[bytes, float] = {}
        self._section = _TIDES  # of an uploaded file: the marker that began it
        self._section_lines = 0
        self._session_s = 0

    def schemas(self) -> Sequence[Schema]:
        """Of printed samples without and with conductivity, and of uploaded ones."""
        return _PRINTED, _PRINTED_WITH_CONDUCTIVITY, _UPLOADED

    def description(self) -> Mapping[str, Any]:
        """Serial number, firmware and pressure sensor, once the instrument has replied to `DS`."""
        return {"manufacturer": self.manufacturer, "model": self.models[0], **self._told}

    def start(self) -> bytes:
        """Stops the logging of an instrument that is to be polled, and asks who it is. The empty line wakes it."""
        return b"\r\nStop\r\nDS\r\n" if self.settings.mode == "polled" else b""

    def poll(self) -> bytes:
        """`TS`, for an instrument that is to be polled."""
        return b"TS\r\n" if self.settings.mode == "polled" else b""

    def feed(self, data: bytes, at: Arrival) -> list[Decoded]:
        """See `Driver.feed`."""
        return self._decode(self._lines.feed_blocks(data, at))

    def feed_all(self, pieces: Sequence[tuple[bytes, Arrival]]) -> list[Decoded]:
        """See `Driver.feed_all`."""
        return self._decode(self._lines.feed_pieces(pieces))

    def _decode(self, parts: list[Block | Problem]) -> list[Decoded]:
        decoded: list[Decoded] = []
        rows: list[_Row] = []
        for part in parts:
            if isinstance(part, Block):
                for line in part.lines():
                    self._line(line, rows, decoded)
            else:
                self._emit(rows, decoded)
                decoded.append(part)
        self._emit(rows, decoded)
        return decoded

    def finish(self) -> list[Decoded]:
        """See `Driver.finish`. A last line without its end is `truncated`, for a value may be cut off."""
        rest = self._lines.finish()
        rows: list[_Row] = []
        decoded: list[Decoded] = []
        if rest is not None and (_HEX.fullmatch(rest.data) or _CONVERSATION.fullmatch(rest.data)):
            self._line(rest, rows, decoded)
            self._emit(rows, decoded)
        elif rest is not None:
            message = "the stream ended inside this line"
            decoded.append(problem("truncated", message, rest.offset, rest.data, rest.arrival))
        self._renew()
        return decoded

    def _line(self, line: Line, rows: list[_Row], decoded: list[Decoded]) -> None:
        """Appends the sample in the line to `rows`, or what it is worth to `decoded`."""
        text = line.data
        found: _Row | tuple[str, str] | None
        if _HEX.fullmatch(text):
            found = self._hexadecimal(line)
        elif (found := _printed(line)) is None and not _WAVE.fullmatch(text):
            if _CONVERSATION.fullmatch(text):
                if _SCALE.fullmatch(text):
                    self._emit(rows, decoded)
                self._learn(text)
            else:
                found = _complaint(text)
        if isinstance(found, _Row):
            if rows and (rows[-1].form, len(rows[-1].values)) != (found.form, len(found.values)):
                self._emit(rows, decoded)
            rows.append(found)
        elif found is not None:
            self._emit(rows, decoded)
            decoded.append(problem(*found, line.offset, text, line.arrival))

    def _hexadecimal(self, line: Line) -> _Row | tuple[str, str] | None:
        """A line of an uploaded file: a sample, what is wrong with it, or None for what is no sample."""
        text = line.data
        if text in (_SESSION, _TIDES, _BURST):
            self._section, self._section_lines = text, 0
            return None
        if text == _BURST_ENDS:
            self._section = _TIDES
            return None
        self._section_lines += 1
        if self._section == _SESSION and self._section_lines == 1:
            self._session_s = int(text[:8], 16)
        if self._section != _TIDES and (self._section_lines <= 2 or (self._section == _BURST and len(text) == 12)):
            return None
        self._section = _TIDES  # also where the marker that ends a session or a burst was lost
        if len(text) == 12:
            return "syntax", "wave pressures outside of a burst: the file is damaged before this line"
        if not self._scale.keys() >= {b"M", b"B"}:
            return "calibration", "M and B are not known: upload with the header, which holds the reply to DC"
        if int(text[10:], 16) < self._session_s:
            return "implausible", "a tide record from before its session began: damaged memory, or no tide record"
        return _Row(_Form.UPLOADED, (text[:6], text[6:10], text[10:]), line)

    def _learn(self, text: bytes) -> None:
        if found := _IDENTITY.match(text):
            self._told |= {"firmware": found[1].decode(), "serial": found[2].decode()}
        if found := _SENSOR.match(text):
            self._told["pressure_sensor"] = f"{found[1].decode()}, {found[2].decode()}, {found[3].decode()} psia"
        if (found := _SCALE.fullmatch(text)) and float(found[2]) > 0:
            self._scale[found[1]] = float(found[2])

    def _numbers(self, rows: Sequence[_Row]) -> tuple[Schema, Times, npt.NDArray[np.float64]]:
        """(schema, times (n,), values (n, fields) with pressure in psia) of rows of one form."""
        form = rows[0].form
        if form is _Form.UPLOADED:
            numbers = np.array([[int(value, 16) for value in row.values] for row in rows], np.int64)
            pressure = (numbers[:, 0] - self._scale[b"B"]) / self._scale[b"M"]
            values = np.stack([pressure, rounded(numbers[:, 1] / 1000 - 10, 1e-3)], axis=1)
            return _UPLOADED, seabird_time_ns(numbers[:, 2]), values
        if form is _Form.TIDE:
            days = np.array([day_ns(row.values[0]) for row in rows], np.int64)
            times = days + clock_ns([row.values[1] for row in rows])
            values = np.array([row.values[2:] for row in rows]).astype(np.float64)
        else:
            times = np.array([row.line.arrival.utc_ns for row in rows], np.int64)
            values = np.array([row.values for row in rows]).astype(np.float64)
        return _PRINTED_WITH_CONDUCTIVITY if values.shape[1] > 3 else _PRINTED, times, values

    def _emit(self, rows: list[_Row], decoded: list[Decoded]) -> None:
        """Appends the Frames of `rows`, which are of one form, and the Problems of their values; empties `rows`."""
        if not rows:
            return
        source = TimeSource.ARRIVAL if rows[0].form is _Form.ASKED else TimeSource.INSTRUMENT
        schema, times, values = self._numbers(rows)
        columns: dict[str, Column] = {f.name: values[:, i] for i, f in enumerate(schema.fields)}
        pressure = schema.fields[0]
        columns[pressure.name] = rounded(values[:, 0] * DBAR_PER_PSI, pressure.resolution)
        reasons: dict[str, Reasons] = {}
        doubts = implausible(schema, columns, reasons)
        arrivals = [row.line.arrival for row in rows]
        cuts = [at for at, (a, b) in enumerate(pairwise(arrivals), 1) if a is not b and not _steady(a, b)]
        for start, end in pairwise([0, *cuts, len(rows)]):
            part = slice(start, end)
            decoded.append(
                Frame(
                    self.instrument,
                    schema,
                    times[part],
                    {name: column[part] for name, column in columns.items()},
                    source,
                    arrivals[start],
                    {name: codes[part] for name, codes in reasons.items()},
                )
            )
            for at in sorted(row for row in doubts if start <= row < end):
                line = rows[at].line
                message = "; ".join(doubts[at])
                decoded.append(problem("implausible", message, line.offset, line.data, line.arrival))
        rows.clear()


def _printed(line: Line) -> _Row | None:
    """The sample in a line of text; None where it is none."""
    form = _Form.TIDE
    found = _TIDE.fullmatch(line.data)
    if found is None:
        form, found = _Form.ASKED, _POLLED.fullmatch(line.data)
    elif day_ns(found[1]) is None:
        return None
    return _Row(form, tuple(value for value in found.groups() if value is not None), line) if found else None


def _complaint(text: bytes) -> tuple[str, str]:
    """(kind, message): why a line is refused."""
    if _NO_TEXT.search(text):
        return "noise", "bytes that are no text: noise on the line, or another baud rate or parity"
    if _REFUSAL.fullmatch(text):
        return "exception", "the instrument refuses a command"
    if text.lstrip().startswith((b"tide", b"wave")) or b"start time" in text:
        return "syntax", "a damaged tide or wave line: a value, a name or the date is not as the SBE 26plus prints it"
    return "unknown", "the SBE 26plus is not known to print such a line"


def _steady(a: Arrival, b: Arrival) -> bool:
    """Whether samples of these arrivals may share a Frame (as `Frame.follows` sees it)."""
    step_ns = (b.utc_ns - b.monotonic_ns) - (a.utc_ns - a.monotonic_ns)
    return a.boot == b.boot and a.disciplined == b.disciplined and (not a.boot or abs(step_ns) <= 10_000_000)
