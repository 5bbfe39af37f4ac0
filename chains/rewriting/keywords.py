"""Rewording of a question for another search."""

from collections.abc import Callable, Sequence

from langchain_core.runnables import Runnable

from chains.rewriting.followup_rules import content_words, without_population
from retrievers.kinds.multi_query import RewriteRequest

Reword = Callable[[str, Sequence[str]], str | None]
"""Maps a question and the wordings already tried to a new wording, or to None if there is none."""


def reword_by_keywords(question: str, tried: Sequence[str]) -> str | None:
    """The question's content words; if they were tried, those before the population; None if both were tried."""
    for text in (question, without_population(question)):
        if (wording := " ".join(content_words(text))) and wording not in tried:
            return wording
    return None


def make_model_rewording(rewriter: Runnable[RewriteRequest, list[str]]) -> Reword:
    """A ``Reword`` by a language model; it uses ``reword_by_keywords`` if the model writes no new wording."""

    def reword(question: str, tried: Sequence[str]) -> str | None:
        # One wording more than were tried, so that at least one of them is new.
        wordings = rewriter.invoke({"question": question, "count": len(tried) + 1})
        return next((one for one in wordings if one not in tried), None) or reword_by_keywords(question, tried)

    return reword
