"""`tidegate decode`: what a recording says, as samples.

Samples go to standard output (NDJSON, one object each, or CSV); what is not a good record goes to standard error
with its place in the file, and never to standard output. A gateway's raw log (its `raw` folder) decodes as any file
does.
"""

import csv
import json
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from pydantic import ValidationError

from drivers import driver as drivers
from drivers.driver import Decoded, Driver, Problem
from drivers.recording import Offsets, Piece, Stamps, pieces
from gateway import rawlog
from tidegate.frame import Frame, rows

_CHUNK = 1 << 18


class Summary:
    """What was found in the end."""

    def __init__(self) -> None:
        self.samples = 0
        self.problems = 0

    def __str__(self) -> str:
        return f"{self.samples} samples, {self.problems} problems"


def chunks(path: Path) -> Iterator[bytes]:
    """A file's bytes; `-` is standard input."""
    with sys.stdin.buffer if str(path) == "-" else path.open("rb") as file:
        while data := file.read(_CHUNK):
            yield data


def recorded(path: Path, stamps: Stamps | None = None, instrument: str | None = None) -> Iterator[Piece]:
    """The instrument's bytes in a recording: a file, or a raw log's folder (of one `instrument` where several speak).

    Raises OSError where it cannot be read and ValueError where a raw log holds several instruments and none was named.
    """
    if not path.is_dir():
        yield from pieces(chunks(path), stamps)
        return
    offset = 0
    heard: set[str] = set()
    for utterance in rawlog.read(path, instrument):
        if utterance.direction is not rawlog.Direction.HEARD:
            continue
        heard.add(utterance.instrument)
        if len(heard) > 1:
            raise ValueError(f"{path} holds several instruments ({', '.join(sorted(heard))} …); name one: --instrument")
        yield Piece(offset, utterance.data, utterance.at)
        offset += len(utterance.data)


def decoded(driver: Driver, recording: Iterator[Piece]) -> Iterator[Decoded]:
    """All that a driver makes of a recording; problems with their offsets in the file."""
    offsets = Offsets()
    for piece in recording:
        offsets.fed(piece)
        yield from _placed(driver.feed(piece.data, piece.at), offsets)
    yield from _placed(driver.finish(), offsets)


def _placed(items: list[Decoded], offsets: Offsets) -> Iterator[Decoded]:
    for item in items:
        if isinstance(item, Problem):
            place = offsets.in_file(item.offset)
            yield Problem(item.kind, item.message, place, item.data, item.size, item.arrival)
        else:
            yield item


def make_driver(name: str, instrument: str, given: list[str]) -> Driver:
    """A driver with settings from `name=value` texts (values as in TOML). Raises typer.BadParameter with the remedy."""
    try:
        cls = drivers.load(name)
    except drivers.UnknownDriver as error:
        raise typer.BadParameter(str(error), param_hint="--driver") from None
    values: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"{text!r}: write name=value", param_hint="--set")
        try:
            values[key.strip()] = tomllib.loads(f"x = {value}")["x"]
        except tomllib.TOMLDecodeError:
            values[key.strip()] = value
    try:
        return cls(instrument, cls.Settings.model_validate(values))
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise typer.BadParameter(told, param_hint="--set") from None


def write_ndjson(items: Iterator[Decoded], out: TextIO, problems: TextIO, source: str) -> Summary:
    """One JSON object a sample, one a line, as they are decoded."""
    summary = Summary()
    for item in items:
        if isinstance(item, Frame):
            summary.samples += len(item)
            out.writelines(json.dumps(row, separators=(",", ":")) + "\n" for row in rows([item]))
        else:
            summary.problems += 1
            _tell(item, problems, source)
    return summary


def write_csv(items: Iterator[Decoded], out: TextIO, problems: TextIO, source: str) -> Summary:
    """One line a sample under one header: the columns of all records that the file holds, a profile's cells
    numbered."""
    summary = Summary()
    frames: list[Frame] = []
    for item in items:
        if isinstance(item, Frame):
            frames.append(item)
            summary.samples += len(item)
        else:
            summary.problems += 1
            _tell(item, problems, source)
    widths: dict[str, int] = {}
    for frame in frames:
        for f in frame.schema.fields:
            widths[f.name] = max(widths.get(f.name, 0), frame.schema.width(f) if f.profile else 0)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["time", *(n for name, width in widths.items() for n in _column_names(name, width))])
    for row in rows(frames):
        line = [row["time"]]
        for name, width in widths.items():
            value = row.get(name)
            line += [value] if not width else ((value or []) + [None] * width)[:width]
        writer.writerow(line)
    return summary


def _column_names(name: str, width: int) -> list[str]:
    return [f"{name}_{cell}" for cell in range(1, width + 1)] if width else [name]


def _tell(problem: Problem, out: TextIO, source: str) -> None:
    more = "…" if problem.size > 24 else ""
    out.write(f"{source}: byte {problem.offset}: {problem.kind}: {problem.message} {problem.data[:24]!r}{more}\n")


def decode(
    files: Annotated[list[Path], typer.Argument(help="Recordings, or a gateway's raw folder; - is standard input.")],
    driver: Annotated[str, typer.Option(help=f"What said it: {', '.join(drivers.names())}.")],
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV instead of NDJSON.")] = False,
    given: Annotated[list[str] | None, typer.Option("--set", help="A setting of the driver: name=value.")] = None,
    stamps: Annotated[Stamps | None, typer.Option(help="The logger's stamps; found out if not given.")] = None,
    instrument: Annotated[str | None, typer.Option(help="Which one, of a raw log of several.")] = None,
) -> None:
    """Decode recordings: samples to standard output, problems with their byte offsets to standard error."""
    write = write_csv if as_csv else write_ndjson
    unreadable = False
    for path in files:
        made = make_driver(driver, instrument or driver, given or [])
        try:
            summary = write(decoded(made, recorded(path, stamps, instrument)), sys.stdout, sys.stderr, str(path))
        except BrokenPipeError:
            sys.stderr.close()  # whoever read our output has enough
            raise typer.Exit(0) from None
        except (OSError, ValueError) as error:
            typer.echo(f"{path}: {error}", err=True)
            unreadable = True
            continue
        typer.echo(f"{path}: {summary}", err=True)
    if unreadable:
        raise typer.Exit(1)
