"""Torn and flipped bytes in what the gateway keeps: only the damaged record is lost, it is told of, and nothing stops.

First a sweep without processes: the newest record of the spool and of the raw log cut at every byte, one bit flipped
in each record in turn, ten more lines after each. Then whole gateways, killed with a backlog, damaged at a random place
and started again: segments, marks, cursors, the epoch, the schemas.
"""

import logging
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from tests.faults.core import INSTRUMENT, Core, Lines, counts, driver
from tests.faults.instruments import COUNTING, Counting, Sample
from tests.faults.proxy import Proxy
from tests.faults.rig import Centre, Outcome, Station, against_ledger, against_raw_log, samples_of, scene, wind_down
from tidegate.envelope import decode_envelope
from tidegate.filesystem import OS_FILES
from tidegate.segment import Segment, scan

_BATCHES, _LINES = 8, 3


def run(centre: Centre, rounds: int, seed: int) -> Outcome:
    """The sweep once, and so many damaged gateways."""
    outcome = Outcome("torn", rounds, seed)
    with scene() as (folder, quay):
        logging.disable(logging.CRITICAL)  # the product tells of each of thousands of damages
        try:
            sweep = _sweep(folder / "sweep", random.Random(seed), thorough=rounds > 10)
        finally:
            logging.disable(logging.NOTSET)
        outcome.figures |= {f"sweep_{name}": figure for name, figure in sweep.items()}
        chance = random.Random(seed)
        port = folder / "ports/fast"
        quay.add(INSTRUMENT, Counting(interval_s=0.02), port)
        with Proxy(centre.broker.port) as proxy:
            station = Station(folder, "torn", {INSTRUMENT: f'port = {{ serial = "{port}" }}\n{COUNTING}'}, proxy.port)
            damaged: dict[int, list[Sample]] = {}
            kinds: dict[str, int] = {}
            try:
                station.start()
                time.sleep(2.0)
                for _ in range(rounds):
                    proxy.shut()
                    time.sleep(chance.uniform(2.2, 3.5))
                    station.kill()
                    kind = _damage(station, chance, damaged)
                    kinds[kind] = kinds.get(kind, 0) + 1
                    proxy.open()
                    station.start()
                    station.drain(60.0)
                rows = wind_down(quay, station, centre)
            finally:
                station.kill()
        said, accepted = against_ledger(quay, rows, None), against_raw_log(station, rows)
        outcome.count(said)
        lost = {one.values["lines_said"] for one in said.lost_samples}
        excused = {one.values["lines_said"] for samples in damaged.values() for one in samples}
        told = {
            seq
            for gap in centre.platform("torn")["gaps"]
            for seq in range(gap["first"], gap["last"] + 1)
            if "damaged" in gap["reason"]
        }
        untold = {
            seq
            for seq, samples in damaged.items()
            if seq not in told and any(one.values["lines_said"] in lost for one in samples)
        }
        beyond = {one.values["lines_said"] for one in accepted.lost_samples} - excused
        outcome.figures |= {
            "damaged": kinds,
            "envelopes_damaged": len(damaged),
            "lost_with_them": len(lost & excused),
            "accepted_lost_beyond": len(beyond),
            "unread_or_in_damaged_raw_records": len(lost - excused),
            "gaps_told": len(told),
            "restart_max_s": max(station.starts_s),
        }
        return outcome.judge(
            {
                "a torn newest Envelope costs nothing": sweep["cut_lost"] == 0,
                "a flipped bit costs its own Envelope alone": sweep["flip_lost_others"] == 0,
                "each lost Envelope is told of by a gap": sweep["flip_untold"] == 0 and not untold,
                "damage to the raw log takes nothing from the spool": sweep["raw_lost"] == 0,
                "what comes after the damage is read": sweep["after_lost"] == 0,
                "a start never refuses": sweep["refused"] == 0,
                "nothing beyond the damaged Envelopes is lost": not beyond,
                "a kill and a damaged raw record cost what they hold": len(lost - excused) <= 5 * rounds,
                "nothing is there twice or altered": not (said.duplicated or said.altered),
            }
        )


# ---- without processes -----------------------------------------------------------------------------------------------


def _sweep(folder: Path, chance: random.Random, *, thorough: bool) -> dict[str, int]:
    """What each cut and each flip costs."""
    lines = Lines()
    whole = folder / "whole"
    core = Core(whole)
    batches: list[list[int]] = []
    for _ in range(_BATCHES):
        batches.append([])
        for _ in range(_LINES):
            core.hear(lines.next(), lines.at_ns())
            batches[-1].append(lines.said)
        core.close_batch()
    core.close()
    said = {count for batch in batches for count in batch}
    found = dict.fromkeys(
        (
            "cuts",
            "cut_lost",
            "flips",
            "flip_lost_others",
            "flip_untold",
            "raw_lost",
            "after_lost",
            "doubled",
            "refused",
        ),
        0,
    )
    step = 1 if thorough else 7
    for part in ("spool", "raw"):
        offset, length, number = list(_records(whole / part))[-1]
        for cut in range(0, length, step):
            found["cuts"] += 1
            have, _ = _after_damage(whole, folder / "cut", part, found, truncate=offset + cut)
            found["cut_lost" if part == "spool" else "raw_lost"] += len(said - have)
        for offset, length, number in _records(whole / part):
            found["flips"] += 1
            bit = chance.randrange(8 * length)
            have, gaps = _after_damage(whole, folder / "flip", part, found, flip=(offset + bit // 8, 1 << bit % 8))
            if part == "raw":
                found["raw_lost"] += len(said - have)
                continue
            missing = said - have
            found["flip_lost_others"] += len(missing - set(batches[number - 1]))
            found["flip_untold"] += bool(missing) and number not in gaps
    return found


def _after_damage(
    whole: Path,
    folder: Path,
    part: str,
    found: dict[str, int],
    *,
    truncate: int | None = None,
    flip: tuple[int, int] | None = None,
) -> tuple[set[int], set[int]]:
    """(lines that are in the spool after a damage, a start and ten more lines; seqs told of by gaps)."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    (segment,) = (folder / part).glob("*.segment")
    data = bytearray(segment.read_bytes())
    if truncate is not None:
        del data[truncate:]
    if flip is not None:
        data[flip[0]] ^= flip[1]
    segment.write_bytes(data)
    more = [10_000 + k for k in range(10)]
    try:
        core = Core(folder)
        for count in more:
            core.hear(_line(count), count * 10**9)
        core.close_batch()
        list(core.spool.journal.read())  # as the uplink does: reading on finds the damage
        core.spool.close_batch(core.raw.mark)
    except Exception as error:
        found["refused"] += 1
        found.setdefault(f"refused_by_{type(error).__name__}", 1)
        return set(), set()
    schemas = {INSTRUMENT: {schema.id: schema for schema in driver().schemas()}}
    envelopes = [decode_envelope(payload, core.spool.platform) for _, payload in core.spool.journal.read()]
    have = [count for envelope in envelopes for count in counts(envelope, schemas)]
    gaps = {seq for e in envelopes for gap in e.gaps for seq in range(gap.first, gap.last + 1)}
    core.close()
    found["after_lost"] += len(set(more) - set(have))
    found["doubled"] += len(have) - len(set(have))
    return set(have), gaps


def _line(count: int) -> bytes:
    simulator = Counting()
    simulator._count = count - 1
    return simulator.tick(count * 10**9)


def _records(folder: Path) -> Iterator[tuple[int, int, int]]:
    """(offset, length, number) of each record in the one segment there is."""
    (path,) = folder.glob("*.segment")
    segment = Segment.named(path.name)
    assert segment is not None
    handle = OS_FILES.open(path)
    try:
        for offset, length, number, payload in scan(OS_FILES, handle, segment, 32, path.stat().st_size):
            if number and payload is not None:
                yield offset, length, number
    finally:
        OS_FILES.close(handle)


# ---- whole gateways --------------------------------------------------------------------------------------------------


def _damage(station: Station, chance: random.Random, damaged: dict[int, list[Sample]]) -> str:
    """Damages one thing in the folder of a gateway that was killed. `damaged` takes what may now be lost, by seq."""
    kind = chance.choice(("cut spool", "flip spool", "flip spool", "cut raw", "epoch", "schemas", "cursor"))
    spool = station.storage / "spool"
    if kind in ("epoch", "schemas", "cursor"):
        names = {"epoch": "epoch", "schemas": "schemas.json", "cursor": "hub.cursor"}
        path = spool / names[kind]
        if path.exists():
            data = path.read_bytes()
            path.write_bytes(data[: chance.randrange(len(data))])
        return kind
    part = station.storage / kind.split()[1]
    path = max(part.glob("*.segment"))
    segment = Segment.named(path.name)
    assert segment is not None
    handle = OS_FILES.open(path, writable=True)
    try:
        size = path.stat().st_size
        records = [r for r in scan(OS_FILES, handle, segment, 32, size) if r[2] and r[3] is not None]
        if not records:
            return "nothing"
        offset, length, number, payload = records[-1] if kind.startswith("cut") else chance.choice(records[-3:])
        if kind.startswith("cut"):
            OS_FILES.truncate(handle, offset + chance.randrange(length))
        else:
            bit = chance.randrange(8 * length)
            byte = OS_FILES.read(handle, 1, offset + bit // 8)
            OS_FILES.write(handle, bytes([byte[0] ^ 1 << bit % 8]), offset + bit // 8)
    finally:
        OS_FILES.close(handle)
    if part == spool and payload is not None:
        schemas = {INSTRUMENT: {schema.id: schema for schema in driver().schemas()}}
        frames, _ = decode_envelope(payload, station.platform).decode(schemas)
        damaged[number] = [sample for frame in frames for sample in samples_of(frame)]
    return kind
