"""The strict YAML reader: line numbers in errors, and accepted values."""

from pathlib import Path

import pytest

from common.errors import DataError
from medground.yaml_file import read_mapping, read_value

INVALID_FILES = {
    "tab": ("llm:\n\tmodel: x\n", "line 2, column 1"),
    "bad indent": ("llm:\n  model: x\n dtype: y\n", "line 3"),
    "open bracket": ("llm: [1, 2\nprompt: {}\n", "line 2"),
    "open quote": ('llm:\n  model: "x\n', "line"),
    "colon in a value": ("llm: a: b\n", "line 1"),
    "duplicate key": ("llm:\n  model: a\n  model: b\n", "'model' occurs twice (line 3, column 3)"),
    "duplicate section": ("llm: {}\nllm: {}\n", "'llm' occurs twice (line 2"),
    "python object": ("llm: !!python/object/apply:os.system ['true']\n", "line 1"),
    "unknown alias": ("llm: *nowhere\n", "line 1"),
    "two documents": ("llm: {}\n---\nllm: {}\n", "line 2"),
    "control character": ("llm: {}\nx: a\x07b\n", "0x07 is not allowed (line 2)"),
    "a list": ("- llm\n", "not list"),
    "a text": ("llm\n", "not str"),
    "a number as key": ("llm:\n  1: x\n", "the key llm.1 is not a text"),
    "YAML boolean as key": ("on: x\n", "the key True is not a text"),
    "a list as key": ("? [a]\n: b\n", "line 1"),
    "too deep": ("x: " + "[" * 20_000 + "]" * 20_000, "nested too deeply"),
    "a tag with an impossible value": ("llm: !!int ''\n", "is not YAML that can be read"),
    "a tag with an unknown value": ("llm: !!bool x\n", "is not YAML that can be read"),
    "a tag of another type": ("llm: !!set [a]\n", "is not YAML that can be read"),
    "impossible date": ("llm: 2024-13-45\n", "is not YAML"),
    "sexagesimal float that overflows": (f"x: 1{':1' * 5_000}.5\n", "too large"),
    "nested merges": (
        "m0: &m0 {x: 1}\n" + "".join(f"m{n}: &m{n} {{<<: [{f'*m{n - 1}, ' * 9}]}}\n" for n in range(1, 12)),
        "more than 10,000 keys",
    ),
    "empty": ("", "is empty"),
}


@pytest.mark.parametrize(("text", "message"), INVALID_FILES.values(), ids=INVALID_FILES)
def test_invalid_file_is_reported_with_path_and_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_mapping(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_file_of_comments_is_an_empty_mapping(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("# only a comment\n")
    assert read_mapping(path) == {}


def test_self_referencing_mapping_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("llm: &again\n  llm: *again\n")
    assert "llm" in read_mapping(path)["llm"]["llm"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("true", True), ("null", None), ("", None), ("a b", "a b"), ("[a, 1]", ["a", 1]), ("0.5", 0.5)],
)
def test_read_value_parses_one_yaml_value(text: str, value: object) -> None:
    assert read_value(text, "--set x") == value


def test_read_value_reports_invalid_yaml() -> None:
    with pytest.raises(DataError, match="--set x: is not YAML"):
        read_value("[a", "--set x")
