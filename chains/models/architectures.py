"""Properties of causal language models that decide how texts can be batched and share a prefix.

``tests/chains/models/test_architectures.py`` runs every architecture named here through scoring and generation.
"""

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Architectures tested to give equal results when a shared prefix is computed separately.
_PREFIX_SHARING = frozenset(
    """
    biogpt bloom cohere cohere2 exaone4 falcon gemma gemma2 gemma3 gemma3_text glm4 gpt2 gpt_neox gpt_oss gptj
    granite llama ministral3 mistral mixtral olmo olmo2 olmo3 opt phi phi3 qwen2 qwen2_moe qwen3 qwen3_moe
    smollm3 stablelm starcoder2
    """.split()  # noqa: SIM905
)


def supports_prefix_sharing(model: "PreTrainedModel") -> bool:
    """Whether a shared prefix can be computed once and each text continued after it, with equal results.

    An attached adapter must be a LoRA without invocation tokens. With them, a LoRA becomes active only within a text.
    """
    for adapter in _adapters(model):
        if adapter.peft_type != "LORA" or getattr(adapter, "alora_invocation_tokens", None):
            return False
    return model.config.model_type in _PREFIX_SHARING and _fixed_rope_length(model) is None


def has_prompt_tuning(model: "PreTrainedModel") -> bool:
    """Whether an attached adapter is a prompt-tuning adapter, which inserts virtual tokens before the whole input."""
    return any(adapter.is_prompt_learning for adapter in _adapters(model))


def sliding_window(model: "PreTrainedModel") -> int | None:
    """The window of layers with sliding-window attention; None if all layers attend to the first token."""
    window: int | None = getattr(model.config.get_text_config(), "sliding_window", None)
    return window


def takes_positions(model: "PreTrainedModel") -> bool:
    """Whether the model takes position ids; ALiBi models derive positions from the mask."""
    return "position_ids" in inspect.signature(_base(model).forward).parameters


def is_recurrent(model: "PreTrainedModel") -> bool:
    """Whether some layers have a recurrent state (Mamba, RWKV, Griffin).

    Padding would change the state, and some models cannot continue from it with several tokens at once.
    """
    return bool(getattr(_base(model), "_is_stateful", False))


def is_batch_invariant(model: "PreTrainedModel", longest: int) -> bool:
    """Whether batches with texts of up to ``longest`` tokens give each text the result that it has alone.

    False if the longest text of a batch determines the rotary angles (LongRoPE, Ding et al. 2024).
    """
    limit = _fixed_rope_length(model)
    return limit is None or longest <= limit


def _fixed_rope_length(model: "PreTrainedModel") -> int | None:
    """The number of tokens up to which the rotary angles are fixed; None if they never depend on the longest text."""
    config: Any = model.config.get_text_config()
    rope: dict[str, Any] = getattr(config, "rope_parameters", None) or {}
    by_layer_type = (value for value in rope.values() if isinstance(value, dict))  # only some architectures have these
    for settings in (rope, *by_layer_type):
        if settings.get("rope_type") == "longrope":
            return int(settings["original_max_position_embeddings"])
        if settings.get("rope_type") == "dynamic":
            return int(config.max_position_embeddings)
    return None


def _adapters(model: "PreTrainedModel") -> list[Any]:
    return list(getattr(model, "peft_config", {}).values())


def _base(model: "PreTrainedModel") -> Any:
    return getattr(model, "get_base_model", lambda: model)()  # an attached adapter wraps the model
