from datetime import date

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from chains.runnable import as_passage, retrieve


class Plain(BaseRetriever):
    """A user's own LangChain retriever: no batched search, no ids, no scores."""

    def _get_relevant_documents(self, query: str, *, run_manager: object) -> list[Document]:
        return [Document(page_content=f"{query} {n}") for n in range(3)]


def test_any_langchain_retriever_serves() -> None:
    found = retrieve(Plain(), ["a", "b"], 2)
    assert [[passage.text for passage in passages] for passages in found] == [["a 0", "a 1"], ["b 0", "b 1"]]
    assert [passage.id for passage in found[0]] == ["0", "1"]
    assert found[0][0].score is None
    assert retrieve(Plain(), [], 2) == []


def test_a_passage_keeps_what_its_document_says_of_itself() -> None:
    metadata = {"id": "a", "score": 0.5, "page": 3, "seen": date(2024, 1, 2), "mesh": ["Aspirin"]}
    passage = as_passage(Document(id="a", page_content="Text.", metadata=metadata))
    assert passage.model_dump(mode="json") == {
        "id": "a",
        "text": "Text.",
        "score": 0.5,
        "metadata": {"page": 3, "seen": "2024-01-02", "mesh": ["Aspirin"]},
    }
