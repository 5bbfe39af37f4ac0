"""Write docs/commands.md from the command line's own --help; `make docs` runs it."""

from collections.abc import Iterator
from pathlib import Path

import typer
from typer.testing import CliRunner

from medground.cli import app

PAGE = Path(__file__).with_name("commands.md")
HEAD = """# Commands

Written by `make docs` from `--help`.

Exit status: 0 done, 1 a mistake of yours or a failed check, 2 wrong usage, 130 stopped by hand.
`MEDGROUND_DEBUG=1` shows the traceback of an error.
"""


def page() -> str:
    """The whole page as it should be now."""
    runner = CliRunner(env={"COLUMNS": "100", "TERMINAL_WIDTH": "100"})
    parts = [HEAD]
    for path in _commands(typer.main.get_command(app), ()):
        shown = runner.invoke(app, [*path, "--help"], prog_name="medground").stdout.strip()
        parts.append(f"## medground {' '.join(path)}".rstrip() + f"\n\n```\n{shown}\n```\n")
    return "\n".join(parts)


def _commands(command: object, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield path
    for name, below in getattr(command, "commands", {}).items():
        yield from _commands(below, (*path, name))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
