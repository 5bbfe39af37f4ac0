"""Tables of the page: cells with values, intervals and drawings of intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from markupsafe import Markup

from eval.report.tasks import ReportTask
from eval.stats.estimate import Estimate

_NO_DRAWING = Markup("")


@dataclass(frozen=True)
class Cell:
    """A cell: a text and, for a metric, its interval as text and as an SVG drawing, and its published value."""

    text: str = ""
    interval: str = ""
    drawing: Markup = _NO_DRAWING
    published: str = ""
    is_numeric: bool = False


_EMPTY = Cell()


@dataclass(frozen=True)
class Row:
    """A row: its title, its task's name in results, and its cells by column. A row without cells is a heading."""

    title: str
    task: str = ""
    cells: Mapping[str, Cell] = field(default_factory=dict)
    is_reference: bool = False

    def cell(self, column: str) -> Cell:
        """The cell of a column, empty by default."""
        return self.cells.get(column, _EMPTY)


@dataclass(frozen=True)
class View:
    """A table. ``first_column`` is the header above the rows' titles. If ``is_folded``, a click shows the table."""

    title: str
    first_column: str
    columns: tuple[str, ...]
    rows: Sequence[Row]
    note: str = ""
    is_folded: bool = False

    def is_numeric(self, column: str) -> bool:
        """Whether the column holds numbers, which are aligned right."""
        return any(row.cell(column).is_numeric for row in self.rows)

    def is_drawn(self, column: str) -> bool:
        """Whether the column has drawings."""
        return any(row.cell(column).drawing for row in self.rows)

    def without_constant(self, column: str) -> "View":
        """The table, without ``column`` if all its cells are equal."""
        if len({row.cells[column].text for row in self.rows if column in row.cells}) > 1:
            return self
        return replace(self, columns=tuple(other for other in self.columns if other != column))


def draw_interval(estimate: Estimate, published: float | None = None) -> Markup:
    """An SVG drawing of a value on a scale from 0 to 1: a point, a bar for its interval, a tick for ``published``."""

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
    return Markup('<svg class="mark" aria-hidden="true">{}</svg>').format(Markup("").join(parts))


def interval_text(estimate: Estimate) -> str:
    """The interval as text; empty if the estimate has none."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{estimate.low:.3f}\u2013{estimate.high:.3f}"


def metric_cell(estimate: Estimate, *, published: float | None = None, with_drawing: bool = False) -> Cell:
    """A metric with its interval; ``with_drawing`` adds a drawing, for a metric between 0 and 1."""
    return Cell(
        f"{estimate.value:.3f}",
        interval_text(estimate),
        draw_interval(estimate, published) if with_drawing else _NO_DRAWING,
        "" if published is None else f"{published:.3f}",
        is_numeric=True,
    )


def difference_cell(estimate: Estimate) -> Cell:
    """A difference with its interval."""
    if estimate.low is None or estimate.high is None:
        return Cell(f"{estimate.value:+.3f}", is_numeric=True)
    return Cell(f"{estimate.value:+.3f}", f"{estimate.low:+.3f} to {estimate.high:+.3f}", is_numeric=True)


def task_cell(task: ReportTask, metric: str, *, with_drawing: bool = False) -> Cell:
    """The cell of a task's metric; empty if the task does not have the metric."""
    estimate = task.estimates.get(metric)
    if estimate is None:
        return _EMPTY
    if metric in ("unparsed", "unverified"):
        return count_cell(estimate.value)
    return metric_cell(estimate, published=task.published.get(metric), with_drawing=with_drawing)


def count_cell(count: float) -> Cell:
    """A count."""
    return Cell(f"{round(count):,}", is_numeric=True)
