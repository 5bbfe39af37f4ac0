"""Views of the chat page: they fit the window, are accessible, and highlight quotes and verdicts of sentences."""

from pathlib import Path
from typing import Any

import pytest
from chat_page import (
    OTHER_QUESTION,
    ask,
    assert_accessible,
    make_answer,
    make_quote,
    make_turn,
    open_page,
    scripted_service,
    wait_for_status,
    wait_until_ready,
)

from chains.answer import Answer, Sentence, Verdict, Verification
from chains.qa.base import Question
from corpus.sentences import sentence_spans

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 1000, 360])
def test_views_fit_the_window_and_are_accessible(browser: Any, tmp_path: Path, width: int, theme: str) -> None:
    with (
        scripted_service(tmp_path, make_answer) as (url, service),
        open_page(browser, url, width=width, theme=theme) as page,
    ):
        service.note = "The sample was searched."

        def check() -> None:
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert_accessible(page)

        wait_until_ready(page)
        check()
        ask(page, OTHER_QUESTION)
        ask(page, "And in men?", count=2)
        wait_for_status(page, "Answered with 2 quotes. Verdict: supported.")
        check()
        page.click(".turn >> nth=1 >> text=Evidence")
        check()
        # In windows up to 1180 pixels wide, the open evidence covers the conversation; up to 860, a button opens the
        # list of conversations.
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


def test_quotes_are_highlighted_in_their_passages(browser: Any, tmp_path: Path) -> None:
    with scripted_service(tmp_path, make_answer) as (url, _), open_page(browser, url) as page:
        ask(page, OTHER_QUESTION)
        body = page.locator("#evidence-body")
        cards = body.locator("details")
        assert [number[-1] for number in cards.locator(".number").all_inner_texts()] == ["1", "2", "3"]
        assert [card.get_attribute("data-passage") for card in cards.all()] == [f"trial.pdf#{n}" for n in (1, 2, 3)]
        assert page.locator(".quotes .number").all_inner_texts() == ["2", "1"]  # the passage of each quote, in order
        assert [card.get_attribute("open") is not None for card in cards.all()] == [True, True, False]
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


ANSWER_TEXT = (
    "\U0001f9ea Aspirin reduced stroke in women [2]. Tea did as well [2][3]. It was given daily. In children the dose "
    "is unknown. See [9] of the report."
)
# For each sentence of ANSWER_TEXT: the verdict, the cited passages, whether medground attributed them (it does so if
# the sentence has no marks), and the quote that decides the verdict.
VERDICTS: list[tuple[Verdict | None, tuple[int, ...], bool, str | None]] = [
    ("supported", (2,), False, "Aspirin reduced stroke in women."),
    ("contradicted", (2, 3), False, "Tea did not \U0001f375."),
    ("supported", (1,), True, "We randomised 39,876 women."),
    ("not enough evidence", (), False, None),
    (None, (), False, None),
]


def answer_with_verdicts(question: Question) -> Answer:
    sentences = []
    for (start, end), (verdict, cited, attributed, deciding) in zip(sentence_spans(ANSWER_TEXT), VERDICTS, strict=True):
        passage_id = f"trial.pdf#{cited[0]}" if cited else "trial.pdf#1"
        quote = make_quote(passage_id, deciding) if deciding else None
        verification = Verification(statement="s", passage_id=passage_id, sentence=quote) if verdict else None
        sentences.append(
            Sentence(
                text=ANSWER_TEXT[start:end],
                start=start,
                end=end,
                citations=cited,
                attributed=attributed,
                verdict=verdict,
                verification=verification,
            )
        )
    answer = make_answer(question, ANSWER_TEXT)
    return answer.model_copy(update={"sentences": tuple(sentences), "label": None, "removed": (sentences[1],)})


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (1440, "dark"), (360, "light"), (360, "dark")])
def test_sentences_show_verdicts_and_evidence(browser: Any, tmp_path: Path, width: int, theme: str) -> None:
    with (
        scripted_service(tmp_path, answer_with_verdicts) as (url, _),
        open_page(browser, url, width=width, theme=theme) as page,
    ):
        ask(page, OTHER_QUESTION)
        wait_for_status(page, "2 of 4 sentences supported")
        assert_accessible(page)
        sentences = page.locator(".sentence")
        assert [sentence.get_attribute("class") for sentence in sentences.all()] == [
            f"sentence {first_word}" for first_word in ("supported", "contradicted", "supported", "not")
        ]
        style = "node => [getComputedStyle(node).backgroundColor, getComputedStyle(node).textDecorationStyle]"
        colours, underlines = zip(*(sentence.evaluate(style) for sentence in sentences.all()), strict=True)
        assert len(set(colours)) == 3  # one for each verdict
        assert colours[0] == colours[2]
        # Verdicts differ by more than colour: by sign, underline and label for screen readers.
        signs = page.locator(".sentence .sign")
        assert signs.all_inner_texts() == ["✓", "✗", "✓", "?"]
        assert underlines == ("solid", "double", "solid", "dotted")
        assert [sign.get_attribute("aria-label") for sign in signs.all()] == [
            "Sentence 1: supported. Show the evidence",
            "Sentence 2: contradicted. Show the evidence",
            "Sentence 3: supported, attributed to [1]. Show the evidence",
            "Sentence 4: not enough evidence. Show the evidence",
        ]
        assert page.locator(".answer-text").inner_text().endswith("See [9] of the report.")
        # Hovering a sentence shows its evidence in a box within the window.
        boxes = page.locator(".why")
        assert not any(box.is_visible() for box in boxes.all())
        sentences.nth(1).hover()
        assert [box.is_visible() for box in boxes.all()] == [False, True, False, False]
        assert "Contradicted" in boxes.nth(1).inner_text()
        assert "Tea did not" in boxes.nth(1).inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") == width
        rectangle = boxes.nth(1).bounding_box()
        assert rectangle["x"] >= 0
        assert rectangle["x"] + rectangle["width"] <= width
        assert_accessible(page)
        # Keyboard focus shows the box, too, and Escape hides it.
        page.mouse.move(1, 1)
        signs.nth(0).focus()
        assert [box.is_visible() for box in boxes.all()] == [True, False, False, False]
        page.keyboard.press("Escape")
        assert not any(box.is_visible() for box in boxes.all())
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Show passage 2"
        assert boxes.nth(1).is_visible()
        # A citation mark leads to its passage, and a sign to the passage with the deciding quote.
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.parentElement.dataset.passage") == "trial.pdf#2"
        body = page.locator("#evidence-body")
        assert body.locator(".passage-text mark.against").all_text_contents() == ["Tea did not \U0001f375."]
        assert "Removed sentences" in body.inner_text()
        assert_accessible(page)
        if width <= 1180:
            page.click("#evidence >> text=Close")
        signs.nth(2).click()
        assert page.evaluate("document.activeElement.parentElement.dataset.passage") == "trial.pdf#1"
        assert body.locator("details[data-passage='trial.pdf#1'] mark.for").all_text_contents() == [
            "We randomised",
            " 39,876 women.",
        ]


def test_long_words_and_long_lists_fit_a_narrow_window(browser: Any, tmp_path: Path) -> None:
    long_word = "pneumonoultramicroscopicsilicovolcanoconiosis" * 40

    def long_answer(question: Question) -> Answer:
        return make_answer(question, text=f"{long_word}\n" * 30, count=40)

    with scripted_service(tmp_path, long_answer) as (url, service), open_page(browser, url, width=360) as page:
        for number in range(60):
            service.chat.conversations.create("local", make_turn(long_word), f"{number} {long_word}"[:200])
        wait_until_ready(page)
        ask(page, f"{long_word} {OTHER_QUESTION}")
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        assert page.locator("#evidence-body details").count() == 40
        page.click(".answer >> text=Evidence (40)")
        assert page.evaluate("document.getElementById('evidence-body').scrollWidth") <= 360
        page.keyboard.press("Escape")
        page.click("#show-conversations")
        assert page.locator(".conversation").count() == 61
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        assert page.evaluate("document.documentElement.scrollHeight") == 800  # the window's height


def test_name_of_exported_file_keeps_vowel_signs_and_surrogate_pairs(browser: Any, tmp_path: Path) -> None:
    with scripted_service(tmp_path, make_answer) as (url, _), open_page(browser, url) as page:
        ask(page, "क्या एस्पिरिन " + "𠮷" * 60)  # vowel signs are combining marks; 𠮷 is two UTF-16 units
        page.click("#export")
        with page.expect_download() as download:
            page.click("#export-dialog button:has-text('JSON')")
        assert download.value.suggested_filename == f"क्या-एस्पिरिन-{'𠮷' * 46}.json"
