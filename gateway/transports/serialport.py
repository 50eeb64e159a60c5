"""Serial lines, by pyserial for the settings of the port and the event loop for its bytes.

pyserial's own reads poll and time out; a descriptor that the event loop watches does neither, and tells the moment
of arrival. Some of pyserial's habits are undone: with VMIN = 0 a read of a quiet line and of an unplugged one both
give nothing (VMIN = 1 tells them apart); it throws away what had arrived before the port was opened; and it takes a
pseudo-terminal's want of parity for a failure.
"""

import asyncio
import contextlib
import errno
import os
import termios

import serial

from gateway.config import ModbusRtuPort, SerialPort
from gateway.transports.transport import MOST_AT_ONCE, Line

_PARITY = {"none": serial.PARITY_NONE, "even": serial.PARITY_EVEN, "odd": serial.PARITY_ODD}
_CC = 6


class _Port(serial.Serial):  # type: ignore[misc]
    def _reset_input_buffer(self) -> None:
        """Those bytes are an instrument's, too."""

    def _reconfigure_port(self, force_update: bool = False) -> None:
        try:
            super()._reconfigure_port(force_update)
        except termios.error as error:
            # The kernel sets all else; the C library then complains that a pseudo-terminal took no parity bit.
            if error.args[0] != errno.EINVAL or not os.ttyname(self.fd).startswith("/dev/pts/"):
                raise OSError(*error.args) from error


class SerialHandle:
    """An open serial device that does not block."""

    def __init__(self, port: _Port) -> None:
        self._port = port
        self._fd: int = port.fileno()

    def fileno(self) -> int:
        """Its descriptor."""
        return self._fd

    def receive(self) -> bytes:
        """What is there, at least one byte. Raises BlockingIOError; OSError where it was unplugged."""
        data = os.read(self._fd, MOST_AT_ONCE)
        if not data:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return data

    def send(self, data: memoryview) -> int:
        """How many bytes were taken. Raises BlockingIOError, OSError."""
        return os.write(self._fd, data)

    def hold_break(self, on: bool) -> None:
        """Puts the line into break, or ends it. A pseudo-terminal has none."""
        with contextlib.suppress(OSError):
            self._port.break_condition = on

    def close(self) -> None:
        """Closes it. What is still to go out is thrown away: it would hold up the closing of a dead line."""
        with contextlib.suppress(termios.error):
            termios.tcflush(self._fd, termios.TCOFLUSH)
        self._port.close()


def open_serial(settings: SerialPort | ModbusRtuPort) -> SerialHandle:
    """The device, for us alone, with these settings. Raises OSError. A half-dead USB device can take seconds."""
    if isinstance(settings, ModbusRtuPort):
        device, data_bits = settings.modbus_rtu, 8
    else:
        device, data_bits = settings.serial, settings.data_bits
    try:
        port = _Port(
            str(device),
            baudrate=settings.baud,
            parity=_PARITY[settings.parity],
            bytesize=data_bits,
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
    return SerialHandle(port)


class SerialLine(Line):
    """A serial device. A try to open one costs nothing, so the pauses stay short: it may just be being plugged in."""

    longest_pause_s = 2.0

    def __init__(self, port: SerialPort) -> None:
        letter = port.parity[0].upper()
        super().__init__(f"serial {port.serial} {port.baud} {port.data_bits}{letter}{port.stop_bits}", str(port.serial))
        self._settings = port

    async def _connect(self) -> SerialHandle:
        return await asyncio.to_thread(open_serial, self._settings)

    async def send_break(self, seconds: float) -> None:
        """Holds the line in break for so long."""
        handle = self._handle
        if not isinstance(handle, SerialHandle):
            return
        handle.hold_break(True)
        try:
            await asyncio.sleep(seconds)
        finally:
            handle.hold_break(False)
