import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import report_runs as runs

from eval.report.figures import recall_plots, reliabilities, risk_plots
from eval.report.page import Report, render
from eval.report.projection import EmbeddingMap, MapPair
from eval.report.tasks import read_tasks
from eval.results import write_results

MARKUP = '</script><script>alert("x")</script><img src=x onerror=alert(1)>\u2028\u202e'


class Page(HTMLParser):
    """The tags of a page with their attributes, and the contents of its scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.contents: dict[str, list[str]] = {"script": [], "style": []}
        self._open: str | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = tag if tag in self.contents else None

    def handle_data(self, data: str) -> None:
        if self._open:
            self.contents[self._open].append(data)
            self._open = None

    @property
    def data(self) -> dict[str, Any]:
        """The JSON data, which is the first script; the second is the code."""
        return json.loads(self.contents["script"][0])


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A grid's tasks."""
    return read_tasks([runs.write_grid(tmp_path_factory.mktemp("full"))]).tasks


@pytest.fixture(scope="module")
def html(tasks: Any) -> str:
    """The page of a grid."""
    return render(Report(tasks))


def report_of_markup(tmp_path: Path) -> Report:
    """A report whose texts, names and messages all are markup with scripts."""
    task = runs.answers("qa_gold", ["yes", "no", None])
    samples = [dict(sample) for sample in task.samples]
    samples[0] |= {"question": MARKUP, "output": MARKUP, "notes": [MARKUP]}
    samples[1] |= {"id": MARKUP, "retrieved": [{"id": MARKUP, "score": 1.0}], "question": "\ud800 lone"}
    config = runs.settings(llm={"model": MARKUP}, data={"path": f"x/{MARKUP}"})
    write_results(tmp_path / "r<b>&", [replace(task, samples=samples)], config)
    tasks = read_tasks([tmp_path / "r<b>&"]).tasks
    embedding_map = EmbeddingMap(MARKUP, MARKUP, MARKUP, [MapPair("i", MARKUP, MARKUP, MARKUP)], 0, [(0, 0, 1, 1)])
    return Report(
        tasks,
        texts=[{MARKUP: MARKUP}],
        maps=[embedding_map],
        gaps=[MARKUP],
        map_gap=MARKUP,
        notes=[MARKUP],
        failures={MARKUP: MARKUP},
        published=MARKUP,
    )


def test_markup_in_the_data_stays_text(tmp_path: Path) -> None:
    page = Page(render(report_of_markup(tmp_path)))
    assert [tag for tag, _ in page.tags].count("script") == 2
    images = [dict(attributes) for tag, attributes in page.tags if tag == "img"]
    assert all(set(image) == {"class", "src", "alt"} and image["src"].startswith("data:image/svg") for image in images)
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert [MARKUP, MARKUP] in page.data["passages"]
    assert any(MARKUP in texts for texts in page.data["records"])


def test_content_security_policy_allows_only_the_script_and_style_of_the_page(html: str) -> None:
    page = Page(html)
    policy = next(attributes["content"] for tag, attributes in page.tags if tag == "meta" and "content" in attributes)
    assert policy is not None
    for text in (page.contents["script"][1], page.contents["style"][0]):
        assert f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert "http" not in policy


def test_page_refers_to_no_outside_resource(html: str) -> None:
    addresses = set(re.findall(r"https?://[^\s\"'<]+", html))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a namespace, which is never fetched
    for tag, attributes in Page(html).tags:
        assert not {"srcset", "style", "action"} & set(attributes), tag
        assert (attributes.get("src") or "data:").startswith("data:"), tag
        assert attributes.get("href", "#")[0] in "#d", tag  # an anchor, or data:
    assert "@import" not in html
    assert "url(" not in html


def test_page_has_only_the_sections_of_its_tasks(html: str, tmp_path: Path) -> None:
    for section in ("retrieval", "qa", "nli", "verified", "records", "how"):
        assert f'<section id="{section}">' in html
    assert '<section id="map">' not in html
    write_results(tmp_path / "one", [runs.ranking([1])], runs.settings())
    retrieval_page = render(Report(read_tasks([tmp_path / "one"]).tasks, map_gap="There is no map: bm25 only."))
    assert '<section id="qa">' not in retrieval_page
    assert "There is no map: bm25 only." in retrieval_page
    assert "Reliability" not in retrieval_page
    assert "Confusion" not in retrieval_page


def test_confusion_cells_have_counts_as_tooltip_and_shares_as_shade(tasks: Any, html: str) -> None:
    page = Page(html)
    cells = [attributes for tag, attributes in page.tags if tag == "button" and "data-column" in attributes]
    number = next(index for index, task in enumerate(tasks) if task.name == "qa_gold")
    of_task = {(cell["data-row"], cell["data-column"]): cell for cell in cells if cell["data-task"] == str(number)}
    n_yes = [record.label for record in runs.records(8)].count("yes")
    assert of_task["yes", "yes"]["title"] == f"the right label yes, the label given yes: {n_yes} of {n_yes}"
    assert of_task["yes", "yes"]["class"] == "h9"  # the darkest shade
    assert of_task["yes", "no"]["class"] == "h0"


def test_values_of_every_plot_are_in_a_table(tasks: Any, html: str) -> None:
    charts = re.findall(r'<img class="chart.*?</figure>', html, re.DOTALL)
    tables = [
        [re.sub(r"<[^>]+>|&[^;]+;", " ", cell).split()[0] for cell in re.findall(r"<td.*?</td>", chart, re.DOTALL)]
        for chart in charts
    ]
    for recall in recall_plots(tasks):
        tables.remove([f"{point.value:.3f}" for points in recall.curves.values() for point in points])
    for diagram in reliabilities(tasks):
        values = [(f"{each.confidence:.3f}", f"{each.accuracy.value:.3f}", str(each.n)) for each in diagram.bins]
        tables.remove([value for of_bin in values for value in of_bin])
    for risk in risk_plots(tasks):  # ten coverages per curve, the last of which is 100 %
        overall = [f"{points[-1].risk:.3f}" for points in risk.curves.values()]
        tables.remove(next(cells for cells in tables if len(cells) == 10 * len(overall) and cells[9::10] == overall))
    assert tables == []


@pytest.mark.parametrize("predictions", [["yes"], [None], [None, None]])
def test_reports_of_one_and_two_records_are_rendered(tmp_path: Path, predictions: list[str | None]) -> None:
    for confidence in (0.8, None):
        write_results(tmp_path, [runs.answers("qa_none", predictions, confidence=confidence)], runs.settings())
        page = Page(render(Report(read_tasks([tmp_path]).tasks)))
        assert len(page.data["tasks"]) == 1
