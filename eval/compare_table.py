"""Comparisons as tables for the terminal."""

from collections.abc import Sequence
from itertools import groupby

from rich.table import Table
from rich.text import Text

from common.json_file import shown
from eval.compare import Comparison
from eval.tables import new_table, with_signed_interval

SHOWN = 10  # of the records that changed sides, for each comparison


def compare_tables(comparisons: Sequence[Comparison]) -> list[Table]:
    """For each pair of runs the figures, the tests, and for each task the first records that changed."""
    tables: list[Table] = []
    for title, group in groupby(comparisons, _title):
        together = list(group)
        tables += [_figures(title, together), _tests(together), *(_changed(one) for one in together if one.changed)]
    return tables


def _title(comparison: Comparison) -> str:
    a, b = comparison.pairs.a.run.folder, comparison.pairs.b.run.folder
    return f"A and B: {a}" if a == b else f"A: {a}\nB: {b}"


def _figures(title: str, comparisons: Sequence[Comparison]) -> Table:
    """One row a comparison, with its figures one below the other in each cell."""
    table = new_table(title, "task", "n", "figure", "A", "B", "B - A (95%)")
    left_out = []
    for one in comparisons:
        figures = one.figures.values()
        table.add_row(
            _task(one),
            str(len(one.pairs.samples)),
            "\n".join(one.figures),
            "\n".join(f"{figure.a:.3f}" for figure in figures),
            "\n".join(f"{figure.b:.3f}" for figure in figures),
            "\n".join(with_signed_interval(figure.difference) for figure in figures),
        )
        if one.pairs.only_in_a or one.pairs.only_in_b:
            left_out.append(
                f"{_task(one, ', ')}: left out {one.pairs.only_in_a} records of A alone, {one.pairs.only_in_b} of B"
            )
    table.title = Text(title)  # a folder's name is no markup
    table.caption = Text("\n".join(left_out)) if left_out else None
    return table


def _tests(comparisons: Sequence[Comparison]) -> Table:
    table = new_table("Right and wrong, by McNemar's exact test", "task", "both right")
    for name in ("only A", "only B", "neither", "p", "p by Holm"):
        table.add_column(name, justify="right")
    for one in comparisons:
        test = one.test
        counts = [str(count) for count in (test.both, test.only_a, test.only_b, test.neither)]
        table.add_row(_task(one), *counts, _probability(test.p), _probability(one.p_holm))
    return table


def _changed(comparison: Comparison) -> Table:
    table = new_table(f"Changed sides:\n{_task(comparison)}", "id", "target", "A", "B", "right")
    for record in comparison.changed[:SHOWN]:
        answers = [Text(shown(answer or "unparsed", 30)) for answer in (record.a, record.b)]
        table.add_row(Text(shown(record.id)), Text(shown(record.target, 30)), *answers, record.right.upper())
    if (more := len(comparison.changed) - SHOWN) > 0:
        table.caption = f"and {more} more: see --json"
    return table


def _task(comparison: Comparison, separator: str = "\n") -> str:
    a, b = comparison.pairs.a.task.name, comparison.pairs.b.task.name
    return a if a == b else f"A {a}{separator}B {b}"


def _probability(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1e}"
