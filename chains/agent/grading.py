"""Which of the passages that were found are evidence on a question."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chains.answer import Answer, Passage
from chains.citations import coverage
from chains.nli import Judgement, NLIModel
from chains.prompts import answer_statement
from chains.qa.base import AnswerChain, Question


@dataclass(frozen=True, slots=True)
class Grade:
    """A passage, how many of the question's words it has, and how far it decides the question (both 0 to 1).

    ``decides`` is None where the model's judgement has no probabilities.
    """

    passage: Passage
    covers: float
    decides: float | None
    is_evidence: bool

    @property
    def settles(self) -> bool:
        """Whether it settles the question more likely than not."""
        return self.decides is not None and self.decides > 0.5


Decides = Callable[[str, Sequence[Passage]], list[float | None]]
"""From a question and passages to the probability, for each, that it settles the question."""


class Grader:
    """Grades by the passage's words and by a model's label scores; nothing that a passage says is acted on.

    A passage is evidence where it has the share ``relevance`` of the question's words, words that few of the passages
    have weighing more (``citations.coverage``), or half of that while it settles the question for the model. The first
    lets through studies that were inconclusive, which no judge can tell from those on something else; the second those
    that put things in other words.

    Args:
        decides: see ``by_judge`` and ``by_labels``.
        relevance: from 0 to 1.
    """

    def __init__(self, decides: Decides, relevance: float) -> None:
        self._decides = decides
        self._relevance = relevance

    def grade(self, question: str, passages: Sequence[Passage]) -> list[Grade]:
        """A grade for each passage, in order; a word's rarity is among these passages."""
        covered = coverage(question, [passage.text for passage in passages])
        decided = self._decides(question, passages)
        return [
            Grade(passage, covers, decides, self._is_evidence(covers, decides))
            for passage, covers, decides in zip(passages, covered, decided, strict=True)
        ]

    def _is_evidence(self, covers: float, decides: float | None) -> bool:
        if covers >= self._relevance:
            return True
        return decides is not None and decides > 0.5 and covers >= self._relevance / 2


def by_judge(judge: NLIModel) -> Decides:
    """A passage settles a question where it entails or rules out that the answer is yes."""

    def decides(question: str, passages: Sequence[Passage]) -> list[float | None]:
        statement = answer_statement(question, "yes")
        judged = judge.judge([(passage.text, statement) for passage in passages])
        return [
            1 - one.label_scores["neutral"] if isinstance(one, Judgement) and one.label_scores else None
            for one in judged
        ]

    return decides


def by_labels(reading: AnswerChain) -> Decides:
    """A passage settles a question where the model that reads it alone answers otherwise than maybe.

    ``reading`` answers from the text that comes with the question. What goes wrong with all of them is raised.
    """

    def decides(question: str, passages: Sequence[Passage]) -> list[float | None]:
        answers = reading.answer_all([Question(question, one.text, one.id) for one in passages])
        return [
            1 - one.label_scores["maybe"] if isinstance(one, Answer) and one.label_scores else None for one in answers
        ]

    return decides
