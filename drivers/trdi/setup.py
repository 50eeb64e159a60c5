"""How a Teledyne RDI instrument is set up when its port opens, the same for ADCPs and DVLs."""

import re

from pydantic import Field as Setting
from pydantic import field_validator

from drivers.driver import DriverSettings


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


def set_up(settings: DriverSettings) -> bytes:
    """The commands between a soft break and `CS`; empty where none are set."""
    assert isinstance(settings, Settings)
    if not settings.setup:
        return b""
    return b"===" + b"".join(command.encode("ascii") + b"\r" for command in (*settings.setup, "CS"))
