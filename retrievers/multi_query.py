"""The question in several wordings."""

from typing import TypedDict

from langchain_core.runnables import Runnable
from pydantic import PrivateAttr

from retrievers.base import Hit, Retriever, encodable
from retrievers.config import MultiQueryConfig
from retrievers.fusion import reciprocal_ranks


class Rewriting(TypedDict):
    """A question, and how many other wordings of it are wanted."""

    question: str
    count: int


Rewriter = Runnable[Rewriting, list[str]]
"""Gives wordings of a question; fewer than wanted, or none, is no error."""


class MultiQueryRetriever(Retriever):
    """Another retriever, asked in the question's own and in other words.

    All wordings of all questions are searched for at once, and what those of one question find is put together by
    reciprocal ranks, the question itself counting like each of them. (LangChain's MultiQueryRetriever returns what was
    found without an order, and takes one question at a time.)
    """

    _retriever: Retriever = PrivateAttr()
    _rewriter: Rewriter = PrivateAttr()
    _config: MultiQueryConfig = PrivateAttr()

    def __init__(self, retriever: Retriever, rewriter: Rewriter, config: MultiQueryConfig) -> None:
        """Search with ``retriever`` for what ``rewriter`` makes of a question too."""
        super().__init__(top_k=config.top_k)
        self._retriever = retriever
        self._rewriter = rewriter
        self._config = config

    def _search(self, questions: list[str], k: int) -> list[list[Hit]]:
        depth = max(k, self._config.candidates)
        asked = [Rewriting(question=question, count=self._config.rewrites) for question in questions]
        wordings = [
            _wordings(question, written[: self._config.rewrites])
            for question, written in zip(questions, self._rewriter.batch(asked), strict=True)
        ]
        found = iter(self._retriever.search([text for texts in wordings for text in texts], depth))
        return [
            reciprocal_ranks([next(found) for _ in texts], [1.0] * len(texts), self._config.k) for texts in wordings
        ]


def _wordings(question: str, rewrites: list[str]) -> list[str]:
    """The question and what is text among its rewrites, each once."""
    texts = [encodable(text).strip() for text in rewrites]
    return list(dict.fromkeys([question, *(text for text in texts if any(map(str.isalnum, text)))]))
