"""Models, data, settings and versions of a report's runs, and its glossary."""

from collections.abc import Mapping, Sequence

from eval.grouping import grouped
from eval.report.figures import data_file_name, data_name
from eval.report.tasks import ReportTask
from eval.report.views import Cell, Row, View
from eval.tasks import SECTIONS
from eval.tasks.base import ANSWERS, CHECKING, INFERENCE, RETRIEVAL, VERIFICATION

_GLOSSARY = {
    "95 % interval": (
        "Wilson's interval where a figure is a share, else a percentile bootstrap over the records with a fixed seed "
        "(for ECE a basic one); none if all records are alike, since their resamples do not vary. It covers only the "
        "uncertainty that comes from the choice of records."
    ),
    "accuracy@1, recall@k": (
        "The share of the questions whose own abstract is the first, or among the first k, passages found."
    ),
    "MRR@10, nDCG@10": (
        "The mean of 1/rank, and of 1/log2(1 + rank), of the own abstract; 0 where it is not among the first ten."
    ),
    "accuracy": "The share of the answers whose label is the right one. An answer without a label is wrong.",
    "macro F1": "The mean of F1 over all labels, each with the same weight however rare it is.",
    "unparsed": "How many answers name no label.",
    "confidence": "The probability of the predicted label.",
    "ECE": (
        "Expected calibration error: the mean distance between accuracy and confidence in 15 bins of equal width. "
        "Chance alone puts it above 0; its interval is corrected for that, and can lie below the figure."
    ),
    "Brier": "The squared distance between the labels' probabilities and the right label; 0 is best, 2 worst.",
    "citation recall, precision": (
        "Recall: the share of the sentences that their cited passages, joined, entail. Precision: the share of the "
        "citations that are needed for that; a citation is not needed if its passage alone does not entail the "
        "sentence and the others do (ALCE, Gao et al. 2023). Recall with attributed also counts citations that were "
        "added afterwards."
    ),
    "supported, contradicted": "Of the sentences that claim something, the shares with these verdicts.",
    "verdict": "An entailment model's judgement of an answer, given the passages that the answer is based on.",
    "evidence": (
        "found: of the claims with deciding documents, the share with one of them among the passages. precision, "
        "recall, F1: of the quoted sentences, by SciFact's rule: a sentence is correct if its rationale is quoted "
        "completely and for the document's label."
    ),
    "gain": "Accuracy of the supported answers less accuracy of all.",
    "risk, coverage": (
        "Coverage is the share of the answers that are given, the surest first; risk is the share of these that is "
        "wrong. The area under the curve is the mean risk: lower is better."
    ),
}
_SECTIONS_WITH_TERM = {  # ids of sections by term; a term that is not listed belongs to all sections
    "accuracy@1, recall@k": {"retrieval"},
    "MRR@10, nDCG@10": {"retrieval"},
    "accuracy": {"qa", "nli", "verified", "check"},
    "macro F1": {"qa", "nli", "check"},
    "unparsed": {"qa", "nli"},
    "evidence": {"check"},
    "citation recall, precision": {"answers"},
    "supported, contradicted": {"answers"},
    "verdict": {"verified"},
    "gain": {"verified"},
}


def title(tasks: Sequence[ReportTask]) -> str:
    """The report's title, which names sections and data."""
    words = [section.title.lower() for section in SECTIONS if any(task.section == section for task in tasks)]
    data = dict.fromkeys("the sample" if (name := data_file_name(task)) == "sample" else name for task in tasks)
    text = f"{_enumeration(words)} on {_enumeration(list(data))}"
    return text[0].upper() + text[1:]


def facts(tasks: Sequence[ReportTask]) -> list[tuple[str, str]]:
    """Names and values of the facts at the top of the report: models, retrievers, data, dates and runs."""
    models = dict.fromkeys(name for group in _by_run(tasks) if (name := model_name(group)))
    counts_by_data: dict[str, set[int]] = {}
    for task in tasks:
        counts_by_data.setdefault(data_name(task), set()).add(len(task.samples))
    data = [f"{name} (n = {', '.join(f'{n:,}' for n in sorted(counts))})" for name, counts in counts_by_data.items()]
    days = sorted({str(task.source.get("date") or "")[:10] for task in tasks} - {""})
    values = [
        ("Models", ", ".join(models)),
        ("Retrievers", ", ".join(dict.fromkeys(task.title for task in tasks if task.section == RETRIEVAL))),
        ("Data", "; ".join(data)),
        ("Measured", " to ".join(dict.fromkeys([*days[:1], *days[-1:]]))),
        ("Runs", ", ".join(dict.fromkeys(task.run for task in tasks))),
    ]
    return [(name, value) for name, value in values if value]


def run_table(tasks: Sequence[ReportTask]) -> View:
    """Models, settings, data and dates of the runs; a run with tasks of several dates has several rows."""
    rows = [
        Row(
            group[0].run,
            cells={
                "model": Cell(model_name(group) or "none"),
                "settings": Cell(_settings_text(group)),
                "data": Cell("; ".join(dict.fromkeys(data_name(task) for task in group))),
                "tasks": Cell(", ".join(task.name for task in group)),
                "measured": Cell(str(group[0].source.get("date") or "unknown").replace("+00:00", " UTC")),
            },
        )
        for group in _by_run(tasks)
    ]
    return View("Runs", "run", ("model", "settings", "data", "tasks", "measured"), rows)


def versions(tasks: Sequence[ReportTask]) -> list[tuple[str, str]]:
    """Packages and their versions. If runs have different versions of a package, these are joined by "and"."""
    by_package: dict[str, dict[str, None]] = {}
    for task in tasks:
        recorded = task.source.get("versions")
        for package, number in recorded.items() if isinstance(recorded, Mapping) else ():
            by_package.setdefault(str(package), {})[str(number)] = None
    return [(package, " and ".join(numbers)) for package, numbers in by_package.items()]


def model_name(tasks: Sequence[ReportTask]) -> str:
    """The model of tasks measured together, with its adapter; empty for retrieval."""
    setting = tasks[0].setting
    sections = {task.section for task in tasks}
    if sections == {RETRIEVAL}:
        return ""
    if sections <= {INFERENCE, CHECKING} and setting("nli", "kind") == "encoder":
        return str(setting("nli", "model"))
    model = str(setting("llm", "model") or "unknown")
    adapter = (sections <= {INFERENCE, CHECKING} and setting("nli", "adapter")) or setting("llm", "adapter")
    return ("medground-tiny" if model == "embedded" else model) + (f" with {adapter}" if adapter else "")


def _by_run(tasks: Sequence[ReportTask]) -> list[list[ReportTask]]:
    """The tasks grouped by run, date and settings, so that each group was measured by one ``medground eval``."""
    return grouped(tasks, lambda task: str((task.run, task.source.get("date"), task.config)))


def _settings_text(tasks: Sequence[ReportTask]) -> str:
    """The settings that matter most for tasks measured together."""
    setting = tasks[0].setting
    if all(task.section == RETRIEVAL for task in tasks):
        names = [task.task.condition for task in tasks]
        return "; ".join(f"{name}: {_retriever_text(setting('retrievers', name))}" for name in names)
    shown = [("llm", "dtype"), ("llm", "quantization"), ("chain", "decide")]
    if any(task.section in (ANSWERS, VERIFICATION) for task in tasks):
        shown.append(("chain", "passages"))
    if any(task.section in (INFERENCE, CHECKING) for task in tasks):
        shown.append(("prompt", "shots"))
    values = {name: setting(section, name) for section, name in shown}
    return ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)


def _retriever_text(fields: object) -> str:
    if not isinstance(fields, Mapping):
        return "unknown"
    return ", ".join(f"{name} {value}" for name, value in fields.items())


def _enumeration(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def terms(tasks: Sequence[ReportTask]) -> list[tuple[str, str]]:
    """The glossary's terms that these tasks use, with their meanings."""
    sections = {task.section.id for task in tasks}
    unused = {term for term, with_term in _SECTIONS_WITH_TERM.items() if not with_term & sections}
    if not any(task.is_scored for task in tasks):
        unused |= {"confidence", "ECE", "Brier"}
        unused |= set() if "verified" in sections else {"risk, coverage"}
    return [(term, meaning) for term, meaning in _GLOSSARY.items() if term not in unused]
