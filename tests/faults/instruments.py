"""Simulated instruments on pseudo-terminals, in a thread of the rig, each with its ledger, under the rig's control.

The product's own simulators speak (`drivers.simulators`); the rig has their lines in its hand: it unplugs them and
brings them back under another number, garbles, cuts and glues what goes over them. A sample is in the ledger once its
last byte was taken by the terminal; where a fault of the line may have cost it, it is marked `doubtful`: it may be
missing at the hub, but must not be there with other values.
"""

import contextlib
import os
import select
import threading
import tty
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import xor
from pathlib import Path
from random import Random
from typing import Any

from drivers.simulators.simulator import Said, Simulator
from gateway.modbus_server import ModbusServer
from tests.faults.controlled_clock import Clock

_TICK_S = 0.005
_READ = 4096


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample that an instrument said, or that a recording holds; `time_ns` is None where it has no time of its
    own."""

    at_ns: int
    time_ns: int | None
    values: Mapping[str, Any]
    doubtful: bool = False


COUNTING = """
driver = "ascii"
interval_s = 1.0
settings.pattern.title = "Numbered lines"
settings.pattern.records = [{ line = "#{count},{level}*{checksum}", checksum = { kind = "xor" } }]
settings.pattern.fields.count = { parameter = "lines_said", label = "Lines", unit = "1", decimals = 0 }
settings.pattern.fields.level = { parameter = "water_surface_height_above_reference_datum", decimals = 3 }
"""
"""The configuration of a gateway that reads `Counting`, but for its port."""


@dataclass
class Counting(Simulator):
    """Numbered lines with a checksum, `burst` of them each `interval_s`: which one is missing, or twice, is plain."""

    burst: int = 1

    def __post_init__(self) -> None:
        self._count = 0
        self._due_ns: int | None = None

    def tick(self, now_ns: int) -> bytes:
        """The lines that are due; after a silence only those of now."""
        step_ns = round(self.interval_s * 1e9)
        if self._due_ns is None or now_ns - self._due_ns > 20 * step_ns:
            self._due_ns = now_ns
        if now_ns < self._due_ns or not self.speaking:
            return b""
        self._due_ns += step_ns
        return b"".join(self._line(now_ns) for _ in range(self.burst))

    def _line(self, now_ns: int) -> bytes:
        self._count += 1
        level = (self._count % 180_000) / 1000 - 90
        body = f"#{self._count},{level:.3f}*".encode()
        values = {"lines_said": self._count, "water_surface_height_above_reference_datum": round(level, 3)}
        self.said.append(Said(now_ns, None, values))
        return body + b"%02X\r\n" % reduce(xor, body, 0)


Fault = Callable[[bytes, Random], tuple[bytes, bool, bool]]
"""What the line makes of an utterance: (the bytes, whether its own samples may be lost, whether the next ones may)."""


@dataclass(slots=True)
class _Piece:
    data: memoryview
    samples: list[Sample]


class Instrument:
    """One instrument, or a Modbus bus, behind the link `link`."""

    def __init__(self, simulator: Simulator | ModbusServer, link: Path, seed: int) -> None:
        self.simulator = simulator
        self.link = link
        self.ledger: list[Sample] = []
        self.fault: Fault | None = None
        self.answers: Fault | None = None
        """What the line makes of answers, where that is something else."""
        self.crumbs = False
        """Whether bytes go out in pieces of any size."""
        self.mute = False
        self.heard = bytearray()
        """What came from the other side."""
        self._random = Random(seed)
        self._pending: deque[_Piece] = deque()
        self._spoilt = False
        self._master: int | None = None
        self._poll = select.poll()
        self.plug()

    def plug(self) -> None:
        """Connects it: a new pseudo-terminal, and the link points to it."""
        master, slave = os.openpty()
        tty.setraw(slave)
        device = os.ttyname(slave)
        os.close(slave)
        os.set_blocking(master, False)
        self._poll = select.poll()
        self._poll.register(master, select.POLLIN)
        self.link.parent.mkdir(parents=True, exist_ok=True)
        made = self.link.with_name(f".{self.link.name}.new")
        made.unlink(missing_ok=True)
        made.symlink_to(device)
        os.replace(made, self.link)
        self.device, self._master = device, master

    def unplug(self) -> None:
        """Disconnects it, in the middle of whatever it is saying."""
        if self._master is not None:
            self.link.unlink(missing_ok=True)
            os.close(self._master)
            self._master = None
            self._pending.clear()  # it speaks on into the void; these samples were never said to anyone

    def say(self, data: bytes) -> None:
        """Puts other bytes than its own on the line; the sample that they meet may be lost."""
        self._pending.append(_Piece(memoryview(data), []))
        self._spoilt = True

    def step(self, now_ns: int) -> None:
        """Hears, and speaks if somebody has its port open."""
        if self._master is None:
            return
        events = [event for _, event in self._poll.poll(0)]
        if any(event & select.POLLHUP for event in events):
            return
        if events:
            try:
                asked = os.read(self._master, _READ)
            except OSError:
                asked = b""
            if asked:
                self.heard += asked
                self._utter(self.simulator.receive(asked, now_ns), self.answers or self.fault)
        self._utter(self.simulator.tick(now_ns), self.fault)
        while self._pending:
            piece = self._pending[0]
            most = self._random.randint(1, 48) if self.crumbs else len(piece.data)
            try:
                taken = os.write(self._master, piece.data[:most])
            except OSError:  # full, or closed a moment ago
                return
            piece.data = piece.data[taken:]
            if piece.data:
                return
            self._pending.popleft()
            self.ledger += piece.samples

    def _utter(self, data: bytes, fault: Fault | None) -> None:
        said = self.simulator.take_said()
        if not data or self.mute:
            return
        doubtful, self._spoilt = self._spoilt, False
        if fault is not None:
            data, own, self._spoilt = fault(data, self._random)
            doubtful = doubtful or own
        samples = [Sample(one.at_ns, one.time_ns, dict(one.values), doubtful) for one in said]
        if data:
            self._pending.append(_Piece(memoryview(data), samples))


@dataclass
class Quay:
    """All instruments of a scenario, and the thread that they run in. A context manager."""

    clock: Clock
    instruments: dict[str, Instrument] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Hold it while an instrument is touched."""

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="instruments", daemon=True)
        self._failure: Exception | None = None

    def __enter__(self) -> "Quay":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(5.0)
        for one in self.instruments.values():
            with contextlib.suppress(OSError):
                one.unplug()
        if self._failure is not None:
            raise self._failure

    def add(self, name: str, simulator: Simulator | ModbusServer, link: Path, seed: int = 0) -> Instrument:
        """One more instrument."""
        with self.lock:
            self.instruments[name] = Instrument(simulator, link, seed)
            return self.instruments[name]

    def fall_silent(self) -> None:
        """Nobody says anything unasked any more."""
        with self.lock:
            for one in self.instruments.values():
                one.simulator.speaking = False

    def _run(self) -> None:
        try:
            while not self._stop.wait(_TICK_S):
                with self.lock:
                    now_ns = self.clock.time_ns()
                    for one in self.instruments.values():
                        one.step(now_ns)
        except Exception as error:
            self._failure = error
