"""A report's tables of figures."""

from collections.abc import Mapping, Sequence

from eval.metrics import absent_labels, label_metrics, majority
from eval.report.figures import data_name
from eval.report.tasks import SECTIONS, VERDICTS, ReportTask, Section
from eval.report.views import Cell, Row, View, figure, measured, number, signed
from eval.risk import COVERAGES

_ASKED: Mapping[Section, str] = {
    "retrieval": "How often is a question's own abstract the first one found?",
    "qa": "How often is the answer, yes, no or maybe, the expert's?",
    "nli": "How often is the relation of hypothesis to premise told right?",
    "verified": "How often is an answer right that its verdict calls supported?",
}
_HEADLINE: Mapping[Section, str] = {
    "retrieval": "accuracy@1",
    "qa": "accuracy",
    "nli": "accuracy",
    "verified": "accuracy_supported",
}
_RANKING = {
    "accuracy@1": "accuracy@1",
    "recall@5": "recall@5",
    "recall@10": "recall@10",
    "MRR@10": "mrr@10",
    "nDCG@10": "ndcg@10",
}
_LABELS = {"accuracy": "accuracy", "macro F1": "macro_f1"}
_CALIBRATION = {"ECE": "ece", "Brier": "brier"}
_SHARES = {verdict: f"share_{verdict.replace(' ', '_')}" for verdict in VERDICTS}
_RISKS = {f"{coverage:.0%} given": f"risk@{coverage}" for coverage in COVERAGES} | {
    "area": "aurc",
    "area by own confidence": "aurc_confidence",
}


def headlines(tasks: Sequence[ReportTask]) -> list[View]:
    """For each section its first figure; the sample's further test files wait for the tables."""
    views = []
    for section, metric in _HEADLINE.items():
        shown = [task for task in tasks if task.section == section and metric in task.estimates]
        shown = [task for task in shown if not task.task.startswith("qa_gold_")] or shown
        if shown:
            column = "accuracy of the supported" if section == "verified" else metric
            rows = _headline_rows(shown, metric, column)
            views.append(View(SECTIONS[section], "task", (column, "n"), tuple(rows), _ASKED[section]))
    return views


def section_tables(section: Section, tasks: Sequence[ReportTask]) -> list[View]:
    """The tables of a section's tasks; those without a row are left out."""
    match section:
        case "retrieval":
            views = [_retrieval(tasks)]
        case "qa" | "nli":
            views = [_labels(tasks), _by_label(tasks)]
        case "verified":
            views = [_verdicts(tasks), _worth(tasks), _risk(tasks)]
    return [view.without_constant("run") for view in views if view.rows]


def _headline_rows(tasks: Sequence[ReportTask], metric: str, column: str) -> list[Row]:
    """The tasks by run, each run under its name where there are several, and what they are to be compared with."""
    rows: list[Row] = []
    runs = dict.fromkeys(task.run for task in tasks)
    for run in runs:
        own = [task for task in tasks if task.run == run]
        rows += [Row(run)] if len(runs) > 1 else []
        for task in own:
            cells = {column: measured(task, metric, marked=True), "n": number(len(task.samples))}
            rows.append(Row(task.title, task.task, cells))
            if task.kind == "verdicts":
                whole = {column: measured(task, "accuracy", marked=True), "n": number(len(task.samples))}
                rows.append(Row("all answers", cells=whole, is_reference=True))
    if tasks[0].kind == "labels":
        rows += [Row("without a model")] if len(runs) > 1 else []
        rows += [_always(group[0]) for group in _same_records(tasks)]
    return rows


def _retrieval(tasks: Sequence[ReportTask]) -> View:
    rows = [
        Row(
            task.title,
            task.task,
            {name: measured(task, metric, marked=name == "accuracy@1") for name, metric in _RANKING.items()}
            | _setting(task),
        )
        for task in tasks
    ]
    title = "Each question's own abstract among the passages found"
    return View(title, "retriever", ("run", *_RANKING, "n", "data"), tuple(rows))


def _labels(tasks: Sequence[ReportTask]) -> View:
    rows, notes = [], []
    for group in _same_records(tasks):
        labelled = [task for task in group if task.kind == "labels"]
        for task in labelled:
            cells = {name: measured(task, metric, marked=True) for name, metric in _LABELS.items()}
            cells |= {name: measured(task, metric) for name, metric in _CALIBRATION.items()}
            rows.append(Row(task.title, task.task, {**cells, "unparsed": _unparsed(task), **_setting(task)}))
        rows += [_always(labelled[0])] if labelled else []
        targets = [sample["target"] for sample in labelled[0].samples] if labelled else []
        if labelled and (absent := absent_labels(targets, labelled[0].labels)):
            notes.append(f"{labelled[0].title}: {absent}.")
        for task in group:
            if task.kind == "refusals":
                notes.append("With another record's abstract the right answer is \u201cmaybe\u201d.")
                cells = {"accuracy": measured(task, "share_maybe", marked=True), "unparsed": _unparsed(task)}
                rows.append(Row(task.title, task.task, cells | _setting(task)))
    columns = ("run", *_LABELS, *_CALIBRATION, "unparsed", "n", "data")
    return View("Labels given", "task", columns, tuple(rows), " ".join(dict.fromkeys(notes)))


def _by_label(tasks: Sequence[ReportTask]) -> View:
    rows = []
    for task in tasks:
        targets = [sample["target"] for sample in task.samples]
        for label in task.labels if task.kind == "labels" else ():
            cells = {name: measured(task, f"{name.lower()}_{label}") for name in ("precision", "recall", "F1")}
            cells |= {"run": Cell(task.run), "label": Cell(label), "n": number(targets.count(label))}
            rows.append(Row(task.title, task.task, cells))
    columns = ("run", "label", "precision", "recall", "F1", "n")
    return View("Precision, recall and F1 by label", "task", columns, tuple(rows), is_folded=True)


def _verdicts(tasks: Sequence[ReportTask]) -> View:
    rows = []
    for task in tasks:
        cells = {name: measured(task, metric, marked=name == "supported") for name, metric in _SHARES.items()}
        cells["unverified"] = number(task.estimates["unverified"].value)
        rows.append(Row(task.title, task.task, cells | _setting(task)))
    note = ""
    if any(task.kind == "unsupportable" for task in tasks):
        note = "Nothing that was answered from, or checked against, another record's abstract should be supported."
    return View("Verdicts", "task", ("run", *_SHARES, "unverified", "n", "data"), tuple(rows), note)


def _worth(tasks: Sequence[ReportTask]) -> View:
    rows = []
    for task in tasks:
        if task.kind == "verdicts":
            cells = {"of all answers": measured(task, "accuracy", marked=True), "of the supported": Cell("none is")}
            if "accuracy_gain" in task.estimates:
                cells["of the supported"] = measured(task, "accuracy_supported", marked=True)
                cells["gain"] = signed(task.estimates["accuracy_gain"])
            rows.append(Row(task.title, task.task, cells | _setting(task)))
    return View("Accuracy", "task", ("run", "of all answers", "of the supported", "gain", "n"), tuple(rows))


def _risk(tasks: Sequence[ReportTask]) -> View:
    rows = [
        Row(
            task.title,
            task.task,
            {name: measured(task, metric) for name, metric in _RISKS.items()} | _setting(task),
        )
        for task in tasks
        if task.kind == "verdicts"
    ]
    title = "Risk: the share of wrong answers among the best supported"
    return View(title, "task", ("run", *_RISKS, "n"), tuple(rows))


def _always(task: ReportTask) -> Row:
    """What the most frequent label would score if it were always given."""
    targets = [sample["target"] for sample in task.samples]
    answer = majority(targets)
    reached = label_metrics(targets, [answer] * len(targets), task.labels)
    cells = {name: figure(reached[metric], marked=True) for name, metric in _LABELS.items()}
    return Row(f"always \u201c{answer}\u201d", cells={**cells, "n": number(len(targets))}, is_reference=True)


def _same_records(tasks: Sequence[ReportTask]) -> list[list[ReportTask]]:
    """Tasks over the same records stand together."""
    groups: dict[tuple[str, ...], list[ReportTask]] = {}
    for task in tasks:
        groups.setdefault(tuple(sorted(sample["id"] for sample in task.samples)), []).append(task)
    return list(groups.values())


def _setting(task: ReportTask) -> dict[str, Cell]:
    return {"run": Cell(task.run), "n": number(len(task.samples)), "data": Cell(data_name(task))}


def _unparsed(task: ReportTask) -> Cell:
    return number(task.estimates["unparsed"].value)
