"""TRL's trainer with the loss on answers alone, dev accuracy by scoring, and checkpoints that are whole or absent."""

import inspect
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors import SafetensorError
from transformers import PreTrainedModel
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from corpus.errors import UserError
from finetune.qlora.callbacks import Epochs, best_step
from finetune.qlora.checkpoints import checkpoints, mark, rotate
from finetune.qlora.device import peak_memory
from finetune.qlora.loss import IGNORED, answer_loss, shares_cache
from finetune.qlora.order import SeededOrder

Measure = Callable[[PreTrainedModel | PeftModel], dict[str, float]]


class PairTrainer(SFTTrainer):
    """Trains on tokenised examples.

    Args:
        model: the model, its adapter attached where one is trained.
        args: TRL's settings.
        order: in which the examples are seen.
        measure: the figures of the live model on the dev pairs, among them ``accuracy``.
        recipe: what a checkpoint must have been made by to be taken up again.
        answer_alone: whether only the answers are learned.
        shared: how many tokens all prompts begin with alike, to be computed once a batch; 0 for none. Only in a process
            that trains alone.
        spent: seconds of training before, where a run is taken up again.
        keep: how many checkpoints stay on disk; None keeps all.
    """

    model: Any
    processing_class: Any

    def __init__(
        self,
        *,
        model: PreTrainedModel | PeftModel,
        args: SFTConfig,
        order: SeededOrder,
        measure: Measure,
        recipe: Mapping[str, Any],
        answer_alone: bool,
        shared: int,
        spent: float,
        keep: int | None,
        **others: Any,
    ) -> None:
        self._order = order
        self._measure = measure
        self._recipe = recipe
        self._spent = spent
        self._keep = keep
        self._started: float | None = None
        super().__init__(model=model, args=args, **others)
        base = self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model
        self._answer_alone = answer_alone and "logits_to_keep" in inspect.signature(base.forward).parameters
        alone = self.accelerator.num_processes == 1 and not args.activation_checkpointing
        self._shared = shared if alone and self._answer_alone and shared and shares_cache(self.model) else 0
        for value in self.model.parameters():
            if value.requires_grad:  # TRL makes a 4-bit base's adapter bfloat16, in which small steps are lost
                value.data = value.data.float()
        self.add_callback(Epochs(order))

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

    def _get_train_sampler(self, *_: object) -> SeededOrder:
        return self._order

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: "torch.Tensor | int | None" = None,
    ) -> Any:
        """The mean cross-entropy of what is learned, over all that a step sees, on all devices."""
        if not self._answer_alone or self.aux_loss_enabled or return_outputs:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)  # type: ignore[no-untyped-call]
        loss = answer_loss(model, inputs, self._shared)
        count = (inputs["labels"] != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            loss = loss * self.accelerator.num_processes  # DDP takes the mean of gradients over processes
        return loss / count

    def evaluate(self, *_: object, metric_key_prefix: str = "eval", **__: object) -> dict[str, float]:
        """The dev figures of the live model, the same in all processes."""
        with self._pause():
            self.model.eval()
            figures = [self._measure(self.model)]
            if self.accelerator.num_processes > 1:
                torch.distributed.broadcast_object_list(figures)
            metrics = {f"{metric_key_prefix}_{name}": value for name, value in figures[0].items()}
            self.log(dict(metrics))
            self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """None here: the run's report writes it."""

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        if not self.args.should_save:
            return
        folder = output_dir or str(self.args.output_dir)
        model = self.accelerator.unwrap_model(self.model)
        if isinstance(model, PeftModel):
            # "auto" would ask the hub whether the base's vocabulary has grown
            model.save_pretrained(folder, state_dict=state_dict, save_embedding_layers=False)
        else:
            model.save_pretrained(folder, state_dict=state_dict)
            self.processing_class.save_pretrained(folder)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        output = Path(str(self.args.output_dir))
        folder = output / f"checkpoint-{self.state.global_step}"
        with self._pause():
            try:
                super()._save_checkpoint(model, trial)  # type: ignore[no-untyped-call]
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


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
