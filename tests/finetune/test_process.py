import torch

from finetune.process import peak_memory


def test_peak_memory_counts_bytes() -> None:
    before = peak_memory()
    assert before is not None
    assert before > 50 << 20  # torch alone
    kept = torch.ones(40 << 20)
    assert (peak_memory() or 0) - before > -1
    assert kept.numel() > 0
