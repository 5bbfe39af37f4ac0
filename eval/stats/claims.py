"""Metrics of checked claims: evidence sentences, and retrieval of the gold documents."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from eval.stats.estimate import Counts, Estimate, Floats, from_resamples, proportion, resampled

COUNTS = ("correct", "predicted", "gold")  # sentences of evidence, by sample


def evidence_metrics(samples: Sequence[Mapping[str, Any]]) -> dict[str, Estimate]:
    """``evidence_precision, evidence_recall, evidence_f1`` and ``evidence_found``, as far as the data allows.

    The first three are SciFact's sentence-level metrics with labels (Wadden et al. 2020, section 5): a predicted
    sentence is correct if it belongs to a gold rationale of its document, all other sentences of that rationale are
    predicted too, and it is quoted for the document's label (supports or refutes). They are computed over the sentences
    of all claims; errors and intervals come from a bootstrap over the claims. ``evidence_found`` is the share of claims
    with gold documents for which one was among the passages.

    Args:
        samples: with ``evidence``, the counts of ``COUNTS``, or None without labelled sentences; and with ``found``,
            None for a claim without gold documents.
    """
    estimates: dict[str, Estimate] = {}
    rows = [[sample["evidence"][name] for name in COUNTS] for sample in samples if sample.get("evidence")]
    if any(gold for _, _, gold in rows):
        kinds, counts = np.unique(np.asarray(rows, dtype=np.int64), axis=0, return_counts=True)
        point = _figures(counts[None, :] @ kinds)[0]
        resamples = resampled(counts, lambda drawn: _figures(drawn @ kinds))
        for name, value, column in zip(("precision", "recall", "f1"), point, resamples.T, strict=True):
            value = float(value)
            estimates[f"evidence_{name}"] = from_resamples(value, column) if len(rows) > 1 else Estimate(value)
    if found := [sample["found"] for sample in samples if sample.get("found") is not None]:
        estimates["evidence_found"] = proportion(sum(found), len(found))
    return estimates


def correct_sentences(predicted: Sequence[int], rationales: Sequence[Sequence[int]], *, has_right_label: bool) -> int:
    """The number of a document's predicted sentences that are correct; see ``evidence_metrics``."""
    chosen = set(predicted)
    whole = [set(one) for one in rationales if set(one) <= chosen]
    return len(set().union(*whole)) if has_right_label else 0


def _figures(sums: Counts) -> Floats:
    """Precision, recall and F1 from sums of ``COUNTS``, both of shape (samples, 3)."""
    correct, predicted, gold = (sums[:, place].astype(np.float64) for place in range(3))

    def ratio(numerator: Floats, denominator: Floats) -> Floats:
        return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)

    return np.stack([ratio(correct, predicted), ratio(correct, gold), ratio(2 * correct, predicted + gold)], axis=1)
