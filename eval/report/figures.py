"""Data of a report's plots and confusion matrices."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eval.grouping import grouped
from eval.report.tasks import ReportTask, by_records
from eval.stats.calibration import ReliabilityBin, confidence, reliability
from eval.stats.estimate import Estimate, proportion
from eval.stats.metrics import DEPTH
from eval.stats.selective import RiskPoint, risk_points
from eval.stats.verification import RANKED_BY, risk_curves
from eval.stats.verification import VERDICTS as VERDICT_NAMES
from eval.tasks.base import VERIFICATION
from eval.tasks.qa import VARIANTS
from eval.tasks.scorers import LABELLING, RANKING, REFUSALS, VERDICTS, Sample, rank

UNPARSED = "unparsed"


@dataclass(frozen=True)
class Confusion:
    """The confusion matrix of a task of a run: counts by row and column, and the names of rows and columns."""

    run: str
    task: str
    row_title: str
    column_title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    @property
    def n(self) -> int:
        """The number of records."""
        return sum(map(sum, self.counts))


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram with its expected calibration error."""

    run: str
    task: str
    n: int
    bins: Sequence[ReliabilityBin]
    ece: Estimate


@dataclass(frozen=True)
class RecallPlot:
    """Curves of recall over the same ``n`` questions of ``data``; ``curves[name][k - 1]`` is recall@k."""

    data: str
    n: int
    curves: Mapping[str, Sequence[Estimate]]


@dataclass(frozen=True)
class RiskPlot:
    """A plot of risk-coverage curves by name.

    ``task`` is the task of all curves, or None if each curve is of another task. ``order`` names the score that ranks
    the answers. ``n`` holds each number of answers that a curve has, once.
    """

    run: str
    task: str | None
    order: str
    n: tuple[int, ...]
    curves: Mapping[str, Sequence[RiskPoint]]


def confusions(tasks: Sequence[ReportTask]) -> list[Confusion]:
    """The confusion matrices of the tasks that have labels.

    Rows are target labels and columns predicted labels. For verified tasks, columns are verdicts, and rows are
    ``right`` and ``wrong`` answers. If no answer of a verified task should be supported, its only row is ``all``.
    """
    return [_confusion(task) for task in tasks if task.labels]


def reliabilities(tasks: Sequence[ReportTask]) -> list[Reliability]:
    """A reliability diagram for each task whose labels have probabilities."""
    return [
        Reliability(task.run, task.name, len(task.samples), reliability(task.samples), task.estimates["ece"])
        for task in tasks
        if task.scorer in LABELLING and task.is_scored
    ]


def recall_plots(tasks: Sequence[ReportTask]) -> list[RecallPlot]:
    """A plot for each group of retrieval tasks over the same questions.

    Curves have the retrievers' names, or the tasks' names if several tasks of a run have the same retriever.
    """
    plots = []
    for group in by_records([task for task in tasks if task.scorer == RANKING]):
        has_several_runs = len({task.run for task in group}) > 1
        has_own_conditions = len({(task.run, task.task.condition) for task in group}) == len(group)
        curves = {}
        for task in group:
            name = task.task.condition if has_own_conditions else task.name
            curves[f"{name} ({task.run})" if has_several_runs else name] = _recall_at_each_k(task)
        plots.append(RecallPlot(data_name(group[0]), len(group[0].samples), curves))
    return plots


def risk_plots(tasks: Sequence[ReportTask]) -> list[RiskPlot]:
    """A plot per run and section, of answers that are ranked by their label's probability; a plot per verified task."""
    plots = []
    scored = [task for task in tasks if task.scorer in LABELLING and task.is_scored]
    for group in grouped(scored, lambda task: (task.run, task.section.id)):
        curves = {task.name: _points_by_confidence(task) for task in group}
        n = tuple(sorted({len(task.samples) for task in group}))
        plots.append(RiskPlot(group[0].run, None, "Surest by the answer's own confidence", n, curves))
    for task in tasks:
        if task.scorer == VERDICTS:
            curves = verified_curves(task.samples, "by")
            order = "Surest by verdict, or by the answer's own confidence"
            plots.append(RiskPlot(task.run, task.name, order, (len(task.samples),), curves))
    return plots


def data_name(task: ReportTask) -> str:
    """The task's data for titles and tables, such as "sample, test split"."""
    section = task.section.data
    name = data_file_name(task) + ("" if section == "data" else f" ({section})")
    if (variant := task.task.variant) and name == "sample":
        return f"sample, {VARIANTS.get(variant, variant)}"
    split = task.setting(section, "split")
    return f"{name}, {'all' if split == 'all' else f'{split} split'}" if split else name


def data_file_name(task: ReportTask) -> str:
    """The name of the data's file, or "sample"."""
    path = task.setting(task.section.data, "path")
    return path.rstrip("/").rsplit("/", 1)[-1] if isinstance(path, str) else "unknown data"


def _confusion(task: ReportTask) -> Confusion:
    """The matrix of a task. Its last column is for samples without label or verdict; it is left out if it is empty."""
    rows: tuple[str, ...]
    if task.section == VERIFICATION:
        titles, columns = ("answers", "their verdicts"), (*VERDICT_NAMES, "none")
        given = [sample["verdict"] or "none" for sample in task.samples]
        if task.scorer == VERDICTS:
            rows = ("right", "wrong")
            row_of_sample = ["right" if task.scorer.is_right(sample) else "wrong" for sample in task.samples]
        else:
            rows, row_of_sample = ("all",), ["all"] * len(task.samples)
    else:
        titles, columns = ("the right label", "the label given"), (*task.labels, UNPARSED)
        given = [sample["prediction"] or UNPARSED for sample in task.samples]
        rows = ("maybe",) if task.scorer == REFUSALS else task.labels
        row_of_sample = [sample["target"] for sample in task.samples]
    if columns[-1] not in given:
        columns = columns[:-1]
    counts = Counter(zip(row_of_sample, given, strict=True))
    table = tuple(tuple(counts[row, column] for column in columns) for row in rows)
    return Confusion(task.run, task.name, *titles, rows, columns, table)


def _recall_at_each_k(task: ReportTask) -> list[Estimate]:
    ranks = [rank(sample) for sample in task.samples]
    return [proportion(sum(r is not None and r <= k for r in ranks), len(ranks)) for k in range(1, DEPTH + 1)]


def verified_curves(samples: Sequence[Sample], prefix: str) -> dict[str, list[RiskPoint]]:
    """The risk-coverage curves of verified answers; their names start with ``prefix``."""
    return {f"{prefix} {RANKED_BY[metric]}": points for metric, points in risk_curves(samples).items()}


def _points_by_confidence(task: ReportTask) -> list[RiskPoint]:
    right = [task.scorer.is_right(sample) for sample in task.samples]
    return risk_points([confidence(sample) for sample in task.samples], right)
