"""Nortek's NMEA telemetry: `$PNOR…` sentences of Signature, Aquadopp, AWAC and DVL.

Theory of operation. A current profile comes as several sentences: information (I), header (H) or sensors (S), then one
sentence (C) for each cell. Those of one time are one sample. It is complete when the cells that the information (or the
setting `cells`) announces have come; else when the next profile begins, and what did not come is missing. Formats 103
and 104 give the time only in their header, which holds for what follows. Altimeter, bottom and water track, and waves
are samples by themselves; wave spectra are profiles whose cells are frequencies (`first_m` and `size_m` in Hz).

Two orders of dates are in use: MMDDYY, but YYMMDD in $PNORH3, $PNORH4 and $PNORA. Velocities that were not measured
are -32.77 or -32.768 (their speed then is 46.34), other values -9 in as many digits as fit. Energy density is said to
be in cm2/Hz; 4 times the root of its integral is Hm0 only if it is m2/Hz, and so it is read.

Sources: Nortek, Signature Integrator's Guide (N3015-007), chapter "Telemetry data formats"; AWAC NMEA interface;
examples of both with their checksums.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from drivers.checksums import exclusive_or
from drivers.driver import Decoded, Driver, DriverSettings, Problem, problem
from drivers.lines import Line, Lines
from drivers.nortek.sentences import (
    COORDINATES,
    CORRELATION,
    ECHO,
    SENSOR_TAGS,
    SENSORS,
    SPECTRA,
    TAGS_OF_VELOCITY,
    UNMEASURED_SPEED,
    VELOCITIES,
    WAVE_BAND,
    WAVES,
    Broken,
    Values,
    cell_tags,
    decimal,
    judged,
    moment_ns,
    number_with_reason,
    tagged,
    velocity,
    whole_number,
)
from tidegate.clock import NAT, Arrival, TimeSource
from tidegate.frame import Cells, Frame, Missing, Schema, concatenate

_SENTENCE = re.compile(rb"\$(PNOR[A-Z]{1,2}[0-9]?),([ -#%-)+-~]*)(?:\*([0-9A-Fa-f]{2}))?\s*")


@dataclass(slots=True)
class _Information:
    """What the last information sentence said."""

    cells: int = 0
    blank_m: float = 0.0
    size_m: float = 0.0
    coordinates: str = "ENU"
    beams: int = 0
    told: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Cell:
    number: int | None
    position_m: float
    tags: dict[str, str]


@dataclass(slots=True)
class _Profile:
    """A current profile that is coming in."""

    variant: str
    time_ns: int
    line: Line
    sensors: dict[str, str] = field(default_factory=dict)
    cells: list[_Cell] = field(default_factory=list)
    end: int = 0


class TelemetrySettings(DriverSettings):
    """Settings of `nortek_nmea`."""

    checksum: Literal["required", "optional"] = "required"
    """`optional` takes sentences without a checksum; one that is there must still be right."""
    cells: int | None = None
    """How many cells a profile has, for formats 103 and 104, which do not say: a profile is then given as soon as its
    last cell has come."""


class Telemetry(Driver):
    """Reads `$PNOR…` sentences. It sends nothing."""

    manufacturer: ClassVar[str] = "Nortek"
    models: ClassVar[tuple[str, ...]] = ("Signature", "Signature VM", "Aquadopp", "AWAC", "DVL 500", "DVL 1000")
    title: ClassVar[str] = "Nortek NMEA telemetry: $PNOR currents, altimeter, bottom track and waves"
    Settings: ClassVar[type[DriverSettings]] = TelemetrySettings
    lines: ClassVar[tuple[str, ...]] = ("9600 8N1", "115200 8N1", "57600 8N1", "38400 8N1", "19200 8N1", "4800 8N1")
    commands: ClassVar[Mapping[str, str]] = {
        'SETTMAVG,EN=1,DF=101,CD=1,PD=1,AVG=60,TV=1,TA=1,TC=1,CY="ENU"': "asks for averages as sentences of format 101",
        "K1W%!Q": "break, after @@@@@@ and a pause of 0.1 s",
        "START": "starts measuring",
    }
    problems: ClassVar[Mapping[str, str]] = {
        "checksum": "a sentence was damaged on the line, or has no checksum: check cable and baud rate",
        "noise": "bytes that are no $PNOR sentence: check baud rate, and what else speaks on this line",
        "syntax": "the checksum is right, and a field is no number, date or code, or there are too few fields",
        "unknown": "a $PNOR sentence that is not decoded; it stays in the raw log",
        "incomplete": "cells of a profile did not come; those that came are kept",
        "implausible": "a value that cannot be in the sea; it was left out",
        "truncated": "the stream ended inside a sentence",
    }

    def __init__(self, instrument: str, settings: DriverSettings | None = None) -> None:
        super().__init__(instrument, settings)
        assert isinstance(self.settings, TelemetrySettings)
        self._optional = self.settings.checksum == "optional"
        self._cells = self.settings.cells
        self._lines = Lines(longest=16384)
        self._information = _Information()
        self._open: _Profile | None = None
        self._schemas: dict[bytes, Schema] = {}

    def schemas(self) -> Sequence[Schema]:
        """The schemas of the sentences met so far."""
        return tuple(self._schemas.values())

    def description(self) -> Mapping[str, Any]:
        """From the information sentence: serial, coordinates, beams, cells."""
        return {"manufacturer": self.manufacturer, **self._information.told}

    def feed(self, data: bytes, at: Arrival) -> list[Decoded]:
        """See `Driver.feed`."""
        out: list[Decoded] = []
        for part in self._lines.feed_blocks(data, at):
            if isinstance(part, Problem):
                out.append(part)
            else:
                for line in part.lines():
                    self._take(line, out)
        return _joined(out)

    def finish(self) -> list[Decoded]:
        """See `Driver.finish`. A profile that was coming in is given as far as it came."""
        out: list[Decoded] = []
        rest = self._lines.finish()
        if rest is not None:
            whole = _SENTENCE.fullmatch(rest.data)
            if whole and whole[3]:
                self._take(rest, out)
            else:
                message = "the stream ends inside a sentence"
                out.append(problem("truncated", message, rest.offset, rest.data, rest.arrival))
        self._close(out)
        self._information = _Information(told=self._information.told)
        return _joined(out)

    def _take(self, line: Line, out: list[Decoded]) -> None:
        start = max(line.data.rfind(b"$PNOR"), 0)
        if line.data[:start].strip():
            before = line.data[:start]
            out.append(problem("noise", "bytes before a sentence", line.offset, before, line.arrival))
        line = Line(line.data[start:], line.offset + start, line.arrival)
        if not line.data.strip():
            return
        found = _SENTENCE.fullmatch(line.data)
        if not found:
            kind = "checksum" if line.data.startswith(b"$PNOR") else "noise"
            message = "a damaged sentence" if kind == "checksum" else "no $PNOR sentence: check baud rate and output"
            out.append(problem(kind, message, line.offset, line.data, line.arrival))
            return
        name, body, told = found.groups()
        parity = exclusive_or(line.data[1 : 1 + len(name) + 1 + len(body)])
        if (told is None and not self._optional) or (told is not None and int(told, 16) != parity):
            message = f"the checksum says {told.decode() if told else 'nothing'}, the bytes give {parity:02X}"
            out.append(problem("checksum", message, line.offset, line.data, line.arrival))
            return
        fields = [part.strip() for part in body.decode("ascii").split(",")]
        try:
            self._sentence(name.decode()[4:], fields, line, out)
        except Broken as broken:
            out.append(problem("syntax", str(broken), line.offset, line.data, line.arrival))

    def _sentence(self, name: str, fields: list[str], line: Line, out: list[Decoded]) -> None:
        if name in ("I", "I1", "I2"):
            self._inform(tagged(fields, ("IT", "SN", "NB", "NC", "BD", "CS", "CY")), out)
        elif name in ("H3", "H4"):
            tags = tagged(fields, ("DATE", "TIME", "EC", "SC"))
            self._begin("4", moment_ns(tags["DATE"], tags["TIME"], year_first=True), line, out)
            self._sense(tags)
        elif name in ("S", "S1", "S2"):
            variant = "" if name == "S" else "1"
            tags = tagged(fields, SENSOR_TAGS[variant])
            self._begin(name[1:], moment_ns(tags["DATE"], tags["TIME"], year_first=False), line, out)
            self._sense(tags)
        elif name in ("S3", "S4"):
            self._sense(tagged(fields, SENSOR_TAGS["4"]))
        elif name in ("C", "C1", "C2", "C3", "C4", "CV"):
            self._cell(name[1:], fields, line, out)
        elif name == "A":
            self._altimeter(fields, line, out)
        elif name[:2] in ("BT", "WT"):
            self._track(name, fields, line, out)
        elif name in ("W", "B"):
            layout = WAVES if name == "W" else WAVE_BAND
            self._waves("waves" if name == "W" else "wave_band", layout, fields, line, out)
        elif name in ("E", "F", "WD"):
            self._spectrum(name, fields, line, out)
        else:
            message = f"a sentence of type PNOR{name}, which is not decoded"
            out.append(problem("unknown", message, line.offset, line.data, line.arrival))

    # --- current profiles ---------------------------------------------------------------------------------------------

    def _inform(self, tags: dict[str, str], out: list[Decoded]) -> None:
        coordinates = COORDINATES.get(tags["CY"].upper())
        cells, blank, size = whole_number(tags["NC"], "number of cells"), decimal(tags["BD"]), decimal(tags["CS"])
        if coordinates is None or not 0 < cells <= 1024 or not (blank >= 0 and size > 0):
            raise Broken("coordinates must be ENU, XYZ or BEAM, cells 1 to 1024 of a size")
        self._close(out)
        beams = whole_number(tags["NB"], "number of beams")
        self._information = _Information(
            cells,
            blank,
            size,
            coordinates,
            beams,
            {
                "serial": tags["SN"],
                "coordinates": {"ENU": "earth", "XYZ": "instrument", "BEAM": "beam"}[coordinates],
                "beams": beams,
                "cells": cells,
            },
        )

    def _begin(self, variant: str, time_ns: int, line: Line, out: list[Decoded]) -> None:
        self._close(out)
        self._open = _Profile(variant, time_ns, line, end=line.offset + len(line.data))

    def _sense(self, tags: dict[str, str]) -> None:
        if self._open is None:
            raise Broken("sensors without a header before them")
        variant = self._open.variant
        for tag, text in tags.items():
            if tag in ("SC",) or (tag == "EC" and not variant):
                whole_number(text, "hexadecimal code", base=16)
            elif tag in SENSORS:
                judged(text, SENSORS[tag][0])
        self._open.sensors |= tags

    def _cell(self, variant: str, fields: list[str], line: Line, out: list[Decoded]) -> None:
        if variant in ("3", "4"):
            tags = tagged(fields, ("CP", "SP", "DIR", "AC", "AA"))
            if self._open is None or self._open.variant != "4":
                raise Broken("a cell without a header before it")
            number = None
        else:
            tags = tagged(fields, cell_tags(variant, len(fields), self._information.coordinates))
            time_ns = moment_ns(tags["DATE"], tags["TIME"], year_first=False)
            number = whole_number(tags["CN"], "cell number")
            if not 1 <= number <= 1024:
                raise Broken(f"there is no cell {number}")
            if self._open is None or self._open.time_ns != time_ns or self._open.variant == "4":
                self._begin(variant, time_ns, line, out)
            elif any(cell.number == number for cell in self._open.cells if cell.number):
                raise Broken(f"cell {number} came twice")
        assert self._open is not None
        for tag, text in tags.items():
            if tag not in ("DATE", "TIME", "AU"):
                decimal(text)
        self._open.cells.append(_Cell(number, decimal(tags.get("CP", "")), tags))
        self._open.end = line.offset + len(line.data)
        wanted = self._cells or (self._information.cells if number else 0)
        if wanted and len(self._open.cells) >= wanted and (number is None or number == wanted):
            self._close(out)

    def _close(self, out: list[Decoded]) -> None:
        """Gives the open profile."""
        profile, self._open = self._open, None
        if profile is None:
            return
        info, line = self._information, profile.line
        came = {cell.number or i + 1: cell for i, cell in enumerate(profile.cells)}
        announced = self._cells or (info.cells if profile.variant != "4" else 0)
        count = max([announced, *came])
        values = Values()
        for tag in SENSORS:
            if tag in profile.sensors:
                name, resolution = SENSORS[tag]
                text = profile.sensors[tag]
                coded = tag == "SC" or (tag == "EC" and not profile.variant)
                values.add(name, resolution, [(float(int(text, 16)), 0) if coded else judged(text, name)])
        cells = None
        if came:
            cells = self._geometry(came, count, profile)
            self._profiles(values, [came.get(i + 1) for i in range(count)], profile.variant)
        missing = count - len(came)
        if missing:
            message = f"{missing} of {count} cells of a profile did not come"
            out.append(problem("incomplete", message, line.offset, line.data, line.arrival))
        if values.fields:
            self._give("adcp", cells, profile.time_ns, values, line, out)

    def _geometry(self, came: Mapping[int, _Cell], count: int, profile: _Profile) -> Cells:
        status = profile.sensors.get("SC", "")
        looks = {4: True, 5: False}.get(int(status, 16) >> 25 & 7) if len(status) == 8 else None
        info = self._information
        if info.size_m and profile.variant != "4":
            return Cells(count, round(info.blank_m + info.size_m, 3), info.size_m, looks)
        placed = [(number, cell.position_m) for number, cell in came.items() if cell.position_m >= 0]
        if len(placed) < 2:
            return Cells(count, placed[0][1] if placed and placed[0][0] == 1 else 0.0, 0.0, looks)
        (first, near), (last, far) = placed[0], placed[-1]
        size = round((far - near) / (last - first), 3)
        return Cells(count, round(near - (first - 1) * size, 3), size, looks)

    def _profiles(self, values: Values, cells: list[_Cell | None], variant: str) -> None:
        def numbers(tag: str, judge: Any, *more: Any) -> list[tuple[float, int]]:
            return [
                (math.nan, Missing.NOT_GIVEN) if cell is None or tag not in cell.tags else judge(cell.tags[tag], *more)
                for cell in cells
            ]

        tags = {tag for cell in cells if cell for tag in cell.tags}
        decimals = 1e-2 if variant == "" else 1e-3
        unmeasured = np.zeros(len(cells), np.bool_)
        for coordinates, names in TAGS_OF_VELOCITY.items():
            for axis, tag in enumerate(names):
                if tag in tags:
                    column = numbers(tag, velocity)
                    if axis < 2:
                        unmeasured |= np.array([reason == Missing.INVALID for _, reason in column])
                    values.add(VELOCITIES[coordinates][axis], decimals, column, profile=True)
        speeds = numbers("SP", number_with_reason) if "SP" in tags else []
        for i, (speed, _) in enumerate(speeds):
            unmeasured[i] |= speed >= UNMEASURED_SPEED or speed < 0
        for tag, name, resolution in (
            ("SP", "sea_water_speed", decimals),
            ("DIR", "sea_water_velocity_to_direction", 0.1 if variant != "V" else 0.001),
        ):
            if tag in tags:
                column = numbers(tag, number_with_reason)
                lost = (math.nan, int(Missing.INVALID))
                values.add(
                    name,
                    resolution,
                    [lost if bad else c for c, bad in zip(column, unmeasured.tolist(), strict=True)],
                    profile=True,
                )
        level = variant != "" or any(cell.tags.get("AU") == "D" for cell in cells if cell)
        for beam in (1, 2, 3, 4):
            if f"A{beam}" in tags:
                name = f"signal_amplitude_level_beam_{beam}" if level else f"{ECHO}_beam_{beam}"
                values.add(name, 0.1 if level else 1, numbers(f"A{beam}", judged, name), profile=True)
            if f"C{beam}" in tags:
                name = f"{CORRELATION}_beam_{beam}"
                values.add(name, 1, numbers(f"C{beam}", judged, name), profile=True)
        for tag, name in (("AC", "mean_beam_correlation"), ("AA", "mean_signal_amplitude")):
            if tag in tags:
                values.add(name, 1, numbers(tag, judged, name), profile=True)

    # --- sentences that are samples by themselves ---------------------------------------------------------------------

    def _altimeter(self, fields: list[str], line: Line, out: list[Decoded]) -> None:
        tags = tagged(fields, ("DATE", "TIME", "P", "A", "Q", "ST", "PI", "R"))
        time_ns = moment_ns(tags["DATE"], tags["TIME"], year_first=True)
        values = Values()
        for tag, name, resolution in (
            ("P", "sea_water_pressure_due_to_sea_water", 0.001),
            ("A", "altimeter_distance", 0.001),
            ("Q", "altimeter_quality", 1),
            ("PI", "platform_pitch_fore_up", 0.1),
            ("R", "platform_roll_starboard_down", 0.1),
        ):
            values.add(name, resolution, [judged(tags[tag], name)])
        values.add("altimeter_status", 1, [(float(whole_number(tags["ST"], "hexadecimal code", base=16)), 0)])
        self._give("altimeter", None, time_ns, values, line, out)

    def _track(self, name: str, fields: list[str], line: Line, out: list[Decoded]) -> None:
        """Bottom track (BT) and water track (WT) of a DVL; -32.768 m/s, 0 m and a merit of 10 m/s are invalid."""
        track, number = "bottom_track" if name[0] == "B" else "water_track", name[2:]
        order = {
            "": ("BEAM", "DATE", "TIME", "DT1", "DT2", "BV", "FM", "DIST", "WV", "STAT"),
            "0": ("BEAM", "DATE", "TIME", "DT1", "DT2", "BV", "FOM", "DIST", "STAT"),
            "3": ("DT1", "DT2", "SP", "DIR", "FOM", "D"),
            "6": ("TIME", "DT1", "DT2", "VX", "VY", "VZ", "FOM", "D1", "D2", "D3", "D4"),
        }.get({"1": "0", "4": "3", "7": "6", "8": "6", "9": "6"}.get(number, number))
        if order and number in ("8", "9"):
            order = (*order, "BATT", "SS", "PRESS", "TEMP", "STAT")
        if order is None:
            message = f"a sentence of type PNOR{name}, which is not decoded"
            out.append(problem("unknown", message, line.offset, line.data, line.arrival))
            return
        tags = tagged(fields, order)
        beam = f"_beam_{whole_number(tags['BEAM'], 'beam')}" if "BEAM" in tags else ""
        if beam and beam[-1] not in "1234":
            raise Broken(f"there is no beam {beam[6:]}")
        time_ns = NAT
        if "DATE" in tags:
            time_ns = moment_ns(tags["DATE"], tags["TIME"], year_first=False)
        elif "TIME" in tags:
            if not re.fullmatch(r"\d{9,10}(\.\d{1,9})?", tags["TIME"]):
                raise Broken(f"{tags['TIME'][:20]!r} are no seconds since 1970")
            whole, _, fraction = tags["TIME"].partition(".")
            time_ns = int(whole) * 1_000_000_000 + int(fraction.ljust(9, "0") or 0)
        values = Values()

        def put(tag: str, parameter_: str, resolution: float, invalid: float | None) -> None:
            if tag in tags:
                value = decimal(tags[tag])
                bad = invalid is not None and abs(value - invalid) < 1e-3
                values.add(parameter_, resolution, [(math.nan, Missing.INVALID) if bad else (value, 0)])

        put("BV", f"{track}_velocity{beam}", 1e-5, -32.768)
        put("WV", f"water_track_velocity{beam}", 1e-5, -32.768)
        for axis in "XYZ":
            put(f"V{axis}", f"{track}_{axis.lower()}_velocity", 1e-4, -32.768)
        put("SP", f"{track}_speed", 1e-3, None)
        put("DIR", f"{track}_to_direction", 0.1, None)
        for tag in ("FM", "FOM"):
            put(tag, f"{track}_velocity_uncertainty{beam}", 1e-5, 10.0 if tag == "FOM" else None)
        put("DIST", f"{track}_range{beam}" if beam else f"{track}_range", 0.01, 0.0)
        put("D", f"{track}_range", 0.01, 0.0)
        for i in (1, 2, 3, 4):
            put(f"D{i}", f"{track}_range_beam_{i}", 0.01, 0.0)
        put("BATT", "battery_voltage", 0.1, None)
        put("SS", "speed_of_sound_in_sea_water", 0.1, None)
        put("TEMP", "sea_water_temperature", 0.1, None)
        if "STAT" in tags:
            status = tags["STAT"].removeprefix("0x")
            values.add("device_status", 1, [(float(whole_number(status, "hexadecimal code", base=16)), 0)])
        self._give(f"dvl_{track}{beam}", None, time_ns, values, line, out)

    def _waves(
        self, kind: str, layout: Sequence[tuple[str, float]], fields: list[str], line: Line, out: list[Decoded]
    ) -> None:
        if len(fields) != len(layout) + 2:
            raise Broken(f"{len(fields)} fields; there must be {len(layout) + 2}")
        time_ns = moment_ns(fields[0], fields[1], year_first=False)
        values = Values()
        for (name, resolution), text in zip(layout, fields[2:], strict=True):
            if name == "device_error":
                values.add(name, resolution, [(float(whole_number(text, "hexadecimal code", base=16)), 0)])
            else:
                values.add(name, resolution, [judged(text, name)])
        self._give(kind, None, time_ns, values, line, out)

    def _spectrum(self, name: str, fields: list[str], line: Line, out: list[Decoded]) -> None:
        which = "E" if name == "E" else fields.pop(0)
        if (which in ("MD", "DS")) != (name == "WD") or which not in SPECTRA:
            raise Broken(f"{which[:10]!r} is no spectrum")
        if len(fields) < 6:
            raise Broken(f"{len(fields)} fields are too few for a spectrum")
        time_ns = moment_ns(fields[0], fields[1], year_first=False)
        basis, first, step = whole_number(fields[2], "spectrum basis"), decimal(fields[3]), decimal(fields[4])
        count = whole_number(fields[5], "number of frequencies")
        if not 0 < count <= 1024 or count != len(fields) - 6 or not (first >= 0 and step > 0):
            raise Broken(f"{count} frequencies are announced, {len(fields) - 6} came")
        kind, parameter_, resolution = SPECTRA[which]
        values = Values()
        values.add("wave_spectrum_basis", 1, [(basis, 0)])
        values.add(parameter_, resolution, [judged(text, parameter_) for text in fields[6:]], profile=True)
        self._give(kind, Cells(count, first, step), time_ns, values, line, out)

    def _give(
        self, kind: str, cells: Cells | None, time_ns: int, values: Values, line: Line, out: list[Decoded]
    ) -> None:
        schema = Schema(kind, tuple(values.fields), cells)
        schema = self._schemas.setdefault(schema.id, schema)
        if len(self._schemas) > 256:
            self._schemas.clear()
        source = TimeSource.INSTRUMENT
        if time_ns == NAT:
            source, time_ns = TimeSource.ARRIVAL, line.arrival.utc_ns
        time = np.array([time_ns], np.int64)
        out.append(Frame(self.instrument, schema, time, values.columns, source, line.arrival, values.reasons))
        if values.unreal:
            message = f"no such value in the sea; left out of the sample: {', '.join(values.unreal)}"
            out.append(problem("implausible", message, line.offset, line.data, line.arrival))


def _joined(items: list[Decoded]) -> list[Decoded]:
    """The same with Frames joined that follow each other."""
    out: list[Decoded] = []
    run: list[Frame] = []
    for item in [*items, None]:
        if isinstance(item, Frame) and (not run or item.follows(run[-1])):
            run.append(item)
            continue
        if run:
            out.append(concatenate(run))
            run = []
        if isinstance(item, Frame):
            run = [item]
        elif item is not None:
            out.append(item)
    return out
