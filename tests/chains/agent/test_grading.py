from typing import Any

import pytest
from obeying import ObeyingLLM
from word_nli import WordNLI
from word_retriever import WordRetriever

from chains.agent.grading import Grader, by_judge, by_labels
from chains.answer import Passage
from chains.qa.chain import qa_chain
from chains.qa.extractive import extractive_chain

# WordNLI looks for the question's last word before "works": "children works" settles the question.
QUESTION = "Does aspirin lower fever in children?"
INCONCLUSIVE = Passage(id="inconclusive", text="Whether aspirin lowers fever in children is open.")
SETTLING = Passage(id="settling", text="Fever works; and children too. In children works.")
UNRELATED = Passage(id="unrelated", text="Zinc shortened colds.")


def evidence_ids(relevance: float, question: str = QUESTION) -> list[str]:
    graded = Grader(by_judge(WordNLI()), relevance).grade(question, [INCONCLUSIVE, SETTLING, UNRELATED])
    return [grade.passage.id for grade in graded if grade.is_evidence]


def test_inconclusive_passage_with_the_question_words_is_evidence() -> None:
    grades = Grader(by_judge(WordNLI()), 0.9).grade(QUESTION, [INCONCLUSIVE, UNRELATED])
    assert (grades[0].coverage, grades[1].coverage) == (1.0, 0.0)
    assert grades[0].settling_probability < 0.5
    assert [grade.is_evidence for grade in grades] == [True, False]


def test_settling_passage_needs_half_of_the_share_of_words() -> None:
    share = Grader(by_judge(WordNLI()), 1).grade(QUESTION, [INCONCLUSIVE, SETTLING, UNRELATED])[1].coverage
    assert 0.2 < share < 0.7
    # SETTLING is evidence if its share is at least half of ``relevance``.
    assert "settling" in evidence_ids(share * 1.9)
    assert "settling" not in evidence_ids(share * 2.1)
    about_adults = QUESTION.replace("children", "adults")  # SETTLING does not settle this question
    assert "settling" not in evidence_ids(share * 1.9, about_adults)


def test_passage_without_shared_words_is_no_evidence() -> None:
    certain = Grader(lambda _, passages: [1.0 for _ in passages], 0.4)
    assert not certain.grade(QUESTION, [UNRELATED])[0].is_evidence


def test_by_labels_uses_the_label_scores_of_the_answering_model() -> None:
    settling_probabilities = by_labels(qa_chain(ObeyingLLM(), context="gold"))
    settling_probability, unrelated_probability = settling_probabilities(
        QUESTION, [Passage(id="a", text="It works."), UNRELATED]
    )
    assert settling_probability > 0.9
    assert unrelated_probability < 0.2
    assert by_labels(extractive_chain(WordRetriever(texts={})))(QUESTION, [UNRELATED]) == [None]


def test_by_labels_raises_the_error_of_the_model() -> None:
    class Failing(ObeyingLLM):
        def score(self, *_: object) -> Any:
            raise RuntimeError("The card is gone.")

    with pytest.raises(RuntimeError, match="card is gone"):
        by_labels(qa_chain(Failing(), context="gold"))(QUESTION, [UNRELATED])
