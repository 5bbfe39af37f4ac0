"""The tokens that all prompts of a call begin with: their keys and values, computed once and attended to by all."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import Cache, DynamicLayer

from chains.models.architectures import sliding_window, splits_texts

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ATTENDED = 8  # as many tokens that are only attended to take the memory of one that is computed
_LEAST = 0.1  # of all tokens: where fewer are saved, reading the prefix and attending to it cost as much


def sharable(model: "PreTrainedModel", prompts: Sequence[list[int]], continued: int) -> int:
    """How many first tokens of the prompts are to be computed once for all: those they share, 0 where it would not pay.

    At least one token of each prompt is its own, so that there is one to predict from.

    Args:
        model: a causal model.
        prompts: token ids, at least one prompt.
        continued: by how many tokens each is continued. Padding then lies between the prefix and a prompt's own tokens,
            which a sliding window that reaches back to it would count.
    """
    low, high = min(prompts), max(prompts)  # in order: what these two share, all share
    shared = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))
    shared = min(shared, min(map(len, prompts)) - 1)
    saved = shared * (len(prompts) - 1)
    if saved == 0 or saved < _LEAST * sum(map(len, prompts)) or not splits_texts(model):
        return 0
    window = sliding_window(model)
    return 0 if continued and window and max(map(len, prompts)) + continued > window else shared


class SharedPrefix:
    """Keys and values of ``ids`` in all layers of ``model``, which ``architectures.splits_texts``."""

    def __init__(self, model: "PreTrainedModel", ids: Sequence[int]) -> None:
        read = DynamicCache()  # of no configuration, so that layers with a sliding window keep all of it too
        model(
            input_ids=torch.tensor([list(ids)], device=model.device),
            past_key_values=read,
            use_cache=True,
            logits_to_keep=1,
        )
        layers: list[Any] = read.layers
        self._layers: list[tuple[Tensor, Tensor]] = [(layer.keys, layer.values) for layer in layers]

    def __len__(self) -> int:
        """In tokens."""
        return int(self._layers[0][0].shape[-2])

    def cache(self, *, keep: bool) -> Cache:
        """A cache that holds the prefix for a batch of any size.

        Args:
            keep: hold what is computed after it as well, for what comes after that.
        """
        return Cache(layers=[_Layer(keys, values, keep) for keys, values in self._layers])


class _Layer(DynamicLayer):
    """One layer's keys and values, (rows, heads, tokens, size); those of the prefix are held once for all rows."""

    def __init__(self, keys: Tensor, values: Tensor, keep: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._prefix = keys, values
        self._keep = keep

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        own = super().update(key_states, value_states) if self._keep else (key_states, value_states)
        keys, values = (
            torch.cat([shared.expand(len(part), -1, -1, -1), part], dim=-2)
            for shared, part in zip(self._prefix, own, strict=True)
        )
        return keys, values

    def get_seq_length(self) -> int:
        own: int = super().get_seq_length()
        return self._prefix[0].shape[-2] + own
