"""Atomic file writes."""

import os
import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path

ABANDONED_SECONDS = 3600.0


def write_whole(path: Path, text: str) -> None:
    """Replace the content of ``path`` atomically; on an error an existing file stays unchanged.

    Raises:
        OSError: the folder is missing, read-only or full.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        with partial.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def remove_other_versions(folder: Path, kept: str, marker: str) -> None:
    """Remove the subfolders of ``folder`` except ``kept``, but not those that another process is writing.

    A complete version has the file ``marker``; one without it is removed an hour after its last change, because the
    process that was writing it has been killed.
    """
    for version in folder.iterdir():
        with suppress(OSError):
            if (
                version.is_dir()
                and version.name != kept
                and ((version / marker).exists() or time.time() - version.stat().st_mtime > ABANDONED_SECONDS)
            ):
                shutil.rmtree(version, ignore_errors=True)
