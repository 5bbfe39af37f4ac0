"""finetune/distributed.py: the peak memory of this process."""

import re
from pathlib import Path

import pytest
import torch

from finetune.distributed import peak_memory

STATUS = Path("/proc/self/status")


@pytest.mark.skipif(not STATUS.exists() or torch.cuda.is_available(), reason="Linux without a card")
def test_peak_memory_is_that_of_the_system_in_bytes() -> None:
    found = peak_memory()
    kibibytes = re.search(r"VmHWM:\s*(\d+) kB", STATUS.read_text())
    assert found is not None
    assert kibibytes is not None
    assert found == pytest.approx(int(kibibytes[1]) * 1024, rel=0.02)
