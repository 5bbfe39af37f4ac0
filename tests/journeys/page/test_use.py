"""All features of the chat page, by mouse and by keyboard, with ``medground serve`` over the sample."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from chat_page import (
    OTHER_QUESTION,
    QUESTION,
    ask,
    conversations,
    open_page,
    tab_to,
    wait_for,
    wait_for_answers,
    wait_for_status,
    wait_until_ready,
)

pytestmark = pytest.mark.slow


def test_all_features_work_by_mouse(browser: Any, served_empty: str) -> None:
    with open_page(browser, served_empty) as page:
        assert "sample" in page.inner_text("#note")
        assert "Model: " in page.inner_text("#about")
        page.click("#question")
        page.keyboard.type(QUESTION)
        page.click("#send")
        wait_for_answers(page, 1)
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
        wait_for_status(page, "copied")
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
        wait_for_status(page, "renamed")
        assert page.inner_text("#title") == page.inner_text(".conversation-title") == "Rotesartan – κνησμός"

        for format, suffix in (("Markdown", "md"), ("JSON", "json")):
            page.click("#export")
            with page.expect_download() as download:
                page.click(f"#export-dialog button:has-text('{format}')")
            assert download.value.suggested_filename == f"Rotesartan-κνησμός.{suffix}"
            text = Path(download.value.path()).read_text(encoding="utf-8")
            assert QUESTION in text
            assert quote in (text if suffix == "md" else json.dumps(json.loads(text), ensure_ascii=False))

        page.reload()
        wait_for_answers(page, 2)
        assert page.inner_text("#title") == "Rotesartan – κνησμός"
        page.click("#new")
        wait_until_ready(page)
        assert page.is_visible("text=Ask a medical question")
        ask(page, OTHER_QUESTION, 1)
        wait_for(page, "document.querySelectorAll('.conversation').length === 2")
        page.fill("#search", "κνησμός")
        wait_for(page, "document.querySelectorAll('.conversation').length === 1")
        page.click(".conversation")
        wait_for_answers(page, 2)
        page.go_back()
        wait_for_answers(page, 1)
        page.fill("#search", "no such words")
        page.wait_for_selector("text=No conversation found.")
        page.fill("#search", "")
        wait_for(page, "document.querySelectorAll('.conversation').length === 2")

        page.click("#theme")
        page.click("#theme")
        assert page.inner_text("#theme") == "Theme: dark"
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.reload()
        wait_for_answers(page, 1)
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark != "rgb(244, 246, 248)"

        for remaining in (1, 0):
            page.click(".conversation >> nth=0")
            page.wait_for_selector(".conversation[aria-current]")
            page.click("#delete")
            page.click("#delete-dialog >> text=Cancel")
            assert len(conversations(served_empty)) == remaining + 1
            page.click("#delete")
            page.click("#delete-dialog button[type=submit]")
            wait_for_status(page, "deleted")
            assert len(conversations(served_empty)) == remaining


def test_all_features_work_by_keyboard(browser: Any, served_empty: str) -> None:
    with open_page(browser, served_empty) as page:
        keys = page.keyboard
        keys.type(QUESTION)
        keys.press("Shift+Enter")
        keys.press("Enter")
        wait_for_answers(page, 1)
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
        wait_for_status(page, "copied")
        assert quote in page.evaluate("navigator.clipboard.readText()")

        tab_to(page, "#rename", "Shift+Tab")
        keys.press("Enter")
        keys.press("Control+A")
        keys.type("By keyboard")
        keys.press("Enter")
        wait_for_status(page, "renamed")
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
        wait_until_ready(page)
        keys.type(OTHER_QUESTION)
        keys.press("Enter")
        wait_for_answers(page, 1)
        tab_to(page, "#search", "Shift+Tab")
        keys.type("keyboard")
        wait_for(page, "document.querySelectorAll('.conversation').length === 1")
        keys.press("Control+A")
        keys.press("Delete")
        wait_for(page, "document.querySelectorAll('.conversation').length === 2")
        tab_to(page, ".conversation")
        keys.press("ArrowDown")
        keys.press("Enter")
        wait_for(page, "document.getElementById('title').textContent === 'By keyboard'")
        tab_to(page, "#theme", "Shift+Tab")
        keys.press("Enter")
        assert page.inner_text("#theme") == "Theme: light"
        keys.press("Tab")
        keys.press("Enter")  # on the link that skips the list of conversations
        assert page.evaluate("document.activeElement.id") == "question"
        assert len(page.evaluate("location.hash")) == 33  # "#" and the id: the conversation is still shown
        for _ in range(2):
            tab_to(page, ".conversation", "Shift+Tab")
            keys.press("Enter")
            wait_until_ready(page)
            tab_to(page, "#delete", "Shift+Tab")
            keys.press("Enter")
            keys.press("Tab")
            keys.press("Enter")
            wait_for_status(page, "deleted")
        assert conversations(served_empty) == []
