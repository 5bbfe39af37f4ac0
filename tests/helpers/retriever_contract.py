"""Contract tests of retrievers, for this project's classes and users'; a subclass provides the fixture ``make``."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.runnables import ConfigurableField, RunnableConfig

from common.errors import UserError
from retrievers.base import Retriever

MakeRetriever = Callable[[Sequence[Document]], Retriever]

TEXTS = {
    "b1": "Aspirin lowered the risk of stroke in adults with diabetes.",
    "a2": "Statin therapy did not change mortality after surgery.",
    "c3": "The vaccine was safe in children; pain at the site was common.",
    "d4": "Blood pressure fell in the treated group of the placebo trial.",
    "e5": "Aspirin and statin therapy lowered blood pressure.",
}
DOCUMENTS = [Document(id=id, page_content=text, metadata={"id": id, "year": 2020}) for id, text in TEXTS.items()]
QUESTIONS = ["Does aspirin lower the risk of stroke?", "Is the vaccine safe in children?", "statin mortality surgery"]


def ids(documents: Sequence[Document]) -> list[str | None]:
    return [document.id for document in documents]


class QuestionRecorder(BaseCallbackHandler):
    def __init__(self) -> None:
        self.questions: list[str] = []

    def on_retriever_start(self, serialized: object, query: str, **kwargs: object) -> None:
        self.questions.append(query)


class RetrieverContract:
    """``make(documents)`` builds the retriever over the documents, with ``top_k=3``."""

    def test_relevant_document_ranks_first(self, make: MakeRetriever) -> None:
        results = make(DOCUMENTS).search(QUESTIONS, 1)
        assert [ids(hits) for hits in results] == [["b1"], ["c3"], ["a2"]]

    def test_hits_have_the_documents_text_and_metadata_and_a_score(self, make: MakeRetriever) -> None:
        best = make(DOCUMENTS).invoke(QUESTIONS[0])[0]
        assert best.page_content == TEXTS["b1"]
        score = best.metadata.pop("score")
        assert isinstance(score, float)
        assert best.metadata == {"id": "b1", "year": 2020}

    def test_hits_are_sorted_by_score_without_duplicates(self, make: MakeRetriever) -> None:
        for hits in make(DOCUMENTS).search(QUESTIONS, 5):
            scores = [document.metadata["score"] for document in hits]
            assert scores == sorted(scores, reverse=True)
            assert len(set(ids(hits))) == len(hits)

    def test_invoke_returns_top_k_documents(self, make: MakeRetriever) -> None:
        question = "aspirin statin blood pressure children therapy surgery"
        assert len(make(DOCUMENTS).invoke(question)) == 3

    def test_k_above_the_corpus_size_returns_all_documents(self, make: MakeRetriever) -> None:
        question = " ".join(TEXTS.values())
        assert sorted(str(id) for id in ids(make(DOCUMENTS).search([question], 99)[0])) == sorted(TEXTS)

    def test_ties_are_broken_by_id(self, make: MakeRetriever) -> None:
        duplicates = [Document(id=id, page_content="Aspirin lowered the risk.") for id in ("z", "m", "a", "q")]
        hits = make([*duplicates, *DOCUMENTS]).search(["Aspirin lowered the risk."], 3)[0]
        assert ids(hits) == ["a", "m", "q"]

    def test_empty_corpus_has_no_hits(self, make: MakeRetriever) -> None:
        assert make([]).search(QUESTIONS, 3) == [[], [], []]

    def test_no_questions_have_no_results(self, make: MakeRetriever) -> None:
        assert make(DOCUMENTS).search([], 3) == []

    @pytest.mark.parametrize("question", ["", "   \n\t "])
    def test_empty_question_is_refused(self, make: MakeRetriever, question: str) -> None:
        with pytest.raises(UserError, match="question is empty"):
            make(DOCUMENTS).invoke(question)

    def test_question_that_is_no_string_is_refused(self, make: MakeRetriever) -> None:
        with pytest.raises(UserError, match="must be text, not int"):
            make(DOCUMENTS).search([17], 3)  # type: ignore[list-item]

    @pytest.mark.parametrize("k", [0, 2.5, 2.0, "2"])
    def test_k_that_is_no_positive_integer_is_refused(self, make: MakeRetriever, k: Any) -> None:
        with pytest.raises(UserError, match="must be a whole number of at least 1"):
            make(DOCUMENTS).invoke(QUESTIONS[0], k=k)

    def test_top_k_is_a_configurable_field(self, make: MakeRetriever) -> None:
        retriever = make(DOCUMENTS)
        configurable = retriever.configurable_fields(top_k=ConfigurableField(id="passages"))
        config: RunnableConfig = {"configurable": {"passages": 1}}
        assert ids(configurable.invoke(QUESTIONS[0], config)) == ["b1"]
        assert configurable.batch(QUESTIONS) == retriever.batch(QUESTIONS)
        with pytest.raises(UserError, match="must be a whole number"):
            configurable.with_config(configurable={"passages": "many"}).invoke(QUESTIONS[0])

    def test_documents_that_are_strings_are_refused(self, make: MakeRetriever) -> None:
        with pytest.raises(UserError, match="must be LangChain documents; this is a str"):
            make(list(TEXTS.values()))  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        "question",
        [
            "aspirin stroke " * 7000,
            "aspirin\x00\x07\x1b[31m stroke\u202e",
            "アスピリンは脳卒中のリスクを減らしますか",
            "هل يقلل الأسبرين من خطر السكتة",
            "aspirin \ud800 stroke",
            "🩺💊",
            "?",
            "' OR 1=1; --",
            "a" * 100_000,
        ],
        ids=["100 kB", "control", "japanese", "arabic", "lone surrogate", "emoji", "mark", "sql", "one long word"],
    )
    def test_unusual_question_is_searched(self, make: MakeRetriever, question: str) -> None:
        hits = make(DOCUMENTS).search([question], 3)[0]
        assert set(ids(hits)) <= set(TEXTS)

    def test_batch_equals_invoke(self, make: MakeRetriever) -> None:
        retriever = make(DOCUMENTS)
        for question, batch_hits in zip(QUESTIONS, retriever.batch(QUESTIONS), strict=True):
            hits = retriever.invoke(question)
            assert ids(hits) == ids(batch_hits)
            # bfloat16 products round differently in batches of other shapes.
            scores = [document.metadata["score"] for document in hits]
            assert scores == pytest.approx([document.metadata["score"] for document in batch_hits], abs=0.01)

    def test_async_methods_equal_invoke(self, make: MakeRetriever) -> None:
        retriever = make(DOCUMENTS)

        async def search() -> tuple[list[Document], list[list[Document]]]:
            return await retriever.ainvoke(QUESTIONS[0]), await retriever.abatch(QUESTIONS)

        single, batch = asyncio.run(search())
        assert ids(single) == ids(batch[0]) == ids(retriever.invoke(QUESTIONS[0]))

    def test_search_is_deterministic(self, make: MakeRetriever) -> None:
        retriever = make(DOCUMENTS)
        assert retriever.search(QUESTIONS, 5) == retriever.search(QUESTIONS, 5)

    def test_callers_may_change_the_returned_documents(self, make: MakeRetriever) -> None:
        retriever = make(DOCUMENTS)
        retriever.invoke(QUESTIONS[0])[0].metadata["id"] = "changed"
        assert retriever.invoke(QUESTIONS[0])[0].metadata["id"] == "b1"

    def test_different_texts_with_the_same_id_are_refused(self, make: MakeRetriever) -> None:
        with pytest.raises(UserError, match="Two different documents have the id 'b1'"):
            make([*DOCUMENTS, Document(id="b1", page_content="Another text.")])

    def test_document_without_an_id_gets_a_16_character_id(self, make: MakeRetriever) -> None:
        hits = make([Document(page_content="Aspirin lowered the risk of stroke.")]).invoke(QUESTIONS[0])
        assert len(str(hits[0].id)) == 16

    def test_lone_surrogates_in_ids_are_replaced(self, make: MakeRetriever) -> None:
        hits = make([Document(id="a\ud800", page_content="Aspirin lowered the risk of stroke.")]).invoke(QUESTIONS[0])
        assert ids(hits) == ["a?"]

    def test_callbacks_receive_every_question_of_a_batch(self, make: MakeRetriever) -> None:
        recorder = QuestionRecorder()
        results = make(DOCUMENTS).batch(QUESTIONS, config={"callbacks": [recorder]})
        assert sorted(recorder.questions) == sorted(QUESTIONS)
        assert [hits[0].id for hits in results] == ["b1", "c3", "a2"]

    def test_batch_returns_the_exception_of_an_empty_question(self, make: MakeRetriever) -> None:
        hits, error = make(DOCUMENTS).batch([QUESTIONS[0], ""], return_exceptions=True)
        assert ids(hits)[0] == "b1"
        assert isinstance(error, UserError)
