# ruff: noqa: ARG002  (transformers passes the same arguments to all callbacks)
"""Base class of the trainers, with resumable checkpoints and a training clock; callbacks of training runs."""

import math
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from safetensors import SafetensorError
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from common.errors import UserError
from common.logs import no_bars
from finetune.checkpoints import complete_checkpoints, mark_complete, rotate
from finetune.distributed import peak_memory

Log = Sequence[Mapping[str, float]]
"""``log_history`` of transformers' ``TrainerState``."""
Evaluate = Callable[[Any], dict[str, float]]
"""Maps a model to its dev figures, among them ``accuracy`` and ``loss``; to an empty dict without a dev split."""


def evaluations(log: Log) -> dict[int, Mapping[str, float]]:
    """The log entries with dev figures, by step; step 0 is the evaluation before training."""
    return {int(entry["step"]): entry for entry in log if "eval_accuracy" in entry}


def best_step(log: Log) -> int | None:
    """The step with the best dev accuracy, and in a tie the one with the lowest dev loss; None without a dev split.

    Step 0, the evaluation before training, does not count.
    """
    entries = evaluations(log)
    steps = [step for step in entries if step > 0]
    return max(steps, key=lambda step: (entries[step]["eval_accuracy"], -entries[step]["eval_loss"]), default=None)


def mean_cross_entropy(probabilities: Iterable[float]) -> float:
    """The mean cross-entropy in nats, from the probability of each example's right label."""
    return -fmean(math.log(max(probability, 1e-9)) for probability in probabilities)  # a probability may round to 0


class BaseTrainer(Trainer):
    """transformers' ``Trainer`` that also times the training, computes dev figures and marks complete checkpoints.

    Subclasses list it before a library's trainer: ``class PairTrainer(BaseTrainer, SFTTrainer)``.

    Args:
        recipe: written into checkpoints; a run resumes only from checkpoints with the same recipe.
        seconds_before: seconds of training before this process resumed the run.
        keep_checkpoints: number of checkpoints to keep on disk; None keeps all.
        evaluate_model: computes the dev figures.
        sampler: the order of the training examples.
        kwargs: arguments of the library's trainer.
    """

    model: Any
    processing_class: Any

    def __init__(
        self,
        *,
        recipe: Mapping[str, Any],
        seconds_before: float,
        keep_checkpoints: int | None,
        evaluate_model: Evaluate,
        sampler: Any,
        **kwargs: Any,
    ) -> None:
        self._recipe = recipe
        self._seconds = seconds_before  # of training until the clock last stopped
        self._started: float | None = None  # None while the clock is stopped
        self._keep_checkpoints = keep_checkpoints
        self._evaluate_model = evaluate_model
        self.sampler = sampler
        self.has_trained = False  # whether this process has begun a training step
        args = kwargs["args"]
        args._n_gpu = min(1, args.n_gpu)  # no DataParallel: a process uses one GPU, or spreads the layers over several
        super().__init__(**kwargs)

    @property
    def seconds(self) -> float:
        """Seconds of training steps so far, with those before a resumption, without evaluation and saving."""
        return self._seconds + (0 if self._started is None else time.perf_counter() - self._started)

    def _get_train_sampler(self, *_: object) -> Any:
        return self.sampler

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train as transformers does, with the clock running.

        Raises:
            FloatingPointError: the loss, the trained weights or a step of the optimizer is not finite.
        """
        self._started = time.perf_counter()
        try:
            return super().train(*args, **kwargs)
        except RuntimeError as error:
            if "without overflow" not in str(error):  # torch's message if a step does not fit the number format
                raise
            raise FloatingPointError("the optimizer's step is too large") from error
        finally:
            self._seconds, self._started = self.seconds, None

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Compute loss and gradients of a batch as transformers does, and check the loss."""
        self.has_trained = True
        loss: torch.Tensor = super().training_step(*args, **kwargs)
        if not loss.isfinite():
            raise FloatingPointError("the loss is not finite")
        return loss

    def evaluate(self, *_: object, **__: object) -> dict[str, float]:
        """Compute and log the dev figures. All processes get the figures of the main process."""
        with self._pause():
            self.model.eval()
            trained = [weights for weights in self.model.parameters() if weights.requires_grad]
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
        """Stop the clock; start it again at the end if it was running."""
        running = self._started is not None
        self._seconds, self._started = self.seconds, None
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
                    # after the new checkpoint is complete, so that there is a complete checkpoint at any moment
                    rotate(output, self._keep_checkpoints, best_step(self.state.log_history))
            except (OSError, RuntimeError, SafetensorError) as error:
                shutil.rmtree(folder, ignore_errors=True)
                earlier = [checkpoint.folder.name for checkpoint in complete_checkpoints(output)]
                raise UserError(
                    f"{folder} could not be saved ({getattr(error, 'strerror', None) or error}). "
                    + (f"The training up to {earlier[-1]} is kept" if earlier else "There is no earlier checkpoint")
                    + ". Free some disk space and run the same command again"
                    + (f"; it resumes from {earlier[-1]}." if earlier else ".")
                ) from error


class EvaluateAndSave(TrainerCallback):
    """Evaluates and saves every ``every`` steps and at the end; stops early.

    Training stops after ``patience`` evaluations without improvement; None never stops early.
    """

    def __init__(self, every: int, patience: int | None) -> None:
        self._every = every
        self._patience = patience

    def is_over(self, state: TrainerState) -> bool:
        """Whether the last step is done, or ``patience`` evaluations came after the best one."""
        best = best_step(state.log_history)
        later = [step for step in evaluations(state.log_history) if best is not None and step > best]
        return state.global_step >= state.max_steps or (self._patience is not None and len(later) >= self._patience)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Request an evaluation and a checkpoint every ``every`` steps and at the last step."""
        if state.global_step % self._every == 0 or state.global_step >= state.max_steps:
            control.should_log = control.should_evaluate = control.should_save = True
        return control

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Request the end of training if it is over."""
        control.should_training_stop |= self.is_over(state)
        return control


class ProgressBar(TrainerCallback):
    """A progress bar of the steps with the latest training loss and dev accuracy; hidden on a quiet console."""

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
        """Stop the bar. The run calls this, since transformers calls no ``on_train_end`` after an error."""
        self._progress.stop()
