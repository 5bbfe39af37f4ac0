"""Results as terminal tables."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from rich import box
from rich.table import Table

from chains.labels import UNLABELLED
from eval.grouping import grouped
from eval.results import TaskResult
from eval.stats.claims import EVIDENCE_METRICS
from eval.stats.estimate import Estimate, clustered_stderr
from eval.stats.metrics import absent_labels, label_metrics, majority
from eval.stats.selective import COVERAGES, risk_at
from eval.stats.verification import RANKED_BY, SHARE_METRICS, risk_curves
from eval.tasks.base import ANSWERS, CHECKING, INFERENCE, RETRIEVAL, SECTIONS, VERIFICATION, WRITTEN
from eval.tasks.qa import GROUNDING_METRICS
from eval.tasks.scorers import REFUSALS, UNSUPPORTABLE

_COUNT = re.compile(r"\d+ \w+")  # a count such as "2 sentences"; notes that differ only in counts are of one kind
_FORMATS = {"unparsed": ".0f", "unverified": ".0f", "sentences": ".1f", "words": ".1f"}  # other metrics: 3 decimals
_TITLES = {
    ANSWERS: "Answers: yes, no or maybe",
    INFERENCE: "Inference: does the hypothesis follow?",
    CHECKING: "Checked claims: supported, contradicted, or not enough evidence",
}
# The metrics of a table, by the title of their column. "(95%)" in a title adds the interval; the metric "n" is the
# number of samples.
_LABEL_COLUMNS = {"n": "n", "accuracy (95%)": "accuracy", "macro F1 (95%)": "macro_f1", "unparsed": "unparsed"}
_GROUNDING_TITLES = ("read, right", "read, wrong", "not read, right", "not read, wrong")
_GROUNDING_COLUMNS = {"n": "n", **dict(zip(_GROUNDING_TITLES, GROUNDING_METRICS, strict=True))}
_EVIDENCE_COLUMNS = {f"{name.replace('_', ' ')} (95%)": name for name in EVIDENCE_METRICS}
_CITATION_COLUMNS = {
    "n": "n",
    "citation recall (95%)": "citation_recall",
    "citation precision (95%)": "citation_precision",
    "with attributed": "attributed_recall",
    "supported (95%)": "sentence_support",
    "contradicted": "sentence_contradicted",
}
TEXT_COLUMNS = {name: name for name in ("sentences", "words", "refused", "withheld")} | {
    "ROUGE-L": "rouge_l",
    "entails reference": "entails_reference",
    "entailed by reference": "entailed_by_reference",
}


def result_tables(results: Sequence[TaskResult]) -> list[Table]:
    """The tables of all results, section by section."""
    tables: list[Table] = []
    for section in SECTIONS:
        if of_section := [result for result in results if result.task.section == section]:
            tables += _TABLES[section.id](of_section)
    return tables


def _retrieval_tables(results: Sequence[TaskResult]) -> list[Table]:
    columns = {"n": "n", "accuracy@1 (95%)": "accuracy@1"}
    columns |= {name: name for name in ("recall@5", "recall@10", "mrr@10", "ndcg@10")}
    table = new_table("Retrieval: is each question's own abstract found?", "retriever", *columns)
    for result in results:
        table.add_row(result.task.condition, *_cells(result, columns))
    return [table]


def _answer_tables(results: Sequence[TaskResult]) -> list[Table]:
    """A table of label metrics and, if passages were retrieved, a table of grounding.

    Tasks over the same records form a group; the group's last row is its majority baseline. An answer is grounded if
    the question's own abstract was read.
    """
    table = new_table(_TITLES[ANSWERS], "task", *_LABEL_COLUMNS)
    captions = []
    for group in grouped(results, lambda result: tuple((str(s["id"]), str(s["target"])) for s in result.samples)):
        for result in group:
            _add_label_metrics(table, result)
            if result.task.scorer == REFUSALS:
                captions.append(f'{result.name}: each question with another record\'s abstract; right is "maybe"')
        if labelled := [result for result in group if result.labels]:
            targets = [str(sample["target"]) for sample in group[0].samples]
            _add_majority(table, targets, labelled[0].labels)
            if absent := absent_labels(targets, labelled[0].labels):
                captions.append(f"{labelled[0].name}: {absent}")
        table.add_section()
    table.caption = "\n".join(captions) or None
    grounding = _metric_table("Was the question's own abstract read?", results, _GROUNDING_COLUMNS, GROUNDING_METRICS)
    return [table, grounding] if grounding.rows else [table]


def label_tables(result: TaskResult) -> list[Table]:
    """Tables of metrics over all labels, of metrics by label, and of the confusion matrix (rows: targets)."""
    labels = result.labels
    targets = [str(sample["target"]) for sample in result.samples]
    predictions: list[str | None] = [sample["prediction"] for sample in result.samples]
    overall = new_table(_TITLES[result.task.section], "task", *_LABEL_COLUMNS)
    _add_label_metrics(overall, result)
    _add_majority(overall, targets, labels)
    captions = [absent_labels(targets, labels), _premise_clusters_note(result, targets, predictions)]
    overall.caption = "\n".join(caption for caption in captions if caption) or None
    by_label = new_table("By label", "label", "n", "precision (95%)", "recall (95%)", "F1 (95%)")
    confusion = new_table("Confusion: the data's label by the model's", "label", *labels, "unparsed")
    counts = Counter(zip(targets, predictions, strict=True))
    for label in labels:
        metrics = [with_interval(result.estimates[f"{name}_{label}"]) for name in ("precision", "recall", "f1")]
        by_label.add_row(label, str(targets.count(label)), *metrics)
        confusion.add_row(label, *(str(counts[label, predicted]) for predicted in (*labels, None)))
    return [overall, by_label, confusion]


def _inference_tables(results: Sequence[TaskResult]) -> list[Table]:
    return [table for result in results for table in label_tables(result)]


def _checking_tables(results: Sequence[TaskResult]) -> list[Table]:
    """Tables of verdicts as labels and, for data with labelled evidence, a table of evidence metrics."""
    evidence = _metric_table("Evidence", results, _EVIDENCE_COLUMNS, EVIDENCE_METRICS)
    return _inference_tables(results) + ([evidence] if evidence.rows else [])


def _verification_tables(results: Sequence[TaskResult]) -> list[Table]:
    """A table of the shares of the verdicts, one of accuracy, and one of the risk at each coverage."""
    shares = {
        f"{verdict} (95%)" if verdict == "supported" else verdict: name for verdict, name in SHARE_METRICS.items()
    }
    verdicts = _metric_table("Verdicts", results, {"n": "n", **shares, "unverified": "unverified"})
    supportable = [result for result in results if result.task.scorer != UNSUPPORTABLE]
    if len(supportable) < len(results):
        verdicts.caption = (
            "verified_wrong: answered from another record's abstract; verified_swapped: answered from the record's "
            "own, and verified against another's. None of these should be supported."
        )
    of_answers = {"of all answers (95%)": "accuracy", "of the supported (95%)": "accuracy_supported"}
    accuracy = _metric_table("Accuracy", supportable, {**of_answers, "gain (95%)": "accuracy_gain"})
    coverages = (f"{coverage:.0%}" for coverage in COVERAGES)
    risk = new_table(
        "Risk: the share of wrong answers among the surest", "task", *coverages, "all", "area", "surest by"
    )
    for result in supportable:
        for name, points in risk_curves(result.samples).items():
            risks = [f"{risk_at(points, coverage):.3f}" for coverage in (*COVERAGES, 1)]
            risk.add_row(result.name, *risks, f"{result.metrics[name]:.3f}", RANKED_BY[name])
    return [verdicts, accuracy, risk]


def _written_tables(results: Sequence[TaskResult]) -> list[Table]:
    """A table of the support of written answers, and one of their length and their overlap with references."""
    title = "Written answers: do the cited passages support the sentences?"
    return [
        _metric_table(title, results, _CITATION_COLUMNS),
        _metric_table("Length, refusals and references", results, TEXT_COLUMNS),
    ]


_TABLES: Mapping[str, Callable[[Sequence[TaskResult]], list[Table]]] = {
    RETRIEVAL.id: _retrieval_tables,
    ANSWERS.id: _answer_tables,
    INFERENCE.id: _inference_tables,
    VERIFICATION.id: _verification_tables,
    WRITTEN.id: _written_tables,
    CHECKING.id: _checking_tables,
}


def _metric_table(
    title: str, results: Sequence[TaskResult], columns: Mapping[str, str], needed: Iterable[str] = ()
) -> Table:
    """A table with a row per task. ``columns`` are metrics by column.

    If ``needed`` is not empty, tasks without any of these metrics are left out.
    """
    table, needed = new_table(title, "task", *columns), set(needed)
    for result in results:
        if not needed or needed & result.estimates.keys():
            table.add_row(result.name, *_cells(result, columns))
    return table


def _cells(result: TaskResult, columns: Mapping[str, str]) -> list[str]:
    """The texts of metrics by column; empty where the task lacks the metric."""
    texts = []
    for column, metric in columns.items():
        estimate = result.estimates.get(metric)
        if metric == "n":
            texts.append(str(len(result.samples)))
        elif estimate is None:
            texts.append("")
        elif "(95%)" in column:
            texts.append(with_interval(estimate, signed=metric == "accuracy_gain"))
        else:
            texts.append(f"{estimate.value:{_FORMATS.get(metric, '.3f')}}")
    return texts


def _add_label_metrics(table: Table, result: TaskResult) -> None:
    # The scorer REFUSALS has share_maybe instead of accuracy, since "maybe" is the right answer to all records.
    accuracy = "accuracy" if "accuracy" in result.estimates else "share_maybe"
    table.add_row(result.name, *_cells(result, {**_LABEL_COLUMNS, "accuracy (95%)": accuracy}))


def _add_majority(table: Table, targets: Sequence[str], labels: Sequence[str]) -> None:
    """Add the majority baseline: metrics of answering every record with the most frequent target."""
    answer = majority(targets)
    baseline = label_metrics(targets, [answer] * len(targets), labels)
    metrics = [with_interval(baseline[name]) for name in ("accuracy", "macro_f1")]
    table.add_row(f'always "{answer}"', str(len(targets)), *metrics, "", style="dim")


def _premise_clusters_note(result: TaskResult, targets: Sequence[str], predictions: Sequence[str | None]) -> str | None:
    """A note on the standard error of accuracy with the pairs clustered by premise; None if no premise repeats."""
    premises = [str(sample["premise"]) for sample in result.samples if "premise" in sample]
    if len(premises) < len(result.samples):
        return None
    n_premises, stderr = len(set(premises)), result.estimates["accuracy"].stderr
    right = [float(target == prediction) for target, prediction in zip(targets, predictions, strict=True)]
    clustered = clustered_stderr(right, premises)
    if n_premises == len(premises) or clustered is None or stderr is None:
        return None
    return (
        f"{len(premises)} pairs of {n_premises} premises: accuracy's standard error is {clustered:.3f} with the "
        f"premises as clusters, {stderr:.3f} if the pairs were independent, as the intervals take them"
    )


def remarks(results: Sequence[TaskResult]) -> list[str]:
    """A line for each task and kind of note in its samples, such as texts truncated to the context window.

    Notes that differ only in counts are of one kind. Two kinds of notes are omitted: those on answers without a label,
    since ``unparsed`` counts them, and those of verified tasks, since they repeat those of the unverified tasks.
    """
    lines = []
    for result in results:
        samples = () if result.task.section == VERIFICATION else result.samples
        shown = [note for sample in samples for note in sample.get("notes", ()) if note != UNLABELLED]
        for notes in grouped(shown, lambda note: _COUNT.sub("", note)):
            suffix = " or one like it" if len(set(notes)) > 1 else ""
            lines.append(f'{result.name}: {len(notes)} of {len(result.samples)} records: "{notes[0]}"{suffix}')
    return lines


def new_table(title: str, first_column: str, *number_columns: str) -> Table:
    """An empty table; all columns but the first are aligned right."""
    table = Table(
        title=title,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column(first_column, no_wrap=True)
    for name in number_columns:
        table.add_column(name, justify="right")
    return table


def with_interval(estimate: Estimate | None, *, signed: bool = False) -> str:
    """The value and its 95% interval, ``signed`` for a difference; empty for None."""
    if estimate is None:
        return ""
    sign, separator = ("+", " to ") if signed else ("", "-")
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:{sign}.3f}"
    return f"{estimate.value:{sign}.3f} ({estimate.low:{sign}.3f}{separator}{estimate.high:{sign}.3f})"
