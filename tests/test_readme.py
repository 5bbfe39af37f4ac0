"""README.md: what it names exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"^\s*make ([\w-]+)", README, re.MULTILINE))))
def test_every_make_target_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"configs/[\w.-]+\.yaml|docs/[\w.-]+\.md", README))))
def test_every_file_exists(path: str) -> None:
    assert (ROOT / path).is_file()


def test_every_source_file_has_its_line_in_the_tree() -> None:
    packages = ("medground", "eval", "chains", "retrievers", "corpus")
    files = {path.name for package in packages for path in (ROOT / package).glob("*.py")} - {"__main__.py"}
    assert sorted(name for name in files if name not in README) == []


@pytest.mark.parametrize("line", re.findall(r"^medground (.+)$", README, re.MULTILINE))
def test_every_command_is_understood(line: str) -> None:
    from typer.testing import CliRunner

    from medground.cli import app

    words = line.split("#")[0].split("&&")[0].split()
    path = words[:2] if words[0] in ("eval", "train") else words[:1]
    shown = CliRunner().invoke(app, [*path, "--help"])
    assert shown.exit_code == 0
    assert all(option in shown.output for option in re.findall(r"--[\w-]+", line))
