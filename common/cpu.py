"""Processor features, and linear layers in oneDNN's weight layout."""

import os
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


_BFLOAT16 = frozenset(("avx512_bf16", "amx_bf16", "bf16"))
# Vector and matrix instructions that decide the speed of inference, in Linux's names.
FLAGS = _BFLOAT16 | {"sse4_2", "avx", "avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimd", "sve", "i8mm"}


def usable_cores() -> int:
    """The number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_flags() -> set[str] | None:
    """All words of Linux's /proc/cpuinfo, which include the instruction sets; None on other systems."""
    try:
        return set(Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split())
    except OSError:
        return None


def has_bfloat16() -> bool:
    """Whether the processor may have bfloat16 instructions, without importing torch; True if unknown."""
    flags = cpu_flags()
    return flags is None or bool(flags & _BFLOAT16)


def computes_bfloat16() -> bool:
    """Whether the processor has bfloat16 instructions (AVX512-BF16, AMX-BF16, or Arm's)."""
    return any(_capabilities().get(name, False) for name in _BFLOAT16)


@cache
def bfloat16_is_faster() -> bool:
    """Whether a matrix product takes at most 75% as long in bfloat16 as in float32; measured once.

    Not every processor with bfloat16 instructions gains from them. Compared with float32, bfloat16 is several times as
    fast with AMX, twice as fast on AMD's Zen 4, and half as fast on Intel's processors with AMX disabled.
    """
    import torch

    if not computes_bfloat16():
        return False
    operands = {
        dtype: (torch.ones((512, 384), dtype=dtype), torch.ones((1536, 384), dtype=dtype))
        for dtype in (torch.float32, torch.bfloat16)
    }
    shortest = dict.fromkeys(operands, float("inf"))
    for _ in range(12):  # both dtypes in each round, so that other work on the machine slows both
        for dtype, (states, weight) in operands.items():
            started = time.perf_counter()
            torch.nn.functional.linear(states, weight)
            shortest[dtype] = min(shortest[dtype], time.perf_counter() - started)
    return shortest[torch.bfloat16] <= 0.75 * shortest[torch.float32]


def packs_linear() -> bool:
    """Whether processor and torch support :class:`PackedLinear`, and the processor has AVX-512.

    AVX-512 is required because packed layers gain little without it. On SmolLM2-135M they were 1.5 times as fast as
    transformers' forward pass with AVX-512, and 1.06 times with AVX2 alone (``benchmarks/engines.py``).
    """
    import torch

    names = ("_linear_pointwise", "_reorder_linear_weight")
    return _capabilities().get("avx512_f", False) and all(hasattr(torch.ops.mkldnn, name) for name in names)


def padded_rows(rows: int) -> int:
    """``rows`` rounded up to a multiple of a step, which grows with ``rows`` from 16 to 128.

    Rounding adds less than an eighth of ``rows``, or at most 15 if there are fewer than 128. oneDNN compiles and caches
    a kernel of about half a megabyte for each layer and number of rows, so few different numbers save time and memory.
    """
    step = min(128, max(16, (1 << rows.bit_length()) // 16))
    return -(-rows // step) * step


def _capabilities() -> dict[str, bool]:
    """Whether the processor has an instruction set, by torch's name of it; empty without oneDNN."""
    import torch

    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return {}
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # absent in older releases of torch
    return capabilities


class PackedLinear:
    """A linear layer for inference with its weight in oneDNN's layout and a fused activation.

    Args:
        weight: (outputs, inputs).
        bias: (outputs,), or None.
        activation: oneDNN's name: ``none``, ``gelu`` or ``swish`` (SiLU).
        batch: the number of rows that the layout is optimized for; other numbers give the same result.
    """

    def __init__(
        self, weight: "Tensor", bias: "Tensor | None" = None, activation: str = "none", *, batch: int = 4096
    ) -> None:
        import torch

        self._ops = torch.ops.mkldnn
        self._weight = self._ops._reorder_linear_weight(weight.detach().contiguous(), batch)
        self._bias = None if bias is None else bias.detach()
        self._activation = activation

    def __call__(self, states: "Tensor") -> "Tensor":
        """(rows, inputs) to (rows, outputs)."""
        result: Tensor = self._ops._linear_pointwise(states, self._weight, self._bias, self._activation, [], "none")
        return result

    def plus(self, states: "Tensor", addend: "Tensor") -> "Tensor":
        """The outputs without activation, plus ``addend`` (rows, outputs)."""
        result: Tensor = self._ops._linear_pointwise.binary(states, addend, self._weight, self._bias, "add")
        return result

    def times(self, states: "Tensor", factor: "Tensor") -> "Tensor":
        """The outputs without activation, times ``factor`` (rows, outputs)."""
        result: Tensor = self._ops._linear_pointwise.binary(states, factor, self._weight, self._bias, "mul")
        return result
