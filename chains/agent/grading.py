"""Grading: which retrieved passages are evidence on a question."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chains.answer import Answer, Passage
from chains.citations import coverage
from chains.nli import Judgement, NLIModel
from chains.prompts import answer_statement
from chains.qa.base import AnswerChain, Question


@dataclass(frozen=True, slots=True)
class Grade:
    """A graded passage.

    Attributes:
        covers: weighted share of the question's words in the passage, 0 to 1.
        decides: the probability that the passage settles the question; None if the model gives no probabilities.
    """

    passage: Passage
    covers: float
    decides: float | None
    is_evidence: bool

    @property
    def settles(self) -> bool:
        """Whether ``decides`` is above 0.5."""
        return self.decides is not None and self.decides > 0.5


Decides = Callable[[str, Sequence[Passage]], list[float | None]]
"""Maps a question and passages to the probability of each passage that it settles the question."""


@dataclass(frozen=True, slots=True)
class Grader:
    """Grades passages by shared words and by a model's label scores; instructions in a passage have no effect.

    A passage is evidence if it covers the share ``relevance`` of the question's words, weighted by rarity
    (``citations.coverage``), or half of that and settles the question. The first rule admits inconclusive studies,
    which an NLI model cannot distinguish from studies on another subject; the second admits other wordings.

    ``decides`` is ``by_judge(...)`` or ``by_labels(...)``.
    """

    decides: Decides
    relevance: float

    def grade(self, question: str, passages: Sequence[Passage]) -> list[Grade]:
        """A grade for each passage, in order; rarity of words is measured among these passages."""
        covered = coverage(question, [passage.text for passage in passages])
        decided = self.decides(question, passages)
        return [
            Grade(passage, covers, decides, self._is_evidence(covers, decides))
            for passage, covers, decides in zip(passages, covered, decided, strict=True)
        ]

    def _is_evidence(self, covers: float, decides: float | None) -> bool:
        if covers >= self.relevance:
            return True
        return decides is not None and decides > 0.5 and covers >= self.relevance / 2


def by_judge(judge: NLIModel) -> Decides:
    """A passage settles a question if it entails or contradicts that the answer is yes."""

    def decides(question: str, passages: Sequence[Passage]) -> list[float | None]:
        statement = answer_statement(question, "yes")
        judged = judge.judge([(passage.text, statement) for passage in passages])
        return [
            1 - one.label_scores["neutral"] if isinstance(one, Judgement) and one.label_scores else None
            for one in judged
        ]

    return decides


def by_labels(reading: AnswerChain) -> Decides:
    """A passage settles a question if the model answers yes or no from this passage alone.

    ``reading`` answers from the text given with the question. Errors that concern all passages are raised.
    """

    def decides(question: str, passages: Sequence[Passage]) -> list[float | None]:
        answers = reading.answer_all([Question(question, one.text, one.id) for one in passages])
        return [
            1 - one.label_scores["maybe"] if isinstance(one, Answer) and one.label_scores else None for one in answers
        ]

    return decides
