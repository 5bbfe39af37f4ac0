"""A retriever for tests with fixed results that records its calls."""

from collections.abc import Mapping
from typing import Any

from langchain_core.documents import Document
from pydantic import PrivateAttr

from retrievers.base import Hit, Retriever


class FixedRetriever(Retriever):
    """Returns the same documents for every question: one for each id in ``scores``.

    A question in ``by_question`` has its own scores by id there. ``metadata`` gives the documents' metadata by id, and
    ``calls`` records questions and k of each search.
    """

    _scores: Mapping[str, float] = PrivateAttr()
    _by_question: Mapping[str, Mapping[str, float]] = PrivateAttr()
    _metadata: Mapping[str, Mapping[str, Any]] = PrivateAttr()
    _calls: list[tuple[list[str], int]] = PrivateAttr(default_factory=list)

    def __init__(
        self,
        scores: Mapping[str, float],
        by_question: Mapping[str, Mapping[str, float]] | None = None,
        metadata: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        super().__init__(top_k=5)
        self._scores = scores
        self._by_question = by_question or {}
        self._metadata = metadata or {}

    @property
    def calls(self) -> list[tuple[list[str], int]]:
        return self._calls

    def _search(self, questions: list[str], k: int) -> list[list[Hit]]:
        self._calls.append((questions, k))
        return [
            [
                Hit(Document(id=id, page_content=f"text {id}", metadata=dict(self._metadata.get(id, {}))), score)
                for id, score in self._by_question.get(question, self._scores).items()
            ]
            for question in questions
        ]
