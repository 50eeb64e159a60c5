"""What simulated Sea-Bird instruments with a prompt have in common: echo, commands, a sample every interval."""

from abc import abstractmethod
from dataclasses import dataclass
from random import Random

from drivers.simulators.simulator import Said, Simulator

SECOND_NS = 1_000_000_000
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LONGEST_COMMAND = 80


@dataclass
class ConsoleSimulator(Simulator):
    """An instrument that echoes what is typed, answers each line, and while `logging` prints samples by itself."""

    interval_s: float = 2.0
    logging: bool = True

    def __post_init__(self) -> None:
        self._random = Random(self.seed)
        self._typed = b""
        self._samples = 0
        self._due_ns: int | None = None

    @abstractmethod
    def _sample(self, now_ns: int) -> bytes:
        """Takes a sample, notes it in the ledger and gives what is printed."""

    @abstractmethod
    def _answer(self, command: str, now_ns: int) -> bytes:
        """What a command (in capitals) brings, with the prompt."""

    def tick(self, now_ns: int) -> bytes:
        if not self.logging or not self.speaking:
            return b""
        if self._due_ns is None:
            self._due_ns = now_ns
        if now_ns < self._due_ns:
            return b""
        step_ns = round(self.interval_s * SECOND_NS)
        self._due_ns += step_ns * (1 + (now_ns - self._due_ns) // step_ns)
        return self._sample(now_ns)

    def receive(self, data: bytes, now_ns: int) -> bytes:
        answer = b""
        for octet in data:
            if octet == 0x0D:
                command, self._typed = self._typed.decode("ascii", "replace").strip().upper(), b""
                answer += b"\r\n" + self._answer(command, now_ns)
            elif 0x20 <= octet < 0x7F and len(self._typed) < _LONGEST_COMMAND:
                self._typed += bytes([octet])
                answer += bytes([octet])
        return answer

    def _spoilt(self, value: float, now_ns: int) -> tuple[float, str]:
        """(the value with the fault of this sample, the fault's name)."""
        value, mischief = self._spoil(self._samples, value, now_ns)
        self._samples += 1
        return value, mischief

    def _say(self, now_ns: int, time_ns: int | None, values: dict[str, float], mischief: str) -> None:
        self.said.append(Said(now_ns, time_ns, values, mischief))
