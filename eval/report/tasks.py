"""The tasks that a report is about, with figures computed anew from their samples."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from common.errors import DataError, UserError
from common.json_file import read_text, shown
from corpus.records import LABELS
from eval.calibration import calibration_metrics
from eval.estimate import Estimate, proportion
from eval.grid import GRID_FILE, nli_column
from eval.metrics import label_metrics, ranking_metrics, share, unparsed
from eval.pairing import Kind, Sample, Side
from eval.runs import Run, find_runs
from eval.verified import verified_metrics

Section = Literal["retrieval", "qa", "nli", "verified"]

SECTIONS: Mapping[Section, str] = {
    "retrieval": "Retrieval",
    "qa": "Answers",
    "nli": "Inference",
    "verified": "Verified answers",
}
VERDICTS = ("supported", "contradicted", "not enough evidence")
_CONTEXTS = {
    "none": "no text",
    "retrieved": "retrieved",
    "gold": "own abstract",
    "wrong": "another's abstract",
    "swapped": "own abstract, checked against another's",
}
_VARIANTS = {"newnames": "new names", "newphrases": "new phrases"}  # the sample's further test files
_LISTS = ("retrieved", "notes")
_MAPPINGS = ("label_scores", "verdict_scores")


@dataclass(frozen=True)
class ReportTask:
    """One task of one run.

    Attributes:
        run: the run's name in the report; ``folder`` is where it lies.
        task: the task's name.
        title: the same in words, such as "own abstract" for ``qa_gold``.
        kind: what it asks for.
        labels: the candidate labels; none where passages are ranked.
        samples: in the records' order.
        estimates: the figures with their intervals.
        source: ``config, versions, date, n`` of the run that measured the task.
        published: what others report, by metric.
    """

    run: str
    folder: Path
    task: str
    title: str
    kind: Kind
    labels: tuple[str, ...]
    samples: Sequence[Sample] = field(repr=False)
    estimates: Mapping[str, Estimate] = field(repr=False)
    source: Mapping[str, Any] = field(repr=False)
    published: Mapping[str, float] = field(default_factory=dict)

    @property
    def section(self) -> Section:
        """Where it stands in the report."""
        if self.kind == "ranking":
            return "retrieval"
        if self.kind in ("verdicts", "unsupportable"):
            return "verified"
        return "qa" if self.task.startswith("qa_") else "nli"

    @property
    def config(self) -> Mapping[str, Any]:
        """The settings that it was measured with."""
        config: Mapping[str, Any] = self.source.get("config") or {}
        return config

    @property
    def is_scored(self) -> bool:
        """Whether every answer comes with a probability."""
        return self.kind in ("labels", "verdicts") and "ece" in self.estimates


@dataclass(frozen=True)
class Measured:
    """The tasks of a report, and what a grid tells beside its runs.

    ``failures`` are the models that could not be measured, with the reason; ``published`` says who reports the figures
    that stand beside ours.
    """

    tasks: Sequence[ReportTask]
    failures: Mapping[str, str]
    published: str


def read_tasks(folders: Sequence[Path]) -> Measured:
    """All tasks of the runs in the folders and below them; a run that is named twice counts once.

    Raises:
        UserError: a folder without a run, a run without its samples, samples or a ``grid.json`` that are not as
            medground writes them, or an id that stands twice in a task.
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
                tasks += [_read(run, task, name, grid.published) for task in run.tasks]
    if not tasks:
        raise UserError(f"{', '.join(map(str, folders))}: no task was measured there, so there is nothing to report.")
    return Measured(_told_apart(tasks), failures, ", ".join(dict.fromkeys(sources)))


def rank(sample: Sample) -> int | None:
    """The place, from 1, of the passage that is right; None where it was not found."""
    ids = [found["id"] for found in sample["retrieved"]]
    return ids.index(sample["target"]) + 1 if sample["target"] in ids else None


def is_right(kind: Kind, sample: Sample) -> bool:
    """Whether the answer is the right one; of an answer that no text bears out, whether it was not called supported."""
    if kind == "unsupportable":
        return bool(sample["verdict"] != "supported")
    return bool(sample["prediction"] == sample["target"])


def _read(run: Run, task: str, name: str, published: Mapping[tuple[Path, str], Mapping[str, float]]) -> ReportTask:
    side = Side(run, task)
    samples = [_checked(sample, side) for sample in side.samples.values()]
    if not samples:
        raise UserError(f"{side.name} holds no sample. Measure it again.")
    labels = _labels(side, samples)
    try:
        estimates = _estimates(side.kind, samples, labels)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{side.name}: the samples are not as medground writes them ({error}). Measure the task again."
        ) from error
    source = run.payload.get("earlier", {}).get(task, run.payload)
    reported = published.get((run.folder.resolve(), task), {})
    title = _title(task, run.config_of(task), alone=sum(other.startswith("nli") for other in run.tasks) == 1)
    return ReportTask(name, run.folder, task, title, side.kind, labels, samples, estimates, source, reported)


def _checked(sample: Sample, side: Side) -> Sample:
    """The sample, its optional parts filled in.

    Raises:
        UserError: a part is of another type than it should be.
    """
    filled = {"retrieved": [], "notes": [], "label_scores": {}, "verdict_scores": {}, "verdict": None, **sample}
    wrong = [name for name in _LISTS if not isinstance(filled[name], list)]
    wrong += [name for name in _MAPPINGS if not isinstance(filled[name], dict)]
    if not wrong and not all(isinstance(found, dict) and "id" in found for found in filled["retrieved"]):
        wrong = ["retrieved"]
    if wrong:
        raise UserError(
            f"{side.name}: the sample of record {shown(sample['id'])} has another {wrong[0]} than medground writes. "
            "Measure the task again."
        )
    return filled


def _labels(side: Side, samples: Sequence[Sample]) -> tuple[str, ...]:
    if side.kind == "ranking":
        return ()
    metrics = [name for name in side.run.results[side.task] if not name.endswith("_stderr")]
    known = tuple(name.removeprefix("precision_") for name in metrics if name.startswith("precision_"))
    if known:
        return known
    if side.task.startswith(("qa_", "verified_")):
        return LABELS
    return tuple(sorted({sample["target"] for sample in samples}))


def _title(task: str, config: Mapping[str, Any], *, alone: bool) -> str:
    """What the task hands the model. ``nli`` is zero-shot beside other tasks on pairs, and ``alone`` what is set."""
    if task == "nli" and alone:
        nli, shots = setting(config, "nli", "kind"), setting(config, "prompt", "shots")
        if nli == "encoder" or setting(config, "nli", "adapter"):
            return "tuned"
        return f"{shots}-shot" if shots else "zero-shot"
    if task.startswith("nli"):
        return nli_column(task)
    context = task.partition("_")[2]
    for beginning, words in _CONTEXTS.items():
        if context == beginning:
            return words
        if context.startswith(f"{beginning}_"):
            rest = context.removeprefix(f"{beginning}_")
            return f"{words}, {_VARIANTS.get(rest, rest)}"
    return context


def setting(config: Mapping[str, Any], section: str, name: str) -> Any:
    """One setting of a run; None where its settings, which are only read here, lack it."""
    part = config.get(section)
    return part.get(name) if isinstance(part, Mapping) else None


def _estimates(kind: Kind, samples: Sequence[Sample], labels: tuple[str, ...]) -> dict[str, Estimate]:
    if kind == "ranking":
        return ranking_metrics([rank(sample) for sample in samples])
    targets = [sample["target"] for sample in samples]
    predictions: list[str | None] = [sample["prediction"] for sample in samples]
    if kind == "refusals":
        return {"share_maybe": share(predictions, "maybe"), "unparsed": unparsed(predictions)}
    if kind == "labels":
        return label_metrics(targets, predictions, labels) | calibration_metrics(samples)
    n, verdicts = len(samples), [sample["verdict"] for sample in samples]
    estimates = {f"share_{verdict.replace(' ', '_')}": proportion(verdicts.count(verdict), n) for verdict in VERDICTS}
    estimates["unverified"] = proportion(verdicts.count(None), n).times(n)
    if kind == "verdicts":
        right = sum(sample["prediction"] == sample["target"] for sample in samples)
        estimates["accuracy"] = proportion(right, n)
        estimates |= verified_metrics(samples) | calibration_metrics(samples)
    return estimates


def _name(given: Path, folder: Path, *, alone: bool) -> str:
    below = folder.relative_to(given)
    root = given.resolve().name or str(given)
    if below == Path():
        return root
    return below.as_posix() if alone else f"{root}/{below.as_posix()}"


def _told_apart(tasks: Sequence[ReportTask]) -> list[ReportTask]:
    """Runs of one name in different folders are named by their folders."""
    folders: dict[str, set[Path]] = {}
    for task in tasks:
        folders.setdefault(task.run, set()).add(task.folder)
    return [replace(task, run=str(task.folder)) if len(folders[task.run]) > 1 else task for task in tasks]


@dataclass(frozen=True)
class _Grid:
    """What ``grid.json`` tells beside the runs: published figures by run and task, who reports them, and failures."""

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
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DataError(path, f"is not as medground writes it ({error}). Measure the grid again.") from None
    return grid
