"""Fast label scores of Llama-like models on a CPU.

Five differences from the model's forward pass save time. There is no padding: prompts are concatenated, and only
attention handles them one by one. The last layer computes everything but keys and values for the last token of each
prompt only. Attention scores of later tokens are skipped in blocks. Weights are stored once in oneDNN's layout. SiLU,
products and sums are fused into the matrix products.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import rms_norm
from transformers import LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM

from common.cpu import PackedLinear, computes_bfloat16, packs_linear, padded_rows

BLOCK = 128  # query tokens per attention product: few masked scores, and all fit the L2 cache
MAX_BYTES = 2 << 30  # the packed weights are a second copy in memory
_STATIC_ROPE = ("default", "linear", "llama3")  # the angles of the others depend on the longest text of a batch
_SUPPORTED = (LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM)

KeysValues = tuple[Tensor, Tensor]  # of one layer, each (key heads, tokens, head size)


def pack_llama(model: Any) -> "PackedLlama | None":
    """The packed form of ``model``, or None if it is not supported.

    Supported are Llama, Mistral, Qwen 2 and Qwen 3 models without sliding windows, quantisation or attached adapters,
    in float32, or in bfloat16 on a processor with bfloat16 instructions, with weights of at most ``MAX_BYTES``.
    """
    if type(model) not in _SUPPORTED or model.device.type != "cpu" or not packs_linear():
        return None
    if model.dtype != torch.float32 and not (model.dtype == torch.bfloat16 and computes_bfloat16()):
        return None
    config = model.config
    rope: dict[str, Any] = getattr(config, "rope_parameters", None) or {}
    if config.hidden_act != "silu" or rope.get("rope_type", "default") not in _STATIC_ROPE:
        return None
    slides = type(model) is MistralForCausalLM and config.sliding_window is not None
    if slides or "sliding_attention" in (getattr(config, "layer_types", None) or ()):
        return None
    parameters = list(model.parameters())
    if any(value.is_meta or value.dtype != model.dtype for value in parameters):
        return None
    if sum(value.numel() * value.element_size() for value in parameters) > MAX_BYTES:
        return None
    parts = [part for layer in model.model.layers for part in (*layer.self_attn.children(), *layer.mlp.children())]
    if any(type(part) is not nn.Linear for part in parts if getattr(part, "weight", torch.empty(0)).ndim > 1):
        return None
    return PackedLlama(model)


class PackedLlama:
    """A packed model (``pack_llama``); later changes of ``model``'s weights have no effect."""

    def __init__(self, model: LlamaForCausalLM) -> None:
        self._embedding = model.model.embed_tokens.weight.detach()
        self._rotation = model.model.rotary_emb
        self._norm = _Norm(model.model.norm)
        self._head = model.lm_head.weight.detach()
        *first, last = model.model.layers
        self._layers = [_Layer(layer, last=False) for layer in first]
        self._last = _Layer(last, last=True)

    def read(self, prefix: Sequence[int]) -> list[KeysValues]:
        """The keys and values of a shared prompt prefix, by layer."""
        with torch.inference_mode():
            states, cosine, sine = self._embed([prefix], 0)
            read = []
            for layer in self._layers:
                states, keys_values = layer.forward(states, cosine, sine, [(0, len(prefix))])
                read.append(keys_values)
            return [*read, self._last.keys_values(states, cosine, sine)]

    def next_token_log_probabilities(
        self, prompts: Sequence[Sequence[int]], prefix: Sequence[KeysValues] | None = None
    ) -> Tensor:
        """Log probabilities of the token after each prompt, (prompts, vocabulary), in float32.

        Args:
            prompts: token ids, at least one per prompt.
            prefix: the shared prefix, from ``read``; ``prompts`` then are the tokens after it.
        """
        with torch.inference_mode():
            asked = len(prompts)
            tokens = sum(map(len, prompts))
            if more := padded_rows(tokens) - tokens:  # pad with an extra prompt
                prompts = [*prompts, [0] * more]
            stops = torch.tensor([len(prompt) for prompt in prompts]).cumsum(0)
            bounds = list(pairwise([0, *stops.tolist()]))
            before: Sequence[KeysValues | None] = prefix or [None] * (len(self._layers) + 1)
            states, cosine, sine = self._embed(prompts, 0 if prefix is None else prefix[0][0].shape[1])
            for layer, keys_values in zip(self._layers, before[:-1], strict=True):
                states, _ = layer.forward(states, cosine, sine, bounds, keys_values)
            last = [*range(asked), *[asked - 1] * (padded_rows(asked) - asked)]  # pad with copies of a row
            ends, bounds = stops[last] - 1, [bounds[place] for place in last]
            states = self._last.forward_ends(states, cosine, sine, bounds, ends, before[-1])[:asked]
            logits: Tensor = self._norm(states) @ self._head.T
            return logits.float().log_softmax(-1)

    def _embed(self, prompts: Sequence[Sequence[int]], start: int) -> tuple[Tensor, Tensor, Tensor]:
        """Embeddings of the concatenated prompts, (tokens, width), and the rotary angles from position ``start`` on."""
        positions = torch.cat([torch.arange(start, start + len(prompt)) for prompt in prompts])
        states = self._embedding[torch.tensor([token for prompt in prompts for token in prompt])]
        cosine, sine = (angles[0, :, None] for angles in self._rotation(states[None], positions[None]))
        return states, cosine, sine


class _Layer:
    """One transformer layer over concatenated prompts."""

    def __init__(self, layer: Any, *, last: bool) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        query, key, value = attention.q_proj, attention.k_proj, attention.v_proj
        self._size: int = attention.head_dim
        self._scaling: float = attention.scaling
        self._queries = query.out_features // self._size
        self._keys = key.out_features // self._size
        if last:
            self._query, self._key_value = _packed(query, batch=16), _packed(key, value)
        else:
            self._all = _packed(query, key, value)
        self._out = _packed(attention.o_proj)
        self._gate = _packed(mlp.gate_proj, activation="swish")
        self._up, self._down = _packed(mlp.up_proj), _packed(mlp.down_proj)
        self._norms = _Norm(layer.input_layernorm), _Norm(layer.post_attention_layernorm)
        self._head_norms: tuple[_Norm, _Norm] | None = None
        if hasattr(attention, "q_norm"):
            self._head_norms = _Norm(attention.q_norm), _Norm(attention.k_norm)

    def forward(
        self,
        states: Tensor,
        cosine: Tensor,
        sine: Tensor,
        bounds: list[tuple[int, int]],
        prefix: KeysValues | None = None,
    ) -> tuple[Tensor, KeysValues]:
        """New states (tokens, width), keys and values; ``bounds`` are the start and end of each prompt."""
        projected = self._all(self._norms[0](states)).view(len(states), -1, self._size)
        turned = projected[:, : -self._keys]
        if self._head_norms:
            of_query, of_key = self._head_norms
            turned = torch.cat([of_query(turned[:, : self._queries]), of_key(turned[:, self._queries :])], dim=1)
        rotated = _rotate(turned, cosine, sine)
        query, key, value = rotated[:, : self._queries], rotated[:, self._queries :], projected[:, -self._keys :]
        query, key, value = (part.transpose(0, 1).contiguous() for part in (query * self._scaling, key, value))
        attended = torch.empty((len(states), self._queries, self._size), dtype=states.dtype)
        before = _AttendedKeys(prefix, key, value, bounds)
        for start, stop in bounds:
            keys, values = before.seen(start, stop)
            for first in range(start, stop, BLOCK):
                end = min(first + BLOCK, stop)
                seen = keys.shape[1] - (stop - end)
                block = self._attend(query[:, first:end], keys[:, :seen], values[:, :seen])
                attended[first:end] = block.transpose(0, 1)
        return self._change(self._out.plus(attended.flatten(1), states)), (key, value)

    def forward_ends(
        self,
        states: Tensor,
        cosine: Tensor,
        sine: Tensor,
        bounds: list[tuple[int, int]],
        ends: Tensor,
        prefix: KeysValues | None = None,
    ) -> Tensor:
        """New states of the last tokens only, (prompts, width); ``ends`` are their indices."""
        normed = self._norms[0](states)
        query = self._query(normed[ends]).view(len(ends), self._queries, self._size)
        if self._head_norms:
            query = self._head_norms[0](query)
        query = _rotate(query, cosine[ends], sine[ends]) * self._scaling
        before = _AttendedKeys(prefix, *self._keys_values(normed, cosine, sine), bounds)
        attended = [
            self._attend(one[:, None], *before.seen(start, stop)).flatten()
            for one, (start, stop) in zip(query, bounds, strict=True)
        ]
        return self._change(self._out.plus(torch.stack(attended), states[ends]))

    def keys_values(self, states: Tensor, cosine: Tensor, sine: Tensor) -> KeysValues:
        """Keys and values of states (tokens, width); the last layer needs no more of a prefix."""
        return self._keys_values(self._norms[0](states), cosine, sine)

    def _keys_values(self, normed: Tensor, cosine: Tensor, sine: Tensor) -> KeysValues:
        key, value = self._key_value(normed).view(len(normed), 2, self._keys, self._size).unbind(1)
        if self._head_norms:
            key = self._head_norms[1](key)
        return _rotate(key, cosine, sine).transpose(0, 1).contiguous(), value.transpose(0, 1).contiguous()

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attention of queries, (heads, queried, size), over keys and values, (key heads, tokens, size)."""
        queried, tokens = query.shape[1], key.shape[1]
        shared = (self._keys, -1, self._size)  # query heads that share a key head are adjacent
        scores = torch.bmm(query.reshape(shared), key.transpose(1, 2)).view(self._queries, queried, tokens)
        if queried > 1:
            scores[:, :, tokens - queried :] += _causal_mask(queried, scores.dtype)
        weights = torch.softmax(scores, dim=-1).view(self._keys, -1, tokens)
        return torch.bmm(weights, value).view(self._queries, queried, self._size)

    def _change(self, states: Tensor) -> Tensor:
        normed = self._norms[1](states)
        return self._down.plus(self._up.times(normed, self._gate(normed)), states)


class _AttendedKeys:
    """Keys and values that a prompt attends to: those of the shared prefix and its own.

    The prefix is copied once into a buffer; the keys and values of each prompt are written behind it in turn.
    """

    def __init__(self, prefix: KeysValues | None, key: Tensor, value: Tensor, bounds: list[tuple[int, int]]) -> None:
        self._own = key, value
        self._length = 0 if prefix is None else prefix[0].shape[1]
        room = max(stop - start for start, stop in bounds)
        if prefix is not None:
            self._places = [
                torch.cat([part, part.new_empty((part.shape[0], room, part.shape[2]))], dim=1) for part in prefix
            ]

    def seen(self, start: int, stop: int) -> KeysValues:
        """Keys and values for the prompt at ``start`` to ``stop``; valid until the next call."""
        key, value = (part[:, start:stop] for part in self._own)
        if not self._length:
            return key, value
        end = self._length + stop - start
        for place, part in zip(self._places, (key, value), strict=True):
            place[:, self._length : end] = part
        keys, values = (place[:, :end] for place in self._places)
        return keys, values


def _packed(*layers: nn.Linear, activation: str = "none", batch: int = 4096) -> PackedLinear:
    """Linear layers of one input as one layer with concatenated outputs."""
    weight, *more = (layer.weight.detach() for layer in layers)
    biases = [layer.bias.detach() for layer in layers if layer.bias is not None]
    assert len(biases) in (0, len(layers))  # the architecture sets this for all of them
    whole = torch.cat([weight, *more]) if more else weight
    return PackedLinear(whole, torch.cat(biases) if biases else None, activation, batch=batch)


class _Norm:
    """RMSNorm."""

    def __init__(self, norm: Any) -> None:
        self._weight = norm.weight.detach()
        self._epsilon: float = norm.variance_epsilon

    def __call__(self, states: Tensor) -> Tensor:
        if states.dtype != torch.float32:
            return rms_norm(states, self._weight.shape, self._weight, self._epsilon)
        squares = states.square().mean(-1, keepdim=True)  # faster than rms_norm
        return (states * squares.add_(self._epsilon).rsqrt_()).mul_(self._weight)


def _rotate(states: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotary position embedding (Su et al. 2021) in the layout of Llama's checkpoints."""
    half = states.shape[-1] // 2
    rotated = states * cosine
    rotated[..., :half].addcmul_(states[..., half:], sine[..., :half], value=-1)
    rotated[..., half:].addcmul_(states[..., :half], sine[..., half:])
    return rotated


@lru_cache
def _causal_mask(tokens: int, dtype: torch.dtype) -> Tensor:
    """Minus infinity above the diagonal, to add to the scores within a block."""
    return torch.full((tokens, tokens), float("-inf"), dtype=dtype).triu(1)
