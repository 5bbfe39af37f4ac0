"""transformers' ``Trainer`` with weighted labels, on a schedule of stages."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from chains.encoder.sequence import SequenceClassifier
from eval.stats.metrics import label_metrics
from finetune.encoder.data import Example
from finetune.encoder.schedule import Schedule
from finetune.trainer import BaseTrainer


@dataclass(frozen=True)
class Loss:
    """Cross-entropy with a weight for each label and label smoothing."""

    weights: torch.Tensor
    smoothing: float

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The weighted mean over a batch."""
        weights = self.weights.to(logits.device)
        return cross_entropy(logits.float(), labels, weight=weights, label_smoothing=self.smoothing)


def label_weights(examples: Sequence[Example], labels: int, power: float) -> torch.Tensor:
    """A label's weight: its share of the examples to the power of ``-power``, scaled to a mean of 1 over the examples.

    A label without examples has weight 0.
    """
    counts = torch.bincount(torch.tensor([one.label for one in examples]), minlength=labels).float()
    weights = torch.where(counts > 0, (counts / counts.sum()).clamp(min=1e-9) ** -power, 0.0)
    return weights * counts.sum() / (weights * counts).sum()


class EncoderTrainer(BaseTrainer):
    """Trains a sequence classifier on encoded examples.

    Args:
        classifier: the model with its tokenizer.
        train: the examples.
        loss: the loss of logits and labels.
        schedule: order and learning rates of the examples; one epoch of the trainer.
        others: arguments of ``BaseTrainer`` and transformers' ``Trainer``.
    """

    def __init__(
        self,
        *,
        classifier: SequenceClassifier,
        train: Sequence[Example],
        loss: Loss,
        schedule: Schedule,
        **others: Any,
    ) -> None:
        self._tokenizer: Any = classifier.tokenizer
        self._loss = loss
        self.schedule = schedule
        super().__init__(
            model=classifier.model,
            train_dataset=[{**one.inputs, "labels": one.label} for one in train],
            processing_class=classifier.tokenizer,
            data_collator=self._collate,
            **others,
        )

    def _collate(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        inputs = [{name: value for name, value in row.items() if name != "labels"} for row in rows]
        padded = self._tokenizer.pad(inputs, return_tensors="pt")
        return {**padded, "labels": torch.tensor([row["labels"] for row in rows])}

    def _get_train_sampler(self, *_: object) -> Schedule:
        return self.schedule

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Make the scheduler of the schedule's rates; the optimizer's own learning rate is 1."""
        del num_training_steps
        self.lr_scheduler = LambdaLR(optimizer or cast("Optimizer", self.optimizer), self.schedule.rate)
        return self.lr_scheduler

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss of a batch."""
        del num_items_in_batch  # a step has one batch
        labels = inputs["labels"]
        outputs = model(**{name: value for name, value in inputs.items() if name != "labels"})
        loss = self._loss(outputs.logits, labels)
        return (loss, outputs) if return_outputs else loss


def evaluate_classifier(classifier: SequenceClassifier, examples: Sequence[Example]) -> dict[str, float]:
    """Accuracy, macro F1 over all labels, and the mean cross-entropy in nats; empty without examples."""
    if not examples:
        return {}
    found = classifier.probabilities([one.inputs for one in examples])
    targets = [classifier.labels[one.label] for one in examples]
    predictions = [max(scores, key=scores.__getitem__) for scores in found]
    figures = label_metrics(targets, predictions, classifier.labels)
    gold = [max(scores[target], 1e-9) for scores, target in zip(found, targets, strict=True)]
    return {
        "accuracy": figures["accuracy"].value,
        "macro_f1": figures["macro_f1"].value,
        "loss": -sum(map(math.log, gold)) / len(gold),
    }
