"""Results folders read back: what a run measured, and its samples."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.errors import DataError, UserError
from common.json_file import kind_of, read_text
from eval.results import RESULTS_FILE, check_task_name

_COMMANDS = {"retrieval": "retrieval", "qa": "qa", "verified": "qa"}
_SHARES_OF_RIGHT = ("accuracy", "accuracy@1", "share_maybe")  # the share of samples whose prediction is their target


@dataclass(frozen=True)
class Run:
    """A results folder, as ``eval.results.write_results`` left it.

    Attributes:
        folder: where it lies.
        payload: the whole of its ``results.json``.
    """

    folder: Path
    payload: Mapping[str, Any] = field(repr=False)

    @property
    def results(self) -> Mapping[str, Mapping[str, float | None]]:
        """The figures by task and metric, ``METRIC_stderr`` among them."""
        results: Mapping[str, Mapping[str, float | None]] = self.payload["results"]
        return results

    @property
    def tasks(self) -> list[str]:
        """The tasks' names in the file's order."""
        return list(self.results)

    def config_of(self, task: str) -> Mapping[str, Any]:
        """The settings that ``task`` was measured with: those of the earlier run that left it, else of the last one."""
        config: Mapping[str, Any] = self._source(task).get("config") or {}
        return config

    def samples(self, task: str) -> list[dict[str, Any]]:
        """The task's samples, in the records' order; each has ``id, prediction, target`` and what its task adds.

        Raises:
            UserError: the run has no such task.
            DataError: the file is absent, a line of it is no sample, or it is not the one that the figures in
                ``results.json`` were taken from: its samples are fewer, more, or others.
        """
        if task not in self.results:
            raise UserError(f"{self.folder} has no task {task}; it has {', '.join(self.tasks) or 'none'}.")
        path = self.folder / f"samples_{task}.jsonl"
        again = _again(self.folder, task)
        if not path.is_file():
            raise DataError(path, f"the samples of {task} are not there. {again}")
        samples = [
            _sample(line, path, number, again)
            for number, line in enumerate(read_text(path).split("\n"), start=1)
            if line.strip()
        ]
        self._check_whole(task, samples, path, again)
        return samples

    def _check_whole(self, task: str, samples: list[dict[str, Any]], path: Path, again: str) -> None:
        """Hold the samples against ``n``, which is that of the run's largest task, and against the share of right."""
        n = self._source(task).get("n")
        alone = task not in self._earlier and len(self.results) - len(self._earlier) == 1
        if isinstance(n, int) and (len(samples) > n or (alone and len(samples) < n)):
            raise DataError(path, f"holds {len(samples)} samples, and {RESULTS_FILE} counts {n}. {again}")
        told = next((self.results[task][name] for name in _SHARES_OF_RIGHT if name in self.results[task]), None)
        right = sum(sample["prediction"] == sample["target"] for sample in samples)
        if told is not None and not math.isclose(right, told * len(samples), abs_tol=1e-6):
            raise DataError(
                path,
                f"does not belong to {RESULTS_FILE}: {right} of its {len(samples)} samples are right, and the share "
                f"there is {told:.4f}. {again}",
            )

    def _source(self, task: str) -> Mapping[str, Any]:
        """What tells of the run that measured ``task``: ``config, versions, date, n``."""
        source: Mapping[str, Any] = self._earlier.get(task, self.payload)
        return source

    @property
    def _earlier(self) -> Mapping[str, Mapping[str, Any]]:
        earlier: Mapping[str, Mapping[str, Any]] = self.payload.get("earlier", {})
        return earlier


def read_run(folder: Path) -> Run:
    """The run whose ``results.json`` lies in ``folder``.

    Raises:
        UserError: there is no such folder, it holds no ``results.json``, or that is cut short or not ours.
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
            f"is cut short or damaged: {error.msg} (line {error.lineno}, column {error.colno}). Move it away and "
            "measure again.",
        ) from None
    except (ValueError, RecursionError):
        raise _foreign(path) from None
    if not _is_ours(payload):
        raise _foreign(path)
    for task in payload["results"]:
        check_task_name(task)
    return Run(folder, payload)


def find_runs(folder: Path) -> list[Run]:
    """The runs in ``folder`` and in every folder below it, sorted by path; a grid has one a model.

    Raises:
        UserError: there is no such folder, no run in it, or one whose ``results.json`` is cut short or not ours.
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
        what = "is a file; name the folder" if folder.exists() else "is not there. Name a folder"
        raise UserError(f"{folder} {what} that medground eval wrote with --output.")


def _sample(line: str, path: Path, number: int, again: str) -> dict[str, Any]:
    try:
        sample = json.loads(line)
    except (ValueError, RecursionError):
        raise DataError(path, f"line {number} is not JSON, as where a file was cut. {again}") from None
    if not isinstance(sample, dict):
        raise DataError(path, f"line {number} holds {kind_of(sample)} where a sample must be an object. {again}")
    if flaw := next((name for name in ("id", "prediction", "target") if not _is_text(sample, name)), None):
        raise DataError(path, f"line {number} has no text as its {flaw}. {again}")
    return sample


def _is_text(sample: Mapping[str, Any], name: str) -> bool:
    """Whether the field is a text; a prediction may also be null, where no label was named."""
    return isinstance(sample.get(name), str) or (name == "prediction" and sample.get(name, 0) is None)


def _is_ours(payload: Any) -> bool:
    def numbers(figures: Any) -> bool:
        return isinstance(figures, dict) and all(value is None or _is_number(value) for value in figures.values())

    return (
        isinstance(payload, dict)
        and isinstance(payload.get("results"), dict)
        and all(numbers(figures) for figures in payload["results"].values())
        and isinstance(payload.get("config"), dict)
        and isinstance(payload.get("earlier", {}), dict)
        and all(isinstance(source, dict) for source in payload.get("earlier", {}).values())
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _foreign(path: Path) -> UserError:
    return DataError(path, "is no results file of medground. Name a folder that medground eval wrote with --output.")


def _again(folder: Path, task: str) -> str:
    command = _COMMANDS.get(task.partition("_")[0], "nli")
    return f"Measure again with: medground eval {command} --output {folder}"
