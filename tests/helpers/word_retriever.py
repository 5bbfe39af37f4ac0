"""A retriever for tests of chains that scores a document by the share of the question's words in it."""

from langchain_core.documents import Document
from pydantic import Field

from retrievers.base import Hit, Retriever


class WordRetriever(Retriever):
    """Searches ``texts`` by word overlap. ``searches`` records the questions of each call."""

    texts: dict[str, str]
    searches: list[list[str]] = Field(default_factory=list)

    def _search(self, questions: list[str], k: int) -> list[list[Hit]]:
        self.searches.append(list(questions))
        return [self._hits(question) for question in questions]

    def _hits(self, question: str) -> list[Hit]:
        asked = set(question.lower().rstrip("?").split())
        return [
            Hit(
                Document(id=id, page_content=text),
                len(asked & set(text.lower().replace(".", "").split())) / max(len(asked), 1),
            )
            for id, text in self.texts.items()
        ]
