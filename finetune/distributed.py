"""Distributed runs: the number of processes, whether this process is the main one, and its peak memory."""

import os
import sys


def processes() -> int:
    """The number of processes that ``accelerate launch`` or ``torchrun`` started; 1 without them."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Whether this process writes files and messages."""
    return os.environ.get("RANK", "0") == "0"


def peak_memory() -> int | None:
    """The peak memory of this process in bytes: the sum over all GPUs, or RAM without a GPU; None if unknown."""
    import torch

    if torch.cuda.is_available():
        return sum(torch.cuda.max_memory_allocated(gpu) for gpu in range(torch.cuda.device_count()))
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
