# ruff: noqa: ARG002  (transformers calls all of them back with the same arguments)
"""What happens between training steps: measuring, stopping, a new order each epoch, and the bar."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from finetune.qlora.order import SeededOrder

Log = Sequence[Mapping[str, float]]


def measurements(log: Log) -> list[Mapping[str, float]]:
    """The entries of a trainer's log that have dev figures, without the one before training."""
    return [entry for entry in log if "eval_accuracy" in entry and entry["step"] > 0]


def best_step(log: Log) -> int | None:
    """The step of the best dev accuracy; among equals, of the smallest dev loss."""
    measured = measurements(log)
    if not measured:
        return None
    return int(max(measured, key=lambda entry: (entry["eval_accuracy"], -entry["eval_loss"]))["step"])


class Pace(TrainerCallback):
    """Measures and saves every so many steps and at the end, and stops where nothing gets better."""

    def __init__(self, every: int, patience: int | None) -> None:
        self._every = every
        self._patience = patience

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """A measurement and a checkpoint where they are due."""
        if state.global_step % self._every == 0 or state.global_step >= state.max_steps:
            control.should_log = control.should_evaluate = control.should_save = True
        return control

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """The end, where the best of all measurements has ``patience`` others behind it."""
        steps = [int(entry["step"]) for entry in measurements(state.log_history)]
        best = best_step(state.log_history)
        if self._patience is not None and best is not None and len(steps) - 1 - steps.index(best) >= self._patience:
            control.should_training_stop = True
        return control


class Epochs(TrainerCallback):
    """Tells the order its epoch; accelerate does not reach it when batches are skipped on several processes."""

    def __init__(self, order: SeededOrder) -> None:
        self._order = order

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """The epoch that begins, or is taken up in its midst."""
        self._order.set_epoch(int(state.epoch or 0))


class Bar(TrainerCallback):
    """A bar of steps with the latest training loss and dev accuracy; a quiet console shows none."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, TimeRemainingColumn(), console=console, disable=console.quiet)
        self._task = self._progress.add_task("training", total=None)
        self._latest: dict[str, str] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """The bar appears."""
        self._progress.start()
        self._progress.update(self._task, total=state.max_steps, completed=state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """One step further."""
        self._progress.update(self._task, completed=state.global_step)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """New figures before the bar."""
        latest = state.log_history[-1] if state.log_history else {}
        for name, title in (("loss", "loss"), ("eval_accuracy", "dev accuracy")):
            if name in latest:
                self._latest[title] = f"{title} {latest[name]:.3f}"
        self._progress.update(self._task, description=", ".join(self._latest.values()) or "training")

    def stop(self) -> None:
        """The bar stays as it is."""
        self._progress.stop()
