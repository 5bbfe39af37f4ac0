"""``doctor`` reports each part as ok, note or failed."""

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


def test_the_embedded_default_is_complete() -> None:
    found = checks()
    assert [check for check in found.values() if check.state == "failed"] == []
    assert "official" in found["embedder minilm"].value
    assert "medground-tiny" in found["language model"].value
    assert not Path(".medground").exists()


def test_without_a_gpu_driver_torch_is_not_imported() -> None:
    code = (
        "import sys; from medground import doctor; from medground.settings import load_settings;"
        "doctor.CDLL = lambda name: (_ for _ in ()).throw(OSError(name));"
        "found = list(doctor.examine(load_settings(None, {})));"
        "print(len(found), [name for name in ('torch', 'transformers', 'chromadb') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "12 []\n"  # 12 checks, none of the heavy libraries


def test_the_llama_cpp_engine_is_named_with_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("xllamacpp")
    found = checks()["llama.cpp"]
    assert found.state == "ok"
    assert version("xllamacpp") in found.value
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    assert checks()["llama.cpp"].state == "note"
    needed = checks(**{"llm.kind": "llamacpp", "llm.model": "a.gguf"})["llama.cpp"]
    assert needed.state == "failed"
    assert "pip install 'medground[llamacpp]'" in needed.value


def test_an_unwritable_store_and_an_invalid_hub_id_are_failed() -> None:
    Path("file").touch()
    found = checks(**{"store.path": "file/store", "embedders.other.model": "a/b/c"})
    assert found["store"].state == "failed"
    assert found["embedder other"].state == "failed"


def test_a_hub_model_that_is_not_cached_is_noted_without_a_download() -> None:
    found = checks(**{"llm.model": "someone/some-model"})
    assert found["language model"].state == "note"
    assert "downloaded from the hub on first use" in found["language model"].value


def test_enabled_telemetry_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    assert checks()["telemetry"].state == "ok"
    monkeypatch.setenv("LANGCHAIN_TRACING_V2", "true")
    assert "LANGCHAIN_TRACING_V2" in checks()["telemetry"].value


def test_the_command_prints_json_and_exits_1_if_a_check_failed(command: Callable[..., Any]) -> None:
    outcome = command("doctor", "--json")
    assert outcome.status == 0
    assert {"name", "state", "value"} == set(json.loads(outcome.out)[0])
    outcome = command("doctor", "--set", "embedders.minilm.model=a/b/c")
    assert outcome.status == 1
    assert "failed  embedder minilm" in outcome.out
