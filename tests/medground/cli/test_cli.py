"""Behaviour of all commands: help, error messages and exit statuses."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from common.errors import DataError

ROOT = Path(__file__).parents[3]


def test_help_takes_less_than_600_ms(medground: Callable[..., Any]) -> None:
    medground("--help")  # compiles the modules, and fills the disk cache
    seconds = []  # CPU time, since other processes affect the elapsed time
    for _ in range(5):
        before = os.times()
        outcome = medground("--help")
        after = os.times()
        seconds.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert outcome.returncode == 0
    assert "retrieve" in outcome.stdout
    assert min(seconds) < 0.6


def test_command_line_imports_no_heavy_library() -> None:
    code = "import sys, medground.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"torch", "transformers", "chromadb", "datasets", "langchain_core", "numpy", "scipy", "openai", "httpx"}
    assert not {*heavy, "fastapi", "uvicorn", "itsdangerous"} & set(loaded)


def test_user_error_is_printed_with_exit_status_1(command: Callable[..., Any]) -> None:
    outcome = command("eval", "qa", "--data", "none.json")
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err.startswith("medground: none.json: there is no such file")


def test_control_characters_in_error_messages_are_escaped(command: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text('llm: {"\\e]0;owned\\a\\u202e": 1}')
    outcome = command("retrieve", "q", "--config", "config.yaml")
    assert outcome.status == 1
    assert "llm.\\x1b]0;owned\\x07\\u202e: there is no such setting" in outcome.err


def test_debug_variable_lets_user_errors_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``main`` raises the error, so Python prints a traceback."""
    from medground.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDGROUND_DEBUG", "1")
    with pytest.raises(DataError, match=r"none\.json: there is no such file"):
        main(["eval", "qa", "--data", "none.json"])


def test_missing_argument_has_exit_status_2(medground: Callable[..., Any]) -> None:
    outcome = medground("ask")
    assert outcome.returncode == 2
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    {
        "doctor": "Stopped.\n",
        "eval nli": "Stopped. The same command resumes where it stopped.\n",
        "index": "Stopped. The same command resumes where it stopped.\n",
        "train qlora --output x": "Stopped. The same command resumes from its last checkpoint.\n",
    }.items(),
)
def test_keyboard_interrupt_has_exit_status_130(
    monkeypatch: pytest.MonkeyPatch, command: Callable[..., Any], arguments: str, message: str
) -> None:
    import medground.settings

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(medground.settings, "load_settings", interrupt)
    outcome = command(*arguments.split())
    assert (outcome.status, outcome.out, outcome.err) == (130, "", message)


def test_sigint_ends_a_command_with_exit_status_130(tmp_path: Path) -> None:
    config = tmp_path / "config.fifo"
    os.mkfifo(config)  # it has no writer, so the command waits for its settings
    arguments = [sys.executable, "-m", "medground", "eval", "qa", "--config", str(config)]
    reset = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore SIGINT
    started = subprocess.Popen(arguments, cwd=tmp_path, stderr=subprocess.PIPE, text=True, preexec_fn=reset)
    with started as process, config.open("w"):  # blocks until the command opens the other end
        process.send_signal(signal.SIGINT)
        printed = process.communicate(timeout=60)[1]
    assert (process.returncode, printed) == (130, "Stopped. The same command resumes where it stopped.\n")


def test_interrupt_while_the_commands_are_imported_has_exit_status_130_and_no_traceback() -> None:
    code = """
import sys
class Interrupt:
    def find_spec(self, name, *_):
        if name == "typer":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt())
import medground.cli
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (process.returncode, process.stderr) == (130, "Stopped.\n")


def test_unencodable_characters_are_escaped(medground: Callable[..., Any]) -> None:
    outcome = medground("ask", "x", "--config", "n\u00f6.yaml", PYTHONIOENCODING="ascii")
    assert outcome.returncode == 1
    assert "n\\xf6.yaml" in outcome.stderr
