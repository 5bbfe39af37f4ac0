"""A measured figure with its uncertainty: standard error and 95% interval."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 1_000
_SEED = 20_240_501
_ONE = 1e-12  # figures this near each other differ by rounding alone

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its standard error and 95% interval; None where these cannot be estimated.

    That is so of a single record, and of a bootstrap of records that are all alike, such as right answers alone: the
    resamples tell nothing new, and an interval without width would claim a certainty that nobody has.
    """

    value: float
    stderr: float | None = None
    low: float | None = None
    high: float | None = None

    def times(self, factor: float) -> "Estimate":
        """The same figure in another unit, such as a share turned into a count."""

        def scaled(part: float | None) -> float | None:
            return None if part is None else part * factor

        return Estimate(self.value * factor, scaled(self.stderr), scaled(self.low), scaled(self.high))


def proportion(successes: int, n: int) -> Estimate:
    """The share of successes with the standard error of the mean and Wilson's (1927) 95% interval.

    Raises:
        ValueError: ``n`` is not positive or ``successes`` lies outside [0, n].
    """
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"{successes} successes in {n} trials")
    from scipy.stats import binomtest

    interval = binomtest(successes, n).proportion_ci(CONFIDENCE, method="wilson")
    share = successes / n
    stderr = float(np.sqrt(share * (1 - share) / (n - 1))) if n > 1 else None
    return Estimate(share, stderr, float(interval.low), float(interval.high))


def clustered_stderr(values: Sequence[float], clusters: Sequence[str]) -> float | None:
    """The standard error of a mean over records that come in clusters, such as pairs that share a premise.

    The root of the sum over G clusters of (its values' summed distances from the mean) squared, times G / (G - 1), over
    n: Liang and Zeger (1986) for a mean, which Miller (2024), "Adding Error Bars to Evals", asks for. Clusters of one
    record each give the usual standard error. None of a single cluster, and of clusters that are all alike.
    """
    groups, place = np.unique(np.asarray(clusters), return_inverse=True)
    if len(groups) < 2:
        return None
    apart = np.asarray(values, dtype=np.float64)
    within = np.bincount(place, weights=apart - apart.mean())
    if np.abs(within).max() < _ONE:
        return None
    return float(np.sqrt(within @ within * len(groups) / (len(groups) - 1)) / len(apart))


def mean(values: Sequence[float]) -> Estimate:
    """The mean with its standard error and a seeded bootstrap percentile 95% interval.

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("the mean of no values")
    different, counts = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
    value = float(np.mean(values))
    if len(values) == 1:
        return Estimate(value)
    estimate = from_resamples(value, resampled(counts, lambda drawn: drawn @ different / len(values)))
    if estimate.stderr is None:
        return estimate
    return replace(estimate, stderr=float(np.std(values, ddof=1) / np.sqrt(len(values))))


def resampled(counts: Counts, statistic: Callable[[Counts], Floats]) -> Floats:
    """``statistic`` of ``RESAMPLES`` bootstrap samples of records that fall into cells.

    Drawing n records with replacement and counting them by cell is one multinomial draw of size n with the observed
    shares, so a whole resample costs as much as there are cells, however many records there are. The seed is fixed:
    the same counts give the same figures.

    Args:
        counts: how many records fall into each cell, shape (cells,).
        statistic: maps resampled counts of shape (RESAMPLES, cells) to figures of shape (RESAMPLES, ...).
    """
    n = int(counts.sum())
    return statistic(np.random.default_rng(_SEED).multinomial(n, counts / n, size=RESAMPLES))


def from_resamples(value: float, figures: Floats) -> Estimate:
    """An estimate from a figure and its bootstrap resamples, shape (RESAMPLES,).

    The interval is the percentile one; none where it would have no width.
    """
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(figures, [tail, 1 - tail])
    stderr = float(np.std(figures, ddof=1))
    if high - low < _ONE:
        return Estimate(value, stderr if stderr > _ONE else None)
    return Estimate(value, stderr, float(low), float(high))
