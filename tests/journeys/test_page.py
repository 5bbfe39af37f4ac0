"""The browser page in headless Chromium: over ``medground serve`` itself, and over scripted answers."""

import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from chromium import Visit, chromium, visit
from served import Scripted, make_service, running, until
from served_process import serving

from chains.answer import Answer, Citation, Passage, Sentence, Verdict, Verification
from chains.chat import Turn
from chains.qa.base import Question
from corpus.sentences import sentence_spans
from medground.service.static import add_page

pytestmark = pytest.mark.slow

QUESTION = "Is itch score decreased by rotesartan in men with breast cancer?"
OTHER = "Does aspirin reduce stroke in women?"
TOKEN, OTHER_TOKEN = "ann-" * 8, "bob-" * 8
EVIL = "evil.example"
# What stands in place of a word wherever a document, a user or a model can put one.
HOSTILE = (
    "<script>window.ran=1</script><img src=http://evil.example/i.png onerror='window.ran=1'>"
    "![p](http://evil.example/m.png) [l](javascript:window.ran=1) <style>*{display:none}</style>"
    "<base href=http://evil.example/> {{7*7}} \u202egnp.exe\u2066 \x1b[31mred\x1b]0;t\x07 &lt;b&gt;"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium(f"--host-resolver-rules=MAP {EVIL} 127.0.0.1") as opened:
        yield opened


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The embedded default over the sample."""
    with serving(tmp_path_factory.mktemp("served"), "--set", "chain.verify=report") as (url, _):
        yield url


@contextmanager
def opened(browser: Any, url: str, **how: Any) -> Iterator[Visit]:
    """The page, which may log no error and ask nothing of others."""
    with visit(browser, url, **how) as shown:
        yield shown
        assert shown.errors == []
        assert shown.hosts() == {urlsplit(url).netloc}


@contextmanager
def scripted(folder: Path, answer: Callable[[Question], Answer], seconds: float = 0.0, **config: Any) -> Iterator[Any]:
    """The address of a service with scripted answers, and the service."""
    service = make_service(Scripted(seconds, answer), folder, **config)
    with running(service, add_page) as (url, _):
        yield url, service


TEXT = "\U0001f9ea Aspirin reduced stroke in women. Tea did not \U0001f375. We randomised 39,876 women."


def answer(question: Question, text: str = "yes", count: int = 3) -> Answer:
    """An answer with two quotes and the sentence that decided; the emoji show who counts code points."""
    first, second = ((TEXT.index(quote), quote) for quote in ("Aspirin reduced stroke in women.", "We randomised"))
    passages = [
        Passage(
            id=f"trial.pdf#{number}",
            text=TEXT,
            score=0.9 - number / 100,
            metadata={"source": "papers/trial.pdf", "page": number, "section": "Results", "title": "A trial"},
        )
        for number in range(1, count + 1)
    ]
    citations = [
        Citation(passage_id=f"trial.pdf#{number}", quote=quote, start=start, end=start + len(quote), score=0.9)
        for number, (start, quote) in ((2, first), (1, second))
    ]
    return Answer(
        question=question.text,
        text=text,
        label="yes" if text == "yes" else None,
        label_scores={"yes": 0.914, "no": 0.085, "maybe": 0.001},
        citations=tuple(citations),
        passages=tuple(passages),
        verdict="supported",
        verification=Verification(
            statement=f"{question.text} The answer is yes.",
            scores={"supported": 0.9, "contradicted": 0.04, "not enough evidence": 0.06},
            passage_id="trial.pdf#2",
            sentence=citations[0],
        ),
        notes=("The context was shortened.",),
    )


def turn(message: str) -> Turn:
    return Turn(message=message, question=message, text="Yes.")


def wait(page: Any, condition: str, arg: Any = None, seconds: float = 20) -> None:
    """Wait until a condition is true; playwright's own way of waiting needs ``eval``, which the page forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition, arg):
        assert time.monotonic() < end, condition
        time.sleep(0.05)


def ready(page: Any) -> None:
    """Wait until questions can be asked."""
    wait(page, "document.activeElement?.id === 'question'")


def answers(page: Any, count: int) -> None:
    """Wait until so many answers are complete."""
    wait(page, f"document.querySelectorAll('.answer time').length === {count}")


def ask(page: Any, question: str, count: int = 1) -> None:
    page.fill("#question", question)
    page.keyboard.press("Enter")
    answers(page, count)


def said(page: Any, text: str) -> None:
    """Wait for words in the status region."""
    wait(page, "text => document.getElementById('status').textContent.includes(text)", text)


def tab_to(page: Any, selector: str, key: str = "Tab") -> None:
    """Move the focus with the Tab key until an element has it; the focus must be seen there."""
    for _ in range(80):
        page.keyboard.press(key)
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", f"the focus on {selector} is not seen"
            return
    pytest.fail(f"{selector} is not reached with {key}")


def accessible(page: Any) -> None:
    """No fault that axe-core calls serious or critical."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(page).response["violations"]
    serious = [
        (one["id"], [node["target"] for node in one["nodes"]])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []


@pytest.fixture
def emptied(served: str) -> str:
    """The address of the served sample, without conversations."""
    for one in conversations(served):
        httpx.delete(f"{served}/v1/conversations/{one['id']}", trust_env=False)
    return served


def conversations(url: str) -> list[dict[str, Any]]:
    return list(httpx.get(f"{url}/v1/conversations", trust_env=False).json()["data"])


def test_everything_by_mouse(browser: Any, emptied: str) -> None:
    with opened(browser, emptied) as shown:
        page = shown.page
        ready(page)
        assert "sample" in page.inner_text("#note")
        assert "Model: " in page.inner_text("#about")
        page.click("#question")
        page.keyboard.type(QUESTION)
        page.click("#send")
        answers(page, 1)
        assert page.inner_text(".answer-text") in ("Yes.", "No.", "Maybe.")
        quote = page.inner_text(".quotes q").strip("“”")
        marked = page.locator("#evidence-body mark.quoted:not(.legend mark)")
        assert marked.first.inner_text() == quote
        verdict = page.inner_text(".answer .badge")
        assert verdict in page.inner_text("#evidence-body [aria-label=Verdict]")
        assert re.search(r"yes [<>]?\d+%", page.inner_text("#evidence-body [aria-label=Answer]"))
        page.click(".quotes .number")
        assert page.evaluate(
            "document.activeElement.closest('details').querySelector('.passage-text').textContent"
        ).count(quote)
        page.click("#evidence-body details summary >> nth=0")
        assert not marked.first.is_visible()

        page.click("text=Copy")
        said(page, "copied")
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied.startswith(page.inner_text(".answer-text"))
        assert f"“{quote}”" in copied

        ask(page, "And in women?", 2)
        page.click(".turn >> nth=0 >> text=Evidence")
        assert page.inner_text("#evidence-body .asked") == QUESTION
        assert page.locator(".turn.selected h2").inner_text() == QUESTION

        page.click("#rename")
        page.fill("#new-title", "Rotesartan – κνησμός")
        page.click("#rename-dialog >> text=Rename >> nth=-1")
        said(page, "renamed")
        assert page.inner_text("#title") == page.inner_text(".conversation-title") == "Rotesartan – κνησμός"

        for choice, ending in (("Markdown", "md"), ("JSON", "json")):
            page.click("#export")
            with page.expect_download() as download:
                page.click(f"#export-dialog button:has-text('{choice}')")
            assert download.value.suggested_filename == f"Rotesartan-κνησμός.{ending}"
            text = Path(download.value.path()).read_text(encoding="utf-8")
            assert QUESTION in text
            assert quote in (text if ending == "md" else json.dumps(json.loads(text), ensure_ascii=False))

        page.reload()
        answers(page, 2)
        assert page.inner_text("#title") == "Rotesartan – κνησμός"
        page.click("#new")
        ready(page)
        assert page.is_visible("text=Ask a medical question")
        ask(page, OTHER, 1)
        wait(page, "document.querySelectorAll('.conversation').length === 2")
        page.fill("#search", "κνησμός")
        wait(page, "document.querySelectorAll('.conversation').length === 1")
        page.click(".conversation")
        answers(page, 2)
        page.go_back()
        answers(page, 1)
        page.fill("#search", "no such words")
        page.wait_for_selector("text=No conversation found.")
        page.fill("#search", "")
        wait(page, "document.querySelectorAll('.conversation').length === 2")

        page.click("#theme")
        page.click("#theme")
        assert page.inner_text("#theme") == "Theme: dark"
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.reload()
        answers(page, 1)
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark != "rgb(244, 246, 248)"

        for left in (1, 0):
            page.click(".conversation >> nth=0")
            page.wait_for_selector(".conversation[aria-current]")
            page.click("#delete")
            page.click("#delete-dialog >> text=Cancel")
            assert len(conversations(emptied)) == left + 1
            page.click("#delete")
            page.click("#delete-dialog button[type=submit]")
            said(page, "deleted")
            assert len(conversations(emptied)) == left


def test_everything_by_keyboard(browser: Any, emptied: str) -> None:
    with opened(browser, emptied) as shown:
        page = shown.page
        ready(page)
        keys = page.keyboard
        keys.type(QUESTION)
        keys.press("Shift+Enter")
        keys.press("Enter")
        answers(page, 1)
        quote = page.inner_text(".quotes q").strip("“”")
        tab_to(page, ".quotes .number", "Shift+Tab")
        keys.press("Enter")
        assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
        keys.press("Enter")
        assert not page.locator("#evidence-body .passage-text mark.quoted").first.is_visible()
        keys.press("Escape")
        assert page.evaluate("document.activeElement.matches('.quotes .number')")
        tab_to(page, [".answer-actions button", " nth=0"][0])
        keys.press("Enter")
        assert page.evaluate("document.activeElement.id") == "evidence-body"
        keys.press("Escape")
        keys.press("Tab")
        keys.press("Enter")
        said(page, "copied")
        assert quote in page.evaluate("navigator.clipboard.readText()")

        tab_to(page, "#rename", "Shift+Tab")
        keys.press("Enter")
        keys.press("Control+A")
        keys.type("By keyboard")
        keys.press("Enter")
        said(page, "renamed")
        assert page.inner_text("#title") == "By keyboard"
        assert page.evaluate("document.activeElement.id") == "rename"
        keys.press("Tab")
        keys.press("Space")
        keys.press("Escape")
        assert page.evaluate("document.activeElement.id") == "export"
        keys.press("Space")
        keys.press("Tab")
        with page.expect_download() as download:
            keys.press("Enter")
        assert download.value.suggested_filename == "By-keyboard.json"

        tab_to(page, "#new", "Shift+Tab")
        keys.press("Enter")
        ready(page)
        keys.type(OTHER)
        keys.press("Enter")
        answers(page, 1)
        tab_to(page, "#search", "Shift+Tab")
        keys.type("keyboard")
        wait(page, "document.querySelectorAll('.conversation').length === 1")
        keys.press("Control+A")
        keys.press("Delete")
        wait(page, "document.querySelectorAll('.conversation').length === 2")
        tab_to(page, ".conversation")
        keys.press("ArrowDown")
        keys.press("Enter")
        wait(page, "document.getElementById('title').textContent === 'By keyboard'")
        tab_to(page, "#theme", "Shift+Tab")
        keys.press("Enter")
        assert page.inner_text("#theme") == "Theme: light"
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")  # the link past the list
        assert page.evaluate("document.activeElement.id") == "question"
        for _ in range(2):
            tab_to(page, ".conversation", "Shift+Tab")
            keys.press("Enter")
            ready(page)
            tab_to(page, "#delete", "Shift+Tab")
            keys.press("Enter")
            keys.press("Tab")
            keys.press("Enter")
            said(page, "deleted")
        assert conversations(emptied) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 1000, 360])
def test_each_view_fits_and_is_accessible(browser: Any, tmp_path: Path, width: int, theme: str) -> None:
    with (
        scripted(tmp_path, answer) as (url, service),
        opened(browser, url, width=width, theme=theme) as shown,
    ):
        service.note = "The sample was searched."
        page = shown.page

        def check() -> None:
            assert page.evaluate("document.documentElement.scrollWidth") == width
            accessible(page)

        ready(page)
        check()
        ask(page, OTHER)
        ask(page, "And in men?", 2)
        said(page, "Answered with 2 quotes. Verdict: supported.")
        check()
        page.click(".turn >> nth=1 >> text=Evidence")
        check()
        page.click(".turn >> nth=1 >> .number" if width > 1180 else "#evidence-body summary")
        if width <= 1180:
            assert page.evaluate("document.getElementById('chat').inert")
            page.click("#evidence >> text=Close")
            assert page.evaluate("document.activeElement.textContent").startswith("Evidence")
        if width <= 860:
            page.click("#show-conversations")
            check()
            page.mouse.click(width - 5, 400)  # beside the list
            assert not page.is_visible("#search")
            page.click("#show-conversations")
            page.click(".conversation")
            assert not page.is_visible("#search")
        for name in ("rename", "export", "delete"):
            page.click(f"#{name}")
            check()
            page.keyboard.press("Escape")


def test_quotes_are_marked_where_they_stand(browser: Any, tmp_path: Path) -> None:
    with scripted(tmp_path, answer) as (url, _), opened(browser, url) as shown:
        page = shown.page
        ready(page)
        ask(page, OTHER)
        body = page.locator("#evidence-body")
        cards = body.locator("details")
        assert [one[-1] for one in cards.locator(".number").all_inner_texts()] == ["1", "2", "3"]
        assert [one.get_attribute("data-passage") for one in cards.all()] == [f"trial.pdf#{n}" for n in (1, 2, 3)]
        assert page.locator(".quotes .number").all_inner_texts() == ["2", "1"]  # the numbers of their passages
        assert [one.get_attribute("open") is not None for one in cards.all()] == [True, True, False]
        assert body.locator(".passage-text mark.quoted").all_text_contents() == [
            "We randomised",
            "Aspirin reduced stroke in women.",
        ]
        assert body.locator(".passage-text mark.deciding").all_text_contents() == ["Aspirin reduced stroke in women."]
        assert "papers/trial.pdf, page 2, section Results" in cards.nth(1).inner_text()
        assert "0.880" in cards.nth(1).inner_text()
        assert "yes 91% · no 9% · maybe <1%" in body.inner_text()
        assert "supported 90% · not enough evidence 6% · contradicted 4%" in body.inner_text()
        assert "The context was shortened." in body.inner_text()
        page.click("text=Go to the deciding passage")
        assert page.evaluate("document.activeElement.parentElement.dataset.passage") == "trial.pdf#2"


WRITTEN = (
    "\U0001f9ea Aspirin reduced stroke in women [2]. Tea did as well [2][3]. It was given daily. In children the dose "
    "is unknown. See [9] of the report."
)


def written(question: Question) -> Answer:
    """An answer in sentences: supported, contradicted, attributed, without evidence, and without a verdict."""
    plain = answer(question, WRITTEN)
    judged: list[tuple[Verdict | None, tuple[int, ...], bool, str | None]] = [
        ("supported", (2,), False, "Aspirin reduced stroke in women."),
        ("contradicted", (2, 3), False, "Tea did not \U0001f375."),
        ("supported", (1,), True, "We randomised 39,876 women."),
        ("not enough evidence", (), False, None),
        (None, (), False, None),
    ]
    sentences = []
    for (start, end), (verdict, cited, attributed, quote) in zip(sentence_spans(WRITTEN), judged, strict=True):
        id = f"trial.pdf#{cited[0]}" if cited else "trial.pdf#1"
        at = TEXT.index(quote) if quote else 0
        span = Citation(passage_id=id, quote=quote, start=at, end=at + len(quote), score=0.9) if quote else None
        verification = Verification(statement="s", passage_id=id, sentence=span) if verdict else None
        sentences.append(
            Sentence(
                text=WRITTEN[start:end],
                start=start,
                end=end,
                citations=cited,
                attributed=attributed,
                verdict=verdict,
                verification=verification,
            )
        )
    return plain.model_copy(update={"sentences": tuple(sentences), "label": None, "removed": (sentences[1],)})


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (1440, "dark"), (360, "light"), (360, "dark")])
def test_sentences_show_their_support(browser: Any, tmp_path: Path, width: int, theme: str) -> None:
    with scripted(tmp_path, written) as (url, _), opened(browser, url, width=width, theme=theme) as shown:
        page = shown.page
        ready(page)
        ask(page, OTHER)
        said(page, "2 of 4 sentences supported")
        accessible(page)
        sentences = page.locator(".sentence")
        assert [one.get_attribute("class") for one in sentences.all()] == [
            f"sentence {verdict}" for verdict in ("supported", "contradicted", "supported", "not")
        ]
        colours = [one.evaluate("node => getComputedStyle(node).backgroundColor") for one in sentences.all()]
        assert len(set(colours)) == 3
        assert colours[0] == colours[2]
        # Not by colour alone: a sign, a line of another kind, and words for screen readers.
        assert page.locator(".sentence .sign").all_inner_texts() == ["✓", "✗", "✓", "?"]
        lines = [one.evaluate("node => getComputedStyle(node).textDecorationStyle") for one in sentences.all()]
        assert lines == ["solid", "double", "solid", "dotted"]
        named = [one.get_attribute("aria-label") for one in page.locator(".sentence .sign").all()]
        assert named == [
            "Sentence 1: supported. Show the evidence",
            "Sentence 2: contradicted. Show the evidence",
            "Sentence 3: supported, attributed to [1]. Show the evidence",
            "Sentence 4: not enough evidence. Show the evidence",
        ]
        assert page.locator(".answer-text").inner_text().endswith("See [9] of the report.")
        # On hover, within the window.
        boxes = page.locator(".why")
        assert not any(box.is_visible() for box in boxes.all())
        sentences.nth(1).hover()
        assert [box.is_visible() for box in boxes.all()] == [False, True, False, False]
        assert "Contradicted" in boxes.nth(1).inner_text()
        assert "Tea did not" in boxes.nth(1).inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") == width
        place = boxes.nth(1).bounding_box()
        assert place["x"] >= 0
        assert place["x"] + place["width"] <= width
        accessible(page)
        # On keyboard focus; Escape hides it and stops nothing.
        page.mouse.move(1, 1)
        page.locator(".sentence .sign").nth(0).focus()
        assert [box.is_visible() for box in boxes.all()] == [True, False, False, False]
        page.keyboard.press("Escape")
        assert not any(box.is_visible() for box in boxes.all())
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Show passage 2"
        assert boxes.nth(1).is_visible()
        # A mark leads to its passage, a sign to the span that decided.
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.parentElement.dataset.passage") == "trial.pdf#2"
        body = page.locator("#evidence-body")
        assert body.locator(".passage-text mark.against").all_text_contents() == ["Tea did not \U0001f375."]
        assert "Removed sentences" in body.inner_text()
        accessible(page)
        if width <= 1180:
            page.click("#evidence >> text=Close")
        page.locator(".sentence .sign").nth(2).click()
        assert page.evaluate("document.activeElement.parentElement.dataset.passage") == "trial.pdf#1"
        assert body.locator("details[data-passage='trial.pdf#1'] mark.for").all_text_contents() == [
            "We randomised",
            " 39,876 women.",
        ]


def test_much_and_long_text_fits(browser: Any, tmp_path: Path) -> None:
    long = "pneumonoultramicroscopicsilicovolcanoconiosis" * 40

    def many(question: Question) -> Answer:
        return answer(question, text=f"{long}\n" * 30, count=40)

    with scripted(tmp_path, many) as (url, service), opened(browser, url, width=360) as shown:
        for number in range(60):
            service.chat.conversations.create("local", turn(long), f"{number} {long}"[:200])
        page = shown.page
        ready(page)
        ask(page, f"{long} {OTHER}")
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        assert page.locator("#evidence-body details").count() == 40
        page.click(".answer >> text=Evidence (40)")
        assert page.evaluate("document.getElementById('evidence-body').scrollWidth") <= 360
        page.keyboard.press("Escape")
        page.click("#show-conversations")
        assert page.locator(".conversation").count() == 61
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        assert page.evaluate("document.documentElement.scrollHeight") == 800


class TestHostileText:
    """Texts of others are shown, and do nothing."""

    def test_of_the_model_and_the_user(self, browser: Any, tmp_path: Path) -> None:
        def hostile(question: Question) -> Answer:
            passage = Passage(
                id=f"id {HOSTILE}",
                text=HOSTILE,
                score=1.0,
                metadata={"source": HOSTILE, "title": HOSTILE, "section": HOSTILE, "page": HOSTILE},
            )
            quote = Citation(passage_id=passage.id, quote=HOSTILE[:30], start=0, end=30, score=1.0)
            return answer(question, text=HOSTILE).model_copy(
                update={"passages": (passage,), "citations": (quote,), "notes": (HOSTILE,), "verification": None}
            )

        with scripted(tmp_path, hostile) as (url, service), opened(browser, url) as shown:
            service.note, service.about["llm"] = HOSTILE, HOSTILE
            page = shown.page
            page.reload()
            ready(page)
            for count in (1, 2):
                ask(page, f"{HOSTILE} {count}", count)
            page.click("#rename")
            page.fill("#new-title", HOSTILE[:78])
            page.keyboard.press("Enter")
            said(page, "renamed")
            page.reload()
            answers(page, 2)
            assert_harmless(page)
            for place in ("#note", ".question", ".answer-text", "#evidence-body .passage-text", ".name", ".notes"):
                assert "<script>window.ran=1</script>" in page.locator(place).first.text_content(), place
            assert "<script>window.ran=1</script>" in page.locator(".conversation-title").first.text_content()
            assert (
                page.locator("#evidence-body mark").first.text_content() == HOSTILE[:30]
                or page.locator("#evidence-body .passage-text mark").first.text_content() == HOSTILE[:30]
            )
            page.click("text=Copy")
            said(page, "copied")
            assert not set("\x1b\x07\u202e") & set(page.evaluate("navigator.clipboard.readText()"))

    def test_of_documents(self, browser: Any, tmp_path: Path) -> None:
        docs = tmp_path / "docs"
        docs.mkdir()
        body = f"Rotesartan lowered the itch score in men with breast cancer by half. {HOSTILE} The trial had 300 men."
        (docs / "<img src=x onerror='window.ran=1'>\u202e.txt").write_text(body, encoding="utf-8")
        (docs / "b.md").write_text(f"# {HOSTILE}\n\n## Results <b>\n\n{body}\n", encoding="utf-8")
        command = [sys.executable, "-m", "medground", "index", "docs", "--quiet"]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
        with serving(tmp_path) as (url, _), opened(browser, url) as shown:
            page = shown.page
            ready(page)
            ask(page, QUESTION)
            assert_harmless(page)
            panel = page.inner_text("#evidence-body")
            assert "<img src=x onerror='window.ran=1'>" in panel
            assert "![p](http://evil.example/m.png)" in panel
            assert "{{7*7}}" in panel

    def test_of_the_address(self, browser: Any, served: str) -> None:
        for fragment in ("#<img src=x onerror=window.ran=1>", "#../../healthz", "#%2e%2e%2fmodels", "#javascript:1"):
            with opened(browser, f"{served}/{fragment}") as shown:
                ready(shown.page)
                assert_harmless(shown.page)


def assert_harmless(page: Any) -> None:
    """Nothing ran, nothing was made from markup, and no control character is on the page."""
    assert page.evaluate("window.ran") is None
    assert page.evaluate("[...document.querySelectorAll('script')].every((one) => one.src.startsWith(location.origin))")
    assert page.evaluate("document.querySelectorAll('img').length") == 2
    assert page.locator("body style, iframe, base, main a[href]:not(.skip)").count() == 0
    text = page.evaluate("document.documentElement.textContent")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
    foreign = "[...document.querySelectorAll('.question, .answer-text, .passage-text, .conversation-title, .name')]"
    assert page.evaluate(f"{foreign}.every((one) => getComputedStyle(one).unicodeBidi.includes('isolate'))")


class TestWhenSomethingFails:
    def test_an_answer_is_stopped(self, browser: Any, tmp_path: Path) -> None:
        with scripted(tmp_path, answer, 3.0) as (url, service), opened(browser, url) as shown:
            page = shown.page
            ready(page)
            for stop in (lambda: page.click("#stop"), lambda: page.keyboard.press("Escape")):
                page.fill("#question", OTHER)
                page.focus("#question")
                page.keyboard.press("Enter")
                page.wait_for_selector("#stop")
                stop()
                said(page, "This question is not kept.")
                assert page.evaluate("document.activeElement.id") == "question"
                until(lambda: service.admission.active == 0, 10)
            assert service.chat.conversations.list("local") == []
            page.click(".turn >> nth=0 >> text=Edit")
            assert page.input_value("#question") == OTHER
            page.click("text=Ask again")
            answers(page, 1)

    def test_what_is_typed_outlasts_a_reload(self, browser: Any, tmp_path: Path) -> None:
        with scripted(tmp_path, answer, 1.5) as (url, _), opened(browser, url) as shown:
            page = shown.page
            ready(page)
            page.keyboard.type("A draft\u202e")
            page.reload()
            ready(page)
            assert page.input_value("#question") == "A draft\u202e"
            page.fill("#question", OTHER)
            page.keyboard.press("Enter")
            page.keyboard.type("The next one")
            page.wait_for_selector("#stop")
            page.reload()
            ready(page)
            assert page.input_value("#question") == "The next one"
            page.click("text=Ask again")
            answers(page, 1)
            assert page.inner_text(".question") == OTHER
            assert page.input_value("#question") == "The next one"
            page.reload()
            answers(page, 1)
            assert page.input_value("#question") == "The next one"

    @pytest.mark.parametrize("closing", [False, True])
    def test_a_service_without_room_is_asked_again(self, browser: Any, tmp_path: Path, closing: bool) -> None:
        with scripted(tmp_path, answer, 2.0, batch=1, queue=0) as (url, service), opened(browser, url) as shown:
            page = shown.page
            ready(page)
            held = None
            if closing:
                service.admission._closing = True
            else:
                held = threading.Thread(target=httpx.post, args=(f"{url}/v1/chat/completions",), kwargs={
                    "json": {"messages": [{"role": "user", "content": "Is it so?"}]}, "trust_env": False, "timeout": 30,
                })  # fmt: skip
                held.start()
                until(lambda: service.admission.active == 1)
            page.keyboard.type(OTHER)
            page.keyboard.press("Enter")
            page.wait_for_selector("text=Asking again in")
            assert "asked again in" in page.inner_text("#status")
            accessible(page)
            if closing:
                service.admission._closing = False
                page.click("text=Ask now")
            answers(page, 1)
            if held is not None:
                held.join()
            shown.errors = [one for one in shown.errors if "429" not in one and "503" not in one]

    def test_a_lost_connection_is_said_and_the_question_asked_again(self, browser: Any, tmp_path: Path) -> None:
        with (
            scripted(tmp_path, answer, 1.0) as (real, service),
            Proxy(real) as proxy,
            opened(browser, proxy.url) as shown,
        ):
            page = shown.page
            ready(page)
            ask(page, OTHER)
            page.fill("#question", "And in men?")
            page.keyboard.press("Enter")
            page.wait_for_selector("#stop")
            page.wait_for_timeout(300)
            proxy.cut()
            page.wait_for_selector("text=The connection was lost before the answer was complete.")
            page.click("text=Ask again")
            page.wait_for_selector("text=The service cannot be reached.")
            accessible(page)
            page.click("#search")
            page.keyboard.type("x")
            said(page, "cannot be reached")
            proxy.mend()
            page.click("text=Ask again")
            answers(page, 2)
            (kept,) = service.chat.conversations.list("local")
            assert kept.turns == 2
            shown.errors = [one for one in shown.errors if "net::ERR" not in one]

    def test_an_answer_that_was_stored_is_not_asked_for_twice(self, browser: Any, tmp_path: Path) -> None:
        with (
            scripted(tmp_path, answer, 1.0) as (real, service),
            Proxy(real) as proxy,
            opened(browser, proxy.url) as shown,
        ):
            page = shown.page
            ready(page)
            ask(page, OTHER)
            proxy.mute = True  # what the service answers does not arrive
            page.fill("#question", "And in men?")
            page.keyboard.press("Enter")
            until(lambda: service.chat.conversations.list("local")[0].turns == 2, 20)
            proxy.cut()
            page.wait_for_selector("text=Ask again")
            proxy.mute = False
            proxy.mend()
            page.click("text=Ask again")
            answers(page, 2)
            assert service.chat.conversations.list("local")[0].turns == 2
            shown.errors = [one for one in shown.errors if "net::ERR" not in one]

    def test_a_conversation_that_was_deleted_elsewhere(self, browser: Any, tmp_path: Path) -> None:
        with scripted(tmp_path, answer) as (url, service), opened(browser, url) as shown:
            page = shown.page
            ready(page)
            ask(page, OTHER)
            service.chat.conversations.delete("local", page.url.partition("#")[2])
            page.fill("#question", "And in men?")
            page.keyboard.press("Enter")
            page.wait_for_selector("text=Asking again begins a new one.")
            page.click("text=Ask again")
            wait(page, "document.querySelectorAll('.conversation').length === 1")
            page.goto(f"{url}/#{'0' * 32}")
            said(page, "There is no conversation")
            assert page.inner_text("#title") == "New conversation"
            shown.errors = [one for one in shown.errors if "404" not in one]


class Proxy:
    """A TCP proxy whose connections can be cut; ``mute`` holds back what the service says."""

    def __init__(self, url: str) -> None:
        self._to = urlsplit(url).port
        self._open: list[socket.socket] = []
        self.mute = False
        self._listen(0)

    def _listen(self, port: int) -> None:
        self._socket = socket.create_server(("127.0.0.1", port))
        self._port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        threading.Thread(target=self._accept, args=(self._socket,), daemon=True).start()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._to))
            self._open += [client, server]
            for source, target, answers in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pump, args=(source, target, answers), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if not (answers and self.mute):
                    target.sendall(data)

    def cut(self) -> None:
        """Close all connections, and take no new ones."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open.clear()

    def mend(self) -> None:
        """Listen again at the same address."""
        self._listen(self._port)

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service with two users."""
    folder = tmp_path_factory.mktemp("login")
    tokens = folder / "tokens.yaml"
    tokens.write_text(f'ann: "{TOKEN}"\nbob: "{OTHER_TOKEN}"\n')
    tokens.chmod(0o600)
    with serving(folder, "--set", "serve.tokens_file=tokens.yaml") as (url, _):
        yield url


class TestLogin:
    @pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (360, "dark")])
    def test_log_in_ask_log_out(self, browser: Any, guarded: str, width: int, theme: str) -> None:
        with opened(browser, guarded, width=width, theme=theme) as shown:
            page = shown.page
            wait(page, "document.activeElement?.id === 'token'")
            accessible(page)
            page.keyboard.type("wrong" * 5)
            page.keyboard.press("Enter")
            page.wait_for_selector("text=This token is not valid.")
            accessible(page)
            assert page.evaluate("document.documentElement.scrollWidth") == width
            page.keyboard.type(TOKEN)
            page.keyboard.press("Enter")
            ready(page)
            assert page.inner_text("#user") == "ann"
            ask(page, QUESTION)
            page.keyboard.type("A draft")
            page.reload()
            answers(page, 1)
            assert page.input_value("#question") == "A draft"
            kept = page.evaluate(
                "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])"
            )
            assert TOKEN not in kept
            assert page.evaluate("document.cookie") == ""
            mine = page.url.partition("#")[2]

            page.click("#log-out")
            wait(page, "document.activeElement?.id === 'token'")
            assert QUESTION not in page.evaluate("document.body.textContent")
            assert "A draft" not in page.evaluate("JSON.stringify({...sessionStorage})")
            page.reload()
            wait(page, "document.activeElement?.id === 'token'")
            page.keyboard.type(OTHER_TOKEN)
            page.keyboard.press("Enter")
            ready(page)
            assert page.inner_text("#user") == "bob"
            assert page.locator(".conversation").count() == 0
            page.goto(f"{guarded}/#{mine}")
            said(page, "There is no conversation")
            shown.errors = [one for one in shown.errors if "401" not in one and "404" not in one]

    def test_a_session_that_ends_keeps_the_question(self, browser: Any, guarded: str) -> None:
        with opened(browser, guarded) as shown:
            page = shown.page
            page.fill("#token", TOKEN)
            page.keyboard.press("Enter")
            ready(page)
            page.context.clear_cookies()
            page.fill("#question", OTHER)
            page.keyboard.press("Enter")
            page.wait_for_selector("#token")
            page.fill("#token", TOKEN)
            page.keyboard.press("Enter")
            page.wait_for_selector("text=Ask again")
            page.click("text=Ask again")
            answers(page, 1)
            assert page.inner_text(".question") == OTHER
            shown.errors = [one for one in shown.errors if "401" not in one]


@pytest.mark.parametrize("tokens", [None, {"ann": TOKEN}])
@pytest.mark.parametrize("host", [EVIL, "127.0.0.1"])
def test_another_site_reads_and_changes_nothing(
    browser: Any, tmp_path: Path, tokens: dict[str, str] | None, host: str
) -> None:
    service = make_service(Scripted(), tmp_path, tokens)
    user = "ann" if tokens else "local"
    id = service.chat.conversations.create(user, turn("Secret question"), "Secret title")
    with running(service, add_page) as (url, _), attacker() as port, visit(browser, url) as shown:
        page = shown.page
        if tokens:
            page.fill("#token", TOKEN)
            page.keyboard.press("Enter")
        ready(page)
        evil = page.context.new_page()  # beside the page that is logged in
        evil.goto(f"http://{host}:{port}/")
        own, rebound = url, f"http://{EVIL}:{urlsplit(url).port}"
        tried = evil.evaluate(ATTACK, {"urls": [own, own.replace("127.0.0.1", "localhost"), rebound], "id": id})
        assert [one for one in tried if one["read"]] == []
        assert len(tried) > 30
        evil.wait_for_timeout(1000)  # forms and frames
        frames = "Array.from({ length: frames.length }, (_, number) => frames[number])"
        peek = "(frame) => { try { return frame.document.body.innerText } catch { return '' } }"
        assert evil.evaluate(f"{frames}.map({peek}).join('')") == ""
        evil.goto(f"{rebound}/v1/conversations")
        assert "Secret title" not in evil.evaluate("document.documentElement.textContent")
        (kept,) = service.chat.conversations.list(user)
        assert (kept.id, kept.title, kept.turns) == (id, "Secret title", 1)


@contextmanager
def attacker() -> Iterator[int]:
    """The port of another site's server."""

    class Empty(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>evil</title><body>")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Empty)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    with closing(server.socket):
        yield server.server_port
        server.shutdown()


# Everything by which a page may reach another origin. A request that is answered with a body that can be read counts
# as read; one that cannot be read may still change something, which the test looks for in the service itself.
ATTACK = """async ({ urls, id }) => {
  const tried = [];
  const reach = async (name, request) => {
    let read = '';
    try {
      const response = await request();
      if (response.type !== 'opaque') read = await response.text();
      if (response.status === 403) read = '';
    } catch {}
    tried.push({ name, read });
  };
  const messages = [{ role: 'user', content: 'Is it so?' }];
  const chat = JSON.stringify({ messages, medground: { conversation: 'new' } });
  for (const url of urls) {
    for (const credentials of ['include', 'omit']) {
      for (const path of ['/', '/v1/session', '/v1/conversations', `/v1/conversations/${id}`, '/v1/models',
        `/v1/conversations/${id}/export?format=json`, '/openapi.json', '/metrics', '/assets/app.js']) {
        await reach(path, () => fetch(url + path, { credentials }));
        await reach(path, () => fetch(url + path, { credentials, mode: 'no-cors' }));
      }
      await reach('delete', () => fetch(`${url}/v1/conversations/${id}`, { method: 'DELETE', credentials }));
      await reach('rename', () => fetch(`${url}/v1/conversations/${id}`, { method: 'PATCH', credentials,
        headers: { 'Content-Type': 'application/json' }, body: '{"title": "changed"}' }));
      for (const type of ['text/plain', 'application/json', 'application/x-www-form-urlencoded']) {
        for (const mode of ['cors', 'no-cors']) {
          await reach('ask', () => fetch(`${url}/v1/chat/completions`,
            { method: 'POST', mode, credentials, headers: { 'Content-Type': type }, body: chat }));
          await reach('log in', () => fetch(`${url}/v1/session`,
            { method: 'POST', mode, credentials, headers: { 'Content-Type': type }, body: '{"token": "x"}' }));
        }
      }
      await reach('log out', () => fetch(`${url}/v1/session`, { method: 'DELETE', credentials }));
      navigator.sendBeacon(`${url}/v1/chat/completions`, chat);
    }
    for (const path of ['/', '/v1/conversations']) {
      const frame = document.createElement('iframe');
      frame.name = `frame${Math.random()}`;
      frame.src = url + path;
      document.body.append(frame);
    }
    const frame = document.createElement('iframe');
    frame.name = `form${url}`;
    const form = document.createElement('form');
    Object.assign(form, { action: `${url}/v1/chat/completions`, method: 'post', enctype: 'text/plain' });
    form.target = frame.name;
    const field = document.createElement('input');
    Object.assign(field, { name: chat.slice(0, -1) + ', "x": "', value: '"}' });
    form.append(field);
    document.body.append(frame, form);
    form.submit();
    const script = document.createElement('script');
    script.src = `${url}/v1/conversations`;
    document.body.append(script);
  }
  return tried;
}"""
