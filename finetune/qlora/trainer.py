# ruff: noqa: ARG002  (transformers passes the same arguments to all callbacks)
"""TRL's ``SFTTrainer`` on tokenised pairs, with the faster loss of ``finetune.qlora.loss``."""

import inspect
from typing import Any

import torch
from peft import PeftModel
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from finetune.qlora.data import IGNORED
from finetune.qlora.loss import answer_loss, can_share_cache
from finetune.sampler import SeededSampler
from finetune.trainer import BaseTrainer


class PairTrainer(BaseTrainer, SFTTrainer):
    """Trains on tokenised examples.

    Args:
        args: TRL's settings.
        sampler: the order of the examples.
        answer_only: whether the loss covers the answers only.
        shared: number of tokens at the start of all prompts that are computed once a batch; 0 for none. Nothing is
            shared in a distributed run, with gradient checkpointing, or if the model's cache cannot be shared.
        kwargs: arguments of ``BaseTrainer`` and ``SFTTrainer``.
    """

    def __init__(
        self, *, args: SFTConfig, sampler: SeededSampler, answer_only: bool, shared: int, **kwargs: Any
    ) -> None:
        super().__init__(args=args, sampler=sampler, **kwargs)
        base = self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model
        self._answer_only = answer_only and "logits_to_keep" in inspect.signature(base.forward).parameters
        one_process = self.accelerator.num_processes == 1
        shareable = shared and one_process and self._answer_only and not args.activation_checkpointing
        self._shared = shared if shareable and can_share_cache(self.model) else 0
        for weights in self.model.parameters():
            if weights.requires_grad:  # TRL makes a 4-bit base's adapter bfloat16, which rounds small updates away
                weights.data = weights.data.float()
        self.add_callback(SetEpoch(sampler))

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: "torch.Tensor | int | None" = None,
    ) -> Any:
        """The mean cross-entropy over a step's tokens, on all devices, whose target is not ``IGNORED``."""
        if not self._answer_only or self.aux_loss_enabled or return_outputs:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)  # type: ignore[no-untyped-call]
        loss = answer_loss(model, inputs, self._shared)
        count = (inputs["labels"] != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            loss = loss * self.accelerator.num_processes  # DDP takes the mean of the processes' gradients
        return loss / count

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Skip TRL's card; ``Run`` writes the model card."""

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        if not self.args.should_save:
            return
        folder = output_dir or str(self.args.output_dir)
        model = self.accelerator.unwrap_model(self.model)
        if isinstance(model, PeftModel):
            # False, since the default "auto" would ask the hub whether the base's vocabulary has grown.
            model.save_pretrained(folder, state_dict=state_dict, save_embedding_layers=False)
        else:
            model.save_pretrained(folder, state_dict=state_dict)
            self.processing_class.save_pretrained(folder)


class SetEpoch(TrainerCallback):
    """Sets the sampler's epoch. accelerate does not set it if a distributed run resumes within an epoch."""

    def __init__(self, sampler: SeededSampler) -> None:
        self._sampler = sampler

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Set the epoch that begins or resumes."""
        self._sampler.set_epoch(int(state.epoch or 0))
