"""Sea-Bird SBE 39plus and SBE 39 temperature (and pressure) recorders: converted lines, XML packets, raw counts, and
the scans of uploaded files.

Theory of operation. The recorder samples every `SampleInterval` seconds and prints each sample where TxRealTime is on,
or waits to be asked by `TS`, `TSR` (raw) or `SLT`. A line is one of

      8.5796,  531.316, 14 Jul 2016, 09:01:44              temperature 4 decimals, pressure 3, date and time
      8.5796,  531.316, 09:01:44, 07-14-2016               the same with Format=2
    03,09999, 8.5796, 531.316, 14 Jul 2016, 09:01:44, 1126, 250
                                                           SBE 39plus-IM: its id and serial number before, the number
                                                           of the sample and how many were averaged behind
    1722523,   93818, 23833, 14 Jul 2016, 09:01:34         raw counts: temperature, pressure, its thermistor
    <datapacket>…<t1>24.6671</t1><p1>0.016</p1>…           XML, on one line or on many

so the decimals tell what a value is; pressure is missing where there is no such sensor. The older SBE 39 puts a `#`
before lines that it prints unasked. Scans of an uploaded file are hexadecimal, most significant digit first: seconds
since 2000-01-01 8, temperature counts 6, and with a pressure sensor pressure counts 6 and its thermistor 4. Counts
become numbers by the calibration coefficients from the file's header, the replies to GetCC or DC, or the settings.

There is no checksum: what does not fit its grammar to the letter is refused.

Sources: SBE 39plus-IM user manual rev. 001, pages 46, 55, 59, 62, 63, 87; the manufacturer's own reader of uploads.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field as Setting

from drivers.columns import rounded
from drivers.driver import DriverSettings
from drivers.lines import Line
from drivers.rows import NO_TEXT, NOISE, Complaint, Row, RowDriver, Samples
from drivers.seabird.calibration import (
    DBAR_PER_PSI,
    SEABIRD_EPOCH_S,
    lacking,
    pressure_dbar,
    seabird_time_ns,
    temperature_c,
    unsigned,
)
from drivers.seabird.conversation import BEFORE, CONVERSATION, PROMPTS, REFUSAL
from drivers.seabird.sheet import Coefficients
from drivers.seabird.text import CLOCK, clock_ns, day_ns
from drivers.seabird.told import Told
from tidegate.frame import Column, Field, Schema

_DATE_FIRST = rb"(?P<date>\d\d [A-Z][a-z]{2} \d{4}), *(?P<clock>%s)" % CLOCK
_CLOCK_FIRST = rb"(?P<clock2>%s), *(?P<date2>\d\d-\d\d-\d{4})" % CLOCK
_WHEN = rb"(?:%s|%s)" % (_DATE_FIRST, _CLOCK_FIRST)
_T, _P = rb"(?P<t>-?\d{1,4}\.\d{4})", rb"(?P<p>-?\d{1,5}\.\d{3})"
_CONVERTED = re.compile(
    rb"%s#? *(?:\d{1,2}, *(?P<serial>\d{5}), *)?(?:%s(?:, *%s)?|(?P<only>-?\d{1,5}\.\d{3})), *%s"
    rb"(?:, *(?P<sample>\d{1,10})(?:, *\d{1,6})?)? *" % (PROMPTS, _T, _P, _WHEN)
)
_RAW = re.compile(
    rb"%s#? *(?:\d{1,2}, *)?(?P<t>\d{4,7})(?:, *(?P<p>\d{1,7}), *(?P<v>\d{1,5}))?, *%s *" % (PROMPTS, _WHEN)
)
_HEX = re.compile(rb"[0-9A-Fa-f]{14}(?:[0-9A-Fa-f]{10})?")
_LIKE_HEX = re.compile(rb"[0-9A-Fa-f]{10,40}")
_PACKET = re.compile(
    rb"(?:<\?xml[^<>]*\?>)?<datapacket><hdr>(?:<(?:mfg|model|sn)>[^<>]*</(?:mfg|model|sn)>)*</hdr><data>"
    rb"(?:<t1> *(?P<t>-?\d{1,4}\.\d{4})</t1>)?(?:<p1> *(?P<p>-?\d{1,5}\.\d{3})</p1>)?"
    rb"(?:<smpl> *(?P<sample>\d{1,10})</smpl>)?(?:<navg> *\d{1,6}</navg>)?"
    rb"<dt>(?P<date>\d{4}-\d\d-\d\d)T(?P<clock>%s)</dt></data></datapacket>" % CLOCK
)
_PACKET_BEGINS = re.compile(rb"<\?xml|<datapacket>")
_LONGEST_PACKET = 2048
_DAY_S = 86_400

_FIELDS = {
    "t": Field.of("sea_water_temperature", resolution=1e-4),
    "fahrenheit": Field.of("sea_water_temperature", resolution=1e-5),
    "p": Field.of("sea_water_pressure_due_to_sea_water", resolution=1e-3),
    "psi": Field.of("sea_water_pressure_due_to_sea_water", resolution=1e-4),
    "pt": Field.of("temperature_of_pressure_sensor", resolution=1e-3),
    "sample": Field.of("sample_number"),
}


class Sbe39plus(RowDriver):
    """A temperature recorder."""

    manufacturer: ClassVar[str] = "Sea-Bird Scientific"
    models: ClassVar[tuple[str, ...]] = ("SBE 39plus", "SBE 39plus-IM", "SBE 39")
    title: ClassVar[str] = "Sea-Bird SBE 39plus and SBE 39 temperature and pressure recorders"
    lines: ClassVar[tuple[str, ...]] = ("9600 8N1", "115200 8N1", "57600 8N1", "38400 8N1", "19200 8N1", "4800 8N1")
    commands: ClassVar[Mapping[str, str]] = {
        "DS": "status and configuration",
        "DC": "calibration coefficients",
        "GetSD, GetCD, GetCC, GetHD, GetEC": "status, configuration, coefficients, hardware, events in XML (39plus)",
        "TS": "take one sample and print it",
        "TSR": "the same in raw counts",
        "SL": "print the last sample",
        "SLT": "print the last sample, then take a new one",
        "StartNow": "sample every SampleInterval= seconds",
        "Stop": "stop sampling",
        "OutputFormat=": "0 raw counts, 1 converted, 2 XML (39plus)",
        "TxRealTime=": "Y or N: print samples while recording",
    }
    calibration: ClassVar[str] = (
        "for raw counts and uploaded scans: the header of the uploaded file, the reply to GetCC or DC, or the setting "
        "coefficients from the calibration sheet"
    )
    problems: ClassVar[Mapping[str, str]] = {
        "syntax": "a damaged line or XML packet. Check the cable where there are many.",
        "noise": "bytes that are no text: another baud rate or parity, or noise on the line.",
        "truncated": "the stream ended inside a line or an XML packet, or a packet's end was lost.",
        "implausible": "a value or a time that cannot be; the value is left out, the rest of the record kept.",
        "calibration": "raw counts without the coefficients: keep the file's header, or give `coefficients`.",
        "exception": "the instrument refuses a command or reports a fault.",
    }

    class Settings(DriverSettings):
        """Settings of a temperature recorder."""

        mode: Literal["autonomous", "polled"] = "autonomous"
        """`polled`: the gateway asks for each sample with TS; `autonomous`: the instrument sends on its own."""
        temperature_unit: Literal["C", "F"] | None = None
        """In which the instrument prints it. Not given: as the instrument says, where it does; else C."""
        pressure_unit: Literal["dbar", "psi"] | None = None
        """In which the instrument prints it. Not given: as the instrument says, where it does; else dbar."""
        coefficients: Coefficients = Setting(default_factory=dict)
        """Calibration coefficients by the names of the calibration sheet (TA0, PA0, PTCA0, …). They go before those of
        a file's header."""

    settings: Settings

    def __init__(self, instrument: str, settings: DriverSettings | None = None) -> None:
        self._schemas: dict[bytes, Schema] = {}
        super().__init__(instrument, settings)

    def _renew(self) -> None:
        self._told = Told()
        self._packet: list[Line] = []

    def schemas(self) -> Sequence[Schema]:
        """Of the lines seen so far, or of an instrument with a pressure sensor."""
        return tuple(self._schemas.values()) or (self._schema("t", "p"), self._schema("t"))

    def description(self) -> Mapping[str, Any]:
        """Model, serial number and calibration, so far as the instrument (or a header) said."""
        known = {
            "manufacturer": self.manufacturer,
            "model": self._told.device or self.models[0],
            "serial": self._told.serial,
            "calibration": self._coefficients(),
        }
        return {name: value for name, value in known.items() if value}

    def start(self) -> bytes:
        """Stops an instrument that is to be polled, and asks for its status. The empty line wakes it."""
        return b"\r\nStop\r\nDS\r\n" if self.settings.mode == "polled" else b""

    def poll(self) -> bytes:
        """`TS`, for an instrument that is to be polled."""
        return b"TS\r\n" if self.settings.mode == "polled" else b""

    @classmethod
    def hail(cls) -> bytes:
        """`DS`, which is answered also while it records."""
        return b"\r\nDS\r\n"

    # From lines to rows.

    def _read(self, line: Line) -> Row | Complaint | None:
        text = line.data
        converted, scan, raw = _CONVERTED.fullmatch(text), _HEX.fullmatch(text), _RAW.fullmatch(text)
        if converted or scan or raw:
            if self._packet:
                self._give_up()  # its end was lost
            if scan:
                return self._scan(line)
            return self._converted(converted, line) if converted else self._raw(raw, line)
        said = BEFORE.sub(b"", text, count=1).strip()
        if self._packet or _PACKET_BEGINS.match(said):
            return self._packet_line(said, line)
        if not said:
            return None
        if NO_TEXT.search(text):
            return "noise", NOISE
        if REFUSAL.fullmatch(said):
            return "exception", f"the instrument refuses or reports a fault: {said[:80].decode()}"
        if _LIKE_HEX.fullmatch(said):
            return "syntax", f"a scan of {len(said)} digits; those of an SBE 39plus have 24, or 14 without pressure"
        if CONVERSATION.fullmatch(said) and not re.search(rb"</?(?:data|t1|p1|dt)>", said):
            self._flush()
            self._told.take(said)
            return None
        return "syntax", "neither a sample as an SBE 39plus or SBE 39 prints it nor conversation"

    def _converted(self, found: re.Match[bytes], line: Line) -> Row | Complaint:
        date = found["date"] or found["date2"]
        if day_ns(date) is None:
            return "syntax", "no such day in the calendar"
        given = {"t": found["t"], "p": found["p"] or found["only"], "sample": found["sample"]}
        units = (self._unit("temperature", "C"), self._unit("pressure", "dbar"))
        names = tuple(name for name, value in given.items() if value is not None)
        values = tuple(value for value in given.values() if value is not None)
        return Row((*names, *units), (date, found["clock"] or found["clock2"], *values), line)

    def _raw(self, found: re.Match[bytes] | None, line: Line) -> Row | Complaint:
        assert found is not None
        date = found["date"] or found["date2"]
        if day_ns(date) is None:
            return "syntax", "no such day in the calendar"
        counts = tuple(value for value in (found["t"], found["p"], found["v"]) if value is not None)
        lack = self._lack(pressure=len(counts) > 1)
        return lack or Row(("raw", len(counts)), (date, found["clock"] or found["clock2"], *counts), line)

    def _scan(self, line: Line) -> Row | Complaint:
        text = line.data
        uploaded = self._told.uploaded_ns
        if uploaded is not None and int(text[:8], 16) + SEABIRD_EPOCH_S > uploaded // 10**9 + _DAY_S:
            return "implausible", "a scan from after its file was uploaded: damaged memory"
        return self._lack(pressure=len(text) > 14) or Row(("scan", len(text)), (text,), line)

    def _lack(self, *, pressure: bool) -> Complaint | None:
        k = self._coefficients()
        of_conductivity = {"G", "H", "I", "J", "CPCOR", "CTCOR"}
        missing = [name for name in lacking(k, pressure=pressure) if name not in of_conductivity]
        if missing:
            return "calibration", (
                f"raw counts, and the calibration lacks {', '.join(missing)}: keep the file's header, or give them in "
                "the setting 'coefficients'"
            )
        return None

    def _packet_line(self, said: bytes, line: Line) -> Row | Complaint | None:
        begun = self._packet_text()
        if begun and (said.startswith(b"<?xml") or (b"<datapacket>" in begun and b"<datapacket>" in said)):
            self._give_up()
        self._packet.append(line._replace(data=said))
        text = self._packet_text()
        if b"</datapacket>" in said:
            first, self._packet = self._packet[0], []
            return self._packet_row(text, first._replace(data=text))
        if len(text) > _LONGEST_PACKET:
            self._give_up()
        return None

    def _packet_text(self) -> bytes:
        return b"".join(part.data for part in self._packet)

    def _packet_row(self, text: bytes, whole: Line) -> Row | Complaint | None:
        found = _PACKET.fullmatch(re.sub(rb">\s+<", b"><", text))
        given = {} if not found else {name: found[name] for name in ("t", "p", "sample")}
        if not found or day_ns(found["date"]) is None or not (given["t"] or given["p"]):
            self._refuse("syntax", "an XML packet that is not in order", whole)
            return None
        units = (self._unit("temperature", "C"), self._unit("pressure", "dbar"))
        names = tuple(name for name, value in given.items() if value is not None)
        values = tuple(value for value in given.values() if value is not None)
        return Row((*names, *units), (found["date"], found["clock"], *values), whole)

    def _give_up(self) -> None:
        first, text = self._packet[0], self._packet_text()
        self._packet = []
        self._refuse(
            "truncated", "an XML packet that does not end: </datapacket> is missing", first._replace(data=text)
        )

    def _end(self) -> None:
        if self._packet:
            self._give_up()

    def _is_whole(self, data: bytes) -> bool:
        said = BEFORE.sub(b"", data, count=1).strip()
        ends_with_clock = (found := _CONVERTED.fullmatch(data)) and found["date"] and not found["sample"]
        # A sample number behind the clock may be cut off with its comma, but the rest is there.
        return bool(
            not said
            or ends_with_clock
            or _HEX.fullmatch(data)
            or b"</datapacket>" in data
            or (CONVERSATION.fullmatch(said) and not self._packet and not said.startswith(b"<"))
        )

    # From rows to numbers.

    def _unit(self, quantity: str, default: str) -> str:
        chosen: str | None = getattr(self.settings, f"{quantity}_unit")
        said = self._told.configuration.get(f"{quantity.capitalize()}Units", "").lower()
        learnt = {"celsius": "C", "fahrenheit": "F", "decibar": "dbar", "psi": "psi"}.get(said)
        return chosen or learnt or default

    def _coefficients(self) -> dict[str, float]:
        return self._told.coefficients | self.settings.coefficients

    def _schema(self, *names: str) -> Schema:
        return Schema("temperature_recorder", tuple(_FIELDS[name] for name in names))

    def _convert(self, rows: Sequence[Row]) -> Samples:
        form = rows[0].form
        assert isinstance(form, tuple)
        columns: dict[str, Column]
        if form[0] == "scan":
            digits = bytes.fromhex(b"".join(row.values[0] for row in rows).decode("ascii"))
            scans = np.frombuffer(digits, np.uint8).reshape(len(rows), -1)
            counts = [unsigned(scans, 4, 3)]
            if scans.shape[1] > 7:
                counts += [unsigned(scans, 7, 3), unsigned(scans, 10, 2)]
            time = seabird_time_ns(unsigned(scans, 0, 4))
        else:
            days = np.array([day_ns(row.values[0]) for row in rows], np.int64)
            time = days + clock_ns([row.values[1] for row in rows])
            counts = []
        if form[0] == "raw":
            counts = list(np.array([row.values[2:] for row in rows]).astype(np.int64).T)
        if counts:
            names, columns = self._from_counts(counts)
        else:
            names, columns = self._from_text(form, rows)
        schema = self._schema(*names)
        self._schemas[schema.id] = schema
        return Samples(schema, time, columns, {})

    def _from_counts(self, counts: Sequence[Any]) -> tuple[list[str], dict[str, Column]]:
        k = self._coefficients()
        with np.errstate(all="ignore"):  # damaged counts give what is no number, which is then refused
            by_name = {"t": temperature_c(np.log(counts[0].astype(np.float64)), k)}
            if len(counts) > 1:
                p, pt = pressure_dbar(counts[1].astype(np.float64), counts[2].astype(np.float64), k)
                by_name |= {"p": p, "pt": pt}
        fields = {name: _FIELDS[name] for name in by_name}
        return list(by_name), {fields[n].name: rounded(v, fields[n].resolution) for n, v in by_name.items()}

    def _from_text(self, form: tuple[str, ...], rows: Sequence[Row]) -> tuple[list[str], dict[str, Column]]:
        *names, of_t, of_p = form
        columns: dict[str, Column] = {}
        used = []
        for i, name in enumerate(names, 2):
            text = [row.values[i] for row in rows]
            if name == "sample":
                columns[_FIELDS[name].name] = np.array(text).astype(np.int64)
                used.append(name)
                continue
            values = np.array(text).astype(np.float64)
            if name == "t" and of_t == "F":
                name, values = "fahrenheit", (values - 32.0) * 5.0 / 9.0
            elif name == "p" and of_p == "psi":
                name, values = "psi", values * DBAR_PER_PSI
            columns[_FIELDS[name].name] = rounded(values, _FIELDS[name].resolution)
            used.append(name)
        return used, columns
