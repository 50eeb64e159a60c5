"""Tells on which line of a TOML text each table, key and list element stands, for messages that name the line.

`tomllib` gives values without places, so the text is read once more. The text is one that `tomllib` has accepted:
nothing is checked here.
"""

import re
import tomllib
import typing
from bisect import bisect_right
from collections.abc import Callable

Loc = tuple[str | int, ...]
"""The way to a value: keys of tables and indices of lists."""


def lines_of(text: str) -> dict[Loc, int]:
    """The line (from 1) of every table, key and list element of a TOML document that `tomllib` accepts.

    A table that only its members imply has the line of the first of them.
    """
    return _Places(text).lines


class _Places:
    _BARE = re.compile(r"[A-Za-z0-9_-]+")
    _SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
    _STRING = re.compile(r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\])*"|\'[^\']*\'', re.DOTALL)
    _SCALAR = re.compile(r"[^,\]}\n#]+")

    def __init__(self, text: str) -> None:
        self.text = text
        self.i = 0
        self.ends = [match.start() for match in re.finditer("\n", text)]
        self.stated: dict[Loc, int] = {}
        self.implied: dict[Loc, int] = {}
        self.count: dict[Loc, int] = {}
        self.table: Loc = ()
        while self.skip() < len(text):
            if text[self.i] == "[":
                self.header()
            else:
                self.pair(self.table)
        self.lines = self.implied | self.stated

    def skip(self) -> int:
        self.i = typing.cast("re.Match[str]", self._SPACE.match(self.text, self.i)).end()
        return self.i

    def header(self) -> None:
        start = self.i
        of_array = self.text.startswith("[[", start)
        self.i += 1 + of_array
        parts = self.key()
        self.i = self.text.index("]", self.i) + 1 + of_array
        loc: Loc = ()
        for depth, part in enumerate(parts, 1):
            loc = (*loc, part)
            self.note(loc, start, stated=depth == len(parts) and loc not in self.stated)
            if of_array and depth == len(parts):
                self.count[loc] = self.count.get(loc, 0) + 1
            if loc in self.count:
                loc = (*loc, self.count[loc] - 1)
                self.note(loc, start, stated=depth == len(parts))
        self.table = loc

    def pair(self, under: Loc) -> None:
        start = self.i
        loc = under
        parts = self.key()
        for depth, part in enumerate(parts, 1):
            loc = (*loc, part)
            self.note(loc, start, stated=depth == len(parts))
        self.i = self.text.index("=", self.i) + 1
        self.value(loc)

    def key(self) -> list[str]:
        parts = []
        while True:
            self.skip()
            if self.text[self.i] in "\"'":
                quoted = self.match(self._STRING)
                parts.append(tomllib.loads(f"k = {quoted}")["k"])
            else:
                parts.append(self.match(self._BARE))
            self.skip()
            if self.text[self.i] != ".":
                return parts
            self.i += 1

    def value(self, loc: Loc) -> None:
        self.skip()
        char = self.text[self.i]
        if char == "{":
            self.members("}", lambda _: self.pair(loc))
        elif char == "[":
            self.members("]", lambda index: self.element((*loc, index)))
        elif char in "\"'":
            self.match(self._STRING)
        else:
            self.match(self._SCALAR)

    def element(self, loc: Loc) -> None:
        self.note(loc, self.i, stated=True)
        self.value(loc)

    def members(self, closing: str, one: Callable[[int], None]) -> None:
        self.i += 1
        index = 0
        while self.text[self.skip()] != closing:
            one(index)
            index += 1
            if self.text[self.skip()] == ",":
                self.i += 1
        self.i += 1

    def match(self, pattern: re.Pattern[str]) -> str:
        found = typing.cast("re.Match[str]", pattern.match(self.text, self.i))
        self.i = found.end()
        return found[0]

    def note(self, loc: Loc, offset: int, *, stated: bool) -> None:
        line = bisect_right(self.ends, offset - 1) + 1
        if stated:
            self.stated.setdefault(loc, line)
        else:
            self.implied.setdefault(loc, line)
