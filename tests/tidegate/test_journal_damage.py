"""Damage costs the records it hits and no other, is told, and never keeps a journal from opening."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tidegate.forgetful import ForgetfulFiles
from tidegate.journal import Journal
from tidegate.segment import RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, Segment

FOLDER = Path("/spool")
PAYLOADS = {number: b"sample %02d of the tide" % number for number in range(1, 9)}
SIZE = RECORD_HEADER_BYTES + len(PAYLOADS[1])


def _filled(*, segment_bytes: int = 1 << 20) -> ForgetfulFiles:
    files = ForgetfulFiles()
    with Journal(FOLDER, segment_bytes=segment_bytes, files=files) as journal:
        for payload in PAYLOADS.values():
            journal.append(payload)
    return files


def _segments(files: ForgetfulFiles) -> list[Path]:
    return sorted(FOLDER / name for name in files.names(FOLDER) if name.endswith(".segment"))


def _lost(journal: Journal) -> set[int]:
    return {number for first, last in journal.lost() for number in range(first, last + 1)}


def _check_only_lost(files: ForgetfulFiles, lost: set[int], *, told: bool = True) -> None:
    """After damage: the journal opens, gives all but `lost`, tells, takes ten more and gives them, now and later."""
    more: dict[int, bytes] = {}
    for opening in range(2):
        with Journal(FOLDER, files=files) as journal:
            if not opening:
                for index in range(10):
                    number = journal.append(b"later %d" % index)
                    assert number not in more
                    assert number > max(PAYLOADS.keys() - lost)
                    assert not told or number not in lost, "the number of a record that was there is not given again"
                    more[number] = b"later %d" % index
            assert dict(journal.read()) == {**{n: p for n, p in PAYLOADS.items() if n not in lost}, **more}
            if told:
                assert _lost(journal) >= lost
                assert not _lost(journal) & ((PAYLOADS.keys() - lost) | more.keys())
                assert journal.damage
                covered = [range(d.first_lost or 0, (d.last_lost or -1) + 1) for d in journal.damage]
                assert all(any(number in numbers for numbers in covered) for number in lost)
        reader = Journal.reader(FOLDER, files=files)
        assert {number for number, _ in reader.read()} == (PAYLOADS.keys() - lost) | more.keys()


@pytest.mark.parametrize("left", range(SIZE))
def test_tail_cut_at_each_byte_of_the_last_record(left: int) -> None:
    files = _filled()
    content = files.contents(_segments(files)[-1])
    del content[len(content) - SIZE + left :]
    _check_only_lost(files, {8}, told=left > 0)  # where no byte is left, nothing tells that there was one


@pytest.mark.parametrize("zeros", [1, 19, 20, 100, 5000])
@pytest.mark.parametrize("left", [0, 1, 10, 20, 25, SIZE])
def test_tail_of_zeros_after_a_power_cut(left: int, zeros: int) -> None:
    files = _filled()
    content = files.contents(_segments(files)[-1])
    del content[len(content) - SIZE + left :]
    content.extend(bytes(zeros))
    if left == SIZE:
        with Journal(FOLDER, files=files) as journal:
            assert journal.last == 8, "zeros hide no numbers"
    _check_only_lost(files, {8} if left < SIZE else set(), told=left > 0)


@pytest.mark.parametrize("number", [1, 4, 8])
def test_each_bit_of_a_record_flipped(number: int) -> None:
    for bit in range(SIZE * 8):
        files = _filled()
        content = files.contents(_segments(files)[-1])
        content[SEGMENT_HEADER_BYTES + (number - 1) * SIZE + bit // 8] ^= 1 << bit % 8
        _check_only_lost(files, {number})


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_each_bit_of_a_record_in_an_older_segment_flipped(number: int) -> None:
    for bit in range(0, SIZE * 8, 3):
        files = _filled(segment_bytes=SEGMENT_HEADER_BYTES + 4 * SIZE)
        content = files.contents(_segments(files)[0])
        content[SEGMENT_HEADER_BYTES + (number - 1) * SIZE + bit // 8] ^= 1 << bit % 8
        with Journal(FOLDER, files=files) as journal:
            assert set(dict(journal.read())) == PAYLOADS.keys() - {number}
            assert _lost(journal) == {number}
            (damage,) = journal.damage
            assert (damage.first_lost, damage.last_lost) == (number, number)


def test_next_record_is_found_wherever_it_lies_in_what_is_read_at_once() -> None:
    for size in range(65_536 - 100, 65_536 + 10):
        files = ForgetfulFiles()
        with Journal(FOLDER, files=files) as journal:
            journal.append_many([b"hit", b"x" * size, b"next"])
        files.contents(_segments(files)[0])[SEGMENT_HEADER_BYTES] ^= 1  # the search begins in the first record
        files.contents(_segments(files)[0])[SEGMENT_HEADER_BYTES + RECORD_HEADER_BYTES + 3] ^= 1  # and in the second
        with Journal(FOLDER, files=files) as journal:
            assert [record.number for record in journal.read()] == [3]
            assert list(journal.lost()) == [(1, 2)]


def test_numbers_in_a_file_that_go_back_are_not_believed() -> None:
    files = _filled()
    path = _segments(files)[0]
    segment = Segment.named(path.name)
    assert segment
    content = files.contents(path)
    content.extend(segment.record(3, b"again", len(content)))
    content.extend(segment.record(9, b"new", len(content)))
    with Journal(FOLDER, files=files) as journal:
        assert dict(journal.read()) == {**PAYLOADS, 9: b"new"}
        assert [damage.first_lost for damage in journal.damage] == [None]


def test_reader_takes_back_what_it_thought_of_a_record_that_was_being_written() -> None:
    files = _filled()
    path = _segments(files)[0]
    content = files.contents(path)
    for kept in (5, 25):
        end = bytes(content[len(content) - SIZE + kept :])
        del content[len(content) - SIZE + kept :]
        reader = Journal.reader(FOLDER, files=files)
        assert dict(reader.read()).keys() == PAYLOADS.keys() - {8}
        assert len(reader.damage) == 1
        content.extend(end)
        assert dict(reader.read(7)) == {8: PAYLOADS[8]}
        assert not reader.damage
        assert not list(reader.lost())


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_damage_anywhere_yields_only_true_records(data: st.DataObject) -> None:
    files = _filled(segment_bytes=data.draw(st.sampled_from([100, 200, 1000])))
    for _ in range(data.draw(st.integers(1, 4))):
        content = files.contents(data.draw(st.sampled_from(_segments(files))))
        start = data.draw(st.integers(0, len(content)))
        stop = data.draw(st.integers(start, min(len(content), start + 100)))
        rubbish = data.draw(st.binary(max_size=60) | st.just(b"") | st.just(bytes(content[:90])))
        content[start:stop] = rubbish
    with Journal(FOLDER, files=files) as journal:
        found = dict(journal.read())
        assert list(found) == sorted(found)
        assert all(PAYLOADS[number] == payload for number, payload in found.items())
        number = journal.append(b"new")
        assert number > max(found, default=0)
        assert dict(journal.read()) == {**found, number: b"new"}
        assert not _lost(journal) & (found.keys() | {number})
        assert _lost(journal) | found.keys() | {number} >= set(range(1, number))


@pytest.mark.parametrize("victim", range(3))
def test_missing_segment(victim: int) -> None:
    files = _filled(segment_bytes=SEGMENT_HEADER_BYTES + 3 * SIZE)
    paths = _segments(files)
    assert len(paths) == 3
    files.unlink(paths[victim])
    gone = [{1, 2, 3}, {4, 5, 6}, {7, 8}][victim]
    with Journal(FOLDER, files=files) as journal:
        assert set(dict(journal.read())) == PAYLOADS.keys() - gone
        if victim < 2:
            assert _lost(journal) == gone
            assert journal.append(b"x") == 9


def test_numbers_go_on_after_the_newest_segment_was_lost_when_a_cursor_knows_them() -> None:
    files = _filled(segment_bytes=SEGMENT_HEADER_BYTES + 3 * SIZE)
    with Journal(FOLDER, files=files) as journal:
        journal.cursor("uplink").commit(8)
    files.unlink(_segments(files)[-1])
    with Journal(FOLDER, files=files) as journal:
        assert _lost(journal) == {7, 8}
        assert journal.append(b"x") == 9
        assert set(dict(journal.read())) == {1, 2, 3, 4, 5, 6, 9}


@pytest.mark.parametrize("keep", [0, 5, 16, 31])
def test_damaged_file_header_costs_no_record(keep: int) -> None:
    files = _filled()
    content = files.contents(_segments(files)[0])
    content[keep:SEGMENT_HEADER_BYTES] = b"\xff" * (SEGMENT_HEADER_BYTES - keep)
    with Journal(FOLDER, files=files) as journal:
        assert dict(journal.read()) == PAYLOADS
        assert [damage.reason for damage in journal.damage] == ["damaged file header; its records are not affected"]
        assert journal.append(b"x") == 9
        assert not list(journal.lost())


def test_whole_newest_segment_turned_to_rubbish_does_not_give_its_numbers_again() -> None:
    files = _filled(segment_bytes=SEGMENT_HEADER_BYTES + 3 * SIZE)
    content = files.contents(_segments(files)[-1])
    content[:] = b"\xaa" * len(content)
    with Journal(FOLDER, files=files) as journal:
        number = journal.append(b"x")
        assert number > 8
        assert _lost(journal) >= {7, 8}
        assert set(dict(journal.read())) == {1, 2, 3, 4, 5, 6, number}


def test_foreign_files_are_left_alone_and_named() -> None:
    files = _filled()
    names = ["README.txt", "0.segment", "99999999999999999999-0000000000000000.segment", "core"]
    for name in names:
        handle = files.create(FOLDER / name)
        files.write(handle, b"not ours", 0)
        files.close(handle)
    for name in ("a.cursor", "uplink.cursor"):
        handle = files.create(FOLDER / name)
        files.write(handle, b"\xff" * 200, 0)
        files.close(handle)
    with Journal(FOLDER, files=files) as journal:
        assert sorted(journal.ignored) == sorted(names)
        assert dict(journal.read()) == PAYLOADS
        assert journal.cursor("uplink").position == 0
        assert {damage.segment for damage in journal.damage} == {"a.cursor", "uplink.cursor"}
        journal.cursor("uplink").commit(3)
    with Journal(FOLDER, files=files) as journal:
        assert journal.cursor("uplink").position == 3
        assert sorted(journal.ignored) == sorted(names)


@pytest.mark.parametrize("bit", range(0, 96, 5))
def test_flipped_bit_in_a_cursor_is_noticed(bit: int) -> None:
    files = _filled()
    with Journal(FOLDER, files=files) as journal:
        journal.cursor("uplink").commit(7)
    content = files.contents(FOLDER / "uplink.cursor")
    content[bit // 8 % len(content)] ^= 1 << bit % 8
    with Journal(FOLDER, files=files) as journal:
        assert journal.cursor("uplink").position == 0
        assert [damage.segment for damage in journal.damage] == ["uplink.cursor"]


@pytest.mark.parametrize("number", [1, 4])
def test_hostile_payload_of_real_journal_bytes_behind_damage(number: int) -> None:
    """Payloads hold the journal's own file, the same salt and all; the header in front of them is destroyed."""
    files = _filled()
    path = _segments(files)[0]
    own = bytes(files.contents(path))
    segment = Segment.named(path.name)
    assert segment
    forged = b"".join(segment.record(later, b"forged", 0) for later in range(1, 30))
    with Journal(FOLDER, files=files) as journal:
        assert journal.append(own + forged) == 9
        assert journal.append(own[SEGMENT_HEADER_BYTES:] * 20) == 10
        assert journal.append(b"the end") == 11
    content = files.contents(path)
    for start in (len(own), SEGMENT_HEADER_BYTES + (number - 1) * SIZE):
        content[start : start + RECORD_HEADER_BYTES] = b"\xff" * RECORD_HEADER_BYTES
    second = len(own) + RECORD_HEADER_BYTES + len(own + forged)
    content[second] ^= 1
    with Journal(FOLDER, files=files) as journal:
        expected = {**{n: p for n, p in PAYLOADS.items() if n != number}, 11: b"the end"}
        assert dict(journal.read()) == expected
        assert _lost(journal) == {number, 9, 10}


def test_sector_that_cannot_be_read_costs_the_records_in_it(caplog: pytest.LogCaptureFixture) -> None:
    files = ForgetfulFiles()
    with Journal(FOLDER, files=files) as journal:
        journal.append_many([b"%03d" % number * 10 for number in range(1, 1001)])
    (path,) = _segments(files)
    files.unreadable = {(path, 20_000)}
    with Journal(FOLDER, files=files) as journal:
        found = dict(journal.read())
        assert all(payload == b"%03d" % number * 10 for number, payload in found.items())
        assert 4096 / 50 <= len(_lost(journal)) <= 4096 / 50 + 2
        assert found.keys() | _lost(journal) == set(range(1, 1001))
        assert journal.append(b"x") == 1001
    assert "cannot be read" in caplog.text


def test_damage_that_comes_while_the_journal_is_open_is_told_when_read() -> None:
    files = ForgetfulFiles()
    with Journal(FOLDER, files=files) as journal:
        for payload in PAYLOADS.values():
            journal.append(payload)
        assert dict(journal.read()) == PAYLOADS
        files.contents(_segments(files)[0])[SEGMENT_HEADER_BYTES + 7 * SIZE + 3] ^= 1
        assert set(dict(journal.read())) == PAYLOADS.keys() - {8}
        assert _lost(journal) == {8}
        assert journal.append(b"x") == 9
        assert [record.number for record in journal.read(6)] == [7, 9]
        journal.forget(8)
        assert not _lost(journal)
