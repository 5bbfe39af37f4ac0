"""What every retriever promises, as tests: a subclass gives the fixture ``make``.

Classes of this project and of a user are held to the same tests.
"""

import asyncio
from collections.abc import Callable, Sequence

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document

from common.errors import UserError
from retrievers.base import Retriever

Make = Callable[[Sequence[Document]], Retriever]

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


class Listener(BaseCallbackHandler):
    def __init__(self) -> None:
        self.questions: list[str] = []

    def on_retriever_start(self, serialized: object, query: str, **kwargs: object) -> None:
        self.questions.append(query)


class RetrieverContract:
    """``make(documents)`` gives the retriever over them, with ``top_k`` 3."""

    def test_finds_the_right_document_first(self, make: Make) -> None:
        found = make(DOCUMENTS).search(QUESTIONS, 1)
        assert [ids(each) for each in found] == [["b1"], ["c3"], ["a2"]]

    def test_documents_come_back_as_they_were_with_a_score(self, make: Make) -> None:
        best = make(DOCUMENTS).invoke(QUESTIONS[0])[0]
        assert best.page_content == TEXTS["b1"]
        score = best.metadata.pop("score")
        assert isinstance(score, float)
        assert best.metadata == {"id": "b1", "year": 2020}

    def test_sorted_and_each_id_once(self, make: Make) -> None:
        for found in make(DOCUMENTS).search(QUESTIONS, 5):
            scores = [document.metadata["score"] for document in found]
            assert scores == sorted(scores, reverse=True)
            assert len(set(ids(found))) == len(found)

    def test_invoke_gives_top_k(self, make: Make) -> None:
        question = "aspirin statin blood pressure children therapy surgery"
        assert len(make(DOCUMENTS).invoke(question)) == 3

    def test_more_asked_than_there_is(self, make: Make) -> None:
        question = " ".join(TEXTS.values())
        assert sorted(str(id) for id in ids(make(DOCUMENTS).search([question], 99)[0])) == sorted(TEXTS)

    def test_ties_are_broken_by_id(self, make: Make) -> None:
        twins = [Document(id=id, page_content="Aspirin lowered the risk.") for id in ("z", "m", "a", "q")]
        found = make([*twins, *DOCUMENTS]).search(["Aspirin lowered the risk."], 3)[0]
        assert ids(found) == ["a", "m", "q"]

    def test_an_empty_corpus_has_no_answer(self, make: Make) -> None:
        assert make([]).search(QUESTIONS, 3) == [[], [], []]

    def test_no_questions(self, make: Make) -> None:
        assert make(DOCUMENTS).search([], 3) == []

    @pytest.mark.parametrize("question", ["", "   \n\t "])
    def test_an_empty_question_is_refused(self, make: Make, question: str) -> None:
        with pytest.raises(UserError, match="question is empty"):
            make(DOCUMENTS).invoke(question)

    def test_a_question_that_is_no_text_is_refused(self, make: Make) -> None:
        with pytest.raises(UserError, match="must be text, not int"):
            make(DOCUMENTS).search([17], 3)  # type: ignore[list-item]

    def test_less_than_one_passage_is_refused(self, make: Make) -> None:
        with pytest.raises(UserError, match="at least 1"):
            make(DOCUMENTS).search(QUESTIONS, 0)

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
    def test_strange_questions_are_answered(self, make: Make, question: str) -> None:
        found = make(DOCUMENTS).search([question], 3)[0]
        assert set(ids(found)) <= set(TEXTS)

    def test_batch_equals_single(self, make: Make) -> None:
        retriever = make(DOCUMENTS)
        batch = retriever.batch(QUESTIONS)
        for question, found in zip(QUESTIONS, batch, strict=True):
            alone = retriever.invoke(question)
            assert ids(alone) == ids(found)
            # A bfloat16 product may round otherwise in a batch of another shape.
            scores = [document.metadata["score"] for document in alone]
            assert scores == pytest.approx([document.metadata["score"] for document in found], abs=0.01)

    def test_async(self, make: Make) -> None:
        retriever = make(DOCUMENTS)

        async def both() -> tuple[list[Document], list[list[Document]]]:
            return await retriever.ainvoke(QUESTIONS[0]), await retriever.abatch(QUESTIONS)

        one, many = asyncio.run(both())
        assert ids(one) == ids(many[0]) == ids(retriever.invoke(QUESTIONS[0]))

    def test_deterministic(self, make: Make) -> None:
        retriever = make(DOCUMENTS)
        assert retriever.search(QUESTIONS, 5) == retriever.search(QUESTIONS, 5)

    def test_results_are_the_callers_own(self, make: Make) -> None:
        retriever = make(DOCUMENTS)
        retriever.invoke(QUESTIONS[0])[0].metadata["id"] = "changed"
        assert retriever.invoke(QUESTIONS[0])[0].metadata["id"] == "b1"

    def test_one_id_for_two_texts_is_refused(self, make: Make) -> None:
        with pytest.raises(UserError, match="Two different documents have the id 'b1'"):
            make([*DOCUMENTS, Document(id="b1", page_content="Another text.")])

    def test_a_document_without_an_id_gets_one(self, make: Make) -> None:
        found = make([Document(page_content="Aspirin lowered the risk of stroke.")]).invoke(QUESTIONS[0])
        assert len(str(found[0].id)) == 16

    def test_callbacks_hear_every_question_of_a_batch(self, make: Make) -> None:
        listener = Listener()
        found = make(DOCUMENTS).batch(QUESTIONS, config={"callbacks": [listener]})
        assert sorted(listener.questions) == sorted(QUESTIONS)
        assert [each[0].id for each in found] == ["b1", "c3", "a2"]

    def test_one_bad_question_need_not_spoil_a_batch(self, make: Make) -> None:
        found = make(DOCUMENTS).batch([QUESTIONS[0], ""], return_exceptions=True)
        assert ids(found[0])[0] == "b1"
        assert isinstance(found[1], UserError)
