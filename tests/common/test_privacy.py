"""Telemetry and tracing are off, unless the user has turned them on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HUB = "from huggingface_hub.constants import HF_HUB_DISABLE_TELEMETRY as value"
CHROMA = "from chromadb.config import Settings; value = Settings().anonymized_telemetry"
LANGSMITH = "from langsmith.utils import tracing_is_enabled; value = tracing_is_enabled()"
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


def asked(*what: str, first: str = "", folder: Path = Path(__file__).parents[2], **environment: str) -> list[bool]:
    """The values that the lines of ``what`` give in a fresh process that has imported ``common``."""
    clean = {key: value for key, value in os.environ.items() if key not in VARIABLES}
    lines = [first, "import common, json", "values = []"]
    lines += [line for one in what for line in (one, "values.append(value)")]
    found = subprocess.run(
        [sys.executable, "-c", "\n".join([*lines, "print(json.dumps(values))"])],
        env={**clean, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    values: list[bool] = json.loads(found.stdout)
    return values


def test_all_is_off() -> None:
    assert asked(HUB, CHROMA, LANGSMITH) == [True, False, False]


def test_all_is_off_beside_a_folder_of_the_users_that_is_called_like_a_package(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    assert asked(HUB, LANGSMITH, folder=tmp_path) == [True, False]


def test_the_hubs_is_off_where_it_was_imported_first() -> None:
    assert asked(HUB, first="import huggingface_hub.constants") == [True]


def test_the_user_may_turn_all_on() -> None:
    on = {"HF_HUB_DISABLE_TELEMETRY": "0", "ANONYMIZED_TELEMETRY": "True", "LANGSMITH_TRACING": "true"}
    assert asked(HUB, CHROMA, LANGSMITH, **on) == [False, True, True]
    assert asked(HUB, first="import huggingface_hub.constants", **on) == [False]


@pytest.mark.parametrize("name", ["LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING_V2"])
def test_tracing_may_be_turned_on_by_its_older_names(name: str) -> None:
    assert asked(LANGSMITH, **{name: "true"}) == [True]


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
