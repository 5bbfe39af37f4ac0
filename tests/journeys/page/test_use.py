"""Everything that the page offers, by mouse and by keyboard, over ``medground serve`` itself."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from chat_page import OTHER, QUESTION, answers, ask, conversations, opened, ready, said, tab_to, wait

pytestmark = pytest.mark.slow


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
        tab_to(page, ".answer-actions button")
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
