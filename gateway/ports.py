"""The serial ports of this computer: by which name each is best called, what it is, and who has it open.

A device's number (`/dev/ttyUSB0`) changes with the order of plugging in. udev also links it by its adapter's serial
number (`/dev/serial/by-id`) and by the socket that it is plugged into (`/dev/serial/by-path`); those names stay.

Nothing is opened to find out: opening a port moves its modem lines, which wakes some instruments and resets others.
"""

import glob
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from serial.tools import list_ports

from gateway.config import ModbusRtuPort, Parity, SerialPort

_STABLE = ("/dev/serial/by-id", "/dev/serial/by-path")


@dataclass(frozen=True, slots=True)
class Serial:
    """One serial port. `name` is the stable one where there is one."""

    name: Path
    device: Path
    description: str
    holder: str
    """Who has it open, empty where nobody is known to."""
    permitted: bool
    """Whether this user may read and write it."""


def stable_name(device: Path) -> Path:
    """The name of a device that stays when it is plugged in elsewhere or in another order; itself where it has none.

    Two adapters of one make without serial numbers share a name by id, which then leads to only one of them.
    """
    try:
        meant = device.resolve(strict=True)
        for folder in _STABLE:
            for link in sorted(Path(folder).glob("*")):
                if link.resolve() == meant:
                    return link
    except OSError:
        pass  # it is not there, or not to be looked at: its own name is as good as any
    return device


_PARITY: Mapping[str, Parity] = {"N": "none", "E": "even", "O": "odd"}
AnySerial = TypeVar("AnySerial", SerialPort, ModbusRtuPort)


def with_line(port: AnySerial, line: str) -> AnySerial:
    """The port with a line setting such as `9600 8N1`."""
    baud, shape = line.split()
    settings = {"baud": int(baud), "parity": _PARITY[shape[1]], "stop_bits": int(shape[2])}
    if isinstance(port, SerialPort):
        settings["data_bits"] = int(shape[0])
    return port.model_copy(update=settings)


def serial_ports() -> list[Serial]:
    """The serial ports that have hardware behind them."""
    found = {}
    for info in list_ports.comports():
        found[info.device] = "" if info.description in (None, "n/a") else info.description
    for path in glob.glob("/sys/class/tty/ttyS*/type"):
        # Of the ports on the board the kernel makes more than there are; type 0 has no hardware.
        device = f"/dev/{Path(path).parent.name}"
        if device not in found and _text(path) not in ("", "0"):
            found[device] = "serial port on the board"
    for folder in _STABLE:
        for link in Path(folder).glob("*"):
            found.setdefault(str(link.resolve()), "")
    holders = _holders()
    return [_serial(Path(device), description, holders) for device, description in sorted(found.items(), key=_order)]


def _order(entry: tuple[str, str]) -> tuple[bool, str, int]:
    name, number = re.fullmatch(r"(.*?)(\d*)", entry[0]).groups()  # type: ignore[union-attr]  # it matches anything
    return "ttyS" in name, name, int(number or 0)


def _serial(device: Path, description: str, holders: Mapping[int, str]) -> Serial:
    holder = holder_of(device, holders)
    return Serial(stable_name(device), device, description, holder, os.access(device, os.R_OK | os.W_OK))


def holder_of(device: Path, holders: Mapping[int, str] | None = None) -> str:
    """The program that has the device open, such as `minicom (process 812)`; empty where none is known to."""
    try:
        number = device.stat().st_rdev
    except OSError:
        return ""
    return (_holders() if holders is None else holders).get(number, "")


def _holders() -> dict[int, str]:
    """Who has which device open, by the device's number: of one's own processes (of all, for root) what they have
    open, and of everybody's what they have locked."""
    found: dict[int, str] = {}
    for pid, number in (*_locked(), *_opened()):
        if pid != os.getpid():
            found[number] = f"{_text(f'/proc/{pid}/comm') or 'a program'} (process {pid})"
    return found


def _opened() -> Iterator[tuple[int, int]]:
    for link in glob.iglob("/proc/[0-9]*/fd/*"):
        try:
            target = os.readlink(link)
            if target.startswith("/dev/") and not target.startswith(("/dev/null", "/dev/shm", "/dev/tty/")):
                yield int(link.split("/")[2]), os.stat(link).st_rdev
        except OSError:
            continue  # it was closed meanwhile, or is another user's


def _locked() -> Iterator[tuple[int, int]]:
    inodes = {}
    for path in (*glob.iglob("/dev/tty*"), *glob.iglob("/dev/pts/*"), *glob.iglob("/dev/rfcomm*")):
        try:
            status = os.stat(path)
        except OSError:
            continue
        inodes[(status.st_dev, status.st_ino)] = status.st_rdev
    for line in _text("/proc/locks").splitlines():
        if lock := re.match(r"\d+: FLOCK .* (\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) ", line):
            pid, major, minor, inode = int(lock[1]), int(lock[2], 16), int(lock[3], 16), int(lock[4])
            if (number := inodes.get((os.makedev(major, minor), inode))) is not None:
                yield pid, number


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
