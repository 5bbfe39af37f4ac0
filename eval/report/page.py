"""The report as one self-contained HTML file."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from common.atomic_write import write_whole
from eval.report.figures import (
    Confusion,
    confusions,
    recall_plots,
    reliabilities,
    risk_plots,
)
from eval.report.payload import page_data
from eval.report.plots import draw_recall, draw_reliability, draw_risk, svg_image, write_plots
from eval.report.projection import EmbeddingMap
from eval.report.provenance import facts, run_table, terms, title, versions
from eval.report.tables import headlines, recall_values, reliability_values, risk_values, section_tables
from eval.report.tasks import ReportTask
from eval.report.views import interval_text
from eval.results import writing
from eval.stats.estimate import Estimate
from eval.tasks import SECTIONS, Section
from eval.tasks.base import VERIFICATION

PAGE = "report.html"
_TEMPLATES = Path(__file__).with_name("templates")
_SCRIPTS = ("page.js", "record.js", "records.js", "map.js")  # each uses names of the scripts before it
_SHADES = 9  # shades of the cells of a confusion matrix: CSS classes h1 to h9, and h0 for empty cells


@dataclass(frozen=True)
class Report:
    """Content of the page.

    ``texts`` are the passages by id, one mapping per task. ``gaps`` say which texts are missing and why, ``map_gap``
    which maps. ``notes`` are shown at the top. ``failures`` holds, by model that could not be measured, the error
    message. ``published`` is the source of the published values.
    """

    tasks: Sequence[ReportTask]
    texts: Sequence[Mapping[str, str]] = ()
    maps: Sequence[EmbeddingMap] = ()
    gaps: Sequence[str] = ()
    map_gap: str = ""
    notes: Sequence[str] = ()
    failures: Mapping[str, str] = field(default_factory=dict)
    published: str = ""


def render(report: Report) -> str:
    """The page as HTML, with all data escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from jinja2.utils import htmlsafe_json_dumps
    from markupsafe import Markup

    templates = Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined)
    style = Markup(templates.get_template("theme.css").render() + templates.get_template("page.css").render())
    body = "\n".join((_TEMPLATES / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    script = Markup(f'"use strict";\n(() => {{\n{body}\n}})();\n')
    return templates.get_template("report.html").render(
        title=title(report.tasks),
        facts=facts(report.tasks),
        notes=report.notes,
        published=report.published,
        headlines=headlines(report.tasks),
        sections=[context for section in SECTIONS if (context := _section_context(section, report.tasks))],
        maps=report.maps,
        map_gap=report.map_gap,
        gaps=report.gaps,
        runs=run_table(report.tasks),
        failures=report.failures.items(),
        versions=versions(report.tasks),
        terms=terms(report.tasks),
        version=version("medground"),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        data=htmlsafe_json_dumps(page_data(report.tasks, report.texts, report.maps), separators=(",", ":")),
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def write_report(folder: Path, report: Report) -> tuple[Path, list[Path]]:
    """Write ``report.html`` and its figures as PNG files to ``folder``; returns their paths.

    Raises:
        UserError: a file cannot be written.
    """
    page = folder / PAGE
    with writing(page):
        # A file name may hold surrogates, which UTF-8 cannot encode.
        write_whole(page, render(report).encode("utf-8", "replace").decode("utf-8"))
    return page, write_plots(folder, report.tasks, report.maps)


def _section_context(section: Section, tasks: Sequence[ReportTask]) -> dict[str, Any] | None:
    """The template's variables for the tables and plots of a section; None if no task belongs to it."""
    of_section = [task for task in tasks if task.section == section]
    if not of_section:
        return None
    numbers = {(task.run, task.name): index for index, task in enumerate(tasks)}
    titles = {(task.run, task.name): task.title for task in of_section}
    has_several_runs = len({task.run for task in of_section}) > 1

    def heading(run: str, task: str) -> str:
        return f"{run}: {titles[run, task]}" if has_several_runs else titles[run, task]

    return {
        "id": section.id,
        "title": section.title,
        "tables": section_tables(section, of_section),
        "has_one_matrix": sum(bool(task.labels) for task in of_section) == 1,
        "recalls": [
            {
                "title": "",
                "chart": svg_image(plot, draw_recall, f"Recall at k of {', '.join(plot.curves)}, n = {plot.n}"),
                "points": recall_values(plot),
                "caption": f"{plot.data}, n = {plot.n:,}. Bands: 95 % intervals (Wilson).",
            }
            for plot in recall_plots(of_section)
        ],
        "confusion_title": "Verdicts on right and wrong answers" if section == VERIFICATION else "Confusion matrices",
        "confusions": [
            _confusion_context(matrix, numbers[matrix.run, matrix.task], heading(matrix.run, matrix.task))
            for matrix in confusions(of_section)
        ],
        "reliabilities": [
            {
                "title": heading(plot.run, plot.task),
                "chart": svg_image(
                    plot, draw_reliability, f"Reliability of {plot.task}, {plot.run}, n = {plot.n}", small=True
                ),
                "points": reliability_values(plot),
                "caption": f"ECE {plot.ece.value:.3f}{_in_brackets(plot.ece)}, n = {plot.n:,}",
            }
            for plot in reliabilities(of_section)
        ],
        "risks": [
            {
                "title": heading(plot.run, plot.task) if plot.task else plot.run if has_several_runs else "",
                "chart": svg_image(plot, draw_risk, f"Risk by coverage of {', '.join(plot.curves)}"),
                "points": risk_values(plot),
                "caption": f"{plot.order}, n = {', '.join(f'{n:,}' for n in plot.n)}.",
            }
            for plot in risk_plots(of_section)
        ],
    }


def _confusion_context(matrix: Confusion, task_number: int, heading: str) -> dict[str, Any]:
    """The template's variables for a confusion matrix; ``task_number`` is the task's index in the report."""
    rows = []
    for name, counts in zip(matrix.rows, matrix.counts, strict=True):
        total = sum(counts)
        cells = []
        for column, count in zip(matrix.columns, counts, strict=True):
            share = count / total if total else 0.0
            tooltip = f"{matrix.row_title} {name}, {matrix.column_title} {column}: {count} of {total}"
            # The shade is the share in tenths. A cell that is not empty has at least the lightest shade.
            shade = min(_SHADES, int(share * (_SHADES + 1)) + (0 < share < 0.1))
            percent = f"{share:.0%}" if total else "\u2013"
            cells.append({"column": column, "count": count, "share": percent, "shade": shade, "tooltip": tooltip})
        rows.append({"name": name, "cells": cells})
    return {
        "title": heading,
        "task_number": task_number,
        "row_title": matrix.row_title,
        "column_title": matrix.column_title,
        "columns": matrix.columns,
        "rows": rows,
        "caption": f"Rows: {matrix.row_title}; columns: {matrix.column_title}. n = {matrix.n:,}",
    }


def _in_brackets(estimate: Estimate) -> str:
    return f" ({interval})" if (interval := interval_text(estimate)) else ""


def _hash(text: str) -> str:
    """The hash by which a content security policy allows an inline script or style."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
