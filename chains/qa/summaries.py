"""Evidence summaries: passages condensed by a language model to what bears on a question."""

import re
from collections.abc import Sequence

from langchain_core.output_parsers import StrOutputParser

from chains.answer import Passage
from chains.marks import without_marks
from chains.models.base import LLM, TooLongError
from chains.models.prompt_sanitizing import fence
from chains.models.reasoning import answer_text
from chains.prompts import summary_template

TOKENS = 200  # of a summary
_RELEVANCE = re.compile(r"[\s*_#(\[-]*\brelevance\b\W*(\d+)(?:\s*(?:/|of|out of)\s*10)?\W*\Z", re.IGNORECASE)


class Summarizer:
    """Condenses each passage to what bears on a question, with a relevance from 0 to 10.

    This is the evidence step of PaperQA2 (Skarlinski et al. 2024). The passages of a question are sorted by relevance.
    Those with relevance 0 are left out; if all have it, all stay unchanged. A passage that does not fit in the model's
    window, or for which the model writes nothing, has no summary; a summary without a number has no relevance and comes
    last.
    """

    def __init__(self, llm: LLM, system: str | None = None) -> None:
        self._clean = llm.clean
        self._chain = summary_template(system) | llm.writer(TOKENS) | StrOutputParser()

    def summarize(self, questions: Sequence[str], found: Sequence[Sequence[Passage]]) -> list[list[Passage]]:
        """The passages of each question with their summaries, the most relevant first; all are one batch."""
        prompts = [
            {"question": self._clean(question), "passage": fence([self._clean(without_marks(one.text))])}
            for question, passages in zip(questions, found, strict=True)
            for one in passages
        ]
        written: Sequence[object] = self._chain.batch(prompts, return_exceptions=True) if prompts else []
        for one in written:
            if isinstance(one, Exception) and not isinstance(one, TooLongError):
                raise one
        texts = iter(written)
        return [_ordered([_summarized(one, next(texts)) for one in passages], passages) for passages in found]


def _summarized(passage: Passage, written: object) -> Passage:
    """The passage with the summary and the relevance that a model wrote."""
    text = (answer_text(written) or "").strip() if isinstance(written, str) else ""
    relevance = None
    if number := _RELEVANCE.search(text):
        relevance, text = min(10, int(number[1])), text[: number.start()].strip()
    return passage.model_copy(update={"summary": text or None, "relevance": relevance})


def _ordered(summarized: Sequence[Passage], passages: Sequence[Passage]) -> list[Passage]:
    if all(one.relevance == 0 for one in summarized):
        return list(passages)
    kept = [one for one in summarized if one.relevance != 0]
    return sorted(kept, key=lambda one: -1 if one.relevance is None else one.relevance, reverse=True)
