"""What the trainers have in common: their arguments, a clock for training alone, whole checkpoints, and the result."""

import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from safetensors import SafetensorError
from transformers import PrinterCallback, Trainer
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from common.errors import UserError
from common.logs import no_bars
from finetune.callbacks import Bar, best_step
from finetune.checkpoints import Checkpoint, checkpoints, mark, publish_best, rotate
from finetune.config import EncoderConfig, QLoRAConfig, TaughtEmbedderConfig
from finetune.process import is_main, peak_memory


def common_arguments(
    config: QLoRAConfig | EncoderConfig | TaughtEmbedderConfig, output: Path, *, on_cpu: bool
) -> dict[str, Any]:
    """The arguments that every trainer is given, by their names in transformers' ``TrainingArguments``."""
    return {
        "output_dir": str(output),
        "per_device_train_batch_size": config.batch_size,
        "weight_decay": config.weight_decay,
        "use_cpu": on_cpu,
        "save_strategy": "no",  # Pace says when
        "logging_steps": max(1, min(10, config.every)),
        "disable_tqdm": True,
        "report_to": list(config.report_to),
        "seed": config.seed,
        "dataloader_pin_memory": not on_cpu,
    }


def one_card_arguments(config: EncoderConfig | TaughtEmbedderConfig, output: Path) -> dict[str, Any]:
    """``common_arguments`` of a trainer whose batches come in the order and number they are to be taken in."""
    on_cpu = not torch.accelerator.is_available()
    bf16 = not on_cpu and torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return {**common_arguments(config, output, on_cpu=on_cpu), "num_train_epochs": 1, "bf16": bf16}


def check_reports(names: Sequence[str], setting: str) -> None:
    """See to it that figures can be sent where ``setting`` says.

    Raises:
        UserError: transformers knows no such place, or its package is missing.
    """
    for name in names:
        if name not in INTEGRATION_TO_CALLBACK:
            known = ", ".join(sorted(INTEGRATION_TO_CALLBACK))
            raise UserError(f"{setting} is {name}, and figures can be sent to {known}. Choose among these.")
        try:
            INTEGRATION_TO_CALLBACK[name]()
        except (ImportError, RuntimeError) as error:
            raise UserError(
                f"{setting} is {name}, whose package is missing ({str(error).strip().splitlines()[0]}) "
                "Install it, or take the name out."
            ) from error


class RunTrainer(Trainer, ABC):
    """Stands before transformers' trainer or one made of it, and takes its arguments too.

    Args:
        recipe: what a checkpoint must have been made by to be taken up again.
        spent: seconds of training before, where a run is taken up again.
        keep: how many checkpoints stay on disk; None keeps all.
    """

    model: Any
    processing_class: Any

    def __init__(self, *, recipe: Mapping[str, Any], spent: float, keep: int | None, **others: Any) -> None:
        self._recipe = recipe
        self._spent = spent
        self._keep = keep
        self._started: float | None = None
        super().__init__(**others)

    @abstractmethod
    def dev_figures(self) -> dict[str, float]:
        """The figures of the live model on the dev split, among them ``accuracy`` and ``loss``; none without one."""

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

    def evaluate(self, *_: object, metric_key_prefix: str = "eval", **__: object) -> dict[str, float]:
        """The dev figures, logged and told to the callbacks."""
        with self._pause():
            self.model.eval()
            metrics = {f"{metric_key_prefix}_{name}": value for name, value in self.dev_figures().items()}
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


def teach(
    trainer: RunTrainer, resumed: Checkpoint | None, console: Console, *, best: bool, out_of_memory: str
) -> Checkpoint | None:
    """Train under a bar, and put the result at the run's folder, also that of a run that is stopped.

    Args:
        trainer: ready to train, or to go on.
        resumed: the checkpoint to go on from, if any.
        console: where the bar is shown.
        best: whether the result is the checkpoint that did best on the dev split, else the last one.
        out_of_memory: the error's message where the card's memory does not suffice.

    Returns:
        The checkpoint that became the result; None where there is none, and in processes that do not write.

    Raises:
        UserError: the card's memory does not suffice, or a checkpoint cannot be saved.
    """
    trainer.remove_callback(PrinterCallback)
    bar = Bar(console)
    trainer.add_callback(bar)
    taken = None
    try:
        trainer.train(resume_from_checkpoint=None if resumed is None else str(resumed.folder))
    except torch.OutOfMemoryError as error:
        raise UserError(out_of_memory) from error
    finally:
        bar.stop()
        if is_main():
            step = best_step(trainer.state.log_history) if best else None
            taken = publish_best(Path(str(trainer.args.output_dir)), step)
    return taken


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
