from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest, bootstrap
from sklearn.metrics import brier_score_loss

from corpus.records import LABELS
from eval.stats.calibration import BINS, best_threshold, calibration_metrics, confidence, fit_temperature, reliability
from eval.stats.estimate import Estimate


def _sample(scores: dict[str, float], target: str) -> dict[str, Any]:
    prediction = max(scores, key=scores.__getitem__) if scores else None
    return {"label_scores": scores, "prediction": prediction, "target": target}


def _samples(n: int, *, sharpness: float, seed: int = 0) -> list[dict[str, Any]]:
    """Samples with random scores. A target is drawn from the softmax of its logits times ``sharpness``.

    With a sharpness of 1, the scores are calibrated.
    """
    generator = np.random.default_rng(seed)
    logits = generator.normal(scale=2, size=(n, len(LABELS)))
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = np.exp(sharpness * logits) / np.exp(sharpness * logits).sum(axis=1, keepdims=True)
    targets = [generator.choice(LABELS, p=row) for row in truth]
    return [
        _sample(dict(zip(LABELS, row, strict=True)), target)
        for row, target in zip(scores.tolist(), targets, strict=True)
    ]


def _reference_ece(confidence: Any, right: Any) -> float:
    """ECE by its definition: over half-open bins, the share of samples times the distance of the two means."""
    total = 0.0
    for index in range(BINS):
        inside = (confidence > index / BINS) & (confidence <= (index + 1) / BINS)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return float(total)


def test_metrics_and_bins_of_three_samples() -> None:
    samples = [
        _sample({"yes": 0.8, "no": 0.2, "maybe": 0.0}, "yes"),
        _sample({"yes": 0.8, "no": 0.1, "maybe": 0.1}, "no"),
        _sample({"yes": 0.1, "no": 0.5, "maybe": 0.4}, "no"),
    ]
    estimates = calibration_metrics(samples)
    assert estimates["ece"].value == pytest.approx((2 * abs(0.5 - 0.8) + 0.5) / 3)
    assert estimates["brier"].value == pytest.approx((0.08 + (0.64 + 0.81 + 0.01) + (0.01 + 0.25 + 0.16)) / 3)
    lower, upper = reliability(samples)
    assert (lower.low, lower.high, lower.n, lower.confidence) == pytest.approx((7 / 15, 8 / 15, 1, 0.5))
    assert (upper.low, upper.high, upper.n, upper.confidence) == pytest.approx((11 / 15, 12 / 15, 2, 0.8))
    expected = binomtest(1, 2).proportion_ci(method="wilson")
    assert upper.accuracy.value == 0.5
    assert (upper.accuracy.low, upper.accuracy.high) == pytest.approx((expected.low, expected.high))


def test_a_probability_on_a_bin_edge_belongs_to_the_lower_bin() -> None:
    (only,) = reliability([_sample({"yes": 0.6, "no": 0.4}, "yes")])
    assert (only.low, only.high) == pytest.approx((8 / 15, 9 / 15))
    assert [(each.low, each.high) for each in reliability([_sample({"yes": 1.0}, "yes")], bins=10)] == [(0.9, 1.0)]
    assert [each.low for each in reliability([_sample({"yes": 0.0}, "yes")], bins=10)] == [0.0]


def test_confidence_is_the_probability_of_the_predicted_label() -> None:
    below_threshold = {**_sample({"supported": 0.6, "not enough evidence": 0.4}, "supported")}
    below_threshold["prediction"] = "not enough evidence"
    assert confidence(below_threshold) == 0.4
    assert confidence({**below_threshold, "prediction": None}) == 0
    assert calibration_metrics([below_threshold])["ece"].value == pytest.approx(0.4)
    assert [each.confidence for each in reliability([below_threshold])] == [0.4]


def test_metrics_agree_with_the_definition_and_with_scikit_learn() -> None:
    samples = _samples(500, sharpness=0.5)
    scores = np.array([[sample["label_scores"][label] for label in LABELS] for sample in samples])
    targets = [sample["target"] for sample in samples]
    right = np.array([sample["prediction"] == sample["target"] for sample in samples])
    estimates = calibration_metrics(samples)
    assert estimates["ece"].value == pytest.approx(_reference_ece(scores.max(axis=1), right))
    order = np.argsort(LABELS)  # scikit-learn expects sorted labels
    expected = brier_score_loss(targets, scores[:, order], labels=np.array(LABELS)[order], scale_by_half=False)
    assert estimates["brier"].value == pytest.approx(expected)


def test_ece_interval_agrees_with_the_basic_bootstrap_of_scipy() -> None:
    samples = _samples(400, sharpness=0.4)
    confidence = np.array([max(sample["label_scores"].values()) for sample in samples])
    right = np.array([sample["prediction"] == sample["target"] for sample in samples], dtype=float)
    reference = bootstrap(
        (confidence, right),
        _reference_ece,
        paired=True,
        vectorized=False,
        n_resamples=1_000,
        method="basic",
        rng=np.random.default_rng(1),
    )
    estimate = calibration_metrics(samples)["ece"]
    assert estimate.stderr == pytest.approx(reference.standard_error, rel=0.1)
    interval = reference.confidence_interval
    assert (estimate.low, estimate.high) == pytest.approx((interval.low, interval.high), abs=0.008)


def test_ece_interval_starts_near_0_only_for_a_calibrated_model() -> None:
    calibrated = [calibration_metrics(_samples(500, sharpness=1.0, seed=seed))["ece"] for seed in range(10)]
    overconfident = [calibration_metrics(_samples(500, sharpness=0.4, seed=seed))["ece"] for seed in range(10)]
    assert all(estimate.low is not None and 0 <= estimate.low < 0.02 for estimate in calibrated)
    assert all(estimate.low is not None and estimate.low > 0.1 for estimate in overconfident)
    assert min(estimate.value for estimate in calibrated) > 0.01  # the bias of ECE


def test_samples_without_scores_have_no_calibration() -> None:
    scored, unscored = _sample({"yes": 0.9, "no": 0.1}, "yes"), _sample({}, "yes")
    partly_scored = [{**scored, "label_scores": {"yes": score, "no": 0.1}} for score in (None, float("nan"))]
    for samples in ([], [unscored], [scored, unscored], *([scored, sample] for sample in partly_scored)):
        assert calibration_metrics(samples) == {}
        assert reliability(samples) == []


def test_one_sample_has_no_interval() -> None:
    estimates = calibration_metrics([_sample({"yes": 0.75, "no": 0.25}, "yes")])
    assert estimates == {"ece": Estimate(0.25), "brier": Estimate(0.125)}


def test_brier_of_a_target_that_is_not_a_candidate_is_2() -> None:
    assert calibration_metrics([_sample({"yes": 1.0, "no": 0.0}, "maybe")])["brier"] == Estimate(2.0)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.0])
def test_temperature_interval_contains_the_inverse_sharpness(sharpness: float) -> None:
    temperature = fit_temperature(_samples(3000, sharpness=sharpness))
    assert temperature is not None
    assert temperature.low is not None
    assert temperature.high is not None
    assert temperature.low < 1 / sharpness < temperature.high
    assert temperature.value == pytest.approx(1 / sharpness, rel=0.1)


def test_temperature_needs_scores_of_the_target_and_is_at_most_10() -> None:
    scores = {"yes": 0.9, "no": 0.1}
    assert fit_temperature([_sample({}, "yes")]) is None
    assert fit_temperature([_sample(scores, "maybe")]) is None
    assert fit_temperature([_sample({"yes": 1.0, "no": 0.0}, "no")]) == Estimate(pytest.approx(10))


def test_best_threshold_separates_neutral_targets_by_confidence() -> None:
    def sample(entailment: float, target: str) -> dict[str, Any]:
        rest = (1 - entailment) / 2
        return _sample({"entailment": entailment, "neutral": rest, "contradiction": rest}, target)

    samples = [sample(0.9, "entailment"), sample(0.8, "entailment"), sample(0.62, "neutral"), sample(0.45, "neutral")]
    threshold, accuracy = best_threshold(samples, 1)
    assert (threshold, accuracy.value) == (0.65, 1.0)
    threshold, accuracy = best_threshold(samples, 0.5)  # raises the third probability to 0.84, the fourth to 0.57
    assert (threshold, accuracy.value) == (0.85, 1.0)
