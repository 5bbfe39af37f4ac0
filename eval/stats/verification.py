"""Metrics of verdicts on answers."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np

from chains.answer import Verdict
from eval.stats.calibration import all_scored, confidence
from eval.stats.estimate import Counts, Estimate, Floats, bootstrap, proportion
from eval.stats.metrics import unparsed
from eval.stats.selective import RiskPoint, risk_metrics, risk_points

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
SHARE_METRICS: Mapping[str, str] = {verdict: f"share_{verdict.replace(' ', '_')}" for verdict in VERDICTS}


def verdict_metrics(samples: Sequence[Mapping[str, Any]]) -> dict[str, Estimate]:
    """``share_supported, share_contradicted, share_not_enough_evidence`` and the number of ``unverified`` answers."""
    verdicts = [sample["verdict"] for sample in samples]
    shares = {name: proportion(verdicts.count(verdict), len(verdicts)) for verdict, name in SHARE_METRICS.items()}
    return {**shares, "unverified": unparsed(verdicts)}


def verification_metrics(samples: Sequence[Mapping[str, Any]]) -> dict[str, Estimate]:
    """Accuracy of the supported answers, and how well support ranks right answers above wrong ones.

    - ``accuracy_supported``, the accuracy of the supported answers; absent if no answer is supported.
    - ``accuracy_gain``, ``accuracy_supported`` minus the accuracy of all answers, bootstrapped over the records; absent
      if no answer is supported. In a resample without a supported answer, the gain is 0.
    - ``aurc`` and ``risk@C`` of answers ranked by ``support``.
    - ``aurc_confidence``, the baseline: answers ranked by the probability of their label; absent if labels have none.

    Args:
        samples: with ``prediction, target, label_scores, verdict, verdict_scores``.

    Raises:
        ValueError: no samples.
    """
    right = [sample["prediction"] == sample["target"] for sample in samples]
    supported = [sample["verdict"] == "supported" for sample in samples]
    estimates: dict[str, Estimate] = {}
    if any(supported):
        n_right = sum(is_right for is_right, is_supported in zip(right, supported, strict=True) if is_supported)
        estimates["accuracy_supported"] = proportion(n_right, sum(supported))
        estimates["accuracy_gain"] = _gain(right, supported)
    estimates |= risk_metrics([support(sample) for sample in samples], right)
    if all_scored(samples):
        estimates["aurc_confidence"] = risk_metrics([confidence(sample) for sample in samples], right)["aurc"]
    return estimates


RANKED_BY = {"aurc": "the verdict's support", "aurc_confidence": "the answer's own confidence"}
"""By metric that is an area under a risk-coverage curve, a description of the score that ranks the answers."""


def risk_curves(samples: Sequence[Mapping[str, Any]]) -> dict[str, list[RiskPoint]]:
    """The risk-coverage curves of verified answers, by the metric that is the area under the curve."""
    right = [sample["prediction"] == sample["target"] for sample in samples]
    scores = {"aurc": support} | ({"aurc_confidence": confidence} if all_scored(samples) else {})
    return {name: risk_points([score(sample) for sample in samples], right) for name, score in scores.items()}


def support(sample: Mapping[str, Any]) -> float:
    """The probability of ``supported``. It is 1 or 0 for a verdict without probabilities, -1 without a verdict."""
    if sample["verdict"] is None:
        return -1.0
    scores = sample["verdict_scores"]
    return float(scores["supported"] if scores else sample["verdict"] == "supported")


def _gain(right: Sequence[bool], supported: Sequence[bool]) -> Estimate:
    counts = np.zeros((2, 2), dtype=np.int64)  # rows: not supported, supported; columns: wrong, right
    np.add.at(counts, (np.asarray(supported, dtype=np.int64), np.asarray(right, dtype=np.int64)), 1)

    def gains(resampled: Counts) -> Floats:
        tables = resampled.reshape(-1, 2, 2)
        accuracy = tables[:, :, 1].sum(axis=1) / tables.sum(axis=(1, 2))
        n_supported = tables[:, 1].sum(axis=1)
        of_supported = np.divide(tables[:, 1, 1], n_supported, out=accuracy.copy(), where=n_supported > 0)
        return np.asarray((of_supported - accuracy)[:, None])

    [gain] = bootstrap(counts.ravel(), gains)
    return gain
