"""A simulated SDI-12 bus behind an adapter: the sensors of driver `sdi12`'s settings, each to the letter.

Each sensor answers `a!`, `aI!`, its own measurement (with CRC where it is asked so) and the pages of its values;
another address or a damaged command it leaves unanswered. A measurement takes `takes_s`; of one that is not concurrent
the sensor then says that it is done. A value is printed with as many decimals as its column has, within the seven
digits that SDI-12 allows. Values not asked for in time are lost, as is a measurement when another begins. A measurement
enters the ledger when the last of its values went out.
"""

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from drivers.sdi12 import Resolved, Settings
from drivers.simulators.simulator import Said, Simulator
from drivers.simulators.station import measured

_COMMAND = re.compile(rb"([0-9A-Za-z?])([A-Z][A-Z0-9]*)?!")
_LONGEST_PAGE = {False: 35, True: 75}  # of all values of one answer, whether concurrent


def _checked(text: bytes) -> bytes:
    """`text` with its CRC; bit by bit from the other end than the driver's."""
    value = 0
    for octet in text:
        reflected = int(f"{octet:08b}"[::-1], 2)
        value ^= reflected << 8
        for _ in range(8):
            value = (value << 1 ^ (0x8005 if value & 0x8000 else 0)) & 0xFFFF
    value = int(f"{value:016b}"[::-1], 2)
    return text + bytes([0x40 + value // 4096, 0x40 + value // 64 % 64, 0x40 + value % 64])


@dataclass
class _Taken:
    """The newest measurement of a sensor."""

    number: int
    ready_ns: int
    pages: list[bytes]
    said: Said
    given: int = 0


@dataclass
class Sdi12Simulator(Simulator):
    """A bus with `sensors`, as in the driver's settings. `echo`: the adapter hears its own commands."""

    drivers = (("sdi12",),)
    spoils = "each value (in the vocabulary's unit)"

    sensors: list[dict[str, Any]] = field(default_factory=lambda: [{"address": "0", "sensor": "campbell-cs475"}])
    takes_s: int = 1
    echo: bool = False

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)
        self._typed = b""
        self._taken: dict[str, _Taken] = {}
        self._ready: list[tuple[int, str]] = []  # who has still to say that it is done
        self._sample = 0

    @cached_property
    def wanted(self) -> list[Resolved]:
        """The measurements that can be asked for."""
        return [sensor.resolved for sensor in Settings.model_validate({"sensors": self.sensors}).sensors]

    def tick(self, now_ns: int) -> bytes:
        """The service requests that are due."""
        due = [address for ready_ns, address in self._ready if ready_ns <= now_ns]
        self._ready = [waiting for waiting in self._ready if waiting[0] > now_ns]
        return b"".join(address.encode() + b"\r\n" for address in due)

    def receive(self, data: bytes, now_ns: int) -> bytes:
        """What the sensors answer; each command is whole with its `!`."""
        said = b""
        for octet in data:
            self._typed = (self._typed + bytes([octet]))[-16:]
            if octet == 0x21:
                command, self._typed = self._typed, b""
                found = _COMMAND.search(command)
                said += (command if self.echo else b"") + (self._answer(found, now_ns) if found else b"")
        return said

    def _answer(self, command: re.Match[bytes], now_ns: int) -> bytes:
        address, words = command[1].decode(), (command[2] or b"").decode()
        addresses = {wanted.address for wanted in self.wanted}
        if address == "?" and len(addresses) == 1 and not words:
            (address,) = addresses
        if address not in addresses:
            return b""
        self._ready = [waiting for waiting in self._ready if waiting[1] != address]  # a command breaks it off
        if not words:
            return address.encode() + b"\r\n"
        if words == "I":
            return f"{address}14TIDEGATESIMULA100{ord(address):05}\r\n".encode()
        if words[0] == "D" and words[1:].isdigit():
            return self._page(address, int(words[1:]), now_ns)
        for number, wanted in enumerate(self.wanted):
            if (wanted.address, wanted.measurement) == (address, words):
                return self._measure(number, wanted, now_ns)
        return f"{address}0000\r\n".encode() if words[0] in "MV" else b""

    def _measure(self, number: int, wanted: Resolved, now_ns: int) -> bytes:
        printed: list[bytes] = []
        values: dict[str, Any] = {}
        mischief = ""
        for quantity in wanted.parameters:
            if quantity is None:
                printed.append(b"+0")
                continue
            if wanted.status is not None and wanted.status.parameter == quantity.parameter:
                printed.append(b"%+d" % wanted.status.good[0])
                values[quantity.parameter] = wanted.status.good[0]
                continue
            column = wanted.schema.by_name[quantity.parameter]
            factor, offset = quantity.linear()
            true = measured(self.sea, quantity.parameter, now_ns / 1e9, self._random)
            true, fault = self._spoil(self._sample, true, now_ns, quantity.parameter)
            mischief = mischief or fault
            raw = (true - offset) / factor
            whole = max(1, len(str(int(abs(raw)))))
            text = f"{raw:+.{0 if column.integer else min(max(column.decimals, 1), 7 - whole)}f}"
            printed.append(text.encode())
            value = round(float(text) * factor + offset, column.decimals)
            values[quantity.parameter] = int(value) if column.integer else value
        pages = [b""]
        for text_ in printed:
            if len(pages[-1]) + len(text_) > _LONGEST_PAGE[wanted.concurrent]:
                pages.append(b"")
            pages[-1] += text_
        self._sample += 1
        ready_ns = now_ns + self.takes_s * 1_000_000_000
        self._taken[wanted.address] = _Taken(number, ready_ns, pages, Said(now_ns, None, values, mischief))
        count = len(wanted.parameters)
        if wanted.concurrent:
            return f"{wanted.address}{self.takes_s:03}{count:02}\r\n".encode()
        if self.takes_s:
            self._ready.append((ready_ns, wanted.address))
        return f"{wanted.address}{self.takes_s:03}{count}\r\n".encode()

    def _page(self, address: str, page: int, now_ns: int) -> bytes:
        taken = self._taken.get(address)
        text = b""
        crc = False
        if taken is not None:
            crc = self.wanted[taken.number].has_crc
            if now_ns >= taken.ready_ns and page < len(taken.pages):
                text = taken.pages[page]
                if page == taken.given == len(taken.pages) - 1:
                    self.said.append(taken.said)
                taken.given = max(taken.given, page + 1)
        said = address.encode() + text
        return (_checked(said) if crc else said) + b"\r\n"
