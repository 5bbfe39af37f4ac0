"""Fits the settings of a QLoRA run to the device: replaces settings that the device does not support."""

import os
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from chains.config import LLMConfig
from chains.models.local import resolve_dtype
from common.errors import UserError
from finetune.config import QLoRAConfig
from finetune.distributed import processes
from finetune.run import Device


@dataclass(frozen=True)
class DeviceSettings:
    """Settings that a device supports, and a sentence about each replaced setting."""

    llm: LLMConfig
    config: QLoRAConfig
    device: Device
    substitutions: tuple[str, ...]


def fit_to_device(llm: LLMConfig, config: QLoRAConfig) -> DeviceSettings:
    """Replace settings that this device does not support.

    Full fine-tuning loads 32-bit weights and computes in the dtype of ``llm.dtype``. Each process of a distributed run
    gets one GPU.

    Raises:
        UserError: settings contradict each other, on any device.
    """
    _check_settings(llm, config)
    on_cpu = llm.device_map == "cpu" or not torch.accelerator.is_available()
    on_cuda = not on_cpu and torch.cuda.is_available()
    substitutions = []
    if llm.dtype == "float16" and not on_cuda:
        llm = llm.model_copy(update={"dtype": "auto"})
        dtype = str(resolve_dtype(llm)).removeprefix("torch.")
        substitutions.append(f"llm.dtype is {dtype} instead of float16, which needs an NVIDIA card in training")
    if config.optimizer != "adamw" and not on_cuda:
        substitutions.append(
            f"train.qlora.optimizer is adamw instead of {config.optimizer}, which needs an NVIDIA card"
        )
        config = config.model_copy(update={"optimizer": "adamw"})
    compute = resolve_dtype(llm)
    if config.method == "full":
        llm = llm.model_copy(update={"dtype": "float32"})
    if on_cuda and processes() > 1:
        llm = llm.model_copy(update={"device_map": f"cuda:{os.environ.get('LOCAL_RANK', '0')}"})
    return DeviceSettings(llm, config, Device(on_cpu, compute), tuple(substitutions))


def keep_differentiable(model: PreTrainedModel) -> None:
    """Keep bitsandbytes from converting NF4 weights to its inference layout, which has no gradient.

    On processors with AVX512-BF16, bitsandbytes 0.50 converts the weights for good at the first forward pass in
    evaluation mode. Training after an evaluation would then be wrong without an error.
    """
    module: Any
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _check_settings(llm: LLMConfig, config: QLoRAConfig) -> None:
    if llm.kind != "huggingface":
        raise UserError(f"llm.kind is {llm.kind}, which has no weights to train. Set llm.kind to huggingface.")
    if llm.adapter is not None:
        raise UserError(
            f"llm.adapter is {llm.adapter}, and training starts a new adapter. Set llm.adapter to null. To build on "
            "that adapter, merge it first and set llm.model to the merged model."
        )
    if llm.quantization == "8bit":
        raise UserError(
            "llm.quantization is 8bit. Adapters are trained on 4bit (QLoRA) or none (LoRA); set it to one of them."
        )
    if config.method == "full" and llm.quantization != "none":
        raise UserError(
            f"train.qlora.method is full, and {llm.quantization} weights cannot be trained. Set llm.quantization to "
            "none, or train.qlora.method to lora."
        )
