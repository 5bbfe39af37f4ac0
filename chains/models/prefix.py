"""Shared prompt prefixes: keys and values computed once for all prompts of a call."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import Cache, DynamicLayer

from chains.models.architectures import sliding_window, splits_texts
from chains.models.batching import common_prefix

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CACHED_PER_COMPUTED = 8  # cached tokens that need as much memory as one computed token
_LEAST = 0.1  # minimum share of saved tokens; below it, the prefix costs as much as it saves


def shared_prefix_length(model: "PreTrainedModel", prompts: Sequence[list[int]], continued: int) -> int:
    """The number of first tokens that are computed once for all prompts; 0 if that saves no time.

    At least one token of each prompt is not shared, since the prediction starts from it. With ``continued`` tokens
    generated after each prompt, padding lies between the prefix and the rest, and a sliding window would count it.
    """
    shared = min(common_prefix(prompts), min(map(len, prompts)) - 1)
    saved = shared * (len(prompts) - 1)
    if saved == 0 or saved < _LEAST * sum(map(len, prompts)) or not splits_texts(model):
        return 0
    window = sliding_window(model)
    return 0 if continued and window and max(map(len, prompts)) + continued > window else shared


class SharedPrefix:
    """Keys and values of ``ids`` in all layers of a model for which ``architectures.splits_texts`` is true."""

    def __init__(self, model: "PreTrainedModel", ids: Sequence[int]) -> None:
        read = DynamicCache()  # without a configuration, so that sliding-window layers keep all of it
        model(
            input_ids=torch.tensor([list(ids)], device=model.device),
            past_key_values=read,
            use_cache=True,
            logits_to_keep=1,
        )
        layers: list[Any] = read.layers
        self._layers: list[tuple[Tensor, Tensor]] = [(layer.keys, layer.values) for layer in layers]

    def __len__(self) -> int:
        """Number of tokens."""
        return int(self._layers[0][0].shape[-2])

    def cache(self, *, keep: bool) -> Cache:
        """A cache of the prefix for a batch of any size; with ``keep``, it stores later keys and values too."""
        return Cache(layers=[_Layer(keys, values, keep) for keys, values in self._layers])


class _Layer(DynamicLayer):
    """One layer's keys and values, (rows, heads, tokens, size); the prefix is stored once for all rows."""

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
