"""Base class of the agents, and functions that they share: answering from evidence, acceptance, abstention."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda

from chains.agent.grading import Grader
from chains.agent.steps import Run, Step
from chains.answer import Answer, Passage, Verdict
from chains.config import AgentConfig
from chains.qa.base import AnswerChain, Question
from common.errors import UserError

MakeChain = Callable[[Runnable[str, list[Document]]], AnswerChain]
"""Makes an answering chain over a retriever."""
AddVerdict = Callable[[Answer], Answer]
"""Returns the answer with its verdict."""

NO_EVIDENCE = "none of the passages found is evidence on the question"
NOT_SUPPORTED = "the passages do not support the answer, or not with enough confidence"


@dataclass(eq=False)
class Agent(AnswerChain):
    """A chain that searches, grades the passages found, and answers from the evidence or abstains.

    Args:
        retriever: finds the passages.
        make_chain: makes the answering chain over given passages.
        grader: selects the evidence.
        verify: verifies an answer; None for no verification.
        config: the limits, and the number of passages per search.
        on_step: called with each step.
        passages_per_answer: number of passages from which an answer is made.
    """

    retriever: BaseRetriever
    make_chain: MakeChain
    grader: Grader
    verify: AddVerdict | None
    config: AgentConfig
    on_step: Callable[[Step], None] = lambda _: None
    passages_per_answer: int = 1

    def answer_all(self, questions: Sequence[Question]) -> list[Answer | UserError]:
        """One run for each question."""
        limits = self.config
        answers: list[Answer | UserError] = []
        for question in questions:
            run = Run(limits.max_steps, limits.max_tokens, limits.max_seconds, self.on_step)
            try:
                answers.append(self._answer(question.text, run, question.config or {}))
            except UserError as error:
                answers.append(error)
        return answers

    @abstractmethod
    def _answer(self, question: str, run: Run, config: RunnableConfig) -> Answer:
        """The answer to one question, or an abstention."""


def answer_from(make_chain: MakeChain, question: str, evidence: Sequence[Passage], verify: AddVerdict | None) -> Answer:
    """The answer from the evidence, with its verdict if ``verify`` is set."""
    documents = [
        Document(id=one.id, page_content=one.text, metadata={**one.metadata, "score": one.score}) for one in evidence
    ]
    answer = make_chain(RunnableLambda(lambda _: documents)).invoke(question)
    return answer if verify is None else verify(answer)


def is_acceptable(answer: Answer, confidence: float, *, question_settled: bool) -> bool:
    """Whether the agent gives this answer; otherwise it abstains.

    A verified "yes" or "no" must be "supported". A verified "maybe" must have "not enough evidence", since verification
    never supports it (``chains.verification.answers``). The answer's probability times the verdict's must be at least
    ``confidence``; an unknown probability counts as 1. ``question_settled``: whether some evidence answers the question
    with yes or no; if so, a "maybe" is rejected.
    """
    if answer.label is None or (answer.label == "maybe" and question_settled):
        return False
    verdict: Verdict = "not enough evidence" if answer.label == "maybe" else "supported"
    if answer.verdict not in (None, verdict):
        return False
    verdicts = answer.verification.scores if answer.verification is not None else {}
    return answer.label_scores.get(answer.label, 1.0) * verdicts.get(verdict, 1.0) >= confidence


def withhold(
    question: str, reason: str, found: Sequence[Passage], queries: Sequence[str], answer: Answer | None = None
) -> Answer:
    """An abstention with its reason, the queries and the passages found; ``answer`` is the rejected answer, if any."""
    searched = "; ".join(dict.fromkeys(queries)) or "nothing"
    ids = ", ".join(dict.fromkeys(one.id for one in found)) or "nothing"
    text = f"No answer is given: {reason}. Searched for: {searched}. Found: {ids}."
    if answer is None:
        return Answer(question=question, text=text, passages=tuple(found))
    return answer.withhold(text)
