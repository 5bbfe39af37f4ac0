"""Checkpoint folders of a training run: completeness, rotation, resuming, and publishing as the result."""

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.atomic_write import write_whole
from common.errors import UserError

RUN_FILE = "run.json"  # written last into a checkpoint: a checkpoint without it is incomplete
SUMMARY_FILE = "summary.json"
_NAME = re.compile(r"checkpoint-\d+")
_MODULE_NAME = re.compile(r"\d+_\w+")  # folder of a sentence-transformers module, such as 1_Pooling
_RESUME_FILES = {"optimizer.pt", "scheduler.pt", "scaler.pt", "training_args.bin", "trainer_state.json", RUN_FILE}


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint: its folder, its step, and as ``run`` the content of ``RUN_FILE``.

    If ``RUN_FILE`` is absent or unreadable, ``run`` is empty.
    """

    folder: Path
    step: int
    run: Mapping[str, Any]

    @property
    def is_complete(self) -> bool:
        """Whether the checkpoint was written to the end, and all its files still have the sizes in ``RUN_FILE``."""
        return bool(self.run) and self.run.get("files", {}).items() <= _file_sizes(self.folder).items()


def complete_checkpoints(output: Path) -> list[Checkpoint]:
    """The complete checkpoints in ``output``, in the order of their steps."""
    return [checkpoint for checkpoint in _checkpoints(output) if checkpoint.is_complete]


def damaged_checkpoints(output: Path) -> list[str]:
    """The names of the checkpoints that have a ``RUN_FILE`` but are not complete, in the order of their steps."""
    return [
        checkpoint.folder.name
        for checkpoint in _checkpoints(output)
        if (checkpoint.folder / RUN_FILE).exists() and not checkpoint.is_complete
    ]


def remove_incomplete(output: Path) -> None:
    """Delete the checkpoints without a readable ``RUN_FILE``: an interrupted run did not write them to the end."""
    for checkpoint in _checkpoints(output):
        if not checkpoint.run:
            shutil.rmtree(checkpoint.folder, ignore_errors=True)


def mark_complete(folder: Path, run: Mapping[str, Any]) -> None:
    """Mark a checkpoint as complete; ``run`` holds the recipe, the seconds of training and the peak memory so far."""
    write_whole(folder / RUN_FILE, json.dumps({**run, "files": _file_sizes(folder)}, indent=2) + "\n")


def rotate(output: Path, keep: int | None, best: int | None) -> None:
    """Delete the oldest checkpoints until ``keep`` are left, but never the last and never the one of step ``best``.

    If ``keep`` is None, no checkpoint is deleted.
    """
    complete = complete_checkpoints(output)
    removable = [checkpoint for checkpoint in complete[:-1] if checkpoint.step != best]
    for checkpoint in removable[: max(0, len(complete) - keep)] if keep is not None else []:
        (checkpoint.folder / RUN_FILE).unlink()  # first, so that a partly deleted checkpoint counts as incomplete
        shutil.rmtree(checkpoint.folder, ignore_errors=True)


def find_resumable(output: Path, recipe: Mapping[str, Any]) -> Checkpoint | None:
    """The last complete checkpoint in ``output``, or None.

    Raises:
        UserError: ``output`` holds a run with another recipe; the message names the differences.
    """
    for checkpoint in _checkpoints(output):
        if checkpoint.run:
            _check_recipe(output, checkpoint.run.get("recipe"), recipe)
    return next(reversed(complete_checkpoints(output)), None)


def is_finished(output: Path, recipe: Mapping[str, Any]) -> bool:
    """Whether ``output`` holds the result of a run with this recipe.

    Raises:
        UserError: ``output`` holds the result of a run with another recipe.
    """
    summary = _read_json(output / SUMMARY_FILE)
    if summary:
        _check_recipe(output, summary.get("recipe"), recipe)
    return bool(summary)


def check_no_model(output: Path) -> None:
    """Check that a run would not write into the folder of another model, such as its own base.

    Raises:
        UserError: ``output`` holds a model or an adapter, but neither summary nor checkpoint of a run.
    """
    models = [name for name in ("config.json", "adapter_config.json", "modules.json") if (output / name).is_file()]
    if models and not (output / SUMMARY_FILE).is_file() and not any(point.run for point in _checkpoints(output)):
        raise UserError(
            f"{output} holds another model ({models[0]}), whose files this run would replace. Choose a new folder for "
            "--output."
        )


def publish(checkpoint: Path, output: Path) -> None:
    """Link or copy the model or adapter of a checkpoint into ``output``, without the files that only resuming needs."""
    for path in checkpoint.iterdir():
        if path.is_dir() and _MODULE_NAME.fullmatch(path.name):
            (output / path.name).mkdir(exist_ok=True)
            for file in path.iterdir():
                _link(file, output / path.name / file.name)
        elif (
            path.is_file() and path.name not in {*_RESUME_FILES, "README.md"} and not path.name.startswith("rng_state")
        ):
            _link(path, output / path.name)


def publish_best(output: Path, step: int | None) -> Checkpoint | None:
    """Publish the complete checkpoint of ``step``; if there is none or ``step`` is None, the last complete checkpoint.

    Returns:
        The published checkpoint; None if there is no complete checkpoint, or if its files cannot be copied.
    """
    complete = complete_checkpoints(output)
    if not complete:
        return None
    chosen = next((checkpoint for checkpoint in complete if checkpoint.step == step), complete[-1])
    try:
        publish(chosen.folder, output)
    except OSError:
        return None
    return chosen


def _link(file: Path, target: Path) -> None:
    """Hard-link a file of a checkpoint, or copy it if the file system has no hard links.

    A link suffices, since the files of a checkpoint never change.
    """
    partial = target.with_name(f".{target.name}.part")
    partial.unlink(missing_ok=True)
    try:
        os.link(file, partial)
    except OSError:
        shutil.copyfile(file, partial)
    partial.replace(target)


def _checkpoints(output: Path) -> list[Checkpoint]:
    """The folders of checkpoints, in the order of their steps."""
    folders = [folder for folder in output.glob("checkpoint-*") if _NAME.fullmatch(folder.name) and folder.is_dir()]
    steps = ((int(folder.name.partition("-")[2]), folder) for folder in folders)
    return [Checkpoint(folder, step, _read_json(folder / RUN_FILE)) for step, folder in sorted(steps)]


def _file_sizes(checkpoint: Path) -> dict[str, int]:
    """The sizes in bytes of a checkpoint's files; ``RUN_FILE``, hidden files and random states are left out."""
    return {
        path.name: path.stat().st_size
        for path in checkpoint.iterdir()
        if path.is_file() and path.name != RUN_FILE and not path.name.startswith((".", "rng_state"))
    }


def _read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty if the file is absent or holds something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _check_recipe(output: Path, stored: object, recipe: Mapping[str, Any]) -> None:
    """Raise ``UserError`` if two recipes differ. The names of the models may differ if their weights are the same."""
    stored = stored if isinstance(stored, dict) else {}
    same_weights = stored.get("weights") is not None and stored.get("weights") == recipe.get("weights")
    differences = [
        f"{name} was {stored.get(name)!r} and is {recipe.get(name)!r}"
        for name in dict.fromkeys([*stored, *recipe])
        if stored.get(name) != recipe.get(name) and not (name == "model" and same_weights)
    ]
    if differences:
        raise UserError(
            f"{output} holds a run with another recipe: {'; '.join(differences[:4])}. Choose another --output folder, "
            "or remove that one."
        )
