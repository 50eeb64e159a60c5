"""The framer against the plainest reading of its rules, for any cutting of any bytes."""

import re
from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from drivers.driver import Problem
from drivers.lines import Block, Line, Lines
from tidegate.clock import UNKNOWN, Arrival

LONGEST = 10


def arrival(n: int) -> Arrival:
    return Arrival(n, n, "boot", True)


def reference(data: bytes) -> tuple[list[tuple[bytes, int]], list[tuple[bytes, int]], tuple[bytes, int] | None]:
    """(lines, overlong, rest) of the whole stream: text and offset of each."""
    lines, overlong, rest = [], [], None
    for match in re.finditer(rb"[^\r\n]+", data):
        if len(match[0]) > LONGEST:
            overlong.append((match[0][:LONGEST], match.start()))
        elif match.end() < len(data):
            lines.append((match[0], match.start()))
        else:
            rest = (match[0], match.start())
    return lines, overlong, rest


STREAMS = st.lists(
    st.one_of(st.sampled_from([b"\r\n", b"\n", b"\r", b"\n\n"]), st.text("ab", max_size=25).map(str.encode)),
    max_size=12,
).map(b"".join)
CUTS = st.lists(st.integers(0, 60), max_size=12)


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(c, len(data)) for c in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


@given(STREAMS, CUTS)
@example(b"a" * 11 + b"\n", [11])
@example(b"a" * 30 + b"\nb\n", [11, 12, 25, 30])
@example(b"ab\r\ncd\r\n", [3])
@settings(max_examples=200)
def test_the_cutting_does_not_matter(data: bytes, cuts: list[int]) -> None:
    framer = Lines(LONGEST)
    pieces = cut(data, cuts)
    starts = [sum(map(len, pieces[:i])) for i in range(len(pieces))]
    lines: list[Line] = []
    problems: list[Problem] = []
    for n, piece in enumerate(pieces):
        more, odd = framer.feed(piece, arrival(n))
        lines += more
        problems += odd
    rest = framer.finish()

    want_lines, want_overlong, want_rest = reference(data)
    assert [(line.data, line.offset) for line in lines] == want_lines
    assert [(p.data, p.offset) for p in problems] == want_overlong
    assert all(p.kind == "noise" and p.size == LONGEST for p in problems)
    assert (None if rest is None else (rest.data, rest.offset)) == want_rest
    firsts = [(line.offset, line.arrival) for line in [*lines, *([rest] if rest else [])]]
    for offset, came in firsts + [(p.offset, p.arrival) for p in problems]:
        assert came == arrival(max(n for n, start in enumerate(starts) if start <= offset and pieces[n]))


@given(STREAMS, CUTS)
@settings(max_examples=100)
def test_blocks_hold_the_same_lines(data: bytes, cuts: list[int]) -> None:
    single, joined = Lines(LONGEST), Lines(LONGEST)
    for n, piece in enumerate(cut(data, cuts)):
        lines, problems = single.feed(piece, arrival(n))
        parts = joined.feed_blocks(piece, arrival(n))
        blocks = [part for part in parts if isinstance(part, Block)]
        assert [line for block in blocks for line in block.lines()] == lines
        assert [part for part in parts if isinstance(part, Problem)] == problems
        for block in blocks:
            offsets = [line.offset for line in block.lines()]
            columns = block.arrivals_of(offsets)
            assert [columns[i] for i in range(len(offsets))] == [block.arrival(offset) for offset in offsets]
        ordered = [part.offset for part in parts]
        assert ordered == sorted(ordered)


@given(STREAMS, CUTS, st.lists(st.integers(1, 5), min_size=1))
@example(b"ab\r\ncd\r\ne", [3, 5, 5, 9], [5])
@settings(max_examples=200)
def test_many_pieces_at_once_are_as_each_in_turn(data: bytes, cuts: list[int], sizes: list[int]) -> None:
    single, many = Lines(LONGEST), Lines(LONGEST)
    fed = [(piece, arrival(n)) for n, piece in enumerate(cut(data, cuts))]
    want: list[Line | Problem] = []
    got: list[Line | Problem] = []
    for piece, at in fed:
        for part in single.feed_blocks(piece, at):
            want.extend([part] if isinstance(part, Problem) else part.lines())
    taken = 0
    for size in sizes * len(fed):
        for part in many.feed_pieces(fed[taken : taken + size]):
            got.extend([part] if isinstance(part, Problem) else part.lines())
        taken += size
    assert got == want
    assert many.finish() == single.finish()


def test_offsets_go_on_after_the_end() -> None:
    framer = Lines(LONGEST)
    assert framer.feed(b"abc", UNKNOWN) == ([], [])
    assert framer.finish() == Line(b"abc", 0, UNKNOWN)
    assert framer.finish() is None
    assert framer.feed(b"de\n", UNKNOWN) == ([Line(b"de", 3, UNKNOWN)], [])


def test_an_endless_line_is_told_once_and_not_kept() -> None:
    framer = Lines()
    problems = [problem for _ in range(300) for problem in framer.feed(b"\x00" * 1000, UNKNOWN)[1]]
    assert [(p.kind, p.offset, p.size) for p in problems] == [("noise", 0, 4096)]
    assert framer.finish() is None
    assert framer.feed(b"24.1\r\n", UNKNOWN)[0] == [Line(b"24.1", 300_000, UNKNOWN)]
