"""Results as terminal tables."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from rich import box
from rich.table import Table

from chains.labels import UNLABELLED
from eval.results import TaskResult
from eval.stats.estimate import Estimate, clustered_stderr
from eval.stats.metrics import absent_labels, label_metrics, majority
from eval.stats.selective import COVERAGES, risk_at
from eval.stats.verification import RANKED_BY, SHARES, risk_curves
from eval.tasks.base import ANSWERS, CHECKING, INFERENCE, RETRIEVAL, SECTIONS, VERIFICATION, WRITTEN
from eval.tasks.qa import GROUNDED
from eval.tasks.scorers import REFUSALS, UNSUPPORTABLE

_NUMBERED = re.compile(r"\d+ \w+")  # "1 sentence", "2 sentences"
_RANKING = ("recall@5", "recall@10", "mrr@10", "ndcg@10")
_REFERENCE = {
    "ROUGE-L": "rouge_l",
    "entails reference": "entails_reference",
    "entailed by reference": "entailed_by_reference",
}
_TITLES = {
    ANSWERS: "Answers: yes, no or maybe",
    INFERENCE: "Inference: does the hypothesis follow?",
    CHECKING: "Checked claims: supported, contradicted, or not enough evidence",
}
_EVIDENCE = ("evidence_found", "evidence_precision", "evidence_recall", "evidence_f1")


def result_tables(results: Sequence[TaskResult]) -> list[Table]:
    """The tables of all results, section by section."""
    tables: list[Table] = []
    for section in SECTIONS:
        if found := [result for result in results if result.task.section == section]:
            tables += _TABLES[section.id](found)
    return tables


def _retrieval(results: Sequence[TaskResult]) -> list[Table]:
    table = new_table(
        "Retrieval: is each question's own abstract found?", "retriever", "n", "accuracy@1 (95%)", *_RANKING
    )
    for result in results:
        figures = [f"{result.metrics[name]:.3f}" for name in _RANKING]
        accuracy = with_interval(result.estimates["accuracy@1"])
        table.add_row(result.task.condition, str(len(result.samples)), accuracy, *figures)
    return [table]


def _answers(results: Sequence[TaskResult]) -> list[Table]:
    """One row per task; tasks over the same records are adjacent, followed by the majority baseline."""
    table = _label_table(_TITLES[ANSWERS])
    groups: dict[tuple[tuple[str, str], ...], list[TaskResult]] = {}
    for result in results:
        records = tuple((str(sample["id"]), str(sample["target"])) for sample in result.samples)
        groups.setdefault(records, []).append(result)
    captions = []
    for records, group in groups.items():
        for result in group:
            _add_labels(table, result)
            if result.task.scorer == REFUSALS:
                captions.append(f'{result.name}: each question with another record\'s abstract; right is "maybe"')
        if labelled := [result for result in group if result.labels]:
            targets = [target for _, target in records]
            _add_majority(table, targets, labelled[0].labels)
            if absent := absent_labels(targets, labelled[0].labels):
                captions.append(f"{labelled[0].name}: {absent}")
        table.add_section()
    table.caption = "\n".join(captions) or None
    return [table, *_grounded(results)]


def _grounded(results: Sequence[TaskResult]) -> list[Table]:
    """Answers divided by whether the question's own abstract was read; no table where nothing was retrieved."""
    columns = ("read, right", "read, wrong", "not read, right", "not read, wrong")
    table = new_table("Was the question's own abstract read?", "task", "n", *columns)
    for result in results:
        if all(name in result.estimates for name in GROUNDED):
            shares = [_plain(result.estimates[name]) for name in GROUNDED]
            table.add_row(result.name, str(len(result.samples)), *shares)
    return [table] if table.rows else []


def label_tables(result: TaskResult) -> list[Table]:
    """Metrics of all labels, metrics by label, and the confusion matrix (rows: true labels)."""
    labels = result.labels
    targets = [str(sample["target"]) for sample in result.samples]
    predictions: list[str | None] = [sample["prediction"] for sample in result.samples]
    whole = _label_table(_TITLES[result.task.section])
    _add_labels(whole, result)
    _add_majority(whole, targets, labels)
    captions = [absent_labels(targets, labels), _by_premise(result, targets, predictions)]
    whole.caption = "\n".join(caption for caption in captions if caption) or None
    by_label = new_table("By label", "label", "n", "precision (95%)", "recall (95%)", "F1 (95%)")
    for label in labels:
        figures = [with_interval(result.estimates[f"{name}_{label}"]) for name in ("precision", "recall", "f1")]
        by_label.add_row(label, str(targets.count(label)), *figures)
    confusion = new_table("Confusion: the data's label by the model's", "label", *labels, "unparsed")
    counts = Counter(zip(targets, predictions, strict=True))
    for label in labels:
        confusion.add_row(label, *(str(counts[label, predicted]) for predicted in (*labels, None)))
    return [whole, by_label, confusion]


def _inference(results: Sequence[TaskResult]) -> list[Table]:
    return [table for result in results for table in label_tables(result)]


def _checking(results: Sequence[TaskResult]) -> list[Table]:
    """Verdicts as labels; then, where the data knows them, the evidence that was found and quoted."""
    tables = [table for result in results for table in label_tables(result)]
    evidence = new_table("Evidence", "task", *(name.replace("_", " ") + " (95%)" for name in _EVIDENCE))
    for result in results:
        if any(name in result.estimates for name in _EVIDENCE):
            evidence.add_row(result.name, *(with_interval(result.estimates.get(name)) for name in _EVIDENCE))
    return [*tables, evidence] if evidence.row_count else tables


def _verification(results: Sequence[TaskResult]) -> list[Table]:
    """Verdicts, accuracy of all and of supported answers, and risk by coverage."""
    verdicts = new_table(
        "Verdicts", "task", "n", "supported (95%)", "contradicted", "not enough evidence", "unverified"
    )
    accuracy = new_table("Accuracy", "task", "of all answers (95%)", "of the supported (95%)", "gain (95%)")
    shares = [f"{coverage:.0%}" for coverage in COVERAGES]
    risk = new_table("Risk: the share of wrong answers among the surest", "task", *shares, "all", "area", "surest by")
    for result in results:
        supported, *others = (result.estimates[name] for name in SHARES.values())
        figures = [with_interval(supported), *(f"{other.value:.3f}" for other in others)]
        verdicts.add_row(result.name, str(len(result.samples)), *figures, f"{result.metrics['unverified']:.0f}")
        if result.task.scorer == UNSUPPORTABLE:
            verdicts.caption = (
                "verified_wrong: answered from another record's abstract; verified_swapped: answered from the record's "
                "own, and verified against another's. None of these should be supported."
            )
            continue
        given = [with_interval(result.estimates.get(name)) for name in ("accuracy", "accuracy_supported")]
        accuracy.add_row(result.name, *given, with_interval(result.estimates.get("accuracy_gain"), signed=True))
        for name, points in risk_curves(result.samples).items():
            figures = [f"{risk_at(points, coverage):.3f}" for coverage in (*COVERAGES, 1)]
            risk.add_row(result.name, *figures, f"{result.metrics[name]:.3f}", RANKED_BY[name])
    return [verdicts, accuracy, risk]


def _written(results: Sequence[TaskResult]) -> list[Table]:
    """Support of written answers, then their length and their likeness to the references."""
    support = new_table(
        "Written answers: do the cited passages support the sentences?",
        "task",
        "n",
        "citation recall (95%)",
        "citation precision (95%)",
        "with attributed",
        "supported (95%)",
        "contradicted",
    )
    texts = new_table(
        "Length, refusals and references", "task", "sentences", "words", "refused", "withheld", *_REFERENCE
    )
    for result in results:
        found = result.estimates
        figures = [with_interval(found.get(name)) for name in ("citation_recall", "citation_precision")]
        figures.append(_plain(found.get("attributed_recall")))
        figures += [with_interval(found.get("sentence_support")), _plain(found.get("sentence_contradicted"))]
        support.add_row(result.name, str(len(result.samples)), *figures)
        shares = [_plain(found.get(name)) for name in ("refused", "withheld", *_REFERENCE.values())]
        lengths = [f"{found[name].value:.1f}" for name in ("sentences", "words")]
        texts.add_row(result.name, *lengths, *shares)
    return [support, texts]


def _plain(estimate: Estimate | None) -> str:
    return "" if estimate is None else f"{estimate.value:.3f}"


_TABLES: Mapping[str, Callable[[Sequence[TaskResult]], list[Table]]] = {
    RETRIEVAL.id: _retrieval,
    ANSWERS.id: _answers,
    INFERENCE.id: _inference,
    VERIFICATION.id: _verification,
    WRITTEN.id: _written,
    CHECKING.id: _checking,
}


def _label_table(title: str) -> Table:
    return new_table(title, "task", "n", "accuracy (95%)", "macro F1 (95%)", "unparsed")


def _add_labels(table: Table, result: TaskResult) -> None:
    accuracy = result.estimates.get("accuracy") or result.estimates.get("share_maybe")
    figures = [with_interval(accuracy), with_interval(result.estimates.get("macro_f1"))]
    unparsed = result.metrics.get("unparsed")
    table.add_row(result.name, str(len(result.samples)), *figures, "" if unparsed is None else f"{unparsed:.0f}")


def _add_majority(table: Table, targets: Sequence[str], labels: Sequence[str]) -> None:
    """The majority baseline."""
    answer = majority(targets)
    reference = label_metrics(targets, [answer] * len(targets), labels)
    figures = [with_interval(reference[name]) for name in ("accuracy", "macro_f1")]
    table.add_row(f'always "{answer}"', str(len(targets)), *figures, "", style="dim")


def _by_premise(result: TaskResult, targets: Sequence[str], predictions: Sequence[str | None]) -> str | None:
    """A note with the standard error of accuracy clustered by premise, if premises repeat."""
    premises = [str(sample["premise"]) for sample in result.samples if "premise" in sample]
    if len(premises) < len(result.samples):
        return None
    count, alone = len(set(premises)), result.estimates["accuracy"].stderr
    right = [float(target == prediction) for target, prediction in zip(targets, predictions, strict=True)]
    together = clustered_stderr(right, premises)
    if count == len(premises) or together is None or alone is None:
        return None
    return (
        f"{len(premises)} pairs of {count} premises: accuracy's standard error is {together:.3f} with the premises as "
        f"clusters, {alone:.3f} if the pairs were independent, as the intervals take them"
    )


def remarks(results: Sequence[TaskResult]) -> list[str]:
    """A line for each task and kind of note, such as texts truncated to the context window.

    Notes that differ only in numbers are of one kind. Two are left out: notes on answers without a label, which
    ``unparsed`` counts, and those of verified tasks, which repeat the notes of the tasks of answers.
    """
    lines = []
    for result in results:
        kinds: dict[str, list[str]] = {}
        for sample in () if result.task.section == VERIFICATION else result.samples:
            for note in sample.get("notes", ()):
                if note != UNLABELLED:
                    kinds.setdefault(_NUMBERED.sub("", note), []).append(note)
        for notes in kinds.values():
            like = " or one like it" if len(set(notes)) > 1 else ""
            lines.append(f'{result.name}: {len(notes)} of {len(result.samples)} records: "{notes[0]}"{like}')
    return lines


def new_table(title: str, first: str, *others: str) -> Table:
    """An empty table: names in the first column, numbers in the others."""
    table = Table(
        title=title,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right")
    return table


def with_interval(estimate: Estimate | None, *, signed: bool = False) -> str:
    """The value and its 95% interval, for a difference ``signed``; empty for None."""
    if estimate is None:
        return ""
    sign, between = ("+", " to ") if signed else ("", "-")
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:{sign}.3f}"
    return f"{estimate.value:{sign}.3f} ({estimate.low:{sign}.3f}{between}{estimate.high:{sign}.3f})"
