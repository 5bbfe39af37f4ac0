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
    """Maximal marginal relevance (Carbonell and Goldstein 1998) among another retriever's first candidates.

    The documents are chosen one by one by the highest score: relevance x the cosine with the question, less (1 -
    relevance) x the greatest cosine with those already chosen (at least 0). So scores never rise from one choice to the
    next. (LangChain's function returns no scores and does not break ties.)
    """

    config_class: ClassVar[type[RetrieverConfig]] = MMRConfig

    _store: Store = PrivateAttr()

    def __init__(self, retriever: Retriever, store: Store, config: MMRConfig) -> None:
        """Choose among the results of ``retriever``; ``store`` has the vectors of the corpus."""
        super().__init__(retriever, config)
        self._store = store

    @classmethod
    def build(cls, config: MMRConfig, context: "Context") -> Self:
        return cls(context.other(config.retriever), context.updated_store(config.embedder), config)

    @classmethod
    def index(cls, config: MMRConfig, context: "Context") -> int:
        return context.update_collection(config.embedder)

    def search_text(self, question: str) -> str:
        return shorten(self._store.embedder, super().search_text(question))

    def _search(self, questions: list[str], k: int) -> list[list[Hit]]:
        import numpy as np

        candidates = self._retriever.search(questions, max(k, self._config.candidates))
        asked = unit(np.asarray(embed_questions(self._store.embedder, questions), dtype=np.float32))
        vectors = self._vectors({str(one.id): one.page_content for found in candidates for one in found})
        hits: list[list[Hit]] = []
        for found, question in zip(candidates, asked, strict=True):
            known = sorted(found, key=lambda one: str(one.id))
            if not known:
                hits.append([])
                continue
            texts = np.stack([vectors[str(one.id)] for one in known])
            chosen = _choose(texts @ question, texts @ texts.T, self._config.relevance, k)
            hits.append([Hit(known[place], score) for place, score in chosen])
        return hits

    def _vectors(self, texts: Mapping[str, str]) -> "dict[str, np.ndarray]":
        """The vectors of texts by their ids; vectors missing in the store, such as of online articles, are computed."""
        import numpy as np

        with self._store.errors():
            self._store.refresh()
            vectors = self._store.embeddings(sorted(texts))
        if lacking := [id for id in sorted(texts) if id not in vectors]:
            made = self._store.embedder.embed_documents([texts[id] for id in lacking])
            vectors.update(zip(lacking, unit(np.asarray(made, dtype=np.float32)), strict=True))
        return vectors


def _choose(near: "np.ndarray", alike: "np.ndarray", relevance: float, count: int) -> list[tuple[int, float]]:
    """Indices of the chosen documents, in order, with their scores; ties go to the first.

    ``near`` are the cosines with the question, (n,), ``alike`` the cosines with each other, (n, n).
    """
    import numpy as np

    nearest_chosen = np.zeros(len(near))
    left = np.ones(len(near), dtype=bool)
    chosen: list[tuple[int, float]] = []
    for _ in range(min(count, len(near))):
        scores = np.where(left, relevance * near - (1 - relevance) * nearest_chosen, -np.inf)
        place = int(scores.argmax())
        chosen.append((place, float(scores[place])))
        left[place] = False
        nearest_chosen = np.maximum(nearest_chosen, alike[place])
    return chosen
