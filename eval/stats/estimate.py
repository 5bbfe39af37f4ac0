"""Point estimates with standard error and 95% interval."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 1_000
_SEED = 20_240_501
_BLOCK = 1_000_000  # resampled counts in memory at the same time; they take 8 MB
_ROUNDING = 1e-12  # differences below this come from floating-point rounding

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with standard error and 95% interval; each of these is None if it cannot be estimated.

    A share of a single record has an interval but no standard error. A bootstrap of a single record, or of identical
    records, gives neither.
    """

    value: float
    stderr: float | None = None
    low: float | None = None
    high: float | None = None

    def times(self, factor: float) -> "Estimate":
        """The estimate in another unit, such as a count instead of a share."""
        bounds = (self.stderr, self.low, self.high)
        return Estimate(self.value * factor, *(None if number is None else number * factor for number in bounds))


def proportion(successes: int, n: int) -> Estimate:
    """The share of successes with the standard error of the mean and Wilson's (1927) 95% interval.

    Raises:
        ValueError: ``n`` is not positive, or ``successes`` is not in [0, n].
    """
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"{successes} successes in {n} trials")
    from scipy.stats import binomtest

    interval = binomtest(successes, n).proportion_ci(CONFIDENCE, method="wilson")
    share = successes / n
    stderr = float(np.sqrt(share * (1 - share) / (n - 1))) if n > 1 else None
    return Estimate(share, stderr, float(interval.low), float(interval.high))


def clustered_stderr(values: Sequence[float], clusters: Sequence[str]) -> float | None:
    """The cluster-robust standard error of a mean (Liang and Zeger 1986; Miller 2024, "Adding Error Bars to Evals").

    With G clusters: the root of the sum of squared within-cluster sums of deviations, times G / (G - 1), over n. None
    for fewer than two clusters, or if all clusters are alike.
    """
    numbers: dict[str, int] = {}
    cluster_of_value = [numbers.setdefault(cluster, len(numbers)) for cluster in clusters]
    if len(numbers) < 2:
        return None
    sums = np.bincount(cluster_of_value, weights=np.asarray(values, dtype=np.float64) - np.mean(values))
    if np.abs(sums).max() < _ROUNDING:
        return None
    return float(np.sqrt(sums @ sums * len(sums) / (len(sums) - 1)) / len(values))


def ratio(numerator: NDArray[Any], denominator: NDArray[Any]) -> Floats:
    """The quotients, which are 0 where the denominator is 0."""
    quotients: Floats = np.divide(numerator, denominator, out=np.zeros(denominator.shape), where=denominator > 0)
    return quotients


def mean(values: Sequence[float]) -> Estimate:
    """The mean with its standard error and a seeded percentile-bootstrap 95% interval.

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("the mean of no values")
    distinct, counts = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
    [estimate] = bootstrap(counts, lambda resampled: resampled @ distinct[:, None] / len(values))
    if estimate.stderr is None:
        return estimate
    return replace(estimate, stderr=float(np.std(values, ddof=1) / np.sqrt(len(values))))


def bootstrap(counts: Counts, statistics: Callable[[Counts], Floats]) -> list[Estimate]:
    """The estimates of statistics of records. A cell is a group of records with equal values.

    Standard errors and percentile intervals come from ``RESAMPLES`` bootstrap samples with a fixed seed. Drawing n
    records with replacement and counting them by cell is one multinomial draw, so the cost depends on the number of
    cells, not of records.

    Args:
        counts: records per cell, shape (cells,).
        statistics: maps counts of shape (samples, cells) to values of shape (samples, statistics).
    """
    n, generator = int(counts.sum()), np.random.default_rng(_SEED)
    block = max(1, _BLOCK // len(counts))  # resamples
    resamples = np.concatenate(
        [
            statistics(generator.multinomial(n, counts / n, size=min(block, RESAMPLES - start)))
            for start in range(0, RESAMPLES, block)
        ]
    )
    values = statistics(counts[None])[0].tolist()
    return [_estimate(value, column) for value, column in zip(values, resamples.T, strict=True)]


def _estimate(value: float, resamples: Floats) -> Estimate:
    """A value with standard error and percentile interval of its resamples, shape (RESAMPLES,).

    An interval of width 0 is left out.
    """
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resamples, [tail, 1 - tail])
    stderr = float(np.std(resamples, ddof=1))
    if high - low < _ROUNDING:
        return Estimate(value, stderr if stderr > _ROUNDING else None)
    return Estimate(value, stderr, float(low), float(high))
