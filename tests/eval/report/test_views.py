from xml.etree import ElementTree

from eval.report.views import Cell, Row, View, count_cell, difference_cell, draw_interval, metric_cell
from eval.stats.estimate import Estimate


def make_view(*runs: str) -> View:
    """A table with a row for each of ``runs`` and a reference row, which has no run."""
    rows = tuple(Row(f"row {n}", cells={"run": Cell(run), "n": count_cell(1000)}) for n, run in enumerate(runs))
    return View("title", "task", ("run", "n"), (*rows, Row("reference", cells={"n": count_cell(1)}, is_reference=True)))


def test_without_constant_drops_a_column_of_equal_cells() -> None:
    assert make_view("a", "a").without_constant("run").columns == ("n",)
    assert make_view("a", "b").without_constant("run").columns == ("run", "n")


def test_a_column_is_numeric_or_drawn_if_its_cells_are() -> None:
    assert make_view("a").is_numeric("n")
    assert not make_view("a").is_numeric("run")
    assert not make_view("a").is_drawn("n")
    assert make_view("a").rows[0].cell("none") == Cell()


def test_metric_cell_has_interval_drawing_and_published_value() -> None:
    cell = metric_cell(Estimate(0.5, 0.1, 0.25, 0.75), published=0.4, with_drawing=True)
    assert (cell.text, cell.interval, cell.published) == ("0.500", "0.250\u20130.750", "0.400")
    assert "<svg" in cell.drawing
    assert metric_cell(Estimate(0.5)).interval == ""


def test_difference_cell_has_signs() -> None:
    assert difference_cell(Estimate(0.1, 0.1, -0.02, 0.2)) == Cell("+0.100", "-0.020 to +0.200", is_numeric=True)
    assert difference_cell(Estimate(-0.1)).text == "-0.100"


def test_count_cell_groups_thousands() -> None:
    assert count_cell(12345.0).text == "12,345"


def elements_by_class(svg: str) -> dict[str, dict[str, str]]:
    return {element.get("class", ""): element.attrib for element in ElementTree.fromstring(svg)}


def test_drawing_places_value_interval_and_published_value() -> None:
    elements = elements_by_class(draw_interval(Estimate(0.5, 0.1, 0.25, 0.75), published=0.9))
    assert (elements["whisker"]["x1"], elements["whisker"]["x2"]) == ("25.0%", "75.0%")
    assert (elements["dot"]["cx"], elements["published"]["x1"]) == ("50.0%", "90.0%")


def test_drawing_without_interval_is_a_point_within_the_scale() -> None:
    elements = elements_by_class(draw_interval(Estimate(1.2)))
    assert "whisker" not in elements
    assert elements["dot"]["cx"] == "100.0%"
