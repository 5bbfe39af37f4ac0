"""Citation marks in written answers: ask, chat and service give the same text, numbers and passages."""

import io
import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from served import HTTP, running
from stub_openai import Stub, completion, stub_openai

from medground.ingest import searched_corpus
from medground.pipeline import Pipeline
from medground.service.config import ServeConfig
from medground.service.service import Service
from medground.service.users import Users
from medground.settings import load_settings

QUESTION = "Is itch score decreased by rotesartan in men with breast cancer?"
PASSAGES = 3
# The text that the model writes, the text of the answer, and the numbers of the passages that each sentence cites.
CASES: list[tuple[str, str, list[list[int]]]] = [
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
    ("Dr. Roe gave 2 mg i.v. [1] daily. It fell [2].", "Dr. Roe gave 2 mg i.v. [1] daily. It fell [2].", [[1], [2]]),
    ("- It fell [1]\n- It rose [2]", "- It fell [1]\n- It rose [2]", [[1], [2]]),
    ("<think>Passage [9] says so.</think>It fell [2].", "It fell [2].", [[2]]),
    ("It fell [1] but it rose [2", "It fell [1] but it rose", [[1]]),
]
# Texts of ``CASES`` that cite passages which do not exist.
INVALID_CITATIONS = {"It fell [4].", "It fell [1, 7].", "It fell [2-5].", "It fell [0]. It rose [12]."}
ROUTES = ("ask", "chat", "service", "service, streamed")
TextAndJSON = tuple[str, dict[str, Any]]  # the text that a reader sees, and the answer as JSON


@pytest.fixture(scope="module")
def stub() -> Iterator[Stub]:
    """A model that labels with yes and writes ``stub.written``."""

    def reply(body: Any) -> Any:
        if body.get("logprobs"):  # a request for the scores of labels
            return 200, completion("yes", {"yes": math.log(0.8), "no": math.log(0.1)})
        return 200, completion(stub.written)

    with stub_openai(reply) as stub:
        stub.written = ""  # type: ignore[attr-defined]
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


def make_pipeline(stub: Stub, folder: Path) -> Pipeline:
    settings = load_settings(None, {}, overrides(stub, folder))
    return Pipeline.from_settings(settings, searched_corpus(settings, data_given=True), quiet=True)


@pytest.fixture(scope="module")
def routes(stub: Stub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Callable[[], TextAndJSON]]]:
    """Functions that ask the question, by route."""
    pipeline = make_pipeline(stub, tmp_path_factory.mktemp("numbering"))
    answerer, chat = pipeline.answerer(), pipeline.chat()
    service = Service(ServeConfig(passes=1), Users({}, "local"), pipeline.about)
    service.chat = pipeline.chat(service.batcher.share)
    body = {"model": "medground", "messages": [{"role": "user", "content": QUESTION}]}

    def ask() -> TextAndJSON:
        answer = answerer.invoke(QUESTION).model_dump(mode="json")
        return answer["text"], answer

    def ask_chat() -> TextAndJSON:
        events = list(chat.stream([], QUESTION))
        text = "".join(event.text for event in events if event.kind == "token")
        turn = events[-1].turn  # type: ignore[union-attr]
        assert turn.text == text
        return text, turn.answer.model_dump(mode="json")

    with running(service) as (url, _):

        def ask_service() -> TextAndJSON:
            document = HTTP.post(f"{url}/v1/chat/completions", json=body).json()
            return document["choices"][0]["message"]["content"], document["medground"]

        def ask_streaming_service() -> TextAndJSON:
            text, extension = "", {}
            with HTTP.stream("POST", f"{url}/v1/chat/completions", json={**body, "stream": True}) as response:
                for line in response.iter_lines():
                    if line.startswith("data: {"):
                        chunk = json.loads(line.removeprefix("data: "))
                        text += chunk["choices"][0]["delta"].get("content", "")
                        extension = chunk.get("medground", extension)
            return text, extension

        yield dict(zip(ROUTES, (ask, ask_chat, ask_service, ask_streaming_service), strict=True))


def passages_in(prompt: str) -> dict[int, str]:
    """The first line of each passage in a prompt, by the passage's number."""
    data = re.search(r"DATA \w+ begins\n(.*)\nDATA \w+ ends", prompt, re.DOTALL)
    assert data is not None
    return {int(number): text for number, text in re.findall(r"(?m)^\[(\d+)\] (.*)$", data[1])}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(("written", "text", "cited"), CASES)
def test_routes_give_the_same_text_and_citations(
    stub: Stub,
    routes: dict[str, Callable[[], TextAndJSON]],
    route: str,
    written: str,
    text: str,
    cited: list[list[int]],
) -> None:
    stub.written = written  # type: ignore[attr-defined]
    content, answer = routes[route]()
    request = next(body for body in reversed(stub.bodies) if not body.get("logprobs"))
    prompt_passages = passages_in(request["messages"][-1]["content"])
    passages = answer["passages"]
    assert len(passages) == PASSAGES
    assert answer["text"] == text
    assert [sentence["citations"] for sentence in answer["sentences"] if not sentence["attributed"]] == cited
    for sentence in answer["sentences"]:
        assert text[sentence["start"] : sentence["end"]] == sentence["text"]
    cited_numbers = {number for numbers in cited for number in numbers}
    for number in cited_numbers:  # passages have the same numbers in the answer as in the prompt
        assert prompt_passages[number].split() == passages[number - 1]["text"].split("\n")[0].split()
    assert any("were removed" in note for note in answer["notes"]) == (written in INVALID_CITATIONS)
    if route.startswith("service"):
        answer_text, _, notes = content.partition("\n\n[")
        assert answer_text == text
        footnotes = {int(number): id for number, id in re.findall(r"(?m)^\[?(\d+)\] (\S+?):? ", notes)}
        for number, id in footnotes.items():
            if number <= PASSAGES:
                assert id.rstrip(":") == passages[number - 1]["id"]
        assert cited_numbers <= footnotes.keys()
    else:
        assert content == text


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_each_turn_numbers_its_passages_anew(stub: Stub, turn: int, tmp_path: Path) -> None:
    chat = make_pipeline(stub, tmp_path).chat()
    history: list[Any] = []
    for number in range(1, turn + 1):
        stub.written = f"It fell [{number}]."  # type: ignore[attr-defined]
        history.append(chat.reply(history, QUESTION if number == 1 else "And in women?"))
    last = history[-1].answer
    assert last.sentences[0].citations == (turn,)
    messages = stub.bodies[-1]["messages"]
    assert passages_in(messages[-1]["content"])[turn] in last.passages[turn - 1].text
    assert all("[" not in message["content"] for message in messages if message["role"] == "assistant")


def test_ask_prints_the_same_numbers_as_its_json(command: Any, stub: Stub, tmp_path: Path) -> None:
    stub.written = "It fell [3]. It rose [9]."  # type: ignore[attr-defined]
    options = [f"--set={key}={value}" for key, value in overrides(stub, tmp_path).items()]
    answer = json.loads(command("ask", QUESTION, "--json", "--quiet", *options).out)
    assert answer["text"] == "It fell [3]. It rose."
    assert answer["sentences"][0]["citations"] == [3]
    printed = command("ask", QUESTION, "--quiet", *options).out
    assert "It fell [3]. It rose.\n" in printed
    for number, passage in enumerate(answer["passages"], start=1):
        assert f"  [{number}] {passage['id']} score" in printed
    assert "note: citations of passage 9 were removed: only 3 passages were read" in printed


def test_extractive_answers_number_quotes_by_passage(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("--quiet", "--set", "llm.kind=extractive", "--set", "retriever=bm25")
    answer = json.loads(command("ask", QUESTION, "--json", *options).out)
    numbers = {passage["id"]: number for number, passage in enumerate(answer["passages"], start=1)}
    for sentence, quote in zip(answer["sentences"], answer["citations"], strict=True):
        assert sentence["citations"] == [numbers[quote["passage_id"]]]
        span = answer["text"][sentence["start"] : sentence["end"]]
        assert span == sentence["text"] == " ".join(quote["quote"].split())
        assert sentence["verdict"] is None
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{QUESTION}\n"))
    printed = command("chat", *options).out
    for quote in answer["citations"]:
        assert f"  [{numbers[quote['passage_id']]}] {quote['passage_id']} score" in printed
