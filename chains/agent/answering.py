"""Functions of both agents: answering from the evidence, the decision to abstain, and the abstention."""

from collections.abc import Callable, Sequence

from langchain_core.documents import Document
from langchain_core.runnables import Runnable, RunnableLambda

from chains.answer import Answer, Passage, Verdict
from chains.qa.base import AnswerChain

MakeChain = Callable[[Runnable[str, list[Document]]], AnswerChain]
"""Makes an answering chain over a retriever."""
AddVerdict = Callable[[Answer], Answer]
"""Returns the answer with its verdict."""

NO_EVIDENCE = "none of the passages found is evidence on the question"
NOT_SUPPORTED = "the passages do not support the answer, or not with enough confidence"


def answer_from(make_chain: MakeChain, question: str, evidence: Sequence[Passage], verify: AddVerdict | None) -> Answer:
    """The answer from the evidence, with its verdict if ``verify`` is set."""
    documents = [
        Document(id=one.id, page_content=one.text, metadata={**one.metadata, "score": one.score}) for one in evidence
    ]
    answer = make_chain(RunnableLambda(lambda _: documents)).invoke(question)
    return answer if verify is None else verify(answer)


def is_acceptable(answer: Answer, confidence: float, *, question_settled: bool) -> bool:
    """Whether the agent gives this answer; otherwise it abstains.

    The verdict must be None or "supported"; for a "maybe", which verification never supports
    (``chains.verification.answers``), None or "not enough evidence". The answer's probability times the verdict's must
    be at least ``confidence``; an unknown probability counts as 1. ``question_settled``: whether some evidence answers
    the question with yes or no, so that a "maybe" is rejected.
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
    """An abstention with its reason, the queries and the passages found; ``answer`` is the rejected answer."""
    searched = "; ".join(dict.fromkeys(queries)) or "nothing"
    ids = ", ".join(dict.fromkeys(one.id for one in found)) or "nothing"
    text = f"No answer is given: {reason}. Searched for: {searched}. Found: {ids}."
    if answer is None:
        return Answer(question=question, text=text, passages=tuple(found))
    return answer.withhold(text)
