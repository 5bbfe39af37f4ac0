"""A Llama on a CPU that computes what label scores need and no more.

Against the model's own forward pass five things are saved. Padding is never computed: prompts lie end to end, and only
attention looks at them one by one. In the last layer all but keys and values is computed for the prompts' last tokens
alone. A token's scores are computed for the blocks of tokens before it, not for those after it. Weights are laid out
once as the processor's matrix kernels want them. SiLU, products and sums are computed where their inputs are made.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import rms_norm
from transformers import LlamaForCausalLM

from corpus.processor import PackedLinear, computes_bfloat16, packs_linear

BLOCK = 256  # tokens whose attention is computed at once, so that their scores stay in the second-level cache
MOST_BYTES = 2 << 30  # the packed weights are a second copy, so larger models stay as they are
_STATIC_ROPE = ("default", "linear", "llama3")  # the others' angles depend on the longest text of a batch


def pack_llama(model: Any) -> "PackedLlama | None":
    """The packed form of ``model``, or None where it would not compute the same, or not faster.

    It is for Llama models without biases, quantisation or attached adapters, in float32, or in bfloat16 on a processor
    that computes in it, with weights of at most ``MOST_BYTES``.
    """
    if type(model) is not LlamaForCausalLM or model.device.type != "cpu" or not packs_linear():
        return None
    if model.dtype != torch.float32 and not (model.dtype == torch.bfloat16 and computes_bfloat16()):
        return None
    config = model.config
    rope: dict[str, Any] = getattr(config, "rope_parameters", None) or {}
    if config.hidden_act != "silu" or rope.get("rope_type", "default") not in _STATIC_ROPE:
        return None
    parameters = list(model.parameters())
    if any(value.is_meta or value.dtype != model.dtype for value in parameters):
        return None
    if sum(value.numel() * value.element_size() for value in parameters) > MOST_BYTES:
        return None
    linear = [part for layer in model.model.layers for part in (*layer.self_attn.children(), *layer.mlp.children())]
    if any(type(part) is not nn.Linear or part.bias is not None for part in linear if hasattr(part, "weight")):
        return None
    return PackedLlama(model)


class PackedLlama:
    """See ``pack_llama``; the weights are those that ``model`` had when it was packed."""

    def __init__(self, model: LlamaForCausalLM) -> None:
        self._embedding = model.model.embed_tokens.weight.detach()
        self._rotation = model.model.rotary_emb
        self._norm = _Norm(model.model.norm)
        self._head = model.lm_head.weight.detach()
        *first, last = model.model.layers
        self._layers = [_Layer(layer, last=False) for layer in first]
        self._last = _Layer(last, last=True)

    def next_token_log_probabilities(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Of each token of the vocabulary after each prompt, in float32: (prompts, vocabulary)."""
        with torch.inference_mode():
            lengths = torch.tensor([len(prompt) for prompt in prompts])
            stops = lengths.cumsum(0)
            bounds = list(pairwise([0, *stops.tolist()]))
            positions = torch.cat([torch.arange(int(length)) for length in lengths])
            states = self._embedding[torch.tensor([token for prompt in prompts for token in prompt])]
            cosine, sine = (angles[0, :, None] for angles in self._rotation(states[None], positions[None]))
            for layer in self._layers:
                states = layer.forward(states, cosine, sine, bounds)
            states = self._last.forward_ends(states, cosine, sine, bounds, stops - 1)
            logits: Tensor = self._norm(states) @ self._head.T
            return logits.float().log_softmax(-1)


class _Layer:
    """One transformer layer over prompts that lie end to end."""

    def __init__(self, layer: Any, *, last: bool) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        query, key, value = (part.weight for part in (attention.q_proj, attention.k_proj, attention.v_proj))
        self._size: int = attention.head_dim
        self._scaling: float = attention.scaling
        self._queries = query.shape[0] // self._size
        self._keys = key.shape[0] // self._size
        if last:
            self._query, self._key_value = PackedLinear(query, batch=16), PackedLinear(torch.cat([key, value]))
        else:
            self._all = PackedLinear(torch.cat([query, key, value]))
        self._out = PackedLinear(attention.o_proj.weight)
        self._gate = PackedLinear(mlp.gate_proj.weight, activation="swish")
        self._up = PackedLinear(mlp.up_proj.weight)
        self._down = PackedLinear(mlp.down_proj.weight)
        self._norms = _Norm(layer.input_layernorm), _Norm(layer.post_attention_layernorm)

    def forward(self, states: Tensor, cosine: Tensor, sine: Tensor, bounds: list[tuple[int, int]]) -> Tensor:
        """(tokens, width) to the same; ``bounds`` are where each prompt starts and stops."""
        projected = self._all(self._norms[0](states)).view(len(states), -1, self._size)
        rotated = _rotate(projected[:, : -self._keys], cosine, sine)
        query, key, value = rotated[:, : self._queries], rotated[:, self._queries :], projected[:, -self._keys :]
        query, key, value = (part.transpose(0, 1).contiguous() for part in (query * self._scaling, key, value))
        attended = torch.empty((len(states), self._queries, self._size), dtype=states.dtype)
        for start, stop in bounds:
            for first in range(start, stop, BLOCK):
                end = min(first + BLOCK, stop)
                block = self._attend(query[:, first:end], key[:, start:end], value[:, start:end])
                attended[first:end] = block.transpose(0, 1)
        return self._change(self._out.plus(attended.flatten(1), states))

    def forward_ends(
        self, states: Tensor, cosine: Tensor, sine: Tensor, bounds: list[tuple[int, int]], ends: Tensor
    ) -> Tensor:
        """(tokens, width) to (prompts, width): the states of the prompts' last tokens, which are at ``ends``."""
        normed = self._norms[0](states)
        key, value = self._key_value(normed).view(len(states), 2, self._keys, self._size).unbind(1)
        query = self._query(normed[ends]).view(len(ends), self._queries, self._size)
        query = _rotate(query, cosine[ends], sine[ends]) * self._scaling
        key, value = (part.transpose(0, 1).contiguous() for part in (_rotate(key, cosine, sine), value))
        attended = [
            self._attend(one[:, None], key[:, start:stop], value[:, start:stop]).flatten()
            for one, (start, stop) in zip(query, bounds, strict=True)
        ]
        return self._change(self._out.plus(torch.stack(attended), states[ends]))

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """The last tokens' queries, (heads, queried, size), over all keys and values, (key heads, tokens, size)."""
        queried, tokens = query.shape[1], key.shape[1]
        shared = (self._keys, -1, self._size)  # query heads that share a key head lie behind each other
        scores = torch.bmm(query.reshape(shared), key.transpose(1, 2)).view(self._queries, queried, tokens)
        if queried > 1:
            later = torch.ones((queried, queried), dtype=torch.bool).triu(1)
            scores[:, :, tokens - queried :].masked_fill_(later, float("-inf"))
        weights = torch.softmax(scores, dim=-1).view(self._keys, -1, tokens)
        return torch.bmm(weights, value).view(self._queries, queried, self._size)

    def _change(self, states: Tensor) -> Tensor:
        normed = self._norms[1](states)
        return self._down.plus(self._up.times(normed, self._gate(normed)), states)


class _Norm:
    """A root mean square norm."""

    def __init__(self, norm: Any) -> None:
        self._weight = norm.weight.detach()
        self._epsilon: float = norm.variance_epsilon

    def __call__(self, states: Tensor) -> Tensor:
        return rms_norm(states, self._weight.shape, self._weight, self._epsilon)


def _rotate(states: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotary positions (Su et al. 2021), with the halves of a head as Llama's checkpoints have them."""
    first, second = states.chunk(2, dim=-1)
    return torch.addcmul(states * cosine, torch.cat([-second, first], dim=-1), sine)
