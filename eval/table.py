"""Results as tables for the terminal."""

from collections.abc import Sequence

from rich import box
from rich.table import Table

from corpus.records import LABELS
from eval.estimate import Estimate
from eval.metrics import label_metrics, majority
from eval.results import TaskResult

_RANKING = ("recall@5", "recall@10", "mrr@10", "ndcg@10")


def retrieval_table(results: Sequence[TaskResult]) -> Table:
    """One row for each ``retrieval_NAME`` among the results; other tasks are passed over."""
    table = _table("Retrieval: is each question's own abstract found?", "retriever", "n", "accuracy@1 (95%)", *_RANKING)
    for result in results:
        if result.task.startswith("retrieval_"):
            figures = [f"{result.metrics[name]:.3f}" for name in _RANKING]
            table.add_row(
                result.task.removeprefix("retrieval_"),
                str(len(result.samples)),
                _with_interval(result.estimates["accuracy@1"]),
                *figures,
            )
    return table


def qa_table(results: Sequence[TaskResult]) -> Table:
    """One row for each ``qa_...`` among the results; other tasks are passed over.

    Tasks over the same records stand together, followed by what the most frequent answer, given to all of them, would
    score. The row of ``qa_wrong`` shows ``share_maybe`` as its accuracy, and a caption says so.
    """
    table = _table("Answers: yes, no or maybe", "task", "n", "accuracy (95%)", "macro F1 (95%)", "unparsed")
    groups: dict[tuple[tuple[str, str], ...], list[TaskResult]] = {}
    for result in results:
        if result.task.startswith("qa_"):
            records = tuple((str(sample["id"]), str(sample["target"])) for sample in result.samples)
            groups.setdefault(records, []).append(result)
    for records, group in groups.items():
        for result in group:
            right = result.estimates.get("accuracy") or result.estimates.get("share_maybe")
            figures = [_with_interval(right), _with_interval(result.estimates.get("macro_f1"))]
            table.add_row(result.task, str(len(records)), *figures, f"{result.metrics['unparsed']:.0f}")
            if "share_maybe" in result.estimates:
                table.caption = 'qa_wrong: each question with another record\'s abstract; right is "maybe"'
        if any("accuracy" in result.estimates for result in group):
            targets = [target for _, target in records]
            answer = majority(targets)
            reference = label_metrics(targets, [answer] * len(targets), LABELS)
            figures = [_with_interval(reference[name]) for name in ("accuracy", "macro_f1")]
            table.add_row(f'always "{answer}"', str(len(records)), *figures, "", style="dim")
        table.add_section()
    return table


def _table(title: str, first: str, *others: str) -> Table:
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


def _with_interval(estimate: Estimate | None) -> str:
    """The figure and its 95% interval; empty where there is none."""
    if estimate is None:
        return ""
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f}-{estimate.high:.3f})"
