from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest, bootstrap
from sklearn.metrics import brier_score_loss

from corpus.records import LABELS
from eval.stats.calibration import BINS, best_threshold, calibration_metrics, fit_temperature, reliability
from eval.stats.estimate import Estimate


def _sample(scores: dict[str, float], target: str) -> dict[str, Any]:
    prediction = max(scores, key=scores.__getitem__) if scores else None
    return {"label_scores": scores, "prediction": prediction, "target": target}


def _samples(n: int, *, sharpness: float, seed: int = 0) -> list[dict[str, Any]]:
    """Targets drawn from probabilities whose logits are ``sharpness`` times those of the scores: 1 is calibrated."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(scale=2, size=(n, len(LABELS)))
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = np.exp(sharpness * logits) / np.exp(sharpness * logits).sum(axis=1, keepdims=True)
    targets = [generator.choice(LABELS, p=row) for row in truth]
    return [
        _sample(dict(zip(LABELS, row, strict=True)), target)
        for row, target in zip(scores.tolist(), targets, strict=True)
    ]


def _plain_error(confidence: Any, right: Any) -> float:
    """The definition written out: over half-open bins, the share of samples times the distance of the two means."""
    total = 0.0
    for place in range(BINS):
        inside = (confidence > place / BINS) & (confidence <= (place + 1) / BINS)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return float(total)


def test_figures_by_hand() -> None:
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


def test_a_probability_on_an_edge_belongs_below_it() -> None:
    (only,) = reliability([_sample({"yes": 0.6, "no": 0.4}, "yes")])
    assert (only.low, only.high) == pytest.approx((8 / 15, 9 / 15))
    assert [(part.low, part.high) for part in reliability([_sample({"yes": 1.0}, "yes")], bins=10)] == [(0.9, 1.0)]
    assert [part.low for part in reliability([_sample({"yes": 0.0}, "yes")], bins=10)] == [0.0]


def test_the_figures_agree_with_their_definitions_over_many_samples() -> None:
    samples = _samples(500, sharpness=0.5)
    scores = np.array([[sample["label_scores"][label] for label in LABELS] for sample in samples])
    targets = [sample["target"] for sample in samples]
    right = np.array([sample["prediction"] == sample["target"] for sample in samples])
    estimates = calibration_metrics(samples)
    assert estimates["ece"].value == pytest.approx(_plain_error(scores.max(axis=1), right))
    order = np.argsort(LABELS)  # scikit-learn wants the labels sorted
    expected = brier_score_loss(targets, scores[:, order], labels=np.array(LABELS)[order], scale_by_half=False)
    assert estimates["brier"].value == pytest.approx(expected)


def test_the_interval_agrees_with_scipys_basic_bootstrap() -> None:
    samples = _samples(400, sharpness=0.4)
    confidence = np.array([max(sample["label_scores"].values()) for sample in samples])
    right = np.array([sample["prediction"] == sample["target"] for sample in samples], dtype=float)
    reference = bootstrap(
        (confidence, right),
        _plain_error,
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


def test_an_interval_tells_a_calibrated_model_from_one_that_is_too_sure() -> None:
    calibrated = [calibration_metrics(_samples(500, sharpness=1.0, seed=seed))["ece"] for seed in range(10)]
    too_sure = [calibration_metrics(_samples(500, sharpness=0.4, seed=seed))["ece"] for seed in range(10)]
    assert all(estimate.low is not None and 0 <= estimate.low < 0.02 for estimate in calibrated)
    assert all(estimate.low is not None and estimate.low > 0.1 for estimate in too_sure)
    assert min(estimate.value for estimate in calibrated) > 0.01  # chance alone


def test_samples_without_scores_have_no_calibration() -> None:
    scored, unscored = _sample({"yes": 0.9, "no": 0.1}, "yes"), _sample({}, "yes")
    broken = {**scored, "label_scores": {"yes": None, "no": 0.1}}
    for samples in ([], [unscored], [scored, unscored], [scored, broken]):
        assert calibration_metrics(samples) == {}
        assert reliability(samples) == []


def test_one_sample_has_no_interval() -> None:
    estimates = calibration_metrics([_sample({"yes": 0.75, "no": 0.25}, "yes")])
    assert estimates == {"ece": Estimate(0.25), "brier": Estimate(0.125)}


def test_a_target_that_is_no_candidate_is_missed_altogether() -> None:
    assert calibration_metrics([_sample({"yes": 1.0, "no": 0.0}, "maybe")])["brier"] == Estimate(2.0)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.0])
def test_the_temperature_is_what_the_logits_were_multiplied_by(sharpness: float) -> None:
    found = fit_temperature(_samples(3000, sharpness=sharpness))
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low < 1 / sharpness < found.high
    assert found.value == pytest.approx(1 / sharpness, rel=0.1)


def test_no_temperature_without_probabilities() -> None:
    scores = {"yes": 0.9, "no": 0.1}
    assert fit_temperature([_sample({}, "yes")]) is None
    assert fit_temperature([_sample(scores, "maybe")]) is None
    assert fit_temperature([_sample({"yes": 1.0, "no": 0.0}, "no")]) == Estimate(pytest.approx(10))


def test_the_best_threshold_makes_doubtful_labels_neutral() -> None:
    def sample(entailment: float, target: str) -> dict[str, Any]:
        rest = (1 - entailment) / 2
        return _sample({"entailment": entailment, "neutral": rest, "contradiction": rest}, target)

    samples = [sample(0.9, "entailment"), sample(0.8, "entailment"), sample(0.62, "neutral"), sample(0.45, "neutral")]
    threshold, accuracy = best_threshold(samples, 1)
    assert (threshold, accuracy.value) == (0.65, 1.0)
    threshold, accuracy = best_threshold(samples, 0.5)  # more sure: the third has 0.84, the fourth 0.57
    assert (threshold, accuracy.value) == (0.85, 1.0)
