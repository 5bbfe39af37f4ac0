import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from classifiers import LABELS, make_classifier

from chains.encoder.sequence import load_sequence_classifier
from finetune.encoder.data import Example
from finetune.encoder.trainer import evaluate_classifier, label_weights, weighted_loss


def examples(*labels: int) -> list[Example]:
    return [Example({"input_ids": [2, 5 + number, 3]}, label) for number, label in enumerate(labels)]


def test_label_weights_are_a_negative_power_of_the_shares_and_have_mean_1() -> None:
    imbalanced = examples(0, 0, 0, 0, 0, 0, 1, 1, 2)
    assert label_weights(imbalanced, 3, 0).tolist() == [1, 1, 1]
    assert label_weights(imbalanced, 3, 1).tolist() == pytest.approx([9 / 18, 9 / 6, 9 / 3])
    weights = label_weights(imbalanced, 3, 0.5)
    assert (weights[2] / weights[0]).item() == pytest.approx(math.sqrt(6))
    assert sum(weights[example.label].item() for example in imbalanced) == pytest.approx(9)


def test_a_label_without_examples_has_weight_0() -> None:
    weights = label_weights(examples(0, 2, 2), 3, 0.5)
    assert weights[1] == 0
    assert weights.isfinite().all()


def test_the_loss_has_label_weights_and_smoothing() -> None:
    logits, labels = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0])
    nats = -logits.log_softmax(-1)
    outputs = SimpleNamespace(logits=logits)
    unweighted = weighted_loss(outputs, labels, weights=torch.ones(2), smoothing=0.0)
    assert unweighted.item() == pytest.approx(nats[:, 0].mean().item())
    smoothed = weighted_loss(outputs, labels, weights=torch.ones(2), smoothing=0.2)
    assert smoothed.item() == pytest.approx((0.8 * nats[:, 0] + 0.2 * nats.mean(1)).mean().item())
    weighted = weighted_loss(outputs, torch.tensor([0, 1]), weights=torch.tensor([3.0, 1.0]), smoothing=0.0)
    assert weighted.item() == pytest.approx((3 * nats[0, 0] + nats[1, 1]).item() / 4)


def test_dev_figures_with_all_labels_right_and_all_wrong(tmp_path: Path) -> None:
    classifier = load_sequence_classifier(str(make_classifier(tmp_path)), "float32", "cpu", 4096)
    pairs = [("It did.", "yes"), ("Aspirin reduced it", "no"), ("Patients were", "maybe no")]
    encoded = classifier.texts.encode(pairs)
    probabilities = classifier.probabilities(encoded)
    predicted = [LABELS.index(max(scores, key=scores.__getitem__)) for scores in probabilities]
    right = evaluate_classifier(classifier, list(map(Example, encoded, predicted)))
    assert right["accuracy"] == 1
    assert right["macro_f1"] == pytest.approx(len(set(predicted)) / 3)
    nats = [-math.log(max(scores.values())) for scores in probabilities]
    assert right["loss"] == pytest.approx(sum(nats) / 3, rel=1e-4)
    wrong = evaluate_classifier(classifier, list(map(Example, encoded, [(label + 1) % 3 for label in predicted])))
    assert wrong["accuracy"] == 0
    assert wrong["loss"] > right["loss"]
