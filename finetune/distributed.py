"""The place of this process among the processes of a run, and its peak memory."""

import os
import sys


def processes() -> int:
    """The number of processes of the run (``accelerate launch``, ``torchrun``)."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Whether this process writes files and messages."""
    return os.environ.get("RANK", "0") == "0"


def peak_memory() -> int | None:
    """The peak memory so far in bytes: of the cards where there are any, else of this process; None where unknown."""
    import torch

    if torch.cuda.is_available():
        return sum(torch.cuda.max_memory_allocated(card) for card in range(torch.cuda.device_count()))
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
