"""The journal in real processes that are killed, run out of room, and compete."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tidegate.journal import Journal

APPENDER = """
import hashlib, os, random, sys
from pathlib import Path
from tidegate.journal import Journal

chance = random.Random(int(sys.argv[2]))
with Journal(Path(sys.argv[1]), segment_bytes=60_000, fsync_window_s=0.02) as journal:
    while True:
        bodies = [chance.randbytes(chance.choice((0, 40, 200, 9000))) for _ in range(chance.choice((1, 1, 1, 8)))]
        payloads = [hashlib.sha256(body).digest() + body for body in bodies]
        last = journal.append_many(payloads) if len(payloads) > 1 else journal.append(payloads[0])
        lines = [f"{last - len(payloads) + 1 + i} {p[:8].hex()}\\n" for i, p in enumerate(payloads)]
        os.write(1, "".join(lines).encode())
"""

FILLER = """
import resource, sys
from pathlib import Path
from tidegate.journal import Journal, JournalFull

resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
with Journal(Path(sys.argv[1])) as journal:
    for _ in range(3):
        try:
            while True:
                journal.append(b"x" * 777)
        except JournalFull as error:
            assert sys.argv[1] in str(error), error
    full_at = journal.last
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    journal.append(b"room again", critical=True)
    print(full_at, journal.last, len(journal.damage))
"""


def test_killed_again_and_again_it_has_everything_it_said_yes_to(tmp_path: Path) -> None:
    acknowledged: dict[int, str] = {}
    unanswered = 0
    chance = random.Random(7)
    for round_ in range(8):
        child = subprocess.Popen(
            [sys.executable, "-c", APPENDER, str(tmp_path), str(round_)], stdout=subprocess.PIPE, bufsize=0
        )
        assert child.stdout
        output = child.stdout.read(1)  # it has begun
        deadline = time.monotonic() + chance.uniform(0.005, 0.15)
        while time.monotonic() < deadline:
            output += child.stdout.read(65536)
        child.send_signal(signal.SIGKILL)
        output += child.stdout.read()
        child.wait()
        child.stdout.close()
        for line in output.decode().splitlines(keepends=True):
            if line.endswith("\n"):
                number, digest = line.split()
                assert int(number) not in acknowledged
                acknowledged[int(number)] = digest
        started = time.monotonic()
        with Journal(tmp_path) as journal:
            assert time.monotonic() - started < 2
            found = {number: payload[:8].hex() for number, payload in journal.read()}
            assert found.items() >= acknowledged.items()
            assert all(
                number not in acknowledged for first, last in journal.lost() for number in range(first, last + 1)
            )
            unanswered += len(found) - len(acknowledged)
            assert unanswered <= 8 * (round_ + 1), "no more than the batch in flight"
            acknowledged = found
    assert len(acknowledged) > 100


def test_file_size_limit_refuses_and_recovers(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", FILLER, str(tmp_path)], capture_output=True, text=True, timeout=30, check=False
    )
    assert result.returncode == 0, result.stderr
    full_at, last, damaged = map(int, result.stdout.split())
    assert full_at == (50_000 - 32) // 797
    assert (last, damaged) == (full_at + 1, 0)
    with Journal(tmp_path) as journal:
        payloads = [record.payload for record in journal.read()]
        assert payloads == [b"x" * 777] * full_at + [b"room again"]
        assert not journal.damage


def test_second_process_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    command = "import sys; from pathlib import Path; from tidegate.journal import Journal; Journal(Path(sys.argv[1]))"
    with Journal(tmp_path) as journal:
        journal.append(b"x")
        result = subprocess.run(
            [sys.executable, "-c", command, str(tmp_path)], capture_output=True, text=True, timeout=30, check=False
        )
        assert result.returncode != 0
        assert "JournalBusy" in result.stderr
        assert str(tmp_path) in result.stderr
        assert journal.append(b"y") == 2


def test_reader_in_another_process_follows_a_live_writer(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", APPENDER, str(tmp_path), "1"], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while not list(tmp_path.glob("*.segment")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        reader = Journal.reader(tmp_path)
        after = 0
        while after < 3000:
            assert time.monotonic() < deadline
            for number, payload in reader.read(after):
                assert number == after + 1
                assert len(payload) >= 32
                after = number
    finally:
        child.kill()
        child.wait()
