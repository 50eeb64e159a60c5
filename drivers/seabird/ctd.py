"""What Sea-Bird's conductivity instruments have in common; `sbe37` and `sbe16plus` are built on it.

Theory of operation. Over its line such an instrument says four things, mixed: converted samples (numbers, commas, a
date), raw scans (hexadecimal digits), XML data packets, and conversation (prompt, echo of commands, status and
calibration replies, the header of an uploaded file, whose lines begin with `*`). None has a checksum, so a sample is
taken only if it fits its grammar to the letter: the number of values, the decimals of each, the date. A line that is
neither that nor conversation becomes a Problem.

Which value is which is not in a converted line; the settings `columns` and the units say it, or, where they do not,
the instrument's own reply to GetCD. Scans become numbers by the calibration coefficients, from the header (or the
reply to GetCC or DC) or from the settings.

Sources: Sea-Bird user manuals SBE 37-SM RS-232 rev. 041 (pages 30, 46), SBE 19plus V2 (pages 71 to 76); Sea-Bird
application notes 27 (pressure), 14 (conductivity) and 31 (slope and offset).
"""

import re
from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby, pairwise
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field as Setting
from pydantic import field_validator

from drivers.arrivals import Arrivals
from drivers.columns import as_printed, implausible
from drivers.driver import Decoded, Driver, DriverSettings, Problem, problem
from drivers.lines import Block, Lines
from drivers.seabird.calibration import Octets, Scans, Unconvertible
from drivers.seabird.conversation import BEFORE, PROMPTS
from drivers.seabird.sheet import CalibrationFile, Coefficients
from drivers.seabird.text import ColumnName, Groups, RawText, TextFormat
from drivers.seabird.told import Told
from tidegate.clock import Arrival, TimeSource
from tidegate.frame import Column, Frame, Reasons, Schema, Times

DAY_NS = 86_400_000_000_000
LONGEST_PACKET = 4096


class SeaBirdSettings(DriverSettings):
    """What the settings of all Sea-Bird CTDs have in common."""

    mode: Literal["autonomous", "polled"] = "autonomous"
    """`polled`: the gateway asks for each sample with TS; `autonomous`: the instrument sends on its own."""
    columns: tuple[ColumnName, ...] | None = None
    """The values of a converted line in their order, `time` where date and time stand; `counts_n` are whole numbers
    of further sensors, `ignore` is any number that is not wanted. Not given: what the reply to GetCD says, and until
    then temperature, conductivity, pressure, time."""
    temperature_unit: Literal["C", "F"] | None = None
    """In which the instrument prints it. Not given: as the instrument says, where it does; else C."""
    conductivity_unit: Literal["S/m", "mS/cm", "uS/cm"] | None = None
    """In which the instrument prints it. Not given: as the instrument says, where it does; else S/m."""
    pressure_unit: Literal["dbar", "psi"] | None = None
    """In which the instrument prints it. Not given: as the instrument says, where it does; else dbar."""
    oxygen_unit: Literal["ml/L", "mg/L"] = "ml/L"
    """In which the instrument prints it."""
    calibration_file: CalibrationFile | None = None
    """A .xmlcon, the captured reply to GetCC or DC, or a .cal with lines `TA0 = 1.2e-03`. Its coefficients go before
    those that the instrument or a file's header states."""
    coefficients: Coefficients = Setting(default_factory=dict)
    """Calibration coefficients by the names of the calibration sheet (TA0, G, CPCOR, PTCA0, …). They go before those
    of a calibration file and of a file's header."""

    @field_validator("columns")
    @classmethod
    def _columns_make_sense(cls, columns: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if columns is None:
            return None
        named = [name for name in columns if name != "ignore"]
        twice = sorted({name for name in named if named.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} named twice; a value that is not wanted is called 'ignore'")
        if not set(named) - {"time"}:
            raise ValueError("names no value; a SBE 37 as delivered prints temperature, conductivity, pressure, time")
        return columns


DEFAULT_UNITS = {"temperature": "C", "conductivity": "S/m", "pressure": "dbar"}


_MONTH_FIRST = rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4}"
_CONVERSATION = re.compile(
    rb"\*\*?(?:[ ][ -~]*)?|\*END\*"  # a header
    rb"|<[ -~]*>[ -~]*"  # XML
    rb"|[A-Za-z]{1,24}(?:[=:][ -~]{0,60})?|[Dd][A-Za-z]{1,2}\d+,\d+"  # a command's echo
    rb"|(?![0-9A-Fa-f]+\Z)!?(?:\d\d|[GS]\d+:)[A-Za-z]{2}\w{0,16}(?:=[ -~]{0,40})?"  # one through an inductive modem
    rb"|\d{4}_DateTime: \d{8} \d{6}"  # the head of a telemetered block
    rb"|[A-Za-z][^,=]{0,60}=[ -~]*"  # a status line
    rb"|SBE[ -~]*"  # who it is
    rb"|(?!%s|[ -~]*\d\.\d{3}|[ -~]*\d\d:\d\d:\d\d$)[A-Za-z]{3,}[ :.][ -~]*"  # plain words
    rb"|cast +\d[ -~]*" % _MONTH_FIRST
)
_REFUSAL = re.compile(rb"<(?:Error|ERROR)\b|\?[ A-Za-z]*\Z|(?:[Ee]rror|ERROR)\b")
_HEX = re.compile(rb"[0-9A-Fa-f]{12,}")
_ANY = re.compile(rb"([^\r\n]*)[\r\n]*+")
_NOT_IN_PACKET = re.compile(rb"[ \t]*(?:[^< \t\r\n]|<\?xml|<datapacket>)")
_OF_A_PACKET = re.compile(rb"</?(?:data|datapacket|t1|c1|p1|sal|sv|sc|dt|ser1|t38|oox|dens)>")
_SERIAL_SENSOR = re.compile(rb"<ser1>(?:<type>[\w ,-]*</type>)?(.*?)</ser1>")
_GAS = re.compile(rb"<(/?)([pt][12])>")
_DATA_END = re.compile(rb"#End Data *")
_BETWEEN_TAGS = re.compile(rb">\s+<")
_PACKET = re.compile(
    rb"#?(?:<\?xml[^<>]*\?>)?<datapacket><hdr>(?:<(?:mfg|model|sn)>[^<>]*</(?:mfg|model|sn)>)*</hdr>"
    rb"<data>(.*)</data></datapacket>"
)
XML_COLUMNS = {
    b"t1": "temperature",
    b"c1": "conductivity",
    b"p1": "pressure",
    b"sal": "salinity",
    b"sv": "sound_velocity",
    b"sc": "specific_conductivity",
    b"smpl": "sample_number",
    b"navg": "ignore",
    b"ox": "oxygen",
    b"t38": "temperature_2",
    b"gp1": "gas_tension",
    b"gt1": "gas_temperature",
    b"gp2": "gas_tension_2",
    b"gt2": "gas_temperature_2",
    b"oox": "optode_oxygen",
    b"dens": "density",
    b"vb": "battery_voltage",
    b"i": "supply_current",
    **{f"wl{n}".encode(): f"counts_{n + 1}" for n in range(3)},
    b"dt": "time",
    **{f"v{n}".encode(): f"voltage_{n}" for n in range(6)},
}
"""What the elements of an XML packet are; `gp1` … `gt2` are p1 … t2 within `<ser1>`."""


class _Row(NamedTuple):
    """A converted line (or XML packet) that fits its grammar. `arrival` is None where it is that of the first byte in
    the block at hand; a packet may have begun before that."""

    text_format: TextFormat | RawText
    groups: Groups
    offset: int
    data: bytes
    arrival: Arrival | None = None


class SeaBird(Driver):
    """The driver that the families build on: they say how scans are laid out and how they become numbers."""

    manufacturer: ClassVar[str] = "Sea-Bird Scientific"
    lines: ClassVar[tuple[str, ...]] = (
        *("9600 8N1", "9600 7E1", "115200 8N1", "57600 8N1", "38400 8N1", "19200 8N1"),
        *("4800 8N1", "2400 8N1", "1200 8N1", "600 8N1"),
    )
    calibration: ClassVar[str] = (
        "Converted lines and XML packets need none. Raw scans take the coefficients of the file's header or of the "
        "replies to GetCC or DC; before these go those of the file that `calibration_file` names (.xmlcon, .xml, .cal, "
        "captured text), before these those of the setting `coefficients`."
    )
    commands: ClassVar[Mapping[str, str]] = {
        "GetSD, GetCD, GetCC, GetHD, GetEC": "status, configuration, coefficients, hardware, events in XML",
        "DS, DC": "status and coefficients as text (older firmware: DCAL)",
        "TS": "takes one sample and prints it; sent by a poll",
        "SL": "prints the last sample",
        "Stop": "ends sampling by itself; sent before polling",
        "StartNow": "begins sampling by itself",
        "OutputFormat=": "how samples are printed; set before polling",
        "QS": "puts it to sleep; an empty line wakes it",
    }
    problems: ClassVar[Mapping[str, str]] = {
        "syntax": "a damaged line, scan or packet. Check cable and connectors where there are many.",
        "columns": "a sound line that prints other values than it should: say which in the setting `columns`.",
        "noise": "bytes that are no text: another baud rate or parity, or noise on the line.",
        "truncated": "the stream ended inside a line or packet, or fewer scans came than the block's head promised.",
        "implausible": "a value or a time that cannot be; the value is left out, the rest of the record kept.",
        "calibration": "raw scans that cannot become numbers; the message names the coefficients that are lacking.",
        "unknown": "an XML packet with elements, or a relayed line of an address, that are not of this instrument.",
        "exception": "the instrument refuses a command or reports a fault.",
    }
    text_output_format: ClassVar[int]
    """The OutputFormat= of converted lines."""
    settings: SeaBirdSettings

    def __init__(self, instrument: str, settings: DriverSettings | None = None) -> None:
        super().__init__(instrument, settings)
        self._lines = Lines()
        self._schemas: dict[bytes, Schema] = {}  # of the Frames given so far
        self._renew()

    def _renew(self) -> None:
        self._told = Told()
        self._packet: tuple[bytearray, int, Arrival] | None = None
        self._lack_told = False
        self._scans_seen = 0  # since the header, damaged ones too
        self._block_begins: int | None = None  # the scans seen when a telemetered block began
        self._learn()

    # What a family says.

    @abstractmethod
    def scan_digits(self) -> Sequence[int]:
        """The numbers of hexadecimal digits that a scan may have, as far as now known."""

    @abstractmethod
    def convert(self, scans: Octets) -> Scans:
        """Scans (n, digits / 2), all of one of the lengths of `scan_digits`, as values. Raises `Unconvertible`."""

    @abstractmethod
    def hint(self, digits: int) -> str:
        """What to tell of a scan that has another number of digits."""

    def raw_texts(self) -> Sequence[RawText]:
        """The grammars of raw counts in decimal, as far as now known."""
        return ()

    @property
    def address(self) -> int | None:
        """The address on an inductive modem's line, where there is one."""
        return None

    def columns(self) -> tuple[str, ...]:
        """The columns of converted lines."""
        return self.settings.columns or ("temperature", "conductivity", "pressure", "time")

    def units(self) -> dict[str, str]:
        """The units of converted lines, by column."""
        chosen = {name: getattr(self.settings, f"{name}_unit") for name in (*DEFAULT_UNITS, "oxygen")}
        return DEFAULT_UNITS | {name: unit for name, unit in chosen.items() if unit is not None}

    def coefficients(self) -> dict[str, float]:
        """The calibration: the header's, before it the calibration file's, and before that the settings'."""
        sheet = self.settings.calibration_file
        return self._told.coefficients | dict(sheet.coefficients if sheet else {}) | self.settings.coefficients

    # The driver's protocol.

    def schemas(self) -> Sequence[Schema]:
        return list(({self._text.schema.id: self._text.schema} | self._schemas).values())

    def description(self) -> Mapping[str, Any]:
        known = {
            "manufacturer": self.manufacturer,
            "model": self._told.device or self.models[0],
            "serial": self._told.serial,
            "calibration": self.coefficients(),
        }
        return {name: value for name, value in known.items() if value}

    @classmethod
    def hail(cls) -> bytes:
        """`DS`, which is answered also while it samples."""
        return b"\r\n\r\nDS\r\n"

    def start(self) -> bytes:
        if self.settings.mode == "autonomous":
            return b""
        # CR first: it wakes the instrument, which takes no command while it sleeps.
        return b"\r\nStop\r\nOutputFormat=%d\r\n" % self.text_output_format

    def poll(self) -> bytes:
        return b"TS\r\n" if self.settings.mode == "polled" else b""

    def feed(self, data: bytes, at: Arrival) -> list[Decoded]:
        return self._decode(self._lines.feed_blocks(data, at))

    def feed_all(self, pieces: Sequence[tuple[bytes, Arrival]]) -> list[Decoded]:
        return self._decode(self._lines.feed_pieces(pieces))

    def _decode(self, parts: list[Block | Problem]) -> list[Decoded]:
        decoded: list[Decoded] = []
        for part in parts:
            if isinstance(part, Problem):
                decoded.append(part)
            else:
                self._block(part, decoded)
        return decoded

    def finish(self) -> list[Decoded]:
        decoded: list[Decoded] = []
        rest = self._lines.finish()
        if rest is not None:
            line = rest.data + b"\n"
            fits = self._text.pattern.match(line)
            said = _CONVERSATION.fullmatch(BEFORE.sub(b"", rest.data, count=1).strip().removeprefix(b"#"))
            whole = (fits and self._text.ends_complete) or self._scan.match(line) or b"</datapacket>" in line
            if whole or said or not BEFORE.sub(b"", rest.data, count=1).strip():
                self._block(Block(line, rest.offset, [rest.offset], [rest.arrival]), decoded)
            else:
                message = "the stream ended inside this line"
                decoded.append(problem("truncated", message, rest.offset, rest.data, rest.arrival))
        if self._packet is not None:
            decoded.append(self._unfinished_packet())
        self._renew()
        return decoded

    # From lines to rows.

    def _learn(self) -> None:
        """Sets up the grammar by what is known now."""
        self._text = TextFormat(self.columns(), self.units(), self.address)
        self._raw_texts = tuple(self.raw_texts())
        self._formats = {self._text.columns: self._text}
        digits = tuple(self.scan_digits())
        self._known = self._grammar_of_now()
        lengths = b"|".join(rb"(?:#?[0-9A-Fa-f]{%d}[\r\n]++)++" % n for n in digits) or rb"(?!)"
        self._scan = re.compile(rb"%s(%s)" % (PROMPTS, lengths))

    def _block(self, block: Block, decoded: list[Decoded]) -> None:
        data, at = block.data, 0
        rows: list[_Row] = []
        while at < len(data):
            if self._packet is not None and _NOT_IN_PACKET.match(data, at):
                self._row_frames(block, rows, decoded)
                decoded.append(self._unfinished_packet())
            text: TextFormat | RawText = self._text
            fits = text.pattern.match(data, at)
            if not fits:
                for text in self._raw_texts:
                    if fits := text.pattern.match(data, at):
                        break
            if fits and text.has_day(fits):
                offset = block.offset + fits.start(1)
                line = data[fits.start(1) : fits.end()].rstrip(b"\r\n")
                rows.append(_Row(text, fits.groups(), offset, line))
                at = fits.end()
                continue
            run = self._scan.match(data, at)
            if run:
                self._row_frames(block, rows, decoded)
                self._scan_frames(block, run.start(1), run[1], decoded)
                at = run.end()
                continue
            line_at = _ANY.match(data, at)
            assert line_at is not None  # it matches anything
            if line_at[1]:
                found = self._other_line(block, block.offset + at, line_at[1])
                if isinstance(found, Problem):
                    self._row_frames(block, rows, decoded)
                    decoded.append(found)
                elif found:
                    rows.append(found)
            at = line_at.end()
        self._row_frames(block, rows, decoded)

    def _other_line(self, block: Block, offset: int, line: bytes) -> _Row | Problem | None:
        """A line that is neither a sample nor a scan: the end of an XML packet, a Problem, or nothing to tell."""
        said = BEFORE.sub(b"", line, count=1)
        begins = offset + len(line) - len(said)
        arrival = block.arrival(begins)
        if self._packet is not None or b"<datapacket>" in said:
            return self._packet_line(begins, said, arrival)
        text = said.strip()
        if not text:
            return None
        if _REFUSAL.match(text):
            message = f"the instrument refuses or reports a fault: {text[:80].decode('ascii', 'backslashreplace')}"
            return problem("exception", message, offset, line, arrival)
        if _OF_A_PACKET.search(text):
            return problem("syntax", "part of an XML packet without its beginning", begins, said, arrival)
        if _HEX.fullmatch(text):
            self._scans_seen += 1
            return problem("syntax", self.hint(len(text)), offset, line, arrival)
        if _CONVERSATION.fullmatch(text.removeprefix(b"#").strip()) and text != b"#":
            self._told.take(text)
            self._learn_if_news()
            if text == b"*END*":
                self._scans_seen = 0
            elif text == b"#Begin Data":
                self._block_begins = self._scans_seen
            elif _DATA_END.fullmatch(text):
                return self._block_end(begins, text, arrival)
            return None
        self._scans_seen += 1
        if re.search(rb"[^ -~\t]", text):
            message = "bytes that are no text: noise on the line, or another baud rate or parity"
            return problem("noise", message, offset, line, arrival)
        relayed = re.match(rb"(\d\d),[ ]*(?=[\d. -])", text)
        if self.address is not None and relayed and int(relayed[1]) != self.address:
            message = f"a line of the instrument with address {relayed[1].decode()}, not {self.address:02}"
            return problem("unknown", message, begins, said, arrival)
        kind, message = self._text.complaint(line)
        return problem(kind, message, offset, line, arrival)

    def _block_end(self, offset: int, line: bytes, arrival: Arrival) -> Problem | None:
        """Whether all came that the head of a telemetered block promised."""
        promised, begins = self._told.recorded, self._block_begins
        self._told.recorded, self._block_begins = None, None
        if promised is None or begins is None or self._scans_seen - begins == promised:
            return None
        message = f"{self._scans_seen - begins} scans came where the head says SamplesRecorded = {promised}"
        return problem("truncated", message, offset, line, arrival)

    def _learn_if_news(self) -> None:
        if self._grammar_of_now() != self._known:
            self._learn()

    def _grammar_of_now(self) -> tuple[object, ...]:
        patterns = tuple(text.pattern for text in self.raw_texts())
        return self.columns(), self.units(), tuple(self.scan_digits()), patterns

    # XML packets (OutputFormat 2), on one line or on many.

    def _packet_line(self, offset: int, line: bytes, arrival: Arrival) -> _Row | Problem | None:
        if self._packet is None:
            self._packet = (bytearray(), offset, arrival)
        self._packet[0].extend(line + b"\n")
        packet, offset, arrival = bytes(self._packet[0]).rstrip(), self._packet[1], self._packet[2]
        if b"</datapacket>" in line:
            self._packet = None
            return self._packet_row(packet, offset, arrival)
        if len(packet) > LONGEST_PACKET:
            return self._unfinished_packet()
        return None

    def _unfinished_packet(self) -> Problem:
        assert self._packet is not None
        packet, offset, arrival = self._packet
        self._packet = None
        message = "an XML packet that does not end: </datapacket> is missing"
        return problem("truncated", message, offset, bytes(packet).rstrip(), arrival)

    def _packet_row(self, packet: bytes, offset: int, arrival: Arrival) -> _Row | Problem:
        joined = _BETWEEN_TAGS.sub(b"><", packet)
        found = _PACKET.fullmatch(_SERIAL_SENSOR.sub(lambda ser: _GAS.sub(rb"<\1g\2>", ser[1]), joined))
        if not found:
            return problem("syntax", "an XML packet that is not in order", offset, packet, arrival)
        tags = re.findall(rb"<(\w+)>([^<>]*)</\1>", found[1])
        if b"".join(b"<%s>%s</%s>" % (tag, value, tag) for tag, value in tags) != found[1]:
            return problem("syntax", "an XML packet whose elements are not in order", offset, packet, arrival)
        columns = tuple(XML_COLUMNS.get(tag, "") for tag, _ in tags)
        if "" in columns or len(set(columns) - {"ignore"}) != len(columns) - columns.count("ignore"):
            odd = ", ".join(sorted({tag.decode() for tag, _ in tags if tag not in XML_COLUMNS}) or ["one twice"])
            message = f"an XML packet with elements that this driver does not know: {odd}"
            return problem("unknown", message, offset, packet, arrival)
        if not set(columns) - {"time", "ignore", "sample_number"}:
            return problem("syntax", "an XML packet without a measured value", offset, packet, arrival)
        if columns not in self._formats:
            if len(self._formats) > 16:
                self._formats.clear()
            self._formats[columns] = TextFormat(columns, self.units())
        text_format = self._formats[columns]
        line = b", ".join(value.strip().replace(b"T", b", ") for _, value in tags) + b"\n"
        fits = text_format.pattern.fullmatch(line)
        if not fits or not text_format.has_day(fits):
            return problem(*text_format.complaint(line), offset, packet, arrival)
        return _Row(text_format, fits.groups(), offset, packet, arrival)

    # From rows and scans to Frames.

    def _row_frames(self, block: Block, rows: list[_Row], decoded: list[Decoded]) -> None:
        """Appends the Frames of `rows`, and empties it."""
        for text_format, alike in groupby(rows, lambda row: row.text_format):
            some = list(alike)
            offsets = [row.offset for row in some]
            if any(row.arrival for row in some):
                arrivals = Arrivals.of([row.arrival or block.arrival(row.offset) for row in some])
            else:
                arrivals = block.arrivals_of(offsets)
            try:
                schema, time, columns, reasons = text_format.decode([row.groups for row in some])
            except Unconvertible as lack:
                decoded += [
                    problem("calibration", str(lack), row.offset, row.data, arrivals[i]) for i, row in enumerate(some)
                ]
                continue
            data = [row.data for row in some].__getitem__
            self._emit(_Batch(schema, time, columns, reasons, offsets, arrivals, data), decoded)
        rows.clear()

    def _scan_frames(self, block: Block, at: int, run: bytes, decoded: list[Decoded]) -> None:
        digits = bytes.fromhex(run.translate(None, b"\r\n#").decode("ascii"))
        octets = np.frombuffer(run, np.uint8)
        ends = (octets == 10) | (octets == 13)
        starts = np.flatnonzero(~ends & np.concatenate(([True], ends[:-1])))
        offsets = (starts + (block.offset + at)).tolist()
        arrivals = block.arrivals_of(offsets)
        scans = np.frombuffer(digits, np.uint8).reshape(len(starts), -1)

        def data(row: int) -> bytes:
            return run[starts[row] : starts[row] + 2 * scans.shape[1] + 1].rstrip(b"\r\n")

        try:
            schema, time, columns, source, lacking = self.convert(scans)
        except Unconvertible as lack:
            self._scans_seen += len(scans)
            for row, offset in enumerate(offsets):
                decoded.append(problem("calibration", str(lack), offset, data(row), arrivals[row]))
            return
        self._scans_seen += len(scans)
        if lacking and not self._lack_told:
            self._lack_told = True
            decoded.append(problem("calibration", f"{lacking} (said once)", offsets[0], data(0), arrivals[0]))
        fields = schema.by_name
        whole = {name: as_printed(values, fields[name]) for name, values in columns.items()}
        batch = _Batch(schema, time, dict(whole), {}, offsets, arrivals, data, source)
        latest = None if self._told.uploaded_ns is None else self._told.uploaded_ns + DAY_NS
        self._emit(batch, decoded, latest)

    def _emit(self, batch: "_Batch", decoded: list[Decoded], latest_ns: int | None = None) -> None:
        """Appends the batch as Frames and Problems, in the stream's order; records later than `latest_ns` are
        refused."""
        self._schemas[batch.schema.id] = batch.schema
        n = len(batch.offsets)
        source = TimeSource.ARRIVAL if batch.time is None else batch.source
        if batch.time is None:
            time = batch.arrivals.utc_ns
        else:
            time = batch.time
        doubts = implausible(batch.schema, batch.columns, batch.reasons)
        refused: dict[int, Problem] = {}
        if latest_ns is not None and batch.time is not None:
            for row in np.flatnonzero(time > latest_ns).tolist():
                when = np.datetime64(int(time[row]), "ns").astype("datetime64[s]")
                message = f"a scan of {when}Z in a file that was uploaded before: damaged memory"
                refused[row] = self._doubt(batch, row, message)
        cuts = {0, n, *(np.flatnonzero(batch.arrivals.breaks()) + 1).tolist()}
        for row in refused:
            cuts |= {row, row + 1}
        edges = sorted(cuts)
        doubted = sorted(set(doubts) - set(refused))
        for start, end in pairwise(edges):
            if start in refused:
                decoded.append(refused[start])
                continue
            part = slice(start, end)
            columns = {name: column[part] for name, column in batch.columns.items()}
            reasons = {name: codes[part] for name, codes in batch.reasons.items() if codes[part].any()}
            decoded.append(
                Frame(self.instrument, batch.schema, time[part], columns, source, batch.arrivals[start], reasons)
            )
            for row in doubted[bisect_left(doubted, start) : bisect_left(doubted, end)]:
                decoded.append(self._doubt(batch, row, "; ".join(doubts[row])))

    def _doubt(self, batch: "_Batch", row: int, message: str) -> Problem:
        return problem("implausible", message, batch.offsets[row], batch.data(row), batch.arrivals[row])


class _Batch(NamedTuple):
    """Records decoded together. `data` gives the bytes of one of them."""

    schema: Schema
    time: Times | None
    columns: dict[str, Column]
    reasons: dict[str, Reasons]
    offsets: list[int]
    arrivals: Arrivals
    data: Callable[[int], bytes]
    source: TimeSource = TimeSource.INSTRUMENT
