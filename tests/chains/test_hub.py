"""Loading of models from a stub of the hub, in subprocesses."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import checkpoints
import pytest
from stub_hub import stub_hub

LOAD_AND_ASK = """
import sys
from chains.config import LLMConfig
from chains.models.local import load_llm
from chains.qa.chain import qa_chain
from common.errors import UserError
for names in sys.argv[1:]:
    model, _, adapter = names.partition(" ")
    try:
        llm = load_llm(LLMConfig(model=model, adapter=adapter or None))
        print("LABEL", qa_chain(llm, context="none").invoke("Is it?").label)
    except UserError as error:
        print("ERROR", str(error).replace("\\n", " "))
"""
TINY, TINY_WITH_ADAPTER = "someone/tiny", "someone/tiny someone/adapter"
ERRORS = {
    "someone/gated": "Model someone/gated is gated",
    "someone/absent": "Model someone/absent: the hub has nothing by this name",
    "someone/empty": "Model someone/empty",
    "someone/tiny someone/absent": "Adapter someone/absent: the hub has nothing by this name",
}


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.make_chat(tmp_path_factory.mktemp("served") / "model")


def load_in_process(home: Path, url: str, *names: str, **variables: str) -> list[str]:
    """The label or error that a process prints for each of ``names``: a model, or a model and an adapter."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    environment |= {"HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", **variables}
    environment["PYTHONPATH"] = str(Path(__file__).parents[1] / "guard")  # refuses and logs connections beyond loopback
    environment["MEDGROUND_GUARD_LOG"] = str(home / "guard.log")
    process = subprocess.run(
        [sys.executable, "-c", LOAD_AND_ASK, *names],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "Traceback" not in process.stderr, process.stderr
    assert not (home / "guard.log").exists()
    return [line for line in process.stdout.splitlines() if line.startswith(("LABEL", "ERROR"))]


@dataclass(frozen=True)
class Outcome:
    """The printed line by name, with a hub and then offline; the hub's URL and the requests that it received."""

    online: dict[str, str]
    offline: dict[str, str]
    url: str
    requests: list[str]


@pytest.fixture(scope="module")
def outcome(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """The outcome of two processes; one process loads all names, because each imports PyTorch."""
    root = tmp_path_factory.mktemp("hub")
    adapter = checkpoints.make_adapter(model_folder, root / "adapter", base_name="someone/tiny")
    (root / "empty").mkdir()
    (root / "empty/config.json").write_bytes((model_folder / "config.json").read_bytes())
    names = [TINY, TINY_WITH_ADAPTER, *ERRORS]
    served = {"someone__tiny": model_folder, "someone__gated": model_folder, "someone__adapter": adapter}
    with stub_hub(**served, someone__empty=root / "empty") as hub:
        hub.gated.add("someone/gated")
        online = dict(zip(names, load_in_process(root / "home", hub.url, *names), strict=True))
    names = [TINY, "someone/other"]
    lines = load_in_process(root / "home", "http://127.0.0.1:9", *names, HF_HUB_OFFLINE="1")
    offline = dict(zip(names, lines, strict=True))
    return Outcome(online, offline, hub.url, list(hub.requests))


def test_downloaded_model_runs_online_and_then_offline(outcome: Outcome) -> None:
    assert outcome.online[TINY].removeprefix("LABEL ") in ("yes", "no", "maybe")
    assert any("model.safetensors" in request for request in outcome.requests)
    assert outcome.offline[TINY] == outcome.online[TINY]


def test_model_answers_with_a_downloaded_adapter(outcome: Outcome) -> None:
    assert outcome.online[TINY_WITH_ADAPTER].startswith("LABEL ")


@pytest.mark.parametrize("names", ERRORS)
def test_unusable_repository_is_named_in_the_error(outcome: Outcome, names: str) -> None:
    assert outcome.online[names].startswith(f"ERROR {ERRORS[names]}")


def test_error_of_a_gated_model_gives_its_page_and_the_login_command(outcome: Outcome) -> None:
    assert f"{outcome.url}/someone/gated" in outcome.online["someone/gated"]
    assert "hf auth login" in outcome.online["someone/gated"]


def test_model_without_weights_is_refused(outcome: Outcome) -> None:
    assert "safetensors" in outcome.online["someone/empty"]


@pytest.mark.slow  # huggingface_hub retries for half a minute
def test_download_can_be_repeated_after_a_dropped_connection(model_folder: Path, tmp_path: Path) -> None:
    with stub_hub(someone__tiny=model_folder) as hub:
        hub.dropped.add("model.safetensors")
        (message,) = load_in_process(tmp_path, hub.url, TINY)
        assert message.startswith("ERROR Model someone/tiny: the connection to the hub")
        assert "Run the same command again" in message
        hub.dropped.clear()
        assert load_in_process(tmp_path, hub.url, TINY)[0].startswith("LABEL ")


@pytest.mark.slow  # huggingface_hub retries for half a minute
def test_unreachable_hub_raises_user_error(tmp_path: Path) -> None:
    (message,) = load_in_process(tmp_path, "http://127.0.0.1:9", TINY)
    assert message.startswith("ERROR Model someone/tiny: not in the local cache, and the hub")


def test_model_missing_offline_raises_user_error(outcome: Outcome) -> None:
    assert outcome.offline["someone/other"].startswith("ERROR Model someone/other is not in the local cache")
    assert "HF_HUB_OFFLINE" in outcome.offline["someone/other"]
