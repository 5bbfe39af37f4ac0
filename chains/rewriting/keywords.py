"""Rewording of a question for another search."""

from collections.abc import Callable, Sequence

from langchain_core.runnables import Runnable

from chains.rewriting.followup_rules import content_words, without_population
from retrievers.kinds.multi_query import RewriteRequest

Reword = Callable[[str, Sequence[str]], str | None]
"""Maps a question and the wordings already tried to a new wording; None if there is none."""


def by_keywords(question: str, tried: Sequence[str]) -> str | None:
    """The question's content words; if tried, those without the population ("in older adults")."""
    for text in (question, without_population(question)):
        if (wording := " ".join(content_words(text))) and wording not in tried:
            return wording
    return None


def by_model(rewriter: Runnable[RewriteRequest, list[str]]) -> Reword:
    """A function that asks a language model for a new wording, and ``by_keywords`` if the model has none."""

    def reword(question: str, tried: Sequence[str]) -> str | None:
        written = rewriter.invoke({"question": question, "count": len(tried) + 1})  # of so many, at least one is new
        new = next((one for one in written if one not in tried), None)
        return new or by_keywords(question, tried)

    return reword
