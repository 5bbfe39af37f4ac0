"""One numbering of passages: 30 scripted answers through ask, chat, service and agent."""

import io
import json
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from served import HTTP, running
from stub_openai import Stub, said, stub_openai

from medground.ingest import searched_corpus
from medground.pipeline import Pipeline
from medground.service.config import ServeConfig
from medground.service.service import Service
from medground.service.users import Users
from medground.settings import load_settings

QUESTION = "Is itch score decreased by rotesartan in men with breast cancer?"
PASSAGES = 3
# What the model writes, what the reader gets, and the passages that each sentence cites.
SCRIPTS: list[tuple[str, str, list[list[int]]]] = [
    ("It fell [1].", "It fell [1].", [[1]]),
    ("It fell [3]. It rose [2].", "It fell [3]. It rose [2].", [[3], [2]]),
    ("It fell. [1] It rose. [2]", "It fell. [1] It rose. [2]", [[1], [2]]),
    ("It fell.[1] It rose.[2]", "It fell.[1] It rose.[2]", [[1], [2]]),
    ("It fell [1, 2].", "It fell [1][2].", [[1, 2]]),
    ("It fell [1,2,3].", "It fell [1][2][3].", [[1, 2, 3]]),
    ("It fell [1-3].", "It fell [1][2][3].", [[1, 2, 3]]),
    ("It fell [1–2].", "It fell [1][2].", [[1, 2]]),
    ("It fell [1][3].", "It fell [1][3].", [[1, 3]]),
    ("It fell [1] [2].", "It fell [1] [2].", [[1, 2]]),
    ("It fell [1 and 3].", "It fell [1][3].", [[1, 3]]),
    ("It fell [1; 2].", "It fell [1][2].", [[1, 2]]),
    ("Men [1] and women [2] had it.", "Men [1] and women [2] had it.", [[1, 2]]),
    ("[2] It fell.", "[2] It fell.", [[2]]),
    ("It fell.\n[2] It rose.", "It fell.\n[2] It rose.", [[], [2]]),
    ("It fell [4].", "It fell.", [[]]),
    ("It fell [1, 7].", "It fell [1].", [[1]]),
    ("It fell [2-5].", "It fell [2][3].", [[2, 3]]),
    ("It fell [0]. It rose [12].", "It fell. It rose.", [[], []]),
    ("It fell. It rose.", "It fell. It rose.", [[], []]),
    ("It fell [passage 2].", "It fell [2].", [[2]]),
    ("It fell [Passages 1 and 2].", "It fell [1][2].", [[1, 2]]),
    ("It fell [^1].", "It fell [1].", [[1]]),
    ("It fell【2】. It rose［3］.", "It fell[2]. It rose[3].", [[2], [3]]),
    ("It fell by 5 (95% CI [2-9]) [1].", "It fell by 5 (95% CI [2-9]) [1].", [[1]]),
    ("The median was 7 [4-12] days [3].", "The median was 7 [4-12] days [3].", [[3]]),
    (
        "Dr. Roe gave 2 mg i.v. [1] daily. It fell [2].",
        "Dr. Roe gave 2 mg i.v. [1] daily. It fell [2].",
        [[1], [2]],
    ),
    ("- It fell [1]\n- It rose [2]", "- It fell [1]\n- It rose [2]", [[1], [2]]),
    ("<think>Passage [9] says so.</think>It fell [2].", "It fell [2].", [[2]]),
    ("It fell [1] but it rose [2", "It fell [1] but it rose", [[1]]),
]
REMOVED = {"It fell [4].", "It fell [1, 7].", "It fell [2-5].", "It fell [0]. It rose [12]."}
ROUTES = ("ask", "chat", "whole", "streamed")
Given = tuple[str, dict[str, Any]]  # the text that a reader sees, and the answer as JSON


@pytest.fixture(scope="module")
def stub() -> Iterator[Stub]:
    """A model that answers yes, and writes what ``stub.script`` says."""

    def reply(body: Any) -> Any:
        if body.get("logprobs"):
            return 200, said("yes", {"yes": math.log(0.8), "no": math.log(0.1)})
        return 200, said(stub.script)

    with stub_openai(reply) as stub:
        stub.script = ""  # type: ignore[attr-defined]
        yield stub


def overrides(stub: Stub, folder: Path) -> dict[str, Any]:
    return {
        "llm.kind": "openai",
        "llm.base_url": stub.url,
        "llm.model": "stub",
        "retriever": "bm25",
        "chain.passages": PASSAGES,
        "store.path": str(folder / "store"),
        "chat.path": str(folder / "chat.sqlite3"),
        "chat.rewrite": "rules",
    }


@contextmanager
def service(pipeline: Pipeline) -> Iterator[str]:
    made = Service(ServeConfig(passes=1), Users({}, "local"), pipeline.about)
    made.chat = pipeline.chat(made.batcher.share)
    with running(made) as (url, _):
        yield url


@pytest.fixture(scope="module")
def routes(stub: Stub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Callable[[], Given]]]:
    """Each way to an answer to the question."""
    settings = load_settings(None, {}, overrides(stub, tmp_path_factory.mktemp("numbering")))
    pipeline = Pipeline.from_settings(settings, searched_corpus(settings, data_named=True), quiet=True)
    answerer, chat = pipeline.answerer(), pipeline.chat()

    def asked() -> Given:
        answer = answerer.invoke(QUESTION).model_dump(mode="json")
        return answer["text"], answer

    def chatted() -> Given:
        events = list(chat.stream([], QUESTION))
        text = "".join(event.text for event in events if event.kind == "token")
        turn = events[-1].turn  # type: ignore[union-attr]
        assert turn.text == text
        return text, turn.answer.model_dump(mode="json")

    with service(pipeline) as url:

        def whole() -> Given:
            document = HTTP.post(f"{url}/v1/chat/completions", json=body()).json()
            return document["choices"][0]["message"]["content"], document["medground"]

        def streamed() -> Given:
            text, extension = "", {}
            with HTTP.stream("POST", f"{url}/v1/chat/completions", json=body(stream=True)) as response:
                for line in response.iter_lines():
                    if line.startswith("data: {"):
                        chunk = json.loads(line.removeprefix("data: "))
                        text += chunk["choices"][0]["delta"].get("content", "")
                        extension = chunk.get("medground", extension)
            return text, extension

        yield {"ask": asked, "chat": chatted, "whole": whole, "streamed": streamed}


def body(**more: Any) -> dict[str, Any]:
    return {"model": "medground", "messages": [{"role": "user", "content": QUESTION}], **more}


def shown_numbers(prompt: str) -> dict[int, str]:
    """The passages in a prompt by their numbers."""
    data = re.search(r"DATA \w+ begins\n(.*)\nDATA \w+ ends", prompt, re.DOTALL)
    assert data is not None
    return {int(number): text for number, text in re.findall(r"(?m)^\[(\d+)\] (.*)$", data[1])}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(("script", "text", "cited"), SCRIPTS)
def test_every_route_gives_the_same_numbers(
    stub: Stub, routes: dict[str, Callable[[], Given]], route: str, script: str, text: str, cited: list[list[int]]
) -> None:
    stub.script = script  # type: ignore[attr-defined]
    content, answer = routes[route]()
    written = next(one for one in reversed(stub.bodies) if not one.get("logprobs"))
    shown = shown_numbers(written["messages"][-1]["content"])
    passages = answer["passages"]
    assert len(passages) == PASSAGES
    assert answer["text"] == text
    assert [one["citations"] for one in answer["sentences"] if not one["attributed"]] == cited
    for one in answer["sentences"]:
        assert text[one["start"] : one["end"]] == one["text"]
    # A mark leads to the passage that the model saw under this number.
    for number in (number for numbers in cited for number in numbers):
        assert shown[number].split() == passages[number - 1]["text"].split("\n")[0].split()
    # Numbers that do not exist are named in a note.
    assert any("were removed" in note for note in answer["notes"]) == (script in REMOVED)
    if route in ("whole", "streamed"):
        said_text, _, notes = content.partition("\n\n[")
        assert said_text == text
        footnotes = dict(re.findall(r"(?m)^\[?(\d+)\] (\S+?):? ", notes))
        for number, passage in enumerate(passages, start=1):
            if str(number) in footnotes:
                assert footnotes[str(number)].rstrip(":") == passage["id"]
        assert {number for numbers in cited for number in numbers} <= set(map(int, footnotes))
    else:
        assert content == text


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_later_turns_number_their_own_passages(stub: Stub, routes: Any, turn: int, tmp_path: Path) -> None:
    settings = load_settings(None, {}, overrides(stub, tmp_path))
    chat = Pipeline.from_settings(settings, searched_corpus(settings, data_named=True), quiet=True).chat()
    history: list[Any] = []
    for number in range(1, turn + 1):
        stub.script = f"It fell [{number}]."  # type: ignore[attr-defined]
        history.append(chat.reply(history, QUESTION if number == 1 else "And in women?"))
    last = history[-1].answer
    assert last.sentences[0].citations == (turn,)
    messages = stub.bodies[-1]["messages"]
    shown = shown_numbers(messages[-1]["content"])
    assert shown[turn] in last.passages[turn - 1].text
    assert all("[" not in one["content"] for one in messages if one["role"] == "assistant")


def test_ask_prints_the_numbers_of_the_json(command: Any, stub: Stub, tmp_path: Path) -> None:
    stub.script = "It fell [3]. It rose [9]."  # type: ignore[attr-defined]
    options = [part for key, value in overrides(stub, tmp_path).items() for part in ("--set", f"{key}={value}")]
    told = command("ask", QUESTION, "--json", "--quiet", *options)
    answer = json.loads(told.out)
    assert answer["text"] == "It fell [3]. It rose."
    assert answer["sentences"][0]["citations"] == [3]
    printed = command("ask", QUESTION, "--quiet", *options).out
    assert "It fell [3]. It rose.\n" in printed
    for number, passage in enumerate(answer["passages"], start=1):
        assert f"  [{number}] {passage['id']} score" in printed
    assert "note: citations of passage 9 were removed: only 3 passages were read" in printed


def test_quotes_stand_under_their_passage_s_number(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told = command("ask", QUESTION, "--json", "--quiet", "--set", "llm.kind=extractive", "--set", "retriever=bm25")
    answer = json.loads(told.out)
    numbers = {passage["id"]: number for number, passage in enumerate(answer["passages"], start=1)}
    assert [one["citations"] for one in answer["sentences"]] == [
        [numbers[quote["passage_id"]]] for quote in answer["citations"]
    ]
    for one, quote in zip(answer["sentences"], answer["citations"], strict=True):
        assert answer["text"][one["start"] : one["end"]] == one["text"] == " ".join(quote["quote"].split())
        assert one["verdict"] is None
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{QUESTION}\n"))
    chatted = command("chat", "--quiet", "--set", "llm.kind=extractive", "--set", "retriever=bm25").out
    for quote in answer["citations"]:
        assert f"  [{numbers[quote['passage_id']]}] {quote['passage_id']} score" in chatted
