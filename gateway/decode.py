"""`tidegate decode`: what a recording says, as samples.

Samples go to standard output (NDJSON, one object each, or CSV, one table of all files); what is not a good record goes
to standard error with its place in the file, and never to standard output. A gateway's raw log (its `raw` folder)
decodes as any file does; there a place counts the bytes of that instrument.
"""

import csv
import json
import os
import sys
import tomllib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TextIO

import numpy as np
import typer
from pydantic import ValidationError

from drivers import driver as drivers
from drivers.arrivals import Pieces
from drivers.driver import Decoded, Driver, Problem, problem
from drivers.recording import Batch, Offsets, Piece, Stamps, batches
from gateway import rawlog
from gateway.guard import Guarded
from tidegate.clock import NAT, Arrival
from tidegate.frame import Field, Frame, Schema
from tidegate.settings import nearest

_CHUNK = 1 << 18
_MANY = 4096  # utterances of a raw log that are decoded together


class Break(NamedTuple):
    """The instrument's stream ended here, and why; what follows is another one."""

    reason: str


def chunks(path: Path) -> Iterator[bytes]:
    """A file's bytes; `-` is standard input."""
    with sys.stdin.buffer if str(path) == "-" else path.open("rb") as file:
        while data := file.read(_CHUNK):
            yield data


def recorded(path: Path, stamps: Stamps | None = None, instrument: str | None = None) -> Iterator[Batch | Break]:
    """What the instrument said in a recording: a file, or a raw log's folder (of one `instrument` where several speak).

    Raises OSError where it cannot be read, and ValueError where a raw log does not hold just one such instrument.
    """
    if not path.is_dir():
        yield from batches(chunks(path), stamps)
        return
    speaking = sorted({u.instrument for u in rawlog.read(path) if u.direction is rawlog.Direction.HEARD})
    if instrument is None and len(speaking) > 1:
        raise ValueError(f"this raw log holds several instruments; name one by --instrument: {', '.join(speaking)}")
    if instrument is not None and instrument not in speaking:
        raise ValueError(f"no instrument {instrument!r} in this raw log; it holds: {', '.join(speaking) or 'none'}")
    begins = 0
    waiting: list[tuple[bytes, Arrival]] = []
    for utterance in rawlog.read(path, instrument):
        if utterance.direction is rawlog.Direction.HEARD:
            waiting.append((utterance.data, utterance.at))
        ended = utterance.direction is rawlog.Direction.ENDED
        if ended or len(waiting) >= _MANY:
            batch = _batch(begins, waiting)
            begins, waiting = begins + len(batch.pieces.data), []
            yield batch
        if ended:
            yield Break(utterance.data.decode(errors="replace"))
    yield _batch(begins, waiting)


def _batch(begins: int, heard: list[tuple[bytes, Arrival]]) -> Batch:
    pieces = Pieces.of(heard)
    return Batch(pieces.starts + begins, pieces)


def by_piece(recording: Iterator[Batch | Break]) -> Iterator[Piece | Break]:
    """The same piece by piece."""
    for part in recording:
        if isinstance(part, Break):
            yield part
        else:
            yield from part


def decoded(driver: Driver, recording: Iterator[Batch | Break]) -> Iterator[Decoded]:
    """All that a driver makes of a recording; problems with their offsets in the file.

    A break of the stream is a Problem `ended`, after what it left unfinished.
    """
    offsets, guarded = Offsets(), Guarded(driver)
    fed = 0
    for part in recording:
        if isinstance(part, Break):
            yield from _placed(guarded.finish(), offsets)
            yield problem("ended", part.reason, offsets.in_file(fed), b"")
        else:
            offsets.fed(part)
            fed += len(part.pieces.data)
            yield from _placed(guarded.feed_all(part.pieces), offsets)
    yield from _placed(guarded.finish(), offsets)


def _placed(items: list[Decoded], offsets: Offsets) -> Iterator[Decoded]:
    for item in items:
        if isinstance(item, Problem):
            place = offsets.in_file(item.offset)
            yield Problem(item.kind, item.message, place, item.data, item.size, item.arrival)
        else:
            yield item


# --- a driver from the command line -----------------------------------------------------------------------------------


def make_driver(name: str, instrument: str, given: list[str]) -> Driver:
    """A driver with settings from `name=value` texts (values as in TOML). Raises typer.BadParameter with the remedy."""
    try:
        cls = drivers.load(name)
    except drivers.UnknownDriver as error:
        close = nearest(name, drivers.names(), repr)
        hint = f"{close} " if close.startswith("did") else ""
        raise typer.BadParameter(f"{hint}{error}", param_hint="--driver") from None
    values: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"{text!r}: write name=value", param_hint="--set")
        try:
            values[key.strip()] = tomllib.loads(f"x = {value}")["x"]
        except tomllib.TOMLDecodeError:  # words need no quotes, and lists no brackets
            values[key.strip()] = [part.strip() for part in value.split(",")] if "," in value else value
    try:
        return cls(instrument, cls.Settings.model_validate(values))
    except ValidationError as error:
        told = "; ".join(_mistake(cls, dict(e)) for e in error.errors(include_url=False))
        raise typer.BadParameter(told, param_hint="--set") from None
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--set") from None


def _mistake(cls: type[Driver], error: dict[str, Any]) -> str:
    place, known = ".".join(map(str, error["loc"])), cls.Settings.model_fields
    if error["type"] == "extra_forbidden" and len(error["loc"]) == 1:
        return f"there is no setting {place!r}; {nearest(place, known, repr)}"
    if error["type"] == "missing":
        return f"the setting {place!r} is needed: --set {place}=…"
    what = str(error["ctx"]["error"]) if error["type"] == "value_error" else error["msg"]
    return f"{place}: {what}" if place else what


# --- samples as text --------------------------------------------------------------------------------------------------


class Writer(ABC):
    """Writes samples to `out`."""

    def __init__(self, out: TextIO) -> None:
        self.out = out

    @abstractmethod
    def add(self, frame: Frame) -> None:
        """Takes samples."""

    def close(self) -> None:
        """All samples are there."""
        self.out.flush()


class NdjsonWriter(Writer):
    """One JSON object a sample, one a line, as they are decoded."""

    def add(self, frame: Frame) -> None:
        """Writes them at once."""
        fields = frame.schema.fields
        names = ["time", *(f.name for f in fields)]
        line = (
            "{" + ",".join(f"{json.dumps(name)}:%s".replace("%", "%%").replace("%%s", "%s") for name in names) + "}\n"
        )
        times = [f'"{t}"' if t else "null" for t in _times(frame)]
        columns = [_joined(_values(frame, f, "null"), frame.schema.width(f) if f.profile else 0) for f in fields]
        self.out.write("".join(map(line.__mod__, zip(times, *columns, strict=True))))


def _joined(values: list[str], width: int) -> list[str]:
    if not width:
        return values
    return [f"[{','.join(values[i : i + width])}]" for i in range(0, len(values), width)]


class CsvWriter(Writer):
    """One line a sample under one header: the columns of all records, the cells of profiles numbered from 1."""

    def __init__(self, out: TextIO) -> None:
        super().__init__(out)
        self._frames: list[Frame] = []

    def add(self, frame: Frame) -> None:
        """Keeps them until the header is known."""
        self._frames.append(frame)

    def close(self) -> None:
        """Writes all."""
        widths: dict[str, int] = {}
        for frame in self._frames:
            for f in frame.schema.fields:
                widths[f.name] = max(widths.get(f.name, 0), frame.schema.width(f) if f.profile else 0)
        writer = csv.writer(self.out, lineterminator="\n")
        writer.writerow(
            ["time", *(n for name, w in widths.items() for n in ([f"{name}_{i + 1}" for i in range(w)] or [name]))]
        )
        for frame in self._frames:
            columns: list[list[str]] = [_times(frame)]
            for name, width in widths.items():
                columns += _cells(frame, name, width)
            writer.writerows(zip(*columns, strict=True))
        super().close()


def _cells(frame: Frame, name: str, width: int) -> list[list[str]]:
    """A field's columns of a table, empty ones where the Frame has less of them."""
    absent = [""] * len(frame)
    f = frame.schema.by_name.get(name)
    if f is None:
        return [absent] * max(width, 1)
    values, own = _values(frame, f, ""), frame.schema.width(f) if f.profile else 1
    return [values[i::own] for i in range(own)] + [absent] * (max(width, 1) - own)


def _times(frame: Frame) -> list[str]:
    """ISO 8601 with nanoseconds, UTC; empty where there is none."""
    texts: list[str] = np.datetime_as_string(frame.time.view("M8[ns]"), unit="ns").tolist()
    return [text + "Z" if ns != NAT else "" for text, ns in zip(texts, frame.time.tolist(), strict=True)]


def _values(frame: Frame, f: Field, missing: str) -> list[str]:
    """A column's values (the cells of a sample after each other) as the shortest text that gives the same number."""
    column = frame.columns[f.name]
    numbers = column if f.integer else np.round(column, f.decimals) + 0.0  # no minus zero
    texts = list(map(repr, numbers.ravel().tolist()))
    for i in np.flatnonzero((frame.missing(f.name) != 0) | ~np.isfinite(column)).tolist():
        texts[i] = missing
    return texts


# --- the command ------------------------------------------------------------------------------------------------------


class Summary:
    """What was found in a file."""

    def __init__(self) -> None:
        self.problems = 0
        self._samples: Counter[Schema] = Counter()

    def add(self, frame: Frame) -> None:
        """Counts samples."""
        self._samples[frame.schema] += len(frame)

    def __str__(self) -> str:
        kinds: Counter[str] = Counter()
        for schema, count in self._samples.items():
            cells = schema.cells
            looking = {True: ", looking up", False: ", looking down", None: ""}[cells.upward if cells else None]
            shape = f" in {cells.count} cells of {cells.size_m:g} m from {cells.first_m:g} m{looking}" if cells else ""
            kinds[f"{schema.kind}{shape}"] += count
        of = f" ({', '.join(f'{count} {kind}' for kind, count in kinds.items())})" if kinds else ""
        return f"{_counted(self._samples.total(), 'sample')}{of}, {_counted(self.problems, 'problem')}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _tell(problem: Problem, out: TextIO, source: str) -> None:
    more = "…" if problem.size > 24 else ""
    evidence = f" {problem.data[:24]!r}{more}" if problem.data else ""
    out.write(f"{source}: byte {problem.offset}: {problem.kind}: {problem.message}{evidence}\n")


def decode(
    files: Annotated[list[Path], typer.Argument(help="Recordings, or a gateway's raw folder; - is standard input.")],
    driver: Annotated[str, typer.Option(help=f"What said it: {', '.join(drivers.names())}.")],
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV instead of NDJSON.")] = False,
    given: Annotated[list[str] | None, typer.Option("--set", help="A setting of the driver: name=value.")] = None,
    stamps: Annotated[Stamps | None, typer.Option(help="The logger's stamps; found out if not given.")] = None,
    instrument: Annotated[str | None, typer.Option(help="Which one, of a raw log of several.")] = None,
) -> None:
    """Decode recordings: samples to standard output, problems with their byte offsets to standard error."""
    writer = (CsvWriter if as_csv else NdjsonWriter)(sys.stdout)
    unreadable = False
    try:
        for path in files:
            made = make_driver(driver, instrument or driver, given or [])
            summary = Summary()
            try:
                for item in decoded(made, recorded(path, stamps, instrument)):
                    if isinstance(item, Problem):
                        summary.problems += 1
                        _tell(item, sys.stderr, str(path))
                    else:
                        summary.add(item)
                        writer.add(item)
            except BrokenPipeError:
                raise
            except (OSError, ValueError) as error:
                typer.echo(f"{path}: {getattr(error, 'strerror', None) or error}", err=True)
                unreadable = True
            else:
                typer.echo(f"{path}: {summary}", err=True)
        writer.close()
    except BrokenPipeError:
        # Whoever read our output has enough of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    if unreadable:
        raise typer.Exit(1)
