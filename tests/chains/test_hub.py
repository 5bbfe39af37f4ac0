"""The loader against a model hub: each way it can go, in a process of its own, as a user meets it."""

import os
import subprocess
import sys
from collections.abc import Callable
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
try:
    llm = load_llm(LLMConfig(model=sys.argv[1], adapter=sys.argv[2] if len(sys.argv) > 2 else None))
    print("LABEL", qa_chain(llm, context="none").invoke("Is it?").label)
except UserError as error:
    print("ERROR", error)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return checkpoints.make_chat(tmp_path_factory.mktemp("served") / "model")


@pytest.fixture
def client(tmp_path: Path) -> Callable[..., str]:
    def run(url: str, *arguments: str, **more: str) -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        environment |= {"HF_ENDPOINT": url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1", **more}
        environment["PYTHONPATH"] = str(Path(__file__).parents[1] / "guard")
        environment["MEDGROUND_GUARD_LOG"] = str(tmp_path / "guard.log")
        done = subprocess.run(
            [sys.executable, "-c", CLIENT, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert not (tmp_path / "guard.log").exists()
        return done.stdout.strip().splitlines()[-1]

    return run


def test_a_model_downloads_and_runs_and_then_needs_no_hub(folder: Path, client: Callable[..., str]) -> None:
    with stub_hub(someone__tiny=folder) as hub:
        assert client(hub.url, "someone/tiny").removeprefix("LABEL ") in ("yes", "no", "maybe")
        assert any("model.safetensors" in request for request in hub.asked)
    assert client(hub.url, "someone/tiny", HF_HUB_OFFLINE="1").startswith("LABEL ")


def test_an_adapter_downloads_too(folder: Path, client: Callable[..., str], tmp_path: Path) -> None:
    adapter = checkpoints.make_adapter(folder, tmp_path / "adapter", base_name="someone/tiny")
    with stub_hub(someone__tiny=folder, someone__adapter=adapter) as hub:
        assert client(hub.url, "someone/tiny", "someone/adapter").startswith("LABEL ")
        message = client(hub.url, "someone/tiny", "someone/absent")
        assert message.startswith("ERROR Adapter someone/absent: the hub has nothing by this name")


def test_a_gated_model(folder: Path, client: Callable[..., str]) -> None:
    with stub_hub(someone__gated=folder) as hub:
        hub.gated.add("someone/gated")
        message = client(hub.url, "someone/gated")
    assert message.startswith("ERROR Model someone/gated is gated")
    assert f"{hub.url}/someone/gated" in message
    assert "hf auth login" in message


def test_an_absent_model(client: Callable[..., str]) -> None:
    with stub_hub() as hub:
        message = client(hub.url, "someone/absent")
    assert message.startswith("ERROR Model someone/absent: the hub has nothing by this name")


def test_a_model_without_weights(folder: Path, client: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/config.json").write_bytes((folder / "config.json").read_bytes())
    with stub_hub(someone__empty=tmp_path / "empty") as hub:
        message = client(hub.url, "someone/empty")
    assert message.startswith("ERROR Model someone/empty")
    assert "safetensors" in message


@pytest.mark.slow  # the client tries for half a minute before it gives up
def test_a_dropped_connection(folder: Path, client: Callable[..., str]) -> None:
    with stub_hub(someone__tiny=folder) as hub:
        hub.dropped.add("model.safetensors")
        message = client(hub.url, "someone/tiny")
        assert message.startswith("ERROR Model someone/tiny: the connection to the hub")
        assert "Run the same command again" in message
        hub.dropped.clear()
        assert client(hub.url, "someone/tiny").startswith("LABEL ")


@pytest.mark.slow  # the client tries for half a minute before it gives up
def test_no_hub_to_be_reached(client: Callable[..., str]) -> None:
    message = client("http://127.0.0.1:9", "someone/tiny")
    assert message.startswith("ERROR Model someone/tiny is not on this machine and the hub")


def test_an_offline_machine(client: Callable[..., str]) -> None:
    message = client("http://127.0.0.1:9", "someone/tiny", HF_HUB_OFFLINE="1")
    assert message.startswith("ERROR Model someone/tiny is not in the local cache")
    assert "HF_HUB_OFFLINE" in message
