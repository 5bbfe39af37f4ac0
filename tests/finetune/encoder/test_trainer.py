import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from classifiers import LABELS, make_classifier

from chains.encoder.sequence import load_sequence_classifier
from finetune.encoder.data import Example
from finetune.encoder.trainer import Loss, evaluate_classifier, label_weights


def examples(*labels: int) -> list[Example]:
    return [Example({"input_ids": [2, 5 + n, 3]}, label) for n, label in enumerate(labels)]


def test_label_weights_lie_between_those_of_examples_and_of_labels() -> None:
    weighted = examples(0, 0, 0, 0, 0, 0, 1, 1, 2)
    assert label_weights(weighted, 3, 0).tolist() == [1, 1, 1]
    assert label_weights(weighted, 3, 1).tolist() == pytest.approx([9 / 18, 9 / 6, 9 / 3])
    half = label_weights(weighted, 3, 0.5)
    assert (half[2] / half[0]).item() == pytest.approx(math.sqrt(6))
    assert sum(half[one.label].item() for one in weighted) == pytest.approx(9)


def test_a_label_without_examples_has_no_weight() -> None:
    weights = label_weights(examples(0, 2, 2), 3, 0.5)
    assert weights[1] == 0
    assert weights.isfinite().all()


def test_the_loss_is_weighed_and_smoothed() -> None:
    logits, labels = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0])
    nats = -logits.log_softmax(-1)
    outputs = SimpleNamespace(logits=logits)
    plain = Loss(torch.ones(2), 0.0)(outputs, labels)
    assert plain.item() == pytest.approx(nats[:, 0].mean().item())
    smooth = Loss(torch.ones(2), 0.2)(outputs, labels)
    assert smooth.item() == pytest.approx((0.8 * nats[:, 0] + 0.2 * nats.mean(1)).mean().item())
    mixed, weights = torch.tensor([0, 1]), torch.tensor([3.0, 1.0])
    assert Loss(weights, 0.0)(outputs, mixed).item() == pytest.approx((3 * nats[0, 0] + nats[1, 1]).item() / 4)


def test_the_figures_of_a_classifier(tmp_path: Path) -> None:
    classifier = load_sequence_classifier(str(make_classifier(tmp_path)), "float32", "cpu", 4096)
    pairs = [("It did.", "yes"), ("Aspirin reduced it", "no"), ("Patients were", "maybe no")]
    encoded = classifier.texts.encode(pairs)
    found = classifier.probabilities(encoded)
    best = [LABELS.index(max(scores, key=scores.__getitem__)) for scores in found]
    right = evaluate_classifier(classifier, [Example(one, label) for one, label in zip(encoded, best, strict=True)])
    assert right["accuracy"] == 1
    assert right["macro_f1"] == pytest.approx(len(set(best)) / 3)
    assert right["loss"] == pytest.approx(-sum(math.log(max(one.values())) for one in found) / 3, rel=1e-4)
    wrong = evaluate_classifier(
        classifier, [Example(one, (label + 1) % 3) for one, label in zip(encoded, best, strict=True)]
    )
    assert wrong["accuracy"] == 0
    assert wrong["loss"] > right["loss"]
