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
from eval.runs import Run, find_runs
from eval.stats.estimate import Estimate
from eval.tasks import Sample, Scorer, Section, Task
from eval.tasks.base import INFERENCE
from eval.tasks.scorers import CITATIONS, RANKING

_LISTS = ("retrieved", "notes")
_MAPPINGS = ("label_scores", "verdict_scores")


@dataclass(frozen=True)
class ReportTask:
    """One task of one run.

    ``run`` is its name in the report; ``labels`` are the candidate labels, empty for rankings; ``source`` holds
    settings, versions, date and number of records of the run; ``published`` are values by metric.
    """

    run: str
    folder: Path
    task: Task
    labels: tuple[str, ...]
    samples: Sequence[Sample] = field(repr=False)
    estimates: Mapping[str, Estimate] = field(repr=False)
    source: Mapping[str, Any] = field(repr=False)
    published: Mapping[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The task's name in results."""
        return self.task.name

    @property
    def title(self) -> str:
        """The task in words, such as "own abstract" for ``qa_gold``."""
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
        part = self.config.get(section)
        return part.get(name) if isinstance(part, Mapping) else None


@dataclass(frozen=True)
class ReportInput:
    """Tasks of a report, failures by model, and the source of published values."""

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
        grid = _read_grid(folder)
        failures |= grid.failures
        sources += grid.sources
        for run in find_runs(folder):
            if (place := run.folder.resolve()) not in seen:
                seen.add(place)
                name = _name(folder, run.folder, alone=len(folders) == 1)
                tasks += [_read(run, task, name, grid.published) for task in run.tasks.values()]
    if not tasks:
        raise UserError(f"{', '.join(map(str, folders))}: there are no results. Run `medground eval` first.")
    return ReportInput(_distinguished(tasks), failures, ", ".join(dict.fromkeys(sources)))


def _read(run: Run, task: Task, name: str, published: Mapping[tuple[Path, str], Mapping[str, float]]) -> ReportTask:
    side = Side(run, task)
    samples = [_checked(sample, side) for sample in side.samples.values()]
    if not samples:
        raise UserError(f"{side.name} has no samples. Run the evaluation again.")
    labels = _labels(run, task, samples)
    try:
        estimates = task.metrics(samples, labels)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise UserError(
            f"{side.name}: the samples do not have medground's format ({error}). Run the evaluation again."
        ) from error
    reported = published.get((run.folder.resolve(), task.name), {})
    return ReportTask(name, run.folder, task, labels, samples, estimates, run.source(task.name), reported)


def _checked(sample: Sample, side: Side) -> Sample:
    """The sample with its optional fields filled in; raises ``UserError`` for a field of the wrong type."""
    filled = {"retrieved": [], "notes": [], "label_scores": {}, "verdict_scores": {}, "verdict": None, **sample}
    wrong = [name for name in _LISTS if not isinstance(filled[name], list)]
    wrong += [name for name in _MAPPINGS if not isinstance(filled[name], dict)]
    if not wrong and not all(isinstance(found, dict) and "id" in found for found in filled["retrieved"]):
        wrong = ["retrieved"]
    if wrong:
        raise UserError(
            f"{side.name}: in the sample of record {escape(sample['id'])}, {wrong[0]} does not have medground's "
            "format. Run the evaluation again."
        )
    return filled


def _labels(run: Run, task: Task, samples: Sequence[Sample]) -> tuple[str, ...]:
    if task.scorer in (RANKING, CITATIONS):
        return ()
    if known := run.labels(task.name):
        return known
    found = {label for sample in samples for label in (sample["target"], sample["prediction"]) if label is not None}
    return LABELS if task.section != INFERENCE and found <= set(LABELS) else tuple(sorted(found))


def _name(given: Path, folder: Path, *, alone: bool) -> str:
    below = folder.relative_to(given)
    root = given.resolve().name or str(given)
    if below == Path():
        return root
    return below.as_posix() if alone else f"{root}/{below.as_posix()}"


def _distinguished(tasks: Sequence[ReportTask]) -> list[ReportTask]:
    """Name runs by their folders where names collide."""
    folders: dict[str, set[Path]] = {}
    for task in tasks:
        folders.setdefault(task.run, set()).add(task.folder)
    return [replace(task, run=str(task.folder)) if len(folders[task.run]) > 1 else task for task in tasks]


@dataclass(frozen=True)
class _Grid:
    """Content of ``grid.json``: published values by run and task, their source, and failures."""

    published: dict[tuple[Path, str], dict[str, float]] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)


def _read_grid(folder: Path) -> _Grid:
    path, grid = folder / GRID_FILE, _Grid()
    if not path.is_file():
        return grid
    try:
        written = json.loads(read_text(path))
        for cell in written["cells"]:
            if cell["published"] is not None:
                place = ((folder / cell["run"]).resolve(), str(cell["task"]))
                grid.published.setdefault(place, {})[str(cell["metric"])] = float(cell["published"])
        grid.failures.update((str(name), str(reason)) for name, reason in written["failures"].items())
        grid.sources.extend([str(written["published"])] if grid.published else [])
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise DataError(path, f"does not have medground's format ({error}). Run `medground eval grid` again.") from None
    return grid
