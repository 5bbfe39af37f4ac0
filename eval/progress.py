"""Progress bars on stderr."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Item = TypeVar("Item")


def chunks_with_progress(items: Sequence[Item], size: int, title: str, quiet: bool) -> Iterator[list[Item]]:
    """Yield ``items`` in lists of at most ``size``, with a progress bar of the finished items unless ``quiet``."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), disable=quiet) as progress:
        task_id = progress.add_task(title, total=len(items))
        for start in range(0, len(items), size):
            chunk = list(items[start : start + size])
            yield chunk
            progress.advance(task_id, len(chunk))
