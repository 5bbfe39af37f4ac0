"""Plots of results with matplotlib: PNG files, and SVG images for the report page."""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from eval.grouping import grouped
from eval.report.figures import (
    Confusion,
    RecallPlot,
    Reliability,
    RiskPlot,
    confusions,
    recall_plots,
    reliabilities,
    risk_plots,
    verified_curves,
)
from eval.report.projection import EmbeddingMap
from eval.report.tasks import ReportTask
from eval.results import TaskResult, writing
from eval.stats.selective import area_under
from eval.tasks.scorers import VERDICTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The colours of Okabe and Ito, which people with any kind of colour vision can distinguish.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#555555")
_LINES = ("-", "--", ":", "-.")
_MARKERS = "os^Dv*P"
_WIDE, _SMALL = (7.0, 4.5), (2.9, 2.9)  # inches
_COLUMNS = 4  # panels in a row
_MIN_COVERAGE = 0.05  # the risk at lower coverage is mostly chance, so it does not set the scale of the axis


def write_plots(folder: Path, tasks: Sequence[ReportTask], maps: Sequence[EmbeddingMap]) -> list[Path]:
    """Write the plots of the tasks as PNG files and return their paths.

    The files are ``recall_at_k.png``, ``confusion_RUN.png``, ``reliability_RUN.png``, ``risk_coverage_RUN.png`` and
    ``tsne_EMBEDDER.png``. Characters not allowed in file names become dashes; plots with the same name are numbered.

    Raises:
        UserError: a file cannot be written.
    """
    figures: dict[str, Figure] = {}

    def add(name: str, figure: "Figure") -> None:
        stem = re.sub(r"[^\w.-]+", "-", name)
        n_same = sum(other == stem or re.fullmatch(re.escape(stem) + r"-\d+", other) is not None for other in figures)
        figures[f"{stem}-{n_same + 1}" if n_same else stem] = figure

    for plot in recall_plots(tasks):
        add("recall_at_k", _panels([plot], draw_recall, size=_WIDE))
    for of_run in grouped(tasks, lambda task: task.run):
        run = of_run[0].run
        if matrices := confusions(of_run):
            add(f"confusion_{run}", _panels(matrices, _draw_confusion, f"{run}: share of each row, and counts"))
        if diagrams := reliabilities(of_run):
            heading = f"{run}: accuracy by confidence (95% intervals)"
            add(f"reliability_{run}", _panels(diagrams, draw_reliability, heading))
        if plots := risk_plots(of_run):
            add(f"risk_coverage_{run}", _panels(plots, draw_risk, size=_WIDE, columns=1))
    for embedding_map in maps:
        add(embedding_map.file_name, _panels([embedding_map], _draw_map, size=(8.0, 6.0)))
    return [_save(figure, folder / f"{name}.png") for name, figure in figures.items()]


def write_risk_plots(folder: Path, results: Sequence[TaskResult]) -> list[Path]:
    """Write ``risk_TASK.png`` for each task of verified answers.

    Raises:
        UserError: a file cannot be written.
    """
    paths = []
    for result in results:
        if result.task.scorer == VERDICTS:
            curves = verified_curves(result.samples, "surest by")
            plot = RiskPlot(result.name, None, "", (len(result.samples),), curves)
            paths.append(_save(_panels([plot], draw_risk, size=_WIDE), folder / f"risk_{result.name}.png"))
    return paths


def svg_image(data: Any, draw: Callable[["Axes", Any], None], label: str, *, small: bool = False) -> Markup:
    """A plot as an ``img`` element for the page, without its title.

    Args:
        data: the argument of ``draw``, such as a ``RecallPlot``.
        draw: ``draw_recall``, ``draw_reliability`` or ``draw_risk``.
        label: the alternative text.
        small: whether the plot has the size of a panel instead of the page's width.
    """
    from matplotlib import rc_context

    file = BytesIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": label, "font.family": "sans-serif"}):
        figure = _panels([data], draw, size=_SMALL if small else (5.6, 3.7))
        figure.axes[0].set_title("")
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    encoded = base64.b64encode(file.getvalue()).decode()
    return Markup('<img class="chart {}" src="data:image/svg+xml;base64,{}" alt="{}">').format(
        "small" if small else "wide", encoded, label
    )


def draw_recall(axes: "Axes", plot: RecallPlot) -> None:
    """Draw recall by k, with each curve's 95% intervals as a band."""
    for index, (name, points) in enumerate(plot.curves.items()):
        ks = range(1, len(points) + 1)
        style = _style(index)
        axes.plot(ks, [point.value for point in points], label=_literal(name), **style)
        if all(point.low is not None for point in points):
            low, high = [point.low or 0.0 for point in points], [point.high or 0.0 for point in points]
            axes.fill_between(ks, low, high, color=style["color"], alpha=0.13, linewidth=0)
    axes.set(xlabel="k: number of passages", ylabel="recall@k (95% intervals)")
    axes.set_title(_literal(f"{plot.data}, n = {plot.n:,}"))
    lows = [point.value if point.low is None else point.low for curve in plot.curves.values() for point in curve]
    axes.set_ylim(min(int(min(lows) * 10) / 10, 0.9), 1.005)
    axes.set_xticks(range(1, max(map(len, plot.curves.values())) + 1))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc="lower right")


def draw_reliability(axes: "Axes", diagram: Reliability) -> None:
    """Draw accuracy by confidence with intervals, the diagonal of perfect calibration, and bars of the bins' sizes."""
    largest_n = max(each.n for each in diagram.bins)
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1)
    for each in diagram.bins:
        width, height = each.high - each.low, 0.18 * each.n / largest_n  # bars fill the lowest 18 % of the axes
        axes.bar(each.low, height, width, align="edge", color="grey", alpha=0.3, edgecolor="white")
        if each.accuracy.low is not None and each.accuracy.high is not None:
            axes.vlines(each.confidence, each.accuracy.low, each.accuracy.high, color=_COLOURS[0], linewidth=1.2)
    confidence, accuracy = [each.confidence for each in diagram.bins], [each.accuracy.value for each in diagram.bins]
    axes.plot(confidence, accuracy, color=_COLOURS[0], marker="o", markersize=4, linestyle="none", clip_on=False)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    title = f"{diagram.task}, n = {diagram.n:,}\nECE {diagram.ece.value:.3f}"
    _label_panel(axes, title, "confidence", "accuracy")


def draw_risk(axes: "Axes", plot: RiskPlot) -> None:
    """Draw risk by coverage. If all curves end at the same risk, that of all answers, a dashed line marks it."""
    for index, (name, points) in enumerate(plot.curves.items()):
        coverage, risk = [point.coverage for point in points], [point.risk for point in points]
        style = _style(index) | {"marker": "." if len(coverage) < 30 else None}
        axes.step(coverage, risk, where="pre", label=_literal(f"{name}: area {area_under(points):.3f}"), **style)
    overall_risks = {points[-1].risk for points in plot.curves.values()}
    if len(overall_risks) == 1:
        axes.axhline(*overall_risks, color="grey", linestyle="--", linewidth=1)
    stable = [point.risk for points in plot.curves.values() for point in points if point.coverage >= _MIN_COVERAGE]
    axes.set(xlabel="coverage: share of the answers given", ylabel="risk: share of them that is wrong")
    axes.set(xlim=(0, 1), ylim=(0, 1.05 * max(0.1, *stable)))
    task = f": {plot.task}" if plot.task else ""
    axes.set_title(_literal(f"{plot.run}{task}, n = {', '.join(f'{n:,}' for n in plot.n)}"))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize="small", title=plot.order, title_fontsize="small")


def _draw_confusion(axes: "Axes", matrix: Confusion) -> None:
    shares = [[count / max(1, sum(row)) for count in row] for row in matrix.counts]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for y, row in enumerate(matrix.counts):
        for x, count in enumerate(row):
            colour = "white" if shares[y][x] > 0.6 else "black"  # for contrast with the cell's blue
            axes.text(x, y, f"{count}\n{shares[y][x]:.0%}", ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(matrix.columns)), [_literal(name.replace(" ", "\n")) for name in matrix.columns])
    axes.set_yticks(range(len(matrix.rows)), [_literal(name.replace(" ", "\n")) for name in matrix.rows])
    _label_panel(axes, f"{matrix.task}, n = {matrix.n:,}", matrix.column_title, matrix.row_title)


def _draw_map(axes: "Axes", embedding_map: EmbeddingMap) -> None:
    pairs, positions = embedding_map.pairs, embedding_map.positions
    for index, label in enumerate(sorted({pair.label for pair in pairs}, key=_label_order)):
        with_label = [position for pair, position in zip(pairs, positions, strict=True) if pair.label == label]
        question_x, question_y, abstract_x, abstract_y = zip(*with_label, strict=True)
        colour, name = _COLOURS[index % len(_COLOURS)], _literal(label or "no label")
        squares: Mapping[str, Any] = {"marker": "s", "facecolors": "none", "edgecolors": colour, "linewidths": 0.7}
        axes.scatter(question_x, question_y, s=6, color=colour, label=f"question: {name}")
        axes.scatter(abstract_x, abstract_y, s=20, label=f"abstract: {name}", **squares)
    axes.set(xticks=[], yticks=[])
    title = f"{embedding_map.model} over {embedding_map.data}: t-SNE, {len(pairs):,} pairs"
    axes.set_title(_literal(title), fontsize=10)
    axes.figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize="small")


def _label_order(label: str | None) -> tuple[int, str]:
    """Sort key: yes, no, maybe, other labels by name, and last no label."""
    known = ("yes", "no", "maybe")
    return (known.index(label) if label in known else len(known) + (label is None), label or "")


def _literal(text: str) -> str:
    """The text with dollar signs escaped, which matplotlib would read as mathematics."""
    return text.replace("$", r"\$")


def _style(index: int) -> dict[str, Any]:
    """Colour, line and marker of a curve. After six curves the colours repeat, with other lines and markers."""
    repetition, colour = divmod(index, len(_COLOURS))
    line, marker = (colour + repetition) % len(_LINES), index % len(_MARKERS)
    return {"color": _COLOURS[colour], "marker": _MARKERS[marker], "linestyle": _LINES[line]}


def _label_panel(axes: "Axes", title: str, x: str, y: str) -> None:
    axes.tick_params(labelsize=7)
    axes.set_title(_literal(title), fontsize=8)
    axes.set_xlabel(x, fontsize=8)
    axes.set_ylabel(y, fontsize=8)


def _panels(
    data: Sequence[Any],
    draw: Callable[["Axes", Any], None],
    heading: str = "",
    *,
    size: tuple[float, float] = _SMALL,
    columns: int = _COLUMNS,
) -> "Figure":
    """A figure with a panel of ``size`` inches for each item of ``data``, in rows, below a common heading."""
    from matplotlib.figure import Figure  # not from pyplot, which may need a display

    columns = min(len(data), columns)
    rows = ceil(len(data) / columns)
    width = size[0] * (max(columns, 1.5) if heading else columns)  # a heading needs more than one small panel
    figure = Figure(figsize=(width, size[1] * rows + (0.4 if heading else 0)), dpi=150, layout="constrained")
    if heading:
        figure.suptitle(_literal(heading), fontsize=10)
    for number, item in enumerate(data, start=1):
        draw(figure.add_subplot(rows, columns, number), item)
    return figure


def _save(figure: "Figure", path: Path) -> Path:
    with writing(path):
        figure.savefig(path, format="png")
    return path
