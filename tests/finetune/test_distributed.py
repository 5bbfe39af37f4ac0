"""finetune/distributed.py: the peak memory of this process."""

import torch

from finetune.distributed import peak_memory


def test_peak_memory_grows_by_what_is_allocated() -> None:
    before = peak_memory()
    assert before is not None
    assert before > 50 << 20  # torch alone
    kept = torch.ones(
        2 * before // 4 // 2 + (64 << 20) // 4
    )  # as much as the whole process had at its peak, and 64 MiB
    after = peak_memory()
    assert after is not None
    assert after - before >= 48 << 20
    assert kept.numel() > 0
