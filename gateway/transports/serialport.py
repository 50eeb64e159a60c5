"""Serial lines, by pyserial for the settings of the port and the event loop for its bytes.

pyserial's own reads poll and time out; a descriptor that the event loop watches does neither, and tells the moment
of arrival. Two of pyserial's habits are undone: with VMIN = 0 a read of a quiet line and of an unplugged one both
give nothing (VMIN = 1 tells them apart), and it throws away what had arrived before the port was opened.
"""

import asyncio
import contextlib
import errno
import os
import termios

import serial

from gateway.config import SerialPort
from gateway.transports.transport import MOST_AT_ONCE, Line

_PARITY = {"none": serial.PARITY_NONE, "even": serial.PARITY_EVEN, "odd": serial.PARITY_ODD}
_CC = 6


class _Port(serial.Serial):  # type: ignore[misc]
    """pyserial's port, opened without discarding its input: those bytes are an instrument's, too."""

    def _reset_input_buffer(self) -> None:
        pass


class _Handle:
    def __init__(self, port: _Port) -> None:
        self._port = port
        self._fd: int = port.fileno()

    def fileno(self) -> int:
        return self._fd

    def receive(self) -> bytes | None:
        data = os.read(self._fd, MOST_AT_ONCE)
        if not data:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return data

    def send(self, data: memoryview) -> int:
        return os.write(self._fd, data)

    def close(self) -> None:
        # What is still to go out would hold up the closing of a line that takes nothing.
        with contextlib.suppress(termios.error):
            termios.tcflush(self._fd, termios.TCOFLUSH)
        self._port.close()


class SerialLine(Line):
    """A serial device. A try to open one costs nothing, so the pauses stay short: it may just be being plugged in."""

    longest_pause_s = 2.0

    def __init__(self, port: SerialPort) -> None:
        letter = port.parity[0].upper()
        super().__init__(f"serial {port.serial} {port.baud} {port.data_bits}{letter}{port.stop_bits}", str(port.serial))
        self._settings = port

    async def _connect(self) -> _Handle:
        # In a thread, because opening a half-dead USB device can take seconds.
        return await asyncio.to_thread(self._open_port)

    def _open_port(self) -> _Handle:
        settings = self._settings
        try:
            port = _Port(
                str(settings.serial),
                baudrate=settings.baud,
                parity=_PARITY[settings.parity],
                bytesize=settings.data_bits,
                stopbits=settings.stop_bits,
                timeout=0,
                write_timeout=0,
                exclusive=True,
            )
        except serial.SerialException as error:
            if error.errno is None:  # it was opened, but is no terminal
                raise OSError(errno.ENOTTY, str(error)) from error
            raise
        try:
            attributes = termios.tcgetattr(port.fileno())
            attributes[_CC][termios.VMIN] = 1
            termios.tcsetattr(port.fileno(), termios.TCSANOW, attributes)
        except termios.error as error:
            port.close()
            raise OSError(*error.args) from error
        return _Handle(port)
