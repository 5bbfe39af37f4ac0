"""A retriever that finds what it is told to, and keeps what it was asked."""

from collections.abc import Mapping
from typing import Any

from langchain_core.documents import Document
from pydantic import PrivateAttr

from retrievers.base import Hit, Retriever


class FixedRetriever(Retriever):
    """``scores`` are those of the documents by id, for whatever question unless ``by_question`` knows it."""

    _scores: Mapping[str, float] = PrivateAttr()
    _by_question: Mapping[str, Mapping[str, float]] = PrivateAttr()
    _metadata: Mapping[str, Mapping[str, Any]] = PrivateAttr()
    _asked: list[tuple[list[str], int]] = PrivateAttr(default_factory=list)

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
    def asked(self) -> list[tuple[list[str], int]]:
        return self._asked

    def _search(self, questions: list[str], k: int) -> list[list[Hit]]:
        self._asked.append((questions, k))
        return [
            [
                Hit(Document(id=id, page_content=f"text {id}", metadata=dict(self._metadata.get(id, {}))), score)
                for id, score in self._by_question.get(question, self._scores).items()
            ]
            for question in questions
        ]
