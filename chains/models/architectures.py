"""What the architectures of causal models allow where texts of unlike length share a batch.

The test of this file runs every architecture that is named here, and others, through scoring and generating.
"""

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Those for which a test shows that keys and values of a text's beginning can be computed apart from the rest. Of an
# architecture that is not named here a text is computed whole.
_SPLITTING = frozenset(
    {
        "biogpt",
        "bloom",
        "cohere",
        "cohere2",
        "exaone4",
        "falcon",
        "gemma",
        "gemma2",
        "gemma3",
        "gemma3_text",
        "glm4",
        "gpt2",
        "gpt_neox",
        "gpt_oss",
        "gptj",
        "granite",
        "llama",
        "ministral3",
        "mistral",
        "mixtral",
        "olmo",
        "olmo2",
        "olmo3",
        "opt",
        "phi",
        "phi3",
        "qwen2",
        "qwen2_moe",
        "qwen3",
        "qwen3_moe",
        "smollm3",
        "stablelm",
        "starcoder2",
    }
)


def splits_texts(model: "PreTrainedModel") -> bool:
    """Whether a text's beginning can be computed once and the rest be computed after it, with the same result.

    An attached adapter must be LoRA that is always on; there is one kind that looks for certain tokens in a text.
    """
    for adapter in _adapters(model):
        if adapter.peft_type != "LORA" or getattr(adapter, "alora_invocation_tokens", None):
            return False
    return model.config.model_type in _SPLITTING and _rope_switches_at(model) is None


def puts_tokens_before(model: "PreTrainedModel") -> bool:
    """Whether an attached adapter is of learned prompts: it puts tokens of its own before a text and its padding."""
    return any(adapter.is_prompt_learning for adapter in _adapters(model))


def sliding_window(model: "PreTrainedModel") -> int | None:
    """How many tokens some layers look back, where they do not look back to the first."""
    window: int | None = getattr(model.config.get_text_config(), "sliding_window", None)
    return window


def takes_positions(model: "PreTrainedModel") -> bool:
    """Whether the model is told positions; others (ALiBi) derive them from the mask."""
    return "position_ids" in inspect.signature(_base(model).forward).parameters


def is_recurrent(model: "PreTrainedModel") -> bool:
    """Whether some layers keep a running state (Mamba, RWKV, Griffin), in which padding would leave its trace.

    Nor can such a state always be continued by several tokens at once.
    """
    return bool(getattr(_base(model), "_is_stateful", False))


def batches_together(model: "PreTrainedModel", longest: int) -> bool:
    """Whether a text's result is its own, whatever else is in its batch, for texts of up to ``longest`` tokens.

    It is not where the batch's longest text decides by which angles all of it are rotated (LongRoPE, Ding et al. 2024).
    """
    switch = _rope_switches_at(model)
    return switch is None or longest <= switch


def _rope_switches_at(model: "PreTrainedModel") -> int | None:
    """Beyond how many tokens the angles are others, where the longest text decides; None where none does."""
    config: Any = model.config.get_text_config()
    rope: dict[str, Any] = getattr(config, "rope_parameters", None) or {}
    for part in (rope, *(value for value in rope.values() if isinstance(value, dict))):  # some have one for each kind
        match part.get("rope_type"):
            case "longrope":
                return int(part["original_max_position_embeddings"])
            case "dynamic":
                return int(config.max_position_embeddings)
    return None


def _adapters(model: "PreTrainedModel") -> list[Any]:
    return list(getattr(model, "peft_config", {}).values())


def _base(model: "PreTrainedModel") -> Any:
    return getattr(model, "get_base_model", lambda: model)()  # an attached adapter wraps the model
