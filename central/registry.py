"""The registry: every platform and instrument that has ever been heard of, as their births declare them, and how they
do.

Births come from the hub's journal in its order, so whoever replays the journal has the same registry. A schema once
declared stays known: old data can be decoded for ever. How much came of an instrument, when, and where a moving
platform is, is counted from the change log. States are not kept: the broker retains the last one of each platform.

The snapshot `registry.json` says up to which change it has counted, and with each schema, which record of the
journal declared it; so a start after a crash counts nothing twice and knows which schemas were known when.
"""

import json
import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from central.changes import Change, Op
from central.files import write_durably
from tidegate.clock import NAT
from tidegate.frame import Frame, Schema
from tidegate.messages import Birth, InstrumentBirth, InstrumentState, State

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Instrument:
    """One instrument, as of now."""

    name: str
    birth: InstrumentBirth | None = None
    """As it was last declared; None where data came and nobody declared it."""
    samples: int = 0
    last_sample_ns: int | None = None
    """The newest sample's own time."""
    last_arrival_ns: int | None = None
    """When something of it last arrived at the hub."""


@dataclass(frozen=True, slots=True)
class Platform:
    """One platform, as of now."""

    name: str
    birth: Birth | None = None
    born_ns: int | None = None
    """When the last birth arrived."""
    state: State | None = None
    """None where none has come since the hub started."""
    state_ns: int | None = None
    latitude: float | None = None
    longitude: float | None = None
    position_ns: int | None = None
    """When it was there; None of a platform that stays."""
    instruments: Mapping[str, Instrument] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        """Samples of all its instruments."""
        return sum(instrument.samples for instrument in self.instruments.values())

    def instrument_state(self, name: str) -> InstrumentState | None:
        """What the platform's last state says of an instrument."""
        return self.state.instruments.get(name) if self.state else None


class Registry:
    """All platforms. Births and changes come from one thread, states from another; any may look."""

    def __init__(self) -> None:
        self.cursor = 0
        """The change up to which samples are counted."""
        self._lock = threading.Lock()
        self._platforms: dict[str, Platform] = {}
        self._schemas: dict[str, dict[str, dict[bytes, Schema]]] = {}
        self._declared: dict[tuple[str, str, bytes], int] = {}

    def platforms(self) -> list[Platform]:
        """All platforms by name."""
        with self._lock:
            return [self._platforms[name] for name in sorted(self._platforms)]

    def platform(self, name: str) -> Platform | None:
        """One platform; None where nothing was heard of it."""
        with self._lock:
            return self._platforms.get(name)

    def schemas(self, platform: str) -> Mapping[str, Mapping[bytes, Schema]]:
        """Instrument to schema id to schema, of all that the platform has declared."""
        return self._schemas.get(platform, {})

    def declared(self, platform: str, instrument: str, schema_id: bytes) -> int | None:
        """Which record of the journal declared a schema first; None where it is unknown."""
        return self._declared.get((platform, instrument, schema_id))

    def birth(self, birth: Birth, number: int, received_ns: int) -> None:
        """Take in a birth, which is record `number` of the journal. Raises ValueError, KeyError or TypeError where a
        schema in it is not valid; nothing is taken in then."""
        schemas = {name: instrument.by_id() for name, instrument in birth.instruments.items()}
        with self._lock:
            for name, by_id in schemas.items():
                known = self._schemas.setdefault(birth.platform, {}).setdefault(name, {})
                for schema_id, schema in by_id.items():
                    known[schema_id] = schema
                    self._declared.setdefault((birth.platform, name, schema_id), number)
            old = self._platforms.get(birth.platform, Platform(birth.platform))
            instruments = dict(old.instruments)
            for name, declared in birth.instruments.items():
                instruments[name] = replace(instruments.get(name, Instrument(name)), birth=declared)
            stays = birth.latitude is not None and birth.longitude is not None and old.position_ns is None
            self._platforms[birth.platform] = replace(
                old,
                birth=birth,
                born_ns=received_ns,
                instruments=instruments,
                latitude=birth.latitude if stays else old.latitude,
                longitude=birth.longitude if stays else old.longitude,
            )

    def state(self, platform: str, state: State, received_ns: int) -> None:
        """Take in a state."""
        with self._lock:
            old = self._platforms.get(platform, Platform(platform))
            self._platforms[platform] = replace(old, state=state, state_ns=received_ns)

    def count(self, changes: Iterable[Change], cursor: int) -> None:
        """Count samples of changes, the last of which is `cursor`."""
        with self._lock:
            for change in changes:
                if change.op is Op.INSERT and len(change.frame):
                    self._count(change)
            self.cursor = max(self.cursor, cursor)

    def _count(self, change: Change) -> None:
        frame = change.frame
        old = self._platforms.get(change.platform, Platform(change.platform))
        was = old.instruments.get(frame.instrument, Instrument(frame.instrument))
        times = frame.time[frame.time != NAT]
        newest = int(times.max()) if len(times) else None
        instrument = replace(
            was,
            samples=was.samples + len(frame),
            last_sample_ns=_later(was.last_sample_ns, newest),
            last_arrival_ns=_later(was.last_arrival_ns, change.stages.received_ns),
        )
        here = replace(old, instruments={**old.instruments, frame.instrument: instrument})
        position = _position(frame)
        if position is not None and position[0] >= (old.position_ns if old.position_ns is not None else NAT):
            here = replace(here, position_ns=position[0], latitude=position[1], longitude=position[2])
        self._platforms[change.platform] = here

    # --- snapshot ---

    def save(self, path: Path) -> None:
        """Write the snapshot. Raises OSError where the disk fails; the one before is kept then."""
        with self._lock:
            value = {
                "cursor": self.cursor,
                "platforms": {
                    p.name: {
                        "birth": p.birth.model_dump(mode="json") if p.birth else None,
                        "born_ns": p.born_ns,
                        "latitude": p.latitude,
                        "longitude": p.longitude,
                        "position_ns": p.position_ns,
                        "instruments": {
                            i.name: {
                                "birth": i.birth.model_dump(mode="json") if i.birth else None,
                                "samples": i.samples,
                                "last_sample_ns": i.last_sample_ns,
                                "last_arrival_ns": i.last_arrival_ns,
                            }
                            for i in p.instruments.values()
                        },
                    }
                    for p in self._platforms.values()
                },
                "schemas": [
                    [platform, instrument, number, self._schemas[platform][instrument][schema_id].as_dict()]
                    for (platform, instrument, schema_id), number in self._declared.items()
                ],
            }
        write_durably(path, json.dumps(value).encode())

    @classmethod
    def load(cls, path: Path, *, newest: int, cursor: int) -> "Registry | None":
        """The snapshot at `path`; None where there is none, where it is damaged, or where it is ahead of the journal,
        whose newest record is `newest`, or of the change log, which ends at `cursor`."""
        registry = cls()
        try:
            value = json.loads(path.read_bytes())
            registry.cursor = int(value["cursor"])
            for platform, instrument, number, declared in value["schemas"]:
                schema = Schema.from_dict(declared)
                registry._schemas.setdefault(platform, {}).setdefault(instrument, {})[schema.id] = schema
                registry._declared[platform, instrument, schema.id] = int(number)
            if registry.cursor > cursor or max(registry._declared.values(), default=0) > newest:
                raise ValueError("it is ahead of the journal or of the change log")
            for name, p in value["platforms"].items():
                registry._platforms[name] = Platform(
                    name,
                    _birth(p["birth"]),
                    p["born_ns"],
                    None,
                    None,
                    p["latitude"],
                    p["longitude"],
                    p["position_ns"],
                    {
                        key: Instrument(
                            key,
                            InstrumentBirth.model_validate(i["birth"]) if i["birth"] else None,
                            int(i["samples"]),
                            i["last_sample_ns"],
                            i["last_arrival_ns"],
                        )
                        for key, i in p["instruments"].items()
                    },
                )
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            _log.warning("%s cannot be used: %s; the registry is rebuilt from the journal", path, error)
            return None
        return registry


def _birth(value: Any) -> Birth | None:
    return Birth.model_validate(value) if value else None


def _later(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else max(a, b)


def _position(frame: Frame) -> tuple[int, float, float] | None:
    """(time, latitude, longitude) of the newest sample that has a position; None where none has."""
    latitude, longitude = frame.columns.get("latitude"), frame.columns.get("longitude")
    if latitude is None or longitude is None or latitude.ndim != 1 or longitude.ndim != 1:
        return None
    known = np.flatnonzero((frame.time != NAT) & (frame.missing("latitude") == 0) & (frame.missing("longitude") == 0))
    if not len(known):
        return None
    at = known[int(np.argmax(frame.time[known]))]
    return int(frame.time[at]), float(latitude[at]), float(longitude[at])
