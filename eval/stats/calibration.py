"""Calibration of the labels' probabilities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.stats.estimate import Counts, Estimate, Floats, from_resamples, mean, proportion, resampled

BINS = 15


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The answers with a probability above ``low`` and at most ``high``; the lowest bin includes 0.

    ``confidence`` is the mean of their probabilities, ``accuracy`` the share that is right, with Wilson's interval.
    """

    low: float
    high: float
    n: int
    confidence: float
    accuracy: Estimate


def reliability(samples: Sequence[Mapping[str, Any]], bins: int = BINS) -> list[ReliabilityBin]:
    """The reliability diagram: ``bins`` bins of equal width over the top label's probability, without empty ones.

    Args:
        samples: with ``label_scores`` (probabilities that sum to 1), ``prediction`` and ``target``. Without scores, as
            where labels are read from generated text, there are no bins.
        bins: how many.
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
    """``ece`` and ``brier``, from a bootstrap over the samples; empty where one of them has no label scores.

    - ``ece``: expected calibration error (Guo et al. 2017), the mean distance between accuracy and confidence in the
      bins of ``reliability``, weighted by their samples. Chance moves a bin's accuracy off its confidence, so the error
      is above 0 for a calibrated model too, and a resample's lies above the samples' own by about as much as that lies
      above the truth. The interval is therefore the basic one, the percentiles mirrored at the figure and cut off at
      0; the percentile interval misses the truth of well calibrated models nearly always. It can lie below the figure,
      which then is all chance.
    - ``brier``: the squared distance between the probabilities and the target as 1 among 0s, summed over the labels
      and averaged over the samples (Brier 1950): 0 is best, 2 worst.

    Args:
        samples: as ``reliability`` takes them.
    """
    if not _scored(samples):
        return {}
    return {"ece": _expected_error(_confidence(samples), _right(samples)), "brier": mean(list(map(_squared, samples)))}


def _scored(samples: Sequence[Mapping[str, Any]]) -> bool:
    """Whether every sample has label scores, all of them numbers (one that is not finite is written as null)."""
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
