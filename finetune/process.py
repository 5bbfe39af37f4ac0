"""This process among those that train together, and the memory that it takes."""

import os
import sys


def processes() -> int:
    """How many processes train together (``accelerate launch``, ``torchrun``)."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Whether this process is the one that writes and reports."""
    return os.environ.get("RANK", "0") == "0"


def peak_memory() -> int | None:
    """The most bytes held so far: on the card where there is one, else by this process; None where unknown."""
    import torch

    if torch.cuda.is_available():
        return sum(torch.cuda.max_memory_allocated(card) for card in range(torch.cuda.device_count()))
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
