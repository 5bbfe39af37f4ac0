"""Dense retrieval: search by embedding in the vector store."""

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr

from retrievers.base import Hit, Retriever
from retrievers.config import RetrieverConfig
from retrievers.embedders import embed_questions
from retrievers.embedders.token_limits import shorten
from retrievers.files.vectors import unit
from retrievers.indexing import read_document
from retrievers.store import BATCH, Store

if TYPE_CHECKING:
    import numpy as np

    from retrievers.registry import Context

TIES = 16  # extra neighbours to fetch from Chroma, so that the base class can break ties at rank k by id


class DenseConfig(RetrieverConfig):
    """Search by embedding (cosine) in the vector store."""

    kind: Literal["dense"] = "dense"
    embedder: str = Field(default="minilm", description="Name of an entry in section embedders.")


class DenseRetriever(Retriever):
    """Finds the nearest passages in a store; the score is the cosine similarity, at most 1."""

    config_class: ClassVar[type[RetrieverConfig]] = DenseConfig

    _store: Store = PrivateAttr()

    def __init__(self, store: Store, top_k: int = 5) -> None:
        """Search the passages that are in ``store``; ``build`` updates the store first."""
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
            batches = (vectors[start : start + BATCH] for start in range(0, len(questions), BATCH))
            return [hits for batch in batches for hits in self._nearest(batch, k)]

    def _nearest(self, vectors: "np.ndarray", k: int) -> list[list[Hit]]:
        """The ``k`` nearest passages of each vector, from the vector file if there is one, else from Chroma."""
        if file := self._store.vector_file():
            return [
                [Hit(file.document(row), cosine) for row, cosine in nearest]
                for nearest in file.nearest(unit(vectors), k)
            ]
        self._store.refresh_graph()
        collection = self._store.collection
        if not (total := collection.count()):
            return [[] for _ in vectors]
        result = collection.query(
            query_embeddings=vectors,
            n_results=min(k + TIES, total),
            include=["distances", "documents", "metadatas"],
        )
        columns = (result["ids"], result["documents"] or [], result["metadatas"] or [], result["distances"] or [])
        return [
            [
                Hit(read_document(id, text, metadata or {}), 1.0 - float(distance))
                for id, text, metadata, distance in zip(*rows, strict=True)
                if text is not None  # else another process is removing the passage
            ]
            for rows in zip(*columns, strict=True)
        ]
