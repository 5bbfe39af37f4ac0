"""README.md: what it names exists."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"^\s*make ([\w-]+)", README, re.MULTILINE))))
def test_every_make_target_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"configs/[\w.-]+\.yaml|docs/[\w.-]+\.md", README))))
def test_every_file_exists(path: str) -> None:
    assert (ROOT / path).is_file()


@pytest.mark.parametrize("line", re.findall(r"^medground .+$", README, re.MULTILINE))
def test_every_command_is_understood(line: str) -> None:
    import typer

    from medground.cli import app

    for one in line.split("#")[0].split("&&"):
        called: Any = typer.main.get_command(app)
        words = shlex.split(one)[1:]
        while hasattr(called, "commands"):
            called, *words = called.commands[words[0]], *words[1:]
        called.make_context(line, words)  # an unknown option and a missing one are errors


def test_python_examples_run(command: Callable[..., Any], tmp_path: Path) -> None:
    """One after another in one namespace, over a folder of notes that is indexed."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "asthma.md").write_text("Inhaled corticosteroids reduce exacerbations of asthma in adults.")
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    indexed = command("index", "notes", "--config", "configs/hybrid.yaml", "--quiet")
    assert indexed.status == 0, indexed.err
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(block, names)
    assert "asthma" in names["answer"].citations[0].quote
    assert isinstance(names["written"].invoke("Is asthma treated?"), str)
    assert names["labelled"].invoke("Do inhaled corticosteroids reduce exacerbations?").passages
