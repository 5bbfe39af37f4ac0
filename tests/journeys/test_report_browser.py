"""The page of ``medground report`` in headless Chromium, in light and dark themes and wide and narrow windows."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import report_runs as runs
from chromium import Visit, chromium
from scripted_answers import evaluate_scripted

from corpus.records import LABELS
from eval.report.page import Report, write_report
from eval.report.projection import EmbeddingMap, MapPair
from eval.report.tasks import read_tasks
from eval.results import TaskResult, write_results
from eval.stats.estimate import Estimate
from eval.tasks import task_from_name

pytestmark = pytest.mark.slow

CHANGED_FILTER = "input[name=show][value=changed]"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a grid over eight records, with two embedding maps."""
    folder = tmp_path_factory.mktemp("report")
    tasks = read_tasks([runs.write_grid(folder / "runs")]).tasks
    texts = {record.id: record.context for record in runs.records(40)}
    pairs = [MapPair(record.id, record.question, record.context, record.label) for record in runs.records(8)]
    points = [(0.1 * n, 0.1, 0.1 * n, 0.9) for n in range(8)]  # each question straight below its abstract
    maps = [EmbeddingMap(name, name, "sample, all", pairs, 0, points) for name in ("minilm", "other")]
    return write_report(folder, Report(tasks, texts=[texts] * len(tasks), maps=maps, notes=["A note."]))[0]


Show = Callable[..., Any]


@pytest.fixture
def show(browser: Any) -> Iterator[Show]:
    """Open a file in a new browser context; fails at the end if the page logged anything or requested another URL."""
    visits: list[tuple[str, Visit]] = []

    def open_file(path: Path, width: int = 1440, theme: str = "light") -> Any:
        page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme).new_page()
        visits.append((path.as_uri(), visit := Visit(page)))
        page.on("console", lambda message: visit.errors.append(message.text))
        page.on("pageerror", lambda error: visit.errors.append(str(error)))
        page.on("request", lambda request: visit.requests.append(request.url))
        page.goto(path.as_uri())
        return page

    yield open_file
    for url, visit in visits:
        assert visit.errors == []
        assert {request for request in visit.requests if not request.startswith("data:")} == {url}
        visit.page.context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_page_fits_the_window(report: Path, show: Show, width: int, theme: str) -> None:
    page = show(report, width, theme)
    for summary in page.locator("section details.more > summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") is (theme == "light")


def test_chosen_theme_survives_a_reload(report: Path, show: Show) -> None:
    page = show(report)
    page.click("#theme")
    page.click("#theme")
    assert page.inner_text("#theme") == "Theme: dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    page.reload()
    assert page.inner_text("#theme") == "Theme: dark"


def test_text_has_sufficient_contrast_in_both_themes(report: Path, show: Show) -> None:
    for theme in ("light", "dark"):
        page = show(report, theme=theme)
        assert min(page.evaluate(CONTRAST_SCRIPT)) >= 4.5  # WCAG 2.2, level AA


def test_hovering_a_question_in_the_map_shows_its_abstract(report: Path, show: Show) -> None:
    page = show(report)
    third = runs.records(8)[2]
    page.locator("#plane circle.q").nth(2).hover(force=True)
    line = page.locator("#plane line.join")
    assert float(line.get_attribute("y1")) > float(line.get_attribute("y2"))
    assert third.question in page.inner_text("#map-pair")
    assert third.context.split("\n")[0] in page.inner_text("#map-pair")
    page.click("#map-pair button")
    assert page.inner_text("#detail h3") == third.question


def test_map_works_by_keyboard(report: Path, show: Show) -> None:
    page = show(report)
    page.focus("#tab-1")
    page.keyboard.press("ArrowLeft")
    assert page.get_attribute("#tab-0", "aria-selected") == "true"
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    assert runs.records(8)[1].question in page.inner_text("#map-pair")
    page.keyboard.press("Escape")
    assert page.locator("#plane line.join").count() == 0


def test_filters_select_records(report: Path, show: Show) -> None:
    page = show(report)
    choose_task(page, "qa_none")
    correct = [record.label == label for record, label in zip(runs.records(8), runs.PREDICTIONS, strict=True)]
    assert shown_count(page) == 8
    page.check("input[name=show][value=right]", force=True)
    assert shown_count(page) == sum(correct)
    page.check("input[name=show][value=wrong]", force=True)
    assert shown_count(page) == 8 - sum(correct)
    page.select_option("#given", "unparsed")
    assert shown_count(page) == 1
    assert page.inner_text("#detail h3") == runs.records(8)[6].question  # the record whose prediction is None
    page.select_option("#given", "")
    page.check("input[name=show][value=all]", force=True)
    page.fill("#search", runs.records(8)[3].id)
    assert shown_count(page) == 1
    page.fill("#search", "no such words")
    assert page.inner_text("#list") == "No record fits these filters."


def test_filter_selects_records_that_changed_between_two_tasks(report: Path, show: Show) -> None:
    page = show(report)
    choose_task(page, "qa_none")
    choose_task(page, "qa_gold", "#other")
    page.check(CHANGED_FILTER, force=True)
    changed = [record.label != label for record, label in zip(runs.records(8), runs.PREDICTIONS, strict=True)]
    assert shown_count(page) == sum(changed)  # qa_gold is always correct
    choose_task(page, "nli")
    assert page.is_disabled(CHANGED_FILTER)
    assert shown_count(page) == 8
    choose_task(page, "retrieval_dense")
    page.check(CHANGED_FILTER, force=True)
    assert shown_count(page) == 3  # dense ranks the abstracts of three questions below 1, or not at all


def test_confusion_matrix_cell_selects_its_records(report: Path, show: Show) -> None:
    page = show(report)
    for row, column in (("no", "no"), ("maybe", "maybe")):
        cell = page.locator(f'.confusion button[data-row="{row}"][data-column="{column}"]').first
        cell.click()
        assert shown_count(page) == int(cell.inner_text().split()[0])
    verified = page.locator('.confusion button[data-row="right"][data-column="supported"]').first
    verified.click()
    assert shown_count(page) == int(verified.inner_text().split()[0])


def test_record_shows_answer_verdict_and_retrieval(report: Path, show: Show) -> None:
    page = show(report)
    choose_task(page, "verified_gold")
    record = runs.records(1)[0]
    detail = page.inner_text("#detail")
    assert record.question in detail
    assert "supported" in detail
    assert f"{record.question} The answer is yes." in detail
    assert page.inner_text("#detail mark") == record.context.split(".")[0] + "."
    assert page.locator("#detail .badge").all_inner_texts() == ["own abstract", "decided the verdict"]
    assert [float(bar.get_attribute("value")) for bar in page.locator("#detail meter").all()[:3]] == [0.8, 0.1, 0.1]
    page.click("#detail table button:has-text('Retrieval: bm25')")
    assert "found at place 1" in page.inner_text("#detail")
    choose_task(page, "nli")
    assert "Pain fell by 0." in page.inner_text("#detail")


def test_records_are_ordered_by_the_probability_of_the_predicted_label(tmp_path: Path, show: Show) -> None:
    task = runs.answers(
        "qa_none",
        ["yes", "no", "maybe"],
        label_scores=[
            {"yes": 0.5, "no": 0.3, "maybe": 0.2},
            {"yes": 0.7, "no": 0.2, "maybe": 0.1},  # the greatest probability is not that of the prediction
            {"yes": 0.3, "no": 0.3, "maybe": 0.4},
        ],
    )
    write_results(tmp_path / "run", [task], runs.settings())
    page = show(write_report(tmp_path, Report(read_tasks([tmp_path / "run"]).tasks))[0])
    page.select_option("#order", "unsure")
    predictions = [text.split(" \u00b7 ")[1].split(",")[0] for text in page.locator("#list .said").all_inner_texts()]
    assert predictions == ["no", "maybe", "yes"]


def test_list_works_by_keyboard(report: Path, show: Show) -> None:
    page = show(report)
    choose_task(page, "qa_none")
    page.focus("#list")
    page.keyboard.press("ArrowDown")
    assert page.inner_text("#detail h3") == runs.records(8)[1].question
    page.keyboard.press("End")
    assert page.inner_text("#detail h3") == runs.records(8)[7].question
    assert page.get_attribute("#list", "aria-activedescendant") == "record-7"


def test_markup_in_texts_is_shown_as_text(tmp_path: Path, show: Show) -> None:
    text = "</script><img src=x onerror=alert(1)> <b>\u202ebold</b> \U0001f9ea " + "long " * 5000
    task = runs.answers("qa_gold", ["yes", None], confidence=None, output=[text, None], question=[text, "q"])
    write_results(tmp_path / "run", [task], runs.settings())
    tasks = read_tasks([tmp_path / "run"]).tasks
    texts = {sample["id"]: text for sample in task.samples}
    page = show(write_report(tmp_path, Report(tasks, texts=[texts]))[0], 390)
    assert page.locator("img").count() == 0
    assert page.inner_text("#detail h3").startswith("</script><img src=x")
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_1000_records_make_a_small_page(tmp_path: Path, show: Show) -> None:
    texts = {str(n): f"Abstract {n}. " + "It has some hundred words about this and that. " * 30 for n in range(1000)}
    names = ("retrieval_dense", "retrieval_bm25", "qa_none", "qa_retrieved_dense", "qa_gold", "qa_gold_x")
    tasks = [large_task(name, seed) for seed, name in enumerate(names)]
    write_results(tmp_path / "run", tasks, runs.settings())
    read = read_tasks([tmp_path / "run"]).tasks
    pairs = [MapPair(str(n), f"Question {n}?", texts[str(n)], LABELS[n % 3]) for n in range(1000)]
    points = [(n / 1000, n % 7 / 7, n / 1000, n % 11 / 11) for n in range(1000)]
    maps = [EmbeddingMap("minilm", "model", "data", pairs, 0, points)]
    path = write_report(tmp_path, Report(read, texts=[texts] * len(read), maps=maps))[0]
    assert path.stat().st_size < 5_000_000
    page = show(path)
    assert page.evaluate("document.querySelectorAll('*:not(circle)').length") < 3000  # the map has 2,000 circles
    assert shown_count(page) == 1000
    assert page.locator("#list .item").count() < 40  # only visible items are in the document
    page.locator("#list").evaluate("list => list.scrollTo(0, list.scrollHeight)")
    page.wait_for_selector("#record-999")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_sentences_of_written_answers_show_their_verdicts(show: Show, tmp_path: Path, theme: str) -> None:
    write_results(tmp_path / "run", [evaluate_scripted(), evaluate_scripted(pruned=True)], runs.settings())
    tasks = read_tasks([tmp_path / "run"]).tasks
    file, _ = write_report(tmp_path, Report(tasks, texts=[{}] * len(tasks)))
    page = show(file, theme=theme)
    assert "citation recall" in page.inner_text("main")
    assert "Confusion" not in page.inner_text("main")
    assert not page.is_visible("#given-label")  # the answers have no labels
    page.click("#list .item >> nth=1")
    sentences = page.locator("#detail .sentence")
    assert [sentence.get_attribute("class") for sentence in sentences.all()] == [
        "sentence not",
        "sentence contradicted",
    ]
    style = "node => getComputedStyle(node).textDecorationStyle"
    assert [sentence.evaluate(style) for sentence in sentences.all()] == ["dotted", "double"]
    assert page.locator("#detail .sentence button").all_inner_texts() == ["?", "\u2717"]
    box = page.locator("#detail .why").nth(1)
    assert not box.is_visible()
    sentences.nth(1).hover()
    assert box.is_visible()
    assert "It was not red." in box.inner_text()
    page.mouse.move(1, 1)
    page.locator("#detail .sentence button").nth(0).focus()
    page.keyboard.press("Tab")
    assert box.is_visible()
    assert "0 of 2 sentences supported" in page.inner_text("#list")


def large_task(name: str, seed: int) -> TaskResult:
    """A task of 1,000 records; ``seed`` shifts predictions and hits."""
    retrieval = name.startswith("retrieval")
    samples: list[dict[str, Any]] = []
    for n in range(1000):
        hits = [{"id": str((n + place * (seed + 1)) % 1000), "score": 0.912345 - place / 50} for place in range(10)]
        label = LABELS[(n + seed) % 3]
        sample = {"id": str(n), "question": f"Question {n}?", "prediction": label, "target": LABELS[n % 3]}
        sample |= {"label_scores": dict(zip(LABELS, (0.71234, 0.212345, 0.075315), strict=True))}
        sample |= {"retrieved": [] if name == "qa_none" else hits[:3]}
        if retrieval:
            sample |= {"prediction": hits[0]["id"], "target": str(n), "retrieved": hits, "label_scores": {}}
        samples.append(sample)
    accuracy = Estimate(sum(sample["prediction"] == sample["target"] for sample in samples) / 1000)
    return TaskResult(task_from_name(name), {"accuracy@1" if retrieval else "accuracy": accuracy}, samples)


def choose_task(page: Any, task: str, select: str = "#task") -> None:
    """Choose a task by its name, which follows its title in parentheses."""
    option = page.locator(f"{select} option", has_text=f"({task})").first
    page.select_option(select, option.get_attribute("value"))


def shown_count(page: Any) -> int:
    """The number of records that the page states above the list."""
    return int(page.inner_text("#count").split(" of ")[0].replace(",", ""))


# For every visible element with text, the contrast ratio (WCAG 2.2) of its colour and the nearest opaque background.
CONTRAST_SCRIPT = """() => {
  const parse = (colour) => {
    const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const linear = (value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const luminance = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((value) => linear(value / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const background = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll('body *')]
    .filter((e) => !e.closest('svg, script, noscript, .quiet, :disabled + span') && e.checkVisibility()
      && [...e.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
    .map((e) => [luminance(parse(getComputedStyle(e).color)), luminance(background(e))])
    .map(([a, b]) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
}"""
