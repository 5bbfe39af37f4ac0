import asyncio
import hashlib
import threading
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import ConfigurableField, Runnable, RunnableConfig, RunnableLambda
from word_retriever import WordRetriever

from chains.qa.base import Question, as_passage, retrieve
from chains.qa.extractive import extractive_chain
from common.errors import UserError

TEXTS = {"a": "Aspirin reduced stroke.", "b": "Zinc shortened the cold."}
QUESTIONS = ["Does aspirin reduce stroke?", "Does zinc shorten the cold?"]


class Plain(BaseRetriever):
    """A user's own LangChain retriever: no batched search, no ids, no scores."""

    def _get_relevant_documents(self, query: str, *, run_manager: object) -> list[Document]:
        return [Document(page_content=f"{query} {n}") for n in range(3)]


class Ward(BaseRetriever):
    """A user's own, that reads what one ward may see; it goes wrong where a question says so."""

    ward: str = "all"

    def search(self, query: str) -> str:
        """Nothing of ours, though it is called so."""
        raise AssertionError(query)

    def _get_relevant_documents(self, query: str, *, run_manager: object) -> list[Document]:
        if "broken" in query:
            raise OSError("The index is down.")
        return [Document(id=one, page_content=f"A note of ward {one}.") for one in "AB" if self.ward in ("all", one)]


class Events(BaseCallbackHandler):
    """What retrievers and chains tell, with the tags and metadata they run under."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.found: list[list[str]] = []
        self.failed: list[str] = []
        self.under: list[tuple[object, object]] = []
        self.parents: set[object] = set()
        self.chains: set[object] = set()
        self._lock = threading.Lock()

    def on_chain_start(self, serialized: object, inputs: object, *, run_id: object, **_: object) -> None:
        self.chains.add(run_id)

    def on_retriever_start(self, serialized: object, query: str, **rest: Any) -> None:
        with self._lock:
            self.asked.append(query)
            self.under.append((rest["tags"], rest["metadata"].get("user")))
            self.parents.add(rest["parent_run_id"])

    def on_retriever_end(self, documents: Any, **_: object) -> None:
        with self._lock:
            self.found.append([document.id for document in documents])

    def on_retriever_error(self, error: BaseException, **_: object) -> None:
        with self._lock:
            self.failed.append(str(error))


def asked(*texts: str) -> list[Question]:
    return [Question(text) for text in texts]


def ids(answers: Any) -> list[list[str]]:
    return [[passage.id for passage in answer.passages] for answer in answers]


def test_any_langchain_retriever_serves() -> None:
    found = retrieve(Plain(), asked("a", "b"), 2)
    assert [[passage.text for passage in passages] for passages in found] == [["a 0", "a 1"], ["b 0", "b 1"]]
    assert found[0][0].score is None
    assert retrieve(Plain(), [], 2) == []
    assert [passage.id for passage in retrieve(Ward(), asked("x"), 1)[0]] == ["A"]


def test_a_document_without_an_id_has_the_same_one_whenever_it_is_found() -> None:
    [first], [second] = retrieve(Plain(), asked("a", "b"), 1)
    assert first.id != second.id
    assert first.id == hashlib.sha256(b"a 0").hexdigest()[:16]


@pytest.mark.parametrize("found", [["text"], None, "text"])
def test_what_is_no_document_is_refused(found: object) -> None:
    with pytest.raises(UserError, match="list of LangChain documents"):
        retrieve(RunnableLambda(lambda _: found), asked("a"), 1)


def test_what_is_no_retriever_is_refused() -> None:
    with pytest.raises(UserError, match="this is str"):
        extractive_chain("dense")


def test_a_document_without_text_is_none() -> None:
    blank: Runnable[Any, Any] = RunnableLambda(lambda _: [Document(" \n"), Document("Text.")])
    assert [passage.text for passage in retrieve(blank, asked("a"), 1)[0]] == ["Text."]


Ask = Callable[[Any, RunnableConfig], list[Any]]
WAYS: dict[str, Ask] = {
    "invoke": lambda chain, config: [chain.invoke(question, config) for question in QUESTIONS],
    "batch": lambda chain, config: chain.batch(QUESTIONS, config),
    "exceptions returned": lambda chain, config: chain.batch(QUESTIONS, config, return_exceptions=True),
    "ainvoke": lambda chain, config: [asyncio.run(chain.ainvoke(question, config)) for question in QUESTIONS],
    "abatch": lambda chain, config: asyncio.run(chain.abatch(QUESTIONS, config)),
}
every_way = pytest.mark.parametrize("ask", WAYS.values(), ids=WAYS)


@every_way
def test_a_configurable_filter_holds(ask: Ask) -> None:
    chain = extractive_chain(Ward().configurable_fields(ward=ConfigurableField("ward")))
    assert ids(ask(chain, {"configurable": {"ward": "B"}})) == [["B"], ["B"]]


def test_each_question_of_a_batch_has_its_own_config() -> None:
    chain = extractive_chain(Ward().configurable_fields(ward=ConfigurableField("ward")))
    each: list[RunnableConfig] = [{"configurable": {"ward": "A"}}, {"configurable": {"ward": "B"}}]
    assert ids(chain.batch(QUESTIONS, each)) == [["A"], ["B"]]
    assert ids(asyncio.run(chain.abatch(QUESTIONS, each))) == [["A"], ["B"]]


@every_way
def test_the_retriever_can_be_chosen_by_the_config(ask: Ask) -> None:
    either = WordRetriever(texts=TEXTS).configurable_alternatives(ConfigurableField("retriever"), ward=Ward())
    chain = extractive_chain(either, passages=1)
    assert ids([chain.invoke(QUESTIONS[0])]) == [["a"]]
    assert ids(ask(chain, {"configurable": {"retriever": "ward"}})) == [["A"], ["A"]]


@every_way
@pytest.mark.parametrize("retriever", [WordRetriever(texts=TEXTS), Ward()], ids=["ours", "own"])
def test_callbacks_see_what_was_searched_and_found(retriever: BaseRetriever, ask: Ask) -> None:
    events = Events()
    config: RunnableConfig = {"callbacks": [events], "tags": ["t"], "metadata": {"user": "me"}}
    answers = ask(extractive_chain(retriever, passages=2), config)
    assert sorted(events.asked) == QUESTIONS
    assert sorted(events.found) == sorted(ids(answers))
    assert events.under == [(["t"], "me")] * 2
    assert len(events.parents) == 2
    assert events.parents <= events.chains


def test_who_listens_costs_no_search_more_and_hears_of_failures() -> None:
    retriever, events = WordRetriever(texts=TEXTS), Events()
    extractive_chain(retriever).batch(QUESTIONS, {"callbacks": [events]})
    assert retriever.searches == [QUESTIONS]
    assert retriever.batch(QUESTIONS, {"callbacks": [events], "run_name": "mine"}, k=1)[0][0].id == "a"
    with pytest.raises(UserError, match="empty"):
        retriever.batch(["", "x"], {"callbacks": [events]})
    assert events.failed == ["The question is empty. Write what you want to find."] * 2


def test_callbacks_see_no_more_documents_than_are_read() -> None:
    events = Events()
    chain = extractive_chain(WordRetriever(texts=TEXTS), passages=1)
    chain.invoke(QUESTIONS[1], {"callbacks": [events]})
    assert events.found == [["b"]]


def test_what_fails_in_a_batch_costs_its_own_question_only() -> None:
    chain, events = extractive_chain(Ward()), Events()
    questions = [*QUESTIONS, "Is it broken?", *QUESTIONS]
    answers = chain.batch(questions, {"callbacks": [events]}, return_exceptions=True)
    assert ids([*answers[:2], *answers[3:]]) == [["A", "B"]] * 4
    assert isinstance(answers[2], OSError)
    assert set(events.failed) == {"The index is down."}
    with pytest.raises(OSError, match="down"):
        chain.batch(questions)


def test_what_is_wrong_with_all_is_not_tried_again() -> None:
    class Gone(WordRetriever):
        def _search(self, questions: list[str], k: int) -> Any:
            super()._search(questions, k)
            raise UserError("The store is gone.")

    retriever = Gone(texts=TEXTS)
    answers = extractive_chain(retriever).batch(QUESTIONS, return_exceptions=True)
    assert [str(answer) for answer in answers] == ["The store is gone."] * 2
    assert retriever.searches == [QUESTIONS]


def test_an_input_without_a_question_is_told_with_its_keys() -> None:
    chain = extractive_chain(Ward())
    for input, said in (
        ({"query": "Is it?"}, "a mapping with the keys 'query'"),
        ({}, "no keys"),
        ({"question": 3}, "a question of type int"),
        (3, "this is int"),
    ):
        with pytest.raises(UserError, match=said):
            chain.invoke(input)


def test_a_passage_keeps_what_its_document_says_of_itself() -> None:
    metadata = {"id": "a", "score": 0.5, "page": 3, "seen": date(2024, 1, 2), "mesh": ["Aspirin"]}
    passage = as_passage(Document(id="a", page_content="Text.", metadata=metadata))
    assert passage.model_dump(mode="json") == {
        "id": "a",
        "text": "Text.",
        "score": 0.5,
        "metadata": {"page": 3, "seen": "2024-01-02", "mesh": ["Aspirin"]},
        "summary": None,
        "relevance": None,
    }


def test_whatever_a_document_says_of_itself_can_be_written_as_json() -> None:
    circle: dict[str, Any] = {}
    circle["me"] = circle
    odd = {"score": "high", "bytes": b"\xff\xfe", "circle": circle, "half": "a\ud800", "object": object, 1: "one"}
    passage = as_passage(Document(page_content="Half \ud800.", metadata=odd))
    assert passage.score is None
    assert passage.metadata["score"] == "high"
    assert passage.metadata["1"] == "one"
    assert type(passage).model_validate_json(passage.model_dump_json()) == passage


def test_an_id_of_zero_is_one() -> None:
    assert as_passage(Document(page_content="x", metadata={"id": 0})).id == "0"
