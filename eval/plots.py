"""Figures as PNG files."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from common.errors import UserError
from eval.results import TaskResult
from eval.stats.selective import RiskPoint
from eval.stats.verification import risk_curves
from eval.tasks.scorers import VERDICTS

_ORDERS = {"aurc": "surest by the verdict's support", "aurc_confidence": "surest by the answer's own confidence"}


def write_risk_plots(folder: Path, results: Sequence[TaskResult]) -> list[Path]:
    """Write ``risk_TASK.png`` for each task with verdicts on answers that can be right.

    Raises:
        UserError: a file cannot be written.
    """
    return [
        plot_risk_coverage(
            {_ORDERS[metric]: points for metric, points in risk_curves(result.samples).items()},
            result.name,
            folder / f"risk_{result.name}.png",
        )
        for result in results
        if result.task.scorer == VERDICTS
    ]


def plot_risk_coverage(curves: Mapping[str, Sequence[RiskPoint]], title: str, path: Path) -> Path:
    """Draw risk-coverage curves, by name, into one PNG file; a dashed line shows the risk of all answers.

    Args:
        curves: all over the same answers; at least one.
        title: of the figure.
        path: of the file; its folder is made if absent.

    Raises:
        UserError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    for name, points in curves.items():
        coverage, risk = [point.coverage for point in points], [point.risk for point in points]
        axes.step(coverage, risk, where="pre", marker="." if len(points) < 30 else None, label=name)
    overall = next(iter(curves.values()))[-1].risk
    axes.axhline(overall, color="grey", linestyle="--", linewidth=1, label="all answers")
    axes.set(title=title, xlabel="coverage: share of the answers given", ylabel="risk: share of them that is wrong")
    axes.set(xlim=(0, 1), ylim=(0, None))
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize="small")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="png")  # drawn by Agg: a figure made without pyplot needs no display
    except OSError as error:
        raise UserError(
            f"The figure cannot be written to {path}: {error.strerror or error}. Name another --output folder."
        ) from error
    return path
