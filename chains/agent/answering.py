"""What both agents share: reading the evidence, having the answer judged, and withholding it."""

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from chains.answer import Answer, Passage, Verdict, Withheld
from chains.qa.base import AnswerChain

Read = Callable[[BaseRetriever], AnswerChain]
"""Makes the chain that answers from what a retriever brings."""
Verify = Callable[[Answer], Answer]
"""Gives an answer its verdict."""

NO_EVIDENCE = "no passage that was found is evidence on the question"
NOT_BORNE_OUT = "what the passages were read as is not borne out by them, or not surely enough"


class Given(BaseRetriever):
    """Brings the same passages for any question: what has been found and graded already."""

    passages: tuple[Passage, ...]

    def _get_relevant_documents(
        self,
        query: str,  # noqa: ARG002
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002  (LangChain passes it by name)
    ) -> list[Document]:
        return [
            Document(id=one.id, page_content=one.text, metadata={**one.metadata, "score": one.score})
            for one in self.passages
        ]


def answer_from(read: Read, question: str, evidence: Sequence[Passage], verify: Verify | None) -> Answer:
    """The answer that the evidence gives, with its verdict where answers are judged."""
    answer = read(Given(passages=tuple(evidence))).invoke(question)
    return answer if verify is None else verify(answer)


def holds(answer: Answer, confidence: float, *, settled: bool) -> bool:
    """Whether an answer may be given: where answers are judged the judge must be for it, and both must be sure enough.

    The judge is for an answer that is supported, and for a "maybe" that the passages do not decide: a "maybe" is never
    supported (``chains.verification.answers``), but here it rests on passages that were graded as evidence. Sure
    enough is a product of at least ``confidence`` of the answer's probability and of the verdict's, each 1 where it is
    not known.

    Args:
        answer: with its verdict where it was judged.
        confidence: from 0 to 1.
        settled: whether any evidence, read for this answer or not, settles the question; then it is no "maybe".
    """
    if answer.label is None or (answer.label == "maybe" and settled):
        return False
    verdict: Verdict = "not enough evidence" if answer.label == "maybe" else "supported"
    if answer.verdict not in (None, verdict):
        return False
    judged = answer.verification.scores if answer.verification is not None else {}
    return answer.label_scores.get(answer.label, 1.0) * judged.get(verdict, 1.0) >= confidence


def withhold(
    question: str, reason: str, found: Sequence[Passage], searched: Sequence[str], answer: Answer | None = None
) -> Answer:
    """No answer, with why, what was searched for and what was found; ``answer`` is the one that is kept back."""
    wordings = "; ".join(dict.fromkeys(searched)) or "nothing"
    ids = ", ".join(dict.fromkeys(one.id for one in found)) or "nothing"
    text = f"No answer is given: {reason}. Searched for: {wordings}. Found: {ids}."
    if answer is None:
        return Answer(question=question, text=text, passages=tuple(found))
    kept: dict[str, Any] = {name: getattr(answer, name) for name in Withheld.model_fields}
    update: dict[str, Any] = {
        "text": text,
        "label": None,
        "label_scores": {},
        "output": None,
        "withheld": Withheld(**kept),
    }
    return answer.model_copy(update=update)
