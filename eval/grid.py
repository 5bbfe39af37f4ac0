"""The tables of a grid: accuracies by model, context and retriever, beside published ones."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from common.atomic_write import write_whole
from common.errors import UserError
from common.fingerprints import plain
from eval.config import Part, Published
from eval.estimate import Estimate
from eval.results import TaskResult
from eval.table import new_table, with_interval

GRID_FILE = "grid.json"
_FIGURES = {"retrieval": ("accuracy@1", "mrr@10"), "qa": ("accuracy", "macro_f1"), "nli": ("accuracy", "macro_f1")}
_TITLES = {"retrieval": "Retrieval", "qa": "Answers", "nli": "Inference"}


@dataclass(frozen=True)
class Cell:
    """One figure of a grid.

    Attributes:
        part: the table that it stands in.
        row: what was varied down the table: a retriever, a context, or a model that judged pairs.
        column: what was varied across: "all" for retrievers, the model that answered, or the examples shown.
        metric: the figure's name.
        estimate: its value with standard error and 95% interval.
        published: what others report for the same row and column; None where they do not.
        n: how many records it was measured on.
        run: the folder of its results, below the grid's.
        task: the task's name there.
    """

    part: Part
    row: str
    column: str
    metric: str
    estimate: Estimate
    published: float | None
    n: int
    run: str
    task: str


def grid_cells(run: str, results: Sequence[TaskResult], published: Published | None) -> list[Cell]:
    """The cells of one run's results.

    Args:
        run: the name of its folder, which is the model's; of the retrievers' it tells nothing.
        results: tasks of retrieval, answers or inference.
        published: accuracies to stand beside.
    """
    cells = []
    for result in results:
        part, row, column = _place(run, result.task)
        for metric in _FIGURES[part]:
            reported = _reported(part, row, column, published) if metric.startswith("accuracy") else None
            estimate, n = result.estimates[metric], len(result.samples)
            cells.append(Cell(part, row, column, metric, estimate, reported, n, run, result.task))
    return cells


def grid_tables(cells: Sequence[Cell], published: Published | None) -> list[Table]:
    """For each part and metric one table; a published figure stands in brackets behind the measured one."""
    tables = []
    for part, metrics in _FIGURES.items():
        for metric in metrics:
            chosen = {(cell.row, cell.column): cell for cell in cells if cell.part == part and cell.metric == metric}
            if chosen:
                tables.append(_table(f"{_TITLES[part]}: {metric} (95%)", chosen, published))
    return tables


def write_grid(folder: Path, cells: Sequence[Cell], failures: dict[str, str], published: Published | None) -> Path:
    """Write ``grid.json``: the cells, the models that could not be measured and why, and the published figures' source.

    Raises:
        UserError: it cannot be written.
    """
    source = None if published is None else published.source
    payload: dict[str, Any] = {"cells": [asdict(cell) for cell in cells], "failures": failures, "published": source}
    path = folder / GRID_FILE
    try:
        write_whole(path, json.dumps(plain(payload), indent=2, allow_nan=False) + "\n")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}. Make room and run it again.") from error
    return path


def nli_column(task: str) -> str:
    """How a task on pairs is headed: ``nli`` is zero-shot, ``nli_3shot`` 3-shot, ``nli_tuned`` tuned."""
    variant = task.removeprefix("nli").removeprefix("_")
    return f"{variant.removesuffix('shot')}-shot" if variant.endswith("shot") else variant or "zero-shot"


def _place(run: str, task: str) -> tuple[Part, str, str]:
    if task.startswith("retrieval_"):
        return "retrieval", task.removeprefix("retrieval_"), "all"
    return ("nli", run, nli_column(task)) if task.startswith("nli") else ("qa", task.removeprefix("qa_"), run)


def _reported(part: Part, row: str, column: str, published: Published | None) -> float | None:
    if published is None:
        return None
    if part == "retrieval":
        return published.retrieval.get(row)
    return published.nli.get(row, {}).get(column) if part == "nli" else published.qa.get(column, {}).get(row)


def _table(title: str, cells: dict[tuple[str, str], Cell], published: Published | None) -> Table:
    rows, columns = dict.fromkeys(row for row, _ in cells), dict.fromkeys(column for _, column in cells)
    table = new_table(title, "", *columns)
    for row in rows:
        table.add_row(row, *(_shown(cells.get((row, column))) for column in columns))
    counts = sorted({cell.n for cell in cells.values()})
    table.caption = f"n = {', '.join(map(str, counts))}"
    if published is not None and any(cell.published is not None for cell in cells.values()):
        table.caption += f"; in brackets: {published.source}"
    return table


def _shown(cell: Cell | None) -> str:
    if cell is None:
        return ""
    beside = "" if cell.published is None else f" [{cell.published:.3f}]"
    return with_interval(cell.estimate) + beside
