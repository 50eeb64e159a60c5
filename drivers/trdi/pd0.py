"""Teledyne RDI's PD0: the ensembles of Workhorse, Ocean Surveyor, Sentinel V, RiverPro, Pinnacle and other ADCPs.

`drivers.trdi.framing` finds the ensembles, binary or in hexadecimal, `drivers.trdi.blocks` their typed blocks, and
`drivers.trdi.ensembles` makes columns of them. The same block of many ensembles is gathered into one array. Ensembles
of equal geometry become one Frame; a change of cells, coordinates, orientation or blocks gives a new Schema (RiverPro
changes its cells at will).

What has a geometry or a time of its own is a Frame of its own beside the ensemble's (kind `adcp`): the vertical beam
(`adcp_vertical_beam`), the surface layer of river ADCPs (`adcp_surface_layer`), and what VmDas and WinRiver wrote of
the ship (`drivers.trdi.navigation`).

Salinity, sound speed, depth and attitude are as the ensemble has them, measured or set by command; the pressure of an
instrument without a pressure sensor is missing. Beam velocities are positive toward the transducer; bottom track gives
the motion of the bottom past the instrument. A transformation matrix (block 3200h) is told in the description.

Sources: Workhorse Commands and Output Data Format (P/N 957-6156), chapter "PD0 Output Data Format"; the manuals of
Sentinel V, RiverPro and Pathfinder for their blocks; the sum modulo 65536 from recordings.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from drivers.arrivals import Arrivals
from drivers.driver import Decoded, Driver, DriverSettings, Problem, Turn, problem
from drivers.trdi import blocks as b
from drivers.trdi.blocks import Blocks, Columns, locate, stretches
from drivers.trdi.ensembles import (
    GEOMETRY_OF_COLUMNS,
    Geometry,
    decode,
    geometries,
    schema_of,
    surface_layer,
    vertical_beam,
)
from drivers.trdi.framing import Ensembles, Framer, Ints, Mask
from drivers.trdi.navigation import vmdas, winriver
from drivers.trdi.setup import PROBLEMS as SET_UP_PROBLEMS
from drivers.trdi.setup import Settings, SetUp
from tidegate.clock import NAT, Arrival, TimeSource
from tidegate.frame import Frame, Schema

_PIECE = 1 << 20  # a longer feed is worked off in pieces of this size, so that memory stays bounded

_INSTRUMENT_SERIAL = slice(54, 58)
_FREQUENCIES_KHZ = (75, 150, 300, 600, 1200, 2400, 38)
_SENTINEL_V_KHZ = (38.4, 76.8, 153.6, 307.2, 491.52, 983.04, 2457.6)
_BEAM_ANGLES = (15, 20, 30)
_COORDINATES = ("beam", "instrument", "ship", "earth")
_MODELS = {
    **dict.fromkeys((4, 5), "Broadband"),
    **dict.fromkeys((6, 9, 19, 37, 53), "Navigator"),
    **dict.fromkeys((8, 16, 43, 50, 51, 52, 77, 78), "Workhorse"),
    **dict.fromkeys((14, 23), "Ocean Surveyor"),
    **dict.fromkeys((47, 66), "Sentinel V"),
    **dict.fromkeys((41, 55), "DVS"),
    10: "Rio Grande",
    11: "H-ADCP",
    28: "ChannelMaster",
    31: "StreamPro",
    34: "Explorer",
    44: "RiverRay",
    56: "RiverPro",
    59: "Meridian",
    61: "Pinnacle",
    67: "Pathfinder",
    73: "Pioneer",
    74: "Tasman",
    76: "Wayfinder",
}
"""By the version number of the firmware."""


class Pd0(Driver):
    """Reads PD0 ensembles. It sends nothing unless `setup` names commands."""

    manufacturer: ClassVar[str] = "Teledyne RD Instruments"
    models: ClassVar[tuple[str, ...]] = (
        "Workhorse Sentinel",
        "Workhorse Monitor",
        "Workhorse Mariner",
        "Long Ranger",
        "Quartermaster",
        "Ocean Surveyor",
        "Pinnacle",
        "Sentinel V",
        "RiverPro",
        "RioPro",
        "Rio Grande",
        "Explorer DVL",
        "Pathfinder DVL",
    )
    title: ClassVar[str] = "Teledyne RDI ADCPs: PD0 ensembles, binary or in hexadecimal"
    Settings: ClassVar[type[DriverSettings]] = Settings
    lines: ClassVar[tuple[str, ...]] = ("9600 8N1", "115200 8N1", "19200 8N1", "38400 8N1", "57600 8N1")
    commands: ClassVar[Mapping[str, str]] = {
        "===": "soft break: stops the pinging and wakes the prompt, where the instrument listens for it; a BREAK of the"
        " line of 0.3 s or more always does",
        "CR1": "factory settings",
        "CF11110": "ensembles and pings by itself, binary, to the line and not to its memory (CF11010: hexadecimal)",
        "EX11111": "earth coordinates with tilts, three-beam solutions and bin mapping (EX00000: beams)",
        "EZ1111101": "which sensors are used",
        "WNnnn": "number of cells",
        "WSnnnn": "size of a cell, cm",
        "WPnnn": "pings an ensemble",
        "BPnnn": "bottom pings an ensemble",
        "TEhh:mm:ss.ff": "time from ensemble to ensemble",
        "TPmm:ss.ff": "time from ping to ping",
        "TTccyy/mm/dd,hh:mm:ss": "sets the clock",
        "PD0": "output format PD0",
        "PS0": "says serial number, frequency and firmware",
        "PT200": "runs all tests",
        "CK": "keeps the settings",
        "CS": "starts the pinging",
    }
    calibration: ClassVar[str] = (
        "The instrument gives physical units. Its beams' matrix is told in the birth where the ensembles hold it"
        " (block 3200h); else it follows from the beam angle, which they always hold."
    )
    problems: ClassVar[Mapping[str, str]] = {
        "checksum": "An ensemble came with wrong bytes: check the cable, its shield and length; lower the baud rate.",
        "syntax": "An ensemble with a good checksum whose blocks are too short for its cells: a fault of the firmware"
        " or of the program that wrote the file; keep the raw log.",
        "truncated": "An ensemble was cut off: the port closed, the power failed, or another program reads it too.",
        "noise": "Bytes that are no ensemble: a prompt or messages of the instrument, a wrong baud rate, or another"
        " output format (PD0 is needed).",
        "implausible": "A value that cannot be, or a clock without a date; it is left out. Check that sensor, or set"
        " the clock by TT.",
        "unknown": "Packets of waves data stand between the ensembles; they stay in the raw log. Told once.",
        **SET_UP_PROBLEMS,
    }

    def __init__(self, instrument: str, settings: DriverSettings | None = None) -> None:
        super().__init__(instrument, settings)
        assert isinstance(self.settings, Settings)
        self._set_up = SetUp(self.settings.setup)
        self._framer = Framer()
        self._schemas: dict[Geometry, Schema] = {}
        self._side: dict[bytes, Schema] = {}
        self._fixed_leader = b""
        self._matrix: list[list[float]] | None = None

    def start(self) -> bytes:
        """Nothing at once: where set-up commands are given, `turn` sends them, each when the prompt is there."""
        self._set_up.begin()
        return b""

    def turn(self, now_ns: int) -> Turn:
        """The set-up, from the break to `CS`."""
        return self._set_up.turn(now_ns)

    def schemas(self) -> Sequence[Schema]:
        """The schemas of the geometries met so far; an ADCP's is known only from its ensembles."""
        return (*self._schemas.values(), *self._side.values())

    def description(self) -> Mapping[str, Any]:
        """From the last fixed leader: serial number, firmware, model, and what a transformation of its velocities
        needs (`tidegate.currents`)."""
        leader = self._fixed_leader
        if not leader:
            return {"manufacturer": self.manufacturer}
        values = np.frombuffer(leader, b.FIXED_LEADER, 1)[0]
        system, firmware, how = int(values["system"]), int(values["firmware"]), int(values["coordinates"])
        told: dict[str, Any] = {
            "manufacturer": self.manufacturer,
            "firmware": f"{firmware}.{leader[3]:02d}",
            "coordinates": _COORDINATES[how >> 3 & 3],
            "tilts_used": bool(how & 4),
            "three_beam_solutions": bool(how & 2),
            "bin_mapping": bool(how & 1),
            "looks": "up" if system & 0x80 else "down",
            "beam_pattern": "convex" if system & 8 else "concave",
            "heading_alignment_degree": int(values["alignment"]) / 100,
            "heading_bias_degree": int(values["bias"]) / 100,
            "pings_per_ensemble": int(values["pings"]),
        }
        frequency = system & 7
        table = _SENTINEL_V_KHZ if firmware in (47, 66) else _FREQUENCIES_KHZ
        khz: float | None = {31: 2000, 61: 44}.get(firmware, table[frequency] if frequency < len(table) else None)
        if khz:
            told["frequency_khz"] = khz
        model = _MODELS.get(firmware)
        if khz or model:
            told["model"] = " ".join([*([f"{khz:g} kHz"] if khz else []), model or "ADCP"])
        angle = _beam_angle(leader)
        if angle:
            told["beam_angle_degree"] = angle
        if self._matrix:
            told["beam_to_instrument"] = self._matrix
        serial = int.from_bytes(leader[_INSTRUMENT_SERIAL], "little")
        if serial not in (0, 0xFFFFFFFF) and len(leader) >= _INSTRUMENT_SERIAL.stop:
            told["serial"] = str(serial)
        return told

    def feed(self, data: bytes, at: Arrival) -> list[Decoded]:
        """See `Driver.feed`. Sample time is the ensemble's own clock; where that shows nonsense it is the arrival."""
        self._set_up.hear(data)
        decoded: list[Decoded] = []
        for start in range(0, len(data), _PIECE):
            found = self._framer.feed(data[start : start + _PIECE], at)
            if found is not None:
                decoded += self._decoded(*found)
        return decoded

    def finish(self) -> list[Decoded]:
        """See `Driver.finish`. An ensemble that was cut off is reported as `truncated`."""
        return self._decoded(*self._framer.finish())

    def _decoded(self, good: Ensembles, problems: list[Problem]) -> list[Decoded]:
        events: list[tuple[int, Decoded]] = [(p.offset, p) for p in problems]
        if good.starts:
            blocks = locate(good)
            keys, fits = geometries(blocks)
            for row in np.flatnonzero(~fits).tolist():
                events.append(self._misfit(blocks, row))
            breaks = np.sort(np.array([offset for offset, _ in events], np.int64))
            messages = blocks.messages
            if messages and not fits.all():
                place = np.cumsum(fits) - 1
                messages = [b.Message(int(place[m.row]), m.id, m.at, m.width) for m in messages if fits[m.row]]
            blocks, keys = blocks.take(fits), keys[fits]
            if len(blocks):
                times = np.empty(len(blocks), np.int64)
                by_clock = np.empty(len(blocks), np.bool_)
                for rows in stretches(keys[:, GEOMETRY_OF_COLUMNS]):
                    events += self._frames(blocks.take(rows), keys[rows], breaks, times[rows], by_clock[rows])
                events += self._beside(blocks, messages, keys, breaks, times, by_clock)
                self._describe(blocks)
        self._framer.forget()
        events.sort(key=lambda event: event[0])
        return [decoded for _, decoded in events]

    def _describe(self, blocks: Blocks) -> None:
        start = int(blocks.at[-1, b.FIXED])
        self._fixed_leader = blocks.data[start : start + int(blocks.width[-1, b.FIXED])].tobytes()
        with_matrix = np.flatnonzero(blocks.width[:, b.MATRIX] >= b.MATRIX_BLOCK.itemsize)
        if len(with_matrix):
            elements = blocks.take(with_matrix[-1:]).gather(b.MATRIX, b.MATRIX_BLOCK)["elements"][0] / 10000
            self._matrix = elements.tolist()

    def _misfit(self, blocks: Blocks, row: int) -> tuple[int, Problem]:
        offset, size = int(blocks.offsets[row]), int(blocks.spans[row])
        message = "an ensemble with a good checksum whose blocks are too short for the cells that its leader declares"
        data = self._framer.bytes_at(offset, size)
        return offset, problem("syntax", message, offset, data, self._framer.arrival(offset))

    def _frames(
        self, blocks: Blocks, keys: Ints, breaks: Ints, times: Ints, by_clock: Mask
    ) -> list[tuple[int, Decoded]]:
        """Frames of ensembles with equal columns, and the Problems of their values. `keys` are their geometries;
        `breaks` are the offsets at which a Frame must end. Fills in `times` and whether they are `by_clock`."""
        clock, decoded = decode(blocks, Geometry(*keys[0].tolist()))
        by_clock[:] = clock != NAT
        if by_clock.all():
            times[:] = clock
        else:
            piece, arrivals = self._framer.arrivals(blocks.offsets)
            times[:] = np.where(by_clock, clock, np.array([at.utc_ns for at in arrivals], np.int64)[piece])
            decoded.unreal["clock"] = ~by_clock
        events: list[tuple[int, Decoded]] = []
        for rows, at in self._unbroken(blocks, breaks, by_clock, keys):
            frame = Frame(
                self.instrument,
                self._schema(Geometry(*keys[rows.start].tolist())),
                times[rows],
                {name: column[rows] for name, column in decoded.columns.items()},
                TimeSource.INSTRUMENT if by_clock[rows.start] else TimeSource.ARRIVAL,
                at,
                {name: reasons[rows] for name, reasons in decoded.reasons.items()},
            )
            events.append((int(blocks.offsets[rows.start]), frame))
        return events + self._implausible(blocks, decoded)

    def _beside(
        self,
        blocks: Blocks,
        messages: Sequence[b.Message],
        keys: Ints,
        breaks: Ints,
        times: Ints,
        by_clock: Mask,
    ) -> list[tuple[int, Decoded]]:
        """Frames of what has a geometry or a time of its own."""
        upward, coordinates = keys[:, Geometry._fields.index("upward")], keys[:, 3]
        told = vertical_beam(blocks, times, upward) + surface_layer(blocks, times, upward, coordinates)
        ship = vmdas(blocks)
        told += [ship] if ship else []
        if messages:
            told += winriver(blocks.data, messages, times)
        events: list[tuple[int, Decoded]] = []
        for said in told:
            mine = blocks.take(said.rows)
            own_time = said.schema.kind in ("vmdas", "winriver_gga")
            timed = np.ones(len(mine), np.bool_) if own_time else by_clock[said.rows]
            schema = self._side.setdefault(said.schema.id, said.schema)
            if len(self._side) > 256:  # hostile geometry must not fill the memory
                self._side = {schema.id: schema}
            for rows, at in self._unbroken(mine, breaks, timed, np.zeros((len(mine), 1), np.int64)):
                frame = Frame(
                    self.instrument,
                    schema,
                    said.times[rows],
                    {name: column[rows] for name, column in said.columns.columns.items()},
                    TimeSource.INSTRUMENT if timed[rows.start] else TimeSource.ARRIVAL,
                    at,
                    {name: reasons[rows] for name, reasons in said.columns.reasons.items()},
                )
                events.append((int(mine.offsets[rows.start]), frame))
            events += self._implausible(mine, said.columns)
        return events

    def _unbroken(self, blocks: Blocks, breaks: Ints, by_clock: Mask, keys: Ints) -> list[tuple[slice, Arrival]]:
        """(rows that may share a Frame, when the first of them arrived)."""
        piece, arrivals = self._framer.arrivals(blocks.offsets)
        change = np.stack(
            [np.searchsorted(breaks, blocks.offsets), Arrivals.of(arrivals).stretches()[piece], by_clock], axis=1
        )
        return [(rows, arrivals[int(piece[rows.start])]) for rows in stretches(np.concatenate([keys, change], axis=1))]

    def _schema(self, geometry: Geometry) -> Schema:
        if geometry not in self._schemas:
            if len(self._schemas) >= 256:  # hostile geometry must not fill the memory
                self._schemas.clear()
            self._schemas[geometry] = schema_of(geometry)
        return self._schemas[geometry]

    def _implausible(self, blocks: Blocks, decoded: Columns) -> list[tuple[int, Decoded]]:
        events: list[tuple[int, Decoded]] = []
        if not decoded.unreal:
            return events
        for row in np.flatnonzero(np.any(list(decoded.unreal.values()), axis=0)).tolist():
            names = ", ".join(name for name, rows in decoded.unreal.items() if rows[row])
            offset = int(blocks.offsets[row])
            found = problem(
                "implausible",
                f"no such value in the sea; left out of the sample: {names}",
                offset,
                self._framer.bytes_at(offset, int(blocks.spans[row])),
                self._framer.arrival(offset),
            )
            events.append((offset, found))
        return events


def _beam_angle(leader: bytes) -> int:
    """Degrees from the vertical; 0 where the leader does not tell."""
    code = leader[5] & 3
    if code < len(_BEAM_ANGLES):
        return _BEAM_ANGLES[code]
    if leader[2] in (11, 47, 66):
        return 25
    return leader[58] if len(leader) > 58 else 0
