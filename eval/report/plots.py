"""Plots of results with matplotlib: PNG files, and SVG images for the report page."""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from eval.report.figures import (
    Confusion,
    RecallFigure,
    Reliability,
    RiskFigure,
    confusions,
    recall_figures,
    reliabilities,
    risk_figures,
    verified_curves,
)
from eval.report.projection import EmbeddingMap
from eval.report.tasks import ReportTask
from eval.results import TaskResult, writing
from eval.tasks.scorers import VERDICTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The colours of Okabe and Ito, which people with any kind of colour vision can distinguish.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#555555")
_LINES = ("-", "--", ":", "-.", "--", ":")
_MARKERS = "os^Dv*"
_WIDE, _SMALL = (7.0, 4.5), (2.9, 2.9)  # inches
_COLUMNS = 4
_MIN_COVERAGE = 0.05  # below it, risk is mostly chance


def write_plots(folder: Path, tasks: Sequence[ReportTask], maps: Sequence[EmbeddingMap]) -> list[Path]:
    """Draw the figures of the tasks, one file for each kind of figure and run.

    ``recall_at_k.png``, ``confusion_RUN.png``, ``reliability_RUN.png``, ``risk_coverage_RUN.png`` and
    ``tsne_EMBEDDER.png``. Characters not allowed in file names become dashes; figures with the same name are numbered.

    Raises:
        UserError: a file cannot be written.
    """
    drawn: dict[str, Figure] = {}

    def keep(name: str, figure: "Figure") -> None:
        stem = re.sub(r"[^\w.-]+", "-", name)
        same = sum(other == stem or re.fullmatch(re.escape(stem) + r"-\d+", other) is not None for other in drawn)
        drawn[f"{stem}-{same + 1}" if same else stem] = figure

    for recall in recall_figures(tasks):
        keep("recall_at_k", _panels([recall], draw_recall, size=_WIDE))
    for run in dict.fromkeys(task.run for task in tasks):
        own = [task for task in tasks if task.run == run]
        if matrices := confusions(own):
            keep(f"confusion_{run}", _panels(matrices, _draw_confusion, f"{run}: share of each row, and counts"))
        if diagrams := reliabilities(own):
            heading = f"{run}: accuracy by confidence (95% intervals)"
            keep(f"reliability_{run}", _panels(diagrams, draw_reliability, heading))
        if curves := risk_figures(own):
            keep(f"risk_coverage_{run}", _panels(curves, draw_risk, size=_WIDE, columns=1))
    for shown in maps:
        keep(shown.file_name, _panels([shown], _draw_map, size=(8.0, 6.0)))
    return [_save(figure, folder / f"{name}.png") for name, figure in drawn.items()]


def write_risk_plots(folder: Path, results: Sequence[TaskResult]) -> list[Path]:
    """Write ``risk_TASK.png`` for each task of verified answers.

    Raises:
        UserError: a file cannot be written.
    """
    paths = []
    for result in results:
        if result.task.scorer == VERDICTS:
            curves = verified_curves(result.samples, result.estimates, "surest by")
            one = RiskFigure(result.name, None, "", (len(result.samples),), curves)
            paths.append(_save(_panels([one], draw_risk, size=_WIDE), folder / f"risk_{result.name}.png"))
    return paths


def svg_image(one: Any, draw: Callable[["Axes", Any], None], label: str, *, small: bool = False) -> Markup:
    """A figure as an ``img`` element for the page, without its title.

    Args:
        one: the figure's data.
        draw: ``draw_recall``, ``draw_reliability`` or ``draw_risk``.
        label: the alternative text.
        small: the size of a panel.
    """
    from matplotlib import rc_context

    file = BytesIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": label, "font.family": "sans-serif"}):
        figure = _panels([one], draw, size=_SMALL if small else (5.6, 3.7))
        figure.axes[0].set_title("")
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    data = base64.b64encode(file.getvalue()).decode()
    return Markup('<img class="chart {}" src="data:image/svg+xml;base64,{}" alt="{}">').format(
        "small" if small else "wide", data, label
    )


def draw_recall(axes: "Axes", one: RecallFigure) -> None:
    """Recall by k, with each curve's 95% intervals as a band."""
    for place, curve in enumerate(one.curves):
        ks = range(1, len(curve.points) + 1)
        style = _style(place)
        axes.plot(ks, [point.value for point in curve.points], label=_literal(curve.name), **style)
        if all(point.low is not None for point in curve.points):
            low, high = [p.low or 0.0 for p in curve.points], [p.high or 0.0 for p in curve.points]
            axes.fill_between(ks, low, high, color=style["color"], alpha=0.13, linewidth=0)
    axes.set(xlabel="k: number of passages", ylabel="recall@k (95% intervals)")
    axes.set_title(_literal(f"{one.data}, n = {one.n:,}"))
    lows = [point.value if point.low is None else point.low for curve in one.curves for point in curve.points]
    axes.set_ylim(min(int(min(lows) * 10) / 10, 0.9), 1.005)
    axes.set_xticks(range(1, max(len(curve.points) for curve in one.curves) + 1))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc="lower right")


def draw_reliability(axes: "Axes", one: Reliability) -> None:
    """Accuracy by confidence with intervals, the diagonal of perfect calibration, and the bins' sizes below."""
    largest = max(each.n for each in one.bins)
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1)
    for each in one.bins:
        width = each.high - each.low
        axes.bar(each.low, 0.18 * each.n / largest, width, align="edge", color="grey", alpha=0.3, edgecolor="white")
        if each.accuracy.low is not None and each.accuracy.high is not None:
            axes.vlines(each.confidence, each.accuracy.low, each.accuracy.high, color=_COLOURS[0], linewidth=1.2)
    confidence, accuracy = [each.confidence for each in one.bins], [each.accuracy.value for each in one.bins]
    axes.plot(confidence, accuracy, color=_COLOURS[0], marker="o", markersize=4, linestyle="none", clip_on=False)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    _small_print(axes, f"{one.task}, n = {one.n:,}\nECE {one.ece.value:.3f}", "confidence", "accuracy")


def draw_risk(axes: "Axes", one: RiskFigure) -> None:
    """Risk by coverage, with a dashed line at the risk of all answers if the curves share it.

    Low coverage does not affect the scale, since risk is mostly chance there.
    """
    for place, curve in enumerate(one.curves):
        coverage, risk = [point.coverage for point in curve.points], [point.risk for point in curve.points]
        style = _style(place) | {"marker": "." if len(coverage) < 30 else None}
        axes.step(coverage, risk, where="pre", label=_literal(f"{curve.name}: area {curve.area:.3f}"), **style)
    overall = {curve.points[-1].risk for curve in one.curves}
    if len(overall) == 1:
        axes.axhline(*overall, color="grey", linestyle="--", linewidth=1)
    settled = [p.risk for curve in one.curves for p in curve.points if p.coverage >= _MIN_COVERAGE]
    axes.set(xlabel="coverage: share of the answers given", ylabel="risk: share of them that is wrong")
    axes.set(xlim=(0, 1), ylim=(0, 1.05 * max(0.1, *settled)))
    task = f": {one.task}" if one.task else ""
    axes.set_title(_literal(f"{one.run}{task}, n = {', '.join(f'{n:,}' for n in one.n)}"))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize="small", title=one.order, title_fontsize="small")


def _draw_confusion(axes: "Axes", one: Confusion) -> None:
    shares = [[count / max(1, sum(row)) for count in row] for row in one.counts]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for y, row in enumerate(one.counts):
        for x, count in enumerate(row):
            colour = "white" if shares[y][x] > 0.6 else "black"
            axes.text(x, y, f"{count}\n{shares[y][x]:.0%}", ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(one.columns)), [_literal(name.replace(" ", "\n")) for name in one.columns])
    axes.set_yticks(range(len(one.rows)), [_literal(name.replace(" ", "\n")) for name in one.rows])
    _small_print(axes, f"{one.task}, n = {one.n:,}", one.column_title, one.row_title)


def _draw_map(axes: "Axes", shown: EmbeddingMap) -> None:
    for place, label in enumerate(sorted({pair.label for pair in shown.pairs}, key=_label_order)):
        own = [at for pair, at in zip(shown.pairs, shown.positions, strict=True) if pair.label == label]
        colour, name = _COLOURS[place % len(_COLOURS)], _literal(label or "no label")
        squares: Mapping[str, Any] = {"marker": "s", "facecolors": "none", "edgecolors": colour, "linewidths": 0.7}
        axes.scatter([at[0] for at in own], [at[1] for at in own], s=6, color=colour, label=f"question: {name}")
        axes.scatter([at[2] for at in own], [at[3] for at in own], s=20, label=f"abstract: {name}", **squares)
    axes.set(xticks=[], yticks=[])
    axes.set_title(_literal(f"{shown.model} over {shown.data}: t-SNE, {len(shown.pairs):,} pairs"), fontsize=10)
    axes.figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize="small")


def _label_order(label: str | None) -> tuple[int, str]:
    known = ("yes", "no", "maybe")
    return (known.index(label) if label in known else len(known) + (label is None), label or "")


def _literal(text: str) -> str:
    """The text with dollar signs escaped, which matplotlib reads as mathematics."""
    return text.replace("$", r"\$")


def _style(place: int) -> dict[str, Any]:
    place %= len(_COLOURS)
    return {"color": _COLOURS[place], "marker": _MARKERS[place], "linestyle": _LINES[place]}


def _small_print(axes: "Axes", title: str, x: str, y: str) -> None:
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
    """A figure with a panel of ``size`` for each of ``data``, in rows, below a common heading."""
    from matplotlib.figure import Figure  # without pyplot, it needs no display

    columns = min(len(data), columns)
    rows = -(-len(data) // columns)
    width = size[0] * (max(columns, 1.5) if heading else columns)
    figure = Figure(figsize=(width, size[1] * rows + (0.4 if heading else 0)), dpi=150, layout="constrained")
    if heading:
        figure.suptitle(_literal(heading), fontsize=10)
    for place, one in enumerate(data, start=1):
        draw(figure.add_subplot(rows, columns, place), one)
    return figure


def _save(figure: "Figure", path: Path) -> Path:
    with writing(path):
        figure.savefig(path, format="png")
    return path
