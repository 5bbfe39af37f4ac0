import base64
from pathlib import Path
from xml.etree import ElementTree

import matplotlib.image
import numpy as np
import pytest
import report_runs as runs
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from common.errors import UserError
from eval.report.figures import RecallPlot, RiskPlot, recall_plots, reliabilities
from eval.report.plots import draw_recall, draw_reliability, draw_risk, svg_image, write_plots, write_risk_plots
from eval.report.projection import EmbeddingMap, MapPair
from eval.report.tasks import read_tasks
from eval.results import TaskResult, write_results
from eval.stats.estimate import Estimate
from eval.stats.selective import RiskPoint
from eval.stats.verification import verification_metrics
from eval.tasks import task_from_name


def make_map(name: str) -> EmbeddingMap:
    pairs = [MapPair(str(n), "q", "a", label) for n, label in enumerate(("yes", "no", None))]
    return EmbeddingMap(name, "model", "data", pairs, 0, [(0.1, 0.2, 0.3, 0.4)] * 3)


def test_write_plots_writes_each_kind_of_plot(tmp_path: Path) -> None:
    paths = write_plots(tmp_path, read_tasks([runs.write_grid(tmp_path / "runs")]).tasks, [make_map("mini/lm")])
    assert [path.name for path in paths] == [
        "recall_at_k.png",
        "confusion_tiny.png",
        "reliability_tiny.png",
        "risk_coverage_tiny.png",
        "tsne_mini-lm.png",
    ]
    for path in paths:
        image = matplotlib.image.imread(path)
        assert min(image.shape[:2]) > 300
        # An empty image would have few colours; every third pixel suffices.
        assert len(np.unique(image[::3, ::3].reshape(-1, image.shape[2]), axis=0)) > 10


def test_plots_with_the_same_file_name_are_numbered(tmp_path: Path) -> None:
    for name in ("a b", "a-b"):
        write_results(tmp_path / "runs" / name, [runs.answers("qa_none", ["yes"], confidence=None)], runs.settings())
    paths = write_plots(tmp_path, read_tasks([tmp_path / "runs"]).tasks, [])
    assert [path.name for path in paths] == ["confusion_a-b.png", "confusion_a-b-2.png"]


def verified_result(*verdicts: str) -> TaskResult:
    samples = [
        {
            "id": str(n),
            "prediction": "yes",
            "target": "yes" if verdict == "supported" else "no",
            "label_scores": {"yes": 0.5 + n / 20},
            "verdict": verdict,
            "verdict_scores": {},
        }
        for n, verdict in enumerate(verdicts)
    ]
    return TaskResult(task_from_name("verified_gold"), verification_metrics(samples), samples)


def test_risk_plots_of_verified_answers_need_no_display(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "tkagg")  # a backend that needs a display
    monkeypatch.delenv("DISPLAY", raising=False)
    result = verified_result("supported", "supported", "contradicted")
    result_with_other_risks = verified_result("supported", "contradicted", "contradicted")
    (path,) = write_risk_plots(tmp_path / "new", [result, runs.ranking([1])])
    assert path.name == "risk_verified_gold.png"
    image = matplotlib.image.imread(path)
    assert min(image.shape[:2]) > 300
    (other_path,) = write_risk_plots(tmp_path / "other", [result_with_other_risks])
    assert (matplotlib.image.imread(other_path) != image).any()


def test_write_risk_plots_refuses_an_unwritable_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written to .*risk_verified_gold\.png"):
        write_risk_plots(tmp_path / "file", [verified_result("supported", "contradicted")])


def draw_risk_curves(*curves: list[tuple[float, float]]) -> Axes:
    """A plot of curves whose points are given as coverage and risk."""
    risk_curves = {f"c{n}": [RiskPoint(x, y, 0.0) for x, y in curve] for n, curve in enumerate(curves)}
    axes = Figure().add_subplot()
    draw_risk(axes, RiskPlot("run", None, "order", (10,), risk_curves))
    return axes


def test_a_line_marks_the_overall_risk_if_all_curves_share_it() -> None:
    assert len(draw_risk_curves([(0.5, 0.0), (1.0, 0.25)]).lines) == 1 + 1  # a curve and the line
    assert len(draw_risk_curves([(1.0, 0.25)], [(1.0, 0.5)]).lines) == 2  # two curves and no line


def test_risk_at_low_coverage_does_not_set_the_scale_of_the_axis() -> None:
    assert draw_risk_curves([(0.01, 1.0), (0.5, 0.1), (1.0, 0.2)]).get_ylim()[1] == pytest.approx(1.05 * 0.2)


def test_recall_has_a_curve_and_an_interval_band_for_each_retriever(tmp_path: Path) -> None:
    (plot,) = recall_plots(read_tasks([runs.write_grid(tmp_path)]).tasks)
    axes = Figure().add_subplot()
    draw_recall(axes, plot)
    assert (len(axes.lines), len(axes.collections)) == (2, 2)
    assert axes.lines[0].get_ydata()[0] == 0.625


def test_each_of_twelve_curves_has_its_own_style() -> None:
    axes = Figure().add_subplot()
    draw_recall(axes, RecallPlot("data", 1, {str(n): [Estimate(0.5)] for n in range(12)}))
    # Colour and line style distinguish the curves without markers.
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.lines}) == 12
    assert len({(line.get_color(), line.get_marker()) for line in axes.lines}) == 12


def test_recall_without_intervals_has_no_band() -> None:
    axes = Figure().add_subplot()
    draw_recall(axes, RecallPlot("data", 1, {"dense": [Estimate(0.0), Estimate(1.0)]}))
    assert not axes.collections


def test_reliability_has_a_bar_and_an_interval_for_each_bin(tmp_path: Path) -> None:
    axes = Figure().add_subplot()
    draw_reliability(axes, reliabilities(read_tasks([runs.write_grid(tmp_path)]).tasks)[0])
    assert (len(axes.patches), len(axes.collections)) == (2, 2)


@pytest.mark.parametrize("name", ['"><script>alert(1)</script>', "$\\frac$", "a $ b", "\u00e9\u4e2d"])
def test_names_are_drawn_literally_and_escaped(name: str) -> None:
    plot = RecallPlot("data", 1, {name: [Estimate(0.5, 0.1, 0.4, 0.6)] * 10})
    image = svg_image(plot, draw_recall, name)
    assert Markup.escape(name) in image
    content = image.partition("base64,")[2].partition('"')[0]
    drawing = ElementTree.fromstring(base64.b64decode(content))
    text = "".join(drawing.itertext())
    assert name in text
    assert not [element for element in drawing.iter() if "script" in element.tag]
