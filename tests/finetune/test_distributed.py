"""finetune/distributed.py: the peak memory of this process."""

import re
from pathlib import Path

import pytest
import torch

from finetune.distributed import peak_memory

STATUS = Path("/proc/self/status")


@pytest.mark.skipif(not STATUS.exists() or torch.cuda.is_available(), reason="needs Linux without a GPU")
def test_peak_memory_equals_the_peak_resident_set_of_the_kernel() -> None:
    peak = peak_memory()
    kibibytes = re.search(r"VmHWM:\s*(\d+) kB", STATUS.read_text())
    assert kibibytes is not None
    assert peak == pytest.approx(int(kibibytes[1]) * 1024, rel=0.02)
