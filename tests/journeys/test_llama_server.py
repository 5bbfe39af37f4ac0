"""Commands with llama.cpp, as an OpenAI-compatible server and in process.

The model is smollm2 or, if the package index does not provide it, medground-tiny as a GGUF file.
"""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gguf_files import write_gguf

from chains.models.fetch import gguf_of
from chains.models.known import known_model
from chains.models.local import EMBEDDED
from common.errors import UserError

pytestmark = pytest.mark.slow
pytest.importorskip("xllamacpp")
TEXT = (
    "Aspirin after stroke. We randomised 512 adults after a stroke to aspirin or placebo for two years. "
    "Aspirin reduced the risk of a second stroke (relative risk 0.71). Bleeding was more frequent with aspirin."
)
QUESTION = "Does aspirin reduce the risk of a second stroke?"
Command = Callable[..., Any]


@pytest.fixture(scope="module")
def gguf_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = known_model("smollm2")
    assert model is not None
    try:
        return gguf_of(model)
    except UserError:
        return write_gguf(EMBEDDED, tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(scope="module")
def url(gguf_file: Path) -> Iterator[str]:
    from llama_server import llama_server

    with llama_server(gguf_file, "real") as server_url:
        yield server_url


@pytest.fixture(params=["openai", "llamacpp"])
def llm(request: pytest.FixtureRequest, url: str, gguf_file: Path) -> list[str]:
    """Options of commands that choose the model on the server, or in process."""
    settings = {
        "openai": ["llm.kind=openai", f"llm.base_url={url}", "llm.model=real"],
        "llamacpp": ["llm.kind=llamacpp", f"llm.model={gguf_file}", "llm.window=4096"],
    }
    return [f"--set={item}" for item in (*settings[request.param], "chat.max_new_tokens=48", "retriever=bm25")]


@pytest.fixture
def indexed(command: Command) -> Command:
    """``command`` in a folder whose library is ``TEXT``."""
    Path("stroke.txt").write_text(TEXT)
    assert command("index", "stroke.txt", "--quiet", "--set", "retriever=bm25").status == 0
    return command


def test_ask_answers_with_a_quote(indexed: Command, llm: list[str]) -> None:
    scored = indexed("ask", QUESTION, "--json", *llm)
    assert scored.status == 0, scored.err
    answer = json.loads(scored.out)
    assert answer["label"] in ("yes", "no", "maybe")
    assert sum(answer["label_scores"].values()) == pytest.approx(1)
    assert "Aspirin reduced the risk" in answer["citations"][0]["quote"]
    assert answer["output"] is None  # labels are scored by their probabilities, and nothing is generated
    generated = indexed("ask", QUESTION, "--json", "--set", "chain.decide=generate", *llm)
    assert generated.status == 0, generated.err
    assert json.loads(generated.out)["output"].strip()


@pytest.mark.parametrize("decide", ["score", "generate"])
def test_evaluation_writes_samples_and_is_reused(command: Command, llm: list[str], decide: str) -> None:
    run = ("eval", "qa", "--limit", "2", "--quiet", "--output", "run", "--set", f"chain.decide={decide}", *llm)
    first = command(*run)
    assert first.status == 0, first.err
    samples = [json.loads(line) for line in Path("run/samples_qa_gold.jsonl").read_text().splitlines()]
    assert len(samples) == 2
    for sample in samples:
        if decide == "score":
            assert sum(sample["label_scores"].values()) == pytest.approx(1)
        else:
            assert sample["label_scores"] in ({}, None)
            assert sample["output"].strip()
    repeated = json.loads(command(*run, "--json").out)
    assert repeated == json.loads(Path("run/results.json").read_text())
    assert repeated["computed"] == 0


def test_chat_writes_answers_from_the_document(
    indexed: Command, llm: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{QUESTION}\nAnd bleeding?\n"))
    outcome = indexed("chat", "--quiet", "--set", "chat.answers=written", *llm)
    assert outcome.status == 0, outcome.err
    assert "medground:" not in outcome.err  # the prefix of error messages
    assert "stroke.txt" in outcome.out


def test_streamed_text_equals_invoked_text_on_both_engines(url: str, gguf_file: Path) -> None:
    from chains.config import LLMConfig
    from chains.models import make_llm

    question = "Name the hormone that lowers blood sugar."
    texts = {}
    for settings in (
        {"kind": "openai", "base_url": url, "model": "real"},
        {"kind": "llamacpp", "model": str(gguf_file), "window": 4096},
    ):
        llm = make_llm(LLMConfig(**settings))
        assert llm.window == 4096
        chunks = [str(chunk.text) for chunk in llm.chat.stream(question, max_tokens=24)]
        assert len([chunk for chunk in chunks if chunk]) > 1
        texts[settings["kind"]] = "".join(chunks)
        assert texts[settings["kind"]] == llm.chat.invoke(question, max_tokens=24).text
    assert texts["openai"] == texts["llamacpp"]  # medground renders and tokenizes prompts as llama.cpp does


def test_prompt_beyond_the_window_is_an_error(url: str) -> None:
    from chains.config import LLMConfig
    from chains.models import make_llm
    from chains.models.base import TooLongError

    llm = make_llm(LLMConfig(kind="openai", base_url=url, model="real"))
    with pytest.raises(TooLongError, match="longer than the window"):
        llm.writer(8).invoke("word " * 9000)


def test_agents_run_except_tool_calls_in_process(indexed: Command, llm: list[str]) -> None:
    graph = indexed("ask", QUESTION, "--json", "--set", "agent.kind=graph", *llm)
    assert graph.status == 0, graph.err
    tools = indexed("ask", QUESTION, "--json", "--set", "agent.kind=tools", "--set", "agent.max_steps=4", *llm)
    if "--set=llm.kind=llamacpp" in llm:
        assert tools.status == 1
        assert "cannot call tools" in tools.err
        return
    assert tools.status == 0, tools.err
    answer = json.loads(tools.out)
    if answer["label"]:
        assert answer["citations"]
    else:  # a small model may call no search tool
        assert "called no search tool" in answer["text"] or answer["notes"], answer
