"""Selective prediction: the risk, or share of wrong answers, if only the most confident answers are given."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from eval.stats.estimate import Counts, Estimate, Floats, bootstrap, ratio

COVERAGES = (0.2, 0.4, 0.6, 0.8)


@dataclass(frozen=True, slots=True)
class RiskPoint:
    """The answers with a score of at least ``threshold``: their share of all answers, and the share of wrong ones."""

    coverage: float
    risk: float
    threshold: float


def risk_points(scores: Sequence[float], right: Sequence[bool]) -> list[RiskPoint]:
    """The risk-coverage curve (Geifman and El-Yaniv 2017), highest score first; equal scores share a point.

    Args:
        scores: the confidence of each answer.
        right: whether each answer is right.

    Raises:
        ValueError: no answers, or unequal lengths.
    """
    thresholds, cells = _cells(scores, right)
    coverage, risk = _curve(cells[None])
    return [RiskPoint(*map(float, point)) for point in zip(coverage[0], risk[0], thresholds, strict=True)]


def area_under(points: Sequence[RiskPoint]) -> float:
    """The area under a risk-coverage curve, which is ``aurc`` of ``risk_metrics``."""
    steps = pairwise([0.0, *(point.coverage for point in points)])
    return sum((end - start) * point.risk for (start, end), point in zip(steps, points, strict=True))


def risk_at(points: Sequence[RiskPoint], coverage: float) -> float:
    """The risk at the first point with at least this coverage."""
    return next(point.risk for point in points if point.coverage >= coverage)


def risk_metrics(scores: Sequence[float], right: Sequence[bool]) -> dict[str, Estimate]:
    """``aurc`` and ``risk@C`` for each of ``COVERAGES``, bootstrapped over the answers.

    ``aurc`` is the area under the risk-coverage curve (Geifman et al. 2019): the mean, over all answers, of the risk of
    the answers with at least the same score. For an uninformative score, it is the risk of all answers.

    Raises:
        ValueError: no answers, or unequal lengths.
    """
    cells = _cells(scores, right)[1]
    names = ["aurc", *(f"risk@{coverage}" for coverage in COVERAGES)]
    metrics = bootstrap(cells.ravel(), lambda resampled: _area_and_risks(resampled.reshape(-1, *cells.shape)))
    return dict(zip(names, metrics, strict=True))


def _cells(scores: Sequence[float], right: Sequence[bool]) -> tuple[Floats, Counts]:
    """The distinct scores, highest first, and their counts of right and wrong answers, shape (scores, 2)."""
    if not scores or len(scores) != len(right):
        raise ValueError(f"{len(scores)} scores of {len(right)} answers")
    ascending, score_index = np.unique(np.asarray(scores, dtype=np.float64), return_inverse=True)
    wrong: NDArray[np.int64] = np.logical_not(np.asarray(right, dtype=bool)).astype(np.int64)
    cells = np.zeros((len(ascending), 2), dtype=np.int64)
    np.add.at(cells, (score_index, wrong), 1)
    return ascending[::-1], cells[::-1]


def _curve(cells: Counts) -> tuple[Floats, Floats]:
    """Coverage and risk at each score, of shape (samples, scores), from counts of shape (samples, scores, 2)."""
    n_answers = cells.sum(axis=2).cumsum(axis=1)
    n_wrong = cells[:, :, 1].cumsum(axis=1)
    return n_answers / n_answers[:, -1:], ratio(n_wrong, n_answers)


def _area_and_risks(cells: Counts) -> Floats:
    """``aurc`` and the risks at ``COVERAGES``, from counts of shape (samples, scores, 2)."""
    coverage, risk = _curve(cells)
    answers = cells.sum(axis=2)
    area = (risk * answers).sum(axis=1) / answers.sum(axis=1)
    first_points = [np.argmax(coverage >= share, axis=1) for share in COVERAGES]  # the first with at least the share
    risks = [np.take_along_axis(risk, point[:, None], axis=1)[:, 0] for point in first_points]
    return np.stack([area, *risks], axis=1)
