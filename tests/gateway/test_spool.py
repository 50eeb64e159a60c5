"""The spool gives every accepted sample until the hub has it, across restarts, damage and a full disk."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.spool import Spool
from tests.gateway.samples import LEVEL, level
from tidegate.envelope import Envelope, chain_hash, decode_envelope
from tidegate.journal import JournalFull

SCHEMAS = {"radar": {LEVEL.id: LEVEL}}


def open_spool(directory: Path, max_bytes: int = 10_000_000) -> Spool:
    return Spool("tioman-1", directory, max_bytes)


def envelopes(spool: Spool) -> list[Envelope]:
    return [decode_envelope(data, spool.platform) for _, data in spool.pending()]


def seconds(spool: Spool) -> list[int]:
    frames = [frame for e in envelopes(spool) for frame in e.decode(SCHEMAS)[0]]
    return [int(t) // 10**9 for frame in frames for t in frame.time]


def test_what_was_accepted_is_given_in_order_across_restarts(tmp_path: Path) -> None:
    for start in (0, 5, 9):
        spool = open_spool(tmp_path)
        for k in range(start, start + 3):
            spool.put(level(k))
        assert spool.close_batch() is not None
        assert spool.close_batch() is None
        spool.close()
    spool = open_spool(tmp_path)
    assert seconds(spool) == [0, 1, 2, 5, 6, 7, 9, 10, 11]
    given_out = envelopes(spool)
    assert [e.seq for e in given_out] == [1, 2, 3]
    assert len({e.epoch for e in given_out}) == 1
    data = [payload for _, payload in spool.pending()]
    assert [e.previous for e in given_out[1:]] == [chain_hash(d) for d in data[:-1]]


def test_samples_of_one_instrument_travel_as_one_frame(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    for k in range(50):
        spool.put(level(k))
        spool.put(level(k, instrument="pressure"))
    spool.close_batch()
    (envelope,) = envelopes(spool)
    assert len(envelope.frames) == 2


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 4)), max_size=6), st.integers(0, 12))
def test_only_what_the_hub_has_is_left_out(ranges: list[tuple[int, int]], through: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        spool = open_spool(Path(folder))
        for k in range(12):
            spool.put(level(k))
            spool.close_batch()
        acked = {n for a, b in ranges for n in range(a, a + b + 1)} | set(range(1, through + 1))
        spool.acknowledge(through, [(a, a + b) for a, b in ranges])
        left = [n for n in range(1, 13) if n not in acked]
        assert [seq for seq, _ in spool.pending()] == left
        assert spool.backlog() == len(left)
        spool.close()
        again = open_spool(Path(folder))
        # What lies beyond a hole is told by the hub anew; what precedes it stays done.
        assert [seq for seq, _ in again.pending()] == list(range(left[0] if left else 13, 13))
        again.close()


def test_a_damaged_envelope_becomes_a_gap_that_is_told_once(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    for k in range(5):
        spool.put(level(k))
        spool.close_batch()
    spool.close()
    (segment,) = tmp_path.glob("*.segment")
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 0xFF
    segment.write_bytes(data)
    spool = open_spool(tmp_path)
    assert seconds(spool) == [0, 1, 3, 4]
    spool.close_batch()
    assert [(g.first, g.last) for e in envelopes(spool) for g in e.gaps] == [(3, 3)]
    assert spool.close_batch() is None


def test_a_full_spool_drops_its_oldest_and_says_so(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, 40_000)
    for k in range(800):
        spool.put(level(k))
        spool.close_batch()
    spool.close_batch()
    had = seconds(spool)
    gaps = [g for e in envelopes(spool) for g in e.gaps]
    assert had == sorted(had)
    assert had[-1] == 799
    assert spool.journal.bytes <= 40_000
    told = {n for g in gaps for n in range(g.first, g.last + 1)}
    kept = {e.seq for e in envelopes(spool)}
    assert max(told) == min(kept) - 1
    assert all("full" in g.reason for g in gaps)


@pytest.mark.parametrize("before", [0, 1, 5])
def test_a_refusing_disk_loses_nothing_that_fits_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    spool = open_spool(tmp_path)
    for k in range(before):  # all in one segment, which is never given up
        spool.put(level(k))
        spool.close_batch()
    append = spool.journal.append

    def refuse(payload: bytes, *, critical: bool = False) -> int:
        raise JournalFull(28, "no space left")

    monkeypatch.setattr(spool.journal, "append", refuse)
    for k in range(before, before + 7):
        spool.put(level(k))
        with pytest.raises(OSError, match="no space"):
            spool.close_batch()
    monkeypatch.setattr(spool.journal, "append", append)
    spool.put(level(before + 7))
    assert spool.close_batch() == before + 1
    assert seconds(spool) == list(range(before + 8))


def test_schemas_outlive_a_restart_and_damage(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    assert spool.declare("radar", LEVEL)
    assert not spool.declare("radar", LEVEL)
    spool.close()
    spool = open_spool(tmp_path)
    assert spool.schemas == SCHEMAS
    spool.close()
    (tmp_path / "schemas.json").write_text("{half")
    spool = open_spool(tmp_path)
    assert spool.schemas == {}
    assert spool.declare("radar", LEVEL)
