# ruff: noqa: ARG002  (transformers passes the same arguments to all callbacks)
"""The base of all trainers, transformers' ``Trainer`` with complete checkpoints, and its callbacks."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from safetensors import SafetensorError
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from common.errors import UserError
from common.logs import no_bars
from finetune.checkpoints import checkpoints, mark_complete, rotate
from finetune.distributed import peak_memory

Log = Sequence[Mapping[str, float]]
Evaluate = Callable[[Any], dict[str, float]]
"""Figures of a live model on the dev split, among them ``accuracy`` and ``loss``; empty without a dev split."""


def evaluations(log: Log) -> dict[int, Mapping[str, float]]:
    """The entries of a trainer's log with dev figures, by step; 0 is the evaluation before training."""
    return {int(entry["step"]): entry for entry in log if "eval_accuracy" in entry}


def best_step(log: Log) -> int | None:
    """The step after 0 with the best dev accuracy, and among equals with the lowest dev loss."""
    found = {step: entry for step, entry in evaluations(log).items() if step > 0}
    return max(found, key=lambda step: (found[step]["eval_accuracy"], -found[step]["eval_loss"]), default=None)


class BaseTrainer(Trainer):
    """Base of the trainers: a clock for the training steps, dev figures by ``evaluate_model``, complete checkpoints.

    A subclass names it before the library's trainer: ``class PairTrainer(BaseTrainer, SFTTrainer)``.

    Args:
        recipe: is written into checkpoints; a run resumes only from checkpoints with the same recipe.
        spent: seconds of training before this process resumed the run.
        keep: checkpoints to keep on disk; None keeps all.
        evaluate_model: computes the dev figures.
        others: arguments of the library's trainer.
    """

    model: Any
    processing_class: Any

    def __init__(
        self, *, recipe: Mapping[str, Any], spent: float, keep: int | None, evaluate_model: Evaluate, **others: Any
    ) -> None:
        self._recipe = recipe
        self._spent = spent
        self._keep = keep
        self._evaluate_model = evaluate_model
        self._started: float | None = None
        args = others["args"]
        args._n_gpu = min(1, args.n_gpu)  # no DataParallel: a process uses one card, or spreads the layers over several
        super().__init__(**others)

    @property
    def seconds(self) -> float:
        """Seconds of training steps so far, those before a resumption included; evaluation and saving are not."""
        return self._spent + (0 if self._started is None else time.perf_counter() - self._started)

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train as transformers does, with the clock running.

        Raises:
            FloatingPointError: the loss, the trained weights or a step of the optimizer is not finite.
        """
        self._started = time.perf_counter()
        try:
            return super().train(*args, **kwargs)
        except RuntimeError as error:
            if "without overflow" not in str(error):
                raise
            raise FloatingPointError("the optimizer's step is too large") from error
        finally:
            self._spent, self._started = self.seconds, None

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Compute loss and gradients of a batch as transformers does, and check the loss."""
        loss: torch.Tensor = super().training_step(*args, **kwargs)
        if not loss.isfinite():
            raise FloatingPointError("the loss is not finite")
        return loss

    def evaluate(self, *_: object, **__: object) -> dict[str, float]:
        """Compute and log the dev figures; they are the same in all processes."""
        with self._pause():
            self.model.eval()
            trained = [value for value in self.model.parameters() if value.requires_grad]
            if not torch.nn.utils.get_total_norm(trained).isfinite():
                raise FloatingPointError("the trained weights are not finite")
            figures = [self._evaluate_model(self.model)]
            if self.accelerator.num_processes > 1:
                torch.distributed.broadcast_object_list(figures)
            metrics = {f"eval_{name}": value for name, value in figures[0].items()}
            if metrics:
                self.log(dict(metrics))
                self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    @contextmanager
    def _pause(self) -> Iterator[None]:
        running = self._started is not None
        self._spent, self._started = self.seconds, None
        try:
            yield
        finally:
            if running:
                self._started = time.perf_counter()

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        output = Path(str(self.args.output_dir))
        folder = output / f"checkpoint-{self.state.global_step}"
        with self._pause(), no_bars():
            try:
                super()._save_checkpoint(model, trial)
                if self.args.should_save:
                    run = {"recipe": self._recipe, "seconds": self.seconds, "peak_memory": peak_memory()}
                    mark_complete(folder, run)
                    # older ones go only now, so that there is a complete checkpoint at any moment
                    rotate(output, self._keep, best_step(self.state.log_history))
            except (OSError, RuntimeError, SafetensorError) as error:
                shutil.rmtree(folder, ignore_errors=True)
                kept = [one.folder.name for one in checkpoints(output)]
                raise UserError(
                    f"{folder} could not be saved ({getattr(error, 'strerror', None) or error}). "
                    + (f"The training up to {kept[-1]} is kept" if kept else "There is no earlier checkpoint")
                    + ". Free some disk space and run the same command again"
                    + (f"; it resumes from {kept[-1]}." if kept else ".")
                ) from error


class EvaluateAndSave(TrainerCallback):
    """Evaluates and saves every ``every`` steps and at the end; stops after ``patience`` evaluations without a best."""

    def __init__(self, every: int, patience: int | None) -> None:
        self._every = every
        self._patience = patience

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Request an evaluation and a checkpoint where they are due."""
        if state.global_step % self._every == 0 or state.global_step >= state.max_steps:
            control.should_log = control.should_evaluate = control.should_save = True
        return control

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Stop where ``patience`` evaluations came after the best one."""
        best = best_step(state.log_history)
        if self._patience is not None and best is not None:
            later = [step for step in evaluations(state.log_history) if step > best]
            control.should_training_stop |= len(later) >= self._patience
        return control


class ProgressBar(TrainerCallback):
    """A bar of the steps with the latest training loss and dev accuracy; hidden on a quiet console."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, TimeRemainingColumn(), console=console, disable=console.quiet)
        self._task = self._progress.add_task("training", total=None)
        self._latest: dict[str, str] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Show the bar."""
        self._progress.start()
        self._progress.update(self._task, total=state.max_steps, completed=state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Advance by a step."""
        self._progress.update(self._task, completed=state.global_step)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Show new figures."""
        latest = state.log_history[-1] if state.log_history else {}
        for name, title in (("loss", "loss"), ("eval_accuracy", "dev accuracy")):
            if name in latest:
                self._latest[title] = f"{title} {latest[name]:.3f}"
        self._progress.update(self._task, description=", ".join(self._latest.values()) or "training")

    def stop(self) -> None:
        """Stop the bar; the run calls it, since transformers calls no ``on_train_end`` after an error."""
        self._progress.stop()
