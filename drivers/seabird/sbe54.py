"""Sea-Bird SBE 54 Tsunameter (tsunami pressure sensor): samples in XML.

Theory of operation. While it logs, every `SetSamplePeriod` seconds the instrument prints

    <Sample Num='5947' Type='Pressure'>
    <Time>2012-11-07T12:21:25</Time>
    <PressurePSI>13.9669</PressurePSI>
    <PTemp>18.9047</PTemp>
    </Sample>

with absolute pressure in psi; `SampleRefOsc` gives, after two minutes, one of Type='RefOsc' with the frequency of the
reference oscillator and its error. All else that it says is XML too: status (GetSD), configuration with the calibration
(GetCD), events (GetEC), hardware (GetHD), comments. It has no checksum, so a sample is taken only if each of its
elements is there, in its order and form.

Sources: the samples and replies of an SBE 54 that the OOI recorded; SBE 54 user manual (commands).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from drivers.columns import rounded
from drivers.lines import Line
from drivers.rows import NO_TEXT, NOISE, Complaint, Row, RowDriver, Samples
from drivers.seabird.conversation import BEFORE, CONVERSATION, REFUSAL
from drivers.seabird.text import CLOCK, clock_ns, day_ns
from tidegate.frame import Field, Schema

DBAR_PER_PSI = 0.6894757293168
"""By the definitions of pound, inch and bar: the SBE 54 gives absolute pressure."""

_HEAD = rb"<Sample Num='(\d{1,10})' Type='%s'><Time>(\d{4}-\d\d-\d\d)T(" + CLOCK + rb")</Time>"
_PRESSURE = re.compile(
    _HEAD % b"Pressure" + rb"<PressurePSI>(-?\d{1,5}\.\d{4})</PressurePSI><PTemp>(-?\d{1,3}\.\d{4})</PTemp></Sample>"
)
_REFERENCE = re.compile(
    _HEAD % b"RefOsc"
    + rb"<RefOscFreq>(\d{6,9}\.\d{3})</RefOscFreq><PCBTempRaw>\d{1,7}</PCBTempRaw>"
    + rb"<RefErrorPPM>(-?\d{1,5}\.\d{3})</RefErrorPPM></Sample>"
)
_BEGINS, _ENDS = b"<Sample ", b"</Sample>"
_OF_A_SAMPLE = re.compile(rb"</?(?:Sample|Time|PressurePSI|PTemp|RefOscFreq|PCBTempRaw|RefErrorPPM)\b")
_LONGEST_SAMPLE = 1024
_DEVICE = re.compile(rb"<\w+ DeviceType ?= ?'(\w+)' SerialNumber ?= ?'(\d+)'?>")
_FIRMWARE = re.compile(rb"<FirmwareVersion>([ -;=-~]{1,40})</FirmwareVersion>")
_COEFFICIENT = re.compile(rb"<(FRA[0-3]|p[a-z]{1,6}\d?)>([-+]?\d[-+.\dEe]{0,20})</\1>")

_SAMPLE = Schema(
    "tide_gauge",
    (
        # 1e-4 psi is 7e-5 dbar: this resolution gives back every pressure as it was printed.
        Field.of("sea_water_pressure", resolution=1e-5),
        Field.of("temperature_of_pressure_sensor", resolution=1e-4),
        Field.of("sample_number"),
    ),
)
_OSCILLATOR = Schema(
    "reference_oscillator",
    (
        Field.of("reference_oscillator_frequency", resolution=1e-3),
        Field.of("reference_oscillator_error", resolution=1e-3),
        Field.of("sample_number"),
    ),
)


class Sbe54(RowDriver):
    """A tsunami pressure sensor."""

    manufacturer: ClassVar[str] = "Sea-Bird Scientific"
    models: ClassVar[tuple[str, ...]] = ("SBE 54",)
    title: ClassVar[str] = "Sea-Bird SBE 54 Tsunameter: absolute pressure in XML samples"
    lines: ClassVar[tuple[str, ...]] = ("9600 8N1", "19200 8N1", "38400 8N1", "115200 8N1", "4800 8N1")
    commands: ClassVar[Mapping[str, str]] = {
        "GetSD": "status: clock, supply, memory",
        "GetCD": "configuration and calibration coefficients",
        "GetEC": "counts of events (errors, resets)",
        "ResetEC": "set these counts to 0",
        "GetHD": "hardware and firmware",
        "Start": "start logging",
        "Stop": "stop logging",
        "InitLogging": "make all memory available: recorded samples are lost",
        "SetSamplePeriod=": "seconds between samples",
        "SetTime=": "set the clock, yyyy-mm-ddThh:mm:ss",
        "SampleRefOsc": "measure the reference oscillator; takes two minutes, while it does not log",
    }
    calibration: ClassVar[str] = "in the instrument; the reply to GetCD tells it, and it goes into the birth"
    problems: ClassVar[Mapping[str, str]] = {
        "syntax": "a damaged sample, or a line that an SBE 54 does not print. Check the cable where there are many.",
        "truncated": "a sample whose end was lost, or the stream ended inside it.",
        "noise": "bytes that are no text: another baud rate or parity, or noise on the line.",
        "implausible": "a value that cannot be; it is left out and the rest of the sample kept.",
        "exception": "the instrument refuses a command.",
    }

    def _renew(self) -> None:
        self._parts: list[Line] = []

    def __init__(self, instrument: str, settings: Any = None) -> None:
        self._told: dict[str, str] = {}
        self._coefficients: dict[str, float] = {}
        super().__init__(instrument, settings)

    def schemas(self) -> Sequence[Schema]:
        """Of samples, and of measurements of the reference oscillator."""
        return _SAMPLE, _OSCILLATOR

    def description(self) -> Mapping[str, Any]:
        """Serial number, firmware and calibration, once the instrument has told."""
        known = {"manufacturer": self.manufacturer, "model": self.models[0], **self._told}
        return known | ({"calibration": self._coefficients} if self._coefficients else {})

    def start(self) -> bytes:
        """Asks who it is and how it is calibrated; it answers also while it logs."""
        return b"\r\nGetHD\r\nGetCD\r\n"

    @classmethod
    def hail(cls) -> bytes:
        """`GetSD`, which is answered also while it logs."""
        return b"\r\nGetSD\r\n"

    def _read(self, line: Line) -> Row | Complaint | None:
        said = BEFORE.sub(b"", line.data, count=1).strip()
        if not said:
            return None
        if self._parts and (said.startswith(_BEGINS) or not _OF_A_SAMPLE.match(said)):
            self._give_up()
        if self._parts or said.startswith(_BEGINS):
            return self._part(said, line)
        if NO_TEXT.search(said):
            return "noise", NOISE
        if REFUSAL.fullmatch(said):
            return "exception", f"the instrument refuses a command: {said[:60].decode()}"
        if _OF_A_SAMPLE.search(said):
            return "syntax", "part of a sample without its beginning"
        if CONVERSATION.fullmatch(said) or re.fullmatch(rb"[A-Za-z]+='[ -~]{0,40}'|/>", said):
            self._learn(said)
            return None
        return "syntax", "neither a sample nor anything that an SBE 54 is known to say"

    def _part(self, said: bytes, line: Line) -> Row | Complaint | None:
        self._parts.append(line._replace(data=said))
        text = b"".join(part.data for part in self._parts)
        if not said.endswith(_ENDS):
            if len(text) > _LONGEST_SAMPLE:
                self._give_up()
            return None
        whole, self._parts = self._parts[0]._replace(data=text), []
        text = re.sub(rb">\s+<", b"><", text)
        for form, pattern in (("sample", _PRESSURE), ("oscillator", _REFERENCE)):
            found = pattern.fullmatch(text)
            if found and day_ns(found[2]) is not None:
                return Row(form, found.groups(), whole)
        self._refuse("syntax", "a sample that is not in order: an element is damaged or missing", whole)
        return None

    def _give_up(self) -> None:
        text = b"".join(part.data for part in self._parts)
        whole, self._parts = self._parts[0]._replace(data=text), []
        self._refuse("truncated", "a sample that does not end: </Sample> is missing", whole)

    def _end(self) -> None:
        if self._parts:
            self._give_up()

    def _learn(self, said: bytes) -> None:
        if found := _DEVICE.match(said):
            self._told |= {"model": found[1].decode(), "serial": found[2].decode()}
        if found := _FIRMWARE.search(said):
            self._told["firmware"] = found[1].decode()
        for name, value in _COEFFICIENT.findall(said):
            try:
                self._coefficients[name.decode()] = float(value)
            except ValueError:
                self._coefficients.pop(name.decode(), None)

    def _convert(self, rows: Sequence[Row]) -> Samples:
        days = np.array([day_ns(row.values[1]) for row in rows], np.int64)
        time = days + clock_ns([row.values[2] for row in rows])
        first, second = np.array([row.values[3:] for row in rows]).astype(np.float64).T
        schema = _OSCILLATOR
        if rows[0].form == "sample":
            schema, first = _SAMPLE, rounded(first * DBAR_PER_PSI, 1e-5)
        of_first, of_second, of_number = (f.name for f in schema.fields)
        number = np.array([int(row.values[0]) for row in rows], np.int64)
        return Samples(schema, time, {of_first: first.copy(), of_second: second.copy(), of_number: number}, {})

    def _is_whole(self, data: bytes) -> bool:
        said = BEFORE.sub(b"", data, count=1).strip()
        if self._parts or said.startswith(b"<"):
            return said.endswith(b">") and bool(_OF_A_SAMPLE.match(said) or CONVERSATION.fullmatch(said))
        return not said or CONVERSATION.fullmatch(said) is not None
