"""Dense retrieval: search by embedding in the vector store."""

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from langchain_core.documents import Document
from pydantic import Field, PrivateAttr

from retrievers.base import Hit, Retriever
from retrievers.config import RetrieverConfig
from retrievers.embedders import embed_questions
from retrievers.embedders.token_limits import shorten
from retrievers.indexing import read_document
from retrievers.store import BATCH, Store

if TYPE_CHECKING:
    from retrievers.registry import Context

TIES = 16  # extra neighbours to fetch, so that ties at rank k are broken by id


class DenseConfig(RetrieverConfig):
    """Search by embedding (cosine) in the vector store."""

    kind: Literal["dense"] = "dense"
    embedder: str = Field(default="minilm", description="Name of an entry in section embedders.")


class DenseRetriever(Retriever):
    """The nearest passages of a store by cosine; the score is the cosine similarity, 1 at best."""

    config_class: ClassVar[type[RetrieverConfig]] = DenseConfig

    _store: Store = PrivateAttr()

    def __init__(self, store: Store, top_k: int = 5) -> None:
        """Search the passages that ``store`` already holds; ``build`` updates it first."""
        super().__init__(top_k=top_k)
        self._store = store

    @classmethod
    def build(cls, config: DenseConfig, context: "Context") -> Self:
        return cls(context.updated_store(config.embedder), top_k=config.top_k)

    @classmethod
    def index(cls, config: DenseConfig, context: "Context") -> int:
        return context.update_collection(config.embedder)

    def search_text(self, question: str) -> str:
        return shorten(self._store.embedder, question)

    def _search(self, questions: list[str], k: int) -> list[list[Hit]]:
        import numpy as np

        vectors = np.asarray(embed_questions(self._store.embedder, questions), dtype=np.float32)
        with self._store.errors():
            self._store.refresh()
            near = [
                _best(found, k)
                for start in range(0, len(questions), BATCH)
                for found in self._store.nearest(vectors[start : start + BATCH], k + TIES)
            ]
            documents = self._read(sorted({id for best in near for id, _ in best}))
        return [[Hit(documents[id], score) for id, score in best if id in documents] for best in near]

    def _read(self, ids: list[str]) -> dict[str, Document]:
        documents: dict[str, Document] = {}
        for start in range(0, len(ids), BATCH):
            batch = self._store.collection.get(ids=ids[start : start + BATCH], include=["documents", "metadatas"])
            rows = zip(batch["ids"], batch["documents"] or [], batch["metadatas"] or [], strict=True)
            documents.update((id, read_document(id, text, metadata or {})) for id, text, metadata in rows)
        return documents


def _best(cosines: dict[str, float], k: int) -> list[tuple[str, float]]:
    return sorted(cosines.items(), key=lambda pair: (-pair[1], pair[0]))[:k]
