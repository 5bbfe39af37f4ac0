"""Cross-entropy of the answers, with logits computed only for the answers.

All prompts begin with the same instruction. Its keys and values are computed once per batch, and shared by all rows.
Sharing changes neither loss nor gradient, except that all rows have the same dropout mask in the instruction.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers.cache_utils import DynamicCache, DynamicLayer

from finetune.qlora.data import IGNORED, Example

_MIN_PREFIX = 8  # tokens; sharing fewer saves less than the additional forward pass costs


def common_prefix_length(examples: Sequence[Example]) -> int:
    """The number of tokens that all prompts begin with, or 0 if there are too few to be worth sharing.

    The prefix leaves out each prompt's last token, because its logits predict the answer's first token.
    """
    first = examples[0].ids
    length = min(example.start for example in examples) - 1
    for example in examples:
        while example.ids[:length] != first[:length]:
            length -= 1
    return length if length >= _MIN_PREFIX else 0


def can_share_cache(model: Any) -> bool:
    """Whether the model uses a plain ``DynamicCache``, which passes gradients and whose rows can be repeated."""
    with torch.no_grad():
        token = torch.zeros((1, 1), dtype=torch.long, device=model.device)
        cache = getattr(model(input_ids=token, use_cache=True), "past_key_values", None)
    return type(cache) is DynamicCache and all(type(layer) is DynamicLayer for layer in cache.layers)


def answer_loss(model: Any, batch: Mapping[str, Tensor], shared: int) -> Tensor:
    """The summed cross-entropy (nats) of the tokens whose target is not ``IGNORED``.

    Args:
        model: a causal model that takes ``logits_to_keep``.
        batch: ``input_ids``, ``attention_mask`` and ``labels`` of shape (rows, tokens), padded on the right.
        shared: number of tokens that all rows begin with; 0 shares none.
    """
    ids, mask = batch["input_ids"], batch["attention_mask"]
    targets = batch["labels"][:, 1:]
    # All rows share ``logits_to_keep``, the positions at which any row has a target: few if the lengths are similar.
    positions = (targets != IGNORED).any(0).nonzero()[:, 0]
    if shared:
        cache = model(input_ids=ids[:1, :shared], use_cache=True, logits_to_keep=1).past_key_values
        cache.batch_repeat_interleave(len(ids))
        output = model(
            input_ids=ids[:, shared:],
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=positions - shared,
        )
    else:
        output = model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=positions)
    logits: Tensor = output.logits
    targets = targets[:, positions].flatten().to(logits.device)
    return cross_entropy(logits.flatten(0, 1).float(), targets, ignore_index=IGNORED, reduction="sum")
