"""Metrics of retrieval and of labels."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from eval.stats.estimate import Counts, Estimate, Floats, bootstrap, mean, proportion, ratio

DEPTH = 10  # the cutoff of the ranking metrics


def ranking_metrics(ranks: Sequence[int | None]) -> dict[str, Estimate]:
    """``accuracy@1, recall@5, recall@10, mrr@10, ndcg@10`` for questions with one relevant document each.

    If the document's rank r is at most k, then recall@k is 1, the reciprocal rank is 1/r (Voorhees 1999), and nDCG is
    1/log2(1 + r), since the ideal gain is 1 (Järvelin and Kekäläinen 2002). Otherwise all three are 0.

    Args:
        ranks: the relevant document's rank from 1 for each question; None if it was not found.

    Raises:
        ValueError: no ranks, or a rank below 1.
    """
    found = [rank for rank in ranks if rank is not None]
    if any(rank < 1 for rank in found):
        raise ValueError("ranks count from 1")

    def recall_at(k: int) -> Estimate:
        return proportion(sum(rank <= k for rank in found), len(ranks))

    within_depth = [rank if rank is not None and rank <= DEPTH else None for rank in ranks]
    return {
        "accuracy@1": recall_at(1),
        "recall@5": recall_at(5),
        "recall@10": recall_at(10),
        "mrr@10": mean([0.0 if rank is None else 1 / rank for rank in within_depth]),
        "ndcg@10": mean([0.0 if rank is None else float(1 / np.log2(1 + rank)) for rank in within_depth]),
    }


def label_metrics(
    targets: Sequence[str], predictions: Sequence[str | None], labels: Sequence[str]
) -> dict[str, Estimate]:
    """``accuracy, macro_f1, unparsed`` and ``precision_LABEL, recall_LABEL, f1_LABEL`` for each candidate label.

    A prediction of None is an answer without a label: it is wrong, lowers recall, and is counted by ``unparsed``. Macro
    F1 is the mean over all candidate labels, including labels that are no record's target. A metric with denominator 0
    is 0. F1 is bootstrapped over records.

    Raises:
        ValueError: no records, unequal lengths, or a label that is not a candidate.
    """
    n = len(targets)
    if n == 0 or n != len(predictions):
        raise ValueError(f"{n} targets and {len(predictions)} predictions")
    matrix = _confusion(targets, predictions, labels)
    macro_f1, *f1 = bootstrap(matrix.ravel(), lambda counts: _f1_scores(counts.reshape(-1, *matrix.shape)))
    right, actual, predicted = matrix.diagonal().tolist(), matrix.sum(axis=1).tolist(), matrix.sum(axis=0).tolist()
    estimates = {"accuracy": proportion(sum(right), n), "unparsed": unparsed(predictions), "macro_f1": macro_f1}
    for index, label in enumerate(labels):
        for name, total in (("precision", predicted[index]), ("recall", actual[index])):
            estimates[f"{name}_{label}"] = proportion(right[index], total) if total else Estimate(0.0)
        estimates[f"f1_{label}"] = f1[index]
    return estimates


def labels_of(metrics: Iterable[str]) -> tuple[str, ...]:
    """The candidate labels, in order, from the names of the metrics ``f1_LABEL``."""
    return tuple(
        name.removeprefix("f1_") for name in metrics if name.startswith("f1_") and not name.endswith("_stderr")
    )


def unparsed(predictions: Sequence[str | None]) -> Estimate:
    """The number of predictions that are None. Its standard error and interval are counts too."""
    n = len(predictions)
    return proportion(predictions.count(None), n).times(n)


def majority(targets: Sequence[str]) -> str:
    """The most frequent target; of equally frequent targets, the first."""
    return Counter(targets).most_common(1)[0][0]


def absent_labels(targets: Sequence[str], labels: Sequence[str]) -> str | None:
    """A note on labels that are no record's target, which keep macro F1 below 1; None if there are none."""
    if not (absent := [label for label in labels if label not in targets]):
        return None
    highest = 1 - len(absent) / len(labels)
    return f"no record is {' or '.join(absent)}, whose F1 of 0 counts in macro F1: {highest:.3f} is the most"


def _confusion(targets: Sequence[str], predictions: Sequence[str | None], labels: Sequence[str]) -> Counts:
    """Counts by target (rows) and prediction (columns); the last column counts predictions of None."""
    indices: dict[str | None, int] = {label: index for index, label in enumerate((*labels, None))}
    matrix = np.zeros((len(labels), len(labels) + 1), dtype=np.int64)
    for target, prediction in zip(targets, predictions, strict=True):
        if target not in labels or prediction not in indices:
            raise ValueError(f"{target!r} answered {prediction!r}: the candidates are {', '.join(labels)}")
        matrix[indices[target], indices[prediction]] += 1
    return matrix


def _f1_scores(matrices: Counts) -> Floats:
    """Macro F1, then F1 by label, of confusion matrices of shape (matrices, labels, labels + 1)."""
    true_positives = np.diagonal(matrices, axis1=1, axis2=2)
    f1 = ratio(2 * true_positives, matrices[:, :, :-1].sum(axis=1) + matrices.sum(axis=2))
    return np.concatenate([f1.mean(axis=1, keepdims=True), f1], axis=1)
