"""A hub of real parts, filled with a small network of made-up platforms in every state, for tests and for screenshots.

Samples are of the simulated sea, judged by the real QC engine and entered into the real change log; only the way from
the instrument to the log is cut short, so that the past can be entered as if it had come in time.
"""

import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from central.changes import Change, Stages
from central.config import HubConfig
from central.qc.engine import Engine
from central.received import Kind, Received
from central.run import Hub
from drivers.simulators.sea import Sea
from tidegate.codec import encode_frame
from tidegate.envelope import NO_PREVIOUS, Envelope, Gap, Lane, encode_envelope
from tidegate.frame import Cells, Column, Field, Frame, Schema
from tidegate.messages import Birth, InstrumentBirth, InstrumentState, State

SECOND = 1_000_000_000
TEMPERATURE, CONDUCTIVITY = "sea_water_temperature", "sea_water_electrical_conductivity"
PRESSURE, SALINITY = "sea_water_pressure_due_to_sea_water", "sea_water_practical_salinity"
LEVEL = "water_surface_height_above_reference_datum"
EAST, NORTH = "eastward_sea_water_velocity", "northward_sea_water_velocity"
ECHO = "signal_intensity_from_multibeam_acoustic_doppler_velocity_sensor_in_sea_water_beam_1"

CTD = Schema("ctd", tuple(Field.of(name) for name in (TEMPERATURE, CONDUCTIVITY, PRESSURE, SALINITY)))
GAUGE = Schema("tide_gauge", (Field.of(LEVEL), Field.of("battery_voltage")))
ADCP = Schema(
    "adcp",
    (
        *(Field.of(name, profile=True) for name in (EAST, NORTH, ECHO)),
        Field.of(TEMPERATURE, resolution=0.01),
        Field.of("platform_orientation"),
    ),
    Cells(20, 2.0, 1.0, True),
)
BEAM = "radial_sea_water_velocity_away_from_instrument_beam_5"
HOUSEKEEPING = tuple(f"external_voltage_{n}" for n in range(6))
VERTICAL = Schema(
    "adcp_vertical_beam",
    (
        Field.of(BEAM, profile=True),
        *(Field.of(name) for name in HOUSEKEEPING),
        *(Field.of(name) for name in (TEMPERATURE, PRESSURE, "battery_voltage")),
    ),
    Cells(12, 1.5, 0.5, True),
)
SHIP = Schema("navigation", tuple(Field.of(n) for n in ("latitude", "longitude", "platform_speed_wrt_ground")))

Columns = Mapping[str, Any]


class FilledHub:
    """A hub in `folder`, and the means to give it platforms and samples. `now_ns` is when everything is meant to be."""

    def __init__(self, folder: Path, now_ns: int | None = None, *, hearing: bool = True) -> None:
        settings = {"hub": {"name": "centre", "directory": str(folder)}, "broker": {"host": "localhost"}}
        self.hub = Hub(HubConfig.model_validate(settings))
        self.now_ns = (time.time_ns() if now_ns is None else now_ns) // SECOND * SECOND
        self.engine = Engine()
        self.sea = Sea()
        self.random = np.random.default_rng(7)
        self._births: dict[str, Birth] = {}
        self._seq: dict[str, int] = {}
        self.hub.ingest.connected_ns = self.hub.started_ns if hearing else None
        self.hub.start()

    def close(self) -> None:
        """Stop the hub."""
        self.hub.stop()

    def platform(self, name: str, place: tuple[float, float] | None, title: str = "", **instruments: Any) -> None:
        """Declare a platform: instruments as name=(schema or schemas, interval_s, driver, manufacturer, model,
        serial)."""
        declared = {
            key.replace("_", "-"): InstrumentBirth(
                driver=driver, manufacturer=maker, model=model, serial=serial, interval_s=interval_s,
                schemas=[schema.as_dict() for schema in (schemas if isinstance(schemas, tuple) else (schemas,))],
            )
            for key, (schemas, interval_s, driver, maker, model, serial) in instruments.items()
        }  # fmt: skip
        latitude, longitude = place or (None, None)
        birth = Birth(
            platform=name, title=title, epoch=name.encode().hex()[:16].ljust(16, "0"), software="tidegate 0.1.0",
            boot="5be1c3a09d47f2e6", latitude=latitude, longitude=longitude, moving=place is None,
            clock_disciplined=True, instruments=declared,
        )  # fmt: skip
        self.hub.registry.birth(birth, 0, self.now_ns - 7 * 86_400 * SECOND)
        self._births[name] = birth
        self.hub.ledger.book(name).epoch = birth.epoch
        self.state(name)

    def state(
        self,
        name: str,
        *,
        online: bool = True,
        backlog: int = 0,
        links: Mapping[str, str] = {},
        problems: Mapping[str, Mapping[str, int]] = {},
        last_problem: str = "",
        at_ns: int | None = None,
    ) -> None:
        """What the platform says of itself."""
        at_ns = self.now_ns if at_ns is None else at_ns
        instruments = {
            i: InstrumentState.model_validate(
                {
                    "link": links.get(i, "up"),
                    "problems": dict(problems.get(i, {})),
                    "last_problem": last_problem if i in problems else "",
                }
            )
            for i in self._births[name].instruments
        }
        state = State(
            online=online, at_ns=at_ns, epoch=self._births[name].epoch, backlog=backlog, spool_bytes=backlog * 900,
            clock_disciplined=True, instruments=instruments,
        )  # fmt: skip
        self.hub.registry.state(name, state, at_ns)

    def samples(
        self, platform: str, instrument: str, schema: Schema, time_ns: Sequence[int] | Any, columns: Columns,
        *, block: int = 30, delay_s: float = 0.4,
    ) -> None:  # fmt: skip
        """Samples as they would have come in blocks, each `delay_s` after the last of its samples or so; what is older
        than an hour in blocks of 240, because nobody looks at its delays any more."""
        time_ns = np.asarray(time_ns, np.int64)
        arrays: dict[str, Column] = {f.name: np.round(np.asarray(columns[f.name]), f.decimals) for f in schema.fields}
        for f in schema.fields:
            if f.integer:
                arrays[f.name] = np.asarray(columns[f.name], np.int64)
        changes: list[Change] = []
        account = self.hub.ledger.book(platform).account(self._births[platform].epoch)
        fresh = int(np.searchsorted(time_ns, self.now_ns - 3700 * SECOND))
        starts = [*range(0, fresh, 240), *range(fresh, len(time_ns), block), len(time_ns)]
        for start, end in pairwise(starts):
            rows = slice(start, end)
            frame = Frame(instrument, schema, time_ns[rows], {name: array[rows] for name, array in arrays.items()})
            seq = self._seq[platform] = self._seq.get(platform, 0) + 1
            account.add(seq)
            made_ns = int(frame.time[-1]) + int(delay_s * (0.5 + self.random.random()) * SECOND)
            received_ns = made_ns + int(self.random.gamma(4.0, 0.02) * SECOND)
            journaled_ns = received_ns + int((0.002 + self.random.gamma(2.0, 0.002)) * SECOND)
            stages = Stages(made_ns, received_ns, journaled_ns, journaled_ns + int(0.004 * SECOND))
            for op, owner, judged, flags in self.engine.judge([(platform, frame)]):
                changes.append(Change(op, owner, judged, flags, stages, self._births[platform].epoch, seq))
        if changes:
            last = self.hub.changes.append(changes)
            self.hub.changes.sync()
            self.hub.registry.count(changes, last)

    def undescribed(self, platform: str, instrument: str, frames: int) -> None:
        """Envelopes of a platform that was never born, by the real way through the journal."""
        frame = encode_frame(
            Frame(instrument, GAUGE, np.array([self.now_ns]), {LEVEL: np.ones(1), "battery_voltage": np.ones(1)})
        )
        for seq in range(1, frames + 1):
            envelope = Envelope(platform, "ab" * 8, seq, Lane.LIVE, self.now_ns, NO_PREVIOUS, (frame,))
            received = Received(
                Kind.ENVELOPE, f"tidegate/1/{platform}/live", self.now_ns, encode_envelope(envelope)
            )  # fmt: skip
            self.hub.ledger.book(platform).account("ab" * 8).take(envelope)
            self.hub.intake.append([received])
        self.hub.intake.sync()
        self.hub.registry.state(platform, State(online=True, at_ns=self.now_ns), self.now_ns)

    def caught_up(self, timeout_s: float = 20.0) -> None:
        """Return when the processor and the archive have everything."""
        end_s = time.monotonic() + timeout_s
        while self.hub.unjudged or self.hub.archive is None or self.hub.archive.cursor() < self.hub.changes.last:
            if time.monotonic() > end_s:
                raise TimeoutError(f"the hub did not catch up: {self.hub.followers()}")
            time.sleep(0.02)

    # --- samples of the simulated sea ---

    def times(self, interval_s: float, span_s: float, until_s: float = 0.0) -> Any:
        """Times `interval_s` apart, of `span_s`, up to `until_s` ago."""
        n = int(span_s / interval_s)
        end_ns = self.now_ns - int(until_s * SECOND)
        return end_ns - np.arange(n - 1, -1, -1, dtype=np.int64) * int(interval_s * SECOND)

    def ctd(self, time_ns: Any, depth_m: float = 5.0) -> dict[str, Any]:
        """What a CTD says."""
        t = time_ns / SECOND
        noise = self.random.normal(0, 1, (4, len(t)))
        temperature = self.sea.temperature_c(t, depth_m) + 0.002 * noise[0]
        return {
            TEMPERATURE: temperature,
            CONDUCTIVITY: 5.1 + 0.09 * (temperature - 28.8) + 0.0004 * noise[1],
            PRESSURE: (depth_m + self.sea.level_m(t) - 1.65) * 1.0055 + 0.004 * noise[2],
            SALINITY: self.sea.salinity(t, depth_m) + 0.0015 * noise[3],
        }

    def gauge(self, time_ns: Any) -> dict[str, Any]:
        """What a tide gauge says: the tide, and a surge of a few days."""
        t = time_ns / SECOND
        surge = 0.22 * np.exp(-(((t - self.now_ns / SECOND + 86_400) / 50_000.0) ** 2))
        level = self.sea.level_m(t) + surge + 0.008 * self.random.normal(0, 1, len(t))
        return {LEVEL: level, "battery_voltage": 12.6 + 0.3 * np.sin(2 * np.pi * t / 86_400)}

    def ship(self, time_ns: Any) -> dict[str, Any]:
        """What a ship's receiver says."""
        track = np.array([self.sea.ship(at) for at in (time_ns / SECOND).tolist()])
        return {"latitude": track[:, 0], "longitude": track[:, 1] + 0.15, "platform_speed_wrt_ground": track[:, 3]}

    def adcp(self, time_ns: Any) -> dict[str, Any]:
        """What an ADCP at the sea bed says, 20 cells upward."""
        t = time_ns / SECOND
        depth = 22.0 - (2.0 + np.arange(20, dtype=np.float64))
        east, north = np.array([self.sea.current_ms(float(at), depth) for at in t]).transpose(1, 0, 2)
        noise = self.random.normal(0, 0.02, (2, len(t), 20))
        noise[:, :, 18:] = np.nan  # the surface is nearer
        return {
            EAST: east + noise[0],
            NORTH: north + noise[1],
            ECHO: np.clip(170 - 4 * np.arange(20) + self.random.integers(-3, 4, (len(t), 20)), 0, 255),
            TEMPERATURE: self.sea.temperature_c(t, 20.0),
            "platform_orientation": 87.0 + self.random.normal(0, 0.05, len(t)),
        }

    def vertical_beam(self, time_ns: Any) -> dict[str, Any]:
        """What the fifth beam of a profiler says, with a good deal of housekeeping."""
        t = time_ns / SECOND
        beam = 0.05 * np.sin(2 * np.pi * t / 600)[:, None] + self.random.normal(0, 0.01, (len(t), 12))
        housekeeping = {name: 1.0 + 0.01 * self.random.normal(0, 1, len(t)) for name in HOUSEKEEPING}
        sea = {TEMPERATURE: self.sea.temperature_c(t, 20.0), PRESSURE: 20.0 + self.sea.level_m(t)}
        return {BEAM: beam, "battery_voltage": 14.2 + 0.0 * t, **housekeeping, **sea}


def fill(filled: FilledHub) -> None:
    """A network in every state, over the Singapore Strait and the coast of Johor and Pahang."""
    sbe37 = ("sbe37", "Sea-Bird Scientific", "SBE 37-SMP", "03716233")
    radar = ("modbus", "VEGA", "VEGAPULS 61", "41772093")
    workhorse = ("trdi_pd0", "Teledyne RDI", "Workhorse 600", "12790")
    gnss = ("nmea0183", "Septentrio", "mosaic-X5", "3058211")
    f = filled

    f.platform(
        "raffles-light", (1.1600, 103.7410), "Raffles Lighthouse mooring",
        ctd_1=(CTD, 10.0, *sbe37), adcp=(ADCP, 60.0, *workhorse),
    )  # fmt: skip
    t = f.times(10, 2.2 * 3600)
    columns = f.ctd(t)
    n = len(t)
    for at in (n - 60, n - 190, n - 340):
        columns[TEMPERATURE][at] += 4.0
    columns[SALINITY][n - 150 : n - 125] = np.nan
    columns[CONDUCTIVITY][n - 300] = 14.0
    keep = np.ones(n, bool)
    keep[n - 260 : n - 236] = False
    f.samples("raffles-light", "ctd-1", CTD, t[keep], {name: c[keep] for name, c in columns.items()}, block=2)
    t = f.times(60, 6 * 3600)
    profiles = f.adcp(t)
    for name in (EAST, NORTH):
        profiles[name][80:84, 9:12] += 2.5
    f.samples("raffles-light", "adcp", ADCP, t, profiles, block=1, delay_s=2)
    f.state(
        "raffles-light", problems={"ctd-1": {"checksum": 3, "noise": 12}},
        last_problem="12 bytes of noise before a record",
    )  # fmt: skip

    f.platform("tanjong-pagar", (1.2620, 103.8530), "Tanjong Pagar tide gauge", tide_1=(GAUGE, 360.0, *radar))
    t = f.times(360, 31 * 86_400)
    columns = f.gauge(t)
    columns[LEVEL][-37] += 0.9
    columns[LEVEL][-700:-620] = np.nan
    f.samples("tanjong-pagar", "tide-1", GAUGE, t, columns, block=1)

    f.platform("horsburgh", (1.3300, 104.4060), "Horsburgh Lighthouse", ctd_1=(CTD, 60.0, *sbe37))
    f.samples("horsburgh", "ctd-1", CTD, t := f.times(60, 6 * 3600, 240), f.ctd(t), block=1)

    f.platform("tioman-1", (2.8070, 104.1400), "Tioman tide gauge", tide_1=(GAUGE, 60.0, *radar))
    f.samples("tioman-1", "tide-1", GAUGE, t := f.times(60, 12 * 3600, 2 * 3600 + 460), f.gauge(t))
    f.state(
        "tioman-1",
        links={"tide-1": "down"},
        problems={"tide-1": {"no_answer": 127}},
        last_problem="unit 1: no answer within 1 s",
    )

    f.platform("rv-sagitta", None, "RV Sagitta", gnss=(SHIP, 1.0, *gnss), tsg=(CTD, 10.0, *sbe37))
    f.samples("rv-sagitta", "gnss", SHIP, t := f.times(1, 900), f.ship(t), block=10)
    f.samples("rv-sagitta", "tsg", CTD, t := f.times(10, 3600), f.ctd(t, 3.0), block=2)
    f.state("rv-sagitta", backlog=1840)
    f.hub.ledger.book("rv-sagitta").account(f._births["rv-sagitta"].epoch).birth(1, f._seq["rv-sagitta"] + 1841)

    f.platform("pulau-tekong", (1.4050, 104.0600), "Pulau Tekong pier", ctd_1=(CTD, 30.0, *sbe37))
    f.samples("pulau-tekong", "ctd-1", CTD, t := f.times(30, 6 * 3600, 5 * 3600), f.ctd(t))
    f.state("pulau-tekong", online=False, at_ns=f.now_ns - 5 * 3600 * SECOND)
    account = f.hub.ledger.book("pulau-tekong").account(f._births["pulau-tekong"].epoch)
    account.add(f._seq["pulau-tekong"] + 9)
    account.explain(Gap(f._seq["pulau-tekong"] + 1, f._seq["pulau-tekong"] + 3, "the gateway no longer holds it"))
    f.hub.ledger.book("pulau-tekong").counters.duplicates = 14
    f.hub.ledger.book("pulau-tekong").counters.corrupt = 2

    f.platform("kuantan", (3.9750, 103.4300), "Kuantan harbour", tide_1=(GAUGE, 60.0, *radar))
    f.undescribed("mersing", "tide-1", 6)

    signature = ("nortek_ad2cp", "Nortek", "Signature1000", "100321")
    f.platform("changi", (1.3950, 104.0000), "Changi mooring", profiler=((ADCP, VERTICAL), 60.0, *signature))
    f.samples("changi", "profiler", ADCP, t := f.times(60, 3600), f.adcp(t), block=1)
    f.samples("changi", "profiler", VERTICAL, t := f.times(60, 3600), f.vertical_beam(t), block=1)

    for name, title, place in (
        ("sembawang", "Sembawang", (1.4650, 103.8330)),
        ("west-coast", "West Coast", (1.2940, 103.7570)),
        ("sedili", "Sedili Besar", (1.9300, 104.1150)),
    ):
        f.platform(name, place, title, tide_1=(GAUGE, 60.0, *radar))
        f.samples(name, "tide-1", GAUGE, t := f.times(60, 26 * 3600), f.gauge(t), block=1)
