"""Fusion of several retrievers' results for one question.

LangChain's EnsembleRetriever supports reciprocal rank fusion only, drops the scores and takes one question at a time;
``retrievers.base`` requires scores and batches.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, assert_never

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
    match fusion:
        case "rrf":
            return reciprocal_ranks(found, weights, k)
        case "zscore":
            normalise = _standardised
        case "minmax":
            normalise = _spread
        case _:
            assert_never(fusion)
    import numpy as np

    documents = _by_id(found)
    totals = np.zeros(len(documents))
    for findings, weight in zip(found, weights, strict=True):
        totals += weight * normalise(_scores(findings, list(documents), asked))
    return [Hit(document, float(total)) for document, total in zip(documents.values(), totals, strict=True)]


def _scores(findings: Findings, ids: Sequence[str], asked: int) -> "np.ndarray":
    import numpy as np

    scores = {str(document.id): float(document.metadata["score"]) for document in findings}
    last = min(scores.values(), default=0.0)
    missing = last if len(findings) >= asked else min(last, 0.0)
    return np.array([scores.get(id, missing) for id in ids])


def _standardised(scores: "np.ndarray") -> "np.ndarray":
    deviation = scores.std() if scores.size else 0.0
    return (scores - scores.mean()) / deviation if deviation > 0 else scores * 0.0


def _spread(scores: "np.ndarray") -> "np.ndarray":
    span = scores.max() - scores.min() if scores.size else 0.0
    return (scores - scores.min()) / span if span > 0 else scores * 0.0


def _by_id(found: Sequence[Findings]) -> dict[str, Document]:
    return {str(document.id): document for findings in found for document in findings}
