import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import report_runs as runs

from eval.report import svg
from eval.report.figures import RecallCurve, RecallFigure, RiskCurve, RiskFigure, recall_figures, reliabilities
from eval.report.tasks import read_tasks
from eval.stats.estimate import Estimate
from eval.stats.selective import RiskPoint

HOSTILE = '"><script>alert(1)</script>'


def parsed(markup: str) -> ElementTree.Element:
    return ElementTree.fromstring(markup)


def classes(chart: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [part for part in chart.iter() if name in part.get("class", "").split()]


def test_a_mark_puts_the_figure_between_its_bounds() -> None:
    mark = parsed(svg.interval_mark(Estimate(0.5, 0.1, 0.25, 0.75), published=0.9))
    (whisker,), (dot,), (tick,) = (classes(mark, name) for name in ("whisker", "dot", "published"))
    assert (whisker.get("x1"), whisker.get("x2"), dot.get("cx"), tick.get("x1")) == ("25.0%", "75.0%", "50.0%", "90.0%")


def test_a_mark_without_an_interval_is_a_point() -> None:
    mark = parsed(svg.interval_mark(Estimate(1.2)))
    assert classes(mark, "whisker") == []
    assert classes(mark, "dot")[0].get("cx") == "100.0%"


def test_a_plane_puts_values_where_they_belong() -> None:
    plane = svg.Plane((0, 2), (0, 1))
    assert plane.x(0) < plane.x(1) < plane.x(2)
    assert plane.x(1) == pytest.approx((plane.x(0) + plane.x(2)) / 2)
    assert plane.y(1) < plane.y(0)  # pixels count from the top


def test_recall_has_a_curve_and_a_band_for_each_retriever(tmp_path: Path) -> None:
    (figure,) = recall_figures(read_tasks([runs.full(tmp_path)]).tasks)
    chart = parsed(svg.recall_chart(figure))
    assert len(classes(chart, "curve")) == len(classes(chart, "band")) == 2
    assert len(classes(chart, "marker")) == 20
    told = [title.text for title in chart.iter("title")]
    assert told[0] == "dense: recall@1 0.625 (0.306\u20130.863)"
    assert chart.get("aria-label") == "Recall at k of dense, bm25, n = 8"


def test_of_one_question_there_is_no_band() -> None:
    figure = RecallFigure("data", 1, [RecallCurve("dense", [Estimate(0.0), Estimate(1.0)])])
    assert classes(parsed(svg.recall_chart(figure)), "band") == []


def test_names_cannot_break_out() -> None:
    figure = RecallFigure("data", 1, [RecallCurve(HOSTILE, [Estimate(0.5, 0.1, 0.4, 0.6)] * 10)])
    assert HOSTILE not in svg.recall_chart(figure)
    assert HOSTILE in parsed(svg.recall_chart(figure)).get("aria-label", "")


def risk(*curves: list[tuple[float, float]]) -> ElementTree.Element:
    made = [RiskCurve(f"c{n}", [RiskPoint(x, y, 0.0) for x, y in points], 0.0) for n, points in enumerate(curves)]
    return parsed(svg.risk_chart(RiskFigure("run", None, "order", (10,), made)))


def ticks(chart: ElementTree.Element) -> set[str | None]:
    return {part.text for part in classes(chart, "end")}


def test_risk_is_drawn_in_steps_to_the_risk_of_all() -> None:
    chart = risk([(0.5, 0.0), (1.0, 0.25)])
    (curve,) = classes(chart, "curve")
    assert curve.get("d", "").count("L") == 2  # along, then up
    assert len(classes(chart, "reference")) == 1
    assert ticks(chart) == {"0", "0.1", "0.2", "0.3"}


def test_curves_that_end_at_different_risks_have_no_common_line() -> None:
    assert classes(risk([(1.0, 0.25)], [(1.0, 0.5)]), "reference") == []


def test_the_first_few_answers_do_not_stretch_the_scale() -> None:
    chart = risk([(0.01, 1.0), (0.5, 0.1), (1.0, 0.2)])
    assert "0.2" in ticks(chart)
    assert "1" not in ticks(chart)
    heights = [float(y) for y in re.findall(r",(-?[\d.]+)", classes(chart, "curve")[0].get("d", ""))]
    assert min(heights) == pytest.approx(svg.Plane((0, 1), (0, 0.2)).y(0.2))


def test_reliability_has_a_point_and_an_error_bar_for_each_bin(tmp_path: Path) -> None:
    figure = reliabilities(read_tasks([runs.full(tmp_path)]).tasks)[0]
    chart = parsed(svg.reliability_chart(figure))
    assert len(classes(chart, "marker")) == len(classes(chart, "error")) == len(classes(chart, "count")) == 2


def test_a_long_curve_has_few_markers() -> None:
    chart = risk([(n / 500, 0.1) for n in range(1, 501)])
    assert 5 <= len(classes(chart, "marker")) <= 12


def test_a_legend_has_the_sign_of_its_curve() -> None:
    key = parsed(svg.legend_key(svg.MARKERS + 1))
    assert classes(key, "s1")
