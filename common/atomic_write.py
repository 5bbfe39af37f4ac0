"""Atomic writes of files, folders with one subfolder for each version of their content, and folder locks."""

import fcntl
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path


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


@contextmanager
def new_version(folder: Path, name: str) -> Iterator[Path]:
    """Create the subfolder ``name`` of ``folder``, and remove the subfolder if the block raises.

    The block writes the content and makes the subfolder current. Until the block ends or this process is killed, the
    subfolder is locked, so that ``remove_other_versions`` spares it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    version = folder / name
    with ExitStack() as lock:
        with locked(folder):  # no process may remove the new subfolder before it is locked
            version.mkdir(mode=0o700)
            lock.enter_context(locked(version))
        try:
            yield version
        except BaseException:
            shutil.rmtree(version, ignore_errors=True)
            raise


def remove_other_versions(folder: Path, current: Callable[[], str | None]) -> None:
    """Remove the subfolders of ``folder`` except the current one and those that a process is writing.

    ``current`` returns the name of the current subfolder. It is called only once the folder is locked, since another
    process may have changed the current subfolder before.
    """
    with locked(folder):
        current_name = current()
        for version in folder.iterdir():
            if version.is_dir() and version.name != current_name:
                with suppress(OSError), locked(version, wait=False):
                    shutil.rmtree(version, ignore_errors=True)


@contextmanager
def locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Lock a folder, if its file system has locks; the lock is released if the process dies.

    Raises:
        BlockingIOError: without ``wait``, if the folder is already locked.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:
            pass  # the file system has no locks
        yield
    finally:
        os.close(descriptor)
