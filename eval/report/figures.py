"""Data of a report's figures."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eval.report.tasks import ReportTask
from eval.stats.calibration import ReliabilityBin, reliability
from eval.stats.estimate import Estimate, proportion
from eval.stats.metrics import DEPTH
from eval.stats.selective import RiskPoint, risk_points
from eval.stats.verification import RANKED_BY, confidence, risk_curves
from eval.stats.verification import VERDICTS as VERDICT_NAMES
from eval.tasks.base import VERIFICATION
from eval.tasks.qa import VARIANTS
from eval.tasks.scorers import LABELLING, RANKING, REFUSALS, VERDICTS, Sample, rank

UNPARSED = "unparsed"


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix with the names of its rows and columns."""

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
class RecallCurve:
    """Recall@k for k = 1, 2, ..."""

    name: str
    points: Sequence[Estimate]


@dataclass(frozen=True)
class RecallFigure:
    """Recall curves over the same questions."""

    data: str
    n: int
    curves: Sequence[RecallCurve]


@dataclass(frozen=True)
class RiskCurve:
    """A risk-coverage curve and the area under it."""

    name: str
    points: Sequence[RiskPoint]
    area: float


@dataclass(frozen=True)
class RiskFigure:
    """Risk-coverage curves of one figure.

    ``task`` is the task of all curves, or None if each curve is of another one; ``order`` names the score that ranks
    the answers; ``n`` counts the answers.
    """

    run: str
    task: str | None
    order: str
    n: tuple[int, ...]
    curves: Sequence[RiskCurve]


def confusions(tasks: Sequence[ReportTask]) -> list[Confusion]:
    """Confusion matrices; rankings have none.

    Verified tasks have ``right`` and ``wrong`` answers by verdict, or ``all`` where none should be supported.
    """
    return [_verdicts(task) if task.section == VERIFICATION else _labels(task) for task in tasks if task.labels]


def reliabilities(tasks: Sequence[ReportTask]) -> list[Reliability]:
    """A diagram for each task whose answers have probabilities."""
    return [
        Reliability(task.run, task.name, len(task.samples), reliability(task.samples), task.estimates["ece"])
        for task in tasks
        if task.scorer in LABELLING and task.is_scored
    ]


def recall_figures(tasks: Sequence[ReportTask]) -> list[RecallFigure]:
    """One figure for all rankings of the same questions."""
    groups: dict[tuple[str, ...], list[ReportTask]] = {}
    for task in tasks:
        if task.scorer == RANKING:
            groups.setdefault(tuple(sorted(sample["id"] for sample in task.samples)), []).append(task)
    figures = []
    for group in groups.values():
        several = len({task.run for task in group}) > 1
        curves = []
        for task in group:
            name = task.task.condition + (f" ({task.run})" if several else "")
            curves.append(RecallCurve(name, _recalls(task)))
        figures.append(RecallFigure(data_name(group[0]), len(group[0].samples), curves))
    return figures


def risk_figures(tasks: Sequence[ReportTask]) -> list[RiskFigure]:
    """One figure per run and section, ranked by the label's probability, and one per verified task."""
    figures = []
    scored: dict[tuple[str, str], list[ReportTask]] = {}
    for task in tasks:
        if task.scorer in LABELLING and task.is_scored:
            scored.setdefault((task.run, task.section.id), []).append(task)
    for (run, _), group in scored.items():
        curves = [_confidence_curve(task) for task in group]
        n = tuple(sorted({len(task.samples) for task in group}))
        figures.append(RiskFigure(run, None, "Surest by the answer's own confidence", n, curves))
    for task in tasks:
        if task.scorer == VERDICTS:
            curves = verified_curves(task.samples, task.estimates, "by")
            order = "Surest by verdict, or by the answer's own confidence"
            figures.append(RiskFigure(task.run, task.name, order, (len(task.samples),), curves))
    return figures


def data_name(task: ReportTask) -> str:
    """The task's data in a few words."""
    kind = task.section.data
    name = file_name(task) + ("" if kind == "data" else f" ({kind})")
    if (variant := task.task.variant) and name == "sample":
        return f"sample, {VARIANTS.get(variant, variant)}"
    split = task.setting(task.section.data, "split")
    return f"{name}, {'all' if split == 'all' else f'{split} split'}" if split else name


def file_name(task: ReportTask) -> str:
    """The name of the data's file or set."""
    path = task.setting(task.section.data, "path")
    return path.rstrip("/").rsplit("/", 1)[-1] if isinstance(path, str) else "unknown data"


def _labels(task: ReportTask) -> Confusion:
    rows = ("maybe",) if task.scorer == REFUSALS else task.labels
    cells = [(sample["target"], sample["prediction"] or UNPARSED) for sample in task.samples]
    return _confusion(task, ("the right label", "the label given"), rows, (*task.labels, UNPARSED), cells)


def _verdicts(task: ReportTask) -> Confusion:
    rows: tuple[str, ...] = ("all",)
    kinds = ["all"] * len(task.samples)
    if task.scorer == VERDICTS:
        rows = ("right", "wrong")
        kinds = ["right" if task.scorer.is_right(sample) else "wrong" for sample in task.samples]
    cells = [(kind, sample["verdict"] or "none") for kind, sample in zip(kinds, task.samples, strict=True)]
    return _confusion(task, ("answers", "their verdicts"), rows, (*VERDICT_NAMES, "none"), cells)


def _confusion(
    task: ReportTask,
    titles: tuple[str, str],
    rows: tuple[str, ...],
    columns: tuple[str, ...],
    cells: Sequence[tuple[str, str]],
) -> Confusion:
    """The counts of the cells (row and column of each sample); the last column only if a sample is in it."""
    counts = Counter(cells)
    if all(column != columns[-1] for _, column in cells):
        columns = columns[:-1]
    table = tuple(tuple(counts[row, column] for column in columns) for row in rows)
    return Confusion(task.run, task.name, *titles, rows, columns, table)


def _recalls(task: ReportTask) -> list[Estimate]:
    ranks = [rank(sample) for sample in task.samples]
    return [
        proportion(sum(place is not None and place <= k for place in ranks), len(ranks)) for k in range(1, DEPTH + 1)
    ]


def verified_curves(samples: Sequence[Sample], estimates: Mapping[str, Estimate], by: str) -> list[RiskCurve]:
    """The curves of verified answers; ``by`` begins their names."""
    return [
        RiskCurve(f"{by} {RANKED_BY[metric]}", points, estimates[metric].value)
        for metric, points in risk_curves(samples).items()
    ]


def _confidence_curve(task: ReportTask) -> RiskCurve:
    right = [task.scorer.is_right(sample) for sample in task.samples]
    points = risk_points([confidence(sample) for sample in task.samples], right)
    before = [0.0, *(point.coverage for point in points[:-1])]
    area = sum((point.coverage - start) * point.risk for start, point in zip(before, points, strict=True))
    return RiskCurve(task.name, points, area)
