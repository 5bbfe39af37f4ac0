import sys
from pathlib import Path

import pytest
import torch

from common.cpu import bfloat16_is_faster, computes_bfloat16, padded_rows


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists() or sys.platform != "linux", reason="reads /proc/cpuinfo")
def test_computes_bfloat16_agrees_with_proc_cpuinfo() -> None:
    flags = set(Path("/proc/cpuinfo").read_text().split())
    assert computes_bfloat16() is bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})


@pytest.mark.parametrize(("bfloat16_seconds", "expected"), [(0.5, True), (0.9, False), (2.0, False)])
def test_bfloat16_counts_as_faster_if_it_takes_at_most_three_quarters_of_the_time(
    monkeypatch: pytest.MonkeyPatch, bfloat16_seconds: float, expected: bool
) -> None:
    """A product in float32 takes 1 s on the simulated clock."""
    now = 0.0

    def product(states: torch.Tensor, _: torch.Tensor) -> None:
        nonlocal now
        now += bfloat16_seconds if states.dtype == torch.bfloat16 else 1.0

    monkeypatch.setattr("common.cpu.computes_bfloat16", lambda: True)
    monkeypatch.setattr("common.cpu.time.perf_counter", lambda: now)
    monkeypatch.setattr(torch.nn.functional, "linear", product)
    assert bfloat16_is_faster.__wrapped__() is expected


def test_bfloat16_is_not_faster_without_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.cpu.computes_bfloat16", lambda: False)
    assert bfloat16_is_faster.__wrapped__() is False


def test_padded_rows_have_few_values_and_little_padding() -> None:
    padded = [padded_rows(rows) for rows in range(1, 4097)]
    assert all(0 <= size - rows <= max(15, rows / 8) for rows, size in enumerate(padded, start=1))
    assert len(set(padded)) < 70
    assert padded_rows(0) == 0
