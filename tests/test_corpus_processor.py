"""What the processor says of itself."""

import sys
from pathlib import Path

import pytest

from corpus.processor import computes_bfloat16


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists() or sys.platform != "linux", reason="reads Linux's own list")
def test_it_agrees_with_the_kernel() -> None:
    flags = set(Path("/proc/cpuinfo").read_text().split())
    assert computes_bfloat16() is bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})
