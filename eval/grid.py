"""Tables of a grid: metrics by model, context and retriever, beside published figures."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from eval.config import Published
from eval.results import TaskResult, write_json
from eval.stats.estimate import Estimate
from eval.tables import new_table, with_interval
from eval.tasks import SECTIONS, Task
from eval.tasks.base import INFERENCE, RETRIEVAL

GRID_FILE = "grid.json"


@dataclass(frozen=True)
class Cell:
    """One value in a table of a grid.

    ``part`` is the id of the task's section. ``row`` and ``column`` depend on the section: a retriever and "all" for
    retrieval, a model and its condition, such as "3-shot", for inference, else a context and a model. ``run`` is the
    path of the results folder below the grid's folder.
    """

    part: str
    row: str
    column: str
    metric: str
    estimate: Estimate
    published: float | None
    n: int
    run: str
    task: str


def grid_cells(run: str, results: Sequence[TaskResult], published: Published | None) -> list[Cell]:
    """The cells of one run; ``run`` is its folder's name, which is the model's name."""
    cells = []
    for result in results:
        row, column = _row_and_column(run, result.task)
        for metric in result.task.section.metrics:
            accuracy = _published_accuracy(run, result.task, published) if metric.startswith("accuracy") else None
            estimate, n = result.estimates[metric], len(result.samples)
            cells.append(Cell(result.task.section.id, row, column, metric, estimate, accuracy, n, run, result.name))
    return cells


def grid_tables(cells: Sequence[Cell], published: Published | None) -> list[Table]:
    """One table for each section and metric; a published value follows the measured value in brackets."""
    tables = []
    for section in SECTIONS:
        for metric in section.metrics:
            of_table = [cell for cell in cells if (cell.part, cell.metric) == (section.id, metric)]
            if of_table:
                tables.append(_table(f"{section.title}: {metric} (95%)", of_table, published))
    return tables


def write_grid(folder: Path, cells: Sequence[Cell], failures: dict[str, str], published: Published | None) -> Path:
    """Write ``grid.json``: the cells, failures by model, and the source of the published values.

    Raises:
        UserError: the file cannot be written.
    """
    source = None if published is None else published.source
    payload: dict[str, Any] = {"cells": [asdict(cell) for cell in cells], "failures": failures, "published": source}
    return write_json(folder / GRID_FILE, payload)


def _row_and_column(run: str, task: Task) -> tuple[str, str]:
    if task.section == RETRIEVAL:
        return task.condition, "all"
    return (run, task.condition) if task.section == INFERENCE else (task.condition, run)


def _published_accuracy(run: str, task: Task, published: Published | None) -> float | None:
    if published is None:
        return None
    if task.section == RETRIEVAL:
        return published.retrieval.get(task.condition)
    by_model = published.nli if task.section == INFERENCE else published.qa
    return by_model.get(run, {}).get(task.condition)


def _table(title: str, cells: Sequence[Cell], published: Published | None) -> Table:
    texts = {(cell.row, cell.column): _cell_text(cell) for cell in cells}
    columns = dict.fromkeys(cell.column for cell in cells)
    table = new_table(title, "", *columns)
    for row in dict.fromkeys(cell.row for cell in cells):
        table.add_row(row, *(texts.get((row, column), "") for column in columns))
    counts = sorted({cell.n for cell in cells})
    table.caption = f"n = {', '.join(map(str, counts))}"
    if published is not None and any(cell.published is not None for cell in cells):
        table.caption += f"; in brackets: {published.source}"
    return table


def _cell_text(cell: Cell) -> str:
    published = "" if cell.published is None else f" [{cell.published:.3f}]"
    return with_interval(cell.estimate) + published
