"""Attention for BERT encoders in bfloat16 on a CPU with AVX512-BF16, a few texts at a time.

torch's own CPU kernel multiplies blocks too small for these instructions. Two plain matrix products for a group of
texts, whose scores stay in the cache, take two thirds of its time at 256 tokens.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

NAME = "grouped_cpu"
GROUP_TOKENS = 1024


def use_grouped_attention(model: Any) -> bool:
    """Let a loaded transformers model attend in groups, if it is a BERT encoder in bfloat16 on a CPU.

    With AMX torch's own kernel is the better one, so there the model stays as it is.

    Returns:
        Whether it now does; any other model is left as it is.
    """
    import torch
    from transformers import AttentionInterface, AttentionMaskInterface, BertModel
    from transformers.masking_utils import sdpa_mask

    if not isinstance(model, BertModel) or model.config.is_decoder:
        return False
    if model.device.type != "cpu" or model.dtype != torch.bfloat16 or torch.cpu.get_capabilities().get("amx_bf16"):
        return False
    AttentionInterface.register(NAME, grouped_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)
    return True


def grouped_attention(
    module: Any,  # noqa: ARG001  (passed by position)
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    attention_mask: "torch.Tensor | None",
    scaling: float,
    **_: Any,
) -> "tuple[torch.Tensor, None]":
    """Softmax attention without causal order or dropout; the interface is transformers' ``AttentionInterface``.

    Args:
        module: the attention layer, which this function does not need.
        query: (texts, heads, tokens, size), as are ``key`` and ``value``.
        key: see ``query``.
        value: see ``query``.
        attention_mask: (texts, 1, tokens, tokens), true where a token may be attended to; None: everywhere.
        scaling: the factor of the scores.

    Returns:
        (texts, tokens, heads, size), and no weights.
    """
    import torch

    texts, heads, tokens, size = query.shape
    group = max(1, GROUP_TOKENS // tokens)
    out = torch.empty((texts, tokens, heads, size), dtype=query.dtype)
    query = query * scaling
    for start in range(0, texts, group):
        part = slice(start, start + group)
        scores = torch.matmul(query[part], key[part].transpose(-1, -2))
        if attention_mask is not None:
            scores.masked_fill_(~attention_mask[part], torch.finfo(scores.dtype).min)
        out[part] = torch.matmul(torch.softmax(scores, dim=-1), value[part]).transpose(1, 2)
    return out, None
