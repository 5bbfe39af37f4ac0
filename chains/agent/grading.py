"""Grading of retrieved passages: selection of the passages that are evidence on a question."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chains.answer import Answer, Passage
from chains.citations import coverage
from chains.nli import Judgement, NLIModel
from chains.prompts import answer_statement
from chains.qa.base import AnswerChain, Question
from common.errors import UserError


@dataclass(frozen=True, slots=True)
class Grade:
    """A graded passage.

    Attributes:
        coverage: weighted share of the question's words in the passage, 0 to 1.
        settling_probability: probability that the passage settles the question; None if the model gives none.
        settles_question: whether this probability is above 0.5.
    """

    passage: Passage
    coverage: float
    settling_probability: float | None
    settles_question: bool
    is_evidence: bool


SettlingProbabilities = Callable[[str, Sequence[Passage]], list[float | None]]
"""Maps a question and passages to the probability that each passage settles the question with yes or no."""


@dataclass(frozen=True, slots=True)
class Grader:
    """Grades passages by shared words and by a model's label scores; instructions in a passage have no effect.

    A passage is evidence if it has at least the share ``relevance`` of the question's words, weighted by rarity
    (``citations.coverage``). If it settles the question, half of that share is enough. The first rule admits
    inconclusive studies, which an NLI model cannot distinguish from studies on another subject. The second rule admits
    other wordings.

    ``settling_probabilities`` is ``by_judge(...)`` or ``by_labels(...)``.
    """

    settling_probabilities: SettlingProbabilities
    relevance: float

    def grade(self, question: str, passages: Sequence[Passage]) -> list[Grade]:
        """A grade for each passage, in order; rarity of words is measured among these passages."""
        shares = coverage(question, [passage.text for passage in passages])
        probabilities = self.settling_probabilities(question, passages)
        grades = []
        for passage, share, settling in zip(passages, shares, probabilities, strict=True):
            settles = settling is not None and settling > 0.5
            minimum = self.relevance / 2 if settles else self.relevance
            grades.append(Grade(passage, share, settling, settles, is_evidence=share >= minimum))
        return grades


def by_judge(judge: NLIModel) -> SettlingProbabilities:
    """Probabilities by an NLI model: a passage that entails or contradicts the answer yes settles the question."""

    def settling_probabilities(question: str, passages: Sequence[Passage]) -> list[float | None]:
        statement = answer_statement(question, "yes")
        judgements = judge.judge([(passage.text, statement) for passage in passages])
        return [_probability_of_other_labels("neutral", one) for one in judgements]

    return settling_probabilities


def by_labels(chain: AnswerChain) -> SettlingProbabilities:
    """Probabilities by an answering chain: a passage from which it answers yes or no settles the question.

    ``chain`` answers from the context given with a question. A passage has no probability if its answer is an error;
    an error that concerns all passages is raised.
    """

    def settling_probabilities(question: str, passages: Sequence[Passage]) -> list[float | None]:
        answers = chain.answer_all([Question(question, one.text, one.id) for one in passages])
        return [_probability_of_other_labels("maybe", one) for one in answers]

    return settling_probabilities


def _probability_of_other_labels(label: str, result: Judgement | Answer | UserError) -> float | None:
    """The probability of the labels other than ``label``; None if the result has no probabilities."""
    return None if isinstance(result, UserError) or not result.label_scores else 1 - result.label_scores[label]
