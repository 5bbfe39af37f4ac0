"""README.md: targets, files and commands that it names exist, and its Python examples run."""

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
def test_every_file_named_in_the_readme_exists(path: str) -> None:
    assert (ROOT / path).is_file()


@pytest.mark.parametrize("line", re.findall(r"^medground .+$", README, re.MULTILINE))
def test_every_command_line_parses(line: str) -> None:
    import typer

    from medground.cli import app

    for command_line in line.split("#")[0].split("&&"):
        command: Any = typer.main.get_command(app)
        arguments = shlex.split(command_line)[1:]
        while hasattr(command, "commands"):  # a group of subcommands
            command, *arguments = command.commands[arguments[0]], *arguments[1:]
        command.make_context(command_line, arguments)  # raises on an unknown or missing option


def test_python_examples_run(command: Callable[..., Any], tmp_path: Path) -> None:
    """The examples are executed in order, in one namespace, over an indexed folder of notes."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "asthma.md").write_text("Inhaled corticosteroids reduce exacerbations of asthma in adults.")
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    indexed = command("index", "notes", "--config", "configs/hybrid.yaml", "--quiet")
    assert indexed.status == 0, indexed.err
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for example in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(example, namespace)
    assert "asthma" in namespace["answer"].citations[0].quote
    assert isinstance(namespace["rag_chain"].invoke("Is asthma treated?"), str)
    assert namespace["label_chain"].invoke("Do inhaled corticosteroids reduce exacerbations?").passages
