"""medground/cli: what every command has in common."""

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


def test_help_comes_at_once(medground: Callable[..., Any]) -> None:
    medground("--help")  # compiles, and warms the disk's cache
    seconds = []
    for _ in range(5):
        before = os.times()
        shown = medground("--help")
        after = os.times()  # of the processor, and so also right on a busy machine
        seconds.append(sum(after[2:4]) - sum(before[2:4]))
    assert shown.returncode == 0
    assert "retrieve" in shown.stdout
    assert min(seconds) < 0.6


def test_help_imports_no_heavy_library() -> None:
    code = "import sys, medground.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {
        "torch",
        "transformers",
        "chromadb",
        "datasets",
        "langchain_core",
        "numpy",
        "scipy",
        "sentence_transformers",
    }
    assert not heavy & set(loaded)


def test_a_mistake_is_one_sentence_and_status_1(command: Callable[..., Any]) -> None:
    outcome = command("eval", "qa", "--data", "none.json")
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err.startswith("medground: none.json: there is no such file")


def test_a_mistake_that_quotes_a_file_cannot_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from medground.cli.app import main

    (tmp_path / "mine.yaml").write_text('llm: {"\\e]0;owned\\a\\u202e": 1}')
    with pytest.raises(SystemExit) as ended:
        main(["retrieve", "q", "--config", str(tmp_path / "mine.yaml")])
    assert ended.value.code == 1
    assert "llm.\\x1b]0;owned\\x07\\u202e: there is no such setting" in capsys.readouterr().err


def test_its_traceback_is_shown_on_demand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that ``main`` lets through ends the process with a traceback and status 1."""
    from medground.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDGROUND_DEBUG", "1")
    with pytest.raises(DataError, match=r"none\.json: there is no such file"):
        main(["eval", "qa", "--data", "none.json"])


def test_wrong_usage_is_status_2(medground: Callable[..., Any]) -> None:
    outcome = medground("ask")
    assert outcome.returncode == 2
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    {
        "doctor": "Stopped.\n",
        "eval nli": "Stopped. The same command resumes where it stopped.\n",
        "index": "Stopped. The same command resumes where it stopped.\n",
        "train qlora --output x": "Stopped. The same command resumes from its last checkpoint.\n",
    }.items(),
)
def test_stopping_by_hand_is_status_130(
    monkeypatch: pytest.MonkeyPatch, command: Callable[..., Any], words: str, told: str
) -> None:
    import medground.settings

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(medground.settings, "load_settings", stopped)
    outcome = command(*words.split())
    assert (outcome.status, outcome.out, outcome.err) == (130, "", told)


def test_a_signal_stops_a_process(tmp_path: Path) -> None:
    path = tmp_path / "waits"
    os.mkfifo(path)  # nobody writes into it, so the command waits
    words = [sys.executable, "-m", "medground", "eval", "qa", "--config", str(path)]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # where the tests run in the background it is not
    started = subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True, preexec_fn=heard)
    with started as process, path.open("w"):  # opens once the command has opened it
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=60)[1]
    assert (process.returncode, told) == (130, "Stopped. The same command resumes where it stopped.\n")


def test_a_terminal_that_cannot_show_a_sign_is_no_error(medground: Callable[..., Any]) -> None:
    outcome = medground("ask", "x", "--config", "n\u00f6.yaml", PYTHONIOENCODING="ascii")
    assert outcome.returncode == 1
    assert "n\\xf6.yaml" in outcome.stderr
