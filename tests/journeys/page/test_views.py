"""The views of the page: they fit the window, are accessible, and mark quotes and sentences."""

from pathlib import Path
from typing import Any

import pytest
from chat_page import OTHER, TEXT, accessible, answer, ask, opened, ready, said, scripted, turn

from chains.answer import Answer, Citation, Sentence, Verdict, Verification
from chains.qa.base import Question
from corpus.sentences import sentence_spans

pytestmark = pytest.mark.slow


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
