"""The report's figures as PNG files."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import UserError
from eval.report.figures import (
    Confusion,
    RecallFigure,
    Reliability,
    RiskFigure,
    confusions,
    recall_figures,
    reliabilities,
    risk_figures,
)
from eval.report.projection import EmbeddingMap
from eval.report.tasks import ReportTask

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which people with any kind of colour vision tell apart.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#555555")
_MARKERS = "os^Dv*"
_WIDE = (7.0, 4.5)
_SMALL = 2.9  # inches: a panel's side
_COLUMNS = 4


def write_plots(folder: Path, tasks: Sequence[ReportTask], maps: Sequence[EmbeddingMap]) -> list[Path]:
    """Draw the figures of the tasks, one file for each kind of figure and run.

    ``recall_at_k.png``, ``confusion_RUN.png``, ``reliability_RUN.png``, ``risk_coverage_RUN.png`` and
    ``tsne_EMBEDDER.png``. Characters that a file name cannot have become dashes, and a second figure with the same name
    is numbered.

    Raises:
        UserError: a file cannot be written.
    """
    drawn: dict[str, Figure] = {}

    def keep(name: str, figure: "Figure") -> None:
        stem = re.sub(r"[^\w.-]+", "-", name)
        same = sum(other == stem or re.fullmatch(re.escape(stem) + r"-\d+", other) is not None for other in drawn)
        drawn[f"{stem}-{same + 1}" if same else stem] = figure

    for recall in recall_figures(tasks):
        keep("recall_at_k", _recall(recall))
    for run in dict.fromkeys(task.run for task in tasks):
        own = [task for task in tasks if task.run == run]
        if matrices := confusions(own):
            keep(f"confusion_{run}", _confusions(run, matrices))
        if diagrams := reliabilities(own):
            keep(f"reliability_{run}", _reliabilities(run, diagrams))
        if curves := risk_figures(own):
            keep(f"risk_coverage_{run}", _risks(run, curves))
    for shown in maps:
        keep(shown.file_name, _map(shown))
    return [_save(figure, folder / f"{name}.png") for name, figure in drawn.items()]


def _recall(one: RecallFigure) -> "Figure":
    figure = _figure(_WIDE)
    axes = figure.add_subplot()
    for place, curve in enumerate(one.curves):
        ks = range(1, len(curve.points) + 1)
        style = _style(place)
        axes.plot(ks, [point.value for point in curve.points], label=curve.name, **style)
        if all(point.low is not None for point in curve.points):
            low, high = [p.low or 0.0 for p in curve.points], [p.high or 0.0 for p in curve.points]
            axes.fill_between(ks, low, high, color=style["color"], alpha=0.13, linewidth=0)
    axes.set(title=f"{one.data}, n = {one.n:,}", xlabel="k: passages looked at", ylabel="recall@k (95% intervals)")
    axes.set_xticks(range(1, max(len(curve.points) for curve in one.curves) + 1))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc="lower right")
    return figure


def _confusions(run: str, matrices: Sequence[Confusion]) -> "Figure":
    figure, panels = _panels(len(matrices), f"{run}: share of each row, and counts")
    for axes, one in zip(panels, matrices, strict=True):
        shares = [[count / max(1, sum(row)) for count in row] for row in one.counts]
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for y, row in enumerate(one.counts):
            for x, count in enumerate(row):
                colour = "white" if shares[y][x] > 0.6 else "black"
                axes.text(x, y, f"{count}\n{shares[y][x]:.0%}", ha="center", va="center", color=colour, fontsize=8)
        axes.set_xticks(range(len(one.columns)), [name.replace(" ", "\n") for name in one.columns], fontsize=7)
        axes.set_yticks(range(len(one.rows)), [name.replace(" ", "\n") for name in one.rows], fontsize=7)
        axes.set_title(f"{one.task}, n = {one.n:,}", fontsize=8)
        axes.set_xlabel(one.column_title, fontsize=8)
        axes.set_ylabel(one.row_title, fontsize=8)
    return figure


def _reliabilities(run: str, diagrams: Sequence[Reliability]) -> "Figure":
    figure, panels = _panels(len(diagrams), f"{run}: accuracy by confidence (95% intervals)")
    for axes, one in zip(panels, diagrams, strict=True):
        largest = max(each.n for each in one.bins)
        axes.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1)
        for each in one.bins:
            axes.bar(
                each.low,
                0.18 * each.n / largest,
                width=each.high - each.low,
                align="edge",
                color="grey",
                alpha=0.3,
                edgecolor="white",
            )
            if each.accuracy.low is not None and each.accuracy.high is not None:
                axes.vlines(each.confidence, each.accuracy.low, each.accuracy.high, color=_COLOURS[0], linewidth=1.2)
        confidence, accuracy = [each.confidence for each in one.bins], [each.accuracy.value for each in one.bins]
        axes.plot(confidence, accuracy, color=_COLOURS[0], marker="o", markersize=4, linestyle="none", clip_on=False)
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.tick_params(labelsize=7)
        axes.set_title(f"{one.task}, n = {one.n:,}\nECE {one.ece.value:.3f}", fontsize=8)
        axes.set_xlabel("confidence", fontsize=8)
        axes.set_ylabel("accuracy", fontsize=8)
    return figure


def _risks(run: str, curves: Sequence[RiskFigure]) -> "Figure":
    figure = _figure((_WIDE[0], _WIDE[1] * len(curves)))
    for row, one in enumerate(curves, start=1):
        axes = figure.add_subplot(len(curves), 1, row)
        for place, curve in enumerate(one.curves):
            coverage, risk = [point.coverage for point in curve.points], [point.risk for point in curve.points]
            style = _style(place) | {"marker": "." if len(coverage) < 30 else None}
            axes.step(coverage, risk, where="pre", label=f"{curve.name}: area {curve.area:.3f}", **style)
        title = f"{run}{': ' + one.task if one.task else ''}, n = {', '.join(f'{n:,}' for n in one.n)}"
        axes.set(title=title, xlabel="coverage: share of the answers given", ylabel="risk: share of them that is wrong")
        axes.set(xlim=(0, 1), ylim=(0, None))
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize="small", title=one.order, title_fontsize="small")
    return figure


def _map(shown: EmbeddingMap) -> "Figure":
    figure = _figure((8.0, 6.0))
    axes = figure.add_subplot()
    for place, label in enumerate(sorted({pair.label for pair in shown.pairs}, key=_label_order)):
        own = [at for pair, at in zip(shown.pairs, shown.positions, strict=True) if pair.label == label]
        colour, name = _COLOURS[place % len(_COLOURS)], label or "no label"
        axes.scatter([at[0] for at in own], [at[1] for at in own], s=6, color=colour, label=f"question: {name}")
        axes.scatter(
            [at[2] for at in own],
            [at[3] for at in own],
            s=20,
            marker="s",
            facecolors="none",
            edgecolors=colour,
            linewidths=0.7,
            label=f"abstract: {name}",
        )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(f"{shown.model} over {shown.data}: t-SNE, {len(shown.pairs):,} pairs", fontsize=10)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize="small")
    return figure


def _label_order(label: str | None) -> tuple[int, str]:
    known = ("yes", "no", "maybe")
    return (known.index(label) if label in known else len(known) + (label is None), label or "")


def _style(place: int) -> dict[str, Any]:
    place %= len(_COLOURS)
    return {"color": _COLOURS[place], "marker": _MARKERS[place], "linestyle": ("-", "--", ":", "-.", "--", ":")[place]}


def _panels(count: int, title: str) -> "tuple[Figure, list[Axes]]":
    """A figure with ``count`` small panels in rows."""
    columns = min(count, _COLUMNS)
    rows = -(-count // columns)
    figure = _figure((_SMALL * max(columns, 1.5), _SMALL * rows + 0.4))
    figure.suptitle(title, fontsize=10)
    return figure, [figure.add_subplot(rows, columns, place + 1) for place in range(count)]


def _figure(size: tuple[float, float]) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=size, dpi=150, layout="constrained")  # made without pyplot: it needs no display


def _save(figure: "Figure", path: Path) -> Path:
    try:
        figure.savefig(path, format="png")
    except OSError as error:
        raise UserError(
            f"The figure cannot be written to {path}: {error.strerror or error}. Name another --output folder."
        ) from error
    return path
