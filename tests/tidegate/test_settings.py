from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field

from tidegate.settings import ConfigError, FilePath, load_toml


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    depth_m: float = Field(description="below the surface", examples=[2.5])
    log: FilePath | None = None


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = ""
    inner: Inner
    more: dict[str, Inner] = {}


def mistakes(path: Path, text: str | bytes) -> list[tuple[int, str, str]]:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigError) as caught:
        load_toml(path, Outer)
    told = str(caught.value).splitlines()
    assert len(told) == len(caught.value.mistakes)
    assert all(line.startswith(f"{path}:{m.line}: ") for line, m in zip(told, caught.value.mistakes, strict=True))
    return [(m.line, m.setting, m.message) for m in caught.value.mistakes]


def test_good_settings_with_paths_from_the_files_own_folder(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('\ufeff[inner]\ndepth_m = 3\nlog = "x/y"\n[more.a]\ndepth_m = 1\nlog = "/abs"', encoding="utf-8")
    settings = load_toml(path, Outer)
    assert settings.inner.log == tmp_path / "x" / "y"
    assert settings.more["a"].log == Path("/abs")


def test_every_mistake_at_once_with_its_line(tmp_path: Path) -> None:
    text = '''
name = """
inner = [
[more.none]
"""   # none of the lines above is a table
[inner]
dept_m = 1

[more]
[more."b c"]   # a comment
depth_m = "deep"
[more.d]
depth_m = 1
log = 7
more = 1
'''
    found = mistakes(tmp_path / "a.toml", text)
    assert [(line, setting) for line, setting, _ in found] == [
        (6, "inner.depth_m"),
        (7, "inner.dept_m"),
        (11, "more.b c.depth_m"),
        (14, "more.d.log"),
        (15, "more.d.more"),
    ]
    said = [message for _, _, message in found]
    assert said[0] == "is missing; add `depth_m = 2.5` (below the surface)"
    assert said[1] == "nothing is called so; did you mean `depth_m`?"
    assert said[2] == "'deep' is not a number (below the surface)"
    assert said[4] == "nothing is called so; known here: depth_m, log"


def test_a_missing_table_and_an_unusable_file(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    assert mistakes(path, "name = 'x'\n") == [(1, "inner", "this table is missing; add [inner]")]
    ((line, _, message),) = mistakes(path, "name = 'x'\n[inner]\ndepth_m = = 2\n")
    assert (line, message[:17]) == (3, "this is not TOML:")
    assert mistakes(path, b"name = 'x'\n# \xff\n")[0][0] == 2
    with pytest.raises(ConfigError, match=r"nowhere\.toml:1: cannot be read \(No such file"):
        load_toml(tmp_path / "nowhere.toml", Outer)
