"""`tidegate decode`: what recordings say, as samples.

Samples go to standard output, or into files of each recording (`gateway.writers`); what is not a good record goes to
standard error with its place in the file, and never among the samples. A gateway's raw log (its `raw` folder) decodes
as any file does; there a place counts the bytes of that instrument. Which driver knows a recording is found out where
none is named (`gateway.recognise`), so the files of a whole cruise, of twenty instruments, decode in one go.
"""

import json
import os
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from drivers import driver as drivers
from drivers.arrivals import Pieces
from drivers.driver import Decoded, Driver, DriverSettings, Problem, problem
from drivers.recording import Batch, Offsets, Piece, Stamps, batches
from gateway import rawlog
from gateway.guard import Guarded
from gateway.recognise import ENOUGH, guesses
from gateway.writers import About, CsvWriter, Form, NdjsonWriter, NetcdfWriter, ParquetWriter, Writer
from tidegate.clock import Arrival
from tidegate.frame import Schema
from tidegate.settings import nearest

_CHUNK = 1 << 18
_SAMPLE = 1 << 15  # bytes of a recording by which its driver is recognised
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
        yield from batches(chunks(path), stamps, instrument or "")
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


# --- the command ------------------------------------------------------------------------------------------------------


class Summary:
    """What was found in a recording."""

    def __init__(self) -> None:
        self.problems: Counter[str] = Counter()
        self._samples: Counter[Schema] = Counter()

    def add(self, item: Decoded) -> None:
        """Counts samples and problems."""
        if isinstance(item, Problem):
            self.problems[item.kind] += 1
        else:
            self._samples[item.schema] += len(item)

    def __str__(self) -> str:
        kinds: Counter[str] = Counter()
        for schema, count in self._samples.items():
            cells = schema.cells
            looking = {True: ", looking up", False: ", looking down", None: ""}[cells.upward if cells else None]
            shape = f" in {cells.count} cells of {cells.size_m:g} m from {cells.first_m:g} m{looking}" if cells else ""
            kinds[f"{schema.kind}{shape}"] += count
        of = f" ({', '.join(f'{count} {kind}' for kind, count in kinds.items())})" if kinds else ""
        return f"{_counted(self._samples.total(), 'sample')}{of}, {_counted(self.problems.total(), 'problem')}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _tell(problem: Problem, source: str) -> str:
    more = "…" if problem.size > 24 else ""
    evidence = f" {problem.data[:24]!r}{more}" if problem.data else ""
    return f"{source}: byte {problem.offset}: {problem.kind}: {problem.message}{evidence}"


def recognised(path: Path, stamps: Stamps | None, instrument: str | None) -> tuple[str, DriverSettings]:
    """The driver whose instrument a recording is of, by its beginning, and its settings. Raises ValueError."""
    heard: list[tuple[bytes, Arrival]] = []
    for part in by_piece(recorded(path, stamps, instrument)):
        if isinstance(part, Break) or sum(len(data) for data, _ in heard) >= _SAMPLE:
            break
        heard.append((part.data[:_SAMPLE], part.at))
    found = guesses(heard)
    if not found or found[0].confidence < ENOUGH:
        near = f"; the nearest is {found[0].driver}, at {found[0].confidence:.0%}" if found else ""
        raise ValueError(f"which instrument this is of cannot be told{near}; name its driver by --driver")
    return found[0].driver, found[0].settings


def expanded(paths: list[Path]) -> list[Path]:
    """The recordings: files, raw logs, and what is in the other folders, in order."""
    found: list[Path] = []
    for path in paths:
        inside = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else []
        found += [path] if not inside or any(path.glob("*.segment")) else inside
    return found


class _Outputs:
    """Where the samples of each recording go: all to standard output, or each into files of its own in a folder."""

    def __init__(self, form: Form, folder: Path | None) -> None:
        self._form, self._folder = form, folder
        self._taken: set[str] = set()
        text = {Form.NDJSON: NdjsonWriter, Form.CSV: CsvWriter}.get(form)
        if folder is None and text is None:
            raise typer.BadParameter(f"{form.value} goes into files; say in which folder", param_hint="--output")
        self._shared = text(sys.stdout) if text and folder is None else None

    @contextmanager
    def writer(self, path: Path) -> Iterator[Writer]:
        """The writer of a recording's samples."""
        if self._shared or not self._folder:
            assert self._shared
            yield self._shared
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        name = "stdin" if str(path) == "-" else path.resolve().name
        if name in self._taken:
            raise ValueError(f"{self._folder} has the samples of another recording called {name}; decode it by itself")
        self._taken.add(name)
        base = self._folder / name
        if self._form in (Form.NETCDF, Form.PARQUET):
            yield (NetcdfWriter if self._form is Form.NETCDF else ParquetWriter)(base)
            return
        part = base.with_name(f"{name}.{self._form.value}.part")
        with part.open("w") as file:
            yield (CsvWriter if self._form is Form.CSV else NdjsonWriter)(file)
        part.rename(part.with_suffix(""))

    def end(self, writer: Writer, about: About) -> None:
        """A recording is through."""
        if writer is not self._shared:
            writer.close(about)

    def close(self) -> None:
        """All recordings are through."""
        if self._shared:
            self._shared.close(About("", "", {}, {}))


class _Progress:
    """Tells on standard error, with a bar of the bytes where that is a terminal."""

    def __init__(self, recordings: list[Path]) -> None:
        total = sum(_size(path) for path in recordings)
        self._bar: Progress | None = None
        if sys.stderr.isatty() and total > _CHUNK:
            columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> "_Progress":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def tell(self, line: str) -> None:
        """One line, above the bar."""
        if self._bar:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            typer.echo(line, err=True)

    def follow(self, path: Path, recording: Iterator[Batch | Break]) -> Iterator[Batch | Break]:
        """The same recording, with the bar moving."""
        for part in recording:
            yield part
            if self._bar and isinstance(part, Batch):
                self._bar.update(self._task, advance=len(part.pieces.data), description=path.name)


def _size(path: Path) -> int:
    try:
        return sum(p.stat().st_size for p in path.iterdir()) if path.is_dir() else path.stat().st_size
    except OSError:
        return 0


def decode(
    recordings: Annotated[
        list[Path],
        typer.Argument(help="Recordings, folders of them, or a gateway's raw folder; - is standard input."),
    ],
    driver: Annotated[
        str | None, typer.Option(help=f"What said it; found out if not given. {', '.join(drivers.names())}.")
    ] = None,
    to: Annotated[Form, typer.Option(help="What samples are written as.")] = Form.NDJSON,
    as_csv: Annotated[bool, typer.Option("--csv", help="Short for --to csv.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The folder for the samples of each recording.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="Only samples of this kind, such as adcp or gnss_fix.")] = None,
    given: Annotated[list[str] | None, typer.Option("--set", help="A setting of the driver: name=value.")] = None,
    stamps: Annotated[Stamps | None, typer.Option(help="The logger's stamps; found out if not given.")] = None,
    instrument: Annotated[str | None, typer.Option(help="Which one, of a raw log of several.")] = None,
) -> None:
    """Decode recordings: samples to standard output or files, problems with their byte offsets to standard error."""
    given = given or []
    if given and driver is None:
        raise typer.BadParameter("settings belong to a driver; name it by --driver", param_hint="--set")
    if driver is not None:
        make_driver(driver, instrument or driver, given)  # a mistake in it is of no one recording
    elif Path("-") in recordings:
        raise typer.BadParameter("standard input is read once; say by which driver", param_hint="--driver")
    outputs = _Outputs(Form.CSV if as_csv else to, output)
    paths = expanded(recordings)
    unreadable = 0
    kinds: Counter[tuple[str, str]] = Counter()

    def one(path: Path, progress: _Progress) -> None:
        if driver is None:
            name, settings = recognised(path, stamps, instrument)
            progress.tell(f"{path}: it is {name}{_shown(settings)}")
            made = drivers.load(name)(instrument or name, settings)
        else:
            name, made = driver, make_driver(driver, instrument or driver, given)
        summary = Summary()
        with outputs.writer(path) as writer:
            for item in decoded(made, progress.follow(path, recorded(path, stamps, instrument))):
                summary.add(item)
                if isinstance(item, Problem):
                    progress.tell(_tell(item, str(path)))
                elif kind in (None, item.schema.kind):
                    writer.add(item)
            outputs.end(writer, About(path.name, name, made.description(), summary.problems))
        progress.tell(f"{path}: {summary}")
        kinds.update({(name, kind): count for kind, count in summary.problems.items()})

    try:
        with _Progress(paths) as progress:
            for path in paths:
                try:
                    one(path, progress)
                except BrokenPipeError:
                    raise
                except (OSError, ValueError) as error:
                    progress.tell(f"{path}: {getattr(error, 'strerror', None) or error}")
                    unreadable += 1
            if len(paths) > 1:
                _tell_all(progress.tell, len(paths), unreadable, kinds)
        outputs.close()
    except BrokenPipeError:
        # Whoever read our output has enough of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    if unreadable:
        raise typer.Exit(1)


def _shown(settings: DriverSettings) -> str:
    """What of the settings is not as usual, in words."""
    chosen = [
        f"{name} = {json.dumps(value)}" for name, value in settings.model_dump(mode="json", exclude_unset=True).items()
    ]
    return f" with {', '.join(chosen)}" if chosen else ""


def _tell_all(tell: Callable[[str], None], count: int, unreadable: int, kinds: Counter[tuple[str, str]]) -> None:
    """The problems of all recordings by kind, commonest first, with what they mean."""
    failed = f", {unreadable} of them not decoded" if unreadable else ""
    tell(f"{_counted(count, 'recording')}{failed}, {_counted(kinds.total(), 'problem')}")
    for (name, kind), number in kinds.most_common():
        meaning = drivers.load(name).problems.get(kind)
        tell(f"  {number} {kind} ({name}){f': {meaning}' if meaning else ''}")
