import random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tidegate.toml_writer import TREE, Writer
from tidegate.toml_lines import lines_of


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.integers(0, 2**32))
def test_every_key_has_its_line(seed: int) -> None:
    writer = Writer(random.Random(seed))
    writer.table((), TREE)
    found = lines_of(writer.text)
    del writer.lines[("instruments",)]
    assert {loc: found.get(loc) for loc in writer.lines} == writer.lines
