"""Shared prompt prefixes: keys and values computed once for all prompts of a call."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import Cache, DynamicLayer

from chains.models.architectures import sliding_window, supports_prefix_sharing
from chains.models.batching import common_prefix

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CACHED_PER_COMPUTED = 8  # cached tokens that need as much memory as one computed token
_MIN_SAVED = 0.1  # minimum share of tokens saved; with less, computing the prefix separately costs as much as it saves


def shared_prefix_length(model: "PreTrainedModel", prompts: Sequence[list[int]], later_tokens: int) -> int:
    """The number of first tokens to compute once for all prompts; 0 if that saves no time.

    The last token of each prompt is never shared, since the prediction starts from it. ``later_tokens`` is the number
    of tokens that follow a prompt in the cache. If there are any, padding lies between the prefix and the rest of a
    prompt; a sliding window counts padding, so nothing is shared if a text may exceed the window.
    """
    shared = min(common_prefix(prompts), min(map(len, prompts)) - 1)
    saved = shared * (len(prompts) - 1)
    if saved == 0 or saved < _MIN_SAVED * sum(map(len, prompts)) or not supports_prefix_sharing(model):
        return 0
    window = sliding_window(model)
    return 0 if later_tokens and window and max(map(len, prompts)) + later_tokens > window else shared


class SharedPrefix:
    """Keys and values of a prefix in all layers of a model (one with ``architectures.supports_prefix_sharing``)."""

    def __init__(self, model: "PreTrainedModel", ids: Sequence[int]) -> None:
        cache = DynamicCache()  # without a configuration, so that sliding-window layers also store the whole prefix
        model(
            input_ids=torch.tensor([list(ids)], device=model.device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        layers: list[Any] = cache.layers
        self._layers: list[tuple[Tensor, Tensor]] = [(layer.keys, layer.values) for layer in layers]

    def __len__(self) -> int:
        """Number of tokens."""
        return int(self._layers[0][0].shape[-2])

    def cache(self, *, extend: bool) -> Cache:
        """A cache of the prefix for a batch of any size; with ``extend``, later keys and values are added to it."""
        return Cache(layers=[_PrefixedLayer(keys, values, extend) for keys, values in self._layers])


class _PrefixedLayer(DynamicLayer):
    """One layer's keys and values, (prompts, heads, tokens, head size); the prefix is stored once for all prompts."""

    def __init__(self, keys: Tensor, values: Tensor, extend: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._prefix = keys, values
        self._extend = extend

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        later = super().update(key_states, value_states) if self._extend else (key_states, value_states)
        keys, values = (
            torch.cat([shared.expand(len(states), -1, -1, -1), states], dim=-2)
            for shared, states in zip(self._prefix, later, strict=True)
        )
        return keys, values

    def get_seq_length(self) -> int:
        later: int = super().get_seq_length()
        return self._prefix[0].shape[-2] + later
