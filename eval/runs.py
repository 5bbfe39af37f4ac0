"""Reader of results folders."""

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from common.errors import DataError, UserError
from common.json_file import json_type, read_text
from eval.results import RESULTS_FILE, is_results
from eval.stats.metrics import labels_of
from eval.tasks import Task, recorded_tasks

_ACCURACIES = ("accuracy", "accuracy@1", "share_maybe")  # the share of samples whose prediction is their target


@dataclass(frozen=True)
class Run:
    """A results folder written by ``eval.results.write_results``.

    Attributes:
        folder: its path.
        payload: the content of ``results.json``.
        tasks: by name, in the file's order.
    """

    folder: Path
    payload: Mapping[str, Any] = field(repr=False)
    tasks: Mapping[str, Task] = field(repr=False)

    @property
    def results(self) -> Mapping[str, Mapping[str, float | None]]:
        """The metrics by task, including ``METRIC_stderr``."""
        return cast("Mapping[str, Mapping[str, float | None]]", self.payload["results"])

    @property
    def listed(self) -> str:
        """The tasks' names, for messages."""
        return ", ".join(self.tasks) or "none"

    def labels(self, name: str) -> tuple[str, ...]:
        """The candidate labels of a task; empty if it has no metrics by label."""
        return labels_of(self.results[name])

    def source(self, name: str) -> Mapping[str, Any]:
        """``config, versions, date, n`` of the run that measured a task."""
        return self._earlier.get(name, self.payload)

    def config_of(self, name: str) -> Mapping[str, Any]:
        """The settings that a task was measured with."""
        return self.source(name).get("config") or {}

    def samples(self, name: str) -> list[dict[str, Any]]:
        """The samples of a task; each has at least ``id, prediction, target``.

        Raises:
            UserError: there is no such task.
            DataError: the file is absent, a line is not a sample, or the samples do not match ``results.json``.
        """
        if name not in self.tasks:
            raise UserError(f"{self.folder} has no task {name}; it has {self.listed}.")
        path = self.folder / f"samples_{name}.jsonl"
        again = f"Measure again with: medground eval {self.tasks[name].command} --output {self.folder}"
        if not path.is_file():
            raise DataError(path, f"the samples of {name} are missing. {again}")
        samples = [
            _sample(line, path, number, again)
            for number, line in enumerate(read_text(path).split("\n"), start=1)
            if line.strip()
        ]
        self._check_whole(name, samples, path, again)
        return samples

    def _check_whole(self, name: str, samples: list[dict[str, Any]], path: Path, again: str) -> None:
        """Check the number of samples against ``n``, and the share of right ones against the accuracy."""
        n = self.source(name).get("n")
        alone = name not in self._earlier and len(self.results) - len(self._earlier) == 1
        if isinstance(n, int) and (len(samples) > n or (alone and len(samples) < n)):
            raise DataError(path, f"holds {len(samples)} samples, and {RESULTS_FILE} counts {n}. {again}")
        figures = self.results[name]
        accuracy = next((figures[metric] for metric in _ACCURACIES if metric in figures), None)
        right = sum(sample["prediction"] == sample["target"] for sample in samples)
        if accuracy is not None and not math.isclose(right, accuracy * len(samples), abs_tol=1e-6):
            raise DataError(
                path,
                f"does not match {RESULTS_FILE}: {right} of its {len(samples)} samples are right, and the accuracy "
                f"there is {accuracy:.4f}. {again}",
            )

    @property
    def _earlier(self) -> Mapping[str, Mapping[str, Any]]:
        return cast("Mapping[str, Mapping[str, Any]]", self.payload.get("earlier", {}))


def read_run(folder: Path) -> Run:
    """Read the run in ``folder``.

    Raises:
        UserError: there is no such folder, or its ``results.json`` is missing, truncated or of another program.
    """
    _check_folder(folder)
    path = folder / RESULTS_FILE
    if not path.is_file():
        raise UserError(f"{folder} holds no {RESULTS_FILE}. Name a folder that medground eval wrote with --output.")
    try:
        payload = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DataError(
            path,
            f"is truncated or damaged: {error.msg} (line {error.lineno}, column {error.colno}). Move it away and "
            "measure again.",
        ) from None
    except (ValueError, RecursionError):
        raise _foreign(path) from None
    if not _is_ours(payload):
        raise _foreign(path)
    return Run(folder, payload, recorded_tasks(list(payload["results"]), payload.get("tasks", {})))


def find_runs(folder: Path) -> list[Run]:
    """The runs in and below ``folder``, sorted by path.

    Raises:
        UserError: there is no such folder or no run, or see ``read_run``.
    """
    _check_folder(folder)
    found = [read_run(path.parent) for path in sorted(folder.rglob(RESULTS_FILE)) if path.is_file()]
    if not found:
        raise UserError(
            f"{folder} holds no {RESULTS_FILE}, nor does a folder below it. Name one that medground eval wrote with "
            "--output."
        )
    return found


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        what = "is a file; name the folder" if folder.exists() else "does not exist. Name a folder"
        raise UserError(f"{folder} {what} that medground eval wrote with --output.")


def _sample(line: str, path: Path, number: int, again: str) -> dict[str, Any]:
    try:
        sample = json.loads(line)
    except (ValueError, RecursionError):
        raise DataError(path, f"line {number} is not JSON; the file may be truncated. {again}") from None
    if not isinstance(sample, dict):
        raise DataError(path, f"line {number} holds {json_type(sample)}, not an object. {again}")
    if flaw := next((name for name in ("id", "prediction", "target") if not _is_text(sample, name)), None):
        raise DataError(path, f"line {number} has no text in its field {flaw}. {again}")
    return sample


def _is_text(sample: Mapping[str, Any], name: str) -> bool:
    """Whether the field is a text; a prediction may also be null."""
    return isinstance(sample.get(name), str) or (name == "prediction" and sample.get(name, 0) is None)


def _is_ours(payload: Any) -> bool:
    return (
        is_results(payload)
        and all(
            value is None or _is_number(value) for figures in payload["results"].values() for value in figures.values()
        )
        and all(isinstance(part, dict) for part in (payload.get("config"), *payload.get("earlier", {}).values()))
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _foreign(path: Path) -> UserError:
    return DataError(path, "is not a results file of medground. Name a folder that medground eval wrote with --output.")
