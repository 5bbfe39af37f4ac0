"""A question in other words, for another search."""

from collections.abc import Callable, Sequence

from langchain_core.runnables import Runnable

from chains.rewriting.pico import content_words, phrases
from retrievers.multi_query import Rewriting

Reword = Callable[[str, Sequence[str]], str | None]
"""From a question and all wordings that were searched for, to one more; None where there is none."""


def by_keywords(question: str, tried: Sequence[str]) -> str | None:
    """First the words that mean something, then the phrases on treatment and measure alone."""
    narrow = [one.text for one in phrases(question) if one.kind in ("treatment", "measure")]
    for words in (content_words(question), narrow):
        if (wording := " ".join(words)) and wording not in tried:
            return wording
    return None


def by_model(rewriter: Runnable[Rewriting, list[str]]) -> Reword:
    """As a language model words it; by keywords where it has nothing new."""

    def reword(question: str, tried: Sequence[str]) -> str | None:
        written = rewriter.invoke({"question": question, "count": len(tried) + 1})
        new = next((one for one in written if one not in tried), None)
        return new or by_keywords(question, tried)

    return reword
