"""The chat page shows markup, scripts and control characters in texts of documents, users and models as plain text."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from chat_page import (
    QUESTION,
    ask,
    make_answer,
    open_page,
    scripted_service,
    wait_for_answers,
    wait_for_status,
    wait_until_ready,
)
from served_process import serving

from chains.answer import Answer, Citation, Passage
from chains.qa.base import Question

pytestmark = pytest.mark.slow

# Scripts, links, styles, a template, control characters and an entity; the scripts set window.ran if they run.
HOSTILE = (
    "<script>window.ran=1</script><img src=http://evil.example/i.png onerror='window.ran=1'>"
    "![p](http://evil.example/m.png) [l](javascript:window.ran=1) <style>*{display:none}</style>"
    "<base href=http://evil.example/> {{7*7}} \u202egnp.exe\u2066 \x1b[31mred\x1b]0;t\x07 &lt;b&gt;"
)


def test_hostile_answers_and_questions_are_shown_as_text(browser: Any, tmp_path: Path) -> None:
    def hostile(question: Question) -> Answer:
        passage = Passage(
            id=f"id {HOSTILE}",
            text=HOSTILE,
            score=1.0,
            metadata={"source": HOSTILE, "title": HOSTILE, "section": HOSTILE, "page": HOSTILE},
        )
        quote = Citation(passage_id=passage.id, quote=HOSTILE[:30], start=0, end=30, score=1.0)
        return make_answer(question, text=HOSTILE).model_copy(
            update={"passages": (passage,), "citations": (quote,), "notes": (HOSTILE,), "verification": None}
        )

    with scripted_service(tmp_path, hostile) as (url, service), open_page(browser, url) as page:
        service.note, service.about["llm"] = HOSTILE, HOSTILE
        page.reload()
        wait_until_ready(page)
        for count in (1, 2):
            ask(page, f"{HOSTILE} {count}", count)
        page.click("#rename")
        page.fill("#new-title", HOSTILE[:78])
        page.keyboard.press("Enter")
        wait_for_status(page, "renamed")
        page.reload()
        wait_for_answers(page, 2)
        assert_harmless(page)
        elements = ("#note", ".question", ".answer-text", "#evidence-body .passage-text", ".name", ".notes")
        for element in (*elements, ".conversation-title"):
            assert "<script>window.ran=1</script>" in page.locator(element).first.text_content(), element
        assert page.locator("#evidence-body .passage-text mark").first.text_content() == HOSTILE[:30]
        page.click("text=Copy")
        wait_for_status(page, "copied")
        assert not set("\x1b\x07\u202e") & set(page.evaluate("navigator.clipboard.readText()"))


def test_hostile_documents_are_shown_as_text(browser: Any, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    body = f"Rotesartan lowered the itch score in men with breast cancer by half. {HOSTILE} The trial had 300 men."
    (docs / "<img src=x onerror='window.ran=1'>\u202e.txt").write_text(body, encoding="utf-8")
    (docs / "b.md").write_text(f"# {HOSTILE}\n\n## Results <b>\n\n{body}\n", encoding="utf-8")
    command = [sys.executable, "-m", "medground", "index", "docs", "--quiet"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    with serving(tmp_path) as (url, _), open_page(browser, url) as page:
        ask(page, QUESTION)
        assert_harmless(page)
        panel = page.inner_text("#evidence-body")
        assert "<img src=x onerror='window.ran=1'>" in panel
        assert "![p](http://evil.example/m.png)" in panel
        assert "{{7*7}}" in panel


def test_hostile_url_fragments_do_nothing(browser: Any, served: str) -> None:
    for fragment in ("#<img src=x onerror=window.ran=1>", "#../../healthz", "#%2e%2e%2fmodels", "#javascript:1"):
        with open_page(browser, f"{served}/{fragment}") as page:
            assert_harmless(page)


def assert_harmless(page: Any) -> None:
    """No script ran, no element was created from markup, and no control character is on the page."""
    assert page.evaluate("window.ran") is None
    assert page.evaluate("[...document.querySelectorAll('script')].every((one) => one.src.startsWith(location.origin))")
    assert page.evaluate("document.querySelectorAll('img').length") == 2  # the page's logos
    assert page.locator("body style, iframe, base, main a[href]:not(.skip)").count() == 0
    text = page.evaluate("document.documentElement.textContent")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)  # C0 and C1 controls, bidi overrides
    foreign = "[...document.querySelectorAll('.question, .answer-text, .passage-text, .conversation-title, .name')]"
    assert page.evaluate(f"{foreign}.every((element) => getComputedStyle(element).unicodeBidi.includes('isolate'))")
