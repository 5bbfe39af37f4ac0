"""Tables of the page: cells with values, intervals and marks."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from markupsafe import Markup

from eval.report.tasks import ReportTask
from eval.stats.estimate import Estimate

_NO_MARK = Markup("")


@dataclass(frozen=True)
class Cell:
    """One cell: a text and, for a metric, its interval, mark and published value."""

    text: str = ""
    interval: str = ""
    mark: Markup = _NO_MARK
    published: str = ""
    is_figure: bool = False


_EMPTY = Cell()


@dataclass(frozen=True)
class Row:
    """A row: its title, the task's name, and its cells by column. A row without cells is a heading."""

    name: str
    code: str = ""
    cells: Mapping[str, Cell] = field(default_factory=dict)
    is_reference: bool = False

    def cell(self, column: str) -> Cell:
        """The cell of a column, empty by default."""
        return self.cells.get(column, _EMPTY)


@dataclass(frozen=True)
class View:
    """A table. A folded one opens on click."""

    title: str
    first: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str = ""
    is_folded: bool = False

    def is_figure(self, column: str) -> bool:
        """Whether the column holds numbers, which are aligned right."""
        return any(row.cell(column).is_figure for row in self.rows)

    def is_marked(self, column: str) -> bool:
        """Whether the column has marks."""
        return any(row.cell(column).mark for row in self.rows)

    def without_constant(self, column: str) -> "View":
        """The table without the column if all its cells are equal."""
        if len({row.cells[column].text for row in self.rows if column in row.cells}) > 1:
            return self
        return replace(self, columns=tuple(other for other in self.columns if other != column))


def interval_mark(estimate: Estimate, published: float | None = None) -> Markup:
    """A value from 0 to 1 as a point with its interval; a published value is a tick."""

    def line(style: str, x1: float, x2: float, y1: str = "50%", y2: str = "50%") -> Markup:
        x1, x2 = (min(max(x, 0.0), 1.0) for x in (x1, x2))
        template = Markup('<line class="{}" x1="{:.1%}" x2="{:.1%}" y1="{}" y2="{}"/>')
        return template.format(style, x1, x2, y1, y2)

    parts = [line("track", 0, 1), *(line("track", tick, tick, "35%", "65%") for tick in (0.0, 0.5, 1.0))]
    if published is not None:
        parts.append(line("published", published, published, "5%", "95%"))
    if estimate.low is not None and estimate.high is not None:
        parts.append(line("whisker", estimate.low, estimate.high))
    value = min(max(estimate.value, 0.0), 1.0)
    parts.append(Markup('<circle class="dot" cx="{:.1%}" cy="50%" r="3.5"/>').format(value))
    return Markup('<svg class="mark" aria-hidden="true">{}</svg>').format(_NO_MARK.join(parts))


def between(estimate: Estimate) -> str:
    """The interval as text; empty if there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{estimate.low:.3f}\u2013{estimate.high:.3f}"


def figure(estimate: Estimate, *, published: float | None = None, marked: bool = False) -> Cell:
    """A metric with its interval; ``marked`` adds a drawing, for values from 0 to 1."""
    return Cell(
        f"{estimate.value:.3f}",
        between(estimate),
        interval_mark(estimate, published) if marked else _NO_MARK,
        "" if published is None else f"{published:.3f}",
        is_figure=True,
    )


def signed(estimate: Estimate) -> Cell:
    """A difference with its interval."""
    if estimate.low is None or estimate.high is None:
        return Cell(f"{estimate.value:+.3f}", is_figure=True)
    return Cell(f"{estimate.value:+.3f}", f"{estimate.low:+.3f} to {estimate.high:+.3f}", is_figure=True)


def measured(task: ReportTask, metric: str, *, marked: bool = False) -> Cell:
    """A task's metric; an empty cell if it has none."""
    estimate = task.estimates.get(metric)
    if estimate is None:
        return _EMPTY
    return figure(estimate, published=task.published.get(metric), marked=marked)


def number(count: float) -> Cell:
    """A count."""
    return Cell(f"{round(count):,}", is_figure=True)
