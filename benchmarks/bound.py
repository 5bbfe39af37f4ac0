"""How fast a transformer could be on this processor if it multiplied at full rate and did nothing else."""

import time
from collections.abc import Sequence

import torch

SHAPE = (4096, 512, 512)  # rows, inputs, outputs: what they hold stays in the second-level cache
SECONDS = 1.0


def product_rate() -> float:
    """Operations a second in float32 products, with the threads that torch has: the best of many."""
    rows, inputs, outputs = SHAPE
    states, weights = torch.randn(rows, inputs), torch.randn(inputs, outputs)
    best, end = float("inf"), time.perf_counter() + SECONDS
    while (started := time.perf_counter()) < end:
        torch.mm(states, weights)
        best = min(best, time.perf_counter() - started)
    return 2 * rows * inputs * outputs / best


def encoder_operations(lengths: Sequence[int], *, width: int, feed_forward: int, layers: int) -> float:
    """Of a BERT that reads texts of so many tokens each: its products, attention's among them, without padding."""
    linear = 2 * (4 * width * width + 2 * width * feed_forward)
    return float(layers * sum(length * linear + 4 * length * length * width for length in lengths))
