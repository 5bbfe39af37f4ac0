"""Environment variables that must be set before the model libraries are imported."""

import os

from common.privacy import keep_private


def prepare() -> None:
    """Turn the libraries' telemetry off."""
    keep_private()


def hide_progress() -> None:
    """Turn off the progress bars of the Hugging Face libraries, which read these variables on import."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")


def share_processor(parts: int) -> None:
    """Limit each of ``parts`` concurrent computations to its share of threads; PyTorch reads the variable on import."""
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // parts)))
