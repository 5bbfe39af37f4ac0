"""Tables of a report."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from eval.report.figures import RecallFigure, Reliability, RiskFigure, data_name
from eval.report.tasks import ReportTask
from eval.report.views import Cell, Row, View, figure, measured, number, signed
from eval.stats.metrics import absent_labels, label_metrics, majority
from eval.stats.selective import COVERAGES, risk_at
from eval.stats.verification import SHARES
from eval.tasks import SECTIONS, Section
from eval.tasks.base import ANSWERS, CHECKING, INFERENCE, RETRIEVAL, VERIFICATION, WRITTEN
from eval.tasks.scorers import LABELLING, REFUSALS, UNSUPPORTABLE, VERDICTS

_RANKING = {
    "accuracy@1": "accuracy@1",
    "recall@5": "recall@5",
    "recall@10": "recall@10",
    "MRR@10": "mrr@10",
    "nDCG@10": "ndcg@10",
}
_VALUES = "Values of the figure"
_LABELS = {"accuracy": "accuracy", "macro F1": "macro_f1"}
_CALIBRATION = {"ECE": "ece", "Brier": "brier"}
_CITED = {
    "citation recall": "citation_recall",
    "citation precision": "citation_precision",
    "recall with attributed": "attributed_recall",
    "supported": "sentence_support",
    "contradicted": "sentence_contradicted",
}
_TEXTS = {
    "sentences": "sentences",
    "words": "words",
    "refused": "refused",
    "withheld": "withheld",
    "ROUGE-L": "rouge_l",
    "entails reference": "entails_reference",
    "entailed by reference": "entailed_by_reference",
}
_EVIDENCE = {
    name.replace("evidence_", ""): name
    for name in ("evidence_found", "evidence_precision", "evidence_recall", "evidence_f1")
}
_RISKS = {f"{coverage:.0%} given": f"risk@{coverage}" for coverage in COVERAGES} | {
    "area": "aurc",
    "area by own confidence": "aurc_confidence",
}


def headlines(tasks: Sequence[ReportTask]) -> list[View]:
    """The main metric of each section, without the sample's variants."""
    views = []
    for section in SECTIONS:
        metric = section.metrics[0]
        shown = [task for task in tasks if task.section == section and metric in task.estimates]
        shown = [task for task in shown if task.task.variant is None] or shown
        if shown:
            column = "accuracy of the supported" if section == VERIFICATION else metric
            rows = _headline_rows(shown, metric, column)
            views.append(View(section.title, "task", (column, "n"), tuple(rows), section.question))
    return views


def section_tables(section: Section, tasks: Sequence[ReportTask]) -> list[View]:
    """The tables of a section that have rows."""
    views = [view for table in _TABLES[section.id] if (view := table(tasks)).rows]
    return [view.without_constant("run") for view in views]


def recall_values(one: RecallFigure) -> View:
    """The points of a figure of recall by k."""
    rows = [
        Row(curve.name, cells={str(k): figure(point) for k, point in enumerate(curve.points, start=1)})
        for curve in one.curves
    ]
    columns = max((tuple(row.cells) for row in rows), key=len)
    return View(_VALUES, "recall at k", columns, tuple(rows), is_folded=True)


def reliability_values(one: Reliability) -> View:
    """The bins of a reliability diagram."""
    rows = [
        Row(
            f"{each.low:.2f}\u2013{each.high:.2f}",
            cells={"mean": Cell(f"{each.confidence:.3f}", is_figure=True), "accuracy": figure(each.accuracy)}
            | {"n": number(each.n)},
        )
        for each in one.bins
    ]
    return View(_VALUES, "confidence", ("mean", "accuracy", "n"), tuple(rows), is_folded=True)


def risk_values(one: RiskFigure) -> View:
    """Risk at every tenth of coverage, for each curve."""
    rows = [
        Row(
            curve.name,
            cells={
                f"{tenth}0%": Cell(f"{risk_at(curve.points, tenth / 10):.3f}", is_figure=True) for tenth in range(1, 11)
            },
        )
        for curve in one.curves
    ]
    return View(_VALUES, "risk by coverage", tuple(rows[0].cells), tuple(rows), is_folded=True)


def _headline_rows(tasks: Sequence[ReportTask], metric: str, column: str) -> list[Row]:
    """Rows of tasks and baselines, grouped by run if there are several."""
    rows: list[Row] = []
    runs = dict.fromkeys(task.run for task in tasks)
    for run in runs:
        own = [task for task in tasks if task.run == run]
        rows += [Row(run)] if len(runs) > 1 else []
        for task in own:
            cells = {column: measured(task, metric, marked=True), "n": number(len(task.samples))}
            rows.append(Row(task.title, task.name, cells))
            if task.scorer == VERDICTS:
                whole = {column: measured(task, "accuracy", marked=True), "n": number(len(task.samples))}
                rows.append(Row("all answers", cells=whole, is_reference=True))
    if tasks[0].scorer in LABELLING:
        rows += [Row("without a model")] if len(runs) > 1 else []
        rows += [_always(group[0]) for group in _same_records(tasks)]
    return rows


def _labels(tasks: Sequence[ReportTask]) -> View:
    rows, notes = [], []
    for group in _same_records(tasks):
        labelled = [task for task in group if task.scorer in LABELLING]
        for task in labelled:
            cells = {name: measured(task, metric, marked=True) for name, metric in _LABELS.items()}
            cells |= {name: measured(task, metric) for name, metric in _CALIBRATION.items()}
            rows.append(Row(task.title, task.name, {**cells, "unparsed": _unparsed(task), **_setting(task)}))
        rows += [_always(labelled[0])] if labelled else []
        targets = [sample["target"] for sample in labelled[0].samples] if labelled else []
        if labelled and (absent := absent_labels(targets, labelled[0].labels)):
            notes.append(f"{labelled[0].title}: {absent}.")
        for task in group:
            if task.scorer == REFUSALS:
                notes.append("With another record's abstract the right answer is \u201cmaybe\u201d.")
                cells = {"accuracy": measured(task, "share_maybe", marked=True), "unparsed": _unparsed(task)}
                rows.append(Row(task.title, task.name, cells | _setting(task)))
    columns = ("run", *_LABELS, *_CALIBRATION, "unparsed", "n", "data")
    return View("Labels given", "task", columns, tuple(rows), " ".join(dict.fromkeys(notes)))


def _by_label(tasks: Sequence[ReportTask]) -> View:
    rows = []
    for task in tasks:
        targets = [sample["target"] for sample in task.samples]
        for label in task.labels if task.scorer in LABELLING else ():
            cells = {name: measured(task, f"{name.lower()}_{label}") for name in ("precision", "recall", "F1")}
            cells |= {"run": Cell(task.run), "label": Cell(label), "n": number(targets.count(label))}
            rows.append(Row(task.title, task.name, cells))
    columns = ("run", "label", "precision", "recall", "F1", "n")
    return View("Precision, recall and F1 by label", "task", columns, tuple(rows), is_folded=True)


def _verdicts(tasks: Sequence[ReportTask]) -> View:
    rows = []
    for task in tasks:
        cells: dict[str, Cell] = {
            name: measured(task, metric, marked=name == "supported") for name, metric in SHARES.items()
        }
        cells["unverified"] = number(task.estimates["unverified"].value)
        rows.append(Row(task.title, task.name, cells | _setting(task)))
    note = ""
    if any(task.scorer == UNSUPPORTABLE for task in tasks):
        note = "Nothing that was answered from, or checked against, another record's abstract should be supported."
    return View("Verdicts", "task", ("run", *SHARES, "unverified", "n", "data"), tuple(rows), note)


def _worth(tasks: Sequence[ReportTask]) -> View:
    rows = []
    for task in tasks:
        if task.scorer == VERDICTS:
            cells = {"of all answers": measured(task, "accuracy", marked=True), "of the supported": Cell("none is")}
            if "accuracy_gain" in task.estimates:
                cells["of the supported"] = measured(task, "accuracy_supported", marked=True)
                cells["gain"] = signed(task.estimates["accuracy_gain"])
            rows.append(Row(task.title, task.name, cells | _setting(task)))
    return View("Accuracy", "task", ("run", "of all answers", "of the supported", "gain", "n"), tuple(rows))


def _measures(
    title: str,
    columns: Mapping[str, str],
    tasks: Sequence[ReportTask],
    *,
    first: str = "task",
    marked: str = "",
    last: tuple[str, ...] = ("n", "data"),
) -> View:
    """The metrics of ``columns``, of the tasks that have one of them."""
    rows = [
        Row(
            task.title,
            task.name,
            {name: measured(task, metric, marked=name == marked) for name, metric in columns.items()} | _setting(task),
        )
        for task in tasks
        if any(metric in task.estimates for metric in columns.values())
    ]
    return View(title, first, ("run", *columns, *last), tuple(rows))


_TABLES: Mapping[str, Sequence[Callable[[Sequence[ReportTask]], View]]] = {
    RETRIEVAL.id: (
        partial(
            _measures,
            "Each question's own abstract among the passages found",
            _RANKING,
            first="retriever",
            marked="accuracy@1",
        ),
    ),
    ANSWERS.id: (_labels, _by_label),
    INFERENCE.id: (_labels, _by_label),
    VERIFICATION.id: (
        _verdicts,
        _worth,
        partial(_measures, "Risk: the share of wrong answers among the best supported", _RISKS, last=("n",)),
    ),
    WRITTEN.id: (
        partial(_measures, "Citations and support of written sentences", _CITED),
        partial(_measures, "Length, refusals and references", _TEXTS),
    ),
    CHECKING.id: (_labels, _by_label, partial(_measures, "Evidence", _EVIDENCE)),
}


def _always(task: ReportTask) -> Row:
    """The majority baseline."""
    targets = [sample["target"] for sample in task.samples]
    answer = majority(targets)
    reached = label_metrics(targets, [answer] * len(targets), task.labels)
    cells = {name: figure(reached[metric], marked=True) for name, metric in _LABELS.items()}
    return Row(f"always \u201c{answer}\u201d", cells={**cells, "n": number(len(targets))}, is_reference=True)


def _same_records(tasks: Sequence[ReportTask]) -> list[list[ReportTask]]:
    """The tasks grouped by their records."""
    groups: dict[tuple[str, ...], list[ReportTask]] = {}
    for task in tasks:
        groups.setdefault(tuple(sorted(sample["id"] for sample in task.samples)), []).append(task)
    return list(groups.values())


def _setting(task: ReportTask) -> dict[str, Cell]:
    return {"run": Cell(task.run), "n": number(len(task.samples)), "data": Cell(data_name(task))}


def _unparsed(task: ReportTask) -> Cell:
    return number(task.estimates["unparsed"].value)
