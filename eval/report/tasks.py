"""Tasks of a report, with metrics recomputed from their samples."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from common.errors import DataError, UserError
from common.json_file import escape, read_text
from corpus.records import LABELS
from eval.compare import Side
from eval.grid import GRID_FILE
from eval.grouping import grouped
from eval.runs import Run, find_runs
from eval.stats.estimate import Estimate
from eval.tasks import Sample, Scorer, Section, Task
from eval.tasks.base import INFERENCE
from eval.tasks.scorers import CITATIONS, RANKING


@dataclass(frozen=True)
class ReportTask:
    """A task of a run.

    ``run`` is the run's name in the report. ``labels`` are the candidate labels; they are empty for retrieval and
    written answers. ``source`` holds settings, versions, date and number of records of the run. ``published`` holds
    published values by metric. ``identity`` is ``TaskResult.identity``, or None in results of version 0.1.0.
    """

    run: str
    folder: Path
    task: Task
    labels: tuple[str, ...]
    samples: Sequence[Sample] = field(repr=False)
    estimates: Mapping[str, Estimate] = field(repr=False)
    source: Mapping[str, Any] = field(repr=False)
    published: Mapping[str, float] = field(default_factory=dict)
    identity: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The task's name in results."""
        return self.task.name

    @property
    def title(self) -> str:
        """The task's name for readers, such as "own abstract" for ``qa_gold``."""
        return self.task.title(self.config)

    @property
    def scorer(self) -> Scorer:
        """The task's scorer."""
        return self.task.scorer

    @property
    def section(self) -> Section:
        """The task's section."""
        return self.task.section

    @property
    def config(self) -> Mapping[str, Any]:
        """The settings of the run."""
        config: Mapping[str, Any] = self.source.get("config") or {}
        return config

    @property
    def is_scored(self) -> bool:
        """Whether every answer has a probability."""
        return "ece" in self.estimates

    def setting(self, section: str, name: str) -> Any:
        """One setting of the run; None if missing."""
        fields = self.config.get(section)
        return fields.get(name) if isinstance(fields, Mapping) else None


@dataclass(frozen=True)
class ReportInput:
    """Tasks of a report, the error messages of models that failed, and the source of published values."""

    tasks: Sequence[ReportTask]
    failures: Mapping[str, str]
    published: str


def read_tasks(folders: Sequence[Path]) -> ReportInput:
    """All tasks of the runs in and below the folders.

    Raises:
        UserError: a folder has no run, samples are missing or malformed, an id occurs twice, or ``grid.json`` is
            malformed.
    """
    tasks: list[ReportTask] = []
    failures: dict[str, str] = {}
    sources: list[str] = []
    seen: set[Path] = set()
    for folder in folders:
        published, failed, source = _read_grid(folder)
        failures |= failed
        sources += [source] if published else []
        for run in find_runs(folder):
            if (path := run.folder.resolve()) not in seen:
                seen.add(path)
                name = _run_name(folder, run.folder, with_root=len(folders) > 1)
                tasks += [_read(run, task, name, published) for task in run.tasks.values()]
    if not tasks:
        raise UserError(f"{', '.join(map(str, folders))}: there are no results. Run `medground eval` first.")
    return ReportInput(_with_unique_run_names(tasks), failures, ", ".join(dict.fromkeys(sources)))


def by_records(tasks: Sequence[ReportTask]) -> list[list[ReportTask]]:
    """The tasks grouped by their records. Records are equal if their ids and texts are."""
    return grouped(tasks, lambda task: tuple(sorted(map(record_texts, task.samples))))


def record_texts(sample: Sample) -> tuple[str, ...]:
    """The id and the texts of a sample's record."""
    names = ("premise", "hypothesis") if "premise" in sample else ("question",)
    return (str(sample["id"]), *(str(sample.get(name) or "") for name in names))


def _read(run: Run, task: Task, name: str, published: Mapping[tuple[Path, str], Mapping[str, float]]) -> ReportTask:
    side = Side(run, task)
    samples = [_with_defaults(sample, side) for sample in side.samples.values()]
    if not samples:
        raise UserError(f"{side.name} has no samples. Run the evaluation again.")
    labels = _labels(run, task, samples)
    try:
        estimates = task.metrics(samples, labels)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise UserError(
            f"{side.name}: the samples do not have medground's format ({error}). Run the evaluation again."
        ) from error
    values = published.get((run.folder.resolve(), task.name), {})
    source, identity = run.source(task.name), run.identity(task.name)
    return ReportTask(name, run.folder, task, labels, samples, estimates, source, values, identity)


def _with_defaults(sample: Sample, side: Side) -> Sample:
    """The sample with defaults for missing optional fields; raises ``UserError`` for a field of the wrong type."""
    collections: dict[str, Any] = {"retrieved": [], "notes": [], "label_scores": {}, "verdict_scores": {}}
    complete = {**collections, "verdict": None, **sample}
    invalid = [name for name, default in collections.items() if not isinstance(complete[name], type(default))]
    if not invalid and not all(isinstance(hit, dict) and "id" in hit for hit in complete["retrieved"]):
        invalid = ["retrieved"]
    if invalid:
        raise UserError(
            f"{side.name}: in the sample of record {escape(sample['id'])}, {invalid[0]} does not have medground's "
            "format. Run the evaluation again."
        )
    return complete


def _labels(run: Run, task: Task, samples: Sequence[Sample]) -> tuple[str, ...]:
    if task.scorer in (RANKING, CITATIONS):
        return ()
    if recorded := run.labels(task.name):
        return recorded
    used = {label for sample in samples for label in (sample["target"], sample["prediction"]) if label is not None}
    return LABELS if task.section != INFERENCE and used <= set(LABELS) else tuple(sorted(used))


def _run_name(argument: Path, folder: Path, *, with_root: bool) -> str:
    """The run's name: its path below the folder ``argument``, after the name of ``argument`` if ``with_root``."""
    below = folder.relative_to(argument)
    root = argument.resolve().name or str(argument)
    if below == Path():
        return root
    return f"{root}/{below.as_posix()}" if with_root else below.as_posix()


def _with_unique_run_names(tasks: Sequence[ReportTask]) -> list[ReportTask]:
    """Name runs by their whole paths where names collide."""
    folders: dict[str, set[Path]] = {}
    for task in tasks:
        for name in (task.run, str(task.folder)):
            folders.setdefault(name, set()).add(task.folder)
    return [replace(task, run=str(task.folder)) if len(folders[task.run]) > 1 else task for task in tasks]


def _read_grid(folder: Path) -> tuple[dict[tuple[Path, str], dict[str, float]], dict[str, str], str]:
    """From ``grid.json``, the published values by run folder and task, error messages by model, and the source."""
    path = folder / GRID_FILE
    if not path.is_file():
        return {}, {}, ""
    published: dict[tuple[Path, str], dict[str, float]] = {}
    try:
        content = json.loads(read_text(path))
        for cell in content["cells"]:
            if cell["published"] is not None:
                run_and_task = ((folder / cell["run"]).resolve(), str(cell["task"]))
                published.setdefault(run_and_task, {})[str(cell["metric"])] = float(cell["published"])
        failures = {str(name): str(reason) for name, reason in content["failures"].items()}
        return published, failures, str(content["published"]) if published else ""
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise DataError(path, f"does not have medground's format ({error}). Run `medground eval grid` again.") from None
