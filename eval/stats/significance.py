"""Paired tests of two sets of answers to the same records."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.stats.estimate import Counts, Estimate, Floats, bootstrap, mean, ratio

Answers = Sequence[str | None]


@dataclass(frozen=True, slots=True)
class McNemar:
    """McNemar's exact test: its p-value, and the numbers of records that both, only A, only B or neither get right."""

    both: int
    only_a: int
    only_b: int
    neither: int
    p: float


def mcnemar(a: Sequence[bool], b: Sequence[bool]) -> McNemar:
    """McNemar's (1947) exact two-sided test of whether A and B are right equally often; p is 1 if they never differ.

    Raises:
        ValueError: no records, or unequal lengths.
    """
    _check_lengths(a, b)
    from scipy.stats import binomtest

    pairs = list(zip(a, b, strict=True))
    only_a, only_b = pairs.count((True, False)), pairs.count((False, True))
    discordant = only_a + only_b
    p = float(binomtest(only_a, discordant, 0.5).pvalue) if discordant else 1.0
    return McNemar(pairs.count((True, True)), only_a, only_b, pairs.count((False, False)), p)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values after Holm's (1979) step-down correction, in the given order."""
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.maximum.accumulate(np.minimum(1, factors * np.asarray(p_values)[order]))
    return [float(p) for p in corrected]


def mean_difference(a: Sequence[float], b: Sequence[float]) -> Estimate:
    """The mean of B minus the mean of A, with a percentile bootstrap over records.

    Raises:
        ValueError: no records, or unequal lengths.
    """
    _check_lengths(a, b)
    return mean((np.asarray(b, dtype=np.float64) - np.asarray(a, dtype=np.float64)).tolist())


def macro_f1_difference(
    targets: Sequence[str], a: Answers, b: Answers, labels: Sequence[str]
) -> tuple[float, float, Estimate]:
    """Macro F1 of A and of B, as in ``metrics.label_metrics``, and B minus A with a percentile bootstrap over records.

    Raises:
        ValueError: no records, or unequal lengths.
    """
    _check_lengths(targets, a)
    _check_lengths(a, b)
    cells = Counter(zip(targets, a, b, strict=True))
    counts = np.array(list(cells.values()), dtype=np.int64)
    target, answer_a, answer_b = (_one_hot(answers, labels) for answers in zip(*cells, strict=True))

    def statistics(resampled: Counts) -> Floats:
        f1_a, f1_b = (_macro_f1(resampled, target, answer) for answer in (answer_a, answer_b))
        return np.stack([f1_a, f1_b, f1_b - f1_a], axis=1)

    f1_a, f1_b, difference = bootstrap(counts, statistics)
    return f1_a.value, f1_b.value, difference


def _one_hot(answers: Answers, labels: Sequence[str]) -> NDArray[np.int64]:
    """1 where the answer is the label, else 0: shape (answers, labels)."""
    return np.array([[answer == label for label in labels] for answer in answers], dtype=np.int64)


def _macro_f1(resampled: Counts, target: Counts, answer: Counts) -> Floats:
    """Macro F1 of counts of shape (samples, cells), with one-hot targets and answers of shape (cells, labels)."""
    true_positives, total = resampled @ (target * answer), resampled @ (target + answer)
    return np.asarray(ratio(2 * true_positives, total).mean(axis=1))


def _check_lengths(a: Sequence[object], b: Sequence[object]) -> None:
    if not a or len(a) != len(b):
        raise ValueError(f"pairs of {len(a)} and {len(b)} records")
