from typing import Any

import pytest
from obeying import ObeyingLLM
from word_nli import WordNLI
from word_retriever import WordRetriever

from chains.agent.grading import Grader, by_judge, by_labels
from chains.answer import Passage
from chains.qa.chain import qa_chain
from chains.qa.extractive import extractive_chain

QUESTION = "Does aspirin lower fever in children?"
ON_IT = Passage(id="on", text="Whether aspirin lowers fever in children is open.")
OTHER_WORDS = Passage(id="words", text="Fever works; and children too. In children works.")
OFF_IT = Passage(id="off", text="Zinc shortened colds.")


def evidence(relevance: float, question: str = QUESTION) -> list[str]:
    graded = Grader(by_judge(WordNLI()), relevance).grade(question, [ON_IT, OTHER_WORDS, OFF_IT])
    return [grade.passage.id for grade in graded if grade.is_evidence]


def test_a_passage_with_the_question_s_words_is_evidence_also_if_it_leaves_the_question_open() -> None:
    grades = Grader(by_judge(WordNLI()), 0.9).grade(QUESTION, [ON_IT, OFF_IT])
    assert (grades[0].coverage, grades[1].coverage) == (1.0, 0.0)
    assert grades[0].decides is not None
    assert grades[0].decides < 0.5
    assert [grade.is_evidence for grade in grades] == [True, False]


def test_one_that_settles_the_question_needs_half_of_the_words() -> None:
    covered = Grader(by_judge(WordNLI()), 1).grade(QUESTION, [ON_IT, OTHER_WORDS, OFF_IT])[1].covers
    assert 0.2 < covered < 0.7
    assert "words" in evidence(covered * 1.9)
    assert "words" not in evidence(covered * 2.1)
    assert "words" not in evidence(
        covered * 1.9, QUESTION.replace("children", "adults")
    )  # it settles nothing on adults


def test_a_passage_that_shares_no_word_is_never_evidence() -> None:
    certain = Grader(lambda _, passages: [1.0 for _ in passages], 0.4)
    assert not certain.grade(QUESTION, [OFF_IT])[0].is_evidence


def test_graded_by_the_answering_model_s_labels() -> None:
    decides = by_labels(qa_chain(ObeyingLLM(), context="gold"))
    works, leaves_open = decides(QUESTION, [Passage(id="a", text="It works."), OFF_IT])
    assert works is not None
    assert works > 0.9
    assert leaves_open is not None
    assert leaves_open < 0.2
    assert by_labels(extractive_chain(WordRetriever(texts={})))(QUESTION, [OFF_IT]) == [None]


def test_a_model_that_fails_is_not_taken_for_want_of_evidence() -> None:
    class Failing(ObeyingLLM):
        def score(self, *_: object) -> Any:
            raise RuntimeError("The card is gone.")

    with pytest.raises(RuntimeError, match="card is gone"):
        by_labels(qa_chain(Failing(), context="gold"))(QUESTION, [OFF_IT])
