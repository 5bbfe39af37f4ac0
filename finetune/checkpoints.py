"""Checkpoints of a run: which are complete, which fit the recipe, and which one becomes the result."""

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

RUN_FILE = "run.json"  # written last into a checkpoint: a checkpoint without it is incomplete
SUMMARY_FILE = "summary.json"
_NAME = re.compile(r"checkpoint-(\d+)")
_MODULE = re.compile(r"\d+_\w+")  # folder of a sentence-transformers module, such as 1_Pooling
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
    """A complete checkpoint: its folder, its step and the content of ``RUN_FILE``."""

    folder: Path
    step: int
    run: Mapping[str, Any]


def checkpoints(output: Path) -> Iterator[Checkpoint]:
    """The complete checkpoints in ``output``, by step."""
    for step, folder in sorted(_folders(output)):
        run = _read(folder / RUN_FILE)
        if run is not None:
            yield Checkpoint(folder, step, run)


def remove_incomplete(output: Path) -> None:
    """Delete the incomplete checkpoints of an interrupted run."""
    for _, folder in _folders(output):
        if _read(folder / RUN_FILE) is None:
            shutil.rmtree(folder, ignore_errors=True)


def mark_complete(folder: Path, run: Mapping[str, Any]) -> None:
    """Mark a checkpoint as complete; ``run`` holds the recipe, the seconds of training and the peak memory so far."""
    write_json(folder / RUN_FILE, run)


def rotate(output: Path, keep: int | None, best: int | None) -> None:
    """Delete the oldest checkpoints until ``keep`` are left; the last one and that of step ``best`` stay."""
    found = list(checkpoints(output))
    spare = [one for one in found[:-1] if one.step != best]
    for one in spare[: max(0, len(found) - keep)] if keep is not None else []:
        (one.folder / RUN_FILE).unlink()  # first, so that a partly deleted checkpoint counts as incomplete
        shutil.rmtree(one.folder, ignore_errors=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file atomically."""
    write_whole(path, json.dumps(content, indent=2) + "\n")


def find_resumable(output: Path, recipe: Mapping[str, Any]) -> Checkpoint | None:
    """The last complete checkpoint in ``output``, or None.

    Raises:
        UserError: ``output`` holds a run with another recipe; the message names the differences.
    """
    found = list(checkpoints(output))
    for one in found:
        _check_recipe(output, one.run.get("recipe"), recipe)
    return found[-1] if found else None


def is_finished(output: Path, recipe: Mapping[str, Any]) -> bool:
    """Whether ``output`` holds the result of a run with this recipe.

    Raises:
        UserError: it holds the result of a run with another recipe.
    """
    summary = _read(output / SUMMARY_FILE)
    if summary is None:
        return False
    _check_recipe(output, summary.get("recipe"), recipe)
    return True


def check_no_model(output: Path) -> None:
    """Check that a run would not write into the folder of another model, such as its own base.

    Raises:
        UserError: ``output`` holds a model or an adapter, and nothing of a run.
    """
    models = [name for name in ("config.json", "adapter_config.json", "modules.json") if (output / name).is_file()]
    if models and not (output / SUMMARY_FILE).is_file() and next(checkpoints(output), None) is None:
        raise UserError(
            f"{output} holds another model ({models[0]}), whose files this run would replace. Choose a new folder for "
            "--output."
        )


def publish(checkpoint: Path, output: Path) -> None:
    """Put the model or adapter of a checkpoint into ``output``, without the files that only serve to resume."""
    for path in checkpoint.iterdir():
        if path.is_dir() and _MODULE.fullmatch(path.name):
            (output / path.name).mkdir(exist_ok=True)
            for file in path.iterdir():
                _link(file, output / path.name / file.name)
        elif path.is_file() and path.name not in _RESUMES_ONLY and not path.name.startswith("rng_state"):
            _link(path, output / path.name)


def publish_best(output: Path, step: int | None) -> Checkpoint | None:
    """Publish the checkpoint of ``step``, or the last one where ``step`` is None or its checkpoint is gone.

    Returns:
        The published checkpoint; None if there is none or the disk is full.
    """
    found = {one.step: one for one in checkpoints(output)}
    if not found:
        return None
    last = found[max(found)]
    chosen = last if step is None else found.get(step, last)
    try:
        publish(chosen.folder, output)
    except OSError:
        return None
    return chosen


def _link(file: Path, target: Path) -> None:
    """Hard-link a file, or copy it where the file system has no links; files of checkpoints never change."""
    partial = target.with_name(f".{target.name}.part")
    partial.unlink(missing_ok=True)
    try:
        os.link(file, partial)
    except OSError:
        shutil.copyfile(file, partial)
    partial.replace(target)


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


def _check_recipe(output: Path, found: object, wanted: Mapping[str, Any]) -> None:
    found = found if isinstance(found, dict) else {}
    same_weights = found.get("weights") is not None and found.get("weights") == wanted.get("weights")
    differences = [
        f"{name} was {found.get(name)!r} and is {wanted.get(name)!r}"
        for name in dict.fromkeys([*found, *wanted])
        if found.get(name) != wanted.get(name) and not (name == "model" and same_weights)
    ]
    if differences:
        raise UserError(
            f"{output} holds a run with another recipe: {'; '.join(differences[:4])}. Choose another --output folder, "
            "or remove that one."
        )
