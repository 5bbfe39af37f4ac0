"""Diverse retrieval: maximal marginal relevance."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr

from retrievers.base import Hit, Retriever, WrappingRetriever
from retrievers.config import Count, RetrieverConfig, Share, WrappingConfig
from retrievers.embedders import embed_questions
from retrievers.embedders.token_limits import shorten
from retrievers.files.vectors import unit
from retrievers.store import Store

if TYPE_CHECKING:
    import numpy as np

    from retrievers.registry import Context


class MMRConfig(WrappingConfig):
    """Passages near the question and unlike each other (maximal marginal relevance)."""

    kind: Literal["mmr"] = "mmr"
    embedder: str = Field(default="minilm", description="Name of the embedder that measures similarity, by cosine.")
    relevance: Share = Field(
        default=0.7,
        description="Weight of the question: 1 counts the question alone, 0 the passages chosen before alone.",
    )
    candidates: Count = Field(default=50, description="Minimum number of candidates.")


class MMRRetriever(WrappingRetriever):
    """Maximal marginal relevance (Carbonell and Goldstein 1998) among an inner retriever's first candidates.

    Documents are chosen one after another, each time the one with the highest score:

        relevance x (cosine with the question) - (1 - relevance) x (greatest cosine with a document already chosen)

    If the greatest cosine is negative, 0 takes its place. So no score is higher than the one before. (LangChain's
    function returns no scores and does not break ties.)
    """

    config_class: ClassVar[type[RetrieverConfig]] = MMRConfig

    _store: Store = PrivateAttr()

    def __init__(self, retriever: Retriever, store: Store, config: MMRConfig) -> None:
        """Choose among the results of ``retriever``; ``store`` has the vectors of the corpus."""
        super().__init__(retriever, config)
        self._store = store

    @classmethod
    def build(cls, config: MMRConfig, context: "Context") -> Self:
        return cls(context.retriever(config.retriever), context.updated_store(config.embedder), config)

    @classmethod
    def index(cls, config: MMRConfig, context: "Context") -> int:
        return context.update_collection(config.embedder)

    def search_text(self, question: str) -> str:
        return shorten(self._store.embedder, super().search_text(question))

    def _search(self, questions: list[str], k: int) -> list[list[Hit]]:
        import numpy as np

        results = self._retriever.search(questions, max(k, self._config.candidates))
        question_vectors = unit(np.asarray(embed_questions(self._store.embedder, questions), dtype=np.float32))
        vectors = self._vectors({str(each.id): each.page_content for candidates in results for each in candidates})
        hits: list[list[Hit]] = []
        for candidates, question_vector in zip(results, question_vectors, strict=True):
            if not candidates:
                hits.append([])
                continue
            candidates = sorted(candidates, key=lambda document: str(document.id))
            text_vectors = np.stack([vectors[str(document.id)] for document in candidates])
            to_question, to_each_other = text_vectors @ question_vector, text_vectors @ text_vectors.T
            chosen = _choose(to_question, to_each_other, self._config.relevance, k)
            hits.append([Hit(candidates[index], score) for index, score in chosen])
        return hits

    def _vectors(self, texts: Mapping[str, str]) -> "dict[str, np.ndarray]":
        """The vector of each text, by id; texts missing in the store, such as online articles, are embedded."""
        import numpy as np

        with self._store.errors():
            self._store.refresh()
            vectors = self._store.embeddings(sorted(texts))
        if missing := [id for id in sorted(texts) if id not in vectors]:
            computed = self._store.embedder.embed_documents([texts[id] for id in missing])
            vectors.update(zip(missing, unit(np.asarray(computed, dtype=np.float32)), strict=True))
        return vectors


def _choose(
    to_question: "np.ndarray", to_each_other: "np.ndarray", relevance: float, count: int
) -> list[tuple[int, float]]:
    """Indices of the chosen documents, in order, with their scores; of equal scores, the lowest index is chosen.

    ``to_question``, (n,), and ``to_each_other``, (n, n), are the documents' cosines.
    """
    import numpy as np

    to_chosen = np.zeros(len(to_question))  # greatest cosine with a chosen document
    available = np.ones(len(to_question), dtype=bool)
    chosen: list[tuple[int, float]] = []
    for _ in range(min(count, len(to_question))):
        scores = np.where(available, relevance * to_question - (1 - relevance) * to_chosen, -np.inf)
        index = int(scores.argmax())
        chosen.append((index, float(scores[index])))
        available[index] = False
        to_chosen = np.maximum(to_chosen, to_each_other[index])
    return chosen
