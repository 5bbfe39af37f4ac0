"""Trainer of sequence classifiers, its loss with label weights, and the evaluation on dev examples."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from chains.encoder.sequence import SequenceClassifier
from eval.stats.metrics import label_metrics
from finetune.encoder.data import Example
from finetune.encoder.schedule import Schedule
from finetune.trainer import BaseTrainer, mean_cross_entropy


def weighted_loss(
    outputs: Any, labels: torch.Tensor, *, weights: torch.Tensor, smoothing: float, **_: object
) -> torch.Tensor:
    """The weighted mean cross-entropy over a batch, with a weight for each label and label smoothing."""
    return cross_entropy(outputs.logits.float(), labels, weight=weights.to(labels.device), label_smoothing=smoothing)


def label_weights(examples: Sequence[Example], num_labels: int, power: float) -> torch.Tensor:
    """The weight of each label in the loss, in shape (num_labels,).

    A label's weight is its share of the examples to the power of ``-power``. The weights are then scaled so that their
    mean over the examples is 1. A label without examples has weight 0.
    """
    counts = torch.bincount(torch.tensor([example.label for example in examples]), minlength=num_labels).float()
    weights = torch.where(counts > 0, (counts / counts.sum()).clamp(min=1e-9) ** -power, 0.0)
    return weights * counts.sum() / (weights * counts).sum()


class EncoderTrainer(BaseTrainer):
    """Trains a sequence classifier; the sampler sets the learning rates too."""

    sampler: Schedule

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Make a scheduler that multiplies the optimizer's learning rate, which is 1, by the rates of the sampler."""
        del num_training_steps
        self.lr_scheduler = LambdaLR(optimizer or cast("Optimizer", self.optimizer), self.sampler.rate)
        return self.lr_scheduler


def evaluate_classifier(classifier: SequenceClassifier, examples: Sequence[Example]) -> dict[str, float]:
    """Accuracy, macro F1 over all labels, and the mean cross-entropy in nats; empty without examples."""
    if not examples:
        return {}
    probabilities = classifier.probabilities([example.inputs for example in examples])
    targets = [classifier.labels[example.label] for example in examples]
    predictions = [max(scores, key=scores.__getitem__) for scores in probabilities]
    figures = label_metrics(targets, predictions, classifier.labels)
    return {
        "accuracy": figures["accuracy"].value,
        "macro_f1": figures["macro_f1"].value,
        "loss": mean_cross_entropy(scores[target] for scores, target in zip(probabilities, targets, strict=True)),
    }
