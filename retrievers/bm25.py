"""Search by words: BM25 over an index in memory."""

from collections.abc import Sequence
from typing import Any

from langchain_core.documents import Document
from pydantic import PrivateAttr

from retrievers.base import Hit, Retriever, encodable
from retrievers.config import BM25Config
from retrievers.ids import identified


class BM25Retriever(Retriever):
    """Okapi BM25 in Lucene's variant (Kamphuis et al. 2020), through bm25s.

    Words are runs of two or more word characters, lower case, without English stop words, cut to their stems by
    Snowball's English stemmer. A document that shares no word with the question is not returned.
    """

    _documents: list[Document] = PrivateAttr()
    _index: Any = PrivateAttr()

    def __init__(self, documents: Sequence[Document], config: BM25Config | None = None) -> None:
        """Index ``documents``.

        Raises:
            UserError: two different documents have one id.
        """
        import bm25s

        config = config or BM25Config()
        super().__init__(top_k=config.top_k)
        self._documents = identified(documents)
        words = _words([document.page_content for document in self._documents])
        self._index = None
        if any(words):
            self._index = bm25s.BM25(method="lucene", k1=config.k1, b=config.b)
            self._index.index(words, show_progress=False)

    def _search(self, questions: list[str], k: int) -> list[list[Hit]]:
        return [self._hits(words, k) for words in _words(questions)]

    def _hits(self, words: list[str], k: int) -> list[Hit]:
        import numpy as np

        known = [] if self._index is None else self._index.get_tokens_ids(words)
        if not known:
            return []
        scores = self._index.get_scores_from_ids(known)
        # Every document that ties with the k-th best is kept: the base class breaks ties by id.
        bar = np.partition(scores, -k)[-k] if k < len(scores) else 0.0
        best = np.flatnonzero((scores >= bar) & (scores > 0))
        return [Hit(self._documents[i], float(scores[i])) for i in best]


def _words(texts: list[str]) -> list[list[str]]:
    import bm25s
    import Stemmer

    if not texts:
        return []
    encoded = [encodable(text) for text in texts]
    words: list[list[str]] = bm25s.tokenize(
        encoded,
        stopwords="english",
        stemmer=Stemmer.Stemmer("english"),
        return_ids=False,
        show_progress=False,
    )
    return words
