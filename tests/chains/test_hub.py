"""The loader against a model hub: each way it can go, in processes of their own, as a user meets it."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import checkpoints
import pytest
from stub_hub import stub_hub

CLIENT = """
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
TINY, ADAPTED = "someone/tiny", "someone/tiny someone/adapter"
ERRORS = {
    "someone/gated": "Model someone/gated is gated",
    "someone/absent": "Model someone/absent: the hub has nothing by this name",
    "someone/empty": "Model someone/empty",
    "someone/tiny someone/absent": "Adapter someone/absent: the hub has nothing by this name",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.make_chat(tmp_path_factory.mktemp("served") / "model")


def run(home: Path, url: str, *names: str, **more: str) -> list[str]:
    """What a process prints for each of ``names``, a model or a model and an adapter."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    environment |= {"HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", **more}
    environment["PYTHONPATH"] = str(Path(__file__).parents[1] / "guard")
    environment["MEDGROUND_GUARD_LOG"] = str(home / "guard.log")
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, *names],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert not (home / "guard.log").exists()
    return [line for line in done.stdout.splitlines() if line.startswith(("LABEL", "ERROR"))]


@dataclass(frozen=True)
class Told:
    """What was printed for each name, with a hub and then offline; the hub's address and what it was asked."""

    online: dict[str, str]
    offline: dict[str, str]
    url: str
    asked: list[str]


@pytest.fixture(scope="module")
def told(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """One process for each state of the network: each imports PyTorch."""
    root = tmp_path_factory.mktemp("hub")
    adapter = checkpoints.make_adapter(folder, root / "adapter", base_name="someone/tiny")
    (root / "empty").mkdir()
    (root / "empty/config.json").write_bytes((folder / "config.json").read_bytes())
    names = [TINY, ADAPTED, *ERRORS]
    served = {"someone__tiny": folder, "someone__gated": folder, "someone__adapter": adapter}
    with stub_hub(**served, someone__empty=root / "empty") as hub:
        hub.gated.add("someone/gated")
        online = dict(zip(names, run(root / "home", hub.url, *names), strict=True))
    offline = [TINY, "someone/other"]
    without = dict(zip(offline, run(root / "home", "http://127.0.0.1:9", *offline, HF_HUB_OFFLINE="1"), strict=True))
    return Told(online, without, hub.url, list(hub.requests))


def test_a_model_downloads_and_runs_and_then_needs_no_hub(told: Told) -> None:
    assert told.online[TINY].removeprefix("LABEL ") in ("yes", "no", "maybe")
    assert any("model.safetensors" in request for request in told.asked)
    assert told.offline[TINY] == told.online[TINY]


def test_an_adapter_downloads_too(told: Told) -> None:
    assert told.online[ADAPTED].startswith("LABEL ")


@pytest.mark.parametrize("names", ERRORS)
def test_what_the_hub_does_not_give_is_named(told: Told, names: str) -> None:
    assert told.online[names].startswith(f"ERROR {ERRORS[names]}")


def test_a_gated_model_is_reported_with_the_way_to_it(told: Told) -> None:
    assert f"{told.url}/someone/gated" in told.online["someone/gated"]
    assert "hf auth login" in told.online["someone/gated"]


def test_a_model_without_weights(told: Told) -> None:
    assert "safetensors" in told.online["someone/empty"]


@pytest.mark.slow  # the client tries for half a minute before it gives up
def test_a_dropped_connection(folder: Path, tmp_path: Path) -> None:
    with stub_hub(someone__tiny=folder) as hub:
        hub.dropped.add("model.safetensors")
        (message,) = run(tmp_path, hub.url, TINY)
        assert message.startswith("ERROR Model someone/tiny: the connection to the hub")
        assert "Run the same command again" in message
        hub.dropped.clear()
        assert run(tmp_path, hub.url, TINY)[0].startswith("LABEL ")


@pytest.mark.slow  # the client tries for half a minute before it gives up
def test_no_hub_to_be_reached(tmp_path: Path) -> None:
    (message,) = run(tmp_path, "http://127.0.0.1:9", TINY)
    assert message.startswith("ERROR Model someone/tiny: not in the local cache, and the hub")


def test_an_offline_machine(told: Told) -> None:
    assert told.offline["someone/other"].startswith("ERROR Model someone/other is not in the local cache")
    assert "HF_HUB_OFFLINE" in told.offline["someone/other"]
