from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BaseModel, Field, Strict, field_validator

from tidegate.settings import ConfigError, Folder, Name, ReadableFile, Table, at_field, json_schema, load_toml


class Inner(Table):
    depth_m: float = Field(description="below the\nsurface", examples=[2.5])
    log: Folder | None = None


class Limits(Table):
    """Thresholds."""

    range: Annotated[tuple[float, float], Strict(False)] = Field(description="low, high")
    inner: Inner | None = None

    @field_validator("range")
    @classmethod
    def _rising(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] >= value[1]:
            raise at_field("inner", "the range {is} empty; swap its values")
        return value


class Outer(Table):
    name: str = ""
    inner: Inner
    more: dict[str, Inner] = Field(default_factory=dict)
    limits: Annotated[tuple[Limits, ...], Strict(False)] = ()


def load(folder: Path, text: str | bytes, model: type[BaseModel] = Outer) -> BaseModel:
    path = folder / "a.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_toml(path, model)


def mistakes(folder: Path, text: str | bytes) -> list[str]:
    """Each as `line: [table] field: message`."""
    with pytest.raises(ConfigError) as caught:
        load(folder, text)
    told = str(caught.value).splitlines()
    assert len(told) == len(caught.value.mistakes)
    start = f"{folder / 'a.toml'}:"
    assert all(line.startswith(f"{start}{m.line}: ") for line, m in zip(told, caught.value.mistakes, strict=True))
    return [line.removeprefix(start) for line in told]


def test_good_settings_with_paths_from_the_files_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    settings = load(
        tmp_path,
        '\ufeff[inner]\ndepth_m = 3\nlog = "x/y"\n[more.a]\ndepth_m = 1\nlog = "/abs"\n[more.b]\ndepth_m=1\nlog="~/l"\n'
        "[[limits]]\nrange = [1, 2.5]\n",
    )
    assert isinstance(settings, Outer)
    assert settings.inner.log == tmp_path / "x" / "y"
    assert settings.more["a"].log == Path("/abs")
    assert settings.more["b"].log == tmp_path / "home" / "l"
    assert settings.limits[0].range == (1.0, 2.5)


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
[more.D]
depth_m = "1"
log = 7
more = 1
'''
    assert mistakes(tmp_path, text) == [
        "6: [inner] depth_m: is missing; add `depth_m = 2.5` (below the surface)",
        "7: [inner] dept_m: no setting is called so; did you mean `depth_m`?",
        "11: [more.\"b c\"] depth_m: 'deep' is not a number; write a number (below the surface)",
        "13: [more.D] depth_m: '1' is not a number; write it without quotes (below the surface)",
        "14: [more.D] log: 7 is not a path; write it in quotes",
        "15: [more.D] more: no setting is called so; known here: `depth_m`, `log`",
    ]


def test_mistakes_in_arrays_of_tables_have_the_line_of_their_own_table(tmp_path: Path) -> None:
    text = """\
inner = { depth_m = nan }
[[limits]]
range = [0, 1]
[[limits]]
[[limits]]
rang = [0, 1]
range = [1]
[[limits]]   # range
range = [
  1,
  "2",
]
  [limits.inner]
  depth = 1
[[limits]]
range = [1, 2, 3]
[[limits]]
range = [2, 1]
inner.depth_m = 1
"""
    assert mistakes(tmp_path, text) == [
        "1: [inner] depth_m: nan will not do: input should be a finite number (below the surface)",
        "4: [[limits]] range: is missing; add `range = …` (low, high)",
        "6: [[limits]] rang: no setting is called so; did you mean `range`?",
        "7: [[limits]] range: [1] has too few values; give 2 (low, high)",
        "11: [[limits]] range[1]: '2' is not a number; write it without quotes (low, high)",
        "13: [[limits]] inner.depth_m: is missing; add `depth_m = 2.5` (below the surface)",
        "14: [[limits]] inner.depth: no setting is called so; did you mean `depth_m`?",
        "16: [[limits]] range: [1, 2, 3] has too many values; give 2 (low, high)",
        "19: [[limits]] inner: the range {is} empty; swap its values",
    ]


def test_tables_that_are_missing_or_none_or_unknown(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "name = 'x'\n") == ["1: [inner]: this table is missing; add [inner] with depth_m"]
    assert mistakes(tmp_path, "inner = 1\n[limits]\nrange = [0, 1]\n[more]\na = 1\n") == [
        "1: [inner]: 1 is not a table; write it as [inner]",
        "2: [limits]: must be a list of tables; write each of them as [[limits]]",
        "5: [more.a]: 1 is not a table; write it as [more.a]",
    ]
    inner = "[inner]\ndepth_m = 1\n"
    assert mistakes(tmp_path, f"{inner}[[limit]]\nrange = [0, 1]\n[names]\n[xyz]\n") == [
        "3: limit: no table is called so; did you mean [[limits]]?",
        "5: [names]: no table is called so; did you mean `name`?",
        "6: [xyz]: no table is called so; known here: `name`, [inner], [more], [[limits]]",
    ]
    assert mistakes(tmp_path, f"depth_m = 1\n{inner}") == [
        "1: depth_m: no setting is called so; known here: `name`, [inner], [more], [[limits]]"
    ]


def test_a_file_that_is_no_toml_or_no_text_or_not_there(tmp_path: Path) -> None:
    (told,) = mistakes(tmp_path, "name = 'x'\n[inner]\ndepth_m = = 2\n")
    assert told == "3: this is not TOML in column 11: invalid value"
    assert mistakes(tmp_path, b"name = 'x'\n# \xff\n") == ["2: byte 0xff is not UTF-8; save the file as UTF-8"]
    with pytest.raises(ConfigError, match=r"nowhere\.toml:1: cannot be read \(No such file"):
        load_toml(tmp_path / "nowhere.toml", Outer)


def test_a_model_checked_inside_a_validator_tells_its_own_fields(tmp_path: Path) -> None:
    class Strange(Table):
        table: dict[str, float]

        @field_validator("table")
        @classmethod
        def _inner(cls, value: dict[str, float]) -> dict[str, float]:
            Inner.model_validate(value)
            return value

    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "[table]\ndepth = 1.0\n", Strange)
    assert [(m.line, m.field) for m in caught.value.mistakes] == [(1, "depth_m"), (2, "depth")]


def test_names_folders_and_files(tmp_path: Path) -> None:
    class Kinds(Table):
        name: Name = "a"
        folder: Folder = Path()
        file: ReadableFile | None = None

    def told(text: str) -> str:
        with pytest.raises(ConfigError) as caught:
            load(tmp_path, text, Kinds)
        return caught.value.mistakes[0].message

    assert told('name = "Coast Centre"').endswith("; 'coast-centre' would do")
    assert "is a file; name a folder" in told('folder = "a.toml"')
    assert "is not a path" in told('folder = " "')
    assert "home of nobody" in told('folder = "~nobody-of-this-name/x"')
    assert "cannot be read (No such file" in told('file = "none"')
    assert "cannot be read (Is a directory)" in told('file = "."')


def test_the_schema_says_what_belongs_where() -> None:
    schema = json_schema(Outer, "Outer file")
    assert schema["title"] == "Outer file"
    assert schema["$defs"]["Inner"]["properties"]["depth_m"]["examples"] == [2.5]
    assert schema["$defs"]["Limits"]["additionalProperties"] is False
