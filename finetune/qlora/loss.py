"""Cross-entropy of the answers, with logits only at the answers and a shared prompt prefix.

All prompts begin with the same instruction, whose keys and values are computed once per batch and shared by its rows.
Loss and gradient are those of rows computed whole, except that the rows share the instruction's dropout mask.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers.cache_utils import DynamicCache, DynamicLayer

from finetune.qlora.data import IGNORED, Example

_MIN_SHARED = 8  # tokens; sharing fewer saves less than its additional forward pass costs


def common_start(examples: Sequence[Example]) -> int:
    """The length of the prompts' common prefix, without any prompt's last token; 0 if too short to be worth sharing.

    A prompt's last token stays in its row, because its logits predict the answer's first token.
    """
    first = examples[0].ids
    length = min(example.start for example in examples) - 1
    for example in examples:
        while example.ids[:length] != first[:length]:
            length -= 1
    return length if length >= _MIN_SHARED else 0


def shares_cache(model: Any) -> bool:
    """Whether the model's cache of keys and values passes gradients and can be shared by rows."""
    with torch.no_grad():
        token = torch.zeros((1, 1), dtype=torch.long, device=model.device)
        cache = getattr(model(input_ids=token, use_cache=True), "past_key_values", None)
    return type(cache) is DynamicCache and all(type(layer) is DynamicLayer for layer in cache.layers)


def answer_loss(model: Any, batch: Mapping[str, Tensor], shared: int) -> Tensor:
    """The summed cross-entropy (nats) of the tokens whose target is not ``IGNORED``.

    Args:
        model: a causal model that takes ``logits_to_keep``.
        batch: ``input_ids``, ``attention_mask`` and ``labels`` of shape (rows, tokens), padded on the right.
        shared: number of tokens that all rows begin with; 0 computes every row whole.
    """
    ids, mask = batch["input_ids"], batch["attention_mask"]
    targets = batch["labels"][:, 1:]
    # Positions where any row has a target, as ``logits_to_keep`` is common to all rows; few if lengths are similar.
    kept = (targets != IGNORED).any(0).nonzero()[:, 0]
    if shared:
        cache = model(input_ids=ids[:1, :shared], use_cache=True, logits_to_keep=1).past_key_values
        cache.batch_repeat_interleave(len(ids))
        output = model(
            input_ids=ids[:, shared:],
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=kept - shared,
        )
    else:
        output = model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=kept)
    logits: Tensor = output.logits
    targets = targets[:, kept].flatten().to(logits.device)
    return cross_entropy(logits.flatten(0, 1).float(), targets, ignore_index=IGNORED, reduction="sum")
