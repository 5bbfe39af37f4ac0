"""Tables of a report."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from eval.grouping import grouped
from eval.report.figures import RecallPlot, Reliability, RiskPlot, data_name
from eval.report.tasks import ReportTask, by_records
from eval.report.views import Cell, Row, View, count_cell, difference_cell, metric_cell, task_cell
from eval.stats.claims import EVIDENCE_METRICS
from eval.stats.metrics import absent_labels, label_metrics, majority
from eval.stats.selective import COVERAGES, risk_at
from eval.stats.verification import SHARE_METRICS
from eval.tables import TEXT_COLUMNS
from eval.tasks import SECTIONS, Section
from eval.tasks.base import ANSWERS, CHECKING, INFERENCE, RETRIEVAL, VERIFICATION, WRITTEN
from eval.tasks.scorers import LABELLING, REFUSALS, UNSUPPORTABLE, VERDICTS

_VALUES_TITLE = "Values of the figure"
# The metrics of a table, by the title of their column.
_RETRIEVAL_METRICS = {name: name for name in ("accuracy@1", "recall@5", "recall@10")} | {
    "MRR@10": "mrr@10",
    "nDCG@10": "ndcg@10",
}
_LABEL_METRICS = {"accuracy": "accuracy", "macro F1": "macro_f1"}
_LABEL_COLUMNS = {**_LABEL_METRICS, "ECE": "ece", "Brier": "brier", "unparsed": "unparsed"}
_CITATION_METRICS = {
    "citation recall": "citation_recall",
    "citation precision": "citation_precision",
    "recall with attributed": "attributed_recall",
    "supported": "sentence_support",
    "contradicted": "sentence_contradicted",
}
_EVIDENCE_METRICS = {name.removeprefix("evidence_"): name for name in EVIDENCE_METRICS}
_RISK_METRICS = {f"{coverage:.0%} given": f"risk@{coverage}" for coverage in COVERAGES} | {
    "area": "aurc",
    "area by own confidence": "aurc_confidence",
}


def headlines(tasks: Sequence[ReportTask]) -> list[View]:
    """The main metric of each section; variants of the sample are shown only if there are no other tasks."""
    views = []
    for section in SECTIONS:
        metric = section.metrics[0]
        with_metric = [task for task in tasks if task.section == section and metric in task.estimates]
        if with_metric:
            column = "accuracy of the supported" if section == VERIFICATION else metric
            shown = [task for task in with_metric if task.task.variant is None] or with_metric
            rows = _headline_rows(shown, metric, column)
            views.append(View(section.title, "task", (column, "n"), rows, section.question))
    return views


def section_tables(section: Section, tasks: Sequence[ReportTask]) -> list[View]:
    """The tables of a section that have rows; the column of runs is left out if there is only one."""
    views = [view for make_view in _TABLES[section.id] if (view := make_view(tasks)).rows]
    return [view.without_constant("run") for view in views]


def recall_values(plot: RecallPlot) -> View:
    """The values of a plot of recall by k."""
    rows = [
        Row(name, cells={str(k): metric_cell(point) for k, point in enumerate(points, start=1)})
        for name, points in plot.curves.items()
    ]
    columns = max((tuple(row.cells) for row in rows), key=len)
    return View(_VALUES_TITLE, "recall at k", columns, rows, is_folded=True)


def reliability_values(diagram: Reliability) -> View:
    """The values of a reliability diagram, by bin."""
    rows = [
        Row(
            f"{each.low:.2f}\u2013{each.high:.2f}",
            cells={
                "mean": Cell(f"{each.confidence:.3f}", is_numeric=True),
                "accuracy": metric_cell(each.accuracy),
                "n": count_cell(each.n),
            },
        )
        for each in diagram.bins
    ]
    return View(_VALUES_TITLE, "confidence", ("mean", "accuracy", "n"), rows, is_folded=True)


def risk_values(plot: RiskPlot) -> View:
    """The risk of each curve at every tenth of coverage."""
    coverages = {f"{tenth}0%": tenth / 10 for tenth in range(1, 11)}
    rows = []
    for name, points in plot.curves.items():
        risks = {column: f"{risk_at(points, coverage):.3f}" for column, coverage in coverages.items()}
        rows.append(Row(name, cells={column: Cell(risk, is_numeric=True) for column, risk in risks.items()}))
    return View(_VALUES_TITLE, "risk by coverage", tuple(coverages), rows, is_folded=True)


def _headline_rows(tasks: Sequence[ReportTask], metric: str, column: str) -> list[Row]:
    """Rows of tasks and baselines, grouped by run if there are several."""
    rows: list[Row] = []
    runs = grouped(tasks, lambda task: task.run)
    for of_run in runs:
        rows += [Row(of_run[0].run)] if len(runs) > 1 else []
        for task in of_run:
            rows.append(_task_row(task, {column: metric}, drawn=[column]))
            if task.scorer == VERDICTS:
                cells = _task_row(task, {column: "accuracy"}, drawn=[column]).cells
                rows.append(Row("all answers", cells=cells, is_reference=True))
    if tasks[0].scorer in LABELLING:
        rows += [Row("without a model")] if len(runs) > 1 else []
        rows += [_majority_row(group[0]) for group in by_records(tasks)]
    return rows


def _label_view(tasks: Sequence[ReportTask]) -> View:
    """Metrics over all labels. After the tasks over the same records come their majority baseline and the refusals."""
    rows, notes = [], []
    for group in by_records(tasks):
        if labelled := [task for task in group if task.scorer in LABELLING]:
            rows += [_task_row(task, _LABEL_COLUMNS, drawn=_LABEL_METRICS) for task in labelled]
            rows.append(_majority_row(labelled[0]))
            if absent := absent_labels([sample["target"] for sample in labelled[0].samples], labelled[0].labels):
                notes.append(f"{labelled[0].title}: {absent}.")
        for task in group:
            if task.scorer == REFUSALS:
                notes.append("With another record's abstract the right answer is \u201cmaybe\u201d.")
                rows.append(_task_row(task, {"accuracy": "share_maybe", "unparsed": "unparsed"}, drawn=_LABEL_METRICS))
    return View("Labels given", "task", ("run", *_LABEL_COLUMNS, "n", "data"), rows, " ".join(dict.fromkeys(notes)))


def _by_label_view(tasks: Sequence[ReportTask]) -> View:
    rows = []
    for task in tasks:
        targets = [sample["target"] for sample in task.samples]
        for label in task.labels if task.scorer in LABELLING else ():
            metrics = {name: f"{name.lower()}_{label}" for name in ("precision", "recall", "F1")}
            rows.append(_task_row(task, metrics, label=Cell(label), n=count_cell(targets.count(label))))
    columns = ("run", "label", "precision", "recall", "F1", "n")
    return View("Precision, recall and F1 by label", "task", columns, rows, is_folded=True)


def _verdict_view(tasks: Sequence[ReportTask]) -> View:
    columns = {**SHARE_METRICS, "unverified": "unverified"}
    rows = [_task_row(task, columns, drawn=("supported",)) for task in tasks]
    note = ""
    if any(task.scorer == UNSUPPORTABLE for task in tasks):
        note = "No answer from another record's abstract, or verified against another record's, should be supported."
    return View("Verdicts", "task", ("run", *columns, "n", "data"), rows, note)


def _supported_accuracy_view(tasks: Sequence[ReportTask]) -> View:
    """Accuracy of all answers and of the supported ones."""
    columns = {"of all answers": "accuracy", "of the supported": "accuracy_supported"}
    rows = []
    for task in tasks:
        if task.scorer == VERDICTS:
            gain = task.estimates.get("accuracy_gain")
            others = {"gain": difference_cell(gain)} if gain else {"of the supported": Cell("none is")}
            rows.append(_task_row(task, columns, drawn=columns, **others))
    return View("Accuracy", "task", ("run", *columns, "gain", "n"), rows)


def _metric_view(
    title: str,
    columns: Mapping[str, str],
    *,
    first_column: str = "task",
    drawn: Sequence[str] = (),
    last_columns: Sequence[str] = ("n", "data"),
) -> Callable[[Sequence[ReportTask]], View]:
    """A function that makes a table of the tasks that have at least one of the metrics.

    ``columns`` are metrics by column; the intervals of the columns ``drawn`` are also drawn.
    """

    def view(tasks: Sequence[ReportTask]) -> View:
        of_table = [task for task in tasks if not task.estimates.keys().isdisjoint(columns.values())]
        rows = [_task_row(task, columns, drawn) for task in of_table]
        return View(title, first_column, ("run", *columns, *last_columns), rows)

    return view


_RETRIEVAL_VIEW = _metric_view(
    "Each question's own abstract among the passages found",
    _RETRIEVAL_METRICS,
    first_column="retriever",
    drawn=["accuracy@1"],
)
_RISK_TITLE = "Risk: the share of wrong answers among the best supported"
_TABLES: Mapping[str, Sequence[Callable[[Sequence[ReportTask]], View]]] = {
    RETRIEVAL.id: [_RETRIEVAL_VIEW],
    ANSWERS.id: [_label_view, _by_label_view],
    INFERENCE.id: [_label_view, _by_label_view],
    VERIFICATION.id: [
        _verdict_view,
        _supported_accuracy_view,
        _metric_view(_RISK_TITLE, _RISK_METRICS, last_columns=["n"]),
    ],
    WRITTEN.id: [
        _metric_view("Citations and support of written sentences", _CITATION_METRICS),
        _metric_view("Length, refusals and references", TEXT_COLUMNS),
    ],
    CHECKING.id: [_label_view, _by_label_view, _metric_view("Evidence", _EVIDENCE_METRICS)],
}


def _majority_row(task: ReportTask) -> Row:
    """The majority baseline: metrics of answering every record with the most frequent target."""
    targets = [sample["target"] for sample in task.samples]
    answer = majority(targets)
    baseline = label_metrics(targets, [answer] * len(targets), task.labels)
    cells = {name: metric_cell(baseline[metric], with_drawing=True) for name, metric in _LABEL_METRICS.items()}
    return Row(f"always \u201c{answer}\u201d", cells={**cells, "n": count_cell(len(targets))}, is_reference=True)


def _task_row(task: ReportTask, columns: Mapping[str, str], drawn: Iterable[str] = (), **others: Cell) -> Row:
    """The row of a task.

    ``columns`` are metrics by column. The intervals of the columns ``drawn`` are also drawn. ``others`` are further
    cells; they replace cells of the same column.
    """
    cells = {name: task_cell(task, metric, with_drawing=name in drawn) for name, metric in columns.items()}
    common = {"run": Cell(task.run), "n": count_cell(len(task.samples)), "data": Cell(data_name(task))}
    return Row(task.title, task.name, cells | common | others)
