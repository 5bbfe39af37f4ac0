"""Results of tasks, and the files of a results folder."""

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import TYPE_CHECKING, Any

from common.atomic_write import locked, write_whole
from common.errors import UserError
from common.fingerprints import to_jsonable
from eval.stats.estimate import Estimate
from eval.stats.metrics import labels_of

if TYPE_CHECKING:
    from eval.tasks.base import Task

RESULTS_FILE = "results.json"
_TASK_NAME = re.compile(r"[\w@+-][\w@+.-]{0,99}")
_PACKAGES = (
    "medground",
    "torch",
    "transformers",
    "sentence-transformers",
    "chromadb",
    "bm25s",
    "langchain-core",
    "langchain-huggingface",
    "langchain-chroma",
    "bitsandbytes",
    "peft",
    "datasets",
    "numpy",
    "xllamacpp",
)


@dataclass(frozen=True)
class TaskResult:
    """Metrics and samples of one task.

    Attributes:
        samples: a sample per record, with ``id, question, prompt, output, label_scores, prediction, target, retrieved,
            key``.
        reused: the number of samples whose results come from the cache.
        identity: everything besides data and prompts that determines the samples, such as model and settings, in JSON
            types.
        left_out: ids of records that are too long for the model and have no sample.
    """

    task: "Task"
    estimates: Mapping[str, Estimate]
    samples: Sequence[Mapping[str, Any]] = field(repr=False)
    reused: int = 0
    identity: Mapping[str, Any] = field(default_factory=dict, repr=False)
    left_out: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The task's name, such as ``qa_gold``."""
        return self.task.name

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics' values, without standard errors and intervals."""
        return {name: estimate.value for name, estimate in self.estimates.items()}

    @property
    def labels(self) -> tuple[str, ...]:
        """The candidate labels; empty if the task has no metrics by label."""
        return labels_of(self.estimates)


def check_task_name(name: str) -> None:
    """Raise ``UserError`` unless the name can be part of a file name."""
    if not _TASK_NAME.fullmatch(name):
        raise UserError(
            f"The task name {name!r} becomes a file name, so it may contain only letters, digits and _ - + @ . "
            "(at most 100). Rename the retriever in the settings."
        )


def prepare_output_folder(folder: Path) -> None:
    """Create ``folder`` and check that results can be written there; call it before a long run.

    Raises:
        UserError: ``folder`` is a file, is not writable, or holds a ``results.json`` of another program.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _unwritable(folder, error) from error
    _read_existing(folder / RESULTS_FILE)


def write_results(
    folder: Path, tasks: Sequence[TaskResult], config: Mapping[str, Any], *, date: datetime | None = None
) -> Path:
    """Write ``samples_TASK.jsonl`` for each task, then ``results.json``; each file is replaced atomically.

    The content of ``results.json``:

    - ``results``: by task the metrics, and ``METRIC_stderr``, null if it cannot be estimated.
    - ``tasks``: by task its fields.
    - ``config``, ``versions`` and ``date`` (UTC) of this run.
    - ``n``: the number of records of this run's largest task.
    - ``computed`` and ``reused``: the numbers of samples of all tasks of this run.
    - ``identity``: by task what determined its samples, such as the hash of the model's weights.
    - ``left_out``: by task the ids of the records that are too long for the model; absent if there are none.
    - ``earlier``: by task of an earlier run the ``config, versions, date, n`` of that run. The results of such tasks
      stay in the file.

    A lock serializes processes that write to one folder.

    Args:
        folder: created if absent.
        tasks: at least one, with different names.
        config: the settings of the run.
        date: now by default.

    Returns:
        The path of ``results.json``.

    Raises:
        UserError: the folder is not writable.
        ValueError: no tasks, or two of the same name.
    """
    names = [task.name for task in tasks]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"one result for each task is needed, not {names}")
    prepare_output_folder(folder)
    with locked(folder):
        return _write(folder, tasks, config, date or datetime.now(UTC))


def _write(folder: Path, tasks: Sequence[TaskResult], config: Mapping[str, Any], date: datetime) -> Path:
    path = folder / RESULTS_FILE
    existing, names = _read_existing(path), {task.name for task in tasks}

    def entries_of_others(field: str) -> dict[str, Any]:
        """The existing entries under ``field`` of tasks that are not written now."""
        return {name: value for name, value in existing.get(field, {}).items() if name not in names}

    other_results = entries_of_others("results")
    last_run = {field: existing.get(field) for field in ("config", "versions", "date", "n")}
    reused = sum(task.reused for task in tasks)
    payload = {
        "results": other_results | {task.name: dict(_values(task)) for task in tasks},
        "tasks": entries_of_others("tasks") | {task.name: task.task.fields() for task in tasks},
        "config": config,
        "versions": versions(),
        "date": date.isoformat(timespec="seconds"),
        "n": max(len(task.samples) for task in tasks),
        "computed": sum(len(task.samples) for task in tasks) - reused,
        "reused": reused,
        "identity": {name: {} for name in other_results}
        | entries_of_others("identity")
        | {task.name: task.identity for task in tasks},
        "earlier": dict.fromkeys(other_results, last_run) | entries_of_others("earlier"),
    }
    if left_out := entries_of_others("left_out") | {task.name: task.left_out for task in tasks if task.left_out}:
        payload["left_out"] = left_out
    for task in tasks:
        lines = [json.dumps(to_jsonable(sample), allow_nan=False) for sample in task.samples]
        with writing(samples_file := folder / f"samples_{task.name}.jsonl"):
            write_whole(samples_file, "".join(line + "\n" for line in lines))
    return write_json(path, payload)


def versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that can change a result."""
    numbers = {"python": python_version()}
    for package in _PACKAGES:
        try:
            numbers[package] = version(package)
        except PackageNotFoundError:
            continue
    return numbers


def _values(task: TaskResult) -> Iterator[tuple[str, float | None]]:
    """Each metric and its standard error."""
    for name, estimate in task.estimates.items():
        yield name, estimate.value
        yield f"{name}_stderr", estimate.stderr


def _read_existing(path: Path) -> dict[str, Any]:
    """The content of an existing ``results.json``, else an empty dict."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _unwritable(path, error) from error
    except (ValueError, RecursionError):
        content = None
    if not has_results_form(content):
        raise UserError(
            f"{path} is not a results file of medground. Name another --output folder, or move that file away."
        )
    payload: dict[str, Any] = content
    return payload


def has_results_form(content: Any) -> bool:
    """Whether JSON content has the form of ``results.json``."""
    if not isinstance(content, dict) or not isinstance(content.get("results"), dict):
        return False
    mappings = [content.get(name, {}) for name in ("earlier", "identity", "left_out", "tasks")]
    return all(isinstance(mapping, dict) for mapping in (*mappings, *content["results"].values()))


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Create the folder of ``path`` if absent, and turn an ``OSError`` of the body into a ``UserError``."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise _unwritable(path, error) from error


def write_json(path: Path, value: Any) -> Path:
    """Write ``value`` as JSON atomically; numbers that are not finite become null.

    Raises:
        UserError: the file cannot be written.
    """
    with writing(path):
        write_whole(path, json.dumps(to_jsonable(value), indent=2, allow_nan=False) + "\n")
    return path


def _unwritable(path: Path, error: OSError) -> UserError:
    is_file = isinstance(error, FileExistsError | NotADirectoryError)
    reason = "it is a file or lies under one" if is_file else error.strerror or str(error)
    return UserError(
        f"Results cannot be written to {path}: {reason}. Name another --output folder, or make room there."
    )
