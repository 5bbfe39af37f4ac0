"""TRL's trainer with the loss on answers alone and dev accuracy by scoring."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from peft import PeftModel
from transformers import PreTrainedModel
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from finetune.callbacks import Epochs
from finetune.qlora.loss import IGNORED, answer_loss, shares_cache
from finetune.qlora.order import SeededOrder
from finetune.trainer import RunTrainer

Measure = Callable[[PreTrainedModel | PeftModel], dict[str, float]]


class PairTrainer(RunTrainer, SFTTrainer):
    """Trains on tokenised examples.

    Args:
        model: the model, its adapter attached where one is trained.
        args: TRL's settings.
        order: in which the examples are seen.
        measure: the figures of the live model on the dev pairs, among them ``accuracy``.
        answer_alone: whether only the answers are learned.
        shared: how many tokens all prompts begin with alike, to be computed once a batch; 0 for none. Only in a process
            that trains alone.
        others: what ``RunTrainer`` and TRL take.
    """

    def __init__(
        self,
        *,
        model: PreTrainedModel | PeftModel,
        args: SFTConfig,
        order: SeededOrder,
        measure: Measure,
        answer_alone: bool,
        shared: int,
        **others: Any,
    ) -> None:
        self._order = order
        self._measure = measure
        super().__init__(model=model, args=args, **others)
        base = self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model
        self._answer_alone = answer_alone and "logits_to_keep" in inspect.signature(base.forward).parameters
        alone = self.accelerator.num_processes == 1 and not args.activation_checkpointing
        self._shared = shared if alone and self._answer_alone and shared and shares_cache(self.model) else 0
        for value in self.model.parameters():
            if value.requires_grad:  # TRL makes a 4-bit base's adapter bfloat16, in which small steps are lost
                value.data = value.data.float()
        self.add_callback(Epochs(order))

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

    def dev_figures(self) -> dict[str, float]:
        """The same in all processes."""
        figures = [self._measure(self.model)]
        if self.accelerator.num_processes > 1:
            torch.distributed.broadcast_object_list(figures)
        return figures[0]

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
