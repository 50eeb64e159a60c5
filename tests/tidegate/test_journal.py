"""The contract on a real directory and on the forgetful files; speed and memory that users rely on."""

from pathlib import Path
from typing import Any

import pytest

import tidegate.segment
from tests.tidegate.forgetful import ForgetfulFiles
from tests.tidegate.journal_contract import JournalContract, OpenJournal, ReadOnly
from tidegate.filesystem import OsFiles
from tidegate.journal import Journal


class TestOnARealDirectory(JournalContract):
    @pytest.fixture
    def open_journal(self, tmp_path: Path) -> OpenJournal:
        return lambda **options: Journal(tmp_path / "new" / "spool", **options)

    @pytest.fixture
    def read_only(self, tmp_path: Path) -> ReadOnly:
        return lambda: Journal.reader(tmp_path / "new" / "spool")


class TestOnForgetfulFiles(JournalContract):
    @pytest.fixture
    def files(self) -> ForgetfulFiles:
        return ForgetfulFiles()

    @pytest.fixture
    def open_journal(self, files: ForgetfulFiles) -> OpenJournal:
        return lambda **options: Journal(Path("/spool"), files=files, **options)

    @pytest.fixture
    def read_only(self, files: ForgetfulFiles) -> ReadOnly:
        return lambda: Journal.reader(Path("/spool"), files=files)


class CountingFiles(OsFiles):
    """The real file system, counting what is read and how often it is written to."""

    def __init__(self) -> None:
        self.bytes_read = 0
        self.writes = 0

    def read(self, handle: int, size: int, offset: int) -> bytes:
        data = super().read(handle, size, offset)
        self.bytes_read += len(data)
        return data

    def write(self, handle: int, data: bytes, offset: int) -> int:
        self.writes += 1
        return super().write(handle, data, offset)


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes that went through a check, as a list of one number."""
    total = [0]
    real = tidegate.segment.crc

    def counting(data: bytes, *start: Any) -> int:
        total[0] += len(data)
        return real(data, *start)

    monkeypatch.setattr(tidegate.segment, "crc", counting)
    return total


def test_polling_at_the_end_costs_kilobytes_and_not_the_segment(tmp_path: Path) -> None:
    files = CountingFiles()
    with Journal(tmp_path, files=files) as journal:
        journal.append_many([b"x" * 60] * 50_000)
        for _ in journal.read():
            pass
        files.bytes_read = 0
        for _ in range(1000):
            last = journal.append(b"x" * 60)
            assert [record.number for record in journal.read(last - 1)] == [last]
            assert list(journal.read(last)) == []
        assert files.bytes_read / 1000 < 10_000


def test_opening_reads_the_newest_segment_only(tmp_path: Path) -> None:
    with Journal(tmp_path, segment_bytes=50_000) as journal:
        for _ in range(200):
            journal.append_many([b"x" * 60] * 600)
        assert journal.bytes > 9_000_000
    files = CountingFiles()
    with Journal(tmp_path, segment_bytes=50_000, files=files) as journal:
        assert journal.last == 120_000
        assert files.bytes_read < 200_000
        journal.forget(60_000)
        assert files.bytes_read < 200_000


def test_each_append_is_one_write_to_the_system(tmp_path: Path) -> None:
    files = CountingFiles()
    with Journal(tmp_path, files=files) as journal:
        journal.append(b"the first begins the segment")
        files.writes = 0
        for _ in range(100):
            journal.append(b"sample")
        journal.append_many([b"sample"] * 100)
        assert files.writes == 101


def test_finding_records_behind_garbage_is_linear(tmp_path: Path, checked: list[int]) -> None:
    """8 MiB of rubbish of four kinds, some made by someone who knows the salt, between two records."""
    size = 8 << 20
    for kind in ("zeros", "noise", "marks", "headers"):
        folder = tmp_path / kind
        with Journal(folder, segment_bytes=1 << 30) as journal:
            journal.append_many([b"first", b"lost" * (size // 4), b"last"])
        path = next(folder.glob("*.segment"))
        segment = tidegate.segment.Segment.named(path.name)
        assert segment
        whole = bytearray(path.read_bytes())
        begin = whole.index(b"lost" * 10) - tidegate.segment.RECORD_HEADER_BYTES
        rubbish = {
            "zeros": bytes(size),
            "noise": bytes((index * index >> 7) & 0xFF for index in range(1 << 16)) * (size >> 16),
            "marks": segment.mark.to_bytes(4, "little") * (size // 4),
            "headers": segment.record(2, b"x" * 100_000, 12345)[:20] * (size // 20) + bytes(size % 20),
        }[kind]
        whole[begin : begin + size + tidegate.segment.RECORD_HEADER_BYTES] = rubbish + bytes(20)
        path.write_bytes(whole)
        files = CountingFiles()
        checked[0] = 0
        reader = Journal.reader(folder, files=files)
        assert files.bytes_read <= 1.1 * len(whole) + 200_000
        assert checked[0] <= 4 * len(whole)
        assert dict(reader.read()) == {1: b"first", 3: b"last"}
        assert list(reader.lost()) == [(2, 2)]


def test_payloads_above_the_bound_are_refused_by_name(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        huge = bytes(tidegate.segment.MAX_PAYLOAD_BYTES + 1)
        with pytest.raises(ValueError, match="67108865 bytes"):
            journal.append(huge)
        with pytest.raises(ValueError, match="67108865 bytes"):
            journal.append_many([b"x", huge])
        assert journal.last == 0
