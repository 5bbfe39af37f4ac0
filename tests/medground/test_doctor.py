"""``medground doctor``: checks of the machine and the settings."""

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from medground.doctor import Check, examine
from medground.settings import load_settings


def checks(**overrides: Any) -> dict[str, Check]:
    return {check.name: check for check in examine(load_settings(None, overrides))}


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_default_settings_pass_every_check_without_creating_files() -> None:
    results = checks()
    assert [check for check in results.values() if check.state == "failed"] == []
    assert "official" in results["embedder minilm"].value
    assert "medground-tiny" in results["language model"].value
    assert not Path(".medground").exists()


def test_torch_is_not_imported_without_a_gpu_driver() -> None:
    code = """
import sys
from medground import doctor
from medground.settings import load_settings
def fail_to_load(name):
    raise OSError(name)
doctor.CDLL = fail_to_load
assert list(doctor.examine(load_settings(None, {})))
print([name for name in ("torch", "transformers", "chromadb") if name in sys.modules])
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout == "[]\n"


def test_llama_cpp_is_ok_with_its_version_if_installed() -> None:
    pytest.importorskip("xllamacpp")
    check = checks()["llama.cpp"]
    assert check.state == "ok"
    assert version("xllamacpp") in check.value


def test_missing_llama_cpp_is_a_failure_if_llm_kind_needs_it_and_a_note_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    assert checks()["llama.cpp"].state == "note"
    check = checks(**{"llm.kind": "llamacpp", "llm.model": "a.gguf"})["llama.cpp"]
    assert check.state == "failed"
    assert "pip install 'medground[llamacpp]'" in check.value


def test_unwritable_store_and_invalid_hub_id_are_failures() -> None:
    Path("file").touch()
    results = checks(**{"store.path": "file/store", "embedders.other.model": "a/b/c"})
    assert results["store"].state == "failed"
    assert results["embedder other"].state == "failed"


@pytest.mark.parametrize(
    ("model", "remedy"),
    [
        ("someone/some-model", "downloaded from the hub on first use"),
        ("qwen3-0.6b", "`medground models get qwen3-0.6b` fetches it"),
    ],
)
def test_absent_model_is_a_failure_if_the_hub_is_offline_and_a_note_otherwise(
    monkeypatch: pytest.MonkeyPatch, model: str, remedy: str
) -> None:
    for offline, state, value in ((False, "note", remedy), (True, "failed", "and HF_HUB_OFFLINE is set")):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
        check = checks(**{"llm.model": model})["language model"]
        assert (check.state, check.value.endswith(value)) == (state, True)


def test_enabled_tracing_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    assert checks()["telemetry"].state == "ok"
    monkeypatch.setenv("LANGCHAIN_TRACING_V2", "true")
    assert "LANGCHAIN_TRACING_V2" in checks()["telemetry"].value


def test_command_prints_json_and_has_exit_status_1_if_a_check_failed(command: Callable[..., Any]) -> None:
    outcome = command("doctor", "--json")
    assert outcome.status == 0
    assert {"name", "state", "value"} == set(json.loads(outcome.out)[0])
    outcome = command("doctor", "--set", "embedders.minilm.model=a/b/c")
    assert outcome.status == 1
    assert "failed  embedder minilm" in outcome.out
