"""Cache of a retriever's results."""

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.documents import Document
from pydantic import PrivateAttr

from common.fingerprints import content_key, documents_digest
from common.result_cache import Batches, ResultCache, get_or_compute
from retrievers.base import Hit, Retriever
from retrievers.document_ids import distinct

BATCH = 256  # questions per search, and per write to the cache


class CachedRetriever(Retriever):
    """Searches with an inner retriever and caches its results.

    Every search fetches at least ``depth`` documents, so that tasks that need fewer share the cached results.

    Attributes:
        reused: number of questions whose results came from the cache.
    """

    reused: int = 0
    _retriever: Retriever = PrivateAttr()
    _documents: dict[str, Document] = PrivateAttr()
    _cache: ResultCache = PrivateAttr()
    _key: str = PrivateAttr()
    _depth: int = PrivateAttr()

    def __init__(
        self,
        retriever: Retriever,
        documents: Sequence[Document],
        cache: ResultCache,
        *,
        identity: Mapping[str, Any],
        depth: int,
    ) -> None:
        """Search with ``retriever`` over ``documents``, its whole corpus.

        ``identity`` is what ``registry.identify`` returns for ``retriever``. Cached results are used only if they
        have an equal identity.
        """
        super().__init__(top_k=retriever.top_k)
        self._retriever = retriever
        self._builds_on = (retriever,)
        self._documents = {str(document.id): document for document in distinct(documents)}
        self._cache = cache
        digest = documents_digest(documents, metadata=_uses_filter(identity))
        self._key = content_key(documents=digest, identity=identity)
        self._depth = depth

    def _search(self, questions: list[str], k: int) -> list[list[Hit]]:
        depth = max(k, self._depth)
        keys = [content_key(question=question, depth=depth, retriever=self._key) for question in questions]
        results = get_or_compute(self._cache, keys, lambda missing: self._search_uncached(questions, missing, depth))
        self.reused += sum(result.reused for result in results)
        return [[Hit(self._documents[id], score) for id, score in result.value] for result in results]

    def _search_uncached(self, questions: Sequence[str], indices: Sequence[int], depth: int) -> Batches:
        """Ids and scores for the questions at ``indices``, in batches."""
        for start in range(0, len(indices), BATCH):
            batch = indices[start : start + BATCH]
            results = self._retriever.search([questions[index] for index in batch], depth)
            yield batch, [[(str(each.id), each.metadata["score"]) for each in documents] for documents in results]


def _uses_filter(identity: Mapping[str, Any]) -> bool:
    """Whether the retriever is a filter or builds on one; only then do metadata affect its results."""
    return identity.get("kind") == "filter" or any(map(_uses_filter, identity.get("builds_on", {}).values()))
