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
    RecallCurve,
    RiskCurve,
    confusions,
    recall_figures,
    reliabilities,
    risk_figures,
)
from eval.report.payload import Payload
from eval.report.plots import draw_recall, draw_reliability, draw_risk, svg_image, write_plots
from eval.report.projection import EmbeddingMap
from eval.report.provenance import facts, run_table, terms, title, versions
from eval.report.tables import headlines, recall_values, reliability_values, risk_values, section_tables
from eval.report.tasks import ReportTask
from eval.report.views import between
from eval.results import writing
from eval.stats.estimate import Estimate
from eval.tasks import SECTIONS, Section
from eval.tasks.base import VERIFICATION

PAGE = "report.html"
_TEMPLATES = Path(__file__).with_name("templates")
_SCRIPTS = ("page.js", "record.js", "records.js", "map.js")  # in this order: each uses those before it
_LEVELS = 9  # of shade in a confusion matrix


@dataclass(frozen=True)
class Report:
    """Content of the page.

    ``texts`` are the passages by id, one mapping per task; ``gaps`` and ``map_gap`` say which texts and maps are
    missing and why; ``notes`` are shown at the top; ``failures`` are the reasons by model that could not be measured;
    ``published`` is the source of the published figures.
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
    payload = Payload()
    for place, task in enumerate(report.tasks):
        payload.add_task(task, report.texts[place] if report.texts else {})
    for shown in report.maps:
        payload.add_map(shown)
    return templates.get_template("report.html").render(
        title=title(report.tasks),
        facts=facts(report.tasks),
        notes=report.notes,
        published=report.published,
        headlines=headlines(report.tasks),
        sections=[part for one in SECTIONS if (part := _section(one, report.tasks)) is not None],
        maps=report.maps,
        map_gap=report.map_gap,
        gaps=report.gaps,
        runs=run_table(report.tasks),
        failures=report.failures.items(),
        versions=versions(report.tasks),
        terms=terms(report.tasks),
        version=version("medground"),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        data=htmlsafe_json_dumps(payload.data, separators=(",", ":")),
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
        # The name of a file may hold characters that UTF-8 has no code for.
        write_whole(page, render(report).encode("utf-8", "replace").decode("utf-8"))
    return page, write_plots(folder, report.tasks, report.maps)


def _section(section: Section, tasks: Sequence[ReportTask]) -> dict[str, Any] | None:
    """Tables and figures of a section; None if no task belongs to it."""
    own = [task for task in tasks if task.section == section]
    if not own:
        return None
    numbers = {(task.run, task.name): place for place, task in enumerate(tasks)}
    titles = {(task.run, task.name): task.title for task in own}
    several = len({task.run for task in own}) > 1

    def titled(run: str, task: str) -> str:
        return f"{run}: {titles[run, task]}" if several else titles[run, task]

    return {
        "id": section.id,
        "title": section.title,
        "tables": section_tables(section, own),
        "is_small": sum(bool(task.labels) for task in own) == 1,
        "recalls": [
            {
                "title": "",
                "chart": svg_image(one, draw_recall, f"Recall at k of {_listed(one.curves)}, n = {one.n}"),
                "points": recall_values(one),
                "caption": f"{one.data}, n = {one.n:,}. Bands: 95 % intervals (Wilson).",
            }
            for one in recall_figures(own)
        ],
        "confusion_title": "Verdicts on right and wrong answers" if section == VERIFICATION else "Confusion matrices",
        "confusions": [
            _confusion(one, numbers[one.run, one.task], titled(one.run, one.task)) for one in confusions(own)
        ],
        "reliabilities": [
            {
                "title": titled(one.run, one.task),
                "chart": svg_image(
                    one, draw_reliability, f"Reliability of {one.task}, {one.run}, n = {one.n}", small=True
                ),
                "points": reliability_values(one),
                "caption": f"ECE {one.ece.value:.3f}{_in_brackets(one.ece)}, n = {one.n:,}",
            }
            for one in reliabilities(own)
        ],
        "risks": [
            {
                "title": titled(one.run, one.task) if one.task else one.run if several else "",
                "chart": svg_image(one, draw_risk, f"Risk by coverage of {_listed(one.curves)}"),
                "points": risk_values(one),
                "caption": f"{one.order}, n = {', '.join(f'{n:,}' for n in one.n)}.",
            }
            for one in risk_figures(own)
        ],
    }


def _confusion(one: Confusion, number: int, heading: str) -> dict[str, Any]:
    rows = []
    for name, counts in zip(one.rows, one.counts, strict=True):
        whole = sum(counts)
        cells = []
        for column, count in zip(one.columns, counts, strict=True):
            share = count / whole if whole else 0.0
            tooltip = f"{one.row_title} {name}, {one.column_title} {column}: {count} of {whole}"
            level = min(_LEVELS, int(share * (_LEVELS + 1)) + (0 < share < 0.1))
            shown = f"{share:.0%}" if whole else "\u2013"
            cells.append({"column": column, "count": count, "share": shown, "level": level, "tooltip": tooltip})
        rows.append({"name": name, "cells": cells})
    return {
        "title": heading,
        "number": number,
        "row_title": one.row_title,
        "column_title": one.column_title,
        "columns": one.columns,
        "rows": rows,
        "caption": f"Rows: {one.row_title}; columns: {one.column_title}. n = {one.n:,}",
    }


def _listed(curves: Sequence[RecallCurve] | Sequence[RiskCurve]) -> str:
    return ", ".join(curve.name for curve in curves)


def _in_brackets(estimate: Estimate) -> str:
    return f" ({interval})" if (interval := between(estimate)) else ""


def _hash(text: str) -> str:
    """The hash that allows an inline script or style in a content security policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
