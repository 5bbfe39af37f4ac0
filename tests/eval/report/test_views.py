from xml.etree import ElementTree

from eval.report.views import Cell, Row, View, figure, interval_mark, number, signed
from eval.stats.estimate import Estimate


def view(*runs: str) -> View:
    rows = tuple(Row(f"row {n}", cells={"run": Cell(run), "n": number(1000)}) for n, run in enumerate(runs))
    return View("title", "task", ("run", "n"), (*rows, Row("reference", cells={"n": number(1)}, is_reference=True)))


def test_a_column_that_says_the_same_everywhere_is_dropped() -> None:
    assert view("a", "a").without_constant("run").columns == ("n",)
    assert view("a", "b").without_constant("run").columns == ("run", "n")


def test_columns_of_figures_are_known() -> None:
    assert view("a").is_figure("n")
    assert not view("a").is_figure("run")
    assert not view("a").is_marked("n")
    assert view("a").rows[0].cell("none") == Cell()


def test_figures_carry_their_interval() -> None:
    cell = figure(Estimate(0.5, 0.1, 0.25, 0.75), published=0.4, marked=True)
    assert (cell.text, cell.interval, cell.published) == ("0.500", "0.250\u20130.750", "0.400")
    assert "<svg" in cell.mark
    assert figure(Estimate(0.5)).interval == ""


def test_differences_carry_their_sign() -> None:
    assert signed(Estimate(0.1, 0.1, -0.02, 0.2)) == Cell("+0.100", "-0.020 to +0.200", is_figure=True)
    assert signed(Estimate(-0.1)).text == "-0.100"


def test_counts_are_grouped() -> None:
    assert number(12345.0).text == "12,345"


def parts_of(mark: str) -> dict[str, dict[str, str]]:
    return {part.get("class", ""): part.attrib for part in ElementTree.fromstring(mark)}


def test_a_mark_puts_the_figure_between_its_bounds() -> None:
    parts = parts_of(interval_mark(Estimate(0.5, 0.1, 0.25, 0.75), published=0.9))
    assert (parts["whisker"]["x1"], parts["whisker"]["x2"]) == ("25.0%", "75.0%")
    assert (parts["dot"]["cx"], parts["published"]["x1"]) == ("50.0%", "90.0%")


def test_a_mark_without_an_interval_is_a_point() -> None:
    parts = parts_of(interval_mark(Estimate(1.2)))
    assert "whisker" not in parts
    assert parts["dot"]["cx"] == "100.0%"
