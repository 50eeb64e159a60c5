"""What instrument is on this port? Listens, with one line setting after the other, and asks where nobody speaks.

Theory of operation. Most instruments speak unasked, at a speed that is not known. So each line setting that any driver
names is listened to for some seconds, the likeliest first, and what is heard is given to all drivers
(`gateway.recognise`). Bytes that no driver knows and that are no text are those of another speed. Where nothing is
heard, the drivers that have this setting hail the instrument: a harmless question each, and what comes since is given
to all drivers. Lines that a driver half knows, as they lack only what the instrument can tell, are hailed too, and
where two drivers read a line equally well, these two tell it apart by hailing.

Nothing else is ever sent, and each hail that was is told. Modbus slaves are looked for by `gateway.modbus_scan`.
"""

import asyncio
import math
import time
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from drivers.driver import Driver, DriverSettings
from gateway.config import ModbusRtuPort, ModbusTcpPort, Port, SerialPort, TcpPort, UdpPort
from gateway.found import Found, PortUnusable, Tell, silent
from gateway.guard import Guarded
from gateway.modbus_scan import scan
from gateway.ports import stable_name, with_line
from gateway.recognise import ENOUGH, Guess, guesses, half_known, installed
from gateway.talk import shown
from gateway.texture import texture, unknown
from gateway.transports import Data, Gone, Transport, open_transport
from tidegate.clock import NAT, Arrival
from tidegate.frame import Frame

LISTEN_S = 3.0
SURE = 0.8
"""A guess of this confidence, two good records, ends a listening that is longer than usual."""
_SPAN = 0.03
"""Guesses that are no further apart are equally good."""
_LOOK_EVERY_S = 0.3
_MOST_BYTES = 1 << 15
"""By so many of the newest bytes an instrument is recognised."""
_ANSWER_S = 1.2
"""So long an answer to a hail may take to begin."""
_PAUSE_S = 0.5
"""Such a pause ends an answer."""
_ANSWERING_S = 6.0
_ANSWERING_AMID_S = 2.5
"""So long at most an answer is listened to, of an instrument that is silent else, and of one that speaks unasked."""
_OPEN_S = 12.0

Pieces = list[tuple[bytes, Arrival]]


async def probe(port: Port, *, listen_s: float = LISTEN_S, tell: Tell = silent, now: Tell = silent) -> list[Found]:
    """What is on `port`, likeliest first; empty where nothing was recognised.

    Of a serial port or bus only the device counts: its other settings are what is looked for. `tell` gets a line for
    each thing that was tried, `now` what is going on at the moment. Raises `PortUnusable`.
    """
    if isinstance(port, ModbusTcpPort | ModbusRtuPort):
        return [found for device in await scan(port, tell=tell, now=now) for found in device.found]
    return await _Probe(listen_s, tell, now).run(port)


# ---- line settings and hails -----------------------------------------------------------------------------------------


def line_settings() -> list[str]:
    """Every setting of a serial line that a driver names, such as `9600 8N1`, likeliest first."""
    votes: dict[str, float] = {}
    for cls in _talkers("serial").values():
        for rank, line in enumerate(cls.lines):
            votes[line] = votes.get(line, 0.0) + 1 / (1 + rank) ** 2
    return sorted(votes, key=lambda line: -votes[line])


def _talkers(kind: str) -> Mapping[str, type[Driver]]:
    return {name: cls for name, cls in installed().items() if kind in cls.transports}


def hails(names: Iterable[str], line: str | None) -> list[bytes]:
    """The hails of these drivers that have this line setting among theirs, likeliest first; each question once."""
    drivers = [cls for name in names if (cls := installed()[name]).hail() and (line is None or line in cls.lines)]
    asked = {cls.hail() for cls in drivers}
    asked = {hail for hail in asked if not any(hail != other and hail in other for other in asked)}
    # Each driver whose question this is, or is part of this, votes for it, by how usual the setting is for it.
    votes = {h: sum(1 / (1 + (c.lines.index(line) if line else 0)) for c in drivers if c.hail() in h) for h in asked}
    return sorted(asked, key=lambda hail: (-votes[hail], hail))


# ---- one port --------------------------------------------------------------------------------------------------------


class _Ear:
    """An open port, and what was heard on it."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.pieces: Pieces = []

    async def open(self) -> None:
        """Raises `PortUnusable`."""
        until_s = time.monotonic() + _OPEN_S
        while not self._transport.opened:
            if time.monotonic() > until_s:
                raise PortUnusable(f"{self._transport.name} does not open: {self._transport.reason or 'no answer'}")
            await self.hear(_PAUSE_S)

    async def hear(self, wait_s: float) -> bool:
        """Whether something came within `wait_s`. Raises `PortUnusable`."""
        match await self._transport.read(wait_s):
            case Data(data=data, at=at):
                self.pieces.append((data, at))
                while sum(len(piece) for piece, _ in self.pieces[1:]) > _MOST_BYTES:
                    del self.pieces[0]
                return True
            case Gone(reason=reason):
                raise PortUnusable(reason)
        return False

    async def ask(self, hail: bytes, at_most_s: float) -> Pieces:
        """What came since the hail was sent."""
        self.pieces = []
        await self._transport.write(hail)
        until_s, quiet_s = time.monotonic() + at_most_s, _ANSWER_S
        while time.monotonic() < until_s and await self.hear(quiet_s):
            quiet_s = _PAUSE_S
        return list(self.pieces)

    async def close(self) -> None:
        """Lets go of the port."""
        await self._transport.close()


class _Probe:
    """The course of one probe."""

    def __init__(self, listen_s: float, tell: Tell, now: Tell) -> None:
        self._listen_s, self._tell, self._now = listen_s, tell, now
        self._heard: dict[str, Pieces] = {}

    async def run(self, port: SerialPort | TcpPort | UdpPort) -> list[Found]:
        lines = line_settings() if isinstance(port, SerialPort) else []
        if not isinstance(port, SerialPort) and (found := await self._line(port, None)):
            return found
        while isinstance(port, SerialPort) and lines:
            line = lines.pop(0)
            if found := await self._line(with_line(port, line), line):
                return found
            heard = b"".join(data for data, _ in self._heard.get(line, ()))
            if texture(heard).text:
                break  # the speed is right, so no other one is
            if texture(bytes(byte & 0x7F for byte in heard)).text:  # text, and a parity bit above it
                baud = line.split()[0]
                lines.sort(key=lambda other: other.split()[0] != baud)
        self._conclude(port)
        return []

    async def _line(self, port: Port, line: str | None) -> list[Found]:
        transport = open_transport(port)
        name = line or transport.name
        ear = _Ear(transport)
        names = list(_talkers(port.kind))
        try:
            await ear.open()
            self._now(f"{name}: listening")
            by_ear = await self._listen(ear, names)
            unasked = list(ear.pieces)
            if unasked:
                self._heard[name] = unasked
            rivals = {guess.driver for guess in by_ear if guess.confidence > by_ear[0].confidence - _SPAN}
            if len(rivals) == 1 and by_ear[0].samples:
                self._tell(f"{name}: {_amount(unasked)}: recognised")
                return _found(port, by_ear, by_ear, [], unasked)
            self._tell(f"{name}: {_amount(unasked)}" + (f": {' or '.join(sorted(rivals))}" if rivals else ""))
            return await self._ask(ear, port, name, by_ear, rivals or names)
        finally:
            await ear.close()

    async def _listen(self, ear: _Ear, names: Sequence[str]) -> list[Guess]:
        """Until somebody is recognised for sure, or the time is over: counted anew from the first byte on."""
        end_s = time.monotonic() + self._listen_s
        enough_s = float("inf")
        looked_s, new, found = float("-inf"), False, list[Guess]()
        while (now_s := time.monotonic()) < end_s:
            first = not ear.pieces
            if await ear.hear(min(end_s - now_s, _LOOK_EVERY_S)):
                new = True
                if first:
                    end_s = time.monotonic() + self._listen_s
                    enough_s = time.monotonic() + min(self._listen_s, LISTEN_S)
            if new and time.monotonic() - looked_s >= _LOOK_EVERY_S:
                found, new = await asyncio.to_thread(guesses, list(ear.pieces), names), False
                looked_s = time.monotonic()
                sure = found and found[0].confidence >= SURE and interval_s(found[0].frames) is not None
                if sure and looked_s >= enough_s:
                    break
        if new:
            found = await asyncio.to_thread(guesses, list(ear.pieces), names)
        return [guess for guess in found if guess.confidence >= ENOUGH]

    async def _ask(
        self, ear: _Ear, port: Port, name: str, by_ear: list[Guess], candidates: Iterable[str]
    ) -> list[Found]:
        """Hails whoever may be there, and looks at what is answered."""
        unasked = list(ear.pieces)
        said = b"".join(data for data, _ in unasked)
        if isinstance(port, UdpPort) or (said and not by_ear and not texture(said).text):
            return _found(port, by_ear, by_ear, [], unasked)
        names = list(_talkers(port.kind))
        if said and not by_ear:
            candidates = await asyncio.to_thread(half_known, unasked, names)
        questions = hails(candidates, name if isinstance(port, SerialPort) else None)
        asked: list[bytes] = []
        awake = bool(said)
        while questions:
            asked.append(hail := questions.pop(0))
            self._now(f"{name}: asking {shown(hail)}")
            answer = await ear.ask(hail, _ANSWERING_AMID_S if said else _ANSWERING_S)
            # A driver that knows the answer may understand what was said before it.
            found = await asyncio.to_thread(guesses, [*answer, *unasked], names) if answer else []
            found = [guess for guess in found if guess.confidence >= ENOUGH and (guess.told or not by_ear)]
            self._tell(f"{name}: sent {shown(hail)}: {_amount(answer)}" + (": recognised" if found else ""))
            if found:
                return _found(port, found, by_ear, answer, unasked)
            if answer and not said:
                self._heard[name] = answer
            if answer and not awake:
                awake = True
                questions += asked  # the first may only have waked it
        return _found(port, by_ear, by_ear, [], unasked)

    def _conclude(self, port: Port) -> None:
        """Says what was heard where nothing was recognised."""
        if not self._heard:
            self._tell("Nothing was heard" + ("." if isinstance(port, UdpPort) else ", and nobody answered."))
            for line in _SILENCE[port.kind]:
                self._tell(line)
            return
        line, pieces = max(self._heard.items(), key=lambda entry: texture(b"".join(d for d, _ in entry[1])).printable)
        seconds = (pieces[-1][1].monotonic_ns - pieces[0][1].monotonic_ns) / 1e9
        said, *more = unknown(b"".join(data for data, _ in pieces), seconds)
        for sentence in (f"No driver recognises it. {line}: {said}", *more):
            self._tell(sentence)


_SLOW = f"It may speak less often than every {LISTEN_S:g} s: --listen-s 70 listens longer."
_SILENCE = {
    "serial": (
        "Is it switched on? Are its send and our receive line joined (else a null-modem adapter), and ground?",
        _SLOW,
        "A Modbus instrument speaks only when its registers are read: --modbus.",
    ),
    "tcp": (
        "Is the instrument behind it switched on, and the serial server's line set as the instrument's?",
        _SLOW,
        "A Modbus/TCP instrument speaks only when its registers are read: --modbus.",
    ),
    "udp": (
        "Is it sent to this computer (or broadcast) and to this port, and does no firewall drop it? "
        "`sudo tcpdump -n udp` shows what arrives.",
        _SLOW,
    ),
}


def _amount(pieces: Pieces) -> str:
    size = sum(len(data) for data, _ in pieces)
    return f"{size} bytes" if size else "silence"


# ---- from guesses to what is found -----------------------------------------------------------------------------------


def _found(port: Port, best: Sequence[Guess], by_ear: Sequence[Guess], answer: Pieces, unasked: Pieces) -> list[Found]:
    """Each driver's best guess. `by_ear` are those made of what was said unasked alone."""
    if isinstance(port, SerialPort):
        port = port.model_copy(update={"serial": stable_name(port.serial)})
    heard = {guess.driver for guess in by_ear}
    out: dict[str, Found] = {}
    for guess in best:
        if guess.driver in out:
            continue
        speaking = _knowing(guess, answer, unasked)
        settings = guess.settings
        if guess.samples and guess.driver not in heard:
            settings = in_asking_mode(guess.driver, settings, speaks=bool(speaking))
        every_s, frames, problems = interval_s(speaking), tuple(guess.frames), tuple(guess.problems)
        out[guess.driver] = Found(port, guess.driver, settings, guess.confidence, every_s, frames, problems, guess.told)
    return list(out.values())


def _knowing(guess: Guess, answer: Pieces, unasked: Pieces) -> list[Frame]:
    """The samples among what was said unasked, as a driver reads them that knows the answer."""
    driver = Guarded(installed()[guess.driver](guess.driver, guess.settings))
    driver.feed_all(answer)
    return [item for item in [*driver.feed_all(unasked), *driver.finish()] if isinstance(item, Frame)]


def in_asking_mode(name: str, settings: DriverSettings, *, speaks: bool) -> DriverSettings:
    """The settings in the mode in which the gateway asks by itself: for each sample, or, of an instrument that speaks
    unasked, once when the port opens. As they are where the driver has no such mode."""
    cls = installed()[name]
    mode = cls.Settings.model_fields.get("mode")
    modes = typing.get_args(mode.annotation) if mode else ()
    for candidate in (settings, *(settings.model_copy(update={"mode": other}) for other in modes)):
        driver = cls(name, candidate)
        if (driver.start() and not driver.poll()) if speaks else driver.poll():
            return candidate
    return settings


def interval_s(frames: Sequence[Frame]) -> float | None:
    """How far apart samples are, the slowest kind of them; None where none came twice. A value within a tenth of one
    that instruments are set to is taken for that."""
    times: dict[bytes, list[Any]] = {}
    for frame in frames:
        times.setdefault(frame.schema.id, []).append(frame.time[frame.time != NAT])
    steps = []
    for parts in times.values():
        apart = np.diff(np.sort(np.concatenate(parts))) / 1e9
        if len(apart) and apart.max() > _TOGETHER_S:
            # Samples that arrived together, or within a second of a clock that counts seconds, are not at one time.
            # A sample that was missed makes a step longer, nothing makes it shorter: of two middle ones the lesser.
            middle = np.sort(apart)[(len(apart) - 1) // 2]
            steps.append(float(middle if apart.min() > _TOGETHER_S else apart.mean()))
    if not steps:
        return None
    found = max(steps)
    usual = min(_USUAL_S, key=lambda s: abs(math.log(s / found)))
    return usual if abs(found / usual - 1) <= 0.1 else float(f"{found:.2g}")


_TOGETHER_S = 0.002
_USUAL_S = (0.02, 0.05, 0.1, 0.125, 0.2, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 10.0, 12.0, 15.0, 20.0, 30.0, 60.0)
