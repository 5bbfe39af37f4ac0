from pathlib import Path

import matplotlib.image
import pytest

from common.errors import UserError
from eval.plots import plot_risk_coverage
from eval.stats.selective import risk_points

POINTS = risk_points([0.9, 0.8, 0.3, 0.1], [True, True, False, True])


def test_the_curves_are_drawn(tmp_path: Path) -> None:
    path = plot_risk_coverage({"one": POINTS}, "verified_gold", tmp_path / "new" / "risk.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    one = matplotlib.image.imread(path)
    assert one.shape[0] > 300
    assert one.shape[1] > 300
    assert len({tuple(pixel) for pixel in one.reshape(-1, one.shape[2]).tolist()}) > 10
    two = matplotlib.image.imread(
        plot_risk_coverage({"one": POINTS, "two": POINTS[1:]}, "verified_gold", tmp_path / "two.png")
    )
    assert (two != one).any()


def test_no_window_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "tkagg")
    monkeypatch.delenv("DISPLAY", raising=False)
    assert plot_risk_coverage({"one": POINTS}, "t", tmp_path / "risk.png").is_file()


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written to .*risk\.png"):
        plot_risk_coverage({"one": POINTS}, "t", tmp_path / "file" / "risk.png")
