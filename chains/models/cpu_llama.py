"""Fast label scores of Llama-like models on a CPU.

Five differences from the model's forward pass save time:

- prompts are concatenated without padding, and only attention handles them one by one;
- the last layer computes keys and values for all tokens, and everything else for the last token of each prompt only;
- attention skips blocks of keys that the causal mask would hide;
- weights are stored once in oneDNN's layout;
- SiLU, products and sums are fused into the matrix products.
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

BLOCK = 128  # query tokens per attention product: so few that the scores fit the L2 cache, and few scores are masked
MAX_BYTES = 2 << 30  # 2 GiB of weights at most, since packing copies them
_STATIC_ROPE = ("default", "linear", "llama3")  # with other types, angles depend on the longest text of a batch
_SUPPORTED = (LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM)

KeysValues = tuple[Tensor, Tensor]  # of one layer, each (key heads, tokens, head size)


def pack_llama(model: Any) -> "PackedLlama | None":
    """The packed form of ``model``, or None if it is not supported.

    Llama, Mistral, Qwen 2 and Qwen 3 models are supported if they have no sliding windows, quantisation or attached
    adapters, at most ``MAX_BYTES`` of weights, and the dtype float32, or bfloat16 on a processor that computes in it.
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
    blocks = [block for layer in model.model.layers for block in (layer.self_attn, layer.mlp)]
    modules = [module for block in blocks for module in block.children()]
    projections = [module for module in modules if getattr(module, "weight", torch.empty(0)).ndim > 1]
    if any(type(projection) is not nn.Linear for projection in projections):  # an adapter or a quantised layer
        return None
    return PackedLlama(model)


class PackedLlama:
    """A copy of a model's weights in oneDNN's layout, with a forward pass for prompts; made by ``pack_llama``."""

    def __init__(self, model: LlamaForCausalLM) -> None:
        self._embedding = model.model.embed_tokens.weight.detach()
        self._rotation = model.model.rotary_emb
        self._norm = _RMSNorm(model.model.norm)
        self._head = model.lm_head.weight.detach()
        *first, last = model.model.layers
        self._layers = [_Layer(layer, last=False) for layer in first]
        self._last = _Layer(last, last=True)

    def prefix_keys_values(self, prefix: Sequence[int]) -> list[KeysValues]:
        """The keys and values of a shared prompt prefix, by layer."""
        with torch.inference_mode():
            states, cosine, sine = self._embed([prefix], 0)
            keys_values = []
            for layer in self._layers:
                states, of_layer = layer.forward(states, cosine, sine, [(0, len(prefix))])
                keys_values.append(of_layer)
            return [*keys_values, self._last.keys_values(states, cosine, sine)]

    def next_token_log_probabilities(
        self, prompts: Sequence[Sequence[int]], prefix: Sequence[KeysValues] | None = None
    ) -> Tensor:
        """Log probabilities of the token after each prompt, (prompts, vocabulary), in float32.

        Args:
            prompts: token ids, at least one per prompt.
            prefix: ``prefix_keys_values`` of the tokens before each of ``prompts``.
        """
        with torch.inference_mode():
            count = len(prompts)
            tokens = sum(map(len, prompts))
            if padding := padded_rows(tokens) - tokens:  # the padding is added as an extra prompt
                prompts = [*prompts, [0] * padding]
            stops = torch.tensor([len(prompt) for prompt in prompts]).cumsum(0)
            bounds = list(pairwise([0, *stops.tolist()]))
            prefixes: Sequence[KeysValues | None] = prefix or [None] * (len(self._layers) + 1)
            states, cosine, sine = self._embed(prompts, 0 if prefix is None else prefix[0][0].shape[1])
            for layer, keys_values in zip(self._layers, prefixes[:-1], strict=True):
                states, _ = layer.forward(states, cosine, sine, bounds, keys_values)
            rows = [*range(count), *[count - 1] * (padded_rows(count) - count)]  # pad with copies of the last prompt
            ends, bounds = stops[rows] - 1, [bounds[row] for row in rows]
            states = self._last.forward_ends(states, cosine, sine, bounds, ends, prefixes[-1])[:count]
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
        self._query_heads = query.out_features // self._size
        self._key_heads = key.out_features // self._size
        if last:
            self._query, self._key_value = _pack_layers(query, batch=16), _pack_layers(key, value)
        else:
            self._query_key_value = _pack_layers(query, key, value)
        self._out = _pack_layers(attention.o_proj)
        self._gate = _pack_layers(mlp.gate_proj, activation="swish")
        self._up, self._down = _pack_layers(mlp.up_proj), _pack_layers(mlp.down_proj)
        self._attention_norm, self._mlp_norm = _RMSNorm(layer.input_layernorm), _RMSNorm(layer.post_attention_layernorm)
        has_head_norms = hasattr(attention, "q_norm")  # Qwen 3
        self._query_norm = _RMSNorm(attention.q_norm) if has_head_norms else None
        self._key_norm = _RMSNorm(attention.k_norm) if has_head_norms else None

    def forward(
        self,
        states: Tensor,
        cosine: Tensor,
        sine: Tensor,
        bounds: list[tuple[int, int]],
        prefix: KeysValues | None = None,
    ) -> tuple[Tensor, KeysValues]:
        """New states (tokens, width), keys and values; ``bounds`` are the start and end of each prompt."""
        projected = self._query_key_value(self._attention_norm(states)).view(len(states), -1, self._size)
        query_key, value = projected[:, : -self._key_heads], projected[:, -self._key_heads :]
        if self._query_norm and self._key_norm:
            query, key = query_key[:, : self._query_heads], query_key[:, self._query_heads :]
            query_key = torch.cat([self._query_norm(query), self._key_norm(key)], dim=1)
        rotated = _rotate(query_key, cosine, sine)
        query, key = rotated[:, : self._query_heads] * self._scaling, rotated[:, self._query_heads :]
        query, key, value = (tensor.transpose(0, 1).contiguous() for tensor in (query, key, value))
        attended = torch.empty((len(states), self._query_heads, self._size), dtype=states.dtype)
        attendable = _AttendableKeys(prefix, key, value, bounds)
        for start, stop in bounds:
            keys, values = attendable.of_prompt(start, stop)
            for block_start in range(start, stop, BLOCK):
                block_stop = min(block_start + BLOCK, stop)
                visible = keys.shape[1] - (stop - block_stop)  # keys up to the block's last token
                block = self._attend(query[:, block_start:block_stop], keys[:, :visible], values[:, :visible])
                attended[block_start:block_stop] = block.transpose(0, 1)
        return self._mlp(self._out.plus(attended.flatten(1), states)), (key, value)

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
        normed = self._attention_norm(states)
        queries = self._query(normed[ends]).view(len(ends), self._query_heads, self._size)
        if self._query_norm:
            queries = self._query_norm(queries)
        queries = _rotate(queries, cosine[ends], sine[ends]) * self._scaling
        attendable = _AttendableKeys(prefix, *self._keys_values(normed, cosine, sine), bounds)
        attended = [
            self._attend(query[:, None], *attendable.of_prompt(start, stop)).flatten()
            for query, (start, stop) in zip(queries, bounds, strict=True)
        ]
        return self._mlp(self._out.plus(torch.stack(attended), states[ends]))

    def keys_values(self, states: Tensor, cosine: Tensor, sine: Tensor) -> KeysValues:
        """Keys and values of states (tokens, width): all that is needed of a prefix in the last layer."""
        return self._keys_values(self._attention_norm(states), cosine, sine)

    def _keys_values(self, normed: Tensor, cosine: Tensor, sine: Tensor) -> KeysValues:
        key, value = self._key_value(normed).view(len(normed), 2, self._key_heads, self._size).unbind(1)
        if self._key_norm:
            key = self._key_norm(key)
        return _rotate(key, cosine, sine).transpose(0, 1).contiguous(), value.transpose(0, 1).contiguous()

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attention of the last tokens' queries, (query heads, queried tokens, head size), to keys and values."""
        queried, tokens = query.shape[1], key.shape[1]
        grouped = query.reshape(self._key_heads, -1, self._size)  # query heads that share a key head are adjacent
        scores = torch.bmm(grouped, key.transpose(1, 2)).view(self._query_heads, queried, tokens)
        if queried > 1:
            scores[:, :, tokens - queried :] += _causal_mask(queried, scores.dtype)
        weights = torch.softmax(scores, dim=-1).view(self._key_heads, -1, tokens)
        return torch.bmm(weights, value).view(self._query_heads, queried, self._size)

    def _mlp(self, states: Tensor) -> Tensor:
        """The MLP block with its residual connection."""
        normed = self._mlp_norm(states)
        return self._down.plus(self._up.times(normed, self._gate(normed)), states)


class _AttendableKeys:
    """The keys and values that each prompt attends to: those of the shared prefix, then the prompt's.

    ``key`` and ``value`` are those of all prompts. The prefix is copied into a buffer once, and the keys and values of
    one prompt at a time are written after it.
    """

    def __init__(self, prefix: KeysValues | None, key: Tensor, value: Tensor, bounds: list[tuple[int, int]]) -> None:
        self._key_value = key, value
        self._prefix_length = 0 if prefix is None else prefix[0].shape[1]
        longest = max(stop - start for start, stop in bounds)
        if prefix is not None:
            self._buffers = [
                torch.cat([states, states.new_empty((states.shape[0], longest, states.shape[2]))], dim=1)
                for states in prefix
            ]

    def of_prompt(self, start: int, stop: int) -> KeysValues:
        """Keys and values for the prompt at ``start`` to ``stop``; the next call may overwrite them."""
        key, value = (states[:, start:stop] for states in self._key_value)
        if not self._prefix_length:
            return key, value
        end = self._prefix_length + stop - start
        for buffer, states in zip(self._buffers, (key, value), strict=True):
            buffer[:, self._prefix_length : end] = states
        keys, values = (buffer[:, :end] for buffer in self._buffers)
        return keys, values


def _pack_layers(*layers: nn.Linear, activation: str = "none", batch: int = 4096) -> PackedLinear:
    """Pack linear layers of the same input as one layer with concatenated outputs."""
    weights = [layer.weight.detach() for layer in layers]
    biases = [layer.bias.detach() for layer in layers if layer.bias is not None]
    assert len(biases) in (0, len(layers))  # in the supported architectures, all of these layers have a bias, or none
    weight = torch.cat(weights) if len(weights) > 1 else weights[0]
    return PackedLinear(weight, torch.cat(biases) if biases else None, activation, batch=batch)


class _RMSNorm:
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
