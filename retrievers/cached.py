"""A retriever with cached results."""

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.documents import Document
from pydantic import PrivateAttr

from common.fingerprints import content_key, documents_digest
from common.result_cache import Batches, ResultCache, get_or_compute
from retrievers.base import Hit, Retriever

CHUNK = 256  # questions per cache write


class CachedRetriever(Retriever):
    """Another retriever with a cache of its results.

    Every search has at least the depth ``depth``, so that tasks with fewer passages share its result. ``reused`` counts
    the questions answered from the cache.
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
        """Search with ``retriever`` over ``documents``, all documents that it can find.

        ``identity`` is what determines the results besides question and documents, as plain data.
        """
        super().__init__(top_k=retriever.top_k)
        self._retriever = retriever
        self._documents = {str(document.id): document for document in documents}
        self._cache = cache
        digest = documents_digest(documents, metadata=_filters(identity))
        self._key = content_key(documents=digest, identity=identity)
        self._depth = depth

    def inner(self) -> Sequence[Retriever]:
        """The other retriever."""
        return (self._retriever,)

    def _search(self, questions: list[str], k: int) -> list[list[Hit]]:
        depth = max(k, self._depth)
        keys = [content_key(question=question, depth=depth, retriever=self._key) for question in questions]
        found = get_or_compute(self._cache, keys, lambda places: self._found(questions, places, depth))
        self.reused += sum(one.reused for one in found)
        return [[Hit(self._documents[id], score) for id, score in one.value] for one in found]

    def _found(self, questions: Sequence[str], places: Sequence[int], depth: int) -> Batches:
        for start in range(0, len(places), CHUNK):
            chunk = places[start : start + CHUNK]
            found = self._retriever.search([questions[place] for place in chunk], depth)
            yield chunk, [[(str(one.id), one.metadata["score"]) for one in documents] for documents in found]


def _filters(identity: Mapping[str, Any]) -> bool:
    """Whether metadata affect the results: the retriever builds on a filter."""
    return identity.get("kind") == "filter" or any(map(_filters, identity.get("builds_on", {}).values()))
