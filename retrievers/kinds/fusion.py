"""Fusion of several retrievers' results for one question.

LangChain's EnsembleRetriever supports only reciprocal rank fusion, drops the scores and takes one question at a time;
``retrievers.base`` requires scores and batches.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from langchain_core.documents import Document

from retrievers.base import Hit

if TYPE_CHECKING:
    import numpy as np

Fusion = Literal["zscore", "minmax", "rrf"]

Results = Sequence[Document]
"""The results of one retriever for the question, best first, with scores."""


def reciprocal_ranks(results: Sequence[Results], weights: Sequence[float], k: float) -> list[Hit]:
    """Reciprocal rank fusion (Cormack, Clarke and Buettcher 2009): the score is the sum of weight / (k + rank).

    ``results`` has one item per retriever, and ranks start at 1. A retriever that did not return a document adds
    nothing to the document's score.
    """
    totals: dict[str, float] = {}
    for documents, weight in zip(results, weights, strict=True):
        for rank, document in enumerate(documents, start=1):
            id = str(document.id)
            totals[id] = totals.get(id, 0.0) + weight / (k + rank)
    by_id = _by_id(results)
    return [Hit(by_id[id], score) for id, score in totals.items()]


def weighted_scores(
    results: Sequence[Results], weights: Sequence[float], depth: int, fusion: Fusion, k: float = 60
) -> list[Hit]:
    """The weighted sum of each candidate's normalised scores; ``results`` has one item per retriever.

    The candidates are the documents that any of the retrievers returned. ``zscore`` standardises a retriever's scores,
    and ``minmax`` scales them to the range from 0 to 1. If a retriever's scores are all equal, they become 0. ``rrf``
    is ``reciprocal_ranks`` with the constant ``k``.

    Before normalisation, a candidate that a retriever did not return gets the retriever's lowest score. If the
    retriever returned fewer documents than the requested ``depth``, the candidate gets 0 if the lowest score is
    above 0: BM25, for example, did not return it because it shares no word with the question.
    """
    import numpy as np

    if fusion == "rrf":
        return reciprocal_ranks(results, weights, k)
    candidates = _by_id(results)
    totals = np.zeros(len(candidates))
    for documents, weight in zip(results, weights, strict=True):
        totals += weight * _normalised(_scores(documents, list(candidates), depth), fusion)
    return [Hit(document, float(total)) for document, total in zip(candidates.values(), totals, strict=True)]


def _scores(documents: Results, ids: Sequence[str], depth: int) -> "np.ndarray":
    """A retriever's score of each candidate id."""
    import numpy as np

    scores = {str(document.id): float(document.metadata["score"]) for document in documents}
    lowest = min(scores.values(), default=0.0)
    missing = lowest if len(documents) >= depth else min(lowest, 0.0)
    return np.array([scores.get(id, missing) for id in ids])


def _normalised(scores: "np.ndarray", fusion: Literal["zscore", "minmax"]) -> "np.ndarray":
    import numpy as np

    if not scores.size or scores.min() == scores.max():  # rounding may give equal scores a deviation above 0
        return scores * 0.0
    offset, scale = scores.mean(), scores.std()
    if fusion == "minmax":
        offset, scale = scores.min(), scores.max() - scores.min()
    return np.asarray((scores - offset) / scale)


def _by_id(results: Sequence[Results]) -> dict[str, Document]:
    return {str(document.id): document for documents in results for document in documents}
