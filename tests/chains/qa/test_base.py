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


# Finds three documents, which have no ids and no scores.
NUMBERING_RETRIEVER: Runnable[str, list[Document]] = RunnableLambda(
    lambda query: [Document(page_content=f"{query} {n}") for n in range(3)]
)


class WardRetriever(BaseRetriever):
    """A LangChain retriever with a configurable filter; it fails for questions with "broken"."""

    ward: str = "all"

    def search(self, query: str) -> str:
        """A method that ``Retriever`` has too; chains must not call it on other retrievers."""
        raise AssertionError(query)

    def _get_relevant_documents(self, query: str, *, run_manager: object) -> list[Document]:
        if "broken" in query:
            raise OSError("The index is down.")
        return [Document(id=one, page_content=f"A note of ward {one}.") for one in "AB" if self.ward in ("all", one)]


class EventRecorder(BaseCallbackHandler):
    """Records the events of retrievers and chains, with the tags and metadata of their runs."""

    def __init__(self) -> None:
        self.queries: list[str] = []
        self.found: list[list[str]] = []
        self.failed: list[str] = []
        self.tags_and_users: list[tuple[object, object]] = []
        self.retriever_parents: set[object] = set()
        self.chain_runs: set[object] = set()
        self._lock = threading.Lock()

    def on_chain_start(self, serialized: object, inputs: object, *, run_id: object, **_: object) -> None:
        self.chain_runs.add(run_id)

    def on_retriever_start(self, serialized: object, query: str, **rest: Any) -> None:
        with self._lock:
            self.queries.append(query)
            self.tags_and_users.append((rest["tags"], rest["metadata"].get("user")))
            self.retriever_parents.add(rest["parent_run_id"])

    def on_retriever_end(self, documents: Any, **_: object) -> None:
        with self._lock:
            self.found.append([document.id for document in documents])

    def on_retriever_error(self, error: BaseException, **_: object) -> None:
        with self._lock:
            self.failed.append(str(error))


def as_questions(*texts: str) -> list[Question]:
    return [Question(text) for text in texts]


def passage_ids(answers: Any) -> list[list[str]]:
    return [[passage.id for passage in answer.passages] for answer in answers]


def test_retrieve_accepts_any_langchain_retriever() -> None:
    found = retrieve(NUMBERING_RETRIEVER, as_questions("a", "b"), 2)
    assert [[passage.text for passage in passages] for passages in found] == [["a 0", "a 1"], ["b 0", "b 1"]]
    assert found[0][0].score is None
    assert retrieve(NUMBERING_RETRIEVER, [], 2) == []
    assert [passage.id for passage in retrieve(WardRetriever(), as_questions("x"), 1)[0]] == ["A"]


def test_id_of_a_document_without_id_is_a_hash_of_its_text() -> None:
    [first], [second] = retrieve(NUMBERING_RETRIEVER, as_questions("a", "b"), 1)
    assert first.id != second.id
    assert first.id == hashlib.sha256(b"a 0").hexdigest()[:16]


@pytest.mark.parametrize("found", [["text"], None, "text"])
def test_result_that_is_no_list_of_documents_is_refused(found: object) -> None:
    with pytest.raises(UserError, match="list of LangChain documents"):
        retrieve(RunnableLambda(lambda _: found), as_questions("a"), 1)


def test_object_that_is_no_retriever_is_refused() -> None:
    with pytest.raises(UserError, match="this is str"):
        extractive_chain("dense")


def test_document_without_text_is_left_out() -> None:
    retriever: Runnable[Any, Any] = RunnableLambda(lambda _: [Document(" \n"), Document("Text.")])
    assert [passage.text for passage in retrieve(retriever, as_questions("a"), 1)[0]] == ["Text."]


def test_passages_with_the_same_id_get_distinct_ids() -> None:
    texts = ("Aspirin reduced stroke.", "Zinc shortened the cold.", "Zinc cured the cold.")
    documents = [Document(text, metadata={"id": "d"}) for text in (*texts, texts[0])]
    answer = extractive_chain(RunnableLambda(lambda _: documents)).invoke("Did zinc shorten the cold or aspirin?")
    assert [passage.id for passage in answer.passages] == ["d", "d#2", "d#3"]
    texts_by_id = {passage.id: passage.text for passage in answer.passages}
    assert len(answer.citations) == 2
    assert all(texts_by_id[one.passage_id] == one.quote for one in answer.citations)


Call = Callable[[Any, RunnableConfig], list[Any]]
CALLS: dict[str, Call] = {
    "invoke": lambda chain, config: [chain.invoke(question, config) for question in QUESTIONS],
    "batch": lambda chain, config: chain.batch(QUESTIONS, config),
    "batch-return-exceptions": lambda chain, config: chain.batch(QUESTIONS, config, return_exceptions=True),
    "ainvoke": lambda chain, config: [asyncio.run(chain.ainvoke(question, config)) for question in QUESTIONS],
    "abatch": lambda chain, config: asyncio.run(chain.abatch(QUESTIONS, config)),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@every_call
def test_configurable_field_of_the_retriever_applies(call: Call) -> None:
    chain = extractive_chain(WardRetriever().configurable_fields(ward=ConfigurableField("ward")))
    assert passage_ids(call(chain, {"configurable": {"ward": "B"}})) == [["B"], ["B"]]


def test_each_question_of_a_batch_has_its_own_config() -> None:
    chain = extractive_chain(WardRetriever().configurable_fields(ward=ConfigurableField("ward")))
    configs: list[RunnableConfig] = [{"configurable": {"ward": "A"}}, {"configurable": {"ward": "B"}}]
    assert passage_ids(chain.batch(QUESTIONS, configs)) == [["A"], ["B"]]
    assert passage_ids(asyncio.run(chain.abatch(QUESTIONS, configs))) == [["A"], ["B"]]


@every_call
def test_config_selects_an_alternative_retriever(call: Call) -> None:
    field = ConfigurableField("retriever")
    retriever = WordRetriever(texts=TEXTS).configurable_alternatives(field, ward=WardRetriever())
    chain = extractive_chain(retriever, passages=1)
    assert passage_ids([chain.invoke(QUESTIONS[0])]) == [["a"]]
    assert passage_ids(call(chain, {"configurable": {"retriever": "ward"}})) == [["A"], ["A"]]


@every_call
@pytest.mark.parametrize("retriever", [WordRetriever(texts=TEXTS), WardRetriever()], ids=["medground", "langchain"])
def test_callbacks_receive_questions_and_passages(retriever: BaseRetriever, call: Call) -> None:
    events = EventRecorder()
    config: RunnableConfig = {"callbacks": [events], "tags": ["t"], "metadata": {"user": "me"}}
    answers = call(extractive_chain(retriever, passages=2), config)
    assert sorted(events.queries) == QUESTIONS
    assert sorted(events.found) == sorted(passage_ids(answers))
    assert events.tags_and_users == [(["t"], "me")] * 2
    assert len(events.retriever_parents) == 2  # each question has its own chain run
    assert events.retriever_parents <= events.chain_runs


def test_callbacks_add_no_search_and_receive_errors() -> None:
    retriever, events = WordRetriever(texts=TEXTS), EventRecorder()
    extractive_chain(retriever).batch(QUESTIONS, {"callbacks": [events]})
    assert retriever.searches == [QUESTIONS]
    assert retriever.batch(QUESTIONS, {"callbacks": [events], "run_name": "mine"}, k=1)[0][0].id == "a"
    with pytest.raises(UserError, match="empty"):
        retriever.batch(["", "x"], {"callbacks": [events]})
    assert events.failed == ["The question is empty. Write what you want to find."] * 2


def test_callbacks_receive_only_the_passages_of_the_answer() -> None:
    events = EventRecorder()
    chain = extractive_chain(WordRetriever(texts=TEXTS), passages=1)
    chain.invoke(QUESTIONS[1], {"callbacks": [events]})
    assert events.found == [["b"]]


def test_error_of_one_question_leaves_the_other_answers_of_a_batch() -> None:
    chain, events = extractive_chain(WardRetriever()), EventRecorder()
    questions = [*QUESTIONS, "Is it broken?", *QUESTIONS]
    answers = chain.batch(questions, {"callbacks": [events]}, return_exceptions=True)
    assert passage_ids([*answers[:2], *answers[3:]]) == [["A", "B"]] * 4
    assert isinstance(answers[2], OSError)
    assert set(events.failed) == {"The index is down."}
    with pytest.raises(OSError, match="down"):
        chain.batch(questions)


def test_error_of_all_questions_is_not_retried() -> None:
    class FailingRetriever(WordRetriever):
        def _search(self, questions: list[str], k: int) -> Any:
            super()._search(questions, k)
            raise UserError("The store is gone.")

    retriever = FailingRetriever(texts=TEXTS)
    answers = extractive_chain(retriever).batch(QUESTIONS, return_exceptions=True)
    assert [str(answer) for answer in answers] == ["The store is gone."] * 2
    assert retriever.searches == [QUESTIONS]


def test_error_of_a_wrong_input_names_what_is_wrong() -> None:
    chain = extractive_chain(WardRetriever())
    for input, message in (
        ({"query": "Is it?"}, "a mapping with the keys 'query'"),
        ({}, "no keys"),
        ({"question": 3}, "a question of type int"),
        (3, "this is int"),
        ({"question": "Is it?", "context": 3}, "must be a text; this is int"),
        ({"question": "Is it?", "context": "half \ud800"}, "The context contains half of a character"),
    ):
        with pytest.raises(UserError, match=message):
            chain.invoke(input)


def test_as_passage_keeps_the_metadata() -> None:
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


def test_metadata_that_are_no_json_become_text() -> None:
    circular: dict[str, Any] = {}
    circular["me"] = circular
    metadata = {"score": "high", "bytes": b"\xff\xfe", "loop": circular, "half": "a\ud800", "type": object, 1: "one"}
    passage = as_passage(Document(page_content="Half \ud800.", metadata=metadata))
    assert passage.score is None
    assert passage.metadata["score"] == "high"
    assert passage.metadata["1"] == "one"
    assert type(passage).model_validate_json(passage.model_dump_json()) == passage


def test_nan_and_infinity_become_none() -> None:
    metadata = {"score": float("nan"), "title": float("nan"), "sizes": [1.5, float("inf")]}
    passage = as_passage(Document(id="a", page_content="x", metadata=metadata))
    assert (passage.score, passage.metadata, passage.origin) == (None, {"title": None, "sizes": [1.5, None]}, "")


def test_metadata_id_0_is_an_id() -> None:
    assert as_passage(Document(page_content="x", metadata={"id": 0})).id == "0"
