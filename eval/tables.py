"""Results as terminal tables."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from rich import box
from rich.table import Table

from chains.labels import UNLABELLED
from eval.results import TaskResult
from eval.stats.claims import EVIDENCE_METRICS
from eval.stats.estimate import Estimate, clustered_stderr
from eval.stats.metrics import absent_labels, label_metrics, majority
from eval.stats.selective import COVERAGES, risk_at
from eval.stats.verification import RANKED_BY, SHARE_METRICS, risk_curves
from eval.tasks.base import ANSWERS, CHECKING, INFERENCE, RETRIEVAL, SECTIONS, VERIFICATION, WRITTEN
from eval.tasks.qa import GROUNDING_METRICS
from eval.tasks.scorers import REFUSALS, UNSUPPORTABLE

_COUNT = re.compile(r"\d+ \w+")  # notes that differ only in such counts ("1 sentence", "2 sentences") are of one kind
_RETRIEVAL_METRICS = ("recall@5", "recall@10", "mrr@10", "ndcg@10")
REFERENCE_METRICS = {  # metrics by title of their column
    "ROUGE-L": "rouge_l",
    "entails reference": "entails_reference",
    "entailed by reference": "entailed_by_reference",
}
_TITLES = {
    ANSWERS: "Answers: yes, no or maybe",
    INFERENCE: "Inference: does the hypothesis follow?",
    CHECKING: "Checked claims: supported, contradicted, or not enough evidence",
}


def result_tables(results: Sequence[TaskResult]) -> list[Table]:
    """The tables of all results, section by section."""
    tables: list[Table] = []
    for section in SECTIONS:
        if of_section := [result for result in results if result.task.section == section]:
            tables += _TABLES[section.id](of_section)
    return tables


def _retrieval_tables(results: Sequence[TaskResult]) -> list[Table]:
    title = "Retrieval: is each question's own abstract found?"
    table = new_table(title, "retriever", "n", "accuracy@1 (95%)", *_RETRIEVAL_METRICS)
    for result in results:
        metrics = [f"{result.metrics[name]:.3f}" for name in _RETRIEVAL_METRICS]
        accuracy = with_interval(result.estimates["accuracy@1"])
        table.add_row(result.task.condition, str(len(result.samples)), accuracy, *metrics)
    return [table]


def _answer_tables(results: Sequence[TaskResult]) -> list[Table]:
    """A table of label metrics and, with retrieved passages, a table of grounding.

    Tasks over the same records form a group, which ends with its majority baseline. An answer is grounded if the
    question's own abstract was read.
    """
    table = _label_table(_TITLES[ANSWERS])
    groups: dict[tuple[tuple[str, str], ...], list[TaskResult]] = {}
    for result in results:
        records = tuple((str(sample["id"]), str(sample["target"])) for sample in result.samples)
        groups.setdefault(records, []).append(result)
    captions = []
    for records, group in groups.items():
        for result in group:
            _add_label_metrics(table, result)
            if result.task.scorer == REFUSALS:
                captions.append(f'{result.name}: each question with another record\'s abstract; right is "maybe"')
        if labelled := [result for result in group if result.labels]:
            targets = [target for _, target in records]
            _add_majority(table, targets, labelled[0].labels)
            if absent := absent_labels(targets, labelled[0].labels):
                captions.append(f"{labelled[0].name}: {absent}")
        table.add_section()
    table.caption = "\n".join(captions) or None
    return [table, *_grounding_tables(results)]


def _grounding_tables(results: Sequence[TaskResult]) -> list[Table]:
    """Shares of right and wrong answers by whether the question's own abstract was read; empty without retrieval."""
    columns = ("read, right", "read, wrong", "not read, right", "not read, wrong")
    table = new_table("Was the question's own abstract read?", "task", "n", *columns)
    for result in results:
        if all(name in result.estimates for name in GROUNDING_METRICS):
            shares = [_without_interval(result.estimates[name]) for name in GROUNDING_METRICS]
            table.add_row(result.name, str(len(result.samples)), *shares)
    return [table] if table.rows else []


def label_tables(result: TaskResult) -> list[Table]:
    """Tables of metrics over all labels, of metrics by label, and of the confusion matrix (rows: targets)."""
    labels = result.labels
    targets = [str(sample["target"]) for sample in result.samples]
    predictions: list[str | None] = [sample["prediction"] for sample in result.samples]
    overall = _label_table(_TITLES[result.task.section])
    _add_label_metrics(overall, result)
    _add_majority(overall, targets, labels)
    captions = [absent_labels(targets, labels), _premise_clusters_note(result, targets, predictions)]
    overall.caption = "\n".join(caption for caption in captions if caption) or None
    by_label = new_table("By label", "label", "n", "precision (95%)", "recall (95%)", "F1 (95%)")
    for label in labels:
        metrics = [with_interval(result.estimates[f"{name}_{label}"]) for name in ("precision", "recall", "f1")]
        by_label.add_row(label, str(targets.count(label)), *metrics)
    confusion = new_table("Confusion: the data's label by the model's", "label", *labels, "unparsed")
    counts = Counter(zip(targets, predictions, strict=True))
    for label in labels:
        confusion.add_row(label, *(str(counts[label, predicted]) for predicted in (*labels, None)))
    return [overall, by_label, confusion]


def _inference_tables(results: Sequence[TaskResult]) -> list[Table]:
    return [table for result in results for table in label_tables(result)]


def _checking_tables(results: Sequence[TaskResult]) -> list[Table]:
    """Tables of verdicts as labels and, for data with labelled evidence, a table of evidence metrics."""
    tables = _inference_tables(results)
    evidence = new_table("Evidence", "task", *(name.replace("_", " ") + " (95%)" for name in EVIDENCE_METRICS))
    for result in results:
        if any(name in result.estimates for name in EVIDENCE_METRICS):
            evidence.add_row(result.name, *(with_interval(result.estimates.get(name)) for name in EVIDENCE_METRICS))
    return [*tables, evidence] if evidence.row_count else tables


def _verification_tables(results: Sequence[TaskResult]) -> list[Table]:
    """Three tables: shares of the verdicts; accuracy of all and of the supported answers; risk at each coverage."""
    verdicts = new_table(
        "Verdicts", "task", "n", "supported (95%)", "contradicted", "not enough evidence", "unverified"
    )
    accuracy = new_table("Accuracy", "task", "of all answers (95%)", "of the supported (95%)", "gain (95%)")
    columns = (*(f"{coverage:.0%}" for coverage in COVERAGES), "all", "area", "surest by")
    risk = new_table("Risk: the share of wrong answers among the surest", "task", *columns)
    for result in results:
        supported, *others = (result.estimates[name] for name in SHARE_METRICS.values())
        shares = [with_interval(supported), *map(_without_interval, others)]
        verdicts.add_row(result.name, str(len(result.samples)), *shares, f"{result.metrics['unverified']:.0f}")
        if result.task.scorer == UNSUPPORTABLE:
            verdicts.caption = (
                "verified_wrong: answered from another record's abstract; verified_swapped: answered from the record's "
                "own, and verified against another's. None of these should be supported."
            )
            continue
        accuracies = [with_interval(result.estimates.get(name)) for name in ("accuracy", "accuracy_supported")]
        accuracy.add_row(result.name, *accuracies, with_interval(result.estimates.get("accuracy_gain"), signed=True))
        for name, points in risk_curves(result.samples).items():
            risks = [f"{risk_at(points, coverage):.3f}" for coverage in (*COVERAGES, 1)]
            risk.add_row(result.name, *risks, f"{result.metrics[name]:.3f}", RANKED_BY[name])
    return [verdicts, accuracy, risk]


def _written_tables(results: Sequence[TaskResult]) -> list[Table]:
    """Tables of the support of written answers, and of their length and their overlap with references."""
    recall, precision = "citation recall (95%)", "citation precision (95%)"
    columns = ("n", recall, precision, "with attributed", "supported (95%)", "contradicted")
    support = new_table("Written answers: do the cited passages support the sentences?", "task", *columns)
    texts = new_table(
        "Length, refusals and references", "task", "sentences", "words", "refused", "withheld", *REFERENCE_METRICS
    )
    for result in results:
        estimates = result.estimates
        support.add_row(
            result.name,
            str(len(result.samples)),
            with_interval(estimates.get("citation_recall")),
            with_interval(estimates.get("citation_precision")),
            _without_interval(estimates.get("attributed_recall")),
            with_interval(estimates.get("sentence_support")),
            _without_interval(estimates.get("sentence_contradicted")),
        )
        names = ("refused", "withheld", *REFERENCE_METRICS.values())
        shares = [_without_interval(estimates.get(name)) for name in names]
        lengths = [f"{estimates[name].value:.1f}" for name in ("sentences", "words")]
        texts.add_row(result.name, *lengths, *shares)
    return [support, texts]


def _without_interval(estimate: Estimate | None) -> str:
    return "" if estimate is None else f"{estimate.value:.3f}"


_TABLES: Mapping[str, Callable[[Sequence[TaskResult]], list[Table]]] = {
    RETRIEVAL.id: _retrieval_tables,
    ANSWERS.id: _answer_tables,
    INFERENCE.id: _inference_tables,
    VERIFICATION.id: _verification_tables,
    WRITTEN.id: _written_tables,
    CHECKING.id: _checking_tables,
}


def _label_table(title: str) -> Table:
    return new_table(title, "task", "n", "accuracy (95%)", "macro F1 (95%)", "unparsed")


def _add_label_metrics(table: Table, result: TaskResult) -> None:
    # REFUSALS has share_maybe in place of accuracy, since "maybe" is right
    accuracy = with_interval(result.estimates.get("accuracy") or result.estimates.get("share_maybe"))
    macro_f1 = with_interval(result.estimates.get("macro_f1"))
    unparsed = f"{result.metrics['unparsed']:.0f}" if "unparsed" in result.metrics else ""
    table.add_row(result.name, str(len(result.samples)), accuracy, macro_f1, unparsed)


def _add_majority(table: Table, targets: Sequence[str], labels: Sequence[str]) -> None:
    """Add the majority baseline: metrics of answering every record with the most frequent target."""
    answer = majority(targets)
    baseline = label_metrics(targets, [answer] * len(targets), labels)
    metrics = [with_interval(baseline[name]) for name in ("accuracy", "macro_f1")]
    table.add_row(f'always "{answer}"', str(len(targets)), *metrics, "", style="dim")


def _premise_clusters_note(result: TaskResult, targets: Sequence[str], predictions: Sequence[str | None]) -> str | None:
    """A note with the standard error of accuracy clustered by premise; None unless premises repeat."""
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

    Notes that differ only in counts are of one kind. Notes on answers without a label, which ``unparsed`` counts, are
    omitted, as are notes of verified tasks, which repeat those of the tasks without verification.
    """
    lines = []
    for result in results:
        notes_by_kind: dict[str, list[str]] = {}
        for sample in () if result.task.section == VERIFICATION else result.samples:
            for note in sample.get("notes", ()):
                if note != UNLABELLED:
                    notes_by_kind.setdefault(_COUNT.sub("", note), []).append(note)
        for notes in notes_by_kind.values():
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
