"""A retriever for tests of chains: the share of a question's words that a document has."""

from collections.abc import Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import Field


class WordRetriever(BaseRetriever):
    """Searches ``texts`` by word overlap and keeps what it was asked in ``searches``."""

    texts: dict[str, str]
    searches: list[list[str]] = Field(default_factory=list)

    def search(self, questions: Sequence[str], k: int) -> list[list[Document]]:
        self.searches.append(list(questions))
        return [self._best(question, k) for question in questions]

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return self._best(query, len(self.texts))

    def _best(self, question: str, k: int) -> list[Document]:
        asked = set(question.lower().rstrip("?").split())
        scored = [
            (len(asked & set(text.lower().replace(".", "").split())) / max(len(asked), 1), id, text)
            for id, text in self.texts.items()
        ]
        best = sorted(scored, key=lambda found: (-found[0], found[1]))[:k]
        return [Document(id=id, page_content=text, metadata={"score": score}) for score, id, text in best]
