"""Fusion of several retrievers' results for one question.

LangChain's EnsembleRetriever supports reciprocal rank fusion only, drops the scores and takes one question at a time;
``retrievers.base`` requires scores and batches.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from langchain_core.documents import Document

from retrievers.base import Hit

if TYPE_CHECKING:
    import numpy as np

Fusion = Literal["zscore", "minmax", "rrf"]

Findings = Sequence[Document]
"""The results of one retriever, best first, with scores."""


def reciprocal_ranks(found: Sequence[Findings], weights: Sequence[float], k: float) -> list[Hit]:
    """Reciprocal rank fusion (Cormack, Clarke and Buettcher 2009): the sum of weight / (k + rank), ranks from 1.

    A retriever that has not found a document adds nothing to its score.
    """
    totals: dict[str, float] = {}
    for findings, weight in zip(found, weights, strict=True):
        for rank, document in enumerate(findings, start=1):
            id = str(document.id)
            totals[id] = totals.get(id, 0.0) + weight / (k + rank)
    documents = _by_id(found)
    return [Hit(documents[id], score) for id, score in totals.items()]


def weighted_scores(
    found: Sequence[Findings], weights: Sequence[float], asked: int, fusion: Fusion, k: float = 60
) -> list[Hit]:
    """The weighted sum of normalised scores over all candidates of the question.

    ``zscore`` standardises a retriever's scores, ``minmax`` scales them to 0 to 1; equal scores all become 0. A
    candidate that a retriever has not found gets the lowest score of those it has found. If the retriever returned
    fewer passages than the ``asked`` ones, the candidate gets at most 0: for BM25, it shares no word with the question.
    ``rrf`` is ``reciprocal_ranks`` with the constant ``k``.
    """
    import numpy as np

    if fusion == "rrf":
        return reciprocal_ranks(found, weights, k)
    documents = _by_id(found)
    totals = np.zeros(len(documents))
    for findings, weight in zip(found, weights, strict=True):
        totals += weight * _normalised(_scores(findings, list(documents), asked), fusion)
    return [Hit(document, float(total)) for document, total in zip(documents.values(), totals, strict=True)]


def _scores(findings: Findings, ids: Sequence[str], asked: int) -> "np.ndarray":
    import numpy as np

    scores = {str(document.id): float(document.metadata["score"]) for document in findings}
    last = min(scores.values(), default=0.0)
    missing = last if len(findings) >= asked else min(last, 0.0)
    return np.array([scores.get(id, missing) for id in ids])


def _normalised(scores: "np.ndarray", fusion: Literal["zscore", "minmax"]) -> "np.ndarray":
    if not scores.size:
        return scores
    offset, scale = scores.mean(), scores.std()
    if fusion == "minmax":
        offset, scale = scores.min(), scores.max() - scores.min()
    return (scores - offset) / scale if scale > 0 else scores * 0.0


def _by_id(found: Sequence[Findings]) -> dict[str, Document]:
    return {str(document.id): document for findings in found for document in findings}
