"""Evidence summaries: a language model condenses each passage to its statements on a question."""

import math
import re
from collections.abc import Sequence

from langchain_core.output_parsers import StrOutputParser

from chains.answer import Passage
from chains.marks import without_marks
from chains.models.base import LLM, TooLongError
from chains.models.prompt_sanitizing import fence
from chains.models.reasoning import answer_text
from chains.prompts import summary_template

MAX_TOKENS = 200  # of a summary
_RELEVANCE = re.compile(  # at the end of the text; words may follow the number if "relevance" begins the last line
    r"(?P<line>\A|\n)?[\s*_#(\[-]*\brelevance\b(?: score)?\W*(?P<number>\d+(?:[.,]\d+)?)(?:\W*(?:/|of|out of)\W*10)?"
    r"(?(line).*)\W*\Z",
    re.IGNORECASE,
)


class Summarizer:
    """Condenses each passage to its statements on a question, and gives it a relevance from 0 to 10.

    This is the evidence step of PaperQA2 (Skarlinski et al. 2024). The passages of a question are sorted by relevance.
    Passages with relevance 0 are left out; if all have relevance 0, all are kept without summaries. A passage has no
    summary if its prompt does not fit in the model's window or if the model writes nothing. A passage has no relevance
    if the model writes no number; it then comes last.
    """

    def __init__(self, llm: LLM, system: str | None = None) -> None:
        self._clean = llm.clean
        self._chain = summary_template(system) | llm.writer(MAX_TOKENS) | StrOutputParser()

    def summarize(self, questions: Sequence[str], passages: Sequence[Sequence[Passage]]) -> list[list[Passage]]:
        """The passages of each question with their summaries, the most relevant first; all prompts are one batch."""
        prompts = [
            {"question": self._clean(question), "passage": fence([without_marks(self._clean(one.text))])}
            for question, question_passages in zip(questions, passages, strict=True)
            for one in question_passages
        ]
        outputs: Sequence[object] = self._chain.batch(prompts, return_exceptions=True) if prompts else []
        for output in outputs:
            if isinstance(output, Exception) and not isinstance(output, TooLongError):
                raise output
        remaining = iter(outputs)
        return [
            _ranked([_summarized(one, next(remaining)) for one in question_passages], question_passages)
            for question_passages in passages
        ]


def _summarized(passage: Passage, output: object) -> Passage:
    """The passage with the summary and the relevance in a model's output; without them if the output is an error."""
    text = (answer_text(output) or "").strip() if isinstance(output, str) else ""
    relevance = None
    if match := _RELEVANCE.search(text):
        number = float(match["number"].replace(",", "."))
        relevance = min(10, int(number) or math.ceil(number))  # 0.4 becomes 1, since only 0 means irrelevant
        text = text[: match.start()].strip()
    return passage.model_copy(update={"summary": text or None, "relevance": relevance})


def _ranked(summarized: Sequence[Passage], passages: Sequence[Passage]) -> list[Passage]:
    if all(one.relevance == 0 for one in summarized):
        return list(passages)
    relevant = [one for one in summarized if one.relevance != 0]
    return sorted(relevant, key=lambda one: -1 if one.relevance is None else one.relevance, reverse=True)
