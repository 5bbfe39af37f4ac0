"""Calibration of the labels' probabilities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.stats.estimate import Counts, Estimate, Floats, bootstrap, mean, proportion

BINS = 15  # as in Guo et al. 2017
TEMPERATURES = np.geomspace(0.1, 10, 386)  # candidates in steps of 1.2 %
THRESHOLDS = tuple(percent / 100 for percent in range(35, 100, 5))  # candidates


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The ``n`` answers with ``low`` < confidence <= ``high``; the first bin also holds confidence 0.

    ``confidence`` is the mean confidence, ``accuracy`` the share of right answers with Wilson's interval.
    """

    low: float
    high: float
    n: int
    confidence: float
    accuracy: Estimate


def reliability(samples: Sequence[Mapping[str, Any]], bins: int = BINS) -> list[ReliabilityBin]:
    """The reliability diagram: bins of equal width over ``confidence``; empty bins are left out.

    Args:
        samples: with ``label_scores`` (probabilities that sum to 1), ``prediction`` and ``target``. If a sample has no
            scores, there are no bins.
        bins: the number of bins, empty ones included.
    """
    if not all_scored(samples):
        return []
    confidences, right = _confidences(samples), _right(samples)
    bin_of_sample = _bin_indices(confidences, bins)
    return [
        ReliabilityBin(
            low=index / bins,
            high=(index + 1) / bins,
            n=int(inside.sum()),
            confidence=float(confidences[inside].mean()),
            accuracy=proportion(int(right[inside].sum()), int(inside.sum())),
        )
        for index in range(bins)
        if (inside := bin_of_sample == index).any()
    ]


def calibration_metrics(samples: Sequence[Mapping[str, Any]]) -> dict[str, Estimate]:
    """``ece`` and ``brier`` with bootstrap intervals; empty if a sample has no label scores.

    - ``ece``: expected calibration error (Guo et al. 2017), the mean distance between accuracy and confidence over the
      bins of ``reliability``, weighted by size. ECE is biased upward, and resampling adds the same bias again. The
      interval is therefore that of the basic bootstrap: the percentiles mirrored at the value, cut off at 0. The
      interval can lie below the value.
    - ``brier``: the squared distance of the probabilities from the one-hot target, summed over labels and averaged over
      samples (Brier 1950); 0 is best, 2 worst.
    """
    if not all_scored(samples):
        return {}
    ece = _expected_calibration_error(_confidences(samples), _right(samples))
    return {"ece": ece, "brier": mean([_brier_score(sample) for sample in samples])}


def fit_temperature(samples: Sequence[Mapping[str, Any]]) -> Estimate | None:
    """The temperature with the lowest negative log-likelihood (Guo et al. 2017), with a bootstrap interval.

    The candidates are ``TEMPERATURES``. None if a sample has no label scores or a target that is none of its labels.
    """
    if not all_scored(samples) or any(sample["target"] not in sample["label_scores"] for sample in samples):
        return None
    logits, labels = _logits(samples)
    rows, targets = np.arange(len(samples)), [labels.index(sample["target"]) for sample in samples]
    losses = np.stack(
        [
            np.logaddexp.reduce(logits / temperature, axis=1) - logits[rows, targets] / temperature
            for temperature in TEMPERATURES
        ],
        axis=1,
    )
    one_per_sample = np.ones(len(samples), dtype=np.int64)
    [temperature] = bootstrap(one_per_sample, lambda counts: TEMPERATURES[(counts @ losses).argmin(axis=1)][:, None])
    return temperature


def best_threshold(samples: Sequence[Mapping[str, Any]], temperature: float) -> tuple[float, Estimate]:
    """The threshold in ``THRESHOLDS`` with the best accuracy, the lowest if several are best, and the accuracy.

    If the probability of an answer's label at this temperature is below the threshold, the answer becomes "neutral".
    ``samples`` are as for ``fit_temperature``.
    """
    logits = _logits(samples)[0] / temperature
    confidences = np.exp(logits.max(axis=1) - np.logaddexp.reduce(logits, axis=1))
    is_neutral = np.array([sample["target"] == "neutral" for sample in samples])
    right = _right(samples)
    n_right = [int(np.where(confidences >= threshold, right, is_neutral).sum()) for threshold in THRESHOLDS]
    most = max(n_right)
    return THRESHOLDS[n_right.index(most)], proportion(most, len(samples))


def confidence(sample: Mapping[str, Any]) -> float:
    """The probability of the predicted label; 0 without a label.

    The predicted label need not be the most probable: a verdict whose probability is below ``check.threshold`` is
    replaced by "not enough evidence".
    """
    return float(sample["label_scores"].get(sample["prediction"], 0.0))


def _logits(samples: Sequence[Mapping[str, Any]]) -> tuple[Floats, list[str]]:
    """Log-probabilities, shape (samples, labels), and the labels."""
    labels = list(samples[0]["label_scores"])
    scores = np.array([[sample["label_scores"][label] for label in labels] for sample in samples], dtype=np.float64)
    return np.log(np.maximum(scores, np.finfo(float).tiny)), labels


def all_scored(samples: Sequence[Mapping[str, Any]]) -> bool:
    """Whether every sample has label scores and all are finite; results files store NaN as null."""
    score_maps = [sample.get("label_scores") for sample in samples]
    return bool(samples) and all(
        scores and all(score is not None and isfinite(score) for score in scores.values()) for scores in score_maps
    )


def _confidences(samples: Sequence[Mapping[str, Any]]) -> Floats:
    return np.array([confidence(sample) for sample in samples], dtype=np.float64)


def _right(samples: Sequence[Mapping[str, Any]]) -> NDArray[np.bool_]:
    return np.array([sample["prediction"] == sample["target"] for sample in samples], dtype=np.bool_)


def _bin_indices(confidences: Floats, bins: int) -> NDArray[np.int64]:
    """The bin of each probability, from 0; a probability on an edge belongs to the lower bin."""
    return np.searchsorted(np.arange(1, bins) / bins, confidences, side="left").astype(np.int64)


def _expected_calibration_error(confidences: Floats, right: NDArray[np.bool_]) -> Estimate:
    # A row per sample, with the gap between accuracy and confidence in the column of the sample's bin. Equal rows are
    # merged and counted, since the time of ``bootstrap`` grows with the number of distinct rows.
    gaps = np.zeros((len(right), BINS))
    gaps[np.arange(len(right)), _bin_indices(confidences, BINS)] = right - confidences
    rows, counts = np.unique(gaps, axis=0, return_counts=True)

    def errors(resampled: Counts) -> Floats:
        return np.asarray(np.abs(resampled @ rows).sum(axis=1, keepdims=True) / len(right))

    [estimate] = bootstrap(counts, errors)
    if estimate.low is None or estimate.high is None:
        return estimate
    twice = 2 * estimate.value
    return replace(estimate, low=max(0.0, twice - estimate.high), high=max(0.0, twice - estimate.low))


def _brier_score(sample: Mapping[str, Any]) -> float:
    """The squared distance of a sample's probabilities from the one-hot target.

    A target that is not a candidate label adds 1.
    """
    scores: Mapping[str, float] = {sample["target"]: 0.0, **sample["label_scores"]}
    return float(sum((score - (label == sample["target"])) ** 2 for label, score in scores.items()))
