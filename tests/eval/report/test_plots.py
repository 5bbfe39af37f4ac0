from pathlib import Path

import matplotlib.image
import pytest
import report_runs as runs

from common.errors import UserError
from eval.report.plots import write_plots
from eval.report.projection import EmbeddingMap, MapPair
from eval.report.tasks import read_tasks
from eval.results import write_results


def embedding_map(name: str) -> EmbeddingMap:
    pairs = [MapPair(str(n), "q", "a", label) for n, label in enumerate(("yes", "no", None))]
    return EmbeddingMap(name, "model", "data", pairs, 0, [(0.1, 0.2, 0.3, 0.4)] * 3)


def test_each_kind_of_figure_is_drawn(tmp_path: Path) -> None:
    paths = write_plots(tmp_path, read_tasks([runs.full(tmp_path / "runs")]).tasks, [embedding_map("mini/lm")])
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
        assert len({tuple(pixel) for pixel in image[::3, ::3].reshape(-1, image.shape[2]).tolist()}) > 10


def test_names_that_fall_together_are_numbered(tmp_path: Path) -> None:
    for name in ("a b", "a-b"):
        write_results(tmp_path / "runs" / name, [runs.answers("qa_none", ["yes"], confidence=None)], runs.settings())
    paths = write_plots(tmp_path, read_tasks([tmp_path / "runs"]).tasks, [])
    assert [path.name for path in paths] == ["confusion_a-b.png", "confusion_a-b-2.png"]


def test_rankings_alone_have_one_figure(tmp_path: Path) -> None:
    write_results(tmp_path / "runs", [runs.ranking([1])], runs.settings())
    assert [path.name for path in write_plots(tmp_path, read_tasks([tmp_path / "runs"]).tasks, [])] == [
        "recall_at_k.png"
    ]


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    write_results(tmp_path / "runs", [runs.ranking([1])], runs.settings())
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written to"):
        write_plots(tmp_path / "file", read_tasks([tmp_path / "runs"]).tasks, [])
