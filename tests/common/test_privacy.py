import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from common.privacy import is_loopback

# Each statement sets ``value`` to a library's effective telemetry or tracing setting.
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


def settings_in_new_process(
    *statements: str, preamble: str = "", folder: Path = Path(__file__).parents[2], **environment: str
) -> list[bool]:
    """The ``value`` of each statement in a new process that runs ``preamble``, then imports ``common``."""
    clean = {key: value for key, value in os.environ.items() if key not in VARIABLES}
    lines = [preamble, "import common, json", "values = []"]
    lines += [line for statement in statements for line in (statement, "values.append(value)")]
    process = subprocess.run(
        [sys.executable, "-c", "\n".join([*lines, "print(json.dumps(values))"])],
        env={**clean, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    values: list[bool] = json.loads(process.stdout)
    return values


def test_telemetry_and_tracing_are_off_by_default() -> None:
    assert settings_in_new_process(HUB, CHROMA, LANGSMITH) == [True, False, False]


def test_telemetry_is_off_in_a_folder_with_a_package_name(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    assert settings_in_new_process(HUB, LANGSMITH, folder=tmp_path) == [True, False]


def test_hub_telemetry_is_off_if_hub_was_imported_first() -> None:
    assert settings_in_new_process(HUB, preamble="import huggingface_hub.constants") == [True]


def test_user_can_turn_telemetry_and_tracing_on() -> None:
    on = {"HF_HUB_DISABLE_TELEMETRY": "0", "ANONYMIZED_TELEMETRY": "True", "LANGSMITH_TRACING": "true"}
    assert settings_in_new_process(HUB, CHROMA, LANGSMITH, **on) == [False, True, True]
    assert settings_in_new_process(HUB, preamble="import huggingface_hub.constants", **on) == [False]


@pytest.mark.parametrize("name", ["LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING_V2"])
def test_older_variables_of_langsmith_turn_tracing_on(name: str) -> None:
    assert settings_in_new_process(LANGSMITH, **{name: "true"}) == [True]


def test_onnxruntime_writes_no_telemetry_files(tmp_path: Path) -> None:
    """With telemetry on, its native library writes a session file and a database of events."""
    folders = {"TMPDIR": tmp_path / "tmp", "HOME": tmp_path / "home", "XDG_CACHE_HOME": tmp_path / "home/.cache"}
    for folder in folders.values():
        folder.mkdir(parents=True)
    turn_off = {"CI", "GITHUB_ACTIONS", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS"}  # onnxruntime's variables
    clean = {key: value for key, value in os.environ.items() if key not in turn_off}

    def files_written_by(code: str) -> list[Path]:
        environment = {**clean, **{name: str(folder) for name, folder in folders.items()}}
        subprocess.run([sys.executable, "-c", code], env=environment, cwd=Path(__file__).parents[2], check=True)
        return [path for path in tmp_path.rglob("*") if path.is_file()]

    assert files_written_by("import common, onnxruntime") == []
    if not files_written_by("import onnxruntime"):
        pytest.skip("this build of onnxruntime has no telemetry")


@pytest.mark.parametrize("host", ["localhost", "LocalHost.", "127.0.0.1", "127.9.9.9", "::1", "[::1]", "::1%lo"])
def test_loopback_host_is_recognized(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", [None, "", "0.0.0.0", "::", "10.0.0.1", "example.org", "localhost.example.org", "127.0.0.1.nip.io", "1"]
)
def test_host_beyond_this_machine_is_not_loopback(host: str | None) -> None:
    assert not is_loopback(host)
