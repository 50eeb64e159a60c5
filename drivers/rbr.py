"""RBR loggers and sensors: L3 (RBRconcerto3 and its kind, RBRquartz3, RBRcoda3), Gen4, RBRsolo and the old XR-420.

Theory of operation. An instrument prints a line for each sample, on its own (`streamserial state = on`) or when asked
(`fetch`; Gen4: `poll`):

    2017-09-10 11:24:14.000, 38.6664, 21.5183, 10.9601                      caltext01, 03, 04; `RBR 204347, ` before: 07
    2017-09-10 11:52:21.000, 38.6671 mS/cm, 22.0217 C, 10.9596 dB           caltext02
    RBR 999999 sch_fast_CTD 2024-06-10 11:24:14.125 38.6671142e+000 … 0xE4EE  Gen4; all but the values may be left out
    2018-07-26 14:56:24.000 483482112                                       RBRsolo: counts of the thermistor's bridge
    2023/07/22 06:47:48.250,1690008468250.000000,21.500000,483.125000       RBRquartz3, as a data logger keeps it
    TIM 070912113000 38.6664 21.5183 10.9601 BV: 11.5916 SN: 021964 FET     XR-420

Which value is which does not stand in the line (caltext02 tells the units). The instrument says it when asked, by the
labels of its channels: `outputformat labelslist = conductivity_00|temperature_00|pressure_00`; a logged file has
`# Active channels: …`. The units follow from `channelslist` and `channel` replies, and are RBR's own where nothing else
is said. `channels` (and for Gen4's schedules `schedules`) in the settings come before what the instrument says. Values
whose place is not known are refused, never guessed.

A channel that failed prints `Error-14`, `###` or `nan` in its place: that value is missing, the others stay. Only
Gen4 can add a checksum: CRC-16 (polynomial 1021, start FFFF, not reflected) of all that stands before `0x`, the blank
included. The other lines are taken only if they fit to the letter: caltext01, 02 and 07 have four decimals in every
value, the others at least eight digits.

RBRsolo: with r the count, x = ln(2^30 / r - 1), T = 1 / (c0 + c1 x + c2 x^2 + c3 x^3) - 273.15 degC; the coefficients
come from `calibration 1` or the settings.

Sources: RBR L3 and Gen4 command references (docs.rbr-global.com: outputformat, fetch, poll, id, channel, channel
labels, error messages); RBR's own library libRBR and its tests, whose Gen4 lines show the checksum; parsers of the OOI
(presf_de) and of MrDOS/solostreamer.
"""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from struct import unpack
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import model_validator

from drivers.checksums import crc16_ccitt
from drivers.columns import INVALID, Value, columns, is_day, moments
from drivers.driver import DriverSettings
from drivers.lines import Line
from drivers.rows import NO_TEXT, NOISE, Complaint, Row, RowDriver, Samples
from tidegate.frame import Missing, Schema
from tidegate.vocabulary import PARAMETERS

_PREFIX = rb"(?:\[[\w.-]{1,32}:[\w.-]{1,32}\]:)?(?:Ready: )*+"
_NUMBER = rb"[-+]?\d{1,12}\.\d{1,15}"
_WORD = rb"Error-\d{1,3}|#{2,20}|[-+]?nan|[-+]?inf"
_ENGINEERING = rb"[-+]?\d{1,3}\.\d{5,15}[eE][-+]\d{2,3}"
_TOKEN = rb"(?:%s|%s|%s)" % (_ENGINEERING, _NUMBER, _WORD)
_CLOCK = rb"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d"
_STAMP = rb"\d{4}-\d\d-\d\d %s\.\d{3}" % _CLOCK
_SERIAL = rb"RBR (\d{6})"

_L3 = re.compile(rb"%s(?:%s,? )?(%s)((?:, %s)+)" % (_PREFIX, _SERIAL, _STAMP, _TOKEN))
_WITH_UNITS = re.compile(rb"%s(%s)((?:, %s [^\s,]{1,16})+)" % (_PREFIX, _STAMP, _TOKEN))
_GEN4 = re.compile(
    rb"%s((?:%s )?(?:([A-Za-z]\w{0,31}) )?(?:(%s|\d{12,13}) )?(%s(?: %s)*)(?: 0x([0-9A-F]{4}))?)"
    % (_PREFIX, _SERIAL, _STAMP, _TOKEN, _TOKEN)
)
_COUNTS = re.compile(rb"%s(%s)((?: \d{6,10})+)" % (_PREFIX, _STAMP))
_LOGGED = re.compile(
    rb"%s(\d{4}/\d\d/\d\d %s\.\d{3}), ?\d{1,18}\.\d{1,9}((?:, ?(?:-?\d{1,12}\.\d{6}|%s))+)" % (_PREFIX, _CLOCK, _WORD)
)
_XR420 = re.compile(rb"%sTIM (\d{12})((?: +%s)+) +BV: +(\d{1,3}\.\d{1,6}) +SN: (\d{6}) +FET" % (_PREFIX, _TOKEN))
_BEGINS_AS_SAMPLE = re.compile(rb"%s(?:\d|TIM|RBR \d)" % _PREFIX)

_LABEL = r"[a-z][a-z_]{0,40}_\d\d"
_LABELS = re.compile(rf"(?:outputformat labelslist =|# Active channels:) ?({_LABEL}(?:\|{_LABEL})*)")
_CHANNELS = re.compile(r"outputformat channelslist = (.+)")
_CHANNEL = re.compile(r"#? ?channel (\S+) (.*)")
_CALIBRATION = re.compile(r"#? ?calibration (\d+) (.*)")
_IDENTITY = re.compile(r"id4? (.*)")
_COMMANDS = (
    rb"id4?|outputformat|fetch|poll|channels?|calibration|stream(?:serial|usb)|sampling|settings|sensor|memformat|mem"
    rb"info|storage|clock|now|enable|disable|stop|pause|resume|verify|schedules?|groups?|regimes?|instrument|deployment"
    rb"|config|power\w*|simulation|sleep|permit|prompt|confirmation|info|hwrev|getall|serial|usb|wifi|parameters?|label"
)
_REFUSED = re.compile(rb"%s(?:E\d{4}|ERR-\d{3}) [ -~]*" % _PREFIX)
_CONVERSATION = re.compile(
    rb"%s(?:"
    rb"# ?[A-Za-z][ -~]*"
    rb"|(?:%s)(?: (?:[A-Za-z][\w|]*|\d{1,3}))*(?: \w+ ?= ?[ -~]*)?,?"  # a command, its echo, its reply
    rb"|WRN-\d{3} [ -~]*|Logger (?:started|stopped)[ -~]*"
    rb")? *" % (_PREFIX, _COMMANDS)
)

_DBAR = {"dbar": 1.0, "db": 1.0, "kpa": 0.1, "mpa": 100.0, "bar": 10.0, "psi": 0.6894757293168}
_MS_CM = {"ms/cm": 0.1, "us/cm": 1e-4, "s/m": 1.0}
_C = {"c": 1.0, "degc": 1.0, "degrees_c": 1.0, "°c": 1.0}
_PARAMETERS: Mapping[str, tuple[str, Mapping[str, float]]] = {
    "conductivity": ("sea_water_electrical_conductivity", _MS_CM),
    "specificconductivity": (
        "sea_water_electrical_conductivity_at_reference_temperature",
        {"us/cm": 1e-4, "ms/cm": 0.1, "s/m": 1.0},
    ),
    "temperature": ("sea_water_temperature", _C),
    "temperature_01": ("sea_water_temperature_2", _C),
    "conductivitycelltemperature": ("temperature_of_conductivity_cell", _C),
    "pressuretemperature": ("temperature_of_pressure_sensor", _C),
    "pressure": ("sea_water_pressure", _DBAR),
    "seapressure": ("sea_water_pressure_due_to_sea_water", _DBAR),
    "depth": ("depth", {"m": 1.0, "ft": 0.3048}),
    "salinity": ("sea_water_practical_salinity", {"psu": 1.0}),
    "speedofsound": ("speed_of_sound_in_sea_water", {"m/s": 1.0}),
    "oxygenconcentration": (
        "mole_concentration_of_dissolved_molecular_oxygen_in_sea_water",
        {"umol/l": 1.0, "µmol/l": 1.0},
    ),
    "oxygensaturation": ("fractional_saturation_of_oxygen_in_sea_water", {"%": 1.0}),
    "chlorophyll": ("mass_concentration_of_chlorophyll_in_sea_water", {"ug/l": 1.0, "µg/l": 1.0}),
    "turbidity": ("sea_water_turbidity", {"ntu": 1.0}),
    "par": ("downwelling_photosynthetic_photon_flux_in_sea_water", {"umol/m2/s": 1.0, "µmol/m²/s": 1.0}),
    "ph": ("sea_water_ph_reported_on_total_scale", {"ph_units": 1.0, "ph": 1.0}),
    "period_00": ("period_of_pressure_signal", {"ps": 1e-6, "us": 1.0}),
    "period_01": ("period_of_temperature_signal", {"ps": 1e-6, "us": 1.0}),
    **{f"voltage_{n:02}": (f"external_voltage_{n}", {"v": 1.0}) for n in range(6)},
}
"""Label without its number (or with it) → (parameter, factor by unit; RBR's own unit first)."""
_BY_UNIT = {
    "ms/cm": "conductivity_00",
    "c": "temperature_00",
    "db": "pressure_00",
    "dbar": "pressure_00",
    "m": "depth_00",
    "psu": "salinity_00",
    "m/s": "speedofsound_00",
}
"""What a unit in the line means where it stands there once and no label is known."""


_LOGGED_LABELS = (
    *("temperature_00", "pressure_00", "temperature_01", "seapressure_00", "depth_00", "period_00", "period_01"),
)
"""The channels of an RBRquartz3 as the OOI's parsers take them where the log does not list them: all are active."""


class UnitError(ValueError):
    """A unit that its parameter is not known to have."""


class _Form(NamedTuple):
    """How a line is to be read: samples of one form are converted together."""

    clock: Literal["text", "milliseconds", "none"]
    labels: tuple[str, ...]
    units: tuple[str, ...]
    step: float
    battery: bool = False
    counts: bool = False


def _known(label: str) -> tuple[str, Mapping[str, float]] | None:
    return _PARAMETERS.get(label) or _PARAMETERS.get(label[:-3])


@lru_cache(maxsize=64)
def _values(
    labels: tuple[str, ...], units: tuple[str, ...], step: float, named: tuple[tuple[str, str], ...]
) -> tuple[Value, ...]:
    """How the values of the channels become columns; of two that are the same parameter the second is passed over.

    Raises `UnitError`.
    """
    values: list[Value] = []
    taken: set[str] = set()
    by_setting = dict(named)
    for label, unit in zip(labels, units, strict=True):
        name, factors = _known(label) or ("", {})
        if label in by_setting:
            name = by_setting[label]
            factors = next((f for other, f in _PARAMETERS.values() if other == name), factors)
        if not name or name == "ignore" or name in taken:
            values.append(Value(""))
            continue
        factor = 1.0
        if factors:
            unit = unit.lower() or next(iter(factors))
            if unit not in factors:
                raise UnitError(f"{label} in {unit!r}: known are {', '.join(factors)}")
            factor = factors[unit]
        taken.add(name)
        # A power of ten that loses no digit of what was printed.
        resolution = 10.0 ** round(np.log10(step) + min(0, np.floor(np.log10(factor))))
        values.append(Value(name, resolution, factor))
    return tuple(values)


class Rbr(RowDriver):
    """An RBR logger or sensor."""

    manufacturer: ClassVar[str] = "RBR"
    models: ClassVar[tuple[str, ...]] = (
        *("RBRconcerto3", "RBRmaestro3", "RBRduo3", "RBRvirtuoso3", "RBRcoda3", "RBRquartz3", "RBRlegato3"),
        *("RBRconcerto4", "RBRmaestro4", "RBRsolo", "XR-420"),
    )
    title: ClassVar[str] = "RBR L3, Gen4, RBRsolo and XR-420: CTDs, pressure and temperature loggers"
    lines: ClassVar[tuple[str, ...]] = ("115200 8N1", "9600 8N1", "19200 8N1", "38400 8N1", "57600 8N1", "230400 8N1")
    commands: ClassVar[Mapping[str, str]] = {
        "id": "says model, serial number and firmware",
        "outputformat labelslist": "lists the channels in the order they are printed",
        "outputformat channelslist": "lists the channels with their units",
        "fetch": "takes a sample and prints it (L3); it is not stored",
        "poll": "takes a sample and prints it (Gen4)",
        "calibration 1": "prints the coefficients of channel 1",
        "streamserial state = on": "prints every sample on its own (L3); the setting stays",
        "outputformat type = caltext02": "prints values with their units (L3)",
        "channel allindices all": "tells all of every channel",
    }
    calibration: ClassVar[str] = (
        "none is needed: values are physical; an RBRsolo's counts need c0 to c3 of `calibration 1`"
    )
    problems: ClassVar[Mapping[str, str]] = {
        "syntax": "a line that begins as a sample and does not fit: damaged on the way; check wiring and baud rate",
        "channels": "it is not known which value is which: let the driver ask, or set `channels`",
        "unit": "a channel has a unit that its parameter is not known to have: set it back to RBR's with Ruskin",
        "checksum": "the line's CRC is wrong: damaged on the way; check wiring and baud rate",
        "calibration": "counts of an RBRsolo without coefficients: set `coefficients`",
        "implausible": "a number outside what is possible on Earth; the sensor or its calibration is at fault",
        "exception": "the instrument refuses a command, and says why",
        "noise": "bytes that are no text: noise on the line, or another baud rate or parity",
        "truncated": "the stream ended inside this line",
        "unknown": "no line that an RBR is known to print: another instrument, or damage",
    }

    class Settings(DriverSettings):
        """Settings of an RBR instrument."""

        mode: Literal["autonomous", "streaming", "polled"] = "autonomous"
        """`polled`: the gateway asks for each sample; `streaming`: it is told on opening to send every sample that it
        takes (L3); `autonomous`: it sends on its own."""
        generation: Literal[3, 4] = 3
        """How it is asked: 3 with `fetch`, 4 with `poll`. Lines of every generation are read either way."""
        channels: tuple[str, ...] = ()
        """Labels of the values of a line in order (`conductivity_00`, …); empty: what the instrument says."""
        schedules: Mapping[str, tuple[str, ...]] = {}
        """Gen4: the same for a schedule's label: `{ sch_fast_CTD = ["conductivity_00", …] }`."""
        parameters: Mapping[str, str] = {}
        """What a channel is, where its label alone does not tell it: label → parameter, or `ignore`."""
        coefficients: tuple[float, float, float, float] | None = None
        """RBRsolo: c0 to c3 of its thermistor, before what `calibration 1` says."""

        @model_validator(mode="after")
        def _are_known(self) -> "Rbr.Settings":
            if self.mode == "streaming" and self.generation != 3:
                raise ValueError('mode = "streaming" needs generation = 3: set a Gen4 instrument up with Ruskin')
            for label in (*self.channels, *(label for labels in self.schedules.values() for label in labels)):
                if not re.fullmatch(_LABEL, label):
                    raise ValueError(f"{label!r} is no label of an RBR channel; these look as temperature_00")
            for label, name in self.parameters.items():
                if name != "ignore" and name not in PARAMETERS:
                    near = " or ".join(get_close_matches(name, PARAMETERS, n=3))
                    hint = f"; did you mean {near}?" if near else ""
                    raise ValueError(
                        f"parameters: {label} = {name!r} is no parameter of the vocabulary, nor 'ignore'{hint}"
                    )
            return self

    settings: Settings

    def __init__(self, instrument: str, settings: DriverSettings | None = None) -> None:
        self._told: dict[str, str] = {}
        super().__init__(instrument, settings)

    def _renew(self) -> None:
        self._labels: tuple[str, ...] = ()
        self._listed: tuple[str, ...] = ()  # units by place, from `channelslist`
        self._units: dict[str, str] = {}  # by label, from `channel` replies
        self._coefficients: tuple[float, ...] = ()

    def schemas(self) -> Sequence[Schema]:
        """Of the channels that are set or were told."""
        lists = [self.settings.channels or self._labels, *self.settings.schedules.values()]
        found: list[Schema] = []
        for labels in filter(None, lists):
            values = _values(labels, self._units_of(labels), 1e-4, self._named)
            schema = _schema(values)
            if schema.fields and schema not in found:
                found.append(schema)
        return found

    def description(self) -> Mapping[str, Any]:
        """Model, serial number and firmware once told; channels that have no place in a Frame."""
        left = [label for label in self.settings.channels or self._labels if not _known(label)]
        told: dict[str, Any] = {"manufacturer": self.manufacturer, "model": self.models[0], **self._told}
        left = [label for label in left if label not in self.settings.parameters]
        return {**told, **({"channels_left_out": left} if left else {})}

    def start(self) -> bytes:
        """Wakes it, asks who it is and which channels it prints, and switches streaming on where that is wanted."""
        if self.settings.generation == 4:
            return b"\r\nid\r\n"
        asked = b"\r\nid\r\noutputformat labelslist\r\noutputformat channelslist\r\n"
        return asked + (b"streamserial state = on\r\n" if self.settings.mode == "streaming" else b"")

    def poll(self) -> bytes:
        """`fetch` or `poll`, for an instrument that is to be polled."""
        if self.settings.mode != "polled":
            return b""
        return b"poll\r\n" if self.settings.generation == 4 else b"fetch\r\n"

    @classmethod
    def hail(cls) -> bytes:
        """Who it is, and which channels it prints; neither changes anything."""
        return b"\r\nid\r\noutputformat labelslist\r\noutputformat channelslist\r\nfetch\r\n"

    @property
    def _named(self) -> tuple[tuple[str, str], ...]:
        return tuple(sorted(self.settings.parameters.items()))

    def _units_of(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        if labels == self._labels and len(self._listed) == len(labels):
            return self._listed
        return tuple(self._units.get(label, "") for label in labels)

    # --- one line

    def _read(self, line: Line) -> Row | Complaint | None:
        text = line.data.rstrip(b" \t")
        if (found := _L3.fullmatch(text)) is not None:
            self._serial(found[1])
            return self._sample(line, found[2], found[3].split(b", ")[1:])
        if (found := _WITH_UNITS.fullmatch(text)) is not None:
            pairs = [pair.split(b" ") for pair in found[2].split(b", ")[1:]]
            units = tuple(pair[1].decode("utf-8", "replace") for pair in pairs)
            return self._sample(line, found[1], [pair[0] for pair in pairs], units=units)
        if (found := _COUNTS.fullmatch(text)) is not None:
            return self._raw(line, found[1], found[2].split())
        if (found := _GEN4.fullmatch(text)) is not None:
            return self._gen4(line, found)
        if (found := _LOGGED.fullmatch(text)) is not None:
            tokens = [token.strip() for token in found[2].split(b",")[1:]]
            return self._sample(line, found[1].replace(b"/", b"-"), tokens, step=1e-6, otherwise=_LOGGED_LABELS)
        if (found := _XR420.fullmatch(text)) is not None:
            return self._xr420(line, found)
        if NO_TEXT.search(text):
            return "noise", NOISE
        if _REFUSED.fullmatch(text):
            return "exception", f"the instrument refuses: {text.decode('ascii')[-120:]}"
        if _CONVERSATION.fullmatch(text):
            self._learn(re.sub(rb"^%s" % _PREFIX, b"", text).decode("ascii"))
            return None
        if _BEGINS_AS_SAMPLE.match(text):
            return "syntax", "begins as a sample and does not fit: a value, a comma or the date is not as RBR prints it"
        return "unknown", "an RBR is not known to print such a line"

    def _sample(
        self,
        line: Line,
        stamp: bytes | None,
        tokens: list[bytes],
        *,
        units: tuple[str, ...] = (),
        schedule: str = "",
        step: float = 0.0,
        default: float = 1e-4,
        otherwise: tuple[str, ...] = (),
    ) -> Row | Complaint:
        """The row of a line with these values."""
        if stamp is not None and b"-" in stamp and not is_day(int(stamp[:4]), int(stamp[5:7]), int(stamp[8:10])):
            return "syntax", f"the calendar has no {stamp[:10].decode()}"
        step = step or _step(tokens) or (default if not any(b"." in token for token in tokens) else 0.0)
        if not step or (units and step != 1e-4):
            return "syntax", "values do not have the decimals of one format: a digit is lost"
        labels = self._labels_of(schedule, units, len(tokens))
        if isinstance(labels, str) and len(tokens) == len(otherwise) and not (self._labels or self.settings.channels):
            labels = otherwise
        if isinstance(labels, str):
            return "channels", labels
        units = units or self._units_of(labels)
        try:
            _values(labels, units, step, self._named)
        except UnitError as error:
            return "unit", str(error)
        clock: Literal["text", "milliseconds", "none"] = "none"
        if stamp is not None:
            clock = "text" if b"-" in stamp else "milliseconds"
        values = tuple(_plain(token) for token in tokens)
        return Row(_Form(clock, labels, units, step), (stamp or b"", *values), line)

    def _gen4(self, line: Line, found: re.Match[bytes]) -> Row | Complaint:
        whole, serial, label, stamp, values, crc = found.groups()
        computed = crc16_ccitt(whole[:-6])
        if crc is not None and computed != int(crc, 16):
            return "checksum", f"the line's checksum is {crc.decode()}, and should be {computed:04X}"
        tokens = values.split(b" ")
        if stamp is None and not all(b"e" in token.lower() for token in tokens if b"." in token):
            return "syntax", "neither a time nor values as a Gen4 instrument prints them"
        if stamp is None and label is None and not any(b"." in token for token in tokens):
            return "syntax", "neither a time nor a value"
        self._serial(serial)
        schedule = "" if label is None else label.decode()
        return self._sample(line, stamp, tokens, schedule=schedule, default=1e-9)

    def _raw(self, line: Line, stamp: bytes, tokens: list[bytes]) -> Row | Complaint:
        coefficients = self.settings.coefficients or self._coefficients
        if len(tokens) > 1:
            return "channels", "counts of more than one channel: only those of an RBRsolo's thermistor are known"
        if not is_day(int(stamp[:4]), int(stamp[5:7]), int(stamp[8:10])):
            return "syntax", f"the calendar has no {stamp[:10].decode()}"
        if not 0 < int(tokens[0]) < 2**30:
            return "syntax", "a count that the converter cannot give"
        if len(coefficients) != 4:
            return "calibration", "counts, but no coefficients: send `calibration 1`, or set `coefficients`"
        form = _Form("text", ("temperature_00",), tuple(map(str, coefficients)), 1e-4, counts=True)
        return Row(form, (stamp, tokens[0]), line)

    def _xr420(self, line: Line, found: re.Match[bytes]) -> Row | Complaint:
        clock, values, battery, serial = found.groups()
        t = clock.decode()
        stamp = f"20{t[:2]}-{t[2:4]}-{t[4:6]} {t[6:8]}:{t[8:10]}:{t[10:]}".encode()
        if not re.fullmatch(_CLOCK, stamp[11:]):
            return "syntax", "the clock shows no time of day"
        self._serial(serial)
        row = self._sample(line, stamp, values.split(), step=1e-6)
        if not isinstance(row, Row):
            return row
        form = row.form
        assert isinstance(form, _Form)
        return Row(form._replace(battery=True), (*row.values, battery), line)

    def _labels_of(self, schedule: str, units: tuple[str, ...], count: int) -> tuple[str, ...] | str:
        """The labels of the values of a line, or why they are not known."""
        labels = self.settings.schedules.get(schedule) or self.settings.channels
        if not labels and not (schedule and schedule != "polling"):
            labels = self._labels
        if labels and len(labels) == count:
            return labels
        if labels:
            return (
                f"{count} values where {len(labels)} channels are known ({', '.join(labels)}): "
                "set `channels` to what is printed"
            )
        if units:
            guessed = tuple(_BY_UNIT.get(unit.lower(), "") for unit in units)
            if all(guessed) and len(set(guessed)) == count:
                return guessed
        of = f" of schedule {schedule}" if schedule else ""
        return f"{count} values{of}, and which is which is not known: set `channels` or `schedules`, or let it be asked"

    # --- what it says of itself

    def _serial(self, serial: bytes | None) -> None:
        if serial is not None:
            self._told["serial"] = serial.decode()

    def _learn(self, text: str) -> None:
        if found := _LABELS.fullmatch(text):
            self._labels = tuple(found[1].split("|"))
        elif found := _CHANNELS.fullmatch(text):
            self._listed = tuple(re.findall(r"\(([^()|]{0,16})\)", found[1]))
        elif found := _CHANNEL.fullmatch(text):
            for channel in found[2].split("||"):
                pairs = _pairs(channel)
                label = pairs.get("label", found[1])
                if "userunits" in pairs and re.fullmatch(_LABEL, label) and len(self._units) < 64:
                    self._units[label] = pairs["userunits"]
        elif (found := _CALIBRATION.fullmatch(text)) and found[1] == "1":
            pairs = _pairs(found[2])
            coefficients = [_coefficient(pairs.get(f"c{i}", "")) for i in range(4)]
            self._coefficients = tuple(c for c in coefficients if c is not None)
        elif found := _IDENTITY.fullmatch(text):
            pairs = _pairs(found[1])
            names = {
                "model": "model",
                "serial": "serial",
                "sn": "serial",
                "version": "firmware",
                "fwversion": "firmware",
            }
            self._told |= {names[key]: value for key, value in pairs.items() if key in names}

    # --- many lines

    def _convert(self, rows: Sequence[Row]) -> Samples:
        form = rows[0].form
        assert isinstance(form, _Form)
        time = None
        if form.clock == "text":
            time = moments([row.values[0] for row in rows])
        elif form.clock == "milliseconds":
            time = np.array([int(row.values[0]) for row in rows], np.int64) * 1_000_000
        if form.counts:
            counts = np.array([int(row.values[1]) for row in rows], np.float64)
            c0, c1, c2, c3 = map(float, form.units)
            x = np.log(2.0**30 / counts - 1)
            with np.errstate(all="ignore"):  # what comes of wrong coefficients is then implausible
                kelvin = 1 / (c0 + x * (c1 + x * (c2 + x * c3)))
            value = Value("sea_water_temperature", 1e-5)
            schema = _schema((value,))
            return Samples(schema, time, {value.name: np.round(kelvin - 273.15, 5)}, {})
        values = _values(form.labels, form.units, form.step, self._named)
        if form.battery:
            values = (*values, Value("battery_voltage", 1e-6))
        found, reasons = columns(values, [row.values[1:] for row in rows], Missing.NOT_GIVEN)
        return Samples(_schema(values), time, found, reasons)

    def _is_whole(self, data: bytes) -> bool:
        return _GEN4_WITH_CRC.fullmatch(data) is not None or (
            _CONVERSATION.fullmatch(data) is not None and _BEGINS_AS_SAMPLE.match(data) is None
        )


_GEN4_WITH_CRC = re.compile(rb".* 0x[0-9A-F]{4}")


_LEVELS = {"sea_water_pressure", "sea_water_pressure_due_to_sea_water", "depth"}


@lru_cache(maxsize=64)
def _schema(values: tuple[Value, ...]) -> Schema:
    fields = tuple(value.field() for value in values if value.name)
    names = {f.name for f in fields}
    is_ctd = any("conductivity" in name or "salinity" in name for name in names)
    return Schema("tide_gauge" if not is_ctd and names & _LEVELS else "ctd", fields)


def _step(tokens: Sequence[bytes]) -> float:
    """The resolution of the format that prints these values; 0 where they are of none, or none is a number."""
    numbers = [token for token in tokens if b"." in token]
    engineering = [b"e" in number.lower() for number in numbers]
    if any(engineering):
        return 1e-9 if all(engineering) else 0.0
    decimals = {len(number) - number.index(b".") - 1 for number in numbers}
    if decimals == {4}:
        return 1e-4
    if numbers and all(sum(chr(c).isdigit() for c in number) >= 8 for number in numbers):
        return 1e-9
    return 0.0


def _plain(token: bytes) -> bytes:
    return token if b"." in token else INVALID


def _pairs(text: str) -> dict[str, str]:
    """`a = b, c = d`, and Gen4's `a=b c=d`."""
    return dict(re.findall(r"(\w{1,40}) ?= ?([^\s,|]{1,64})", text))


def _coefficient(text: str) -> float | None:
    """`9.9876543e+000`, or eight hexadecimal digits of a big-endian float (RBRsolo)."""
    if re.fullmatch(r"[0-9A-Fa-f]{8}", text):
        return float(unpack(">f", bytes.fromhex(text))[0])
    return float(text) if re.fullmatch(r"[-+]?\d{1,9}(?:\.\d{1,15})?(?:[eE][-+]?\d{1,3})?", text) else None
