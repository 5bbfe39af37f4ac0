"""A training run: resume or start, train, publish the best checkpoint, write the summary and the model card."""

import hashlib
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from rich.console import Console
from transformers import PrinterCallback, TrainerState
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK
from transformers.trainer import TRAINER_STATE_NAME

from common.atomic_write import locked, write_whole
from common.errors import UserError
from eval.results import prepare_output_folder, write_json
from finetune.checkpoints import (
    SUMMARY_FILE,
    check_no_model,
    damaged_checkpoints,
    find_resumable,
    is_finished,
    publish_best,
    remove_incomplete,
)
from finetune.config import RunConfig
from finetune.distributed import is_main, processes
from finetune.report import common_figures
from finetune.trainer import BaseTrainer, EvaluateAndSave, ProgressBar, best_step

TrainerT = TypeVar("TrainerT", bound=BaseTrainer)


@dataclass(frozen=True)
class Device:
    """The device type and the compute dtype of a run."""

    on_cpu: bool
    dtype: torch.dtype

    @property
    def dtype_name(self) -> str:
        """The dtype as in settings, such as ``bfloat16``."""
        return str(self.dtype).removeprefix("torch.")


class Job(ABC, Generic[TrainerT]):
    """A training method: its recipe, its trainer, and its part of the summary and the model card."""

    evaluates_base: ClassVar[bool] = False
    """Whether the model is also evaluated before training."""

    def device(self) -> Device:
        """This machine's accelerator if it has one; bfloat16 on GPUs that support it natively, else float32."""
        on_cpu = not torch.accelerator.is_available()
        native_bf16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
        return Device(on_cpu, torch.bfloat16 if native_bf16 else torch.float32)

    @abstractmethod
    def recipe(self) -> dict[str, Any]:
        """The data and weights that determine the result, as JSON; a run adds its settings."""

    @abstractmethod
    def make_trainer(self, arguments: dict[str, Any], **kwargs: Any) -> TrainerT:
        """Build the trainer.

        Args:
            arguments: the part of transformers' ``TrainingArguments`` that all methods share.
            kwargs: the arguments of ``BaseTrainer`` and the callbacks.
        """

    @abstractmethod
    def figures(self, trainer: TrainerT, step: int) -> dict[str, Any]:
        """The method's part of ``summary.json``; ``step`` is the step of the published checkpoint."""

    @staticmethod
    @abstractmethod
    def card(summary: Mapping[str, Any]) -> str:
        """The text of the model card."""

    def write_extras(self, trainer: TrainerT, output: Path) -> None:
        """Write further files beside the card; none by default."""


class Run:
    """A training run in a folder.

    ``output/checkpoint-N`` is the model or adapter at step N. An interrupted run resumes from its last complete
    checkpoint, with the same result as an uninterrupted run. A finished run is not trained again.

    Args:
        output: the folder of the run; created if absent.
        config: the settings of the training method.
        section: the section of ``config`` in messages, such as ``train.encoder``.
        quiet: show nothing on stderr.

    Raises:
        UserError: ``output`` cannot be written to, or holds another model.
    """

    def __init__(self, output: Path, config: RunConfig, section: str, *, quiet: bool) -> None:
        self._started = time.perf_counter()
        self._output = output
        self._config = config
        self._section = section
        self._console = Console(stderr=True, quiet=quiet or not is_main())
        prepare_output_folder(output)
        check_no_model(output)

    def print(self, message: str) -> None:
        """Print a message on stderr, in the main process only."""
        self._console.print(message, soft_wrap=True, highlight=False, markup=False)

    def train(self, job: Job[TrainerT]) -> Path:
        """Train or resume, and write the result with its summary and card into the folder.

        An interrupted or failed run publishes its best checkpoint so far, without summary and card.

        Raises:
            UserError: the folder holds a run with another recipe, the GPU memory is too small, the training diverges,
                a checkpoint cannot be loaded or saved, a tracker of ``report_to`` is not installed, or another process
                trains in the folder.
        """
        with ExitStack() as lock:
            if is_main():
                try:
                    lock.enter_context(locked(self._output, wait=False))
                except BlockingIOError as error:
                    raise UserError(
                        f"Another process trains in {self._output}. Wait until it ends, or choose another --output "
                        "folder."
                    ) from error
            return self._train(job)

    def _train(self, job: Job[TrainerT]) -> Path:
        recipe = {**job.recipe(), "processes": processes(), **self._config.recipe()}
        recipe = json.loads(json.dumps(recipe))  # tuples become lists, as in a recipe that is read from a checkpoint
        if is_finished(self._output, recipe):
            self.print(f"{self._output} already holds the result of this run. Remove it to train again.")
            return self._output
        resumed = find_resumable(self._output, recipe)
        damaged = damaged_checkpoints(self._output)
        for name in damaged:
            self.print(f"{name} is damaged and not used: a file is absent or has another size than when it was saved.")
        if resumed is not None:
            self.print(f"Resuming from {resumed.folder.name}.")
        elif damaged:
            self.print("There is no other checkpoint: the training starts again from the first step.")
        if is_main():
            remove_incomplete(self._output)
        check_trackers(self._config.report_to, f"{self._section}.report_to")
        bar = ProgressBar(self._console)
        evaluate_and_save = EvaluateAndSave(self._config.every, self._config.patience)
        trainer = job.make_trainer(
            {**self._arguments(job.device()), "eval_on_start": job.evaluates_base and resumed is None},
            recipe=recipe,
            seconds_before=0.0 if resumed is None else float(resumed.run["seconds"]),
            keep_checkpoints=self._config.keep_checkpoints,
            callbacks=[evaluate_and_save, bar],
        )
        trainer.remove_callback(PrinterCallback)
        result = None
        try:
            if resumed is None:
                trainer.train()
            else:
                trainer.state = TrainerState.load_from_json(str(resumed.folder / TRAINER_STATE_NAME))
                if not evaluate_and_save.is_over(trainer.state):  # else ``train`` would do a step beyond the last one
                    trainer.train(resume_from_checkpoint=str(resumed.folder))
        except torch.OutOfMemoryError as error:
            raise UserError(self._memory_advice()) from error
        except FloatingPointError as error:
            rates = [name for name in ("learning_rate", "conclusion_rate") if hasattr(self._config, name)]
            raise UserError(
                f"The training has diverged by step {trainer.state.global_step}: {error}. Choose another --output "
                f"folder and lower {' or '.join(f'{self._section}.{name}' for name in rates)}."
            ) from error
        except Exception as error:
            if resumed is None or trainer.has_trained or isinstance(error, UserError):
                raise
            raise UserError(
                f"{resumed.folder} cannot be loaded ({error}). If it is damaged, remove it and run the same command "
                "again; it resumes from the checkpoint before."
            ) from error
        finally:
            bar.stop()
            if is_main():
                step = best_step(trainer.state.log_history) if self._config.keep == "best" else None
                result = publish_best(self._output, step)
        if is_main():
            if result is None:
                raise UserError(
                    f"The checkpoint could not be copied to {self._output}. Free some disk space and run the same "
                    "command again; it resumes from the last checkpoint."
                )
            if step is not None and result.step != step:
                self.print(
                    f"The best checkpoint, checkpoint-{step}, is absent or damaged: {result.folder.name} is used."
                )
            common = common_figures(trainer, recipe, result, resumed, time.perf_counter() - self._started)
            summary = {**job.figures(trainer, result.step), **common}
            job.write_extras(trainer, self._output)
            write_whole(self._output / "README.md", job.card(summary))
            write_json(self._output / SUMMARY_FILE, summary)
        trainer.accelerator.wait_for_everyone()
        return self._output

    def _arguments(self, device: Device) -> dict[str, Any]:
        """Arguments of transformers' ``TrainingArguments``."""
        config = self._config
        return {
            "output_dir": str(self._output),
            "per_device_train_batch_size": config.batch_size,
            "learning_rate": config.learning_rate,
            "warmup_steps": config.warmup,  # transformers takes a value below 1 as a share of the steps
            "weight_decay": config.weight_decay,
            "use_cpu": device.on_cpu,
            "bf16": device.dtype == torch.bfloat16,
            "fp16": device.dtype == torch.float16,
            "dataloader_pin_memory": not device.on_cpu,
            "save_strategy": "no",  # EvaluateAndSave requests evaluations and checkpoints
            "logging_steps": max(1, min(10, config.every)),
            "disable_tqdm": True,
            "report_to": list(config.report_to),
            "seed": config.seed,
        }

    def _memory_advice(self) -> str:
        section, fields = self._section, type(self._config).model_fields
        changes = [f"{section}.batch_size lower" + f" and {section}.accumulation higher" * ("accumulation" in fields)]
        if getattr(self._config, "max_length", None):
            changes.append(f"{section}.max_length lower")
        if "gradient_checkpointing" in fields:
            changes.append(f"{section}.gradient_checkpointing to true")
        return f"The card's memory is too small for batches of {self._config.batch_size}. Set {', or '.join(changes)}."


def digest(content: object) -> str:
    """The first 64 bits of the SHA-256 of JSON content, in hexadecimal, for a recipe."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def check_trackers(names: tuple[str, ...], setting: str) -> None:
    """Check that transformers knows the trackers of ``setting`` and that their packages are installed.

    Raises:
        UserError: transformers does not know a tracker, or its package is not installed.
    """
    for name in names:
        if name not in INTEGRATION_TO_CALLBACK:
            known = ", ".join(sorted(INTEGRATION_TO_CALLBACK))
            raise UserError(f"{setting} is {name}, which is no tracker of transformers. Choose from {known}.")
        try:
            INTEGRATION_TO_CALLBACK[name]()
        except (ImportError, RuntimeError) as error:
            raise UserError(
                f"{setting} is {name}, whose package is not installed ({str(error).strip().splitlines()[0]}) "
                f"Install it, or remove {name} from {setting}."
            ) from error
