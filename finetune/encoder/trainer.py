"""transformers' trainer with weighed labels and dev figures as in serving."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import TrainingArguments

from chains.encoder.sequence import SequenceClassifier
from eval.metrics import label_metrics
from finetune.encoder.course import Course
from finetune.encoder.examples import Example
from finetune.trainer import RunTrainer


@dataclass(frozen=True)
class Loss:
    """Cross-entropy with a weight for each label and, for smoothing, a share of the target given to all labels."""

    weights: torch.Tensor
    smoothing: float

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The mean over a batch, by weight."""
        weights = self.weights.to(logits.device)
        return cross_entropy(logits.float(), labels, weight=weights, label_smoothing=self.smoothing)


def label_weights(examples: Sequence[Example], labels: int, power: float) -> torch.Tensor:
    """A label's weight: its share of the examples to the power of ``-power``, scaled to a mean of 1 over the examples.

    A label without examples has weight 0.
    """
    counts = torch.bincount(torch.tensor([one.label for one in examples]), minlength=labels).float()
    weights = torch.where(counts > 0, (counts / counts.sum()).clamp(min=1e-9) ** -power, 0.0)
    return weights * counts.sum() / (weights * counts).sum()


class EncoderTrainer(RunTrainer):
    """Trains a classifier on laid-out examples.

    Args:
        classifier: the model with its tokenizer; its live state is what is measured.
        args: transformers' settings.
        train: the examples.
        dev: the examples that are measured; nothing is measured where there are none.
        loss: what is made small.
        course: in which order and at which rates the examples are seen; one epoch of transformers'.
        others: what ``RunTrainer`` and transformers take.
    """

    def __init__(
        self,
        *,
        classifier: SequenceClassifier,
        args: TrainingArguments,
        train: Sequence[Example],
        dev: Sequence[Example],
        loss: Loss,
        course: Course,
        **others: Any,
    ) -> None:
        self._classifier = classifier
        self._dev = dev
        self._loss = loss
        self.course = course
        super().__init__(
            model=classifier.model,
            args=args,
            train_dataset=[{**one.inputs, "labels": one.label} for one in train],
            processing_class=classifier.tokenizer,
            data_collator=self._collate,
            **others,
        )

    def _collate(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        inputs = [{name: value for name, value in row.items() if name != "labels"} for row in rows]
        padded = self._classifier.tokenizer.pad(inputs, return_tensors="pt")
        return {**padded, "labels": torch.tensor([row["labels"] for row in rows])}

    def _get_train_sampler(self, *_: object) -> Course:
        return self.course

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The course's rates; the optimizer's own is 1."""
        del num_training_steps
        self.lr_scheduler = LambdaLR(optimizer or cast("Optimizer", self.optimizer), self.course.rate)
        return self.lr_scheduler

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The batch's loss."""
        del num_items_in_batch  # a batch is a step
        labels = inputs["labels"]
        outputs = model(**{name: value for name, value in inputs.items() if name != "labels"})
        loss = self._loss(outputs.logits, labels)
        return (loss, outputs) if return_outputs else loss

    def dev_figures(self) -> dict[str, float]:
        """See ``measure``."""
        return measure(self._classifier, self._dev) if self._dev else {}


def measure(classifier: SequenceClassifier, examples: Sequence[Example]) -> dict[str, float]:
    """Accuracy, macro F1 over all labels, and the mean cross-entropy in nats."""
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
