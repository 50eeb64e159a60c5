"""How a Teledyne RDI instrument is set up when its port opens, the same for ADCPs and DVLs.

Theory of operation. A break wakes the instrument, ends its pinging and brings a banner and the prompt `>`. Each command
is sent when the prompt has come back from the one before it; `CS` at the end starts the pinging. Beside the break of
the line goes `===`, which does the same where the instrument is set to hear it (and over TCP, where there is no break).
An instrument that gives no prompt is asked a few times and then left as it is, which is reported; a command that it
refuses is reported, and the others are sent all the same: an instrument that pings by other settings than wished is
worth more than one that does not ping.

Source: Workhorse Commands and Output Data Format (P/N 957-6156), chapters "Command Description" and "Break".
"""

import re
from collections.abc import Mapping, Sequence

from pydantic import Field as Setting
from pydantic import field_validator

from drivers.driver import DriverSettings, Problem, Turn, problem

PROBLEMS: Mapping[str, str] = {
    "no_answer": "The instrument gave no prompt and was not set up: check that its receive wire is connected, and the"
    " baud rate.",
    "refused": "The instrument refused a set-up command, and pings without it: correct `setup`.",
}

_BREAK_S = 0.4  # at least 0.3 s
_PATIENCE_NS = 5_000_000_000
_TRIES = 3
_PROMPT = re.compile(rb"[\r\n]>")
_ERROR = re.compile(rb"ERR[ :]*\d{1,4}:[ -~]*")
_TAIL = 256


class Settings(DriverSettings):
    """How to set the instrument up, if it is to be."""

    setup: tuple[str, ...] = Setting(
        (),
        description="commands to send once when the port has opened, before CS starts the pinging; none: it is left"
        " as it is",
        examples=[["CR1", "WP50", "WN30", "WS0100", "TE00:01:00.00", "TP00:01.20", "EX11111", "CK"]],
    )

    @field_validator("setup")
    @classmethod
    def _known(cls, commands: tuple[str, ...]) -> tuple[str, ...]:
        for command in commands:
            if not re.fullmatch(r"#?[A-Z][A-Z0-9?][ -~]{0,60}", command) or command[:2] in ("CS", "CZ"):
                raise ValueError(
                    f"{command!r} is no set-up command: write two capital letters and their values, as WN30; CS is sent"
                    " after the last"
                )
        return commands


class SetUp:
    """The conversation. `begin` when the port has opened, `hear` what comes, `turn` when it is the driver's."""

    def __init__(self, commands: Sequence[str]) -> None:
        self._commands = [command.encode("ascii") + b"\r" for command in (*commands, "CS")] if commands else []
        self._next: int | None = None  # of the commands; -1 is the break
        self._tries = 0
        self._deadline_ns = 0
        self._heard = b""

    def begin(self) -> None:
        """From the break on, where there are commands to send."""
        self._next, self._tries = (-1, 0) if self._commands else (None, 0)

    def hear(self, data: bytes) -> None:
        """What the instrument said, mixed with its data."""
        if self._next is not None:
            self._heard = (self._heard + data)[-_TAIL:]

    def turn(self, now_ns: int) -> Turn:
        """The next command where the prompt is there, and what went wrong."""
        if self._next is None:
            return Turn()
        problems: list[Problem] = []
        if self._tries and _PROMPT.search(self._heard):
            error = _ERROR.search(self._heard)
            if error and self._next >= 0:
                sent = self._commands[self._next].strip().decode()
                message = f"{sent}: {error[0].decode('ascii', 'replace')}; correct it in `setup`"
                problems.append(problem("refused", message, 0, error[0]))
            self._next, self._tries = self._next + 1, 0
        elif self._tries and now_ns < self._deadline_ns:
            return Turn(again_ns=self._deadline_ns)
        if self._tries >= _TRIES:
            after = "a break" if self._next < 0 else self._commands[self._next].strip().decode()
            self._next = None
            message = f"no prompt after {after}, sent {_TRIES} times: the instrument is left as it is"
            return Turn(problems=[*problems, problem("no_answer", message, 0, b"")])
        self._tries += 1
        self._heard = b""
        self._deadline_ns = now_ns + _PATIENCE_NS
        if self._next < 0:
            return Turn(b"===", self._deadline_ns, problems, _BREAK_S)
        command = self._commands[self._next]
        if self._next == len(self._commands) - 1:  # CS is answered by pinging, not by a prompt
            self._next = None
            return Turn(command, None, problems)
        return Turn(command, self._deadline_ns, problems)
