"""Results as tables for the terminal."""

import re
from collections import Counter
from collections.abc import Sequence

from rich import box
from rich.table import Table

from chains.labels import UNLABELLED
from corpus.records import LABELS
from eval.estimate import Estimate, clustered_stderr
from eval.metrics import absent_labels, label_metrics, majority
from eval.results import TaskResult

_NUMBERED = re.compile(r"\d+ \w+")  # "1 sentence", "2 sentences"
_RANKING = ("recall@5", "recall@10", "mrr@10", "ndcg@10")


def retrieval_table(results: Sequence[TaskResult]) -> Table:
    """One row for each ``retrieval_NAME`` among the results; other tasks are passed over."""
    table = new_table(
        "Retrieval: is each question's own abstract found?", "retriever", "n", "accuracy@1 (95%)", *_RANKING
    )
    for result in results:
        if result.task.startswith("retrieval_"):
            figures = [f"{result.metrics[name]:.3f}" for name in _RANKING]
            table.add_row(
                result.task.removeprefix("retrieval_"),
                str(len(result.samples)),
                with_interval(result.estimates["accuracy@1"]),
                *figures,
            )
    return table


def qa_table(results: Sequence[TaskResult]) -> Table:
    """One row for each ``qa_...`` among the results; other tasks are passed over.

    Tasks over the same records stand together, followed by what the most frequent answer, given to all of them, would
    score. The row of ``qa_wrong`` shows ``share_maybe`` as its accuracy, and a caption says so.
    """
    table = new_table("Answers: yes, no or maybe", "task", "n", "accuracy (95%)", "macro F1 (95%)", "unparsed")
    groups: dict[tuple[tuple[str, str], ...], list[TaskResult]] = {}
    for result in results:
        if result.task.startswith("qa_"):
            records = tuple((str(sample["id"]), str(sample["target"])) for sample in result.samples)
            groups.setdefault(records, []).append(result)
    for records, group in groups.items():
        captions = [] if table.caption is None else [str(table.caption)]
        for result in group:
            right = result.estimates.get("accuracy") or result.estimates.get("share_maybe")
            figures = [with_interval(right), with_interval(result.estimates.get("macro_f1"))]
            table.add_row(result.task, str(len(records)), *figures, f"{result.metrics['unparsed']:.0f}")
            if "share_maybe" in result.estimates:
                captions.append('qa_wrong: each question with another record\'s abstract; right is "maybe"')
        if any("accuracy" in result.estimates for result in group):
            targets = [target for _, target in records]
            answer = majority(targets)
            reference = label_metrics(targets, [answer] * len(targets), LABELS)
            figures = [with_interval(reference[name]) for name in ("accuracy", "macro_f1")]
            table.add_row(f'always "{answer}"', str(len(records)), *figures, "", style="dim")
            if absent := absent_labels(targets, LABELS):
                captions.append(f"{group[0].task}: {absent}")
        table.caption = "\n".join(captions) or None
        table.add_section()
    return table


def nli_tables(result: TaskResult, labels: Sequence[str]) -> list[Table]:
    """The figures of an inference task, those of each label, and the confusion matrix (rows: the data's label)."""
    targets = [str(sample["target"]) for sample in result.samples]
    predictions: list[str | None] = [sample["prediction"] for sample in result.samples]
    whole = new_table(
        "Inference: does the hypothesis follow?", "task", "n", "accuracy (95%)", "macro F1 (95%)", "unparsed"
    )
    n = str(len(targets))
    figures = [with_interval(result.estimates[name]) for name in ("accuracy", "macro_f1")]
    whole.add_row(result.task, n, *figures, f"{result.metrics['unparsed']:.0f}")
    answer = majority(targets)
    reference = label_metrics(targets, [answer] * len(targets), labels)
    figures = [with_interval(reference[name]) for name in ("accuracy", "macro_f1")]
    whole.add_row(f'always "{answer}"', n, *figures, "", style="dim")
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


def _by_premise(result: TaskResult, targets: Sequence[str], predictions: Sequence[str | None]) -> str | None:
    """Accuracy's standard error where pairs share premises, which the interval knows nothing of."""
    premises = [str(sample["premise"]) for sample in result.samples if "premise" in sample]
    if len(premises) < len(result.samples):  # of another task
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
    """What the samples' notes say of the records, such as texts cut to fit the window: a line for each kind and task.

    Notes that differ in numbers are of one kind. Left out are answers without a label, which ``unparsed`` counts, and
    the verified tasks, whose answers are those of ``qa_...`` again.
    """
    lines = []
    for result in results:
        kinds: dict[str, list[str]] = {}
        for sample in () if result.task.startswith("verified_") else result.samples:
            for note in sample.get("notes", ()):
                if note != UNLABELLED:
                    kinds.setdefault(_NUMBERED.sub("", note), []).append(note)
        for notes in kinds.values():
            like = " or one like it" if len(set(notes)) > 1 else ""
            lines.append(f'{result.task}: {len(notes)} of {len(result.samples)} records: "{notes[0]}"{like}')
    return lines


def new_table(title: str, first: str, *others: str) -> Table:
    """An empty table: names in the first column, figures in the others."""
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


def with_interval(estimate: Estimate | None) -> str:
    """The figure and its 95% interval; empty where there is none."""
    if estimate is None:
        return ""
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f}-{estimate.high:.3f})"


def with_signed_interval(estimate: Estimate | None) -> str:
    """A difference and its 95% interval; empty where there is none."""
    if estimate is None:
        return ""
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:+.3f}"
    return f"{estimate.value:+.3f} ({estimate.low:+.3f} to {estimate.high:+.3f})"
