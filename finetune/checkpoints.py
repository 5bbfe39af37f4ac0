"""Checkpoints of a run: which are whole, whether they are of the recipe at hand, and which one is the result."""

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.atomic_write import write_whole
from common.errors import UserError

RUN_FILE = "run.json"  # written last into a checkpoint: one without it is half-written
SUMMARY_FILE = "summary.json"
_NAME = re.compile(r"checkpoint-(\d+)")
_RESUMES_ONLY = {
    "optimizer.pt",
    "scheduler.pt",
    "scaler.pt",
    "training_args.bin",
    "trainer_state.json",
    "README.md",
    RUN_FILE,
}


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint: its folder, its step and what ``mark`` wrote into it."""

    folder: Path
    step: int
    run: Mapping[str, Any]


def checkpoints(output: Path) -> Iterator[Checkpoint]:
    """The whole checkpoints in ``output``, by step; a half-written one is no checkpoint."""
    for step, folder in sorted(_folders(output)):
        run = _read(folder / RUN_FILE)
        if run is not None:
            yield Checkpoint(folder, step, run)


def remove_halves(output: Path) -> None:
    """Delete what a stopped run left half-written."""
    for _, folder in _folders(output):
        if _read(folder / RUN_FILE) is None:
            shutil.rmtree(folder, ignore_errors=True)


def mark(folder: Path, run: Mapping[str, Any]) -> None:
    """Declare a checkpoint whole; ``run`` has the recipe and what was spent so far."""
    write_json(folder / RUN_FILE, run)


def rotate(output: Path, keep: int | None, best: int | None) -> None:
    """Delete the oldest whole checkpoints until ``keep`` are left; the last one and that of step ``best`` stay."""
    found = list(checkpoints(output))
    spare = [one for one in found[:-1] if one.step != best]
    for one in spare[: max(0, len(found) - keep)] if keep is not None else []:
        (one.folder / RUN_FILE).unlink()  # first: what is deleted in part is no checkpoint any more
        shutil.rmtree(one.folder, ignore_errors=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write the whole file or none of it."""
    write_whole(path, json.dumps(content, indent=2) + "\n")


def to_resume(output: Path, recipe: Mapping[str, Any]) -> Checkpoint | None:
    """The last whole checkpoint in ``output``, or None where there is none.

    Raises:
        UserError: ``output`` holds a run of another recipe; what differs is named.
    """
    found = list(checkpoints(output))
    for one in found:
        _same(output, one.run.get("recipe"), recipe)
    return found[-1] if found else None


def finished(output: Path, recipe: Mapping[str, Any]) -> bool:
    """Whether ``output`` holds the result of this very recipe.

    Raises:
        UserError: it holds the result of another one.
    """
    summary = _read(output / SUMMARY_FILE)
    if summary is None:
        return False
    _same(output, summary.get("recipe"), recipe)
    return True


def publish(checkpoint: Path, output: Path) -> None:
    """Put a checkpoint's model or adapter at ``output`` itself, without what only serves to resume."""
    for file in checkpoint.iterdir():
        if file.is_file() and file.name not in _RESUMES_ONLY and not file.name.startswith("rng_state"):
            partial = output / f".{file.name}.part"
            partial.unlink(missing_ok=True)
            try:
                os.link(file, partial)  # no second copy of a whole model; files of checkpoints are never changed
            except OSError:
                shutil.copyfile(file, partial)
            partial.replace(output / file.name)


def publish_best(output: Path, step: int | None) -> Checkpoint | None:
    """Publish the checkpoint of ``step``, or the last one where that is None or gone.

    Returns:
        The checkpoint; None where there is none, or where a full disk lets nothing be published: it is there itself.
    """
    found = {one.step: one for one in checkpoints(output)}
    if not found:
        return None
    last = found[max(found)]
    taken = last if step is None else found.get(step, last)
    try:
        publish(taken.folder, output)
    except OSError:
        return None
    return taken


def _folders(output: Path) -> Iterator[tuple[int, Path]]:
    for folder in output.glob("checkpoint-*"):
        name = _NAME.fullmatch(folder.name)
        if name and folder.is_dir():
            yield int(name[1]), folder


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _same(output: Path, theirs: object, ours: Mapping[str, Any]) -> None:
    theirs = theirs if isinstance(theirs, dict) else {}
    differing = [
        f"{name} was {theirs.get(name)!r} and is {ours.get(name)!r}"
        for name in dict.fromkeys([*theirs, *ours])
        if theirs.get(name) != ours.get(name)
    ]
    if differing:
        raise UserError(
            f"{output} holds a run of another recipe: {'; '.join(differing[:4])}. Name another --output folder, or "
            "remove that one."
        )
