"""An instrument that says numbered lines, and its driver, which can be made to fail."""

import os
import tty
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from drivers.driver import Decoded, Driver, DriverSettings, problem
from drivers.lines import Lines
from tests.gateway.samples import LEVEL
from tidegate.clock import Arrival, TimeSource
from tidegate.frame import Frame, Schema

NAME = LEVEL.fields[0].name


class Counting(Driver):
    """Each line is a whole number. `!` is a bug in the driver; anything else is a Problem."""

    manufacturer = "Nobody"
    models = ("none",)
    title = "numbered lines"

    class Settings(DriverSettings):
        polled: bool = False
        bad_start: bool = False
        bad_poll: bool = False

    settings: Settings

    def __init__(self, instrument: str, settings: DriverSettings | None = None) -> None:
        super().__init__(instrument, settings)
        self._lines = Lines()

    def schemas(self) -> Sequence[Schema]:
        return (LEVEL,)

    def start(self) -> bytes:
        return b"SETUP %d\r" % (1 // (not self.settings.bad_start))

    def poll(self) -> bytes:
        if self.settings.bad_poll:
            raise KeyError("poll")
        return b"?\r" if self.settings.polled else b""

    def description(self) -> Mapping[str, Any]:
        return {"manufacturer": self.manufacturer, "serial": str([1][self.settings.bad_start])}

    def feed(self, data: bytes, at: Arrival) -> list[Decoded]:
        lines, found = self._lines.feed(data, at)
        decoded: list[Decoded] = list(found)
        for line in lines:
            if b"!" in line.data:
                raise RuntimeError(f"no idea what {line.data!r} is")
            if line.data.isdigit():
                time = np.array([line.arrival.utc_ns])
                values = {NAME: np.array([int(line.data) / 1000])}
                decoded.append(Frame(self.instrument, LEVEL, time, values, TimeSource.ARRIVAL, line.arrival))
            else:
                decoded.append(problem("syntax", "no number", line.offset, line.data, line.arrival))
        return decoded

    def finish(self) -> list[Decoded]:
        rest = self._lines.finish()
        return [problem("truncated", "cut off", rest.offset, rest.data, rest.arrival)] if rest else []


def numbers(frames: Sequence[Frame]) -> list[int]:
    """What the lines said."""
    return [round(float(v) * 1000) for frame in frames for v in frame.columns[NAME]]


def sentence(body: bytes) -> bytes:
    """An NMEA sentence."""
    return b"$%s*%02X\r\n" % (body, int(np.bitwise_xor.reduce(np.frombuffer(body, np.uint8))))


class Pty:
    """The instrument's end of a serial line, behind a link with a stable name."""

    def __init__(self, link: Path) -> None:
        self.link = link
        self.plug_in()

    def plug_in(self) -> None:
        """Gives it a device."""
        self.master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(self.master, False)
        self.link.unlink(missing_ok=True)
        self.link.symlink_to(os.ttyname(slave))
        os.close(slave)

    def unplug(self) -> None:
        """Takes the device away."""
        self.link.unlink()
        os.close(self.master)

    def say(self, data: bytes) -> None:
        """Puts bytes on the line."""
        os.write(self.master, data)

    def heard(self) -> bytes:
        """What has come from the other side."""
        try:
            return os.read(self.master, 65536)
        except OSError:  # nothing, or nobody has it open
            return b""
