"""Writes a tree of settings as TOML in any of its many forms, and tells on which line everything stands."""

import random
from typing import Any

from tidegate.toml_lines import Loc

TREE: dict[str, Any] = {
    "platform": {"name": '"tioman-1"', "title": '"""of\n[broker]\nhost = 1\n"""', "latitude": "2.8", "longitude": "1"},
    "broker": {"host": '"h"', "port": "1883", "tls": {"ca": '"authority.crt"'}},
    "storage": {"directory": "'data'", "spool": '"2 GB"'},
    "instruments": {
        "ctd": {
            "driver": '"sbe37"',
            "interval_s": "1.0",
            "port": {"serial": '"/dev/none#such"', "baud": "9600", "parity": '"none"'},
            "settings": {"columns": '[\n"time", # a [comment]\n"temperature"]', "mode": '"polled"'},
        },
        "radar": {
            "driver": '"modbus"',
            "interval_s": "10",
            "port": {"modbus_tcp": '"h:502"', "timeout_s": "0.5"},
            "settings": {
                "gap": "3",
                "registers": [
                    {"parameter": '"battery_voltage"', "address": "2", "type": '"uint16"'},
                    {"parameter": '"own"', "address": "4", "type": '"int16"', "label": '"="', "unit": '"m"'},
                ],
            },
        },
    },
}
"""A gateway's settings, each leaf as TOML has it."""
JUNK = ["", "# [platform]", "   # name = \"x\" '''", "\t"]


def leaves(tree: Any, loc: Loc = ()) -> list[Loc]:
    if isinstance(tree, str):
        return [loc]
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    return [leaf for key, value in items for leaf in leaves(value, (*loc, key))]


def inline(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    return "{ " + ", ".join(f"{key} = {inline(part)}" for key, part in value.items()) + " }"


class Writer:
    """Writes a tree as TOML in one of its many forms, and keeps the line of everything it writes."""

    def __init__(self, choice: random.Random) -> None:
        self.choice = choice
        self.text = ""
        self.lines: dict[Loc, int] = {}

    def line(self) -> int:
        return self.text.count("\n") + 1

    def junk(self) -> None:
        while self.choice.random() < 0.3:
            self.text += self.choice.choice(JUNK) + "\n"

    def key(self, key: str) -> str:
        return self.choice.choice([key, f'"{key}"', f"'{key}'"])

    def table(self, loc: Loc, tree: dict[str, Any]) -> None:
        later = []
        items = list(tree.items())
        self.choice.shuffle(items)
        for key, value in items:
            here = (*loc, key)
            style = "leaf" if isinstance(value, str) else self.choice.choice(["inline", "dotted", "header"])
            if isinstance(value, list) or (style == "dotted" and not all(isinstance(v, str) for v in value.values())):
                style = "header"
            if not loc or loc == ("instruments",) or style == "header":
                later.append((here, value))
            elif style == "dotted":
                for name, part in value.items():
                    self.junk()
                    self.lines.setdefault(here, self.line())
                    self.pair((*here, name), f"{self.key(key)} . {self.key(name)}", part)
            else:
                self.junk()
                if style == "inline" and "\n" in inline(value):
                    later.append((here, value))  # an inline table must stand on one line
                else:
                    self.pair(here, self.key(key), value)
        for here, value in later:
            if isinstance(value, list):
                self.array(here, value)
                continue
            self.junk()
            if here == ("instruments",):  # only implied
                self.lines[here] = -1
            else:
                self.lines[here] = self.line()
                self.text += f"  [ {' . '.join(self.key(str(k)) for k in here)} ] # x\n"
            self.table(here, value)

    def array(self, here: Loc, value: list[dict[str, Any]]) -> None:
        for index, part in enumerate(value):
            self.junk()
            self.lines.setdefault(here, self.line())
            self.lines[(*here, index)] = self.line()
            self.text += f"[[{'.'.join(self.key(str(k)) for k in here)}]]\n"
            for key, text in part.items():
                self.junk()
                self.pair((*here, index, key), self.key(key), text)

    def pair(self, here: Loc, key: str, value: Any) -> None:
        for leaf in [()] if isinstance(value, str) else leaves(value):
            for depth in range(len(leaf) + 1):
                self.lines.setdefault((*here, *leaf[:depth]), self.line())
        self.text += f"{key} = {inline(value)}\n"
