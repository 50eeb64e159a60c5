"""Any instrument that a pattern tells of, simulated: the pattern's lines, spoken instead of read.

A pattern is enough to speak as the instrument does: literal text as it stands, each value with as many decimals as it
prints, words of `choices`, dates in their form, the checksum computed. What a station usually measures is as the
simulated `sea` has it; any other value is drawn within what is plausible. The records of a pattern take turns, and so
do the variants of each. Each interval is one line.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import reduce
from operator import xor
from typing import Any

import numpy as np

from drivers.ascii_pattern import AsciiPattern, Settings
from drivers.pattern import MONTHS, Checksum, FieldSpec, Form, closing
from drivers.simulators.simulator import Said, Simulator, wrong_digits
from drivers.simulators.station import measured
from tidegate.vocabulary import PARAMETERS

_NS = 1_000_000_000
_DIGIT = re.compile(rb"[0-9A-F]")


def _checksum(checksum: Checksum, covered: bytes) -> int:
    """By the textbook, byte for byte: another way than the driver's."""
    if checksum.kind == "xor":
        return reduce(xor, covered, 0)
    if checksum.kind.startswith("crc16"):
        reflected = checksum.kind == "crc16_modbus"
        crc = 0xFFFF
        for octet in covered:
            crc ^= octet if reflected else octet << 8
            for _ in range(8):
                if reflected:
                    crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
                else:
                    crc = (crc << 1 ^ (0x1021 if crc & 0x8000 else 0)) & 0xFFFF
        return crc
    modulo = checksum.modulo or (256 if checksum.written == "hex" or checksum.kind == "negative_sum" else 1 << 32)
    return (-sum(covered) if checksum.kind == "negative_sum" else sum(covered)) % modulo


@dataclass
class AsciiSimulator(Simulator):
    """An instrument with the settings of driver `ascii`, as in its table: `pattern` and the rest. `polled`: it speaks
    only when its `poll` is heard."""

    drivers = (("ascii",),)
    spoils = "each value (in the vocabulary's unit)"

    pattern: str = "tsg"
    settings: dict[str, Any] = field(default_factory=dict)
    polled: bool = False

    def __post_init__(self) -> None:
        self._driver = AsciiPattern("simulated", Settings.model_validate({"pattern": self.pattern, **self.settings}))
        self.resolved = self._driver.resolved
        self._random = np.random.default_rng(self.seed)
        self._due_ns: int | None = None
        self._sample = 0
        self._heard = b""
        self._checksums: list[int] = []  # where the last digits of those in the last utterance are

    def tick(self, now_ns: int) -> bytes:
        """A line where one is due."""
        self._checksums = []
        if self.polled or not self.speaking:
            return b""
        if self._due_ns is None:
            self._due_ns = now_ns
        if now_ns < self._due_ns:
            return b""
        self._due_ns = max(self._due_ns + round(self.interval_s * _NS), now_ns - _NS)
        return self._line(now_ns)

    def receive(self, data: bytes, now_ns: int) -> bytes:
        """A line for each `poll` in what came in."""
        self._checksums = []
        asked = self._driver.poll()
        if not (self.polled and asked):
            return b""
        self._heard += data
        times, self._heard = self._heard.count(asked), self._heard[-4096:]
        self._heard = self._heard.rpartition(asked)[2]
        said = b""
        for _ in range(times):
            before = len(self._checksums)
            line = self._line(now_ns)
            self._checksums[before:] = [len(said) + place for place in self._checksums[before:]]
            said += line
        return said

    def falsifier(self) -> Callable[[bytes], bytes] | None:
        """Of a pattern whose records bear checksums."""
        if all(record.checksum is None for record in self.resolved.pattern.records):
            return None
        return self._falsified

    def _falsified(self, said: bytes) -> bytes:
        changed = bytearray(said)
        for place in self._checksums:
            changed[place : place + 1] = wrong_digits(said[place : place + 1], _DIGIT)
        return bytes(changed)

    def _line(self, now_ns: int) -> bytes:
        number = self._sample % len(self.resolved.forms)
        forms = self.resolved.forms[number]
        form = forms[self._sample // len(self.resolved.forms) % len(forms)]
        record = self.resolved.pattern.records[number]
        speaker = _Speaker(self, form, now_ns)
        line = speaker.said(form.tokens)
        if record.checksum is not None:
            covered = line[speaker.begin or 0 : speaker.end if speaker.end is not None else speaker.checksum]
            value = _checksum(record.checksum, covered.encode("latin-1"))
            wide = 4 if record.checksum.kind.startswith("crc") else 2
            text = f"{value:0{wide}X}" if record.checksum.written == "hex" else str(value)
            self._checksums.append(speaker.checksum + len(text) - 1)
            line = line[: speaker.checksum] + text + line[speaker.checksum :]
        _, fields = self.resolved.schemas[number]
        values = {f.name: speaker.values.get(name) for name, f in fields.items()}
        time_ns = speaker.time_ns if form.timed else None
        self.said.append(Said(now_ns, time_ns, values, speaker.mischief))
        self._sample += 1
        return line.encode("latin-1") + b"\r\n"

    def value(self, name: str, now_ns: int) -> tuple[float, str]:
        """(a field's value in the vocabulary's unit, the fault that was done to it)."""
        spec = self.resolved.spec(name, "")
        parameter = spec.parameter or name
        value = measured(self.sea, parameter, now_ns / _NS, self._random)
        return self._spoil(self._sample, value, now_ns, name)

    def uniform(self) -> float:
        """From 0 to 1."""
        return float(self._random.uniform())


class _Speaker:
    """Says one line."""

    def __init__(self, simulator: AsciiSimulator, form: Form, now_ns: int) -> None:
        self._simulator, self._form, self._now_ns = simulator, form, now_ns
        self._resolved = simulator.resolved
        self.values: dict[str, Any] = {}
        self.time_ns = 0
        self.mischief = ""
        self.begin: int | None = None
        self.end: int | None = None
        self.checksum = 0
        ahead_ns = round(self._resolved.pattern.utc_offset_h * 3600) * _NS
        self._shown_ns = simulator._shows_ns(now_ns)
        self._local_ns = self._shown_ns + ahead_ns
        self._fine_ns = _NS  # what of the time is printed

    def said(self, tokens: list[tuple[str, str]]) -> str:
        """The line, without its checksum."""
        line = self._sequence(tokens, "", 0)
        self.time_ns = self._shown_ns // self._fine_ns * self._fine_ns
        return line

    def _sequence(self, tokens: list[tuple[str, str]], line: str, cell: int) -> str:
        i = 0
        while i < len(tokens):
            kind, token = tokens[i]
            if kind == "bracket":
                end = closing(tokens, i)
                inner = tokens[i + 1 : end]
                if token == "<":
                    for k in range(1, self._form.cell_count + 1):
                        line = self._sequence(inner, line, k)
                elif self._simulator.uniform() < 0.8:
                    line = self._sequence(inner, line, cell)
                i = end
            elif kind == "place":
                line += self._place(token, len(line), cell)
            else:
                line += token if kind == "text" else " "
            i += 1
        return line

    def _place(self, name: str, place: int, cell: int) -> str:
        if name == "<":
            self.begin = place
        elif name == ">":
            self.end = place
        elif name == "checksum":
            self.checksum = place
        elif name == "_":
            return "X"
        else:
            spec = self._resolved.spec(name, "")
            if spec.time is not None:
                return self._time(spec.time)
            text, value = self._value(name, spec)
            if not spec.ignored:
                if cell:
                    self.values.setdefault(name, []).append(value)
                else:
                    self.values[name] = value
            return text
        return ""

    def _value(self, name: str, spec: FieldSpec) -> tuple[str, Any]:
        missing = self._resolved.missing(name)
        if missing and not spec.ignored and self._simulator.uniform() < 0.1:
            return missing[-1].replace("#", "14"), None
        if spec.choices is not None:
            word = list(spec.choices)[int(self._simulator.uniform() * len(spec.choices))]
            return word, spec.choices[word]
        if spec.ignored:
            most = self._resolved.decimals(name)[1]
            return f"{100 * self._simulator.uniform():.{most}f}", None
        factor, offset = self._resolved.linear(name)
        value, fault = self._simulator.value(name, self._now_ns)
        self.mischief = self.mischief or fault
        printed = (value - offset) / factor
        if spec.hexadecimal:
            text = f"{max(0, round(printed)):X}"
            printed = float(int(text, 16))
        else:
            text = f"{printed:.7G}" if spec.scientific else f"{printed:.{self._resolved.decimals(name)[1]}f}"
            printed = float(text)
        column = self._resolved.field(name, profile=False)
        rounded = round(printed * factor + offset, column.decimals) + 0.0
        known = PARAMETERS.get(column.name)
        if known is not None and not known.plausible[0] <= rounded <= known.plausible[1]:
            return text, None
        return text, int(rounded) if column.integer else rounded

    def _time(self, form: str) -> str:
        seconds, ns = divmod(self._local_ns, _NS)
        at = datetime.fromtimestamp(seconds, UTC)
        day_ns = self._local_ns % (86400 * _NS)
        parts = {
            "%Y": f"{at.year:04}",
            "%y": f"{at.year % 100:02}",
            "%m": f"{at.month:02}",
            "%d": f"{at.day:02}",
            "%b": MONTHS[at.month - 1],
            "%H": f"{at.hour:02}",
            "%M": f"{at.minute:02}",
            "%S": f"{at.second:02}",
            "%j": f"{at.timetuple().tm_yday:03}",
            "%J": f"{at.timetuple().tm_yday:03}.{day_ns * 100_000 // (86400 * _NS):05}",
            "%f": f"{ns // 1_000_000:03}",
            "%F": f".{ns // 1_000_000:03}",
            "%E": f"{seconds}",
            "%K": f"{seconds - 946_684_800}",
            "%%": "%",
        }
        if "%f" in form.replace("F", "f"):
            self._fine_ns = min(self._fine_ns, 1_000_000)
        if "%J" in form:
            self._fine_ns = 864_000_000
        for directive, text in parts.items():
            form = form.replace(directive, text)
        return form
