"""What the processor says of itself."""

import sys
from pathlib import Path

import pytest
import torch

from common.cpu import bfloat16_is_faster, computes_bfloat16, rounded


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists() or sys.platform != "linux", reason="reads Linux's own list")
def test_it_agrees_with_the_kernel() -> None:
    flags = set(Path("/proc/cpuinfo").read_text().split())
    assert computes_bfloat16() is bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})


@pytest.mark.parametrize(("slower", "expected"), [(0.5, True), (0.9, False), (2.0, False)])
def test_bfloat16_must_prove_faster(monkeypatch: pytest.MonkeyPatch, slower: float, expected: bool) -> None:
    """``slower`` is the time of a product in bfloat16 by that in float32, on a clock that only products move."""
    now = 0.0

    def product(states: torch.Tensor, _: torch.Tensor) -> None:
        nonlocal now
        now += slower if states.dtype == torch.bfloat16 else 1.0

    monkeypatch.setattr("common.cpu.computes_bfloat16", lambda: True)
    monkeypatch.setattr("common.cpu.time.perf_counter", lambda: now)
    monkeypatch.setattr(torch.nn.functional, "linear", product)
    assert bfloat16_is_faster.__wrapped__() is expected


def test_a_processor_without_bfloat16_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.cpu.computes_bfloat16", lambda: False)
    assert bfloat16_is_faster.__wrapped__() is False


def test_few_different_numbers_of_rows_are_left() -> None:
    left = [rounded(rows) for rows in range(1, 4097)]
    assert all(0 <= more - rows <= max(15, rows / 8) for rows, more in enumerate(left, start=1))
    assert len(set(left)) < 70
    assert rounded(0) == 0
