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

from eval.report.figures import recall_figures, reliabilities, risk_figures
from eval.report.page import Report, render
from eval.report.projection import EmbeddingMap, MapPair
from eval.report.tasks import read_tasks
from eval.results import write_results

HOSTILE = '</script><script>alert("x")</script><img src=x onerror=alert(1)>\u2028\u202e'


class Page(HTMLParser):
    """The tags of a page, and what stands in its scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.within: dict[str, list[str]] = {"script": [], "style": []}
        self._open: str | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = tag if tag in self.within else None

    def handle_data(self, data: str) -> None:
        if self._open:
            self.within[self._open].append(data)
            self._open = None

    @property
    def data(self) -> dict[str, Any]:
        return json.loads(self.within["script"][0])


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A grid's tasks."""
    return read_tasks([runs.write_grid(tmp_path_factory.mktemp("full"))]).tasks


@pytest.fixture(scope="module")
def html(tasks: Any) -> str:
    """The page of a grid."""
    return render(Report(tasks))


def hostile(tmp_path: Path) -> Report:
    """A report whose texts, names and reasons all try to break out of the page."""
    task = runs.answers("qa_gold", ["yes", "no", None])
    samples = [dict(sample) for sample in task.samples]
    samples[0] |= {"question": HOSTILE, "output": HOSTILE, "notes": [HOSTILE]}
    samples[1] |= {"id": HOSTILE, "retrieved": [{"id": HOSTILE, "score": 1.0}], "question": "\ud800 lone"}
    config = runs.settings(llm={"model": HOSTILE}, data={"path": f"x/{HOSTILE}"})
    write_results(tmp_path / "r<b>&", [replace(task, samples=samples)], config)
    tasks = read_tasks([tmp_path / "r<b>&"]).tasks
    shown = EmbeddingMap(HOSTILE, HOSTILE, HOSTILE, [MapPair("i", HOSTILE, HOSTILE, HOSTILE)], 0, [(0, 0, 1, 1)])
    return Report(
        tasks,
        texts=[{HOSTILE: HOSTILE}],
        maps=[shown],
        gaps=[HOSTILE],
        map_gap=HOSTILE,
        notes=[HOSTILE],
        failures={HOSTILE: HOSTILE},
        published=HOSTILE,
    )


def test_what_stands_in_the_data_stays_text(tmp_path: Path) -> None:
    page = Page(render(hostile(tmp_path)))
    assert [tag for tag, _ in page.tags].count("script") == 2
    images = [dict(attributes) for tag, attributes in page.tags if tag == "img"]
    assert all(set(image) == {"class", "src", "alt"} and image["src"].startswith("data:image/svg") for image in images)
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert [HOSTILE, HOSTILE] in page.data["passages"]
    assert any(HOSTILE in texts for texts in page.data["records"])


def test_the_policy_allows_the_page_s_own_script_and_style_and_nothing_else(html: str) -> None:
    page = Page(html)
    policy = next(attributes["content"] for tag, attributes in page.tags if tag == "meta" and "content" in attributes)
    assert policy is not None
    for text in (page.within["script"][1], page.within["style"][0]):
        assert f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert "http" not in policy


def test_nothing_outside_is_named(html: str) -> None:
    found = set(re.findall(r"https?://[^\s\"'<]+", html))
    assert found == {"http://www.w3.org/2000/svg"}  # a namespace, which is never fetched
    for tag, attributes in Page(html).tags:
        assert not {"srcset", "style", "action"} & set(attributes), tag
        assert (attributes.get("src") or "data:").startswith("data:"), tag
        assert attributes.get("href", "#")[0] in "#d", tag  # an anchor, or data:
    assert "@import" not in html
    assert "url(" not in html


def test_a_report_has_the_parts_that_its_tasks_have(html: str, tmp_path: Path) -> None:
    for part in ("retrieval", "qa", "nli", "verified", "records", "how"):
        assert f'<section id="{part}">' in html
    assert '<section id="map">' not in html
    write_results(tmp_path / "one", [runs.ranking([1])], runs.settings())
    one = render(Report(read_tasks([tmp_path / "one"]).tasks, map_gap="There is no map: bm25 only."))
    assert '<section id="qa">' not in one
    assert "There is no map: bm25 only." in one
    assert "Reliability" not in one
    assert "Confusion" not in one


def test_cells_say_how_many_and_which(tasks: Any, html: str) -> None:
    page = Page(html)
    cells = [attributes for tag, attributes in page.tags if tag == "button" and "data-column" in attributes]
    number = next(place for place, task in enumerate(tasks) if task.name == "qa_gold")
    own = {(cell["data-row"], cell["data-column"]): cell for cell in cells if cell["data-task"] == str(number)}
    yes = [record.label for record in runs.records(8)].count("yes")
    assert own["yes", "yes"]["title"] == f"the right label yes, the label given yes: {yes} of {yes}"
    assert own["yes", "yes"]["class"] == "h9"
    assert own["yes", "no"]["class"] == "h0"


def test_the_values_of_every_chart_are_in_a_table(tasks: Any, html: str) -> None:
    charts = re.findall(r'<img class="chart.*?</figure>', html, re.DOTALL)
    shown = [
        [re.sub(r"<[^>]+>|&[^;]+;", " ", cell).split() for cell in re.findall(r"<td.*?</td>", chart, re.DOTALL)]
        for chart in charts
    ]
    expected = [
        [f"{point.value:.3f}" for curve in one.curves for point in curve.points] for one in recall_figures(tasks)
    ]
    for diagram in reliabilities(tasks):
        values = [(f"{one.confidence:.3f}", f"{one.accuracy.value:.3f}", str(one.n)) for one in diagram.bins]
        expected.append([value for each in values for value in each])
    for risk in risk_figures(tasks):
        ends = [f"{curve.points[-1].risk:.3f}" for curve in risk.curves]
        found = next(
            values for values in shown if len(values) == 10 * len(ends) and values[9::10] == [[e] for e in ends]
        )
        shown.remove(found)
    assert sorted([cell[0] for cell in values] for values in shown) == sorted(expected)


def test_the_prompt_is_left_out(html: str) -> None:
    assert "which no report shows" not in html


@pytest.mark.parametrize("predictions", [["yes"], [None], [None, None]])
def test_the_smallest_reports(tmp_path: Path, predictions: list[str | None]) -> None:
    for confidence in (0.8, None):
        write_results(tmp_path, [runs.answers("qa_none", predictions, confidence=confidence)], runs.settings())
        page = Page(render(Report(read_tasks([tmp_path]).tasks)))
        assert len(page.data["tasks"]) == 1
