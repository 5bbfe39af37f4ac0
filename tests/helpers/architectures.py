"""Tiny random causal language models of many architectures, and a tokenizer whose words are token ids."""

from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PreTrainedModel, PreTrainedTokenizerFast

VOCABULARY_SIZE = 120
_COMMON = {
    "vocab_size": VOCABULARY_SIZE,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_GPT2: dict[str, Any] = {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 256}
_EXPERTS: dict[str, Any] = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
_SLIDING: dict[str, Any] = {"sliding_window": 16}
_GEMMA3 = {**_SLIDING, "head_dim": 12, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}
_VISION = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}


def _rope(rope_type: str, **settings: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": rope_type, "rope_theta": 1e4, **settings}}


# Test id -> model type of transformers, settings of its configuration. Slow tests use RARE too.
COMMON: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama, scaled": ("llama", _rope("linear", factor=4.0)),
    "llama 3": (
        "llama",
        _rope("llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64),
    ),
    "gemma": ("gemma", {"head_dim": 12}),
    "gemma 2": ("gemma2", {"head_dim": 12, **_SLIDING}),
    "gemma 3": ("gemma3_text", _GEMMA3),
    "gemma 3 with images": ("gemma3", {"text_config": {**_COMMON, **_GEMMA3}, "vision_config": _VISION}),
    "mistral": ("mistral", {"sliding_window": None}),
    "mistral, sliding": ("mistral", _SLIDING),
    "mixtral": ("mixtral", {"num_local_experts": 4}),
    "qwen 2": ("qwen2", {}),
    "qwen 3": ("qwen3", {"head_dim": 12}),
    "gpt2": ("gpt2", _GPT2),
    "gpt-neox": ("gpt_neox", {}),
    "opt": ("opt", {"ffn_dim": 48, "word_embed_proj_dim": 32}),
    "bloom": ("bloom", {"n_layer": 3, "n_head": 4}),
    "mpt": ("mpt", {"d_model": 32, "n_heads": 4, "n_layers": 3, "max_seq_len": 256, "expansion_ratio": 2}),
    "phi": ("phi", {}),
    "phi 3": ("phi3", {"sliding_window": None}),
    "phi 3, long": (
        "phi3",
        {
            "original_max_position_embeddings": 64,
            **_rope("longrope", short_factor=[1.0] * 4, long_factor=[2.0, 3.0, 4.0, 5.0]),
        },
    ),
    "falcon": ("falcon", {"ffn_hidden_size": 48}),
    "falcon, alibi": ("falcon", {"alibi": True, "multi_query": False, "ffn_hidden_size": 48}),
    "biogpt": ("biogpt", {}),
    "mamba": ("mamba", {"state_size": 8}),
    "recurrentgemma": ("recurrent_gemma", {"lru_width": 32, "attention_window_size": 16, "head_dim": 8}),
    "openai-gpt": ("openai-gpt", _GPT2),
}
RARE: dict[str, tuple[str, dict[str, Any]]] = {
    "llama, yarn": ("llama", _rope("yarn", factor=4.0, original_max_position_embeddings=64)),
    "ministral 3": ("ministral3", {}),
    "qwen 2, experts": ("qwen2_moe", {**_EXPERTS, "shared_expert_intermediate_size": 16}),
    "qwen 3, experts": ("qwen3_moe", {**_EXPERTS, "head_dim": 12}),
    "gpt-j": ("gptj", {**_GPT2, "rotary_dim": 4}),
    "falcon, many key heads": ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2, "ffn_hidden_size": 48}),
    "stablelm": ("stablelm", {}),
    "olmo": ("olmo", {}),
    "olmo 2": ("olmo2", {}),
    "olmo 3": ("olmo3", _SLIDING),
    "granite": ("granite", {}),
    "cohere": ("cohere", {}),
    "cohere 2": ("cohere2", _SLIDING),
    "starcoder 2": ("starcoder2", {"sliding_window": None}),
    "smollm 3": ("smollm3", {}),
    "glm 4": ("glm4", {"head_dim": 8}),
    "exaone 4": ("exaone4", {**_SLIDING, "sliding_window_pattern": 2}),
    "gpt-oss": ("gpt_oss", {"head_dim": 8, "num_local_experts": 4, **_SLIDING}),
    "gemma 4": ("gemma4_text", {"head_dim": 8, "global_head_dim": 8, **_SLIDING}),
    "llama 4": (
        "llama4_text",
        {"head_dim": 8, "num_local_experts": 2, "intermediate_size_mlp": 48, "attention_chunk_size": 16},
    ),
    "lfm 2": ("lfm2", {"layer_types": ["conv", "full_attention", "conv"]}),
    "jamba": (
        "jamba",
        {
            "num_experts": 2,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "use_mamba_kernels": False,
            "mamba_d_state": 8,
        },
    ),
    "rwkv": ("rwkv", {"attention_hidden_size": 32}),
}


def make_model(name: str) -> PreTrainedModel:
    """A float32 model with weights so large that its output depends on every position and token."""
    torch.manual_seed(9)
    model_type, settings = {**COMMON, **RARE}[name]
    common = {} if "text_config" in settings else _COMMON
    config = AutoConfig.for_model(model_type, **{**common, **settings})
    model = AutoModelForCausalLM.from_config(config).float().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.25)
    model.generation_config = GenerationConfig(bos_token_id=1, eos_token_id=2, pad_token_id=0)
    return model


def numbered_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer whose token 5 is the word "5"; tokens 0, 1 and 2 are padding, beginning and end."""
    tokenizer = Tokenizer(models.WordLevel({str(id): id for id in range(VOCABULARY_SIZE)}, unk_token="0"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="0", bos_token="1", eos_token="2")
