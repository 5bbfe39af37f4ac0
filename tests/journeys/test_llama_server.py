"""llama.cpp's own OpenAI-compatible server in the place of the stand-in server, and llama.cpp in process beside it.

The model is smollm2; where the package index does not give it, medground-tiny as a GGUF file.
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
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = known_model("smollm2")
    assert model is not None
    try:
        return gguf_of(model)
    except UserError:
        return write_gguf(EMBEDDED, tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(scope="module")
def url(file: Path) -> Iterator[str]:
    from llama_server import llama_server

    with llama_server(file, "real") as running:
        yield running


@pytest.fixture(params=["openai", "llamacpp"])
def llm(request: pytest.FixtureRequest, url: str, file: Path) -> list[str]:
    settings = {
        "openai": ["llm.kind=openai", f"llm.base_url={url}", "llm.model=real"],
        "llamacpp": ["llm.kind=llamacpp", f"llm.model={file}", "llm.window=4096"],
    }
    window = ["chat.max_new_tokens=48", "retriever=bm25"]
    return [part for one in settings[request.param] + window for part in ("--set", one)]


@pytest.fixture
def indexed(command: Command) -> Command:
    Path("stroke.txt").write_text(TEXT)
    assert command("index", "stroke.txt", "--quiet", "--set", "retriever=bm25").status == 0
    return command


def test_a_question_is_answered_and_cited(indexed: Command, llm: list[str]) -> None:
    asked = indexed("ask", QUESTION, "--json", *llm)
    assert asked.status == 0, asked.err
    answer = json.loads(asked.out)
    assert answer["label"] in ("yes", "no", "maybe")
    assert sum(answer["label_scores"].values()) == pytest.approx(1)
    assert "Aspirin reduced the risk" in answer["citations"][0]["quote"]
    assert answer["output"] is None  # the server gave probabilities
    written = indexed("ask", QUESTION, "--json", "--set", "chain.decide=generate", *llm)
    assert written.status == 0, written.err
    assert json.loads(written.out)["output"].strip()


@pytest.mark.parametrize("decide", ["score", "generate"])
def test_questions_are_evaluated(command: Command, llm: list[str], decide: str) -> None:
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
    again = command(*run, "--json")
    assert json.loads(again.out) == json.loads(Path("run/results.json").read_text())
    assert json.loads(Path("run/results.json").read_text())["computed"] == 0


def test_a_conversation_is_written_and_streamed(
    indexed: Command, llm: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{QUESTION}\nAnd bleeding?\n"))
    told = indexed("chat", "--quiet", "--set", "chat.answers=written", *llm)
    assert told.status == 0, told.err
    assert "medground:" not in told.err
    assert told.out.count("stroke.txt") >= 1


def test_streamed_text_is_the_text(url: str, file: Path) -> None:
    from chains.config import LLMConfig
    from chains.models import make_llm

    asked = "Name the hormone that lowers blood sugar."
    texts = {}
    for settings in (
        {"kind": "openai", "base_url": url, "model": "real"},
        {"kind": "llamacpp", "model": str(file), "window": 4096},
    ):
        llm = make_llm(LLMConfig(**settings))
        assert llm.window == 4096
        pieces = [str(chunk.text) for chunk in llm.chat.stream(asked, max_tokens=24)]
        assert len([piece for piece in pieces if piece]) > 1
        texts[settings["kind"]] = "".join(pieces)
        assert texts[settings["kind"]] == llm.chat.invoke(asked, max_tokens=24).text
    assert texts["openai"] == texts["llamacpp"]  # its prompt is rendered and tokenized as llama.cpp itself does


def test_a_prompt_beyond_the_window_is_refused_by_name(url: str) -> None:
    from chains.config import LLMConfig
    from chains.models import make_llm
    from chains.models.base import TooLongError

    llm = make_llm(LLMConfig(kind="openai", base_url=url, model="real"))
    with pytest.raises(TooLongError, match="longer than the window"):
        llm.writer(8).invoke("word " * 9000)


def test_an_agent_runs_as_the_model_allows(indexed: Command, llm: list[str]) -> None:
    steps = indexed("ask", QUESTION, "--json", "--set", "agent.kind=graph", *llm)
    assert steps.status == 0, steps.err
    tools = indexed("ask", QUESTION, "--json", "--set", "agent.kind=tools", "--set", "agent.max_steps=4", *llm)
    if "llm.kind=llamacpp" in llm:
        assert tools.status == 1
        assert "cannot call tools" in tools.err
    else:
        assert tools.status == 0, tools.err
        answer = json.loads(tools.out)  # a small model may not search: then the answer says why there is none
        assert (
            answer["citations"] if answer["label"] else "called no search tool" in answer["text"] or answer["notes"]
        ), answer
