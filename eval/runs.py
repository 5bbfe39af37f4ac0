"""Reading of results folders."""

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from common.errors import DataError, UserError
from common.json_file import json_type, read_text
from eval.results import RESULTS_FILE, has_results_form
from eval.stats.metrics import labels_of
from eval.tasks import Task, recorded_tasks

_ACCURACIES = ("accuracy", "accuracy@1", "share_maybe")  # each is the share of samples whose prediction is the target


@dataclass(frozen=True)
class Run:
    """A results folder written by ``eval.results.write_results``.

    Attributes:
        payload: the content of ``results.json``.
        tasks: the tasks by name, in the order of ``results.json``.
    """

    folder: Path
    payload: Mapping[str, Any] = field(repr=False)
    tasks: Mapping[str, Task] = field(repr=False)

    @property
    def results(self) -> Mapping[str, Mapping[str, float | None]]:
        """The metrics by task, including ``METRIC_stderr``."""
        return cast("Mapping[str, Mapping[str, float | None]]", self.payload["results"])

    @property
    def task_names(self) -> str:
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

    def identity(self, name: str) -> Mapping[str, Any] | None:
        """``TaskResult.identity`` of a task; None if version 0.1.0 wrote the results: its samples have other keys."""
        if name not in self.payload.get("tasks", {}):
            return None
        return cast("Mapping[str, Any] | None", self.payload.get("identity", {}).get(name))

    def samples(self, name: str) -> list[dict[str, Any]]:
        """The samples of a task; each has at least ``id, prediction, target``.

        Raises:
            UserError: there is no such task.
            DataError: the file is absent, a line is not a sample, or the samples do not match ``results.json``.
        """
        if name not in self.tasks:
            raise UserError(f"{self.folder} has no task {name}; it has {self.task_names}.")
        path = self.folder / f"samples_{name}.jsonl"
        advice = f"Measure again with: medground eval {self.tasks[name].command} --output {self.folder}"
        if not path.is_file():
            raise DataError(path, f"the samples of {name} are missing. {advice}")
        samples = [
            _parse_sample(line, path, number, advice)
            for number, line in enumerate(read_text(path).split("\n"), start=1)
            if line.strip()
        ]
        self._check_samples(name, samples, path, advice)
        return samples

    def _check_samples(self, name: str, samples: list[dict[str, Any]], path: Path, advice: str) -> None:
        """Check the number of samples against ``n``, and the number of right samples against the accuracy.

        ``n`` counts the records of the run's largest task. Only if a run has one task must the numbers be equal; else a
        task may have fewer samples.
        """
        n = self.source(name).get("n")
        is_only_task = name not in self._earlier and len(self.results) - len(self._earlier) == 1
        if isinstance(n, int) and (len(samples) > n or (is_only_task and len(samples) < n)):
            raise DataError(path, f"holds {len(samples)} samples, and {RESULTS_FILE} counts {n}. {advice}")
        metrics = self.results[name]
        accuracy = next((metrics[metric] for metric in _ACCURACIES if metric in metrics), None)
        n_right = sum(sample["prediction"] == sample["target"] for sample in samples)
        if accuracy is not None and not math.isclose(n_right, accuracy * len(samples), abs_tol=1e-6):
            raise DataError(
                path,
                f"does not match {RESULTS_FILE}: {n_right} of its {len(samples)} samples are right, and the accuracy "
                f"there is {accuracy:.4f}. {advice}",
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
        payload = None
    if not _is_valid(payload):
        raise DataError(
            path, "is not a results file of medground. Name a folder that medground eval wrote with --output."
        )
    return Run(folder, payload, recorded_tasks(list(payload["results"]), payload.get("tasks", {})))


def find_runs(folder: Path) -> list[Run]:
    """The runs in and below ``folder``, sorted by path.

    Raises:
        UserError: there is no such folder, it has no run, or ``read_run`` fails.
    """
    _check_folder(folder)
    runs = [read_run(path.parent) for path in sorted(folder.rglob(RESULTS_FILE)) if path.is_file()]
    if not runs:
        raise UserError(
            f"{folder} holds no {RESULTS_FILE}, nor does a folder below it. Name one that medground eval wrote with "
            "--output."
        )
    return runs


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        problem = "is a file; name the folder" if folder.exists() else "does not exist. Name a folder"
        raise UserError(f"{folder} {problem} that medground eval wrote with --output.")


def _parse_sample(line: str, path: Path, number: int, advice: str) -> dict[str, Any]:
    try:
        sample = json.loads(line)
    except (ValueError, RecursionError):
        raise DataError(path, f"line {number} is not JSON; the file may be truncated. {advice}") from None
    if not isinstance(sample, dict):
        raise DataError(path, f"line {number} holds {json_type(sample)}, not an object. {advice}")
    if invalid := next((name for name in ("id", "prediction", "target") if not _is_text(sample, name)), None):
        raise DataError(path, f"line {number} has no text in its field {invalid}. {advice}")
    return sample


def _is_text(sample: Mapping[str, Any], name: str) -> bool:
    """Whether the field ``name`` is a string; a prediction may also be null."""
    return isinstance(sample.get(name), str) or (name == "prediction" and sample.get(name, 0) is None)


def _is_valid(payload: Any) -> bool:
    if not has_results_form(payload):
        return False
    values = [value for metrics in payload["results"].values() for value in metrics.values()]
    mappings = (payload.get("config"), *payload.get("earlier", {}).values())
    return all(value is None or _is_number(value) for value in values) and all(isinstance(m, dict) for m in mappings)


def _is_number(value: Any) -> bool:
    """Whether the value is a number that a float can represent; JSON also allows NaN and huge integers."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
