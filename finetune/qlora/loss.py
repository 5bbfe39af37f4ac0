"""The loss on answers alone, with no more computation than it needs.

Logits are computed only at the answers. All prompts begin with the same instruction, whose keys and values are computed
once a batch and shared by the rows; the gradient is the same (with dropout, the rows share the instruction's dropout
mask).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers.cache_utils import DynamicCache, DynamicLayer

from finetune.qlora.data import IGNORED, Example

_WORTH_SHARING = 8  # tokens; a second pass through the model costs about as much


def common_start(examples: Sequence[Example]) -> int:
    """The number of tokens that all prompts begin with; each prompt keeps at least one token after them."""
    first = examples[0].ids
    length = min(example.start for example in examples) - 1
    for example in examples:
        while example.ids[:length] != first[:length]:
            length -= 1
    return length if length >= _WORTH_SHARING else 0


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
    # The columns where any row has an answer: few in batches of similar length, and every architecture takes them.
    where = (targets != IGNORED).any(0).nonzero()[:, 0]
    if shared:
        cache = model(input_ids=ids[:1, :shared], use_cache=True, logits_to_keep=1).past_key_values
        cache.batch_repeat_interleave(len(ids))
        output = model(
            input_ids=ids[:, shared:],
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=where - shared,
        )
    else:
        output = model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=where)
    logits: Tensor = output.logits
    learned = targets[:, where].flatten().to(logits.device)
    return cross_entropy(logits.flatten(0, 1).float(), learned, ignore_index=IGNORED, reduction="sum")
