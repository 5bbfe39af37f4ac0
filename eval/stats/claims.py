"""Metrics of checked claims: quoted evidence sentences, and retrieval of the claims' gold documents."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from eval.stats.estimate import Counts, Estimate, Floats, bootstrap, proportion, ratio

COUNTS = ("correct", "predicted", "gold")  # names of the numbers of evidence sentences of a sample
EVIDENCE_METRICS = ("evidence_found", "evidence_precision", "evidence_recall", "evidence_f1")


def evidence_metrics(samples: Sequence[Mapping[str, Any]]) -> dict[str, Estimate]:
    """``evidence_precision, evidence_recall, evidence_f1`` and ``evidence_found``, as far as the data has labels.

    The first three are SciFact's sentence-level metrics with labels (Wadden et al. 2020, section 5). A predicted
    sentence is correct if it belongs to a gold rationale of its document, all other sentences of that rationale are
    predicted too, and its predicted label (supports or refutes) is the document's gold label. The metrics are computed
    over the sentences of all claims; errors and intervals come from a bootstrap over the claims. ``evidence_found`` is
    how often a gold document is among the passages, as a share of the claims that have gold documents.

    Args:
        samples: ``evidence`` has a number for each name in ``COUNTS``, or is None without labelled sentences;
            ``found`` says whether a gold document is among the passages, or is None for a claim without gold documents.
    """
    estimates: dict[str, Estimate] = {}
    rows = [[sample["evidence"][name] for name in COUNTS] for sample in samples if sample.get("evidence")]
    if any(gold for _, _, gold in rows):
        distinct_rows, counts = np.unique(np.asarray(rows, dtype=np.int64), axis=0, return_counts=True)
        metrics = bootstrap(counts, lambda row_counts: _precision_recall_f1(row_counts @ distinct_rows))
        estimates |= zip(EVIDENCE_METRICS[1:], metrics, strict=True)
    if found := [sample["found"] for sample in samples if sample.get("found") is not None]:
        estimates["evidence_found"] = proportion(sum(found), len(found))
    return estimates


def correct_sentences(predicted: Sequence[int], rationales: Sequence[Sequence[int]], *, has_right_label: bool) -> int:
    """The number of a document's predicted sentences that are correct; see ``evidence_metrics``.

    ``predicted`` and ``rationales`` hold sentence numbers; ``has_right_label`` says whether the predicted label is
    the document's gold label.
    """
    complete = [rationale for rationale in rationales if set(rationale) <= set(predicted)]
    return len(set().union(*complete)) if has_right_label else 0


def _precision_recall_f1(sums: Counts) -> Floats:
    """Precision, recall and F1 from sums of ``COUNTS``; both arrays have the shape (bootstrap samples, 3)."""
    correct, predicted, gold = sums.T
    return np.stack([ratio(correct, predicted), ratio(correct, gold), ratio(2 * correct, predicted + gold)], axis=1)
