"""Properties of causal model architectures that matter for batches of texts of different lengths.

``tests/chains/models/test_architectures.py`` runs every architecture named here through scoring and generation.
"""

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Architectures for which a test shows that the keys and values of a prefix can be computed separately. For all others,
# texts are computed whole.
_SPLITTING = frozenset(
    """
    biogpt bloom cohere cohere2 exaone4 falcon gemma gemma2 gemma3 gemma3_text glm4 gpt2 gpt_neox gpt_oss gptj
    granite llama ministral3 mistral mixtral olmo olmo2 olmo3 opt phi phi3 qwen2 qwen2_moe qwen3 qwen3_moe
    smollm3 stablelm starcoder2
    """.split()  # noqa: SIM905
)


def splits_texts(model: "PreTrainedModel") -> bool:
    """Whether a shared prefix can be computed once and each text continued after it, with equal results.

    An attached adapter must be a LoRA that is always active; some adapters react to certain tokens in a text.
    """
    for adapter in _adapters(model):
        if adapter.peft_type != "LORA" or getattr(adapter, "alora_invocation_tokens", None):
            return False
    return model.config.model_type in _SPLITTING and _rope_switches_at(model) is None


def puts_tokens_before(model: "PreTrainedModel") -> bool:
    """Whether an attached adapter is a prompt-tuning one, which inserts tokens before a text and its padding."""
    return any(adapter.is_prompt_learning for adapter in _adapters(model))


def sliding_window(model: "PreTrainedModel") -> int | None:
    """The window of layers with sliding-window attention; None if all layers attend to the first token."""
    window: int | None = getattr(model.config.get_text_config(), "sliding_window", None)
    return window


def takes_positions(model: "PreTrainedModel") -> bool:
    """Whether the model takes position ids; others (ALiBi) derive positions from the mask."""
    return "position_ids" in inspect.signature(_base(model).forward).parameters


def is_recurrent(model: "PreTrainedModel") -> bool:
    """Whether some layers keep a recurrent state (Mamba, RWKV, Griffin), which padding would change.

    Such a state also cannot always be continued by several tokens at once.
    """
    return bool(getattr(_base(model), "_is_stateful", False))


def is_batch_invariant(model: "PreTrainedModel", longest: int) -> bool:
    """Whether the result for a text is independent of the other texts in its batch, up to ``longest`` tokens.

    It is not if the longest text of a batch determines the rotary angles (LongRoPE, Ding et al. 2024).
    """
    switch = _rope_switches_at(model)
    return switch is None or longest <= switch


def _rope_switches_at(model: "PreTrainedModel") -> int | None:
    """The number of tokens beyond which the rotary angles change with the longest text; None if they never do."""
    config: Any = model.config.get_text_config()
    rope: dict[str, Any] = getattr(config, "rope_parameters", None) or {}
    for part in (rope, *(value for value in rope.values() if isinstance(value, dict))):  # some have one per layer type
        if part.get("rope_type") == "longrope":
            return int(part["original_max_position_embeddings"])
        if part.get("rope_type") == "dynamic":
            return int(config.max_position_embeddings)
    return None


def _adapters(model: "PreTrainedModel") -> list[Any]:
    return list(getattr(model, "peft_config", {}).values())


def _base(model: "PreTrainedModel") -> Any:
    return getattr(model, "get_base_model", lambda: model)()  # an attached adapter wraps the model
