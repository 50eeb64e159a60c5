"""What gateway and hub say to each other besides Envelopes: birth, state and ack, as JSON for any program to read.

The birth describes a platform completely, so the hub needs no configuration for a new one. It is retained, and sent
again whenever something in it changes (a new schema, say) *before* the first Envelope that depends on the change.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from tidegate.frame import Schema

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?$")]


class _Message(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class InstrumentBirth(_Message):
    """One instrument as its gateway declares it."""

    driver: str
    manufacturer: str = ""
    model: str = ""
    serial: str = ""
    interval_s: float | None = None
    """How far apart its samples are meant to be; None where nobody said."""
    schemas: list[dict[str, Any]]
    """`Schema.as_dict()` of every schema that its Frames have had or may have."""
    calibration: dict[str, Any] = {}

    def by_id(self) -> dict[bytes, Schema]:
        """Its schemas by id. Raises ValueError, KeyError or TypeError where one is not valid."""
        schemas = [Schema.from_dict(s) for s in self.schemas]
        return {s.id: s for s in schemas}


class Birth(_Message):
    """A platform introduces itself."""

    platform: Name
    title: str = ""
    epoch: str
    """The spool's identity; `seq` counts within it."""
    first_seq: int = 1
    """The oldest Envelope that the spool still holds."""
    next_seq: int = 1
    """The seq that the next Envelope will have."""
    boot: str = ""
    software: str = ""
    latitude: float | None = Field(default=None, ge=-90, le=90)
    """Of a platform that stays; one that moves tells its position by an instrument."""
    longitude: float | None = Field(default=None, ge=-180, le=360)
    moving: bool = False
    clock_disciplined: bool = False
    instruments: dict[Name, InstrumentBirth] = {}


class InstrumentState(_Message):
    """How one instrument does."""

    link: Literal["up", "down", "stale", "starting"] = "starting"
    samples: int = 0
    problems: dict[str, int] = {}
    """Problems by kind since the gateway started."""
    last_problem: str = ""
    last_sample_ns: int | None = None


class State(_Message):
    """How a platform does, at `at_ns`. `online: false` is the last will, or a clean good-bye."""

    online: bool
    at_ns: int | None = None
    epoch: str = ""
    backlog: int = 0
    """Envelopes in the spool that the hub has not acknowledged."""
    spool_bytes: int = 0
    clock_disciplined: bool = False
    instruments: dict[Name, InstrumentState] = {}


class Ack(_Message):
    """What the hub has on disk of one epoch: everything through `through`, besides that `ranges`; and what it wants
    again.

    Ranges are closed: `[first, last]`.
    """

    epoch: str
    through: int = 0
    ranges: list[tuple[int, int]] = []
    wanted: list[tuple[int, int]] = []
