"""A faster BERT encoder for CPUs, with the results of transformers.

It computes in float32, or in bfloat16 if the CPU has AVX512-BF16. It differs from transformers' encoder in three ways.
There is no padding: the texts of a batch are concatenated, and attention handles texts of equal length together.
Weights are stored in oneDNN's layout, and GELU is fused into the matrix product before it. In bfloat16, attention is
two matrix products over a group of texts whose scores fit the cache, because torch's kernel for CPUs works in blocks
that are too small for AVX512-BF16.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import BertModel
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions as Output

from common.cpu import PackedLinear, packs_linear, padded_rows

GROUP_TOKENS = 512  # tokens per matrix product of attention, so that the scores fit the L2 cache


def pack_encoder(model: Any) -> bool:
    """Replace the encoder of a ``BertModel`` by a ``PackedEncoder`` if that is faster; returns whether it was replaced.

    It is faster for BERT encoders with exact GELU on a CPU with AVX-512. In bfloat16, the CPU must also have
    AVX512-BF16, and must not have AMX, with which torch's own kernels are fast. The packed encoder is for inference
    only: it has no parameters to train or save.
    """
    if type(model) is not BertModel or model.device.type != "cpu" or not packs_linear():
        return False
    if model.config.hidden_act != "gelu" or model.config.is_decoder:
        return False
    cpu = torch.cpu.get_capabilities()
    if model.dtype != torch.float32 and not (
        model.dtype == torch.bfloat16 and cpu.get("avx512_bf16") and not cpu.get("amx_bf16")
    ):
        return False
    packed: Any = PackedEncoder(model.encoder, model.config.num_attention_heads)
    model.encoder = packed
    return True


class PackedEncoder(nn.Module):
    """Replaces a ``BertEncoder``: input and output have padding, and the output's padding is zero."""

    def __init__(self, encoder: Any, heads: int) -> None:
        super().__init__()
        self._layers = [_Layer(layer, heads) for layer in encoder.layer]

    def forward(self, hidden_states: Tensor, attention_mask: Tensor | None = None, **_: Any) -> Output:
        """Encode ``hidden_states`` (texts, tokens, width).

        ``attention_mask`` (texts, 1, tokens, tokens) is True at the keys that are not padding, the same for all queries
        of a text; None if there is no padding.
        """
        texts, tokens, width = hidden_states.shape
        if attention_mask is None:
            packed = self._encode(hidden_states.reshape(texts * tokens, width), [(texts, tokens)])
            return Output(last_hidden_state=packed.view(texts, tokens, width))
        valid = attention_mask[:, 0, 0, :]
        lengths = valid.sum(1)
        order = torch.argsort(lengths)
        distinct, counts = torch.unique(lengths, return_counts=True)
        groups = zip(counts.tolist(), distinct.tolist(), strict=True)
        runs = [(count, length) for count, length in groups if length]
        sorted_valid = valid[order]
        padded = hidden_states.new_zeros(hidden_states.shape)
        padded[sorted_valid] = self._encode(hidden_states[order][sorted_valid], runs)
        return Output(last_hidden_state=padded[torch.argsort(order)])

    def _encode(self, states: Tensor, runs: list[tuple[int, int]]) -> Tensor:
        """Encode the states (tokens, width) of concatenated texts, sorted by length.

        A run is ``(count, length)``: ``count`` texts of ``length`` tokens each follow each other.
        """
        tokens = len(states)
        if padding := padded_rows(tokens) - tokens:
            states = torch.cat([states, states.new_zeros(padding, states.shape[1])])
            runs = [*runs, (padding, 1)]  # rows of padding are handled as texts of one token
        for layer in self._layers:
            states = layer.forward(states, runs)
        return states[:tokens]


class _Layer:
    """One transformer layer over concatenated texts."""

    def __init__(self, layer: Any, heads: int) -> None:
        attention = layer.attention.self
        projections = (attention.query, attention.key, attention.value)
        self._heads = heads
        self._scaling = attention.scaling
        self._qkv = PackedLinear(torch.cat([p.weight for p in projections]), torch.cat([p.bias for p in projections]))
        self._out = PackedLinear(layer.attention.output.dense.weight, layer.attention.output.dense.bias)
        self._up = PackedLinear(layer.intermediate.dense.weight, layer.intermediate.dense.bias, "gelu")
        self._down = PackedLinear(layer.output.dense.weight, layer.output.dense.bias)
        self._norms = (layer.attention.output.LayerNorm, layer.output.LayerNorm)

    def forward(self, states: Tensor, runs: list[tuple[int, int]]) -> Tensor:
        """Encode states (tokens, width) of texts with the ``runs`` of ``PackedEncoder._encode``."""
        attend = self._attend_float32 if states.dtype == torch.float32 else self._attend_bfloat16
        attended = self._out(attend(self._qkv(states), runs))
        states = self._norms[0](attended.add_(states))
        transformed = self._down(self._up(states))
        normed: Tensor = self._norms[1](transformed.add_(states))
        return normed

    def _attend_bfloat16(self, qkv: Tensor, runs: list[tuple[int, int]]) -> Tensor:
        width = qkv.shape[1] // 3
        out = torch.empty((qkv.shape[0], width), dtype=qkv.dtype)
        start = 0
        for count, length in runs:
            group = max(1, GROUP_TOKENS // length)
            for first in range(0, count, group):
                texts = min(group, count - first)
                end = start + texts * length
                shape = (texts, length, 3, self._heads, -1)
                query, key, value = (
                    qkv[start:end].view(shape).permute(2, 0, 3, 1, 4).reshape(3, texts * self._heads, length, -1)
                )
                weights = torch.softmax(torch.bmm(query.mul_(self._scaling), key.transpose(1, 2)), dim=-1)
                heads = torch.bmm(weights, value).view(texts, self._heads, length, -1)
                out[start:end].view(texts, length, self._heads, -1).copy_(heads.transpose(1, 2))
                start = end
        return out

    def _attend_float32(self, qkv: Tensor, runs: list[tuple[int, int]]) -> Tensor:
        attended, start = [], 0
        for count, length in runs:
            run = qkv[start : start + count * length].view(count, length, 3, self._heads, -1)
            query, key, value = run.permute(2, 0, 3, 1, 4)
            heads = scaled_dot_product_attention(query, key, value, scale=self._scaling)
            attended.append(heads.transpose(1, 2).reshape(count * length, -1))
            start += count * length
        return torch.cat(attended)
