"""Telemetry and tracing are off, unless the user has turned them on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ASK = """
import json, sys
{first}
import common
import huggingface_hub.constants as hub
from chromadb.config import Settings
from langsmith.utils import tracing_is_enabled
print(json.dumps([hub.HF_HUB_DISABLE_TELEMETRY, Settings().anonymized_telemetry, tracing_is_enabled()]))
"""
VARIABLES = {
    "HF_HUB_DISABLE_TELEMETRY",
    "DISABLE_TELEMETRY",
    "DO_NOT_TRACK",
    "ANONYMIZED_TELEMETRY",
    "LANGSMITH_TRACING",
    "LANGSMITH_TRACING_V2",
    "LANGCHAIN_TRACING_V2",
    "LANGCHAIN_TRACING",
}


def asked(first: str = "", folder: Path = Path(__file__).parents[2], **environment: str) -> tuple[bool, bool, bool]:
    """Whether the hub's telemetry is disabled, Chroma's and LangSmith's tracing enabled, in a fresh process."""
    clean = {key: value for key, value in os.environ.items() if key not in VARIABLES}
    found = subprocess.run(
        [sys.executable, "-c", ASK.format(first=first)],
        env={**clean, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    disabled, chroma, tracing = json.loads(found.stdout)
    return disabled, chroma, tracing


def test_all_is_off() -> None:
    assert asked() == (True, False, False)


def test_all_is_off_beside_a_folder_of_the_users_that_is_called_like_a_package(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    assert asked(folder=tmp_path) == (True, False, False)


def test_all_is_off_where_the_hub_was_imported_first() -> None:
    assert asked("import huggingface_hub.constants") == (True, False, False)


def test_the_user_may_turn_all_on() -> None:
    on = {"HF_HUB_DISABLE_TELEMETRY": "0", "ANONYMIZED_TELEMETRY": "True", "LANGSMITH_TRACING": "true"}
    assert asked(**on) == (False, True, True)
    assert asked("import huggingface_hub.constants", **on) == (False, True, True)


@pytest.mark.parametrize("name", ["LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING_V2"])
def test_tracing_may_be_turned_on_by_its_older_names(name: str) -> None:
    assert asked(**{name: "true"}) == (True, False, True)


def test_onnxruntime_collects_nothing(tmp_path: Path) -> None:
    """Its native library writes a session file and a database of events when its telemetry is on."""
    folders = {"TMPDIR": tmp_path / "tmp", "HOME": tmp_path / "home", "XDG_CACHE_HOME": tmp_path / "home/.cache"}
    for folder in folders.values():
        folder.mkdir(parents=True)
    automatic = {"CI", "GITHUB_ACTIONS", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS"}  # each turns it off
    clean = {key: value for key, value in os.environ.items() if key not in automatic}

    def left(code: str) -> list[Path]:
        environment = {**clean, **{name: str(folder) for name, folder in folders.items()}}
        subprocess.run([sys.executable, "-c", code], env=environment, cwd=Path(__file__).parents[2], check=True)
        return [path for path in tmp_path.rglob("*") if path.is_file()]

    assert left("import common, onnxruntime") == []
    if not left("import onnxruntime"):
        pytest.skip("this build of onnxruntime has no telemetry")
