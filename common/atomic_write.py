"""Atomic file writes."""

import os
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Replace the content of ``path`` atomically; on an error an existing file stays unchanged.

    Raises:
        OSError: the folder is missing, read-only or full.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
