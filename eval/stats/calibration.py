"""Calibration of the labels' probabilities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.stats.estimate import Counts, Estimate, Floats, from_resamples, mean, proportion, resampled

BINS = 15
TEMPERATURES = np.geomspace(0.1, 10, 386)
THRESHOLDS = tuple(twentieths / 20 for twentieths in range(7, 20))  # 0.35 to 0.95


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The answers with a probability above ``low`` (or 0) and at most ``high``.

    ``confidence`` is their mean probability, ``accuracy`` the share of right ones with Wilson's interval.
    """

    low: float
    high: float
    n: int
    confidence: float
    accuracy: Estimate


def reliability(samples: Sequence[Mapping[str, Any]], bins: int = BINS) -> list[ReliabilityBin]:
    """The reliability diagram: bins of equal width over the top label's probability; empty bins are left out.

    Args:
        samples: with ``label_scores`` (probabilities that sum to 1), ``prediction`` and ``target``. Without scores
            there are no bins.
        bins: their number.
    """
    if not _scored(samples):
        return []
    confidence, right = _confidence(samples), _right(samples)
    places = _places(confidence, bins)
    return [
        ReliabilityBin(
            low=place / bins,
            high=(place + 1) / bins,
            n=int(inside.sum()),
            confidence=float(confidence[inside].mean()),
            accuracy=proportion(int(right[inside].sum()), int(inside.sum())),
        )
        for place in range(bins)
        if (inside := places == place).any()
    ]


def calibration_metrics(samples: Sequence[Mapping[str, Any]]) -> dict[str, Estimate]:
    """``ece`` and ``brier`` with bootstrap intervals; empty if a sample has no label scores.

    - ``ece``: expected calibration error (Guo et al. 2017), the mean distance of accuracy and confidence over the bins
      of ``reliability``, weighted by size. It is biased upward, and resampling adds the same bias again. The interval
      is therefore the basic bootstrap's: the percentiles mirrored at the value, cut off at 0. It can lie below the
      value.
    - ``brier``: the squared distance of the probabilities from the one-hot target, summed over labels and averaged over
      samples (Brier 1950); 0 is best, 2 worst.
    """
    if not _scored(samples):
        return {}
    return {"ece": _expected_error(_confidence(samples), _right(samples)), "brier": mean(list(map(_squared, samples)))}


def fit_temperature(samples: Sequence[Mapping[str, Any]]) -> Estimate | None:
    """The temperature of the least negative log-likelihood (Guo et al. 2017), with a bootstrap interval.

    Searched from 0.1 to 10, each 1.2 % more than the one before. None if a sample has no label scores, or has a target
    that is none of its labels.
    """
    if not _scored(samples) or any(sample["target"] not in sample["label_scores"] for sample in samples):
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
    best = float(TEMPERATURES[losses.sum(axis=0).argmin()])
    if len(samples) == 1:
        return Estimate(best)
    ones = np.ones(len(samples), dtype=np.int64)
    return from_resamples(best, resampled(ones, lambda drawn: TEMPERATURES[(drawn.astype(float) @ losses).argmin(1)]))


def best_threshold(samples: Sequence[Mapping[str, Any]], temperature: float) -> tuple[float, Estimate]:
    """The threshold in ``THRESHOLDS`` with the best accuracy, and that accuracy; the lowest of equals.

    A label other than "neutral" counts only with a probability, at this temperature, of at least the threshold;
    otherwise the answer is "neutral". Samples are those of ``fit_temperature``.
    """
    logits = _logits(samples)[0] / temperature
    confidence = np.exp(logits.max(axis=1) - np.logaddexp.reduce(logits, axis=1))
    is_neutral = np.array([sample["target"] == "neutral" for sample in samples])
    right = [int(np.where(confidence >= one, _right(samples), is_neutral).sum()) for one in THRESHOLDS]
    best = max(right)
    return THRESHOLDS[right.index(best)], proportion(best, len(samples))


def _logits(samples: Sequence[Mapping[str, Any]]) -> tuple[Floats, list[str]]:
    """Log-probabilities, shape (samples, labels), and the labels."""
    labels = list(samples[0]["label_scores"])
    scores = np.array([[sample["label_scores"][label] for label in labels] for sample in samples], dtype=np.float64)
    return np.log(np.maximum(scores, np.finfo(float).tiny)), labels


def _scored(samples: Sequence[Mapping[str, Any]]) -> bool:
    """Whether every sample has label scores, all of them numbers."""
    return bool(samples) and all(
        sample["label_scores"] and None not in sample["label_scores"].values() for sample in samples
    )


def _confidence(samples: Sequence[Mapping[str, Any]]) -> Floats:
    return np.array([max(sample["label_scores"].values()) for sample in samples], dtype=np.float64)


def _right(samples: Sequence[Mapping[str, Any]]) -> NDArray[np.bool_]:
    return np.array([sample["prediction"] == sample["target"] for sample in samples], dtype=np.bool_)


def _places(confidence: Floats, bins: int) -> NDArray[np.int64]:
    """The bin of each probability, from 0; a probability on an edge belongs to the lower bin."""
    return np.searchsorted(np.arange(1, bins) / bins, confidence, side="left").astype(np.int64)


def _expected_error(confidence: Floats, right: NDArray[np.bool_]) -> Estimate:
    gaps = np.zeros((len(right), BINS))
    gaps[np.arange(len(right)), _places(confidence, BINS)] = right - confidence
    cells, counts = np.unique(gaps, axis=0, return_counts=True)

    def figures(drawn: Counts) -> Floats:
        return np.asarray(np.abs(drawn @ cells).sum(axis=1) / len(right))

    value = float(figures(counts[None])[0])
    if len(right) == 1:
        return Estimate(value)
    drawn = from_resamples(value, resampled(counts, figures))
    if drawn.low is None or drawn.high is None:
        return drawn
    return replace(drawn, low=max(0.0, 2 * value - drawn.high), high=max(0.0, 2 * value - drawn.low))


def _squared(sample: Mapping[str, Any]) -> float:
    """The squared distance; a target that is not a candidate adds 1."""
    scores: Mapping[str, float] = {sample["target"]: 0.0, **sample["label_scores"]}
    return float(sum((score - (label == sample["target"])) ** 2 for label, score in scores.items()))
