"""What is set up in a process before any of the heavy libraries is imported."""

import os

from common.privacy import keep_private


def prepare() -> None:
    """Keep the libraries' telemetry off."""
    keep_private()


def hide_progress() -> None:
    """No progress bars of the model and data libraries; they read these variables when they are imported."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")


def share_processor(parts: int) -> None:
    """Give each of so many computations at a time its share of the processor's threads; PyTorch reads the variable."""
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // parts)))
