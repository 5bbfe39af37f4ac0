"""What the device can do of what the settings ask."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chains.config import LLMConfig
from chains.models.local import resolve_dtype
from common.errors import UserError
from finetune.config import QLoRAConfig
from finetune.process import processes

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Fitted:
    """Settings that this device can carry out, what was put in the place of what, and the type it computes in."""

    llm: LLMConfig
    config: QLoRAConfig
    compute: "torch.dtype"
    on_cpu: bool
    substitutions: tuple[str, ...]


def fit_to_device(llm: LLMConfig, config: QLoRAConfig) -> Fitted:
    """The settings with what this device cannot do replaced by the nearest that it can.

    Full fine-tuning loads 32-bit weights and computes in the resolved type; processes that share the work have a card
    each.

    Raises:
        UserError: the settings contradict each other, whatever the device.
    """
    import torch

    _check(llm, config)
    on_cpu = llm.device_map == "cpu" or not torch.accelerator.is_available()
    on_cuda = not on_cpu and torch.cuda.is_available()
    substitutions = []
    if llm.dtype == "float16" and not on_cuda:
        llm = llm.model_copy(update={"dtype": "auto"})
        substitutions.append(f"llm.dtype: {_name(resolve_dtype(llm))} for float16, which needs an NVIDIA card to train")
    if config.optimizer != "adamw" and not on_cuda:
        substitutions.append(f"train.qlora.optimizer: adamw for {config.optimizer}, which needs an NVIDIA card")
        config = config.model_copy(update={"optimizer": "adamw"})
    compute = resolve_dtype(llm)
    if config.method == "full":
        llm = llm.model_copy(update={"dtype": "float32"})
    if on_cuda and processes() > 1:
        llm = llm.model_copy(update={"device_map": f"cuda:{os.environ.get('LOCAL_RANK', '0')}"})
    return Fitted(llm, config, compute, on_cpu, tuple(substitutions))


def keep_differentiable(model: "PreTrainedModel") -> None:
    """Keep bitsandbytes from laying NF4 weights out for inference when the model is measured between training steps.

    On processors with AVX512-BF16 it does so at the first pass in evaluation mode, for good, and the kernel for that
    layout has no gradient: whatever is trained afterwards goes wrong without an error (bitsandbytes 0.50).
    """
    module: Any
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _check(llm: LLMConfig, config: QLoRAConfig) -> None:
    if llm.kind != "huggingface":
        raise UserError(f"llm.kind is {llm.kind}, which has no weights to train. Set llm.kind to huggingface.")
    if llm.adapter is not None:
        raise UserError(
            f"llm.adapter is {llm.adapter}, and training starts an adapter of its own. Set llm.adapter to null; to "
            "build on that adapter, merge it first and name the merged model in llm.model."
        )
    if llm.quantization == "8bit":
        raise UserError("llm.quantization is 8bit; adapters are trained on 4bit (QLoRA) or none (plain LoRA).")
    if config.method == "full" and llm.quantization != "none":
        raise UserError(
            f"train.qlora.method is full, and {llm.quantization} weights cannot be trained themselves. "
            "Set llm.quantization to none, or train.qlora.method to lora."
        )


def _name(dtype: "torch.dtype") -> str:
    return str(dtype).removeprefix("torch.")
