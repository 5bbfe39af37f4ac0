"""A retriever for tests of chains that ranks by common words."""

from langchain_core.documents import Document
from pydantic import Field

from retrievers.base import Hit, Retriever


class WordRetriever(Retriever):
    """Scores each of ``texts`` by the share of the question's words in it; ``searches`` records the questions."""

    texts: dict[str, str]
    searches: list[list[str]] = Field(default_factory=list)

    def _search(self, questions: list[str], k: int) -> list[list[Hit]]:
        self.searches.append(list(questions))
        return [
            [Hit(Document(id=id, page_content=text), _overlap(question, text)) for id, text in self.texts.items()]
            for question in questions
        ]


def _overlap(question: str, text: str) -> float:
    words = set(question.lower().rstrip("?").split())
    return len(words & set(text.lower().replace(".", "").split())) / max(len(words), 1)
