"""transformers' trainer with weighed labels, dev figures as in serving, and checkpoints that are whole or absent."""

import math
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import Trainer, TrainingArguments

from chains.sequence import SequenceClassifier
from corpus.errors import UserError
from eval.metrics import label_metrics
from finetune.encoder.course import Course
from finetune.encoder.examples import Example
from finetune.qlora.callbacks import best_step
from finetune.qlora.checkpoints import checkpoints, mark, rotate
from finetune.qlora.device import peak_memory


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


class EncoderTrainer(Trainer):
    """Trains a classifier on laid-out examples.

    Args:
        classifier: the model with its tokenizer; its live state is what is measured.
        args: transformers' settings.
        train: the examples.
        dev: the examples that are measured; nothing is measured where there are none.
        loss: what is made small.
        course: in which order and at which rates the examples are seen; one epoch of transformers'.
        recipe: what a checkpoint must have been made by to be taken up again.
        spent: seconds of training before, where a run is taken up again.
        keep: how many checkpoints stay on disk; None keeps all.
    """

    model: Any
    processing_class: Any

    def __init__(
        self,
        *,
        classifier: SequenceClassifier,
        args: TrainingArguments,
        train: Sequence[Example],
        dev: Sequence[Example],
        loss: Loss,
        course: Course,
        recipe: Mapping[str, Any],
        spent: float,
        keep: int | None,
        **others: Any,
    ) -> None:
        self._classifier = classifier
        self._dev = dev
        self._loss = loss
        self.course = course
        self._recipe = recipe
        self._spent = spent
        self._keep = keep
        self._started: float | None = None
        super().__init__(
            model=classifier.model,
            args=args,
            train_dataset=[{**one.inputs, "labels": one.label} for one in train],
            processing_class=classifier.tokenizer,
            data_collator=self._collate,
            **others,
        )

    @property
    def seconds(self) -> float:
        """Seconds of training steps so far, those before a resumption among them; measuring and saving are not."""
        return self._spent + (0 if self._started is None else time.perf_counter() - self._started)

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """As transformers does it, with the clock running."""
        self._started = time.perf_counter()
        try:
            return super().train(*args, **kwargs)
        finally:
            self._spent, self._started = self.seconds, None

    @contextmanager
    def _pause(self) -> Iterator[None]:
        running = self._started is not None
        self._spent, self._started = self.seconds, None
        try:
            yield
        finally:
            if running:
                self._started = time.perf_counter()

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

    def evaluate(self, *_: object, metric_key_prefix: str = "eval", **__: object) -> dict[str, float]:
        """The dev figures of the live model; none where there are no dev examples."""
        if not self._dev:
            return {}
        with self._pause():
            self.model.eval()
            figures = measure(self._classifier, self._dev)
            metrics = {f"{metric_key_prefix}_{name}": value for name, value in figures.items()}
            self.log(dict(metrics))
            self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        output = Path(str(self.args.output_dir))
        folder = output / f"checkpoint-{self.state.global_step}"
        with self._pause():
            try:
                super()._save_checkpoint(model, trial)
                # only then are older ones removed: at any moment one whole checkpoint is there
                mark(folder, {"recipe": self._recipe, "seconds": self.seconds, "peak_memory": peak_memory()})
                rotate(output, self._keep, best_step(self.state.log_history))
            except (OSError, RuntimeError, SafetensorError) as error:
                shutil.rmtree(folder, ignore_errors=True)
                kept = [one.folder.name for one in checkpoints(output)]
                raise UserError(
                    f"{folder} could not be saved ({_reason(error)}). "
                    + (f"What was trained up to {kept[-1]} is kept there" if kept else "No checkpoint was saved before")
                    + ". Make room, and run the same command again"
                    + (": it goes on from there." if kept else ".")
                ) from error


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


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
