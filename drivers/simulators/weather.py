"""Simulated Gill and Vaisala instruments on a mast: wind, air, rain; the host polls them or they send on their own.

`GillSimulator` is a WindSonic, a WindObserver (heated, with sound speed and sonic temperature), or a MetPak, which
prints its columns when it starts and after `REPORT`. `WxtSimulator` is a WXT530 in ASCII, with the CRC where
`crc`; `PtuSimulator` is a PTB330 barometer, an HMP155 probe, or a PTU300. They answer what their drivers send.
"""

import re
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import xor
from random import Random
from typing import Literal

import numpy as np

from drivers.simulators.simulator import Said, Simulator, wrong_digits
from drivers.vaisala.wxt import crc

_SECOND_NS = 1_000_000_000
_LONGEST_COMMAND = 80
_CHECKSUM = re.compile(rb"(?<=\x03)[0-9A-F]{2}")


@dataclass
class _MastSimulator(Simulator):
    """What they have in common: the weather, the schedule, the commands."""

    mode: Literal["autonomous", "polled"] = "autonomous"

    def __post_init__(self) -> None:
        self._random = Random(self.seed)
        self._typed = b""
        self._due_ns: int | None = None
        self._samples = 0

    @abstractmethod
    def _sample(self, now_ns: int) -> bytes:
        """Takes a sample, notes it in the ledger and gives what is printed."""

    def tick(self, now_ns: int) -> bytes:
        """The sample that is due."""
        if self.mode == "polled" or not self.speaking:
            return b""
        if self._due_ns is None:
            self._due_ns = now_ns
        if now_ns < self._due_ns:
            return b""
        step_ns = round(self.interval_s * _SECOND_NS)
        self._due_ns += step_ns * (1 + (now_ns - self._due_ns) // step_ns)
        return self._sample(now_ns)

    def receive(self, data: bytes, now_ns: int) -> bytes:
        """The answers to the commands in `data`."""
        said = b""
        for octet in data:
            if octet in (0x0D, 0x0A):
                command, self._typed = self._typed.decode("ascii", "replace").strip(), b""
                said += self._answer(command, now_ns) if command else b""
            elif len(self._typed) < _LONGEST_COMMAND:
                self._typed += bytes([octet])
        return said

    def _answer(self, command: str, now_ns: int) -> bytes:
        """What a command that ended with a return brings."""
        return b""

    def _weather(self, now_ns: int) -> dict[str, float]:
        """The air around the mast; its wind is spoilt by mischief."""
        t_s = now_ns / _SECOND_NS
        noise = self._random.gauss
        speed = max(5.5 + 2.0 * float(np.sin(2 * np.pi * t_s / 1800.0)) + noise(0.0, 0.4), 0.0)
        speed, self._fault = self._spoil(self._samples, speed, now_ns)
        self._samples += 1
        return {
            "direction": (215.0 + 20.0 * float(np.sin(2 * np.pi * t_s / 2700.0)) + noise(0.0, 4.0)) % 360.0,
            "speed": speed,
            "pressure": 1009.5 + 1.4 * float(np.cos(2 * np.pi * t_s / 43200.0)) + noise(0.0, 0.02),
            "temperature": 28.4 + 2.0 * float(np.cos(2 * np.pi * (t_s / 86400.0 - 0.58))) + noise(0.0, 0.03),
            "humidity": 79.0 - 6.0 * float(np.cos(2 * np.pi * (t_s / 86400.0 - 0.58))) + noise(0.0, 0.2),
            "rain": 0.2 * (int(t_s) % 86400 // 3600),
        }

    def _tell(self, now_ns: int, values: Mapping[str, float]) -> None:
        self.said.append(Said(now_ns, None, dict(values), self._fault))


# --- Gill -------------------------------------------------------------------------------------------------------------


@dataclass
class GillSimulator(_MastSimulator):
    """An anemometer or a MetPak with the letter `node`."""

    drivers = (("gill",), ("gill", "kind=windobserver"))
    spoils = "wind_speed (m s-1)"

    kind: Literal["windsonic", "windobserver", "metpak"] = "windsonic"
    node: str = "Q"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._started = False

    def falsifier(self) -> Callable[[bytes], bytes] | None:
        """Each line has a checksum."""
        return lambda said: wrong_digits(said, _CHECKSUM)

    def tick(self, now_ns: int) -> bytes:
        """What it prints when it starts, and the sample that is due."""
        return self._banner() + super().tick(now_ns)

    def receive(self, data: bytes, now_ns: int) -> bytes:
        """Single letters are commands, as soon as they come."""
        said = self._banner()
        for letter in data.decode("ascii", "replace"):
            if letter in "?!":
                self.mode = "polled" if letter == "?" else "autonomous"
            elif letter == "&" and self.mode == "polled":
                said += f"{self.node}\r\n".encode()
            elif letter == self.node and self.mode == "polled":
                said += self._sample(now_ns)
        return said

    def _banner(self) -> bytes:
        if self._started or self.kind != "metpak":
            return b""
        self._started = True
        return (
            b"METPAK 2436 V0.21\r\nSTARTUP OK\r\nNODE,DIR,SPEED,PRESS,RH,TEMP,DEWPOINT,VOLT,STATUS,CHECK\r\n"
            b"-,DEG,MS,HPA,%,C,C,V,-,-\r\n"
        )

    def _sample(self, now_ns: int) -> bytes:
        air = self._weather(now_ns)
        direction, speed = f"{round(air['direction']) % 360:03}", f"{air['speed']:06.2f}"
        told = {"wind_from_direction": float(direction), "wind_speed": float(speed), "device_status": 0.0}
        if self.kind == "metpak":
            dew_point = air["temperature"] - (100.0 - air["humidity"]) / 5.0
            printed = [f"{air['pressure']:06.1f}", f"{air['humidity']:05.1f}", f"{air['temperature']:+06.1f}"]
            printed += [f"{dew_point:+06.1f}", "+12.1"]
            names = ["air_pressure", "relative_humidity", "air_temperature", "dew_point_temperature", "supply_voltage"]
            told |= dict(zip(names, map(float, printed), strict=True))
            body = f"{self.node},{direction},{speed},{','.join(printed)},00,"
        elif self.kind == "windobserver":
            sound, sonic = f"{331.3 + 0.606 * air['temperature']:+07.2f}", f"{air['temperature']:+07.2f}"
            told |= {
                "speed_of_sound_in_air": float(sound),
                "sonic_air_temperature": float(sonic),
                "device_status": 60.0,
            }
            body = f"{self.node},{direction},{speed},M,{sound},{sonic},60,"
        else:
            body = f"{self.node},{direction},{speed},M,00,"
        self._tell(now_ns, told)
        return f"\x02{body}\x03{reduce(xor, body.encode()):02X}\r\n".encode()


# --- Vaisala ----------------------------------------------------------------------------------------------------------


@dataclass
class WxtSimulator(_MastSimulator):
    """A WXT530. It sends `message`, the composite one or those of wind, air, precipitation and transmitter in turn."""

    drivers = (("vaisala_wxt",), ("vaisala_wxt", "crc=true"), ("vaisala_wxt", "message=R"))
    spoils = "wind_speed (m s-1)"

    message: Literal["R0", "R"] = "R0"
    crc: bool = False
    address: str = "0"

    def falsifier(self) -> Callable[[bytes], bytes] | None:
        """Of messages with a CRC."""
        return (lambda said: re.sub(rb"[^\r\n]{3}(?=\r\n)", b"@@@", said)) if self.crc else None

    def _sample(self, now_ns: int) -> bytes:
        return self._messages(self.message, now_ns, self.crc)

    def _answer(self, command: str, now_ns: int) -> bytes:
        if command == "?":
            return f"{self.address}\r\n".encode()
        if not command.startswith(self.address):
            return b""
        command = command[1:]
        if command == "XU":
            return (
                f"{self.address}XU,A={self.address},M=P,T=0,C=2,I=0,B=19200,D=8,P=N,S=1,L=25,N=WXT530,V=1.00\r\n"
            ).encode()
        checked = command[:1] == "r"
        if checked:
            asked = f"{self.address}{command[:-3]}".encode()
            if crc(asked) != command[-3:].encode():
                return self._line(f"{self.address}tX,Use chksum {crc(asked).decode()}", checked=True)
            command = command[:-3].upper()
        if command in ("R", "R0", "R1", "R2", "R3", "R5"):
            return self._messages(command, now_ns, checked)
        return f"{self.address}TX,Unknown cmd error\r\n".encode()

    def _messages(self, kind: str, now_ns: int, checked: bool) -> bytes:
        air = self._weather(now_ns)
        direction, speed = round(air["direction"]) % 360, air["speed"]
        groups: dict[str, list[tuple[str, str, str]]] = {
            "R1": [
                ("Dm", f"{direction:03}D", "wind_from_direction"),
                ("Sm", f"{speed:.1f}M", "wind_speed"),
                ("Sx", f"{speed + 1.3:.1f}M", "wind_speed_of_gust"),
            ],
            "R2": [
                ("Ta", f"{air['temperature']:.1f}C", "air_temperature"),
                ("Ua", f"{air['humidity']:.1f}P", "relative_humidity"),
                ("Pa", f"{air['pressure']:.1f}H", "air_pressure"),
            ],
            "R3": [
                ("Rc", f"{air['rain']:.2f}M", "thickness_of_rainfall_amount"),
                ("Rd", "120s", "duration_of_rainfall"),
                ("Ri", "0.4M", "rainfall_rate"),
            ],
            "R5": [
                ("Th", f"{air['temperature'] + 1.0:.1f}C", "heating_temperature"),
                ("Vh", "0.0#", ""),
                ("Vs", "12.1V", "supply_voltage"),
                ("Vr", "3.512V", "reference_voltage"),
            ],
        }
        wanted = [(kind, groups[kind])] if kind in groups else list(groups.items())
        if kind == "R0":
            wanted = [("R0", [value for group in groups.values() for value in group])]
        said = b""
        for name, values in wanted:
            self._tell(now_ns, {of: float(printed[:-1]) for _, printed, of in values if of})
            letters = name.lower() if checked else name
            said += self._line(
                f"{self.address}{letters},{','.join(f'{of}={printed}' for of, printed, _ in values)}", checked
            )
        return said

    def _line(self, text: str, checked: bool) -> bytes:
        return text.encode() + (crc(text.encode()) if checked else b"") + b"\r\n"


@dataclass
class PtuSimulator(_MastSimulator):
    """A barometer, a humidity probe, or both in one, after `SMODE RUN`, or polled with SEND."""

    drivers = (("vaisala_ptu",), ("vaisala_ptu", "kind=hmp155"), ("vaisala_ptu", "kind=ptu300"))
    spoils = "air_pressure (hPa) of a barometer, else air_temperature (degC)"

    kind: Literal["ptb330", "hmp155", "ptu300"] = "ptb330"
    address: int | None = None

    def _answer(self, command: str, now_ns: int) -> bytes:
        words = command.upper().split()
        if words[:1] == ["SEND"] and words[1:] in ([], [str(self.address)]):
            return self._sample(now_ns)
        if words == ["S"] or words == ["R"]:
            self.mode = "polled" if words == ["S"] else "autonomous"
            return b""
        return b"Unknown command.\r\n"

    def _sample(self, now_ns: int) -> bytes:
        t_s = now_ns / _SECOND_NS
        pressure = 1009.5 + 1.4 * float(np.cos(2 * np.pi * t_s / 43200.0)) + self._random.gauss(0.0, 0.02)
        temperature = 28.4 + 2.0 * float(np.cos(2 * np.pi * (t_s / 86400.0 - 0.58))) + self._random.gauss(0.0, 0.03)
        humidity = 79.0 + self._random.gauss(0.0, 0.5)
        if self.kind == "hmp155":
            temperature, self._fault = self._spoil(self._samples, temperature, now_ns)
        else:
            pressure, self._fault = self._spoil(self._samples, pressure, now_ns)
        self._samples += 1
        parts = {
            "air_pressure": ("P=", f"{pressure:6.1f}", "hPa"),
            "air_temperature": ("T=", f"{temperature:5.1f}", "'C"),
            "relative_humidity": ("RH=", f"{humidity:5.1f}", "%RH"),
        }
        names = {
            "ptb330": ["air_pressure"],
            "hmp155": ["relative_humidity", "air_temperature"],
            "ptu300": ["air_pressure", "air_temperature", "relative_humidity"],
        }[self.kind]
        self._tell(now_ns, {name: float(parts[name][1]) for name in names})
        return (
            " ".join(f"{of}{printed} {unit}" for of, printed, unit in (parts[name] for name in names)).encode()
            + b"\r\n"
        )
